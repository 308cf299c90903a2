"""Pages: one HTML file each that needs nothing else, made with Jinja2; and the walkthrough's."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from minidl._format import number
from minidl._page import framed, markup, render
from minidl.walkthrough import parts as _parts
from minidl.walkthrough import typesetting as _typesetting
from minidl.walkthrough.parts import Operand, Part
from minidl.walkthrough.steps import Step, Story

LARGE = 64  # entries, above which an array is shown as a corner and a heat map
CORNER = 4  # rows and columns of it
HEAT = 48  # cells of a heat map, each way
# what goes into a page at most, all together: entries of large arrays, lines, heat maps
EMBEDDED, LINES, HEATS = 500_000, 10_000, 200


def page(story: Story) -> str:
    """The page of a walkthrough."""
    return render(
        "minidl.walkthrough",
        "walkthrough.html.j2",
        _Data(story).whole(),
        title=_title(story.walk),
        graph=markup(story.graph()),
        text=str(story.walk),
    )


def frame(story: Story, height: int = 720) -> str:
    """The page in a frame of its own, for a notebook."""
    return framed(page(story), _title(story.walk), height)


def _title(walk: Any) -> str:
    root = walk.backwards[-1].root if walk.backwards else None
    return f"Walkthrough of {root.name}" if root else "Walkthrough"


class _Data:
    """The JSON of the page; arrays are put in once and named by their number."""

    def __init__(self, story: Story) -> None:
        self.story, self.walk = story, story.walk
        self.keys = {value.name: value.key for value in story.walk.values}
        self.arrays: list[dict[str, Any]] = []
        self.numbers: dict[int, int] = {}  # by id
        self.left, self.lines, self.heats = EMBEDDED, LINES, HEATS
        self.held: list[Any] = []  # keeps the ids in `numbers` those of these arrays

    def whole(self) -> dict[str, Any]:
        before, after = self.walk.loss()
        steps = [self.step(step) for step in self.story.steps]
        return {
            "title": _title(self.walk),
            "left_out": self.story.left_out or None,
            "loss": {"before": _scalar(before), "after": _scalar(after)},
            "nodes": self.nodes(),
            "steps": steps,
            "arrays": self.arrays,
        }

    def nodes(self) -> dict[str, Any]:
        """The boxes of the graph; the steps of a leaf are also those of the ops that use it."""
        walk = self.walk
        places: dict[str | None, list[int]] = {}
        for i, step in enumerate(self.story.steps):
            places.setdefault(step.key, []).append(i)
        after = {update.value.key: update.after for update in walk.updates}
        shown = {box.key for box in self.story.drawn[0]}
        nodes = {}
        for value in walk.values:
            if value.key not in shown:
                continue
            found = [p.gradient(value) for p in walk.backwards]
            gradient = next((g for g in reversed(found) if g is not None), None)
            name = value.name
            keys = {value.key, *(user.value.key for user, _ in value.users if not value.made_by)}
            nodes[value.key] = {
                "name": name,
                "kind": value.kind,
                "op": value.made_by.function.__name__ if value.made_by else None,
                "shape": str(value.data.shape),
                "value": self.array(name, value.data),
                "gradient": self.maybe(f"gradient by {name}", gradient),
                "after": self.maybe(f"{name} after the update", after.get(value.key)),
                "steps": sorted(i for key in keys for i in places.get(key, [])),
            }
        return nodes

    def step(self, step: Step) -> dict[str, Any]:
        table = step.table and {
            "head": step.table[0],
            "rows": [[_token(cell) for cell in row] for row in step.table[1]],
        }
        return {
            "phase": step.phase,
            "node": step.key,
            "title": step.title,
            "words": step.words,
            "parts": [self.part(part) for part in step.parts],
            "notes": [{"title": note.title, "text": note.text} for note in step.notes],
            "table": table or None,
            "bars": [
                {"label": label, "number": size[:2], "share": share, "node": self.keys.get(label)}
                for label, size, share in step.bars
            ]
            or None,
        }

    def part(self, part: Part) -> dict[str, Any]:
        formula = None
        if part.equation:
            formula = {"text": part.equation.text, "mathml": _typesetting.mathml(part.equation)}
        worked = {}
        if part.worked and part.result:
            places = np.ndindex(part.result.data.shape)
            if part.result.data.size > min(LARGE, self.lines):
                places = _corner_places(part.result.data.shape)
            worked = {_parts.at_text(at): [_token(t) for t in part.worked(at)] for at in places}
        self.lines -= len(worked)
        return {
            "heading": part.heading,
            "formula": formula,
            "words": part.words or None,
            "operands": [self.operand(o) for o in part.operands],
            "result": self.operand(part.result) if part.result else None,
            "worked": worked,
        }

    def operand(self, o: Operand) -> dict[str, Any]:
        return {
            "letter": o.letter,
            "name": o.name,
            "array": self.array(o.name, o.data),
            "node": o.key,
        }

    def maybe(self, name: str, data: np.ndarray | None) -> int | None:
        return None if data is None else self.array(name, data)

    def array(self, name: str, data: np.ndarray) -> int:
        """The number of an array on the page."""
        if id(data) not in self.numbers:
            self.held.append(data)
            self.numbers[id(data)] = len(self.arrays)
            self.arrays.append(self.described(name, data))
        return self.numbers[id(data)]

    def described(self, name: str, data: np.ndarray) -> dict[str, Any]:
        flat = _parts.in_rows(data)
        whole = data.size <= LARGE
        places = list(np.ndindex(data.shape)) if whole else list(_corner_places(data.shape))
        columns = min(flat.shape[1], data.size if whole else CORNER) or 1
        cells = [(_parts.at_text(at), number(data[at])) for at in places]
        rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
        heat = _heat(flat) if data.size > 1 and self.heats > 0 else None
        self.heats -= 1
        values = None
        if not whole and data.size <= self.left:
            self.left -= data.size
            little = data.astype(data.dtype.newbyteorder("<"))
            values = base64.b64encode(little.tobytes()).decode()
        low, mean, high = _parts.low_mean_high(data) if data.size else [None] * 3
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


def _corner_places(shape: tuple[int, ...]) -> Any:
    """The indices of the first rows and columns, in the first of the other axes."""
    ends = [min(n, CORNER if i >= len(shape) - 2 else 1) for i, n in enumerate(shape)]
    return np.ndindex(*ends)


def _scalar(x: np.ndarray | None) -> Any:
    return None if x is None or x.size != 1 else number(x.reshape(-1)[0])[:2]


def _token(token: Any) -> Any:
    """A number without its place, where it has none."""
    return token if isinstance(token, str) or token.letter else token[:2]


def _heat(flat: np.ndarray) -> list[list[int]]:
    """Means of blocks as 0 … 255: 128 is 0 for data of both signs, else 0 is the smallest."""
    flat = np.nan_to_num(flat.astype(float), posinf=0.0, neginf=0.0)
    flat = flat / (np.abs(flat).max() or 1)  # of any size: sums must not overflow
    low, high = flat.min(), flat.max()
    for axis in (0, 1):
        n = flat.shape[axis]
        starts = np.unique(np.arange(min(n, HEAT)) * n // min(n, HEAT))
        counts = np.diff([*starts, n])
        flat = np.add.reduceat(flat, starts, axis) / np.expand_dims(counts, 1 - axis)
    if low < 0 < high:
        size = max(-low, high)
        shades = 128 + flat / size * 127
    else:
        shades = (flat - low) / ((high - low) or 1) * 255
    return np.rint(np.clip(shades, 0, 255)).astype(int).tolist()
