"""SGD is fast and noisy: python -m examples.claims stochastic_gradient_descent."""

# %% [markdown]
# # One sample a step
#
# The gradient of one sample is right on average. How far off is it, and does training with it
# arrive?

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Stochastic gradient descent steps at each sample: often, but with noise"
QUESTION = "How noisy is the gradient of one sample, and how far does one pass over the data get?"
VERDICT = "holds"
ANSWER = (
    "One sample's gradient is off by {noise:.1f} times its mean, yet one pass of single samples "
    "gets {one:.0%} right, one step over the whole set {whole:.0%}"
)
REASON = (
    "The error falls with the root of the batch size, as a mean of independent samples does: "
    "fourfold batches divide it by {fall:.2f}. So {pass_steps} noisy steps are worth far more than "
    "one exact one. Even after ten passes the noise costs nothing here, if the rate is "
    "chosen for it: single samples get {one_ten:.1%} right at their best of five rates, batches of "
    "16 get {batch_ten:.1%}."
)

# %% [markdown]
# ## The experiment
#
# Digits, a network with 32 hidden units: the relative error of the gradient at the start, and what
# is right after one pass and after ten.

# %%
SIZES = 1, 4, 16, 64, 256
BATCHES = {1: "vermilion", 16: "orange", 256: "green", None: "blue"}
RATES = 0.01, 0.03, 0.1, 0.3, 1.0


def errors(seed):
    """|g − mean g| / |mean g| for batches of each size, as a root mean square of 40 batches."""
    (x, y), _ = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 10], rng=seed)
    rng = np.random.default_rng(seed)

    def gradient(rows):
        model.zero_grad()
        dl.losses.cross_entropy(model(x[rows]), y[rows]).backward()
        return np.concatenate([p.grad.ravel() for p in model.parameters()])

    exact = gradient(slice(None))
    off = [
        [np.sum((gradient(rng.integers(len(x), size=size)) - exact) ** 2) for _ in range(40)]
        for size in SIZES
    ]
    return np.sqrt(np.mean(off, axis=1) / np.sum(exact**2))


def right(batch, rate, epochs, seed):
    training, test = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 10], rng=seed)
    optimizer = dl.optim.SGD(model, lr=rate)
    lab.fit(model, optimizer, training, epochs=epochs, batch_size=batch, seed=seed)
    return lab.accuracy(model, test)


def best(batch, epochs):
    found = [[right(batch, rate, epochs, seed) for seed in lab.SEEDS] for rate in RATES]
    return np.array(max(found, key=np.median))


def run():
    noise = np.array([errors(seed) for seed in lab.SEEDS])
    one = {batch: best(batch, 1) for batch in BATCHES}
    ten = {batch: best(batch, 10) for batch in (1, 16)}
    medians = np.median(noise, axis=0)
    return {
        "errors": noise, "one_pass": one, "noise": medians[0], "one": lab.median(one[1]),
        "whole": lab.median(one[None]), "one_ten": lab.median(ten[1]),
        "batch_ten": lab.median(ten[16]), "pass_steps": len(lab.digits(0)[0][1]),
        "fall": (medians[0] / medians[-1]) ** (1 / 4),
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2)
    lab.band(left, SIZES, data["errors"], "error", "vermilion", marker="o")
    left.plot(
        SIZES, np.median(data["errors"][:, 0]) / np.sqrt(SIZES), "--", color=lab.colour("grey")
    )
    left.text(40, 1.6, "1 / √batch", color=lab.colour("grey"))
    left.set(xscale="log", yscale="log", xlabel="batch size", ylabel="error of the gradient")
    left.set_xticks(SIZES, [str(size) for size in SIZES])
    lab.log_ticks(left.yaxis)
    left.minorticks_off()
    groups = {
        f"batches of {batch}" if batch else "the whole set": values
        for batch, values in data["one_pass"].items()
    }
    groups["single samples"] = groups.pop("batches of 1")
    order = ["single samples", "batches of 16", "batches of 256", "the whole set"]
    lab.strip(right, {name: groups[name] for name in order}, list(BATCHES.values()), "{:.0%}")
    right.set(xlabel="right after one pass", xlim=(0, 1.08))
    right.xaxis.set_major_formatter("{x:.0%}")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "one sample's gradient is off by more than its mean": data["noise"] > 1,
        "the error falls with the root of the batch size": 1.8 < data["fall"] < 2.2,
        "one pass of single samples gets more than 85 % right": data["one"] > 0.85,
        "one exact step gets less than half of that": data["whole"] < data["one"] / 2,
        "after ten passes batches of 16 are no better": data["batch_ten"] <= data["one_ten"],
    }


if __name__ == "__main__":
    lab.show(globals())
