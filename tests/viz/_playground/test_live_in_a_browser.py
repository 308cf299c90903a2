"""The playground in a real browser: each control changes what it says, as a training in Python."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from browsing import (
    DESKTOP,
    SIZES,
    at_sizes,
    axe_violations,
    low_contrast,
    needs_axe,
    overlapping,
    served,
    tab_presses,
    unreadable,
)
from cases import ROOT
from PIL import Image
from playwright.sync_api import expect

from minidl._page.server import PageServer
from minidl.viz._playground.live import Playground
from minidl.viz._playground.settings import from_json as settings
from minidl.viz._playground.training import Training
from minidl.viz._playground.views import scores

expect.set_options(timeout=30_000)  # other tests may use the machine at the same time


@pytest.fixture
def live(tab_and_events):
    """A tab, a function that opens the playground in it, and the playground."""
    playground = Playground()
    server = PageServer("playground", playground.html(), playground.answers)
    with served(tab_and_events, server) as tab:

        def open_playground(fragment=""):
            tab.goto("about:blank")
            tab.goto(server.url + fragment)
            tab.wait_for_selector(".node")
            return tab

        yield open_playground, playground, server


def shown(tab, row="loss"):
    return tab.locator("#scores tr", has_text=row).locator("td").all_inner_texts()


def expect_training(tab, steps, which=0, **given):
    """The page has the step, the losses and the weights of this training."""
    training = Training(settings(given), which)
    if steps:
        training.advance(steps)
    expect(tab.locator("#count")).to_contain_text(f"step {steps:,},")
    train, _, test, _ = scores(training)
    for text, value in zip(shown(tab), (train, test), strict=True):
        assert float(text.replace("−", "-")) == pytest.approx(value, rel=1e-3)
    weights = tab.evaluate("document.querySelector('#text pre').textContent").split("(2 × ")[1]
    first = [float(word.replace("−", "-")) for word in weights.split("\n")[1].split()]
    np.testing.assert_allclose(first, training.model[0].weight.data[0], rtol=6e-3)


def test_steps_epochs_and_rewinding_give_the_numbers_of_python(live):
    open_playground, _, _ = live
    tab = open_playground()
    expect_training(tab, 0)
    tab.get_by_role("button", name="One step").click()
    expect_training(tab, 1)
    tab.keyboard.press("End")  # the rest of the epoch of 9 steps
    expect_training(tab, 9)
    tab.keyboard.press("ArrowRight")
    expect_training(tab, 10)
    tab.keyboard.press("ArrowLeft")
    expect_training(tab, 9)
    tab.keyboard.press("Home")
    expect_training(tab, 0)


def test_playing_takes_steps_until_it_is_paused(live):
    open_playground, playground, _ = live
    tab = open_playground()
    tab.select_option("#speed", "0")
    tab.keyboard.press("Space")
    expect(tab.get_by_role("button", name="Pause")).to_be_visible()
    tab.wait_for_function(
        "() => parseInt(document.querySelector('#count').textContent.slice(5)) > 60"
    )
    tab.keyboard.press("Space")
    expect(tab.locator("#live")).to_contain_text("step")
    tab.wait_for_function(
        "() => document.querySelector('#text pre').textContent.includes("
        "document.querySelector('#count').textContent.split(',')[0].replace('step ', 'step '))"
    )
    (session,) = playground.sessions.values()
    expect_training(tab, session.trainings[0].step)


def test_each_control_changes_what_it_says(live):
    open_playground, _, _ = live
    tab = open_playground()
    own = {"layers": [8, 8]}
    tab.select_option("#keep", "again")
    for name, value, key in (
        ("activation", "relu", "activation"),
        ("initializer", "he_normal", "init"),
        ("loss", "mse", "loss"),
    ):
        tab.get_by_label(name, exact=True).select_option(value)
        own[key] = value
        expect(tab.get_by_label(name, exact=True)).to_have_value(value)
    tab.get_by_role("button", name="Remove a unit of layer 1").click()
    expect(tab.locator(".node")).to_have_count(2 + 7 + 8 + 2)
    tab.get_by_role("button", name="Remove layer 1").click()
    expect(tab.locator(".node")).to_have_count(2 + 8 + 2)
    tab.get_by_role("button", name="Remove a unit of layer 1").click()
    expect(tab.locator(".node")).to_have_count(2 + 7 + 2)
    tab.get_by_role("button", name="Add a hidden layer").click()
    expect(tab.locator(".node")).to_have_count(2 + 7 + 7 + 2)
    tab.get_by_role("button", name="circles").click()
    expect(tab.get_by_role("button", name="circles")).to_have_attribute("aria-pressed", "true")
    tab.get_by_label("rule").select_option("Momentum")
    tab.get_by_label("batch size").select_option("other")
    tab.get_by_label("its samples").fill("24")
    tab.keyboard.press("Enter")
    tab.wait_for_function("() => location.hash.includes('a.batch_size=24')")
    tab.locator("#runs summary").click()
    tab.get_by_label("beta", exact=True).fill("0.5")
    tab.keyboard.press("Enter")
    run = {"rule": "Momentum", "lr": "0.3", "batch_size": 24, "options": {"beta": 0.5}}
    tab.wait_for_function("() => location.hash.includes('a.beta=0.5')")
    tab.get_by_role("button", name="One step").click()
    given = {**own, "layers": [7, 7], "data": "circles", "runs": [run]}
    expect_training(tab, 1, **given)

    for name, value, key in (
        ("samples", 120, "samples"),
        ("noise", 0.3, "noise"),
        ("test part", 0.5, "test"),
        ("dropout", 0.25, "dropout"),
    ):
        tab.get_by_role("slider", name=name).fill(str(value))
        given[key] = value
    tab.get_by_label("seed").fill("x")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert")).to_contain_text("seed must be a whole number")
    tab.get_by_label("seed").fill("3")
    tab.keyboard.press("Enter")
    tab.get_by_role("slider", name="rate η").fill("-20")
    tab.wait_for_function("() => location.hash.includes('a.lr=0.1')")
    tab.wait_for_function("() => location.hash.includes('seed=3')")
    expect(tab.locator("#count")).to_contain_text("step 0,")  # no longer step 1 of the last one
    tab.get_by_role("button", name="One step").click()
    given |= {"seed": 3, "runs": [{**run, "lr": "0.1"}]}
    expect_training(tab, 1, **given)

    tab = open_playground(tab.evaluate("location.hash"))  # the link
    tab.get_by_role("button", name="One step").click()
    expect_training(tab, 1, **given)
    drawn = {}
    for kind in ("value", "grad", "update", "effective"):
        tab.select_option("#lines", kind)
        drawn[kind] = tab.evaluate("document.querySelector('#edges').toDataURL()")
    assert len(set(drawn.values())) == 4


def test_a_schedule_that_is_refused_can_be_corrected_and_the_training_stays(live):
    open_playground, _, _ = live
    tab = open_playground("#a.lr=CosineDecay(0.1,%20500)")
    tab.get_by_label("its formula").fill("CosineDecay(0.1, -5)")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert")).to_contain_text("steps")
    expect(tab.get_by_label("its formula")).to_have_value("CosineDecay(0.1, -5)")
    tab.get_by_role("button", name="One step").click()
    run = {"lr": "CosineDecay(0.1, 500)"}
    expect_training(tab, 1, runs=[run])
    tab.get_by_label("its formula").fill("CosineDecay(0.1, 50)")
    tab.keyboard.press("Enter")
    tab.wait_for_function("() => location.hash.includes('50%29') || location.hash.includes('50)')")


ADDRESSES = {  # what is wrong in an address, and what the page tells
    "layers=x": "a layer's size must be",
    "a.rule=nothing&step=3": "rule must be one of",
}


def test_an_address_that_is_refused_opens_the_usual_training(live):
    open_playground, _, _ = live
    for fragment, text in ADDRESSES.items():
        tab = open_playground(f"#{fragment}")
        expect(tab.get_by_role("alert")).to_contain_text("The address can't be used")
        expect(tab.get_by_role("alert")).to_contain_text(text)
        expect_training(tab, 0)
    tab = open_playground("#data=curve")  # no loss is given, so it is one for values
    expect(tab.get_by_label("loss", exact=True)).to_have_value("mse")


def test_the_walkthrough_of_the_next_step_opens(live):
    open_playground, _, _ = live
    tab = open_playground("#layers=2")
    tab.get_by_role("button", name="One step").click()
    with tab.expect_popup() as opened:
        tab.get_by_role("button", name="Walk through this step").click()
    expect(opened.value.locator("h1")).to_contain_text("cross_entropy")
    opened.value.close()
    expect_training(tab, 1, layers=[2])


def test_a_change_during_another_is_not_lost(live):
    open_playground, playground, server = live
    tab = open_playground()
    with server.lock:  # the first answer comes when all changes have been made
        tab.get_by_label("activation", exact=True).select_option("elu")
        tab.get_by_label("loss", exact=True).select_option("mse")
    with server.lock:
        tab.get_by_label("rule").select_option("Momentum")
        tab.get_by_role("button", name="Add a unit to layer 2").click()
        tab.get_by_role("button", name="xor").click()
    tab.wait_for_function("() => location.hash.includes('layers=8,9')")
    expect(tab.locator(".node")).to_have_count(2 + 8 + 9 + 2)
    (session,) = playground.sessions.values()
    own = session.settings
    assert (own.activation, own.loss, own.data, own.layers) == ("elu", "mse", "xor", (8, 9))
    assert own.runs[0].rule == "Momentum"


def test_the_weights_stay_if_one_chooses_so_and_can_be_edited(live):
    open_playground, playground, _ = live
    tab = open_playground("#layers=3")
    tab.keyboard.press("End")
    expect(tab.locator("#count")).to_contain_text("step 9,")
    tab.get_by_label("schedule").select_option("CosineDecay")
    expect(tab.get_by_label("its formula")).to_have_value("CosineDecay(0.01, 2000)")
    expect(tab.locator("#count")).to_contain_text("step 9,")
    tab.get_by_label("layer 1, unit 2").click()
    tab.get_by_label("weight from y").fill("0.625")
    tab.keyboard.press("Enter")
    (session,) = playground.sessions.values()
    tab.wait_for_function("() => document.querySelector('#text pre').textContent.includes('0.625')")
    assert session.trainings[0].model.dense1.weight.data[1, 1] == 0.625
    tab.get_by_role("button", name="As a script").click()
    script = tab.locator("#dialog pre")
    expect(script).to_contain_text("optimizer.lr = CosineDecay(lr=0.01, steps=2000, end=0.0)")
    expect(script).to_contain_text("model.dense1.weight.data[1, 1] = 0.625")
    tab.get_by_role("button", name="Close").last.click()


def test_own_points_and_a_file_are_data_and_names_stay_text(live, tmp_path):
    open_playground, playground, _ = live
    tab = open_playground("#test=0")
    tab.get_by_role("button", name="draw or file").click()
    box = tab.locator(".map").bounding_box()
    for pen, x, y in ((0, 0.2, 0.2), (0, 0.3, 0.2), (1, 0.8, 0.8), (1, 0.7, 0.8)):
        tab.get_by_role("button", name=f"class {pen}", exact=True).click()
        tab.locator(".map").click(position={"x": x * box["width"], "y": y * box["height"]})
    tab.wait_for_function("() => location.hash.includes('data=own')")
    (session,) = playground.sessions.values()
    np.testing.assert_allclose(
        session.settings.points,
        [[-0.9, 0.9, 0], [-0.6, 0.9, 0], [0.9, -0.9, 1], [0.6, -0.9, 1]],
        atol=0.02,
    )
    hostile = "<img src=x onerror=alert(1)>"
    rows = "".join(f"{i},0;{i * i};{'=1+1' if i % 2 else hostile}\n" for i in range(8))
    file = tmp_path / "own.csv"
    file.write_text(f"a;{hostile};kind\n{rows}")
    tab.set_input_files("#file", file)
    expect(tab.locator("#columns option", has_text=hostile).first).to_be_attached()
    tab.get_by_role("button", name="Use these columns").click()
    tab.wait_for_function("() => document.querySelector('#columns').hidden")
    expect(tab.locator("#count")).to_contain_text("step 0,")
    tab.wait_for_function("() => location.hash.includes('-1,-1,0')")
    assert len(session.settings.points) == 4  # of the training before
    (session,) = playground.sessions.values()
    x = np.array(session.settings.points)
    np.testing.assert_allclose(x[:, 0], np.arange(8) / 3.5 - 1, atol=1e-3)
    np.testing.assert_allclose(x[:, 1], np.arange(8) ** 2 / 24.5 - 1, atol=1e-3)
    for text, message in (
        ("one,two\n1,2\n", "two columns or more"),
        ("1,2,a\n" * 5 + "1,2\n", "Row 6 of the file has 2 fields; the first has 3."),
    ):
        file.write_text(text)
        tab.set_input_files("#file", file)
        expect(tab.get_by_role("alert")).to_contain_text(message)
    file.write_text('x,"a ""b"""\n\n' + "".join(f"{i},{i % 3}\n" for i in range(2500)))
    tab.set_input_files("#file", file)
    expect(tab.locator("#columns")).to_contain_text('a "b"')
    expect(tab.locator("#columns")).to_contain_text("2500 rows, of which one in 3 is used.")


def test_two_trainings_are_shown_side_by_side(live):
    open_playground, _, _ = live
    tab = open_playground("#a.lr=0.02&a.eps=0.01&b.rule=SGD&b.lr=0.5&b.batch_size=16")
    expect(tab.locator(".map")).to_have_count(2)
    tab.get_by_role("button", name="One step").click()
    expect(tab.locator("#count")).to_contain_text("step 1,")
    runs = [{"lr": "0.02", "options": {"eps": 0.01}}, {"rule": "SGD", "lr": "0.5"}]
    expected = []
    for which in range(2):
        training = Training(settings({"runs": runs}), which)
        training.advance(1)
        expected += scores(training)[::2]
    values = [float(text) for text in shown(tab)]
    np.testing.assert_allclose(values, expected, rtol=1e-3)
    tab.get_by_role("button", name="Compare two").click()
    expect(tab.locator(".map")).to_have_count(1)


def test_a_server_that_ends_is_told_and_one_that_forgot_starts_again(live):
    open_playground, playground, server = live
    tab = open_playground()
    playground.sessions.clear()
    tab.get_by_role("button", name="One step").click()
    expect(tab.get_by_role("alert")).to_contain_text("no longer kept")
    tab.get_by_role("button", name="Try again").click()
    expect(tab.get_by_role("alert")).to_be_hidden()
    tab.get_by_role("button", name="One step").click()
    expect_training(tab, 1)
    answers, server.answers = server.answers, {}
    tab.route("**/frame", lambda route: route.abort())
    tab.get_by_role("button", name="One step").click()
    expect(tab.get_by_role("alert")).to_contain_text("does not answer")
    tab.unroute("**/frame")
    server.answers = answers
    tab.get_by_role("button", name="Try again").click()  # the training goes on
    expect(tab.get_by_role("alert")).to_be_hidden()
    tab.get_by_role("button", name="One step").click()
    expect_training(tab, 2)


def test_ctrl_c_ends_the_command_and_the_page_tells_that_its_server_is_gone(tab_and_events):
    tab, events = tab_and_events
    command = [sys.executable, "-u", "-m", "minidl", "playground", "--no-browser"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        url = run.stdout.readline().split()[1]
        assert url.startswith("http://127.0.0.1:")
        tab.goto(url)
        tab.wait_for_selector(".node")
        tab.keyboard.press("ArrowRight")
        expect(tab.locator("#count")).to_contain_text("step 1,")
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 0
        assert run.stderr.read() == ""
    tab.keyboard.press("ArrowRight")
    expect(tab.get_by_role("alert")).to_contain_text("does not answer")
    tab.goto("about:blank")
    events.clear()


def test_playing_stops_as_one_has_chosen(live):
    open_playground, playground, _ = live
    tab = open_playground("#speed=0&stop=step&bound=137")
    tab.keyboard.press("Space")
    expect(tab.locator("#remarks")).to_contain_text("Stopped, since step 137 is reached.")
    expect_training(tab, 137)
    tab.get_by_label("stop", exact=True).select_option("loss")
    tab.get_by_label("bound").fill("0.11")
    tab.keyboard.press("Enter")
    assert tab.evaluate("location.hash") == "#speed=0&stop=loss&bound=0.11"
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("Space")
    expect(tab.locator("#remarks")).to_contain_text("training loss is at most 0.11")
    (session,) = playground.sessions.values()
    assert scores(session.trainings[0])[0] <= 0.11
    tab.get_by_label("stop", exact=True).select_option("never")
    expect(tab.get_by_label("bound")).to_be_hidden()


def test_a_link_and_a_file_give_the_same_training_again(live, tmp_path):
    open_playground, playground, _ = live
    tab = open_playground("#layers=3&b.rule=SGD&b.lr=0.5")
    tab.keyboard.press("End")
    expect(tab.locator("#count")).to_contain_text("step 9,")
    tab.get_by_role("button", name="Add a unit to layer 1").click()  # with the weights kept
    expect(tab.get_by_role("button", name="Remove a unit of layer 1")).to_be_visible()
    expect(tab.locator(".node")).to_have_count(2 + 4 + 2)
    expect(tab.locator("#count")).to_contain_text("step 9,")
    tab.get_by_label("layer 1, unit 4").click()
    tab.get_by_label("weight from y").fill("0.625")
    tab.keyboard.press("Enter")
    tab.wait_for_function("() => document.querySelector('#text pre').textContent.includes('0.625')")
    tab.keyboard.press("Escape")
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("End")
    expect(tab.locator("#count")).to_contain_text("step 18,")
    (session,) = playground.sessions.values()
    trained = [p.data for own in session.trainings for p in own.model.parameters()]
    assert session.trainings[0].model.dense1.weight.shape == (2, 4)
    with tab.expect_download() as saved:
        tab.get_by_role("button", name="Save", exact=True).click()
    file = tmp_path / "playground.json"
    saved.value.save_as(file)
    tab.get_by_role("button", name="Copy link").click()
    expect(tab.locator("#live")).to_contain_text("Copied: http")
    link = tab.locator("#live").inner_text().split("#")[1]

    def expect_same():
        expect(tab.locator("#count")).to_contain_text("step 18,")
        expect(tab.locator("#repeat")).to_be_hidden()
        *_, newest = playground.sessions.values()
        assert newest is not session
        again = [p.data for own in newest.trainings for p in own.model.parameters()]
        for ours, theirs in zip(trained, again, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    tab = open_playground(f"#{link}")
    expect_same()
    tab = open_playground("#step=4&then=[[2],3]")  # what makes no sense is left out
    expect_training(tab, 4)
    tab.set_input_files("#open", file)
    expect(tab.locator(".map")).to_have_count(2)
    expect_same()
    file.write_text('{"playground": 1, "log": [[0]], "step": 3}')
    tab.set_input_files("#open", file)
    expect(tab.get_by_role("alert")).to_contain_text("not a training that the playground has saved")


def test_a_file_and_points_can_be_values(live, tmp_path):
    open_playground, playground, _ = live
    tab = open_playground("#test=0")
    file = tmp_path / "own.csv"
    file.write_text("a,b,c\n" + "".join(f"{i},{i * i},{-i}\n" for i in range(9)))
    tab.set_input_files("#file", file)
    expect(tab.get_by_label("points with")).to_have_value("values")
    tab.get_by_role("button", name="Use these columns").click()
    tab.wait_for_function("() => location.hash.includes('kind=values')")
    *_, session = playground.sessions.values()
    assert session.settings.loss == "mse"
    x = np.arange(9)
    expected = np.stack([x / 4 - 1, x**2 / 32 - 1, 1 - x / 4], axis=1)
    np.testing.assert_allclose(session.settings.points, expected, atol=1e-3)
    tab.get_by_label("points with").select_option("curve")
    tab.wait_for_function("() => location.hash.includes('kind=curve')")
    tab.get_by_label("x and y of a point").fill("0,5; 1")
    tab.get_by_role("button", name="Add point").click()
    expect(tab.get_by_role("alert")).to_contain_text("such as 0.5, −0.3")
    tab.get_by_label("x and y of a point").fill("0.5, −1.25")
    tab.get_by_role("button", name="Add point").click()
    tab.wait_for_function("() => location.hash.includes('0.5,-1.25')")
    tab.get_by_role("button", name="One step").click()
    expect(tab.locator("#count")).to_contain_text("step 1,")
    *_, session = playground.sessions.values()
    (training,) = session.trainings
    assert training.x.shape == (10, 1)
    np.testing.assert_array_equal(training.y[-1], [-1.25])
    tab.get_by_role("button", name="Undo").click()
    tab.wait_for_function("() => !location.hash.includes('0.5,-1.25')")


def test_the_picture_has_all_that_is_shown(live, tmp_path):
    open_playground, _, _ = live
    tab = open_playground()
    with tab.expect_download() as saved:
        tab.get_by_role("button", name="Save picture").click()
    saved.value.save_as(tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as image:
        boxes = [tab.locator(f"#{part}").bounding_box() for part in ("network", "output", "charts")]
        width = max(b["x"] + b["width"] for b in boxes) - min(b["x"] for b in boxes)
        assert image.width == pytest.approx(2 * width, abs=2)
        colours = {colour for _, colour in image.convert("RGB").getcolors(10**6)}
    assert {(0, 114, 178), (213, 94, 0)} <= colours


def test_parts_are_hidden_by_the_address(live):
    open_playground, _, _ = live
    tab = open_playground("#hide=data,charts")
    expect(tab.locator("#setup")).to_be_hidden()
    expect(tab.locator("#charts")).to_be_hidden()
    expect(tab.locator("#training")).to_be_visible()
    tab = open_playground("#hide=noise,rate,script,layers,stop&b.rule=SGD")
    for name in ("noise", "rate η", "stop"):
        expect(tab.get_by_label(name, exact=True).first).to_be_hidden()
    expect(tab.get_by_role("button", name="As a script")).to_be_hidden()
    expect(tab.get_by_role("button", name="Add a unit")).to_have_count(0)
    expect(tab.get_by_role("slider", name="samples")).to_be_visible()
    tab.get_by_label("rule").first.select_option("Momentum")  # the fields are made anew
    tab.wait_for_function("() => location.hash.includes('Momentum')")
    expect(tab.get_by_label("rate η").first).to_be_hidden()
    assert "hide=noise" in tab.evaluate("location.hash")
    tab.evaluate("location.hash = '#hide=network'")  # as by typing
    expect(tab.locator("#network")).to_be_hidden()
    expect(tab.get_by_label("rate η").first).to_be_visible()


TEXTS = "main :is(h2, h3, label, th, td, figcaption, button, select, .remark, .keys, li)"


@needs_axe
def test_the_page_is_readable_in_each_size_and_theme(live):
    open_playground, _, _ = live
    tab = open_playground("#activation=relu&data=three_classes")
    tab.get_by_label("layer 1, unit 2").click()
    tab.keyboard.press("End")
    expect(tab.locator("#count")).to_contain_text("step 9,")
    for where, _ in at_sizes(tab, themes=["light"]):  # another theme moves nothing
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), where
        assert unreadable(tab, TEXTS) == [], where
        assert overlapping(tab, "main :is(h2, label, th, figcaption, .layer)") == [], where
        assert axe_violations(tab, contrast=False) == [], where
    for _, theme in at_sizes(tab, SIZES[:1]):
        assert low_contrast(tab, "body") == [], theme
    tab.set_viewport_size(DESKTOP)
    assert tab_presses(tab, "#play") <= 12
