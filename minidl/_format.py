"""Format numbers and tables for people to read; for every module that prints or renders them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Number(NamedTuple):
    """A number as text, and where it comes from if it is an entry of an array."""

    shown: str  # a few digits
    exact: str  # all digits
    symbol: str = ""  # of the array
    position: int = -1  # of the entry, in C order


Tokens = list[str | Number]  # a line of text and numbers


def number(x: Any, digits: int = 4) -> Number:
    """A number to so many significant digits, and with all digits that its dtype holds."""
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
    """Text whose repr is the text itself, so that a prompt shows its lines."""

    __slots__ = ()
    __repr__ = str.__str__


def aligned(rows: list[list[str]]) -> list[str]:
    """The rows of a table as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
