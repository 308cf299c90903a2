"""Softmax cross-entropy, forward and backward, on float32 logits and integer labels."""

import itertools

import numpy as np

import minidl as dl
from benchmarks.measure import THREADS, agree, in_child, in_children, row, skipped_rows, take_turns
from benchmarks.networks import missing_libraries, set_torch_threads

SHAPES = [(64, 10), (1024, 1000), (64, 50_000)]


def minidl_loss(logits, labels):
    """A step in minidl, as a user would write it."""
    tensor = dl.Tensor(logits, requires_grad=True)

    def step():
        tensor.zero_grad()
        loss = dl.losses.cross_entropy(tensor, labels)
        loss.backward()
        return loss.item()

    return step


def torch_loss(logits, labels):
    """The same in PyTorch."""
    import torch

    tensor, labels = torch.tensor(logits, requires_grad=True), torch.tensor(labels)

    def step():
        tensor.grad = None
        loss = torch.nn.functional.cross_entropy(tensor, labels)
        loss.backward()
        return loss.item()

    return step


def problem(examples, classes):
    """Logits and labels."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((examples, classes), np.float32)
    return logits, rng.integers(classes, size=examples)


LOSSES = {"minidl": minidl_loss, "PyTorch": torch_loss}


def available():
    """The libraries that are installed."""
    return [who for who in LOSSES if who not in missing_libraries()]


def alone(threads, who, shape, repeats, quick):
    """The times of one library in a process without the others."""
    if who == "PyTorch":
        set_torch_threads(threads)
    return take_turns({who: LOSSES[who](*problem(*shape))}, repeats, quick)[who]


def compare(threads, repeats, quick):
    """The rows for a number of threads, with all libraries in one process."""
    set_torch_threads(threads)
    missing = {who: why for who, why in missing_libraries().items() if who in LOSSES}
    rows = skipped_rows("losses", threads, missing)
    for shape in SHAPES:
        steps = {who: LOSSES[who](*problem(*shape)) for who in available()}
        times = take_turns(steps, repeats, quick)
        losses = {who: step() for who, step in steps.items()}
        agree(name(shape), losses)
        for who, values in times.items():
            note = f"loss {losses[who]:.5f}"
            rows.append(row("losses", name(shape), who, threads, values, note=note))
    return rows


def name(shape):
    """The name of a shape in the tables."""
    return "{:,} × {:,}".format(*shape)


def measure(repeats, quick):
    """The rows of this part: all libraries in one process, then each in its own."""
    counts = THREADS[:1] if quick else THREADS
    rows = in_children(compare, repeats, quick, counts)
    for threads, shape, who in itertools.product(counts, SHAPES, available()):
        times = in_child(threads, alone, threads, who, shape, repeats, quick)
        rows.append(row("losses", name(shape), f"{who} alone", threads, times))
    return rows
