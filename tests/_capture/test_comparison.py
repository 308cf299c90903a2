"""Steps whose recordings differ, or that change what they read: each a CaptureError."""

import functools
import io
import itertools
import logging
import random
import time
import types

import numpy as np
import pytest
from capturing import (
    FRESH,
    SAME,
    Job,
    assert_refused,
    assert_same,
    mlp,
    on_mlp,
    regression,
    run,
    supervised,
    table,
    trained,
)

import minidl as dl
from minidl import optim


def test_the_sign_of_zero_counts():
    def make():
        model = mlp("tanh")
        return Job(lambda x, y, scale: model(x).sum() * scale, list(model.parameters()))

    zeros = [0.0, 0.0, 0.0, -0.0, -0.0, -0.0, 0.0, -0.0]
    assert_same(make, [(*b, zero) for b, zero in zip(regression(8), zeros, strict=True)])


GENERATOR, HOLD, LOG, COUNT = np.random.default_rng(0), {"n": 0}, [], 0


class Holder:
    n = 0


HOLDER = Holder()


def counted():
    global COUNT
    COUNT += 1
    return COUNT


def held():
    HOLD["n"] += 1
    return HOLD["n"]


def logged():
    LOG.append(1)
    return len(LOG)


def attribute():
    HOLDER.n += 1
    return HOLDER.n


def closed():
    n = 0

    def count():
        nonlocal n
        n += 1
        return n

    return count


CLOSED = closed()

DATA, EQUAL = iter(range(10**6)), itertools.cycle([1.0, 1.0, 2.0])

STANDARD, LEGACY = random.Random(3), np.random.RandomState(3)

REFUSED = {  # what x or the loss is multiplied by
    "RandomState": lambda x, y: 1 + (LEGACY.random_sample() < 0),
    "np.random": lambda x, y: np.random.normal(),  # noqa: NPY002 (as users write)
    "random": lambda x, y: random.random(),
    "a generator": lambda x, y: GENERATOR.normal(),
    "a coin": lambda x, y: random.random() < 2,
    "a coin of a generator": lambda x, y: x[int(GENERATOR.integers(0, 2)) :].sum(),
    "time": lambda x, y: time.perf_counter(),
    "a global counter": lambda x, y: counted(),
    "an entry that counts": lambda x, y: held(),
    "a list that grows": lambda x, y: logged(),
    "an attribute that counts": lambda x, y: attribute(),
    "a nonlocal counter": lambda x, y: CLOSED(),
    "next": lambda x, y: next(DATA),
    "next, equal twice": lambda x, y: next(EQUAL),
    "random.Random": lambda x, y: 1 + (STANDARD.random() < 0),
}


@table("factor", REFUSED)
@pytest.mark.parametrize("batches", [FRESH, SAME], ids=["fresh", "the same batch"])
def test_what_cannot_be_recorded_is_an_error_that_names_the_line(factor, batches):
    assert_refused(factor, batches, r"(test_comparison|capturing)\.py:\d+")


def rate(model, optimizer, x, y):
    optimizer.lr = optimizer.lr * 0.9
    return trained(model, optimizer, x, y)


def decay(model, optimizer, x, y):
    optimizer.groups[0].weight_decay += 0.1
    return trained(model, optimizer, x, y)


def counts(model, optimizer, x, y):
    model.calls = getattr(model, "calls", 0) + 1
    return trained(model, optimizer, x, y)


def evaluating(model, optimizer, x, y):
    loss = trained(model, optimizer, x, y)
    model.eval() if model.training else model.train()
    return loss


def argument(model, optimizer, x, y):
    x *= 2
    return trained(model, optimizer, x, y)


def entry(model, optimizer, x, y):
    x[0] = 0
    return trained(model, optimizer, x, y)


@pytest.mark.parametrize("body", [rate, decay, counts, evaluating, argument, entry])
def test_a_step_that_changes_what_a_replay_would_not_is_refused(body):
    step = dl.capture(on_mlp(body, optim.SGD)().step)
    with pytest.raises(dl.CaptureError, match=r"(test_comparison|capturing)\.py:\d+"):
        list(itertools.starmap(step, FRESH[:2]))


def masked(x, y):
    return x[x[:, 0] > 0].sum()


SHAPES = {
    "a mask": masked,
    "np.unique": lambda x, y: np.unique(x > 0.5).sum(),
    "np.nonzero": lambda x, y: np.nonzero(x > 0)[0].sum(),
    "len": lambda x, y: len(x[x > 0]),
    "np.repeat": lambda x, y: np.repeat(x[:, 0], (x[:, 1] > 0).astype(int)).sum(),
}


@table("factor", SHAPES)
@pytest.mark.parametrize("batches", [FRESH, SAME], ids=["fresh", "the same batch"])
def test_a_shape_that_depends_on_values_is_never_a_wrong_number(factor, batches):
    def make():
        model = mlp("tanh")
        optimizer = optim.SGD(model)
        step = lambda x, y: trained(model, optimizer, x, y, scale=factor(x, y))  # noqa: E731
        return Job(step, list(model.parameters()), [optimizer])

    (_, eager), (_, found) = run(make, batches, False), run(make, batches, True)
    for (a, _), (b, _) in zip(eager, found, strict=True):
        if b[0] is dl.CaptureError:
            return
        assert a == b


def test_the_files_of_loggers_are_no_iterators_that_a_step_reads():
    log = logging.getLogger("of this test")
    log.addHandler(logging.StreamHandler(io.StringIO()))
    step = supervised(mlp("tanh")).step
    captured = dl.capture(lambda x, y: (step(x, y), log.name))
    assert [captured(*batch)[1] for batch in FRESH[:3]] == ["of this test"] * 3
    assert captured.plan.count > 5


def test_a_file_that_a_step_writes_is_refused():
    file, step = io.StringIO(), supervised(mlp("tanh")).step
    captured = dl.capture(lambda x, y: (file.write("a step"), step(x, y))[1])
    with pytest.raises(dl.CaptureError, match=r"the iterator or file file.*write outside"):
        captured(*FRESH[0])


def modes(model, optimizer, x, y):
    model.train()
    return trained(model, optimizer, x, y)


def test_train_in_a_step_is_nothing_new_in_training_mode_and_refused_in_the_other():
    assert_same(on_mlp(modes), FRESH)
    job = on_mlp(modes)()
    step = dl.capture(job.step)
    job.model.eval()
    with pytest.raises(
        dl.CaptureError, match=r"changes model.*\.training.*Call train\(\) or eval\("
    ):
        step(*FRESH[0])


class Counting:
    """Its steps change it."""

    def __init__(self):
        self.step, self.n = supervised(mlp("tanh")).step, 0

    def count(self, x, y):
        self.n += 1
        return self.step(x, y)

    def keep(self, x, y):
        self.loss = self.step(x, y)
        return self.loss


@pytest.mark.parametrize(
    ("method", "named"), [(Counting.count, "self.n,"), (Counting.keep, r"self \(loss is new\),")]
)
@pytest.mark.parametrize("bind", [types.MethodType, functools.partial])
def test_an_attribute_that_a_step_changes_is_named(method, named, bind):
    with pytest.raises(dl.CaptureError, match=f"it changes {named}"):
        dl.capture(bind(method, Counting()))(*FRESH[0])


def test_a_shape_that_changes_is_named_where_it_does():
    step = dl.capture(lambda x: dl.sum(dl.Tensor(x[x > 0])))
    step(np.array([1.0, 2.0, -1.0]))
    with pytest.raises(dl.CaptureError, match=r"shape \(1,\) after \(2,\).*dl.where"):
        step(np.array([1.0, -2.0, -1.0]))


def test_a_step_that_replaces_the_data_of_a_parameter_is_refused():
    job = supervised(mlp("tanh"))

    def step(x, y):
        job.params[0].data = np.zeros((3, 4), np.float32)
        return job.step(x, y)

    with pytest.raises(dl.CaptureError, match=r"replaces the data of .*Load weights outside"):
        list(itertools.starmap(dl.capture(step), FRESH[:3]))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (lambda x: np.full(3, time.perf_counter()), "numbers from outside of the step that change"),
        (lambda x: np.zeros(3).__iadd__(x), "an array that NumPy has made, and writes to it"),
    ],
)
def test_an_array_that_numpy_makes_anew_may_not_change(line, reason):
    step = dl.capture(lambda x: dl.sum(dl.Tensor(x) * line(x)))
    step(np.ones(3))
    with pytest.raises(dl.CaptureError, match=reason):
        step(np.zeros(3))
