"""Momentum damps oscillation and is faster in a ravine: python -m examples.claims momentum."""

# %% [markdown]
# # A ball in a ravine
#
# Gradients across the ravine change their sign from step to step, and cancel in an average. Those
# along the floor agree, and add up.

# %%
from functools import partial

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Momentum damps oscillation, and so converges faster"
QUESTION = "In a ravine, does an average of past gradients cancel the jumps from wall to wall?"
VERDICT = "holds"
ANSWER = (
    "With the best rate of each, Momentum arrives after {momentum:.0f} steps, gradient "
    "descent after {sgd:.0f}"
)
REASON = (
    "At the same rate, 1.9/λ, gradient descent crosses the floor in each of {steps} steps, "
    "Momentum in {crossings:.0f}: its swings are slow, though at first hardly smaller. At the "
    "best rate of each, to a thousandth of the distance, its gain is a factor of {gain:.1f}. The "
    "ravine's curvatures are {curvature} and 1, and theory says that gradient descent needs a "
    "number of steps proportional to their ratio, Momentum with the right β to its root (Polyak "
    "1964)."
)

# %% [markdown]
# ## The experiment
#
# J = ½ (100 x² + y²) from five random starts. Each rule has the best of 60 rates: the one with the
# fewest steps to a thousandth of the distance.

# %%
CURVATURE, STEPS, NEAR = 100, 60, 1e-3
LONGEST = 800
RULES = {"SGD": dl.optim.SGD, "Momentum": dl.optim.Momentum}


def ravine(theta, rates=1.0):
    return dl.sum(theta**2 * (rates * np.array([CURVATURE, 1.0]))) / 2


def distance(path):
    with np.errstate(all="ignore"):
        return np.linalg.norm(path, axis=-1) / np.linalg.norm(path[0], axis=-1)


def best(rule, starts):
    """The number of steps at the best rate, and the distances on the way.

    All rates run at once: a rate η on the loss J does what a rate of 1 does on ηJ.
    """
    rates = np.geomspace(0.003, 1, 60)
    start = np.broadcast_to(starts, (len(rates), *starts.shape))
    path = lab.descend(
        lambda theta: ravine(theta, rates[:, None, None]), start, partial(rule, lr=1), LONGEST
    )
    far = distance(path)
    last = LONGEST + 1 - lab.first(~(far <= NEAR)[::-1])  # it stays near from this step on
    i = np.median(last, axis=1).argmin()
    return np.median(last[i]), far[:, i]


def run():
    rng = np.random.default_rng(0)
    starts = rng.uniform((0.5, 3), (1, 4), (len(lab.SEEDS), 2))
    bests = {name: best(rule, starts) for name, rule in RULES.items()}
    paths = {
        name: lab.descend(ravine, starts, partial(rule, lr=1.9 / CURVATURE), STEPS)
        for name, rule in RULES.items()
    }
    crossings = {
        name: (np.diff(np.sign(path[..., 0]), axis=0) != 0).sum(axis=0)
        for name, path in paths.items()
    }
    return {
        "paths": paths, "far": {name: far.T for name, (_, far) in bests.items()},
        "sgd": bests["SGD"][0], "momentum": bests["Momentum"][0],
        "gain": bests["SGD"][0] / bests["Momentum"][0], "all_crossings": crossings,
        "crossings": lab.median(crossings["Momentum"]), "curvature": CURVATURE, "steps": STEPS,
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2)
    for name, path in data["paths"].items():
        lab.band(left, range(STEPS + 1), (path[..., 0] / path[0, :, 0]).T, name, name)
    left.axhline(0, color=lab.colour("grey"), lw=1, ls=":")
    left.set(xlabel="step", ylabel="across the ravine / start", title="the same rate, 1.9/λ")
    left.set_xlim(0, STEPS)
    left.legend(loc="upper right")
    for name, far in data["far"].items():
        lab.band(right, range(LONGEST + 1), far, name, name)
        steps = data[name.lower()]
        right.plot(steps, NEAR, "o", color=lab.colour(name), ms=9)
        offset = (12, 22) if name == "SGD" else (38, -50)
        right.annotate(
            f"{name}:\n{steps:.0f} steps", (steps, NEAR), offset, textcoords="offset points",
            color=lab.colour(name), weight="bold",
        )  # fmt: skip
    right.axhline(NEAR, color=lab.colour("grey"), lw=1, ls=":")
    right.set(xlabel="step", ylabel="distance / start", title="the best rate of each")
    right.set(yscale="log", ylim=(1e-4, 2), xlim=(0, 600))
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    crossings = data["all_crossings"]
    return {
        "gradient descent crosses the floor in each step": (crossings["SGD"] == STEPS).all(),
        "Momentum crosses it in less than half of them": (
            (crossings["Momentum"] < STEPS / 2).all()
        ),
        "at its best rate it needs less than half of the steps": (
            data["momentum"] < data["sgd"] / 2
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
