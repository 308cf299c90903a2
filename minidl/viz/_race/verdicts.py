"""How the runs of a race ended: when they arrived at the goal, and a verdict in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.viz._race.surfaces import Surface

GLOBAL, LOCAL = "global minimum", "local minimum"
SADDLE, MAXIMUM = "stuck at a saddle", "stuck at a maximum"
STILL, MOVING = "standing still", "still moving"
OSCILLATING, DIVERGED = "oscillating", "diverged"
LAST, LEAST = 10, 10  # the last tenth of the points, ten at least, tells how a run ended


def distance(surface: Surface, theta: np.ndarray) -> np.ndarray:
    """From points (2, …) to the nearest global minimum; infinite without one."""
    nearest = np.full(theta.shape[1:], np.inf)
    for x, y in surface.minima:
        nearest = np.fmin(nearest, np.hypot(theta[0] - x, theta[1] - y))
    return nearest


def arrived(outside: np.ndarray, steps: int) -> np.ndarray:
    """From the last step outside of the goal, −1 if there was none: the first that stays inside.

    It is −1 for a run that is not there to stay: its last ten points must be inside, or the last
    half if there are fewer than twenty.
    """
    first = outside + 1
    return np.where(first <= steps + 1 - min(LEAST, (steps + 1) // 2), first, -1)


def judge(
    theta: np.ndarray, loss: np.ndarray, surface: Surface, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """The verdict on each run, and the step at which it arrived, or −1.

    theta  (2, …, steps + 1), where the runs were
    loss   (…), the surface at their ends
    """
    steps = theta.shape[-1] - 1
    with np.errstate(all="ignore"):
        finite = np.isfinite(theta).all((0, -1))
        end = np.where(finite, theta[..., -1], 0)
        spot, kind = surface.stationary(end.reshape(2, -1), radius)
        spot, kind = spot.reshape(end.shape), kind.reshape(finite.shape)
        resting, way, ahead = _last(theta, radius)
        kind[~resting] = ""
        inside = distance(surface, theta) <= radius
        if surface.searched:  # there may be a valley of minima: any point of it is a goal
            level = np.max(surface.at(surface.minima.T)[0], initial=-1e300)
            lowest = np.isin(kind, ("minimum", "flat")) & (loss <= level + 1e-12 * abs(level))
            here = np.hypot(*(theta - spot[..., None])) <= radius
            inside |= lowest[..., None] & here
        outside = np.where(inside, -1, np.arange(steps + 1)).max(-1)
        came = arrived(outside, steps)
        another = distance(surface, spot) > 1e-3 * radius
        gone = ~finite | _away(surface, end, loss) & (kind == "")
    words = np.select(
        [
            gone,
            came >= 0,
            (kind == "minimum") & another,
            kind == "saddle",
            kind == "maximum",
            (kind == "flat") | (way == 0),
            way >= 5 * ahead,
        ],
        [DIVERGED, GLOBAL, LOCAL, SADDLE, MAXIMUM, STILL, OSCILLATING],
        MOVING,
    )
    return words, np.where(words == GLOBAL, came, -1)


def _last(theta: np.ndarray, radius: float) -> tuple[Any, Any, Any]:
    """Of the last points: whether they lie in such a circle, their way, and how far it got."""
    last = theta[..., -max(LEAST, theta.shape[-1] // LAST) :]
    middle = (last.max(-1) + last.min(-1)) / 2
    spread = np.hypot(*(last - middle[..., None])).max(-1)
    half = last.shape[-1] // 2
    ahead = 2 * np.hypot(*(last[..., half:].mean(-1) - last[..., :half].mean(-1)))
    return spread <= radius, np.hypot(*np.diff(last)).sum(-1), ahead


def _away(surface: Surface, end: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Whether a run ended outside: higher than inside of the domain, or farther than its width."""
    bounds = np.transpose([surface.x, surface.y])
    low, high = bounds.reshape(2, 2, *[1] * (end.ndim - 1))
    beyond = np.maximum(low - end, end - high).max(0)
    ground = surface.grid(21)[2]
    top = np.max(ground, where=np.isfinite(ground), initial=-np.inf)
    return (beyond > surface.width) | (beyond > 0) & (loss > top)
