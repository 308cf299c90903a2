"""The walkthrough as text and as Markdown, and the answers of `explain`."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minidl._format import Text, aligned, number, plain
from minidl.walkthrough import parts as _parts
from minidl.walkthrough.parts import Operand, Part, entry_of, shape_of
from minidl.walkthrough.steps import Step, Story, relative_text, update_words

WIDTH = 96
SMALL = 6  # rows and columns of an array that are shown
WORKED = 4  # entries that are worked out, of small arrays
EVERY = 100  # terms of a sum that `explain` writes out


def _rows(data: np.ndarray) -> tuple[list[list[str]], bool]:
    """The entries of an array as shown, in rows, and whether these are all."""
    flat = _parts.in_rows(data)
    whole = flat.shape[0] <= SMALL and flat.shape[1] <= SMALL
    rows = [[number(x).shown for x in row[:SMALL]] for row in flat[:SMALL]]
    if flat.shape[1] > SMALL:
        rows = [[*row, "…"] for row in rows]
    if flat.shape[0] > SMALL and rows:
        rows.append(["…"] * len(rows[0]))
    return rows, whole


def _block(operand: Operand) -> list[str]:
    """An operand as lines of equal length: what it is, and its matrix."""
    data = operand.data
    title = (
        operand.letter if operand.name == operand.letter else f"{operand.letter}: {operand.name}"
    )
    lines = [f"{title} {shape_of(data)}" if data.ndim else title]
    rows, whole = _rows(data) if data.size else ([], True)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for i, row in enumerate(rows):
        inside = "  ".join(x.rjust(w) for x, w in zip(row, widths, strict=True))
        if data.ndim == 0:
            lines.append(inside)
        else:
            left, right = ("[", "]") if len(rows) == 1 else _brackets(i, len(rows))
            lines.append(f"{left} {inside} {right}")
    if not whole:
        low, mean, high = (x.shown for x in _parts.low_mean_high(data))
        lines.append(f"min {low}, mean {mean}, max {high}")
    width = max(map(_width, lines))
    return [_padded(line, width) for line in lines]


def _width(line: str) -> int:
    """How many places a line takes: an accent takes none."""
    return len(line) - sum(map(bool, map(unicodedata.combining, line)))


def _padded(line: str, width: int) -> str:
    return line + " " * (width - _width(line))


def _brackets(i: int, n: int) -> tuple[str, str]:
    return ("⎡", "⎤") if i == 0 else ("⎣", "⎦") if i == n - 1 else ("⎢", "⎥")


def _beside(blocks: list[list[str]]) -> list[str]:
    """Blocks side by side, in as many rows as the width asks for."""
    lines: list[str] = []
    row: list[list[str]] = []
    for block in [*blocks, None]:
        if row and (block is None or sum(_width(b[0]) + 4 for b in [*row, block]) > WIDTH):
            height = max(map(len, row))
            filled = [b + [" " * _width(b[0])] * (height - len(b)) for b in row]
            lines += ["    ".join(parts).rstrip() for parts in zip(*filled, strict=True)]
            row = []
        if block is not None:
            row.append(block)
    return lines


def _entries(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The entries that text works out: all of a few, else the first."""
    few = int(np.prod(shape)) <= WORKED
    for n, at in enumerate(np.ndindex(shape)):
        if n == 0 or few:
            yield at


def _part_lines(part: Part) -> list[str]:
    lines = [part.heading] if part.heading else []
    if part.equation:
        lines.append(part.equation.text)
    if part.words:
        lines += textwrap.wrap(part.words, WIDTH)
    blocks = [_block(o) for o in part.operands]
    if part.result:
        blocks.append(_block(part.result))
    lines += _beside(blocks)
    if part.worked and part.result and part.result.data.size:
        for at in _entries(part.result.data.shape):
            lines += textwrap.wrap(plain(part.worked(at)), WIDTH, subsequent_indent="    ")
    return lines


def _step_lines(step: Step) -> list[str]:
    lines = textwrap.wrap(step.words, WIDTH)
    for part in step.parts:
        lines += ["", *_part_lines(part)]
    if step.table:
        head, rows = step.table
        texts = [head, *([x if isinstance(x, str) else x.shown for x in row] for row in rows)]
        lines += ["", *aligned(texts)]
    if step.bars:
        width = max(len(name) for name, _, _ in step.bars)
        lines += ["", "The gradient of each parameter, root mean square:"]
        lines += [
            f"{name.ljust(width)}  {'█' * max(round(30 * share), share > 0):30}  {size.shown}"
            for name, size, share in step.bars
        ]
    for note in step.notes:
        note_lines = textwrap.wrap(f"→ {note.title}: {note.text}", WIDTH, subsequent_indent="  ")
        lines += ["", *note_lines]
    return lines


_PHASES = {
    "forward": "FORWARD: each value from those before it",
    "backward": "BACKWARD: the gradient of the loss by each value, from the last to the first",
    "update": "UPDATE: each parameter a step down its gradient",
    "summary": "SUMMARY",
}


def _numbered(story: Story) -> Iterator[tuple[str, str, Step]]:
    """(phase, if it is another than before; number; step)"""
    phase = ""
    for n, step in enumerate(story.steps, 1):
        yield _PHASES[step.phase] if step.phase != phase else "", f"{n}.", step
        phase = step.phase


def text(story: Story) -> str:
    """The whole walkthrough as text."""
    lines = textwrap.wrap(story.left_out, WIDTH)
    for phase, n, step in _numbered(story):
        if phase:
            lines += ["", phase, "═" * len(phase)]
        lines += ["", f"{n} {step.title}"] if step.phase != "summary" else [""]
        lines += [f"   {line}".rstrip() for line in _step_lines(step)]
    return Text("\n".join(lines).strip("\n"))


def _heading(title: str) -> str:
    """A title that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~])", r"\\\1", title)


def markdown(story: Story) -> str:
    """The whole walkthrough as Markdown: headings, words, and the arrays as they are in text."""
    lines = ["# Walkthrough", "", *([story.left_out, ""] if story.left_out else [])]
    for phase, n, step in _numbered(story):
        if phase:
            lines += [f"## {phase.capitalize()}", ""]
        lines += [f"### {n} {_heading(step.title)}", "", "```text", *_step_lines(step), "```", ""]
    return "\n".join(lines)


# --- one entry ----------------------------------------------------------------------------------


def explain(story: Story, value: Any, at: tuple[int, ...]) -> Text:
    """All that is known of one entry: how it was computed, what came back, what the update did."""
    walk = story.walk
    lines = [f"{entry_of(value.name, at)} = {number(value.data[at]).shown}"]
    if value.made_by:
        lines += ["", "forward", *_worked(_parts.forward_parts(value.made_by), value, at)]
    for passed in walk.backwards:
        lines += _explained_gradient(walk, passed, value, at)
    for update in walk.updates:
        if update.value is value:
            parts = _parts.update_parts(update)
            before, after = number(update.before[at]).shown, number(update.after[at]).shown
            words = textwrap.wrap(update_words(update), WIDTH)
            lines += ["", *words, *_worked(parts, value, at), f"before {before}, after {after}"]
    return Text("\n".join(lines))


def _explained_gradient(walk: Any, passed: Any, value: Any, at: tuple[int, ...]) -> list[str]:
    lines: list[str] = []
    for flow in passed.flows:
        for i, (x, product) in enumerate(zip(flow.op.inputs, flow.products, strict=True)):
            if x is value and product is not None:
                letter = flow.op.letters[i]
                title = f"backward through {flow.op.value.name}, where {letter} is {value.name}"
                lines += ["", title, *_worked(_parts.product_parts(flow, i), value, at)]
    total = passed.gradient(value)
    arrived = None if total is None else _parts.arrived_part(passed, value, total)
    if arrived:
        lines += ["", arrived.heading, *_worked([arrived], value, at)]
    for leaf in passed.leaves if passed.root else ():
        if leaf.value is value and value.users:
            added = _parts.added_part(leaf)
            if added:
                lines += ["", added.heading, *_worked([added], value, at)]
            c = walk.check_entry(passed, leaf, at)
            found = f"{number(c.backward).shown}, central difference {number(c.difference).shown}"
            lines += ["", f"check: backward {found}, relative difference {relative_text(c)}"]
    return lines


def _worked(parts: Iterable[Part], value: Any, at: tuple[int, ...]) -> list[str]:
    """The formula of each part, and beside it the line for one entry, with all its terms."""
    pairs = []
    for part in parts:
        if part.worked and part.result and part.result.data.shape in (value.data.shape, (), (1,)):
            place = at if part.result.data.shape == value.data.shape else ()
            place = place or (0,) * part.result.data.ndim
            rule = part.equation.text if part.equation else part.words
            pairs.append((rule, plain(part.worked(place, terms=EVERY))))
    width = max((_width(rule) for rule, _ in pairs), default=0)
    return [f"  {_padded(rule, width)}    {line}" if width else f"  {line}" for rule, line in pairs]
