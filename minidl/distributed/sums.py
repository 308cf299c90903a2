"""Sums of shards in one fixed order, whichever ranks compute which shards.

Floating-point addition is not associative, so a sum has the same bits on any number of ranks only
if its brackets are the same. Here they are a binary tree over the shards 0, …, n − 1: the node
(begin, end) is the sum of two nodes, of which the left one has a power of two of shards.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Node = tuple[int, int]  # the shards begin, …, end − 1
Arrays = list[np.ndarray]  # one for each dtype


def share(rank: int, size: int, count: int) -> range:
    """What one of `size` ranks takes of so many things: as many as the others, or one more.

    >>> [list(share(rank, 3, 8)) for rank in range(3)]
    [[0, 1], [2, 3, 4], [5, 6, 7]]
    """
    return range(rank * count // size, (rank + 1) * count // size)


def halves(node: Node) -> tuple[Node, Node]:
    """The two nodes whose sum a node is.

    >>> halves((0, 8)), halves((0, 3))
    (((0, 4), (4, 8)), ((0, 2), (2, 3)))
    """
    begin, end = node
    middle = begin + (1 << (end - begin - 1).bit_length() - 1)
    return (begin, middle), (middle, end)


def nodes(shards: range, count: int) -> list[Node]:
    """The largest nodes of the tree over `count` shards that consist of these shards.

    >>> nodes(range(2, 5), 8)
    [(2, 4), (4, 5)]
    """
    found, waiting = [], [(0, count)] if count else []
    while waiting:
        begin, end = node = waiting.pop()
        if shards.start <= begin and end <= shards.stop:
            found.append(node)
        elif begin < shards.stop and shards.start < end:
            left, right = halves(node)
            waiting += [right, left]
    return found


def pairwise(
    node: Node, known: Callable[[Node], Arrays | None], release: Callable[[Arrays], None]
) -> Arrays:
    """The sum of a node, in the memory of its first addend; the others are released.

    known  returns the arrays of a node, or None for one that is to be summed from its halves; it
           is called in the order of the shards
    """
    if (arrays := known(node)) is not None:
        return arrays
    left, right = (pairwise(half, known, release) for half in halves(node))
    for x, y in zip(left, right, strict=True):
        np.add(x, y, out=x)
    release(right)
    return left
