"""Batch gradient descent is exact and slow: python -m examples.claims batch_gradient_descent."""

# %% [markdown]
# # One step for the whole data set
#
# Gradient descent over the whole set knows its gradient exactly, and pays for each step with a pass
# over all samples.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = (
    "Batch gradient descent steps along the exact gradient, but each step costs the whole set"
)
QUESTION = "Is its loss smooth, and does it learn slower for the same number of samples seen?"
VERDICT = "holds"
ANSWER = (
    "The whole set's loss rises in {rises_whole:.0%} of the steps, that of batches in {rises:.0%}; "
    "after ten passes it is {whole:.2f}, with batches {batches:.2f}"
)
REASON = (
    "Ten passes are ten steps over the whole set, and {steps} with batches of 32. A step over the "
    "whole set is the better one: after ten steps the batches are at {same_steps:.2f}. It isn't "
    "{more:.0f} times as good, though it sees {more:.0f} times as many samples. Rates are the "
    "best of five for each."
)

# %% [markdown]
# ## The experiment
#
# A network with 32 hidden units reads digits for ten passes; SGD with the best of five rates, for
# the median of the last losses.

# %%
RATES, PASSES, SIZE = (0.1, 0.2, 0.4, 0.8, 1.6), 10, 1437


def losses(batch, rate, seed):
    """The loss of each step; in pieces of one pass the mean."""
    training, _ = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 10], rng=seed)
    optimizer = dl.optim.SGD(model, lr=rate)
    history = lab.fit(model, optimizer, training, epochs=PASSES, batch_size=batch, seed=seed)
    return history.step_loss


def run():
    best = {}
    for batch in (None, 32):
        found = [np.array([losses(batch, rate, seed) for seed in lab.SEEDS]) for rate in RATES]
        tail = 1 if batch is None else 45
        best[batch] = min(found, key=lambda runs: np.median(runs[:, -tail:].mean(axis=1)))
    batches = best[32]
    return {
        "runs": best, "whole": lab.median(best[None][:, -1]), "steps": batches.shape[1],
        "batches": lab.median(batches[:, -45:].mean(axis=1)), "more": SIZE / 32,
        "same_steps": lab.median(batches[:, 8:12].mean(axis=1)),
        "rises_whole": np.mean(np.diff(best[None], axis=1) > 0),
        "rises": np.mean(np.diff(batches, axis=1) > 0),
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2, sharey=True)
    for batch, name, label in ((32, "vermilion", "batches of 32"), (None, "blue", "the whole set")):
        runs = data["runs"][batch]
        shown = min(runs.shape[1], 50)
        lab.band(left, range(1, shown + 1), runs[:, :shown], label, name)
        passes = np.arange(1, runs.shape[1] + 1) * (batch or SIZE) / SIZE
        lab.band(right, passes, runs, label, name, marker="o" if batch is None else "")
    left.lines[1].set_marker("o")
    left.set(xlabel="steps", ylabel="loss of the step", yscale="log", xlim=(0, 50))
    right.set(xlabel="passes over the samples", xlim=(0, PASSES))
    lab.log_ticks(left.yaxis)
    right.legend(loc="lower left")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "over the whole set the loss rises in less than a tenth of the steps": (
            data["rises_whole"] < 0.1
        ),
        "with batches it rises in more than a third of the steps": data["rises"] > 1 / 3,
        "for the same samples batches end at less than a third of the loss": (
            data["batches"] < data["whole"] / 3
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
