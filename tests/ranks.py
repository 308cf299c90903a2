"""What the tests run on several processes: python tests/ranks.py FOLDER [HOW TO FAIL].

Rank 0 writes a report into the folder, as JSON.

Each check is a function that returns what every rank must have alike; a report has it from all.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

import minidl as dl
from minidl import nn
from minidl.callbacks import Callback, ClipGradNorm, EarlyStopping

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(100, 3)), rng.normal(size=(100, 2))
LABELS, WEIGHTS = rng.integers(0, 3, 100), rng.uniform(0.1, 2, 100)
STEPS = 11  # of the training that is killed and resumed, in its third epoch
CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def network(rank=0, dtype="float64", p=0.0, outputs=2):
    """A network whose weights and masks differ from rank to rank, before rank 0's count."""
    with dl.default_dtype(dtype):
        layers = [nn.Dense(3, 7, rng=rank), nn.Tanh(), nn.Dropout(p, rng=rank)]
        return nn.Sequential(*layers, nn.Dense(7, outputs, rng=rank))


def loader(rank=0, y=Y, dtype="float64", size=32, **options):
    return dl.data.DataLoader(
        X.astype(dtype), y.astype(dtype) if y.dtype == float else y, size, rng=rank, **options
    )


def result(history, model):
    """Losses and weights, exactly."""
    weights = [float(w) for p in model.parameters() for w in p.data.ravel()]
    return {"loss": history.loss, "step_loss": history.step_loss, "weights": weights}


@check
def training(world, folder):
    """Float32, with a last batch that has fewer rows than shards."""
    model, data = network(world.rank, "float32"), loader(world.rank, dtype="float32")
    options = {"epochs": 2, "progress": False, "distributed": world}
    history = dl.fit(model, dl.losses.mse, dl.optim.Adam(model, 0.01), data, **options)
    return {**result(history, model), "captured": history.captured}


@check
def masks(world, folder):
    """One step with two Dropouts, and the numbers that they draw next."""
    with dl.default_dtype("float64"):
        model = nn.Sequential(network(world.rank, p=0.4), nn.Dropout(0.2, rng=world.rank))
    data = loader(world.rank, shuffle=False)
    options = {"steps": 2, "progress": False, "distributed": world}
    history = dl.fit(model, dl.losses.mse, dl.optim.SGD(model, 1.0), data, **options)
    generators = model.sequential1.dropout1.rng, model.dropout1.rng
    return {**result(history, model), "next": [g.random() for g in generators]}


class Norms(Callback):
    """Writes down the norms of gradients."""

    def __init__(self):
        self.norms = []

    def on_backward(self, training):
        self.norms.append(dl.optim.clip_grad_norm(training.optimizer.groups[0].params, np.inf))


def everything(world, folder, **more):
    """A fit with all that depends on the numbers; a world of None for a plain one."""
    rank = 0 if world is None else world.rank
    model = network(rank, outputs=3)
    plateau = dl.schedulers.ReduceOnPlateau(0.5, factor=0.5, patience=1)
    optimizer = dl.optim.SGD(model, plateau, momentum=0.9)
    log = Norms()
    history = dl.fit(
        model,
        dl.losses.cross_entropy,
        optimizer,
        loader(rank, LABELS, size=13, sample_weight=WEIGHTS),
        epochs=9,
        accumulate=2,
        validation=0.3,
        metrics={"accuracy": dl.metrics.accuracy},
        callbacks=[log, ClipGradNorm(0.5), EarlyStopping(patience=4)],
        progress=False,
        distributed=world,
        **more,
    )
    found = {**result(history, model), "norms": log.norms, "lr": history.lr}
    return {**found, "validation": history.validation, **history.metrics}


CHECKS["everything"] = everything


def _rule(world, rule):
    """Three steps of a rule with two groups, a frozen parameter and one without a gradient."""
    model = network(world.rank)
    model.unused = dl.Tensor(np.ones(5), requires_grad=True)
    first, last = model.dense1, model.dense2
    first.bias.requires_grad = False
    groups = [
        {"params": [first.weight, first.bias, model.unused], "lr": 0.02},
        {"params": last, "weight_decay": 0.1},
    ]
    optimizer = dl.optim.RULES[rule](groups)
    options = {"progress": False, "distributed": world}
    fit = [model, dl.losses.mse, optimizer, loader(world.rank)]
    dl.fit(*fit, steps=2, **options)
    history = dl.fit(*fit, steps=1, **options)  # goes on with the state
    world.gather_state()
    state = optimizer.state_dict() if world.rank == 0 else None
    state = world._objects(json.dumps(state, default=np.ndarray.tolist, sort_keys=True))[0]
    return {**result(history, model), "state": state}


@check
def rules(world, folder):
    return {rule: _rule(world, rule) for rule in ("Adam", "Nadam", "RMSprop", "FTRL")}


@check
def parts_of_the_state(world, folder):
    """The same with shard_state."""
    return rules(dl.distributed.start(shard_state=True), folder)


@check
def frozen_at_first(world, folder):
    """Six steps, in the first three of which most ranks have no gradient in their part."""
    found = []
    for shard_state in (False, True):
        model = network()
        first = model.dense1
        first.weight.requires_grad = first.bias.requires_grad = False

        class Thaw(Callback):
            def on_step(self, training, first=first):
                first.weight.requires_grad = first.bias.requires_grad = training.step >= 3

        rate = dl.schedulers.CosineDecay(0.1, 8)
        arguments = model, dl.losses.mse, dl.optim.Adam(model, rate), loader()
        options = {"callbacks": [Thaw()], "progress": False}
        own = dl.distributed.start(shard_state=shard_state)
        found.append(result(dl.fit(*arguments, steps=6, distributed=own, **options), model))
    return found


@check
def after_kill(world, folder):
    """The training of `run_until_killed`, resumed from its last checkpoint."""
    model, optimizer, data = killed_training(world)
    file = folder / "killed.ckpt"
    saved = dl.load(file, model, optimizer=optimizer, data=data)
    history = _fit_killed(world, model, optimizer, data, resume=saved)
    return {**result(history, model), **history.metrics, "begun": saved.step}


@check
def never_killed(world, folder):
    model, optimizer, data = killed_training(world)
    history = _fit_killed(world, model, optimizer, data)
    return {**result(history, model), **history.metrics}


def killed_training(world):
    model = network(world.rank, "float32", 0.3)
    data = loader(world.rank, dtype="float32")
    return model, dl.optim.Adam(model, 0.01), data


def _fit_killed(world, model, optimizer, data, **options):
    return dl.fit(
        model,
        dl.losses.mse,
        optimizer,
        data,
        steps=STEPS,
        metrics={"mae": dl.metrics.mae},
        progress=False,
        distributed=world,
        **options,
    )


class SaveAndKill(Callback):
    """Saves each step; kills the last rank in a step."""

    def __init__(self, world, file):
        self.world, self.file = world, file

    def on_step(self, training):
        self.world.gather_state()
        if training.rank == 0:
            own = {"optimizer": training.optimizer, "history": training.history}
            dl.save(self.file, training.model, data=training.data, **own)
        self.world._objects(None)  # the file is written
        if training.step == 6 and self.world.rank == self.world.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)


def run_until_killed(folder):
    world = dl.distributed.start(shard_state=True)
    callback = SaveAndKill(world, folder / "killed.ckpt")
    _fit_killed(world, *killed_training(world), callbacks=[callback])


@check
def squares(world, folder):
    return dl.distributed.map(lambda i: i * i, range(7))


@check
def larger_than_memory(world, folder):
    """Two steps on a sparse file of 20 GB, with 300 MB for what this process allocates itself."""
    import resource  # Windows has none

    rows, columns = 5_000_000, 1000
    if world.rank == 0:
        shape = {"dtype": np.float32, "shape": (rows, columns)}
        last = np.lib.format.open_memmap(folder / "large.npy", "w+", **shape)[-1]
        last[:] = 1
    world._objects(None)  # the file is there
    text = Path("/proc/self/status").read_text() if Path("/proc/self/status").exists() else ""
    used = next((int(line.split()[1]) for line in text.splitlines() if "VmData" in line), 0)
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used * 1024 + 300_000_000, limits[1]))
    x, y = np.load(folder / "large.npy", mmap_mode="r"), np.ones((rows, 1), np.float32)
    model = nn.Dense(columns, 1, rng=world.rank)
    data = dl.data.DataLoader(x, y, 64, rng=world.rank)
    arguments = model, dl.losses.mse, dl.optim.SGD(model), data
    history = dl.fit(*arguments, steps=2, progress=False, distributed=world)
    resource.setrlimit(resource.RLIMIT_DATA, limits)
    world._objects(None)  # all have read it
    (folder / "large.npy").unlink(missing_ok=True)
    return history.step_loss


@check
def files(world, folder):
    """The files that a training leaves whose every rank has a path of its own."""
    own = folder / f"files{world.size}"
    own.mkdir(exist_ok=True)
    model = network()
    paths = own / f"{world.rank}.ckpt", own / f"{world.rank}.csv"
    callbacks = [dl.callbacks.Checkpoint(paths[0]), dl.callbacks.CSVLogger(paths[1])]
    options = {"epochs": 2, "progress": False, "callbacks": callbacks, "distributed": world}
    dl.fit(model, dl.losses.mse, dl.optim.SGD(model), loader(), **options)
    world._objects(None)  # all are done
    return sorted(path.name for path in own.iterdir())


@check
def verdict(world, folder):
    """The epochs of a training that a callback on the last rank ends after the second one."""
    model, last = network(), world.rank == world.size - 1
    options = {"callbacks": [lambda epoch, history: last and epoch == 2], "distributed": world}
    arguments = model, dl.losses.mse, dl.optim.SGD(model), loader()
    return len(dl.fit(*arguments, epochs=5, progress=False, **options).loss)


def _raised(function):
    try:
        function()
    except Exception as error:
        return type(error).__name__, str(error)
    return None


@check
def errors(world, folder):
    """What each rank raises where one rank fails, or does something else than the others."""
    last = world.rank == world.size - 1

    def fit(y=Y, loss=dl.losses.mse, data=None, seed=0, own=None, outputs=2, p=0.0, **options):
        model = network(seed, p=p, outputs=outputs)
        own = dl.optim.SGD if own is None else own
        data = loader(seed, y) if data is None else data
        options = {"epochs": 2, "progress": False, "distributed": world, **options}
        return _raised(lambda: dl.fit(model, loss, own(model), data, **options))

    def shift(epoch, history):
        shift.model.dense1.bias.data = shift.model.dense1.bias.data + last

    def by_layer(model):
        return dl.optim.SGD([{"params": model.dense1}, {"params": model.dense2}])

    class Twice:  # its repr has an address, which differs between ranks
        def __call__(self, prediction, y):
            return 2 * dl.losses.mse(prediction, y)

    labels = LABELS.copy()
    labels[-1] = 9
    nan = Y.copy()
    nan[-1] = np.nan
    cross_entropy = {"loss": dl.losses.cross_entropy, "outputs": 3}
    in_order = {"shuffle": False}
    own = {
        "label": fit(data=loader(0, labels, **in_order), **cross_entropy),
        "nan": fit(data=loader(0, nan, **in_order)),
        "validation": fit(
            data=loader(0, LABELS),
            validation=dl.data.DataLoader(X, labels, 13),  # the last one of eight batches
            **cross_entropy,
        ),
        "rule": fit(own=dl.optim.Adam if last else dl.optim.SGD),
        "groups": fit(own=(lambda m: dl.optim.SGD([{"params": m}])) if last else by_layer),
        "layers": fit(p=0.5 if last else 0.2),
        "loss": fit(loss=dl.losses.Huber(delta=2.0 if last else 1.0)),
        "objects": fit(loss=Twice(), epochs=1),
        "validated": fit(validation=(X[last:], Y[last:])),
        "epochs": fit(epochs=3 if last else 2),
        "model": fit(outputs=1 if last else 2, loss=lambda p, y: dl.mean(p)),
        "batches": fit(data=[(X, Y)] * (2 + last), epochs=1),
        "few": fit(data=(X[: world.size - 1], Y[: world.size - 1])) if world.size > 1 else None,
        "map": _raised(lambda: dl.distributed.map(lambda i: 1 // (5 - i), range(7))),
    }
    shift.model = network()
    options = {"epochs": 2, "progress": False, "distributed": world, "callbacks": [shift]}
    sgd = dl.optim.SGD(shift.model)
    arguments = shift.model, dl.losses.mse, sgd, loader()
    own["weights"] = _raised(lambda: dl.fit(*arguments, **options))
    return own


def run(how, folder):
    """Fail on the last rank in a way that no other rank sees."""
    world = dl.distributed.start(timeout=1.0 if how == "hang" else 60.0)

    def fails(epoch, history):
        if epoch == 2 and world.rank == world.size - 1:
            while how == "hang":
                pass
            raise LookupError("the own error of a rank")

    model = network()
    options = {"epochs": 9, "callbacks": [fails], "progress": False, "distributed": world}
    dl.fit(model, dl.losses.mse, dl.optim.SGD(model), loader(), **options)


def main():
    target = Path(sys.argv[1])
    if len(sys.argv) > 2:
        how = sys.argv[2]
        run_until_killed(target) if how == "kill" else run(how, target)
        return
    world = dl.distributed.start()
    report = {}
    for name, function in CHECKS.items():
        report[name] = world._objects(function(world, target))
    if world.rank == 0:
        (target / f"{world.size}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
