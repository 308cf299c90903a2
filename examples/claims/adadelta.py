"""Adadelta needs no rate: python -m examples.claims adadelta."""

# %% [markdown]
# # The ratio of two averages
#
# Adadelta multiplies the gradient by the size of past steps over the size of past gradients. The
# paper has no rate; minidl has one, η, which is 1 by default, as do PyTorch and Keras.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Adadelta needs no learning rate to be chosen"
QUESTION = "Is η = 1, which leaves the rate out, the best for Adadelta?"
VERDICT = "not here"
ANSWER = (
    "After two epochs η = 1 gets {one:.0%} of the digits right, η = {best:g} gets {right:.0%}; on "
    "Beale's function η = 1 doesn't arrive, {beale_best:g} does"
)
REASON = (
    "At its start Adadelta has taken no steps, and ε alone sets the size of the first: √ε = 0.001. "
    "It has to work its way up, so a factor helps. But the choice is easier than for other "
    "rules: η = 1 is never bad for long, after ten epochs it gets {one_late:.1%} right, and rates "
    "from {low:g} to {high:g} get within 3 % of the best in two; for Adam it is {low_adam:g} to "
    "{high_adam:g}."
)

# %% [markdown]
# ## The experiment
#
# Digits with 32 hidden units, at rates from a hundredth to a hundred times η = 1, and Beale's
# function, 400 steps from five starts.

# %%
RATES = np.array([0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100])


def right(rule, rate, epochs, seed):
    training, test = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 10], rng=seed)
    optimizer = getattr(dl.optim, rule)(model, lr=rate)
    lab.fit(model, optimizer, training, epochs=epochs, batch_size=32, seed=seed)
    return lab.accuracy(model, test)


def beale():
    """The share of steps and starts: (rates, starts), inf where the minimum isn't reached."""
    rng = np.random.default_rng(0)
    starts = np.array([1, 1.5]) + rng.uniform(-0.2, 0.2, (5, 2))
    steps = []
    for rate in RATES:
        race = dl.viz.race("beale", ["Adadelta"], lr=rate, start=starts, steps=400)
        steps.append([np.inf if t is None else t for t in race.runs[0].arrived])
    return np.array(steps)


def run():
    scale = {"Adadelta": 1, "Adam": 1e-3}
    found = {
        rule: np.array(
            [[right(rule, factor * rate, 2, seed) for rate in RATES] for seed in lab.SEEDS]
        )
        for rule, factor in scale.items()
    }
    medians = {rule: np.median(values, axis=0) for rule, values in found.items()}
    good = {rule: RATES[values > values.max() - 0.03] for rule, values in medians.items()}
    best = medians["Adadelta"].argmax()
    steps = np.median(beale(), axis=1)
    return {
        "right_all": found, "one": medians["Adadelta"][4], "best": RATES[best],
        "right": medians["Adadelta"][best], "beale": steps, "beale_one": steps[4],
        "beale_best": RATES[steps.argmin()], "low": good["Adadelta"][0],
        "high": good["Adadelta"][-1], "low_adam": good["Adam"][0] / 1000,
        "high_adam": good["Adam"][-1] / 1000,
        "one_late": lab.median([right("Adadelta", 1, 10, seed) for seed in lab.SEEDS]),
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right_axes) = lab.new_figure(1, 2, width_ratios=(1.7, 1))
    for rule, values in data["right_all"].items():
        name = rule if rule == "Adadelta" else "Adam, η × 1000"
        lab.band(left, RATES, values, name, rule, marker="o")
    left.set(xscale="log", xlabel="learning rate η", ylabel="right on unseen digits, two epochs")
    left.yaxis.set_major_formatter("{x:.0%}")
    left.set_ylim(0, 1.05)
    left.axvline(1, color=lab.colour("grey"), lw=1, ls=":")
    left.text(1.1, 0.03, "η = 1", color=lab.colour("grey"))
    left.legend(loc="center right")
    shown = np.isfinite(data["beale"])
    right_axes.plot(RATES[shown], data["beale"][shown], "o", color=lab.colour("Adadelta"), ms=10)
    right_axes.plot(RATES[~shown], [430] * (~shown).sum(), "x", color=lab.colour("Adadelta"), ms=10)
    right_axes.text(0.009, 450, "not in 400 steps", color=lab.colour("Adadelta"))
    right_axes.set(xscale="log", xlabel="learning rate η", title="Beale: steps to the minimum")
    right_axes.set_ylim(0, 490)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "after two epochs η = 1 gets 5 % fewer right than the best rate": (
            data["one"] < data["right"] - 0.05
        ),
        "the best rate is three or more": data["best"] >= 3,
        "on Beale's function η = 1 doesn't arrive": not np.isfinite(data["beale_one"]),
        "and a larger one does": data["beale_best"] > 1,
        "after ten epochs η = 1 gets more than 93 % right": data["one_late"] > 0.93,
    }


if __name__ == "__main__":
    lab.show(globals())
