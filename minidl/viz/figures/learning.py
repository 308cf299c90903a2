"""A figure of the gallery: the rate of a training under some schedules, and its losses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from minidl import _checks, losses, nn, optim, schedulers
from minidl._format import printable
from minidl.data import DataLoader
from minidl.history import History
from minidl.schedulers import Schedule
from minidl.training import DivergenceError, fit
from minidl.viz import plots, style
from minidl.viz.figures.schedules import reset_copy

Runs = list[History]  # trainings that differ in the seed


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
    seeds: int = 5,
) -> Figure:
    """The rate of some schedules, and below it the losses of a network trained with each.

    schedules   {label: schedule or rate}, or {label: History or list of History} of finished
                trainings; by default those of `usual`. A ReduceOnPlateau observes the validation
                loss.
    data        (x, y) of shapes (samples, features) and (samples,), y whole numbers from 0; by
                default scikit-learn's 1797 digits. A fifth, chosen by the seed, is for validation.
    hidden      units of each hidden layer of the MLP, with ReLU
    optimizer   the update rule, such as dl.optim.SGD, or a function (model, lr=schedule)
    batch_size  samples per step, ≥ 1
    epochs      passes over the data, ≥ 1
    smooth      the training loss is drawn as the mean of this many steps, ≥ 1
    seed        of the first training, for the split, the weights, and the order of the batches;
                those of the others are seed + 1, seed + 2, …
    seeds       the number of trainings with each schedule, ≥ 1

    Lines are medians of the trainings, and bands reach from the lowest to the highest. The numbers
    on the right are the last medians. If trainings diverge, the lines end where the first of them
    does, and the label says so. ModuleNotFoundError without scikit-learn, if the digits are needed.
    """
    name = "rate_and_loss"
    smooth = _checks.count(name, "smooth", smooth)
    seed, seeds = _checks.count(name, "seed", seed, 0), _checks.count(name, "seeds", seeds)
    if schedules is not None and not (isinstance(schedules, Mapping) and schedules):
        raise TypeError(f"{name}: schedules must be {{label: schedule}}, got {schedules!r}")
    finished = {
        label: runs for label, given in (schedules or {}).items() if (runs := _runs(label, given))
    }
    if schedules and len(finished) == len(schedules):
        return _draw_runs(finished, smooth)
    if not callable(optimizer):
        raise TypeError(
            f"{name}: optimizer must be an update rule, such as dl.optim.Adam, got {optimizer!r}"
        )
    hidden = _checks.items(name, "hidden", hidden)
    x, y = _labelled(name, digits() if data is None else data)
    batch_size = _checks.count(name, "batch_size", batch_size)
    batches = math.ceil((len(x) - len(x) // 5) / batch_size)
    steps = _checks.count(name, "epochs", epochs) * batches

    def train(schedule: Any, seed: int) -> tuple[History, bool]:
        """The record of a training, and whether it diverged."""
        schedule, _ = reset_copy(schedule)
        training, validation = split(x, y, seed=seed)
        model = nn.MLP([x.shape[1], *hidden, int(y.max()) + 1], rng=seed)
        loader = DataLoader(*training, batch_size, rng=seed)
        try:
            history = fit(
                model, losses.cross_entropy, optimizer(model, lr=schedule), loader,
                epochs=epochs, validation=validation, progress=False,
            )  # fmt: skip
        except DivergenceError as error:
            return error.history, True
        return history, False

    histories: dict[str, Runs] = {}
    for label, schedule in (schedules or usual(steps)).items():
        if label in finished:
            histories[label] = finished[label]
            continue
        trained = [train(schedule, seed + k) for k in range(seeds)]
        diverged = sum(stopped for _, stopped in trained)
        count = "" if diverged == seeds else f"{diverged} of {seeds} "
        key = f"{label}: {count}diverged" if diverged else label
        histories[key] = [history for history, _ in trained]
    title = "The loss falls as the rate falls, and fluctuates at a constant rate"
    return _draw_runs(histories, smooth, "" if schedules else title)


def _runs(label: str, given: Any) -> Runs:
    """The finished trainings that are given for a label; none for a schedule or a rate."""
    runs = list(given) if isinstance(given, list | tuple) else [given]
    if not any(isinstance(run, History) for run in runs):
        return []
    for run in runs:
        if not isinstance(run, History):
            raise TypeError(
                f"rate_and_loss: schedules[{label!r}] must be a schedule, a rate, a History or a "
                f"list of these, got a list with {run!r}"
            )
    if not all(run.step_loss for run in runs):
        raise ValueError(f"rate_and_loss: the history {label!r} has no steps yet")
    return runs


def usual(steps: int, peak: float = 0.03) -> dict[str, Schedule]:
    """For `steps` ≥ 4: a constant rate, warm-up with cosine decay, and warm-up with cool-down."""
    steps = _checks.count("usual", "steps", steps, 4)
    up, down = math.ceil(steps / 10), math.ceil(steps / 4)
    s = schedulers
    return {
        "constant": s.Constant(peak),
        "warm-up,\ncosine decay": s.WarmUp(s.CosineDecay(peak, steps - up), up),
        "warm-up,\ncool-down": s.warmup_stable_decay(peak, up, steps - up - down, down),
    }


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits: 1797 × 64 pixels from 0 to 1, and their classes."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the digits come with scikit-learn: pip install 'minidl[examples]', or give data=(x, y)"
        ) from error
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


def split(x: Any, y: Any, *, seed: int = 0) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """(x, y) for training, four fifths of a shuffled data set, and (x, y) for validation."""
    x, y = np.asarray(x), np.asarray(y)
    order = np.random.default_rng(seed).permutation(len(x))
    train, held_out = np.split(order, [len(x) - len(x) // 5])
    return (x[train], y[train]), (x[held_out], y[held_out])


def _labelled(owner: str, data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Samples and their labels as arrays, after a check."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"{owner}: data must be a pair (x, y), got {type(data).__name__}")
    x, y = map(np.asarray, data)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) < 5:
        raise ValueError(
            f"{owner}: data must be x of shape (samples, features) and y of shape (samples,), with "
            f"5 samples or more, got {x.shape} and {y.shape}"
        )
    if y.dtype.kind not in "iu" or y.min() < 0:
        raise ValueError(
            printable(f"{owner}: y must be whole numbers, the classes 0, 1, 2, …, got {y[:5]} …")
        )
    return x, y


def _draw_runs(histories: Mapping[str, Runs], smooth: int, title: str = "") -> Figure:
    validated = any(run.validation for runs in histories.values() for run in runs)
    few, many = min(map(len, histories.values())), max(map(len, histories.values()))
    if many > 1:
        count = many if few == many else f"{few} to {many}"
        title += f"\nlines: medians of {count} trainings; bands: lowest to highest"
    with style.context():
        figure = plots.new_figure(figsize=(10, 7.4 if validated else 5.6))
        panels = figure.subplots(
            2 + validated, sharex=True, height_ratios=(1, 1.2, 1.2)[: 2 + validated]
        )
        rates, *loss_panels = panels
        styles = itertools.cycle(style.LINE_STYLES)
        for (label, runs), (colour, dashes) in zip(histories.items(), styles, strict=False):
            steps = np.arange(1, min(len(run.lr) for run in runs) + 1)
            window = min(smooth, len(steps))
            weights = np.full(window, 1 / window)
            means = [np.convolve(run.step_loss, weights, "valid") for run in runs]
            lines: Sequence[tuple[Any, list[Any], str]] = (
                (steps, [run.lr for run in runs], ""),
                (steps[window - 1 :], means, ""),
                (runs[0].epoch_ends, [run.validation for run in runs], "o"),
            )
            for axes, (at, values, marker) in zip(panels, lines, strict=False):
                length = min(len(at), *map(len, values))
                drawn = np.array([line[:length] for line in values])
                axes.plot(
                    at[:length], np.median(drawn, axis=0), color=colour, linestyle=dashes,
                    marker=marker, label=label,
                )  # fmt: skip
                axes.fill_between(
                    at[:length], drawn.min(axis=0), drawn.max(axis=0), color=colour,
                    alpha=0.15, linewidth=0,
                )  # fmt: skip
        rates.set(ylabel="learning rate η", ylim=(0, None))
        rates.set_title(title.strip(), loc="left")
        loss_panels[0].set_ylabel(f"training loss,\nmean of {smooth} steps")
        if validated:
            loss_panels[1].set_ylabel("validation\nloss")
        for axes in loss_panels:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter("{x:g}")
        panels[-1].set(xlabel="step", xlim=(0, None))
        panels[-1].margins(x=0.01)
        plots.label_ends(rates, lambda line, value: str(line.get_label()), gap=0.4)
        for axes in loss_panels:
            plots.label_ends(axes, lambda line, value: f"{value:.2g}", gap=0.17)
        figure.align_ylabels()
    return figure
