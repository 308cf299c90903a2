"""Races, pictures and pages. Races need NumPy alone, pictures and pages pip install 'minidl[viz]'.

`surfaces` and `racing` compute; `plots`, `film` and `figures` draw with Matplotlib; `page` and
`race_page` make pages with Jinja2.
"""

from minidl.viz.racing import Race, Run, race
from minidl.viz.surfaces import SURFACES, Surface

__all__ = ["SURFACES", "Race", "Run", "Surface", "race"]
