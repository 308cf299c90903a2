"""Surfaces against SymPy: values, gradients, minima and formulas; and functions of a user."""

import functools
import math
import pickle
import re

import numpy as np
import pytest
import sympy
from sympy.parsing import sympy_parser

import minidl as dl
from minidl.viz import SURFACES, Surface
from minidl.viz._race import surfaces

X, Y, T = sympy.symbols("x y t", real=True)
BEALE = {1: sympy.Rational(3, 2), 2: sympy.Rational(9, 4), 3: sympy.Rational(21, 8)}

TRUTH = {
    "bowl": X**2 / 2 + Y**2,
    "ravine": X**2 / 2 + 20 * Y**2,
    "rosenbrock": 100 * (Y - X**2) ** 2 + (1 - X) ** 2,
    "beale": sum((c - X * (1 - Y**i)) ** 2 for i, c in BEALE.items()),
    "himmelblau": (X**2 + Y - 11) ** 2 + (X + Y**2 - 7) ** 2,
    "rastrigin": 10 * 2 + sum(t**2 - 10 * sympy.cos(2 * sympy.pi * t) for t in (X, Y)),
    "styblinski-tang": sum(t**4 - 16 * t**2 + 5 * t for t in (X, Y)) / 2,
    "saddle": X**2 / 2 + sympy.integrate(T**3 - T, (T, 0, Y)),
    "two-wells": Y**2 + sympy.integrate((T**2 - 1) * (4 * T - 1), (T, -1, X)),
    "plateau": 1 - sympy.exp(-(X**2 + Y**2) / 2),
}
DOMAINS = {
    "rosenbrock": ((-2, 2), (-1, 3)),
    "beale": ((-4.5, 4.5), (-4.5, 4.5)),
    "himmelblau": ((-5, 5), (-5, 5)),
    "rastrigin": ((-5.12, 5.12), (-5.12, 5.12)),
    "styblinski-tang": ((-5, 5), (-5, 5)),
}
LOWEST = {"styblinski-tang": -78.33233140754282, "saddle": -0.25}  # of all others 0
COUNTS = {"himmelblau": 4, "saddle": 2}  # of all others 1
named = pytest.mark.parametrize("name", TRUTH)


def points_in(surface, rng, n):
    low, high = np.transpose([surface.x, surface.y])
    return rng.uniform(low, high, (n, 2)).T


def at(surface, x, y):
    """The value and the gradient at one point, as floats."""
    value, gradient = surface.at(np.array([x, y], np.float64))
    return float(value), gradient.tolist()


@functools.cache
def computed(expression):
    return sympy.lambdify((X, Y), expression, "numpy")


def exactly(expression, point):
    """With thirty digits, at a point given in float64."""
    values = zip((X, Y), map(sympy.Float, map(sympy.Rational, map(float, point))), strict=True)
    return float(expression.evalf(30, subs=dict(values)))


def hessian(name, point):
    matrix = sympy.hessian(TRUTH[name], (X, Y))
    return np.array([[exactly(matrix[i, j], point) for j in (0, 1)] for i in (0, 1)])


# --- surfaces with a name -----------------------------------------------------------------------


def test_each_named_surface_is_tested_here():
    assert list(SURFACES) == list(TRUTH)
    assert all(surface.name == name for name, surface in SURFACES.items())


@named
def test_values_and_gradients_are_those_of_the_literature(name, rng):
    surface, truth = SURFACES[name], TRUTH[name]
    x, y = points = points_in(surface, rng, 200)
    value, gradient = surface.at(points)
    expected = computed(truth)(x, y)
    np.testing.assert_allclose(value, expected, 1e-12, 1e-12 * np.abs(expected).max())
    for found, axis in zip(gradient, (X, Y), strict=True):
        slope = computed(sympy.diff(truth, axis))(x, y)
        np.testing.assert_allclose(found, slope, 1e-12, 1e-12 * np.abs(slope).max())


@pytest.mark.parametrize("name", DOMAINS)
def test_domains_are_those_of_the_literature(name):
    assert (SURFACES[name].x, SURFACES[name].y) == DOMAINS[name]


@named
def test_minima_are_minima(name, rng):
    surface, truth = SURFACES[name], TRUTH[name]
    everywhere = computed(truth)(*points_in(surface, rng, 100_000)).min()
    for point in surface.minima:
        slope = [exactly(sympy.diff(truth, axis), point) for axis in (X, Y)]
        assert math.hypot(*slope) <= 1e-12
        assert np.linalg.eigvalsh(hessian(name, point)).min() > 0
        assert exactly(truth, point) == pytest.approx(LOWEST.get(name, 0), rel=1e-14, abs=1e-25)
        assert exactly(truth, point) <= everywhere


@named
def test_the_search_finds_the_stated_minima_and_no_others(name):
    stated = SURFACES[name]
    searched = Surface(stated.function, stated.x, stated.y)
    assert searched.searched
    assert not stated.searched
    assert len(stated.minima) == len(searched.minima) == COUNTS.get(name, 1)
    np.testing.assert_allclose(
        sorted(searched.minima.tolist()), sorted(stated.minima.tolist()), rtol=0, atol=1e-7
    )


@named
def test_formulas_are_those_that_are_computed(name):
    text = SURFACES[name].formula.removeprefix("f = ")
    signs = {"²": "**2", "³": "**3", "⁴": "**4", "−": "-", "e^": "exp"}
    for sign, python in signs.items():
        text = text.replace(sign, python)
    text = re.sub(r"cos 2π([xy])", r"cos(2*pi*\1)", text)
    rules = (
        *sympy_parser.standard_transformations,
        sympy_parser.implicit_multiplication,
        sympy_parser.rationalize,
    )
    parsed = sympy_parser.parse_expr(text, {"x": X, "y": Y}, transformations=rules)
    assert sympy.simplify(parsed - TRUTH[name]) == 0


@named
def test_named_surfaces_are_element_wise(name):
    assert SURFACES[name].elementwise


@named
def test_surfaces_are_found_by_name_in_any_spelling(name):
    for spelling in (name, name.upper(), name.replace("-", "_"), name.replace("-", " ").title()):
        assert surfaces.as_surface(spelling) is SURFACES[name]


def test_two_wells_have_a_shallow_well_a_deep_one_and_a_pass_between():
    surface = SURFACES["two-wells"]
    places = {(-1, 0): 0, (1, 0): 4 / 3}
    for place, value in places.items():
        assert at(surface, *place)[0] == pytest.approx(value, abs=1e-15)
        np.testing.assert_allclose(at(surface, *place)[1], 0, atol=1e-15)
        assert np.linalg.eigvalsh(hessian("two-wells", place)).min() > 0
    value, gradient = at(surface, 0.25, 0)
    assert value > 4 / 3
    np.testing.assert_allclose(gradient, 0, atol=1e-15)
    assert np.sign(np.linalg.eigvalsh(hessian("two-wells", (0.25, 0)))).tolist() == [-1, 1]
    assert surface.start[0] > 0.25  # races begin on the shallow well's side


def test_the_saddle_is_at_the_origin():
    assert at(SURFACES["saddle"], 0, 0) == (0, [0, 0])
    assert np.linalg.eigvalsh(hessian("saddle", (0, 0))).tolist() == [-1, 1]


def test_the_ravine_is_forty_times_as_steep_across_as_along():
    assert hessian("ravine", (0.3, 0.7)).tolist() == [[1, 0], [0, 40]]
    assert at(SURFACES["ravine"], 1, 1)[1] == [1, 40]


def test_the_plateau_is_flat_far_out():
    assert math.hypot(*at(SURFACES["plateau"], 5, 5)[1]) < 1e-9


@named
def test_starts_are_inside_and_away_from_the_minima(name):
    surface = SURFACES[name]
    assert surface.contains(np.array(surface.start))
    assert np.hypot(*(surface.minima - surface.start).T).min() > 0.1 * surface.width


# --- a surface of one's own ---------------------------------------------------------------------


def paraboloid(x, y):
    return (x - 0.5) ** 2 + 2 * (y + 0.25) ** 2


def test_a_surface_of_a_function_has_a_square_domain_and_a_start_in_its_upper_left_quarter():
    surface = Surface(paraboloid)
    assert (surface.x, surface.y, surface.start) == ((-2, 2), (-2, 2), (-1, 1))
    assert (surface.name, surface.width) == ("paraboloid", 4)
    assert surface.formula == "f = (x − 0.5)² + 2 (y + 0.25)²"
    np.testing.assert_allclose(surface.minima, [[0.5, -0.25]], rtol=0, atol=1e-12)
    other = Surface(paraboloid, (0, 4), (-8, 0))
    assert (other.start, other.width) == ((1, -2), 8)


class Callable:
    def __call__(self, x, y):
        return x**2 + y**2


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (paraboloid, "paraboloid"),
        (lambda x, y: x**2 + y**2, "your function"),
        (Callable(), "the function"),
        (functools.partial(paraboloid), "the function"),
    ],
)
def test_a_surface_has_the_name_of_its_function(function, name):
    assert Surface(function).name == name
    assert Surface(function, name="hill").name == "hill"
    assert surfaces.as_surface(function).name == name


def test_a_surface_is_returned_as_it_is():
    surface = Surface(paraboloid)
    assert surfaces.as_surface(surface) is surface


def test_points_on_the_edge_are_inside():
    surface = Surface(paraboloid, (0, 1), (2, 4))
    corners = np.array([[0, 0, 1, 1], [2, 4, 2, 4.0]])
    assert surface.contains(corners).all()
    outer = corners + np.array([[-1, 0, 1, 0], [0, 1, 0, -1]]) * 1e-9
    outer[1] += [0, 0, 0, 2e-9 + 0.1]
    assert not surface.contains(outer).any()


@named
def test_the_grid_has_a_row_for_each_y_and_a_column_for_each_x(name):
    surface = SURFACES[name]
    x, y, z = surface.grid(7)
    assert (x[0], x[-1]) == surface.x
    assert (y[0], y[-1]) == surface.y
    np.testing.assert_allclose(np.diff(x), (x[-1] - x[0]) / 6)
    np.testing.assert_allclose(np.diff(y), (y[-1] - y[0]) / 6)
    expected = [[computed(TRUTH[name])(a, b) for a in x] for b in y]
    np.testing.assert_allclose(z, expected, 1e-12, 1e-12)
    assert surface.grid()[2].shape == (surfaces.GRID, surfaces.GRID)


def test_a_grid_has_nan_where_the_function_has_none_and_no_warning():
    surface = Surface(lambda x, y: dl.log(x) + y**2, minima=[(1, 0)])
    x, _, z = surface.grid(5)
    assert np.isfinite(z).tolist() == [(x > 0).tolist()] * 5


# --- one point at a time ------------------------------------------------------------------------


def with_if(x, y):
    if x.item() > 0.3:
        return (x - 1) ** 2 + dl.cos(1.1 * y)
    return (x - 1) ** 2 + dl.cos(1.1 * y) + 0.1 * (x - 0.3) ** 2


def without_if(x, y):
    return (x - 1) ** 2 + dl.cos(1.1 * y) + 0.1 * dl.where(x.data > 0.3, x * 0, (x - 0.3) ** 2)


def stacked(x, y):
    return ((dl.stack([x, y]) - 0.3) ** 2).sum()


def plain(x, y):
    return (x - 0.3) ** 2 + (y - 0.3) ** 2


def of_others(x):
    """The sum of all other entries."""
    return x.sum() - x


@pytest.mark.parametrize(
    ("function", "elementwise"),
    [
        (paraboloid, True),
        (without_if, True),
        (with_if, False),
        (stacked, False),
        (lambda x, y: (x**2 + y**2).sum(), False),
        (lambda x, y: x**2 + (x - x.mean()) ** 2 + y**2, False),
        (lambda x, y: x**2 + dl.reshape(y, (1,))[0] ** 2, False),
        (lambda x, y: dl.reshape(x**2 + y**2, (-1,)), True),
        (lambda x, y: dl.Tensor(1.0), False),
        (lambda x, y: x**2 + y**2 + of_others(x) - of_others(x).detach(), False),
    ],
)
def test_functions_that_need_one_point_at_a_time_are_detected(function, elementwise):
    assert Surface(function, minima=[(0, 0)]).elementwise == elementwise


@pytest.mark.parametrize(("single", "many"), [(with_if, without_if), (stacked, plain)])
def test_one_point_at_a_time_gives_the_numbers_of_many_at_once(single, many, rng):
    one, all_ = Surface(single), Surface(many)
    points = points_in(one, rng, 24).reshape(2, 2, 3, 4)
    value, gradient = one.at(points)
    assert value.shape == (2, 3, 4)
    assert gradient.shape == points.shape
    assert value.dtype == gradient.dtype == np.float64
    for found, expected in zip((value, gradient), all_.at(points), strict=True):
        np.testing.assert_allclose(found, expected, 1e-14, 1e-15)
    np.testing.assert_allclose(one.minima, all_.minima, rtol=0, atol=1e-9)


@pytest.mark.parametrize("function", [with_if, without_if])
def test_values_are_float64_whatever_the_default(function):
    value, gradient = at(Surface(function), 0.7, -0.9)
    assert value == pytest.approx(0.09 + math.cos(0.99), rel=1e-15)
    assert gradient == pytest.approx([-0.6, 1.1 * math.sin(0.99)], rel=1e-15)


def test_constants_in_a_function_are_float64_too():
    surface = Surface(lambda x, y: x * dl.Tensor(0.1) + y**2)
    x, _, z = surface.grid(3)
    assert z[1].tolist() == (x * 0.1).tolist()
    assert at(surface, 1, 0) == (0.1, [0.1, 0])


def test_a_variable_that_is_not_used_has_gradient_0():
    assert at(Surface(lambda x, y: x**2, minima=[(0, 0)]), 0.5, 1) == (0.25, [1, 0])
    assert at(Surface(lambda x, y: dl.Tensor(3.0), minima=[(0, 0)]), 0.5, 1) == (3, [0, 0])


def test_evaluation_leaves_points_as_they_are(rng):
    points = 0.1 * points_in(SURFACES["bowl"], rng, 5)
    before = points.copy()
    SURFACES["bowl"].at(points)
    found, *_ = SURFACES["bowl"]._stationary(points, 1.0)
    np.testing.assert_allclose(found, 0, atol=1e-9)
    assert np.array_equal(points, before)


# --- stationary points --------------------------------------------------------------------------

PASS = SURFACES["two-wells"]


@pytest.mark.parametrize(
    ("surface", "near", "at", "kind"),
    [
        ("bowl", (0.02, -0.03), (0, 0), "minimum"),
        ("rosenbrock", (0.98, 0.961), (1, 1), "minimum"),
        ("himmelblau", (3.55, -1.85), (3.584428340330492, -1.8481265269644036), "minimum"),
        ("saddle", (0.02, -0.01), (0, 0), "saddle"),
        ("saddle", (0.02, 0.97), (0, 1), "minimum"),
        ("two-wells", (0.98, 0.02), (1, 0), "minimum"),
        ("two-wells", (0.27, 0.01), (0.25, 0), "saddle"),
        ("rastrigin", (0.51, 0.49), (0.502546037, 0.502546037), "maximum"),
        ("himmelblau", (-0.26, -0.91), (-0.270844591, -0.923038522), "maximum"),
        (lambda x, y: 1 - x**2 - 3 * y**2, (0.01, 0.01), (0, 0), "maximum"),
        (lambda x, y: dl.exp(x) - x, (0.02, 1.7), (0, 1.7), "minimum"),  # flat along y
        (lambda x, y: x**2 - y**2, (-0.01, 0.03), (0, 0), "saddle"),
        (stacked, (0.32, 0.28), (0.3, 0.3), "minimum"),
    ],
)
def test_close_stationary_points_are_found_and_classified(surface, near, at, kind):
    domain = surfaces.as_surface(surface)
    found, kinds, _ = domain._stationary(np.array(near)[:, None], 0.05)
    assert kinds.tolist() == [kind]
    np.testing.assert_allclose(found[:, 0], at, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("surface", "near"),
    [
        ("bowl", (1, 1)),
        ("bowl", (0.06, 0)),  # farther than 0.05
        ("plateau", (4, 4)),
        (lambda x, y: x + y, (0.5, 0.5)),
        (lambda x, y: dl.abs(x) + dl.abs(y), (0, 0.01)),
        (lambda x, y: dl.log(x) + y**2, (-1, 0)),  # not a number there
        (lambda x, y: 1e6 * (x - y) ** 2 + (x + y - 1) ** 2, (0, 0)),  # it is along the valley
        (lambda x, y: 1e8 * (x - y) ** 2 + (x + y - 1) ** 2, (0, 0)),
    ],
)
def test_without_a_close_stationary_point_the_kind_is_empty(surface, near):
    domain = surfaces.as_surface(surface)
    assert domain._stationary(np.array(near)[:, None], 0.05)[1].tolist() == [""]


def test_a_flat_surface_has_the_kind_flat():
    domain = surfaces.as_surface(lambda x, y: dl.relu(x) ** 2 + dl.relu(y) ** 2)
    points = np.transpose([(-1, -1), (1, -1)])
    assert domain._stationary(points, 0.05)[1].tolist() == ["flat", ""]


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x, y: x**3 + y**2, "saddle"),
        (lambda x, y: x**3 - y**2, "saddle"),
        (lambda x, y: x**2 - y**4, "saddle"),
        (lambda x, y: x**2 + y**4, "minimum"),
        (lambda x, y: x**4 + y**4, "minimum"),
        (lambda x, y: -(x**2) - y**4, "maximum"),
        (lambda x, y: (x + y) ** 2, "minimum"),
    ],
)
def test_where_a_curvature_is_0_f_around_the_point_decides(function, kind):
    domain = surfaces.as_surface(function)
    assert domain._stationary(np.array([[0.02], [-0.02]]), 0.05)[1].tolist() == [kind]


@pytest.mark.parametrize(
    ("function", "minima"),
    [
        (lambda x, y: (x - 1.99) ** 2 + y**2, [(1.99, 0)]),  # in the outermost cells
        (lambda x, y: (x - 2) ** 2 + y**2, [(2, 0)]),
        (lambda x, y: (x - 2.01) ** 2 + y**2, []),
        (lambda x, y: dl.where(x > 0, x**2 + y**2, 5 + x**2 + y**2), [(0.04, 0)]),  # a jump
    ],
)
def test_minima_at_the_edge_and_at_jumps_are_found(function, minima):
    found = Surface(function).minima
    np.testing.assert_allclose(found, np.reshape(minima, (-1, 2)), rtol=0, atol=1e-6)


def test_a_surface_under_no_grad_raises():
    with (
        dl.no_grad(),
        pytest.raises(RuntimeError, match=r"no_grad\(\), but a race needs gradients"),
    ):
        Surface(lambda x, y: x**2 + y**2)


def test_a_surface_has_one_start_and_minima_that_cannot_be_changed():
    with pytest.raises(ValueError, match="start must be one point, got 2"):
        Surface(lambda x, y: x**2 + y**2, start=[(0, 0), (1, 1)])
    with pytest.raises(ValueError, match="read-only"):
        SURFACES["bowl"].minima[0, 0] = 1.0


@pytest.mark.parametrize("name", SURFACES)
def test_a_named_surface_can_be_pickled(name):
    copy = pickle.loads(pickle.dumps(SURFACES[name]))
    assert (copy.name, copy.start, copy.minima.tolist()) == (
        name,
        SURFACES[name].start,
        SURFACES[name].minima.tolist(),
    )


def test_within_is_the_distance_from_the_point_not_from_newtons_last_step():
    quartic = Surface(lambda x, y: x**4 + y**2, (-200, 200), (-200, 200), minima=[(0, 0)])
    points = np.array([[0.14, 0.04], [0, 0]])
    assert quartic._stationary(points, 0.05)[1].tolist() == ["", "minimum"]


def test_each_of_many_points_has_its_own_stationary_point():
    points = np.array([[0.01, 0.01, 1.0, 0.01], [0.01, 0.99, 0.5, -1.01]])
    found, kinds, descents = SURFACES["saddle"]._stationary(points, 0.05)
    assert kinds.tolist() == ["saddle", "minimum", "", "minimum"]
    assert found.shape == (2, 4)
    np.testing.assert_allclose(found[:, [0, 1, 3]], [[0, 0, 0], [0, 1, -1]], rtol=0, atol=1e-9)
    assert np.abs(descents[0]).tolist() == [[0, 1], [0, 0]]  # along y
    assert not descents[1:].any()
    *_, descents = Surface(lambda x, y: -(x**2) - 2 * y**2)._stationary(np.zeros((2, 1)), 0.05)
    np.testing.assert_allclose(descents[0] @ descents[0].T, np.eye(2), atol=1e-12)
    *_, descents = Surface(lambda x, y: x * y)._stationary(np.zeros((2, 1)), 0.05)
    np.testing.assert_allclose(np.abs(descents[0]).max(0), [0.5**0.5] * 2)
    assert abs(descents[0].sum()) < 1e-9  # along (1, −1)


# --- minima that are searched -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "minima"),
    [
        (lambda x, y: (x - 0.123) ** 2 + dl.cos(y + 2), [(0.123, math.pi - 2)]),
        (lambda x, y: (x**2 - 1.3) ** 2 + y**2, [(-math.sqrt(1.3), 0), (math.sqrt(1.3), 0)]),
        (lambda x, y: (x**2 - 1.3) ** 2 + y**2 + 0.3 * x, [(-1.1679951, 0)]),
        (lambda x, y: (x - 0.01) ** 2 + 1000 * (y - 0.02) ** 2, [(0.01, 0.02)]),
        (lambda x, y: x**2 / 1e6 + y**2 / 1e6, [(0, 0)]),
        (lambda x, y: 1e9 * ((x - 1) ** 2 + y**2), [(1, 0)]),
        (stacked, [(0.3, 0.3)]),
        (lambda x, y: dl.log(x) ** 2 + y**2, [(1, 0)]),  # not a number where x < 0
    ],
)
def test_minima_are_searched_for(function, minima):
    found = Surface(function).minima
    assert len(found) == len(minima)
    np.testing.assert_allclose(sorted(found.tolist()), minima, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: dl.abs(x - 0.31) + dl.abs(y + 0.77),
        lambda x, y: dl.sqrt((x - 0.31) ** 2 + (y + 0.77) ** 2),
        lambda x, y: dl.maximum(x - 0.31, 0.31 - x) + (y + 0.77) ** 2,
    ],
)
def test_minima_at_kinks_are_found_to_within_a_cell_of_the_grid(function):
    surface = Surface(function)
    assert len(surface.minima) == 1
    assert np.abs(surface.minima[0] - (0.31, -0.77)).max() <= surface.width / (surfaces.GRID - 1)


def test_a_minimum_without_a_derivative_causes_no_warning():
    assert Surface(lambda x, y: dl.sqrt(x**2 + y**2)).minima.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x + y,
        lambda x, y: -(x**2) - y**2,
        lambda x, y: x**2 - y**2,
        lambda x, y: (x**2 - 1) ** 2 + y**2 - 3 * x**3,  # the edge is lower than the well
        lambda x, y: (x - 2.01) ** 2 + y**2,  # a hundredth outside
    ],
)
def test_there_is_no_minimum_if_the_edge_is_lower(function):
    assert Surface(function).minima.shape == (0, 2)


def oblique(angle, centre):
    """A valley a thousand times as steep across as along, at an angle to the axes."""

    def function(x, y):
        c, s = math.cos(angle), math.sin(angle)
        along, across = (x - centre[0]) * c + (y - centre[1]) * s, (y - centre[1]) * c
        return along**2 + 1000 * (across - (x - centre[0]) * s) ** 2

    return function


@pytest.mark.parametrize(
    ("angle", "centre"),
    [(2.797, (1.6817, 1.9985)), (1.634, (1.8703, 1.7294)), (1.495, (1.7066, 1.6249))],
)
def test_the_minimum_of_a_narrow_valley_is_found(angle, centre):
    np.testing.assert_allclose(Surface(oblique(angle, centre)).minima, [centre], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("angle", "centre"),
    [(0.589, (2.0380, 1.6561)), (2.938, (2.1527, 1.5022)), (1.823, (1.7390, 2.0376))],
)
def test_a_valley_whose_lowest_point_is_outside_has_no_minimum(angle, centre):
    assert Surface(oblique(angle, centre)).minima.shape == (0, 2)


# --- what can't be ------------------------------------------------------------------------------


def assert_raises(error, expected, *args, **options):
    with pytest.raises(error) as caught:
        Surface(*args, **options)
    message = str(caught.value)
    assert all(word in message for word in expected), message


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x": (1, -1)}, ValueError, ["Surface: x must", "low < high", "(1, -1)"]),
        ({"y": (1, 1)}, ValueError, ["Surface: y must", "low < high", "(1, 1)"]),
        ({"x": 3}, TypeError, ["Surface: x must be two numbers", "got 3"]),
        ({"x": "ab"}, TypeError, ["Surface: x must be two numbers", "got 'ab'"]),
        ({"y": (1, 2, 3)}, TypeError, ["Surface: y must be two numbers", "(1, 2, 3)"]),
        ({"y": (0, "b")}, TypeError, ["Surface: y must be", "'b'"]),
        ({"y": (0, math.inf)}, ValueError, ["Surface: y must be a finite", "inf"]),
        ({"x": (math.nan, 1)}, ValueError, ["Surface: x must be a finite", "nan"]),
        ({"start": (0, 5)}, ValueError, ["start (0, 5)", "outside", "-2 to 2", "larger domain"]),
        ({"start": (math.nan, 0)}, ValueError, ["start (nan, 0)", "outside"]),
        ({"start": 3}, ValueError, ["start must be a point (x, y)", "got 3"]),
        ({"start": "here"}, ValueError, ["start must be a point (x, y)", "got 'here'"]),
        ({"minima": [(0, 0), (9, 0)]}, ValueError, ["minima (9, 0)", "outside the domain"]),
        ({"minima": []}, ValueError, ["minima must be", "got []"]),
        ({"minima": [(1, 2, 3)]}, ValueError, ["minima must be", "(1, 2, 3)"]),
    ],
)
def test_invalid_domains_starts_and_minima_raise(options, error, message):
    assert_raises(error, message, paraboloid, **options)


def sine(x, y):
    return x**2 + math.sin(y.item())


def detached(x, y):
    return x.detach() ** 2 + y**2


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (3, TypeError, ["Surface: function must be a function of two tensors", "got 3"]),
        (lambda x, y: 3.0, TypeError, ["must return a Tensor", "minidl's functions", "float"]),
        (lambda x, y: x.data**2, TypeError, ["must return a Tensor", "your function"]),
        (lambda x, y: None, TypeError, ["must return a Tensor", "NoneType"]),
        (lambda x, y: dl.stack([x, y]), ValueError, ["one number per point", "(2,)"]),
        (
            sine,
            ValueError,
            ["sine", "derivative with respect to y", "central differences", "dl.sin"],
        ),
        (detached, ValueError, ["detached", "derivative with respect to x", "backward finds 0"]),
    ],
)
def test_functions_without_a_number_or_with_a_hidden_gradient_raise(function, error, message):
    assert_raises(error, message, function)


def test_the_message_of_a_hidden_gradient_has_both_derivatives_and_the_point():
    with pytest.raises(ValueError, match="derivative with respect to y") as caught:
        Surface(sine)
    found = re.search(r", (\S+)\) its .* is (\S+) by central", str(caught.value))
    y, difference = map(float, found.groups())
    assert difference == pytest.approx(math.cos(y), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("bele", "beale"),
        ("Rosenbrok", "rosenbrock"),
        ("two wels", "two-wells"),
        ("qqq", None),
        (7, None),
    ],
)
def test_an_unknown_surface_raises_with_the_nearest_name(name, near):
    with pytest.raises(ValueError, match="there is no surface") as caught:
        surfaces.as_surface(name)
    message = str(caught.value)
    assert repr(name) in message
    assert ", ".join(SURFACES) in message
    assert (f"Did you mean {near!r}?" in message) if near else ("Did you mean" not in message)


def test_an_error_inside_a_function_is_raised():
    with pytest.raises(ZeroDivisionError):
        Surface(lambda x, y: x / 0 if isinstance(x, float) else 1 // 0)


def test_a_surface_leaves_the_default_dtype_and_numpys_random_state_alone():
    state = pickle.dumps(np.random.get_state())  # noqa: NPY002
    Surface(stacked).grid(3)
    with pytest.raises(ValueError, match="central differences"):
        Surface(sine)
    assert pickle.dumps(np.random.get_state()) == state  # noqa: NPY002
    assert dl.get_default_dtype() == np.float32


def test_a_grid_of_a_part_has_a_row_for_each_y():
    surface = SURFACES["beale"]
    x, y, f = surface.grid(5, (0, 4), (-1, 1))
    assert (x.tolist(), y.tolist()) == ([0, 1, 2, 3, 4], [-1, -0.5, 0, 0.5, 1])
    assert f[3, 3] == 0
    assert f[4, 1] == surface.at(np.array([1.0, 1.0]))[0]


def test_heights_are_logarithms_above_the_lowest_by_a_scale_of_the_valley():
    f = np.arange(101.0).reshape(1, -1) + 7
    high, scale = surfaces.heights(f, 7.0)
    assert scale == 3
    np.testing.assert_allclose(high[0], np.log(1 + np.arange(101) / 3), rtol=1e-15)
    holes, _ = surfaces.heights(np.where(f > 90, np.nan, f), 7.0)
    assert np.isnan(holes).tolist() == (f > 90).tolist()
    assert surfaces.heights(np.full((2, 2), 3.0), 3.0)[0].tolist() == [[0, 0], [0, 0]]


STATIONARY = {  # saddles, local minima and maxima inside the domain; of all others none
    "beale": (2, 0, 0),
    "himmelblau": (4, 0, 1),
    "rastrigin": (220, 120, 100),  # 10 · 11 twice, 11² − 1, 10²
    "styblinski-tang": (4, 3, 1),
    "saddle": (1, 0, 0),
    "two-wells": (1, 1, 0),
}


@named
def test_the_other_points_with_gradient_0_are_found_and_named(name):
    surface = SURFACES[name]
    found = surface.stationary_points(surface.x, surface.y)
    kinds = [kind for *_, kind in found]
    counts = tuple(kinds.count(kind) for kind in ("saddle", "local minimum", "maximum"))
    assert counts == STATIONARY.get(name, (0, 0, 0))
    slopes = sympy.lambdify((X, Y), [sympy.diff(TRUTH[name], t) for t in (X, Y)])
    curvatures = sympy.lambdify((X, Y), sympy.hessian(TRUTH[name], (X, Y)))
    for x, y, kind in found:
        np.testing.assert_allclose(slopes(x, y), 0, atol=1e-9)
        low, high = np.linalg.eigvalsh(np.array(curvatures(x, y), float))
        named_kind = "maximum" if high < 0 else "local minimum" if low > 0 else "saddle"
        assert kind == named_kind


def test_points_with_gradient_0_are_those_in_view():
    surface = SURFACES["two-wells"]
    assert surface.stationary_points((0.5, 2), (-1, 1)) == [(1, 0, "local minimum")]
    assert surface.stationary_points((-2, 0), (-1, 1)) == []


@pytest.mark.parametrize("function", [lambda x, y: x**2 + 0 * y, lambda x, y: 0 * x * y, stacked])
def test_a_valley_and_a_flat_surface_have_no_such_points(function):
    assert Surface(function).stationary_points((-2, 2), (-2, 2)) == []
