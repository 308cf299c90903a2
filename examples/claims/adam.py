"""Adam joins Momentum and RMSprop: python -m examples.claims adam."""

# %% [markdown]
# # Two averages
#
# Adam averages the gradients, as Momentum does, and their squares, as RMSprop does, and corrects
# both for their start at 0.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Adam joins Momentum and RMSprop, and is fast on many problems"
QUESTION = "Does Adam need fewer steps than each of its parents, each at its best rate?"
VERDICT = "holds, by little"
ANSWER = (
    "To a loss of {goal}, Adam needs {adam:.0f} steps, RMSprop {rmsprop:.0f}, Momentum "
    "{momentum:.0f}, SGD {sgd:.0f}"
)
REASON = (
    "The gain is small, a factor of {gain:.1f} over SGD, and the seeds overlap: once each rule has "
    "its best of seven rates, this network is learned at about the same speed by all. Without the "
    "average of gradients (β₁ = 0) Adam needs {no_average:.0f} steps, so its gain over "
    "RMSprop doesn't come from momentum here."
)

# %% [markdown]
# ## The experiment
#
# A network with 32 + 32 hidden units reads digits in batches of 32: the steps until the mean loss
# of twenty is below 0.1, with the best of seven rates for the median of five seeds.

# %%
GOAL, WINDOW = 0.1, 20
RULES = {
    "SGD": (dl.optim.SGD, {}, 0.1),
    "Momentum": (dl.optim.Momentum, {}, 0.1),
    "RMSprop": (dl.optim.RMSprop, {}, 1e-3),
    "Adam, β₁ = 0": (dl.optim.Adam, {"betas": (0, 0.999)}, 2e-3),
    "Adam": (dl.optim.Adam, {}, 2e-3),
}
FACTORS = 2.0 ** np.arange(7)


class Reached(dl.callbacks.Callback):
    """Ends a training once the mean of the last losses is below the goal."""

    def on_step(self, training):
        losses = training.history.step_loss
        return len(losses) >= WINDOW and np.mean(losses[-WINDOW:]) < GOAL


def steps(rule, options, rate, seed):
    training, _ = lab.digits(seed)
    model = dl.nn.MLP([64, 32, 32, 10], rng=seed)
    history = lab.fit(
        model, rule(model, lr=rate, **options), training, epochs=20, batch_size=32, seed=seed,
        callbacks=[Reached()],
    )  # fmt: skip
    reached = np.mean(history.step_loss[-WINDOW:]) < GOAL
    return len(history.step_loss) if reached else np.inf


def run():
    counts = {
        name: np.array(
            min(
                (
                    [steps(rule, options, lowest * factor, seed) for seed in lab.SEEDS]
                    for factor in FACTORS
                ),
                key=np.median,
            )
        )
        for name, (rule, options, lowest) in RULES.items()
    }
    medians = {name.lower(): lab.median(count) for name, count in counts.items()}
    medians["no_average"] = medians["adam, β₁ = 0"]
    return {
        "counts": counts, "goal": GOAL, "gain": medians["sgd"] / medians["adam"], **medians,
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    names = ["Adam" if name.startswith("Adam") else name for name in data["counts"]]
    lab.strip(axes, data["counts"], names, "{:.0f}")
    axes.set(xlabel=f"steps to a training loss of {GOAL}, at the best rate of each")
    axes.set_xlim(0, None)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    parents = data["sgd"], data["momentum"], data["rmsprop"]
    return {
        "Adam needs the fewest steps": data["adam"] < min(parents),
        "by less than a factor of two over SGD": data["gain"] < 2,
        "without the average of gradients it needs as many, to a tenth": (
            abs(data["no_average"] / data["adam"] - 1) < 0.1
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
