"""Where does the time of a tiny captured step go? python -m benchmarks.tiny [NETWORK]

The first table goes from what the arithmetic needs to what the user waits for: the operations of
the matrix products at the rate of a large product, the bytes of the step at the bandwidth of a
copy within the cache, the calls of the plan as it timed them, a step of an epoch in one call, a
call of the captured step, and the eager step. The second table lists the calls of the plan. All is
measured on one thread.
"""

import argparse
import datetime
import functools
import itertools
import platform
import statistics

import numpy as np

import minidl as dl
from benchmarks.measure import in_child, take_turns
from benchmarks.networks import Problem, minidl_step, one_by_one
from benchmarks.steps import NETWORKS, TASKS

LARGE = 512  # rows and columns of the product that shows the processor's rate
COPIED = 2**16  # entries of the array whose copy shows the bandwidth of a cache


def operations(sizes, batch):
    """Multiplications and additions in the products: forward, and for the gradient of each factor.

    The gradient with respect to the first layer's input is not needed.
    """
    products = [2 * batch * n * m for n, m in itertools.pairwise(sizes)]
    return 3 * sum(products) - products[0]


def bytes_moved(sizes, batch):
    """The bytes that the parts of a step read and write, in float32, each array once a part.

    Forward, a layer reads x, W and b, and writes y. Backward, it reads x, the gradient of y, and y
    for its ReLU, and writes the gradients of W and b; all but the first read W and write the
    gradient of x. The loss reads the prediction and the target, and writes a gradient. Adam reads
    w, g, m and v, and writes w, m and v.
    """
    total, layers = 3 * batch * sizes[-1], list(itertools.pairwise(sizes))
    for i, (n, m) in enumerate(layers):
        weights, x, y = (n + 1) * m, batch * n, batch * m
        total += x + weights + y  # forward
        total += x + y + weights + (n * m + x if i else 0) + (y if i < len(layers) - 1 else 0)
        total += 7 * weights  # Adam
    return 4 * total


def measured(name, repeats):
    """{what: seconds} of the parts and of the whole, and [(call, seconds)] of the plan."""
    problem = Problem(name, *NETWORKS[name])
    step = dl.capture(minidl_step(problem))
    batches = problem.batches(np.array)
    matrix = np.ones((LARGE, LARGE), np.float32)
    source, target = np.ones((2, COPIED), np.float32)
    calls = {
        "product": functools.partial(np.dot, matrix, matrix, np.empty_like(matrix)),
        "copy": functools.partial(np.copyto, target, source),
        "epoch": lambda: step.epoch(problem.x, problem.y, batch_size=problem.batch),
        "call": one_by_one(step, batches),
        "eager": one_by_one(minidl_step(problem), batches),
    }
    times = {what: float(np.median(t)) for what, t in take_turns(calls, repeats).items()}
    plan = [
        (note.name, statistics.median(seconds))
        for note, seconds in zip(step.plan.notes, step.plan.seconds, strict=True)
    ]
    work = operations(problem.sizes, problem.batch), bytes_moved(problem.sizes, problem.batch)
    found = {
        f"{work[0]:,} operations of the products, at the rate of a product of {LARGE} × {LARGE}": (
            work[0] * times["product"] / (2 * LARGE**3)
        ),
        f"{work[1]:,} bytes, at the bandwidth of a copy of {source.nbytes // 1024} KiB": (
            work[1] * times["copy"] / (2 * source.nbytes)
        ),
        f"the {len(plan)} calls of the plan, each timed": sum(seconds for _, seconds in plan),
    }
    wholes = {
        "a step of an epoch in one call": "epoch",
        "a call of the captured step": "call",
        "the eager step": "eager",
    }
    found |= {what: times[key] / problem.count for what, key in wholes.items()}
    return found, plan


def tables(name, found, plan):
    """The two tables in Markdown."""
    lines = [f"| {TASKS[name]} | µs |", "|---|---:|"]
    lines += [f"| {what} | {seconds * 1e6:.2f} |" for what, seconds in found.items()]
    lines += ["", "| call | number | µs together |", "|---|---:|---:|"]
    grouped = {}
    for call, seconds in plan:
        grouped.setdefault(call, []).append(seconds)
    for call, times in sorted(grouped.items(), key=lambda item: -sum(item[1])):
        lines.append(f"| {call} | {len(times)} | {sum(times) * 1e6:.2f} |")
    return "\n".join(lines)


def main(words=None):
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.tiny", description=__doc__.splitlines()[0]
    )
    parser.add_argument("network", nargs="?", choices=NETWORKS, default="2-16-16-1")
    parser.add_argument("--repeats", type=int, default=10, help="turns (default: %(default)s)")
    given = parser.parse_args(words)
    found, plan = in_child(1, measured, given.network, given.repeats)
    machine = f"{platform.machine()}, NumPy {np.__version__}, one thread, float32"
    print(f"{datetime.date.today()}, {machine}\n\n{tables(given.network, found, plan)}")


if __name__ == "__main__":
    main()
