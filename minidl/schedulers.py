"""Learning-rate schedules for optimizers: the rate as a pure function of the step.

A schedule is called with t = 0, 1, 2, … (the first update uses t = 0), in any order, with one step
or an array of steps. It has no state, so a training that resumes needs nothing but t. The
exception is ReduceOnPlateau, which follows a metric and remembers what it observed.
"""

from __future__ import annotations

import bisect
import copy
import itertools
import math
import numbers
import re
from collections import abc
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, SupportsFloat, cast, overload

import numpy as np

from minidl import _checks, _pictures
from minidl._format import printable
from minidl._kernels import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How far a ramp has risen when the fraction u of its steps is done, 0 ≤ u ≤ 1.
SHAPES: dict[str, abc.Callable[[float], float]] = {
    "linear": lambda u: u,
    "cosine": lambda u: (1 - math.cos(math.pi * u)) / 2,
    "one_minus_sqrt": math.sqrt,  # falling from 1: 1 − √u (Hägele et al. 2024)
}


def _ramp(first: float, last: float, u: float, shape: str) -> float:
    """The rate between `first` and `last` when the fraction u of the steps is done."""
    return first + (last - first) * SHAPES[shape](u)


class Schedule(_pictures.Curve):
    """The base class of all schedules; a subclass defines `formula(self, t)`.

    A subclass that is a dataclass may declare a check for each field in `checks`, a function
    (class name, field, value) such as `dl.optim.within(above=True)`: the field becomes what the
    check returns, or the check raises an error that names the class and the field.
    """

    checks: ClassVar[dict[str, _checks.Check]] = {}

    def __post_init__(self) -> None:
        for name, check in self.checks.items():
            value = check(type(self).__name__, name, getattr(self, name))
            object.__setattr__(self, name, value)  # the dataclass is frozen

    @overload
    def __call__(self, t: int | np.integer[Any]) -> float: ...
    @overload
    def __call__(self, t: np.ndarray) -> np.ndarray: ...
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
        """The rate at one step t ≥ 0."""
        raise TypeError(f"{type(self).__name__} has no formula: define formula(self, t)")

    def phases(self) -> list[tuple[int, str]]:
        """The phases of the schedule in order: the step at which each begins, and its name."""
        return [(0, re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower())]

    def plot(self, steps: int | None = None, path: str | PathLike[str] | None = None) -> Axes:
        """Draw the rate over the first steps, phase by phase; returns the Matplotlib axes.

        path  a file to write, such as "rate.png", .svg or .pdf; without one, the figure is opened
              in pyplot
        """
        if steps is None:
            raise TypeError(f"{type(self).__name__}: plot needs the number of steps: plot(1000)")
        from minidl.viz.plots import plot_schedule

        return plot_schedule(self, steps, path)


Rate = Schedule | float


def as_schedule(owner: str, name: str, value: Any) -> Schedule:
    """A schedule as it is, a number as a constant rate."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            printable(f"{owner}: {name} must be a schedule or a number ≥ 0, got {value!r}")
        )
    return Constant(_checks.number(owner, name, value))


def _each(owner: str, name: str, value: Any, check: _checks.Check) -> tuple[Any, ...]:
    """The items of a list or tuple, each after a check, as a tuple."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"{owner}: {name} must be a list, got {value!r}")
    return tuple(check(owner, f"{name}[{i}]", x) for i, x in enumerate(value))


NUMBER, COUNT, FLAG = _checks.number, _checks.count, _checks.flag
FROM_ZERO, FROM_TWO = partial(COUNT, low=0), partial(COUNT, low=2)
POSITIVE, UP_TO_ONE = partial(NUMBER, above=True), partial(NUMBER, high=1)
BELOW_ONE = partial(NUMBER, high=1, below=True)
SHAPE, MODE = (partial(_checks.choice, allowed=names) for names in (SHAPES, ("min", "max")))


@dataclass(frozen=True)
class Constant(Schedule):
    """lr(t) = lr.

    >>> dl.schedulers.Constant(0.1)(1000)
    0.1
    """

    lr: float

    checks = {"lr": NUMBER}

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

    checks = {"lr": NUMBER, "every": COUNT, "factor": NUMBER}

    def formula(self, t: int) -> float:
        return self.lr * self.factor ** (t // self.every)


@dataclass(frozen=True)
class _DecayByRate(Schedule):
    """A decay by `rate` per `steps` steps: smooth, or in jumps with staircase."""

    lr: float
    rate: float
    steps: int = 1
    staircase: bool = False

    checks = {"lr": NUMBER, "rate": NUMBER, "steps": COUNT, "staircase": FLAG}

    def _periods(self, t: int) -> float:
        return t // self.steps if self.staircase else t / self.steps


@dataclass(frozen=True)
class ExponentialDecay(_DecayByRate):
    """lr(t) = lr · rate^(t / steps); with staircase the exponent is rounded down.

    >>> dl.schedulers.ExponentialDecay(0.8, rate=0.5, steps=10)(20)
    0.2
    """

    def formula(self, t: int) -> float:
        return float(self.lr * self.rate ** self._periods(t))


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
    """A decay to `end` within `steps` steps: lr(t) = end + (lr − end) · left(t / steps)."""

    lr: float
    steps: int
    end: float = 0.0
    # _left(u): what is left of the decay when the fraction u of its steps is done, from 1 to 0
    _left: ClassVar[abc.Callable[..., float]]

    checks = {"lr": NUMBER, "steps": COUNT, "end": NUMBER}

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

    checks = {**_DecayTo.checks, "power": POSITIVE}

    def _left(self, u: float) -> float:
        return float((1 - u) ** self.power)


@dataclass(frozen=True)
class CosineDecay(_DecayTo):
    """lr(t) = end + (lr − end)(1 + cos(π min(t, steps) / steps)) / 2.

    One period of Loshchilov & Hutter 2017.

    >>> dl.schedulers.CosineDecay(0.8, steps=100)(np.array([0, 50, 100, 1000]))
    array([0.8, 0.4, 0. , 0. ])
    """

    def _left(self, u: float) -> float:
        return _cosine_fall(u)


def _cosine_fall(u: float) -> float:
    """Half a period of a cosine, from 1 at u = 0 to 0 at u = 1."""
    return (1 + math.cos(math.pi * u)) / 2


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Cosine decays in succession, each with a warm restart (SGDR; Loshchilov & Hutter 2017).

        lr(t) = end + (lr · decayᵏ − end)(1 + cos(π u / steps_k)) / 2

    u steps after the start of period k = 0, 1, …, which lasts steps_k = steps · multiplyᵏ steps.

    >>> dl.schedulers.CosineRestarts(0.8, steps=2, multiply=2)(np.arange(7))
    array([0.8   , 0.4   , 0.8   , 0.6828, 0.4   , 0.1171, 0.8   ])
    """

    lr: float
    steps: int
    multiply: int = 1
    decay: float = 1.0
    end: float = 0.0

    checks = {"lr": NUMBER, "steps": COUNT, "multiply": COUNT, "decay": NUMBER, "end": NUMBER}

    def formula(self, t: int) -> float:
        period, length = 0, self.steps
        if self.multiply == 1:
            period, t = divmod(t, length)
        while t >= length:
            period, t, length = period + 1, t - length, length * self.multiply
        top = self.lr * self.decay**period
        return self.end + (top - self.end) * _cosine_fall(t / length)


@dataclass(frozen=True)
class InverseSqrtDecay(Schedule):
    """lr(t) = lr · √(steps / max(t, steps)): constant for `steps` steps, then falling as 1 / √t.

    Vaswani et al. 2017 without its warm-up; WarmUp adds one.

    >>> dl.schedulers.InverseSqrtDecay(0.8, steps=100)(np.array([0, 100, 400]))
    array([0.8, 0.8, 0.4])
    """

    lr: float
    steps: int

    checks = {"lr": NUMBER, "steps": COUNT}

    def formula(self, t: int) -> float:
        return self.lr * math.sqrt(self.steps / max(t, self.steps))

    def phases(self) -> list[tuple[int, str]]:
        return [(0, "constant"), (self.steps, "inverse sqrt decay")]


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """lr(t) = values[k], where k is the number of boundaries < t.

    A boundary belongs to the piece on its left, as in Keras. There is one value more than
    boundaries.

    >>> dl.schedulers.PiecewiseConstant([10, 20], [0.1, 0.01, 0.001])(np.array([0, 10, 11, 21]))
    array([0.1  , 0.1  , 0.01 , 0.001])
    """

    boundaries: abc.Sequence[int]
    values: abc.Sequence[float]

    checks = {
        "boundaries": partial(_each, check=FROM_ZERO),
        "values": partial(_each, check=NUMBER),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
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


@dataclass(frozen=True)
class Triangular(Schedule):
    """A triangular wave between `low` and `high` (cyclical learning rates; Smith 2017).

        lr(t) = low + (high − low) decayᵏ min(u, 2h − u) / h

    u steps after the start of period k = 0, 1, …, with h = half_period, the steps from `low` to
    `high`.

    >>> dl.schedulers.Triangular(0.2, 1.0, half_period=2, decay=0.5)(np.arange(8))
    array([0.2, 0.6, 1. , 0.6, 0.2, 0.4, 0.6, 0.4])
    """

    low: float
    high: float
    half_period: int
    decay: float = 1.0

    checks = {"low": NUMBER, "high": NUMBER, "half_period": COUNT, "decay": NUMBER}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ValueError(printable(f"Triangular: low={self.low} must be ≤ high={self.high}"))

    def formula(self, t: int) -> float:
        period, u = divmod(t, 2 * self.half_period)
        height = min(u, 2 * self.half_period - u) / self.half_period
        return self.low + (self.high - self.low) * height * self.decay**period


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to `peak` and down to almost 0 along cosines (Smith & Topin 2018; as in PyTorch).

        lr(0) = peak / initial_factor
        lr(start_fraction · steps − 1) = peak
        lr(t) = peak / (initial_factor · final_factor)    for t ≥ steps − 1

    steps           a whole number ≥ 2
    start_fraction  the fraction of the steps that go up, in [0, 1]; below 1 / steps the rise ends
                    before t = 0, so the rate only falls
    initial_factor  a number > 0
    final_factor    a number > 0

    >>> cycle = dl.schedulers.OneCycle(1.0, steps=10, start_fraction=0.5, final_factor=2)
    >>> cycle(np.array([0, 2, 4, 9]))
    array([0.04, 0.52, 1.  , 0.02])
    """

    peak: float
    steps: int
    start_fraction: float = 0.3
    initial_factor: float = 25.0
    final_factor: float = 1e4

    checks = {"peak": NUMBER, "steps": FROM_TWO, "start_fraction": UP_TO_ONE}
    checks |= {"initial_factor": POSITIVE, "final_factor": POSITIVE}

    def formula(self, t: int) -> float:
        top, last, t = self.start_fraction * self.steps - 1, self.steps - 1, min(t, self.steps - 1)
        first = self.peak / self.initial_factor
        if float(t) <= top:  # beyond 2⁵³ t is rounded as `top` is
            return _ramp(first, self.peak, t / top if top > 0 else 1, "cosine")
        return _ramp(self.peak, first / self.final_factor, (t - top) / (last - top), "cosine")

    def phases(self) -> list[tuple[int, str]]:
        top = math.floor(self.start_fraction * self.steps)
        up, down = [(0, "up")] * (top > 0), [(top, "down")] * (top < self.steps)
        return [*up, *down, (self.steps, "end")]


@dataclass(frozen=True)
class _Around(Schedule):
    """A schedule that runs another one; a number means a constant rate."""

    schedule: Rate

    checks = {"schedule": as_schedule}

    @property
    def _inner(self) -> Schedule:
        """The schedule inside; a number has become a Constant."""
        return cast(Schedule, self.schedule)


@dataclass(frozen=True)
class WarmUp(_Around):
    """Raise the rate from `start` to schedule(0) over `steps` steps, then run the schedule.

        lr(t) = start + (schedule(0) − start) shape(t / steps)    for t < steps
        lr(t) = schedule(t − steps)                               for t ≥ steps

    schedule  a schedule, or a number for a constant rate
    shape     "linear": u; "cosine": (1 − cos πu) / 2; "one_minus_sqrt": √u

    >>> dl.schedulers.WarmUp(0.4, steps=4)(np.arange(6))
    array([0. , 0.1, 0.2, 0.3, 0.4, 0.4])
    """

    steps: int
    start: float = 0.0
    shape: str = "linear"

    checks = {**_Around.checks, "steps": COUNT, "start": NUMBER, "shape": SHAPE}

    def formula(self, t: int) -> float:
        if t >= self.steps:
            return self._inner.formula(t - self.steps)
        return _ramp(self.start, self._inner.formula(0), t / self.steps, self.shape)

    def phases(self) -> list[tuple[int, str]]:
        return [(0, "warm-up"), *_shifted(self._inner.phases(), self.steps)]


@dataclass(frozen=True)
class CoolDown(_Around):
    """Run the schedule until step `at`, then lower the rate to `end` over `steps` steps.

        lr(t) = schedule(t)                                                     for t < at
        lr(t) = schedule(at) + (end − schedule(at)) shape((t − at) / steps)     for t < at + steps
        lr(t) = end                                                             for t ≥ at + steps

    schedule  a schedule, or a number for a constant rate
    shape     "linear": u; "cosine": (1 − cos πu) / 2; "one_minus_sqrt": √u

    Raises ValueError if it begins before the end of a warm-up or cool-down inside.

    >>> dl.schedulers.CoolDown(0.4, at=2, steps=4)(np.arange(8))
    array([0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0. , 0. ])
    """

    at: int
    steps: int
    end: float = 0.0
    shape: str = "linear"

    checks = {**_Around.checks, "at": FROM_ZERO, "steps": COUNT, "end": NUMBER, "shape": SHAPE}

    def __post_init__(self) -> None:
        super().__post_init__()
        if cut := _cut_ramp(self._inner, self.at):
            name, end = cut
            raise ValueError(
                f"CoolDown: at={self.at} is before the end of the {name} inside, at step {end}; "
                "begin there or later"
            )

    def formula(self, t: int) -> float:
        if t < self.at:
            return self._inner.formula(t)
        if t >= self.at + self.steps:
            return self.end
        top = self._inner.formula(self.at)
        return _ramp(top, self.end, (t - self.at) / self.steps, self.shape)

    def phases(self) -> list[tuple[int, str]]:
        ramp = [(self.at, "cool-down"), (self.at + self.steps, "end")]
        return _shifted(self._inner.phases(), 0, self.at) + ramp


def _cut_ramp(schedule: Schedule, at: int) -> tuple[str, int] | None:
    """The last warm-up or cool-down of a schedule that ends after a step, and its end."""
    for (_, name), (end, _) in reversed([*itertools.pairwise(schedule.phases())]):
        if name in ("warm-up", "cool-down") and end > at:
            return name, end
    return None


def _shifted(
    phases: list[tuple[int, str]], by: int, before: float = math.inf
) -> list[tuple[int, str]]:
    """The phases that begin before a step, each shifted by some steps."""
    return [(start + by, name) for start, name in phases if start < before]


@dataclass(frozen=True)
class Hold(_Around):
    """lr(t) = schedule(min(t, at)): run the schedule, then stay at the rate of step `at`.

    Raises ValueError for a ReduceOnPlateau inside, whose rate doesn't depend on the step.

    >>> dl.schedulers.Hold(dl.schedulers.LinearDecay(0.4, steps=4), at=2)(np.arange(5))
    array([0.4, 0.3, 0.2, 0.2, 0.2])
    """

    at: int

    checks = {**_Around.checks, "at": FROM_ZERO}

    def __post_init__(self) -> None:
        super().__post_init__()
        if plateaus(self._inner):
            raise ValueError(
                f"Hold: the rate of {self.schedule!r} follows a metric rather than the step, so it "
                f"can't be held at step {self.at}; stop calling observe instead"
            )

    def formula(self, t: int) -> float:
        return self._inner.formula(min(t, self.at))

    def phases(self) -> list[tuple[int, str]]:
        return [*_shifted(self._inner.phases(), 0, self.at), (self.at, "hold")]


@dataclass(frozen=True)
class Sequence(Schedule):
    """Schedules in succession, each of which counts its steps from 0.

    parts  [(schedule, steps), …, last]: each runs for its steps, the last without an end; a number
           means a constant rate

    Raises ValueError if a part ends before the end of its warm-up or cool-down.

    >>> dl.schedulers.Sequence([(0.1, 2), dl.schedulers.LinearDecay(0.4, steps=4)])(np.arange(7))
    array([0.1, 0.1, 0.4, 0.3, 0.2, 0.1, 0. ])
    """

    parts: abc.Sequence[tuple[Rate, int] | Rate]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, list | tuple) or not self.parts:
            raise TypeError(
                printable(
                    "Sequence: parts must be a list [(schedule, steps), …, last], "
                    f"got {self.parts!r}"
                )
            )
        *timed, last = self.parts
        checked = [self._checked(f"parts[{i}]", part) for i, part in enumerate(timed)]
        if isinstance(last, list | tuple):
            raise TypeError(
                f"Sequence: parts[{len(timed)}], the last, has no end, so it takes no steps: give "
                f"the schedule alone, got {last!r}"
            )
        end = as_schedule("Sequence", f"parts[{len(timed)}]", last)
        object.__setattr__(self, "parts", (*checked, end))

    @staticmethod
    def _checked(name: str, part: Any) -> tuple[Schedule, int]:
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

    def _split(self) -> tuple[list[tuple[Schedule, int]], Schedule]:
        """The parts that have an end with their steps, and the last part."""
        *timed, last = cast(Any, self.parts)
        return timed, last

    def formula(self, t: int) -> float:
        timed, last = self._split()
        for schedule, steps in timed:
            if t < steps:
                return schedule.formula(t)
            t -= steps
        return last.formula(t)

    def phases(self) -> list[tuple[int, str]]:
        timed, last = self._split()
        begin, phases = 0, list[tuple[int, str]]()
        for schedule, steps in timed:
            phases += _shifted(schedule.phases(), begin, steps)
            begin += steps
        return phases + _shifted(last.phases(), begin)


def warmup_stable_decay(
    peak: float, warmup: int, stable: int, cooldown: int, end: float = 0.0, shape: str = "linear"
) -> CoolDown:
    """Warm up from 0 to `peak`, stay there, cool down to `end`; each phase is given in steps.

    The same as CoolDown(WarmUp(peak, warmup), warmup + stable, cooldown, end, shape): the warm-up
    is linear, and `shape` is that of the cool-down.

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


@dataclass
class PlateauMemory:
    """What a ReduceOnPlateau remembers.

    rate           the present rate
    best           the best metric so far
    bad_count      how many metrics in a row were no better than the best
    cooldown_left  how many of the next metrics don't count as bad
    """

    rate: float
    best: float
    bad_count: int = 0
    cooldown_left: int = 0


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Lower the rate when a metric stops improving; counts as PyTorch's ReduceLROnPlateau.

    At each `observe(metric)`: a metric below best · (1 − threshold) is the new best; in mode "max"
    one above best · (1 + threshold). Any other metric, NaN too, is bad, except for the first
    `cooldown` ones after a reduction. After more than `patience` bad ones in a row,

        rate ← max(rate · factor, min_lr)

    unless that lowers the rate by 1e-8 or less. `fit` observes the loss by itself after an epoch in
    which nobody has called `observe`.

    factor     in [0, 1)              threshold  a number ≥ 0
    patience   a whole number ≥ 0     min_lr     in [0, lr]
    cooldown   a whole number ≥ 0     mode       "min" or "max"

    The only schedule with a state, its `memory`: state_dict() of an optimizer contains it, and
    load_state_dict() restores it. The rate is the present one at every t.

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
    memory: PlateauMemory = field(init=False, repr=False, hash=False)
    observations: ClassVar[int] = 0  # the calls of observe, which fit counts in each epoch

    checks = {"lr": NUMBER, "factor": BELOW_ONE, "patience": FROM_ZERO, "cooldown": FROM_ZERO}
    checks |= {"threshold": NUMBER, "min_lr": NUMBER, "mode": MODE}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_lr > self.lr:
            raise ValueError(
                printable(f"ReduceOnPlateau: min_lr={self.min_lr} must be ≤ lr={self.lr}")
            )
        self.reset()

    def reset(self) -> None:
        """Forget every metric and go back to the first rate."""
        best = math.inf if self.mode == "min" else -math.inf
        self._remember(PlateauMemory(self.lr, best))

    def _remember(self, memory: PlateauMemory) -> None:
        object.__setattr__(self, "memory", replace(memory))

    def observe(self, metric: SupportsFloat) -> None:
        """Take the next value of the metric into account.

        TypeError for what is not a number. After an error or an interrupt nothing has changed. Call
        it outside of a captured step, with the number that the step returns.
        """
        if isinstance(metric, bool) or not isinstance(metric, numbers.Real):
            raise TypeError(
                f"ReduceOnPlateau: observe needs a number, such as loss.item(), got {metric!r}"
            )
        try:
            value = float(metric)
        except OverflowError:
            raise ValueError("ReduceOnPlateau: the metric is too large for a float") from None
        while not self._observed(value):  # another thread has observed a metric meanwhile
            pass

    def _observed(self, value: float) -> bool:
        """Take a value into account, unless something else has changed the memory meanwhile."""
        memory, seen = self.memory, self.observations
        found: list[Any] = [(self, "memory", memory), (self, "observations", seen)]
        found += [(memory, *item) for item in vars(memory).items()]
        m = replace(memory)
        if self.mode == "min":
            better = value < m.best * (1 - self.threshold)
        else:
            better = value > m.best * (1 + self.threshold)
        m.best = value if better else m.best
        m.bad_count = 0 if better or m.cooldown_left else m.bad_count + 1
        m.cooldown_left = max(m.cooldown_left - 1, 0)
        if m.bad_count > self.patience:
            lower = max(m.rate * self.factor, self.min_lr)
            m.rate = lower if m.rate - lower > 1e-8 else m.rate
            m.bad_count, m.cooldown_left = 0, self.cooldown
        count = (vars(self), "observations", seen + 1)
        return atomic.exchange(found, [count, *((memory, *item) for item in vars(m).items())])

    def formula(self, t: int) -> float:
        return self.memory.rate


def plateaus(rate: Any) -> list[ReduceOnPlateau]:
    """Every ReduceOnPlateau in a rate: the schedule itself, or the ones inside it."""
    if isinstance(rate, ReduceOnPlateau):
        return [rate]
    if isinstance(rate, Schedule):
        rate = tuple(vars(rate).values())
    return [p for part in rate for p in plateaus(part)] if isinstance(rate, list | tuple) else []


def check_resumable(owner: str, own: Rate, saved: Rate) -> None:
    """ValueError if `saved` would replace a rate that observes a metric and isn't the same."""
    if plateaus(own) and not _equal_but_memories(own, saved):
        raise ValueError(
            f"{owner}: lr is {own!r}, which observes a metric, but {saved!r} was saved; make the "
            "optimizer with the schedule that was saved"
        )


def _equal_but_memories(own: Rate, saved: Rate) -> bool:
    saved = copy.deepcopy(saved)
    for mine, theirs in zip(plateaus(own), plateaus(saved), strict=False):
        theirs._remember(mine.memory)
    return own == saved or repr(own) == repr(saved)  # of a class of the user's


def resumed(own: Rate, saved: Rate) -> Rate:
    """The rate of an optimizer that loads `saved`; check_resumable comes first.

    A rate that observes a metric stays, so that existing references to it keep working, and takes
    over the saved `memories`. Any other rate is replaced by the saved one.
    """
    return own if plateaus(own) else saved


def memories(own: Rate, saved: Rate) -> list[tuple[Any, str, Any]]:
    """What gives the plateaus of a rate the memories of the saved one, for `atomic.assign`."""
    if not (observing := plateaus(own)):
        return []
    pairs = zip(observing, plateaus(saved), strict=True)
    return [(vars(mine), "memory", replace(theirs.memory)) for mine, theirs in pairs]
