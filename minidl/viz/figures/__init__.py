"""The gallery, for teachers: the pictures of optimizers that courses show, drawn from real runs.

Each picture is a function with options that returns a Matplotlib figure or animation; `write`
writes them to files. They need Matplotlib: pip install 'minidl[viz]'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidl import _checks, _files
from minidl.viz import film, plots
from minidl.viz._race import racing
from minidl.viz._race.surfaces import Function, Surface
from minidl.viz.figures.arrows import momentum_arrows
from minidl.viz.figures.batches import batch_paths
from minidl.viz.figures.boundary import decision_boundary
from minidl.viz.figures.curve import landscape
from minidl.viz.figures.family import family_tree
from minidl.viz.figures.learning import rate_and_loss
from minidl.viz.figures.rates import learning_rates
from minidl.viz.figures.schedules import every_schedule, warm_up_and_cool_down
from minidl.viz.figures.slice import loss_slice

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

__all__ = [
    "batch_paths",
    "decision_boundary",
    "every_schedule",
    "family_tree",
    "landscape",
    "learning_rates",
    "loss_slice",
    "momentum_arrows",
    "optimizer_race",
    "rate_and_loss",
    "warm_up_and_cool_down",
    "write",
]


def optimizer_race(
    surface: str | Surface | Function = "beale",
    optimizers: racing.Rules = racing.ARTICLE,
    **options: Any,
) -> FuncAnimation:
    """A race as an animation; the options are those of `dl.viz.race`.

    By default each optimizer takes 150 steps.
    """
    options = {"steps": 150, **options}
    return racing.race(surface, optimizers, **options).animate(frames=76)


FIGURES: dict[str, Callable[[], Figure | FuncAnimation]] = {
    "family_tree.png": family_tree,
    "race.gif": optimizer_race,
    "learning_rates.png": learning_rates,
    "landscape.png": landscape,
    "batch_paths.png": batch_paths,
    "momentum_arrows.png": momentum_arrows,
    "schedules.png": every_schedule,
    "warm_up_and_cool_down.png": warm_up_and_cool_down,
    "rate_and_loss.png": rate_and_loss,
    "loss_slice.png": loss_slice,
    "moons.gif": decision_boundary,
    "spirals.gif": lambda: decision_boundary("spirals"),
}


def write(folder: str | PathLike[str], names: str | Iterable[str] = ()) -> Iterator[Path]:
    """Write pictures of the gallery into a folder, which is created if missing; yields each path.

    This is a generator: each picture is drawn when its path is requested.

    names  a name such as "race.gif" or "race", or several of them; by default all

    ValueError for an unknown name, OSError for a folder that can't be written.
    """
    known = {Path(file).stem: file for file in FIGURES}
    names = [names] if isinstance(names, str) else [*_checks.items("figures", "names", names)]
    stems = [_stem(name) for name in names]
    for name, stem in zip(names, stems, strict=True):
        if stem not in known:
            hint = _checks.nearest(str(name), known)
            raise ValueError(f"there is no figure {name!r}.{hint} There are {', '.join(known)}")
    folder = _files.folder("figures", folder)
    for file in [known[stem] for stem in stems] or FIGURES:
        _files.check("figures", folder / file)  # before the picture is drawn
        save: Callable[..., None] = film.save if file.endswith(".gif") else plots.save
        save(FIGURES[file](), folder / file)
        yield folder / file


def _stem(name: Any) -> str:
    """The name without the right suffix, in the form of FIGURES: "Family tree" is "family_tree"."""
    text = str(name).lower().replace(" ", "_").replace("-", "_")
    return Path(text).stem if text in FIGURES else text
