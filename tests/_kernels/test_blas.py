"""Matrix products through the BLAS of this machine, and through NumPy's dot where there is none."""

import math

import numpy as np
import pytest

from minidl import _blas
from minidl._kernels import blas

DTYPES = [np.float32, np.float64]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
SIZES = [0, 1, 2, 3, 7, 16, 17, 64, 100]


@pytest.fixture(params=["BLAS", "NumPy's dot"])
def either(request):
    """Every test that asks for it runs with this machine's BLAS and with NumPy's dot."""
    if request.param == "NumPy's dot":
        blas.use(0, 0, False, "numpy.dot")
    yield
    _blas.use_numpys()


def whole_numbers(rng, *shapes):
    """So small that no sum of products of them is rounded."""
    return [rng.integers(-9, 10, shape) for shape in shapes]


def in_order(a, transposed, dtype):
    """A C-contiguous array, whose transpose is `a` if it is to be transposed."""
    return np.array(a.T if transposed else a, dtype, order="C")


# --- values -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("either")
@both_dtypes
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
def test_products_of_whole_numbers_are_exact(transpose_a, transpose_b, dtype, rng):
    for m, k, n in rng.choice(SIZES, (60, 3)):
        a, b = whole_numbers(rng, (m, k), (k, n))
        given = in_order(a, transpose_a, dtype), in_order(b, transpose_b, dtype)
        found = blas.product(*given, transpose_a, transpose_b)
        expected = (a[:, :, None] * b).sum(axis=1).astype(dtype)  # of integers, without BLAS
        np.testing.assert_array_equal(found, expected, strict=True)
        assert found.flags.c_contiguous
        assert found.flags.owndata


@pytest.mark.usefixtures("either")
@both_dtypes
def test_a_product_is_within_the_bound_of_rounding_errors(dtype, rng):
    """|error| ≤ k u Σ|a||b|, for any order of the sum (Higham, Accuracy and Stability, 3.5)."""
    a, b = rng.normal(size=(5, 300)).astype(dtype), rng.normal(size=(300, 4)).astype(dtype)
    found = blas.product(a, b)
    for i, j in np.ndindex(5, 4):
        terms = [float(x) * float(y) for x, y in zip(a[i], b[:, j], strict=True)]
        bound = 301 * np.finfo(dtype).eps / 2 * math.fsum(map(abs, terms))
        assert abs(found[i, j] - math.fsum(terms)) <= bound


@pytest.mark.usefixtures("either")
@both_dtypes
@pytest.mark.parametrize(("m", "n"), [(0, 0), (0, 3), (3, 0), (2, 3), (1, 1)])
def test_a_product_over_no_terms_is_zero(m, n, dtype):
    found = blas.product(np.ones((m, 0), dtype), np.ones((0, n), dtype))
    np.testing.assert_array_equal(found, np.zeros((m, n), dtype), strict=True)


@pytest.mark.usefixtures("either")
@both_dtypes
def test_nan_and_infinity_reach_the_entries_that_they_belong_to(dtype):
    a = np.array([[np.nan, 1], [np.inf, 1], [1, 1]], dtype)
    found = blas.product(a, np.array([[1, 0], [2, 3]], dtype))
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [np.inf, np.nan], [3, 3]])


@pytest.mark.usefixtures("either")
@both_dtypes
def test_a_matrix_may_be_multiplied_by_itself(dtype, rng):
    [a] = whole_numbers(rng, (5, 3))
    x = a.astype(dtype)
    np.testing.assert_array_equal(blas.product(x, x, False, True), np.array(a) @ a.T)
    np.testing.assert_array_equal(blas.product(x, x, True, False), np.array(a).T @ a)


# --- bits ---------------------------------------------------------------------------------------


def strided(a):
    return np.repeat(a, 2, axis=-1)[..., ::2]


def unaligned(a):
    shifted = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    shifted[...] = a
    return shifted


class Derived(np.ndarray):
    """A class of arrays, as libraries define them."""


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "strided": strided,
    "columns first": np.asfortranarray,
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "unaligned": unaligned,
    "derived": lambda a: a.view(Derived),
    "read-only": read_only,
}


@pytest.mark.usefixtures("either")
@both_dtypes
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_bits_depend_on_values_and_shapes_not_on_strides(layout, dtype, rng):
    for m, k, n in [(32, 2, 16), (1, 50, 1), (17, 100, 1), (1, 33, 40), (65, 70, 75)]:
        a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
        expected = blas.product(a, b)
        for x, y in (LAYOUTS[layout](a), b), (a, LAYOUTS[layout](b)):
            found = blas.product(x, y)
            assert type(found) is np.ndarray
            np.testing.assert_array_equal(found, expected, strict=True)


# --- what is refused ----------------------------------------------------------------------------

REFUSED = {
    "half": lambda a: a.astype(np.float16),
    "other dtype": lambda a: a.astype(np.float32),
    "integers": lambda a: a.astype(np.int64),
    "complex": lambda a: a.astype(complex),
    "long double": lambda a: a.astype(np.longdouble),
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "vector": np.ravel,
    "stack": lambda a: a[None],
    "no axis": lambda a: np.array(1.0),
    "one row and column more": lambda a: np.ones((4, 4)),
    "list": lambda a: a.tolist(),
    "None": lambda a: None,
}


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("kind", REFUSED)
def test_arrays_of_another_kind_are_refused(kind, at, rng):
    given = [rng.normal(size=(3, 3)) for _ in range(2)]
    given[at] = REFUSED[kind](given[at])
    if kind == "long double" and given[at].dtype == float:
        pytest.skip("long double is float64 here")
    with pytest.raises(ValueError, match=r"product needs matrices a \(m, k\) and b \(k, n\)"):
        blas.product(*given)


@pytest.mark.parametrize("transpose", [(False, False), (True, False), (False, True), (True, True)])
def test_the_inner_sizes_must_be_equal_once_transposed(transpose):
    fitting = {(False, False): (3, 4), (True, False): (2, 4), (False, True): (4, 3)}
    for shape in [(3, 4), (2, 4), (4, 3), (4, 2)]:
        a, b = np.ones((2, 3)), np.ones(shape)
        if shape == fitting.get(transpose, (4, 2)):
            assert blas.product(a, b, *transpose).shape == (3 if transpose[0] else 2, 4)
        else:
            with pytest.raises(ValueError, match="product needs"):
                blas.product(a, b, *transpose)
