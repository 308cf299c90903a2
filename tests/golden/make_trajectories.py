"""Write trajectories.json: trajectories of PyTorch's optimizers over 200 steps.

    python tests/golden/make_trajectories.py

This needs PyTorch 2.13 (CPU) and writes the same bytes in every run.
"""

import functools
import itertools
from pathlib import Path

import shared
import torch

SEED = 20260101
STEPS = 200
STORED_STEPS = [1, 2, 5, 10, 20, 50, 100, 200]  # the steps after which θ is stored

# The options of each rule, named as in minidl; all combinations are run.
GRIDS = {
    "SGD": {
        "lr": [0.02],
        "momentum": [0.0, 0.9],
        "dampening": [0.0, 0.3],
        "nesterov": [False, True],
        "weight_decay": [0.0, 0.1],
        "maximize": [False, True],
    },
    "Adagrad": {
        "lr": [0.1],
        "eps": [1e-10, 0.1],
        "initial_accumulator": [0.0, 0.5],
        "lr_decay": [0.0, 0.01],
        "weight_decay": [0.0, 0.1],
        "maximize": [False, True],
    },
    "RMSprop": {
        "lr": [0.01],
        "alpha": [0.99, 0.9],
        "eps": [1e-8, 0.1],
        "momentum": [0.0, 0.9],
        "centered": [False, True],
        "weight_decay": [0.0, 0.1],
        "maximize": [False, True],
    },
    "Adam": {
        "lr": [0.01],
        "betas": [[0.9, 0.999], [0.5, 0.8]],
        "eps": [1e-8, 0.1],
        "amsgrad": [False, True],
        "weight_decay": [0.0, 0.1],
        "maximize": [False, True],
    },
    "Adadelta": {
        "lr": [1.0, 0.5],
        "rho": [0.9, 0.5],
        "eps": [1e-6, 0.1],
        "weight_decay": [0.0, 0.1],
        "maximize": [False, True],
    },
    "Nadam": {
        "lr": [0.01],
        "betas": [[0.9, 0.999], [0.5, 0.8]],
        "eps": [1e-8, 0.1],
        "momentum_decay": [0.004, 0.1],
        "weight_decay": [0.0, 0.1],
        "decoupled_weight_decay": [False, True],
        "maximize": [False, True],
    },
    "Adamax": {
        "lr": [0.01],
        "betas": [[0.9, 0.999], [0.5, 0.8]],
        "eps": [1e-8, 0.1],
        "weight_decay": [0.0, 0.1],
        "maximize": [False, True],
    },
    "RAdam": {
        "lr": [0.01],
        "betas": [[0.9, 0.999], [0.5, 0.8], [0.9, 0.5]],  # the last is never rectified
        "eps": [1e-8, 0.1],
        "weight_decay": [0.0, 0.1],
        "decoupled_weight_decay": [False, True],
        "maximize": [False, True],
    },
}
GRIDS["AdamW"] = GRIDS["Adam"]

# The options with which PyTorch tests its optimizers: optim_inputs_func_* in
# torch/testing/_internal/common_optimizers.py, without options that only select an implementation.
# The rate is always given; the other defaults are the same in PyTorch and minidl.
TESTED = {
    "SGD": [
        {"lr": 0.001},
        {"lr": 0.01},
        {"lr": 0.001, "weight_decay": 0.5},
        {"lr": 0.001, "momentum": 0.9},
        {"lr": 0.001, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.001, "momentum": 0.9, "dampening": 0.5},
        {"lr": 0.001, "momentum": 0.9, "weight_decay": 0.1},
        {"lr": 0.001, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ],
    "Adagrad": [
        {"lr": 0.01},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.1},
        {"lr": 0.01, "initial_accumulator": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.1},
        {"lr": 0.001},
    ],
    "RMSprop": [
        {"lr": 0.01},
        {"lr": 0.001},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "maximize": True},
        {"lr": 0.01, "weight_decay": 0.1, "centered": True},
        {"lr": 0.01, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.01, "weight_decay": 0.1, "centered": True, "momentum": 0.1},
        {"lr": 0.01, "weight_decay": 0.1, "centered": True, "momentum": 0.1, "maximize": True},
    ],
    "Adam": [
        {"lr": 0.001},
        {"lr": 0.01},
        {"lr": 0.001, "weight_decay": 0.1},
        {"lr": 0.001, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.001, "weight_decay": 0.1, "amsgrad": True},
        {"lr": 0.001, "amsgrad": True},
        {"lr": 0.001, "betas": [0.9, 0.99], "amsgrad": True},
        {"lr": 0.001, "betas": [0.9, 0.99]},
    ],
    "Adadelta": [
        {"lr": 1.0},
        {"lr": 0.01},
        {"lr": 1.0, "weight_decay": 0.1},
        {"lr": 1.0, "maximize": True},
        {"lr": 1.0, "weight_decay": 0.1, "maximize": True},
        {"lr": 1.0, "rho": 0.95, "weight_decay": 0.9},
        {"lr": 0.001},
    ],
    "Nadam": [
        {"lr": 0.002},
        {"lr": 0.001},
        {"lr": 0.002, "momentum_decay": 0.006},
        {"lr": 0.002, "weight_decay": 0.1},
        {"lr": 0.002, "momentum_decay": 0.006, "weight_decay": 0.1},
        *(
            {**options, "momentum_decay": 0.006, "decoupled_weight_decay": True}
            for options in (
                {"lr": 0.002, "weight_decay": 0.1},
                {"lr": 0.002, "weight_decay": 0.9},
                {"lr": 0.001, "weight_decay": 0.9},
            )
        ),
        {"lr": 0.002, "momentum_decay": 0.006, "weight_decay": 0.9},
        {"lr": 0.002, "weight_decay": 0.1, "maximize": True},
    ],
    "Adamax": [
        {"lr": 0.002},
        {"lr": 0.1},
        {"lr": 0.002, "weight_decay": 0.1},
        {"lr": 0.002, "maximize": True},
        {"lr": 0.002, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.002, "weight_decay": 0.9, "maximize": True},
        {"lr": 0.002, "weight_decay": 0.9},
        {"lr": 0.001, "weight_decay": 0.9},
    ],
    "RAdam": [
        {"lr": 0.001},
        {"lr": 0.002},
        {"lr": 0.001, "eps": 1e-6},
        {"lr": 0.001, "weight_decay": 0.1},
        {"lr": 0.001, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.001, "weight_decay": 0.1, "maximize": True},
    ],
}
TESTED["AdamW"] = TESTED["Adam"]
PYTORCH_RULES = {"Nadam": "NAdam"}
PYTORCH_NAMES = {"initial_accumulator": "initial_accumulator_value"}


def trajectory(rule, options, start, target, curvature, noise):
    """θ after each of the STORED_STEPS."""
    tensor = functools.partial(torch.tensor, dtype=torch.float64)
    target, curvature, noise = tensor(target), tensor(curvature), tensor(noise)
    theta = tensor(start, requires_grad=True)
    options = {PYTORCH_NAMES.get(name, name): value for name, value in options.items()}
    optimizer = getattr(torch.optim, PYTORCH_RULES.get(rule, rule))
    optimizer = optimizer([theta], foreach=False, **options)
    path = []
    for step in range(1, STEPS + 1):
        theta.grad = curvature * (theta.detach() - target) + noise[step - 1]
        optimizer.step()
        if step in STORED_STEPS:
            path.append(theta.tolist())
    return path


def combinations(rule):
    """The options of all runs of a rule."""
    grid = GRIDS[rule]
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        nesterov = options.get("nesterov")
        decoupled = options.get("decoupled_weight_decay")
        if nesterov and (options["dampening"] or not options["momentum"]):
            continue  # an error in PyTorch
        if decoupled and not options["weight_decay"]:
            continue  # no effect
        yield options
    yield from TESTED[rule]


def main():
    head = shared.about(__file__, SEED, torch="2.13")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # NAdam stores the product of μ in the default dtype
    problem = shared.problem(SEED, STEPS, [1.0, -2.0, 0.5, 3.0])
    runs = [
        {"rule": rule, "options": options, "theta": trajectory(rule, options, **problem)}
        for rule in GRIDS
        for options in combinations(rule)
    ]
    head |= {"stored_steps": STORED_STEPS, "problem": problem}
    shared.write(Path(__file__).with_name("trajectories.json"), head, runs=runs)


if __name__ == "__main__":
    main()
