"""What a captured step notices, refuses, returns and keeps; and its epochs."""

import copy
import gc
import io
import itertools
import os
import pickle
import re
import signal
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from capturing import (
    FRESH,
    RULE_IDS,
    F,
    Job,
    Sign,
    accumulated,
    assert_same,
    averaged,
    bits,
    by_hand,
    cleared_last,
    clipped,
    doubled,
    dropping,
    edited_gradients,
    mlp,
    never_cleared,
    on_mlp,
    probabilities,
    read_only,
    regression,
    supervised,
    table,
    thrice,
    trained,
)
from cases import FORMS_OF_RULES

import minidl as dl
from minidl import losses, nn, optim, schedulers

S = schedulers


def test_arguments_by_name_and_numbers():
    def make():
        model = mlp("tanh")
        optimizer = optim.SGD(model)
        step = lambda x, y, scale: trained(model, optimizer, x, y, scale=scale)  # noqa: E731
        return Job(step, list(model.parameters()), [optimizer])

    scales = itertools.cycle([1.0, 1, True, 2.0])
    assert_same(make, [(*b, s) for b, s in zip(regression(24), scales, strict=False)])
    captured, eager = make(), make()
    step = dl.capture(captured.step)
    for x, y in regression(8):
        assert bits(step(x, scale=2.0, y=y)) == bits(eager.step(x, scale=2.0, y=y))


class Learner:
    def __init__(self):
        self.model = mlp("tanh")
        self.optimizer = optim.Adam(self.model)

    def learn(self, x, y):
        return trained(self.model, self.optimizer, x, y)

    captured = dl.capture(learn)


def test_a_captured_method_belongs_to_its_object():
    one, other, eager = Learner(), Learner(), Learner()
    for x, y in regression(8):
        assert bits(one.captured(x, y)) == bits(other.captured(x, y)) == bits(eager.learn(x, y))


def test_a_captured_step_inside_another():
    def make():
        job = supervised(mlp())
        inner = dl.capture(job.step)
        job.step = lambda x, y: inner(x, y) * 2
        return job

    assert_same(make, regression(8))


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_error_that_quotes_any_script_can_be_printed_on_any_console(monkeypatch, encoding):
    captured = dl.capture(lambda β: 1 if β.sum() > 0 else β)
    with pytest.raises(dl.CaptureError, match="looks at a value") as error:
        captured(np.ones(3))
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", console)
    print(error.value)
    console.flush()
    assert b"lambda beta: 1 if beta.sum() > 0" in console.buffer.getvalue()


class Slotted:
    __slots__ = ("step_count",)

    @dl.capture
    def step(self, x, y):
        return x


def test_arguments_and_decorators_that_do_not_fit_are_errors_that_say_what_does():
    x, y = FRESH[0]
    for batch in ((x, y), [x, y.astype(np.float64)], (dl.Tensor(x), dl.Tensor(y))):
        with pytest.raises(dl.CaptureError, match=r"step\(\*batch\)"):
            dl.capture(lambda batch: batch)(batch)
    with pytest.raises(dl.CaptureError, match="the parts of a dict"):
        dl.capture(lambda batch: batch)({"x": x})
    with pytest.raises(TypeError, match="below the other decorator"):
        dl.capture(staticmethod(trained))
    with pytest.raises(TypeError, match="below the other decorator"):
        dl.capture(classmethod(trained))
    with pytest.raises(TypeError, match="add '__dict__' to __slots__"):
        Slotted().step(x, y)


def test_an_epoch_of_a_tensor_that_requires_a_gradient_is_refused_as_a_call_is():
    step = dl.capture(supervised(mlp()).step)
    with pytest.raises(dl.CaptureError, match="requires a gradient"):
        step.epoch(dl.Tensor(X, requires_grad=True), Y, batch_size=5)


def test_requires_grad_and_what_is_no_argument_are_refused():
    step = dl.capture(supervised(mlp()).step)
    with pytest.raises(dl.CaptureError, match="requires a gradient"):
        step(dl.Tensor(np.ones((5, 3)), requires_grad=True), np.ones((5, 2)))
    with pytest.raises(dl.CaptureError, match="hashable"):
        step({1, 2}, np.ones((5, 2)))
    for no_numbers in (np.full((5, 2), "1"), np.full((5, 2), 1, object), np.ones(5, "f4, f4")):
        with pytest.raises(dl.CaptureError, match="Convert it to numbers"):
            step(np.ones((5, 3)), no_numbers)
    for value in (1, "step", nn.Dense):
        with pytest.raises(TypeError, match="capture takes a function"):
            dl.capture(value)


# --- what is noticed -----------------------------------------------------------------------------


class Own(nn.Module):
    """A model that reads all kinds of attributes."""

    def __init__(self):
        self.first, self.second = nn.Dense(3, 4, rng=0), nn.Dense(4, 2, rng=1)
        self.layers, self.options = [nn.Dense(2, 2, rng=5)], {"scale": 1.0}
        self.activation, self.factor, self.weights = dl.tanh, 2.0, np.ones(2, F)

    def forward(self, x):
        x = self.second(self.activation(self.first(x)) * self.factor)
        for layer in self.layers:
            x = layer(x)
        return x * self.options["scale"] * self.weights


def own():
    model = Own()
    job = supervised(model, optim.Adam(model))
    job.model, job.optimizer = model, job.optimizers[0]
    return job


def halved(job):
    with dl.no_grad():
        for p in job.params:
            p *= 0.5


def other_rng(job):
    job.model[2].rng = np.random.default_rng(9)
    job.generators = [job.model[2].rng]


def set_to(part, name, value):
    return lambda job: setattr(part(job), name, value() if callable(value) else value)


def rule(name, option, value, **options):
    def make():
        model = mlp("tanh")
        job = supervised(model, getattr(optim, name)(model, lr=0.01, **options))
        job.optimizer = job.optimizers[0]
        return job

    return make, set_to(lambda job: job.optimizer, option, value)


def model(job):
    return job.model


def optimizer(job):
    return job.optimizer


def first(job):
    return job.model[0].weight


CHANGES = {
    "weights loaded": (
        dropping,
        lambda job: job.model.load_state_dict(
            {name: 0.5 * value for name, value in job.model.state_dict().items()}
        ),
    ),
    "a state loaded": (
        dropping,
        lambda job: job.optimizer.load_state_dict({**job.optimizer.state_dict(), "t": 3}),
    ),
    "frozen": (dropping, set_to(first, "requires_grad", False)),
    "data assigned": (dropping, lambda job: setattr(first(job), "data", 2 * first(job).data)),
    "data edited": (dropping, lambda job: first(job).data.fill(0.5)),
    "changed in place": (dropping, halved),
    "a gradient assigned": (
        dropping,
        lambda job: setattr(first(job), "grad", np.ones((3, 4), F)),
    ),
    "no gradients": (on_mlp(never_cleared), lambda job: job.model.zero_grad()),
    "one gradient less": (on_mlp(never_cleared), set_to(first, "grad", None)),
    "other gradients": (on_mlp(never_cleared), lambda job: first(job).grad.fill(3)),
    "rate": (dropping, set_to(optimizer, "lr", 0.3)),
    "rate of a group": (dropping, set_to(lambda job: job.optimizer.groups[0], "lr", 0.3)),
    "rate 0": (dropping, set_to(optimizer, "lr", 0)),
    "schedule": (dropping, lambda job: setattr(job.optimizer, "lr", S.CosineDecay(0.1, 20))),
    "t": (dropping, set_to(optimizer, "t", 100)),
    "state": (
        dropping,
        lambda job: [state["m"].fill(0) for state in job.optimizer.state.values()],
    ),
    "eval": (dropping, lambda job: job.model.eval()),
    "p of a Dropout": (dropping, set_to(lambda job: job.model[2], "p", 0.7)),
    "its generator": (dropping, other_rng),
    "its generator's state": (
        dropping,
        lambda job: setattr(
            job.model[2].rng.bit_generator, "state", np.random.default_rng(4).bit_generator.state
        ),
    ),
    "weight_decay": rule("Adam", "weight_decay", 0.1),
    "maximize": rule("Adam", "maximize", True),
    "betas": rule("Adam", "betas", (0.5, 0.6)),
    "eps": rule("Adam", "eps", 0.1),
    "momentum": rule("SGD", "momentum", 0.5, momentum=0.9),
    "nesterov": rule("SGD", "nesterov", True, momentum=0.9),
    "alpha": rule("RMSprop", "alpha", 0.5),
    "l1": rule("FTRL", "l1", 0.1),
    "momentum_decay": rule("Nadam", "momentum_decay", 0.1),
    "a layer": (own, set_to(model, "first", lambda: nn.Dense(3, 4, rng=7))),
    "an activation": (own, lambda job: setattr(job.model, "activation", dl.relu)),
    "a number": (own, set_to(model, "factor", 3.0)),
    "a layer more": (own, lambda job: job.model.layers.append(nn.Dense(2, 2, rng=8))),
    "a layer in a list": (own, lambda job: job.model.layers.__setitem__(0, nn.Dense(2, 2, rng=8))),
    "an entry": (own, lambda job: job.model.options.update(scale=2.0)),
    "an array": (own, set_to(model, "weights", lambda: np.full(2, 3, F))),
    "an array in place": (own, lambda job: job.model.weights.fill(4)),
    "a parameter": (
        own,
        set_to(
            lambda job: job.model.first,
            "weight",
            lambda: dl.Tensor(np.ones((3, 4)), requires_grad=True),
        ),
    ),
    "forward": (
        own,
        lambda job: setattr(job.model, "forward", lambda x: job.model.second(job.model.first(x))),
    ),
}


@table(("make", "change"), CHANGES)
def test_a_change_between_two_calls_is_noticed(make, change):
    assert_same(make, regression(12), lambda job, i: change(job) if i == 6 else None)


@table("switch", {"mode": nn.Module.eval, "frozen": lambda model: set_frozen(model, True)})
def test_what_changes_back_and_forth(switch):
    def between(job, i):
        if i % 6 < 3:
            switch(job.model)
        else:
            job.model.train()
            set_frozen(job.model, False)

    assert_same(dropping, regression(26), between)


def set_frozen(model, frozen):
    model[0].weight.requires_grad = not frozen


def test_weights_loaded_and_data_assigned_again_and_again():
    saved = {}

    def between(job, i):
        if i == 2:
            saved.update(job.model.state_dict())
        if i > 2 and i % 3 == 0:
            job.model.load_state_dict(saved)
        if i % 4 == 3:
            first(job).data = np.asfortranarray(first(job).data)

    assert_same(dropping, regression(30), between)


def test_what_is_saved_and_loaded_again_later():
    saved = {}

    def between(job, i):
        if i == 4:
            saved.update(model=job.model.state_dict(), optimizer=job.optimizer.state_dict())
        if i == 8:
            job.model.load_state_dict(saved["model"])
            job.optimizer.load_state_dict(saved["optimizer"])

    assert_same(dropping, regression(14), between)


FACTOR, FACTORS = 2.0, np.ones(2, F)


def scaled(x):
    return x * FACTOR


def set_global(name, value):
    def change(job):
        globals()[name] = value

    return change


class Stepper:
    def __init__(self):
        self.model = mlp("tanh")
        self.optimizer, self.factor, self.parts = optim.SGD(self.model), 2.0, [1.0]

    def step(self, x, y):
        scale = self.factor * self.parts[0] * FACTORS[0]
        return trained(self.model, self.optimizer, x, y, scale=scale)


def method():
    stepper = Stepper()
    job = Job(stepper.step, list(stepper.model.parameters()), [stepper.optimizer])
    job.model = stepper
    return job


VARIABLES = {
    "a global": (on_mlp(lambda m, o, x, y: trained(m, o, x, y, scale=FACTOR)), "FACTOR", 3.0),
    "a global of a helper": (on_mlp(lambda m, o, x, y: trained(m, o, scaled(x), y)), "FACTOR", 3.0),
    "a function": (on_mlp(lambda m, o, x, y: trained(m, o, scaled(x), y)), "scaled", dl.tanh),
    "a global array": (
        on_mlp(lambda m, o, x, y: trained(m, o, x, y * FACTORS)),
        "FACTORS",
        np.full(2, 3, F),
    ),
}


@table(("make", "name", "value"), VARIABLES)
def test_a_variable_that_changes_is_noticed(make, name, value):
    before = globals()[name]

    def between(job, i):
        if i in (0, 6):
            globals()[name] = value if i else before

    try:
        assert_same(make, regression(12), between)
    finally:
        globals()[name] = before


@table(
    "change",
    {
        "a number": lambda job: setattr(job.model, "factor", 3.0),
        "an entry": lambda job: job.model.parts.__setitem__(0, 3.0),
        "an optimizer": lambda job: setattr(job.model, "optimizer", optim.Adam(job.model.model)),
    },
)
def test_a_method_as_the_step_notices_what_its_object_holds(change):
    assert_same(method, regression(12), lambda job, i: change(job) if i == 6 else None)


def in_trace(step, batch):
    with dl.trace() as walk:
        result = step(*batch)
    assert len(walk.ops) >= 3
    assert len(walk.updates) == 4
    return result


def in_no_grad(step, batch):
    try:
        with dl.no_grad():
            step(*batch)
    except RuntimeError as error:
        return str(error)


def in_other_dtype(step, batch):
    with dl.default_dtype("float64"):
        return step(*batch)


def in_other_thread(step, batch):
    results = []
    thread = threading.Thread(target=lambda: results.append(step(*batch)))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("around", [in_trace, in_no_grad, in_other_dtype, in_other_thread])
def test_a_call_in_other_circumstances_is_the_eager_one(around):
    captured, eager = dropping(), dropping()
    step = dl.capture(captured.step)
    for i, batch in enumerate(regression(16)):
        if i in (0, 5, 6, 11):
            assert bits(around(step, batch)) == bits(around(eager.step, batch))
        else:
            assert bits(step(*batch)) == bits(eager.step(*batch))
        assert captured.look() == eager.look()


def test_each_shape_has_a_plan_and_plans_are_bounded():
    rows = [5, 3, 5, 3, 7, 7, 7, 3, 5, 1, 1, 1, 5]
    batches = [next(regression(1, rows=n, seed=i)) for i, n in enumerate(rows)]
    assert_same(dropping, batches)
    many = [n for n in range(1, 13) for _ in range(3)]
    batches = [next(regression(1, rows=n, seed=i)) for i, n in enumerate(many)]
    plans = set()
    job = dropping()
    step = dl.capture(job.step)
    for batch in batches:
        step(*batch)
        if step.runner is not None:
            plans.add(weakref.ref(step.plan))
    gc.collect()
    assert len(plans) > 8
    assert sum(plan() is not None for plan in plans) <= 9


def test_dtypes_that_alternate():
    dtypes = itertools.cycle([np.float32, np.float64, np.float16, np.int32])
    batches = [
        tuple(x.astype(d) for x in batch) for batch, d in zip(regression(24), dtypes, strict=False)
    ]
    assert_same(dropping, batches)


def test_a_read_only_weight_is_the_eager_error():
    def between(job, i):
        first(job).data.setflags(write=i not in (6, 7))

    assert_same(dropping, regression(12), between)


def test_the_average_in_use_is_the_eager_error_or_result():
    def make():
        job = on_mlp(averaged, more=[lambda model: optim.average(model, 0.9)])()
        job.average = job.optimizers[1]
        inner = job.step
        job.inside = False

        def step(x, y):
            return inner(x, y)

        job.step = step
        return job

    captured, eager = make(), make()
    steps = dl.capture(captured.step), eager.step
    for i, batch in enumerate(regression(12)):
        found = []
        for job, step in zip((captured, eager), steps, strict=True):
            try:
                if i in (3, 7):
                    with job.average:
                        found.append(bits(step(*batch)))
                else:
                    found.append(bits(step(*batch)))
            except RuntimeError as error:
                found.append(str(error))
        assert found[0] == found[1]
        assert captured.look() == eager.look()


# --- checks stay on ------------------------------------------------------------------------------


def with_bad(target, value, where):
    """Batches of which some have a target that is refused."""
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(5, 3)).astype(F), target(rng)) for _ in range(12)]
    for i in (5, 6, 9):
        batches[i][1][where] = value
    return batches


BAD = {
    "label": (losses.cross_entropy, lambda rng: rng.integers(0, 2, 5), 2, 1),
    "negative label": (losses.cross_entropy, lambda rng: rng.integers(0, 2, 5), -1, 1),
    "negative probability": (losses.cross_entropy, probabilities, -0.1, (1, 1)),
    "probability NaN": (losses.cross_entropy, probabilities, np.nan, (1, 1)),
    "target above 1": (losses.binary_cross_entropy, probabilities, 1.5, (1, 1)),
}


@table(("loss", "target", "value", "where"), BAD)
@pytest.mark.parametrize("cleared", [True, False])
def test_a_refused_target_is_the_eager_error_and_changes_nothing_more(
    loss, target, value, where, cleared
):
    def make():
        job = dropping()

        def step(x, y):
            if cleared:
                job.optimizer.zero_grad()
            result = loss(job.model(x), y)
            result.backward()
            job.optimizer.step()
            return result

        job.step = step
        return job

    assert_same(make, with_bad(target, value, where))


def clip_by_value(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = losses.mse(model(x), y)
    loss.backward()
    optim.clip_grad_value(model, 0.02)
    optimizer.step()
    return loss


@pytest.mark.parametrize("body", [never_cleared, clipped, clip_by_value, averaged, by_hand])
def test_not_a_number_in_the_data_goes_the_eager_way(body):
    batches = list(regression(12))
    for i in (5, 6, 9):
        batches[i][0][1, 1] = np.nan
    more = [lambda model: optim.average(model, 0.9)] if body is averaged else []
    assert_same(on_mlp(body, more=more), batches)


def test_an_error_between_two_losses_leaves_the_first_step_done():
    def make():
        model = mlp("tanh")
        one, other = optim.Adam(model), optim.SGD(model)

        def step(x, y, labels):
            loss = trained(model, one, x, y)
            losses.cross_entropy(model(x), labels).backward()
            other.step()
            return loss

        return Job(step, list(model.parameters()), [one, other])

    labels = [np.array([0, 1, 0, 1, 2 if i in (5, 9) else 0]) for i in range(12)]
    assert_same(make, [(*b, y) for b, y in zip(regression(12), labels, strict=True)])


class Meanwhile(schedulers.Schedule):
    """A rate that makes a call when it is copied, as another thread might at that moment."""

    call = staticmethod(lambda: None)

    def __call__(self, t):
        return 0.01

    def __deepcopy__(self, memo):
        self.call()
        return self


def refused(step):
    with pytest.raises(IndexError, match="the label of row 0 is 9"):
        step(np.ones((5, 3), F), np.full(5, 9))


def done(step):
    step(np.ones((5, 3), F), np.zeros(5, int))


@pytest.mark.parametrize(("call", "changes"), [(refused, 0), (done, 1)])
def test_only_a_replay_that_changes_an_optimizer_ends_what_another_call_has_begun(call, changes):
    model, rate = nn.MLP([3, 2], rng=0), Meanwhile()
    optimizer = optim.SGD(model, lr=rate)

    @dl.capture
    def step(x, labels):
        losses.cross_entropy(model(x), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        done(step)
    assert step.plan
    rate.call = lambda: call(step)
    if changes:
        with pytest.raises(RuntimeError, match="another call is changing this optimizer"):
            optimizer.state_dict()
    else:
        assert optimizer.state_dict()["t"] == optimizer.t
    assert optimizer.t == 3 + changes


# --- gradients and results are the user's own ----------------------------------------------------


@pytest.mark.parametrize("keep", [lambda i: True, lambda i: i % 2, lambda i: i in (4, 8)])
@pytest.mark.parametrize("part", [lambda g: g, lambda g: g[1:], lambda g: g.T, memoryview])
def test_a_gradient_that_is_kept_keeps_its_numbers(keep, part):
    captured, eager = supervised(mlp("tanh")), supervised(mlp("tanh"))
    step, kept = dl.capture(captured.step), []
    for i, batch in enumerate(regression(14)):
        step(*batch)
        eager.step(*batch)
        if keep(i):
            kept.append((part(captured.params[0].grad), bits(part(eager.params[0].grad))))
        assert captured.look() == eager.look()
    for found, expected in kept:
        assert np.array_equal(found, expected) if part is memoryview else bits(found) == expected


SUMS = {  # the first gradient that reaches x is that of a plain sum, which is a constant
    "x² − x": lambda x: dl.sum(x**2 - x),
    "x + x²": lambda x: dl.sum(x + x**2),
    "x + x": lambda x: dl.sum(x + x),
    "two sums": lambda x: dl.sum(x) + dl.sum(x.T),
    "before and after": lambda x: dl.sum(x) + dl.sum(x * x) + dl.mean(x),
    "views": lambda x: dl.sum(x.reshape(-1) + x.reshape(-1) * x.T.reshape(-1)),
}


@pytest.mark.parametrize("f", SUMS.values(), ids=SUMS)
def test_the_gradients_of_a_parameter_that_is_used_several_times_are_added(f):
    def make():
        x = dl.Tensor(np.random.default_rng(0).uniform(0.3, 2, (3, 2)), requires_grad=True)
        optimizer = optim.Adam([x], lr=0.1)

        def step():
            optimizer.zero_grad()
            loss = f(x)
            loss.backward()
            optimizer.step()
            return loss

        return Job(step, [x], [optimizer])

    assert_same(make, [()] * 8)


def test_a_gradient_that_is_changed_changes_no_later_one():
    captured, eager = supervised(mlp("tanh")), supervised(mlp("tanh"))
    step = dl.capture(captured.step)
    for batch in regression(10):
        step(*batch)
        eager.step(*batch)
        assert captured.look() == eager.look()
        for p in captured.params:
            p.grad[...] = 7


def test_a_gradient_given_to_another_tensor_is_not_written_again():
    job = supervised(mlp("tanh"))
    step, other, before = dl.capture(job.step), dl.Tensor(np.zeros((3, 4)), True), None
    for batch in regression(10):
        step(*batch)
        assert before is None or bits(other.grad) == before
        other.grad = job.params[0].grad
        before = bits(other.grad)


def test_results_are_kept_and_inputs_untouched():
    batches = list(regression(10))
    before, step = bits(batches), dl.capture(supervised(mlp("tanh")).step)
    results = [(result, bits(result)) for result in itertools.starmap(step, batches)]
    assert all(bits(result) == found for result, found in results)
    assert bits(batches) == before


def test_captured_and_eager_steps_and_predictions_in_turn():
    def results(capture):
        model = mlp("tanh")
        optimizer = optim.Adam(model)

        def part(x, y):
            loss = losses.mse(model(x), y) / 4
            loss.backward()
            return loss

        def last(x, y):
            loss = part(x, y)
            optimizer.step()
            optimizer.zero_grad()
            return loss

        steps = [capture(part), capture(last), capture(lambda x, y: model(x)), last]
        for i, batch in enumerate(regression(30)):
            yield bits(steps[i % 7 % 4](*batch))
            yield [(bits(p.data), bits(p.grad), p.version) for p in model.parameters()]

    assert list(results(dl.capture)) == list(results(lambda step: step))


@pytest.mark.parametrize("body", [trained, never_cleared])
def test_gradients_that_the_user_swaps_or_shares(body):
    def results(capture):
        model = nn.MLP([3, 3, 3], "tanh", rng=0)
        optimizer = optim.SGD(model)
        step = capture(lambda x, y: body(model, optimizer, x, y))
        for i, batch in enumerate(regression(14, outputs=3)):
            step(*batch)
            a, b = model[0].weight, model[2].weight
            a.grad, b.grad = b.grad, (b if i % 5 == 4 else a).grad
            yield bits(a.grad), bits(b.grad)

    assert list(results(dl.capture)) == list(results(lambda step: step))


def test_buffers_that_the_user_fills_anew_for_each_batch():
    def filled():
        x, y = np.zeros((5, 3), F), np.zeros((5, 2), F)
        for batch in regression(8):
            x[...], y[...] = batch
            yield x, y

    captured, eager = dl.capture(supervised(mlp()).step), supervised(mlp()).step
    for (a, b), (c, d) in zip(filled(), filled(), strict=True):
        assert bits(captured(a, b)) == bits(eager(c, d))


# --- an epoch by one call ------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(23, 3)).astype(F)

Y = np.random.default_rng(1).normal(size=(23, 2)).astype(F)

PERMUTATION = np.random.default_rng(2).permutation(23)

ORDERS = {
    "none": None,
    "permutation": PERMUTATION,
    "list": PERMUTATION.tolist(),
    "rows twice": np.random.default_rng(3).integers(0, 23, 40),
    "some rows": PERMUTATION[:7],
    "empty": np.array([], int),
    "empty list": [],
    "strided": np.repeat(PERMUTATION, 2)[::2],
    "uint8": PERMUTATION.astype(np.uint8),
    "big-endian": PERMUTATION.astype(">i4"),
}


def loop(job, x, y, batch_size, order, step=None):
    """The losses of an epoch, batch by batch."""
    order = np.arange(len(x)) if order is None else np.asarray(order, int)
    parts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return [(step or job.step)(x[part], y[part]).item() for part in parts]


@table("order", ORDERS)
@pytest.mark.parametrize("batch_size", [1, 4, 23, 30])
def test_an_epoch_is_the_loop(order, batch_size):
    captured, eager = dropping(), dropping()
    step = dl.capture(captured.step)
    for _ in range(3):
        found = step.epoch(X, Y, batch_size=batch_size, order=order)
        assert found.dtype == np.float64
        assert found.tolist() == loop(eager, X, Y, batch_size, order)
        assert captured.look() == eager.look()
    assert bits(step(X[:4], Y[:4])) == bits(eager.step(X[:4], Y[:4]))
    assert captured.look() == eager.look()


WAYS = [never_cleared, cleared_last, accumulated, by_hand, edited_gradients, thrice]


@pytest.mark.parametrize("body", WAYS)
@pytest.mark.parametrize("order", [None, PERMUTATION], ids=["none", "permutation"])
def test_an_epoch_of_each_way_to_write_a_step(body, order):
    captured, eager = on_mlp(body, lr=0.001)(), on_mlp(body, lr=0.001)()
    step = dl.capture(captured.step)
    for _ in range(3):
        found = step.epoch(X, Y, batch_size=5, order=order)
        assert found.tolist() == loop(eager, X, Y, 5, order)
        assert captured.look() == eager.look()


@pytest.mark.parametrize(("rule", "options"), FORMS_OF_RULES, ids=RULE_IDS)
def test_an_epoch_of_each_rule_with_a_schedule(rule, options):
    def make():
        model = mlp("tanh")
        rate = S.CosineDecay(0.01, 9)
        return supervised(model, getattr(optim, rule)(model, **{**options, "lr": rate}))

    captured, eager = make(), make()
    step = dl.capture(captured.step)
    for _ in range(2):
        found = step.epoch(X, Y, batch_size=5, order=PERMUTATION)
        assert found.tolist() == loop(eager, X, Y, 5, PERMUTATION)
        assert captured.look() == eager.look()


CONVERSIONS = {
    "lists": np.ndarray.tolist,
    "tensors": dl.Tensor,
    "strided": doubled,
    "Fortran": np.asfortranarray,
    "read-only": read_only,
}


@table("convert", CONVERSIONS)
@pytest.mark.parametrize("order", [None, PERMUTATION], ids=["none", "permutation"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_epoch_of_each_form_of_data(convert, order, dtype):
    x, y = X.astype(dtype), Y.astype(dtype)
    captured, eager = dropping(), dropping()
    step = dl.capture(captured.step)
    for _ in range(2):
        found = step.epoch(convert(x), convert(y), batch_size=5, order=order)
        assert found.tolist() == loop(eager, x, y, 5, order)
    assert captured.look() == eager.look()


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ((X, Y), {"order": [-1]}, ValueError, "row numbers from 0 to 22, got -1"),
        ((X, Y), {"order": [0, 23]}, ValueError, "row numbers from 0 to 22, got 0 to 23"),
        ((X, Y), {"order": [[1]]}, TypeError, "vector of row numbers"),
        ((X, Y), {"order": [1.0]}, TypeError, "vector of row numbers, got float64"),
        ((X, Y), {"order": np.ones(23, bool)}, TypeError, "vector of row numbers, got bool"),
        ((X, Y), {"order": 3}, TypeError, "order must be a vector"),
        ((X, Y), {"batch_size": 0}, ValueError, "batch_size must be a whole number ≥ 1"),
        ((X, Y), {"batch_size": 2.5}, TypeError, "batch_size must be a whole number ≥ 1"),
        ((X, Y), {"batch_size": True}, TypeError, "batch_size must be a whole number ≥ 1"),
        ((X, Y[:5]), {}, ValueError, "equally many rows, got 23, 5"),
        ((), {}, ValueError, "equally many rows"),
        ((X, 1.0), {}, TypeError, "arrays of numbers with rows"),
        ((X, ["a"] * 23), {}, TypeError, "arrays of numbers with rows"),
        ((X, None), {}, TypeError, "arrays of numbers with rows"),
    ],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_wrong_arguments_of_an_epoch_are_named_and_change_nothing(
    arrays, options, error, message, recorded
):
    job = dropping()
    step = dl.capture(job.step)
    if recorded:
        step.epoch(X, Y, batch_size=5)
    before = job.look()
    with pytest.raises(error, match=re.escape(message)):
        step.epoch(*arrays, **{"batch_size": 5, **options})
    assert job.look() == before


@pytest.mark.parametrize("result", [None, 1.0, np.ones(2), dl.Tensor([1.0, 2.0])], ids=repr)
def test_an_epoch_needs_a_step_that_returns_its_loss(result):
    step = dl.capture(lambda x: result)
    for _ in range(4):
        with pytest.raises(TypeError, match="must return its loss"):
            step.epoch(X, batch_size=5)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i8", ">f4"])
def test_the_losses_of_an_epoch_are_numbers_of_float64(dtype):
    step = dl.capture(lambda x: dl.Tensor(x.sum().astype(dtype), dtype=dtype))
    for _ in range(4):
        losses_of_epoch = step.epoch(np.arange(8).reshape(8, 1), batch_size=4)
        assert (losses_of_epoch.dtype, losses_of_epoch.tolist()) == (np.float64, [6.0, 22.0])


def test_a_refused_label_inside_an_epoch_is_the_error_of_the_loop():
    labels = np.random.default_rng(0).integers(0, 2, 23)
    outcomes = []
    for capture in (False, True):
        job, found = supervised(mlp("tanh"), loss=losses.cross_entropy), []
        step = dl.capture(job.step)
        for epoch in range(4):
            y = labels.copy()
            y[12] = 7 if epoch else 1
            try:
                found.append(step.epoch(X, y, batch_size=5).tolist() if capture
                             else loop(job, X, y, 5, None))  # fmt: skip
            except IndexError as error:
                found.append(str(error))
            found.append(job.look())
        outcomes.append(found)
    assert outcomes[0] == outcomes[1]


def by_python():
    """A step whose rule is in Python."""
    model = mlp("tanh")
    return supervised(model, Sign(model, lr=0.01))


@pytest.fixture
def _ctrl_c_raises():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_raises")
@pytest.mark.parametrize("make", [lambda: supervised(mlp("tanh")), dropping, by_python])
def test_ctrl_c_ends_an_epoch_after_the_running_step(make):
    captured, eager = make(), make()
    step = dl.capture(captured.step)
    x, y = np.tile(X, (4000, 1)), np.tile(Y, (4000, 1))
    step.epoch(x[:20], y[:20], batch_size=5)
    timer = threading.Timer(0.005, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        [step.epoch(x, y, batch_size=5) for _ in range(1000)]
    timer.join()
    steps = captured.optimizers[0].t
    loop(eager, x[:20], y[:20], 5, None)
    places = itertools.cycle(range(0, len(x), 5))
    for i in itertools.islice(places, steps - 4):
        eager.step(x[i : i + 5], y[i : i + 5])
    assert captured.look() == eager.look()
    assert bits(step(x[:5], y[:5])) == bits(eager.step(x[:5], y[:5]))


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no timer sends signals here")
def test_an_epoch_that_a_signal_handler_begins_again_is_an_error():
    job = supervised(mlp("tanh"))
    step, messages = dl.capture(job.step), []
    x, y = np.tile(X, (1000, 1)), np.tile(Y, (1000, 1))
    step.epoch(x[:20], y[:20], batch_size=5)

    def again(*_):
        try:
            step(x[:5], y[:5])
        except RuntimeError as error:
            messages.append(str(error))

    before = signal.signal(signal.SIGALRM, again)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        while not messages:
            step.epoch(x, y, batch_size=5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert "running this captured step" in messages[0]


# --- the plan ------------------------------------------------------------------------------------


class Trainer:
    def __init__(self):
        self.model = mlp("tanh")
        self.optimizer = optim.Adam(self.model)
        self.step = dl.capture(self.take)

    def take(self, x, y):
        return trained(self.model, self.optimizer, x, y)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_makes_plans_of_its_own(copied):
    batches, trainer = list(regression(4)), Trainer()
    for batch in batches:
        trainer.step(*batch)
    other = copied(trainer)
    found = [[bits(one.step(*batch)) for batch in batches] for one in (other, trainer)]
    assert found[0] == found[1]
    assert other.step.plan is not trainer.step.plan
    with pytest.raises(dl.CaptureError, match="no plan yet"):
        copy.copy(trainer.step).plan  # noqa: B018


def test_replays_need_no_more_memory():
    step, (batch,) = dl.capture(dropping().step), regression(1)
    for _ in range(100):
        step(*batch)
    tracemalloc.start()
    try:
        step(*batch)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10_000):
            step(*batch)
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_a_dropped_step_and_what_it_learned_with_die_at_once(calls):
    gc.collect()
    gc.disable()
    try:
        job = dropping()
        step = dl.capture(job.step)
        for batch in regression(calls):
            step(*batch)
        alive = [weakref.ref(step)]
        alive += [weakref.ref(step.plan)] if calls > 1 else []
        del step
        assert [reference() for reference in alive] == [None] * len(alive)
        alive = [weakref.ref(job.model), weakref.ref(job.optimizer)]
        del job
        assert [reference() for reference in alive] == [None, None]
    finally:
        gc.enable()


def test_two_threads_at_once_get_an_error_or_whole_steps():
    job = supervised(mlp("tanh", (3, 100, 2)), None)
    step, errors, done = dl.capture(job.step), [], []
    batches = list(regression(3, rows=100))
    for batch in batches:
        step(*batch)

    def steps():
        for _ in range(50):
            try:
                done.append(step(*batches[0]))
            except RuntimeError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=steps) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert job.optimizers[0].t == 3 + len(done)
    assert len(done) + len(errors) == 100
    assert all("thread" in error for error in errors)


def test_a_plan_keeps_its_arrays_while_it_runs():
    class Meddling(schedulers.Schedule):
        def __call__(self, t):
            if t == 5:
                kept.append(weakref.ref(job.params[0].data))
                job.params[0].data = job.params[0].data.copy()
                with pytest.raises(RuntimeError, match="running this captured step"):
                    step(*batch)
                kept.append(kept[0]())
            return 0.01

    job = on_mlp(trained, lr=Meddling())()
    step, (batch,), kept = dl.capture(job.step), regression(1), []
    for _ in range(6):
        step(*batch)
        job.params[0].data = job.params[0].data.copy()  # the recorded ones are kept anyway
    assert kept[1] is not None


def test_ever_new_shapes_run_as_python_with_one_warning():
    factor = dl.Tensor(2.0, requires_grad=True)

    @dl.capture
    def total(x):
        return (factor * x).sum()

    with pytest.warns(RuntimeWarning, match="last 16 calls had to be recorded") as caught:
        results = [total(np.ones(n, np.float32)).item() for n in range(1, 41)]
    assert results == [2.0 * n for n in range(1, 41)]
    assert len(caught) == 1


def test_calls_that_fail_do_not_count_as_recorded_ones():
    w = dl.Tensor(np.ones(3), requires_grad=True)
    step = dl.capture(lambda x: (w * x).sum())
    for rows in range(4, 44):
        with pytest.raises(ValueError, match="shape"):
            step(np.ones(rows))
    for _ in range(3):
        assert step(np.ones(3)).item() == 3
    assert step.plan


def test_a_recording_is_forgotten_when_a_plan_replaces_it():
    step = dl.capture(lambda x: dl.sum(dl.Tensor(x) * 2))
    step(np.ones(3))
    first = weakref.ref(step._pending[0][2])
    step(np.ones(3))
    gc.collect()
    assert first() is None
    assert step(np.ones(3)).item() == 6
