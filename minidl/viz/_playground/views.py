"""What the page shows of a training: maps, weights, gradients, losses and remarks, as JSON data.

Arrays are little-endian bytes in base64. A map has one byte for each point, from −127 to 127.
"""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl import nn
from minidl.metrics import accuracy
from minidl.optim import Optimizer
from minidl.tensor import Tensor, no_grad
from minidl.viz._playground.data import BOX
from minidl.viz._playground.settings import GIVEN, Given, Settings
from minidl.viz._playground.training import Training
from minidl.viz._race.explain import MOMENTUM
from minidl.walkthrough.formulas import Scope
from minidl.walkthrough.parser import Equation, parse

Array = np.ndarray
SIDE, EVERY = 61, 3  # points along a side of the output's map; a unit's map has every third
CURVE = 151  # points of a curve over one input
SATURATED = {nn.Sigmoid: (0.5, 0.5), nn.Tanh: (0.0, 1.0)}  # the middle and half the range
MOST_ROWS = 600  # of a history; of more, every second one is forgotten
LEVEL = 0.97  # of half the range, from which on a unit counts as saturated


def packed(array: Any, dtype: str = "<f4") -> str:
    """The bytes of an array in base64."""
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()


def grid(inputs: int, given: Given | None = None) -> Array:
    """The points of the output's map, row by row from the upper left; or those of a curve.

    Of given data in their own units; inputs after the second have their mean.
    """
    if inputs == 1:
        points = np.linspace(-BOX, BOX, CURVE, dtype=np.float32)[:, None]
    else:
        line = np.linspace(-BOX, BOX, SIDE, dtype=np.float32)
        points = np.stack(np.meshgrid(line, -line), axis=-1).reshape(-1, 2)
    if given is None:
        return points
    x = np.repeat(given.x.mean(axis=0, keepdims=True), len(points), axis=0)
    shown = points.shape[1]
    x[:, :shown] = given.center[:shown] + given.scale[:shown] * points
    return x


def drawn(settings: Settings, x: Array, y: Array) -> tuple[Array, Array]:
    """Points and labels or values, as the page draws them."""
    y = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
    given = settings.given if settings.data == GIVEN else None
    if given is not None:
        n = settings.shown
        x = (x[:, :n] - given.center[:n]) / given.scale[:n]
        y = y if given.classes else (y - given.value[0]) / given.value[1]
    return x, y


def forward(model: nn.Sequential, x: Array) -> list[Array]:
    """What each layer gives without dropout: after the activation, and the output at the end."""
    given = []
    y: Any = x
    with no_grad():
        modules = [module for module in model if not isinstance(module, nn.Dropout)]
        for i, module in enumerate(modules):
            y = module(y)
            if not isinstance(module, nn.Dense) or i == len(modules) - 1:
                given.append(y.data)
    return given


def probabilities(output: Array, classes: int, loss: str) -> Array:
    """The probability of each class, (n, classes)."""
    if loss == "mse":
        p = np.clip(output, 0, 1)
        total = p.sum(axis=1, keepdims=True)
        equal: Array = np.full_like(p, 1 / classes)
        np.divide(p, total, out=equal, where=total > 0)
        return equal
    if loss == "binary_cross_entropy":
        with np.errstate(over="ignore"):
            p = 1 / (1 + np.exp(-output))
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p
    odds: Array = np.exp(output - output.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    return odds


def scores(training: Training) -> list[float]:
    """Loss and accuracy on the training data, and on the test data; NaN where there is none."""
    found: list[float] = []
    for x, y in (training.x, training.y), (training.x_test, training.y_test):
        if len(x) == 0:
            found += [math.nan, math.nan]
            continue
        output = forward(training.model, x)[-1]
        with no_grad():
            loss = training.loss(Tensor(output), y).item()
        settings = training.settings
        found += [loss, _accuracy(output, y) if settings.classes else math.nan]
    return found


def _accuracy(output: Array, y: Array) -> float:
    if not np.isfinite(output).all():
        return math.nan
    if y.ndim == 2 and y.shape[1] > 1:  # a column for each class
        y = y.argmax(axis=1)
    elif y.ndim == 2:
        return float(((output > 0) == (y > 0.5)).mean())
    return float(accuracy(output, y))


class Views:
    """What is shown of one training, and the history of its losses.

    Each row of the history has the step; loss and accuracy on training and test data; the rate; and
    for each layer the norm of its gradient and the ratio of its update to its weights.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self.rows: list[list[float]] = []
        self.version = 0  # of the history: it changes when rows are removed
        self.look()

    @np.errstate(all="ignore")
    def look(self) -> None:
        """Add a row to the history, in place of one of the same step."""
        training = self.training
        row = [training.step, *scores(training), training.optimizer.lr]
        for norm, ratio in zip(*layer_norms(training), strict=True):
            row += [norm, ratio]
        if self.rows and self.rows[-1][0] == training.step:
            self.rows.pop()
            self.version += 1
        if self.rows and len(self.rows[0]) != len(row):  # another number of layers
            lacking = [math.nan] * len(row)
            self.rows = [[*own, *lacking][: len(row)] for own in self.rows]
            self.version += 1
        self.rows.append(row)
        training.losses.clear()
        if len(self.rows) > MOST_ROWS:
            del self.rows[1:-1:2]
            self.version += 1

    def rewound(self) -> None:
        """Forget the rows after the step to which the training has been rewound."""
        self.rows = [row for row in self.rows if row[0] < self.training.step]
        self.version += 1
        self.look()

    def frame(self, seen: list[int], detail: bool = True) -> dict[str, Any]:
        """All that the page draws; of the history only rows that it has not seen.

        seen    the version and the number of rows that it has
        detail  whether with effective rates, which take half of the time
        """
        training, settings = self.training, self.training.settings
        model = training.model
        start = seen[1] if seen[0] == self.version else 0
        given = settings.given if settings.data == GIVEN else None
        layers = forward(model, grid(settings.inputs, given))
        with np.errstate(all="ignore"):
            *hidden, output = layers
            if given is not None and not given.classes:
                output = (output - given.value[0]) / given.value[1]
            shown = _output_map(output, settings.classes, settings.loss)
            acts = forward(model, training.x)[:-1]
            return {
                "step": training.step,
                "seconds": training.seconds,
                "epoch": training.epochs,
                "epochLength": training.epoch_length,
                "version": self.version,
                "from": start,
                "rows": packed(self.rows[start:], "<f8"),
                "width": len(self.rows[0]),
                "remembered": sorted(training.remembered),
                "output": shown,
                "maps": [_unit_maps(layer, settings.shown) for layer in hidden],
                "idle": [_idle(training, layer) for layer in acts],
                "parameters": [
                    {
                        "name": name,
                        "shape": p.shape,
                        "value": packed(p.data),
                        "grad": None if p.grad is None else packed(p.grad),
                        "update": packed(training.update[i]) if training.update else None,
                        "effective": _effective(training, i, p) if detail else None,
                    }
                    for i, (name, p) in enumerate(model.named_parameters())
                ],
                "remarks": remarks(training, self.rows, acts),
            }


def _unit_maps(layer: Array, inputs: int) -> str:
    """For each unit its values on the grid as bytes; 127 stands for its largest absolute value."""
    if inputs == 2:
        layer = layer.reshape(SIDE, SIDE, -1)[::EVERY, ::EVERY].reshape(-1, layer.shape[1])
    tops = np.abs(layer).max(axis=0)
    scaled = np.nan_to_num(np.rint(127 * layer / np.where(tops > 0, tops, 1)), nan=0, posinf=0)
    return packed(scaled.T, "i1")


def _output_map(output: Array, classes: int, loss: str) -> str:
    """Probabilities as bytes 0 … 255, class by class; values as float32."""
    if not classes:
        return packed(output)
    p = np.nan_to_num(probabilities(output, classes, loss))
    return packed(np.rint(255 * p.T), "u1")


def layer_norms(training: Training) -> tuple[list[float], list[float]]:
    """For each layer the norm of its weights' gradient, and |update| : |weights|."""
    norms, ratios = [], []
    for i, (name, p) in enumerate(training.model.named_parameters()):
        if not name.endswith("weight"):
            continue
        with np.errstate(all="ignore"):
            norms.append(float(np.linalg.norm(p.grad)) if p.grad is not None else math.nan)
            size = float(np.linalg.norm(p.data))
            update = float(np.linalg.norm(training.update[i])) if training.update else math.nan
            ratios.append(update / size if size else math.nan)
    return norms, ratios


def _idle(training: Training, layer: Array) -> list[float]:
    """For each unit the share of training samples at which it is saturated, or gives 0 (ReLU)."""
    kind = nn.ACTIVATIONS[training.settings.activation]
    if kind is nn.ReLU:
        idle = layer <= 0
    elif kind in SATURATED:
        middle, half = SATURATED[kind]
        idle = np.abs(layer - middle) > LEVEL * half
    else:
        return []
    return [round(float(share), 4) for share in idle.mean(axis=0)]


def _effective(training: Training, i: int, p: Tensor) -> str | None:
    """The effective rates of a parameter in the last step; None before the first."""
    if not training.update or p.grad is None or not training.optimizer.state[p]["t"]:
        return None
    rates = effective_rates(training.optimizer, p)
    if rates is None:  # FTRL computes weights, not steps
        g = p.grad
        rates = np.divide(-training.update[i], g, out=np.zeros_like(g), where=g != 0)
    return packed(rates)


@functools.cache
def _equations(text: str) -> list[Equation]:
    return [parse(line) for line in text.splitlines() if line.strip()]


def effective_rates(optimizer: Optimizer, p: Tensor) -> Array | None:
    """What the last step multiplied the gradient of each weight by, or its running average.

    None for a rule that does not write its step as θ ← θ − ….
    """
    group = optimizer.groups[0]
    return rates_of(type(optimizer), group, optimizer.rate(group, -1), optimizer.state[p], p.shape)


def rates_of(
    rule: type[Optimizer],
    options: Mapping[str, Any],
    rate: float,
    state: Mapping[str, Any],
    shape: tuple[int, ...],
) -> Array | None:
    """The same of a rule with its options, the rate of the step, and the state after it.

    The rule's own equations are evaluated with 1 for the gradient and its average.
    """
    values = {**{name: x for name, x in options.items() if name != "params"}, **state, "lr": rate}
    for symbol, name in rule.symbols.items():
        if name in values:
            own = values[name]
            values[symbol] = own["₁₂".index(symbol[-1])] if isinstance(own, tuple) else own
    momentum = next((MOMENTUM[c.__name__] for c in rule.__mro__ if c.__name__ in MOMENTUM), None)
    values["g"] = 1.0
    if momentum in state:
        values[str(momentum)] = 1.0
    for line in _equations(rule.equations):
        scope = Scope(values)
        if line.condition is not None and not scope.value(line.condition):
            continue
        if line.symbol == "θ":
            kind, *parts = line.tree
            if kind != "−" or parts[0] != ("name", "θ"):
                return None
            return np.broadcast_to(np.asarray(scope.value(parts[1])), shape)
        if line.sign == "=" or rule.symbols.get(line.symbol) == "lr":
            values[line.symbol] = scope.value(line.tree)
    return None


# --- remarks ------------------------------------------------------------------------------------


def remarks(training: Training, rows: list[list[float]], layers: list[Array]) -> list[list[str]]:
    """What goes wrong, as [kind, sentence]; the most serious first."""
    found: list[list[str]] = []
    now = rows[-1]
    loss, test = now[1], now[3]
    if not math.isfinite(loss):
        bad = next((row[0] for row in rows if not math.isfinite(row[1])), now[0])
        text = (
            f"The loss is not finite since step {bad:g}: the steps were too long. Rewind, and "
            "take a lower rate."
        )
        return [["exploding", text]]
    first = rows[0][1]
    if len(rows) > 3 and loss > 3 * first and loss > 1:
        text = f"The loss is {loss / first:.1f} times what it was at first: the rate is too high."
        found.append(["exploding", text])
    norms, ratios = now[6::2], now[7::2]
    large = [i + 1 for i, ratio in enumerate(ratios) if ratio > 0.3]
    if large and training.step > 5:
        text = (
            f"One step changes the weights of layer {large[0]} by {ratios[large[0] - 1]:.0%} of "
            "their size. About 0.1 % is usual; a lower rate is steadier."
        )
        found.append(["exploding", text])
    top = max((norm for norm in norms if math.isfinite(norm)), default=0.0)
    if len(norms) > 2 and top > 0 and norms[0] < 1e-3 * top:
        text = (
            f"The gradient of layer 1 is {norms[0] / top:.1e} of the largest: it vanishes on its "
            "way back. Fewer layers, ReLU or another initializer help."
        )
        found.append(["vanishing", text])
    kind = training.settings.activation
    for i, layer in enumerate(layers, start=1):
        if kind == "relu":
            dead = int((layer <= 0).all(axis=0).sum())
            if dead:
                verbs = ("gives", "it learns") if dead == 1 else ("give", "they learn")
                text = (
                    f"In layer {i}, {dead} of {layer.shape[1]} units {verbs[0]} 0 for every "
                    f"sample, so {verbs[1]} no more."
                )
                found.append(["dead", text])
        elif kind in ("tanh", "sigmoid"):
            idle = _idle(training, layer)
            share = sum(idle) / len(idle)
            if share > 0.5:
                text = (
                    f"In layer {i}, {share:.0%} of the outputs are saturated: little of the "
                    "gradient passes."
                )
                found.append(["saturated", text])
    if math.isfinite(test) and training.step > 50:
        lowest = min(rows, key=lambda row: row[3] if math.isfinite(row[3]) else math.inf)
        if test > 1.25 * lowest[3] and test > 1.5 * loss and loss < lowest[1]:
            text = (
                f"Overfitting: the test loss was lowest, {lowest[3]:.3g}, at step {lowest[0]:g}; "
                "since then only the training loss falls. Try more data, dropout or weight decay."
            )
            found.append(["overfitting", text])
    return found
