"""The normal distribution function against math.erfc and against its continued fraction."""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest

from minidl._kernels import special

DTYPES = (np.float32, np.float64)
SIZES = (0, 1, 7, 1000, 100_003)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def normal_cdf(x):
    out = np.full_like(x, -7)
    special.normal_cdf(x, out)
    return out


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
def test_normal_cdf_reads_a_read_only_array_and_may_overwrite_its_input(dtype):
    x = np.array([0.0, 1.0], dtype)
    x.flags.writeable = False
    expected = normal_cdf(x)
    y = x.copy()
    special.normal_cdf(y, y)
    np.testing.assert_array_equal(y, expected)


def read_only(n):
    out = np.zeros(n)
    out.flags.writeable = False
    return out


def misaligned(n):
    return np.zeros(8 * n + 1, np.int8)[1:].view(float)


@pytest.mark.parametrize(
    ("x", "out"),
    [
        (np.ones(3), np.zeros(2)),
        (np.ones(0), np.zeros(1)),
        (np.ones(3), np.zeros(3, np.float32)),
        (np.ones(3, np.float32), np.zeros(3)),
        (np.ones(3, int), np.zeros(3, int)),
        (np.ones(3, np.float16), np.zeros(3, np.float16)),
        (np.ones(3, complex), np.zeros(3, complex)),
        (np.ones(3, ">f8"), np.zeros(3, ">f8")),
        (np.ones(3), read_only(3)),
        (np.ones(6)[::2], np.zeros(3)),
        (np.ones(3)[::-1], np.zeros(3)),
        (np.ones(3), np.zeros(6)[::2]),
        (np.ones((1, 3)), np.zeros(3)),
        (np.ones(3), np.zeros((3, 1))),
        (np.ones(()), np.zeros(1)),
        (misaligned(3), np.zeros(3)),
        (np.ones(3), misaligned(3)),
        (None, np.zeros(3)),
        (np.ones(3), None),
        ([1.0, 2.0, 3.0], np.zeros(3)),
    ],
)
def test_arrays_that_do_not_fit_are_an_error_and_nothing_is_written(x, out):
    with pytest.raises(ValueError, match="normal_cdf needs two C-contiguous arrays of one shape"):
        special.normal_cdf(x, out)
    assert out is None or not np.any(out)
