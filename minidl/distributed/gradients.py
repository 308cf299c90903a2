"""Gradients as flat arrays, summed over shards and ranks; and a state that ranks share.

A rank adds the gradients of its shards up to the largest nodes of the tree of `sums`. Then each
rank gets its segment of all these nodes, adds them in the order of the tree, and gives the sum to
the others: about as many bytes as an Allreduce, which would add in an order of its own. With a
state in parts a rank updates its segment of the weights, and gives these to the others instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise as pairs
from typing import Any

import numpy as np

from minidl._kernels import atomic
from minidl.distributed.sums import Arrays, Node, nodes, pairwise, share
from minidl.distributed.world import World
from minidl.tensor import Tensor


@dataclass
class Flat:
    """Parameters of one dtype as one vector: parameter i has the entries starts[i]:starts[i + 1].

    cuts  the same for the segments of the ranks
    """

    dtype: np.dtype[Any]
    params: list[Tensor]
    starts: list[int]
    cuts: list[int]

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.starts[-1]

    def places(self) -> list[tuple[Tensor, slice]]:
        """Each parameter and its entries."""
        return [(p, slice(*ends)) for p, ends in zip(self.params, pairs(self.starts), strict=True)]

    def sizes(self) -> list[int]:
        """The sizes of the segments of the ranks."""
        return [b - a for a, b in pairs(self.cuts)]


def flats_of(params: list[Tensor], size: int) -> list[Flat]:
    """The parameters by dtype, with segments for so many ranks."""
    found = []
    for dtype in dict.fromkeys(p.dtype for p in params):
        own = [p for p in params if p.dtype == dtype]
        starts = [0, *np.cumsum([p.size for p in own]).tolist()]
        cuts = [share(rank, size, starts[-1]).start for rank in range(size)]
        found.append(Flat(dtype, own, starts, [*cuts, starts[-1]]))
    return found


class Gradients:
    """The gradients of parameters, in buffers that serve one step after the other."""

    def __init__(self, world: World, params: list[Tensor]) -> None:
        self.world, self.params = world, params
        self.flats = flats_of(params, world.size)
        self.free: list[Arrays] = []
        self.totals: Arrays = []
        self.received: dict[tuple[np.dtype[Any], int], np.ndarray] = {}

    def begin(self) -> None:
        """Use the memory of the last sums, which the parameters have had as gradients, again."""
        if self.totals:
            self.free.append(self.totals)
        self.totals = []

    def release(self) -> None:
        """Give the memory back."""
        self.free, self.totals, self.received = [], [], {}

    def read(self) -> Arrays:
        """The gradients that the parameters have now, 0 for those without one."""
        arrays = self.free.pop() if self.free else self.empty()
        for flat, array in zip(self.flats, arrays, strict=True):
            for p, entries in flat.places():
                array[entries] = 0 if p.grad is None else p.grad.ravel()
        return arrays

    def zeros(self) -> Arrays:
        """The gradients of a shard without weight."""
        arrays = self.free.pop() if self.free else self.empty()
        for array in arrays:
            array[...] = 0
        return arrays

    def empty(self) -> Arrays:
        return [np.empty(flat.size, flat.dtype) for flat in self.flats]

    def sum(self, own: dict[Node, Arrays], count: int, divisor: float | None, whole: bool) -> None:
        """Sum the nodes of all ranks over so many shards, into `totals`, and divide the sum.

        whole  whether each rank gets all of it, not just its segment
        """
        self.totals = next(iter(own.values())) if own else self.empty()
        parts = [nodes(share(r, self.world.size, count), count) for r in range(self.world.size)]
        for i, (flat, total) in enumerate(zip(self.flats, self.totals, strict=True)):
            segment = total[slice(*flat.cuts[self.world.rank : self.world.rank + 2])]
            if self.world.size > 1:
                sent = [arrays[i] for arrays in own.values()]
                segment[...] = self._segment(flat, sent, parts, count)
            if divisor is not None:
                np.divide(segment, flat.dtype.type(divisor), out=segment)
            if whole:
                self.world._gather_in_place(total, flat.sizes())
        self.free += [arrays for arrays in own.values() if arrays is not self.totals]

    def _segment(
        self, flat: Flat, sent: list[np.ndarray], parts: list[list[Node]], count: int
    ) -> np.ndarray:
        """The sum of this rank's segment, of which the nodes of all ranks are fetched."""
        sizes, rank = flat.sizes(), self.world.rank
        known: dict[Node, Arrays] = {}
        for k in range(max(map(len, parts))):
            counts = sizes if k < len(sent) else [0] * len(sizes)
            received = [sizes[rank] if k < len(part) else 0 for part in parts]
            out = self._received(flat, k, sum(received))
            vector = sent[k] if k < len(sent) else np.empty(0, flat.dtype)
            self.world._exchange(vector, counts, out, received)
            ends = [0, *np.cumsum(received).tolist()]
            for part, begin, end in zip(parts, ends, ends[1:], strict=False):
                if k < len(part):
                    known[part[k]] = [out[begin:end]]
        return pairwise((0, count), known.get, lambda arrays: None)[0]

    def _received(self, flat: Flat, k: int, size: int) -> np.ndarray:
        """Memory for what others send, kept for the next step."""
        array = self.received.get((flat.dtype, k))
        if array is None or array.size != size:
            array = self.received[flat.dtype, k] = np.empty(size, flat.dtype)
        return array

    def assign(self, found: np.ndarray) -> None:
        """Give the parameters their sums as gradients, None to those that no rank has found."""
        changes: list[tuple[Any, Any, Any]] = []
        has = dict(zip(self.params, found, strict=True))
        for flat, total in zip(self.flats, self.totals, strict=True):
            for p, entries in flat.places():
                changes.append((p, "grad", total[entries].reshape(p.shape) if has[p] else None))
        atomic.assign(changes)

    def found(self) -> np.ndarray:
        """For each parameter whether it has a gradient now."""
        return np.array([p.grad is not None for p in self.params])
