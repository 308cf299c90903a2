"""Mini-batches of arrays, for training loops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl import _checks


class DataLoader:
    """Iterate over batches (x, y) of two arrays; each iteration is an epoch.

    x, y        arrays or lists of equal length, samples along the first axis; arrays may be
                read-only or memory-mapped
    batch_size  None: the whole set (gradient descent); 1: one sample (stochastic); m: mini-batches
    shuffle     draw a new random order for each epoch; if False, batches are views, in order
    drop_last   omit the last batch if it is smaller than the others
    rng         None, a seed or a numpy.random.Generator, for the order

    len() is the number of batches per epoch. The whole set as one batch is neither copied nor
    shuffled. Raises ValueError if the lengths differ, there are no samples, or batch_size < 1, and
    TypeError for data that aren't numbers or a batch_size that isn't a whole number.

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
        rng: int | np.random.Generator | None = None,
    ) -> None:
        self.x, self.y = _array("x", x), _array("y", y)
        if len(self.x) != len(self.y):
            raise ValueError(
                f"DataLoader: x has {len(self.x)} samples but y has {len(self.y)}; their first "
                "axes must have the same length"
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
                f"DataLoader: drop_last leaves no batch, since {len(self.x)} samples are fewer "
                f"than batch_size={batch_size}; use a smaller batch_size or drop_last=False"
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
            f"shuffle={self.shuffle})  # {len(self)} batches per epoch"
        )


def _array(name: str, values: Any) -> np.ndarray:
    """The values as an array; a tensor's array and an array itself aren't copied."""
    values = values.numpy() if hasattr(values, "requires_grad") else values
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"DataLoader: {name} can't be converted to an array: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"DataLoader: {name} must hold numbers, got {type(values).__name__} with dtype "
            f"{array.dtype}"
        )
    if array.ndim == 0:
        raise ValueError(f"DataLoader: {name} must hold samples along its first axis, got a number")
    return array
