"""Walkthroughs for many test files, made once."""

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
