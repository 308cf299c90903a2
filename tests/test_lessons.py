"""The questions of the course: right answers, wrong ones, and none."""

import numpy as np
import pytest

import minidl as dl
from minidl import lessons

CHOICES = {
    "question": "Which letter?",
    "right": "b",
    "choices": {
        "a": {"text": "the first", "why": "That is the first."},
        "b": {"text": "the second", "why": "It is the second."},
    },
}
NUMBER = {
    "question": "How much is 6 · 7?",
    "right": 42.0,
    "tolerance": 0.1,
    "why": "It is the product.",
    "hint": "Multiply.",
    "mistakes": [{"answer": 13.0, "why": "That is the sum."}],
}


@pytest.fixture
def own(monkeypatch):
    """`check` for two questions of the test's own."""
    monkeypatch.setattr(lessons, "_questions", lambda: {"own-1": CHOICES, "own-2": NUMBER})
    return dl.lessons.check


@pytest.mark.parametrize("answer", ["b", "B", " b "])
def test_the_letter_of_the_right_choice_is_right(own, answer):
    assert own("own-1", answer)
    assert repr(own("own-1", answer)) == "Right. It is the second."


def test_another_letter_is_wrong_and_the_answer_says_what_it_mixes_up(own):
    verdict = own("own-1", "a")
    assert verdict.right is False
    assert repr(verdict) == "Not right. That is the first."


@pytest.mark.parametrize("answer", [42, 38.0, 46, np.float32(42), np.array([42.0])])
def test_a_number_within_the_tolerance_is_right(own, answer):
    assert repr(own("own-2", answer)) == "Right. It is the product."


@pytest.mark.parametrize(
    ("answer", "text"),
    [(13, "That is the sum."), (37, "Multiply."), (-42, "Multiply."), (0, "Multiply.")],
)
def test_another_number_is_wrong_and_a_known_mistake_is_named(own, answer, text):
    assert repr(own("own-2", answer)) == f"Not right. {text}"


def test_three_dots_show_the_question_and_how_to_answer_it(own):
    assert own("own-1", ...).right is None
    assert repr(own("own-1", ...)).splitlines() == [
        "Which letter?",
        "  a  the first",
        "  b  the second",
        "Answer: dl.lessons.check('own-1', ANSWER) with one of a, b",
    ]
    assert repr(own("own-2", ...)).endswith("with a number, right within 10%")


@pytest.mark.parametrize(
    ("question", "answer", "error", "text"),
    [
        ("own-3", "a", LookupError, "there is no question 'own-3'. Did you mean 'own-"),
        ("zebra", "a", LookupError, "There are own-1, own-2."),
        (7, "a", LookupError, "there is no question 7"),
        ("own-1", "c", ValueError, "own-1 wants one of a, b, got 'c'"),
        ("own-1", 1, TypeError, "own-1 wants one of a, b, got 1"),
        ("own-1", None, TypeError, "got None"),
        ("own-2", "42", TypeError, "the answer must be a finite number, got '42'"),
        ("own-2", float("nan"), ValueError, "got nan"),
        ("own-2", np.array([1.0, 2.0]), TypeError, "the answer must be a finite number"),
    ],
)
def test_what_is_no_question_or_no_answer_is_refused(own, question, answer, error, text):
    with pytest.raises(error) as caught:
        own(question, answer)
    assert text in str(caught.value)


# --- the questions of the course ----------------------------------------------------------------


@pytest.mark.parametrize("name", lessons._questions())
def test_a_question_of_the_course_has_one_right_answer_and_a_reason_for_each_other(name):
    entry = lessons._questions()[name]
    assert entry["question"].strip()
    if "choices" in entry:
        verdicts = {letter: dl.lessons.check(name, letter) for letter in entry["choices"]}
        assert [letter for letter, verdict in verdicts.items() if verdict] == [entry["right"]]
    else:
        mistakes = [mistake["answer"] for mistake in entry["mistakes"]]
        verdicts = {x: dl.lessons.check(name, x) for x in (entry["right"], *mistakes)}
        assert [x for x, verdict in verdicts.items() if verdict] == [entry["right"]]
    texts = [verdict.text for verdict in verdicts.values()]
    assert len(texts) == len(set(texts)) >= 2
    assert all(text.endswith(".") for text in texts)
