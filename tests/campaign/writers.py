"""A full disk and SIGKILL in each write of a file: the old file or the new one, nothing else.

    python -m tests.campaign.writers full "to_onnx" 7    # one fault

The faults are

    full    the nth call of the system that needs space does half of its work, and all later ones
            fail with ENOSPC
    killed  SIGKILL before the nth call of the system that changes a file, or in the middle of it
    large   no file may be larger than n bytes (RLIMIT_FSIZE), which holds for ffmpeg, too
    timed   SIGKILL after n µs

Afterwards the file must be, byte for byte, as before or as after the write, or as at one of its
milestones: a log, for example, after each epoch. After an error it must say what to do, and nothing
may be left beside the file; after SIGKILL one temporary file may be. The next write must succeed,
and leave nothing but the file.
"""

import argparse
import ctypes
import functools
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from interrupting import CAN_PRELOAD

import minidl as dl
from minidl.walkthrough import plan_page
from tests.campaign.harness import Breach

SEEDS, SECONDS = 45, 600
SHARES = 9  # one seed tries a ninth of all writers
MOST, MOST_PICTURES = 40, 4  # with so many of each fault
DISK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

int disk_kills = 0;        /* whether a fault is SIGKILL; otherwise the disk is full */
long disk_left = 0;        /* the number of the call with the fault; 0: the disk is never full */
long disk_calls = 0;       /* how many calls there were since disk_left was set */

static int is_file(int file) {
    struct stat found;
    return fstat(file, &found) == 0 && S_ISREG(found.st_mode);
}

/* 0: go on; 1: the call with the fault; 2: a later one */
static int fault(int needs_space) {
    if (disk_left == 0 || !(needs_space || disk_kills)) return 0;
    disk_calls++;
    return disk_calls < disk_left ? 0 : disk_calls == disk_left ? 1 : 2;
}

static int fails(int needs_space) {
    if (!fault(needs_space)) return 0;
    if (disk_kills) kill(getpid(), SIGKILL);
    errno = ENOSPC;
    return 1;
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__)) dlsym(RTLD_NEXT, name)

ssize_t write(int file, const void *bytes, size_t n) {
    REAL(ssize_t, "write", int, const void *, size_t);
    int at = is_file(file) ? fault(1) : 0;
    if (at == 0) return real(file, bytes, n);
    ssize_t half = at == 1 && n > 1 ? real(file, bytes, n / 2) : 0;
    if (disk_kills) kill(getpid(), SIGKILL);
    if (half > 0) return half;
    errno = ENOSPC;
    return -1;
}

#define OPEN(name) \
int name(const char *path, int flags, ...) { \
    REAL(int, #name, const char *, int, ...); \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    if (flags & (O_CREAT | O_TRUNC) && fails(flags & O_CREAT)) return -1; \
    return real(path, flags, mode); \
}
OPEN(open)
OPEN(open64)

#define ONE(name, type, needs_space) \
int name(type x) { REAL(int, #name, type); return fails(needs_space) ? -1 : real(x); }
#define TWO(name, type, other, needs_space) \
int name(type x, other y) { \
    REAL(int, #name, type, other); \
    return fails(needs_space) ? -1 : real(x, y); \
}
ONE(fsync, int, 1)
ONE(unlink, const char *, 0)
TWO(rename, const char *, const char *, 1)
TWO(chmod, const char *, mode_t, 0)
TWO(ftruncate, int, off_t, 0)
TWO(ftruncate64, int, off64_t, 0)
"""


# --- what writes files ---------------------------------------------------------------------------


class Writer(NamedTuple):
    """Something that writes a file of that ending: a function of the path and of what it writes.

    It calls `saved` after each state that the file may have, if there are several.
    """

    ending: str
    write: object
    module: str


WRITERS = {}
DRAWING = "minidl.viz.plots", "minidl.viz.film"  # which takes longer


def writer(name, module):
    """Add a function of (path, things, saved) as a writer, named after what it calls."""

    def add(write):
        assert name not in WRITERS
        WRITERS[name] = Writer(name.split()[-1], write, module)
        return write

    return add


@functools.cache
def things():
    """What is written: models, records, pictures."""
    import matplotlib as mpl

    mpl.use("Agg")
    uuid.uuid4 = lambda: "the same each time"  # after which Matplotlib names parts of a .svg
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((24, 4)).astype("f4"), rng.standard_normal((24, 1)).astype("f4")
    w = dl.Tensor(rng.standard_normal(2), requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * w).sum().backward()
    race, recorder = dl.viz.race("bowl", ["SGD"], steps=5, lr=0.1), dl.viz.Recorder()
    t = SimpleNamespace(x=x, y=y, walk=walk, race=race, plan=plan(x, y), recorder=recorder)
    fit(t, record=recorder)
    return t


def training():
    """A model, its optimizer and a seed for the loader."""
    model = dl.nn.Sequential(dl.nn.Dense(4, 3, rng=0), dl.nn.ReLU(), dl.nn.Dense(3, 1, rng=1))
    return model, dl.optim.Adam(model)


def plan(x, y):
    """The record of a captured step, whose calls take the same time whenever they are measured."""
    plan_page.durations = lambda plan: [1e-6] * len(plan.notes)
    model, optimizer = training()

    @dl.capture
    def step(x, y):
        optimizer.zero_grad()
        loss = dl.losses.mse(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(x, y)
    return step.plan


def fit(t, **options):
    """Train for three epochs."""
    model, optimizer = training()
    loader = dl.data.DataLoader(t.x, t.y, 8, rng=0)
    dl.fit(model, dl.losses.mse, optimizer, loader, epochs=3, progress=False, **options)


def fit_with(callback, saved, t):
    """Train with a callback that writes a file."""

    class Saved(dl.callbacks.Callback):
        after_others = True

        def on_begin(self, training):
            saved()

        def on_epoch(self, training):
            saved()

    fit(t, callbacks=[callback, Saved()])


@writer("save .ckpt", "minidl._archive")
def _(path, t, saved):
    model, optimizer = training()
    dl.save(path, model, optimizer=optimizer, data=dl.data.DataLoader(t.x, t.y, 8, rng=0))


@writer("save .safetensors", "minidl._archive")
def _(path, t, saved):
    dl.save(path, training()[0])


@writer("Checkpoint .ckpt", "minidl._archive")
def _(path, t, saved):
    fit_with(dl.callbacks.Checkpoint(path), saved, t)


@writer("CSVLogger .csv", "minidl.callbacks")
def _(path, t, saved):
    fit_with(dl.callbacks.CSVLogger(path), saved, t)


@writer("capture.plan .html", "minidl._capture.recording")
def _(path, t, saved):
    t.plan.save(path)


@writer("to_c .h", "minidl.export.c_header")
def _(path, t, saved):
    dl.export.to_c(training()[0], path)


@writer("to_numpy .py", "minidl.export.numpy_file")
def _(path, t, saved):
    dl.export.to_numpy(training()[0], path)


@writer("to_onnx .onnx", "minidl.export.onnx_file")
def _(path, t, saved):
    dl.export.to_onnx(training()[0], path, t.x)


@writer("Race.save .html", "minidl.viz._race.page")
def _(path, t, saved):
    t.race.save(path)


@writer("Recorder.save .html", "minidl.viz._recorder.page")
def _(path, t, saved):
    t.recorder.save(path)


for ending in (".html", ".md", ".txt", ".svg"):

    @writer(f"Walkthrough.save {ending}", "minidl.walkthrough.walk")
    def _(path, t, saved):
        t.walk.save(path)


for ending in (".png", ".svg", ".pdf"):

    @writer(f"Race.plot {ending}", "minidl.viz.plots")
    def _(path, t, saved):
        t.race.plot(path)


for ending in (".gif", ".mp4"):

    @writer(f"Race.animate {ending}", "minidl.viz.film")
    def _(path, t, saved):
        t.race.animate(path, frames=2)


# --- a write with a fault in it -----------------------------------------------------------------

FAULTS = "full", "killed", "large", "timed"
NEVER = 10**9
ENDS = 0, -signal.SIGKILL, -signal.SIGALRM
ADVICE = re.compile(r"^OSError: .* can't be written \(.*\); free some space, or give the name of")


class Ended(NamedTuple):
    """How a process that writes has ended: killed, or with an error; and what it has counted."""

    killed: bool
    error: str = ""
    calls: int = 0
    microseconds: int = 0


def nothing():
    pass


def written(name, path, fault="full", at=NEVER):
    """Write a file in a copy of this process, with a fault."""
    reading, writing = os.pipe()
    if pid := os.fork():
        os.close(writing)
        with open(reading, encoding="utf-8") as pipe:
            text = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status not in ENDS:
            raise Breach(f"{name}, {fault}, {at}: the process ended with {status}")
        return Ended(True) if status else Ended(False, *json.loads(text))
    try:
        found = write_with_fault(name, path, fault, at)
        with open(writing, "w", encoding="utf-8") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    finally:
        os._exit(1)


def write_with_fault(name, path, fault, at):
    """The error, the number of calls of the system, and the time."""
    library, error, start = ctypes.CDLL(None), "", time.perf_counter()
    ctypes.c_int.in_dll(library, "disk_kills").value = fault == "killed"
    left = ctypes.c_long.in_dll(library, "disk_left")
    if fault == "large":
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
    elif fault == "timed":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process as SIGKILL does
        signal.setitimer(signal.ITIMER_REAL, at / 1e6)
    else:
        left.value = at
    try:
        WRITERS[name].write(path, things(), nothing)
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    signal.setitimer(signal.ITIMER_REAL, 0)
    left.value = 0
    calls = ctypes.c_long.in_dll(library, "disk_calls").value
    return error, calls, int(1e6 * (time.perf_counter() - start))


@functools.cache
def expected(name):
    """The contents after each milestone, and at last."""
    with tempfile.TemporaryDirectory() as folder:
        path, found = Path(folder, f"file{WRITERS[name].ending}"), []
        WRITERS[name].write(path, things(), lambda: found.append(contents(path)))
        return [content for content in (*found, contents(path)) if content is not None]


def contents(path):
    return path.read_bytes() if path.exists() else None


def points(name, fault, most, rng):
    """Where a fault is tried."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{WRITERS[name].ending}")
        ended = written(name, path, fault if fault == "killed" else "full")
        if ended.error or contents(path) != expected(name)[-1]:
            raise Breach(f"{name}: written twice, it differs {ended.error}")
    if fault == "timed":
        return [rng.randrange(1, ended.microseconds + 10) for _ in range(most)]
    total = len(expected(name)[-1]) if fault == "large" else ended.calls
    return range(1, total + 1) if total <= most else sorted(rng.sample(range(1, total + 1), most))


def tried(name, fault, at, old):
    """Write over an old file, or None, with a fault: "old" or "new", as what is there then."""

    def breach(text):
        command = f'python -m tests.campaign.writers {fault} "{name}" {at}'
        return Breach(f"{name}, {fault}, {at}: {text}", command + " --new" * (old is None))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{WRITERS[name].ending}")
        if old is not None:
            path.write_bytes(old)
        ended, end = written(name, path, fault, at), expected(name)[-1]
        found, beside = contents(path), sorted(p.name for p in path.parent.iterdir() if p != path)
        if found not in (old, *expected(name)):
            raise breach(f"{len(found or b'')} bytes are neither the old file nor the new one")
        if not ended.killed and not ended.error and found != end:
            raise breach("not written, and no error")
        if ended.error and not ADVICE.match(ended.error):
            raise breach(f"the error says something else: {ended.error}")
        if len(beside) > ended.killed:
            raise breach(f"beside the file there is {', '.join(beside)}")
        again = written(name, path)
        beside = sorted(p.name for p in path.parent.iterdir() if p != path)
        if again.error or contents(path) != end or beside:
            raise breach(f"the next write: {again.error or 'differs'} {', '.join(beside)}")
        return "old" if found == old else "new"


# --- the part -----------------------------------------------------------------------------------


def missing():
    return "" if CAN_PRELOAD else "it needs Linux with glibc and a C compiler, cc"


def prepare(folder):
    source, library = Path(folder) / "disk.c", Path(folder) / "disk.so"
    source.write_text(DISK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SOURCE_DATE_EPOCH": "0"}


def chosen(seed):
    """A share of all writers; successive seeds try all."""
    names = [name for name in WRITERS if not name.endswith(".mp4") or shutil.which("ffmpeg")]
    return names[seed % SHARES :: SHARES]


def begin():
    """What a copy of this process needs; it has only one thread."""
    dl.set_num_threads(1)
    things()


def trial(seed, say):
    begin()
    rng, counts = random.Random(seed), Counter()
    for name in chosen(seed):
        most = MOST_PICTURES if WRITERS[name].module in DRAWING else MOST
        for fault in FAULTS:
            for at in points(name, fault, most, rng):
                say(f"{name} {fault} {at}")
                found = tried(name, fault, at, rng.choice([None, b"old"]))
                counts.update(["writes", fault, found])
    return counts


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("writer", choices=WRITERS, metavar="writer")
    parser.add_argument("at", type=int)
    parser.add_argument("--new", action="store_true", help="there is no old file")
    options = parser.parse_args()
    if "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, **prepare(folder)}
            command = [sys.executable, "-m", "tests.campaign.writers", *sys.argv[1:]]
            sys.exit(subprocess.run(command, env=environment).returncode)
    begin()
    try:
        print(tried(options.writer, options.fault, options.at, None if options.new else b"old"))
    except Breach as breach:
        sys.exit(f"breach: {breach}")


if __name__ == "__main__":
    main()
