"""Mini-batches of arrays, for training loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np

from minidl import _checks, _operands
from minidl.tensor import Tensor


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
    TypeError for data that aren't numbers (masked and sparse arrays, missing values) or a
    batch_size that isn't a whole number.

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
        self.x, self.y = _pair("DataLoader", x, y)
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

    def order(self) -> np.ndarray | None:
        """The order of the samples in the next epoch; None if they are not shuffled."""
        n = len(self.x)
        shuffled = self.shuffle and (self.batch_size or n) < n
        return self.rng.permutation(n) if shuffled else None

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        size, order = self.batch_size or len(self.x), self.order()
        for start in range(0, len(self) * size, size):
            part = slice(start, start + size)
            chosen = part if order is None else order[part]
            yield self.x[chosen], self.y[chosen]

    def __repr__(self) -> str:
        return (
            f"DataLoader(x {self.x.shape}, y {self.y.shape}, batch_size={self.batch_size}, "
            f"shuffle={self.shuffle})  # {len(self)} batches per epoch"
        )


class OneShotError(TypeError, ValueError):
    """An iterator, which serves one epoch, was given for several."""


class Batches:
    """The batches (x, y) of an iterable, each checked as it comes; made by `as_batches`.

    Lists and tuples become arrays, tensors stay tensors. Iterating raises TypeError for a batch
    that is no pair, and ValueError if there is no batch or a batch without samples.
    """

    def __init__(self, owner: str, source: Iterable[Any]) -> None:
        self.owner, self.source = owner, source
        if isinstance(source, list | tuple):
            self.source = list(self)  # any error is raised now

    def __len__(self) -> int:
        if not isinstance(self.source, Sized):
            raise TypeError(f"{self.owner}: this iterable doesn't say how many batches it has")
        return len(self.source)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        number = 0
        for number, batch in enumerate(self.source, 1):
            where = f"{self.owner}: batch {number}"
            if not isinstance(batch, tuple | list) or len(batch) != 2:
                weights = " (sample weights are not supported)" if _length(batch) == 3 else ""
                raise TypeError(f"{where} must be a pair (x, y), got {_kind(batch)}{weights}")
            x, y = _pair(where, *batch)
            given_x, given_y = batch
            yield (
                given_x if isinstance(given_x, Tensor) else x,
                given_y if isinstance(given_y, Tensor) else y,
            )
        if not number:
            raise ValueError(
                f"{self.owner} has no batches. If it had some before: an iterable must begin anew "
                "each time, as a list or a DataLoader does"
            )


def as_batches(owner: str, data: Any, epochs: int = 1) -> DataLoader | Batches:
    """The batches of what fit and evaluate take: a loader, a pair (x, y), or an iterable of pairs.

    A tuple of two is a pair, a list of two tuples are two batches, any other list of two is a
    pair. TypeError where that is unclear and for anything else; OneShotError for an iterator if
    there are several epochs, before a batch is taken from it.
    """
    if isinstance(data, DataLoader | Batches):
        return data
    if isinstance(data, tuple | list) and len(data) == 2 and not _are_batches(owner, data):
        return DataLoader(*data)
    if isinstance(data, tuple) and len(data) == 3 and not any(map(_is_batch, data)):
        raise TypeError(
            f"{owner} must be a pair (x, y), got a tuple of 3; sample weights are not supported"
        )
    other = isinstance(data, str | bytes | dict | set | type) or hasattr(data, "shape")
    if other or not isinstance(data, Iterable):
        raise TypeError(
            f"{owner} must be a DataLoader or a pair (x, y), or an iterable of such pairs, one for "
            f"each batch, got {_kind(data)}"
        )
    if isinstance(data, Iterator) and epochs > 1:
        raise OneShotError(
            f"{owner} is a one-shot iterator ({type(data).__name__}), which serves one epoch, not "
            f"{epochs}. Give a list of batches, a DataLoader, or an object whose __iter__ begins "
            "anew each time."
        )
    return Batches(owner, data)


def _are_batches(owner: str, data: Any) -> bool:
    """Whether two items are two batches rather than x and y; TypeError if that is unclear."""
    if not all(map(_is_batch, data)):
        return False
    if isinstance(data, list) and all(isinstance(item, tuple) for item in data):
        return True
    if any(hasattr(part, "shape") for item in data for part in item):
        raise TypeError(
            f"{owner}: two pairs of arrays may be two batches, or x and y. Give batches as a list "
            "of tuples, [(x1, y1), (x2, y2)], and x and y as arrays, (np.stack(x), np.stack(y))"
        )
    return False


def _is_batch(item: Any) -> bool:
    """Whether an item looks like a batch: a tuple or list of two or three arrays or lists."""
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        return False
    return all(getattr(part, "ndim", hasattr(part, "__len__")) for part in item)


def _length(values: Any) -> int | None:
    return len(values) if isinstance(values, tuple | list) else None


def _kind(values: Any) -> str:
    """What was given, for a message."""
    name = type(values).__name__
    if (length := _length(values)) is not None:
        return f"a {name} of {length}"
    return f"{name} of shape {values.shape}" if hasattr(values, "shape") else name


def _pair(owner: str, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """x and y as arrays with the same number of samples, at least one."""
    arrays = _array(owner, "x", x), _array(owner, "y", y)
    n, m = map(len, arrays)
    if n != m:
        raise ValueError(
            f"{owner}: x has {n} samples but y has {m}; their first axes must have the same length"
        )
    if n == 0:
        raise ValueError(f"{owner}: x and y hold no samples")
    return arrays


def _array(owner: str, name: str, values: Any) -> np.ndarray:
    """The values as an array; a tensor's array and an array itself aren't copied."""
    values = values.numpy() if hasattr(values, "requires_grad") else values
    if advice := _operands.missing(values):
        raise TypeError(f"{owner}: {name} holds {advice}")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{owner}: {name} can't be converted to an array: {error}") from None
    if array.dtype.kind not in "fiub":
        advice = ""
        if hasattr(values, "toarray"):
            advice = ": a sparse matrix must be made dense, as in x.toarray()"
        elif array.dtype.kind == "O":
            advice = ": fill or drop missing values such as None first, then use x.astype(float)"
        raise TypeError(
            f"{owner}: {name} must hold numbers, got {type(values).__name__} with dtype "
            f"{array.dtype}{advice}"
        )
    if array.ndim == 0:
        raise ValueError(f"{owner}: {name} must hold samples along its first axis, got a number")
    return array
