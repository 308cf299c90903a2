"""History, the record of a training: losses, rates and metrics, and where in an epoch it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import _checks
from minidl._format import printed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass
class Epoch:
    """An epoch that has begun and isn't finished: what its end needs, and where a resumed one is.

    batches       the number of batches taken
    total         Σ weight · loss over the batches
    weight        Σ weight
    observations  of each ReduceOnPlateau at the start of the epoch, in the order of the groups
    kept          for metrics: predictions, targets and weights of the batches, lists of arrays
    done          what its end has done: "loss" is recorded, "validation" too
    sum           Σ loss over the steps, for losses that are sums
    """

    batches: int = 0
    total: float = 0.0
    weight: float = 0.0
    observations: list[int] = field(default_factory=list)
    kept: tuple[list[np.ndarray], ...] = field(default_factory=lambda: ([], [], []))
    done: list[str] = field(default_factory=list)
    sum: float = 0.0

    def add(self, loss: float, weight: float, batches: int = 1) -> None:
        """Count a step of some batches."""
        self.total += loss * weight
        self.weight += weight
        self.sum += loss
        self.batches += batches


LISTS = {"loss": float, "step_loss": float, "lr": float, "validation": float, "epoch_ends": int}


@printed
@dataclass
class History:
    """The record of a training.

    loss         the mean loss of each finished epoch, weighted by batch size or sample weights; of
                 minidl's losses with reduction="sum" their sum
    step_loss    the loss of each step, before its update
    lr           the learning rate of each step
    validation   the validation loss after each finished epoch, if there is a validation set
    epoch_ends   the number of steps taken by the end of each finished epoch
    metrics      for each metric, such as "accuracy" and "validation_accuracy", its value after
                 each finished epoch
    interrupted  whether Ctrl-C ended the training
    captured     whether steps were captured, that is recorded and replayed by calls into C

    >>> dl.History(loss=[0.5, 0.1], step_loss=[0.6, 0.4, 0.1, 0.1])
    History(2 epochs, 4 steps, loss 0.5 → 0.1)
    """

    loss: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    epoch_ends: list[int] = field(default_factory=list)
    interrupted: bool = False
    captured: bool = field(default=False, compare=False)
    metrics: dict[str, list[Any]] = field(default_factory=dict)
    _epoch: Epoch | None = field(default=None, repr=False, compare=False)
    _sums: bool = field(default=False, repr=False, compare=False)  # whether its losses are sums
    _ended: str = field(default="", repr=False, compare=False)  # the hook that ended it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self._compared() == other._compared()

    def _compared(self) -> dict[str, Any]:
        """What two equal histories have in common, with lists for metrics that are arrays."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.compare}
        for name, values in self.metrics.items():
            lists = [x.tolist() if isinstance(x, np.ndarray) else x for x in values]
            own["metrics"] = {**own["metrics"], name: lists}
        return own

    def values(self, name: str) -> list[Any]:
        """The values of "loss", "validation" or a metric, one for each finished epoch.

        ValueError for any other name, naming those that there are.

        >>> dl.History(loss=[0.5, 0.1]).values("loss")
        [0.5, 0.1]
        """
        known = {"loss": self.loss, "validation": self.validation, **self.metrics}
        if not isinstance(name, str):
            raise TypeError(f"History.values: name must be a string, got {name!r}")
        if name not in known:
            raise ValueError(
                f"there is no metric {name!r} in this history, which has {', '.join(known)}."
                + _checks.nearest(re.sub("^val_", "validation_", name), known)
            )
        return known[name]

    def _epoch_loss(self, epoch: Epoch) -> float:
        """The loss of an epoch whose steps have all been taken."""
        return epoch.sum if self._sums else epoch.total / epoch.weight

    @property
    def batches(self) -> int:
        """The number of batches taken in an epoch that isn't finished; 0 between epochs."""
        return 0 if self._epoch is None else self._epoch.batches

    def plot(self, path: str | PathLike[str] | None = None) -> tuple[Axes, ...]:
        """Draw the losses over the steps, the rate, and metrics that are numbers, if there are any.

        path  a file to write, such as "history.png", .svg or .pdf; without one, the figure is
              opened in pyplot

        Returns the Matplotlib axes of losses and rate, and then those of metrics.
        """
        from minidl.viz.plots import plot_history

        return plot_history(self, path)

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything in arrays, numbers, strings, lists and dicts, for a checkpoint."""
        state: dict[str, Any] = {
            name: np.array(getattr(self, name), kind) for name, kind in LISTS.items()
        }
        state["metrics"] = {name: list(values) for name, values in self.metrics.items()}
        state |= {"interrupted": self.interrupted, "captured": self.captured}
        state |= {"ended": self._ended, "sums": self._sums}
        epoch = self._epoch
        if epoch is not None:
            state["epoch"] = {
                **vars(epoch),
                "observations": list(epoch.observations),
                "kept": [np.concatenate(arrays) if arrays else None for arrays in epoch.kept],
                "done": list(epoch.done),
            }
        return state

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> History:
        """The History of a state from `state_dict`; ValueError for anything else."""
        try:
            history = cls(
                **{name: np.asarray(state[name], kind).tolist() for name, kind in LISTS.items()},
                metrics={name: list(values) for name, values in state["metrics"].items()},
                interrupted=bool(state["interrupted"]),
                captured=bool(state["captured"]),
            )
            ended = {True: "EarlyStopping.on_epoch", False: ""}  # older files don't say which
            history._ended = str(ended.get(state["ended"], state["ended"]))
            history._sums = bool(state.get("sums", False))
            if epoch := state.get("epoch"):
                kept = tuple([] if x is None else [np.asarray(x)] for x in epoch["kept"])
                history._epoch = Epoch(**{**epoch, "kept": kept})
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"this is not the state of a History: {error!r}") from None
        return history

    def __repr__(self) -> str:
        validation = f", validation {self.validation[-1]:.6g}" if self.validation else ""
        losses = f", loss {self.loss[0]:.6g} → {self.loss[-1]:.6g}" if self.loss else ""
        interrupted = ", interrupted" if self.interrupted else ""
        return (
            f"History({len(self.loss)} epochs, {len(self.step_loss)} steps"
            f"{losses}{validation}{interrupted})"
        )


class TrainingError(Exception):
    """The base of errors that end a training and keep its record."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.history)


class DivergenceError(TrainingError, FloatingPointError, ValueError):
    """The loss became NaN or infinite. `.history` is the record up to that step."""


class CallbackError(TrainingError, TypeError):
    """A callback returned neither a truth value nor None. `.history` is the record so far."""
