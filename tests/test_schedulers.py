"""Schedules: each against its closed form and against other libraries, composed, built wrongly."""

import copy
import dataclasses
import inspect
import itertools
import json
import math
import pickle
import re
import sys
from fractions import Fraction
from pathlib import Path

import interrupting
import numpy as np
import pytest
from cases import SCHEDULES as CLASSES
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minidl as dl
from minidl.schedulers import (
    Constant,
    CoolDown,
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    Hold,
    InverseSqrtDecay,
    InverseTimeDecay,
    LinearDecay,
    OneCycle,
    PiecewiseConstant,
    PlateauMemory,
    PolynomialDecay,
    ReduceOnPlateau,
    Schedule,
    Sequence,
    StepDecay,
    Triangular,
    WarmUp,
    check_resumable,
    resumed,
    warmup_stable_decay,
)

FAR = 10**6
GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("schedules.json").read_text())
RULES = [name for name, thing in vars(dl.optim).items() if hasattr(thing, "slots")]
RULES.remove("Optimizer")


def line(*points):
    """The broken line through the points (t, rate), flat outside."""
    times, rates = zip(*points, strict=True)
    return lambda t: np.interp(t, times, rates)


def waves(lr, starts, decay=1.0, end=0.0):
    """Half waves of a cosine from lr · decayᵏ to end between each start and the next."""

    def form(t):
        k = int(np.searchsorted(starts, t, side="right")) - 1
        angle = math.pi * (t - starts[k]) / (starts[k + 1] - starts[k])
        top = lr * decay**k
        return end * math.sin(angle / 2) ** 2 + top * math.cos(angle / 2) ** 2

    return form


def cycle(first, peak, final, top, last):
    """Half a cosine wave from first at t = 0 to peak at top, another to final at last."""

    def form(t):
        t = min(t, last)
        if t <= top:
            return first + (peak - first) * math.sin(math.pi / 2 * (t / top if top else 1)) ** 2
        return final + (peak - final) * math.cos(math.pi / 2 * (t - top) / (last - top)) ** 2

    return form


EACH_TENTH = np.arange(0, FAR + 20, 10)
DOUBLING = [5 * (2**k - 1) for k in range(30)]  # periods of 5, 10, 20, … steps
TRIPLING = [2 * (3**k - 1) for k in range(20)]  # periods of 4, 12, 36, … steps

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
    (PolynomialDecay(0.8, 90), line((0, 0.8), (90, 0)), [90]),
    (PolynomialDecay(0.8, 100, power=2), lambda t: 8e-5 * (100 - min(t, 100)) ** 2, [50, 100]),
    (
        PolynomialDecay(0.8, 7, end=0.1, power=0.5),
        lambda t: 0.1 + math.sqrt(0.07 * (7 - min(t, 7))),
        [7],
    ),
    (
        PolynomialDecay(0.1, 10, end=0.8, power=3.0),
        lambda t: 0.8 - 7e-4 * (10 - min(t, 10)) ** 3,
        [10],
    ),
    (PolynomialDecay(0.8, 1, power=0.3), lambda t: 0.0 if t else 0.8, [1]),
    (CosineDecay(0.8, 100), lambda t: 0.8 * math.cos(math.pi * min(t, 100) / 200) ** 2, [50, 100]),
    (
        CosineDecay(0.8, 7, end=0.1),
        lambda t: 0.1 + 0.7 * math.cos(math.pi * min(t, 7) / 14) ** 2,
        [7],
    ),
    (CosineRestarts(0.8, 10), lambda t: 0.8 * math.cos(math.pi * (t % 10) / 20) ** 2, [10, 20]),
    (CosineRestarts(0.8, 1), lambda t: 0.8, [1]),
    (CosineRestarts(0.8, 10, decay=0.5, end=0.1), waves(0.8, EACH_TENTH, 0.5, 0.1), [10, 20, 30]),
    (CosineRestarts(0.1, 10, end=0.8), waves(0.1, EACH_TENTH, end=0.8), [10, 20]),
    (CosineRestarts(0.8, 5, multiply=2, end=0.1), waves(0.8, DOUBLING, end=0.1), DOUBLING[1:9]),
    (CosineRestarts(0.8, 4, 3, 0.9, 0.05), waves(0.8, TRIPLING, 0.9, 0.05), TRIPLING[1:6]),
    (InverseSqrtDecay(0.8, 100), lambda t: 8 / math.sqrt(max(t, 100)), [50, 100, 400]),
    (InverseSqrtDecay(0.8, 1), lambda t: 0.8 / math.sqrt(t or 1), [1, 2]),
    (PiecewiseConstant([], [0.3]), lambda t: 0.3, []),
    (PiecewiseConstant([0], [0.1, 0.2]), lambda t: 0.2 if t else 0.1, [0]),
    (
        PiecewiseConstant([10, 20], [0.1, 0.01, 0.001]),
        lambda t: 0.1 if t <= 10 else 0.01 if t <= 20 else 0.001,
        [10, 20],
    ),
    (
        PiecewiseConstant((3, 4, 7, 30), (0.3, 0.0, 0.5, 0.5, 0.1)),
        lambda t: {t < 31: 0.5, t < 5: 0.0, t < 4: 0.3}.get(True, 0.1),
        [3, 4, 7, 30],
    ),
    (
        Triangular(0.2, 1.0, 4),
        lambda t: np.interp(t % 8, (0, 4, 8), (0.2, 1.0, 0.2)),
        [4, 8, 12, 16],
    ),
    (
        Triangular(0.2, 1.0, 3, decay=0.5),
        lambda t: 0.2 + math.ldexp(0.8 * (1 - abs(t % 6 / 3 - 1)), -(t // 6)),
        [3, 6, 9, 12],
    ),
    (Triangular(0.0, 0.8, 1, decay=0.9), lambda t: t % 2 * 0.8 * 0.9 ** (t // 2), [1, 2]),
    (Triangular(0.2, 0.2, 5), lambda t: 0.2, [5, 10]),
    (OneCycle(1.0, 10, 0.5, final_factor=2), cycle(0.04, 1.0, 0.02, 4, 9), [4, 9]),
    (OneCycle(0.7, 33), cycle(0.028, 0.7, 2.8e-6, 8.9, 32), [8, 9, 32]),
    (OneCycle(0.7, 100, 0.25, 10, 100.0), cycle(0.07, 0.7, 7e-4, 24, 99), [24, 99]),
    (OneCycle(0.4, 21, 0.1, 0.5, 0.5), cycle(0.8, 0.4, 1.6, 1.1, 20), [1, 20]),
    (OneCycle(0.7, 20, 0.0), cycle(0.028, 0.7, 2.8e-6, -1, 19), [19]),
    (OneCycle(0.7, 20, 0.04), cycle(0.028, 0.7, 2.8e-6, -0.2, 19), [19]),
    (OneCycle(0.7, 20, 1.0), cycle(0.028, 0.7, 0.7, 19, 19), [19]),
    (OneCycle(0.8, 2, 0.5), cycle(0.032, 0.8, 3.2e-6, 0, 1), [1]),
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
    (Hold(LinearDecay(0.8, 20), 5), line((0, 0.8), (5, 0.6)), [5, 20]),
    (Hold(LinearDecay(0.8, 20), 0), lambda t: 0.8, [20]),
    (Hold(Hold(LinearDecay(0.8, 20), 15), 10), line((0, 0.8), (10, 0.4)), [10, 15]),
    (
        CoolDown(Hold(WarmUp(0.4, 8), 4), 4, 2),
        line((0, 0), (4, 0.2), (6, 0)),
        [4, 6, 8],
    ),
    (Sequence([0.3]), lambda t: 0.3, []),
    (
        Sequence([(0.1, 3), (WarmUp(0.4, 4), 9), LinearDecay(0.2, 10)]),
        lambda t: 0.1 if t < 3 else min(t - 3, 4) / 10 if t < 12 else max(22 - t, 0) / 50,
        [3, 7, 12, 22],
    ),
    (
        Sequence(
            ((Sequence([(0.1, 2), StepDecay(0.8, 3, 0.5)]), 7), Hold(StepDecay(0.2, 2, 0.5), 2))
        ),
        lambda t: {t < 9: 0.2, t < 7: 0.4, t < 5: 0.8, t < 2: 0.1}.get(True, 0.1),
        [2, 5, 7, 9],
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
    (ReduceOnPlateau(0.8), lambda t: 0.8, []),
    (ReduceOnPlateau(0.3, 0.5, 3, 2, 0.01, 0.1, "max"), lambda t: 0.3, []),
    (WarmUp(ReduceOnPlateau(0.4), 4), line((0, 0), (4, 0.4)), [4]),
]
SCHEDULES = [schedule for schedule, _, _ in CLOSED_FORMS]
EVERY_SCHEDULE = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)


def moments(boundaries):
    """0, each boundary with both its neighbours, and times past the end, out of order."""
    around = {b + shift for b in boundaries for shift in (-1, 0, 1) if b + shift >= 0}
    return [FAR, *sorted(around | {0, 1, 2, 30, 1000}, reverse=True), 3, FAR + 1]


def assert_equals(schedule, form, times):
    rates = [schedule(t) for t in times]
    assert {type(rate) for rate in rates} == {float}
    np.testing.assert_allclose(rates, [form(t) for t in times], 1e-12, 1e-15, err_msg=schedule)


def test_every_class_is_here():
    assert {type(schedule) for schedule in SCHEDULES} == set(CLASSES)
    assert {cls.__name__ for cls in CLASSES} | {"warmup_stable_decay"} == GOOD.keys()


@pytest.mark.parametrize(("schedule", "form", "boundaries"), CLOSED_FORMS, ids=map(repr, SCHEDULES))
def test_schedule_equals_its_closed_form(schedule, form, boundaries):
    assert_equals(schedule, form, moments(boundaries))


BY_HAND = [
    (StepDecay(1.0, 3, 0.1), [1, 1, 1, 0.1, 0.1, 0.1, 0.01]),
    (ExponentialDecay(1.0, 0.25, 2), [1, 0.5, 0.25, 0.125]),
    (ExponentialDecay(1.0, 0.25, 2, staircase=True), [1, 1, 0.25, 0.25, 0.0625]),
    (InverseTimeDecay(1.0, 1.0), [1, 1 / 2, 1 / 3, 1 / 4]),
    (InverseTimeDecay(1.0, 1.0, 2, staircase=True), [1, 1, 1 / 2, 1 / 2, 1 / 3]),
    (LinearDecay(1.0, 4), [1, 0.75, 0.5, 0.25, 0, 0]),
    (PolynomialDecay(1.0, 4), [1, 0.75, 0.5, 0.25, 0, 0]),
    (PolynomialDecay(2.0, 4, 1.0, 2.0), [2, 1.5625, 1.25, 1.0625, 1, 1]),
    (CosineDecay(1.0, 3), [1, 0.75, 0.25, 0, 0]),
    (CosineDecay(3.0, 3, end=1.0), [3, 2.5, 1.5, 1, 1]),
    (CosineRestarts(1.0, 3), [1, 0.75, 0.25, 1, 0.75, 0.25, 1]),
    (CosineRestarts(3.0, 3, decay=0.5, end=1.0), [3, 2.5, 1.5, 1.5, 1.375, 1.125, 0.75]),
    (CosineRestarts(1.0, 1, multiply=3), [1, 1, 0.75, 0.25, 1]),
    (CosineRestarts(1.0, 1, 2, 0.5), [1, 0.5, 0.25, 0.25, 0.125 + 0.125 * 0.5**0.5, 0.125]),
    (InverseSqrtDecay(1.0, 1), [1, 1, 0.5**0.5, 1 / 3**0.5, 0.5]),
    (InverseSqrtDecay(1.0, 2), [1, 1, 1, (2 / 3) ** 0.5, 0.5**0.5]),
    (PiecewiseConstant([1, 2], [3.0, 2.0, 1.0]), [3, 3, 2, 1, 1]),
    (Triangular(1.0, 2.0, 2), [1, 1.5, 2, 1.5, 1, 1.5]),
    (Triangular(1.0, 2.0, 1, 0.5), [1, 2, 1, 1.5, 1, 1.25, 1]),
    (OneCycle(1.0, 6, 0.5, 2.0, 1.0), [0.5, 0.75, 1, 0.875, 0.625, 0.5, 0.5]),
    (
        OneCycle(1.0, 4, 0.0, 2.0, 1.0),
        [1 - 0.25 * (1 - 0.5**0.5), 0.75, 0.5 + 0.25 * (1 - 0.5**0.5), 0.5],
    ),
    (WarmUp(1.0, 4), [0, 0.25, 0.5, 0.75, 1, 1]),
    (WarmUp(StepDecay(1.0, 2, 0.5), 2), [0, 0.5, 1, 1, 0.5, 0.5, 0.25]),
    (CoolDown(1.0, 2, 4, shape="one_minus_sqrt"), [1, 1, 1, 0.5, 1 - math.sqrt(0.5)]),
    (CoolDown(1.0, 1, 2, shape="cosine"), [1, 1, 0.5, 0, 0]),
    (Hold(StepDecay(1.0, 1, 0.5), 2), [1, 0.5, 0.25, 0.25, 0.25]),
    (Sequence([(2.0, 1), (LinearDecay(1.0, 4), 2), 3.0]), [2, 1, 0.75, 3, 3]),
    (warmup_stable_decay(1.0, 2, 1, 2), [0, 0.5, 1, 1, 0.5, 0, 0]),
]


@pytest.mark.parametrize(("schedule", "rates"), BY_HAND, ids=repr)
def test_schedule_starts_with_the_rates_computed_by_hand(schedule, rates):
    np.testing.assert_allclose(schedule(np.arange(len(rates))), rates, rtol=1e-15, atol=2e-16)


@pytest.mark.parametrize(
    ("schedule", "same"),
    [
        (ExponentialDecay(0.1, 0.5), ExponentialDecay(0.1, 0.5, 1, False)),
        (InverseTimeDecay(0.1, 0.5), InverseTimeDecay(0.1, 0.5, 1, False)),
        (LinearDecay(0.1, 5), LinearDecay(0.1, 5, 0)),
        (PolynomialDecay(0.1, 5), PolynomialDecay(0.1, 5, 0, 1)),
        (CosineDecay(0.1, 5), CosineDecay(0.1, 5, 0)),
        (CosineRestarts(0.1, 5), CosineRestarts(0.1, 5, 1, 1, 0)),
        (Triangular(0.1, 0.2, 5), Triangular(0.1, 0.2, 5, 1)),
        (OneCycle(0.1, 5), OneCycle(0.1, 5, 0.3, 25, 1e4)),
        (WarmUp(0.1, 5), WarmUp(0.1, 5, 0, "linear")),
        (CoolDown(0.1, 5, 5), CoolDown(0.1, 5, 5, 0, "linear")),
        (warmup_stable_decay(1, 2, 3, 4), warmup_stable_decay(1, 2, 3, 4, 0, "linear")),
        (ReduceOnPlateau(0.1), ReduceOnPlateau(0.1, 0.1, 10, 0, 1e-4, 0, "min")),
    ],
    ids=repr,
)
def test_defaults_and_order_of_the_arguments(schedule, same):
    assert schedule == same


# --- against other libraries ----------------------------------------------------------------------


def built(description):
    """The schedule that nested [name, arguments] pairs describe; anything else as it is."""
    match description:
        case [str(name), dict(arguments)]:
            arguments = {name: built(value) for name, value in arguments.items()}
            return getattr(dl.schedulers, name)(**arguments)
        case list(items):
            return list(map(built, items))
    return description


@pytest.mark.parametrize(
    "run", GOLDEN["schedules"], ids=lambda run: f"{run['library']}-{run['theirs'][0]}"
)
def test_rates_are_those_of_other_libraries(run):
    rates = built(run["minidl"])(np.arange(len(run["rates"])))
    pi_in_float32 = run["library"] == "Keras" and "Cosine" in run["theirs"][0]
    rounding = 1e-8 if pi_in_float32 else 1e-16  # of rates up to 0.1, near 0 as well
    np.testing.assert_allclose(rates, run["rates"], rtol=1e-12, atol=rounding)


@pytest.mark.parametrize("run", GOLDEN["plateaus"])
def test_the_plateau_counts_as_pytorch_does_at_every_call(run):
    plateau = ReduceOnPlateau(**run["options"])
    columns = ("lr", "best", "num_bad_epochs", "cooldown_counter")
    for i, metric in enumerate(run["metrics"]):
        plateau.observe(float(metric))
        assert plateau.memory == PlateauMemory(*(float(run[column][i]) for column in columns))
        assert plateau(i) == run["lr"][i]


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
def test_a_schedule_has_no_memory_of_the_calls(schedule):
    steps = [40, 3, 0, FAR, 3, 7, 39, 0]
    before = repr(vars(schedule))
    in_order = {t: copy.deepcopy(schedule)(t) for t in sorted(steps)}
    assert [schedule(t) for t in steps] == [in_order[t] for t in steps]
    assert repr(vars(schedule)) == before


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
def test_a_schedule_refuses_anything_but_a_step(schedule, t, error):
    message = f"{type(schedule).__name__}: t must be a whole number ≥ 0, got {t!r}"
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        schedule(t)


@EVERY_SCHEDULE
@pytest.mark.parametrize(
    ("steps", "error"),
    [([0, 3, -1], ValueError), ([0.0, 1.0], TypeError), ([True], TypeError), (["1"], TypeError)],
)
def test_a_schedule_refuses_arrays_of_anything_but_steps(schedule, steps, error):
    with pytest.raises(error, match=f"{type(schedule).__name__}: t must be a whole number ≥ 0"):
        schedule(np.array(steps))


GROWING = [
    (ExponentialDecay(0.1, 2.0), 100_000),
    (StepDecay(0.1, 1, 2.0), 100_000),
    (CosineRestarts(0.1, 1, decay=2.0), 100_000),
    (Triangular(0.1, 0.2, 1, decay=2.0), 100_001),
    (ExponentialDecay(1e308, 1.5), 2),
    (OneCycle(1.0, 100, initial_factor=5e-324), 5),
]
GROWING += [(WarmUp(schedule, 3), t + 3) for schedule, t in GROWING]
GROWING += [(Sequence([(0.1, 2), schedule]), t + 2) for schedule, t in GROWING]


@pytest.mark.parametrize(("schedule", "t"), GROWING, ids=repr)
def test_a_rate_that_overflows_is_an_error_with_schedule_and_step(schedule, t):
    message = rf"^{re.escape(repr(schedule))} is (inf|-inf|nan) at t = {t}; a rate must be finite$"
    with pytest.raises(ValueError, match=message):
        schedule(t)
    with pytest.raises(ValueError, match=message):
        schedule(np.array([t]))


class UserSchedule(Schedule):
    """A schedule of a user."""

    def formula(self, t):
        return [0.1, math.nan, math.inf, -math.inf][t]


@pytest.mark.parametrize("t", [1, 2, 3])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: Sequence([s]), lambda s: Hold(s, 3)])
def test_a_user_defined_formula_must_be_finite_too(wrap, t):
    assert wrap(UserSchedule())(0) == 0.1
    with pytest.raises(ValueError, match=rf" at t = {t}; a rate must be finite$"):
        wrap(UserSchedule())(t)


def test_a_schedule_without_a_formula_says_what_to_define():
    with pytest.raises(TypeError, match=r"^Schedule has no formula: define formula\(self, t\)$"):
        Schedule()(0)


def test_plot_passes_schedule_and_steps_to_plot_schedule(monkeypatch):
    monkeypatch.setattr("minidl.viz.plots.plot_schedule", lambda *arguments: arguments)
    assert Constant(0.1).plot(30) == (Constant(0.1), 30, None)


@pytest.mark.parametrize("schedule", [Constant(0.1), ReduceOnPlateau(0.1), WarmUp(0.1, 3)])
def test_plot_without_steps_is_an_error_that_says_what_is_missing(schedule):
    name = type(schedule).__name__
    with pytest.raises(TypeError, match=rf"{name}: plot needs the number of steps: plot\(1000\)"):
        schedule.plot()


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
    for name in inspect.signature(type(schedule)).parameters:
        assert f"{name}={getattr(schedule, name)!r}" in text
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
    assert Hold(Fraction(2, 5), 4) == Hold(Constant(0.4), 4)
    assert repr(LinearDecay(1, np.int64(10))) == "LinearDecay(lr=1.0, steps=10, end=0.0)"


def test_lists_are_kept_as_tuples():
    given = [np.int64(3), 7], [1, np.float32(0.5), 0]
    piecewise = PiecewiseConstant(*given)
    assert piecewise == PiecewiseConstant(*map(tuple, given))
    assert repr(piecewise) == "PiecewiseConstant(boundaries=(3, 7), values=(1.0, 0.5, 0.0))"
    parts = [[0.1, np.int64(3)], (LinearDecay(0.2, 4), 5), 1]
    sequence = Sequence(parts)
    assert sequence == Sequence(((0.1, 3), (LinearDecay(0.2, 4), 5), Constant(1.0)))
    assert sequence.parts == ((Constant(0.1), 3), (LinearDecay(0.2, 4), 5), Constant(1.0))
    assert type(sequence.parts[0][1]) is int
    given[0].append(9)
    parts.insert(0, (0.5, 1))
    parts[1][1] = 20
    assert piecewise(8) == 0.0
    assert sequence(0) == 0.1


# --- inside each other ----------------------------------------------------------------------------

# Each takes a schedule, its closed form and a size that makes room for ramps inside, and gives a
# schedule around it, with its closed form.
AROUND = {
    "WarmUp": lambda s, f, size: (
        WarmUp(s, size, start=0.05, shape="cosine"),
        lambda t: (
            f(t - size)
            if t >= size
            else (0.05 + f(0)) / 2 + (0.05 - f(0)) / 2 * math.cos(math.pi * t / size)
        ),
    ),
    "CoolDown": lambda s, f, size: (
        CoolDown(s, 4 * size, size, end=0.05),
        lambda t: f(t) if t < 4 * size else line((4 * size, f(4 * size)), (5 * size, 0.05))(t),
    ),
    "Hold": lambda s, f, size: (Hold(s, 4 * size), lambda t: f([t, 4 * size][t > 4 * size])),
    "Sequence, last": lambda s, f, size: (
        Sequence([(0.7, size), s]),
        lambda t: f(t - size) if t >= size else 0.7,
    ),
    "Sequence, first": lambda s, f, size: (
        Sequence([(s, 4 * size), (0.6, size), 0.7]),
        lambda t: f(t) if t < 4 * size else 0.6 if t < 5 * size else 0.7,
    ),
}
EVERY_WRAPPER = pytest.mark.parametrize("wrapper", AROUND.values(), ids=AROUND)
EVERY_OUTER = pytest.mark.parametrize("outer", AROUND.values(), ids=AROUND)


def holds_plateau(schedule):
    return "ReduceOnPlateau" in repr(schedule)


def wrapped(wrapper, size, cases):
    """Schedules, closed forms and boundaries, each inside another schedule."""
    for schedule, form, boundaries in cases:
        if not (wrapper is AROUND["Hold"] and holds_plateau(schedule)):
            later = [size + boundary for boundary in boundaries]
            yield *wrapper(schedule, form, size), [*boundaries, *later, size, 4 * size, 5 * size]


def wrapped_twice(outer, wrapper):
    return wrapped(outer, 50, wrapped(wrapper, 11, CLOSED_FORMS))


@EVERY_WRAPPER
def test_every_schedule_goes_inside_every_other(wrapper):
    for schedule, form, boundaries in wrapped(wrapper, 11, CLOSED_FORMS):
        assert_equals(schedule, form, moments(boundaries))


@EVERY_WRAPPER
@EVERY_OUTER
def test_every_schedule_goes_inside_two_others(outer, wrapper):
    for schedule, form, boundaries in wrapped_twice(outer, wrapper):
        assert_equals(schedule, form, moments(boundaries))
        assert eval(repr(schedule), vars(dl.schedulers)) == schedule
        assert pickle.loads(pickle.dumps(schedule)) == schedule


RAMPS = {"warm-up", "cool-down"}
INNER = [schedule for schedule in SCHEDULES if not RAMPS & {name for _, name in schedule.phases()}]
SHAPES = ["linear", "cosine", "one_minus_sqrt"]
rates, whole = st.floats(0, 10), st.integers(1, 50)


@given(st.sampled_from(INNER), whole, rates, st.sampled_from(SHAPES), st.integers(0, 100))
def test_warm_up_begins_at_start_and_ends_on_the_schedule_exactly(inner, steps, start, shape, t):
    schedule = WarmUp(inner, steps, start, shape)
    assert schedule(0) == start
    assert schedule(steps) == inner(0)
    assert schedule(steps + t) == inner(t)
    low, high = sorted((start, inner(0)))
    inside = schedule(np.arange(steps))
    assert np.all((low * (1 - 1e-15) <= inside) & (inside <= high * (1 + 1e-15)))


@given(st.sampled_from(INNER), st.integers(0, 50), whole, rates, st.sampled_from(SHAPES))
def test_cool_down_leaves_the_schedule_at_its_rate_and_ends_exactly(inner, at, steps, end, shape):
    schedule = CoolDown(inner, at, steps, end, shape)
    assert all(schedule(t) == inner(t) for t in range(at + 1))
    assert schedule(at + steps) == schedule(at + steps + 1) == schedule(FAR) == end


@given(st.sampled_from(INNER), st.integers(0, 50), st.integers(0, 100))
def test_hold_is_the_schedule_and_then_constant(inner, at, t):
    assume(not holds_plateau(inner))
    assert Hold(inner, at)(t) == inner(t if t < at else at)


@given(st.lists(st.tuples(st.sampled_from(INNER), whole)), st.sampled_from(INNER))
def test_sequence_is_its_parts_one_after_the_other(parts, last):
    by_hand = [schedule(t) for schedule, steps in parts for t in range(steps)]
    by_hand += [last(t) for t in range(20)]
    assert Sequence([*parts, last])(np.arange(len(by_hand))).tolist() == by_hand


@given(rates, whole, st.integers(0, 50), whole, rates, st.sampled_from(SHAPES))
def test_warmup_stable_decay_is_its_composition(peak, warmup, stable, cooldown, end, shape):
    schedule = warmup_stable_decay(peak, warmup, stable, cooldown, end, shape)
    assert schedule == CoolDown(WarmUp(peak, warmup), warmup + stable, cooldown, end, shape)


# A schedule with ramps inside, and the one that is over last.
WITH_RAMPS = [
    (WarmUp(0.4, 10), "warm-up", 10),
    (WarmUp(CosineDecay(0.4, 100), 10), "warm-up", 10),
    (WarmUp(WarmUp(0.4, 5), 5), "warm-up", 10),
    (CoolDown(0.4, 3, 5), "cool-down", 8),
    (CoolDown(WarmUp(0.4, 10), 20, 5), "cool-down", 25),
    (WarmUp(CoolDown(0.4, 3, 5), 2), "cool-down", 10),
    (Hold(WarmUp(0.4, 10), 20), "warm-up", 10),
    (Hold(WarmUp(0.4, 10), 4), "warm-up", 4),
    (Sequence([(0.3, 5), WarmUp(0.4, 7)]), "warm-up", 12),
    (Sequence([(WarmUp(0.4, 7), 9), 0.3]), "warm-up", 7),
]


@pytest.mark.parametrize(("inner", "ramp", "ends"), WITH_RAMPS, ids=repr)
def test_a_cool_down_that_begins_before_a_ramp_has_ended_is_refused(inner, ramp, ends):
    for at in range(ends):
        message = (
            f"CoolDown: at={at} is before the end of the {ramp} inside, at step {ends}; "
            "begin there or later"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            CoolDown(inner, at, 5)
    assert CoolDown(inner, ends, 5)(ends) == inner(ends)


@pytest.mark.parametrize(("inner", "ramp", "ends"), WITH_RAMPS, ids=repr)
def test_a_part_that_ends_before_its_ramp_is_over_is_refused(inner, ramp, ends):
    for steps in range(1, ends):
        message = (
            f"Sequence: parts[1] ends after {steps} steps, before the end of its {ramp} at step "
            f"{ends}; give it at least {ends}"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            Sequence([(0.1, 1), (inner, steps), 0.2])
    assert Sequence([(inner, ends), 0.7])(ends) == 0.7


PLATEAU = ReduceOnPlateau(0.1)


@pytest.mark.parametrize(
    "inner",
    [
        PLATEAU,
        WarmUp(PLATEAU, 3),
        CoolDown(PLATEAU, 3, 5),
        Sequence([(PLATEAU, 4), 0.1]),
        Sequence([(0.1, 4), PLATEAU]),
        WarmUp(Sequence([(0.1, 2), (PLATEAU, 4), 0.1]), 3),
    ],
    ids=repr,
)
def test_a_schedule_that_follows_a_metric_cannot_be_held(inner):
    message = f"^{re.escape(f'Hold: the rate of {inner!r} follows a metric rather than the step')}"
    with pytest.raises(ValueError, match=message + r".* held at step 7; stop calling observe"):
        Hold(inner, 7)


# --- sums -----------------------------------------------------------------------------------------

ZETA_OF_HALF, ZETA_OF_MINUS_HALF, EULER = -1.4603545088095868, -0.2078862249773546, np.euler_gamma


def sum_of_ramp(shape, n):
    """Σ shape(k / n) over k < n; for the root Euler's and Maclaurin's, to 1 / (1920 n³)."""
    if shape == "one_minus_sqrt":
        return 2 * n / 3 - 1 / 2 + ZETA_OF_MINUS_HALF / math.sqrt(n) + 1 / (24 * n)
    return (n - 1) / 2


@given(
    st.tuples(rates, rates, rates),
    st.tuples(whole, st.integers(0, 50), whole),
    st.tuples(st.sampled_from(SHAPES), st.sampled_from(SHAPES)),
)
def test_warm_up_stable_and_cool_down_add_up_to_two_ramps_and_a_block(levels, phases, shapes):
    (start, peak, end), (warmup, stable, cooldown) = levels, phases
    schedule = CoolDown(
        WarmUp(peak, warmup, start, shapes[0]), warmup + stable, cooldown, end, shapes[1]
    )
    rise = start * warmup + (peak - start) * sum_of_ramp(shapes[0], warmup)
    fall = peak * cooldown + (end - peak) * sum_of_ramp(shapes[1], cooldown)
    left = abs(peak - start) / warmup**3 + abs(peak - end) / cooldown**3
    slack = left / 1900 if "one_minus_sqrt" in shapes else 0
    total = schedule(np.arange(sum(phases))).sum()
    assert total == pytest.approx(rise + peak * stable + fall, rel=1e-12, abs=1e-12 + slack)


@given(rates, whole, rates)
def test_decays_add_up_to_their_closed_form(lr, n, end):
    for schedule, left in [
        (LinearDecay(lr, n, end), (n + 1) / 2),
        (CosineDecay(lr, n, end), (n + 1) / 2),
        (PolynomialDecay(lr, n, end, 2), (n + 1) * (2 * n + 1) / (6 * n)),
        (PolynomialDecay(lr, n, end, 3), (n + 1) ** 2 / (4 * n)),
    ]:
        total = schedule(np.arange(n)).sum()
        assert total == pytest.approx(n * end + (lr - end) * left, rel=1e-12, abs=1e-12)


@given(rates, st.integers(1, 9), st.integers(1, 3), st.floats(0, 1), rates)
def test_each_period_of_cosine_restarts_adds_up_to_half_of_top_and_end(
    lr, steps, multiply, decay, end
):
    schedule, begin = CosineRestarts(lr, steps, multiply, decay, end), 0
    for k in range(4):
        length, top = steps * multiply**k, lr * decay**k
        total = schedule(np.arange(begin, begin + length)).sum()
        assert total == pytest.approx(length * (top + end) / 2 + (top - end) / 2, 1e-12, 1e-12)
        assert schedule(begin) == pytest.approx(top, rel=1e-12, abs=1e-15)
        begin += length


@given(rates, rates, st.integers(1, 20), st.floats(0, 1.5))
def test_each_period_of_the_triangle_adds_up_to_its_area(low, height, half, decay):
    schedule = Triangular(low, low + height, half, decay)
    for k in range(4):
        total = schedule(np.arange(2 * half * k, 2 * half * (k + 1))).sum()
        assert total == pytest.approx(2 * half * low + height * decay**k * half, 1e-12, 1e-12)


@given(rates, st.integers(2, 50), st.integers(0, 50), st.floats(0.5, 50))
def test_one_cycle_adds_up_to_two_trapezia(peak, steps, top, first):
    top = min(top, steps - 2)
    schedule = OneCycle(peak, steps, (top + 1) / steps, first, 10)
    low, final, down = peak / first, peak / first / 10, steps - 1 - top
    up = (top + 1) * (low + peak) / 2 if top else peak
    total = schedule(np.arange(steps)).sum()
    assert total == pytest.approx(up + (down + 1) * (peak + final) / 2 - peak, 1e-12, 1e-12)


@given(rates, st.floats(0.1, 0.99), whole, st.integers(1, 20))
def test_powers_add_up_to_the_geometric_series(lr, rate, steps, periods):
    series = lr * (1 - rate**periods) / (1 - rate)
    whole_periods, smooth = np.arange(steps * periods), (1 - rate ** (1 / steps)) / (1 - rate)
    for schedule, factor in [
        (StepDecay(lr, steps, rate), steps),
        (ExponentialDecay(lr, rate, steps, staircase=True), steps),
        (ExponentialDecay(lr, rate, steps), 1 / smooth),
    ]:
        total = schedule(whole_periods).sum()
        assert total == pytest.approx(series * factor, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("n", [30, 1000])
def test_inverse_decays_add_up_to_the_harmonic_sums(n):
    harmonic = math.log(n) + EULER + 1 / (2 * n) - 1 / (12 * n**2) + 1 / (120 * n**4)
    roots = 2 * math.sqrt(n) + ZETA_OF_HALF + n**-0.5 / 2 - n**-1.5 / 24 + n**-3.5 / 384
    t = np.arange(n + 1)
    assert InverseTimeDecay(0.8, 1.0)(t[:-1]).sum() == pytest.approx(0.8 * harmonic, rel=1e-10)
    assert InverseSqrtDecay(0.8, 1)(t).sum() == pytest.approx(0.8 * (1 + roots), rel=1e-10)


# --- phases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "phases"),
    [
        (Constant(0.1), [(0, "constant")]),
        (StepDecay(0.1, 5, 0.5), [(0, "step decay")]),
        (ExponentialDecay(0.1, 0.5), [(0, "exponential decay")]),
        (InverseTimeDecay(0.1, 0.5), [(0, "inverse time decay")]),
        (LinearDecay(0.1, 5), [(0, "linear decay"), (5, "end")]),
        (PolynomialDecay(0.1, 5), [(0, "polynomial decay"), (5, "end")]),
        (CosineDecay(0.1, 5), [(0, "cosine decay"), (5, "end")]),
        (CosineRestarts(0.1, 5), [(0, "cosine restarts")]),
        (InverseSqrtDecay(0.1, 5), [(0, "constant"), (5, "inverse sqrt decay")]),
        (PiecewiseConstant([], [0.1]), [(0, "0.1")]),
        (PiecewiseConstant([0, 9], [0.5, 1e-5, 2]), [(0, "0.5"), (1, "1e-05"), (10, "2")]),
        (Triangular(0.1, 0.2, 5), [(0, "triangular")]),
        (OneCycle(0.1, 10), [(0, "up"), (3, "down"), (10, "end")]),
        (OneCycle(0.1, 11), [(0, "up"), (3, "down"), (11, "end")]),
        (OneCycle(0.1, 10, 0.1), [(0, "up"), (1, "down"), (10, "end")]),
        (OneCycle(0.1, 10, 0.05), [(0, "down"), (10, "end")]),
        (OneCycle(0.1, 10, 0.0), [(0, "down"), (10, "end")]),
        (OneCycle(0.1, 10, 0.99), [(0, "up"), (9, "down"), (10, "end")]),
        (OneCycle(0.1, 10, 1.0), [(0, "up"), (10, "end")]),
        (ReduceOnPlateau(0.1), [(0, "reduce on plateau")]),
        (WarmUp(0.1, 5), [(0, "warm-up"), (5, "constant")]),
        (WarmUp(WarmUp(0.1, 5), 2), [(0, "warm-up"), (2, "warm-up"), (7, "constant")]),
        (CoolDown(0.1, 5, 2), [(0, "constant"), (5, "cool-down"), (7, "end")]),
        (CoolDown(0.1, 0, 2), [(0, "cool-down"), (2, "end")]),
        (
            CoolDown(LinearDecay(0.1, 5), 5, 2),
            [(0, "linear decay"), (5, "cool-down"), (7, "end")],
        ),
        (
            CoolDown(LinearDecay(0.1, 4), 5, 2),
            [(0, "linear decay"), (4, "end"), (5, "cool-down"), (7, "end")],
        ),
        (
            warmup_stable_decay(0.1, 3, 4, 5),
            [(0, "warm-up"), (3, "constant"), (7, "cool-down"), (12, "end")],
        ),
        (warmup_stable_decay(0.1, 3, 0, 5), [(0, "warm-up"), (3, "cool-down"), (8, "end")]),
        (Hold(0.1, 5), [(0, "constant"), (5, "hold")]),
        (Hold(LinearDecay(0.1, 9), 0), [(0, "hold")]),
        (Hold(LinearDecay(0.1, 9), 9), [(0, "linear decay"), (9, "hold")]),
        (Hold(LinearDecay(0.1, 9), 10), [(0, "linear decay"), (9, "end"), (10, "hold")]),
        (Sequence([0.1]), [(0, "constant")]),
        (
            Sequence([(WarmUp(0.1, 5), 5), (LinearDecay(0.1, 3), 4), CoolDown(0.1, 2, 3)]),
            [
                (0, "warm-up"),
                (5, "linear decay"),
                (8, "end"),
                (9, "constant"),
                (11, "cool-down"),
                (14, "end"),
            ],
        ),
    ],
    ids=repr,
)
def test_phases_are_named_from_their_first_step_on(schedule, phases):
    assert schedule.phases() == phases


def assert_has_the_phases_it_names(schedule):
    phases = schedule.phases()
    starts = [start for start, _ in phases]
    assert starts[0] == 0
    assert all(type(start) is int for start in starts)
    assert all(a < b for a, b in itertools.pairwise(starts))
    for (start, name), following in itertools.zip_longest(phases, starts[1:]):
        inside = range(start, min(following or start + 100, start + 100))
        rates = schedule(np.array([*inside, (following or FAR) - 1]))
        if name in ("constant", "hold", "end", "reduce on plateau") or name[0].isdigit():
            assert np.all(rates == rates[0])
            assert name[0] not in "0123456789" or f"{rates[0]:g}" == name
        elif name in ("warm-up", "cool-down", "up", "down"):
            towards = schedule(following) - rates[0]
            assert np.all(np.diff(rates) * towards >= 0)


@EVERY_SCHEDULE
def test_the_rate_is_constant_or_goes_one_way_in_the_phases_that_say_so(schedule):
    assert_has_the_phases_it_names(schedule)


@EVERY_WRAPPER
@EVERY_OUTER
def test_phases_of_schedules_inside_each_other_are_theirs(outer, wrapper):
    for schedule, _, _ in wrapped_twice(outer, wrapper):
        assert_has_the_phases_it_names(schedule)


# --- ReduceOnPlateau ------------------------------------------------------------------------------


def counted(
    metrics, lr, factor=0.1, patience=10, cooldown=0, threshold=1e-4, min_lr=0.0, mode="min"
):
    """After each metric: the rate and the counts of torch.optim.lr_scheduler.ReduceLROnPlateau.

    As its documentation says: "threshold_mode" is "rel", "eps" is 1e-8.
    """
    best = math.inf if mode == "min" else -math.inf
    num_bad_epochs = cooldown_counter = 0
    for metric in metrics:
        dynamic_threshold = best * (1 + threshold if mode == "max" else 1 - threshold)
        if metric > dynamic_threshold if mode == "max" else metric < dynamic_threshold:
            best = metric
            num_bad_epochs = 0
        else:
            num_bad_epochs += 1
        if cooldown_counter > 0:
            cooldown_counter -= 1
            num_bad_epochs = 0
        if num_bad_epochs > patience:
            reduced = max(lr * factor, min_lr)
            if lr - reduced > 1e-8:
                lr = reduced
            cooldown_counter = cooldown
            num_bad_epochs = 0
        yield PlateauMemory(lr, best, num_bad_epochs, cooldown_counter)


METRICS = st.one_of(
    st.sampled_from([-1.0, 0.0, 0.5, 0.99995, 1.0, 1.00005, 2.0, math.nan, math.inf, -math.inf]),
    st.floats(),
)
PLATEAUS = st.fixed_dictionaries(
    {"lr": st.sampled_from([0.1, 1e-6, 3e-8, 2e-8, 0.0])},
    optional={
        "factor": st.sampled_from([0.0, 0.1, 0.5, 0.9]),
        "patience": st.integers(0, 3),
        "cooldown": st.integers(0, 3),
        "threshold": st.sampled_from([0.0, 1e-4, 0.1, 1.0, 1.5]),
        "mode": st.sampled_from(["min", "max"]),
    },
)


@settings(max_examples=300)
@given(PLATEAUS, st.sampled_from([0.0, 0.2, 1.0]), st.lists(METRICS, max_size=40))
def test_the_plateau_counts_as_documented_at_every_call(options, fraction, metrics):
    options["min_lr"] = fraction * options["lr"]
    plateau = ReduceOnPlateau(**options)
    for metric, memory in zip(metrics, counted(metrics, **options), strict=True):
        assert plateau.observe(metric) is None
        assert plateau.memory == memory
        assert plateau(0) == plateau(FAR) == memory.rate
        assert plateau(np.arange(3)).tolist() == [memory.rate] * 3


def observing(plateau, *metrics):
    for metric in metrics:
        plateau.observe(metric)
    return plateau


def test_an_interrupt_at_any_bytecode_of_observe_leaves_a_whole_memory():
    def observe(plateau):
        plateau.observe(2.0)

    def prepare():
        return observing(ReduceOnPlateau(0.8, 0.5, patience=1, cooldown=3), 1.0, 2.0)

    before, after = prepare(), observing(prepare(), 2.0)
    assert (before.memory, after.memory) == (
        PlateauMemory(0.8, 1.0, 1, 0),
        PlateauMemory(0.4, 1.0, 0, 3),
    )
    seen = []
    for plateau in interrupting.each_interruption(prepare, observe):
        seen.append(plateau.observations)
        assert (plateau == before, plateau == after) == ((True, False), (False, True))[seen[-1] - 2]
    assert seen[0] == 2
    assert seen[-1] == 3


@pytest.mark.parametrize("first", [1.0, 3.0])
def test_a_plateau_counts_a_metric_that_another_thread_shows_it_meanwhile(first, monkeypatch):
    def in_turn(memory):
        if not shown:
            shown.append(plateau.observations)
            plateau.observe(first)
        return dataclasses.replace(memory)

    shown, (plateau, other) = [], (ReduceOnPlateau(0.8, factor=0.5, patience=0) for _ in range(2))
    for metric in (2.0, first, 2.0):
        other.observe(metric)
    plateau.observe(2.0)
    monkeypatch.setattr(dl.schedulers, "replace", in_turn)
    plateau.observe(2.0)
    assert (plateau.memory, plateau.observations) == (other.memory, other.observations)


def test_a_plateau_counts_what_it_has_observed_apart_from_its_memory():
    plateau = observing(ReduceOnPlateau(0.5), 1.0, math.nan, 3)
    assert plateau.observations == 3
    with pytest.raises(TypeError):
        plateau.observe("1")
    assert plateau.observations == copy.deepcopy(plateau).observations == 3
    assert "observations" not in repr(plateau)


def test_plateaus_in_a_list_of_a_schedule_of_ones_own_are_found():
    class Both(Schedule):
        def __init__(self, *parts):
            self.parts = list(parts)

    first, second = ReduceOnPlateau(0.1), ReduceOnPlateau(0.2)
    found = dl.schedulers.plateaus(Both(first, WarmUp(second, 3)))
    assert [id(p) for p in found] == [id(first), id(second)]


def test_a_new_plateau_has_observed_nothing():
    assert ReduceOnPlateau(0.5).memory == PlateauMemory(0.5, math.inf, 0, 0)
    assert ReduceOnPlateau(0.5, mode="max").memory.best == -math.inf


def test_a_plateau_that_is_reset_has_observed_nothing():
    plateau = observing(ReduceOnPlateau(0.5, patience=0, cooldown=2, mode="max"), 1.0, 1.0, 1.0)
    memory = plateau.memory
    assert plateau.reset() is None
    assert plateau == ReduceOnPlateau(0.5, patience=0, cooldown=2, mode="max")
    assert memory == PlateauMemory(0.05, 1.0, 0, 1)


@pytest.mark.parametrize(
    ("options", "metrics", "rates"),
    [
        ({"patience": 0}, [3, 2, 2, 1, 2, 3], [8, 8, 4, 4, 2, 1]),
        ({"patience": 2}, [3, 3, 3, 3, 3, 3, 3], [8, 8, 8, 4, 4, 4, 2]),
        ({"patience": 1}, [3, 3, 2, 2, 1, 1, 1], [8, 8, 8, 8, 8, 8, 4]),
        ({"patience": 0, "cooldown": 2}, [3, 3, 3, 3, 3, 3], [8, 4, 4, 4, 2, 2]),
        ({"patience": 0, "min_lr": 3}, [1, 1, 1, 1], [8, 4, 3, 3]),
        ({"patience": 0, "threshold": 0.5}, [4, 2, 0.99, 1], [8, 4, 4, 2]),
        ({"patience": 0, "threshold": 0.5, "mode": "max"}, [2, 3, 3.01, 4], [8, 4, 4, 2]),
        ({"patience": 0, "mode": "max"}, [1, 2, 1, math.nan], [8, 8, 4, 2]),
        ({"patience": 0}, [math.nan, 5, math.inf, -math.inf, -math.inf], [4, 4, 2, 2, 1]),
    ],
    ids=repr,
)
def test_the_rates_of_a_plateau_by_hand(options, metrics, rates):
    plateau = ReduceOnPlateau(8.0, factor=0.5, **options)
    assert [observing(plateau, metric)(0) for metric in metrics] == rates


@pytest.mark.parametrize(
    ("lr", "after"), [(2e-8, 2e-8), (2.1e-8, 1.05e-8), (1.9e-8, 1.9e-8), (1e-7, 5e-8)]
)
def test_a_reduction_by_1e_8_or_less_is_not_made(lr, after):
    plateau = ReduceOnPlateau(lr, factor=0.5, patience=0, cooldown=3)
    assert observing(plateau, 1.0, 1.0)(0) == after
    assert plateau.memory.cooldown_left == 3


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_metric_at_the_threshold_is_not_better(mode):
    better = 1.5 if mode == "max" else 0.5
    plateau = observing(ReduceOnPlateau(0.1, threshold=0.5, mode=mode), 1.0, better)
    assert (plateau.memory.best, plateau.memory.bad_count) == (1.0, 1)
    observing(plateau, math.nextafter(better, math.inf if mode == "max" else 0))
    assert (plateau.memory.best, plateau.memory.bad_count) == (pytest.approx(better), 0)


@pytest.mark.parametrize(
    "metric", [2, np.float32(2), np.float64(2), np.int64(2), Fraction(4, 2)], ids=repr
)
def test_observe_takes_any_real_number(metric):
    best = observing(ReduceOnPlateau(0.1), metric).memory.best
    assert (best, type(best)) == (2.0, float)


@pytest.mark.parametrize(
    "metric",
    [True, False, None, "0.5", [0.5], 1j, np.True_, np.array(0.5), np.ones(1), dl.Tensor(0.5)],
    ids=repr,
)
def test_observe_refuses_anything_but_a_number_and_says_what_to_pass(metric):
    plateau = observing(ReduceOnPlateau(0.1), 3.0)
    message = f"ReduceOnPlateau: observe needs a number, such as loss.item(), got {metric!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        plateau.observe(metric)
    assert plateau == observing(ReduceOnPlateau(0.1), 3.0)


def test_the_memory_of_a_plateau_counts_in_comparisons_but_is_not_shown():
    plateau, new = observing(ReduceOnPlateau(0.1), 3.0), ReduceOnPlateau(0.1)
    assert plateau != new
    assert plateau == observing(ReduceOnPlateau(0.1), 3.0)
    assert hash(plateau) == hash(new)
    assert (
        repr(plateau)
        == repr(new)
        == (
            "ReduceOnPlateau(lr=0.1, factor=0.1, patience=10, cooldown=0, threshold=0.0001, "
            "min_lr=0.0, mode='min')"
        )
    )
    with pytest.raises(TypeError, match="memory"):
        ReduceOnPlateau(0.1, memory={})


WRAPS = [
    lambda p: p,
    lambda p: WarmUp(p, 3),
    lambda p: CoolDown(p, 5, 3),
    lambda p: Sequence([(0.3, 2), p]),
    lambda p: WarmUp(Sequence([(p, 2), (CoolDown(p, 1, 1), 3), 0.1]), 3),
]
EVERY_WRAP = pytest.mark.parametrize("wrap", WRAPS)


@EVERY_WRAP
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copy_has_the_same_memory_and_is_independent(wrap, copied):
    plateau = observing(ReduceOnPlateau(0.8, 0.5, patience=1), 3.0, 3.0)
    schedule = wrap(plateau)
    other = copied(schedule)
    before = other(np.arange(12)).tolist()
    assert other == schedule
    observing(plateau, 3.0)
    assert other != schedule
    assert other(np.arange(12)).tolist() == before != schedule(np.arange(12)).tolist()


@pytest.mark.parametrize(
    ("wrap", "form"),
    [
        (lambda p: WarmUp(p, 4), lambda rate: line((0, 0), (4, rate))),
        (lambda p: CoolDown(p, 6, 4), lambda rate: line((6, rate), (10, 0))),
        (
            lambda p: Sequence([(p, 3), (0.3, 2), p]),
            lambda rate: lambda t: 0.3 if t in (3, 4) else rate,
        ),
        (
            lambda p: CoolDown(WarmUp(Sequence([(p, 2), p]), 4), 6, 4),
            lambda rate: line((0, 0), (4, rate), (6, rate), (10, 0)),
        ),
    ],
)
def test_a_plateau_inside_another_schedule_gives_it_its_present_rate(wrap, form):
    plateau = ReduceOnPlateau(0.8, 0.5, patience=0)
    schedule = wrap(plateau)
    for rate in (0.8, 0.4, 0.2):
        observing(plateau, 1.0)
        assert_equals(schedule, form(rate), range(13))


def a_weight():
    return dl.Tensor([1.0], True, dtype="float64", name="w")


def test_an_optimizer_steps_at_the_present_rate_of_its_plateau():
    plateau = ReduceOnPlateau(0.8, factor=0.5, patience=0)
    w = a_weight()
    optimizer = dl.optim.SGD([w], lr=plateau)
    lost = []
    for metric in (3.0, 3.0, 2.0, 2.0):
        observing(plateau, metric)
        before = w.item()
        w.grad = np.ones(1)
        optimizer.step()
        lost.append(before - w.item())
    assert lost == pytest.approx([0.8, 0.4, 0.4, 0.2], rel=1e-14)
    assert optimizer.lr == 0.2


def test_fit_lowers_the_rate_when_the_loss_no_longer_gets_better(rng):
    options = {"lr": 0.1, "factor": 0.5, "patience": 1, "cooldown": 1, "threshold": 0.3}
    plateau, model = ReduceOnPlateau(**options), dl.nn.Dense(3, 1, rng=0)
    data = dl.data.DataLoader(rng.normal(size=(12, 3)), rng.normal(size=(12, 1)), 4, rng=0)
    optimizer = dl.optim.SGD(model, lr=plateau)
    history = dl.fit(model, dl.losses.mse, optimizer, data, epochs=15, progress=False)
    after = [memory.rate for memory in counted(history.loss, **options)]
    assert history.lr == [rate for rate in [0.1, *after[:-1]] for _ in range(3)]
    assert plateau(0) == after[-1] < 0.1


@EVERY_WRAP
def test_a_resumed_training_restores_the_memory_of_its_plateau(wrap):
    plateau, own = (ReduceOnPlateau(0.8, 0.5, patience=2) for _ in range(2))
    old, new = (dl.optim.SGD([a_weight()], lr=wrap(p)) for p in (plateau, own))
    observing(plateau, 3.0, 3.0)
    state = old.state_dict()
    observing(plateau, 1.0)
    schedule = new.groups[0].lr
    new.load_state_dict(state)
    assert new.groups[0].lr is schedule
    assert own == observing(ReduceOnPlateau(0.8, 0.5, patience=2), 3.0, 3.0)
    assert own.memory is not plateau.memory
    observing(own, 3.0, 3.0)
    assert own(0) == 0.4
    assert new.lr == wrap(own)(0)
    new.load_state_dict(state)
    assert own.memory == PlateauMemory(0.8, 3.0, bad_count=1)


@EVERY_WRAP
def test_a_saved_rate_replaces_another_one_unless_that_observes_a_metric(wrap):
    saved = wrap(observing(ReduceOnPlateau(0.8, patience=2), 3.0))
    for own in (wrap(ReduceOnPlateau(0.8, patience=3)), WarmUp(saved, 3)):
        with pytest.raises(ValueError, match=r"^SGD: lr is .*, which observes a metric, but"):
            check_resumable("SGD", own, saved)
    for own in (0.1, Constant(0.8)):
        before = copy.deepcopy(own)
        check_resumable("SGD", own, saved)
        assert resumed(own, saved) is saved
        assert own == before
        optimizer = dl.optim.SGD([a_weight()], lr=own)
        optimizer.load_state_dict(dl.optim.SGD([a_weight()], lr=saved).state_dict())
        assert optimizer.groups[0].lr == saved
        assert optimizer.groups[0].lr is not saved


def test_a_saved_rate_is_resumed_after_an_interrupted_repr():
    own, saved = (WarmUp(ReduceOnPlateau(0.8), 2) for _ in range(2))
    for at in itertools.count(1):
        interrupt = interrupting.Interrupt(at, everywhere=True)
        interrupt.run(lambda: repr(own))
        check_resumable("SGD", own, saved)
        if not interrupt.place:
            break
    assert at > 15


def test_a_saved_rate_without_memory_is_resumed_as_it_is():
    assert resumed(0.1, 0.2) == 0.2
    own, saved = LinearDecay(0.1, 5), LinearDecay(0.1, 6)
    assert resumed(own, saved) is saved
    assert resumed(own, LinearDecay(0.1, 5)) == own


# --- invalid arguments --------------------------------------------------------------------------

NUMBER, POSITIVE = "a finite number ≥ 0", "a finite number > 0"
SHARE, BELOW_ONE = "a finite number ≥ 0 and ≤ 1", "a finite number ≥ 0 and < 1"
FROM_ZERO, COUNT, FROM_TWO = (f"a whole number ≥ {low}" for low in range(3))
FLAG, MODE = "True or False", "one of 'min', 'max'"
SHAPE = "one of 'linear', 'cosine', 'one_minus_sqrt'"
SCHEDULE = "a schedule or a number ≥ 0"

# Good arguments of everything that makes a schedule, and the allowed ranges.
RAMP = {"end": (0.0, NUMBER), "shape": ("linear", SHAPE)}
GOOD = {
    "Constant": {"lr": (0.1, NUMBER)},
    "StepDecay": {"lr": (0.1, NUMBER), "every": (10, COUNT), "factor": (0.5, NUMBER)},
    "ExponentialDecay": {
        "lr": (0.1, NUMBER),
        "rate": (0.5, NUMBER),
        "steps": (10, COUNT),
        "staircase": (False, FLAG),
    },
    "LinearDecay": {"lr": (0.1, NUMBER), "steps": (10, COUNT), "end": (0.0, NUMBER)},
    "CosineRestarts": {
        "lr": (0.1, NUMBER),
        "steps": (10, COUNT),
        "multiply": (2, COUNT),
        "decay": (0.5, NUMBER),
        "end": (0.0, NUMBER),
    },
    "InverseSqrtDecay": {"lr": (0.1, NUMBER), "steps": (10, COUNT)},
    "PiecewiseConstant": {
        **{f"boundaries[{i}]": (5 * i, FROM_ZERO) for i in range(3)},
        **{f"values[{i}]": (0.1, NUMBER) for i in range(4)},
    },
    "Triangular": {
        "low": (0.0, NUMBER),
        "high": (0.2, NUMBER),
        "half_period": (10, COUNT),
        "decay": (0.5, NUMBER),
    },
    "OneCycle": {
        "peak": (0.1, NUMBER),
        "steps": (10, FROM_TWO),
        "start_fraction": (0.5, SHARE),
        "initial_factor": (25.0, POSITIVE),
        "final_factor": (100.0, POSITIVE),
    },
    "WarmUp": {
        "schedule": (0.1, SCHEDULE),
        "steps": (10, COUNT),
        "start": (0.0, NUMBER),
        "shape": ("linear", SHAPE),
    },
    "CoolDown": {"schedule": (0.1, SCHEDULE), "at": (5, FROM_ZERO), "steps": (10, COUNT), **RAMP},
    "Hold": {"schedule": (0.1, SCHEDULE), "at": (5, FROM_ZERO)},
    "Sequence": {
        "parts[0][0]": (0.1, SCHEDULE),
        "parts[0][1]": (5, COUNT),
        "parts[1][0]": (0.2, SCHEDULE),
        "parts[1][1]": (5, COUNT),
        "parts[2]": (0.3, SCHEDULE),
    },
    "warmup_stable_decay": {
        "peak": (0.1, NUMBER),
        "warmup": (5, COUNT),
        "stable": (5, FROM_ZERO),
        "cooldown": (5, COUNT),
        **RAMP,
    },
    "ReduceOnPlateau": {
        "lr": (0.1, NUMBER),
        "factor": (0.5, BELOW_ONE),
        "patience": (3, FROM_ZERO),
        "cooldown": (3, FROM_ZERO),
        "threshold": (0.1, NUMBER),
        "min_lr": (0.0, NUMBER),
        "mode": ("min", MODE),
    },
}
GOOD["InverseTimeDecay"] = GOOD["ExponentialDecay"]
GOOD["CosineDecay"] = GOOD["LinearDecay"]
GOOD["PolynomialDecay"] = {**GOOD["LinearDecay"], "power": (2.0, POSITIVE)}

OUTSIDE = [math.nan, math.inf, -math.inf, -0.1, -1, -5e-324, 10**400]
NO_NUMBERS = [True, "0.1", None, [0.1], np.array(0.1), np.True_, 1j]
NO_COUNTS = [True, "10", None, 2.5, 10.0, -0.0, math.nan, math.inf, [10]]
# For each allowed range: the values beyond it, and those of another type.
REFUSED = {
    NUMBER: (OUTSIDE, NO_NUMBERS),
    POSITIVE: ([*OUTSIDE, 0, 0.0, -0.0], NO_NUMBERS),
    SHARE: ([*OUTSIDE, 2, math.nextafter(1, 2)], NO_NUMBERS),
    BELOW_ONE: ([*OUTSIDE, 1, 1.0, 1.5], NO_NUMBERS),
    FROM_ZERO: ([-1, -(10**30)], NO_COUNTS),
    COUNT: ([0, -1, -(10**30)], NO_COUNTS),
    FROM_TWO: ([1, 0, -1], NO_COUNTS),
    FLAG: ([], [0, 1, None, "True", 0.0, []]),
    MODE: (["Min", "", "minimum", "min max", None, True, 0], []),
    SHAPE: (["Linear", "", "exponential", None, True, 1, math.nan], []),
    SCHEDULE: (OUTSIDE, ["0.1", None, True, {0.1}, {1: Constant(0.1)}, 1j, Constant, math.sqrt]),
}
BAD = [
    (owner, name, value, allowed, error)
    for owner, good in GOOD.items()
    for name, (_, allowed) in good.items()
    for values, error in zip(REFUSED[allowed], (ValueError, TypeError), strict=True)
    for value in values
]


def made(owner, arguments):
    """A schedule from its arguments by name; list[i] and list[i][j] are the items of lists."""
    plain = {}
    for name, value in arguments.items():
        place, *indices = re.findall(r"\w+", name)
        items = plain.setdefault(place, [] if indices else value)
        if len(indices) == 2:
            items += [[]] * (int(indices[1]) == 0)
            items[-1] = [*items[-1], value]
        elif indices:
            items.append(value)
    return getattr(dl.schedulers, owner)(**plain)


def good(owner, **others):
    return {name: value for name, (value, _) in GOOD[owner].items()} | others


@pytest.mark.parametrize(
    ("owner", "name", "value", "allowed", "error"),
    BAD,
    ids=[f"{owner}-{name}-{value!r:.20}" for owner, name, value, *_ in BAD],
)
def test_an_invalid_argument_is_named_with_its_value_and_range(owner, name, value, allowed, error):
    allowed = NUMBER if allowed is SCHEDULE and error is ValueError else allowed
    message = f"{owner}: {name} must be {allowed}, got {value!r}"
    hint = r"( \(\w+\)|\. Did you mean '\w+'\?)?"
    with pytest.raises(error, match=rf"^{re.escape(message)}{hint}$"):
        made(owner, good(owner, **{name: value}))


@pytest.mark.parametrize("owner", GOOD)
def test_the_valid_arguments_are_accepted_and_complete(owner):
    assert math.isfinite(made(owner, good(owner))(0))
    names = [re.match(r"\w+", name)[0] for name in GOOD[owner]]
    assert list(dict.fromkeys(names)) == [
        *inspect.signature(getattr(dl.schedulers, owner)).parameters
    ]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (owner, name)
        for owner, arguments in GOOD.items()
        for name, (_, allowed) in arguments.items()
        if allowed in (NUMBER, SHARE, BELOW_ONE, SCHEDULE)
    ],
)
def test_minus_zero_is_zero(owner, name):
    zero, minus_zero = (made(owner, good(owner, **{name: value})) for value in (0.0, -0.0))
    assert repr(minus_zero) == repr(zero)


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        ("OneCycle", "start_fraction", 0.0),
        ("OneCycle", "start_fraction", 1.0),
        ("OneCycle", "steps", 2),
        ("OneCycle", "initial_factor", 5e-324),
        ("PolynomialDecay", "power", 5e-324),
        ("CosineRestarts", "multiply", 1),
        ("Triangular", "high", 0.0),
        ("ReduceOnPlateau", "min_lr", 0.1),
        ("ReduceOnPlateau", "factor", math.nextafter(1, 0)),
        ("ReduceOnPlateau", "patience", 0),
        ("ReduceOnPlateau", "cooldown", 0),
        ("CoolDown", "at", 0),
        ("Hold", "at", 0),
        ("warmup_stable_decay", "stable", 0),
        ("Sequence", "parts[0][1]", 1),
    ],
)
def test_the_ends_of_the_ranges_are_allowed(owner, name, value):
    assert repr(made(owner, good(owner, **{name: value})))


REFUSALS = [
    (lambda: PiecewiseConstant([5, 5], [1, 2, 3]), "boundaries must rise, got (5, 5)"),
    (lambda: PiecewiseConstant([1, 9, 5], [1, 2, 3, 4]), "boundaries must rise, got (1, 9, 5)"),
    (
        lambda: PiecewiseConstant([5, 9], [1, 2]),
        "values must be one more than the 2 boundaries, got 2",
    ),
    (
        lambda: PiecewiseConstant([5], (1, 2, 3)),
        "values must be one more than the 1 boundaries, got 3",
    ),
    (lambda: PiecewiseConstant([], []), "values must be one more than the 0 boundaries, got 0"),
    (lambda: Triangular(0.2, 0.1, 5), "low=0.2 must be ≤ high=0.1"),
    (lambda: ReduceOnPlateau(0.1, min_lr=0.2), "min_lr=0.2 must be ≤ lr=0.1"),
]


@pytest.mark.parametrize(("make", "message"), REFUSALS)
def test_arguments_that_do_not_go_together_are_refused(make, message):
    with pytest.raises(ValueError, match=rf"^\w+: {re.escape(message)}$"):
        make()


NO_LISTS = [None, 5, 0.1, "ab", True, {1, 2}, {1: 2}, np.array([1, 2]), range(3), Constant(0.1)]


@pytest.mark.parametrize("value", NO_LISTS, ids=repr)
@pytest.mark.parametrize("name", ["boundaries", "values"])
def test_pieces_are_refused_unless_in_a_list(name, value):
    message = f"PiecewiseConstant: {name} must be a list, got {value!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        PiecewiseConstant(**{"boundaries": [], "values": [0.1], name: value})


@pytest.mark.parametrize("value", [*NO_LISTS, [], ()], ids=repr)
def test_parts_are_refused_unless_in_a_list_with_a_last_one(value):
    message = f"Sequence: parts must be a list [(schedule, steps), …, last], got {value!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Sequence(value)


@pytest.mark.parametrize("part", [0.1, Constant(0.1), None, (), (0.1,), (0.1, 2, 3), "ab", {1, 2}])
def test_a_part_of_a_sequence_that_is_not_a_pair_is_refused(part):
    message = f"Sequence: parts[1] must be a pair (schedule, steps), got {part!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Sequence([(0.1, 2), part, 0.1])


@pytest.mark.parametrize("last", [(0.1, 2), [Constant(0.1), 2], (), [0.1]], ids=repr)
def test_the_last_part_of_a_sequence_given_with_steps_is_refused(last):
    message = (
        "Sequence: parts[1], the last, has no end, so it takes no steps: give the schedule "
        f"alone, got {last!r}"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Sequence([(0.1, 2), last])


# --- extreme arguments ----------------------------------------------------------------------------

LARGEST = sys.float_info.max
TINY, LARGE = [5e-324, 1e-300, 0.1], [1.0, 2.0, 1e308, LARGEST]
COUNTS = [1, 2, 3, 7, 2**53 + 1, 2**53 + 2, 10**18, 10**308]
EXTREME = {
    NUMBER: st.sampled_from([0.0, -0.0, *TINY, *LARGE]),
    POSITIVE: st.sampled_from(TINY + LARGE),
    SHARE: st.sampled_from([0.0, *TINY, 0.5, 1 - 2**-53, 1.0]),
    BELOW_ONE: st.sampled_from([0.0, *TINY, 0.5, 1 - 2**-53]),
    FROM_ZERO: st.sampled_from([0, *COUNTS]),
    COUNT: st.sampled_from(COUNTS),
    FROM_TWO: st.sampled_from(COUNTS[1:]),
    FLAG: st.booleans(),
    MODE: st.sampled_from(["min", "max"]),
    SHAPE: st.sampled_from(SHAPES),
    SCHEDULE: st.sampled_from([0.0, *TINY, *LARGE]),
    "large": st.sampled_from(LARGE),
}
SHRINKING = {"factor": BELOW_ONE, "rate": SHARE, "decay": SHARE}
SHRINKING |= {"initial_factor": "large", "final_factor": "large"}


@st.composite
def extremes(draw, owner=None, depth=2, shrinking=False):
    """A schedule with extreme arguments; a shrinking one has no factor that makes it grow."""
    owner = owner or draw(st.sampled_from(sorted(GOOD)))
    arguments = {}
    for name, (_, allowed) in GOOD[owner].items():
        values = EXTREME[SHRINKING.get(name, allowed) if shrinking else allowed]
        if allowed is SCHEDULE and depth:
            values |= extremes(None, depth - 1, shrinking)
        arguments[name] = draw(values)
    if owner == "PiecewiseConstant":
        numbers = sorted(value for name, value in arguments.items() if name[0] == "b")
        arguments |= {f"boundaries[{i}]": number for i, number in enumerate(numbers)}
    try:
        return made(owner, arguments)
    except ValueError as error:
        if not str(error).startswith((f"{owner}: ", "CoolDown: ")):
            raise
        assume(False)


def telling_steps(schedule):
    """Steps around where the phases of a schedule begin, and far ones."""
    around = (start + shift for start, _ in schedule.phases() for shift in (-1, 0, 1))
    return sorted({*COUNTS, *filter(lambda t: t >= 0, around)})


@pytest.mark.parametrize(
    ("schedule", "t", "rate"),
    [
        (StepDecay(LARGEST, 10**308, 0.5), 10**308, LARGEST / 2),
        (ExponentialDecay(1.0, 0.25, 2 * 10**308), 10**308, 0.5),
        (InverseTimeDecay(1.0, LARGEST), 10**308, 0.0),
        (LinearDecay(LARGEST, 4 * 10**307, end=1.0), 10**307, LARGEST * 0.75),
        (PolynomialDecay(1.0, 10**308, power=LARGEST), 1, 1.0),
        (CosineRestarts(LARGEST, 1), 7, LARGEST),
        (CosineRestarts(0.0, 1, decay=0.5, end=LARGEST), 7, 0.0),
        (CosineRestarts(1.0, 10**308), 9 * 10**307, math.sin(math.pi / 20) ** 2),
        (CosineRestarts(1.0, 1, 10**308), 9 * 10**307, math.sin(math.pi / 20) ** 2),
        (InverseSqrtDecay(1.0, 1), 10**308, 1e-154),
        (Triangular(0.0, LARGEST, 10**308), 5 * 10**307, LARGEST / 2),
        (OneCycle(1.0, 2**53 + 2, 1.0), 2**53 + 1, 1.0),
        (OneCycle(1.0, 2 * 10**307, 0.5, 2.0, 0.5), 10**308, 1.0),
        (WarmUp(LARGEST, 2 * 10**307), 10**307, LARGEST / 2),
        (CoolDown(LARGEST, 10**307, 2 * 10**307), 2 * 10**307, LARGEST / 2),
        (Sequence([(0.1, 10**308), (0.2, 1), 0.3]), 10**308, 0.2),
    ],
    ids=lambda case: f"{case!r:.60}",
)
def test_huge_arguments_give_the_rate_of_the_formula(schedule, t, rate):
    assert schedule(t) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize("owner", GOOD)
@settings(max_examples=100)
@given(data=st.data())
def test_a_rate_is_finite_and_not_negative_or_refused_with_the_reason(owner, data):
    schedule = data.draw(extremes(owner))
    for t in [*telling_steps(schedule), 10**400]:
        try:
            rate = schedule(t)
        except ValueError as error:
            if not re.search(rf"\) is (inf|-inf|nan) at t = {t}; a rate must be", str(error)):
                raise
        else:
            assert type(rate) is float
            assert 0 <= rate < math.inf


@pytest.mark.parametrize("owner", GOOD)
@settings(max_examples=100)
@given(data=st.data())
def test_a_schedule_without_growth_is_never_refused(owner, data):
    schedule = data.draw(extremes(owner, shrinking=True))
    assert all(0 <= schedule(t) < math.inf for t in telling_steps(schedule))


# --- as the rate of an optimizer ------------------------------------------------------------------


def assert_takes_the_rates(rule, schedule, steps):
    make = getattr(dl.optim, rule)
    scheduled, by_hand = (dl.Tensor([1.0, -2.0, 0.5], True, dtype="float64") for _ in range(2))
    optimizer, manual = make([scheduled], lr=schedule), make([by_hand], lr=schedule(0))
    seen = []
    for t in range(steps):
        manual.lr = schedule(t)
        seen.append(optimizer.lr)
        for w, o in ((scheduled, optimizer), (by_hand, manual)):
            w.grad = w.data - 0.1 * t
            o.step()
        assert scheduled.data.tobytes() == by_hand.data.tobytes()
    assert seen == [schedule(t) for t in range(steps)]


@EVERY_SCHEDULE
def test_an_optimizer_takes_the_rates_of_every_schedule(schedule):
    assert_takes_the_rates("Adam", schedule, 25)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "schedule",
    [
        warmup_stable_decay(0.4, 4, 6, 5),
        Sequence([(OneCycle(0.3, 6), 8), CosineRestarts(0.2, 3)]),
        WarmUp(ReduceOnPlateau(0.1), 3, start=0.2),
    ],
    ids=repr,
)
def test_every_rule_takes_the_rates_of_a_schedule(rule, schedule):
    assert_takes_the_rates(rule, schedule, 25)
