"""Names for the boxes of a walkthrough, from models, tensors and the variables that hold them."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl import nn
from minidl.tensor import Tensor

Call = tuple[int, nn.Module]  # a call of a module's forward, numbered


def give_names(
    held: list[tuple[Any, Any]],
    ops: list[Any],
    calls_of: list[tuple[Call, ...]],
    variables: dict[str, Any],
) -> None:
    """Name each box: by the path in its model, the tensor's own name, or the variable's.

    held       what was seen (tensors, arrays), and the box of each
    ops        with the calls of modules in which each ran, from the outermost
    variables  where the block stands
    """
    variables = {name: v for name, v in variables.items() if not name.startswith("_")}
    paths = _paths(held, calls_of, variables)
    alone = _place(ops, calls_of, paths)
    variable = {id(v): name for name, v in reversed(variables.items())}
    arrays = {name: v for name, v in variables.items() if isinstance(v, np.ndarray)}
    taken: set[str] = set()
    numbers: dict[str, Iterator[int]] = collections.defaultdict(lambda: itertools.count(2))
    first: dict[int, Any] = {}  # box of each tensor
    for x, box in held:
        own = x.name if isinstance(x, Tensor) else None
        name = paths.get(id(x)) or own or box.name
        if box.made_by:
            path, kind = box.made_by.path, box.made_by.function.__name__
            in_module = path if box.made_by in alone else f"{path}.{kind}"
            name = (in_module if path else own) or variable.get(id(x)) or kind
        elif box.gradient_of:
            name = f"{box.gradient_of.name}.grad"
        elif not name:
            role = "target" if {op.letters[i] for op, i in box.users} == {"t"} else box.kind
            alike = (n for n, array in arrays.items() if _agree(array, box.data))
            name = variable.get(id(x)) or next(alike, role)
        name = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or box.kind
        if isinstance(x, Tensor) and id(x) in paths:
            box.kind = "parameter"  # also where it is frozen
        earlier = first.setdefault(id(x), box) if isinstance(x, Tensor) else box
        if earlier is not box:
            name = f"{earlier.name} after update"
        updated = earlier is not box
        box.name = f"{name} 1" if updated else name
        while box.name in taken:
            again = next(numbers[name])
            box.name = f"{name} {again}" if updated else f"{name} ({again})"
        taken.add(box.name)
        box.base = earlier.name if isinstance(x, Tensor) and not box.made_by else name


def _place(ops: list[Any], calls_of: list[tuple[Call, ...]], paths: dict[int, str]) -> set[Any]:
    """Tell each op the path of its module; gives the ops that are alone in a call of one."""
    ops_in = collections.Counter(calls[-1:] for calls in calls_of)
    for op, calls in zip(ops, calls_of, strict=True):
        for _, module in calls[-1:]:  # the innermost
            op.path = paths.get(id(module)) or type(module).__name__.lower()
            if isinstance(module, nn.Dropout):
                for x in op.inputs:
                    if getattr(x, "kind", "") == "input":
                        x.name = f"{op.path}.mask"
    return {op for op, calls in zip(ops, calls_of, strict=True) if ops_in[calls[-1:]] == 1}


def _paths(
    held: list[tuple[Any, Any]], calls_of: list[tuple[Call, ...]], variables: dict[str, Any]
) -> dict[int, str]:
    """The path of each module and parameter in its model, by id.

    Before it stands the variable that holds the model, if there are several models.
    """
    outermost = {id(calls[0][1]): calls[0][1] for calls in calls_of if calls}
    used = {id(x) for x, _ in held if isinstance(x, Tensor)} | outermost.keys()
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
    """The ids and paths of a module and all that it is made of."""
    yield id(module), ""
    yield from ((id(member), path) for path, member in nn._walk(module, "", {id(module)}))


@np.errstate(all="ignore")
def _agree(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether an array has the same numbers, in whatever dtype."""
    return a.shape == b.shape and a.dtype.kind in "fiub" and np.array_equal(a.astype(b.dtype), b)
