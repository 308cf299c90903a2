"""Rates and losses of trainings, against the same trainings written out."""

import functools
import sys

import numpy as np
import pytest
from drawn import assert_texts_fit, drawn_texts, line_points
from matplotlib import pyplot

import minidl as dl
from minidl import schedulers
from minidl.viz.figures.learning import digits, rate_and_loss, split, usual


def rates(line):
    return line.get_ydata().tolist()


def train(rate, training, validation, epochs, seed=0):
    """The same training, written out."""
    model = dl.nn.MLP([64, 32, 32, 10], rng=seed)
    loader = dl.data.DataLoader(*training, 16, rng=seed)
    return dl.fit(
        model, dl.losses.cross_entropy, dl.optim.Adam(model, lr=rate), loader,
        epochs=epochs, validation=validation, progress=False,
    )  # fmt: skip


def test_rates_and_losses_are_those_of_an_independent_training_of_the_same_seed():
    figure = rate_and_loss(epochs=3, smooth=20, seed=4, seeds=1)
    training, validation = split(*digits(), seed=4)
    for index, (label, schedule) in enumerate(usual(270).items()):
        history = train(schedule, training, validation, 3, seed=4)
        rate, loss, unseen = (axes.get_lines()[index] for axes in figure.axes)
        assert {line.get_label() for line in (rate, loss, unseen)} == {label}
        assert len({line.get_color() for line in (rate, loss, unseen)}) == 1
        assert rate.get_xdata().tolist() == list(range(1, 271))
        assert rates(rate) == history.lr == [schedule(t) for t in range(270)]
        means = [np.mean(history.step_loss[t - 20 : t]) for t in range(20, 271)]
        np.testing.assert_allclose(loss.get_ydata(), means, rtol=1e-9)
        assert loss.get_xdata().tolist() == list(range(20, 271))
        assert rates(unseen) == history.validation
        assert unseen.get_xdata().tolist() == [90, 180, 270]


@functools.cache
def default():
    """The figure with its default options, drawn once for the tests that only inspect it."""
    return rate_and_loss()


def test_lines_are_medians_of_the_seeds_and_bands_reach_from_the_lowest_to_the_highest():
    figure = rate_and_loss({"mine": 0.02}, epochs=2, smooth=30, seed=1, seeds=3)
    runs = [train(0.02, *split(*digits(), seed=seed), 2, seed) for seed in (1, 2, 3)]
    smoothed = [[np.mean(run.step_loss[t - 30 : t]) for t in range(30, 181)] for run in runs]
    validation = [run.validation for run in runs]
    for axes, values, at in (
        (figure.axes[1], smoothed, range(30, 181)),
        (figure.axes[2], validation, (90, 180)),
    ):
        low, middle, high = np.sort(values, axis=0)
        np.testing.assert_allclose(line_points(axes), np.transpose([at, middle]), rtol=1e-9)
        (band,) = axes.collections
        corners = {(x, round(y, 12)) for x, y in band.get_paths()[0].vertices}
        for edge in (low, high):
            assert {(x, round(y, 12)) for x, y in zip(at, edge, strict=True)} <= corners
    assert "medians of 3 trainings" in figure.axes[0].get_title(loc="left")


def test_the_picture_ends_with_the_medians_of_the_lesson():
    medians = {
        label: np.median([
            train(schedule, *split(*digits(), seed=seed), 12, seed).validation[-1]
            for seed in range(5)
        ])
        for label, schedule in usual(1080).items()
    }  # fmt: skip
    drawn = {line.get_label(): line.get_ydata()[-1] for line in default().axes[2].get_lines()}
    assert drawn == pytest.approx(medians)


def test_the_picture_shows_that_the_loss_settles_where_the_rate_falls():
    figure = default()
    for axes in figure.axes[1:]:
        constant, cosine, cooled = (line.get_ydata()[-1] for line in axes.get_lines())
        assert cosine < constant / 2
        assert cooled < constant / 2
        assert [float(text.get_text()) for text in axes.texts] == [
            float(f"{value:.2g}") for value in sorted((constant, cosine, cooled))
        ]
    training = figure.axes[1].get_lines()[2]
    at = dict(zip(*training.get_data(), strict=True))
    assert at[1080] < at[810] / 4  # the cool-down begins at 810
    assert at[810] > at[400] / 5


def test_the_panels_share_the_steps_and_say_what_is_smoothed():
    figure = rate_and_loss(usual(90), epochs=1, smooth=7)
    assert [axes.get_ylabel().replace("\n", " ") for axes in figure.axes] == [
        "learning rate η", "training loss, mean of 7 steps", "validation loss",
    ]  # fmt: skip
    assert figure.axes[-1].get_xlabel() == "step"
    assert len({axes.get_xlim() for axes in figure.axes}) == 1


def test_a_finished_training_is_drawn_as_it_is(rng):
    x, y = rng.standard_normal((40, 2)), np.arange(40) % 2
    model = dl.nn.MLP([2, 4, 2], rng=0)
    optimizer = dl.optim.SGD(model, lr=0.1)
    history = dl.fit(model, dl.losses.cross_entropy, optimizer, (x, y), epochs=5, progress=False)
    figure = rate_and_loss({"mine": history}, smooth=1)
    rate, loss = (axes.get_lines()[0] for axes in figure.axes)
    assert rates(rate) == history.lr
    np.testing.assert_allclose(rates(loss), history.step_loss)
    mixed = rate_and_loss(
        {"mine": [history], "flat": 0.1}, data=(x, y), hidden=(), epochs=2, seeds=2
    )
    assert [line.get_label() for line in mixed.axes[0].get_lines()] == ["mine", "flat"]
    assert "medians of 1 to 2 trainings" in mixed.axes[0].get_title(loc="left")


def test_the_rule_and_the_data_can_be_set(rng):
    x = rng.standard_normal((50, 3))
    y = (x[:, 0] > 0).astype(int)
    figure = rate_and_loss(
        {"rate 0.5": 0.5}, data=(x, y), optimizer=dl.optim.SGD, hidden=(4,), epochs=2, batch_size=10
    )
    assert rates(figure.axes[0].get_lines()[0]) == [0.5] * 8


def test_a_plateau_observes_the_validation_loss_and_keeps_no_memory_of_it(rng):
    x, y = rng.standard_normal((50, 3)), rng.integers(0, 2, 50)
    plateau = schedulers.ReduceOnPlateau(0.5, factor=0.5, patience=0)
    figure = rate_and_loss({"plateau": plateau}, data=(x, y), epochs=6, batch_size=40, seeds=1)
    rate, _, validation = (axes.get_lines()[0].get_ydata() for axes in figure.axes)
    again = schedulers.ReduceOnPlateau(0.5, factor=0.5, patience=0)
    for epoch, loss in enumerate(validation):
        assert rate[epoch] == again(0)
        again.observe(loss)
    assert rate[-1] < plateau(0) == 0.5


def test_the_label_says_how_many_trainings_diverge(monkeypatch, rng):
    x, y = rng.standard_normal((50, 3)), np.arange(50) % 2
    rates = iter([0.1, 1e10, 0.1])

    def rule(model, lr):
        return dl.optim.SGD(model, lr=next(rates))

    figure = rate_and_loss({"some": 0.1}, data=(x, y), optimizer=rule, hidden=(4,), seeds=3)
    (line,) = figure.axes[0].get_lines()
    assert line.get_label() == "some: 1 of 3 diverged"
    assert len(line.get_xdata()) < 12 * 3


def test_a_diverging_training_is_drawn_to_its_end(rng):
    x, y = rng.standard_normal((50, 3)) * 1e30, np.arange(50) % 2
    figure = rate_and_loss(
        {"huge": 1e9, "tiny": 0.0}, data=(x, y), optimizer=dl.optim.SGD, hidden=(4,), epochs=2
    )
    labels = [line.get_label() for line in figure.axes[0].get_lines()]
    assert labels == ["huge: diverged", "tiny"]
    assert len(figure.axes[0].get_lines()[0].get_xdata()) < 6
    figure.canvas.draw()


DATA = np.zeros((10, 2)), np.arange(10) % 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"schedules": {}}, TypeError, "schedules must be {label: schedule}"),
        ({"schedules": [0.1]}, TypeError, "schedules must be {label: schedule}"),
        ({"schedules": {"a": "fast"}, "data": DATA}, TypeError, "lr"),
        ({"schedules": {"a": dl.History()}}, ValueError, "'a' has no steps yet"),
        ({"optimizer": "Adam"}, TypeError, r"such as dl\.optim\.Adam, got 'Adam'"),
        (
            {"schedules": {"a": [dl.History(), 0.1]}},
            TypeError,
            r"'a'\].* got a list with 0\.1",
        ),
        ({"seeds": 0}, ValueError, "seeds must be a whole number ≥ 1"),
        ({"seed": -1}, ValueError, "seed must be a whole number ≥ 0"),
        ({"smooth": 0}, ValueError, "smooth must be a whole number ≥ 1"),
        ({"epochs": 0, "data": DATA}, ValueError, "epochs must be a whole number ≥ 1"),
        ({"batch_size": None, "data": DATA}, TypeError, "batch_size must be a whole number"),
        ({"data": DATA[0]}, TypeError, r"data must be a pair \(x, y\), got ndarray"),
        ({"data": (DATA[0], DATA[0])}, ValueError, r"got \(10, 2\) and \(10, 2\)"),
        ({"data": (DATA[0][:4], DATA[1][:4])}, ValueError, "5 samples or more"),
        (
            {"data": (DATA[0], DATA[1] / 2)},
            ValueError,
            "y must be whole numbers, the classes",
        ),
        (
            {"data": (DATA[0], DATA[1] - 1)},
            ValueError,
            "y must be whole numbers, the classes",
        ),
    ],
)
def test_invalid_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        rate_and_loss(**arguments)
    assert not pyplot.get_fignums()


def test_without_scikit_learn_the_error_names_the_extra_and_own_data_needs_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'minidl\[examples\]'"):
        rate_and_loss()
    assert rate_and_loss({"a": 0.1}, data=DATA, hidden=(), epochs=1).axes


def test_a_split_keeps_every_sample_once():
    x = np.arange(23)[:, None]
    training, validation = split(x, x[:, 0], seed=1)
    assert (len(training[0]), len(validation[0])) == (19, 4)
    assert sorted([*training[1], *validation[1]]) == list(range(23))
    for part in training, validation:
        np.testing.assert_array_equal(part[0][:, 0], part[1])


def test_a_plateau_inside_another_schedule_observes_too(rng):
    x, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    plateau = schedulers.WarmUp(schedulers.ReduceOnPlateau(0.5, patience=0), 1)
    figure = rate_and_loss({"inside": plateau}, data=(x, y), hidden=(), epochs=30, batch_size=40)
    drawn = figure.axes[0].get_lines()[0].get_ydata()
    assert drawn[-1] < 0.5 == plateau(100)


def test_no_texts_overlap_or_leave_the_picture_and_all_are_legible_on_a_slide():
    figure = default()
    assert len(assert_texts_fit(figure)) > 10
    assert figure.get_figwidth() <= 11
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 12
