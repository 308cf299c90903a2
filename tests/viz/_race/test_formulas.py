"""The formulas of functions of a user, against formulas written by hand."""

import math

import pytest

import minidl as dl
from minidl.viz import Surface, race


def halves(x, y):
    return sum((t**4 - 16 * t**2 + 5 * t) / 2 for t in (x, y))


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        (lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2, "(1 − x)² + 100 (y − x²)²"),
        (halves, "(x⁴ − 16 x² + 5 x) / 2 + (y⁴ − 16 y² + 5 y) / 2"),
        (lambda x, y: dl.sin(3 * x) * dl.cos(2 * y), "sin(3 x) cos(2 y)"),
        (lambda x, y: dl.cos(math.tau * x) - y * math.pi, "cos(2 π x) − y π"),
        (lambda x, y: -(x * y) / (1 + dl.exp(-x)), "(−x y) / (1 + e⁻ˣ)"),
        (lambda x, y: dl.relu(x) + dl.abs(y - 0.456), "max(x, 0) + |y − 0.456|"),
        (lambda x, y: dl.log(x + 3) * -2 + dl.sqrt(y + 3), "−2 ln(x + 3) + √(y + 3)"),
        (lambda x, y: x * x * x + x**2 * (y * y), "x³ + x² y²"),
        (lambda x, y: (x**2) ** 3 + y**0.5 + x**-1, "x⁶ + y^(0.5) + x⁻¹"),
        (lambda x, y: x + -2 - (y - -1) + 0 * y, "x − 2 − (y + 1)"),
        (lambda x, y: dl.sigmoid(x) + y.tanh(), "1 / (1 + e⁻ˣ) + tanh(y)"),
        (lambda x, y: dl.maximum(x, dl.Tensor(0.5)) + y, "max(x, 0.5) + y"),
        (lambda x, y: dl.clip(x, -1, 1) + 1e-7 * y, "min(max(x, −1), 1) + 1e−7 y"),
    ],
)
def test_a_function_gets_the_formula_that_it_computes(function, formula):
    assert Surface(function, x=(1, 2), y=(1, 2)).formula == f"f = {formula}"


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: dl.where(x.data > 0, x, 2 * x) + y,  # the condition is an array
        lambda x, y: x * y if float(x.data) > 0 else x + y,  # one point at a time
        lambda x, y: (dl.stack([x, y]) ** 2).sum(),
        lambda x, y: sum(k * x**k * dl.sin(y + k) for k in range(1, 20)),  # too long
    ],
    ids=["condition", "branch", "stack", "long"],
)
def test_a_function_whose_ops_do_not_tell_has_no_formula(function):
    assert Surface(function).formula == ""


def test_a_stated_formula_remains_and_the_table_and_the_page_show_either(tmp_path):
    assert Surface(halves, formula="f = mine").formula == "f = mine"
    result = race(lambda x, y: x**2 + y**2, "SGD", steps=3)
    assert result.table().splitlines()[1] == "f = x² + y²"
    page = result.save(tmp_path / "race.html").read_text(encoding="utf-8")
    assert '<p class="formula">f = x² + y²</p>' in page
