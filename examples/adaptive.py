"""A lesson on adaptive rates: Adagrad, RMSprop, Adadelta and Adam divide by what they have seen.

Run it with `python examples/adaptive.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # A rate for each weight
#
# One rate for all weights suits none of them: a weight with large gradients needs a small rate, one
# with small gradients a large one. Adaptive rules keep a record of the squared gradients of each
# weight, and divide by its root.

# %%
import argparse
import sys
from pathlib import Path

import numpy as np

import minidl as dl
from minidl._format import printable  # what the console can't show is spelled out

parser = argparse.ArgumentParser(description="Show what adaptive rules do to the rate.")
parser.add_argument("--figure", default="adaptive.png", help="the rates (default: %(default)s)")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
if not Path(arguments.figure).parent.is_dir():
    parser.error(f"--figure: there is no folder {Path(arguments.figure).parent}")
if Path(arguments.figure).suffix.lower() not in (".png", ".svg", ".pdf"):
    parser.error(f"--figure must end in .png, .svg or .pdf, got {arguments.figure}")

try:
    from minidl.viz import plots, style
except ModuleNotFoundError:
    sys.exit("This lesson needs Matplotlib: python -m pip install 'minidl[course]'")


def moves(name, rate, gradients):
    """The change of a weight in each step of a rule, under these gradients."""
    theta, changes = dl.Tensor(np.zeros(1), requires_grad=True), []
    optimizer = getattr(dl.optim, name)([theta], lr=rate)
    for gradient in gradients:
        before = theta.item()
        theta.grad = np.array([float(gradient)])
        optimizer.step()
        changes.append(theta.item() - before)
    return np.array(changes)


# %% [markdown]
# ## The first step
#
# Three weights have the gradients 1000, 1 and 0.001. How far does the first step of each rule go?

# %%
print(dl.lessons.check("adaptive-1", ...))  # your answer in place of the three dots

# %%
rules = {"SGD": 0.1, "Adagrad": 0.1, "RMSprop": 0.1, "Adam": 0.1, "Adadelta": 1.0}
print("rule       rate   gradient 1000      gradient 1  gradient 0.001")
for name, rate in rules.items():
    steps = [moves(name, rate, [g])[0] for g in (1000, 1, 0.001)]
    print(f"{name:9} {rate:5} " + "".join(f"{step:16.6f}" for step in steps))

# %% [markdown]
# SGD's step is proportional to the gradient. Adagrad's and Adam's is the rate, whatever the
# gradient: g/√g² is 1. RMSprop starts with √(0.01 g²), so its first step is ten times the rate.
# Adadelta has a numerator of its own that starts at almost 0, so its first steps are tiny.
#
# ## A gradient that stays
#
# Now the gradient is 1 in each of a hundred steps. Adagrad divides by the root of the sum of
# squares, RMSprop by the root of their mean. How long is step 100 of Adagrad?

# %%
print(dl.lessons.check("adaptive-2", ...))

# %%
steps = 400
found = {name: -moves(name, 0.1, np.ones(steps)) for name in ("SGD", "Adagrad", "RMSprop", "Adam")}
print("\nstep " + "".join(f"{name:>10}" for name in found))
for t in (1, 10, 100, 400):
    print(f"{t:4} " + "".join(f"{changes[t - 1]:10.4f}" for changes in found.values()))

# %% [markdown]
# Adagrad's steps fall like 1/√t and never recover. Duchi et al. (2011) prove that this suits convex
# problems with sparse features; in a long training it follows changes more and more slowly
# (docs/claims.md measures it). RMSprop forgets old gradients and goes on.

# %%
with style.context():
    figure = plots.new_figure(figsize=(9, 5))
    axes = figure.subplots()
    for name, at, height in (("SGD", 400, 0.8), ("Adagrad", 400, 1.4), ("RMSprop", 130, 1.4)):
        changes = found[name]
        colour = style.RULE_STYLES[name].colour
        axes.plot(np.arange(1, steps + 1), changes, color=colour)
        label = "SGD and Adam" if name == "SGD" else name
        y = changes[at - 1] * height
        axes.text(at, y, label, color=colour, ha="right", va="center")
    axes.set(xlabel="step", ylabel="length of the step", yscale="log", xlim=(0, steps))
    axes.set_title("The gradient is always 1, the rate 0.1")
try:
    plots.save(figure, arguments.figure)
except OSError as error:
    sys.exit(str(error))
figure

# %% [markdown]
# ## Stretched axes
#
# f = (x² + κ y²)/2 is a bowl, stretched by κ. Each rule has a rate that suits it for κ = 1, and
# must live with it for κ = 1000. Which rules notice?

# %%
print(dl.lessons.check("adaptive-3", ...))

# %%
rates = {"SGD": 0.5, "Momentum": 0.5, "Adagrad": 1.0, "Adam": 0.1}
bowls = {
    "κ = 1": lambda x, y: (x**2 + y**2) / 2,
    "κ = 1000": lambda x, y: (x**2 + 1000 * y**2) / 2,
    "κ = 1000, along a diagonal": lambda x, y: ((x + y) ** 2 + 1000 * (x - y) ** 2) / 4,
}
for name, bowl in bowls.items():
    surface = dl.viz.Surface(bowl, x=(-3, 3), y=(-3, 3), minima=[(0, 0)])
    race = dl.viz.race(surface, [*rates], steps=300, start=(-2.0, 1.0), lr=rates)
    print(printable(f"\n{name}\n{race.table()}"))

# %% [markdown]
# A gradient that is a thousand times as large is divided by a record that is a thousand times as
# large. So Adagrad and Adam take the very same path, and SGD and Momentum diverge. This is why one
# rate of Adam suits weights with gradients of different sizes. It only holds along the axes: where
# the bowl is stretched along a diagonal, neither rule arrives in 300 steps.
