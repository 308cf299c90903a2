"""Write other_rules.json: trajectories of Optax's and Keras's optimizers over 50 steps.

    python tests/golden/make_other_rules.py

This needs JAX 0.10, Optax 0.2.8 and Keras 3.15. It computes in float64 and writes the same bytes in
every run. Each run names the library's optimizer, minidl's rule with the options that give the same
trajectory, and the tolerance (relative and absolute) of the comparison.
"""

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
import optax
import shared

SEED = 20260103
STEPS = 50
STORED_STEPS = [1, 2, 5, 10, 20, 50]  # the steps after which θ is stored

# If a library adds ε in another place than minidl, the results differ by the order of ε.
TINY = 1e-30
EXACT = 1e-10

# Each run: the library's optimizer and its arguments, minidl's rule and options. Optax has no
# default rate; a Keras run without arguments uses the defaults of Keras.
OPTAX = [
    ("sgd", {"learning_rate": 0.05}, "SGD", {"lr": 0.05}),
    ("sgd", {"learning_rate": 0.05, "momentum": 0.9}, "SGD", {"lr": 0.05, "momentum": 0.9}),
    (
        "sgd",
        {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True},
        "SGD",
        {"lr": 0.05, "momentum": 0.8, "nesterov": True},
    ),
    ("sgd", {"learning_rate": 0.005, "momentum": 0.9}, "Momentum", {"lr": 0.05, "beta": 0.9}),
    (
        "sgd",
        {"learning_rate": 0.005, "momentum": 0.9, "nesterov": True},
        "NAG",
        {"lr": 0.05, "beta": 0.9},
    ),
    (
        "adagrad",
        {"learning_rate": 0.1},
        "Adagrad",
        {"lr": 0.1, "eps": 1e-7, "initial_accumulator": 0.1},
    ),
    (
        "adagrad",
        {"learning_rate": 0.1, "initial_accumulator_value": 0.0, "eps": 0.01},
        "Adagrad",
        {"lr": 0.1, "eps": 0.01, "initial_accumulator": 0.0},
    ),
    *(
        (
            "rmsprop",
            {"learning_rate": 0.01, "eps": eps, "eps_in_sqrt": inside, "centered": centered}
            | momentum,
            "RMSprop",
            {"lr": 0.01, "alpha": 0.9, "eps": eps, "eps_inside_sqrt": inside, "centered": centered}
            | momentum,
        )
        for eps in (1e-8, 0.1)
        for inside in (True, False)
        for centered in (False, True)
        for momentum in ({}, {"momentum": 0.9})
    ),
    ("adam", {"learning_rate": 0.01}, "Adam", {"lr": 0.01}),
    (
        "adam",
        {"learning_rate": 0.01, "b1": 0.5, "b2": 0.8, "eps": 0.1},
        "Adam",
        {"lr": 0.01, "betas": [0.5, 0.8], "eps": 0.1},
    ),
    ("adamw", {"learning_rate": 0.01}, "AdamW", {"lr": 0.01, "weight_decay": 1e-4}),
    (
        "adamw",
        {"learning_rate": 0.01, "b1": 0.5, "b2": 0.8, "eps": 0.1, "weight_decay": 0.5},
        "AdamW",
        {"lr": 0.01, "betas": [0.5, 0.8], "eps": 0.1, "weight_decay": 0.5},
    ),
    (  # Optax takes the maximum of the corrected v; with β₂ = 0 there is no correction
        "amsgrad",
        {"learning_rate": 0.01, "b2": 0.0},
        "Adam",
        {"lr": 0.01, "betas": [0.9, 0.0], "amsgrad": True},
    ),
    ("nadam", {"learning_rate": 0.01}, "Nadam", {"lr": 0.01, "momentum_decay": 1e6}),
    (
        "nadam",
        {"learning_rate": 0.01, "b1": 0.5, "b2": 0.8, "eps": 0.1},
        "Nadam",
        {"lr": 0.01, "betas": [0.5, 0.8], "eps": 0.1, "momentum_decay": 1e6},
    ),
    (
        "nadamw",
        {"learning_rate": 0.01, "weight_decay": 0.5},
        "Nadam",
        {"lr": 0.01, "momentum_decay": 1e6, "weight_decay": 0.5, "decoupled_weight_decay": True},
    ),
    ("adamax", {"learning_rate": 0.01}, "Adamax", {"lr": 0.01}),
    (
        "adamax",
        {"learning_rate": 0.01, "b1": 0.5, "b2": 0.8, "eps": 0.1},
        "Adamax",
        {"lr": 0.01, "betas": [0.5, 0.8], "eps": 0.1},
    ),
    ("radam", {"learning_rate": 0.01, "eps": TINY}, "RAdam", {"lr": 0.01, "eps": TINY}),
    (
        "radam",
        {"learning_rate": 0.01, "b1": 0.5, "b2": 0.9, "eps": TINY},
        "RAdam",
        {"lr": 0.01, "betas": [0.5, 0.9], "eps": TINY},
    ),
    ("radam", {"learning_rate": 0.01}, "RAdam", {"lr": 0.01}, 1e-9),
    ("lion", {"learning_rate": 0.01}, "Lion", {"lr": 0.01, "weight_decay": 0.001}),
    (
        "lion",
        {"learning_rate": 0.01, "b1": 0.5, "b2": 0.8, "weight_decay": 0.0},
        "Lion",
        {"lr": 0.01, "betas": [0.5, 0.8]},
    ),
    ("adadelta", {"learning_rate": 1.0}, "Adadelta", {"lr": 1.0}),
    (
        "adadelta",
        {"learning_rate": 0.5, "rho": 0.5, "eps": 0.1, "weight_decay": 0.1},
        "Adadelta",
        {"lr": 0.5, "rho": 0.5, "eps": 0.1, "weight_decay": 0.1},
    ),
]

KERAS_FTRL = {"beta": 0.0, "initial_accumulator": 0.1, "warm_start": False}
KERAS = [
    ("SGD", {}, "SGD", {"lr": 0.01}),
    ("SGD", {"weight_decay": 0.1}, "SGD", {"lr": 0.01, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}, "SGD", {"lr": 0.01, "momentum": 0.9}),
    (
        "SGD",
        {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True},
        "SGD",
        {"lr": 0.05, "momentum": 0.8, "nesterov": True},
    ),
    ("Adagrad", {}, "Adagrad", {"lr": 0.001, "eps": 1e-7, "initial_accumulator": 0.1}),
    (
        "Adagrad",
        {"learning_rate": 0.1, "initial_accumulator_value": 0.0, "epsilon": 0.01},
        "Adagrad",
        {"lr": 0.1, "eps": 0.01, "initial_accumulator": 0.0},
    ),
    ("RMSprop", {}, "RMSprop", {"lr": 0.001, "alpha": 0.9, "eps": 1e-7}),
    (
        "RMSprop",
        {"learning_rate": 0.01, "rho": 0.5, "centered": True, "epsilon": 0.1},
        "RMSprop",
        {"lr": 0.01, "alpha": 0.5, "centered": True, "eps": 0.1},
    ),
    (
        "RMSprop",
        {"learning_rate": 0.01, "momentum": 0.9, "centered": True},
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-7, "momentum": 0.9, "centered": True},
    ),
    ("Adam", {"epsilon": TINY}, "Adam", {"lr": 0.001, "eps": TINY}),
    (
        "Adam",
        {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.8, "epsilon": TINY, "amsgrad": True},
        "Adam",
        {"lr": 0.01, "betas": [0.5, 0.8], "eps": TINY, "amsgrad": True},
    ),
    ("Adam", {}, "Adam", {"lr": 0.001, "eps": 1e-7}, 1e-7),
    ("AdamW", {"epsilon": TINY}, "AdamW", {"lr": 0.001, "eps": TINY, "weight_decay": 0.004}),
    (
        "AdamW",
        {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.8, "epsilon": TINY, "weight_decay": 0.5},
        "AdamW",
        {"lr": 0.01, "betas": [0.5, 0.8], "eps": TINY, "weight_decay": 0.5},
    ),
    ("AdamW", {}, "AdamW", {"lr": 0.001, "eps": 1e-7, "weight_decay": 0.004}, 1e-7),
    ("Nadam", {}, "Nadam", {"lr": 0.001, "eps": 1e-7, "momentum_decay": 1.0}),
    (
        "Nadam",
        {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.8, "epsilon": 0.1, "weight_decay": 0.5},
        "Nadam",
        {"lr": 0.01, "betas": [0.5, 0.8], "eps": 0.1, "momentum_decay": 1.0}
        | {"weight_decay": 0.5, "decoupled_weight_decay": True},
    ),
    ("Adamax", {"epsilon": TINY}, "Adamax", {"lr": 0.001, "eps": TINY}),
    (
        "Adamax",
        {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.8, "epsilon": TINY},
        "Adamax",
        {"lr": 0.01, "betas": [0.5, 0.8], "eps": TINY},
    ),
    ("Adamax", {}, "Adamax", {"lr": 0.001, "eps": 1e-7}),
    ("Adadelta", {}, "Adadelta", {"lr": 0.001, "rho": 0.95, "eps": 1e-7}),
    (
        "Adadelta",
        {"learning_rate": 0.5, "rho": 0.5, "epsilon": 0.1},
        "Adadelta",
        {"lr": 0.5, "rho": 0.5, "eps": 0.1},
    ),
    ("Ftrl", {}, "FTRL", {"lr": 0.001, **KERAS_FTRL}),
    (
        "Ftrl",
        {"learning_rate": 0.1, "l1_regularization_strength": 0.5}
        | {"l2_regularization_strength": 0.2},
        "FTRL",
        {"lr": 0.1, **KERAS_FTRL, "l1": 0.5, "l2": 0.4},
    ),
    (
        "Ftrl",
        {"learning_rate": 0.1, "learning_rate_power": -0.3, "beta": 1.5}
        | {"initial_accumulator_value": 0.5, "l1_regularization_strength": 0.1},
        "FTRL",
        {"lr": 0.1, **KERAS_FTRL, "lr_power": -0.3, "beta": 1.5, "initial_accumulator": 0.5}
        | {"l1": 0.1},
    ),
    ("Lion", {}, "Lion", {"lr": 0.001}),
    (
        "Lion",
        {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.8, "weight_decay": 0.5},
        "Lion",
        {"lr": 0.01, "betas": [0.5, 0.8], "weight_decay": 0.5},
    ),
]


def optax_stepper(name, arguments, start):
    """A function that updates θ with a gradient and returns it."""
    optimizer = getattr(optax, name)(**arguments)
    theta = jax.numpy.array(start)
    state = optimizer.init(theta)

    def step(gradient):
        nonlocal theta, state
        updates, state = optimizer.update(jax.numpy.array(gradient), state, theta)
        theta = optax.apply_updates(theta, updates)
        return np.array(theta)

    return step


def keras_stepper(name, arguments, start):
    """A function that updates θ with a gradient and returns it."""
    optimizer = getattr(keras.optimizers, name)(**arguments)
    theta = keras.Variable(np.array(start), dtype="float64")

    def step(gradient):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [theta])
        return np.array(theta.value)

    return step


def trajectory(step, start, target, curvature, noise):
    """θ after each of the STORED_STEPS."""
    theta, path = np.array(start), []
    for row in noise:
        theta = step(np.array(curvature) * (theta - np.array(target)) + np.array(row))
        path.append(theta.tolist())
    return [path[step - 1] for step in STORED_STEPS]


def main():
    head = shared.about(__file__, SEED, jax="0.10", optax="0.2.8", keras="3.15")
    jax.config.update("jax_enable_x64", True)
    keras.config.set_floatx("float64")
    problem = shared.problem(SEED, STEPS, [1.0, -2.0, 0.5, 0.0])
    runs = [
        {
            "library": library,
            "theirs": [name, arguments],
            "rule": rule,
            "options": options,
            "tolerance": tolerance,
            "theta": trajectory(stepper(name, arguments, problem["start"]), **problem),
        }
        for library, stepper, cases in [
            ("Optax", optax_stepper, OPTAX),
            ("Keras", keras_stepper, KERAS),
        ]
        for name, arguments, rule, options, tolerance in ((*case, EXACT)[:5] for case in cases)
    ]
    head |= {"stored_steps": STORED_STEPS, "problem": problem}
    shared.write(Path(__file__).with_name("other_rules.json"), head, runs=runs)


if __name__ == "__main__":
    main()
