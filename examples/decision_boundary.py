"""A lesson on the decision boundary: hidden units bend a line until it separates two moons.

Run it with `python examples/decision_boundary.py`, or cell by cell in an editor that supports
`# %%`.
"""

# %% [markdown]
# # The decision boundary
#
# Points of two classes lie in the plane, and a network must predict the class of a new point. It
# computes a score for each class; the boundary is where the two scores are equal.

# %%
import argparse
import os
import sys
from pathlib import Path

import numpy as np

import minidl as dl
from minidl._format import printable  # what the console can't show is spelled out

parser = argparse.ArgumentParser(
    description="Separate two moons with more and more hidden units, and watch the boundary."
)
parser.add_argument(
    "--figure", default="decision_boundary.gif", help="the animation (default: %(default)s)"
)
parser.add_argument("--data", choices=("moons", "spirals"), default="moons", help="the points")
parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
parser.add_argument(
    "--frames", type=int, default=36, help="the largest number (default: %(default)s)"
)
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
path = Path(arguments.figure)
if not path.parent.is_dir():
    parser.error(f"--figure: there is no folder {path.parent}")
if path.suffix.lower() != ".gif":
    parser.error(f"--figure must end in .gif, got {path}")
if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
    parser.error(f"--figure: {path} can't be written")
if arguments.seed < 0 or arguments.frames < 2:
    parser.error("--seed must be at least 0 and --frames at least 2")

try:
    from minidl.viz import film
    from minidl.viz.figures import boundary
except ModuleNotFoundError:
    sys.exit("This lesson needs Matplotlib: python -m pip install 'minidl[course]'")

points = boundary.SHAPES[arguments.data]
x, y = points(200, rng=arguments.seed)
x_new, y_new = points(1000, rng=arguments.seed + 1)
print(f"{len(x)} points for training, {len(x_new)} new points for testing")

# %%
print(dl.lessons.check("decision_boundary-1", ...))  # your answer in place of the three dots

# %% [markdown]
# ## Why a straight line is not enough
#
# Without a hidden layer a score is a · x₁ + b · x₂ + c. Two such scores are equal on a straight
# line, and no straight line separates two moons, however long we train.


# %%
def train(*hidden):
    """An MLP with these hidden units after 300 steps of Adam, each from all points."""
    model = dl.nn.MLP([2, *hidden, 2], "tanh", rng=arguments.seed)
    optimizer = dl.optim.Adam(model, lr=0.02)
    dl.fit(model, dl.losses.cross_entropy, optimizer, (x, y), epochs=300, progress=False)
    return model


def right(model, x, y):
    """The fraction of the points that the model classifies correctly."""
    with dl.no_grad():
        return np.mean(model(x).numpy().argmax(axis=1) == y)


line = train()
a, b = line.dense1.weight.numpy() @ [1, -1]
c = line.dense1.bias.numpy() @ [1, -1]
print(printable(f"\none line: {a:.2f} x₁ + {b:.2f} x₂ + {c:.2f} = 0 is the boundary"))
print(f"{right(line, x, y):.1%} of the points are on their side of it")

# %%
print(dl.lessons.check("decision_boundary-2", ...))

# %% [markdown]
# ## What hidden units do
#
# Each hidden unit draws a soft line of its own: tanh goes from −1 on one side of it to 1 on the
# other. The output adds the units up, so that each of them can add a bend to the boundary. A few
# bends are enough for the moons, but with more units they are found sooner. The spirals need many
# more bends, and a second layer, which bends the lines of the first.

# %%
print("\nhidden units   parameters   right   right of the new points")
for hidden in ((), (1,), (2,), (4,), (8,), (16,), (16, 16)):
    model = train(*hidden)
    size = sum(parameter.size for parameter in model.parameters())
    units = " + ".join(map(str, hidden)) or "none"
    print(f"{units:12} {size:12d} {right(model, x, y):7.1%} {right(model, x_new, y_new):25.1%}")

# %%
print(dl.lessons.check("decision_boundary-3", ...))

# %% [markdown]
# ## The boundary during training
#
# The tint is darker where the network is more certain; on the line both classes are equally likely.
# At first the line is almost straight. Then it bends where points are on the wrong side. In the end
# the network is certain nearly everywhere, even where it has never seen a point.

# %%
animation = boundary.decision_boundary(
    (x, y), hidden=(16, 16), frames=arguments.frames, seed=arguments.seed
)
try:
    film.save(animation, path)
except OSError as error:
    sys.exit(str(error))
print(f"\nThe animation is in {path}")
