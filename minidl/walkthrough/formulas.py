"""Formulas that can be read: by people, as MathML, and with the numbers put in for the letters.

Ops and update rules state their formulas once, in Unicode, as in a paper: "∂x = g (1 − y²)". Here
such a line is parsed into a tree, evaluated on arrays, and worked out for one entry of its result:
"0.5 · (1 − 0.4621²)".

    a b, a · b     the product, of entries; a @ b of matrices, aᵀ transposed
    x², eˣ, a^(b)  a power
    ln x, √x       a function of what follows: a factor, or what stands in brackets
    Σ a b          the sum of a product along the op's axis; Σᵢ over rows, Σₖ along the last axis
    max x          of one array: the largest along the op's axis; max(a, b): entry by entry
    [a > b]        1 where that holds, else 0
    a if c else b  a choice, entry by entry

A tree is a tuple of its kind and its parts: ("+", left, right), ("name", "x"), ("number", "2").
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minidl._format import Tokens, number, plain
from minidl._kernels import special as special_kernels

Tree = tuple[Any, ...]


SOFTMAX = "softmax(x)"  # what its entries are called


class FormulaError(ValueError):
    """A line that is no formula, or a letter in it that stands for nothing known."""


# --- from text to a tree ------------------------------------------------------------------------

RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵃᵇᵖᵗˣ", "0123456789+−abptx", strict=True))
_TOKEN = re.compile(
    r"""\s*(?: (?P<number> \d+(?:\.\d+)? | ½ )
    | (?P<raised> [⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵃᵇᵖᵗˣ]+ )
    | (?P<name> (?: [A-Za-z]+(?:_[a-z]+)* | [Α-Ωα-ωḡ] (?:_[a-z]+)* ) [\u0302\u0304]? [₀-₉ᵢₖ∞₊]* )
    | (?P<sign> [-+−·/@^()\[\]|,<>=≤≥≠√ᵀ] ) )""",
    re.VERBOSE,
)
_WORDS = {"if", "else", "and", "or", "not"}
_PREFIX = {"sin", "cos", "tanh", "ln", "sgn", "√", "max", "min", "mean", "Φ", "φ", "σ", "softmax"}
_SUMS = {"Σ", "Σᵢ", "Σₖ"}
_CALLED = {"Φ", "φ", "σ"}  # functions before a bracket, letters elsewhere
COMPARISONS = {
    "<": np.less,
    ">": np.greater,
    "≤": np.less_equal,
    "≥": np.greater_equal,
    "=": np.equal,
    "≠": np.not_equal,
}


def subscript(i: int) -> str:
    """A whole number as a subscript: "₁₂"."""
    return str(i).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


class Equation(NamedTuple):
    """One line: y = …, or m ← … for a state that changes."""

    text: str
    letter: str
    sign: str
    tree: Tree
    condition: Tree | None = None  # of an update rule's line: whether it holds


def parse(line: str) -> Equation:
    """The equation in a line: "y = tanh x", "b ← g   if t = 1", "∂x = g / (2 y)  (+∞ at 0)"."""
    text, _, _ = line.partition("  (")  # a remark
    text, _, condition = text.partition("   if ")
    match = re.match(r"(\S+) ([=←]) (.+)", text.strip())
    if not match:
        raise FormulaError(f"{line!r} is no equation such as 'y = a + b'")
    letter, sign, right = match.groups()
    return Equation(text.strip(), letter, sign, tree(right), tree(condition) if condition else None)


def tree(text: str) -> Tree:
    """The tree of an expression; FormulaError for what is none."""
    return _Parser(text).whole()


class _Parser:
    """Recursive descent, a method for each level of precedence."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, at = text, [], 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if not match:
                raise FormulaError(f"no formula: {text[at:]!r} in {text!r}")
            self.tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            at = match.end()
        self.tokens.append(("end", ""))

    def whole(self) -> Tree:
        result = self.choice()
        self.expect("")
        return result

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[ahead][1] if ahead < len(self.tokens) else ""

    def take(self) -> str:
        return self.tokens.pop(0)[1]

    def took(self, *wanted: str) -> str:
        return self.take() if self.peek() in wanted else ""

    def expect(self, wanted: str) -> None:
        if self.take() != wanted:
            raise FormulaError(f"no formula: expected {wanted or 'the end'!r} in {self.text!r}")

    def choice(self) -> Tree:
        value = self.either()
        if self.took("if"):
            condition = self.either()
            self.expect("else")
            return ("if", value, condition, self.choice())
        return value

    def either(self) -> Tree:
        value = self.both()
        while self.took("or"):
            value = ("or", value, self.both())
        return value

    def both(self) -> Tree:
        value = self.negation()
        while self.took("and"):
            value = ("and", value, self.negation())
        return value

    def negation(self) -> Tree:
        if self.took("not"):
            return ("not", self.negation())
        value = self.sum()
        if self.peek() in COMPARISONS:
            return (self.take(), value, self.sum())
        return value

    def sum(self) -> Tree:
        value = ("negative", self.product()) if self.took("−") else self.product()
        while self.peek() in ("+", "−"):
            value = (self.take(), value, self.product())
        return value

    def product(self) -> Tree:
        value = self.factors()
        while self.peek() in ("/", "@"):
            value = (self.take(), value, self.factors())
        return value

    def factors(self) -> Tree:
        """Factors side by side."""
        value = self.factor()
        while self.took("·") or self._goes_on():
            value = ("·", value, self.factor())
        return value

    def _goes_on(self) -> bool:
        kind, token = self.tokens[0]
        return (kind in ("number", "name") and token not in _WORDS) or token in ("(", "[", "√")

    def factor(self) -> Tree:
        token = self.peek()
        if token in _SUMS:
            return ("sum", self.take(), self.factors())
        bracket = self.peek(1) == "("
        if token in _PREFIX and (bracket or token not in _CALLED):
            self.take()
            if not self.took("("):
                return ("call", token, self.factor())
            arguments = [self.choice()]
            while self.took(","):
                arguments.append(self.choice())
            self.expect(")")
            return self.raised(("call", token, *arguments))
        return self.raised(self.atom())

    def raised(self, value: Tree) -> Tree:
        """A value and what stands behind it, high up."""
        while True:
            if self.took("ᵀ"):
                value = ("transposed", value)
            elif self.tokens[0][0] == "raised":
                exponent = "".join(RAISED[c] for c in self.take())
                value = ("^", value, tree(exponent))
            elif self.took("^"):
                value = ("^", value, ("negative", self.atom()) if self.took("−") else self.atom())
            else:
                return value

    def atom(self) -> Tree:
        kind, token = self.tokens.pop(0)
        if kind == "number":
            return ("number", token)
        if kind == "name" and token not in _WORDS:
            return ("name", token)
        closing = {"(": ")", "[": "]", "|": "|"}.get(token)
        if not closing:
            raise FormulaError(f"no formula: {token or 'the end'!r} in {self.text!r}")
        inside = self.choice()
        self.expect(closing)
        return {"(": inside, "[": ("holds", inside), "|": ("size", inside)}[token]


# --- from a tree to values, and to the numbers of one entry -------------------------------------


def _normal_cdf(x: Any) -> Any:
    out = np.empty(np.shape(x))
    special_kernels.normal_cdf(np.array(x, np.float64).reshape(-1), out.reshape(-1))
    return out


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "ln": np.log,
    "√": np.sqrt,
    "sgn": np.sign,
    "Φ": _normal_cdf,
    "φ": lambda x: np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
    "σ": lambda x: 1 / (1 + np.exp(-x)),
}
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "−": np.subtract,
    "·": np.multiply,
    "/": np.divide,
    "^": lambda a, b: np.asarray(a, np.float64) ** b,
    "@": np.matmul,
    "or": np.logical_or,
    "and": np.logical_and,
    **COMPARISONS,
}
_EXTREMA = {"max": (np.max, np.maximum), "min": (np.min, np.minimum)}
# from loosely to tightly bound
_LEVELS = {"if": 0, "or": 1, "and": 1, "+": 3, "−": 3, "negative": 3, "sum": 3, "@": 3}
_LEVELS |= {**dict.fromkeys(COMPARISONS, 2), "·": 4, "/": 4, "^": 6}


class Scope:
    """What the letters of a formula stand for: arrays, numbers, and along which axis sums go.

    axis    None for all
    terms   how many terms of a sum are written out
    digits  how many of each number
    """

    def __init__(self, values: Mapping[str, Any], axis: Any = None, terms: int = 6) -> None:
        self.values, self.axis, self.terms, self.digits = dict(values), axis, terms, 4
        self._known: dict[int, Any] = {}
        self._rounded: dict[int, Scope] = {}

    def rounded(self, digits: int) -> Scope:
        """The same with numbers as they are shown."""
        if digits not in self._rounded:
            values = {name: _rounded(value, digits) for name, value in self.values.items()}
            self._rounded[digits] = Scope(values, self.axis)
        return self._rounded[digits]

    def entry(self, node: Tree, at: tuple[int, ...]) -> float:
        """One entry of what a tree amounts to."""
        return float(_entry(self.value(node), at))

    def look_up(self, name: str) -> Any:
        if name == "e":
            return math.e
        if name not in self.values:
            raise FormulaError(f"{name} stands for nothing here")
        return self.values[name]

    def value(self, node: Tree) -> Any:
        """What a tree amounts to, with sums and the like as axes of length 1."""
        if id(node) not in self._known:
            with np.errstate(all="ignore"):
                self._known[id(node)] = node, self._value(node)
        return self._known[id(node)][1]

    def _value(self, node: Tree) -> Any:
        kind, *parts = node
        match kind:
            case "number":
                return 0.5 if parts[0] == "½" else float(parts[0])
            case "name":
                return self.look_up(parts[0])
            case "sum":
                return np.sum(self.value(parts[1]), self._axes(parts[0]), keepdims=True)
            case "call":
                return self._called(parts[0], *map(self.value, parts[1:]))
        values = [self.value(part) for part in parts]
        match kind:
            case "negative":
                return -values[0]
            case "transposed":
                return np.swapaxes(values[0], -1, -2)
            case "holds":
                return np.asarray(values[0], float)
            case "size":
                return np.abs(values[0])
            case "not":
                return np.logical_not(values[0])
            case "if":
                return np.where(values[1], values[0], values[2])
        return _BINARY[kind](*values)

    def _called(self, name: str, *x: Any) -> Any:
        if name == "mean":
            mean = np.mean(x[0], self.axis, keepdims=True)
            self.values["n"] = np.size(x[0]) // max(np.size(mean), 1)
            return mean
        if name == "softmax":
            axis = -1 if self.axis is None else self.axis
            e = np.exp(x[0] - np.max(x[0], axis, keepdims=True))
            return e / np.sum(e, axis, keepdims=True)
        if name in _EXTREMA:
            along, of_two = _EXTREMA[name]
            return of_two(*x) if len(x) == 2 else along(x[0], self.axis, keepdims=True)
        return _FUNCTIONS[name](x[0])

    def _axes(self, sign: str) -> Any:
        return {"Σ": self.axis, "Σᵢ": 0, "Σₖ": -1}[sign]

    def worked(self, node: Tree, at: tuple[int, ...], level: int = 0) -> Tokens:
        """The tree with the numbers of one entry, at an index of its value (or what it became).

        `level` is how tightly the surroundings bind; what binds less gets brackets.
        """
        kind, *parts = node
        line = self._worked(kind, parts, at)
        if kind in ("name", "number"):
            below = level > 3 and plain(line).startswith("−")
        else:
            below = level > _LEVELS.get(kind, 9)
        return ["(", *line, ")"] if below else line

    def _worked(self, kind: str, parts: Any, at: tuple[int, ...]) -> Tokens:
        match kind:
            case "number":
                return [parts[0]]
            case "name":
                return self._letter(parts[0], at)
            case "sum":
                return self._sum(parts[1], self._axes(parts[0]), at)
            case "@":
                return self._matrix_product(parts[0], parts[1], at)
            case "transposed":
                return self.worked(parts[0], (*at[:-2], at[-1], at[-2]), 9)
            case "negative":
                return ["−", *self.worked(parts[0], at, 4)]
            case "holds":
                return ["[", *self.worked(parts[0], at), "]"]
            case "size":
                return ["|", *self.worked(parts[0], at), "|"]
            case "not":
                return ["not ", *self.worked(parts[0], at, 2)]
            case "if":
                taken = 0 if _entry(self.value(parts[1]), at) else 2
                return self.worked(parts[taken], at)
            case "call":
                return self._worked_call(parts[0], parts[1:], at)
            case "^":
                return [*self.worked(parts[0], at, 7), *self._exponent(parts[1], at)]
        level = _LEVELS[kind]
        left = self.worked(parts[0], at, level)
        return [*left, f" {kind} ", *self.worked(parts[1], at, level + 1)]

    def _letter(self, name: str, at: tuple[int, ...]) -> Tokens:
        if name == "e":
            return ["e"]
        value = self.look_up(name)
        shown = number(_entry(value, at), self.digits)
        place = _place(np.shape(value), at)
        return [shown._replace(letter=name, place=place) if np.ndim(value) else shown]

    def _exponent(self, node: Tree, at: tuple[int, ...]) -> Tokens:
        line = self.worked(node, at)
        raised = {plain: high for high, plain in RAISED.items()}
        whole = isinstance(line[0], str) or float(line[0].exact).is_integer()
        if len(line) == 1 and whole and set(plain(line)) <= raised.keys():
            return ["".join(raised[c] for c in plain(line))]
        return ["^", *line] if len(line) == 1 else ["^(", *line, ")"]

    def _worked_call(self, name: str, arguments: Any, at: tuple[int, ...]) -> Tokens:
        if name == "mean":
            self.value(("call", name, *arguments))  # which counts n
            terms = self._sum(arguments[0], self.axis, at)
            return ["(", *terms, ")", f" / {self.values['n']}"]
        if name in _EXTREMA and len(arguments) == 1:
            return [f"{name}(", *self._sum(arguments[0], self.axis, at, ", "), ")"]
        if name == "softmax":
            node = ("call", name, *arguments)
            value = self.value(node)
            shown = number(_entry(value, at), self.digits)
            return [shown._replace(letter=SOFTMAX, place=_place(np.shape(value), at))]
        lines = [self.worked(argument, at) for argument in arguments]
        if name == "√" and len(lines[0]) == 1:
            return ["√", *lines[0]]
        return [f"{name}(", *_joined(lines, ", "), ")"]

    def _sum(self, node: Tree, axis: Any, at: tuple[int, ...], between: str = " + ") -> Tokens:
        shape = np.shape(self.value(node))
        axes = range(len(shape)) if axis is None else np.atleast_1d(axis) % max(len(shape), 1)
        at = (0,) * (len(shape) - len(at)) + at[len(at) - len(shape) :]
        ranges = [range(n) if i in axes else (at[i],) for i, n in enumerate(shape)]
        return self._terms(node, list(itertools.product(*ranges)), between)

    def _matrix_product(self, left: Tree, right: Tree, at: tuple[int, ...]) -> Tokens:
        *batch, i, j = at
        length = np.shape(self.value(left))[-1]
        lines: list[Tokens] = [
            [
                *self.worked(left, (*batch, i, k), 4),
                " · ",
                *self.worked(right, (*batch, k, j), 5),
            ]
            for k in self._few(length)
        ]
        return self._listed(lines, length, " + ")

    def _terms(self, node: Tree, places: list[tuple[int, ...]], between: str = " + ") -> Tokens:
        few = [places[k] for k in self._few(len(places))]
        levels = [3, *[4] * len(few)] if between == " + " else [0] * len(few)
        lines = [self.worked(node, p, level) for p, level in zip(few, levels, strict=False)]
        return self._listed(lines, len(places), between)

    def _few(self, length: int) -> Iterator[int]:
        """The numbers of the terms that are written out."""
        return iter(range(length if length <= self.terms else self.terms - 1))

    def _listed(self, lines: list[Tokens], length: int, between: str) -> Tokens:
        if length > len(lines):
            lines = [*lines, [f"… ({length - len(lines):,} more)"]]
        return _joined(lines, between) if lines else ["0"]


def _entry(value: Any, at: tuple[int, ...]) -> Any:
    """The entry of an array that another, at an index, was broadcast from."""
    return np.asarray(value).flat[_place(np.shape(value), at)] if np.ndim(value) else value


def _place(shape: tuple[int, ...], at: tuple[int, ...]) -> int:
    """Where that entry stands, counted in C order."""
    place = 0
    for n, i in zip(shape, at[len(at) - len(shape) :], strict=True):
        place = place * n + (0 if n == 1 else i)
    return place


def _joined(lines: list[Tokens], between: str) -> Tokens:
    first, *rest = lines
    return [*first, *itertools.chain.from_iterable([between, *line] for line in rest)]


def _rounded(value: Any, digits: int) -> Any:
    """Numbers to so many digits; what is none as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray):
        return value
    x = np.asarray(value)
    if x.dtype.kind != "f":
        return value
    x = x.astype(float)
    with np.errstate(all="ignore"):
        unit = 10.0 ** (np.floor(np.log10(np.abs(x))) + 1 - digits)
        near = np.round(x / unit) * unit
    return np.where(np.isfinite(near), near, x)


def sum_of(
    letter: str, data: np.ndarray, shape: tuple[int, ...], at: tuple[int, ...], terms: int = 6
) -> Tokens:
    """The terms of the entry of a sum: of an array whose broadcasting to a shape is undone."""
    extra = data.ndim - len(shape)
    whole = (1,) * extra + shape
    axes = tuple(i for i, (n, m) in enumerate(zip(whole, data.shape, strict=True)) if n != m)
    scope = Scope({letter: data}, axes, terms)
    return scope.worked(("sum", "Σ", ("name", letter)), (0,) * extra + at)


def nodes(node: Tree) -> Iterator[Tree]:
    """A tree and all trees in it."""
    yield node
    for part in node[1:]:
        if isinstance(part, tuple):
            yield from nodes(part)


def softmax_in(node: Tree) -> Tree | None:
    """The softmax in a tree, if there is one."""
    return next((part for part in nodes(node) if part[:2] == ("call", "softmax")), None)


def names(node: Tree) -> Iterator[str]:
    """The letters in a tree, in the order of reading."""
    return (part[1] for part in nodes(node) if part[0] == "name")


# --- derivatives --------------------------------------------------------------------------------


def _mixes(node: Tree) -> bool:
    """Whether a tree's entries depend on several entries of what is in it."""
    kind, *parts = node
    if kind == "call":
        return parts[0] in ("mean", "softmax") or (parts[0] in _EXTREMA and len(parts) == 2)
    return kind in ("@", "sum", "transposed")


def entrywise(node: Tree) -> bool:
    """Whether each entry of the value depends on that entry of the letters alone."""
    return not any(map(_mixes, nodes(node)))


def meeting(node: Tree) -> Iterator[str]:
    """The letters whose arrays meet entry by entry, and so are broadcast."""
    if node[0] == "name":
        yield node[1]
    elif not _mixes(node):
        for part in node[1:]:
            if isinstance(part, tuple):
                yield from meeting(part)


def without_g(node: Tree) -> Tree:
    """A derivative g f′ without its g: the local derivative f′."""
    kind, *parts = node
    if node == ("name", "g"):
        return ("number", "1")
    parts = [without_g(part) if isinstance(part, tuple) else part for part in parts]
    one = ("number", "1")
    if kind == "·" and parts[0] == one:
        return parts[1]
    if kind == "·" and parts[1] == one:
        return parts[0]
    return (kind, *parts)
