"""Matrix products through the BLAS of this machine, and through NumPy's dot where there is none."""

import ctypes
import math
import threading

import numpy as np
import pytest
from gemms import address, gemm

import minidl as dl
from minidl._capture import capture
from minidl._kernels import blas
from minidl._kernels.plan import Plan, Recorded

DTYPES = [np.float32, np.float64]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
SIZES = [0, 1, 2, 3, 7, 16, 17, 64, 100]


@pytest.fixture(params=["BLAS", "NumPy's dot"])
def either(request):
    """Every test that asks for it runs with this machine's BLAS and with NumPy's dot."""
    if request.param == "NumPy's dot":
        blas.use(0, 0, False, "numpy.dot")
    yield
    dl.config.set_blas(None)


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


# --- a BLAS of one's own ------------------------------------------------------------------------


@pytest.fixture
def calls():
    """The arguments of functions that compute nothing, which multiply from now on."""
    kept = []

    def use(wide):
        noted = []
        functions = [gemm(real, wide, noted) for real in (ctypes.c_float, ctypes.c_double)]
        blas.use(*map(address, functions), wide, "nothing")
        kept.append(functions)
        return noted

    yield use
    dl.config.set_blas(None)


@both_dtypes
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("shapes", "transpose", "arguments"),
    [
        ([(2, 3), (3, 4)], (False, False), (101, 111, 111, 2, 4, 3, 1, 3, 4, 0, 4)),
        ([(3, 2), (3, 4)], (True, False), (101, 112, 111, 2, 4, 3, 1, 2, 4, 0, 4)),
        ([(2, 3), (4, 3)], (False, True), (101, 111, 112, 2, 4, 3, 1, 3, 3, 0, 4)),
        ([(3, 2), (4, 3)], (True, True), (101, 112, 112, 2, 4, 3, 1, 2, 3, 0, 4)),
    ],
)
def test_functions_get_integers_of_their_width(shapes, transpose, arguments, wide, dtype, calls):
    noted = calls(wide)
    blas.product(*(np.ones(shape, dtype) for shape in shapes), *transpose)
    assert noted == [arguments]


@pytest.mark.parametrize("shapes", [[(2, 0), (0, 3)], [(0, 2), (2, 3)], [(3, 2), (2, 0)]])
def test_functions_are_not_called_for_empty_matrices(shapes, calls):
    noted = calls(False)
    assert not blas.product(*map(np.ones, shapes)).any()
    assert noted == []


def large(*shape):
    """Zeros whose memory is not touched, so that none of it is used."""
    try:
        return np.zeros(shape, np.float32)
    except MemoryError:
        pytest.skip("the system reserves no memory that is not used")


@pytest.mark.parametrize(
    ("a", "b", "transpose_b"),
    [((2**31, 1), (1, 1), False), ((1, 1), (2**31, 1), True), ((1, 2**31), (1, 2**31), True)],
)
def test_sizes_beyond_32_bits_are_refused_by_a_blas_that_cannot_count_them(
    a, b, transpose_b, calls
):
    given = large(*a), large(*b)
    noted = calls(False)
    with pytest.raises(ValueError, match=r"more than 2147483647 rows .* nothing can't count"):
        blas.product(*given, False, transpose_b)
    assert noted == []
    noted = calls(True)
    out = blas.product(*given, False, transpose_b)
    assert noted[0][3:6] == (*out.shape, a[1])


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_an_error_of_numpys_dot_is_raised_and_forgotten(error, monkeypatch):
    def failing(*_):
        raise error("no memory")

    blas.use(0, 0, False, "numpy.dot")
    try:
        with monkeypatch.context() as patched:
            patched.setattr(np, "dot", failing)
            with pytest.raises(error, match="no memory"):
                blas.product(np.ones((2, 2)), np.ones((2, 2)))
        with pytest.raises(ValueError, match="product: a matrix has more than"):
            blas.refusal()
        assert (blas.product(np.ones((2, 2)), np.ones((2, 2))) == 2).all()
    finally:
        dl.config.set_blas(None)


def test_another_thread_may_change_the_blas_meanwhile(rng):
    a, b = whole_numbers(rng, (7, 5), (5, 6))
    expected, x, y = a @ b, a.astype(np.float32), b.astype(float)
    ended = threading.Event()

    def change():
        while not ended.is_set():
            blas.use(0, 0, False, "numpy.dot")
            dl.config.set_blas(None)

    other = threading.Thread(target=change)
    other.start()
    try:
        for _ in range(1000):
            assert (blas.product(x, b.astype(np.float32)) == expected).all()
            assert (blas.product(a.astype(float), y) == expected).all()
    finally:
        ended.set()
        other.join()
        dl.config.set_blas(None)


# --- recorded -----------------------------------------------------------------------------------


def test_a_product_of_recorded_matrices_is_a_call_of_their_plan(rng):
    plan = Plan()
    a, b = rng.normal(size=(3, 2)), rng.normal(size=(3, 4))
    for x, y in (plan.record(a), b), (a, plan.record(b)):
        found = blas.product(x, y, transpose_a=True)
        assert isinstance(found, Recorded)
        np.testing.assert_allclose(found.array, a.T @ b, rtol=1e-15)
    assert [(note.name, note.inputs) for note in plan.notes] == [("product", (a, b))] * 2


def test_a_product_of_a_recorded_matrix_that_is_refused_adds_no_call():
    plan = Plan()
    with pytest.raises(ValueError, match="product needs"):
        blas.product(plan.record(np.ones((2, 2))), np.ones((3, 2)))
    assert plan.count == 0


@both_dtypes
def test_a_recorded_product_is_made_by_the_blas_that_is_in_use_when_it_is_replayed(dtype, calls):
    w = dl.Tensor(np.arange(6).reshape(2, 3), dtype=dtype)
    step = capture(lambda x: x @ w)
    x, doubled = np.ones((4, 2), dtype), np.full((4, 2), 2, dtype)
    for given in x, doubled, x, doubled:
        np.testing.assert_array_equal(step(given).data, given @ w.data)
    blas.use(0, 0, False, "numpy.dot")
    np.testing.assert_array_equal(step(x).data, x @ w.data)
    noted = calls(True)
    step(x)
    assert noted == [(101, 111, 111, 4, 3, 2, 1, 2, 3, 0, 3)]


def test_a_recorded_product_of_a_strided_matrix_is_copied_anew_in_each_replay(rng):
    w = dl.Tensor(rng.normal(size=(3, 2)))
    step = capture(lambda x: dl.matmul(x[:, ::2], w))
    for _ in range(4):
        x = rng.normal(size=(4, 6))
        expected = blas.product(np.ascontiguousarray(x[:, ::2]), w.data)
        np.testing.assert_array_equal(step(x).data, expected)


def test_a_replayed_product_that_is_refused_raises_the_error(monkeypatch):
    def failing(*_):
        raise MemoryError("no memory")

    w = dl.Tensor(np.ones((2, 3)))
    step = capture(lambda x: x @ w)
    x = np.ones((4, 2))
    for _ in range(3):
        step(x)
    blas.use(0, 0, False, "numpy.dot")
    try:
        with monkeypatch.context() as patched:
            patched.setattr(np, "dot", failing)
            with pytest.raises(MemoryError, match="no memory"):
                step(x)
        assert (step(x).data == 2).all()
    finally:
        dl.config.set_blas(None)
