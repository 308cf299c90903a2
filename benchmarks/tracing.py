"""What do the hooks of `dl.trace` cost while no trace is open? python -m benchmarks.tracing

The package is copied, and in the copy no trace is ever found: `active.get()`, by which ops,
modules, backward and optimizers look for one, becomes `None`. Then the two take turns, each in a
process of its own, at training steps of small networks and at a chain of small ops. A table shows
the medians over the turns, the median of their ratios, and how far turns of the same code differ.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "minidl"
HOOKED = ("tensor.py", "nn.py", "optim/optimizer.py")
TIMED = """
import json, sys, time
import numpy as np, minidl as dl
def median(f, n):
    times = []
    for _ in range(n):
        begin = time.perf_counter()
        f()
        times.append(time.perf_counter() - begin)
    return sorted(times)[n // 2]
def network(sizes, batch):
    rng = np.random.default_rng(0)
    model = dl.nn.MLP(sizes, rng=0)
    optimizer = dl.optim.Adam(model)
    x, y = (rng.normal(size=(batch, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
    def step():
        optimizer.zero_grad()
        dl.losses.mse(model(x), y).backward()
        optimizer.step()
    return step
w = dl.Tensor(np.ones(4), requires_grad=True)
def chain():
    h = w
    for _ in range(100):
        h = h * 1.0
    h.sum().backward()
jobs = {"2-16-16-1": (network([2, 16, 16, 1], 32), 4000),
        "64-64-10": (network([64, 64, 10], 32), 4000), "100 ops": (chain, 1000)}
for step, n in jobs.values():
    median(step, n // 10)
print(json.dumps({name: median(step, n) for name, (step, n) in jobs.items()}), dl.__file__)
"""


def without_hooks(folder):
    """A copy of the package in which no trace is looked for."""
    copy = folder / "minidl"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.c"))
    for name in HOOKED:
        path = copy / name
        text = path.read_text(encoding="utf-8")
        if "active.get()" not in text:
            raise SystemExit(f"{name} has no hooks that this benchmark knows: update HOOKED")
        path.write_text(text.replace("active.get()", "None"), encoding="utf-8")
    return copy.parent


def turn(folder):
    """Medians in seconds, of the minidl in a folder, on one core."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "OPENBLAS_", "GOMP_", "MKL_", "PYTHONDONT"))
    }
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", TIMED],
        env=environment | one,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    times, file = run.stdout.strip().rsplit(" ", 1)
    assert Path(file).is_relative_to(folder), f"{file} was imported instead of {folder}"
    return json.loads(times)


def main(words=None):
    """Measure and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="(default: %(default)s)")
    turns = parser.parse_args(words).turns
    with tempfile.TemporaryDirectory() as folder:
        folders = {"with": PACKAGE.parent, "without": without_hooks(Path(folder))}
        found = {which: [] for which in folders}
        for i in range(turns):
            for which in list(folders)[:: 1 if i % 2 else -1]:
                found[which].append(turn(folders[which]))
    print(f"{datetime.date.today()}, {platform.machine()}, {turns} turns of each, one core\n")
    print("| job | with hooks | without | ratio | turns of the same code differ by |")
    print("|---|---:|---:|---:|---:|")
    for job in found["with"][0]:
        own, bare = ([times[job] for times in found[which]] for which in found)
        ratio = statistics.median(a / b for a, b in zip(own, bare, strict=True))
        quarters = statistics.quantiles(bare, n=4)
        spread = (quarters[2] - quarters[0]) / quarters[1]
        own, bare = statistics.median(own) * 1e6, statistics.median(bare) * 1e6
        print(f"| {job} | {own:.2f} µs | {bare:.2f} µs | {ratio:.3f} | {spread:.1%} |")


if __name__ == "__main__":
    main()
