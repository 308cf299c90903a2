"""The checks of arguments that figures share."""

import math

import numpy as np
import pytest

import minidl as dl
from minidl.viz.figures import _arguments


@pytest.mark.parametrize("value", [(1, -2.5), [1, -2.5], np.array([1, -2.5])])
def test_a_pair_is_two_floats(value):
    pair = _arguments.pair("figure", "start", value)
    assert pair == (1.0, -2.5)
    assert {type(x) for x in pair} == {float}


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (1.0, TypeError, "start must be two numbers, got 1.0"),
        ("ab", TypeError, "start must be two numbers, got 'ab'"),
        ((1, 2, 3), ValueError, r"start must be two numbers, got \(1, 2, 3\)"),
        ((1, math.nan), ValueError, r"start\[1\] must be a finite number"),
        ((-2e6, 0), ValueError, r"start\[0\] must be a finite number ≥ -1e\+06"),
        ((True, 0), TypeError, r"start\[0\] must be a finite number"),
    ],
)
def test_what_is_not_a_pair_raises(value, error, message):
    with pytest.raises(error, match=f"^figure: {message}"):
        _arguments.pair("figure", "start", value)


def test_an_interval_is_a_pair_in_ascending_order():
    assert _arguments.interval("figure", "between", [-1, 2]) == (-1.0, 2.0)
    for value in [(2, 1), (1, 1)]:
        with pytest.raises(ValueError, match=r"^figure: between must be .* low < high, got"):
            _arguments.interval("figure", "between", value)


def test_a_function_is_evaluated_at_tensors_of_any_shape(rng):
    a, b = (dl.Tensor(rng.normal(size=(2, 3))) for _ in range(2))
    value = _arguments.evaluate("figure", lambda a, b: a * b, a, b)
    np.testing.assert_array_equal(value.data, a.data * b.data)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (
            lambda a: a.sum(),
            r"must return a Tensor of its arguments' shape \(3,\), .* got shape \(\)",
        ),
        (lambda a: 1.0, r"must return a Tensor, got 1.0 \(float\)"),
        (lambda a: a if a > 0 else -a, r"must take Tensors of any shape.* it raised ValueError"),
        (lambda: 1.0, "must take Tensors of any shape.* it raised TypeError"),
    ],
)
def test_a_function_that_is_not_element_wise_raises(f, message):
    with pytest.raises(TypeError, match=f"^figure: f {message}"):
        _arguments.evaluate("figure", f, dl.Tensor(np.arange(3.0)))
