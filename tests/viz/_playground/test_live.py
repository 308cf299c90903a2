"""The playground's questions and answers: what each tab asks, and nothing else."""

import json
import sys

import numpy as np
import pytest

import minidl as dl
from minidl._expressions import NAMES
from minidl.viz._playground import live
from minidl.viz._playground.live import MAX_SESSIONS, MAX_STEPS, Playground
from minidl.viz._playground.settings import from_json as settings
from minidl.viz._playground.training import Training


def started(**given):
    playground = Playground()
    answer = playground.start({"session": None, "settings": given})
    return playground, answer["session"]


def test_the_page_has_its_choices_and_is_small():
    html = Playground().html()
    assert len(html.encode()) < 400_000
    for name in (*dl.optim.RULES, *dl.nn.ACTIVATIONS, "three_classes"):
        assert f'"{name}"' in html
    for name in NAMES.keys() - {"Constant"}:
        assert f"\n  {name}: (x) => `{name}(" in html  # an example to begin with
    assert "http://" not in html.replace("http://www.w3.org/", "")


def test_each_tab_has_its_own_training():
    playground, first = started()
    second = playground.start({"session": None, "settings": {"seed": 3}})["session"]
    for key, steps in ((first, 30), (second, 5)):
        playground.frame({"session": key, "steps": steps, "seen": [], "detail": True})
    for key, steps, seed in ((first, 30, 0), (second, 5, 3)):
        expected = Training(settings({"seed": seed}))
        expected.advance(steps)
        (ours,) = playground.sessions[key].trainings
        np.testing.assert_array_equal(
            ours.model.dense1.weight.data, expected.model.dense1.weight.data
        )


def test_the_tab_that_was_not_used_for_longest_is_forgotten():
    playground, first = started(layers=[1])
    for _ in range(MAX_SESSIONS - 1):
        second = playground.start({"session": None, "settings": {"layers": [1]}})["session"]
    playground.frame({"session": first, "steps": 1, "seen": [], "detail": True})
    playground.start({"session": second, "settings": {}})  # takes its own place
    playground.start({"session": "of an earlier server", "settings": {}})
    assert len(playground.sessions) == MAX_SESSIONS
    assert first in playground.sessions


def test_two_runs_have_the_same_network_and_batches():
    playground, key = started(runs=[{"rule": "SGD"}, {"rule": "SGD"}])
    a, b = playground.frame({"session": key, "steps": 12, "seen": [], "detail": True})["runs"]
    assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_of_two_runs_the_same_steps_are_remembered():
    playground, key = started(layers=[1], runs=[{}, {}])
    edit = {"name": "dense1.bias", "index": [0], "value": 0.5}
    for step in range(170):
        playground.frame({"session": key, "steps": 1, "seen": [], "detail": False})
        if step % 2 == 0:
            playground.edit({"session": key, "run": step % 3 % 2, **edit})
    one, other = playground.sessions[key].trainings
    assert one.remembered.keys() == other.remembered.keys()


@pytest.mark.filterwarnings("error")
def test_answers_are_json_even_when_numbers_are_not_finite():
    run = {"rule": "SGD", "lr": 1e9}
    playground, key = started(data="plane", loss="mse", activation="relu", runs=[run])
    for _ in range(5):
        answer = playground.frame({"session": key, "steps": 50, "seen": [], "detail": True})
    json.dumps(answer, allow_nan=False)
    own = {"data": "plane", "loss": "mse", "activation": "gelu", "runs": [run]}
    json.dumps(playground.change({"session": key, "settings": own}), allow_nan=False)
    answer = playground.frame({"session": key, "steps": 3, "seen": [], "detail": True})
    assert answer["runs"][0]["remarks"][0][0] == "exploding"


def test_changing_rewinding_and_editing_answer_with_the_whole_state():
    playground, key = started()
    playground.frame({"session": key, "steps": 10, "seen": [], "detail": True})
    own = {"noise": 0.3, "runs": [{"lr": "LinearDecay(0.1, 100)"}]}
    answer = playground.change({"session": key, "settings": own})
    assert settings(answer["settings"]) == settings(own)
    assert answer["schedules"][0]["rates"][50] == pytest.approx(0.05)
    assert answer["runs"][0]["step"] == 10
    edit = {"run": 0, "name": "dense3.bias", "index": [1], "value": 0.5}
    playground.edit({"session": key, **edit})
    assert playground.sessions[key].trainings[0].model.dense3.bias.data[1] == 0.5
    answer = playground.rewind({"session": key, "step": 0})
    assert answer["settings"]["noise"] == 0.12
    assert answer["schedules"] == [None]
    assert "dl.optim.Adam(model, lr=0.01)" in playground.script({"session": key, "run": 0})["text"]
    assert playground.walk({"session": key, "run": 0})["html"].startswith("<!doctype html>")


def test_the_log_of_two_runs_gives_the_same_training_again():
    playground, key = started(layers=[3], runs=[{}, {"rule": "SGD"}])

    def ask(answer, key, **question):
        return playground.answers[answer]({"session": key, **question})

    ask("frame", key, steps=4, seen=[], detail=False)
    edit = {"run": 1, "name": "dense2.bias", "index": [1], "value": 0.5}
    ask("edit", key, **edit)
    ask("change", key, settings={"layers": [3, 2], "runs": [{"lr": 0.1}, {"rule": "SGD"}]})
    ask("edit", key, **edit)
    ask("edit", key, **{**edit, "run": 0, "name": "dense1.weight", "index": [0, 1]})
    ask("frame", key, steps=30, seen=[], detail=False)
    found = json.loads(json.dumps(ask("log", key)))
    assert found["step"] == 34
    (at, first), *later = found["log"]
    assert at == 0
    assert [next(iter(change)) for _, change in later] == ["edit", "settings", "edit", "edit"]
    again = playground.start({"session": None, **first})["session"]
    for step, change in [*later, (found["step"], {})]:
        if step > at:
            ask("frame", again, steps=step - at, seen=[], detail=False)
        at = step
        if "edit" in change:
            ask("edit", again, **change["edit"])
        elif change:
            ask("change", again, **change)
    old, new = (playground.sessions[name].trainings for name in (key, again))
    for one, other in zip(old, new, strict=True):
        for p, q in zip(one.model.parameters(), other.model.parameters(), strict=True):
            np.testing.assert_array_equal(p.data, q.data)


def test_a_rate_that_overflows_is_an_error_and_leaves_both_runs_at_a_remembered_step():
    run = {"rule": "SGD", "lr": "ExponentialDecay(1e-9, 1e4)"}
    playground, key = started(layers=[2], runs=[{}, run])

    def take(steps):
        return playground.frame({"session": key, "steps": steps, "seen": [], "detail": True})

    take(3)
    for _ in range(2):
        with pytest.raises(ValueError, match="lr of step"):
            take(100)
        one, other = playground.sessions[key].trainings
        assert one.step == other.step == 3
    expected = Training(settings({"layers": [2], "runs": [{}, run]}), 1)
    expected.advance(3)
    for p, q in zip(other.model.parameters(), expected.model.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    assert [run["step"] for run in take(1)["runs"]] == [4, 4]
    own = {"layers": [3], "runs": [{}, {**run, "lr": "ExponentialDecay(0.1, 1e9)"}]}
    with pytest.raises(ValueError, match="lr of step 4"):
        playground.change({"session": key, "settings": own})
    assert one.settings == other.settings == expected.settings
    assert playground.change({"session": key, "settings": expected.settings.as_json()})


FRAME = {"steps": 1, "seen": [], "detail": True}
EDIT = {"run": 0, "name": "dense1.bias", "index": [0], "value": 1.0}


@pytest.mark.parametrize(
    ("name", "question", "message"),
    [
        ("frame", {"steps": 1}, "must have session, steps, seen, detail"),
        ("frame", {**FRAME, "steps": MAX_STEPS + 1}, "at most"),
        ("frame", {**FRAME, "steps": -1}, "steps must be"),
        ("frame", {**FRAME, "steps": True}, "steps must be"),
        ("frame", {**FRAME, "seen": [3]}, "seen must be"),
        ("frame", {**FRAME, "seen": [[0, -1]]}, "seen must be"),
        ("frame", {**FRAME, "detail": 1}, "detail must be True or False"),
        ("change", {"settings": {"runs": [{}, {}]}}, "starts again"),
        ("change", {"settings": 1}, "must be an object"),
        ("change", {"settings": {"runs": [{"options": {"eps": 1e-50}}]}}, "0 in float32"),
        ("rewind", {"step": 3}, "is not remembered"),
        ("rewind", {"step": [0]}, "step must be"),
        ("rewind", {"step": 0.0}, "step must be"),
        ("edit", {**EDIT, "run": 1}, "run must be below 1"),
        ("edit", {**EDIT, "name": "dense9.bias"}, "name must be one of"),
        ("edit", {**EDIT, "index": [8]}, "has the shape"),
        ("edit", {**EDIT, "index": [0, 0]}, "has the shape"),
        ("edit", {**EDIT, "index": [True]}, "has the shape"),
        ("edit", {**EDIT, "value": 1e30}, "value must be"),
        ("script", {"run": -1}, "run must be below"),
        ("walk", {}, "must have session, run"),
        ("log", {"run": 0}, "must have session"),
    ],
)
def test_a_wrong_question_is_an_error_and_changes_nothing(name, question, message):
    playground, key = started(layers=[8])
    (training,) = playground.sessions[key].trainings
    before, own = training.model.state_dict(), training.settings
    with pytest.raises((ValueError, TypeError), match=message):
        playground.answers[name]({"session": key, **question})
    after = training.model.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    assert training.settings is own


@pytest.mark.parametrize("key", [None, "another", 3])
def test_a_training_that_is_not_kept_is_told(key):
    playground, _ = started()
    with pytest.raises(ValueError, match="no longer kept"):
        playground.frame({"session": key, **FRAME})
    with pytest.raises(ValueError, match="must have session and settings"):
        playground.start({"settings": {}})


def test_without_jinja2_the_command_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(live.config, "set_num_threads", lambda n: None)
    monkeypatch.setattr(live._blas, "use_one_thread", lambda: None)
    monkeypatch.setattr(live.PageServer, "run", lambda server, browser: None)
    with pytest.raises(ImportError, match=r"minidl\[viz\]"):
        live.serve(browser=False)
    assert capsys.readouterr().out == ""


def test_serve_serves_the_page_with_its_answers(monkeypatch):
    served = []
    monkeypatch.setattr(live.config, "set_num_threads", served.append)
    monkeypatch.setattr(live._blas, "use_one_thread", lambda: served.append("BLAS"))
    monkeypatch.setattr(
        live.PageServer,
        "run",
        lambda server, browser: served.append((server.page, set(server.answers), browser)),
    )
    live.serve(browser=False)
    *threads, (html, names, browser) = served
    assert threads == [1, "BLAS"]
    assert "<title>Playground</title>" in html
    assert names == {"start", "frame", "change", "rewind", "edit", "log", "script", "walk"}
    assert browser is False
