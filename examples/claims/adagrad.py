"""Adagrad gives rare features larger steps: python -m examples.claims adagrad."""

# %% [markdown]
# # Rare words
#
# A feature that is present in one sample of a hundred has a gradient in one step of a hundred.
# Adagrad divides the rate by the root of the summed squares, so it still has a large one.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Adagrad adapts the rate to each weight, so it suits sparse data with rare features"
QUESTION = "Does Adagrad learn the weights of rare features that SGD misses?"
VERDICT = "holds"
ANSWER = (
    "Of the rarest features' weights SGD gets {sgd:.0%} of the size right, Adagrad {adagrad:.0%}; "
    "of the most frequent {sgd_common:.0%} and {adagrad_common:.0%}"
)
REASON = (
    "Each has the rate with the lowest log-loss on unseen samples, {rate_sgd:g} and "
    "{rate_adagrad:g}. That loss is {loss_sgd:.3f} with SGD and {loss_adagrad:.3f} with Adagrad. "
    "For SGD, a rate that would suit the rare features is too large for the frequent ones."
)

# %% [markdown]
# ## The experiment
#
# Logistic regression with 60 features; feature j is present with probability 1/2j. One pass over
# 6,000 samples in batches of 4. Right is the projection of the weights on the true ones.

# %%
J = np.arange(1, 61)
RATES = {"SGD": (0.05, 0.1, 0.2, 0.4, 0.8), "Adagrad": (0.1, 0.2, 0.4, 0.8, 1.6)}


def sample(n, truth, rng):
    x = (rng.random((n, len(J))) < 1 / (2 * J)).astype(np.float64)
    return x, (rng.random((n, 1)) < 1 / (1 + np.exp(-x @ truth))).astype(np.float64)


def train(rule, rate, seed):
    """The loss on unseen samples, and the weights as a share of the true ones."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([-2.0, 2.0], (len(J), 1))
    weight = dl.Tensor(np.zeros((len(J), 1)), requires_grad=True)
    optimizer = getattr(dl.optim, rule)([weight], lr=rate)
    step = lab.training_step(optimizer, lambda x, y: dl.losses.binary_cross_entropy(x @ weight, y))
    step.epoch(*sample(6000, truth, rng), batch_size=4)
    x, y = sample(4000, truth, rng)
    return dl.losses.binary_cross_entropy(x @ weight, y).item(), (weight.data / truth)[:, 0]


def run():
    data = {"shares": {}}
    for rule, rates in RATES.items():
        found = [[train(rule, rate, seed) for seed in range(7)] for rate in rates]
        losses = np.median([[loss for loss, _ in runs] for runs in found], axis=1)
        best = losses.argmin()
        shares = np.array([share for _, share in found[best]])
        key = rule.lower()
        data["shares"][rule] = shares
        data |= {
            f"rate_{key}": rates[best], f"loss_{key}": losses[best],
            key: lab.median(shares[:, -20:].mean(axis=1)),
            f"{key}_common": lab.median(shares[:, :5].mean(axis=1)),
        }  # fmt: skip
    return data


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    groups = J.reshape(12, 5).mean(axis=1)
    for rule, shares in data["shares"].items():
        means = shares.reshape(len(shares), 12, 5).mean(axis=2)
        lab.band(axes, groups, means, rule, rule, marker="o")
    axes.axhline(1, color=lab.colour("grey"), lw=1, ls=":")
    axes.text(24, 1.14, "the true weight", color=lab.colour("grey"))
    axes.set(xlabel="feature, from the most frequent to the rarest (means of five)")
    axes.set(ylabel="weight / true weight", ylim=(0, 1.25))
    lab.label_lines(axes)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "of the rarest Adagrad gets at least a third more": data["adagrad"] > 1.33 * data["sgd"],
        "its loss on unseen samples is lower": data["loss_adagrad"] < data["loss_sgd"],
    }


if __name__ == "__main__":
    lab.show(globals())
