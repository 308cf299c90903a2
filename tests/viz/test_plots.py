"""Pictures, by the data in them."""

import functools
import importlib
import io
import itertools
import os
import subprocess
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from cases import ROOT
from drawn import assert_texts_fit, race_paths, race_table
from matplotlib import colors, pyplot

import minidl as dl
from minidl import _expressions, schedulers
from minidl.viz import SURFACES, Surface, figures, plots, race, style


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
def test_a_schedule_is_drawn_step_by_step_under_the_call_that_makes_it(schedule):
    axes = schedule.plot(25)
    assert curves(axes) == [points(range(25), [schedule(t) for t in range(25)])]
    assert _expressions.schedule(axes.get_title()) == schedule
    assert_texts_fit(axes.figure)
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
    names = [(" ".join(t.get_text().split()), t.get_position()[0]) for t in axes.texts]
    assert names == [(name, (start + end) / 2) for name, start, end in phases]
    assert_texts_fit(axes.figure)


@pytest.mark.parametrize(
    ("expected", "schedule"),
    [
        ("Constant(0.1)", schedulers.Constant(0.1)),
        ("StepDecay(0.1, every=10, factor=0.5)", schedulers.StepDecay(0.1, 10, 0.5)),
        ("PiecewiseConstant([1], [0.1, 0.2])", schedulers.PiecewiseConstant((1,), (0.1, 0.2))),
        ("ExponentialDecay(0.123456789, rate=1)", schedulers.ExponentialDecay(0.123456789, 1.0)),
        ("WarmUp(0.1, steps=5, shape='cosine')", schedulers.WarmUp(0.1, 5, shape="cosine")),
        ("Sequence([(0.1, 5), 0.2])", schedulers.Sequence([(0.1, 5), 0.2])),
        ("ReduceOnPlateau(0.1)", schedulers.ReduceOnPlateau(0.1)),
    ],
)
def test_a_call_leaves_the_defaults_out(expected, schedule):
    assert plots.call(schedule) == expected


def test_the_title_of_a_schedule_leaves_the_defaults_out_and_takes_two_lines_at_most():
    schedule = schedulers.CoolDown(schedulers.WarmUp(0.03, steps=100), at=750, steps=250)
    axes = schedule.plot(1100)
    assert axes.get_title() == "CoolDown(WarmUp(0.03, steps=100), at=750, steps=250)"
    long = schedulers.Sequence([(schedulers.WarmUp(0.1, 50), 500)] * 4 + [schedule])
    assert len(long.plot(3000).get_title().splitlines()) == 2
    assert_texts_fit(long.plot(3000).figure)


def test_a_single_step_is_drawn_as_a_point_and_a_long_title_is_cut_short():
    axes = schedulers.PiecewiseConstant([*range(1, 60)], [0.1] * 60).plot(1)
    assert axes.get_lines()[0].get_marker() == "o"
    assert len(axes.get_title().splitlines()) == 2
    assert axes.get_title().endswith("…")


@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError)])
def test_an_invalid_number_of_steps_raises(steps, error):
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
    assert losses.get_shared_x_axes().joined(losses, rates)
    assert rates.get_ylim()[0] == 0
    losses.figure.canvas.draw()


def test_metrics_that_are_numbers_have_a_panel_of_their_own():
    given = history()
    given.metrics = {"r2": [0.1, 0.5], "validation_r2": [0.4], "matrix": [np.eye(2)] * 2}
    losses, rates, metrics = given.plot()
    assert len(curves(losses)) == 3
    assert curves(metrics) == [points([2, 4], [0.1, 0.5]), points([4], [0.4])]
    training, validation = metrics.get_lines()
    assert training.get_color() == validation.get_color()
    assert training.get_linestyle() != validation.get_linestyle()
    names = [text.get_text() for text in metrics.get_legend().get_texts()]
    assert names == ["r2", "validation_r2"]
    losses.figure.canvas.draw()
    assert losses.get_position().y0 > metrics.get_position().y1
    assert metrics.get_position().y0 > rates.get_position().y1
    given.metrics = {"matrix": [np.eye(2)] * 2}
    assert len(given.plot()) == 2


def test_the_lines_of_a_history_differ_in_colour():
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


def test_a_history_without_steps_raises():
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
        lambda: race("bowl", "SGD", steps=1).plot(),
        lambda: race("bowl", "SGD", steps=1).animate(),
        *(
            functools.partial(importlib.import_module, f"minidl.viz.{name}")
            for name in ("plots", "film", "figures")
        ),
    ],
    ids=["schedule", "history", "race", "film", "plots", "films", "figures"],
)
def test_without_matplotlib_the_error_says_what_to_install(draw, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in "plots", "film", "figures":
        monkeypatch.delitem(sys.modules, f"minidl.viz.{name}", raising=False)
        monkeypatch.delattr(dl.viz, name, raising=False)
    with pytest.raises(ImportError, match=r"Matplotlib: pip install 'minidl\[viz\]'"):
        draw()
    assert schedulers.Constant(0.1)(3) == 0.1


# --- races --------------------------------------------------------------------------------------

DASHES = {"-": "solid", "--": "dashed", ":": "dotted"}
PARTIAL = functools.partial(dl.optim.Adam, betas=(0.5, 0.9))
BOWL = {"slow": "Adam", "there": "SGD", "gone": "SGD", "first": "SGD"}
BOWL_RATES = {"there": 0.2, "gone": 1.3, "first": 0.4}


@pytest.fixture(scope="module")
def bowl():
    """Four runs on a bowl: one is slow, two arrive, one diverges."""
    return race("bowl", BOWL, steps=30, lr=BOWL_RATES)


def test_a_race_shows_the_whole_path_of_each_run_and_a_marker_at_its_end(bowl):
    axes = bowl.plot()
    ring, drawn = race_paths(axes)
    assert np.transpose(ring.get_data()).tolist() == bowl.starts.tolist()
    styles = style.run_styles([run.name for run in bowl.runs])
    for run, (path, head), run_style in zip(bowl.runs, drawn, styles, strict=True):
        np.testing.assert_array_equal(np.transpose(path.get_data()), run.theta[:, 0])
        np.testing.assert_array_equal(np.transpose(head.get_data()), run.theta[-1:, 0])
        colour, marker, dashes = run_style
        assert path.get_color() == head.get_color() == colour
        assert (path.get_marker(), head.get_marker()) == ("None", marker)
        assert DASHES[path.get_linestyle()] == dashes
    assert len(drawn) == len(bowl.runs)
    assert ring.get_markerfacecolor() == "white" != ring.get_markeredgecolor()


def test_a_rule_has_the_same_style_on_the_surface_and_in_the_table():
    rules = ["Lion", "FTRL", "AdamW"]
    axes = race("bowl", rules, steps=2).plot()
    keys = axes.figure.axes[1].get_lines()[: len(rules)]
    keys = sorted(keys, key=lambda key: -key.get_ydata()[0])
    for name, key in zip(race_table(axes), keys, strict=True):
        shown = (key.get_color(), key.get_marker(), DASHES[key.get_linestyle()])
        assert shown == style.RULE_STYLES[name]
    for name, (path, head) in zip(rules, race_paths(axes)[1], strict=True):
        shown = (path.get_color(), head.get_marker(), DASHES[path.get_linestyle()])
        assert shown == style.RULE_STYLES[name]


def test_no_two_runs_have_the_same_style():
    names = ["mine", "SGD", "yours", "NAG", "theirs"]
    drawn = race_paths(race("bowl", dict.fromkeys(names, "SGD"), steps=2).plot())[1]
    styles = [(path.get_color(), head.get_marker()) for path, head in drawn]
    assert len(set(styles)) == len(names)
    assert styles[1] == style.RULE_STYLES["SGD"][:2]
    assert styles[3] == style.RULE_STYLES["NAG"][:2]


@pytest.mark.parametrize("name", SURFACES)
def test_a_contour_has_one_height_and_contours_are_closer_in_valleys(name):
    surface = SURFACES[name]
    axes = pyplot.subplots()[1]
    plots.plot_contours(axes, surface, (surface.x, surface.y))
    filled, lines = axes.collections[:2]
    np.testing.assert_array_equal(filled.levels, lines.levels)
    heights = []
    for path in lines.get_paths():
        if len(path.vertices):
            f, slope = surface.at(path.vertices.T)
            across = np.hypot(*slope) * surface.width / 200  # what a cell of the grid can hide
            assert (abs(f - np.median(f)) <= 1e-9 + 2 * across).mean() > 0.95
            heights.append(np.median(f))
    steps = np.diff(heights)
    assert len(steps) >= 9
    assert (steps > 0).all()
    assert 2 * steps[1] < steps[-2]
    assert axes.get_aspect() == 1
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("parameter x", "parameter y")


def test_a_race_shows_the_part_of_the_surface_in_which_it_runs():
    raced = race("beale", ["SGD", "Adam"], steps=50)
    axes = raced.plot()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert ((left, right), (low, high)) == raced._view()
    for x, y in [*raced.surface.minima, *(p for run in raced.runs for p in run.theta[:, 0])]:
        assert left < x < right
        assert low < y < high
    assert -4.5 < left < right < 4.5
    vertices = np.concatenate([path.vertices for path in axes.collections[1].get_paths()])
    np.testing.assert_allclose(vertices.min(0), (left, low))
    np.testing.assert_allclose(vertices.max(0), (right, high))


@pytest.mark.parametrize("name", ["beale", "himmelblau", "saddle"])
def test_each_global_minimum_is_a_target(name):
    axes = race(name, "SGD", steps=1).plot()
    marks = [line for line in axes.get_lines() if line.get_label() == "goal"]
    assert [mark.get_marker() for mark in marks] == ["+", "o", "o"]
    for mark in marks:
        np.testing.assert_array_equal(np.transpose(mark.get_data()), SURFACES[name].minima)


def test_dollars_in_a_label_or_title_are_not_typeset():
    axes = race("bowl", {"a $\\bad{x$": "SGD"}, steps=1).plot(title="$5")
    assert_texts_fit(axes.figure)


def test_a_picture_with_a_path_is_closed(tmp_path):
    race("bowl", "SGD", steps=1).plot(tmp_path / "race.png")
    assert not pyplot.get_fignums()


def test_the_table_is_in_the_order_of_arrival_then_of_f(bowl):
    lines = race_table(bowl.plot())
    first, there = bowl.runs[3].arrived[0], bowl.runs[1].arrived[0]
    assert list(lines.items()) == [
        ("first", ("0.4", f"goal in {first} steps")),
        ("there", ("0.2", f"goal in {there} steps")),
        ("slow", ("0.001", "still moving")),
        ("gone", ("1.3", "diverged")),
    ]
    assert first < there


def test_the_first_to_arrive_is_first_even_if_another_ends_lower():
    rates = {"lower": 0.3, "first": schedulers.PiecewiseConstant([8], [0.4, 0.0])}
    raced = race("bowl", dict.fromkeys(rates, "SGD"), steps=40, lr=rates)
    assert raced.runs[0].loss[-1, 0] < raced.runs[1].loss[-1, 0]
    assert raced.runs[0].arrived[0] > raced.runs[1].arrived[0]
    axes = raced.plot()
    assert list(race_table(axes)) == ["first", "lower"]
    assert axes.get_title().endswith("first is first")


@pytest.mark.parametrize(("surface", "lost"), [("bowl", 1e10), ("rosenbrock", 0.1)])
def test_runs_that_do_not_arrive_are_ordered_by_f_and_diverged_ones_come_last(surface, lost):
    rates = {"lost": lost, "low": 2e-5, "lowest": 3e-5, "high": 1e-5}
    raced = race(surface, dict.fromkeys(rates, "SGD"), steps=20, lr=rates)
    end = raced.runs[0].loss[-1, 0]
    assert np.isposinf(end) if surface == "bowl" else np.isnan(end)
    assert list(race_table(raced.plot())) == ["lowest", "low", "high", "lost"]


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({}, "bowl, 30 steps: first is first"),
        ({"title": "Mine"}, "Mine"),
        ({"title": ""}, ""),
    ],
)
def test_the_title_names_the_first_to_arrive_unless_another_is_given(options, title, bowl):
    assert bowl.plot(**options).get_title() == title


def test_the_title_says_that_none_arrives():
    axes = race("rosenbrock", ["SGD", "Adam"], steps=3, lr=1e-3).plot()
    assert axes.get_title() == "rosenbrock, 3 steps: none reaches the goal"


def test_another_start_has_its_own_picture():
    starts = [(-3.0, 2.0), (0.001, 0.0), (4.0, -3.0)]
    raced = race("bowl", ["SGD", "Adam"], steps=30, lr=0.3, start=starts)
    for start, at in enumerate(starts):
        axes = raced.plot(start=start)
        ring, drawn = race_paths(axes)
        assert np.transpose(ring.get_data()).tolist() == [list(at)]
        for run, (path, _) in zip(raced.runs, drawn, strict=True):
            np.testing.assert_array_equal(np.transpose(path.get_data()), run.theta[:, start])
            arrived, verdict = run.arrived[start], run.verdicts[start]
            ended = verdict if arrived is None else f"goal in {arrived} steps"
            assert race_table(axes)[run.name][1] == ended
    for wrong, error in ((3, ValueError), (-1, ValueError), (0.0, TypeError)):
        with pytest.raises(error, match="start must be"):
            raced.plot(start=wrong)


def test_each_start_has_its_own_verdict():
    raced = race("saddle", "SGD", steps=20, lr=0.01, start=[(0, 0), (1.5, 1.5)])
    ends = [race_table(raced.plot(start=start))["SGD"][1] for start in (0, 1)]
    assert ends == ["stuck at a saddle", "still moving"]


@pytest.mark.parametrize("lr", [0.04, 0.123457, 1e-5, 1.2345e-5, 0.0, schedulers.Constant(0.04)])
def test_the_table_gives_a_constant_rate_as_a_number(lr):
    axes = race("bowl", "SGD", steps=9, lr=lr).plot()
    rate = schedulers.as_schedule("", "", lr)(0)
    shown = race_table(axes)["SGD"][0].replace("−", "-")
    assert float(shown) == pytest.approx(rate, rel=5e-3)


@pytest.mark.parametrize(
    ("lr", "shown"),
    [
        (schedulers.CosineDecay(0.1, 9), "falls"),
        (schedulers.ExponentialDecay(0.1, 0.9), "falls"),
        (schedulers.CoolDown(0.1, 2, 4), "falls"),
        (schedulers.Hold(schedulers.LinearDecay(0.1, 9), 3), "falls"),
        (schedulers.WarmUp(0.1, 9), "varies"),
        (schedulers.Triangular(0.1, 0.2, 3), "varies"),
        (schedulers.PiecewiseConstant([3], [0.1, 0.2]), "varies"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_the_table_says_whether_a_rate_falls_or_varies(lr, shown):
    axes = race("bowl", "SGD", steps=9, lr=lr).plot()
    assert race_table(axes)["SGD"][0] == shown


STANDS = {"start": (0, 0), "lr": 0.1}  # at a saddle, where no rule moves


@pytest.mark.parametrize(
    ("surface", "optimizers", "options"),
    [
        ("beale", list(style.RULE_STYLES), {"steps": 20}),
        ("saddle", list(style.RULE_STYLES), {"steps": 9, **STANDS}),
        ("styblinski-tang", list(style.RULE_STYLES)[:8], {"steps": 9}),
        ("saddle", ["SGD", PARTIAL], {"steps": 9, **STANDS}),
        (
            "styblinski-tang",
            {"Adam with a rate of its own, and more": "Adam"},
            {"steps": 9, "tune": False},
        ),
        ("bowl", {"first": "SGD", "": "Adam"}, {"steps": 9, "lr": 1.2345e-5}),
    ],
    ids=["13 rules", "13 verdicts", "long title", "options", "long label", "long rate"],
)
def test_no_texts_of_a_race_overlap_or_leave_the_picture(surface, optimizers, options):
    assert_texts_fit(race(surface, optimizers, **options).plot().figure)


def test_a_race_that_diverges_far_out_is_drawn():
    raced = race("rosenbrock", ["SGD", "Momentum", "NAG"], steps=300, lr=0.1)
    assert set(itertools.chain(*(run.verdicts for run in raced.runs))) == {"diverged"}
    axes = raced.plot()
    axes.figure.canvas.draw()
    assert np.clip(axes.get_xlim(), -2, 2).tolist() == list(axes.get_xlim())
    assert np.clip(axes.get_ylim(), -1, 3).tolist() == list(axes.get_ylim())


def test_a_race_of_one_step_and_one_without_minima_are_drawn():
    (run,) = (raced := race("bowl", "SGD", steps=1, lr=0.1)).runs
    [(path, _)] = race_paths(raced.plot())[1]
    np.testing.assert_array_equal(np.transpose(path.get_data()), run.theta[:, 0])
    slope = Surface(lambda x, y: x + 2 * y)
    axes = race(slope, "SGD", steps=5, lr=0.01).plot()
    assert not any(len(line.get_xdata()) for line in axes.get_lines() if line.get_label() == "goal")
    assert axes.get_title() == "your function, 5 steps: SGD, still moving"
    assert (
        race(slope, ["SGD", "Adam"], steps=5, lr=0.01).plot().get_title()
        == "your function, 5 steps, no goal"
    )
    assert race_table(axes) == {"SGD": ("0.01", "still moving")}
    axes.figure.canvas.draw()


def test_a_flat_surface_is_drawn():
    axes = race(lambda x, y: 0 * x * y + 1, "SGD", steps=2, lr=0.01).plot()
    axes.figure.canvas.draw()
    assert race_table(axes)["SGD"][0] == "0.01"


def finder():
    """A rate finder that has tried five rates."""
    finder = dl.callbacks.RateFinder(steps=5)
    finder.rates, finder.losses = [0.01, 0.1, 1.0, 10.0, 100.0], [2.0, 1.8, 1.0, 1.1, 3.0]
    return finder


@pytest.mark.parametrize(
    "draw",
    [
        lambda path, race: race.plot(path),
        lambda path, race: SCHEDULES[0].plot(9, path),
        lambda path, race: history().plot(path)[0],
        lambda path, race: finder().plot(path),
    ],
)
def test_each_plot_writes_the_whole_figure_where_a_path_is_given(draw, bowl, tmp_path):
    path = str(tmp_path / "picture.png")
    figure = draw(path, bowl).figure
    written, (width, height) = pyplot.imread(path), figure.get_size_inches() * 100
    assert written.shape[:2] == (height, width)
    assert written[..., :3].min() < 0.5 < written[0, 0, :3].min()
    for axes in figure.axes:  # each is in the picture
        box = axes.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        left, low, right, high = (100 * np.ravel(box)).astype(int)
        assert np.ptp(written[int(height) - high : int(height) - low, left:right]) > 0.3
    with pytest.raises(ValueError, match=r"^plot: the name must end in \.png, \.svg, \.pdf"):
        draw(tmp_path / "picture.jpg", bowl)
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".svg", ".pdf"])
def test_a_picture_of_a_race_is_written_as_its_name_says(suffix, bowl, tmp_path):
    path = tmp_path / f"race{suffix}"
    axes = bowl.plot(path)
    assert path.read_bytes()[:5] == {".svg": b"<?xml", ".pdf": b"%PDF-"}.get(suffix, b"\x89PNG\r")
    if suffix == ".png":
        assert pyplot.imread(path).shape[:2] == (560, 1000)
    assert axes.get_title() == bowl.plot().get_title()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("race.jpg", ValueError, "plot: the name must end in .png, .svg, .pdf"),
        ("race", ValueError, "got "),
        ("no/race.png", FileNotFoundError, "plot: .* can't be written .there is no folder"),
        ("folder.png", IsADirectoryError, "it is a folder"),
    ],
)
def test_a_path_that_cannot_be_written_raises_with_the_reason(name, error, message, bowl, tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(error, match=message):
        bowl.plot(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.png"]


def test_a_picture_that_fails_leaves_the_file_as_it_was(bowl, tmp_path, monkeypatch):
    path = tmp_path / "race.png"
    path.write_text("kept")
    axes = bowl.plot()

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(axes, "draw", full)
    with pytest.raises(OSError, match=r"plot: .* can't be written \(No space left on device"):
        plots.save(axes.figure, path)
    assert path.read_text() == "kept"


def test_pictures_are_white_whatever_the_user_has_set(bowl):
    with pyplot.style.context("dark_background"):
        for axes in (bowl.plot(), SCHEDULES[0].plot(9), history().plot()[0]):
            assert colors.to_hex(axes.figure.get_facecolor()) == "#ffffff"
            assert colors.to_hex(axes.get_facecolor()) == "#ffffff"


def test_a_picture_leaves_the_settings_of_the_user_as_they_are(bowl, tmp_path):
    with mpl.rc_context({"font.size": 7, "lines.linewidth": 9, "savefig.dpi": 50}):
        before = dict(mpl.rcParams)
        bowl.plot(tmp_path / "race.png")
        SCHEDULES[0].plot(9)
        assert dict(mpl.rcParams) == before
    assert pyplot.imread(tmp_path / "race.png").shape[:2] == (560, 1000)


# --- pyplot -------------------------------------------------------------------------------------


def everything_set():
    """The state of pyplot and Matplotlib that a plot could change."""
    figure = pyplot.gcf()
    return (
        pyplot.get_fignums(),
        figure,
        figure.gca(),
        len(figure.axes),
        pyplot.isinteractive(),
        mpl.get_backend(),
        dict(mpl.rcParams),
        list(warnings.filters),
    )


OUTSIDE_OF_PYPLOT = {
    "a film": lambda folder, race: race.animate(frames=2).save(folder / "1.gif", writer="pillow"),
    "the file of a film": lambda folder, race: race.animate(folder / "race.gif", frames=2),
    "the file of a race": lambda folder, race: race.plot(folder / "race.png"),
    "the page of a race": lambda folder, race: race.save(folder / "race.html"),
    "a figure": lambda folder, race: figures.landscape(),
    "the file of a figure": lambda folder, race: list(figures.write(folder, "momentum_arrows")),
    "the file of a schedule": lambda folder, race: SCHEDULES[0].plot(9, folder / "rate.png"),
    "the file of a training": lambda folder, race: history().plot(folder / "history.png"),
    "the file of a rate finder": lambda folder, race: finder().plot(folder / "rates.png"),
}


@pytest.mark.parametrize("name", OUTSIDE_OF_PYPLOT)
def test_films_figures_and_files_leave_pyplot_as_they_found_it(name, bowl, tmp_path):
    pyplot.figure()
    pyplot.subplots()
    before = everything_set()
    OUTSIDE_OF_PYPLOT[name](tmp_path, bowl)
    assert everything_set() == before


INSIDE_PYPLOT = {
    "a race": lambda race: race.plot(),
    "a schedule": lambda race: SCHEDULES[0].plot(9),
    "a training": lambda race: history().plot()[0],
    "a rate finder": lambda race: finder().plot(),
}


@pytest.mark.parametrize("name", INSIDE_PYPLOT)
def test_a_plot_opens_one_figure_and_changes_nothing_else(name, bowl):
    mine = pyplot.figure()
    *_, backend, settings, filters = everything_set()
    axes = INSIDE_PYPLOT[name](bowl)
    assert pyplot.get_fignums() == [mine.number, axes.figure.number]
    assert pyplot.gcf() is axes.figure
    assert everything_set()[-3:] == (backend, settings, filters)
    pyplot.close(axes.figure)
    assert pyplot.get_fignums() == [mine.number]


def test_a_plot_that_fails_opens_no_figure(bowl, monkeypatch):
    def fail(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "_fix_tick_size", fail)
    for plot in INSIDE_PYPLOT.values():
        with pytest.raises(KeyboardInterrupt):
            plot(bowl)
    assert not pyplot.get_fignums()


LAZY = """
import sys
import minidl as dl
race = dl.viz.race("bowl", ["SGD"], steps=2)
race.plot("race.png")
film = race.animate("race.gif", frames=2)
print("a_backend" in sys.modules)
axes = race.plot()
import matplotlib as mpl
print("a_backend" in sys.modules, mpl.rcParams["interactive"], mpl.rcParams["font.size"])
"""


def test_a_backend_is_loaded_by_a_plot_alone_and_what_it_sets_remains(tmp_path):
    (tmp_path / "a_backend.py").write_text(
        "import matplotlib as mpl\n"
        "from matplotlib.backends.backend_agg import *\n"
        "mpl.rcParams['interactive'] = True\n"  # as in a notebook
    )
    environment = {**os.environ, "MPLBACKEND": "module://a_backend"}
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{tmp_path}"
    run = subprocess.run(
        [sys.executable, "-c", LAZY], cwd=tmp_path, env=environment, check=True,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.stdout.split() == ["False", "True", "True", "10.0"]


def test_a_picture_outside_of_pyplot_shows_itself_in_a_notebook():
    figure = plots.new_figure(figsize=(3, 2), dpi=50)
    figure.subplots().plot([0, 1])
    assert pyplot.imread(io.BytesIO(figure._repr_png_())).shape == (100, 150, 4)
