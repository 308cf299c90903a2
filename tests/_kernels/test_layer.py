"""The parts of a layer: exactly NumPy's on whole numbers, within rounding on all others.

Each array is laid into a larger one full of NaN, so that whatever is read beyond it shows.
"""

import itertools
import math

import numpy as np
import pytest

from minidl._kernels import layer

SIZES = [0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 64]
STRIP, LARGEST, PRODUCTS = 16, 4096, 131072  # as in layer.pyx
DTYPES = [np.float32, np.float64]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
plain_or_rectified = pytest.mark.parametrize("rectify", [False, True])

add_bias, sum_rows, gate = layer.add_bias, layer.sum_rows, layer.gate
dense, dense_vjp = layer.dense, layer.dense_vjp


def is_small(m, k, n):
    """Whether a product of (m, k) and (k, n) is one for the kernel rather than for BLAS."""
    width = math.ceil(n / STRIP) * STRIP
    return k * width <= LARGEST and m * k * width <= PRODUCTS


def within(a, dtype, margin=256):
    """A copy of a within NaN."""
    a = np.asarray(a)
    whole = np.full(a.size + 2 * margin, np.nan, dtype)
    inner = whole[margin : margin + a.size].reshape(a.shape)
    inner[...] = a
    return inner


def margins(inner):
    """What surrounds an array made by `within`."""
    rest = np.delete(inner.base, np.arange(256, 256 + inner.size))
    assert rest.size == 512
    return rest


def whole_numbers(rng, *shapes):
    """So small that no sum of products of them is rounded."""
    return [rng.integers(-9, 10, shape).astype(float) for shape in shapes]


def rectified(y):
    return np.where(y <= 0, 0, y)


# --- dense --------------------------------------------------------------------------------------


@plain_or_rectified
@both_dtypes
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("m", SIZES)
def test_dense_is_exact_on_whole_numbers(m, n, dtype, rectify, rng):
    for k in SIZES:
        x, w, b = whole_numbers(rng, (m, k), (k, n), n)
        y = dense(*(within(a, dtype) for a in (x, w, b)), rectify)
        expected = x @ w + b
        if is_small(m, k, n):
            expected = rectified(expected) if rectify else expected
            np.testing.assert_array_equal(y, expected.astype(dtype), strict=True)
        else:
            assert y is None


@both_dtypes
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("m", SIZES)
def test_the_gradients_of_dense_are_exact_on_whole_numbers(m, n, dtype, rng):
    for k, gated, to_x in itertools.product(SIZES, [False, True], [False, True]):
        g, y, x, w = whole_numbers(rng, (m, n), (m, n), (m, k), (k, n))
        d = np.where(y > 0, g, 0) if gated else g
        inputs = [within(a, dtype) for a in (g, y, x, w)]
        products = dense_vjp(inputs[0], inputs[1] if gated else None, *inputs[2:], to_x)
        if is_small(k, m, n) and (not to_x or is_small(m, n, k)):
            of_x, of_w, of_b = products
            assert (of_x is None) == (not to_x)
            for got, want in ((of_x, d @ w.T), (of_w, x.T @ d), (of_b, d.sum(axis=0))):
                if got is not None:
                    np.testing.assert_array_equal(got, want.astype(dtype), strict=True)
        else:
            assert products is None


@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (32, 256, 16),  # both limits at once
        (32, 256, 1),
        (8, 128, 17),
        (32, 64, 64),
        (32, 64, 49),
        (8192, 1, 1),
        (31, 1, 4081),
        (32, 1, 4096),
        (1, 85, 48),
        (0, 256, 16),
    ],
)
@both_dtypes
def test_products_up_to_the_limits_are_the_kernels_and_no_others(m, k, n, dtype, rng):
    def product(m, k, n):
        x, w, b = whole_numbers(rng, (m, k), (k, n), n)
        return dense(*(within(a, dtype) for a in (x, w, b)), False), x @ w + b

    assert is_small(m, k, n)
    np.testing.assert_array_equal(*product(m, k, n))
    for larger in ((m + 1, k, n), (m, k + 1, n), (m, k, n + STRIP)):
        got, expected = product(*larger)
        assert is_small(*larger) == (got is not None)
        if got is not None:
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs", "to_x", "done"),
    [
        (256, 32, 16, False, True),
        (257, 1, 16, False, False),
        (256, 33, 16, False, False),
        (256, 32, 16, True, True),
        (32, 16, 256, True, False),  # the product by W would do, that by x not
        (16, 16, 256, True, True),
        (16, 32, 256, False, True),
        (16, 33, 256, False, False),
        (1, 17, 128, True, True),
        (1, 17, 129, False, True),
        (1, 17, 129, True, False),
    ],
)
@both_dtypes
def test_the_gradients_of_dense_are_the_kernels_up_to_the_limits(
    rows, inputs, outputs, to_x, done, dtype, rng
):
    g, x, w = whole_numbers(rng, (rows, outputs), (rows, inputs), (inputs, outputs))
    products = dense_vjp(*(within(g, dtype), None, within(x, dtype), within(w, dtype)), to_x)
    assert (products is not None) == done
    if done:
        np.testing.assert_array_equal(products[1], x.T @ g)
        np.testing.assert_array_equal(products[2], g.sum(axis=0))
        if to_x:
            np.testing.assert_array_equal(products[0], g @ w.T)


@both_dtypes
@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 17, 33), (31, 64, 16), (2, 256, 3)])
def test_products_are_those_of_float64_within_their_rounding(sizes, dtype, rng):
    m, k, n = sizes
    x, w, b, g = (rng.normal(size=s).astype(dtype) for s in ((m, k), (k, n), n, (m, n)))
    found = [dense(x, w, b, False), *dense_vjp(g, None, x, w, True)]
    wide_x, wide_w, wide_g = (a.astype(np.longdouble) for a in (x, w, g))
    for got, left, right, rest in (
        (found[0], wide_x, wide_w, b),
        (found[1], wide_g, wide_w.T, 0),
        (found[2], wide_x.T, wide_g, 0),
    ):
        bound = (left.shape[1] + 2) * np.finfo(dtype).eps * (abs(left) @ abs(right) + abs(rest))
        assert (abs(got - (left @ right + rest)) <= bound).all()


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0]


@np.errstate(invalid="ignore")
@plain_or_rectified
@both_dtypes
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 2, 1), (4, 2, 16), (5, 3, 17), (9, 2, 33)])
def test_nan_and_infinity_spread_as_in_numpy_and_no_further(sizes, dtype, rectify, rng):
    m, k, n = sizes
    for _ in range(50):
        x, w, b = (rng.choice(SPECIAL, s, p=[0.04] * 5 + [0.4] * 2) for s in ((m, k), (k, n), n))
        y = dense(*(within(a, dtype) for a in (x, w, b)), rectify)
        expected = (x[:, :, None] * w).sum(axis=1) + b
        np.testing.assert_array_equal(y, rectified(expected) if rectify else expected)


@both_dtypes
def test_denormal_numbers_are_not_flushed_to_zero(dtype, rng):
    tiny = np.finfo(dtype).smallest_subnormal
    x, w, b = whole_numbers(rng, (5, 4), (4, 17), 17)
    y = dense(*(a.astype(dtype) for a in (x * tiny, w, b * tiny)), True)
    np.testing.assert_array_equal(y, (rectified(x @ w + b) * float(tiny)).astype(dtype))
    assert (y > 0).any()
    np.testing.assert_array_equal(gate(y, y), y)
    np.testing.assert_array_equal(sum_rows(y), (y / tiny).sum(axis=0) * tiny)


@both_dtypes
def test_a_closed_rectifier_lets_neither_nan_nor_infinity_through(dtype, rng):
    x, w = (a.astype(dtype) for a in whole_numbers(rng, (3, 5), (5, 2)))
    g = np.array([[np.nan, 1], [np.inf, 2], [-np.inf, 3]], dtype)
    y = np.array([[0, 1], [-0.0, 1], [np.nan, 1]], dtype)
    d = np.array([[0, 1], [0, 2], [0, 3]])
    for got, want in zip(dense_vjp(g, y, x, w, True), (d @ w.T, x.T @ d, [0, 6]), strict=True):
        np.testing.assert_array_equal(got, want)


@both_dtypes
def test_one_array_may_stand_for_several(dtype, rng):
    [square] = whole_numbers(rng, (17, 17))
    a = square.astype(dtype)
    np.testing.assert_array_equal(dense(a, a, a[0], False), square @ square + square[0])
    d = rectified(square)
    expected = (d @ square.T, square.T @ d, d.sum(axis=0))
    for got, want in zip(dense_vjp(a, a, a, a, True), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(a, square)


# --- its parts ----------------------------------------------------------------------------------


@plain_or_rectified
@both_dtypes
@pytest.mark.parametrize("n", [*SIZES, 1000])
@pytest.mark.parametrize("m", SIZES)
def test_a_bias_is_added_to_each_row_in_place_and_to_nothing_else(m, n, dtype, rectify, rng):
    before, b = whole_numbers(rng, (m, n), n)
    y = within(before, dtype)
    assert add_bias(y, within(b, dtype), rectify) is True
    expected = before + b
    np.testing.assert_array_equal(y, rectified(expected) if rectify else expected)
    assert np.isnan(margins(y)).all()


@both_dtypes
def test_a_rectifier_keeps_nan_and_infinity_and_has_no_negative_zero(dtype):
    y = np.array([[np.nan, np.inf, -np.inf, -0.0, 0.0, 1]], dtype)
    assert add_bias(y, np.full(6, -0.0, dtype), True)
    np.testing.assert_array_equal(y, [[np.nan, np.inf, 0, 0, 0, 1]])
    assert not np.signbit(y[0, 1:]).any()


def test_a_single_row_may_be_its_own_bias(rng):
    [before] = whole_numbers(rng, (1, 17))
    y = before.copy()
    assert add_bias(y, y[0], False)
    np.testing.assert_array_equal(y, 2 * before)


@both_dtypes
@pytest.mark.parametrize("n", [0, 1, 15, 63, 64, 65, 127, 128, 129, 1000])
@pytest.mark.parametrize("m", [0, 1, 2, 5, 1000])
def test_the_sum_of_rows_is_exact_on_whole_numbers(m, n, dtype, rng):
    [g] = whole_numbers(rng, (m, n))
    np.testing.assert_array_equal(
        sum_rows(within(g, dtype)), g.sum(axis=0).astype(dtype), strict=True
    )


def test_rows_of_float32_are_added_up_in_float64(rng):
    g = np.array([[2.0**30], [1], [-(2.0**30)]], np.float32)
    assert sum_rows(g) == 1
    g = rng.random((100_000, 3), np.float32)
    np.testing.assert_array_equal(sum_rows(g), g.sum(axis=0, dtype=float).astype(np.float32))


@both_dtypes
def test_the_sum_of_rows_hands_nan_and_infinity_on(dtype):
    g = np.array([[np.nan, np.inf, np.inf, 0], [1, 1, -np.inf, 1]], dtype)
    np.testing.assert_array_equal(sum_rows(g), [np.nan, np.inf, np.nan, 1])


@both_dtypes
@pytest.mark.parametrize("shape", [(), *((n,) for n in SIZES), (1000,), (5, 7), (2, 3, 17), (3, 0)])
def test_gate_lets_the_gradient_pass_where_y_is_positive(shape, dtype, rng):
    g, y = (rng.normal(size=shape) for _ in range(2))
    g = np.where(rng.random(shape) < 0.2, np.nan, g)
    y = np.where(rng.random(shape) < 0.2, 0, y)
    g, y = within(g, dtype), within(y, dtype)
    expected = np.asarray(np.where(y > 0, g, 0), dtype)
    np.testing.assert_array_equal(gate(g, y), expected, strict=True)


def test_gate_closes_on_nan_and_both_zeros_and_opens_on_infinity():
    y = np.array([np.nan, 0.0, -0.0, -np.inf, np.inf, 5e-324])
    np.testing.assert_array_equal(gate(np.arange(1.0, 7), y), [0, 0, 0, 0, 5, 6])


# --- what they take, and what they leave alone --------------------------------------------------

ARRAYS = {
    "add_bias": [(7, 5), (5,)],
    "sum_rows": [(7, 5)],
    "gate": [(7, 5), (7, 5)],
    "dense": [(7, 4), (4, 5), (5,)],
    "dense_vjp": [(7, 5), (7, 5), (7, 4), (4, 5)],
}
FLAGGED = {"add_bias", "dense", "dense_vjp"}
EVERY_ARRAY = pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name, shapes in ARRAYS.items() for at in range(len(shapes))]
)


def call(name, given):
    """The kernel's answer; None if it did nothing."""
    done = getattr(layer, name)(*given, *([True] if name in FLAGGED else []))
    return None if done is False else done


def arguments(name, rng, dtype=np.float64):
    return [rng.normal(size=shape).astype(dtype) for shape in ARRAYS[name]]


def unaligned(a):
    shifted = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    shifted[...] = a
    return shifted


class Derived(np.ndarray):
    """A class of arrays, as libraries define them."""


@pytest.mark.parametrize("spoil", [lambda a: a.view(Derived), np.asarray], ids=["derived", "plain"])
@pytest.mark.parametrize("name", ARRAYS)
def test_read_only_and_derived_inputs_are_fine_and_results_arrays_of_their_own(name, spoil, rng):
    plain = arguments(name, rng)
    given = [spoil(a.copy()) for a in plain]
    for a in given[name == "add_bias" :]:
        a.flags.writeable = False
    found, expected = call(name, given), call(name, plain)
    if name == "add_bias":
        found, expected = given[0].view(np.ndarray), plain[0]
    for got, want in zip(*(r if type(r) is tuple else [r] for r in (found, expected)), strict=True):
        np.testing.assert_array_equal(got, want)
        if name != "add_bias":
            assert type(got) is np.ndarray
            assert got.flags.owndata
            assert got.flags.writeable


SPOILS = {
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1],
    "half": lambda a: a.astype(np.float16),
    "single": lambda a: a.astype(np.float32),
    "complex": lambda a: a.astype(complex),
    "int": lambda a: a.astype(np.int64),
    "object": lambda a: a.astype(object),
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
    "columns first": lambda a: np.repeat(a.reshape(1, -1), 2, axis=0).T,
    "one axis more": lambda a: a[None],
    "one axis more, the last": lambda a: a[..., None],
    "an entry": lambda a: a.reshape(-1)[0],
    "no axis": lambda a: np.array(a.reshape(-1)[0]),
    "list": lambda a: a.tolist(),
    "None": lambda a: None,
    "type": lambda a: np.ndarray,
}


@EVERY_ARRAY
@pytest.mark.parametrize("kind", SPOILS)
def test_arrays_of_another_kind_are_left_alone(name, at, kind, rng):
    if (name, at, kind) == ("dense_vjp", 1, "None") or (name, kind) == ("sum_rows", "single"):
        kind = "half"  # as these two are all right
    given = arguments(name, rng)
    given[at] = SPOILS[kind](given[at])
    copies = [np.array(a) for a in given]
    assert call(name, given) is None
    for a, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(np.array(a), copy)


@EVERY_ARRAY
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("more", [-1, 1])
def test_shapes_that_do_not_fit_are_left_alone(name, at, axis, more, rng):
    given = arguments(name, rng)
    shape = list(given[at].shape)
    shape[axis] += more
    given[at] = np.zeros(shape)
    fits = name == "sum_rows" or ((name, at, axis) in [("add_bias", 0, 0), ("dense", 0, 0)])
    assert (call(name, given) is not None) == fits


@pytest.mark.parametrize("shape", [(5, 1), (1, 5), (1, 1, 5)])
def test_a_bias_has_one_axis(shape, rng):
    """A column would be added to each column, by the rules of NumPy."""
    y = rng.normal(size=(5, 5))
    before = y.copy()
    assert add_bias(y, np.ones(shape), False) is False
    np.testing.assert_array_equal(y, before)


def test_a_bias_is_not_added_to_what_may_only_be_read(rng):
    y, b = arguments("add_bias", rng)
    before = y.copy()
    y.flags.writeable = False
    assert add_bias(y, b, False) is False
    np.testing.assert_array_equal(y, before)


def test_a_product_too_large_for_any_memory_is_a_value_error():
    with pytest.raises(ValueError, match="too big"):
        dense(np.empty((2**40, 0)), np.empty((0, 2**40)), np.empty(0), False)
