"""The walkthrough's page in a real browser: it plays, and its numbers are the tape's."""

import numpy as np
import pytest

import minidl as dl
from minidl import _story
from minidl.__main__ import lesson
from minidl._formulas import plain

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens a walkthrough from disk; whatever it complains about is an error."""
    complaints, contexts = [], []

    def open_page(walk, size=DESKTOP, at="", **options):
        path = tmp_path / "walk.html"
        walk.save(path)
        contexts.append(browser.new_context(viewport=size, **options))
        tab = contexts[-1].new_page()
        tab.clock.install()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        tab.on("request", lambda request: complaints.append(request.url))
        tab.goto(path.as_uri() + at)
        complaints.remove(path.as_uri())  # all that it may ask for is itself
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def step_of(tab):
    """Where the page says that it is."""
    return tab.locator("#count").inner_text()


def counted(tab):
    """The number of steps."""
    return int(step_of(tab).split()[-1])


def press(tab, key, times=1):
    for _ in range(times):
        tab.keyboard.press(key)


# --- the numbers --------------------------------------------------------------------------------


def test_every_step_shows_its_words_and_the_tapes_numbers(opened):
    walk = lesson()
    tab = opened(walk)
    cells = 0
    for number, step in enumerate(_story.steps(walk), 1):
        assert step_of(tab) == f"step {number} of {counted(tab)}"
        article = tab.locator("#step")
        assert article.locator("h2").inner_text() == step.title
        assert step.words in article.inner_text()
        for card, part in zip(
            article.locator("section.card:has(figure)").all(), step.parts, strict=True
        ):
            figures = [*part.operands, *[part.result] * bool(part.result)]
            for figure, operand in zip(card.locator("figure").all(), figures, strict=True):
                shown = [cell.get_attribute("title") for cell in figure.locator(".cell").all()]
                assert shown == [str(x) for x in operand.data.flat]
                cells += len(shown)
        press(tab, "ArrowRight")
    assert cells > 150


def test_the_numbers_of_a_node_are_the_models_own(opened):
    model = dl.nn.MLP([2, 2, 1], "tanh", rng=0)
    optimizer = dl.optim.Adam(model, lr=0.1)
    before = model.dense1.weight.data.copy()
    with dl.trace() as walk:
        dl.losses.mse(model(np.ones((3, 2))), np.zeros((3, 1))).backward()
        optimizer.step()
    tab = opened(walk)
    tab.get_by_role("button", name="dense1.weight, parameter").click()
    dialog = tab.get_by_role("dialog")
    shown = [cell.get_attribute("title") for cell in dialog.locator(".cell").all()]
    arrays = before, model.dense1.weight.grad, model.dense1.weight.data
    assert shown == [str(x) for array in arrays for x in array.flat]
    press(tab, "Escape")
    assert not dialog.is_visible()


def test_a_chosen_entry_shows_how_it_was_made_and_lights_what_it_was_made_from(opened):
    walk = lesson()
    tab = opened(walk)
    (part,) = _story.steps(walk)[0].parts
    result = tab.locator("figure.result")
    for at in np.ndindex(2, 2):
        name = f"y[{_story.at_text(at)}] ="
        result.get_by_role("button", name=name).click()
        assert tab.locator(".worked").inner_text().endswith(plain(part.worked(at)))
        used = [cell.get_attribute("data-index") for cell in tab.locator(".cell.used").all()]
        i, j = at
        assert used == [f"{i}, 0", f"{i}, 1", f"0, {j}", f"1, {j}", f"{j}"]


# --- by keyboard, button and slider -------------------------------------------------------------


def test_arrow_keys_go_to_the_end_and_back(opened):
    tab = opened(lesson())
    last = counted(tab)
    press(tab, "ArrowRight", last + 3)
    assert step_of(tab) == f"step {last} of {last}"
    assert tab.locator("#phase").inner_text() == "Summary"
    press(tab, "ArrowLeft", last + 3)
    assert step_of(tab) == f"step 1 of {last}"
    press(tab, "End")
    assert step_of(tab) == f"step {last} of {last}"
    press(tab, "Home")
    assert step_of(tab) == f"step 1 of {last}"


def test_the_space_bar_plays_and_pauses(opened):
    tab = opened(lesson())
    press(tab, "Space")
    assert tab.get_by_role("button", name="Pause").is_visible()
    tab.clock.run_for(2 * 2800 + 100)
    assert step_of(tab).startswith("step 3 ")
    press(tab, "Space")
    tab.clock.run_for(10 * 2800)
    assert step_of(tab).startswith("step 3 ")


def test_playing_stops_at_the_end(opened):
    tab = opened(lesson())
    last = counted(tab)
    tab.get_by_role("button", name="Play").click()
    tab.clock.run_for(2800 * (last + 2))
    assert step_of(tab) == f"step {last} of {last}"
    assert tab.get_by_role("button", name="Play").is_visible()


def test_buttons_slider_phases_and_address_lead_to_steps(opened):
    tab = opened(lesson(), at="#step-3")
    last = counted(tab)
    assert step_of(tab).startswith("step 3 ")
    tab.get_by_role("button", name="Next step").click()
    assert step_of(tab).startswith("step 4 ")
    tab.get_by_role("button", name="Previous step").click()
    assert step_of(tab).startswith("step 3 ")
    tab.get_by_role("button", name="Backward", exact=True).click()
    assert step_of(tab).startswith("step 5 ")
    assert tab.url.endswith("#step-5")
    tab.locator("#scrub").fill(str(last - 1))
    assert step_of(tab).startswith(f"step {last} ")


def test_a_screen_reader_hears_each_step(opened):
    walk = lesson()
    tab = opened(walk)
    press(tab, "ArrowRight")
    second = _story.steps(walk)[1]
    assert tab.locator("[aria-live=polite]").inner_text() == f"{second.title}. {second.words}"
    nameless = [
        button.evaluate("b => b.outerHTML")
        for button in tab.locator("button:visible, [role=button], input").all()
        if not (
            button.inner_text().strip() if button.evaluate("b => b.tagName") == "BUTTON" else ""
        )
        and not button.get_attribute("aria-label")
    ]
    assert nameless == []


def test_a_node_opens_by_keyboard(opened):
    tab = opened(lesson())
    tab.get_by_role("button", name="tanh1, tanh").focus()
    press(tab, "Enter")
    assert tab.get_by_role("dialog").get_by_role("heading", name="tanh1").is_visible()


# --- the graph ----------------------------------------------------------------------------------


def lit(tab, mark):
    """The names of the boxes that are lit up."""
    boxes = tab.locator(f".node.{mark} .title").all()
    return [box.text_content() for box in boxes]


def test_boxes_light_up_forward_then_backward_then_at_the_update(opened):
    tab = opened(lesson())
    assert set(lit(tab, "computed")) == {"x", "dense1.weight", "dense1.bias", "dense1"}
    assert lit(tab, "now") == ["dense1"]
    press(tab, "ArrowRight", 3)
    assert len(lit(tab, "computed")) == 10
    assert lit(tab, "flowed-back") == []
    press(tab, "ArrowRight", 2)
    assert {"loss", "dense2", "dense2.weight", "dense2.bias"} == set(lit(tab, "flowed-back"))
    press(tab, "End")
    parameters = {f"dense{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")}
    assert set(lit(tab, "updated")) == parameters


# --- wherever it is opened ----------------------------------------------------------------------


def large():
    """A walkthrough with arrays too large to be shown whole."""
    model = dl.nn.MLP([300, 20, 3], rng=0)
    x = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    with dl.trace() as walk:
        dl.losses.cross_entropy(model(x), np.arange(40) % 3).backward()
    return walk, model


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_no_step_is_wider_than_the_screen(opened, size):
    for walk in (lesson(), large()[0]):
        tab = opened(walk, size)
        for _ in range(counted(tab)):
            width = tab.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"]
            press(tab, "ArrowRight")


def test_light_and_dark_follow_the_system_and_the_button(opened):
    tab = opened(lesson(), color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = tab.evaluate(ground)
    tab.get_by_role("button", name="Light or dark").click()
    assert tab.evaluate(ground) != dark
    tab.emulate_media(color_scheme="light")
    light = tab.evaluate(ground)
    assert sum(map(int, light[4:-1].split(","))) > 3 * 200
    assert sum(map(int, dark[4:-1].split(","))) < 3 * 60


def test_print_shows_the_graph_and_the_whole_text_but_no_controls(opened):
    walk = lesson()
    tab = opened(walk)
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("#text pre").is_visible()
    assert tab.locator("#text pre").inner_text().strip() == str(walk).strip()
    assert tab.locator(".minidl-graph").is_visible()
    assert not tab.locator("#controls").is_visible()


def test_without_scripts_the_graph_and_the_text_are_there(opened):
    walk = lesson()
    tab = opened(walk, java_script_enabled=False)
    assert tab.locator(".minidl-graph").is_visible()
    assert str(walk).splitlines()[-1] in tab.locator("#text pre").inner_text()


def test_a_notebooks_frame_plays(opened, tmp_path):
    walk = lesson()
    tab = opened(walk)
    tab.set_content(walk._repr_html_())
    frame = tab.frame_locator("iframe")
    frame.get_by_role("button", name="Next step").click()
    assert frame.locator("#count").inner_text().startswith("step 2 ")


def test_any_entry_of_a_large_array_opens(opened):
    walk, model = large()
    tab = opened(walk)
    tab.get_by_role("button", name="dense1.weight, parameter").click()
    value = tab.get_by_role("dialog").locator("figure").first
    value.get_by_role("textbox").fill("(123, 7)")
    own = value.locator(".own")
    exact = str(model.dense1.weight.data[123, 7])
    assert own.locator(".number").first.get_attribute("title") == exact
    assert 'walk.explain("dense1.weight", (123, 7))' in own.inner_text()
    value.get_by_role("textbox").fill("300, 7")
    assert not value.get_by_role("textbox").evaluate("field => field.validity.valid")


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def test_hostile_names_stay_text(opened):
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name=HOSTILE)
    with dl.trace() as walk:
        (w * w).sum().backward()
    tab = opened(walk)
    assert HOSTILE in tab.locator("#step").inner_text()
    assert tab.locator("#step img, #drawing img, #text img").count() == 0
    press(tab, "ArrowRight", counted(tab))
    tab.locator(".node.parameter").click()
    assert tab.get_by_role("dialog").get_by_role("heading").first.inner_text() == HOSTILE


def test_ten_thousand_ops_open_and_say_what_is_left_out(opened):
    w = dl.Tensor([0.5, 1.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        h = w
        for _ in range(5_000):
            h = h * 0.999 + w
        h.sum().backward()
    tab = opened(walk)
    assert "9,951 of 10,001 ops" in tab.locator("#left-out").inner_text()
    press(tab, "End")
    assert tab.locator("#phase").inner_text() == "Summary"
