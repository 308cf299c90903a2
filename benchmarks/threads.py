"""A training step of minidl on two threads and on one, measured in alternating processes."""

import numpy as np

from benchmarks.measure import THREADS, in_child, row, take_turns
from benchmarks.networks import EPOCHS, Problem
from benchmarks.steps import NETWORKS, TASKS


def alone(quick):
    """The median time of a step of each network in this process."""
    medians = {}
    for name, (batch, count) in NETWORKS.items():
        epoch = EPOCHS["minidl"](Problem(name, batch, count))
        medians[name] = np.median(take_turns({name: epoch}, 1, quick)[name]) / count
    return medians


def measure(repeats, quick):
    """The rows of this part; none on a machine with one core."""
    if 2 not in THREADS:
        return []
    medians = {threads: [] for threads in THREADS}
    for _ in range(repeats):
        for threads, values in medians.items():
            values.append(in_child(threads, alone, quick))
    return [
        row("threads", task, who, 2, [m[name] for m in medians[threads]])
        for name, task in TASKS.items()
        for who, threads in (("minidl", 2), ("one thread", 1))
    ]
