"""A small rate may stay in a local minimum: python -m examples.claims small_rate_local_minimum."""

# %% [markdown]
# # Two wells
#
# A curve with a shallow and a deep well. Small steps follow the slope down to the bottom of the
# well that they start in. A larger step may jump out.

# %%
from functools import partial

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "A rate that is too small may stay in a local minimum"
QUESTION = "Does a larger rate leave a shallow well that a small one stays in?"
VERDICT = "holds"
ANSWER = (
    "From the shallow well {low:.0%} of 200 starts reach the deep one at η = 0.05, {high:.0%} at "
    "{best:.2f}; from the deep well {lost:.0%} are lost there"
)
REASON = (
    "The bottom of the shallow well has the curvature {curvature:.2f}; above η = 2/λ = "
    "{border:.2f} no path can stay there. Below that, it is the first steep steps that jump. It "
    "is a jump, not a search: a rate near 2/λ of the deep well, {deep_border:.2f}, is too large "
    "for that one as well, and above it nothing settles."
)

# %% [markdown]
# ## The experiment
#
# f = x⁴ − x³/3 − 2x² + x has its wells near −1 and 1. Five times 40 random starts in the shallow
# well, from its border at 0.25 to 2, take 300 steps at each rate.

# %%
RATES = np.round(np.arange(0.01, 0.301, 0.01), 2)


def f(x):
    return (x**3 - x**2 / 3 - 2 * x + 1) * x


def run():
    rng = np.random.default_rng(0)
    shallow, deep = rng.uniform(0.26, 2, (5, 40)), rng.uniform(-2, 0.24, (5, 40))
    ends = {
        name: np.array(
            [
                lab.descend(lambda x: dl.sum(f(x)), starts, partial(dl.optim.SGD, lr=rate), 300)[-1]
                for rate in RATES
            ]
        )
        for name, starts in {"shallow": shallow, "deep": deep}.items()
    }
    there = {name: (np.abs(x + 1) < 0.05).mean(axis=2).T for name, x in ends.items()}
    middle = np.median(there["shallow"], axis=0)
    best = middle.argmax()
    return {
        "there": there, "low": middle[4], "high": middle[best], "best": RATES[best],
        "small": there["shallow"][:, RATES <= 0.05], "curvature": 12 - 2 - 4, "border": 2 / 6,
        "deep_border": 2 / (12 + 2 - 4), "lost": 1 - np.median(there["deep"], axis=0)[best],
        "above": np.maximum(*there.values())[:, RATES > 0.2],
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2, width_ratios=(1, 1.6))
    x = np.linspace(-1.9, 1.9, 200)
    left.plot(x, f(x), color=lab.colour("grey"))
    for bottom, text in ((-1, "deep"), (1, "shallow")):
        left.plot(bottom, f(bottom), "o", color=lab.colour("black"), ms=9)
        left.annotate(text, (bottom, f(bottom)), (0, -20), textcoords="offset points", ha="center")
    left.set(xlabel="weight", ylabel="loss", ylim=(-3.4, 4))
    lab.band(right, RATES, data["there"]["shallow"], "from the shallow well", "vermilion")
    lab.band(right, RATES, data["there"]["deep"], "from the deep well", "blue")
    right.set(xlabel="learning rate η", ylabel="end in the deep well", ylim=(-0.03, 1.05))
    right.yaxis.set_major_formatter("{x:.0%}")
    right.legend(loc=(0.03, 0.5))
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "up to η = 0.05 no start leaves the shallow well": not data["small"].any(),
        "at the best rate more than a fifth of the starts leave it": data["high"] > 1 / 5,
        "above 0.2 less than a fifth of the starts end in the deep well": (
            data["above"] < 0.2
        ).all(),
    }


if __name__ == "__main__":
    lab.show(globals())
