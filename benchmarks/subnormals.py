"""Does a rule become slower when the gradient stays 0? python -m benchmarks.subnormals

Every update rule in float32 and float64 starts with a few ordinary gradients. Then it takes 10,000
steps with a gradient of 0, in which its state decays towards 0. A second optimizer of the same rule
keeps getting ordinary gradients. After the 10,000 steps the two take turns, in blocks of steps. A
table shows their median times and the ratio of these; the last line names the largest. The exit
status is 1 if a rule takes more than 1.5 times as long.

Without the processor's mode that flushes subnormal numbers to zero, the ratio would be up to 20.
"""

import argparse
import datetime
import platform
import sys

import numpy as np

import minidl as dl
from benchmarks.measure import in_child, take_turns

WEIGHTS = 20_000
STEPS = 10_000  # with a gradient of 0, before the time is taken
LIMIT = 1.5
DTYPES = ("float32", "float64")
OPTIONS = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True}}
OPTIONS["Adam"] = {"amsgrad": True}


def optimizer_of(rule, dtype, steps, size):
    """The step of a rule after some steps: with ordinary gradients, and then with `steps` of 0."""
    rng = np.random.default_rng(0)
    w = dl.Tensor(rng.normal(size=size).astype(dtype), requires_grad=True)
    optimizer = getattr(dl.optim, rule)([w], lr=1e-3, **OPTIONS.get(rule, {}))
    for _ in range(10):
        w.grad = rng.normal(size=size).astype(dtype)
        optimizer.step()
    if steps:
        w.grad = np.zeros(size, dtype)
    for _ in range(steps):
        optimizer.step()
    return optimizer.step


def compare(rule, dtype, repeats, steps=STEPS, size=WEIGHTS):
    """The median times of a step with ordinary gradients, and with 0 after many steps with 0."""
    calls = {
        "ordinary": optimizer_of(rule, dtype, 0, size),
        "zero": optimizer_of(rule, dtype, steps, size),
    }
    times = take_turns(calls, repeats, block=0.02)
    return tuple(float(np.median(times[name])) for name in calls)


def main(words=None):
    """Measure and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.subnormals", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns (default: %(default)s)")
    parser.add_argument("--rules", nargs="+", metavar="RULE", help="(default: all)")
    parser.add_argument("--steps", type=int, default=STEPS, help="(default: %(default)s)")
    given = parser.parse_args(words)
    print(
        f"{datetime.date.today()}, {platform.machine()}, NumPy {np.__version__}, one thread, "
        f"{WEIGHTS:,} weights, {given.steps:,} steps with a gradient of 0\n"
    )
    print("| rule | dtype | ordinary gradient | gradient 0 | ratio |")
    print("|---|---|---:|---:|---:|")
    ratios = {}
    for rule in given.rules or dl.optim.rules.RULES:
        for dtype in DTYPES:
            ordinary, zero = in_child(1, compare, rule, dtype, given.repeats, given.steps)
            ratios[rule, dtype] = zero / ordinary
            times = f"{ordinary * 1e6:.1f} µs | {zero * 1e6:.1f} µs"
            print(f"| {rule} | {dtype} | {times} | {zero / ordinary:.2f} |", flush=True)
    slowest = max(ratios, key=ratios.get)
    print(f"\nlargest ratio: {ratios[slowest]:.2f} ({' in '.join(slowest)}), allowed: {LIMIT}")
    return int(ratios[slowest] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
