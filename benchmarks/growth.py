"""How the time of a training step grows with parameters, batch size, depth and threads.

Each library has a process of its own for each curve: Python's garbage collector visits the objects
of all libraries in a process, and a deep network makes it run often. A curve ends where its next
point is expected to take too long.
"""

import gc
import os
import time

import numpy as np

from benchmarks.measure import cores, in_child, row, seconds, skipped_rows
from benchmarks.networks import EPOCHS, Problem, missing_libraries, set_torch_threads

CURVES = "parameters", "batch", "depth", "threads"
CONTESTANTS = "minidl", "captured", "PyTorch", "JAX"
WIDTH = 8  # of the deep network
TINY_RATE = 1e-12  # too small to change float32 weights, so deep networks don't diverge
BUDGET = 0.3  # s per point, for at least two steps
MAX_SETUP = 20  # s for the setup and the first two steps of a point


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
            options = {"weights": [identity] * 10**exponent, "lr": TINY_RATE}
            yield 10**exponent, lambda s=sizes, o=options: Problem(s, WIDTH, **o)
    if curve == "threads":
        yield threads, lambda: Problem("784-2048-2048-10", 256, lr=TINY_RATE)


def fits_in_memory(parameters):
    """Whether the weights, gradients and moments of a library fit in half the memory."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return True
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 4 * parameters < memory / 2


def step_times(step):
    """The times of some steps, and the part of them that the garbage collector took."""
    times, collections = [], []

    def note(phase, details):
        collections.append(time.perf_counter() * (1 if phase == "stop" else -1))

    gc.callbacks.append(note)
    try:
        end = time.perf_counter() + BUDGET
        while len(times) < 2 or time.perf_counter() < end:
            times.append(seconds(step))
    finally:
        gc.callbacks.remove(note)
    return times, sum(collections) / sum(times)


def expected(costs, ratio):
    """The cost of the next point, if all cost above that of the first is proportional to x."""
    return costs[0] + max(0, costs[-1] - costs[0]) * ratio


def measure_curve(threads, curve, who, quick):
    """The rows of one curve of one library."""
    if who == "PyTorch":
        set_torch_threads(threads)
    EPOCHS[who](Problem("2-2-2", 2))()  # imports the library
    rows, costs, last, max_setup = [], [], None, MAX_SETUP / (3 if quick else 1)
    for x, make in problems(curve, threads, quick):
        if costs and expected(costs, x / last) > max_setup:
            why = f"no {x:,} {curve}: setup took {costs[-1]:.1f} s for {last:,}"
            return rows + skipped_rows("growth", threads, {who: why})
        problem, start = make(), time.perf_counter()
        step = EPOCHS[who](problem)
        for _ in range(2):  # a captured step is recorded twice
            step()
        costs.append(time.perf_counter() - start)
        last, (times, collected) = x, step_times(step)
        note = f"{collected:.0%} in the garbage collector" if collected > 0.05 else ""
        rows.append(row("growth", f"{x:,} {curve}", who, threads, times, note=note))
    return rows


def measure(repeats, quick):
    """The rows of this part, on 1, 2, 4, … threads."""
    missing = {who: why for who, why in missing_libraries().items() if who in CONTESTANTS}
    rows = skipped_rows("growth", 1, missing)
    for threads in [1] if quick else [2**k for k in range(cores().bit_length())]:
        for curve in CURVES[-1 if threads > 1 else 0 :]:
            for who in [who for who in CONTESTANTS if who not in missing]:
                rows += in_child(threads, measure_curve, threads, curve, who, quick)
    return rows


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
