"""The walkthrough as a story: a record told in steps, and drawn as a graph.

A `Step` is what one looks at at a time: an op forward, an op backward, a parameter's update.
`minidl._text` and `minidl.viz.page` show the same steps.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl import _drawing
from minidl._format import Number, number
from minidl.schedulers import Schedule
from minidl.walkthrough import formulas as _formulas
from minidl.walkthrough import parts as _parts
from minidl.walkthrough.parts import Part, entry_of, shape_of
from minidl.walkthrough.remarks import Remark, norms, remarks

ENDS = 25  # of many ops, or updates, the first and the last so many are told
BARS = 50  # parameters whose gradients are compared
FEW = 8  # entries of an option that are told


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


class Story:
    """What text, Markdown, page and graph show of a walkthrough, made once."""

    def __init__(self, walk: Any) -> None:
        self.walk = walk

    @functools.cached_property
    def remarks(self) -> list[Remark]:
        return remarks(self.walk)

    @functools.cached_property
    def told(self) -> set[Any]:
        """The ops and updates that are told: of many the first, the last, those with a remark."""
        ops, updates = self.walk.ops, self.walk.updates
        told = {*ops[:ENDS], *ops[-ENDS:], *updates[:ENDS], *updates[-ENDS:]}
        return told | {r.about for r in self.remarks if getattr(r.about, "kind", "") == "op"}

    @functools.cached_property
    def left_out(self) -> str:
        """What is not told, in words; "" if all is."""
        everything = (self.walk.ops, "ops"), (self.walk.updates, "updates")
        missing = [
            f"{len(events) - len(self.told & set(events)):,} of {len(events):,} {words}"
            for events, words in everything
            if not self.told >= set(events)
        ]
        if not missing:
            return ""
        return (
            f"{' and '.join(missing)} in the middle are left out; walk.explain(name, index) tells "
            "of any."
        )

    @functools.cached_property
    def steps(self) -> list[Step]:
        """Each op forward, each op backward, the check, each update, and a summary."""
        return [step for event in self.walk.events for step in self._steps_of(event)] + [
            self._summary()
        ]

    def _steps_of(self, event: Any) -> Iterator[Step]:
        if event.kind == "backward":
            last = {x: flow for flow in event.flows for x in _reached(flow)}
            for flow in event.flows:
                if flow.op in self.told:
                    yield self._backward(event, flow, last)
            if any(flow.op in self.told for flow in event.flows):
                yield from self._check(event)
        elif event in self.told:
            yield self._forward(event) if event.kind == "op" else self._update(event)

    def _forward(self, op: Any) -> Step:
        words = f"{op.function.__name__} of {_taken_from(op)}. {_about(op)}".strip()
        if op.path and op.path != op.value.base:
            words = f"In {op.path}, {words}"
        notes = [r for r in self.remarks if r.about is op or r.about in op.inputs]
        phase = "update" if op.by_hand else "forward"
        parts = _parts.forward_parts(op)
        return Step(phase, op.value.name, words, op.value.key, parts, notes)

    def _backward(self, passed: Any, flow: Any, last: dict[Any, Any]) -> Step:
        op, y = flow.op, flow.op.value
        if y is passed.root:
            words = "Backward begins here: g = 1, as the loss changes exactly as fast as itself."
            if passed.seed.size != 1 or passed.seed.reshape(-1)[0] != 1:
                words = "Backward begins here, with the gradient that it was given."
        else:
            users = dict.fromkeys(user.value.name for user, _ in y.users if user.flows)
            words = (
                f"Its turn has come, as all that used it ({', '.join(users)}) had theirs: nothing "
                f"more can arrive. g is the gradient by {y.name}."
            )
        parts = [_parts.upstream_part(flow, passed)]
        still = []
        for i, x in enumerate(op.inputs):
            if flow.products[i] is not None and hasattr(x, "key"):
                parts += _parts.product_parts(flow, i)
                if last.get(x) is flow:
                    parts += _at_a_leaf(passed, x)
            elif hasattr(x, "key"):
                still.append(f"∂{op.letters[i]}")
        if still:
            verb = "is" if len(still) == 1 else "are"
            words += f" {' and '.join(still)} {verb} not computed: nothing there requires a "
            words += "gradient."
        notes = [r for r in self.remarks if r.about is flow]
        return Step("backward", y.name, words, y.key, parts, notes)

    def _check(self, passed: Any) -> Iterator[Step]:
        checked = self.walk.check(passed)
        if not checked:
            return
        rows: list[list[str | Number]] = [
            [
                entry_of(c.value.name, c.at),
                number(c.backward, 8),
                number(c.difference, 8),
                relative_text(c),
            ]
            for c in checked
        ]
        words = (
            "Each gradient beside the slope of the loss itself: a weight is moved up and down by a "
            "little, and the recorded ops run again, in float64: (L(θ + h) − L(θ − h)) / 2h."
        )
        entries = sum(leaf.gradient.size for leaf in passed.leaves)
        if len(rows) < entries:
            words += f" Of {entries:,} entries these are {len(rows):,} with large gradients."
        if any(c.value.data.dtype == np.float32 for c in checked):
            words += " Backward ran in float32, which has some 7 digits."
        apart = [entry_of(c.value.name, c.at) for c in checked if not c.relative < 1e-3]
        if apart:
            words += (
                f" They differ for {', '.join(apart[:3])}{' …' if len(apart) > 3 else ''}: a "
                "corner of the function, such as relu at 0 or a tie of two maxima, has a slope on "
                "each side, and float32 loses digits where large numbers cancel."
            )
        head = ["entry", "backward", "central difference", "relative difference"]
        yield Step("backward", "The check", words, None, table=(head, rows))

    def _update(self, update: Any) -> Step:
        notes = [r for r in self.remarks if r.about is update]
        name, parts = update.value.name, _parts.update_parts(update)
        return Step("update", name, update_words(update), update.value.key, parts, notes)

    def _summary(self) -> Step:
        walk = self.walk
        before, after = walk.loss()
        words = f"{len(walk.ops):,} op{'s' * (len(walk.ops) != 1)} ran."
        if before is not None and before.size == 1:
            words += f" The loss was {number(before.reshape(-1)[0]).shown}"
            if after is not None:
                after_text = number(after.reshape(-1)[0]).shown
                words += f", and is {after_text} after the update, on the same data"
            words += "."
        sizes = norms(walk)
        if len(sizes) > BARS:
            sizes = [*sizes[: BARS // 2], *sizes[-BARS // 2 :]]
        largest = max((size for _, size in sizes if np.isfinite(size)), default=0) or 1
        bars = [
            (value.name, number(size), min(size / largest, 1.0) if np.isfinite(size) else 1.0)
            for value, size in sizes
        ]
        return Step("summary", "Summary", words, notes=self.remarks, bars=bars)

    # the graph

    @functools.cached_property
    def drawn(self) -> tuple[list[_drawing.Box], list[_drawing.Arrow]]:
        """The boxes and arrows of the graph; one box stands for all ops that are left out."""
        told, ops = self.told, self.walk.ops
        boxes: dict[str, _drawing.Box] = {}
        arrows: dict[Any, _drawing.Arrow] = {}
        hidden = len(ops) - len(told & set(ops))
        for op in ops:
            target = op.value.key if op in told else "more"
            for i, x in enumerate(op.inputs):
                if not hasattr(x, "key") or (op not in told and x.made_by not in told):
                    continue  # numbers, and what leads from one left out to the next
                source = x.key if not x.made_by or x.made_by in told else "more"
                if source not in boxes:
                    boxes[source] = self._box(x, shape_of(x.data))
                which = i if target != "more" else 0
                arrows[source, target, which] = _drawing.Arrow(source, target, shape_of(x.data))
            if op in told:
                boxes[target] = self._box(op.value, _under(op))
            elif target not in boxes:
                boxes[target] = _drawing.Box(target, "more", "…", f"{hidden:,} ops")
        for update in self.walk.updates:
            if update in told and update.value.key not in boxes and not update.value.users:
                value = update.value
                boxes[value.key] = self._box(value, shape_of(value.data))
        return list(boxes.values()), list(arrows.values())

    def _box(self, value: Any, under: str) -> _drawing.Box:
        """The box of a value, marked if there is a remark on it."""
        mark = "⚠ " if {value, value.made_by} & self._pointed_at else ""
        return _drawing.Box(value.key, value.kind, mark + value.name, under)

    @functools.cached_property
    def _pointed_at(self) -> set[Any]:
        """The boxes and ops that there are remarks on."""
        return {getattr(r.about, "op", r.about) for r in self.remarks} - {None}

    def graph(self) -> str:
        """The graph of the ops as SVG."""
        return _drawing.draw(*self.drawn, f"Graph of {len(self.walk.ops):,} ops")


# --- words --------------------------------------------------------------------------------------


def _taken_from(op: Any) -> str:
    *names, last = [x.name if hasattr(x, "key") else number(x).shown for x in op.inputs]
    options = [
        f"{name} = {_brief(value)}"
        for name, value in op.options.items()
        if value is not None and value is not False and repr(value) != "0.0"
    ]
    return "; ".join([f"{', '.join(names)} and {last}" if names else last, *options])


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= FEW else f"an array {value.shape}"
    return str(value)


def _about(op: Any) -> str:
    """What the op is, in the first words of its documentation."""
    line = (op.function.__doc__ or "").partition("\n")[0].partition(";")[0]
    return line.replace("`", "").rstrip(".") + "." if line else ""


def _under(op: Any) -> str:
    """The line under an op's name in the graph."""
    formula = (op.equations[0].text if op.equations else op.function.formula).partition(" = ")[2]
    return formula if len(formula) <= 22 else op.function.__name__


def _reached(flow: Any) -> Iterator[Any]:
    """The inputs that a gradient went on to."""
    for x, product in zip(flow.op.inputs, flow.products, strict=True):
        if hasattr(x, "key") and product is not None:
            yield x


def _at_a_leaf(passed: Any, value: Any) -> Iterator[Part]:
    """What adds up when all of a leaf's gradient has arrived."""
    for leaf in passed.leaves:
        if leaf.value is value:
            parts = _parts.arrived_part(passed, value, leaf.gradient), _parts.added_part(leaf)
            yield from filter(None, parts)


def relative_text(checked: Any) -> str:
    """A relative difference; below a bound it is rounding, and other on each machine."""
    bound = 1e-8 if checked.value.data.dtype == np.float64 else 1e-5
    x = checked.relative
    if not np.isfinite(x):
        return number(x).shown
    size = f"{max(x, bound):.0e}".replace("e-0", "e−").replace("e-", "e−").replace("e+0", "e")
    return f"< {size}" if x < bound else size


def update_words(update: Any) -> str:
    """The rule, the number of the update, and what the letters of its equations stand for."""
    schedule = update.options["lr"]
    rate = f"η = {number(update.lr).shown}"
    if isinstance(schedule, Schedule):
        rate = f"η = {schedule!r} at t = {update.step}: {number(update.lr).shown}"
    letters = dict.fromkeys(
        letter for equation, *_ in update.lines for letter in _formulas.names(equation.tree)
    )
    scope = update.lines[0][1] if update.lines else None
    options = [
        f"{letter} = {number(scope.values[letter]).shown}"
        for letter in letters
        if scope and update.rule.symbols.get(letter, letter) in update.options and letter != "η"
    ]
    flags = [name for name, value in update.options.items() if value is True]
    return (
        f"{update.rule.__name__}, update t = {update.t} of {update.value.name}: "
        f"{', '.join([rate, *options, *flags])}."
    )
