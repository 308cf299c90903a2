"""Pictures. They need Matplotlib: pip install 'minidl[viz]'."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from minidl import _checks, _files
from minidl.viz import style
from minidl.viz._race.surfaces import heights
from minidl.viz.style import COLOURS, STYLE

try:
    import matplotlib.pyplot as plt
    from matplotlib import patheffects
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "minidl's pictures need Matplotlib: pip install 'minidl[viz]'"
    ) from error

LEVELS = 12  # contour lines
LETTERS = 16  # of a name, in a line
START = {"marker": "o", "markersize": 10, "color": "white", "mec": COLOURS["black"], "mew": 2}
GOAL: tuple[dict[str, Any], ...] = (  # a target: a cross, a ring, a dot
    {"marker": "+", "markersize": 24, "color": COLOURS["black"], "mew": 1.5},
    {"marker": "o", "markersize": 13, "color": "white", "mec": COLOURS["black"], "mew": 2},
    {"marker": "o", "markersize": 5, "color": COLOURS["black"]},
)
POINTS = 72  # of an inch, in which letters are measured
# warm where the rate is raised, cool where it is lowered to its end, grey elsewhere
TINTS = {"warm-up": "#FBE3C0", "up": "#FBE3C0", "cool-down": "#CFE6F6", "down": "#CFE6F6"}
GREYS = ("#F7F8F9", "#E9EBEE")


def save(figure: Any, path: Any) -> None:
    """Write a figure; ValueError for another ending, OSError for a path that can't be written."""
    path = _files.ending("plot", path, _files.STILLS)
    with _files.writing("plot", path), style.drawing():
        figure.savefig(path)


def plot_schedule(schedule: Any, steps: int) -> Any:
    """The rate of a schedule over the first steps, its phases shaded; returns the axes."""
    t = np.arange(_checks.count("plot", "steps", steps))
    with style.drawing():
        axes = plt.subplots()[1]
        axes.plot(t, schedule(t), color=COLOURS["blue"], marker="o" if steps == 1 else "")
        shade(axes, schedule.phases(), steps - 1, inches=9, size=14)
        title = textwrap.shorten(repr(schedule), 300, placeholder=" …")
        axes.set(xlabel="step t", ylabel="learning rate η", title=textwrap.fill(title, 60))
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])  # with room for the names
        axes.margins(x=0)
        _keep_ticks(axes)
    return axes


def shade(
    axes: Any, phases: list[tuple[int, str]], last: int, *, inches: float, size: float
) -> None:
    """Shade the phases that begin before the last step, and name them: upright where it is narrow.

    inches  how wide the axes are
    size    of the letters, in points
    """
    phases = [(start, name) for start, name in phases if start < max(last, 1)]
    ends = [*(start for start, _ in phases[1:]), last]
    for i, ((start, name), end) in enumerate(zip(phases, ends, strict=True)):
        axes.axvspan(start, end, color=TINTS.get(name, GREYS[i % 2]), linewidth=0, zorder=0)
        letters = (end - start) / (last or 1) * inches * POINTS / (0.57 * size)
        words = name if len(name) <= letters else name.replace(" ", "\n")
        fits = max(map(len, words.split("\n"))) <= letters
        single = fits and words == name
        axes.text(
            (start + end) / 2, 0.88 if single else 0.97, words, size=size, ha="center",
            va="baseline" if single else "top", linespacing=1, rotation=0 if fits else 90,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def plot_history(history: Any) -> Any:
    """Losses over the steps of a training, with the rate below; returns the two axes."""
    if not history.step_loss:
        raise ValueError("the history holds no step yet: there is nothing to plot")
    with style.drawing():
        _, (top, bottom) = plt.subplots(2, sharex=True, height_ratios=(3, 1))
        steps = np.arange(1, len(history.step_loss) + 1)
        top.plot(steps, history.step_loss, color=COLOURS["blue"], alpha=0.35, label="each step")
        if history.loss:
            ends = history.epoch_ends
            top.plot(ends, history.loss, color=COLOURS["blue"], label="mean of the epoch")
            if history.validation:
                ends = ends[: len(history.validation)]
                top.plot(ends, history.validation, color=COLOURS["vermilion"], label="validation")
        bottom.plot(steps, history.lr, color=COLOURS["green"])
        if min(history.step_loss) > 0:
            top.set_yscale("log")
        top.set(ylabel="loss")
        top.legend()
        bottom.set(xlabel="step", ylabel="learning rate η")
        bottom.set_ylim(bottom=0)
        for axes in (top, bottom):
            _keep_ticks(axes)
    return top, bottom


# --- races --------------------------------------------------------------------------------------


def contours(axes: Any, surface: Any, view: Any) -> None:
    """A part of the surface as lines of equal height, its minima as stars."""
    x, y, z = surface.grid(201, *view)
    height, _ = heights(z, np.min(z, where=np.isfinite(z), initial=np.inf))
    levels = np.linspace(0, np.nanmax(height) or 1, LEVELS + 1)
    axes.contourf(x, y, height, levels, cmap="Blues", alpha=0.35, zorder=0)
    axes.contour(x, y, height, levels, colors="#7b8ca3", linewidths=0.7, alpha=0.6, zorder=1)
    for mark in GOAL:
        axes.plot(*surface.minima.T, linestyle="none", zorder=9, label="goal", **mark)
    axes.set(xlim=view[0], ylim=view[1], xlabel="parameter x", ylabel="parameter y")
    axes.set_aspect("equal", adjustable="box")
    _keep_ticks(axes)
    axes.spines[["top", "right"]].set_visible(True)


def plot_race(race: Any, start: int = 0, title: str | None = None, path: Any = None) -> Any:
    """Contours, the path of each run from one start, and how it ended; returns the axes.

    With a path the picture is written, and closed.
    """
    if path is not None:
        _files.ending("plot", path, _files.STILLS)
    with style.drawing():
        axes, tracks, words = board(race, start)
        entitle(axes, headline(race, start) if title is None else title)
    for run, (line, head), text in zip(race.runs, tracks, words, strict=True):
        line.set_data(*run.theta[:, start].T)
        head.set_data(*run.theta[-1:, start].T)
        text.set_text(ending(run, start))
    settle(axes.figure)
    if path is not None:
        save(axes.figure, path)
        plt.close(axes.figure)
    return axes


def entitle(axes: Any, title: str) -> None:
    """A title that begins where the axes do, as it may be longer."""
    axes.set_title(plain(title), x=0, ha="left")


def plain(text: str) -> str:
    """A text that Matplotlib writes as it is, also with dollars in it."""
    return text.replace("$", r"\$")


def _keep_ticks(axes: Any) -> None:
    """As many ticks as have room, also if it is drawn later, with other settings."""
    axes.tick_params(labelsize=STYLE["xtick.labelsize"])


def settle(figure: Any) -> None:
    """Lay a figure out until places and ticks, which depend on each other, agree."""
    for _ in range(2):
        figure.draw_without_rendering()


def board(race: Any, start: int) -> tuple[Any, list[Any], list[Any]]:
    """What a race is drawn on: the axes, and for each run (path, head) and a text in a list.

    The list is in the order in which they arrive.
    """
    _, (axes, listed) = plt.subplots(1, 2, width_ratios=(1.45, 1))
    contours(axes, race.surface, race.view(start))
    x, y = race.starts[start]
    axes.plot([x], [y], linestyle="none", zorder=3, label="start", **START)
    looks = race.looks()
    tracks = [track(axes, look) for look in looks]
    listed.set(xlim=(0, 1), ylim=(0, 1))
    listed.set_axis_off()
    names = [plain(textwrap.fill(run.name, LETTERS)) for run in race.runs]
    tall = 1 + max(name.count("\n") for name in names)
    space = 1 / max(11, tall * len(names) + 2)
    longest = max(len(line) for name in names for line in name.split("\n"))
    first = 0.14 + 0.04 * max(9.5, longest)  # behind the names
    second = first + 0.24
    for place, title in ((first, "rate η"), (second, "at the goal after")):
        listed.text(place, 1 - space / 2, title, color=COLOURS["grey"], va="center", fontsize=12)
    order = sorted(range(len(race.runs)), key=lambda i: _rank(race.runs[i], start))
    words = {}
    for line, i in enumerate(order):
        run, height = race.runs[i], 1 - space * (tall * (line + 0.5) + 1)
        colour, marker, dashes = looks[i]
        line_of = {"color": colour, "linestyle": dashes}
        listed.plot([0, 0.05, 0.1], [height] * 3, **line_of, **_mark(marker), markevery=[1])
        change = np.ptp(run.lr) and ("falls" if run.lr[-1] < run.lr[0] else "varies")
        written = (
            (0.14, names[i], "bold"),
            (first, change or f"{run.lr[0]:.3g}", "normal"),
            (second, "", "normal"),
        )
        for place, text, weight in written:
            words[i] = listed.text(place, height, text, weight=weight, va="center", fontsize=13)
    height = 1 - space * (tall * len(names) + 1.5)
    for place, marks, word in ((0.05, [START], "start"), (first, GOAL, "goal")):
        if word == "start" or len(race.surface.minima):
            for mark in marks:
                listed.plot([place], [height], linestyle="none", **mark)
            listed.text(place + 0.09, height, word, color=COLOURS["grey"], va="center", fontsize=13)
    return axes, tracks, [words[i] for i in range(len(race.runs))]


def track(axes: Any, look: Any) -> tuple[Any, Any]:
    """An empty path and a marker for its head, in the look of the rule."""
    colour, marker, dashes = look
    casing = [patheffects.Stroke(linewidth=4, foreground="white"), patheffects.Normal()]
    (path,) = axes.plot([], [], color=colour, linestyle=dashes, path_effects=casing, zorder=4)
    (head,) = axes.plot([], [], color=colour, linestyle="none", **_mark(marker), zorder=8)
    return path, head


def _mark(marker: str) -> dict[str, Any]:
    return {"marker": marker, "markersize": 14 if marker == "*" else 11, "mec": "white"}


def _rank(run: Any, start: int) -> tuple[float, float]:
    arrived, loss = run.arrived[start], run.loss[-1, start]
    return (
        np.inf if arrived is None else arrived,
        loss if np.isfinite(loss) else np.inf,
    )


def ending(run: Any, start: int) -> str:
    """How a run ended, in two or three words."""
    arrived = run.arrived[start]
    return run.verdicts[start] if arrived is None else steps_of(arrived)


def steps_of(count: int) -> str:
    """So many steps, in words: "1 step"."""
    return f"{count} step{'s' * (count != 1)}"


def headline(race: Any, start: int) -> str:
    """The point of the picture in a line."""
    first = min(race.runs, key=lambda run: _rank(run, start))
    where = f"{race.surface.name}, {steps_of(race.steps)}"
    if len(race.runs) == 1:
        return f"{where}: {first.name}, {ending(first, start)}"
    if not len(race.surface.minima):
        return f"{where}, no goal"
    if first.arrived[start] is None:
        return f"{where}: none reaches the goal"
    return f"{where}: {first.name} is first"
