"""Mini-batches of arrays, for training loops."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

import numpy as np

from minidl import _checks, _operands, tensor
from minidl._format import printable
from minidl._kernels import atomic
from minidl._kernels.plan import plain
from minidl.nn import Module
from minidl.tensor import Tensor


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
        self.x, self.y = _pair("DataLoader", x, y)
        self.sample_weight = _weights("DataLoader", sample_weight, len(self.y))
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
        if (
            type(self).__iter__ is not DataLoader.__iter__
        ):  # of a subclass, which may change batches
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
        check_generator("DataLoader", type(generator), state["rng"])
        if state["start"] is not None:
            check_generator("DataLoader", type(generator), state["start"])
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


def check_generator(owner: str, kind: type, state: Any) -> None:
    """ValueError unless a state fits a kind of bit generators."""
    try:
        kind().state = state
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{owner}: the generator is a {kind.__name__}, which can't have the saved state, of "
            f"another kind or damaged ({error})"
        ) from None


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
            x, y = _pair(where, given_x, given_y)
            weights = [_weights(where, w, len(y)) for w in weight if w is not None]
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


def _length(values: Any) -> int | None:
    return len(values) if isinstance(values, tuple | list) else None


def _kind(values: Any) -> str:
    """What was given, for a message."""
    name = type(values).__name__
    if (length := _length(values)) is not None:
        return f"a {name} of {length}"
    return f"{name} of shape {values.shape}" if hasattr(values, "shape") else name


def as_input(owner: str, x: Any, n: int | None = None) -> Any:
    """An x as an array, or as a tuple or dict of arrays, all with equally many samples.

    Beside n targets, a tuple of n arrays of other lengths is one array, row by row.
    """
    own: Any
    several = isinstance(x, tuple) and all(getattr(a, "shape", ()) for a in x)
    rows = several and len(x) == n and any(len(a) != n for a in x)
    if isinstance(x, dict):
        own = {name: _array(owner, f"x[{name!r}]", array) for name, array in x.items()}
    elif several and not rows:
        own = tuple(_array(owner, f"x[{i}]", array) for i, array in enumerate(x))
    else:
        own = _array(owner, "x", x)
    lengths = list(map(len, inputs(own)))
    if not lengths:
        raise ValueError(f"{owner}: x holds no arrays")
    if len(set(lengths)) > 1:
        raise ValueError(
            f"{owner}: the inputs in x have {', '.join(map(str, lengths))} samples; their first "
            "axes must have the same length"
        )
    return own


def _pair(owner: str, x: Any, y: Any) -> tuple[Any, np.ndarray]:
    """x and y as arrays with the same number of samples, at least one."""
    target = _array(owner, "y", y)
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


def _weights(owner: str, weights: Any, n: int) -> np.ndarray | None:
    """Sample weights as an array, if there are any: n finite numbers ≥ 0, not all of them 0."""
    if weights is None:
        return None
    array = _array(owner, "sample_weight", weights)
    if array.shape != (n,):
        raise ValueError(
            f"{owner}: sample_weight must have a weight for each of {n} samples, got shape "
            f"{array.shape}" + ("; sample_weight.reshape(-1)" if array.size == n else "")
        )
    wrong = ~(np.isfinite(array) & (array >= 0))
    if wrong.any() or not array.any():
        row = wrong.argmax()
        found = f"{array[row]:g} in row {row}" if wrong[row] else "0 everywhere"
        raise ValueError(
            printable(f"{owner}: sample_weight must be finite and ≥ 0, not all 0; got {found}")
        )
    return array


def _array(owner: str, name: str, values: Any) -> np.ndarray:
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


# --- inputs of a model, one or several ----------------------------------------------------------


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


# --- splitting and scaling ----------------------------------------------------------------------


def split(
    x: Any,
    y: Any,
    fraction: float = 0.2,
    *,
    stratify: bool = False,
    rng: int | np.random.Generator | None = None,
) -> tuple[tuple[Any, np.ndarray], tuple[Any, np.ndarray]]:
    """Split samples at random into (x_train, y_train), (x_test, y_test).

    x, y      arrays with samples along the first axis; x may be a tuple or dict of arrays
    fraction  the share of the test part, in (0, 1)
    stratify  keep the share of each label of y in both parts
    rng       None, a seed or a numpy.random.Generator

    The samples of each part keep their order. ValueError if a part would have no samples, or with
    stratify a label only one.

    >>> train, test = dl.data.split(np.arange(10.0), np.arange(10) % 2, stratify=True, rng=0)
    >>> len(train[0]), test[1].tolist()
    (8, [0, 1])
    """
    own, target = _pair("split", x, y)
    share = _checks.number("split", "fraction", fraction, above=True, high=1, below=True)
    _checks.flag("split", "stratify", stratify)
    labels = target if stratify else None
    kept, held_out = split_rows("split", len(target), share, rng, labels)
    return (part(own, kept), target[kept]), (part(own, held_out), target[held_out])


def split_rows(
    owner: str,
    n: int,
    fraction: float,
    rng: int | np.random.Generator | None,
    labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to keep and those that are held out, each in order; both at least one."""
    if n < 2:
        raise ValueError(f"{owner}: {n} sample can't be split into two parts")
    generator = _checks.generator(owner, rng)
    count = min(max(round(n * fraction), 1), n - 1)
    if labels is None:
        held_out = generator.permutation(n)[:count]
    else:
        held_out = _stratified(owner, labels, fraction, count, generator)
    chosen = np.zeros(n, bool)
    chosen[held_out] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _stratified(
    owner: str, labels: np.ndarray, fraction: float, count: int, generator: np.random.Generator
) -> np.ndarray:
    """So many rows, of each label its share of them, by largest remainders."""
    values, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if labels.ndim != 1 or counts.min() < 2:
        rare = f"label {values[counts.argmin()]} has" if labels.ndim == 1 else "an array has"
        raise ValueError(
            f"{owner}: stratify needs a vector of labels with at least two samples each, but "
            f"{rare} {counts.min() if labels.ndim == 1 else labels.ndim}"
            + ("" if labels.ndim == 1 else " axes")
        )
    if not len(values) <= count <= len(labels) - len(values):
        raise ValueError(
            f"{owner}: {count} of {len(labels)} samples can't hold a sample of each of "
            f"{len(values)} labels in both parts; choose another fraction"
        )
    exact = counts * (count / len(labels))
    shares = np.clip(np.floor(exact).astype(int), 1, counts - 1)
    while (missing := count - shares.sum()) != 0:  # each round gives or takes at most one a label
        sign = 1 if missing > 0 else -1
        room = (shares < counts - 1) if sign > 0 else (shares > 1)
        order = np.argsort(-sign * (exact - shares) - 1e9 * room, kind="stable")
        shares[order[: min(abs(missing), room.sum())]] += sign
    rows = generator.permutation(len(labels))
    rows = rows[np.argsort(numbers[rows], kind="stable")]  # label by label
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows[place < np.repeat(shares, counts)]


def balanced_weights(labels: Any) -> np.ndarray:
    """Class weights n / (classes · count) for labels 0, 1, …, as scikit-learn's "balanced".

    Float64, one for each class; with them every class has the same total weight. ValueError for a
    class without a sample, TypeError for labels that aren't integers.

    >>> dl.data.balanced_weights([0, 0, 0, 1])
    array([0.66666667, 2.        ])
    """
    array = _array("balanced_weights", "labels", labels)
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"balanced_weights: labels must be integers, got {array.dtype}; labels.astype(int) if "
            "these are class numbers"
        )
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"balanced_weights: labels must be a vector (N,), got shape {array.shape}"
            + ("; labels.reshape(-1)" if array.size else "")
        )
    values, counts = np.unique(array, return_counts=True)
    if values[0] < 0:
        raise ValueError(printable(f"balanced_weights: labels must be ≥ 0, got {values[0]}"))
    gaps = np.flatnonzero(values != np.arange(len(values)))
    if len(gaps):
        raise ValueError(
            f"balanced_weights: class {gaps[0]} has no sample, so no weight; number the "
            "classes without gaps, or give weights of your own"
        )
    weights: np.ndarray = len(array) / (len(counts) * counts)
    return weights


class Standardize(Module):
    """y = (x − mean) / deviation for each column, with the mean and deviation of `fit`'s data.

    features  the number of columns (…, features), to load a saved model without `fit`; the mean and
              the deviation are NaN until then

    The mean and the standard deviation (1 for a column where it is 0) are buffers in float64, which
    a checkpoint of the model holds. The result has the default dtype of when the module was made,
    rounded from float64. A tensor that requires a gradient is scaled in its own dtype instead, and
    keeps it. RuntimeError if it is called before it is fitted or loaded; ValueError for another
    number of columns.

    >>> scale = dl.data.Standardize().fit([[0.0, 5.0], [2.0, 5.0]])
    >>> scale([[1.0, 6.0]])
    Tensor([[0., 1.]], dtype=float32)
    """

    mean: np.ndarray
    deviation: np.ndarray

    def __init__(self, features: int | None = None) -> None:
        self.dtype = tensor.get_default_dtype()
        if features is not None:
            count = _checks.count("Standardize", "features", features)
            self.buffer("mean", np.full(count, np.nan))
            self.buffer("deviation", np.full(count, np.nan))

    @property
    def _loads(self) -> str:
        """Why a saved state may not fit, for a message."""
        if self._buffers:
            return ""
        return (
            "A Standardize can't load a mean and deviation before it has columns: make it with "
            "their number, Standardize(features)"
        )

    def fit(self, x: Any) -> Standardize:
        """Take the mean and deviation of each column of x (…, features); returns the module.

        ValueError for a column with NaN or infinity or too large numbers, for data without samples,
        and for another number of columns than before.
        """
        array = _array("Standardize", "x", x)
        if array.ndim < 2:
            raise ValueError(
                f"Standardize: x must have columns (N, features), got shape {array.shape}; "
                "x.reshape(-1, 1) for one column"
            )
        if not array.size:
            raise ValueError(f"Standardize: x holds no samples, but has shape {array.shape}")
        columns = array.reshape(-1, array.shape[-1]).astype(np.float64)
        if self._buffers and self.mean.shape != columns.shape[1:]:
            raise ValueError(
                f"Standardize has {len(self.mean)} columns, but x has {columns.shape[1]}; make a "
                "new one"
            )
        self._check_columns(np.isfinite(columns).all(axis=0), "holds NaN or infinity")
        with np.errstate(over="ignore", invalid="ignore"):
            mean = columns.mean(axis=0)
            off = (columns - mean).mean(axis=0)  # what rounding has lost
            deviation = (columns - mean).std(axis=0)
            mean += off
        same = (columns == columns[0]).all(axis=0)  # exactly, where the mean may be rounded
        mean, deviation = np.where(same, columns[0], mean), np.where(same, 1.0, deviation)
        self._check_columns(np.isfinite(mean) & np.isfinite(deviation), "holds too large numbers")
        deviation[deviation == 0] = 1.0
        buffers = {"mean": mean, "deviation": deviation}
        changes = {**buffers, "_buffers": self._buffers or tuple(buffers)}
        atomic.assign([(vars(self), name, value) for name, value in changes.items()])
        return self

    def _check_columns(self, usable: Any, problem: str) -> None:
        """ValueError that names the columns that aren't usable."""
        if not usable.all():
            bad = np.flatnonzero(~usable)
            columns = ", ".join(map(str, bad[:5])) + ", …" * (len(bad) > 5)
            raise ValueError(
                f"Standardize: x {problem} in column {printable(columns)}; fill or drop such "
                "entries first"
            )

    def forward(self, x: Any) -> Tensor:
        """Scale the columns."""
        if not self._buffers or np.isnan(plain((self.mean, self.deviation))).any():
            columns = (
                "" if self._buffers else " into one with as many columns, Standardize(features)"
            )
            raise RuntimeError(
                "Standardize has no mean and deviation yet: call fit(x) with the training data, or "
                f"load a saved model{columns}"
            )
        graph = isinstance(x, Tensor) and x.requires_grad
        array = x.data if isinstance(x, Tensor) else _operands.read(x)[0]
        if array.shape[-1:] != self.mean.shape:
            raise ValueError(
                printable(
                    f"Standardize expects input of shape (…, {len(self.mean)}), got {array.shape}"
                )
            )
        if graph:
            y: Tensor = x - self.mean.astype(x.dtype)
            return y / self.deviation.astype(x.dtype)
        return Tensor(((array - self.mean) / self.deviation).astype(self.dtype))
