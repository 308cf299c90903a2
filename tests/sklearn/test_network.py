"""The parts of an estimator's training: orders, sparse batches, and when it ends."""

import math

import numpy as np
import pytest

import minidl as dl
from minidl.callbacks import Training

pytest.importorskip("sklearn.base")
from scipy.sparse import csr_array
from sklearn.utils import shuffle

from minidl.sklearn.network import Order, SparseBatches, Stopping


def test_the_orders_are_those_of_scikit_learns_shuffle_epoch_by_epoch():
    random, rows = np.random.RandomState(5), np.arange(20)
    order = Order(np.random.RandomState(5))
    for _ in range(4):
        rows = shuffle(rows, random_state=random)
        assert (order.permutation(20) == rows).all()


def test_sparse_batches_are_the_rows_in_the_order_as_dense_arrays():
    x, y, weight = np.arange(14.0).reshape(7, 2) % 5, np.arange(7), np.arange(7.0) + 1
    batches = SparseBatches([csr_array(x), y, weight], 3, Order(np.random.RandomState(0)))
    order = np.random.RandomState(0).permutation(7)
    taken = list(batches)
    assert [len(b[1]) for b in taken] == [3, 3, 1]
    assert len(batches) == 3
    for part, array in zip(zip(*taken, strict=True), (x, y, weight), strict=True):
        assert (np.concatenate(part) == array[order]).all()
    assert [b[1].tolist() for b in SparseBatches([csr_array(x), y], 4, None)] == [
        *([0, 1, 2, 3], [4, 5, 6]),
    ]


def run(values, *, scored=False, tol=0.1, patience=2):
    """The epoch after which a training with these losses or scores ends, and the callback."""
    model = dl.nn.Dense(1, 1, rng=0)
    history, given = dl.History(), iter(values)
    stopping = Stopping(tol, patience, (lambda model: next(given)) if scored else None)
    training = Training(model, dl.optim.SGD(model), history, [])
    for epoch, value in enumerate(values, start=1):
        with dl.no_grad():
            model.weight *= 0
            model.weight += epoch
        history.loss.append(value)
        if stopping.on_epoch(training):
            return epoch, stopping
    return None, stopping


@pytest.mark.parametrize(
    ("losses", "ended"),
    [
        ([5, 4, 3, 2, 1], None),
        ([5, 4.95, 4.9, 4.85, 4.8], 4),  # each is the best one, but by less than tol
        ([5, 6, 6, 4, 6, 6, 6], 7),  # an improvement counts from 0 again
        ([5, 5, 5], None),
        ([5, 5, 5, 5], 4),
    ],
)
def test_more_than_patience_losses_without_improvement_end_a_training(losses, ended):
    assert run(losses)[0] == ended


def test_the_weights_with_the_best_score_are_kept():
    ended, stopping = run([0.1, 0.5, 0.52, 0.3, 0.55], scored=True)
    assert ended == 5
    assert stopping.scores == [0.1, 0.5, 0.52, 0.3, 0.55]
    assert stopping.weights["weight"] == [[5.0]]
    assert run([0.1, 0.5, 0.4], scored=True)[1].weights["weight"] == [[2.0]]
    assert run([5, 4])[1].weights is None


def test_infinite_patience_never_ends_a_training():
    assert run([1.0] * 99, patience=math.inf)[0] is None
