"""fit against an explicit loop, and everything that interrupts it."""

import copy
import functools
import itertools
import math
import os
import signal
import threading

import interrupting
import matplotlib as mpl
import numpy as np
import pytest
from fitting import (
    PARTS,
    X,
    Y,
    acting,
    by_hand,
    fit,
    interrupt,
    press_with_the_keyboard,
    problem,
    weights,
)

import minidl as dl
from minidl import evaluation, nn
from minidl._fit import hooks, loop, plateaus, step
from minidl._progress import Report
from minidl.data import DataLoader
from minidl.data.batches import OneShotError
from minidl.schedulers import CosineDecay, ReduceOnPlateau, WarmUp
from minidl.training import evaluate


@pytest.fixture(autouse=True)
def _ctrl_c_raises():
    """SIGINT as Python handles it, also where the tests are run with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Probe(nn.Module):
    """A line that records in which mode it is called, and whether there is a graph."""

    def __init__(self):
        self.line, self.drop = nn.Dense(1, 1, rng=0), nn.Dropout(0.5, rng=0)
        self.calls = []

    def forward(self, x):
        y = self.drop(self.line(x))
        self.calls.append((len(x), self.training, self.drop.training, y.requires_grad))
        return y


# --- what it computes ---------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [0.05, CosineDecay(0.05, 8)], ids=["constant", "schedule"])
@pytest.mark.parametrize("rule", [dl.optim.SGD, dl.optim.Adam])
@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_fit_is_the_explicit_loop_bit_for_bit(batch_size, rule, lr):
    model, twin = problem(batch_size, rule, lr), problem(batch_size, rule, lr)
    history = fit(*model)
    assert (history.loss, history.step_loss, history.lr) == by_hand(*twin)
    assert weights(model[0]) == weights(twin[0])
    assert model[1].t == twin[1].t == len(history.step_loss)


@pytest.mark.parametrize(("batch_size", "steps"), [(None, 1), (1, 10), (4, 3), (10, 1), (99, 1)])
def test_the_history_has_an_entry_for_each_step_and_epoch(batch_size, steps):
    history = fit(*problem(batch_size), validation=(X, Y))
    assert len(history.step_loss) == len(history.lr) == 3 * steps
    assert len(history.loss) == len(history.validation) == 3
    assert all(type(v) is float for v in history.loss + history.step_loss + history.validation)
    assert history.interrupted is False


def test_a_pair_is_the_whole_set_as_one_batch():
    (model, optimizer, _), (twin, same, whole) = problem(), problem(None)
    assert fit(model, optimizer, (X, Y)).loss == fit(twin, same, whole).loss
    assert weights(model) == weights(twin)


def test_the_loss_of_an_epoch_weighs_batches_by_their_size():
    model, optimizer, loader = problem(4, dl.optim.SGD, lr=0.0)
    history = fit(model, optimizer, loader, epochs=1)
    a, b, c = history.step_loss
    assert history.loss == [pytest.approx((4 * a + 4 * b + 2 * c) / 10, rel=1e-15)]
    assert history.loss[0] == pytest.approx(((model(X).data - Y) ** 2).mean(), rel=1e-6)


def test_the_rate_of_each_step_is_the_schedules():
    schedule = CosineDecay(0.05, 8)
    history = fit(*problem(lr=schedule))
    assert history.lr == [schedule(t) for t in range(9)]


def test_a_model_may_be_any_function():
    w = dl.Tensor([[0.0]], requires_grad=True)
    history = fit(lambda x: x @ w, dl.optim.SGD([w], lr=0.5), (X, 3 * X), epochs=100)
    assert w.item() == pytest.approx(3, abs=1e-4)
    assert history.loss[-1] < 1e-7


# --- validation and modes -----------------------------------------------------------------------


@pytest.mark.parametrize("pair", [True, False])
def test_validation_is_in_evaluation_mode_without_a_graph(pair):
    model = Probe()
    data = (X[:6], Y[:6])
    validation = data if pair else DataLoader(*data, batch_size=4, rng=0)
    history = fit(model, dl.optim.SGD(model), (X, Y), validation=validation, epochs=2)
    training, evaluation = (10, True, True, True), (False, False, False)
    sizes = [6] if pair else [4, 2]
    assert model.calls == 2 * [training, *((n, *evaluation) for n in sizes)]
    expected = ((X[:6] @ model.line.weight.data + model.line.bias.data - Y[:6]) ** 2).mean()
    assert history.validation[-1] == pytest.approx(expected, rel=1e-5)


def fail(*_):
    raise LookupError("something failed")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, None),
        ({"callbacks": [fail]}, LookupError),
        ({"loss": acting(2, fail)}, LookupError),
        ({"loss": acting(2, press_with_the_keyboard)}, None),
        ({"loss": lambda p, t: dl.losses.mse(p, t) * math.nan}, dl.DivergenceError),
        ({"validation": (X, np.ones(10))}, ValueError),
    ],
    ids=["none", "callback", "loss", "interrupt", "divergence", "validation"],
)
def test_the_mode_of_every_module_and_the_signal_handler_are_restored(options, error):
    model = Probe().eval()
    model.line.train()
    before = signal.getsignal(signal.SIGINT)
    options = {"validation": (X, Y), **options}
    try:
        fit(model, dl.optim.SGD(model), (X, Y), **options)
        raised = None
    except Exception as e:
        raised = type(e)
    assert raised is error
    assert (model.training, model.line.training, model.drop.training) == (False, True, False)
    assert model.calls[0] == (10, True, True, True)
    assert signal.getsignal(signal.SIGINT) is before
    assert (model.line(X)).requires_grad


def test_evaluate_weighs_batches_and_restores_the_mode():
    model = Probe()
    loss = dl.training.evaluate(model, DataLoader(X, Y, 4, rng=0), dl.losses.mse)["loss"]
    whole = dl.losses.mse(model.line(X), Y).item()
    assert loss == pytest.approx(whole, rel=1e-6)
    assert model.training
    assert model.drop.training
    assert [call[1:] for call in model.calls] == [(False, False, False)] * 3


# --- forms of data ------------------------------------------------------------------------------


class Anew:
    """An iterable of batches that begins anew each time and has no length."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def tensors(batches):
    return [(dl.Tensor(x, dtype="float32"), dl.Tensor(y, dtype="float32")) for x, y in batches]


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize(
    ("form", "parts"),
    [
        (list, PARTS),
        (tuple, PARTS),
        (Anew, PARTS),
        (tensors, PARTS),
        (lambda batches: [[x, y] for x, y in batches], PARTS),
        (lambda batches: [(x.tolist(), y.tolist()) for x, y in batches], PARTS),
        (lambda batches: dict(enumerate(batches)).values(), PARTS),
        (list, PARTS[:2]),
        (Anew, PARTS[:2]),
        (tensors, PARTS[:2]),
        (lambda batches: [(x.tolist(), y.tolist()) for x, y in batches], PARTS[:2]),
        (list, PARTS[:1]),
        (lambda batches: (batches[0],), PARTS[:1]),
    ],
)
def test_fit_trains_on_the_batches_of_an_iterable_in_order(form, parts, validated):
    (model, optimizer, _), (twin, same, _) = problem(), problem()
    options = {"validation": form(parts)} if validated else {}
    history = fit(model, optimizer, form(parts), epochs=2, **options)
    expected = []
    for _ in range(2):
        losses = []
        for x, y in parts:
            same.zero_grad()
            loss = dl.losses.mse(twin(x), y)
            loss.backward()
            same.step()
            losses.append(loss.item())
        samples = [len(x) for x, _ in parts]
        expected.append(np.dot(losses, samples) / sum(samples))
        if validated:
            x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            mean = ((twin(x).data - y) ** 2).mean()
            assert history.validation[len(expected) - 1] == pytest.approx(mean, rel=1e-5)
            assert evaluate(twin, form(parts), dl.losses.mse)["loss"] == pytest.approx(
                mean, rel=1e-5
            )
    assert history.loss == pytest.approx(expected, rel=1e-6)
    assert weights(model) == weights(twin)


@pytest.mark.parametrize(
    "pair",
    [
        (X, Y),
        [X, Y],
        (X.tolist(), Y.tolist()),
        [X.tolist(), Y.tolist()],
        (list(X), list(Y)),
        [tuple(X), tuple(Y)],
        (dl.Tensor(X, dtype="float64"), Y),
    ],
)
def test_a_pair_of_arrays_or_rows_is_one_batch(pair):
    (model, optimizer, _), (twin, same, whole) = problem(), problem(None)
    assert fit(model, optimizer, pair).loss == fit(twin, same, whole).loss
    assert weights(model) == weights(twin)


def test_a_list_of_two_lists_of_numbers_is_x_and_y():
    model = nn.Dense(2, 2, rng=0)
    history = fit(model, dl.optim.SGD(model, lr=0.0), [[[1.0, 2.0], [3.0, 4.0]]] * 2, epochs=1)
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    expected = ((x @ model.weight.data - x) ** 2).mean()
    assert history.loss == [pytest.approx(expected, rel=1e-5)]
    identity = lambda x: dl.Tensor(x, dtype="float64")  # noqa: E731
    assert evaluate(identity, [[1.0, 2.0], [3.0, 4.0]], dl.losses.mse)["loss"] == 4.0
    assert evaluate(identity, [(1.0, 2.0), (3.0, 4.0)], dl.losses.mse)["loss"] == 4.0
    assert evaluate(identity, ((1, 2), (3, 4)), dl.losses.mse)["loss"] == 4.0


@pytest.mark.parametrize(
    "data", [tuple(PARTS[:2]), [[X, Y], [X, Y]], [[X, Y], (X, Y)], ([X, X, X], [Y, Y, Y])]
)
def test_two_pairs_that_may_be_batches_or_x_and_y_are_an_error(data):
    model, optimizer, _ = problem()
    before = weights(model)
    message = r"two pairs of arrays may be two batches, .*\[\(x1, y1\), \(x2, y2\)\].*np.stack"
    for call in (
        lambda: fit(model, optimizer, data),
        lambda: fit(model, optimizer, (X, Y), validation=data),
        lambda: evaluate(model, data, dl.losses.mse),
    ):
        with pytest.raises(TypeError, match=message):
            call()
    assert weights(model) == before


@pytest.mark.parametrize("form", [iter, lambda parts: (part for part in parts), enumerate, zip])
def test_a_one_shot_iterator_serves_one_epoch(form):
    if form is zip:
        form = lambda parts: zip(*zip(*parts, strict=True), strict=True)  # noqa: E731
    if form is enumerate:
        form = functools.partial(map, lambda part: part)
    (model, optimizer, loader), (twin, same, _) = problem(), problem()
    before, source = weights(model), form(PARTS)
    for data in ({"data": source}, {"data": loader, "validation": source}):
        with pytest.raises(
            OneShotError, match=r"is a one-shot iterator .* one epoch, not 2.*a list"
        ):
            fit(model, optimizer, **data, epochs=2)
    assert issubclass(OneShotError, TypeError)
    assert issubclass(OneShotError, ValueError)
    assert weights(model) == before
    history = fit(model, optimizer, source, epochs=1, validation=form(PARTS))
    assert history.step_loss == fit(twin, same, PARTS, epochs=1).step_loss
    assert len(history.validation) == 1
    assert weights(model) == weights(twin)
    with pytest.raises(ValueError, match=r"fit: data has no batches.*must begin anew"):
        fit(model, optimizer, source, epochs=1)


class Exhausted:
    """An iterable that begins anew only seemingly."""

    def __init__(self, batches):
        self.batches = iter(batches)

    def __iter__(self):
        yield from self.batches


@pytest.mark.parametrize("empty", [[], (), Anew([]), iter([]), Exhausted([])])
def test_data_without_batches_are_a_value_error(empty):
    model, optimizer, loader = problem()
    before = weights(model)
    with pytest.raises(ValueError, match="fit: data has no batches"):
        fit(model, optimizer, empty, epochs=1)
    assert weights(model) == before
    with pytest.raises(ValueError, match="fit: validation has no batches"):
        fit(model, optimizer, loader, epochs=1, validation=Exhausted([]))
    with pytest.raises(ValueError, match="evaluate: data has no batches"):
        evaluate(model, empty, dl.losses.mse)


def test_an_iterable_that_is_exhausted_after_one_epoch_is_found_in_the_second():
    model, optimizer, _ = problem()
    with pytest.raises(ValueError, match=r"has no batches. If it had some before"):
        fit(model, optimizer, Exhausted(PARTS), epochs=2)
    assert optimizer.t == 3
    assert model.training


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        (X, TypeError, r"must be a pair \(x, y\), .*got ndarray of shape \(10, 1\)"),
        ((X, Y, -np.ones(10)), ValueError, "sample_weight must be finite and"),
        ((X, Y, np.ones(9)), ValueError, "sample_weight must have a weight for each of 10 samples"),
        ((X,), TypeError, "got a tuple of 1"),
        ({"x": X, "y": Y}, TypeError, "got dict"),
        ("xy", TypeError, "got str"),
        ((X, Y[:3]), ValueError, "x has 10 samples but y has 3"),
        ((X[:0], Y[:0]), ValueError, "hold no samples"),
        ((1.0, 2.0), ValueError, "y must hold samples along its first axis"),
        ((np.ma.array(X, mask=X > 0), Y), TypeError, r"x holds a masked array: .*x.filled\(0.0\)"),
        ((X, np.ma.array(Y, mask=X > 0)), TypeError, "y holds a masked array"),
    ],
)
def test_a_batch_that_is_no_pair_of_arrays_is_named_by_its_number(batch, error, message):
    model, optimizer, _ = problem()
    before = weights(model)
    batches = [PARTS[0], PARTS[1], batch]
    with pytest.raises(error, match=f"fit: data: batch 3:? .*{message}"):
        fit(model, optimizer, batches)
    with pytest.raises(error, match=f"fit: validation: batch 3:? .*{message}"):
        fit(model, optimizer, (X, Y), validation=tuple(batches))
    assert weights(model) == before  # lists and tuples are checked before the training
    with pytest.raises(error, match=f"evaluate: data: batch 3:? .*{message}"):
        evaluate(model, Anew(batches), dl.losses.mse)
    with pytest.raises(error, match=f"fit: data: batch 3:? .*{message}"):
        fit(model, optimizer, Anew(batches))
    assert optimizer.t == 2
    assert model.training


@pytest.mark.parametrize("kind", [np.asarray, dl.Tensor, set, list, bytes, lambda x: {"x": x}])
def test_what_is_no_data_is_refused_by_fit_and_evaluate(kind):
    data = kind(range(8)) if kind in (set, list, bytes) else kind(X)
    with pytest.raises(TypeError, match="evaluate: data"):
        evaluate(problem()[0], data, dl.losses.mse)
    with pytest.raises(TypeError, match="fit: data"):
        fit(*problem()[:2], data)


def test_weights_beside_a_pair_or_for_a_loss_without_weights_are_errors_that_say_what_to_do():
    with pytest.raises(TypeError, match=r"tuple of 3; .*DataLoader\(x, y, sample_weight=weight\)"):
        fit(*problem()[:2], (X, Y, np.ones(10)))
    for data in ([(X, Y, np.ones(10))], DataLoader(X, Y, sample_weight=np.ones(10))):
        with pytest.raises(TypeError, match=r"sample weights, but the loss takes none"):
            fit(*problem()[:2], data, loss=lambda p, t: dl.losses.mse(p, t))


# --- modes --------------------------------------------------------------------------------------


def dropping():
    return nn.Sequential(nn.Dense(1, 16, rng=0), nn.Dropout(0.5, rng=0), nn.Dense(16, 1, rng=1))


@pytest.mark.parametrize("switch", ["train", "eval"])
def test_callbacks_and_evaluate_predict_without_dropout_and_fit_restores_the_mode(switch):
    model = dropping()
    getattr(model, switch)()
    seen = []

    def predict(epoch, history):
        inside = evaluate(model, (X, Y), dl.losses.mse)["loss"], history.validation[-1]
        seen.append((np.array_equal(model(X).data, model(X).data), *inside))

    fit(model, dl.optim.SGD(model), (X, Y), validation=(X, Y), callbacks=[predict])
    assert [deterministic for deterministic, *_ in seen] == [True] * 3
    assert all(inside == outside for _, inside, outside in seen)
    assert {m.training for m in model.modules()} == {switch == "train"}
    assert np.array_equal(model(X).data, model(X).data) == (switch == "eval")


def test_a_layer_that_a_callback_adds_is_switched_too():
    model, modes = Probe(), []

    class Spy(nn.Dropout):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    def grow(epoch, history):
        assert not any(module.training for module in model.modules())
        if epoch == 1:
            model.drop = nn.Sequential(model.drop, Spy(0.5, rng=0))

    fit(model, dl.optim.SGD(model), (X, Y), validation=(X, Y), callbacks=[grow])
    assert modes == [True, False] * 2
    assert {m.training for m in model.modules()} == {True}


def test_the_method_of_a_module_as_the_model_is_switched_like_the_module():
    model = Probe()
    fit(model.forward, dl.optim.SGD(model), (X, Y), validation=(X, Y), epochs=1)
    assert [call[1:3] for call in model.calls] == [(True, True), (False, False)]


# --- the optimizer's parameters -----------------------------------------------------------------


def test_the_optimizer_of_another_model_is_an_error_that_names_both():
    model, (other, optimizer, loader) = nn.MLP([1, 6, 1], "tanh", rng=0), problem()
    before = weights(model), weights(other)
    message = (
        r"these parameters are not the model's: Adam updates .*\(1, 6\).*this MLP.*Adam\(model"
    )
    for data, options in ((loader, {}), (loader, {"loss": acting(1, fail)})):
        with pytest.raises(ValueError, match=message):
            fit(model, optimizer, data, **options)
    with pytest.raises(ValueError, match="not the model's"):
        fit(copy.deepcopy(other), optimizer, loader)
    with pytest.raises(ValueError, match="not the model's"):
        fit(model.forward, optimizer, loader)
    assert (weights(model), weights(other)) == before


class Scaled(nn.Module):
    """A squared error with a factor that is learned."""

    def __init__(self):
        self.factor = dl.Tensor(1.0, requires_grad=True)

    def forward(self, prediction, target):
        return dl.losses.mse(self.factor * prediction, target)


def test_an_optimizer_may_have_parts_of_the_model_and_more():
    model, loss, extra = nn.MLP([1, 6, 1], "tanh", rng=0), Scaled(), dl.Tensor([1.0], True)
    first, *rest = model.parameters()
    before = [p.data.copy() for p in (first, *rest)]
    fit(model, dl.optim.SGD([first, loss.factor, extra], lr=0.1), (X, Y), loss=loss)
    assert not np.array_equal(first.data, before[0])
    assert all(np.array_equal(p.data, b) for p, b in zip(rest, before[1:], strict=True))
    assert loss.factor.item() != 1
    assert extra.item() == 1


def test_a_frozen_model_may_be_trained_by_parameters_beside_it():
    model, loss = nn.Dense(1, 1, rng=0), Scaled()
    for p in model.parameters():
        p.requires_grad = False
    before = weights(model)
    fit(model, dl.optim.SGD(loss, lr=0.1), (X, Y), loss=loss)
    assert loss.factor.item() != 1
    assert weights(model) == before


# --- progress -----------------------------------------------------------------------------------


# --- Ctrl-C -------------------------------------------------------------------------------------


@pytest.mark.parametrize("press", [interrupt, lambda: os.kill(os.getpid(), signal.SIGINT)])
@pytest.mark.parametrize("at", [1, 5, 9])
def test_ctrl_c_finishes_the_running_step_and_returns_what_was_learned(at, press):
    model, optimizer, loader = problem()
    twin, same, batches = problem()
    before = signal.getsignal(signal.SIGINT)
    history = fit(model, optimizer, loader, loss=acting(at, press))
    epoch_losses, step_losses, rates = by_hand(twin, same, batches, steps=at)
    assert history.interrupted
    assert (history.step_loss, history.lr) == (step_losses, rates)
    assert history.loss == epoch_losses[: (at - 1) // 3]
    assert weights(model) == weights(twin)
    assert optimizer.t == at
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("at", [1, 3])
def test_ctrl_c_between_two_epochs_ends_the_training_too(at):
    model, optimizer, loader = problem()
    press = [lambda epoch, history: interrupt() if epoch == at else None]
    history = fit(model, optimizer, loader, callbacks=press, epochs=3)
    assert history.interrupted
    assert len(history.loss) == at
    assert len(history.step_loss) == len(history.lr) == optimizer.t
    assert np.isfinite(np.concatenate([p.data.ravel() for p in model.parameters()])).all()


def test_a_second_ctrl_c_interrupts_at_once():
    model, optimizer, loader = problem()
    reached = []

    def press_twice():
        interrupt()
        reached.append("after the first")
        interrupt()
        reached.append("after the second")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(model, optimizer, loader, loss=acting(5, press_twice))
    assert reached == ["after the first"]
    assert optimizer.t == 4
    assert signal.getsignal(signal.SIGINT) is before


def test_a_user_defined_signal_handler_is_restored():
    def own(number, frame):
        raise AssertionError("fit did not hold the signal")

    before = signal.signal(signal.SIGINT, own)
    try:
        assert fit(*problem(), loss=acting(2, interrupt)).interrupted
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("at", [1, 5])
def test_a_keyboard_interrupt_in_the_model_leaves_whole_steps(at):
    model, optimizer, loader = problem()
    twin, same, batches = problem()
    history = fit(model, optimizer, loader, loss=acting(at, press_with_the_keyboard))
    _, step_losses, rates = by_hand(twin, same, batches, steps=at - 1)
    assert history.interrupted
    assert history.step_loss == step_losses
    assert history.lr == rates
    assert weights(model) == weights(twin)


def test_fit_works_in_another_thread():
    (model, optimizer, loader), twin = problem(), problem()
    histories = []
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: histories.append(fit(model, optimizer, loader)))
    thread.start()
    thread.join()
    assert histories[0].loss == by_hand(*twin)[0]
    assert weights(model) == weights(twin[0])
    assert signal.getsignal(signal.SIGINT) is before


def all_at_once():
    model = dropping().eval()
    return model, dl.optim.SGD(model, lr=ReduceOnPlateau(0.1, patience=0)), []


@pytest.fixture
def _interrupt_training_alone(monkeypatch):
    """Interrupt the bytecodes of fit and evaluate alone."""
    own = (dl.training, evaluation, hooks, loop, plateaus, step)
    files = {module.__file__ for module in own}
    counts = lambda self, code: code.co_filename in files  # noqa: E731
    monkeypatch.setattr(interrupting.Interrupt, "counts", counts)


@pytest.mark.usefixtures("_interrupt_training_alone")
def test_an_interrupt_at_any_bytecode_restores_modes_and_handler_and_leaves_a_whole_record():
    def train(prepared):
        model, optimizer, seen = prepared
        keep = [lambda epoch, history: seen.append(history) if not seen else None]
        data = DataLoader(X[:4], Y[:4], 2, rng=0)
        if fit(model, optimizer, data, epochs=2, validation=(X, Y), callbacks=keep).interrupted:
            raise KeyboardInterrupt

    before, errors, count = signal.getsignal(signal.SIGINT), np.geterr(), 0
    for model, optimizer, seen in interrupting.each_interruption(all_at_once, train, every=23):
        count += 1
        assert signal.getsignal(signal.SIGINT) is before
        assert np.geterr() == errors
        assert not any(module.training for module in model.modules())
        for history in seen:
            assert len(history.step_loss) == len(history.lr) == optimizer.t
            assert len(history.loss) == len(history.epoch_ends)
            assert len(history.loss) - len(history.validation) in (0, 1)
    assert count > 100
    assert len(seen[0].loss) == 2


@pytest.mark.usefixtures("_interrupt_training_alone")
def test_an_interrupt_at_any_bytecode_of_evaluate_restores_the_modes():
    for model in interrupting.each_interruption(
        dropping, lambda model: evaluate(model, (X, Y), dl.losses.mse)
    ):
        assert all(module.training for module in model.modules())


def test_ctrl_c_in_the_last_callback_is_recorded():
    press = [lambda epoch, history: interrupt() if epoch == 3 else None]
    assert fit(*problem(), callbacks=press).interrupted


@pytest.mark.parametrize("place", ["enter", "leave"])
def test_ctrl_c_while_the_handler_is_set_or_restored_is_neither_lost_nor_splits_anything(
    place, monkeypatch
):
    def own(number, frame):
        raise KeyboardInterrupt

    from minidl import training

    class Bar:
        """Presses Ctrl-C twice where fit has just set its handler, or is about to remove it."""

        def __enter__(self):
            if place == "enter":
                interrupt()
                interrupt()
            return Report()

        def __exit__(self, *_):
            if place == "leave":
                interrupt()
                interrupt()

    monkeypatch.setattr(training, "showing", lambda *_: Bar())
    before = signal.signal(signal.SIGINT, own)
    try:
        try:
            outcome = "interrupted" if fit(*problem(), progress=True).interrupted else "missed"
        except KeyboardInterrupt:
            outcome = "raised"
        assert outcome == ("raised" if place == "enter" else "interrupted")
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.default_int_handler])
def test_the_systems_handler_and_pythons_are_restored(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        assert fit(*problem(), loss=acting(2, interrupt)).interrupted
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_a_training_in_a_callback_and_the_one_around_it():
    inner = []

    def train(epoch, history):
        loss = acting(2, interrupt) if epoch == 2 else dl.losses.mse
        inner.append(fit(*problem(), loss=loss))

    outer = fit(*problem(), epochs=5, callbacks=[train])
    assert [history.interrupted for history in inner] == [False, True]
    assert len(inner[1].step_loss) == 2
    assert outer.interrupted
    assert len(outer.loss) == 2


class Halving:
    """Anything that can zero gradients, step, and has a rate serves as an optimizer."""

    lr = 0.5

    def __init__(self, w):
        self.w = w

    def zero_grad(self):
        self.w.grad = None

    def step(self):
        if self.w.grad is None:
            raise RuntimeError("no gradient")
        with dl.no_grad():
            self.w -= self.lr * self.w.grad


def test_an_optimizer_may_be_any_object_with_its_methods_and_a_rate():
    w, v = dl.Tensor([[0.0]], requires_grad=True), dl.Tensor([[0.0]], requires_grad=True)
    history = fit(lambda x: x @ w, Halving(w), (X, 3 * X), epochs=100)
    assert w.item() == pytest.approx(3, abs=1e-4)
    assert history.lr == [0.5] * 100
    with pytest.raises(RuntimeError, match=r"^no gradient$"):
        fit(lambda x: x @ w, Halving(v), (X, 3 * X))


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "fit: epochs must be a whole number ≥ 1"),
        ({"epochs": -1}, ValueError, "fit: epochs"),
        ({"epochs": 2.5}, TypeError, "fit: epochs"),
        ({"epochs": True}, TypeError, "fit: epochs"),
        ({"epochs": "3"}, TypeError, "fit: epochs"),
        ({"data": X}, TypeError, "fit: data must be a DataLoader or a pair"),
        ({"data": (X,)}, TypeError, "fit: data"),
        ({"data": (X, Y, Y)}, TypeError, "fit: data"),
        ({"data": None}, TypeError, "fit: data"),
        ({"data": "xy"}, TypeError, "fit: data"),
        ({"data": iter([(X, Y)])}, TypeError, "fit: data"),
        ({"data": (X, Y[:3])}, ValueError, "x has 10 samples but y has 3"),
        ({"data": (X, Y.ravel())}, ValueError, r"mse: prediction has shape \(10, 1\)"),
        ({"validation": X}, TypeError, "fit: validation must be a DataLoader or a pair"),
        ({"validation": (X, Y[:3])}, ValueError, "x has 10 samples but y has 3"),
        ({"callbacks": print}, TypeError, "callbacks"),
        ({"callbacks": [print, "text"]}, TypeError, "callbacks"),
        ({"loss": dl.losses.MSE("none")}, ValueError, "one (number|entry)"),
    ],
)
def test_invalid_arguments_are_named_and_nothing_is_changed(options, error, message):
    model, optimizer, loader = problem()
    before = weights(model)
    options = {"data": loader, **options}
    with pytest.raises(error, match=message):
        fit(model, optimizer, **options)
    assert weights(model) == before
    assert optimizer.t == 0


# --- the history --------------------------------------------------------------------------------


@pytest.fixture
def plots():
    """Matplotlib without a window, all figures closed afterwards."""
    mpl.use("Agg")
    from matplotlib import pyplot

    yield
    pyplot.close("all")


def curves(axes):
    return [np.transpose(line.get_data()).tolist() for line in axes.get_lines()]


@pytest.mark.usefixtures("plots")
def test_a_history_plots_itself():
    history = fit(*problem(), validation=(X, Y))
    losses, rates = history.plot()
    steps = range(1, 10)
    assert curves(rates) == [[[s, v] for s, v in zip(steps, history.lr, strict=True)]]
    assert curves(losses) == [
        [[s, v] for s, v in zip(at, values, strict=True)]
        for at, values in [
            (steps, history.step_loss),
            ([3, 6, 9], history.loss),
            ([3, 6, 9], history.validation),
        ]
    ]


@pytest.mark.usefixtures("plots")
@pytest.mark.parametrize("action", [interrupt, press_with_the_keyboard])
def test_the_epochs_of_an_interrupted_history_are_plotted_where_they_ended(action):
    history = fit(*problem(), loss=acting(8, action))
    losses, rates = history.plot()
    assert [[3, history.loss[0]], [6, history.loss[1]]] in curves(losses)
    assert [value for _, value in curves(rates)[0]] == history.lr


@pytest.mark.usefixtures("plots")
def test_a_history_interrupted_in_its_validation_plots_what_it_has():
    calls = acting(8, press_with_the_keyboard)  # the second epoch's validation
    history = fit(*problem(), loss=calls, validation=(X, Y))
    assert (len(history.loss), len(history.validation)) == (2, 1)
    losses, _ = history.plot()
    assert [[3, history.validation[0]]] in curves(losses)


@pytest.mark.usefixtures("plots")
def test_the_history_of_a_divergence_plots_what_came_before():
    model = nn.Dense(1, 1, rng=0)
    with pytest.raises(dl.DivergenceError) as caught:
        fit(model, dl.optim.SGD(model, lr=123.0), (X, Y), epochs=100)
    losses, _ = caught.value.history.plot()
    losses.figure.canvas.draw()
    assert [value for _, value in curves(losses)[0]] == caught.value.history.step_loss


def test_an_ignored_ctrl_c_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        history = fit(*problem(), loss=acting(2, interrupt))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert not history.interrupted
    assert len(history.step_loss) == 9


def test_a_callback_that_switches_to_evaluation_does_not_switch_the_training():
    model = dl.nn.Sequential(dl.nn.Dense(2, 1, rng=0), dl.nn.Dropout(0.5, rng=0))
    modes = []

    def loss(prediction, y):
        modes.append(model.training)
        return dl.losses.mse(prediction, y)

    def leave(epoch, history):
        model.eval()

    data = (np.ones((4, 2)), np.ones((4, 1)))
    dl.fit(model, loss, dl.optim.SGD(model), data, epochs=3, callbacks=[leave], progress=False)
    assert modes == [True, True, True]


@pytest.mark.parametrize("more", [(10,), (10, (X, Y))])
def test_epochs_by_position_are_an_error_that_names_the_argument(more):
    model, optimizer, loader = problem()
    with pytest.raises(TypeError, match="give the rest by name, such as epochs=10"):
        dl.fit(model, dl.losses.mse, optimizer, loader, *more)
    with pytest.raises(TypeError, match=r"fit: .*such as epochs=10"):
        dl.fit(model, dl.losses.mse, optimizer, loader, *more, epochs=3)
    with pytest.raises(TypeError, match=r"fit: .*by name: epochs=... or steps=... is missing"):
        dl.fit(model, dl.losses.mse, optimizer, loader)
    assert optimizer.t == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "mse"}, r"loss must be .*got 'mse'\. Did you mean 'losses.mse'\?"),
        ({"loss": "CrossEntropy"}, r"Did you mean 'losses.cross_entropy'\?"),
        ({"loss": "MSELoss"}, r"Did you mean 'losses.mse'\?"),
        ({"loss": dl.losses.MSE}, r"make an object of it: MSE\(...\)"),
        ({"optimizer": "adam"}, r"optim.Adam\(model\), got 'adam'\. Did you mean 'optim.Adam'\?"),
        ({"optimizer": dl.optim.Adam}, r"make an object of it: Adam\(...\)"),
        ({"loss": dl.losses.MSE}, r"loss must be .* such as losses.mse or losses.MSE\(\)"),
        ({"optimizer": None}, "optimizer must be an Optimizer, such as optim.Adam"),
        ({"optimizer": dl.optim.Adam}, "optimizer must be an Optimizer, such as optim.Adam"),
        ({"loss": lambda p, y: 1.0}, "the loss must return a Tensor, got 1.0"),
        ({"progress": 1}, "progress must be True or False"),
    ],
)
def test_a_wrong_loss_optimizer_or_flag_is_named(change, message):
    model = dl.nn.Dense(2, 1, rng=0)
    given = {"loss": dl.losses.mse, "optimizer": dl.optim.SGD(model), "progress": False, **change}
    with pytest.raises(TypeError, match=message):
        dl.fit(model, data=(np.ones((4, 2)), np.ones((4, 1))), epochs=1, **given)


@pytest.mark.parametrize("model", [nn.Dense, "mlp", None, X])
def test_a_wrong_model_is_named_by_fit_and_evaluate(model):
    optimizer = problem()[1]
    for call in (
        lambda: fit(model, optimizer, (X, Y)),
        lambda: evaluate(model, (X, Y), dl.losses.mse),
    ):
        with pytest.raises(TypeError, match=r"model must be a function .*such as nn.MLP\(\["):
            call()
    with pytest.raises(TypeError, match=r"evaluate: loss must be a function .*class MSE"):
        evaluate(problem()[0], (X, Y), dl.losses.MSE)


# --- captured steps -----------------------------------------------------------------------------

ROWS = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
TARGETS = np.random.default_rng(1).normal(size=(23, 2)).astype(np.float32)
LABELS = np.random.default_rng(2).integers(0, 2, 23)


def with_dropout():
    return nn.Sequential(
        nn.Dense(3, 4, rng=0), nn.Tanh(), nn.Dropout(0.3, rng=1), nn.Dense(4, 2, rng=2)
    )


def loader(y=TARGETS, batch_size=5, **options):
    return lambda: DataLoader(ROWS, y, batch_size, **{"rng": 1, **options})


def adam(model):
    return dl.optim.Adam(model, lr=0.01)


def outcome(capture, data=None, model=with_dropout, rule=adam, **options):
    """What a training leaves behind, and whether it was captured."""
    model = model()
    optimizer, error = rule(model), None
    options = {"loss": dl.losses.mse, "epochs": 4, **options}
    if "callback" in options:
        options["callbacks"] = [options.pop("callback")(model, optimizer)]
    try:
        history = fit(model, optimizer, (data or loader())(), capture=capture, **options)
    except (ValueError, TypeError, IndexError) as raised:
        error, history = (type(raised), str(raised)), getattr(raised, "history", None)
    record = {} if history is None else dict(vars(history))
    captured = record.pop("captured", None)
    gradients = [p.grad.tobytes() for p in model.parameters() if p.grad is not None]
    versions = [p.version for p in model.parameters()]
    state = repr(optimizer.state_dict())
    return (repr(record), error, weights(model), gradients, versions, state), captured


def plateau(model):
    return dl.optim.SGD(model, lr=WarmUp(ReduceOnPlateau(0.3, patience=0), 5))


def batches():
    return [(ROWS[i : i + 5], TARGETS[i : i + 5]) for i in (0, 5, 10, 18)]


class EachTime:
    def __iter__(self):
        return iter(batches())


def changing(model, optimizer):
    def change(epoch, history):
        if epoch == 2:
            optimizer.lr = 0.5
        if epoch == 3:
            model[0].weight.data[...] = 0.1

    return change


def freezing(model, optimizer):
    return lambda epoch, history: setattr(model[0].weight, "requires_grad", epoch % 2 == 0)


def pressing(model, optimizer):
    return lambda epoch, history: interrupt() if epoch == 3 else None


def wrong_label():
    y = LABELS.copy()
    y[7] = 9
    return DataLoader(ROWS, y, 5, shuffle=False)


TRAININGS = {
    **{
        f"{size} {shuffle} {drop}": {
            "data": loader(batch_size=size, shuffle=shuffle, drop_last=drop)
        }
        for size in (None, 1, 5, 23)
        for shuffle in (True, False)
        for drop in (True, False)
    },
    "pair": {"data": lambda: (ROWS, TARGETS)},
    "lists": {"data": lambda: [ROWS.tolist(), TARGETS.tolist()]},
    "float64": {"data": lambda: DataLoader(ROWS.astype(float), TARGETS.astype(float), 5, rng=1)},
    "batches": {"data": batches},
    "iterable": {"data": EachTime},
    "generator": {"data": lambda: iter(batches()), "epochs": 1},
    "validation": {"validation": (ROWS, TARGETS)},
    "plateau": {"rule": plateau, "epochs": 9},
    "plateau, validation": {"rule": plateau, "epochs": 9, "validation": (ROWS, TARGETS)},
    "schedule": {"rule": lambda model: dl.optim.SGD(model, lr=CosineDecay(0.3, 15))},
    "labels": {"data": loader(LABELS), "loss": dl.losses.CrossEntropy(label_smoothing=0.1)},
    "changing": {"callback": changing, "epochs": 6},
    "freezing": {"callback": freezing, "epochs": 7},
    "interrupted": {"callback": pressing},
    "stopped": {"callback": lambda *_: lambda epoch, history: epoch == 2},
    "callback error": {"callback": lambda *_: lambda epoch, history: 7},
    "divergence": {
        "model": lambda: nn.MLP([3, 4, 2], rng=0),
        "rule": lambda model: dl.optim.SGD(model, lr=1e4),
        "epochs": 30,
    },
    "wrong label": {"data": wrong_label, "loss": dl.losses.cross_entropy},
}


@pytest.mark.parametrize("options", TRAININGS.values(), ids=TRAININGS)
def test_a_captured_training_is_the_eager_one_bit_for_bit(options):
    eager, captured = outcome(False, **options)
    assert not captured
    for capture in (True, "auto"):
        found, captured = outcome(capture, **options)
        assert found == eager
        assert captured or eager[1]


class Reading(nn.Module):
    """A model that can't be captured, for its forward looks at something or counts."""

    def __init__(self, factor):
        self.line, self.factor, self.calls = nn.Dense(3, 2, rng=0), factor, [0]

    def forward(self, x):
        return self.line(x) * self.factor(self, x)


def counting(model, x):
    model.calls[0] += 1
    return model.calls[0] / 100


@pytest.mark.parametrize(
    "factor",
    [
        counting,
        lambda model, x: float(x.sum()),
        lambda model, x: 2 if x[0, 0] > 0 else 1,
        lambda model, x: np.asarray(x)[0, 0],
        lambda model, x: model.generator.normal(),
    ],
    ids=["counter", "float", "branch", "asarray", "random"],
)
def test_a_step_that_cannot_be_captured_runs_eagerly_or_is_an_error(factor):
    def model():
        made = Reading(factor)
        made.generator = np.random.default_rng(0)
        return made

    eager, _ = outcome(False, model=model)
    found, captured = outcome("auto", model=model)
    assert found == eager
    assert captured is False
    with pytest.raises(dl.CaptureError, match="can't be captured"):
        outcome(True, model=model)


@pytest.mark.parametrize("capture", [None, "yes", 1, 0, "AUTO"])
def test_a_wrong_value_of_capture_is_named(capture):
    model = with_dropout()
    with pytest.raises((TypeError, ValueError), match="capture"):
        fit(model, adam(model), (ROWS, TARGETS), capture=capture)


def test_ctrl_c_during_captured_steps_leaves_whole_ones():
    x, y = np.tile(ROWS, (20, 1)), np.tile(TARGETS, (20, 1))
    model = with_dropout()
    optimizer = adam(model)
    timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
    begin = [lambda epoch, history: timer.start() if epoch == 1 else None]
    data = DataLoader(x, y, 8, shuffle=False)
    history = fit(model, optimizer, data, epochs=100_000, callbacks=begin)
    timer.join()
    assert history.interrupted
    assert history.captured
    steps = len(history.step_loss)
    assert steps == len(history.lr) == optimizer.t > 0
    twin = with_dropout()
    same = adam(twin)
    places = itertools.cycle(range(0, len(x), 8))
    for i in itertools.islice(places, steps):
        same.zero_grad()
        dl.losses.mse(twin(x[i : i + 8]), y[i : i + 8]).backward()
        same.step()
    assert weights(model) == weights(twin)
    assert repr(optimizer.state_dict()) == repr(same.state_dict())


@pytest.mark.parametrize("capture", [False, True])
def test_steps_end_where_a_one_shot_iterator_does_with_a_warning(capture):
    model, optimizer, _ = problem()
    with pytest.warns(UserWarning, match=f"a one-shot iterator, ended after {len(PARTS)} of 20"):
        history = fit(model, optimizer, iter(PARTS), epochs=None, steps=20, capture=capture)
    assert (len(history.loss), len(history.lr)) == (1, len(PARTS))
    history = fit(model, optimizer, iter(PARTS), epochs=None, steps=len(PARTS), history=history)
    assert len(history.lr) == 2 * len(PARTS)


@pytest.mark.parametrize("name", ["data", "validation"])
def test_a_pair_that_does_not_fit_is_called_by_its_name(name):
    model, optimizer, loader = problem()
    pair = {"data": loader, name: (np.zeros((4, 2)), np.zeros(3))}
    with pytest.raises(ValueError, match=f"fit: {name}: x has 4 samples but y has 3"):
        fit(model, optimizer, **pair, epochs=1)
