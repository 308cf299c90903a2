"""The campaign's part `threads` finds what threads lose, and what they leave switched."""

import itertools

import numpy as np
import pytest

from minidl._kernels import atomic
from tests.campaign import threads
from tests.campaign.harness import Breach

RNG = np.random.default_rng


def test_a_result_that_differs_from_that_of_the_same_work_alone_makes_a_breach():
    alone = {("settings", 1): ([1.0], "state")}
    assert threads.compare("in tasks", alone, [(("settings", 1), ([1.0], "state"))]) == 1
    with pytest.raises(
        Breach, match=r"^in tasks: the work settings of seed 1 finds something else"
    ):
        threads.compare("in tasks", alone, [(("settings", 1), ([2.0], "state"))])
    with pytest.raises(Breach, match="MemoryError"):
        threads.compare("in tasks", alone, [(("settings", 1), MemoryError())])


def test_a_gradient_that_is_lost_makes_a_breach(monkeypatch):
    monkeypatch.setattr(atomic, "exchange", lambda found, changes: atomic.assign(changes) or True)
    monkeypatch.setattr(threads, "everywhere", lambda call, numbers: [call(i) for i in numbers[1:]])
    with pytest.raises(Breach, match="gradients of 3 have the sum"):
        threads.shared_gradients(RNG(0))


def test_a_mode_that_is_restored_too_early_makes_a_breach(monkeypatch):
    """As if predictions were made in training mode, where no two are the same.

    Dropout itself can't be tried: a fork waits for ever for a lock of NumPy's generator
    that another thread held.
    """
    numbers = itertools.count()
    monkeypatch.setattr(threads.dl, "predict", lambda *_, **options: np.array(next(numbers)))
    with pytest.raises(Breach, match="predictions of a shared model differ"):
        threads.shared_model(RNG(0))


def test_a_program_that_fails_in_a_new_process_makes_a_breach_with_that_program():
    with pytest.raises(Breach, match=r"^an end: SIGABRT") as caught:
        threads.run_python("import os; os.abort()", "an end")
    assert caught.value.reproduction == "import os; os.abort()"
