"""The campaign's part `bits`: what it finds if hashes of the benchmark differ."""

import pytest

from tests.campaign import bits
from tests.campaign.harness import Breach


@pytest.fixture
def builds(monkeypatch):
    """Pretend that kernels are built; their hashes by the number of threads can be set."""
    built, hashes = [], {}
    benchmark = bits.bits
    monkeypatch.setattr(benchmark, "buildable", lambda: ["as it is", "x86-64-v3"])
    monkeypatch.setattr(benchmark, "copied", lambda tree: None)
    monkeypatch.setattr(benchmark, "built", lambda build, tree: built.append(build))
    monkeypatch.setattr(
        benchmark, "in_child", lambda tree, threads: {"Adam": "a", **hashes.get(threads, {})}
    )
    return built, hashes


def test_each_instruction_set_is_compared_on_each_number_of_threads(builds):
    found = [bits.trial(seed, str) for seed in range(bits.SEEDS)]
    alone = [{"hashes compared": 1}] * 3  # on 2, 4 and 8 threads, as the kernels are
    assert found == [*alone, {"left out": 1}, {"hashes compared": 4}, {"left out": 1}]
    assert builds[0] == ["x86-64-v3"]


def test_other_bits_are_a_breach(builds):
    builds[1][8] = {"Adam": "b"}
    with pytest.raises(Breach, match="as it is on 8 threads has other bits: Adam"):
        bits.trial(2, str)
