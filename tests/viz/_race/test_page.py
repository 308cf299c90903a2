"""The race's page as it is written: its data beside the runs', and a page that is alone."""

import base64
import html.parser
import json
import re

import numpy as np
import pytest
from cases import PACKAGE

import minidl as dl
from minidl import schedulers
from minidl.viz import style
from minidl.viz._race import page as race_page
from minidl.viz._race import racing

RULES = list(racing.RULES)
EIGHT = ["SGD", "Momentum", "NAG", "Adagrad", "RMSprop", "Adam", "Adadelta", "FTRL"]
PAGES = (PACKAGE / "_page/base.js", PACKAGE / "viz/_race/race.js")
HOSTILE = "</script><script>alert(1)</script><b>\"'&\u2028"


def data_of(race, start=0):
    """The JSON that a page holds."""
    text = race_page.html(race, start)
    return json.loads(
        re.search(r'<script type="application/json" id="race">(.*?)</script>', text)[1]
    )


def unpacked(text, dtype="<f8"):
    return np.frombuffer(base64.b64decode(text), dtype)


def agree(race, start=0):
    """Each array of the page is the run's, bit for bit; how many numbers were compared."""
    numbers = 0
    data = data_of(race, start)
    steps = np.array(data["steps"])
    for shown, run in zip(data["runs"], race.runs, strict=True):
        arrays = {"theta": run.theta, "loss": run.loss, "gradient": run.gradient}
        pairs = [(shown[name], array[steps, start]) for name, array in arrays.items()]
        assert list(shown["state"]) == list(run.state)
        for name, array in run.state.items():
            own = array[:, start] if array.ndim == 3 else array[:, 0] if array.ndim == 2 else array
            pairs.append((shown["state"][name], own[steps]))
        for text, array in pairs:
            np.testing.assert_array_equal(unpacked(text), array.ravel())
            numbers += array.size
        rates = [shown["lr"]] if isinstance(shown["lr"], float) else unpacked(shown["lr"])
        taken = run.lr[steps[:-1]]
        np.testing.assert_array_equal(np.broadcast_to(rates, taken.shape), taken)
        assert (shown["verdict"], shown["arrived"]) == (run.verdicts[start], run.arrived[start])
    return numbers


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", dl.viz.SURFACES)
def test_the_page_holds_the_numbers_of_every_rule_on_every_surface(surface):
    assert agree(dl.viz.race(surface, RULES, steps=20)) > 13 * 21 * 5


@pytest.mark.parametrize("start", [0, 1, 4])
def test_the_page_holds_the_numbers_from_the_start_that_was_asked_for(start):
    race = dl.viz.race("himmelblau", RULES, steps=9, start=5, noise=0.5)
    assert agree(race, start) > 0
    data = data_of(race, start)
    assert data["start"] == race.starts[start].tolist()
    assert data["noise"] == 0.5


def test_numbers_that_overflow_are_on_the_page_as_they_are():
    race = dl.viz.race("ravine", ["SGD", "Adam"], steps=400, lr=1.0)
    assert not np.isfinite(race.runs[0].theta).all()
    assert agree(race) > 0


@pytest.mark.parametrize(
    ("lr", "kind"), [(0.1, float), (schedulers.CosineDecay(0.1, 30), str)], ids=["rate", "schedule"]
)
def test_a_constant_rate_is_one_number_and_a_schedule_is_an_array(lr, kind):
    race = dl.viz.race("bowl", ["SGD"], steps=30, lr=lr)
    assert agree(race) > 0
    (run,) = data_of(race)["runs"]
    assert type(run["lr"]) is kind
    assert run["rate"] == race.runs[0].rate


def test_the_page_of_a_long_race_has_evenly_spaced_steps_with_the_first_and_the_last():
    race = dl.viz.race("bowl", ["SGD", "Nadam"], steps=7001, lr=0.01)
    steps = np.array(data_of(race)["steps"])
    assert (steps[0], steps[-1], len(steps)) == (0, 7001, race_page.MAX_STEPS + 1)
    assert set(np.diff(steps)) == {3, 4}
    assert agree(race) > 0
    assert "the page shows 2,000 of 7,001 steps" in race_page.html(race)


def test_the_page_of_another_race_has_all_steps():
    race = dl.viz.race("bowl", ["SGD"], steps=race_page.MAX_STEPS)
    assert data_of(race)["steps"] == list(range(race_page.MAX_STEPS + 1))
    assert "the page shows" not in race_page.html(race)


@pytest.mark.parametrize("name", dl.viz.SURFACES)
def test_heights_are_logarithms_of_f_above_its_lowest(name):
    race = dl.viz.race(name, ["Adam"], steps=3)
    surface = data_of(race)["surface"]
    heights = unpacked(surface["heights"], "<u2").reshape(surface["side"], surface["side"])
    assert (tuple(surface["x"]), tuple(surface["y"])) == race._view()
    x, y = (np.linspace(*surface[axis], surface["side"]) for axis in "xy")
    f = race.surface.at(np.array(np.meshgrid(x, y)))[0]
    expected = np.log1p(np.maximum(f - surface["lowest"], 0) / surface["scale"])
    np.testing.assert_allclose(heights / 65534, expected / expected.max(), atol=2e-5)
    minimum = race.surface.at(race.surface.minima.T)[0]
    np.testing.assert_allclose(minimum, surface["lowest"], atol=1e-9)
    assert surface["minima"] == race.surface.minima.tolist()


def test_points_with_gradient_0_are_marked_of_very_many_only_the_local_minima():
    race = dl.viz.race("himmelblau", ["SGD"], steps=9, lr=0.01)
    marks = data_of(race)["surface"]["stationary"]
    assert [tuple(mark) for mark in marks] == race.surface.stationary_points(*race._view())
    assert {mark[2] for mark in marks} == {"saddle", "maximum"}
    marks = data_of(dl.viz.race("rastrigin", ["SGD"], steps=9, lr=0.001))["surface"]["stationary"]
    assert {mark[2] for mark in marks} == {"local minimum"}


def test_a_surface_that_is_not_finite_everywhere_has_holes():
    surface = dl.viz.Surface(lambda x, y: dl.log(x + 1.5) ** 2 + y**2, start=(-1.45, 1))
    data = data_of(dl.viz.race(surface, ["SGD"], steps=3))["surface"]
    heights = unpacked(data["heights"], "<u2").reshape(data["side"], -1)
    x = np.linspace(*data["x"], data["side"])
    assert data["x"][0] < -1.5
    assert (heights[:, x <= -1.5] == race_page.NOT_FINITE).all()
    assert (heights[:, x > -1.5] < race_page.NOT_FINITE).all()
    assert data["lowest"] == pytest.approx(0, abs=1e-12)


def test_a_flat_surface_has_one_height():
    flat = dl.viz.Surface(lambda x, y: 0 * (x + y) + 3, minima=[(0, 0)])
    data = data_of(dl.viz.race(flat, ["SGD"], steps=2))["surface"]
    assert set(unpacked(data["heights"], "<u2")) == {0}
    assert (data["lowest"], data["highest"], data["scale"]) == (3, 3, 1)


def test_the_page_says_that_there_is_no_minimum_inside():
    race = dl.viz.race(dl.viz.Surface(lambda x, y: x + y), ["SGD"], steps=5)
    assert data_of(race)["surface"]["minima"] == []
    (left, _), (bottom, _) = race._view()
    assert data_of(race)["surface"]["lowest"] == left + bottom > -4
    assert "no minimum was found inside the domain" in race_page.html(race)


def test_each_run_has_the_style_of_its_rule():
    race = dl.viz.race("bowl", {**{name: name for name in RULES}, "mine": "Adam"}, steps=1)
    *rules, mine = (
        (shown["colour"], shown["marker"], shown["dashes"]) for shown in data_of(race)["runs"]
    )
    assert rules == [(own.ink, own.marker, own.dashes) for own in map(style.RULE_STYLES.get, RULES)]
    assert mine in rules  # there is no other left


def test_a_label_that_is_not_a_rule_has_a_style_of_its_own():
    race = dl.viz.race("bowl", {"mine": "SGD", "SGD": "SGD", "yours": "Adam"}, steps=1)
    shown = [(run["colour"], run["marker"]) for run in data_of(race)["runs"]]
    assert len(set(shown)) == 3
    assert shown[1] == (style.RULE_STYLES["SGD"].ink, style.RULE_STYLES["SGD"].marker)


# --- the page -----------------------------------------------------------------------------------


class Outline(html.parser.HTMLParser):
    """The elements of a page, their attributes, and the text of each kind."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.texts, self.open = [], [], [], {}, []
        self.cells = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids += filter(None, [attributes.get("id")])
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]
        self.open.append(tag)
        if tag == "td":
            self.cells.append(["", attributes.get("class", ""), attributes.get("title", "")])

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, text):
        for tag in self.open[-1:]:
            self.texts.setdefault(tag, []).append(text)
            if tag == "td":
                self.cells[-1][0] += text


def test_the_page_is_self_contained_and_its_script_finds_every_element():
    outline = Outline(race_page.html(dl.viz.race("bowl", ["SGD"], steps=3)))
    assert outline.links == ["data:,", "#text"]
    script = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    named = set(re.findall(r"\$\('([\w-]+)'\)", script))
    assert named <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(", script)


def test_each_marker_and_dash_can_be_drawn():
    script = PAGES[1].read_text(encoding="utf-8")
    for run_style in style.RULE_STYLES.values():
        assert re.search(rf"^ +'?{re.escape(run_style.marker)}'?: 'M", script, re.MULTILINE)
        assert f"{run_style.dashes}: [" in script


def test_the_page_states_title_formula_goal_and_noise():
    race = dl.viz.race("beale", ["SGD"], steps=7, start=[(1, 1), (2, 2)], noise=0.25)
    text = race_page.html(race, 1)
    for expected in (
        "<title>Race on beale</title>",
        race.surface.formula,
        "7 steps from (2, 2), start 2 of 2",
        "goal: within 0.09 of (3, 0.5)",
        "noise: 0.25 in each entry of each gradient",
    ):
        assert expected in text
    assert "1 step from" in race_page.html(dl.viz.race("bowl", ["SGD"], steps=1))


def test_the_page_contains_the_table_as_text():
    race = dl.viz.race("beale", EIGHT, steps=30)
    (text,) = Outline(race_page.html(race)).texts["pre"]
    assert text.strip() == str(race.table())


def test_the_rates_that_were_tried_are_shown_with_their_scores():
    race = dl.viz.race("bowl", ["SGD", "Adam"], steps=60, tune=True, budget=9, start=4)
    outline = Outline(race_page.html(race))
    cells = outline.cells
    tried = [(run, rate, *how) for run in race.runs for rate, how in run.tried.items()]
    fractions = iter(outline.texts.get("small", []))
    for (shown, best, caption), (run, rate, arrived, steps, loss) in zip(cells, tried, strict=True):
        assert shown == (f"{steps:g}" if arrived else "–" if np.isfinite(loss) else "∞")
        assert (best == "best") is (f"{rate:g}" == run.rate)
        assert caption.startswith(f"{run.name} at {rate:g}: {arrived:.0%} of starts arrive")
        if 0 < arrived < 1:
            assert next(fractions) == f"{arrived:.0%}"
    assert sum(best == "best" for _, best, _ in cells) == 2
    assert {"–", "∞"} & {shown for shown, _, _ in cells}


def test_without_tuning_the_page_has_no_search():
    assert (
        "search"
        not in Outline(race_page.html(dl.viz.race("bowl", ["SGD"], steps=3, tune=False))).ids
    )


def test_hostile_names_stay_text():
    surface = dl.viz.Surface(lambda x, y: x**2 + y**2, name=HOSTILE, formula=HOSTILE)
    race = dl.viz.race(surface, {HOSTILE: "SGD"}, steps=9, tune=True, budget=3)
    outline = Outline(race_page.html(race))
    assert outline.tags.count("script") == 2
    assert "b" not in outline.tags
    data = data_of(race)
    assert data["runs"][0]["name"] == data["surface"]["name"] == HOSTILE
    assert outline.texts["title"] == [f"Race on {HOSTILE}"]
    assert HOSTILE in outline.texts["p"]
    assert HOSTILE in outline.texts["th"]


def test_eight_rules_and_four_hundred_steps_take_less_than_500_kb():
    race = dl.viz.race("beale", EIGHT, steps=400, tune=True)
    assert len(race_page.html(race).encode()) < 500_000


def test_a_frame_holds_the_whole_page():
    race = dl.viz.race("bowl", ["SGD"], steps=3, start=2)
    outline = html.parser.HTMLParser()
    found = []
    outline.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    outline.feed(race_page.frame(race, 1, height=500))
    ((tag, attributes),) = found
    assert tag == "iframe"
    assert attributes["srcdoc"] == race_page.html(race, 1)
    assert attributes["title"] == "Race on bowl"
    assert "height:500px" in attributes["style"]


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["race.html", "race.HTM"])
def test_save_writes_the_page(tmp_path, name):
    race = dl.viz.race("bowl", ["SGD"], steps=3, start=2)
    path = race_page.save(race, str(tmp_path / name), start=1)
    assert path == tmp_path / name
    assert path.read_text(encoding="utf-8") == race_page.html(race, 1)


@pytest.mark.parametrize("name", ["race.png", "race.gif", "race", "race.html.txt"])
def test_another_ending_is_an_error_that_says_what_to_do(tmp_path, name):
    race = dl.viz.race("bowl", ["SGD"], steps=1)
    with pytest.raises(ValueError, match=r"\.html, got .*race\.plot.*race\.animate"):
        race_page.save(race, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_an_error_that_says_so(tmp_path):
    race = dl.viz.race("bowl", ["SGD"], steps=1)
    with pytest.raises(FileNotFoundError, match="a folder that exists"):
        race_page.save(race, tmp_path / "missing" / "race.html")
    folder = tmp_path / "folder.html"
    folder.mkdir()
    with pytest.raises(OSError, match="it is a folder"):
        race_page.save(race, folder)
