"""Losses of a prediction and a target, for training; a scalar unless the reduction is "none"."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from minidl import _checks, ops, tensor
from minidl._format import printable
from minidl._operands import beside, missing
from minidl.ops import Array, Reduction
from minidl.tensor import Tensor

REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)

_mse = tensor.differentiable(ops.mse)
_mae = tensor.differentiable(ops.mae)
_huber = tensor.differentiable(ops.huber)
_binary_cross_entropy = tensor.differentiable(ops.binary_cross_entropy)
_cross_entropy = tensor.differentiable(ops.cross_entropy)


def mse(prediction: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """The squared error (p − t)²: its mean over all entries, its sum, or each entry ("none").

    prediction, target  of one shape; a target that is not a tensor takes the prediction's dtype

    ValueError for shapes that differ (they are never broadcast), or for a mean of no entries.

    >>> dl.losses.mse([1.0, 4.0], [1.0, 2.0])
    Tensor(2., dtype=float32)
    """
    return _mse(*_alike("mse", prediction, target, reduction), reduction)


def mae(prediction: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """The absolute error |p − t|: its mean over all entries, its sum, or each entry ("none").

    prediction, target  of one shape; a target that is not a tensor takes the prediction's dtype

    The derivative at p = t is 0. ValueError for shapes that differ, or for a mean of no entries.

    >>> dl.losses.mae([1.0, 4.0], [1.0, 2.0])
    Tensor(1., dtype=float32)
    """
    return _mae(*_alike("mae", prediction, target, reduction), reduction)


def huber(
    prediction: Any, target: Any, reduction: Reduction = "mean", *, delta: float = 1.0
) -> Tensor:
    """½ d² for errors |d| ≤ δ, else δ (|d| − ½ δ), with d = p − t (Huber 1964).

    prediction, target  of one shape; a target that is not a tensor takes the prediction's dtype
    reduction           "mean" over all entries, "sum", or "none" for each entry
    delta               δ > 0, where the squared error becomes an absolute error

    ValueError for shapes that differ, or for a mean of no entries.

    >>> dl.losses.huber([1.0, 4.0], [0.0, 0.0], "none")
    Tensor([0.5, 3.5], dtype=float32)
    """
    p, t = _alike("huber", prediction, target, reduction)
    return _huber(p, t, reduction, _checks.number("huber", "delta", delta, above=True))


def binary_cross_entropy(logits: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """ln(1 + eˣ) − t x: the cross-entropy of the probability σ(x) against t, from logits x.

    logits, target  of one shape; targets are probabilities in [0, 1], or labels 0 and 1

    ValueError for shapes that differ, targets outside [0, 1], or a mean of no entries.

    >>> dl.losses.binary_cross_entropy([0.0, 1000.0], [1, 1])
    Tensor(0.3466, dtype=float32)
    """
    x, t = _alike("binary_cross_entropy", logits, target, reduction)
    values = t.data if isinstance(t, Tensor) else t

    def explain() -> None:
        raise ValueError(
            "binary_cross_entropy: targets must lie in [0, 1], got values from "
            f"{values.min():g} to {values.max():g}"
        )

    ops.require(values, 0, 1, explain)
    return _binary_cross_entropy(x, t, reduction)


def cross_entropy(
    logits: Any, target: Any, reduction: Reduction = "mean", *, label_smoothing: float = 0.0
) -> Tensor:
    """−Σₖ tₖ ln softmax(x)ₖ for each row of logits x, by a numerically stable fused kernel.

    logits           (N, C), raw scores rather than probabilities; (…, C) works alike
    target           integer labels (N,) in 0 … C−1, or floating probabilities (N, C)
    reduction        "mean" over the rows, "sum", or "none" for one loss a row
    label_smoothing  s in [0, 1]: the target becomes (1 − s) t + s / C

    IndexError for a label out of range, naming its row; TypeError for any other target;
    ValueError for shapes that don't fit, or a mean of no rows.

    >>> dl.losses.cross_entropy([[1000.0, 0.0]], [1])
    Tensor(1000., dtype=float32)
    """
    x = tensor.as_tensor(logits)
    t, shape = _constant(target), x.shape
    _checks.number("cross_entropy", "label_smoothing", label_smoothing, high=1)
    if not shape or shape[-1] == 0:
        raise ValueError(
            printable(f"cross_entropy: logits must have classes (…, C), got shape {shape}")
        )
    if t.dtype.kind in "iu":
        if t.shape != shape[:-1]:
            raise ValueError(
                f"cross_entropy: labels for logits of shape {shape} must have shape "
                f"{shape[:-1]}, got {t.shape}"
                + ("; drop the last axis: labels.reshape(-1)" if t.shape[-1:] == (1,) else "")
            )
    elif t.dtype.kind != "f" or t.shape != shape:
        raise TypeError(
            f"cross_entropy: the target must be integer labels of shape {shape[:-1]} or floating "
            f"probabilities of shape {shape}, got {t.dtype} of shape {t.shape}"
            + ("; labels.astype(int) if these are labels" if t.shape == shape[:-1] else "")
        )
    else:

        def explain() -> None:
            message = f"cross_entropy: probabilities must be ≥ 0, got {t.min():g}"
            raise ValueError(printable(message))

        ops.require(t, 0, np.inf, explain)
    _check_reduction("cross_entropy", reduction, t.size)
    return _cross_entropy(x, t, label_smoothing, reduction)


def _alike(name: str, prediction: Any, target: Any, reduction: Reduction) -> tuple[Tensor, Any]:
    """Prediction and target, after a check that their shapes are equal."""
    try:
        if not isinstance(prediction, Tensor):  # beside a target that has a floating dtype
            other = target.data if isinstance(target, Tensor) else target
            prediction = beside([prediction, other], False, tensor.get_default_dtype)[0]
        p = tensor.as_tensor(prediction)
        t = target if isinstance(target, Tensor) else tensor.as_array(target, p.dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: prediction and target must be numbers; {error}") from None
    shape = p.shape
    if shape != t.shape:
        advice = "reshape one to the shape of the other"
        if p.size == t.size:
            advice = f"target.reshape({', '.join(map(str, shape))}) gives it that shape"
        raise ValueError(
            f"{name}: prediction has shape {shape} but target has {t.shape}. Losses do not "
            f"broadcast, which would compare each entry with every other: {advice}."
        )
    _check_reduction(name, reduction, p.size)
    return p, t


def _check_reduction(name: str, reduction: Reduction, size: int) -> None:
    _checks.choice(name, "reduction", reduction, REDUCTIONS)
    if reduction == "mean" and size == 0:
        raise ValueError(f"{name}: the mean over no samples is undefined; the arrays are empty")


def _constant(target: Any) -> Array:
    """A target that needs no gradient."""
    if isinstance(target, Tensor):
        if target.requires_grad:
            raise TypeError(
                "cross_entropy has no gradient by its target, but the target requires one: pass "
                "target.detach()"
            )
        return target.data
    if advice := missing(target):
        raise TypeError(f"cross_entropy: {advice}")
    return tensor.as_ndarray(target)


class Loss:
    """A loss as an object, which holds the options."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction = _checks.choice(type(self).__name__, "reduction", reduction, REDUCTIONS)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class MSE(Loss):
    """`mse` as an object.

    >>> dl.losses.MSE("sum")([1.0, 4.0], [1.0, 2.0])
    Tensor(4., dtype=float32)
    """

    def __call__(self, prediction: Any, target: Any) -> Tensor:
        return mse(prediction, target, self.reduction)


class MAE(Loss):
    """`mae` as an object.

    >>> dl.losses.MAE("sum")([1.0, 4.0], [1.0, 2.0])
    Tensor(2., dtype=float32)
    """

    def __call__(self, prediction: Any, target: Any) -> Tensor:
        return mae(prediction, target, self.reduction)


class Huber(Loss):
    """`huber` as an object.

    >>> dl.losses.Huber(delta=2.0)([4.0], [0.0])
    Tensor(6., dtype=float32)
    """

    def __init__(self, reduction: Reduction = "mean", *, delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = _checks.number("Huber", "delta", delta, above=True)

    def __call__(self, prediction: Any, target: Any) -> Tensor:
        return huber(prediction, target, self.reduction, delta=self.delta)


class BinaryCrossEntropy(Loss):
    """`binary_cross_entropy` as an object.

    >>> dl.losses.BinaryCrossEntropy()([0.0], [1])
    Tensor(0.6931, dtype=float32)
    """

    def __call__(self, logits: Any, target: Any) -> Tensor:
        return binary_cross_entropy(logits, target, self.reduction)


class CrossEntropy(Loss):
    """`cross_entropy` as an object.

    >>> dl.losses.CrossEntropy(label_smoothing=0.1)([[0.0, 0.0]], [1])
    Tensor(0.6931, dtype=float32)
    """

    def __init__(self, reduction: Reduction = "mean", *, label_smoothing: float = 0.0) -> None:
        super().__init__(reduction)
        self.label_smoothing = _checks.number(
            "CrossEntropy", "label_smoothing", label_smoothing, high=1
        )

    def __call__(self, logits: Any, target: Any) -> Tensor:
        return cross_entropy(logits, target, self.reduction, label_smoothing=self.label_smoothing)
