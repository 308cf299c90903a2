"""Adagrad's rate decays to nothing: python -m examples.claims adagrad_decays."""

# %% [markdown]
# # A sum that only grows
#
# Adagrad divides by the root of the sum of all squared gradients. As long as gradients are noisy,
# the sum grows, and the steps shrink.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Adagrad's rate decays until it learns no more"
QUESTION = "Does Adagrad still follow a target that changes late?"
VERDICT = "holds"
ANSWER = (
    "Adagrad finds the target in {early:.0f} steps; when it changes after {jump:,} steps, it needs "
    "{late:.0f}"
)
REASON = (
    "From step 10 to step {jump:,} the effective rate, step over gradient, falls by {fall:.0f}, "
    "as 1/√t does ({root:.0f}). On a fixed target that is no loss: a falling rate averages the "
    "noise away. SGD with the same first effective rate needs {early_sgd:.0f} and {late_sgd:.0f} "
    "steps."
)

# %% [markdown]
# ## The experiment
#
# Linear regression with eight weights from a stream of noisy samples, in batches of 8. After 2,000
# steps the true weights change their signs. Found means: the mean distance of ten steps is below a
# quarter.

# %%
JUMP, STEPS = 2000, 6000
RULES = {"Adagrad": 0.5, "SGD": 0.02}


def follow(rule, rate, seed):
    """The distance to the target before each step, and the effective rate of each step."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1.0, 1.0], (8, 1))
    weight = dl.Tensor(np.zeros((8, 1)), requires_grad=True)
    optimizer = getattr(dl.optim, rule)([weight], lr=rate)

    @dl.capture
    def step(x, y):
        optimizer.zero_grad()
        loss = dl.losses.mse(x @ weight, y)
        loss.backward()
        optimizer.step()
        return loss

    far, rates = [], []
    for t in range(STEPS):
        target = truth if t < JUMP else -truth
        x = rng.normal(size=(8, 8))
        far.append(np.linalg.norm(weight.data - target) / np.linalg.norm(truth))
        before = weight.data.copy()
        step(x, x @ target + rng.normal(scale=0.5, size=(8, 1)))
        rates.append(np.linalg.norm(weight.data - before) / np.linalg.norm(weight.grad))
    return far, rates


def found(far):
    """The steps until the mean distance of ten steps is below a quarter."""
    means = np.convolve(far, np.ones(10) / 10, mode="valid")
    return min(lab.first(means < 0.25), len(far))


def run():
    data = {"far": {}, "rates": {}, "jump": JUMP}
    for rule, rate in RULES.items():
        far, rates = np.swapaxes([follow(rule, rate, seed) for seed in lab.SEEDS], 0, 1)
        data["far"][rule], data["rates"][rule] = far, rates
        suffix = "" if rule == "Adagrad" else "_sgd"
        data[f"early{suffix}"] = lab.median([found(run[:JUMP]) for run in far])
        data[f"late{suffix}"] = lab.median([found(run[JUMP:]) for run in far])
    rates = data["rates"]["Adagrad"]
    data["fall"] = lab.median(
        rates[:, 5:15].mean(axis=1) / rates[:, JUMP - 100 : JUMP].mean(axis=1)
    )
    return data | {"root": np.sqrt(JUMP / 10)}


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2)
    steps = np.arange(STEPS).reshape(-1, 20).mean(axis=1)
    for rule in RULES:
        for axes, values in ((left, data["far"][rule]), (right, data["rates"][rule])):
            means = values.reshape(len(values), -1, 20).mean(axis=2)
            lab.band(axes, steps, means, rule, rule)
    for axes in (left, right):
        axes.axvline(JUMP, color=lab.colour("grey"), lw=1, ls=":")
        axes.set(xlabel="step", xlim=(0, STEPS))
    left.set(ylabel="distance to the target")
    left.text(JUMP + 80, 1.85, "the target changes", color=lab.colour("grey"))
    right.set(ylabel="effective rate", yscale="log")
    lab.log_ticks(right.yaxis)
    lab.label_lines(right)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "the effective rate falls about as 1/√t": 0.6 < data["fall"] / data["root"] < 1.6,
        "the late target takes more than ten times as long": data["late"] > 10 * data["early"],
        "SGD takes at most twice as long": data["late_sgd"] < 2 * data["early_sgd"],
    }


if __name__ == "__main__":
    lab.show(globals())
