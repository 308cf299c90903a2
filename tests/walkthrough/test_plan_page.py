"""The page of a plan: calls, arrays and their roles, times and their sums, the file."""

import html
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from capturing import captured_step

import minidl as dl
from minidl.walkthrough.plan_page import as_html, duration, percent, phase_of, plan_data


def calls_of(data):
    return [call for line in data["lines"] for call in line["calls"]]


def shown(arrays):
    return [(x["role"], x["name"], x["shape"]) for x in arrays]


# --- calls and arrays ---------------------------------------------------------------------------


def test_each_call_is_listed_below_the_line_that_makes_it():
    data = plan_data(captured_step().plan)
    assert [(line["source"], line["count"]) for line in data["lines"]] == [
        ("loss = losses.mse(model(x), y)", 5),
        ("loss.backward()", 7),
        ("optimizer.step()", 1),
    ]
    assert all(re.fullmatch(r"capturing\.py:\d+", line["place"]) for line in data["lines"])
    assert [call["number"] for call in calls_of(data)] == list(range(1, 14))
    assert data["title"] == "The plan of step"


def test_the_first_layer_reads_an_input_and_a_parameter_and_its_bias_is_added_in_place():
    product, bias, *_ = calls_of(plan_data(captured_step().plan))
    assert (product["name"], product["op"], product["phase"]) == (
        "product",
        "dense_relu",
        "forward",
    )
    inputs = [("input", "x", "3×2"), ("parameter", "dense1.weight", "2×4")]
    assert shown(product["inputs"]) == inputs
    assert shown(product["outputs"]) == [("intermediate", "new", "3×4")]
    assert shown(bias["inputs"]) == [
        ("intermediate", "from 1", "3×4"),
        ("parameter", "dense1.bias", "4"),
    ]
    assert shown(bias["outputs"]) == [("intermediate", "in place", "3×4")]
    keys = {x["key"] for x in (*product["outputs"], bias["inputs"][0], *bias["outputs"])}
    assert len(keys) == 1


def test_the_loss_is_the_result_and_each_parameter_gets_its_gradient():
    calls = calls_of(plan_data(captured_step().plan))
    assert shown(calls[4]["outputs"])[0] == ("result", "result", "scalar")
    gradients = {x["name"] for call in calls[5:12] for x in call["outputs"]} - {"new"}
    layers = ("dense1", "dense2")
    assert gradients == {f"∂{layer}.{name}" for layer in layers for name in ("weight", "bias")}


def test_many_arrays_of_a_call_are_counted_by_their_roles():
    update = calls_of(plan_data(captured_step().plan))[-1]
    assert (update["name"], update["phase"]) == ("Adam", "update")
    shapes = "2×4, 4, 4×1, 1"
    assert shown(update["inputs"]) == [
        ("parameter", "4 parameters", shapes),
        ("gradient", "4 gradients", shapes),
        ("state", "8 state arrays", ", ".join([shapes] * 2)),
    ]
    assert [x["role"] for x in update["outputs"]] == ["parameter", "state"]


def test_a_number_of_the_step_is_a_constant_and_its_dtype_is_shown_where_it_differs():
    @dl.capture
    def double(x):
        return (x * 2.0).sum()

    for _ in range(3):
        double(np.ones((2, 3)))
    data = plan_data(double.plan)
    multiply = calls_of(data)[0]
    assert shown(multiply["inputs"]) == [
        ("input", "x", "2×3"),
        ("constant", "constant", "scalar"),
    ]
    assert (data["dtype"], data["one_dtype"]) == ("float64", True)


def test_arguments_are_named_also_if_some_are_no_arrays():
    @dl.capture
    def scaled(factor, x, *rest, shift):
        return ((x * factor + shift) * rest[0]).sum()

    for _ in range(3):
        scaled(2.0, np.ones(2), np.ones(2), shift=np.ones(2))
    calls = calls_of(plan_data(scaled.plan))
    inputs = {x["name"] for call in calls for x in call["inputs"] if x["role"] == "input"}
    assert inputs == {"x", "input 3", "shift"}


@pytest.mark.parametrize(
    ("label", "phase"),
    [("dense", "forward"), ("∂dense", "backward"), ("step", "update"), ("", "other")],
)
def test_a_call_belongs_to_the_phase_that_its_label_says(label, phase):
    assert phase_of(label) == phase


# --- times --------------------------------------------------------------------------------------


def timed(plan, seconds):
    """The plan with other times of its calls."""
    names = "labels notes updates outputs inputs input_places leaves gradient_of states function"
    return SimpleNamespace(seconds=seconds, **{name: getattr(plan, name) for name in names.split()})


def test_times_are_medians_and_shares_are_those_of_the_total():
    plan = captured_step().plan
    seconds = [[1e-6, 9e-6, 2e-6] for _ in range(5)] + [[1e-6] * 3] * 7 + [[7e-6, 3e-6, 2e-6]]
    data = plan_data(timed(plan, seconds))
    assert data["replays"] == 3
    assert data["time"] == pytest.approx(5 * 2 + 7 * 1 + 3)
    assert [(p["phase"], p["count"]) for p in data["phases"]] == [
        ("forward", 5),
        ("backward", 7),
        ("update", 1),
    ]
    assert [p["share"] for p in data["phases"]] == pytest.approx([0.5, 0.35, 0.15])
    assert [line["time"] for line in data["lines"]] == pytest.approx([10, 7, 3])
    fractions = [2 / 3] * 5 + [1 / 3] * 7 + [1.0]
    assert [c["fraction"] for c in calls_of(data)] == pytest.approx(fractions)


def test_before_the_first_replay_the_page_has_no_times():
    plan = captured_step(calls=2).plan
    data = plan_data(plan)
    assert data["time"] is None
    assert {call["time"] for call in calls_of(data)} == {None}
    page = as_html(plan)
    assert "not replayed yet" in page
    assert 'class="timeline"' not in page


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(None, ""), (0.1, "0.10 µs"), (12.34, "12.3 µs"), (123.4, "123 µs"), (1500, "1.50 ms")],
)
def test_a_duration_has_three_digits_and_a_unit(microseconds, text):
    assert duration(microseconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(None, ""), (0.0, "0 %"), (0.004, "< 1 %"), (0.127, "13 %"), (1.0, "100 %")]
)
def test_a_share_is_a_percentage(share, text):
    assert percent(share) == text


# --- the page and its file ----------------------------------------------------------------------


def test_the_page_holds_its_data_and_needs_no_network():
    plan = captured_step().plan
    page = as_html(plan)
    (data,) = re.findall(r'<script type="application/json" id="plan">(.*?)</script>', page)
    assert json.loads(data) == json.loads(json.dumps(plan_data(plan)))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|src=", page)
    assert html.escape(str(plan), quote=False) in page.replace("&#39;", "'").replace("&#34;", '"')


def test_text_of_the_user_is_escaped():
    model = dl.nn.Dense(1, 1, rng=0)
    model.weight.name = "<b>w</b>"
    step = dl.capture(lambda x: (model(x) * (1.0 if 1 < 2 > 0 else 0.0)).sum())
    for _ in range(3):
        step(np.ones((2, 1), np.float32))
    page = as_html(step.plan)
    body, _, _ = page.partition('<script type="application/json"')
    assert "&lt;b&gt;w&lt;/b&gt;" in body
    assert "<b>w</b>" not in body
    assert "1 &lt; 2 &gt; 0" in body


def test_save_writes_the_page(tmp_path):
    step = captured_step()
    step.plan.save(tmp_path / "plan.html")
    assert (tmp_path / "plan.html").read_text("utf-8") == as_html(step.plan)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.html"]


def test_save_refuses_another_ending_and_a_missing_folder(tmp_path):
    plan = captured_step().plan
    with pytest.raises(ValueError, match=r"^save: the name must end in \.html"):
        plan.save(tmp_path / "plan.pdf")
    with pytest.raises(OSError, match="there is no folder"):
        plan.save(tmp_path / "no" / "plan.html")
    assert not [*tmp_path.iterdir()]


def test_without_jinja2_the_file_stays_as_it_was(tmp_path, monkeypatch):
    plan, path = captured_step().plan, tmp_path / "plan.html"
    path.write_text("before")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'minidl\[viz\]'"):
        plan.save(path)
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


# --- the plan as text ---------------------------------------------------------------------------


def test_the_table_of_a_plan_names_each_line_once_and_counts_the_parameters():
    head, *rows = str(captured_step().plan).splitlines()
    assert head.split() == ["call", "of", "inputs", "outputs", "µs", "line"]
    assert len(rows) == 13
    assert re.search(r"product +dense_relu +3×2 2×4 +3×4 .*loss = losses\.mse\(", rows[0])
    assert re.fullmatch(r"add_bias +dense_relu +3×4 4 +3×4 +\d+\.\d\d", rows[1])
    assert re.search(r"^Adam +step +4 parameters +4 parameters .*optimizer\.step\(\)$", rows[-1])
    assert max(map(len, (head, *rows))) <= 100


def test_a_long_line_of_source_is_cut_in_the_table():
    @dl.capture
    def step(x):
        return (x * 1.5 + x * 2.5 + x * 3.5 + x * 4.5 + x * 5.5 + x * 6.5 + x * 7.5 + x * 8.5).sum()

    for _ in range(2):
        step(np.ones(3))
    lines = str(step.plan).splitlines()
    assert lines[1].endswith("…")
    assert max(map(len, lines)) <= 100


def test_calls_after_the_last_op_are_in_the_table_too():
    @dl.capture
    def step(x):
        return dl.exp(x).data * 2.0 + 1.0

    for _ in range(2):
        step(np.ones(3))
    assert [line.split()[0] for line in str(step.plan).splitlines()[1:]] == [
        "exp",
        "multiply",
        "add",
    ]
    assert [call["phase"] for call in calls_of(plan_data(step.plan))] == [
        "forward",
        "other",
        "other",
    ]
