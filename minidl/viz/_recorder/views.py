"""What the page shows of a recorded training, as JSON data; computed from the looks, afterwards.

Arrays are little-endian bytes in base64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from minidl import _observer
from minidl.data.arrays import as_input
from minidl.losses import BinaryCrossEntropy, CrossEntropy
from minidl.nn import Module, Sigmoid, Tanh
from minidl.optim import Optimizer
from minidl.tensor import no_grad
from minidl.viz._playground.views import LEVEL, SATURATED, packed, probabilities, rates_of
from minidl.viz._recorder.recording import SAMPLES, Look, Recording
from minidl.walkthrough.parser import FormulaError

Array = np.ndarray
SIDE, CURVE = 61, 151  # points along a side of the map, and along a curve
POINTS = 600  # of a curve over the steps, at most twice as many
BINS = 24  # of a histogram
MOST_CLASSES = 8
MOST_LAYERS = 12  # whose curves are drawn
QUANTILES = (0.05, 0.5, 0.95)
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus")
RANGES = {"sigmoid": SATURATED[Sigmoid], "tanh": SATURATED[Tanh]}


def page_data(recorder: Recording) -> dict[str, Any]:
    """All that the page shows."""
    looks = recorder.looks
    layers = layers_of(recorder.names)
    return {
        "steps": [look.step for look in looks],
        **_history(recorder),
        "layers": list(layers)[:MOST_LAYERS],
        "allLayers": len(layers),
        "norms": packed([_norms(look, layers) for look in looks], "<f8"),
        "rates": packed([_rate_quantiles(recorder, look, layers) for look in looks], "<f8"),
        "first": _first(recorder),
        **_given(recorder),
    }


# --- losses and metrics -------------------------------------------------------------------------


def chosen_steps(values: Sequence[float], always: Sequence[int]) -> list[int]:
    """Places that draw the same curve: of equal parts the least and the greatest, and `always`."""
    n = len(values)
    if n <= 2 * POINTS:
        return list(range(n))
    found = {0, n - 1, *(i for i in always if 0 <= i < n)}
    array = np.asarray(values, float)
    for part in np.array_split(np.arange(n), POINTS):
        own = array[part]
        if not np.isfinite(own).all():
            found.add(int(part[np.flatnonzero(~np.isfinite(own))[0]]))
            own = np.where(np.isfinite(own), own, np.nan)
        if np.isfinite(own).any():
            found |= {int(part[np.nanargmin(own)]), int(part[np.nanargmax(own)])}
    return sorted(found)


def _history(recorder: Recording) -> dict[str, Any]:
    history = recorder.history
    assert history is not None
    at = chosen_steps(history.step_loss, [look.step - 1 for look in recorder.looks])
    epochs = len(history.epoch_ends)
    metrics = {
        name: values[:epochs]
        for name, values in history.metrics.items()
        if len(values) >= epochs and all(isinstance(x, Real) for x in values)
    }
    ends = {"loss": history.loss, "validation": history.validation}
    return {
        "taken": len(history.step_loss),
        "at": packed([i + 1 for i in at], "<f8"),
        "loss": packed([history.step_loss[i] for i in at], "<f8"),
        "rate": packed([history.lr[i] for i in at], "<f8"),
        "epochEnds": packed(history.epoch_ends, "<f8"),
        "epochs": {
            name: packed(values[:epochs], "<f8")
            for name, values in ends.items()
            if epochs and len(values) >= epochs
        },
        "metrics": {name: packed([float(x) for x in own], "<f8") for name, own in metrics.items()},
    }


# --- layers -------------------------------------------------------------------------------------


def layers_of(names: Sequence[str]) -> dict[str, list[int]]:
    """The parameters of each layer, by the path of its module; others are alone."""
    layers: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        layers.setdefault(name.rpartition(".")[0] or name, []).append(i)
    return layers


def _norms(look: Look, layers: Mapping[str, list[int]]) -> list[float]:
    """For each layer the norm of its gradient, and |update| : |weights before it|."""
    row: list[float] = []
    for own in list(layers.values())[:MOST_LAYERS]:
        grad, update, weights = (
            _together([look.parts[i].known_norms[k] for i in own]) for k in range(3)
        )
        row += [grad, update / weights if weights else math.nan]
    return row


def _together(norms: list[float]) -> float:
    """The norm of several arrays, of which those that have none are left out."""
    known = [x for x in norms if not math.isnan(x)]
    return math.hypot(*known) if known else math.nan


def _rate_quantiles(
    recorder: Recording, look: Look, layers: Mapping[str, list[int]]
) -> list[float]:
    """For each layer a low, the middle and a high one of its effective rates in the step."""
    row: list[float] = []
    for own in list(layers.values())[:MOST_LAYERS]:
        found = [x for i in own if (x := effective(recorder, look, i)) is not None]
        values = np.concatenate([x.ravel() for x in found]) if found else np.empty(0)
        values = values[np.isfinite(values)]
        row += np.quantile(values, QUANTILES).tolist() if len(values) else [math.nan] * 3
    return row


def effective(recorder: Recording, look: Look, i: int) -> Array | None:
    """The effective rates of a parameter's entries, NaN where the gradient is 0.

    None if there is no gradient or update.
    """
    part = look.parts[i]
    if part.grad is None or part.update is None or recorder.optimizer is None:
        return None
    rule, rates = type(recorder.optimizer), None
    options, rate = look.groups[recorder.group_of[i]]
    with np.errstate(all="ignore"):
        try:
            rates = rates_of(rule, options, rate, part.state or {}, part.grad.shape)
        except (FormulaError, StopIteration, SyntaxError):
            rates = None  # a rule of one's own, whose equations can't be evaluated
        if rates is None:
            rates = -part.update / part.grad
    return np.where(part.grad == 0, math.nan, rates)


def _first(recorder: Recording) -> dict[str, Any] | None:
    """The first layer's weights: bytes −127 … 127 of each look, and what 127 stands for."""
    looks = recorder.looks
    if recorder.first is None:
        return None
    arrays = [np.asarray(look.first, float) for look in looks]
    tops = [float(np.max(np.abs(a), initial=0, where=np.isfinite(a))) for a in arrays]
    shape = recorder.parameters[recorder.first].shape
    with np.errstate(all="ignore"):
        codes = [
            np.nan_to_num(np.rint(127 * a.T / (top or 1)), posinf=127, neginf=-127)
            for a, top in zip(arrays, tops, strict=True)
        ]
    return {
        "name": recorder.names[recorder.first],
        "shape": shape,
        "inputs": arrays[0].shape[0],
        "units": arrays[0].shape[1],
        "side": _side(shape[0]),
        "tops": tops,
        "values": [packed(code, "i1") for code in codes],
    }


def _side(inputs: int) -> int:
    """The side of a square picture with so many points; 0 if it is none, or a small one."""
    side = math.isqrt(inputs)
    return side if side >= 5 and side * side == inputs else 0


# --- what the model gives -----------------------------------------------------------------------


class Outputs(_observer.Observer):
    """Keeps what each activation gives in a forward pass."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Array]] = []

    def op(
        self,
        function: Any,
        inputs: Sequence[Any],
        arrays: list[Any],
        extra: Sequence[Any],
        options: Mapping[str, Any],
        result: Any,
    ) -> None:
        name = getattr(function, "__name__", "")
        if name in ACTIVATIONS:
            self.found.append((name, result.data))


class Forward(NamedTuple):
    """The output at some inputs, and what each activation gave."""

    output: Array
    activations: list[tuple[str, Array]]


def forward(model: Module, x: Any) -> Forward:
    """What a model in evaluation mode gives."""
    observer = Outputs()
    token = _observer.active.set(observer)
    try:
        with no_grad(), np.errstate(all="ignore"):
            output = model(*x) if isinstance(x, tuple) else model(x)
    finally:
        _observer.active.reset(token)
    return Forward(output.data, observer.found)


def _given(recorder: Recording) -> dict[str, Any]:
    """Activations and the map; without them a reason."""
    looks, model, data = recorder.looks, recorder.shadow, recorder.data
    nothing: dict[str, Any] = {"activations": [], "map": None}
    if model is None:
        return {**nothing, "why": "The model is a function, of which only parameters are recorded."}
    if looks[0].weights is None:
        return {**nothing, "why": "The model is too large to keep its weights at each look."}
    if data is None or isinstance(data.x, dict):
        return {**nothing, "why": "Activations need data as arrays (x, y) or a DataLoader."}
    x = as_input("Recorder", data.x)
    rows = _spread(len(data.y), SAMPLES)
    some = tuple(a[rows] for a in x) if isinstance(x, tuple) else x[rows]
    model.eval()
    field = _field(recorder, x, data.y)
    passes = []
    for look in looks:
        assert look.weights is not None
        model.load_state_dict(look.weights)
        passes.append(forward(model, some))
        if field is not None:
            field.add(model)
    return {
        "activations": _activations([own.activations for own in passes]),
        "map": None if field is None else field.as_json(),
        "why": "",
    }


def _spread(n: int, most: int) -> Array:
    """At most so many of n rows, at equal distances."""
    return np.linspace(0, n - 1, min(n, most)).astype(int)


def _activations(passes: list[list[tuple[str, Array]]]) -> list[dict[str, Any]]:
    """For each activation: shares of outputs, and a histogram, at each look."""
    found = []
    for k, (name, _) in enumerate(passes[0]):
        arrays = [own[k][1] for own in passes]
        finite = [a[np.isfinite(a)] for a in arrays]
        low = min((float(a.min()) for a in finite if a.size), default=0.0)
        high = max((float(a.max()) for a in finite if a.size), default=1.0)
        high = high if high > low else low + 1
        counts = np.array([np.histogram(a, BINS, (low, high))[0] for a in finite], float)
        tops = counts.max(axis=1, keepdims=True)
        found.append(
            {
                "name": f"{k + 1}: {name.replace('_', ' ')}",
                "kind": name,
                "low": low,
                "high": high,
                "bars": packed(np.rint(255 * counts / np.where(tops, tops, 1)), "u1"),
                "idle": packed([_idle(name, a) for a in arrays], "<f8"),
                "mean": packed([float(a.mean()) if a.size else math.nan for a in finite], "<f8"),
                "std": packed([float(a.std()) if a.size else math.nan for a in finite], "<f8"),
            }
        )
    return found


def _idle(name: str, y: Array) -> float:
    """The share of units that give 0 for all samples (ReLU), or of outputs that are saturated."""
    if name == "relu":
        return float((y.reshape(len(y), -1) <= 0).all(axis=0).mean())
    if name in RANGES:
        middle, half = RANGES[name]
        return float((np.abs(y - middle) > LEVEL * half).mean())
    return math.nan


class Field:
    """What a model with one or two inputs gives over them, look by look.

    show  from the output to the values that are kept, one column for each
    """

    def __init__(self, x: Array, y: Array, classes: int, show: Callable[[Array], Array]) -> None:
        self.classes, self.show = classes, show
        low, high = x.min(axis=0).astype(float), x.max(axis=0).astype(float)
        margin = np.where(high > low, 0.1 * (high - low), 1.0)
        self.low, self.high = low - margin, high + margin
        lines = [
            np.linspace(a, b, CURVE if x.shape[1] == 1 else SIDE, dtype=x.dtype)
            for a, b in zip(self.low, self.high, strict=True)
        ]
        if x.shape[1] == 2:
            self.grid = np.stack(np.meshgrid(lines[0], lines[1][::-1]), axis=-1).reshape(-1, 2)
        else:
            self.grid = lines[0][:, None]
        rows = _spread(len(x), 2 * SAMPLES)
        self.x, self.y = x[rows], y[rows]
        self.values: list[Array] = []

    def add(self, model: Module) -> None:
        """Compute it with the weights as they are."""
        output = forward(model, self.grid).output.reshape(len(self.grid), -1)
        with np.errstate(all="ignore"):
            self.values.append(self.show(output))

    def as_json(self) -> dict[str, Any]:
        """Bytes 0 … 255 for 0 … 1, or for the range of the targets and a quarter of it beyond.

        Values outside are at its ends; NaN is 0.
        """
        values, low, high = np.array(self.values, float), 0.0, 1.0
        if not self.classes:
            low, high = float(self.y.min()), float(self.y.max())
            margin = 0.25 * (high - low) or 1.0
            low, high = low - margin, high + margin
        span = high - low
        codes = np.rint(255 * np.clip(np.nan_to_num((values - low) / span), 0, 1))
        return {
            "inputs": self.x.shape[1],
            "classes": self.classes,
            "side": SIDE,
            "x": [[self.low[i], self.high[i]] for i in range(self.x.shape[1])],
            "value": [low, high],
            "points": packed(self.x),
            "targets": packed(self.y),
            "looks": [packed(own.T[1 if self.classes == 2 else 0 :], "u1") for own in codes],
        }


def _field(recorder: Recording, x: Any, y: Array) -> Field | None:
    """The map of a recorded model; None unless it has one or two inputs and a known kind."""
    if not isinstance(x, np.ndarray) or x.ndim != 2 or x.shape[1] not in (1, 2) or not len(x):
        return None
    assert recorder.shadow is not None
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(next(recorder.shadow.parameters()).dtype)
    if not np.isfinite(x).all():
        return None
    try:
        width = forward(recorder.shadow, x[:1]).output.reshape(1, -1).shape[1]
    except (TypeError, IndexError):  # its inputs are indices, between which there is nothing
        return None
    labels = np.asarray(y)
    loss = _loss_of(recorder.loss, labels, width)
    if not loss:
        if labels.size != len(x) or width != 1:
            return None
        return Field(x, labels.reshape(len(x)), 0, lambda output: output)
    classes = max(2, width)
    if classes > MOST_CLASSES or (classes > 2 and x.shape[1] == 1):
        return None
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    labels = labels.reshape(len(x))
    if x.shape[1] == 1:
        return Field(x, labels, 0, lambda output: probabilities(output, 2, loss)[:, 1:])
    return Field(x, labels, classes, lambda output: probabilities(output, classes, loss))


def _loss_of(loss: Any, labels: Array, width: int) -> str:
    """Which of the losses for classes it is; "" for one of values.

    A function of the user's on integer labels and several outputs is taken for cross-entropy.
    """
    loss = loss.func if isinstance(loss, functools.partial) else loss
    name = getattr(loss, "__name__", type(loss).__name__)
    if name in ("binary_cross_entropy", BinaryCrossEntropy.__name__):
        return "binary_cross_entropy"
    labelled = np.issubdtype(labels.dtype, np.integer) and labels.ndim == 1 and width > 1
    known = name in ("cross_entropy", CrossEntropy.__name__)
    return "cross_entropy" if known or labelled else ""


def rule_of(optimizer: Optimizer | None, look: Look) -> str:
    """The rule with its options, as a reader writes it."""
    if optimizer is None:
        return "an optimizer without groups"
    options = look.groups[0][0] if look.groups else {}
    text = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return f"{type(optimizer).__name__}({text})"
