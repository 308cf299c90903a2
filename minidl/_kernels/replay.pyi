from collections.abc import Callable
from typing import Any

import numpy as np

class Runner:
    plan: Any
    plain_result: bool
    accumulates: bool
    def __init__(self, recording: Any, read_settings: tuple[Callable[[], Any], ...]) -> None: ...
    def ready(self) -> bool: ...
    def run(self, arrays: tuple[np.ndarray, ...]) -> None: ...
    def run_epoch(
        self,
        sources: tuple[np.ndarray, ...],
        batch: int,
        order: np.ndarray | None,
        steps: int,
        losses: list[float],
        rates: list[float] | None,
        optimizer: Any,
        stop: Any,
    ) -> int: ...

class Replay:
    function: Callable[..., Any]
    kind: type
    runner: Runner | None
    attempts: int
    def __call__(self, *inputs: Any, **options: Any) -> Any: ...

def same(container: Any, key: Any, value: Any) -> bool: ...
def constant(kind: type, array: np.ndarray) -> Any: ...
