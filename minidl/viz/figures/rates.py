"""A figure of the gallery: learning rates that are too small, right and too large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minidl import _checks, optim
from minidl.tensor import Tensor
from minidl.viz import plots, style

COLOURS = {"too small": "blue", "right": "green", "large": "brown", "too large": "vermilion"}


def descend(f: Callable[[Tensor], Tensor], rule: optim.Optimizer, steps: int) -> np.ndarray:
    """The path of a rule with one parameter on the loss f, from the start on, (steps + 1, …)."""
    (theta,) = rule.groups[0].params
    points = [theta.data.copy()]
    with np.errstate(all="ignore"):
        for _ in range(steps):
            rule.zero_grad()
            f(theta).backward()
            rule.step()
            points.append(theta.data.copy())
    return np.array(points)


def learning_rates(
    rates: Sequence[float] | None = None, *, curvature: float = 4.0, steps: int = 10
) -> Figure:
    """Gradient descent on the parabola J = ½λθ² from θ = 1: its steps, and where it ends.

    rates      the learning rates η of the upper panels, one to four; by default 0.08, 0.6, 1.8 and
               2.2 times 1/λ
    curvature  λ = J″ > 0, at most 1e6
    steps      how many steps each run takes, ≥ 1

    The upper panels show the steps of SGD at each rate on the parabola, the lower one the loss at
    the end over the rate. Each step multiplies θ by 1 − ηλ, so at η = 1/λ one step arrives at the
    minimum, at 2/λ θ oscillates forever, and above that each step lands farther away. The verdicts
    come from the runs: a rate is "too small" if the run covers less than four fifths of the
    distance, and less than half of it in the first step. TypeError or ValueError for other values.

    >>> figure = learning_rates(rates=[0.03, 0.3, 1.1], curvature=2.0)
    >>> [axes.get_title().splitlines()[0] for axes in figure.axes[:3]]
    ['too small: η = 0.03', 'right: η = 0.3', 'too large: η = 1.1']
    """
    curvature = _checks.number("learning_rates", "curvature", curvature, 0, 1e6, above=True)
    steps = _checks.count("learning_rates", "steps", steps)
    chosen = _rates(rates, curvature)

    def loss(theta: Any) -> Any:  # of a Tensor, an array or a number
        return curvature / 2 * theta * theta

    def run(rate: float) -> np.ndarray:
        theta = Tensor(np.ones(()), requires_grad=True)
        return descend(loss, optim.SGD([theta], lr=rate), steps)

    with style.context(), np.errstate(over="ignore", invalid="ignore"):
        figure = plots.new_figure()
        panels = [f"rate {i}" for i in range(len(chosen))]
        rows: list[Any] = [panels, ["ends"] * len(panels)]
        axes = figure.subplot_mosaic(rows, height_ratios=(1, 1.15))
        ends = axes["ends"]
        _draw_ends(ends, chosen, curvature, steps, lambda rate: loss(run(rate)[-1]))
        for panel, rate in zip(panels, chosen, strict=True):
            path = run(rate)
            verdict, reason = _verdict(path)
            colour = style.COLOURS[COLOURS[verdict]]
            _draw_steps(axes[panel], path, loss, colour)
            axes[panel].set_title(f"{verdict}: η = {rate:g}\n{reason}", color=colour)
            ends.plot(rate, loss(path[-1]), "o", color=colour, ms=10, mec="white", zorder=3)
        axes[panels[0]].set_ylabel("loss J")
        figure.draw_without_rendering()
    return figure


def _rates(rates: Any, curvature: float) -> list[float]:
    if rates is None:
        return [factor / curvature for factor in (0.08, 0.6, 1.8, 2.2)]
    if not isinstance(rates, Sequence | np.ndarray) or isinstance(rates, str):
        raise TypeError(f"learning_rates: rates must be one to four numbers > 0, got {rates!r}")
    if not 1 <= len(rates) <= 4:
        raise ValueError(f"learning_rates: rates must be one to four numbers > 0, got {len(rates)}")
    return [
        _checks.number("learning_rates", f"rates[{i}]", rate, 0, 1e6, above=True)
        for i, rate in enumerate(rates)
    ]


def _verdict(path: np.ndarray) -> tuple[str, str]:
    """The verdict on a path from 1 to the minimum at 0, and the reason."""
    end, rounding = np.abs(path[-1]), 1e-9
    if not end <= 1 + rounding:
        return "too large", "it diverges"
    if np.any(path < -rounding):
        oscillates = end >= 1 - rounding
        return ("too large", "it oscillates") if oscillates else ("large", "it overshoots")
    covered = f"{1 - end:.0%} of the way"
    if end < 1 / 5 or path[1] <= 1 / 2:
        return "right", "it arrives" if end < 1 / 20 else covered
    return "too small", f"only {covered}"


def _draw_steps(axes: Axes, path: np.ndarray, loss: Callable[[Any], Any], colour: str) -> None:
    edge = 1.75
    theta = np.linspace(-edge, edge, 201)
    axes.plot(theta, loss(theta), color=style.COLOURS["grey"], alpha=0.5, zorder=1)
    axes.plot(path, loss(path), color=colour, marker="o", ms=6, lw=1.6)
    axes.plot(path[0], loss(path[0]), "o", color=colour, ms=13, mfc="white", mew=2.5)
    axes.set(xlim=(-edge, edge), ylim=(-0.04 * loss(edge), loss(edge)), xlabel="weight θ")
    axes.set(xticks=[-1, 0, 1], yticks=[])


def _draw_ends(
    axes: Axes,
    chosen: list[float],
    curvature: float,
    steps: int,
    loss_at_end: Callable[[float], float],
) -> None:
    """Draw the loss at the end over the rate; chosen are the rates of the upper panels."""
    limit = 1.1 * max(2.3 / curvature, *chosen)
    sweep = np.linspace(0, limit, 241)[1:]
    start = curvature / 2
    low, high = start * 1e-9, start * 1e5
    axes.plot(sweep, [loss_at_end(rate) for rate in sweep], color=style.COLOURS["grey"], zorder=2)
    axes.axvspan(2 / curvature, limit, color=style.COLOURS["vermilion"], alpha=0.12, lw=0)
    axes.axhline(start, color=style.COLOURS["grey"], lw=1.2, ls=":", zorder=1)
    axes.set(
        yscale="log", xlim=(0, limit), ylim=(low, high),
        xlabel="learning rate η", ylabel=f"loss after {plots.steps_text(steps)}",
    )  # fmt: skip
    arrives, diverges = 1 / curvature, 2 / curvature
    for threshold in (arrives, diverges):
        axes.axvline(threshold, color=style.COLOURS["black"], lw=1.4, ls="--", zorder=1)
    shift = limit / 100
    axes.text(
        arrives + shift, start * 1e-4, f"1/λ = {arrives:g}\none step arrives", va="bottom",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )  # fmt: skip
    axes.text(
        diverges - shift, high / 4, f"2/λ = {diverges:g}: above it\neach step lands farther away",
        va="top", ha="right",
    )  # fmt: skip
    axes.text(shift, start * 2, "loss at the start", color=style.COLOURS["grey"], va="bottom")
