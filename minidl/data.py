"""Arrays to mini-batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl import _checks


class DataLoader:
    """Batches (x, y) of two arrays, in a new order each time it is iterated.

    x, y        arrays or lists of one length, sample first; read-only and memory-mapped ones too
    batch_size  None: the whole set (gradient descent); 1: one sample (stochastic); m: mini-batches
    shuffle     a new random order each epoch; without it the batches are views, in order
    drop_last   leave out a last batch that is smaller than the others
    rng         None, a seed or a numpy.random.Generator: where the order comes from

    len() is the number of batches an epoch. The whole set as one batch is never copied or
    shuffled. ValueError for lengths that differ, no samples, or a batch size below 1; TypeError
    for one that is no whole number.

    >>> loader = dl.data.DataLoader(np.arange(5.0), np.arange(5), batch_size=2, shuffle=False)
    >>> [y.tolist() for x, y in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        batch_size: int | None = None,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        rng: Any = None,
    ) -> None:
        self.x, self.y = _array("x", x), _array("y", y)
        if len(self.x) != len(self.y):
            raise ValueError(
                f"DataLoader: x has {len(self.x)} samples but y has {len(self.y)}; their first "
                "axes must be of one length"
            )
        if len(self.x) == 0:
            raise ValueError("DataLoader: x and y hold no samples")
        if batch_size is not None:
            batch_size = _checks.count("DataLoader", "batch_size", batch_size)
        self.batch_size = batch_size
        self.shuffle = _checks.flag("DataLoader", "shuffle", shuffle)
        self.drop_last = _checks.flag("DataLoader", "drop_last", drop_last)
        self.rng = np.random.default_rng(rng)
        if len(self) == 0:
            raise ValueError(
                f"DataLoader: drop_last leaves no batch, for {len(self.x)} samples make less than "
                f"one of {batch_size}"
            )

    def __len__(self) -> int:
        size, n = self.batch_size or len(self.x), len(self.x)
        return n // size if self.drop_last else -(-n // size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        size, n = self.batch_size or len(self.x), len(self.x)
        order = self.rng.permutation(n) if self.shuffle and size < n else None
        for start in range(0, len(self) * size, size):
            part = slice(start, start + size)
            chosen = part if order is None else order[part]
            yield self.x[chosen], self.y[chosen]

    def __repr__(self) -> str:
        return (
            f"DataLoader(x {self.x.shape}, y {self.y.shape}, batch_size={self.batch_size}, "
            f"shuffle={self.shuffle})  # {len(self)} batches an epoch"
        )


def _array(name: str, values: Any) -> np.ndarray:
    """A tensor's data, or an array, without a copy where it is one."""
    values = values.numpy() if hasattr(values, "requires_grad") else values
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"DataLoader: {name} can't be made an array: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"DataLoader: {name} must hold numbers, got {type(values).__name__} with dtype "
            f"{array.dtype}"
        )
    if array.ndim == 0:
        raise ValueError(f"DataLoader: {name} must hold samples along its first axis, got a number")
    return array
