"""Recorded arrays and the plan of their calls, below the tensors."""

import numpy as np
import pytest

from minidl._capture import Recording
from minidl._kernels import layer, optim, plan

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


# --- malformed calls ------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [plan.root, plan.offset])
@pytest.mark.parametrize("x", [None, 3, [1.0], np.float32(1), object()])
def test_only_an_array_has_a_root(function, x):
    with pytest.raises(TypeError, match="expected an array, got"):
        function(x)


def test_a_recorded_array_has_a_plan_from_the_beginning():
    with pytest.raises(TypeError, match="0 given"):
        plan.Recorded.__new__(plan.Recorded)
    with pytest.raises(TypeError, match="None"):
        plan.Recorded(np.ones(2), None)


@pytest.mark.parametrize("kind", ["list", "dict", "deep"])
def test_an_argument_that_holds_itself_is_an_error(kind):
    x = {"list": [], "dict": {}, "deep": []}[kind]
    if kind == "list":
        x.append(x)
    elif kind == "dict":
        x[1] = x
    else:
        for _ in range(10**5):
            x = [x]
    with pytest.raises(RecursionError, match="holds itself, or is nested more than 100 deep"):
        plan.plain(x)


def test_a_plan_adds_calls_of_functions_and_ufuncs_alone():
    it, x = plan.Plan(), np.ones(3)
    with pytest.raises(TypeError, match="needs a ufunc of NumPy, got <built-in function len>"):
        it.add_ufunc(len, (x,), x, ())
    with pytest.raises(TypeError, match=r"expected an array, got \[1.0\]"):
        it.add_ufunc(np.tanh, ([1.0],), x, ())
    for position in range(1, 5):
        arguments = [len, (x,), {}, (x,), (x,), "len"]
        arguments[position] = None
        with pytest.raises(TypeError, match="None"):
            it.add_python(*arguments)
    assert it.count == 0


def test_none_in_the_place_of_an_object_of_the_kernels_is_an_error():
    update = optim.momentum.prepare(([np.ones(3)], [np.ones(3)], [np.ones(3)]), 0.1, 0.9, 0, 0)
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
        optim.add_update(None, "name", update)


@pytest.mark.parametrize("number", [-1, 0, 1, 2**31])
def test_a_plan_has_no_error_of_a_call_that_it_does_not_have(number):
    with pytest.raises(IndexError):
        plan.Plan().raise_error(number)
