"""A rate that is too small is slow: python -m examples.claims rate_too_small."""

# %% [markdown]
# # Half the rate, twice the steps
#
# While the rate is small, n steps of length η cover the same distance as n/2 steps of length 2η.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "A rate that is too small is slow"
QUESTION = "Does half the rate take twice as many steps?"
VERDICT = "holds"
ANSWER = (
    "SGD needs {slow:.0f} steps at η = 0.01 and {fast:.0f} at 0.16: {ratio:.1f} times as many at a "
    "16th of the rate"
)
REASON = (
    "The steps to a training loss of {goal} on digits are counted. On the way from η = 0.01 to "
    "0.16 each doubling of the rate divides them by {least:.2f} to {most:.2f}. Beyond the best "
    "rate, {best}, larger ones don't help."
)

# %% [markdown]
# ## The experiment
#
# A network with one hidden layer of 32 units reads digits in batches of 32, until the mean loss of
# 20 steps is below 0.5.

# %%
RATES = 0.01 * 2.0 ** np.arange(8)
GOAL, WINDOW, EPOCHS = 0.5, 20, 50


class Reached(dl.callbacks.Callback):
    """Ends a training once the mean of the last losses is below the goal."""

    def on_step(self, training):
        losses = training.history.step_loss
        return len(losses) >= WINDOW and np.mean(losses[-WINDOW:]) < GOAL


def steps(rate, seed):
    training, _ = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 10], rng=seed)
    optimizer = dl.optim.SGD(model, lr=rate)
    history = lab.fit(
        model, optimizer, training, epochs=EPOCHS, batch_size=32, seed=seed, callbacks=[Reached()]
    )
    reached = np.mean(history.step_loss[-WINDOW:]) < GOAL
    return len(history.step_loss) if reached else np.inf


def run():
    counts = np.array([[steps(rate, seed) for rate in RATES] for seed in lab.SEEDS])
    medians = np.median(counts, axis=0)
    doublings = medians[:4] / medians[1:5]
    return {
        "counts": counts, "medians": medians, "slow": medians[0], "fast": medians[4],
        "ratio": medians[0] / medians[4], "least": doublings.min(), "most": doublings.max(),
        "goal": GOAL, "best": RATES[medians.argmin()],
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    shown = np.isfinite(data["counts"]).all(axis=0)
    lab.band(axes, RATES[shown], data["counts"][:, shown], "SGD", "SGD", marker="o")
    for rate, count in zip(RATES[shown], data["medians"][shown], strict=True):
        axes.annotate(
            f"{count:.0f}", (rate, count), (6, 8), textcoords="offset points", weight="bold"
        )
    line = data["slow"] * RATES[0] / RATES
    axes.plot(RATES, line, "--", color=lab.colour("grey"), lw=1.5)
    axes.text(RATES[-1], line[-1], "half the steps at\ntwice the rate", color=lab.colour("grey"))
    axes.set(
        xscale="log", yscale="log", xlabel="learning rate η", ylabel=f"steps to a loss of {GOAL}"
    )
    axes.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    axes.set_yticks([10, 30, 100, 300, 1000], ["10", "30", "100", "300", "1000"])
    axes.minorticks_off()
    axes.set_xlim(0.008, 2.6)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "each doubling up to 0.16 divides the steps by 1.7 to 2.1": (
            1.7 < data["least"] < data["most"] < 2.1
        ),
        "the best rate is above 0.16": data["best"] > 0.16,
    }


if __name__ == "__main__":
    lab.show(globals())
