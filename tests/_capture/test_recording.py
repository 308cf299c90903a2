"""Each op, rule, schedule, loss, model and way to write a step, captured: the eager bits."""

import collections
import copy
import itertools
import types

import numpy as np
import pytest
from capturing import (
    FRESH,
    RULE_IDS,
    Embedding,
    F,
    HalfAdam,
    Job,
    Norm,
    Sign,
    accumulated,
    assert_same,
    averaged,
    bits,
    by_hand,
    cleared_last,
    clipped,
    cube,
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
from cases import FORMS_OF_RULES, PUBLIC, Residual, each_case
from optimizing import Failing

import minidl as dl
from minidl import losses, nn, optim, schedulers


@pytest.mark.parametrize(
    "activation",
    ["relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_activation(activation, dtype):
    def make():
        with dl.default_dtype(dtype):
            return supervised(mlp(activation))

    assert_same(make, regression(dtype=dtype))


@pytest.mark.parametrize(("rule", "options"), FORMS_OF_RULES, ids=RULE_IDS)
@pytest.mark.parametrize("more", [{}, {"weight_decay": 0.1, "maximize": True}], ids=["", "decay"])
def test_each_form_of_each_rule(rule, options, more):
    def make():
        model = mlp("tanh")
        return supervised(model, getattr(optim, rule)(model, **{**options, **more}))

    assert_same(make, regression(8))


S = schedulers

SCHEDULES = [
    S.StepDecay(0.1, 3, 0.5),
    S.ExponentialDecay(0.1, 0.9),
    S.InverseTimeDecay(0.1, 0.5, staircase=True, steps=2),
    S.PolynomialDecay(0.1, 9, power=2.0),
    S.CosineDecay(0.1, 9),
    S.CosineRestarts(0.1, 3, multiply=2),
    S.InverseSqrtDecay(0.1, 4),
    S.PiecewiseConstant([2, 5], [0.1, 0.2, 0.3]),
    S.Triangular(0.01, 0.1, 3),
    S.OneCycle(0.1, 10),
    S.WarmUp(S.CosineDecay(0.1, 10), 4),
    S.CoolDown(0.1, 4, 4),
    S.ReduceOnPlateau(0.1, patience=0),
    Failing(0.02, 4),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_each_schedule(schedule):
    def make():
        model, rate = mlp("tanh"), copy.deepcopy(schedule)
        job = supervised(model, optim.Adam(model, lr=rate))
        job.rate = rate
        return job

    def observe(job, i):
        if isinstance(job.rate, S.ReduceOnPlateau):
            job.rate.observe(1.0)

    assert_same(make, regression(10), observe)


def numbers(rng):
    return rng.normal(size=(5, 2)).astype(F)


LOSSES = {
    "mse": (losses.mse, numbers, {}),
    "mae": (losses.mae, numbers, {}),
    "huber": (losses.huber, numbers, {"delta": 0.3}),
    "bce": (losses.binary_cross_entropy, lambda rng: rng.uniform(size=(5, 2)).astype(F), {}),
    "labels": (losses.cross_entropy, lambda rng: rng.integers(0, 2, 5), {}),
    "smoothed": (losses.cross_entropy, lambda rng: rng.integers(0, 2, 5), {"label_smoothing": 0.1}),
    "soft": (losses.cross_entropy, probabilities, {}),
    "soft smoothed": (losses.cross_entropy, probabilities, {"label_smoothing": 0.1}),
    **{
        f"labels {d}": (losses.cross_entropy, lambda rng, d=d: rng.integers(0, 2, 5, d), {})
        for d in ("int8", "uint8", "uint16", "int32", "uint64")
    },
}


@table(("loss", "target", "options"), LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_each_loss(loss, target, options, reduction):
    def value(prediction, y):
        result = loss(prediction, y, reduction, **options)
        return (result * result).mean() if reduction == "none" else result

    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(5, 3)).astype(F), target(rng)) for _ in range(6)]
    assert_same(lambda: supervised(mlp("tanh"), loss=value), batches)


@each_case
def test_each_op(name, arrays, options):
    function = PUBLIC.get(name, getattr(dl, name, None))

    def make():
        leaves = [dl.Tensor(x, requires_grad=True, dtype=np.float64) for x in arrays]
        optimizer = optim.Adam(leaves, lr=1e-4)

        def step(factor):
            optimizer.zero_grad()
            loss = ((function(*leaves, **options) * factor) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        return Job(step, leaves, [optimizer])

    assert_same(make, [(np.array(1 + 0.1 * i),) for i in range(4)])


FORMS = {
    "strided": doubled,
    "Fortran": np.asfortranarray,
    "backwards": lambda x: x[::-1],
    "lists": np.ndarray.tolist,
    "tensors": dl.Tensor,
    "read-only": read_only,
    "float16": lambda x: x.astype(np.float16),
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    **{f"{d}": lambda x, d=d: (5 * abs(x)).astype(d) for d in ("int8", "uint16", "int64", "bool")},
}


@table("form", FORMS)
def test_each_form_of_the_inputs(form):
    assert_same(lambda: supervised(mlp()), [tuple(map(form, batch)) for batch in regression()])


def test_forms_that_alternate_make_the_same_steps():
    forms = itertools.cycle([np.asarray, doubled, np.asfortranarray, read_only])
    batches = [(form(x), form(y)) for form, (x, y) in zip(forms, regression(16), strict=False)]
    assert_same(lambda: supervised(mlp()), batches)


def three_axes(steps=6):
    rng = np.random.default_rng(0)
    shapes = [(2, 5, 3), (2, 5, 2)]
    return [tuple(rng.normal(size=s).astype(F) for s in shapes) for _ in range(steps)]


def indices(dtype):
    rng = np.random.default_rng(0)
    rows = lambda: rng.integers(0, 7, 4).astype(dtype)  # noqa: E731
    return [(rows(), rows(), rng.normal(size=(4, 2)).astype(F)) for _ in range(6)]


def layers(*middle, **options):
    return nn.Sequential(
        nn.Dense(3, 4, rng=0, **options), *middle, nn.Dense(4, 2, rng=1, **options)
    )


def with_adam(make_model):
    def make():
        model = make_model()
        return supervised(model, optim.Adam(model, lr=0.01))

    return make


class Tied(nn.Module):
    """A weight that is used twice, once transposed."""

    def __init__(self):
        self.weight = dl.Tensor(np.linspace(-1, 1, 12).reshape(3, 4), requires_grad=True)

    def forward(self, x):
        return dl.tanh(x @ self.weight) @ self.weight.T


def own_op():
    model = nn.Dense(3, 2, rng=0)
    loss = lambda prediction, y: losses.mse(cube(0.1 * prediction), y)  # noqa: E731
    return supervised(model, loss=loss)


SIX = [(x.repeat(2, 1), y.repeat(3, 1)[:, :5]) for x, y in regression()]

MODELS = {
    "dropout": (dropping, None),
    "batch norm": (with_adam(lambda: layers(Norm(4), nn.ReLU())), None),
    "no bias": (with_adam(lambda: layers(nn.GELU(), bias=False)), None),
    "three axes": (with_adam(lambda: layers(nn.ReLU())), three_axes()),
    "one axis": (with_adam(lambda: layers(nn.ReLU())), [(x[0], y[0]) for x, y in regression()]),
    "one row": (with_adam(mlp), list(regression(rows=1))),
    "residual": (with_adam(lambda: Residual(0)), SIX),
    "own op": (own_op, None),
    "a weight used twice": (with_adam(Tied), [(x, x) for x, _ in regression()]),
    **{f"embedding {d}": (with_adam(Embedding), indices(d)) for d in ("int64", "uint8", "int32")},
}


@table(("make", "batches"), MODELS)
def test_each_kind_of_model(make, batches):
    assert_same(make, batches or regression(8))


def groups(model):
    w, b, *rest = model.parameters()
    parts = [
        {"params": [w], "lr": 0.1},
        {"params": [b], "lr": S.CosineDecay(0.1, 6), "betas": (0.5, 0.6)},
        {"params": rest, "weight_decay": 0.3},
    ]
    return optim.Adam(parts, lr=0.01)


OPTIMIZERS = {
    "groups": groups,
    "own rule": lambda model: Sign(model, lr=0.1),
    "own rule, schedule": lambda model: Sign(model, lr=S.CosineDecay(0.1, 6), weight_decay=0.1),
    "subclass": lambda model: HalfAdam(model, lr=0.1),
}


@table("rule", OPTIMIZERS)
def test_groups_and_rules_of_ones_own(rule):
    def make():
        model = mlp("tanh")
        return supervised(model, rule(model))

    assert_same(make, regression(8))


def only_gradients(model, optimizer, x, y):
    loss = losses.mse(model(x), y)
    loss.backward()
    return loss


def only_forward(model, optimizer, x, y):
    with dl.no_grad():
        return {"prediction": model(x), "target": [y, 3, None]}


def penalized(model, optimizer, x, y):
    penalty = sum(((p**2).sum() for p in model.parameters()), start=dl.Tensor(0.0))
    optimizer.zero_grad()
    loss = losses.mse(model(x), y) + 0.01 * penalty
    loss.backward()
    optimizer.step()
    return loss


def by_numpy(model, optimizer, x, y):
    x = np.where(x > 0, (x - x.mean(0)) / x.std(0), 0.1 * x)
    loss = trained(model, optimizer, x, np.clip(y, -1, 1) + np.sin(y))
    return {"loss": loss, "right": (model(x).argmax(1) == np.argmax(y, 1)).mean()}


def seeded(model, optimizer, x, y):
    optimizer.zero_grad()
    prediction = model(x)
    prediction.backward(2 * (prediction.data - y))
    optimizer.step()
    return prediction


def partly_constant(model, optimizer, x, y):
    with dl.no_grad():
        hidden = model(x).sum()
    return trained(model, optimizer, x + hidden, y)


def constant_gradients(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = model(x).sum()  # the gradient of the last bias is the number of samples
    loss.backward()
    optimizer.step()
    return loss


def constant_gradients_alone(model, optimizer, x, y):
    optimizer.zero_grad()
    (model(x).sum() + x.sum()).backward()


def assigned_gradients(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = losses.mse(model(x), y)
    loss.backward()
    for p in model[0].parameters():
        p.grad = np.full(p.shape, 0.5, p.dtype)
    optimizer.step()
    return loss


def clipped_weights(model, optimizer, x, y):
    loss = trained(model, optimizer, x, y)
    for p in model.parameters():
        p.data[...] = np.clip(p.data, -0.3, 0.3)
    return loss


def returned(model, optimizer, x, y):
    loss = trained(model, optimizer, x, y)
    arrays = x, x[1:], x.T, y.reshape(-1), model[0].weight.grad, model[0].weight.data, loss.data
    return [*arrays, dl.Tensor(x).T, loss.reshape(1, 1)]


def returned_strided(model, optimizer, x, y):
    return model(x).T[::2]


STEPS = {
    "clipping": on_mlp(clipped),
    "average": on_mlp(averaged, more=[lambda model: optim.average(model, 0.9)]),
    **{
        f.__name__.replace("_", " "): on_mlp(f)
        for f in (
            *(accumulated, never_cleared, cleared_last, only_gradients, only_forward, by_hand),
            *(penalized, thrice, by_numpy, seeded, partly_constant, edited_gradients, returned),
            *(
                returned_strided,
                clipped_weights,
                constant_gradients,
                constant_gradients_alone,
                assigned_gradients,
            ),
        )
    },
}


@table("make", STEPS)
def test_each_way_to_write_a_step(make):
    assert_same(make, regression(8))


def test_two_networks_against_each_other():
    def make():
        maker, judge = mlp("tanh"), nn.MLP([2, 3, 1], rng=1)
        of_maker, of_judge = optim.Adam(maker), optim.RMSprop(judge, momentum=0.5)
        ones, zeros = np.ones((5, 1), F), np.zeros((5, 1), F)

        def step(x, y):
            of_judge.zero_grad()
            doubt = losses.binary_cross_entropy(judge(y), ones)
            doubt = doubt + losses.binary_cross_entropy(judge(maker(x).detach()), zeros)
            doubt.backward()
            of_judge.step()
            of_maker.zero_grad()
            fooled = losses.binary_cross_entropy(judge(maker(x)), ones)
            fooled.backward()
            of_maker.step()
            return doubt, fooled

        return Job(step, [*maker.parameters(), *judge.parameters()], [of_maker, of_judge])

    assert_same(make, regression(8))


@pytest.mark.parametrize("rule", ["Adam", "Nadam"])
def test_a_thousand_steps(rule):
    def make():
        model = mlp("tanh")
        rate = S.CosineRestarts(0.01, 30)
        return supervised(model, getattr(optim, rule)(model, lr=rate))

    assert_same(make, regression(1000))


def test_a_plan_is_only_for_arguments_given_in_the_same_way():
    def make():
        model = mlp("tanh")
        optimizer = optim.SGD(model)

        def step(x, y, scale=1.0, more=None):
            factor = 2.0 if isinstance(x, dl.Tensor) else scale
            return trained(model, optimizer, x, y if more is None else more * 3, scale=factor)

        return Job(step, list(model.parameters()), [optimizer])

    captured, eager = make(), make()
    step = dl.capture(captured.step)
    calls = [
        lambda f, x, y: f(x, y, 3.0),
        lambda f, x, y: f(x, y),
        lambda f, x, y: f(dl.Tensor(x), y),
        lambda f, x, y: f(x, y, more=y),
        lambda f, x, y: f(x, y=y),
        lambda f, x, y: f(x, None, 1.0, y),
    ]
    for call in calls * 2:
        for batch in regression(3):
            assert bits(call(step, *batch)) == bits(call(eager.step, *batch))
    assert captured.look() == eager.look()


def test_byte_orders_that_alternate():
    def make():
        model = mlp("tanh")
        step = lambda x, y: losses.mse(model(x.astype(F)), y)  # noqa: E731
        return Job(step, list(model.parameters()))

    kinds = itertools.cycle(["<f4", ">f4", ">f4", "<f4"])
    assert_same(make, [(x.astype(k), y) for (x, y), k in zip(regression(16), kinds, strict=False)])


class Fitted:
    """A captured method."""

    def __init__(self):
        self.job = supervised(mlp("tanh"))

    @dl.capture
    def step(self, x, y):
        return self.job.step(x, y)


class Scaled(Fitted):
    """A captured method that calls the captured one of its base class."""

    @dl.capture
    def step(self, x, y):
        return super().step(x, y) * 2


def test_a_shallow_copy_of_an_object_has_a_step_of_its_own():
    original = Fitted()
    list(itertools.starmap(original.step, FRESH[:3]))
    other, before = copy.copy(original), bits(original.job)
    other.job = supervised(mlp("tanh"))
    list(itertools.starmap(other.step, FRESH))
    assert bits(original.job) == before


def test_a_captured_method_never_takes_that_of_the_base_class_for_itself():
    scaled, plain = Scaled(), supervised(mlp("tanh"))
    for x, y in FRESH:
        assert scaled.step(x, y).item() == 2 * plain.step(x, y).item()


def test_a_trace_inside_a_captured_step_is_an_error_that_says_so():
    def body(model, optimizer, x, y):
        with dl.trace():
            return trained(model, optimizer, x, y)

    with pytest.raises(RuntimeError, match="open it around the call"):
        dl.capture(on_mlp(body)().step)(*FRESH[0])


Pair = collections.namedtuple("Pair", ["loss", "prediction"])


def closed_coroutine(loss):
    async def later():
        return loss

    coroutine = later()
    coroutine.close()  # or Python warns that it was never awaited
    return coroutine


@table(
    "result",
    {
        "a generator": lambda loss: (part for part in (loss,)),
        "a coroutine": closed_coroutine,
        "a named tuple": lambda loss: Pair(loss, None),
        "an object": lambda loss: types.SimpleNamespace(loss=loss),
        "the values of a dict": lambda loss: {"loss": loss}.values(),
    },
)
def test_a_result_that_a_replay_would_not_make_anew_is_refused(result):
    step = supervised(mlp("tanh")).step
    captured = dl.capture(lambda x, y: result(step(x, y)))
    with pytest.raises(dl.CaptureError, match=r"it returns a .*Return tensors, arrays and numbers"):
        captured(*FRESH[0])
