"""What estimators make of y: the targets of a loss, and predictions from a network's outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from minidl.ops import Array


class Values:
    """Numbers to predict, (n,) or (n, outputs); a loss gets them as (n, outputs)."""

    def __init__(self, y: Array) -> None:
        self.shape = y.shape[1:]
        self.outputs = y[:1].size

    def encode(self, owner: str, y: Array, dtype: str) -> Array:
        """Targets (n, outputs); ValueError for another number of outputs than before."""
        if y.shape[1:] != self.shape:
            raise ValueError(
                f"{owner}: y has {y[:1].size} outputs, but the network was made for {self.outputs}"
            )
        return y.reshape(len(y), self.outputs).astype(dtype)

    def decode(self, outputs: Array) -> Array:
        """Predictions in the shape of y."""
        return outputs.reshape(len(outputs), *self.shape)

    def score(self, encoded: Array, outputs: Array, weight: Array | None = None) -> float:
        """The mean R² of the outputs."""
        return float(r2_score(encoded, outputs, sample_weight=weight))


class Labels:
    """Labels to predict: one a sample, or a matrix of 0 and 1 for several.

    logistic  whether two classes have one output, σ(x) the probability of the second
    """

    def __init__(self, owner: str, y: Array, classes: Any, logistic: bool) -> None:
        check_classification_targets(y)
        self.several = type_of_target(y).startswith("multilabel")
        if self.several:
            self.classes = np.arange(y.shape[1])
        else:
            self.classes = unique_labels(y if classes is None else classes)
        if not self.several and len(self.classes) < 2:
            raise ValueError(
                f"{owner} needs samples of at least 2 classes, but y has one class, "
                f"{self.classes.tolist()[0]!r}"
            )
        self.logistic = self.several or (logistic and len(self.classes) == 2)
        self.outputs = 1 if self.logistic and not self.several else len(self.classes)

    def encode(self, owner: str, y: Array, dtype: str) -> Array:
        """Targets: 0.0 and 1.0 (n, outputs) where each output is logistic, else 0, 1, … (n,)."""
        check_classification_targets(y)
        if self.several:
            if not type_of_target(y).startswith("multilabel") or y.shape[1:] != (self.outputs,):
                raise ValueError(
                    f"{owner}: y must be a matrix of 0 and 1 with {self.outputs} labels, as the "
                    f"network was made for, got shape {y.shape}"
                )
            return y.astype(dtype)
        if unknown := sorted(set(np.unique(y).tolist()) - set(self.classes.tolist())):
            raise ValueError(
                f"{owner}: y has labels {unknown}, which are not among its classes "
                f"{self.classes.tolist()}; give all of them in the first call, or make a new "
                "estimator"
            )
        labels = np.searchsorted(self.classes, y)
        return labels.reshape(-1, 1).astype(dtype) if self.logistic else labels

    def decode(self, outputs: Array) -> Array:
        """The labels with the largest outputs, or those whose outputs are above 0."""
        if self.several:
            return (outputs > 0).astype(int)
        chosen = outputs[:, 0] > 0 if self.logistic else outputs.argmax(axis=1)
        predicted: Array = self.classes[chosen.astype(int)]
        return predicted

    def score(self, encoded: Array, outputs: Array, weight: Array | None = None) -> float:
        """The share of samples whose labels are all predicted."""
        truth, found = (
            (encoded > 0.5, outputs > 0) if self.logistic else (encoded, outputs.argmax(axis=1))
        )
        return float(accuracy_score(truth, found, sample_weight=weight))

    def scores(self, outputs: Array) -> Array:
        """The outputs; of two classes a vector, above 0 for the second."""
        if self.several or len(self.classes) > 2:
            return outputs
        return outputs[:, 0] if self.logistic else outputs[:, 1] - outputs[:, 0]

    def probabilities(self, outputs: Array) -> Array:
        """Float64 (n, classes): σ(x) of logistic outputs, else softmax(x)."""
        x = outputs.astype(np.float64)
        with np.errstate(under="ignore"):
            if not self.logistic:
                x = np.exp(x - x.max(axis=1, keepdims=True))
                p: Array = x / x.sum(axis=1, keepdims=True)
                return p
            small = np.exp(-np.abs(x))
        p = np.where(x > 0, 1, small) / (1 + small)
        return p if self.several else np.hstack([np.where(x > 0, small, 1) / (1 + small), p])


Targets = Values | Labels


def plain(x: Any) -> Any:
    """x itself, but a sparse matrix as an array."""
    return x.toarray() if issparse(x) else x
