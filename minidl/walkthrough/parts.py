"""The parts of a step: one formula each, with its operands, its result and its worked lines.

For the walkthrough's steps and for `explain`. A worked line is the formula of one entry of the
result, with the numbers of the operands in place of its symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from minidl._format import Number, Tokens, number, plain, printed
from minidl.walkthrough import formulas, typesetting
from minidl.walkthrough.formulas import SOFTMAX, TERMS, Index, Scope, entry_name
from minidl.walkthrough.parser import Equation, names, parse, subscript
from minidl.walkthrough.record import Backward, Leaf, OpCall, OpGradient, Update, UpdateLine, Value

SMALL = 10_000  # entries of the operands up to which a worked line uses more digits if needed
TOLERANCE = 1e-3  # between the result and what the shown digits of its worked line give


@printed
class Operand(NamedTuple):
    """An array and the symbol that a formula has for it."""

    symbol: str
    name: str
    data: np.ndarray
    key: str | None = None  # of its node in the graph


class Worker(Protocol):
    """Writes the worked line of an entry."""

    def __call__(self, at: Index, terms: int = TERMS) -> Tokens: ...


@printed
@dataclass
class Part:
    """One formula with its operands, its result and its worked lines."""

    heading: str = ""
    equation: Equation | None = None
    caption: str = ""
    operands: list[Operand] = field(default_factory=list)
    result: Operand | None = None
    worked: Worker | None = None


# --- entries ------------------------------------------------------------------------------------


def shape_text(array: Any) -> str:
    """The shape of an array or of a number as text."""
    return str(tuple(np.shape(array)))


def as_matrix(data: np.ndarray) -> np.ndarray:
    """An array as a matrix: a vector is one row, leading axes are merged."""
    columns = data.shape[-1] if data.ndim else 1
    return data.reshape(data.size // columns if columns else 0, columns)


def min_mean_max(data: np.ndarray) -> list[Number]:
    """The smallest entry, the mean and the largest entry."""
    with np.errstate(all="ignore"):
        return [number(f(data)) for f in (np.min, np.mean, np.max)]


def _in_shape(at: Index, shape: tuple[int, ...], other: tuple[int, ...]) -> Index:
    """The index of the same entry in an array of another shape with as many entries."""
    if len(shape) == len(other) or np.prod(shape) != np.prod(other):
        return at
    position = 0
    for n, i in zip(shape, at, strict=True):
        position = position * n + i
    return tuple(map(int, np.unravel_index(position, other))) if other else ()


def _worker(
    equation: Equation,
    scope: Scope,
    symbol: str,
    result: np.ndarray,
    violated: np.ndarray | None = None,
) -> Worker:
    """The worked lines of an equation, with ≠ for entries that it does not give.

    Where numbers cancel, as in 1 − 0.9997², four digits of each would not give the result; such a
    line shows more digits.
    """
    shape = np.shape(scope.value(equation.tree))
    small = sum(map(np.size, scope.values.values())) <= SMALL

    def worked(at: Index, terms: int = TERMS) -> Tokens:
        value, inner = number(result[at]), _in_shape(at, result.shape, shape)
        scope.terms = terms
        scope.digits = next(d for d in (4, 6, 8) if not small or d == 8 or enough(d, at, inner))
        line = scope.worked(equation.tree, inner)
        start = f"{entry_name(symbol, at)} {equation.sign} "
        if plain(line) == value.shown:  # a single number
            from_array = isinstance(line[0], Number) and line[0].symbol
            return [start, line[0] if from_array else value]
        holds = violated is None or not violated[at]
        return [start, *line, " = " if holds else " ≠ ", value]

    def enough(digits: int, at: Index, inner: Index) -> bool:
        found, exact = scope.rounded(digits).entry(equation.tree, inner), float(result[at])
        return not abs(found - exact) > TOLERANCE * abs(exact)

    return worked


# --- forward ------------------------------------------------------------------------------------


def _broadcast_axes(data: np.ndarray, shape: tuple[int, ...]) -> str:
    """The axes along which an array is broadcast to a shape: "axis 0", "axes 0, 2"."""
    extra = len(shape) - data.ndim
    axes = [*range(extra), *(extra + i for i, n in enumerate(data.shape) if n != shape[extra + i])]
    return f"{'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"


def _inputs(op: OpCall) -> list[Operand]:
    """The inputs of an op that are arrays."""
    return [
        Operand(symbol, x.name, x.data, x.key)
        for symbol, x in zip(op.input_names, op.inputs, strict=True)
        if isinstance(x, Value)
    ]


def _result(op: OpCall) -> Operand:
    symbol = op.function.formula.partition(" ")[0]
    return Operand(symbol, op.value.name, op.value.data, op.value.key)


def _operands(op: OpCall, equation: Equation, scope: Scope) -> list[Operand]:
    """The arrays that an equation of an op mentions."""
    names_of = {"t": f"{op.labels.name} as probabilities"} if op.labels else {}
    extra = [
        Operand(symbol, names_of.get(symbol, symbol), np.asarray(scope.values[symbol]))
        for symbol in dict.fromkeys((*op.symbol_values, *op.options))
        if isinstance(scope.values[symbol], int | float | np.ndarray)
    ]
    used = set(names(equation.tree))
    operands = [o for o in (*_inputs(op), _result(op), *extra) if o.symbol in used]
    if softmax := formulas.softmax_in(equation.tree):
        operands.append(Operand(SOFTMAX, SOFTMAX, scope.value(softmax)))
    return operands


def forward_parts(op: OpCall) -> list[Part]:
    """The op's formula, and before it the softmax in it if there is one."""
    result, y = _result(op), op.value.data
    if not op.equations:
        worked = _movement_worker(op, result.symbol) if op.function.movement else None
        return [Part("", None, op.function.formula, _inputs(op), result, worked)]
    equation, scope = op.equations[0], op.scope()
    operands = _operands(op, equation, scope)
    broadcast = set(formulas.broadcast_symbols(equation.tree))
    captions = [
        f"{o.symbol} {shape_text(o.data)} is broadcast along {_broadcast_axes(o.data, y.shape)} to "
        f"{y.shape}."
        for o in operands
        if o.symbol in broadcast and o.data.shape != y.shape
    ]
    worked = _worker(equation, scope, result.symbol, y)
    part = Part("", equation, " ".join(captions), operands, result, worked)
    return [*_softmax_parts(op, equation, scope), part]


def _softmax_parts(op: OpCall, equation: Equation, scope: Scope) -> list[Part]:
    """The part that computes the softmax in an equation, if there is one."""
    softmax = formulas.softmax_in(equation.tree)
    if not softmax:
        return []
    own = Scope(scope.values, scope.axis)
    right = "eˣ / Σₖ eˣ" if scope.axis is None else "eˣ / Σ eˣ"
    line = parse(f"p = {right}")._replace(symbol=SOFTMAX, text=f"{SOFTMAX} = {right}")
    value = np.asarray(scope.value(softmax))
    result = Operand(SOFTMAX, "softmax", value)
    worked = _worker(line, own, SOFTMAX, value)
    return [Part("", line, "", _operands(op, line, own), result, worked)]


def _movement_worker(op: OpCall, symbol: str) -> Worker:
    """The worked lines of an op that moves entries: which entry of which input each one is."""
    sources, y = op.sources(), op.value.data

    def worked(at: Index, terms: int = TERMS) -> Tokens:
        for name, x, source in zip(op.input_names, op.arrays(), sources, strict=True):
            if source[at] >= 0:
                index = tuple(map(int, np.unravel_index(source[at], np.shape(x))))
                entry = formulas.number_of(name, np.asarray(x), index)
                return [f"{entry_name(symbol, at)} = ", entry, " = ", number(y[at])]
        return [f"{entry_name(symbol, at)} = ", number(y[at])]

    return worked


# --- backward -----------------------------------------------------------------------------------


def gradient_name(value: Value) -> str:
    """What an operand that is the gradient of a value is called."""
    return f"gradient of {value.name}"


def upstream_part(op_gradient: OpGradient, backward: Backward) -> Part:
    """The upstream gradient of an op: one gradient, or the sum of several."""
    y, g = op_gradient.op.value, op_gradient.g
    summed = None if y is backward.root else sum_part(backward, y, g)
    if summed:
        return summed
    right = f"∂{backward.letter}/∂{_result(op_gradient.op).symbol}"
    equation = Equation(f"g = {right}", "g", "=", ("name", right))
    result = Operand("g", gradient_name(y), g, y.key)
    return Part("The upstream gradient", equation, result=result)


def sum_part(backward: Backward, value: Value, total: np.ndarray) -> Part | None:
    """The sum of the gradients from all uses of a value; None for a single use."""
    contributions = backward.contributions(value)
    if len(contributions) < 2:
        return None
    heading = (
        f"{value.name} is used {len(contributions)} times: the gradients of its uses are summed"
    )
    gradients = [(f"from {op.value.name}", g) for op, g in contributions]
    return _total_part(heading, gradients, Operand("g", gradient_name(value), total))


def accumulation_part(leaf: Leaf) -> Part | None:
    """The sum of what .grad held before and the new gradient; None if it held nothing."""
    if leaf.before is None or not leaf.accumulates:
        return None
    gradients = [(".grad before", leaf.before), ("new gradient", leaf.gradient)]
    total = Operand(".grad", f"{leaf.value.name}.grad", leaf.before + leaf.gradient)
    heading = f"{leaf.value.name} already had a gradient: the new one is added to it"
    return _total_part(heading, gradients, total)


def _total_part(heading: str, gradients: Sequence[tuple[str, np.ndarray]], total: Operand) -> Part:
    first = gradients if len(gradients) <= TERMS else gradients[: TERMS - 1]
    more = len(gradients) - len(first)
    operands = [Operand(f"g{subscript(i)}", *pair) for i, pair in enumerate(first, 1)]
    scope = Scope({o.symbol: o.data for o in operands})

    def worked(at: Index, terms: int = TERMS) -> Tokens:
        line = scope.worked(("name", "g₁"), at)
        for o in operands[1:]:
            line += [" + ", *scope.worked(("name", o.symbol), at, 4)]
        line += [f" + … ({more:,} more)"] if more else []
        return [f"{entry_name(total.symbol, at)} = ", *line, " = ", number(total.data[at])]

    return Part(heading, None, "", operands, total, worked)


def input_gradient_parts(op_gradient: OpGradient, i: int, letter: str) -> list[Part]:
    """The gradient of input i: the local derivative if there is one, the product, its sum.

    An op states "∂x = …"; here it is ∂L/∂x, where the letter L is what formulas call the root.
    """
    op, x, grad = op_gradient.op, op_gradient.op.inputs[i], op_gradient.input_grads[i]
    if grad is None or not isinstance(x, Value):
        raise ValueError(f"input {i} of {op.name} has no gradient")
    symbol = op.input_names[i]
    name = f"∂{letter}/∂{symbol}"
    upstream = Operand("g", gradient_name(op.value), op_gradient.g, op.value.key)
    result = Operand(name, gradient_name(x), grad, x.key)
    part = Part(f"{name}, passed to {x.name}", operands=[upstream], result=result)
    parts = [part]
    if op.equations:
        own, scope = op.equations[1 + i], op_gradient.scope
        text = f"{name} {own.text.partition(' ')[2]}"
        part.equation = own._replace(text=text, symbol=name)
        local = f"∂{op.equations[0].symbol}/∂{symbol}"
        if formulas.entrywise(own.tree) and local != name:
            parts.insert(0, _local_part(op_gradient, symbol, own, grad))
            part.caption = f"By the chain rule, {name} = g · {local}."
        if not formulas.softmax_in(op.equations[0].tree):  # else the forward step shows it
            parts = [*_softmax_parts(op, part.equation, scope), *parts]
        part.operands += _operands(op, part.equation, scope)
        part.worked = _worker(part.equation, scope, name, grad)
    else:
        derivatives = op.function.derivatives
        part.caption = derivatives[min(i, len(derivatives) - 1)]
        part.caption = part.caption.replace(f"∂{symbol} =", f"{name} =")
        if op.function.movement:
            part.worked = _movement_gradient_worker(op_gradient, i, name, grad)
    if grad.shape != x.data.shape:
        part.result = result._replace(key=None)
        parts.append(_unbroadcast_part(op_gradient, i, x, grad, name))
    return parts


def _unbroadcast_part(
    op_gradient: OpGradient, i: int, x: Value, grad: np.ndarray, name: str
) -> Part:
    """The sum that undoes the broadcasting of an input."""
    symbol, summed = op_gradient.op.input_names[i], op_gradient.summed(i)
    axes = _broadcast_axes(x.data, grad.shape)

    def worked(at: Index, terms: int = TERMS) -> Tokens:
        line = formulas.unbroadcast_terms(name, grad, x.data.shape, at, terms)
        return [f"{entry_name(name, at)} = ", *line, " = ", number(summed[at])]

    return Part(
        f"{name}, summed",
        None,
        f"{symbol} {shape_text(x.data)} was broadcast along {axes}, so its gradient is summed "
        f"along {axes}.",
        [Operand(name, "before the sum", grad)],
        Operand(name, gradient_name(x), summed, x.key),
        worked,
    )


def _local_part(op_gradient: OpGradient, symbol: str, equation: Equation, grad: np.ndarray) -> Part:
    """The derivative without g, which is multiplied with g entry by entry."""
    op, scope = op_gradient.op, op_gradient.scope
    y, tree = op.equations[0].symbol, formulas.without_g(equation.tree)
    name = f"∂{y}/∂{symbol}"
    local = Equation(f"{name} = {typesetting.unicode(tree)}", name, "=", tree)
    slope = np.broadcast_to(np.asarray(scope.value(tree), op_gradient.g.dtype), grad.shape)
    return Part(
        f"The local derivative: how {y} changes with {symbol}",
        local,
        "",
        _operands(op, local, scope),
        Operand(name, "local derivative", slope),
        _worker(local, scope, name, slope),
    )


def _movement_gradient_worker(
    op_gradient: OpGradient, i: int, name: str, grad: np.ndarray
) -> Worker:
    """The worked lines of a gradient that is moved back: the entries of g that are summed."""
    source, g = op_gradient.op.sources()[i], op_gradient.g

    def worked(at: Index, terms: int = TERMS) -> Tokens:
        position = int(np.ravel_multi_index(at, grad.shape)) if at else 0
        indices = np.argwhere(source == position)
        line: Tokens = [f"{entry_name(name, at)} = "]
        for k, index in enumerate(indices[:terms]):
            entry = formulas.number_of("g", g, tuple(map(int, index)))
            line += [" + "] * (k > 0) + [entry]
        if len(indices) > terms:
            line.append(f" + … ({len(indices) - terms:,} more)")
        return [*line, *[" = "] * bool(len(indices)), number(grad[at])]

    return worked


# --- update -------------------------------------------------------------------------------------


def update_parts(update: Update) -> list[Part]:
    """Each equation of the rule that applies, with the numbers of this parameter."""
    read = [_update_part(update, line) for line in update.lines]
    if read and not update.unread:
        return read
    before = Operand("θ", "before", update.before)
    after = Operand("θ", "after", update.after, update.value.key)
    caption = f"{update.rule.__name__} has no equations."
    if update.unread:
        unread = "; ".join(line.text for line in update.unread)
        caption = f"{update.rule.__name__} has equations that can't be read: {unread}."
    return [*read, Part("", None, caption, [before], after)]


def _update_part(update: Update, line: UpdateLine) -> Part:
    equation, scope, value = line
    symbols = dict.fromkeys(names(equation.tree))
    called = {"g": gradient_name(update.value), equation.symbol: "before"}
    operands = [
        Operand(x, called.get(x, x), np.asarray(scope.values[x]))
        for x in symbols
        if np.ndim(scope.values.get(x, 0))
    ]
    after = "after" if equation.symbol in symbols else equation.symbol
    key = update.value.key if equation.symbol == "θ" else None
    result = Operand(equation.symbol, after, value, key)
    violated = np.broadcast_to(update.violated(line), value.shape)
    caption = ""
    if violated.any():
        caption = (
            f"These numbers do not satisfy the equation: {update.rule.__name__}.update left "
            f"another value in {violated.sum():,} of {violated.size:,} entries."
        )
    worked = _worker(equation, scope, result.symbol, value, violated)
    return Part("", equation, caption, operands, result, worked)
