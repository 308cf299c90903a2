"""How the runs of a race ended, for races and their tuning: the step of arrival and a verdict."""

from __future__ import annotations

import numpy as np

from minidl.viz._race.surfaces import Surface

GLOBAL, LOCAL = "global minimum", "local minimum"
SADDLE, MAXIMUM = "stuck at a saddle", "stuck at a maximum"
STILL, MOVING = "standing still", "still moving"
OSCILLATING, DIVERGED = "oscillating", "diverged"
TAIL, MIN_TAIL = 10, 10  # the last 1/TAIL of the points, at least MIN_TAIL, decides
SWINGS = 4  # the last steps, of a run that turns back at each of them
NEGLIGIBLE = 1e-9  # a path that is shorter than this fraction of the goal's radius


def distance(surface: Surface, theta: np.ndarray) -> np.ndarray:
    """The distance of points (2, …) to the nearest global minimum; ∞ if there is none."""
    nearest = np.full(theta.shape[1:], np.inf)
    for x, y in surface.minima:
        nearest = np.fmin(nearest, np.hypot(theta[0] - x, theta[1] - y))
    return nearest


def arrival(last_outside: np.ndarray, steps: int) -> np.ndarray:
    """The first step from which on each run stays at the goal, or −1 if it has not arrived.

    last_outside  the last step at which each run was outside the goal; −1 if there was none
    steps         how many steps each run took

    A run has arrived only if its last ten points are inside the goal, or the last half of them if
    it has fewer than twenty.
    """
    first = last_outside + 1
    return np.where(first <= steps + 1 - min(MIN_TAIL, (steps + 1) // 2), first, -1)


def classify(
    theta: np.ndarray, loss: np.ndarray, surface: Surface, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """The verdict on each run, and the step of its arrival or −1.

    theta   (2, …, steps + 1), the positions of the runs
    loss    (…), f at their ends
    radius  of the goal
    """
    steps = theta.shape[-1] - 1
    with np.errstate(all="ignore"):
        finite = np.isfinite(theta).all((0, -1))
        end = np.where(finite, theta[..., -1], 0)
        stationary, kind, descents = surface._stationary(end.reshape(2, -1), radius)
        stationary, kind = stationary.reshape(end.shape), kind.reshape(finite.shape)
        last = theta[..., -max(MIN_TAIL, theta.shape[-1] // TAIL) :]
        recent = theta[..., -max(2 * MIN_TAIL, theta.shape[-1] // 2) :]
        resting, length, progress = _motion(last, radius)
        kind[~resting] = ""
        leaving = _leaving(last, recent, descents.reshape(*finite.shape, 2, 2), radius)
        drifting = _growth(np.hypot(*np.diff(last))) > 1 - 1e-9
        inside = distance(surface, theta) <= radius
        if surface.searched:  # the minima may form a valley, and each of its points is a goal
            lowest = np.max(surface.at(surface.minima.T)[0], initial=-1e300)
            global_end = np.isin(kind, ("minimum", "flat"))
            global_end &= loss <= lowest + 1e-12 * abs(lowest)
            inside |= global_end[..., None] & (np.hypot(*(theta - stationary[..., None])) <= radius)
        last_outside = np.where(inside, -1, np.arange(steps + 1)).max(-1)
        arrived = arrival(last_outside, steps)
        elsewhere = distance(surface, stationary) > 1e-3 * radius
        diverged = ~finite | _left(surface, end, loss) & (kind == "")
    verdict = np.select(
        [
            diverged,
            arrived >= 0,
            (kind == "minimum") & elsewhere,
            leaving & np.isin(kind, ("saddle", "maximum")) | drifting & (kind == "flat"),
            kind == "saddle",
            kind == "maximum",
            (kind == "flat") | (length == 0),
            length >= 5 * progress,
        ],
        [DIVERGED, GLOBAL, LOCAL, MOVING, SADDLE, MAXIMUM, STILL, OSCILLATING],
        MOVING,
    )
    return verdict, np.where(verdict == GLOBAL, arrived, -1)


def _motion(last: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For the last points of each run: whether a circle of that radius contains them, the length
    of the path through them, and their progress, twice the distance between the means of their
    halves.
    """
    centre = (last.max(-1) + last.min(-1)) / 2
    spread = np.hypot(*(last - centre[..., None])).max(-1)
    half = last.shape[-1] // 2
    progress = 2 * np.hypot(*(last[..., half:].mean(-1) - last[..., :half].mean(-1)))
    return spread <= radius, np.hypot(*np.diff(last)).sum(-1), progress


def _leaving(
    last: np.ndarray, recent: np.ndarray, descents: np.ndarray, radius: float
) -> np.ndarray:
    """Whether runs leave the saddles or maxima from which f falls along `descents`.

    However slow it is, motion along them that grows leads away in the end, as it grows
    exponentially at a saddle; so does growing motion as such, when a rate is too large. Motion
    along them that is negligible and shrinks is the rounding error of motion along the others.
    Growing motion as such is looked for in the last half of the points, as an oscillation that
    fades may grow for some steps; but not if each step turns back, so then the last steps decide.
    """
    along = np.abs(np.einsum("...ij,j...k->...ik", descents, np.diff(last))).sum(-2)
    lengths = np.hypot(*np.diff(recent))
    grows = (_growth(lengths) > 1 + 1e-9) & (lengths.sum(-1) > NEGLIGIBLE * radius)
    swings = np.diff(last)[..., -SWINGS:]
    turning = ((swings[..., 1:] * swings[..., :-1]).sum(0) < 0).all(-1)
    swings = np.hypot(*swings)
    grows |= turning & (np.diff(swings) > 0).all(-1) & (swings.sum(-1) > NEGLIGIBLE * radius)
    leaving: np.ndarray = (_growth(along) >= 1) | (along.sum(-1) > NEGLIGIBLE * radius) | grows
    return leaving


def _growth(lengths: np.ndarray) -> np.ndarray:
    """How many times longer the last half of the steps is than the first; 0 if it is 0."""
    half = lengths.shape[-1] // 2
    first, second = lengths[..., :half].sum(-1), lengths[..., lengths.shape[-1] - half :].sum(-1)
    growth: np.ndarray = np.where(second > 0, second / first, 0)
    return growth


def _left(surface: Surface, end: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Whether a run ended outside the domain, and higher than f inside or farther than its width.

    end   (2, …)
    loss  (…), f there
    """
    bounds = np.transpose([surface.x, surface.y])
    low, high = bounds.reshape(2, 2, *[1] * (end.ndim - 1))
    excess = np.maximum(low - end, end - high).max(0)
    grid = surface.grid(21)[2]
    highest = np.max(grid, where=np.isfinite(grid), initial=-np.inf)
    left: np.ndarray = (excess > surface.width) | (excess > 0) & (loss > highest)
    return left
