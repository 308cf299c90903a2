"""Write layers.json: outputs, gradients and running statistics of three layers of PyTorch.

    python tests/golden/make_layers.py

This needs PyTorch 2.13 (CPU). It computes in float64, on one thread, and writes the same bytes in
every run. Each case has a layer (BatchNorm is torch.nn.BatchNorm1d), its options, its weights, and
steps: an input x, an upstream gradient g, the output y, the gradients of x and of the weights, and
the running statistics after the step; "training" says in which mode. tests/test_examples.py
computes them with the layers of examples/own_layers.py.
"""

from pathlib import Path

import numpy as np
import shared
import torch

SEED = 20261130
HERE = Path(__file__).parent


def numbers(rng, *shape):
    """Random numbers with three decimals."""
    return torch.tensor(rng.normal(size=shape).round(3))


def step(layer, x, g, training):
    """One forward and backward pass, as lists."""
    layer.train(training)
    layer.zero_grad()
    leaf = x.clone().requires_grad_(x.is_floating_point())
    y = layer(leaf)
    if y.requires_grad:
        y.backward(g)
    grads = {"x": leaf.grad} if x.is_floating_point() else {}
    grads |= {name: p.grad for name, p in layer.named_parameters()}
    buffers = {name: b for name, b in layer.named_buffers() if b.is_floating_point()}
    return {
        "training": training,
        **{name: t.tolist() for name, t in (("x", x), ("g", g), ("y", y))},
        "gradients": {name: t.tolist() for name, t in grads.items()},
        "buffers": {name: t.tolist() for name, t in buffers.items()},
    }


def case(kind, options, layer, rng, inputs):
    """A layer with random weights, and its steps on the inputs, a list of (x, training)."""
    layer = layer.double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(numbers(rng, *p.shape))
    weights = {name: p.tolist() for name, p in layer.named_parameters()}
    steps = []
    for x, training in inputs:
        shape = (*x.shape, layer.embedding_dim) if kind == "Embedding" else x.shape
        steps.append(step(layer, x, numbers(rng, *shape), training))
    return {"layer": kind, "options": options, "weights": weights, "steps": steps}


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    cases = []
    for options in ({}, {"momentum": 0.3, "eps": 1e-2}, {"affine": False}):
        # columns of other means and deviations, batches of other sizes, a constant column
        batches = [3 * numbers(rng, n, 4) + numbers(rng, 4) for n in (6, 2, 9)]
        batches[2][:, 3] = 0.5
        inputs = [*((x, True) for x in batches), (batches[0], False), (batches[0][:1], False)]
        layer = torch.nn.BatchNorm1d(4, **options)
        cases.append(case("BatchNorm", options, layer, rng, inputs))
    for options, shape in (({}, (3, 5)), ({"eps": 0.1}, (5,)), ({}, (2, 3, 5))):
        inputs = [(2 * numbers(rng, *shape) + 1, True), (numbers(rng, *shape), False)]
        cases.append(case("LayerNorm", options, torch.nn.LayerNorm(5, **options), rng, inputs))
    rows = [[0, 3, 3, 1, 3], [[2, 2], [2, 2], [0, 5]], [4]]
    inputs = [(torch.tensor(row), True) for row in rows]
    cases.append(case("Embedding", {}, torch.nn.Embedding(6, 3), rng, inputs))
    head = shared.about(__file__, SEED, torch="2.13")
    shared.write(HERE / "layers.json", head, cases=cases)


if __name__ == "__main__":
    main()
