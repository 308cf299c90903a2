"""NAG looks ahead: python -m examples.claims nag."""

# %% [markdown]
# # The gradient a step ahead
#
# NAG takes the gradient where the momentum is about to carry it, so it sees a wall before it hits
# it. How much that is worth depends on how much momentum there is.

# %%
from functools import partial

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "NAG looks ahead, so it brakes in time and converges faster than Momentum"
QUESTION = "Does NAG need fewer steps than Momentum, each at its best rate?"
VERDICT = "only if β is larger than the problem needs"
ANSWER = (
    "With β = 0.99 NAG needs {nag_99:.0f} steps and Momentum {momentum_99:.0f}; with β = 0.7 NAG "
    "needs {nag_70:.0f} and Momentum {momentum_70:.0f}"
)
REASON = (
    "The look-ahead brakes a ball that is too heavy, and there it halves the number of steps. It "
    "also lowers the largest rate that is stable, from 2(1 + β)/((1 − β)λ) by the factor 1 + 2β; "
    "where Momentum doesn't swing, it takes this larger rate. If β is chosen well for each, "
    "Momentum needs {momentum_best:.0f} steps and NAG {nag_best:.0f}: on a quadratic function, "
    "Momentum with the right β is the fastest of its kind (Polyak 1964)."
)

# %% [markdown]
# ## The experiment
#
# J = ½ (100 x² + y²) from five random starts; for each β, the fewest steps over 40 rates after
# which the distance stays below a thousandth of the first.

# %%
CURVATURE, LONGEST, NEAR = 100, 1200, 1e-3
BETAS = 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99
RULES = {"Momentum": dl.optim.Momentum, "NAG": dl.optim.NAG}


def ravine(theta, rates):
    return dl.sum(theta**2 * (rates * np.array([CURVATURE, 1.0]))) / 2


def steps(rule, beta, starts):
    """The number of steps from each start, at the rate with the lowest median.

    All rates run at once: a rate η on the loss J does what a rate of 1 does on ηJ.
    """
    rates = np.geomspace(0.01, 3, 60)
    start = np.broadcast_to(starts, (len(rates), *starts.shape))
    path = lab.descend(
        lambda theta: ravine(theta, rates[:, None, None]), start,
        partial(rule, lr=1, beta=beta), LONGEST,
    )  # fmt: skip
    with np.errstate(all="ignore"):
        far = np.linalg.norm(path, axis=-1) / np.linalg.norm(path[0], axis=-1)
    last = LONGEST + 1 - lab.first(~(far <= NEAR)[::-1])
    return last[np.median(last, axis=1).argmin()]


def run():
    starts = np.random.default_rng(0).uniform((0.5, 3), (1, 4), (len(lab.SEEDS), 2))
    counts = {
        name: np.array([steps(rule, beta, starts) for beta in BETAS])
        for name, rule in RULES.items()
    }
    medians = {name.lower(): np.median(count, axis=1) for name, count in counts.items()}
    data = {"counts": counts}
    for name, values in medians.items():
        data |= {f"{name}_{100 * beta:.0f}": values[i] for i, beta in enumerate(BETAS)}
        data[f"{name}_best"] = values.min()
    return data


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    for name, counts in data["counts"].items():
        lab.band(axes, range(len(BETAS)), counts.T, name, name, marker="o")
    axes.set_xticks(range(len(BETAS)), [f"{beta:g}" for beta in BETAS])
    axes.set(xlabel="β", ylabel="steps to a thousandth", yscale="log")
    axes.set_yticks([50, 100, 200, 400, 800], ["50", "100", "200", "400", "800"])
    axes.minorticks_off()
    lab.label_lines(axes)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "at β = 0.99 NAG needs about half of the steps": (
            0.4 < data["nag_99"] / data["momentum_99"] < 0.6
        ),
        "at β = 0.7 Momentum needs less than half of NAG's": (
            data["momentum_70"] < data["nag_70"] / 2
        ),
        "at the best β of each Momentum needs the fewest": (
            data["momentum_best"] < data["nag_best"]
        ),
    }


if __name__ == "__main__":
    lab.show(globals())
