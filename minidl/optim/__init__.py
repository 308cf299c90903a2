"""Update rules, what a rule declares, gradient clipping and averages, as `dl.optim`."""

from minidl.optim.averaging import average
from minidl.optim.clipping import clip_grad_norm, clip_grad_value
from minidl.optim.declarations import Slot, flag, fraction, option, within
from minidl.optim.optimizer import Optimizer
from minidl.optim.rules import (
    FTRL,
    NAG,
    RULES,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Momentum,
    Nadam,
    RAdam,
    RMSprop,
)

__all__ = [
    "FTRL",
    "NAG",
    "RULES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Momentum",
    "Nadam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Slot",
    "average",
    "clip_grad_norm",
    "clip_grad_value",
    "flag",
    "fraction",
    "option",
    "within",
]
