"""Formulas have the value that Python computes, and a worked line gives it again."""

import math

import numpy as np
import pytest
from cases import ANY_TREE, EQUATIONS, evaluate_line
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl._format import plain
from minidl.walkthrough import formulas, parser
from minidl.walkthrough.formulas import Scope
from minidl.walkthrough.parser import FormulaError, parse, tree

X = np.array([[0.5, -1.5, 2.0], [3.0, 0.0, -0.25]])
VALUES = {
    "a": X,
    "x": X,
    "b": np.array([2.0, 3.0, -1.0]),
    "c": np.array([[2.0], [-0.5]]),
    "p": np.array([0.5, 2.0, 1.0]),
    "k": 3,
    "β₁": 0.9,
    "P": np.arange(6.0).reshape(2, 3),
    "Q": np.arange(12.0).reshape(3, 4),
}
PYTHON = {
    "a + b c": "a + b * c",
    "a − b − c": "a - b - c",
    "a b / 2 c": "(a * b) / (2 * c)",
    "−a²": "-(a**2)",
    "½ a": "a / 2",
    "p^−k": "p**-3.0",
    "pˣ": "p**x",
    "e⁻ˣ": "np.exp(-x)",
    "1 / (1 + e⁻ˣ)": "1 / (1 + np.exp(-x))",
    "1 − β₁³": "1 - 0.9**3",
    "√p b": "np.sqrt(p) * b",
    "ln p": "np.log(p)",
    "sin a": "np.sin(a)",
    "−b cos a": "-b * np.cos(a)",
    "tanh a": "np.tanh(a)",
    "sgn a": "np.sign(a)",
    "|a − b|": "np.abs(a - b)",
    "σ(a)": "1 / (1 + np.exp(-a))",
    "φ(b)": "[math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in b]",
    "Φ(b)": "[math.erfc(-x / math.sqrt(2)) / 2 for x in b]",
    "max(a, b)": "np.maximum(a, b)",
    "min(a, 0)": "np.minimum(a, 0)",
    "[a > b]": "(a > b).astype(float)",
    "[a ≥ 0] + [a ≤ 0] + [a ≠ 0]": "1 + (a == 0) * 1.0 + (a != 0)",
    "a if a > 0 else c a": "np.where(a > 0, a, c * a)",
    "1 if a > 0 and not b > 0 or a = 0 else 0": "((a > 0) & ~(b > 0) | (a == 0)) * 1.0",
    "P @ Q": "P @ Q",
    "Qᵀ @ Pᵀ": "(P @ Q).T",
    "Σ a b": "np.sum(a * b).reshape(1, 1)",
    "Σᵢ a": "np.sum(a, 0, keepdims=True)",
    "Σₖ a": "np.sum(a, 1, keepdims=True)",
    "a − Σₖ a c": "a - np.sum(a * c, 1, keepdims=True)",
    "mean(a²) n": "np.mean(a**2).reshape(1, 1) * 6",
    "max a": "np.max(a).reshape(1, 1)",
    "[a = max a] / Σ [a = min a]": "(a == 3.0) * np.ones((2, 3))",
    "softmax(a)": "np.exp(a) / np.exp(a).sum(-1, keepdims=True)",
    "b / 0": "[math.inf, math.inf, -math.inf]",
}


@pytest.mark.parametrize("line", PYTHON)
def test_the_value_of_a_formula_is_what_python_computes(line):
    found = Scope(VALUES).value(tree(line))
    expected = eval(PYTHON[line], {"np": np, "math": math}, VALUES)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)
    assert np.shape(found) == np.shape(expected)


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 1)])
@pytest.mark.parametrize(
    ("line", "reduced"),
    [("Σ x", np.sum), ("mean x", np.mean), ("max x", np.max), ("min x", np.min)],
)
def test_a_reduction_goes_along_the_axis_of_its_scope(line, reduced, axis):
    found = Scope(VALUES, axis).value(tree(line))
    np.testing.assert_allclose(found, reduced(X, axis, keepdims=True), rtol=1e-15)


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_goes_along_the_axis_of_its_scope(axis):
    found = Scope(VALUES, axis).value(tree("softmax(x)"))
    np.testing.assert_allclose(found.sum(axis), 1)


def test_an_unknown_symbol_is_named():
    with pytest.raises(FormulaError, match="unknown symbol q"):
        Scope(VALUES).value(tree("a + q"))


LONG = np.arange(1.0, 101)
SPECIAL = np.array([math.nan, math.inf, -math.inf, -0.0])
M = np.array([[1.0, -2.0], [3.0, 4.0]])
V = np.array([10.0, -20.0])
WORKED = [
    ("a + b", {"a": M, "b": V}, (1, 0), "3 + 10"),
    ("a + b", {"a": M, "b": V}, (0, 1), "−2 + (−20)"),
    ("a − b", {"a": V, "b": V[:, None]}, (1, 0), "10 − (−20)"),
    ("a b", {"a": M, "b": M}, (0, 1), "(−2) · (−2)"),
    ("a − b c", {"a": 1.0, "b": V, "c": 3.0}, (1,), "1 − (−20) · 3"),
    ("a / (b c)", {"a": 1.0, "b": V, "c": 3.0}, (1,), "1 / ((−20) · 3)"),
    ("−a", {"a": V}, (1,), "−(−20)"),
    ("a²", {"a": V}, (1,), "(−20)²"),
    ("a²", {"a": 1e-6}, (), "(1e−6)²"),
    ("(a + b)²", {"a": V, "b": 1.0}, (0,), "(10 + 1)²"),
    ("aᵇ", {"a": V, "b": np.array([2, 3])}, (0,), "10²"),
    ("aᵇ", {"a": V, "b": np.array([2, -3])}, (1,), "(−20)⁻³"),
    ("aᵇ", {"a": V, "b": 0.5}, (0,), "10^0.5"),
    ("aᵇ⁻¹", {"a": V, "b": 2.0}, (0,), "10^(2 − 1)"),
    ("eˣ", {"x": V}, (0,), "e¹⁰"),
    ("e⁻ˣ", {"x": np.array([1.5])}, (0,), "e^(−1.5)"),
    ("Σ a b", {"a": V, "b": V}, (0,), "10 · 10 + (−20) · (−20)"),
    ("Σ a", {"a": V}, (0,), "10 + (−20)"),
    ("2 Σ a", {"a": V}, (0,), "2 · (10 + (−20))"),
    ("Σᵢ a", {"a": M}, (1,), "−2 + 4"),
    ("Σₖ a", {"a": M}, (1, 0), "3 + 4"),
    ("Σ a", {"a": LONG}, (0,), "1 + 2 + 3 + 4 + 5 + … (95 more)"),
    ("Σ a", {"a": np.arange(6.0)}, (0,), "0 + 1 + 2 + 3 + 4 + 5"),
    ("Σ a", {"a": np.ones(2005)}, (0,), "1 + 1 + 1 + 1 + 1 + … (2,000 more)"),
    ("Σ a", {"a": np.ones(0)}, (0,), "0"),
    ("mean(a²)", {"a": V}, (0,), "(10² + (−20)²) / 2"),
    ("max a", {"a": V}, (0,), "max(10, −20)"),
    ("max(a, b)", {"a": V, "b": 0.0}, (1,), "max(−20, 0)"),
    ("a @ b", {"a": M, "b": M}, (0, 1), "1 · (−2) + (−2) · 4"),
    ("a @ b", {"a": np.stack([M, -M]), "b": M}, (1, 0, 0), "(−1) · 1 + 2 · 3"),
    ("a @ bᵀ", {"a": M, "b": M}, (0, 1), "1 · 3 + (−2) · 4"),
    ("aᵀ @ b + c", {"a": M, "b": M, "c": V}, (0, 1), "1 · (−2) + 3 · 4 + (−20)"),
    (
        "a @ b",
        {"a": LONG[None], "b": LONG[:, None]},
        (0, 0),
        "1 · 1 + 2 · 2 + 3 · 3 + 4 · 4 + 5 · 5 + … (95 more)",
    ),
    ("a if a > 0 else s a", {"a": V, "s": 0.1}, (0,), "10"),
    ("a if a > 0 else s a", {"a": V, "s": 0.1}, (1,), "0.1 · (−20)"),
    ("2 (a if a > 0 else −a)", {"a": V}, (1,), "2 · (−(−20))"),
    ("g [a > b]", {"g": 2.0, "a": V, "b": 0.0}, (1,), "2 · [−20 > 0]"),
    ("|a|", {"a": V}, (1,), "|−20|"),
    ("√a", {"a": V}, (0,), "√10"),
    ("√(a + b)", {"a": V, "b": 1.0}, (0,), "√(10 + 1)"),
    ("√(a b) + c", {"a": 2.0, "b": 8.0, "c": V}, (0,), "√(2 · 8) + 10"),
    ("tanh a", {"a": V}, (1,), "tanh(−20)"),
    ("a b", {"a": SPECIAL, "b": SPECIAL}, (0,), "NaN · NaN"),
    ("a b", {"a": SPECIAL, "b": SPECIAL}, (1,), "∞ · ∞"),
    ("a b", {"a": SPECIAL, "b": SPECIAL}, (2,), "(−∞) · (−∞)"),
    ("a + b", {"a": SPECIAL, "b": SPECIAL}, (3,), "0 + 0"),
    ("½ a + 0.96", {"a": V}, (0,), "½ · 10 + 0.96"),
]


@pytest.mark.parametrize(("line", "values", "at", "expected"), WORKED)
def test_a_line_is_worked_out_with_the_numbers_of_one_entry(line, values, at, expected):
    assert plain(Scope(values).worked(tree(line), at)) == expected


def test_the_number_of_terms_that_are_written_out_can_be_chosen():
    scope = Scope({"a": LONG}, terms=3)
    assert plain(scope.worked(tree("Σ a"), (0,))) == "1 + 2 + … (98 more)"


@pytest.mark.parametrize(
    ("shape", "at", "expected"),
    [
        ((3,), (1,), "1 + 4"),
        ((2, 1), (1, 0), "3 + 4 + 5"),
        ((1, 3), (0, 2), "2 + 5"),
        ((1,), (0,), "0 + 1 + 2 + 3 + 4 + 5"),
        ((), (), "0 + 1 + 2 + 3 + 4 + 5"),
    ],
)
def test_the_sum_that_undoes_broadcasting_has_a_term_for_each_repetition(shape, at, expected):
    data = np.arange(6.0).reshape(2, 3)
    assert plain(formulas.unbroadcast_terms("x", data, shape, at)) == expected


@given(ANY_TREE, st.lists(st.floats(-9, 9), min_size=3, max_size=3))
@settings(max_examples=200)
def test_a_worked_line_read_with_ordinary_arithmetic_gives_the_value(node, numbers):
    scope = Scope(dict(zip("abcd", [*numbers, 3], strict=True)))
    try:
        found = evaluate_line(scope.worked(node, ()))
    except (ZeroDivisionError, OverflowError):
        return
    np.testing.assert_allclose(found, scope.value(node), rtol=1e-12)


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("g", "1"),
        ("−g", "−1"),
        ("g b", "b"),
        ("g / b", "1 / b"),
        ("−g y / b", "−y / b"),
        ("g (1 − y²)", "1 − y²"),
        ("g y (1 − y)", "y (1 − y)"),
        ("g / (2 y)", "1 / (2 y)"),
        ("g [x > 0]", "[x > 0]"),
        ("slope · g", "slope"),
        ("g if x > 0 else slope · g", "1 if x > 0 else slope"),
        ("g b aᵇ⁻¹ if b ≠ 0 else 0", "b aᵇ⁻¹ if b ≠ 0 else 0"),
    ],
)
def test_a_derivative_without_g_is_the_local_one(line, local):
    assert formulas.without_g(tree(line)) == tree(local)


ENTRYWISE = [
    line
    for line in EQUATIONS.values()
    if line.startswith("∂") and formulas.entrywise(parse(line).tree)
]


@pytest.mark.parametrize("line", ENTRYWISE)
def test_g_times_the_local_derivative_is_the_derivative(line, rng):
    equation = parse(line)
    scope = Scope({name: rng.uniform(0.1, 0.9, 5) for name in parser.names(equation.tree)})
    local = scope.value(formulas.without_g(equation.tree))
    np.testing.assert_allclose(scope.look_up("g") * local, scope.value(equation.tree), rtol=1e-14)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        *(("g (1 − y²)", True), ("g a if a ≠ 0 else 0", True), ("max(a, b)", True)),
        *(("[a > b] + √|c|", True), ("tanh(a)", True), ("max a", False), ("min a + b", False)),
        *(("mean x", False), ("a softmax(x)", False), ("Σ a", False), ("y (g − Σ g y)", False)),
        *(("a @ b", False), ("aᵀ", False), ("x @ W + b", False)),
    ],
)
def test_a_formula_is_entrywise_if_no_entry_needs_another(line, answer):
    assert formulas.entrywise(tree(line)) is answer


@pytest.mark.parametrize(
    ("line", "symbols"),
    [
        ("a + b", ["a", "b"]),
        ("x @ W + b", ["b"]),
        ("Σ a b", []),
        ("x − ln Σ eˣ", ["x"]),
        ("a if c else b", ["a", "c", "b"]),
        ("max(a, b)", ["a", "b"]),
        ("max a", []),
        ("g softmax(x)", ["g"]),
        ("aᵀ @ g", []),
    ],
)
def test_symbols_outside_of_sums_and_products_are_broadcast(line, symbols):
    assert list(formulas.broadcast_symbols(tree(line))) == symbols


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("y = a − b", 3),
        ("y = a − (b − a)", 4),
        ("y = −a b", 2),
        ("y = 6 a / (a − b)", 6),
        ("y = √a − b", 3),
        ("y = a if a > b else b − a", 3),
        ("y = |a − b|", 1),
    ],
)
def test_the_magnitude_of_a_formula_is_that_of_its_terms_before_they_cancel(formula, expected):
    scope = Scope({"a": 1.0, "b": 2.0})
    assert float(scope.magnitude(parse(formula).tree)) == expected
