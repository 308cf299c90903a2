"""The look of all pictures: every rule has one of its own, which everyone can see."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from cases import RULES
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from minidl.viz.style import COLOURS, LOOKS, STYLE, looks

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


def test_every_rule_has_a_look_of_its_own():
    assert set(LOOKS) == set(RULES)
    assert len(set(LOOKS.values())) == len({(x.colour, x.marker) for x in LOOKS.values()})
    assert len({x.marker for x in LOOKS.values()}) == len(LOOKS)
    assert {x.colour for x in LOOKS.values()} <= set(COLOURS.values())
    assert looks([*LOOKS][::-1]) == [*LOOKS.values()][::-1]


def test_what_is_no_rule_has_a_look_that_no_other_has_while_there_are_any():
    rules = list(LOOKS)
    assert looks(["mine", "SGD", "yours"]) == [LOOKS[rules[1]], LOOKS["SGD"], LOOKS[rules[2]]]
    names = [f"mine {i}" for i in range(len(rules) - 1)]
    assert len(set(looks(["Adam", *names]))) == len(rules)
    assert len(set(looks([*rules, "mine"]))) == len(rules)
    assert looks([]) == []


@pytest.mark.parametrize("sight", SIGHT)
def test_the_eight_solid_colours_are_told_apart_by_everyone(sight):
    seen = {x.colour: lab(SIGHT[sight] @ linear(x.colour)) for x in [*LOOKS.values()][:8]}
    assert len(seen) == 8
    for (one, a), (other, b) in itertools.combinations(seen.items(), 2):
        assert np.linalg.norm(a - b) > 9, (one, other)


@pytest.mark.parametrize("name", COLOURS)
def test_every_colour_is_seen_on_white_paper(name):
    luminance = np.array([0.2126, 0.7152, 0.0722]) @ linear(COLOURS[name])
    assert 1.05 / (luminance + 0.05) > 2.2


def test_the_settings_are_matplotlibs_and_letters_are_legible_on_a_slide():
    with mpl.rc_context(STYLE):
        assert all(mpl.rcParams[name] is not None for name in STYLE)
        cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
        assert cycle == list(COLOURS.values())
    sizes = [value for name, value in STYLE.items() if name.endswith(("titlesize", "labelsize"))]
    assert min(*sizes, STYLE["font.size"], STYLE["legend.fontsize"]) >= 13
    assert STYLE["figure.figsize"] == (10, 5.6)


def test_letters_and_axes_are_dark():
    for name, value in STYLE.items():
        if name.endswith("color") and not name.endswith("facecolor"):
            luminance = np.array([0.2126, 0.7152, 0.0722]) @ linear(value)
            assert 1.05 / (luminance + 0.05) > 4.5, name


def test_looks_are_what_matplotlib_can_draw():
    for found in LOOKS.values():
        line = Line2D([], [], marker=found.marker, linestyle=found.dashes)
        assert line.get_marker() == found.marker
