"""The batches that fit and evaluate take from their data: a loader, a pair or an iterable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

from minidl.data.arrays import as_pair
from minidl.data.loader import DataLoader
from minidl.data.weights import as_weights
from minidl.tensor import Tensor


class OneShotError(TypeError, ValueError):
    """An iterator, which serves one epoch, was given for several."""


class Batches:
    """The batches (x, y) or (x, y, weight) of an iterable, each checked as it comes.

    Made by `as_batches`. Lists and tuples become arrays, tensors stay tensors; an x may be a tuple
    or a dict of them. Iterating raises TypeError for a batch that is no pair, and ValueError if
    there is no batch or a batch without samples.
    """

    def __init__(self, owner: str, source: Iterable[Any]) -> None:
        self.owner, self.source = owner, source
        if isinstance(source, list | tuple):
            self.source = list(self)  # any error is raised now

    def __len__(self) -> int:
        if not isinstance(self.source, Sized):
            raise TypeError(f"{self.owner}: this iterable doesn't say how many batches it has")
        return len(self.source)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        number = 0
        for number, batch in enumerate(self.source, 1):
            where = f"{self.owner}: batch {number}"
            if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
                raise TypeError(
                    f"{where} must be a pair (x, y), or (x, y, weight), got {_kind(batch)}"
                )
            given_x, given_y, *weight = batch
            x, y = as_pair(where, given_x, given_y)
            weights = [as_weights(where, w, len(y)) for w in weight if w is not None]
            yield _tensors(given_x, x), _tensors(given_y, y), *weights
        if not number:
            raise ValueError(
                f"{self.owner} has no batches. If it had some before: an iterable must begin anew "
                "each time, as a list or a DataLoader does"
            )

    def _in_order(self) -> Iterator[tuple[Any, ...]]:
        """The batches, as for a DataLoader."""
        return iter(self)


def _tensors(given: Any, array: Any) -> Any:
    """What was given where it is a tensor, else the array."""
    if isinstance(array, tuple):
        return tuple(map(_tensors, given, array))
    if isinstance(array, dict):
        return {name: _tensors(given[name], x) for name, x in array.items()}
    return given if isinstance(given, Tensor) else array


def as_batches(owner: str, data: Any, epochs: int = 1) -> DataLoader | Batches:
    """The batches of what fit and evaluate take: a loader, a pair (x, y), or an iterable of pairs.

    A tuple of two is a pair, a list of two tuples are two batches, any other list of two is a
    pair. TypeError where that is unclear and for anything else; OneShotError for an iterator if
    there are several epochs, before a batch is taken from it.
    """
    if isinstance(data, DataLoader | Batches):
        return data
    if isinstance(data, tuple | list) and len(data) == 2 and not _are_batches(owner, data):
        try:
            return DataLoader(*data)
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace("DataLoader", owner, 1)) from None
    if isinstance(data, tuple) and len(data) == 3 and not any(map(_is_batch, data[1:])):
        raise TypeError(
            f"{owner} must be a pair (x, y), got a tuple of 3; for sample weights give "
            "DataLoader(x, y, sample_weight=weight), or a list of batches (x, y, weight)"
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
    return all(getattr(x, "ndim", hasattr(x, "__len__")) for x in item)


def _kind(values: Any) -> str:
    """What was given, for a message."""
    name = type(values).__name__
    if isinstance(values, tuple | list):
        return f"a {name} of {len(values)}"
    return f"{name} of shape {values.shape}" if hasattr(values, "shape") else name
