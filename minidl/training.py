"""fit, the training loop for those who don't write their own."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import numbers
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Never

import numpy as np

from minidl import _checks, optim
from minidl._fit.hooks import Record, checked_callbacks
from minidl._fit.loop import Loop
from minidl._fit.plateaus import check_monitored, plateaus_of
from minidl._fit.step import listed, parameters_of
from minidl._kernels import atomic
from minidl._progress import progress as showing
from minidl.callbacks import Callback, Training
from minidl.checkpoint import Saved
from minidl.data import DataLoader
from minidl.data.batches import Batches, OneShotError, as_batches
from minidl.data.splitting import split_rows
from minidl.evaluation import (
    Data,
    Loss,
    Metric,
    Model,
    check_functions,
    checked_metrics,
    description,
    mode,
    modules_of,
)
from minidl.evaluation import evaluate as evaluate
from minidl.evaluation import predict as predict
from minidl.history import CallbackError as CallbackError
from minidl.history import DivergenceError as DivergenceError
from minidl.history import History as History
from minidl.optim import Optimizer

if TYPE_CHECKING:
    from minidl.distributed import World


def fit(
    model: Model,
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    *more: Never,
    epochs: int | None = None,
    steps: int | None = None,
    validation: Data | float | None = None,
    callbacks: Iterable[Callback | Callable[[int, History], Any]] = (),
    metrics: Mapping[str, Metric] | None = None,
    accumulate: int = 1,
    resume: Saved | None = None,
    history: History | None = None,
    progress: bool = True,
    capture: bool | Literal["auto"] = "auto",
    record: Record | None = None,
    distributed: World | None = None,
) -> History:
    """Train a model: for each batch forward, loss, backward, step.

    model       a Module, or any function from a batch x to a prediction; a batch whose x is a tuple
                or a dict calls model(*x) or model(**x)
    loss        a function (prediction, y) → scalar tensor, such as dl.losses.mse; if the data have
                weights, (prediction, y, sample_weight=…)
    optimizer   the update rule, made with the model's parameters, or some of them and others
    data        a DataLoader; (x, y) for the whole set as one batch, a tuple of two or a list of
                two arrays; or a list of tuples (x, y) or any other iterable of batches (x, y) or
                (x, y, weight). An iterator, such as a generator, serves one epoch, whose
                end is that of the training; if `steps` alone is given and it ends before, there is
                a warning
    epochs      the number of passes over the data, ≥ 1
    steps       the number of steps, ≥ 1. At least one of epochs and steps is needed; with both, the
                training ends with whichever comes first
    validation  data, in the same forms, whose loss is recorded after each epoch; or a share of the
                data such as 0.2, which is split off with seed 0 and not trained on
    callbacks   dl.callbacks, or functions (epoch, history), called after each epoch; the first
                epoch is 1. Once all have been called, the training ends if one has returned True,
                of Python or NumPy
    metrics     {name: function (prediction, y)}, such as {"accuracy": dl.metrics.accuracy}. Each is
                computed after each epoch, from all predictions of its steps, and on the validation
                data: `History.metrics` has them as "accuracy" and "validation_accuracy"
    accumulate  the number of batches of a step: their gradients are those of one large batch, but
                for class_weight="balanced", which counts the labels of each batch
    resume      what dl.load returned for a checkpoint, whose model, optimizer and loader are then
                this fit's. Epochs and steps count from the very beginning, and the training goes on
                where it was saved, to the same bits as one that never stopped. Callbacks whose
                state it has, such as EarlyStopping, must have been loaded, too. A training that a
                callback had ended goes on unless that callback is given again
    history     a History to go on with; epochs and steps count from now
    progress    show a bar with loss and rate, which needs tqdm, the extra minidl[progress]; or
                lines of text where there is no terminal
    capture     whether to record the step and replay it, to the same bits, as `dl.capture` does:
                True, with a CaptureError where it can't; False; or "auto", where it can, which
                `History.captured` says. A replay runs no Python: what a model prints, it prints in
                the first two steps
    record      a dl.viz.Recorder, which looks at some of the steps, for a page to scrub afterwards
    distributed what dl.distributed.start returned, in a job of several processes: each takes its
                part of each batch, and all get the same numbers as one process does

    The modules of the model are in training mode during the steps, in evaluation mode during
    validation and callbacks, and afterwards each in its mode before the call, however the training
    ends. A new model is therefore in training mode: predict with dl.predict. A function is called
    as it is: fit can't switch or check the modules that it uses.

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
    if more or (epochs is None and steps is None):
        given = f", such as epochs={more[0]!r}" if more else ": epochs=... or steps=... is missing"
        raise TypeError(
            f"fit: model, loss, optimizer and data are positional; give the rest by name{given}"
        )
    limits = [
        math.inf if n is None else _checks.count("fit", name, n)
        for name, n in (("epochs", epochs), ("steps", steps))
    ]
    check_functions("fit", model=model, loss=loss)
    if isinstance(optimizer, type) or not all(
        hasattr(optimizer, name) for name in ("step", "zero_grad", "lr")
    ):
        raise TypeError(
            "fit: optimizer must be an Optimizer, such as optim.Adam(model), got "
            + description(optimizer, [f"optim.{rule}" for rule in optim.RULES])
        )
    _checks.flag("fit", "progress", progress)
    hooked = checked_callbacks("fit", callbacks)
    _check_parameters(model, optimizer)
    if not hooked:
        check_monitored(plateaus_of(optimizer))
    if not isinstance(capture, bool | str) or (isinstance(capture, str) and capture != "auto"):
        raise TypeError(f'fit: capture must be True, False or "auto", got {capture!r}')
    _check_record(record, distributed)
    kind_of_loop = _kind_of_loop(distributed)
    measures = checked_metrics("fit", metrics)
    passes = 1 if epochs is None else epochs
    batches = as_batches("fit: data", data, passes)
    if isinstance(batches, Batches) and isinstance(batches.source, Iterator):
        limits[0] = 1
    batches, held_out = _validation(batches, validation, passes)
    own = _history(resume, history, model, optimizer, batches, hooked, validation)
    begun = (0, 0) if history is None else (len(history.loss), len(history.step_loss))
    ends = begun[0] + limits[0], begun[1] + limits[1]
    training = Training(model, optimizer, own, batches, hooked, len(own.loss) + 1)
    training.step = len(own.step_loss)
    count = _checks.count("fit", "accumulate", accumulate)
    loop = kind_of_loop(loss, training, held_out, measures, count, capture, ends, record)
    if loop.over:
        _warn_of_the_end(own._ended, loop.sources[own._ended])
    most = _step_count(batches, count, ends, begun)
    if record is not None:
        record._begin(training, loss, most)
    shown = progress and training.rank == 0
    keep_modes, _ = mode(loop.modules, training=True)
    keep_handler, handle = loop.ctrl_c.handling()
    try:
        with (
            keep_modes,
            np.errstate(),
            keep_handler,
            handle,
            showing(shown, most, limits[0]) as report,
            np.errstate(over="ignore", invalid="ignore"),  # a loss that isn't finite is an error
            atomic.Assigned([(loop.ctrl_c, "raises", True)]),
        ):
            loop.run(report)
    except KeyboardInterrupt:
        if loop.ctrl_c.presses > 1:
            raise
        own.interrupted = True
    except DivergenceError:
        if not training.may_diverge:
            raise
    else:
        if epochs is None and limits[0] == 1 and loop.left > 0 and not own._ended:
            warnings.warn(
                f"fit: data, a one-shot iterator, ended after {len(own.step_loss) - begun[1]} of "
                f"{steps} steps. Give a list of batches, a DataLoader, or an object whose "
                "__iter__ begins anew each time.",
                stacklevel=2,
            )
    finally:
        loop.end()
    own.interrupted |= loop.pressed
    return own


def _check_parameters(model: Model, optimizer: Optimizer) -> None:
    """ValueError if the optimizer has none of a Module's parameters, and it learns any."""
    updated = {id(p) for p in parameters_of(optimizer)}
    own = [p for module in modules_of(model)[:1] for p in module.parameters()]
    if updated and any(p.requires_grad for p in own) and not any(id(p) in updated for p in own):
        rule, kind = type(optimizer).__name__, type(modules_of(model)[0]).__name__
        raise ValueError(
            f"fit: these parameters are not the model's: {rule} updates "
            f"{listed(parameters_of(optimizer))}, none of which is in this {kind}. Make the "
            f"optimizer with the model to train: {rule}(model, ...). A copy, or a model made "
            "anew, has parameters of its own."
        )


def _check_record(record: Any, distributed: Any) -> None:
    """TypeError for what is no Recorder, ValueError for one on several processes."""
    if record is None:
        return
    if isinstance(record, type) or not isinstance(record, Record):
        raise TypeError(
            "fit: record must be a dl.viz.Recorder, such as record=dl.viz.Recorder(every=10), got "
            + description(record, ["viz.Recorder"])
        )
    if distributed is not None:
        raise ValueError(
            "fit: a Recorder looks at the training of one process; leave record=... out, or "
            "distributed=..."
        )


def _kind_of_loop(distributed: Any) -> Callable[..., Loop]:
    """What makes the loop, for one process or for several; TypeError for what is no World."""
    if distributed is None:
        return Loop
    from minidl.distributed import World
    from minidl.distributed.loop import DistributedLoop

    if not isinstance(distributed, World):
        raise TypeError(
            "fit: distributed must be what dl.distributed.start() returned, or None, got "
            + description(distributed, ())
        )
    return functools.partial(DistributedLoop, distributed)


def _validation(
    batches: DataLoader | Batches, validation: Any, epochs: int
) -> tuple[DataLoader | Batches, DataLoader | Batches | None]:
    """The batches to train on, and those to validate with, if any."""
    if validation is None:
        return batches, None
    if not isinstance(validation, numbers.Real):
        return batches, as_batches("fit: validation", validation, epochs)
    if not isinstance(batches, DataLoader):
        raise TypeError(
            f"fit: validation={validation} needs data as (x, y) or a DataLoader, whose samples can "
            "be split; give validation data for an iterable of batches"
        )
    if type(batches).__iter__ is not DataLoader.__iter__:
        raise TypeError(
            f"fit: validation={validation} can't split a {type(batches).__name__}, whose own "
            "__iter__ makes the batches; split the arrays first by dl.data.split, and give "
            "validation data"
        )
    share = _checks.number("fit", "validation", validation, above=True, high=1, below=True)
    kept, held_out = split_rows("fit: validation", len(batches.y), share, 0)
    return batches._part(kept), batches._held_out(held_out)


def _history(
    resume: Any,
    history: Any,
    model: Any,
    optimizer: Any,
    batches: DataLoader | Batches,
    callbacks: tuple[Any, ...],
    validation: Any,
) -> History:
    """The History that the training goes on with."""
    if resume is None:
        if not isinstance(history, History | None):
            raise TypeError(f"fit: history must be a History, got {description(history, ())}")
        if history is None:
            return History()
        history.interrupted, history._ended, history._epoch = False, "", None
        return history
    if history is not None:
        raise ValueError(
            "fit: resume goes on with the history of the checkpoint; leave history=... out"
        )
    if not isinstance(resume, Saved):
        raise TypeError(
            "fit: resume must be what dl.load returned, as in resume=dl.load(path, model, "
            f"optimizer=optimizer, data=loader), got {description(resume, ())}"
        )
    if resume.history is None:
        raise ValueError(
            "fit: the checkpoint has no history, so nobody knows where the training was; save it "
            "with history=history"
        )
    steps = getattr(optimizer, "t", None)
    if resume.optimizer_steps != steps:
        raise ValueError(
            f"fit: the saved optimizer had taken {resume.optimizer_steps} steps, but this one "
            f"{steps}; load it together: dl.load(path, model, optimizer=optimizer, data=loader)"
        )
    if name := next((n for m in modules_of(model)[:1] if (n := resume.unlike(m))), None):
        raise ValueError(
            f"fit: {name} of the model isn't the one in the checkpoint; load it together: "
            "dl.load(path, model, optimizer=optimizer, data=loader)"
        )
    if name := resume.not_loaded(callbacks):
        raise ValueError(
            f"fit: the checkpoint has a state of {name}, which this one doesn't have; load it "
            "together: dl.load(path, model, optimizer=optimizer, data=loader, callbacks=callbacks)"
        )
    if isinstance(batches, DataLoader):
        _check_share(resume, validation, batches)
        batches._check_resumable("fit", resume.history.batches)
    elif isinstance(batches.source, Iterator):
        raise OneShotError("fit: data is a one-shot iterator, so the training can't be resumed")
    record = copy.deepcopy(resume.history)
    record.interrupted = False
    return record


def _warn_of_the_end(name: str, source: Any) -> None:
    """Warn that no step is taken, unless the callback itself says when it ended the training."""
    if not getattr(getattr(source, "__self__", None), "stopped_epoch", None):
        warnings.warn(
            f"fit: the callback {name} had ended the training that is resumed, so no step is "
            "taken. Leave that callback out to go on.",
            stacklevel=3,
        )


def _check_share(resume: Saved, validation: Any, batches: DataLoader) -> None:
    """ValueError if another number of samples is trained on than in the saved training."""
    own = len(batches.y), batches._samples
    saved = own if resume.samples is None else resume.samples
    if own == saved:
        return
    given = "no data" if validation is None else "data of its own"
    given = str(validation) if isinstance(validation, numbers.Real) else given
    held_out = saved[1] - saved[0]
    was = f"a share, {held_out} of {saved[1]} samples ({held_out / saved[1]:.3g})"
    raise ValueError(
        f"fit: validation is {given}, which leaves {own[0]} of {own[1]} samples to train on, but "
        f"the saved training had {saved[0]} of {saved[1]}: its validation was "
        f"{was if held_out else 'no share of the data'}; give it as it was"
    )


def _step_count(
    batches: DataLoader | Batches, accumulate: int, ends: tuple[float, float], begun: Any
) -> int | None:
    """The number of steps that will be taken, if the data say how many batches they have."""
    most = ends[1] - begun[1]
    with contextlib.suppress(TypeError):
        most = min(most, (ends[0] - begun[0]) * math.ceil(len(batches) / accumulate))
    return None if math.isinf(most) else int(most)
