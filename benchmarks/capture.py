"""Captured steps against eager ones: other layers, `dl.fit`, and what recording a step costs."""

import functools

import numpy as np

import minidl as dl
from benchmarks.measure import agree, in_child, row, seconds, take_turns
from benchmarks.networks import Problem, minidl_step, one_by_one, training_step
from benchmarks.steps import NETWORKS, TASKS

SIZES = 2, 16, 16, 1
FIT_EPOCHS = 100  # of 64 batches
FIRST_STEPS = 100  # in which recording must have paid for itself
PAYING = [name for name in NETWORKS if "784" not in name]


def with_dropout():
    """A network that drops hidden units in training."""
    nn = dl.nn
    first = nn.Dense(2, 16, rng=0), nn.ReLU(), nn.Dropout(0.2, rng=0)
    second = nn.Dense(16, 16, rng=1), nn.ReLU(), nn.Dropout(0.2, rng=1)
    return nn.Sequential(*first, *second, nn.Dense(16, 1, rng=2))


LAYERS = {
    name: functools.partial(dl.nn.MLP, SIZES, name, rng=0) for name in ("tanh", "sigmoid", "silu")
}
LAYERS["dropout"] = with_dropout
WAYS = {"minidl": lambda step: step, "captured": lambda step: dl.capture(step)}


def with_mse(model):
    """The arguments of a training: a model, its loss, and its optimizer."""
    return model, dl.losses.mse, dl.optim.Adam(model, 1e-4)


def compare_layers(repeats, quick):
    """The rows of networks with other layers."""
    problem, rows = Problem("2-16-16-1", 32, 64), []
    for task, make in LAYERS.items():
        epochs = {
            who: one_by_one(way(training_step(*with_mse(make()))), problem.batches(np.array))
            for who, way in WAYS.items()
        }
        times = take_turns(epochs, repeats, quick)
        agree(task, {who: epoch()[-1] for who, epoch in epochs.items()})
        rows += [row("capture", task, who, 1, times[who] / problem.count) for who in WAYS]
    return rows


def compare_fits(repeats, quick):
    """The rows of a step of fit, all of the call included."""
    problem, task = Problem("2-16-16-1", 32, 64), "a step of fit"
    count = FIT_EPOCHS // (10 if quick else 1)

    def fit(capture):
        data = dl.data.DataLoader(problem.x, problem.y, 32, rng=0)
        arguments = with_mse(dl.nn.MLP(SIZES, rng=0))
        return dl.fit(*arguments, data, epochs=count, progress=False, capture=capture)

    fits = {"minidl": lambda: fit(False), "captured": lambda: fit("auto")}
    histories = {who: call() for who, call in fits.items()}
    agree(task, {who: history.loss[-1] for who, history in histories.items()})
    times = take_turns(fits, repeats, quick, least=1)
    return [
        row(
            "capture",
            task,
            who,
            1,
            times[who] / (count * problem.count),
            note=f"captured: {h.captured}",
        )
        for who, h in histories.items()
    ]


def paid_back(name):
    """After how many of its first steps a captured step has taken no longer than the eager one."""
    problem = Problem(name, *NETWORKS[name])
    batches = problem.batches(np.array)
    batches = (batches * FIRST_STEPS)[:FIRST_STEPS]
    total = {}
    for who, way in WAYS.items():
        step = way(minidl_step(problem))
        total[who] = np.cumsum([seconds(functools.partial(step, *batch)) for batch in batches])
    (behind,) = np.nonzero(total["captured"] > total["minidl"])
    return behind[-1] + 2 if len(behind) else 1


def compare(repeats, quick):
    """The rows of this part."""
    rows = compare_layers(repeats, quick) + compare_fits(repeats, quick)
    for name in PAYING:
        paid_back(name)  # the first time, caches are cold
        values = [paid_back(name) for _ in range(3 * repeats)]
        rows.append(row("capture", f"paid back, {TASKS[name]}", "captured", 1, values, "steps"))
    return rows


def measure(repeats, quick):
    """The rows of this part, on one thread."""
    return in_child(1, compare, repeats, quick)
