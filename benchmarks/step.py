"""How long a training step takes: python benchmarks/step.py [--repeats N]

A step is forward, loss, backward and Adam, in float32, from the same initial weights. Compared are
minidl with its kernels on one thread and on two, and PyTorch (eager, fused Adam) where it is
installed. The contestants take turns, each turn is a block of steps, and the median step counts.
"""

import argparse
import os
import platform
import time

import numpy as np

import minidl as dl

SIZES = {"2-16-16-1": 32, "64-64-10": 32, "784-128-10": 64, "784-512-256-10": 128}


def problem(name, batch):
    """Layer sizes, inputs, and labels for a last layer of several units or targets for one."""
    sizes = [int(n) for n in name.split("-")]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, sizes[0])).astype(np.float32)
    if sizes[-1] == 1:
        return sizes, x, rng.normal(size=(batch, 1)).astype(np.float32)
    return sizes, x, rng.integers(sizes[-1], size=batch)


def training_step(network, loss_of, optimizer, x, y):
    """A function that takes one step and returns the loss; minidl's and PyTorch's read alike."""

    def step():
        optimizer.zero_grad()
        loss = loss_of(network(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def minidl_step(model, x, y, threads):
    """A step of minidl, its kernels on so many threads."""
    loss_of = dl.losses.mse if y.ndim == 2 else dl.losses.cross_entropy
    step = training_step(model, loss_of, dl.optim.Adam(model), x, y)

    def threaded():
        dl.set_num_threads(threads)
        return step()

    return threaded


def torch_step(torch, model, x, y):
    """The same for PyTorch, from the weights of a minidl network."""
    layers = []
    for layer in model:
        if isinstance(layer, dl.nn.Dense):
            layers.append(torch.nn.Linear(*layer.weight.shape))
            layers[-1].weight.data = torch.tensor(layer.weight.data.T.copy())
            layers[-1].bias.data = torch.tensor(layer.bias.data)
        else:
            layers.append(torch.nn.ReLU())
    network = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    functions = torch.nn.functional
    loss_of = functions.mse_loss if y.ndim == 2 else functions.cross_entropy
    return training_step(network, loss_of, optimizer, torch.tensor(x), torch.tensor(y))


def main():
    """Print one row a network: the median step of each contestant, and the last losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=8, help="turns (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        import torch
    except ModuleNotFoundError:
        torch = None
        print("PyTorch is not installed and left out")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}, median step in µs"
    )
    for name, batch in SIZES.items():
        sizes, x, y = problem(name, batch)
        steps = {
            f"minidl {n}T": minidl_step(dl.nn.MLP(sizes, rng=0), x, y, n)
            for n in ((1, 2) if os.cpu_count() > 1 else (1,))
        }
        if torch:
            steps["PyTorch"] = torch_step(torch, dl.nn.MLP(sizes, rng=0), x, y)
        seconds, losses = {who: [] for who in steps}, {}
        for _ in range(arguments.repeats):
            for who, step in steps.items():
                for _ in range(40):
                    start = time.perf_counter()
                    losses[who] = step()
                    seconds[who].append(time.perf_counter() - start)
        times = "  ".join(f"{who} {1e6 * np.median(s):6.0f}" for who, s in seconds.items())
        ends = " ".join(f"{loss:.5g}" for loss in losses.values())
        print(f"{name:>14} batch {batch:<4} {times}   losses {ends}")


if __name__ == "__main__":
    main()
