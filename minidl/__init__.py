"""minidl: a small deep-learning framework that shows every number it computes.

    import minidl as dl

This file lists what `dl.` offers. The redundant `as` marks a name as exported, for type checkers.
"""

import importlib as _importlib
import typing as _typing

from minidl import _checks
from minidl import callbacks as callbacks
from minidl import config as config
from minidl import data as data
from minidl import losses as losses
from minidl import metrics as metrics
from minidl import nn as nn
from minidl import optim as optim
from minidl import schedulers as schedulers
from minidl import testing as testing
from minidl import training as training
from minidl._archive import CheckpointError as CheckpointError
from minidl._capture import CaptureError as CaptureError
from minidl._capture import capture as capture
from minidl.checkpoint import load as load
from minidl.checkpoint import save as save
from minidl.config import __version__ as __version__
from minidl.config import get_num_threads as get_num_threads
from minidl.config import set_num_threads as set_num_threads
from minidl.config import show_config as show_config
from minidl.evaluation import evaluate as evaluate
from minidl.evaluation import predict as predict
from minidl.history import DivergenceError as DivergenceError
from minidl.history import History as History
from minidl.tensor import Tensor as Tensor
from minidl.tensor import abs as abs
from minidl.tensor import argmax as argmax
from minidl.tensor import clip as clip
from minidl.tensor import concatenate as concatenate
from minidl.tensor import cos as cos
from minidl.tensor import default_dtype as default_dtype
from minidl.tensor import elu as elu
from minidl.tensor import exp as exp
from minidl.tensor import flatten as flatten
from minidl.tensor import gelu as gelu
from minidl.tensor import get_default_dtype as get_default_dtype
from minidl.tensor import leaky_relu as leaky_relu
from minidl.tensor import log as log
from minidl.tensor import log1p as log1p
from minidl.tensor import log_softmax as log_softmax
from minidl.tensor import logsumexp as logsumexp
from minidl.tensor import matmul as matmul
from minidl.tensor import max as max
from minidl.tensor import maximum as maximum
from minidl.tensor import mean as mean
from minidl.tensor import min as min
from minidl.tensor import minimum as minimum
from minidl.tensor import no_grad as no_grad
from minidl.tensor import norm as norm
from minidl.tensor import relu as relu
from minidl.tensor import reshape as reshape
from minidl.tensor import set_default_dtype as set_default_dtype
from minidl.tensor import sigmoid as sigmoid
from minidl.tensor import sign as sign
from minidl.tensor import silu as silu
from minidl.tensor import sin as sin
from minidl.tensor import softmax as softmax
from minidl.tensor import softplus as softplus
from minidl.tensor import sqrt as sqrt
from minidl.tensor import stack as stack
from minidl.tensor import std as std
from minidl.tensor import sum as sum
from minidl.tensor import tanh as tanh
from minidl.tensor import transpose as transpose
from minidl.tensor import var as var
from minidl.tensor import where as where
from minidl.testing import GradientError as GradientError
from minidl.testing import gradcheck as gradcheck
from minidl.training import fit as fit
from minidl.walkthrough.recorder import trace as trace

if _typing.TYPE_CHECKING:
    from minidl import distributed as distributed
    from minidl import export as export
    from minidl import lessons as lessons
    from minidl import sklearn as sklearn
    from minidl import viz as viz
else:
    __all__ = sorted(name for name in globals() if not name.startswith("_"))  # for help(dl)

    def _public(module):
        """The names that a module defines, for hints."""
        return [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", "").startswith(module.__name__)
        ]

    _modules = {
        m.__name__.partition(".")[2]: m
        for m in (nn, losses, optim, schedulers, data, metrics, callbacks)
    }

    def _known(prefix=""):
        qualified = [f"{name}.{x}" for name, m in _modules.items() for x in _public(m)]
        return [prefix + name for name in (*__all__, *qualified, "viz.race")]

    for _name, _module in _modules.items():
        _module.__getattr__ = _checks.missing(
            f"minidl.{_name}", lambda m=_module: _public(m), lambda: _known("minidl.")
        )

    # imported on first use, so that importing minidl stays quick
    _ON_USE = ("distributed", "export", "lessons", "sklearn", "viz")

    def __getattr__(name):
        if name in _ON_USE:
            return _importlib.import_module(f"minidl.{name}")
        return _checks.missing("minidl", _known)(name)

    def __dir__():
        return sorted({*globals(), *_ON_USE})
