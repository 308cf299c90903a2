from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

class Note:
    name: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    details: tuple[Any, ...]
    explain: Callable[[], Any] | None
    where: tuple[str, int]

class Plan:
    open: bool
    count: int
    notes: list[Note]
    kept: list[Any]
    seconds: list[list[float]]
    def where(self) -> Any: ...
    def record(self, array: np.ndarray) -> Any: ...
    def add_python(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        inputs: tuple[np.ndarray, ...],
        outputs: tuple[np.ndarray, ...],
        name: str,
        details: tuple[Any, ...] = (),
    ) -> None: ...
    def add_ufunc(
        self,
        function: Any,
        inputs: tuple[np.ndarray, ...],
        out: np.ndarray,
        numbers: tuple[str, ...],
    ) -> bool: ...

class Recorded:
    array: np.ndarray
    plan: Plan
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    ndim: int
    size: int
    flags: Any
    convert: Any
    def __init__(self, array: np.ndarray, plan: Plan) -> None: ...

def whole(function: Callable[P, R]) -> Callable[P, R]: ...
def copied(array: np.ndarray, before: np.ndarray, owner: Any = None) -> np.ndarray: ...
def plain(x: Any) -> Any: ...
def root(array: np.ndarray) -> np.ndarray: ...
def offset(array: np.ndarray) -> int: ...
def form(array: np.ndarray) -> tuple[tuple[int, ...], np.dtype[Any], int]: ...
def operands(
    notes: list[Note], origins: dict[int, Any]
) -> list[tuple[int, Any, Any, np.ndarray, np.ndarray]]: ...
