"""no_grad and the default dtype, settings of a thread or a task; for tensors, modules and users.

A setting is a ContextVar that one call sets and one call restores, so a KeyboardInterrupt can't
leave it switched.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
import types
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any, Never, TypeVar

import numpy as np

from minidl._kernels import atomic

F = TypeVar("F", bound=Callable[..., Any])

recording: ContextVar[bool] = ContextVar("recording", default=True)
_default_dtype: np.dtype[Any] = np.dtype(np.float32)
local_default_dtype: ContextVar[np.dtype[Any] | None] = ContextVar("dtype", default=None)


class _Setting(atomic.InContext):
    """Set a ContextVar within a `with` block, or whenever the decorated function runs."""

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        super().__init__(variable, value)
        self._again = functools.partial(atomic.InContext, variable, value)

    def __call__(self, function: F) -> F:
        kind, again, run = type(self).__name__, self._again, function
        if isinstance(function, type) or not callable(function):
            raise TypeError(f"{kind} decorates functions, got {function!r}; decorate its methods")
        for called in (function, getattr(function, "__func__", None), type(function).__call__):
            if inspect.isasyncgenfunction(called):
                raise _no_async_generator(kind, function)
        if inspect.isgeneratorfunction(function):

            def apply(*args: Any, **options: Any) -> Any:
                return (yield from _stepped(run(*args, **options), again))

        elif inspect.iscoroutinefunction(function):

            async def apply(*args: Any, **options: Any) -> Any:  # type: ignore[misc]
                return await _stepped(run(*args, **options), again)

        else:

            def apply(*args: Any, **options: Any) -> Any:
                with again():
                    result = run(*args, **options)
                if isinstance(result, types.AsyncGeneratorType):
                    raise _no_async_generator(kind, function)
                if isinstance(result, types.CoroutineType):
                    return _awaited(result, again)
                return _stepped(result, again) if inspect.isgenerator(result) else result

        return functools.wraps(function)(apply)  # type: ignore[return-value]


def _no_async_generator(kind: str, function: Any) -> TypeError:
    name = getattr(function, "__qualname__", repr(function))
    return TypeError(
        f"{kind} can't decorate {name}, an asynchronous generator; write `with dl.{kind}(...):` "
        "in it, around what runs between two yields"
    )


async def _awaited(steps: Any, setting: Callable[[], Any]) -> Any:
    return await _stepped(steps, setting)


@types.coroutine
def _stepped(steps: Any, setting: Callable[[], Any]) -> Generator[Any, Any, Any]:
    """Run a generator or coroutine with a setting in force during its steps, not between them."""
    step, value = steps.send, None
    while True:
        try:
            with setting():
                result = step(value)
        except StopIteration as stop:
            return stop.value
        try:
            step, value = steps.send, (yield result)
        except BaseException as error:
            step, value = steps.throw, error


class no_grad(_Setting):  # noqa: N801 (a verb)
    """Compute without recording a graph; a context manager or a decorator.

    A decorated generator or coroutine records nothing in its own steps, and the code that runs
    between them is not affected. TypeError for classes and asynchronous generators.

    >>> w = dl.Tensor([1.0, 2.0], requires_grad=True)
    >>> with dl.no_grad():
    ...     (2 * w).requires_grad
    False
    """

    def __init__(self, *function: Never) -> None:
        if function:
            raise TypeError("no_grad takes no arguments; as a decorator, write @dl.no_grad()")
        super().__init__(recording, False)


def set_default_dtype(dtype: Any) -> None:
    """The dtype that numbers, lists, integers and new layers get: "float32" or "float64".

    Raises TypeError for anything else.
    """
    global _default_dtype
    _default_dtype = _single_or_double(dtype)


def _single_or_double(dtype: Any) -> np.dtype[Any]:
    found = None if dtype is None else dtype_of(dtype)
    if found is None or found not in (np.float32, np.float64):
        raise TypeError(
            f'the default dtype must be "float32" or "float64", not {reprlib.repr(dtype)}'
        )
    return found


def dtype_of(given: Any) -> np.dtype[Any] | None:
    """What NumPy reads as a dtype, or None."""
    try:
        found: np.dtype[Any] = np.dtype(given)
        return found
    except (TypeError, ValueError, SyntaxError):  # of a text that NumPy can't parse
        return None


def get_default_dtype() -> np.dtype[Any]:
    """The dtype that numbers, lists, integers and new layers get; float32 at start."""
    return local_default_dtype.get() or _default_dtype


class default_dtype(_Setting):  # noqa: N801 (as no_grad)
    """Set the default dtype within a `with` block or a decorated function, in this thread.

    >>> with dl.default_dtype("float64"):
    ...     dl.Tensor([1, 2])
    Tensor([1., 2.])
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__(local_default_dtype, _single_or_double(dtype))
