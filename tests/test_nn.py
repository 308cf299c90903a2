"""Modules, layers and initial weights, against NumPy and the formulas of their papers."""

import contextlib
import copy
import gc
import json
import math
import operator
import pickle
import sys

import numpy as np
import pytest
from cases import GOLDEN
from interrupting import each_interruption

import minidl as dl
from minidl import nn, tensor


class Net(nn.Module):
    """A module with parameters wherever they may be."""

    def __init__(self):
        self.scale = dl.Tensor([1.0, 2.0], requires_grad=True)
        self.inner = nn.Sequential(nn.Dense(2, 3, rng=0), nn.ReLU())
        self.several = [nn.Dense(3, 2, rng=1), (dl.Tensor(4.0, requires_grad=True),)]
        self.named = {"last": nn.Dense(2, 1, rng=2), "drop": nn.Dropout(0.5, rng=0)}
        self.text, self.array = "not a parameter", np.ones(3)

    def forward(self, x):
        h = self.several[0](self.inner(x * self.scale)) * self.several[1][0]
        return self.named["drop"](self.named["last"](h))


NET_NAMES = [
    "scale",
    "inner.dense1.weight",
    "inner.dense1.bias",
    "several.0.weight",
    "several.0.bias",
    "several.1.0",
    "named.last.weight",
    "named.last.bias",
]


class Child(nn.Module):
    def __init__(self, parent):
        self.parent, self.own = parent, dl.Tensor(1.0, requires_grad=True)


class Parent(nn.Module):
    def __init__(self):
        self.child = Child(self)
        self.own = dl.Tensor([1.0, 2.0], requires_grad=True)


# --- Module -------------------------------------------------------------------------------------


def test_parameters_are_found_in_attributes_modules_lists_tuples_and_dicts():
    net = Net()
    names, tensors = zip(*net.named_parameters(), strict=True)
    assert list(names) == NET_NAMES
    assert [t.name for t in tensors] == NET_NAMES
    assert all(a is b for a, b in zip(tensors, net.parameters(), strict=True))
    assert tensors[0] is net.scale
    assert tensors[5] is net.several[1][0]
    assert tensors[6] is net.named["last"].weight


def test_a_shared_parameter_counts_once():
    net = nn.Sequential(nn.Dense(2, 2, rng=0), nn.Dense(2, 2, rng=1))
    net[1].weight = net[0].weight
    assert [n for n, _ in net.named_parameters()] == ["dense1.weight", "dense1.bias", "dense2.bias"]
    assert repr(net).endswith("# 8 parameters, float32")


def test_a_shared_module_counts_once_and_is_used_twice():
    layer = nn.Dense(2, 2, rng=0)
    net = nn.Sequential(layer, nn.Tanh(), layer)
    assert len(list(net.parameters())) == 2
    assert list(net.modules()) == [net, layer, net[1]]
    x = np.array([[0.3, -0.2]], np.float32)
    w = layer.weight.data
    np.testing.assert_allclose(net(x).data, np.tanh(x @ w) @ w, rtol=1e-6)
    net(x).sum().backward()
    assert layer.weight.grad is not None


def test_a_module_that_refers_to_its_parent_is_walked_once():
    parent = Parent()
    assert [n for n, _ in parent.named_parameters()] == ["child.own", "own"]
    assert list(parent.modules()) == [parent, parent.child]
    assert not parent.eval().child.training
    twin = copy.deepcopy(parent)
    assert twin.child.parent is twin


def test_the_repr_of_a_module_that_refers_to_its_parent_ends():
    text = repr(Parent())
    assert text.startswith("Parent(\n")
    assert text.endswith("# 3 parameters, float32")


def test_the_repr_of_a_layer_does_not_rename_its_parameters():
    net = nn.MLP([2, 3, 1], rng=0)
    optimizer = dl.optim.Adam(net)
    before = [p.name for p in net.parameters()]
    repr(net[0])
    assert [p.name for p in (net[0].weight, net[0].bias, net[2].weight, net[2].bias)] == before
    assert list(optimizer.state_dict()["state"]) == before


def test_a_frozen_parameter_is_left_alone_by_optimizers():
    net = nn.MLP([2, 3, 1], "tanh", rng=0)
    net[0].weight.requires_grad = False
    before = net.state_dict()
    x = np.ones((4, 2))
    for _ in range(3):
        optimizer = dl.optim.Adam(net, weight_decay=0.1)
        dl.losses.mse(net(x), np.ones((4, 1))).backward()
        optimizer.step()
    after = net.state_dict()
    unchanged = [name for name in before if np.array_equal(before[name], after[name])]
    assert unchanged == ["dense1.weight"]
    assert net[0].weight.grad is None


def test_a_parameter_frozen_after_backward_is_left_alone_too():
    layer = nn.Dense(1, 1, rng=0)
    optimizer = dl.optim.SGD(layer, lr=0.1)
    dl.losses.mse(layer([[1.0]]), [[3.0]]).backward()
    layer.weight.requires_grad = False
    before = layer.state_dict()
    optimizer.step()
    assert np.array_equal(layer.weight.data, before["weight"])
    assert not np.array_equal(layer.bias.data, before["bias"])


def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match=r"Empty has no forward method: define forward"):
        Empty()(1.0)
    assert list(Empty().parameters()) == []
    assert repr(Empty()) == "Empty()"


def test_train_and_eval_reach_every_module_and_return_the_module():
    net = Net()
    assert [m.training for m in net.modules()] == [True] * 7
    assert net.eval() is net
    assert [m.training for m in net.modules()] == [False] * 7
    assert net.train() is net
    assert [m.training for m in net.modules()] == [True] * 7
    net.inner.eval()
    assert (net.training, net.inner[0].training, net.named["drop"].training) == (True, False, True)


def test_zero_grad_forgets_every_gradient():
    net = Net()
    net(np.ones((4, 2))).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


# --- state --------------------------------------------------------------------------------------


def test_state_dict_is_a_copy_by_name():
    net = Net()
    state = net.state_dict()
    assert list(state) == NET_NAMES
    for name, parameter in net.named_parameters():
        assert np.array_equal(state[name], parameter.data)
        assert not np.shares_memory(state[name], parameter.data)


def test_load_state_dict_restores_values_whatever_their_order():
    net, other = nn.MLP([2, 3, 1], rng=0), nn.MLP([2, 3, 1], rng=1)
    state = dict(reversed(net.state_dict().items()))
    other.load_state_dict(state)
    x = np.ones((4, 2))
    assert np.array_equal(net(x).data, other(x).data)
    state["dense1.weight"][:] = 7
    assert np.array_equal(net(x).data, other(x).data)


def test_load_state_dict_converts_to_the_dtype_of_the_parameter():
    layer = nn.Dense(1, 2, rng=0)
    layer.load_state_dict({"weight": np.array([[1 / 3, 2.0]]), "bias": [1, 2]})
    assert (layer.weight.dtype, layer.bias.dtype) == (np.float32, np.float32)
    assert layer.weight.data.tolist() == [[np.float32(1 / 3), 2]]
    assert layer.bias.data.tolist() == [1, 2]


DENSE = json.loads((GOLDEN / "dense.json").read_text())["cases"]


@pytest.mark.parametrize("case", DENSE, ids=lambda case: case["library"])
def test_a_dense_layer_takes_the_weights_of_pytorch_and_keras_and_computes_the_same(case):
    with dl.default_dtype("float64"):
        layer = nn.Dense(3, 2, bias=len(case["weights"]) == 2, rng=0)
    if case["library"] == "torch":
        weights = {name: np.array(p) for name, p in case["weights"].items()}
        layer.load_state_dict({name: p.T for name, p in weights.items()})
    else:
        layer.load_state_dict(dict(zip(("weight", "bias"), case["weights"], strict=False)))
        for own, array in zip(layer.state_dict().values(), case["weights"], strict=True):
            assert np.array_equal(own, array)  # what Keras's set_weights takes
    np.testing.assert_allclose(layer(case["x"]).data, case["y"], rtol=1e-14)


def test_weights_go_to_pytorch_and_back():
    torch = pytest.importorskip("torch")
    layer, linear, back = nn.Dense(3, 2, rng=0), torch.nn.Linear(3, 2), nn.Dense(3, 2, rng=1)
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    weight, bias = map(torch.tensor, layer.state_dict().values())
    linear.load_state_dict({"weight": weight.T, "bias": bias})
    np.testing.assert_allclose(linear(torch.tensor(x)).detach(), layer(x).data, rtol=1e-5)
    back.load_state_dict({"weight": linear.weight.detach().T, "bias": linear.bias.detach()})
    assert all(map(np.array_equal, back.state_dict().values(), layer.state_dict().values()))
    with pytest.raises(TypeError, match=r"PyTorch that requires a gradient: .* x\.detach\(\)"):
        back.load_state_dict({"weight": linear.weight.T, "bias": linear.bias})


def test_loading_between_forward_and_backward_is_noticed():
    layer = nn.Dense(2, 1, rng=0)
    dl.optim.SGD(layer)
    versions = [p.version for p in layer.parameters()]
    loss = layer(np.ones((1, 2))).sum()
    layer.load_state_dict(layer.state_dict())
    assert [p.version for p in layer.parameters()] == [v + 1 for v in versions]
    with pytest.raises(RuntimeError, match=r"(weight|bias).* was changed"):
        loss.backward()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bias": None}, ValueError, r"missing bias"),
        ({"gain": np.ones(3)}, ValueError, r"has gain, but the parameters of Dense are weight, b"),
        ({"weight": np.ones((3, 2))}, ValueError, r"weight has shape \(2, 3\).*\(3, 2\)"),
        ({"bias": np.ones((1, 3))}, ValueError, r"bias has shape \(3,\).*\(1, 3\)"),
        ({"bias": 1.0}, ValueError, r"bias has shape \(3,\).*\(\)"),
        ({"bias": ["a", "b", "c"]}, TypeError, r"real numbers"),
        ({"bias": [[1.0], [1.0, 2.0]]}, ValueError, r"can't be converted"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    layer = nn.Dense(2, 3, rng=0)
    before = layer.state_dict()
    state = {"weight": before["weight"] + 1, "bias": before["bias"] + 1} | change
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(error, match=message):
        layer.load_state_dict(state)
    for name, parameter in layer.named_parameters():
        assert np.array_equal(parameter.data, before[name])
        assert parameter.version == 0


@pytest.mark.parametrize("state", [None, 3, "model.npz", [("weight", 1)], {"weight"}, b""])
def test_a_state_that_is_no_dict_is_a_type_error(state):
    with pytest.raises(TypeError, match="load_state_dict: a state is a dict of arrays by name"):
        nn.Dense(1, 1).load_state_dict(state)


def test_a_state_may_be_any_mapping(tmp_path):
    layer, other = nn.Dense(2, 1, rng=0), nn.Dense(2, 1, rng=1)
    np.savez(tmp_path / "layer.npz", **layer.state_dict())
    with np.load(tmp_path / "layer.npz") as state:
        other.load_state_dict(state)
    assert np.array_equal(layer.weight.data, other.weight.data)
    with pytest.raises(ValueError, match="the state has 7, but"):
        other.load_state_dict({**layer.state_dict(), 7: 1})


def small():
    net = nn.Sequential(nn.Dense(1, 1, init="zeros"), Norm(1))
    for parameter in net.parameters():
        parameter.grad = np.ones_like(parameter.data)
    return net


STATE = {
    "dense1.weight": [[2.0]],
    "dense1.bias": [2.0],
    "norm1.scale": [2.0],
    "norm1.mean": [2.0],
    "norm1.batches": 2,
    "norm1.seen": [True],
}


def test_an_interrupted_load_changes_everything_or_nothing():
    found = set()
    for net in each_interruption(small, lambda net: net.load_state_dict(STATE), every=7):
        state = {k: float(v.item()) for k, v in net.state_dict().items()}
        versions = {parameter.version for parameter in net.parameters()}
        found.add((*state.values(), *versions))
    assert found == {(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0), (2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1)}


@pytest.mark.parametrize(
    ("change", "read"),
    [
        (nn.Module.eval, lambda net: {m.training for m in net.modules()}),
        (nn.Module.zero_grad, lambda net: {p.grad is None for p in net.parameters()}),
        (
            nn.Module.named_parameters,
            lambda net: {bool(p.name and "." in p.name) for p in OWN(net)},
        ),
    ],
)
def test_an_interrupted_change_of_all_modules_reaches_all_or_none(change, read):
    assert all(len(read(net)) == 1 for net in each_interruption(small, change))


def OWN(net):  # noqa: N802 (what `parameters` gives, without its names)
    return [net[0].weight, net[0].bias, net[1].scale]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent_and_compute_the_same(duplicate):
    net = nn.Sequential(nn.Dense(2, 8, rng=0), nn.GELU(), nn.Dropout(0.5, rng=1), nn.Dense(8, 1))
    x = np.random.default_rng(2).normal(size=(5, 2))
    twin = duplicate(net)
    assert np.array_equal(twin(x).data, net(x).data)
    assert [p.requires_grad for p in twin.parameters()] == [True] * 4
    before = net.state_dict()
    for parameter in twin.parameters():
        parameter.data = parameter.data + 1
    assert all(np.array_equal(p.data, before[name]) for name, p in net.named_parameters())


def test_a_copy_keeps_parameters_shared():
    net = nn.Sequential(nn.Dense(2, 2, rng=0), nn.Dense(2, 2, rng=1))
    net[1].weight = net[0].weight
    twin = copy.deepcopy(net)
    assert twin[1].weight is twin[0].weight
    assert twin[1].weight is not net[0].weight


# --- buffers ------------------------------------------------------------------------------------


class Norm(nn.Module):
    """Subtracts a running mean, in training that of the batch: a small batch normalization."""

    def __init__(self, features):
        self.scale = dl.Tensor(np.ones(features), requires_grad=True)
        self.buffer("mean", np.zeros(features, np.float32))
        self.buffer("batches", 0)
        self.buffer("seen", np.zeros(features, bool))

    def forward(self, x):
        x = dl.tensor.as_tensor("x", x)
        if not self.training:
            return (x - self.mean) * self.scale
        mean = x.mean(axis=0)
        self.mean += 0.1 * (mean.data - self.mean)
        self.batches = self.batches + 1
        self.seen[:] = True
        return (x - mean) * self.scale


def normed(seed):
    return nn.Sequential(nn.Dense(3, 4, rng=seed), Norm(4), nn.Tanh(), nn.Dense(4, 1, rng=seed))


def test_a_trained_module_with_buffers_saves_and_loads_exactly(rng):
    x, y = rng.normal(3.0, 2.0, (32, 3)), rng.normal(size=(32, 1))
    net, other = normed(0), normed(1)
    optimizer = dl.optim.Adam(net)
    for _ in range(5):
        optimizer.zero_grad()
        dl.losses.mse(net(x), y).backward()
        optimizer.step()
    assert abs(net[1].mean).min() > 0
    state = net.state_dict()
    assert list(state)[-3:] == ["norm1.mean", "norm1.batches", "norm1.seen"]
    other.load_state_dict(state)
    assert np.array_equal(net.eval()(x).data, other.eval()(x).data)
    assert (other[1].batches, other[1].batches.dtype, other[1].seen.tolist()) == (
        5,
        int,
        [True] * 4,
    )
    state["norm1.mean"][:] = 0  # a copy both ways
    assert np.array_equal(net(x).data, other(x).data)
    assert abs(net[1].mean).min() > 0


def test_buffers_are_arrays_that_no_optimizer_sees_and_repr_shows():
    norm = Norm(2)
    assert type(norm.mean) is type(norm.batches) is np.ndarray
    assert [name for name, _ in norm.named_parameters()] == ["scale"]
    assert repr(norm) == (
        "Norm(\n  scale:   parameter (2,)\n  mean:    buffer (2,)\n  batches: buffer ()\n"
        "  seen:    buffer (2,)\n)  # 2 parameters, float64"
    )


def test_buffers_are_found_in_lists_dicts_and_shared_modules_once():
    class Several(nn.Module):
        def __init__(self):
            shared = Norm(1)
            self.layers, self.again = [{"a": Norm(1)}, shared], shared

    assert [name for name in Several().state_dict() if name.endswith("mean")] == [
        "layers.0.a.mean",
        "layers.1.mean",
    ]


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.ones(2), np.float64),
        (np.ones(2, np.float16), np.float16),
        (np.ones(2, ">f4"), np.float32),
        ([1.0, 2.0], np.float32),
        (0.5, np.float32),
        (np.float64(0.5), np.float64),
        (3, np.int64),
        (np.arange(2, dtype=np.int8), np.int8),
        ([True, False], np.bool_),
        (dl.Tensor(np.ones(2)), np.float64),
    ],
)
def test_a_buffer_is_a_copy_in_the_dtype_of_what_is_given(array, dtype):
    module = nn.Module()
    module.buffer("kept", array)
    plain = array.data if isinstance(array, dl.Tensor) else np.asarray(array)
    np.testing.assert_array_equal(module.kept, plain.astype(dtype), strict=True)
    assert not np.shares_memory(module.kept, plain)
    assert module.kept.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "error"),
    [
        *[(name, ValueError) for name in ("a.b", "", "1", "a b", 3, None)],
        *[(name, ValueError) for name in ("forward", "training", "state_dict", "scale", "mean")],
    ],
)
def test_a_buffer_needs_a_new_name_that_is_an_identifier(name, error):
    norm = Norm(1)
    before = list(norm.state_dict())
    with pytest.raises(error, match=r"^buffer: "):
        norm.buffer(name, 1.0)
    assert list(norm.state_dict()) == before


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("mean", np.ones(2), ValueError, r"mean has shape \(1,\).*\(2,\)"),
        ("mean", 1.0, ValueError, r"mean has shape \(1,\).*\(\)"),
        ("mean", ["a"], TypeError, "real numbers"),
        ("mean", None, TypeError, "real numbers"),
        ("mean", np.ma.array([1.0]), TypeError, "masked"),
        ("batches", 1.5, TypeError, "batches is a buffer of int64, which can't hold float64"),
        ("seen", [1], TypeError, "seen is a buffer of bool"),
        ("mean", dl.Tensor([1.0], requires_grad=True), TypeError, r"mean .*t\.detach\(\)"),
    ],
)
def test_a_value_that_does_not_fit_a_buffer_changes_nothing(name, value, error, message):
    norm = Norm(1)
    before = norm.state_dict()
    with pytest.raises(error, match=message):
        setattr(norm, name, value)
    if not isinstance(value, dl.Tensor):
        with pytest.raises(error, match=message):
            norm.load_state_dict({**before, "scale": [7.0], name: value})
    assert {k: v.tolist() for k, v in norm.state_dict().items()} == {
        k: v.tolist() for k, v in before.items()
    }


def test_what_is_assigned_to_a_buffer_is_copied_and_converted():
    norm, values = Norm(2), np.array([0.1, 0.7])
    norm.mean = values
    values[:] = 9
    np.testing.assert_array_equal(norm.mean, np.float32([0.1, 0.7]), strict=True)
    with dl.no_grad():
        norm.mean = dl.Tensor(np.ones(2), requires_grad=True) * 2
    assert (norm.mean.tolist(), norm.mean.dtype) == ([2.0, 2.0], np.float32)
    norm.batches += 3
    assert (norm.batches, type(norm.batches)) == (3, np.ndarray)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_has_buffers_of_its_own(duplicate):
    norm = Norm(2)
    norm.mean = [1.0, 2.0]
    twin = duplicate(norm)
    twin.mean += 1
    assert (norm.mean.tolist(), twin.mean.tolist()) == ([1.0, 2.0], [2.0, 3.0])
    with pytest.raises(ValueError, match="mean has shape"):
        twin.mean = 1.0
    assert list(twin.state_dict()) == list(norm.state_dict())


def test_a_deleted_buffer_is_gone_from_the_state_until_it_is_assigned_again():
    norm = Norm(1)
    del norm.seen
    assert list(norm.state_dict()) == ["scale", "mean", "batches"]
    norm.seen = 3
    assert norm.state_dict()["seen"] == 3


# --- Dense --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (0, 3), (2, 4, 3), (2, 0, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_is_x_w_plus_b_with_its_gradients(rng, shape, bias, dtype):
    with dl.default_dtype(dtype):
        layer = nn.Dense(3, 2, bias=bias, rng=rng)
    if bias:
        layer.bias.data = rng.normal(size=2)
    b = layer.bias.data if bias else 0
    x = dl.Tensor(rng.normal(size=shape), requires_grad=True, dtype=dtype)
    y = layer(x)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-13}
    np.testing.assert_allclose(y.data, np.dot(x.data, layer.weight.data) + b, **tolerance)
    assert y.dtype == dtype
    g = rng.normal(size=y.shape).astype(dtype)
    y.backward(g)
    axes = list(range(len(shape) - 1))
    expected = np.tensordot(x.data, g, (axes, axes)) if axes else np.outer(x.data, g)
    np.testing.assert_allclose(layer.weight.grad, expected, **tolerance)
    np.testing.assert_allclose(x.grad, np.dot(g, layer.weight.data.T), **tolerance)
    if bias:
        np.testing.assert_allclose(layer.bias.grad, g.sum(axis=tuple(axes)), **tolerance)
    assert {p.grad.dtype for p in layer.parameters()} == {np.dtype(dtype)}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3)])
def test_the_gradients_of_dense_agree_with_central_differences(rng, shape, bias):
    with dl.default_dtype("float64"):
        layer = nn.Dense(3, 2, bias=bias, rng=rng)
    x = dl.Tensor(rng.normal(size=shape), requires_grad=True)
    assert dl.gradcheck(lambda x, *parameters: layer(x), x, *layer.parameters())


def test_bias_starts_at_zero_and_may_be_left_out():
    assert nn.Dense(2, 3, rng=0).bias.data.tolist() == [0, 0, 0]
    layer = nn.Dense(2, 3, bias=False, rng=0)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "x",
    [
        np.ones((4, 2)),
        np.ones((4, 2), np.float32),
        np.ones((4, 2), int),
        np.ones((4, 2), bool),
        [[1, 1]] * 4,
    ],
    ids=["float64", "float32", "int", "bool", "list"],
)
def test_a_plain_array_is_cast_to_the_dtype_of_the_layer(x, dtype):
    with dl.default_dtype(dtype):
        layer = nn.Dense(2, 1, rng=0)
    y = layer(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.data, np.full((4, 1), layer.weight.data.sum()), rtol=1e-6)


@pytest.mark.parametrize("data", [np.ones((3, 2)), np.ones((3, 2), np.float16), [[1, 1]]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_constant_is_cast_to_the_dtype_of_the_layer_as_a_plain_array_is(data, dtype, bias):
    with dl.default_dtype(dtype):
        layer = nn.Dense(2, 1, rng=0, bias=bias)
    for constant in (dl.Tensor(data), dl.Tensor(np.asarray(data, int), dtype="int64")):
        y = layer(constant)
        assert y.dtype == dtype
        assert np.array_equal(y.data, layer(np.asarray(data)).data)
        with dl.no_grad():
            assert layer(constant).dtype == dtype


def test_a_tensor_with_a_gradient_and_a_result_promote_as_in_numpy():
    layer, x = nn.Dense(2, 1, rng=0), np.ones((1, 2))
    assert layer(dl.Tensor(x, requires_grad=True)).dtype == np.float64
    assert layer(dl.Tensor(x, requires_grad=True) * 2).dtype == np.float64
    with dl.no_grad():
        assert layer(dl.Tensor(x, requires_grad=True) * 2).dtype == np.float64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_new_layer_has_the_default_dtype_of_the_moment(dtype):
    with dl.default_dtype(dtype):
        layer = nn.Dense(2, 1)
    assert {p.dtype for p in layer.parameters()} == {np.dtype(dtype)}
    assert all(p.requires_grad for p in layer.parameters())


def test_a_wrong_number_of_features_names_layer_and_shapes():
    net = nn.MLP([2, 3, 1], rng=0)
    dl.optim.SGD(net)
    with pytest.raises(ValueError, match=r"dense1.*Dense\(2 → 3\).*\(…, 2\), got \(5, 3\)"):
        net(np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"Dense\(2 → 3\) expects .*got \(\)"):
        nn.Dense(2, 3)(1.0)


def test_the_error_for_samples_of_one_feature_as_a_vector_suggests_reshape():
    with pytest.raises(ValueError, match=r"\(…, 1\), got \(5,\).*x\.reshape\(-1, 1\)"):
        nn.Dense(1, 3)(np.ones(5))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "name"),
    [
        ((0, 1), {}, ValueError, "in_features"),
        ((1, -1), {}, ValueError, "out_features"),
        ((2.5, 1), {}, TypeError, "in_features"),
        ((1, "2"), {}, TypeError, "out_features"),
        ((True, 1), {}, TypeError, "in_features"),
        ((None, 1), {}, TypeError, "in_features"),
        ((1, 1), {"bias": 1}, TypeError, "bias"),
        ((1, 1), {"init": "xavier"}, ValueError, "init .*glorot_uniform.*'xavier'"),
        ((1, 1), {"init": None}, ValueError, "init"),
    ],
)
def test_invalid_arguments_of_dense_are_named(arguments, options, error, name):
    with pytest.raises(error, match=f"Dense: {name}"):
        nn.Dense(*arguments, **options)


@pytest.mark.parametrize("x", ["text", None, np.array([[1j, 2]])])
def test_input_that_is_not_a_real_number_is_a_type_error(x):
    with pytest.raises(TypeError, match="real numbers"):
        nn.Dense(2, 1)(x)


# --- initial weights ----------------------------------------------------------------------------

FAN_IN, FAN_OUT = 200, 600
VARIANCES = {"glorot": 2 / (FAN_IN + FAN_OUT), "he": 2 / FAN_IN}


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("name", VARIANCES)
def test_an_initialiser_has_the_variance_and_the_shape_of_its_formula(name, kind):
    w = nn.Dense(FAN_IN, FAN_OUT, init=f"{name}_{kind}", rng=0).weight.data.astype(float)
    deviation = math.sqrt(VARIANCES[name])
    assert w.var() == pytest.approx(deviation**2, rel=0.02)
    assert abs(w.mean()) < 5 * deviation / math.sqrt(w.size)
    assert (w**4).mean() / w.var() ** 2 == pytest.approx(1.8 if kind == "uniform" else 3, rel=0.02)
    if kind == "uniform":
        limit = math.sqrt(3) * deviation
        assert 0.999 * limit < np.abs(w).max() < 1.000001 * limit


def test_glorot_uniform_is_the_default_and_zeros_is_zeros():
    default = nn.Dense(3, 2, rng=5).weight.data
    assert np.array_equal(default, nn.Dense(3, 2, init="glorot_uniform", rng=5).weight.data)
    assert not nn.Dense(3, 2, init="zeros").weight.data.any()


INITS = [f"{name}_{kind}" for name in VARIANCES for kind in ("uniform", "normal")]


@pytest.mark.parametrize("init", INITS)
def test_a_seed_decides_the_weights(init):
    def weights(rng):
        return nn.Dense(4, 3, init=init, rng=rng).weight.data

    assert np.array_equal(weights(7), weights(7))
    assert np.array_equal(weights(7), weights(np.random.default_rng(7)))
    assert not np.array_equal(weights(7), weights(8))
    assert not np.array_equal(weights(None), weights(None))
    generator = np.random.default_rng(7)
    assert not np.array_equal(weights(generator), weights(generator))


@pytest.mark.parametrize("init", INITS)
def test_float32_and_float64_layers_of_one_seed_agree_to_rounding(init):
    single = nn.Dense(4, 3, init=init, rng=7).weight.data
    with dl.default_dtype("float64"):
        double = nn.Dense(4, 3, init=init, rng=7).weight.data
    assert np.array_equal(single, double.astype(np.float32))


def test_numpys_global_random_state_is_never_touched():
    def state():
        return pickle.dumps(np.random.get_state())  # noqa: NPY002

    before = state()
    for init in INITS:
        nn.Dense(3, 2, init=init)
    net = nn.Sequential(nn.MLP([2, 4, 2]), nn.Dropout(0.5))
    net(np.ones((3, 2))).sum().backward()
    assert state() == before


def test_a_function_may_give_the_weights():
    given = np.arange(6.0).reshape(2, 3)
    seen = []

    def init(shape, rng):
        seen.append((shape, rng.random()))
        return given

    layer = nn.Dense(2, 3, init=init, rng=3)
    assert seen == [((2, 3), np.random.default_rng(3).random())]
    assert np.array_equal(layer.weight.data, given)
    assert layer.weight.dtype == np.float32
    layer.weight.data[:] = 0
    assert given[1, 2] == 5


@pytest.mark.parametrize("shape", [(3, 2), (3,), (1, 2, 3), ()])
def test_a_function_that_gives_another_shape_is_an_error(shape):
    with pytest.raises(ValueError, match=r"Dense: init .*not \(2, 3\)"):
        nn.Dense(2, 3, init=lambda _, rng: np.zeros(shape))


# --- activations --------------------------------------------------------------------------------


def normal_cdf(x):
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.ravel()]).reshape(x.shape)


@pytest.mark.parametrize(
    ("module", "function", "formula"),
    [
        (nn.ReLU(), dl.relu, lambda x: np.where(x > 0, x, 0)),
        (nn.LeakyReLU(), dl.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x)),
        (
            nn.LeakyReLU(0.3),
            lambda x: dl.leaky_relu(x, slope=0.3),
            lambda x: np.where(x > 0, x, 0.3 * x),
        ),
        (nn.ELU(), dl.elu, lambda x: np.where(x > 0, x, np.exp(x) - 1)),
        (
            nn.ELU(alpha=2.0),
            lambda x: dl.elu(x, alpha=2.0),
            lambda x: np.where(x > 0, x, 2 * (np.exp(x) - 1)),
        ),
        (nn.GELU(), dl.gelu, lambda x: x * normal_cdf(x)),
        (nn.SiLU(), dl.silu, lambda x: x / (1 + np.exp(-x))),
        (nn.Sigmoid(), dl.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
        (nn.Tanh(), dl.tanh, np.tanh),
        (nn.Softplus(), dl.softplus, lambda x: np.log(1 + np.exp(x))),
        (nn.Softmax(), dl.softmax, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        (
            nn.Softmax(axis=0),
            lambda x: dl.softmax(x, axis=0),
            lambda x: np.exp(x) / np.exp(x).sum(0, keepdims=True),
        ),
    ],
    ids=lambda x: repr(x) if isinstance(x, nn.Module) else "",
)
def test_an_activation_is_its_function(rng, module, function, formula):
    x = rng.normal(scale=2, size=(4, 5))
    a, b = dl.Tensor(x, requires_grad=True), dl.Tensor(x, requires_grad=True)
    np.testing.assert_allclose(module(a).data, formula(x), rtol=1e-12, atol=1e-14)
    assert np.array_equal(module(a).data, function(b).data)
    g = rng.normal(size=x.shape)
    module(a).backward(g)
    function(b).backward(g)
    assert np.array_equal(a.grad, b.grad)
    assert list(module.parameters()) == []
    assert dl.gradcheck(module, dl.Tensor(x, requires_grad=True))


@pytest.mark.parametrize(("layer", "name"), [(nn.LeakyReLU, "slope"), (nn.ELU, "alpha")])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-0.1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        ("1", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_invalid_slopes_and_alphas_are_named(layer, name, value, error):
    with pytest.raises(error, match=f"{layer.__name__}: {name} must be"):
        layer(value)


# --- Dropout ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.15, 0.5, 0.9])
def test_dropout_zeroes_a_fraction_p_and_preserves_the_mean(p, dtype):
    y = nn.Dropout(p, rng=0)(np.ones(100_000, dtype)).data
    assert set(np.unique(y)) == {0, dtype(1) / dtype(1 - p)}
    deviation = math.sqrt(p * (1 - p) / y.size)
    assert (y == 0).mean() == pytest.approx(p, abs=4 * deviation)
    assert y.mean() == pytest.approx(1, abs=4 * deviation / (1 - p))


def test_dropout_uses_one_mask_forward_and_backward_and_another_each_time(rng):
    layer = nn.Dropout(0.5, rng=0)
    data = rng.normal(size=(20, 10)).astype(np.float32)
    x = dl.Tensor(data, requires_grad=True)
    y = layer(x)
    g = rng.normal(size=y.shape).astype(np.float32)
    y.backward(g)
    mask = y.data / data
    np.testing.assert_array_equal(x.grad, g * mask)
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)
    assert not np.array_equal(layer(x).data, y.data)
    assert np.array_equal(x.data, data)


def test_dropout_passes_everything_in_evaluation_and_with_p_0(rng):
    x = rng.normal(size=(4, 3))
    layer = nn.Dropout(0.9, rng=0)
    assert np.array_equal(layer.eval()(x).data, x)
    assert not np.array_equal(layer.train()(x).data, x)
    assert np.array_equal(nn.Dropout(0)(x).data, x)


def test_dropout_is_seeded():
    x = np.ones(50)
    first = nn.Dropout(rng=3)(x).data
    assert np.array_equal(first, nn.Dropout(rng=np.random.default_rng(3))(x).data)
    assert not np.array_equal(first, nn.Dropout(rng=4)(x).data)


@pytest.mark.parametrize(
    ("p", "error"),
    [
        (1, ValueError),
        (1.5, ValueError),
        (-0.1, ValueError),
        (math.nan, ValueError),
        ("0.5", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_invalid_dropout_probabilities_are_named(p, error):
    with pytest.raises(error, match=r"Dropout: p must be .*≥ 0 and < 1"):
        nn.Dropout(p)


# --- Sequential and MLP -------------------------------------------------------------------------


def test_sequential_names_its_modules_by_kind_and_place():
    layers = [nn.Dense(2, 3, rng=0), nn.ReLU(), nn.Dense(3, 3, rng=1), nn.ReLU(), nn.LeakyReLU()]
    net = nn.Sequential(*layers)
    assert list(vars(net)) == ["dense1", "relu1", "dense2", "relu2", "leakyrelu1"]
    assert list(net) == layers
    assert len(net) == 5
    assert (net[0], net[-1], net.dense2) == (layers[0], layers[-1], layers[2])
    with pytest.raises(IndexError):
        net[5]
    x = np.array([[1.0, -2.0]], np.float32)
    expected = x
    for layer in layers:
        expected = layer(expected).data
    assert np.array_equal(net(x).data, expected)


NETS = {
    "mlp": lambda: nn.MLP([3, 16, 16, 2], rng=0),
    "tanh": lambda: nn.MLP([3, 5, 2], "tanh", rng=0),
    "wide": lambda: nn.MLP([3, 200, 300, 2], rng=0),
    "one layer": lambda: nn.Sequential(nn.Dense(3, 2, rng=0)),
    "no bias": lambda: nn.Sequential(
        nn.Dense(3, 4, rng=0), nn.Dense(4, 4, bias=False, rng=1), nn.ReLU(), nn.Dense(4, 2, rng=2)
    ),
    "relu first and twice": lambda: nn.Sequential(
        nn.ReLU(), nn.Dense(3, 4, rng=0), nn.ReLU(), nn.ReLU(), nn.Dense(4, 2, rng=1), nn.ReLU()
    ),
    "dropout between": lambda: nn.Sequential(
        nn.Dense(3, 8, rng=0), nn.ReLU(), nn.Dropout(0.5, rng=1), nn.Dense(8, 2, rng=2)
    ),
    "nested": lambda: nn.Sequential(nn.MLP([3, 4, 4], rng=0), nn.ReLU(), nn.Dense(4, 2, rng=1)),
}


@pytest.mark.parametrize("shape", [(32, 3), (0, 3), (3,), (2, 5, 3)])
@pytest.mark.parametrize("net", NETS)
def test_sequential_gives_the_bits_that_its_modules_give_one_by_one(net, shape, rng):
    """Although a Dense and the ReLU after it run as one op."""
    x, found = rng.normal(size=shape).astype(np.float32), []
    for one_by_one in (False, True):
        model, leaf = NETS[net](), dl.Tensor(x, requires_grad=True)
        y = leaf
        for module in model if one_by_one else [model]:
            y = module(y)
        (y * y).sum().backward()
        grads = [p.grad for p in (leaf, *model.parameters())]
        found.append([a.tobytes() for a in (y.data, *grads)])
    assert found[0] == found[1]


def test_a_frozen_layer_within_a_row_gets_no_gradient(rng):
    model = nn.MLP([3, 4, 4, 2], rng=0)
    model.dense2.weight.requires_grad = model.dense1.bias.requires_grad = False
    model(rng.normal(size=(5, 3))).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == ["dense1.bias", "dense2.weight"]


def test_frozen_layers_at_the_beginning_of_a_row_leave_no_graph(rng):
    model, x = nn.MLP([3, 4, 4, 2], rng=0), rng.normal(size=(5, 3))
    for layer in (model.dense1, model.dense2):
        layer.weight.requires_grad = layer.bias.requires_grad = False
    y = model(x)
    model.dense1.weight.data = 2 * model.dense1.weight.data  # nothing depends on it any more
    y.sum().backward()
    assert [p.grad is None for p in model.parameters()] == [True] * 4 + [False] * 2
    leaf = dl.Tensor(x, requires_grad=True)
    model(leaf).sum().backward()
    assert np.abs(leaf.grad).max() > 0


@pytest.mark.parametrize("name", ["dense1", "relu1", "dense2"])
def test_a_layer_whose_forward_was_replaced_is_not_fused_in_a_sequential(name, rng):
    model, seen = nn.MLP([3, 4, 2], rng=0), []
    layer, x = getattr(model, name), rng.normal(size=(5, 3))
    plain, own = model(x).data, layer.forward
    layer.forward = lambda x: seen.append(x) or own(x)
    np.testing.assert_array_equal(model(x).data, plain)
    assert len(seen) == 1


@pytest.mark.parametrize("bias", [0.5, [0.5], [[0.5] * 3], [[0.5]] * 4])
def test_a_bias_of_another_shape_is_refused(bias):
    layer = nn.Dense(2, 3, rng=0)
    layer.bias = dl.Tensor(bias, requires_grad=True)
    for model in (layer, nn.Sequential(layer, nn.ReLU())):
        with pytest.raises(ValueError, match=r"the bias must have shape \(3,\), got"):
            model(np.ones((4, 2)))


@pytest.mark.parametrize("shapes", [((2,), (2, 3)), ((4, 1, 2), (2, 3)), ((4, 2), (2,)), ((), ())])
def test_the_op_of_a_layer_takes_matrices_alone(shapes):
    x, w = map(np.ones, shapes)
    with pytest.raises(ValueError, match=r"^dense of shape .*: x, W must be 2-D; the bias"):
        tensor.dense(x, w, np.ones(w.shape[1:]))


def test_a_subclass_of_a_layer_is_not_fused_in_a_sequential(rng):
    class Doubled(nn.Dense):
        def forward(self, x):
            return 2 * super().forward(x)

    x = rng.normal(size=(5, 3)).astype(np.float32)
    plain = nn.Sequential(nn.Dense(3, 2, rng=0), nn.Dense(2, 2, rng=1))
    doubled = nn.Sequential(nn.Dense(3, 2, rng=0), Doubled(2, 2, rng=1))
    np.testing.assert_array_equal(doubled(x).data, 2 * plain(x).data)


def test_an_input_that_does_not_fit_a_layer_of_a_sequential_is_an_error_that_names_the_layer():
    model = nn.MLP([3, 4, 2], rng=0)
    model.dense2 = nn.Dense(5, 2, rng=0)
    list(model.named_parameters())
    with pytest.raises(
        ValueError, match=r"dense2, a Dense\(5 → 2\) expects input of shape \(…, 5\)"
    ):
        model(np.ones((7, 3)))
    with pytest.raises(
        ValueError, match=r"dense1, a Dense\(3 → 4\) expects input of shape \(…, 3\)"
    ):
        model(np.ones((7, 4)))


def work_of(way, depth):
    """The function calls of a training step, and the entries that list methods move or search."""
    model = nn.MLP([2] * (depth + 1), rng=0)
    optimizer, x, work = dl.optim.Adam(model), np.ones((3, 2), np.float32), 0

    def count(frame, event, function):
        nonlocal work
        if event in ("call", "c_call"):
            owner = getattr(function, "__self__", None)
            passes = isinstance(owner, list) and function.__name__ in ("index", "insert", "pop")
            work += len(owner) if passes else 1

    @way
    def step(x):
        optimizer.zero_grad()
        loss = dl.losses.mse(model(x), x)
        loss.backward()
        optimizer.step()
        return loss

    step(x)
    sys.setprofile(count)
    try:
        step(x)
    finally:
        sys.setprofile(None)
    return work


@pytest.mark.parametrize("way", [lambda step: step, dl.capture], ids=["run", "recorded"])
def test_the_work_of_a_training_step_grows_in_proportion_to_the_depth(way):
    first, second, third = (work_of(way, depth) for depth in (120, 180, 240))
    assert third - second == pytest.approx(second - first, rel=0.01)


def test_a_layer_of_a_graph_is_few_objects_for_the_garbage_collector_to_visit():
    model, x = nn.MLP([2] * 101, rng=0), np.ones((3, 2), np.float32)
    model(x)  # creates what is made once
    before = len(gc.get_objects())
    gc.disable()
    try:
        y = model(x)
        made = len(gc.get_objects()) - before
    finally:
        gc.enable()
    assert y.requires_grad
    assert made // 100 <= 13  # a node, its 2 lists and 2 edges; a VJP with what it holds


def test_nested_sequentials_have_nested_names():
    net = nn.Sequential(nn.Sequential(nn.Dense(1, 1, bias=False)), nn.Tanh())
    assert list(net.state_dict()) == ["sequential1.dense1.weight"]


def test_sequential_needs_at_least_one_module_and_takes_modules_only():
    with pytest.raises(ValueError, match="at least one module"):
        nn.Sequential()
    with pytest.raises(TypeError, match=r"takes modules, got .*Sequential\(\*layers\)"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(TypeError, match="takes modules"):
        nn.Sequential(nn.Dense(1, 1), dl.relu)
    with pytest.raises(TypeError, match="takes modules"):
        nn.Sequential(nn.ReLU)


ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}


@pytest.mark.parametrize(("activation", "kind"), ACTIVATIONS.items())
def test_an_mlp_alternates_dense_layers_and_activations(activation, kind):
    net = nn.MLP([4, 6, 5, 2], activation, rng=0)
    assert [type(m) for m in net] == [nn.Dense, kind, nn.Dense, kind, nn.Dense]
    assert [m.weight.shape for m in list(net)[::2]] == [(4, 6), (6, 5), (5, 2)]
    assert net(np.ones((3, 4))).shape == (3, 2)


@pytest.mark.parametrize(
    ("activation", "init"),
    [
        ("relu", "he_uniform"),
        ("leaky_relu", "he_uniform"),
        ("elu", "he_uniform"),
        ("gelu", "he_uniform"),
        ("silu", "he_uniform"),
        ("sigmoid", "glorot_uniform"),
        ("tanh", "glorot_uniform"),
        ("softplus", "glorot_uniform"),
    ],
)
def test_an_mlp_chooses_the_initial_weights_by_its_activation(activation, init):
    net = nn.MLP((4, 6, 5, 2), activation, rng=9)
    rng = np.random.default_rng(9)
    sizes = [(4, 6, init), (6, 5, init), (5, 2, "glorot_uniform")]
    for layer, (fan_in, fan_out, kind) in zip(list(net)[::2], sizes, strict=True):
        expected = nn.Dense(fan_in, fan_out, init=kind, rng=rng).weight.data
        assert np.array_equal(layer.weight.data, expected)


def test_an_mlp_uses_relu_by_default_and_may_have_no_hidden_layer():
    assert isinstance(nn.MLP([1, 2, 1])[1], nn.ReLU)
    assert [type(m) for m in nn.MLP([3, 2])] == [nn.Dense]


@pytest.mark.parametrize(
    ("sizes", "activation", "error", "message"),
    [
        ([], "relu", ValueError, "MLP: sizes"),
        ([3], "relu", ValueError, "MLP: sizes"),
        (3, "relu", ValueError, "MLP: sizes"),
        ("12", "relu", ValueError, "MLP: sizes"),
        ([3, 0, 1], "relu", ValueError, "out_features"),
        ([3, 2.5, 1], "relu", TypeError, "out_features"),
        ([True, 1], "relu", TypeError, "in_features"),
        ([1, 2, 1], "swish", ValueError, "activation .*'relu'.*'swish'"),
        ([1, 2, 1], None, ValueError, "activation"),
        ([1, 2, 1], nn.ReLU, ValueError, "activation"),
    ],
)
def test_invalid_arguments_of_mlp_are_named(sizes, activation, error, message):
    with pytest.raises(error, match=message):
        nn.MLP(sizes, activation)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, 4, 1), ValueError, r"sizes must be a list .*; write MLP\(\[3, 4, 1\]\)$"),
        ((3, 4), ValueError, r"; write MLP\(\[3, 4\]\)$"),
        ((3, 4, "tanh"), ValueError, r"; write MLP\(\[3, 4\]\)$"),
        (([3, 1], "tanh", 0), TypeError, r"only sizes and activation are positional, got \(0,\)"),
        (([3, 1], "ReLU"), ValueError, r"got 'ReLU'. Did you mean 'relu'\?$"),
        (([3, 1], "swish"), ValueError, r"got 'swish'. Did you mean 'silu'\?$"),
    ],
)
def test_an_mlp_written_as_in_another_library_is_answered_with_what_to_write(
    arguments, error, message
):
    with pytest.raises(error, match=message):
        nn.MLP(*arguments)


# --- repr ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.Dense(2, 3), "Dense(2 → 3)  # 9 parameters, float32"),
        (nn.Dense(1, 1, bias=False), "Dense(1 → 1, bias=False)  # 1 parameter, float32"),
        (nn.Dense(100, 100), "Dense(100 → 100)  # 10,100 parameters, float32"),
        (nn.ReLU(), "ReLU()"),
        (nn.LeakyReLU(0.2), "LeakyReLU(slope=0.2)"),
        (nn.ELU(), "ELU(alpha=1.0)"),
        (nn.Softmax(), "Softmax(axis=-1)"),
        (nn.Dropout(0.25).eval(), "Dropout(p=0.25)"),
        (
            nn.Sequential(nn.MLP([2, 16, 1], "tanh"), nn.LeakyReLU(0.5)),
            "Sequential(\n"
            "  mlp1:       MLP(\n"
            "    dense1: Dense(2 → 16)  # 48 parameters, float32\n"
            "    tanh1:  Tanh()\n"
            "    dense2: Dense(16 → 1)  # 17 parameters, float32\n"
            "  )  # 65 parameters, float32\n"
            "  leakyrelu1: LeakyReLU(slope=0.5)\n"
            ")  # 65 parameters, float32",
        ),
        (
            Net(),
            "Net(\n"
            "  scale:       parameter (2,)\n"
            "  inner:       Sequential(\n"
            "    dense1: Dense(2 → 3)  # 9 parameters, float32\n"
            "    relu1:  ReLU()\n"
            "  )  # 9 parameters, float32\n"
            "  several.0:   Dense(3 → 2)  # 8 parameters, float32\n"
            "  several.1.0: parameter ()\n"
            "  named.last:  Dense(2 → 1)  # 3 parameters, float32\n"
            "  named.drop:  Dropout(p=0.5)\n"
            ")  # 23 parameters, float32",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_repr_shows_shapes_and_counts(module, text):
    assert repr(module) == text


def test_repr_names_every_dtype():
    with dl.default_dtype("float64"):
        wide = nn.Dense(1, 1)
    assert repr(nn.Sequential(nn.Dense(1, 1), wide)).endswith("4 parameters, float32 and float64")


def test_dropout_draws_for_each_entry_of_each_sample():
    mask = nn.Dropout(0.5, rng=0)(np.ones((200, 3))).data
    assert 0.3 < np.mean(mask[1:] == mask[:-1]) < 0.7
    assert not (mask == mask[:1]).all(axis=0).any()


def test_a_tensor_stored_by_forward_is_not_a_parameter():
    class Keeps(nn.Module):
        def __init__(self):
            self.layer = nn.Dense(2, 1, rng=0)
            self.labels = dl.Tensor([1, 2], dtype="int64")

        def forward(self, x):
            self.hidden = self.layer(x)
            return self.hidden

    model = Keeps()
    before = model.state_dict()
    model(np.ones((3, 2)))
    model.load_state_dict(before)
    assert list(before) == ["layer.weight", "layer.bias", "labels"]
    assert len(dl.optim.SGD(model).groups[0].params) == 2


KEPT = {
    "op": lambda h: dl.tanh(h),
    "fused op": lambda h: dl.losses.mse(h, np.zeros(h.shape)),
    "list": lambda h: [h * 2, {"a": (dl.relu(h),)}],
    "detached": lambda h: (h * 2).detach(),
    "item": lambda h: h[0],
    "rounded": lambda h: round(h),
    "dropout of an array": lambda h: nn.Dropout(0.5).eval()(np.ones(3)),
    "augmented": lambda h: operator.iadd(h * 1, 1.0),
}


@pytest.mark.parametrize("make", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("setting", [dl.no_grad, contextlib.nullcontext])
def test_a_result_kept_by_forward_is_never_a_parameter(make, setting):
    class Keeps(nn.Module):
        def __init__(self):
            self.layer = nn.Dense(2, 1, rng=0)

        def forward(self, x):
            h = self.layer(x)
            self.kept = make(h)
            return h

    model = Keeps()
    before, text = model.state_dict(), repr(model)
    with setting():
        model(np.ones((3, 2)))
    assert list(model.state_dict()) == list(before) == ["layer.weight", "layer.bias"]
    assert (repr(model), len(list(model.parameters()))) == (text, 2)
    model.load_state_dict(before)
    dl.optim.SGD(model)
    if setting is dl.no_grad:
        assert list(copy.deepcopy(model).state_dict()) == list(before)


def test_a_frozen_parameter_and_one_made_of_a_result_stay_parameters():
    class Made(nn.Module):
        def __init__(self):
            self.frozen = dl.Tensor([1.0], requires_grad=True)
            self.frozen.requires_grad = False
            self.scaled = dl.Tensor([1.0]) * 0.1
            self.scaled.requires_grad = True

    model = Made()
    assert list(model.state_dict()) == ["frozen", "scaled"]
    with dl.no_grad():
        model.frozen += 1
        model.scaled += 1
    for copied in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model.scaled))):
        if isinstance(copied, nn.Module):
            assert list(copied.state_dict()) == ["frozen", "scaled"]


@pytest.mark.parametrize(
    ("module", "advice"),
    [
        ([nn.ReLU()], r"write Sequential\(\*layers\)"),
        ((nn.ReLU(),), r"write Sequential\(\*layers\)"),
        (nn.ReLU, r"make an object of it: ReLU\(\.\.\.\)"),
        (dl.relu, r"nn\.ReLU\(\)"),
        (3, "3$"),
    ],
)
def test_what_is_no_module_in_a_sequential_says_what_to_write(module, advice):
    with pytest.raises(TypeError, match=rf"Sequential takes modules, got .*{advice}"):
        nn.Sequential(nn.Dense(1, 1), module)


def test_names_that_a_class_ends_in_a_digit_do_not_collide():
    class Block(nn.ReLU):
        pass

    class Block1(nn.ReLU):
        pass

    assert len(nn.Sequential(Block1(), *(Block() for _ in range(11)))) == 12


def test_forward_may_take_options_and_sizes_may_be_an_array():
    class Scaled(nn.Module):
        def forward(self, x, *, scale=1.0):
            return dl.Tensor(x) * scale

    assert Scaled()([2.0], scale=3.0).item() == 6.0
    assert len(nn.MLP(np.array([2, 3, 1]), rng=0)) == 3
