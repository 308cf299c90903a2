"""The state of an optimizer on several ranks: fetched from rank 0, or in parts, one a rank.

In parts (Rajbhandari et al. 2020, ZeRO stage 1), each rank has an optimizer of the same rule for
its segment of the weights. An element's update depends on that element alone, so the numbers are
the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minidl._checks import describe
from minidl._kernels import atomic
from minidl.distributed.gradients import Gradients
from minidl.distributed.world import World
from minidl.optim import Optimizer
from minidl.tensor import Tensor

INCOMPLETE = (
    "the state of this optimizer is in parts on the ranks (shard_state=True). Call "
    "world.gather_state() on all ranks, in a callback or after fit; then that on rank 0 is complete"
)


def slots_of(optimizer: Optimizer) -> Iterator[tuple[dict[str, list[Any]], str, int, Tensor]]:
    """(columns, name, i, parameter) of each array of the state, in the same order on all ranks."""
    for group, columns in zip(optimizer.groups, optimizer._columns, strict=True):
        for name in sorted(columns.keys() - {"t"}):
            yield from ((columns, name, i, p) for i, p in enumerate(group.params))


def fetch_state(world: World, optimizer: Optimizer) -> None:
    """Replace step counts and state by those of rank 0."""
    counts = [columns["t"] for columns in optimizer._columns]
    complete, t, counts = world._objects((not optimizer.incomplete, optimizer.t, counts))[0]
    if not complete:
        raise RuntimeError(f"{type(optimizer).__name__}: {INCOMPLETE}")
    changes: list[Any] = [(vars(optimizer), "t", t), (vars(optimizer), "incomplete", "")]
    for columns, own in zip(optimizer._columns, counts, strict=True):
        changes.append((columns, "t", own))
    if t and world.size > 1:
        for columns, name, i, _ in slots_of(optimizer):
            world._broadcast(columns[name][i])
    atomic.assign(changes)


class Piece(NamedTuple):
    """A part of a parameter, which the segment of a rank has."""

    tensor: Tensor  # a vector, whose data are a view of the parameter's
    parameter: Tensor
    number: int  # of the parameter, of all
    place: int  # of the parameter, in its group
    flat: int  # the number of the flat vector
    entries: slice  # of the parameter
    segment: slice  # of the flat vector

    def view(self) -> np.ndarray:
        """The entries of the parameter as they are now; ValueError if they can't be updated."""
        data = self.parameter._data
        if not data.flags.carray:
            raise ValueError(
                f"fit: the data of {describe(self.parameter)} is read-only or not contiguous, so "
                "it can't be updated in place. Assign a copy: p.data = p.data.copy()."
            )
        entries: np.ndarray = data.reshape(-1)[self.entries]
        return entries


class StateInParts:
    """The part of this rank: an optimizer of its segment; None if that has no entries."""

    def __init__(self, world: World, optimizer: Optimizer, sums: Gradients) -> None:
        if optimizer.in_python:
            raise ValueError(
                f"fit: shard_state=True needs a rule that treats each element alone, as those of "
                f"minidl.optim do; {type(optimizer).__name__} has an update in Python"
            )
        self.world, self.optimizer, self.flats = world, optimizer, sums.flats
        self.numbers = {p: i for i, p in enumerate(sums.params)}
        self.pieces: list[list[Piece]] = []  # of each group
        groups = []
        for group in optimizer.groups:
            own = [piece for i, p in enumerate(group.params) for piece in self._pieces(i, p)]
            self.pieces.append(own)
            groups.append({**_options(group), "params": [piece.tensor for piece in own]})
        filled = [group for group in groups if group["params"]]
        self.own = type(optimizer)(filled) if filled else None
        self.pairs = []
        if self.own is not None:
            local = iter(zip(self.own.groups, self.own._columns, strict=True))
            for i, own in enumerate(self.pieces):
                if own:
                    self.pairs.append((i, own, *next(local)))
        self._take_over()

    def _pieces(self, place: int, p: Tensor) -> Iterator[Piece]:
        rank = self.world.rank
        for number, flat in enumerate(self.flats):
            low, high = flat.cuts[rank], flat.cuts[rank + 1]
            for other, whole in flat.places():
                begin, end = max(whole.start, low), min(whole.stop, high)
                if other is p and begin < end:
                    entries = slice(begin - whole.start, end - whole.start)
                    tensor = Tensor(np.empty(end - begin, p.dtype), requires_grad=True)
                    ends = slice(begin, end)
                    yield Piece(tensor, p, self.numbers[p], place, number, entries, ends)

    def _take_over(self) -> None:
        """Take the own part of the state, and forget the others."""
        optimizer = self.optimizer
        for i, own, _, columns in self.pairs:
            whole = optimizer._columns[i]
            columns["t"] = [whole["t"][piece.place] for piece in own]
            for name in columns.keys() - {"t"}:
                for j, piece in enumerate(own):
                    array = whole[name][piece.place]
                    if name in optimizer.scalars:
                        columns[name][j][...] = array
                    elif optimizer.t:
                        columns[name][j][...] = array.reshape(-1)[piece.entries]
        if optimizer.t:
            for columns, name, i, p in slots_of(optimizer):
                if name not in optimizer.scalars:
                    columns[name][i] = np.zeros(p.shape, p.dtype)  # takes no memory before use
        optimizer.incomplete = INCOMPLETE

    def update(self, sums: Gradients, found: np.ndarray, whole: bool) -> None:
        """Update the segment of this rank, and fetch the others' weights.

        whole  whether the parameters have their gradients, which a callback may have changed
        """
        optimizer, any_own = self.optimizer, False
        for i, own, group, _ in self.pairs:
            vars(group).update(_options(optimizer.groups[i]))
            for piece in own:
                g = sums.totals[piece.flat][piece.segment] if found[piece.number] else None
                if whole:
                    g = piece.parameter.grad
                    g = None if g is None else g.reshape(-1)[piece.entries]
                g = g if piece.parameter.requires_grad else None
                any_own |= g is not None
                piece.tensor.grad, piece.tensor._data = g, piece.view()
        if any_own and self.own is not None:
            self.own.t = optimizer.t  # also counts the steps without a gradient here
            self.own.step()
        self._fetch(sums, whole)
        atomic.assign([(vars(optimizer), "t", optimizer.t + 1)])
        optimizer.incomplete = INCOMPLETE

    def _fetch(self, sums: Gradients, whole: bool) -> None:
        """Fetch the weights of the other ranks, in the memory of the gradients if nobody has it."""
        arrays = (sums.free.pop() if sums.free else sums.empty()) if whole else sums.totals
        for _, own, _, _ in self.pairs:
            for piece in own:
                arrays[piece.flat][piece.segment] = piece.tensor._data
        for flat, array in zip(self.flats, arrays, strict=True):
            self.world._gather_in_place(array, flat.sizes())
            for p, place in flat.places():
                p._data[...] = array[place].reshape(p.shape)
                p.version += 1
        if whole:
            sums.free.append(arrays)
        else:
            self.optimizer.zero_grad()

    def collect(self) -> None:
        """Complete the optimizer's state on rank 0."""
        optimizer, world = self.optimizer, self.world
        numbers: dict[tuple[int, int], dict[str, Any]] = {}
        for i, own, _, columns in self.pairs:
            for j, piece in enumerate(own):
                kept = {name: columns[name][j] for name in ("t", *optimizer.scalars)}
                numbers[i, piece.place] = kept
        for every in world._objects(numbers):
            for (i, k), kept in every.items():
                for name, value in kept.items():
                    optimizer._columns[i][name][k] = value
        for name in sorted({name for c in optimizer._columns for name in c} - {"t"}):
            if name not in optimizer.scalars:
                self._collect(name)
        optimizer.incomplete = "" if world.rank == 0 else INCOMPLETE

    def _collect(self, name: str) -> None:
        """Complete the arrays of a slot on rank 0."""
        optimizer, world = self.optimizer, self.world
        for number, flat in enumerate(self.flats):
            low, high = flat.cuts[world.rank], flat.cuts[world.rank + 1]
            offset = 0 if world.rank == 0 else low
            vector = np.zeros(flat.size if world.rank == 0 else high - low, flat.dtype)
            for _, own, _, columns in self.pairs:
                for piece, array in zip(own, columns.get(name, ()), strict=False):
                    if piece.flat == number:
                        begin, end = piece.segment.start - offset, piece.segment.stop - offset
                        vector[begin:end] = array
            world._to_root(vector, flat.sizes())
            if world.rank == 0:
                places = dict(flat.places())
                for columns, own_name, i, p in slots_of(optimizer):
                    if own_name == name and p in places:
                        columns[name][i] = vector[places[p]].reshape(p.shape)


def _options(group: Any) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}
