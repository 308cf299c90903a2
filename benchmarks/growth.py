"""How the time of a training step grows: with parameters, batch, depth and threads.

A contestant leaves a curve where the next point would take it too long, judged by the last one.
"""

import os
import time

import numpy as np

from benchmarks.measure import cores, in_child, left_out, row, seconds
from benchmarks.networks import STEPS, Problem, lacking, set_torch_threads

CURVES = "parameters", "batch", "depth", "threads"
WIDTH = 8  # of the deep network
STANDING = 1e-12  # a rate that leaves float32 weights as they are: no depth explodes
BUDGET = 0.15  # s that a contestant has for a point in a turn, two turns; one step is always made
PATIENCE = 20  # s that the first step of a point may take, with all that comes before


def problems(curve, threads, quick):
    """(x, problem) by x; the problem is made when it is asked for."""
    if curve == "parameters":
        for exponent in range(3, 6 if quick else 9):
            h = round(((10**exponent - 10) / 2) ** 0.5 - 3)
            x = 2 * h * (h + 1) + 10 * (h + 1)
            if fits(x):
                yield x, lambda h=h: Problem(f"{h}-{h}-{h}-10", 32, lr=STANDING)
    if curve == "batch":
        for exponent in range(3 if quick else 5):
            yield 10**exponent, lambda n=10**exponent: Problem("64-64-10", n, lr=STANDING)
    if curve == "depth":
        identity = np.eye(WIDTH, dtype=np.float32)
        for exponent in range(3 if quick else 6):
            sizes = "-".join([str(WIDTH)] * (10**exponent + 1))
            weights = [identity] * 10**exponent
            yield 10**exponent, lambda s=sizes, w=weights: Problem(s, WIDTH, w, STANDING)
    if curve == "threads":
        yield threads, lambda: Problem("784-2048-2048-10", 256, lr=STANDING)


def fits(parameters):
    """Whether four contestants can hold weight, gradient and two moments in half the memory."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return True
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 4 * 4 * parameters < memory / 2


def step_times(steps):
    """The times of the steps, {contestant: list}, in two turns."""
    times = {who: [] for who in steps}
    for turn in (1, 2):
        for who, step in steps.items():
            end = time.perf_counter() + BUDGET
            while len(times[who]) < turn or time.perf_counter() < end:
                times[who].append(seconds(step))
    return times


def expected(costs, ratio):
    """What the next point costs, if what is beyond the cost of the first is proportional to x."""
    return costs[0] + max(0, costs[-1] - costs[0]) * ratio


def follow(threads, curve, quick):
    """The rows of one curve."""
    absent = {who: why for who, why in lacking().items() if who != "torch.compile"}
    spent = {who: [] for who in STEPS if who not in (*absent, "torch.compile")}
    for who in spent:
        STEPS[who](Problem("2-2-2", 2))()  # the imports
    rows, last, patience = [], None, PATIENCE / (3 if quick else 1)
    for x, make in problems(curve, threads, quick):
        problem, steps = make(), {}
        for who, costs in list(spent.items()):
            if costs and expected(costs, x / last) > patience:
                absent[who] = f"no {x:,} {curve}, since {last:,} took {costs[-1]:.1f} s to begin"
                del spent[who]
            else:
                start = time.perf_counter()
                steps[who] = STEPS[who](problem)
                steps[who]()
                costs.append(time.perf_counter() - start)
        last = x
        for who, values in step_times(steps).items():
            rows.append(row("growth", f"{x:,} {curve}", who, threads, values))
    return rows + left_out("growth", threads, absent)


def follow_all(threads, quick):
    """The rows of all curves, of those on several threads only of the last."""
    set_torch_threads(threads)
    return [
        r for curve in CURVES[-1 if threads > 1 else 0 :] for r in follow(threads, curve, quick)
    ]


def measure(repeats, quick):
    """The rows of the part, one process a number of threads: 1, 2, 4, …"""
    counts = [1] if quick else [2**k for k in range(cores().bit_length())]
    return [r for threads in counts for r in in_child(threads, follow_all, threads, quick)]


def slope(x, y):
    """The exponent of the power law that fits best, by least squares in the logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def curves(rows):
    """{curve: {contestant: (x, y, slope)}}; the slope is that of the last two decades."""
    found = {curve: {} for curve in CURVES}
    for point in rows:
        if point.value is not None:
            x, curve = point.work.split()
            points = found[curve].setdefault(point.contestant, [])
            points.append((int(x.replace(",", "")), point.value))
    for lines in found.values():
        for who, points in lines.items():
            x, y = np.array(sorted(points)).T
            late = x >= x[-1] / 100
            lines[who] = x, y, slope(x[late], y[late]) if late.sum() > 1 else np.nan
    return found
