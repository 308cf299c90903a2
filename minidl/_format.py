"""Numbers, tables and texts as they are shown to a reader."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Number(NamedTuple):
    """A number as it is shown, with all its digits, and its place in the array of a letter."""

    shown: str
    exact: str
    letter: str = ""
    place: int = -1  # counted through the array in C order


Tokens = list[str | Number]  # a line with its numbers


def number(x: Any, digits: int = 4) -> Number:
    """The first digits of a number, and all that its dtype holds."""
    x = x[()] if isinstance(x, np.ndarray) else x
    exact = str(x)
    value = float(x)
    if not math.isfinite(value):
        text = "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    elif abs(value) < 1e6 and (value == round(value) or abs(value) >= 10**digits):
        text = f"{value:.0f}"
    else:
        text = re.sub(r"e([-+])0*", lambda e: "e" + e[1].strip("+"), f"{value:.{digits}g}")
    return Number(text.replace("-0", "0") if text == "-0" else text.replace("-", "−"), exact)


def plain(tokens: Sequence[str | Number]) -> str:
    """A line of tokens as text."""
    return "".join(t if isinstance(t, str) else t.shown for t in tokens)


class Text(str):
    """Text that shows itself as it is, also where Python shows a repr."""

    __slots__ = ()
    __repr__ = str.__str__


def aligned(rows: list[list[str]]) -> list[str]:
    """The rows of a table as lines, in which columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
