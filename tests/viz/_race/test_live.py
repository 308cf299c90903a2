"""The live page's questions and answers: each answer is the race that Python gives."""

import functools
import sys

import numpy as np
import pytest
from races import RULES

import minidl as dl
from minidl.viz._race import live, page
from minidl.viz._race.live import Control, LiveRace

RATES = {"SGD": 0.02, "Adam": dl.schedulers.CosineDecay(0.3, 40)}
FIRST = {"start": [1, 1.5], "noise": 0, "options": {}}


@functools.cache
def first():
    return dl.viz.race("beale", list(RATES), steps=40, lr=RATES, tolerance=0.02)


def live_race():
    return LiveRace(first(), 0, dl.viz.race)


def test_the_first_question_is_answered_by_the_first_race():
    answer = live_race().answer(FIRST)
    assert {name: answer.pop(name) for name in ("description", "text")} == {
        "description": page.description(first(), 0),
        "text": str(first().table()),
    }
    assert answer == page.tracks(first(), 0)


@pytest.mark.parametrize(
    ("changes", "rules", "options"),
    [
        ({"start": [-2.5, 0.25]}, RATES, {"start": (-2.5, 0.25)}),
        ({"noise": 1.5}, RATES, {"noise": 1.5}),
        ({"options": {"SGD": {"lr": 0.03}}}, RATES, {"lr": {**RATES, "SGD": 0.03}}),
        (
            {"options": {"Adam": {"betas": [0.5, 0.9]}, "SGD": {"momentum": 0.5}}},
            {
                "SGD": functools.partial(dl.optim.SGD, momentum=0.5),
                "Adam": functools.partial(dl.optim.Adam, betas=(0.5, 0.9)),
            },
            {},
        ),
    ],
    ids=["start", "noise", "rate", "options"],
)
def test_an_answer_is_the_race_with_these_settings(changes, rules, options):
    rules = rules if rules is not RATES else {name: name for name in RATES}
    options = {"steps": 40, "lr": RATES, "tolerance": 0.02, **options}
    answer = live_race().answer({**FIRST, **changes})
    expected = dl.viz.race("beale", rules, **options)
    assert answer["text"] == str(expected.table())
    assert answer["runs"] == page.tracks(expected, 0)["runs"]
    assert answer["start"] == list(options.get("start", (1, 1.5)))


def test_the_page_shows_the_whole_domain_and_has_the_controls():
    html = live_race().html()
    assert '"x":[-4.5,4.5],"y":[-4.5,4.5]' in html
    assert '"controls":[[{"symbol":"η","option":"lr","part":null,"value":0.02},' in html
    assert "--serve" not in html
    assert "fetch(" in html


def test_the_saved_page_says_how_to_serve():
    words = ["python", "-m", "minidl", "race", "--surface", "beale", "--serve"]
    assert " ".join(f"<span>{word}</span>" for word in words) in page.html(first())
    own = dl.viz.race(dl.viz.Surface(lambda x, y: x**2 + y**2), ["SGD"], steps=1)
    assert "<code><span>race.serve()</span>" in page.html(own)


@pytest.mark.parametrize("name", RULES)
def test_each_rule_has_controls_for_its_rate_and_fractions(name):
    (run,) = dl.viz.race("bowl", [name], steps=1, lr=0.1).runs
    rate, *others = live.controls(run)
    assert rate == Control("α" if name == "FTRL" else "η", "lr", None, 0.1)
    named = {own.symbol: own.value for own in others}
    expected = {
        "SGD": {"μ": 0, "τ": 0},
        "RMSprop": {"α": 0.99, "μ": 0},
        "Adadelta": {"ρ": 0.9},
        "Lion": {"β₁": 0.9, "β₂": 0.99},
        "Momentum": {"β": 0.9},
        "NAG": {"β": 0.9},
        "Adagrad": {},
        "FTRL": {},
    }
    assert named == expected.get(name, {"β₁": 0.9, "β₂": 0.999})


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        (None, ValueError, "must have start, noise and options"),
        ({"start": [0, 0]}, ValueError, "must have start, noise and options"),
        ({**FIRST, "steps": 10**9}, ValueError, "must have start, noise and options"),
        ({**FIRST, "start": [9, 9]}, ValueError, r"start \(9, 9\) is outside the domain"),
        ({**FIRST, "start": "here"}, ValueError, "must be a point"),
        ({**FIRST, "start": [[0, 0], [1, 1]]}, ValueError, "must be a point"),
        ({**FIRST, "noise": -1}, ValueError, "noise must be a finite number ≥ 0"),
        ({**FIRST, "noise": "loud"}, TypeError, "noise must be a finite number"),
        ({**FIRST, "options": []}, TypeError, r"options must be \{run: \{option: value\}\}"),
        ({**FIRST, "options": {"SGD": 3}}, TypeError, r"options must be \{run"),
        ({**FIRST, "options": {"Lion": {}}}, ValueError, "a name in options must be"),
        ({**FIRST, "options": {"SGD": {"kernel": 1}}}, ValueError, "an option of SGD must be"),
        ({**FIRST, "options": {"SGD": {"lr": -1}}}, ValueError, "lr must be a finite number ≥ 0"),
        ({**FIRST, "options": {"Adam": {"betas": [1, 2]}}}, ValueError, "betas"),
    ],
)
def test_another_question_is_an_error_that_says_what_is_wrong(question, error, message):
    with pytest.raises(error, match=message):
        live_race().answer(question)


def test_a_race_is_served_from_one_of_its_starts(monkeypatch):
    race, served = dl.viz.race("bowl", ["SGD"], steps=2, start=[(1, 1), (2, 2)]), []
    monkeypatch.setattr(
        live.PageServer, "run", lambda server, browser: served.append((server.page, browser))
    )
    race.serve(start=1, browser=False)
    ((html, browser),) = served
    assert '"start":[2.0,2.0]' in html
    assert browser is False
    with pytest.raises(ValueError, match="start must be below 2"):
        race.serve(start=2)
    with pytest.raises(TypeError, match="browser must be True or False"):
        race.serve(browser="no")


def test_without_jinja2_there_is_an_error_before_the_address(monkeypatch, capsys):
    race = dl.viz.race("bowl", ["SGD"], steps=2)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(live.PageServer, "run", lambda server, browser: None)
    with pytest.raises(ImportError, match=r"minidl\[viz\]"):
        race.serve(browser=False)
    assert capsys.readouterr().out == ""


def test_the_radius_of_the_goal_is_kept():
    assert live_race().again(first().surface, ["SGD"], steps=1, lr=0.1, tolerance=0.02).radius == (
        first().radius
    )
    assert np.isclose(first().radius, 0.18)
