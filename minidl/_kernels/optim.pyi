import numpy as np

class Rule:
    arrays: tuple[str, ...]
    constants: tuple[str, ...]
    def __call__(self, lists: tuple[list[np.ndarray] | None, ...], *constants: float) -> None: ...

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
