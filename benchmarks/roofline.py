"""Every update rule against the machine: bytes that must be moved, at the speed of the memory.

The speed is that of changing float32 arrays in place, as fast as NumPy can, with one array and one
Python thread for each core; an entry that is changed counts as read and written.
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
    """Per weight: θ and each array of the rule's state are read and written, g is read."""
    one = dl.Tensor(np.ones(1, np.float32), requires_grad=True)
    state = getattr(dl.optim, rule)([one], **options).state_dict()["state"]
    slots = [v for s in state.values() for v in s.values() if getattr(v, "dtype", "") == "float32"]
    return (3 + 2 * len(slots)) * one.dtype.itemsize


def in_place(threads, way):
    """A function that changes one array for each thread, all at once."""
    arrays = [np.ones(SIZE, np.float32) for _ in range(threads)]
    if threads == 1:
        return lambda: way(arrays[0])
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(way, arrays))


def compare(threads, repeats, quick):
    """The rows on so many threads."""
    ways = {name: in_place(threads, way) for name, way in WAYS.items()}
    best = min(ways, key=lambda name: min(seconds(ways[name]) for _ in range(6)))
    moved, rows, speeds = 2 * 4 * SIZE * threads, [], []
    w = dl.Tensor(np.ones(SIZE, np.float32), requires_grad=True)
    w.grad = np.random.default_rng(0).standard_normal(SIZE, np.float32)
    for name, (rule, options) in RULES.items():
        step = getattr(dl.optim, rule)([w], 1e-6, **options).step
        times = take_turns({"minidl": step, best: ways[best]}, repeats, quick, 0.03, 2)
        size, unit = SIZE * bytes_moved(rule, options), moved / times[best]
        speeds += unit.tolist()
        rows.append(row("roofline", name, "minidl", threads, times["minidl"], note=f"{size:,} B"))
        rows.append(row("roofline", name, "limit", threads, size / unit))
    speed = row("roofline", "the memory's speed", "in place", threads, speeds, "B/s", best)
    return [speed, *rows]


def measure(repeats, quick):
    """The rows of the part."""
    return in_children(compare, repeats, quick, THREADS[:1] if quick else THREADS)
