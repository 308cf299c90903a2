"""Adadelta needs no rate: python -m examples.claims adadelta."""

# %% [markdown]
# # The ratio of two averages
#
# Adadelta multiplies the gradient by the size of past steps over the size of past gradients. The
# paper has no rate; minidl has one, as PyTorch and Keras do: η, which is 1 by default.

# %%
from functools import partial

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Adadelta needs no learning rate to be chosen"
QUESTION = "Is η = 1, which leaves the rate out, the best for Adadelta?"
VERDICT = "not here"
ANSWER = (
    "After two epochs η = 1 gets {one:.0%} of the digits right, η = {best:g} gets {right:.0%}; in "
    "a ravine η = {ravine_best:g} takes {ravine:.0f} steps, η = 1 {ravine_one}"
)
REASON = (
    "At its start Adadelta has taken no steps, so ε alone sets the size of the first one: √(ε/(1 "
    "− ρ)) = 0.003. It has to work its way up, and a factor helps. How large a factor depends on "
    "the problem, as with any rate. On digits, patience helps as well: after ten epochs η = 1 "
    "gets {one_late:.1%} right."
)

# %% [markdown]
# ## The experiment
#
# Digits with 32 hidden units, at rates from a hundredth to a hundred times η = 1; and the ravine J
# = ½ (100 x² + y²) from five starts: the steps to a twentieth of the distance.

# %%
RATES = np.array([0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100])


def right(rate, epochs, seed):
    training, test = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 10], rng=seed)
    optimizer = dl.optim.Adadelta(model, lr=rate)
    lab.fit(model, optimizer, training, epochs=epochs, batch_size=32, seed=seed)
    return lab.accuracy(model, test)


def ravine():
    """The steps at each rate from each start, (rates, 5); inf if it takes more than 1,500."""
    starts = np.random.default_rng(0).uniform((0.5, 3), (1, 4), (5, 2))
    steps = []
    for rate in RATES:
        path = lab.descend(
            lambda theta: dl.sum(theta**2 * np.array([100.0, 1.0])) / 2, starts,
            partial(dl.optim.Adadelta, lr=rate), 1500,
        )  # fmt: skip
        far = np.linalg.norm(path, axis=-1) / np.linalg.norm(path[0], axis=-1)
        steps.append(lab.first(far <= 0.05))
    return np.array(steps)


def run():
    found = np.array([[right(rate, 2, seed) for rate in RATES] for seed in lab.SEEDS])
    medians, steps = np.median(found, axis=0), ravine()
    best, fewest = medians.argmax(), np.median(steps, axis=1)
    one = fewest[RATES == 1][0]
    return {
        "found": found, "one": medians[RATES == 1][0], "best": RATES[best], "right": medians[best],
        "steps": steps, "ravine": fewest.min(), "ravine_best": RATES[fewest.argmin()],
        "ravine_one": f"{one:.0f}" if np.isfinite(one) else "more than 1,500", "fewest_one": one,
        "one_late": lab.median([right(1, 10, seed) for seed in lab.SEEDS]),
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right_axes) = lab.new_figure(1, 2)
    lab.band(left, RATES, data["found"], "", "Adadelta", marker="o")
    left.set(ylabel="right after two epochs", ylim=(0, 1.05), title="digits")
    left.yaxis.set_major_formatter("{x:.0%}")
    shown = np.isfinite(data["steps"]).all(axis=1)
    lab.band(right_axes, RATES[shown], data["steps"][shown].T, "", "Adadelta", marker="o")
    top = 1600
    right_axes.plot(RATES[~shown], [top] * (~shown).sum(), "x", color=lab.colour("Adadelta"), ms=10)
    if not shown.all():
        right_axes.text(0.009, top - 130, "more than 1,500", color=lab.colour("Adadelta"))
    right_axes.set(ylabel="steps to a twentieth", ylim=(0, top + 100), title="a ravine")
    for axes in (left, right_axes):
        axes.set(xscale="log", xlabel="factor η")
        axes.axvline(1, color=lab.colour("vermilion"), lw=1.5, ls="--")
        axes.text(
            1.15, 0.03, "η = 1", color=lab.colour("vermilion"), transform=axes.get_xaxis_transform()
        )
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "after two epochs η = 1 gets 2 % fewer right than the best rate": (
            data["one"] < data["right"] - 0.02
        ),
        "in the ravine it takes twice as many steps or more": (
            data["fewest_one"] > 2 * data["ravine"]
        ),
        "the two best rates differ": data["best"] != data["ravine_best"],
        "after ten epochs η = 1 gets more than 93 % right": data["one_late"] > 0.93,
    }


if __name__ == "__main__":
    lab.show(globals())
