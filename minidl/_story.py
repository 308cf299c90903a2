"""The walkthrough as a story: a record told in steps, and drawn as a graph.

A `Step` is what one looks at at a time: an op forward, an op backward, a parameter's update. It is
made of `Part`s: a formula, its operands and result, and a function that works the formula out for
one entry. Text and page show the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minidl import _drawing, _formulas
from minidl._formulas import Equation, Number, Scope, Tokens, number
from minidl._remarks import Remark, norms, remarks

ARRIVALS = 6  # of a value that was used often, so many gradients are told
SHORT = 8  # entries of an option that are told
ENDS = 25  # of a long walkthrough the first and the last so many ops are told


class Operand(NamedTuple):
    """An array under the letter that a formula has for it."""

    letter: str
    name: str
    data: np.ndarray
    key: str | None = None  # of its box in the graph


@dataclass
class Part:
    """One formula at work."""

    heading: str
    equation: Equation | None = None
    words: str = ""
    operands: list[Operand] = field(default_factory=list)
    result: Operand | None = None
    worked: Callable[[tuple[int, ...]], Tokens] | None = None  # the line for an entry of the result


@dataclass
class Step:
    """One step of the story. phase: "forward", "backward", "update" or "summary"."""

    phase: str
    title: str
    words: str
    key: str | None = None
    parts: list[Part] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)
    table: tuple[list[str], list[list[str | Number]]] | None = None
    bars: list[tuple[str, Number, float]] = field(default_factory=list)


# --- entries ------------------------------------------------------------------------------------


def at_text(at: tuple[int, ...]) -> str:
    return ", ".join(map(str, at))


def in_rows(data: np.ndarray) -> np.ndarray:
    """An array as a matrix: a vector as one row, leading axes one after the other."""
    columns = data.shape[-1] if data.ndim else 1
    return data.reshape(data.size // columns if columns else 0, columns)


def low_mean_high(data: np.ndarray) -> list[Number]:
    with np.errstate(all="ignore"):
        return [number(f(data)) for f in (np.min, np.mean, np.max)]


def entry_of(letter: str, at: tuple[int, ...]) -> str:
    return f"{letter}[{at_text(at)}]" if at else letter


def _elsewhere(at: tuple[int, ...], shape: Any, kept: Any) -> tuple[int, ...]:
    """The index of the same entry in an array of another shape and as many entries."""
    if len(shape) == len(kept) or np.prod(shape) != np.prod(kept):
        return at
    flat = 0
    for i, n in zip(at, shape, strict=True):
        flat = flat * n + i
    return tuple(map(int, np.unravel_index(flat, kept))) if kept else ()


def _worker(equation: Equation, scope: Scope, letter: str, result: np.ndarray) -> Callable:
    """The function that works an equation out for one entry of its result."""
    kept = np.shape(scope.value(equation.tree))

    def worked(at: tuple[int, ...]) -> Tokens:
        value = number(result[at])
        line = scope.worked(equation.tree, _elsewhere(at, result.shape, kept))
        beginning = f"{entry_of(letter, at)} {equation.sign} "
        if _formulas.plain(line) == value.shown:  # there was nothing to compute
            return [beginning, line[0] if getattr(line[0], "letter", "") else value]
        return [beginning, *line, " = ", value]

    return worked


# --- forward ------------------------------------------------------------------------------------


def shape_of(array: Any) -> str:
    return str(tuple(np.shape(array)))


def _repeated(data: np.ndarray, shape: tuple[int, ...]) -> str:
    """How an array was broadcast to a shape, in words."""
    extra = len(shape) - data.ndim
    axes = [*range(extra), *(extra + i for i, n in enumerate(data.shape) if n != shape[extra + i])]
    return f"along {'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"


def _operands(op: Any, equation: Equation | None) -> list[Operand]:
    """The arrays that an equation of an op mentions (or all inputs), under their letters."""
    given = [
        Operand(letter, x.name, x.data, x.key)
        for letter, x in zip(op.letters, op.inputs, strict=True)
        if hasattr(x, "key")
    ]
    if not equation:
        return given
    extra = [
        Operand(letter, letter, np.asarray(function(*op.arrays(), **op.options)))
        for letter, function in op.function.letters.items()
    ]
    numbers = [
        Operand(name, name, np.asarray(value))
        for name, value in op.options.items()
        if isinstance(value, int | float | np.ndarray) and not isinstance(value, bool)
    ]
    y = Operand(op.equations[0].letter, op.value.name, op.value.data, op.value.key)
    used = set(_formulas.names(equation.tree))
    return [o for o in (*given, y, *extra, *numbers) if o.letter in used]


def forward_part(op: Any) -> Part:
    y = op.value
    letter = op.function.formula.partition(" ")[0]
    result = Operand(letter, y.name, y.data, y.key)
    words = []
    if op.equations:
        equation, scope = op.equations[0], op.scope()
        meeting = set(_formulas.meeting(equation.tree))
        for o in _operands(op, equation):
            if o.letter in meeting and o.data.shape != y.data.shape:
                axes = _repeated(o.data, y.data.shape)
                words.append(f"{o.letter} {shape_of(o.data)} is repeated {axes} to {y.data.shape}.")
        part = Part("", equation, " ".join(words), _operands(op, equation), result)
        part.worked = _worker(equation, scope, letter, y.data)
        return part
    part = Part("", None, op.function.formula, _operands(op, None), result)
    if op.function.moves:
        part.worked = _moved_worker(op, letter)
    return part


def _moved_worker(op: Any, letter: str) -> Callable:
    sources, y = op.sources(), op.value.data

    def worked(at: tuple[int, ...]) -> Tokens:
        for name, x, source in zip(op.letters, op.arrays(), sources, strict=True):
            if source[at] >= 0:
                place = tuple(map(int, np.unravel_index(source[at], np.shape(x))))
                taken = _named(name, np.asarray(x), place, int(source[at]))
                return [f"{entry_of(letter, at)} = ", taken, " = ", number(y[at])]
        return [f"{entry_of(letter, at)} = ", number(y[at])]

    return worked


def _named(letter: str, data: np.ndarray, at: tuple[int, ...], place: int) -> Number:
    """An entry by its name instead of its number."""
    return Number(entry_of(letter, at), str(data[at]), letter, place)


def _taken_from(op: Any) -> str:
    *names, last = [x.name if hasattr(x, "key") else number(x).shown for x in op.inputs]
    options = [
        f"{name} = {_brief(value)}"
        for name, value in op.options.items()
        if value is not None and value is not False
    ]
    return "; ".join([f"{', '.join(names)} and {last}" if names else last, *options])


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= SHORT else f"an array {value.shape}"
    return str(value)


def _forward_step(op: Any, found: list[Remark]) -> Step:
    about = (op.function.__doc__ or "").partition("\n")[0]
    words = f"{op.function.__name__} of {_taken_from(op)}. {about}".strip()
    if op.path and op.path != op.value.name:
        words = f"In {op.path}, " + words
    notes = [r for r in found if r.about is op or r.about in op.inputs]
    return Step("forward", op.value.name, words, op.value.key, [forward_part(op)], notes)


# --- backward -----------------------------------------------------------------------------------


def arrived_part(passed: Any, value: Any, total: np.ndarray) -> Part | None:
    """The sum of what several uses sent back; None for a single use."""
    arrivals = passed.arrivals(value)
    if len(arrivals) < 2:
        return None
    first = arrivals if len(arrivals) <= ARRIVALS else arrivals[: ARRIVALS - 1]
    operands = [
        Operand(f"g{_formulas.subscript(i)}", f"from {op.value.name}", g)
        for i, (op, g) in enumerate(first, 1)
    ]
    scope = Scope({o.letter: o.data for o in operands})

    def worked(at: tuple[int, ...]) -> Tokens:
        line = scope.worked(("name", "g₁"), at)
        for o in operands[1:]:
            line += [" + ", *scope.worked(("name", o.letter), at, 4)]
        line += [f" + … ({len(arrivals) - len(first):,} more)"] if first is not arrivals else []
        return [f"{entry_of('g', at)} = ", *line, " = ", number(total[at])]

    return Part(
        f"{value.name} was used {len(arrivals)} times: what came back adds up",
        None,
        "",
        operands,
        Operand("g", f"gradient by {value.name}", total, value.key),
        worked,
    )


def _backward_step(passed: Any, flow: Any, last_arrivals: dict[Any, Any], notes: list) -> Step:
    op, y = flow.op, flow.op.value
    users = [user.value.name for user, _ in y.users if user.flows]
    if y is passed.root:
        words = "Backward begins here: g = 1, as the loss changes exactly as fast as itself."
        if passed.seed.size != 1 or passed.seed.reshape(-1)[0] != 1:
            words = "Backward begins here, with the gradient that it was given."
    else:
        listed = ", ".join(dict.fromkeys(users)) or "what used it"
        words = (
            f"Its turn has come, as all that used it ({listed}) had theirs: nothing more can "
            f"arrive. g is the gradient by {y.name}."
        )
    step = Step("backward", y.name, words, y.key, [], [r for r in notes if r.about is flow])
    upstream = Operand("g", f"gradient by {y.name}", flow.g, y.key)
    arrived = arrived_part(passed, y, flow.g) if y is not passed.root else None
    step.parts.append(arrived or Part("What arrives: the upstream gradient", result=upstream))
    for i, x in enumerate(op.inputs):
        if flow.products[i] is None or not hasattr(x, "key"):
            continue
        step.parts += product_parts(flow, i)
        if last_arrivals.get(x) is flow and x.made_by is None:
            total = passed.gradient(x)
            arrived = arrived_part(passed, x, total) if total is not None else None
            step.parts += [arrived] if arrived else []
    still = [
        f"∂{letter}"
        for letter, x, p in zip(op.letters, op.inputs, flow.products, strict=True)
        if p is None and hasattr(x, "key")
    ]
    if still:
        words = "is not computed: nothing there" if len(still) == 1 else "are not computed: none"
        step.words += f" {' and '.join(still)} {words} requires a gradient."
    return step


def product_parts(flow: Any, i: int) -> Iterator[Part]:
    """Of an input the local derivative where each entry has one, the product, and its sum."""
    op, x, letter = flow.op, flow.op.inputs[i], flow.op.letters[i]
    product, name = flow.products[i], f"∂{letter}"
    upstream = Operand("g", f"gradient by {op.value.name}", flow.g, op.value.key)
    goes_to, by = f"{name}, on to {x.name}", f"gradient by {x.name}"
    if not op.equations:
        derivative = op.function.derivatives[min(i, len(op.function.derivatives) - 1)]
        part = Part(goes_to, None, derivative, [upstream], Operand(name, by, product))
        if op.function.moves:
            part.worked = _moved_back_worker(op, i, name, flow.g, product)
    else:
        equation = op.equations[1 + i]
        y = op.equations[0].letter
        if _formulas.entrywise(equation.tree) and _formulas.entrywise(op.equations[0].tree):
            tree = _formulas.without_g(equation.tree)
            local = Equation("", f"∂{y}/∂{letter}", "=", tree)
            local = local._replace(text=f"{local.letter} = {_formulas.text(tree)}")
            slope = np.asarray(flow.scope.value(tree), flow.g.dtype)
            slope = np.broadcast_to(slope, flow.g.shape)
            yield Part(
                f"The local derivative: how {y} changes with {letter}",
                local,
                "",
                _operands(op, local),
                Operand(local.letter, "local derivative", slope),
                _worker(local, flow.scope, local.letter, slope),
            )
        operands = [upstream, *_operands(op, equation)]
        part = Part(goes_to, equation, "", operands, Operand(name, by, product))
        part.worked = _worker(equation, flow.scope, name, product)
    if product.shape == x.data.shape:
        part.result = Operand(name, by, product, x.key)
        yield part
        return
    yield part
    summed, axes = flow.summed(i), _repeated(x.data, product.shape)

    def worked(at: tuple[int, ...]) -> Tokens:
        terms = _formulas.sum_of(name, product, x.data.shape, at)
        return [f"{entry_of(name, at)} = ", *terms, " = ", number(summed[at])]

    yield Part(
        f"{name}, summed",
        None,
        f"{letter} {shape_of(x.data)} was repeated {axes}, so its gradient is the sum there.",
        [Operand(name, "before the sum", product)],
        Operand(name, by, summed, x.key),
        worked,
    )


def _moved_back_worker(op: Any, i: int, name: str, g: np.ndarray, product: np.ndarray) -> Callable:
    source = op.sources()[i]

    def worked(at: tuple[int, ...]) -> Tokens:
        flat = int(np.ravel_multi_index(at, product.shape)) if at else 0
        places = np.argwhere(source == flat)
        line: Tokens = [f"{entry_of(name, at)} = "]
        for k, spot in enumerate(places[:ARRIVALS]):
            index = tuple(map(int, spot))
            place = int(np.ravel_multi_index(index, g.shape)) if index else 0
            line += [" + "] * (k > 0) + [_named("g", g, index, place)]
        if len(places) > ARRIVALS:
            line.append(f" + … ({len(places) - ARRIVALS:,} more)")
        return [*line, " = ", number(product[at])] if len(places) else [*line, number(product[at])]

    return worked


def _check_step(walk: Any, passed: Any) -> Step | None:
    checked = walk.check(passed)
    if not checked:
        return None
    rows: list[list[str | Number]] = [
        [entry_of(c.value.name, c.at), number(c.backward), number(c.difference), relative_text(c)]
        for c in checked
    ]
    entries = sum(leaf.gradient.size for leaf in passed.leaves)
    words = (
        "Each gradient beside the slope of the loss itself: a weight is moved up and down by a "
        "little, and the recorded ops run again, in float64: (L(θ + h) − L(θ − h)) / 2h."
    )
    if len(rows) < entries:
        words += f" {len(rows):,} of {entries:,} entries: the largest gradients of each."
    head = ["entry", "backward", "central difference", "relative difference"]
    return Step("backward", "The check", words, None, table=(head, rows))


def relative_text(checked: Any) -> str:
    """A relative difference; below a bound it is rounding, and other on each machine."""
    bound = 1e-8 if checked.value.data.dtype == np.float64 else 1e-5
    x = checked.relative
    size = f"{max(x, bound):.0e}".replace("e-0", "e−")
    return f"< {size}" if x < bound else size


# --- update -------------------------------------------------------------------------------------


def update_step(update: Any, notes: list[Remark]) -> Step:
    name, rule = update.value.name, update.rule.__name__
    rate = f"η = {number(update.lr).shown}"
    schedule = update.options["lr"]
    if not isinstance(schedule, float):
        rate += f", by {schedule!r}"
    options = [
        f"{name} = {value!r}"
        for name, value in update.options.items()
        if name != "lr" and value is not False and (name != "weight_decay" or value)
    ]
    words = f"{rule}, update t = {update.t} of {name}: {', '.join([rate, *options])}."
    step = Step("update", name, words, update.value.key, [], notes)
    for equation, scope, value in update.lines:
        letters = dict.fromkeys(_formulas.names(equation.tree))
        operands = [
            Operand(x, "before" if x == equation.letter else x, np.asarray(scope.values[x]))
            for x in letters
            if np.ndim(scope.values.get(x))
        ]
        key = update.value.key if equation.letter == "θ" else None
        name = "after" if equation.letter in letters else equation.letter
        result = Operand(equation.letter, name, value, key)
        worked = _worker(equation, scope, equation.letter, value)
        step.parts.append(Part("", equation, "", operands, result, worked))
    if not update.lines:
        before = Operand("θ", "before", update.before)
        after = Operand("θ", "after", update.after, update.value.key)
        words = f"{rule} states no equations that can be worked out."
        step.parts.append(Part("", None, words, [before], after))
    return step


# --- the whole ----------------------------------------------------------------------------------


def steps(walk: Any) -> list[Step]:
    """The story: each op forward, each op backward, the check, each update, and a summary."""
    found = remarks(walk)
    told = _told(walk, found)
    story: list[Step] = []
    for event in walk.events:
        if event.kind == "op" and event in told:
            story.append(_forward_step(event, found))
        elif event.kind == "backward":
            last = {x: flow for flow in event.flows for x, p in _reached(flow) if p is not None}
            story += [
                _backward_step(event, flow, last, found) for flow in event.flows if flow.op in told
            ]
            check = _check_step(walk, event)
            story += [check] if check else []
        elif event.kind == "update":
            story.append(update_step(event, [r for r in found if r.about is event]))
    story.append(_summary(walk, found))
    return story


def _reached(flow: Any) -> Iterator[tuple[Any, Any]]:
    for x, product in zip(flow.op.inputs, flow.products, strict=True):
        if hasattr(x, "key"):
            yield x, product


def _told(walk: Any, found: list[Remark]) -> set[Any]:
    """The ops that are told: all, or of many the first, the last and those with a remark."""
    ops = walk.ops
    if len(ops) <= 2 * ENDS:
        return set(ops)
    return {*ops[:ENDS], *ops[-ENDS:], *[op for op in ops if any(r.about is op for r in found[:9])]}


def left_out(walk: Any) -> str:
    """What a long walkthrough leaves out, in words."""
    total, told = len(walk.ops), len(_told(walk, remarks(walk)))
    if told == total:
        return ""
    return (
        f"{total - told:,} of {total:,} ops in the middle are left out; "
        "walk.explain(name, index) tells of any."
    )


def _summary(walk: Any, found: list[Remark]) -> Step:
    before, after = walk.loss()
    words = f"{len(walk.ops):,} op{'s' * (len(walk.ops) != 1)} ran."
    if before is not None and before.size == 1:
        words += f" The loss was {number(before.reshape(-1)[0]).shown}"
        words += (
            f", and is {number(after.reshape(-1)[0]).shown} after the update, on the same data."
            if after is not None
            else "."
        )
    sizes = norms(walk)
    largest = max((size for _, size in sizes if np.isfinite(size)), default=0) or 1
    bars = [
        (value.name, number(size), min(size / largest, 1.0) if np.isfinite(size) else 1.0)
        for value, size in sizes[:60]
    ]
    return Step("summary", "Summary", words, notes=found, bars=bars)


def _drawn(walk: Any) -> tuple[list[_drawing.Box], list[_drawing.Arrow]]:
    """The boxes and arrows of the graph; one box stands for all ops that are left out."""
    told = _told(walk, remarks(walk))
    boxes: dict[str, _drawing.Box] = {}
    arrows: dict[Any, _drawing.Arrow] = {}
    for op in walk.ops:
        target = op.value.key if op in told else "more"
        for i, x in enumerate(op.inputs):
            if not hasattr(x, "key") or (op not in told and x.made_by not in told):
                continue  # numbers, and what leads from one left out to the next
            source = x.key if not x.made_by or x.made_by in told else "more"
            if source not in boxes:
                boxes[source] = _drawing.Box(source, x.kind, x.name, shape_of(x.data))
            which = i if target != "more" else 0
            arrows[source, target, which] = _drawing.Arrow(source, target, shape_of(x.data))
        if op in told:
            boxes[target] = _drawing.Box(target, "op", op.value.name, _under(op))
        elif target not in boxes:
            boxes[target] = _drawing.Box(target, "more", "…", f"{len(walk.ops) - len(told):,} ops")
    return list(boxes.values()), list(arrows.values())


def graph(walk: Any) -> str:
    """The graph of the ops as SVG."""
    return _drawing.draw(*_drawn(walk), f"Graph of {len(walk.ops):,} ops")


def boxes(walk: Any) -> set[str]:
    """The keys of the boxes that the graph shows."""
    return {box.key for box in _drawn(walk)[0]}


def _under(op: Any) -> str:
    """The line under an op's name in the graph."""
    formula = (op.equations[0].text if op.equations else op.function.formula).partition(" = ")[2]
    return formula if len(formula) <= 22 else op.function.__name__
