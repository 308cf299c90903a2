"""The live page of a race in a real browser: clicks and sliders give the races of Python."""

import functools

import pytest
from browsing import (
    DESKTOP,
    at_sizes,
    axe_violations,
    low_contrast,
    needs_axe,
    overlapping,
    served,
    tab_presses,
    unreadable,
)
from playwright.sync_api import expect

import minidl as dl
from minidl._page.server import PageServer
from minidl.viz._race.live import LiveRace


@pytest.fixture
def live_tab(tab_and_events):
    """A tab with the live page of a race, and its server; a message or an error is a failure."""
    race = dl.viz.race("two-wells", ["SGD", "Adam"], steps=60, lr=0.05)
    live = LiveRace(race, 0, dl.viz.race)
    server = PageServer("race", live.html(), {"race": live.answer})
    with served(tab_and_events, server) as tab:
        tab.goto(server.url)
        yield tab


TABLE = "document.querySelector('#text pre').textContent"


def expect_race(tab, rules=("SGD", "Adam"), **options):
    """The page shows this race."""
    race = dl.viz.race("two-wells", rules, **{"steps": 60, "lr": 0.05, **options})
    tab.wait_for_function(f"text => {TABLE}.trim() === text", arg=str(race.table()))
    for run in race.runs:
        row = tab.locator("tr.run", has=tab.get_by_role("checkbox", name=run.name, exact=True))
        expect(row.locator(".verdict")).to_have_text(run.verdicts[0])


def test_a_click_starts_the_race_there_and_sliders_change_it(live_tab):
    tab = live_tab
    canvas = tab.locator("#surface")
    box = canvas.bounding_box()
    left, top, right, bottom = map(float, canvas.get_attribute("data-box").split(","))
    x, y = dl.viz.SURFACES["two-wells"].x, dl.viz.SURFACES["two-wells"].y
    tab.mouse.click(
        box["x"] + left + (right - left) * (1.5 - x[0]) / (x[1] - x[0]),
        box["y"] + top + (bottom - top) * (y[1] - 1) / (y[1] - y[0]),
    )
    start = [float(tab.locator(f"#start-{axis}").input_value()) for axis in "xy"]
    assert start == pytest.approx([1.5, 1], abs=0.02)
    expect_race(tab, start=start)
    tab.mouse.move(0, 0)

    tab.get_by_label("η of SGD").fill("-20")
    expect_race(tab, start=start, lr={"SGD": 0.1, "Adam": 0.05})
    tab.get_by_label("Adam", exact=True).focus()
    tab.get_by_label("β₁ of Adam").fill("6")
    expect(tab.locator("#sliders label", has_text="betas β₁").locator("output")).to_have_text("0.5")
    half = functools.partial(dl.optim.Adam, betas=(0.5, 0.999))
    rules = {"SGD": "SGD", "Adam": half}
    expect_race(tab, rules, start=start, lr={"SGD": 0.1, "Adam": 0.05})
    tab.get_by_label("the noise").fill("41")
    expect_race(tab, rules, start=start, lr={"SGD": 0.1, "Adam": 0.05}, noise=1.0)
    expect(tab.locator(".description")).to_contain_text("noise: 1 in each entry")

    tab.get_by_label("y", exact=True).fill("-1")
    tab.keyboard.press("Enter")
    expect_race(tab, rules, start=(start[0], -1), lr={"SGD": 0.1, "Adam": 0.05}, noise=1.0)
    tab.get_by_role("button", name="Reset").click()
    expect_race(tab)
    assert tab.get_by_label("β₁ of Adam").input_value() == "20"


def test_the_fields_of_the_start_show_the_start_that_is_raced_from(live_tab):
    tab = live_tab
    field = tab.get_by_label("x", exact=True)
    for typed, start in ("-99", -2), ("", -2), ("0.5", 0.5):
        field.fill(typed)
        tab.keyboard.press("Enter")
        assert float(field.input_value()) == start
        expect(tab.locator(".description")).to_contain_text(f"from ({start}, 1)".replace("-", "−"))


def test_the_page_says_when_its_server_has_ended_or_refuses(live_tab):
    tab = live_tab
    tab.route("**/race", lambda route: route.fulfill(status=400, json={"error": "η is too large"}))
    tab.get_by_label("η of SGD").fill("0")
    expect(tab.get_by_role("alert")).to_have_text("η is too large")
    tab.unroute("**/race")
    tab.route("**/race", lambda route: route.abort())
    tab.get_by_label("η of SGD").fill("1")
    expect(tab.get_by_role("alert")).to_contain_text("The server does not answer")
    tab.unroute("**/race")
    tab.get_by_label("η of SGD").fill("-20")
    expect(tab.locator("#problem")).to_be_empty()
    expect_race(tab, lr={"SGD": 0.1, "Adam": 0.05})


def test_the_controls_can_be_read_and_reached(live_tab):
    tab, faults = live_tab, []
    for size, _ in at_sizes(tab, themes=["light"]):
        faults += [(size, found) for found in unreadable(tab, "#options :is(h2, label, button)")]
        faults += [(size, found) for found in overlapping(tab, "#options :is(h2, label, button)")]
    for _, theme in at_sizes(tab, [DESKTOP]):
        faults += [(theme, found) for found in low_contrast(tab, "#options")]
    assert faults == []
    assert tab_presses(tab, "#sliders input") <= 20


@needs_axe
def test_axe_finds_nothing_on_the_live_page(live_tab):
    assert axe_violations(live_tab) == []
