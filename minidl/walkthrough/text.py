"""Write a walkthrough as text and as Markdown, and answer `explain`."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np

from minidl._format import Spell, Text, aligned, number, plain, printable
from minidl.walkthrough import parts
from minidl.walkthrough.formulas import Index, entry_name
from minidl.walkthrough.parts import Operand, Part, shape_text
from minidl.walkthrough.record import Backward, Record, Value
from minidl.walkthrough.steps import Phase, Presentation, Step, relative_text, update_caption

WIDTH = 96
SMALL = 6  # rows and columns of an array that are shown
WORKED = 4  # entries up to which an array is worked out entry by entry
ALL_TERMS = 100  # terms of a sum that `explain` writes out
BAR = 30  # characters of the longest bar

_PHASES: dict[Phase, str] = {
    "forward": "FORWARD: each value is computed from the values before it",
    "backward": "BACKWARD: the gradient of each value, from the last to the first",
    "update": "UPDATE: the optimizer changes each parameter",
    "summary": "SUMMARY",
}


# --- arrays -------------------------------------------------------------------------------------


def _rows(data: np.ndarray) -> tuple[list[list[str]], bool]:
    """The entries that are shown of an array, in rows, and whether these are all."""
    matrix = parts.as_matrix(data)
    whole = matrix.shape[0] <= SMALL and matrix.shape[1] <= SMALL
    rows = [[number(x).shown for x in row[:SMALL]] for row in matrix[:SMALL]]
    if matrix.shape[1] > SMALL:
        rows = [[*row, "…"] for row in rows]
    if matrix.shape[0] > SMALL and rows:
        rows.append(["…"] * len(rows[0]))
    return rows, whole


def _block(operand: Operand, spell: Spell) -> list[str]:
    """An operand as lines of equal width: its title and its matrix."""
    data, title = operand.data, operand.symbol
    if operand.name != operand.symbol:
        title = f"{operand.symbol}: {operand.name}"
    lines = [f"{title} {shape_text(data)}" if data.ndim else title]
    rows, whole = _rows(data) if data.size else ([], True)
    rows = [[spell(x) for x in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for i, row in enumerate(rows):
        inside = "  ".join(x.rjust(w) for x, w in zip(row, widths, strict=True))
        if data.ndim == 0:
            lines.append(inside)
        else:
            left, right = ("[", "]") if len(rows) == 1 else _brackets(i, len(rows))
            lines.append(f"{left} {inside} {right}")
    if not whole:
        low, mean, high = (x.shown for x in parts.min_mean_max(data))
        lines.append(f"min {low}, mean {mean}, max {high}")
    lines = [spell(line) for line in lines]
    width = max(map(_width, lines))
    return [_padded(line, width) for line in lines]


def _width(line: str) -> int:
    """The columns that a line takes in a terminal; a combining accent takes none."""
    return len(line) - sum(map(bool, map(unicodedata.combining, line)))


def _padded(line: str, width: int) -> str:
    return line + " " * (width - _width(line))


def _brackets(i: int, n: int) -> tuple[str, str]:
    return ("⎡", "⎤") if i == 0 else ("⎣", "⎦") if i == n - 1 else ("⎢", "⎥")


def _side_by_side(blocks: list[list[str]]) -> list[str]:
    """Blocks next to each other, in as many rows as the width needs."""
    rows: list[list[list[str]]] = []
    used = 0
    for block in blocks:
        width = _width(block[0]) + 4
        if not rows or used + width > WIDTH:
            rows.append([])
            used = 0
        rows[-1].append(block)
        used += width
    lines = []
    for row in rows:
        height = max(map(len, row))
        filled = [b + [" " * _width(b[0])] * (height - len(b)) for b in row]
        lines += ["    ".join(line).rstrip() for line in zip(*filled, strict=True)]
    return lines


# --- steps --------------------------------------------------------------------------------------


def _worked_entries(shape: tuple[int, ...]) -> Iterator[Index]:
    """The entries that are worked out: all of a small array, else the first."""
    small = int(np.prod(shape)) <= WORKED
    for n, at in enumerate(np.ndindex(shape)):
        if n == 0 or small:
            yield at


def _part_lines(part: Part, spell: Spell) -> list[str]:
    lines = [part.heading] if part.heading else []
    if part.equation:
        lines.append(part.equation.text)
    if part.caption:
        lines += textwrap.wrap(part.caption, WIDTH)
    blocks = [_block(o, spell) for o in part.operands]
    if part.result:
        blocks.append(_block(part.result, spell))
    lines += _side_by_side(blocks)
    if part.worked and part.result and part.result.data.size:
        for at in _worked_entries(part.result.data.shape):
            lines += textwrap.wrap(plain(part.worked(at)), WIDTH, subsequent_indent="    ")
    return lines


def _step_lines(step: Step, spell: Spell) -> list[str]:
    lines = textwrap.wrap(step.caption, WIDTH)
    for part in step.parts:
        lines += ["", *_part_lines(part, spell)]
    if step.table:
        rows = [[x if isinstance(x, str) else x.shown for x in row] for row in step.table.rows]
        lines += ["", *aligned([step.table.head, *rows], spell)]
    if step.bars:
        names = [spell(bar.name) for bar in step.bars]
        width = max(map(len, names))
        lines += ["", "Root mean square of each parameter's gradient:"]
        for name, (_, size, fraction) in zip(names, step.bars, strict=True):
            bar = "█" * max(round(BAR * fraction), fraction > 0)
            lines.append(f"{name.ljust(width)}  {bar:{BAR}}  {size.shown}")
    for note in step.notes:
        note_lines = textwrap.wrap(f"→ {note.title}: {note.text}", WIDTH, subsequent_indent="  ")
        lines += ["", *note_lines]
    return lines


def _numbered(presentation: Presentation) -> Iterator[tuple[str, str, Step]]:
    """(heading of the phase if a new one begins, number, step) for each step."""
    phase = None
    for n, step in enumerate(presentation.steps, 1):
        yield _PHASES[step.phase] if step.phase != phase else "", f"{n}.", step
        phase = step.phase


def as_text(presentation: Presentation, spell: Spell = str) -> str:
    """The whole walkthrough as text."""
    lines = textwrap.wrap(presentation.omitted, WIDTH)
    for phase, n, step in _numbered(presentation):
        if phase:
            lines += ["", phase, "═" * len(phase)]
        lines += ["", f"{n} {step.title}"] if step.phase != "summary" else [""]
        lines += [f"   {line}".rstrip() for line in _step_lines(step, spell)]
    return spell("\n".join(lines).strip("\n"))


def _escaped(title: str) -> str:
    """A title in which Markdown finds no markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~])", r"\\\1", title)


def as_markdown(presentation: Presentation) -> str:
    """The whole walkthrough as Markdown: headings, and each step as a block of text."""
    omitted = [presentation.omitted, ""] if presentation.omitted else []
    lines = ["# Walkthrough", "", *omitted]
    for phase, n, step in _numbered(presentation):
        if phase:
            lines += [f"## {phase.capitalize()}", ""]
        lines += [
            f"### {n} {_escaped(step.title)}",
            "",
            "```text",
            *_step_lines(step, str),
            "```",
            "",
        ]
    return "\n".join(lines)


# --- one entry ----------------------------------------------------------------------------------


def explain(record: Record, value: Value, at: Index) -> Text:
    """One entry of a value: how it was computed, its gradient, and its updates."""
    lines = [f"{entry_name(value.name, at)} = {number(value.data[at]).shown}"]
    if value.producer:
        lines += ["", "forward", *_worked_lines(parts.forward_parts(value.producer), value, at)]
    for backward in record.backwards:
        lines += _gradient_lines(record, backward, value, at)
    for update in record.updates:
        if update.value is value:
            worked = _worked_lines(parts.update_parts(update), value, at)
            before, after = number(update.before[at]).shown, number(update.after[at]).shown
            lines += ["", *textwrap.wrap(update_caption(update), WIDTH), *worked]
            lines.append(f"before {before}, after {after}")
    for parameter, op in record._updates_by_hand:
        if parameter is value:
            worked = _worked_lines(parts.forward_parts(op), value, at)
            lines += ["", f"updated by hand: {op.name}", *worked]
    return Text("\n".join(lines))


def _gradient_lines(record: Record, backward: Backward, value: Value, at: Index) -> list[str]:
    lines: list[str] = []
    letter = backward.letter
    for op_gradient in backward.op_gradients:
        op = op_gradient.op
        for i, x, _ in op_gradient.inputs():
            if x is value:
                title = f"backward through {op.value.name}, where {op.input_names[i]} is "
                worked = _worked_lines(
                    parts.input_gradient_parts(op_gradient, i, letter), value, at
                )
                lines += ["", title + value.name, *worked]
    total = backward.gradient(value)
    if total is not None and (summed := parts.sum_part(backward, value, total)):
        lines += ["", summed.heading, *_worked_lines([summed], value, at)]
    for leaf in backward.leaves if backward.root else ():
        if leaf.value is value and value.users:
            if accumulated := parts.accumulation_part(leaf):
                lines += ["", accumulated.heading, *_worked_lines([accumulated], value, at)]
            c = record._check_entry(backward, leaf, at)
            found = f"{number(c.backward).shown}, central difference {number(c.difference).shown}"
            lines += ["", f"check: backward {found}, relative difference {relative_text(c)}"]
    return lines


def _worked_lines(of_parts: Iterable[Part], value: Value, at: Index) -> list[str]:
    """The formula of each part, and next to it the worked line of one entry with all terms."""
    pairs = []
    for part in of_parts:
        if part.worked and part.result and part.result.data.shape in (value.data.shape, (), (1,)):
            index = at if part.result.data.shape == value.data.shape else ()
            index = index or (0,) * part.result.data.ndim
            formula = printable(part.equation.text if part.equation else part.caption)
            pairs.append((formula, plain(part.worked(index, terms=ALL_TERMS))))
    width = max((_width(formula) for formula, _ in pairs), default=0)
    return [
        f"  {_padded(formula, width)}    {line}" if width else f"  {line}"
        for formula, line in pairs
    ]
