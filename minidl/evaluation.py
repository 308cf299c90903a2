"""evaluate and predict: a trained model on data, and what fit shares with them."""

from __future__ import annotations

import contextvars
import itertools
import reprlib
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from minidl import _checks, losses, nn
from minidl._interrupts import Contexts, assigned
from minidl._kernels import atomic
from minidl.data import DataLoader
from minidl.data.arrays import as_input, call, part, samples
from minidl.data.batches import Batches, as_batches
from minidl.tensor import Tensor, no_grad

Model = Callable[..., Tensor]
Loss = Callable[..., Tensor]
Metric = Callable[..., Any]
Data = DataLoader | tuple[Any, Any] | Iterable[Any]
UNEXPECTED_WEIGHT = "unexpected keyword argument 'sample_weight'"


def evaluate(
    model: Model,
    data: Data,
    loss: Loss | None = None,
    *,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, Any]:
    """The loss and the metrics over the data in evaluation mode, by name.

    model    a Module, or any function from a batch x to a prediction; the modules of a Module are
             in evaluation mode meanwhile, and afterwards each in its mode before the call
    data     a DataLoader; (x, y) for the whole set as one batch; or any iterable of batches (x, y)
             or (x, y, weight). A DataLoader gives its batches in order, and draws no random numbers
    loss     a function (prediction, y) → scalar tensor, such as dl.losses.mse. The result is the
             mean over the batches, weighted by their size or by the sum of their weights; of
             minidl's losses with reduction="sum" it is their sum. A sum of another function is
             averaged
    metrics  {name: function (prediction, y)}, such as {"accuracy": dl.metrics.accuracy}; each is
             called once, with all predictions and targets as arrays, and with sample_weight=… if
             the data have weights

    TypeError for arguments of a wrong type, ValueError without loss and metrics.

    >>> dl.evaluate(lambda x: dl.Tensor(x), ([1.0, 4.0], [1.0, 2.0]), dl.losses.mse)
    {'loss': 2.0}
    """
    given: Any = data
    if callable(given) and not isinstance(given, Iterable):
        raise TypeError(
            "evaluate: the data come second, and the loss third: evaluate(model, data, loss), got "
            f"{reprlib.repr(data)} as data"
        )
    check_functions("evaluate", model=model, **({} if loss is None else {"loss": loss}))
    measures = checked_metrics("evaluate", metrics)
    if loss is None and not measures:
        raise ValueError("evaluate: give a loss, or metrics={name: function}")
    return evaluated(model, loss, as_batches("evaluate: data", data), measures)


class Measured(NamedTuple):
    """What one batch gives: its loss, the weight of that, and what metrics need."""

    loss: float
    weight: float
    is_sum: bool = False  # whether the loss is a sum
    kept: tuple[np.ndarray, ...] = ()  # prediction, target and perhaps weights
    empty: losses.NoWeightError | None = None


def evaluated(
    model: Model,
    loss: Loss | None,
    batches: DataLoader | Batches,
    metrics: Mapping[str, Metric],
) -> dict[str, Any]:
    """What evaluate returns."""
    return combined(by_batch(model, loss, batches, metrics), loss is not None, metrics)


def by_batch(
    model: Model,
    loss: Loss | None,
    batches: DataLoader | Batches,
    metrics: Mapping[str, Metric],
    first: int = 0,
    step: int = 1,
) -> list[Measured]:
    """What every step-th batch gives; in a context of its own, no interrupt leaves no_grad on."""
    evaluating = evaluation_mode(modules_of(model))
    own = itertools.islice(batches._in_order(), first, None, step)
    with evaluating, evaluating:
        return contextvars.copy_context().run(_by_batch, model, loss, own, bool(metrics))


def _by_batch(
    model: Model, loss: Loss | None, batches: Iterable[tuple[Any, ...]], keeps: bool
) -> list[Measured]:
    found = []
    with no_grad():
        for x, y, *weight in batches:
            value, size, is_sum, empty = 0.0, 0.0, False, None
            prediction = call(model, x)
            if loss is not None:
                try:
                    result = loss_of("evaluate", loss, prediction, y, *weight)
                except losses.NoWeightError as error:
                    empty = error
                else:
                    own = weight_of(result, samples(x))
                    is_sum = own is None
                    value, size = result.item(), samples(x) if is_sum else float(own)
            kept = tuple(map(array_of, (prediction, y, *weight))) if keeps else ()
            found.append(Measured(value, size, is_sum, kept, empty))
    return found


def combined(
    found: list[Measured], with_loss: bool, metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    """The loss and the metrics of all batches, which come in order."""
    loss = {}
    if with_loss:
        if not any(batch.weight for batch in found):
            raise next((batch.empty for batch in reversed(found) if batch.empty), ValueError())
        loss["loss"], _, _ = mean_loss([batch[:3] for batch in found])
    kept: tuple[list[np.ndarray], ...] = ([], [], [])
    for batch in found:
        keep(kept, *batch.kept)
    return loss | measured(metrics, kept)


def mean_loss(parts: list[tuple[float, float, bool]]) -> tuple[float, float, bool]:
    """The loss of several batches, its weight, and whether it is a sum.

    parts  the same of each batch; a batch without weight has 0, 0 and False
    """
    weight = total = 0.0
    for loss, own, is_sum in parts:
        weight += own  # one by one, as the built-in sum() rounds otherwise
        total += loss if is_sum else loss * own
    if len(parts) == 1:
        return parts[0][0], weight, parts[0][2]
    sums = any(is_sum for _, _, is_sum in parts)
    return (total if sums else total / weight), weight, sums


def predict(model: Model, x: Any, *, batch_size: int = 1024) -> np.ndarray:
    """The predictions of a model for all samples, in evaluation mode and without a graph.

    model       a Module, or any function from a batch x to a tensor with a row for each sample
    x           an array with samples along the first axis; or a tuple or dict of them for a model
                with several inputs, model(*x) or model(**x)
    batch_size  the number of samples that the model gets at a time, which limits the memory

    Every module is afterwards in its mode before the call. TypeError for a model that returns
    anything but a tensor, ValueError if it does not return a row for each sample.

    >>> dl.predict(dl.nn.Dense(2, 3, rng=0), np.zeros((5, 2))).shape
    (5, 3)
    """
    check_functions("predict", model=model)
    size = _checks.count("predict", "batch_size", batch_size)
    x = as_input("predict", x)
    n = samples(x)
    evaluating = evaluation_mode(modules_of(model))
    with evaluating, evaluating:
        return contextvars.copy_context().run(_predicted, model, x, n, size)


def _predicted(model: Model, x: Any, n: int, size: int) -> np.ndarray:
    result: np.ndarray | None = None
    with no_grad():
        for begin in range(0, max(n, 1), size):
            rows = slice(begin, begin + size)
            prediction = call(model, part(x, rows))
            count = min(size, n - begin)
            if not isinstance(prediction, Tensor):
                raise TypeError(f"predict: the model must return a Tensor, got {prediction!r}")
            if prediction.shape[:1] != (count,):
                raise ValueError(
                    f"predict: the model must return a row for each of {count} samples, got shape "
                    f"{prediction.shape}"
                )
            if result is None:
                result = np.empty((n, *prediction.shape[1:]), prediction.dtype)
            result[rows] = prediction.data
    assert result is not None
    return result


# --- what fit shares with them ------------------------------------------------------------------


def loss_of(owner: str, loss: Loss, prediction: Any, y: Any, *weight: Any) -> Tensor:
    """The loss of a batch; TypeError or ValueError unless it is a tensor of one number."""
    try:
        result = loss(prediction, y, sample_weight=weight[0]) if weight else loss(prediction, y)
    except TypeError as error:
        if UNEXPECTED_WEIGHT not in str(error):
            raise
        raise TypeError(
            f"{owner}: the data have sample weights, but the loss takes none: give one of "
            "minidl.losses, or a function (prediction, y, sample_weight)"
        ) from error
    if not isinstance(result, Tensor):
        raise TypeError(f"{owner}: the loss must return a Tensor, got {result!r}")
    if result._data.size != 1:
        raise ValueError(
            f"{owner}: the loss of a batch must be one number, got shape {result.shape}; use the "
            'reduction "mean" or "sum"'
        )
    return result


def weight_of(result: Tensor, count: int) -> Any:
    """The weight of a batch's loss in a mean: Σw, or the number of samples; None for a sum."""
    weight = getattr(result, "_weight", False)
    return count if weight is False else weight


def keep(kept: tuple[list[np.ndarray], ...], *batch: Any) -> None:
    """Keep the prediction, the target and perhaps the weights of a batch for metrics."""
    for arrays, x in zip(kept, batch, strict=False):
        arrays.append(array_of(x))


def array_of(x: Any) -> np.ndarray:
    """The array of a tensor, or of anything that NumPy can make an array of."""
    array: np.ndarray = x.data if isinstance(x, Tensor) else np.asarray(x)
    return array


def measured(metrics: Mapping[str, Metric], kept: tuple[list[np.ndarray], ...]) -> dict[str, Any]:
    """The metrics of all predictions; each a number, or an array."""
    if not metrics:
        return {}
    prediction, target, *weight = (np.concatenate(arrays) for arrays in kept if arrays)
    options = {"sample_weight": weight[0]} if weight else {}
    values = {}
    for name, metric in metrics.items():
        try:
            values[name] = _value(name, metric(prediction, target, **options))
        except TypeError as error:
            if UNEXPECTED_WEIGHT not in str(error):
                raise
            raise TypeError(
                f"the data have sample weights, but the metric {name!r} takes none: give one of "
                "minidl.metrics, or a function (prediction, target, sample_weight)"
            ) from error
    return values


def _value(name: str, value: Any) -> Any:
    array = np.asarray(value.data if isinstance(value, Tensor) else value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"the metric {name!r} must return a number or an array, got {value!r}")
    return array.item() if array.size == 1 else array


def checked_metrics(owner: str, metrics: Any) -> dict[str, Metric]:
    """Metrics by name; TypeError or ValueError for anything else."""
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping) or not all(isinstance(name, str) for name in metrics):
        raise TypeError(
            f'{owner}: metrics must be a dict such as {{"accuracy": dl.metrics.accuracy}}, got '
            f"{reprlib.repr(metrics)}"
        )
    for name, metric in metrics.items():
        if not callable(metric) or isinstance(metric, type):
            raise TypeError(
                f"{owner}: the metric {name!r} must be a function (prediction, target), got "
                f"{reprlib.repr(metric)}"
            )
        if name in ("loss", "validation") or name.removeprefix("validation_") in metrics.keys() - {
            name
        }:
            raise ValueError(f"{owner}: a metric can't be called {name!r}, which is taken")
    return dict(metrics)


def check_functions(owner: str, **functions: Any) -> None:
    """TypeError unless model and loss can be called, and are objects rather than classes."""
    examples = {
        "model": "such as nn.MLP([2, 16, 1])",
        "loss": "such as losses.mse or losses.MSE()",
    }
    for name, function in functions.items():
        if not callable(function) or isinstance(function, type):
            known = (key for key, f in vars(losses).items() if isinstance(f, FunctionType))
            similar = [f"losses.{key}" for key in known if name == "loss" and key[0] != "_"]
            raise TypeError(
                f"{owner}: {name} must be a function or a callable object, {examples[name]}, got "
                + description(function, similar)
            )


def description(value: Any, known: Iterable[str]) -> str:
    """What was given, and what may have been meant: an object of a class, a similar name."""
    if isinstance(value, type):
        return f"the class {value.__name__}; make an object of it: {value.__name__}(...)"
    hint = f".{_checks.nearest(value, known)}" if isinstance(value, str) else ""
    return reprlib.repr(value) + hint


def modules_of(model: Any) -> list[nn.Module]:
    """Every module of a model, or of the one that a method belongs to; none of a function."""
    model = getattr(model, "__self__", model)
    return list(model.modules()) if isinstance(model, nn.Module) else []


def mode(modules: list[nn.Module], training: bool) -> Contexts:
    """Contexts in which the modules are in training or evaluation mode."""
    return assigned([(vars(module), "training", training) for module in modules])


def evaluation_mode(modules: list[nn.Module]) -> atomic.Shared:
    """What holds the modules in evaluation mode; several threads may do so at the same time.

    To be entered twice, `with it, it:`.
    """
    return atomic.Shared(map(vars, modules), "training", False)
