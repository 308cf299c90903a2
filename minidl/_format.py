"""Format numbers, formulas and tables to read; for every module that prints or renders them.

Formulas are written in Unicode. `printable` spells out what the console can't show.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

# ASCII for what Unicode neither decomposes nor names as a Greek letter
_SPELLED = {"\u0302": "_hat", "\u0303": "_tilde", "\u0304": "_bar", "ḡ": "g_bar"}
_SPELLED |= {"−": "-", "–": "-", "—": "-", "→": "->", "←": "<-", "·": "*", "×": "x", "⊙": "*"}
_SPELLED |= {
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "⁄": "/",
    "‖": "||",
    "⌊": "floor(",
    "⌋": ")",
}
_SPELLED |= {"⎡": "[", "⎢": "[", "⎣": "[", "⎤": "]", "⎥": "]", "⎦": "]", "═": "=", "█": "#"}
_SPELLED |= {"′": "'", "‘": "'", "’": "'", "“": '"', "”": '"', "⁄": "/", "⚠": "!", "µ": "u"}
_SPELLED |= {"λ": "lambda", "Λ": "Lambda"}  # Unicode's name for them is without b
_SPELLED |= {"∂": "d", "√": "sqrt", "Σ": "sum", "Π": "prod", "∇": "grad", "∞": "inf", "ε": "eps"}
_EDGE, _GLUE = "\ufdd0", "\ufdd1"  # noncharacters: the edges of a word, what belongs to the last
Class = TypeVar("Class")
Spell = Callable[[str], str]  # printable for the console, str for a file


def printable(text: str) -> str:
    """The text in characters that `print` can show; the others are spelled out in ASCII.

    The encoding of sys.stdout decides: in UTF-8, and where it is unknown, nothing changes; in ASCII
    "m̂ ← βm / (1 − β₁ᵗ)" becomes "m_hat <- beta m / (1 - beta1^t)".
    """
    if text.isascii():
        return text
    try:
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        text.encode(encoding, "surrogateescape" if errors == "surrogateescape" else "strict")
    except UnicodeEncodeError:
        return _spelled(text, encoding)
    except (AttributeError, LookupError, TypeError, ValueError):  # no console
        pass
    return text


def printed(cls: type[Class]) -> type[Class]:
    """Decorate a class whose repr any console can show."""
    plain = cls.__repr__
    shown = functools.wraps(plain)(lambda self: printable(plain(self)))
    cls.__repr__ = shown  # type: ignore[method-assign]
    return cls


def _spelled(text: str, encoding: str) -> str:
    pieces = []
    for script, group in itertools.groupby(text, _script):
        for run in ["".join(group)] if script else group:
            piece = "".join(_spelling(char, encoding) for char in run)
            if script and piece == run:
                piece = f"{_GLUE}{run}"
            elif script:  # "⁻¹" as a whole, even where the encoding has "¹"
                plain = (_spelling(char, "ascii") for char in unicodedata.normalize("NFKD", run))
                piece = "".join(plain)
                if script == "<super>":
                    piece = f"^({piece})" if re.search(r"\w[-+]", piece) else f"^{piece}"
                elif not piece.isdigit():
                    piece = f"_{piece}"
                piece = f"{_GLUE}{piece}{_EDGE}"
            pieces.append(piece)
    line = re.sub(f"{_EDGE}*{_GLUE}{_EDGE}*", "", "".join(pieces))
    line = re.sub(rf"(?<=[^\W\d]){_EDGE}+inf{_EDGE}", f"_inf{_EDGE}", line)  # ρ∞
    return re.sub(rf"(?<=[\w)]){_EDGE}+(?=\w)", " ", line).replace(_EDGE, "")


@functools.cache
def _script(char: str) -> str:
    """ "<super>" for a superscript, "<sub>" for a subscript, else ""."""
    kind = unicodedata.decomposition(char).partition(" ")[0]
    return kind if kind in ("<super>", "<sub>") else ""


@functools.cache
def _spelling(char: str, encoding: str) -> str:
    """A character as the encoding can show it; a word is spelled between edges."""
    try:
        char.encode(encoding)
        return char
    except UnicodeEncodeError:
        pass
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(char, ""))
    if char in _SPELLED:
        spelled = _SPELLED[char]
    elif greek:
        spelled = greek[2].lower()
        spelled = spelled.capitalize() if greek[1] == "CAPITAL" else spelled
    elif (parts := unicodedata.normalize("NFKD", char)) != char:
        return "".join(_spelling(c, encoding) for c in parts if not unicodedata.combining(c))
    else:
        return "" if unicodedata.combining(char) else ascii(char)[1:-1]
    if char == "∂":  # dθ, not d theta
        return f"{_EDGE}{spelled}{_GLUE}"
    return f"{_EDGE}{spelled}{_EDGE}" if len(spelled) > 1 and spelled.isalpha() else spelled


@printed
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
    """Text for the console, whose repr is the text itself, so that a prompt shows its lines."""

    __slots__ = ()
    __repr__ = str.__str__

    def __new__(cls, text: str) -> Text:
        return super().__new__(cls, printable(text))


def aligned(rows: list[list[str]], spell: Spell = printable) -> list[str]:
    """The rows of a table as lines with aligned columns."""
    rows = [[spell(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
