"""What all optimizers share: groups, rates, state, the step, saving and resuming."""

import copy
import dataclasses
import functools
import math
import pickle
import re
import threading

import numpy as np
import pytest
from interrupting import FAILURES, assert_all_or_nothing, each_interruption
from optimizing import (
    FULL_STATE,
    SIGNATURES,
    Failing,
    descend,
    each_rule,
    look_at,
    make,
    network,
    ready_to_step,
    reference_trajectory,
    snapshot,
    train,
    weights,
)

import minidl as dl
from minidl.optim import Slot, flag, option, within
from minidl.schedulers import CoolDown, LinearDecay, ReduceOnPlateau, Sequence, StepDecay, WarmUp


def test_names_are_those_that_the_parameters_were_given_with():
    a, b, c = weights([1.0], name="own"), weights([1.0]), weights([1.0])
    optimizer = dl.optim.Adam([("first", a), b, ("third", c)])
    assert optimizer.names == {a: "first", c: "third"}
    assert [p.name for p in (a, b, c)] == ["own", None, "third"]


def test_the_state_is_a_read_only_view():
    w = weights([1.0])
    optimizer = dl.optim.Adam([w])
    with pytest.raises(TypeError, match="assignment"):
        optimizer.state[w]["m"] = np.ones(1)
    optimizer.state[w]["m"][:] = 5  # the arrays are the optimizer's own
    assert optimizer.state_dict()["state"]["0"]["m"] == 5


@each_rule
def test_parameters_of_one_group_that_have_missed_steps_have_a_count_of_their_own(rule, rng):
    starts, gradients = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    has_gradient = [(1, 1, 1), (1, 0, 1), (1, 1, 1), (0, 1, 0), (1, 1, 1)]
    together, alone = ([weights(start) for start in starts] for _ in range(2))
    optimizer = getattr(dl.optim, rule)(together, lr=0.1)
    own = [getattr(dl.optim, rule)([w], lr=0.1) for w in alone]
    for g, present in zip(gradients, has_gradient, strict=True):
        optimizer.zero_grad()
        for i in np.flatnonzero(present):
            together[i].grad, alone[i].grad = g[i], g[i]
            own[i].step()
        optimizer.step()
    for w, same, single in zip(together, alone, own, strict=True):
        np.testing.assert_array_equal(w.data, same.data)
        assert optimizer.state[w]["t"] == single.state[same]["t"] == w.version


@each_rule
def test_repr_shows_every_option_and_the_step(rule):
    w = weights([1.0, 2.0, 3.0])
    optimizer = make(rule, [w], lr=LinearDecay(0.5, 10))
    descend(optimizer, w, [np.ones(3)] * 4)
    text = repr(optimizer)
    assert text.startswith(f"{rule}(")
    for name, default in {**SIGNATURES[rule], "lr": LinearDecay(0.5, 10)}.items():
        assert f"{name}={default!r}" in text
    assert re.search(r"\b3 param", text)
    assert re.search(r"\bstep 4\b", text)


def test_repr_shows_every_group():
    groups = [{"params": [weights([1.0])], "lr": 0.5}, {"params": [weights([1.0])], "lr": 0.25}]
    text = repr(dl.optim.SGD(groups, momentum=0.75))
    assert text.count("momentum=0.75") == 2
    assert text.index("lr=0.5") < text.index("lr=0.25")


# --- groups -------------------------------------------------------------------------------------


@each_rule
def test_groups_have_their_own_options_and_share_the_rest(rule):
    (name, value), *_ = {"weight_decay": 0.5, **FULL_STATE.get(rule, {})}.items()
    own, shared = weights([1.0, -2.0]), weights([1.0, -2.0])
    groups = [{"params": [own], "lr": 0.2, name: value}, {"params": [shared]}]
    optimizer = make(rule, groups, lr=0.1, maximize=True)
    gradients = [np.array([1.0, 2.0]), np.array([-1.0, 0.5]), np.array([0.3, 0.0])]
    for g in gradients:
        own.grad = g
        descend(optimizer, shared, [g])
    problem = rule, [1.0, -2.0], gradients
    expected = reference_trajectory(*problem, 0.2, maximize=True, **{name: value})[-1]
    np.testing.assert_allclose(own.data, expected, rtol=1e-12)
    expected = reference_trajectory(*problem, 0.1, maximize=True)[-1]
    np.testing.assert_allclose(shared.data, expected, rtol=1e-12)
    assert [group["lr"] for group in optimizer.groups] == [0.2, 0.1]
    assert optimizer.lr == 0.2


def test_groups_share_the_step_count_of_their_schedules():
    a, b, c = (weights([0.0]) for _ in range(3))
    first, second = LinearDecay(1.0, 4), StepDecay(1.0, 1, 0.5)
    groups = [{"params": [a], "lr": first}, {"params": [b], "lr": second}, {"params": [c]}]
    optimizer = dl.optim.SGD(groups, lr=0.125)
    for t in range(6):
        assert (optimizer.t, optimizer.lr) == (t, first(t))
        before = [float(p.data[0]) for p in (a, b, c)]
        a.grad = b.grad = c.grad = np.ones(1)
        optimizer.step()
        fell = [was - float(p.data[0]) for was, p in zip(before, (a, b, c), strict=True)]
        assert fell == pytest.approx([first(t), second(t), 0.125], abs=1e-15)
    assert optimizer.t == 6


@each_rule
def test_a_parameter_that_joins_later_has_its_own_count_and_the_common_schedule(rule):
    early, late = weights([1.0, 2.0]), weights([1.0, 2.0])
    lr = StepDecay(0.4, 2, 0.5)
    optimizer = make(rule, [early, late], lr=lr, **FULL_STATE.get(rule, {}))
    gradients = np.array([[1.0, -1.0], [0.5, 2.0], [-1.0, 1.0]])
    descend(optimizer, early, gradients)
    np.testing.assert_array_equal(late.data, [1.0, 2.0])
    assert late.version == 0
    early.grad = None
    path = descend(optimizer, late, gradients)
    options = FULL_STATE.get(rule, {})
    expected = reference_trajectory(rule, [1.0, 2.0], gradients, lambda t: lr(t + 3), **options)
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-14)


@each_rule
def test_parameters_without_a_gradient_do_not_change(rule):
    used, unused = weights([1.0]), weights([1.0])
    optimizer = make(rule, [unused, used], lr=0.1, weight_decay=0.5)
    descend(optimizer, used, [[1.0], [1.0]])
    assert (unused.data[0], unused.version) == (1.0, 0)
    assert (used.data[0] != 1.0, used.version) == (True, 2)


@pytest.mark.parametrize("stale", [False, True])
def test_a_frozen_parameter_does_not_change(stale):
    frozen, free = weights([1.0]), weights([1.0])
    optimizer = dl.optim.SGD([frozen, free], lr=0.1)
    frozen.grad = np.ones(1) if stale else None
    frozen.requires_grad = False
    descend(optimizer, free, [[1.0]])
    assert (frozen.data[0], free.data[0]) == (1.0, 0.9)


@each_rule
def test_weights_are_updated_in_place_and_counted_as_changed(rule):
    w = weights([[1.0, 2.0], [3.0, 4.0]])
    array = w.data
    graph = (w * w).sum()
    descend(make(rule, [w], lr=0.1), w, [np.ones((2, 2))])
    assert w.data is array
    assert w.version == 1
    with pytest.raises(RuntimeError, match="was changed"):
        graph.backward()


# --- the step, the rate, the count --------------------------------------------------------------


def test_the_rate_can_be_set_for_every_group_to_a_number_or_a_schedule():
    a, b = weights([0.0]), weights([0.0])
    optimizer = dl.optim.SGD([{"params": [a], "lr": 0.5}, {"params": [b], "lr": 0.25}])
    optimizer.lr = 0.125
    a.grad = b.grad = np.ones(1)
    optimizer.step()
    assert (a.data[0], b.data[0]) == (-0.125, -0.125)
    optimizer.lr = StepDecay(1.0, 1, 0.5)
    assert optimizer.lr == 0.5  # the step count continues
    optimizer.step()
    assert (a.data[0], b.data[0]) == (-0.625, -0.625)


@pytest.mark.parametrize(
    ("value", "error"),
    [(value, ValueError) for value in (math.nan, -1, math.inf)]
    + [(value, TypeError) for value in ("0.1", None, True, [0.1])],
)
def test_an_invalid_rate_is_refused_and_the_old_one_stays(value, error):
    optimizer = dl.optim.Adam([weights([1.0])], lr=0.5)
    with pytest.raises(error, match=rf"^Adam: lr must be .*, got {re.escape(repr(value))}"):
        optimizer.lr = value
    assert optimizer.lr == 0.5


@each_rule
def test_step_without_any_gradient_says_what_to_call(rule):
    model = network()
    optimizer = make(rule, model, lr=0.1)
    train(model, optimizer, 2)
    before = snapshot(model.parameters(), optimizer)
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(
        RuntimeError, match=rf"^{rule}\.step: no parameter has a gradient.*backward"
    ):
        optimizer.step()
    np.testing.assert_equal(snapshot(model.parameters(), optimizer), before)


def set_gradient(value):
    def corrupt(p):
        p.grad = value(p)

    return corrupt


def lock(p):
    p.data.flags.writeable = False


CORRUPTIONS = {
    "longer": (set_gradient(lambda p: np.ones((2, 4))), ValueError, "has shape"),
    "of shape (1, 1)": (set_gradient(lambda p: np.ones((1, 1))), ValueError, "has shape"),
    "0-d": (set_gradient(lambda p: np.array(1.0)), ValueError, "has shape"),
    "transposed": (set_gradient(lambda p: np.ones((3, 2))), ValueError, "has shape"),
    "flat": (set_gradient(lambda p: np.ones(6)), ValueError, "has shape"),
    "float32": (set_gradient(lambda p: np.ones((2, 3), np.float32)), TypeError, "dtype"),
    "integers": (set_gradient(lambda p: np.ones((2, 3), int)), TypeError, "dtype"),
    "a list": (set_gradient(lambda p: [[1.0] * 3] * 2), TypeError, "NumPy array"),
    "a tensor": (set_gradient(lambda p: dl.Tensor(np.ones((2, 3)))), TypeError, "NumPy array"),
    "a number": (set_gradient(lambda p: 1.0), TypeError, "NumPy array"),
    "for read-only weights": (lock, ValueError, "read-only"),
}


@each_rule
@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("grouped", [False, True])
def test_a_step_that_fails_changes_nothing(rule, corruption, grouped, rng):
    corrupt, error, message = CORRUPTIONS[corruption]
    params = [weights(rng.normal(size=(2, 3)), name=name) for name in ("a", "b", "c")]
    groups = [{"params": [p]} for p in params] if grouped else params
    optimizer = make(rule, groups, lr=0.1, **FULL_STATE.get(rule, {}))

    def give_gradients():
        for p in params:
            p.grad = p.data - 1

    give_gradients()
    optimizer.step()
    give_gradients()
    before, (twins, twin) = snapshot(params, optimizer), copy.deepcopy((params, optimizer))
    corrupt(params[1])
    with pytest.raises(error, match=rf"^{rule}\.step: .* b of shape \(2, 3\).*{message}"):
        optimizer.step()
    np.testing.assert_equal(snapshot(params, optimizer), before)

    params[1].data.flags.writeable = True
    give_gradients()
    optimizer.step()
    twin.step()
    assert [p.data.tobytes() for p in params] == [p.data.tobytes() for p in twins]


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1e10, None, "0.1", True])
def test_an_invalid_rate_of_a_schedule_stops_the_step_before_it_begins(value):
    a, b = weights([1.0]), weights([1.0])
    optimizer = dl.optim.Adam([{"params": [a]}, {"params": [b], "lr": Failing(value)}])
    for _ in range(2):
        a.grad = b.grad = np.ones(1)
        optimizer.step()
    before = snapshot([a, b], optimizer)
    with pytest.raises(
        (TypeError, ValueError),
        match=r"Adam: lr of step 2 must be a finite number|Failing.* at t = 2; .* must be finite",
    ):
        optimizer.step()
    assert repr(snapshot([a, b], optimizer)) == repr(before)


@pytest.mark.parametrize(
    "edit",
    [
        {"lr": math.nan},
        {"lr": "0.1"},
        {"weight_decay": None},
        {"weight_decay": "0.1"},
        {"momentum": "0.9"},
        {"momentum": 0.9},  # needs state that was not made
    ],
)
def test_a_group_that_was_corrupted_never_makes_half_a_step(edit):
    a, b = weights([1.0]), weights([1.0])
    optimizer = dl.optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1)
    a.grad = b.grad = np.ones(1)
    optimizer.step()
    before = snapshot([a, b], optimizer)[:2]

    def edit_and_step():
        optimizer.groups[1].update(edit)
        optimizer.step()

    with pytest.raises((TypeError, ValueError), match=next(iter(edit))):
        edit_and_step()
    assert snapshot([a, b], optimizer)[:2] == before


def test_a_groups_rate_can_be_changed_in_place():
    a, b = weights([1.0]), weights([1.0])
    optimizer = dl.optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.125)
    optimizer.groups[1]["lr"] = 0.5
    a.grad = b.grad = np.ones(1)
    optimizer.step()
    assert (a.data[0], b.data[0]) == (0.875, 0.5)


# --- saving and resuming ------------------------------------------------------------------------


def optimizer_of(rule, model, **options):
    return make(
        rule, model, **{"lr": StepDecay(0.1, 3, 0.5), **FULL_STATE.get(rule, {}), **options}
    )


@each_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(rule, dtype):
    model = network(dtype=dtype)
    optimizer = optimizer_of(rule, model)
    train(model, optimizer, 4)
    saved = model.state_dict(), optimizer.state_dict()
    expected = train(model, optimizer, 4, seed=2)

    resumed = network(seed=5, dtype=dtype)
    resumed.load_state_dict(saved[0])
    later = optimizer_of(rule, resumed, lr=0.7, weight_decay=0.3)
    later.load_state_dict(saved[1])
    assert later.t == 4
    assert train(resumed, later, 4, seed=2) == expected
    np.testing.assert_equal(later.state_dict(), optimizer.state_dict())


@each_rule
def test_state_is_matched_by_name_whatever_the_order(rule):
    model = network()
    optimizer = optimizer_of(rule, model)
    train(model, optimizer, 4)
    resumed = copy.deepcopy(model)
    later = optimizer_of(rule, list(resumed.named_parameters())[::-1])
    later.load_state_dict(optimizer.state_dict())
    assert train(resumed, later, 4, seed=2) == train(model, optimizer, 4, seed=2)


@each_rule
def test_state_dict_is_a_deep_copy_keyed_by_name(rule):
    model = network()
    optimizer = optimizer_of(rule, model)
    train(model, optimizer, 2)
    state = optimizer.state_dict()
    names = [name for name, _ in model.named_parameters()]
    assert (state["rule"], state["t"]) == (rule, 2)
    assert list(state["state"]) == state["groups"][0]["params"] == names
    for slots in state["state"].values():
        for value in slots.values():
            if isinstance(value, np.ndarray):
                value.fill(np.nan)
    state["groups"][0]["lr"], state["t"] = 99.0, 77
    assert optimizer.t == 2
    assert optimizer.lr != 99.0
    train(model, optimizer, 1)
    assert all(np.isfinite(p.data).all() for p in model.parameters())


def test_loading_copies_the_state():
    model = network()
    optimizer = dl.optim.Adam(model)
    train(model, optimizer, 2)
    state = optimizer.state_dict()
    before = copy.deepcopy(state)
    optimizer.load_state_dict(state)
    train(model, optimizer, 2)
    np.testing.assert_equal(state, before)
    optimizer.load_state_dict(state)
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_parameters_without_names_are_matched_by_position(rng):
    a, b = weights(rng.normal(size=2)), weights(rng.normal(size=3))
    optimizer = dl.optim.Adam([a, b])
    a.grad, b.grad = np.ones(2), np.ones(3)
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state["state"]) == ["0", "1"]
    later = dl.optim.Adam([weights(a.data), weights(b.data)])
    later.load_state_dict(state)
    np.testing.assert_equal(later.state_dict(), state)


def pair(names=("a", "b"), shape=(2,), dtype="float64"):
    return [weights(np.ones(shape), dtype, name=name) for name in names]


FOREIGN = {
    "another rule": lambda: dl.optim.AdamW(pair()),
    "another subclass": lambda: dl.optim.SGD(pair()),
    "another name": lambda: dl.optim.Adam(pair(("a", "c"))),
    "fewer parameters": lambda: dl.optim.Adam(pair()[:1]),
    "more parameters": lambda: dl.optim.Adam(pair(("a", "b", "c"))),
    "another shape": lambda: dl.optim.Adam(pair(shape=(1, 2))),
    "another dtype": lambda: dl.optim.Adam(pair(dtype="float32")),
    "other slots": lambda: dl.optim.Adam(pair(), amsgrad=True),
    "two groups": lambda: dl.optim.Adam([{"params": [p]} for p in pair()]),
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_the_state_of_another_optimizer_is_refused_and_nothing_changes(foreign):
    params = pair()
    optimizer = dl.optim.Adam(params, lr=0.1)
    descend(optimizer, params[0], [[1.0, 2.0]] * 3)
    before = snapshot(params, optimizer)
    with pytest.raises(ValueError, match=r"^Adam: the .* of the state is .*optimizer's is"):
        optimizer.load_state_dict(FOREIGN[foreign]().state_dict())
    np.testing.assert_equal(snapshot(params, optimizer), before)


def test_parameters_that_changed_groups_are_refused():
    a, b, c = pair(("a", "b", "c"))
    saved = dl.optim.Adam([{"params": [a, b]}, {"params": [c]}]).state_dict()
    optimizer = dl.optim.Adam([{"params": [a]}, {"params": [b, c]}])
    with pytest.raises(ValueError, match=r"^Adam: the group 0 of the state is \['a', 'b'\]"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda state: state.update(t=-1), "t must be"),
        (lambda state: state.pop("t"), "not the state_dict"),
        (lambda state: state.pop("rule"), "not the state_dict"),
        (lambda state: state.clear(), "not the state_dict"),
        (lambda state: state["state"]["b"].update(t=-1), "t of b"),
        (lambda state: state["state"]["b"].update(t="one"), "t of b"),
        (lambda state: state["groups"][0].update(lr=math.nan), "lr must be"),
        (lambda state: state["groups"][0].update(betas=(0.9, 1.0)), r"betas\[1\] must be"),
        (lambda state: state["groups"][0].pop("lr"), "options of group 0"),
        (lambda state: state["groups"][0].update(amsgrad=True), "amsgrad decides"),
        (lambda state: state["state"]["b"].pop("v"), "slot v of b"),
        (lambda state: state["state"]["b"].update(v=np.zeros(3)), "slot v of b"),
    ],
)
def test_a_corrupted_state_is_refused_and_nothing_changes(corrupt, message):
    params = pair()
    optimizer = dl.optim.Adam(params, lr=0.1)
    descend(optimizer, params[0], [[1.0, 2.0]] * 3)
    state = optimizer.state_dict()
    corrupt(state)
    descend(optimizer, params[0], [[1.0, 2.0]])
    before = snapshot(params, optimizer)
    with pytest.raises(ValueError, match=f"^Adam: .*{message}"):
        optimizer.load_state_dict(state)
    np.testing.assert_equal(snapshot(params, optimizer), before)


@each_rule
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copied_model_and_optimizer_stay_linked_and_continue_identically(rule, copied):
    model = network()
    optimizer = optimizer_of(rule, model)
    train(model, optimizer, 3)
    model_copy, optimizer_copy = copied((model, optimizer))
    before = [p.data.tobytes() for p in model.parameters()]
    path = train(model_copy, optimizer_copy, 3, seed=2)
    assert [p.data.tobytes() for p in model.parameters()] == before
    assert path == train(model, optimizer, 3, seed=2)
    assert len(set(map(tuple, path))) == 3


def test_nadam_saves_the_product_of_its_momenta_in_float64():
    w = weights([1.0], "float32", name="w")
    optimizer = dl.optim.Nadam([w], betas=(0.8, 0.9), momentum_decay=0)
    descend(optimizer, w, [[1.0]] * 3)
    product = optimizer.state_dict()["state"]["w"]["mu_product"]
    assert product.dtype == np.float64
    np.testing.assert_allclose(product, [0.4**3], rtol=1e-15)
    later = dl.optim.Nadam([weights([1.0], "float32", name="w")])
    state = optimizer.state_dict()
    later.load_state_dict(state)
    descend(optimizer, w, [[1.0]])
    np.testing.assert_equal(later.state_dict(), state)


@pytest.mark.parametrize("slot", ["m", "v", "mu_product"])
@pytest.mark.parametrize("value", [None, np.ones(3), np.ones((1, 2)), np.float64(0.5)])
def test_a_corrupted_slot_of_nadam_is_refused_and_nothing_changes(slot, value):
    params = pair()
    optimizer = dl.optim.Nadam(params, lr=0.1)
    descend(optimizer, params[1], [[1.0, 2.0]] * 3)
    state = optimizer.state_dict()
    descend(optimizer, params[1], [[1.0, 2.0]])
    if value is None:
        del state["state"]["b"][slot]
    else:
        state["state"]["b"][slot] = value
    before = snapshot(params, optimizer)
    with pytest.raises(ValueError, match=rf"^Nadam: the slot {slot} of b of the state is"):
        optimizer.load_state_dict(state)
    np.testing.assert_equal(snapshot(params, optimizer), before)


def plateau():
    """A schedule that halves the rate whenever the metric has not improved."""
    return ReduceOnPlateau(0.8, factor=0.5, patience=0)


def observed(handle, *metrics):
    for metric in metrics:
        handle.observe(metric)
    return handle


# A rate with a plateau in it, and a step at which it is the plateau's.
AROUND = {
    "alone": (lambda handle: handle, 0),
    "after a warm-up": (lambda handle: WarmUp(handle, 2), 2),
    "before a cool-down": (lambda handle: CoolDown(handle, at=3, steps=2), 2),
    "in a sequence": (lambda handle: Sequence([(0.1, 1), (handle, 5), 0.2]), 3),
    "last in a sequence": (lambda handle: Sequence([(0.1, 1), handle]), 3),
    "deep inside": (lambda handle: Sequence([(0.1, 1), (WarmUp(handle, 1), 9), handle]), 4),
}
EVERY_PLATEAU = pytest.mark.parametrize(("around", "t"), AROUND.values(), ids=AROUND)


@EVERY_PLATEAU
def test_a_plateau_returns_to_its_saved_state_and_continues_under_its_handle(around, t):
    handle, w = plateau(), weights([0.0])
    optimizer = dl.optim.SGD([w], lr=around(handle))
    descend(optimizer, w, [[1.0]] * t)
    observed(handle, 3.0, 3.0)
    saved, memory = optimizer.state_dict(), copy.copy(handle.memory)
    assert (optimizer.lr, memory) == (0.4, observed(plateau(), 3.0, 3.0).memory)
    for _ in range(2):
        observed(handle, 2.0, 3.0, 3.0)
        assert optimizer.lr == 0.1
        optimizer.load_state_dict(saved)
        assert (handle.memory, optimizer.lr) == (memory, 0.4)
    observed(handle, 3.0)
    assert optimizer.lr == 0.2


@EVERY_PLATEAU
def test_a_plateau_in_another_optimizer_resumes_under_the_users_own_handle(around, t):
    old, w = plateau(), weights([0.0])
    optimizer = dl.optim.SGD([w], lr=around(old))
    descend(optimizer, w, [[1.0]] * t)
    observed(old, 2.0, 3.0)
    new = plateau()
    later = dl.optim.SGD([weights([0.0])], lr=around(new))
    later.load_state_dict(optimizer.state_dict())
    assert (new.memory, later.lr) == (old.memory, 0.4)
    observed(new, 3.0)
    assert (later.lr, optimizer.lr) == (0.2, 0.4)


@pytest.mark.parametrize("own", [0.3, dl.schedulers.Constant(0.8), StepDecay(0.8, 5, 0.5)])
def test_a_saved_plateau_takes_the_place_of_a_rate_without_memory(own):
    optimizer = dl.optim.SGD([weights([0.0])], lr=observed(plateau(), 2.0, 2.0))
    state, before = optimizer.state_dict(), copy.deepcopy(own)
    later = dl.optim.SGD([weights([0.0])], lr=own)
    later.load_state_dict(state)
    assert (own, later.lr) == (before, 0.4)
    observed(later.groups[0]["lr"], 2.0)
    assert (later.lr, optimizer.lr, state["groups"][0]["lr"](0)) == (0.2, 0.4, 0.4)


@pytest.mark.parametrize("own", [ReduceOnPlateau(0.8, factor=0.25), WarmUp(plateau(), 3)])
@pytest.mark.parametrize("saved", [plateau(), 0.3, StepDecay(0.8, 5, 0.5)])
def test_a_plateau_that_is_observed_is_never_replaced_by_another_rate(own, saved):
    w = weights([0.0])
    optimizer = dl.optim.SGD([w], lr=own)
    before = snapshot([w], optimizer)
    message = f"SGD: lr is {own!r}, which observes a metric, but {saved!r} was saved; make"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        optimizer.load_state_dict(dl.optim.SGD([weights([0.0])], lr=saved).state_dict())
    assert optimizer.groups[0].lr is own
    assert snapshot([w], optimizer) == before


def two_groups(first, second):
    groups = [{"params": [weights([0.0])], "lr": lr} for lr in (first, second)]
    return dl.optim.SGD(groups)


def rates(optimizer):
    return [group["lr"](0) for group in optimizer.groups]


def test_a_plateau_shared_by_groups_stays_shared():
    handle = observed(plateau(), 2.0, 2.0)
    state = two_groups(handle, handle).state_dict()
    shared = plateau()
    own, replaced = two_groups(shared, shared), two_groups(0.1, 0.2)
    for optimizer in (own, replaced):
        optimizer.load_state_dict(state)
        assert optimizer.groups[0]["lr"] is optimizer.groups[1]["lr"]
        assert rates(optimizer) == [0.4, 0.4]
    assert own.groups[0]["lr"] is shared


def test_plateaus_of_several_groups_keep_their_own_memories():
    state = two_groups(
        observed(plateau(), 2.0, 2.0), observed(plateau(), 2.0, 2.0, 2.0)
    ).state_dict()
    handles = plateau(), plateau()
    optimizer = two_groups(*handles)
    optimizer.load_state_dict(state)
    assert rates(optimizer) == [0.4, 0.2]
    observed(handles[0], 2.0)
    assert rates(optimizer) == [0.2, 0.2]


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda state: state.update(t=-1),
        lambda state: state.update(rule="Adam"),
        lambda state: state["groups"][0].update(weight_decay=math.nan),
        lambda state: state["groups"][0].pop("maximize"),
        lambda state: state["groups"][1].update(momentum=0.5),
        lambda state: state["groups"][1].update(lr="0.1"),
        lambda state: state["state"].pop("1"),
    ],
)
def test_a_refused_load_leaves_the_memory_of_a_plateau_untouched(corrupt):
    first, second = plateau(), plateau()
    optimizer = two_groups(WarmUp(first, 2), second)
    state = optimizer.state_dict()
    corrupt(state)
    observed(first, 2.0, 2.0)
    observed(second, 2.0, 2.0, 2.0)
    before = copy.copy(first.memory), copy.copy(second.memory)
    with pytest.raises((TypeError, ValueError), match=r"^SGD: "):
        optimizer.load_state_dict(state)
    assert (first.memory, second.memory) == before


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copied_optimizer_has_a_plateau_of_its_own_under_the_copied_handle(copied):
    handle = plateau()
    optimizer = dl.optim.SGD([weights([0.0])], lr=WarmUp(handle, 1))
    optimizer.t = 1
    handle_copy, optimizer_copy = copied((observed(handle, 2.0, 2.0), optimizer))
    assert optimizer_copy.lr == optimizer.lr == 0.4
    observed(handle_copy, 2.0)
    assert (optimizer_copy.lr, optimizer.lr) == (0.2, 0.4)


@each_rule
def test_a_plateau_and_all_state_resume_after_the_parameters_were_reordered(rule):
    model, handle = network(), plateau()
    optimizer = optimizer_of(rule, model, lr=WarmUp(handle, 2))
    train(model, optimizer, 4)
    observed(handle, 2.0, 2.0)
    resumed, own = copy.deepcopy(model), plateau()
    later = optimizer_of(rule, list(resumed.named_parameters())[::-1], lr=WarmUp(own, 2))
    later.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    observed(handle, 2.0)
    observed(own, 2.0)
    assert later.lr == optimizer.lr == 0.2
    assert train(resumed, later, 4, seed=2) == train(model, optimizer, 4, seed=2)


# --- corners ------------------------------------------------------------------------------------


def test_the_base_class_is_not_a_rule():
    with pytest.raises(TypeError, match=r"^Optimizer has no update: use a rule such as Adam, or"):
        dl.optim.Optimizer([weights([1.0])])


def test_state_is_kept_in_c_order_whatever_the_order_of_the_data():
    w = weights(np.ones((2, 3)))
    w._data, w.grad = np.asfortranarray(w.data), np.ones((2, 3))
    optimizer = dl.optim.Adam([w])
    before = snapshot([w], optimizer)
    with pytest.raises(ValueError, match=r"not contiguous.*p\.data = p\.data\.copy\(\)"):
        optimizer.step()
    assert repr(snapshot([w], optimizer)) == repr(before)
    w.data = w.data.copy()
    state = optimizer.state_dict()
    for slot in "mv":
        state["state"]["0"][slot] = np.asfortranarray(state["state"]["0"][slot])
    optimizer.load_state_dict(state)
    optimizer.step()
    np.testing.assert_allclose(optimizer.state[w]["m"], np.full((2, 3), 0.1))


def test_a_name_given_to_one_optimizer_is_not_changed_by_another():
    w = weights([1.0])
    first = dl.optim.Adam([("a", w), ("later name", w)])
    state = first.state_dict()
    dl.optim.SGD([("b", w)])
    first.load_state_dict(state)
    assert list(state["state"]) == ["a"]
    assert w.name == "a"


def test_parameters_with_the_same_name_are_identified_by_position():
    optimizer = dl.optim.Adam([weights([1.0], name="w"), weights([1.0, 2.0], name="w")])
    assert list(optimizer.state_dict()["state"]) == ["0", "1"]


def test_zero_grad_clears_the_gradient_of_a_frozen_parameter_too():
    a, b = weights([1.0]), weights([1.0])
    optimizer = dl.optim.SGD([a, b])
    b.grad, b.requires_grad = np.ones(1), False
    optimizer.zero_grad()
    assert b.grad is None


class Decaying(dl.optim.Optimizer):
    """A rule in pure Python with an option, slots and a scalar."""

    equations = "a ← ωa + g"
    power: float = option(within(high=2), default=1.0)
    damped: bool = option(flag, default=False)
    slots = {"a": Slot(), "b": Slot(when="damped", start="power")}
    scalars = {"steps": 3.0}

    def update(self, group, lr, t, theta, g, a, b, steps):
        for i in range(len(theta)):
            a[i] += g[i]
            steps[i] += t
            theta[i] -= lr * a[i] ** group.power * (b[i] if group.damped else 1)


@pytest.mark.parametrize(("damped", "expected"), [(False, 1 - 0.5 * 9), (True, 1 - 0.5 * 9 * 2)])
def test_a_user_defined_rule_has_the_options_and_the_state_that_it_declares(damped, expected):
    w = weights([1.0])
    optimizer = Decaying([w], 0.5, power=2, damped=damped)
    descend(optimizer, w, [[3.0]])
    assert w.data == expected
    state = {"t": 1, "a": 3.0, **({"b": 2.0} if damped else {}), "steps": 4.0}
    assert dict(optimizer.state[w]) == state
    assert list(optimizer.state[w]) == list(state)
    assert "a ← ωa + g" in Decaying.__doc__
    with pytest.raises(ValueError, match=r"^Decaying: power must be a finite number ≥ 0 and ≤ 2"):
        Decaying([w], power=3.0)


def test_a_user_defined_rule_has_the_common_options():
    class Signed(dl.optim.Optimizer):
        def update(self, group, lr, t, theta, g):
            for theta_i, g_i in zip(theta, g, strict=True):
                theta_i -= lr * np.sign(g_i)

    w = weights([1.0])
    w.grad = np.full(1, -3.0)
    optimizer = Signed([w], lr=0.25)
    optimizer.step()
    assert w.data == 1.25
    assert (optimizer.weight_decay, optimizer.maximize) == (0.0, False)


@each_rule
def test_two_networks_in_one_optimizer_keep_their_names_whatever_the_order(rule):
    first, second = network(seed=1), network(seed=2)
    optimizer = make(rule, [{"params": first}, {"params": second, "lr": 0.2}], lr=0.1)
    train(first, optimizer, 3)
    train(second, optimizer, 2)
    state = optimizer.state_dict()
    assert [name.partition(".")[0] for name in state["state"]] == ["0"] * 4 + ["1"] * 4
    assert {"0.dense1.weight", "1.dense2.bias"} <= set(state["state"])
    copies = copy.deepcopy((first, second))
    reordered = [{"params": list(copied.named_parameters())[::-1]} for copied in copies]
    later = make(rule, reordered, lr=0.1)
    later.load_state_dict(state)
    assert train(copies[0], later, 2) == train(first, optimizer, 2)
    assert train(copies[1], later, 2) == train(second, optimizer, 2)


# --- all or nothing -----------------------------------------------------------------------------


@each_rule
@FAILURES
def test_a_step_is_made_whole_or_not_at_all(rule, failures):
    prepare = functools.partial(ready_to_step, rule)
    every = 41 if failures is each_interruption else 5
    assert_all_or_nothing(failures, prepare, lambda x: x[1].step(), look_at, every)


def test_an_interrupt_before_any_bytecode_leaves_a_whole_step_or_none():
    def prepare():
        w = weights([1.0])
        w.grad = np.ones(1)
        return [w], dl.optim.Nadam([w], lr=0.1)

    assert_all_or_nothing(each_interruption, prepare, lambda x: x[1].step(), look_at)


@FAILURES
def test_an_optimizer_steps_on_after_a_step_that_failed(failures):
    params, optimizer = ready_to_step("Nadam")
    expected = []
    for _ in range(2):
        optimizer.step()
        expected.append(repr(snapshot(params, optimizer)))
    prepare = functools.partial(ready_to_step, "Nadam")
    for params, optimizer in failures(prepare, lambda x: x[1].step(), 31):
        optimizer.step()
        assert repr(snapshot(params, optimizer)) in expected


@FAILURES
@pytest.mark.parametrize("steps", [0, 1])
def test_a_sparse_step_is_made_whole_or_not_at_all(failures, steps):
    def prepare():
        w = weights(np.arange(1.0, 6))
        optimizer = dl.optim.FTRL([w], lr=0.5, l1=0.1)
        for _ in range(steps):
            optimizer.sparse_step(w, [0, 1], np.ones(2))
        return [w], optimizer

    def call(prepared):
        (w,), optimizer = prepared
        optimizer.sparse_step(w, [1, 3], np.array([1.0, -2.0]))

    assert_all_or_nothing(failures, prepare, call, look_at, 7)


@FAILURES
def test_a_load_is_made_whole_or_not_at_all(failures):
    def prepare():
        params, optimizer = ready_to_step("Nadam")
        optimizer.groups[0].lr = plateau()
        optimizer.step()
        return params, optimizer

    saved = prepare()[1].state_dict()
    saved["t"] = 77
    saved["groups"][1]["betas"] = (0.5, 0.6)
    observed(saved["groups"][0]["lr"], 2.0, 2.0, 2.0)
    for slots in saved["state"].values():
        slots["m"] += 1

    def look(prepared):
        return look_at(prepared), prepared[1].groups[0].lr.memory

    every = 97 if failures is each_interruption else 17
    assert_all_or_nothing(failures, prepare, lambda x: x[1].load_state_dict(saved), look, every)


@FAILURES
@pytest.mark.parametrize(
    "call",
    [
        lambda x: x[1].zero_grad(),
        lambda x: setattr(x[1], "lr", 0.7),
        lambda x: setattr(x[1], "betas", (0.1, 0.2)),
        lambda x: x[1].groups[1].update({"lr": 0.7, "eps": 0.5}),
        lambda x: dl.optim.clip_grad_norm(x[0], 0.1),
        lambda x: dl.optim.clip_grad_value(x[0], 0.1),
    ],
)
def test_gradients_and_options_are_set_together_or_not_at_all(failures, call):
    assert_all_or_nothing(failures, ready_to_step, call, look_at, 13)


def test_a_constructor_that_fails_gives_no_names():
    a, b = weights([1.0]), weights([1.0])
    with pytest.raises(TypeError, match="unknown option"):
        dl.optim.Adam([{"params": [("a", a)]}, {"params": [("b", b)], "rate": 1}])
    assert (a.name, b.name) == (None, None)


# --- one call at a time -------------------------------------------------------------------------


@each_rule
def test_threads_that_share_an_optimizer_get_an_error_and_never_half_a_step(rule):
    size, threads, rounds = 50_000, 8, 5
    w, twin = weights(np.ones(size)), weights(np.ones(size))
    optimizer, alone = (make(rule, [p], lr=1e-3, **FULL_STATE.get(rule, {})) for p in (w, twin))
    w.grad = twin.grad = np.linspace(-1, 1, size)
    barrier, made, errors = threading.Barrier(threads), [], []

    def work():
        for _ in range(rounds):
            barrier.wait()
            try:
                optimizer.step()
                made.append(1)
            except RuntimeError as error:
                errors.append(str(error))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(made) + len(errors) == threads * rounds
    assert len(made) >= rounds
    assert all(e.startswith(f"{rule}: another call is changing this optimizer") for e in errors)
    for _ in made:
        alone.step()
    np.testing.assert_equal(snapshot([w], optimizer), snapshot([twin], alone))


class Nested(dl.optim.Optimizer):
    call = staticmethod(lambda optimizer: None)

    def update(self, group, lr, t, theta, g):
        type(self).call(self)
        theta[0] -= lr * g[0]


@pytest.mark.parametrize(
    "call", [lambda o: o.step(), lambda o: o.state_dict(), lambda o: o.load_state_dict({})]
)
def test_an_update_that_calls_its_optimizer_is_an_error(call, monkeypatch):
    monkeypatch.setattr(Nested, "call", call)
    w = weights([1.0])
    w.grad, optimizer = np.ones(1), Nested([w], lr=0.5)
    with pytest.raises(RuntimeError, match=r"^Nested: another call is changing this optimizer"):
        optimizer.step()
    monkeypatch.setattr(Nested, "call", lambda o: None)
    assert (w.data, optimizer.t) == (1, 0)
    optimizer.step()
    assert (w.data, optimizer.t) == (0.5, 1)


def test_a_step_in_the_middle_of_another_call_is_the_one_that_counts():
    """Whatever code runs while a step or a load prepares: a schedule, an array-like."""

    @dataclasses.dataclass(frozen=True)
    class Stepping(dl.schedulers.Schedule):
        def formula(self, t):
            if not inner:
                inner.append(True)
                optimizer.groups[0].lr = 0.5
                optimizer.step()
            return 0.25

    inner, w = [], weights([1.0])
    optimizer, w.grad = dl.optim.SGD([w], lr=Stepping()), np.ones(1)
    with pytest.raises(RuntimeError, match=r"^SGD: another call is changing"):
        optimizer.step()
    assert (w.data, optimizer.t, optimizer.state[w]["t"], w.version) == (0.5, 1, 1, 1)


# --- attributes ---------------------------------------------------------------------------------


def test_a_misspelled_attribute_is_an_error_that_names_the_option():
    optimizer = dl.optim.Adam([weights([1.0])])
    with pytest.raises(AttributeError, match=r"^Adam has no 'weight_deacy'.*mean 'weight_decay'"):
        optimizer.weight_deacy = 1
    assert not hasattr(optimizer, "weight_deacy")
    optimizer.weight_decay = 0.5
    assert optimizer.groups[0].weight_decay == 0.5


def test_a_rule_of_the_user_may_have_attributes_of_its_own():
    optimizer = Nested([weights([1.0])])
    optimizer.note = "mine"
    assert copy.deepcopy(optimizer).note == "mine"


def test_a_step_without_gradients_says_that_the_model_may_be_another_one():
    optimizer, model = dl.optim.Adam(network()), network()
    dl.losses.mse(model(np.ones((1, 3))), np.ones((1, 2))).backward()
    with pytest.raises(RuntimeError, match="these parameters are not the model's"):
        optimizer.step()


def test_a_state_dict_that_another_call_overtakes_is_an_error():
    @dataclasses.dataclass(frozen=True)
    class Stepping(dl.schedulers.Schedule):
        def formula(self, t):
            return 0.25

        def __deepcopy__(self, memo):
            optimizer.step()
            return Stepping()

    w = weights([1.0])
    optimizer, w.grad = dl.optim.SGD([w], lr=Stepping()), np.ones(1)
    with pytest.raises(RuntimeError, match=r"^SGD: another call is changing"):
        optimizer.state_dict()
    assert (w.data, optimizer.t) == (0.75, 1)
