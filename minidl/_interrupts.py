"""Ctrl-C in a loop of training steps: it ends the loop after the running step."""

import _signal  # type: ignore[import-not-found]  # signal's functions, without any bytecode
import signal
import threading
from types import FrameType
from typing import Any, TypeAlias

from minidl._kernels import atomic

Contexts: TypeAlias = tuple[atomic.Assigned, atomic.Assigned]


def assigned(changes: list[tuple[Any, Any, Any]]) -> Contexts:
    """Two contexts, to be entered one inside the other: the second one makes the changes.

    Both restore what they found. The few bytecodes that leave a `with` block are no part of it: an
    interrupt there skips the restoration of the second, but not that of the first.
    """
    return atomic.Assigned(atomic.found(changes)), atomic.Assigned(changes)


class _Signal(int):
    """A signal, whose handler is an attribute, so that atomic.Assigned can set and restore it."""

    handler = property(_signal.getsignal, _signal.signal)


SIGINT = _Signal(signal.SIGINT)


class CtrlC:
    """A handler of SIGINT that counts; with `raises`, the second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.presses, self.raises, self.before = 0, False, SIGINT.handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.presses += 1
        if isinstance(self.before, CtrlC):  # of a training one of whose callbacks is this one
            self.before.presses += 1
        if self.raises and self.presses > 1:
            raise KeyboardInterrupt

    def handling(self) -> Contexts:
        """Contexts in which this is the handler, unless Python or the user ignores the signal."""
        main = threading.current_thread() is threading.main_thread()
        ignored = self.before in (None, signal.SIG_IGN)
        return assigned([(SIGINT, "handler", self)] if main and not ignored else [])
