"""DataLoader: arrays in mini-batches, and the place in an epoch."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minidl import _checks
from minidl._kernels import atomic
from minidl.data.arrays import as_pair, inputs, part
from minidl.data.weights import as_weights


class _Place:
    """Where a loader is in its epoch; the parts of a loader share one.

    start      the generator's state at the start of the epoch; None if nothing was shuffled
    taken      the number of batches that were given out
    trained    the number of samples of the epoch: all, or those that are left for training
    continues  whether the next iteration continues the epoch, whose place was loaded
    """

    def __init__(self) -> None:
        self.start: Any = None
        self.trained: int | None = None
        self.taken, self.continues = 0, False


class DataLoader:
    """Iterate over batches (x, y) of arrays; each iteration is an epoch.

    x, y           arrays or lists of equal length, samples along the first axis; arrays may be
                   read-only or memory-mapped. x may be a tuple or a dict of arrays, for a model
                   with several inputs; so is then the x of each batch
    batch_size     None: the whole set (gradient descent); 1: one sample (stochastic); m:
                   mini-batches
    shuffle        draw a new random order for each epoch; if False, batches are views, in order
    drop_last      omit the last batch if it is smaller than the others
    rng            None, a seed or a numpy.random.Generator, for the order
    sample_weight  None, or a weight ≥ 0 for each sample; batches are then (x, y, weight)

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
        sample_weight: Any = None,
    ) -> None:
        self.x, self.y = as_pair("DataLoader", x, y)
        self.sample_weight = as_weights("DataLoader", sample_weight, len(self.y))
        if batch_size is not None:
            batch_size = _checks.count("DataLoader", "batch_size", batch_size)
        self.batch_size = batch_size
        self.shuffle = _checks.flag("DataLoader", "shuffle", shuffle)
        self.drop_last = _checks.flag("DataLoader", "drop_last", drop_last)
        self.rng = _checks.generator("DataLoader", rng)
        self._place, self._samples = _Place(), len(self.y)  # those of the whole, for a part of it
        if len(self) == 0:
            raise ValueError(
                f"DataLoader: drop_last leaves no batch, since {len(self.y)} samples are fewer "
                f"than batch_size={batch_size}; use a smaller batch_size or drop_last=False"
            )

    def __len__(self) -> int:
        n = len(self.y)
        size = self.batch_size or n
        return n // size if self.drop_last else -(-n // size)

    def _arrays(self) -> tuple[Any, ...]:
        """(x, y), or (x, y, sample_weight)."""
        weighted = self.sample_weight is not None
        return (self.x, self.y, self.sample_weight) if weighted else (self.x, self.y)

    @property
    def _taken(self) -> int:
        """The number of batches that were taken in the running or last epoch."""
        return self._place.taken

    @_taken.setter
    def _taken(self, number: int) -> None:
        self._place.taken = number

    def _begin(self) -> tuple[np.ndarray | None, int]:
        """Begin an epoch, or continue the one whose place was loaded.

        Returns the order of the samples, None if they are not shuffled, and the number of batches
        that are done, whatever another thread takes.
        """
        n, place = len(self.y), self._place
        shuffled = self.shuffle and (self.batch_size or n) < n
        known = (place.start is not None) == shuffled  # not in a state before the first epoch
        if place.continues and place.taken < len(self) and known:
            taken = place.taken
            place.continues = False
            if not shuffled:
                return None, taken
            return self._shuffled(place.start)[0], taken
        values = {"taken": 0, "continues": False, "trained": n}
        begun: list[tuple[Any, Any, Any]] = [(place, name, x) for name, x in values.items()]
        if not shuffled:
            atomic.assign([(place, "start", None), *begun])
            return None, 0
        start = self.rng.bit_generator.state
        if type(self.rng) is np.random.Generator:
            order, after = self._shuffled(start)
            begun.append((self.rng.bit_generator, "state", after))
        else:  # a subclass may draw in its own way
            order = self.rng.permutation(n)
        atomic.assign([(place, "start", start), *begun])
        return order, 0

    def _shuffled(self, state: Any) -> tuple[np.ndarray, Any]:
        """The order that a generator in this state draws, and its state afterwards."""
        if type(self.rng) is np.random.Generator:
            drawn = np.random.Generator(type(self.rng.bit_generator)(0))
        else:
            drawn = self.rng
        drawn.bit_generator.state = state
        return drawn.permutation(len(self.y)), drawn.bit_generator.state

    def _check_resumable(self, owner: str, taken: int) -> None:
        """ValueError unless an epoch of which so many batches are done can be continued."""
        place, n = self._place, len(self.y)
        if not self.shuffle or (self.batch_size or n) >= n:  # in order, which needs no state
            place.start, place.taken, place.continues = None, taken, True
        elif not place.continues:
            raise ValueError(
                f"{owner}: the DataLoader shuffles, and its state was not loaded; save and load "
                "it, too: dl.save(..., data=loader), dl.load(..., data=loader)"
            )
        elif place.taken % len(self) != taken % len(self):
            raise ValueError(
                f"{owner}: the DataLoader was saved after {place.taken} batches of an epoch, which "
                f"now has {len(self)}, and the history after {taken}; give validation as it was, "
                "and load both from one file"
            )

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        (order, taken), place = self._begin(), self._place
        for number in range(taken, len(self)):
            place.taken = number + 1
            yield self._batch(number, order)

    def _rest(self, taken: int) -> Iterator[tuple[Any, ...]]:
        """The batches that are left of an epoch, of which so many were taken.

        The `__iter__` of a subclass that begins anew is skipped so far; if the loader shuffles, its
        order may be another one now, which is a ValueError.
        """
        batches = iter(self)
        if taken and type(self).__iter__ is not DataLoader.__iter__:
            first = list(itertools.islice(batches, 1))
            if not self._place.continues:  # it has called that of DataLoader
                return itertools.chain(first, batches)
            if self.shuffle:
                raise ValueError(
                    f"fit: the __iter__ of {type(self).__name__} doesn't continue an epoch, since "
                    "it doesn't take its batches from super().__iter__(); let it do so, or resume "
                    "after a whole epoch"
                )
            self._place.continues = False
            return itertools.islice(batches, taken - 1, None)
        return batches

    def _in_order(self) -> Iterator[tuple[Any, ...]]:
        """The batches in the order of the data; draws no random numbers, and begins no epoch."""
        if type(self).__iter__ is not DataLoader.__iter__:  # a subclass may change batches
            return iter(self)
        return (self._batch(number, None) for number in range(len(self)))

    def _batch(self, number: int, order: np.ndarray | None) -> tuple[Any, ...]:
        rows = self._rows(number, order)
        return tuple(part(array, rows) for array in self._arrays())

    def _rows(self, number: int, order: np.ndarray | None) -> Any:
        """The rows of a batch: a slice, or their numbers in the order."""
        size = self.batch_size or len(self.y)
        rows = slice(number * size, min((number + 1) * size, len(self.y)))
        return rows if order is None else order[rows]

    def _part(self, rows: np.ndarray) -> DataLoader:
        """A loader of these samples, which shares the generator and the place with this one."""
        x, y, *weight = (part(array, rows) for array in self._arrays())
        loader = DataLoader(
            *(x, y, self.batch_size),
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            rng=self.rng,
            sample_weight=weight[0] if weight else None,
        )
        loader._place, loader._samples = self._place, self._samples
        return loader

    def _held_out(self, rows: np.ndarray) -> DataLoader:
        """A loader of these samples in order, for validation."""
        x, y, *weight = (part(array, rows) for array in self._arrays())
        weights = weight[0] if weight else None
        return DataLoader(x, y, self.batch_size, shuffle=False, sample_weight=weights)

    def state_dict(self) -> dict[str, Any]:
        """The generator's state and the place in the epoch, and what must be equal to load them."""
        place = self._place
        state = {name: getattr(self, name) for name in ("batch_size", "shuffle", "drop_last")}
        state |= {"samples": self._samples, "rng": self.rng.bit_generator.state}
        start = copy.deepcopy(place.start)
        return {**state, "start": start, "taken": place.taken, "trained": place.trained}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state: the next iteration continues the epoch at the batch after the last one.

        ValueError, without any change, for another number of samples, batch_size, shuffle,
        drop_last or kind of generator, and for a damaged state; TypeError for what is none.
        """
        atomic.assign(self._changes(state))

    def _changes(self, state: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
        """What load_state_dict would assign, after all checks."""
        own = self.state_dict()
        if isinstance(state, Mapping):
            state = {"trained": None, **state}  # which files of 0.1 lack
        _checks.state("DataLoader", state, own)
        for name in ("samples", "batch_size", "shuffle", "drop_last"):
            saved = state[name]
            is_scalar = isinstance(saved, int | np.generic | np.ndarray | None)
            if not (is_scalar and np.ndim(saved) == 0 and own[name] == saved):
                raise ValueError(
                    f"DataLoader: {name} is {own[name]}, but {saved} was saved; make the "
                    "loader as it was made for the training that was saved"
                )
        generator = self.rng.bit_generator
        _checks.generator_state("DataLoader", generator, state["rng"])
        if state["start"] is not None:
            _checks.generator_state("DataLoader", generator, state["start"])
        taken = _checks.count("DataLoader", "taken", state["taken"], low=0)
        most = -(-self._samples // (self.batch_size or self._samples))
        if taken > most:
            raise ValueError(f"DataLoader: {taken} batches of an epoch of {most} can't be taken")
        trained = state["trained"]
        if trained is not None:
            trained = _checks.count("DataLoader", "trained", trained)
        start = copy.deepcopy(state["start"])
        place = {"start": start, "taken": taken, "trained": trained, "continues": True}
        changes: list[tuple[Any, Any, Any]] = [(generator, "state", state["rng"])]
        return changes + [(self._place, name, value) for name, value in place.items()]

    def __repr__(self) -> str:
        def shape(x: Any) -> str:
            return ", ".join(str(array.shape) for array in inputs(x))

        return (
            f"DataLoader(x {shape(self.x)}, y {self.y.shape}, batch_size={self.batch_size}, "
            f"shuffle={self.shuffle})  # {len(self)} batches per epoch"
        )
