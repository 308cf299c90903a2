"""Parsing: each formula becomes the tree that is meant, and anything else raises an error."""

import pytest

from minidl.walkthrough import parser
from minidl.walkthrough.parser import Equation, FormulaError, parse, tree
from minidl.walkthrough.typesetting import unicode

A, B, C = (("name", symbol) for symbol in "abc")
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
    "aᵀ": ("transpose", A),
    "[a]": ("indicator", A),
    "|a|": ("abs", A),
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
SYMBOLS = [
    *("β₁", "v̂", "m̂", "ḡ", "ρ∞", "μ_t", "μ_next", "v_max", "lr_decay", "x₁", "δᵢ₊₁", "Δ", "θ"),
    *("E", "slope", "condition", "σ", "Φ"),  # σ(x) is a function, σ alone is not
]


@pytest.mark.parametrize("line", TREES)
def test_a_formula_is_a_tree_of_its_parts(line):
    assert tree(line) == TREES[line]
    assert unicode(TREES[line]) == line


@pytest.mark.parametrize("line", MEANT)
def test_operators_of_higher_precedence_are_applied_first(line):
    assert tree(line) == tree(MEANT[line])


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_symbol_keeps_its_accent_its_subscript_and_its_words(symbol):
    assert tree(symbol) == ("name", symbol)
    assert list(parser.names(tree(f"2{symbol} / ({symbol} + b)"))) == [symbol, symbol, "b"]


@pytest.mark.parametrize(
    ("line", "symbol", "sign", "right", "condition"),
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
def test_an_equation_has_a_symbol_a_sign_a_tree_and_perhaps_a_condition(
    line, symbol, sign, right, condition
):
    found = parse(line)
    assert found == Equation(
        f"{symbol} {sign} {right}", symbol, sign, tree(right), condition and tree(condition)
    )


NOT_FORMULAS = [
    *("", " ", "+", "a +", "+ a", "a + + b", "(a", "a)", "()", "a ? b", "a # b", "[a", "|a"),
    *("max(a, b", "max(a b", "√", "Σ", "tanh", "if a", "a if b", "a else b", "a if else b"),
    *("a < ", "not", "a b =", "a^", "a.b"),
]


@pytest.mark.parametrize("line", NOT_FORMULAS)
def test_text_that_is_not_a_formula_raises_an_error_that_shows_it(line):
    with pytest.raises(FormulaError, match="in the formula") as raised:
        tree(line)
    assert repr(line) in str(raised.value)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("line", ["", "a + b", "y a = b", "y = ", "y == a", "= a", "y → a"])
def test_text_that_is_not_an_equation_raises_an_error(line):
    with pytest.raises(FormulaError, match=r"formula|equation"):
        parse(line)
