"""The walkthrough's page in a browser: navigation, and the recorded numbers."""

import re
from itertools import pairwise

import numpy as np
import pytest
from browsing import DESKTOP, press

import minidl as dl
from minidl.__main__ import lesson
from minidl._format import plain
from minidl.walkthrough.formulas import index_text

PHONE = {"width": 360, "height": 740}


def step_of(tab):
    """The number of the step as the page shows it: "step 3 of 14"."""
    return tab.locator("#count").inner_text()


def titles(locator):
    """The tooltips of the elements: numbers with all digits."""
    return locator.evaluate_all("all => all.map(element => element.title)")


def counted(tab):
    """The number of steps."""
    return int(step_of(tab).split()[-1])


# --- the numbers --------------------------------------------------------------------------------


STEP = """step => {
    const numbers = () => [...step.querySelectorAll('section.card figure')].map(figure =>
        [...figure.querySelectorAll('.cell')].map(cell => cell.title));
    const labels = [...step.querySelectorAll('button.label')];
    return [document.getElementById('count').innerText, step.querySelector('h2').innerText,
        step.innerText, [...step.querySelectorAll('.worked')].map(line => line.innerText),
        labels.length ? labels.map(label => { label.click(); return numbers(); }) : [numbers()]];
}"""


def test_every_step_shows_its_caption_its_worked_lines_and_the_recorded_numbers(open_page):
    walk = lesson()
    tab = open_page(walk)
    cells = 0
    last = counted(tab)
    for number, step in enumerate(walk.steps, 1):
        count, title, text, worked, shown = tab.locator("#step").evaluate(STEP)
        assert count == f"step {number} of {last}"
        assert title == step.title
        assert step.caption in text
        assert len(worked) == len(step.parts)
        for figures, part, line in zip(shown, step.parts, worked, strict=False):
            operands = [*part.operands, *[part.result] * bool(part.result)]
            assert figures == [[str(x) for x in operand.data.flat] for operand in operands]
            cells += sum(map(len, figures))
            if part.worked:
                assert line == plain(part.worked((0,) * part.result.data.ndim))
        press(tab, "ArrowRight")
    assert cells > 150


def test_the_numbers_of_a_node_are_those_of_the_model(open_page):
    model = dl.nn.MLP([2, 2, 1], "tanh", rng=0)
    optimizer = dl.optim.Adam(model, lr=0.1)
    before = model.dense1.weight.data.copy()
    with dl.trace() as walk:
        dl.losses.mse(model(np.ones((3, 2))), np.zeros((3, 1))).backward()
        optimizer.step()
    tab = open_page(walk)
    tab.get_by_role("button", name=re.compile("dense1.weight .*, parameter")).click()
    dialog = tab.get_by_role("dialog")
    shown = titles(dialog.locator(".cell"))
    arrays = before, model.dense1.weight.grad, model.dense1.weight.data
    assert shown == [str(x) for array in arrays for x in array.flat]
    press(tab, "Escape")
    assert not dialog.is_visible()


def test_a_selected_entry_shows_its_worked_line_and_marks_the_entries_in_it(open_page):
    walk = lesson()
    tab = open_page(walk)
    (part,) = walk.steps[0].parts
    result = tab.locator("figure.result")
    for at in np.ndindex(2, 2):
        name = f"y[{index_text(at)}] ="
        result.get_by_role("button", name=name).click()
        assert tab.locator(".worked").inner_text().endswith(plain(part.worked(at)))
        used = tab.locator(".cell.used").evaluate_all("all => all.map(cell => cell.dataset.index)")
        i, j = at
        assert used == [f"{i}, 0", f"{i}, 1", f"0, {j}", f"1, {j}", f"{j}"]


def test_a_non_finite_entry_stays_red_when_selected(open_page):
    w = dl.Tensor([1.0, np.nan, np.inf], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * 2.0).sum().backward()
    tab = open_page(walk, motion="reduce")
    red = tab.locator(".operand .non-finite").first.evaluate("cell => getComputedStyle(cell).color")
    for i, shown in enumerate(["rgb(0, 114, 178)", red, red]):
        cell = tab.locator("figure.result").get_by_role("button", name=f"y[{i}] =")
        cell.click()
        tab.mouse.move(0, 0)
        assert cell.evaluate("cell => getComputedStyle(cell).backgroundColor") == shown


@pytest.mark.parametrize(
    ("lr", "change"), [(0.5, "green"), (2, "none"), (3, "orange"), (1e10, "orange")]
)
def test_a_loss_is_green_if_it_decreased_and_orange_if_it_increased_or_is_nan(
    open_page, lr, change
):
    w = dl.Tensor([1e10], requires_grad=True, name="w")
    optimizer = dl.optim.SGD([w], lr=lr)
    with dl.trace() as walk:
        (w * w - 0.5 * (w * w)).sum().backward()
        optimizer.step()  # w becomes (1 − lr) w: smaller, −w, larger, infinite
    tab = open_page(walk)
    press(tab, "End")
    ink, arrow, after = (
        tab.locator(f".loss {part}").evaluate("element => getComputedStyle(element).color")
        for part in (".before .number", "> i", ".after .number")
    )
    redness = float(after.split()[1]) if after.startswith("oklab") else 0.0
    assert {"green": redness < -0.05, "orange": redness > 0.05, "none": after == ink}[change]
    assert (arrow == after) == (change == "orange")


# --- by keyboard, button and slider -------------------------------------------------------------


def test_arrow_keys_go_to_the_end_and_back(open_page):
    tab = open_page(lesson())
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


def test_the_space_bar_plays_and_pauses(open_page):
    tab = open_page(lesson())
    press(tab, "Space")
    assert tab.get_by_role("button", name="Pause").is_visible()
    tab.clock.run_for(2 * 2800 + 100)
    assert step_of(tab).startswith("step 3 ")
    press(tab, "Space")
    tab.clock.run_for(10 * 2800)
    assert step_of(tab).startswith("step 3 ")


def test_playing_stops_at_the_end(open_page):
    tab = open_page(lesson())
    last = counted(tab)
    tab.get_by_role("button", name="Play").click()
    tab.clock.run_for(2800 * (last + 2))
    assert step_of(tab) == f"step {last} of {last}"
    assert tab.get_by_role("button", name="Play").is_visible()


def test_buttons_slider_phases_and_address_lead_to_steps(open_page):
    tab = open_page(lesson(), fragment="#step-3")
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


def test_each_step_is_announced_to_screen_readers(open_page):
    walk = lesson()
    tab = open_page(walk)
    press(tab, "ArrowRight")
    second = walk.steps[1]
    assert tab.locator("[aria-live=polite]").inner_text() == f"{second.title}. {second.caption}"
    nameless = tab.locator("button:visible, [role=button], input").evaluate_all(
        "all => all.filter(e => !e.ariaLabel && !e.querySelector(':scope > title')"
        " && !(e.tagName === 'BUTTON' && e.innerText.trim())).map(e => e.outerHTML)"
    )
    assert nameless == []


def test_a_node_opens_by_keyboard(open_page):
    tab = open_page(lesson())
    tab.get_by_role("button", name="tanh1 tanh x, tanh").focus()
    press(tab, "Enter")
    assert tab.get_by_role("dialog").get_by_role("heading", name="tanh1").is_visible()


def test_phases_that_alternate_are_stripes_and_tabs_lead_to_the_next_run(open_page):
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    optimizer = dl.optim.SGD([w], lr=0.1)
    with dl.trace() as walk:
        for _ in range(2):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
    tab = open_page(walk)
    phases = []
    for _ in range(counted(tab)):
        phases.append(tab.locator("#phase").inner_text().lower())
        press(tab, "ArrowRight")
    runs = [0, *(i for i, (a, b) in enumerate(pairwise(phases), 1) if a != b)]
    order = ["forward", "backward", "update"] * 2 + ["summary"]
    assert [phases[i] for i in runs] == order
    stripes = tab.locator("#track").evaluate("track => track.style.getPropertyValue('--stripes')")
    assert re.findall(r"--(\w+)", stripes) == order
    for phase in dict.fromkeys(order):
        starts = [i for i in runs if phases[i] == phase]
        press(tab, "Home")
        for start in [*starts, *starts][phase == "forward" :]:
            tab.locator(f"#phases .{phase}").click()
            assert step_of(tab).startswith(f"step {start + 1} ")
            if phase in ("forward", "backward"):
                press(tab, "ArrowRight")  # from within a run, too, the next one is the next


def test_the_space_bar_plays_after_a_click_but_presses_a_button_that_has_the_focus(open_page):
    tab = open_page(lesson())
    forth = tab.get_by_role("button", name="Next step")
    forth.click()
    press(tab, "Space")
    assert step_of(tab).startswith("step 2 ")
    assert tab.get_by_role("button", name="Pause").is_visible()
    press(tab, "Space")
    forth.focus()
    press(tab, "Space", 2)
    assert step_of(tab).startswith("step 4 ")
    assert tab.get_by_role("button", name="Play").is_visible()


# --- the graph ----------------------------------------------------------------------------------


def marked(tab, mark):
    """The names of the nodes with a mark."""
    return tab.locator(f".node.{mark} .title").all_text_contents()


def test_nodes_are_marked_forward_then_backward_then_at_the_update(open_page):
    tab = open_page(lesson())
    assert set(marked(tab, "computed")) == {"x", "dense1.weight", "dense1.bias", "dense1"}
    assert marked(tab, "now") == ["dense1"]
    press(tab, "ArrowRight", 3)
    assert len(marked(tab, "computed")) == 10
    assert marked(tab, "differentiated") == []
    press(tab, "ArrowRight", 2)
    assert {"loss", "dense2", "dense2.weight", "dense2.bias"} == set(marked(tab, "differentiated"))
    press(tab, "End")
    parameters = {f"dense{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")}
    assert set(marked(tab, "updated")) == parameters


def test_no_arrow_of_a_gradient_leads_to_frozen_layers(open_page):
    model = dl.nn.MLP([2, 2, 1], "tanh", rng=0)
    model.dense1.weight.requires_grad = model.dense1.bias.requires_grad = False
    with dl.trace() as walk:
        dl.losses.mse(model(np.ones((3, 2))), np.zeros((3, 1))).backward()
    tab = open_page(walk, fragment="#step-6")
    assert marked(tab, "now") == ["dense2"]
    ends = tab.locator(".edge.now").evaluate_all(
        "edges => edges.map(edge => document.querySelector("
        "`[data-node='${edge.dataset.from}'] .title`).textContent)"
    )
    assert set(ends) == {"dense2.weight", "dense2.bias"}


ARROWS = """edges => edges.map(edge => {
    const head = edge.querySelector('.head');
    const box = head.getBBox();
    const upward = !head.isPointInFill(new DOMPoint(box.x + 1, box.y + 0.5));
    const end = edge.dataset[upward ? 'from' : 'to'];
    const [tip, goal] = [head, document.querySelector(`[data-node='${end}'] rect`)]
        .map(shape => shape.getBoundingClientRect());
    return [upward, upward ? tip.top - goal.bottom : goal.top - tip.bottom];
})"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_an_arrow_points_in_the_direction_of_the_value_or_gradient(open_page, motion):
    tab = open_page(lesson(), motion=motion)
    active = 0
    for _ in range(counted(tab)):
        backward = tab.locator("#phase").inner_text() == "Backward"
        arrows = tab.locator(".edge.now").evaluate_all(ARROWS)
        assert all(upward == backward and abs(gap) < 5 for upward, gap in arrows)
        assert not any(upward for upward, _ in tab.locator(".edge:not(.now)").evaluate_all(ARROWS))
        active += len(arrows)
        press(tab, "ArrowRight")
    assert active > 12


def test_without_a_graph_the_step_takes_the_width(open_page):
    with dl.trace() as walk:
        pass
    tab = open_page(walk)
    assert not tab.locator("#graph").is_visible()
    assert tab.locator("#step").bounding_box()["width"] > 0.9 * DESKTOP["width"]


# --- wherever it is opened ----------------------------------------------------------------------


def large():
    """A walkthrough with large arrays."""
    model = dl.nn.MLP([300, 20, 3], rng=0)
    x = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    with dl.trace() as walk:
        dl.losses.cross_entropy(model(x), np.arange(40) % 3).backward()
    return walk, model


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_no_step_is_wider_than_the_screen(open_page, size):
    for walk in (lesson(), large()[0]):
        tab = open_page(walk, size=size)
        for _ in range(counted(tab)):
            width = tab.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"]
            press(tab, "ArrowRight")


def test_light_and_dark_follow_the_system_and_the_button(open_page):
    tab = open_page(lesson(), colours="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = tab.evaluate(ground)
    tab.get_by_role("button", name="Light or dark").click()
    assert tab.evaluate(ground) != dark
    tab.emulate_media(color_scheme="light")
    light = tab.evaluate(ground)
    assert sum(map(int, light[4:-1].split(","))) > 3 * 200
    assert sum(map(int, dark[4:-1].split(","))) < 3 * 60


def test_print_shows_the_graph_and_the_whole_text_but_no_controls(open_page):
    walk = lesson()
    tab = open_page(walk)
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("#text pre").is_visible()
    assert tab.locator("#text pre").inner_text().strip() == str(walk).strip()
    assert tab.locator(".minidl-graph").is_visible()
    assert not tab.locator("#controls").is_visible()


def test_without_scripts_the_graph_and_the_text_are_there(open_page_without_scripts):
    walk = lesson()
    tab = open_page_without_scripts(walk)
    assert tab.locator(".minidl-graph").is_visible()
    assert str(walk).splitlines()[-1] in tab.locator("#text pre").inner_text()


def test_the_frame_in_a_notebook_works(open_page):
    walk = lesson()
    tab = open_page(walk)
    tab.set_content(walk._repr_html_())
    frame = tab.frame_locator("iframe")
    frame.get_by_role("button", name="Next step").click()
    assert frame.locator("#count").inner_text().startswith("step 2 ")


def test_any_entry_of_a_large_array_opens(open_page):
    walk, model = large()
    tab = open_page(walk)
    tab.get_by_role("button", name=re.compile("dense1.weight .*, parameter")).click()
    value = tab.get_by_role("dialog").locator("figure").first
    value.get_by_role("textbox").fill("(123, 7)")
    own = value.locator(".own")
    exact = str(model.dense1.weight.data[123, 7])
    assert own.locator(".number").first.get_attribute("title") == exact
    assert 'walk.explain("dense1.weight", (123, 7))' in own.inner_text()
    value.get_by_role("textbox").fill("300, 7")
    assert not value.get_by_role("textbox").evaluate("field => field.validity.valid")


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def test_hostile_names_stay_text(open_page):
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name=HOSTILE)
    with dl.trace() as walk:
        (w * w).sum().backward()
    tab = open_page(walk)
    assert HOSTILE in tab.locator("#step").inner_text()
    assert tab.locator("#step img, #drawing img, #text img").count() == 0
    press(tab, "ArrowRight", counted(tab))
    tab.locator(".node.parameter").click()
    assert tab.get_by_role("dialog").get_by_role("heading").first.inner_text() == HOSTILE


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_heading_takes_two_lines_at_most_and_a_tooltip_the_whole_name(open_page, size):
    name = "weight_" * 430
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name=name)
    optimizer = dl.optim.SGD([w], lr=0.1)
    names = {"w": w, "dl": dl, "optimizer": optimizer}
    exec(
        f"""
with dl.trace() as walk:
    {name} = (w * w).sum()
    {name}.backward()
    optimizer.step()
""",
        names,
    )
    tab = open_page(names["walk"], size=size)
    cut = set()
    for _ in range(counted(tab)):
        headings = tab.locator(":is(h1, h2, h3):visible").evaluate_all(
            "all => all.map(h => [h.tagName, h.textContent, h.title, h.offsetHeight])"
        )
        for tag, text, tooltip, height in headings:
            assert height < 100
            if len(text) > 1000:
                assert tooltip == text
                cut.add(tag)
        press(tab, "ArrowRight")
    assert cut == {"H1", "H2", "H3"}
    tab.locator(".node.parameter").click()
    title = tab.get_by_role("dialog").get_by_role("heading").first
    assert title.get_attribute("title") == name
    assert title.bounding_box()["height"] < 100


def test_a_page_of_ten_thousand_ops_opens_and_says_what_is_omitted(open_page):
    w = dl.Tensor([0.5, 1.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        h = w
        for _ in range(5_000):
            h = h * 0.999 + w
        h.sum().backward()
    tab = open_page(walk)
    assert "9,951 of 10,001 ops" in tab.locator("#omitted").inner_text()
    press(tab, "End")
    assert tab.locator("#phase").inner_text() == "Summary"
