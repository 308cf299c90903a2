"""The parts of a layer, exactly equal to NumPy on whole numbers.

Each array is placed into a larger one full of NaN, so that reading beyond it is noticed.
"""

import numpy as np
import pytest

from minidl._kernels import layer

SIZES = [0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 64]
DTYPES = [np.float32, np.float64]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
plain_or_rectified = pytest.mark.parametrize("rectify", [False, True])

add_bias, sum_rows, relu_vjp = layer.add_bias, layer.sum_rows, layer.relu_vjp


def within(a, dtype, margin=256):
    """A copy of a, surrounded by NaN in memory."""
    a = np.asarray(a)
    whole = np.full(a.size + 2 * margin, np.nan, dtype)
    inner = whole[margin : margin + a.size].reshape(a.shape)
    inner[...] = a
    return inner


def margins(inner):
    """The memory around an array made by `within`."""
    rest = np.delete(inner.base, np.arange(256, 256 + inner.size))
    assert rest.size == 512
    return rest


def whole_numbers(rng, *shapes):
    """So small that no sum of products of them is rounded."""
    return [rng.integers(-9, 10, shape).astype(float) for shape in shapes]


def rectified(y):
    return np.where(y <= 0, 0, y)


# --- values -------------------------------------------------------------------------------------


@plain_or_rectified
@both_dtypes
@pytest.mark.parametrize("n", [*SIZES, 1000])
@pytest.mark.parametrize("m", SIZES)
def test_a_bias_is_added_to_each_row_in_place_and_to_nothing_else(m, n, dtype, rectify, rng):
    before, b = whole_numbers(rng, (m, n), n)
    y = within(before, dtype)
    add_bias(y, within(b, dtype), rectify)
    expected = before + b
    np.testing.assert_array_equal(y, rectified(expected) if rectify else expected)
    assert np.isnan(margins(y)).all()


@both_dtypes
def test_a_rectifier_keeps_nan_and_infinity_and_has_no_negative_zero(dtype):
    y = np.array([[np.nan, np.inf, -np.inf, -0.0, 0.0, 1]], dtype)
    add_bias(y, np.full(6, -0.0, dtype), True)
    np.testing.assert_array_equal(y, [[np.nan, np.inf, 0, 0, 0, 1]])
    assert not np.signbit(y[0, 1:]).any()


def test_a_single_row_may_be_its_own_bias(rng):
    [before] = whole_numbers(rng, (1, 17))
    y = before.copy()
    add_bias(y, y[0], False)
    np.testing.assert_array_equal(y, 2 * before)


@both_dtypes
@pytest.mark.parametrize("n", [0, 1, 15, 63, 64, 65, 127, 128, 129, 1000])
@pytest.mark.parametrize("m", [0, 1, 2, 5, 1000])
def test_the_sum_of_rows_is_exact_on_whole_numbers(m, n, dtype, rng):
    [g] = whole_numbers(rng, (m, n))
    np.testing.assert_array_equal(
        sum_rows(within(g, dtype)), g.sum(axis=0).astype(dtype), strict=True
    )


def test_rows_of_float32_are_summed_in_float64(rng):
    g = np.array([[2.0**30], [1], [-(2.0**30)]], np.float32)
    assert sum_rows(g) == 1
    g = rng.random((100_000, 3), np.float32)
    np.testing.assert_array_equal(sum_rows(g), g.sum(axis=0, dtype=float).astype(np.float32))


@both_dtypes
def test_the_sum_of_rows_propagates_nan_and_infinity(dtype):
    g = np.array([[np.nan, np.inf, np.inf, 0], [1, 1, -np.inf, 1]], dtype)
    np.testing.assert_array_equal(sum_rows(g), [np.nan, np.inf, np.nan, 1])


@both_dtypes
@pytest.mark.parametrize("shape", [(), *((n,) for n in SIZES), (1000,), (5, 7), (2, 3, 17), (3, 0)])
def test_relu_vjp_passes_the_gradient_where_y_is_positive(shape, dtype, rng):
    g, y = (rng.normal(size=shape) for _ in range(2))
    g = np.where(rng.random(shape) < 0.2, np.nan, g)
    y = np.where(rng.random(shape) < 0.2, 0, y)
    g, y = within(g, dtype), within(y, dtype)
    expected = np.asarray(np.where(y > 0, g, 0), dtype)
    np.testing.assert_array_equal(relu_vjp(g, y), expected, strict=True)


def test_relu_vjp_is_zero_at_nan_and_both_zeros_and_passes_at_infinity():
    y = np.array([np.nan, 0.0, -0.0, -np.inf, np.inf, 5e-324])
    np.testing.assert_array_equal(relu_vjp(np.arange(1.0, 7), y), [0, 0, 0, 0, 5, 6])


@both_dtypes
def test_subnormal_numbers_are_not_flushed_to_zero(dtype, rng):
    tiny = np.finfo(dtype).smallest_subnormal
    [whole] = whole_numbers(rng, (5, 17))
    y = (whole * tiny).astype(dtype)
    add_bias(y, np.full(17, tiny, dtype), True)
    np.testing.assert_array_equal(y, (rectified(whole + 1) * float(tiny)).astype(dtype))
    assert (y > 0).any()
    np.testing.assert_array_equal(relu_vjp(y, y), y)
    np.testing.assert_array_equal(sum_rows(y), (y / tiny).sum(axis=0) * tiny)


# --- what they take, and what they leave alone --------------------------------------------------

ARRAYS = {
    "add_bias": [(7, 5), (5,)],
    "sum_rows": [(7, 5)],
    "relu_vjp": [(7, 5), (7, 5)],
}
EVERY_ARRAY = pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name, shapes in ARRAYS.items() for at in range(len(shapes))]
)


def call(name, given):
    return getattr(layer, name)(*given, *([True] if name == "add_bias" else []))


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
    np.testing.assert_array_equal(found, expected)
    if name != "add_bias":
        assert type(found) is np.ndarray
        assert found.flags.owndata
        assert found.flags.writeable


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
def test_arrays_of_another_kind_are_refused_and_left_alone(name, at, kind, rng):
    if (name, kind) == ("sum_rows", "single"):
        kind = "half"  # since it takes one array of either dtype
    given = arguments(name, rng)
    given[at] = SPOILS[kind](given[at])
    copies = [np.array(a) for a in given]
    with pytest.raises(ValueError, match=f"{name} needs .*C-contiguous"):
        call(name, given)
    for a, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(np.array(a), copy)


@EVERY_ARRAY
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("more", [-1, 1])
def test_shapes_that_do_not_fit_are_refused(name, at, axis, more, rng):
    given = arguments(name, rng)
    shape = list(given[at].shape)
    shape[axis] += more
    given[at] = np.zeros(shape)
    if name == "sum_rows" or (name, at, axis) == ("add_bias", 0, 0):
        call(name, given)  # any number of rows fits
    else:
        with pytest.raises(ValueError, match=f"{name} needs"):
            call(name, given)


@pytest.mark.parametrize("shape", [(5, 1), (1, 5), (1, 1, 5)])
def test_a_bias_has_one_axis(shape, rng):
    """A column would be added to each column, by the rules of NumPy."""
    y = rng.normal(size=(5, 5))
    before = y.copy()
    with pytest.raises(ValueError, match="a vector b"):
        add_bias(y, np.ones(shape), False)
    np.testing.assert_array_equal(y, before)


def test_a_bias_is_not_added_to_a_read_only_array(rng):
    y, b = arguments("add_bias", rng)
    before = y.copy()
    y.flags.writeable = False
    with pytest.raises(ValueError, match="a writable matrix y"):
        add_bias(y, b, False)
    np.testing.assert_array_equal(y, before)
