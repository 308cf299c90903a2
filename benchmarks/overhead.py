"""Import time, installed size, peak memory, and the overhead of the engine per op."""

import contextlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np

import minidl as dl
from benchmarks.measure import confined, in_child, row, seconds, skipped_rows
from benchmarks.networks import EPOCHS, Problem, missing_libraries

LARGEST = "784-2048-2048-10", 256
IMPORT = """
import time, numpy
start = time.perf_counter()
import {name}
print(time.perf_counter() - start)
"""


def import_time(name):
    """The time to import a library in a new process, after NumPy."""
    command = [sys.executable, "-c", IMPORT.format(name=name)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def size(name):
    """The size of a library's files in bytes, without generated C files, which aren't installed."""
    (folder,) = importlib.util.find_spec(name).submodule_search_locations
    files = [path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".c"]
    return sum(path.stat().st_size for path in files)


def peak_memory(who, steps=10):
    """The peak memory of this process after training the largest network."""
    import resource  # on Unix only

    step = EPOCHS[who](Problem(*LARGEST))
    for _ in range(steps):
        step()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def chain(x, n):
    """Negate x n times."""
    for _ in range(n):
        x = -x
    return x


def engine_overhead(n, repeats):
    """The times per op, forward and backward, in a chain of n ops, minus those of NumPy."""
    one, x = np.ones(1, np.float32), dl.Tensor(np.ones(1, np.float32), requires_grad=True)
    chain(x, 1000).backward()
    return [
        (seconds(lambda: chain(x, n).backward()) - seconds(lambda: chain(one, 2 * n))) / n
        for _ in range(repeats)
    ]


def measure(repeats, quick):
    """The rows of this part, all on one thread."""
    missing = {who: why for who, why in missing_libraries().items() if who == "PyTorch"}
    names = {"minidl": "minidl"} if missing else {"minidl": "minidl", "PyTorch": "torch"}
    few, rows = 1 if quick else 3, skipped_rows("overhead", 1, missing)

    def add(task, who, values, unit):
        rows.append(row("overhead", task, who, 1, values, unit))

    for who, name in names.items():
        with confined(1):
            add("import, after NumPy", who, [import_time(name) for _ in range(repeats)], "s")
        add("installed size", who, [size(name)], "B")
        with contextlib.suppress(ModuleNotFoundError):
            values = [in_child(1, peak_memory, who) for _ in range(few)]
            add("peak memory, {}, batch {}".format(*LARGEST), who, values, "B")
    for n, times in (1000, 100 * repeats), (1_000_000, few):
        add(f"an op in a chain of {n:,}", "minidl", in_child(1, engine_overhead, n, times), "s")
    return rows
