"""Write the checkpoint of a training after two of three epochs, which later versions must read.

    python tests/golden/make_checkpoint.py tests/golden/0.2.ckpt

A version that writes another format adds a file of its own and keeps those that are here.
"""

import sys

import numpy as np

import minidl as dl


def training():
    """(model, optimizer, loader) with every kind of part: Dropout, shuffling, a plateau."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    layers = (
        dl.nn.Dense(3, 8, rng=0),
        dl.nn.Tanh(),
        dl.nn.Dropout(0.1, rng=1),
        dl.nn.Dense(8, 1, rng=2),
    )
    model = dl.nn.Sequential(*layers)
    rate = dl.schedulers.ReduceOnPlateau(0.01, patience=1)
    loader = dl.data.DataLoader(x, x[:, :1] * x[:, 1:2], batch_size=16, rng=3)
    return model, dl.optim.Adam(model, lr=rate, weight_decay=0.01), loader


def fit(model, optimizer, loader, **options):
    """The History of a training."""
    options |= {"validation": (loader.x, loader.y), "progress": False}
    return dl.fit(model, dl.losses.mse, optimizer, loader, **options)


if __name__ == "__main__":
    model, optimizer, loader = training()
    history = fit(model, optimizer, loader, epochs=2)
    parts = {"optimizer": optimizer, "data": loader, "history": history}
    dl.save(sys.argv[1], model, **parts, metadata={"scale": np.arange(3.0), "name": "ρ"})
