"""A training step that is recorded and replayed: the same bits in less time.

Run it with `python examples/captured.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # What does a training step cost?
#
# A small network is trained three times on the same batches: by eager steps, by captured steps, and
# by epochs in one call. The weights end in the same bits; only the time differs.

# %%
import argparse
import sys
import time
from pathlib import Path

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(description="Capture a training step and compare bits and times.")
parser.add_argument("--epochs", type=int, default=20, help="of each training (default: 20)")
parser.add_argument("--page", help="write the plan as a page, such as plan.html")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
if arguments.epochs < 1:
    parser.error("--epochs must be at least 1")
if arguments.page and not Path(arguments.page).parent.is_dir():
    parser.error(f"--page: there is no folder {Path(arguments.page).parent}")

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, (2048, 2)).astype(np.float32)
y = x[:, :1] * x[:, 1:]
orders = [rng.permutation(len(x)) for _ in range(arguments.epochs)]

# %% [markdown]
# ## A model and its step


# %%
def new_step():
    """A model, and the function that takes a training step with it."""
    model = dl.nn.MLP([2, 16, 16, 1], rng=0)
    optimizer = dl.optim.Adam(model, lr=dl.schedulers.CosineDecay(0.01, arguments.epochs * 64))

    def step(x, y):
        optimizer.zero_grad()
        loss = dl.losses.mse(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return model, step


# %% [markdown]
# ## Train in three ways
#
# The first call of a captured step is recorded, the second one is recorded again and compared, and
# from the third one on the step is replayed by one call into C.


# %%
def loop(step):
    """Take a step for each batch; returns the losses of the last epoch."""
    for order in orders:
        losses = [step(x[i], y[i]).item() for i in order.reshape(-1, 32)]
    return losses


def epochs(step):
    """The same, with all steps of an epoch in one call."""
    for order in orders:
        losses = step.epoch(x, y, batch_size=32, order=order)
    return losses


weights = {}
for name, captured, train in (
    ("eager steps", False, loop),
    ("captured steps", True, loop),
    ("epochs in one call", True, epochs),
):
    model, step = new_step()
    step = dl.capture(step) if captured else step
    begin = time.perf_counter()
    losses = train(step)
    microseconds = 1e6 * (time.perf_counter() - begin) / (64 * arguments.epochs)
    weights[name] = model.state_dict()
    loss = np.mean(losses)
    print(f"{name:18}   loss {loss:.3e}   {microseconds:6.1f} microseconds a step")

# %% [markdown]
# ## The same bits

# %%
first, *others = weights.values()
same = all(np.array_equal(first[key], other[key]) for other in others for key in first)
print(f"\nThe weights are {'the same, bit for bit' if same else 'different'}.\n")

# %% [markdown]
# ## The plan
#
# The calls that a replay makes: what they are, for which op, on which arrays, and how long each one
# takes.

# %%
print(step)
if arguments.page:
    try:
        step.plan.save(arguments.page)
    except ModuleNotFoundError:
        sys.exit("\nFor the page install Jinja2: python -m pip install 'minidl[viz]'")
    print(f"\nThe page is in {arguments.page}")
