"""Pictures of learning-rate schedules: all of them, two ramps compared, what they do to the loss.

Each function returns a Matplotlib figure. Phases are shaded: warm where the rate is raised, cool
where it is lowered to its end, grey elsewhere.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from minidl import _checks, losses, nn, optim, schedulers
from minidl.data import DataLoader
from minidl.schedulers import ReduceOnPlateau, Schedule
from minidl.tensor import Tensor
from minidl.training import DivergenceError, History, fit
from minidl.viz import style

try:
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "minidl's pictures need Matplotlib: pip install 'minidl[viz]'"
    ) from error

TINTS = {"warm-up": "#FBE3C0", "up": "#FBE3C0", "cool-down": "#CFE6F6", "down": "#CFE6F6"}
GREYS = ("#F7F8F9", "#E9EBEE")
POINTS = 72  # of an inch, in which letters are measured
LABELS = {  # what a ramp does; where in it the label stands, and on which side of the line
    "linear": ("evenly", 0.7, "left", 1, 1),
    "cosine": ("gently, fast, gently", 0.28, "left", 1, 1),
    "one_minus_sqrt": ("fast, then ever slower", 0.3, "right", -1, -1),
}
PHASES = {
    "warm-up": "small first steps,\nwhile the gradients\nstill mislead",
    "constant": "large steps\ncover the distance",
    "cool-down": "smaller and smaller steps:\nthe weights settle",
}
DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
HUES = tuple(
    style.COLOURS[name] for name in ("blue", "vermilion", "green", "purple", "black", "orange")
)


# --- every schedule -----------------------------------------------------------------------------


def examples(steps: int = 1000, peak: float = 0.1) -> dict[str, Schedule]:
    """One setting of each schedule for a training of `steps` ≥ 20 steps, by its call.

    >>> from minidl.viz.figures.schedules import examples
    >>> list(examples())[:2]
    ['Constant(0.1)', 'StepDecay(0.1, every=250, factor=0.5)']
    """
    steps = _checks.count("examples", "steps", steps, 20)
    peak = _checks.number("examples", "peak", peak, above=True)
    s = schedulers
    part, half, most = (round(share * steps) for share in (0.3, 0.5, 0.8))
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
        s.CoolDown(peak, half - part // 3, part),
        s.Hold(s.LinearDecay(peak, steps), half),
        s.Sequence([(low, half), s.LinearDecay(peak, half)]),
        s.ReduceOnPlateau(peak, factor=0.3, patience=2),
    ]
    by_call = {call(schedule): schedule for schedule in chosen}
    stable = round(0.27 * steps)
    whole = s.warmup_stable_decay(peak, part, stable, part)
    by_call[f"warmup_stable_decay({peak:g}, {part}, {stable}, {part})"] = whole
    return by_call


def call(schedule: Schedule) -> str:
    """The call that makes a schedule, without the defaults.

    >>> from minidl.viz.figures.schedules import call
    >>> call(dl.schedulers.WarmUp(dl.schedulers.CosineDecay(0.1, steps=900), steps=100))
    'WarmUp(CosineDecay(0.1, steps=900), steps=100)'
    """
    given: list[str] = []
    thing: Any = schedule
    for field in dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ():
        value = getattr(schedule, field.name)
        if field.init and value != field.default:
            bare = not given or isinstance(value, tuple)
            given.append(_words(value) if bare else f"{field.name}={_words(value)}")
    return f"{type(schedule).__name__}({', '.join(given)})"


def _words(value: Any) -> str:
    if isinstance(value, schedulers.Constant):
        return f"{value.lr:g}"
    if isinstance(value, Schedule):
        return call(value)
    if isinstance(value, tuple):  # a pair of a Sequence, or a list
        pair = len(value) == 2 and isinstance(value[0], Schedule) and isinstance(value[1], int)
        return (
            f"({', '.join(map(_words, value))})" if pair else f"[{', '.join(map(_words, value))}]"
        )
    return f"{value:g}" if isinstance(value, float) else repr(value)


def every_schedule(
    schedules: Iterable[Schedule] | Mapping[str, Schedule] | None = None,
    *,
    steps: int = 1000,
    columns: int = 4,
) -> Figure:
    """Every schedule in a panel of its own, under its call, with its phases shaded and named.

    schedules  schedules, or {title: schedule}; without them one example of each that there is
    steps      how many steps to draw, ≥ 1; ≥ 20 for the examples
    columns    panels side by side, ≥ 1

    The rate of a ReduceOnPlateau comes from a real run: gradient descent in a bowl with noisy
    gradients, whose loss it observes; the loss is the grey line, on a logarithmic scale.
    """
    steps = _checks.count("every_schedule", "steps", steps)
    columns = _checks.count("every_schedule", "columns", columns)
    chosen = examples(steps) if schedules is None else _titled(schedules)
    rows = math.ceil(len(chosen) / columns)
    drawn = {title: _rates(schedule, steps) for title, schedule in chosen.items()}
    peak = max(rates.max() for rates, _ in drawn.values()) or 1.0
    with plt.rc_context(style.STYLE):
        figure, panels = plt.subplots(
            rows, columns, figsize=(3 * columns, 1.8 * rows), sharey=True, squeeze=False
        )
        for i, (panel, title) in enumerate(itertools.zip_longest(panels.flat, chosen)):
            if title is None:
                panel.set_axis_off()
                continue
            rates, loss = drawn[title]
            panel.plot(rates, color=HUES[0], marker="o" if steps == 1 else "")
            if loss is not None:
                panel.plot(loss * peak, color=style.COLOURS["grey"], linewidth=1, zorder=1)
                panel.text(
                    0.4, 0.3, "the loss it watches", transform=panel.transAxes, size=11,
                    color=style.COLOURS["grey"],
                )  # fmt: skip
            name, bracket, arguments = title.partition("(")
            lines = textwrap.wrap(bracket + arguments, 31)
            panel.set_title("\n".join([name, *lines]), size=12.5, linespacing=1.1, loc="left")
            panel.set(xlim=(0, steps), ylim=(0, 1.42 * peak), xticks=[0, steps / 2, steps])
            panel.set_yticks([0, peak], ["0", f"{peak:g}"])
            panel.tick_params(labelsize=12, labelbottom=i + columns >= len(chosen))
            phases = chosen[title].phases()
            if len(phases) > 1:
                shade(panel, phases, steps, inches=2.53, size=10)
        figure.supxlabel("step t", size=14)
        figure.supylabel("learning rate η", size=14)
    return figure


def _titled(schedules: Any) -> dict[str, Schedule]:
    """Schedules by their titles, checked."""
    if not isinstance(schedules, Mapping):
        if isinstance(schedules, Schedule) or not isinstance(schedules, Iterable):
            raise TypeError(
                f"every_schedule: schedules must be a list of schedules, got {schedules!r}"
            )
        schedules = {call(s) if isinstance(s, Schedule) else repr(s): s for s in schedules}
    for title, schedule in schedules.items():
        if not isinstance(schedule, Schedule):
            raise TypeError(
                f"every_schedule: {title!r} must be a schedule, such as "
                f"schedulers.CosineDecay(0.1, 900), got {schedule!r}"
            )
    if not schedules:
        raise ValueError("every_schedule: schedules holds none; give one or more, or None for all")
    return dict(schedules)


def _rates(schedule: Schedule, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The rate at each step, and the loss that it answered to, from 0 to 1."""
    if not isinstance(schedule, ReduceOnPlateau):
        return schedule(np.arange(steps)), None
    schedule = dataclasses.replace(schedule)  # with a memory of its own
    rng = np.random.default_rng(0)
    weights = Tensor(rng.standard_normal(200), requires_grad=True)
    optimizer = optim.SGD([weights], lr=schedule)
    curvature = 0.1 / (schedule.lr or 1.0)
    every = max(steps // 25, 1)
    rates, loss = np.empty(steps), np.empty(steps)
    for t in range(steps):
        rates[t], loss[t] = optimizer.lr, np.mean(weights.data**2)
        weights.grad = curvature * (weights.data + rng.standard_normal(weights.shape))
        optimizer.step()
        if (t + 1) % every == 0:
            schedule.observe(np.mean(loss[t + 1 - every : t + 1]))
    logarithm = np.log(loss)
    return rates, (logarithm - logarithm.min()) / (np.ptp(logarithm) or 1.0)


def shade(
    axes: Axes, phases: list[tuple[int, str]], steps: int, *, inches: float, size: float
) -> None:
    """Shade the phases that begin within the steps, and name them: upright where it is narrow.

    inches  how wide the axes are
    size    of the letters, in points
    """
    phases = [(start, name) for start, name in phases if start < steps]
    ends = [*(start for start, _ in phases[1:]), steps]
    for i, ((start, name), end) in enumerate(zip(phases, ends, strict=True)):
        axes.axvspan(start, end, color=TINTS.get(name, GREYS[i % 2]), linewidth=0, zorder=0)
        letters = (end - start) / steps * inches * POINTS / (0.57 * size)
        words = name if len(name) <= letters else name.replace(" ", "\n")
        fits = max(map(len, words.split("\n"))) <= letters
        single = fits and words == name
        axes.text(
            (start + end) / 2, 0.88 if single else 0.97, words, size=size, ha="center",
            va="baseline" if single else "top", linespacing=1, rotation=0 if fits else 90,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


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
    """Warm-up and cool-down of one peak in several shapes, and what each phase is for.

    peak      the rate between the ramps, > 0
    warmup    steps of the warm-up, ≥ 1
    stable    steps at the peak, ≥ 0
    cooldown  steps of the cool-down, ≥ 1
    end       the rate after it
    shapes    "linear", "cosine", "one_minus_sqrt", or some of them
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
    with plt.rc_context(style.STYLE):
        figure, axes = plt.subplots()
        for (shape, schedule), hue, dashes in zip(ramps.items(), HUES, DASHES, strict=False):
            axes.plot(t, schedule(t), color=hue, linestyle=dashes, label=shape)
            words, share, beside, sideways, upwards = LABELS[shape]
            at = warmup + stable + round(share * cooldown)
            axes.annotate(
                f"{shape}\n{words}", (at, schedule(at)), (12 * sideways, 8 * upwards),
                textcoords="offset points", color=hue, weight="bold",
                ha=beside, va="top" if upwards < 0 else "bottom",
            )  # fmt: skip
        top = max(peak, end)
        axes.set(xlim=(0, steps), ylim=(0, 1.62 * top), xlabel="step t", ylabel="learning rate η")
        axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 1.001 * top])
        phases = next(iter(ramps.values())).phases()
        shade(axes, phases, steps, inches=9.2, size=17)
        for (start, phase), (stop, _) in itertools.pairwise(phases):
            words = PHASES[phase]
            if (stop - start) / steps * 9.2 * POINTS > 7 * max(map(len, words.split("\n"))):
                axes.text(
                    (start + stop) / 2, 0.86, words, transform=axes.get_xaxis_transform(),
                    size=13, ha="center", va="top", linespacing=1.15,
                )  # fmt: skip
        title = "Warm-up takes the rate up, cool-down takes it down: evenly, gently or fast"
        axes.set_title(title, loc="left")
    return figure


# --- what they do to the loss -------------------------------------------------------------------


def rate_and_loss(
    schedules: Mapping[str, Any] | None = None,
    *,
    data: tuple[Any, Any] | None = None,
    hidden: Sequence[int] = (32, 32),
    optimizer: Callable[..., Any] = optim.Adam,
    batch_size: int = 16,
    epochs: int = 12,
    smooth: int = 45,
    seed: int = 0,
) -> Figure:
    """The rate of some schedules, and under it the losses of a network trained with each.

    schedules   {label: schedule or rate}, or {label: History} of trainings that have been run;
                without them those of `usual`. A ReduceOnPlateau observes the validation loss.
    data        (x, y) of shapes (samples, features) and (samples,), y whole numbers from 0; without
                it scikit-learn's 1797 digits. A fifth, chosen by the seed, is for validation.
    hidden      units of each hidden layer of the MLP, with ReLU between them
    optimizer   the update rule, such as dl.optim.SGD, or a function (model, lr=schedule)
    batch_size  samples a step, ≥ 1
    epochs      how many times to go through the data, ≥ 1
    smooth      the training loss drawn is the mean of so many steps, ≥ 1
    seed        of the split, the weights, which are the same for all, and the order of the batches

    The numbers on the right are the last ones. A training that diverges ends there, and its label
    says so. ModuleNotFoundError without scikit-learn, if the digits are needed.
    """
    name = "rate_and_loss"
    smooth = _checks.count(name, "smooth", smooth)
    if schedules is not None and not (isinstance(schedules, Mapping) and schedules):
        raise TypeError(f"{name}: schedules must be {{label: schedule}}, got {schedules!r}")
    if schedules and all(isinstance(schedule, History) for schedule in schedules.values()):
        return _draw_runs(schedules, smooth)
    if not callable(optimizer):
        raise TypeError(
            f"{name}: optimizer must be an update rule, such as dl.optim.Adam, got {optimizer!r}"
        )
    x, y = _labelled(name, digits() if data is None else data)
    training, validation = split(x, y, seed=seed)
    batch_size = _checks.count(name, "batch_size", batch_size)
    steps = _checks.count(name, "epochs", epochs) * math.ceil(len(training[0]) / batch_size)
    histories = {}
    for label, schedule in (schedules or usual(steps)).items():
        if isinstance(schedule, History):
            histories[label] = schedule
            continue
        observers = []
        if isinstance(schedule, ReduceOnPlateau):
            schedule = dataclasses.replace(schedule)  # with a memory of its own
            observers.append(partial(_observe, schedule))
        model = nn.MLP([x.shape[1], *hidden, int(y.max()) + 1], rng=seed)
        loader = DataLoader(*training, batch_size, rng=seed)
        try:
            histories[label] = fit(
                model, losses.cross_entropy, optimizer(model, lr=schedule), loader,
                epochs=epochs, validation=validation, callbacks=observers, progress=False,
            )  # fmt: skip
        except DivergenceError as error:
            histories[f"{label}: diverged"] = error.history
    point = "A constant rate rattles on; where the rate falls, the loss does too"
    return _draw_runs(histories, smooth, "" if schedules else point)


def _observe(plateau: ReduceOnPlateau, epoch: int, history: History) -> None:
    plateau.observe(history.validation[-1])


def usual(steps: int, peak: float = 0.03) -> dict[str, Schedule]:
    """A constant rate, warm-up with cosine decay, warm-up with cool-down; for so many steps ≥ 4."""
    steps = _checks.count("usual", "steps", steps, 4)
    up, down = math.ceil(steps / 10), math.ceil(steps / 4)
    s = schedulers
    return {
        "constant": s.Constant(peak),
        "warm-up,\ncosine decay": s.WarmUp(s.CosineDecay(peak, steps - up), up),
        "warm-up,\ncool-down": s.warmup_stable_decay(peak, up, steps - up - down, down),
    }


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits: 1797 × 64 pixels from 0 to 1, and which digits they are."""
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the digits come with scikit-learn: pip install 'minidl[examples]', or give data=(x, y)"
        ) from error
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


def split(x: Any, y: Any, *, seed: int = 0) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """(x, y) for training and for validation, four fifths and one, in an order by the seed."""
    x, y = np.asarray(x), np.asarray(y)
    order = np.random.default_rng(seed).permutation(len(x))
    train, held_out = np.split(order, [len(x) - len(x) // 5])
    return (x[train], y[train]), (x[held_out], y[held_out])


def _labelled(owner: str, data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Samples and their labels as arrays, checked."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"{owner}: data must be a pair (x, y), got {type(data).__name__}")
    x, y = map(np.asarray, data)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) < 5:
        raise ValueError(
            f"{owner}: data must be x of shape (samples, features) and y of shape (samples,), with "
            f"5 samples or more, got {x.shape} and {y.shape}"
        )
    if y.dtype.kind not in "iu" or y.min() < 0:
        raise ValueError(f"{owner}: y must be classes 0, 1, 2, …, whole numbers, got {y[:5]} …")
    return x, y


def _draw_runs(histories: Mapping[str, History], smooth: int, title: str = "") -> Figure:
    for label, history in histories.items():
        if not history.step_loss:
            raise ValueError(f"rate_and_loss: the history {label!r} holds no step yet")
    validated = any(history.validation for history in histories.values())
    with plt.rc_context(style.STYLE):
        figure, panels = plt.subplots(
            2 + validated, sharex=True, figsize=(10, 7.4 if validated else 5.6),
            height_ratios=(1, 1.2, 1.2)[: 2 + validated],
        )  # fmt: skip
        rates, *others = panels
        looks = zip(itertools.cycle(HUES), itertools.cycle(DASHES), strict=False)
        for (label, history), (hue, dashes) in zip(histories.items(), looks, strict=False):
            steps = np.arange(1, len(history.lr) + 1)
            window = min(smooth, len(steps))
            means = np.convolve(history.step_loss, np.full(window, 1 / window), "valid")
            ends = history.epoch_ends[: len(history.validation)]
            points = [(steps, history.lr), (steps[window - 1 :], means), (ends, history.validation)]
            for axes, (at, values), marker in zip(panels, points, ("", "", "o"), strict=False):
                axes.plot(at, values, color=hue, linestyle=dashes, marker=marker, label=label)
        rates.set(ylabel="learning rate η", ylim=(0, None))
        rates.set_title(title, loc="left")
        others[0].set_ylabel(f"training loss,\nmean of {smooth} steps")
        if validated:
            others[1].set_ylabel("validation\nloss")
        for axes in others:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter("{x:g}")
        panels[-1].set(xlabel="step", xlim=(0, None))
        panels[-1].margins(x=0.01)
        _label_ends(rates, lambda line, value: line.get_label(), gap=0.4)
        for axes in others:
            _label_ends(axes, lambda line, value: f"{value:.2g}", gap=0.17)
        figure.align_ylabels()
    return figure


def _label_ends(axes: Axes, words: Callable[[Any, float], str], gap: float) -> None:
    """words(line, last value) beside the end of each line, a share `gap` of the height apart."""
    lines, last = [], []
    for line in axes.get_lines():
        points: Any = line.get_xydata()
        finite = points[np.isfinite(points).all(axis=1)]
        if len(finite):
            lines.append(line)
            last.append(finite[-1])
    if not lines:
        return
    heights = axes.transAxes.inverted().transform(axes.transData.transform(np.array(last)))[:, 1]
    order = np.argsort(heights, kind="stable")
    places = heights[order]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    places[-1] = min(places[-1], 1)
    for i in reversed(range(len(places) - 1)):
        places[i] = min(places[i], places[i + 1] - gap)
    for place, i in zip(places, order, strict=True):
        axes.text(
            1.01, place, words(lines[i], last[i][1]), transform=axes.transAxes, weight="bold",
            color=lines[i].get_color(), va="center", linespacing=1,
        )  # fmt: skip
