"""The normal distribution function against math.erfc and a continued fraction; the range check."""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest

from minidl._kernels.special import normal_cdf, require

DTYPES = (np.float32, np.float64)
SIZES = (0, 1, 7, 1000, 100_003)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def tail(x):
    """Φ(x) for x ≤ −2 by Laplace's continued fraction, φ(x) / (z + 1/(z + 2/(z + …))), z = −x."""
    with decimal.localcontext(prec=50):
        z = -Decimal(float(x))
        fraction = z
        for n in range(400, 0, -1):
            fraction = z + n / fraction
        pi = Decimal("3.14159265358979323846264338327950288419716939937510")
        return float((-z * z / 2).exp() / ((2 * pi).sqrt() * fraction))


@pytest.mark.parametrize("size", SIZES)
@both_dtypes
def test_normal_cdf_agrees_with_math_erfc_at_any_size(size, dtype, rng):
    x = rng.normal(scale=3, size=size).astype(dtype)
    before = x.copy()
    expected = np.array([0.5 * math.erfc(-v * math.sqrt(0.5)) for v in x.tolist()], dtype)
    np.testing.assert_allclose(
        normal_cdf(x), expected, rtol=4 * np.finfo(dtype).eps, atol=0, strict=True
    )
    np.testing.assert_array_equal(x, before)


@both_dtypes
def test_normal_cdf_has_the_values_of_the_tables(dtype):
    x = np.array([-3, -2, -1, 0, 1, 2, 3], dtype)
    known = [
        *(0.0013498980316300946, 0.02275013194817921, 0.15865525393145705, 0.5),
        *(0.8413447460685429, 0.9772498680518208, 0.9986501019683699),
    ]
    np.testing.assert_allclose(normal_cdf(x), known, rtol=8 * np.finfo(dtype).eps)


@both_dtypes
def test_normal_cdf_is_exact_in_the_left_tail(dtype):
    x = np.linspace(-37 if dtype == np.float64 else -12.5, -2, 71).astype(dtype)
    expected = [tail(v) for v in x]
    assert min(expected) > 0
    np.testing.assert_allclose(normal_cdf(x), expected, rtol=max(1e-12, np.finfo(dtype).eps))


@both_dtypes
def test_normal_cdf_and_its_mirror_image_sum_to_one(dtype):
    x = np.linspace(-9, 9, 1001).astype(dtype)
    np.testing.assert_allclose(normal_cdf(x) + normal_cdf(-x), 1, rtol=2 * np.finfo(dtype).eps)
    assert (np.diff(normal_cdf(x)) >= 0).all()


@both_dtypes
def test_normal_cdf_ends_at_zero_and_one_and_keeps_nan(dtype):
    x = np.array([-np.inf, -1000, 1000, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(normal_cdf(x), np.array([0, 0, 1, 1, np.nan], dtype))


@both_dtypes
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 4)])
def test_normal_cdf_reads_a_read_only_array_and_returns_a_new_one_of_its_shape(shape, dtype):
    x = np.zeros(shape, dtype)
    x.flags.writeable = False
    y = normal_cdf(x)
    np.testing.assert_array_equal(y, np.full(shape, 0.5, dtype), strict=True)
    assert y.flags.owndata
    assert y.flags.writeable


def misaligned(n):
    return np.zeros(8 * n + 1, np.int8)[1:].view(float)


@pytest.mark.parametrize(
    "x",
    [
        np.ones(3, int),
        np.ones(3, np.float16),
        np.ones(3, complex),
        np.ones(3, ">f8"),
        np.ones(6)[::2],
        np.ones(3)[::-1],
        misaligned(3),
        None,
        [1.0, 2.0, 3.0],
    ],
)
def test_what_is_no_contiguous_array_in_single_or_double_precision_is_refused(x):
    with pytest.raises(ValueError, match="normal_cdf needs a C-contiguous array of float32 or"):
        normal_cdf(x)
    with pytest.raises(ValueError, match="require needs a C-contiguous array of float32 or"):
        require(x, 0, 1, explain)


# --- the check of a range -----------------------------------------------------------------------


class Outside(Exception):  # noqa: N818 (not an error of the kernel)
    pass


def explain():
    raise Outside


@both_dtypes
@pytest.mark.parametrize("x", [[], [0.0], [1.0], [-0.0, 1.0], np.linspace(0, 1, 1001)])
def test_values_from_low_to_high_pass(x, dtype):
    assert require(np.array(x, dtype), 0, 1, explain) is None


@both_dtypes
@pytest.mark.parametrize("size", [1, 2, 17, 1001])
@pytest.mark.parametrize("value", [-1e-45, -np.inf, np.inf, 1 + 2**-23, np.nan])
@pytest.mark.parametrize("at", [0, -1])
def test_a_value_outside_and_nan_are_explained_wherever_they_are(at, value, size, dtype):
    x = np.full(size, 0.5, dtype)
    x[at] = value
    with pytest.raises(Outside):
        require(x, 0, 1, explain)


@both_dtypes
def test_infinite_bounds_let_all_pass_but_nan(dtype):
    require(np.array([-np.inf, 0, np.inf], dtype), -np.inf, np.inf, explain)
    with pytest.raises(Outside):
        require(np.array([0, np.nan], dtype), -np.inf, np.inf, explain)


def test_an_explanation_that_raises_nothing_is_an_error_too():
    with pytest.raises(AssertionError, match="require refused its arrays without a reason"):
        require(np.ones(1), 2, 3, lambda: None)
