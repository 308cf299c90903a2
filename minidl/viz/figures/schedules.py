"""Figures of the gallery: all learning-rate schedules, and the shapes of warm-up and cool-down."""

from __future__ import annotations

import copy
import itertools
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from minidl import _checks, optim, schedulers
from minidl.schedulers import ReduceOnPlateau, Schedule, plateaus
from minidl.tensor import Tensor
from minidl.viz import plots, style

LABELS: dict[str, tuple[str, float, Literal["left", "right"], int, int]] = {
    # how a ramp falls; the position of the label along it, its alignment, and its offset
    "linear": ("evenly", 0.7, "left", 1, 1),
    "cosine": ("gently, fast, gently", 0.28, "left", 1, 1),
    "one_minus_sqrt": ("fast, then ever slower", 0.3, "right", -1, -1),
}
PURPOSES = {  # of the phases
    "warm-up": "small first steps,\nwhile the gradients\nstill mislead",
    "constant": "large steps\ncover the distance",
    "cool-down": "smaller and smaller steps:\nthe weights settle",
}


# --- every schedule -----------------------------------------------------------------------------


def examples(steps: int = 1000, peak: float = 0.1) -> dict[str, Schedule]:
    """One example of each schedule for a training of `steps` ≥ 20 steps, {call: schedule}.

    >>> from minidl.viz.figures.schedules import examples
    >>> list(examples())[:2]
    ['Constant(0.1)', 'StepDecay(0.1, every=250, factor=0.5)']
    """
    steps = _checks.count("examples", "steps", steps, 20)
    peak = _checks.number("examples", "peak", peak, above=True)
    s = schedulers
    part, third, half, most = (round(fraction * steps) for fraction in (0.3, 0.35, 0.5, 0.8))
    low, lower = round(peak / 2, 12), round(peak / 5, 12)
    chosen = [
        s.Constant(peak),
        s.StepDecay(peak, steps // 4, 0.5),
        s.PiecewiseConstant((part, steps - part), (peak, low, lower)),
        s.ExponentialDecay(peak, 0.5, part),
        s.InverseTimeDecay(peak, 1.0, part),
        s.InverseSqrtDecay(peak, part),
        s.LinearDecay(peak, most),
        s.PolynomialDecay(peak, most, power=2.0),
        s.CosineDecay(peak, most),
        s.CosineRestarts(peak, steps // 7, multiply=2),
        s.Triangular(lower, peak, steps // 6, decay=0.7),
        s.OneCycle(peak, most),
        s.WarmUp(s.CosineDecay(peak, half), part),
        s.CoolDown(peak, third, third),
        s.Hold(s.LinearDecay(peak, steps), half),
        s.Sequence([(low, half), s.LinearDecay(peak, half)]),
        s.ReduceOnPlateau(peak, factor=0.3, patience=2),
    ]
    by_call = {plots.call(schedule): schedule for schedule in chosen}
    up, down = round(0.28 * steps), round(0.32 * steps)
    combined = s.warmup_stable_decay(peak, up, up, down)
    by_call[f"warmup_stable_decay({peak:g}, {up}, {up}, {down})"] = combined
    return by_call


def reset_copy(schedule: Any) -> tuple[Any, list[ReduceOnPlateau]]:
    """A copy of a schedule or rate with every ReduceOnPlateau in its initial state, and these."""
    copied = copy.deepcopy(schedule)
    found = plateaus(copied)
    for plateau in found:
        plateau.reset()
    return copied, found


def every_schedule(
    schedules: Iterable[Schedule] | Mapping[str, Schedule] | None = None,
    *,
    steps: int = 1000,
    columns: int = 3,
) -> Figure:
    """Each schedule in its own panel, titled by its call, with its phases shaded and named.

    schedules  a list of schedules, or {title: schedule}; by default one example of each schedule
    steps      how many steps to draw, ≥ 1; ≥ 20 for the examples
    columns    panels side by side, ≥ 1

    The rate of a ReduceOnPlateau comes from a real run: it observes the loss of gradient descent on
    a bowl with noisy gradients. The loss is the grey line, on a logarithmic scale.
    """
    steps = _checks.count("every_schedule", "steps", steps)
    columns = _checks.count("every_schedule", "columns", columns)
    chosen = examples(steps) if schedules is None else _titled(schedules)
    rows = math.ceil(len(chosen) / columns)
    drawn = {title: _rates(schedule, steps) for title, schedule in chosen.items()}
    peak = max(rates.max() for rates, _ in drawn.values()) or 1.0
    with style.context():
        figure = plots.new_figure(figsize=(3.6 * columns, 2 * rows))
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for i, (panel, title) in enumerate(itertools.zip_longest(panels.flat, chosen)):
            if title is None:
                panel.set_axis_off()
                continue
            rates, loss = drawn[title]
            panel.plot(rates, color=style.COLOURS["blue"], marker="o" if steps == 1 else "")
            if loss is not None:
                panel.plot(loss * peak, color=style.COLOURS["grey"], linewidth=1, zorder=1)
                panel.text(
                    0.4, 0.3, "the loss it observes", transform=panel.transAxes, size=13,
                    color=style.COLOURS["grey"],
                )  # fmt: skip
            name, parenthesis, arguments = title.partition("(")
            lines = textwrap.wrap(parenthesis + arguments, 33)
            panel.set_title("\n".join([name, *lines]), size=13, linespacing=1.1, loc="left")
            panel.set(xlim=(0, steps), ylim=(0, 1.5 * peak), xticks=[0, steps / 2, steps])
            panel.set_yticks([0, peak], ["0", f"{peak:g}"])
            panel.tick_params(labelbottom=i + columns >= len(chosen))
            plots.shade_phases(panel, chosen[title].phases(), steps, inches=3.05, size=12)
        figure.supxlabel("step t", size=14)
        figure.supylabel("learning rate η", size=14)
    return figure


def _titled(schedules: Any) -> dict[str, Schedule]:
    """{title: schedule}, after a check."""
    if not isinstance(schedules, Mapping):
        if isinstance(schedules, Schedule) or not isinstance(schedules, Iterable):
            raise TypeError(
                f"every_schedule: schedules must be a list of schedules, got {schedules!r}"
            )
        schedules = {plots.call(s) if isinstance(s, Schedule) else repr(s): s for s in schedules}
    for title, schedule in schedules.items():
        if not isinstance(schedule, Schedule):
            raise TypeError(
                f"every_schedule: {title!r} must be a schedule, such as "
                f"schedulers.CosineDecay(0.1, 900), got {schedule!r}"
            )
    if not schedules:
        raise ValueError("every_schedule: schedules is empty; give one or more, or None for all")
    return dict(schedules)


def _rates(schedule: Schedule, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The rate at each step, and for a ReduceOnPlateau the loss it observed, scaled to [0, 1]."""
    schedule, observers = reset_copy(schedule)
    if not observers:
        return schedule(np.arange(steps)), None
    rng = np.random.default_rng(0)
    weights = Tensor(rng.standard_normal(200), requires_grad=True)
    optimizer = optim.SGD([weights], lr=schedule)
    curvature = 0.1 / (observers[0].lr or 1.0)
    every = max(steps // 25, 1)
    rates, loss = np.empty(steps), np.empty(steps)
    for t in range(steps):
        rates[t], loss[t] = optimizer.lr, np.mean(weights.data**2)
        weights.grad = curvature * (weights.data + rng.standard_normal(weights.shape))
        optimizer.step()
        if (t + 1) % every == 0:
            for plateau in observers:
                plateau.observe(np.mean(loss[t + 1 - every : t + 1]))
    logarithm = np.log(loss)
    return rates, (logarithm - logarithm.min()) / (np.ptp(logarithm) or 1.0)


# --- warm-up and cool-down ----------------------------------------------------------------------


def warm_up_and_cool_down(
    *,
    peak: float = 0.1,
    warmup: int = 250,
    stable: int = 350,
    cooldown: int = 450,
    end: float = 0.0,
    shapes: Sequence[str] = ("linear", "cosine", "one_minus_sqrt"),
) -> Figure:
    """Warm-up and cool-down of the same rate in several shapes, and the purpose of each phase.

    peak      the rate between the ramps, > 0
    warmup    steps of the warm-up, ≥ 1
    stable    steps at the peak, ≥ 0
    cooldown  steps of the cool-down, ≥ 1
    end       the rate after it
    shapes    one or more of "linear", "cosine", "one_minus_sqrt"
    """
    name = "warm_up_and_cool_down"
    _checks.number(name, "peak", peak, above=True)
    if isinstance(shapes, str) or not isinstance(shapes, Iterable) or not shapes:
        raise TypeError(f"{name}: shapes must be a list of one or more, got {shapes!r}")
    ramps = {
        shape: schedulers.CoolDown(
            schedulers.WarmUp(peak, warmup, shape=shape),
            warmup + _checks.count(name, "stable", stable, 0), cooldown, end, shape,
        )
        for shape in shapes
    }  # fmt: skip
    steps = round(1.09 * (warmup + stable + cooldown)) + 1
    t = np.arange(steps)
    with style.context():
        figure = plots.new_figure()
        axes = figure.subplots()
        for (shape, schedule), (colour, dashes) in zip(
            ramps.items(), style.LINE_STYLES, strict=False
        ):
            axes.plot(t, schedule(t), color=colour, linestyle=dashes, label=shape)
            manner, fraction, alignment, sideways, upwards = LABELS[shape]
            at = warmup + stable + round(fraction * cooldown)
            axes.annotate(
                f"{shape}\n{manner}", (at, schedule(at)), (12 * sideways, 8 * upwards),
                textcoords="offset points", color=colour, weight="bold",
                ha=alignment, va="top" if upwards < 0 else "bottom",
            )  # fmt: skip
        top = max(peak, end)
        axes.set(xlim=(0, steps), ylim=(0, 1.62 * top), xlabel="step t", ylabel="learning rate η")
        axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 1.001 * top])
        phases = next(iter(ramps.values())).phases()
        plots.shade_phases(axes, phases, steps, inches=9.2, size=17)
        for (start, phase), (stop, _) in itertools.pairwise(phases):
            purpose = PURPOSES[phase]
            width = (stop - start) / steps * 9.2 * plots.POINTS_PER_INCH
            if width > 7 * max(map(len, purpose.split("\n"))):
                axes.text(
                    (start + stop) / 2, 0.86, purpose, transform=axes.get_xaxis_transform(),
                    size=13, ha="center", va="top", linespacing=1.15,
                )  # fmt: skip
        title = "Warm-up takes the rate up, cool-down takes it down: evenly, gently or fast"
        axes.set_title(title, loc="left")
    return figure
