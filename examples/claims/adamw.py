"""What AdamW adds to Adam: python -m examples.claims adamw."""

# %% [markdown]
# # Weight decay beside the gradient
#
# With Adam, weight decay is added to the gradient, and divided by its size like the rest. AdamW
# multiplies the weight itself.

# %%
from functools import partial

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "AdamW decouples weight decay from the gradient"
QUESTION = "Do all weights decay at the same speed, whatever the size of their gradients?"
VERDICT = "holds"
ANSWER = (
    "After {steps} steps AdamW has left {adamw_low:.2f} of each weight; Adam {adam_low:.2f} where "
    "gradients are tiny, {adam_high:.2f} where they are large"
)
REASON = (
    "(1 − ηλ)ᵗ with η = {rate} and λ = {decay} is {theory:.2f}: AdamW's weights follow it, "
    "whatever the gradient. Adam divides the decay by √v: a weight with a large gradient is "
    "hardly decayed, and one with a tiny gradient goes to 0 at full speed, η a step."
)

# %% [markdown]
# ## The experiment
#
# Weights of 1 whose gradients are pure noise, of standard deviations from 0.001 to 1,000; the mean
# of 200 weights of each size.

# %%
SIZES, RATE, DECAY, STEPS = 10.0 ** np.arange(-3, 4), 0.003, 0.3, 800


def decay(rule, seed):
    """What is left of the weights of each size."""
    rng = np.random.default_rng(seed)
    weight = dl.Tensor(np.ones((len(SIZES), 200)), requires_grad=True)
    optimizer = rule([weight])
    for _ in range(STEPS):
        weight.grad = rng.normal(size=weight.shape) * SIZES[:, None]
        optimizer.step()
    return weight.data.mean(axis=1)


def run():
    rules = {
        name: partial(getattr(dl.optim, name), lr=RATE, weight_decay=DECAY)
        for name in ("Adam", "AdamW")
    }
    left = {
        name: np.array([decay(rule, seed) for seed in lab.SEEDS]) for name, rule in rules.items()
    }
    medians = {name: np.median(values, axis=0) for name, values in left.items()}
    return {
        "left": left, "medians": medians, "theory": (1 - RATE * DECAY) ** STEPS, "steps": STEPS,
        "rate": RATE, "decay": DECAY, "adamw_low": medians["AdamW"][0],
        "adam_low": medians["Adam"][0], "adam_high": medians["Adam"][-1],
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    for name, ink, dashes in (("Adam", "vermilion", "solid"), ("AdamW", "blue", "dashed")):
        lab.band(axes, SIZES, data["left"][name], name, ink, marker="o", linestyle=dashes)
    axes.set(xscale="log", xlabel="standard deviation of the gradient", ylim=(-0.05, 1.08))
    axes.set_ylabel("left of the weight")
    lab.label_lines(axes)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    adam, adamw = data["medians"]["Adam"], data["medians"]["AdamW"]
    return {
        "AdamW's weights follow (1 − ηλ)ᵗ, to 0.05": (np.abs(adamw - data["theory"]) < 0.05).all(),
        "Adam's with tiny gradients are at 0": abs(adam[0]) < 0.05,
        "those with the largest keep more than nine tenths": adam[-1] > 0.9,
    }


if __name__ == "__main__":
    lab.show(globals())
