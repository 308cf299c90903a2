from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np

from minidl._kernels.atomic import Block
from minidl._kernels.plan import Plan

class Update: ...

class Rule:
    arrays: tuple[str, ...]
    constants: tuple[str, ...]
    def __call__(self, lists: tuple[list[np.ndarray] | None, ...], *constants: float) -> None: ...
    def prepare(self, lists: tuple[list[np.ndarray] | None, ...], *constants: float) -> Update: ...

class Turns:
    def __init__(self, message: str) -> None: ...
    def begin(self) -> int: ...
    def check(self, turn: int) -> None: ...
    def call(self, turn: int, function: Callable[..., Any], *arguments: Any) -> Any: ...
    def commit(
        self,
        turn: int,
        updates: list[Update | Callable[[], None]],
        changes: Iterable[tuple[Any, Any, Any]],
    ) -> None: ...

class Exchange(Block):
    def __enter__(self) -> Self: ...

threaded: int
sgd: Rule
momentum: Rule
nag: Rule
adagrad: Rule
rmsprop: Rule
adam: Rule
nadam: Rule
adamax: Rule
radam: Rule
adadelta: Rule
ftrl: Rule
lion: Rule

def commit(
    updates: list[Update | Callable[[], None]], changes: Iterable[tuple[Any, Any, Any]]
) -> None: ...
def add_update(plan: Plan, name: str, update: Update) -> None: ...
def ready(theta: list[np.ndarray], g: list[Any]) -> bool: ...
def replacement(targets: list[np.ndarray], sources: list[np.ndarray]) -> Update: ...
def check_indices(indices: np.ndarray, size: int) -> None: ...
def ftrl_at(
    indices: np.ndarray,
    theta: np.ndarray,
    g: np.ndarray,
    z: np.ndarray,
    n: np.ndarray,
    lr: float,
    beta: float,
    l1: float,
    l2: float,
    lr_power: float,
    maximize: bool,
) -> None: ...
def squared_norm(g: np.ndarray) -> float: ...
