"""Two recordings of a step: whether they have read the same, and in what they differ."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl._capture.arrays import SIMPLE, details
from minidl._capture.recording import Recording, source
from minidl._kernels.plan import offset, root


def signature(recording: Recording) -> dict[Any, Any]:
    """What the step has read, by name: equal for recordings that must agree."""
    read: dict[Any, Any] = {
        (name, id(container), str(key)): value if isinstance(value, SIMPLE) else id(value)
        for container, key, value, name in recording.guards
    }
    read |= {("gradient", id(p), ""): g is None for p, g in recording.before.items()}
    read["settings", 0, ""] = recording.settings
    batches = [(id(one.columns), one.indices) for one in recording.updates]  # of equal step counts
    read["the step counts of an optimizer", 0, ""] = batches
    learned = {id(p) for p in recording.leaves if p._requires_grad}
    return {**read, ("requires_grad of a parameter", 0, ""): learned}


def unsteady(before: dict[Any, Any], now: dict[Any, Any]) -> str:
    """The message for a step that reads something else each time that it is recorded."""
    name = next(key[0] for key, value in now.items() if before.get(key) != value)
    return (
        f"the step can't be captured, since it reads {name}, which is another one in each "
        "call. Give the step what changes as an argument: a number as np.float32(number), a "
        "decision as True or False."
    )


class _Operand(NamedTuple):
    """An input of a call, and where it comes from."""

    call: int
    origin: Any  # None for an array from elsewhere
    form: Any
    array: np.ndarray


def _operands(recording: Recording, other: Recording) -> list[_Operand]:
    """The inputs of all calls; the two recordings have some leaves in common."""
    origins: dict[int, Any] = {id(x): ("input", i) for i, x in enumerate(recording.inputs)}
    origins |= {id(x): ("gradient", i) for i, x in enumerate(recording.before.values())}
    common = recording.leaves.keys() & other.leaves.keys()
    origins |= {id(recording.leaves[p]): ("leaf", id(p)) for p in common} | recording.states
    found = []
    for i, note in enumerate(recording.notes):
        read = {id(root(x)) for x in note.inputs}
        for x in note.inputs:
            form = offset(x), x.shape, x.strides, x.dtype
            found.append(_Operand(i, origins.get(id(root(x))), form, x))
        for k, x in enumerate(note.outputs):
            if id(root(x)) not in read:
                origins.setdefault(id(root(x)), ("call", i, k))
    return found


def difference(first: Recording, second: Recording) -> str | None:
    """In what the second recording of a step differs from the first one."""
    for a, b in zip(first.notes, second.notes, strict=False):
        if (a.name, a.details) != (b.name, b.details):
            once, again = (n.name + str(n.details) * (a.name == b.name) for n in (a, b))
            return f"{source(b.where)} calls {again} after {once}"
        for x, y in zip(a.outputs, b.outputs, strict=True):
            if x.shape != y.shape:
                return (
                    f"{source(b.where)} gives an array of shape {y.shape} after {x.shape}, but "
                    "shapes must not depend on values; select by dl.where"
                )
    if first.count != second.count or details(first.template) != details(second.template):
        return f"it makes {first.count} calls once, and {second.count} the next time"
    written = {id(root(x)): note for note in second.notes for x in note.outputs}
    for x in second.inputs:
        if id(x) in written:
            return f"{source(written[id(x)].where)} writes into an argument; copy it first"
    operands = zip(_operands(first, second), _operands(second, first), strict=True)
    for one, other in operands:
        if what := _changed(one, other, written):
            note = second.notes[other.call]
            return f"{source(note.where)} gives {note.name} {what}"
    return None


def _changed(a: _Operand, b: _Operand, written: dict[int, Any]) -> str | None:
    if (a.origin, a.form) != (b.origin, b.form):
        return "another array than the first time"
    if a.origin is not None or root(a.array) is root(b.array):
        return None
    if id(root(b.array)) in written:
        return "an array that NumPy has made, and writes to it; use zeros_like"
    if np.array_equal(a.array, b.array, equal_nan=a.array.dtype.kind in "fc"):
        return None
    return "numbers from outside of the step that change"
