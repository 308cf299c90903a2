"""Evaluate formula trees on arrays, and work them out for one entry: "0.5 · (1 − 0.4621²)".

For the walkthrough's record and parts. `minidl.walkthrough.parser` describes the trees.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minidl._format import Number, Tokens, number, plain
from minidl.ops import normal_cdf
from minidl.walkthrough.parser import SUPERSCRIPTS, Tree, UnknownSymbolError, subtrees

Index = tuple[int, ...]
Axes = int | tuple[int, ...] | None

TERMS = 6  # how many terms of a sum are written out
DIGITS = 4
SOFTMAX = "softmax(x)"  # what a worked line calls the softmax of an op's input


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "ln": np.log,
    "√": np.sqrt,
    "sgn": np.sign,
    "Φ": lambda x: normal_cdf(np.asarray(x, np.float64)),
    "φ": lambda x: np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
    "σ": lambda x: 1 / (1 + np.exp(-x)),
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    ">": np.greater,
    "≤": np.less_equal,
    "≥": np.greater_equal,
    "=": np.equal,
    "≠": np.not_equal,
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
    **_COMPARISONS,
}
_EXTREMA: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "max": (np.max, np.maximum),
    "min": (np.min, np.minimum),
}
# precedence in a worked line, from loose to tight; kinds that are not listed need no brackets
_PRECEDENCE = {"or": 1, "and": 1, "+": 3, "−": 3, "negative": 3, "sum": 3, "@": 3}
_PRECEDENCE |= {**dict.fromkeys(_COMPARISONS, 2), "·": 4, "/": 4, "^": 6}
_ATOM = 9


class Scope:
    """The values of a formula's symbols, and the axes that its sums go along.

    values  arrays and numbers, by symbol
    axis    of sums and other reductions; None for all axes
    terms   how many terms of a sum are written out
    digits  how many digits of a number are shown
    """

    def __init__(self, values: Mapping[str, Any], axis: Axes = None, terms: int = TERMS) -> None:
        self.values, self.axis, self.terms, self.digits = dict(values), axis, terms, DIGITS
        self._cache: dict[int, tuple[Tree, Any]] = {}  # by id of the tree, which is kept alive
        self._rounded: dict[int, Scope] = {}

    def rounded(self, digits: int) -> Scope:
        """The same symbols with values rounded as they are shown."""
        if digits not in self._rounded:
            values = {name: _rounded(value, digits) for name, value in self.values.items()}
            self._rounded[digits] = Scope(values, self.axis)
        return self._rounded[digits]

    def entry(self, node: Tree, at: Index) -> float:
        """One entry of a tree's value."""
        return float(_entry(self.value(node), at))

    def look_up(self, name: str) -> Any:
        """The value of a symbol; FormulaError if there is none."""
        if name == "e":
            return math.e
        if name not in self.values:
            raise UnknownSymbolError(name)
        return self.values[name]

    def value(self, node: Tree) -> Any:
        """The value of a tree; axes that are reduced remain with length 1."""
        if id(node) not in self._cache:
            with np.errstate(all="ignore"):
                self._cache[id(node)] = node, self._evaluate(node)
        return self._cache[id(node)][1]

    def magnitude(self, node: Tree, error: float = 1e-15, least: float = 0.0) -> Any:
        """The size of a tree's terms before they cancel; its rounding error is relative to it.

        error  the relative one, and `least` the absolute one: what is smaller may have either sign
        """
        kind, *parts = node
        if kind == "call" and parts[0] == "sgn":
            inner = self.magnitude(parts[1], error, least)
            unsure = np.abs(self.value(parts[1])) <= error * inner + least
            return np.where(unsure, 2 / error, 1)
        if kind in ("+", "−", "negative"):
            return sum(self.magnitude(part, error, least) for part in parts)
        if kind == "·":
            return math.prod(self.magnitude(part, error, least) for part in parts)
        if kind == "/":
            return self.magnitude(parts[0], error, least) / np.abs(self.value(parts[1]))
        if kind == "if":
            value, condition, other = parts
            taken = np.asarray(self.value(condition))
            sizes = (self.magnitude(part, error, least) for part in (value, other))
            return np.where(taken, *sizes)
        return np.abs(self.value(node))

    def _evaluate(self, node: Tree) -> Any:
        kind, *parts = node
        match kind:
            case "number":
                return 0.5 if parts[0] == "½" else float(parts[0])
            case "name":
                return self.look_up(parts[0])
            case "sum":
                return np.sum(self.value(parts[1]), self._axes(parts[0]), keepdims=True)
            case "call":
                return self._call(parts[0], *map(self.value, parts[1:]))
        values = [self.value(part) for part in parts]
        match kind:
            case "negative":
                return -values[0]
            case "transpose":
                return np.swapaxes(values[0], -1, -2)
            case "indicator":
                return np.asarray(values[0], float)
            case "abs":
                return np.abs(values[0])
            case "not":
                return np.logical_not(values[0])
            case "if":
                return np.where(values[1], values[0], values[2])
        return _BINARY[kind](*values)

    def _call(self, name: str, *x: Any) -> Any:
        if name == "mean":
            axis = self.axis if np.ndim(x[0]) else None  # of a number, np.sum takes axis 0, too
            mean = np.mean(x[0], axis, keepdims=True)
            self.values["n"] = np.size(x[0]) // max(np.size(mean), 1)
            return mean
        if name == "softmax":
            axis = -1 if self.axis is None else self.axis
            e = np.exp(x[0] - np.max(x[0], axis, keepdims=True, initial=-np.inf))
            return e / np.sum(e, axis, keepdims=True)
        if name in _EXTREMA:
            reduce, of_two = _EXTREMA[name]
            return of_two(*x) if len(x) == 2 else reduce(x[0], self.axis, keepdims=True)
        return _FUNCTIONS[name](x[0])

    def _axes(self, sign: str) -> Axes:
        return {"Σ": self.axis, "Σᵢ": 0, "Σₖ": -1}[sign]

    # --- worked lines

    def worked(self, node: Tree, at: Index, level: int = 0) -> Tokens:
        """The tree with the numbers that go into the entry `at` of its value.

        `level` is the precedence of what surrounds it; an expression of lower precedence gets
        brackets. A conditional shows the branch that is taken.
        """
        kind, *parts = node
        if kind == "if":
            taken = parts[0] if _entry(self.value(parts[1]), at) else parts[2]
            return self.worked(taken, at, level)
        line = self._worked(kind, parts, at)
        if kind in ("name", "number"):
            shown = plain(line)
            power = _PRECEDENCE["^"] < level < _ATOM and "e" in shown[1:]  # (1e−6)², not 1e−6²
            brackets = power or (level > 3 and shown.startswith("−"))
        else:
            brackets = level > _PRECEDENCE.get(kind, _ATOM)
        return ["(", *line, ")"] if brackets else line

    def _worked(self, kind: str, parts: list[Any], at: Index) -> Tokens:
        match kind:
            case "number":
                return [parts[0]]
            case "name":
                return self._worked_symbol(parts[0], at)
            case "sum":
                return self._worked_reduction(parts[1], self._axes(parts[0]), at)
            case "@":
                return self._worked_matrix_product(parts[0], parts[1], at)
            case "transpose":
                return self.worked(parts[0], (*at[:-2], at[-1], at[-2]), _ATOM)
            case "negative":
                return ["−", *self.worked(parts[0], at, 4)]
            case "indicator":
                return ["[", *self.worked(parts[0], at), "]"]
            case "abs":
                return ["|", *self.worked(parts[0], at), "|"]
            case "not":
                return ["not ", *self.worked(parts[0], at, 2)]
            case "call":
                return self._worked_call(parts[0], parts[1:], at)
            case "^":
                return [*self.worked(parts[0], at, 7), *self._worked_exponent(parts[1], at)]
        level = _PRECEDENCE[kind]
        left = self.worked(parts[0], at, level)
        return [*left, f" {kind} ", *self.worked(parts[1], at, level + 1)]

    def _worked_symbol(self, name: str, at: Index) -> Tokens:
        if name == "e":
            return ["e"]
        value = self.look_up(name)
        shown = number(_entry(value, at), self.digits)
        if not np.ndim(value):
            return [shown]
        return [shown._replace(symbol=name, position=_position(np.shape(value), at))]

    def _worked_exponent(self, node: Tree, at: Index) -> Tokens:
        line = self.worked(node, at)
        raised = {plain: superscript for superscript, plain in SUPERSCRIPTS.items()}
        whole = isinstance(line[0], str) or float(line[0].exact).is_integer()
        if len(line) == 1 and whole and set(plain(line)) <= raised.keys():
            return ["".join(raised[c] for c in plain(line))]
        return ["^", *line] if len(line) == 1 else ["^(", *line, ")"]

    def _worked_call(self, name: str, arguments: list[Tree], at: Index) -> Tokens:
        if name == "mean":
            self.value(("call", name, *arguments))  # sets n
            terms = self._worked_reduction(arguments[0], self.axis, at)
            return ["(", *terms, ")", f" / {self.values['n']}"]
        if name in _EXTREMA and len(arguments) == 1:
            terms = self._worked_reduction(arguments[0], self.axis, at, ", ")
            return [f"{name}(", *terms, ")"]
        if name == "softmax":
            value = self.value(("call", name, *arguments))
            shown = number(_entry(value, at), self.digits)
            return [shown._replace(symbol=SOFTMAX, position=_position(np.shape(value), at))]
        lines = [self.worked(argument, at) for argument in arguments]
        if name == "√" and len(lines[0]) == 1:
            return ["√", *lines[0]]
        return [f"{name}(", *_joined(lines, ", "), ")"]

    def _worked_reduction(
        self, node: Tree, axis: Axes, at: Index, separator: str = " + "
    ) -> Tokens:
        """The terms of a sum, or the arguments of max and min, along an axis."""
        shape = np.shape(self.value(node))
        axes = range(len(shape)) if axis is None else np.atleast_1d(axis) % max(len(shape), 1)
        at = (0,) * (len(shape) - len(at)) + at[len(at) - len(shape) :]
        ranges = [range(n) if i in axes else (at[i],) for i, n in enumerate(shape)]
        indices = list(itertools.product(*ranges))
        few = [indices[k] for k in self._written_out(len(indices))]
        levels = [3, *[4] * len(few)] if separator == " + " else [0] * len(few)
        lines = [self.worked(node, i, level) for i, level in zip(few, levels, strict=False)]
        return _abbreviated(lines, len(indices), separator)

    def _worked_matrix_product(self, left: Tree, right: Tree, at: Index) -> Tokens:
        *batch, i, j = at
        length = np.shape(self.value(left))[-1]
        lines: list[Tokens] = [
            [
                *self.worked(left, (*batch, i, k), 4),
                " · ",
                *self.worked(right, (*batch, k, j), 5),
            ]
            for k in self._written_out(length)
        ]
        return _abbreviated(lines, length, " + ")

    def _written_out(self, length: int) -> range:
        """Which of so many terms are written out."""
        return range(length if length <= self.terms else self.terms - 1)


def _abbreviated(lines: list[Tokens], length: int, separator: str) -> Tokens:
    """The first terms, and how many more there are."""
    if length > len(lines):
        lines = [*lines, [f"… ({length - len(lines):,} more)"]]
    return _joined(lines, separator) if lines else ["0"]


def _joined(lines: list[Tokens], separator: str) -> Tokens:
    first, *rest = lines
    return [*first, *itertools.chain.from_iterable([separator, *line] for line in rest)]


def _entry(value: Any, at: Index) -> Any:
    """The entry of `value` that is broadcast to the index `at`."""
    return np.asarray(value).flat[_position(np.shape(value), at)] if np.ndim(value) else value


def _position(shape: tuple[int, ...], at: Index) -> int:
    """The position in C order of that entry in an array of this shape."""
    position = 0
    for n, i in zip(shape, at[len(at) - len(shape) :], strict=True):
        position = position * n + (0 if n == 1 else i)
    return position


def _rounded(value: Any, digits: int) -> Any:
    """Floating numbers to so many digits; any other value as it is."""
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


def index_text(at: Index) -> str:
    """An index without its brackets: "0, 1"."""
    return ", ".join(map(str, at))


def entry_name(name: str, at: Index) -> str:
    """The name of an entry: "y[0, 1]", or "y" for a number."""
    return f"{name}[{index_text(at)}]" if at else name


def number_of(symbol: str, data: np.ndarray, at: Index) -> Number:
    """An entry of an array, shown by its name "g[0, 1]" instead of its digits."""
    return Number(entry_name(symbol, at), str(data[at]), symbol, _position(data.shape, at))


def unbroadcast_terms(
    symbol: str, data: np.ndarray, shape: tuple[int, ...], at: Index, terms: int = TERMS
) -> Tokens:
    """The terms of an entry of the sum that undoes the broadcasting of `shape` to `data`."""
    extra = data.ndim - len(shape)
    whole = (1,) * extra + shape
    axes = tuple(i for i, (n, m) in enumerate(zip(whole, data.shape, strict=True)) if n != m)
    scope = Scope({symbol: data}, axes, terms)
    return scope.worked(("sum", "Σ", ("name", symbol)), (0,) * extra + at)


# --- properties of formulas ---------------------------------------------------------------------


def softmax_in(node: Tree) -> Tree | None:
    """The softmax in a tree, if there is one."""
    return next((part for part in subtrees(node) if part[:2] == ("call", "softmax")), None)


def _mixes_entries(node: Tree) -> bool:
    """Whether an entry of this node depends on several entries of its operands."""
    kind, *parts = node
    if kind == "call":
        return parts[0] in ("mean", "softmax") or (parts[0] in _EXTREMA and len(parts) == 2)
    return kind in ("@", "sum", "transpose")


def entrywise(node: Tree) -> bool:
    """Whether each entry of the value depends only on the same entry of each symbol."""
    return not any(map(_mixes_entries, subtrees(node)))


def broadcast_symbols(node: Tree) -> Iterator[str]:
    """The symbols whose arrays are combined entry by entry, and so are broadcast."""
    if node[0] == "name":
        yield node[1]
    elif not _mixes_entries(node):
        for part in node[1:]:
            if isinstance(part, tuple):
                yield from broadcast_symbols(part)


def without_g(node: Tree) -> Tree:
    """A derivative g f′ without its factor g: the local derivative f′."""
    if node == ("name", "g"):
        return ("number", "1")
    kind, *parts = node
    parts = [without_g(part) if isinstance(part, tuple) else part for part in parts]
    one = ("number", "1")
    if kind == "·" and one in parts:
        rest: Tree = parts[1] if parts[0] == one else parts[0]
        return rest
    return (kind, *parts)
