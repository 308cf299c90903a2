"""When fit calls the hooks of callbacks, and what their answers do."""

import functools
import itertools
import math
import pickle

import numpy as np
import pytest
from fitting import X, Y, by_hand, fit, problem, weights

import minidl as dl
from minidl._fit.hooks import hooks_of, name_of
from minidl.callbacks import Callback
from minidl.schedulers import ReduceOnPlateau
from minidl.training import CallbackError

# --- functions ----------------------------------------------------------------------------------


def test_callbacks_get_epoch_and_history_in_order():
    calls = []

    def first(epoch, history):
        calls.append(("first", epoch, len(history.loss), len(history.validation)))

    def second(epoch, history):
        calls.append(("second", epoch, len(history.step_loss)))
        return False

    fit(*problem(), epochs=2, callbacks=[first, second], validation=(X, Y))
    expected = [("first", 1, 1, 1), ("second", 1, 3), ("first", 2, 2, 2), ("second", 2, 6)]
    assert calls == expected


def test_a_callback_that_returns_true_ends_the_training_after_all_have_been_called():
    calls = []
    stop = [lambda epoch, history: epoch == 2, lambda epoch, history: calls.append(epoch)]
    history = fit(*problem(), epochs=5, callbacks=stop)
    assert calls == [1, 2]
    assert len(history.loss) == 2
    assert not history.interrupted


def test_callbacks_from_a_generator_are_called_each_epoch():
    calls = []
    fit(*problem(), callbacks=(f for f in [lambda epoch, history: calls.append(epoch)]))
    assert calls == [1, 2, 3]


class Verdict:
    """A callback, as an object, that returns a value after the second epoch."""

    def __init__(self, value):
        self.value, self.epochs = value, []

    def __call__(self, epoch, history):
        self.epochs.append(epoch)
        return self.value if epoch == 2 else None

    def __repr__(self):
        return "the verdict"


@pytest.mark.parametrize(
    ("value", "epochs"),
    [
        (True, 2),
        (np.True_, 2),
        (np.array(True), 2),
        (np.mean([1.0]) < 2, 2),
        (False, 4),
        (np.False_, 4),
        (np.array(False), 4),
        (None, 4),
    ],
    ids=repr,
)
def test_a_truth_value_of_python_or_numpy_decides_whether_the_training_ends(value, epochs):
    history = fit(*problem(), epochs=4, callbacks=[Verdict(value)])
    assert len(history.loss) == epochs
    assert history.interrupted is False


async def asynchronous(epoch, history):
    return True


@pytest.mark.parametrize(
    "value",
    [
        *(1, 0, 1.0, "stop", "", [], dl.Tensor(1.0), np.array([True]), np.array([True, False])),
        *(np.ma.masked, np.int64(1), NotImplemented),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_other_verdict_is_an_error_after_the_epoch_that_keeps_the_record(value):
    (model, optimizer, loader), (twin, same, batches) = problem(), problem()
    other = Verdict(None)
    with pytest.raises(TypeError, match="after epoch 2 the callback the verdict returned") as error:
        fit(model, optimizer, loader, epochs=4, callbacks=[Verdict(value), other])
    assert f"({type(value).__name__}). It must return True to end" in str(error.value)
    assert type(error.value) is CallbackError
    assert other.epochs == [1, 2]
    history = error.value.history
    assert (history.loss, history.step_loss, history.lr) == by_hand(twin, same, batches, epochs=2)
    assert weights(model) == weights(twin)
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.history) == (str(error.value), history)


def test_a_coroutine_function_as_a_callback_is_named():
    with pytest.raises(CallbackError, match=r"the callback asynchronous returned .*\(coroutine\)"):
        fit(*problem(), callbacks=[asynchronous])


@pytest.mark.parametrize(
    ("callbacks", "advice"),
    [
        (None, r"leave it out or give \[\] for none"),
        (print, r"put it in a list, callbacks=\[...\]"),
        ([Verdict], r"make an object of it: Verdict\(...\)"),
        (Verdict, "got <class"),
        (["print"], "got .'print'"),
        (3, "got 3"),
    ],
)
def test_callbacks_of_the_wrong_kind_are_an_error_that_says_what_to_give(callbacks, advice):
    with pytest.raises(TypeError, match=rf"(?s)fit: callbacks must be a list .*{advice}"):
        fit(*problem(), callbacks=callbacks)


# --- objects with hooks -------------------------------------------------------------------------


class Log(Callback):
    """Writes down which hooks are called, and what they see."""

    def __init__(self):
        self.calls = []

    def on_begin(self, training):
        self.calls.append(("begin", training.epoch, training.step))

    def on_backward(self, training):
        assert not math.isnan(training.loss)
        self.calls.append(("backward", training.epoch, training.step))

    def on_step(self, training):
        assert training.loss == training.history.step_loss[-1]
        self.calls.append(("step", training.epoch, training.step))

    def on_epoch(self, training):
        assert len(training.history.loss) == training.epoch
        self.calls.append(("epoch", training.epoch, training.step))

    def on_end(self, training):
        self.calls.append(("end", training.epoch, training.step))


@pytest.mark.parametrize("capture", [False, "auto", True])
def test_hooks_are_called_in_order_with_the_numbers_of_epoch_and_step(capture):
    log, (model, optimizer, loader), (twin, same, batches) = Log(), problem(), problem()
    fit(model, optimizer, loader, epochs=2, callbacks=[log], capture=capture)
    steps = [
        [("backward", e, s), ("step", e, s)]
        for e, s in zip([1] * 3 + [2] * 3, range(1, 7), strict=True)
    ]
    first, second = (list(itertools.chain(*part)) for part in (steps[:3], steps[3:]))
    expected = [("begin", 1, 0), *first, ("epoch", 1, 3), *second, ("epoch", 2, 6), ("end", 2, 6)]
    assert log.calls == expected
    fit(twin, same, batches, epochs=2, capture=False)
    assert weights(model) == weights(twin)
    assert repr(optimizer.state_dict()) == repr(same.state_dict())


class Duck:
    """An object with one hook, and no base class."""

    def __init__(self, at):
        self.at = at

    def on_step(self, training):
        return training.step == self.at


def test_any_object_with_a_hook_serves_and_may_end_the_training():
    history = fit(*problem(), callbacks=[Duck(5)])
    assert (len(history.step_loss), len(history.loss)) == (5, 1)


class Bad(Callback):
    """Returns what is no truth value."""

    def on_step(self, training):
        return "stop"


def test_a_wrong_verdict_after_a_step_is_named():
    with pytest.raises(TypeError, match=r"after step 1 the callback Bad.on_step returned 'stop'"):
        fit(*problem(), callbacks=[Bad()])


class Last(Callback):
    """Comes after all others, and after plateaus."""

    after_others = True

    def __init__(self, seen):
        self.seen = seen

    def on_epoch(self, training):
        self.seen.append("last")


def test_hooks_are_those_that_a_class_defines_and_not_its_base():
    duck, last, function = Duck(1), Last([]), print
    hooks = hooks_of([duck, last, function])
    sources = {name: [hook.source for hook in found] for name, found in hooks.items() if found}
    assert sources == {
        "on_step": [duck.on_step],
        "on_epoch": [function],
        "after_others": [last.on_epoch],
    }


def test_a_hook_after_others_comes_after_plateaus():
    rate, seen = ReduceOnPlateau(0.1), []
    note = lambda epoch, history: seen.append(rate.observations)  # noqa: E731
    fit(*problem(lr=rate), epochs=2, callbacks=[Last(seen), note])
    assert seen == [0, "last", 1, "last"]


def test_hooks_end_in_an_error_too():
    log = Log()
    with pytest.raises(KeyError):
        fit(*problem(), callbacks=[log, lambda epoch, history: {}["no"]])
    assert log.calls[-1][0] == "end"


class Named:
    """A callable whose name is no text."""

    def __getattr__(self, name):
        if name == "__qualname__":
            return 7
        raise AttributeError(name)

    def __call__(self, epoch, history):
        return epoch == 1


def test_a_hook_has_a_name_whatever_it_is_made_of():
    wrapped = functools.lru_cache(lambda epoch, history: None)
    assert name_of(wrapped).endswith("<lambda>")
    assert name_of(functools.partial(functools.partial(print, 1), 2)) == "print"
    first = lambda: 1  # noqa: E731
    second = lambda: 2  # noqa: E731
    assert name_of(first) != name_of(second)
    model, optimizer, loader = problem()
    history = fit(model, optimizer, loader, callbacks=[Named()])
    assert (len(history.loss), history._ended) == (1, "Named")
