"""The playground's data sets: each is what its name says, in the square that the page shows."""

import numpy as np
import pytest

from minidl.viz._playground.data import BOX, DATA


@pytest.mark.parametrize("name", DATA)
def test_a_data_set_depends_on_its_generator_alone_and_lies_in_the_square(name):
    own = DATA[name]
    x, y = own.draw(200, 0.0, np.random.default_rng(3))
    again, _ = own.draw(200, 0.0, np.random.default_rng(3))
    assert (x == again).all()
    assert x.shape == (200, own.inputs)
    assert x.dtype == np.float32
    assert np.abs(x).max() <= BOX
    if own.classes:
        assert set(y.tolist()) == set(range(own.classes))
    else:
        assert y.shape == (200, 1)
        assert np.abs(y).max() <= 1


@pytest.mark.parametrize("name", DATA)
def test_noise_moves_points_or_values(name):
    quiet, _ = DATA[name].draw(50, 0.0, np.random.default_rng(3))[::1]
    loud = DATA[name].draw(50, 0.3, np.random.default_rng(3))
    values = DATA[name].draw(50, 0.0, np.random.default_rng(3))[1]
    assert not (np.array_equal(quiet, loud[0]) and np.array_equal(values, loud[1]))


def test_without_noise_the_shapes_have_their_equations():
    x, y = DATA["moons"].draw(100, 0.0, np.random.default_rng(0))
    centres = 0.8 * np.array([[-0.5, -0.25], [0.5, 0.25]])
    np.testing.assert_allclose(np.linalg.norm(x - centres[y], axis=1), 0.8, rtol=1e-5)
    x, y = DATA["circles"].draw(100, 0.0, np.random.default_rng(0))
    assert ((np.linalg.norm(x, axis=1) > 0.7) == y).all()
    x, y = DATA["xor"].draw(100, 0.0, np.random.default_rng(0))
    assert ((x[:, 0] * x[:, 1] < 0) == y).all()
    x, y = DATA["curve"].draw(100, 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(y, np.sin(4 * x) * (1 - x * x / 3), atol=1e-5)
