"""The walkthrough's page as it is seen: sizes, contrast, the Tab key and axe-core."""

import browsing
import pytest
from browsing import press

RESULT = ".line.chosen, .line:only-child, #step figure.result"


@pytest.fixture
def tab(open_page, batch_walk):
    """The page of a training step on a batch of 16."""
    return open_page(batch_walk, size=browsing.SIZES[0], motion="reduce")


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
        assert tab.evaluate("scrollY") == 0
        whole += tab.locator("figure.result .cell").count() == 16 * 8
    assert whole > 2


def test_the_texts_of_each_step_are_readable_at_every_size(tab):
    apart = ".caption, .worked, .panel h3, .inputs, .result figcaption, #controls, #phases, h1"
    for size, _ in browsing.at_sizes(tab, themes=["light"]):
        for number in steps_of(tab):
            assert browsing.unreadable(tab, f"{apart}, .label") == [], f"step {number} at {size}"
            assert browsing.overlapping(tab, apart) == [], f"step {number} at {size}"
