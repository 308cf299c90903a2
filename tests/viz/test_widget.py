"""The playground's widget answers the questions of its page as the server does."""

import html
import importlib.util
import re
import sys

import numpy as np
import pytest

import minidl as dl

needs_anywidget = pytest.mark.skipif(
    not importlib.util.find_spec("anywidget"), reason="pip install 'minidl[notebook]'"
)
X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def asked(widget, monkeypatch, name, question, number=1):
    sent = []
    monkeypatch.setattr(widget, "send", sent.append)
    widget._answer(widget, {"minidl": number, "name": name, "question": question}, [])
    return sent


@needs_anywidget
def test_a_question_is_answered_under_its_number_and_an_error_as_text(monkeypatch):
    model = dl.nn.MLP([2, 4, 2], rng=1)
    widget = dl.viz.playground(model, (X, Y), lr=dl.schedulers.CosineDecay(0.1, 50), test=0.0)
    first = widget._live.first.as_json()
    (started,) = asked(widget, monkeypatch, "start", {"session": None, "settings": first}, 7)
    assert started["minidl"] == 7
    session = started["answer"]["session"]
    for p, q in zip(widget.model.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    frame = {"session": session, "steps": 12, "seen": [], "detail": True}
    asked(widget, monkeypatch, "frame", frame)
    optimizer = dl.optim.Adam(model, lr=dl.schedulers.CosineDecay(0.1, 50))
    loader = dl.data.DataLoader(X, Y, 16, rng=0)
    dl.fit(model, dl.losses.cross_entropy, optimizer, loader, steps=12, progress=False)
    for p, q in zip(widget.model.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    (refused,) = asked(widget, monkeypatch, "frame", {**frame, "steps": -1})
    assert "steps" in refused["answer"]["error"]
    assert asked(widget, monkeypatch, "html", None) == []
    assert asked(widget, monkeypatch, "__init__", None) == []


@needs_anywidget
def test_each_view_gets_its_own_answers_and_a_failure_is_one(monkeypatch):
    widget, sent = dl.viz.playground(), []
    monkeypatch.setattr(widget, "send", sent.append)
    question = {"session": None, "settings": widget._live.first.as_json()}
    for view in ("a", "b"):
        message = {"minidl": 1, "view": view, "name": "start", "question": question}
        widget._answer(widget, message, [])
    assert [(own["minidl"], own["view"]) for own in sent] == [(1, "a"), (1, "b")]
    assert sent[0]["answer"]["session"] != sent[1]["answer"]["session"]
    monkeypatch.setattr(type(widget._live), "start", lambda self, question: 1 / 0)
    widget._answer(widget, message, [])
    assert "division by zero" in sent[-1]["answer"]["error"]


@needs_anywidget
def test_its_model_is_a_copy_of_the_network_that_was_used_last(monkeypatch):
    widget = dl.viz.playground()
    first = widget._live.first.as_json()
    for seed in (1, 2):
        asked(widget, monkeypatch, "start", {"session": None, "settings": {**first, "seed": seed}})
    expected = dl.nn.MLP([2, 8, 8, 2], "tanh", rng=2)
    for _ in range(2):
        model = widget.model
        for p, q in zip(model.parameters(), expected.parameters(), strict=True):
            np.testing.assert_array_equal(p.data, q.data)
            p.data[:] = 7  # of the copy


@needs_anywidget
def test_a_run_is_what_a_program_gave():
    model, loader = dl.nn.MLP([2, 4, 2], rng=0), dl.data.DataLoader(X, Y, 8, rng=0)
    more = {"optimizer": dl.optim.SGD, "lr": np.float32(0.5), "loss": dl.losses.mse}
    first = dl.viz.playground(model, loader, **more)._live.first
    (run,) = first.runs
    assert (run.rule, run.rate, run.batch_size, first.loss) == ("SGD", 0.5, 8, "mse")
    own = dl.viz.playground(loss="mse", test=0.5)._live.first
    assert (own.loss, own.test) == ("mse", 0.5)


@needs_anywidget
def test_the_frame_holds_the_page_with_a_bridge_in_place_of_a_server():
    frame = dl.viz.playground(height=500).frame
    assert "height:500px" in frame
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1])
    assert '"bridged":true' in page
    assert len(page.encode()) < 400_000


def test_without_anywidget_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "minidl.viz.widget", raising=False)
    monkeypatch.delattr(dl.viz, "widget", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'minidl\[notebook\]'"):
        dl.viz.playground()
