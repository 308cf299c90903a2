"""Training steps in pairs, one eager and one captured, and all that may differ between them."""

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
import pytest
from cases import FORMS_OF_RULES

import minidl as dl
from minidl import losses, nn, optim
from minidl.optim import Slot, fraction, option

F = np.float32
RULE_IDS = ["-".join([rule, *map(str, options)]) for rule, options in FORMS_OF_RULES]


@dataclasses.dataclass
class Job:
    """A step with all that it may change.

    params      tensors
    optimizers  and averages: what has a state_dict
    generators  of random numbers
    module      whose buffers count
    """

    step: Any
    params: Any
    optimizers: Any = ()
    generators: Any = ()
    module: Any = None
    model: Any = None
    optimizer: Any = None

    def look(self):
        """All that a step may change, to the bit."""
        return {
            "params": [(bits(p.data), p.version, bits(p.grad)) for p in self.params],
            "states": [bits(o.state_dict()) for o in self.optimizers],
            "t": [getattr(o, "t", 0) for o in self.optimizers],
            "generators": [g.bit_generator.state for g in self.generators],
            "module": bits(self.module.state_dict()) if self.module else None,
        }


def bits(x):
    """A value in which arrays are compared by shape, dtype and bytes."""
    if isinstance(x, dl.Tensor):
        return "tensor", bits(x.data)  # the result of a replay is a constant
    if isinstance(x, np.ndarray | np.generic):
        return x.shape, x.dtype.str, x.tobytes()
    if isinstance(x, dict):
        return {key: bits(value) for key, value in x.items()}
    return type(x)(map(bits, x)) if type(x) in (tuple, list) else x


def run(make, batches, capture, between=None):
    """The job after the steps on the batches; what each step returned or raised, and all states.

    between  a function (job, number of the step), called before each step
    """
    job = make()
    if capture:
        job.step = dl.capture(job.step)
    found = []
    for i, batch in enumerate(batches):
        if between is not None:
            between(job, i)
        try:
            result = bits(job.step(*batch))
        except Exception as error:
            result = type(error), str(error)
        found.append((result, job.look()))
    return job, found


def assert_same(make, batches, between=None, replays=True):
    """A captured step gives the bits of the eager one in each step; returns the captured step."""
    batches = list(batches)
    _, eager = run(make, batches, False, between)
    job, captured = run(make, batches, True, between)
    for i, (a, b) in enumerate(zip(eager, captured, strict=True)):
        assert a[0] == b[0], f"the result of step {i}: {a[0]} {b[0]}"
        for part in a[1]:
            assert a[1][part] == b[1][part], f"{part} after step {i}"
    if replays:
        assert job.step.plan.count > 0
    return job.step


def supervised(model, optimizer=None, loss=losses.mse, before_step=None, **more):
    """The common step on a model."""
    optimizer = optim.SGD(model, lr=0.05) if optimizer is None else optimizer

    def step(*batch):
        optimizer.zero_grad()
        value = loss(model(*batch[:-1]), batch[-1])
        value.backward()
        if before_step:
            before_step()
        optimizer.step()
        return value

    return Job(step, list(model.parameters()), [optimizer], module=model, **more)


def regression(steps=6, rows=5, inputs=3, outputs=2, dtype=np.float32, seed=0):
    """Fresh batches (x, y) of normal numbers."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        x, y = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, outputs))
        yield x.astype(dtype), y.astype(dtype)


def mlp(activation="relu", sizes=(3, 4, 2), **options):
    return nn.MLP(list(sizes), activation, rng=0, **options)


class Norm(nn.Module):
    """Batch normalization, with a running mean and variance as buffers."""

    def __init__(self, size):
        self.buffer("mean", np.zeros(size, np.float32))
        self.buffer("variance", np.ones(size, np.float32))
        self.scale = dl.Tensor(np.ones(size, np.float32), requires_grad=True)

    def forward(self, x):
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = x.mean(0), dl.var(x, 0)
            self.mean = 0.9 * self.mean + 0.1 * mean.data
            self.variance *= 0.9
            self.variance += 0.1 * variance.data
        return (x - mean) / dl.sqrt(variance + 1e-5) * self.scale


class Embedding(nn.Module):
    """Two rows of a table, by their numbers, and a layer."""

    def __init__(self):
        self.table = dl.Tensor(np.random.default_rng(0).normal(size=(7, 3)), requires_grad=True)
        self.out = nn.Dense(6, 2, rng=0)

    def forward(self, i, j):
        return self.out(dl.concatenate([self.table[i], self.table[j]], axis=1))


class Sign(optim.Optimizer):
    """A rule in pure Python."""

    beta: float = option(fraction, default=0.9)
    slots = {"m": Slot()}

    def update(self, group, lr, t, theta, g, m):
        for theta_i, g_i, m_i in zip(theta, g, m, strict=True):
            m_i[...] = group.beta * m_i + (1 - group.beta) * g_i
            theta_i -= lr / t * np.sign(m_i)


class HalfAdam(optim.Adam):
    """A rule of minidl that a user has changed."""

    def update(self, group, lr, t, *arrays):
        super().update(group, lr / 2, t, *arrays)


@dl.tensor.differentiable
@dl.ops.op("y = x³", "3x²")
def cube(x):
    """An op of a user."""
    return x * x * x, lambda g: g * 3 * x * x


def dropping():
    """A supervised step on a model with Dropout; its generator is compared, too."""
    model = nn.Sequential(
        nn.Dense(3, 4, rng=0), nn.Tanh(), nn.Dropout(0.3, rng=1), nn.Dense(4, 2, rng=2)
    )
    job = supervised(model, optim.Adam(model, lr=0.01))
    job.model, job.optimizer, job.generators = model, job.optimizers[0], [model[2].rng]
    return job


def captured_step(calls=3):
    """A captured step of a network 2-4-1 with three samples, after some calls."""
    model = nn.MLP([2, 4, 1], rng=0)
    optimizer = optim.Adam(model, lr=0.1)

    @dl.capture
    def step(x, y):
        optimizer.zero_grad()
        loss = losses.mse(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
    for _ in range(calls):
        step(x, x[:, :1])
    return step


def table(names, cases):
    """Parametrize a test with a table, by the names of its rows."""
    return pytest.mark.parametrize(names, list(cases.values()), ids=list(cases))


def trained(model, optimizer, x, y, loss=losses.mse, scale=1.0):
    """One step."""
    optimizer.zero_grad()
    value = loss(model(x), y) * scale
    value.backward()
    optimizer.step()
    return value


def assert_refused(factor, batches, place):
    """A step whose loss is multiplied by factor(x, y) can't be captured, and nothing stays.

    place  a pattern of the file and line that the error names
    """
    model = mlp("tanh")
    optimizer = optim.SGD(model)
    step = lambda x, y: trained(model, optimizer, x, y, scale=factor(x, y))  # noqa: E731
    captured = dl.capture(step)
    with pytest.raises(dl.CaptureError, match="can't be captured") as error:
        list(itertools.starmap(captured, batches[:2]))
    assert re.search(place, str(error.value))
    assert len(str(error.value)) > 150  # with advice
    assert step(*batches[0]).size == 1  # nothing stays recorded
    assert all(type(p.data) is np.ndarray for p in model.parameters())
    assert all(type(p.grad) is np.ndarray for p in model.parameters())


def on_mlp(body, rule=optim.Adam, more=(), **options):
    """A Job for body(model, optimizer, x, y); `more` are functions of the model with a state."""

    def make():
        model = mlp("tanh")
        optimizer = rule(model, **options)
        others = [f(model) for f in more]
        step = lambda x, y: body(model, optimizer, x, y, *others)  # noqa: E731
        job = Job(step, list(model.parameters()), [optimizer, *others], module=model)
        job.model, job.optimizer = model, optimizer
        return job

    return make


def probabilities(rng):
    x = rng.uniform(size=(5, 2)).astype(F)
    return x / x.sum(1, keepdims=True)


def doubled(x):
    """The same values, not contiguous."""
    return np.repeat(x, 2, axis=0)[::2]


def read_only(x):
    x = x.copy()
    x.setflags(write=False)
    return x


def clipped(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = losses.mse(model(x), y)
    loss.backward()
    norm = optim.clip_grad_norm(model, 0.1)
    optim.clip_grad_value(model, 0.02)
    optimizer.step()
    return loss, norm


def averaged(model, optimizer, x, y, average):
    loss = trained(model, optimizer, x, y)
    average.update()
    return loss


def accumulated(model, optimizer, x, y):
    optimizer.zero_grad()
    for part in (slice(0, 2), slice(2, None)):
        loss = losses.mse(model(x[part]), y[part])
        loss.backward()
    optimizer.step()
    return loss


def never_cleared(model, optimizer, x, y):
    loss = losses.mse(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def cleared_last(model, optimizer, x, y):
    loss = never_cleared(model, optimizer, x, y)
    optimizer.zero_grad()
    return loss


def by_hand(model, optimizer, x, y):
    model.zero_grad()
    loss = losses.mse(model(x), y)
    loss.backward()
    with dl.no_grad():
        for p in model.parameters():
            p -= 0.1 * p.grad
    return loss


def thrice(model, optimizer, x, y):
    return [trained(model, optimizer, x, y) for _ in range(3)][-1]


def edited_gradients(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = losses.mse(model(x), y)
    loss.backward()
    for p in model.parameters():
        p.grad *= 0.5
        np.clip(p.grad, -0.1, 0.1, out=p.grad)
    optimizer.step()
    return loss


FRESH, SAME = list(regression(8)), list(regression(1)) * 8
