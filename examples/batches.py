"""A lesson on the size of batches: noise against speed.

Run it with `python examples/batches.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # All points, one point, or a few
#
# The gradient of a loss is a mean over samples. From all of them (batch gradient descent) it is
# exact and expensive. From one (stochastic gradient descent) it is cheap and noisy. A mini-batch
# of m samples lies in between, and m is yours to choose.

# %%
import argparse
import os
import sys
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # so that the time at the end is that of one thread

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(description="Show the noise and the speed of batches.")
parser.add_argument("--figure", default="batches.png", help="the paths (default: %(default)s)")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
if not Path(arguments.figure).parent.is_dir():
    parser.error(f"--figure: there is no folder {Path(arguments.figure).parent}")
if Path(arguments.figure).suffix.lower() not in (".png", ".svg", ".pdf"):
    parser.error(f"--figure must end in .png, .svg or .pdf, got {arguments.figure}")

try:
    from minidl.viz import plots
    from minidl.viz.figures.batches import batch_paths, worked_example
except ModuleNotFoundError:
    sys.exit("This lesson needs Matplotlib: python -m pip install 'minidl[course]'")

x, y = worked_example()
print(f"{len(x)} points around y = 2x + 1")

# %% [markdown]
# ## How noisy is a batch?
#
# At one place, slope 1.5 and intercept 0.5, we draw 2,000 batches of each size with replacement and
# compare their gradients with the exact one. Before you run it: what do you expect?

# %%
print(dl.lessons.check("batches-1", ...))  # your answer in place of the three dots


# %%
def slope_gradient(rows):
    """∂L/∂slope of the squared error, from these rows."""
    slope = dl.Tensor(np.array([1.5]), requires_grad=True)
    dl.losses.mse(x[rows] * slope + 0.5, y[rows]).backward()
    return slope.grad[0]


rng = np.random.default_rng(0)
exact = slope_gradient(np.arange(len(x)))
print(f"\nthe exact gradient is {exact:.2f}")
print("batch  standard deviation of the gradient  times the root of the batch size")
noise = {}
for size in (1, 4, 16, 64):
    drawn = [slope_gradient(rng.integers(len(x), size=size)) for _ in range(2000)]
    noise[size] = np.std(drawn)
    print(f"{size:5} {noise[size]:34.2f} {noise[size] * size**0.5:34.1f}")

# %% [markdown]
# The last column is almost constant: the noise falls with 1/√m. A hundred times the samples buy a
# tenth of the noise, so the first samples of a batch are worth the most.
#
# ## What an epoch is
#
# An epoch reads each sample once. The batch size decides how many updates that makes.

# %%
print(dl.lessons.check("batches-2", ...))

# %%
print()
for size in (None, 32, 1):
    loader = dl.data.DataLoader(np.zeros((1000, 1)), np.zeros((1000, 1)), size)
    print(f"batch_size={size}: {len(loader)} updates an epoch of 1,000 samples")

# %% [markdown]
# ## The paths
#
# Three runs of 4,000 updates, all from the same start and at the same rate of 0.005. The
# contours are those of the loss over all points. Which of them stops at the minimum?

# %%
print(dl.lessons.check("batches-3", ...))

# %%
figure = batch_paths(x, y, updates=4000)
try:
    plots.save(figure, arguments.figure)
except OSError as error:
    sys.exit(str(error))
figure

# %% [markdown]
# The exact gradient vanishes at the minimum, so the first path ends there. The gradient of one
# point doesn't vanish there: at a constant rate the path goes on wandering, the farther the higher
# the rate. That is why rates are lowered towards the end (the lesson on schedules).
#
# ## Noise against speed
#
# Each step has a cost of its own, so larger batches read more samples in a second, until the
# arithmetic takes most of the time. But they take fewer updates. Which size has the lowest loss
# after 0.3 s of processor time? The figures are of your machine.

# %%
rng = np.random.default_rng(0)
images = rng.standard_normal((4096, 64)).astype("float32")
labels = (images @ rng.standard_normal((64, 10)).astype("float32")).argmax(axis=1)
print("\nbatch  samples a second  updates  loss after 0.3 s")
for size in (1, 4, 16, 64, 256, 1024):
    model = dl.nn.MLP([64, 64, 10], rng=0)
    optimizer = dl.optim.SGD(model, lr=0.05)
    loader = dl.data.DataLoader(images, labels, size, shuffle=True, rng=0)
    start = time.process_time()
    while (spent := time.process_time() - start) < 0.3:
        dl.fit(model, dl.losses.cross_entropy, optimizer, loader, epochs=1, progress=False)
    pace = optimizer.t * size / spent
    with dl.no_grad():
        loss = dl.losses.cross_entropy(model(images), labels).item()
    print(f"{size:5} {pace:17,.0f} {optimizer.t:8,} {loss:17.3f}")
