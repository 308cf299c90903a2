"""What a replay compares, and the tensor that it returns."""

import collections

import numpy as np
import pytest

import minidl as dl
from minidl._kernels import replay

F = np.float32


class Thing:
    k = 1.0


@pytest.mark.parametrize(
    ("container", "key", "value", "same"),
    [
        ({"a": 1.0}, "a", 1.0, True),
        ({"a": 1.0}, "a", 2.0, False),
        ({"a": 1}, "a", 1.0, False),
        ({"a": True}, "a", 1, False),
        ({"a": "x" * 50}, "a", "".join(["x"] * 50), True),
        ({}, "a", 1.0, False),
        ({"a": (1, 2)}, "a", [1, 2], False),
        ([1, 2], 1, 2, True),
        ([1], 1, 2, False),
        (collections.deque([1, 2]), 1, 2, True),
        ([1, 2], len, 2, True),
        ([1, 2], len, 3, False),
        ({"a": 1}, len, 1, True),
        (Thing(), "k", 1.0, True),
        (Thing(), "missing", 1.0, False),
        (Thing, "k", 1.0, True),
        (Thing, "k", 2.0, False),
        (collections.OrderedDict(a=3), "a", 3, True),
        ({"a": float("nan")}, "a", float("nan"), True),
    ],
)
def test_what_has_been_read_is_the_same_object_or_an_equal_number_or_text(
    container, key, value, same
):
    assert replay.same(container, key, value) is same


def test_an_array_is_the_same_only_as_the_same_object():
    x = np.ones(2)
    assert replay.same({"x": x}, "x", x)
    assert not replay.same({"x": x}, "x", x.copy())


@pytest.mark.parametrize("array", [np.array(2.0, F), np.ones((2, 3)), np.ones((0, 2))])
def test_a_constant_is_a_computed_tensor_with_an_array_of_its_own(array):
    tensor = replay.constant(dl.Tensor, array)
    assert tensor.data is not array
    assert (tensor.shape, tensor.dtype) == (array.shape, array.dtype)
    assert tensor.data.tobytes() == array.tobytes()
    assert not tensor.requires_grad
    assert tensor.is_leaf
    assert tensor.name is None
    assert repr(tensor) == repr(dl.Tensor(array, dtype=array.dtype))
    with pytest.warns(UserWarning, match="result of an op"):
        assert tensor.grad is None
