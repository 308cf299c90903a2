"""A fixed rate stays the same to the end: python -m examples.claims fixed_rate."""

# %% [markdown]
# # The same rate from start to end
#
# Where the gradient is exact, it shrinks towards the minimum, and so do the steps at a fixed rate.
# The gradient of a mini-batch doesn't shrink, as each batch has a minimum of its own.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "A fixed rate is the same from start to end"
QUESTION = "Does gradient descent at a fixed rate arrive at the minimum?"
VERDICT = "only if the gradients are exact"
ANSWER = (
    "At η = {rate}, whole-set gradients arrive to {exact:.0e}, batches of 4 stop at {noisy:.2f} of "
    "the distance"
)
REASON = (
    "With batches of 4, half the rate stops at {half:.2f} and a quarter at {quarter:.3f}: the "
    "distance that remains falls with the root of the rate, by {fall:.2f} where √2 is {root:.2f}. "
    "With the whole set each of these rates arrives."
)

# %% [markdown]
# ## The experiment
#
# Linear regression with ten weights and 1,000 noisy samples, at three fixed rates: the distance to
# the exact solution, relative to the first one.

# %%
RATE, STEPS = 0.1, 600


def distances(rate, batch, steps, seed):
    """The distance to the least-squares solution after each step, relative to the first."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1000, 10))
    y = x @ rng.normal(size=(10, 1)) + rng.normal(size=(1000, 1))
    exact = np.linalg.lstsq(x, y, rcond=None)[0]
    weight = dl.Tensor(np.zeros((10, 1)), requires_grad=True)
    optimizer = dl.optim.SGD([weight], lr=rate)
    step = lab.training_step(optimizer, lambda x, y: dl.losses.mse(x @ weight, y))

    far = [np.linalg.norm(exact)]
    for _ in range(steps):
        rows = slice(None) if batch is None else rng.integers(len(x), size=batch)
        step(x[rows], y[rows])
        far.append(np.linalg.norm(weight.data - exact))
    return np.array(far) / far[0]


def run():
    far = {
        (batch, factor): np.array(
            [distances(RATE * factor, batch, STEPS, seed) for seed in range(7)]
        )
        for batch in (None, 4)
        for factor in (1, 1 / 2, 1 / 4)
    }
    ends = {key: lab.median(runs[:, -200:].mean(axis=1)) for key, runs in far.items()}
    return {
        "far": far, "rate": RATE, "exact": lab.median(far[None, 1][:, 150]), "noisy": ends[4, 1],
        "half": ends[4, 1 / 2], "quarter": ends[4, 1 / 4], "root": np.sqrt(2),
        "fall": np.sqrt(ends[4, 1] / ends[4, 1 / 4]), "ends": ends,
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, panels = lab.new_figure(1, 2, sharey=True)
    names = {1: "vermilion", 1 / 2: "purple", 1 / 4: "blue"}
    for axes, batch in zip(panels, (None, 4), strict=True):
        for factor, name in names.items():
            label = f"η = {RATE * factor:g}"
            lab.band(axes, range(STEPS + 1), data["far"][batch, factor], label, name)
        axes.set_title("the whole set" if batch is None else "batches of 4")
        axes.set(xlabel="step", yscale="log", ylim=(1e-8, 2), xlim=(0, STEPS))
    panels[0].set_ylabel("distance / start")
    panels[1].legend(loc="lower left")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    ends = data["ends"]
    return {
        "with exact gradients each rate comes nearer than a millionth": all(
            ends[None, factor] < 1e-6 for factor in (1, 1 / 2, 1 / 4)
        ),
        "with batches none comes nearer than a hundredth": all(
            ends[4, factor] > 0.01 for factor in (1, 1 / 2, 1 / 4)
        ),
        "halving the rate divides the rest by about √2": 1.25 < data["fall"] < 1.7,
    }


if __name__ == "__main__":
    lab.show(globals())
