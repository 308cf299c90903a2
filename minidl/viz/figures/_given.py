"""What pictures are given: checks, the words in which they fail, and copies to work with."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np

from minidl import _checks
from minidl.schedulers import ReduceOnPlateau, plateaus
from minidl.tensor import Tensor


def pair(
    owner: str, name: str, value: Any, words: str = "two numbers", bound: float = 1e6
) -> tuple[float, float]:
    """Two numbers from −bound to bound; `words` is what they are called.

    >>> from minidl.viz.figures import _given
    >>> _given.pair("picture", "start", [1, 2])
    (1.0, 2.0)
    """
    expected = f"{owner}: {name} must be {words}, got {value!r}"
    if not isinstance(value, tuple | list | np.ndarray):
        raise TypeError(expected)
    if len(value) != 2:
        raise ValueError(expected)
    first, second = (
        _checks.number(owner, f"{name}[{i}]", x, -bound, bound) for i, x in enumerate(value)
    )
    return first, second


def interval(owner: str, name: str, value: Any) -> tuple[float, float]:
    """Two numbers, the first below the second."""
    words = "two numbers (low, high), low < high"
    low, high = pair(owner, name, value, words, 1e9)
    if not low < high:
        raise ValueError(f"{owner}: {name} must be {words}, got {value!r}")
    return low, high


def entries(owner: str, f: Any, *places: Tensor) -> Tensor:
    """f at places of one shape, after a check that it goes entry by entry."""
    shape = places[0].shape
    try:
        value = f(*places)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{owner}: f must take Tensors of any shape, entry by entry (dl.where in place of if); "
            f"given shape {shape}, it raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(value, Tensor):
        raise TypeError(f"{owner}: f must give a Tensor, got {value!r} ({type(value).__name__})")
    if value.shape != shape:
        raise TypeError(
            f"{owner}: f must give a Tensor of its arguments' shape {shape}, entry by entry; it "
            f"gave one of shape {value.shape}"
        )
    return value


def anew(schedule: Any) -> tuple[Any, list[ReduceOnPlateau]]:
    """A copy of a schedule whose plateaus remember nothing, and these."""
    copied = copy.deepcopy(schedule)
    watching = list(plateaus(copied))
    for plateau in watching:
        plateau.memory.update(dataclasses.replace(plateau).memory)
    return copied, watching
