"""evaluate and predict against the same by hand."""

import threading
import tracemalloc

import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.evaluation import mean_loss

X = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(23, 2)).astype(np.float32)
LABELS = np.random.default_rng(2).integers(0, 2, 23)
WEIGHTS = np.random.default_rng(3).uniform(0.1, 2, 23)


def network():
    return nn.Sequential(nn.Dense(3, 8, rng=0), nn.Tanh(), nn.Dropout(0.5, rng=1), nn.Dense(8, 2))


class Two(nn.Module):
    """A model of two inputs."""

    def __init__(self):
        self.a, self.b = nn.Dense(2, 2, rng=0), nn.Dense(1, 2, rng=1)

    def forward(self, left, right):
        return self.a(left) + self.b(right)


# --- predict ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 5, 23, 1024])
def test_predictions_are_those_of_the_model_in_evaluation_mode(batch_size):
    model = network()
    found = dl.predict(model, X, batch_size=batch_size)
    assert all(module.training for module in model.modules())
    expected = model.eval()(X).data
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def evaluate(model, x):
    return dl.evaluate(model, (x, Y), dl.losses.mse)


@pytest.mark.parametrize("function", [dl.predict, evaluate])
def test_the_mode_is_kept_until_the_last_of_several_threads_has_ended(function):
    """The second of two threads begins inside the first one, and ends after it."""
    model = network()
    expected = function(model, X)
    second_has_begun, first_has_ended = threading.Event(), threading.Event()

    class Waiting(nn.Module):
        def __init__(self):
            self.model = model

        def forward(self, x):
            if threading.current_thread() is second:
                second_has_begun.set()
                first_has_ended.wait(10)
            else:
                second.start()
                second_has_begun.wait(10)
            return self.model(x)

    found = []
    waiting = Waiting()
    second = threading.Thread(target=lambda: found.append(function(waiting, X)))
    found.append(function(waiting, X))
    assert not model.training
    first_has_ended.set()
    second.join()
    np.testing.assert_equal(found, [expected, expected])
    assert all(module.training for module in waiting.modules())


def test_a_model_is_read_while_another_thread_adds_attributes():
    model = network()

    class Adding(nn.Module):
        def __init__(self):
            self.first, self.last = nn.Tanh(), nn.Tanh()

    adding = Adding()
    for i, _ in enumerate(adding.modules()):
        setattr(adding, f"added{i}", model)
    assert len([*adding.modules()]) > i


@pytest.mark.parametrize(
    "x",
    [
        (X[:, :2], X[:, 2:]),
        {"left": X[:, :2], "right": X[:, 2:]},
        {"right": X[:, 2:], "left": X[:, :2]},
    ],
    ids=["tuple", "dict", "in another order"],
)
def test_a_model_may_have_several_inputs(x):
    model = Two()
    expected = model(X[:, :2], X[:, 2:]).data
    np.testing.assert_allclose(dl.predict(model, x, batch_size=4), expected, rtol=1e-6)


def test_no_samples_give_no_predictions():
    assert dl.predict(network(), X[:0]).shape == (0, 2)


def test_predictions_of_a_function_and_of_lists():
    assert dl.predict(lambda x: dl.Tensor(x) * 2, [1.0, 2.0, 3.0], batch_size=2).tolist() == [
        2,
        4,
        6,
    ]


def test_the_memory_of_predictions_does_not_grow_with_the_samples():
    model = nn.Sequential(nn.Dense(4, 256, rng=0), nn.ReLU(), nn.Dense(256, 1, rng=1))

    def peak(n):
        x = np.zeros((n, 4), np.float32)
        tracemalloc.start()
        dl.predict(model, x, batch_size=64)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most - 4 * n  # without the result

    peak(64)
    assert peak(64 * 200) < 1.5 * peak(64 * 4)


def test_no_graph_is_recorded():
    seen = []
    dl.predict(lambda x: seen.append(dl.Tensor(1.0, requires_grad=True) * 2) or dl.Tensor(x), X)
    assert not seen[0].requires_grad
    assert (dl.Tensor(1.0, requires_grad=True) * 2).requires_grad


@pytest.mark.parametrize(
    ("model", "x", "options", "error", "message"),
    [
        (nn.Dense, X, {}, TypeError, "predict: model must be a function .*class Dense"),
        (network(), X, {"batch_size": 0}, ValueError, "predict: batch_size"),
        (network(), X, {"batch_size": 2.5}, TypeError, "predict: batch_size"),
        (lambda x: x, X, {}, TypeError, "predict: the model must return a Tensor"),
        (lambda x: dl.sum(x), X, {}, ValueError, r"a row for each of 23 samples, got shape \(\)"),
        (Two(), (X, X[:3]), {}, ValueError, "predict: the inputs in x have 23, 3 samples"),
        (network(), X[:, :2], {}, ValueError, r"expects input of shape \(…, 3\)"),
    ],
)
def test_what_can_not_be_predicted_is_named(model, x, options, error, message):
    with pytest.raises(error, match=message):
        dl.predict(model, x, **options)


# --- evaluate -----------------------------------------------------------------------------------


def test_the_loss_and_the_metrics_are_those_of_the_whole_set():
    model, data = network(), dl.data.DataLoader(X, LABELS, 5, rng=0)
    metrics = {"accuracy": dl.metrics.accuracy}
    found = dl.evaluate(model, data, dl.losses.cross_entropy, metrics=metrics)
    logits = model.eval()(X)
    assert found["loss"] == pytest.approx(dl.losses.cross_entropy(logits, LABELS).item(), rel=1e-6)
    assert found["accuracy"] == np.mean(logits.data.argmax(axis=1) == LABELS)
    assert list(found) == ["loss", "accuracy"]


def test_weights_count_in_the_loss_and_in_the_metrics():
    model = network().eval()
    data = dl.data.DataLoader(X, LABELS, 5, sample_weight=WEIGHTS)
    metrics = {"accuracy": dl.metrics.accuracy}
    found = dl.evaluate(model, data, dl.losses.CrossEntropy(), metrics=metrics)
    logits = model(X)
    whole = dl.losses.cross_entropy(logits, LABELS, sample_weight=WEIGHTS)
    assert found["loss"] == pytest.approx(whole.item(), rel=1e-6)
    right = logits.data.argmax(axis=1) == LABELS
    assert found["accuracy"] == pytest.approx(WEIGHTS[right].sum() / WEIGHTS.sum(), rel=1e-12)


def test_a_loss_with_class_weights_is_weighted_by_them():
    model, loss = network().eval(), dl.losses.CrossEntropy(class_weight=[1.0, 5.0], ignore_index=7)
    labels = np.where(np.arange(23) < 4, 7, LABELS)
    found = dl.evaluate(model, dl.data.DataLoader(X, labels, 5), loss)
    assert found == {"loss": pytest.approx(loss(model(X), labels).item(), rel=1e-6)}


@pytest.mark.parametrize("batch_size", [1, 4, 23, None])
def test_sums_of_batches_are_added(batch_size):
    model, loss = nn.Dense(3, 2, rng=0), dl.losses.MSE("sum")
    expected = loss(model(X), Y).item()
    assert dl.evaluate(model, (X, Y), loss) == {"loss": pytest.approx(expected, rel=1e-6)}
    batches = dl.data.DataLoader(X, Y, batch_size, rng=0)
    assert dl.evaluate(model, batches, loss) == {"loss": pytest.approx(expected, rel=1e-6)}


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"callbacks": [lambda *_: None]}])
def test_the_loss_of_an_epoch_of_sums_is_their_sum(capture, options):
    model = nn.Dense(3, 2, rng=0)
    batches, loss = dl.data.DataLoader(X, Y, 4, rng=0), dl.losses.MSE("sum")
    optimizer = dl.optim.SGD(model, 1e-9)  # keeps the weights almost as they are
    options = {"capture": capture, "epochs": 3, "progress": False, **options}
    history = dl.fit(model, loss, optimizer, batches, validation=(X, Y), **options)
    assert history.loss == pytest.approx(history.validation, rel=1e-5)
    assert sum(history.step_loss) == pytest.approx(sum(history.loss), rel=1e-12)


@pytest.mark.parametrize("capture", [False, True])
def test_the_sum_of_an_epoch_has_no_losses_of_one_that_was_given_up(capture):
    model, options = nn.Dense(3, 2, rng=0), {"capture": capture, "progress": False}
    batches, loss = dl.data.DataLoader(X, Y, 4, rng=0), dl.losses.MSE("sum")
    optimizer = dl.optim.SGD(model, 1e-3)
    history = dl.fit(model, loss, optimizer, batches, steps=2, **options)
    history = dl.fit(model, loss, optimizer, batches, epochs=1, history=history, **options)
    assert history.loss == [pytest.approx(sum(history.step_loss[2:]), rel=1e-12)]


@pytest.mark.parametrize(
    ("parts", "mean"),
    [
        ([(0.1, 3.0, False)], (0.1, 3.0, False)),
        ([(2.0, 3.0, False), (5.0, 1.0, False)], (2.75, 4.0, False)),
        ([(2.0, 3.0, False), (0.0, 0.0, False)], (2.0, 3.0, False)),
        ([(2.0, 3.0, True), (5.0, 1.0, True)], (7.0, 4.0, True)),
    ],
    ids=["one", "means", "without weight", "sums"],
)
def test_the_loss_of_batches_weighs_means_and_adds_sums(parts, mean):
    assert mean_loss(parts) == mean


def test_a_loader_keeps_its_generator_and_gives_its_batches_in_order():
    data = dl.data.DataLoader(X, Y, 5, rng=0)
    before, seen = data.rng.bit_generator.state, []
    dl.evaluate(lambda x: seen.append(x) or dl.Tensor(x[:, :2]), data, dl.losses.mse)
    assert data.rng.bit_generator.state == before
    assert np.array_equal(np.concatenate(seen), X)


class Augmenting(dl.data.DataLoader):
    """A loader that changes its batches."""

    def __iter__(self):
        return ((x + 1, y) for x, y in super().__iter__())


def test_the_batches_of_a_loader_of_ones_own_are_taken():
    seen = []
    data = Augmenting(X, Y, 5, shuffle=False)
    dl.evaluate(lambda x: seen.append(x) or dl.Tensor(x[:, :2]), data, dl.losses.mse)
    assert np.array_equal(np.concatenate(seen), X + 1)


def test_a_metric_that_takes_no_weights_is_named():
    data = dl.data.DataLoader(X, Y, sample_weight=np.ones(len(X)))
    with pytest.raises(TypeError, match="have sample weights, but the metric 'own' takes none"):
        dl.evaluate(lambda x: dl.Tensor(x), data, metrics={"own": lambda p, t: 1.0})
    with pytest.raises(TypeError, match="must return a number or an array"):
        dl.evaluate(lambda x: dl.Tensor(x), (X, Y), metrics={"own": lambda p, t: "one"})


def test_metrics_alone_need_no_loss_and_may_be_arrays():
    metrics = {"sum": lambda p, t: dl.Tensor(p.sum()), "rows": lambda p, t: p[:, 0]}
    found = dl.evaluate(lambda x: dl.Tensor(x), [(X, Y), (X[:1], Y[:1])], metrics=metrics)
    assert found["sum"] == pytest.approx(X.sum() + X[:1].sum(), rel=1e-6)
    assert found["rows"].tolist() == [*X[:, 0], X[0, 0]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((network(), dl.losses.mse, (X, Y)), TypeError, r"evaluate\(model, data, loss\)"),
        ((network(), dl.losses.MSE(), (X, Y)), TypeError, r"evaluate\(model, data, loss\)"),
        ((network(), (X, Y)), ValueError, "give a loss, or metrics"),
        ((network(), (X, Y), "mse"), TypeError, "loss must be a function .*losses.mse"),
        ((network(), (X, Y), lambda p, t: 1.0), TypeError, "evaluate: the loss must return a Ten"),
        ((network(), (X, Y), dl.losses.MSE("none")), ValueError, "must be one number"),
        (
            (network(), [(X, Y, WEIGHTS)], lambda p, t: dl.losses.mse(p, t)),
            TypeError,
            "the data have sample weights, but the loss takes none",
        ),
    ],
)
def test_what_can_not_be_evaluated_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        dl.evaluate(*arguments)


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (dl.losses.mse, TypeError, 'metrics must be a dict such as {"accuracy"'),
        ([dl.losses.mse], TypeError, "metrics must be a dict"),
        ({"accuracy": "accuracy"}, TypeError, "the metric 'accuracy' must be a function"),
        ({"loss": lambda p, t: 0.0}, ValueError, "can't be called 'loss'"),
        ({"a": lambda p, t: 0.0, "validation_a": lambda p, t: 0.0}, ValueError, "'validation_a'"),
        ({"a": lambda p, t: "high"}, TypeError, "the metric 'a' must return a number or an array"),
    ],
)
def test_wrong_metrics_are_named(metrics, error, message):
    with pytest.raises(error, match=message):
        dl.evaluate(network(), (X, Y), metrics=metrics)


@pytest.mark.parametrize("kind", ["weights", "ignored"])
def test_a_batch_without_weight_counts_for_nothing(kind):
    labels, weights, loss = LABELS.copy(), WEIGHTS.copy(), dl.losses.CrossEntropy(ignore_index=-1)
    labels[5:10], weights[5:10] = (-1, 1) if kind == "ignored" else (0, 0)
    model, rest = network(), np.r_[:5, 10:23]
    found = dl.evaluate(model, dl.data.DataLoader(X, labels, 5, sample_weight=weights), loss)
    one = dl.data.DataLoader(X[rest], labels[rest], sample_weight=weights[rest])
    assert found == pytest.approx(dl.evaluate(model, one, loss), rel=1e-6)
    with pytest.raises(ValueError, match="finite sum above 0"):
        dl.evaluate(model, (X, np.full(23, -1)), loss)
