"""The campaign's part `leaks` finds what is kept after each call."""

import ctypes
import threading

import pytest

from tests.campaign import leaks
from tests.campaign.harness import Breach

kept = []


class Cycle:
    def __init__(self):
        self.own = self


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: kept.append(bytes(40)), "Python's blocks"),
        (lambda: ctypes.CDLL(None).malloc(24), "bytes"),
        (lambda: kept.append([]), "objects"),
        (lambda: kept.append(open(__file__)), "open files"),  # noqa: SIM115
        (lambda: threading.Thread(target=kept[0].wait, daemon=True).start(), "threads"),
    ],
)
@pytest.mark.skipif(bool(leaks.missing()), reason=leaks.missing())
def test_what_each_call_leaves_behind_makes_a_breach(call, what, monkeypatch):
    count = leaks.counted
    monkeypatch.setattr(leaks, "counted", lambda: {what: count()[what]})
    kept[:] = [threading.Event()]
    try:
        with pytest.raises(Breach, match=f"^planted: {what} grow by"):
            leaks.watch("planted", call, 30 if what in ("threads", "open files") else 4000)
    finally:
        kept[0].set()
        for file in kept:
            getattr(file, "close", int)()
        kept.clear()


@pytest.mark.skipif(bool(leaks.missing()), reason=leaks.missing())
def test_a_step_that_makes_reference_cycles_makes_a_breach():
    with pytest.raises(Breach, match="grow by"):
        leaks.watch("planted", Cycle, 8000, collects=False)
    leaks.watch("harmless", Cycle, 8000)
