"""What Lion adds: python -m examples.claims lion."""

# %% [markdown]
# # Only the sign
#
# Lion moves each weight by exactly η, in the direction of the sign of an average. It keeps one
# average where Adam keeps two.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Lion needs half of Adam's memory, and is as good"
QUESTION = "Does Lion read as many digits as Adam, and at which rate?"
VERDICT = "holds"
ANSWER = (
    "At its best rate, {lion_rate:.4f}, Lion reads {lion:.1%} of the unseen digits; Adam "
    "{adam:.1%}, at {adam_rate:.4f}"
)
REASON = (
    "Lion keeps {lion_bytes:.0f} bytes for a weight, Adam {adam_bytes:.0f}. Each of its steps has "
    "the size η in every weight, also near the minimum, so it wants a smaller rate than Adam, here "
    "by a factor of {factor:.1f}, and its window is narrower: {lion_good} of {count} rates get "
    "within 2 % of its best, of Adam's {adam_good}."
)

# %% [markdown]
# ## The experiment
#
# A network with 32 + 32 hidden units, five epochs in batches of 32, at eleven rates.

# %%
RATES = 10 ** np.arange(-4.5, -0.74, 0.375)
RULES = "Adam", "Lion"


def train(rule, rate, seed):
    training, test = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 32, 10], rng=seed)
    optimizer = getattr(dl.optim, rule)(model, lr=rate)
    lab.fit(model, optimizer, training, epochs=5, batch_size=32, seed=seed)
    return lab.accuracy(model, test)


def state_bytes(rule):
    """The bytes of state for each weight, from the arrays that a rule keeps."""
    weight = dl.Tensor(np.ones(1000, np.float32), requires_grad=True)
    weight.grad = np.ones(1000, np.float32)
    optimizer = getattr(dl.optim, rule)([weight])
    optimizer.step()
    arrays = _arrays(optimizer.state_dict())
    return sum(array.nbytes for array in arrays if array.size == 1000) / 1000


def _arrays(value):
    if isinstance(value, np.ndarray):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    return [a for v in values for a in _arrays(v)] if isinstance(value, dict | list | tuple) else []


def run():
    found = {
        rule: np.array([[train(rule, rate, seed) for rate in RATES] for seed in lab.SEEDS])
        for rule in RULES
    }
    data = {"found": found, "count": len(RATES)}
    for rule, values in found.items():
        medians, key = np.median(values, axis=0), rule.lower()
        data[key], data[f"{key}_rate"] = medians.max(), RATES[medians.argmax()]
        data[f"{key}_good"] = int((medians > medians.max() - 0.02).sum())
        data[f"{key}_bytes"] = state_bytes(rule)
        data[f"{key}_spread"] = np.ptp(values[:, medians.argmax()])
    return data | {"factor": data["adam_rate"] / data["lion_rate"]}


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    for rule in RULES:
        lab.band(axes, RATES, data["found"][rule], rule, rule, marker="o")
    axes.set(
        xscale="log", xlabel="learning rate η", ylabel="right on unseen digits", ylim=(0, 1.05)
    )
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend(loc="lower center")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "Lion keeps half of Adam's bytes": 2 * data["lion_bytes"] == data["adam_bytes"],
        "at their best rates they differ by less than 2 %": abs(data["lion"] - data["adam"]) < 0.02,
        "Lion's best rate is smaller": data["factor"] > 1.5,
        "its window is narrower": data["lion_good"] < data["adam_good"],
    }


if __name__ == "__main__":
    lab.show(globals())
