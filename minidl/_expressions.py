"""Schedules written as text, such as "WarmUp(CosineDecay(0.1, 900), 100)", for the command line.

The text is parsed and never run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from minidl import _checks, schedulers
from minidl.schedulers import Schedule

NAMES: dict[str, Callable[..., Schedule]] = {
    name: cls
    for name, cls in vars(schedulers).items()
    if (isinstance(cls, type) and issubclass(cls, Schedule) and cls is not Schedule)
    and not name.startswith("_")
}
NAMES["warmup_stable_decay"] = schedulers.warmup_stable_decay
SHOWN = 100  # characters of a wrong text that an error message repeats
EXAMPLE = "WarmUp(CosineDecay(0.1, 900), 100)"


def schedule(text: str, owner: str = "schedule", name: str = "the expression") -> Schedule:
    """The schedule that a text describes: calls of schedules, numbers, strings and lists.

    owner, name  of the text, for error messages

    Raises ValueError for anything else, for an unknown schedule, and for wrong arguments. A number
    alone is a constant rate. The repr of a schedule is such a text.

    >>> from minidl._expressions import schedule
    >>> schedule("WarmUp(CosineDecay(0.1, 900), 100)")(50)
    0.05
    """
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body)
        return schedulers.as_schedule(owner, name, value)
    except TypeError as error:
        raise ValueError(str(error)) from None
    except (SyntaxError, UnicodeError, RecursionError, MemoryError) as error:
        reason = getattr(
            error, "msg", "not a text" if isinstance(error, UnicodeError) else "nested too deeply"
        )
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        raise ValueError(
            f"{shown!r} can't be read as a schedule ({reason}); write {EXAMPLE!r}"
        ) from None


def _value(node: ast.expr) -> Any:
    """The value of a node: a constant, a list of values, or a schedule."""
    if isinstance(node, ast.Constant) and not isinstance(node.value, bytes | complex):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand)
        if isinstance(value, int | float):
            return -value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id
        if name not in NAMES:
            hint = _checks.nearest(name, NAMES)
            raise ValueError(f"there is no schedule {name!r}.{hint} There are {', '.join(NAMES)}")
        if all(keyword.arg for keyword in node.keywords):
            options = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
            if len(options) < len(node.keywords):
                raise ValueError(f"{ast.unparse(node)}: an argument is given twice")
            try:
                return NAMES[name](*map(_value, node.args), **options)
            except TypeError as error:
                reason = str(error).replace(f"{name}.__init__() ", "")
                raise ValueError(f"{ast.unparse(node)}: {reason}") from None
    raise ValueError(
        f"{ast.unparse(node)!r} can't be part of a schedule; write schedules, numbers, strings and "
        f"lists of them, as in {EXAMPLE!r}"
    )
