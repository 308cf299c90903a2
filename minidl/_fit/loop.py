"""The loop of fit over steps and epochs: when hooks are called, and when it ends.

Where no hook comes between its steps, an epoch is one call into C, which replays a captured step.
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from minidl import _capture, evaluation
from minidl._fit.hooks import Hook, Record, ends_training, hooks_of, name_of
from minidl._fit.plateaus import Plateaus
from minidl._fit.step import (
    Form,
    append,
    backward_pass,
    flat,
    parameters_of,
    record_step,
    take_step,
    update,
)
from minidl._interrupts import CtrlC
from minidl._kernels import atomic
from minidl.callbacks import Training
from minidl.data import DataLoader
from minidl.data.arrays import samples
from minidl.data.batches import Batches
from minidl.evaluation import mean_loss, mode, modules_of
from minidl.history import Epoch
from minidl.losses import NoWeightError
from minidl.optim import Optimizer

SECONDS = 0.05  # between two looks at Ctrl-C and the progress bar


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
        self.hooks = hooks_of(training.callbacks)
        listed = [hook.source for hooks in self.hooks.values() for hook in hooks]
        self.sources = {name_of(source): source for source in listed}
        if self.history._ended not in self.sources:  # a callback that isn't given again
            self.history._ended = ""
        whole = not (self.hooks["on_backward"] or self.hooks["on_step"] or metrics)
        self.whole = whole and accumulate == 1
        self.captured: dict[Any, Any] = {}  # captured functions, by what is fixed in them
        begun = self.history._epoch
        self.plateaus = Plateaus(self.optimizer, [] if begun is None else begun.observations)
        for name in metrics:
            self.history.metrics.setdefault(name, [])
            if validation is not None:
                self.history.metrics.setdefault(f"validation_{name}", [])

    @property
    def epoch(self) -> Epoch:
        """The epoch that has begun."""
        if self.history._epoch is None:
            self.history._epoch = Epoch(observations=self.plateaus.begin_epoch())
        return self.history._epoch

    @property
    def over(self) -> bool:
        """Whether a callback had ended the training that is resumed, before its last step."""
        history = self.history
        return bool(history._ended) and len(history.loss) < self.ends[0] and self.left > 0

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
                where = f"step {self.training.step}"
                self.end_if(self.ask(self.hooks["on_step"]), where)
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

    def whole_steps(self, epoch: Epoch) -> Iterator[int]:
        """Take the steps that are left in an epoch; yields how many, about every 0.05 s."""
        for form, arrays, size, order in self.parts(epoch):
            step = self.function(take_step, form)
            captured = isinstance(step, _capture.capture)
            steps = self.replayed if captured else self.eager
            for own, rows, record in self.pieces(arrays, size, order):
                if record:
                    record._before_step(self.training)
                for taken in steps(epoch, step, own, size, rows):
                    if record:
                        record._after_step(self.training, len(self.history.step_loss))
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
        """Take the steps of a piece by calls; yields how many, about every 0.05 s."""
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
        """Take the steps of a piece by replays; yields how many, about every 0.05 s."""
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

    # --- steps with hooks, or of several batches

    def split_steps(self, epoch: Epoch) -> Iterator[int]:
        """Take the steps that are left in an epoch one by one; yields 1 after each."""
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
        record = self.record if self.record and self.record._due(len(history.lr)) == 0 else None
        if record:
            record._before_step(training)
        record_step(history, self.optimizer, value, self.update)
        if record:
            record._after_step(training, training.step)
        for predicted in seen if self.metrics else ():
            evaluation.keep(epoch.kept, *predicted)
        return value, weight

    def gradients(self, group: list[Any]) -> tuple[float, float, list[tuple[Any, ...]]]:
        """Compute the gradients of a step; returns its loss, the weight of its batches, and
        (prediction, y) or (prediction, y, weight) of each batch for metrics."""
        scaled, seen = self.accumulate > 1, list[tuple[Any, ...]]()
        parts: list[tuple[float, float, bool]] = []
        for i, batch in enumerate(group):
            form, arrays = flat(*batch)
            gradients = self.function(backward_pass, form, not seen, scaled, bool(self.metrics))
            try:
                result, own, prediction = gradients(*arrays)
            except NoWeightError:
                if not seen and i == len(group) - 1:  # so has the whole step
                    raise
                parts.append((0.0, 0.0, False))
                continue
            size = samples(batch[0]) if own is None else float(own)
            parts.append((result.item(), size, own is None))
            seen.append((prediction, *batch[1:]))
        value, weight, sums = mean_loss(parts)
        self.history._sums = sums
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

    def update(self) -> None:
        """Update the parameters by their gradients."""
        update(self.optimizer)

    # --- the end of an epoch

    def finish(self, report: Any) -> None:
        """Record an epoch, validate, call the callbacks, and show the loss to plateaus."""
        history, training, epoch = self.history, self.training, self.epoch
        if "loss" not in epoch.done:
            found = evaluation.measured(self.metrics, epoch.kept)
            lists: list[Any] = [history.metrics[name] for name in found]
            lists = [*lists, history.loss, history.epoch_ends, epoch.done]
            loss, steps = history._epoch_loss(epoch), len(history.step_loss)
            append(lists, *found.values(), loss, steps, "loss")
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
        validated = self.validation is not None and history.validation
        self.plateaus.observe((history.validation if validated else history.loss)[-1])
        self.end_if(verdicts, where)
        history._epoch = None
        with mode(self.modules, training=False)[1]:
            verdicts = self.ask(self.hooks["after_others"])
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

    def ask(self, hooks: list[Hook]) -> list[tuple[Any, Any]]:
        """Call hooks; returns what each has returned, with its source."""
        return [(hook.source, hook.call(self.training)) for hook in hooks]

    def end_if(self, verdicts: list[tuple[Any, Any]], where: str) -> None:
        """End the training if one callback wants that."""
        found = [
            name_of(source)
            for source, verdict in verdicts
            if ends_training(source, verdict, where, self.history)
        ]
        if found:
            self.history._ended = found[0]

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
