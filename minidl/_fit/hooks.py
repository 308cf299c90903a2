"""The hooks that fit calls, of callbacks and a recorder, and what the answers mean."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from minidl import _checks
from minidl.callbacks import Callback, Training
from minidl.evaluation import description
from minidl.history import CallbackError, History

HOOKS = ("on_begin", "on_backward", "on_step", "on_epoch", "on_end", "validating")


def checked_callbacks(owner: str, callbacks: Any) -> tuple[Any, ...]:
    """The callbacks as a tuple; TypeError for anything but functions and objects with hooks."""
    listed = isinstance(callbacks, Iterable)
    found = _checks.items(owner, "callbacks", callbacks) if listed else ()
    classes = [c for c in found if isinstance(c, type)]
    usable = all(callable(c) or _has_hooks(c) for c in found)
    if isinstance(callbacks, Iterable) and usable and not classes:
        return found
    advice = ""
    if callbacks is None:
        advice = "; leave it out or give [] for none"
    elif not isinstance(callbacks, Iterable | type):
        advice = "; put it in a list, callbacks=[...]"
    elif classes:
        advice = f"; {description(classes[0], ())}"
    raise TypeError(
        f"{owner}: callbacks must be a list of dl.callbacks or functions (epoch, history), got "
        f"{callbacks!r}{advice}"
    )


def _has_hooks(callback: Any) -> bool:
    """Whether it is an object with hooks, rather than a function (epoch, history)."""
    return any(hasattr(callback, name) for name in HOOKS)


class Hook(NamedTuple):
    """A function that is called with the Training, and what messages call it."""

    call: Callable[[Training], Any]
    source: Any


def hooks_of(callbacks: Sequence[Any]) -> dict[str, list[Hook]]:
    """The hooks that callbacks have, by name.

    "after_others" has the on_epoch of those that want to come last.
    """
    last = [c for c in callbacks if getattr(c, "after_others", False)]
    others = [c for c in callbacks if not getattr(c, "after_others", False)]
    hooks = {name: _named(callbacks, name) for name in HOOKS}
    hooks["on_epoch"] = _named(others, "on_epoch")
    hooks["after_others"] = _named(last, "on_epoch")
    return hooks


def _named(callbacks: Iterable[Any], name: str) -> list[Hook]:
    """The hooks of a name that callbacks have, without those that only the base class has."""
    found = []
    for c in callbacks:
        own = getattr(c, name, None)
        if not _has_hooks(c):
            if name == "on_epoch":
                found.append(Hook(functools.partial(_call_function, c), c))
        elif own is not None and getattr(own, "__func__", own) is not getattr(Callback, name):
            found.append(Hook(own, own))
    return found


def _call_function(function: Any, training: Training) -> Any:
    return function(training.epoch, training.history)


def name_of(source: Any) -> str:
    """What a checkpoint calls a hook, the same in every process."""
    while isinstance(source, functools.partial):
        source = source.func
    name = getattr(source, "__qualname__", None)
    name = name if isinstance(name, str) else type(source).__qualname__
    code = getattr(source, "__code__", None) if name.endswith("<lambda>") else None
    return name if code is None else f"{name} in line {code.co_firstlineno}"


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


@runtime_checkable
class Record(Protocol):
    """What fit calls of an object that looks at some of the steps, such as a dl.viz.Recorder."""

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
