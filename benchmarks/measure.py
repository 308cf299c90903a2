"""What every part shares: the row, processes with a given number of cores, and taking turns."""

import contextlib
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

DROPPED = ("OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "OMP_", "GOMP_", "KMP_", "VECLIB_", "XLA_")
DROPPED += ("PYTHONDONTWRITEBYTECODE",)  # or each import would compile the sources
SET = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

PAUSE = 0.1  # s; the threads of OpenMP and OpenBLAS wait actively for up to that long
TOLERANCE = 1e-3  # how far the losses of contestants may be apart, relatively


@dataclass(frozen=True)
class Row:
    """One number of one contestant; a contestant that was left out has none, and its note why."""

    part: str  # as named on the command line
    work: str  # what was done: a network, a rule, …
    contestant: str  # "minidl", a peer, or "limit"
    threads: int
    value: float | None  # the median
    unit: str  # "s", "B/s", "B"
    spread: float | None  # the distance between the quartiles, in the same unit
    note: str = ""


def row(part, work, contestant, threads, values, unit="s", note=""):
    """The row of several values of the same thing."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Row(part, work, contestant, threads, float(median), unit, float(high - low), note)


def left_out(part, threads, reasons):
    """The rows of contestants that can't take part, {contestant: why}."""
    return [Row(part, "", who, threads, None, "", None, why) for who, why in reasons.items()]


def agree(work, losses):
    """ValueError where the contestants have not computed the same, {contestant: loss}."""
    values = list(losses.values())
    if not np.allclose(values, values[0], rtol=TOLERANCE, atol=0):
        raise ValueError(f"{work}: the losses disagree: {losses}")


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


THREADS = tuple(n for n in (1, 2) if n <= cores())


@contextlib.contextmanager
def confined(threads):
    """Processes that start herein have so many cores and threads, and no other such settings."""
    environment = dict(os.environ)
    for name in environment:
        if name.startswith(DROPPED):
            del os.environ[name]
    os.environ.update(dict.fromkeys(SET, str(threads)))
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # more would go on while others are measured
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        if allowed:
            os.sched_setaffinity(0, sorted(allowed)[-threads:])
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        if allowed:
            os.sched_setaffinity(0, allowed)


def in_child(threads, function, *arguments):
    """What function(*arguments) returns, in a new process that is confined."""
    spawn = multiprocessing.get_context("spawn")
    with confined(threads), ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(function, *arguments).result()


def in_children(function, repeats, quick, counts=THREADS):
    """The rows of function(threads, repeats, quick), a process for each number of threads."""
    return [r for threads in counts for r in in_child(threads, function, threads, repeats, quick)]


def seconds(call):
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take_turns(calls, repeats, quick=False, block=0.06, least=3):
    """The times in s of each call, {contestant: array}: the contestants take turns.

    A turn is a block of equally many calls for all, at least so many and as many as fill the
    block's seconds for the slowest, after half as many that are not counted, since caches are cold
    and threads asleep. On several cores a pause comes before each block, in which the threads of
    the contestant before go to sleep. The first turn is thrown away. Quick blocks are shorter.
    """
    if quick:
        block, least = block / 4, 2
    for call in calls.values():
        call()
    slowest = max(min(seconds(call) for _ in range(3)) for call in calls.values())
    count = max(least, int(block / slowest))
    times = {who: [] for who in calls}
    for _ in range(1 + repeats):
        for who, call in calls.items():
            time.sleep(PAUSE if cores() > 1 else 0)
            for _ in range(count // 2):
                call()
            times[who] += [seconds(call) for _ in range(count)]
    return {who: np.array(values[count:]) for who, values in times.items()}
