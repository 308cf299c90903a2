"""The page of a race on a network, in a browser."""

import functools

import browsing
import numpy as np
import pytest

import minidl as dl


@functools.cache
def line_race():
    """A race of two optimizers that fit a line; the second one diverges."""
    x = np.linspace(-1, 1, 12).reshape(-1, 1)
    rates = {"SGD": 0.1, "Momentum": 1e9}
    return dl.viz.network_race(
        dl.nn.MLP([1, 3, 1], "tanh", rng=0), dl.losses.mse, (x, 2 * x - 1),
        ["SGD", "Momentum"], steps=60, lr=rates, resolution=21,
    )  # fmt: skip


def test_the_page_has_the_losses_of_the_network_and_nothing_of_goals(open_page):
    race = line_race()
    tab = open_page(race, "#step=60")
    assert (
        tab.locator(".distance, .steps, .arrived, .goal, #explain").filter(visible=True).count()
        == 0
    )
    cells = tab.locator("#runs tbody tr").first.locator("td").filter(visible=True).all_inner_texts()
    assert float(cells[1].replace("−", "-")) == pytest.approx(race.runs[0].loss[-1, 0], rel=1e-2)
    assert cells[-1] == race.runs[0].verdicts[0]
    about = tab.locator(".about").inner_text()
    first, second = race.surface.explained
    assert f"{first:.1%} + {second:.1%}" in about
    assert tab.locator("#losses h2").inner_text().split() == ["f", "log", "scale"]


def test_the_page_can_be_read_at_each_width_in_both_themes(open_page):
    tab = open_page(line_race(), "#step=30")
    for at in browsing.at_sizes(tab):
        assert browsing.unreadable(tab, "#runs :is(th, td), #numbers, .description li") == [], at
        assert browsing.overlapping(tab, "#runs :is(th, td) > *, .description li") == [], at
    assert browsing.low_contrast(tab) == []


@browsing.needs_axe
def test_axe_finds_no_violation_in_the_page(open_page):
    assert browsing.axe_violations(open_page(line_race(), "#step=30")) == []
