"""An animation of the gallery: the decision boundary of a network during its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from contourpy import contour_generator
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.layout_engine import ConstrainedLayoutEngine

from minidl import _checks, losses, nn, optim
from minidl.tensor import no_grad, softmax
from minidl.training import evaluate, fit
from minidl.viz import plots, style

CLASS_STYLES = [
    (style.COLOURS[name], marker)
    for name, marker in (("blue", "o"), ("vermilion", "^"), ("green", "s"), ("purple", "D"))
]
SHADES = 5  # from undecided to certain; few colours make a small file
OPACITY = 0.45  # of the darkest shade


def moons(n: int = 200, noise: float = 0.15, rng: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Two interleaving half circles: x of shape (n, 2), and the class y of each point, 0 or 1.

    n      points, ≥ 2
    noise  standard deviation of the normal noise in each coordinate, ≥ 0
    rng    None, a seed or a numpy.random.Generator

    >>> from minidl.viz.figures.boundary import moons
    >>> x, y = moons(4, noise=0)
    >>> x[y == 0], x[y == 1]
    (array([[ 1.,  0.], [-1.,  0.]]), array([[0. , 0.5], [2. , 0.5]]))
    """
    n = _checks.count("moons", "n", n, 2)
    y = np.repeat([0, 1], [n - n // 2, n // 2])
    angle = np.concatenate([np.linspace(0, np.pi, n - n // 2), np.linspace(0, np.pi, n // 2)])
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(y[:, None] == 0, upper, [1.0, 0.5] - upper)
    return x + _noise("moons", noise, rng, n), y


def spirals(
    n: int = 200, noise: float = 0.03, rng: Any = None, *, arms: int = 2, turns: float = 1.25
) -> tuple[np.ndarray, np.ndarray]:
    """Spiral arms: x of shape (n, 2), without noise within 1 of the origin, and the arm y of each.

    n      points, at least one for each arm
    noise  standard deviation of the normal noise in each coordinate, ≥ 0
    rng    None, a seed or a numpy.random.Generator
    arms   the number of arms, ≥ 2
    turns  the number of turns of each arm around the origin, > 0

    >>> from minidl.viz.figures.boundary import spirals
    >>> x, y = spirals(200, rng=0)
    >>> x.shape, np.bincount(y)
    ((200, 2), array([100, 100]))
    """
    arms = _checks.count("spirals", "arms", arms, 2)
    n = _checks.count("spirals", "n", n, arms)
    turns = _checks.number("spirals", "turns", turns, above=True)
    y = np.arange(n) % arms
    radius = np.linspace(0.08, 1, n)
    angle = 2 * np.pi * (turns * radius + y / arms)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x + _noise("spirals", noise, rng, n), y


def _noise(owner: str, noise: Any, rng: Any, n: int) -> np.ndarray:
    deviation = _checks.number(owner, "noise", noise)
    return deviation * _checks.generator(owner, rng).standard_normal((n, 2))


SHAPES: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "moons": moons,
    "spirals": spirals,
}


class Snapshot(NamedTuple):
    """The network after some steps.

    step           updates so far
    loss           cross-entropy over all points
    accuracy       the fraction of the points that are classified correctly
    probabilities  of each class at each point of the grid, (rows, columns, classes)
    """

    step: int
    loss: float
    accuracy: float
    probabilities: np.ndarray


def decision_boundary(
    data: Any = "moons",
    *,
    hidden: Sequence[int] = (16, 16),
    activation: nn.Activation = "tanh",
    optimizer: Callable[..., Any] = optim.Adam,
    lr: Any = 0.02,
    steps: int = 300,
    frames: int = 36,
    fps: float = 8,
    resolution: int = 160,
    seed: int = 0,
) -> FuncAnimation:
    """A network that learns to classify points in the plane, step by step, as an animation.

    The tint shows the most likely class, darker where the network is more certain; two classes are
    equally likely on the line. Frames are closer together at the beginning, where more happens. To
    write it use `minidl.viz.film.save(animation, "boundary.gif")`, which rests on the last frame.

    data        "moons", "spirals", or (x, y) of shapes (n, 2) and (n,), y the classes 0, 1, … of up
                to four. For the network, x is scaled to mean 0 and standard deviation 1.
    hidden      units of each hidden layer of the MLP; () for none, which leaves a straight line
    activation  of the hidden layers, such as "tanh" or "relu"
    optimizer   the update rule, such as dl.optim.SGD, or a function (model, lr=lr)
    lr          the rate, or a schedule
    steps       updates, each from all points, ≥ 1
    frames      the largest number of frames, ≥ 2
    fps         frames per second, > 0
    resolution  points of the grid in each direction, ≥ 2
    seed        for the points and the weights
    """
    name = "decision_boundary"
    frames = _checks.count(name, "frames", frames, 2)
    fps = _checks.number(name, "fps", fps, above=True)
    x, y = _points(name, data, seed)
    margin = 0.12 * np.ptp(x, axis=0)
    resolution = _checks.count(name, "resolution", resolution, 2)
    across, up = np.linspace(x.min(axis=0) - margin, x.max(axis=0) + margin, resolution).T
    snapshots, losses_by_step = train(
        x, y, (across, up), hidden=hidden, activation=activation, optimizer=optimizer, lr=lr,
        steps=steps, frames=frames, seed=seed,
    )  # fmt: skip
    with style.context():
        layout = ConstrainedLayoutEngine(w_pad=0.12)
        figure = plots.new_figure(layout=layout)
        plane, loss = figure.subplots(1, 2, width_ratios=(2.1, 1))
        image = plane.imshow(
            np.ones((resolution, resolution, 3)), origin="lower", aspect="auto",
            extent=(across[0], across[-1], up[0], up[-1]),
        )  # fmt: skip
        line = plane.add_collection(LineCollection([], color=style.COLOURS["black"], linewidth=2.5))
        for k, (colour, marker) in enumerate(CLASS_STYLES[: y.max() + 1]):
            plane.scatter(
                *x[y == k].T, s=45, color=colour, marker=marker, edgecolor="white", linewidth=0.6
            )
        plane.set(xlabel="x₁", ylabel="x₂", xlim=across[[0, -1]], ylim=up[[0, -1]])
        plane.locator_params(nbins=5)
        (trace,) = loss.plot([], [], color=style.COLOURS["grey"])
        (dot,) = loss.plot([], [], "o", color=style.COLOURS["black"])
        loss.set_xscale("symlog", linthresh=1)
        loss.set(
            xlabel="step", ylabel="loss", xlim=(0, 1.5 * steps),
            ylim=(0, 1.08 * max(losses_by_step)),
        )  # fmt: skip
        ticks = [0, *(10**k for k in range(int(np.log10(steps)) + 1))]
        loss.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        loss.locator_params(axis="y", nbins=4)
        title = plane.set_title(" ", loc="left")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # so that nothing moves from frame to frame

    def update(k: int) -> list[Artist]:
        snapshot = snapshots[k]
        step = snapshot.step
        image.set_data(tint(snapshot.probabilities))
        line.set_segments(_boundaries(across, up, snapshot.probabilities))
        trace.set_data(np.arange(step + 1), losses_by_step[: step + 1])
        dot.set_data([step], [snapshot.loss])
        accuracy = f"{snapshot.accuracy:.0%} of the points right"
        title.set_text(f"step {step}   loss {snapshot.loss:.3f}   {accuracy}")
        return [image, line, trace, dot, title]

    return FuncAnimation(
        figure, update, len(snapshots), init_func=lambda: update(0), interval=1000 / fps
    )


def train(
    x: np.ndarray,
    y: np.ndarray,
    grid: tuple[np.ndarray, np.ndarray],
    *,
    hidden: Sequence[int],
    activation: nn.Activation,
    optimizer: Callable[..., Any],
    lr: Any,
    steps: int,
    frames: int,
    seed: int,
) -> tuple[list[Snapshot], list[float]]:
    """Train an MLP; returns snapshots at some of the steps, and the loss after 0, 1, … updates."""
    steps = _checks.count("decision_boundary", "steps", steps)
    if not callable(optimizer):
        raise TypeError(
            "decision_boundary: optimizer must be an update rule, such as dl.optim.Adam, "
            f"got {optimizer!r}"
        )
    hidden = _checks.items("decision_boundary", "hidden", hidden)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    corners = np.stack(np.meshgrid(*grid), axis=-1)
    scaled, plane = ((part - mean) / deviation for part in (x, corners))
    model = nn.MLP([2, *hidden, int(y.max()) + 1], activation, rng=seed)
    recorded = {*np.round(np.geomspace(1, steps + 1, frames)).astype(int) - 1}
    snapshots = []

    def record(step: int, history: Any = None) -> None:
        if step in recorded:
            with no_grad():
                accuracy = np.mean(model(scaled).numpy().argmax(axis=1) == y)
                logits = model(plane.reshape(-1, 2))
                probabilities = softmax(logits).numpy().reshape(*corners.shape[:2], -1)
            loss = evaluate(model, (scaled, y), losses.cross_entropy)["loss"]
            snapshots.append(Snapshot(step, loss, float(accuracy), probabilities))

    record(0)
    history = fit(
        model, losses.cross_entropy, optimizer(model, lr=lr), (scaled, y), epochs=steps,
        callbacks=[record], progress=False,
    )  # fmt: skip
    return snapshots, [*history.step_loss, snapshots[-1].loss]


def tint(probabilities: np.ndarray) -> np.ndarray:
    """Colours (…, 3) of probabilities (…, classes): white where all classes are equally likely.

    >>> from minidl.viz.figures.boundary import tint
    >>> tint(np.array([0.5, 0.5]))
    array([1., 1., 1.])
    """
    classes = probabilities.shape[-1]
    certainty = np.maximum((classes * probabilities - 1) / (classes - 1), 0)
    shades = np.round(SHADES * certainty) / SHADES * OPACITY
    absorbed = 1 - np.array([to_rgb(colour) for colour, _ in CLASS_STYLES[:classes]])
    colours: np.ndarray = 1 - shades @ absorbed
    return colours


def _boundaries(across: np.ndarray, up: np.ndarray, probabilities: np.ndarray) -> list[np.ndarray]:
    """The lines on which a class is as likely as the most likely of the others."""
    classes = probabilities.shape[-1]
    lines: list[np.ndarray] = []
    for k in range(classes if classes > 2 else 1):
        others = np.delete(probabilities, k, axis=-1).max(axis=-1)
        margin: Any = contour_generator(across, up, probabilities[..., k] - others)
        lines += margin.lines(0)
    return lines


def _points(owner: str, data: Any, seed: Any) -> tuple[np.ndarray, np.ndarray]:
    """The points and classes: the named ones, or those in `data` after a check."""
    if isinstance(data, str):
        return SHAPES[_checks.choice(owner, "data", data, SHAPES)](rng=seed)
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            f"{owner}: data must be {' or '.join(map(repr, SHAPES))}, or a pair (x, y), "
            f"got {type(data).__name__}"
        )
    x, y = map(np.asarray, data)
    if x.ndim != 2 or x.shape[1] != 2 or y.shape != x.shape[:1]:
        raise ValueError(
            f"{owner}: data must be x of shape (n, 2) and y of shape (n,), got {x.shape} and "
            f"{y.shape}"
        )
    if not np.all(np.isfinite(x)) or not np.all(np.ptp(x, axis=0) > 0):
        raise ValueError(f"{owner}: x must be finite, and not constant in a column")
    classes = np.unique(y)
    if y.dtype.kind not in "iu" or classes.tolist() not in ([0, 1], [0, 1, 2], [0, 1, 2, 3]):
        raise ValueError(
            f"{owner}: y must be whole numbers, two to four classes counted from 0, got "
            f"{classes[:6]}"
        )
    return x, y
