"""Optimizers race over hills and valleys: what each part of a rule is good for.

Run it with `python examples/optimizer_race.py`, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # A race of optimizers
#
# A network's loss has thousands of weights, and nobody can see it. A function of two numbers can
# be seen: a landscape with valleys, ridges and pits. The rules of minidl take their steps on it
# just as in a network, so one can watch what momentum, a rate for each weight, or noise do.

# %%
import argparse
import sys
from functools import partial
from pathlib import Path

import minidl as dl

parser = argparse.ArgumentParser(description="Race optimizers over landscapes of two parameters.")
parser.add_argument("--out", default=".", help="the folder for picture and page (default: here)")
parser.add_argument("--film", action="store_true", help="write race.gif, too; takes some seconds")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
out = Path(arguments.out)
if not out.is_dir():
    parser.error(f"--out: there is no folder {out}")

NAMES = ["SGD", "Momentum", "NAG", "Adagrad", "RMSprop", "Adam", "Adadelta", "FTRL"]

# %% [markdown]
# ## One rate for all is unfair
#
# The ravine is f = (x² + 40 y²) / 2: forty times as steep across as along. Gradient descent
# diverges across as soon as η > 2 / 40 = 0.05, so along the ravine it has to crawl. Rules that
# divide by the size of the gradients see the same bowl whichever way it is stretched, but how far
# a step goes is then up to the rate, which is small here for Adagrad, Adadelta and FTRL.

# %%
print(dl.viz.race("ravine", NAMES, steps=200, lr=0.04).table(), "\n")

# %% [markdown]
# A little above the threshold gradient descent is lost. Momentum averages the gradients across
# away, and stays.

# %%
print(dl.viz.race("ravine", ["SGD", "Momentum", "NAG"], steps=200, lr=0.051).table(), "\n")

# %% [markdown]
# ## To each the best of 25 rates
#
# `tune=True` tries 25 rates from 0.0001 to 10 for each rule, and races with the one that arrives
# first. That is what a benchmark should do, and what the figure of a paper should tell.

# %%
race = dl.viz.race("beale", NAMES, steps=150, tune=True)
print(race.table(), "\n")
race.plot(out / "race.png")
race.save(out / "race.html")
print(f"{out / 'race.png'} shows it, and {out / 'race.html'} plays it in a browser.\n")
if arguments.film:
    race.animate(out / "race.gif")

# %% [markdown]
# ## A saddle
#
# At a saddle the gradient is 0, though it is no minimum. Exactly on the ridge every rule is
# stuck: the gradient across is 0, and no rule makes something of nothing. A little beside it,
# plain descent leaves slowly, in proportion to how far it is off; rules that divide by the
# gradient's size do not mind how small it is. And noise, as from mini-batches, pushes all of them
# off.

# %%
for start, noise in (((-1.5, 0.0), 0.0), ((-1.5, 1e-6), 0.0), ((-1.5, 0.0), 0.05)):
    rules = ["SGD", "Momentum", "RMSprop", "Adam"]
    print(dl.viz.race("saddle", rules, steps=150, start=start, lr=0.1, noise=noise).table(), "\n")

# %% [markdown]
# ## Two wells
#
# From the right, the local minimum at x = 1 lies on the way to the global one at x = −1. With a
# small rate descent ends in the first well. Momentum may have the speed to roll through, and on
# average over two hundred starts that shows.

# %%
rules = {
    "SGD": dl.optim.SGD,
    "Momentum β = 0.9": dl.optim.Momentum,
    "Momentum β = 0.97": partial(dl.optim.Momentum, beta=0.97),
    "Adam": dl.optim.Adam,
}
print(dl.viz.race("two-wells", rules, steps=400, start=(1.8, 1.0), lr=0.05).table(), "\n")
print(dl.viz.race("two-wells", rules, steps=400, start=200, lr=0.05).table(), "\n")

# %% [markdown]
# ## Noise and a schedule
#
# With noise in the gradients a large constant rate never settles: the run jitters around the
# minimum. A small one would settle, but is slow to get there. A schedule begins large and ends
# small.

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
# Any function of two tensors will do, and its minimum is searched for if you don't give it. On this
# one, a bowl with ripples, each rule ends in the pit that is nearest, wherever it begins: out of
# two hundred random starts about one in ten is in the right one. That is why training begins more
# than once.


# %%
def ripples(x, y):
    """A bowl with ripples."""
    return dl.sin(3 * x) * dl.cos(2 * y) + (x**2 + y**2) / 5


surface = dl.viz.Surface(ripples, x=(-3, 3), y=(-3, 3))
print(dl.viz.race(surface, NAMES, steps=200, start=200, lr=0.1).table())
