"""A rate for each weight, from its gradients: python -m examples.claims adaptive_rate."""

# %% [markdown]
# # Features in metres and in millimetres
#
# One rate for all weights must suit the steepest one. An adaptive rule divides each step by the
# size of the weight's past gradients.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = (
    "Adaptive rates, one for each weight from the history of its gradients, speed learning up"
)
QUESTION = "Do adaptive rules learn faster than SGD, each at its best rate?"
VERDICT = "only if the weights need different rates"
ANSWER = (
    "With features of sizes 1 to 100, Adam arrives in {adam_raw:.0f} steps and SGD not in {steps}; "
    "with standardized ones, SGD in {sgd_same:.0f} and Adam in {adam_same:.0f}"
)
REASON = (
    "The curvature grows with the square of a feature's size, so the best rate for the largest "
    "feature is 10,000 times too small for the smallest. Adagrad needs {adagrad_raw:.0f} steps, "
    "RMSprop {rmsprop_raw:.0f}. With standardized features all weights want the same rate, and no "
    "adaptive rule is faster than plain SGD."
)

# %% [markdown]
# ## The experiment
#
# Linear regression with six weights and 200 samples: the steps over the whole set until the loss
# above the minimum stays below a thousandth of the first, at most 400. Each rule has the best of 25
# rates, for the median of five seeds.

# %%
SCALES, STEPS = np.geomspace(1, 100, 6), 400
RATES = np.geomspace(1e-5, 10, 25)
RULES = "SGD", "Adagrad", "RMSprop", "Adam"


def steps(rule, rate, scales, seed):
    """The number of steps to a thousandth of the loss."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 6))
    y = x @ rng.uniform(0.5, 2, (6, 1)) + rng.normal(scale=0.3, size=(200, 1))
    x = x * scales
    weight = dl.Tensor(np.zeros((6, 1)), requires_grad=True)
    optimizer = getattr(dl.optim, rule)([weight], lr=rate)
    step = lab.training_step(optimizer, lambda x, y: dl.losses.mse(x @ weight, y))
    losses = step.epoch(np.tile(x, (STEPS, 1)), np.tile(y, (STEPS, 1)), batch_size=len(x))
    lowest = np.mean((x @ np.linalg.lstsq(x, y, rcond=None)[0] - y) ** 2)
    near = losses - lowest <= (losses[0] - lowest) / 1000
    return STEPS - lab.first(~near[::-1]) if near[-1] else STEPS


def run():
    data = {"counts": {}, "steps": STEPS}
    for kind, scales in (("raw", SCALES), ("same", np.ones(6))):
        for rule in RULES:
            found = np.array(
                [[steps(rule, rate, scales, seed) for seed in lab.SEEDS] for rate in RATES]
            )
            best = found[np.median(found, axis=1).argmin()]
            data["counts"][rule, kind] = best
            data[f"{rule.lower()}_{kind}"] = lab.median(best)
    return data


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, panels = lab.new_figure(1, 2, sharex=True, sharey=True)
    for axes, kind in zip(panels, ("raw", "same"), strict=True):
        lab.strip(axes, {rule: data["counts"][rule, kind] for rule in RULES}, RULES, "{:.0f}")
        axes.set(xlabel="steps to a thousandth of the loss", xlim=(-10, STEPS + 30))
        axes.set_title("features of sizes 1 to 100" if kind == "raw" else "standardized features")
    panels[0].text(STEPS - 10, 0.4, "not in 400 steps", ha="right")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    adaptive = [rule.lower() for rule in RULES[1:]]
    return {
        "with raw features SGD doesn't arrive": data["sgd_raw"] == STEPS,
        "each adaptive rule does": all(data[f"{rule}_raw"] < STEPS for rule in adaptive),
        "with standardized features none is faster than SGD": all(
            data[f"{rule}_same"] >= data["sgd_same"] for rule in adaptive
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
