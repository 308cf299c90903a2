"""What each rule costs: python -m examples.claims memory_and_cost."""

# %% [markdown]
# # Bytes and nanoseconds a weight
#
# Every average that a rule keeps is an array as large as the weights, which each step reads and
# writes.

# %%
import time

import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "Adaptive rules need more memory and more arithmetic a step"
QUESTION = "What do the update rules keep for a weight, and how long does a step take?"
VERDICT = "holds"
ANSWER = (
    "SGD keeps nothing for a weight, Momentum {bytes_momentum:.0f} bytes and Adam "
    "{bytes_adam:.0f}; Adam's step takes {ratio:.1f} times as long as SGD's"
)
REASON = (
    "Times are medians of {repeats} steps on a parameter of a million float32 weights, without "
    "forward and backward, on one thread. In a training step of 784-512-256-10 at batch 128 the "
    "update by Adam is {share:.0%} of the time, as the matrix products dominate."
)

# %% [markdown]
# ## The experiment

# %%
TIMED = True  # runs alone
SIZE, REPEATS = 10**6, 41
NAMES = (
    "SGD", "Lion", "Momentum", "NAG", "Adagrad", "RMSprop", "Adam", "AdamW", "Nadam", "Adamax",
    "RAdam", "Adadelta", "FTRL",
)  # fmt: skip


def nanoseconds(optimizer, size):
    """The times of steps, in ns a weight."""
    times = []
    for _ in range(REPEATS + 8):
        begin = time.perf_counter()
        optimizer.step()
        times.append(1e9 * (time.perf_counter() - begin) / size)
    return np.array(times[8:])  # the first one allocates; RAdam doesn't divide in the first five


def state_bytes(optimizer, size):
    """The bytes that a rule keeps for each weight."""
    arrays = []

    def visit(value):
        if isinstance(value, np.ndarray):
            arrays.append(value)
        elif isinstance(value, dict | list | tuple):
            for item in value.values() if isinstance(value, dict) else value:
                visit(item)

    visit(optimizer.state_dict())
    return sum(array.nbytes for array in arrays if array.size == size) / size


def share_of_update():
    """The share of Adam's update in a training step."""
    model = dl.nn.MLP([784, 512, 256, 10], rng=0)
    optimizer = dl.optim.Adam(model)
    rng = np.random.default_rng(0)
    x, y = rng.random((128, 784), np.float32), rng.integers(10, size=128)
    shares = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        optimizer.zero_grad()
        dl.losses.cross_entropy(model(x), y).backward()
        middle = time.perf_counter()
        optimizer.step()
        end = time.perf_counter()
        shares.append((end - middle) / (end - begin))
    return lab.median(shares)


def run():
    rng = np.random.default_rng(0)
    times, sizes = {}, {}
    for name in NAMES:
        weight = dl.Tensor(rng.normal(size=SIZE).astype(np.float32), requires_grad=True)
        weight.grad = rng.normal(size=SIZE).astype(np.float32)
        optimizer = getattr(dl.optim, name)([weight])
        times[name] = nanoseconds(optimizer, SIZE)
        sizes[name] = state_bytes(optimizer, SIZE)
    typical = {name: lab.median(values) for name, values in times.items()}
    return {
        "times": times, "bytes": sizes, "repeats": REPEATS,
        "ratio": typical["Adam"] / typical["SGD"], "share": share_of_update(),
        "bytes_momentum": sizes["Momentum"], "bytes_adam": sizes["Adam"],
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, (left, right) = lab.new_figure(1, 2, sharey=True, figsize=(10, 6))
    rows = range(len(NAMES))
    inks = [lab.colour(name) for name in NAMES]
    left.barh(rows, [data["bytes"][name] for name in NAMES], color=inks, height=0.6)
    left.set(xlabel="bytes of state a weight", xticks=[0, 4, 8])
    left.set_yticks(rows, NAMES)
    left.set_ylim(len(NAMES) - 0.5, -0.5)
    typical = [lab.median(data["times"][name]) for name in NAMES]
    right.barh(rows, typical, color=inks, height=0.6)
    for row, value in zip(rows, typical, strict=True):
        right.text(value, row, f" {value:.2f}", va="center")
    right.set_xlim(0, 1.2 * max(typical))
    right.set(xlabel="ns a weight in a step")
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    sizes = data["bytes"]
    return {
        "SGD keeps nothing": sizes["SGD"] == 0,
        "one average is 4 bytes a weight": all(
            sizes[name] == 4 for name in ("Momentum", "NAG", "Adagrad", "RMSprop", "Lion")
        ),
        "two are 8": all(sizes[name] == 8 for name in ("Adam", "AdamW", "Nadam", "Adadelta")),
        "Adam takes more than 1.5 times as long as SGD": data["ratio"] > 1.5,
        "in a training step the update takes less than half of the time": data["share"] < 0.5,
    }


if __name__ == "__main__":
    lab.show(globals())
