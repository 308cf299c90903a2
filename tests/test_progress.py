"""The bar and the lines that fit shows."""

import math
import sys

import numpy as np
import pytest

import minidl as dl
from minidl import _progress

X = np.linspace(-1, 1, 12).reshape(-1, 1)
Y = np.sin(2 * X)


def fit(data=None, epochs=3, **options):
    model = dl.nn.Dense(1, 1, rng=0)
    data = dl.data.DataLoader(X, Y, 4, rng=0) if data is None else data
    optimizer = dl.optim.SGD(model, lr=0.0125)
    return dl.fit(model, dl.losses.mse, optimizer, data, epochs=epochs, **options)


@pytest.fixture
def _terminal(monkeypatch):
    monkeypatch.setattr(_progress, "_can_show_a_bar", lambda: True)


@pytest.fixture
def _no_tqdm(monkeypatch):
    for name in "tqdm", "tqdm.auto":
        monkeypatch.setitem(sys.modules, name, None)


# --- the bar ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_terminal")
def test_the_bar_shows_epoch_loss_rate_validation_and_metrics(capsys):
    metrics = {"mae": dl.metrics.mae, "all": lambda p, t: p}
    history = fit(validation=(X, Y), metrics=metrics)
    out, err = capsys.readouterr()
    assert out == ""
    assert "9/9" in err
    shown = f"epoch 3, loss {history.step_loss[-1]:.4g}, lr 0.0125, validation "
    shown += f"{history.validation[-1]:.4g}, mae {history.metrics['mae'][-1]:.4g}, validation_mae "
    assert shown in err
    assert "all" not in err


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("parts", [[(X[:4], Y[:4]), (X[4:], Y[4:])]])
def test_the_bar_of_an_iterable_without_a_length_has_no_total(capsys, parts):
    class Anew:
        def __iter__(self):
            return iter(parts)

    fit(Anew(), epochs=2)
    err = capsys.readouterr()[1]
    assert "4step" in err
    assert "/" not in err.split("step")[0]
    fit(parts, epochs=2)
    assert "4/4" in capsys.readouterr()[1]


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize(
    ("options", "total"),
    [
        ({"accumulate": 2}, "6/6"),
        ({"steps": 5}, "5/5"),
        ({"steps": 5, "epochs": None}, "5/5"),
        ({"steps": 50, "epochs": 2}, "6/6"),
    ],
)
def test_the_total_is_the_number_of_steps_that_will_be_taken(capsys, options, total):
    fit(**options)
    assert total in capsys.readouterr()[1]


@pytest.mark.usefixtures("_terminal", "_no_tqdm")
def test_training_without_tqdm_continues_with_a_warning(capsys):
    with pytest.warns(UserWarning, match=r"pip install 'minidl\[progress\]'.*progress=False") as w:
        history = fit()
    assert len(history.loss) == 3
    assert capsys.readouterr() == ("", "")
    assert [warning.filename for warning in w] == [__file__]


# --- lines --------------------------------------------------------------------------------------


def lines(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


@pytest.mark.usefixtures("_no_tqdm")
def test_without_a_terminal_the_first_and_the_last_epoch_are_lines(capsys):
    history = fit(epochs=100, validation=(X, Y))
    first, last = lines(capsys)
    values = history.loss, history.validation
    for line, i in ((first, 0), (last, 99)):
        loss, validation = (f"{x[i]:.4g}" for x in values)
        number = f"epoch {i + 1}/100, step {3 * (i + 1)}"
        assert line == f"{number}, loss {loss}, validation {validation}, lr 0.0125"


def test_there_is_a_line_for_each_epoch_that_takes_long(capsys, monkeypatch):
    monkeypatch.setattr(_progress, "SECONDS", 0.0)
    fit(epochs=None, steps=7)
    assert [line.split(",")[0] for line in lines(capsys)] == ["epoch 1", "epoch 2"]


def test_a_training_that_fails_shows_the_last_finished_epoch(capsys):
    def fail(epoch, history):
        if epoch == 4:
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        fit(epochs=9, callbacks=[fail])
    assert [line.split(",")[0] for line in lines(capsys)] == ["epoch 1/9", "epoch 3/9"]


def test_without_progress_nothing_is_printed(capsys):
    fit(progress=False)
    assert capsys.readouterr() == ("", "")


def test_the_epochs_of_a_line_need_no_total():
    assert _progress.Lines(math.inf).epochs == ""
