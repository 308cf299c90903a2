"""A training step of minidl on two threads and on one, measured in alternating processes."""

import numpy as np

from benchmarks.measure import THREADS, in_child, row, take_turns
from benchmarks.networks import Problem, minidl_step
from benchmarks.steps import NETWORKS


def alone(quick):
    """The median time of a step of each network in this process."""
    steps = {name: minidl_step(Problem(name, batch)) for name, batch in NETWORKS.items()}
    times = {name: take_turns({name: step}, 1, quick)[name] for name, step in steps.items()}
    return {name: np.median(values) for name, values in times.items()}


def measure(repeats, quick):
    """The rows of this part; none on a machine with one core."""
    if 2 not in THREADS:
        return []
    medians = {threads: [] for threads in THREADS}
    for _ in range(repeats):
        for threads, values in medians.items():
            values.append(in_child(threads, alone, quick))
    return [
        row("threads", f"{name}, batch {batch}", who, 2, [m[name] for m in medians[threads]])
        for name, batch in NETWORKS.items()
        for who, threads in (("minidl", 2), ("one thread", 1))
    ]
