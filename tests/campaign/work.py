"""Pieces of work whose results must be the same bits in whatever thread, task or process they run.

Each is a generator function of a random generator. It yields between its steps, where a task lets
others go on, and returns what it has found.
"""

import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from cases import RULES
from optimizing import FULL_STATE

import minidl as dl
from minidl import losses, nn, schedulers
from minidl._kernels import loss as loss_kernels
from minidl._kernels import optim as optim_kernels

ROWS, INPUTS, OUTPUTS, BATCH = 24, 3, 2, 6
LAYERS = nn.Tanh, nn.ReLU, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.Softplus, nn.LeakyReLU
DTYPES = "float32", "float64"
RATES = (
    lambda: 0.01,
    lambda: schedulers.WarmUp(schedulers.CosineDecay(0.02, 30), 3),
    lambda: schedulers.WarmUp(schedulers.ReduceOnPlateau(0.02, patience=0), 2),
)


def bits(x):
    """A value in which arrays are compared by dtype, shape and bytes."""
    if isinstance(x, dl.Tensor):
        x = x.data
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.str, x.shape, x.tobytes()
    if isinstance(x, dict):
        return {key: bits(value) for key, value in x.items()}
    return tuple(map(bits, x)) if isinstance(x, tuple | list) else x


class Training:
    """A network with Dropout, a loss, a rule with its whole state and a schedule, all drawn."""

    def __init__(self, rng, rule=None):
        def seed():
            return int(rng.integers(1000))

        sizes = [INPUTS, *rng.integers(2, 9, rng.integers(1, 3)).tolist(), OUTPUTS]
        layers = []
        for pair in itertools.pairwise(sizes):
            kind = LAYERS[rng.integers(len(LAYERS))]
            layers += [nn.Dense(*pair, rng=seed()), kind(), nn.Dropout(0.2, rng=seed())]
        self.dtype = DTYPES[rng.integers(2)]
        self.x = rng.normal(size=(ROWS, INPUTS)).astype(self.dtype)
        labels = rng.integers(0, OUTPUTS, ROWS)
        values = rng.normal(size=(ROWS, OUTPUTS)).astype(self.dtype)
        kind = rng.integers(3)
        self.loss = (losses.mse, losses.huber, losses.cross_entropy)[kind]
        self.y = labels if kind == 2 else values
        with dl.default_dtype(self.dtype):
            self.model = nn.Sequential(*layers[:-2])
        self.rule = rule or RULES[rng.integers(len(RULES))]
        options = {"lr": RATES[rng.integers(len(RATES))](), **FULL_STATE.get(self.rule, {})}
        self.optimizer = getattr(dl.optim, self.rule)(self.model, **options)
        self.loader = dl.data.DataLoader(self.x, self.y, BATCH, rng=seed())
        for p in self.model.parameters():  # subnormal numbers, which kernels flush
            p.data.flat[0] = np.finfo(self.dtype).tiny / 4

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = self.loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def found(self):
        return bits((self.model.state_dict(), self.optimizer.state_dict()["state"]))


def keeps_subnormals():
    """Whether this thread computes with subnormal numbers, as it does outside of kernels."""
    return np.finfo(np.float32).tiny * np.float32(0.5) > 0


def eager(rng):
    own, found = Training(rng), []
    for batch in itertools.chain(own.loader, own.loader):
        found.append(own.step(*batch).item())
        assert keeps_subnormals()
        yield
    return found, own.found()


def captured(rng):
    own, found = Training(rng), []
    step = dl.capture(own.step)
    for _ in range(3):
        for batch in own.loader:
            found.append(step(*batch).item())
            assert keeps_subnormals()
            yield
    found.append(step.epoch(own.x, own.y, batch_size=BATCH).tolist())
    return found, own.found()


def fitted(rng):
    own = Training(rng)
    options = {"epochs": 3, "progress": False, "validation": (own.x, own.y)}
    callbacks = [dl.callbacks.ClipGradNorm(1.0)] if rng.integers(2) else []
    capture = [True, False][rng.integers(2)]
    history = None
    for _ in range(2):
        history = dl.fit(
            *(own.model, own.loss, own.optimizer, own.loader),
            **{**options, "callbacks": callbacks, "capture": capture, "history": history},
        )
        yield
    return history.step_loss, history.validation, own.found()


def predicted(rng):
    own, found = Training(rng), []
    for size in (1, 5, ROWS):
        found.append(dl.predict(own.model, own.x, batch_size=size))
        found.append(dl.evaluate(own.model, (own.x, own.y), own.loss))
        yield
    modes = [module.training for module in own.model.modules()]
    return bits(found), modes, own.found()


def averaged(rng):
    own = Training(rng)
    average = dl.optim.average(own.model, 0.75)
    for batch in own.loader:
        own.step(*batch)
        average.update()
        yield
    with average:
        inside = own.found()
        yield
    return inside, own.found(), bits(average.state_dict())


def saved(rng):
    own, other = Training(rng), None
    state = rng.bit_generator.state
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.ckpt")
        for batch in own.loader:
            own.step(*batch)
            dl.save(path, own.model, optimizer=own.optimizer, data=own.loader)
            yield
        found = path.read_bytes()
        rng.bit_generator.state = state
        other = dl.load(path, own.model, optimizer=own.optimizer, data=own.loader)
    return found, other.step, own.found()


def settings(rng):
    """What is inside one `with` block of a thread or task holds nowhere else."""
    found = []
    w = dl.Tensor(rng.normal(size=3), True)
    for _ in range(10):
        dtype = DTYPES[rng.integers(2)]
        with dl.default_dtype(dtype):
            yield
            if rng.integers(2):
                with dl.no_grad():
                    yield
                    found.append((w * w).requires_grad)
            found.append((str(dl.Tensor([1]).dtype), (2 * w).requires_grad, dtype))
            yield
    (w * w).sum().backward()
    return found, bits(w.grad)


def walked(rng):
    own = Training(rng)
    with dl.trace() as walk:
        loss = own.loss(own.model(own.x[:2]), own.y[:2])
        yield
        loss.backward()
        own.optimizer.step()
    yield
    return str(walk), own.found()


def derived(rng):
    own = Training(rng)
    own.model.eval()
    with dl.default_dtype("float64"):
        w = dl.Tensor(rng.normal(size=(INPUTS, OUTPUTS)), True)
        for _ in range(3):
            dl.gradcheck(lambda w: own.loss(own.x.astype(float) @ w, own.y), w)
            yield
    x, found = dl.Tensor(rng.normal(size=(4, 4)), True), []
    for f in (dl.exp, dl.softmax, dl.logsumexp, dl.gelu, dl.norm):
        f(x * 0.5).sum().backward()
        found.append(x.grad)
        yield
    return bits(found)


def wide(rng):
    """An update and a loss that are large enough for several threads of OpenMP."""
    own = dl.Tensor(rng.normal(size=optim_kernels.threaded + 3).astype("f4"), True)
    own.grad = own.data * np.float32(0.5)
    optimizer = getattr(dl.optim, RULES[rng.integers(len(RULES))])([own])
    logits = dl.Tensor(rng.normal(size=(loss_kernels.threaded // 4 + 1, 4)).astype("f4"), True)
    labels, found = rng.integers(0, 4, len(logits.data)), []
    for _ in range(2):
        optimizer.step()
        loss = losses.cross_entropy(logits, labels)
        loss.backward()
        found.append(loss.item())
        yield
    return found, bits((own, logits.grad))


def raced(rng):
    names = [RULES[i] for i in rng.integers(0, len(RULES), 2)]
    surface = ["bowl", "rosenbrock", "beale"][rng.integers(3)]
    seed = int(rng.integers(99))
    race = dl.viz.race(surface, sorted({*names}), steps=20, tune=False, noise=0.1, rng=seed)
    yield
    return repr(race), bits([run.theta for run in race.runs])


def exported(rng):
    own = Training(rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.py")
        dl.export.to_numpy(own.model, path)
        yield
        return path.read_text(encoding="utf-8"), own.found()


def estimated(rng):
    from minidl.sklearn import MLPClassifier

    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    own = MLPClassifier((4,), n_iter_no_change=1, tol=1e3, random_state=int(rng.integers(99)))
    yield
    return bits((own.fit(x, y).predict_proba(x),))


KINDS = {
    f.__name__: f
    for f in (
        *(eager, captured, fitted, predicted, averaged, saved, settings),
        *(walked, derived, raced, exported, estimated, wide),
    )
}


def steps(kind, seed):
    """The steps of a piece of work."""
    return KINDS[kind](np.random.default_rng(seed))


def result(kind, seed):
    """What a piece of work finds."""
    own = steps(kind, seed)
    while True:
        try:
            next(own)
        except StopIteration as end:
            return end.value
