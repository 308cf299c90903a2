"""The steps and epochs of a training, for fit: which parts are captured, and where hooks come in.

A step without hooks is one function, which `capture` records as a whole; then the steps of an
epoch are one call into C. Where callbacks look between the backward pass and the update, or several
batches make one step, the captured function ends with the backward pass.
"""

from __future__ import annotations

import functools
import itertools
import math
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Never, Protocol, runtime_checkable

import numpy as np

from minidl import _capture, evaluation, ops
from minidl._capture import plain
from minidl._checks import describe
from minidl._interrupts import CtrlC
from minidl._kernels import atomic
from minidl.callbacks import Callback, Training
from minidl.data import DataLoader
from minidl.data.arrays import call, inputs, samples
from minidl.data.batches import Batches
from minidl.evaluation import loss_of, mode, modules_of, weight_of
from minidl.history import CallbackError, DivergenceError, Epoch, History
from minidl.losses import NoWeightError
from minidl.optim import Optimizer
from minidl.schedulers import ReduceOnPlateau, plateaus
from minidl.tensor import Tensor

SECONDS = 0.05  # between two looks at Ctrl-C and the progress bar
HOOKS = ("on_begin", "on_backward", "on_step", "on_epoch", "on_end", "validating")


class Form(NamedTuple):
    """How a batch is made of arrays: x is a dict with these names, a tuple of so many, or one."""

    names: tuple[str, ...] | None
    parts: int | None
    weighted: bool

    def batch(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """(x, y) or (x, y, weight)."""
        split = len(arrays) - 1 - self.weighted
        x: Any = arrays[:split]
        if self.names is not None:
            x = dict(zip(self.names, x, strict=True))
        elif self.parts is None:
            (x,) = x
        return x, *arrays[split:]


PAIR = Form(None, None, False)  # the most frequent one


def flat(x: Any, *rest: Any) -> tuple[Form, tuple[Any, ...]]:
    """The form of a batch, and its arrays, which are the arguments of a captured step."""
    names = tuple(x) if isinstance(x, dict) else None
    parts = len(x) if isinstance(x, tuple) else None
    form = Form(names, parts, len(rest) == 2)
    return PAIR if form == PAIR else form, (*inputs(x), *rest)


# --- what is captured ---------------------------------------------------------------------------


def _step(model: Any, loss: Any, optimizer: Any, history: History, form: Form, *arrays: Any) -> Any:
    """Forward, loss, backward, step; records the loss before the step, and returns it.

    Together with the weight of the batch, if the loss tells it.
    """
    optimizer.zero_grad()
    x, *rest = arrays if form is PAIR else form.batch(arrays)
    result = loss_of("fit", loss, call(model, x), *rest)
    value, t, steps = _finite(result, optimizer, history), _steps_of(optimizer), len(history.lr)
    try:
        append([history.step_loss, history.lr], value, _rate(optimizer))
        result.backward()
        _update(optimizer)
    except BaseException:
        if _steps_of(optimizer) == t:  # not taken, so not recorded
            del history.step_loss[steps:], history.lr[steps:]
        raise
    weight = getattr(result, "_weight", None)
    return result if weight is None or weight is False else (result, weight)


def _gradients(
    model: Any,
    loss: Any,
    optimizer: Any,
    history: History,
    form: Form,
    first: bool,
    scaled: bool,
    keeps: bool,
    *arrays: Any,
) -> tuple[Any, ...]:
    """Forward, loss and backward of a batch; returns its loss, weight and prediction.

    first   whether the gradients are cleared before
    scaled  whether they are multiplied by the weight, to be divided by the sum of all weights
    keeps   whether the prediction is returned
    """
    if first:
        optimizer.zero_grad()
    x, *rest = form.batch(arrays)
    prediction = call(model, x)
    result = loss_of("fit", loss, prediction, *rest)
    _finite(result, optimizer, history)
    weight = weight_of(result, samples(x))
    if scaled and weight is not None:
        known = isinstance(weight, np.ndarray | np.generic)
        (result * (weight.astype(result.dtype) if known else weight)).backward()
    else:
        result.backward()
    return result, weight, prediction if keeps else None


def _finite(result: Tensor, optimizer: Any, history: History) -> float:
    """The value of a loss; DivergenceError unless it is finite."""
    array = plain(result._data)
    value: float = array.item()
    if array is not result._data:
        _require_finite(result, array, optimizer, history)
    elif not math.isfinite(value):
        raise _divergence(value, optimizer, history)
    return value


def _require_finite(result: Tensor, array: Any, optimizer: Any, history: History) -> None:
    """Record the check of a loss, so that each replay repeats it."""

    def diverged() -> Never:
        raise _divergence(array.item(), optimizer, history)

    ops.require(result.data, -sys.float_info.max, sys.float_info.max, diverged)


def _steps_of(optimizer: Any) -> int | None:
    """The number of steps that an optimizer has taken, if it counts them."""
    return getattr(optimizer, "t", None)


def _rate(optimizer: Any) -> float:
    """The rate of the next step; `lr` would be an option that a captured step reads."""
    return optimizer.rate(optimizer.groups[0]) if isinstance(optimizer, Optimizer) else optimizer.lr


def _divergence(value: float, optimizer: Any, history: History) -> DivergenceError:
    """The error for a loss that isn't finite, which is the last one of the record."""
    append([history.step_loss, history.lr], value, _rate(optimizer))
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


def _update(optimizer: Any) -> None:
    """Take a step; RuntimeError that names the parameters if none of them has a gradient."""
    try:
        optimizer.step()
    except RuntimeError as error:
        parameters = list(parameters_of(optimizer))
        if not parameters or any(p.grad is not None and p.requires_grad for p in parameters):
            raise
        raise RuntimeError(
            "fit: the optimizer has nothing to learn from this loss, which gives no gradient to "
            f"{listed(parameters)}. Either the loss doesn't depend on them, or they are frozen "
            "(requires_grad=False)."
        ) from error


def append(lists: list[list[Any]], *values: Any) -> None:
    """Append a value to each list, so that no interrupt leaves lists of different lengths."""
    any(map(list.append, lists, values))  # one call without bytecodes; append returns None


# --- the loop -----------------------------------------------------------------------------------


@runtime_checkable
class Record(Protocol):
    """What fit asks of what looks at some of the steps, such as a dl.viz.Recorder."""

    def _begin(self, training: Training, loss: Any, steps: int | None) -> None:
        """A training of so many steps begins, or of an unknown number."""

    def _due(self, taken: int) -> int:
        """The number of steps to take before the next one that is recorded; 0 if it is that."""

    def _before_step(self, training: Training) -> None:
        """A step that is recorded is about to be taken."""

    def _after_step(self, training: Training, step: int) -> None:
        """It was taken, as the step of that number."""

    def _end(self, training: Training) -> None:
        """The training ended, however it did."""


class Loop:
    """One call of fit, whose arguments are checked: takes steps until an epoch or step is reached.

    capture  whether to capture; "auto" where it can be done
    ends     the numbers of epochs and of steps, counted as the history counts them
    record   what looks at some of the steps, such as a dl.viz.Recorder, or None
    """

    def __init__(
        self,
        loss: Any,
        training: Training,
        validation: DataLoader | Batches | None,
        metrics: dict[str, Any],
        accumulate: int,
        capture: Any,
        ends: tuple[float, float],
        record: Record | None = None,
    ) -> None:
        self.loss, self.training, self.record = loss, training, record
        self.validation, self.metrics = validation, metrics
        self.model, self.optimizer = training.model, training.optimizer
        self.history, self.batches = training.history, training.data
        self.accumulate, self.capture, self.ends = accumulate, capture, ends
        self.ctrl_c = CtrlC()
        self.modules = modules_of(self.model)
        self.hooks = {name: _hooks(training.callbacks, name) for name in HOOKS}
        last = [c for c in training.callbacks if getattr(c, "after_others", False)]
        others = [c for c in training.callbacks if not any(c is one for one in last)]
        self.hooks["on_epoch"], self.last = _hooks(others, "on_epoch"), _hooks(last, "on_epoch")
        whole = not (self.hooks["on_backward"] or self.hooks["on_step"] or metrics)
        self.whole = whole and accumulate == 1
        self.captured: dict[Any, Any] = {}  # captured functions, by what is fixed in them
        begun = self.history._epoch
        self.observed = self.by_plateau([] if begun is None else begun.observations)
        for name in metrics:
            self.history.metrics.setdefault(name, [])
            if validation is not None:
                self.history.metrics.setdefault(f"validation_{name}", [])

    @property
    def epoch(self) -> Epoch:
        """The epoch that has begun."""
        if self.history._epoch is None:
            counts = [p.observations for p in plateaus_of(self.optimizer)]
            self.observed = self.by_plateau(counts)
            self.history._epoch = Epoch(observations=counts)
        return self.history._epoch

    def by_plateau(self, counts: list[int]) -> dict[int, int]:
        """The observations of each plateau at the start of the epoch, by id."""
        return {id(p): n for p, n in zip(plateaus_of(self.optimizer), counts, strict=False)}

    @property
    def left(self) -> float:
        """The number of steps that are left."""
        return self.ends[1] - len(self.history.step_loss)

    @property
    def pressed(self) -> bool:
        """Whether Ctrl-C shall end the training."""
        return self.ctrl_c.presses > 0

    def run(self, report: Any) -> None:
        """Take the epochs, and show them by `report`; a KeyboardInterrupt if Ctrl-C was pressed."""
        history, training = self.history, self.training
        for hook in self.hooks["on_begin"]:
            hook.call(training)
        begun = history._epoch
        taken = begun is not None and self.complete(begun) and not history._ended
        if begun is not None and (begun.done or taken):
            self.finish(report)
        while len(history.loss) < self.ends[0] and self.left > 0 and not history._ended:
            epoch = self.epoch
            training.epoch = len(history.loss) + 1
            with mode(self.modules, training=True)[1]:
                ended = self.take(epoch, report)
            if ended or history._ended:
                return
            self.finish(report)

    def take(self, epoch: Epoch, report: Any) -> bool:
        """Take the steps of an epoch; returns whether it ended before its last batch."""
        history = self.history
        for count in self.whole_steps(epoch) if self.whole else self.split_steps(epoch):
            self.training.step, self.training.loss = len(history.lr), history.step_loss[-1]
            self.place()
            report.steps(len(history.loss) + 1, count, history.step_loss[-1], history.lr[-1])
            if not self.whole:
                self.after_step()
            if self.pressed:
                raise KeyboardInterrupt
            if history._ended:
                return True
        return self.left <= 0 and not self.complete(epoch)

    def complete(self, epoch: Epoch) -> bool:
        """Whether all batches of the epoch were taken; False if nobody can tell."""
        try:
            return epoch.batches == len(self.batches)
        except TypeError:
            return False

    def place(self) -> None:
        """Tell the loader how many batches were used, not just given out."""
        if isinstance(self.batches, DataLoader) and self.history._epoch is not None:
            self.batches._taken = self.history._epoch.batches

    # --- steps without hooks

    def function(self, run: Callable[..., Any], *fixed: Any) -> Any:
        """The function with the first arguments fixed, captured if it may be."""
        key = run, fixed
        if key not in self.captured:
            own = self.model, self.loss, self.optimizer, self.history
            step: Any = functools.partial(run, *own, *fixed)
            auto = self.capture == "auto" and isinstance(self.optimizer, Optimizer)
            if self.capture is True or auto:
                step = _capture.capture(step, _strict=self.capture is True)
            self.captured[key] = step
        return self.captured[key]

    def whole_steps(self, epoch: Epoch) -> Iterator[int]:
        """Take the steps that are left in an epoch; yields how many, about every 0.05 s."""
        for form, arrays, size, order in self.parts(epoch):
            step = self.function(_step, form)
            captured = isinstance(step, _capture.capture)
            steps = self.replayed if captured else self.eager
            for own, rows, record in self.pieces(arrays, size, order):
                if record:
                    record._before_step(self.training)
                for taken in steps(epoch, step, own, size, rows):
                    if record:
                        record._after_step(self.training, len(self.history.step_loss))
                    yield taken

    def pieces(
        self, arrays: tuple[Any, ...], size: int, order: Any
    ) -> Iterator[tuple[tuple[Any, ...], Any, Record | None]]:
        """Parts of the batches: one step and what records it, or steps and None."""
        rows = len(arrays[0]) if order is None else len(order)
        if self.record is None or not rows:
            yield arrays, order, None
            return
        begin = 0
        while begin < rows:
            left = self.record._due(len(self.history.step_loss))
            end = min(begin + (max(left, 1) * size), rows)
            part = slice(begin, end)
            whole = order is not None or end - begin == rows
            own = arrays if whole else tuple(array[part] for array in arrays)
            yield own, None if order is None else order[part], None if left else self.record
            begin = end

    def eager(
        self, epoch: Epoch, step: Any, arrays: tuple[Any, ...], size: int, order: Any
    ) -> Iterator[int]:
        """The same, by calls of the step."""
        losses, ctrl_c, count = self.history.step_loss, self.ctrl_c, 0
        rows = len(arrays[0]) if order is None else len(order)
        batch: Sequence[Any] = arrays
        due = time.perf_counter() + SECONDS
        for begin in range(0, rows, size):
            if order is not None:
                chosen = order[begin : begin + size]
                batch = [a.take(chosen, 0) for a in arrays]  # faster than a[chosen]
            elif size < rows:
                batch = [a[begin : begin + size] for a in arrays]
            result = step(*batch)
            weight = result[1].item() if type(result) is tuple else min(size, rows - begin)
            del result  # its memory serves the next step
            epoch.add(losses[-1], weight)
            count += 1
            if ctrl_c.presses or time.perf_counter() > due:
                yield count
                count, due = 0, time.perf_counter() + SECONDS
        if count:
            yield count

    def replayed(
        self, epoch: Epoch, step: Any, arrays: tuple[Any, ...], size: int, order: Any
    ) -> Iterator[int]:
        """The same, by a captured step."""
        history, weights = self.history, list[float]()
        rows = len(arrays[0]) if order is None else len(order)
        record = history.step_loss, history.lr, self.optimizer, self.ctrl_c, SECONDS, weights
        for taken, result in step._steps(arrays, size, order, *record):
            if type(result) is tuple:
                weights.append(result[1].item())
            sizes = [min(size, rows - i * size) for i in range(taken)]
            rows -= sum(sizes)
            for value, weight in zip(history.step_loss[-taken:], weights or sizes, strict=True):
                epoch.add(value, weight)
            weights.clear()
            yield taken

    def parts(self, epoch: Epoch) -> Iterator[tuple[Form, tuple[Any, ...], int, Any]]:
        """What is left of an epoch: arrays in a form, the rows of a batch, and their order."""
        batches = self.batches
        if type(batches) is not DataLoader:
            for batch in self.rest(epoch):
                form, arrays = flat(*batch)
                yield form, arrays, samples(batch[0]), None
                if self.left <= 0:
                    return
            return
        order, _ = batches._begin()
        size = batches.batch_size or len(batches.y)
        end = min(len(batches) * size, len(batches.y))
        begin = epoch.batches * size
        end = end if math.isinf(self.left) else min(end, begin + int(self.left) * size)
        form, arrays = flat(*batches._arrays())
        if order is None:
            yield form, tuple(a[begin:end] for a in arrays), size, None
        else:
            yield form, arrays, size, order[begin:end]

    def rest(self, epoch: Epoch) -> Iterator[tuple[Any, ...]]:
        """The batches that are left in an epoch."""
        if isinstance(self.batches, DataLoader):
            return self.batches._rest(epoch.batches)
        return itertools.islice(iter(self.batches), epoch.batches, None)

    # --- steps with hooks, or of several batches

    def split_steps(self, epoch: Epoch) -> Iterator[int]:
        """The same, with hooks, metrics and several batches for a step; yields after each."""
        batches = self.rest(epoch)
        while self.left > 0 and (group := list(itertools.islice(batches, self.accumulate))):
            epoch.add(*self.one_step(epoch, group), len(group))
            yield 1

    def one_step(self, epoch: Epoch, group: list[tuple[Any, ...]]) -> tuple[float, float]:
        """Take one step; returns its loss and the weight of its batches."""
        history, training = self.history, self.training
        training.step = len(history.step_loss) + 1
        value, weight, seen = self.gradients(group)
        training.loss = value
        for hook in self.hooks["on_backward"]:
            hook.call(training)
        steps, t = len(history.lr), _steps_of(self.optimizer)
        record = self.record if self.record and self.record._due(steps) == 0 else None
        if record:
            record._before_step(training)
        try:
            append([history.step_loss, history.lr], value, _rate(self.optimizer))
            self.update()
        except BaseException:
            if _steps_of(self.optimizer) == t:
                del history.step_loss[steps:], history.lr[steps:]
            raise
        if record:
            record._after_step(training, training.step)
        for predicted in seen if self.metrics else ():
            evaluation.keep(epoch.kept, *predicted)
        return value, weight

    def update(self) -> None:
        """Update the parameters by their gradients."""
        _update(self.optimizer)

    def gradients(self, group: list[Any]) -> tuple[float, float, list[tuple[Any, ...]]]:
        """Compute the gradients of a step; returns its loss, the weight of its batches, and
        (prediction, y) or (prediction, y, weight) of each batch for metrics."""
        scaled = self.accumulate > 1
        total, weight, sums, first = 0.0, 0.0, False, True
        seen: list[tuple[Any, ...]] = []
        for i, batch in enumerate(group):
            form, arrays = flat(*batch)
            gradients = self.function(_gradients, form, first, scaled, bool(self.metrics))
            try:
                result, own, prediction = gradients(*arrays)
            except NoWeightError:
                if first and i == len(group) - 1:  # so has the whole step
                    raise
                continue
            first, sums = False, own is None
            share = samples(batch[0]) if own is None else float(own)
            total += result.item() if sums else result.item() * share
            weight += share
            seen.append((prediction, *batch[1:]))
        value = result.item()
        if len(group) > 1:
            value = total if sums else total / weight
        if scaled and not sums:
            self.divide(weight)
        return value, weight, seen

    def divide(self, weight: float) -> None:
        """Divide all gradients by the sum of the weights."""
        params = list(parameters_of(self.optimizer))
        if not params and self.modules:  # an optimizer without groups
            params = list(self.modules[0].parameters())
        with_grad = [p for p in params if p.grad is not None]
        atomic.assign([(p, "grad", p.grad / p.dtype.type(weight)) for p in with_grad])

    def after_step(self) -> None:
        """Call on_step of the callbacks, any of which may end the training."""
        where = f"step {self.training.step}"
        self.end_if(self.ask(self.hooks["on_step"]), where)

    # --- the end of an epoch

    def finish(self, report: Any) -> None:
        """Record an epoch, validate, call the callbacks, and show the loss to plateaus."""
        history, training, epoch = self.history, self.training, self.epoch
        if "loss" not in epoch.done:
            found = evaluation.measured(self.metrics, epoch.kept)
            lists: list[Any] = [history.metrics[name] for name in found]
            lists = [*lists, history.loss, history.epoch_ends, epoch.done]
            mean, steps = epoch.total / epoch.weight, len(history.step_loss)
            append(lists, *found.values(), mean, steps, "loss")
        training.epoch = len(history.loss)
        training.step = len(history.step_loss)
        verdicts: list[tuple[Any, Any]] = []
        where = f"epoch {training.epoch}"
        with mode(self.modules, training=False)[1]:
            if self.validation is not None and "validation" not in epoch.done:
                self.validate(epoch)
            if "callbacks" not in epoch.done:
                epoch.done.append("callbacks")
                verdicts = self.ask(self.hooks["on_epoch"])
        if self.training.callbacks:
            self.modules = modules_of(self.model)  # callbacks may add some
        self.observe()
        self.end_if(verdicts, where)
        history._epoch = None
        with mode(self.modules, training=False)[1]:
            verdicts = self.ask(self.last)
        self.end_if(verdicts, where)
        report.epoch(training.epoch, history)
        if self.pressed:
            raise KeyboardInterrupt

    def validate(self, epoch: Epoch) -> None:
        """Record the validation loss and metrics."""
        assert self.validation is not None
        history = self.history
        with ExitStack() as stack:
            for hook in self.hooks["validating"]:
                stack.enter_context(hook.call(self.training))
            found = self.evaluated(self.validation)
        value = found.pop("loss")
        lists: list[Any] = [history.metrics[f"validation_{name}"] for name in found]
        append([*lists, history.validation, epoch.done], *found.values(), value, "validation")

    def evaluated(self, batches: DataLoader | Batches) -> dict[str, Any]:
        """The loss and the metrics of validation data."""
        return evaluation.evaluated(self.model, self.loss, batches, self.metrics)

    def observe(self) -> None:
        """Show the loss to each ReduceOnPlateau that has observed nothing in this epoch."""
        found = plateaus_of(self.optimizer)
        unobserved = [p for p in found if p.observations == self.observed.get(id(p), 0)]
        check_monitored(unobserved)
        validated = self.validation is not None and self.history.validation
        for plateau in unobserved:
            plateau.observe((self.history.validation if validated else self.history.loss)[-1])

    def ask(self, hooks: list[Hook]) -> list[tuple[Any, Any]]:
        """Call hooks; returns what each has returned, with its source."""
        return [(hook.source, hook.call(self.training)) for hook in hooks]

    def end_if(self, verdicts: list[tuple[Any, Any]], where: str) -> None:
        """End the training if one callback wants that."""
        found = [
            ends_training(source, verdict, where, self.history) for source, verdict in verdicts
        ]
        if any(found):
            self.history._ended = True

    def end(self) -> None:
        """Call on_end of the callbacks, and put down what was captured."""
        self.place()
        functions = self.captured.values()
        runners = [getattr(step, "runner", None) for step in functions]
        self.history.captured |= any(runner is not None for runner in runners)
        if self.record is not None:
            self.record._end(self.training)
        for hook in self.hooks["on_end"]:
            hook.call(self.training)


class Hook(NamedTuple):
    """A function that is called with the Training, and what messages call it."""

    call: Callable[[Training], Any]
    source: Any


def _hooks(callbacks: Iterable[Any], name: str) -> list[Hook]:
    """The hooks of a name that the callbacks have, without those that only the base class has."""
    found = []
    for c in callbacks:
        own = getattr(c, name, None)
        if not any(hasattr(c, hook) for hook in HOOKS):
            if name == "on_epoch":  # a function (epoch, history)
                found.append(Hook(functools.partial(_call_function, c), c))
        elif own is not None and getattr(own, "__func__", own) is not getattr(Callback, name):
            found.append(Hook(own, own))
    return found


def _call_function(function: Any, training: Training) -> Any:
    return function(training.epoch, training.history)


def ends_training(callback: Any, verdict: Any, where: str, history: History) -> bool:
    """Whether a callback has returned True; CallbackError for what is no truth value."""
    if verdict is None:
        return False
    if isinstance(verdict, bool | np.bool_) or (
        type(verdict) is np.ndarray and verdict.dtype == bool and verdict.shape == ()
    ):
        return bool(verdict)
    if isinstance(verdict, Coroutine):
        verdict.close()  # it will not run, and Python shall not warn about that
    name = getattr(callback, "__qualname__", None) or repr(callback)
    raise CallbackError(
        f"fit: after {where} the callback {name} returned "
        f"{verdict!r:.200} ({type(verdict).__name__}). It must return True to end the "
        "training, None or False to continue.",
        history,
    )


def parameters_of(optimizer: Any) -> Iterator[Tensor]:
    """The parameters of an optimizer; none of an object without groups."""
    return (p for group in getattr(optimizer, "groups", ()) for p in group["params"])


def listed(parameters: Iterable[Tensor]) -> str:
    """The first few parameters, for a message."""
    first, *rest = map(describe, parameters)
    return ", ".join([first, *rest[:2]]) + f" and {len(rest) - 2} more" * (len(rest) > 2)


def plateaus_of(optimizer: Any) -> list[ReduceOnPlateau]:
    """Each ReduceOnPlateau in the rates of an optimizer, once."""
    rates = [group["lr"] for group in getattr(optimizer, "groups", ())]
    return list({id(p): p for p in plateaus(rates)}.values())


def check_monitored(unobserved: list[ReduceOnPlateau]) -> None:
    """ValueError if one that nobody has shown a metric is in mode "max"."""
    if any(p.mode == "max" for p in unobserved):
        raise ValueError(
            'fit: a ReduceOnPlateau in mode "max" needs a metric of its own, since fit would show '
            "it the loss, which gets smaller. Observe the metric after each epoch: "
            "callbacks=[lambda epoch, history: plateau.observe(...)]"
        )
