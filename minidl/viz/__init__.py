"""Races, pictures and pages, for learners and teachers.

Importing this and racing needs NumPy alone. Pictures need Matplotlib and pages Jinja2:
pip install 'minidl[viz]'. `figures`, the gallery, is imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from minidl import _checks
from minidl.viz._playground.given import playground
from minidl.viz._race.networks import NetworkRace, network_race
from minidl.viz._race.racing import Race, race
from minidl.viz._race.record import Run
from minidl.viz._race.slices import Slice
from minidl.viz._race.surfaces import SURFACES, Surface
from minidl.viz._recorder.recorder import Recorder

if TYPE_CHECKING:
    from minidl.viz import figures as figures

__all__ = [
    "SURFACES",
    "NetworkRace",
    "Race",
    "Recorder",
    "Run",
    "Slice",
    "Surface",
    "network_race",
    "playground",
    "race",
]


def __getattr__(name: str) -> Any:
    if name == "figures":
        return importlib.import_module("minidl.viz.figures")
    return _checks.missing("minidl.viz", lambda: [*__all__, "figures"])(name)


def __dir__() -> list[str]:
    return sorted({*globals(), "figures"})
