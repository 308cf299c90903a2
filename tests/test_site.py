"""The site: its order, its blocks, and how docstrings become reference pages."""

import importlib
import inspect
import re
import sys
import textwrap

import pytest
from cases import ROOT

import minidl as dl
from examples import course

sys.path.insert(0, str(ROOT / "docs"))
docstrings = importlib.import_module("docstrings")  # of the site, which is no package
lessons = importlib.import_module("lessons")

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
            named |= {(page.parent / line).resolve() for line in lines}
    pages = [*PAGES, *(ROOT / "docs").glob("**/*.ipynb")]
    assert {page.with_suffix("").resolve() for page in pages} - named == {ROOT / "docs/index"}


def test_the_lessons_are_in_the_order_of_the_course():
    text = (ROOT / "docs/index.md").read_text("utf-8")
    assert re.findall(r"^course/\d\d_(\w+)$", text, re.M) == [*course.LESSONS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_python_block_is_a_doctest(page):
    blocks = re.findall(r"^```py\w*\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    assert all(block.startswith(">>>") for block in blocks)


def test_parameters_are_fields_with_their_defaults():
    text = converted(dl.nn.Dense)
    assert ":param in_features: whole numbers ≥ 1\n:param out_features: whole numbers ≥ 1" in text
    assert ":param bias: whether there is b, 0 at first. Default: ``True``." in text
    assert "or a function (shape, rng) → array of that shape. Default: ``'glorot_uniform'``" in text


def test_a_default_that_is_a_class_or_a_function_is_its_name():
    assert "Default: ``Adam``." in converted(dl.viz.figures.decision_boundary)
    assert docstrings.with_names(repr(dl.losses.mse)) == "mse"


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


def test_equations_and_text_may_share_a_line():
    line = docstrings.typeset("v      = w²        θ ← θ − v    for v > 0")
    assert (line.count("<math>"), line.count("<msup>")) == (2, 1)
    assert line.endswith("</math> <span>for v &gt; 0</span>")


def test_a_call_is_not_typeset_as_a_product():
    assert docstrings.formula("y = shape(t)") is None
    assert "<mi>max</mi>" in docstrings.formula("y = max(t, 1)")


def test_mathematics_states_the_equations_of_each_rule():
    page = (ROOT / "docs/mathematics.md").read_text("utf-8")
    for name, rule in dl.optim.RULES.items():
        (stated,) = re.findall(rf"^\*\*`{name}`\*\*.*:\n\n((?:    .*\n)+)$", page, re.M)
        equations = "θ ← (1 − ηλ)θ" if name == "AdamW" else rule.equations  # and then Adam's
        assert textwrap.dedent(stated).strip() == textwrap.dedent(equations).strip(), name


def test_a_notebook_becomes_markdown_with_its_outputs():
    outputs = [{"text": ["two\n", "lines\n"]}, {"data": {"image/png": "AB="}}]
    cells = [
        {"cell_type": "markdown", "source": ["# A", " title"]},
        {"cell_type": "code", "source": ["x = 1\n", "x"], "outputs": outputs},
    ]
    title, code, text, picture = lessons.markdown({"cells": cells})
    assert (title, code) == ("# A title", "````python\nx = 1\nx\n````")
    assert text.endswith("\n\ntwo\nlines\n````")
    assert "base64,AB=" in picture


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
