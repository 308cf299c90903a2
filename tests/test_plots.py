"""Pictures, by the data in them."""

import importlib
import itertools
import sys

import matplotlib as mpl
import numpy as np
import pytest

import minidl as dl
from minidl import schedulers

mpl.use("Agg")
from matplotlib import pyplot


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    pyplot.close("all")


def curves(axes):
    """The points of each line."""
    return [np.transpose(line.get_data()).tolist() for line in axes.get_lines()]


def points(at, values):
    return np.transpose([at, values]).tolist()


def history(offset=1.0, epochs=2, validation=True, stop_at=None):
    """A training of two steps an epoch, whose losses are squared errors plus an offset."""
    calls = []

    def loss(prediction, target):
        calls.append(1)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return dl.losses.mse(prediction, target) + offset

    x = np.arange(4.0).reshape(-1, 1)
    model = dl.nn.Dense(1, 1, init="zeros")
    optimizer = dl.optim.SGD(model, lr=schedulers.LinearDecay(0.1, 8))
    loader = dl.data.DataLoader(x, np.ones_like(x), 2, shuffle=False)
    pair = (x, np.ones_like(x)) if validation else None
    return dl.fit(model, loss, optimizer, loader, epochs=epochs, validation=pair, progress=False)


SCHEDULES = [
    schedulers.Constant(0.1),
    schedulers.StepDecay(0.8, every=3, factor=0.5),
    schedulers.warmup_stable_decay(0.4, warmup=5, stable=10, cooldown=5, shape="one_minus_sqrt"),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_a_schedule_is_drawn_step_by_step_under_its_repr(schedule):
    axes = schedule.plot(25)
    assert curves(axes) == [points(range(25), [schedule(t) for t in range(25)])]
    assert "".join(axes.get_title().split()) == "".join(repr(schedule).split())
    assert max(map(len, axes.get_title().splitlines())) <= 60
    bottom, top = axes.get_ylim()
    assert bottom == 0
    assert top > 1.1 * max(schedule(t) for t in range(25))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step t", "learning rate η")
    axes.figure.canvas.draw()


PHASES = [
    (schedulers.Constant(0.1), [("constant", 0, 24)]),
    (
        schedulers.warmup_stable_decay(0.4, warmup=5, stable=10, cooldown=5),
        [("warm-up", 0, 5), ("constant", 5, 15), ("cool-down", 15, 20), ("end", 20, 24)],
    ),
    (
        schedulers.Sequence([(schedulers.WarmUp(0.1, 3), 8), schedulers.LinearDecay(0.1, 100)]),
        [("warm-up", 0, 3), ("constant", 3, 8), ("linear decay", 8, 24)],
    ),
    (  # names that only fit upright
        schedulers.Sequence([(schedulers.CosineDecay(0.1, 2), 2)] * 3 + [0.1]),
        [*(("cosine decay", start, start + 2) for start in (0, 2, 4)), ("constant", 6, 24)],
    ),
]


@pytest.mark.parametrize(("schedule", "phases"), PHASES)
def test_the_phases_of_a_schedule_are_shaded_one_by_one_and_named(schedule, phases):
    axes = schedule.plot(25)
    spans = [(span.get_x(), span.get_x() + span.get_width()) for span in axes.patches]
    assert spans == [(start, end) for _, start, end in phases]
    shades = [span.get_facecolor() for span in axes.patches]
    assert all(one != other for one, other in itertools.pairwise(shades))
    names = [(label.get_text(), label.get_position()[0]) for label in axes.texts]
    assert names == [(name, (start + end) / 2) for name, start, end in phases]
    axes.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_a_single_step_is_drawn_as_a_point_and_a_long_repr_is_cut_short():
    axes = schedulers.PiecewiseConstant([*range(1, 60)], [0.1] * 60).plot(1)
    assert axes.get_lines()[0].get_marker() == "o"
    assert len(axes.get_title().splitlines()) <= 6
    assert axes.get_title().endswith("…")


@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError)])
def test_a_plot_of_no_steps_is_refused(steps, error):
    with pytest.raises(error, match=r"^plot: steps must be a whole number ≥ 1"):
        schedulers.Constant(0.1).plot(steps)
    assert not pyplot.get_fignums()


def test_a_history_is_drawn_with_steps_epochs_validation_and_rate():
    given = history()
    losses, rates = given.plot()
    assert curves(losses) == [
        points([1, 2, 3, 4], given.step_loss),
        points([2, 4], given.loss),
        points([2, 4], given.validation),
    ]
    assert curves(rates) == [points([1, 2, 3, 4], given.lr)]
    legend = [text.get_text() for text in losses.get_legend().get_texts()]
    assert len(legend) == len(set(legend)) == 3
    assert "validation" in legend[2]
    assert (losses.get_ylabel(), rates.get_ylabel()) == ("loss", "learning rate η")
    assert rates.get_xlabel() == "step"
    assert losses.get_xlim() == rates.get_xlim()
    assert rates.get_ylim()[0] == 0
    losses.figure.canvas.draw()


def test_the_lines_of_a_history_are_told_apart_by_colour():
    lines = history().plot()[0].get_lines()
    steps, epochs, validation = (line.get_color() for line in lines)
    assert steps == epochs != validation


def test_a_history_without_validation_or_a_finished_epoch_has_fewer_lines():
    assert len(curves(history(validation=False).plot()[0])) == 2
    given = history(stop_at=2)
    losses, rates = given.plot()
    assert curves(losses) == [[[1, given.step_loss[0]]]]
    assert curves(rates) == [[[1, 0.1]]]


@pytest.mark.parametrize(("offset", "scale"), [(1.0, "log"), (-1.0, "linear"), (-9.0, "linear")])
def test_losses_have_a_logarithmic_axis_where_all_are_positive(offset, scale):
    given = history(offset)
    assert (min(given.step_loss) > 0) == (scale == "log")
    assert given.plot()[0].get_yscale() == scale


def test_a_history_without_a_step_says_that_there_is_nothing_to_plot():
    with pytest.raises(ValueError, match="nothing to plot"):
        dl.History().plot()
    assert not pyplot.get_fignums()


def test_each_plot_is_a_figure_of_its_own():
    assert schedulers.Constant(1.0).plot(3).figure is not schedulers.Constant(1.0).plot(3).figure
    assert history().plot()[0].figure is not history().plot()[0].figure


@pytest.mark.parametrize(
    "draw",
    [
        lambda: schedulers.Constant(0.1).plot(3),
        lambda: history().plot(),
        lambda: importlib.import_module("minidl.viz.plots"),
    ],
    ids=["schedule", "history", "import"],
)
def test_without_matplotlib_the_error_says_what_to_install(draw, monkeypatch):
    for name in "matplotlib", "matplotlib.pyplot":
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "minidl.viz.plots", raising=False)
    with pytest.raises(ImportError, match=r"Matplotlib: pip install 'minidl\[viz\]'"):
        draw()
    assert schedulers.Constant(0.1)(3) == 0.1
