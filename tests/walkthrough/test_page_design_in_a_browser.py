"""The walkthrough's page as it is seen: sizes, contrast, the Tab key and axe-core."""

import browsing
import pytest
from browsing import press

from minidl._format import plain
from minidl.walkthrough.page import as_html

RESULT = ".line.chosen, .line:only-child, #step figure.result"


@pytest.fixture(scope="module")
def page(batch_walk):
    """The page of a training step on a batch of 16, rendered once."""

    class Page:
        text = as_html(batch_walk._presentation)

        def save(self, path):
            path.write_text(self.text, encoding="utf-8")

    return Page()


@pytest.fixture
def tab(open_page, page):
    """The page in the browser."""
    return open_page(page, size=browsing.SIZES[0], motion="reduce")


KINDS = 2, 6, 10, 14, 9  # a step forward, one backward, an update, summary, gradient check


def show(tab, number):
    """Go to a step."""
    tab.locator("#scrub").fill(str(number - 1))


def steps_of(tab):
    """Go through the steps; yields the number of each."""
    press(tab, "Home")
    count = int(tab.locator("#count").inner_text().split()[-1])
    for number in range(1, count + 1):
        yield number
        press(tab, "ArrowRight")


def test_formula_worked_line_and_result_of_each_step_are_on_the_first_screen(tab, batch_walk):
    whole = 0
    for number in steps_of(tab):
        assert browsing.out_of_view(tab, RESULT) == [], f"step {number}"
        assert browsing.unreadable(tab, "figure.result .cell") == [], f"step {number}"
        assert tab.evaluate("scrollY") == 0
        whole += tab.locator("figure.result .cell").count() == 16 * 8
    assert whole > 4


def test_the_texts_of_each_step_are_readable_at_every_size(tab):
    apart = ".caption, .worked, .panel h3, .inputs, .result figcaption, #controls, #phases, h1"
    for size, _ in browsing.at_sizes(tab, themes=["light"]):
        texts = f"{apart}, .label"
        texts += "" if size.startswith("390") else ", .rows :is(th, td)"  # a phone scrolls it
        for number in KINDS:
            show(tab, number)
            assert browsing.unreadable(tab, texts) == [], f"step {number} at {size}"
            assert browsing.overlapping(tab, apart) == [], f"step {number} at {size}"


def test_texts_and_lines_have_the_contrast_of_wcag_in_light_and_dark(tab):
    lines = "#drawing .edge path:not(.head), #drawing .node:not(.now) rect"
    for size, theme in browsing.at_sizes(tab, browsing.SIZES[::3]):
        for number in KINDS if size == "1440 × 900" else KINDS[:1]:
            show(tab, number)
            where = f"step {number} at {size} in {theme}"
            assert browsing.low_contrast(tab, lines=lines) == [], where


@browsing.needs_axe
def test_axe_core_finds_no_violation_in_any_step_at_any_size(tab):
    for number in steps_of(tab):
        assert browsing.axe_violations(tab, contrast=False) == [], f"step {number}"
    show(tab, KINDS[1])
    for size, theme in browsing.at_sizes(tab):
        assert browsing.axe_violations(tab, contrast=size[0] == "3") == [], f"{size} in {theme}"
    tab.get_by_role("button", name="dense1 x @ W + b").click()
    assert browsing.axe_violations(tab) == []


def test_few_presses_of_tab_lead_to_the_controls_and_through_a_step(tab):
    assert browsing.tab_presses(tab, "#skip") == 1
    assert browsing.tab_presses(tab, "#next") <= 10
    for number in KINDS:
        show(tab, number)
        browsing.tab_presses(tab, "#scrub")
        presses = 0
        while not tab.evaluate("document.activeElement.matches('#text summary')"):
            press(tab, "Tab")
            presses += 1
            assert presses <= 12, f"step {number}"


def test_the_skip_link_leads_to_the_step(tab):
    show(tab, KINDS[0])
    browsing.tab_presses(tab, "#skip")
    assert browsing.out_of_view(tab, "#skip") == []
    press(tab, "Enter")
    assert tab.evaluate("document.activeElement.id") == "step"
    assert tab.locator("#count").inner_text().startswith("step 2 ")


def test_arrow_keys_go_through_a_matrix_and_show_each_worked_line(tab, batch_walk):
    show(tab, KINDS[0])
    part = batch_walk.steps[1].parts[0]
    tab.locator("figure.result .cell").first.focus()
    for keys, at in (
        (["ArrowRight"], (0, 1)),
        (["ArrowDown"] * 3, (3, 1)),
        (["ArrowLeft"] * 3, (3, 0)),  # stays in its row
        (["ArrowUp"] * 5, (0, 0)),
        (["ArrowDown"] * 20 + ["ArrowRight"] * 9, (15, 7)),
    ):
        for key in keys:
            press(tab, key)
        assert tab.locator(".worked").inner_text() == plain(part.worked(at))
    assert tab.locator("#count").inner_text().startswith("step 2 ")
    assert tab.locator("figure.result [tabindex='0']").count() == 1


def test_a_selected_entry_is_worked_out_in_every_formula_of_its_shape(tab, batch_walk):
    show(tab, KINDS[2])
    tab.get_by_role("button", name="θ[3, 1] =").click()
    worked = [plain(part.worked((3, 1))) for part in batch_walk.steps[9].parts]
    assert tab.locator(".worked").all_inner_texts() == worked
    tab.locator("button.label").first.click()  # m
    assert tab.get_by_role("button", name="m[3, 1] =").get_attribute("aria-pressed") == "true"
    assert tab.locator(".line.chosen").inner_text().endswith(worked[0])
