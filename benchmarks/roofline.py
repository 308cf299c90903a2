"""The time of every update rule, compared with the limit set by the memory bandwidth.

The bandwidth is that of NumPy's fastest in-place operation on float32 arrays, with one array and
one Python thread per core; each changed entry counts as one read and one write.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import minidl as dl
from benchmarks.measure import THREADS, in_children, row, seconds, take_turns

SIZE = 20_000_000
RULES = {
    "SGD": ("SGD", {}),
    "SGD, momentum 0.9": ("SGD", {"momentum": 0.9}),
    "Momentum": ("Momentum", {}),
    "NAG": ("NAG", {}),
    "Adagrad": ("Adagrad", {}),
    "RMSprop": ("RMSprop", {}),
    "Adam": ("Adam", {}),
    "Adam, amsgrad": ("Adam", {"amsgrad": True}),
    "AdamW": ("AdamW", {}),
    "Nadam": ("Nadam", {}),
    "Adamax": ("Adamax", {}),
    "RAdam": ("RAdam", {}),
    "Adadelta": ("Adadelta", {}),
    "FTRL": ("FTRL", {}),
    "Lion": ("Lion", {}),
}
FACTOR = np.float32(0.9999999)
WAYS = {
    "a *= c": lambda a: np.multiply(a, FACTOR, out=a),
    "a = −a": lambda a: np.negative(a, out=a),
    "a = |a|": lambda a: np.absolute(a, out=a),
}


def bytes_moved(rule, options):
    """Per weight: θ and each state array are read and written, g is read."""
    one = dl.Tensor(np.ones(1, np.float32), requires_grad=True)
    state = getattr(dl.optim, rule)([one], **options).state_dict()["state"]
    slots = [v for s in state.values() for v in s.values() if getattr(v, "dtype", "") == "float32"]
    return (3 + 2 * len(slots)) * one.dtype.itemsize


def in_place(threads, way):
    """A function that changes one array per thread, in parallel."""
    arrays = [np.ones(SIZE, np.float32) for _ in range(threads)]
    if threads == 1:
        return lambda: way(arrays[0])
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(way, arrays))


def compare(threads, repeats, quick):
    """The rows for a number of threads."""
    ways = {name: in_place(threads, way) for name, way in WAYS.items()}
    best = min(ways, key=lambda name: min(seconds(ways[name]) for _ in range(6)))
    moved, rows, bandwidths = 2 * 4 * SIZE * threads, [], []
    w = dl.Tensor(np.ones(SIZE, np.float32), requires_grad=True)
    w.grad = np.random.default_rng(0).standard_normal(SIZE, np.float32)
    for name, (rule, options) in RULES.items():
        step = getattr(dl.optim, rule)([w], 1e-6, **options).step
        times = take_turns({"minidl": step, best: ways[best]}, repeats, quick, 0.03, 2)
        size, bandwidth = SIZE * bytes_moved(rule, options), moved / times[best]
        bandwidths += bandwidth.tolist()
        rows.append(row("roofline", name, "minidl", threads, times["minidl"], note=f"{size:,} B"))
        rows.append(row("roofline", name, "limit", threads, size / bandwidth))
    memory = row("roofline", "memory bandwidth", "in place", threads, bandwidths, "B/s", best)
    return [memory, *rows]


def measure(repeats, quick):
    """The rows of this part."""
    return in_children(compare, repeats, quick, THREADS[:1] if quick else THREADS)
