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
QUESTION = "The later a target changes, the longer does Adagrad take to follow?"
VERDICT = "only if the training is long"
ANSWER = (
    "A target that changes after {soon} steps is found in {steps_soon:.0f}; one that changes after "
    "{late:,} in {steps_late:.0f}"
)
REASON = (
    "From step {soon} to step {late:,} the effective rate, step over gradient, falls by a factor "
    "of {fall:.1f}. It never becomes 0, but the sum of squares only grows, and each new target "
    "takes longer. SGD at the fixed rate {rate_sgd} needs {sgd_soon:.0f} and {sgd_late:.0f} steps. "
    "On a fixed target the falling rate is no loss: it averages the noise away."
)

# %% [markdown]
# ## The experiment
#
# Linear regression with eight weights from a stream of noisy samples, in batches of 8. After 30 to
# 10,000 steps the true weights change their signs. Found means: the mean distance of ten steps is
# below a quarter.

# %%
CHANGES, LONGEST = (30, 300, 3000, 10_000), 4000
RULES = {"Adagrad": 0.1, "SGD": 0.02}


def follow(rule, rate, change, seed):
    """The distance to the target before each step, and the effective rate of each step."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1.0, 1.0], (8, 1))
    weight = dl.Tensor(np.zeros((8, 1)), requires_grad=True)
    optimizer = getattr(dl.optim, rule)([weight], lr=rate)
    step = lab.training_step(optimizer, lambda x, y: dl.losses.mse(x @ weight, y))

    far, rates = [], []
    for t in range(change + LONGEST):
        if t > change + 10 and np.mean(far[-10:]) < 0.25:
            break
        target = truth if t < change else -truth
        x = rng.normal(size=(8, 8))
        far.append(np.linalg.norm(weight.data - target) / np.linalg.norm(truth))
        before = weight.data.copy()
        step(x, x @ target + rng.normal(scale=0.5, size=(8, 1)))
        rates.append(np.linalg.norm(weight.data - before) / np.linalg.norm(weight.grad))
    return far, rates


def follow_all(rule, rate):
    """The steps to find each new target; distances and effective rates before the last change."""
    counts, latest = [], []
    for seed in lab.SEEDS:
        runs = [follow(rule, rate, change, seed) for change in CHANGES]
        counts.append([len(far) - change for (far, _), change in zip(runs, CHANGES, strict=True)])
        latest.append([values[: CHANGES[-1]] for values in runs[-1]])
    far, rates = np.swapaxes(latest, 0, 1)
    return np.array(counts), far, rates


def run():
    counts, rates = {}, {}
    for rule, rate in RULES.items():
        counts[rule], _, rates[rule] = follow_all(rule, rate)
    medians = {rule: np.median(values, axis=0) for rule, values in counts.items()}
    effective = np.median(rates["Adagrad"], axis=0)
    return {
        "counts": counts, "rates": rates, "soon": CHANGES[0], "late": CHANGES[-1],
        "steps_soon": medians["Adagrad"][0], "steps_late": medians["Adagrad"][-1],
        "sgd_soon": medians["SGD"][0], "sgd_late": medians["SGD"][-1], "rate_sgd": RULES["SGD"],
        "fall": effective[CHANGES[0] - 5 : CHANGES[0]].mean() / effective[-20:].mean(),
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2)
    steps = np.unique(np.geomspace(10, CHANGES[-1], 60).astype(int)) - 1
    for rule in data["rates"]:
        lab.band(left, steps, data["rates"][rule][:, steps], rule, rule)
        lab.band(right, CHANGES, data["counts"][rule], rule, rule, marker="o")
    left.set(xscale="log", yscale="log", xlabel="step", ylabel="effective rate, step / gradient")
    right.set(xscale="log", xlabel="step of the change", ylabel="steps to find the new target")
    right.set_ylim(0, None)
    lab.log_ticks(left.yaxis)
    right.set_xticks(CHANGES, [f"{change:,}" for change in CHANGES])
    right.minorticks_off()
    for axes in (left, right):
        lab.label_lines(axes)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "Adagrad takes more than twice as long for the late change": (
            data["steps_late"] > 2 * data["steps_soon"]
        ),
        "its effective rate falls by more than three": data["fall"] > 3,
        "SGD takes about as long for either": 0.7 < data["sgd_late"] / data["sgd_soon"] < 1.5,
    }


if __name__ == "__main__":
    lab.show(globals())
