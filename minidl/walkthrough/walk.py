"""The walkthrough that `trace` returns: print it, save it, ask it, or show it in a notebook."""

from __future__ import annotations

import difflib
import operator
from typing import Any

import numpy as np

from minidl import _files
from minidl._format import Text, printable
from minidl.walkthrough import graph, page, text
from minidl.walkthrough.record import Record, kept
from minidl.walkthrough.remarks import Remark
from minidl.walkthrough.steps import Presentation, Step


class Walkthrough(Record):
    """What a trace recorded: to print, to save, to show in a notebook, to ask.

    events  the op calls, backward passes and updates, in order
    values  the nodes of the graph: parameters, inputs, results of ops
    """

    @kept
    def _presentation(self) -> Presentation:
        """What is shown of the record; RuntimeError while the trace is open."""
        self._ensure_closed()
        return Presentation(self)

    @property
    @np.errstate(all="ignore")
    def steps(self) -> list[Step]:
        """The steps that text, Markdown and page show."""
        return self._presentation.steps

    def remarks(self) -> list[Remark]:
        """The usual problems that were found: saturated units, gradients not zeroed, …"""
        return [
            remark._replace(title=printable(remark.title), text=printable(remark.text))
            for remark in self._presentation.remarks
        ]

    @np.errstate(all="ignore")
    def explain(self, name: str, index: Any = None) -> Text:
        """One entry of a parameter, an input or a layer's value, with all terms.

        name   as in the walkthrough, such as "dense1.weight" or "tanh1"; of a parameter with
               several updates the last
        index  of the entry, such as 3 or (0, 2); may be left out if there is only one

        ValueError for an unknown name, IndexError for an entry that doesn't exist.
        """
        self._ensure_closed()
        known = {value.name: value for value in self.values}
        known |= {update.value.base_name: update.value for update in self.updates}
        if name not in known:
            near, rest = difflib.get_close_matches(str(name), known, 3), len(known) - 8
            names = ", ".join(map(repr, near or [*known][:8]))
            if near:
                names = f"similar names are {names}"
            else:
                names = f"there are {names}" + (f" and {rest} more" if rest > 0 else "")
            raise ValueError(f"explain: this walkthrough has no value named {name!r}; {names}")
        value = known[name]
        shape, at = value.data.shape, index
        if index is None and value.data.size == 1:
            at = (0,) * value.data.ndim
        at = at if isinstance(at, tuple) else (at,)
        try:
            at = tuple(range(n)[operator.index(i)] for i, n in zip(at, shape, strict=True))
        except (IndexError, TypeError, ValueError):
            advice = f"give the index of an entry, such as {tuple(n - 1 for n in shape)}"
            advice = advice if shape else "leave the index out"
            advice = advice if value.data.size else "it has no entries to explain"
            raise IndexError(
                f"explain: {name} has shape {shape}; {advice}, instead of {index!r}"
            ) from None
        return text.explain(self, value, at)

    @np.errstate(all="ignore")
    def save(self, path: Any) -> None:
        """Write a page (.html), Markdown (.md), text (.txt) or the graph alone (.svg).

        ValueError for another ending; OSError for a path that can't be written, in which case
        nothing was changed.
        """
        kinds = {
            ".html": page.as_html,
            ".md": text.as_markdown,
            ".txt": text.as_text,
            ".svg": graph.as_svg,
        }
        path = _files.ending("save", path, kinds)
        content = kinds[path.suffix.lower()](self._presentation)
        with _files.replacing("save", path) as temporary:
            temporary.write_bytes(content.encode("utf-8", "replace"))

    @np.errstate(all="ignore")
    def __str__(self) -> str:
        return text.as_text(self._presentation, printable)

    def __repr__(self) -> str:
        ops = [op for op in self.ops if not op.in_update]
        updates = [*self.updates, *self._updates_by_hand]
        counted = (ops, "op"), (self.backwards, "backward pass"), (updates, "update")
        counts = (
            f"{len(events)} {word}" + ("es" if word[-1] == "s" else "s") * (len(events) != 1)
            for events, word in counted
        )
        return f"Walkthrough({', '.join(counts)}; print it, or .save('walk.html'))"

    @np.errstate(all="ignore")
    def _repr_html_(self) -> str:
        try:
            return page.as_frame(self._presentation)
        except ModuleNotFoundError as error:  # no Jinja2
            escaped = text.as_text(self._presentation).replace("&", "&amp;").replace("<", "&lt;")
            return f"<p>For a page to step through: {error}</p><pre>{escaped}</pre>"
