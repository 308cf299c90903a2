"""The pictures of schedules and models in a notebook."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import minidl as dl
from minidl import _pictures
from minidl.schedulers import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    WarmUp,
)

SVG = "{http://www.w3.org/2000/svg}"


def curve(svg):
    """The points of the curve as steps and rates, by the labels of the axes."""
    root = ET.fromstring(svg)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    steps, high = int(re.sub(r"\D", "", texts[-1])), float(texts[1])
    path = root.find(f"{SVG}path").get("d")
    points = np.array([[float(v) for v in p.split()] for p in path[1:].split("L")])
    left, right, top, bottom = _pictures.LEFT, _pictures.WIDTH - 8, _pictures.TOP, _pictures.BOTTOM
    t = (points[:, 0] - left) / (right - left) * steps
    return t, (bottom - points[:, 1]) / (bottom - top) * high


@pytest.mark.parametrize(
    "schedule", [CosineDecay(0.1, 100), WarmUp(CosineDecay(0.2, 1800), 200), Constant(0.5)]
)
def test_the_curve_of_a_schedule_has_its_rates(schedule):
    t, rates = curve(schedule._repr_svg_())
    assert t[0] == 0
    at = np.rint(t).astype(int)
    np.testing.assert_allclose(rates, schedule(at), atol=0.01 * rates.max())


def test_a_picture_reaches_beyond_the_last_phase_or_to_a_quarter_of_the_rate():
    assert _pictures.span(lambda t: 1.0, [0]) == 100
    assert _pictures.span(lambda t: 1.0, [0, 400]) == 460
    schedule = ExponentialDecay(0.1, 0.999)
    assert schedule(_pictures.span(schedule, [0])) < 0.025 < schedule(700)


def test_a_jump_is_drawn_at_its_step():
    t, rates = curve(StepDecay(1.0, 500, 0.5)._repr_svg_())
    (jump,) = np.flatnonzero(np.diff(rates[t < 999]) < -0.4)
    assert t[jump : jump + 2] == pytest.approx([500, 500], abs=8)


def test_a_schedule_that_observes_is_drawn_as_it_is_while_the_metric_gets_better():
    plateau = ReduceOnPlateau(0.1, factor=0.5, patience=0)
    for loss in (1.0, 1.0):
        plateau.observe(loss)
    for schedule in (plateau, WarmUp(plateau, 10)):
        svg = schedule._repr_svg_()
        assert "while the metric gets better" in svg
        root = ET.fromstring(svg)
        assert [t.text for t in root.iter(f"{SVG}text")][1] == "0.05"
    assert "metric" not in Constant(0.1)._repr_svg_()


def test_a_formula_that_ends_is_no_error_in_a_notebook():
    class Table(Schedule):
        def formula(self, t):
            return [0.1, 0.2][t]

    assert Table()._repr_svg_() is None
    assert Schedule()._repr_svg_() is None


def test_a_long_title_is_cut_and_escaped():
    svg = _pictures.rates(lambda t: 1.0, [0], "<b>" + "x" * 100)
    title = ET.fromstring(svg).find(f"{SVG}text").text
    assert title.startswith("<b>xxx")
    assert title.endswith("…")
    assert len(title) == _pictures.LONGEST


def test_a_sequential_model_is_a_chain_of_its_modules():
    model = dl.nn.Sequential(dl.nn.Dense(2, 16), dl.nn.ReLU(), dl.nn.MLP([16, 8, 2]))
    root = ET.fromstring(model._repr_svg_())
    texts = [text.text for text in root.iter(f"{SVG}text") if text.text]
    assert texts == [
        *("x", "Dense(2 → 16)", "48 parameters", "ReLU()", "MLP", "154 parameters"),
    ]


class Net(dl.nn.Module):
    def __init__(self):
        self.first = dl.nn.Dense(2, 3)
        self.more = [dl.nn.ReLU(), {"<last>": dl.nn.Dense(3, 1)}]
        self.scale = dl.Tensor(1.0, requires_grad=True)
        self.note = "no part"


def test_another_module_is_a_tree_of_its_parts_with_their_names():
    root = ET.fromstring(Net()._repr_svg_())
    assert [text.text for text in root.iter(f"{SVG}text") if text.text] == [
        *("Net", "14 parameters", "Dense(2 → 3)", "first, 9 parameters", "ReLU()", "more.0"),
        *("Dense(3 → 1)", "more.1.<last>, 4 parameters", "Tensor ()", "scale, 1 parameter"),
    ]
    root = ET.fromstring(dl.nn.Tanh()._repr_svg_())
    assert [text.text for text in root.iter(f"{SVG}text") if text.text] == ["Tanh()"]


def test_a_picture_leaves_the_names_of_the_parameters():
    for model in Net(), dl.nn.Sequential(Net(), dl.nn.MLP([2, 3, 1])):
        names = [(p, path) for path, p in model.named_parameters()]
        model._repr_svg_()
        assert [p.name for p, _ in names] == [path for _, path in names]
