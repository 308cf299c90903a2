"""Gradients as flat vectors of one dtype each, in segments for the ranks."""

import numpy as np

import minidl as dl
from minidl.distributed import World
from minidl.distributed.gradients import Gradients, flats_of


class Alone:
    rank, size = 0, 1


def params():
    """Two parameters of float32, and one of float64 between them."""
    arrays = [np.zeros((2, 3), "f"), np.zeros(4), np.zeros(5, "f")]
    return [dl.Tensor(x, requires_grad=True) for x in arrays]


def test_parameters_of_a_dtype_lie_one_after_the_other_and_segments_cover_them():
    own = params()
    single, double = flats_of(own, 3)
    assert single.params == [own[0], own[2]]
    assert single.places() == [(own[0], slice(0, 6)), (own[2], slice(6, 11))]
    assert (single.size, double.size) == (11, 4)
    assert [sum(flat.sizes()) for flat in (single, double)] == [11, 4]
    assert max(single.sizes()) - min(single.sizes()) <= 1


def test_sums_are_the_gradients_and_none_stays_none():
    own = params()
    gradients = Gradients(World(Alone()), own)
    pieces, found = {}, np.zeros(3, bool)
    gradients.begin()
    for i in range(2):
        own[0].grad = np.full((2, 3), 1.5 + i, "f")
        own[1].grad = np.full(4, 10.0 * i)
        found |= gradients.found()
        pieces[i, i + 1] = gradients.read()
    first, second = pieces.values()
    for x, y in zip(first, second, strict=True):
        x += y
    gradients.sum({(0, 2): first}, 2, 8.0, whole=True)
    gradients.assign(found)
    assert np.array_equal(own[0].grad, np.full((2, 3), 0.5, "f"))
    assert np.array_equal(own[1].grad, np.full(4, 1.25))
    assert own[2].grad is None
    assert own[0].grad.dtype == np.float32


def test_a_step_uses_the_memory_of_the_last_one():
    gradients = Gradients(World(Alone()), params())
    gradients.begin()
    arrays = gradients.zeros()
    gradients.sum({(0, 1): arrays}, 1, None, whole=True)
    gradients.begin()
    assert gradients.zeros() is arrays
