"""The family tree, by the boxes and arrows in the figure."""

import itertools
from functools import partial

import matplotlib as mpl
import numpy as np
import pytest
from drawn import drawn_texts
from matplotlib import colors, patches, pyplot

from minidl import optim
from minidl.viz import race, style
from minidl.viz.figures.family import family_tree


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


def test_the_tree_contains_what_each_rule_adds_and_its_source():
    texts = [" ".join(text.get_text().split()) for text in family_tree().axes[0].texts]
    for rule in RULES.values():
        assert set(rule.adds.values()) <= set(texts)
    assert {"Polyak 1964", "Kingma & Ba 2015", "Nesterov 1983", "Hinton 2012"} <= set(texts)


def test_the_tree_does_not_say_that_a_rule_needs_no_rate_as_rates_change_where_each_one_ends():
    rates = (0.1, 10.0)
    for name, rule in RULES.items():
        assert not any("no rate" in text for text in rule.adds.values()), name
        runs = race("bowl", {str(lr): partial(rule, lr=lr) for lr in rates}, steps=3).runs
        low, high = (run.theta[-1] for run in runs)
        assert np.max(np.abs(low - high)) > 1e-4, name


def test_rules_are_below_their_ancestors_and_boxes_do_not_overlap():
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
    assert boxes["Heavy"].get_edgecolor() == colors.to_rgba(style.RULE_STYLES["Momentum"].colour)


def test_a_rule_without_adds_is_derived_from_its_base_class():
    silent = type("Silent", (optim.Adam,), {})
    _, arrows = boxes_and_arrows(family_tree({"Adam": optim.Adam, "Silent": silent}))
    assert sorted(arrows) == [("Adam", "Silent"), ("Momentum", "Adam"), ("RMSprop", "Adam")]


@pytest.mark.parametrize("descendants", [1, 9])
def test_a_tree_has_room_for_few_rules_and_for_many(descendants):
    names = [f"Rule{i}" for i in range(descendants)]
    rules = {n: type(n, (optim.SGD,), {"adds": {"SGD": "something quite new"}}) for n in names}
    figure = family_tree(rules)
    _, arrows = boxes_and_arrows(figure)
    assert sorted(arrows) == [("SGD", name) for name in sorted(names)]
    assert figure.get_size_inches()[1] >= 5.6
    extents = [*drawn_texts(figure).values()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(extents, 2))
    assert all(figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1 for box in extents)


def circle(one, other):
    """Two rules, each derived from the other."""
    pairs = ((one, other), (other, one))
    return {n: type(n, (optim.SGD,), {"adds": {above: "itself"}}) for n, above in pairs}


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ([optim.SGD], TypeError, "rules must be a mapping of names to classes"),
        ({"it": dict}, TypeError, r"rules\['it'\] must be an Optimizer class with equations"),
        ({"it": optim.Optimizer}, TypeError, "must be an Optimizer class with equations"),
        ({}, ValueError, "rules is empty"),
        (circle("hen", "egg"), ValueError, "their own ancestors: hen ← egg ← hen"),
    ],
)
def test_invalid_rules_raise(rules, error, message):
    with pytest.raises(error, match=f"^family_tree: .*{message}"):
        family_tree(rules)
    assert not pyplot.get_fignums()
