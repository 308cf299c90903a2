"""The trees of formulas written again: as a line of text, and as MathML."""

from __future__ import annotations

from minidl.walkthrough.formulas import COMPARISONS, RAISED, Equation, Tree

# from loosely to tightly bound, where factors stand side by side
_WRITTEN = {"if": 0, "or": 1, "and": 2, "not": 3, "+": 4, "−": 4, "negative": 4, "sum": 4}
_WRITTEN |= {**dict.fromkeys(COMPARISONS, 3), "@": 5, "/": 5, "·": 6, "^": 8}


def text(node: Tree, level: int = 0) -> str:
    """A tree as a line of text."""
    kind, *parts = node
    match kind:
        case "name" | "number":
            return parts[0]
        case "sum":
            line = f"{parts[0]} {text(parts[1], 6)}"
        case "negative":
            line = f"−{text(parts[0], 5)}"
        case "transposed":
            return f"{text(parts[0], 9)}ᵀ"
        case "holds":
            return f"[{text(parts[0])}]"
        case "size":
            return f"|{text(parts[0])}|"
        case "not":
            line = f"not {text(parts[0], 3)}"
        case "if":
            line = f"{text(parts[0], 1)} if {text(parts[1], 1)} else {text(parts[2])}"
        case "call":
            inside = ", ".join(map(text, parts[1:]))
            if parts[0] != "√" or len(inside) > 1:
                return f"{parts[0]}({inside})"
            return f"(√{inside})" if level > 8 else f"√{inside}"
        case "^":
            raised = {plain: high for high, plain in RAISED.items()}
            exponent = text(parts[1]).replace(" ", "")
            high = all(c in raised for c in exponent)
            line = text(parts[0], 9) + (
                "".join(raised[c] for c in exponent) if high else f"^({exponent})"
            )
        case "·":
            line = f"{text(parts[0], 6)} {text(parts[1], 7)}"
            line = line.replace(" |", " · |") if parts[1][0] == "size" else line
        case _:
            own = _WRITTEN[kind]
            line = f"{text(parts[0], own + (kind in COMPARISONS))} {kind} {text(parts[1], own + 1)}"
    return f"({line})" if level > _WRITTEN.get(kind, 9) else line


def mathml(equation: Equation) -> str:
    """An equation as a MathML element."""
    above, _, below = equation.letter.partition("/")
    left = _identifier(above)
    if below:  # a derivative
        left = f"<mfrac>{left}{_identifier(below)}</mfrac>"
    body = f"{left}<mo>{equation.sign}</mo>{_ml(equation.tree)}"
    return f'<math display="block"><mrow>{body}</mrow></math>'


def _ml(node: Tree, level: int = 0) -> str:
    kind, *parts = node
    match kind:
        case "number":
            return f"<mn>{parts[0]}</mn>"
        case "name":
            return _identifier(parts[0])
        case "/":
            line = f"<mfrac>{_row(_ml(parts[0]))}{_row(_ml(parts[1]))}</mfrac>"
            return _fenced(line) if level > 8 else line
        case "^":
            return f"<msup>{_row(_ml(parts[0], 9))}{_row(_ml(parts[1]))}</msup>"
        case "transposed":
            return f"<msup>{_row(_ml(parts[0], 9))}<mo>⊤</mo></msup>"
        case "call" if parts[0] == "√":
            return f"<msqrt>{_ml(parts[1])}</msqrt>"
        case "call":
            inside = "<mo>,</mo>".join(map(_ml, parts[1:]))
            return _row(f"<mi>{parts[0]}</mi>{_fenced(inside)}")
        case "holds" | "size":
            return _fenced(_ml(parts[0]), "[]" if kind == "holds" else "||")
        case "sum":
            sign, low = parts[0][0], parts[0][1:]
            sign = f"<msub><mo>{sign}</mo>{_identifier(low)}</msub>" if low else f"<mo>{sign}</mo>"
            line = sign + _ml(parts[1], 6)
        case "negative":
            line = _row(f"<mo>−</mo>{_ml(parts[0], 5)}")
        case "not":
            line = f"<mtext>not&#160;</mtext>{_ml(parts[0], 3)}"
        case "if":
            words = "<mtext>&#160;if&#160;</mtext>", "<mtext>&#160;else&#160;</mtext>"
            line = f"{_ml(parts[0], 1)}{words[0]}{_ml(parts[1], 1)}{words[1]}{_ml(parts[2])}"
        case "·":
            line = f"{_ml(parts[0], 6)}<mspace width='0.17em'/>{_ml(parts[1], 7)}"
        case _:
            own, sign = _WRITTEN[kind], {"<": "&lt;", ">": "&gt;"}.get(kind, kind)
            line = f"{_ml(parts[0], own)}<mo>{sign}</mo>{_ml(parts[1], own + 1)}"
    return _fenced(line) if level > _WRITTEN.get(kind, 9) else line


def _fenced(inside: str, fence: str = "()") -> str:
    """Brackets with what they hold, in a row of their own, so that they stand close to it."""
    return _row(f"<mo>{fence[0]}</mo>{inside}<mo>{fence[1]}</mo>")


def _row(inside: str) -> str:
    return f"<mrow>{inside}</mrow>"


def _identifier(name: str) -> str:
    """A letter with its subscript, or a word; a gradient is one after ∂."""
    if name.startswith("∂"):
        return _row(f"<mo>∂</mo>{_identifier(name[1:])}")
    low = "₀₁₂₃₄₅₆₇₈₉ᵢₖ∞₊"
    plain_low = name[-1:].translate(str.maketrans(low, "0123456789ik∞+"))
    if len(name) > 1 and name[-1] in low:
        kind = "mn" if plain_low.isdigit() else "mi"
        return f"<msub>{_identifier(name[:-1])}<{kind}>{plain_low}</{kind}></msub>"
    name = name.replace("&", "&amp;").replace("<", "&lt;")  # the user's own rule may be odd
    return f"<mi>{name}</mi>"
