"""The site: its order, its blocks, and how docstrings become reference pages."""

import importlib
import inspect
import re
import sys

import pytest
from cases import ROOT

import minidl as dl

sys.path.insert(0, str(ROOT / "docs"))
docstrings = importlib.import_module("docstrings")  # of the site, which is no package

PAGES = sorted((ROOT / "docs").glob("**/*.md"))


def converted(thing):
    """The docstring of a thing as reStructuredText."""
    lines = inspect.getdoc(thing).splitlines()
    return "\n".join(docstrings.converted(lines, inspect.signature(thing).parameters))


def test_every_page_is_in_the_order_of_the_index():
    named = set()
    for page in PAGES:
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text("utf-8"), re.S):
            lines = [line for line in tree.split() if not line.startswith(":")]
            named |= {(page.parent / f"{line}.md").resolve() for line in lines}
    assert {page.resolve() for page in PAGES} - named == {(ROOT / "docs/index.md").resolve()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_python_block_is_a_doctest(page):
    blocks = re.findall(r"^```py\w*\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    assert all(block.startswith(">>>") for block in blocks)


def test_parameters_are_fields_with_their_defaults():
    text = converted(dl.nn.Dense)
    assert ":param in_features: whole numbers ≥ 1\n:param out_features: whole numbers ≥ 1" in text
    assert ":param bias: whether there is b, 0 at first. Default: ``True``." in text
    assert "or a function (shape, rng) → array of that shape. Default: ``'glorot_uniform'``" in text


def test_equations_are_typeset_with_their_conditions():
    text = converted(dl.optim.Adam)
    assert "<mfrac>" in text
    assert "<span>if not amsgrad</span>" in text
    assert text.count("<div>") == 7


def test_what_is_no_equation_stays_text():
    assert docstrings.typeset("y = x in another shape") == "<code>y = x in another shape</code>"
    assert (
        docstrings.typeset("y < z  for t < 1") == "<code>y &lt; z</code> <span>for t &lt; 1</span>"
    )


def test_columns_that_are_no_parameters_are_a_list_of_definitions():
    found = [(["best", "last"], ["those of", "fit"])]
    lines = list(docstrings.fields(found, {}))
    assert lines == ["``best``, ``last``", "    those of", "    fit"]


def test_plain_words_have_no_markup_and_backticks_are_code():
    assert docstrings.escaped("a*b and x_ of |y|") == r"a\*b and x\_ of \|y\|"
    assert docstrings.escaped("see `fit`.") == r"see \ ``fit``\ ."


def test_a_paragraph_with_a_gap_in_one_line_is_no_list():
    assert docstrings.entries(["A word and", "another  word."]) is None
    assert docstrings.entries(["x  a number", "y  another", "   in two lines"]) == [
        (["x"], ["a number"]),
        (["y"], ["another", "in two lines"]),
    ]
