"""Recorded arrays and the plan of their calls, below the tensors."""

import numpy as np
import pytest

from minidl._capture import Recording
from minidl._kernels import layer, plan

F = np.float32


@pytest.fixture
def recording():
    return Recording(lambda: None, True)


def test_a_kernel_adds_a_call_for_a_recorded_array_and_none_for_plain_ones(recording):
    x = np.array([[-1.0, 2.0], [3.0, 5.0]], F)
    plain = layer.sum_rows(x)
    assert type(plain) is np.ndarray
    assert recording.count == 0
    recorded = layer.sum_rows(recording.record(x))
    assert recorded.array.tolist() == plain.tolist() == [2.0, 7.0]
    assert recording.count == 1


def test_after_the_recording_results_are_plain_again(recording):
    x = recording.record(np.ones((1, 2), F))
    recording.open = False
    assert type(layer.sum_rows(x)) is np.ndarray
    assert type(x + 1) is np.ndarray
    assert recording.count == 0


def test_a_recorded_array_has_the_attributes_of_its_array(recording):
    x = np.zeros((2, 3), F)[:, ::2]
    recorded = recording.record(x)
    names = ("shape", "dtype", "ndim", "size")
    assert [getattr(recorded, n) for n in names] == [getattr(x, n) for n in names]
    assert recorded.flags.c_contiguous == x.flags.c_contiguous
    assert isinstance(recorded, np.ndarray)


def test_a_whole_function_is_one_call_and_may_look_at_values(recording):
    @plan.whole
    def larger(x, y):
        return x if x.sum() > y.sum() else y

    x, y = np.zeros(2, F), np.ones(2, F)
    assert larger(x, y) is y
    assert larger(recording.record(x), y).array.tolist() == [1.0, 1.0]


def test_copied_makes_a_new_array_or_writes_into_the_one_that_it_replaces(recording):
    before, values = np.zeros(2, F), np.array([1.0, 2.0])
    new = plan.copied(values, before)
    assert new is not before
    assert (new.dtype, new.tolist()) == (F, [1.0, 2.0])
    assert plan.copied(recording.record(values), before) is before
    assert before.tolist() == [1.0, 2.0]


def test_the_root_of_an_array_owns_its_memory():
    x = np.arange(6.0).reshape(2, 3).copy()
    view = x.T[1:]
    assert plan.root(view) is x
    assert plan.root(x) is x
    assert plan.offset(view) == view.__array_interface__["data"][0] - x.ctypes.data
