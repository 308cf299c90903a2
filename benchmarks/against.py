"""How fast is a training step beside an older revision? python -m benchmarks.against REVISION

The older revision is checked out into a temporary folder (git) and its kernels are built there.
Then the two take turns, each in a process of its own on one core, at eager training steps (forward,
loss, backward, Adam) with fresh batches. A table shows the medians over the turns, the median of
their ratios, and the spread between turns of the same code.
"""

import argparse
import datetime
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = {  # sizes, batch, steps a turn
    "2-16-16-1": ([2, 16, 16, 1], 32, 4000),
    "20-32-32-2": ([20, 32, 32, 2], 16, 4000),
    "64-64-10": ([64, 64, 10], 32, 4000),
    "784-128-10": ([784, 128, 10], 64, 1000),
    "784-512-256-10": ([784, 512, 256, 10], 128, 100),
}
TIMED = """
import json, sys, time
import numpy as np, minidl as dl
def median(sizes, batch, steps):
    rng = np.random.default_rng(0)
    model = dl.nn.MLP(sizes, rng=0)
    optimizer = dl.optim.Adam(model)
    xs, ys = (rng.normal(size=(8, batch, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
    times = []
    for i in range(steps + steps // 10):
        x, y = xs[i % 8], ys[i % 8]
        begin = time.perf_counter()
        optimizer.zero_grad()
        dl.losses.mse(model(x), y).backward()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    return sorted(times[steps // 10:])[steps // 2]
found = {name: median(*job) for name, job in json.loads(sys.argv[1]).items()}
print(json.dumps({"minidl": dl.__file__, **found}))
"""


def checked_out(revision, folder):
    """The tree of a revision in a folder, with its kernels built."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    build = [sys.executable, "setup.py", "build_ext", "--inplace"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    return folder


def turn(tree, networks):
    """The median time of a step of each network in seconds, with the minidl of a tree."""
    threads = ("OMP_", "OPENBLAS_", "GOMP_", "MKL_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(threads)}
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(tree)}
    run = subprocess.run(
        [sys.executable, "-P", "-c", TIMED, json.dumps(networks)],
        env=environment | one,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(run.stdout)
    assert Path(found.pop("minidl")).is_relative_to(tree), f"another minidl than that of {tree}"
    return found


def main(arguments=None):
    """Measure and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.against", description=__doc__)
    parser.add_argument("revision", help="a commit, tag or branch of this repository")
    parser.add_argument("--turns", type=int, default=9, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        trees = {"now": ROOT, "before": checked_out(options.revision, Path(folder).resolve())}
        found = {which: [] for which in trees}
        for i in range(options.turns):
            for which in list(trees)[:: 1 if i % 2 else -1]:
                found[which].append(turn(trees[which], NETWORKS))
    print(
        f"{datetime.date.today()}, {platform.machine()}, one core, float32, {options.turns} turns; "
        f"before: {options.revision}\n"
    )
    print("| network | before | now | now / before | turns of the same code differ by |")
    print("|---|---:|---:|---:|---:|")
    for network, (_, batch, _) in NETWORKS.items():
        now, before = ([times[network] for times in found[which]] for which in trees)
        ratio = statistics.median(a / b for a, b in zip(now, before, strict=True))
        low, middle, high = statistics.quantiles(before, n=4)
        now, before = statistics.median(now) * 1e6, statistics.median(before) * 1e6
        print(
            f"| {network}, batch {batch} | {before:.1f} µs | {now:.1f} µs | {ratio:.2f} "
            f"| {(high - low) / middle:.0%} |"
        )


if __name__ == "__main__":
    main()
