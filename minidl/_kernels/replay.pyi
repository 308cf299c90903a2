from collections.abc import Callable
from typing import Any

import numpy as np

class UpdateCall:
    call: int
    update: Any
    optimizer: Any
    group: Any
    columns: dict[str, list[Any]]
    indices: tuple[int, ...]
    params: tuple[Any, ...]
    def __init__(
        self,
        call: int,
        update: Any,
        optimizer: Any,
        group: Any,
        columns: dict[str, list[Any]],
        indices: tuple[int, ...],
        params: tuple[Any, ...],
    ) -> None: ...

class Runner:
    plan: Any
    accumulates: bool
    returns_tensor: bool
    def __init__(self, recording: Any, read_settings: tuple[Callable[[], Any], ...]) -> None: ...
    def ready(self) -> bool: ...
    def run(
        self,
        sources: tuple[np.ndarray, ...],
        batch: int = 1,
        steps: int = 1,
        order: np.ndarray | None = None,
        losses: list[float] | None = None,
        rates: list[float] | None = None,
        optimizer: Any = None,
        stop: Any = None,
        weights: list[float] | None = None,
    ) -> int: ...

class Replay:
    function: Callable[..., Any]
    kind: type
    runner: Runner | None
    attempts: int
    def __call__(self, *inputs: Any, **options: Any) -> Any: ...
    def _replay(self, runner: Runner, inputs: tuple[np.ndarray, ...]) -> Any: ...

def same(container: Any, key: Any, value: Any) -> bool: ...
def constant(kind: type, array: np.ndarray) -> Any: ...
