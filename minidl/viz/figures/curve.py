"""A curve with minima, a maximum and a saddle, and where update rules end on it."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import transforms
from matplotlib.figure import Figure

from minidl import _checks, optim
from minidl.tensor import Tensor
from minidl.viz import plots, style
from minidl.viz.figures import _given
from minidl.viz.figures.rates import descend

STATIONARY = (0.0, 0.0, 1.25, 2.0, 2.8)  # where the derivative of hills is 0, twice at the saddle
_POWERS = 0.06 * np.polynomial.polynomial.polyint(np.poly(STATIONARY)[::-1])


class Point(NamedTuple):
    """A place where the derivative is 0."""

    theta: float
    kind: str


def hills(theta: Any) -> Any:
    """The integral of 0.06 θ²(θ − 1.25)(θ − 2)(θ − 2.8), a polynomial of degree six.

    >>> hills(0.0)
    0.0
    """
    return functools.reduce(lambda value, power: value * theta + power, _POWERS[::-1].tolist())


def stationary_points(
    f: Callable[[Tensor], Tensor], low: float, high: float, *, grid: int = 2001
) -> list[Point]:
    """Where the derivative of f, by minidl's autograd, is 0 between two numbers, and what is there.

    f     an entry-by-entry function of a Tensor
    grid  at how many places to look; points closer than two of them are seen as one

    >>> stationary_points(lambda theta: theta**3 - 3 * theta, -2.0, 2.0)
    [Point(theta=-1.0000, kind='local maximum'), Point(theta=1.0000, kind='global minimum')]
    """
    theta = np.linspace(low, high, grid)
    curve = _values(f, theta)
    slopes = _slopes(f, theta)
    steep = np.abs(slopes)
    floor = 1e-6 * steep.max()
    points = []
    for i in range(1, grid - 1):
        if steep[i] > steep[i - 1] or steep[i] >= steep[i + 1]:
            continue
        at = _flattest(f, theta[i - 1], theta[i + 1])
        if np.abs(_slopes(f, np.array([at])))[0] <= floor:
            signs = np.sign(slopes[[i - 1, i + 1]])
            kinds = {(-1, 1): "local minimum", (1, -1): "local maximum"}
            points.append(Point(float(at), kinds.get(tuple(signs.astype(int)), "saddle")))
    minima = np.array([point.theta for point in points if point.kind == "local minimum"])
    values = _values(f, minima)
    lowest = minima[values <= values.min(initial=np.inf) + 1e-9 * np.ptp(curve)]
    return [p._replace(kind="global minimum") if p.theta in lowest else p for p in points]


def landscape(
    f: Callable[[Tensor], Tensor] = hills,
    *,
    start: float = -0.6,
    rules: Mapping[str, float] | None = None,
    steps: int = 200,
    between: tuple[float, float] = (-0.75, 3.25),
) -> Figure:
    """A loss with one weight, its flat places by name, and where update rules end on it.

    f        an entry-by-entry function of a Tensor θ, the loss
    start    where all begin, in `between`
    rules    for each rule of minidl.optim, by name, its rate; without it SGD, Momentum and Adam,
             each at 0.5
    steps    how many steps each takes, ≥ 1
    between  the part (low, high) of the curve that is drawn and searched for flat places

    The flat places are found from the derivative; global is the lowest minimum in the picture.
    ValueError for an unknown rule, a start outside the picture, and a function that is not finite
    there; TypeError for one that gives no Tensor of θ's shape.

    >>> figure = landscape(lambda theta: theta**2, start=1.0, rules={"SGD": 0.1}, between=(-2, 2))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['global\\nminimum', 'start', 'SGD']
    """
    low, high = _given.interval("landscape", "between", between)
    start = _checks.number("landscape", "start", start, low, high)
    steps = _checks.count("landscape", "steps", steps)
    rates = _rates({"SGD": 0.5, "Momentum": 0.5, "Adam": 0.5} if rules is None else rules)
    points = stationary_points(f, low, high)
    paths = {name: _path(f, name, rate, start, steps) for name, rate in rates.items()}
    heights = {name: _values(f, path) for name, path in paths.items()}
    theta = np.linspace(low, high, 801)
    curve = _values(f, theta)
    flat = _values(f, np.array([point.theta for point in points]))
    (begin,) = _values(f, np.array([start]))
    uphill = 1 if _slopes(f, np.array([start]))[0] > 0 else -1
    bottom, top = curve.min(), np.max([curve.min(), *flat, begin])
    room, margin = (top - bottom) or 1.0, (high - low) / 12  # for the word beside the start
    ends = [f"{name} {_end(path, points, (high - low) / 50)}" for name, path in paths.items()]
    common = f"after {plots.steps_of(steps)} from θ = {start:g}".replace("-", "−")
    if len(set(rates.values())) == 1:
        common += f" at η = {next(iter(rates.values())):g}"
    if len(paths) > 1:
        common += " (paths lifted a little, to be seen)"
    title = textwrap.fill(", ".join(ends), 80) + f"\n{common}"
    with style.drawing():
        figure, axes = plt.subplots()
        axes.plot(theta, curve, color=style.COLOURS["grey"], lw=3, zorder=1)
        axes.set(
            xlim=(min(low, start - margin), max(high, start + margin)),
            ylim=(bottom - 0.3 * room, top + 0.35 * room),
            xlabel="weight θ", ylabel="loss J(θ)", title=title,
        )  # fmt: skip
        ink: dict[str, Any] = {"color": "white", "mec": style.COLOURS["black"], "ms": 9, "mew": 2}
        below: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top"}
        for point, height in zip(points, flat, strict=True):
            axes.plot(point.theta, height, "o", zorder=2, **ink)
            words = point.kind.replace(" ", "\n")
            axes.annotate(words, (point.theta, height), (0, -12), **below)
        axes.plot(start, begin, "o", zorder=2, **ink | {"ms": 13})
        axes.annotate(
            "start", (start, begin), (12 * uphill, 0), textcoords="offset points", va="center",
            ha="left" if uphill > 0 else "right",
        )  # fmt: skip
        near: dict[float, int] = {}
        looks = style.looks(list(paths))
        for lane, ((name, path), look) in enumerate(zip(paths.items(), looks, strict=True)):
            _draw_path(axes, path, heights[name], look.colour, lane)
            place = round(10 * (path[-1] - low) / (high - low))
            above = 11 * len(paths) + 14 + 20 * near.get(place, 0)
            near[place] = near.get(place, 0) + 1
            axes.annotate(
                name, (path[-1], heights[name][-1]), (0, above), textcoords="offset points",
                ha="center", weight="bold", color=look.colour, zorder=5,
            )  # fmt: skip
        figure.draw_without_rendering()
    return figure


def _draw_path(axes: Any, path: np.ndarray, heights: np.ndarray, colour: str, lane: int) -> None:
    """Balls in a lane of their own above the curve, the last one large."""
    above = transforms.offset_copy(axes.transData, axes.figure, y=9 + 11 * lane, units="points")
    look = {"color": colour, "marker": "o", "mew": 0, "transform": above}
    axes.plot(path, heights, ms=6, alpha=0.4, lw=1, zorder=3, **look)
    axes.plot(path[-1], heights[-1], ms=16, zorder=4, **look)


def _end(path: np.ndarray, points: list[Point], near: float) -> str:
    """Where a path ends, in words."""
    for point in points:
        if np.all(np.abs(path[-10:] - point.theta) < near):
            return f"at {'the' if 'global' in point.kind else 'a'} {point.kind}"
    return "still on the way"


def _rates(rules: Any) -> dict[str, float]:
    if not isinstance(rules, Mapping):
        raise TypeError(
            f'landscape: rules must be rates by name, such as {{"SGD": 0.1}}, got {rules!r}'
        )
    if not rules:
        raise ValueError("landscape: rules names no rule")
    for name in rules:
        if name not in optim.RULES:
            hint = _checks.nearest(str(name), optim.RULES)
            raise ValueError(
                f"landscape: there is no rule {name!r}.{hint} There are {', '.join(optim.RULES)}"
            )
    return {
        name: _checks.number("landscape", f"rules[{name!r}]", rate, 0, optim.LARGEST)
        for name, rate in rules.items()
    }


def _values(f: Any, theta: np.ndarray) -> np.ndarray:
    """f at many places, checked."""
    with np.errstate(all="ignore"):
        value = _given.entries("landscape", f, Tensor(theta))
    if not np.isfinite(value.data).all():
        at = theta[~np.isfinite(value.data)][0]
        raise ValueError(
            f"landscape: f({at:g}) is {value.data[~np.isfinite(value.data)][0]}; choose another "
            "start, a smaller rate, or a part of the curve (between=) where f is finite"
        )
    return value.data


def _slopes(f: Any, theta: np.ndarray) -> np.ndarray:
    """The derivative of f at many places."""
    leaf = Tensor(theta, requires_grad=True)
    with np.errstate(all="ignore"):
        value = f(leaf).sum()
        if not value.requires_grad:
            raise TypeError("landscape: f(θ) does not depend on θ, so it has no derivative")
        value.backward()
    return np.asarray(leaf.grad)


def _flattest(f: Any, low: float, high: float) -> float:
    """Where in between the derivative is nearest to 0, by golden section."""
    share = (math.sqrt(5) - 1) / 2
    for _ in range(60):
        one, other = high - share * (high - low), low + share * (high - low)
        steep = np.abs(_slopes(f, np.array([one, other])))
        low, high = (low, other) if steep[0] <= steep[1] else (one, high)
    return (low + high) / 2


def _path(f: Any, name: str, rate: float, start: float, steps: int) -> np.ndarray:
    theta = Tensor(np.array(start), requires_grad=True)
    return descend(f, optim.RULES[name]([theta], lr=rate), steps)
