"""Whether somebody watches: the trace that ops, modules and optimizers report to.

They ask `if traces and (watch := active.get())`: in the usual case, without a trace in any thread,
that is nothing but a look at an empty set.
"""

from contextvars import ContextVar
from typing import Any

traces: set[Any] = set()  # all that are open
active: ContextVar[Any] = ContextVar("trace", default=None)  # the one of this thread, or None
