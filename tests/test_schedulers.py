"""Schedules: each against its closed form, composed, called in every way, and built wrongly."""

import copy
import dataclasses
import itertools
import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.schedulers import (
    Constant,
    CoolDown,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    LinearDecay,
    Schedule,
    StepDecay,
    WarmUp,
    warmup_stable_decay,
)

FAR = 10**6
RULES = ["SGD", "Momentum", "NAG", "Adagrad", "RMSprop", "Adam", "AdamW", "Adadelta", "FTRL"]


def line(*points):
    """The broken line through the points (t, rate), flat outside."""
    times, rates = zip(*points, strict=True)
    return lambda t: np.interp(t, times, rates)


# Each schedule, its closed form (written in another way than in minidl), and its boundaries.
CLOSED_FORMS = [
    (Constant(0.3), lambda t: 0.3, []),
    (StepDecay(0.8, 10, 0.5), lambda t: math.ldexp(0.8, -(t // 10)), [10, 20, 50]),
    (StepDecay(0.8, 1, 0.9), lambda t: 0.8 * math.exp(t * math.log(0.9)), [1, 2]),
    (StepDecay(0.8, 7, 0.0), lambda t: 0.8 if t < 7 else 0.0, [7]),
    (ExponentialDecay(0.8, 0.5), lambda t: math.ldexp(0.8, -t), [1, 2]),
    (ExponentialDecay(0.8, 0.3, 10), lambda t: 0.8 * math.exp(t * math.log(0.3) / 10), [10, 20]),
    (ExponentialDecay(0.8, 0.5, 10, True), lambda t: math.ldexp(0.8, -(t // 10)), [10, 20]),
    (InverseTimeDecay(0.8, 2.0), lambda t: 1 / (1.25 + 2.5 * t), [1, 2]),
    (InverseTimeDecay(0.8, 0.5, 10), lambda t: 16 / (20 + t), [10, 20]),
    (InverseTimeDecay(0.8, 0.5, 10, True), lambda t: 1.6 / (2 + t // 10), [10, 20]),
    (LinearDecay(0.8, 100), line((0, 0.8), (100, 0)), [50, 100]),
    (LinearDecay(0.8, 7, end=0.1), line((0, 0.8), (7, 0.1)), [7]),
    (LinearDecay(0.1, 7, end=0.8), line((0, 0.1), (7, 0.8)), [7]),
    (CosineDecay(0.8, 100), lambda t: 0.8 * math.cos(math.pi * min(t, 100) / 200) ** 2, [50, 100]),
    (
        CosineDecay(0.8, 7, end=0.1),
        lambda t: 0.1 + 0.7 * math.cos(math.pi * min(t, 7) / 14) ** 2,
        [7],
    ),
    (WarmUp(0.4, 4), line((0, 0), (4, 0.4)), [4]),
    (WarmUp(0.4, 1, start=0.2), line((0, 0.2), (1, 0.4)), [1]),
    (WarmUp(LinearDecay(0.4, 20), 10, 0.1), line((0, 0.1), (10, 0.4), (30, 0)), [10, 30]),
    (
        WarmUp(0.4, 10, shape="cosine"),
        lambda t: 0.4 * math.sin(math.pi * min(t, 10) / 20) ** 2,
        [10],
    ),
    (WarmUp(0.4, 10, shape="one_minus_sqrt"), lambda t: 0.4 * (min(t, 10) / 10) ** 0.5, [10]),
    (
        WarmUp(CosineDecay(0.4, 20, end=0.1), 5),
        lambda t: t / 12.5 if t < 5 else 0.1 + 0.3 * math.cos(math.pi * (min(t, 25) - 5) / 40) ** 2,
        [5, 25],
    ),
    (CoolDown(0.4, 6, 4), line((6, 0.4), (10, 0)), [6, 10]),
    (CoolDown(0.4, 0, 4, end=0.1), line((0, 0.4), (4, 0.1)), [4]),
    (CoolDown(LinearDecay(0.8, 20), 10, 5), line((0, 0.8), (10, 0.4), (15, 0)), [10, 15, 20]),
    (
        CoolDown(0.4, 6, 10, end=0.1, shape="cosine"),
        lambda t: 0.1 + 0.3 * math.cos(math.pi * (min(max(t, 6), 16) - 6) / 20) ** 2,
        [6, 16],
    ),
    (
        CoolDown(0.4, 6, 10, end=0.1, shape="one_minus_sqrt"),
        lambda t: 0.1 + 0.3 * (1 - math.sqrt((min(max(t, 6), 16) - 6) / 10)),
        [6, 16],
    ),
    (
        CoolDown(WarmUp(StepDecay(0.8, 10, 0.5), 5), 17, 4),
        line((0, 0), (5, 0.8), (14, 0.8), (15, 0.4), (17, 0.4), (21, 0)),
        [5, 15, 17, 21],
    ),
    (
        WarmUp(CoolDown(0.4, 5, 5), 5),
        line((0, 0), (5, 0.4), (10, 0.4), (15, 0)),
        [5, 10, 15],
    ),
    (
        WarmUp(WarmUp(0.4, 4, start=0.2), 2),
        line((0, 0), (2, 0.2), (6, 0.4)),
        [2, 6],
    ),
    (
        CoolDown(CoolDown(0.8, 2, 4, end=0.4), 8, 4),
        line((2, 0.8), (6, 0.4), (8, 0.4), (12, 0)),
        [2, 6, 8, 12],
    ),
    (
        warmup_stable_decay(0.4, 4, 6, 5, end=0.1),
        line((0, 0), (4, 0.4), (10, 0.4), (15, 0.1)),
        [4, 10, 15],
    ),
    (
        warmup_stable_decay(0.4, 4, 0, 16, shape="one_minus_sqrt"),
        lambda t: t / 10 if t < 4 else 0.4 - 0.1 * math.sqrt(min(t, 20) - 4),
        [4, 20],
    ),
]
SCHEDULES = [schedule for schedule, _, _ in CLOSED_FORMS]
EVERY_SCHEDULE = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)


def moments(boundaries):
    """0, each boundary with both its neighbours, and times past the end, out of order."""
    around = {b + shift for b in boundaries for shift in (-1, 0, 1)}
    return [FAR, *sorted(around | {0, 1, 2, 30, 1000}, reverse=True), 3, FAR + 1]


@pytest.mark.parametrize(("schedule", "form", "boundaries"), CLOSED_FORMS, ids=map(repr, SCHEDULES))
def test_schedule_equals_its_closed_form(schedule, form, boundaries):
    for t in moments(boundaries):
        rate = schedule(t)
        assert type(rate) is float
        assert rate == pytest.approx(form(t), rel=1e-12, abs=1e-15), f"t = {t}"


BY_HAND = [
    (StepDecay(1.0, 3, 0.1), [1, 1, 1, 0.1, 0.1, 0.1, 0.01]),
    (ExponentialDecay(1.0, 0.25, 2), [1, 0.5, 0.25, 0.125]),
    (ExponentialDecay(1.0, 0.25, 2, staircase=True), [1, 1, 0.25, 0.25, 0.0625]),
    (InverseTimeDecay(1.0, 1.0), [1, 1 / 2, 1 / 3, 1 / 4]),
    (InverseTimeDecay(1.0, 1.0, 2, staircase=True), [1, 1, 1 / 2, 1 / 2, 1 / 3]),
    (LinearDecay(1.0, 4), [1, 0.75, 0.5, 0.25, 0, 0]),
    (CosineDecay(1.0, 3), [1, 0.75, 0.25, 0, 0]),
    (CosineDecay(3.0, 3, end=1.0), [3, 2.5, 1.5, 1, 1]),
    (WarmUp(1.0, 4), [0, 0.25, 0.5, 0.75, 1, 1]),
    (WarmUp(StepDecay(1.0, 2, 0.5), 2), [0, 0.5, 1, 1, 0.5, 0.5, 0.25]),
    (CoolDown(1.0, 2, 4, shape="one_minus_sqrt"), [1, 1, 1, 0.5, 1 - math.sqrt(0.5)]),
    (CoolDown(1.0, 1, 2, shape="cosine"), [1, 1, 0.5, 0, 0]),
    (warmup_stable_decay(1.0, 2, 1, 2), [0, 0.5, 1, 1, 0.5, 0, 0]),
]


@pytest.mark.parametrize(("schedule", "rates"), BY_HAND, ids=repr)
def test_schedule_starts_with_the_rates_computed_by_hand(schedule, rates):
    np.testing.assert_allclose(schedule(np.arange(len(rates))), rates, rtol=1e-15, atol=1e-16)


# --- calling --------------------------------------------------------------------------------------


@EVERY_SCHEDULE
@pytest.mark.parametrize("shape", [(), (0,), (1,), (60,), (4, 15), (2, 0, 3), (3, 4, 5)])
def test_an_array_of_steps_gives_the_same_bits_as_single_steps(schedule, shape, rng):
    for dtype in (np.int64, np.uint8, np.int16):
        steps = rng.integers(0, 60, size=shape).astype(dtype)
        rates = schedule(steps)
        assert isinstance(rates, np.ndarray)
        assert (rates.shape, rates.dtype) == (shape, np.float64)
        assert rates.tobytes() == np.array([schedule(int(t)) for t in steps.flat], float).tobytes()


@EVERY_SCHEDULE
def test_a_schedule_has_no_memory(schedule):
    steps = [40, 3, 0, FAR, 3, 7, 39, 0]
    in_order = {t: copy.deepcopy(schedule)(t) for t in sorted(steps)}
    assert [schedule(t) for t in steps] == [in_order[t] for t in steps]


@EVERY_SCHEDULE
def test_a_schedule_takes_numpy_integers(schedule):
    assert schedule(np.int32(7)) == schedule(np.uint8(7)) == schedule(7)
    assert type(schedule(np.int64(7))) is float


@EVERY_SCHEDULE
@pytest.mark.parametrize(
    ("t", "error"),
    [(-1, ValueError), (-FAR, ValueError), (np.int64(-1), ValueError)]
    + [(t, TypeError) for t in (1.5, 1.0, math.nan, math.inf, True, False, "3", None, [1, 2], {})],
    ids=repr,
)
def test_a_schedule_refuses_what_is_no_step(schedule, t, error):
    message = f"{type(schedule).__name__}: t must be a whole number ≥ 0, got {t!r}"
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        schedule(t)


@EVERY_SCHEDULE
@pytest.mark.parametrize(
    ("steps", "error"),
    [([0, 3, -1], ValueError), ([0.0, 1.0], TypeError), ([True], TypeError), (["1"], TypeError)],
)
def test_a_schedule_refuses_arrays_that_hold_what_is_no_step(schedule, steps, error):
    with pytest.raises(error, match=f"{type(schedule).__name__}: t must be a whole number ≥ 0"):
        schedule(np.array(steps))


# --- as values ------------------------------------------------------------------------------------


@EVERY_SCHEDULE
def test_a_schedule_is_frozen(schedule):
    before = repr(schedule)
    for field in dataclasses.fields(schedule):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(schedule, field.name, 1)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(schedule, field.name)
    assert repr(schedule) == before


@EVERY_SCHEDULE
def test_repr_shows_every_argument_and_evaluates_to_an_equal_schedule(schedule):
    text = repr(schedule)
    assert text.startswith(f"{type(schedule).__name__}(")
    for field in dataclasses.fields(schedule):
        assert f"{field.name}={getattr(schedule, field.name)!r}" in text
    again = eval(text, vars(dl.schedulers))
    assert type(again) is type(schedule)
    assert again == schedule


@EVERY_SCHEDULE
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_copies_are_equal_with_equal_hashes_and_rates(schedule, copied):
    other = copied(schedule)
    assert other == schedule
    assert hash(other) == hash(schedule)
    assert other(np.arange(40)).tobytes() == schedule(np.arange(40)).tobytes()


def test_schedules_that_differ_in_anything_are_unequal():
    for one, other in itertools.combinations(SCHEDULES, 2):
        assert one != other
    assert len(set(SCHEDULES)) == len(SCHEDULES)


def test_equal_arguments_of_other_types_make_equal_schedules():
    assert LinearDecay(1, np.int64(10), end=-0.0) == LinearDecay(1.0, 10)
    assert WarmUp(0.4, 4) == WarmUp(Constant(0.4), 4)
    assert CoolDown(np.float64(0.4), 4, 2) == CoolDown(Constant(0.4), 4, 2)
    assert repr(LinearDecay(1, np.int64(10))) == "LinearDecay(lr=1.0, steps=10, end=0.0)"


def test_a_schedule_without_a_formula_says_what_to_define():
    with pytest.raises(TypeError, match=r"^Schedule has no formula: define formula\(self, t\)$"):
        Schedule()(0)


# --- warm-up and cool-down ------------------------------------------------------------------------

INNER = [schedule for schedule in SCHEDULES if not isinstance(schedule, WarmUp | CoolDown)]
SHAPES = ["linear", "cosine", "one_minus_sqrt"]
rates, whole = st.floats(0, 10), st.integers(1, 50)


@given(st.sampled_from(INNER), whole, rates, st.sampled_from(SHAPES), st.integers(0, 100))
def test_warm_up_begins_at_start_and_ends_on_the_schedule_exactly(inner, steps, start, shape, t):
    schedule = WarmUp(inner, steps, start, shape)
    assert schedule(0) == start
    assert schedule(steps + t) == inner(t)
    low, high = sorted((start, inner(0)))
    inside = schedule(np.arange(steps))
    assert np.all((low * (1 - 1e-15) <= inside) & (inside <= high * (1 + 1e-15)))


@given(st.sampled_from(INNER), st.integers(0, 50), whole, rates, st.sampled_from(SHAPES))
def test_cool_down_leaves_the_schedule_at_its_rate_and_ends_exactly(inner, at, steps, end, shape):
    schedule = CoolDown(inner, at, steps, end, shape)
    assert all(schedule(t) == inner(t) for t in range(at + 1))
    assert schedule(at + steps) == schedule(at + steps + 1) == schedule(FAR) == end


@given(rates, whole, st.integers(0, 50), whole, rates, st.sampled_from(SHAPES))
def test_warmup_stable_decay_is_its_composition(peak, warmup, stable, cooldown, end, shape):
    schedule = warmup_stable_decay(peak, warmup, stable, cooldown, end, shape)
    assert schedule == CoolDown(WarmUp(peak, warmup), warmup + stable, cooldown, end, shape)


@given(rates, whole, st.integers(0, 50), whole, rates)
def test_the_sum_of_warmup_stable_decay_is_two_triangles_and_a_block(
    peak, warmup, stable, cooldown, end
):
    total = warmup_stable_decay(peak, warmup, stable, cooldown, end)(
        np.arange(warmup + stable + cooldown)
    ).sum()
    rise, fall = peak * (warmup - 1) / 2, peak * cooldown - (peak - end) * (cooldown - 1) / 2
    assert total == pytest.approx(rise + peak * stable + fall, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("inner", "ends"),
    [
        (WarmUp(0.4, 10), 10),
        (WarmUp(CosineDecay(0.4, 100), 10), 10),
        (WarmUp(WarmUp(0.4, 5), 5), 10),
        (CoolDown(WarmUp(0.4, 10), 20, 5), 10),
    ],
    ids=repr,
)
def test_a_cool_down_inside_a_warm_up_is_refused(inner, ends):
    for at in (0, ends - 1):
        with pytest.raises(ValueError, match=rf"CoolDown: at={at} lies inside the warm-up"):
            CoolDown(inner, at, 5)
    assert CoolDown(inner, ends, 5)(ends) == inner(ends)


# --- bad arguments --------------------------------------------------------------------------------

# Good arguments of everything that makes a schedule; each is then spoiled in turn.
GOOD = [
    (Constant, {"lr": 0.1}),
    (StepDecay, {"lr": 0.1, "every": 10, "factor": 0.5}),
    (ExponentialDecay, {"lr": 0.1, "rate": 0.5, "steps": 10, "staircase": False}),
    (InverseTimeDecay, {"lr": 0.1, "rate": 0.5, "steps": 10, "staircase": False}),
    (LinearDecay, {"lr": 0.1, "steps": 10, "end": 0.0}),
    (CosineDecay, {"lr": 0.1, "steps": 10, "end": 0.0}),
    (WarmUp, {"schedule": 0.1, "steps": 10, "start": 0.0, "shape": "linear"}),
    (CoolDown, {"schedule": 0.1, "at": 5, "steps": 10, "end": 0.0, "shape": "linear"}),
    (
        warmup_stable_decay,
        {"peak": 0.1, "warmup": 5, "stable": 5, "cooldown": 5, "end": 0.0, "shape": "linear"},
    ),
]
OUT_OF_RANGE = {
    float: [math.nan, math.inf, -math.inf, -0.1, -1, 10**400],
    int: [0, -1, -(10**30)],
    str: ["Linear", "", "exponential", None, True, 1, math.nan],
    bool: [],
}
WRONG_TYPE = {
    float: [True, "0.1", None, [0.1], np.array(0.1), np.True_, 1j],
    int: [True, "10", None, 2.5, 10.0, math.nan, math.inf, [10]],
    str: [],
    bool: [0, 1, None, "True", 0.0, []],
}
FROM_ZERO = {"at", "stable"}  # counts that may be 0
BAD = [
    (maker, good, name, value, error)
    for maker, good in GOOD
    for name, kind in ((name, type(value)) for name, value in good.items())
    for table, error in ((OUT_OF_RANGE, ValueError), (WRONG_TYPE, TypeError))
    for value in table[kind]
    if not (name in FROM_ZERO and type(value) is int and value == 0)
]


@pytest.mark.parametrize(
    ("maker", "good", "name", "value", "error"),
    BAD,
    ids=[f"{maker.__name__}-{name}-{value!r:.20}" for maker, _, name, value, _ in BAD],
)
def test_a_bad_argument_is_named_with_its_value(maker, good, name, value, error):
    inner = maker is warmup_stable_decay and name in ("end", "shape")
    owner = "CoolDown" if inner else maker.__name__
    with pytest.raises(error, match=rf"^{owner}: {name} must be .*, got {re.escape(repr(value))}"):
        maker(**{**good, name: value})


@pytest.mark.parametrize(("maker", "good"), GOOD)
def test_the_good_arguments_are_good(maker, good):
    assert math.isfinite(maker(**good)(0))


@pytest.mark.parametrize("maker", [WarmUp, CoolDown])
@pytest.mark.parametrize("value", [lambda t: 0.1, Constant, [Constant(0.1)]])
def test_only_schedules_and_numbers_can_be_warmed_up_and_cooled_down(maker, value):
    good = dict(GOOD)[maker]
    with pytest.raises(TypeError, match=rf"^{maker.__name__}: schedule must be .*, got "):
        maker(**{**good, "schedule": value})


# --- as the rate of an optimizer ------------------------------------------------------------------


@EVERY_SCHEDULE
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_takes_the_rates_of_every_schedule(rule, schedule):
    make = getattr(dl.optim, rule)
    scheduled, by_hand = (dl.Tensor([1.0, -2.0, 0.5], True, dtype="float64") for _ in range(2))
    optimizer, manual = make([scheduled], lr=schedule), make([by_hand], lr=schedule(0))
    seen = []
    for t in range(25):
        manual.lr = schedule(t)
        seen.append(optimizer.lr)
        for w, o in ((scheduled, optimizer), (by_hand, manual)):
            w.grad = w.data - 0.1 * t
            o.step()
        assert scheduled.data.tobytes() == by_hand.data.tobytes()
    assert seen == [schedule(t) for t in range(25)]


@pytest.mark.parametrize(
    "schedule", [dl.schedulers.ExponentialDecay(0.1, 2.0), dl.schedulers.StepDecay(0.1, 1, 2.0)]
)
def test_a_rate_that_grows_beyond_the_floats_names_schedule_and_step(schedule):
    with pytest.raises(ValueError, match=r"Decay\(lr=0\.1.* is beyond the floats at t = 100000"):
        schedule(100_000)
