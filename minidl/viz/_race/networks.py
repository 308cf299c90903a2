"""Races on networks, for users: optimizers train a network from the same weights.

Their paths are drawn on a slice of the network's loss, a plane along their principal components.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minidl import _checks, nn
from minidl._format import number
from minidl.callbacks import Callback, Training
from minidl.data import DataLoader
from minidl.data.batches import as_batches
from minidl.evaluation import Data, Loss, check_functions
from minidl.history import DivergenceError
from minidl.optim import Optimizer
from minidl.schedulers import Rate
from minidl.training import fit
from minidl.viz._race import racing
from minidl.viz._race.record import Run
from minidl.viz._race.slices import Slice, WeightLoss, flat
from minidl.viz._race.surfaces import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NUMBERS = 5 * 10**7  # that the paths of all optimizers hold
DIVERGED, HIGHER = "diverged", "ended higher"
FALLING, LEVEL = "still falling", "levelled off"


class NetworkRace(racing.Race):
    """Trainings of a network with several optimizers, on a slice of its loss.

    surface  the Slice: `surface.directions`, `.centre`, `.explained`, `.project(weights)`
    runs     list of Run: `theta` is the path on the plane, `loss` the network's own loss at its
             weights, over all data, and `gradient` the gradient along the plane
    steps    how many each optimizer took
    weights  for each run its path in the space of all weights, (steps + 1, n), NaN after a
             divergence
    shares   for each run the share of its path's variance that the plane shows
    """

    surface: Slice
    parameters = False

    def __init__(
        self, surface: Slice, runs: list[Run], steps: int, weights: list[np.ndarray]
    ) -> None:
        start = np.array([surface.start])
        super().__init__(surface, runs, steps, start, surface.width / 100, 0.0)
        self.weights, self.shares = weights, [_share(surface, path) for path in weights]

    def __repr__(self) -> str:
        losses = (f"{run.name}: {number(run.loss[-1, 0], 3).shown}" for run in self.runs)
        return f"NetworkRace({self.surface.name}, {self._count()}, {', '.join(losses)})"

    def _count(self) -> str:
        return f"{self.steps} step{'s' * (self.steps > 1)}"

    @property
    def lowest(self) -> Run:
        """The run with the lowest loss at the end."""
        return min(self.runs, key=lambda run: np.nan_to_num(run.loss[-1, 0], nan=np.inf))

    def _description(self, start: int | None = None) -> list[str]:
        """Steps and plane as lines of text."""
        first, second = self.surface.explained
        return [
            f"{self._count()} of {self.surface.centre.size:,} weights from the same start",
            f"plane: through c, where {self.lowest.name} ends, along the paths' principal "
            "components d₁ and d₂",
            f"variance of the paths along d₁ and d₂: {first:.1%} + {second:.1%} = "
            f"{first + second:.1%} of all",
            "f: the loss over all data, of the plane on the map, of the network in all numbers",
        ]

    def _view(self, start: int = 0) -> tuple[Interval, Interval]:
        """The part of the plane that pictures show, that of the slice's grid."""
        return self.surface.x, self.surface.y

    def _ending(self, run: Run, start: int) -> str:
        """The loss at the end."""
        diverged = run.verdicts[start] == DIVERGED
        return DIVERGED if diverged else f"loss {number(run.loss[-1, start], 3).shown}"

    def _results(self) -> list[list[str]]:
        """The loss of the network at the end of each training, and what the plane shows of it.

        "on the plane" is the loss at the nearest point of the plane, and "shown" the share of the
        variance of the run's own path that the plane shows.
        """
        rows = [["optimizer", "rate", "loss at the end", "on the plane", "shown", "verdict"]]
        for run, share in zip(self.runs, self.shares, strict=True):
            end = run.theta[-1]
            shown = number(self.surface.at(end.T)[0][0]).shown if np.isfinite(end).all() else "–"
            loss = number(run.loss[-1, 0]).shown
            rows.append([run.name, run.rate, loss, shown, f"{share:.0%}", run.verdicts[0]])
        return rows

    def plot(
        self, path: str | PathLike[str] | None = None, *, start: int = 0, title: str | None = None
    ) -> Axes:
        """Draw the slice and the paths; returns the Matplotlib axes. The options are a Race's."""
        return super().plot(path, start=start, title=self._headline() if title is None else title)

    def serve(self, *, start: int = 0, port: int = 0, browser: bool = True) -> None:
        """TypeError: a slice holds for its paths, so a run can't start anywhere else on it."""
        raise TypeError(
            "serve: a race on a network can't be served, as a run that starts elsewhere leaves the "
            "slice; save('race.html') writes its page"
        )

    def _headline(self) -> str:
        """The title of the plot."""
        return (
            f"{self.surface.name}, {self._count()}: {self.lowest.name} ends lowest\n"
            f"the plane shows {self.surface.explained.sum():.0%} of the variance of the paths"
        )


def network_race(
    model: nn.Module,
    loss: Loss,
    data: Data,
    optimizers: racing.Rules = racing.ARTICLE,
    *,
    steps: int = 200,
    lr: Rate | Mapping[Any, Rate] | None = None,
    resolution: int = 61,
) -> NetworkRace:
    """Train a network with several optimizers, and draw their paths on a slice of its loss.

    model       a Module, with at least two weights; it is copied for each optimizer and not changed
    loss        a function (prediction, y) → scalar tensor, such as dl.losses.cross_entropy
    data        (x, y), all of them in each step; or a DataLoader, whose mini-batches are the same
                for all optimizers
    optimizers  as for dl.viz.race: names, classes, functions (params, lr) or a dict of them
    steps       the number of steps, ≥ 1
    lr          a rate or schedule for all optimizers, or a dict {label: rate or schedule}; an
                optimizer without one uses its default
    resolution  points along each side of the grid on which the loss is drawn, ≥ 2

    The slice is a plane along the first two principal components of the points of all paths, and
    the result states how much of their variance these explain. It goes through the end of the path
    with the lowest loss. Contours are the loss on the plane. A path is drawn at the nearest point
    of the plane, but its loss is that of the network. The verdicts, by the loss over all data:

    - "diverged": it becomes infinite or NaN, and the training ends there
    - "ended higher" than at the start
    - "still falling": its mean over the last tenth of the steps is lower than over the tenth
      before, by one percent or more
    - "levelled off": anything else

    Trainings with one of the first two verdicts don't count for the plane if there are others.

    TypeError or ValueError for data other than these, unknown optimizers, a model with fewer than
    two weights, weights that don't move, paths of more than 5·10⁷ numbers in all, and if every
    training diverges.

    >>> x = np.linspace(-1, 1, 20).reshape(-1, 1)
    >>> model = dl.nn.Dense(1, 1, rng=0)
    >>> race = dl.viz.network_race(model, dl.losses.mse, (x, 2 * x + 1), ["SGD", "Adam"],
    ...                            steps=20, lr=0.1, resolution=5)
    >>> print(f"{race.surface.explained.sum():.0%}")    # a line has two weights: a plane is all
    100%
    >>> race
    NetworkRace(Dense, 20 steps, SGD: 0.0403, Adam: 0.079)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"network_race: model must be a Module, such as nn.MLP([2, 16, 1]), got {model!r}"
        )
    check_functions("network_race", loss=loss)
    batches = as_batches("network_race: data", data)
    if not isinstance(batches, DataLoader):
        raise TypeError(
            "network_race: data must be a pair (x, y) or a DataLoader, as all of them make the "
            f"loss that is drawn, got {type(data).__name__}"
        )
    steps = _checks.count("network_race", "steps", steps)
    resolution = _checks.count("network_race", "resolution", resolution, 2)
    factories = racing._factories(optimizers)
    options = racing._rate_options(lr, factories)
    count = sum(parameter.size for parameter in model.parameters())
    if count < 2:
        raise ValueError(
            f"network_race: the model must have two weights or more for a plane, got {count}"
        )
    if (numbers := count * (steps + 1) * len(factories)) > MAX_NUMBERS:
        raise ValueError(
            f"network_race: {len(factories)} paths of {steps} steps of {count:,} weights are "
            f"{numbers:,} numbers, more than {MAX_NUMBERS:,}; take fewer steps or optimizers"
        )
    trainings = [
        _train(name, model, loss, batches, make, copy.deepcopy(options[name]), steps)
        for name, make in factories.items()
    ]
    weight_loss = WeightLoss(model, loss, batches)
    losses = [np.array([weight_loss.at(w) for w in training.path]) for training in trainings]
    verdicts = [_verdict(values, steps) for values in losses]
    surface = _slice(weight_loss, [t.path for t in trainings], losses, verdicts, resolution)
    runs = [
        Run(
            name,
            training.optimizer,
            _padded(surface.project(training.path), steps + 1)[:, None],
            _padded(values, steps + 1)[:, None],
            _padded(np.array([surface._gradient(w) for w in training.path]), steps + 1)[:, None],
            {},
            np.pad(training.lr, (0, steps - len(training.lr)), "edge"),
            [verdict],
            [None],
        )
        for name, training, values, verdict in zip(
            factories, trainings, losses, verdicts, strict=True
        )
    ]
    paths = [_padded(training.path, steps + 1) for training in trainings]
    return NetworkRace(surface, runs, steps, paths)


class _Trained(NamedTuple):
    """A finished training: its path (steps + 1, n), shorter if it diverged, and its rates."""

    optimizer: Optimizer
    path: np.ndarray
    lr: np.ndarray


class _Path(Callback):
    """Records the weights before the first step and after each."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = list(model.parameters())
        self.points: list[np.ndarray] = []
        self.on_step()

    def on_step(self, training: Training | None = None) -> None:
        self.points.append(flat([parameter.data for parameter in self.parameters]))


def _train(
    name: str,
    model: nn.Module,
    loss: Loss,
    data: DataLoader,
    make: racing.Factory,
    options: dict[str, Any],
    steps: int,
) -> _Trained:
    """Train a copy of a model."""
    model, data = copy.deepcopy(model), copy.deepcopy(data)
    optimizer = make(list(model.parameters()), **options)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"network_race: {name} must make an optimizer, got {optimizer!r}")
    path = _Path(model)
    try:
        history = fit(model, loss, optimizer, data, steps=steps, callbacks=[path], progress=False)
    except DivergenceError as error:
        history = error.history
    if history.interrupted:
        raise KeyboardInterrupt
    return _Trained(optimizer, np.array(path.points), np.array(history.lr[:steps]))


def _slice(
    weight_loss: WeightLoss,
    paths: list[np.ndarray],
    losses: list[np.ndarray],
    verdicts: list[str],
    resolution: int,
) -> Slice:
    """The slice through the end of the best path, along the components of those that count."""
    ended = [i for i, verdict in enumerate(verdicts) if verdict != DIVERGED]
    counted = [i for i in ended if verdicts[i] != HIGHER] or ended
    if not counted:
        raise ValueError("network_race: every training diverged; choose lower rates")
    if all(np.ptp(paths[i], axis=0).max() == 0 for i in counted):
        raise ValueError("network_race: no weight moves, so there is no path; choose a higher rate")
    best = min(counted, key=lambda i: losses[i][-1])
    name = type(weight_loss.model).__name__
    return Slice(weight_loss, [paths[i] for i in counted], paths[best][-1], resolution, name)


def _verdict(losses: np.ndarray, steps: int) -> str:
    """How a training ended, by its losses before the first step and after each."""
    if len(losses) <= steps or not np.isfinite(losses).all():
        return DIVERGED
    if losses[-1] > losses[0]:
        return HIGHER
    tail = max(1, len(losses) // 10)
    before, last = losses[-2 * tail : -tail].mean(), losses[-tail:].mean()
    return FALLING if last < 0.99 * before else LEVEL


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    """The array with NaN to a length."""
    missing = np.full((length - len(array), *array.shape[1:]), np.nan)
    return np.concatenate([array, missing])


def _share(surface: Slice, path: np.ndarray) -> float:
    """The share of a path's variance that the plane shows."""
    path = path[np.isfinite(path).all(1)]
    deviations = path - path.mean(0)
    deviations /= np.abs(deviations).max() or 1.0  # so that no square overflows
    variance = (deviations**2).sum()
    shown = ((deviations @ surface.directions.T) ** 2).sum()
    return float(shown / variance) if variance else 1.0
