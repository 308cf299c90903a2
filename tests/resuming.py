"""A training that can be saved and resumed, for tests in this process and in others."""

import numpy as np

import minidl as dl
from minidl import checkpoint, nn, schedulers

X = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(11, 2)).astype(np.float32)
RATES = {
    "a number": lambda: 0.01,
    "decay": lambda: schedulers.WarmUp(schedulers.CosineDecay(0.02, 9), 3),
    "sequence": lambda: schedulers.Sequence([(0.1, 2), schedulers.LinearDecay(0.4, steps=4)]),
    "plateau": lambda: schedulers.WarmUp(schedulers.ReduceOnPlateau(0.02, patience=0), 2),
}


def training(seed=0, rule="Adam", rate=lambda: 0.01, **options):
    model = nn.Sequential(nn.Dense(3, 4, rng=seed), nn.Dropout(0.5, rng=seed), nn.Dense(4, 2))
    model.dense2.weight.data = np.full((4, 2), 0.1 + seed)
    optimizer = getattr(dl.optim, rule)(model, **{"lr": rate(), **options})
    return model, optimizer, dl.data.DataLoader(X, Y, 4, rng=seed)


def look(model, optimizer=None, loader=None):
    """All that a training is, as text."""
    found = [model.state_dict()]
    found += [g.bit_generator.state for g in checkpoint.generators_of(model).values()]
    found += [] if optimizer is None else [optimizer.state_dict()]
    found += [] if loader is None else [loader.state_dict()]
    return repr(found)


def resumed(path):
    """Resume a training from a file until its third epoch; all that it is then."""
    own = model, optimizer, loader = training(9, rate=RATES["decay"])
    saved = dl.load(path, model, optimizer=optimizer, data=loader)
    fit = {"epochs": 3, "progress": False, "resume": saved}
    history = dl.fit(model, dl.losses.mse, optimizer, loader, **fit)
    return look(*own) + repr(history.state_dict())
