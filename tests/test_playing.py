"""Half an hour of play finds what grows."""

import pytest
from playing import KINDS, grown


def rows(**last):
    first = dict.fromkeys(KINDS, 100.0)
    return [(60.0 * i, 0, first) for i in range(5)] + [(300.0, 0, {**first, **last})]


def test_memory_that_stays_is_no_leak():
    assert grown(rows(), 300) == []
    assert grown(rows(elements=150), 300) == []  # a tenth, and some room


@pytest.mark.parametrize("name", KINDS)
def test_what_grows_is_named(name):
    assert grown(rows(**{name: 200.0}), 300) == [f"{name}: 100.0 → 200.0"]


def test_what_is_reached_early_is_no_leak():
    found = rows(elements=500.0)
    found.insert(1, (40.0, 0, dict.fromkeys(KINDS, 500.0)))
    assert grown(found, 300) == []
