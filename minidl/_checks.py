"""Checks of arguments for every module that takes some, with one wording for all errors.

Each check gets the owner (the function or class that users called), the name of the argument and
its value, and returns the value in the type in which it is used.
"""

import difflib
import math
import numbers
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeAlias, TypeVar, cast

Choice = TypeVar("Choice", bound=str)
Check: TypeAlias = Callable[[str, str, Any], Any]  # (owner, name, value) → the value to use


def number(
    owner: str,
    name: str,
    value: Any,
    low: float = 0.0,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
) -> float:
    """A finite number in [low, high] as a float; `above` and `below` exclude low and high."""
    if type(value) is float and (low < value < high or (value == low == 0 and not above)):
        return value + 0.0  # the common case, before the error message is built; −0 becomes 0
    left = f"{'>' if above else '≥'} {low:g}" if low > -math.inf else ""
    right = f"{'<' if below else '≤'} {high:g}" if high < math.inf else ""
    allowed = " and ".join(filter(None, (left, right)))
    expected = f"a finite number {allowed}".rstrip()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{owner}: {name} must be {expected}, got {value!r} ({type(value).__name__})"
        )
    try:
        x = float(value) + 0.0  # −0 becomes 0
    except OverflowError:  # an integer too large for a float
        x = math.inf
    inside = (x > low if above else x >= low) and (x < high if below else x <= high)
    if not (inside and math.isfinite(x)):
        raise ValueError(f"{owner}: {name} must be {expected}, got {value!r}")
    return x


def count(owner: str, name: str, value: Any, low: int = 1) -> int:
    """A whole number ≥ low as an int."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{owner}: {name} must be a whole number ≥ {low}, got {value!r} "
            f"({type(value).__name__})"
        )
    if value < low:
        raise ValueError(f"{owner}: {name} must be a whole number ≥ {low}, got {value!r}")
    return int(value)


def flag(owner: str, name: str, value: Any) -> bool:
    """True or False; anything else is a TypeError, even if it's truthy or falsy."""
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be True or False, got {value!r}")
    return value


def choice(owner: str, name: str, value: Any, allowed: Collection[Choice]) -> Choice:
    """One of the allowed strings."""
    if not isinstance(value, str) or value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise ValueError(f"{owner}: {name} must be one of {choices}, got {value!r}")
    return cast(Choice, value)


def nearest(name: str, known: Iterable[Any]) -> str:
    """A hint for an unknown name: " Did you mean 'Adam'?", or "" if none is similar."""
    by_lower = {str(other).lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), by_lower, 1)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


def describe(tensor: Any) -> str:
    """A tensor's name and shape, as messages show them."""
    return f"{tensor.name or 'an unnamed tensor'} of shape {tensor.shape}"
