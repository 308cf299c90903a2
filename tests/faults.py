"""Fault injection: after an interrupt or a failed allocation, state is whole or untouched.

    python -m tests.faults                       # every part and case
    python -m tests.faults interrupts signals    # these parts
    python -m tests.faults interrupts --case "Optimizer.step Adam" --at 37

For each case of tests/mutating.py the call is made again and again, with one fault each time:

    interrupts   KeyboardInterrupt just before the nth bytecode, of any module
    signals      SIGINT from a timer, n µs after the start
    allocations  the nth request for memory fails
    exhaustion   the nth request for memory fails, and so do all that follow

Then objects, settings and files must be as before the call or as after it, and the same call must
then do what it does without a fault. The last two parts need Linux with glibc and a C compiler.
"""

import argparse
import contextvars
import ctypes
import faulthandler
import functools
import gc
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import mutating
from interrupting import Interrupt
from tqdm import tqdm

import minidl as dl

NEVER = 10**12
ALLOCATOR = r"""
#include <errno.h>
#include <stddef.h>

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
long allocations_left = 0;       /* the number of the one that fails; 0: none does */
long allocations_exhausted = 0;  /* 1: and so do all that follow */

static int fails(void) {
    if (allocations_left == 0) return 0;
    if (allocations_left > 1) { allocations_left--; return 0; }
    allocations_left = allocations_exhausted;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t n) { return fails() ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return fails() ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return fails() ? NULL : __libc_realloc(p, n); }
"""


# --- faults: each makes a call, and returns its exception and how many points it has passed ------


class Faulty(NamedTuple):
    """A call with a fault in it.

    error   its exception
    passed  how many bytecodes, µs or allocations came before the fault or the end
    place   where it was interrupted
    beyond  whether only a tracing function can interrupt there
    """

    error: BaseException | None
    passed: int
    place: str = ""
    beyond: bool = False


def interrupts(call, at):
    interrupt = Interrupt(at, everywhere=True)
    error = interrupt.run(call)
    place, beyond = interrupt.place, bool(interrupt.place) and not interrupt.by_signal
    return Faulty(error, interrupt.passed, place, beyond)


def signals(call, at):
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    start, error = time.perf_counter(), None
    try:
        signal.setitimer(signal.ITIMER_REAL, min(at / 1e6, 1e6))
        call()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except BaseException as e:
        error = e
    passed = int(1e6 * (time.perf_counter() - start))
    signal.signal(signal.SIGALRM, before)
    return Faulty(error, passed)


def allocations(call, at, exhausted=0):
    library = ctypes.CDLL(None)
    left = ctypes.c_long.in_dll(library, "allocations_left")
    ctypes.c_long.in_dll(library, "allocations_exhausted").value = exhausted
    gc.collect()  # empties Python's lists of free objects, too
    error = None
    left.value = at
    try:
        call()
    except BaseException as e:
        left.value, error, passed = 0, e, at
    else:
        passed = at - left.value
        left.value = 0
    return Faulty(error, passed)


exhaustion = functools.partial(allocations, exhausted=1)
PARTS = {
    "interrupts": (interrupts, KeyboardInterrupt),
    "signals": (signals, KeyboardInterrupt),
    "allocations": (allocations, MemoryError),
    "exhaustion": (exhaustion, MemoryError),
}


# --- a trial ------------------------------------------------------------------------------------


def outcome(call, x):
    """The exception of a call, as text; "" if there is none."""
    try:
        call(x)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def state(case, x):
    """The objects and the settings."""
    return case.compared(x), mutating.settings()


@functools.cache
def expected(name):
    """The states before and after a call and after a second one, its outcome, and milestones."""
    case = mutating.CASES[name]
    x = case.prepare()
    before = state(case, x)
    first = outcome(case.call, x)
    after = state(case, x)
    milestones = [(m, before[1]) for m in case.milestones(x)] if case.milestones else []
    second = outcome(case.call, x)
    assert not first, first
    return before, after, state(case, x), second, milestones


def in_context(function):
    """Let a function run in a copy of the context, and undo what it leaves switched on."""

    @functools.wraps(function)
    def run(*args):
        try:
            return contextvars.copy_context().run(function, *args)
        finally:
            mutating.restore_settings()

    return run


@in_context
def count(part, name):
    """The number of points at which a call of a case can fail."""
    case = mutating.CASES[name]
    in_context(expected)(name)  # fills caches, too
    x = case.prepare()
    return PARTS[part][0](lambda: case.call(x), NEVER).passed


@in_context
def trial(part, name, at):
    """What a fault has broken, or "untouched", "whole" or "between" (milestones)."""
    faulthandler.dump_traceback_later(100, exit=True)
    case, (fault, kind) = mutating.CASES[name], PARTS[part]
    before, after, twice, second, milestones = in_context(expected)(name)
    x = case.prepare()
    faulty = fault(lambda: case.call(x), at)
    found, detected = state(case, x), False
    if found == before and faulty.error:
        result, then, end = "untouched", "", after
    elif found == after:
        result, then, end = "whole", second, twice
    else:
        result, then, end = "between", "", None
    problem = ""
    if faulty.error and not isinstance(faulty.error, kind):
        problem = f"{faulty.error!r} instead of {kind.__name__}"
    elif result == "between" and found not in milestones:
        problem = "changed in part" if faulty.error else "not done, and no error"
        problem += ": " + min(difference(before, found), difference(after, found), key=len)
    else:
        again = outcome(case.call, x)
        detected = re.search(case.detects, again)
        if again != then and not detected:
            problem = f"the next call: {again or 'no error'}, not {then or 'no error'}"
        elif end and not detected and (found := state(case, x)) != end:
            problem = f"the next call does something else: {difference(end, found)}"
    faulthandler.cancel_dump_traceback_later()
    return result, problem, faulty.place, faulty.beyond


def difference(a, b, place=""):
    """Where two states differ first."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        i = next((i for i, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1]), 0)
        label = a[0] if i == 1 and isinstance(a[0], str) else i
        return difference(a[i], b[i], f"{place}/{label}")
    return f"{place}: {str(a)[:50]} and {str(b)[:50]}"


# --- all of them --------------------------------------------------------------------------------


def points(part, name, options):
    """The points at which a case is tried, and how many there are."""
    with worker() as pool:
        total = pool.submit(count, part, name).result()
    most = options.most // 10 if mutating.CASES[name].slow else options.most
    rng = random.Random(f"{options.seed} {part} {name}")
    if part == "signals":
        return [rng.randrange(1, total + total // 5 + 2) for _ in range(most)], total
    every = range(1, total + 1)
    return [*every] if total <= most else sorted(rng.sample(every, most)), total


def worker():
    """One process, a copy of this one; it uses no threads, so that it may set their number."""
    fork = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(1, fork, setattr, (dl.config, "_forked", False))


def trials(part, name, at):
    """(point, result) of each trial of a case; a crash of the process is a result, too."""
    left = [*at]
    while left:
        with worker() as pool:
            results = pool.map(functools.partial(trial, part, name), left)
            try:
                for _ in [*left]:
                    result = next(results)
                    yield left.pop(0), result
            except BrokenProcessPool:
                yield left.pop(0), ("crash", "the process ended", "", False)


def run(options):
    """Make all trials; prints the table, and returns the breaches."""
    breaches, totals = [], [0, 0, 0]
    print("part, case, calls tried, of, untouched, whole, between, beyond signals, breaches")
    for part in options.parts:
        for name in mutating.CASES:
            if options.case and not re.search(options.case, name):
                continue
            at, total = ([options.at], 0) if options.at else points(part, name, options)
            kinds = dict.fromkeys(["untouched", "whole", "between", "crash"], 0)
            beyond = broken = 0
            for n, (result, problem, place, only_traced) in tqdm(
                trials(part, name, at), f"{part} {name}", len(at), leave=False, disable=None
            ):
                kinds[result] += 1
                if problem:
                    beyond += only_traced
                    broken += not only_traced
                    line = f'python -m tests.faults {part} --case "^{name}$" --at {n}'
                    breaches.append((part, name, n, problem, place, only_traced, line))
                    if options.verbose or broken + beyond <= 3:
                        print(f"    {line}\n        {problem}\n        {place}" + " (traced only)" * only_traced)
            print(f"{part}, {name}, {len(at)}, {total}, {', '.join(map(str, kinds.values()))}, {beyond}, {broken}", flush=True)
            totals[0] += len(at)
            totals[1] += beyond
            totals[2] += broken
    print(totals)
    return totals[2]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--case", help="only cases whose name matches")
    parser.add_argument("--at", type=int, help="only the nth point")
    parser.add_argument("--most", type=int, default=1000, help="points tried of a case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(arguments)
    options.parts = options.parts or [*PARTS]
    if unknown := {*options.parts} - {*PARTS}:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if {"allocations", "exhaustion"} & {*options.parts} and "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            sys.exit(preloaded(folder, arguments or sys.argv[1:]))
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(bool(run(options)))


def preloaded(folder, arguments):
    """The exit status of this script with an allocator that can fail."""
    source, library = Path(folder) / "allocator.c", Path(folder) / "allocator.so"
    source.write_text(ALLOCATOR)
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    settings = {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc", "TMPDIR": folder}
    command = [sys.executable, "-m", "tests.faults", *arguments]
    return subprocess.run(command, env={**os.environ, **settings}).returncode


if __name__ == "__main__":
    main()
