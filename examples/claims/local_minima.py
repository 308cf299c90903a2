"""Training gets stuck in local minima: python -m examples.claims local_minima."""

# %% [markdown]
# # Four points that a line can't separate
#
# The exclusive or needs two hidden units. Does gradient descent find them?

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Training gets stuck in local minima"
QUESTION = "How often does gradient descent miss a solution that the network has?"
VERDICT = "only if the network is small"
ANSWER = (
    "With two hidden units, {two:.0%} of the trainings miss the exclusive or; with sixteen "
    "{sixteen:.0%}"
)
REASON = (
    "Two units can represent the exclusive or, and most starts find it. The others end at a loss "
    "of about {stuck:.2f}, where the norm of the gradient is {slope:.0e}. With more units than "
    "needed, there is nearly always a way down: at four units {four:.0%} miss it."
)

# %% [markdown]
# ## The experiment
#
# 1,000 steps of gradient descent at η = 1 on the four points, from 12 random starts on each of five
# seeds. A training has missed if it doesn't classify all four points.

# %%
WIDTHS, STEPS, STARTS = (2, 3, 4, 8, 16), 1000, 12
X = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], np.float32)
Y = np.array([[0], [1], [1], [0]], np.float32)


def train(width, rng):
    """The loss at the end, the norm of the gradient there, and whether a point is wrong."""
    model = dl.nn.MLP([2, width, 1], "tanh", rng=rng)
    optimizer = dl.optim.SGD(model, lr=1.0)
    step = lab.training_step(optimizer, lambda x, y: dl.losses.binary_cross_entropy(model(x), y))
    losses = step.epoch(np.tile(X, (STEPS, 1)), np.tile(Y, (STEPS, 1)), batch_size=len(X))
    norm = np.sqrt(sum(np.sum(p.grad**2) for p in model.parameters()))
    return losses[-1], norm, np.any((dl.predict(model, X) > 0) != Y)


def run():
    rngs = [np.random.default_rng(seed) for seed in lab.SEEDS]
    ends = np.array(
        [[[train(width, rng) for _ in range(STARTS)] for rng in rngs] for width in WIDTHS]
    )
    missed = ends[..., 2].astype(bool)
    rates = missed.mean(axis=2)
    medians = dict(zip(WIDTHS, np.median(rates, axis=1), strict=True))
    return {
        "rates": rates, "two": medians[2], "four": medians[4], "sixteen": medians[16],
        "stuck": np.median(ends[0, ..., 0][missed[0]]),
        "slope": np.median(ends[0, ..., 1][missed[0]]),
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2, width_ratios=(1, 2.4))
    for label, name in ((0, "blue"), (1, "vermilion")):
        left.plot(*X[Y[:, 0] == label].T, "o", color=lab.colour(name), ms=18)
    left.set(xlim=(-2, 2), ylim=(-2, 2), xticks=[-1, 1], yticks=[-1, 1], aspect="equal")
    left.set_title("exclusive or")
    groups = {
        f"{width} hidden units": rate for width, rate in zip(WIDTHS, data["rates"], strict=True)
    }
    lab.strip(right, groups, "vermilion", "{:.0%}")
    right.set(xlabel=f"trainings that miss it, of {STARTS} on each seed", xlim=(-0.02, 0.6))
    right.xaxis.set_major_formatter("{x:.0%}")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "with two units more than a tenth of the trainings miss it": data["two"] > 0.1,
        "with sixteen none does": data["sixteen"] == 0,
        "those that miss it stand still": data["slope"] < 1e-2,
    }


if __name__ == "__main__":
    lab.show(globals())
