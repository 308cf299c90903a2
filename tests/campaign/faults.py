"""A fault in a public call that changes something: state must be whole or untouched.

    python -m tests.campaign.faults allocations "Optimizer.step Adam" 37    # one fault

The faults are

    interrupts   KeyboardInterrupt just before the nth bytecode, of any module
    signals      SIGINT from a timer, n µs after the start
    allocations  the nth request for memory fails
    shortages    the nth request for memory fails, and so do the 49 that follow

The calls are the cases of tests/mutating.py. After a fault, objects, settings and files must be as
before the call or as after it, and the same call must then do what it does without a fault.
"""

import argparse
import contextlib
import contextvars
import ctypes
import dis
import faulthandler
import functools
import gc
import io
import itertools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import mutating
from interrupting import FOLDER, Interrupt

import minidl as dl
from tests.campaign.harness import Breach

NEVER, SHORTAGE, HANGS = 10**12, 50, 200
LOADER = 127  # the status with which glibc's loader ends a process
CALLS = "CALL", "PRECALL", "CALL_FUNCTION_EX", "CALL_KW"  # of a function in C, without a frame
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
char allocations_crash[500];   /* the file in which a crash is written down */

static int fails(void) {
    if (allocations_failing == 0) return 0;
    if (allocations_left > 1) { allocations_left--; return 0; }
    allocations_failing--;
    errno = ENOMEM;
    return 1;
}

static void crashed(int number) {
    void *frames[100];
    int file = open(allocations_crash, O_WRONLY | O_CREAT | O_TRUNC, 0600);
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
FAULTS = {
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
def count(fault, name):
    """The number of points at which a call of a case can fail."""
    case = mutating.CASES[name]
    in_context(expected)(name)  # fills caches, too
    passed = [
        FAULTS[fault][0](functools.partial(case.call, case.prepare()), NEVER).passed
        for _ in range(3 if fault == "signals" else 1)
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
def trial(fault, name, at):
    """Make a call with a fault in it, compare, and call again."""
    faulthandler.dump_traceback_later(HANGS, exit=True)
    case, (call_with_fault, kind) = mutating.CASES[name], FAULTS[fault]
    before, after, twice, second, milestones = in_context(expected)(name)
    x = case.prepare()
    with ignored_errors() as ignored:
        faulty = call_with_fault(lambda: case.call(x), at)
    if faulty.error:  # forgotten, as after an `except`: generators in its frames come to their ends
        traceback.clear_frames(faulty.error.__traceback__)
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
        problem += f": {mutating.difference(after if found[0] == after[0] else before, found)}"
    elif (again := outcome(case.call, x)) != then and not re.search(case.detects, again):
        problem = f"the next call: {again or 'no error'}, not {then or 'no error'}"
    elif end and again == then and (found := state(case, x)) != end:
        problem = f"the next call does something else: {mutating.difference(end, found)}"
    faulthandler.cancel_dump_traceback_later()
    if not problem:
        return Result(result)
    problem += f"; {faulty.place}" if faulty.place else ""
    drawn = kind is MemoryError and result == "breach" and other_pixels(after, found)
    swallowed = (ignored or drawn) and not faulty.error
    return Result("limit" if faulty.beyond or swallowed else "breach", problem)


def other_pixels(a, b):
    """Whether two snapshots differ in whole pictures alone: FreeType says nothing of a failure."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return all(map(other_pixels, a, b))
    return a == b or (size_of_picture(a) is not None and size_of_picture(a) == size_of_picture(b))


def size_of_picture(content):
    """The size of a PNG or GIF that can be read to its end, else None."""
    if not (isinstance(content, bytes) and content.startswith((b"\x89PNG", b"GIF8"))):
        return None
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            return picture.size
    except (OSError, SyntaxError):  # as Pillow says of a broken PNG
        return None


@contextlib.contextmanager
def ignored_errors():
    """A list of what Python can only report of other libraries, such as an error in a __del__."""
    found, before = [], sys.unraisablehook

    def report(error):
        if "minidl" not in repr(error.object):
            found.append(error.exc_type)

    sys.unraisablehook = report
    try:
        yield found
    finally:
        sys.unraisablehook = before


def is_foreign(error):
    """Whether Python or a library says in its own way that something failed, not minidl.

    Python says of a lock that it can't be allocated, for example, and os.stat that a path is none.
    """
    innermost = error.__traceback__
    while innermost.tb_next:
        innermost = innermost.tb_next
    code = innermost.tb_frame.f_code
    of_minidl = code.co_filename.startswith((FOLDER, "minidl"))
    called = not code.co_filename.endswith(".pyx") and dis.opname[code.co_code[innermost.tb_lasti]]
    return isinstance(error, Exception) and not (of_minidl and called not in CALLS)


def crash(path, status=None):
    """The end of a process, with the C stack of a crash, which the allocator has written down."""
    if not path.exists() and status == LOADER:
        return Result("limit", "the loader of glibc had no memory for thread-local data")
    if not path.exists():
        return Result("breach", f"the process ended, or ran for {HANGS} s")
    frames = re.findall(r"^(\S*/(\w+)[^/(\n]*)\((\w*)", path.read_text(), re.MULTILINE)
    path.unlink()
    around = ("allocator", "libc", "libstdc")  # what calls them is to blame
    library, name, _ = next(frame for frame in frames if frame[1] not in around)
    function = next((f for file, _, f in frames if f and file == library), "a function")
    kind = "breach" if "/_kernels/" in library else "limit"
    return Result(kind, f"{function} of {name} crashed")


# --- many trials --------------------------------------------------------------------------------


def points(fault, name, total, most, rng):
    """The points at which a case is tried, of so many."""
    most = most // 10 or 1 if mutating.CASES[name].slow else most
    if fault == "signals":
        return [rng.randrange(1, total + total // 5 + 2) for _ in range(most)]
    every = range(1, total + 1)
    return [*every] if total <= most else sorted(rng.sample(every, most))


def worker(crashed):
    """One process, a copy of this one; it uses no threads, so that it may set their number."""

    def start():
        dl.config._forked = False
        if "LD_PRELOAD" in os.environ:
            file = ctypes.c_char * 500
            file.in_dll(ctypes.CDLL(None), "allocations_crash").value = bytes(crashed)

    return ProcessPoolExecutor(1, multiprocessing.get_context("fork"), start)


def exit_status(pool):
    """The status with which the one process of a broken pool has ended."""
    (process,) = pool._processes.values()
    process.join(HANGS)
    return process.exitcode


def tried(fault, name, most, rng, say=print):
    """The points at which a case was tried, and the result of each."""
    with tempfile.TemporaryDirectory() as folder:
        crashed, results = Path(folder, "crash"), []
        pool = worker(crashed)
        say(f"{fault} {name}: counting")
        at = points(fault, name, pool.submit(count, fault, name).result(), most, rng)
        while len(results) < len(at):
            say(f"{fault} {name} {at[len(results) :]}")
            try:
                results.extend(pool.map(functools.partial(trial, fault, name), at[len(results) :]))
            except BrokenProcessPool:
                results.append(crash(crashed, exit_status(pool)))
                pool.shutdown()
                pool = worker(crashed)
        pool.shutdown()
    return at, results


def trials(faults, names, most, rng, say):
    """Try each fault in each case at so many points at most; how often what came of it.

    Breach at the first one.
    """
    prepare()
    counts = Counter()
    for fault, name in itertools.product(faults, names):
        for at, result in zip(*tried(fault, name, most, rng, say), strict=True):
            if result.kind == "breach":
                shown = f'python -m tests.campaign.faults {fault} "{name}" {at}'
                raise Breach(f"{fault}, {name}, {at}: {result.text}", shown)
            counts.update([fault, result.kind])
    return counts


def share(seed, of):
    """The names of one of so many shares of all cases; successive seeds try all."""
    return [*mutating.CASES][seed % of :: of]


def prepare():
    """What all processes of trials inherit."""
    expected = ".* (backward stores .grad|the training was interrupted by Ctrl-C)"
    warnings.filterwarnings("ignore", expected, UserWarning)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def allocator(folder):
    """The environment of a process in which the requests for memory can fail."""
    source, library = Path(folder) / "allocator.c", Path(folder) / "allocator.so"
    source.write_text(ALLOCATOR)
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc"}


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("case", choices=mutating.CASES, metavar="case")
    parser.add_argument("at", type=int)
    options = parser.parse_args()
    if FAULTS[options.fault][1] is not KeyboardInterrupt and "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, **allocator(folder)}
            command = [sys.executable, "-m", "tests.campaign.faults", *sys.argv[1:]]
            sys.exit(subprocess.run(command, env=environment).returncode)
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        crashed = Path(folder, "crash")
        pool = worker(crashed)
        pool.submit(count, options.fault, options.case).result()
        try:
            result = pool.submit(trial, options.fault, options.case, options.at).result()
        except BrokenProcessPool:
            result = crash(crashed, exit_status(pool))
    print(f"{result.kind}: {result.text}" if result.text else result.kind)
    sys.exit(result.kind == "breach")


if __name__ == "__main__":
    main()
