"""Weight decay against overfitting: python -m examples.claims weight_decay."""

# %% [markdown]
# # Few points, many weights
#
# A network with more weights than points can pass through all of them, noise included. Weight decay
# pulls each weight towards 0, which makes the function smoother.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Weight decay is a remedy against overfitting"
QUESTION = "Does weight decay lower the loss on unseen points?"
VERDICT = "holds"
ANSWER = (
    "From 30 noisy points, the loss on unseen ones falls from {none:.2f} to {best:.2f} at "
    "λ = {best_decay:g}; at λ = 100 it is {most:.2f}"
)
REASON = (
    "The training loss rises meanwhile, from {train_none:.3f} to {train_best:.2f}: the network "
    "with decay no longer passes through each point. The best λ has to be found, as the best rate "
    "has: 0.01 does next to nothing ({least:.2f}), and 100 leaves a constant function. The "
    "variance of the target is {variance:.2f}, that of its noise {noise:.2f}; unseen points are "
    "without noise."
)

# %% [markdown]
# ## The experiment
#
# A network with 32 + 32 tanh units learns a sine from 30 points with noise, by 2,000 full-batch
# steps of AdamW, whose weight decay stands beside the gradient.

# %%
DECAYS, NOISE, SEEDS = (0, 0.01, 0.1, 1, 10, 100), 0.5, range(7)


def sample(n, rng):
    """Points without noise."""
    x = rng.uniform(-3, 3, (n, 1))
    return x.astype(np.float32), np.sin(2 * x).astype(np.float32)


def train(decay, seed):
    """The losses on the points and on unseen ones, and what the network predicts on a grid."""
    rng = np.random.default_rng(seed)
    x, y = sample(30, rng)
    y += rng.normal(scale=NOISE, size=y.shape).astype(np.float32)
    model = dl.nn.MLP([1, 32, 32, 1], "tanh", rng=seed)
    optimizer = dl.optim.AdamW(model, lr=0.01, weight_decay=decay)
    lab.fit(model, optimizer, (x, y), epochs=2000, batch_size=None, loss=dl.losses.mse)
    unseen = sample(1000, rng)
    losses = [np.mean((dl.predict(model, x) - y) ** 2) for x, y in ((x, y), unseen)]
    return losses, (x, y, dl.predict(model, GRID))


GRID = np.linspace(-3, 3, 200, dtype=np.float32)[:, None]


def run():
    runs = {decay: [train(decay, seed) for seed in SEEDS] for decay in DECAYS}
    losses = np.array([[losses for losses, _ in found] for found in runs.values()])
    medians = np.median(losses, axis=1)
    best = medians[:, 1].argmin()
    names = {"none": 0, "best": best, "least": 1, "most": -1}
    return {
        "losses": losses, "curves": {decay: found[0][1] for decay, found in runs.items()},
        "best_decay": DECAYS[best], "noise": NOISE**2, "variance": np.var(np.sin(2 * GRID)),
        "each": losses[0, :, 1] > losses[best, :, 1],
    } | {
        key: medians[i, column]
        for start, column in (("train_", 0), ("", 1))
        for key, i in ((start + name, i) for name, i in names.items())
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2)
    x, y, _ = data["curves"][0]
    left.plot(x, y, "o", color=lab.colour("black"), ms=6)
    left.plot(GRID, np.sin(2 * GRID), color=lab.colour("grey"), lw=1.5, ls="--")
    best = data["best_decay"]
    for decay, ink in ((0, "vermilion"), (best, "green")):
        left.plot(GRID, data["curves"][decay][2], color=lab.colour(ink), label=f"λ = {decay:g}")
    left.set(xlabel="x", ylabel="y", ylim=(-3, 3.8))
    left.legend(loc="upper right", ncols=2)
    for column, label, ink in ((1, "unseen", "vermilion"), (0, "training", "blue")):
        lab.band(right, range(len(DECAYS)), data["losses"][..., column].T, label, ink, marker="o")
    right.set_xticks(range(len(DECAYS)), [f"{decay:g}" for decay in DECAYS])
    right.set(xlabel="weight decay λ", ylabel="loss", yscale="log")
    lab.log_ticks(right.yaxis)
    lab.label_lines(right)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "the best decay at least halves the loss on unseen points": data["best"] < data["none"] / 2,
        "it is lower on every seed": data["each"].all(),
        "the training loss rises": data["train_best"] > data["train_none"],
        "too much decay is worse than the best": data["most"] > 2 * data["best"],
        "λ = 0.01 changes less than a third": data["least"] > data["none"] * 2 / 3,
    }


if __name__ == "__main__":
    lab.show(globals())
