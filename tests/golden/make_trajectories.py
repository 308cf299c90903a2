"""Make trajectories.json: what PyTorch's optimizers do in 200 steps, under a grid of options.

    python tests/golden/make_trajectories.py

It writes the same bytes each time. The gradient is curvature · (θ − target) + noise_t, entry by
entry; the last entry has no curvature and every other gradient of it is 0.
"""

import functools
import itertools
import json
import platform
from pathlib import Path

import numpy as np
import torch

SEED = 20260101
STEPS = 200
KEPT = [1, 2, 5, 10, 20, 50, 100, 200]  # the steps whose θ is stored

# Each rule's options, in minidl's words: every combination is run.
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
}
GRIDS["AdamW"] = GRIDS["Adam"]
PYTORCH_NAMES = {"initial_accumulator": "initial_accumulator_value"}


def problem():
    """The problem whose gradients the rules see, in numbers with few digits."""
    rng = np.random.default_rng(SEED)
    noise = rng.normal(size=(STEPS, 4)).round(3)
    noise[::2, -1] = 0
    return {
        "start": [1.0, -2.0, 0.5, 3.0],
        "target": [0.0, 1.0, -1.0, 0.0],
        "curvature": [0.5, 0.1, 0.02, 0.0],
        "noise": noise.tolist(),
    }


def trajectory(rule, options, start, target, curvature, noise):
    """θ after each of the KEPT steps."""
    tensor = functools.partial(torch.tensor, dtype=torch.float64)
    target, curvature, noise = tensor(target), tensor(curvature), tensor(noise)
    theta = tensor(start, requires_grad=True)
    options = {PYTORCH_NAMES.get(name, name): value for name, value in options.items()}
    optimizer = getattr(torch.optim, rule)([theta], foreach=False, **options)
    path = []
    for step in range(1, STEPS + 1):
        theta.grad = curvature * (theta.detach() - target) + noise[step - 1]
        optimizer.step()
        if step in KEPT:
            path.append(theta.tolist())
    return path


def combinations(rule):
    """The options of every run of a rule."""
    grid = GRIDS[rule]
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        if not options.get("nesterov") or (options["momentum"] and not options["dampening"]):
            yield options


def main():
    if not torch.__version__.startswith("2.13."):
        raise SystemExit(f"this needs torch 2.13, found {torch.__version__}")
    torch.set_num_threads(1)
    given = problem()
    runs = [
        {"rule": rule, "options": options, "theta": trajectory(rule, options, **given)}
        for rule in GRIDS
        for options in combinations(rule)
    ]
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
    about = {"made by": Path(__file__).name, "versions": versions, "seed": SEED}
    head = json.dumps({**about, "kept": KEPT, "problem": given})
    body = ",\n".join(map(json.dumps, runs))
    text = f'{head[:-1]}, "runs": [\n{body}\n]}}\n'
    Path(__file__).with_name("trajectories.json").write_text(text)
    print(f"{len(runs)} trajectories")


if __name__ == "__main__":
    main()
