"""Schedules written as text: "WarmUp(CosineDecay(0.1, 900), 100)", read without running it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from minidl import _checks, schedulers
from minidl.schedulers import Schedule

NAMES: dict[str, Callable[..., Schedule]] = {
    name: made
    for name, made in vars(schedulers).items()
    if (isinstance(made, type) and issubclass(made, Schedule) and made is not Schedule)
    and not name.startswith("_")
}
NAMES["warmup_stable_decay"] = schedulers.warmup_stable_decay
SHOWN = 100  # letters of a wrong text that a message repeats
EXAMPLE = "WarmUp(CosineDecay(0.1, 900), 100)"


def schedule(text: str) -> Schedule:
    """The schedule that a text describes: calls of schedules, numbers, words in quotes, lists.

    ValueError for anything else, for a schedule that doesn't exist, and for arguments that it
    doesn't take. A number alone is a constant rate. What a schedule's repr shows can be read again.

    >>> from minidl import _expressions
    >>> _expressions.schedule("WarmUp(CosineDecay(0.1, 900), 100)")(50)
    0.05
    """
    try:
        found = _value(ast.parse(text.strip(), mode="eval").body)
        return schedulers.as_schedule("schedule", "the expression", found)
    except TypeError as error:
        raise ValueError(str(error)) from None
    except (SyntaxError, UnicodeError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", "no text" if isinstance(error, UnicodeError) else "too deep")
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        raise ValueError(
            f"{shown!r} can't be read as a schedule ({reason}); write {EXAMPLE!r}"
        ) from None


def _value(node: ast.expr) -> Any:
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
        f"{ast.unparse(node)!r} is no part of a schedule: there may be schedules, numbers, words "
        f"in quotes and lists of them, as in {EXAMPLE!r}"
    )
