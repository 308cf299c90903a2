"""What the page is given, against NumPy and the training itself."""

import base64
import functools
import math

import numpy as np
import pytest

import minidl as dl
from minidl.viz._recorder import views
from minidl.viz._recorder.views import page_data

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def unpacked(text, dtype="<f8"):
    return np.frombuffer(base64.b64decode(text), dtype)


def recorded(
    sizes=(2, 8, 2), activation="tanh", loss=dl.losses.cross_entropy, data=(X, Y), rule=None, **more
):
    model = dl.nn.MLP(list(sizes), activation, rng=0)
    optimizer = rule(model) if rule else dl.optim.Adam(model, lr=0.01)
    recorder = dl.viz.Recorder(every=4)
    loader = dl.data.DataLoader(*data, 20, rng=0)
    own = {"epochs": 4, "progress": False, "record": recorder, **more}
    return model, recorder, dl.fit(model, loss, optimizer, loader, **own)


def test_losses_rates_and_metrics_are_those_of_the_history():
    _, recorder, history = recorded(
        validation=0.25, metrics={"accuracy": dl.metrics.accuracy, "c": dl.metrics.confusion_matrix}
    )
    data = page_data(recorder)
    assert unpacked(data["at"]).tolist() == list(range(1, 1 + len(history.step_loss)))
    assert unpacked(data["loss"]).tolist() == history.step_loss
    assert unpacked(data["rate"]).tolist() == history.lr
    assert unpacked(data["epochs"]["validation"]).tolist() == history.validation
    assert {k: unpacked(v).tolist() for k, v in data["metrics"].items()} == {
        k: history.metrics[k] for k in ("accuracy", "validation_accuracy")
    }


def test_the_rule_is_written_with_its_options():
    _, recorder, _ = recorded(rule=lambda model: dl.optim.Lion(model, lr=0.25))
    text = views.rule_of(recorder.optimizer, recorder.looks[-1])
    assert text == "Lion(lr=0.25, betas=(0.9, 0.99), weight_decay=0.0, maximize=False)"


def test_norms_by_layer_are_those_of_all_parameters_of_a_module():
    model, recorder, _ = recorded()
    data = page_data(recorder)
    assert data["layers"] == ["dense1", "dense2"]
    last = unpacked(data["norms"]).reshape(len(recorder.steps), 4)[-1]
    dense = model.dense1
    g = np.concatenate([dense.weight.grad.ravel(), dense.bias.grad])
    update = np.concatenate([part.update.ravel() for part in recorder.looks[-1].parts[:2]])
    theta = np.concatenate([dense.weight.data.ravel(), dense.bias.data])
    own = np.linalg.norm(g), np.linalg.norm(update) / np.linalg.norm(theta)
    np.testing.assert_allclose(last[:2], own, rtol=1e-5)
    assert np.isnan(unpacked(data["norms"])[:2]).tolist() == [True, True]  # before the first step


@pytest.mark.parametrize(
    ("rule", "by_hand"),
    [
        (lambda m: dl.optim.SGD(m, lr=0.2), lambda look, i: np.full_like(look.parts[i].grad, 0.2)),
        (
            lambda m: dl.optim.Adagrad(m, lr=0.1),
            lambda look, i: 0.1 / np.sqrt(look.parts[i].state["G"] + 1e-10),
        ),
        (lambda m: dl.optim.FTRL(m, lr=0.1), None),
    ],
)
def test_effective_rates_are_quantiles_over_a_layer(rule, by_hand):
    _, recorder, _ = recorded(rule=rule)
    data, look = page_data(recorder), recorder.looks[-1]
    row = unpacked(data["rates"]).reshape(len(recorder.steps), 6)[-1, :3]
    if by_hand is None:
        rates = [-part.update / part.grad for part in look.parts[:2]]
    else:
        rates = [by_hand(look, i) for i in range(2)]
    together = np.concatenate([r.ravel() for r in rates])
    np.testing.assert_allclose(row, np.quantile(together, [0.05, 0.5, 0.95]), rtol=1e-4)


def test_a_rule_of_ones_own_has_effective_rates_of_update_and_gradient():
    class Half(dl.optim.Optimizer):
        """Steps of half the gradient."""

        equations = "θ ← whatever(θ)"

        def update(self, group, lr, t, theta, g):
            for theta_i, g_i in zip(theta, g, strict=True):
                theta_i -= 0.5 * g_i

    _, recorder, _ = recorded(rule=Half)
    row = unpacked(page_data(recorder)["rates"]).reshape(len(recorder.steps), 6)[-1]
    np.testing.assert_allclose(row, 0.5, rtol=1e-3)


@pytest.mark.parametrize(
    ("loss", "sizes", "p"),
    [
        (dl.losses.CrossEntropy(), (2, 8, 3), lambda z: dl.softmax(z).data),
        (dl.losses.cross_entropy, (2, 8, 2), lambda z: dl.softmax(z).data[:, 1:]),
        (dl.losses.binary_cross_entropy, (2, 8, 1), lambda z: 1 / (1 + np.exp(-z))),
    ],
)
def test_the_map_has_the_probabilities_of_the_model_over_the_data(loss, sizes, p):
    y = Y[:, None].astype(np.float32) if sizes[-1] == 1 else Y
    model, recorder, _ = recorded(sizes, loss=loss, data=(X, y))
    map_ = page_data(recorder)["map"]
    low, high = np.array(map_["x"]).T
    np.testing.assert_allclose(low, X.min(0) - 0.1 * np.ptp(X, axis=0), rtol=1e-6)
    lines = [np.linspace(a, b, views.SIDE) for a, b in zip(low, high, strict=True)]
    points = np.array([[x, y] for y in lines[1][::-1] for x in lines[0]], np.float32)
    shown = unpacked(map_["looks"][-1], "u1").reshape(-1, len(points)).T / 255
    np.testing.assert_allclose(shown, p(dl.predict(model, points)), atol=0.0025)


@pytest.mark.parametrize(
    "loss",
    [lambda p, y: dl.losses.cross_entropy(p, y), functools.partial(dl.losses.cross_entropy)],
)
def test_a_loss_of_ones_own_on_labels_has_a_map_of_classes(loss):
    _, recorder, _ = recorded((2, 8, 3), loss=loss)
    map_ = page_data(recorder)["map"]
    assert map_["classes"] == 3
    codes = unpacked(map_["looks"][-1], "u1").reshape(3, -1)
    np.testing.assert_allclose(codes.sum(axis=0), 255, atol=2)


@pytest.mark.parametrize("dtype", [int, np.uint8, bool])
def test_inputs_of_whole_numbers_have_a_map_as_others(dtype):
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype)
    y = np.array([[0], [1], [1], [0]])
    model, recorder, _ = recorded((2, 4, 1), loss=dl.losses.binary_cross_entropy, data=(x, y))
    map_ = page_data(recorder)["map"]
    np.testing.assert_allclose(map_["x"], [[-0.1, 1.1], [-0.1, 1.1]])
    z = dl.predict(model, np.array([[-0.1, 1.1]], np.float32))
    corner = unpacked(map_["looks"][-1], "u1")[0] / 255
    assert corner == pytest.approx(1 / (1 + np.exp(-z.item())), abs=0.0025)
    assert unpacked(map_["points"], "<f4").tolist() == [0, 0, 0, 1, 1, 0, 1, 1]


def test_a_model_that_indexes_by_its_inputs_has_no_map():
    class Table(dl.nn.Module):
        def __init__(self):
            self.w = dl.Tensor(RNG.normal(size=(5, 2)), requires_grad=True)

        def forward(self, x):
            return dl.sum(self.w[x], axis=1)

    model, recorder = Table(), dl.viz.Recorder()
    data = RNG.integers(0, 5, (30, 2)), RNG.integers(0, 2, 30)
    arguments = model, dl.losses.cross_entropy, dl.optim.SGD(model), data
    dl.fit(*arguments, epochs=2, record=recorder, progress=False)
    assert page_data(recorder)["map"] is None


@pytest.mark.parametrize(("width", "name"), [(1, "binary_cross_entropy"), (2, "cross_entropy")])
def test_two_classes_over_one_input_are_a_curve_of_the_probability(width, name):
    x = np.linspace(2, 4, 60, dtype=np.float32)[:, None]
    y = x > 3 if width == 1 else (x[:, 0] > 3).astype(int)
    model, recorder, _ = recorded((1, 8, width), loss=getattr(dl.losses, name), data=(x, y))
    map_ = page_data(recorder)["map"]
    assert (map_["classes"], map_["value"]) == (0, [-0.25, 1.25])
    points = np.linspace(*map_["x"][0], views.CURVE, dtype=np.float32)[:, None]
    z = dl.predict(model, points)
    p = dl.softmax(z).data[:, 1] if width == 2 else 1 / (1 + np.exp(-z[:, 0]))
    shown = -0.25 + unpacked(map_["looks"][-1], "u1") / 255 * 1.5
    np.testing.assert_allclose(shown, p, atol=0.004)


def test_entries_without_a_gradient_have_no_effective_rate():
    x = X * [1, 0]
    _, recorder, _ = recorded((2, 4, 2), data=(x.astype(np.float32), Y))
    rates = views.effective(recorder, recorder.looks[-1], 0)
    assert np.isnan(rates[1]).all()
    assert np.isfinite(rates[0]).all()
    data = unpacked(page_data(recorder)["rates"]).reshape(len(recorder.steps), 6)
    assert np.nanmax(data) < 1e3


def test_the_curve_over_one_input_is_what_the_model_gives():
    x = np.linspace(2, 4, 60, dtype=np.float32)[:, None]
    model, recorder, _ = recorded((1, 8, 1), "gelu", dl.losses.mse, (x, np.sin(x)))
    map_ = page_data(recorder)["map"]
    low, high = map_["value"]
    points = np.linspace(*map_["x"][0], views.CURVE, dtype=np.float32)[:, None]
    shown = low + unpacked(map_["looks"][-1], "u1") / 255 * (high - low)
    inside = np.clip(dl.predict(model, points)[:, 0], low, high)
    np.testing.assert_allclose(shown, inside, atol=(high - low) / 500)


def test_activations_are_those_of_a_forward_pass():
    model, recorder, _ = recorded((2, 8, 8, 2), "relu")
    first, second = page_data(recorder)["activations"]
    assert [first["name"], second["name"]] == ["1: relu", "2: relu"]
    y = np.maximum(X @ model.dense1.weight.data + model.dense1.bias.data, 0)
    np.testing.assert_allclose(unpacked(first["mean"])[-1], y.mean(), rtol=1e-5)
    np.testing.assert_allclose(unpacked(first["std"])[-1], y.std(), rtol=1e-5)
    assert unpacked(first["idle"])[-1] == (y <= 0).all(axis=0).mean()
    counts, _ = np.histogram(y, views.BINS, (first["low"], first["high"]))
    bars = unpacked(first["bars"], "u1").reshape(-1, views.BINS)[-1]
    np.testing.assert_allclose(bars, 255 * counts / counts.max(), atol=1 + 255 / counts.max())
    tanh = page_data(recorded(activation="tanh")[1])["activations"][0]
    assert tanh["kind"] == "tanh"


def test_activations_are_computed_with_the_buffers_of_each_look():
    class Counting(dl.nn.MLP):
        def __init__(self):
            super().__init__([2, 4, 2], "tanh", rng=0)
            self.buffer("passes", np.zeros(1))

        def forward(self, x):
            if self.training:
                self.passes += 1
            return super().forward(x * float(self.passes[0]))

    model, recorder = Counting(), dl.viz.Recorder(every=2)
    data, rule = dl.data.DataLoader(X, Y, 60), dl.optim.SGD(model, lr=0.0)
    more = {"epochs": 4, "progress": False, "capture": False, "record": recorder}
    dl.fit(model, dl.losses.cross_entropy, rule, data, **more)
    (own,) = page_data(recorder)["activations"]
    assert recorder.steps == [0, 2, 4]
    means = [np.tanh(k * X @ model.dense1.weight.data).mean() for k in recorder.steps]
    np.testing.assert_allclose(unpacked(own["mean"]), means, atol=1e-6)


def test_activations_are_of_samples_from_all_of_the_data():
    x = np.linspace(0, 1, 2000, dtype=np.float32)[:, None]
    model, recorder, _ = recorded((1, 4, 1), "tanh", dl.losses.mse, (x, x), epochs=1)
    (own,) = page_data(recorder)["activations"]
    y = np.tanh(x @ model.dense1.weight.data + model.dense1.bias.data)
    assert unpacked(own["mean"])[-1] == pytest.approx(y.mean(), abs=0.01)


def test_the_first_layers_weights_are_bytes_of_their_largest():
    model, recorder, _ = recorded()
    first = page_data(recorder)["first"]
    codes = unpacked(first["values"][-1], "i1").reshape(8, 2)
    w = model.dense1.weight.data
    assert first["tops"][-1] == np.abs(w).max()
    np.testing.assert_allclose(codes.T / 127 * first["tops"][-1], w, atol=first["tops"][-1] / 250)
    assert [views._side(n) for n in (784, 64, 16, 2, 63)] == [28, 8, 0, 0, 0]


def test_a_long_curve_keeps_its_extremes_its_looks_and_what_is_not_finite():
    values = np.sin(np.arange(20_000.0)).tolist()
    values[777], values[778], values[15_000] = 5.0, -5.0, math.inf
    at = views.chosen_steps(values, [123, 4567])
    assert {0, 123, 777, 778, 4567, 15_000, 19_999} <= set(at)
    assert len(at) <= 3 * views.POINTS
    assert at == sorted(set(at))


def test_without_a_model_or_its_weights_the_page_says_why():
    w = dl.Tensor(np.zeros((2, 2), np.float32), requires_grad=True, name="w")
    recorder = dl.viz.Recorder()
    arguments = lambda x: dl.Tensor(x) @ w, dl.losses.cross_entropy, dl.optim.SGD([w]), (X, Y)
    dl.fit(*arguments, epochs=2, progress=False, record=recorder)
    data = page_data(recorder)
    assert (data["activations"], data["map"], data["layers"]) == ([], None, ["w"])
    assert data["why"] == "The model is a function, of which only parameters are recorded."
    model = dl.nn.MLP([2, 4, 2], rng=0)
    listed = model, dl.losses.cross_entropy, dl.optim.SGD(model), [(X, Y)]
    dl.fit(*listed, epochs=2, progress=False, record=recorder)
    assert "need data as arrays" in page_data(recorder)["why"]
