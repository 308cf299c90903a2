"""The live page of a race: it starts where one clicks, and sliders change rates, β and noise.

Each change is a new race by the rules' own kernels, which a server on this machine computes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from minidl import _checks
from minidl._page.server import PageServer
from minidl.optim import Optimizer
from minidl.schedulers import Schedule
from minidl.viz._race import page, table
from minidl.viz._race.record import RaceRecord, Run

Racer = Callable[..., RaceRecord]  # dl.viz.race


class Control(NamedTuple):
    """An option that the page can change.

    symbol  as in the equations, such as "β₁"
    option  its name, such as "betas"
    part    in the option's value, if that is a pair
    value   at first; None for a schedule
    """

    symbol: str
    option: str
    part: int | None
    value: float | None


class LiveRace:
    """A race that is run again with other starts, rates, options and noise.

    race   the finished race
    start  the index of its start that the page shows
    again  the function that runs a race, `dl.viz.race`
    """

    def __init__(self, race: RaceRecord, start: int, again: Racer) -> None:
        self.race, self.start, self.again = race, start, again
        self.controls = {run.name: controls(run) for run in race.runs}

    def html(self) -> str:
        """The page of the race as it was run."""
        return page.html(
            self.race,
            self.start,
            [[own._asdict() for own in each] for each in self.controls.values()],
        )

    def answer(self, question: Any) -> dict[str, Any]:
        """What the page shows of a race with other settings.

        question  {"start": [x, y], "noise": σ, "options": {run: {option: value}}}; options that are
                  not given are those of the first race

        ValueError or TypeError for any other question.
        """
        if not isinstance(question, dict) or set(question) != {"start", "noise", "options"}:
            raise ValueError("race: a question must have start, noise and options")
        options = question["options"]
        if not (isinstance(options, dict) and all(isinstance(x, dict) for x in options.values())):
            raise TypeError(f"race: options must be {{run: {{option: value}}}}, got {options!r}")
        for name, changed in options.items():
            _checks.choice("race", "a name in options", name, self.controls)
            for option in changed:
                allowed = [control.option for control in self.controls[name]]
                _checks.choice("race", f"an option of {name}", option, allowed)
        first = self.race
        race = self.again(
            first.surface,
            {run.name: _factory(run, options.get(run.name, {})) for run in first.runs},
            steps=first.steps,
            start=[question["start"]],
            noise=question["noise"],
            tolerance=first.radius / first.surface.width,
            tune=False,
        )
        return {
            **page.tracks(race, 0),
            "description": page.description(race, 0),
            "text": table.as_text(race),
        }


def controls(run: Run) -> list[Control]:
    """The rate of a run, and the options of its rule that are fractions, such as β."""
    rule, group = type(run.optimizer), run.optimizer.groups[0]
    symbols: dict[str, list[str]] = {}
    for symbol, name in rule.symbols.items():
        symbols.setdefault(name, []).append(symbol)
    found = []
    for name, option in rule.options.items():
        value, own = group[name], symbols.get(name, [name])
        if name == "lr":
            rate = None if isinstance(value, Schedule) else float(value)
            found.append(Control(own[-1], name, None, rate))
        elif isinstance(value, tuple) and _takes(option.check, (0.5, 0.5)):
            found += [Control(own[i], name, i, x) for i, x in enumerate(value)]
        elif _takes(option.check, 0.5) and not _takes(option.check, 2.0):
            found.append(Control(own[0], name, None, value))
    return found


def _takes(check: Callable[[str, str, Any], Any], value: Any) -> bool:
    try:
        check("", "", value)
    except (TypeError, ValueError):
        return False
    return True


def _factory(run: Run, changed: Mapping[str, Any]) -> Callable[..., Optimizer]:
    """The rule of a run with its options, but for those that were changed."""
    group = run.optimizer.groups[0]
    options = {name: value for name, value in group.items() if name != "params"}
    return functools.partial(type(run.optimizer), **{**options, **changed})


def serve(race: RaceRecord, start: int, again: Racer, port: int, browser: bool) -> None:
    """Serve the live page until Ctrl-C."""
    live = LiveRace(race, start, again)
    with PageServer("race", live.html(), {"race": live.answer}, port) as server:
        server.run(browser=browser)
