"""Write formula trees as a line of text and as MathML; for the walkthrough's texts and page."""

from __future__ import annotations

from typing import Any

from minidl.walkthrough.parser import COMPARISONS, SUPERSCRIPTS, Equation, Tree

# precedence from loose to tight, where factors are adjacent; kinds not listed need no brackets
_PRECEDENCE = {"if": 0, "or": 1, "and": 2, "not": 3, "+": 4, "−": 4, "negative": 4, "sum": 4}
_PRECEDENCE |= {**dict.fromkeys(COMPARISONS, 3), "@": 5, "/": 5, "·": 6, "^": 8}
_ATOM = 9
_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉ᵢₖ∞₊", "0123456789ik∞+")  # what subscripts mean
HAT = "\N{COMBINING CIRCUMFLEX ACCENT}"


def unicode(node: Tree, level: int = 0) -> str:
    """A tree as a line of text, in brackets if its precedence is below `level`."""
    kind, *parts = node
    match kind:
        case "name" | "number":
            return str(parts[0])
        case "transpose":
            return f"{unicode(parts[0], _ATOM)}ᵀ"
        case "indicator":
            return f"[{unicode(parts[0])}]"
        case "abs":
            return f"|{unicode(parts[0])}|"
        case "call":
            inside = ", ".join(map(unicode, parts[1:]))
            if parts[0] != "√" or len(inside) > 1:
                return f"{parts[0]}({inside})"
            return f"(√{inside})" if level > 8 else f"√{inside}"
    line = _text(kind, parts)
    return f"({line})" if level > _PRECEDENCE[kind] else line


def _text(kind: str, parts: list[Any]) -> str:
    match kind:
        case "sum":
            return f"{parts[0]} {unicode(parts[1], 6)}"
        case "negative":
            return f"−{unicode(parts[0], 5)}"
        case "not":
            return f"not {unicode(parts[0], 3)}"
        case "if":
            return f"{unicode(parts[0], 1)} if {unicode(parts[1], 1)} else {unicode(parts[2])}"
        case "^":
            raised = {plain: superscript for superscript, plain in SUPERSCRIPTS.items()}
            exponent = unicode(parts[1]).replace(" ", "")
            if all(c in raised for c in exponent):
                return unicode(parts[0], _ATOM) + "".join(raised[c] for c in exponent)
            return f"{unicode(parts[0], _ATOM)}^({exponent})"
        case "·":
            line = f"{unicode(parts[0], 6)} {unicode(parts[1], 7)}"
            return line.replace(" |", " · |") if parts[1][0] == "abs" else line
    own = _PRECEDENCE[kind]
    return f"{unicode(parts[0], own + (kind in COMPARISONS))} {kind} {unicode(parts[1], own + 1)}"


def mathml(equation: Equation) -> str:
    """An equation as a MathML element."""
    body = f"{_identifier(equation.symbol)}<mo>{equation.sign}</mo>{_mathml(equation.tree)}"
    return f'<math display="block"><mrow>{body}</mrow></math>'


def _mathml(node: Tree, level: int = 0) -> str:
    kind, *parts = node
    match kind:
        case "number":
            return f"<mn>{parts[0]}</mn>"
        case "name":
            return _identifier(parts[0])
        case "/":
            line = f"<mfrac>{_row(_mathml(parts[0]))}{_row(_mathml(parts[1]))}</mfrac>"
            return _bracketed(line) if level > 8 else line
        case "^":
            return f"<msup>{_row(_mathml(parts[0], _ATOM))}{_row(_mathml(parts[1]))}</msup>"
        case "transpose":
            return f"<msup>{_row(_mathml(parts[0], _ATOM))}<mo>⊤</mo></msup>"
        case "call" if parts[0] == "√":
            return f"<msqrt>{_mathml(parts[1])}</msqrt>"
        case "call":
            inside = "<mo>,</mo>".join(map(_mathml, parts[1:]))
            return _row(f"<mi>{parts[0]}</mi>{_bracketed(inside)}")
        case "indicator":
            return _bracketed(_mathml(parts[0]), "[]")
        case "abs":
            return _bracketed(_mathml(parts[0]), "||")
        case "sum":
            sign, low = parts[0][0], parts[0][1:]
            index = f"<mi>{low.translate(_PLAIN)}</mi>"
            sign = f"<msub><mo>{sign}</mo>{index}</msub>" if low else f"<mo>{sign}</mo>"
            line = sign + _mathml(parts[1], 6)
        case "negative":
            line = _row(f"<mo>−</mo>{_mathml(parts[0], 5)}")
        case "not":
            line = f"<mtext>not&#160;</mtext>{_mathml(parts[0], 3)}"
        case "if":
            value, condition, other = _mathml(parts[0], 1), _mathml(parts[1], 1), _mathml(parts[2])
            line = f"{value}<mtext>&#160;if&#160;</mtext>{condition}"
            line += f"<mtext>&#160;else&#160;</mtext>{other}"
        case "·":
            dot = unicode(parts[1], 7)[0].isnumeric()
            sign = "<mo>·</mo>" if dot else "<mspace width='0.17em'/>"
            line = f"{_mathml(parts[0], 6)}{sign}{_mathml(parts[1], 7)}"
        case _:
            own, sign = _PRECEDENCE[kind], {"<": "&lt;", ">": "&gt;"}.get(kind, kind)
            line = f"{_mathml(parts[0], own)}<mo>{sign}</mo>{_mathml(parts[1], own + 1)}"
    return _bracketed(line) if level > _PRECEDENCE[kind] else line


def _bracketed(inside: str, brackets: str = "()") -> str:
    """Brackets and their content in a row of their own, which keeps them close together."""
    tag = "<mo>" if "mfrac" in inside else '<mo stretchy="false">'
    return _row(f"{tag}{brackets[0]}</mo>{inside}{tag}{brackets[1]}</mo>")


def _row(inside: str) -> str:
    return f"<mrow>{inside}</mrow>"


def _identifier(name: str) -> str:
    """A symbol with its subscript, a word, or a derivative."""
    numerator, slash, denominator = name.partition("/∂")
    if slash:
        return f"<mfrac>{_identifier(numerator)}{_identifier('∂' + denominator)}</mfrac>"
    if name.startswith("∂"):
        return _row(f"<mo>∂</mo>{_identifier(name[1:])}")
    if len(name) > 1 and ord(name[-1]) in _PLAIN:
        low = name[-1].translate(_PLAIN)
        kind = "mn" if low.isdigit() else "mi"
        return f"<msub>{_identifier(name[:-1])}<{kind}>{low}</{kind}></msub>"
    if name.endswith(HAT):
        return f'<mover accent="true"><mi>{name[:-1]}</mi><mo stretchy="false">^</mo></mover>'
    base, _, low = name.partition("_")
    if base and low:  # v_max
        return f"<msub>{_identifier(base)}{_identifier(low)}</msub>"
    name = name.replace("&", "&amp;").replace("<", "&lt;")  # a user's rule may have any name
    return f"<mi>{name}</mi>"
