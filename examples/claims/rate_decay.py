"""Decay explores fast first, and steps finely later: python -m examples.claims rate_decay."""

# %% [markdown]
# # Large steps first, small ones later
#
# Mini-batches give noisy gradients, so a constant rate ends in a cloud around the minimum, whose
# size grows with the rate. A rate that falls gets both: the speed of the large rate, the precision
# of the small one.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab
from examples.claims.fixed_rate import distances

STATEMENT = "With decay, large steps explore fast at first, and small ones settle later"
QUESTION = "Does a falling rate arrive as early as a large one, and nearly as near as a small one?"
VERDICT = "holds"
ANSWER = (
    "The cosine decay is near after {early_decay:.0f} steps, the small rate after "
    "{early_small:.0f}; it ends {nearer_large:.0f} times nearer than the large rate"
)
REASON = (
    "Near means: at 0.3 of the first distance, where the large rate, {large}, is after "
    "{early_large:.0f} steps. It then stays at {end_large:.2f}, jumping about with the noise of "
    "the batches. The decay ends at {end_decay:.3f}, the small rate, {small}, at {end_small:.3f}."
)

# %% [markdown]
# ## The experiment
#
# That of the claim on a fixed rate, with batches of 4: linear regression with ten weights and 1,000
# noisy samples, and the distance to the exact solution.

# %%
LARGE, SMALL, STEPS = 0.1, 0.003, 1000
RATES = {
    "large": LARGE,
    "small": SMALL,
    "decay": dl.schedulers.CosineDecay(LARGE, steps=STEPS),
}


def run():
    far = {
        name: np.array([distances(rate, 4, STEPS, seed) for seed in range(7)])
        for name, rate in RATES.items()
    }
    ends = {f"end_{name}": lab.median(runs[:, -100:].mean(axis=1)) for name, runs in far.items()}
    early = {f"early_{name}": lab.median(lab.first(runs.T < 0.3)) for name, runs in far.items()}
    return {
        "far": far, "large": LARGE, "small": SMALL,
        "nearer_large": ends["end_large"] / ends["end_decay"],
    } | ends | early  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    for name, ink in {"large": "vermilion", "small": "blue", "decay": "green"}.items():
        label = {"large": f"η = {LARGE}", "small": f"η = {SMALL}", "decay": "cosine decay"}[name]
        lab.band(axes, range(STEPS + 1), data["far"][name], label, ink)
    axes.set(xlabel="step", ylabel="distance / start", yscale="log", xlim=(0, STEPS))
    lab.label_lines(axes)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "the decay is near at most a third later than the large rate": (
            data["early_decay"] < 1.34 * data["early_large"]
        ),
        "the small rate takes more than five times as long": (
            data["early_small"] > 5 * data["early_decay"]
        ),
        "the decay ends four times nearer than the large rate": data["nearer_large"] > 4,
        "and less than one and a half times as far as the small one": (
            data["end_decay"] < 1.5 * data["end_small"]
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
