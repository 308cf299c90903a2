"""The style of all pictures: every rule has its own, which color-blind readers can tell apart."""

import itertools
import re

import interrupting
import matplotlib as mpl
import numpy as np
import pytest
from cases import PACKAGE, RULES
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from minidl.viz.style import COLOURS, DARK_COLOURS, RULE_STYLES, STYLE, context, run_styles

# Machado, Oliveira & Fernandes 2009, severity 1: what linear RGB becomes to such eyes
SIGHT = {
    "trichromacy": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour):
    """sRGB → linear RGB (IEC 61966-2-1)."""
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """Linear RGB → CIE L*a*b* under D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = xyz @ np.clip(rgb, 0, 1) / xyz.sum(1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_every_rule_has_its_own_style():
    assert set(RULE_STYLES) == set(RULES)
    assert len(set(RULE_STYLES.values())) == len(
        {(x.colour, x.marker) for x in RULE_STYLES.values()}
    )
    assert len({x.marker for x in RULE_STYLES.values()}) == len(RULE_STYLES)
    assert {x.colour for x in RULE_STYLES.values()} <= set(COLOURS.values())
    assert run_styles([*RULE_STYLES][::-1]) == [*RULE_STYLES.values()][::-1]


def test_another_name_has_a_style_that_is_not_in_use_while_there_is_one():
    rules = list(RULE_STYLES)
    assert run_styles(["mine", "SGD", "yours"]) == [
        RULE_STYLES[rules[1]],
        RULE_STYLES["SGD"],
        RULE_STYLES[rules[2]],
    ]
    names = [f"mine {i}" for i in range(len(rules) - 1)]
    assert len(set(run_styles(["Adam", *names]))) == len(rules)
    assert len(set(run_styles([*rules, "mine"]))) == len(rules)
    assert run_styles([]) == []


THEMES = {"light": COLOURS, "dark": DARK_COLOURS}
RUN_COLOURS = list(DARK_COLOURS)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SIGHT)
def test_the_colours_of_runs_differ_for_every_kind_of_colour_vision(sight, theme):
    seen = {name: lab(SIGHT[sight] @ linear(THEMES[theme][name])) for name in RUN_COLOURS}
    assert len(seen) == 8
    for (one, a), (other, b) in itertools.combinations(seen.items(), 2):
        assert np.linalg.norm(a - b) > 9, (one, other)


def contrast(one, other):
    """The contrast ratio of two colours (WCAG 2.2)."""
    light, dark = sorted(np.array([0.2126, 0.7152, 0.0722]) @ linear(c) for c in (one, other))[::-1]
    return (light + 0.05) / (dark + 0.05)


def page_colour(name, theme):
    """A colour of the race's page in a theme."""
    text = "".join((PACKAGE / f).read_text() for f in ("_page/base.css", "viz/_race/race.css"))
    pair = re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", text).groups()
    return pair[theme == "dark"]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", RUN_COLOURS)
def test_a_runs_text_and_line_can_be_seen_on_the_page_and_on_the_surface(name, theme):
    colour = THEMES[theme][name]
    for ground in ("card", "low"):
        assert contrast(colour, page_colour(ground, theme)) > 4.5, ground
    assert contrast(colour, page_colour("high", theme)) > 3


@pytest.mark.parametrize("name", COLOURS)
def test_text_in_every_colour_can_be_read_on_white_paper(name):
    assert contrast(COLOURS[name], "white") > 4.5


def test_the_ink_of_a_run_is_its_colour_in_both_themes():
    assert RULE_STYLES["NAG"].ink == f"light-dark({COLOURS['sky']}, {DARK_COLOURS['sky']})"


def test_the_settings_are_valid_and_texts_are_legible_on_a_slide():
    with mpl.rc_context(STYLE):
        assert all(mpl.rcParams[name] is not None for name in STYLE)
        cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
        assert cycle == list(COLOURS.values())
    sizes = [value for name, value in STYLE.items() if name.endswith(("titlesize", "labelsize"))]
    assert min(*sizes, STYLE["font.size"], STYLE["legend.fontsize"]) >= 13
    assert STYLE["figure.figsize"] == (10, 5.6)


def test_texts_and_axes_are_dark():
    for name, value in STYLE.items():
        if name.endswith("color") and not name.endswith("facecolor"):
            luminance = np.array([0.2126, 0.7152, 0.0722]) @ linear(value)
            assert 1.05 / (luminance + 0.05) > 4.5, name


def test_markers_and_dashes_are_matplotlibs():
    for found in RULE_STYLES.values():
        line = Line2D([], [], marker=found.marker, linestyle=found.dashes)
        assert line.get_marker() == found.marker


@pytest.mark.skipif(not interrupting._testcapi, reason="Python without its own tests")
@pytest.mark.forked
def test_matplotlibs_settings_are_restored_without_memory():
    before = dict(mpl.rcParams)
    block = context()
    assert dict(mpl.rcParams) == before
    leave = block.__exit__
    block.__enter__()
    mpl.rcParams["font.size"] = 3
    assert mpl.rcParams["lines.linewidth"] == STYLE["lines.linewidth"]
    interrupting.fail_allocations(0)
    try:
        leave(None, None, None)
    finally:
        interrupting._testcapi.remove_mem_hooks()
    assert dict(mpl.rcParams) == before
