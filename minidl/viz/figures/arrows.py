"""One step of Momentum and one of NAG as a sum of arrows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from minidl import _checks, optim
from minidl.tensor import Tensor
from minidl.viz import style
from minidl.viz.figures import _given


class Step(NamedTuple):
    """One step in the textbook's view, from ϑ to `end`."""

    trail: np.ndarray  # the ϑ of all steps before, and this one's
    looked: np.ndarray  # where the gradient was taken
    momentum: np.ndarray  # −ηβv
    gradient: np.ndarray  # −η(1 − β)∇J
    end: np.ndarray


def tilted_bowl(a: Any, b: Any) -> Any:
    """A quadratic five times as steep across its valley as along it.

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

    f      the loss, a function of two Tensors, entry by entry; its contours are the background
    start  where both begin, at rest: two numbers
    lr     the rate η > 0
    beta   β in [0, 1)
    steps  how many steps both have taken before the one that is drawn, ≥ 1

    Both add −ηβv, on with the old velocity, and −η(1 − β)∇J, down the gradient. Momentum takes the
    gradient where it is, NAG where the velocity would carry it: it brakes before it has overshot.
    A ring marks that place. NAG's parameter is that look-ahead point φ; ϑ is found back from its
    state. After one step both are at the same place with the same v, so that one gradient is all
    the difference. ValueError or TypeError for other numbers, a loss that isn't finite, and an f
    that does not go entry by entry.

    >>> figure = momentum_arrows(beta=0.5)
    >>> [axes.get_title() for axes in figure.axes]
    ['Momentum: the gradient where it is', 'NAG: the gradient where it is going']
    """
    place = np.array(_given.pair("momentum_arrows", "start", start))
    lr = _checks.number("momentum_arrows", "lr", lr, 0, 1e6, above=True)
    beta = _checks.number("momentum_arrows", "beta", beta, 0, 1, below=True)
    steps = _checks.count("momentum_arrows", "steps", steps)
    drawn = {
        "Momentum: the gradient where it is": _step(optim.Momentum, f, place, lr, beta, steps),
        "NAG: the gradient where it is going": _step(optim.NAG, f, place, lr, beta, steps),
    }
    low, high = _window(list(drawn.values()))
    ground = _ground(f, low, high)
    with style.drawing():
        figure, panels = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(10, 5.25))
        for axes, (title, step) in zip(panels, drawn.items(), strict=True):
            _draw_contours(axes, *ground)
            _draw_step(axes, step, ahead="NAG" in title)
            axes.set(title=title, xlabel="first weight", aspect="equal", adjustable="box")
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            axes.locator_params(nbins=5)
        panels[0].set_ylabel("second weight")
        figure.draw_without_rendering()
    return figure


def _step(
    rule: type[optim.Optimizer], f: Any, start: np.ndarray, lr: float, beta: float, steps: int
) -> Step:
    """Run the rule, and take its last step apart."""
    theta = Tensor(start, requires_grad=True)
    optimizer = rule([theta], lr=lr, beta=beta)
    ahead = lr * beta if rule is optim.NAG else 0.0  # its θ is ϑ − ηβv
    trail = []
    for _ in range(steps + 1):
        v = optimizer.state[theta]["v"].copy()
        looked = theta.data.copy()
        trail.append(looked + ahead * v)
        optimizer.zero_grad()
        with np.errstate(all="ignore"):
            loss = _given.entries("momentum_arrows", f, theta[0], theta[1])
            if not np.isfinite(loss.data).all():
                raise ValueError(
                    f"momentum_arrows: f{tuple(looked.tolist())} is {loss.data}; choose another "
                    "start or a smaller rate"
                )
            if not loss.requires_grad:
                raise TypeError("momentum_arrows: f does not depend on its arguments")
            loss.backward()
            gradient = np.array(theta.grad)
            optimizer.step()
    end = theta.data + ahead * optimizer.state[theta]["v"]
    return Step(np.array(trail), looked, -lr * beta * v, -lr * (1 - beta) * gradient, end)


def _window(drawn: list[Step]) -> tuple[np.ndarray, np.ndarray]:
    """A square around all arrows, with room for the words at its sides."""
    points = np.concatenate([(s.trail[-1], s.end, s.trail[-1] + s.momentum) for s in drawn])
    low, high = points.min(axis=0), points.max(axis=0)
    half = 0.72 * np.max(high - low) or 1.0
    return (low + high) / 2 - half, (low + high) / 2 + half


def _ground(f: Any, low: np.ndarray, high: np.ndarray) -> tuple[Any, Any, Any]:
    """A grid and f on it, without what isn't finite."""
    a, b = np.meshgrid(*np.linspace(low, high, 120).T)
    with np.errstate(all="ignore"):
        heights = _given.entries("momentum_arrows", f, Tensor(a), Tensor(b)).data
    return a, b, np.ma.masked_invalid(heights)


def _draw_contours(axes: Any, a: np.ndarray, b: np.ndarray, heights: Any) -> None:
    if height := np.ma.ptp(heights):
        levels = heights.min() + height * np.linspace(0.02, 0.98, 9) ** 2
        axes.contour(a, b, heights, levels, colors=style.COLOURS["grey"], linewidths=0.8, alpha=0.5)


def _draw_step(axes: Any, step: Step, ahead: bool) -> None:
    here = step.trail[-1]
    tip = here + step.momentum
    centre = (here + tip + step.end) / 3
    point = "φ" if ahead else "ϑ"
    for start, end, colour, words in (
        (here, tip, "blue", "−ηβv"),
        (tip, tip + step.gradient, "vermilion", f"−η(1 − β)∇J({point})"),
        (here, step.end, "black", "the step"),
    ):
        _arrow(axes, start, end, colour)
        across = np.array([start[1] - end[1], end[0] - start[0]])
        outward = across * (np.sign(across @ ((start + end) / 2 - centre)) or 1)
        _write(axes, words, (start + end) / 2, outward, style.COLOURS[colour])
    axes.plot(*step.trail.T, "o", color=style.COLOURS["black"], ms=9, zorder=4)
    hollow: dict[str, Any] = {"ms": 17, "mfc": "none", "mew": 2.5}
    (ring,) = axes.plot(*step.looked, "o", color=style.COLOURS["vermilion"], **hollow)
    _write(axes, "ϑ", here, here - centre, style.COLOURS["black"])
    if ahead:
        _write(axes, "φ = ϑ − ηβv", tip, tip - centre, style.COLOURS["blue"])
    axes.legend(
        [ring], ["the gradient is taken here"], loc="lower left", fontsize=15, borderpad=0,
        handletextpad=0.2, labelcolor=style.COLOURS["vermilion"],
    )  # fmt: skip


def _arrow(axes: Any, start: np.ndarray, end: np.ndarray, colour: str) -> None:
    look = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 20}
    look |= {"lw": 3, "color": style.COLOURS[colour]}
    axes.annotate("", end, start, arrowprops=look)


def _write(axes: Any, words: str, at: np.ndarray, outward: np.ndarray, colour: str) -> None:
    """Words beside a point, on the side that `outward` points to."""
    x, y = outward / (np.linalg.norm(outward) or 1)
    axes.annotate(
        words, at, (13 * x, 13 * y), textcoords="offset points", color=colour, fontsize=15,
        ha=_side(x, "right", "center", "left"), va=_side(y, "top", "center", "bottom"),
    )  # fmt: skip


def _side(share: float, below: str, middle: str, above: str) -> str:
    return below if share < -0.5 else above if share > 0.5 else middle
