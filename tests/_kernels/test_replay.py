"""What a replay compares, and the tensor that it returns."""

import collections

import numpy as np
import pytest
from interrupting import FAILURES, each_failed_allocation

import minidl as dl
from minidl import losses, nn, optim, schedulers
from minidl._kernels import replay

F = np.float32


class Thing:
    k = 1.0


@pytest.mark.parametrize(
    ("container", "key", "value", "same"),
    [
        ({"a": 1.0}, "a", 1.0, True),
        ({"a": 1.0}, "a", 2.0, False),
        ({"a": 1}, "a", 1.0, False),
        ({"a": True}, "a", 1, False),
        ({"a": "x" * 50}, "a", "".join(["x"] * 50), True),
        ({}, "a", 1.0, False),
        ({"a": (1, 2)}, "a", [1, 2], False),
        ([1, 2], 1, 2, True),
        ([1], 1, 2, False),
        (collections.deque([1, 2]), 1, 2, True),
        ([1, 2], len, 2, True),
        ([1, 2], len, 3, False),
        ({"a": 1}, len, 1, True),
        (Thing(), "k", 1.0, True),
        (Thing(), "missing", 1.0, False),
        (Thing, "k", 1.0, True),
        (Thing, "k", 2.0, False),
        (collections.OrderedDict(a=3), "a", 3, True),
        ({"a": float("nan")}, "a", float("nan"), True),
    ],
)
def test_what_has_been_read_is_the_same_object_or_an_equal_number_or_text(
    container, key, value, same
):
    assert replay.same(container, key, value) is same


def test_an_array_is_the_same_only_as_the_same_object():
    x = np.ones(2)
    assert replay.same({"x": x}, "x", x)
    assert not replay.same({"x": x}, "x", x.copy())


@pytest.mark.parametrize(
    "array",
    [np.array(2.0, F), np.ones((2, 3)), np.ones((0, 2)), np.arange(12.0).reshape(3, 4).T[::2]],
)
def test_a_constant_is_a_computed_tensor_with_an_array_of_its_own(array):
    tensor = replay.constant(dl.Tensor, array)
    assert tensor.data is not array
    assert (tensor.shape, tensor.dtype) == (array.shape, array.dtype)
    assert tensor.data.tobytes() == array.tobytes()
    assert not tensor.requires_grad
    assert tensor.is_leaf
    assert tensor.name is None
    assert repr(tensor) == repr(dl.Tensor(array, dtype=array.dtype))
    with pytest.warns(UserWarning, match="result of an op"):
        assert tensor.grad is None


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([None]), np.arange(3)])
def test_a_constant_of_another_kind_of_array_is_a_copy(array):
    copied = replay.constant(dl.Tensor, array)._data
    assert copied is not array
    assert copied.dtype == array.dtype
    assert copied.tolist() == array.tolist()


# --- failures -----------------------------------------------------------------------------------


def recorded(rate=0.01):
    """A captured step that has a plan, after so many steps that a count needs memory."""
    model = nn.MLP([3, 4, 2], rng=0)
    optimizer = optim.Adam(model, lr=rate)

    @dl.capture
    def step(x, y):
        optimizer.zero_grad()
        loss = losses.mse(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step.epoch(X, Y, batch_size=1)
    step.model, step.optimizer, step.losses = model, optimizer, []
    return step


def state(step):
    """All that an update changes."""
    params = [(p.data.tobytes(), p.version) for p in step.model.parameters()]
    states = {p: repr(s) for p, s in step.optimizer.state.items()}
    return params, step.optimizer.t, [*states.values()]


X = np.random.default_rng(0).standard_normal((260, 3)).astype(F)
Y = np.random.default_rng(1).standard_normal((260, 2)).astype(F)


@FAILURES
@pytest.mark.parametrize(
    "rate", [0.01, schedulers.CosineDecay(0.1, 1000)], ids=["number", "schedule"]
)
def test_a_replay_is_made_whole_or_not_at_all(failures, rate):
    reference, states = recorded(rate), []
    for _ in range(3):
        states.append(state(reference))
        reference(X[:1], Y[:1])
    for step in failures(lambda: recorded(rate), lambda step: step(X[:1], Y[:1])):
        found = states.index(state(step))
        assert found < 2
        step(X[:1], Y[:1])
        assert state(step) == states[found + 1]


@pytest.mark.forked
def test_an_epoch_without_memory_ends_after_whole_steps_with_their_losses():
    reference = recorded()
    states = [state(reference)]
    for i in range(6):
        reference(X[i : i + 1], Y[i : i + 1])
        states.append(state(reference))

    def take(step):
        list(step._steps((X[:6], Y[:6]), 1, None, step.losses))

    for step in each_failed_allocation(recorded, take):
        assert state(step) == states[len(step.losses)]


# --- malformed calls ------------------------------------------------------------------------------

IN_ORDER = np.arange(260)


@pytest.mark.parametrize(
    ("sources", "arguments"),
    [
        ((X,), (1, 1)),
        ((X, Y, Y), (1, 1)),
        ((X, Y), (0, 1)),
        ((X, Y), (-1, 1)),
        ((X, Y), (1, -1)),
        ((X, Y), (1, 261)),
        ((X, Y[:5]), (1, 6)),
        ((X, Y), (1, 2**62)),
        ((X, Y), (2**62, 2**62)),
        ((X, Y.astype(float)), (1, 1)),
        ((X, Y.astype(">f4")), (1, 1)),
        ((X, Y.tolist()), (1, 1)),
        ((X, None), (1, 1)),
        ((X[:, ::-1], Y), (1, 1)),
        ((X, Y), (1, 261, IN_ORDER)),
        ((X, Y), (1, 2**62, IN_ORDER)),
        ((X, Y), (1, 1, IN_ORDER.astype(np.int32))),
        ((X, Y), (1, 1, IN_ORDER[::2])),
        ((X, Y), (1, 1, [0])),
        ((X, Y[:5]), (1, 6, IN_ORDER)),
        ((), (1, 1, IN_ORDER)),
    ],
)
def test_a_run_on_arrays_without_the_rows_of_its_steps_is_an_error(sources, arguments):
    step = recorded()
    before = state(step)
    with pytest.raises(ValueError, match=r"run: .* steps of .* rows need contiguous arrays"):
        step.runner.run(sources, *arguments)
    assert state(step) == before
    step(X[:1], Y[:1])


def test_rows_without_entries_and_bytes_in_another_order_are_replayed():
    model = nn.MLP([3, 2], rng=0)

    @dl.capture
    def step(empty, x):
        return losses.mse(model(x.astype(F)), np.zeros((2, 2), F)) + np.sum(empty)

    empty, swapped = np.ones((6, 0), F), X[:6].astype(">f4")
    expected = [step(empty[i : i + 2], swapped[i : i + 2]).item() for i in (0, 2, 4)]
    assert step.epoch(empty, swapped, batch_size=2).tolist() == expected
    order = np.array([4, 5, 0, 1])
    assert step.epoch(empty, swapped, batch_size=2, order=order).tolist() == [
        expected[2],
        expected[0],
    ]


def test_a_replay_that_one_optimizer_refuses_leaves_the_others_free():
    models = nn.Dense(2, 1, rng=0), nn.Dense(2, 1, rng=1)
    one, two = (optim.SGD(model, lr=0.1) for model in models)
    x = np.ones((3, 2), F)

    @dl.capture
    def step(x):
        for model, rule in zip(models, (one, two), strict=True):
            rule.zero_grad()
            model(x).sum().backward()
            rule.step()

    for _ in range(3):
        step(x)
    with pytest.raises(RuntimeError, match="another call"):
        two._turns.call(two._turns.begin(), step, x)
    assert (one.t, two.t) == (3, 3)
    one.step()
    step(x)
    assert (one.t, two.t) == (5, 4)
