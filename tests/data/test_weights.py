"""Weights of samples that are refused, and weights of classes against scikit-learn's."""

import numpy as np
import pytest

from minidl.data import DataLoader, balanced_weights
from minidl.data.batches import as_batches

A, Y, W = np.arange(24.0).reshape(12, 2), np.arange(12), np.arange(12.0)


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (W[:11], ValueError, r"a weight for each of 12 samples, got shape \(11,\)"),
        (W[:, None], ValueError, r"got shape \(12, 1\); sample_weight.reshape\(-1\)"),
        (W - 1, ValueError, "finite and ≥ 0, not all 0; got -1 in row 0"),
        (np.where(W == 3, np.nan, W), ValueError, "got nan in row 3"),
        (np.where(W == 3, np.inf, W), ValueError, "got inf in row 3"),
        (0 * W, ValueError, "got 0 everywhere"),
        (["a"] * 12, TypeError, "sample_weight must hold numbers"),
        (1.0, ValueError, "sample_weight must hold samples along its first axis"),
    ],
)
def test_weights_that_are_none_are_named(weight, error, message):
    with pytest.raises(error, match=f"DataLoader: .*{message}"):
        DataLoader(A, Y, sample_weight=weight)
    with pytest.raises(error, match=f"data: batch 1: .*{message}"):
        as_batches("data", [(A, Y, weight)])


def test_balanced_weights_give_each_class_the_same_total_as_scikit_learn_does():
    labels = np.array([2, 0, 1, 0, 0, 2])
    weights = balanced_weights(labels)
    assert weights.tolist() == [6 / 9, 6 / 3, 6 / 6]
    assert weights.dtype == np.float64
    utils = pytest.importorskip("sklearn.utils")
    same = utils.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert weights.tolist() == same.tolist()
    for form in (labels.tolist(), labels.astype(np.uint8), labels.astype(np.uint64)):
        assert balanced_weights(form).tolist() == weights.tolist()


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([0, 2], ValueError, "class 1 has no sample"),
        ([1, 2], ValueError, "class 0 has no sample"),
        ([0, 10**13], ValueError, "class 1 has no sample"),
        ([-1, 0], ValueError, "labels must be ≥ 0, got -1"),
        ([[0], [1]], ValueError, r"a vector \(N,\), got shape \(2, 1\); labels.reshape"),
        (np.zeros(0, int), ValueError, "a vector"),
        ([0.0, 1.0], TypeError, r"must be integers, got float64; labels.astype\(int\)"),
        (["a", "b"], TypeError, "labels must hold numbers"),
    ],
)
def test_labels_without_balanced_weights_are_named(values, error, message):
    with pytest.raises(error, match=f"balanced_weights: .*{message}"):
        balanced_weights(values)
