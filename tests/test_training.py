"""fit against an explicit loop, and everything that interrupts it."""

import math
import os
import re
import signal
import sys
import threading

import matplotlib as mpl
import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.data import DataLoader
from minidl.schedulers import CosineDecay

X = np.linspace(-1, 1, 10).reshape(-1, 1)
Y = np.sin(2 * X)


def problem(batch_size=4, rule=dl.optim.Adam, lr=0.05):
    model = nn.MLP([1, 6, 1], "tanh", rng=0)
    return model, rule(model, lr=lr), DataLoader(X, Y, batch_size, rng=1)


def fit(model, optimizer, data, *, loss=dl.losses.mse, epochs=3, progress=False, **options):
    return dl.fit(model, loss, optimizer, data, epochs=epochs, progress=progress, **options)


def by_hand(model, optimizer, loader, epochs=3, steps=None):
    """The loop in full: (epoch losses, step losses, rates)."""
    epoch_losses, step_losses, rates = [], [], []
    for _ in range(epochs):
        total = 0.0
        for x, y in loader:
            if len(step_losses) == steps:
                return epoch_losses, step_losses, rates
            optimizer.zero_grad()
            loss = dl.losses.mse(model(x), y)
            loss.backward()
            rates.append(optimizer.lr)
            optimizer.step()
            step_losses.append(loss.item())
            total += loss.item() * len(x)
        epoch_losses.append(total / len(X))
    return epoch_losses, step_losses, rates


def weights(model):
    return b"".join(p.data.tobytes() for p in model.parameters())


class Probe(nn.Module):
    """A line that records in which mode it is called, and whether there is a graph."""

    def __init__(self):
        self.line, self.drop = nn.Dense(1, 1, rng=0), nn.Dropout(0.5, rng=0)
        self.calls = []

    def forward(self, x):
        y = self.drop(self.line(x))
        self.calls.append((len(x), self.training, self.drop.training, y.requires_grad))
        return y


def acting(at, action):
    """A squared error that runs an action at one of its calls, before it returns."""
    calls = []

    def loss(prediction, target):
        calls.append(1)
        if len(calls) == at:
            action()
        return dl.losses.mse(prediction, target)

    return loss


def interrupt():
    signal.raise_signal(signal.SIGINT)


def press_with_the_keyboard():
    raise KeyboardInterrupt


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
    loss = dl.training.evaluate(model, dl.losses.mse, DataLoader(X, Y, 4, rng=0))
    whole = dl.losses.mse(model.line(X), Y).item()
    assert loss == pytest.approx(whole, rel=1e-6)
    assert model.training
    assert model.drop.training
    assert [call[1:] for call in model.calls] == [(False, False, False)] * 3


# --- callbacks ----------------------------------------------------------------------------------


def test_callbacks_get_epoch_and_history_in_order():
    calls = []

    def first(epoch, history):
        calls.append(("first", epoch, len(history.loss), len(history.validation)))

    def second(epoch, history):
        calls.append(("second", epoch, len(history.step_loss)))
        return "not True"

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


# --- progress -----------------------------------------------------------------------------------


def test_the_bar_shows_epoch_loss_and_rate(capsys):
    history = fit(*problem(lr=0.0125), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "9/9" in err
    assert f"epoch 3, loss {history.step_loss[-1]:.4g}, lr 0.0125" in err


def test_without_progress_nothing_is_printed(capsys):
    fit(*problem(), progress=False)
    assert capsys.readouterr() == ("", "")


def test_training_without_tqdm_continues_with_a_warning(monkeypatch, capsys):
    for name in "tqdm", "tqdm.auto":
        monkeypatch.setitem(sys.modules, name, None)
    model, twin = problem(), problem()
    with pytest.warns(UserWarning, match=r"pip install 'minidl\[progress\]'.*progress=False"):
        history = fit(*model, progress=True)
    assert history.loss == by_hand(*twin)[0]
    assert capsys.readouterr() == ("", "")
    fit(*problem(), progress=False)


def test_the_warning_points_at_the_line_that_calls_fit(monkeypatch):
    for name in "tqdm", "tqdm.auto":
        monkeypatch.setitem(sys.modules, name, None)
    model, optimizer, data = problem()
    with pytest.warns(UserWarning, match="tqdm") as record:
        dl.fit(model, dl.losses.mse, optimizer, data, epochs=1)
    assert [warning.filename for warning in record] == [__file__]


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


# --- divergence ---------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [dl.DivergenceError, FloatingPointError, ValueError])
def test_an_exploding_loss_names_epoch_step_loss_and_rate(error):
    model = nn.Dense(1, 1, rng=0)
    optimizer = dl.optim.SGD(model, lr=123.0)
    loader = DataLoader(X, Y, 4, rng=0)
    with pytest.raises(error) as caught:
        fit(model, optimizer, loader, epochs=100)
    history = caught.value.history
    last = history.step_loss[-1]
    assert not math.isfinite(last)
    assert all(map(math.isfinite, history.step_loss[:-1] + history.loss))
    steps = len(history.step_loss)
    message = str(caught.value)
    assert f"epoch {(steps - 1) // 3 + 1}, step {steps}" in message
    assert re.search(rf"became {last}.*rate.*123.*too large.*WarmUp", message)
    assert optimizer.t == steps - 1
    assert all(np.isfinite(p.data).all() for p in model.parameters())


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["x", "y"])
def test_data_that_is_not_finite_is_found_before_it_changes_anything(where, value):
    model, optimizer, _ = problem()
    before = weights(model)
    x, y = X.copy(), Y.copy()
    {"x": x, "y": y}[where][3] = value
    if where == "x" and value == math.inf:
        model = nn.Sequential(model[0], model[2])
        before = weights(model)
    with pytest.raises(
        dl.DivergenceError,
        match="No update had been made, so look for NaN or huge numbers in the data",
    ):
        fit(model, optimizer, (x, y))
    assert weights(model) == before
    assert optimizer.t == 0


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "fit: epochs must be a whole number ≥ 1"),
        ({"epochs": -1}, ValueError, "fit: epochs"),
        ({"epochs": 2.5}, TypeError, "fit: epochs"),
        ({"epochs": True}, TypeError, "fit: epochs"),
        ({"epochs": "3"}, TypeError, "fit: epochs"),
        ({"epochs": None}, TypeError, "fit: epochs"),
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

    data, leave = (np.ones((4, 2)), np.ones((4, 1))), lambda epoch, history: model.eval()
    dl.fit(model, loss, dl.optim.SGD(model), data, epochs=3, callbacks=[leave], progress=False)
    assert modes == [True, True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
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
