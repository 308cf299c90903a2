"""Gradient descent oscillates across a ravine: python -m examples.claims oscillation."""

# %% [markdown]
# # Across the ravine, and along it
#
# A ravine is steep across and flat along its floor. The rate that the flat direction asks for is
# too large for the steep one.

# %%
from functools import partial

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Gradient descent oscillates on its way to the minimum"
QUESTION = "In a ravine, does gradient descent jump from wall to wall?"
VERDICT = "only if the rate exceeds one over the largest curvature"
ANSWER = (
    "At η = 0.5/λ gradient descent never crosses the floor; at 1.9/λ it crosses in each of its "
    "{crossings:.0f} steps, and ends {gain:.1f} times as near"
)
REASON = (
    "Across the ravine a step multiplies the position by 1 − ηλ, which is negative as soon as η > "
    "1/λ, where λ = {curvature} is the largest curvature. Along the floor, whose curvature is 1, "
    "the larger rate is the faster one: oscillation is the price of speed in a ravine."
)

# %% [markdown]
# ## The experiment
#
# J = ½ (40 x² + y²), from five random starts, at two rates given as multiples of 1/λ = 1/40.

# %%
CURVATURE, STEPS = 40, 40
FACTORS = {0.5: "blue", 1.9: "vermilion"}


def ravine(theta):
    return dl.sum(theta**2 * np.array([CURVATURE, 1.0])) / 2


def run():
    rng = np.random.default_rng(0)
    starts = rng.uniform((0.5, 3), (1, 4), (len(lab.SEEDS), 2)) * rng.choice([-1, 1], (5, 2))
    paths = {
        factor: lab.descend(ravine, starts, partial(dl.optim.SGD, lr=factor / CURVATURE), STEPS)
        for factor in FACTORS
    }
    crossings = {
        factor: (np.diff(np.sign(path[..., 0]), axis=0) != 0).sum(axis=0)
        for factor, path in paths.items()
    }
    small, large = (np.linalg.norm(path[-1], axis=1) for path in paths.values())
    return {
        "paths": paths, "slow": crossings[0.5], "crossings": lab.median(crossings[1.9]),
        "gain": lab.median(small / large), "curvature": CURVATURE, "steps": STEPS,
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, panels = lab.new_figure(2, 2, width_ratios=(1.5, 1))
    y, x = np.meshgrid(np.linspace(-0.4, 4, 200), np.linspace(-1.1, 1.1, 100))
    height = np.sqrt(CURVATURE * x**2 + y**2)
    for (path_axes, across), (factor, path) in zip(panels, data["paths"].items(), strict=True):
        name = FACTORS[factor]
        path_axes.contour(y, x, height, 8, colors="#b6c1cf", linewidths=1)
        path = path * np.sign(path[0])  # every start in the same corner
        for k in range(path.shape[1]):
            alpha = 1 if k == 0 else 0.2
            path_axes.plot(*path[:, k, ::-1].T, "o-", color=lab.colour(name), ms=4, alpha=alpha)
        path_axes.plot(0, 0, "*", color=lab.colour("black"), ms=14)
        path_axes.set(title=f"η = {factor}/λ", ylabel="across", xlim=(-0.4, 4), ylim=(-1.1, 1.1))
        lab.band(across, range(STEPS + 1), (path[..., 0] / path[0, :, 0]).T, "", name)
        across.axhline(0, color=lab.colour("grey"), lw=1, ls=":")
        across.set(ylabel="across / start", ylim=(-1.1, 1.1))
    panels[1, 0].set_xlabel("along the floor")
    panels[1, 1].set_xlabel("step")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "at half of 1/λ no path crosses the floor": not data["slow"].any(),
        "at 1.9/λ each step crosses it": data["crossings"] == STEPS,
        "and the path ends nearer to the minimum": data["gain"] > 2,
    }


if __name__ == "__main__":
    lab.show(globals())
