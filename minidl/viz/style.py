"""One look for all pictures and pages: colours that everyone can tell apart, letters for a slide.

The colours are those of Okabe & Ito 2008, with brown for their yellow: lines must be seen on white
paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

COLOURS = {
    "black": "#222222",
    "blue": "#0072B2",
    "sky": "#56B4E9",
    "green": "#009E73",
    "orange": "#E69F00",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "brown": "#6B3E00",
    "grey": "#6B7280",
}

# Matplotlib's settings while a picture is drawn
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


# colour and dashes of lines that are no rules
LINES = tuple(
    zip(
        (COLOURS[name] for name in ("blue", "vermilion", "green", "purple", "black", "orange")),
        ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), "solid", (0, (5, 1.5))),
        strict=True,
    )
)


def drawing() -> Any:
    """A context in which Matplotlib draws with STYLE alone, whatever the user has set."""
    from matplotlib import style

    return style.context(["default", STYLE])


class Look(NamedTuple):
    """How one optimizer is drawn: its colour, marker and dashes, by Matplotlib's names."""

    colour: str
    marker: str
    dashes: str


def _looks() -> dict[str, Look]:
    """The heirs of a rule have its colour, and dashes or a marker of their own."""
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
    words = (line.split() for line in rows.strip().splitlines())
    return {name: Look(COLOURS[colour], *rest) for name, colour, *rest in words}


LOOKS = _looks()


def looks(names: Sequence[str]) -> list[Look]:
    """A look for each: a rule's own, and for any other name one that no other here has.

    >>> from minidl.viz import style
    >>> [look.colour for look in style.looks(["mine", "SGD"])]
    ['#0072B2', '#222222']
    """
    free = [look for rule, look in LOOKS.items() if rule not in names] or list(LOOKS.values())
    spare = itertools.cycle(free)
    return [LOOKS.get(name) or next(spare) for name in names]
