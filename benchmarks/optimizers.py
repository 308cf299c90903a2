"""One optimizer step in minidl and in PyTorch, with constant gradients."""

import inspect

import numpy as np

import minidl as dl
from benchmarks.measure import THREADS, in_children, row, skipped_rows, take_turns
from benchmarks.networks import missing_libraries, set_torch_threads

SHAPES = {
    "353 weights in 6": [(3, 16), (16,), (16, 16), (16,), (16, 1), (1,)],
    "118,282 weights in 4": [(757, 154), (154,), (154, 10), (10,)],
    "20,000,000 weights in 1": [(20_000_000,)],
}
OTHERS = {  # with their names in PyTorch
    "RMSprop": "RMSprop",
    "Adadelta": "Adadelta",
    "Nadam": "NAdam",
    "Adamax": "Adamax",
    "RAdam": "RAdam",
}


def gradients(shapes):
    """Random gradients of these shapes."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def minidl_rule(rule, shapes, **options):
    """The step of a rule on weights of these shapes."""
    weights = [dl.Tensor(np.ones(shape, np.float32), requires_grad=True) for shape in shapes]
    for w, g in zip(weights, gradients(shapes), strict=True):
        w.grad = g
    return getattr(dl.optim, rule)(weights, **options).step


def torch_rules(rule, shapes):
    """{implementation: step} of PyTorch's implementations; for Adam only the fused one."""
    import torch

    make, steps = getattr(torch.optim, rule), {}
    for way in ("fused",) if rule == "Adam" else ("foreach", "fused", "for-loop"):
        weights = [torch.ones(shape, requires_grad=True) for shape in shapes]
        for w, g in zip(weights, gradients(shapes), strict=True):
            w.grad = torch.tensor(g)
        name = "foreach" if way == "for-loop" else way
        if name in inspect.signature(make).parameters:
            steps[way] = make(weights, **{name: way != "for-loop"}).step
    return steps


def compare(threads, repeats, quick):
    """The rows for a number of threads."""
    cases = [("Adam", "Adam", size) for size in SHAPES]
    cases += [(rule, theirs, "118,282 weights in 4") for rule, theirs in OTHERS.items()]
    set_torch_threads(threads)
    missing = {who: why for who, why in missing_libraries().items() if who == "PyTorch"}
    rows = skipped_rows("optimizers", threads, missing)
    for rule, theirs, size in cases:
        task, shapes = f"{rule}, {size}", SHAPES[size]
        steps = {} if missing else torch_rules(theirs, shapes)
        times = take_turns({"minidl": minidl_rule(rule, shapes), **steps}, repeats, quick, 0.02)
        rows.append(row("optimizers", task, "minidl", threads, times["minidl"]))
        if steps:
            best = min(steps, key=lambda way: np.median(times[way]))
            rows.append(row("optimizers", task, "PyTorch", threads, times[best], note=best))
    return rows


def measure(repeats, quick):
    """The rows of this part."""
    return in_children(compare, repeats, quick, THREADS[:1] if quick else THREADS)
