"""One training step, number by number: forward, backward, update.

Run it with `python examples/walkthrough.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # Where do the numbers come from?
#
# A network with two inputs, two hidden units and one output has nine parameters. Here it takes one
# step on two samples, and we look at every number.

# %%
import argparse
import sys
from pathlib import Path

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(description="Walk through one training step, number by number.")
parser.add_argument("--page", default="walkthrough.html", help="the page (default: %(default)s)")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
if not Path(arguments.page).parent.is_dir():
    parser.error(f"--page: there is no folder {Path(arguments.page).parent}")

try:
    import jinja2  # noqa: F401
except ModuleNotFoundError:
    sys.exit("The page needs Jinja2: python -m pip install 'minidl[course]'")

x = np.array([[0.7, 0.8], [-0.9, -0.1]])
y = np.array([[0.0], [-0.9]])

with dl.default_dtype("float64"):
    model = dl.nn.MLP([2, 2, 1], "tanh", rng=0)
model.load_state_dict(
    {
        "dense1.weight": [[0.9, -0.5], [0.3, 0.7]],
        "dense1.bias": [0.0, 0.0],
        "dense2.weight": [[0.6], [1.2]],
        "dense2.bias": [0.0],
    }
)
optimizer = dl.optim.Adam(model, lr=0.1)

# %% [markdown]
# ## Record a step
#
# Everything inside `with dl.trace()` is computed as usual and recorded.

# %%
with dl.trace() as walk:
    loss = dl.losses.mse(model(x), y)
    loss.backward()
    optimizer.step()
print(repr(walk))

# %%
print(dl.lessons.check("walkthrough-1", ...))  # your answer in place of the three dots

# %% [markdown]
# ## Forward
#
# The first layer multiplies each sample with each column of its weight. For the first sample and
# the second unit that is 0.7 · (−0.5) + 0.8 · 0.7 = 0.21; tanh turns it into 0.207.

# %%
print(walk.explain("dense1", (0, 1)), end="\n\n")
print(walk.explain("tanh1", (0, 1)))

# %%
print(dl.lessons.check("walkthrough-2", ...))

# %% [markdown]
# ## Backward
#
# The gradient of the loss is passed back from the last op to the first. Each op multiplies its
# upstream gradient with its own derivative: where tanh is steep, 1 − y² is close to 1, and most of
# the gradient passes. A weight is used once for each sample, so its gradient is a sum over them.
#
# ## Update
#
# Adam keeps two averages for each weight, m and v. Both are corrected for the step count t, so the
# first step is as long as the learning rate, against the sign of the gradient.

# %%
print(walk.explain("dense1.weight", (0, 1)))

# %% [markdown]
# ## Can it be trusted?
#
# The slope of the loss can also be measured: move a weight up and down a little and compute the
# loss again. That is slow, because it takes two forward passes for each weight, but needs no
# calculus.

# %%
(backward,) = walk.backwards
for checked in walk.check(backward):
    entry = f"{checked.value.name}{list(checked.at)}"
    print(f"{entry:22} backward {checked.backward:+.9f}   measured {checked.difference:+.9f}")

# %%
print(dl.lessons.check("walkthrough-3", ...))

# %% [markdown]
# ## What can go wrong
#
# A walkthrough reports the usual problems. Here the inputs are a hundred times too large, so tanh
# is flat and the first layer can't learn. Also, zero_grad() was not called.

# %%
with dl.trace() as spoiled:
    loss = dl.losses.mse(model(100 * x), y)
    loss.backward()
for remark in spoiled.remarks():
    print(f"{remark.title}: {remark.text}")

# %% [markdown]
# ## The page
#
# The page shows all steps: ← and → step, the space bar plays.

# %%
walk.save(arguments.page)
print(f"\nThe page is in {arguments.page}")
