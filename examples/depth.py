"""A lesson on depth: how gradients vanish on the way back through many layers, and what helps.

Run it with `python examples/depth.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # Vanishing gradients
#
# Backpropagation multiplies the gradient by the derivative of each layer that it passes. If most
# of these factors are below 1, little is left for the first layers, and they don't learn.

# %%
import argparse
import sys
from pathlib import Path

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(description="Show how gradients vanish in a deep network.")
parser.add_argument("--figure", default="depth.png", help="the norms (default: %(default)s)")
parser.add_argument("--seeds", type=int, default=5, help="trainings of each (default: %(default)s)")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
if not Path(arguments.figure).parent.is_dir():
    parser.error(f"--figure: there is no folder {Path(arguments.figure).parent}")
if Path(arguments.figure).suffix.lower() not in (".png", ".svg", ".pdf"):
    parser.error(f"--figure must end in .png, .svg or .pdf, got {arguments.figure}")
if arguments.seeds < 1:
    parser.error("--seeds must be at least 1")

try:
    from minidl.viz import plots, style
    from minidl.viz.figures.boundary import moons
except ModuleNotFoundError:
    sys.exit("This lesson needs Matplotlib: python -m pip install 'minidl[course]'")

x, y = moons(200, rng=0)
LAYERS, UNITS = 10, 16

# %% [markdown]
# ## The slope of an activation
#
# The derivative of the sigmoid is σ(1 − σ). How large can it be, and how much of a gradient is left
# after ten of them, at best?

# %%
print(dl.lessons.check("depth-1", ...))  # your answer in place of the three dots

# %%
z = np.linspace(-6, 6, 1201)
for activation in (dl.sigmoid, dl.tanh, dl.relu):
    tensor = dl.Tensor(z, requires_grad=True)
    activation(tensor).sum().backward()
    steepest = tensor.grad.max()
    print(
        f"{activation.__name__:8} steepest {steepest:.2f}, to the power of 10: {steepest**10:.1e}"
    )

# %% [markdown]
# ## Ten hidden layers
#
# Now a real network with ten hidden layers of 16 units. We take the norm of the loss's gradient in
# each layer's weights, before the first step, and the ratio of the first layer to the last.

# %%
print(dl.lessons.check("depth-2", ...))


# %%
def network(activation, seed):
    """An MLP with ten hidden layers, from 2 inputs to 2 classes."""
    return dl.nn.MLP([2, *[UNITS] * LAYERS, 2], activation, rng=seed)


def norms(model):
    """The norm of the gradient in each layer's weights, from the first layer to the last."""
    dl.losses.cross_entropy(model(x), y).backward()
    weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
    return [np.linalg.norm(p.grad) for p in weights]


found = {
    name: np.median([norms(network(name, seed)) for seed in range(arguments.seeds)], axis=0)
    for name in ("sigmoid", "tanh", "relu")
}
print(f"\nmedian of {arguments.seeds} seeds      first layer   last layer   first : last")
for name, by_layer in found.items():
    first, *_, last = by_layer
    print(f"{name:20} {first:13.1e} {last:12.1e} {first / last:14.1e}")

# %%
with style.context():
    figure = plots.new_figure(figsize=(9, 5))
    axes = figure.subplots()
    for (name, by_layer), colour in zip(found.items(), ("vermilion", "blue", "green"), strict=True):
        colour = style.COLOURS[colour]
        axes.plot(range(1, LAYERS + 2), by_layer, "o-", color=colour)
        below = 3 if name == "tanh" else 0.3
        axes.text(2, by_layer[1] * below, name, color=colour, va="center")
    axes.set(
        xlabel="layer", ylabel="norm of the gradient", yscale="log", xticks=range(1, LAYERS + 2)
    )
    axes.set_ylim(top=4)
    axes.set_title("Through sigmoids, nothing comes back to the first layers")
try:
    plots.save(figure, arguments.figure)
except OSError as error:
    sys.exit(str(error))
figure

# %% [markdown]
# ## Can a rule make up for it?
#
# Adam divides each gradient by its own size, so even a tiny one gives a step of about η. Does the
# deep network of sigmoids then learn the moons?

# %%
print(dl.lessons.check("depth-3", ...))


# %%
def right(activation, rule, rate):
    """The median share of points that are classified correctly after 300 steps."""
    shares = []
    for seed in range(arguments.seeds):
        model = network(activation, seed)
        optimizer = rule(model, lr=rate)
        dl.fit(model, dl.losses.cross_entropy, optimizer, (x, y), epochs=300, progress=False)
        shares.append(dl.metrics.accuracy(dl.predict(model, x), y))
    return np.median(shares)


print(f"\nright after 300 steps, median of {arguments.seeds} seeds")
for activation in ("sigmoid", "tanh", "relu"):
    sgd, adam = right(activation, dl.optim.SGD, 0.1), right(activation, dl.optim.Adam, 0.01)
    print(f"{activation:8}   SGD, rate 0.1: {sgd:.0%}   Adam, rate 0.01: {adam:.0%}")
