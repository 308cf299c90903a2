"""Momentum overshoots the minimum: python -m examples.claims momentum_overshoots."""

# %% [markdown]
# # A ball that rolls too far
#
# On a bowl, gradient descent with a moderate rate approaches the minimum from one side. Momentum
# remembers the slope that it came down, and is still moving when it arrives.

# %%
from functools import partial

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Momentum may overshoot the minimum"
QUESTION = "Does Momentum run past the minimum of a bowl, where plain gradient descent does not?"
VERDICT = "holds"
ANSWER = "Momentum runs past the minimum by {momentum:.0%} of the way, NAG by {nag:.0%}, SGD not"
REASON = (
    "The average of past gradients still points forward at the minimum. With β = {beta} and η = "
    "{rate} Momentum turns back only after {momentum:.3f} of the distance that it came down, from "
    "every start: the bowl is quadratic, so the path scales with the start. NAG looks ahead, and "
    "brakes earlier."
)

# %% [markdown]
# ## The experiment
#
# J = ½θ², from starts between 0.5 and 3. Each path is divided by its start: from 1 to the minimum
# at 0; below 0 it is past the minimum.

# %%
RATE, BETA, STEPS = 0.3, 0.9, 100
RULES = {
    "SGD": partial(dl.optim.SGD, lr=RATE),
    "Momentum": partial(dl.optim.Momentum, lr=RATE, beta=BETA),
    "NAG": partial(dl.optim.NAG, lr=RATE, beta=BETA),
}


def run():
    starts = np.random.default_rng(0).uniform(0.5, 3, len(lab.SEEDS))
    paths = {}
    for name, rule in RULES.items():
        path = lab.descend(lambda theta: dl.sum(theta**2) / 2, starts, rule, STEPS)
        paths[name] = (path / starts).T
    beyond = {name.lower(): lab.median(-path.min(axis=1)) for name, path in paths.items()}
    return {"paths": paths, "rate": RATE, "beta": BETA} | beyond


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    for name, path in data["paths"].items():
        lab.band(axes, range(STEPS + 1), path, name, name)
    for name, offset in {"Momentum": (110, -10), "NAG": (150, 20)}.items():
        path = np.median(data["paths"][name], axis=0)
        low = path.argmin()
        axes.plot(low, path[low], "o", color=lab.colour(name), ms=9)
        lab.point_at(axes, f"{name}: {-path[low]:.3f} past it", (low, path[low]), offset, name)
    lab.point_at(axes, "SGD: never past it", (5, 0.168), (110, 40), "SGD")
    axes.axhline(0, color=lab.colour("grey"), lw=1.2, ls=":")
    axes.text(STEPS, 0.02, "minimum", color=lab.colour("grey"), ha="right")
    axes.set(xlabel="step", ylabel="θ / start", ylim=(-0.6, 1.05), xlim=(0, STEPS))
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "SGD never runs past the minimum": data["sgd"] < 0,
        "Momentum runs farther past it than NAG": data["momentum"] > data["nag"] > 0.05,
    }


if __name__ == "__main__":
    lab.show(globals())
