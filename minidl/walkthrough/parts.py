"""What a step of the walkthrough is made of: formulas, their operands and results, and the numbers.

A `Part` is one formula at work. It comes with a function that writes the formula out for one entry
of the result, with the numbers that stand for its letters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minidl._format import Number, Tokens, number
from minidl.walkthrough import formulas as _formulas
from minidl.walkthrough import typesetting as _typesetting
from minidl.walkthrough.formulas import SOFTMAX, Equation, Scope

TERMS = 6  # of a long sum so many terms are written out
SHORT = 10_000  # entries of operands up to which a line takes the digits that it needs
NOT_FAR = 1e-3  # how far the digits of a line may be from its result


class Operand(NamedTuple):
    """An array under the letter that a formula has for it."""

    letter: str
    name: str
    data: np.ndarray
    key: str | None = None  # of its box in the graph


Worker = Callable[..., Tokens]  # (index of an entry, terms=TERMS) → the line for it


@dataclass
class Part:
    """One formula at work."""

    heading: str
    equation: Equation | None = None
    words: str = ""
    operands: list[Operand] = field(default_factory=list)
    result: Operand | None = None
    worked: Worker | None = None


# --- entries ------------------------------------------------------------------------------------


def at_text(at: tuple[int, ...]) -> str:
    """An index as it stands between brackets: "0, 1"."""
    return ", ".join(map(str, at))


def entry_of(letter: str, at: tuple[int, ...]) -> str:
    """The name of an entry: "y[0, 1]", and of a single number "y"."""
    return f"{letter}[{at_text(at)}]" if at else letter


def shape_of(array: Any) -> str:
    """The shape of an array, or of a number, as text."""
    return str(tuple(np.shape(array)))


def in_rows(data: np.ndarray) -> np.ndarray:
    """An array as a matrix: a vector as one row, leading axes one after the other."""
    columns = data.shape[-1] if data.ndim else 1
    return data.reshape(data.size // columns if columns else 0, columns)


def low_mean_high(data: np.ndarray) -> list[Number]:
    """The smallest entry, the mean and the largest entry."""
    with np.errstate(all="ignore"):
        return [number(f(data)) for f in (np.min, np.mean, np.max)]


def _elsewhere(at: tuple[int, ...], shape: Any, kept: Any) -> tuple[int, ...]:
    """The index of the same entry in an array of another shape and as many entries."""
    if len(shape) == len(kept) or np.prod(shape) != np.prod(kept):
        return at
    flat = 0
    for i, n in zip(at, shape, strict=True):
        flat = flat * n + i
    return tuple(map(int, np.unravel_index(flat, kept))) if kept else ()


def _worker(equation: Equation, scope: Scope, letter: str, result: np.ndarray) -> Worker:
    """The function that works an equation out for one entry of its result.

    Where numbers cancel, as in 1 − 0.9997², four digits of each would not give the result: then
    the line takes more.
    """
    kept = np.shape(scope.value(equation.tree))
    small = sum(map(np.size, scope.values.values())) <= SHORT

    def worked(at: tuple[int, ...], terms: int = TERMS) -> Tokens:
        value, place = number(result[at]), _elsewhere(at, result.shape, kept)
        scope.terms = terms
        scope.digits = next(d for d in (4, 6, 8) if not small or d == 8 or enough(d, at, place))
        line = scope.worked(equation.tree, place)
        beginning = f"{entry_of(letter, at)} {equation.sign} "
        if _formulas.plain(line) == value.shown:  # there was nothing to compute
            return [beginning, line[0] if getattr(line[0], "letter", "") else value]
        return [beginning, *line, " = ", value]

    def enough(digits: int, at: tuple[int, ...], place: tuple[int, ...]) -> bool:
        found, exact = scope.rounded(digits).entry(equation.tree, place), float(result[at])
        return not abs(found - exact) > NOT_FAR * abs(exact)

    return worked


def _named(letter: str, data: np.ndarray, at: tuple[int, ...], place: int) -> Number:
    """An entry by its name instead of its number."""
    return Number(entry_of(letter, at), str(data[at]), letter, place)


# --- forward ------------------------------------------------------------------------------------


def _repeated(data: np.ndarray, shape: tuple[int, ...]) -> str:
    """How an array was broadcast to a shape, in words."""
    extra = len(shape) - data.ndim
    axes = [*range(extra), *(extra + i for i, n in enumerate(data.shape) if n != shape[extra + i])]
    return f"along {'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"


def _operands(op: Any, equation: Equation | None, scope: Scope | None = None) -> list[Operand]:
    """The arrays that an equation of an op mentions (or all inputs), under their letters."""
    given = [
        Operand(letter, x.name, x.data, x.key)
        for letter, x in zip(op.letters, op.inputs, strict=True)
        if hasattr(x, "key")
    ]
    if not equation or not scope:
        return given
    extra = [
        Operand(letter, letter, np.asarray(scope.values[letter]))
        for letter in (*op.symbols, *op.options)
        if isinstance(scope.values[letter], int | float | np.ndarray)
    ]
    y = Operand(op.equations[0].letter, op.value.name, op.value.data, op.value.key)
    used = set(_formulas.names(equation.tree))
    operands = [o for o in (*given, y, *extra) if o.letter in used]
    if softmax := _formulas.softmax_in(equation.tree):
        operands.append(Operand(SOFTMAX, SOFTMAX, scope.value(softmax)))
    return operands


def forward_parts(op: Any) -> list[Part]:
    """The op's formula, after the softmax in it if there is one."""
    y, letter = op.value, op.function.formula.partition(" ")[0]
    result = Operand(letter, y.name, y.data, y.key)
    if not op.equations:
        part = Part("", None, op.function.formula, _operands(op, None), result)
        part.worked = _moved_worker(op, letter) if op.function.movement else None
        return [part]
    equation, scope = op.equations[0], op.scope()
    words = [
        f"{o.letter} {shape_of(o.data)} is repeated {_repeated(o.data, y.data.shape)} to "
        f"{y.data.shape}."
        for o in _operands(op, equation, scope)
        if o.letter in set(_formulas.meeting(equation.tree)) and o.data.shape != y.data.shape
    ]
    part = Part("", equation, " ".join(words), _operands(op, equation, scope), result)
    part.worked = _worker(equation, scope, letter, y.data)
    return [*_softmax_parts(op, equation, scope), part]


def _softmax_parts(op: Any, equation: Equation, scope: Scope) -> list[Part]:
    """The part that makes a softmax, which an equation mentions."""
    softmax = _formulas.softmax_in(equation.tree)
    if not softmax:
        return []
    name, own = SOFTMAX, Scope(scope.values, scope.axis)
    right = "eˣ / Σₖ eˣ" if scope.axis is None else "eˣ / Σ eˣ"
    line = _formulas.parse(f"p = {right}")._replace(letter=name, text=f"{name} = {right}")
    value = np.asarray(scope.value(softmax))
    part = Part("", line, "", _operands(op, line, own), Operand(name, "its softmax", value))
    part.worked = _worker(line, own, name, value)
    return [part]


def _moved_worker(op: Any, letter: str) -> Worker:
    sources, y = op.sources(), op.value.data

    def worked(at: tuple[int, ...], terms: int = TERMS) -> Tokens:
        for name, x, source in zip(op.letters, op.arrays(), sources, strict=True):
            if source[at] >= 0:
                place = tuple(map(int, np.unravel_index(source[at], np.shape(x))))
                taken = _named(name, np.asarray(x), place, int(source[at]))
                return [f"{entry_of(letter, at)} = ", taken, " = ", number(y[at])]
        return [f"{entry_of(letter, at)} = ", number(y[at])]

    return worked


# --- backward -----------------------------------------------------------------------------------


def upstream_part(flow: Any, passed: Any) -> Part:
    """What arrives at an op: one gradient, or the sum of several."""
    y = flow.op.value
    upstream = Operand("g", f"gradient by {y.name}", flow.g, y.key)
    arrived = None if y is passed.root else arrived_part(passed, y, flow.g)
    return arrived or Part("What arrives: the upstream gradient", result=upstream)


def arrived_part(passed: Any, value: Any, total: np.ndarray) -> Part | None:
    """The sum of what several uses sent back; None for a single use."""
    arrivals = passed.arrivals(value)
    if len(arrivals) < 2:
        return None
    heading = f"{value.name} was used {len(arrivals)} times: what came back adds up"
    gradients = [(f"from {op.value.name}", g) for op, g in arrivals]
    return _total_part(heading, gradients, Operand("g", f"gradient by {value.name}", total))


def added_part(leaf: Any) -> Part | None:
    """What .grad held before, and now holds; None if there was nothing."""
    if leaf.before is None or not np.any(leaf.before):
        return None
    gradients = [(".grad before", leaf.before), ("what came now", leaf.gradient)]
    total = Operand(".grad", f"{leaf.value.name}.grad", leaf.before + leaf.gradient)
    return _total_part(f"{leaf.value.name} had a gradient: this one is added", gradients, total)


def _total_part(heading: str, gradients: list[tuple[str, np.ndarray]], total: Operand) -> Part:
    first = gradients if len(gradients) <= TERMS else gradients[: TERMS - 1]
    operands = [Operand(f"g{_formulas.subscript(i)}", *pair) for i, pair in enumerate(first, 1)]
    scope = Scope({o.letter: o.data for o in operands})

    def worked(at: tuple[int, ...], terms: int = TERMS) -> Tokens:
        line = scope.worked(("name", "g₁"), at)
        for o in operands[1:]:
            line += [" + ", *scope.worked(("name", o.letter), at, 4)]
        line += [f" + … ({len(gradients) - len(first):,} more)"] if first is not gradients else []
        return [f"{entry_of(total.letter, at)} = ", *line, " = ", number(total.data[at])]

    return Part(heading, None, "", operands, total, worked)


def product_parts(flow: Any, i: int) -> Iterator[Part]:
    """Of an input the local derivative where each entry has one, the product, and its sum."""
    op, x, letter = flow.op, flow.op.inputs[i], flow.op.letters[i]
    product, name = flow.products[i], f"∂{letter}"
    upstream = Operand("g", f"gradient by {op.value.name}", flow.g, op.value.key)
    result = Operand(name, f"gradient by {x.name}", product)
    part = Part(f"{name}, on to {x.name}", operands=[upstream], result=result)
    if op.equations:
        part.equation = op.equations[1 + i]
        if not _formulas.softmax_in(op.equations[0].tree):  # else it was shown forward
            yield from _softmax_parts(op, part.equation, flow.scope)
        if _formulas.entrywise(part.equation.tree):
            yield _local_part(flow, letter, part.equation, product)
        part.operands += _operands(op, part.equation, flow.scope)
        part.worked = _worker(part.equation, flow.scope, name, product)
    else:
        derivatives = op.function.derivatives
        part.words = derivatives[min(i, len(derivatives) - 1)]
        part.worked = _moved_back_worker(flow, i, name) if op.function.movement else None
    if product.shape == x.data.shape:
        part.result = result._replace(key=x.key)
        yield part
        return
    yield part
    summed = flow.summed(i)

    def worked(at: tuple[int, ...], terms: int = TERMS) -> Tokens:
        line = _formulas.sum_of(name, product, x.data.shape, at, terms)
        return [f"{entry_of(name, at)} = ", *line, " = ", number(summed[at])]

    yield Part(
        f"{name}, summed",
        None,
        f"{letter} {shape_of(x.data)} was repeated {_repeated(x.data, product.shape)}, so its "
        "gradient is the sum there.",
        [Operand(name, "before the sum", product)],
        Operand(name, result.name, summed, x.key),
        worked,
    )


def _local_part(flow: Any, letter: str, equation: Equation, product: np.ndarray) -> Part:
    """The derivative without g, which each entry of g is multiplied with."""
    y, tree = flow.op.equations[0].letter, _formulas.without_g(equation.tree)
    name = f"∂{y}/∂{letter}"
    local = Equation(f"{name} = {_typesetting.text(tree)}", name, "=", tree)
    slope = np.broadcast_to(np.asarray(flow.scope.value(tree), flow.g.dtype), product.shape)
    return Part(
        f"The local derivative: how {y} changes with {letter}",
        local,
        "",
        _operands(flow.op, local, flow.scope),
        Operand(name, "local derivative", slope),
        _worker(local, flow.scope, name, slope),
    )


def _moved_back_worker(flow: Any, i: int, name: str) -> Worker:
    source, product = flow.op.sources()[i], flow.products[i]

    def worked(at: tuple[int, ...], terms: int = TERMS) -> Tokens:
        flat = int(np.ravel_multi_index(at, product.shape)) if at else 0
        places = np.argwhere(source == flat)
        line: Tokens = [f"{entry_of(name, at)} = "]
        for k, spot in enumerate(places[:terms]):
            index = tuple(map(int, spot))
            place = int(np.ravel_multi_index(index, flow.g.shape)) if index else 0
            line += [" + "] * (k > 0) + [_named("g", flow.g, index, place)]
        if len(places) > terms:
            line.append(f" + … ({len(places) - terms:,} more)")
        return [*line, " = ", number(product[at])] if len(places) else [*line, number(product[at])]

    return worked


# --- update -------------------------------------------------------------------------------------


def update_parts(update: Any) -> list[Part]:
    """Each equation of the rule that holds, with the numbers of this parameter."""
    if not update.lines:
        before = Operand("θ", "before", update.before)
        after = Operand("θ", "after", update.after, update.value.key)
        words = f"{update.rule.__name__} states no equations that can be worked out."
        return [Part("", None, words, [before], after)]
    return [_line_part(update, *line) for line in update.lines]


def _line_part(update: Any, equation: Equation, scope: Scope, value: np.ndarray) -> Part:
    letters = dict.fromkeys(_formulas.names(equation.tree))
    names = {**{x: x for x in letters}, "g": f"gradient by {update.value.name}"}
    names[equation.letter] = "before"
    operands = [
        Operand(x, names[x], np.asarray(scope.values[x]))
        for x in letters
        if np.ndim(scope.values.get(x, 0))
    ]
    after = "after" if equation.letter in letters else equation.letter
    key = update.value.key if equation.letter == "θ" else None
    result = Operand(equation.letter, after, value, key)
    worked = _worker(equation, scope, equation.letter, value)
    return Part("", equation, "", operands, result, worked)
