"""Metrics of predictions against targets, computed in float64; models give logits.

Predictions and targets are tensors, arrays or lists. `sample_weight` holds a number ≥ 0 for each
sample: a weight of 2 counts a sample twice, a weight of 0 leaves it out. ValueError for shapes that
don't fit, no samples, weights that are all 0, and predictions that are NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._format import printable
from minidl.data.arrays import as_array
from minidl.data.weights import as_weights
from minidl.ops import Array


def accuracy(prediction: Any, target: Any, *, sample_weight: Any = None) -> float:
    """The share of samples whose class is predicted: Σ w [class = label] / Σ w.

    prediction  logits (…, C), whose class is the largest, or (N,) or (N, 1), whose class is
                1 where they are > 0
    target      integer labels (…), or probabilities (…, C); for (N,) or (N, 1) labels 0 and 1

    TypeError for labels that aren't whole numbers, ValueError for labels out of range.

    >>> dl.metrics.accuracy([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]], [0, 1, 1])
    0.6666666666666666
    """
    predicted, labels, weights, _ = _classes("accuracy", prediction, target, sample_weight)
    return float(np.sum(weights * (predicted == labels)) / np.sum(weights))


def confusion_matrix(prediction: Any, target: Any, *, sample_weight: Any = None) -> Array:
    """How often each true class (row) is predicted as each class (column): an array (C, C).

    prediction, target  as for `accuracy`; (N,) and (N, 1) have the classes 0 and 1

    The entries are sums of weights: int64 without weights or with integer ones, else float64.

    >>> dl.metrics.confusion_matrix([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]], [0, 1, 1])
    array([[1, 0],
           [1, 1]])
    """
    predicted, labels, weights, classes = _classes(
        "confusion_matrix", prediction, target, sample_weight
    )
    counts = np.bincount(labels * classes + predicted, weights, classes * classes)
    whole = sample_weight is None or as_array("", "", sample_weight).dtype.kind in "iub"
    return counts.astype(np.int64 if whole else np.float64).reshape(classes, classes)


def auc(prediction: Any, target: Any, *, sample_weight: Any = None) -> float:
    """The area under the ROC curve: P(score of a 1 > score of a 0) + ½ P(equal), weighted.

    prediction  scores (N,) or (N, 1), or logits (N, 2), whose score is their difference
    target      labels 0 and 1, as many

    ValueError unless there are samples of both classes. Computed by sorting, in O(n log n)
    (Hanley and McNeil 1982, "The Meaning and Use of the Area under a ROC Curve").

    >>> dl.metrics.auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    scores = _predictions("auc", prediction)
    if scores.ndim == 2 and scores.shape[1] == 2:
        with np.errstate(invalid="ignore"):  # ∞ − ∞ is refused below
            scores = scores[:, 1] - scores[:, 0]
        _refuse_nan("auc", "differences of logits", scores)
    elif scores.ndim > 2 or scores.size != len(scores):
        raise ValueError(
            f"auc: logits of two classes have shape (N,), (N, 1) or (N, 2), got {scores.shape}"
        )
    labels = _binary("auc", scores.shape, target)
    weights = _weights("auc", sample_weight, len(scores))
    _, rank = np.unique(scores.reshape(-1), return_inverse=True)
    ones = np.bincount(rank, weights * labels)
    zeros = np.bincount(rank, weights * (1 - labels))
    below = np.cumsum(zeros)
    pairs = np.sum(ones) * below[-1]
    if pairs == 0:
        raise ValueError(
            "auc needs samples of both classes, 0 and 1, with weights above 0; all of them are "
            f"{int(below[-1] == 0)}"
        )
    return min(float(np.sum(ones * (below - zeros + zeros / 2)) / pairs), 1.0)  # rounding


def mae(prediction: Any, target: Any, *, sample_weight: Any = None) -> float:
    """The mean absolute error Σ w |p − t| / Σ w, averaged over the outputs.

    prediction, target  of one shape, (N,) or (N, …), finite

    >>> dl.metrics.mae([1.0, 4.0], [1.0, 2.0])
    1.0
    """
    p, t, w = _values("mae", prediction, target, sample_weight)
    return float(np.mean(np.sum(w * np.abs(p - t), axis=0) / np.sum(w)))


def rmse(prediction: Any, target: Any, *, sample_weight: Any = None) -> float:
    """The root of the mean squared error, √(Σ w (p − t)² / Σ w), averaged over the outputs.

    prediction, target  of one shape, (N,) or (N, …), finite

    With several outputs the roots are averaged, as in scikit-learn.

    >>> dl.metrics.rmse([1.0, 4.0], [1.0, 2.0])
    1.4142135623730951
    """
    p, t, w = _values("rmse", prediction, target, sample_weight)
    return float(np.mean(np.sqrt(np.sum(w * (p - t) ** 2, axis=0) / np.sum(w))))


def r2(prediction: Any, target: Any, *, sample_weight: Any = None) -> float:
    """The coefficient of determination 1 − Σ w (p − t)² / Σ w (t − mean)², averaged over outputs.

    prediction, target  of one shape, (N,) or (N, …), finite; at least two samples

    For an output whose target is constant it is 1.0 if all predictions are right, else 0.0.

    >>> dl.metrics.r2([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    0.5
    """
    p, t, w = _values("r2", prediction, target, sample_weight)
    if len(t) < 2:
        raise ValueError("r2 needs at least two samples with weights above 0, got 1")
    error = np.sum(w * (p - t) ** 2, axis=0)
    variation = np.sum(w * (t - np.sum(w * t, axis=0) / np.sum(w)) ** 2, axis=0)
    constant = np.all(t == t[0], axis=0)
    scores = 1 - error / np.where(constant, 1.0, variation)
    return float(np.mean(np.where(constant, error == 0, scores)))


def _values(
    owner: str, prediction: Any, target: Any, sample_weight: Any
) -> tuple[Array, Array, Array]:
    """Predictions and targets (N, outputs) and weights (N, 1), of samples with a weight above 0."""
    p, t = _predictions(owner, prediction), as_array(owner, "target", target)
    if p.shape != t.shape:
        advice = "reshape one to the shape of the other"
        if p.size == t.size:
            advice = f"target.reshape({', '.join(map(str, p.shape))}) gives it that shape"
        raise ValueError(
            f"{owner}: prediction has shape {p.shape} but target has {t.shape}. Metrics do not "
            f"broadcast: {advice}."
        )
    for name, values in (("predictions", p), ("targets", t)):
        if not np.isfinite(values).all():
            raise ValueError(f"{owner}: {name} must be finite numbers, got NaN or infinity")
    weights = _weights(owner, sample_weight, len(p))
    counted = weights > 0
    p, t = (x.astype(np.float64, order="C").reshape(len(x), -1)[counted] for x in (p, t))
    return p, t, weights[counted, None]


def _classes(
    owner: str, prediction: Any, target: Any, sample_weight: Any
) -> tuple[Array, Array, Array, int]:
    """Predicted and true classes, and the weights, all flat, and the number of classes."""
    logits = _predictions(owner, prediction)
    shape, n = logits.shape, len(logits)
    if logits.ndim == 1 or shape[1:] == (1,):
        predicted, classes = (logits > 0).astype(np.intp), 2
        labels = _binary(owner, shape, target).astype(np.intp)
    else:
        predicted, classes = logits.argmax(axis=-1), shape[-1]
        labels = _labels(owner, shape, target)
    weights = np.repeat(_weights(owner, sample_weight, n), predicted.size // n)
    return predicted.reshape(-1), labels.reshape(-1), weights, classes


def _labels(owner: str, shape: tuple[int, ...], target: Any) -> Array:
    """Integer labels for logits (…, C), also from probabilities."""
    t = as_array(owner, "target", target)
    if t.dtype.kind == "f" and t.shape == shape:
        if not ((t >= 0).all() and np.allclose(t.sum(axis=-1), 1, atol=1e-3)):
            raise ValueError(
                printable(
                    f"{owner}: a target of the logits' shape {shape} holds probabilities, which "
                    "are ≥ 0 and whose sum is 1 in each row. For several labels in a row, compute "
                    "the metric of each column"
                )
            )
        labels: Array = t.argmax(axis=-1)
        return labels
    expected = f"integer labels of shape {shape[:-1]} or floating probabilities of shape {shape}"
    advice = ""
    if t.shape == shape:
        advice = "; target.astype(float) if these are probabilities"
    elif t.size == np.prod(shape[:-1]) and t.shape != shape[:-1]:
        advice = f"; target.reshape({', '.join(map(str, shape[:-1]))}) gives them that shape"
    if t.shape != shape[:-1]:
        raise ValueError(f"{owner}: the target must be {expected}, got {t.shape}{advice}")
    if t.dtype.kind not in "iu":
        raise TypeError(
            f"{owner}: the target must be {expected}, got {t.dtype}; labels.astype(int) if these "
            "are labels"
        )
    wrong = (t < 0) | (t >= shape[-1])
    if wrong.any():
        raise ValueError(
            f"{owner}: labels for {shape[-1]} classes run from 0 to {shape[-1] - 1}, got "
            f"{t[wrong][0]}"
        )
    return t.astype(np.intp)


def _binary(owner: str, shape: tuple[int, ...], target: Any) -> Array:
    """Labels 0 and 1 as a flat float64 array, for logits (N,) or (N, 1)."""
    t, n = as_array(owner, "target", target), shape[0]
    if t.shape not in ((n,), (n, 1)):
        raise ValueError(
            f"{owner}: logits of shape {shape} need labels 0 and 1 of shape ({n},), got {t.shape}"
            + (f"; target.reshape({n}) gives them that shape" if t.size == n else "")
        )
    wrong = (t != 0) & (t != 1)
    if wrong.any():
        raise ValueError(
            f"{owner}: logits of shape {shape} need labels 0 and 1, got {t[wrong][0]:g}; for more "
            "classes give logits (N, C)"
        )
    return t.reshape(-1).astype(np.float64)


def _predictions(owner: str, prediction: Any) -> Array:
    """Predictions as a float64 array with entries, none of them NaN."""
    array = as_array(owner, "prediction", prediction).astype(np.float64)
    if array.size == 0:
        raise ValueError(f"{owner} of no samples is undefined; prediction has shape {array.shape}")
    _refuse_nan(owner, "predictions", array)
    return array


def _refuse_nan(owner: str, what: str, values: Array) -> None:
    if number := int(np.isnan(values).sum()):
        raise ValueError(f"{owner}: {number} of {values.size} {what} are NaN")


def _weights(owner: str, sample_weight: Any, n: int) -> Array:
    """The weights as float64 (N,): ones if none are given."""
    weights = as_weights(owner, sample_weight, n)
    return np.ones(n) if weights is None else weights.astype(np.float64)
