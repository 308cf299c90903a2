"""The page of a plan in a browser: its width, the marks of an array, its colors, no scripts."""

import pytest
from capturing import captured_step


@pytest.fixture(scope="module")
def plan():
    return captured_step().plan


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 800, 1400])
def test_nothing_is_wider_than_the_page(open_page, plan, width, colours):
    tab = open_page(plan, size={"width": width, "height": 900}, colours=colours)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    inside = """() => [...document.querySelectorAll('.call, .call > *, .timeline')].every(x => {
        const box = x.getBoundingClientRect();
        return box.left >= 0 && box.right <= innerWidth && x.scrollWidth <= x.clientWidth + 1;
    })"""
    assert tab.evaluate(inside)


def test_the_bars_are_as_long_as_the_times_say(open_page, plan):
    tab = open_page(plan, size={"width": 1400, "height": 900})
    widths = tab.locator(".bar i").evaluate_all(
        "all => all.map(x => x.getBoundingClientRect().width)"
    )
    times = [sorted(s)[len(s) // 2] for s in plan.seconds]
    for width, time in zip(widths, times, strict=True):
        expected = time / max(times) * max(widths)
        assert width == pytest.approx(max(expected, 2), abs=0.5)
    segments = tab.locator(".timeline a").evaluate_all(
        "all => all.map(x => x.getBoundingClientRect().width)"
    )
    shares = [width / sum(segments) for width in segments]
    assert shares == pytest.approx([time / sum(times) for time in times], abs=0.005)


def test_a_selected_array_is_marked_in_all_calls_that_use_it(open_page, plan):
    tab = open_page(plan)
    pressed = tab.locator('.array[aria-pressed="true"]')
    assert pressed.count() == 0
    tab.get_by_role("button", name="x 3×2").first.click()
    calls = pressed.evaluate_all("all => all.map(x => x.closest('.call').id)")
    assert calls == ["call-1", "call-11"]
    assert tab.locator("#live").inner_text() == "This array is used by the calls 1, 11"
    pressed.first.click()
    assert pressed.count() == 0


def test_a_segment_of_the_bar_leads_to_its_call(open_page, plan):
    tab = open_page(plan)
    tab.locator(".timeline a").nth(4).click()
    assert tab.locator(".call:target").get_attribute("id") == "call-5"


def test_the_button_changes_the_colors(open_page, plan):
    tab = open_page(plan)
    before = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.get_by_role("button", name="Light or dark").click()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_without_scripts_the_page_shows_all_calls(open_page_without_scripts, plan):
    tab = open_page_without_scripts(plan)
    assert tab.locator(".call:visible").count() == plan.count
    assert tab.locator("#text pre").is_visible()
