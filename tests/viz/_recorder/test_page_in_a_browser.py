"""The page of a recorded training in a real browser: its numbers are those of the training."""

import functools

import numpy as np
import pytest
from browsing import at_sizes, axe_violations, low_contrast, needs_axe, press, unreadable
from playwright.sync_api import expect

import minidl as dl

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
HOSTILE = "<img src=x onerror=alert(1)>"


@functools.cache
def recorder(inputs=2, classes=2):
    out = classes or 1
    x = X if inputs == 2 else RNG.normal(size=(80, inputs)).astype(np.float32)
    y = Y if classes else np.sin(x[:, :1])
    model = dl.nn.MLP([inputs, 8, out], "relu", rng=0)
    loss = dl.losses.cross_entropy if classes else dl.losses.mse
    own = dl.viz.Recorder(every=4)
    loader = dl.data.DataLoader(x, y, 20, rng=0)
    more = {"epochs": 10, "validation": 0.25, "progress": False, "record": own}
    dl.fit(model, loss, dl.optim.Adam(model, lr=0.05), loader, metrics={HOSTILE: len_of}, **more)
    return own


def len_of(prediction, y):
    return float(len(y))


def values_of(tab, title):
    """The numbers below a chart, by the name of the curve."""
    figure = tab.locator("#charts figure", has=tab.get_by_text(title, exact=True))
    found = figure.locator(".keys span").evaluate_all(
        "all => all.map(own => [own.title, own.querySelector('b').innerText])"
    )
    return {name: float(text.replace("−", "-").replace("–", "nan")) for name, text in found}


def test_the_numbers_of_a_look_are_those_of_the_training(open_page):
    tab = open_page(recorder(), fragment="#step=12")
    own, history = recorder(), recorder().history
    expect(tab.locator("#count")).to_have_text("step 12 of 30, epoch 4")
    losses = values_of(tab, "loss")
    assert losses["of the step"] == pytest.approx(history.step_loss[11], rel=1e-3)
    assert losses["of the epoch"] == pytest.approx(history.loss[3], rel=1e-3)
    assert losses["validation"] == pytest.approx(history.validation[3], rel=1e-3)
    assert values_of(tab, HOSTILE)["training"] == 60
    assert values_of(tab, "rate η")[""] == 0.05
    look = own.looks[own.steps.index(12)]
    norm = np.hypot(*(np.linalg.norm(part.grad) for part in look.parts[:2]))
    assert values_of(tab, "gradient norm")["dense1"] == pytest.approx(norm, rel=1e-3)


def test_the_page_says_that_it_shows_only_the_first_layers(open_page):
    model = dl.nn.MLP([2, *[2] * 12, 1], rng=0)
    own = dl.viz.Recorder()
    data = X, X[:, :1]
    more = {"steps": 2, "progress": False, "record": own}
    dl.fit(model, dl.losses.mse, dl.optim.SGD(model, lr=0.1), data, **more)
    tab = open_page(own)
    assert list(values_of(tab, "gradient norm")) == [f"dense{i}" for i in range(1, 13)]
    for title in ("gradient norm", "update : weights"):
        caption = tab.locator("figcaption", has=tab.get_by_text(title, exact=True))
        expect(caption).to_contain_text("the first 12 of 13 layers")


def test_keys_buttons_slider_and_charts_scrub(open_page):
    tab = open_page(recorder())
    expect(tab.locator("#count")).to_contain_text("step 30 of 30")
    press(tab, "Home")
    expect(tab.locator("#count")).to_contain_text("step 0 of 30")
    assert np.isnan(values_of(tab, "loss")["of the step"])
    before = tab.evaluate("document.getElementById('map').toDataURL()")
    press(tab, "ArrowRight", 2)
    expect(tab.locator("#count")).to_contain_text("step 8 of 30")
    assert tab.evaluate("document.getElementById('map').toDataURL()") != before
    tab.locator("#charts svg").first.click(position={"x": 120, "y": 60})
    clicked = tab.locator("#count").inner_text()
    assert "step 0 " not in clicked
    assert "step 30 " not in clicked
    tab.locator("#scrub").fill("1")
    expect(tab.locator("#count")).to_contain_text("step 4 of 30")
    tab.locator("#play").click()
    expect(tab.locator("#play")).to_have_attribute("aria-label", "Pause")
    tab.clock.run_for(5000)
    expect(tab.locator("#count")).to_contain_text("step 30 of 30")


@pytest.mark.parametrize(("inputs", "classes"), [(2, 2), (1, 0), (2, 0), (64, 3)])
def test_everything_is_readable_at_every_size_in_both_themes(open_page, inputs, classes):
    tab = open_page(recorder(inputs, classes))
    expect(tab.locator("#output")).to_be_visible(visible=inputs <= 2)
    assert tab.locator("#units canvas").count() == (8 if inputs == 64 else 1)
    for where in at_sizes(tab):
        texts = "#charts b, #charts .keys span, h1, h2, #side p, #count"
        assert unreadable(tab, texts) == [], where
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), where
    if (inputs, classes) == (2, 2):
        for where in at_sizes(tab, sizes=[{"width": 1024, "height": 768}]):
            assert low_contrast(tab, "main, header") == [], where


@needs_axe
def test_axe_finds_nothing(open_page):
    assert axe_violations(open_page(recorder())) == []
