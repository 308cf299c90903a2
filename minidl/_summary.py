"""The table of `Module.summary`: what a model is made of, one line for each module."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import Any

from minidl._format import Text, aligned, printable

WIDTH = 80  # columns of a console
KINDS = "trainable", "frozen", "buffers"
Row = tuple[str, str, Counter[str], list[str]]  # label, heading, numbers of entries, shapes
Members = Iterable[tuple[str, Any]]  # the parameters, buffers and modules of a module, by name


def table(modules: list[tuple[str, Any, Members]]) -> Text:
    """The summary of modules, each with its path; what is tied is counted where it comes first."""
    paths = {path for path, *_ in modules}
    inner = {id(module) for _, module, _ in modules}
    places: dict[int, str] = {}  # where each parameter and buffer comes first
    arrays, rows = [], []
    for path, module, members in modules:
        own: Counter[str] = Counter()
        shapes = []
        for name, x in members:
            if id(x) in inner:
                continue
            place = f"{path}.{name}".removeprefix(".")
            first = places.setdefault(id(x), place)
            if first == place:
                arrays.append(x)
                own[_kind(x)] += x.size
            shapes.append(f"{name} {x.shape}" if first == place else f"{name} = {first}")
        rows.append((_label(path, paths), _heading(module), own, shapes))
    totals = sum((own for _, _, own, _ in rows), Counter())
    parameters = f"{totals['trainable']:,} trainable, {totals['frozen']:,} frozen"
    dtypes = sorted({str(x.dtype) for x in arrays})
    memory = f"{sum(x.size * x.dtype.itemsize for x in arrays):,} bytes"
    last = [f"{parameters}, {totals['buffers']:,} in buffers"]
    last.append(f"{' and '.join(dtypes)}, {memory}" if dtypes else memory)
    kinds = [kind for kind in KINDS if totals[kind] or kind == "trainable"]
    return Text("\n".join([*_lines(kinds, rows), *last]))


def _lines(kinds: list[str], rows: list[Row]) -> list[str]:
    """The table, in 80 columns if the names leave room: headings are cut, shapes are wrapped."""
    columns = []
    for kind in kinds:
        numbers = [kind, *(f"{own[kind]:,}" if own[kind] else "" for _, _, own, _ in rows)]
        width = max(map(len, numbers))
        columns.append([number.rjust(width) for number in numbers])
    room = WIDTH - max(len(label) for label, *_ in rows) - sum(len(c[0]) + 2 for c in columns) - 4
    longest = max(len(heading) for _, heading, *_ in rows)
    widest = max((len(shape) + 1 for *_, shapes in rows for shape in shapes), default=0)
    width = min(longest, max(16, room - min(widest, 24)))
    lines = [["", "module", *(column[0] for column in columns), "shapes"]]
    for (label, heading, _, shapes), *numbers in zip(rows, *(c[1:] for c in columns), strict=True):
        shown = heading if len(heading) <= width else f"{heading[: width - 3]}..."
        first, *more = _wrapped(shapes, max(16, room - width))
        lines.append([label, shown, *numbers, first])
        lines += [["", "", *("" for _ in kinds), line] for line in more]
    return aligned(lines)


def _wrapped(shapes: list[str], width: int) -> list[str]:
    """The shapes in lines, each shape in one."""
    glued = ", ".join(shape.replace(" ", "\xa0") for shape in shapes)
    lines = textwrap.wrap(glued, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines] or [""]


def _kind(x: Any) -> str:
    """The column that counts an array: a buffer has no requires_grad."""
    return {None: "buffers", False: "frozen", True: "trainable"}[getattr(x, "requires_grad", None)]


def _label(path: str, paths: set[str]) -> str:
    """The name of a module in the one that it is in, indented by its depth."""
    dots = [i for i, letter in enumerate(path) if letter == "."]
    outer = [i for i in dots if path[:i] in paths]
    return "  " * len(outer) + (path[outer[-1] + 1 :] if outer else path)


def _heading(module: Any) -> str:
    """A module's class and options, as its repr begins."""
    line, newline, _ = repr(module).partition("\n")
    if newline:
        details = printable(module._details())
        return f"{type(module).__name__}({details})" if details else type(module).__name__
    return line.partition("  #")[0]
