"""Whether somebody watches: the trace that ops, modules and optimizers report to."""

from contextvars import ContextVar
from typing import Any

active: ContextVar[Any] = ContextVar("trace", default=None)  # None: nobody
