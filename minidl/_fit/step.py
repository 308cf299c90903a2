"""One step of fit, as functions that `capture` can record.

`take_step` is a whole step on one batch. Where callbacks look between the backward pass and the
update, or several batches make one step, the captured function is `backward_pass`, and `update`
follows. The last arguments of both are the arrays of a batch, as `flat` lists them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Never

import numpy as np

from minidl import ops
from minidl._capture import plain
from minidl._checks import describe
from minidl.data.arrays import call, inputs, samples
from minidl.evaluation import loss_of, weight_of
from minidl.history import DivergenceError, History
from minidl.optim import Optimizer
from minidl.tensor import Tensor


class Form(NamedTuple):
    """How a batch is made of arrays: x is a dict with these names, a tuple of so many, or one."""

    names: tuple[str, ...] | None
    parts: int | None
    weighted: bool

    def batch(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """(x, y) or (x, y, weight)."""
        split = len(arrays) - 1 - self.weighted
        x: Any = arrays[:split]
        if self.names is not None:
            x = dict(zip(self.names, x, strict=True))
        elif self.parts is None:
            (x,) = x
        return x, *arrays[split:]


PAIR = Form(None, None, False)  # the most frequent one


def flat(x: Any, *rest: Any) -> tuple[Form, tuple[Any, ...]]:
    """The form of a batch, and its arrays, which are the arguments of a captured step."""
    names = tuple(x) if isinstance(x, dict) else None
    parts = len(x) if isinstance(x, tuple) else None
    form = Form(names, parts, len(rest) == 2)
    return PAIR if form == PAIR else form, (*inputs(x), *rest)


# --- what is captured ---------------------------------------------------------------------------


def take_step(
    model: Any, loss: Any, optimizer: Any, history: History, form: Form, *arrays: Any
) -> Any:
    """Forward, loss, backward, step; records the loss before the step, and returns it.

    Together with the weight of the batch, if the loss tells it.
    """
    optimizer.zero_grad()
    x, *rest = arrays if form is PAIR else form.batch(arrays)
    result = loss_of("fit", loss, call(model, x), *rest)

    def learn() -> None:
        result.backward()
        update(optimizer)

    record_step(history, optimizer, _finite(result, optimizer, history), learn)
    weight = getattr(result, "_weight", False)
    history._sums = weight is None
    return result if weight is None or weight is False else (result, weight)


def backward_pass(
    model: Any,
    loss: Any,
    optimizer: Any,
    history: History,
    form: Form,
    first: bool,
    scaled: bool,
    keeps: bool,
    *arrays: Any,
) -> tuple[Any, ...]:
    """Forward, loss and backward of a batch; returns its loss, weight and prediction.

    first   whether the gradients are cleared before
    scaled  whether they are multiplied by the weight, to be divided by the sum of all weights
    keeps   whether the prediction is returned
    """
    if first:
        optimizer.zero_grad()
    x, *rest = form.batch(arrays)
    prediction = call(model, x)
    result = loss_of("fit", loss, prediction, *rest)
    _finite(result, optimizer, history)
    weight = weight_of(result, samples(x))
    if scaled and weight is not None:
        known = isinstance(weight, np.ndarray | np.generic)
        (result * (weight.astype(result.dtype) if known else weight)).backward()
    else:
        result.backward()
    return result, weight, prediction if keeps else None


# --- a loss that isn't finite -------------------------------------------------------------------


def _finite(result: Tensor, optimizer: Any, history: History) -> float:
    """The value of a loss; DivergenceError unless it is finite."""
    array = plain(result._data)
    value: float = array.item()
    if array is not result._data:
        _require_finite(result, array, optimizer, history)
    elif not math.isfinite(value):
        raise divergence(value, optimizer, history)
    return value


def _require_finite(result: Tensor, array: Any, optimizer: Any, history: History) -> None:
    """Record the check of a loss, so that each replay repeats it."""

    def diverged() -> Never:
        raise divergence(array.item(), optimizer, history)

    ops.require(result.data, -sys.float_info.max, sys.float_info.max, diverged)


def divergence(value: float, optimizer: Any, history: History) -> DivergenceError:
    """The error for a loss that isn't finite, which is the last one of the record."""
    append([history.step_loss, history.lr], value, _rate(optimizer))
    epoch, step = len(history.loss) + 1, len(history.step_loss)
    where = f"the loss became {value} at epoch {epoch}, step {step}"
    recent = ", ".join(f"{v:.4g}" for v in history.step_loss[-5:])
    rate = f"The learning rate was {history.lr[-1]:g}"
    if step == 1:
        advice = "No update had been made, so look for NaN or huge numbers in the data."
    else:
        advice = (
            "It is probably too large, so that the weights exploded: try a tenth of it, a warm-up "
            "(schedulers.WarmUp), or inputs scaled to mean 0 and standard deviation 1, and look "
            "for NaN in the data."
        )
    return DivergenceError(f"{where} (the last losses: {recent}). {rate}. {advice}", history)


# --- the update and the record of a step --------------------------------------------------------


def update(optimizer: Any) -> None:
    """Take a step; RuntimeError that names the parameters if none of them has a gradient."""
    try:
        optimizer.step()
    except RuntimeError as error:
        parameters = list(parameters_of(optimizer))
        if not parameters or any(p.grad is not None and p.requires_grad for p in parameters):
            raise
        raise RuntimeError(
            "fit: the optimizer has nothing to learn from this loss, which gives no gradient to "
            f"{listed(parameters)}. Either the loss doesn't depend on them, or they are frozen "
            "(requires_grad=False)."
        ) from error


def record_step(history: History, optimizer: Any, value: float, take: Callable[[], None]) -> None:
    """Record the loss and the rate of a step, and take it; one not taken leaves no record."""
    steps, t = len(history.lr), _steps_of(optimizer)
    try:
        append([history.step_loss, history.lr], value, _rate(optimizer))
        take()
    except BaseException:
        if _steps_of(optimizer) == t:
            del history.step_loss[steps:], history.lr[steps:]
        raise


def append(lists: list[list[Any]], *values: Any) -> None:
    """Append a value to each list, so that no interrupt leaves lists of different lengths."""
    any(map(list.append, lists, values))  # one call without bytecodes; append returns None


def _steps_of(optimizer: Any) -> int | None:
    """The number of steps that an optimizer has taken, if it counts them."""
    return getattr(optimizer, "t", None)


def _rate(optimizer: Any) -> float:
    """The rate of the next step; `lr` would be an option that a captured step reads."""
    return optimizer.rate(optimizer.groups[0]) if isinstance(optimizer, Optimizer) else optimizer.lr


def parameters_of(optimizer: Any) -> Iterator[Tensor]:
    """The parameters of an optimizer; none of an object without groups."""
    return (p for group in getattr(optimizer, "groups", ()) for p in group["params"])


def listed(parameters: Iterable[Tensor]) -> str:
    """The first few parameters, for a message."""
    first, *rest = map(describe, parameters)
    return ", ".join([first, *rest[:2]]) + f" and {len(rest) - 2} more" * (len(rest) > 2)
