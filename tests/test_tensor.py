"""Tensors, the graph and backward: closed forms, ownership, memory, errors, PyTorch's values."""

import array
import copy
import gc
import json
import math
import operator
import pathlib
import pickle
import sys
import threading
import tracemalloc
import weakref
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from interrupting import each_interruption

import minidl as dl
from minidl import _graph_picture, ops, tensor

DTYPES = (np.float32, np.float64)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def leaf(values, dtype=np.float64, name=None):
    return dl.Tensor(np.array(values, dtype), requires_grad=True, name=name)


def same(actual, expected):
    """Equal in value, shape and dtype."""
    np.testing.assert_array_equal(actual, expected, strict=True)


# --- making tensors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (np.ones(2, np.float32), np.float32),
        (np.ones(2, np.float64), np.float64),
        (np.float64(1), np.float64),
        (np.float32(1), np.float32),
        (np.ones(2, ">f8"), np.float64),
        (dl.Tensor(np.ones(2)), np.float64),
        (1.0, None),
        (True, None),
        (7, None),
        ([1.0, 2.0], None),
        ([[1, 2], [3, 4]], None),
        ((1, 2.5), None),
        ([], None),
        (range(3), None),
        (np.arange(3), None),
        (np.int8(3), None),
        (np.array([True, False]), None),
        (np.arange(3, dtype=np.uint8), None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("default", DTYPES)
def test_floating_arrays_keep_their_dtype_and_all_else_gets_the_default(data, dtype, default):
    with dl.default_dtype(default):
        t = dl.Tensor(data)
    assert t.dtype == (dtype or default)
    plain = data.data if isinstance(data, dl.Tensor) else data
    same(t.data, np.asarray(plain, t.dtype))
    assert (t.grad, t.name, t.requires_grad) == (None, None, False)


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float64, *map(np.dtype, DTYPES)])
@pytest.mark.parametrize("data", [[1, 2], np.arange(2), np.ones(2, np.float32), np.ones(2)])
def test_an_explicit_dtype_is_obeyed(data, dtype):
    assert dl.Tensor(data, dtype=dtype).dtype == dtype
    assert dl.Tensor(data, requires_grad=True, dtype=dtype).dtype == dtype


@pytest.mark.parametrize("data", [np.arange(3), np.int64(1), np.array([True]), np.ones(2, "u1")])
def test_a_gradient_of_numpy_integers_is_a_type_error(data):
    with pytest.raises(TypeError, match=rf"floating-point data, got {data.dtype}.*astype"):
        dl.Tensor(data, requires_grad=True)


@pytest.mark.parametrize("data", ["abc", None, 1j, [1j], {}, object(), [None], ["1.0"], b"x"])
def test_data_that_are_not_real_numbers_are_a_type_error(data):
    with pytest.raises(TypeError, match="expected real numbers"):
        dl.Tensor(data)


@pytest.mark.parametrize("dtype", ["complex128", "U3", object, "nonsense", "M8[s]"])
def test_a_dtype_that_is_not_of_real_numbers_is_a_type_error(dtype):
    with pytest.raises(TypeError):
        dl.Tensor([1.0], dtype=dtype)


@pytest.mark.parametrize("flag", ["slope", 1, None, np.ones(2)])
def test_requires_grad_is_true_or_false(flag):
    with pytest.raises(TypeError, match="requires_grad must be True or False"):
        dl.Tensor([1.0], flag)


def test_rows_of_different_lengths_are_a_value_error():
    with pytest.raises(ValueError, match=r"can't be converted to an array"):
        dl.Tensor([[1, 2], [3]])


def test_a_constant_shares_memory_and_a_parameter_does_not():
    array = np.ones(3)
    assert np.shares_memory(dl.Tensor(array).data, array)
    assert not np.shares_memory(dl.Tensor(array, requires_grad=True).data, array)


@pytest.mark.parametrize("view", [np.transpose, lambda a: a[:, ::2], np.asfortranarray])
@pytest.mark.parametrize("dtype", [None, "float64"])
def test_a_constant_of_an_array_in_another_order_is_a_copy_in_c_order(dtype, view):
    array = view(np.arange(12.0).reshape(3, 4))
    data = dl.Tensor(array, dtype=dtype).data
    same(data, np.ascontiguousarray(array))
    assert data.flags.c_contiguous
    assert not np.shares_memory(data, array)


def test_a_parameter_from_a_read_only_or_strided_array_can_be_updated():
    array = np.ones((4, 6))[::2, ::3].T
    array.flags.writeable = False
    data = dl.Tensor(array, requires_grad=True).data
    assert data.flags.writeable
    assert data.flags.c_contiguous


def test_shape_ndim_size_dtype_and_transpose_are_those_of_the_array():
    t = dl.Tensor(np.arange(6.0).reshape(1, 2, 3))
    assert (t.shape, t.ndim, t.size, t.dtype) == ((1, 2, 3), 3, 6, np.float64)
    same(t.T.data, t.data.T)
    assert t.numpy() is t.data


# --- the default dtype --------------------------------------------------------------------------


def test_the_default_dtype_is_float32_and_can_be_set():
    assert dl.get_default_dtype() == np.float32
    try:
        dl.set_default_dtype("float64")
        assert dl.Tensor(1).dtype == dl.nn.Dense(1, 1).weight.dtype == np.float64
    finally:
        dl.set_default_dtype("float32")
    assert dl.Tensor(1).dtype == np.float32


def test_the_default_dtype_comes_back_after_the_block_and_after_an_error():
    with dl.default_dtype("float64"):
        with dl.default_dtype("float32"):
            assert dl.get_default_dtype() == np.float32
        assert dl.get_default_dtype() == np.float64
        with pytest.raises(ZeroDivisionError), dl.default_dtype("float32"):
            raise ZeroDivisionError
        assert dl.get_default_dtype() == np.float64
    assert dl.get_default_dtype() == np.float32


@pytest.mark.parametrize("dtype", ["int32", "float16", "complex64", "nonsense", None, 3, [1]])
def test_another_default_dtype_is_a_type_error_and_changes_nothing(dtype):
    with pytest.raises(TypeError, match='must be "float32" or "float64"'):
        dl.set_default_dtype(dtype)
    with pytest.raises(TypeError, match='must be "float32" or "float64"'), dl.default_dtype(dtype):
        pass
    assert dl.get_default_dtype() == np.float32


# --- operators ----------------------------------------------------------------------------------

OPERATORS = [
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul)
]
COMPARISONS = [getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")]
PARTNERS = [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), np.array([1.5, 3.0])]


@pytest.mark.parametrize("partner", [*PARTNERS, np.array([2, 3]), np.float32([[1.5, 3], [2, 1]])])
@pytest.mark.parametrize("act", OPERATORS + COMPARISONS)
@both_dtypes
def test_operators_agree_with_numpy_on_both_sides(act, partner, dtype):
    if act is operator.matmul and np.ndim(partner) == 0:
        partner = np.full(2, partner, float)
    array = np.array([1.5, 2.0], dtype)
    integer = getattr(partner, "dtype", np.dtype(float)).kind == "i"
    plain = np.asarray(partner, np.float32) if integer else partner
    for got, want in [
        (act(dl.Tensor(array), partner), act(array, plain)),
        (act(partner, dl.Tensor(array)), act(plain, array)),
        (act(dl.Tensor(array), dl.Tensor(partner, dtype=dtype)), act(array, dtype(partner))),
    ]:
        assert isinstance(got, np.ndarray if act in COMPARISONS else dl.Tensor)
        got = got if act in COMPARISONS else got.data
        np.testing.assert_allclose(got, np.asarray(want), rtol=1e-15, strict=True)


@pytest.mark.parametrize("act", [operator.add, operator.sub, operator.mul, operator.truediv])
def test_a_list_is_an_operand_on_either_side(act):
    x = dl.Tensor([1.0, 2.0])
    same(act(x, [3, 4]).data, act(x.data, np.float32([3, 4])))
    same(act([3, 4], x).data, act(np.float32([3, 4]), x.data))


@pytest.mark.parametrize("number", [0.1, 1e-8, 3])
def test_a_python_number_takes_the_dtype_of_its_partner_at_full_precision(number):
    x = np.array([1.0, 3.0])
    same((dl.Tensor(x) * number).data, x * number)
    same((number - dl.Tensor(x)).data, number - x)
    same(dl.maximum(dl.Tensor(x), number).data, np.maximum(x, number))
    same(dl.where([True, False], dl.Tensor(x), number).data, np.where([True, False], x, number))
    assert (dl.Tensor(np.float32(x)) * number).dtype == np.float32


def test_float32_with_float64_promotes():
    assert (dl.Tensor(np.float32([1])) + dl.Tensor(np.float64([1]))).dtype == np.float64


@pytest.mark.parametrize("other", ["a", None, 1j, object()])
def test_an_operand_that_is_not_a_number_is_a_type_error(other):
    with pytest.raises(TypeError, match="expected real numbers"):
        dl.Tensor([1.0]) + other


def test_comparing_with_an_object_without_an_order_is_a_type_error_but_nothing_equals_none():
    with pytest.raises(TypeError):
        dl.Tensor([1.0]) < None  # noqa: B015
    same(dl.Tensor([1.0]) == None, np.array([False]))  # noqa: E711


def test_negation_and_the_reflected_operators_carry_gradients():
    x = leaf([2.0, 4.0])
    y = (1 - x) / 2 + 8 / x + 2**x + np.array([3.0, 1.0]) * x - (-x) + np.ones((2, 2)) @ x
    y.backward([1.0, 1.0])
    expected = -0.5 - 8 / x.data**2 + math.log(2) * 2**x.data + [3, 1] + 1 + 2
    np.testing.assert_allclose(x.grad, expected, rtol=1e-15)


def test_augmented_assignment_makes_a_new_tensor():
    x = leaf([1.0, 2.0])
    y = x + 0.5
    y += 0.5
    y *= x
    y.sum().backward()
    same(x.data, np.array([1.0, 2.0]))
    same(x.grad, 2 * x.data + 1)


# --- methods ------------------------------------------------------------------------------------

METHODS = ["sum", "mean", "max", "min", "exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu"]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_function_of_its_name(name):
    x = dl.Tensor([[1.0, 2.0], [3.0, 5.0]])
    for options in [{}, {"axis": 1, "keepdims": True}][: 1 + (name in METHODS[:4])]:
        same(getattr(x, name)(**options).data, getattr(dl, name)(x, **options).data)


@pytest.mark.parametrize("shape", [(3, 2), (-1,), (6,), (2, -1, 1)])
def test_reshape_takes_numbers_or_a_tuple(shape):
    x = dl.Tensor(np.arange(6.0).reshape(2, 3))
    for y in (x.reshape(*shape), x.reshape(shape), x.reshape(list(shape)), dl.reshape(x, shape)):
        same(y.data, x.data.reshape(shape))


def test_transpose_takes_numbers_a_tuple_or_nothing():
    x = dl.Tensor(np.arange(24.0).reshape(2, 3, 4))
    axes = (1, -1, 0)
    for y in (x.transpose(*axes), x.transpose(axes), dl.transpose(x, axes)):
        same(y.data, x.data.transpose(axes))
    for y in (x.transpose(), x.T, dl.transpose(x)):
        same(y.data, x.data.T)


def test_indexing_and_iteration_agree_with_numpy_and_carry_gradients():
    x = leaf([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    same(x[1:, ::-1].data, x.data[1:, ::-1])
    same(x[x > 2].data, x.data[x.data > 2])
    rows = list(x)
    assert len(rows) == len(x) == 3
    (rows[0] * rows[2]).sum().backward()
    same(x.grad, np.array([[5.0, 6.0], [0.0, 0.0], [1.0, 2.0]]))
    with pytest.raises(IndexError, match="out of bounds"):
        x[3]


class Two:
    """An object that is an integer by __index__ alone."""

    def __index__(self):
        return 2


class Rows:
    """An object that is an array by __array__ alone."""

    def __array__(self, dtype=None, copy=None):
        return np.array([2, 0, 2])


ROWS = np.array([2, 0, 2])
MASK = np.array([True, False, True])
SQUARE = np.array([[True, False, True], [False] * 3, [True, True, False]])


class OneOf(Rows):
    """An array of one entry that also counts as an integer, as a tensor of PyTorch does."""

    shape = (1,)

    def __array__(self, dtype=None, copy=None):
        return np.array([2])

    def __index__(self):
        return 2


# each key, and what NumPy is asked instead
KEYS = {
    "integer tensor": (dl.Tensor(ROWS, dtype="int64"), ROWS),
    "small integer tensor": (dl.Tensor(ROWS, dtype="uint8"), ROWS),
    "tensor of one integer": (dl.Tensor(1, dtype="int64"), 1),
    "boolean tensor": (dl.Tensor(MASK, dtype=bool), MASK),
    "boolean tensor of two axes": (dl.Tensor(SQUARE, dtype=bool), SQUARE),
    "comparison": (SQUARE, SQUARE),
    "list": ([2, 0, 2], ROWS),
    "list of booleans": ([True, False, True], MASK),
    "nested list": ([[2, 0], [0, 2]], np.array([[2, 0], [0, 2]])),
    "empty list": ([], np.array([], int)),
    "empty lists in a list": ([[], []], np.zeros((2, 0), int)),
    "empty list and slice": ((slice(None), []), (slice(None), np.array([], int))),
    "empty list and integer": (([], 0), (np.array([], int), 0)),
    "empty tuple": ((), ()),
    "empty Series": (pd.Series([], dtype=object), np.array([], int)),
    "array of one integer that has __index__": (OneOf(), np.array([2])),
    "tuple in a tuple": (((0, 0, 1), slice(None)), (np.array([0, 0, 1]), slice(None))),
    "tuple after a slice": ((slice(None), (0, 0)), (slice(None), np.array([0, 0]))),
    "two lists": (([0, 1, 0], [2, 2, 2]), (np.array([0, 1, 0]), np.array([2, 2, 2]))),
    "mixed": (([0, 0], None, slice(1, None)), (np.array([0, 0]), None, slice(1, None))),
    "mask and list": ((MASK, [1, 1]), (MASK, np.array([1, 1]))),
    "integer and list": ((1, [0, 0, 2]), (1, np.array([0, 0, 2]))),
    "ellipsis and list": ((..., [1, 1]), (..., np.array([1, 1]))),
    "broadcast lists": (([[0], [0]], [1, 1]), (np.array([[0], [0]]), np.array([1, 1]))),
    "Series": (pd.Series([2, 0, 2]), ROWS),
    "Series of booleans": (pd.Series([True, False, True]), MASK),
    "Index": (pd.Index([2, 0, 2]), ROWS),
    "array.array": (array.array("i", [2, 0, 2]), ROWS),
    "memoryview": (memoryview(array.array("q", [2, 0, 2])), ROWS),
    "range": (range(2, -1, -1), np.array([2, 1, 0])),
    "object with __array__": (Rows(), ROWS),
    "object with __index__": (Two(), 2),
    "number of NumPy": (np.uint8(2), 2),
    "boolean of NumPy": (np.True_, True),
    "True": (True, True),
    "False": (False, False),
    "array of one integer": (np.array(2), 2),
    "None": (None, None),
    "new axes": ((np.newaxis, 1, None), (None, 1, None)),
    "slice of NumPy's numbers": (slice(np.int64(0), np.uint8(2)), slice(0, 2)),
    "slice of tensors": (slice(dl.Tensor(1, dtype="int64"), None), slice(1, None)),
    "slice of an array": (slice(None, None, np.array(-1)), slice(None, None, -1)),
    "far slice": (slice(-(10**30), 10**30), slice(None)),
    "negative": ([-1, -3, -1], np.array([2, 0, 2])),
}


@pytest.mark.parametrize(("key", "plain"), KEYS.values(), ids=KEYS)
def test_every_kind_of_index_takes_what_numpy_takes_and_sums_what_it_takes_twice(key, plain):
    x, position = leaf(np.arange(9.0).reshape(3, 3)), np.arange(9).reshape(3, 3)
    y = x[key]
    same(y.data, np.asarray(x.data[plain]))
    g = 1.0 + np.arange(y.size).reshape(y.shape)
    y.backward(g)
    expected = np.bincount(np.ravel(position[plain]), np.ravel(g), minlength=9)
    same(x.grad, expected.reshape(3, 3).astype(float))


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: np.array([0, 0, 1]), lambda key: key.fill(2)),
        (lambda: [0, 0, 1], lambda key: key.clear()),
        (lambda: ([0, 0, 1],), lambda key: key[0].reverse()),
        (lambda: pd.Series([0, 0, 1]), lambda key: key.__setitem__(0, 2)),
        (lambda: array.array("i", [0, 0, 1]), lambda key: key.__setitem__(0, 2)),
        (lambda: dl.Tensor([0, 0, 1], dtype="int64"), lambda key: key.data.fill(2)),
        (lambda: slice(np.array(0), np.array(2)), lambda key: key.stop.fill(3)),
        (lambda: np.array(0), lambda key: key.fill(2)),
    ],
)
def test_an_index_is_read_once_whatever_happens_to_it_later(make, change):
    x, untouched = leaf([1.0, 2.0, 3.0]), leaf([1.0, 2.0, 3.0])
    key = make()
    y = x[key]
    change(key)
    y.sum().backward()
    untouched[make()].sum().backward()
    same(x.grad, untouched.grad)


@pytest.mark.parametrize(
    "key",
    [1.0, [0.5], np.array([1.0]), dl.Tensor([0.0, 1.0]), leaf([0.0]), "a", ["a"], {0}, 1j, [None]],
    ids=repr,
)
def test_an_index_of_another_kind_is_an_index_error(key):
    with pytest.raises(IndexError, match=r"integer"):
        leaf([1.0, 2.0])[key]


@pytest.mark.parametrize("key", [3, -4, [3], 10**30, [0, -4], (0, 0), dl.Tensor([3], dtype=int)])
def test_an_index_out_of_range_is_an_index_error(key):
    with pytest.raises(IndexError):
        leaf([1.0, 2.0, 3.0])[key]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_an_entry_taken_many_times_sums_all_its_gradients(dtype):
    x = leaf([1.0, 2.0], dtype)
    x[np.zeros(5000, int)].sum().backward()
    same(x.grad, np.array([5000.0, 0.0], dtype))
    x.zero_grad()
    x[np.zeros(3, int)].backward(np.array([2.0**11, 1.0, 1.0], dtype))
    assert x.grad[0] == 2**11 + 2


def test_item_float_and_bool_need_one_entry():
    one, two = dl.Tensor([[1.5]]), dl.Tensor([1.0, 2.0], name="two")
    assert one.item() == float(one) == 1.5
    assert type(one.item()) is float
    assert bool(one)
    assert not bool(dl.Tensor(0.0))
    for read in (dl.Tensor.item, float):
        with pytest.raises(ValueError, match=r"one entry.*two of shape \(2,\)"):
            read(two)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(two)
    for read in (len, iter):
        with pytest.raises(TypeError):
            read(dl.Tensor(1.0))


@pytest.mark.parametrize(
    ("t", "text"),
    [
        (dl.Tensor(3.0), "Tensor(3., dtype=float32)"),
        (dl.Tensor(np.array([1.0, 2.5])), "Tensor([1. , 2.5])"),
        (dl.Tensor([1.0], requires_grad=True), "Tensor([1.], dtype=float32, requires_grad=True)"),
        (dl.Tensor(np.eye(2)), "Tensor([[1., 0.],\n        [0., 1.]])"),
        (dl.Tensor(np.empty((0, 3))), "Tensor([], shape=(0, 3))"),
    ],
)
def test_repr_shows_values_dtype_and_whether_there_is_a_gradient(t, text):
    expected = text if t.size else repr(t.data).replace("array", "Tensor")
    assert repr(t) == expected


def test_tensors_are_distinguished_by_identity_in_sets_and_dicts():
    a, b = dl.Tensor(1.0), dl.Tensor(1.0)
    assert len({a, b, a}) == 2
    assert {a: 1, b: 2}[b] == 2


# --- beside NumPy -------------------------------------------------------------------------------


def test_numpy_reads_a_constant():
    x = dl.Tensor([1.0, 2.0])
    same(np.asarray(x), np.float32([1, 2]))
    same(np.array(x, np.float64), np.array([1.0, 2.0]))
    same(np.concatenate([x, x]), np.float32([1, 2, 1, 2]))


@pytest.mark.parametrize(
    "call",
    [np.asarray, np.array, lambda x: np.concatenate([x, x])],
    ids=["asarray", "array", "concatenate"],
)
def test_numpy_functions_of_a_tensor_with_gradient_are_a_type_error_with_advice(call):
    with pytest.raises(TypeError, match=r"minidl's function.*\.numpy\(\)"):
        call(leaf([1.0, 2.0]) * 2)


def test_a_tensor_with_one_entry_formats_like_a_number():
    assert f"{leaf([[2.0]]):.3f}" == "2.000"
    assert f"{dl.Tensor([1.0])}" == repr(dl.Tensor([1.0]))
    with pytest.raises(ValueError, match="one entry"):
        format(dl.Tensor([1.0, 2.0]), ".3f")


def test_numpys_function_of_a_tensor_is_minidls_where_there_is_one():
    x = leaf([0.25, 2.0])
    np.exp(x).sum().backward()
    same(x.grad, np.exp(x.data))
    same((np.ones(2, np.float32) < x), np.array([False, True]))
    for call in (np.arctan, np.add.reduce, lambda t: np.exp(t, out=np.empty(2))):
        with pytest.raises(TypeError, match=r"minidl has no np\.(arctan|add|exp) .*t\.numpy\(\)"):
            call(x)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "std", "var"])
def test_numpys_reductions_of_a_tensor_are_minidls(name):
    values = [[1.0, 5.0], [4.0, 2.0]]
    reduce, own = getattr(np, name), getattr(dl, name)
    for args, options in [((), {}), ((1,), {}), ((), {"axis": 0}), ((0,), {"keepdims": True})]:
        x, twin = leaf(values), leaf(values)
        y = reduce(x, *args, **options)
        expected = np.asarray(reduce(x.data, *args, **options))
        np.testing.assert_allclose(y.data, expected, rtol=1e-15, strict=True)
        y.sum().backward()
        own(twin, *args, **options).sum().backward()
        same(x.grad, twin.grad)
    for options in ({"out": np.empty(())}, {"where": True}):
        with pytest.raises(TypeError, match=rf"np\.{name} of a tensor takes .* axis.*t\.numpy\(\)"):
            reduce(leaf(values), **options)


def test_numpys_clip_and_argmax_of_a_tensor_are_minidls():
    x = leaf([1.0, 5.0, -3.0])
    np.clip(x, -1, 4).sum().backward()
    same(x.grad, np.array([1.0, 0.0, 0.0]))
    assert (np.argmax(x), np.argmax(x, axis=0)) == (1, 1)
    for bounds in ({"a_min": -1, "a_max": 4}, {"min": -1, "max": 4}):
        same(np.clip(x, **bounds).data, np.array([1.0, 4.0, -1.0]))
    with pytest.raises(TypeError, match=r"np\.clip .* 3 arguments, and by name a_min, a_max, min"):
        np.clip(x, 0, 1, out=np.empty(3))


def test_the_other_names_of_numpys_functions_work_too():
    x = leaf([1.25, 5.0, -3.0])
    (np.amax(x) - np.amin(x, axis=0)).backward()
    same(x.grad, np.array([0.0, 1.0, -1.0]))
    same(np.around(x, decimals=1).data, np.array([1.2, 5.0, -3.0]))
    same(np.round(x, decimals=1).data, np.array([1.2, 5.0, -3.0]))


def test_other_functions_of_numpy_read_constants_and_refuse_what_would_lose_a_gradient():
    x, w = dl.Tensor([[1.0, 2.0]]), leaf([[1.0, 2.0]])
    assert np.allclose(x, [[1.0, 2.0]])
    assert np.prod(x) == 2
    assert np.vstack([x, x]).shape == (2, 2)
    assert (np.shape(w), np.ndim(w), np.size(w), np.size(w, 1)) == ((1, 2), 2, 2, 2)
    for call in (np.prod, np.vstack, lambda w: np.array_equal(w, w), lambda w: np.stack([x, w])):
        with pytest.raises(TypeError, match=r"^np\.\w+ of a tensor that requires.*t\.numpy\(\)"):
            call(w)


def test_abs_and_plus_are_operators_with_gradients():
    x = leaf([-2.0, 0.0, 3.0])
    abs(x).sum().backward()
    same(x.grad, np.array([-1.0, 0.0, 1.0]))
    assert +x is x


@pytest.mark.parametrize("digits", [None, 0, 1, -1])
def test_round_is_numpys_and_a_constant(digits):
    x = leaf([0.5, 1.5, -2.45, 16.0])
    y = round(x) if digits is None else round(x, digits)
    same(y.data, np.round(x.data, digits or 0))
    same(np.round(x, digits or 0).data, y.data)
    assert not y.requires_grad
    (y * x).sum().backward()
    same(x.grad, y.data)


def test_int_complex_and_index_need_one_entry():
    assert (int(leaf([2.7])), int(leaf(-2.7)), complex(leaf(2.0))) == (2, -2, 2 + 0j)
    assert list(range(dl.Tensor(3, dtype="int64"))) == [0, 1, 2]
    with pytest.raises(ValueError, match="one entry"):
        int(leaf([1.0, 2.0]))
    for t in (leaf(1.0), dl.Tensor([1, 2], dtype="int64")):
        with pytest.raises(TypeError):
            operator.index(t)


def test_in_looks_for_an_entry():
    x = dl.Tensor([[1.0, 2.0]])
    assert 2.0 in x
    assert 3.0 not in x
    assert [y.item() for y in reversed(x[0])] == [2.0, 1.0]


@pytest.mark.parametrize(
    ("act", "name"),
    [(operator.floordiv, "floor_divide"), (operator.mod, "remainder"), (divmod, "divmod")],
)
def test_operators_that_jump_are_a_type_error_that_says_what_to_write(act, name):
    for a, b in [(leaf([1.0]), 2), (2, leaf([1.0])), (leaf([1.0]), dl.Tensor([2.0]))]:
        with pytest.raises(TypeError, match=rf"minidl has no .*np\.{name}\(t\.numpy\(\)"):
            act(a, b)
    w = leaf([1.0])
    with dl.no_grad(), pytest.raises(TypeError, match="minidl has no"):
        w //= 2
    same(w.data, np.array([1.0]))


@pytest.mark.parametrize("name", [np.ones(2), 3, b"w", leaf([1.0])])
def test_a_name_is_a_string(name):
    with pytest.raises(TypeError, match="Tensor: name must be a string, got"):
        dl.Tensor([1.0], name=name)


def test_a_missing_attribute_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'cuda'"):
        leaf(1.0).cuda  # noqa: B018


# --- broadcasting undone ------------------------------------------------------------------------


@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0))
def test_unbroadcast_sums_over_repeated_axes(shapes):
    """It is the adjoint of broadcasting: ⟨unbroadcast(g), x⟩ = ⟨g, broadcast(x)⟩ for any x."""
    rng = np.random.default_rng(0)
    g = np.asarray(rng.normal(size=shapes.result_shape))
    x = np.asarray(rng.normal(size=shapes.input_shapes[0]))
    found = tensor.unbroadcast(g, x.shape)
    assert found.shape == x.shape
    expected = np.vdot(g, np.broadcast_to(x, g.shape))
    np.testing.assert_allclose(np.vdot(found, x), expected, rtol=1e-10, atol=1e-12)


# --- accumulation and ownership -----------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0,)])
@both_dtypes
def test_gradients_add_up_within_and_over_backward_calls(shape, dtype):
    values = np.random.default_rng(0).uniform(1, 2, shape)
    x = leaf(values, dtype)
    for times in (1, 2, 3):
        (x * x + x).sum().backward()
        assert isinstance(x.grad, np.ndarray)
        assert (x.grad.dtype, x.grad.shape) == (dtype, shape)
        np.testing.assert_allclose(x.grad, times * (2 * x.data + 1), rtol=1e-6)
    x.zero_grad()
    assert x.grad is None


@pytest.mark.parametrize("shape", [(), (3,)])
def test_an_optimizer_can_use_a_gradient_of_two_backward_calls(shape):
    x = leaf(np.ones(shape))
    for _ in range(2):
        (3 * x).sum().backward()
    dl.optim.SGD([x], lr=0.5).step()
    same(x.data, np.full(shape, 1 - 0.5 * 6))


def test_backward_on_a_leaf_is_the_identity():
    x, g = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    x.backward(g)
    same(x.grad, g)
    assert not np.shares_memory(x.grad, g)


PASSING = {
    "a leaf": lambda x, z: x,
    "add": lambda x, z: x + z,
    "subtract": lambda x, z: x - z,
    "twice": lambda x, z: x + x,
    "reshape": lambda x, z: x.reshape(4).reshape(2, 2) + z,
    "transpose": lambda x, z: x.T + z.T,
    "concatenate": lambda x, z: dl.concatenate([x, z])[:2],
    "stack": lambda x, z: dl.stack([x, z])[0] + z,
    "where": lambda x, z: dl.where(True, x, z),
    "multiply": lambda x, z: x * z,
    "detach": lambda x, z: x + z.detach(),
    "float32": lambda x, z: x + dl.Tensor(np.ones((2, 2), np.float32)),
}


@pytest.mark.parametrize("f", PASSING.values(), ids=PASSING)
def test_a_gradient_is_an_array_that_nothing_else_holds(f):
    x, z, g = leaf(np.eye(2)), leaf(np.ones((2, 2))), np.array([[1.0, 2.0], [3.0, 4.0]])
    before = g.copy()
    arrays = [g, x.data, z.data]
    for _ in range(2):
        f(x, z).backward(g)
        arrays += [t.grad for t in (x, z) if t.grad is not None]
    x.grad *= 2
    same(g, before)
    owned = {id(a): a for a in arrays}.values()
    for i, a in enumerate(owned):
        assert not any(np.shares_memory(a, b) for j, b in enumerate(owned) if i != j)


def test_a_sum_gives_a_gradient_that_can_be_written_to():
    x = leaf(np.ones((2, 3)))
    x.sum().backward()
    x.grad += 1
    same(x.grad, np.full((2, 3), 2.0))


@pytest.mark.parametrize("act", [operator.add, operator.mul, operator.matmul, dl.maximum])
def test_a_gradient_has_the_dtype_of_its_tensor(act):
    a, b = leaf([[1.0, 2.0]] * 2, np.float32), leaf([[3.0, 4.0]] * 2, np.float64)
    y = act(a, b)
    y.sum().backward()
    assert (y.dtype, a.grad.dtype, b.grad.dtype) == (np.float64, np.float32, np.float64)


def test_gradients_reach_leaves_alone():
    x = leaf(2.0)
    y = x * 3
    (y * y).backward()
    with pytest.warns(UserWarning, match="result of an op"):
        assert y.grad is None
    assert not y.is_leaf
    assert x.is_leaf
    assert x.grad == 36


def test_shared_subgraphs_are_visited_once():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y  # 2⁶⁰ paths
    (y * y).backward()
    assert x.grad == 2.0**121


def test_a_node_waits_for_all_that_used_it():
    x = leaf(3.0)
    y = x * x
    z = y.exp().log() + y * x + y
    z.backward()
    np.testing.assert_allclose(x.grad, 2 * 3 + 3 * 9 + 2 * 3, rtol=1e-14)


def test_augmented_assignment_updates_a_parameter_under_no_grad_alone():
    w = same_w = leaf([1.0, 2.0], name="w")
    with pytest.raises(RuntimeError, match=r"^w of shape .*with dl.no_grad\(\): w -= 0.1"):
        w -= 0.5
    with dl.no_grad():
        w -= 0.5
        w *= 2
    assert w is same_w
    same(w.data, np.array([1.0, 3.0]))
    assert (w.requires_grad, w.is_leaf, w.version) == (True, True, 2)


IN_PLACE = {
    "+=": (operator.iadd, operator.add),
    "-=": (operator.isub, operator.sub),
    "*=": (operator.imul, operator.mul),
    "/=": (operator.itruediv, operator.truediv),
    "**=": (operator.ipow, operator.pow),
    "@=": (operator.imatmul, operator.matmul),
}


@pytest.mark.parametrize(("act", "plain"), IN_PLACE.values(), ids=IN_PLACE)
@both_dtypes
def test_each_augmented_assignment_updates_a_parameter_in_place(act, plain, dtype):
    w = leaf([[1.0, 2.0], [3.0, 4.0]], dtype)
    before, alias = w.data.copy(), w
    other = np.array([[2.0, 0.5], [1.0, 0.5]])
    with dl.no_grad():
        w = act(w, other)
    assert w is alias
    same(w.data, plain(before.astype(float), other).astype(dtype))
    assert (w.requires_grad, w.is_leaf, w.version) == (True, True, 1)
    with dl.no_grad():
        w = act(w, w)  # the operand is the tensor itself
    assert w is alias
    with pytest.raises(RuntimeError, match=r"in-place update.*with dl\.no_grad\(\)"):
        act(w, other)


@pytest.mark.parametrize(
    ("act", "other"), [(operator.imul, np.ones((3, 2))), (operator.imatmul, np.ones(2))]
)
def test_an_augmented_assignment_that_would_change_the_shape_changes_nothing(act, other):
    w = leaf(np.ones((1, 2)), name="w")
    with dl.no_grad(), pytest.raises(ValueError, match=r"the data of w of shape \(1, 2\)"):
        act(w, other)
    same(w.data, np.ones((1, 2)))
    assert w.version == 0


def test_the_gradient_of_a_result_is_none_with_a_warning_that_says_what_to_write():
    w = leaf([1.0, 2.0], name="w")
    (w * w).sum().backward()
    w = w - 0.1 * w.grad
    (w * w).sum().backward()
    with pytest.warns(
        UserWarning, match=r"result of an op.*with dl\.no_grad\(\): w -= 0\.1"
    ) as seen:
        assert w.grad is None
    assert seen[0].filename == __file__
    with dl.no_grad():
        v = leaf([1.0]) * 2
    with pytest.warns(UserWarning, match="result of an op"):
        assert v.grad is None
    assert leaf([1.0]).grad is dl.Tensor([1.0]).grad is None


def test_backward_from_a_parameter_rebound_under_no_grad_says_what_to_write():
    w = leaf([1.0, 2.0])
    w.grad = np.ones(2)
    with dl.no_grad():
        w = w - 0.1 * w.grad
    with pytest.raises(RuntimeError, match=r"replaced, as in w = w - .* w -= 0\.1 \* w\.grad"):
        (w * w).sum().backward()


def test_a_result_that_is_made_a_parameter_is_one():
    w = dl.Tensor([1.0, 2.0]) * 2
    w.requires_grad = True
    assert w.grad is None
    (w * w).sum().backward()
    same(w.grad, np.float32([4.0, 8.0]))


def tensors_with_gradients():
    a, b = leaf([1.0, 2.0], name="a"), leaf([3.0, 4.0], name="b")
    a.grad, b.grad = np.array([10.0, 20.0]), np.array([30.0, 40.0])
    return a, b, (a * b).sum()


def test_an_interrupted_backward_stores_all_gradients_or_none():
    states = set()
    for a, b, loss in each_interruption(tensors_with_gradients, lambda case: case[2].backward()):
        states.add((*a.grad, *b.grad))
        if a.grad[0] == 10 and loss._node.vjps is None:  # freed in part: the next call says so
            with pytest.raises(RuntimeError, match="freed by an earlier backward"):
                loss.backward()
            assert (*a.grad, *b.grad) == (10, 20, 30, 40)
    assert states == {(10, 20, 30, 40), (13, 24, 31, 42)}


def interrupted_update(w):
    with dl.no_grad():
        w **= 2


@pytest.mark.parametrize("change", [interrupted_update, lambda w: setattr(w, "data", [1.0, 4.0])])
def test_an_interrupted_change_of_data_counts_as_a_version_or_does_not_happen(change):
    states = {
        (*w.data.tolist(), w.version) for w in each_interruption(lambda: leaf([-1.0, 2.0]), change)
    }
    assert states == {(-1.0, 2.0, 0), (1.0, 4.0, 1)}


def test_an_interrupted_requires_grad_gives_a_copy_that_may_be_written_or_changes_nothing():
    array = np.ones(2)

    def require(t):
        t.requires_grad = True

    for t in each_interruption(lambda: dl.Tensor(array), require):
        assert t.requires_grad != np.shares_memory(t.data, array)


def test_backward_adds_to_a_gradient_that_another_thread_has_stored_meanwhile():
    class Stored(np.ndarray):
        """A gradient; while something is added to it, the other thread's backward ends."""

        def __add__(self, other):
            w.grad = np.array([10.0, 20.0])
            return np.asarray(self) + other

    w = leaf([1.0, 2.0])
    w.grad = np.ones(2).view(Stored)
    (w * 3).sum().backward()
    same(w.grad, np.array([13.0, 23.0]))


def test_a_constant_that_changed_before_backward_is_named():
    w, v = leaf([1.0, 2.0], name="w"), leaf([1.0, 1.0], name="v")
    w.requires_grad = False
    loss = (w * v).sum()
    w.data = [3.0, 4.0]
    with pytest.raises(RuntimeError, match=r"^w of shape .* was changed"):
        loss.backward()
    assert v.grad is None


def test_a_detached_parameter_keeps_its_values_when_the_parameter_is_updated():
    w, v = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    loss = (w.detach() * v).sum()
    w.grad = np.ones(2)
    dl.optim.SGD([w], lr=1.0).step()
    loss.backward()
    same(v.grad, np.array([1.0, 2.0]))


def test_a_gradient_of_another_shape_left_behind_stops_backward_before_it_changes_any():
    a, b = leaf([1.0, 2.0], name="a"), leaf([3.0, 4.0], name="b")
    b.grad = np.zeros((2, 2))
    with pytest.raises(
        ValueError, match=r"\.grad that b of shape \(2,\) had before has shape \(2, 2\)"
    ):
        (a * b).sum().backward()
    assert a.grad is None


def test_requires_grad_is_checked_when_it_is_set_and_copies_the_users_array():
    array = np.ones(2)
    x = dl.Tensor(array)
    x.requires_grad = True
    assert not np.shares_memory(x.data, array)
    for values, value in (([1.0], "no"), (np.array([1, 2]), True)):
        with pytest.raises(TypeError, match=r"requires_grad"):
            dl.Tensor(values, dtype=None if value == "no" else "int64").requires_grad = value


def test_a_result_cannot_be_frozen():
    x = leaf([1.0, 2.0])
    y = x * 2
    with pytest.raises(RuntimeError, match=r"is the result of multiply: only a leaf"):
        y.requires_grad = False
    y.requires_grad = True
    (y * 3).sum().backward()
    same(x.grad, np.array([6.0, 6.0]))


def test_wrapping_or_subclassing_a_tensor_is_refused_where_the_graph_would_be_lost():
    with pytest.raises(TypeError, match=r"would lose the graph of t, w of shape"):
        dl.Tensor(leaf([1.0], name="w"))
    with pytest.raises(TypeError, match="can't be subclassed"):
        type("Mine", (dl.Tensor,), {})


def test_too_few_tensors_are_a_type_error():
    with pytest.raises(TypeError, match="maximum takes 2 tensors, got 1"):
        dl.maximum(leaf([1.0]))
    with pytest.raises(TypeError, match="stack takes a list of tensors, got 0"):
        dl.stack()


def test_integer_tensors_become_the_default_dtype_in_any_function_that_computes():
    labels = dl.Tensor([0, 1], dtype="int64")
    assert dl.softmax(labels).dtype == dl.exp(labels).dtype == np.float32
    assert dl.maximum(1.0, 2.0).dtype == np.float32


@pytest.mark.parametrize("kind", ["int64", "uint8", "bool"])
@pytest.mark.parametrize(
    "move",
    [
        lambda t, use: t[1],
        lambda t, use: t[:, [0, 0]],
        lambda t, use: use.reshape(t, (3, 2)),
        lambda t, use: use.transpose(t),
        lambda t, use: use.concatenate([t, t]),
        lambda t, use: use.stack([t, t]),
    ],
)
def test_an_op_that_moves_entries_keeps_integers_and_their_digits(move, kind):
    rows = np.array([[2**53 + 1, 0, 1], [3, 7, 2**62 + 1]]).astype(kind)
    found, expected = move(dl.Tensor(rows, dtype=kind), dl), move(rows, np)
    assert (found.dtype, found.data.tolist()) == (kind, expected.tolist())


def test_labels_and_keys_may_be_parts_of_an_integer_tensor():
    labels = dl.Tensor([[0, 1], [2, 0]], dtype="int64")
    x = leaf([1.0, 2.0, 3.0])
    same(x[labels[1]].data, np.array([3.0, 1.0]))
    logits = np.zeros((2, 3))
    same(dl.losses.cross_entropy(logits, labels[0]).data, np.float64(np.log(3.0)))
    assert [row.dtype for row in labels] == ["int64", "int64"]
    assert dl.concatenate([labels[0], [0.5]]).data.tolist() == [0, 1, 0.5]


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "binary_cross_entropy"])
def test_integer_predictions_do_not_round_their_targets(loss):
    labels, target = [[1, 0], [2, 1]], np.array([[0.5, 0.25], [0.0, 0.75]], np.float32)
    moved = dl.Tensor(labels, dtype="int64").reshape(2, 2)
    found = getattr(dl.losses, loss)(moved, target)
    expected = getattr(dl.losses, loss)(dl.Tensor(np.float32(labels)), target)
    same(found.data, expected.data)


def test_integers_of_several_dtypes_become_the_default_dtype():
    a, b = dl.Tensor([1, 2], dtype="uint64"), dl.Tensor([3, 4], dtype="int64")
    assert dl.concatenate([a, b]).dtype == dl.stack([a, b]).dtype == np.float32
    assert dl.concatenate([b, b]).dtype == np.int64


def test_dropout_of_integers_is_that_of_floating_numbers():
    rows = dl.Tensor([[3, 1], [2, 0]], dtype="int64").reshape(2, 2)
    found = dl.nn.Dropout(0.5, rng=0)(rows)
    same(found.data, dl.nn.Dropout(0.5, rng=0)(np.float32(rows.data)).data)


MODEL = dl.nn.MLP([2, 3, 1], rng=0)
STATE = MODEL.state_dict()  # names its layers
NAMED = {  # what a message begins with, for data that are no numbers
    "exp": dl.exp,
    "add": lambda data: leaf([1.0, 2.0]) + data,
    "multiply": lambda data: data * leaf([1.0, 2.0]),
    "less": lambda data: leaf([1.0, 2.0]) < data,
    "where": lambda data: dl.where(data, 1.0, 2.0),
    "concatenate": lambda data: dl.concatenate([[1.0], data]),
    "argmax": dl.argmax,
    "Tensor": dl.Tensor,
    "backward": lambda data: (leaf([1.0, 2.0]) * 2).backward(data),
    "w of shape (2,)": lambda data: setattr(dl.Tensor([1.0, 2.0], True, name="w"), "data", data),
    "dense1, a Dense(2 → 3)": MODEL,
    "dense2.bias": lambda data: MODEL.load_state_dict({**STATE, "dense2.bias": data}),
    "mean": lambda data: dl.nn.Module().buffer("mean", data),
    "Dropout": dl.nn.Dropout(rng=0),
    "cross_entropy": lambda data: dl.losses.cross_entropy(data, [1]),
    "mse: target": lambda data: dl.losses.mse(leaf([1.0, 2.0]), data),
    "mse: prediction and target": lambda data: dl.losses.mse(data, [1.0]),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (["a", "b"], TypeError, "expected real numbers, got list with dtype <U1"),
        (1j, TypeError, "expected real numbers, got complex with dtype complex128"),
        ([[1.0, 2.0], [3.0]], ValueError, "[[1.0, 2.0], [3.0]] can't be converted to an array: "),
        (np.ma.array([1.0, 2.0], mask=[True, False]), TypeError, "got a masked array: fill or "),
    ],
    ids=["names", "complex", "ragged", "masked"],
)
def test_data_that_are_no_numbers_are_refused_where_they_are_given(name, data, error, reason):
    with pytest.raises(error) as caught:
        NAMED[name](data)
    assert str(caught.value).startswith(f"{name}: {reason}")


def test_an_index_or_condition_that_changes_later_changes_nothing():
    x, key, condition = leaf([1.0, 2.0, 3.0]), np.array([0, 1]), np.array([True, False, False])
    loss = x[key].sum() + dl.where(condition, x, 0.0).sum()
    key[:], condition[:] = 2, False
    loss.backward()
    same(x.grad, np.array([2.0, 1.0, 0.0]))


def test_the_default_dtype_of_one_thread_is_not_anothers():
    seen = []
    with dl.default_dtype("float64"):
        other = threading.Thread(target=lambda: seen.append(dl.Tensor([1.0]).dtype))
        other.start()
        other.join()
        assert dl.Tensor([1.0]).dtype == np.float64
    assert seen == [np.float32]


def test_a_detached_tensor_is_a_constant():
    x = leaf([2.0, 3.0], name="x")
    y = x.detach()
    assert (y.requires_grad, y.name, y.dtype) == (False, "x", np.float64)
    (x * y).sum().backward()
    same(x.grad, x.data)


def test_vjps_that_are_not_needed_are_never_computed():
    calls = []

    @ops.op("y = a + b + c", "∂a = g", "∂b = g", "∂c = g")
    def add_three(a, b, c, /):
        """A sum of three."""
        return a + b + c, *(lambda g, i=i: calls.append(i) or g for i in range(3))

    three, w = tensor.differentiable(add_three), leaf([1.0, 2.0])
    for unneeded in (np.ones(2), [1.0, 1.0], dl.Tensor(np.ones(2)), w.detach(), 1.0):
        three(unneeded, w, unneeded).sum().backward()
    assert calls == [1] * 5


def test_a_gradient_of_minus_zero_keeps_its_sign():
    for x in (leaf(1.0), leaf([1.0])):
        (x * -1.0).backward(np.zeros(x.shape))
        assert np.signbit(x.grad).all()


@pytest.mark.parametrize("values", [1.0, [1.0, 2.0]])
@pytest.mark.parametrize("vjp", [lambda g: None, lambda g, needs_grad: [None]])
def test_a_vjp_that_returns_no_gradient_is_an_error(values, vjp):
    @ops.op("y = 2 x", "∂x = 2 g", fused_vjp=vjp.__code__.co_argcount == 2)
    def double(x, /):
        """Twice each entry."""
        return 2 * x, vjp

    x = leaf(values)
    with pytest.raises(TypeError, match=r"^a VJP of double returned None instead of a gradient$"):
        tensor.differentiable(double)(x).sum().backward()
    assert x.grad is None


# --- the graph's life ---------------------------------------------------------------------------


def test_backward_frees_the_graph_on_its_way():
    x = leaf(np.ones(3))
    y = x.exp()
    inner = weakref.ref(y.data)
    z = (y * y).sum()
    del y
    assert inner() is not None
    z.backward()
    assert inner() is None
    assert z.item() > 0


def test_a_second_backward_is_an_error_that_says_how_to_keep_the_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"freed by an earlier backward.*retain_graph=True"):
        y.backward()
    same(x.grad, np.array([2.0, 4.0]))


def test_a_second_loss_on_a_freed_part_is_an_error_too():
    x = leaf([1.0, 2.0])
    shared = x * x
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="multiply, whose graph was freed"):
        (shared + x).sum().backward()
    same(x.grad, np.array([2.0, 4.0]))


def test_retain_graph_keeps_the_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    for times in (1, 2, 3):
        y.backward(retain_graph=times < 3)
        same(x.grad, times * np.array([2.0, 4.0]))
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("inner", [False, True], ids=["leaf", "result"])
def test_the_gradients_of_thousands_of_uses_are_summed_in_single_precision(dtype, inner):
    x = dl.Tensor(np.array([1, 2], dtype), requires_grad=True)
    once = dl.Tensor(np.array([1, 2], dtype), requires_grad=True)
    h = x * 1 if inner else x
    (dl.concatenate([h] * 5000).sum() + (once * x).sum()).backward()
    same(x.grad, np.array([5001, 5002], dtype).astype(dtype))  # 2048 + 1 is 2048 in float16
    same(once.grad, np.array([1, 2], dtype))


def test_a_gradient_that_underflows_is_0_whatever_errstate_is_in_force():
    x = leaf(1.0)
    y = x * 1e-200
    with np.errstate(under="raise"):
        y.backward(1e-200)
    same(x.grad, np.array(0.0))


@pytest.mark.parametrize("shape", [(2,), (0,), (2, 1)])
def test_a_root_of_several_entries_needs_a_gradient(shape):
    y = leaf(np.ones(shape)) * 2
    with pytest.raises(ValueError, match=r"one entry.*\.sum\(\) or \.mean\(\).*y\.backward\(grad"):
        y.backward()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_root_of_one_entry_starts_from_one(shape):
    x = leaf(np.full(shape, 3.0))
    (x * x).backward()
    same(x.grad, np.full(shape, 6.0))


@pytest.mark.parametrize("grad", [1.0, np.ones(3), np.ones((2, 1)), np.ones((1, 2))])
def test_a_gradient_of_another_shape_is_a_value_error(grad):
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"gradient .* has shape .*, expected \(2,\)"):
        (x * x).backward(grad)
    assert x.grad is None


@pytest.mark.parametrize("grad", ["a", [None, None], [1j, 1j]])
def test_a_gradient_that_is_not_numeric_is_a_type_error(grad):
    with pytest.raises(TypeError, match="expected real numbers"):
        (leaf([1.0, 2.0]) * 2).backward(grad)


def test_a_root_that_depends_on_no_parameter_is_an_error():
    with pytest.raises(RuntimeError, match="requires_grad=True"):
        (dl.Tensor(1.0) * 2).backward()
    with dl.no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def fail_late(x, other):
    """A graph whose backward reaches x, then breaks."""

    @ops.op("y = x", "∂x = g")
    def broken(x, /):
        """An op whose derivative can't be computed."""

        def vjp(g):
            raise ArithmeticError("no derivative")

        return x, vjp

    return tensor.differentiable(broken)(other * 1) + x


def fail_freed(x, other):
    """A graph of which a part was freed; what that left in .grad is undone."""
    shared, before = other * other, other.grad
    shared.backward(np.ones(2))
    other.grad = before
    return shared + x


def fail_changed(x, other):
    """A graph that used a parameter before it was changed."""
    y = other * 1 + x
    other.data = [9.0, 9.0]
    return y


@pytest.mark.parametrize("build", [fail_late, fail_freed, fail_changed])
def test_after_a_failing_backward_every_gradient_is_unchanged(build):
    x, other = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    x.grad, other.grad = np.array([5.0, 6.0]), np.array([7.0, 8.0])
    y = build(x, other)
    with pytest.raises((ArithmeticError, RuntimeError)):
        y.backward(np.ones(2))
    same(x.grad, np.array([5.0, 6.0]))
    same(other.grad, np.array([7.0, 8.0]))


# --- changed parameters are caught --------------------------------------------------------------


def by_step(model):
    optimizer = dl.optim.SGD(model, lr=0.1)
    for p in model.parameters():
        p.grad = np.ones_like(p.data)
    optimizer.step()
    optimizer.zero_grad()


def by_load(model):
    model.load_state_dict(model.state_dict())


def by_assignment(model):
    model[0].weight.data = 2 * model[0].weight.data


@pytest.mark.parametrize("change", [by_step, by_load, by_assignment])
def test_a_parameter_changed_between_forward_and_backward_is_named(change):
    model = dl.nn.MLP([2, 3, 1], "tanh", rng=0)
    list(model.named_parameters())
    loss = model(np.ones((4, 2))).sum()
    change(model)
    with pytest.raises(RuntimeError, match=r"dense\d\.\w+ of shape .* was changed .*optimizer"):
        loss.backward()
    assert all(p.grad is None for p in model.parameters())
    model(np.ones((4, 2))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_change_before_the_forward_pass_or_after_backward_is_fine():
    x = leaf([1.0, 2.0])
    x.data = [3.0, 4.0]
    (x * x).sum().backward()
    same(x.grad, np.array([6.0, 8.0]))
    x.data = [5.0, 6.0]
    (x * x).sum().backward()
    same(x.grad, np.array([16.0, 20.0]))


@both_dtypes
@pytest.mark.parametrize("other", DTYPES)
def test_assigned_data_is_a_copy_in_the_same_dtype(dtype, other):
    x, values = leaf([1.0, 2.0], dtype), np.array([0.1, 0.2], other)
    x.data = values
    same(x.data, values.astype(dtype))
    values[:] = 9
    assert 9 not in x.data
    x.data = y = dl.Tensor([3.0, 4.0])
    assert not np.shares_memory(x.data, y.data)


@pytest.mark.parametrize(
    ("values", "error"), [(np.ones(3), ValueError), (1.0, ValueError), (None, TypeError)]
)
def test_assigned_data_that_does_not_fit_is_an_error_and_changes_nothing(values, error):
    x = leaf([1.0, 2.0], name="slope")
    y = (x * x).sum()
    with pytest.raises(error, match=r"slope of shape|expected real numbers"):
        x.data = values
    same(x.data, np.array([1.0, 2.0]))
    y.backward()
    same(x.grad, np.array([2.0, 4.0]))


def test_the_data_of_a_computed_tensor_cannot_be_replaced():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(RuntimeError, match=r"result of multiply.*detach\(\)"):
        y.data = [0.0, 0.0]


# --- no_grad ------------------------------------------------------------------------------------


def test_no_grad_records_nothing_in_a_block_or_a_function():
    x = leaf([1.0, 2.0])

    @dl.no_grad()
    def double(x, depth=1):
        return double(x, depth - 1) if depth else x * 2

    for _ in range(2):
        assert not double(x).requires_grad
        assert (x * 2).requires_grad
    with dl.no_grad():
        y = x * 2
        assert leaf(1.0).requires_grad
    assert (y.requires_grad, y.is_leaf) == (False, True)
    assert double.__name__ == "double"


def test_no_grad_nests_and_is_left_by_an_error():
    x = leaf(1.0)
    with dl.no_grad():
        with dl.no_grad():
            pass
        assert not (x * 2).requires_grad
        with pytest.raises(ZeroDivisionError), dl.no_grad():
            raise ZeroDivisionError
        assert not (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), dl.no_grad():
        raise ZeroDivisionError
    assert (x * 2).requires_grad


def test_no_grad_is_a_matter_of_its_own_thread():
    x, seen, entered, leave = leaf(1.0), [], threading.Event(), threading.Event()

    def other():
        seen.append((x * 2).requires_grad)
        with dl.no_grad():
            entered.set()
            leave.wait(10)

    with dl.no_grad():
        thread = threading.Thread(target=other)
        thread.start()
        assert entered.wait(10)
    seen.append((x * 2).requires_grad)
    leave.set()
    thread.join()
    assert seen == [True, True]


# --- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("requires_grad", [True, False])
@both_dtypes
def test_a_copy_of_a_leaf_has_its_values_gradient_and_name(clone, requires_grad, dtype):
    x = dl.Tensor(np.array([1.0, 2.0], dtype), requires_grad, name="slope")
    x.grad = np.array([3.0, 4.0], dtype) if requires_grad else None
    y = clone(x)
    same(y.data, x.data)
    assert (y.name, y.requires_grad) == ("slope", requires_grad)
    assert not np.shares_memory(x.data, y.data)
    if requires_grad:
        same(y.grad, x.grad)
        assert not np.shares_memory(x.grad, y.grad)
        (y * y).sum().backward()
        same(x.grad, np.array([3.0, 4.0], dtype))


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_graph_refuses_to_be_copied(clone):
    with pytest.raises(RuntimeError, match=r"result of exp.*detach\(\)"):
        clone(leaf([1.0]).exp())


# --- depth and memory ---------------------------------------------------------------------------

MANY = 200_000


@pytest.fixture
def reference_counting_alone():
    """The usual recursion limit, and no collector that would help with a long chain."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    gc.disable()
    yield
    gc.enable()
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("reference_counting_alone")
@pytest.mark.parametrize("backward", [True, False])
def test_a_chain_of_200000_ops_runs_and_is_freed(backward):
    x = leaf([2.0])
    y = x.exp()
    first = weakref.ref(y.data)
    for _ in range(MANY):
        y = -y
    assert first() is not None
    if backward:
        y.backward()
        assert first() is None
        same(x.grad, np.exp(x.data))
    del y
    assert first() is None


def test_training_leaves_no_garbage_and_needs_no_more_memory():
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(8, 3)).astype("f4"), rng.normal(size=(8, 1)).astype("f4")
    model = dl.nn.Sequential(dl.nn.Dense(3, 4, rng=0), dl.nn.Tanh(), dl.nn.Dense(4, 1, rng=1))
    optimizer = dl.optim.Adam(model)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            dl.losses.mse(model(x), target).backward()
            optimizer.step()

    train(10)
    gc.collect()
    gc.disable()
    try:
        train(8000)
        tracemalloc.start()
        train(200)
        early, _ = tracemalloc.get_traced_memory()
        train(1800)
        late, peak = tracemalloc.get_traced_memory()
        garbage = gc.collect()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert garbage == 0
    assert late - early < 1800 * 4  # not even four bytes a step
    assert peak < early + 50_000


# --- PyTorch's values ---------------------------------------------------------------------------

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden" / "expressions.json").read_text())
LABELS, KEY = np.array(GOLDEN["labels"]), GOLDEN["key"]


def mlp(activation):
    def f(x, w, b, v, c):
        return ((activation(tensor.dense(x, w, b)) @ v + c) ** 2).mean()

    return f


EXPRESSIONS = {
    **{
        f"mlp {name}": mlp(getattr(dl, name))
        for name in ["relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus"]
    },
    "cross_entropy": lambda x, w, b: dl.losses.cross_entropy(x @ w + b, LABELS),
    "smoothed cross_entropy": lambda x, w, b: dl.losses.cross_entropy(
        x @ w + b, LABELS, label_smoothing=0.1
    ),
    "soft cross_entropy": lambda x, w, p: dl.losses.cross_entropy(x @ w, dl.softmax(p.detach())),
    "binary_cross_entropy": lambda x, w, p: dl.losses.binary_cross_entropy(x @ w, dl.sigmoid(p)),
    "mse": lambda x, w, p: dl.losses.mse(x @ w, p, "sum"),
    "norms": lambda x, w: dl.norm(x @ w, axis=1).sum() * dl.norm(w),
    "softmax and logs": lambda x, w, p: (
        (dl.log_softmax(x @ w, axis=0) * dl.softmax(p)).sum() + dl.logsumexp(x).mean()
    ),
    "batched matmul": lambda q, w, v: dl.tanh(q @ w @ v) / (1 + (q @ w).exp().sum()),
    "indexing": lambda x, p: x[KEY, 1:3].exp() * p[::2, :1].sum() + x[:, ::-1][-1, :2],
    "max and min": lambda x, w: (x @ w).max(axis=1) - x.min() * (w**3).max(axis=(0, 1)),
    "broadcasting": lambda x, b, c: (
        dl.abs(x.T[:, None, :, None] / (2 + c**2) - b[:, None, None]) ** 1.5
    ),
    "shapes": lambda q, p: dl.stack(
        [
            dl.concatenate([q.reshape(-1, 3), p]).T.sum(1)[:3],
            q.transpose(1, 0, 2).mean(axis=(1, 2)).sqrt(),
        ]
    ),
}


def test_every_stored_expression_is_computed():
    assert EXPRESSIONS.keys() == GOLDEN["expressions"].keys()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_value_and_gradients_are_those_of_pytorch(name):
    golden = GOLDEN["expressions"][name]
    leaves = {n: leaf(GOLDEN["inputs"][n], name=n) for n in golden["gradients"]}
    y = EXPRESSIONS[name](*leaves.values())
    y.backward(np.array(golden["weights"]))
    compared = {"value": (y.data, golden["value"])}
    for n, gradient in golden["gradients"].items():
        assert (gradient is None) == (leaves[n].grad is None)
        if gradient is not None:
            compared[n] = leaves[n].grad, gradient
    for what, (got, want) in compared.items():
        np.testing.assert_allclose(
            got, np.array(want), rtol=1e-12, atol=1e-14, strict=True, err_msg=f"{name}: {what}"
        )


# --- the graph in a notebook --------------------------------------------------------------------


def drawn(y):
    """Of a tensor's picture the boxes (title, line below, kind) and the arrows between titles."""
    svg = ElementTree.fromstring(y._repr_svg_())
    groups = [g for g in svg.iter() if g.tag.endswith("}g")]
    boxes = {
        g.get("data-node"): (*(t.text for t in g if t.tag.endswith("}text")), g.get("class"))
        for g in groups
        if g.get("data-node")
    }
    arrows = [
        (boxes[g.get("data-from")][0], boxes[g.get("data-to")][0])
        for g in groups
        if g.get("data-from")
    ]
    return set(boxes.values()), sorted(arrows)


def test_the_picture_of_a_tensor_is_the_graph_that_led_to_it():
    w = leaf([1.0, 2.0], name="w")
    x = dl.Tensor([3.0, 4.0], name="x")
    loss = (w * x + w).sum()
    loss.name = "loss"
    boxes, arrows = drawn(loss)
    assert boxes == {
        ("w", "(2,)", "node parameter"),
        ("x", "(2,)", "node input"),
        ("multiply", "(2,)", "node op"),
        ("add", "(2,)", "node op"),
        ("loss", "14", "node op"),
    }
    assert arrows == [
        ("add", "loss"),
        ("multiply", "add"),
        ("w", "add"),
        ("w", "multiply"),
        ("x", "multiply"),
    ]


def test_a_leaf_has_no_picture_and_shows_its_numbers():
    assert leaf([1.0])._repr_svg_() is None
    assert dl.Tensor([1.0])._repr_svg_() is None


def test_the_picture_of_a_long_graph_shows_its_last_ops():
    h = w = leaf(1.0, name="w")
    for _ in range(1000):
        h = h * w
    boxes, arrows = drawn(h)
    assert len(arrows) == 2 * _graph_picture.DRAWN
    assert ("…", "earlier ops", "node more") in boxes
    assert ("…", "multiply") in arrows


def test_a_freed_graph_still_has_a_picture():
    w = leaf([1.0, 2.0], name="w")
    y = (w * w).sum()
    y.backward()
    assert drawn(y) == ({("sum", "5", "node op")}, [])


def test_a_number_that_is_broadcast_gets_an_array_as_gradient_however_often_it_is_used():
    for times in (1, 2):
        scale = leaf(1.5, name="scale")
        sum([(np.ones((4, 2)) * scale).sum() for _ in range(times)]).backward()
        assert isinstance(scale.grad, np.ndarray)
        assert scale.grad.shape == ()
        assert scale.grad == 8 * times
        dl.optim.SGD([scale], lr=0.125).step()
        assert scale.item() == 1.5 - times


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda x: x.sum(dim=0), "axis"),
        (lambda x: dl.mean(x, keepdim=True), "keepdims"),
        (lambda x: dl.softmax(x, dim=1), "axis"),
        (lambda x: dl.concatenate([x], dim=0), "axis"),
        (lambda x: dl.clip(x, min=0), "low"),
    ],
)
def test_an_option_of_another_library_is_answered_with_the_option_of_the_op(call, meant):
    message = rf"^\w+ of shape \(2, 3\): .* keyword argument .*\. Did you mean '{meant}'\?$"
    with pytest.raises(TypeError, match=message):
        call(dl.Tensor(np.ones((2, 3))))


# --- DLPack -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, bool])
def test_a_constant_shares_its_memory_by_dlpack(dtype):
    data = np.arange(6).reshape(2, 3).astype(dtype)
    t = dl.Tensor(data, dtype=dtype)
    array = np.from_dlpack(t)
    np.testing.assert_array_equal(array, data, strict=True)
    assert np.shares_memory(array, t.data)
    assert t.__dlpack_device__() == (1, 0)  # the processor's memory, by DLPack's numbers
    assert not np.shares_memory(np.from_dlpack(t, copy=True), t.data)


def test_a_tensor_with_a_gradient_is_not_handed_over_by_dlpack():
    t = dl.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"which has no gradient\. .* t\.numpy\(\)"):
        np.from_dlpack(t)
    assert np.from_dlpack(t.detach()).tolist() == [1.0, 2.0]


def test_pytorch_reads_a_tensor_by_dlpack():
    torch = pytest.importorskip("torch")
    t = dl.Tensor(np.arange(3.0))
    assert torch.from_dlpack(t).tolist() == [0.0, 1.0, 2.0]
    assert dl.Tensor(torch.from_dlpack(t)).dtype == np.float64
