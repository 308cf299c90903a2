"""Parse the formulas of ops and update rules into expression trees; for the walkthrough's modules.

Formulas are written in Unicode, as in a paper: "∂x = g (1 − y²)".

    a b, a · b     the product, entry by entry; a @ b is the matrix product, aᵀ the transpose
    x², eˣ, a^(b)  a power
    ln x, √x       a function of the next factor, or of the expression in brackets
    Σ a b          the sum of a product along the op's axis; Σᵢ over rows, Σₖ along the last axis
    max x          of one array: the largest entry along the op's axis; max(a, b): entry by entry
    [a > b]        1 where the condition holds, else 0
    a if c else b  a choice, entry by entry

A tree is a tuple of its kind and its operands: ("+", left, right), ("name", "x"), ("number", "2").
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

from minidl._format import printed

Tree = tuple[Any, ...]  # (kind, *operands); an operand is a tree or a string

SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵃᵇᵖᵗˣ", "0123456789+−abptx", strict=True))
COMPARISONS = frozenset("<>≤≥=≠")
_TOKEN = re.compile(
    r"""\s*(?: (?P<number> \d+(?:\.\d+)? | ½ )
    | (?P<superscript> [⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵃᵇᵖᵗˣ]+ )
    | (?P<name> (?: [A-Za-z]+(?:_[a-z]+)* | [Α-Ωα-ωḡ] (?:_[a-z]+)* ) [\u0302\u0304]? [₀-₉ᵢₖ∞₊]* )
    | (?P<operator> [-+−·/@^()\[\]|,<>=≤≥≠√ᵀ] ) )""",
    re.VERBOSE,
)
_KEYWORDS = {"if", "else", "and", "or", "not"}
_FUNCTIONS = {
    *("sin", "cos", "tanh", "ln", "sgn", "√", "max", "min", "mean", "Φ", "φ", "σ", "softmax")
}
_SUMS = {"Σ", "Σᵢ", "Σₖ"}
_NEED_BRACKETS = {"Φ", "φ", "σ"}  # functions before a bracket, symbols elsewhere


class FormulaError(ValueError):
    """Text that is not a formula."""

    symbol = ""


class UnknownSymbolError(FormulaError):
    """A formula with a symbol that has no value."""

    def __init__(self, symbol: str) -> None:
        super().__init__(f"unknown symbol {symbol}")
        self.symbol = symbol


# what other notations write → what is read here
_OTHER_NOTATION = {"<-": "←", ":=": "←", "**": "^", "*": "·", "-": "−", "sqrt": "√", "sign": "sgn"}
_OTHER_NOTATION |= {"log": "ln", "theta": "θ", "grad": "g", "abs": "|…|", "exp": "eˣ"}


def advice(line: str) -> str:
    """What to write in a line instead of another notation: "; write ← for <-", or ""."""
    pieces = re.findall(r"<-|:=|\*\*|[A-Za-z_]+|\S", line)
    found = [f"{_OTHER_NOTATION[p]} for {p}" for p in dict.fromkeys(pieces) if p in _OTHER_NOTATION]
    return f"; write {', '.join(found)}" if found else ""


def unknown_function(line: str, known: Container[str]) -> str:
    """A name that a bracket follows and that is neither a function nor known, or ""."""
    called = re.findall(r"[A-Za-z][A-Za-z_]+(?=\()", line)
    return next((name for name in called if name not in _FUNCTIONS and name not in known), "")


@printed
class Equation(NamedTuple):
    """One line: y = …, or m ← … for state that is updated."""

    text: str
    symbol: str
    sign: str
    tree: Tree
    condition: Tree | None = None  # under which a line of an update rule applies


def parse(line: str) -> Equation:
    """The equation in a line: "y = tanh x", "b ← g   if t = 1", "∂x = g / (2 y)  (+∞ at 0)"."""
    text, _, _ = line.partition("  (")  # a comment
    text, _, condition = text.partition("   if ")
    match = re.match(r"(\S+) ([=←]) (.+)", text.strip())
    if not match:
        raise FormulaError(f"{line!r} is not an equation such as 'y = a + b'")
    symbol, sign, right = match.groups()
    return Equation(text.strip(), symbol, sign, tree(right), tree(condition) if condition else None)


def tree(text: str) -> Tree:
    """The tree of an expression; FormulaError if the text is not one."""
    return _Parser(text).expression()


def subscript(i: int) -> str:
    """A whole number as a subscript: "₁₂"."""
    return str(i).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


# --- walking through a tree ---------------------------------------------------------------------


def subtrees(node: Tree) -> Iterator[Tree]:
    """A tree and all trees in it."""
    yield node
    for part in node[1:]:
        if isinstance(part, tuple):
            yield from subtrees(part)


def names(node: Tree) -> Iterator[str]:
    """The symbols in a tree, in reading order."""
    return (part[1] for part in subtrees(node) if part[0] == "name")


# --- the parser ---------------------------------------------------------------------------------


class _Parser:
    """Recursive descent with one method per level of precedence."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []  # (kind, text), those not yet consumed
        start = 0
        while start < len(text.rstrip()):
            match = _TOKEN.match(text, start)
            if not match:
                raise FormulaError(f"unexpected {text[start:]!r} in the formula {text!r}")
            kind = str(match.lastgroup)
            self.tokens.append((kind, match[kind]))
            start = match.end()
        self.tokens.append(("end", ""))

    def expression(self) -> Tree:
        result = self.conditional()
        self.expect("")
        return result

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[ahead][1] if ahead < len(self.tokens) else ""

    def advance(self) -> str:
        return self.tokens.pop(0)[1]

    def accept(self, *expected: str) -> str:
        return self.advance() if self.peek() in expected else ""

    def expect(self, expected: str) -> None:
        if (got := self.advance()) != expected:
            wanted, found = (repr(x) if x else "the end" for x in (expected, got))
            raise FormulaError(f"expected {wanted}, not {found}, in the formula {self.text!r}")

    def conditional(self) -> Tree:
        value = self.disjunction()
        if self.accept("if"):
            condition = self.disjunction()
            self.expect("else")
            return ("if", value, condition, self.conditional())
        return value

    def disjunction(self) -> Tree:
        value = self.conjunction()
        while self.accept("or"):
            value = ("or", value, self.conjunction())
        return value

    def conjunction(self) -> Tree:
        value = self.negation()
        while self.accept("and"):
            value = ("and", value, self.negation())
        return value

    def negation(self) -> Tree:
        if self.accept("not"):
            return ("not", self.negation())
        value = self.sum()
        if self.peek() in COMPARISONS:
            return (self.advance(), value, self.sum())
        return value

    def sum(self) -> Tree:
        value = ("negative", self.quotient()) if self.accept("−") else self.quotient()
        while self.peek() in ("+", "−"):
            value = (self.advance(), value, self.quotient())
        return value

    def quotient(self) -> Tree:
        value = self.product()
        while self.peek() in ("/", "@"):
            value = (self.advance(), value, self.product())
        return value

    def product(self) -> Tree:
        """Adjacent factors, with or without a dot between them."""
        value = self.factor()
        while self.accept("·") or self.starts_factor():
            value = ("·", value, self.factor())
        return value

    def starts_factor(self) -> bool:
        kind, token = self.tokens[0]
        return (kind in ("number", "name") and token not in _KEYWORDS) or token in ("(", "[", "√")

    def factor(self) -> Tree:
        token = self.peek()
        if token in _SUMS:
            return ("sum", self.advance(), self.product())
        has_bracket = self.peek(1) == "("
        if token in _FUNCTIONS and (has_bracket or token not in _NEED_BRACKETS):
            self.advance()
            if not self.accept("("):
                return ("call", token, self.factor())
            arguments = [self.conditional()]
            while self.accept(","):
                arguments.append(self.conditional())
            self.expect(")")
            return self.postfix(("call", token, *arguments))
        return self.postfix(self.atom())

    def postfix(self, value: Tree) -> Tree:
        """A value with the exponents and transposes that follow it."""
        while True:
            if self.accept("ᵀ"):
                value = ("transpose", value)
            elif self.tokens[0][0] == "superscript":
                exponent = "".join(SUPERSCRIPTS[c] for c in self.advance())
                value = ("^", value, tree(exponent))
            elif self.accept("^"):
                value = ("^", value, ("negative", self.atom()) if self.accept("−") else self.atom())
            else:
                return value

    def atom(self) -> Tree:
        kind, token = self.tokens.pop(0)
        if kind == "number":
            return ("number", token)
        if kind == "name" and token not in _KEYWORDS:
            return ("name", token)
        closing = {"(": ")", "[": "]", "|": "|"}.get(token)
        if not closing:
            raise FormulaError(f"unexpected {token or 'end'!r} in the formula {self.text!r}")
        inner = self.conditional()
        self.expect(closing)
        return {"(": inner, "[": ("indicator", inner), "|": ("abs", inner)}[token]
