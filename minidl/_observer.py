"""The hook for whoever observes a step: an open trace, or the recording of a captured step.

Ops, modules, backward and optimizers ask `if observer := active.get():` and call one of the methods
below. The core knows nothing else of the walkthrough and of capture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any

import numpy as np

# This module imports nothing of minidl, so tensors, modules, ops and optimizers are Any here.


class Observer:
    """What ops, modules, backward and optimizers report to while it is true; here it does nothing.

    fuses   whether a Dense and the ReLU behind it may run as one op
    nested  the message for a trace that is opened while this one observes
    """

    fuses = False
    nested = (
        "trace: another trace is already open, and only one can be open at a time; use that one, "
        "or end its `with` block first"
    )

    def inside(self, module: Any) -> AbstractContextManager[Any]:
        """Return a context manager in which the module's forward runs."""
        return nullcontext()

    def arrays(self, inputs: Sequence[Any], arrays: list[Any]) -> list[Any]:
        """The arrays with which an op shall compute: those of its inputs, or recorded ones."""
        return arrays

    def op(
        self,
        function: Any,
        inputs: Sequence[Any],
        arrays: list[Any],
        extra: Sequence[Any],
        options: Mapping[str, Any],
        result: Any,
    ) -> None:
        """An op computed its result.

        function  the op
        inputs    what it was called with: tensors, arrays, numbers
        arrays    the inputs as arrays, or numbers
        extra     options given by position
        options   options given by name
        result    the tensor
        """

    def begin_backward(self) -> None:
        """A backward pass begins."""

    def end_backward(
        self,
        root: Any,
        seed: np.ndarray,
        leaves: Sequence[tuple[Any, np.ndarray]],
        changes: list[tuple[Any, str, Any]],
    ) -> None:
        """Backward from `root` has computed the gradient of each leaf, and not yet stored it.

        changes  (leaf, "grad", sum with the gradient from before), which will be assigned
        """

    def grad(self, leaf: Any) -> Any:
        """The gradient that a leaf has from before, or None."""
        return leaf.grad

    def cleared(self, leaves: Sequence[Any]) -> None:
        """The gradients of these leaves were set to None."""

    def begin_step(self, optimizer: Any) -> None:
        """An optimizer has checked all gradients and is about to update its parameters."""

    def end_step(self, optimizer: Any, batches: Sequence[tuple[Any, Any]]) -> None:
        """The parameters were updated; batches are pairs of a Batch and its updates."""

    def reads(self, options: dict[str, Any], name: str) -> None:
        """An option of an optimizer is read as a number."""

    def sets(self, name: str) -> None:
        """An option or the step count of an optimizer is about to be set."""

    def takes_over(self, function: Callable[[], Any]) -> bool:
        """Whether the observer has called the function, which it records as a whole."""
        return False

    def repeated(self, function: Callable[..., Any], *args: Any) -> Any:
        """What a function returns that gives another array each time, such as a random one."""
        return function(*args)


active: ContextVar[Observer | None] = ContextVar("observer", default=None)
