"""The campaign's part `subnormals`: what it finds if a figure of the benchmark is bad."""

import pytest

from tests.campaign import subnormals
from tests.campaign.harness import Breach


def test_a_slow_rule_is_a_breach_and_a_single_slow_measurement_is_not(monkeypatch):
    measured = iter([(1.0, 3.0), (1.0, 1.1)])
    monkeypatch.setattr(subnormals, "in_child", lambda *words: next(measured))
    assert subnormals.trial(0, str) == {"ratios": 1}
    monkeypatch.setattr(subnormals, "in_child", lambda *words: (1.0, 3.0))
    with pytest.raises(Breach, match=r"in float32: .* takes 3\.00, .* allowed: 1\.5"):
        subnormals.trial(0, str)
