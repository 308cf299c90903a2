"""The walkthrough: explain, save, repr, and the errors for wrong input."""

import contextlib
import functools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from cases import (
    training_walkthrough,
)

import minidl as dl
from minidl import losses, nn, optim


def test_an_empty_block_can_be_printed_and_saved(tmp_path):
    with dl.trace() as walk:
        pass
    assert "0 ops ran." in str(walk)
    for kind in ("md", "txt", "svg", "html"):
        walk.save(tmp_path / f"walk.{kind}")
        assert (tmp_path / f"walk.{kind}").stat().st_size > 0


def test_explain_shows_every_term_of_a_weights_last_update():
    walk, _ = training_walkthrough(np.float64)
    text = walk.explain("dense1.weight", (0, 1))
    lines = text.splitlines()
    assert lines[0].startswith("dense1.weight[0, 1] = ")
    assert "∂W = xᵀ @ g" in text
    assert "check: backward" in text
    assert "θ ← θ − η m̂ / (√v̂ + ε)" in text
    assert lines[-1].startswith("before ")
    assert repr(text) == text


@pytest.mark.parametrize("index", [(0, 1), (-2, -1), (np.int64(0), 1)])
def test_an_entry_may_be_counted_from_the_end(index):
    walk, _ = training_walkthrough()
    assert walk.explain("dense1.weight", index) == walk.explain("dense1.weight", (0, 1))


def test_the_index_may_be_left_out_where_there_is_one_entry():
    walk, _ = training_walkthrough()
    assert walk.explain("loss") == walk.explain("loss", ())
    assert walk.explain("dense2.bias") == walk.explain("dense2.bias", 0)


@pytest.mark.parametrize(
    ("name", "near"),
    [("dense1.weght", "'dense1.weight'"), ("tanh", "'tanh1'"), ("loss 2", "'loss'"), (3, "'x'")],
)
def test_the_error_for_an_unknown_name_lists_similar_ones(name, near):
    walk, _ = training_walkthrough()
    with pytest.raises(ValueError, match="this walkthrough has no value named") as raised:
        walk.explain(name, 0)
    assert repr(name) in str(raised.value)
    assert near in str(raised.value)


def test_the_error_for_an_unknown_name_says_how_many_it_does_not_list():
    with dl.trace() as walk:
        dl.nn.MLP([2, 2, 2, 2, 2], rng=0)(np.ones((1, 2)))
    names = {value.name for value in walk.values}
    with pytest.raises(ValueError, match=rf"there are 'input', .* and {len(names) - 8} more$"):
        walk.explain("?")


@pytest.mark.parametrize("index", [None, 0, (2, 0), (0, -3), (0, 0, 0), (0.5, 0), "a", (None, 0)])
def test_the_error_for_a_wrong_index_shows_the_shape_and_a_valid_index(index):
    walk, _ = training_walkthrough()
    with pytest.raises(
        IndexError, match=r"shape \(2, 2\); give the index of an entry, such as \(1"
    ):
        walk.explain("dense1.weight", index)


KINDS = {".html": "<!doctype html>", ".md": "# Walkthrough", ".txt": "FORWARD", ".svg": "<svg"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_a_walkthrough_is_saved_as_its_ending_says(kind, as_path, tmp_path):
    walk, _ = training_walkthrough()
    path = tmp_path / f"a walk{kind}"
    path.write_text("old")
    walk.save(as_path(path))
    text = path.read_text(encoding="utf-8")
    assert text.lower().startswith(KINDS[kind].lower())
    assert "dense1.weight" in text
    if kind == ".svg":
        assert ET.fromstring(text).tag.endswith("svg")
    if kind == ".txt":
        assert text.strip() == str(walk)


@pytest.mark.parametrize("name", ["walk", "walk.pdf", "walk.html.gz", ".html", "walk.HTM"])
def test_the_error_for_another_ending_lists_the_valid_ones(name, tmp_path):
    walk, _ = training_walkthrough()
    with pytest.raises(ValueError, match=r"must end in \.html, \.md, \.txt, \.svg") as raised:
        walk.save(tmp_path / name)
    assert name in str(raised.value)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_missing_is_an_error_that_says_what_to_do(kind, tmp_path):
    walk, _ = training_walkthrough()
    path = tmp_path / "none" / f"walk{kind}"
    with pytest.raises(FileNotFoundError, match="that exists and that you may write to") as raised:
        walk.save(path)
    assert str(path) in str(raised.value)
    assert [*tmp_path.iterdir()] == []


def test_a_path_that_is_a_folder_is_an_error_that_says_what_to_do(tmp_path):
    walk, _ = training_walkthrough()
    (tmp_path / "walk.md").mkdir()
    with pytest.raises(OSError, match="can't be written"):
        walk.save(tmp_path / "walk.md")


def test_a_file_stays_as_it_was_if_the_text_cannot_be_written(tmp_path):
    w = dl.Tensor(1.0, requires_grad=True, name="\ud800")  # half of a character: no UTF-8
    with dl.trace() as walk:
        (w * w).backward()
    path = tmp_path / "walk.md"
    path.write_text("old")
    with contextlib.suppress(ValueError):
        walk.save(path)
    assert path.read_text(encoding="utf-8")


def test_the_repr_counts_the_events():
    walk, _ = training_walkthrough()
    assert repr(walk) == (
        "Walkthrough(4 ops, 1 backward pass, 4 updates; print it, or .save('walk.html'))"
    )


@pytest.mark.parametrize("ask", [str, lambda w: w.explain("w", 0), lambda w: w.save("walk.txt")])
def test_while_the_trace_is_open_print_explain_and_save_are_errors(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    w = dl.Tensor([1.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * w).sum().backward()
        with pytest.raises(RuntimeError, match=r"still open: print, save or explain .* after its"):
            ask(walk)
        assert "1 backward pass" in repr(walk)
    assert list(tmp_path.iterdir()) == []
    ask(walk)


@pytest.mark.parametrize("ask", [lambda w: w.remarks(), lambda w: w.loss()])
def test_while_the_trace_is_open_remarks_and_loss_are_errors(ask):
    w = dl.Tensor([1.0], requires_grad=True)
    with dl.trace() as walk:
        (w * w).sum().backward()
        with pytest.raises(RuntimeError, match="still open"):
            ask(walk)
    ask(walk)


def test_extreme_numbers_are_shown_without_a_warning(tmp_path):
    for scale in (1e308, 3e20, 1e-320):
        w = dl.Tensor(np.full((30, 100), scale), requires_grad=True, name="w")
        with np.errstate(all="ignore"), dl.trace() as walk:
            (w * 1e300).sum().backward()
            w.grad = w.grad * 2
            optim.SGD([w], lr=0.1).step()
        assert str(walk)
        walk.save(tmp_path / "walk.html")


# --- empty, infinite and other extreme arrays ---------------------------------------------------

SHAPES = [(), (0,), (1,), (3,), (0, 3), (3, 0), (0, 0), (2, 0, 3)]
FILLS = {"normal": 0.5, "zero": 0.0, "NaN": np.nan, "infinite": np.inf, "huge": 3e38}


def any_axis(function):
    return [functools.partial(function, axis=axis) for axis in (None, 0, -1, (0, 1))]


UNARY = [
    *(dl.exp, dl.log, dl.sqrt, dl.abs, dl.tanh, dl.sigmoid, dl.relu, dl.softplus, dl.leaky_relu),
    *(dl.elu, dl.gelu, dl.silu, dl.sin, dl.cos, dl.transpose, dl.norm),
    *(f for g in (dl.sum, dl.mean, dl.max, dl.min, dl.norm) for f in any_axis(g)),
    *(f for g in (dl.softmax, dl.log_softmax, dl.logsumexp) for f in any_axis(g)[1:]),
    *(lambda x: x**0, lambda x: x**-0.5, lambda x: 2.0**x, lambda x: x[:0], lambda x: x[[0, 0]]),
    *(lambda x: dl.reshape(x, (-1,)), lambda x: dl.sum(x, axis=-1, keepdims=True)),
    *(lambda x: x @ x, lambda x: x / x, lambda x: dl.concatenate([x, x]), lambda x: x + x[:1]),
    *(lambda x: dl.where(x.data > 0, x, -x), lambda x: dl.maximum(x, 0 * x)),
    *(lambda x: losses.mse(x, 0 * x), lambda x: losses.mse(x, 0 * x, "none")),
    lambda x: losses.binary_cross_entropy(x, np.zeros(x.shape)),
    lambda x: losses.cross_entropy(x, np.zeros(x.shape[:1], int), "sum", label_smoothing=0.1),
    lambda x: nn.Dense(x.shape[-1], 2, rng=0)(x),
]


@pytest.mark.parametrize(
    ("shape", "kind"),
    [*((shape, "normal") for shape in SHAPES), *(((2, 3), kind) for kind in FILLS)],
    ids=str,
)
def test_whatever_an_op_returns_can_be_shown_in_every_form(shape, kind):
    shown = 0
    for function in UNARY:
        x = dl.Tensor(np.full(shape, FILLS[kind], np.float32), requires_grad=True, name="x")
        with np.errstate(all="ignore"), dl.trace() as walk:
            try:
                y = function(x)
            except (ValueError, TypeError, IndexError):  # not defined for this shape
                continue
            y.backward(np.ones(y.shape, y.dtype))
            optim.Adam([x]).step()
        with np.errstate(all="raise"):
            assert "SUMMARY" in str(walk)
            for value in (v for v in walk.values if v.data.size):
                assert walk.explain(value.name, (0,) * value.data.ndim)
            if not x.size and shown % 5 == 0:  # pages take most of the time
                assert "<iframe" in walk._repr_html_()
        shown += 1
    assert shown >= 15
