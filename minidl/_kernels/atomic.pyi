from collections.abc import Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

def assign(changes: Iterable[tuple[Any, Any, Any]]) -> list[tuple[Any, Any, Any]]: ...

class Assigned:
    def __init__(self, changes: Iterable[tuple[Any, Any, Any]]) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class InContext:
    def __init__(self, variable: ContextVar[Any], value: Any) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class Guard:
    def __init__(self, message: str) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
