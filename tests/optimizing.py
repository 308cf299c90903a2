"""Optimizers on small problems, for the tests of minidl.optim."""

import dataclasses
import math

import numpy as np
import pytest
import reference
from cases import RULES

import minidl as dl
from minidl.schedulers import Schedule

each_rule = pytest.mark.parametrize("rule", RULES)
# Options with which a rule has all its state.
FULL_STATE = {
    "SGD": {"momentum": 0.9},
    "Adagrad": {"initial_accumulator": 0.1, "lr_decay": 0.1},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True},
    "AdamW": {"amsgrad": True},
    "Nadam": {"momentum_decay": 0.1},
    "FTRL": {"l1": 0.01, "l2": 0.1},
}
SIGNATURES = {
    "SGD": {"lr": 1e-2, "momentum": 0.0, "dampening": 0.0, "nesterov": False},
    "Momentum": {"lr": 1e-2, "beta": 0.9},
    "NAG": {"lr": 1e-2, "beta": 0.9},
    "Adagrad": {
        "lr": 1e-2,
        "eps": 1e-10,
        "initial_accumulator": 0.0,
        "lr_decay": 0.0,
        "eps_inside_sqrt": True,
    },
    "RMSprop": {
        "lr": 1e-2,
        "alpha": 0.99,
        "eps": 1e-8,
        "momentum": 0.0,
        "centered": False,
        "eps_inside_sqrt": True,
    },
    "Adam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False},
    "AdamW": {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "amsgrad": False,
        "weight_decay": 1e-2,
    },
    "Nadam": {
        "lr": 2e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "momentum_decay": 4e-3,
        "decoupled_weight_decay": False,
    },
    "Adamax": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8},
    "RAdam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "decoupled_weight_decay": False},
    "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6},
    "FTRL": {
        "lr": 0.1,
        "beta": 1.0,
        "l1": 0.0,
        "l2": 0.0,
        "lr_power": -0.5,
        "initial_accumulator": 0.0,
        "warm_start": True,
    },
    "Lion": {"lr": 1e-4, "betas": (0.9, 0.99)},
}


def make(rule, params, **options):
    return getattr(dl.optim, rule)(params, **options)


def weights(values, dtype="float64", name=None):
    return dl.Tensor(np.array(values, dtype), True, name=name)


def descend(optimizer, w, gradients):
    """The weights after each step with the given gradients."""
    path = []
    for g in gradients:
        w.grad = np.asarray(g, w.dtype)
        optimizer.step()
        path.append(w.data.copy())
    return path


def reference_trajectory(rule, theta, gradients, lr, **options):
    """The weights after each step by the equations, in float64."""
    return np.array(getattr(reference, rule.lower())(theta, gradients, lr, **options))


def network(seed=0, dtype="float64"):
    with dl.default_dtype(dtype):
        return dl.nn.MLP([3, 4, 2], "tanh", rng=seed)


def train(model, optimizer, steps, seed=1):
    """A few steps on noise; returns the weights after each."""
    rng, path = np.random.default_rng(seed), []
    for _ in range(steps):
        optimizer.zero_grad()
        dl.losses.mse(model(rng.normal(size=(5, 3))), rng.normal(size=(5, 2))).backward()
        optimizer.step()
        path.append([p.data.tobytes() for p in model.parameters()])
    return path


def snapshot(params, optimizer):
    """Everything that a step may change."""
    return [(p.data.tobytes(), p.version) for p in params], optimizer.t, optimizer.state_dict()


@dataclasses.dataclass(frozen=True)
class Failing(Schedule):
    """A schedule whose rate is invalid from a step on, by default the third."""

    rate: object
    step: int = 2

    def formula(self, t):
        return 0.1 if t < self.step else self.rate


# Each range as error messages name it, numbers at its ends, and numbers just outside.
LARGEST = 1e10
TO_LARGEST, ABOVE_0 = "≥ 0 and ≤ 1e+10", "> 0 and ≤ 1e+10"
UP_TO_1, BELOW_1, POWER = "≥ 0 and ≤ 1", "≥ 0 and < 1", "≥ -1 and ≤ 0"
RANGES = {
    TO_LARGEST: ([0, -0.0, LARGEST], [-5e-324, np.nextafter(LARGEST, math.inf)]),
    ABOVE_0: (
        [float(np.finfo(np.float64).tiny), LARGEST],
        [0, -0.0, -1.0, np.nextafter(LARGEST, math.inf)],
    ),
    UP_TO_1: ([0, -0.0, 1], [-5e-324, np.nextafter(1, 2)]),
    BELOW_1: ([0, -0.0, np.nextafter(1, 0)], [-5e-324, 1]),
    POWER: ([-1, 0, -0.0], [np.nextafter(-1, -2), 5e-324]),
}
RANGE_OF = {
    **dict.fromkeys(["lr", "weight_decay", "lr_decay", "momentum_decay"], TO_LARGEST),
    **dict.fromkeys(["initial_accumulator", "l1", "l2"], TO_LARGEST),
    **dict.fromkeys(["alpha", "rho", "beta", "betas"], BELOW_1),
    **dict.fromkeys(["momentum", "dampening"], UP_TO_1),
    "eps": ABOVE_0,
    "lr_power": POWER,
}


def range_of(rule, option):
    """The range of a number or of both of a pair; None for a flag."""
    return TO_LARGEST if (rule, option) == ("FTRL", "beta") else RANGE_OF.get(option)


def options_of(rule):
    return ["weight_decay", "maximize", *(n for n in SIGNATURES[rule] if n != "weight_decay")]


def ready_to_step(rule="Adam", **options):
    """Parameters of several shapes and dtypes in two groups, with gradients, after one step."""
    params = [weights([1.0, -2.0], name="a"), weights([[3.0]], "float32", name="b")]
    params.append(weights(5.0, name="c"))
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.3}]
    optimizer = make(rule, groups, lr=0.1, **{**FULL_STATE.get(rule, {}), **options})
    for p in params:
        p.grad = np.full_like(p.data, 0.5)
    optimizer.step()
    return params, optimizer


def look_at(prepared):
    """What a step may change, and the gradients, of (parameters, optimizer)."""
    params, optimizer = prepared
    return snapshot(params, optimizer), [p.grad for p in params]
