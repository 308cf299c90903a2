"""Learning-rate schedules: the rate as a pure function of the step.

A schedule is called with t = 0, 1, 2, … (the first update uses t = 0), in any order, one at a
time or as an array. It has no memory, so a training that resumes needs nothing but t; only
ReduceOnPlateau, which answers to a metric, remembers.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import numbers
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

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
        step = _checks.count(type(self).__name__, "t", t, low=0)
        try:
            rate = self.formula(step)
        except OverflowError:
            rate = math.inf
        if isinstance(rate, float) and not math.isfinite(rate):
            raise ValueError(f"{self!r} is {rate} at t = {t}; a rate must be finite")
        return rate

    def formula(self, t: int) -> float:
        """The rate at one step t ≥ 0; what a subclass defines."""
        raise TypeError(f"{type(self).__name__} has no formula: define formula(self, t)")

    def phases(self) -> list[tuple[int, str]]:
        """The parts the schedule runs through: the step at which each begins, and its name."""
        return [(0, re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower())]

    def plot(self, steps: int) -> Any:
        """Draw the rate over the first steps, phase by phase; returns the Matplotlib axes."""
        from minidl.viz.plots import plot_schedule

        return plot_schedule(self, steps)

    def _check(self, **checks: Any) -> None:
        """Validate fields by name: field=(check, options…); ValueError or TypeError names it."""
        for name, (check, *options) in checks.items():
            value = check(type(self).__name__, name, getattr(self, name), *options)
            object.__setattr__(self, name, value)


def as_schedule(owner: str, name: str, value: Any) -> Schedule:
    """A schedule as it is, a number as a constant rate."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{owner}: {name} must be a schedule or a number ≥ 0, got {value!r}")
    return Constant(_checks.number(owner, name, value))


NUMBER, COUNT, FLAG = (_checks.number,), (_checks.count,), (_checks.flag,)
FROM_ZERO, UP_TO_ONE = (_checks.count, 0), (_checks.number, 0.0, 1.0)
POSITIVE = (functools.partial(_checks.number, above=True),)
BELOW_ONE = (functools.partial(_checks.number, high=1, below=True),)
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


@dataclass(frozen=True)
class ExponentialDecay(_DecayByRate):
    """lr(t) = lr · rate^(t / steps); with staircase the exponent is rounded down.

    >>> dl.schedulers.ExponentialDecay(0.8, rate=0.5, steps=10)(20)
    0.2
    """

    def formula(self, t: int) -> float:
        return self.lr * self.rate ** self._periods(t)


@dataclass(frozen=True)
class InverseTimeDecay(_DecayByRate):
    """lr(t) = lr / (1 + rate · t / steps); with staircase t / steps is rounded down.

    >>> dl.schedulers.InverseTimeDecay(0.8, rate=1.0, steps=10)(30)
    0.2
    """

    def formula(self, t: int) -> float:
        return self.lr / (1 + self.rate * self._periods(t))


@dataclass(frozen=True)
class _DecayTo(Schedule):
    """A decay to `end` within `steps` steps: lr(t) = end + (lr − end) · what is left of it."""

    lr: float
    steps: int
    end: float = 0.0
    # _left(u): what is left of the decay when the share u of its steps is done, from 1 to 0
    _left: ClassVar[Callable[..., float]]

    def __post_init__(self) -> None:
        self._check(lr=NUMBER, steps=COUNT, end=NUMBER)

    def formula(self, t: int) -> float:
        return self.end + (self.lr - self.end) * self._left(min(t, self.steps) / self.steps)

    def phases(self) -> list[tuple[int, str]]:
        return [*super().phases(), (self.steps, "end")]


@dataclass(frozen=True)
class LinearDecay(_DecayTo):
    """lr(t) = end + (lr − end)(1 − min(t, steps) / steps).

    >>> dl.schedulers.LinearDecay(0.8, steps=100)(75)
    0.2
    """

    def _left(self, u: float) -> float:
        return 1 - u


@dataclass(frozen=True)
class PolynomialDecay(_DecayTo):
    """lr(t) = end + (lr − end)(1 − min(t, steps) / steps)^power, power > 0.

    >>> dl.schedulers.PolynomialDecay(0.8, steps=100, power=2)(50)
    0.2
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(power=POSITIVE)

    def _left(self, u: float) -> float:
        return (1 - u) ** self.power


@dataclass(frozen=True)
class CosineDecay(_DecayTo):
    """lr(t) = end + (lr − end)(1 + cos(π min(t, steps) / steps)) / 2, then end for ever.

    Loshchilov & Hutter 2017, one period.

    >>> dl.schedulers.CosineDecay(0.8, steps=100)(np.array([0, 50, 100, 1000]))
    array([0.8, 0.4, 0. , 0. ])
    """

    def _left(self, u: float) -> float:
        return (1 + math.cos(math.pi * u)) / 2


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Cosine decays one after the other (SGDR; Loshchilov & Hutter 2017).

        lr(t) = end + (lr · decayᵏ − end)(1 + cos(π u / steps_k)) / 2

    in period k = 0, 1, …, which is steps_k = steps · multiplyᵏ steps long, u steps after its start.

    >>> dl.schedulers.CosineRestarts(0.8, steps=2, multiply=2)(np.arange(7))
    array([0.8   , 0.4   , 0.8   , 0.6828, 0.4   , 0.1171, 0.8   ])
    """

    lr: float
    steps: int
    multiply: int = 1
    decay: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        self._check(lr=NUMBER, steps=COUNT, multiply=COUNT, decay=NUMBER, end=NUMBER)

    def formula(self, t: int) -> float:
        period, length = 0, self.steps
        if self.multiply == 1:
            period, t = divmod(t, length)
        while t >= length:
            period, t, length = period + 1, t - length, length * self.multiply
        top = self.lr * self.decay**period
        return self.end + (top - self.end) * ((1 + math.cos(math.pi * (t / length))) / 2)


@dataclass(frozen=True)
class InverseSqrtDecay(Schedule):
    """lr(t) = lr · √(steps / max(t, steps)): flat for `steps` steps, then falling as 1 / √t.

    Vaswani et al. 2017, without the warm-up, for which there is WarmUp.

    >>> dl.schedulers.InverseSqrtDecay(0.8, steps=100)(np.array([0, 100, 400]))
    array([0.8, 0.8, 0.4])
    """

    lr: float
    steps: int

    def __post_init__(self) -> None:
        self._check(lr=NUMBER, steps=COUNT)

    def formula(self, t: int) -> float:
        return self.lr * math.sqrt(self.steps / max(t, self.steps))

    def phases(self) -> list[tuple[int, str]]:
        return [(0, "constant"), (self.steps, "inverse sqrt decay")]


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """lr(t) = values[k], where k is the number of boundaries < t.

    A boundary belongs to the piece on its left, as in Keras. One value more than boundaries.

    >>> dl.schedulers.PiecewiseConstant([10, 20], [0.1, 0.01, 0.001])(np.array([0, 10, 11, 21]))
    array([0.1  , 0.1  , 0.01 , 0.001])
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        name = type(self).__name__
        self._check(boundaries=(_all, _checks.count, 0), values=(_all, _checks.number))
        if any(a >= b for a, b in itertools.pairwise(self.boundaries)):
            raise ValueError(f"{name}: boundaries must rise, got {self.boundaries}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{name}: values must be one more than the {len(self.boundaries)} boundaries, got "
                f"{len(self.values)}"
            )

    def formula(self, t: int) -> float:
        return self.values[bisect.bisect_left(self.boundaries, t)]

    def phases(self) -> list[tuple[int, str]]:
        starts = (0, *(boundary + 1 for boundary in self.boundaries))
        return [(start, f"{value:g}") for start, value in zip(starts, self.values, strict=True)]


def _all(owner: str, name: str, value: Any, check: Any, *options: Any) -> tuple[Any, ...]:
    """A list or tuple, each of whose items passes a check, as a tuple."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"{owner}: {name} must be a list, got {value!r}")
    return tuple(check(owner, f"{name}[{i}]", x, *options) for i, x in enumerate(value))


@dataclass(frozen=True)
class Triangular(Schedule):
    """Up from `low` to `high` and down again, half_period steps each, over and over (Smith 2017).

        lr(t) = low + (high − low) decayᵏ min(u, 2h − u) / h

    in period k = 0, 1, …, u steps after its start, with h = half_period.

    >>> dl.schedulers.Triangular(0.2, 1.0, half_period=2, decay=0.5)(np.arange(8))
    array([0.2, 0.6, 1. , 0.6, 0.2, 0.4, 0.6, 0.4])
    """

    low: float
    high: float
    half_period: int
    decay: float = 1.0

    def __post_init__(self) -> None:
        self._check(low=NUMBER, high=NUMBER, half_period=COUNT, decay=NUMBER)
        if self.low > self.high:
            raise ValueError(f"Triangular: low={self.low} must be ≤ high={self.high}")

    def formula(self, t: int) -> float:
        period, u = divmod(t, 2 * self.half_period)
        height = min(u, 2 * self.half_period - u) / self.half_period
        return self.low + (self.high - self.low) * height * self.decay**period


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to `peak` and down to almost 0, in cosine pieces (Smith & Topin 2018; as in PyTorch).

        from peak / initial_factor at t = 0 up to peak at t = start_fraction · steps − 1,
        down to peak / (initial_factor · final_factor) at t = steps − 1, and that from then on

    steps           ≥ 2
    start_fraction  the share of the steps that go up, in [0, 1]; below 1 / steps only the end
                    of the way up, or nothing, is left of it
    both factors    > 0

    >>> cycle = dl.schedulers.OneCycle(1.0, steps=10, start_fraction=0.5, final_factor=2)
    >>> cycle(np.array([0, 2, 4, 9]))
    array([0.04, 0.52, 1.  , 0.02])
    """

    peak: float
    steps: int
    start_fraction: float = 0.3
    initial_factor: float = 25.0
    final_factor: float = 1e4

    def __post_init__(self) -> None:
        self._check(peak=NUMBER, steps=(_checks.count, 2), start_fraction=UP_TO_ONE)
        self._check(initial_factor=POSITIVE, final_factor=POSITIVE)

    def formula(self, t: int) -> float:
        top, last, t = self.start_fraction * self.steps - 1, self.steps - 1, min(t, self.steps - 1)
        first = self.peak / self.initial_factor
        if float(t) <= top:
            return first + (self.peak - first) * SHAPES["cosine"](t / top if top > 0 else 1)
        fall = SHAPES["cosine"]((t - top) / (last - top))
        return self.peak + (first / self.final_factor - self.peak) * fall

    def phases(self) -> list[tuple[int, str]]:
        top = math.floor(self.start_fraction * self.steps)
        up, down = [(0, "up")] * (top > 0), [(top, "down")] * (top < self.steps)
        return [*up, *down, (self.steps, "end")]


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

    def phases(self) -> list[tuple[int, str]]:
        return [(0, "warm-up"), *_shifted(self.schedule.phases(), self.steps)]


@dataclass(frozen=True)
class CoolDown(Schedule):
    """Run the schedule until step `at`, then lower the rate to `end` over `steps` steps.

        lr(t) = schedule(t)                                                     for t < at
        lr(t) = schedule(at) + (end − schedule(at)) shape((t − at) / steps)     for t < at + steps
        lr(t) = end                                                             from then on

    schedule  a schedule, or a number for a constant rate
    shape     "linear": u; "cosine": (1 − cos πu) / 2; "one_minus_sqrt": √u

    ValueError if it would begin before a warm-up or another cool-down inside has ended.

    >>> dl.schedulers.CoolDown(0.4, at=2, steps=4)(np.arange(8))
    array([0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0. , 0. ])
    """

    schedule: Any
    at: int
    steps: int
    end: float = 0.0
    shape: str = "linear"

    def __post_init__(self) -> None:
        self._check(schedule=SCHEDULE, at=FROM_ZERO, steps=COUNT, end=NUMBER, shape=SHAPE)
        if cut := _cut_ramp(self.schedule, self.at):
            name, end = cut
            raise ValueError(
                f"CoolDown: at={self.at} lies before the end of the {name} inside, at step {end}; "
                "begin there or later"
            )

    def formula(self, t: int) -> float:
        if t < self.at:
            return self.schedule.formula(t)
        if t >= self.at + self.steps:
            return self.end
        top = self.schedule.formula(self.at)
        return top + (self.end - top) * SHAPES[self.shape]((t - self.at) / self.steps)

    def phases(self) -> list[tuple[int, str]]:
        ramp = [(self.at, "cool-down"), (self.at + self.steps, "end")]
        return _shifted(self.schedule.phases(), 0, self.at) + ramp


def _cut_ramp(schedule: Schedule, at: int) -> tuple[str, int] | None:
    """The last warm-up or cool-down of a schedule that is not over at a step, and its end."""
    for (_, name), (end, _) in reversed([*itertools.pairwise(schedule.phases())]):
        if name in ("warm-up", "cool-down") and end > at:
            return name, end
    return None


def _shifted(phases: list[tuple[int, str]], by: int, before: float = math.inf) -> Any:
    """The phases that begin before a step, later by some steps."""
    return [(start + by, name) for start, name in phases if start < before]


@dataclass(frozen=True)
class Hold(Schedule):
    """lr(t) = schedule(min(t, at)): run the schedule, then stay at the rate of step `at`.

    ValueError for a ReduceOnPlateau inside, which has no clock that could stand still.

    >>> dl.schedulers.Hold(dl.schedulers.LinearDecay(0.4, steps=4), at=2)(np.arange(5))
    array([0.4, 0.3, 0.2, 0.2, 0.2])
    """

    schedule: Any
    at: int

    def __post_init__(self) -> None:
        self._check(schedule=SCHEDULE, at=FROM_ZERO)
        if any(plateaus(self.schedule)):
            raise ValueError(
                f"Hold: the rate of {self.schedule!r} follows a metric rather than the step, so it "
                f"can't be held at step {self.at}; stop calling observe instead"
            )

    def formula(self, t: int) -> float:
        return self.schedule.formula(min(t, self.at))

    def phases(self) -> list[tuple[int, str]]:
        return [*_shifted(self.schedule.phases(), 0, self.at), (self.at, "hold")]


@dataclass(frozen=True)
class Sequence(Schedule):
    """One schedule after the other, each on its own clock from 0.

    parts  [(schedule, steps), …, last]: each runs for its steps, the last for ever; a number is a
           constant rate

    ValueError if a part ends before its warm-up or cool-down is over.

    >>> dl.schedulers.Sequence([(0.1, 2), dl.schedulers.LinearDecay(0.4, steps=4)])(np.arange(7))
    array([0.1, 0.1, 0.4, 0.3, 0.2, 0.1, 0. ])
    """

    parts: Any

    def __post_init__(self) -> None:
        if not isinstance(self.parts, list | tuple) or not self.parts:
            raise TypeError(
                f"Sequence: parts must be a list [(schedule, steps), …, last], got {self.parts!r}"
            )
        *timed, last = self.parts
        checked: list[Any] = [self._timed(f"parts[{i}]", p) for i, p in enumerate(timed)]
        if isinstance(last, list | tuple):
            raise TypeError(
                f"Sequence: parts[{len(timed)}], the last, runs for ever and has no steps: give "
                f"the schedule alone, got {last!r}"
            )
        checked.append(as_schedule("Sequence", f"parts[{len(timed)}]", last))
        object.__setattr__(self, "parts", tuple(checked))

    @staticmethod
    def _timed(name: str, part: Any) -> tuple[Schedule, int]:
        if not isinstance(part, list | tuple) or len(part) != 2:
            raise TypeError(f"Sequence: {name} must be a pair (schedule, steps), got {part!r}")
        schedule = as_schedule("Sequence", f"{name}[0]", part[0])
        steps = _checks.count("Sequence", f"{name}[1]", part[1])
        if cut := _cut_ramp(schedule, steps):
            ramp, end = cut
            raise ValueError(
                f"Sequence: {name} ends after {steps} steps, before the end of its {ramp} at step "
                f"{end}; give it at least {end}"
            )
        return schedule, steps

    def formula(self, t: int) -> float:
        *timed, last = self.parts
        for schedule, steps in timed:
            if t < steps:
                return schedule.formula(t)
            t -= steps
        return last.formula(t)

    def phases(self) -> list[tuple[int, str]]:
        *timed, last = self.parts
        begin, phases = 0, list[tuple[int, str]]()
        for schedule, steps in timed:
            phases += _shifted(schedule.phases(), begin, steps)
            begin += steps
        return phases + _shifted(last.phases(), begin)


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
    _checks.number(name, "end", end)
    _checks.choice(name, "shape", shape, SHAPES)
    return CoolDown(WarmUp(peak, warmup), warmup + stable, cooldown, end, shape)


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Lower the rate when a metric no longer gets better; counts as PyTorch's does.

    At each `observe(metric)`: a metric below best · (1 − threshold) is the new best; with "max"
    one above best · (1 + threshold). Any other, NaN too, counts as bad, but for the first
    `cooldown` ones after a reduction. When more than `patience` bad ones have come in a row,

        rate ← max(rate · factor, min_lr)

    unless that changes it by no more than 1e-8.

    factor     in [0, 1)            min_lr  in [0, lr]
    patience   a whole number ≥ 0   mode    "min" or "max"
    cooldown   a whole number ≥ 0   memory  the rate now, the best metric, the bad ones in a row,
    threshold  a number ≥ 0                 and those still to be forgiven

    The one schedule with a memory, which an optimizer's state_dict holds, and load_state_dict
    gives back to it. At every t it is the present rate.

    >>> plateau = dl.schedulers.ReduceOnPlateau(0.8, factor=0.5, patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.0]:
    ...     plateau.observe(loss)
    >>> plateau(100)
    0.4
    """

    lr: float
    factor: float = 0.1
    patience: int = 10
    cooldown: int = 0
    threshold: float = 1e-4
    min_lr: float = 0.0
    mode: str = "min"
    memory: dict[str, Any] = field(init=False, repr=False, hash=False)

    def __post_init__(self) -> None:
        self._check(lr=NUMBER, factor=BELOW_ONE, patience=FROM_ZERO, cooldown=FROM_ZERO)
        self._check(threshold=NUMBER, min_lr=NUMBER, mode=(_checks.choice, ("min", "max")))
        if self.min_lr > self.lr:
            raise ValueError(f"ReduceOnPlateau: min_lr={self.min_lr} must be ≤ lr={self.lr}")
        best = math.inf if self.mode == "min" else -math.inf
        memory = {"rate": self.lr, "best": best, "bad": 0, "forgiven": 0}
        object.__setattr__(self, "memory", memory)

    def observe(self, metric: Any) -> None:
        """Take in the next value of the metric; TypeError for what is no number."""
        if isinstance(metric, bool) or not isinstance(metric, numbers.Real):
            raise TypeError(
                f"ReduceOnPlateau: observe needs a number, such as loss.item(), got {metric!r}"
            )
        try:
            metric, m = float(metric), self.memory
        except OverflowError:
            raise ValueError("ReduceOnPlateau: the metric is beyond the floats") from None
        if self.mode == "min":
            better = metric < m["best"] * (1 - self.threshold)
        else:
            better = metric > m["best"] * (1 + self.threshold)
        m["best"] = metric if better else m["best"]
        m["bad"] = 0 if better or m["forgiven"] else m["bad"] + 1
        m["forgiven"] = max(m["forgiven"] - 1, 0)
        if m["bad"] > self.patience:
            lower = max(m["rate"] * self.factor, self.min_lr)
            m["rate"] = lower if m["rate"] - lower > 1e-8 else m["rate"]
            m["bad"], m["forgiven"] = 0, self.cooldown

    def formula(self, t: int) -> float:
        return self.memory["rate"]


def plateaus(part: Any) -> Iterator[ReduceOnPlateau]:
    """The schedules with a memory in a schedule, or in a part of one."""
    if isinstance(part, ReduceOnPlateau):
        yield part
    elif isinstance(part, Schedule | tuple):
        inner = part if isinstance(part, tuple) else vars(part).values()
        yield from itertools.chain.from_iterable(map(plateaus, inner))


def check_resumable(owner: str, own: Any, saved: Any) -> None:
    """ValueError if a saved rate would take the place of a schedule that observes a metric."""
    if any(plateaus(own)) and repr(own) != repr(saved):
        raise ValueError(
            f"{owner}: lr is {own!r}, which observes a metric, but {saved!r} was saved; make the "
            "optimizer with the schedule that was saved"
        )


def resumed(own: Any, saved: Any) -> Any:
    """The saved rate; or `own`, if it is the same but for its memory, with the saved memory, so
    that whoever observes metrics with it goes on doing so."""
    if repr(own) != repr(saved):
        return saved
    for mine, theirs in zip(plateaus(own), plateaus(saved), strict=True):
        mine.memory.update(theirs.memory)
    return own
