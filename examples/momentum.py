"""A lesson on momentum: what an average of gradients damps, and where it overshoots.

Run it with `python examples/momentum.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # Momentum
#
# In a ravine the gradient points mostly across: from one wall to the other. Gradient descent
# zigzags. Momentum takes a running average of the gradients,
#
#     v ← βv + (1 − β)g        θ ← θ − ηv
#
# in which what changes sign cancels, and what stays adds up.

# %%
import argparse
import sys
from pathlib import Path

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(description="Show what momentum damps, and where it overshoots.")
parser.add_argument("--figure", default="momentum.png", help="the arrows (default: %(default)s)")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
if not Path(arguments.figure).parent.is_dir():
    parser.error(f"--figure: there is no folder {Path(arguments.figure).parent}")
if Path(arguments.figure).suffix.lower() not in (".png", ".svg", ".pdf"):
    parser.error(f"--figure must end in .png, .svg or .pdf, got {arguments.figure}")

try:
    from minidl.viz import plots
    from minidl.viz.figures.arrows import momentum_arrows
except ModuleNotFoundError:
    sys.exit("This lesson needs Matplotlib: python -m pip install 'minidl[course]'")

# %% [markdown]
# ## A constant gradient
#
# First the simplest case: the gradient is 1 in every step. What becomes of v?

# %%
print(dl.lessons.check("momentum-1", ...))  # your answer in place of the three dots

# %%
theta = dl.Tensor(np.zeros(1), requires_grad=True)
optimizer = dl.optim.Momentum([theta], lr=1.0, beta=0.9)
print("step    v")
for step in range(1, 41):
    theta.grad = np.ones(1)
    optimizer.step()
    if step in (1, 2, 5, 10, 20, 40):
        print(f"{step:4} {optimizer.state[theta]['v'][0]:6.3f}")

# %% [markdown]
# v starts at 0 and approaches the gradient: after 1/(1 − β) = 10 steps it has covered 1 − 0.9¹⁰,
# almost two thirds of the way. So β = 0.9 averages over about ten gradients. PyTorch's momentum
# leaves out the factor 1 − β: there v approaches g/(1 − β), ten times as much, and the rate must be
# a tenth.
#
# ## Across a ravine
#
# f = (x² + 40 y²)/2 is forty times as steep across as along. Along y the gradient changes sign in
# each step, if the rate is large. What does momentum make of that?

# %%
print(dl.lessons.check("momentum-2", ...))

# %%
rules = ["SGD", "Momentum", "NAG"]
for rate in (0.04, 0.051, 0.3):
    print(f"\nrate {rate}")
    print(dl.viz.race("ravine", rules, steps=200, lr=rate).table())

# %% [markdown]
# Above η = 2/40 gradient descent diverges across the ravine. Momentum damps the oscillation, so it
# bears a rate six times as high. At the same rate of 0.04 it arrives earlier, too.
#
# ## The price
#
# An average lags behind. What does a ball with momentum do at the bottom of a bowl?

# %%
print(dl.lessons.check("momentum-3", ...))

# %%
print()
for rule in (dl.optim.SGD, dl.optim.Momentum, dl.optim.NAG):
    theta = dl.Tensor(np.ones(1), requires_grad=True)
    optimizer, lowest = rule([theta], lr=0.3), 1.0
    for _ in range(100):
        optimizer.zero_grad()
        (theta**2).sum().backward()
        optimizer.step()
        lowest = min(lowest, theta.item())
    print(f"{rule.__name__:9} from 1, the minimum is at 0; it runs to {lowest:+.3f}")

# %% [markdown]
# It runs through, and back. NAG evaluates the gradient where the momentum will take it, so it
# brakes earlier. The arrows show one step of each.

# %%
figure = momentum_arrows()
try:
    plots.save(figure, arguments.figure)
except OSError as error:
    sys.exit(str(error))
figure
