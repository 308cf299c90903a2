"""Pictures of schedules, by the data in them."""

import dataclasses
import inspect
import itertools
import sys

import matplotlib as mpl
import numpy as np
import pytest
from drawn import check_texts, drawn_texts

import minidl as dl
from minidl import schedulers

mpl.use("Agg")
from matplotlib import pyplot

from minidl.viz import style
from minidl.viz.figures.learning import digits, rate_and_loss, split, usual
from minidl.viz.figures.schedules import call, every_schedule, examples, warm_up_and_cool_down
from minidl.viz.plots import TINTS

SCHEDULES = {
    name
    for name, thing in vars(schedulers).items()
    if not name.startswith("_")
    and inspect.isclass(thing)
    and issubclass(thing, schedulers.Schedule)
    and dataclasses.is_dataclass(thing)
}
EXAMPLES = examples()


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    pyplot.close("all")


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
    for title, schedule in examples(steps).items():
        (drawn,) = panels(every_schedule({title: schedule}, steps=steps))
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
        texts = [text for text in axes.texts if text.get_text() != "the loss it watches"]
        assert [text.get_text().replace("\n", " ") for text in texts] == list(names)
        assert {text.get_rotation() for text in texts} == {0}
        for (start, end), text in zip(spans(axes), texts, strict=True):
            assert text.get_position()[0] == (start + end) / 2
        for name, span in zip(names, axes.patches, strict=True):
            colour = mpl.colors.to_hex(span.get_facecolor()).upper()
            assert TINTS.get(name, colour) == colour
            assert (colour in TINTS.values()) == (name in TINTS)


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


def test_a_schedule_of_ones_own_is_drawn_under_its_name():
    class Mine(schedulers.Schedule):
        def formula(self, t):
            return 1.0 + t

    (axes,) = panels(every_schedule([Mine()], steps=5))
    assert heading(axes) == "Mine()"
    assert rates(axes.get_lines()[0]) == [1, 2, 3, 4, 5]


def test_own_titles_and_columns_are_taken():
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
def test_every_schedule_refuses_what_it_cannot_draw(arguments, error, message):
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
    words = [text.get_text() for text in axes.texts]
    assert [w for w in words if w in ("warm-up", "constant", "cool-down", "end")] == [
        "warm-up", "constant", "cool-down", "end",
    ]  # fmt: skip
    for said in "first steps", "cover the distance", "settle", "linear", "cosine", "one_minus_sqrt":
        assert sum(said in text for text in words) == 1, said


def test_the_label_of_a_shape_has_the_colour_of_its_line_and_stands_close_to_it():
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
    assert not any("first steps" in words for words in rotations)


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
def test_ramps_refuse_what_they_cannot_draw(arguments, error, message):
    with pytest.raises(error, match=message):
        warm_up_and_cool_down(**arguments)
    assert not pyplot.get_fignums()


# --- what they do to the loss -------------------------------------------------------------------


def train(rate, training, validation, epochs, seed=0):
    """The same training, written out."""
    model = dl.nn.MLP([64, 32, 32, 10], rng=seed)
    loader = dl.data.DataLoader(*training, 16, rng=seed)
    return dl.fit(
        model, dl.losses.cross_entropy, dl.optim.Adam(model, lr=rate), loader,
        epochs=epochs, validation=validation, progress=False,
    )  # fmt: skip


def test_rates_and_losses_are_those_of_an_independent_training_of_the_same_seed():
    figure = rate_and_loss(epochs=3, smooth=20, seed=4)
    training, validation = split(*digits(), seed=4)
    for place, (label, schedule) in enumerate(usual(270).items()):
        history = train(schedule, training, validation, 3, seed=4)
        rate, loss, unseen = (axes.get_lines()[place] for axes in figure.axes)
        assert {line.get_label() for line in (rate, loss, unseen)} == {label}
        assert len({line.get_color() for line in (rate, loss, unseen)}) == 1
        assert rate.get_xdata().tolist() == list(range(1, 271))
        assert rates(rate) == history.lr == [schedule(t) for t in range(270)]
        means = [np.mean(history.step_loss[t - 20 : t]) for t in range(20, 271)]
        np.testing.assert_allclose(loss.get_ydata(), means, rtol=1e-9)
        assert loss.get_xdata().tolist() == list(range(20, 271))
        assert rates(unseen) == history.validation
        assert unseen.get_xdata().tolist() == [90, 180, 270]


def test_the_picture_shows_that_the_loss_settles_where_the_rate_falls():
    figure = rate_and_loss()
    for axes in figure.axes[1:]:
        constant, cosine, cooled = (line.get_ydata()[-1] for line in axes.get_lines())
        assert cosine < constant / 2
        assert cooled < constant / 2
        assert [float(text.get_text()) for text in axes.texts] == [
            float(f"{value:.2g}") for value in sorted((constant, cosine, cooled))
        ]
    training = figure.axes[1].get_lines()[2]
    at = dict(zip(*training.get_data(), strict=True))
    assert at[1080] < at[810] / 5  # the cool-down begins at 810
    assert at[810] > at[400] / 5


def test_the_panels_share_the_steps_and_say_what_is_smoothed():
    figure = rate_and_loss(usual(90), epochs=1, smooth=7)
    assert [axes.get_ylabel().replace("\n", " ") for axes in figure.axes] == [
        "learning rate η", "training loss, mean of 7 steps", "validation loss",
    ]  # fmt: skip
    assert figure.axes[-1].get_xlabel() == "step"
    assert len({axes.get_xlim() for axes in figure.axes}) == 1


def test_a_training_that_has_been_run_is_drawn_as_it_is(rng):
    x, y = rng.standard_normal((40, 2)), np.arange(40) % 2
    model = dl.nn.MLP([2, 4, 2], rng=0)
    optimizer = dl.optim.SGD(model, lr=0.1)
    history = dl.fit(model, dl.losses.cross_entropy, optimizer, (x, y), epochs=5, progress=False)
    figure = rate_and_loss({"mine": history}, smooth=1)
    rate, loss = (axes.get_lines()[0] for axes in figure.axes)
    assert rates(rate) == history.lr
    np.testing.assert_allclose(rates(loss), history.step_loss)
    mixed = rate_and_loss({"mine": history, "flat": 0.1}, data=(x, y), hidden=(), epochs=2)
    assert [line.get_label() for line in mixed.axes[0].get_lines()] == ["mine", "flat"]


def test_a_rule_and_data_of_ones_own_are_taken(rng):
    x = rng.standard_normal((50, 3))
    y = (x[:, 0] > 0).astype(int)
    figure = rate_and_loss(
        {"rate 0.5": 0.5}, data=(x, y), optimizer=dl.optim.SGD, hidden=(4,), epochs=2, batch_size=10
    )
    assert rates(figure.axes[0].get_lines()[0]) == [0.5] * 8


def test_a_plateau_observes_the_validation_loss_and_keeps_no_memory_of_it(rng):
    x, y = rng.standard_normal((50, 3)), rng.integers(0, 2, 50)
    plateau = schedulers.ReduceOnPlateau(0.5, factor=0.5, patience=0)
    figure = rate_and_loss({"plateau": plateau}, data=(x, y), epochs=6, batch_size=40)
    rate, _, validation = (axes.get_lines()[0].get_ydata() for axes in figure.axes)
    again = schedulers.ReduceOnPlateau(0.5, factor=0.5, patience=0)
    for epoch, loss in enumerate(validation):
        assert rate[epoch] == again(0)
        again.observe(loss)
    assert rate[-1] < plateau(0) == 0.5


def test_a_training_that_diverges_is_drawn_as_far_as_it_went(rng):
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
        ({"schedules": {"a": dl.History()}}, ValueError, "'a' holds no step yet"),
        ({"optimizer": "Adam"}, TypeError, r"such as dl\.optim\.Adam, got 'Adam'"),
        ({"smooth": 0}, ValueError, "smooth must be a whole number ≥ 1"),
        ({"epochs": 0, "data": DATA}, ValueError, "epochs must be a whole number ≥ 1"),
        ({"batch_size": None, "data": DATA}, TypeError, "batch_size must be a whole number"),
        ({"data": DATA[0]}, TypeError, r"data must be a pair \(x, y\), got ndarray"),
        ({"data": (DATA[0], DATA[0])}, ValueError, r"got \(10, 2\) and \(10, 2\)"),
        ({"data": (DATA[0][:4], DATA[1][:4])}, ValueError, "5 samples or more"),
        ({"data": (DATA[0], DATA[1] / 2)}, ValueError, "y must be classes 0, 1, 2"),
        ({"data": (DATA[0], DATA[1] - 1)}, ValueError, "y must be classes 0, 1, 2"),
    ],
)
def test_rate_and_loss_refuses_what_it_cannot_train(arguments, error, message):
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


# --- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw", [every_schedule, warm_up_and_cool_down, rate_and_loss], ids=lambda f: f.__name__
)
def test_no_texts_overlap_or_leave_the_picture(draw):
    assert len(check_texts(draw())) > 10


@pytest.mark.parametrize(
    "draw", [every_schedule, warm_up_and_cool_down, rate_and_loss], ids=lambda f: f.__name__
)
def test_words_are_legible_on_a_slide(draw):
    figure = draw()
    assert figure.get_figwidth() <= 11
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 12


def test_the_names_of_phases_have_room_between_them():
    texts = drawn_texts(figure := every_schedule())
    for axes in panels(figure):
        boxes = sorted(
            (box.x0, box.x1) for text, box in texts.items()
            if text.axes is axes and text.get_transform() == axes.get_xaxis_transform()
        )  # fmt: skip
        assert boxes
        for (_, end), (start, _) in itertools.pairwise(boxes):
            assert start - end > 7  # pixels


@pytest.mark.parametrize("draw", [every_schedule, warm_up_and_cool_down])
def test_drawing_leaves_the_settings_of_matplotlib_alone(draw):
    before = dict(mpl.rcParams)
    figure = draw()
    assert dict(mpl.rcParams) == before
    assert figure.axes[0].get_lines()[0].get_linewidth() == style.STYLE["lines.linewidth"]


def test_a_plateau_inside_another_schedule_observes_too_and_the_users_stays_as_it_was():
    given = schedulers.WarmUp(schedulers.ReduceOnPlateau(0.1, factor=0.3, patience=2), 10)
    (axes,) = panels(every_schedule([given], columns=1))
    rates = axes.get_lines()[0].get_ydata()
    assert rates[0] == 0
    assert rates[10] == 0.1 > rates[-1] > 0
    assert given(500) == 0.1
    x, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    used = schedulers.ReduceOnPlateau(0.5, patience=0)
    used.observe(1.0)
    used.observe(2.0)
    assert used(0) < 0.5
    (line,) = every_schedule([used]).axes[0].get_lines()[:1]
    assert line.get_ydata()[0] == 0.5  # what is drawn begins anew
    plateau = schedulers.WarmUp(schedulers.ReduceOnPlateau(0.5, patience=0), 1)
    figure = rate_and_loss({"inside": plateau}, data=(x, y), hidden=(), epochs=30, batch_size=40)
    drawn = figure.axes[0].get_lines()[0].get_ydata()
    assert drawn[-1] < 0.5 == plateau(100)
