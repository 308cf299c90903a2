"""The kernels under AddressSanitizer, UBSan, ThreadSanitizer and Valgrind.

- GCC's -fsanitize=address,undefined: the tests of kernels, optim, losses, nn and tensor, and
  malformed calls as in the part `kernels`;
- Clang's -fsanitize=thread: kernels on several threads, also called by several threads at once;
  OpenMP tells the sanitizer by its tool Archer how its threads wait for each other;
- Valgrind: calls of all kernels, whose results may not depend on memory that nobody has written.

Each tool first has to find the faults that are planted in a small library. The builds are deleted
afterwards, unless MINIDL_CAMPAIGN_BUILDS names a folder for them.
"""

import ctypes
import fcntl
import functools
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from tests.campaign.harness import Breach

ROOT = Path(__file__).parents[2]
SECONDS = 1800  # the first seed of a tool also builds what the others use
BUILDS = "MINIDL_CAMPAIGN_BUILDS"  # the variable with the folder of the builds
MODULE = r"\b(planted|\w+\.abi3)\.so"  # of the kernels
COPIED = ("minidl", "tests", "setup.py", "pyproject.toml", "README.md", "LICENSE", "conftest.py")
SUITES = ("_kernels", "optim", "test_losses.py", "test_nn.py", "test_tensor.py")
SHARDS = 16  # of the tests

ADDRESS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
FLAGS = {  # of each tool, after those of setup.py
    "address": f"gcc -O1 -g1 {ADDRESS}",
    "thread": "clang -O1 -g1 -fsanitize=thread",
    "memory": "gcc -g1",
}
START = {  # before the command of Python
    "address": "",
    "thread": "setarch -R",  # it needs the usual addresses
    "memory": "valgrind -q --track-origins=yes --leak-check=no --xml=yes --xml-fd=2",
}
REPORTS = {  # what separates reports, and what each has
    "address": (r"(?m)(?=^=+\d+=+ERROR|^\S+ runtime error)", ("AddressSanitizer|runtime error",)),
    "thread": (r"={18}", ("WARNING: ThreadSanitizer", MODULE)),
    "memory": (r"<error>|</error>", ("<kind>(?!Leak)", MODULE)),
}
FAULTS = {
    "address": ("outside", "overflow"),
    "thread": ("race",),
    "memory": ("outside", "unwritten"),
}
LIBRARY = """
char outside(char *x, int n) { return x[n]; }
int overflow(char *x, int n) { return n + 0x7fffff00; }
int unwritten(char *x, int n) { return x[0] > 3 ? 1 : 2; }
int race(char *x, int n) {
    int i;
    #pragma omp parallel for num_threads(2)
    for (i = 0; i < 1000 * n; i++) x[0]++;
    return 0;
}
"""
RUNS = [
    *[("thread", "threads", seed) for seed in range(8)],
    *[("address", "tests", shard) for shard in range(SHARDS)],
    *[("address", "calls", seed, 1000) for seed in range(4)],
    *[("memory", "calls", seed, 200) for seed in range(4)],
]
RUNS.sort(key=lambda run: run[2])  # the first seeds try each of these
SEEDS = len(RUNS)


def missing():
    words = {*" ".join([*FLAGS.values(), *START.values()]).split()}
    programs = {word for word in words if not word.startswith("-")}
    lacks = sorted(program for program in programs if not shutil.which(program))
    return ", ".join(lacks) or ("" if archer() else "Archer, which comes with Clang's OpenMP")


def archer():
    """The path of Archer for this Clang; "" if there is none."""
    version = re.search(r"version (\d+)", subprocess.getoutput("clang --version"))
    path = Path(f"/usr/lib/llvm-{version[1] if version else ''}/lib/libarcher.so")
    return str(path) if path.exists() else ""


def prepare(folder):
    return {BUILDS: os.environ.get(BUILDS, str(folder))}


def trial(seed, say):
    tool, *words = RUNS[seed]
    say(f"{tool}: {words}")
    tree = built(tool, Path(os.environ[BUILDS]))
    found, output, status = run(tool, tree, *words)
    if found or status:
        raise Breach(f"{tool}, {words}, status {status}: {(found or [output])[0][-6000:]}")
    return {f"{tool} {words[0]}": int(re.findall(r"^tried: (\d+)$", output, re.MULTILINE)[-1])}


# --- builds and processes ------------------------------------------------------------------------


def built(tool, folder):
    """A tree whose kernels are built for a tool, which has found what is planted."""
    tree, done = ROOT if tool == "memory" else folder / tool, folder / f"{tool}.done"
    with open(folder / f"{tool}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other seeds wait
        if not done.exists():
            compiler, library = compiler_of(tool, folder), folder / tool / "planted.so"
            if tree != ROOT:
                build(tree, compiler)
            library.parent.mkdir(exist_ok=True)
            library.with_suffix(".c").write_text(LIBRARY)
            source = library.with_suffix(".c")
            execute(folder, {}, compiler, "-shared", "-fPIC", "-fopenmp", source, "-o", library)
            for fault in FAULTS[tool]:
                found, output, _ = run(tool, tree, "planted", fault, library)
                if not found:
                    raise Breach(f"{tool} doesn't find the planted fault `{fault}`\n{output}")
            done.touch()
    return tree


def compiler_of(tool, folder):
    """A program that compiles with a tool's flags, and lets them override others."""
    program, flags = FLAGS[tool].split(maxsplit=1)
    compiler = folder / f"{tool}.sh"
    compiler.write_text(f'#!/bin/sh\nexec {program} "$@" {flags}\n')
    compiler.chmod(0o755)
    return compiler


def build(tree, compiler):
    """Copy the sources, and build the kernels."""
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    tree.mkdir()
    for name in COPIED:  # with the times of the C files, so that Cython doesn't write them again
        path = ROOT / name
        copy = functools.partial(shutil.copytree, ignore=ignored) if path.is_dir() else shutil.copy2
        copy(path, tree / name)
    variables = {"CC": str(compiler), "LDSHARED": f"{compiler} -shared"}
    jobs = f"-j{os.cpu_count()}"
    execute(tree, variables, sys.executable, "setup.py", "build_ext", "--inplace", jobs)


def execute(tree, variables, *words):
    """Run a command that may not fail."""
    words = list(map(str, words))
    done = subprocess.run(
        words,
        cwd=tree,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise Breach(f"{shlex.join(words)}\n{done.stdout[-4000:]}")


def variables_of(tool, tree):
    """The environment of a process whose kernels are built for a tool."""
    found = {"PYTHONPATH": str(tree), "PYTHONMALLOC": "malloc", "PYTHONUNBUFFERED": "1"}
    if library := {"address": "libasan.so", "thread": "libtsan.so"}.get(tool):
        # GCC's also for Clang, whose own one doesn't start with Python
        found["LD_PRELOAD"] = subprocess.getoutput(f"gcc -print-file-name={library}")
    found["ASAN_OPTIONS"] = "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=64"
    found["UBSAN_OPTIONS"] = "print_stacktrace=1"
    found["TSAN_OPTIONS"] = "ignore_noninstrumented_modules=1:exitcode=0"
    return os.environ | found | {"OMP_TOOL_LIBRARIES": archer()}


def run(tool, tree, *words):
    """(reports, output, status) of a process that runs this module with some words."""
    python = [*START[tool].split(), sys.executable, "-m", "tests.campaign.sanitizers"]
    done = subprocess.run(
        [*python, *map(str, words)],
        cwd=tree,
        env=variables_of(tool, tree),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return reports(tool, done.stdout), done.stdout, done.returncode


def reports(tool, output):
    """The reports of a tool that matter."""
    separator, needed = REPORTS[tool]
    parts = re.split(separator, output)
    return [part for part in parts if all(re.search(text, part) for text in needed)]


# --- what runs under a tool: each prints how much it has tried -----------------------------------


def planted(fault, library):
    """Call a function with a fault."""
    libc, size = ctypes.CDLL(None), 64
    libc.malloc.restype = ctypes.c_void_p
    memory = ctypes.c_void_p(libc.malloc(size))
    number = {"outside": size, "overflow": 2**30, "unwritten": 1, "race": 100}[fault]
    getattr(ctypes.CDLL(library), fault)(memory, number)
    return 1


class Shard:
    """A plugin of pytest that chooses one of several parts of the tests."""

    def __init__(self, number):
        self.number = number

    def pytest_collection_modifyitems(self, items):
        items[:] = items[self.number :: SHARDS]
        self.count = len(items)


def tests(number):
    """Some of the tests; pytest doesn't capture what a tool writes."""
    import pytest

    shard = Shard(int(number))
    files = [f"tests/{name}" for name in SUITES]
    status = pytest.main(["-s", "-q", "-p", "no:cacheprovider", *files], plugins=[shard])
    if status:
        sys.exit(f"the tests end with {status!r}")
    return shard.count


def calls(seed, count):
    """Malformed calls of the kernels."""
    from tests.campaign import kernels

    for number in range(int(count)):
        kernels.Call(f"sanitizers {seed}", number).make()
    return int(count)


def threads(seed):
    """Kernels on two threads, and on several arrays in several threads at once."""
    import numpy as np

    from minidl._kernels import layer, loss, optim, system

    rng, tried = np.random.default_rng(int(seed)), itertools.count(1)
    rules = [rule for _, rule in sorted(vars(optim).items()) if isinstance(rule, optim.Rule)]

    def update(rule, size, dtype):
        arrays = [[rng.random(size).astype(dtype)] for _ in rule.arrays]
        rule(tuple(arrays), *[0.1] * len(rule.constants))
        next(tried)

    def loss_of(rows, dtype):
        x, labels = rng.random((rows, 20)).astype(dtype), rng.integers(20, size=rows)
        loss.cross_entropy(x, labels, 0.0, 1.0)
        loss.cross_entropy(x, x, 0.1, 1.0, np.ones(rows))
        loss.squared_error(x, x + 1, 1.0)
        layer.sum_rows(x)
        next(tried)

    system.set_num_threads(2)
    for rule in rules[int(seed) % 4 :: 4]:
        update(rule, optim.threaded + 100, ("f4", "f8")[int(seed) // 4])
    for dtype in ("f4", "f8"):
        loss_of(loss.threaded // 20 + 10, dtype)

    def work(number):
        for rule in rules:
            update(rule, 1000, "f4")
            loss_of(10 + number, "f8")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return next(tried)


if __name__ == "__main__":
    function = {"planted": planted, "tests": tests, "calls": calls, "threads": threads}
    print(f"tried: {function[sys.argv[1]](*sys.argv[2:])}")
