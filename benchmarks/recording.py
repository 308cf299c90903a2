"""How much slower is a training that is recorded? python -m benchmarks.recording

Networks of several sizes are trained by dl.fit with Adam, without a recorder and with a
dl.viz.Recorder(), in turns on one thread. A table shows the least processor times, their ratio,
the number of looks and the memory of their arrays; the last line names the largest ratio. The
exit status is 1 if a training takes more than 1.1 times as long, or the looks more than 80 MB.
"""

import argparse
import datetime
import platform
import sys
import time

import numpy as np

import minidl as dl
from benchmarks.measure import in_child
from minidl.viz._recorder.recording import _size_of

LIMIT, MEMORY = 1.1, 80e6
TASKS = {  # sizes, samples, batch size, steps, options of fit
    "2-8-8-2, batch 16": ((2, 8, 8, 2), 320, 16, 40_000, {}),
    "2-8-8-2, batch 16, with accuracy": (
        *((2, 8, 8, 2), 320, 16, 10_000),
        {"metrics": {"accuracy": dl.metrics.accuracy}},
    ),
    "2-8-8-2, batch 16, eager": ((2, 8, 8, 2), 320, 16, 5_000, {"capture": False}),
    "64-64-10, batch 32": ((64, 64, 10), 1600, 32, 20_000, {}),
    "784-128-10, batch 128": ((784, 128, 10), 1280, 128, 2_000, {}),
    "784-1024-1024-10, batch 128": ((784, 1024, 1024, 10), 1280, 128, 100, {}),
}


def training(name, share=1.0):
    """A function that trains with or without a recorder, which it returns."""
    sizes, samples, batch, steps, options = TASKS[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, sizes[0])).astype(np.float32)
    y = np.argmax(x @ rng.normal(size=(sizes[0], sizes[-1])), axis=1)

    def train(record):
        model = dl.nn.MLP(sizes, "tanh", rng=0)
        optimizer, loader = dl.optim.Adam(model, 1e-3), dl.data.DataLoader(x, y, batch, rng=0)
        own = {"steps": max(1, int(steps * share)), "progress": False, "record": record, **options}
        dl.fit(model, dl.losses.cross_entropy, optimizer, loader, **own)
        return record

    return train


def compare(name, repeats, share=1.0):
    """The least times without and with a recorder, its number of looks, and their bytes."""
    train = training(name, share)
    calls = {"alone": lambda: train(None), "recorded": lambda: train(dl.viz.Recorder())}
    times = {who: [] for who in calls}
    for _ in range(1 + repeats):
        for who, call in calls.items():
            start = time.process_time()
            recorder = call()
            times[who].append(time.process_time() - start)
    alone, recorded = (min(times[who][1:]) for who in calls)
    return alone, recorded, len(recorder.steps), sum(map(_size_of, recorder.looks))


def main(words=None):
    """Measure and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.recording", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=7, help="turns (default: %(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps (default: 1)")
    given = parser.parse_args(words)
    print(f"{datetime.date.today()}, {platform.machine()}, NumPy {np.__version__}, one thread\n")
    print("| training | steps | alone | recorded | ratio | looks | memory |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    ratios, most = {}, 0
    for name, (*_, steps, _) in TASKS.items():
        alone, recorded, looks, size = in_child(1, compare, name, given.repeats, given.share)
        ratios[name], most = recorded / alone, max(most, size)
        print(
            f"| {name} | {max(1, int(steps * given.share)):,} | {alone * 1e3:.0f} ms | "
            f"{recorded * 1e3:.0f} ms | {ratios[name]:.3f} | {looks} | {size / 1e6:.1f} MB |",
            flush=True,
        )
    slowest = max(ratios, key=ratios.get)
    print(f"\nlargest ratio: {ratios[slowest]:.3f} ({slowest}), allowed: {LIMIT}")
    return int(ratios[slowest] > LIMIT or most > MEMORY)


if __name__ == "__main__":
    sys.exit(main())
