"""Races, pictures and pages. Races need NumPy alone, pictures and pages pip install 'minidl[viz]'.

`surfaces`, `racing` and `verdicts` compute; `plots`, `film` and `figures` draw with Matplotlib;
`page` and `race_page` make pages with Jinja2.
"""

from minidl.viz._race.racing import ARTICLE, Race, Run, race
from minidl.viz._race.surfaces import SURFACES, Surface

__all__ = ["ARTICLE", "SURFACES", "Race", "Run", "Surface", "race"]
