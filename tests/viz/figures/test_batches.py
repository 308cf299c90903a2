"""Paths of batch, mini-batch and stochastic gradient descent, against plain loops."""

import itertools
import math

import numpy as np
import pytest
from drawn import line_points
from matplotlib import pyplot

import minidl as dl
from minidl.viz.figures.batches import batch_paths, worked_example


def gradient(theta, x, y):
    error = x * theta[0] + theta[1] - y
    return np.array([np.mean(2 * error * x), np.mean(2 * error)])


@pytest.mark.parametrize("size", [None, 16, 1])
def test_a_path_is_plain_gradient_descent_on_the_batches_of_the_loader(size):
    figure = batch_paths(batch_size=[size], updates=40, lr=0.004, start=(1.0, 2.0), seed=5)
    x, y = worked_example()
    loader = dl.data.DataLoader(x, y, size, rng=5)
    batches = itertools.islice((b for _ in itertools.count() for b in loader), 40)
    path = [np.array([1.0, 2.0])]
    for batch_x, batch_y in batches:
        path.append(path[-1] - 0.004 * gradient(path[-1], batch_x, batch_y))
    np.testing.assert_allclose(line_points(figure.axes[0]), path, rtol=1e-10)


def test_the_star_is_the_least_squares_answer_of_the_article():
    for axes in batch_paths().axes:
        (star,) = (drawn for drawn in axes.lines if drawn.get_marker() == "*")
        np.testing.assert_allclose(np.ravel(star.get_data()), [1.9936935, 1.22215108], rtol=1e-7)


def test_contours_are_lines_of_equal_loss_of_all_points():
    x, y = worked_example()
    axes = batch_paths(batch_size=[1], updates=50).axes[0]
    (contours,) = axes.collections
    levels = 0
    for path in contours.get_paths():
        if not len(path.vertices):
            continue
        slope, intercept = path.vertices.T
        loss = np.mean((x * slope + intercept - y) ** 2, axis=0)
        floor = np.mean((x * 1.9936935 + 1.22215108 - y) ** 2)
        assert np.ptp(loss) < 0.05 * (loss.mean() - floor)
        levels += 1
    assert levels >= 3


@pytest.mark.parametrize(
    ("size", "title"),
    [
        (None, "all 100 points a step\n300 steps, 300 epochs"),
        (100, "all 100 points a step\n300 steps, 300 epochs"),
        (16, "16 points a step\n300 steps, 43 epochs"),
        (1, "1 point a step\n300 steps, 3.0 epochs"),
    ],
)
def test_a_panel_says_how_many_steps_and_epochs_it_took(size, title):
    assert batch_paths(batch_size=[size], updates=300).axes[0].get_title() == title


def test_all_paths_start_at_one_place_and_fewer_points_wander_more():
    axes = batch_paths().axes
    paths = [line_points(panel) for panel in axes]
    assert {tuple(path[0]) for path in paths} == {(1.4, -0.2)}
    wander = [np.abs(np.diff(path[200:, 0])).mean() for path in paths]
    assert wander == sorted(wander)
    assert wander[2] > 2 * wander[1] > 20 * wander[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x": [1, 2]}, TypeError, "give both x and y"),
        ({"x": np.ones((3, 2)), "y": np.ones(3)}, ValueError, r"x must be one number per point"),
        ({"x": [1, 1], "y": [1, 2]}, ValueError, "all x are equal"),
        ({"x": [1, 2], "y": [1, math.inf]}, ValueError, "y must be finite"),
        ({"batch_size": 16}, ValueError, "batch_size must list one to 4 sizes"),
        ({"batch_size": []}, ValueError, "batch_size must list one to 4 sizes"),
        ({"batch_size": [0]}, ValueError, r"batch_size\[0\] must be a whole number ≥ 1"),
        ({"batch_size": [101]}, ValueError, r"batch_size\[0\] must be at most .* 100, got 101"),
        ({"updates": 0}, ValueError, "updates must be a whole number ≥ 1"),
        ({"start": 1.0}, TypeError, r"start must be \(slope, intercept\)"),
        ({"start": (1, 2, 3)}, ValueError, r"start must be \(slope, intercept\)"),
        ({"start": (1, math.nan)}, ValueError, r"start\[1\] must be a finite number"),
        ({"seed": -1}, ValueError, "seed must be a whole number ≥ 0"),
        ({"lr": 0.1}, ValueError, "with batch_size=None the rate lr=0.1 is too large"),
    ],
)
def test_invalid_arguments_raise(options, error, message):
    with pytest.raises(error, match=f"^batch_paths: {message}"):
        batch_paths(**options)
    assert not pyplot.get_fignums()


def test_lengths_that_differ_are_the_loaders_business():
    with pytest.raises(ValueError, match="x has 2 samples but y has 3"):
        batch_paths([1, 2], [1, 2, 3])
