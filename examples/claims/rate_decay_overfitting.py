"""Rate decay against overfitting: python -m examples.claims rate_decay_overfitting."""

# %% [markdown]
# # Does a falling rate generalise better?
#
# A fifth of the labels is wrong. A network that goes on training learns them by heart. Does a
# falling rate keep it from that?

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Decay of the learning rate is a remedy against overfitting"
QUESTION = "Is a network that ends with small steps better on unseen digits?"
VERDICT = "only if the fixed rate is too large"
ANSWER = (
    "With a fifth of the labels wrong, decay gets {decay:.1%} right and its peak rate {large:.1%}; "
    "a tenth of it, fixed, {small:.1%}"
)
REASON = (
    "The decay doesn't keep the network from learning wrong labels: its training loss ends at "
    "{train_decay:.2f}, that of the large rate at {train_large:.2f}. What it removes is the "
    "rattling of the last large steps. The small fixed rate never rattles, and is as good without "
    "a schedule. With right labels, decay gets {clean_decay:.1%} and the peak rate "
    "{clean_large:.1%}."
)

# %% [markdown]
# ## The experiment
#
# A network with 64 hidden units reads digits after 25 epochs of Adam, on seven seeds: at η = 0.01,
# at 0.001, and with a cosine from 0.01 to 0.

# %%
EPOCHS, BATCH, SEEDS = 25, 32, range(7)
RATES = {
    "large": lambda steps: 0.01,
    "small": lambda steps: 0.001,
    "decay": lambda steps: dl.schedulers.CosineDecay(0.01, steps=steps),
}


def train(rate, wrong, seed):
    """What is right on unseen digits, the loss on them after each epoch, the training loss."""
    (x, y), test = lab.digits(seed)
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(len(y)) < wrong, rng.integers(0, 10, len(y)), y)
    model = dl.nn.MLP([64, 64, 10], rng=seed)
    steps = EPOCHS * -(-len(x) // BATCH)
    history = lab.fit(
        model, dl.optim.Adam(model, lr=rate(steps)), (x, y), epochs=EPOCHS, batch_size=BATCH,
        seed=seed, validation=test,
    )  # fmt: skip
    return lab.accuracy(model, test), history.validation, history.loss


def run():
    runs = {
        (name, wrong): [train(rate, wrong, seed) for seed in SEEDS]
        for wrong in (0.2, 0)
        for name, rate in RATES.items()
    }
    data = {
        "right": {key: np.array([right for right, *_ in found]) for key, found in runs.items()},
        "unseen": {
            key: np.array([unseen for _, unseen, _ in found]) for key, found in runs.items()
        },
    }
    for (name, wrong), right in data["right"].items():
        data[name if wrong else f"clean_{name}"] = lab.median(right)
    for name in RATES:
        data[f"train_{name}"] = lab.median([loss[-1] for *_, loss in runs[name, 0.2]])
    return data


# %% [markdown]
# ## The picture


# %%
INKS = {"large": "vermilion", "small": "blue", "decay": "green"}
LABELS = {"large": "η = 0.01", "small": "η = 0.001", "decay": "cosine decay"}


def picture(data):
    figure, (left, right) = lab.new_figure(1, 2)
    for name, ink in INKS.items():
        lab.band(left, range(1, EPOCHS + 1), data["unseen"][name, 0.2], LABELS[name], ink)
    left.set(xlabel="epoch", ylabel="loss on unseen digits", ylim=(0.2, 0.9), xlim=(1, EPOCHS))
    left.set_title("a fifth of the labels wrong")
    left.legend(loc="upper right")
    groups = {
        f"{LABELS[name]}{', right labels' if not wrong else ''}": values
        for (name, wrong), values in data["right"].items()
    }
    lab.strip(right, groups, [INKS[name] for name, _ in data["right"]], "{:.1%}")
    right.set_xlabel("right on unseen digits")
    right.xaxis.set_major_formatter("{x:.0%}")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "with wrong labels decay beats its peak rate by more than 1.5 %": (
            data["decay"] > data["large"] + 0.015
        ),
        "a tenth of the rate, fixed, is as good to 1 %": abs(data["small"] - data["decay"]) < 0.01,
        "with right labels decay changes less than 1 %": (
            abs(data["clean_decay"] - data["clean_large"]) < 0.01
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
