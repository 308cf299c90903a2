"""The data of a race, with descriptions and styles, for its table, page, picture and film."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from minidl import _checks
from minidl._format import number, printed
from minidl.optim import Optimizer
from minidl.schedulers import Constant, Schedule
from minidl.viz._race.surfaces import Interval, Surface
from minidl.viz.style import RunStyle, run_styles

MAX_MINIMA = 4  # minima that a description lists
MARGIN, MIN_ASPECT = 0.15, 0.8  # around what a picture shows; its shorter side by its longer side


class RateScore(NamedTuple):
    """How an optimizer did with one of the rates that tuning tried.

    arrived  the fraction of the starts from which it arrived at the goal
    steps    the median number of steps of those runs; ∞ if none arrived
    loss     the median of f at the end
    """

    arrived: float
    steps: float
    loss: float


@dataclass(eq=False, repr=False)
class Run:
    """The record of one optimizer. Arrays are float64; k counts steps, 0 is before the first one.

    name       the label in the race
    optimizer  the optimizer, after the last step
    theta      (steps + 1, starts, 2), its position: theta[k]
    loss       (steps + 1, starts), f there
    gradient   (steps + 1, starts, 2), the gradient from backward there, including the noise
    state      each of the rule's state arrays, such as "m" and "v", (steps + 1, starts, 2);
               (steps + 1, 1) for state that is one number
    lr         (steps,), the rate of each step
    verdicts   for each start, how the run ended
    arrived    for each start, the first step from which on the run stays at the goal, or None
    tried      after tuning, {rate: RateScore}
    """

    name: str
    optimizer: Optimizer
    theta: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray
    state: dict[str, np.ndarray]
    lr: np.ndarray
    verdicts: list[str] = field(default_factory=list)
    arrived: list[int | None] = field(default_factory=list)
    tried: dict[float, RateScore] = field(default_factory=dict)

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of the rate, or None if the rate is constant."""
        lr = self.optimizer.groups[0]["lr"]
        return lr if isinstance(lr, Schedule) and not isinstance(lr, Constant) else None

    @property
    def rate(self) -> str:
        """The rate as text: a number, or the name of the schedule."""
        return type(self.schedule).__name__ if self.schedule else f"{self.lr[0]:g}"


@printed
@dataclass(eq=False, repr=False)
class RaceRecord:
    """The surface, the starts, (starts, 2), and the run of each optimizer from all of them.

    radius  of the goal around each global minimum
    noise   the standard deviation of the noise in each entry of each gradient
    """

    surface: Surface
    runs: list[Run]
    steps: int
    starts: np.ndarray
    radius: float
    noise: float
    parameters: ClassVar[bool] = True  # whether x and y are what the optimizers update

    def __repr__(self) -> str:
        verdicts = (
            f"{run.name}: {run.verdicts[0] if len(self.starts) == 1 else counts(run.verdicts)}"
            for run in self.runs
        )
        return f"Race({self.surface.name}, {self.steps} steps, {', '.join(verdicts)})"

    def _styles(self) -> list[RunStyle]:
        """How each run is drawn."""
        return run_styles([run.name for run in self.runs])

    @property
    def rates_tried(self) -> list[float]:
        """The rates that tuning tried, or none."""
        return next((list(run.tried) for run in self.runs if run.tried), [])

    def _description(self, start: int | None = None) -> list[str]:
        """Steps, start, goal and noise as lines of text, for all starts or for one of them."""
        surface, n = self.surface, len(self.starts)
        origin = f"{n} starts" if n > 1 and start is None else coordinates(self.starts[start or 0])
        which = f", start {start + 1} of {n}" if n > 1 and start is not None else ""
        lines = [f"{self.steps} step{'s' * (self.steps > 1)} from {origin}{which}"]
        if len(surface.minima):
            goals = " or ".join(map(coordinates, surface.minima[:MAX_MINIMA]))
            if (more := len(surface.minima) - MAX_MINIMA) > 0:
                goals += f" or {more} more points"
            searched = ", the lowest point found" if surface.searched else ""
            lines.append(f"goal: within {self.radius:g} of {goals}{searched}")
        else:
            lines.append("goal: none, as no minimum was found inside the domain")
        if self.noise:
            lines.append(f"noise: {self.noise:g} in each entry of each gradient")
        return lines

    def _ending(self, run: Run, start: int) -> str:
        """How a run ended, in pictures: the steps until it arrived, or its verdict."""
        arrived = run.arrived[start]
        if arrived is None:
            return run.verdicts[start]
        return f"goal in {arrived} step{'s' * (arrived != 1)}"

    def _results(self) -> list[list[str]] | None:
        """The rows of the table of results, titles first, if they are not those of `table`."""
        return None

    def _view(self, start: int = 0) -> tuple[Interval, Interval]:
        """The part of the domain that pictures show, x and y: the minima and the paths."""
        surface = self.surface
        paths = np.concatenate([run.theta[:, start] for run in self.runs])
        points = np.concatenate([paths[surface.contains(paths.T)], surface.minima])
        low, high = points.min(0), points.max(0)
        size = np.maximum(high - low, MIN_ASPECT * (high - low).max() + 2 * self.radius)
        centre, size = (low + high) / 2, (1 + 2 * MARGIN) * size
        bounds = np.transpose([surface.x, surface.y])
        (left, bottom), (right, top) = np.clip(
            [centre - size / 2, centre + size / 2], *bounds
        ).tolist()
        return (left, right), (bottom, top)

    def _check_start(self, start: int) -> int:
        """The index of a start as an int; TypeError or ValueError if there is no such start."""
        index = _checks.count("race", "start", start, 0)
        if index >= len(self.starts):
            raise ValueError(
                f"race: start must be below {len(self.starts)}, the number of starts, got {start}"
            )
        return index


def coordinates(point: np.ndarray) -> str:
    """A point as text.

    >>> from minidl.viz._race import record
    >>> record.coordinates(np.array([0.5, -1]))
    '(0.5, −1)'
    """
    return f"({', '.join(number(x).shown for x in point)})"


def counts(verdicts: Sequence[str]) -> str:
    """How often each verdict occurs, the most frequent one first.

    >>> from minidl.viz._race import record
    >>> record.counts(["diverged", "global minimum", "diverged"])
    '2 diverged, 1 global minimum'
    """
    return ", ".join(f"{count} {verdict}" for verdict, count in Counter(verdicts).most_common())
