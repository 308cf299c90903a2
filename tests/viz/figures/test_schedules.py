"""Figures of schedules, by the data in their lines."""

import dataclasses
import inspect
import itertools

import matplotlib as mpl
import numpy as np
import pytest
from drawn import assert_texts_fit, drawn_texts
from matplotlib import pyplot

from minidl import schedulers
from minidl.viz import style
from minidl.viz.figures.schedules import call, every_schedule, examples, warm_up_and_cool_down
from minidl.viz.plots import PHASE_COLOURS

SCHEDULES = {
    name
    for name, thing in vars(schedulers).items()
    if not name.startswith("_")
    and inspect.isclass(thing)
    and issubclass(thing, schedulers.Schedule)
    and dataclasses.is_dataclass(thing)
}
EXAMPLES = examples()


def panels(figure):
    """The panels that are in use."""
    return [axes for axes in figure.axes if axes.axison]


def heading(axes):
    return axes.get_title(loc="left").replace("\n", " ").replace(" (", "(", 1)


def rates(line):
    return line.get_ydata().tolist()


def spans(axes):
    return [(span.get_x(), span.get_x() + span.get_width()) for span in axes.patches]


# --- every schedule -----------------------------------------------------------------------------


def test_every_schedule_of_the_module_has_a_panel():
    drawn = {heading(axes).partition("(")[0] for axes in panels(every_schedule())}
    assert drawn == SCHEDULES | {"warmup_stable_decay"}
    assert len(panels(every_schedule())) == len(drawn)


def test_each_panel_draws_the_rates_that_its_title_makes():
    names = {name: getattr(schedulers, name) for name in SCHEDULES | {"warmup_stable_decay"}}
    for axes in panels(every_schedule()):
        schedule = eval(heading(axes), names)  # titles of our own
        if not isinstance(schedule, schedulers.ReduceOnPlateau):
            (line,) = axes.get_lines()
            assert line.get_xdata().tolist() == list(range(1000))
            assert rates(line) == [schedule(t) for t in range(1000)], heading(axes)


@pytest.mark.parametrize("steps", [20, 100, 1001])
def test_examples_fit_any_number_of_steps(steps):
    for drawn in panels(every_schedule(examples(steps), steps=steps)):
        assert len(drawn.get_lines()[0].get_ydata()) == steps


def test_the_plateau_is_a_real_run_whose_rate_falls_when_its_loss_no_longer_does():
    plateau = schedulers.ReduceOnPlateau(0.1, factor=0.3, patience=2)
    (axes,) = panels(every_schedule([plateau]))
    rate, loss = (np.array(rates(line)) for line in axes.get_lines())
    assert plateau.memory == schedulers.ReduceOnPlateau(0.1).memory
    levels = [level for level, _ in itertools.groupby(rate)]
    np.testing.assert_allclose(levels, [0.1 * 0.3**k for k in range(len(levels))])
    assert len(levels) >= 3
    (first, *_) = np.flatnonzero(np.diff(rate))
    before, after = loss[first - 100 : first], loss[first + 100 : first + 200]
    assert abs(before[:50].mean() - before[50:].mean()) < 0.03 * np.ptp(loss)
    assert after.mean() < before.mean() - 0.1 * np.ptp(loss)


def test_the_phases_of_each_panel_are_shaded_and_named():
    for axes, schedule in zip(panels(every_schedule()), EXAMPLES.values(), strict=True):
        phases = [(start, name) for start, name in schedule.phases() if start < 1000]
        starts, names = zip(*phases, strict=True)
        assert spans(axes) == [*itertools.pairwise([*starts, 1000])]
        texts = [text for text in axes.texts if text.get_text() != "the loss it observes"]
        assert [text.get_text().replace("\n", " ") for text in texts] == list(names)
        assert {text.get_rotation() for text in texts} == {0}
        for (start, end), text in zip(spans(axes), texts, strict=True):
            assert text.get_position()[0] == (start + end) / 2
        for name, span in zip(names, axes.patches, strict=True):
            colour = mpl.colors.to_hex(span.get_facecolor()).upper()
            assert PHASE_COLOURS.get(name, colour) == colour
            assert (colour in PHASE_COLOURS.values()) == (name in PHASE_COLOURS)


@pytest.mark.parametrize(
    ("expected", "schedule"),
    [
        ("Constant(0.1)", schedulers.Constant(0.1)),
        ("StepDecay(0.1, every=10, factor=0.5)", schedulers.StepDecay(0.1, 10, 0.5)),
        ("PiecewiseConstant([1], [0.1, 0.2])", schedulers.PiecewiseConstant((1,), (0.1, 0.2))),
        ("WarmUp(0.1, steps=5, shape='cosine')", schedulers.WarmUp(0.1, 5, shape="cosine")),
        ("Sequence([(0.1, 5), 0.2])", schedulers.Sequence([(0.1, 5), 0.2])),
        ("ReduceOnPlateau(0.1)", schedulers.ReduceOnPlateau(0.1)),
    ],
)
def test_a_call_leaves_the_defaults_out(expected, schedule):
    assert call(schedule) == expected


def test_a_custom_schedule_is_drawn_under_its_name():
    class Mine(schedulers.Schedule):
        def formula(self, t):
            return 1.0 + t

    (axes,) = panels(every_schedule([Mine()], steps=5))
    assert heading(axes) == "Mine()"
    assert rates(axes.get_lines()[0]) == [1, 2, 3, 4, 5]


def test_titles_and_columns_can_be_set():
    chosen = {f"number {k}": schedulers.Constant(k) for k in range(1, 6)}
    figure = every_schedule(chosen, steps=1, columns=2)
    assert [heading(axes) for axes in panels(figure)] == list(chosen)
    assert len({axes.get_position().x0 for axes in figure.axes}) == 2
    assert panels(figure)[0].get_lines()[0].get_marker() == "o"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"steps": 19}, ValueError, "steps must be a whole number ≥ 20"),
        ({"columns": 1.5}, TypeError, "columns must be a whole number"),
        ({"schedules": schedulers.Constant(1)}, TypeError, "must be a list of schedules"),
        ({"schedules": 3}, TypeError, "must be a list of schedules"),
        ({"schedules": [0.1]}, TypeError, "'0.1' must be a schedule, such as"),
        ({"schedules": {"mine": 0.1}}, TypeError, "'mine' must be a schedule, such as"),
        ({"schedules": []}, ValueError, "give one or more"),
    ],
)
def test_invalid_arguments_of_every_schedule_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        every_schedule(**arguments)
    assert not pyplot.get_fignums()


# --- warm-up and cool-down ----------------------------------------------------------------------


def test_the_ramps_have_one_peak_and_the_shapes_of_the_schedules():
    (axes,) = warm_up_and_cool_down(peak=0.2, warmup=30, stable=40, cooldown=50, end=0.02).axes
    lines = {line.get_label(): rates(line) for line in axes.get_lines()}
    assert list(lines) == ["linear", "cosine", "one_minus_sqrt"]
    for shape, drawn in lines.items():
        warm = schedulers.WarmUp(0.2, 30, shape=shape)
        whole = schedulers.CoolDown(warm, 70, 50, end=0.02, shape=shape)
        assert drawn == [whole(t) for t in range(len(drawn))]
        assert max(drawn) == drawn[30] == drawn[70] == 0.2
        assert drawn[120:] == [0.02] * len(drawn[120:])
        assert len(drawn) > 121
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}) == 3


def test_the_phases_of_the_ramps_are_shaded_named_and_explained():
    (axes,) = warm_up_and_cool_down().axes
    assert spans(axes)[:3] == [(0, 250), (250, 600), (600, 1050)]
    texts = [text.get_text() for text in axes.texts]
    assert [w for w in texts if w in ("warm-up", "constant", "cool-down", "end")] == [
        "warm-up", "constant", "cool-down", "end",
    ]  # fmt: skip
    for said in "first steps", "cover the distance", "settle", "linear", "cosine", "one_minus_sqrt":
        assert sum(said in text for text in texts) == 1, said


def test_the_label_of_a_shape_has_the_colour_of_its_line_and_is_close_to_it():
    figure = warm_up_and_cool_down()
    (axes,) = figure.axes
    figure.canvas.draw()
    for line in axes.get_lines():
        (label,) = [t for t in axes.texts if t.get_text().startswith(line.get_label())]
        assert label.get_color() == line.get_color()
        box = label.get_window_extent()
        at = axes.transData.transform(line.get_xydata())
        gaps = np.maximum([box.x0, box.y0] - at, at - [box.x1, box.y1]).max(axis=1)
        assert 0 < gaps.min() < 20
        others = (other for other in axes.get_lines() if other is not line)
        assert all(not box.contains(*p) for o in others
                   for p in axes.transData.transform(o.get_xydata()))  # fmt: skip


def test_narrow_phases_are_named_upright_and_not_explained():
    (axes,) = warm_up_and_cool_down(warmup=10, stable=0, cooldown=500, shapes=["cosine"]).axes
    rotations = {text.get_text(): text.get_rotation() for text in axes.texts}
    assert rotations["warm-up"] == 90
    assert rotations["cool-down"] == 0
    assert not any("first steps" in text for text in rotations)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"peak": 0}, ValueError, "peak must be a finite number > 0"),
        ({"peak": "high"}, TypeError, "peak must be"),
        ({"warmup": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"stable": -1}, ValueError, "stable must be a whole number ≥ 0"),
        ({"cooldown": 2.5}, TypeError, "steps must be a whole number"),
        ({"shapes": ["cubic"]}, ValueError, "shape must be one of 'linear'"),
        ({"shapes": "linear"}, TypeError, "shapes must be a list"),
        ({"shapes": []}, TypeError, "shapes must be a list of one or more"),
    ],
)
def test_invalid_arguments_of_the_ramps_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        warm_up_and_cool_down(**arguments)
    assert not pyplot.get_fignums()


# --- both figures -------------------------------------------------------------------------------

draws = pytest.mark.parametrize("draw", [every_schedule, warm_up_and_cool_down])


@draws
def test_no_texts_overlap_or_leave_the_picture(draw):
    assert len(assert_texts_fit(draw())) > 10


@draws
def test_texts_are_legible_on_a_slide(draw):
    figure = draw()
    assert figure.get_figwidth() <= 11
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 12


def test_the_names_of_phases_do_not_touch():
    texts = drawn_texts(figure := every_schedule())
    for axes in panels(figure):
        boxes = sorted(
            (box.x0, box.x1) for text, box in texts.items()
            if text.axes is axes and text.get_transform() == axes.get_xaxis_transform()
        )  # fmt: skip
        assert boxes
        for (_, end), (start, _) in itertools.pairwise(boxes):
            assert start - end > 7  # pixels


@draws
def test_drawing_does_not_change_the_settings_of_matplotlib(draw):
    before = dict(mpl.rcParams)
    figure = draw()
    assert dict(mpl.rcParams) == before
    assert figure.axes[0].get_lines()[0].get_linewidth() == style.STYLE["lines.linewidth"]


def test_a_plateau_inside_another_schedule_observes_and_the_original_is_unchanged():
    given = schedulers.WarmUp(schedulers.ReduceOnPlateau(0.1, factor=0.3, patience=2), 10)
    (axes,) = panels(every_schedule([given], columns=1))
    rates = axes.get_lines()[0].get_ydata()
    assert rates[0] == 0
    assert rates[10] == 0.1 > rates[-1] > 0
    assert given(500) == 0.1


def test_a_plateau_that_has_observed_something_is_drawn_from_its_initial_state():
    used = schedulers.ReduceOnPlateau(0.5, patience=0)
    used.observe(1.0)
    used.observe(2.0)
    assert used(0) < 0.5
    (line,) = every_schedule([used]).axes[0].get_lines()[:1]
    assert line.get_ydata()[0] == 0.5
