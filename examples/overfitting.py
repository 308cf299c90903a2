"""A lesson on overfitting: how a network learns noise by heart, and what decay and stopping do.

Run it with `python examples/overfitting.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # Overfitting
#
# Thirty noisy points lie around a sine. A network with 4,353 parameters can come close to all
# of them, and so learn the noise by heart. What counts is the loss on points that it hasn't seen.

# %%
import argparse
import sys
from pathlib import Path

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(description="Show overfitting, and what helps against it.")
parser.add_argument("--figure", default="overfitting.png", help="(default: %(default)s)")
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
except ModuleNotFoundError:
    sys.exit("This lesson needs Matplotlib: python -m pip install 'minidl[course]'")

STEPS, NOISE = 1000, 0.5


def points(n, seed):
    """Noisy points around sin 2x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (n, 1))
    return x, np.sin(2 * x) + rng.normal(0, NOISE, (n, 1))


def train(seed, weight_decay=0.0, **options):
    """A network and its History after 1,000 steps of AdamW on 30 points."""
    with dl.default_dtype("float64"):
        model = dl.nn.MLP([1, 64, 64, 1], "tanh", rng=seed)
    optimizer = dl.optim.AdamW(model, lr=0.01, weight_decay=weight_decay)
    unseen = points(200, seed + 1000)
    history = dl.fit(
        model, dl.losses.mse, optimizer, points(30, seed), epochs=STEPS, validation=unseen,
        progress=False, **options,
    )  # fmt: skip
    return model, history


# %% [markdown]
# ## The best that is possible
#
# The noise has a standard deviation of 0.5. No model can predict it. What is the lowest mean
# squared error on unseen points?

# %%
print(dl.lessons.check("overfitting-1", ...))  # your answer in place of the three dots

# %%
x, y = points(100_000, 0)
print(f"the true curve itself has a loss of {np.mean((y - np.sin(2 * x)) ** 2):.3f}")

# %% [markdown]
# ## Learning by heart
#
# Now the network, without any help. How do both losses go on?

# %%
print(dl.lessons.check("overfitting-2", ...))

# %%
runs = [train(seed) for seed in range(arguments.seeds)]
training = np.median([history.loss for _, history in runs], axis=0)
unseen = np.median([history.validation for _, history in runs], axis=0)
print(f"\nmedian of {arguments.seeds} seeds      loss of the 30 points   loss of unseen points")
for step in (10, 30, 100, 300, 1000):
    print(f"after {step:4} steps {training[step - 1]:27.3f} {unseen[step - 1]:23.3f}")

# %% [markdown]
# The loss of the 30 points falls far below 0.25, which is possible only if their noise is learned.
# Unseen points gain nothing from that: their loss stays where it is, and in the end it rises.
#
# ## What helps
#
# *Early stopping* keeps the weights that were best on points held out; as these were used to
# choose, other points must judge the result. *Weight decay* pulls each weight towards 0 in each
# step, so that the curve stays smooth. How much decay is right?

# %%
print(dl.lessons.check("overfitting-3", ...))

# %%
print("\nweight decay   loss of the 30 points   loss of unseen points")
models = {}
for decay in (0.0, 0.1, 0.3, 1.0, 3.0):
    if decay:  # the runs without decay are those above
        runs = [train(seed, decay) for seed in range(arguments.seeds)]
    models[decay] = runs[0][0]
    ends = np.median([(history.loss[-1], history.validation[-1]) for _, history in runs], axis=0)
    print(f"{decay:12g} {ends[0]:23.3f} {ends[1]:23.3f}")
stopped = []
for seed in range(arguments.seeds):
    model, history = train(seed, callbacks=[dl.callbacks.EarlyStopping(patience=100)])
    fresh = dl.evaluate(model, points(200, seed + 2000), dl.losses.mse)["loss"]
    stopped.append((len(history.loss), fresh))
steps, loss = np.median(stopped, axis=0)
print(f"early stopping after {steps:.0f} steps, loss of other unseen points {loss:.3f}")

# %%
with style.context():
    figure = plots.new_figure(figsize=(9, 5))
    axes = figure.subplots()
    grid = np.linspace(-3, 3, 300)[:, None]
    axes.plot(*points(30, 0), "o", color=style.COLOURS["grey"], ms=6, label="30 points")
    axes.plot(grid, np.sin(2 * grid), color="black", lw=1, ls="--", label="without noise")
    for decay, name in ((0.0, "vermilion"), (0.3, "blue"), (3.0, "green")):
        axes.plot(
            grid,
            dl.predict(models[decay], grid),
            color=style.COLOURS[name],
            label=f"weight decay {decay:g}",
        )
    axes.set(xlabel="x", ylabel="y", ylim=(-2, 4), title="Too wiggly, better, too flat")
    axes.legend(loc="upper left", ncols=2)
try:
    plots.save(figure, arguments.figure)
except OSError as error:
    sys.exit(str(error))
figure
