"""Learning-rate schedules: the rate as a pure function of the step.

A schedule is called with t = 0, 1, 2, … (the first update uses t = 0), in any order, one at a
time or as an array. It has no memory, so a training that resumes needs nothing but t.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import _checks

# How far a ramp has come when the share u of its steps is done, 0 ≤ u ≤ 1.
SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda u: u,
    "cosine": lambda u: (1 - math.cos(math.pi * u)) / 2,
    "one_minus_sqrt": math.sqrt,  # falling from 1: 1 − √u (Hägele et al. 2024)
}


class Schedule:
    """What all schedules share: being called with a step, or with an array of steps."""

    def __call__(self, t: Any) -> Any:
        """The rate at step t ≥ 0, a float; for an array of steps an array of rates."""
        if isinstance(t, np.ndarray):
            return np.array([self(step) for step in t.ravel().tolist()], float).reshape(t.shape)
        try:
            return self.formula(_checks.count(type(self).__name__, "t", t, low=0))
        except OverflowError:
            raise ValueError(f"{self!r} is beyond the floats at t = {t}") from None

    def formula(self, t: int) -> float:
        """The rate at one step t ≥ 0; what a subclass defines."""
        raise TypeError(f"{type(self).__name__} has no formula: define formula(self, t)")

    def plot(self, steps: int) -> Any:
        """Draw the rate over the first steps; returns the Matplotlib axes."""
        from minidl.viz import plot_schedule

        return plot_schedule(self, steps)

    def _check(self, **checks: Any) -> None:
        """Validate fields by name: field=(check, options…); ValueError or TypeError names it."""
        for name, (check, *options) in checks.items():
            value = check(type(self).__name__, name, getattr(self, name), *options)
            object.__setattr__(self, name, value)


def as_schedule(owner: str, name: str, value: Any) -> Schedule:
    """A schedule as it is, a number as a constant rate."""
    return value if isinstance(value, Schedule) else Constant(_checks.number(owner, name, value))


NUMBER, COUNT, FLAG = (_checks.number,), (_checks.count,), (_checks.flag,)
SHAPE, SCHEDULE = (_checks.choice, SHAPES), (as_schedule,)


@dataclass(frozen=True)
class Constant(Schedule):
    """lr(t) = lr.

    >>> dl.schedulers.Constant(0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        self._check(lr=NUMBER)

    def formula(self, t: int) -> float:
        return self.lr


@dataclass(frozen=True)
class StepDecay(Schedule):
    """lr(t) = lr · factor^⌊t / every⌋.

    >>> dl.schedulers.StepDecay(0.8, every=10, factor=0.5)(np.array([0, 9, 10, 20]))
    array([0.8, 0.8, 0.4, 0.2])
    """

    lr: float
    every: int
    factor: float

    def __post_init__(self) -> None:
        self._check(lr=NUMBER, every=COUNT, factor=NUMBER)

    def formula(self, t: int) -> float:
        return self.lr * self.factor ** (t // self.every)


@dataclass(frozen=True)
class _DecayByRate(Schedule):
    """A decay by a rate each `steps` steps: smoothly, or all at once with staircase."""

    lr: float
    rate: float
    steps: int = 1
    staircase: bool = False

    def __post_init__(self) -> None:
        self._check(lr=NUMBER, rate=NUMBER, steps=COUNT, staircase=FLAG)

    def _periods(self, t: int) -> float:
        return t // self.steps if self.staircase else t / self.steps


class ExponentialDecay(_DecayByRate):
    """lr(t) = lr · rate^(t / steps); with staircase the exponent is rounded down.

    >>> dl.schedulers.ExponentialDecay(0.8, rate=0.5, steps=10)(20)
    0.2
    """

    def formula(self, t: int) -> float:
        return self.lr * self.rate ** self._periods(t)


class InverseTimeDecay(_DecayByRate):
    """lr(t) = lr / (1 + rate · t / steps); with staircase t / steps is rounded down.

    >>> dl.schedulers.InverseTimeDecay(0.8, rate=1.0, steps=10)(30)
    0.2
    """

    def formula(self, t: int) -> float:
        return self.lr / (1 + self.rate * self._periods(t))


@dataclass(frozen=True)
class LinearDecay(Schedule):
    """lr(t) = end + (lr − end)(1 − min(t, steps) / steps).

    >>> dl.schedulers.LinearDecay(0.8, steps=100)(75)
    0.2
    """

    lr: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        self._check(lr=NUMBER, steps=COUNT, end=NUMBER)

    def formula(self, t: int) -> float:
        return self.end + (self.lr - self.end) * (1 - min(t, self.steps) / self.steps)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """lr(t) = end + (lr − end)(1 + cos(π min(t, steps) / steps)) / 2, then end for ever.

    Loshchilov & Hutter 2017, one period.

    >>> dl.schedulers.CosineDecay(0.8, steps=100)(np.array([0, 50, 100, 1000]))
    array([0.8, 0.4, 0. , 0. ])
    """

    lr: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        self._check(lr=NUMBER, steps=COUNT, end=NUMBER)

    def formula(self, t: int) -> float:
        wave = (1 + math.cos(math.pi * min(t, self.steps) / self.steps)) / 2
        return self.end + (self.lr - self.end) * wave


@dataclass(frozen=True)
class WarmUp(Schedule):
    """Raise the rate from `start` to schedule(0) over `steps` steps, then run the schedule.

        lr(t) = start + (schedule(0) − start) shape(t / steps)    for t < steps
        lr(t) = schedule(t − steps)                               from then on

    schedule  a schedule, or a number for a constant rate
    shape     "linear": u; "cosine": (1 − cos πu) / 2; "one_minus_sqrt": √u

    >>> dl.schedulers.WarmUp(0.4, steps=4)(np.arange(6))
    array([0. , 0.1, 0.2, 0.3, 0.4, 0.4])
    """

    schedule: Any
    steps: int
    start: float = 0.0
    shape: str = "linear"

    def __post_init__(self) -> None:
        self._check(schedule=SCHEDULE, steps=COUNT, start=NUMBER, shape=SHAPE)

    def formula(self, t: int) -> float:
        if t >= self.steps:
            return self.schedule.formula(t - self.steps)
        top = self.schedule.formula(0)
        return self.start + (top - self.start) * SHAPES[self.shape](t / self.steps)


@dataclass(frozen=True)
class CoolDown(Schedule):
    """Run the schedule until step `at`, then lower the rate to `end` over `steps` steps.

        lr(t) = schedule(t)                                                     for t < at
        lr(t) = schedule(at) + (end − schedule(at)) shape((t − at) / steps)     for t < at + steps
        lr(t) = end                                                             from then on

    schedule  a schedule, or a number for a constant rate
    shape     "linear": u; "cosine": (1 − cos πu) / 2; "one_minus_sqrt": √u

    ValueError if it would begin before a warm-up inside has ended.

    >>> dl.schedulers.CoolDown(0.4, at=2, steps=4)(np.arange(8))
    array([0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0. , 0. ])
    """

    schedule: Any
    at: int
    steps: int
    end: float = 0.0
    shape: str = "linear"

    def __post_init__(self) -> None:
        self._check(schedule=SCHEDULE, at=(_checks.count, 0), steps=COUNT, end=NUMBER, shape=SHAPE)
        warm = _warm_up_end(self.schedule)
        if self.at < warm:
            raise ValueError(
                f"CoolDown: at={self.at} lies inside the warm-up, which takes {warm} steps; begin "
                "at or after its end"
            )

    def formula(self, t: int) -> float:
        if t < self.at:
            return self.schedule.formula(t)
        if t >= self.at + self.steps:
            return self.end
        top = self.schedule.formula(self.at)
        return top + (self.end - top) * SHAPES[self.shape]((t - self.at) / self.steps)


def _warm_up_end(schedule: Any) -> int:
    """The step at which the warm-ups that a schedule begins with are over."""
    if isinstance(schedule, WarmUp):
        return schedule.steps + _warm_up_end(schedule.schedule)
    return _warm_up_end(schedule.schedule) if isinstance(schedule, CoolDown) else 0


def warmup_stable_decay(
    peak: float,
    warmup: int,
    stable: int,
    cooldown: int,
    end: float = 0.0,
    shape: str = "linear",
) -> CoolDown:
    """Warm up from 0 to `peak`, hold it, cool down to `end`: each phase given by its steps.

    The same as CoolDown(WarmUp(peak, warmup), warmup + stable, cooldown, end, shape); the shape is
    the cool-down's, the warm-up is linear.

    >>> dl.schedulers.warmup_stable_decay(0.4, warmup=2, stable=2, cooldown=2)(np.arange(7))
    array([0. , 0.2, 0.4, 0.4, 0.4, 0.2, 0. ])
    """
    name = "warmup_stable_decay"
    _checks.number(name, "peak", peak)
    _checks.count(name, "warmup", warmup)
    _checks.count(name, "stable", stable, 0)
    _checks.count(name, "cooldown", cooldown)
    return CoolDown(WarmUp(peak, warmup), warmup + stable, cooldown, end, shape)
