"""The race as a page to play: one HTML file that needs nothing else. It is made with Jinja2."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import _files
from minidl._format import number
from minidl._page import framed, render
from minidl.viz import style
from minidl.viz._race.surfaces import GRID, heights

if TYPE_CHECKING:
    from minidl.viz._race.racing import Race, Run

FINE = 129  # points along each side of the surface, where its function takes many at once
KEPT = 2000  # steps that a page holds at most, beside the start
VOID = 2**16 - 1  # the height where the surface is not finite


def page(race: Race, start: int = 0) -> str:
    """The page of a race from one of its starts."""
    return render(
        "minidl.viz._race",
        "race.html.j2",
        _data(race, start),
        title=_title(race),
        formula=race.surface.formula,
        facts=_facts(race, start),
        search=_search(race),
        text=str(race.table()),
    )


def frame(race: Race, start: int = 0, height: int = 840) -> str:
    """The page in a frame of its own, for a notebook."""
    return framed(page(race, start), _title(race), height)


def save(race: Race, path: Any, start: int = 0) -> Path:
    """Write the page; ValueError for another ending, OSError for a path that can't be written."""
    path = Path(path)
    if path.suffix.lower() not in _files.PAGES:
        raise ValueError(
            f"save: a race is saved as a page, so the name must end in .html, got {str(path)!r}. "
            "For a picture (.png, .svg, .pdf) there is race.plot, for a film (.gif, .mp4) "
            "race.animate."
        )
    text = page(race, start)
    with _files.writing("save", path):
        path.write_bytes(text.encode("utf-8", "replace"))
    return path


# --- words --------------------------------------------------------------------------------------


def _title(race: Race) -> str:
    return f"Race on {race.surface.name}"


def _facts(race: Race, start: int) -> list[str]:
    facts = race.facts(start)
    if race.steps > KEPT:
        facts.append(f"the page shows {KEPT:,} of {race.steps:,} steps, evenly chosen")
    return facts


def _search(race: Race) -> dict[str, Any] | None:
    """Of a tuned race: the rates tried, and for each optimizer how it went with each."""
    if not race.runs[0].tried:
        return None
    quickest = min(steps for run in race.runs for _, steps, _ in run.tried.values())

    def cell(run: Run, rate: float) -> dict[str, Any]:
        share, steps, loss = run.tried[rate]
        words = f"{run.name} at {rate:g}: {share:.0%} of starts arrive"
        if share:
            words += f", after {steps:g} steps in the median"
        return {
            "shown": f"{steps:g}" if share else "∞" if np.isinf(loss) else "–",
            "share": f"{share:.0%}" if 0 < share < 1 else "",
            "tint": round(100 * share * (quickest + 1) / (steps + 1)) if share else 0,
            "words": f"{words}; median f at the end {number(loss).shown}",
            "chosen": f"{rate:g}" == run.rate,
        }

    return {
        "rates": [f"{rate:g}" for rate in race.runs[0].tried],
        "rows": [{"name": r.name, "cells": [cell(r, rate) for rate in r.tried]} for r in race.runs],
        "many": len(race.starts) > 1,
    }


# --- numbers ------------------------------------------------------------------------------------


def _data(race: Race, start: int) -> dict[str, Any]:
    """The JSON of the page: arrays are the bytes of little-endian float64, in base64."""
    kept = np.rint(np.linspace(0, race.steps, min(race.steps, KEPT) + 1)).astype(int)
    return {
        "surface": _surface(race, start),
        "places": kept.tolist(),
        "start": race.starts[start].tolist(),
        "noise": race.noise,
        "runs": [
            _run(run, look, start, kept) for run, look in zip(race.runs, race.looks(), strict=True)
        ],
    }


def _surface(race: Race, start: int) -> dict[str, Any]:
    """Heights as 0 … 65534, by the logarithm of what f is above its lowest."""
    surface, (x, y) = race.surface, race.view(start)
    z = surface.grid(FINE if surface.entrywise else GRID, x, y)[2]
    lowest = _lowest(race, z, start)
    high, scale = heights(z, lowest)
    known = np.isfinite(high)
    high = np.rint((VOID - 1) * high / (high[known].max() or 1))
    return {
        "name": surface.name,
        "x": x,
        "y": y,
        "minima": surface.minima.tolist(),
        "radius": race.radius,
        "lowest": lowest,
        "highest": float(z[known].max()),
        "scale": scale,
        "side": len(z),
        "heights": _packed(np.where(known, high, VOID), "<u2"),
    }


def _lowest(race: Race, z: np.ndarray, start: int) -> float:
    """The lowest f that is known: at the minima, on the grid, or where a run came in the domain."""
    surface = race.surface
    found = [z, surface.at(surface.minima.T)[0]]
    for run in race.runs:
        inside = surface.contains(run.theta[:, start].T)
        found.append(run.loss[inside, start])
    everywhere = np.concatenate([values.ravel() for values in found])
    return float(np.min(everywhere[np.isfinite(everywhere)], initial=np.inf))


def _run(run: Run, look: style.Look, start: int, kept: np.ndarray) -> dict[str, Any]:
    rates = run.lr[kept[:-1]]
    same = np.ptp(rates) == 0
    return {
        "name": run.name,
        "rate": run.rate,
        "colour": look.colour,
        "marker": look.marker,
        "dashes": look.dashes,
        "verdict": run.verdicts[start],
        "arrived": run.arrived[start],
        "theta": _packed(run.theta[kept, start]),
        "loss": _packed(run.loss[kept, start]),
        "gradient": _packed(run.gradient[kept, start]),
        "lr": float(rates[0]) if same else _packed(rates),
        "state": {name: _packed(_of(x, start)[kept]) for name, x in run.state.items()},
    }


def _of(state: np.ndarray, start: int) -> np.ndarray:
    """A state array from one start: (steps + 1, 2), or (steps + 1,) where all share a number."""
    return state[:, start] if state.ndim == 3 else state.reshape(len(state), -1)[:, 0]


def _packed(array: np.ndarray, dtype: str = "<f8") -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()
