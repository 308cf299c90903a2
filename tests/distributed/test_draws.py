"""Generators moved to the numbers of a rank's rows, against NumPy's own draws."""

import numpy as np
import pytest

from minidl.distributed.draws import Draws, distance

KINDS = [np.random.PCG64, np.random.PCG64DXSM]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 2, 1000, 65537])
def test_the_distance_of_two_states_is_the_number_of_draws_between_them(kind, count):
    bits = kind(7)
    before = bits.state
    bits.random_raw(count)
    assert distance(before, bits.state) == count


@pytest.mark.parametrize("kind", KINDS)
def test_the_distance_is_that_of_advance_also_across_the_whole_period(kind):
    bits = kind(3)
    before = bits.state
    bits.advance(2**127 + 12345)
    assert distance(before, bits.state) == 2**127 + 12345


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_draw_the_rows_of_the_whole_batch(kind):
    whole = np.random.Generator(kind(1)).random((6, 4))
    generator = np.random.Generator(kind(1))
    draws = Draws({"rng": generator})
    draws.begin()
    draws.measure(lambda: generator.random((2, 4)), 2)
    for begin, end in ((4, 6), (0, 1), (1, 4)):
        draws.move(begin)
        assert np.array_equal(generator.random((end - begin, 4)), whole[begin:end])
        draws.check(end)
    draws.move(6)
    following = np.random.Generator(kind(1))
    following.random((6, 4))
    assert generator.random() == following.random()


def test_a_generator_that_layers_share_is_moved_once():
    generator = np.random.default_rng(0)
    draws = Draws({"a": generator, "b": np.random.Generator(generator.bit_generator)})
    assert list(draws.generators) == ["a"]


def test_numbers_that_are_not_in_proportion_to_the_rows_are_refused():
    generator = np.random.default_rng(0)
    draws = Draws({"noise.rng": generator})
    draws.begin()
    draws.measure(lambda: generator.random(4), 2)
    draws.move(0)
    generator.random(3)
    with pytest.raises(ValueError, match=r"a forward pass draws from noise.rng are not in propor"):
        draws.check(2)


def test_a_generator_that_can_not_be_moved_is_refused():
    with pytest.raises(ValueError, match=r"a.rng of the model is a SFC64.*use the PCG64"):
        Draws({"a.rng": np.random.Generator(np.random.SFC64(0))})
