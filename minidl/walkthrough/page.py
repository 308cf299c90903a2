"""Make the page of a walkthrough: one HTML file, whose script shows the steps from its JSON."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl import _page
from minidl._format import Number, number
from minidl.walkthrough import parts, typesetting
from minidl.walkthrough.formulas import Index, index_text
from minidl.walkthrough.graph import as_svg, boxes_and_arrows
from minidl.walkthrough.parts import Operand, Part
from minidl.walkthrough.steps import Presentation, Step
from minidl.walkthrough.text import as_text

ROWS, COLUMNS = 16, 8  # of the largest array that is shown whole; a vector may have 16 entries
CORNER = 4  # rows and columns of the corner of a larger one, beside a heat map
HEAT = 48  # rows and columns of a heat map at most
# at most in one page: entries of large arrays, worked lines, heat maps
EMBEDDED, LINES, HEATS = 500_000, 10_000, 200

JSON = dict[str, Any]


def as_html(presentation: Presentation) -> str:
    """The page of a walkthrough."""
    return _page.render(
        "minidl.walkthrough",
        "walkthrough.html.j2",
        _Data(presentation).page(),
        title=presentation.title,
        graph=as_svg(presentation),
        text=as_text(presentation),
    )


def as_frame(presentation: Presentation, height: int = 720) -> str:
    """The page in an iframe, for a notebook."""
    return _page.framed(as_html(presentation), presentation.title, height)


class _Data:
    """The JSON of the page; each array is in it once and is referred to by its number."""

    def __init__(self, presentation: Presentation) -> None:
        self.presentation, self.record = presentation, presentation.record
        self.keys = {value.name: value.key for value in self.record.values}
        self.arrays: list[JSON] = []
        self.numbers: dict[int, tuple[int, np.ndarray]] = {}  # by id of the array, kept alive
        self.entries_left, self.lines_left, self.heats_left = EMBEDDED, LINES, HEATS

    def page(self) -> JSON:
        before, after = self.record.loss()
        return {
            "title": self.presentation.title,
            "omitted": self.presentation.omitted or None,
            "loss": {"before": _scalar(before), "after": _scalar(after)},
            "nodes": self.nodes(),
            "steps": [self.step(step) for step in self.presentation.steps],
            "arrays": self.arrays,
        }

    def nodes(self) -> JSON:
        """The nodes of the graph; a leaf's steps include those of the ops that use it."""
        steps: dict[str | None, list[int]] = {}
        for i, step in enumerate(self.presentation.steps):
            steps.setdefault(step.key, []).append(i)
        after = {update.value.key: update.after for update in self.record.updates}
        after |= {value.key: op.value.data for value, op in self.record._updates_by_hand}
        drawn = {box.key for box in boxes_and_arrows(self.presentation)[0]}
        nodes = {}
        for value in self.record.values:
            if value.key not in drawn:
                continue
            gradients = [backward.gradient(value) for backward in self.record.backwards]
            gradient = next((g for g in reversed(gradients) if g is not None), None)
            name = value.name
            users = [] if value.producer else [*(op for op, _ in value.users), *value.label_of]
            keys = {value.key, *(user.value.key for user in users)}
            nodes[value.key] = {
                "name": name,
                "kind": value.kind,
                "op": value.producer.name if value.producer else None,
                "shape": str(value.data.shape),
                "value": self.array(name, value.data),
                "gradient": self.array_or_none(parts.gradient_name(value), gradient),
                "after": self.array_or_none(f"{name} after the update", after.get(value.key)),
                "steps": sorted(i for key in keys for i in steps.get(key, [])),
            }
        return nodes

    def step(self, step: Step) -> JSON:
        table = step.table and {
            "head": step.table.head,
            "rows": [[_token(cell) for cell in row] for row in step.table.rows],
        }
        bars = [
            {
                "label": bar.name,
                "number": bar.size[:2],
                "fraction": bar.fraction,
                "node": self.keys.get(bar.name),
            }
            for bar in step.bars
        ]
        return {
            "phase": step.phase,
            "node": step.key,
            "title": step.title,
            "caption": step.caption,
            "parts": [self.part(part) for part in step.parts],
            "notes": [{"title": note.title, "text": note.text} for note in step.notes],
            "table": table or None,
            "bars": bars or None,
        }

    def part(self, part: Part) -> JSON:
        formula = None
        if part.equation:
            formula = {"text": part.equation.text, "mathml": typesetting.mathml(part.equation)}
        worked = {}
        if part.worked and part.result:
            data = part.result.data
            whole = _is_whole(data) and data.size <= self.lines_left
            entries = np.ndindex(data.shape) if whole else _corner(data.shape)
            worked = {index_text(at): [_token(t) for t in part.worked(at)] for at in entries}
        self.lines_left -= len(worked)
        return {
            "heading": part.heading,
            "formula": formula,
            "caption": part.caption or None,
            "operands": [self.operand(o) for o in part.operands],
            "result": self.operand(part.result) if part.result else None,
            "worked": worked,
        }

    def operand(self, o: Operand) -> JSON:
        return {
            "symbol": o.symbol,
            "name": o.name,
            "array": self.array(o.name, o.data),
            "node": o.key,
        }

    def array_or_none(self, name: str, data: np.ndarray | None) -> int | None:
        return None if data is None else self.array(name, data)

    def array(self, name: str, data: np.ndarray) -> int:
        """The number of an array on the page."""
        if id(data) not in self.numbers:
            self.numbers[id(data)] = len(self.arrays), data
            self.arrays.append(self.described(name, data))
        return self.numbers[id(data)][0]

    def described(self, name: str, data: np.ndarray) -> JSON:
        """An array as the page holds it: the numbers shown, its extremes, and all values if few."""
        matrix = parts.as_matrix(data)
        whole = _is_whole(data)
        entries = np.ndindex(data.shape) if whole else _corner(data.shape)
        columns = min(matrix.shape[1], data.size if whole else CORNER) or 1
        cells = [(index_text(at), number(data[at])) for at in entries]
        rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
        heat = None
        if not whole and self.heats_left > 0 and _has_pattern(matrix):
            heat = _heat_map(matrix)
            self.heats_left -= 1
        values = None
        if not whole and data.size <= self.entries_left:
            self.entries_left -= data.size
            little_endian = data.astype(data.dtype.newbyteorder("<"))
            values = base64.b64encode(little_endian.tobytes()).decode()
        low, mean, high = parts.min_mean_max(data) if data.size else [None] * 3
        return {
            "name": name,
            "shape": data.shape,
            "dtype": str(data.dtype),
            "min": low and low[:2],
            "mean": mean and mean[:2],
            "max": high and high[:2],
            "whole": whole,
            "index": [[at for at, _ in row] for row in rows],
            "rows": [[shown[:2] for _, shown in row] for row in rows],
            "values": values,
            "heat": heat,
        }


def _is_whole(data: np.ndarray) -> bool:
    """Whether an array is small enough for all its entries to be shown."""
    rows, columns = parts.as_matrix(data).shape
    return (rows <= ROWS and columns <= COLUMNS) or data.size <= ROWS


def _corner(shape: tuple[int, ...]) -> Iterator[Index]:
    """The indices of the first rows and columns; of the other axes only 0."""
    ends = [min(n, CORNER if i >= len(shape) - 2 else 1) for i, n in enumerate(shape)]
    return np.ndindex(*ends)


def _scalar(x: np.ndarray | None) -> tuple[str, str] | None:
    return None if x is None or x.size != 1 else number(x.reshape(-1)[0])[:2]


def _token(token: str | Number) -> str | tuple[str, ...] | Number:
    """A number without its position if it is not an entry of an array."""
    return token if isinstance(token, str) or token.symbol else token[:2]


def _has_pattern(matrix: np.ndarray) -> bool:
    """Whether a heat map says something: of a matrix that is not one row, column or number."""
    return min(matrix.shape) > 1 and bool(matrix.min() != matrix.max())


def _heat_map(matrix: np.ndarray) -> list[list[int]]:
    """Means of blocks as 0 … 255: 128 is 0 for data of both signs, else 0 is the smallest."""
    x = np.nan_to_num(matrix.astype(float), posinf=0.0, neginf=0.0)
    x = x / (np.abs(x).max() or 1)  # sums must not overflow
    low, high = x.min(), x.max()
    for axis in (0, 1):
        n = x.shape[axis]
        starts = np.unique(np.arange(min(n, HEAT)) * n // min(n, HEAT))
        counts = np.diff([*starts, n])
        x = np.add.reduceat(x, starts, axis) / np.expand_dims(counts, 1 - axis)
    if low < 0 < high:
        size = max(-low, high)
        shades = 128 + x / size * 127
    else:
        shades = (x - low) / ((high - low) or 1) * 255
    levels: list[list[int]] = np.rint(np.clip(shades, 0, 255)).astype(int).tolist()
    return levels
