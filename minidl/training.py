"""fit, the training loop for those who don't write their own, and what it records."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import reprlib
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import FunctionType
from typing import Any, Literal, Never

import numpy as np

from minidl import _capture, _checks, losses, nn, ops, optim
from minidl._capture import plain
from minidl._checks import describe
from minidl._interrupts import Contexts, CtrlC, assigned
from minidl._kernels import atomic
from minidl.data import Batches, DataLoader, as_batches
from minidl.history import History as History
from minidl.optim import Optimizer
from minidl.schedulers import ReduceOnPlateau, plateaus
from minidl.tensor import Tensor, no_grad

Model = Callable[[Any], Tensor]
Loss = Callable[[Tensor, Any], Tensor]
Data = DataLoader | tuple[Any, Any] | Iterable[Any]
REQUIRED: Any = inspect.Parameter.empty  # a default that makes an argument look as if it had none


class _TrainingError(Exception):
    """The base of errors that end a training and keep its record."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.history)


class DivergenceError(_TrainingError, FloatingPointError, ValueError):
    """The loss became NaN or infinite. `.history` is the record up to that step."""


class CallbackError(_TrainingError, TypeError):
    """A callback returned neither a truth value nor None. `.history` is the record so far."""


def fit(
    model: Model,
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    *more: Never,
    epochs: int = REQUIRED,
    validation: Data | None = None,
    callbacks: Iterable[Callable[[int, History], Any]] = (),
    progress: bool = True,
    capture: bool | Literal["auto"] = "auto",
) -> History:
    """Train a model: for each batch forward, loss, backward, step.

    model       a Module, or any function from a batch x to a prediction
    loss        a function (prediction, y) → scalar tensor, such as dl.losses.mse
    optimizer   the update rule, made with the model's parameters, or some of them and others
    data        a DataLoader; (x, y) for the whole set as one batch, a tuple of two or a list of
                two arrays; or a list of tuples (x, y) or any other iterable of batches. An
                iterator, such as a generator, serves one epoch
    epochs      the number of passes over the data, ≥ 1
    validation  data, in the same forms, whose loss is recorded after each epoch
    callbacks   functions (epoch, history), called after each epoch; the first epoch is 1. Once all
                have been called, the training ends if one has returned True, of Python or NumPy
    progress    show a bar with loss and rate; needs tqdm, the extra minidl[progress]
    capture     whether to record the step and replay it, to the same bits, as `dl.capture` does:
                True, with a CaptureError where it can't; False; or "auto", where it can, which
                `History.captured` says. A replay runs no Python: what a model prints, it prints in
                the first two steps

    The modules of the model are in training mode during the steps, in evaluation mode during
    validation and callbacks, and afterwards each in its mode before the call, however the training
    ends. A new model is therefore in training mode; use model.eval() before you predict with
    Dropout. A function is called as it is: fit can't switch or check the modules that it uses.

    After an epoch in which nobody has called its `observe`, a ReduceOnPlateau that is (part of) the
    rate observes the validation loss, else the training loss. In mode "max" that is a ValueError,
    raised before the training if there are no callbacks: observe the metric in a callback.

    Ctrl-C ends the training after the current step, and the history so far is returned; a second
    Ctrl-C raises KeyboardInterrupt immediately, perhaps in the middle of a step. Raises
    DivergenceError (a ValueError) if the loss becomes NaN or infinite, before that loss changes
    any parameter; TypeError for arguments of a wrong type; ValueError for a loss that isn't one
    number, for data without batches, and if the optimizer has none of the parameters of a Module;
    RuntimeError if the loss depends on none of the optimizer's parameters; CallbackError (a
    TypeError) after the epoch in which a callback returned anything but None, True and False. Both
    DivergenceError and CallbackError have the record so far, `.history`.

    >>> x = np.linspace(0.0, 1.0, 20).reshape(-1, 1)
    >>> model = dl.nn.Dense(1, 1, rng=0)
    >>> optimizer = dl.optim.SGD(model, lr=0.5)
    >>> history = dl.fit(model, dl.losses.mse, optimizer, (x, 2 * x), epochs=200, progress=False)
    >>> history.loss[-1] < 1e-3
    True
    """
    if more or epochs is REQUIRED:
        given = f", such as epochs={more[0]!r}" if more else ": epochs=... is missing"
        raise TypeError(
            f"fit: model, loss, optimizer and data are positional; give the rest by name{given}"
        )
    epochs = _checks.count("fit", "epochs", epochs)
    _check_functions("fit", model, loss)
    if isinstance(optimizer, type) or not all(
        hasattr(optimizer, name) for name in ("step", "zero_grad", "lr")
    ):
        raise TypeError(
            "fit: optimizer must be an Optimizer, such as optim.Adam(model), got "
            + _description(optimizer, [f"optim.{rule}" for rule in optim.RULES])
        )
    _checks.flag("fit", "progress", progress)
    functions = _callbacks(callbacks)
    _check_parameters(model, optimizer)
    if not functions:
        _check_monitored(_plateaus(optimizer))
    batches = as_batches("fit: data", data, epochs)
    if validation is not None:
        validation = as_batches("fit: validation", validation, epochs)
    if capture != "auto" and not isinstance(capture, bool):
        raise TypeError(f'fit: capture must be True, False or "auto", got {capture!r}')
    history, modules, ctrl_c = History(), _modules(model), CtrlC()
    step = functools.partial(_step, model, loss, optimizer, history)
    able = capture is True or (capture == "auto" and isinstance(optimizer, Optimizer))
    captured = _capture.capture(step, _strict=capture is True) if able else None
    keep_modes, _ = _mode(modules, training=True)
    keep_handler, handle = ctrl_c.handling()
    try:
        with (
            keep_modes,
            np.errstate(),
            keep_handler,
            handle,
            _progress_bar(progress, _step_count(batches, epochs)) as advance,
            np.errstate(over="ignore", invalid="ignore"),  # _step raises if the loss isn't finite
            atomic.Assigned([(ctrl_c, "raises", True)]),
        ):
            for epoch in range(1, epochs + 1):
                total, samples = 0.0, 0
                before = {id(p): p.observations for p in _plateaus(optimizer)}
                with _mode(modules, training=True)[1]:
                    taken = _steps(step, captured, optimizer, batches, history, ctrl_c, progress)
                    for sizes in taken:
                        values = history.step_loss[-len(sizes) :]
                        for value, size in zip(values, sizes, strict=True):
                            total, samples = total + value * size, samples + size
                        advance(epoch, len(sizes), values[-1], history.lr[-1])
                        if ctrl_c.presses:
                            raise KeyboardInterrupt
                    ends = len(history.step_loss)
                    _append([history.loss, history.epoch_ends], total / samples, ends)
                with _mode(modules, training=False)[1]:
                    if validation is not None:
                        history.validation.append(evaluate(model, loss, validation))
                    verdicts = [(callback, callback(epoch, history)) for callback in functions]
                modules = _modules(model) if functions else modules  # callbacks may add some
                _observe(optimizer, before, (history.validation or history.loss)[-1])
                if ctrl_c.presses:
                    raise KeyboardInterrupt
                stops = [_ends_training(*verdict, history) for verdict in verdicts]
                if any(stops):
                    break
    except KeyboardInterrupt:
        if ctrl_c.presses > 1:
            raise
        history.interrupted = True
    finally:
        history.captured = captured is not None and captured.runner is not None
    history.interrupted |= ctrl_c.presses > 0
    return history


def evaluate(model: Model, loss: Loss, data: Data) -> float:
    """The mean loss over the data in evaluation mode, weighted by batch size.

    model  a Module, or any function from a batch x to a prediction; the modules of a Module are
           in evaluation mode meanwhile, and afterwards each in its mode before the call
    loss   a function (prediction, y) → scalar tensor, such as dl.losses.mse
    data   a DataLoader; (x, y) for the whole set as one batch; or any iterable of batches (x, y)

    >>> dl.training.evaluate(lambda x: x, dl.losses.mse, ([1.0, 4.0], [1.0, 2.0]))
    2.0
    """
    _check_functions("evaluate", model, loss)
    batches = as_batches("evaluate: data", data)
    keep_modes, evaluating = _mode(_modules(model), training=False)
    with keep_modes, evaluating:
        return contextvars.copy_context().run(_mean_loss, model, loss, batches)


def _mean_loss(model: Model, loss: Loss, batches: DataLoader | Batches) -> float:
    """The mean loss without a graph; in a context of its own, no interrupt leaves no_grad on."""
    total, samples = 0.0, 0
    with no_grad():
        for x, y in batches:
            total, samples = total + loss(model(x), y).item() * len(x), samples + len(x)
        return total / samples


def _steps(
    step: Callable[[Any, Any], Tensor],
    captured: _capture.capture[[Any, Any], Tensor] | None,
    optimizer: Optimizer,
    batches: DataLoader | Batches,
    history: History,
    ctrl_c: CtrlC,
    progress: bool,
) -> Iterator[list[int]]:
    """Take the steps of an epoch; yields the batch sizes of the steps that were taken at a time."""
    if captured is None:
        for x, y in batches:
            step(x, y)
            yield [len(x)]
        return
    parts: Iterable[Any] = (((x, y), len(x), None) for x, y in batches)
    if type(batches) is DataLoader:
        size = batches.batch_size or len(batches.x)
        rows = len(batches) * size if batches.drop_last else len(batches.x)
        if (order := batches.order()) is None:
            parts = [((batches.x[:rows], batches.y[:rows]), size, None)]
        else:
            parts = [((batches.x, batches.y), size, order[:rows])]
    for sources, size, order in parts:
        left = len(sources[0]) if order is None else len(order)
        record = history.step_loss, history.lr, optimizer, ctrl_c, 0.05 if progress else None
        for taken, _ in captured.steps(sources, size, order, *record):
            sizes = [min(size, left - i * size) for i in range(taken)]
            left -= sum(sizes)
            yield sizes


def _step(
    model: Model, loss: Loss, optimizer: Optimizer, history: History, x: Any, y: Any
) -> Tensor:
    """Forward, loss, backward, step; records the loss before the step, and returns it."""
    optimizer.zero_grad()
    result = loss(model(x), y)
    if not isinstance(result, Tensor):
        raise TypeError(f"fit: the loss must return a Tensor, got {result!r}")
    if result.size != 1:
        raise ValueError(
            f"fit: the loss of a batch must be one number, got shape {result.shape}; use the "
            'reduction "mean" or "sum"'
        )
    array, steps, t = plain(result._data), len(history.step_loss), getattr(optimizer, "t", None)

    def diverged() -> Never:
        raise _divergence(array.item(), optimizer, history)

    ops.require(result.data, -sys.float_info.max, sys.float_info.max, diverged)
    try:
        _append([history.step_loss, history.lr], array.item(), _rate(optimizer))
        result.backward()
        _update(optimizer)
    except BaseException:
        if getattr(optimizer, "t", None) == t:  # not taken, so not recorded
            del history.step_loss[steps:], history.lr[steps:]
        raise
    return result


def _rate(optimizer: Any) -> float:
    """The rate of the next step; `lr` would be an option that a captured step reads."""
    return optimizer.rate(optimizer.groups[0]) if isinstance(optimizer, Optimizer) else optimizer.lr


def _divergence(value: float, optimizer: Optimizer, history: History) -> DivergenceError:
    """The error for a loss that isn't finite, which is the last one of the record."""
    _append([history.step_loss, history.lr], value, _rate(optimizer))
    epoch, step = len(history.loss) + 1, len(history.step_loss)
    where = f"the loss became {value} at epoch {epoch}, step {step}"
    recent = ", ".join(f"{v:.4g}" for v in history.step_loss[-5:])
    rate = f"The learning rate was {history.lr[-1]:g}"
    if step == 1:
        advice = "No update had been made, so look for NaN or huge numbers in the data."
    else:
        advice = (
            "It is probably too large, so that the weights exploded: try a tenth of it, a warm-up "
            "(schedulers.WarmUp), or inputs scaled to mean 0 and standard deviation 1, and look "
            "for NaN in the data."
        )
    return DivergenceError(f"{where} (the last losses: {recent}). {rate}. {advice}", history)


def _update(optimizer: Optimizer) -> None:
    """Take a step; RuntimeError that names the parameters if none of them has a gradient."""
    try:
        optimizer.step()
    except RuntimeError as error:
        parameters = list(_parameters(optimizer))
        if not parameters or any(p.grad is not None and p.requires_grad for p in parameters):
            raise
        raise RuntimeError(
            "fit: the optimizer has nothing to learn from this loss, which gives no gradient to "
            f"{_listed(parameters)}. Either the loss doesn't depend on them, or they are frozen "
            "(requires_grad=False)."
        ) from error


def _append(lists: list[list[Any]], *values: float) -> None:
    """Append a value to each list, so that no interrupt leaves lists of different lengths."""
    any(map(list.append, lists, values))  # one call without bytecodes; append returns None


def _check_functions(owner: str, model: Any, loss: Any) -> None:
    """TypeError unless model and loss can be called, and are objects rather than classes."""
    for name, function, example in (
        ("model", model, "such as nn.MLP([2, 16, 1])"),
        ("loss", loss, "such as losses.mse or losses.MSE()"),
    ):
        if not callable(function) or isinstance(function, type):
            functions = (key for key, f in vars(losses).items() if isinstance(f, FunctionType))
            known = [f"losses.{key}" for key in functions if name == "loss" and key[0] != "_"]
            raise TypeError(
                f"{owner}: {name} must be a function or a callable object, {example}, got "
                + _description(function, known)
            )


def _description(value: Any, known: Iterable[str]) -> str:
    """What was given, and what may have been meant: an object of a class, a similar name."""
    if isinstance(value, type):
        return f"the class {value.__name__}; make an object of it: {value.__name__}(...)"
    hint = f".{_checks.nearest(value, known)}" if isinstance(value, str) else ""
    return reprlib.repr(value) + hint


def _callbacks(callbacks: Any) -> tuple[Callable[[int, History], Any], ...]:
    """The callbacks as a tuple; TypeError for anything but functions."""
    functions = tuple(callbacks) if isinstance(callbacks, Iterable) else ()
    classes = [f for f in functions if isinstance(f, type)]
    if isinstance(callbacks, Iterable) and all(map(callable, functions)) and not classes:
        return functions
    advice = ""
    if callbacks is None:
        advice = "; leave it out or give [] for none"
    elif callable(callbacks) and not isinstance(callbacks, type):
        advice = "; put it in a list, callbacks=[...]"
    elif classes:
        advice = f"; {_description(classes[0], ())}"
    raise TypeError(
        f"fit: callbacks must be a list of functions (epoch, history), got {callbacks!r}{advice}"
    )


def _ends_training(callback: Any, verdict: Any, history: History) -> bool:
    """Whether a callback has returned True; CallbackError for what is no truth value."""
    if verdict is None:
        return False
    if isinstance(verdict, bool | np.bool_) or (
        type(verdict) is np.ndarray and verdict.dtype == bool and verdict.shape == ()
    ):
        return bool(verdict)
    if isinstance(verdict, Coroutine):
        verdict.close()  # it will not run, and Python shall not warn about that
    name = getattr(callback, "__qualname__", None) or reprlib.repr(callback)
    raise CallbackError(
        f"fit: after epoch {len(history.loss)} the callback {name} returned "
        f"{reprlib.repr(verdict)} ({type(verdict).__name__}). It must return True to end the "
        "training, None or False to continue.",
        history,
    )


def _parameters(optimizer: Any) -> Iterator[Tensor]:
    return (p for group in getattr(optimizer, "groups", ()) for p in group["params"])


def _listed(parameters: Iterable[Tensor]) -> str:
    """The first few parameters, for a message."""
    first, *rest = map(describe, parameters)
    return ", ".join([first, *rest[:2]]) + f" and {len(rest) - 2} more" * (len(rest) > 2)


def _check_parameters(model: Model, optimizer: Optimizer) -> None:
    """ValueError if the optimizer has none of a Module's parameters, and it learns any."""
    updated = {id(p) for p in _parameters(optimizer)}
    own = [p for module in _modules(model)[:1] for p in module.parameters()]
    if updated and any(p.requires_grad for p in own) and not any(id(p) in updated for p in own):
        rule, kind = type(optimizer).__name__, type(_modules(model)[0]).__name__
        raise ValueError(
            f"fit: these parameters are not the model's: {rule} updates "
            f"{_listed(_parameters(optimizer))}, none of which is in this {kind}. Make the "
            f"optimizer with the model to train: {rule}(model, ...). A copy, or a model made "
            "anew, has parameters of its own."
        )


def _plateaus(optimizer: Any) -> list[ReduceOnPlateau]:
    """Each ReduceOnPlateau in the rates of an optimizer, once."""
    rates = [group["lr"] for group in getattr(optimizer, "groups", ())]
    return list({id(p): p for p in plateaus(rates)}.values())


def _observe(optimizer: Any, before: dict[int, int], loss: float) -> None:
    """Show the loss to each ReduceOnPlateau that has observed nothing since `before`."""
    unobserved = [p for p in _plateaus(optimizer) if p.observations == before.get(id(p), 0)]
    _check_monitored(unobserved)
    for plateau in unobserved:
        plateau.observe(loss)


def _check_monitored(unobserved: list[ReduceOnPlateau]) -> None:
    """ValueError if one that nobody has shown a metric is in mode "max"."""
    if any(p.mode == "max" for p in unobserved):
        raise ValueError(
            'fit: a ReduceOnPlateau in mode "max" needs a metric of its own, since fit would show '
            "it the loss, which gets smaller. Observe the metric after each epoch: "
            "callbacks=[lambda epoch, history: plateau.observe(...)]"
        )


def _step_count(batches: DataLoader | Batches, epochs: int) -> int | None:
    """The number of steps, if the data say how many batches they have."""
    try:
        return epochs * len(batches)
    except TypeError:
        return None


def _modules(model: Any) -> list[nn.Module]:
    """Every module of a model, or of the one that a method belongs to; none of a function."""
    model = getattr(model, "__self__", model)
    return list(model.modules()) if isinstance(model, nn.Module) else []


def _mode(modules: list[nn.Module], training: bool) -> Contexts:
    """Contexts in which the modules are in training or evaluation mode."""
    return assigned([(vars(module), "training", training) for module in modules])


@contextlib.contextmanager
def _progress_bar(
    progress: bool, steps: int | None
) -> Iterator[Callable[[int, int, float, float], None]]:
    """Yields a function to call after steps with the epoch, their number, the loss and the rate."""
    if not progress:
        yield lambda epoch, taken, loss, lr: None
        return
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError:
        warnings.warn(
            "dl.fit shows no progress bar, since tqdm is missing: "
            "pip install 'minidl[progress]', or pass progress=False",
            stacklevel=4,
        )
        yield lambda epoch, taken, loss, lr: None
        return
    with tqdm(total=steps, unit="step") as bar:
        last = ""

        def advance(epoch: int, taken: int, loss: float, lr: float) -> None:
            nonlocal last
            last = f"epoch {epoch}, loss {loss:.4g}, lr {lr:.3g}"
            if bar.update(taken):  # tqdm redrew the bar; the next redraw shows the new text
                bar.set_postfix_str(last, refresh=False)

        yield advance
        bar.set_postfix_str(last)
