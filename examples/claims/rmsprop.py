"""RMSprop forgets old gradients: python -m examples.claims rmsprop."""

# %% [markdown]
# # An average instead of a sum
#
# RMSprop divides by the root of a moving average of squared gradients. Old ones fade, so the rate
# doesn't decay by itself.

# %%
import numpy as np

from examples.claims import adagrad_decays, lab

STATEMENT = "RMSprop cures the decay of Adagrad's rate by forgetting old gradients"
QUESTION = "Does RMSprop follow a late change as fast as an early one, where Adagrad doesn't?"
VERDICT = "holds"
ANSWER = (
    "A change after {soon} steps costs RMSprop {rmsprop_soon:.0f} steps, one after {late:,} "
    "{rmsprop_late:.0f}; Adagrad {adagrad_soon:.0f} and {adagrad_late:.0f}"
)
REASON = (
    "The average of squares forgets: before the change the effective rate of RMSprop is the same "
    "at step 300 and at step {late:,}, to a factor of {same:.2f}; Adagrad's has fallen by "
    "{fall:.1f}. The price is a step that never shrinks: RMSprop ends at a distance of "
    "{near_rmsprop:.3f} from the fixed target, Adagrad at {near_adagrad:.3f}."
)

# %% [markdown]
# ## The experiment
#
# That of the claim on Adagrad's decay: linear regression from a stream, whose target changes its
# sign after 30 to 10,000 steps.

# %%
RULES = {"RMSprop": 0.01, "Adagrad": 0.1}


def run():
    soon, *_, late = adagrad_decays.CHANGES
    data = {"counts": {}, "rates": {}, "soon": soon, "late": late}
    for rule, rate in RULES.items():
        counts, far, rates = adagrad_decays.follow_all(rule, rate)
        key = rule.lower()
        data["counts"][rule], data["rates"][rule] = counts, rates
        data[f"{key}_soon"], data[f"{key}_late"] = np.median(counts, axis=0)[[0, -1]]
        data[f"near_{key}"] = lab.median(far[:, -500:].mean(axis=1))
        falls = lab.median(rates[:, 290:310].mean(axis=1) / rates[:, -20:].mean(axis=1))
        data["fall" if rule == "Adagrad" else "same"] = falls
    return data


# %% [markdown]
# ## The picture

# %%
picture = adagrad_decays.picture

# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "RMSprop's effective rate stays the same to a factor of two": 0.5 < data["same"] < 2,
        "Adagrad's falls by more than two": data["fall"] > 2,
        "the late change costs RMSprop at most a third more than the early one": (
            data["rmsprop_late"] < 1.34 * data["rmsprop_soon"]
        ),
        "it costs Adagrad more than twice as much": (
            data["adagrad_late"] > 2 * data["adagrad_soon"]
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
