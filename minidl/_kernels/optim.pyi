from typing import Any

# Arrays are flat, C-contiguous, of one length and one dtype, float32 or float64; w and the states
# are written, g is read.

def sgd(
    w: Any,
    g: Any,
    b: Any | None,
    first: bool,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
    maximize: bool,
) -> None: ...
def momentum(
    w: Any, g: Any, v: Any, lr: float, beta: float, weight_decay: float, maximize: bool
) -> None: ...
def nag(
    w: Any, g: Any, v: Any, lr: float, beta: float, weight_decay: float, maximize: bool
) -> None: ...
def adagrad(
    w: Any,
    g: Any,
    G: Any,
    lr: float,
    eps: float,
    eps_inside_sqrt: bool,
    weight_decay: float,
    maximize: bool,
) -> None: ...
def rmsprop(
    w: Any,
    g: Any,
    G: Any,
    g_mean: Any | None,
    b: Any | None,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    centered: bool,
    eps_inside_sqrt: bool,
    weight_decay: float,
    maximize: bool,
) -> None: ...
def adam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    v_max: Any | None,
    lr: float,
    beta1: float,
    beta2: float,
    correction1: float,
    correction2: float,
    eps: float,
    amsgrad: bool,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None: ...
def nadam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    lr: float,
    beta1: float,
    beta2: float,
    now: float,
    ahead: float,
    correction2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None: ...
def adamax(
    w: Any,
    g: Any,
    m: Any,
    u: Any,
    lr: float,
    beta1: float,
    beta2: float,
    correction1: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None: ...
def radam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    lr: float,
    beta1: float,
    beta2: float,
    correction1: float,
    rectification: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None: ...
def adadelta(
    w: Any,
    g: Any,
    E: Any,
    D: Any,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None: ...
def ftrl(
    w: Any,
    g: Any,
    z: Any,
    n: Any,
    lr: float,
    beta: float,
    l1: float,
    l2: float,
    lr_power: float,
    weight_decay: float,
    maximize: bool,
    indices: Any | None = None,
) -> None: ...
def lion(
    w: Any,
    g: Any,
    m: Any,
    lr: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    maximize: bool,
) -> None: ...
def check_indices(indices: Any, size: int) -> int: ...
def squared_norm(g: Any) -> float: ...
