"""Numbers and tables as text."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl._format import Text, aligned, number, plain


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


@pytest.mark.parametrize(
    ("digits", "shown"), [(2, "0.67"), (4, "0.6667"), (8, "0.66666667"), (1, "0.7")]
)
def test_the_number_of_digits_can_be_chosen(digits, shown):
    assert number(2 / 3, digits).shown == shown


def test_a_line_of_tokens_is_text_with_the_shown_digits():
    assert plain(["y = ", number(1 / 3), " · ", number(-2.0)]) == "y = 0.3333 · −2"


def test_the_columns_of_a_table_are_aligned_without_trailing_spaces():
    rows = [["a", "bb", "c"], ["long", "", "x"], ["", "b", ""]]
    assert aligned(rows) == ["a     bb  c", "long      x", "      b"]


def test_text_is_its_own_repr():
    text = Text("two\nlines")
    assert repr(text) == str(text) == "two\nlines"
    assert isinstance(text, str)
