"""What the page of a race needs to explain a step: the equations of a rule and their numbers.

The page evaluates the equations that `minidl.optim` states, with the numbers of the race.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl.optim import Optimizer
from minidl.optim.optimizer import COMMON
from minidl.viz._race.record import Run
from minidl.walkthrough import typesetting
from minidl.walkthrough.formulas import Scope
from minidl.walkthrough.parser import (
    COMPARISONS,
    Equation,
    FormulaError,
    Tree,
    UnknownSymbolError,
    names,
    parse,
    subtrees,
)
from minidl.walkthrough.record import why_unread

# The state of a rule that is an average or a sum of its gradients; a subclass has its parent's.
MOMENTUM = {"SGD": "b", "Momentum": "v", "RMSprop": "b"}
MOMENTUM |= dict.fromkeys(("Adam", "Nadam", "Adamax", "RAdam", "Lion"), "m")
# What explain.js evaluates, entry by entry: kinds of trees, and functions by their arguments.
KINDS = {"number", "name", "+", "−", "·", "/", "^", "negative", "abs", "indicator", "if"}
KINDS |= {"and", "or", "not", *COMPARISONS}
FUNCTIONS = dict.fromkeys(("sin", "cos", "tanh", "ln", "sgn", "√", "σ"), 1)
FUNCTIONS |= {"max": 2, "min": 2}
LONG = 23  # characters of an equation's right side beside which its numbers have no room


def explanation(run: Run, steps: np.ndarray) -> dict[str, Any] | None:
    """The equations of a run's rule for its page; None if the page can't evaluate them.

    equations  of each line: the symbol that it sets, the sign, the tree, the condition under which
               it applies or None, MathML, whether x and y have values of their own, and whether
               the line is long
    values     the options that the equations use, by symbol
    rates      the symbols of the rate
    state      the name of the state array, by symbol
    momentum   the symbol of the average of gradients, or None
    t          the number of the update that follows each of `steps`; None if it is the step's
    """
    optimizer = run.optimizer
    rule = type(optimizer)
    try:
        equations = [parse(line) for line in (COMMON + rule.equations).splitlines() if line.strip()]
    except FormulaError:  # a user's rule whose equations are text
        return None
    if not rule.equations or not all(map(_evaluable, equations)):
        return None
    lines = [branch for equation in equations for branch in _branches(equation)]
    named = {name: value for name, value in optimizer.groups[0].items() if name != "params"}
    named["decoupled"] = rule.decoupled or named.get("decoupled_weight_decay", False)
    symbols = {**{name: name for name in (*named, *run.state)}, **rule.symbols}
    options = _constants(symbols, named)
    rates = [symbol for symbol, name in symbols.items() if name == "lr"]
    state = {symbol: name for symbol, name in symbols.items() if name in run.state}
    equations = [line for line in lines if _may_hold(line.condition, options)]
    known = {"θ", "g", "t", *options, *rates, *state}
    vectors = {"θ", "g", *(symbol for symbol, name in state.items() if run.state[name].ndim == 3)}
    used: set[str] = set()
    for line in equations:
        used.update(name for tree in _trees(line) for name in names(tree))
        known.add(line.symbol)
        if not vectors.isdisjoint(names(line.tree)):
            vectors.add(line.symbol)
    if not used <= known:
        return None
    momentum = next((MOMENTUM[c.__name__] for c in rule.__mro__ if c.__name__ in MOMENTUM), None)
    return {
        "equations": [
            {
                "symbol": line.symbol,
                "sign": line.sign,
                "tree": line.tree,
                "condition": line.condition,
                "mathml": typesetting.mathml(line),
                "by_axis": line.symbol in vectors,
                "long": len(typesetting.unicode(line.tree)) > LONG,
            }
            for line in equations
        ],
        "values": {symbol: x for symbol, x in options.items() if symbol in used},
        "rates": [symbol for symbol in rates if symbol in used],
        "state": {symbol: name for symbol, name in state.items() if symbol in used},
        "momentum": momentum if momentum in run.state else None,
        "t": _updates(rule, run, steps),
    }


def unread(run: Run) -> dict[str, list[str]] | None:
    """What the page shows of equations that it can't evaluate; None if there are none.

    formulas  the MathML of those that can be read
    unread    the others, each with the reason
    """
    rule = type(run.optimizer)
    named = [name for name in run.optimizer.groups[0] if name != "params"] + [
        *rule.slots,
        *run.state,
    ]
    known = {"θ", "g", "t", "e", "decoupled", *named}
    known |= {symbol for symbol, name in rule.symbols.items() if name in named}
    formulas, reasons = [], dict[str, str]()
    for text in filter(str.strip, rule.equations.splitlines()):
        try:
            line = parse(text)
            used = [name for tree in _trees(line) for name in names(tree)]
            if unknown := next((name for name in used if name not in known), ""):
                raise UnknownSymbolError(unknown)
            known.add(line.symbol)
            formulas.append(typesetting.mathml(line))
        except FormulaError as error:
            reasons[text] = why_unread(text, error, rule, named, reasons)
    lines = [f"{' '.join(text.split())} ({reason})" for text, reason in reasons.items()]
    return {"formulas": formulas, "unread": lines} if formulas or lines else None


def _constants(symbols: Mapping[str, str], named: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each symbol that stands for an option other than the rate."""
    values = {symbol: named[name] for symbol, name in symbols.items() if name in named}
    values = {
        symbol: x["₁₂".index(symbol[-1])] if isinstance(x, tuple) and symbol[-1] in "₁₂" else x
        for symbol, x in values.items()
        if symbols[symbol] != "lr"
    }
    return {symbol: x for symbol, x in values.items() if isinstance(x, bool | int | float)}


def _trees(line: Equation) -> list[Tree]:
    return [line.tree, line.condition or ("number", "1")]


def _branches(line: Equation) -> list[Equation]:
    """A line "y ← a if c else b" as one line for each case, unless c depends on y."""
    if line.tree[0] != "if" or line.symbol in names(line.tree[2]):
        return [line]
    _, value, condition, other = line.tree
    cases = []
    for tree, case in (value, condition), (other, ("not", condition)):
        whole = case if line.condition is None else ("and", line.condition, case)
        cases.append(line._replace(tree=tree, condition=whole))
    return [cases[0], *_branches(cases[1])]


def _may_hold(condition: Tree | None, constants: dict[str, Any]) -> bool:
    """Whether the options leave open that a condition holds."""
    if condition is None:
        return True
    if condition[0] == "and":
        return all(_may_hold(part, constants) for part in condition[1:])
    try:
        return bool(Scope(constants).value(condition))
    except FormulaError:  # it depends on the step
        return True


def _evaluable(line: Equation) -> bool:
    """Whether the page can evaluate a line."""

    def known(node: Tree) -> bool:
        kind, *parts = node
        if kind == "call":
            return FUNCTIONS.get(parts[0]) == len(parts) - 1
        return kind in KINDS

    return all(known(node) for tree in _trees(line) for node in subtrees(tree))


def _updates(rule: type[Optimizer], run: Run, steps: np.ndarray) -> list[int] | None:
    if not rule.idle_at_rate_0 or run.lr.all():
        return None
    counts: list[int] = (1 + np.cumsum([0, *(run.lr != 0)]))[steps].tolist()
    return counts
