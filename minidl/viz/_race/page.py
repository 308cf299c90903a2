"""The page of a race, for a browser or a notebook: one HTML file that needs no network.

It is rendered with Jinja2 (minidl[viz]) from race.html.j2, race.css and race.js.
"""

from __future__ import annotations

import base64
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from minidl import _files
from minidl._format import number
from minidl._page import framed, render
from minidl.viz._race import table
from minidl.viz._race.explain import explanation, unread
from minidl.viz._race.record import RaceRecord, Run
from minidl.viz._race.surfaces import GRID, SURFACES, Interval, Stationary, heights
from minidl.viz.style import RunStyle

FINE_GRID = 129  # points along each side of the surface if its function is element-wise
MAX_STEPS = 2000  # steps that a page holds at most, besides the start
MAX_MARKS = 60  # of points with gradient 0
NOT_FINITE = 2**16 - 1  # stands for the height where the surface is not finite


def html(race: RaceRecord, start: int = 0, controls: list[Any] | None = None) -> str:
    """The page of a race from one of its starts.

    controls  of a live page: for each run the options that the page can change; see `live`
    """
    x, y = race._view(start) if controls is None else (race.surface.x, race.surface.y)
    data = {"surface": _surface(race, start, x, y), **tracks(race, start), "controls": controls}
    return render(
        "minidl.viz._race",
        "race.html.j2",
        data,
        live=controls is not None,
        command=_command(race),
        title=_title(race),
        formula=race.surface.formula,
        description=description(race, start),
        search=_search(race),
        goal=len(race.surface.minima) > 0,
        parameters=race.parameters,
        from_zero=race.surface.floor == 0,
        text=table.as_text(race),
    )


def frame(race: RaceRecord, start: int = 0, height: int = 840) -> str:
    """The page inside an iframe, for a notebook; the height is in pixels."""
    return framed(html(race, start), _title(race), height)


def save(race: RaceRecord, path: str | PathLike[str], start: int = 0) -> Path:
    """Write the page; ValueError unless the name ends in .html, OSError if it can't be written."""
    path = _files.path_of("save", path, "path")
    if path.suffix.lower() not in _files.PAGES:
        raise ValueError(
            f"save: a race is saved as a page, so the name must end in .html, got {str(path)!r}. "
            "For a picture (.png, .svg, .pdf) use race.plot, for a film (.gif, .mp4) race.animate."
        )
    text = html(race, start)
    with _files.replacing("save", path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "replace"))
    return path


# --- text ---------------------------------------------------------------------------------------


def _title(race: RaceRecord) -> str:
    return f"Race on {race.surface.name}"


def _command(race: RaceRecord) -> str:
    """How to get the live page of a race."""
    surface = race.surface
    if surface is not SURFACES.get(surface.name):
        return "race.serve()"
    return f"python -m minidl race --surface {surface.name} --serve"


def description(race: RaceRecord, start: int) -> list[str]:
    """What the page says about a race from one of its starts."""
    lines = race._description(start)
    if race.steps > MAX_STEPS:
        lines.append(f"the page shows {MAX_STEPS:,} of {race.steps:,} steps, evenly spaced")
    return lines


def _search(race: RaceRecord) -> dict[str, Any] | None:
    """After tuning, the rates that were tried and how each optimizer did with each."""
    if not race.rates_tried:
        return None
    fewest = min(score.steps for run in race.runs for score in run.tried.values())

    def cell(run: Run, rate: float) -> dict[str, Any]:
        arrived, steps, loss = run.tried[rate]
        caption = f"{run.name} at {rate:g}: {arrived:.0%} of starts arrive"
        if arrived:
            caption += f", after {steps:g} steps in the median"
        return {
            "shown": f"{steps:g}" if arrived else "∞" if np.isinf(loss) else "–",
            "arrived": f"{arrived:.0%}" if 0 < arrived < 1 else "",
            "tint": round(100 * arrived * (fewest + 1) / (steps + 1)) if arrived else 0,
            "caption": f"{caption}; median f at the end {number(loss).shown}",
            "best": f"{rate:g}" == run.rate,
        }

    return {
        "rates": [f"{rate:g}" for rate in race.rates_tried],
        "rows": [
            {"name": run.name, "cells": [cell(run, rate) for rate in run.tried]}
            for run in race.runs
            if run.tried
        ],
        "many_starts": len(race.starts) > 1,
    }


# --- data ---------------------------------------------------------------------------------------


def tracks(race: RaceRecord, start: int) -> dict[str, Any]:
    """The runs as JSON data. Arrays are little-endian float64 bytes in base64."""
    steps = np.rint(np.linspace(0, race.steps, min(race.steps, MAX_STEPS) + 1)).astype(int)
    return {
        "steps": steps.tolist(),
        "start": race.starts[start].tolist(),
        "noise": race.noise,
        "runs": [
            _run(race, run, style, start, steps)
            for run, style in zip(race.runs, race._styles(), strict=True)
        ],
    }


def _surface(race: RaceRecord, start: int, x: Interval, y: Interval) -> dict[str, Any]:
    """The surface in view; heights are integers from 0 to 65534 on a logarithmic scale."""
    surface = race.surface
    f = surface.grid(FINE_GRID if surface.elementwise else GRID, x, y)[2]
    lowest = _lowest(race, f, start)
    height, scale = heights(f, lowest)
    finite = np.isfinite(height)
    height = np.rint((NOT_FINITE - 1) * height / (height[finite].max() or 1))
    return {
        "name": surface.name,
        "x": x,
        "y": y,
        "minima": surface.minima.tolist(),
        "stationary": _marked(surface.stationary_points(x, y)),
        "radius": race.radius,
        "lowest": lowest,
        "highest": float(f[finite].max()),
        "scale": scale,
        "side": len(f),
        "heights": _packed(np.where(finite, height, NOT_FINITE), "<u2"),
    }


def _marked(points: list[Stationary]) -> list[Stationary]:
    """The points with gradient 0 that are marked: of very many only the local minima."""
    return [p for p in points if len(points) <= MAX_MARKS or p[2] == "local minimum"]


def _lowest(race: RaceRecord, grid: np.ndarray, start: int) -> float:
    """The lowest known f: at the minima, on the grid, or on a path inside the domain."""
    surface = race.surface
    if surface.floor is not None:
        return surface.floor
    found = [grid, surface.at(surface.minima.T)[0]]
    for run in race.runs:
        inside = surface.contains(run.theta[:, start].T)
        found.append(run.loss[inside, start])
    values = np.concatenate([array.ravel() for array in found])
    return float(np.min(values[np.isfinite(values)], initial=np.inf))


def _run(
    race: RaceRecord, run: Run, style: RunStyle, start: int, steps: np.ndarray
) -> dict[str, Any]:
    rates = run.lr[steps[:-1]]
    constant = np.ptp(rates) == 0
    rule = explanation(run, steps) if race.parameters else None
    return {
        "name": run.name,
        "rate": run.rate,
        "colour": style.ink,
        "marker": style.marker,
        "dashes": style.dashes,
        "verdict": run.verdicts[start],
        "arrived": run.arrived[start],
        "theta": _packed(run.theta[steps, start]),
        "loss": _packed(run.loss[steps, start]),
        "gradient": _packed(run.gradient[steps, start]),
        "lr": float(rates[0]) if constant else _packed(rates),
        "state": {name: _packed(_from(x, start)[steps]) for name, x in run.state.items()},
        "rule": rule,
        "equations": unread(run) if race.parameters and not rule else None,
    }


def _from(state: np.ndarray, start: int) -> np.ndarray:
    """A state array of one start: (steps + 1, 2), or (steps + 1,) for state that is one number."""
    return state[:, start] if state.ndim == 3 else state.reshape(len(state), -1)[:, 0]


def _packed(array: np.ndarray, dtype: str = "<f8") -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()
