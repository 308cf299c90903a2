"""Trees written as text and as MathML, and parsed again."""

import xml.etree.ElementTree as ET

import pytest
from cases import ANY_TREE, each_equation
from hypothesis import given, settings

from minidl.walkthrough import parser, typesetting
from minidl.walkthrough.parser import Equation, parse, tree
from minidl.walkthrough.typesetting import unicode


@given(ANY_TREE)
@settings(max_examples=200)
def test_a_tree_is_the_same_after_it_is_written_and_parsed(node):
    assert tree(unicode(node)) == node


@each_equation
def test_every_formula_is_the_same_after_it_is_written_and_parsed(line):
    found = parse(line)
    assert tree(unicode(found.tree)) == found.tree
    assert found.condition is None or tree(unicode(found.condition)) == found.condition


@each_equation
def test_every_formula_becomes_well_formed_mathml(line):
    equation = parse(line)
    root = ET.fromstring(typesetting.mathml(equation))
    kinds = [node[0] for node in parser.subtrees(equation.tree)]
    calls = [node[1] for node in parser.subtrees(equation.tree) if node[0] == "call"]
    count = {tag: len(root.findall(f".//{tag}")) for tag in ("mfrac", "msup", "msqrt")}
    assert root.tag == "math"
    assert count["mfrac"] == kinds.count("/")
    assert count["msup"] == kinds.count("^") + kinds.count("transpose")
    assert count["msqrt"] == calls.count("√")
    assert all(len(e) == 2 for tag in ("mfrac", "msup", "msub") for e in root.iter(tag))
    symbols = "".join(root.itertext()).replace("^", typesetting.HAT)
    for name in (equation.symbol, *parser.names(equation.tree)):
        assert name.rstrip("₀₁₂₃₄₅₆₇₈₉ᵢₖ∞₊").replace("_", "") in symbols
    leaves = {e.tag for e in root.iter() if not len(e)}
    assert leaves <= {"mi", "mn", "mo", "mtext", "mspace"}


def test_a_local_derivative_is_a_fraction_on_the_left():
    root = ET.fromstring(typesetting.mathml(Equation("", "∂y/∂x₁", "=", tree("1 − y²"))))
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
        ("y = Σₖ aₖ bₖ", "y=Σkakbk"),
        ("y = 2 · 3ᵗ · a", "y=2·3ta"),
    ],
)
def test_mathml_has_brackets_where_they_are_needed(line, shown):
    root = ET.fromstring(typesetting.mathml(parse(line)))
    assert "".join(root.itertext()) == shown


def test_names_are_escaped_in_mathml():
    equation = Equation("", "<b>", "=", ("<", ("name", "<i>"), ("name", "a&b")))
    assert "".join(ET.fromstring(typesetting.mathml(equation)).itertext()) == "<b>=<i><a&b"
