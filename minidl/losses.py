"""Losses of a prediction and a target, for training; a scalar unless the reduction is "none"."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from minidl import _checks, ops, tensor
from minidl._format import printable
from minidl._kernels.loss import check_labels
from minidl._kernels.plan import plain
from minidl._loss_weights import NoWeightError as NoWeightError
from minidl._loss_weights import are_one, class_weight_option, of_classes, of_labels, weighted
from minidl._operands import beside, refusal
from minidl.ops import Array, Reduction
from minidl.tensor import Tensor

REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)

_mse = tensor.differentiable(ops.mse)
_mae = tensor.differentiable(ops.mae)
_huber = tensor.differentiable(ops.huber)
_binary_cross_entropy = tensor.differentiable(ops.binary_cross_entropy)
_cross_entropy = tensor.differentiable(ops.cross_entropy)


def mse(
    prediction: Any, target: Any, reduction: Reduction = "mean", *, sample_weight: Any = None
) -> Tensor:
    """The squared error (p − t)²: its mean over all entries, its sum, or each entry ("none").

    prediction, target  of one shape; a target that is not a tensor takes the prediction's dtype
    sample_weight       w ≥ 0 for each sample, along the first axis: Σ w ℓ / Σ w, Σ w ℓ, or w ℓ,
                        with ℓ a sample's mean loss

    ValueError for shapes that differ (they are never broadcast), or for a mean of no entries.

    >>> dl.losses.mse([1.0, 4.0], [1.0, 2.0])
    Tensor(2., dtype=float32)
    """
    p, t = _alike("mse", prediction, target, reduction)
    return weighted(_mse, (p, t, reduction), reduction, p.shape, sample_weight)


def mae(
    prediction: Any, target: Any, reduction: Reduction = "mean", *, sample_weight: Any = None
) -> Tensor:
    """The absolute error |p − t|: its mean over all entries, its sum, or each entry ("none").

    prediction, target  of one shape; a target that is not a tensor takes the prediction's dtype
    sample_weight       w ≥ 0 for each sample, along the first axis: Σ w ℓ / Σ w, Σ w ℓ, or w ℓ,
                        with ℓ a sample's mean loss

    The derivative at p = t is 0. ValueError for shapes that differ, or for a mean of no entries.

    >>> dl.losses.mae([1.0, 4.0], [1.0, 2.0])
    Tensor(1., dtype=float32)
    """
    p, t = _alike("mae", prediction, target, reduction)
    return weighted(_mae, (p, t, reduction), reduction, p.shape, sample_weight)


def huber(
    prediction: Any,
    target: Any,
    reduction: Reduction = "mean",
    *,
    delta: float = 1.0,
    sample_weight: Any = None,
) -> Tensor:
    """½ d² for errors |d| ≤ δ, else δ (|d| − ½ δ), with d = p − t (Huber 1964).

    prediction, target  of one shape; a target that is not a tensor takes the prediction's dtype
    reduction           "mean" over all entries, "sum", or "none" for each entry
    delta               δ > 0, where the squared error becomes an absolute error
    sample_weight       as for `mse`

    ValueError for shapes that differ, or for a mean of no entries.

    >>> dl.losses.huber([1.0, 4.0], [0.0, 0.0], "none")
    Tensor([0.5, 3.5], dtype=float32)
    """
    p, t = _alike("huber", prediction, target, reduction)
    arguments = p, t, reduction, _checks.number("huber", "delta", delta, above=True)
    return weighted(_huber, arguments, reduction, p.shape, sample_weight)


def binary_cross_entropy(
    logits: Any,
    target: Any,
    reduction: Reduction = "mean",
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
) -> Tensor:
    """ln(1 + eˣ) − t x: the cross-entropy of the probability σ(x) against t, from logits x.

    logits, target  of one shape; targets are probabilities in [0, 1], or labels 0 and 1
    sample_weight   as for `mse`
    class_weight    weights ≥ 0 of label 0 and label 1; an entry has (1 − t) w₀ + t w₁. "balanced":
                    n / (2 · count) for a label that `count` of the n entries have

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
    factor = None
    if class_weight is not None:
        if isinstance(t, Tensor) and t.requires_grad:
            raise TypeError(
                "binary_cross_entropy: class_weight has no gradient by the target, but the target "
                "requires one: pass target.detach()"
            )
        double = (t.data if isinstance(t, Tensor) else t).astype(np.float64)
        ones = np.sum(double)
        counts = ones, double.size - ones
        c = of_classes("binary_cross_entropy", class_weight, 2, lambda: counts[::-1])
        factor = (1 - double) * c[0] + double * c[1]
        t = (double * c[1] / np.where(factor > 0, factor, 1)).astype(t.dtype)
    arguments = x, t, reduction
    return weighted(_binary_cross_entropy, arguments, reduction, x.shape, sample_weight, factor)


def cross_entropy(
    logits: Any,
    target: Any,
    reduction: Reduction = "mean",
    *,
    label_smoothing: float = 0.0,
    sample_weight: Any = None,
    class_weight: Any = None,
    ignore_index: int | None = None,
) -> Tensor:
    """−Σₖ tₖ ln softmax(x)ₖ for each row of logits x, by a numerically stable fused kernel.

    logits           (N, C), raw scores rather than probabilities; (…, C) works alike
    target           integer labels (N,) in 0 … C−1, or floating probabilities (N, C)
    reduction        "mean" over the rows, "sum", or "none" for one loss a row
    label_smoothing  s in [0, 1]: the target becomes (1 − s) t + s / C
    sample_weight    w ≥ 0 for each sample, along the first axis
    class_weight     C weights ≥ 0; a row has that of its label, as in PyTorch. "balanced":
                     n / (classes present · count) for a class that `count` of the n labels name
    ignore_index     a label, in 0 … C−1 or not, whose rows have weight 0

    With weights w, the mean is Σ w ℓ / Σ w, the sum Σ w ℓ, and "none" w ℓ. Classes of probabilities
    and of smoothed labels are weighted one by one, tₖ wₖ, and the mean is divided by the same Σ w,
    where a row of probabilities counts as 1.

    IndexError for a label out of range, naming its row; TypeError for any other target;
    ValueError for shapes that don't fit, or a mean of no rows.

    >>> dl.losses.cross_entropy([[1000.0, 0.0]], [1])
    Tensor(1000., dtype=float32)
    """
    x = tensor.as_tensor("cross_entropy", logits)
    t, shape = _constant(target), x.shape
    _checks.number("cross_entropy", "label_smoothing", label_smoothing, high=1)
    _check_classes(t, shape)
    _check_reduction("cross_entropy", reduction, t.size)
    w = divisor = None
    if ignore_index is not None:
        _check_index("cross_entropy", ignore_index)
        if t.dtype.kind == "f":
            raise ValueError("cross_entropy: ignore_index needs labels, but got probabilities")
        kept = t != ignore_index
        t, w = np.where(kept, t, 0), kept.astype(np.float64)
    if class_weight is not None:
        c = of_classes("cross_entropy", class_weight, shape[-1], lambda: _counts(t, w, shape))
        alike = not isinstance(class_weight, str) and are_one(c)
        if t.dtype.kind != "f":
            _check_labels(t, shape[-1])
            divisor = of_labels(c, t) if w is None else w * of_labels(c, t)
            if alike or label_smoothing == 0:
                alike, w = True, divisor
        if not alike:
            t = ops.as_probabilities(x.data, t, label_smoothing) * c
            label_smoothing = 0.0
    arguments = x, t, label_smoothing, reduction
    return weighted(
        _cross_entropy, arguments, reduction, shape[:-1], sample_weight, w, divisor, by_row=True
    )


def _check_classes(t: Array, shape: tuple[int, ...]) -> None:
    """ValueError or TypeError unless a target fits logits of that shape."""
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
        return
    if t.dtype.kind != "f" or t.shape != shape:
        raise TypeError(
            f"cross_entropy: the target must be integer labels of shape {shape[:-1]} or floating "
            f"probabilities of shape {shape}, got {t.dtype} of shape {t.shape}"
            + ("; labels.astype(int) if these are labels" if t.shape == shape[:-1] else "")
        )

    def explain() -> None:
        raise ValueError(printable(f"cross_entropy: probabilities must be ≥ 0, got {t.min():g}"))

    ops.require(t, 0, np.inf, explain)


def _check_labels(t: Array, classes: int) -> None:
    """IndexError for a label out of range, as the kernel raises it."""
    rows = t.reshape(-1).astype(np.float64)

    def name_row() -> None:
        check_labels(plain(rows).astype(np.int64), classes)

    ops.require(rows, 0, classes - 1, name_row)


def _counts(t: Array, w: Any, shape: tuple[int, ...]) -> Any:
    """How often each class is there, for "balanced"."""
    if t.dtype.kind == "f":
        raise ValueError('cross_entropy: class_weight="balanced" needs labels, got probabilities')
    labels = np.clip(t, 0, shape[-1] - 1).reshape(-1).astype(np.int64)
    return (np.bincount(labels, None if w is None else w.reshape(-1), shape[-1]),)


def _check_index(name: str, value: Any) -> Any:
    """An ignore_index: None or an integer of any sign."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer)):
        raise TypeError(f"{name}: ignore_index must be an integer or None, got {value!r}")
    return value


def _alike(name: str, prediction: Any, target: Any, reduction: Reduction) -> tuple[Tensor, Any]:
    """Prediction and target, after a check that their shapes are equal."""
    p, t = prediction, target
    if not (isinstance(p, Tensor) and p.dtype.kind == "f"):  # beside a target of a floating dtype
        both = [x.data if isinstance(x, Tensor) else x for x in (p, t)]
        owner = f"{name}: prediction and target"
        p = tensor.as_tensor(owner, beside(owner, both, False, tensor.get_default_dtype)[0])
    if not isinstance(target, Tensor):
        t = tensor.as_array(f"{name}: target", target, p.dtype)
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
    if reason := refusal(target):
        raise TypeError(f"cross_entropy: {reason}")
    if isinstance(target, np.ndarray):
        return target
    return _checks.array("cross_entropy", "target", target)


class Loss:
    """A loss as an object, which holds the options."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction = _checks.choice(type(self).__name__, "reduction", reduction, REDUCTIONS)

    def _options(self) -> dict[str, Any]:
        """The options by name, without the reduction."""
        return {name: value for name, value in vars(self).items() if name != "reduction"}

    def __repr__(self) -> str:
        given = {name: value for name, value in vars(self).items() if value is not None}
        options = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"{type(self).__name__}({options})"


class MSE(Loss):
    """`mse` as an object.

    >>> dl.losses.MSE("sum")([1.0, 4.0], [1.0, 2.0])
    Tensor(4., dtype=float32)
    """

    def __call__(self, prediction: Any, target: Any, *, sample_weight: Any = None) -> Tensor:
        return mse(prediction, target, self.reduction, sample_weight=sample_weight)


class MAE(Loss):
    """`mae` as an object.

    >>> dl.losses.MAE("sum")([1.0, 4.0], [1.0, 2.0])
    Tensor(2., dtype=float32)
    """

    def __call__(self, prediction: Any, target: Any, *, sample_weight: Any = None) -> Tensor:
        return mae(prediction, target, self.reduction, sample_weight=sample_weight)


class Huber(Loss):
    """`huber` as an object.

    >>> dl.losses.Huber(delta=2.0)([4.0], [0.0])
    Tensor(6., dtype=float32)
    """

    def __init__(self, reduction: Reduction = "mean", *, delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = _checks.number("Huber", "delta", delta, above=True)

    def __call__(self, prediction: Any, target: Any, *, sample_weight: Any = None) -> Tensor:
        return huber(
            prediction, target, self.reduction, sample_weight=sample_weight, **self._options()
        )


class BinaryCrossEntropy(Loss):
    """`binary_cross_entropy` as an object.

    >>> dl.losses.BinaryCrossEntropy()([0.0], [1])
    Tensor(0.6931, dtype=float32)
    """

    def __init__(self, reduction: Reduction = "mean", *, class_weight: Any = None) -> None:
        super().__init__(reduction)
        self.class_weight = class_weight_option("BinaryCrossEntropy", class_weight, 2)

    def __call__(self, logits: Any, target: Any, *, sample_weight: Any = None) -> Tensor:
        return binary_cross_entropy(
            logits, target, self.reduction, sample_weight=sample_weight, **self._options()
        )


class CrossEntropy(Loss):
    """`cross_entropy` as an object.

    >>> dl.losses.CrossEntropy(label_smoothing=0.1)([[0.0, 0.0]], [1])
    Tensor(0.6931, dtype=float32)
    """

    def __init__(
        self,
        reduction: Reduction = "mean",
        *,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(reduction)
        self.label_smoothing = _checks.number(
            "CrossEntropy", "label_smoothing", label_smoothing, high=1
        )
        self.class_weight = class_weight_option("CrossEntropy", class_weight)
        self.ignore_index = _check_index("CrossEntropy", ignore_index)

    def __call__(self, logits: Any, target: Any, *, sample_weight: Any = None) -> Tensor:
        return cross_entropy(
            logits, target, self.reduction, sample_weight=sample_weight, **self._options()
        )
