"""The page of a walkthrough: its data are the recorded numbers, and it is self-contained."""

import base64
import html.parser
import json
import re
import sys

import numpy as np
import pytest
from cases import RULES, each_case, op_walkthrough

import minidl as dl
from minidl.__main__ import lesson
from minidl._format import plain
from minidl.walkthrough.formulas import index_text
from minidl.walkthrough.graph import boxes_and_arrows
from minidl.walkthrough.page import EMBEDDED, as_frame, as_html


def data_of(walk):
    """The JSON that a page holds."""
    text = as_html(walk._presentation)
    return json.loads(
        re.search(r'<script type="application/json" id="walk">(.*?)</script>', text)[1]
    )


def exact(data):
    """The entries of an array with all digits, by index as on the page."""
    return {index_text(at): str(data[at]) for at in np.ndindex(data.shape)}


def on_page(array):
    """The same for an array of the page."""
    pairs = zip(array["index"], array["rows"], strict=True)
    cells = [zip(*row, strict=True) for row in pairs]
    return {at: digits for row in cells for at, (_, digits) in row}


def agree(data, walk):
    """Each number of the page is the record's, and each worked line ends in its number."""
    numbers = 0
    for on, step in zip(data["steps"], walk.steps, strict=True):
        assert (on["title"], on["caption"], on["phase"]) == (step.title, step.caption, step.phase)
        for shown, part in zip(on["parts"], step.parts, strict=True):
            pairs = zip(
                [*shown["operands"], shown["result"]], [*part.operands, part.result], strict=True
            )
            for place, operand in pairs:
                array = data["arrays"][place["array"]]
                assert on_page(array).items() <= exact(operand.data).items()
                assert array["whole"] is (len(on_page(array)) == operand.data.size)
                numbers += operand.data.size
            assert bool(shown["worked"]) is bool(part.worked and part.result.data.size)
            for at, line in shown["worked"].items():
                assert line[-1][1] == exact(part.result.data)[at]
    return numbers


# --- every op, every rule -----------------------------------------------------------------------


@each_case
def test_the_page_shows_the_recorded_numbers_of_an_op(name, arrays, options):
    walk, op, op_gradient = op_walkthrough(name, arrays, options)
    data = data_of(walk)
    assert agree(data, walk) > 0
    node = data["nodes"][op.value.key]
    assert on_page(data["arrays"][node["value"]]) == exact(op.value.data)
    assert on_page(data["arrays"][node["gradient"]]) == exact(op_gradient.g)
    for x, input_grad in zip(op.inputs, op.op_gradients[0].input_grads, strict=True):
        gradient = data["arrays"][data["nodes"][x.key]["gradient"]]
        summed = exact(np.asarray(op_gradient.summed(op.inputs.index(x))))
        assert on_page(gradient).items() <= summed.items()
        assert input_grad is not None


@pytest.mark.parametrize("rule", RULES)
def test_the_page_shows_the_kernels_numbers_of_a_rule(rule):
    w = dl.Tensor(np.array([0.5, -1.0]), requires_grad=True, name="w")
    optimizer = getattr(dl.optim, rule)([w], lr=0.1)
    before = w.data.copy()
    with dl.trace() as walk:
        (w * w).sum().backward()
        optimizer.step()
    data = data_of(walk)
    agree(data, walk)
    (update,) = (step for step in data["steps"] if step["phase"] == "update")
    after = [p["result"] for p in update["parts"] if p["result"]["symbol"] == "θ"][-1]
    assert on_page(data["arrays"][after["array"]]) == exact(w.data)
    node = data["nodes"][walk.values[0].key]
    assert on_page(data["arrays"][node["value"]]) == exact(before)
    assert on_page(data["arrays"][node["after"]]) == exact(w.data)


# --- the file -----------------------------------------------------------------------------------


class Tags(html.parser.HTMLParser):
    """The tags of a page, and everything that it refers to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "action", "srcset")]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_one_small_file_without_references():
    text = as_html(lesson()._presentation)
    assert len(text.encode()) < 300_000
    tags = Tags(text)
    assert tags.links == ["data:,", "#step"]
    assert "@import" not in text
    assert not re.search(r"url\((?!['\"]?data:)", text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


def test_the_page_contains_the_whole_text_for_print_and_readers_without_scripts():
    walk = lesson()
    assert str(walk) in "".join(Tags(as_html(walk._presentation)).texts)


HOSTILE = ["<script>alert(1)</script>", "</script><b>", "\"quoted\" & 'both'", "a\u2028b", "]]>"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_stays_text(name):
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name=name)
    with dl.trace() as walk:
        (w * 2).sum().backward()
    data = data_of(walk)
    assert data["nodes"][walk.values[0].key]["name"] == " ".join(name.split())
    w.name = "w"
    with dl.trace() as harmless:
        (w * 2).sum().backward()
    assert Tags(as_html(walk._presentation)).tags == Tags(as_html(harmless._presentation)).tags


def test_the_frame_for_a_notebook_contains_only_the_page():
    walk = lesson()
    assert Tags(as_frame(walk._presentation)).tags == ["iframe"]
    assert walk._repr_html_() == as_frame(walk._presentation)
    (content,) = re.findall(r'srcdoc="([^"]*)"', as_frame(walk._presentation))
    assert html.unescape(content) == as_html(walk._presentation)


def test_the_same_walkthrough_gives_the_same_page():
    assert as_html(lesson()._presentation) == as_html(lesson()._presentation)


def test_a_missing_jinja2_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    walk = lesson()
    with pytest.raises(ModuleNotFoundError, match=r"Jinja2: pip install 'minidl\[viz\]'"):
        walk.save(tmp_path / "walk.html")
    assert list(tmp_path.iterdir()) == []
    shown = walk._repr_html_()
    assert "pip install 'minidl[viz]'" in shown
    assert html.unescape(re.search("<pre>(.*)</pre>", shown, re.DOTALL)[1]) == str(walk)


# --- large arrays -------------------------------------------------------------------------------


def large(shape, dtype=np.float32):
    """A walkthrough of one large array, and that array."""
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    w = dl.Tensor(x, requires_grad=True, name="w")
    with dl.trace() as walk:
        w.sum().backward()
    data = data_of(walk)
    return x, data["arrays"][data["nodes"][walk.values[0].key]["value"]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(17,), (5, 13), (100, 30), (3, 4, 50), (300, 1), (17, 8)])
def test_a_large_array_is_summarized_and_all_its_entries_are_there(shape, dtype):
    x, array = large(shape, dtype)
    assert not array["whole"]
    assert array["shape"] == list(shape)
    for name, value in (("min", x.min()), ("mean", x.mean()), ("max", x.max())):
        assert array[name][1] == str(value)
    corner = on_page(array)
    assert 0 < len(corner) <= 16
    assert corner.items() <= exact(x).items()
    values = np.frombuffer(base64.b64decode(array["values"]), x.dtype.newbyteorder("<"))
    np.testing.assert_array_equal(values.reshape(shape), x)
    rows, columns = x.size // shape[-1], shape[-1]
    if min(rows, columns) == 1:
        assert array["heat"] is None
        return
    heat = np.array(array["heat"])
    assert heat.min() >= 0
    assert heat.max() <= 255
    assert heat.shape == (min(rows, 48), min(columns, 48))


@pytest.mark.parametrize("shape", [(16, 8), (2, 8, 8), (16,), (1, 12), (9, 1)])
def test_all_numbers_of_an_array_of_sixteen_by_eight_are_shown(shape):
    x, array = large(shape)
    assert array["whole"]
    assert array["heat"] is None
    assert on_page(array) == exact(x)


def test_an_array_of_equal_numbers_has_no_heat_map():
    with dl.trace() as walk:
        dl.Tensor(np.full((20, 20), 0.5)).sum()
    data = data_of(walk)
    assert data["arrays"][data["nodes"][walk.values[0].key]["value"]]["heat"] is None


def test_a_heat_map_shows_where_the_numbers_are():
    w = dl.Tensor(np.zeros((20, 30)), requires_grad=True, name="w")
    w.data[3, 7], w.data[11, 2] = 2.0, -1.0
    with dl.trace() as walk:
        w.sum().backward()
    data = data_of(walk)
    heat = np.array(data["arrays"][data["nodes"][walk.values[0].key]["value"]]["heat"])
    assert heat[3, 7] == 255
    assert heat[11, 2] == 128 - 64
    assert (np.delete(heat.ravel(), [3 * 30 + 7, 11 * 30 + 2]) == 128).all()


def test_arrays_beyond_the_limit_are_shown_by_corner_and_heat_map_alone():
    x, array = large((EMBEDDED // 100 + 1, 100))
    assert array["values"] is None
    corner = {index_text(at): str(x[at]) for at in np.ndindex(4, 4)}
    assert on_page(array) == corner
    assert array["heat"]


def test_the_limit_counts_the_entries_of_all_arrays(monkeypatch):
    monkeypatch.setattr("minidl.walkthrough.page.EMBEDDED", 250)
    w = dl.Tensor(np.ones(100), requires_grad=True)
    with dl.trace() as walk:
        (2.0 * w * 3.0).sum().backward()
    arrays = [array for array in data_of(walk)["arrays"] if array["shape"] == [100]]
    assert len(arrays) > 3
    assert sum(array["values"] is not None for array in arrays) == 2


@pytest.mark.parametrize("values", [[np.nan, 1.0, np.inf], [], [[]], 3.0])
def test_any_array_has_a_page(values):
    w = dl.Tensor(np.array(values, float), requires_grad=True, name="w")
    with dl.trace() as walk, np.errstate(all="ignore"):
        (w * 2).sum().backward()
    assert agree(data_of(walk), walk) >= 0


# --- a long one ---------------------------------------------------------------------------------


def test_ten_thousand_ops_make_a_page_of_the_first_and_the_last():
    w = dl.Tensor([0.5, 1.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        h = w
        for _ in range(5_000):
            h = h * 0.999 + 0.001
        h.sum().backward()
    data = data_of(walk)
    assert "9,951 of 10,001 ops" in data["omitted"]
    assert len(data["steps"]) == 50 + 50 + 2
    keys = set(re.findall(r'data-node="([^"]*)"', as_html(walk._presentation)))
    assert keys - {"more"} <= data["nodes"].keys()
    assert "more" in keys


def test_worked_lines_of_the_page_are_those_of_the_text():
    walk = lesson()
    lines = [
        "".join(t if isinstance(t, str) else t[0] for t in line)
        for step in data_of(walk)["steps"]
        for part in step["parts"]
        for line in part["worked"].values()
    ]
    expected = [
        plain(part.worked(at))
        for step in walk.steps
        for part in step.parts
        if part.worked
        for at in np.ndindex(part.result.data.shape)
    ]
    assert lines == expected
    assert len(lines) > 50


def test_a_node_shows_its_last_gradient_and_only_nodes_of_the_graph_are_there():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        for factor in (1.0, 3.0):
            (w * factor).sum().backward()
    data = data_of(walk)
    gradient = data["arrays"][data["nodes"][walk.values[0].key]["gradient"]]
    assert list(on_page(gradient).values()) == ["3.0", "3.0"]
    assert data["nodes"].keys() == {box.key for box in boxes_and_arrows(walk._presentation)[0]}


def test_the_worked_lines_of_a_page_are_limited(monkeypatch):
    monkeypatch.setattr("minidl.walkthrough.page.LINES", 20)
    monkeypatch.setattr("minidl.walkthrough.page.HEATS", 2)
    data = data_of(lesson([9, 9, 9, 1]))
    parts = [part for step in data["steps"] for part in step["parts"] if part["worked"]]
    assert len(parts[0]["worked"]) == 8
    assert max(len(part["worked"]) for part in parts[2:]) <= 16
    assert sum(bool(array["heat"]) for array in data["arrays"]) == 2
