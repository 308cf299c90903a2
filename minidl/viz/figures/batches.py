"""A figure of the gallery: batch, mini-batch and stochastic gradient descent on one loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minidl import _checks, data, losses, nn, optim
from minidl.tensor import default_dtype
from minidl.viz import plots, style
from minidl.viz.figures import _arguments

TITLE = "Fewer points a step: cheaper, and noisier"
COLOURS = ("blue", "green", "vermilion", "black")


def worked_example() -> tuple[np.ndarray, np.ndarray]:
    """A hundred noisy points around y = 2x + 1, the same in each call.

    >>> x, y = worked_example()
    >>> x.shape, float(y.mean())
    ((100, 1), 10.6482)
    """
    random = np.random.RandomState(0)
    x = random.rand(100, 1) * 10
    return x, 2 * x + 1 + random.randn(100, 1)


def batch_paths(
    x: Any = None,
    y: Any = None,
    *,
    batch_size: Sequence[int | None] = (None, 16, 1),
    updates: int = 1000,
    lr: float = 0.005,
    start: tuple[float, float] = (1.4, -0.2),
    seed: int = 0,
) -> Figure:
    """Gradient descent on a line's squared error, with gradients from all, some or one point.

    x, y        the points, arrays or lists of n numbers; by default the hundred of worked_example
    batch_size  for each panel: None for all points, 1 for one, m for mini-batches; one to four
    updates     the number of steps
    lr          the rate
    start       slope and intercept at the start
    seed        for the order of the points, a whole number ≥ 0

    Each panel shows one run of Dense(1, 1) with mean squared error and SGD, over the contours of
    the loss of all points. The star is the exact least-squares solution. ValueError or TypeError
    for invalid points and numbers, and if a run diverges.

    >>> figure = batch_paths([0, 1, 2, 3], [1, 3, 5, 7], batch_size=[None, 1], updates=20, lr=0.05)
    >>> [axes.get_title().splitlines()[0] for axes in figure.axes]
    ['all 4 points a step', '1 point a step']
    """
    x, y = _points(x, y)
    origin = np.array(_arguments.pair("batch_paths", "start", start, "(slope, intercept)"))
    updates = _checks.count("batch_paths", "updates", updates)
    seed = _checks.count("batch_paths", "seed", seed, low=0)
    paths = [_path(x, y, size, updates, lr, origin, seed) for size in _sizes(batch_size, len(x))]
    design = np.hstack([x, np.ones_like(x)])
    best = np.linalg.lstsq(design, y, rcond=None)[0].ravel()
    with style.context():
        figure = plots.new_figure()
        axes = figure.subplots(1, len(paths), sharex=True, sharey=True, squeeze=False)
        figure.suptitle(TITLE, x=0.01, ha="left", fontsize=15, weight="bold")
        axes[0, 0].set_ylabel("intercept")
        _set_limits(axes[0, 0], np.concatenate([*paths, [best]]))
        for panel, size, path, colour in zip(axes[0], batch_size, paths, COLOURS, strict=False):
            _draw_contours(panel, design, best)
            _draw_path(panel, path, style.COLOURS[colour])
            panel.plot(*best, "*", color=style.COLOURS["black"], mec="white", ms=20, zorder=5)
            panel.set(title=_title(size, len(x), updates), xlabel="slope")
        label: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
        axes[0, 0].annotate("exact\nanswer", best, (-14, 0), ha="right", **label)
        axes[0, 0].annotate("start", origin, (-2, 20), ha="left", **label)
        figure.draw_without_rendering()
    return figure


def _draw_path(axes: Axes, path: np.ndarray, colour: str) -> None:
    axes.plot(*path.T, color=colour, lw=1)
    axes.plot(*path[0], "o", color=colour, mfc="white", ms=11, mew=2.5)
    axes.plot(*path[-1], "o", color=colour, mec="white", ms=11, mew=1.5, zorder=4)


def _set_limits(axes: Axes, points: np.ndarray) -> None:
    """Set limits around all points, with the last one, the minimum, away from the edges."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    low, high = np.minimum(low, points[-1] - extent / 4), np.maximum(high, points[-1] + extent / 4)
    axes.set(xlim=(low[0] - extent[0] / 20, high[0] + extent[0] / 20))
    axes.set(ylim=(low[1] - extent[1] / 20, high[1] + extent[1] / 20))


def _draw_contours(axes: Axes, design: np.ndarray, best: np.ndarray) -> None:
    """Contours of the mean squared error of all points, each at four times the last one's excess.

    design  (n, 2), the columns x and 1
    best    (2,), the least-squares solution
    """
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    slope, intercept = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 200))
    offset = np.stack([slope - best[0], intercept - best[1]], axis=-1)
    excess = np.mean((offset @ design.T) ** 2, axis=-1)
    levels = excess.max() / 4.0 ** np.arange(6, 0, -1)
    axes.contour(
        slope, intercept, excess, levels, colors=style.COLOURS["grey"], linewidths=0.9, alpha=0.6
    )


def _title(size: int | None, n: int, updates: int) -> str:
    size = n if size is None else size
    batch = f"all {n} points" if size == n else f"{size} point{'s' * (size > 1)}"
    epochs = updates / -(-n // size)
    return f"{batch} a step\n{updates:,} steps, {epochs:,.{0 if epochs >= 10 else 1}f} epochs"


def _points(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """x and y as checked columns of numbers, (n, 1)."""
    if (x is None) != (y is None):
        raise TypeError("batch_paths: give both x and y, or neither for the worked example")
    if x is None:
        return worked_example()
    loader = data.DataLoader(x, y)
    x, y = (np.asarray(values, np.float64) for values in (loader.x, loader.y))
    for name, values in (("x", x), ("y", y)):
        if values.size != len(values):
            raise ValueError(
                f"batch_paths: {name} must be one number per point, got shape {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"batch_paths: {name} must be finite, but some numbers are not")
    if np.ptp(x) == 0:
        raise ValueError("batch_paths: all x are equal, so there is no unique best line")
    return x.reshape(-1, 1), y.reshape(-1, 1)


def _sizes(sizes: Any, n: int) -> list[int | None]:
    if not isinstance(sizes, tuple | list) or not 1 <= len(sizes) <= len(COLOURS):
        raise ValueError(
            f"batch_paths: batch_size must list one to {len(COLOURS)} sizes, such as "
            f"[None, 16, 1], got {sizes!r}"
        )
    for i, size in enumerate(sizes):
        if size is not None and _checks.count("batch_paths", f"batch_size[{i}]", size) > n:
            raise ValueError(
                f"batch_paths: batch_size[{i}] must be at most the number of points, {n}, "
                f"got {size}"
            )
    return list(sizes)


def _path(
    x: np.ndarray,
    y: np.ndarray,
    size: int | None,
    updates: int,
    lr: float,
    start: np.ndarray,
    seed: int,
) -> np.ndarray:
    """The run with one batch size: slope and intercept before and after each update."""
    with default_dtype("float64"):
        model = nn.Dense(1, 1)
    weight, bias = model.parameters()
    weight.data, bias.data = start[:1].reshape(1, 1).copy(), start[1:].copy()
    optimizer = optim.SGD(model, lr=lr)
    loader = data.DataLoader(x, y, size, rng=seed)
    path = [start]
    while optimizer.t < updates:
        for batch_x, batch_y in itertools.islice(loader, updates - optimizer.t):
            optimizer.zero_grad()
            losses.mse(model(batch_x), batch_y).backward()
            optimizer.step()
            path.append(np.array([weight.item(), bias.item()]))
            if not np.abs(path[-1]).max() < 1e9:
                raise ValueError(
                    f"batch_paths: with batch_size={size} the rate lr={lr:g} is too large: slope "
                    f"and intercept diverged within {optimizer.t} steps. Choose a smaller lr."
                )
    return np.array(path)
