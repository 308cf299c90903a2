"""Turn a record into steps with captions; for everything that shows a walkthrough.

One `Step` is shown at a time: an op forward, an op backward, the update of a parameter. Text,
Markdown and page show the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from minidl._format import Number, number, printed
from minidl.schedulers import Schedule
from minidl.walkthrough import parts
from minidl.walkthrough.formulas import entry_name
from minidl.walkthrough.parser import names
from minidl.walkthrough.parts import Part
from minidl.walkthrough.record import (
    Backward,
    Checked,
    Event,
    OpCall,
    OpGradient,
    Record,
    Update,
    Value,
    kept,
)
from minidl.walkthrough.remarks import Remark, find_remarks, gradient_sizes

ENDS = 25  # of many ops or updates so many at each end are shown
BARS = 50  # parameters whose gradients are compared
FEW = 8  # entries of an option that are shown

Phase = Literal["forward", "backward", "update", "summary"]


@printed
class Table(NamedTuple):
    """A table of texts and numbers."""

    head: list[str]
    rows: list[list[str | Number]]


@printed
class Bar(NamedTuple):
    """A bar of a bar chart; `fraction` is its length relative to the longest."""

    name: str
    size: Number
    fraction: float


@printed
@dataclass
class Step:
    """One step: its title, its caption, and what belongs to it.

    key    of the node in the graph that it is about
    notes  the remarks on it
    """

    phase: Phase
    title: str
    caption: str
    key: str | None = None
    parts: list[Part] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)
    table: Table | None = None
    bars: list[Bar] = field(default_factory=list)


class Presentation:
    """What is shown of a record: its steps and remarks, each computed once."""

    def __init__(self, record: Record) -> None:
        self.record = record

    @kept
    def remarks(self) -> list[Remark]:
        return find_remarks(self.record)

    @kept
    def title(self) -> str:
        """What was recorded: the value that backward started from, the networks, loss and rules."""
        record, title = self.record, "Walkthrough"
        about = [*record.networks]
        if root := record.backwards[-1].root if record.backwards else None:
            title += f" of {root.name}"
            if root.producer and not root.name.endswith(root.producer.name):
                about.append(root.producer.name)
        about += [update.rule.__name__ for update in record.updates]
        return f"{title}: {', '.join(dict.fromkeys(about))}" if about else title

    @kept
    def shown(self) -> set[Event]:
        """The ops and updates that are shown: of many the first, the last, those with a remark."""
        ops, updates = self.record.ops, self.record.updates
        ends: set[Event] = {*ops[:ENDS], *ops[-ENDS:], *updates[:ENDS], *updates[-ENDS:]}
        return ends | {r.about for r in self.remarks if isinstance(r.about, OpCall)}

    @kept
    def omitted(self) -> str:
        """A sentence on the ops and updates that are not shown; "" if all are."""
        counts = []
        kinds: list[tuple[Sequence[Event], str]]
        kinds = [(self.record.ops, "ops"), (self.record.updates, "updates")]
        for events, word in kinds:
            if missing := set(events) - self.shown:
                counts.append(f"{len(missing):,} of {len(events):,} {word}")
        if not counts:
            return ""
        return (
            f"{' and '.join(counts)} in the middle are omitted; walk.explain(name, index) shows "
            "any of them."
        )

    @kept
    def steps(self) -> list[Step]:
        """Each op forward, each op backward, the gradient check, each update, and a summary."""
        steps = [step for event in self.record.events for step in self._steps_of(event)]
        return [*steps, self._summary()]

    def _steps_of(self, event: Event) -> Iterator[Step]:
        if isinstance(event, Backward):
            yield from self._backward_steps(event)
        elif event in self.shown:
            yield self._forward(event) if isinstance(event, OpCall) else self._update(event)

    def _forward(self, op: OpCall) -> Step:
        caption = f"{op.name} of {_inputs_text(op)}. {_description(op)}".strip()
        if op.path and op.path != op.value.base_name:
            caption = f"In {op.path}, {caption}"
        notes = [r for r in self.remarks if r.about is op or r.about in op.inputs]
        phase: Phase = "update" if op.by_hand else "forward"
        about, forward_parts = op.value, parts.forward_parts(op)
        if op.updated:
            about, part = op.updated, forward_parts[-1]
            part.result = part.result and part.result._replace(name="after", key=about.key)
            caption = f"{about.name} is updated by hand: {caption}"
        return Step(phase, about.name, caption, about.key, forward_parts, notes)

    def _backward_steps(self, backward: Backward) -> Iterator[Step]:
        shown = [g for g in backward.op_gradients if g.op in self.shown]
        last = {x: g for g in backward.op_gradients for _, x, _ in g.inputs()}
        for op_gradient in shown:
            complete = [x for _, x, _ in op_gradient.inputs() if last[x] is op_gradient]
            yield self._backward(backward, op_gradient, complete)
        if shown and (checked := self.record.check(backward)):
            yield _check(backward, checked)

    def _backward(self, backward: Backward, op_gradient: OpGradient, complete: list[Value]) -> Step:
        """The step of one op; `complete` are the inputs whose gradient is complete after it."""
        op, y, letter = op_gradient.op, op_gradient.op.value, backward.letter
        if y is not backward.root:
            users = dict.fromkeys(user.value.name for user, _ in y.users if user.op_gradients)
            caption = (
                f"Every op that uses {y.name} ({', '.join(users)}) is done, so its gradient g is "
                "complete."
            )
        elif backward.seed.size == 1 and backward.seed.item() == 1:
            caption = (
                f"Backward starts here: {letter} is {y.name}, and g = 1, the derivative of "
                f"{y.name} with respect to itself."
            )
        else:
            caption = (
                "Backward starts here, with the gradient g that was passed to it: "
                f"{letter} is the sum of g · {y.name}."
            )
        step_parts = [parts.upstream_part(op_gradient, backward)]
        skipped = []
        for i, x in enumerate(op.inputs):
            if isinstance(x, Value) and op_gradient.input_grads[i] is None:
                skipped.append(f"∂{letter}/∂{op.input_names[i]}")
            elif isinstance(x, Value):
                step_parts += parts.input_gradient_parts(op_gradient, i, letter)
                step_parts += _leaf_parts(backward, x) if x in complete else []
        if skipped:
            verb = "is" if len(skipped) == 1 else "are"
            caption += f" {' and '.join(skipped)} {verb} not computed, because nothing there "
            caption += "requires a gradient."
        notes = [r for r in self.remarks if r.about is op_gradient]
        return Step("backward", y.name, caption, y.key, step_parts, notes)

    def _update(self, update: Update) -> Step:
        notes = [r for r in self.remarks if r.about is update]
        value, update_parts = update.value, parts.update_parts(update)
        return Step("update", value.name, update_caption(update), value.key, update_parts, notes)

    def _summary(self) -> Step:
        ops = sum(not op.in_update for op in self.record.ops)
        before, after = self.record.loss()
        caption = f"{ops:,} op{'s' * (ops != 1)} ran."
        if before is not None and before.size == 1:
            caption += f" The loss was {number(before.reshape(-1)[0]).shown}"
            if after is not None:
                still = "still " if np.array_equal(before, after) else ""
                caption += f"; after the update it is {still}{number(after.reshape(-1)[0]).shown} "
                caption += "on the same data"
            caption += "."
        sizes = gradient_sizes(self.record)
        if len(sizes) > BARS:
            sizes = [*sizes[: BARS // 2], *sizes[-BARS // 2 :]]
        largest = max((size for _, size in sizes if np.isfinite(size)), default=0) or 1
        bars = [
            Bar(value.name, number(size), min(size / largest, 1.0) if np.isfinite(size) else 1.0)
            for value, size in sizes
        ]
        return Step("summary", "Summary", caption, notes=self.remarks, bars=bars)


# --- the gradient check -------------------------------------------------------------------------


def _check(backward: Backward, checked: list[Checked]) -> Step:
    rows: list[list[str | Number]] = [
        [
            entry_name(c.value.name, c.at),
            number(c.backward, 8),
            number(c.difference, 8),
            relative_text(c),
        ]
        for c in checked
    ]
    caption = (
        "Each gradient is compared with a central difference: the parameter is moved up and down "
        "by h, the recorded ops run again in float64, and the slope is (L(θ + h) − L(θ − h)) / 2h."
    )
    entries = sum(leaf.gradient.size for leaf in backward.leaves)
    if len(rows) < entries:
        caption += f" The table has {len(rows):,} of {entries:,} entries, with large gradients."
    if any(c.value.data.dtype == np.float32 for c in checked):
        caption += " Backward ran in float32, which has about 7 digits."
    apart = [entry_name(c.value.name, c.at) for c in checked if not c.relative < 1e-3]
    if apart:
        caption += (
            f" They differ for {', '.join(apart[:3])}{' …' if len(apart) > 3 else ''}: at a kink, "
            "such as relu at 0 or a tie of two maxima, the slopes on both sides differ, and "
            "float32 loses digits where large numbers cancel."
        )
    head = ["entry", "backward", "central difference", "relative difference"]
    return Step("backward", "Gradient check", caption, table=Table(head, rows))


def relative_text(checked: Checked) -> str:
    """A relative difference; rounding errors, which depend on the machine, are only bounded."""
    bound = 1e-8 if checked.value.data.dtype == np.float64 else 1e-5
    x = checked.relative
    if not np.isfinite(x):
        return number(x).shown
    size = f"{max(x, bound):.0e}".replace("e-0", "e−").replace("e-", "e−").replace("e+0", "e")
    return f"< {size}" if x < bound else size


# --- captions -----------------------------------------------------------------------------------


def _inputs_text(op: OpCall) -> str:
    """The inputs of an op and its options, as "x and w; axis = 1"."""
    inputs = [*op.inputs, op.labels] if op.labels else op.inputs
    *first, last = [x.name if isinstance(x, Value) else number(x).shown for x in inputs]
    options = [
        f"{name} = {_option_text(value)}"
        for name, value in op.options.items()
        if not (op.labels and name == "target")
        if value is not None and value is not False and repr(value) != "0.0"
    ]
    return "; ".join([f"{', '.join(first)} and {last}" if first else last, *options])


def _option_text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= FEW else f"an array {value.shape}"
    return str(value)


def _description(op: OpCall) -> str:
    """What the op is: the start of its documentation."""
    line = (op.function.__doc__ or "").partition("\n")[0].partition(";")[0]
    return line.replace("`", "").rstrip(".") + "." if line else ""


def _leaf_parts(backward: Backward, value: Value) -> Iterator[Part]:
    """The sums of a leaf whose gradient is complete."""
    for leaf in backward.leaves:
        if leaf.value is value:
            sums = parts.sum_part(backward, value, leaf.gradient), parts.accumulation_part(leaf)
            yield from filter(None, sums)


def update_caption(update: Update) -> str:
    """The rule, the number of the update, and the values of the options in its equations."""
    schedule = update.options["lr"]
    rate = f"η = {number(update.lr).shown}"
    if isinstance(schedule, Schedule):
        rate += f" by {type(schedule).__name__} at t = {update.step}"
    symbols = dict.fromkeys(s for line in update.lines for s in names(line.equation.tree))
    values = update.lines[0].scope.values if update.lines else {}
    options = [
        f"{symbol} = {number(values[symbol]).shown}"
        for symbol in symbols
        if update.rule.symbols.get(symbol, symbol) in update.options and symbol != "η"
    ]
    flags = [name for name, value in update.options.items() if value is True]
    caption = (
        f"{update.rule.__name__}, update t = {update.t} of {update.value.name}: "
        f"{', '.join([rate, *options, *flags])}."
    )
    if not update.changes:
        reason = "η is 0" if update.lr == 0 else "" if update.gradient.any() else "g is 0"
        caption += f" θ does not change{', because ' * bool(reason)}{reason}."
    return caption
