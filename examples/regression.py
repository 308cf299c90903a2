"""Fit a line to a hundred noisy points, by hand and with every optimizer: training for beginners.

Run it with `python examples/regression.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # One line, every optimizer
#
# A hundred points scatter around y = 2x + 1. A model with two weights, a slope and an intercept,
# learns this line. The example has everything that training a network needs: a prediction, a loss
# that measures its error, gradients of the loss, and a rule that updates the weights.

# %%
import argparse
import sys
from pathlib import Path

import numpy as np

import minidl as dl
from minidl._format import printable  # what the console can't show is spelled out

parser = argparse.ArgumentParser(
    description="Fit a line by gradient descent, by hand and with every update rule of minidl."
)
parser.add_argument("--figure", default="regression.png", help="output file (default: %(default)s)")
parser.add_argument(
    "--seeds", type=int, default=5, help="number of runs of Adam (default: %(default)s)"
)
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
if not Path(arguments.figure).parent.is_dir():
    parser.error(f"--figure: there is no folder {Path(arguments.figure).parent}")
if Path(arguments.figure).suffix.lower() not in (".png", ".svg", ".pdf"):
    parser.error(f"--figure must end in .png, .svg or .pdf, got {arguments.figure}")

try:
    import matplotlib.pyplot as plt
except ModuleNotFoundError:
    sys.exit("This lesson needs Matplotlib: python -m pip install 'minidl[course]'")

random = np.random.RandomState(0)
x = random.rand(100, 1) * 10
y = 2 * x + 1 + random.randn(100, 1)

# %% [markdown]
# With a squared error this problem has an exact solution, so each method can be judged by its
# distance from it.

# %%
columns = np.hstack([x, np.ones_like(x)])
best = np.linalg.lstsq(columns, y, rcond=None)[0].ravel()
print(f"least squares        slope {best[0]:.7f}  intercept {best[1]:.8f}   (the exact solution)")

# %% [markdown]
# ## Gradient descent by hand
#
# The mean squared error is L = mean((slope · x + intercept − y)²). Its derivatives are
#
#     ∂L/∂slope     = mean(2 (prediction − y) x)
#     ∂L/∂intercept = mean(2 (prediction − y))
#
# and each of the thousand updates takes a small step against them: θ ← θ − η ∂L/∂θ.

# %%
slope, intercept = np.zeros(1), np.zeros(1)
for _ in range(1000):
    error = slope * x + intercept - y
    slope -= 0.01 * np.mean(2 * error * x)
    intercept -= 0.01 * np.mean(2 * error)
print(f"by hand              slope {slope[0]:.8f}  intercept {intercept[0]!s}")

# %% [markdown]
# ## The same with minidl
#
# `Dense(1, 1)` is the line, `mse` the loss and `SGD` the update rule; `backward` computes the
# derivatives. Both versions take the same steps, so they agree to the last digits of a float64.


# %%
def line(rng=None):
    """A model y = x · weight + bias in float64, with zero or random initial weights."""
    with dl.default_dtype("float64"):
        return dl.nn.Dense(1, 1, init="zeros" if rng is None else "glorot_uniform", rng=rng)


def train(model, optimizer, epochs, batch_size=None, rng=0):
    """Train on the points, in batches of batch_size (None: all points)."""
    data = dl.data.DataLoader(x, y, batch_size, rng=rng)
    return dl.fit(model, dl.losses.mse, optimizer, data, epochs=epochs, progress=False)


model = line()
history = train(model, dl.optim.SGD(model, lr=0.01), epochs=1000)
weights = model.weight.item(), model.bias.item()
print(f"minidl               slope {weights[0]:.8f}  intercept {weights[1]!s}")
difference = max(abs(weights[0] - slope[0]), abs(weights[1] - intercept[0]))
print(f"                     they differ by {difference:.1e}")

# %%
print(dl.lessons.check("regression-1", ...))  # your answer in place of the three dots

# %% [markdown]
# ## Adam with the defaults of Keras
#
# With its defaults, Keras starts from a random weight and uses batches of 32 and Adam with a rate
# of 0.001 and ε = 10⁻⁷. In 1000 epochs it takes 4000 steps of at most about 0.001 each. If the
# start is far from the solution, this is not far enough, so the result depends on the seed.

# %%
print(f"\nAdam, rate 0.001, batches of 32, 1000 epochs, from {arguments.seeds} random starts")
for seed in range(arguments.seeds):
    model = line(rng=seed)
    train(model, dl.optim.Adam(model, eps=1e-7), 1000, batch_size=32, rng=seed)
    weights = model.weight.item(), model.bias.item()
    print(f"  seed {seed}             slope {weights[0]:.5f}     intercept {weights[1]:.5f}")

# %% [markdown]
# ## Every update rule
#
# All rules start from zero, use all points in each step and take a thousand steps, with a rate
# that suits the rule. (Rates of different rules are not comparable: Adagrad divides by all past
# gradients, Adadelta determines its own scale.) AdamW stops short of the exact solution by design:
# weight decay pulls every weight towards zero. All steps of Lion have the size of the rate, so it
# ends up oscillating around the solution; with a decreasing rate (a schedule) it would converge.

# %%
rates = {
    "SGD": 0.01,
    "Momentum": 0.02,
    "NAG": 0.02,
    "Adagrad": 1.0,
    "RMSprop": 0.01,
    "Adam": 0.1,
    "AdamW": 0.1,
    "Nadam": 0.1,
    "Adamax": 0.2,
    "RAdam": 0.05,
    "Adadelta": 1.0,
    "FTRL": 1.0,
    "Lion": 0.005,
}
print("\nrule      rate   updates    slope  intercept    loss  distance from the exact solution")
histories = {}
for name, rate in rates.items():
    model = line()
    optimizer = getattr(dl.optim, name)(model, lr=rate)
    histories[name] = train(model, optimizer, epochs=1000)
    weights = np.array([model.weight.item(), model.bias.item()])
    distance = np.linalg.norm(weights - best)
    print(
        f"{name:9} {rate:<6g} {optimizer.t:6d} {weights[0]:9.5f} {weights[1]:9.5f}"
        f" {histories[name].loss[-1]:8.5f}  {distance:.1e}"
    )

# %%
print(dl.lessons.check("regression-2", ...))

# %% [markdown]
# ## Three batch sizes
#
# The gradient can be computed from all points (gradient descent), from one (stochastic gradient
# descent) or from a few (mini-batches). With fewer points, a step is cheaper and noisier. At the
# same rate, a thousand steps read 100,000, 14,300 or 1000 points. All three come about as close to
# the solution: the first still creeps along the valley, the noisy ones fluctuate across it.

# %%
print("\nbatch                updates  points read    slope  intercept  distance")
paths = {}
for name, batch_size in (("all 100 points", None), ("mini-batches of 16", 16), ("one point", 1)):
    model = line()
    optimizer = dl.optim.SGD(model, lr=0.005)
    loader = dl.data.DataLoader(x, y, batch_size, rng=0)
    path, points_read = [(0.0, 0.0)], 0
    while optimizer.t < 1000:
        for batch_x, batch_y in loader:
            optimizer.zero_grad()
            dl.losses.mse(model(batch_x), batch_y).backward()
            optimizer.step()
            path.append((model.weight.item(), model.bias.item()))
            points_read += len(batch_x)
    paths[name] = np.array(path)
    distance = np.linalg.norm(paths[name][-1] - best)
    ends_at = "{:9.4f} {:9.4f}".format(*path[-1])
    print(f"{name:20} {optimizer.t:7d} {points_read:12,d} {ends_at} {distance:9.4f}")

# %%
print(dl.lessons.check("regression-3", ...))

# %% [markdown]
# ## Too small, right, too large
#
# Let λ be the largest curvature of the loss. Along its direction, each step of gradient descent
# multiplies the error by 1 − ηλ. The error decreases if η < 2/λ and grows without bound if η > 2/λ.

# %%
curvature = np.linalg.eigvalsh(2 * columns.T @ columns / len(x))[-1]
limit = f"so rates above 2/λ = {2 / curvature:.4f} diverge"
print(printable(f"\nlargest curvature λ = {curvature:.2f}, {limit}"))
by_rate = {}
for rate, verdict in ((0.0001, "too small"), (0.01, "right"), (0.05, "too large")):
    model = line()
    try:
        by_rate[rate, verdict] = train(model, dl.optim.SGD(model, lr=rate), epochs=1000)
        outcome = f"loss after 1000 steps {by_rate[rate, verdict].loss[-1]:.4f}"
    except dl.DivergenceError as error:
        by_rate[rate, verdict] = error.history
        outcome = str(error)
    print(f"  rate {rate:<7g} {verdict:10} {outcome}")

# %% [markdown]
# ## The figure
#
# Top left: the points and two of the lines. Top right: the convergence of four rules. Bottom left:
# the three rates. Bottom right: the paths for three batch sizes on the contours of the loss, which
# form a long, narrow valley.

# %%
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
floor = np.mean((columns @ best - y.ravel()) ** 2)
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 11})
figure, ((points, losses), (rates_axes, valley)) = plt.subplots(
    2, 2, figsize=(12, 9), layout="constrained"
)

ends = np.array([0.0, 10.0])
points.plot(x, y, ".", color=GREY, label="100 points around y = 2x + 1")
points.plot(ends, best[0] * ends + best[1], color=BLUE, lw=5, alpha=0.4, label="least squares")
points.plot(ends, slope * ends + intercept, color=ORANGE, label="gradient descent, 1000 steps")
points.set(xlabel="x", ylabel="y", title="Data and fitted line")

for name, colour in (("SGD", BLUE), ("Momentum", ORANGE), ("Adam", GREEN), ("RMSprop", PINK)):
    excess = np.array(histories[name].loss) - floor
    losses.plot(np.maximum(excess, 1e-16), color=colour, label=f"{name}, rate {rates[name]:g}")
losses.set(
    yscale="log", ylim=(1e-14, 1e3), xlabel="step", ylabel="loss minus its minimum",
    title="Four update rules",
)  # fmt: skip

for ((rate, verdict), run), colour in zip(by_rate.items(), (BLUE, GREEN, ORANGE), strict=True):
    rates_axes.plot(run.step_loss[:60], color=colour, label=f"{rate:g}: {verdict}")
rates_axes.set(
    yscale="log", ylim=(0.5, 1e6), xlabel="step", ylabel="loss",
    title=f"Three rates (the loss diverges above {2 / curvature:.3f})",
)  # fmt: skip

a, b = np.meshgrid(np.linspace(1.4, 2.7, 200), np.linspace(-0.4, 2.6, 200))
surface = np.mean((a[..., None] * x.ravel() + b[..., None] - y.ravel()) ** 2, axis=-1)
levels = floor + np.geomspace(0.01, 20, 12)
valley.contour(a, b, surface, levels=levels, colors=GREY, linewidths=0.6)
for (name, path), colour in zip(reversed(paths.items()), (PINK, ORANGE, BLUE), strict=True):
    valley.plot(*path.T, color=colour, lw=0.7 if name == "one point" else 1.5, label=name)
valley.plot(*best, "k*", ms=14, label="exact solution")
valley.set(
    xlim=(1.4, 2.7), ylim=(-0.4, 2.6), xlabel="slope", ylabel="intercept",
    title="Three batch sizes, on contours of the loss",
)  # fmt: skip

for axes in figure.axes:
    axes.legend(framealpha=0.9, edgecolor="none")
figure.savefig(arguments.figure, dpi=120)
print(f"\nWrote {arguments.figure}")
