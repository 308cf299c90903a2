"""The questions of the course: what do you expect, before you run it?

    dl.lessons.check("momentum-2", ...)     # shows the question
    dl.lessons.check("momentum-2", "b")     # right or wrong, and why

docs/course.md lists the lessons. Questions and answers are in lessons.toml, beside this file.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.resources
import math
import sys
import tomllib
from dataclasses import dataclass
from typing import Any

from minidl import _checks
from minidl._format import printed


@printed
@dataclass(frozen=True, repr=False)
class Verdict:
    """What `check` says of an answer; true if the answer is right.

    right  whether it is right; None if there was no answer
    text   the question, or what the answer got right or mixed up
    """

    right: bool | None
    text: str

    def __bool__(self) -> bool:
        return self.right is True

    def __repr__(self) -> str:
        return self.text


def check(question: str, answer: Any) -> Verdict:
    """Say whether the answer to a question of the course is right, and if not, what it mixes up.

    question  the name of a lesson and a number from 1 to 3, such as "momentum-2"
    answer    the letter of a choice, or a number; `...` shows the question

    A number is right within the tolerance that the question states. In a script at a terminal, a
    question is printed at once, and Enter goes on to what answers it. LookupError for an unknown
    question, TypeError and ValueError for something that is no answer to it.

    >>> dl.lessons.check("regression-3", "c")
    Right. Each step multiplies the error by 1 − ηλ, so it shrinks as long as ηλ < 2.
    """
    known = _questions()
    if question not in known:
        near = _checks.nearest(str(question), known) or f" There are {', '.join(known)}."
        raise LookupError(f"lessons.check: there is no question {question!r}.{near}")
    entry = known[question]
    if answer is ...:
        asked = Verdict(None, _asked(question, entry))
        if sys._getframe(1).f_globals.get("__name__") == "__main__" and _at_a_terminal():
            print(asked)
            with contextlib.suppress(EOFError):
                input("Press Enter to go on.")
            return Verdict(None, "")
        return asked
    right, why = (_chosen if "choices" in entry else _estimated)(question, entry, answer)
    return Verdict(right, f"{'Right' if right else 'Not right'}. {why}")


def _at_a_terminal() -> bool:
    """Whether someone reads a script's output and can press Enter, rather than types lines."""
    typed = hasattr(sys, "ps1")
    return not typed and all(file and file.isatty() for file in (sys.stdin, sys.stdout))


@functools.cache
def _questions() -> dict[str, dict[str, Any]]:
    """The questions by name, in the order of the course."""
    file = importlib.resources.files("minidl").joinpath("lessons.toml")
    lessons = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        f"{lesson}-{i}": entry
        for lesson, entries in lessons.items()
        for i, entry in enumerate(entries, 1)
    }


def _asked(question: str, entry: dict[str, Any]) -> str:
    """The question with its choices, and how to answer it."""
    lines = [entry["question"].strip()]
    if "choices" in entry:
        lines += [f"  {letter}  {choice['text']}" for letter, choice in entry["choices"].items()]
        how = f"one of {', '.join(entry['choices'])}"
    else:
        how = (
            f"a number, right within {entry['tolerance']:.0%}" if entry["tolerance"] else "a number"
        )
    return "\n".join([*lines, f"Answer: dl.lessons.check({question!r}, ANSWER) with {how}"])


def _chosen(question: str, entry: dict[str, Any], answer: Any) -> tuple[bool, str]:
    """Whether a letter is that of the right choice, and what its choice says."""
    letters = entry["choices"]
    letter = answer.strip().lower() if isinstance(answer, str) else answer
    if not isinstance(letter, str) or letter not in letters:
        kind = ValueError if isinstance(answer, str) else TypeError
        raise kind(f"lessons.check: {question} wants one of {', '.join(letters)}, got {answer!r}")
    return bool(letter == entry["right"]), letters[letter]["why"]


def _estimated(question: str, entry: dict[str, Any], answer: Any) -> tuple[bool, str]:
    """Whether a number is close to the right one, and what a known wrong one mixes up."""
    value = answer.item() if hasattr(answer, "item") and answer.size == 1 else answer
    value = _checks.number(f"lessons.check: {question}", "the answer", value, -math.inf)

    def close(other: float) -> bool:
        return bool(abs(value - other) <= entry["tolerance"] * abs(other))

    if close(entry["right"]):
        return True, entry["why"]
    mixed_up = (wrong["why"] for wrong in entry["mistakes"] if close(wrong["answer"]))
    return False, next(mixed_up, entry["hint"])
