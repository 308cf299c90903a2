"""Pictures. They need Matplotlib: pip install 'minidl[viz]'."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from minidl import _checks

try:
    import matplotlib.pyplot as plt
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "minidl's pictures need Matplotlib: pip install 'minidl[viz]'"
    ) from error

# Okabe & Ito 2008: told apart by colour-blind readers too
COLOURS = {"blue": "#0072B2", "orange": "#D55E00", "green": "#009E73", "purple": "#CC79A7"}


def plot_schedule(schedule: Any, steps: int) -> Any:
    """The rate of a schedule over the first steps, its phases shaded; returns the axes."""
    t = np.arange(_checks.count("plot", "steps", steps))
    _, axes = plt.subplots(layout="constrained")
    axes.plot(t, schedule(t), color=COLOURS["blue"], marker="o" if steps == 1 else "")
    phases = [(start, name) for start, name in schedule.phases() if start < steps]
    ends = [*(start for start, _ in phases[1:]), steps - 1]
    for i, ((start, name), end) in enumerate(zip(phases, ends, strict=True)):
        axes.axvspan(start, end, color="0.5", alpha=(0.16, 0.06)[i % 2], linewidth=0)
        upright = (end - start) / steps < 0.016 * len(name)
        axes.text(
            (start + end) / 2,
            0.98,
            name,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            rotation=90 if upright else 0,
        )
    title = textwrap.shorten(repr(schedule), 300, placeholder=" …")
    axes.set(xlabel="step t", ylabel="learning rate", title=textwrap.fill(title, 60))
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])  # with room for the names
    axes.margins(x=0)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def plot_history(history: Any) -> Any:
    """Losses over the steps of a training, with the rate below; returns the two axes."""
    if not history.step_loss:
        raise ValueError("the history holds no step yet: there is nothing to plot")
    _, (top, bottom) = plt.subplots(2, sharex=True, height_ratios=(3, 1), layout="constrained")
    steps = np.arange(1, len(history.step_loss) + 1)
    top.plot(steps, history.step_loss, color=COLOURS["blue"], alpha=0.35, label="each step")
    if history.loss:
        ends = history.epoch_ends
        top.plot(ends, history.loss, color=COLOURS["blue"], label="mean of the epoch")
        if history.validation:
            ends = ends[: len(history.validation)]
            top.plot(ends, history.validation, color=COLOURS["orange"], label="validation")
    bottom.plot(steps, history.lr, color=COLOURS["green"])
    if min(history.step_loss) > 0:
        top.set_yscale("log")
    top.set(ylabel="loss")
    top.legend(frameon=False)
    bottom.set(xlabel="step", ylabel="learning rate")
    bottom.set_ylim(bottom=0)
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
    return top, bottom
