"""The result of a race as a text table, for the terminal and for the page."""

from __future__ import annotations

import numpy as np

from minidl._format import Spell, aligned, number
from minidl.viz._race.record import RaceRecord, coordinates, counts


def as_text(race: RaceRecord, spell: Spell = str) -> str:
    """The description of a race, and its results in a table."""
    results = race._results()
    if results is None:
        results = _single_start(race) if len(race.starts) == 1 else _many_starts(race)
    lines = [*_heading(race), "", *aligned(results, spell)]
    arrived = any(step is not None for run in race.runs for step in run.arrived)
    if len(race.surface.minima) and not arrived and not race.rates_tried:
        lines += ["", "None reached the goal; another rate may; tune=True searches for one."]
    return spell("\n".join(lines))


def _heading(race: RaceRecord) -> list[str]:
    first, *others = race._description()
    lines = [f"{race.surface.name}: {first}"]
    lines += [race.surface.formula] if race.surface.formula else []
    lines += others
    if tried := race.rates_tried:
        lines.append(
            f"rates: the best of {len(tried)} from {min(tried):g} to {max(tried):g} for each: "
            "the most starts that arrive, then the fewest steps, then the lowest f"
        )
        if others := [run.name for run in race.runs if not run.tried]:
            lines.append(f"with a rate of its own: {', '.join(others)}")
        limits = {f"{rate:g}" for rate in (min(tried), max(tried))}
        at_limit = ", ".join(run.name for run in race.runs if run.tried and run.rate in limits)
        if at_limit:
            lines.append(f"best at the end of these rates, so perhaps not best: {at_limit}")
    schedules = dict.fromkeys(repr(run.schedule) for run in race.runs if run.schedule)
    return [*lines, *(f"rate: {schedule}" for schedule in schedules)]


def _single_start(race: RaceRecord) -> list[list[str]]:
    rows = [["optimizer", "rate", "verdict", "steps to goal", "f at the end", "ends at"]]
    for run in race.runs:
        (verdict,), (arrived,) = run.verdicts, run.arrived
        steps = "–" if arrived is None else str(arrived)
        loss, end = number(run.loss[-1, 0]).shown, coordinates(run.theta[-1, 0])
        rows.append([run.name, run.rate, verdict, steps, loss, end])
    return rows


def _many_starts(race: RaceRecord) -> list[list[str]]:
    rows = [["optimizer", "rate", "arrived", "steps to goal", "f at the end", "how they ended"]]
    for run in race.runs:
        steps = [step for step in run.arrived if step is not None]
        median = f"median {np.median(steps):g}" if steps else "–"
        arrived = f"{len(steps)} of {len(run.arrived)}"
        with np.errstate(invalid="ignore"):
            loss = f"median {number(np.median(run.loss[-1])).shown}"
        rows.append([run.name, run.rate, arrived, median, loss, counts(run.verdicts)])
    return rows
