"""A warm-up protects the start: python -m examples.claims warm_up."""

# %% [markdown]
# # Raise the rate gradually
#
# The first estimates of Adam's averages rest on a few gradients of random weights. A large rate
# turns them into large steps. A warm-up makes the first steps small.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "A warm-up, a rate that is raised gradually at first, makes training stable"
QUESTION = "Does a warm-up decide whether a network learns?"
VERDICT = "only if the network is deep and the rate large"
ANSWER = (
    "With twelve layers and η = 0.01, {right_12_warm:.0%} are right with a warm-up, "
    "{right_12_cold:.0%} without; with one layer {right_1_warm:.0%} and {right_1_cold:.0%}"
)
REASON = (
    "In the deepest network, {saturated_cold:.0%} of the outputs of tanh end in saturation, "
    "beyond ±0.99, where hardly any gradient passes; after a warm-up over {warm} steps "
    "{saturated_warm:.0%}. In a shallow network the warm-up changes next to nothing. A rate of "
    "0.003 without a warm-up does as well: {right_12_low:.0%} with twelve layers. A warm-up lets "
    "a deep network bear the large rate; it can't make the large rate right."
)

# %% [markdown]
# ## The experiment
#
# Networks of 1 to 12 hidden layers with 32 tanh units read digits after six epochs of Adam: at η =
# 0.01 with and without a warm-up over the first 90 of 270 steps, and at 0.003.

# %%
DEPTHS, WARM, EPOCHS = (1, 4, 8, 12), 90, 6
RATES = {
    "warm": dl.schedulers.WarmUp(0.01, steps=WARM),
    "cold": 0.01,
    "low": 0.003,
}


def train(depth, rate, seed):
    training, test = lab.digits(seed)
    model = dl.nn.MLP([64, *[32] * depth, 10], "tanh", rng=seed)
    optimizer = dl.optim.Adam(model, lr=rate)
    lab.fit(model, optimizer, training, epochs=EPOCHS, batch_size=32, seed=seed)
    return lab.accuracy(model, test), saturation(model, test[0])


def saturation(model, x):
    """The share of outputs of tanh units that are beyond ±0.99."""
    outputs = []
    for layer in model:
        x = layer(x)
        if isinstance(layer, dl.nn.Tanh):
            outputs.append(np.abs(x.numpy()) > 0.99)
    return np.mean(outputs)


def run():
    runs = {
        name: np.array([[train(depth, rate, seed) for depth in DEPTHS] for seed in range(7)])
        for name, rate in RATES.items()
    }
    right = {name: run[..., 0] for name, run in runs.items()}
    saturated = {f"saturated_{name}": np.median(run[:, -1, 1]) for name, run in runs.items()}
    return (
        {"right": right, "warm": WARM}
        | saturated
        | {
            f"right_{depth}_{name}": lab.median(values[:, i])
            for name, values in right.items()
            for i, depth in enumerate(DEPTHS)
        }
    )


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    labels = {
        "warm": ("η = 0.01\nwith warm-up", "green", "solid"),
        "cold": ("η = 0.01\nwithout", "vermilion", "solid"),
        "low": ("η = 0.003\nwithout", "grey", "dashed"),
    }
    for name, (label, ink, dashes) in labels.items():
        lab.band(axes, DEPTHS, data["right"][name], label, ink, linestyle=dashes, marker="o")
    axes.set(xlabel="hidden layers", ylabel="right on unseen digits", ylim=(0, 1.03))
    axes.set_xticks(DEPTHS)
    axes.yaxis.set_major_formatter("{x:.0%}")
    lab.label_lines(axes, gap=0.16)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "with twelve layers the warm-up gains 20 % of the digits or more": (
            data["right_12_warm"] > data["right_12_cold"] + 0.2
        ),
        "without a warm-up twice as many outputs are saturated": (
            data["saturated_cold"] > 2 * data["saturated_warm"]
        ),
        "with one layer it changes less than 2 %": (
            abs(data["right_1_warm"] - data["right_1_cold"]) < 0.02
        ),
        "with twelve layers the low rate does at least as well": (
            data["right_12_low"] > data["right_12_warm"]
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
