"""minidl: a small deep-learning framework that shows every number it computes.

import minidl as dl
"""

from typing import Any as _Any

from minidl import data, losses, nn, optim, schedulers, testing, training
from minidl.config import __version__ as __version__
from minidl.config import get_num_threads, set_num_threads, show_config
from minidl.tensor import (
    Tensor,
    abs,
    concatenate,
    cos,
    default_dtype,
    elu,
    exp,
    gelu,
    get_default_dtype,
    leaky_relu,
    log,
    log_softmax,
    logsumexp,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    no_grad,
    norm,
    relu,
    reshape,
    set_default_dtype,
    sigmoid,
    silu,
    sin,
    softmax,
    softplus,
    sqrt,
    stack,
    sum,
    tanh,
    transpose,
    where,
)
from minidl.testing import GradientError, gradcheck
from minidl.training import DivergenceError, History, fit
from minidl.walkthrough.recorder import trace

__all__ = [
    "DivergenceError",
    "GradientError",
    "History",
    "Tensor",
    "abs",
    "concatenate",
    "cos",
    "data",
    "default_dtype",
    "elu",
    "exp",
    "fit",
    "gelu",
    "get_default_dtype",
    "get_num_threads",
    "gradcheck",
    "leaky_relu",
    "log",
    "log_softmax",
    "logsumexp",
    "losses",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "nn",
    "no_grad",
    "norm",
    "optim",
    "relu",
    "reshape",
    "schedulers",
    "set_default_dtype",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "sqrt",
    "stack",
    "sum",
    "tanh",
    "testing",
    "trace",
    "training",
    "transpose",
    "where",
]


def __getattr__(name: str) -> _Any:
    if name == "viz":  # is imported when it is first asked for
        import minidl.viz

        return minidl.viz
    raise AttributeError(f"module 'minidl' has no attribute {name!r}")
