"""Callbacks, through fit as a user has them."""

import contextlib
import csv
import math
from functools import partial

import matplotlib as mpl
import numpy as np
import pytest
from interrupting import FAILURES, assert_all_or_nothing

import minidl as dl
from minidl import callbacks, nn, schedulers
from minidl.callbacks import (
    Average,
    Callback,
    Checkpoint,
    ClipGradNorm,
    CSVLogger,
    EarlyStopping,
    RateFinder,
    Training,
)

X = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
Y = np.stack([X[:, 0] * 2, X[:, 1] - X[:, 2]], axis=1)


def training(seed=0, lr=0.05, rule=dl.optim.Adam):
    layers = nn.Dense(3, 8, rng=seed), nn.Tanh(), nn.Dropout(0.2, rng=seed), nn.Dense(8, 2, rng=7)
    model = nn.Sequential(*layers)
    return model, rule(model, lr=lr), dl.data.DataLoader(X, Y, 5, rng=seed)


def fit(own, callbacks=(), loss=dl.losses.mse, **options):
    model, optimizer, data = own
    options = {"progress": False, "callbacks": callbacks, **options}
    return dl.fit(model, loss, optimizer, data, **options)


def look(own):
    return repr([x.state_dict() for x in own])


class Values(Callback):
    """Gives each epoch a metric of its own."""

    def __init__(self, values):
        self.values = values

    def on_epoch(self, training):
        training.history.metrics["own"] = list(self.values[: training.epoch])


# --- EarlyStopping ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "options", "best", "stopped"),
    [
        ([3, 2, 1, 1, 1, 9], {}, 3, 5),
        ([1, 2, 3, 4], {}, 1, 3),
        ([1, 2, 0.5, 2, 3, 4], {}, 3, 5),
        ([1, 2, 3, 4], {"mode": "max"}, 4, None),
        ([4, 3, 2, 1], {"mode": "max"}, 1, 3),
        ([1, 0.95, 0.9, 0.2], {"min_delta": 0.1}, 1, 3),
        ([1, math.nan, math.nan, 0], {}, 1, 3),
        ([math.nan, math.nan, 1, 0], {}, None, 2),
        ([1, 2, 3, 4], {"patience": 1}, 1, 2),
    ],
)
def test_the_training_ends_after_epochs_without_an_improvement(values, options, best, stopped):
    stop = EarlyStopping("own", **{"patience": 2, **options})
    history = fit(training(), [Values(values), stop], epochs=len(values))
    assert (stop.best_epoch, stop.stopped_epoch) == (best, stopped)
    assert len(history.loss) == (stopped or len(values))
    assert stop.best == (None if best is None else values[best - 1])


@pytest.mark.parametrize("restore_best", [True, False])
def test_the_weights_of_the_best_epoch_come_back(restore_best):
    own, seen = training(), []
    keep = lambda epoch, history: seen.append(own[0].state_dict()) or None  # noqa: E731
    stop = EarlyStopping("own", patience=3, restore_best=restore_best)
    fit(own, [keep, Values([3, 1, 2, 2, 2, 2]), stop], epochs=9)
    assert repr(own[0].state_dict()) == repr(seen[1 if restore_best else -1])


def test_a_training_that_ends_otherwise_keeps_its_weights_and_the_best_can_be_put_in():
    own, seen = training(), []
    stop = EarlyStopping("own", patience=3)
    with pytest.raises(RuntimeError, match="no best epoch yet"):
        stop.restore(own[0])
    keep = lambda epoch, history: seen.append(own[0].state_dict()) or None  # noqa: E731
    fit(own, [keep, Values([1, 2, 3]), stop], epochs=3)
    assert repr(own[0].state_dict()) == repr(seen[-1])
    stop.restore(own[0])
    assert repr(own[0].state_dict()) == repr(seen[0])


def test_the_weights_of_a_function_are_the_optimizers():
    w, seen = dl.Tensor(np.ones((3, 2)), requires_grad=True), []
    own = (lambda x: dl.Tensor(x, dtype="float64") @ w), dl.optim.SGD([w], lr=0.1), (X, Y)
    keep = lambda epoch, history: seen.append(w.data.copy()) or None  # noqa: E731
    fit(own, [keep, Values([1, 2, 3]), EarlyStopping("own", patience=2)], epochs=9)
    assert np.array_equal(w.data, seen[0])


@pytest.mark.parametrize(
    ("monitor", "error", "message"),
    [
        ("accuracyy", ValueError, "no metric 'accuracyy'"),
        ("validation", ValueError, "'validation' has no values; give fit validation"),
        ("matrix", TypeError, "'matrix' is an array"),
    ],
)
def test_a_monitor_that_can_not_be_compared_is_named(monitor, error, message):
    metrics = {"matrix": lambda p, t: np.eye(2)}
    with pytest.raises(error, match=message):
        fit(training(), [EarlyStopping(monitor)], epochs=1, metrics=metrics)


def test_a_second_training_with_the_same_callback_begins_anew():
    """Else the better values of the first one would count, and its weights come back."""
    stop = EarlyStopping("own", patience=2)
    fit(training(), [Values([1, 2, 3]), stop], epochs=9)
    own, plain = training(), training()
    fit(own, [Values([9, 8, 7]), stop], epochs=3)
    fit(plain, epochs=3)
    assert (stop.best, stop.best_epoch, stop.stopped_epoch) == (7, 3, None)
    assert look(own) == look(plain)


def test_a_training_that_was_ended_goes_on_with_its_history_for_another_patience():
    own, stop = training(), EarlyStopping("own", patience=2)
    history = fit(own, [Values([1, 2, 3]), stop], epochs=9)
    assert (len(history.loss), stop.stopped_epoch) == (3, 3)
    fit(own, [Values([1, 2, 3, 4, 5, 6]), stop], epochs=9, history=history)
    assert (len(history.loss), stop.best_epoch, stop.stopped_epoch) == (5, 1, 5)


# --- Checkpoint ---------------------------------------------------------------------------------


def everything(path):
    """All callbacks that have a state, or come between the gradients and the update."""
    return [
        EarlyStopping("validation", patience=3),
        ClipGradNorm(0.5),
        Average(0.9),
        Checkpoint(path, best=True, monitor="mae"),
        Checkpoint(path.with_suffix(".all")),
        CSVLogger(path.with_suffix(".csv")),
    ]


@pytest.mark.parametrize("capture", [False, "auto"])
@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_a_training_resumed_from_a_checkpoint_ends_as_one_that_never_stopped(
    tmp_path, epochs, capture
):
    def begun(seed=0):
        plateau = schedulers.ReduceOnPlateau(0.05, patience=0, threshold=0.2)
        return training(seed, lr=schedulers.WarmUp(plateau, 4))

    options = {"validation": 0.3, "metrics": {"mae": dl.metrics.mae}, "capture": capture}
    whole, own, path, part = begun(), begun(9), tmp_path / "whole", tmp_path / "part"
    hooks, again = everything(path), everything(part)
    history = fit(whole, hooks, epochs=6, **options)
    fit(begun(), everything(part), epochs=epochs, **options)
    given = {"optimizer": own[1], "data": own[2], "callbacks": again}
    saved = dl.load(part.with_suffix(".all"), own[0], **given)
    assert saved.epoch == epochs
    resumed = fit(own, again, epochs=6, resume=saved, **options)
    assert resumed == history
    assert look(own) == look(whole)
    assert [repr(c.state_dict()) for c in again] == [repr(c.state_dict()) for c in hooks]
    assert path.with_suffix(".csv").read_text() == part.with_suffix(".csv").read_text()


def test_a_callback_whose_saved_state_was_not_loaded_is_an_error_when_resumed(tmp_path):
    kinds = {
        "EarlyStopping": lambda: EarlyStopping("loss", patience=3, min_delta=99),
        "Average": lambda: Average(0.9),
        "Checkpoint": lambda: Checkpoint(tmp_path / "a", best=True, monitor="loss"),
    }
    for name, make in kinds.items():
        old, hooks = [make(), make()], [make(), make()]
        history = fit(training(), old, epochs=2)
        own = training()
        given = {"optimizer": own[1], "data": own[2]}
        begun = training()
        begun_history = fit(begun, old, epochs=2)
        assert begun_history == history
        path = tmp_path / name
        dl.save(path, begun[0], optimizer=begun[1], data=begun[2], history=history, callbacks=old)
        saved = dl.load(path, own[0], **given)
        message = rf"a state of {name}, .* dl\.load\(path, .*, callbacks=callbacks\)"
        for forgotten in (hooks, [old[0], hooks[1]], hooks[:1]):
            with pytest.raises(ValueError, match=message):
                fit(own, forgotten, epochs=3, resume=saved)
        assert look(own) == look(begun)
        saved = dl.load(path, own[0], **given, callbacks=iter(hooks))
        assert fit(own, hooks, epochs=3, resume=saved) == fit(training(), [], epochs=3)


def test_a_callback_may_be_another_one_where_no_state_of_it_was_saved(tmp_path):
    class Mine(Callback):
        def state_dict(self):
            return {"values": np.array([1.0, np.nan]), "nan": np.nan, "pair": (1, 2)}

    fit(training(), [Checkpoint(tmp_path / "a"), Mine()], epochs=2)
    for hooks in ([], [EarlyStopping("loss")], [Checkpoint(tmp_path / "b"), lambda e, h: None]):
        own = training()
        saved = dl.load(tmp_path / "a", own[0], optimizer=own[1], data=own[2])
        assert len(fit(own, hooks, epochs=3, resume=saved).loss) == 3
    own = training()
    saved = dl.load(tmp_path / "a", own[0], optimizer=own[1], data=own[2])
    assert len(fit(own, [Mine()], epochs=3, resume=saved).loss) == 3


def test_a_training_that_was_ended_stays_ended(tmp_path):
    hooks = [EarlyStopping("loss", min_delta=99, patience=2), Checkpoint(tmp_path / "a")]
    own = training()
    history = fit(own, hooks, epochs=9)
    saved = dl.load(tmp_path / "a", own[0], optimizer=own[1], data=own[2])
    assert len(history.loss) == 3
    assert fit(own, hooks, epochs=9, resume=saved) == history


class Limit(Callback):
    """End a training after so many steps."""

    def __init__(self, steps):
        self.steps = steps

    def on_step(self, training):
        return training.step == self.steps


def whole_epoch(epoch, history):
    return epoch == 2


@pytest.mark.parametrize(
    ("limit", "name", "steps"),
    [(Limit(5), "Limit.on_step", 5), (Limit(6), "Limit.on_step", 6), (whole_epoch, None, 10)],
)
@pytest.mark.parametrize("loss", [dl.losses.mse, dl.losses.MSE("sum")], ids=["mean", "sum"])
def test_a_training_that_a_callback_had_ended_goes_on_without_it(
    loss, limit, name, steps, tmp_path
):
    whole = training(lr=1e-3)
    history = fit(whole, [], epochs=4, loss=loss)
    own = training(lr=1e-3)
    ended = fit(own, [limit], epochs=4, loss=loss)
    assert len(ended.step_loss) == steps
    dl.save(tmp_path / "a", own[0], optimizer=own[1], data=own[2], history=ended)

    own = training(lr=1e-3)
    saved = dl.load(tmp_path / "a", own[0], optimizer=own[1], data=own[2])
    with pytest.warns(UserWarning, match=f"{name or limit.__qualname__} had ended the training"):
        again = fit(own, [limit], epochs=4, resume=saved, loss=loss)
    assert again == ended
    other = [Limit(99)][: name is None]
    assert fit(own, other, epochs=4, resume=saved, loss=loss) == history
    assert look(own) == look(whole)


def test_the_callback_that_had_ended_a_training_is_told_from_others(tmp_path):
    def end(at, epoch, history):
        return epoch == at

    def saved_after(hook):
        own = training()
        ended = fit(own, [hook], epochs=3)
        dl.save(tmp_path / "a", own[0], optimizer=own[1], data=own[2], history=ended)
        own = training()
        return own, dl.load(tmp_path / "a", own[0], optimizer=own[1], data=own[2])

    own, saved = saved_after(partial(end, 1))
    assert len(fit(own, [partial(print, end="")], epochs=3, resume=saved).loss) == 3
    own, saved = saved_after(lambda epoch, history: epoch == 1)
    assert len(fit(own, [lambda epoch, history: None], epochs=3, resume=saved).loss) == 3
    own, saved = saved_after(partial(end, 3))  # nothing is left to do, so nothing to warn of
    assert len(fit(own, [partial(end, 3)], epochs=3, resume=saved).loss) == 3
    own, saved = saved_after(EarlyStopping("loss", min_delta=99, patience=1))
    with pytest.warns(UserWarning, match=r"EarlyStopping\.on_epoch had ended the training"):
        fit(own, [EarlyStopping("loss", patience=50)], epochs=3, resume=saved)


def test_a_checkpoint_is_saved_every_so_many_epochs_or_where_the_metric_is_best(tmp_path):
    seen = []
    look_at = lambda epoch, history: seen.append(  # noqa: E731
        [dl.load(p).epoch if p.exists() else 0 for p in (tmp_path / "every", tmp_path / "best")]
    )
    hooks = [
        look_at,
        Values([3, 2, 4, 1, 5]),
        Checkpoint(tmp_path / "every", every=2),
        Checkpoint(tmp_path / "best", best=True, monitor="own"),
    ]
    fit(training(), hooks, epochs=5)
    assert seen == [[0, 0], [0, 1], [2, 2], [2, 2], [4, 4]]


def test_a_folder_that_is_missing_is_found_before_the_training(tmp_path):
    own = training()
    before = look(own)
    with pytest.raises(FileNotFoundError, match=r"Checkpoint: .*there is no folder"):
        fit(own, [Checkpoint(tmp_path / "no" / "a")], epochs=1)
    assert look(own) == before


def test_a_checkpoint_needs_a_module():
    w = dl.Tensor(np.ones((3, 2)), requires_grad=True)
    own = (lambda x: dl.Tensor(x, dtype="float64") @ w), dl.optim.SGD([w]), (X, Y)
    with pytest.raises(TypeError, match="Checkpoint: the model must be a Module"):
        fit(own, [Checkpoint("a")], epochs=1)
    assert np.array_equal(w.data, np.ones((3, 2)))


# --- ClipGradNorm, Average, CSVLogger -----------------------------------------------------------


@pytest.mark.parametrize("capture", [False, "auto", True])
def test_clipped_steps_are_those_of_a_loop_that_clips(capture):
    own, (model, optimizer, loader) = training(), training()
    history = fit(own, [ClipGradNorm(0.1)], epochs=3, capture=capture)
    for x, y in (batch for _ in range(3) for batch in loader):
        optimizer.zero_grad()
        dl.losses.mse(model(x), y).backward()
        dl.optim.clip_grad_norm(model, 0.1)
        optimizer.step()
    assert look(own) == look((model, optimizer, loader))
    assert history.captured == (capture is not False)


@pytest.mark.parametrize("capture", [False, "auto"])
def test_the_average_is_that_of_a_loop_and_validates(capture):
    own, (model, optimizer, loader), hook = training(), training(), Average(0.8)
    history = fit(own, [hook], epochs=2, validation=(X, Y), capture=capture)
    averaged = dl.optim.average(model, 0.8)
    for x, y in (batch for _ in range(2) for batch in loader):
        optimizer.zero_grad()
        dl.losses.mse(model(x), y).backward()
        optimizer.step()
        averaged.update()
    assert repr(hook.average.state_dict()) == repr(averaged.state_dict())
    assert look(own) == look((model, optimizer, loader))
    with averaged:
        expected = dl.evaluate(model, (X, Y), dl.losses.mse)["loss"]
    assert history.validation[-1] == expected


def test_the_lines_of_a_log_are_those_of_the_history(tmp_path):
    path = tmp_path / "log.csv"
    metrics = {"mae": dl.metrics.mae, "all": lambda p, t: p}
    history = fit(training(), [CSVLogger(path)], epochs=3, validation=(X, Y), metrics=metrics)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == history.loss
    assert [float(row["validation"]) for row in rows] == history.validation
    assert [float(row["validation_mae"]) for row in rows] == history.metrics["validation_mae"]
    assert [int(row["step"]) for row in rows] == history.epoch_ends
    assert [float(row["lr"]) for row in rows] == [0.05] * 3
    assert [(row["epoch"], row["all"]) for row in rows] == [("1", ""), ("2", ""), ("3", "")]


@pytest.mark.parametrize("fails", ["validating", "on_epoch"])
def test_an_epoch_whose_end_failed_is_in_the_log_once_with_its_validation(fails, tmp_path):
    class Failing(Callback):
        def validating(self, training):
            self.fail("validating", training)
            return contextlib.nullcontext()

        def on_epoch(self, training):
            self.fail("on_epoch", training)

        def fail(self, where, training):
            if where == fails and training.epoch == 2:
                raise ZeroDivisionError

    (model, optimizer, loader), path = training(), tmp_path / "log.csv"
    parts = {"optimizer": optimizer, "data": loader}
    options = {"validation": (X, Y), "metrics": {"r2": dl.metrics.r2}, "epochs": 3}
    history = dl.History()
    with pytest.raises(ZeroDivisionError):
        fit((model, optimizer, loader), [Failing(), CSVLogger(path)], history=history, **options)
    dl.save(tmp_path / "run.ckpt", model, **parts, history=history)
    resume = dl.load(tmp_path / "run.ckpt", model, **parts)
    history = fit((model, optimizer, loader), [CSVLogger(path)], resume=resume, **options)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == history.loss
    assert [float(row["validation"]) for row in rows] == history.validation
    for name in ("r2", "validation_r2"):
        assert [float(row[name]) for row in rows] == history.metrics[name]


# --- RateFinder ---------------------------------------------------------------------------------


def everything_of(own):
    model, _, loader = own
    generator = model.dropout1.rng.bit_generator.state
    grads = [p.grad for p in model.parameters()]
    return look(own) + repr((generator, grads, loader._place.__dict__))


@pytest.mark.parametrize("rule", [dl.optim.SGD, dl.optim.Adam])
@pytest.mark.parametrize("capture", [False, "auto"])
def test_a_rate_finder_suggests_a_rate_and_puts_everything_back(rule, capture):
    rate = schedulers.WarmUp(schedulers.ReduceOnPlateau(0.05), 2)
    own = training(lr=rate, rule=rule)
    fit(own, epochs=1)
    own[0].zero_grad()
    before, finder = everything_of(own), RateFinder()
    history = fit(own, [finder], epochs=99, capture=capture)
    assert everything_of(own) == before
    assert own[1].groups[0].lr is rate
    assert history == dl.History()
    assert 1e-4 < finder.rate < 10
    assert f"{finder.rate:.3g}" in finder.reason
    assert len(finder.rates) == len(finder.losses) <= 100
    np.testing.assert_allclose(np.diff(np.log(finder.rates)), math.log(1e7) / 99)


def test_a_schedule_without_a_memory_is_the_same_object_after_a_rate_finder():
    rate = schedulers.CosineDecay(0.05, 100)
    own = training(lr=rate)
    fit(own, [RateFinder()], epochs=99)
    assert own[1].groups[0].lr is rate


def test_the_suggested_rate_is_where_the_loss_falls_fastest():
    finder = RateFinder(1e-3, 1.0, 7)
    finder.rates = np.geomspace(1e-3, 1.0, 7).tolist()
    finder.losses = [5.0, 4.9, 4.5, 3.0, 1.5, 1.4, 3.0]
    assert finder.rate == finder.rates[3]
    finder.losses = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    with pytest.raises(RuntimeError, match="the loss fell at none of the rates"):
        finder.rate  # noqa: B018


def test_a_rate_finder_survives_a_loss_that_becomes_infinite():
    w = dl.Tensor(np.ones(1), requires_grad=True)
    own = (lambda x: dl.exp(w * 50) * dl.Tensor(x)), dl.optim.SGD([w]), (np.ones(4), np.zeros(4))
    finder = RateFinder(1e-3, 1e5, 30)
    assert fit(own, [finder], steps=99).step_loss == []
    assert w.data.tolist() == [1.0]
    assert own[1].lr == 0.01


def test_a_rate_finder_leaves_other_callbacks_as_they_were():
    own, averaging, stop = training(), Average(0.9), EarlyStopping("loss", patience=99)
    history = fit(own, [averaging, stop], epochs=2)
    before = repr([stop.state_dict(), averaging.state_dict()])
    fit(own, [RateFinder(), averaging, stop], epochs=20, history=history)
    assert repr([stop.state_dict(), averaging.state_dict()]) == before


def test_an_average_after_a_rate_finder_begins_anew():
    whole, own, alike, averaging = training(), training(), Average(0.9), Average(0.9)
    history, other = fit(whole, epochs=1), fit(own, epochs=1)
    fit(own, [RateFinder(), averaging], epochs=20, history=other)
    fit(whole, [alike], epochs=1, history=history)
    fit(own, [averaging], epochs=1, history=other)
    assert repr(averaging.state_dict()) == repr(alike.state_dict())


def test_a_checkpoint_beside_a_rate_finder_is_refused(tmp_path):
    own = training()
    with pytest.raises(ValueError, match="RateFinder: leave Checkpoint out"):
        fit(own, [Checkpoint(tmp_path / "run.ckpt"), RateFinder()], epochs=1)
    assert own[1].t == 0


@pytest.mark.parametrize("seed", range(40))
def test_noise_does_not_choose_the_rate(seed):
    """At rates near zero the loss only changes with the batch, most in the first means."""
    noise = np.random.default_rng(seed).normal(0, 0.2, 100)
    finder, total = RateFinder(), 0.0
    finder.rates = finder.tried.tolist()
    for k, rate in enumerate(finder.rates):
        loss = 2.0 - 0.5 * min(max(math.log10(rate) + 3, 0.0), 2.5) + noise[k]
        total = 0.9 * total + 0.1 * loss
        finder.losses.append(total / (1 - 0.9 ** (k + 1)))
    assert 1e-3 < finder.rate < 1


def test_a_rate_finder_that_ended_early_says_so():
    finder = RateFinder()
    fit(training(), [finder], steps=4)
    with pytest.raises(
        RuntimeError, match=r"it ended after 4 rates, at 1.63e-06, which is too ear"
    ):
        finder.rate  # noqa: B018


def test_a_rate_finder_is_plotted():
    mpl.use("Agg")
    from matplotlib import pyplot

    finder = RateFinder()
    with pytest.raises(RuntimeError, match="RateFinder hasn't run yet"):
        finder.plot()
    fit(training(), [finder], epochs=99)
    axes = finder.plot()
    try:
        assert axes.get_xscale() == "log"
        line, mark = axes.get_lines()
        assert line.get_ydata().tolist() == finder.losses
        assert set(mark.get_xdata()) == {finder.rate}
        assert axes.get_title().replace("\n", " ") == finder.reason
    finally:
        pyplot.close("all")


# --- wrong arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(3), TypeError, "EarlyStopping: monitor must be a name"),
        (lambda: EarlyStopping(mode="low"), ValueError, "EarlyStopping: mode"),
        (lambda: EarlyStopping(patience=0), ValueError, "EarlyStopping: patience"),
        (lambda: EarlyStopping(min_delta=-1), ValueError, "EarlyStopping: min_delta"),
        (lambda: EarlyStopping(restore_best=1), TypeError, "EarlyStopping: restore_best"),
        (lambda: Checkpoint("a", every=0), ValueError, "Checkpoint: every"),
        (lambda: Checkpoint("a", best="loss"), TypeError, "Checkpoint: best"),
        (lambda: Checkpoint(None), TypeError, "Checkpoint: path, the first argument, must be"),
        (lambda: CSVLogger(3), TypeError, "CSVLogger: path, the first argument, must be"),
        (lambda: ClipGradNorm(-1), ValueError, "ClipGradNorm: max_norm"),
        (lambda: Average(1), ValueError, "Average: decay"),
        (lambda: RateFinder(0), ValueError, "RateFinder: low"),
        (lambda: RateFinder(1, 0.1), ValueError, "RateFinder: low must be below high"),
        (lambda: RateFinder(steps=2), ValueError, "RateFinder: steps"),
    ],
)
def test_a_wrong_argument_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def hooked(callback, losses=(), trained=False):
    """A Training that the callback has seen begin, with these losses; the callback."""
    model, data = nn.Dense(1, 1, rng=0), dl.data.DataLoader(X[:4, :1], X[:4, :1], 4, rng=0)
    at = Training(model, dl.optim.SGD(model), dl.History(), data, (callback,), loss=1.0)
    callback.on_begin(at)
    if trained:
        fit((model, at.optimizer, data), epochs=1)
    at.history.loss[:], at.step = losses, len(losses)
    return at, callback


def stopping(losses):
    """An EarlyStopping that has seen all of these losses but the last one."""
    at, stop = hooked(EarlyStopping("loss", patience=1), losses[:-1])
    stop.on_epoch(at)
    at.model.bias.data = [1.0]
    at.history.loss[:], at.epoch = losses, len(losses)
    return at, stop


@FAILURES
@pytest.mark.parametrize(
    ("prepare", "call"),
    [
        pytest.param(lambda: stopping([2.0, 1.0]), lambda at, c: c.on_epoch(at), id="better"),
        pytest.param(lambda: stopping([2.0, 3.0]), lambda at, c: c.on_epoch(at), id="the end"),
        pytest.param(
            lambda: stopping([2.0, 3.0]),
            lambda at, c: c.on_begin(Training(at.model, at.optimizer, dl.History(), at.data)),
            id="a new training",
        ),
        pytest.param(
            lambda: hooked(Average(0.9)),
            lambda at, c: c.load_state_dict({"average": {"weight": [[2.0]], "bias": [3.0]}}),
            id="a saved average",
        ),
        pytest.param(
            lambda: hooked(Average(0.9)), lambda at, c: c.load_state_dict({}), id="no average"
        ),
        pytest.param(lambda: hooked(RateFinder()), lambda at, c: c.on_step(at), id="a rate"),
        pytest.param(
            lambda: hooked(RateFinder(), [1.0], trained=True),
            lambda at, c: c.on_end(at),
            id="the end of a rate finder",
        ),
    ],
)
def test_a_hook_that_is_interrupted_or_lacks_memory_changes_all_or_nothing(failures, prepare, call):
    def look(x):
        at, callback = x
        names = (
            "best",
            "best_epoch",
            "stopped_epoch",
            "_bad",
            "_weights",
            "rates",
            "losses",
            "_mean",
        )
        attributes = [vars(callback).get(name) for name in names]
        parts = callback, at.model, at.optimizer, at.data
        return attributes, vars(at.history), [part.state_dict() for part in parts]

    assert_all_or_nothing(failures, prepare, lambda x: call(*x), look, every=7)


def test_every_callback_is_short():
    from inspect import getsource

    from code_lines import code_lines

    classes = [c for c in vars(callbacks).values() if isinstance(c, type)]
    own = [c for c in classes if issubclass(c, Callback) and c is not Callback]
    assert len(own) == 7
    assert max(code_lines(getsource(c)) for c in own) < 40


def test_a_checkpoint_refuses_a_file_of_weights_alone_at_once():
    with pytest.raises(ValueError, match=r"Checkpoint: .*\.safetensors .*give path another"):
        Checkpoint("best.safetensors", best=True)
