"""Races: optimizers descend a surface from the same start, step by step, and are judged.

The optimizers are those of `minidl.optim`, stepping through their kernels; gradients come from
minidl's autograd. As rules work entry by entry, the points of all optimizers are evaluated at
once, and an optimizer has all its starts in one parameter.
"""

from __future__ import annotations

import functools
import numbers
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minidl as dl
from minidl import _checks, _format, optim
from minidl._format import number
from minidl.optim import RULES
from minidl.schedulers import Constant, Schedule, plateaus
from minidl.viz import style
from minidl.viz._race import surfaces, verdicts
from minidl.viz._race.surfaces import Surface

ARTICLE = ("SGD", "Momentum", "NAG", "Adagrad", "RMSprop", "Adam", "Adadelta", "FTRL")
SLOWEST, FASTEST, BUDGET = 1e-4, 10.0, 25  # the rates between which tuning looks, and how many
MANY = 4  # minima that a table names
MARGIN, SLIMMEST = 0.15, 0.8  # around what a picture shows, and its shorter side by the longer
Build = Callable[..., Any]


@dataclass(eq=False, repr=False)
class Run:
    """What one optimizer did. Arrays are float64; k counts steps, from 0 before the first.

    name       what the race calls it
    optimizer  the optimizer, after the last step
    theta      (steps + 1, starts, 2), where it was: theta[k]
    loss       (steps + 1, starts), the surface there
    gradient   (steps + 1, starts, 2), what backward gave there, with the noise, if there is any
    state      for each of the rule's arrays, such as "m" and "v", (steps + 1, starts, 2); for a
               number that it keeps beside them, (steps + 1, 1)
    lr         (steps,), the rate of each step
    verdicts   for each start, how it ended
    arrived    for each start, the first step from which on it stays at the goal, or None
    tried      of a tuned rate: {rate: (share of starts that arrived, median steps, median loss)}
    """

    name: str
    optimizer: Any
    theta: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray
    state: dict[str, np.ndarray]
    lr: np.ndarray
    verdicts: list[str] = field(default_factory=list)
    arrived: list[int | None] = field(default_factory=list)
    tried: dict[float, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def rate(self) -> str:
        """The rate as text: a number, or the schedule's name."""
        lr = self.optimizer.groups[0]["lr"]
        if isinstance(lr, Schedule) and not isinstance(lr, Constant):
            return type(lr).__name__
        return f"{self.lr[0]:g}"


@dataclass(eq=False, repr=False)
class Race:
    """A race that was run: `runs`, one for each optimizer, and ways to look at them.

    radius  how near to a global minimum the goal is
    noise   the standard deviation of what was added to each entry of each gradient

    >>> race = dl.viz.race("bowl", ["SGD", "Adam"], steps=300, lr=0.1)
    >>> race
    Race(bowl, 300 steps, SGD: global minimum, Adam: global minimum)
    >>> race.runs[0].theta[1, 0]                # θ − η∇f from (−3.4, 2.4), ∇f = (x, 2y)
    array([-3.06,  1.92])
    """

    surface: Surface
    runs: list[Run]
    steps: int
    starts: np.ndarray
    radius: float
    noise: float

    def table(self) -> _format.Text:
        """Where each run ended, when it arrived, and the verdict, as text.

        With many starts: the share that arrived, the median steps of these, and how all ended.
        """
        lines = [*self._heading(), "", *_format.aligned(self._rows())]
        came = any(step is not None for run in self.runs for step in run.arrived)
        if len(self.surface.minima) and not came and not self.runs[0].tried:
            lines += ["", "None reached the goal; another rate may, and tune=True looks for it."]
        return _format.Text("\n".join(lines))

    def plot(self, path: Any = None, *, start: int = 0, title: str | None = None) -> Any:
        """Draw contours, the paths from one start and where they end; returns the Matplotlib axes.

        path   a file to write, such as "race.png", .svg or .pdf; the figure is closed then
        start  which start, of several
        title  in place of who is first
        """
        from minidl.viz import plots

        return plots.plot_race(self, self._start(start), title, path)

    def animate(self, path: Any = None, *, start: int = 0, frames: int = 80, fps: int = 20) -> Any:
        """The race as a film; returns the Matplotlib animation.

        path    a .gif, or an .mp4 where ffmpeg is installed
        start   which start, of several
        frames  how many pictures, ≥ 2: the first is the start, the last the end; they lie closer
                together at the start
        fps     pictures a second
        """
        from minidl.viz import film

        return film.animate(self, path, self._start(start), frames, fps)

    def save(self, path: Any, *, start: int = 0) -> Path:
        """Write the race as a page to play: one .html file that needs no network."""
        from minidl.viz._race import page as race_page

        return race_page.save(self, path, self._start(start))

    def view(self, start: int = 0) -> tuple[surfaces.Point, surfaces.Point]:
        """The part of the domain that pictures show, x and y: minima, and paths from one start."""
        surface = self.surface
        paths = np.concatenate([run.theta[:, start] for run in self.runs])
        points = np.concatenate([paths[surface.contains(paths.T)], surface.minima])
        low, high = points.min(0), points.max(0)
        size = np.maximum(high - low, SLIMMEST * (high - low).max() + 2 * self.radius)
        middle, size = (low + high) / 2, (1 + 2 * MARGIN) * size
        ends = np.clip(
            [middle - size / 2, middle + size / 2], *np.transpose([surface.x, surface.y])
        )
        x, y = ends.T.tolist()
        return tuple(x), tuple(y)

    def _repr_html_(self) -> str:
        """The page in a frame, for a notebook."""
        from minidl.viz._race import page as race_page

        return race_page.frame(self)

    def __repr__(self) -> str:
        ends = (f"{run.name}: {_often(run.verdicts)}" for run in self.runs)
        return f"Race({self.surface.name}, {self.steps} steps, {', '.join(ends)})"

    def _start(self, start: Any) -> int:
        place = _checks.count("race", "start", start, 0)
        if place >= len(self.starts):
            raise ValueError(
                f"race: start must be below {len(self.starts)}, the number of starts, got {start}"
            )
        return place

    def looks(self) -> list[style.Look]:
        """How each run is drawn."""
        return style.looks([run.name for run in self.runs])

    def facts(self, start: int | None = None) -> list[str]:
        """What was raced, in lines: from all starts, or from one of them."""
        surface, many = self.surface, len(self.starts)
        begin = f"{many} starts" if many > 1 and start is None else _at(self.starts[start or 0])
        one = f", start {start + 1} of {many}" if many > 1 and start is not None else ""
        facts = [f"{self.steps} step{'s' * (self.steps > 1)} from {begin}{one}"]
        if len(surface.minima):
            goals = " or ".join(map(_at, surface.minima[:MANY]))
            if (more := len(surface.minima) - MANY) > 0:
                goals += f" or {more} points more"
            found = ", the lowest point found" if surface.searched else ""
            facts.append(f"goal: within {self.radius:g} of {goals}{found}")
        else:
            facts.append("goal: none, as no minimum was found inside the domain")
        if self.noise:
            facts.append(f"noise: {self.noise:g} in each entry of each gradient")
        return facts

    def _heading(self) -> list[str]:
        begin, *facts = self.facts()
        lines = [f"{self.surface.name}: {begin}"]
        lines += [self.surface.formula] if self.surface.formula else []
        lines += facts
        if tried := self.runs[0].tried:
            lines.append(
                f"rates: the best of {len(tried)} from {min(tried):g} to {max(tried):g} for each: "
                "the most starts that arrive, then the fewest steps, then the lowest f"
            )
            ends = {f"{rate:g}" for rate in (min(tried), max(tried))}
            if edge := ", ".join(run.name for run in self.runs if run.rate in ends):
                lines.append(f"best at the end of these rates, so perhaps not best: {edge}")
        given = [run.optimizer.groups[0]["lr"] for run in self.runs]
        schedules = dict.fromkeys(
            repr(lr) for lr in given if isinstance(lr, Schedule) and not isinstance(lr, Constant)
        )
        return [*lines, *(f"rate: {schedule}" for schedule in schedules)]

    def _rows(self) -> list[list[str]]:
        if len(self.starts) > 1:
            rows = [
                ["optimizer", "rate", "arrived", "steps to goal", "f at the end", "how they ended"]
            ]
            for run in self.runs:
                steps = [k for k in run.arrived if k is not None]
                middle = f"median {np.median(steps):g}" if steps else "–"
                share = f"{len(steps)} of {len(run.arrived)}"
                with np.errstate(invalid="ignore"):
                    loss = f"median {number(np.median(run.loss[-1])).shown}"
                rows.append([run.name, run.rate, share, middle, loss, _counted(run.verdicts)])
            return rows
        rows = [["optimizer", "rate", "verdict", "steps to goal", "f at the end", "ends at"]]
        for run in self.runs:
            (verdict,), (arrived,) = run.verdicts, run.arrived
            when = "–" if arrived is None else str(arrived)
            end = number(run.loss[-1, 0]).shown
            rows.append([run.name, run.rate, verdict, when, end, _at(run.theta[-1, 0])])
        return rows


def race(
    surface: Any,
    optimizers: Any = ARTICLE,
    *,
    steps: int = 400,
    start: Any = None,
    lr: Any = None,
    tune: bool = False,
    budget: int | None = None,
    noise: float = 0.0,
    tolerance: float = 0.01,
    rng: Any = 0,
) -> Race:
    """Let optimizers descend a surface, each from the same start.

    surface     a name (`SURFACES`), a `Surface`, or a function of two tensors, whose domain is then
                −2 … 2 each way
    optimizers  names or classes of rules; `functools.partial(dl.optim.Adam, betas=(0.5, 0.9))` and
                other functions (params, lr) → optimizer; or a dict {label: such a thing}; eight
                well-known ones if not given
    steps       how many, ≥ 1
    start       a point (x, y), a list of points, or a number of points to draw at random from the
                domain; the surface's own if not given
    lr          a rate or schedule for all, or a dict {label: rate or schedule}; where none is
                given the optimizer has its own default
    tune        try `budget` constant rates (25) from 0.0001 to 10 for each optimizer, in equal
                ratios and rounded to two digits, from the same starts, and race with the best: by
                the share of starts that arrive, then the median steps until then, then the median
                f at the end
    noise       standard deviation of normal noise that is added to each entry of each gradient, the
                same for all optimizers, to imitate mini-batches
    tolerance   the goal is a circle around each global minimum; its radius is this share of the
                domain's longer side
    rng         a seed or numpy.random.Generator, for random starts and noise

    Nothing is clipped: what diverges, diverges. The verdicts:

    - "global minimum": the last ten points are within the goal, or the last half, if there are
      fewer than twenty. Where minima were searched for, a point of a valley of them counts, too.
    - "diverged": not finite; or ended outside the domain, higher than f is on a grid inside of it
      or farther away than it is wide, and not at rest where the gradient is 0.
    - "local minimum", "stuck at a saddle", "stuck at a maximum": the last tenth of the points, ten
      at least, lies in a circle of the goal's size, and the gradient is 0 that near to the end.
    - "standing still": it does not move, or lies in such a circle on flat ground.
    - "oscillating": in that last tenth it went five times as far as it got ahead, or more, which
      is twice the distance between the mean points of the two halves.
    - "still moving": any other.

    ValueError or TypeError for an unknown surface or optimizer, a start outside the domain, options
    out of range, a function that is not finite inside its domain, and ReduceOnPlateau, which
    answers to a metric.

    >>> print(dl.viz.race("saddle", ["SGD", "Adam"], steps=60, start=(-1.5, 0), lr=0.1).table())
    saddle: 60 steps from (−1.5, 0)
    f = x² / 2 − y² / 2 + y⁴ / 4
    goal: within 0.04 of (0, −1) or (0, 1)
    <BLANKLINE>
    optimizer  rate  verdict            steps to goal  f at the end  ends at
    SGD        0.1   stuck at a saddle  –              3.633e−6      (−0.002696, 0)
    Adam       0.1   still moving       –              0.001029      (−0.04537, 0)
    <BLANKLINE>
    None reached the goal; another rate may, and tune=True looks for it.
    """
    ground = surfaces.surface(surface)
    steps, noise = _checks.count("race", "steps", steps), _checks.number("race", "noise", noise)
    budget = _budget(_checks.flag("race", "tune", tune), budget)
    radius = ground.width * _checks.number("race", "tolerance", tolerance, above=True, high=1)
    generator = _generator(rng)
    starts = _starts(ground, start, generator)
    builds = _builds(optimizers)
    rates = _rates(lr, tune, builds)
    seed = int(generator.integers(2**63))
    descend = functools.partial(_descend, ground, starts, steps, noise, seed)
    tried: dict[str, Any] = {}
    if tune:
        candidates = [float(f"{r:.2g}") for r in np.geomspace(SLOWEST, FASTEST, budget)]
        pairs = [(name, rate) for name in builds for rate in candidates]
        scores = _scores(descend([(n, builds[n], {"lr": r}) for n, r in pairs])[1], ground, radius)
        for (name, rate), score in zip(pairs, scores, strict=True):
            tried.setdefault(name, {})[rate] = score
        for name, table in tried.items():
            rates[name] = {"lr": min(table, key=lambda r: (-table[r][0], *table[r][1:]))}
    runs = _recorded(*descend([(name, builds[name], rates[name]) for name in builds]), steps)
    _judge(runs, ground, radius)
    for run in runs:
        run.tried = tried.get(run.name, {})
    return Race(ground, runs, steps, starts, radius, noise)


# --- what was asked for -------------------------------------------------------------------------


def _generator(rng: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"race: rng must be None, a whole number ≥ 0 or a numpy.random.Generator, got {rng!r}"
        ) from None


def _starts(surface: Surface, start: Any, generator: np.random.Generator) -> np.ndarray:
    if start is None:
        return np.array([surface.start])
    if isinstance(start, numbers.Integral):
        low, high = np.transpose([surface.x, surface.y])
        return generator.uniform(low, high, (_checks.count("race", "start", start), 2))
    return surface.inside("race: start", start)


def _builds(optimizers: Any) -> dict[str, Build]:
    """For each label a function that makes the optimizer."""
    if isinstance(optimizers, Mapping):
        pairs = [(str(label), _build(rule)[1]) for label, rule in optimizers.items()]
    else:
        if isinstance(optimizers, str | type) or callable(optimizers):
            optimizers = [optimizers]
        if not isinstance(optimizers, Iterable):
            raise TypeError(
                "race: optimizers must be names, classes, functions or a dict of them, got "
                f"{optimizers!r}"
            )
        pairs = [_build(rule) for rule in optimizers]
    if not pairs:
        raise ValueError("race: there is no optimizer to race. Give some, such as ['SGD', 'Adam'].")
    (name, count), *_ = Counter(name for name, _ in pairs).most_common()
    if count > 1:
        raise ValueError(
            f"race: two optimizers are called {name!r}. Give a dict with a label for each."
        )
    return dict(pairs)


def _budget(tune: bool, budget: int | None) -> int:
    if budget is not None and not tune:
        raise ValueError(f"race: budget={budget} is of tune=True, which is not given")
    return BUDGET if budget is None else _checks.count("race", "budget", budget, 2)


def _build(rule: Any) -> tuple[str, Build]:
    if isinstance(rule, str):
        known = {name.lower(): name for name in RULES}
        if rule.lower() not in known:
            raise ValueError(
                f"race: there is no optimizer {rule!r}.{_checks.nearest(rule, RULES)} There are "
                f"{', '.join(RULES)}"
            )
        return known[rule.lower()], RULES[known[rule.lower()]]
    if isinstance(rule, functools.partial) and isinstance(rule.func, type):
        options = ", ".join(f"{name}={value!r}" for name, value in rule.keywords.items())
        return f"{rule.func.__name__}({options})", rule
    if not callable(rule):
        raise TypeError(
            "race: an optimizer must be a name, a class, or a function that makes one of a list of "
            f"parameters, got {rule!r}"
        )
    name = getattr(rule, "__name__", type(rule).__name__)
    return "your optimizer" if name == "<lambda>" else name, rule


def _rates(lr: Any, tune: bool, builds: Mapping[str, Build]) -> dict[str, dict[str, Any]]:
    """For each label the options that set its rate."""
    if tune and lr is not None:
        raise ValueError(
            f"race: tune=True searches for the rates; lr must not be given, got {lr!r}"
        )
    if not isinstance(lr, Mapping):
        return {name: {} if lr is None else {"lr": lr} for name in builds}
    lr = {str(name): rate for name, rate in lr.items()}
    if unknown := [name for name in lr if name not in builds]:
        raise ValueError(
            f"race: lr names {', '.join(map(repr, unknown))}, but the optimizers are called "
            f"{', '.join(map(repr, builds))}"
        )
    return {name: {"lr": lr[name]} if name in lr else {} for name in builds}


# --- the race -----------------------------------------------------------------------------------


@dataclass
class _Entry:
    """An optimizer, the one parameter that it moves, (2, starts), and its state arrays."""

    name: str
    optimizer: Any
    parameter: dl.Tensor
    state: dict[str, np.ndarray]


def _descend(
    surface: Surface, starts: np.ndarray, steps: int, noise: float, seed: int, asked: list[Any]
) -> tuple[list[_Entry], Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]]:
    """The optimizers at the start, and (k, θ, f, gradient) of all of them at each step.

    θ and gradient are (optimizers, 2, starts), and overwritten by the next step.
    """
    entries = [_entry(name, build, options, starts) for name, build, options in asked]
    return entries, _walk(surface, entries, steps, noise, np.random.default_rng(seed))


def _entry(name: str, build: Build, options: dict[str, Any], starts: np.ndarray) -> _Entry:
    parameter = dl.Tensor(starts.T, requires_grad=True, name="θ")
    try:
        optimizer = build([parameter], **options)
    except TypeError as error:
        if isinstance(build, type | functools.partial):
            raise
        given = "".join(f", {option}={value!r}" for option, value in options.items())
        raise TypeError(
            f"race: {name}([θ]{given}) failed: {error}. A function must take a list of parameters, "
            "and lr where the race gives rates."
        ) from error
    if not isinstance(optimizer, optim.Optimizer):
        raise TypeError(f"race: {name} must make an optimizer, got {optimizer!r}")
    if parameter not in optimizer.state:
        raise ValueError(f"race: {name} must be made of the parameters that it is given")
    if any(plateaus(optimizer.groups[0]["lr"])):
        raise ValueError(
            f"race: {name} has ReduceOnPlateau, which answers to a metric; a race takes schedules "
            "that are functions of the step, such as StepDecay"
        )
    state = {key: x for key, x in optimizer.state[parameter].items() if isinstance(x, np.ndarray)}
    return _Entry(name, optimizer, parameter, state)


def _walk(
    surface: Surface, entries: list[_Entry], steps: int, noise: float, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    shape = (len(entries), *entries[0].parameter.shape)
    theta, gradient = np.empty(shape), np.empty(shape)
    for entry, g in zip(entries, gradient, strict=True):
        entry.parameter.grad = g
    for k in range(steps + 1):
        for here, entry in zip(theta, entries, strict=True):
            here[...] = entry.parameter.data
        loss, slope = surface.at(theta.swapaxes(0, 1))
        gradient[...] = slope.swapaxes(0, 1)
        if not (np.isfinite(loss).all() and np.isfinite(gradient).all()):
            _finite(surface, entries, k, theta, loss, gradient)
        if noise:
            gradient += rng.normal(0, noise, shape[1:])
        yield k, theta, loss, gradient
        if k < steps:
            with np.errstate(all="ignore"):
                for entry in entries:
                    entry.optimizer.step()


def _finite(
    surface: Surface, entries: list[_Entry], k: int, theta: Any, loss: Any, gradient: Any
) -> None:
    """An error for a value or gradient that is not finite, unless the run has left the domain."""
    known = np.isfinite(loss) & np.isfinite(gradient).all(1)
    wrong = np.argwhere(~known & surface.contains(theta.swapaxes(0, 1)))
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(
            f"race: {surface.name} is not finite at {_at(theta[i, :, j])}, inside its domain, "
            f"where {entries[i].name} came at step {k}: f = {number(loss[i, j]).shown}, gradient "
            f"{_at(gradient[i, :, j])}. Mend the function, or choose a domain in which it is "
            "finite."
        )


def _recorded(entries: list[_Entry], walk: Any, steps: int) -> list[Run]:
    """Run the race, and keep all of it."""
    shape = (steps + 1, len(entries), *entries[0].parameter.shape)
    thetas, gradients, losses = np.empty(shape), np.empty(shape), np.empty((*shape[:2], shape[3]))
    lr = np.empty((steps, len(entries)))
    states = [
        {name: np.empty((steps + 1, *x.shape)) for name, x in entry.state.items()}
        for entry in entries
    ]
    arrays = [
        (kept[name], x)
        for entry, kept in zip(entries, states, strict=True)
        for name, x in entry.state.items()
    ]
    rates = [e.optimizer.groups[0]["lr"] for e in entries]
    for k, theta, loss, gradient in walk:
        thetas[k], losses[k], gradients[k] = theta, loss, gradient
        for kept, x in arrays:
            kept[k] = x
        if k < steps:
            lr[k] = [rate(k) if isinstance(rate, Schedule) else rate for rate in rates]
    for state in states:
        for name, kept in state.items():
            state[name] = kept.swapaxes(1, 2) if kept.ndim == 3 else kept
    return [
        Run(
            entry.name,
            entry.optimizer,
            thetas[:, i].swapaxes(1, 2),
            losses[:, i],
            gradients[:, i].swapaxes(1, 2),
            states[i],
            lr[:, i],
        )
        for i, entry in enumerate(entries)
    ]


# --- the verdicts -------------------------------------------------------------------------------


def _scores(walk: Any, surface: Surface, radius: float) -> list[tuple[float, float, float]]:
    """For each optimizer: the share of starts that arrive, the median steps, the median f."""
    outside: Any = -1
    for k, theta, f, _ in walk:
        loss = f  # of the last step, after the loop
        inside = verdicts.distance(surface, theta.swapaxes(0, 1)) <= radius
        outside = np.where(inside, outside, k)
    came = verdicts.arrived(outside, k)
    finite = np.where(np.isfinite(loss), loss, np.inf)
    return [
        (
            float(np.mean(a >= 0)),
            float(np.median(a[a >= 0])) if (a >= 0).any() else float(np.inf),
            float(np.median(f)),
        )
        for a, f in zip(came, finite, strict=True)
    ]


def _judge(runs: list[Run], surface: Surface, radius: float) -> None:
    """Give each run its verdicts, and when it arrived."""
    theta = np.stack([run.theta.transpose(2, 1, 0) for run in runs], 1)  # (2, runs, starts, steps)
    loss = np.stack([run.loss[-1] for run in runs])
    for run, words, came in zip(runs, *verdicts.judge(theta, loss, surface, radius), strict=True):
        run.verdicts = words.tolist()
        run.arrived = [k if k >= 0 else None for k in came.tolist()]


# --- words --------------------------------------------------------------------------------------


def _at(point: Any) -> str:
    return f"({', '.join(number(x).shown for x in point)})"


def _often(words: list[str]) -> str:
    return words[0] if len(words) == 1 else _counted(words)


def _counted(words: list[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())
