"""The hook for an open trace: ops, modules, backward and optimizers report to the observer, if any.

They ask `if observer := active.get():` and call one of the methods below. The core knows nothing
else of the walkthrough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

# This module imports nothing of minidl, so tensors, modules, ops and optimizers are Any here.


class Observer(Protocol):
    """What ops, modules, backward and optimizers report to while it is true."""

    def __bool__(self) -> bool: ...

    def inside(self, module: Any) -> AbstractContextManager[None]:
        """Return a context manager in which the module's forward runs."""

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
        self, root: Any, seed: np.ndarray, leaves: Sequence[tuple[Any, np.ndarray]]
    ) -> None:
        """Backward from `root` has computed the gradient of each leaf, and not yet stored it."""

    def begin_step(self, optimizer: Any) -> None:
        """An optimizer has checked all gradients and is about to update its parameters."""

    def end_step(self, optimizer: Any) -> None:
        """The parameters were updated."""


active: ContextVar[Observer | None] = ContextVar("observer", default=None)
