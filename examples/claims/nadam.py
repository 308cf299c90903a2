"""What Nadam adds to Adam: python -m examples.claims nadam."""

# %% [markdown]
# # Adam that looks ahead
#
# Nadam takes Adam's average of gradients one step ahead, as NAG does.

# %%
from functools import partial

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Nadam adds Nesterov's look-ahead to Adam, and converges faster"
QUESTION = "Does Nadam arrive sooner than Adam, each at its best rate?"
VERDICT = "only if the gradients are exact"
ANSWER = (
    "In a ravine Nadam needs {nadam_ravine:.0f} steps and Adam {adam_ravine:.0f}; on digits "
    "{nadam_digits:.0f} and {adam_digits:.0f}"
)
REASON = (
    "In the ravine the look-ahead damps Adam's swing, as NAG's does Momentum's. On digits, with "
    "the noise of mini-batches, there is little swing to damp, and the seeds differ by more than "
    "the rules."
)

# %% [markdown]
# ## The experiment
#
# The ravine J = ½ (100 x² + y²): the steps until the distance stays below a hundredth, from five
# starts. Digits with 32 hidden units: the steps to a mean loss of 0.2. The best of seven rates.

# %%
RULES = {"Adam": dl.optim.Adam, "Nadam": dl.optim.Nadam}
GOAL, WINDOW, LONGEST = 0.2, 20, 600


class Reached(dl.callbacks.Callback):
    """Ends a training once the mean of the last losses is below the goal."""

    def on_step(self, training):
        losses = training.history.step_loss
        return len(losses) >= WINDOW and np.mean(losses[-WINDOW:]) < GOAL


def digits(rule, rate):
    """The steps to the goal on each seed."""
    steps = []
    for seed in range(7):
        training, _ = lab.digits(seed)
        model = dl.nn.MLP([64, 32, 10], rng=seed)
        history = lab.fit(
            model, rule(model, lr=rate), training, epochs=10, batch_size=32, seed=seed,
            callbacks=[Reached()],
        )  # fmt: skip
        reached = np.mean(history.step_loss[-WINDOW:]) < GOAL
        steps.append(len(history.step_loss) if reached else np.inf)
    return np.array(steps)


def ravine(rule, rate):
    """The steps from each start."""
    starts = np.random.default_rng(0).uniform((0.5, 3), (1, 4), (5, 2))
    path = lab.descend(
        lambda theta: dl.sum(theta**2 * np.array([100.0, 1.0])) / 2, starts,
        partial(rule, lr=rate), LONGEST,
    )  # fmt: skip
    far = np.linalg.norm(path, axis=-1) / np.linalg.norm(path[0], axis=-1)
    return LONGEST + 1 - lab.first(~(far <= 1e-2)[::-1])


def run():
    counts = {}
    for name, rule in RULES.items():
        for task, rates in (
            (ravine, np.geomspace(0.02, 2, 13)),
            (digits, np.geomspace(3e-3, 3e-2, 5)),
        ):
            found = [task(rule, rate) for rate in rates]
            counts[task.__name__, name] = min(found, key=np.median)
    return {"counts": counts} | {
        f"{name.lower()}_{task}": lab.median(count) for (task, name), count in counts.items()
    }


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, panels = lab.new_figure(1, 2)
    for axes, task in zip(panels, ("ravine", "digits"), strict=True):
        lab.strip(axes, {name: data["counts"][task, name] for name in RULES}, RULES, "{:.0f}")
        axes.set_xlim(0, 1.15 * max(max(data["counts"][task, name]) for name in RULES))
    panels[0].set(xlabel="steps to a hundredth of the distance", title="a ravine")
    panels[1].set(xlabel=f"steps to a training loss of {GOAL}", title="digits")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    spread = np.ptp(data["counts"]["digits", "Adam"])
    return {
        "in the ravine Nadam needs fewer steps": data["nadam_ravine"] < data["adam_ravine"],
        "on digits they differ by less than the seeds": (
            abs(data["nadam_digits"] - data["adam_digits"]) < spread
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
