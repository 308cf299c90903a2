"""Draw the graph of a record as SVG; for the walkthrough's page and for `save`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from minidl import _drawing
from minidl._drawing import Arrow, Box
from minidl.walkthrough.parts import shape_text
from minidl.walkthrough.record import Backward, OpCall, OpGradient, Record, Value
from minidl.walkthrough.steps import Presentation

MORE = "more"  # the key of the box for all ops that are omitted
WIDEST_FORMULA = 22  # characters that fit into a box


def as_svg(presentation: Presentation) -> str:
    """The graph of the ops as SVG."""
    ops = len(presentation.record.ops)
    return _drawing.draw(*boxes_and_arrows(presentation), f"Graph of {ops:,} ops")


def boxes_and_arrows(presentation: Presentation) -> tuple[list[Box], list[Arrow]]:
    """The boxes and arrows of the graph; one box stands for all ops that are omitted."""
    ops, shown = presentation.record.ops, presentation.shown
    marked = set(_marked(presentation))
    boxes: dict[str, Box] = {}
    arrows: dict[tuple[str, str, int], Arrow] = {}
    omitted = len({op for op in ops if not op.in_update} - shown)
    for op in ops:
        if op.in_update:
            continue
        target = op.value.key if op in shown else MORE
        for i, x in enumerate([*op.inputs, op.labels]):
            if not isinstance(x, Value) or (op not in shown and x.producer not in shown):
                continue  # numbers, and inputs of an omitted op that are omitted, too
            source = x.key if not x.producer or x.producer in shown else MORE
            if source not in boxes:
                boxes[source] = _box(x, shape_text(x.data), marked)
            number = i if target != MORE else 0
            arrows[source, target, number] = Arrow(source, target, shape_text(x.data))
        if op in shown:
            boxes[target] = _box(op.value, _subtitle(op), marked)
        elif target not in boxes:
            boxes[target] = Box(target, "more", "…", f"{omitted:,} ops")
    for update in presentation.record.updates:
        value = update.value
        if update in shown and value.key not in boxes and not value.users:
            boxes[value.key] = _box(value, shape_text(value.data), marked)
    updates = [(root.key, value.key) for root, value in _updated(presentation.record)]
    ends = [pair for pair in updates if boxes.keys() >= set(pair)]
    return list(boxes.values()), [*arrows.values(), *(Arrow(*pair, "update") for pair in ends)]


def _updated(record: Record) -> Iterator[tuple[Value, Value]]:
    """Where backward started, and each parameter that was updated then and is used again."""
    root, seen = None, set[Value]()
    for event in record.events:
        if isinstance(event, Backward):
            root = event.root
        for x in event.inputs if root and isinstance(event, OpCall) else ():
            if isinstance(x, Value) and x.kind == "parameter" and x.name != x.base_name:
                if root and x not in seen:
                    yield root, x
                seen.add(x)


def _marked(presentation: Presentation) -> Iterable[Value]:
    """The values that have a remark, on themselves or on the op that computes them."""
    for remark in presentation.remarks:
        about = remark.about.op if isinstance(remark.about, OpGradient) else remark.about
        if isinstance(about, OpCall):
            yield about.value
        elif isinstance(about, Value):
            yield about


def _box(value: Value, subtitle: str, marked: set[Value]) -> Box:
    mark = "⚠ " if value in marked else ""
    return Box(value.key, value.kind, mark + value.name, subtitle)


def _subtitle(op: OpCall) -> str:
    """The op's formula without its left side if it is short, else the op's name."""
    line = op.equations[0].text if op.equations else op.function.formula
    formula = line.partition(" = ")[2]
    return formula if len(formula) <= WIDEST_FORMULA else op.name
