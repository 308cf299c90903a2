"""Checks of arguments that several figures share, with the messages of their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import _checks
from minidl.tensor import Tensor


def pair(
    owner: str, name: str, value: Any, expected: str = "two numbers", limit: float = 1e6
) -> tuple[float, float]:
    """Two numbers from −limit to limit.

    owner, name  the function and its argument, for the message
    expected     what the argument must be, for the message

    >>> from minidl.viz.figures import _arguments
    >>> _arguments.pair("figure", "start", [1, 2])
    (1.0, 2.0)
    """
    message = f"{owner}: {name} must be {expected}, got {value!r}"
    if not isinstance(value, tuple | list | np.ndarray):
        raise TypeError(message)
    if len(value) != 2:
        raise ValueError(message)
    first, second = (
        _checks.number(owner, f"{name}[{i}]", x, -limit, limit) for i, x in enumerate(value)
    )
    return first, second


def interval(owner: str, name: str, value: Any) -> tuple[float, float]:
    """Two numbers, the first below the second."""
    expected = "two numbers (low, high), low < high"
    low, high = pair(owner, name, value, expected, 1e9)
    if not low < high:
        raise ValueError(f"{owner}: {name} must be {expected}, got {value!r}")
    return low, high


def evaluate(owner: str, f: Callable[..., Any], *arguments: Tensor) -> Tensor:
    """f of tensors that have the same shape; TypeError if f is not element-wise."""
    shape = arguments[0].shape
    try:
        value = f(*arguments)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{owner}: f must take Tensors of any shape, element by element (dl.where in place of "
            f"if); with shape {shape} it raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(value, Tensor):
        raise TypeError(f"{owner}: f must return a Tensor, got {value!r} ({type(value).__name__})")
    if value.shape != shape:
        raise TypeError(
            f"{owner}: f must return a Tensor of its arguments' shape {shape}, element by element; "
            f"got shape {value.shape}"
        )
    return value
