"""The claims lab: its texts, its verdicts, its page, and that it finds a claim that isn't true."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from cases import ROOT

from examples.claims import CLAIMS, __main__, lab

NAMES = [name for names in CLAIMS.values() for name in names]
PAGE = ROOT / "docs" / "claims.md"


def fake(true, **texts):
    """A claim that needs no run."""
    given = {
        "STATEMENT": "Twice two is four",
        "QUESTION": "Is it?",
        "VERDICT": "holds",
        "ANSWER": "It is {share:.0%}",
        "REASON": "Counted {n} times.",
    }
    return SimpleNamespace(
        __name__="examples.claims.fake",
        run=lambda: {"share": 0.5, "n": 7},
        evidence=lambda data: {"the sum is four": np.bool_(true)},
        **given | texts,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_has_its_texts_its_cells_and_a_verdict_of_three_kinds(name):
    claim = lab.load(name)
    assert claim.QUESTION.endswith("?")
    assert claim.QUESTION.count("?") == 1
    assert claim.VERDICT.startswith(lab.VERDICTS)
    assert not claim.STATEMENT.endswith(".")
    assert not claim.ANSWER.endswith(".")
    assert claim.REASON.endswith(".")
    source = (ROOT / "examples" / "claims" / f"{name}.py").read_text(encoding="utf-8")
    assert source.count("\n# %%") >= 6
    assert f"python -m examples.claims {name}." in source.splitlines()[0]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_uses_public_names_alone(name):
    source = (ROOT / "examples" / "claims" / f"{name}.py").read_text(encoding="utf-8")
    assert not re.findall(r"\b(?:minidl|dl)(?:\.\w+)*\._\w+|from minidl", source)


def test_each_module_is_a_claim_of_the_list_once():
    folder = ROOT / "examples" / "claims"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__", "lab"}
    assert sorted(NAMES) == sorted(modules)


def test_texts_take_the_numbers_of_the_run():
    result = lab.judge(fake(True))
    assert result.answer == "It is 50\N{NO-BREAK SPACE}%"
    assert result.reason == "Counted 7 times."
    assert result.evidence == {"the sum is four": True}


@pytest.mark.parametrize(
    ("true", "timed", "code"), [(True, False, 0), (False, False, 1), (False, True, 0)]
)
def test_the_command_fails_if_a_sentence_is_not_true_unless_it_is_about_times(
    true, timed, code, monkeypatch, capsys, tmp_path
):
    claim = fake(true)
    claim.TIMED = timed
    monkeypatch.setattr(lab, "load", lambda name: claim)
    monkeypatch.setattr(lab, "draw", lambda *_: None)
    assert __main__.main(["momentum", "--out", str(tmp_path)]) == code
    told = capsys.readouterr().err
    assert ("fake: the sum is four" in told) is not true
    assert ("is the machine busy?" in told) is timed


def test_an_unknown_claim_is_an_error_that_names_the_others(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["momentun"])
    message = capsys.readouterr().err
    assert "'momentun'" in message
    assert "momentum_overshoots" in message


def test_without_arguments_the_command_lists_the_questions(capsys):
    assert __main__.main([]) == 0
    lines = capsys.readouterr().out
    assert all(name in lines for name in NAMES)
    assert lab.load("adadelta").QUESTION in lines


# --- the page -----------------------------------------------------------------------------------


def test_the_page_has_each_claim_in_order_with_its_question_verdict_and_picture():
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    place = -1
    for name in NAMES:
        claim = lab.load(name)
        assert f"| [{claim.STATEMENT}](#{__main__.anchor(name)}) | {claim.VERDICT} |" in page
        question = page.index(f"*{claim.STATEMENT}.* {claim.QUESTION}")
        assert question > place
        place = page.index(f"(claims/{name}.png)", question)
        assert f"### {__main__.title(name)} " in page
        verdict = f"**{claim.VERDICT[0].upper()}{claim.VERDICT[1:]}.**"
        assert page.index(verdict, place) < page.index(f"examples/claims/{name}.py", place)
        assert (PAGE.parent / "claims" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_no_line_of_the_page_separates_a_number_from_its_percent_sign():
    text = "A share of 5\N{NO-BREAK SPACE}% " * 40
    assert __main__.fill(text).split("\n")[1:]
    for page in (__main__.fill(text), PAGE.read_text(encoding="utf-8")):
        assert not re.findall(r"^%|\d %", page, re.MULTILINE)


@pytest.mark.parametrize(
    "name", ["momentum_overshoots", "oscillation", "adamw", "rate_decay", "rate_too_large"]
)
def test_what_the_page_says_of_a_claim_is_what_a_run_says(name):
    result = lab.judge(lab.load(name))
    assert all(result.evidence.values()), result.evidence
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert " ".join(f"{result.answer}. {result.reason}".split()) in page


# --- independent values -------------------------------------------------------------------------


def test_momentum_runs_past_the_minimum_as_far_as_its_recurrence_says():
    claim = lab.load("momentum_overshoots")
    theta, v, lowest = 1.0, 0.0, 0.0
    for _ in range(claim.STEPS):
        v = claim.BETA * v + (1 - claim.BETA) * theta
        theta -= claim.RATE * v
        lowest = min(lowest, theta)
    assert lab.judge(claim).answer.startswith(
        f"Momentum runs past the minimum by {-lowest:.0%}"[:-1]
    )


def test_the_effective_rate_of_the_lab_is_that_of_the_equation():
    follow = lab.load("adagrad_decays").follow
    _, rates = follow("SGD", 0.02, change=3, seed=0)
    assert np.allclose(rates, 0.02)


def test_a_path_of_captured_steps_is_that_of_gradient_descent():
    from functools import partial

    import minidl as dl

    path = lab.descend(lambda x: dl.sum(x**2) / 2, [1.0, -2.0], partial(dl.optim.SGD, lr=0.1), 5)
    assert np.allclose(path, np.outer(0.9 ** np.arange(6), [1.0, -2.0]))


def test_the_first_true_step_of_each_run_is_found():
    true = np.array([[False, False], [True, False], [True, False]])
    assert lab.first(true).tolist() == [1, np.inf]
