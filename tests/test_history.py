"""The record of a training, and its state."""

import math

import numpy as np
import pytest

import minidl as dl
from minidl.history import Epoch


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "History(0 epochs, 0 steps)"),
        (
            {"loss": [2.0, 0.123456789], "step_loss": [1.0] * 6},
            "History(2 epochs, 6 steps, loss 2 → 0.123457)",
        ),
        (
            {
                "loss": [2.0, 1.0],
                "step_loss": [1.0] * 5,
                "validation": [3.0, 0.5],
                "interrupted": True,
            },
            "History(2 epochs, 5 steps, loss 2 → 1, validation 0.5, interrupted)",
        ),
    ],
)
def test_the_repr_of_a_history(fields, text):
    assert repr(dl.History(**fields)) == text


def full():
    """A history in the middle of its third epoch."""
    history = dl.History(
        loss=[2.0, math.nan],
        step_loss=[2.0, 0.1, math.inf],
        lr=[0.1, 1e-300, 0.0],
        validation=[0.3],
        epoch_ends=[1, 2],
        metrics={"accuracy": [0.5, np.eye(2)]},
        interrupted=True,
        captured=True,
    )
    kept = [np.ones((2, 3), np.float32)], [np.array([1, 2])], []
    history._epoch = Epoch(2, 0.3, 5.0, [1, 0], kept, ["loss"])
    history._ended, history._sums = "Own.on_step", True
    return history


@pytest.mark.parametrize("make", [full, dl.History])
def test_a_history_and_its_state_are_the_same_and_share_no_memory(make):
    history = make()
    copy = dl.History.from_state_dict(history.state_dict())
    assert repr(copy.state_dict()) == repr(history.state_dict())
    assert (copy.captured, copy._ended) == (history.captured, history._ended)
    assert copy._sums == history._sums
    state = history.state_dict()
    for values in (history.loss, history.step_loss, *history.metrics.values()):
        values.append(7.0)
    if history._epoch:
        history._epoch.done.append("validation")
        history._epoch.kept[0][0][:] = 0
    assert repr(state) == repr(copy.state_dict())


def test_the_arrays_of_an_epoch_are_joined():
    history = full()
    history._epoch.kept[0].append(np.zeros((1, 3), np.float32))
    (predictions, targets, weights) = history.state_dict()["epoch"]["kept"]
    assert predictions.tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert (targets.tolist(), weights) == ([1, 2], None)


def test_histories_are_equal_whose_metrics_are_equal_arrays():
    own, same, other = (
        dl.History(metrics={"auc": [0.5], "confusion": [np.array([[3, entry], [0, 2]])]})
        for entry in (1, 1, 9)
    )
    assert own == same
    assert own != other
    assert own != "a history"


def test_histories_are_equal_whether_captured_or_not():
    assert dl.History([1.0], captured=True) == dl.History([1.0])
    assert dl.History([1.0]) != dl.History([2.0])


@pytest.mark.parametrize("state", [{}, None, {"loss": []}, {**full().state_dict(), "metrics": 3}])
def test_what_is_no_state_of_a_history_is_refused(state):
    with pytest.raises(ValueError, match="not the state of a History"):
        dl.History.from_state_dict(state)


def test_the_values_of_a_metric_are_found_by_its_name():
    history = full()
    assert history.values("validation") is history.validation
    assert history.values("accuracy") is history.metrics["accuracy"]
    with pytest.raises(ValueError, match=r"no metric .accuracyy.*loss, validation, accuracy.*mean"):
        history.values("accuracyy")


def test_a_name_of_keras_for_a_metric_of_the_validation_data_is_not_taken_for_the_training_loss():
    metrics = {"accuracy": [0.5], "validation_accuracy": [0.4]}
    history = dl.History(loss=[0.5], validation=[0.6], metrics=metrics)
    for name, meant in (
        ("val_loss", "validation"),
        ("validation_loss", "validation"),
        ("val_accuracy", "validation_accuracy"),
        ("accuracies", "accuracy"),
    ):
        with pytest.raises(ValueError, match=rf"Did you mean '{meant}'\?$"):
            history.values(name)
    model = dl.nn.Dense(1, 1, rng=0)
    stop = dl.callbacks.EarlyStopping("val_loss")
    data, options = ([[1.0]], [[1.0]]), {"epochs": 1, "callbacks": [stop], "progress": False}
    with pytest.raises(ValueError, match=r"Did you mean 'validation'\?$"):
        dl.fit(model, dl.losses.mse, dl.optim.SGD(model), data, **options)
