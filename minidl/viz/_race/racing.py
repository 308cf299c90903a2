"""Races, for users and for the gallery: optimizers descend a surface step by step.

The optimizers are those of `minidl.optim` and step through their kernels; gradients come from
minidl's autograd. Rules are element-wise, so all optimizers are evaluated at once, and an
optimizer has the points from all starts in one parameter.
"""

from __future__ import annotations

import functools
import inspect
import numbers
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import _checks
from minidl._format import Text, number, printable
from minidl.optim import RULES, Optimizer
from minidl.schedulers import Rate, Schedule, plateaus
from minidl.tensor import Tensor
from minidl.viz._race import table, verdicts
from minidl.viz._race.record import RaceRecord, RateScore, Run, coordinates
from minidl.viz._race.surfaces import Function, Surface, as_surface

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

ARTICLE = ("SGD", "Momentum", "NAG", "Adagrad", "RMSprop", "Adam", "Adadelta", "FTRL")
MIN_RATE, MAX_RATE, BUDGET = 1e-4, 100.0, 31  # the rates that tuning tries, and how many
Factory = Callable[..., Optimizer]  # (params) or (params, lr=…) → optimizer
Rule = str | Factory  # a name, a class or a function
Rules = Rule | Iterable[Rule] | Mapping[Any, Rule]


class Race(RaceRecord):
    """A finished race: one run per optimizer in `runs`, and methods to show them.

    surface  the Surface              steps   how many each optimizer took
    runs     list of Run              starts  (starts, 2)
    radius   of the goal around each global minimum
    noise    the standard deviation of the noise in each entry of each gradient

    >>> race = dl.viz.race("bowl", ["SGD", "Adam"], steps=300, lr=0.1)
    >>> race
    Race(bowl, 300 steps, SGD: global minimum, Adam: global minimum)
    >>> race.runs[0].theta[1, 0]                # θ − η∇f from (−3.4, 2.4), ∇f = (x, 2y)
    array([-3.06,  1.92])
    """

    def table(self) -> Text:
        """The result as text: where each run ended, when it arrived, and the verdict.

        With many starts: how many arrived, the median of their steps, and how all of them ended.
        """
        return Text(table.as_text(self, printable))

    def plot(
        self, path: str | PathLike[str] | None = None, *, start: int = 0, title: str | None = None
    ) -> Axes:
        """Draw the contours and the paths from one start; returns the Matplotlib axes.

        path   a file to write, such as "race.png", .svg or .pdf; without one, the figure is opened
               in pyplot, as by pyplot.subplots
        start  the index of the start
        title  by default it names the optimizer that arrives first
        """
        from minidl.viz import plots

        return plots.plot_race(self, self._check_start(start), title, path)

    def animate(
        self,
        path: str | PathLike[str] | None = None,
        *,
        start: int = 0,
        frames: int = 80,
        fps: int = 20,
    ) -> FuncAnimation:
        """Animate the race from one start; returns the Matplotlib animation.

        Its figure is not opened in pyplot.

        path    a file to write: a .gif, or an .mp4 if ffmpeg is installed
        start   the index of the start
        frames  the number of frames, ≥ 2, from the first step to the last; they are closer together
                at the beginning
        fps     frames per second
        """
        from minidl.viz import film

        return film.animate(self, path, self._check_start(start), frames, fps)

    def save(self, path: str | PathLike[str], *, start: int = 0) -> Path:
        """Write the race as an interactive page: one .html file that needs no network."""
        from minidl.viz._race import page

        return page.save(self, path, self._check_start(start))

    def serve(self, *, start: int = 0, port: int = 0, browser: bool = True) -> None:
        """Open the page of the race so that it can be changed, until Ctrl-C.

        A click on the map starts the race there; sliders change the rate and β of the chosen rule,
        and the noise, which is that of rng=0. Each change is a new race, computed by the rules'
        kernels. Only this machine can connect.

        start    the index of the start that the page shows at first
        port     a number up to 65535; 0 takes a free one
        browser  whether to open the page; its address is printed in any case

        OSError if the port can't be used.
        """
        from minidl.viz._race import live

        _checks.flag("race", "browser", browser)
        live.serve(self, self._check_start(start), race, port, browser)

    def _repr_html_(self) -> str:
        """The page in an iframe, for a notebook."""
        from minidl.viz._race import page

        return page.frame(self)


def race(
    surface: str | Surface | Function,
    optimizers: Rules = ARTICLE,
    *,
    steps: int = 400,
    start: Any = None,
    lr: Rate | Mapping[Any, Rate] | None = None,
    tune: bool | None = None,
    budget: int | None = None,
    noise: float = 0.0,
    tolerance: float = 0.01,
    rng: int | np.random.Generator | None = 0,
) -> Race:
    """Let optimizers descend a surface, each from the same start.

    surface     a name (`SURFACES`), a `Surface`, or a function of two tensors, whose domain is
                then −2 … 2 in both directions
    optimizers  names or classes of rules; `functools.partial(dl.optim.Adam, betas=(0.5, 0.9))` and
                other functions (params, lr) → optimizer; or a dict of them, {label: rule}; by
                default eight well-known rules
    steps       the number of steps, ≥ 1
    start       a point (x, y), a list of points, or a number of points to draw at random from the
                domain; by default the surface's own
    lr          a rate or schedule for all optimizers, or a dict {label: rate or schedule}, in
                which an optimizer without one uses its default
    tune        try `budget` (31) constant rates from 0.0001 to 100 for each optimizer, in equal
                ratios and rounded to two digits, from the same starts, and race with the best: the
                most starts that arrive, then the lowest median number of steps, then the lowest
                median of f at the end. By default this is done without lr, unless an optimizer
                sets its own rate or the function is not element-wise, as that takes long; with
                False, an optimizer without a rate uses its default
    noise       standard deviation of the normal noise that is added to each entry of each gradient
                to imitate mini-batches; it is the same for all optimizers
    tolerance   the radius of the goal, a circle around each global minimum, as a fraction of the
                longer side of the domain
    rng         None, a seed or a numpy.random.Generator, for random starts and the noise

    Nothing is clipped, so a run may diverge. The verdicts:

    - "global minimum": the last ten points are inside the goal, or the last half of them if there
      are fewer than twenty. If the minima were searched for and form a valley, each of its points
      is a goal.
    - "diverged": not finite; or at the end outside the domain and either higher than f on a grid
      inside it or farther away than its width, and not at rest at a point with gradient 0.
    - "local minimum", "stuck at a saddle", "stuck at a maximum": the last tenth of the points, at
      least ten, lies in a circle of the goal's size, and a point with gradient 0 is that close to
      the end. A run at a saddle or maximum is stuck if it moves there ever less, and not along a
      direction in which f falls; otherwise it leaves in the end, so it is still moving.
    - "standing still": it does not move, or ever less in such a circle where the surface is flat.
    - "oscillating": the path through that last tenth is at least five times as long as its
      progress, which is twice the distance between the mean points of its two halves.
    - "still moving": anything else.

    ValueError or TypeError for an unknown surface or optimizer, a start outside the domain, options
    out of range, a function that is not finite inside its domain, and ReduceOnPlateau, which needs
    a metric.

    >>> print(dl.viz.race("saddle", ["SGD", "Adam"], steps=60, start=(-1.5, 0), lr=0.1).table())
    saddle: 60 steps from (−1.5, 0)
    f = x² / 2 − y² / 2 + y⁴ / 4
    goal: within 0.04 of (0, −1) or (0, 1)
    <BLANKLINE>
    optimizer  rate  verdict            steps to goal  f at the end  ends at
    SGD        0.1   stuck at a saddle  –              3.633e−6      (−0.002696, 0)
    Adam       0.1   still moving       –              0.001029      (−0.04537, 0)
    <BLANKLINE>
    None reached the goal; another rate may; tune=True searches for one.
    """
    surface = as_surface(surface)
    steps, noise = _checks.count("race", "steps", steps), _checks.number("race", "noise", noise)
    radius = surface.width * _checks.number("race", "tolerance", tolerance, above=True, high=1)
    generator = _checks.generator("race", rng)
    starts = _starts(surface, start, generator)
    factories = _factories(optimizers)
    tuned = _tuned(tune, lr, surface, factories)
    budget = _budget(tuned, budget)
    options = _rate_options(lr, factories)
    seed = int(generator.integers(2**63))
    tried: dict[str, dict[float, RateScore]] = {name: {} for name in factories}
    if tuned:
        candidates = [float(f"{rate:.2g}") for rate in np.geomspace(MIN_RATE, MAX_RATE, budget)]
        pairs = [(name, rate) for name in tuned for rate in candidates]
        entrants = [_entrant(name, factories[name], {"lr": rate}, starts) for name, rate in pairs]
        scores = _scores(_descend(surface, entrants, steps, noise, seed), surface, radius)
        for (name, rate), score in zip(pairs, scores, strict=True):
            tried[name][rate] = score
        for name in tuned:
            by_rate = tried[name]
            best = min(by_rate, key=lambda r: (-by_rate[r].arrived, *by_rate[r][1:]))
            options[name] = {"lr": best}
    entrants = [_entrant(name, make, options[name], starts) for name, make in factories.items()]
    runs = _record(entrants, _descend(surface, entrants, steps, noise, seed), steps)
    _add_verdicts(runs, surface, radius)
    for run in runs:
        run.tried = tried[run.name]
    return Race(surface, runs, steps, starts, radius, noise)


# --- arguments ----------------------------------------------------------------------------------


def _starts(surface: Surface, start: Any, generator: np.random.Generator) -> np.ndarray:
    """The starts, (starts, 2)."""
    if start is None:
        return np.array([surface.start])
    if isinstance(start, numbers.Integral):
        low, high = np.transpose([surface.x, surface.y])
        return generator.uniform(low, high, (_checks.count("race", "start", start), 2))
    return surface._check_points("race: start", start)


def _tuned(tune: Any, lr: Any, surface: Surface, factories: dict[str, Factory]) -> list[str]:
    """The labels of the optimizers whose rates are tuned."""
    if tune is not None:
        tune = _checks.flag("race", "tune", tune)
        if tune and lr is not None:
            raise ValueError(
                f"race: tune=True searches for the rates, so lr must not be given, got {lr!r}"
            )
        return list(factories) if tune else []
    if lr is not None or not surface.elementwise:
        return []
    return [name for name, make in factories.items() if _takes_rate(make)]


def _takes_rate(make: Factory) -> bool:
    """Whether a rule leaves its rate open: not if it is a partial that sets lr, for example."""
    if isinstance(make, functools.partial):
        return "lr" not in make.keywords and _takes_rate(make.func)
    return isinstance(make, type) or "lr" in inspect.signature(make).parameters


def _budget(tuned: list[str], budget: int | None) -> int:
    if budget is not None and not tuned:
        raise ValueError(f"race: budget={budget} needs tune=True, but no rate is searched for")
    return BUDGET if budget is None else _checks.count("race", "budget", budget, 2)


def _factories(optimizers: Rules) -> dict[str, Factory]:
    """For each label the function that makes the optimizer."""
    if isinstance(optimizers, Mapping):
        pairs = [(str(label), _factory(rule)[1]) for label, rule in optimizers.items()]
    else:
        if isinstance(optimizers, str | type) or callable(optimizers):
            optimizers = [optimizers]
        if not isinstance(optimizers, Iterable) or getattr(optimizers, "ndim", 1) != 1:
            raise TypeError(
                "race: optimizers must be names, classes, functions or a dict of them, got "
                f"{optimizers!r}"
            )
        pairs = [_factory(rule) for rule in optimizers]
    if not pairs:
        raise ValueError("race: there is no optimizer to race. Give some, such as ['SGD', 'Adam'].")
    (name, count), *_ = Counter(name for name, _ in pairs).most_common()
    if count > 1:
        raise ValueError(
            f"race: two optimizers are called {name!r}. Give a dict with a label for each."
        )
    return dict(pairs)


def _factory(rule: Any) -> tuple[str, Factory]:
    """The label of a rule, and the function that makes the optimizer."""
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
            "race: an optimizer must be a name, a class, or a function that makes an optimizer "
            f"from a list of parameters, got {rule!r}"
        )
    name = getattr(rule, "__name__", type(rule).__name__)
    return "your optimizer" if name == "<lambda>" else name, rule


def _rate_options(lr: Any, labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For each label the options that set its rate."""
    labels = list(labels)
    if not isinstance(lr, Mapping):
        if isinstance(lr, list | tuple) or np.ndim(lr) > 0:
            raise TypeError(
                "race: lr must be a rate or schedule for all optimizers, or a dict with one for "
                f"each name, such as {{{labels[0]!r}: 0.01}}; got {lr!r}"
            )
        return {label: {} if lr is None else {"lr": lr} for label in labels}
    by_lower = {label.lower(): label for label in labels}
    lr = {
        name if name in labels else by_lower.get(name.lower(), name): rate
        for name, rate in ((str(label), rate) for label, rate in lr.items())
    }
    if unknown := [label for label in lr if label not in labels]:
        raise ValueError(
            f"race: lr names {', '.join(map(repr, unknown))}, but the optimizers are called "
            f"{', '.join(map(repr, labels))}"
        )
    return {label: {"lr": lr[label]} if label in lr else {} for label in labels}


# --- the race -----------------------------------------------------------------------------------


@dataclass
class _Entrant:
    """An optimizer, its only parameter, (2, starts), and the state arrays of that parameter."""

    name: str
    optimizer: Optimizer
    parameter: Tensor
    state: dict[str, np.ndarray]


# k, and of all optimizers: θ (optimizers, 2, starts), f (optimizers, starts), gradient as θ
Step = tuple[int, np.ndarray, np.ndarray, np.ndarray]


def _entrant(name: str, make: Factory, options: dict[str, Any], starts: np.ndarray) -> _Entrant:
    parameter = Tensor(starts.T, requires_grad=True, name="θ")
    try:
        optimizer = make([parameter], **options)
    except TypeError as error:
        if isinstance(make, type | functools.partial):
            raise
        given = "".join(f", {option}={value!r}" for option, value in options.items())
        raise TypeError(
            printable(
                f"race: {name}([θ]{given}) failed: {error}. A function must take a list of "
                "parameters, and lr where the race gives rates."
            )
        ) from error
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"race: {name} must make an optimizer, got {optimizer!r}")
    if parameter not in optimizer.state:
        raise ValueError(f"race: {name} must use the parameters that it is given")
    if any(plateaus(optimizer.groups[0]["lr"])):
        raise ValueError(
            f"race: {name} has ReduceOnPlateau, which needs a metric; a race takes schedules "
            "that are functions of the step, such as StepDecay"
        )
    state = {key: x for key, x in optimizer.state[parameter].items() if isinstance(x, np.ndarray)}
    return _Entrant(name, optimizer, parameter, state)


def _descend(
    surface: Surface, entrants: list[_Entrant], steps: int, noise: float, seed: int
) -> Iterator[Step]:
    """Let all optimizers take their steps together. The next step overwrites θ and gradient."""
    rng = np.random.default_rng(seed)
    shape = (len(entrants), *entrants[0].parameter.shape)
    theta, gradient = np.empty(shape), np.empty(shape)
    for entrant, own_gradient in zip(entrants, gradient, strict=True):
        entrant.parameter.grad = own_gradient
    for k in range(steps + 1):
        for position, entrant in zip(theta, entrants, strict=True):
            position[...] = entrant.parameter.data
        loss, exact_gradient = surface.at(theta.swapaxes(0, 1))
        gradient[...] = exact_gradient.swapaxes(0, 1)
        if not (np.isfinite(loss).all() and np.isfinite(gradient).all()):
            _check_finite(surface, entrants, k, theta, loss, gradient)
        if noise:
            gradient += rng.normal(0, noise, shape[1:])
        yield k, theta, loss, gradient
        if k < steps:
            with np.errstate(all="ignore"):
                for entrant in entrants:
                    entrant.optimizer.step()


def _check_finite(
    surface: Surface,
    entrants: list[_Entrant],
    k: int,
    theta: np.ndarray,
    loss: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """ValueError if f or its gradient is not finite at a point inside the domain."""
    finite = np.isfinite(loss) & np.isfinite(gradient).all(1)
    undefined = np.argwhere(~finite & surface.contains(theta.swapaxes(0, 1)))
    if len(undefined):
        i, j = undefined[0]
        raise ValueError(
            f"race: {surface.name} is not finite at {coordinates(theta[i, :, j])}, inside its "
            f"domain, which {entrants[i].name} reached at step {k}: f = {number(loss[i, j]).shown},"
            f" gradient {coordinates(gradient[i, :, j])}. Correct the function, or choose a domain "
            "in which it is finite."
        )


def _record(entrants: list[_Entrant], walk: Iterator[Step], steps: int) -> list[Run]:
    """Run the race, and record every step of it."""
    shape = (steps + 1, len(entrants), *entrants[0].parameter.shape)
    thetas, gradients, losses = np.empty(shape), np.empty(shape), np.empty((*shape[:2], shape[3]))
    lr = np.empty((steps, len(entrants)))
    states = [
        {name: np.empty((steps + 1, *x.shape)) for name, x in entrant.state.items()}
        for entrant in entrants
    ]
    copies = [
        (records[name], x)
        for entrant, records in zip(entrants, states, strict=True)
        for name, x in entrant.state.items()
    ]
    rates = [entrant.optimizer.groups[0]["lr"] for entrant in entrants]
    for k, theta, loss, gradient in walk:
        thetas[k], losses[k], gradients[k] = theta, loss, gradient
        for record, x in copies:
            record[k] = x
        if k < steps:
            lr[k] = [rate(k) if isinstance(rate, Schedule) else rate for rate in rates]
    for state in states:
        for name, record in state.items():
            state[name] = record.swapaxes(1, 2) if record.ndim == 3 else record
    return [
        Run(
            entrant.name,
            entrant.optimizer,
            thetas[:, i].swapaxes(1, 2),
            losses[:, i],
            gradients[:, i].swapaxes(1, 2),
            states[i],
            lr[:, i],
        )
        for i, entrant in enumerate(entrants)
    ]


# --- verdicts -----------------------------------------------------------------------------------


def _scores(positions: Iterator[Step], surface: Surface, radius: float) -> list[RateScore]:
    """The score of each optimizer."""
    last_outside: Any = -1
    for k, theta, f, _ in positions:
        loss = f  # of the last step, after the loop
        with np.errstate(all="ignore"):
            inside = verdicts.distance(surface, theta.swapaxes(0, 1)) <= radius
        last_outside = np.where(inside, last_outside, k)
    arrivals = verdicts.arrival(last_outside, k)
    finite = np.where(np.isfinite(loss), loss, np.inf)
    return [
        RateScore(
            float(np.mean(steps >= 0)),
            float(np.median(steps[steps >= 0])) if (steps >= 0).any() else float(np.inf),
            float(np.median(f)),
        )
        for steps, f in zip(arrivals, finite, strict=True)
    ]


def _add_verdicts(runs: list[Run], surface: Surface, radius: float) -> None:
    """Give each run its verdicts and its arrivals."""
    theta = np.stack([run.theta.transpose(2, 1, 0) for run in runs], 1)  # (2, runs, starts, steps)
    loss = np.stack([run.loss[-1] for run in runs])
    classified = verdicts.classify(theta, loss, surface, radius)
    for run, run_verdicts, arrivals in zip(runs, *classified, strict=True):
        run.verdicts = run_verdicts.tolist()
        run.arrived = [k if k >= 0 else None for k in arrivals.tolist()]
