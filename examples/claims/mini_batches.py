"""Mini-batches are the compromise: python -m examples.claims mini_batches."""

# %% [markdown]
# # Between one sample and all of them
#
# A larger batch uses the processor better, and its gradient is better; but there are fewer steps.

# %%
import time

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Mini-batches combine the speed of whole-set arithmetic with frequent steps"
QUESTION = "Which batch size learns the most in a second?"
VERDICT = "holds"
ANSWER = (
    "Batches of 1,024 read {speed:.0f} times as many samples a second as single ones, but those "
    "of {best} learn the fastest"
)
REASON = (
    "The seconds to a training loss of {goal} are the product of two things: the steps, which fall "
    "with the batch size until the gradient is good enough, and the time of a step, which hardly "
    "grows at first. Single samples take {slow_one:.1f} times as long as the best batches, batches "
    "of 1,024 {slow_large:.1f} times. Each size has the best of five rates; the times are those of "
    "captured steps on one thread of this machine."
)

# %% [markdown]
# ## The experiment
#
# Digits, a network with 64 hidden units, SGD: the time of a captured step, and the steps until a
# moving mean of the loss is below 0.3.

# %%
TIMED = True  # runs alone
SIZES = 1, 4, 16, 64, 256, 1024
RATES = 0.03, 0.1, 0.3, 1.0, 2.0
GOAL, SEEN = 0.3, 60_000


def training(rate, seed):
    (x, y), _ = lab.digits(seed)
    model = dl.nn.MLP([64, 64, 10], rng=seed)
    optimizer = dl.optim.SGD(model, lr=rate)
    step = lab.training_step(optimizer, lambda x, y: dl.losses.cross_entropy(model(x), y))
    return step, x, y


def seconds(size):
    """The time of a step, as the shortest of several epochs."""
    step, x, y = training(0.01, 0)
    rows = np.resize(np.arange(len(x)), max(2 * size, 256))
    times = []
    for _ in range(100):
        begin = time.perf_counter()
        step.epoch(x, y, batch_size=size, order=rows)
        times.append((time.perf_counter() - begin) / (len(rows) / size))
    return min(times)


def steps(size, rate, seed):
    """The number of steps to the goal; inf if the samples seen don't suffice."""
    step, x, y = training(rate, seed)
    rng = np.random.default_rng(seed)
    most = min(SEEN // size, 6000)
    order = np.concatenate([rng.permutation(len(x)) for _ in range(size * most // len(x) + 1)])
    losses = step.epoch(x, y, batch_size=size, order=order[: size * most])
    window = max(1, 256 // size)
    means = np.convolve(losses, np.ones(window) / window, mode="valid")
    return lab.first(means < GOAL) + window


def run():
    times = np.array([seconds(size) for size in SIZES])
    counts = np.array(
        [
            min(
                ([steps(size, rate, seed) for seed in lab.SEEDS] for rate in RATES),
                key=np.median,
            )
            for size in SIZES
        ]
    )
    needed = counts * times[:, None]
    medians = np.median(needed, axis=1)
    best = medians.argmin()
    return {
        "rates": SIZES / times, "counts": counts, "needed": needed, "goal": GOAL,
        "speed": SIZES[-1] / times[-1] * times[0], "best": SIZES[best],
        "slow_one": medians[0] / medians[best], "slow_large": medians[-1] / medians[best],
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, panels = lab.new_figure(1, 3)
    for axes, values, text in zip(
        panels,
        (data["rates"][:, None], data["counts"], 1000 * data["needed"]),
        ("samples a second", f"steps to a loss of {GOAL}", f"ms to a loss of {GOAL}"),
        strict=True,
    ):
        lab.band(axes, SIZES, values.T, "", "blue", marker="o")
        axes.set(xscale="log", yscale="log", xlabel="batch size")
        axes.set_title(text)
        axes.set_xticks([1, 16, 256], ["1", "16", "256"])
        axes.minorticks_off()
    best = SIZES.index(data["best"])
    panels[2].plot(
        data["best"], 1000 * np.median(data["needed"][best]), "o", color=lab.colour("vermilion"),
        ms=13, zorder=3,
    )  # fmt: skip
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "large batches read at least three times as many samples a second": data["speed"] > 3,
        "the fastest to learn is neither the smallest nor the largest": (
            SIZES[0] < data["best"] < SIZES[-1]
        ),
        "single samples take more than 1.2 times as long": data["slow_one"] > 1.2,
        "the largest batches more than twice as long": data["slow_large"] > 2,
    }


if __name__ == "__main__":
    lab.show(globals())
