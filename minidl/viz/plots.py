"""Still pictures of schedules, histories and races, behind their `plot` methods.

They need Matplotlib: pip install 'minidl[viz]'.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import textwrap
from collections.abc import Callable
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from minidl import _checks, _files
from minidl._format import number
from minidl.history import History
from minidl.schedulers import Constant, Schedule
from minidl.viz import style
from minidl.viz._race.record import RaceRecord, Run
from minidl.viz._race.surfaces import Interval, Surface, heights
from minidl.viz.style import COLOURS, STYLE, RunStyle

try:
    import matplotlib.pyplot as plt
    from matplotlib import patheffects
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "minidl's pictures need Matplotlib: pip install 'minidl[viz]'"
    ) from error

CONTOURS = 12  # contour lines
LABEL_WIDTH = 22  # characters of an optimizer's label in one line
START: dict[str, Any] = {
    "marker": "o", "markersize": 10, "color": "white", "mec": COLOURS["black"], "mew": 2,
}  # fmt: skip
GOAL: tuple[dict[str, Any], ...] = (  # a target: a cross, a ring, a dot
    {"marker": "+", "markersize": 24, "color": COLOURS["black"], "mew": 1.5},
    {"marker": "o", "markersize": 13, "color": "white", "mec": COLOURS["black"], "mew": 2},
    {"marker": "o", "markersize": 5, "color": COLOURS["black"]},
)
POINTS_PER_INCH = 72  # font sizes are in points
# warm where the rate rises, cool where it falls to its final value, grey elsewhere
PHASE_COLOURS = {
    "warm-up": "#FBE3C0", "up": "#FBE3C0", "cool-down": "#CFE6F6", "down": "#CFE6F6",
}  # fmt: skip
GREYS = ("#F7F8F9", "#E9EBEE")


class Picture(Figure):
    """A figure that pyplot does not know, so it neither stays open nor becomes the current one."""

    def _repr_png_(self) -> bytes:  # for notebooks
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def new_figure(**options: Any) -> Figure:
    """A new figure outside of pyplot; the options are those of Matplotlib's Figure."""
    figure = Picture(**options)
    FigureCanvasAgg(figure)
    return figure


def _open(figure: Figure) -> None:
    """Hand a drawn figure to pyplot, which shows it in a notebook or with plt.show().

    Outside of style.context: pyplot may load its backend now, and what that sets must remain.
    """
    plt.figure(FigureClass=lambda **_: figure)  # type: ignore[arg-type]


def _finish(figure: Figure | SubFigure, path: str | PathLike[str] | None) -> None:
    """Write a drawn figure if a path is given; otherwise open it in pyplot."""
    if path is None:
        _open(figure.figure)
    else:
        save(figure, path)


def save(figure: Figure | SubFigure, path: str | PathLike[str]) -> None:
    """Write a figure; ValueError for another ending, OSError for a path that can't be written."""
    path = _files.ending("plot", path, _files.STILLS)
    with _files.replacing("plot", path) as temporary, style.context():
        figure.figure.savefig(temporary)  # the whole figure of a SubFigure


def plot_schedule(schedule: Schedule, steps: int, path: str | PathLike[str] | None = None) -> Axes:
    """Plot the rate of a schedule over the first steps, with its phases shaded."""
    t = np.arange(_checks.count("plot", "steps", steps))
    with style.context():
        figure = new_figure()
        axes: Axes = figure.subplots()
        axes.plot(t, schedule(t), color=COLOURS["blue"], marker="o" if steps == 1 else "")
        shade_phases(axes, schedule.phases(), steps - 1, inches=9, size=14)
        axes.set(xlabel="step t", ylabel="learning rate η")
        set_title(axes, textwrap.fill(call(schedule), 80, max_lines=2, placeholder=" …"))
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])  # space for the names of the phases
        axes.margins(x=0)
        _fix_tick_size(axes)
    _finish(figure, path)
    return axes


def call(schedule: Schedule) -> str:
    """The call that makes a schedule, without the defaults.

    >>> from minidl.viz import plots
    >>> plots.call(dl.schedulers.WarmUp(dl.schedulers.CosineDecay(0.1, steps=900), steps=100))
    'WarmUp(CosineDecay(0.1, steps=900), steps=100)'
    """
    arguments: list[str] = []
    instance: Any = schedule
    for field in dataclasses.fields(instance) if dataclasses.is_dataclass(instance) else ():
        value = getattr(schedule, field.name)
        if field.init and value != field.default:
            positional = not arguments or isinstance(value, tuple)
            arguments.append(_text(value) if positional else f"{field.name}={_text(value)}")
    return f"{type(schedule).__name__}({', '.join(arguments)})"


def _text(value: Any) -> str:
    """An argument of a call as text."""
    if isinstance(value, Constant):
        return _text(value.lr)
    if isinstance(value, Schedule):
        return call(value)
    if isinstance(value, tuple):  # a (schedule, steps) pair of a Sequence, or a list
        pair = len(value) == 2 and isinstance(value[0], Schedule) and isinstance(value[1], int)
        items = ", ".join(map(_text, value))
        return f"({items})" if pair else f"[{items}]"
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else repr(value)


def shade_phases(
    axes: Axes, phases: list[tuple[int, str]], last: int, *, inches: float, size: float
) -> None:
    """Shade and name the phases that begin before the last step; names turn to fit narrow phases.

    inches  the width of the axes
    size    of the font, in points
    """
    phases = [(start, name) for start, name in phases if start < max(last, 1)]
    ends = [*(start for start, _ in phases[1:]), last]
    for i, ((start, name), end) in enumerate(zip(phases, ends, strict=True)):
        axes.axvspan(start, end, color=PHASE_COLOURS.get(name, GREYS[i % 2]), linewidth=0, zorder=0)
        text = axes.text(
            (start + end) / 2, 0.88, name, size=size, ha="center", va="baseline", linespacing=1,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
        space = (end - start) / (last or 1) * inches * POINTS_PER_INCH
        if text_size(text)[0] > space:
            text.set(text=name.replace(" ", "\n"), y=0.97, va="top")
            if text_size(text)[0] > space:
                text.set_rotation(90)


def label_ends(axes: Axes, label: Callable[[Line2D, float], str], gap: float) -> None:
    """Draw label(line, last value) to the right of each line.

    gap  the smallest distance between labels, as a fraction of the height of the axes
    """
    lines, last = [], []
    for line in axes.get_lines():
        points = np.asarray(line.get_xydata())
        finite = points[np.isfinite(points).all(axis=1)]
        if len(finite):
            lines.append(line)
            last.append(finite[-1])
    if not lines:
        return
    heights = axes.transAxes.inverted().transform(axes.transData.transform(np.array(last)))[:, 1]
    order = np.argsort(heights, kind="stable")
    positions = heights[order]
    for i in range(1, len(positions)):
        positions[i] = max(positions[i], positions[i - 1] + gap)
    positions[-1] = min(positions[-1], 1)
    for i in reversed(range(len(positions) - 1)):
        positions[i] = min(positions[i], positions[i + 1] - gap)
    for position, i in zip(positions, order, strict=True):
        axes.text(
            1.01, position, label(lines[i], last[i][1]), transform=axes.transAxes, weight="bold",
            color=lines[i].get_color(), va="center", linespacing=1,
        )  # fmt: skip


def text_size(text: Text) -> np.ndarray:
    """The width and height of a text in points."""
    box, figure = text.get_window_extent(), text.figure
    return np.array([box.width, box.height]) * POINTS_PER_INCH / (figure.dpi if figure else 72)


def plot_history(history: History, path: str | PathLike[str] | None = None) -> tuple[Axes, ...]:
    """Plot the losses of a training over its steps, the metrics if there are any, and the rate.

    Returns the axes of losses and rate, and then those of metrics. Metrics that are arrays are left
    out.
    """
    if not history.step_loss:
        raise ValueError("the history has no steps yet, so there is nothing to plot")
    metrics = {name: m for name, m in history.metrics.items() if m and all(map(np.isscalar, m))}
    with style.context():
        figure = new_figure()
        ratios = (3, 2, 1) if metrics else (3, 1)
        top, *middle, bottom = figure.subplots(len(ratios), sharex=True, height_ratios=ratios)
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
        for axes in middle:
            _plot_metrics(axes, metrics, history.epoch_ends)
        bottom.set(xlabel="step", ylabel="rate η" if middle else "learning rate η")
        bottom.set_ylim(bottom=0)
        for axes in (top, *middle, bottom):
            _fix_tick_size(axes)
    _finish(figure, path)
    return top, bottom, *middle


def _plot_metrics(axes: Axes, metrics: dict[str, list[float]], ends: list[int]) -> None:
    """Plot each metric over the steps at the ends of epochs, that of the validation dashed."""
    names = [name for name in metrics if name.removeprefix("validation_") not in metrics]
    names += [name for name in metrics if name not in names and name[:11] != "validation_"]
    colours = dict(zip(dict.fromkeys(names), itertools.cycle(COLOURS.values()), strict=False))
    for name, values in metrics.items():
        own = colours.get(name, colours.get(name.removeprefix("validation_")))
        line = "-" if name in colours else "--"
        axes.plot(ends[len(ends) - len(values) :], values, line, color=own, label=name)
    axes.set(ylabel="metrics")
    axes.legend(fontsize="small", ncols=2)


def plot_rates(
    rates: list[float],
    losses: list[float],
    chosen: float,
    reason: str,
    path: str | PathLike[str] | None = None,
) -> Axes:
    """Plot smoothed losses over the rates that were tried, and mark the one that was chosen."""
    with style.context():
        figure = new_figure()
        axes = figure.subplots()
        axes.plot(rates, losses, color=COLOURS["blue"])
        axes.set_xscale("log")
        axes.axvline(chosen, color=COLOURS["vermilion"], linestyle="--")
        place = axes.get_xaxis_transform()
        axes.text(chosen, 0.97, f" {chosen:.3g}", va="top", transform=place)
        low, high = min(losses), losses[0]
        axes.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low))
        axes.set(xlabel="learning rate η", ylabel="loss, smoothed")
        set_title(axes, textwrap.fill(reason, 70))
        _fix_tick_size(axes)
    _finish(figure, path)
    return axes


# --- races --------------------------------------------------------------------------------------


def plot_contours(axes: Axes, surface: Surface, view: tuple[Interval, Interval]) -> None:
    """Plot a part of a surface as contours, with its minima as targets."""
    x, y, f = surface.grid(201, *view)
    height, _ = heights(f, np.min(f, where=np.isfinite(f), initial=np.inf))
    levels = np.linspace(0, np.nanmax(height) or 1, CONTOURS + 1)
    axes.contourf(x, y, height, levels, cmap="Blues", alpha=0.35, zorder=0)
    axes.contour(x, y, height, levels, colors="#7b8ca3", linewidths=0.7, alpha=0.6, zorder=1)
    for marker in GOAL:
        axes.plot(*surface.minima.T, linestyle="none", zorder=9, label="goal", **marker)
    axes.set(xlim=view[0], ylim=view[1], xlabel=surface.axes[0], ylabel=surface.axes[1])
    axes.set_aspect("equal", adjustable="box")
    _fix_tick_size(axes)
    axes.spines[["top", "right"]].set_visible(True)


def plot_race(
    race: RaceRecord,
    start: int = 0,
    title: str | None = None,
    path: str | PathLike[str] | None = None,
) -> Axes:
    """Plot the contours, the path of each run from one start, and how it ended."""
    if not isinstance(title, str | None):
        raise TypeError(f"plot: title must be a string, got {title!r}")
    axes = race_axes(race, start, title)
    _finish(axes.figure, path)
    return axes


def race_axes(race: RaceRecord, start: int = 0, title: str | None = None) -> Axes:
    """The axes of that plot, in a figure that is neither written nor opened."""
    with style.context():
        picture = draw_race(race, start)
        set_title(picture.axes, headline(race, start) if title is None else title)
    for run, (line, marker), text in zip(race.runs, picture.tracks, picture.outcomes, strict=True):
        line.set_data(*run.theta[:, start].T)
        marker.set_data(*run.theta[-1:, start].T)
        text.set_text(race._ending(run, start))
    finish_layout(picture.figure)
    return picture.axes


def set_title(axes: Axes, title: str) -> None:
    """Set a title that is aligned with the left edge of the axes, as it may be wider than them."""
    axes.set_title(escaped(title), x=0, ha="left")


def escaped(text: str) -> str:
    """The text with its dollars escaped, so that Matplotlib does not typeset it as mathematics."""
    return text.replace("$", r"\$")


def _fix_tick_size(axes: Axes) -> None:
    """Set the size of the tick labels, so that a later draw with other settings keeps the ticks."""
    axes.tick_params(labelsize=STYLE["xtick.labelsize"])


def finish_layout(figure: Figure) -> None:
    """Lay the figure out twice, as the positions of axes and their ticks depend on each other."""
    for _ in range(2):
        figure.draw_without_rendering()


class RacePicture(NamedTuple):
    """A drawn race, and its artists that change from step to step.

    axes      with the contours
    tracks    for each run its path and the marker at the end of it, both empty
    outcomes  for each run the text in the table beside the axes, empty
    """

    figure: Figure
    axes: Axes
    tracks: list[tuple[Line2D, Line2D]]
    outcomes: list[Text]


def draw_race(race: RaceRecord, start: int) -> RacePicture:
    """Draw what stays the same during a race: contours, start, and the table of the runs.

    The table is in the order of arrival.
    """
    figure = new_figure()
    axes, table = figure.subplots(1, 2, width_ratios=(2.4, 1))
    plot_contours(axes, race.surface, race._view(start))
    x, y = race.starts[start]
    axes.plot([x], [y], linestyle="none", zorder=3, label="start", **START)
    styles = race._styles()
    tracks = [_track(axes, run_style) for run_style in styles]
    table.set(xlim=(0, 1), ylim=(0, 1))
    table.set_axis_off()
    names = [escaped(textwrap.fill(run.name, LABEL_WIDTH)) for run in race.runs]
    rates = [_rate_text(run) for run in race.runs]
    column = 0.19 + 0.038 * max(9, *map(len, rates))  # to the right of the rates
    lines = 2 + max(name.count("\n") for name in names)  # of each run
    line_height = 1 / max(22, lines * len(names) + 2)
    distance = min(line_height * (lines + 0.5), (1 - 2 * line_height) / len(names))  # of runs
    grey: dict[str, Any] = {"color": COLOURS["grey"], "va": "center", "fontsize": 12}
    order = sorted(range(len(race.runs)), key=lambda i: _rank(race.runs[i], start))
    outcomes = {}
    for row, i in enumerate(order):
        top = 1 - distance * row
        line: dict[str, Any] = {"color": styles[i].colour, "linestyle": styles[i].dashes}
        marker = _marker(styles[i].marker)
        middle = top - line_height * (lines - 1) / 2
        table.plot([0, 0.07, 0.14], [middle] * 3, **line, **marker, markevery=[1])
        table.text(0.19, middle, names[i], weight="bold", va="center", fontsize=13)
        below: dict[str, Any] = {"va": "center", "fontsize": 11.5}
        bottom = top - line_height * (lines - 0.5)
        table.text(0.19, bottom, rates[i], **below)
        outcomes[i] = table.text(column, bottom, "", **below)
    height = 1 - distance * len(names) - line_height
    legend = [(0.07, (START,), "start"), (column, GOAL, "goal")]
    for column, markers, name in legend[: 1 + bool(len(race.surface.minima))]:
        for marker in markers:
            table.plot([column], [height], linestyle="none", **marker)
        table.text(column + 0.12, height, name, **grey)
    return RacePicture(figure, axes, tracks, [outcomes[i] for i in range(len(race.runs))])


def _rate_text(run: Run) -> str:
    if np.ptp(run.lr):
        return "η falls" if run.lr[-1] < run.lr[0] else "η varies"
    return f"η = {number(run.lr[0], 3).shown}"


def _track(axes: Axes, run_style: RunStyle) -> tuple[Line2D, Line2D]:
    """An empty path, and an empty marker for the end of it."""
    colour, marker, dashes = run_style
    outline = [patheffects.Stroke(linewidth=4, foreground="white"), patheffects.Normal()]
    (path,) = axes.plot([], [], color=colour, linestyle=dashes, path_effects=outline, zorder=4)
    (end,) = axes.plot([], [], color=colour, linestyle="none", zorder=8, **_marker(marker))
    return path, end


def _marker(marker: str) -> dict[str, Any]:
    return {"marker": marker, "markersize": 14 if marker == "*" else 11, "mec": "white"}


def _rank(run: Run, start: int) -> tuple[float, float]:
    """The sorting key of a run: by arrival, then by f at the end."""
    arrived, loss = run.arrived[start], run.loss[-1, start]
    return (
        np.inf if arrived is None else arrived,
        loss if np.isfinite(loss) else np.inf,
    )


def steps_text(count: int) -> str:
    """A number of steps as text.

    >>> from minidl.viz import plots
    >>> plots.steps_text(1), plots.steps_text(2)
    ('1 step', '2 steps')
    """
    return f"{count} step{'s' * (count != 1)}"


def headline(race: RaceRecord, start: int) -> str:
    """The result of a race in one line."""
    first = min(race.runs, key=lambda run: _rank(run, start))
    setting = f"{race.surface.name}, {steps_text(race.steps)}"
    if len(race.runs) == 1:
        return f"{setting}: {first.name}, {race._ending(first, start)}"
    if not len(race.surface.minima):
        return f"{setting}, no goal"
    if first.arrived[start] is None:
        return f"{setting}: none reaches the goal"
    return f"{setting}: {first.name} is first"
