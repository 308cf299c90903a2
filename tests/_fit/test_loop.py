"""The steps and epochs of fit: limits, accumulation, metrics, resuming, captured or not."""

import itertools
import math

import numpy as np
import pytest

import minidl as dl
from minidl import nn, schedulers
from minidl.callbacks import Callback
from minidl.data import DataLoader
from minidl.data.splitting import split_rows

X = np.random.default_rng(0).normal(size=(23, 3))
Y = np.random.default_rng(1).normal(size=(23, 2))
LABELS = np.random.default_rng(2).integers(0, 2, 23)
WEIGHTS = np.random.default_rng(3).uniform(0.1, 2, 23)
BOTH = pytest.mark.parametrize("capture", [False, "auto", True])


def training(rule=dl.optim.Adam, lr=0.05, **options):
    with dl.default_dtype("float64"):
        model = nn.MLP([3, 5, 2], "tanh", rng=0)
    y = options.pop("y", Y)
    return model, rule(model, lr=lr), DataLoader(X, y, **{"batch_size": 5, "rng": 3, **options})


def fit(own, loss=dl.losses.mse, epochs=3, **options):
    return dl.fit(own[0], loss, *own[1:], epochs=epochs, progress=False, **options)


def look(own):
    return repr([x.state_dict() for x in own])


def weights(own):
    return np.concatenate([p.data.ravel() for p in own[0].parameters()])


# --- a loss that isn't finite -------------------------------------------------------------------


class Careless(Callback):
    """Lets the training diverge."""

    def on_begin(self, training):
        training.may_diverge = True


@BOTH
def test_a_loss_that_is_not_finite_may_end_the_training_quietly(capture):
    with np.errstate(all="ignore"):
        history = fit(training(dl.optim.SGD, 1e6), epochs=99, callbacks=[Careless()])
        with pytest.raises(dl.DivergenceError):
            fit(training(dl.optim.SGD, 1e6), epochs=99, capture=capture)
    assert not math.isfinite(history.step_loss[-1])


# --- limits -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("epochs", "steps", "taken", "finished"),
    [
        (3, None, 15, 3),
        (None, 7, 7, 1),
        (3, 7, 7, 1),
        (1, 7, 5, 1),
        (None, 10, 10, 2),
        (9, 1, 1, 0),
    ],
)
def test_the_first_limit_ends_the_training(capture, epochs, steps, taken, finished):
    history = fit(training(), epochs=epochs, steps=steps, capture=capture)
    assert (len(history.step_loss), len(history.loss)) == (taken, finished)


@BOTH
def test_no_more_batches_are_taken_from_a_generator_than_steps(capture):
    source = ((X[:5], Y[:5]) for _ in itertools.count())
    own = training()
    dl.fit(*own[:1], dl.losses.mse, own[1], source, steps=6, progress=False, capture=capture)
    assert own[1].t == 6
    assert sum(1 for _ in itertools.islice(source, 3)) == 3


@BOTH
def test_a_history_goes_on(capture):
    own, twin = training(), training()
    history = fit(own, epochs=2, capture=capture)
    assert fit(own, epochs=1, capture=capture, history=history) is history
    assert history == fit(twin, epochs=3, capture=capture)
    assert look(own) == look(twin)
    fit(own, epochs=None, steps=2, history=history)
    assert (len(history.step_loss), len(history.loss)) == (17, 3)


# --- several batches for a step -----------------------------------------------------------------

LOSSES = {
    "mean": (dl.losses.mse, {}),
    "sum": (dl.losses.MSE("sum"), {}),
    "weights": (dl.losses.mse, {"sample_weight": WEIGHTS}),
    "classes": (dl.losses.CrossEntropy(class_weight=[1.0, 3.0]), {"y": LABELS}),
    "ignored": (
        dl.losses.CrossEntropy(ignore_index=-1),
        {"y": np.where(np.arange(23) % 7 == 0, -1, LABELS)},
    ),
    "both": (
        dl.losses.CrossEntropy(class_weight=[1.0, 3.0]),
        {"y": LABELS, "sample_weight": WEIGHTS},
    ),
    "own": (lambda p, t: dl.mean((p - dl.Tensor(t)) ** 2), {}),
}


@BOTH
@pytest.mark.parametrize(("loss", "options"), LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("rule", [dl.optim.SGD, dl.optim.Adam])
def test_accumulated_batches_equal_a_large_one(capture, loss, options, rule):
    large, small = (training(rule, batch_size=n, **options) for n in (10, 5))
    one = fit(large, loss, capture=capture)
    two = fit(small, loss, capture=capture, accumulate=2)
    np.testing.assert_allclose(weights(small), weights(large), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(two.step_loss, one.step_loss, rtol=1e-12)
    np.testing.assert_allclose(two.loss, one.loss, rtol=1e-12)
    assert len(two.step_loss) == 9


class Gradients(Callback):
    """Keeps the gradients that are ready."""

    def __init__(self):
        self.seen = []

    def on_backward(self, training):
        self.seen.append([p.grad.copy() for p in training.model.parameters()])


@BOTH
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_gradients_before_an_update_are_accumulated_ones(capture, accumulate):
    hook = Gradients()
    own, twin = training(dl.optim.SGD), training(dl.optim.SGD)
    fit(own, epochs=2, callbacks=[hook], capture=capture, accumulate=accumulate)
    model, optimizer, loader = twin
    found = iter(hook.seen)
    for _ in range(2):
        batches = iter(loader)
        while group := list(itertools.islice(batches, accumulate)):
            x, y = (np.concatenate(part) for part in zip(*group, strict=True))
            optimizer.zero_grad()
            dl.losses.mse(model(x), y).backward()
            for p, g in zip(model.parameters(), next(found), strict=True):
                np.testing.assert_allclose(g, p.grad, rtol=1e-12, atol=1e-14)
            optimizer.step()
    assert next(found, None) is None


# --- weights ------------------------------------------------------------------------------------


@BOTH
def test_a_weight_of_two_equals_the_sample_twice(capture):
    double = np.arange(23) % 3 == 0
    x, y = (np.concatenate([a, a[double]]) for a in (X, Y))
    own, twin = training(batch_size=None, sample_weight=1.0 + double), training()
    metrics = {"mae": dl.metrics.mae}
    one = fit(own, capture=capture, metrics=metrics)
    two = fit((*twin[:2], (x, y)), capture=capture, metrics=metrics)
    np.testing.assert_allclose(weights(own), weights(twin), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(one.loss, two.loss, rtol=1e-12)
    np.testing.assert_allclose(one.metrics["mae"], two.metrics["mae"], rtol=1e-12)


@BOTH
@pytest.mark.parametrize("options", [{}, {"accumulate": 2}])
def test_weights_of_one_change_no_bit(capture, options):
    own, twin = training(sample_weight=np.ones(23)), training()
    one, two = (fit(o, capture=capture, **options) for o in (own, twin))
    assert (one, look(own)) == (two, look(twin))


# --- metrics and validation ---------------------------------------------------------------------


@BOTH
def test_a_metric_is_that_of_all_predictions_of_an_epoch(capture):
    seen = []

    def mae(prediction, target):
        seen.append((prediction.copy(), target.copy()))
        return dl.metrics.mae(prediction, target)

    own, (model, optimizer, loader) = training(), training()
    history = fit(own, epochs=2, capture=capture, metrics={"mae": mae}, validation=(X, Y))
    expected = []
    for _ in range(2):
        predictions, targets = [], []
        for x, y in loader:
            optimizer.zero_grad()
            prediction = model(x)
            dl.losses.mse(prediction, y).backward()
            optimizer.step()
            predictions.append(prediction.data)
            targets.append(y)
        expected += [(np.concatenate(predictions), np.concatenate(targets)), (model(X).data, Y)]
    for found, right in zip(seen, expected, strict=True):
        assert all(map(np.array_equal, found, right))
    values = [dl.metrics.mae(*both) for both in expected]
    assert history.metrics == {"mae": values[::2], "validation_mae": values[1::2]}


@BOTH
def test_a_share_of_the_data_validates_and_is_not_trained_on(capture):
    own = training()
    history = fit(own, validation=0.3, capture=capture)
    kept, held_out = split_rows("fit", 23, 0.3, 0)
    assert len(held_out) == 7
    model, optimizer, _ = twin = training()
    loader = DataLoader(X[kept], Y[kept], 5, rng=3)
    rest = DataLoader(X[held_out], Y[held_out], 5, shuffle=False)
    expected = fit((model, optimizer, loader), validation=rest)
    assert history == expected
    assert look(own[:2]) == look(twin[:2])
    fit((*training()[:2], (X, Y)), validation=0.3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"validation": 0.0}, ValueError, "fit: validation"),
        ({"validation": 1.0}, ValueError, "fit: validation"),
        ({"accumulate": 0}, ValueError, "fit: accumulate"),
        ({"steps": 0}, ValueError, "fit: steps"),
        ({"steps": 2.5}, TypeError, "fit: steps"),
        ({"metrics": dl.metrics.mae}, TypeError, "fit: metrics must be a dict"),
        ({"history": [1.0]}, TypeError, "fit: history must be a History"),
        ({"resume": "run.ckpt"}, TypeError, "fit: resume must be what dl.load returned"),
        ({"callbacks": [3]}, TypeError, "fit: callbacks must be a list of dl.callbacks or func"),
        ({"callbacks": [dl.callbacks.Average]}, TypeError, "the class Average; make an object"),
        ({"callbacks": dl.callbacks.Average(0.5)}, TypeError, "put it in a list"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_changes(options, error, message):
    own = training()
    before = look(own)
    with pytest.raises(error, match=message):
        fit(own, **options)
    assert look(own) == before


def test_a_share_of_batches_is_refused():
    own = training()
    with pytest.raises(TypeError, match=r"validation=0\.2 needs data as"):
        fit((*own[:2], [(X, Y)]), validation=0.2)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_metrics_leave_out_a_step_that_was_not_taken(tmp_path, accumulate):
    class Fails(Callback):
        def on_backward(self, training):
            if training.step == 3:
                raise OSError("the disk is full")

    own, history = training(), dl.History()
    options = {"metrics": {"rows": lambda p, t: len(p)}, "accumulate": accumulate}
    with pytest.raises(OSError, match="the disk is full"):
        fit(own, history=history, callbacks=[Fails()], **options)
    dl.save(tmp_path / "a", own[0], optimizer=own[1], data=own[2], history=history)
    saved = dl.load(tmp_path / "a", own[0], optimizer=own[1], data=own[2])
    assert fit(own, resume=saved, epochs=1, **options).metrics["rows"] == [23]


def test_a_batch_whose_weight_is_none_has_no_weights():
    whole, own = training(), training()
    options = {"metrics": {"mae": dl.metrics.mae}}
    history = fit((*whole[:2], [(X, Y)]), **options)
    assert fit((*own[:2], [(X, Y, None)]), **options) == history
    assert look(own[:2]) == look(whole[:2])


class Shifted(DataLoader):
    """A loader that changes its batches."""

    def __iter__(self):
        return ((x + 1, y) for x, y in super().__iter__())


def test_no_share_is_split_off_a_loader_that_makes_its_own_batches():
    own = training()
    before = look(own[:2])
    with pytest.raises(TypeError, match=r"can't split a Shifted, whose own __iter__"):
        fit((*own[:2], Shifted(X, Y, 5, rng=0)), validation=0.2)
    assert look(own[:2]) == before


# --- resuming -----------------------------------------------------------------------------------


def test_what_can_not_be_resumed_is_named(tmp_path):
    path, own = tmp_path / "a", training()
    history = fit(own, epochs=None, steps=7)
    dl.save(path, own[0], optimizer=own[1], data=own[2], history=history)
    saved = dl.load(path, own[0], optimizer=own[1], data=own[2])
    with pytest.raises(ValueError, match=r"leave history=\.\.\. out"):
        fit(own, resume=saved, history=history)
    with pytest.raises(ValueError, match="had taken 7 steps, but this one 0; load it together"):
        fit((own[0], dl.optim.Adam(own[0]), own[2]), resume=saved)
    with pytest.raises(ValueError, match="DataLoader shuffles, and its state was not loaded"):
        fit((*own[:2], training()[2]), resume=saved)
    with pytest.raises(TypeError, match="one-shot iterator"):
        fit((*own[:2], iter([(X, Y)])), resume=saved, epochs=1)
    new = training()[0]
    optimizer = dl.optim.Adam(new, lr=0.05)
    saved = dl.load(path, optimizer=optimizer, data=own[2])
    with pytest.raises(ValueError, match=r"dense1\.weight of the model isn't the one in the check"):
        fit((new, optimizer, own[2]), resume=saved)
    dl.save(path, own[0], optimizer=own[1])
    with pytest.raises(ValueError, match="no history, so nobody knows where the training was"):
        fit(own, resume=dl.load(path))


@pytest.mark.parametrize("steps", [4, 6], ids=["after an epoch", "in an epoch"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_training_resumed_with_another_validation_says_so(tmp_path, shuffle, steps):
    def begun():
        return *training()[:2], DataLoader(X, Y, 5, shuffle=shuffle, rng=0)

    part, whole = begun(), begun()
    for own, share, kept in ((part, 0.2, 18), (whole, None, 23)):
        history = fit(own, epochs=None, steps=steps, validation=share)
        path = tmp_path / str(kept)
        dl.save(path, own[0], optimizer=own[1], data=own[2], history=history)
    cases = [
        (
            "18",
            None,
            r"no data, which leaves 23 of 23 .* had 18 of 23: .* 5 of 23 samples \(0.217\)",
        ),
        ("18", 0.25, r"0.25, which leaves 17 of 23 samples to train on, but .* had 18 of 23"),
        ("18", (X, Y), r"data of its own, which leaves 23 of 23 .* was a share, 5 of 23"),
        ("23", 0.2, r"0.2, which leaves 18 of 23 .* had 23 of 23: its validation was no share of"),
    ]
    for name, validation, message in cases:
        own = begun()
        saved = dl.load(tmp_path / name, own[0], optimizer=own[1], data=own[2])
        with pytest.raises(ValueError, match=f"fit: validation is {message}.*; give it as it was"):
            fit(own, resume=saved, epochs=3, validation=validation)
    for name, validation in (("18", 0.2), ("18", 5 / 23), ("23", None), ("23", (X, Y))):
        own = begun()
        saved = dl.load(tmp_path / name, own[0], optimizer=own[1], data=own[2])
        assert len(fit(own, resume=saved, epochs=3, validation=validation).loss) == 3


def test_batches_of_another_epoch_are_not_those_of_the_history(tmp_path):
    own = training()
    fit(own, epochs=None, steps=7)
    dl.save(tmp_path / "a", own[0], optimizer=own[1], data=own[2], history=dl.History())
    saved = dl.load(tmp_path / "a", own[0], optimizer=own[1], data=own[2])
    message = r"after 2 batches of an epoch, which now has 5, and the history after 0; give valid"
    with pytest.raises(ValueError, match=message):
        fit(own, resume=saved)


@BOTH
@pytest.mark.parametrize("k", [1, 4, 5, 6])
@pytest.mark.parametrize("form", ["list", "in order", "without a length"])
def test_batches_in_order_are_resumed_without_a_state(tmp_path, capture, k, form):
    def data():
        loader = DataLoader(X, Y, 5, shuffle=False)
        return loader if form == "in order" else list(loader) if form == "list" else Endless()

    class Endless:
        def __iter__(self):
            return iter(list(DataLoader(X, Y, 5, shuffle=False)))

    whole, part, again = ((*training()[:2], data()) for _ in range(3))
    history = fit(whole, epochs=2, capture=capture)
    half = fit(part, epochs=None, steps=k, capture=capture)
    dl.save(tmp_path / "a", part[0], optimizer=part[1], history=half)
    saved = dl.load(tmp_path / "a", again[0], optimizer=again[1])
    assert fit(again, epochs=2, capture=capture, resume=saved) == history
    assert look(again[:2]) == look(whole[:2])


class Anew(DataLoader):
    """A loader whose epochs begin anew."""

    def __iter__(self):
        return ((self.x[i : i + 5] + 1, self.y[i : i + 5]) for i in range(0, len(X), 5))


@pytest.mark.parametrize("k", [1, 4, 5, 6])
@pytest.mark.parametrize("options", [{}, {"metrics": {"mae": dl.metrics.mae}}], ids=["", "split"])
@pytest.mark.parametrize("kind", [Shifted, Anew])
def test_loaders_with_batches_of_their_own_are_resumed(tmp_path, kind, options, k):
    whole, part, again = ((*training()[:2], kind(X, Y, 5, shuffle=False)) for _ in range(3))
    history = fit(whole, epochs=2, **options)
    half = fit(part, epochs=None, steps=k, **options)
    dl.save(tmp_path / "a", part[0], optimizer=part[1], data=part[2], history=half)
    saved = dl.load(tmp_path / "a", again[0], optimizer=again[1], data=again[2])
    assert fit(again, epochs=2, resume=saved, **options) == history
    assert look(again[:2]) == look(whole[:2])


def test_a_shuffling_loader_that_begins_anew_is_resumed_after_whole_epochs_alone(tmp_path):
    for steps in (5, 7):
        own = *training()[:2], Anew(X, Y, 5, rng=0)
        history = fit(own, epochs=None, steps=steps)
        dl.save(tmp_path / "a", own[0], optimizer=own[1], data=own[2], history=history)
        saved = dl.load(tmp_path / "a", own[0], optimizer=own[1], data=own[2])
        if steps == 5:
            assert len(fit(own, epochs=2, resume=saved).lr) == 10
    before = look(own[:2])
    with pytest.raises(ValueError, match="the __iter__ of Anew doesn't continue an epoch"):
        fit(own, epochs=2, resume=saved)
    assert look(own[:2]) == before


def test_a_training_saved_by_a_function_after_an_epoch_shows_its_loss_to_plateaus(tmp_path):
    def make(saves):
        own = training(lr=schedulers.ReduceOnPlateau(0.05, patience=0, threshold=0.5))
        options = {"optimizer": own[1], "data": own[2]}
        save = lambda e, h: dl.save(tmp_path / "a", own[0], **options, history=h)  # noqa: E731
        return own, [save] if saves else []

    (whole, _), (part, saves), (again, _) = make(False), make(True), make(False)
    history = fit(whole, epochs=5)
    fit(part, epochs=3, callbacks=saves)
    saved = dl.load(tmp_path / "a", again[0], optimizer=again[1], data=again[2])
    assert fit(again, epochs=5, resume=saved) == history
    assert look(again) == look(whole)


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("rows", [slice(0, 4), slice(4, 8)], ids=["first", "second"])
def test_a_batch_without_weight_adds_nothing_to_a_step_of_several(capture, rows):
    x, labels = np.random.default_rng(0).normal(size=(16, 3)), np.arange(16) % 3
    labels[rows] = -1
    found = []
    for size, accumulate in ((4, 2), (8, 1)):
        model = dl.nn.MLP([3, 5, 3], rng=0)
        data = dl.data.DataLoader(x, labels, size, shuffle=False)
        loss = dl.losses.CrossEntropy(ignore_index=-1)
        options = {"accumulate": accumulate, "capture": capture, "progress": False}
        history = dl.fit(model, loss, dl.optim.SGD(model, 0.5), data, epochs=5, **options)
        found.append([*history.loss, *(v for p in model.parameters() for v in p.data.ravel())])
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
    data = dl.data.DataLoader(x, np.where(np.arange(16) < 8, -1, labels), 4, shuffle=False)
    with pytest.raises(ValueError, match="finite sum above 0"):
        dl.fit(model, loss, dl.optim.SGD(model), data, epochs=1, **{**options, "accumulate": 2})
