"""Weights of samples and classes in a loss: their checks, and the mean that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import _checks, ops, tensor
from minidl._format import printable
from minidl._kernels.plan import plain, whole
from minidl.ops import Array, Reduction
from minidl.tensor import Tensor


class NoWeightError(ValueError):
    """The mean of a batch whose weights are all 0, which counts for nothing among others."""


def weighted(
    loss: Callable[..., Tensor],
    arguments: tuple[Any, ...],
    reduction: Reduction,
    shape: tuple[int, ...],
    sample_weight: Any = None,
    factor: Any = None,
    divisor: Any = None,
    by_row: bool = False,
) -> Tensor:
    """The loss with weights, if there are any; it reports Σ w in its slot `_weight`.

    shape    of the losses of all entries
    factor   what each is multiplied by beside its sample's weight; None for 1
    divisor  whose sum, with samples' weights, a mean is divided by, if it isn't `factor`
    by_row   whether a loss is that of a row, whose weight stands beside the entries
    """
    if sample_weight is factor is divisor is None:
        result = loss(*arguments)
        if reduction == "sum":
            result._weight = None
        return result
    name, w = loss.__name__, factor
    divisor = factor if divisor is None else divisor
    if sample_weight is not None:
        w = as_weights(name, "sample_weight", sample_weight, shape[:1])
        w = w.reshape(*shape[:1], *[1] * (len(shape) - 1))
        divisor = w if divisor is None else w * divisor
        w = w if factor is None else w * factor
    if by_row:
        ones = np.ones(shape)
        w, divisor = (ones if x is None else x * ones for x in (w, divisor))
        w = w.reshape(*shape, 1)  # beside rows of logits
    options: dict[str, Any] = {}
    total: Any = None if reduction == "sum" else False
    if reduction == "mean":
        size = int(np.prod(shape))
        n = np.sum(divisor) * (size / divisor.size)

        def explain() -> None:
            raise (NoWeightError if plain(n) == 0 else ValueError)(
                f"{name}: the weights must have a finite sum above 0 for a mean, got {plain(n):g}"
            )

        ops.require(n, np.finfo(np.float64).tiny, np.finfo(np.float64).max, explain)
        options["n"] = n
        total = tensor.as_ndarray(n if by_row else n * (shape[0] / size if shape else 1.0))
    result = loss(*arguments, w=w, **options)
    result._weight = total
    return result


def as_weights(name: str, argument: str, given: Any, shape: tuple[int, ...]) -> Array:
    """Weights ≥ 0 as a float64 array of a shape."""
    expected = f"{name}: {argument} must be finite numbers ≥ 0 of shape {shape}"
    if isinstance(given, Tensor):
        if given.requires_grad:
            raise TypeError(
                f"{name} has no gradient by {argument}, which requires one: pass "
                f"{argument}.detach()"
            )
        given = given.data
    w = tensor.as_array(expected, given, np.float64)
    if w.shape != shape:
        raise ValueError(printable(f"{expected}, got shape {w.shape}"))

    def explain() -> None:
        wrong = next(x for x in plain(w).flat if not 0 <= x < np.inf)
        raise ValueError(printable(f"{expected}, got {wrong:g}"))

    ops.require(w, 0, np.finfo(np.float64).max, explain)
    return w


def of_classes(name: str, given: Any, classes: int, counts: Callable[[], Any]) -> Array:
    """The weights of classes; for "balanced" from how often each is there."""
    if isinstance(given, str):
        _checks.choice(name, "class_weight", given, ["balanced"])
        return _balanced(*counts())
    return as_weights(name, "class_weight", given, (classes,))


@whole
def _balanced(*counts: Any) -> Array:
    """n / (classes present · count); 0 for a class that is not there."""
    count = np.array(counts, np.float64).reshape(-1)
    there = count > 0
    return np.where(there, count.sum() / np.where(there, there.sum() * count, 1), 0)


@whole
def of_labels(weights: Array, labels: Array) -> Array:
    """The weight of each label; of any for one out of range, which is refused later."""
    return weights.take(labels, mode="clip")


def are_one(weights: Array) -> bool:
    """Whether all are 1; False for recorded ones, which may differ in a replay."""
    return type(weights) is np.ndarray and bool((weights == 1).all())


def class_weight_option(name: str, class_weight: Any, classes: int | None = None) -> Any:
    """A constructor's class_weight after a check: None, "balanced" or a tuple of numbers."""
    if class_weight is None or isinstance(class_weight, str):
        return class_weight and _checks.choice(name, "class_weight", class_weight, ["balanced"])
    if classes is None:
        classes = tensor.as_array(f"{name}: class_weight", class_weight).size
    return tuple(as_weights(name, "class_weight", class_weight, (classes,)).tolist())
