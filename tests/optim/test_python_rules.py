"""Rules in pure Python: what `update` is given, what of it counts, and what is an error."""

import math

import numpy as np
import pytest
from interrupting import FAILURES, assert_all_or_nothing
from optimizing import descend, each_rule, look_at, snapshot, weights

import minidl as dl
from minidl.optim import Slot
from minidl.schedulers import WarmUp


class Descent(dl.optim.Optimizer):
    """θ ← θ − ηg in Python; SGD is its twin."""

    equations = "θ ← θ − ηg"

    def update(self, group, lr, t, theta, g):
        for theta_i, g_i in zip(theta, g, strict=True):
            theta_i -= theta_i.dtype.type(lr) * g_i


class DecoupledDescent(Descent):
    decoupled = True


class PythonAdam(dl.optim.Adam):
    def update(self, group, lr, t, theta, g, *state):
        super().update(group, lr, t, theta, g, *state)


class PythonAdamW(dl.optim.AdamW):
    def update(self, *batch):
        super().update(*batch)


class PythonNadam(dl.optim.Nadam):
    def update(self, *batch):
        super().update(*batch)


class PythonFTRL(dl.optim.FTRL):
    def update(self, *batch):
        super().update(*batch)


TWINS = [
    (Descent, dl.optim.SGD, {}),
    (PythonAdam, dl.optim.Adam, {"amsgrad": True}),
    (PythonAdamW, dl.optim.AdamW, {}),
    (PythonNadam, dl.optim.Nadam, {}),
    (PythonNadam, dl.optim.Nadam, {"decoupled_weight_decay": True}),
    (PythonFTRL, dl.optim.FTRL, {"l1": 0.01}),
]


@pytest.mark.parametrize(("rule", "twin", "options"), TWINS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weight_decay_and_maximize_hold_for_rules_in_python(
    rule, twin, options, weight_decay, maximize, dtype, rng
):
    start, *gradients = rng.normal(size=(4, 6))
    options = {**options, "weight_decay": weight_decay, "maximize": maximize}
    options["lr"] = WarmUp(0.5, 2)  # the first rate is 0
    w, other = weights(start, dtype), weights(start, dtype)
    path = descend(rule([w], **options), w, gradients)
    expected = descend(twin([other], **options), other, gradients)
    if rule in (PythonNadam, PythonFTRL, Descent, PythonAdam) and weight_decay:
        np.testing.assert_allclose(path, expected, rtol=1e-5 if dtype == "float32" else 1e-13)
    else:
        assert [p.tobytes() for p in path] == [p.tobytes() for p in expected]


def test_weight_decay_and_maximize_in_numbers():
    """g = −(−1) + 1·… by hand: θ = 1, g = −1, λ = 1: g ← 1 + 1 = 2, θ ← 1 − 0.1·2."""
    w = weights([1.0])
    descend(Descent([w], lr=0.1, weight_decay=1.0, maximize=True), w, [[-1.0]])
    assert w.data == 0.8
    w = weights([1.0])
    descend(DecoupledDescent([w], lr=0.1, weight_decay=1.0, maximize=True), w, [[-1.0]])
    assert w.data == 0.9 - 0.1
    w = weights(1.0)
    descend(Descent([w], lr=0.1, weight_decay=1.0, maximize=True), w, [-1.0])
    assert w.data == 0.8


@each_rule
def test_a_rule_that_extends_one_of_minidl_counts_its_steps_at_a_rate_of_0_alike(rule):
    parent = getattr(dl.optim, rule)
    own = type("Own", (parent,), {"update": lambda self, *batch: super(own, self).update(*batch)})
    counts = []
    for kind in (parent, own):
        w = weights([1.0])
        optimizer = kind([w], lr=0.0)
        descend(optimizer, w, [[0.0]] * 2)
        counts.append(optimizer.state[w]["t"])
    assert counts == ([0, 0] if rule == "FTRL" else [2, 2])


def updating(update):
    """An optimizer whose update is this function, of one weight, 2, with the gradient 3."""
    rule = type("Own", (dl.optim.Optimizer,), {"update": update, "slots": {"m": Slot()}})
    w = weights([2.0])
    w.grad = np.full(1, 3.0)
    return w, rule([w], lr=0.5)


def rebinds(self, group, lr, t, theta, g, m):
    for theta_i, g_i in zip(theta, g, strict=True):
        theta_i = theta_i - lr * g_i


def replaces(self, group, lr, t, theta, g, m):
    for i in range(len(theta)):
        theta[i] = theta[i] - lr * g[i]


def replaces_after_a_change_of_state(self, group, lr, t, theta, g, m):
    m[0] += g[0]
    theta[0] = theta[0] - lr * g[0]


def does_nothing(self, group, lr, t, theta, g, m):
    pass


@pytest.mark.parametrize(
    "update", [rebinds, replaces, replaces_after_a_change_of_state, does_nothing]
)
def test_an_update_that_changes_nothing_in_place_is_an_error(update):
    w, optimizer = updating(update)
    before = snapshot([w], optimizer)
    with pytest.raises(RuntimeError, match=r"^Own\.update must change theta.*in place.*theta_i -="):
        optimizer.step()
    np.testing.assert_equal(snapshot([w], optimizer), before)


def changes_state_alone(self, group, lr, t, theta, g, m):
    m[0] += g[0]


def skips(self, group, lr, t, theta, g, m):
    return False


def skips_as_numpy_says(self, group, lr, t, theta, g, m):
    return np.all(theta[0] > 2)


@pytest.mark.parametrize("update", [changes_state_alone, skips, skips_as_numpy_says])
def test_an_update_may_change_its_state_alone_or_say_that_it_skips_the_step(update):
    w, optimizer = updating(update)
    optimizer.step()
    assert (w.data, optimizer.t, optimizer.state[w]["t"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("lr", "gradient"), [(0.0, 3.0), (0.5, 0.0), (1e-30, 3.0), (0.5, math.nan), (0.5, math.inf)]
)
def test_a_step_that_can_move_no_weight_is_no_error(lr, gradient):
    w, optimizer = updating(does_nothing)
    optimizer.lr, w.grad = lr, np.full(1, gradient)
    optimizer.step()
    assert (w.data, optimizer.t) == (2, 1)


def writes_to_the_parameters(self, group, lr, t, theta, g, m):
    m[0] += g[0]
    group.params[0].data[...] = 7


def writes_to_the_state(self, group, lr, t, theta, g, m):
    theta[0] -= lr * g[0]
    self.state[group.params[0]]["m"][...] = 7


@pytest.mark.parametrize("update", [writes_to_the_parameters, writes_to_the_state])
def test_an_update_that_writes_to_what_the_step_replaces_is_an_error(update):
    w, optimizer = updating(update)
    with pytest.raises(RuntimeError, match=r"^Own\.update must change theta.*in place"):
        optimizer.step()
    assert optimizer.t == w.version == 0


def test_an_update_may_write_into_its_gradient():
    def scales(self, group, lr, t, theta, g, m):
        g[0] *= 2
        theta[0] -= lr * g[0]

    w, optimizer = updating(scales)
    g = w.grad
    optimizer.step()
    assert (w.data, g) == (-1, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_replaces_subnormal_results_of_a_rule_in_python_by_0(dtype):
    def decays(self, group, lr, t, theta, g, m):
        m[0][...] = g[0]
        theta[0][...] = g[0] / 4

    rule = type("Own", (dl.optim.Optimizer,), {"update": decays, "slots": {"m": Slot()}})
    tiny = np.finfo(dtype).tiny
    w = weights([1.0] * 5, dtype)
    optimizer = rule([w])
    descend(optimizer, w, [[tiny, -tiny, tiny / 2, -tiny / 2, 8 * tiny]])
    np.testing.assert_array_equal(optimizer.state[w]["m"], [tiny, -tiny, 0, 0, 8 * tiny])
    np.testing.assert_array_equal(w.data, [0, 0, 0, 0, 2 * tiny])


class Flaky(dl.optim.Optimizer):
    """A rule in pure Python that fails in its second batch."""

    fail = True
    slots = {"m": Slot()}
    scalars = {"count": 0.0}

    def update(self, group, lr, t, theta, g, m, count):
        for theta_i, g_i, m_i, count_i in zip(theta, g, m, count, strict=True):
            m_i += g_i
            count_i += 1
            theta_i -= lr * m_i
        group.weight_decay = 0.5
        if self.fail and theta[0].ndim == 0:
            raise ZeroDivisionError


@FAILURES
def test_an_update_in_python_is_taken_over_whole_or_not_at_all(failures, monkeypatch):
    monkeypatch.setattr(Flaky, "fail", False)

    def prepare():
        params = [weights([1.0, 2.0]), weights(5.0, "float32")]
        for p in params:
            p.grad = np.full_like(p.data, 0.5)
        optimizer = Flaky([{"params": [params[0]]}, {"params": [params[1]]}], lr=0.1)
        return params, optimizer

    assert_all_or_nothing(failures, prepare, lambda x: x[1].step(), look_at, 19)


def test_an_error_in_an_update_in_python_changes_nothing():
    params = [weights([1.0, 2.0]), weights(5.0)]
    for p in params:
        p.grad = np.full_like(p.data, 0.5)
    optimizer = Flaky([{"params": [params[0]]}, {"params": [params[1]]}], lr=0.1)
    before = repr(look_at((params, optimizer)))
    with pytest.raises(ZeroDivisionError):
        optimizer.step()
    assert repr(look_at((params, optimizer))) == before
    optimizer.fail = False
    optimizer.step()
    assert [p.data.tolist() for p in params] == [[0.95, 1.95], 4.95]
    assert [group.weight_decay for group in optimizer.groups] == [0.5, 0.5]
