"""A figure of the gallery: optimizers train a network, on a slice of its loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minidl import _checks, losses, nn
from minidl.viz import plots
from minidl.viz._race import networks
from minidl.viz.figures.boundary import moons

RATES = {
    "SGD": 0.5, "Momentum": 0.5, "NAG": 0.5, "Adagrad": 0.05, "RMSprop": 0.01, "Adam": 0.02,
    "Adadelta": 2.0, "FTRL": 0.3,
}  # fmt: skip


def loss_slice(
    model: nn.Module | None = None,
    loss: Any = losses.cross_entropy,
    data: Any = None,
    rates: Mapping[str, Any] | None = None,
    *,
    steps: int = 300,
    resolution: int = 61,
) -> Figure:
    """The paths of optimizers that train a network, on a slice of its loss.

    model       a Module; by default a classifier with two hidden layers of 16 units
    loss, data  as for dl.viz.network_race; by default two hundred points of two moons
    rates       {name of a rule: rate or schedule}; by default eight rules with rates that suit them
    steps       how many each takes
    resolution  points along each side of the grid on which the loss is drawn

    The numbers beside the names are the losses of the network at the end of each path. The picture
    is that of `dl.viz.network_race(…).plot()`.
    """
    if (model is None) != (data is None):
        raise TypeError("loss_slice: give both model and data, or neither for the moons")
    if model is None:
        x, y = moons(rng=0)
        model, data = nn.MLP([2, 16, 16, 2], "tanh", rng=0), (x.astype(np.float32), y)
    rates = RATES if rates is None else _checks.dictionary("loss_slice", "rates", rates)
    race = networks.network_race(
        model, loss, data, list(rates), steps=steps, lr=rates, resolution=resolution
    )
    axes = plots.race_axes(race, title=race._headline())
    return axes.figure.figure
