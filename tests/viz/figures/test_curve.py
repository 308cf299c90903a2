"""The curve and its stationary points, against calculus, and paths against plain loops."""

import math

import numpy as np
import pytest
from drawn import drawn_texts, line_points
from matplotlib import pyplot

import minidl as dl
from minidl.viz.figures.curve import STATIONARY, hills, landscape, stationary_points


def test_the_stationary_points_of_the_hills_are_found_and_classified():
    points = stationary_points(hills, -0.75, 3.25)
    np.testing.assert_allclose([p.theta for p in points], sorted(set(STATIONARY)), atol=1e-5)
    kinds = ["saddle", "local minimum", "local maximum", "global minimum"]
    assert [p.kind for p in points] == kinds


@pytest.mark.parametrize(
    ("f", "found"),
    [
        (lambda x: x**3, [(0, "saddle")]),
        (lambda x: x**4, [(0, "global minimum")]),
        (lambda x: -(x**2), [(0, "local maximum")]),
        (
            lambda x: (x**2 - 1) ** 2,
            [(-1, "global minimum"), (0, "local maximum"), (1, "global minimum")],
        ),
        (lambda x: x + 2 * dl.tanh(x), []),
        (lambda x: dl.exp(x), []),
    ],
    ids=["cube", "fourth power", "hill", "two wells", "rising", "exponential"],
)  # fmt: skip
def test_stationary_points_are_those_of_calculus(f, found):
    points = stationary_points(f, -2.0, 2.1)
    assert [p.kind for p in points] == [kind for _, kind in found]
    np.testing.assert_allclose([p.theta for p in points], [at for at, _ in found], atol=1e-3)


def balls(figure):
    """The path of each rule, as θ and height."""
    return [
        np.transpose(drawn.get_data())
        for drawn in figure.axes[0].lines
        if len(drawn.get_xdata()) == 201
    ]


def test_the_three_rules_end_at_a_saddle_a_local_and_the_global_minimum():
    figure = landscape()
    sgd, momentum, adam = (path[-1, 0] for path in balls(figure))
    assert sgd == pytest.approx(0, abs=0.05)
    assert momentum == pytest.approx(1.25, abs=0.01)
    assert adam == pytest.approx(2.8, abs=0.01)
    title = " ".join(figure.axes[0].get_title().split())
    assert "SGD at a saddle, Momentum at a local minimum, Adam at the global minimum" in title
    assert "200 steps from θ = −0.6 at η = 0.5 (paths drawn above the curve)" in title


def test_a_rule_that_reaches_a_minimum_only_at_the_last_step_is_still_on_the_way():
    figure = landscape(lambda t: t**2, start=1.0, rules={"SGD": 0.5}, steps=1, between=(-2, 2))
    assert "SGD still on the way" in figure.axes[0].get_title()


def test_the_paths_are_those_of_the_rules_and_lie_on_the_curve():
    roots = np.array(STATIONARY)
    powers = np.polynomial.Polynomial.fromroots(roots).integ() * 0.06
    paths = balls(landscape())
    for path in paths:
        np.testing.assert_allclose(path[:, 1], powers(path[:, 0]), atol=1e-12)
    theta, v, slope = -0.6, 0.0, powers.deriv()
    plain, heavy = [theta], [theta]
    for _ in range(200):
        plain.append(plain[-1] - 0.5 * slope(plain[-1]))
        v = 0.9 * v + 0.1 * slope(heavy[-1])
        heavy.append(heavy[-1] - 0.5 * v)
    np.testing.assert_allclose(paths[0][:, 0], plain, atol=1e-9)
    np.testing.assert_allclose(paths[1][:, 0], heavy, atol=1e-9)


def test_trails_run_in_lanes_of_their_own():
    figure = landscape(rules={"SGD": 0.1, "Adam": 0.1, "Lion": 0.1})
    lanes = [
        drawn.get_transform() for drawn in figure.axes[0].lines if len(drawn.get_xdata()) == 201
    ]
    heights = [lane.transform((0.0, 0.0))[1] for lane in lanes]
    assert np.all(np.diff(heights) > 10)


def test_a_landscape_can_be_of_another_function_and_of_rules_at_their_own_rates():
    figure = landscape(
        lambda x: x**2, start=1.0, rules={"SGD": 0.25, "NAG": 0.2}, steps=200, between=(-2, 2)
    )
    np.testing.assert_allclose(balls(figure)[0][:, 0], 0.5 ** np.arange(201), atol=1e-12)
    assert "η" not in figure.axes[0].get_title()
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"global\nminimum", "start", "SGD", "NAG"}


@pytest.mark.parametrize(("start", "side"), [(-2.0, "right"), (1.0, "left"), (2.0, "left")])
def test_the_start_is_marked_and_its_name_is_uphill_within_the_picture(start, side):
    figure = landscape(lambda x: x**2, start=start, rules={"SGD": 0.1}, between=(-2, 2))
    (axes,) = figure.axes
    assert [start, start**2] in [
        line_points(axes, i).ravel().tolist() for i in range(len(axes.lines))
    ]
    (name,) = (text for text in axes.texts if text.get_text() == "start")
    assert (name.xy, name.get_ha()) == ((start, start**2), side)
    box, frame = drawn_texts(figure)[name], axes.bbox
    assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
    assert "lifted" not in axes.get_title()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": 9.0}, ValueError, "start must be a finite number ≥ -0.75 and ≤ 3.25"),
        ({"steps": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"between": 3}, TypeError, "between must be two numbers"),
        ({"between": (1, 1)}, ValueError, "between must be two numbers"),
        ({"between": (1, 2, 3)}, ValueError, "between must be two numbers"),
        ({"rules": ["SGD"]}, TypeError, "rules must be a dict {name: rate}"),
        ({"rules": {}}, ValueError, "rules is empty"),
        ({"rules": {"SDG": 0.1}}, ValueError, r"no rule 'SDG'\. Did you mean 'SGD'\? There"),
        ({"rules": {"SGD": 1e9}}, ValueError, r"f\(\S+\) is (inf|nan); choose another start"),
        ({"rules": {"SGD": -1}}, ValueError, r"rules\['SGD'\] must be a finite number ≥ 0"),
        ({"f": lambda x: 3.0}, TypeError, "f must return a Tensor, got 3.0"),
        ({"f": lambda x: x.sum()}, TypeError, r"shape \(2001,\), element by element; got shape"),
        ({"f": lambda x: x if x > 0 else -x}, TypeError, r"by element \(dl.where in place of if"),
        ({"f": lambda x: dl.log(x)}, ValueError, r"f\(-0.75\) is nan"),
        ({"f": lambda x: dl.Tensor(x.data)}, TypeError, "does not depend on θ"),
        ({"f": lambda x: dl.where(x > 1.0, x * math.nan, x)}, ValueError, r"f\(1.00\d*\) is nan"),
    ],
)  # fmt: skip
def test_invalid_arguments_raise(options, error, message):
    with pytest.raises(error, match=f"^landscape: .*{message}"):
        landscape(**options)
    assert not pyplot.get_fignums()
