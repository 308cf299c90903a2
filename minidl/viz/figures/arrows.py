"""A figure of the gallery: one step of Momentum and one of NAG, each as a sum of arrows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minidl import _checks, optim
from minidl.tensor import Tensor
from minidl.viz import plots, style
from minidl.viz.figures import _arguments

KEY_HEIGHT = 0.12  # of the panels
LABEL_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.9, "pad": 1}  # over contours


class Step(NamedTuple):
    """One step as textbooks write it, from θ to `end`.

    positions    θ before each step so far, (steps + 1, 2); the drawn step starts at the last one
    evaluated    where the gradient was taken
    momentum     −ηβv
    gradient     −η(1 − β)∇J
    end          θ after the step
    """

    positions: np.ndarray
    evaluated: np.ndarray
    momentum: np.ndarray
    gradient: np.ndarray
    end: np.ndarray


def tilted_bowl(a: Any, b: Any) -> Any:
    """A quadratic that is five times as steep across its valley as along it.

    >>> tilted_bowl(0.8, 0.6), tilted_bowl(-0.6, 0.8)
    (0.35, 1.75)
    """
    along, across = 0.8 * a + 0.6 * b, 0.8 * b - 0.6 * a
    return 0.35 * along * along + 1.75 * across * across


def momentum_arrows(
    f: Callable[[Any, Any], Any] = tilted_bowl,
    *,
    start: tuple[float, float] = (-3.4, -0.8),
    lr: float = 1.0,
    beta: float = 0.8,
    steps: int = 1,
) -> Figure:
    """The step of Momentum and of NAG from the same start, each as the sum of two arrows.

    f      the loss, an element-wise function of two Tensors; its contours are the background
    start  where both begin with velocity 0: two numbers
    lr     the rate η > 0
    beta   β in [0, 1)
    steps  how many steps both have taken before the one that is drawn, ≥ 1

    Both rules add −ηβv, along the old velocity, and −η(1 − β)∇J, down the gradient. Momentum takes
    the gradient at the current position, NAG where the velocity would carry it, so NAG brakes
    before it overshoots. A ring marks that point. The parameter of `optim.NAG` is the look-ahead
    point φ; θ is recovered from its state. After one step both rules are at the same position with
    the same v, so the gradient is the only difference. ValueError or TypeError for invalid numbers,
    a loss that is not finite, and an f that is not element-wise.

    >>> figure = momentum_arrows(beta=0.5)
    >>> [axes.get_title() for axes in figure.axes]
    ['Momentum: the gradient where it is', 'NAG: the gradient where it is going']
    """
    position = np.array(_arguments.pair("momentum_arrows", "start", start))
    lr = _checks.number("momentum_arrows", "lr", lr, 0, 1e6, above=True)
    beta = _checks.number("momentum_arrows", "beta", beta, 0, 1, below=True)
    steps = _checks.count("momentum_arrows", "steps", steps)
    drawn = {
        "Momentum: the gradient where it is": _step(optim.Momentum, f, position, lr, beta, steps),
        "NAG: the gradient where it is going": _step(optim.NAG, f, position, lr, beta, steps),
    }
    with style.context():
        figure = plots.new_figure(figsize=(10, 5.25))
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        panels[0].set_ylabel("second weight")
        for axes, (title, step) in zip(panels, drawn.items(), strict=True):
            _draw_step(axes, step, look_ahead="NAG" in title)
            axes.set(title=title, xlabel="first weight", aspect="equal", adjustable="box")
            axes.locator_params(nbins=5)
        low, high = _set_limits(panels, list(drawn.values()))
        grid = _evaluate_grid(f, low, high)
        for axes in panels:
            _draw_contours(axes, *grid)
        figure.draw_without_rendering()
    return figure


def _step(
    rule: type[optim.Optimizer],
    f: Callable[[Any, Any], Any],
    start: np.ndarray,
    lr: float,
    beta: float,
    steps: int,
) -> Step:
    """The last step of a run of the rule, split into its parts."""
    theta = Tensor(start, requires_grad=True)
    optimizer = rule([theta], lr=lr, beta=beta)
    look_ahead = lr * beta if rule is optim.NAG else 0.0  # its parameter is φ = θ − ηβv
    positions = []
    for _ in range(steps + 1):
        v = optimizer.state[theta]["v"].copy()
        evaluated = theta.data.copy()
        positions.append(evaluated + look_ahead * v)
        optimizer.zero_grad()
        with np.errstate(all="ignore"):
            loss = _arguments.evaluate("momentum_arrows", f, theta[0], theta[1])
            if not np.isfinite(loss.data).all():
                raise ValueError(
                    f"momentum_arrows: f{tuple(evaluated.tolist())} is {loss.data}; choose another "
                    "start or a smaller rate"
                )
            if not loss.requires_grad:
                raise TypeError("momentum_arrows: f does not depend on its arguments")
            loss.backward()
            gradient = np.array(theta.grad)
            optimizer.step()
    end = theta.data + look_ahead * optimizer.state[theta]["v"]
    return Step(np.array(positions), evaluated, -lr * beta * v, -lr * (1 - beta) * gradient, end)


def _set_limits(panels: Sequence[Axes], drawn: list[Step]) -> tuple[np.ndarray, np.ndarray]:
    """Show a square around all arrows and labels, above the key; returns its corners."""
    points = np.concatenate([(s.positions[-1], s.end, s.positions[-1] + s.momentum) for s in drawn])
    labels = np.empty((0, 2))
    for _ in range(6):  # the labels have a size in points, so their extent depends on the limits
        around = np.concatenate([points, labels])
        low, high = around.min(axis=0), around.max(axis=0)
        low[1] -= KEY_HEIGHT * np.max(high - low)
        centre, half = (low + high) / 2, 0.55 * np.max(high - low) or 1.0
        low, high = centre - half, centre + half
        panels[0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        panels[0].figure.figure.draw_without_rendering()
        labels = np.concatenate([_corners(axes) for axes in panels])
    return low, high


def _corners(axes: Axes) -> np.ndarray:
    """The corners of the labels in the coordinates of the axes' data, (n, 2)."""
    boxes = [label.get_window_extent() for label in axes.texts if label.get_text()]
    corners = np.concatenate([box.get_points() for box in boxes])
    inverse: np.ndarray = axes.transData.inverted().transform(corners)
    return inverse


def _evaluate_grid(
    f: Callable[[Any, Any], Any], low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ma.MaskedArray]:
    """A grid and f on it, masked where it is not finite."""
    a, b = np.meshgrid(*np.linspace(low, high, 120).T)
    with np.errstate(all="ignore"):
        values = _arguments.evaluate("momentum_arrows", f, Tensor(a), Tensor(b)).data
    return a, b, np.ma.masked_invalid(values)


def _draw_contours(axes: Axes, a: np.ndarray, b: np.ndarray, values: np.ma.MaskedArray) -> None:
    if height := np.ma.ptp(values):
        levels = values.min() + height * np.linspace(0.02, 0.98, 9) ** 2
        axes.contour(a, b, values, levels, colors=style.COLOURS["grey"], linewidths=0.8, alpha=0.5)


def _draw_step(axes: Axes, step: Step, look_ahead: bool) -> None:
    start = step.positions[-1]
    after_momentum = start + step.momentum
    centre = (start + after_momentum + step.end) / 3
    point = "φ" if look_ahead else "θ"
    for tail, head, colour, label in (
        (start, after_momentum, "blue", "−ηβv"),
        (after_momentum, after_momentum + step.gradient, "vermilion", f"−η(1 − β)∇J({point})"),
        (start, step.end, "black", "the step"),
    ):
        _draw_arrow(axes, tail, head, colour)
        normal = np.array([tail[1] - head[1], head[0] - tail[0]])
        outward = normal * (np.sign(normal @ ((tail + head) / 2 - centre)) or 1)
        _draw_label(axes, label, (tail + head) / 2, outward, colour)
    axes.plot(*step.positions.T, "o", color=style.COLOURS["black"], ms=9, zorder=4)
    hollow: dict[str, Any] = {"ms": 17, "mfc": "none", "mew": 2.5}
    (ring,) = axes.plot(*step.evaluated, "o", color=style.COLOURS["vermilion"], **hollow)
    _draw_label(axes, "θ", start, start - centre, "black")
    if look_ahead:
        _draw_label(axes, "φ = θ − ηβv", after_momentum, after_momentum - centre, "blue")
    axes.legend(
        [ring], ["the gradient is taken here"], loc="lower left", fontsize=15, borderpad=0,
        handletextpad=0.2, labelcolor=style.COLOURS["vermilion"],
        frameon=True, facecolor="white", edgecolor="none",
    )  # fmt: skip


def _draw_arrow(axes: Axes, tail: np.ndarray, head: np.ndarray, colour: str) -> None:
    arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 20}
    arrow |= {"lw": 3, "color": style.COLOURS[colour]}
    axes.annotate("", tuple(head), tuple(tail), arrowprops=arrow)


def _draw_label(
    axes: Axes, label: str, point: np.ndarray, outward: np.ndarray, colour: str
) -> None:
    """Draw a label beside a point, on the side that `outward` points to."""
    x, y = outward / (np.linalg.norm(outward) or 1)
    axes.annotate(
        label, tuple(point), (13 * x, 13 * y), textcoords="offset points",
        color=style.COLOURS[colour], fontsize=15, ha=_alignment(x, "right", "center", "left"),
        va=_alignment(y, "top", "center", "bottom"), bbox=LABEL_BOX,
    )  # fmt: skip


def _alignment(component: float, negative: str, zero: str, positive: str) -> str:
    return negative if component < -0.5 else positive if component > 0.5 else zero
