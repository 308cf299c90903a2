"""The stills of the gallery, by the data in their artists."""

import functools
import itertools
import math

import matplotlib as mpl
import numpy as np
import pytest
from drawn import check_texts, drawn_texts

import minidl as dl
from minidl import optim

mpl.use("Agg")
from matplotlib import colors, patches, pyplot

from minidl.viz import style
from minidl.viz.figures.arrows import momentum_arrows, tilted_bowl
from minidl.viz.figures.batches import batch_paths, worked_example
from minidl.viz.figures.curve import STATIONARY, hills, landscape, stationary_points
from minidl.viz.figures.family import family_tree
from minidl.viz.figures.rates import learning_rates

FIGURES = {
    "family_tree": family_tree,
    "learning_rates": learning_rates,
    "landscape": landscape,
    "batch_paths": batch_paths,
    "momentum_arrows": momentum_arrows,
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    pyplot.close("all")


def line(axes, place=0):
    """The points of one line of a picture."""
    return np.transpose(axes.get_lines()[place].get_data())


# --- all pictures -------------------------------------------------------------------------------


@functools.cache
def usual(name):
    """A picture with its own settings, drawn once for the tests that only look at it."""
    return FIGURES[name]()


@pytest.mark.parametrize("name", FIGURES)
def test_no_words_of_a_picture_overlap_or_leave_it(name):
    assert len(check_texts(usual(name))) > 10


@pytest.mark.parametrize("name", FIGURES)
def test_words_are_legible_on_a_slide(name):
    assert min(text.get_fontsize() for text in drawn_texts(FIGURES[name]())) >= 13


@pytest.mark.parametrize("name", FIGURES)
def test_a_picture_is_a_figure_of_its_own_and_leaves_the_style_as_it_was(name):
    before = dict(mpl.rcParams)
    one, other = FIGURES[name](), usual(name)
    assert one is not other
    assert isinstance(one, mpl.figure.Figure)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", FIGURES.keys() - {"family_tree"})
def test_all_axes_say_what_they_show(name):
    figure = usual(name)
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert figure.axes[0].get_ylabel()


# --- the family tree ----------------------------------------------------------------------------


def boxes_and_arrows(figure):
    """The names in boxes, and for each arrow the names it leads from and to."""
    axes = figure.axes[0]
    boxes = {}
    for text in axes.texts:
        for box in axes.patches:
            if not isinstance(box, patches.FancyBboxPatch):
                continue
            if box.get_bbox().contains(*text.get_position()) and text.get_weight() == "bold":
                boxes[text.get_text()] = box

    def owner(point):
        close = {
            name: max(abs(point[0] - b.get_x() - b.get_width() / 2) / b.get_width(),
                      abs(point[1] - b.get_y() - b.get_height() / 2) / b.get_height())
            for name, b in boxes.items()
        }  # fmt: skip
        assert min(close.values()) == pytest.approx(0.5, abs=0.01)
        return min(close, key=close.get)

    paths = [p._path_original for p in axes.patches if isinstance(p, patches.FancyArrowPatch)]
    return boxes, [(owner(path.vertices[0]), owner(path.vertices[-1])) for path in paths]


RULES = {
    name: rule
    for name, rule in vars(optim).items()
    if isinstance(rule, type) and issubclass(rule, optim.Optimizer) and rule.equations
}


def test_each_rule_has_a_box_and_each_of_its_ideas_an_arrow():
    boxes, arrows = boxes_and_arrows(family_tree())
    ancestors = {parent for rule in RULES.values() for parent in rule.adds} - RULES.keys()
    assert ancestors == {"gradient descent"}
    assert boxes.keys() == RULES.keys() | ancestors
    assert sorted(arrows) == sorted(
        (parent, name) for name, rule in RULES.items() for parent in rule.adds
    )


def test_the_tree_has_the_arrows_of_the_article():
    arrows = boxes_and_arrows(family_tree())[1]
    assert set(arrows) >= {
        ("gradient descent", "SGD"), ("SGD", "Momentum"), ("Momentum", "NAG"), ("NAG", "Nadam"),
        ("SGD", "Adagrad"), ("Adagrad", "RMSprop"), ("Adagrad", "Adadelta"),
        ("Momentum", "Adam"), ("RMSprop", "Adam"), ("Adam", "Nadam"),
    }  # fmt: skip


def test_what_a_rule_adds_is_written_in_the_tree_word_by_word():
    texts = [" ".join(text.get_text().split()) for text in family_tree().axes[0].texts]
    for rule in RULES.values():
        assert set(rule.adds.values()) <= set(texts)
    assert {"Polyak 1964", "Kingma & Ba 2015", "Nesterov 1983", "Hinton 2012"} <= set(texts)


def test_heirs_stand_below_their_ancestors_and_boxes_apart():
    boxes, arrows = boxes_and_arrows(family_tree())
    for above, below in arrows:
        assert boxes[above].get_y() > boxes[below].get_y() + boxes[below].get_height()
    extents = [box.get_bbox() for box in boxes.values()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(extents, 2))


def curve(patch):
    """Points along an arrow."""
    return patch._path_original.interpolated(1).to_polygons(closed_only=False)[0]


def test_no_arrow_of_the_tree_crosses_another_or_a_box():
    figure = family_tree()
    drawn = [p for p in figure.axes[0].patches if isinstance(p, patches.FancyArrowPatch)]
    paths = [mpl.path.Path(curve(arrow)[1:-1]) for arrow in drawn]
    for one, other in itertools.combinations(paths, 2):
        assert not one.intersects_path(other, filled=False)
    boxes, arrows = boxes_and_arrows(figure)
    for path, ends in zip(paths, arrows, strict=True):
        for name in boxes.keys() - set(ends):
            assert not path.intersects_bbox(boxes[name].get_bbox(), filled=False)


class Heavy(optim.Momentum):
    """Momentum with a heavy ball (Atlas 2030), an invention."""

    adds = {"Momentum": "weight", "stones": "none of their size"}


def test_a_new_rule_appears_by_itself_with_its_ancestors_source_and_family_colour(monkeypatch):
    monkeypatch.setitem(optim.RULES, "Heavy", Heavy)
    figure = family_tree()
    boxes, arrows = boxes_and_arrows(figure)
    assert {("Momentum", "Heavy"), ("stones", "Heavy")} <= set(arrows)
    assert "Atlas 2030" in [text.get_text() for text in figure.axes[0].texts]
    assert boxes["Heavy"].get_edgecolor() == colors.to_rgba(style.LOOKS["Momentum"].colour)


def test_a_rule_without_words_of_its_own_stems_from_its_class():
    silent = type("Silent", (optim.Adam,), {})
    _, arrows = boxes_and_arrows(family_tree({"Adam": optim.Adam, "Silent": silent}))
    assert sorted(arrows) == [("Adam", "Silent"), ("Momentum", "Adam"), ("RMSprop", "Adam")]


@pytest.mark.parametrize("heirs", [1, 9])
def test_a_tree_has_room_for_few_rules_and_for_many(heirs):
    names = [f"Rule{i}" for i in range(heirs)]
    rules = {n: type(n, (optim.SGD,), {"adds": {"SGD": "something quite new"}}) for n in names}
    figure = family_tree(rules)
    _, arrows = boxes_and_arrows(figure)
    assert sorted(arrows) == [("SGD", name) for name in sorted(names)]
    assert figure.get_size_inches()[1] >= 5.6
    extents = [*drawn_texts(figure).values()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(extents, 2))
    assert all(figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1 for box in extents)


def circle(one, other):
    """Two rules, each an heir of the other."""
    pairs = ((one, other), (other, one))
    return {n: type(n, (optim.SGD,), {"adds": {above: "itself"}}) for n, above in pairs}


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ([optim.SGD], TypeError, "rules must be a mapping of names to classes"),
        ({"it": dict}, TypeError, r"rules\['it'\] must be an Optimizer class with equations"),
        ({"it": optim.Optimizer}, TypeError, "must be an Optimizer class with equations"),
        ({}, ValueError, "rules holds no rule"),
        (circle("hen", "egg"), ValueError, "their own ancestors: hen ← egg ← hen"),
    ],
)
def test_what_makes_no_tree_is_refused(rules, error, message):
    with pytest.raises(error, match=f"^family_tree: .*{message}"):
        family_tree(rules)
    assert not pyplot.get_fignums()


# --- the learning rate --------------------------------------------------------------------------


@pytest.mark.parametrize(("curvature", "steps"), [(4.0, 10), (0.5, 3)])
def test_jumps_and_ends_of_each_rate_are_those_of_the_closed_form(curvature, steps):
    shares = np.array([0.05, 1, 1.9, 2.4])
    figure = learning_rates(list(shares / curvature), curvature=curvature, steps=steps)
    *panels, ends = figure.axes
    for share, axes in zip(shares, panels, strict=True):
        theta = (1 - share) ** np.arange(steps + 1)
        points = np.transpose([theta, curvature / 2 * theta**2])
        np.testing.assert_allclose(line(axes, 1), points, rtol=1e-12, atol=1e-14)
    sweep, loss = line(ends).T
    closed = curvature / 2 * (1 - sweep * curvature) ** (2 * steps)
    np.testing.assert_allclose(loss, closed, rtol=1e-9, atol=1e-30)
    dots = [line(ends, i)[0] for i in range(len(ends.lines)) if ends.lines[i].get_marker() == "o"]
    losses = curvature / 2 * (1 - shares) ** (2 * steps)
    np.testing.assert_allclose(dots, np.transpose([shares / curvature, losses]), atol=1e-14)


def test_the_threshold_is_marked_where_the_loss_begins_to_grow():
    ends = learning_rates(curvature=8.0).axes[-1]
    sweep, loss = line(ends).T
    upright = [drawn.get_xdata()[0] for drawn in ends.lines if drawn.get_linestyle() == "--"]
    assert upright == [1 / 8, 2 / 8]
    assert np.array_equal(loss > 4 * (1 + 1e-9), sweep > 2 / 8 + 1e-12)
    assert ends.patches[0].get_x() == 2 / 8
    said = " ".join(text.get_text() for text in ends.texts)
    assert "1/λ = 0.125" in said
    assert "2/λ = 0.25" in said


@pytest.mark.parametrize(
    ("share", "steps", "verdict", "words"),
    [
        (0.01, 10, "too small", "only 10% of the way"),
        (0.08, 10, "too small", "only 57% of the way"),
        (0.2, 10, "right", "89% of the way"),
        (0.6, 10, "right", "it arrives"),
        (0.6, 1, "right", "60% of the way"),
        (0.3, 1, "too small", "only 30% of the way"),
        (1, 10, "right", "it arrives"),
        (1, 1, "right", "it arrives"),
        (1.7, 10, "large", "it overshoots"),
        (1.99, 10, "large", "it overshoots"),
        (2, 10, "too large", "it swings for ever"),
        (2, 1, "too large", "it swings for ever"),
        (2.01, 1, "too large", "it diverges"),
        (3, 10, "too large", "it diverges"),
    ],
)
@pytest.mark.parametrize("curvature", [4.0, 0.3])  # 1 − ηλ exactly, and with rounding
def test_a_rate_is_judged_by_its_run(share, steps, verdict, words, curvature):
    rate = share / curvature
    axes = learning_rates([rate], curvature=curvature, steps=steps).axes[0]
    assert axes.get_title() == f"{verdict}: η = {rate:g}\n{words}"


@pytest.mark.parametrize(("steps", "words"), [(1, "1 step"), (2, "2 steps")])
def test_the_loss_is_that_after_so_many_steps(steps, words):
    assert learning_rates(steps=steps).axes[-1].get_ylabel() == f"loss after {words}"


def test_a_rate_that_overflows_is_still_drawn():
    figure = learning_rates([1e6], curvature=1e6, steps=100)
    figure.canvas.draw()
    assert figure.axes[0].get_title().startswith("too large")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rates": 0.1}, TypeError, "rates must be one to four numbers"),
        ({"rates": []}, ValueError, "rates must be one to four numbers > 0, got 0"),
        ({"rates": [0.1] * 5}, ValueError, "rates must be one to four numbers > 0, got 5"),
        ({"rates": [0.1, -1]}, ValueError, r"rates\[1\] must be a finite number > 0"),
        ({"rates": ["0.1"]}, TypeError, r"rates\[0\] must be a finite number"),
        ({"curvature": 0}, ValueError, "curvature must be a finite number > 0"),
        ({"curvature": math.nan}, ValueError, "curvature must be"),
        ({"steps": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"steps": 1.5}, TypeError, "steps must be a whole number"),
    ],
)
def test_rates_that_cannot_be_drawn_are_refused(options, error, message):
    with pytest.raises(error, match=f"^learning_rates: {message}"):
        learning_rates(**options)
    assert not pyplot.get_fignums()


# --- the landscape ------------------------------------------------------------------------------


def test_the_flat_places_of_the_hills_are_found_and_named():
    points = stationary_points(hills, -0.75, 3.25)
    np.testing.assert_allclose([p.theta for p in points], sorted(set(STATIONARY)), atol=1e-5)
    kinds = ["saddle", "local minimum", "local maximum", "global minimum"]
    assert [p.kind for p in points] == kinds


@pytest.mark.parametrize(
    ("f", "found"),
    [
        (lambda x: x**3, [(0, "saddle")]),
        (lambda x: x**4, [(0, "global minimum")]),
        (lambda x: -(x**2), [(0, "local maximum")]),
        (
            lambda x: (x**2 - 1) ** 2,
            [(-1, "global minimum"), (0, "local maximum"), (1, "global minimum")],
        ),
        (lambda x: x + 2 * dl.tanh(x), []),
        (lambda x: dl.exp(x), []),
    ],
    ids=["cube", "fourth power", "hill", "two wells", "rising", "exponential"],
)  # fmt: skip
def test_flat_places_are_where_calculus_says(f, found):
    points = stationary_points(f, -2.0, 2.1)
    assert [p.kind for p in points] == [kind for _, kind in found]
    np.testing.assert_allclose([p.theta for p in points], [at for at, _ in found], atol=1e-3)


def balls(figure):
    """The trail of each rule, as θ and height."""
    return [
        np.transpose(drawn.get_data())
        for drawn in figure.axes[0].lines
        if len(drawn.get_xdata()) == 201
    ]


def test_the_three_rules_end_at_a_saddle_a_local_and_the_global_minimum():
    figure = landscape()
    sgd, momentum, adam = (path[-1, 0] for path in balls(figure))
    assert sgd == pytest.approx(0, abs=0.05)
    assert momentum == pytest.approx(1.25, abs=0.01)
    assert adam == pytest.approx(2.8, abs=0.01)
    title = " ".join(figure.axes[0].get_title().split())
    assert "SGD at a saddle, Momentum at a local minimum, Adam at the global minimum" in title
    assert "200 steps from θ = −0.6 at η = 0.5 (paths lifted a little, to be seen)" in title


def test_trails_are_the_rules_own_and_lie_on_the_curve():
    roots = np.array(STATIONARY)
    powers = np.polynomial.Polynomial.fromroots(roots).integ() * 0.06
    paths = balls(landscape())
    for path in paths:
        np.testing.assert_allclose(path[:, 1], powers(path[:, 0]), atol=1e-12)
    theta, v, slope = -0.6, 0.0, powers.deriv()
    plain, heavy = [theta], [theta]
    for _ in range(200):
        plain.append(plain[-1] - 0.5 * slope(plain[-1]))
        v = 0.9 * v + 0.1 * slope(heavy[-1])
        heavy.append(heavy[-1] - 0.5 * v)
    np.testing.assert_allclose(paths[0][:, 0], plain, atol=1e-9)
    np.testing.assert_allclose(paths[1][:, 0], heavy, atol=1e-9)


def test_trails_run_in_lanes_of_their_own():
    figure = landscape(rules={"SGD": 0.1, "Adam": 0.1, "Lion": 0.1})
    lanes = [
        drawn.get_transform() for drawn in figure.axes[0].lines if len(drawn.get_xdata()) == 201
    ]
    heights = [lane.transform((0.0, 0.0))[1] for lane in lanes]
    assert np.all(np.diff(heights) > 10)


def test_a_landscape_can_be_of_another_function_and_of_rules_at_their_own_rates():
    figure = landscape(
        lambda x: x**2, start=1.0, rules={"SGD": 0.25, "NAG": 0.2}, steps=200, between=(-2, 2)
    )
    np.testing.assert_allclose(balls(figure)[0][:, 0], 0.5 ** np.arange(201), atol=1e-12)
    assert "η" not in figure.axes[0].get_title()
    words = {text.get_text() for text in figure.axes[0].texts}
    assert words == {"global\nminimum", "start", "SGD", "NAG"}


@pytest.mark.parametrize(("start", "side"), [(-2.0, "right"), (1.0, "left"), (2.0, "left")])
def test_the_start_is_marked_and_its_name_stands_uphill_within_the_picture(start, side):
    figure = landscape(lambda x: x**2, start=start, rules={"SGD": 0.1}, between=(-2, 2))
    (axes,) = figure.axes
    assert [start, start**2] in [line(axes, i).ravel().tolist() for i in range(len(axes.lines))]
    (name,) = (text for text in axes.texts if text.get_text() == "start")
    assert (name.xy, name.get_ha()) == ((start, start**2), side)
    box, frame = drawn_texts(figure)[name], axes.bbox
    assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
    assert "lifted" not in axes.get_title()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": 9.0}, ValueError, "start must be a finite number ≥ -0.75 and ≤ 3.25"),
        ({"steps": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"between": 3}, TypeError, "between must be two numbers"),
        ({"between": (1, 1)}, ValueError, "between must be two numbers"),
        ({"between": (1, 2, 3)}, ValueError, "between must be two numbers"),
        ({"rules": ["SGD"]}, TypeError, "rules must be rates by name"),
        ({"rules": {}}, ValueError, "rules names no rule"),
        ({"rules": {"SDG": 0.1}}, ValueError, r"no rule 'SDG'\. Did you mean 'SGD'\? There"),
        ({"rules": {"SGD": 1e9}}, ValueError, r"f\(\S+\) is (inf|nan); choose another start"),
        ({"rules": {"SGD": -1}}, ValueError, r"rules\['SGD'\] must be a finite number ≥ 0"),
        ({"f": lambda x: 3.0}, TypeError, "f must give a Tensor, got 3.0"),
        ({"f": lambda x: x.sum()}, TypeError, r"shape \(2001,\), entry by entry; it gave one of"),
        ({"f": lambda x: x if x > 0 else -x}, TypeError, r"entry by entry \(dl.where in place of"),
        ({"f": lambda x: dl.log(x)}, ValueError, r"f\(-0.75\) is nan"),
        ({"f": lambda x: dl.Tensor(x.data)}, TypeError, "does not depend on θ"),
        ({"f": lambda x: dl.where(x > 1.0, x * math.nan, x)}, ValueError, r"f\(1.00\d*\) is nan"),
    ],
)  # fmt: skip
def test_a_landscape_that_cannot_be_drawn_is_refused(options, error, message):
    with pytest.raises(error, match=f"^landscape: .*{message}"):
        landscape(**options)
    assert not pyplot.get_fignums()


# --- batches ------------------------------------------------------------------------------------


def gradient(theta, x, y):
    error = x * theta[0] + theta[1] - y
    return np.array([np.mean(2 * error * x), np.mean(2 * error)])


@pytest.mark.parametrize("size", [None, 16, 1])
def test_a_path_is_plain_gradient_descent_on_the_batches_of_the_loader(size):
    figure = batch_paths(batch_size=[size], updates=40, lr=0.004, start=(1.0, 2.0), seed=5)
    x, y = worked_example()
    loader = dl.data.DataLoader(x, y, size, rng=5)
    batches = itertools.islice((b for _ in itertools.count() for b in loader), 40)
    path = [np.array([1.0, 2.0])]
    for batch_x, batch_y in batches:
        path.append(path[-1] - 0.004 * gradient(path[-1], batch_x, batch_y))
    np.testing.assert_allclose(line(figure.axes[0]), path, rtol=1e-10)


def test_the_star_is_the_least_squares_answer_of_the_article():
    for axes in batch_paths().axes:
        (star,) = (drawn for drawn in axes.lines if drawn.get_marker() == "*")
        np.testing.assert_allclose(np.ravel(star.get_data()), [1.9936935, 1.22215108], rtol=1e-7)


def test_contours_are_lines_of_equal_loss_of_all_points():
    x, y = worked_example()
    axes = batch_paths(batch_size=[1], updates=50).axes[0]
    (contours,) = axes.collections
    levels = 0
    for path in contours.get_paths():
        if not len(path.vertices):
            continue
        slope, intercept = path.vertices.T
        loss = np.mean((x * slope + intercept - y) ** 2, axis=0)
        floor = np.mean((x * 1.9936935 + 1.22215108 - y) ** 2)
        assert np.ptp(loss) < 0.05 * (loss.mean() - floor)
        levels += 1
    assert levels >= 3


@pytest.mark.parametrize(
    ("size", "title"),
    [
        (None, "all 100 points a step\n300 steps, 300 epochs"),
        (100, "all 100 points a step\n300 steps, 300 epochs"),
        (16, "16 points a step\n300 steps, 43 epochs"),
        (1, "1 point a step\n300 steps, 3.0 epochs"),
    ],
)
def test_a_panel_says_how_many_steps_and_epochs_it_took(size, title):
    assert batch_paths(batch_size=[size], updates=300).axes[0].get_title() == title


def test_all_paths_start_at_one_place_and_fewer_points_wander_more():
    axes = batch_paths().axes
    paths = [line(panel) for panel in axes]
    assert {tuple(path[0]) for path in paths} == {(1.4, -0.2)}
    wander = [np.abs(np.diff(path[200:, 0])).mean() for path in paths]
    assert wander == sorted(wander)
    assert wander[2] > 2 * wander[1] > 20 * wander[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x": [1, 2]}, TypeError, "give both x and y"),
        ({"x": np.ones((3, 2)), "y": np.ones(3)}, ValueError, r"x must hold one number a point"),
        ({"x": [1, 1], "y": [1, 2]}, ValueError, "all x are equal"),
        ({"x": [1, 2], "y": [1, math.inf]}, ValueError, "y holds numbers that are not finite"),
        ({"batch_size": 16}, ValueError, "batch_size must list one to 4 sizes"),
        ({"batch_size": []}, ValueError, "batch_size must list one to 4 sizes"),
        ({"batch_size": [0]}, ValueError, r"batch_size\[0\] must be a whole number ≥ 1"),
        ({"batch_size": [101]}, ValueError, r"batch_size\[0\] must be at most .* 100, got 101"),
        ({"updates": 0}, ValueError, "updates must be a whole number ≥ 1"),
        ({"start": 1.0}, TypeError, r"start must be \(slope, intercept\)"),
        ({"start": (1, 2, 3)}, ValueError, r"start must be \(slope, intercept\)"),
        ({"start": (1, math.nan)}, ValueError, r"start\[1\] must be a finite number"),
        ({"seed": -1}, ValueError, "seed must be a whole number ≥ 0"),
        ({"lr": 0.1}, ValueError, "with batch_size=None the rate lr=0.1 is too large"),
    ],
)
def test_batches_that_cannot_be_drawn_are_refused(options, error, message):
    with pytest.raises(error, match=f"^batch_paths: {message}"):
        batch_paths(**options)
    assert not pyplot.get_fignums()


def test_lengths_that_differ_are_the_loaders_business():
    with pytest.raises(ValueError, match="x has 2 samples but y has 3"):
        batch_paths([1, 2], [1, 2, 3])


# --- arrows -------------------------------------------------------------------------------------

HESSIAN = 2 * np.array([[0.35 * 0.64 + 1.75 * 0.36, 0], [0, 0.35 * 0.36 + 1.75 * 0.64]])
HESSIAN[[0, 1], [1, 0]] = 2 * (0.35 - 1.75) * 0.48


def arrows(axes):
    """(from, to) of each arrow, in the order of drawing."""
    return [(np.array(t.xyann), np.array(t.xy)) for t in axes.texts if t.arrow_patch]


@pytest.mark.parametrize("steps", [1, 4])
def test_arrows_add_up_to_the_kernels_step(steps):
    lr, beta, start = 0.7, 0.6, np.array([-2.0, 1.0])
    figure = momentum_arrows(start=tuple(start), lr=lr, beta=beta, steps=steps)
    for rule, axes in zip((optim.Momentum, optim.NAG), figure.axes, strict=True):
        look_ahead = lr * beta * (rule is optim.NAG)
        theta = dl.Tensor(start, requires_grad=True)
        optimizer = rule([theta], lr=lr, beta=beta)
        here = []
        for _ in range(steps + 2):
            here.append(theta.data + look_ahead * optimizer.state[theta]["v"])
            theta.grad = HESSIAN @ theta.data
            optimizer.step()
        momentum, gradient, total = arrows(axes)[-3:]
        np.testing.assert_allclose(total[0], here[steps], atol=1e-12)
        np.testing.assert_allclose(total[1], here[steps + 1], atol=1e-12)
        np.testing.assert_allclose(momentum[0], total[0], atol=1e-12)
        np.testing.assert_allclose(gradient[0], momentum[1], atol=1e-12)
        np.testing.assert_allclose(gradient[1], total[1], atol=1e-12)


def test_the_gradient_is_taken_here_by_momentum_and_at_the_look_ahead_point_by_nag():
    heavy, nesterov = momentum_arrows(lr=1.0, beta=0.8).axes
    for axes, at in ((heavy, arrows(heavy)[-1][0]), (nesterov, arrows(nesterov)[-2][0])):
        start, end = arrows(axes)[-2]
        np.testing.assert_allclose(end - start, -0.2 * HESSIAN @ at, atol=1e-12)
        np.testing.assert_allclose(line(axes, 1)[0], at, atol=1e-12)
        (ring,), (words,) = axes.get_legend().get_lines(), axes.get_legend().get_texts()
        assert words.get_text() == "the gradient is taken here"
        assert ring.get_color() == axes.get_lines()[1].get_color()
        assert ring.get_marker() == axes.get_lines()[1].get_marker() == "o"


def test_after_one_step_both_have_the_same_place_and_velocity():
    heavy, nesterov = momentum_arrows().axes
    np.testing.assert_allclose(arrows(heavy)[-3], arrows(nesterov)[-3], atol=1e-12)


def test_the_bowl_is_the_one_of_its_hessian(rng):
    points = rng.normal(size=(5, 2))
    expected = [point @ HESSIAN @ point / 2 for point in points]
    np.testing.assert_allclose([tilted_bowl(*point) for point in points], expected)
    np.testing.assert_allclose(np.linalg.eigvalsh(HESSIAN), [0.7, 3.5])


def test_all_arrows_are_within_the_picture():
    for axes in momentum_arrows(steps=3).axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        ends = np.array(arrows(axes)).reshape(-1, 2)
        assert np.all((ends > [left, bottom]) & (ends < [right, top]))


@pytest.mark.parametrize(
    ("f", "start"),
    [(lambda a, b: 0 * a + 0 * b, (1, 1)), (lambda a, b: b**2 - dl.log(a), (0.1, 1))],
    ids=["level", "undefined to the left"],
)
def test_arrows_are_drawn_over_a_level_ground_and_over_one_with_an_edge(f, start):
    momentum_arrows(f, start=start, lr=0.1).canvas.draw()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": 1.0}, TypeError, "start must be two numbers"),
        ({"start": (1.0, 2.0, 3.0)}, ValueError, "start must be two numbers"),
        ({"start": (1.0, math.inf)}, ValueError, r"start\[1\] must be a finite number"),
        ({"lr": 0}, ValueError, "lr must be a finite number > 0"),
        ({"beta": 1}, ValueError, "beta must be a finite number ≥ 0 and < 1"),
        ({"steps": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"f": lambda a, b: 1.0}, TypeError, "f must give a Tensor"),
        ({"f": lambda a, b: dl.Tensor(1.0)}, TypeError, "f does not depend on its arguments"),
        ({"f": lambda a, b: (a + b).sum()}, TypeError, r"f must give .* shape \(120, 120\), entry"),
        ({"f": lambda a, b: a if a > b else b}, TypeError, "f must take Tensors of any shape"),
        ({"f": lambda a, b: a * math.nan + b}, ValueError, r"f\(-3.4, -0.8\) is nan"),
    ],
)
def test_arrows_that_cannot_be_drawn_are_refused(options, error, message):
    with pytest.raises(error, match=f"^momentum_arrows: {message}"):
        momentum_arrows(**options)
    assert not pyplot.get_fignums()
