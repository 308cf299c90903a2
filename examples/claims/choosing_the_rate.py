"""The learning rate is hard to choose: python -m examples.claims choosing_the_rate."""

# %% [markdown]
# # The window of good rates
#
# A rate that is too small gets nowhere, and one that is too large destroys what was learned. How
# wide is the window in between, and is it the same for each rule?

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "The learning rate must be chosen, and the choice decides"
QUESTION = "Is there a rate that serves every optimizer?"
VERDICT = "holds"
ANSWER = (
    "SGD is best at η = {sgd:.2g}, Adam at {adam:.2g}; at Adam's best rate SGD gets only "
    "{sgd_at_adam:.0%} right, at SGD's Adam {adam_at_sgd:.0%}"
)
REASON = (
    "A step of SGD is η times the gradient, whose size is that of the loss; a step of Adam is "
    "about η in each weight, whatever the loss. Each rule has a window of good rates, about a "
    "factor of ten wide, and the windows don't share a rate that is good for all."
)

# %% [markdown]
# ## The experiment
#
# A network with one hidden layer of 32 units reads digits after three epochs, at nine rates.

# %%
RATES = 10 ** np.arange(-3.5, 0.51, 0.5)
RULES = "SGD", "Momentum", "RMSprop", "Adam"


def train(rule, rate, seed):
    training, test = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 10], rng=seed)
    optimizer = getattr(dl.optim, rule)(model, lr=rate)
    lab.fit(model, optimizer, training, epochs=3, batch_size=32, seed=seed)
    return lab.accuracy(model, test)


def run():
    right = {
        rule: np.array([[train(rule, rate, seed) for rate in RATES] for seed in lab.SEEDS])
        for rule in RULES
    }
    medians = {rule: np.median(values, axis=0) for rule, values in right.items()}
    best = {rule: values.argmax() for rule, values in medians.items()}
    return {
        "right": right, "medians": medians, "sgd": RATES[best["SGD"]], "adam": RATES[best["Adam"]],
        "sgd_at_adam": medians["SGD"][best["Adam"]], "adam_at_sgd": medians["Adam"][best["SGD"]],
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    places = {"SGD": (0.45, 0.99), "Momentum": (1.15, 0.83), "RMSprop": (8e-4, 0.99)}
    places["Adam"] = 2.6e-3, 0.73
    for rule, right in data["right"].items():
        lab.band(axes, RATES, right, rule, rule, marker=".")
        axes.text(*places[rule], rule, color=lab.colour(rule), weight="bold", ha="center")
    axes.set(xscale="log", xlabel="learning rate η", ylabel="right on unseen digits")
    axes.set_ylim(0, 1.05)
    axes.yaxis.set_major_formatter("{x:.0%}")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    common = np.min(list(data["medians"].values()), axis=0)
    return {
        "each rule has a rate with more than 90 % right": all(
            values.max() > 0.9 for values in data["medians"].values()
        ),
        "no rate has that for all": not (common > 0.9).any(),
        "the best rates of SGD and Adam differ by a factor of ten or more": (
            data["sgd"] > 9.9 * data["adam"]
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
