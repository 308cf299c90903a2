"""Slices of a network's loss, for races on networks: a plane through the space of its weights.

The plane lies along the principal components of the paths of trainings (Li et al. 2018, Visualizing
the loss landscape of neural nets).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from minidl import nn
from minidl.data import DataLoader
from minidl.data.arrays import call
from minidl.evaluation import Loss, loss_of
from minidl.tensor import Tensor, no_grad
from minidl.viz._race.surfaces import Interval, Stationary, Surface

MARGIN, MIN_ASPECT = 0.25, 0.75  # around the paths, by their extent; the shorter side by the longer


class WeightLoss:
    """The loss of a network over all data, in evaluation mode, as a function of its weights.

    Weights are one vector, float64: all parameters in the order of `model.parameters()`. Buffers
    keep their values.

    >>> from minidl.viz._race.slices import WeightLoss
    >>> data = dl.data.DataLoader([[1.0], [2.0]], [[2.0], [4.0]])
    >>> weight_loss = WeightLoss(dl.nn.Dense(1, 1), dl.losses.mse, data)
    >>> weight_loss.at(np.array([1.0, 0.5])), weight_loss.gradient(np.array([1.0, 0.5]))[1]
    (1.25, array([-3.5, -2. ]))
    """

    def __init__(self, model: nn.Module, loss: Loss, data: DataLoader) -> None:
        self.model, self.loss = copy.deepcopy(model).eval(), loss
        self.batch = data._arrays()
        self.parameters = list(self.model.parameters())

    def at(self, weights: np.ndarray) -> float:
        """The loss with these weights."""
        with no_grad():
            return float(self._forward(weights).item())

    def gradient(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss with these weights, and its gradient."""
        self.model.zero_grad()
        value = self._forward(weights)
        with np.errstate(all="ignore"):
            value.backward()
        gradients = [
            np.zeros(parameter.shape) if parameter.grad is None else parameter.grad
            for parameter in self.parameters
        ]
        return value.item(), flat(gradients)

    def _forward(self, weights: np.ndarray) -> Tensor:
        start = 0
        with np.errstate(all="ignore"):
            for parameter in self.parameters:
                part = weights[start : start + parameter.size]
                parameter.data = part.reshape(parameter.shape).astype(parameter.dtype)
                start += parameter.size
            x, y, *weight = self.batch
            return loss_of("network_race", self.loss, call(self.model, x), y, *weight)


def flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays as one vector, float64."""
    return np.concatenate([np.ravel(array) for array in arrays]).astype(np.float64)


def principal_directions(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components of points, (points, n).

    Returns two orthonormal directions, (2, n), and the share of the points' variance along each,
    (2,).

    >>> from minidl.viz._race.slices import principal_directions
    >>> points = np.array([[0.0, 0.0, 1.0], [4.0, 0.0, 1.0], [0.0, 2.0, 1.0], [4.0, 2.0, 1.0]])
    >>> directions, explained = principal_directions(points)
    >>> abs(directions).round(12), explained
    (array([[1., 0., 0.], [0., 1., 0.]]), array([0.8, 0.2]))
    """
    deviations = points - points.mean(0)
    if len(points) < deviations.shape[1]:  # the smaller of two matrices with the same eigenvalues
        directions = deviations.T @ np.linalg.eigh(deviations @ deviations.T)[1][:, :-3:-1]
    else:
        directions = np.linalg.eigh(deviations.T @ deviations)[1][:, :-3:-1]
    directions = np.linalg.qr(directions)[0].T
    variance = ((deviations @ directions.T) ** 2).sum(0)
    return directions, variance / (deviations**2).sum()


class Slice(Surface):
    """The loss of a network on a plane through its weights: L(centre + x d₁ + y d₂).

    centre      (n,), the point of the plane at x = y = 0
    directions  (2, n), the orthonormal directions d₁ and d₂
    explained   (2,), the share of the paths' variance along each direction

    A slice has no goal: a minimum of the loss on the plane is hardly ever one of the network.
    """

    def __init__(
        self,
        weight_loss: WeightLoss,
        paths: Sequence[np.ndarray],
        centre: np.ndarray,
        resolution: int,
        name: str,
    ) -> None:
        self.weight_loss, self.centre, self.name = weight_loss, centre, name
        self.directions, self.explained = principal_directions(np.concatenate(paths))
        ends = sum(path[-1] - path[0] for path in paths)
        away = np.where(self.directions @ ends < 0, -1, 1)  # paths lead to the right, and up
        self.directions *= away[:, None]
        first, second = (f"{share:.1%} of the variance" for share in self.explained)
        self.axes = f"x along d₁, {first}", f"y along d₂, {second}"
        self.formula = "f = L(c + x d₁ + y d₂)"
        positions = np.concatenate([self.project(path) for path in paths])
        self.x, self.y = _window(positions)
        self.start = tuple(self.project(paths[0][0]).tolist())
        self.elementwise, self.searched = False, False
        self.minima = np.empty((0, 2))
        self.resolution = resolution
        self._grid = self._evaluate_grid(self.x, self.y)
        self.floor = 0.0 if self._grid[2].min() >= 0 else None

    def __repr__(self) -> str:
        return f"Slice({self.name}, {self.explained.sum():.1%} of the variance)"

    def project(self, weights: np.ndarray) -> np.ndarray:
        """The coordinates of the nearest point of the plane: (…, n) → (…, 2)."""
        with np.errstate(all="ignore"):  # of paths that diverge
            coordinates: np.ndarray = (weights - self.centre) @ self.directions.T
        return coordinates

    def weights(self, x: float, y: float) -> np.ndarray:
        """The weights at a point of the plane, (n,)."""
        weights: np.ndarray = self.centre + np.array([x, y]) @ self.directions
        return weights

    def stationary_points(self, x: Interval, y: Interval) -> list[Stationary]:
        """None: where the loss is flat along the plane, it hardly ever is across it."""
        return []

    def _gradient(self, weights: np.ndarray) -> np.ndarray:
        """The gradient of the network's loss with any weights, (n,), along the plane, (2,)."""
        whole = self.weight_loss.gradient(weights)[1]
        with np.errstate(all="ignore"):
            gradient: np.ndarray = self.directions @ whole
        return gradient

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss and its gradient along the plane at points: (2, …) → (…) and (2, …)."""
        value, gradient = np.empty(points.shape[1:]), np.empty(points.shape)
        for index in np.ndindex(value.shape):
            weights = self.weights(*points[:, *index])
            value[index] = self.weight_loss.at(weights)
            gradient[:, *index] = self._gradient(weights)
        return value, gradient

    def grid(
        self, n: int = 0, x: Interval | None = None, y: Interval | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y and the loss on a grid of the slice's resolution; n is ignored, as it is costly.

        The grid over the whole domain was evaluated when the slice was made.
        """
        x, y = x or self.x, y or self.y
        whole = (tuple(x), tuple(y)) == (self.x, self.y)
        return self._grid if whole else self._evaluate_grid(x, y)

    def _evaluate_grid(self, x: Interval, y: Interval) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        xs, ys = np.linspace(*x, self.resolution), np.linspace(*y, self.resolution)
        return xs, ys, np.array([[self.weight_loss.at(self.weights(x, y)) for x in xs] for y in ys])


def _window(positions: np.ndarray) -> tuple[Interval, Interval]:
    """The part of a plane that is drawn, x and y: all positions, with a margin."""
    low, high = positions.min(0), positions.max(0)
    size = np.maximum(high - low, MIN_ASPECT * (high - low).max())
    middle, half = (low + high) / 2, (0.5 + MARGIN) * size
    (left, bottom), (right, top) = (middle - half).tolist(), (middle + half).tolist()
    return (left, right), (bottom, top)
