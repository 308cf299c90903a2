from typing import Any

class Rule:
    arrays: tuple[str, ...]
    constants: tuple[str, ...]
    def __call__(self, lists: tuple[list[Any] | None, ...], *constants: float) -> None: ...

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

def ready(w: list[Any], g: list[Any]) -> bool: ...
def check_indices(indices: Any, size: int) -> int: ...
def ftrl_at(
    indices: Any,
    w: Any,
    g: Any,
    z: Any,
    n: Any,
    lr: float,
    beta: float,
    l1: float,
    l2: float,
    lr_power: float,
    maximize: bool,
) -> None: ...
def squared_norm(g: Any) -> float: ...
