"""The step explained in a real browser: its arithmetic holds, and its numbers are the kernels'."""

import functools
import math
import re

import numpy as np
from browsing import at_sizes, axe_violations, low_contrast, needs_axe, overlapping, unreadable
from races import RULES

import minidl as dl

LINES = """async places => {
    const found = [];
    for (const [name, k] of places) {
        const changed = new Promise(done => addEventListener('hashchange', done, { once: true }));
        location.hash = new URLSearchParams({ step: k, run: name });
        await changed;
        found.push([...document.querySelectorAll('#explain .equations > div')].map(line => [
            line.dataset.symbol,
            [...line.querySelectorAll('dd')].map(row => [row.querySelector('.axis').innerText,
                row.querySelector('.worked').textContent,
                [...row.querySelectorAll('.number')].map(number => Number(number.title))])]));
    }
    return found;
}"""
SIGNS = {"½": "0.5", "·": "*", "−": "-", "^": "**", "√(": "sqrt(", "[": "(", "]": ")"}
ARITHMETIC = {"sqrt": math.sqrt, "max": max, "sgn": np.sign, "abs": abs, "__builtins__": {}}


def computed(text):
    """What a line of arithmetic gives: "0.9³ · √2"."""
    text = re.sub(
        "[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+",
        lambda power: (
            f"**({''.join(str('⁰¹²³⁴⁵⁶⁷⁸⁹'.find(c)).replace('-1', '-') for c in power[0])})"
        ),
        text,
    )
    text = re.sub(r"√([\d.]+(?:e−?\d+)?)", r"sqrt(\1)", re.sub(r"\|(.*?)\|", r"abs(\1)", text))
    for sign, python in SIGNS.items():
        text = text.replace(sign, python)
    return eval(text, ARITHMETIC)


@functools.cache
def race():
    return dl.viz.race(
        "two-wells",
        {
            **{name: name for name in RULES},
            "heavy ball": functools.partial(dl.optim.SGD, momentum=0.8, weight_decay=0.1),
            "nesterov": functools.partial(dl.optim.SGD, momentum=0.8, nesterov=True),
            "centered": functools.partial(dl.optim.RMSprop, momentum=0.5, centered=True),
            "amsgrad": functools.partial(dl.optim.Adam, amsgrad=True, maximize=True),
            "sparse": functools.partial(dl.optim.FTRL, l1=0.3, l2=0.2),
        },
        steps=12,
        lr=0.02,
        noise=3.0,
    )


def test_the_arithmetic_holds_and_gives_what_the_kernel_left(open_page):
    places = [(run, k) for run in race().runs for k in (0, 9)]
    tab, summed = open_page(race()), set()
    shown = tab.evaluate(LINES, [(run.name, k) for run, k in places])
    for (run, k), lines in zip(places, shown, strict=True):
        last = {}
        for symbol, rows in lines:
            for axis, text, exact in rows:
                left, _, right = text.rpartition(" = ")
                assert not re.search(r"e−\d+[⁻⁰¹²³⁴⁵⁶⁷⁸⁹^]", left), text
                if left:
                    assert math.isclose(computed(left), computed(right), rel_tol=2e-3), text
                last[symbol, axis] = exact[-1]
                if symbol == "Δθ":
                    assert math.isclose(sum(exact[:-1]), exact[-1], rel_tol=1e-9)
                    summed.add(run.name)
        names = {"θ": run.theta, **run.state}
        for symbol, array in names.items():
            for axis, name in enumerate("xy") if array.ndim == 3 else ():
                symbol = {"g_mean": "ḡ"}.get(symbol, symbol)
                assert last[symbol, name] == array[k + 1, 0, axis]
    rules = {"Momentum", "NAG", "Adam", "AdamW", "Nadam", "Adamax", "RAdam", "Lion"}
    assert summed == rules | {"heavy ball", "nesterov", "centered", "amsgrad"}


TALL = {"width": 1440, "height": 1700}


def test_the_explanation_can_be_read_on_every_screen(open_page):
    ran = dl.viz.race("beale", ["AdamW", "Nadam"], steps=12, lr=0.5)
    tab, faults = open_page(ran, fragment="#step=9&run=Nadam"), []  # its equation is the longest
    for size, _ in at_sizes(tab, themes=["light"]):
        texts = "#explain :is(math, .worked, h2, dt, figcaption), .serve, .legend li:not([hidden])"
        faults += [(size, found) for found in unreadable(tab, texts)]
        beside = "#explain :is(math, .worked, .axis)"
        faults += [(size, found) for found in overlapping(tab, beside)]
    tab.get_by_label("AdamW", exact=True).check()
    for _, theme in at_sizes(tab, [TALL]):
        lines = "#explain svg :is(path, .now), .legend .momentum path"
        low = low_contrast(tab, "#explain, .legend, .serve", lines)
        faults += [(theme, found) for found in low]
    assert faults == []


@needs_axe
def test_axe_finds_nothing_in_the_explanation(open_page):
    ran = dl.viz.race("beale", ["AdamW", "SGD"], steps=12, lr=0.5)
    assert axe_violations(open_page(ran, fragment="#step=9")) == []


class Wrong(dl.optim.SGD):
    """Its equation is not what its kernel does."""

    equations = "\n    θ ← θ − ηg / 2\n"


class Silent(dl.optim.SGD):
    """It has no equations that can be evaluated."""

    equations = "\n    θ ← a step downhill\n"


def test_an_equation_that_the_kernel_does_not_follow_is_told(open_page):
    tab = open_page(dl.viz.race("bowl", [Wrong, Silent, "SGD"], steps=3, lr=0.5, start=(2, 1)))
    places = [(name, 0) for name in ("Wrong", "Silent", "SGD")]
    wrong, silent, right = tab.evaluate(LINES, places)
    texts = [[text for _, rows in lines for _, text, _ in rows] for lines in (wrong, right)]
    assert texts == [
        ["2 − 0.5 · 2 / 2 ≠ 1", "1 − 0.5 · 2 / 2 ≠ 0"],
        ["2 − 0.5 · 2 = 1", "1 − 0.5 · 2 = 0"],
    ]
    assert silent == []
    tab.get_by_label("Silent", exact=True).check()
    note = tab.locator("#explain").inner_text()
    assert "Silent has equations that can't be evaluated, so there are no numbers." in note
    assert "This equation can't be read: θ ← a step downhill (unknown symbol a" in note
