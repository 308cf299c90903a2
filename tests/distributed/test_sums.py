"""The tree of sums: the same brackets whoever adds, each shard once."""

import re

import numpy as np
import pytest

from minidl.distributed.sums import halves, nodes, pairwise, share


def brackets(begin, end):
    """The tree by its definition: on the left the largest power of two below the number."""
    if end - begin == 1:
        return str(begin)
    left = max(2**k for k in range(20) if 2**k < end - begin)
    return f"({brackets(begin, begin + left)}+{brackets(begin + left, end)})"


def added(text, shards):
    """The sum that brackets stand for."""
    return eval(re.sub(r"\d+", lambda number: f"x[{number[0]}]", text), {"x": shards})


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 64])
def test_halves_are_those_of_the_tree(count):
    def written(node):
        if node[1] - node[0] == 1:
            return str(node[0])
        left, right = halves(node)
        return f"({written(left)}+{written(right)})"

    assert written((0, count)) == brackets(0, count)


@pytest.mark.parametrize("count", [1, 3, 8, 11, 64])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8])
def test_any_division_among_ranks_sums_to_the_same_bits(count, size):
    rng = np.random.default_rng(count)
    shards = [rng.normal(size=5).astype("f") * 10.0 ** rng.integers(-6, 6) for _ in range(count)]
    shards = [x.astype("f") for x in shards]

    def leaf(node):
        return [shards[node[0]].copy()] if node[1] - node[0] == 1 else None

    pieces, released = {}, []
    for rank in range(size):
        for node in nodes(share(rank, size, count), count):
            pieces[node] = pairwise(node, leaf, released.append)
    (total,) = pairwise((0, count), pieces.get, released.append)
    (alone,) = pairwise((0, count), leaf, lambda arrays: None)
    assert total.tobytes() == alone.tobytes()
    assert total.tobytes() == added(brackets(0, count), shards).tobytes()
    assert len(released) == count - 1  # all but one


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_each_thing_is_taken_by_one_rank_and_the_shares_differ_by_one_at_most(size):
    shares = [share(rank, size, 8) for rank in range(size)]
    assert [i for own in shares for i in own] == list(range(8))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_nodes_are_the_largest_ones_within_a_share():
    assert nodes(range(8), 8) == [(0, 8)]
    assert nodes(range(3, 6), 8) == [(3, 4), (4, 6)]
    assert nodes(range(2, 2), 8) == []
    assert nodes(range(0), 0) == []
