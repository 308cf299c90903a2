"""The gallery: the pictures of optimizers that courses show, each drawn from real runs.

Each is a function with settings of its own, which gives a Matplotlib figure or animation; `write`
makes the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from minidl import _checks, _files
from minidl.viz import film, plots
from minidl.viz._race import racing
from minidl.viz.figures.arrows import momentum_arrows
from minidl.viz.figures.batches import batch_paths
from minidl.viz.figures.boundary import decision_boundary
from minidl.viz.figures.curve import landscape
from minidl.viz.figures.family import family_tree
from minidl.viz.figures.learning import rate_and_loss
from minidl.viz.figures.rates import learning_rates
from minidl.viz.figures.schedules import every_schedule, warm_up_and_cool_down

try:
    import matplotlib.pyplot as plt
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "minidl's pictures need Matplotlib: pip install 'minidl[viz]'"
    ) from error


def optimizer_race(surface: Any = "beale", optimizers: Any = racing.ARTICLE, **options: Any) -> Any:
    """A race as an animation; the options are those of `dl.viz.race`.

    By default the best of 25 rates for each, and 150 steps.
    """
    options = {"steps": 150, "tune": "lr" not in options, **options}
    return racing.race(surface, optimizers, **options).animate(frames=76)


FIGURES: dict[str, Callable[..., Any]] = {
    "family_tree.png": family_tree,
    "race.gif": optimizer_race,
    "learning_rates.png": learning_rates,
    "landscape.png": landscape,
    "batch_paths.png": batch_paths,
    "momentum_arrows.png": momentum_arrows,
    "schedules.png": every_schedule,
    "warm_up_and_cool_down.png": warm_up_and_cool_down,
    "rate_and_loss.png": rate_and_loss,
    "moons.gif": decision_boundary,
    "spirals.gif": lambda: decision_boundary("spirals"),
}


def write(folder: Any, names: str | Sequence[str] = ()) -> Iterator[Path]:
    """Write pictures of the gallery into a folder, which is made if missing; gives each path.

    It is a generator: each picture is drawn as its path is asked for.

    names  one such as "race.gif" or "race", or a list of them; all without any

    ValueError for a name that isn't there, OSError for a folder that can't be written.
    """
    known = {Path(file).stem: file for file in FIGURES}
    names = [names] if isinstance(names, str) else names
    for name in names:
        if name not in (*known, *FIGURES):
            hint = _checks.nearest(str(name), known)
            raise ValueError(f"there is no figure {name!r}.{hint} There are {', '.join(known)}")
    folder = _files.folder("figures", folder)
    for file in [known[Path(name).stem] for name in names] or FIGURES:
        with _files.writing("figures", folder / file):
            pass  # or it is told before the work that it can't be
        before = plt.get_fignums()
        save = film.save if file.endswith(".gif") else plots.save
        try:
            save(FIGURES[file](), folder / file)
        finally:
            for number in set(plt.get_fignums()).difference(before):
                plt.close(number)
        yield folder / file
