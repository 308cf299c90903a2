"""Shared by all parts: result rows, processes confined to some cores, and interleaved timing."""

import contextlib
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

DROPPED = ("OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "OMP_", "GOMP_", "KMP_", "VECLIB_", "XLA_")
DROPPED += ("PYTHONDONTWRITEBYTECODE",)  # otherwise each import compiles the sources again
SET = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

PAUSE = 0.1  # s; threads of OpenMP and OpenBLAS spin for up to this long
TOLERANCE = 1e-3  # relative difference allowed between the losses of the contestants


@dataclass(frozen=True)
class Row:
    """One result of one contestant; a skipped one has no value, and its note says why."""

    part: str  # as named on the command line
    task: str  # the benchmarked task: a network, a rule, …
    contestant: str  # "minidl", another library, or "limit"
    threads: int
    value: float | None  # the median
    unit: str  # "s", "B/s", "B"
    spread: float | None  # the interquartile range, in the same unit
    note: str = ""


def row(part, task, contestant, threads, values, unit="s", note=""):
    """The row of repeated measurements."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Row(part, task, contestant, threads, float(median), unit, float(high - low), note)


def skipped_rows(part, threads, reasons):
    """The rows of skipped contestants, given {contestant: reason}."""
    return [Row(part, "", who, threads, None, "", None, why) for who, why in reasons.items()]


def agree(task, losses):
    """Raise a ValueError if the losses differ, given {contestant: loss}."""
    values = list(losses.values())
    if not np.allclose(values, values[0], rtol=TOLERANCE, atol=0):
        raise ValueError(f"{task}: the losses disagree: {losses}")


def cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


THREADS = tuple(n for n in (1, 2) if n <= cores())


@contextlib.contextmanager
def confined(threads):
    """Limit child processes to a number of cores and threads, without other thread settings."""
    environment = dict(os.environ)
    for name in environment:
        if name.startswith(DROPPED):
            del os.environ[name]
    os.environ.update(dict.fromkeys(SET, str(threads)))
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = (
        "1"  # otherwise compilation continues during other measurements
    )
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
    """The result of function(*arguments) in a new, confined process."""
    spawn = multiprocessing.get_context("spawn")
    with confined(threads), ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(function, *arguments).result()


def in_children(function, repeats, quick, counts=THREADS):
    """The rows of function(threads, repeats, quick), in one process per number of threads."""
    return [r for threads in counts for r in in_child(threads, function, threads, repeats, quick)]


def seconds(call):
    """The time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take_turns(calls, repeats, quick=False, block=0.06, least=3):
    """The times in s of the calls, {contestant: array}, measured in turns.

    A turn consists of a block of calls per contestant. All blocks have the same number of calls:
    at least `least`, and enough for the slowest contestant to take `block` seconds. Half as many
    calls before each block warm up caches and threads and are not counted. On several cores, a
    pause before each block lets the threads of the previous contestant go to sleep. The first
    turn is discarded. `quick` makes the blocks shorter.
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
