"""The page of a race in a real browser: it plays, and its numbers are those of the runs."""

import functools
import itertools
import json
import re

import numpy as np
import pytest
from browsing import (
    DESKTOP,
    PHONE,
    SIZES,
    at_sizes,
    axe_violations,
    low_contrast,
    needs_axe,
    overlapping,
    press,
    tab_presses,
    unreadable,
)
from playwright.sync_api import expect

import minidl as dl
from minidl._format import number
from minidl.viz import style
from minidl.viz._race import page as race_page
from minidl.viz._race import racing

RULES = list(racing.RULES)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


@functools.cache
def race(surface="bowl", optimizers=("SGD", "Momentum", "Adam"), **options):
    return dl.viz.race(surface, list(optimizers), **{"steps": 48, "lr": 0.1, **options})


def step_of(tab):
    """The step that the page shows."""
    return int(re.match(r"step (\d+) of", tab.locator("#count").inner_text())[1])


def box_of(tab, name):
    """The checkbox of a run."""
    return tab.get_by_role("checkbox", name=name, exact=True)


def cells_of(tab, name):
    """The row of a run: {column: text}."""
    cells = tab.locator("tr.run", has=box_of(tab, name)).locator("td")
    pairs = cells.evaluate_all("all => all.map(td => [td.className.split(' ')[0], td.innerText])")
    return dict(pairs)


NUMBERS = """() => [document.querySelector('#numbers h2').innerText,
    [...document.querySelectorAll('#numbers :is(dl > div, [role=row])')].map(box => [
        box.querySelector('dt, .symbol')?.innerText,
        [...box.querySelectorAll('.number')].map(number => [number.innerText, number.title]),
    ])]"""


def named(rows):
    """The numbers of one point: {symbol: [(shown, exact), …]}."""
    return {symbol: cells for symbol, cells in rows if cells}


def numbers_of(tab):
    """The numbers that the page shows."""
    return named(tab.evaluate(NUMBERS)[1])


def picture(tab, canvas="surface"):
    return tab.evaluate(f"document.getElementById('{canvas}').toDataURL()")


def count_of(tab, colour, canvas="surface"):
    """The number of pixels of about that colour."""
    return tab.evaluate(
        """([id, levels]) => {
            const canvas = document.getElementById(id);
            const size = [canvas.width, canvas.height];
            const copy = new OffscreenCanvas(...size).getContext('2d', {willReadFrequently: true});
            copy.drawImage(canvas, 0, 0);
            const pixels = copy.getImageData(0, 0, ...size);
            let count = 0;
            for (let k = 0; k < pixels.data.length; k += 4) {
                const far = levels.map((level, j) => Math.abs(level - pixels.data[k + j]));
                count += Math.max(...far) < 7 && pixels.data[k + 3] > 250;
            }
            return count;
        }""",
        [canvas, [int(colour[k : k + 2], 16) for k in (1, 3, 5)]],
    )


def place_of(tab, ran, point):
    """The position of a point of the surface on the screen."""
    canvas = tab.locator("#surface")
    left, top, right, bottom = map(float, canvas.get_attribute("data-box").split(","))
    (x0, x1), (y0, y1) = ran._view()
    view = canvas.bounding_box()
    return (
        view["x"] + left + (right - left) * (point[0] - x0) / (x1 - x0),
        view["y"] + top + (bottom - top) * (y1 - point[1]) / (y1 - y0),
    )


# --- the numbers --------------------------------------------------------------------------------


def expected_numbers(run, k, start=0):
    """The numbers of a run at a step, {symbol: numbers}."""
    steps = len(run.lr)
    rows = {"f": [run.loss[k, start]], "θ": run.theta[k, start], "∇f": run.gradient[k, start]}
    if k < steps:
        rows |= {"η": [run.lr[k]], "Δθ": run.theta[k + 1, start] - run.theta[k, start]}
    for name, array in run.state.items():
        rows[name] = array[k, start] if array.ndim == 3 else array[k].reshape(-1)[:1]
    return {symbol: [float(x) for x in values] for symbol, values in rows.items()}


def texts_of(x):
    """The texts of x: a tie, such as 1190.25 to five digits, may be rounded either way."""
    away = np.nextafter(x, np.copysign(np.inf, x)) if np.isfinite(x) else x
    return {number(x, 5).shown, number(away, 5).shown}


@pytest.mark.parametrize(
    ("surface", "options"),
    [("beale", {}), ("himmelblau", {"noise": 0.5, "start": 2}), ("ravine", {"lr": 1.0})],
)
def test_the_selected_run_shows_its_numbers_at_the_step(open_page, surface, options):
    ran = race(surface, tuple(RULES), **{"steps": 200, "lr": 0.02, **options})
    start = len(ran.starts) - 1
    tab = open_page(ran, start=start)
    for k in (1, 200):
        tab.locator("#scrub").fill(str(k))
        all_shown = tab.locator("tr.run input").evaluate_all(
            f"boxes => boxes.map(box => {{ box.focus(); return ({NUMBERS})(); }})"
        )
        for run, (title, rows) in zip(ran.runs, all_shown, strict=True):
            assert title.startswith(run.name)
            shown = named(rows)
            exact = {symbol: [float(x) for _, x in cells] for symbol, cells in shown.items()}
            np.testing.assert_equal(exact, expected_numbers(run, k, start))
            for symbol, cells in shown.items():
                for (text, _), x in zip(cells, exact[symbol], strict=True):
                    assert text in texts_of(x)


def test_the_rows_show_the_numbers_of_each_run_and_at_the_end_its_verdict(open_page):
    ran = race("beale", ("SGD", "Adam", "Adadelta"), steps=400, tune=True, lr=None)
    tab = open_page(ran, fragment="#step=100")
    for run in ran.runs:
        cells = cells_of(tab, run.name)
        away = np.hypot(*(run.theta[100, 0] - ran.surface.minima[0]))
        assert cells["rate"] == number(run.lr[100], 3).shown
        assert cells["f"] == number(run.loss[100, 0], 3).shown
        assert cells["distance"] == number(away, 2).shown
        (arrived,) = run.arrived
        there = arrived is not None and arrived <= 100
        expected = (str(arrived), "global minimum") if there else ("", "")
        assert (cells["arrived"], cells["verdict"]) == expected
    press(tab, "End")
    for run in ran.runs:
        cells = cells_of(tab, run.name)
        assert cells["verdict"] == run.verdicts[0]
        assert cells["arrived"] == str(run.arrived[0] or "–")


def test_the_pointer_finds_the_point_of_a_path_and_shows_its_numbers(open_page):
    ran = race()
    tab = open_page(ran, fragment="#step=48")
    momentum = ran.runs[1]
    tab.mouse.move(*place_of(tab, ran, momentum.theta[7, 0]))
    loss = number(momentum.loss[7, 0]).shown
    assert tab.locator("#tooltip").inner_text() == f"Momentum · step 7 · f = {loss}"
    assert tab.locator("#numbers h2").inner_text().split() == ["Momentum", "at", "step", "7"]
    shown = [text for text, _ in numbers_of(tab)["θ"]]
    assert shown == [number(x, 5).shown for x in momentum.theta[7, 0]]
    tab.mouse.move(5, 5)
    assert not tab.locator("#tooltip").is_visible()
    assert tab.locator("#numbers h2").inner_text().startswith("SGD")


def test_a_click_on_a_path_selects_its_run(open_page):
    ran = race()
    tab = open_page(ran, fragment="#step=48")
    tab.mouse.click(*place_of(tab, ran, ran.runs[1].theta[7, 0]))
    tab.mouse.move(5, 5)
    heading = tab.locator("#numbers h2").inner_text()
    assert heading.startswith("Momentum")
    assert "at the end, step 48" in heading


def test_the_pointer_finds_no_later_points(open_page):
    ran = race()
    tab = open_page(ran, fragment="#step=3")
    tab.mouse.move(*place_of(tab, ran, ran.runs[1].theta[20, 0]))
    assert not tab.locator("#tooltip").is_visible()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("name", ["saddle", "ravine", "two-wells"])
def test_a_circle_on_the_surface_is_a_circle_in_the_picture(open_page, name, size):
    ran = race(name)
    tab = open_page(ran, size=size)
    middle = np.mean(ran._view(), 1)
    places = [place_of(tab, ran, middle + shift) for shift in ([0, 0], [0.5, 0], [0, 0.5])]
    (x, y), (right, _), (_, above) = places
    assert right - x == pytest.approx(y - above, rel=0.01)


# --- playing ------------------------------------------------------------------------------------


def test_the_race_plays_pauses_and_stops_at_the_end(open_page):
    tab = open_page(race())
    assert step_of(tab) == 0
    tab.get_by_role("button", name="Start the race").click()
    assert tab.get_by_role("button", name="Pause").is_visible()
    assert not tab.locator("#start").is_visible()
    tab.clock.run_for(5100)  # 48 steps in 12 seconds
    assert 18 <= step_of(tab) <= 21
    press(tab, "Space")
    paused = step_of(tab)
    tab.clock.run_for(3000)
    assert step_of(tab) == paused
    press(tab, "Space")
    tab.clock.run_for(12_000)
    assert step_of(tab) == 48
    assert tab.get_by_role("button", name="Play").is_visible()
    tab.get_by_role("button", name="Play").click()  # from the start again
    tab.clock.run_for(1100)
    assert 2 <= step_of(tab) <= 5


@pytest.mark.parametrize(("speed", "steps"), [("¼×", 1), ("8×", 48)])
def test_the_speed_can_be_chosen(open_page, speed, steps):
    tab = open_page(race())
    tab.get_by_label("speed").select_option(label=speed)
    press(tab, "Tab")
    tab.get_by_role("button", name="Play").click()
    tab.clock.run_for(1600)
    assert abs(step_of(tab) - steps) <= 1


def test_with_reduced_motion_the_picture_changes_rarely(open_page):
    tab = open_page(race(), motion="reduce")
    tab.get_by_role("button", name="Play").click()
    seen = []
    for _ in range(40):
        tab.clock.run_for(50)
        seen.append(step_of(tab))
    assert len(set(seen)) <= 5
    assert seen[-1] > 4


def test_keys_buttons_and_slider_go_from_step_to_step(open_page):
    tab = open_page(race(), fragment="#step=3")
    assert step_of(tab) == 3
    press(tab, "ArrowRight", 2)
    assert step_of(tab) == 5
    press(tab, "ArrowLeft")
    assert step_of(tab) == 4
    press(tab, "End")
    press(tab, "ArrowRight")
    assert step_of(tab) == 48
    press(tab, "Home")
    press(tab, "ArrowLeft")
    assert step_of(tab) == 0
    for name, step in [
        ("Next step", 1),
        ("Last step", 48),
        ("Previous step", 47),
        ("First step", 0),
    ]:
        tab.get_by_role("button", name=name, exact=True).click()
        assert step_of(tab) == step
    tab.get_by_role("slider", name="Step").fill("30")
    assert step_of(tab) == 30
    tab.get_by_role("slider", name="Step").focus()
    press(tab, "ArrowRight")
    assert step_of(tab) == 31


def test_the_space_bar_plays_after_a_click_on_a_button_or_the_slider(open_page):
    tab = open_page(race())
    for name in ("#next", "#scrub"):
        tab.locator(name).click()
        press(tab, "Space")
        assert tab.get_by_role("button", name="Pause").is_visible()
        press(tab, "Space")
        assert tab.get_by_role("button", name="Play").is_visible()


def test_a_click_on_the_chart_goes_to_a_step(open_page):
    tab = open_page(race())
    chart = tab.locator("#chart")
    view = chart.bounding_box()
    left, right = view["x"] + 44, view["x"] + view["width"] - 16
    tab.mouse.move(left + (right - left) / 2, view["y"] + 50)
    tab.mouse.down()
    assert step_of(tab) == 24
    tab.mouse.move(left + (right - left) / 4, view["y"] + 60)
    assert step_of(tab) == 12
    tab.mouse.move(right + 30, view["y"] + 60)
    tab.mouse.up()
    assert step_of(tab) == 48


def test_the_address_keeps_step_runs_and_view(open_page):
    tab = open_page(race(), fragment="#step=9&run=Adam&run=SGD&view=3-D")
    assert step_of(tab) == 9
    assert [box_of(tab, name).is_checked() for name in ("SGD", "Momentum", "Adam")] == [1, 0, 1]
    assert tab.get_by_role("button", name="3-D").get_attribute("aria-pressed") == "true"
    press(tab, "ArrowRight")
    tab.get_by_role("button", name="2-D").click()
    tab.clock.run_for(300)
    assert tab.url.endswith("#step=10&run=SGD&run=Adam")


def test_an_invalid_address_is_ignored(open_page):
    tab = open_page(race(), fragment="#step=x")
    page = tab.url.partition("#")[0]
    for at, step in [("#step=999", 48), ("#step=-4", 0), ("#run=none", 0), ("#step-7", 0)]:
        tab.evaluate(
            """address => new Promise(done => {
                addEventListener('hashchange', () => done(), { once: true });
                location.replace(address);
            })""",
            page + at,
        )
        assert step_of(tab) == step
        assert all(box.is_checked() for box in tab.get_by_role("checkbox").all())


# --- choosing optimizers ------------------------------------------------------------------------


def test_an_unchecked_run_is_not_drawn(open_page):
    tab = open_page(race(), fragment="#step=48")
    vermilion, blue = (style.RULE_STYLES[name].colour for name in ("Adam", "Momentum"))
    for canvas in ("surface", "chart"):
        assert count_of(tab, vermilion, canvas) > 20
        assert count_of(tab, blue, canvas) > 20
    box_of(tab, "Adam").uncheck()
    for canvas in ("surface", "chart"):
        assert count_of(tab, vermilion, canvas) == 0
        assert count_of(tab, blue, canvas) > 20
    assert tab.locator("#surface").get_attribute("aria-label") == (
        "Contours of bowl, with the paths of SGD, Momentum up to step 48"
    )
    box_of(tab, "Adam").check()
    assert count_of(tab, vermilion) > 20


def test_all_none_and_only_one(open_page):
    tab = open_page(race(), fragment="#step=48")
    names = "SGD", "Momentum", "Adam"

    def checked():
        return [name for name in names if box_of(tab, name).is_checked()]

    tab.get_by_role("button", name="Only Momentum").click()
    assert checked() == ["Momentum"]
    assert tab.locator("#numbers h2").inner_text().startswith("Momentum")
    tab.get_by_role("button", name="None").click()
    assert checked() == []
    assert "No optimizer is shown" in tab.locator("#numbers").inner_text()
    assert count_of(tab, style.RULE_STYLES["Momentum"].colour) == 0
    press(tab, "Home")
    press(tab, "ArrowRight")
    tab.get_by_role("button", name="All").click()
    assert checked() == list(names)


def test_paths_grow_with_each_step(open_page):
    tab = open_page(race(), fragment="#step=1&run=Adam")
    vermilion = style.RULE_STYLES["Adam"].colour
    early = count_of(tab, vermilion)
    press(tab, "End")
    assert count_of(tab, vermilion) > early + 50


# --- three dimensions ---------------------------------------------------------------------------


def test_the_3d_view_rotates_and_keeps_the_step(open_page):
    tab = open_page(race(), fragment="#step=20")
    flat = picture(tab)
    tab.get_by_role("button", name="3-D").click()
    views = [flat, picture(tab)]
    assert "log(1 + (f − lowest) /" in tab.locator(".legend").inner_text()
    assert count_of(tab, style.RULE_STYLES["Adam"].colour) > 20
    view = tab.locator("#surface").bounding_box()
    middle = view["x"] + view["width"] / 2, view["y"] + view["height"] / 2
    for across, down in [(90, 0), (0, 30)]:
        tab.mouse.move(*middle)
        tab.mouse.down()
        tab.mouse.move(middle[0] + across, middle[1] + down)
        tab.mouse.up()
        views.append(picture(tab))
    for key in ("ArrowLeft", "ArrowUp"):
        tab.locator("#surface").focus()
        press(tab, key)
        views.append(picture(tab))
    for name in ("Rotate left", "View from higher up"):
        tab.get_by_role("button", name=name).click()
        views.append(picture(tab))
    assert len(set(views)) == len(views)
    assert step_of(tab) == 20
    tab.mouse.move(5, 5)
    press(tab, "End")
    assert step_of(tab) == 48
    label = tab.locator("#surface").get_attribute("aria-label")
    assert label.startswith("3-D view of bowl, with the paths of SGD, Momentum, Adam up to step 48")
    assert label.endswith("; the arrow keys rotate it")


def test_the_pointer_finds_points_in_the_3d_view(open_page):
    tab = open_page(race(), fragment="#step=48&run=Adam&view=3-D")
    view = tab.locator("#surface").bounding_box()
    found = set()
    for i, j in np.ndindex(5, 5):
        tab.mouse.move(
            view["x"] + view["width"] * (i + 2) / 10, view["y"] + view["height"] * (j + 2) / 10
        )
        if tab.locator("#tooltip").is_visible():
            found.add(tab.locator("#tooltip").inner_text())
    run = race().runs[2]
    known = {f"Adam · step {k} · f = {number(f).shown}" for k, f in enumerate(run.loss[:, 0])}
    assert found
    assert found <= known


# --- whatever was raced -------------------------------------------------------------------------


@pytest.mark.parametrize(("lr", "view"), [(0.1, "3-D"), (1.0, "2-D")])
def test_a_run_that_diverges_leaves_the_picture_and_gets_its_verdict(open_page, lr, view):
    ran = race("ravine", ("SGD", "Adam"), steps=400, lr=lr)
    tab = open_page(ran, fragment=f"#step=1&run=SGD&view={view}")
    for k in (1, 2, 50, 399):
        tab.locator("#scrub").fill(str(k))
        verdict = "outside the picture" if np.isfinite(ran.runs[0].theta[k]).all() else "diverged"
        assert cells_of(tab, "SGD")["verdict"] == verdict
    press(tab, "End")
    assert cells_of(tab, "SGD")["verdict"] == "diverged"
    assert cells_of(tab, "Adam")["verdict"] == ran.runs[1].verdicts[0]
    f = ran.runs[0].loss[400, 0]
    assert cells_of(tab, "SGD")["f"] == number(f, 3).shown


def test_a_path_that_left_the_picture_does_not_cross_it_again(open_page):
    tab = open_page(race("ravine", ("SGD", "Adam"), steps=100, lr=0.1), fragment="#step=3&run=SGD")
    early = count_of(tab, style.RULE_STYLES["SGD"].colour)
    press(tab, "End")
    assert abs(count_of(tab, style.RULE_STYLES["SGD"].colour) - early) < 100


@pytest.mark.parametrize(
    "name", ["rosenbrock", "rastrigin", "styblinski-tang", "saddle", "plateau"]
)
def test_every_rule_can_be_drawn_on_any_surface(open_page, name):
    tab = open_page(race(name, tuple(RULES), steps=30, lr=0.05), fragment="#step=30")
    assert len(tab.locator("tr.run").all()) == len(RULES)
    flat = picture(tab)
    tab.get_by_role("button", name="3-D").click()
    assert picture(tab) != flat


@pytest.mark.parametrize(
    "surface",
    [
        dl.viz.Surface(lambda x, y: x + y),
        dl.viz.Surface(lambda x, y: dl.log(x + 1.5) ** 2 + y**2, start=(1, 1)),
        dl.viz.Surface(lambda x, y: 0 * (x + y) + 3, minima=[(0, 0)]),
        dl.viz.Surface(lambda x, y: (x / 1e6) ** 2 + y**2, x=(-1e6, 1e6), y=(-1, 1)),
    ],
    ids=["no minimum", "not finite", "flat", "wide"],
)
def test_unusual_surfaces_can_be_drawn(open_page, surface):
    ran = dl.viz.race(surface, ["SGD", "Adam"], steps=5)
    tab = open_page(ran, fragment="#step=5")
    flat = picture(tab)
    tab.get_by_role("button", name="3-D").click()
    assert picture(tab) != flat
    assert cells_of(tab, "SGD")["f"] == number(ran.runs[0].loss[5, 0], 3).shown


def test_a_race_of_one_step(open_page):
    ran = race(steps=1)
    tab = open_page(ran)
    press(tab, "Space")
    tab.clock.run_for(600)
    assert step_of(tab) == 1
    assert cells_of(tab, "SGD")["verdict"] == "still moving"
    press(tab, "ArrowLeft")
    assert step_of(tab) == 0


def test_another_start(open_page):
    ran = race(start=3)
    tab = open_page(ran, start=1)
    shown = [float(exact) for _, exact in numbers_of(tab)["θ"]]
    assert shown == ran.starts[1].tolist()
    assert "start 2 of 3" in tab.locator(".description").inner_text()


def test_a_long_race_shows_the_numbers_of_the_steps_on_the_page(open_page):
    ran = race(optimizers=("Adam",), steps=5000, lr=0.001)
    tab = open_page(ran)
    press(tab, "ArrowRight", 3)
    k = step_of(tab)
    assert 6 <= k <= 9
    assert [float(exact) for _, exact in numbers_of(tab)["θ"]] == ran.runs[0].theta[k, 0].tolist()
    assert "Δθ" not in numbers_of(tab)
    press(tab, "End")
    assert step_of(tab) == 5000
    assert "2,000 of 5,000 steps" in tab.locator(".description").inner_text()


def test_hostile_names_stay_text(open_page):
    surface = dl.viz.Surface(lambda x, y: x**2 + y**2, name=HOSTILE, formula=HOSTILE)
    ran = dl.viz.race(surface, {HOSTILE: "SGD", "b": "Adam"}, steps=20, tune=True, budget=3)
    tab = open_page(ran, fragment="#step=9")
    assert HOSTILE in tab.locator("h1").inner_text()
    assert HOSTILE in tab.locator("#numbers").inner_text()
    assert tab.locator("img").count() == 0
    tab.get_by_role("button", name=f"Only {HOSTILE}").click()
    tab.clock.run_for(300)
    address = tab.url
    tab.get_by_role("button", name="All").click()
    tab.goto(address.replace("step=9", "step=10"))
    assert step_of(tab) == 10
    assert not box_of(tab, "b").is_checked()


# --- wherever it is opened ----------------------------------------------------------------------

ROW_TEXTS = "#runs :is(.run label span, .run td:not(:empty), thead th:not(.name))"
TEXTS = f"{ROW_TEXTS}, .formula, .description li, .legend li:not([hidden]), #numbers h2 span"
TEXTS += ", .serve"


def label_faults(tab):
    """The runs inside the picture without a label, and the labels that overlap or are outside."""
    canvas = tab.locator("#surface")
    left, top, right, bottom = map(float, canvas.get_attribute("data-box").split(","))
    labels = json.loads(canvas.get_attribute("data-labels"))
    faults = [name for name, x, y, u, v in labels if x < left or y < top or u > right or v > bottom]
    for (one, x, y, u, v), (other, p, q, r, s) in itertools.combinations(labels, 2):
        if x < r and p < u and y < s and q < v:
            faults.append((one, other))
    return faults + sorted(
        {run.name for run in race_of_many().runs} - {name for name, *_ in labels}
    )


def race_of_many():
    """Thirteen rules, ten of which end close to each other."""
    return race("two-wells", tuple(RULES), steps=200, lr=0.05)


def test_names_numbers_and_labels_can_be_read_on_every_screen(open_page):
    tab, faults = open_page(race_of_many(), fragment="#step=200"), []
    for size, _ in at_sizes(tab, [*SIZES, {"width": 1260, "height": 800}], ["light"]):
        tab.evaluate("dispatchEvent(new Event('resize'))")
        faults += [(size, *fault) for fault in unreadable(tab, TEXTS)]
        faults += [(size, *fault) for fault in overlapping(tab, ROW_TEXTS)]
        faults += [(size, "label", fault) for fault in label_faults(tab)]
    assert faults == []


def test_every_text_has_contrast_in_both_themes(open_page):
    tab, faults = open_page(race_of_many(), fragment="#step=200"), []
    tall = [{"width": 1440, "height": 1700}, {"width": 390, "height": 2600}]
    box_of(tab, "SGD").uncheck()
    for _, theme in at_sizes(tab, tall):
        faults += [(theme, fault) for fault in low_contrast(tab)]
    assert faults == []


@needs_axe
def test_axe_finds_nothing_on_the_page_in_any_view(open_page):
    tab, faults = open_page(race_of_many(), fragment="#step=60"), []
    for size, _ in at_sizes(tab, SIZES, ["light"]):
        faults += [(size, fault) for fault in axe_violations(tab)]
    tab.get_by_role("button", name="3-D").click()
    faults += axe_violations(tab)
    assert faults == []


def test_few_presses_of_tab_lead_to_the_controls(open_page):
    tab = open_page(race_of_many(), fragment="#step=60")
    assert tab_presses(tab, "#play") <= 6
    assert tab_presses(tab, "#surface") <= 10


def test_tab_to_the_controls_does_not_scroll_the_map_out_of_view(open_page):
    tab = open_page(race_of_many(), fragment="#step=60", size=PHONE)
    tab_presses(tab, "#scrub")
    assert tab.evaluate("scrollY") == 0


@pytest.mark.parametrize("view", ["2-D", "3-D"])
def test_the_goal_is_seen_under_the_marker_of_the_chosen_run(open_page, view):
    tab = open_page(race("bowl", ("SGD",), lr=0.5), fragment=f"#step=48&view={view}")
    ink = tab.evaluate("getComputedStyle(document.body).color")
    cross = "#{:02x}{:02x}{:02x}".format(*map(int, re.findall(r"\d+", ink)))
    assert count_of(tab, cross) > 60  # the ring, the cross and the dot
    assert count_of(tab, style.RULE_STYLES["SGD"].colour) > 60  # and the marker


def test_the_start_button_is_in_one_line_and_hides_neither_start_goal_nor_first_step(open_page):
    for ran, size in itertools.product((race("beale"), race("saddle")), (PHONE, DESKTOP)):
        tab = open_page(ran, size=size)
        button = tab.locator("#start").bounding_box()
        assert button["height"] < 50
        first = ran.runs[0].theta[:2, 0]
        points = [*ran.surface.minima, *(first[0] + s * (first[1] - first[0]) for s in (0, 0.5, 1))]
        for x, y in (place_of(tab, ran, point) for point in points):
            inside = 0 < x - button["x"] < button["width"], 0 < y - button["y"] < button["height"]
            assert not all(inside)


@pytest.mark.parametrize("size", [{"width": 320, "height": 640}, PHONE, DESKTOP], ids=str)
def test_the_page_is_not_wider_than_the_screen(open_page, size):
    long = {"a rather long name of an optimizer with options (0.1, 0.999)": "Adam", "SGD": "SGD"}
    ran = dl.viz.race("himmelblau", long, steps=40, tune=True)
    tab = open_page(ran, fragment="#step=30", size=size)
    tab.locator("#search summary").click()
    tab.locator("#text summary").click()
    for view in ("2-D", "3-D"):
        tab.get_by_role("button", name=view).click()
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert tab.locator("#surface").bounding_box()["width"] > 0.4 * size["width"]


def test_light_and_dark_follow_the_system_and_the_button(open_page):
    tab = open_page(race(), fragment="#step=48", colours="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = tab.evaluate(background)
    black = style.RULE_STYLES["SGD"].colour
    assert count_of(tab, black, "chart") == 0  # it would not be seen
    tab.get_by_role("button", name="Light or dark").click()
    light = tab.evaluate(background)
    assert count_of(tab, black, "chart") > 20
    assert sum(map(int, light[4:-1].split(","))) > 3 * 200
    assert sum(map(int, dark[4:-1].split(","))) < 3 * 60


def test_print_shows_the_picture_and_the_text_on_white_but_no_controls(open_page):
    ran = race()
    tab = open_page(ran, fragment="#step=48", colours="dark")
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("#surface").is_visible()
    assert count_of(tab, style.RULE_STYLES["SGD"].colour, "chart") > 20
    assert tab.locator("#text pre").inner_text().strip() == str(ran.table())
    assert not tab.locator("#controls").is_visible()
    tab.emulate_media(media="screen")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("#controls").is_visible()
    assert not tab.locator("#text pre").is_visible()
    assert count_of(tab, style.RULE_STYLES["SGD"].colour, "chart") == 0


def test_without_scripts_the_page_shows_the_table_as_text(open_page_without_scripts):
    ran = race(tune=True, lr=None)
    tab = open_page_without_scripts(ran)
    assert str(ran.table()).splitlines()[-1] in tab.locator("#text pre").inner_text()
    assert not tab.locator("#controls").is_visible()
    assert not tab.locator("main").is_visible()
    tab.locator("#search summary").click()
    assert tab.locator("#search td.best").count() == 3


def test_the_page_plays_in_the_iframe_of_a_notebook(open_page):
    ran = race()
    tab = open_page(ran)
    tab.goto("about:blank")
    tab.set_content(race_page.frame(ran))
    frame = tab.frame_locator("iframe")
    frame.get_by_role("button", name="Next step").click()
    assert frame.locator("#count").inner_text() == "step 1 of 48"


def test_the_picture_follows_the_size_of_the_window(open_page):
    tab = open_page(race(), fragment="#step=9")
    before = tab.locator("#surface").get_attribute("data-box")
    tab.set_viewport_size(PHONE)
    expect(tab.locator("#surface")).not_to_have_attribute("data-box", before)
    after = tab.locator("#surface").get_attribute("data-box")
    assert float(after.split(",")[2]) < 390 < float(before.split(",")[2])


def test_a_screen_reader_announces_the_step_and_the_verdicts(open_page):
    ran = race()
    tab = open_page(ran)
    press(tab, "ArrowRight")
    live = tab.locator("[aria-live=polite]")
    assert live.inner_text() == f"Step 1. SGD: f {number(ran.runs[0].loss[1, 0]).shown}."
    press(tab, "End")
    for run in ran.runs:
        assert f"{run.name}: {run.verdicts[0]}" in live.inner_text()
    named = tab.locator("button:visible, input:visible, select, canvas").evaluate_all(
        "all => all.map(e => e.ariaLabel || e.innerText.trim() || e.labels?.[0]?.innerText)"
    )
    assert all(named)


def test_every_control_that_has_the_focus_shows_it(open_page):
    tab = open_page(race(), fragment="#step=9&view=3-D")
    reached = set()
    for _ in range(30):
        press(tab, "Tab")
        name, outline = tab.evaluate(
            "() => { const e = document.activeElement; return [e.id || e.ariaLabel || e.tagName,"
            " getComputedStyle(e).outlineStyle] }"
        )
        reached.add(name)
        assert outline != "none" or name == "BODY"
    assert {"theme", "surface", "view-3d", "all", "play", "scrub", "speed"} <= reached
