"""Name the values of a record by the model, the tensors and the user's variables; for `trace`."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minidl import nn
from minidl._format import number
from minidl.tensor import Tensor
from minidl.walkthrough.record import OpCall, Value

ModuleCall = tuple[int, nn.Module]  # one call of a module's forward: its number, the module


def give_names(
    seen: Sequence[tuple[Any, Value]],
    ops: Sequence[OpCall],
    module_calls: Sequence[tuple[ModuleCall, ...]],
    variables: Mapping[str, Any],
) -> None:
    """Name each value: by the path in its model, the tensor's own name, or its variable.

    seen          the tensors and arrays that were recorded, with their values
    ops           the op calls
    module_calls  for each op call the calls of modules in which it ran, from the outermost
    variables     of the scope of the `with` block
    """
    variables = {name: v for name, v in variables.items() if not name.startswith("_")}
    paths = _paths(seen, module_calls, variables)
    alone = _set_paths(ops, module_calls, paths)
    variable_of = {id(v): name for name, v in reversed(variables.items())}
    arrays = {name: v for name, v in variables.items() if isinstance(v, np.ndarray)}
    taken: set[str] = set()
    counts: dict[str, Iterator[int]] = collections.defaultdict(lambda: itertools.count(2))
    first: dict[int, Value] = {}  # the first value of each tensor, by its id
    for x, value in seen:
        own = x.name if isinstance(x, Tensor) else None
        name = paths.get(id(x)) or own or value.name
        if value.producer:
            path, op = value.producer.path, value.producer.name
            in_module = path if value.producer in alone else f"{path}.{op}"
            name = (in_module if path else own) or variable_of.get(id(x)) or op
        elif value.gradient_of:
            name = f"{value.gradient_of.base_name}.grad"
            if value.factor != 1:
                name = f"{number(value.factor).shown} * {name}"
        elif not name:
            symbols = {op.input_names[i] for op, i in value.users}
            is_target = symbols == {"t"} or bool(value.label_of and not symbols)
            equal = (n for n, array in arrays.items() if _equal(array, value.data))
            role = "target" if is_target else value.kind
            name = variable_of.get(id(x)) or next(equal, role)
        name = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or value.kind
        if isinstance(x, Tensor) and id(x) in paths:
            value.kind = "parameter"  # also if it is frozen
        earliest = first.setdefault(id(x), value) if isinstance(x, Tensor) else value
        updated = earliest is not value
        if updated:
            name = f"{earliest.name} after update"
        value.name = f"{name} 1" if updated else name
        while value.name in taken:
            count = next(counts[name])
            value.name = f"{name} {count}" if updated else f"{name} ({count})"
        taken.add(value.name)
        value.base_name = earliest.name if isinstance(x, Tensor) and not value.producer else name


def _set_paths(
    ops: Sequence[OpCall],
    module_calls: Sequence[tuple[ModuleCall, ...]],
    paths: Mapping[int, str],
) -> set[OpCall]:
    """Set the module path of each op; return the ops that are alone in a call of a module."""
    ops_in = collections.Counter(calls[-1:] for calls in module_calls)
    for op, calls in zip(ops, module_calls, strict=True):
        for _, module in calls[-1:]:  # the innermost
            op.path = paths.get(id(module)) or type(module).__name__.lower()
            if isinstance(module, nn.Dropout):
                for x in op.inputs:
                    if isinstance(x, Value) and x.kind == "input":
                        x.name = f"{op.path}.mask"
    return {op for op, calls in zip(ops, module_calls, strict=True) if ops_in[calls[-1:]] == 1}


def _paths(
    seen: Sequence[tuple[Any, Value]],
    module_calls: Sequence[tuple[ModuleCall, ...]],
    variables: Mapping[str, Any],
) -> dict[int, str]:
    """The path of each module and parameter in its model, by id.

    If there are several models, a path starts with the variable that holds the model.
    """
    outermost = {id(calls[0][1]): calls[0][1] for calls in module_calls if calls}
    used = {id(x) for x, _ in seen if isinstance(x, Tensor)} | outermost.keys()
    models = {
        id(m): (f"{name}.{i}", m)
        for name, v in variables.items()
        if isinstance(v, list | tuple) and name not in ("In", "Out")
        for i, m in enumerate(v)
        if isinstance(m, nn.Module)
    }
    for name, model in variables.items():
        if isinstance(model, nn.Module):
            models.setdefault(id(model), (name, model))
    for module in outermost.values():
        models.setdefault(id(module), (type(module).__name__.lower(), module))
    members = {key: dict(_members(model)) for key, (_, model) in models.items()}
    inside = {part for key, parts in members.items() for part in parts if part != key}
    roots = [key for key in models if key not in inside and used & members[key].keys()]
    paths: dict[int, str] = {}
    for key in roots:
        name, _ = models[key]
        for part, path in members[key].items():
            full = f"{name}.{path}" if len(roots) > 1 and path else path or name
            paths.setdefault(part, full)
    return paths


def _members(module: nn.Module) -> Iterator[tuple[int, str]]:
    """The ids and paths of a module and everything in it."""
    yield id(module), ""
    yield from ((id(member), path) for path, member in nn.named_members(module))


@np.errstate(all="ignore")
def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers, in any dtype."""
    return a.shape == b.shape and a.dtype.kind in "fiub" and np.array_equal(a.astype(b.dtype), b)


def network_text(module: nn.Module) -> str:
    """What a network is, in a few words: "MLP 2 → 2 → 1, tanh", or the name of its class."""
    layers = [module, *(member for _, member in nn.named_members(module))]
    shapes = [layer.weight.shape for layer in layers if isinstance(layer, nn.Dense)]
    ends = [end for _, end in shapes]
    words = [type(module).__name__]
    if shapes and [start for start, _ in shapes[1:]] == ends[:-1]:  # one after the other
        words[0] += f" {' → '.join(map(str, [shapes[0][0], *ends]))}"
    kinds = {kind: name for name, kind in nn.ACTIVATIONS.items()}
    words += dict.fromkeys(kinds[type(layer)] for layer in layers if type(layer) in kinds)
    return ", ".join(words)
