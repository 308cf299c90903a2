"""How the time of a training step grows with parameters, batch size, depth and threads.

A library's curve ends where its next point is expected to take too long.
"""

import os
import time

import numpy as np

from benchmarks.measure import cores, in_child, row, seconds, skipped_rows
from benchmarks.networks import STEPS, Problem, missing_libraries, set_torch_threads

CURVES = "parameters", "batch", "depth", "threads"
WIDTH = 8  # of the deep network
TINY_RATE = 1e-12  # too small to change float32 weights, so deep networks don't diverge
BUDGET = 0.15  # s per library, point and turn; there are two turns of at least one step each
MAX_SETUP = 20  # s for the setup and the first step of a point


def problems(curve, threads, quick):
    """(x, function that makes the problem) for each point of a curve."""
    if curve == "parameters":
        for exponent in range(3, 6 if quick else 9):
            h = round(((10**exponent - 10) / 2) ** 0.5 - 3)
            x = 2 * h * (h + 1) + 10 * (h + 1)
            if fits_in_memory(x):
                yield x, lambda h=h: Problem(f"{h}-{h}-{h}-10", 32, lr=TINY_RATE)
    if curve == "batch":
        for exponent in range(3 if quick else 5):
            yield 10**exponent, lambda n=10**exponent: Problem("64-64-10", n, lr=TINY_RATE)
    if curve == "depth":
        identity = np.eye(WIDTH, dtype=np.float32)
        for exponent in range(3 if quick else 6):
            sizes = "-".join([str(WIDTH)] * (10**exponent + 1))
            weights = [identity] * 10**exponent
            yield 10**exponent, lambda s=sizes, w=weights: Problem(s, WIDTH, w, TINY_RATE)
    if curve == "threads":
        yield threads, lambda: Problem("784-2048-2048-10", 256, lr=TINY_RATE)


def fits_in_memory(parameters):
    """Whether the weights, gradients and moments of four libraries fit in half the memory."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return True
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 4 * 4 * parameters < memory / 2


def step_times(steps):
    """The times of the steps in two turns, {contestant: list}."""
    times = {who: [] for who in steps}
    for turn in (1, 2):
        for who, step in steps.items():
            end = time.perf_counter() + BUDGET
            while len(times[who]) < turn or time.perf_counter() < end:
                times[who].append(seconds(step))
    return times


def expected(costs, ratio):
    """The cost of the next point, if all cost above that of the first is proportional to x."""
    return costs[0] + max(0, costs[-1] - costs[0]) * ratio


def measure_curve(threads, curve, quick):
    """The rows of one curve."""
    skipped = {who: why for who, why in missing_libraries().items() if who != "torch.compile"}
    setup_times = {who: [] for who in STEPS if who not in (*skipped, "torch.compile")}
    for who in setup_times:
        STEPS[who](Problem("2-2-2", 2))()  # imports the library
    rows, last, max_setup = [], None, MAX_SETUP / (3 if quick else 1)
    for x, make in problems(curve, threads, quick):
        problem, steps = make(), {}
        for who, costs in list(setup_times.items()):
            if costs and expected(costs, x / last) > max_setup:
                skipped[who] = f"no {x:,} {curve}: setup took {costs[-1]:.1f} s for {last:,}"
                del setup_times[who]
            else:
                start = time.perf_counter()
                steps[who] = STEPS[who](problem)
                steps[who]()
                costs.append(time.perf_counter() - start)
        last = x
        for who, values in step_times(steps).items():
            rows.append(row("growth", f"{x:,} {curve}", who, threads, values))
    return rows + skipped_rows("growth", threads, skipped)


def measure_curves(threads, quick):
    """The rows of all curves; with several threads only of the last."""
    set_torch_threads(threads)
    return [
        r
        for curve in CURVES[-1 if threads > 1 else 0 :]
        for r in measure_curve(threads, curve, quick)
    ]


def measure(repeats, quick):
    """The rows of this part, in one process per number of threads: 1, 2, 4, …"""
    counts = [1] if quick else [2**k for k in range(cores().bit_length())]
    return [r for threads in counts for r in in_child(threads, measure_curves, threads, quick)]


def slope(x, y):
    """The exponent of a power law, fitted by least squares to the logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def curves(rows):
    """{curve: {contestant: (x, y, slope)}}, with the slope over the last two decades."""
    found = {curve: {} for curve in CURVES}
    for point in rows:
        if point.value is not None:
            x, curve = point.task.split()
            points = found[curve].setdefault(point.contestant, [])
            points.append((int(x.replace(",", "")), point.value))
    for lines in found.values():
        for who, points in lines.items():
            x, y = np.array(sorted(points)).T
            late = x >= x[-1] / 100
            lines[who] = x, y, slope(x[late], y[late]) if late.sum() > 1 else np.nan
    return found
