"""A rate that is too large diverges: python -m examples.claims rate_too_large."""

# %% [markdown]
# # From overshooting to explosion
#
# Each step on a bowl with curvature λ multiplies the distance by 1 − ηλ. So the rate decides
# whether the path arrives, jumps over the minimum, or flies away.

# %%
from functools import partial

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "A rate that is too large overshoots, oscillates, and diverges: gradients explode"
QUESTION = "Do these three follow each other as the rate grows?"
VERDICT = "holds"
ANSWER = (
    "Above 1/λ the path overshoots, above 2/λ it diverges; in a network the gradient grows by "
    "{growth:.0f} orders of magnitude in {explosion:.0f} steps"
)
REASON = (
    "On five bowls with random curvatures the borders are exact: no overshooting at 0.9/λ, "
    "overshooting and arrival at 1.9/λ, divergence at 2.1/λ. A regression network (ReLU, mean "
    "squared error) has such borders, too, though nobody knows them beforehand: it learns at η = "
    "{calm} on {learned} of {seeds} seeds, and diverges at {wild} on {exploded}. Clipping the "
    "norm of the gradient to 1 stops the explosion on {clipped} of {seeds}."
)

# %% [markdown]
# ## The experiment

# %%
FACTORS = {0.9: "green", 1.9: "orange", 2.1: "vermilion"}
STEPS, CALM, WILD = 30, 0.05, 1.5


def bowls():
    """The path on each bowl at each rate, from 1 to the minimum at 0."""
    curvatures = np.random.default_rng(0).uniform(0.5, 5, len(lab.SEEDS))
    return {
        factor: np.array(
            [
                lab.descend(
                    partial(lambda curvature, theta: curvature * theta**2 / 2, curvature),
                    1.0, partial(dl.optim.SGD, lr=factor / curvature), STEPS,
                )
                for curvature in curvatures
            ]
        )
        for factor in FACTORS
    }  # fmt: skip


def network(rate, seed, clip=False):
    """The norm of the gradient before each step of full-batch gradient descent."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 8))
    y = np.sin(x @ rng.normal(size=(8, 1)))
    with dl.default_dtype("float64"):
        model = dl.nn.MLP([8, 32, 32, 1], rng=seed)
    optimizer = dl.optim.SGD(model, lr=rate)
    norms = []
    with np.errstate(all="ignore"):
        for _ in range(60):
            optimizer.zero_grad()
            dl.losses.mse(model(x), y).backward()
            norm = np.sqrt(sum(np.sum(p.grad**2) for p in model.parameters()))
            if not norm < 1e100:
                break
            norms.append(norm)
            if clip:
                dl.optim.clip_grad_norm(model, 1.0)
            optimizer.step()
    return np.array(norms)


def run():
    seeds = range(7)
    runs = {
        "calm": [network(CALM, seed) for seed in seeds],
        "wild": [network(WILD, seed) for seed in seeds],
        "clipped": [network(WILD, seed, clip=True) for seed in seeds],
    }
    steps = [len(norms) - 1 for norms in runs["wild"]]
    return {
        "paths": bowls(), "runs": runs, "calm": CALM, "wild": WILD, "seeds": len(seeds),
        "growth": lab.median([np.log10(norms[-1] / norms[0]) for norms in runs["wild"]]),
        "explosion": lab.median(steps), "exploded": sum(n[-1] > 1e6 * n[0] for n in runs["wild"]),
        "clipped": sum(np.isfinite(n[-1]) and n[-1] < 100 * n[0] for n in runs["clipped"]),
        "learned": sum(norms[-1] < norms[0] for norms in runs["calm"]),
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2)
    for factor, paths in data["paths"].items():
        label = {0.9: "0.9/λ: arrives", 1.9: "1.9/λ: overshoots", 2.1: "2.1/λ: diverges"}[factor]
        lab.band(left, range(STEPS + 1), paths, label, FACTORS[factor])
    left.axhline(0, color=lab.colour("grey"), lw=1, ls=":")
    left.set(xlabel="step", ylabel="θ", xlim=(0, STEPS), ylim=(-5, 9), title="a bowl")
    left.legend(loc="upper left")
    inks = {"calm": "green", "wild": "vermilion", "clipped": "blue"}
    for name, runs in data["runs"].items():
        for norms in runs:
            right.plot(norms, color=lab.colour(inks[name]), alpha=0.6, lw=1.4)
    texts = {
        "calm": (f"η = {CALM}", (33, 1e-4)), "clipped": (f"η = {WILD}, clipped", (26, 1e5)),
        "wild": (f"η = {WILD}", (10, 1e14)),
    }  # fmt: skip
    for name, (text, place) in texts.items():
        right.text(*place, text, color=lab.colour(inks[name]), weight="bold")
    right.set(xlabel="step", ylabel="norm of the gradient", title="a network")
    right.set(yscale="log", ylim=(1e-6, 1e20))
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    paths = data["paths"]
    return {
        "below 1/λ no path overshoots": (paths[0.9] >= 0).all(),
        "at 1.9/λ each overshoots and arrives": (
            (paths[1.9].min(axis=1) < 0).all() and (np.abs(paths[1.9][:, -1]) < 0.1).all()
        ),
        "at 2.1/λ each ends farther away than it started": (np.abs(paths[2.1][:, -1]) > 10).all(),
        "the network learns at the low rate on all seeds": data["learned"] == data["seeds"],
        "and explodes at the high one on more than half": data["exploded"] > data["seeds"] / 2,
        "clipping stops that on all": data["clipped"] == data["seeds"],
    }


if __name__ == "__main__":
    lab.show(globals())
