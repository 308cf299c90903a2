"""What hooks into fit: early stopping, checkpoints, clipping, averages, logs, a rate finder."""

from __future__ import annotations

import copy
import csv
import io
import math
import numbers
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from minidl import _checks, _files, checkpoint
from minidl._kernels import atomic
from minidl.data import DataLoader
from minidl.data.batches import Batches
from minidl.history import History
from minidl.nn import Module
from minidl.optim import Optimizer, average, clip_grad_norm
from minidl.optim.parameters import Change
from minidl.schedulers import memories
from minidl.tensor import Tensor, replacement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Mode = Literal["min", "max"]


@dataclass
class Training:
    """What callbacks get: the training as it is now.

    model, optimizer, history  those of fit
    data                       the DataLoader, or the batches
    callbacks                  all of them
    epoch                      the running epoch, from 1
    step                       the running step, from 1; in on_step and on_epoch the steps taken
    loss                       of the running or last step, before its update; NaN before the first
    rank                       of this process with fit(distributed=); else 0, which alone writes
    may_diverge                set it to True if a loss that isn't finite shall end the training
                               without an error
    """

    model: Any
    optimizer: Optimizer
    history: History
    data: DataLoader | Batches
    callbacks: tuple[Any, ...] = ()
    epoch: int = 1
    step: int = 0
    loss: float = math.nan
    may_diverge: bool = False
    rank: int = 0


class Callback:
    """The base of callbacks; a subclass defines the methods that it needs. Here they do nothing.

    after_others  whether on_epoch comes after that of all others, and after ReduceOnPlateau has
                  observed; so a checkpoint holds a whole epoch

    Any other object with one of on_backward, on_step and on_epoch serves as well.

    >>> class Print(dl.callbacks.Callback):
    ...     def on_epoch(self, training):
    ...         print(f"epoch {training.epoch}, step {training.step}")
    >>> model = dl.nn.Dense(1, 1, rng=0)
    >>> optimizer = dl.optim.SGD(model)
    >>> data = np.ones((3, 1)), np.ones((3, 1))
    >>> history = dl.fit(model, dl.losses.mse, optimizer, data, epochs=2, callbacks=[Print()],
    ...                  progress=False)
    epoch 1, step 1
    epoch 2, step 2
    """

    after_others: ClassVar[bool] = False

    def on_begin(self, training: Training) -> None:
        """Before the first step of a call of fit, also of a resumed training."""

    def on_backward(self, training: Training) -> None:
        """The gradients of a step are ready, before its update."""

    def on_step(self, training: Training) -> bool | None:
        """After the update of a step; True ends the training."""

    def on_epoch(self, training: Training) -> bool | None:
        """After an epoch and its validation, in evaluation mode; True ends the training."""

    def on_end(self, training: Training) -> None:
        """When the training has ended, however it did."""

    def validating(self, training: Training) -> AbstractContextManager[Any]:
        """Return a context manager inside which fit validates."""
        return nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: numbers, strings, arrays, lists and dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class _Monitor(Callback):
    """The base of callbacks that look for the best epoch by a metric."""

    kept: ClassVar[tuple[str, ...]] = ("best",)  # the attributes that a checkpoint holds

    def __init__(self, monitor: str, mode: Mode, min_delta: float = 0.0) -> None:
        owner = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f'{owner}: monitor must be a name such as "loss", got {monitor!r}')
        self.monitor, self.mode = monitor, _checks.choice(owner, "mode", mode, ("min", "max"))
        self.min_delta = _checks.number(owner, "min_delta", min_delta)
        self.best: float | None = None

    def on_begin(self, training: Training) -> None:
        if training.step == 0:  # of a new training, perhaps after another one
            self.best = None

    def _improved(self, training: Training) -> float | None:
        """The last value, if it is the best so far; ValueError for an unknown or empty metric."""
        owner, values = type(self).__name__, training.history.values(self.monitor)
        if not values:
            raise ValueError(
                f"{owner}: {self.monitor!r} has no values; give fit validation=..., or "
                'monitor="loss"'
            )
        last = values[-1]
        if not isinstance(last, numbers.Real):
            raise TypeError(f"{owner}: {self.monitor!r} is an array, which has no best value")
        sign, value = (1 if self.mode == "min" else -1), float(last)
        better = self.best is None or sign * value < sign * self.best - self.min_delta
        return value if better and not math.isnan(value) else None

    def state_dict(self) -> dict[str, Any]:
        return copy.deepcopy({name: vars(self)[name] for name in self.kept})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        _assign(self, **_checks.state(type(self).__name__, state, self.kept))


class EarlyStopping(_Monitor):
    """End the training when a metric has not improved for `patience` epochs in a row.

    monitor       "loss", "validation", or the name of a metric such as "validation_accuracy"
    mode          whether less ("min") or more ("max") is better
    patience      a whole number ≥ 1
    min_delta     a change of at most this much is no improvement; NaN is none either
    restore_best  put the weights and buffers of the best epoch back when it ends the training

    If the training ends otherwise, the weights stay those of its last step, so that it can be
    resumed; `restore(model)` puts the best ones in. `best` and `best_epoch` say what was best,
    `stopped_epoch` when it ended the training, or None.

    >>> stop = dl.callbacks.EarlyStopping("loss", patience=2)
    >>> model = dl.nn.Dense(1, 1, rng=0)
    >>> optimizer = dl.optim.SGD(model, lr=0.0)
    >>> data = np.ones((3, 1)), np.ones((3, 1))
    >>> history = dl.fit(model, dl.losses.mse, optimizer, data, epochs=9, callbacks=[stop],
    ...                  progress=False)
    >>> stop.best_epoch, stop.stopped_epoch
    (1, 3)
    """

    kept = ("best", "best_epoch", "stopped_epoch", "_bad", "_weights")

    def __init__(
        self,
        monitor: str = "validation",
        *,
        mode: Mode = "min",
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = _checks.count("EarlyStopping", "patience", patience)
        self.restore_best = _checks.flag("EarlyStopping", "restore_best", restore_best)
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._bad = 0
        self._weights: dict[str, np.ndarray] | None = None

    def on_begin(self, training: Training) -> None:
        if training.step == 0:
            _assign(self, best=None, best_epoch=None, stopped_epoch=None, _bad=0, _weights=None)
        elif self.stopped_epoch and not training.history._ended:
            _assign(self, stopped_epoch=None, _bad=0)

    def on_epoch(self, training: Training) -> bool:
        own, epoch = (training.model, training.optimizer), training.epoch
        if (best := self._improved(training)) is not None:
            weights = _weights_of(*own) if self.restore_best else None
            _assign(self, best=best, best_epoch=epoch, _bad=0, _weights=weights)
            return False
        stops = self._bad + 1 >= self.patience
        changes = _weight_changes(*own, self._weights) if stops else []
        stopped = epoch if stops else self.stopped_epoch
        _assign(self, *changes, _bad=self._bad + 1, stopped_epoch=stopped)
        return stops

    def restore(self, model: Module) -> None:
        """Put the weights and buffers of the best epoch into the model."""
        if self._weights is None:
            raise RuntimeError("EarlyStopping: there is no best epoch yet, or restore_best=False")
        model.load_state_dict(self._weights)


class Checkpoint(_Monitor):
    """Save the whole training to a file after every so many epochs, for dl.load and resume=.

    path           of the file, which is replaced each time
    every          so many epochs
    best           save only if the monitored metric is the best so far
    monitor, mode  as for EarlyStopping

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "run.ckpt")
    >>> model = dl.nn.Dense(1, 1, rng=0)
    >>> optimizer = dl.optim.SGD(model)
    >>> data = np.ones((3, 1)), np.ones((3, 1))
    >>> save = dl.callbacks.Checkpoint(path)
    >>> history = dl.fit(model, dl.losses.mse, optimizer, data, epochs=2, callbacks=[save],
    ...                  progress=False)
    >>> dl.load(path).epoch
    2
    """

    after_others = True

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        every: int = 1,
        best: bool = False,
        monitor: str = "validation",
        mode: Mode = "min",
    ) -> None:
        super().__init__(monitor, mode)
        self.path = _files.path_of("Checkpoint", path)
        if self.path.suffix.lower() == ".safetensors":
            raise ValueError(
                "Checkpoint: a .safetensors file can't hold a training; give path another ending, "
                'such as .ckpt, and dl.save("model.safetensors", model) the weights afterwards'
            )
        self.every = _checks.count("Checkpoint", "every", every)
        self.only_best = _checks.flag("Checkpoint", "best", best)

    def on_begin(self, training: Training) -> None:
        super().on_begin(training)
        if not training.rank:
            _files.check("Checkpoint", self.path)
        if not isinstance(_model_of(training), Module):
            raise TypeError("Checkpoint: the model must be a Module, whose weights it can save")

    def on_epoch(self, training: Training) -> None:
        due = not training.rank and training.epoch % self.every == 0
        before = best = self.best
        if not due or (self.only_best and (best := self._improved(training)) is None):
            return
        own: dict[str, Any] = {"optimizer": training.optimizer, "history": training.history}
        own["data"] = training.data if isinstance(training.data, DataLoader) else None
        try:
            self.best = best  # the file holds it, too
            checkpoint.save(self.path, _model_of(training), callbacks=training.callbacks, **own)
        except BaseException:
            self.best = before
            raise


class ClipGradNorm(Callback):
    """Scale all gradients of a step together so that their norm is at most max_norm.

    `dl.optim.clip_grad_norm` for the parameters of the optimizer, before each update.
    """

    def __init__(self, max_norm: float) -> None:
        self.max_norm = _checks.number("ClipGradNorm", "max_norm", max_norm)

    def on_backward(self, training: Training) -> None:
        clip_grad_norm(_params_of(training.optimizer), self.max_norm)


class Average(Callback):
    """Average the weights over the steps by dl.optim.average, and validate with the averages.

    decay  δ in [0, 1); the average is over about the last 1 / (1 − δ) steps

    The model keeps its own weights; predict with the averaged ones inside
    `with callback.average:`.
    """

    def __init__(self, decay: float) -> None:
        self.decay = _checks.number("Average", "decay", decay, high=1, below=True)
        self.average: average | None = None
        self._loaded: dict[str, Any] | None = None

    def on_begin(self, training: Training) -> None:
        if self.average is None or self._loaded is not None or training.step == 0:
            is_module = isinstance(training.model, Module)
            params = training.model if is_module else _params_of(training.optimizer)
            made = average(params, self.decay)
            if self._loaded is not None:
                made.load_state_dict(self._loaded)
            self.average, self._loaded = made, None

    def on_step(self, training: Training) -> None:
        assert self.average is not None
        self.average.update()

    def validating(self, training: Training) -> AbstractContextManager[Any]:
        assert self.average is not None
        return self.average

    def state_dict(self) -> dict[str, Any]:
        loaded = self._loaded is not None or self.average is None
        state = self._loaded if loaded else self.average.state_dict()  # type: ignore[union-attr]
        return {} if state is None else {"average": state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        loaded = state.get("average")  # None of one that had not begun
        _assign(self, _loaded=loaded, average=None if loaded is None else self.average)


def _awaits_validation(history: History) -> bool:
    """Whether the last loss is of an epoch that is still to be validated."""
    done = [] if history._epoch is None else history._epoch.done
    return "loss" in done and not {"validation", "callbacks"} & {*done}


class CSVLogger(Callback):
    """Write a line for each epoch to a CSV file: epoch, step, loss, lr, validation, metrics.

    The file is replaced when the training begins; a resumed training first writes the epochs
    before, so each epoch is there once. A line is there whole or not at all, even if the disk is
    full or the process killed. Metrics that are arrays are left out.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = _files.path_of("CSVLogger", path)

    def on_begin(self, training: Training) -> None:
        history = training.history
        names = ["epoch", "step", "loss", "lr", "validation", *history.metrics]
        self.written = len(history.loss) - _awaits_validation(history)
        rows = [self._row(history, epoch) for epoch in range(1, self.written + 1)]
        if training.rank:
            return
        with _files.replacing("CSVLogger", self.path) as temporary:
            temporary.write_bytes(self._lines([names, *rows]).encode())

    def on_epoch(self, training: Training) -> None:
        written = training.epoch <= self.written  # of an epoch saved before its callbacks ran
        if training.rank or written:
            return
        _files.extend(
            "CSVLogger", self.path, self._lines([self._row(training.history, training.epoch)])
        )

    @staticmethod
    def _lines(rows: list[list[Any]]) -> str:
        """Rows as text."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        return text.getvalue()

    @staticmethod
    def _row(history: History, epoch: int) -> list[Any]:
        """The line of an epoch; a list that is shorter than the others lacks the first epochs."""
        step, numbers = history.epoch_ends[epoch - 1], list[Any]()
        for name, values in [("validation", history.validation), *history.metrics.items()]:
            lacks = _awaits_validation(history) and name.startswith("validation")
            place = epoch - 1 - len(history.loss) + lacks
            value = values[place] if len(values) >= -place else ""
            numbers.append(value if np.isscalar(value) else "")
        return [epoch, step, history.loss[epoch - 1], history.lr[step - 1], *numbers]


class RateFinder(Callback):
    """Try rates from low to high, one a step, and suggest the one where the loss falls fastest.

    low, high  rates, 0 < low < high
    steps      how many are tried, in equal ratios

    It ends at the last rate, or where the smoothed loss exceeds four times its minimum, and then
    puts everything back as it was: weights, optimizer, loader, random numbers, history. All groups
    get the same rate meanwhile. `rate` is the suggestion, `reason` says why, `plot()` draws it
    (Smith 2017). RuntimeError before it has run, or if the loss fell nowhere.
    """

    def __init__(self, low: float = 1e-6, high: float = 10.0, steps: int = 100) -> None:
        _checks.number("RateFinder", "low", low, above=True)
        self.steps = _checks.count("RateFinder", "steps", steps, 5)
        if not low < _checks.number("RateFinder", "high", high):
            raise ValueError(f"RateFinder: low must be below high, got {low} and {high}")
        self.tried = np.geomspace(low, high, self.steps)
        self.rates, self.losses, self._mean = list[float](), list[float](), 0.0
        self._restore: Callable[[], None] = lambda: None

    def on_begin(self, training: Training) -> None:
        if any(isinstance(c, Checkpoint) for c in training.callbacks):
            raise ValueError("RateFinder: leave Checkpoint out, which would save a trial")
        changes, restore = _rates(training, self.tried[0]), _snapshot(training)
        _assign(self, *changes, rates=[], losses=[], _mean=0.0, _restore=restore)
        training.may_diverge = True

    def on_step(self, training: Training) -> bool:
        k, mean = len(self.rates) + 1, 0.9 * self._mean + 0.1 * training.loss
        losses = [*self.losses, mean / (1 - 0.9**k)]
        ends = k == self.steps or losses[-1] > 4 * min(losses)
        changes, rates = _rates(training, self.tried[k - ends]), self.tried[:k].tolist()
        _assign(self, *changes, rates=rates, losses=losses, _mean=mean)
        return ends

    def on_end(self, training: Training) -> None:
        self._restore()
        self._restore = lambda: None

    @property
    def rate(self) -> float:
        """The suggested rate."""
        return self.rates[_steepest(self)[0]]

    @property
    def reason(self) -> str:
        """Why that rate is suggested, in a sentence."""
        i, slope = _steepest(self)
        where = f"At a rate of {self.rates[i]:.3g} the smoothed loss ({self.losses[i]:.3g}) falls"
        fall, lowest = -slope * math.log(2), self.rates[int(np.argmin(self.losses))]
        return f"{where} fastest, by {fall:.2g} for each doubling; it is lowest at {lowest:.3g}."

    def plot(self, path: str | PathLike[str] | None = None) -> Axes:
        """Draw the smoothed loss over the rates, with the suggested one; returns the axes.

        path  a file to write, such as "rates.png", .svg or .pdf; without one, the figure is opened
              in pyplot
        """
        from minidl.viz.plots import plot_rates

        return plot_rates(self.rates, self.losses, self.rate, self.reason, path)


# --- what callbacks keep ------------------------------------------------------------------------


def _assign(callback: Callback, *changes: Change, **attributes: Any) -> None:
    """Set attributes of a callback and make other changes: all of them, or none after an error."""
    own = [(vars(callback), name, value) for name, value in attributes.items()]
    atomic.assign([*changes, *own])


def _model_of(training: Training) -> Any:
    """The Module whose method or call is trained."""
    return getattr(training.model, "__self__", training.model)


def _params_of(optimizer: Any) -> list[Tensor]:
    return [p for group in optimizer.groups for p in group["params"]]


def _weights_of(model: Any, optimizer: Any) -> dict[str, np.ndarray]:
    """A copy of the weights and buffers of a Module, or of the optimizer's parameters."""
    if isinstance(model, Module):
        return model.state_dict()
    return {str(i): p.data.copy() for i, p in enumerate(_params_of(optimizer))}


def _weight_changes(model: Any, optimizer: Any, weights: dict[str, Any] | None) -> list[Change]:
    """What puts the weights and buffers that `_weights_of` returned back."""
    if weights is None:
        return []
    if isinstance(model, Module):
        return model._changes(weights)
    pairs = zip(_params_of(optimizer), weights.values(), strict=True)
    return [change for p, values in pairs for change in replacement(p, values)]


def _steepest(finder: RateFinder) -> tuple[int, float]:
    """The place where the smoothed loss falls fastest by ln rate, over a fifth of them all."""
    n, w = len(finder.losses), max(finder.steps // 10, 1)  # a window wide enough for noisy batches
    if not n:
        raise RuntimeError("RateFinder hasn't run yet: give it to fit, callbacks=[finder]")
    if n < 3 * w + 1:
        raise RuntimeError(
            f"RateFinder: it ended after {n} rates, at {finder.rates[-1]:.3g}, which is too "
            "early for a suggestion: lower `low`, and give fit at least as many steps"
        )
    loss, log = np.array(finder.losses), np.log(finder.rates)
    slope = (loss[2 * w :] - loss[: -2 * w]) / (log[2 * w :] - log[: -2 * w])
    i = w + int(slope[w:].argmin())  # the first losses are an average of few
    if not slope[i] < 0:
        raise RuntimeError(
            "RateFinder: the loss fell at none of the rates; try lower ones, or look for a "
            "model that can't learn"
        )
    return i + w, float(slope[i])


def _rates(training: Training, rate: float) -> list[Change]:
    """What gives all groups one rate."""
    return [(vars(group), "lr", float(rate)) for group in training.optimizer.groups]


def _snapshot(training: Training) -> Callable[[], None]:
    """A function that puts a training back to what it is now; other callbacks come last."""
    model, optimizer, history = training.model, training.optimizer, training.history
    params, state = _params_of(optimizer), optimizer.state_dict()
    own = [p.data.copy() for p in params]
    weights = _weights_of(model, optimizer)
    found = checkpoint.generators_of(model) if isinstance(model, Module) else {}
    generators = [generator.bit_generator for generator in found.values()]
    record = copy.deepcopy(vars(history))
    metrics = record.pop("metrics")
    kept: list[Change] = []
    for group, saved in zip(optimizer.groups, state["groups"], strict=True):
        kept += [(vars(group), "lr", group["lr"]), *memories(group["lr"], saved["lr"])]
        saved["lr"] = 0.0  # not a copy of the schedule
    if isinstance(training.data, DataLoader):
        generators.append(training.data.rng.bit_generator)
        place = vars(training.data._place)
        kept += [(place, name, value) for name, value in place.items()]
    kept += [(generator, "state", generator.state) for generator in generators]
    others = [(c, c.state_dict()) for c in training.callbacks if isinstance(c, Callback)]

    def restore() -> None:
        changes = _weight_changes(model, optimizer, weights)
        for p, data in zip(params, own, strict=True):  # some may not be the model's
            changes += [*replacement(p, data), (p, "grad", None)]
        for name, values in history.metrics.items():
            changes.append((values, slice(None), metrics.get(name, [])))
        for name, value in record.items():
            now = getattr(history, name)  # a list stays the same object
            is_list = isinstance(now, list)
            changes.append((now, slice(None), value) if is_list else (history, name, value))
        turn = optimizer._turns.begin()
        changes += [*optimizer._changes(state), *kept]
        optimizer._turns.commit(turn, [], changes)
        for callback, own_state in others:
            callback.load_state_dict(own_state)

    return restore
