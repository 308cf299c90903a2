"""Inputs and targets as arrays, checked; several inputs are a tuple or a dict of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import _operands


def as_array(owner: str, name: str, values: Any) -> np.ndarray:
    """The values as an array; a tensor's array and an array itself aren't copied."""
    if reason := _operands.refusal(values):
        raise TypeError(f"{owner}: {name} holds {reason}")
    try:
        array = _operands.array_of(values.numpy() if hasattr(values, "requires_grad") else values)
    except ValueError as error:
        raise ValueError(f"{owner}: {name} can't be converted to an array: {error}") from None
    if array.dtype.kind not in "fiub":
        advice = ""
        if hasattr(values, "toarray"):
            advice = ": a sparse matrix must be made dense, as in x.toarray()"
        elif array.size and isinstance(array.flat[0], str):
            if name in ("y", "labels", "target"):
                advice = ": np.unique(names, return_inverse=True)[1] makes labels of names"
            elif name.startswith("x"):
                advice = ": names[:, None] == kinds makes a column of 0 and 1 for each kind of name"
        elif array.dtype.kind == "O":
            advice = ": fill or drop missing values such as None first, then use x.astype(float)"
        raise TypeError(
            f"{owner}: {name} must hold numbers, got {type(values).__name__} with dtype "
            f"{array.dtype}{advice}"
        )
    if array.ndim == 0:
        raise ValueError(f"{owner}: {name} must hold samples along its first axis, got a number")
    return array


def as_input(owner: str, x: Any, n: int | None = None) -> Any:
    """An x as an array, or as a tuple or dict of arrays, all with equally many samples.

    Beside n targets, a tuple of n arrays of other lengths is one array, row by row.
    """
    own: Any
    several = isinstance(x, tuple) and all(getattr(a, "shape", ()) for a in x)
    rows = several and len(x) == n and any(len(a) != n for a in x)
    if isinstance(x, dict):
        own = {name: as_array(owner, f"x[{name!r}]", array) for name, array in x.items()}
    elif several and not rows:
        own = tuple(as_array(owner, f"x[{i}]", array) for i, array in enumerate(x))
    else:
        own = as_array(owner, "x", x)
    lengths = list(map(len, inputs(own)))
    if not lengths:
        raise ValueError(f"{owner}: x holds no arrays")
    if len(set(lengths)) > 1:
        raise ValueError(
            f"{owner}: the inputs in x have {', '.join(map(str, lengths))} samples; their first "
            "axes must have the same length"
        )
    return own


def as_pair(owner: str, x: Any, y: Any) -> tuple[Any, np.ndarray]:
    """x and y as arrays with the same number of samples, at least one."""
    target = as_array(owner, "y", y)
    own, m = as_input(owner, x, len(target)), len(target)
    n = samples(own)
    if n != m:
        given_rows = isinstance(x, tuple) and not isinstance(own, tuple)
        raise ValueError(
            f"{owner}: x has {n} samples but y has {m}; their first axes must have the same length"
            + ("; several inputs must be arrays, rather than lists" if given_rows else "")
        )
    if n == 0:
        raise ValueError(f"{owner}: x and y hold no samples")
    return own, target


def inputs(x: Any) -> tuple[Any, ...]:
    """The arrays of an x: of a tuple, of a dict, or itself."""
    return x if isinstance(x, tuple) else tuple(x.values()) if isinstance(x, dict) else (x,)


def samples(x: Any) -> int:
    """The number of samples of an x."""
    return len(inputs(x)[0])


def call(model: Any, x: Any) -> Any:
    """model(x); for several inputs model(*x) or model(**x)."""
    if isinstance(x, tuple):
        return model(*x)
    return model(**x) if isinstance(x, dict) else model(x)


def part(x: Any, rows: Any) -> Any:
    """These rows of an array, or of each array in a tuple or dict."""
    if isinstance(x, dict):
        return {name: array[rows] for name, array in x.items()}
    return tuple(array[rows] for array in x) if isinstance(x, tuple) else x[rows]
