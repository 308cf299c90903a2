"""The style that all pictures and pages share, for the modules that draw: colours, markers, fonts.

Color-blind readers can tell the colours apart. Text in them has a contrast of 4.5 : 1 or more to
white paper, or to the dark theme of a page, and lines on the blues of a surface of 3 : 1 or more.
Importing this needs NumPy alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from minidl._kernels import atomic

COLOURS = {
    "black": "#222222",
    "blue": "#2f3cc8",
    "sky": "#0076be",
    "green": "#036c45",
    "orange": "#976800",
    "vermilion": "#a0300a",
    "purple": "#9a1f86",
    "brown": "#4c2d11",
    "grey": "#6b7280",
}
# the colours of runs in the dark theme of pages
DARK_COLOURS = {
    "black": "#f0f3f7",
    "blue": "#7b8cec",
    "sky": "#4fd6fe",
    "green": "#8fec9f",
    "orange": "#fcd663",
    "vermilion": "#ff6d2c",
    "purple": "#e078c4",
    "brown": "#b3977a",
}

# Matplotlib's settings (rcParams) while a picture is drawn
STYLE: dict[Any, Any] = {
    "figure.figsize": (10, 5.6),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 100,
    "font.size": 14,
    "axes.titlesize": 15,
    "axes.labelsize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#566173",
    "axes.labelcolor": "#18202b",
    "axes.titlecolor": "#18202b",
    "text.color": "#18202b",
    "xtick.color": "#566173",
    "ytick.color": "#566173",
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "legend.fontsize": 13,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
    "axes.prop_cycle": f"cycler('color', {list(COLOURS.values())})",
}

# the colour and dashes of lines that show something other than a rule
LINE_STYLES = tuple(
    zip(
        (COLOURS[name] for name in ("blue", "vermilion", "green", "purple", "black", "orange")),
        ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), "solid", (0, (5, 1.5))),
        strict=True,
    )
)


def context() -> atomic.Assigned:
    """A context in which Matplotlib uses its defaults and STYLE, whatever the user has set.

    Matplotlib's own context restores the settings by a loop in Python, and not without memory.
    """
    from matplotlib import rcParams, style

    found = [(rcParams, *item) for item in dict.items(rcParams) if item[0] != "backend"]
    with atomic.Assigned(found):
        style.use(["default", STYLE])
        return atomic.Assigned([(rcParams, key, dict.get(rcParams, key)) for _, key, _ in found])


class RunStyle(NamedTuple):
    """How the run of one optimizer is drawn; markers and dashes are named as in Matplotlib."""

    colour: str
    marker: str
    dashes: str

    @property
    def ink(self) -> str:
        """The colour on a page, as CSS: in the light and in the dark theme."""
        name = next(name for name, colour in COLOURS.items() if colour == self.colour)
        return f"light-dark({self.colour}, {DARK_COLOURS[name]})"


def _rule_styles() -> dict[str, RunStyle]:
    """The style of each rule. Variants share their parent's colour and differ in the dashes."""
    rows = """
        SGD       black      o  solid
        Momentum  blue       s  solid
        NAG       sky        ^  solid
        Adagrad   green      D  solid
        RMSprop   orange     v  solid
        Adam      vermilion  P  solid
        Adadelta  purple     X  solid
        FTRL      brown      *  solid
        AdamW     vermilion  p  dashed
        Nadam     sky        <  dashed
        Adamax    vermilion  >  dotted
        RAdam     orange     h  dashed
        Lion      blue       d  dashed
    """
    fields = (line.split() for line in rows.strip().splitlines())
    return {
        name: RunStyle(COLOURS[colour], marker, dashes) for name, colour, marker, dashes in fields
    }


RULE_STYLES = _rule_styles()


def run_styles(names: Sequence[str]) -> list[RunStyle]:
    """One style for each name: a rule's own, or for another name one that is still free.

    >>> from minidl.viz import style
    >>> [run_style.colour for run_style in style.run_styles(["mine", "SGD"])]
    ['#2f3cc8', '#222222']
    """
    unused = [own for rule, own in RULE_STYLES.items() if rule not in names]
    spare = itertools.cycle(unused or RULE_STYLES.values())
    return [RULE_STYLES.get(name) or next(spare) for name in names]
