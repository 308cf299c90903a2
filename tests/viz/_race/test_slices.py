"""Slices of a network's loss, against NumPy."""

import numpy as np
import pytest

import minidl as dl
from minidl.viz._race.slices import Slice, WeightLoss, flat, principal_directions


def classifier(rng):
    """A small network, and data for it."""
    x = rng.standard_normal((30, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    return dl.nn.MLP([2, 5, 2], "tanh", rng=0), dl.data.DataLoader(x, y)


def cross_entropy(weights, x, y):
    """The mean cross-entropy of that network with these weights, written out."""
    w1, b1, w2, b2 = np.split(weights, np.cumsum([10, 5, 10]))
    logits = np.tanh(x @ w1.reshape(2, 5) + b1) @ w2.reshape(5, 2) + b2
    return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y])


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (2, 5), (9, 2)])
def test_the_directions_are_those_of_the_singular_value_decomposition(shape, rng):
    points = rng.standard_normal(shape) * rng.uniform(0.1, 3, shape[1])
    directions, explained = principal_directions(points)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    _, lengths, expected = np.linalg.svd(points - points.mean(0), full_matrices=False)
    np.testing.assert_allclose(explained, (lengths**2 / (lengths**2).sum())[:2], atol=1e-12)
    if shape[0] > 2:
        np.testing.assert_allclose(abs((directions * expected[:2]).sum(1)), 1, rtol=1e-9)


def test_points_on_a_line_have_a_plane_with_nothing_along_its_second_direction(rng):
    points = np.outer([0.0, 1.0, 5.0], [1.0, 2.0, 2.0]) + 7
    directions, explained = principal_directions(points)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(abs(directions[0]), [1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(explained, [1, 0], atol=1e-12)


def test_the_loss_of_weights_is_that_of_the_network_with_them(rng):
    with dl.default_dtype("float64"):
        model, data = classifier(rng)
    before = flat([parameter.data for parameter in model.parameters()])
    weight_loss = WeightLoss(model, dl.losses.cross_entropy, data)
    for weights in rng.standard_normal((4, 27)):
        expected = cross_entropy(weights, data.x, data.y)
        value, gradient = weight_loss.gradient(weights)
        assert weight_loss.at(weights) == pytest.approx(expected, rel=1e-12)
        assert value == pytest.approx(expected, rel=1e-12)
        h = 1e-6 * np.eye(27)
        differences = [
            cross_entropy(weights + e, data.x, data.y) - cross_entropy(weights - e, data.x, data.y)
            for e in h
        ]
        np.testing.assert_allclose(gradient, np.array(differences) / 2e-6, atol=1e-8)
    np.testing.assert_array_equal(before, flat([p.data for p in model.parameters()]))


def test_the_loss_of_weights_is_in_evaluation_mode_and_uses_sample_weights(rng):
    model = dl.nn.Sequential(dl.nn.Dense(1, 1), dl.nn.Dropout(0.5, rng=0))
    data = dl.data.DataLoader([[1.0], [2.0]], [[0.0], [0.0]], 1, sample_weight=[3.0, 1.0])
    weight_loss = WeightLoss(model, dl.losses.mse, data)
    assert weight_loss.at(np.array([1.0, 0.0])) == pytest.approx((3 * 1 + 1 * 4) / 4)
    assert model.training


def test_a_slice_has_the_loss_and_the_gradient_of_the_network_on_its_plane(rng):
    with dl.default_dtype("float64"):
        model, data = classifier(rng)
    paths = [np.cumsum(rng.standard_normal((20, 27)), axis=0) for _ in range(2)]
    weight_loss = WeightLoss(model, dl.losses.cross_entropy, data)
    surface = Slice(weight_loss, paths, paths[0][-1], 4, "MLP")
    xs, ys, f = surface.grid()
    assert f.shape == (4, 4)
    for i, y in enumerate(ys):
        for j, x in enumerate(xs):
            weights = surface.centre + x * surface.directions[0] + y * surface.directions[1]
            np.testing.assert_allclose(surface.weights(x, y), weights, rtol=1e-12)
            assert f[i, j] == pytest.approx(cross_entropy(weights, data.x, data.y), rel=1e-12)
    point, h = np.array([0.3, -0.2]), 1e-6
    value, gradient = surface.at(point)
    assert value == pytest.approx(cross_entropy(surface.weights(*point), data.x, data.y))
    for k, step in enumerate(h * np.eye(2)):
        ends = [surface.weights(*(point + sign * step)) for sign in (1, -1)]
        rise = np.subtract(*(cross_entropy(end, data.x, data.y) for end in ends))
        assert gradient[k] == pytest.approx(rise / (2 * h), abs=1e-7)
    assert surface.floor == 0
    part = surface.grid(9, (xs[1], xs[2]), (ys[0], ys[1]))
    assert part[0][-1] == xs[2]
    assert part[2][-1, 0] == pytest.approx(f[1, 1], rel=1e-12)
    assert len(part[2]) == 4


def test_optimizers_can_race_on_a_slice_itself(rng):
    with dl.default_dtype("float64"):
        model, data = classifier(rng)
    paths = [np.cumsum(rng.standard_normal((9, 27)) / 9, axis=0)]
    weight_loss = WeightLoss(model, dl.losses.cross_entropy, data)
    surface = Slice(weight_loss, paths, paths[0][-1], 5, "MLP")
    race = dl.viz.race(surface, ["SGD"], steps=3, lr=0.1)
    run = race.runs[0]
    for k in range(3):
        gradient = surface.at(run.theta[k, 0])[1]
        np.testing.assert_allclose(run.theta[k + 1, 0], run.theta[k, 0] - 0.1 * gradient)
    weights = surface.weights(*run.theta[3, 0])
    assert run.loss[3, 0] == pytest.approx(cross_entropy(weights, data.x, data.y))


def test_a_path_is_drawn_at_the_nearest_points_of_the_plane_inside_the_picture(rng):
    model, data = classifier(rng)
    paths = [np.cumsum(rng.standard_normal((20, 27)), axis=0)]
    surface = Slice(WeightLoss(model, dl.losses.cross_entropy, data), paths, np.ones(27), 2, "MLP")
    positions = surface.project(paths[0])
    for weights, (x, y) in zip(paths[0], positions, strict=True):
        residual = weights - surface.weights(x, y)
        np.testing.assert_allclose(surface.directions @ residual, 0, atol=1e-9)
    assert surface.contains(positions.T).all()
    assert positions[-1, 0] > positions[0, 0]  # paths lead to the right
    assert surface.start == pytest.approx(positions[0])
    centred = paths[0] - paths[0].mean(0)
    shares = ((positions - positions.mean(0)) ** 2).sum(0) / (centred**2).sum()
    np.testing.assert_allclose(surface.explained, shares)
    assert f"{shares[0]:.1%}" in surface.axes[0]
    assert f"{shares[1]:.1%}" in surface.axes[1]
