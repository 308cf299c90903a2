"""The conversion of a saved state: what is loaded, what is refused, and that nothing is shared."""

import math

import numpy as np
import pytest
from optimizing import descend, snapshot, weights

import minidl as dl


def pair():
    return [weights(np.ones(2), name=name) for name in "ab"]


class Late:
    """An array-like that is converted by code of its own."""

    def __init__(self, *values):
        self.values = list(values)

    def __array__(self, dtype=None, copy=None):
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        return np.array(value)


BAD_ARRAYS = {
    "raises": (lambda: Late(ZeroDivisionError()), ZeroDivisionError),
    "raises a TypeError": (lambda: Late(TypeError("no")), ValueError),
    "of another shape": (lambda: Late(np.ones(3)), ValueError),
    "a generator": (lambda: (x for x in [1.0, 2.0]), ValueError),
    "a ragged list": (lambda: [[1.0], [1.0, 2.0]], ValueError),
    "strings": (lambda: ["a", "b"], ValueError),
    "integers": (lambda: [1, 2], ValueError),
    "None": (lambda: None, ValueError),
    "masked": (lambda: np.ma.array([1.0, 2.0], mask=[0, 1]), ValueError),
}


@pytest.mark.parametrize(("bad", "error"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
@pytest.mark.parametrize("name", ["a", "b"])
def test_a_load_of_what_is_no_array_changes_nothing(bad, error, name):
    params = pair()
    optimizer = dl.optim.Adam(params, lr=0.1)
    descend(optimizer, params[0], [[1.0, 2.0]])
    state = optimizer.state_dict()
    state["t"], state["state"][name]["v"] = 5, bad()
    before = snapshot(params, optimizer)
    with pytest.raises(error):
        optimizer.load_state_dict(state)
    np.testing.assert_equal(snapshot(params, optimizer), before)


@pytest.mark.parametrize(
    "state", [None, [], "state", np.ones(2), np.float64(1), np.array({}), {}, {"t": 0}], ids=repr
)
def test_what_is_no_state_dict_is_refused(state):
    with pytest.raises(ValueError, match=r"^Adam: this is not the state_dict of an optimizer"):
        dl.optim.Adam(pair()).load_state_dict(state)


@pytest.mark.parametrize(
    "value",
    [
        lambda: [7.0, math.nan],
        lambda: memoryview(np.array([7.0, math.nan])),
        lambda: np.array([7.0, 0, math.nan, 0])[::2],
        lambda: Late([7.0, math.nan], ZeroDivisionError()),  # converted once
    ],
)
def test_a_load_takes_what_converts_to_the_right_array_and_never_shares_it(value):
    params = pair()
    optimizer, state, value = dl.optim.Adam(params), None, value()
    state = optimizer.state_dict()
    state["state"]["a"]["m"] = value
    optimizer.load_state_dict(state)
    loaded = optimizer.state[params[0]]["m"]
    np.testing.assert_array_equal(loaded, [7.0, math.nan])
    assert loaded.flags.carray
    if isinstance(value, np.ndarray | memoryview):
        assert not np.shares_memory(loaded, np.asarray(value))


@pytest.mark.parametrize("value", [np.int8(127), np.uint8(127), np.int64(127), 127])
@pytest.mark.parametrize("where", ["t", "t of a parameter", "attribute"])
def test_a_step_count_of_any_integer_type_counts_on_without_overflow(value, where):
    w = weights([1.0])
    optimizer, state = dl.optim.Adam([w], lr=0.5), None
    state = optimizer.state_dict()
    if where == "attribute":
        optimizer.t = value
    else:
        (state if where == "t" else state["state"]["0"])["t"] = value
        optimizer.load_state_dict(state)
    descend(optimizer, w, [[1.0]] * 3)
    counted = optimizer.state[w]["t"] if where == "t of a parameter" else optimizer.t
    assert (counted, type(counted)) == (130, int)
    assert np.isfinite(w.data).all()


@pytest.mark.parametrize("value", [-1, True, 3.0, "3", None, 10**400, 2**53, np.array(3)])
@pytest.mark.parametrize("where", ["t", "t of a parameter", "attribute"])
def test_what_is_no_step_count_is_refused_and_nothing_changes(value, where):
    w = weights([1.0])
    optimizer = dl.optim.Adam([w], lr=0.5)
    descend(optimizer, w, [[1.0]] * 3)
    before, state = snapshot([w], optimizer), optimizer.state_dict()
    (state["state"]["0"] if where == "t of a parameter" else state)["t"] = value

    def take():
        if where == "attribute":
            optimizer.t = value
        optimizer.load_state_dict(state)

    with pytest.raises((TypeError, ValueError), match=r"Adam: .*\bt\b.*(whole number|2\*\*53)"):
        take()
    np.testing.assert_equal(snapshot([w], optimizer), before)
