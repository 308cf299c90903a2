"""Walkthroughs for many test files, made once."""

import numpy as np
import pytest
from cases import small_walkthrough

import minidl as dl
from minidl import optim


@pytest.fixture(scope="session")
def long_walk():
    w = dl.Tensor([0.5, -0.25], requires_grad=True)
    with dl.trace() as walk:
        x = w
        for i in range(5000):
            x = dl.tanh(x) if i % 100 == 0 else x * 1.0001
            x = x + 1e-6
        x.sum().backward()
        optim.SGD([w], lr=0.1).step()
    return walk


@pytest.fixture(scope="session")
def walk():
    return small_walkthrough()


@pytest.fixture(scope="session")
def steps(walk):
    return walk.steps


@pytest.fixture(scope="session")
def batch_walk():
    """A training step on a batch of 16 with a hidden layer of 8: its arrays have up to 16 × 8."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(16, 16)).astype(np.float32), np.arange(16) % 3
    model = dl.nn.MLP([16, 8, 3], "tanh", rng=0)
    rate = dl.schedulers.WarmUp(dl.schedulers.CosineDecay(0.01, steps=100), steps=10)
    optimizer = optim.Adam(model, lr=rate)
    with dl.trace() as walk:
        loss = dl.losses.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
    return walk
