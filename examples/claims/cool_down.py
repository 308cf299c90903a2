"""A cool-down settles the weights: python -m examples.claims cool_down."""

# %% [markdown]
# # Hold the rate, then lower it
#
# The rate stays at its peak for three quarters of the training, and then falls to 0. Two such
# trainings share all steps before the cool-down.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "After a warm-up the rate is held, and lowered at the end: a cool-down"
QUESTION = "Does lowering the rate at the end pay, on the training set and on unseen digits?"
VERDICT = "holds"
ANSWER = (
    "The cool-down divides the training loss by {gain:.0f}, and reads {right_cool:.1%} of the "
    "unseen digits; holding the rate, {right_held:.1%}"
)
REASON = (
    "At the peak rate, 0.03, Adam's steps are too long to settle: the training loss stays at "
    "{train_held:.3f}. Within the cool-down it falls to {train_cool:.4f}. On unseen digits the "
    "loss falls from {unseen_held:.2f} to {unseen_cool:.2f} (medians). A cosine decay over the "
    "whole training ends at {unseen_cosine:.2f}: the shape of the fall matters less than the fall."
)

# %% [markdown]
# ## The experiment
#
# The training of examples/schedules.py: 32 + 32 hidden units, batches of 16, 12 epochs of Adam at
# 0.03 after a warm-up.

# %%
EPOCHS, BATCH, PEAK, SEEDS = 12, 16, 0.03, range(7)
STEPS = EPOCHS * -(-1437 // BATCH)
UP, DOWN = STEPS // 10, STEPS // 4
RATES = {
    "held": dl.schedulers.WarmUp(PEAK, UP),
    "cool": dl.schedulers.warmup_stable_decay(PEAK, UP, STEPS - UP - DOWN, DOWN),
    "cosine": dl.schedulers.WarmUp(dl.schedulers.CosineDecay(PEAK, STEPS - UP), UP),
}


def train(rate, seed):
    training, test = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 32, 10], rng=seed)
    history = lab.fit(
        model, dl.optim.Adam(model, lr=rate), training, epochs=EPOCHS, batch_size=BATCH, seed=seed,
        validation=test,
    )  # fmt: skip
    return history.loss, history.validation, lab.accuracy(model, test)


def run():
    runs = {name: [train(rate, seed) for seed in SEEDS] for name, rate in RATES.items()}
    data = {"train": {}, "unseen": {}}
    for name, found in runs.items():
        losses, unseen, right = (np.array(values) for values in zip(*found, strict=True))
        data["train"][name], data["unseen"][name] = losses, unseen
        data[f"train_{name}"] = lab.median(losses[:, -1])
        data[f"unseen_{name}"] = lab.median(unseen[:, -1])
        data[f"right_{name}"] = lab.median(right)
    return data | {"gain": data["train_held"] / data["train_cool"]}


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, panels = lab.new_figure(1, 2)
    inks = {"held": "vermilion", "cool": "green", "cosine": "blue"}
    labels = {"held": "held", "cool": "cool-down", "cosine": "cosine"}
    epochs = np.arange(1, EPOCHS + 1)
    for axes, kind, text in zip(
        panels, ("train", "unseen"), ("training loss", "loss on unseen digits"), strict=True
    ):
        axes.axvspan((STEPS - DOWN) * EPOCHS / STEPS, EPOCHS, color="#CFE6F6", lw=0)
        for name, ink in inks.items():
            lab.band(axes, epochs, data[kind][name], labels[name], ink)
        axes.set(xlabel="epoch", ylabel=text, yscale="log", xlim=(1, EPOCHS))
        lab.log_ticks(axes.yaxis)
        axes.set_xticks([2, 4, 6, 8, 10, 12])
        lab.label_lines(axes)
    panels[0].text(EPOCHS - 0.1, 0.6, "cool-down", ha="right", color="#18202b")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "the cool-down divides the training loss by more than four": data["gain"] > 4,
        "the loss on unseen digits falls": data["unseen_cool"] < data["unseen_held"],
        "more unseen digits are right": data["right_cool"] > data["right_held"],
    }


if __name__ == "__main__":
    lab.show(globals())
