"""The campaign's part `resume` finds a state that isn't saved."""

import pytest

import minidl as dl
from tests.campaign import resume
from tests.campaign.harness import Breach


def test_a_generator_that_is_not_saved_as_it_is_makes_a_breach(monkeypatch):
    def save(path, **own):
        own["data"].rng.random()
        write(path, **own)

    write = dl.save
    monkeypatch.setattr(dl, "save", save)
    with pytest.raises(Breach, match=r"^SGD with Constant.*after step 1, resumed, it ends diff"):
        resume.trial(0, lambda text: None)
