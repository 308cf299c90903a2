"""The formula of a function of x and y, put together from those of its ops; for users' surfaces."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minidl import _observer
from minidl._format import number
from minidl.tensor import Tensor
from minidl.walkthrough import parser, typesetting
from minidl.walkthrough.parser import Tree

MAX_LENGTH = 120  # characters of a formula; a longer one tells nobody anything
CONSTANTS = {math.pi: ("name", "π"), math.tau: ("·", ("number", "2"), ("name", "π"))}
ZERO = ("number", "0")


def formula(function: Callable[[Tensor, Tensor], Tensor], points: np.ndarray) -> str:
    """The formula "f = …" of an element-wise function, or "" if its ops do not tell it.

    points  (2, n), at which it is called, n ≥ 2
    """
    x, y = (Tensor(coordinates) for coordinates in points)
    composer = _Composer({id(x): (x, ("name", "x")), id(y): (y, ("name", "y"))})
    token = _observer.active.set(composer)
    try:
        result = function(x, y)
    finally:
        _observer.active.reset(token)
    _, tree = composer.trees.get(id(result), (None, None))
    text = f"f = {typesetting.unicode(tree)}" if tree else ""
    return text if len(text) <= MAX_LENGTH else ""


class _Composer(_observer.Observer):
    """Notes for each result of an op its tree, in x and y; also the result, as ids are reused."""

    def __init__(self, trees: dict[int, tuple[Any, Tree]]) -> None:
        self.trees = trees

    def op(
        self,
        function: Any,
        inputs: Sequence[Any],
        arrays: list[Any],
        extra: Sequence[Any],
        options: Mapping[str, Any],
        result: Any,
    ) -> None:
        """Put the trees of the inputs and options into that of the op's formula."""
        if function.variadic or function.movement:
            return
        bound = inspect.signature(function).bind(*inputs, *extra, **options)
        bound.apply_defaults()
        trees = {name: self._tree(value) for name, value in bound.arguments.items()}
        own = parser.parse(function.formula).tree
        if all(trees.get(name) for name in parser.names(own) if name != "e"):
            self.trees[id(result)] = (result, _simplified(_filled(own, trees)))

    def _tree(self, value: Any) -> Tree | None:
        """The tree of an input or option: of a result, or of a number."""
        if id(value) in self.trees:
            return self.trees[id(value)][1]
        data = value.data if isinstance(value, Tensor) else value
        if not isinstance(data, int | float | np.number | np.ndarray) or np.size(data) != 1:
            return None
        x = float(np.reshape(data, ()))
        size = CONSTANTS.get(abs(x)) or ("number", number(abs(x), 6).shown)
        return ("negative", size) if x < 0 else size


def _filled(node: Tree, trees: Mapping[str, Tree | None]) -> Tree:
    """A tree with the trees of its symbols in their places."""
    if node[0] == "name":
        filled: Tree = trees.get(node[1]) or node
    else:
        filled = tuple(_filled(part, trees) if isinstance(part, tuple) else part for part in node)
    return filled


def _simplified(node: Tree) -> Tree:
    """The tree as it is usually written: a − 2 for a + (−2), 2 a for a 2, a³ for a a²."""
    match node:
        case "+", left, right if ZERO in (left, right):
            rest: Tree = left if right == ZERO else right
            return rest
        case "+", left, ("negative", right):
            return ("−", left, right)
        case "−", left, ("negative", right):
            return ("+", left, right)
        case "·", left, right if ZERO in (left, right):
            return ZERO
        case "·", left, ("negative", ("number", digits)):
            return ("negative", ("·", ("number", digits), left))
        case "·", left, ("number", digits) if left[0] != "number":
            return ("·", ("number", digits), left)
        case "·" | "^", left, right:
            (base, m), (other, n) = _power(left), _power(right)
            if node[0] == "^" and right[0] == "number" and right[1].isdigit() and m > 1:
                return ("^", base, ("number", str(m * int(right[1]))))
            if node[0] == "·" and base == other and base[0] != "number":
                return ("^", base, ("number", str(m + n)))
    return node


def _power(node: Tree) -> tuple[Tree, int]:
    """The base and the exponent of a power; of another tree itself and 1."""
    match node:
        case "^", base, ("number", digits) if digits.isdigit():
            return base, int(digits)
    return node, 1
