"""A lesson on the parts of update rules: optimizers race on surfaces of two parameters.

Run it with `python examples/optimizer_race.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # A race of optimizers
#
# The loss of a network is a function of thousands of weights, which cannot be plotted. A function
# of two numbers can: it is a surface with valleys, ridges and minima. The rules of minidl take the
# same steps on it as in a network, so we can watch the effect of momentum, of a rate for each
# weight, and of noise.

# %%
import argparse
import sys
from functools import partial
from pathlib import Path

import minidl as dl

parser = argparse.ArgumentParser(description="Race optimizers on surfaces of two parameters.")
parser.add_argument(
    "--out", default=".", help="the folder for the picture and the page (default: here)"
)
parser.add_argument("--film", action="store_true", help="also write race.gif; takes some seconds")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
out = Path(arguments.out)
if not out.is_dir():
    parser.error(f"--out: there is no folder {out}")

try:
    import jinja2  # noqa: F401, for the page
    import matplotlib  # noqa: F401
except ModuleNotFoundError:
    sys.exit("This lesson needs Matplotlib and Jinja2: python -m pip install 'minidl[course]'")

NAMES = ["SGD", "Momentum", "NAG", "Adagrad", "RMSprop", "Adam", "Adadelta", "FTRL"]

# %%
print(dl.lessons.check("optimizer_race-1", ...))  # your answer in place of the three dots

# %% [markdown]
# ## The same rate for all is unfair
#
# The ravine is f = (x² + 40 y²) / 2: forty times as steep across as along. Gradient descent
# diverges across the ravine if η > 2 / 40 = 0.05, so it is slow along it. Rules that divide by the
# size of the gradients do not depend on how the ravine is stretched. The length of their steps
# depends on the rate alone, and this rate is too small for Adagrad, Adadelta and FTRL.

# %%
print(dl.viz.race("ravine", NAMES, steps=200, lr=0.04).table(), "\n")

# %% [markdown]
# Slightly above the threshold gradient descent diverges. Momentum averages out the gradients across
# the ravine, and converges.

# %%
print(dl.viz.race("ravine", ["SGD", "Momentum", "NAG"], steps=200, lr=0.051).table(), "\n")

# %% [markdown]
# ## The best of 31 rates for each
#
# Without `lr`, a race tries 31 rates from 0.0001 to 100 for each rule, and takes the one that
# arrives first. A fair benchmark does this, and states it.

# %%
race = dl.viz.race("beale", NAMES, steps=150)
print(race.table(), "\n")
race.plot(out / "race.png")
race.save(out / "race.html")
print(f"{out / 'race.png'} is the picture, {out / 'race.html'} the page for a browser.\n")
if arguments.film:
    race.animate(out / "race.gif")

# %%
print(dl.lessons.check("optimizer_race-2", ...))

# %% [markdown]
# ## A saddle
#
# At a saddle the gradient is 0, though it is not a minimum. Exactly on the ridge every rule gets
# stuck, as the gradient across the ridge is 0. Slightly beside it, gradient descent leaves slowly,
# as its steps are proportional to the small gradient; rules that divide by the size of the gradient
# leave quickly. Noise, as from mini-batches, pushes all of them off the ridge.

# %%
for start, noise in (((-1.5, 0.0), 0.0), ((-1.5, 1e-6), 0.0), ((-1.5, 0.0), 0.05)):
    rules = ["SGD", "Momentum", "RMSprop", "Adam"]
    print(dl.viz.race("saddle", rules, steps=150, start=start, lr=0.1, noise=noise).table(), "\n")

# %% [markdown]
# ## Two wells
#
# From the right, the local minimum at x = 1 is on the way to the global one at x = −1. With a small
# rate gradient descent ends in the first well. Momentum can be fast enough to roll through it; over
# two hundred starts it ends more often in the global minimum.

# %%
rules = {
    "SGD": dl.optim.SGD,
    "Momentum β = 0.9": dl.optim.Momentum,
    "Momentum β = 0.97": partial(dl.optim.Momentum, beta=0.97),
    "Adam": dl.optim.Adam,
}
print(dl.viz.race("two-wells", rules, steps=400, start=(1.8, 1.0), lr=0.05).table(), "\n")
print(dl.viz.race("two-wells", rules, steps=400, start=200, lr=0.05).table(), "\n")

# %%
print(dl.lessons.check("optimizer_race-3", ...))

# %% [markdown]
# ## Noise and a schedule
#
# With noisy gradients a run with a large constant rate never settles: it jitters around the
# minimum. With a small rate it would settle, but it is slow. A schedule begins with a large rate
# and ends with a small one.

# %%
rates = {
    "large": 0.3,
    "small": 0.01,
    "large to small": dl.schedulers.CosineDecay(0.3, 200),
}
noisy = {"steps": 200, "start": 200, "noise": 1.0, "tolerance": 0.02}
print(dl.viz.race("bowl", dict.fromkeys(rates, dl.optim.SGD), lr=rates, **noisy).table(), "\n")

# %% [markdown]
# ## Your own function
#
# Any function of two tensors can be a surface, and its minima are searched for if you don't pass
# them. On this one, a bowl with ripples, most rules end in a close local minimum: of two hundred
# random starts, about one in ten ends in the global one. RMSprop goes on oscillating, and Adadelta
# is still on its way. This is a reason to train from several initial weights.


# %%
def ripples(x, y):
    """A bowl with ripples."""
    return dl.sin(3 * x) * dl.cos(2 * y) + (x**2 + y**2) / 5


surface = dl.viz.Surface(ripples, x=(-3, 3), y=(-3, 3))
print(dl.viz.race(surface, NAMES, steps=200, start=200, lr=0.1).table())
