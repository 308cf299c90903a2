"""A small regression, trained by fit and by an explicit loop, for tests of fit."""

import signal

import numpy as np

import minidl as dl
from minidl import nn
from minidl.data import DataLoader

X = np.linspace(-1, 1, 10).reshape(-1, 1)
Y = np.sin(2 * X)
PARTS = [(X[:3], Y[:3]), (X[3:6], Y[3:6]), (X[6:], Y[6:])]


def problem(batch_size=4, rule=dl.optim.Adam, lr=0.05):
    model = nn.MLP([1, 6, 1], "tanh", rng=0)
    return model, rule(model, lr=lr), DataLoader(X, Y, batch_size, rng=1)


def fit(model, optimizer, data, *, loss=dl.losses.mse, epochs=3, progress=False, **options):
    return dl.fit(model, loss, optimizer, data, epochs=epochs, progress=progress, **options)


def by_hand(model, optimizer, loader, epochs=3, steps=None):
    """The loop in full: (epoch losses, step losses, rates)."""
    epoch_losses, step_losses, rates = [], [], []
    for _ in range(epochs):
        total = 0.0
        for x, y in loader:
            if len(step_losses) == steps:
                return epoch_losses, step_losses, rates
            optimizer.zero_grad()
            loss = dl.losses.mse(model(x), y)
            loss.backward()
            rates.append(optimizer.lr)
            optimizer.step()
            step_losses.append(loss.item())
            total += loss.item() * len(x)
        epoch_losses.append(total / len(X))
    return epoch_losses, step_losses, rates


def weights(model):
    return b"".join(p.data.tobytes() for p in model.parameters())


def acting(at, action):
    """A squared error that runs an action at one of its calls, before it returns."""
    calls = []

    def loss(prediction, target):
        calls.append(1)
        if len(calls) == at:
            action()
        return dl.losses.mse(prediction, target)

    return loss


def interrupt():
    signal.raise_signal(signal.SIGINT)


def press_with_the_keyboard():
    raise KeyboardInterrupt
