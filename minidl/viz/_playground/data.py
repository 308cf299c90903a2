"""The playground's data sets: points in the square from −1.5 to 1.5, with classes or values.

Each function is self-contained, since a script that reproduces a run contains its source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray
BOX = 1.5  # the half side of the square that the page shows


def moons(n: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Two interleaving half circles."""
    label = np.arange(n) % 2
    angle = rng.uniform(0, np.pi, n)
    x = np.cos(angle) - 0.5 + label * (1 - 2 * np.cos(angle))
    y = np.sin(angle) - 0.25 + label * (0.5 - 2 * np.sin(angle))
    points = 0.8 * np.stack([x, y], axis=1) + rng.normal(0, noise, (n, 2))
    return points.astype(np.float32), label


def spirals(n: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Two spirals, one inside the other."""
    label = np.arange(n) % 2
    radius = 1.2 * np.sqrt(rng.uniform(0.01, 1, n))
    angle = 5 * radius + np.pi * label
    points = radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return (points + rng.normal(0, noise / 2, (n, 2))).astype(np.float32), label


def circles(n: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """A disc inside a ring."""
    label = np.arange(n) % 2
    radius = np.where(label, rng.uniform(0.85, 1.15, n), 0.55 * np.sqrt(rng.uniform(0, 1, n)))
    angle = rng.uniform(0, 2 * np.pi, n)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (points + rng.normal(0, noise, (n, 2))).astype(np.float32), label


def xor(n: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Four squares: the class is 1 where x and y have different signs."""
    points = rng.uniform(0.08, 1.15, (n, 2)) * rng.choice([-1, 1], (n, 2))
    label = (points[:, 0] * points[:, 1] < 0).astype(int)
    return (points + rng.normal(0, noise, (n, 2))).astype(np.float32), label


def three_classes(n: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Three arms of a spiral, one for each class."""
    label = np.arange(n) % 3
    radius = rng.uniform(0.1, 1.2, n)
    angle = 1.6 * radius + 2 * np.pi / 3 * label + rng.normal(0, 0.15, n)
    points = radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return (points + rng.normal(0, noise / 2, (n, 2))).astype(np.float32), label


def curve(n: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """A curve over one input: y = sin(4x) · (1 − x²/3)."""
    x = rng.uniform(-1.4, 1.4, (n, 1))
    y = np.sin(4 * x) * (1 - x**2 / 3) + rng.normal(0, noise, (n, 1))
    return x.astype(np.float32), y.astype(np.float32)


def plane(n: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """A value over the plane: sin(2x) · cos(2y)."""
    points = rng.uniform(-1.4, 1.4, (n, 2))
    y = np.sin(2 * points[:, :1]) * np.cos(2 * points[:, 1:]) + rng.normal(0, noise, (n, 1))
    return points.astype(np.float32), y.astype(np.float32)


class DataSet(NamedTuple):
    """A data set: its title, its function, the number of classes (0: values) and of inputs."""

    title: str
    draw: Callable[[int, float, np.random.Generator], tuple[Array, Array]]
    classes: int
    inputs: int


DATA = {
    "moons": DataSet("two moons", moons, 2, 2),
    "circles": DataSet("circles", circles, 2, 2),
    "xor": DataSet("XOR", xor, 2, 2),
    "spirals": DataSet("spirals", spirals, 2, 2),
    "three_classes": DataSet("three classes", three_classes, 3, 2),
    "curve": DataSet("a curve", curve, 0, 1),
    "plane": DataSet("a plane", plane, 0, 2),
}
