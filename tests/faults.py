"""Fault injection: after an interrupt or a failed allocation, state is whole or untouched.

    python -m tests.faults                       # every part and case
    python -m tests.faults interrupts signals    # these parts
    python -m tests.faults interrupts --case "Optimizer.step Adam" --at 37

For each case of tests/mutating.py the call is made again and again, with one fault each time:

    interrupts   KeyboardInterrupt just before the nth bytecode, of any module
    signals      SIGINT from a timer, n µs after the start
    allocations  the nth request for memory fails
    shortages    the nth request for memory fails, and so do the 49 that follow

Then objects, settings and files must be as before the call or as after it, and the same call must
then do what it does without a fault. The last two parts need Linux with glibc and a C compiler.
"""

import argparse
import contextvars
import ctypes
import faulthandler
import functools
import gc
import itertools
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
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import mutating
from interrupting import CAN_PRELOAD, FOLDER, Interrupt

import minidl as dl

NEVER, SHORTAGE, HANGS = 10**12, 50, 100
ALLOCATOR = r"""
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
long allocations_failing = 0;  /* how many requests in a row fail; 0: none */
long allocations_left = 1;     /* the number of the first that fails */

static int fails(void) {
    if (allocations_failing == 0) return 0;
    if (allocations_left > 1) { allocations_left--; return 0; }
    allocations_failing--;
    errno = ENOMEM;
    return 1;
}

static void crashed(int number) {
    void *frames[100];
    int file = open(CRASH, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    allocations_failing = 0;
    backtrace_symbols_fd(frames, backtrace(frames, 100), file);
    _exit(128 + number);
}

__attribute__((constructor)) static void start(void) {
    int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT}, i;
    for (i = 0; i < 4; i++) signal(numbers[i], crashed);
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
    running = True

    def interrupt(number, frame):
        if running:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, frame)

    before = signal.signal(signal.SIGALRM, interrupt)
    start, error = time.perf_counter(), None
    try:
        signal.setitimer(signal.ITIMER_REAL, min(at / 1e6, 1e6))
        call()
        running = False
    except BaseException as e:
        running, error = False, e
    passed = int(1e6 * (time.perf_counter() - start))
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    return Faulty(error, passed)


def allocations(call, at, failing=1):
    library = ctypes.CDLL(None)
    left = ctypes.c_long.in_dll(library, "allocations_left")
    switch = ctypes.c_long.in_dll(library, "allocations_failing")
    gc.collect()  # empties Python's lists of free objects, too
    left.value, error = at, None
    switch.value = failing
    try:
        call()
        switch.value = 0
    except BaseException as e:
        switch.value, error = 0, e
    return Faulty(error, at - left.value)


shortages = functools.partial(allocations, failing=SHORTAGE)
PARTS = {
    "interrupts": (interrupts, KeyboardInterrupt),
    "signals": (signals, KeyboardInterrupt),
    "allocations": (allocations, (MemoryError, SystemError)),
    "shortages": (shortages, (MemoryError, SystemError)),
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
    passed = [
        PARTS[part][0](functools.partial(case.call, case.prepare()), NEVER).passed
        for _ in range(3 if part == "signals" else 1)
    ]
    return min(passed)


class Result(NamedTuple):
    """What became of a call with a fault in it.

    kind   "untouched", "whole" (or at a milestone), "limit" (of Python, NumPy or another library),
           or "breach"
    text   of a limit or breach
    """

    kind: str
    text: str = ""


@in_context
def trial(part, name, at):
    """Make a call with a fault in it, compare, and call again."""
    faulthandler.dump_traceback_later(HANGS, exit=True)
    case, (fault, kind) = mutating.CASES[name], PARTS[part]
    before, after, twice, second, milestones = in_context(expected)(name)
    x = case.prepare()
    faulty = fault(lambda: case.call(x), at)
    found = state(case, x)
    if found == before and faulty.error:
        result, then, end = "untouched", "", after
    elif found == after:
        result, then, end = "whole", second, twice
    elif found in milestones:
        result, then, end = "whole", "", None
    else:
        result, then, end = "breach", "", None
    problem = ""
    if faulty.error and not (isinstance(faulty.error, kind) or is_foreign(faulty.error)):
        problem = f"{faulty.error!r} came instead"
    elif result == "breach":
        problem = "changed in part" if faulty.error else "not done, and no error"
        problem += f": {difference(after if found[0] == after[0] else before, found)}"
    elif (again := outcome(case.call, x)) != then and not re.search(case.detects, again):
        problem = f"the next call: {again or 'no error'}, not {then or 'no error'}"
    elif end and again == then and (found := state(case, x)) != end:
        problem = f"the next call does something else: {difference(end, found)}"
    faulthandler.cancel_dump_traceback_later()
    if not problem:
        return Result(result)
    problem += f"; {faulty.place}" if faulty.place else ""
    return Result("limit" if faulty.beyond else "breach", problem)


def is_foreign(error):
    """Whether a library says in its own way that something failed, as Python does of a lock."""
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, RuntimeError) and not innermost.startswith(FOLDER)


def crash():
    """The crash of a process, whose C stack the allocator has written down."""
    path = Path(tempfile.gettempdir()) / "crash"
    if not path.exists():
        return Result("breach", f"the process ended, or ran for {HANGS} s")
    frames = re.findall(r"^(\S*/(\w+)[^/\n]*\.so)[^(\n]*\((\w*)", path.read_text(), re.MULTILINE)
    path.unlink()
    around = ("allocator", "libc", "libstdc")  # what calls them is to blame
    library, name, _ = next(frame for frame in frames if frame[1] not in around)
    function = next((f for file, _, f in frames if f and file == library), "a function")
    kind = "breach" if "/_kernels/" in library else "limit"
    return Result(kind, f"{function} of {name} crashed")


def difference(a, b, place=""):
    """Where two states differ first."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        i = next((i for i, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1]), 0)
        label = a[0] if i == 1 and isinstance(a[0], str) else i
        return difference(a[i], b[i], f"{place}/{label}")
    return f"{place}: {str(a)[:50]} and {str(b)[:50]}"


# --- all of them --------------------------------------------------------------------------------


def points(part, name, total, options):
    """The points at which a case is tried, of so many."""
    most = options.most // 10 or 1 if mutating.CASES[name].slow else options.most
    rng = random.Random(f"{options.seed} {part} {name}")
    if options.at:
        return [options.at]
    if part == "signals":
        return [rng.randrange(1, total + total // 5 + 2) for _ in range(most)]
    every = range(1, total + 1)
    return [*every] if total <= most else sorted(rng.sample(every, most))


def worker():
    """One process, a copy of this one; it uses no threads, so that it may set their number."""
    fork = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(1, fork, setattr, (dl.config, "_forked", False))


def tried(part, name, options):
    """The number of points of a case, those that were tried, and the result of each."""
    pool, results = worker(), []
    total = pool.submit(count, part, name).result()
    at = points(part, name, total, options)
    while len(results) < len(at):
        try:
            results.extend(pool.map(functools.partial(trial, part, name), at[len(results) :]))
        except BrokenProcessPool:
            results.append(crash())
            pool = worker()
    pool.shutdown()
    return total, at, results


def run(options):
    """Make all trials and print the table; the number of breaches."""
    kinds = ["untouched", "whole", "limit", "breach"]
    row = "{:12} {:38}" + 6 * " {:>10}"
    print(row.format("part", "case", "points", "tried", *kinds))
    totals = {}
    for part, name in itertools.product(options.parts, chosen(options.case)):
        total, at, results = tried(part, name, options)
        counts = [sum(result.kind == kind for result in results) for kind in kinds]
        print(row.format(part, name, total, len(at), *counts), flush=True)
        for kind, most in (("breach", 5), ("limit", 5 * options.limits)):
            for n, text in [
                (n, text) for n, (k, text) in zip(at, results, strict=True) if k == kind
            ][:most]:
                print(f'    python -m tests.faults {part} --case "{name}" --at {n}\n        {text}')
        old = totals.get(part, [0] * 6)
        totals[part] = [sum(pair) for pair in zip(old, [total, len(at), *counts], strict=True)]
    for part, total in totals.items():
        print(row.format(part, "all", *total))
    return sum(total[-1] for total in totals.values())


def chosen(name):
    """The cases of that name, or whose name matches."""
    if name is None or name in mutating.CASES:
        return [name] if name else [*mutating.CASES]
    return [case for case in mutating.CASES if re.search(name, case)]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--case", help="the name of a case, or a pattern")
    parser.add_argument("--at", type=int, help="only the nth point")
    parser.add_argument("--most", type=int, default=1000, help="points tried of a case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limits", action="store_true", help="print them, too")
    options = parser.parse_args(arguments)
    options.parts = options.parts or [*PARTS]
    if unknown := {*options.parts} - {*PARTS}:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part in [part for part in options.parts if not available(part)]:
        print(f"{part}: not tried; it needs Unix, or Linux with glibc and a C compiler, cc")
        options.parts.remove(part)
    if {"allocations", "shortages"} & {*options.parts} and "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            sys.exit(preloaded(folder, arguments or sys.argv[1:]))
    warnings.filterwarnings("ignore", ".* backward stores .grad", UserWarning)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(bool(run(options)))


def available(part):
    """Whether a part can be tried on this machine."""
    if PARTS[part][1] is KeyboardInterrupt:
        return part == "interrupts" or hasattr(signal, "setitimer")
    return "LD_PRELOAD" in os.environ or CAN_PRELOAD


def preloaded(folder, arguments):
    """The exit status of this script with an allocator that can fail."""
    source, library = Path(folder) / "allocator.c", Path(folder) / "allocator.so"
    source.write_text(ALLOCATOR)
    crash = f'-DCRASH="{folder}/crash"'
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", crash, "-o", library, source], check=True)
    settings = {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc", "TMPDIR": folder}
    command = [sys.executable, "-m", "tests.faults", *arguments]
    return subprocess.run(command, env={**os.environ, **settings}).returncode


if __name__ == "__main__":
    main()
