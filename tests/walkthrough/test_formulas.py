"""Formulas: read, evaluated as Python evaluates them, worked out for an entry, shown as MathML."""

import itertools
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from cases import read
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import ops, optim
from minidl._format import number, plain
from minidl.walkthrough import formulas as _formulas
from minidl.walkthrough import typesetting as _typesetting
from minidl.walkthrough.formulas import Equation, FormulaError, Scope, parse, tree
from minidl.walkthrough.typesetting import text

WORDS = ("mean", "Σ ", "")  # what a loss's reduction is in its formula


def stated():
    """Every formula and equation in the library, with the name of what states it."""
    for name, op in vars(ops).items():
        if hasattr(op, "formula") and not op.movement and not op.variadic:
            for line, word in itertools.product((op.formula, *op.derivatives), WORDS):
                yield name, line.replace("reduction", word)
    for name, rule in vars(optim).items():
        if isinstance(rule, type) and issubclass(rule, optim.Optimizer):
            for line in filter(str.strip, (optim.COMMON + rule.equations).splitlines()):
                yield name, line


STATED = {f"{name}: {line.strip()}": line for name, line in stated()}
every_line = pytest.mark.parametrize("line", STATED.values(), ids=STATED)


# --- reading a formula --------------------------------------------------------------------------

A, B, C = (("name", letter) for letter in "abc")
TREES = {
    "a": A,
    "2.5": ("number", "2.5"),
    "½": ("number", "½"),
    "a + b": ("+", A, B),
    "a b": ("·", A, B),
    "a / b": ("/", A, B),
    "a @ b": ("@", A, B),
    "a²": ("^", A, ("number", "2")),
    "aᵇ": ("^", A, B),
    "a⁻ᵇ": ("^", A, ("negative", B)),
    "a^(b+c)": ("^", A, ("+", B, C)),
    "aᵀ": ("transposed", A),
    "[a]": ("holds", A),
    "|a|": ("size", A),
    "−a": ("negative", A),
    "√a": ("call", "√", A),
    "√(a + b)": ("call", "√", ("+", A, B)),
    "max(a, b)": ("call", "max", A, B),
    "max(a)": ("call", "max", A),
    "Σₖ a": ("sum", "Σₖ", A),
    "a ≤ b": ("≤", A, B),
    "a if b else c": ("if", A, B, C),
    "a and b or c": ("or", ("and", A, B), C),
    "not a": ("not", A),
}
MEANT = {  # each line with all of its brackets
    "a + b c": "a + (b · c)",
    "a − b − c": "(a − b) − c",
    "a / b / c": "(a / b) / c",
    "a b / 2 c": "(a · b) / (2 · c)",
    "−a b": "−(a · b)",
    "−a + b": "(−a) + b",
    "−a²": "−(a²)",
    "a b²": "a (b²)",
    "(a b)²": "(a · b)^2",
    "aᵇ⁻¹": "a^(b − 1)",
    "e⁻ˣ": "e^(−x)",
    "a^−b c": "(a^(−b)) c",
    "aᵀ @ b": "(aᵀ) @ b",
    "a @ b + c": "(a @ b) + c",
    "√a b": "(√a) b",
    "ln a b": "(ln a) b",
    "tanh a²": "tanh (a²)",
    "tanh(a)²": "(tanh a)²",
    "Σ a b + c": "(Σ (a b)) + c",
    "a − Σ b c": "a − (Σ (b c))",
    "ln Σ eˣ": "ln (Σ (eˣ))",
    "2aβ": "(2 · a) · β",
    "2tβ₂ᵗ": "2 t (β₂^t)",
    "Πμ_next": "Π · μ_next",
    "a [b > c]": "a · ([b > c])",
    "a + b > c b": "(a + b) > (c b)",
    "a if b > c and not c = 0 or b else c": "a if ((b > c) and (not (c = 0))) or b else c",
    "a if b else b if c else a": "a if b else (b if c else a)",
    "  a  +  b ": "a + b",
}
LETTERS = [
    *("β₁", "v̂", "m̂", "ḡ", "ρ∞", "μ_t", "μ_next", "v_max", "lr_decay", "x₁", "δᵢ₊₁", "Δ", "θ"),
    *("E", "slope", "condition", "σ", "Φ"),  # σ(x) is a function, σ alone is not
]


@pytest.mark.parametrize("line", TREES)
def test_a_formula_is_a_tree_of_its_parts(line):
    assert tree(line) == TREES[line]
    assert text(TREES[line]) == line


@pytest.mark.parametrize("line", MEANT)
def test_what_binds_tighter_goes_first(line):
    assert tree(line) == tree(MEANT[line])


@pytest.mark.parametrize("letter", LETTERS)
def test_a_letter_keeps_its_accent_its_subscript_and_its_words(letter):
    assert tree(letter) == ("name", letter)
    assert list(_formulas.names(tree(f"2{letter} / ({letter} + b)"))) == [letter, letter, "b"]


@pytest.mark.parametrize(
    ("line", "letter", "sign", "right", "condition"),
    [
        ("y = tanh x", "y", "=", "tanh x", None),
        ("∂x = g / (2 y)  (+∞ at 0)", "∂x", "=", "g / (2 y)", None),
        ("    m̂ = m / (1 − β₁ᵗ)", "m̂", "=", "m / (1 − β₁ᵗ)", None),
        ("b ← g              if t = 1", "b", "←", "g", "t = 1"),
        ("b ← g   if μ > 0 and not c  (at first)", "b", "←", "g", "μ > 0 and not c"),
        ("y = a if c else b", "y", "=", "a if c else b", None),
        ("y = a if c else b   if d", "y", "=", "a if c else b", "d"),
    ],
)
def test_an_equation_has_a_letter_a_sign_a_tree_and_perhaps_a_condition(
    line, letter, sign, right, condition
):
    found = parse(line)
    assert found == Equation(
        f"{letter} {sign} {right}", letter, sign, tree(right), condition and tree(condition)
    )


NOT_FORMULAS = [
    *("", " ", "+", "a +", "+ a", "a + + b", "(a", "a)", "()", "a ? b", "a # b", "[a", "|a"),
    *("max(a, b", "max(a b", "√", "Σ", "tanh", "if a", "a if b", "a else b", "a if else b"),
    *("a < ", "not", "a b =", "a^", "a.b"),
]


@pytest.mark.parametrize("line", NOT_FORMULAS)
def test_what_is_no_formula_is_refused_with_its_text(line):
    with pytest.raises(FormulaError, match="no formula") as raised:
        tree(line)
    assert repr(line) in str(raised.value)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("line", ["", "a + b", "y a = b", "y = ", "y == a", "= a", "y → a"])
def test_what_is_no_equation_is_refused(line):
    with pytest.raises(FormulaError, match=r"formula|equation"):
        parse(line)


# --- what a formula amounts to ------------------------------------------------------------------

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
def test_a_formula_amounts_to_what_python_computes(line):
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


def test_a_letter_that_stands_for_nothing_is_named():
    with pytest.raises(FormulaError, match="q stands for nothing here"):
        Scope(VALUES).value(tree("a + q"))


# --- worked out for an entry --------------------------------------------------------------------

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
    assert plain(_formulas.sum_of("x", data, shape, at)) == expected


SMALL = st.sampled_from(
    [*(("name", letter) for letter in "abcd"), ("number", "2"), ("number", "½")]
)


def larger(part):
    """Trees of which these are parts."""
    compared = st.tuples(st.sampled_from("<>=≠≤≥"), part, part)
    power = st.sampled_from([("number", "2"), ("number", "3"), ("name", "d")])
    condition = st.one_of(
        compared,
        st.tuples(st.sampled_from(["and", "or"]), compared, compared),
        compared.map(lambda c: ("not", c)),
    )
    return st.one_of(
        st.tuples(st.sampled_from("+−·/"), part, part),
        st.tuples(st.just("^"), part, power),
        part.map(lambda x: ("negative", x)),
        SMALL.map(lambda x: ("size", x)),
        compared.map(lambda c: ("holds", c)),
        part.map(lambda x: ("call", "√", x)),
        part.map(lambda x: ("call", "tanh", x)),
        st.tuples(st.just("call"), st.sampled_from(["max", "min"]), part, part),
        st.tuples(st.just("if"), part, condition, part),
    )


ANY_TREE = st.recursive(SMALL, larger, max_leaves=8)


@given(ANY_TREE)
@settings(max_examples=200)
def test_a_tree_survives_being_written_and_read(node):
    assert tree(text(node)) == node


@given(ANY_TREE, st.lists(st.floats(-9, 9), min_size=3, max_size=3))
@settings(max_examples=200)
def test_a_worked_line_read_with_ordinary_arithmetic_gives_the_value(node, numbers):
    scope = Scope(dict(zip("abcd", [*numbers, 3], strict=True)))
    try:
        found = read(scope.worked(node, ()))
    except (ZeroDivisionError, OverflowError):
        return
    np.testing.assert_allclose(found, scope.value(node), rtol=1e-12)


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "shown", "exact"),
    [
        (0.1 + 0.2, "0.3", "0.30000000000000004"),
        (np.float64(2 / 3), "0.6667", "0.6666666666666666"),
        (np.float32(2 / 3), "0.6667", "0.6666667"),
        (np.float32(0.1), "0.1", "0.1"),
        (np.array(-1.5), "−1.5", "-1.5"),
        (1234.5678, "1235", "1234.5678"),
        (-3, "−3", "-3"),
        (np.int64(42), "42", "42"),
        (2.0, "2", "2.0"),
        (123456.0, "123456", "123456.0"),
        (-999999.0, "−999999", "-999999.0"),
        (1e6, "1e6", "1000000.0"),
        (12345678.9, "1.235e7", "12345678.9"),
        (1e-5, "1e−5", "1e-05"),
        (-1.23456e-10, "−1.235e−10", "-1.23456e-10"),
        (1e300, "1e300", "1e+300"),
        (5e-324, "4.941e−324", "5e-324"),
        (-1.5e100, "−1.5e100", "-1.5e+100"),
        (0.0, "0", "0.0"),
        (-0.0, "0", "-0.0"),
        (math.nan, "NaN", "nan"),
        (math.inf, "∞", "inf"),
        (-math.inf, "−∞", "-inf"),
        (np.float32(math.inf), "∞", "inf"),
        (True, "1", "True"),
    ],
)
def test_a_number_is_shown_in_four_digits_and_kept_in_all(x, shown, exact):
    assert number(x)[:2] == (shown, exact)


@given(st.floats(-1e308, 1e308), st.booleans())
def test_a_number_is_shown_to_four_digits_and_exact_to_the_last(x, single):
    if single:
        with np.errstate(over="ignore"):
            x = np.float32(x)
    shown, exact, *_ = number(x)
    assert type(x)(exact) == x
    if math.isfinite(x):
        assert float(shown.replace("−", "-")) == pytest.approx(float(x), rel=5.1e-4, abs=0)


# --- every formula in the library ---------------------------------------------------------------


@every_line
def test_every_formula_is_read_and_written_the_same(line):
    found = parse(line)
    assert tree(text(found.tree)) == found.tree
    assert found.condition is None or tree(text(found.condition)) == found.condition


@every_line
def test_every_formula_becomes_well_formed_mathml(line):
    equation = parse(line)
    root = ET.fromstring(_typesetting.mathml(equation))
    kinds = [node[0] for node in _formulas.nodes(equation.tree)]
    calls = [node[1] for node in _formulas.nodes(equation.tree) if node[0] == "call"]
    count = {tag: len(root.findall(f".//{tag}")) for tag in ("mfrac", "msup", "msqrt")}
    assert root.tag == "math"
    assert count["mfrac"] == kinds.count("/")
    assert count["msup"] == kinds.count("^") + kinds.count("transposed")
    assert count["msqrt"] == calls.count("√")
    assert all(len(e) == 2 for tag in ("mfrac", "msup", "msub") for e in root.iter(tag))
    letters = "".join(root.itertext())
    for name in (equation.letter, *_formulas.names(equation.tree)):
        assert name.rstrip("₀₁₂₃₄₅₆₇₈₉ᵢₖ∞₊") in letters
    leaves = {e.tag for e in root.iter() if not len(e)}
    assert leaves <= {"mi", "mn", "mo", "mtext", "mspace"}


def test_a_local_derivative_is_a_fraction_on_the_left():
    root = ET.fromstring(_typesetting.mathml(Equation("", "∂y/∂x₁", "=", tree("1 − y²"))))
    assert ["".join(part.itertext()) for part in root.find(".//mfrac")] == ["∂y", "∂x1"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("y = (a + b) c − (d − e)²", "y=(a+b)c−(d−e)2"),
        ("y = a (b / c)", "y=abc"),
        ("y = (a / b)²", "y=(ab)2"),
        ("y = (a b)²", "y=(ab)2"),
        ("y = (a + b) @ c", "y=(a+b)@c"),
        ("y = a − (b − c)", "y=a−(b−c)"),
        ("y = −(a + b)", "y=−(a+b)"),
        ("y = (Σ a) b", "y=(Σa)b"),
        ("y = ln(a b)", "y=ln(ab)"),
        ("y = √(a + b)", "y=a+b"),
        ("y = [(a or b) and c]", "y=[(aorb)andc]"),
        ("y = |a − b|", "y=|a−b|"),
    ],
)
def test_brackets_stand_in_mathml_where_they_are_needed(line, shown):
    root = ET.fromstring(_typesetting.mathml(parse(line)))
    assert "".join(root.itertext()) == shown


def test_names_are_escaped_in_mathml():
    equation = Equation("", "<b>", "=", ("<", ("name", "<i>"), ("name", "a&b")))
    assert "".join(ET.fromstring(_typesetting.mathml(equation)).itertext()) == "<b>=<i><a&b"


# --- what a formula says of its letters ---------------------------------------------------------


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
    assert _formulas.without_g(tree(line)) == tree(local)


ENTRYWISE = [
    line
    for line in STATED.values()
    if line.startswith("∂") and _formulas.entrywise(parse(line).tree)
]


@pytest.mark.parametrize("line", ENTRYWISE)
def test_g_times_the_local_derivative_is_the_derivative(line, rng):
    equation = parse(line)
    scope = Scope({name: rng.uniform(0.1, 0.9, 5) for name in _formulas.names(equation.tree)})
    local = scope.value(_formulas.without_g(equation.tree))
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
    assert _formulas.entrywise(tree(line)) is answer


@pytest.mark.parametrize(
    ("line", "letters"),
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
def test_letters_that_meet_entry_by_entry_are_those_outside_of_sums_and_products(line, letters):
    assert list(_formulas.meeting(tree(line))) == letters
