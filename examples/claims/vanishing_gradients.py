"""Gradients vanish in deep networks: python -m examples.claims vanishing_gradients."""

# %% [markdown]
# # What arrives at the first layer
#
# Backward multiplies the gradient by the derivative of each activation. That of the sigmoid is at
# most 1/4, so ten of them leave next to nothing.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Gradients vanish on their way back through a deep network"
QUESTION = "Does the gradient of the first of ten hidden layers vanish?"
VERDICT = "only if the activation is a sigmoid"
ANSWER = (
    "Through ten layers, the gradient shrinks {shrinks:,.0f} times with sigmoid; with tanh and "
    "ReLU it arrives"
)
REASON = (
    "With tanh and ReLU the norm of the first layer's gradient is {tanh:.1f} and {relu:.1f} times "
    "that of the last one. What do adaptive rules make of a vanished gradient? Adam divides by "
    "the size of the gradient, so it moves the first layer of the sigmoid network by "
    "{moved_adam:.0%} of its norm in five epochs, SGD by less than a millionth. It is of no use: "
    "both guess, {right_sigmoid_adam:.0%} right of ten digits. With tanh Adam gets "
    "{right_tanh_adam:.0%} right."
)

# %% [markdown]
# ## The experiment
#
# Ten hidden layers of 32 units read digits: the gradients before the first step, and training by
# SGD (η = 0.1) and Adam (η = 0.001).

# %%
ACTIVATIONS = {"sigmoid": "vermilion", "tanh": "blue", "relu": "green"}
RATES = {"SGD": 0.1, "Adam": 0.001}


def weights(model):
    return [tensor for name, tensor in model.named_parameters() if name.endswith("weight")]


def network(activation, seed):
    return dl.nn.MLP([64, *[32] * 10, 10], activation, rng=seed)


def norms(activation, seed):
    """The norm of the gradient of each layer's weight."""
    (x, y), _ = lab.digits(seed)
    model = network(activation, seed)
    dl.losses.cross_entropy(model(x), y).backward()
    return [np.linalg.norm(weight.grad) for weight in weights(model)]


def train(activation, rule, seed):
    """How far the first layer moved, relative to its norm, and how much is right then."""
    training, test = lab.digits(seed)
    model = network(activation, seed)
    first = weights(model)[0]
    start = first.data.copy()
    optimizer = getattr(dl.optim, rule)(model, lr=RATES[rule])
    lab.fit(model, optimizer, training, epochs=5, batch_size=32, seed=seed)
    return np.linalg.norm(first.data - start) / np.linalg.norm(start), lab.accuracy(model, test)


def run():
    gradients = {
        activation: np.array([norms(activation, seed) for seed in lab.SEEDS])
        for activation in ACTIVATIONS
    }
    data = {"gradients": gradients, "right": {}}
    for activation, norm in gradients.items():
        data[activation] = lab.median(norm[:, 0] / norm[:, -1])
        for rule in RATES:
            moved, right = np.transpose([train(activation, rule, seed) for seed in lab.SEEDS])
            data["right"][activation, rule] = right
            data[f"right_{activation}_{rule.lower()}"] = lab.median(right)
            if activation == "sigmoid":
                data["shrinks"] = float(f"{1 / data['sigmoid']:.2g}")
                data[f"moved_{rule.lower()}"] = lab.median(moved)
    return data


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2, width_ratios=(1.5, 1))
    heights = {"sigmoid": 3e-5, "tanh": 0.03, "relu": 4}
    for activation, norm in data["gradients"].items():
        name = ACTIVATIONS[activation]
        lab.band(left, range(1, norm.shape[1] + 1), norm, activation, name, marker="o")
        text = "ReLU" if activation == "relu" else activation
        left.text(6, heights[activation], text, color=lab.colour(name), weight="bold")
    left.set(xlabel="layer", ylabel="norm of its gradient", yscale="log", ylim=(1e-7, 20))
    groups = {
        f"{activation.replace('relu', 'ReLU')}, {rule}": values
        for (activation, rule), values in data["right"].items()
    }
    colours = [ACTIVATIONS[activation] for activation, _ in data["right"]]
    lab.strip(right, groups, colours, "{:.0%}")
    right.set(xlabel="right on unseen digits", xlim=(0, 1.08))
    right.xaxis.set_major_formatter("{x:.0%}")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "with sigmoid less than a hundred-thousandth arrives": data["sigmoid"] < 1e-5,
        "with tanh and ReLU more than a third arrives": min(data["tanh"], data["relu"]) > 1 / 3,
        "Adam moves the first layer, SGD doesn't": (
            data["moved_adam"] > 0.1 and data["moved_sgd"] < 1e-6
        ),
        "and both guess with sigmoid": (
            max(data["right_sigmoid_adam"], data["right_sigmoid_sgd"]) < 0.2
        ),
        "with tanh Adam reads more than nine in ten digits": data["right_tanh_adam"] > 0.9,
    }


if __name__ == "__main__":
    lab.show(globals())
