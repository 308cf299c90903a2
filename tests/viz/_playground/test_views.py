"""What the page is given: maps, probabilities, rates and remarks, against formulas."""

import base64
import math

import numpy as np
import pytest

import minidl as dl
from minidl.viz._playground import views
from minidl.viz._playground.settings import from_json as settings
from minidl.viz._playground.training import Training
from minidl.viz._playground.views import Views


def trained(steps=20, **given):
    training = Training(settings(given))
    views = Views(training)
    if steps:
        training.advance(steps)
        views.look()
    return training, views


def unpacked(text, dtype="<f4"):
    return np.frombuffer(base64.b64decode(text), dtype)


def test_a_frame_has_the_weights_and_the_output_of_the_model():
    training, own = trained(dropout=0.5)
    frame = own.frame([-1, 0])
    for part, (name, p) in zip(frame["parameters"], training.model.named_parameters(), strict=True):
        assert part["name"] == name
        np.testing.assert_array_equal(unpacked(part["value"]).reshape(p.shape), p.data)
        np.testing.assert_array_equal(unpacked(part["grad"]).reshape(p.shape), p.grad)
    line = np.linspace(-1.5, 1.5, views.SIDE)
    points = np.array([[x, y] for y in line[::-1] for x in line])
    p = dl.softmax(dl.predict(training.model, points)).data
    shown = unpacked(frame["output"], "u1").reshape(2, -1).T
    np.testing.assert_allclose(shown / 255, p, atol=0.004)
    rows = unpacked(frame["rows"], "<f8").reshape(-1, frame["width"])
    found = dl.evaluate(
        *(training.model, (training.x_test, training.y_test), dl.losses.cross_entropy),
        metrics={"accuracy": dl.metrics.accuracy},
    )
    np.testing.assert_allclose(rows[-1][3:5], [found["loss"], found["accuracy"]], rtol=1e-5)
    assert rows[-1][[0, 5]].tolist() == [20, 0.01]
    assert len(own.frame([own.version, 1])["rows"]) < len(frame["rows"])


def test_the_map_of_a_unit_is_what_it_gives_relative_to_its_largest_value():
    training, own = trained()
    maps = unpacked(own.frame([-1, 0])["maps"][0], "i1").reshape(8, 21, 21)
    line = np.linspace(-1.5, 1.5, 21)
    dense = training.model.dense1
    x = np.array([[x, y] for y in line[::-1] for x in line])
    y = np.tanh(x @ dense.weight.data + dense.bias.data).T.reshape(8, 21, 21)
    top = np.abs(y).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(maps / 127, y / top, atol=0.006)


@pytest.mark.parametrize(
    ("loss", "output", "p"),
    [
        ("cross_entropy", [[0, math.log(3)], [1000, 0]], [[0.25, 0.75], [1, 0]]),
        ("binary_cross_entropy", [[0], [-1000]], [[0.5, 0.5], [1, 0]]),
        ("mse", [[0.2, 0.6], [-1, -2], [2, 0]], [[0.25, 0.75], [0.5, 0.5], [1, 0]]),
    ],
)
def test_probabilities(loss, output, p):
    np.testing.assert_allclose(views.probabilities(np.array(output, float), 2, loss), p)


@pytest.mark.parametrize(
    "given", [{"loss": "binary_cross_entropy"}, {"loss": "mse", "data": "three_classes"}]
)
def test_accuracy_is_the_share_of_points_whose_class_is_most_probable(given):
    training, own = trained(200, **given)
    output = dl.predict(training.model, training.x)
    p = views.probabilities(output, training.settings.classes, training.settings.loss)
    y = training.y.argmax(axis=1) if training.y.shape[1] > 1 else training.y[:, 0]
    assert own.rows[-1][2] == pytest.approx((p.argmax(axis=1) == y).mean())


def test_effective_rates_are_the_papers_formulas():
    expected = {
        "SGD": lambda s, t: 0.1,
        "Adagrad": lambda s, t: 0.1 / np.sqrt(s["G"] + 1e-10),
        "RMSprop": lambda s, t: 0.1 / np.sqrt(s["G"] + 1e-8),
        "Adam": lambda s, t: 0.1 / (1 - 0.9**t) / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8),
        "Adamax": lambda s, t: 0.1 / (1 - 0.9**t) / s["u"],
        "Lion": lambda s, t: 0.1,
    }
    for rule, formula in expected.items():
        training, _ = trained(7, runs=[{"rule": rule, "lr": 0.1}])
        p = training.model.dense1.weight
        rates = views.effective_rates(training.optimizer, p)
        np.testing.assert_allclose(
            rates, np.broadcast_to(formula(training.optimizer.state[p], 7), p.shape), rtol=1e-5
        )


@pytest.mark.parametrize("rate", ["0.01", "CosineDecay(0.02, 50)"])
@pytest.mark.parametrize("rule", dl.optim.RULES)
def test_each_rule_has_effective_rates_in_a_frame(rule, rate):
    _, own = trained(3, runs=[{"rule": rule, "lr": rate}])
    rates = unpacked(own.frame([-1, 0])["parameters"][0]["effective"])
    assert np.isfinite(rates).all()
    assert own.rows[0][0] == 0
    assert Views(own.training).frame([-1, 0])["parameters"][0]["effective"] is not None


def test_before_the_first_step_there_is_no_gradient_and_no_rate():
    _, own = trained(0)
    part = own.frame([-1, 0])["parameters"][0]
    assert part["grad"] is part["update"] is part["effective"] is None


def kinds(training, own):
    layers = views.forward(training.model, training.x)[:-1]
    return [kind for kind, _ in views.remarks(training, own.rows, layers)]


def test_a_usual_training_has_no_remark():
    training, own = trained(40, layers=[4], noise=0.1)
    assert kinds(training, own) == []


def test_remarks_say_what_goes_wrong():
    training, own = trained(60, data="plane", loss="mse", runs=[{"rule": "SGD", "lr": 900.0}])
    assert kinds(training, own) == ["exploding"]
    training, own = trained(0, activation="relu")
    training.model.dense1.bias.data[:3] = -100
    assert kinds(training, own) == ["dead"]
    training, own = trained(0)
    training.model.dense2.weight.data *= 1000
    assert "saturated" in kinds(training, own)
    training, own = trained(1, layers=[4] * 6, activation="sigmoid")
    assert "vanishing" in kinds(training, own)
    training, own = trained(0, samples=60, noise=0.4, test=0.5, layers=[16, 16])
    for _ in range(20):
        training.advance(100)
        own.look()
    assert "overfitting" in kinds(training, own)


def test_the_history_is_bounded_and_cut_by_rewinding():
    training, own = trained(0, layers=[1], samples=20)
    for _ in range(1600):
        training.advance(1)
        own.look()
    assert len(own.rows) <= 1501
    assert own.rows[0][0] == 0
    assert own.rows[-1][0] == 1600
    version = own.version
    training.rewind(0)
    own.rewound()
    assert [row[0] for row in own.rows] == [0]
    assert own.version > version
    assert own.frame([version, 1500])["from"] == 0
