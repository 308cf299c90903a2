"""A figure of the gallery: a curve with minima, a maximum and a saddle, and where rules end."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib import transforms
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minidl import _checks, optim
from minidl._format import printable
from minidl.optim.declarations import LARGEST
from minidl.tensor import Tensor
from minidl.viz import plots, style
from minidl.viz.figures import _arguments
from minidl.viz.figures.rates import descend

STATIONARY = (0.0, 0.0, 1.25, 2.0, 2.8)  # the zeros of the derivative of hills, 0 a double one
_COEFFICIENTS = 0.06 * np.polynomial.polynomial.polyint(np.poly(STATIONARY)[::-1])


class StationaryPoint(NamedTuple):
    """A point with derivative 0, and whether it is a minimum, a maximum or a saddle."""

    theta: float
    kind: str


def hills(theta: Any) -> Any:
    """The integral of 0.06 θ²(θ − 1.25)(θ − 2)(θ − 2.8), a polynomial of degree six.

    >>> hills(0.0)
    0.0
    """
    return functools.reduce(lambda value, c: value * theta + c, _COEFFICIENTS[::-1].tolist())


def stationary_points(
    f: Callable[[Tensor], Tensor], low: float, high: float, *, grid: int = 2001
) -> list[StationaryPoint]:
    """The points between two numbers at which the derivative of f, from autograd, is 0.

    f     an element-wise function of a Tensor
    grid  the number of points to search from; stationary points that are closer together than two
          of them count as one

    >>> stationary_points(lambda theta: theta**3 - 3 * theta, -2.0, 2.0)
    [StationaryPoint(theta=-1.0000, kind='local maximum'),
     StationaryPoint(theta=1.0000, kind='global minimum')]
    """
    theta = np.linspace(low, high, grid)
    curve = _values(f, theta)
    derivative = _derivatives(f, theta)
    steepness = np.abs(derivative)
    tolerance = 1e-6 * steepness.max()
    points = []
    for i in range(1, grid - 1):
        if steepness[i] > steepness[i - 1] or steepness[i] >= steepness[i + 1]:
            continue
        root = _flattest(f, theta[i - 1], theta[i + 1])
        if np.abs(_derivatives(f, np.array([root])))[0] <= tolerance:
            before, after = np.sign(derivative[[i - 1, i + 1]]).astype(int)
            kinds = {(-1, 1): "local minimum", (1, -1): "local maximum"}
            kind = kinds.get((int(before), int(after)), "saddle")
            points.append(StationaryPoint(float(root), kind))
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
    """A loss with one weight, its stationary points by name, and where update rules end on it.

    f        an element-wise function of a Tensor θ, the loss
    start    where all rules begin, in `between`
    rules    {name of a rule of minidl.optim: rate}; by default SGD, Momentum and Adam, each at 0.5
    steps    how many steps each takes, ≥ 1
    between  the interval (low, high) that is drawn and searched for stationary points

    The lowest minimum in the picture counts as the global one. ValueError for an unknown rule, a
    start outside the picture, and a function that is not finite there; TypeError for one that does
    not return a Tensor of θ's shape.

    >>> figure = landscape(lambda theta: theta**2, start=1.0, rules={"SGD": 0.1}, between=(-2, 2))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['global\\nminimum', 'start', 'SGD']
    """
    low, high = _arguments.interval("landscape", "between", between)
    start = _checks.number("landscape", "start", start, low, high)
    steps = _checks.count("landscape", "steps", steps)
    rates = _rates({"SGD": 0.5, "Momentum": 0.5, "Adam": 0.5} if rules is None else rules)
    points = stationary_points(f, low, high)
    paths = {name: _path(f, name, rate, start, steps) for name, rate in rates.items()}
    heights = {name: _values(f, path) for name, path in paths.items()}
    theta = np.linspace(low, high, 801)
    curve = _values(f, theta)
    point_heights = _values(f, np.array([point.theta for point in points]))
    (start_height,) = _values(f, np.array([start]))
    uphill = 1 if _derivatives(f, np.array([start]))[0] > 0 else -1
    bottom, top = curve.min(), np.max([curve.min(), *point_heights, start_height])
    height, margin = (top - bottom) or 1.0, (high - low) / 12  # the margin is for the label "start"
    with style.context():
        figure = plots.new_figure()
        axes = figure.subplots()
        axes.plot(theta, curve, color=style.COLOURS["grey"], lw=3, zorder=1)
        axes.set(
            xlim=(min(low, start - margin), max(high, start + margin)),
            ylim=(bottom - 0.3 * height, top + 0.35 * height),
            xlabel="weight θ", ylabel="loss J(θ)",
            title=_title(paths, points, rates, start, steps, (high - low) / 50),
        )  # fmt: skip
        ring: dict[str, Any] = {"color": "white", "mec": style.COLOURS["black"], "ms": 9, "mew": 2}
        below: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top"}
        for point, point_height in zip(points, point_heights, strict=True):
            axes.plot(point.theta, point_height, "o", zorder=2, **ring)
            label = point.kind.replace(" ", "\n")
            axes.annotate(label, (point.theta, point_height), (0, -12), **below)
        axes.plot(start, start_height, "o", zorder=2, **ring | {"ms": 13})
        axes.annotate(
            "start", (start, start_height), (12 * uphill, 0), textcoords="offset points",
            va="center", ha="left" if uphill > 0 else "right",
        )  # fmt: skip
        labels_at: dict[float, int] = {}  # how many labels are already at about the same θ
        styles = style.run_styles(list(paths))
        for lane, ((name, path), run_style) in enumerate(zip(paths.items(), styles, strict=True)):
            _draw_path(axes, path, heights[name], run_style.colour, lane)
            column = round(10 * (path[-1] - low) / (high - low))
            above = 11 * len(paths) + 14 + 20 * labels_at.get(column, 0)
            labels_at[column] = labels_at.get(column, 0) + 1
            axes.annotate(
                name, (path[-1], heights[name][-1]), (0, above), textcoords="offset points",
                ha="center", weight="bold", color=run_style.colour, zorder=5,
            )  # fmt: skip
        figure.draw_without_rendering()
    return figure


def _title(
    paths: Mapping[str, np.ndarray],
    points: list[StationaryPoint],
    rates: Mapping[str, float],
    start: float,
    steps: int,
    radius: float,
) -> str:
    """Where each path ends, and the settings that all have in common."""
    ends = [f"{name} {_end(path, points, radius)}" for name, path in paths.items()]
    settings = f"after {plots.steps_text(steps)} from θ = {start:g}".replace("-", "−")
    if len(set(rates.values())) == 1:
        settings += f" at η = {next(iter(rates.values())):g}"
    if len(paths) > 1:
        settings += " (paths drawn above the curve)"
    return textwrap.fill(", ".join(ends), 80) + f"\n{settings}"


def _draw_path(axes: Axes, path: np.ndarray, heights: np.ndarray, colour: str, lane: int) -> None:
    """Draw the steps of a path as balls above the curve, the last one large, in its own lane."""
    above = transforms.offset_copy(
        axes.transData, axes.figure.figure, y=9 + 11 * lane, units="points"
    )
    ball: dict[str, Any] = {"color": colour, "marker": "o", "mew": 0, "transform": above}
    axes.plot(path, heights, ms=6, alpha=0.4, lw=1, zorder=3, **ball)
    axes.plot(path[-1], heights[-1], ms=16, zorder=4, **ball)


def _end(path: np.ndarray, points: list[StationaryPoint], radius: float) -> str:
    """Where a path ends, as text."""
    for point in points:
        if np.all(np.abs(path[-10:] - point.theta) < radius):
            return f"at {'the' if 'global' in point.kind else 'a'} {point.kind}"
    return "still on the way"


def _rates(rules: Any) -> dict[str, float]:
    if not isinstance(rules, Mapping):
        raise TypeError(
            f"landscape: rules must be a dict {{name: rate}}, such as {{'SGD': 0.1}}, got {rules!r}"
        )
    if not rules:
        raise ValueError("landscape: rules is empty; give at least one, such as {'SGD': 0.1}")
    for name in rules:
        if name not in optim.RULES:
            hint = _checks.nearest(str(name), optim.RULES)
            raise ValueError(
                f"landscape: there is no rule {name!r}.{hint} There are {', '.join(optim.RULES)}"
            )
    return {
        name: _checks.number("landscape", f"rules[{name!r}]", rate, 0, LARGEST)
        for name, rate in rules.items()
    }


def _values(f: Callable[[Tensor], Tensor], theta: np.ndarray) -> np.ndarray:
    """f at many points; ValueError if it is not finite."""
    with np.errstate(all="ignore"):
        values: np.ndarray = _arguments.evaluate("landscape", f, Tensor(theta)).data
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(
            f"landscape: f({theta[~finite][0]:g}) is {values[~finite][0]}; choose another start, a "
            "smaller rate, or a part of the curve (between=) where f is finite"
        )
    return values


def _derivatives(f: Callable[[Tensor], Tensor], theta: np.ndarray) -> np.ndarray:
    """The derivative of f at many points."""
    leaf = Tensor(theta, requires_grad=True)
    with np.errstate(all="ignore"):
        total = f(leaf).sum()
        if not total.requires_grad:
            raise TypeError(
                printable("landscape: f(θ) does not depend on θ, so it has no derivative")
            )
        total.backward()
    return np.asarray(leaf.grad)


def _flattest(f: Callable[[Tensor], Tensor], low: float, high: float) -> float:
    """The point between low and high with the smallest derivative, by golden-section search."""
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        steepness = np.abs(_derivatives(f, np.array([left, right])))
        low, high = (low, right) if steepness[0] <= steepness[1] else (left, high)
    return (low + high) / 2


def _path(
    f: Callable[[Tensor], Tensor], name: str, rate: float, start: float, steps: int
) -> np.ndarray:
    theta = Tensor(np.array(start), requires_grad=True)
    return descend(f, optim.RULES[name]([theta], lr=rate), steps)
