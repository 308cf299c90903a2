"""Weights of samples, checked, and of classes, by their counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._format import printable
from minidl.data.arrays import as_array


def as_weights(owner: str, weights: Any, n: int) -> np.ndarray | None:
    """Sample weights as an array, if there are any: n finite numbers ≥ 0, not all of them 0."""
    if weights is None:
        return None
    array = as_array(owner, "sample_weight", weights)
    if array.shape != (n,):
        raise ValueError(
            f"{owner}: sample_weight must have a weight for each of {n} samples, got shape "
            f"{array.shape}" + ("; sample_weight.reshape(-1)" if array.size == n else "")
        )
    wrong = ~(np.isfinite(array) & (array >= 0))
    if wrong.any() or not array.any():
        row = wrong.argmax()
        found = f"{array[row]:g} in row {row}" if wrong[row] else "0 everywhere"
        raise ValueError(
            printable(f"{owner}: sample_weight must be finite and ≥ 0, not all 0; got {found}")
        )
    return array


def balanced_weights(labels: Any) -> np.ndarray:
    """Class weights n / (classes · count) for labels 0, 1, …, as scikit-learn's "balanced".

    Float64, one for each class; with them every class has the same total weight. ValueError for a
    class without a sample, TypeError for labels that aren't integers.

    >>> dl.data.balanced_weights([0, 0, 0, 1])
    array([0.66666667, 2.        ])
    """
    array = as_array("balanced_weights", "labels", labels)
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"balanced_weights: labels must be integers, got {array.dtype}; labels.astype(int) if "
            "these are class numbers"
        )
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"balanced_weights: labels must be a vector (N,), got shape {array.shape}"
            + ("; labels.reshape(-1)" if array.size else "")
        )
    values, counts = np.unique(array, return_counts=True)
    if values[0] < 0:
        raise ValueError(printable(f"balanced_weights: labels must be ≥ 0, got {values[0]}"))
    gaps = np.flatnonzero(values != np.arange(len(values)))
    if len(gaps):
        raise ValueError(
            f"balanced_weights: class {gaps[0]} has no sample, so no weight; number the "
            "classes without gaps, or give weights of your own"
        )
    weights: np.ndarray = len(array) / (len(counts) * counts)
    return weights
