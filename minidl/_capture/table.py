"""A plan as a table: call by call, with shapes and what it costs."""

import linecache
from collections.abc import Sequence
from typing import Any

from minidl._format import printable

WIDTH = 36  # of a source line


def as_text(plan: Any) -> str:
    """The table of a Recording."""
    rows: list[tuple[str, ...]] = [("call", "of", "inputs", "outputs", "µs", "line")]
    many = {one.call: f"{len(one.params)} parameters" for one in plan.updates}
    last: Any = None
    calls = zip(plan.notes, plan.labels, durations(plan), strict=True)
    for i, (note, label, time) in enumerate(calls):
        shapes = [many.get(i) or _shapes(x) for x in (note.inputs, note.outputs)]
        place = ""
        if note.where != last:
            line = linecache.getline(*note.where).strip()
            place = f"{note.where[1]} {line if len(line) <= WIDTH else line[: WIDTH - 1] + '…'}"
        rows.append((note.name, label, *shapes, "" if time is None else f"{time:.2f}", place))
        last = note.where
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return printable("\n".join(lines))


def durations(plan: Any) -> list[float | None]:
    """For each call the median over the measured replays in µs; None before the first replay."""
    return [1e6 * sorted(s)[len(s) // 2] if s else None for s in plan.seconds]


def _shapes(arrays: Sequence[Any]) -> str:
    return " ".join("×".join(map(str, x[0])) or "1" for x in arrays)
