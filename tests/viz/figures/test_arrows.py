"""The arrows of Momentum and NAG, against the optimizers."""

import math

import numpy as np
import pytest
from drawn import drawn_texts, line_points
from matplotlib import pyplot

import minidl as dl
from minidl import optim
from minidl.viz.figures.arrows import momentum_arrows, tilted_bowl

HESSIAN = 2 * np.array([[0.35 * 0.64 + 1.75 * 0.36, 0], [0, 0.35 * 0.36 + 1.75 * 0.64]])
HESSIAN[[0, 1], [1, 0]] = 2 * (0.35 - 1.75) * 0.48


def arrows(axes):
    """(from, to) of each arrow, in the order of drawing."""
    return [(np.array(t.xyann), np.array(t.xy)) for t in axes.texts if t.arrow_patch]


@pytest.mark.parametrize("steps", [1, 4])
def test_arrows_add_up_to_the_kernels_step(steps):
    lr, beta, start = 0.7, 0.6, np.array([-2.0, 1.0])
    figure = momentum_arrows(start=tuple(start), lr=lr, beta=beta, steps=steps)
    for rule, axes in zip((optim.Momentum, optim.NAG), figure.axes, strict=True):
        look_ahead = lr * beta * (rule is optim.NAG)
        theta = dl.Tensor(start, requires_grad=True)
        optimizer = rule([theta], lr=lr, beta=beta)
        here = []
        for _ in range(steps + 2):
            here.append(theta.data + look_ahead * optimizer.state[theta]["v"])
            theta.grad = HESSIAN @ theta.data
            optimizer.step()
        momentum, gradient, total = arrows(axes)[-3:]
        np.testing.assert_allclose(total[0], here[steps], atol=1e-12)
        np.testing.assert_allclose(total[1], here[steps + 1], atol=1e-12)
        np.testing.assert_allclose(momentum[0], total[0], atol=1e-12)
        np.testing.assert_allclose(gradient[0], momentum[1], atol=1e-12)
        np.testing.assert_allclose(gradient[1], total[1], atol=1e-12)


def test_the_gradient_is_taken_here_by_momentum_and_at_the_look_ahead_point_by_nag():
    heavy, nesterov = momentum_arrows(lr=1.0, beta=0.8).axes
    for axes, at in ((heavy, arrows(heavy)[-1][0]), (nesterov, arrows(nesterov)[-2][0])):
        start, end = arrows(axes)[-2]
        np.testing.assert_allclose(end - start, -0.2 * HESSIAN @ at, atol=1e-12)
        np.testing.assert_allclose(line_points(axes, 1)[0], at, atol=1e-12)
        (ring,), (label,) = axes.get_legend().get_lines(), axes.get_legend().get_texts()
        assert label.get_text() == "the gradient is taken here"
        assert ring.get_color() == axes.get_lines()[1].get_color()
        assert ring.get_marker() == axes.get_lines()[1].get_marker() == "o"


def test_after_one_step_both_have_the_same_place_and_velocity():
    heavy, nesterov = momentum_arrows().axes
    np.testing.assert_allclose(arrows(heavy)[-3], arrows(nesterov)[-3], atol=1e-12)


def test_the_bowl_is_the_one_of_its_hessian(rng):
    points = rng.normal(size=(5, 2))
    expected = [point @ HESSIAN @ point / 2 for point in points]
    np.testing.assert_allclose([tilted_bowl(*point) for point in points], expected)
    np.testing.assert_allclose(np.linalg.eigvalsh(HESSIAN), [0.7, 3.5])


def test_all_arrows_are_within_the_picture():
    for axes in momentum_arrows(steps=3).axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        ends = np.array(arrows(axes)).reshape(-1, 2)
        assert np.all((ends > [left, bottom]) & (ends < [right, top]))


@pytest.mark.parametrize(
    "options", [{}, {"steps": 4, "beta": 0.9}, {"start": (0, 2), "lr": 0.01}], ids=str
)
def test_labels_are_inside_the_frames_and_write_theta_as_the_rules_do(options):
    figure = momentum_arrows(**options)
    texts = drawn_texts(figure)
    inside = figure.axes[0].texts + figure.axes[1].texts
    labels = {text: box for text, box in texts.items() if text in inside}
    assert len(labels) == 9
    for text, box in labels.items():
        frame = text.axes.bbox.padded(-5)
        assert frame.contains(*box.min), text
        assert frame.contains(*box.max), text
    assert not any("ϑ" in text.get_text() for text in texts)


@pytest.mark.parametrize(
    ("f", "start"),
    [(lambda a, b: 0 * a + 0 * b, (1, 1)), (lambda a, b: b**2 - dl.log(a), (0.1, 1))],
    ids=["constant", "undefined to the left"],
)
def test_arrows_are_drawn_over_a_constant_f_and_over_one_that_is_undefined_in_part(f, start):
    momentum_arrows(f, start=start, lr=0.1).canvas.draw()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": 1.0}, TypeError, "start must be two numbers"),
        ({"start": (1.0, 2.0, 3.0)}, ValueError, "start must be two numbers"),
        ({"start": (1.0, math.inf)}, ValueError, r"start\[1\] must be a finite number"),
        ({"lr": 0}, ValueError, "lr must be a finite number > 0"),
        ({"beta": 1}, ValueError, "beta must be a finite number ≥ 0 and < 1"),
        ({"steps": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"f": lambda a, b: 1.0}, TypeError, "f must return a Tensor"),
        ({"f": lambda a, b: dl.Tensor(1.0)}, TypeError, "f does not depend on its arguments"),
        (
            {"f": lambda a, b: (a + b).sum()},
            TypeError,
            r"f must return .* shape \(120, 120\), element by element",
        ),
        ({"f": lambda a, b: a if a > b else b}, TypeError, "f must take Tensors of any shape"),
        ({"f": lambda a, b: a * math.nan + b}, ValueError, r"f\(-3.4, -0.8\) is nan"),
    ],
)
def test_invalid_arguments_raise(options, error, message):
    with pytest.raises(error, match=f"^momentum_arrows: {message}"):
        momentum_arrows(**options)
    assert not pyplot.get_fignums()
