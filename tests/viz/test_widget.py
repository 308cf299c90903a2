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
