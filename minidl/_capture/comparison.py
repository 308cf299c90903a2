"""Two recordings of a step: whether they have read the same, and in what they differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._capture.arrays import SIMPLE, details
from minidl._capture.recording import Recording, source
from minidl._kernels.plan import operands, root


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


def _origins(recording: Recording, other: Recording) -> dict[int, Any]:
    """Where arrays come from, by id; the two recordings have some leaves in common."""
    origins: dict[int, Any] = {id(x): ("input", i) for i, x in enumerate(recording.inputs)}
    origins |= {id(x): ("gradient", i) for i, x in enumerate(recording.before.values())}
    common = recording.leaves.keys() & other.leaves.keys()
    return origins | {id(recording.leaves[p]): ("leaf", id(p)) for p in common} | recording.states


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
    one = operands(first.notes, _origins(first, second))
    other = operands(second.notes, _origins(second, first))
    for (_, origin, form, owner, x), (call, *now, owner_now, y) in zip(one, other, strict=True):
        what = None
        if [origin, form] != now:
            what = "another array than the first time"
        elif origin is None and owner is not owner_now:
            what = _changed(x, y, id(owner_now) in written)
        if what:
            note = second.notes[call]
            return f"{source(note.where)} gives {note.name} {what}"
    return None


def _changed(x: np.ndarray, y: np.ndarray, written: bool) -> str | None:
    """What is wrong with an array from elsewhere that was another one the first time."""
    if written:
        return "an array that NumPy has made, and writes to it; use zeros_like"
    if np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"):
        return None
    return "numbers from outside of the step that change"
