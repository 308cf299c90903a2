"""The page of a recorded training, for a browser or a notebook: one HTML file without network.

It is rendered with Jinja2 (minidl[viz]) from training.html.j2, training.css and training.js.
"""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from minidl import _files
from minidl._format import number
from minidl._page import framed, render
from minidl.viz._recorder import views

if TYPE_CHECKING:
    from minidl.viz._recorder.recording import Recording

ROWS = 12  # of the table in the text


def html(recorder: Recording) -> str:
    """The page; RuntimeError if nothing was recorded."""
    if not recorder.looks or recorder.history is None:
        raise RuntimeError(
            "Recorder: nothing was recorded yet; give it to fit, as record=recorder, first"
        )
    return render(
        "minidl.viz._recorder",
        "training.html.j2",
        views.page_data(recorder),
        title=_title(recorder),
        rule=views.rule_of(recorder.optimizer, recorder.looks[-1]),
        model=_model(recorder),
        spacing="Recorded every " + _steps(recorder.spacing).removeprefix("1 "),
        text=as_text(recorder),
    )


def frame(recorder: Recording, height: int = 900) -> str:
    """The page inside an iframe, for a notebook; the height is in pixels."""
    return framed(html(recorder), _title(recorder), height)


def save(recorder: Recording, path: str | PathLike[str]) -> Path:
    """Write the page; ValueError unless the name ends in .html, OSError if it can't be written."""
    path = _files.ending("Recorder", _files.path_of("Recorder", path), _files.PAGES)
    text = html(recorder)
    with _files.replacing("Recorder", path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "replace"))
    return path


def as_text(recorder: Recording) -> str:
    """The training in some lines, and a table of looks."""
    history = recorder.history
    assert history is not None
    lines = [
        f"{_model(recorder)}, trained by {views.rule_of(recorder.optimizer, recorder.looks[-1])}",
        f"{len(history.step_loss)} steps, {len(history.epoch_ends)} whole epochs",
        "",
    ]
    layers = views.layers_of(recorder.names)
    lines.append(f"{'step':>8}  {'loss':>10}  {'rate':>10}  gradient norm of {', '.join(layers)}")
    looks = recorder.looks
    every = max(1, math.ceil((len(looks) - 1) / ROWS))
    for look in [*looks[:-1:every], looks[-1]]:
        i = look.step - 1
        known = 0 <= i < len(history.step_loss)
        loss = number(history.step_loss[i])[0] if known else "–"
        rate = number(history.lr[i])[0] if known else "–"
        norms = [
            math.hypot(*(look.parts[k].known_norms[0] for k in own)) for own in layers.values()
        ]
        shown = ["–" if math.isnan(x) else number(x)[0] for x in norms]
        lines.append(f"{look.step:8}  {loss:>10}  {rate:>10}  {', '.join(shown)}")
    return "\n".join(lines)


def _model(recorder: Recording) -> str:
    model = recorder.module
    count = sum(p.size for p in recorder.parameters)
    name = "a function" if model is None else type(model).__name__
    return f"{name} with {count:,} parameters"


def _title(recorder: Recording) -> str:
    assert recorder.history is not None
    return f"Training of {_steps(len(recorder.history.step_loss))}"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"
