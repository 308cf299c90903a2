"""fit, the training loop for those who don't write their own, and what it records."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import _checks, nn
from minidl._format import printed
from minidl.data import DataLoader
from minidl.optim import Optimizer
from minidl.tensor import Tensor, no_grad

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Model = Callable[[Any], Tensor]
Loss = Callable[[Tensor, Any], Tensor]
Data = DataLoader | tuple[Any, Any] | list[Any]


@printed
@dataclass
class History:
    """The record of a training.

    loss         the mean loss of each finished epoch, weighted by batch size
    step_loss    the loss of each step, before its update
    lr           the learning rate of each step
    validation   the validation loss after each finished epoch, if there is a validation set
    epoch_ends   the number of steps taken by the end of each finished epoch
    interrupted  whether Ctrl-C ended the training

    >>> dl.History(loss=[0.5, 0.1], step_loss=[0.6, 0.4, 0.1, 0.1])
    History(2 epochs, 4 steps, loss 0.5 → 0.1)
    """

    loss: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    epoch_ends: list[int] = field(default_factory=list)
    interrupted: bool = False

    def plot(self) -> tuple[Axes, Axes]:
        """Draw the losses over the steps, and the rate below; returns both Matplotlib axes."""
        from minidl.viz.plots import plot_history

        return plot_history(self)

    def __repr__(self) -> str:
        validation = f", validation {self.validation[-1]:.6g}" if self.validation else ""
        losses = f", loss {self.loss[0]:.6g} → {self.loss[-1]:.6g}" if self.loss else ""
        interrupted = ", interrupted" if self.interrupted else ""
        return (
            f"History({len(self.loss)} epochs, {len(self.step_loss)} steps"
            f"{losses}{validation}{interrupted})"
        )


class DivergenceError(FloatingPointError, ValueError):
    """The loss became NaN or infinite. `.history` is the record up to that step."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.history)


class _Stop(Exception):  # noqa: N818
    """Ctrl-C was pressed, and the current step is complete."""


def fit(
    model: Model,
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    *,
    epochs: int,
    validation: Data | None = None,
    callbacks: Iterable[Callable[[int, History], Any]] = (),
    progress: bool = True,
) -> History:
    """Train a model: for each batch forward, loss, backward, step.

    model       a Module, or any function from a batch x to a prediction
    loss        a function (prediction, y) → scalar tensor, such as dl.losses.mse
    optimizer   the update rule, made with the model's parameters
    data        a DataLoader, or (x, y) for the whole set as one batch
    epochs      the number of passes over the data, ≥ 1
    validation  (x, y) or a DataLoader whose loss is recorded after each epoch
    callbacks   functions (epoch, history), called after each epoch; the first epoch is 1. A
                callback that returns True ends the training
    progress    show a bar with loss and rate; needs tqdm, the extra minidl[progress]

    Ctrl-C ends the training after the current step, and the history so far is returned; a second
    Ctrl-C raises KeyboardInterrupt immediately, perhaps in the middle of a step. Raises
    DivergenceError (a ValueError) if the loss becomes NaN or infinite, before that loss changes
    any parameter, TypeError for arguments of a wrong type, and ValueError for a loss that isn't
    one number.

    >>> x = np.linspace(0.0, 1.0, 20).reshape(-1, 1)
    >>> model = dl.nn.Dense(1, 1, rng=0)
    >>> optimizer = dl.optim.SGD(model, lr=0.5)
    >>> history = dl.fit(model, dl.losses.mse, optimizer, (x, 2 * x), epochs=200, progress=False)
    >>> history.loss[-1] < 1e-3
    True
    """
    epochs = _checks.count("fit", "epochs", epochs)
    for name, function in (("model", model), ("loss", loss)):
        if not callable(function) or isinstance(function, type):
            raise TypeError(
                f"fit: {name} must be a function or a callable object, such as losses.mse or "
                f"losses.MSE(), got {function!r}"
            )
    if not hasattr(optimizer, "step") or isinstance(optimizer, type):
        raise TypeError(
            f"fit: optimizer must be an Optimizer, such as optim.Adam(model), got {optimizer!r}"
        )
    _checks.flag("fit", "progress", progress)
    functions = tuple(callbacks) if isinstance(callbacks, Iterable) else ()
    if not (isinstance(callbacks, Iterable) and all(map(callable, functions))):
        raise TypeError(
            f"fit: callbacks must be a list of functions (epoch, history), got {callbacks!r}"
        )
    loader = _loader("data", data)
    if validation is not None:
        validation = _loader("validation", validation)
    history, modules = History(), _modules(model)
    with (
        _progress_bar(progress, epochs * len(loader)) as advance,
        _interrupts() as interrupted,
        np.errstate(over="ignore", invalid="ignore"),  # _step raises if the loss isn't finite
    ):
        try:
            for epoch in range(1, epochs + 1):
                total, samples = 0.0, 0
                with _mode(modules, training=True):
                    for x, y in loader:
                        value = _step(model, loss, optimizer, x, y, epoch, history)
                        total, samples = total + value * len(x), samples + len(x)
                        advance(epoch, value, history.lr[-1])
                        if interrupted():
                            raise _Stop
                history.loss.append(total / samples)
                history.epoch_ends.append(len(history.step_loss))
                if validation is not None:
                    history.validation.append(evaluate(model, loss, validation))
                verdicts = [callback(epoch, history) for callback in functions]
                if interrupted():
                    raise _Stop
                if any(verdict is True for verdict in verdicts):
                    break
        except (_Stop, KeyboardInterrupt) as error:
            history.interrupted = True
            if interrupted() and not isinstance(error, _Stop):  # the second Ctrl-C
                raise
    return history


def evaluate(model: Model, loss: Loss, data: Data) -> float:
    """The mean loss over the data in evaluation mode, weighted by batch size.

    model  a Module, or any function from a batch x to a prediction
    loss   a function (prediction, y) → scalar tensor, such as dl.losses.mse
    data   a DataLoader, or (x, y) for the whole set as one batch

    >>> dl.training.evaluate(lambda x: x, dl.losses.mse, ([1.0, 4.0], [1.0, 2.0]))
    2.0
    """
    total, samples = 0.0, 0
    with _mode(_modules(model), training=False), no_grad():
        for x, y in _loader("data", data):
            total, samples = total + loss(model(x), y).item() * len(x), samples + len(x)
    return total / samples


def _step(
    model: Model, loss: Loss, optimizer: Optimizer, x: Any, y: Any, epoch: int, history: History
) -> float:
    """Forward, loss, backward, step; returns the loss before the step."""
    optimizer.zero_grad()
    result = loss(model(x), y)
    if not isinstance(result, Tensor):
        raise TypeError(f"fit: the loss must return a Tensor, got {result!r}")
    if result.size != 1:
        raise ValueError(
            f"fit: the loss of a batch must be one number, got shape {result.shape}; use the "
            'reduction "mean" or "sum"'
        )
    value = result.item()
    history.step_loss.append(value)
    history.lr.append(optimizer.lr)
    if not math.isfinite(value):
        where = f"the loss became {value} at epoch {epoch}, step {len(history.step_loss)}"
        recent = ", ".join(f"{v:.4g}" for v in history.step_loss[-5:])
        rate = f"The learning rate was {history.lr[-1]:g}"
        if len(history.step_loss) == 1:
            advice = "No update had been made, so look for NaN or huge numbers in the data."
        else:
            advice = (
                "It is probably too large, so that the weights exploded: try a tenth of it, a "
                "warm-up (schedulers.WarmUp), or inputs scaled to mean 0 and standard deviation "
                "1, and look for NaN in the data."
            )
        raise DivergenceError(f"{where} (the last losses: {recent}). {rate}. {advice}", history)
    result.backward()
    optimizer.step()
    return value


def _loader(name: str, data: Data) -> DataLoader:
    """A DataLoader as it is, a pair (x, y) as one of a single batch."""
    if isinstance(data, DataLoader):
        return data
    if isinstance(data, tuple | list) and len(data) == 2:
        return DataLoader(*data)
    raise TypeError(f"fit: {name} must be a DataLoader or a pair (x, y), got {type(data).__name__}")


def _modules(model: Model) -> list[nn.Module]:
    """Every module of a model; none of a plain function."""
    return list(model.modules()) if isinstance(model, nn.Module) else []


@contextlib.contextmanager
def _mode(modules: list[nn.Module], training: bool) -> Iterator[None]:
    """Put the modules in training or evaluation mode, and restore the mode of each on exit."""
    before = [module.training for module in modules]
    for module in modules:
        module.training = training
    try:
        yield
    finally:
        for module, was in zip(modules, before, strict=True):
            module.training = was


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Defer the first Ctrl-C to the end of a step; yields a function that says if there was one."""
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or before in (None, signal.SIG_IGN):  # Python or the user handles the signal
        yield lambda: False
        return
    received = []

    def defer(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the second isn't deferred

    signal.signal(signal.SIGINT, defer)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _progress_bar(progress: bool, steps: int) -> Iterator[Callable[[int, float, float], None]]:
    """Yields a function to call after each step with epoch, loss and rate."""
    if not progress:
        yield lambda epoch, loss, lr: None
        return
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError:
        warnings.warn(
            "dl.fit shows no progress bar, since tqdm is missing: "
            "pip install 'minidl[progress]', or pass progress=False",
            stacklevel=4,
        )
        yield lambda epoch, loss, lr: None
        return
    with tqdm(total=steps, unit="step") as bar:
        last = ""

        def advance(epoch: int, loss: float, lr: float) -> None:
            nonlocal last
            last = f"epoch {epoch}, loss {loss:.4g}, lr {lr:.3g}"
            if bar.update():  # tqdm redrew the bar; the next redraw shows the new text
                bar.set_postfix_str(last, refresh=False)

        yield advance
        bar.set_postfix_str(last)
