"""Who is told what runs: ops, modules, backward and optimizers report to the open trace, if any.

They ask `if observer := active.get():`, and call one of the methods below. Nothing else in the core
knows of the walkthrough.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol


class Observer(Protocol):
    """What a trace is to those that report to it."""

    def inside(self, module: Any) -> AbstractContextManager[None]:
        """A module's forward runs within the block that is returned."""

    def op(
        self, function: Any, inputs: Any, arrays: Any, extra: Any, options: Any, result: Any
    ) -> None:
        """An op gave a result.

        inputs   what it was called with: tensors, arrays, numbers
        arrays   what these became, as the op took them
        extra    options that were given by position;  options  those by name
        """

    def begin_backward(self) -> None:
        """A backward pass begins."""

    def end_backward(self, root: Any, seed: Any, leaves: Any) -> None:
        """Gradients have reached the leaves, (tensor, gradient) pairs, and are not yet stored."""

    def begin_step(self, optimizer: Any) -> None:
        """An optimizer has checked everything, and is about to update its parameters."""

    def end_step(self, optimizer: Any) -> None:
        """The parameters were updated."""


active: ContextVar[Observer | None] = ContextVar("observer", default=None)
