"""Learning rates on a parabola, against the closed form."""

import math

import numpy as np
import pytest
from drawn import line_points
from matplotlib import pyplot

from minidl.viz.figures.rates import learning_rates


@pytest.mark.parametrize(("curvature", "steps"), [(4.0, 10), (0.5, 3)])
def test_steps_and_ends_of_each_rate_are_those_of_the_closed_form(curvature, steps):
    factors = np.array([0.05, 1, 1.9, 2.4])
    figure = learning_rates(list(factors / curvature), curvature=curvature, steps=steps)
    *panels, ends = figure.axes
    for factor, axes in zip(factors, panels, strict=True):
        theta = (1 - factor) ** np.arange(steps + 1)
        points = np.transpose([theta, curvature / 2 * theta**2])
        np.testing.assert_allclose(line_points(axes, 1), points, rtol=1e-12, atol=1e-14)
    sweep, loss = line_points(ends).T
    closed = curvature / 2 * (1 - sweep * curvature) ** (2 * steps)
    np.testing.assert_allclose(loss, closed, rtol=1e-9, atol=1e-30)
    dots = [
        line_points(ends, i)[0] for i in range(len(ends.lines)) if ends.lines[i].get_marker() == "o"
    ]
    losses = curvature / 2 * (1 - factors) ** (2 * steps)
    np.testing.assert_allclose(dots, np.transpose([factors / curvature, losses]), atol=1e-14)


def test_the_threshold_is_marked_where_the_loss_begins_to_grow():
    ends = learning_rates(curvature=8.0).axes[-1]
    sweep, loss = line_points(ends).T
    upright = [drawn.get_xdata()[0] for drawn in ends.lines if drawn.get_linestyle() == "--"]
    assert upright == [1 / 8, 2 / 8]
    assert np.array_equal(loss > 4 * (1 + 1e-9), sweep > 2 / 8 + 1e-12)
    assert ends.patches[0].get_x() == 2 / 8
    said = " ".join(text.get_text() for text in ends.texts)
    assert "1/λ = 0.125" in said
    assert "2/λ = 0.25" in said


VERDICTS = {  # by steps and η λ
    10: {
        0.01: ("too small", "only 10% of the way"),
        0.08: ("too small", "only 57% of the way"),
        0.2: ("right", "89% of the way"),
        0.6: ("right", "it arrives"),
        1: ("right", "it arrives"),
        1.99: ("large", "it overshoots"),
        3: ("too large", "it diverges"),
    },
    1: {
        0.6: ("right", "60% of the way"),
        0.3: ("too small", "only 30% of the way"),
        2: ("too large", "it oscillates"),
        2.01: ("too large", "it diverges"),
    },
}


@pytest.mark.parametrize("steps", VERDICTS)
@pytest.mark.parametrize("curvature", [4.0, 0.3])  # 1 − ηλ exactly, and with rounding
def test_a_rate_is_scored_by_its_run(steps, curvature):
    factors = list(VERDICTS[steps])
    for some in factors[:4], factors[4:]:  # a figure has one to four
        rates = [factor / curvature for factor in some]
        panels = learning_rates(rates, curvature=curvature, steps=steps).axes if rates else [None]
        for factor, rate, axes in zip(some, rates, panels[:-1], strict=True):
            verdict, reason = VERDICTS[steps][factor]
            assert axes.get_title() == f"{verdict}: η = {rate:g}\n{reason}"


@pytest.mark.parametrize(("steps", "text"), [(1, "1 step"), (2, "2 steps")])
def test_the_loss_is_that_after_so_many_steps(steps, text):
    assert learning_rates(steps=steps).axes[-1].get_ylabel() == f"loss after {text}"


def test_a_rate_that_overflows_is_still_drawn():
    figure = learning_rates([1e6], curvature=1e6, steps=100)
    figure.canvas.draw()
    assert figure.axes[0].get_title().startswith("too large")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rates": 0.1}, TypeError, "rates must be one to four numbers"),
        ({"rates": []}, ValueError, "rates must be one to four numbers > 0, got 0"),
        ({"rates": [0.1] * 5}, ValueError, "rates must be one to four numbers > 0, got 5"),
        ({"rates": [0.1, -1]}, ValueError, r"rates\[1\] must be a finite number > 0"),
        ({"rates": ["0.1"]}, TypeError, r"rates\[0\] must be a finite number"),
        ({"curvature": 0}, ValueError, "curvature must be a finite number > 0"),
        ({"curvature": math.nan}, ValueError, "curvature must be"),
        ({"steps": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"steps": 1.5}, TypeError, "steps must be a whole number"),
    ],
)
def test_invalid_arguments_raise(options, error, message):
    with pytest.raises(error, match=f"^learning_rates: {message}"):
        learning_rates(**options)
    assert not pyplot.get_fignums()
