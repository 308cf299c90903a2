"""The names of values: by model, tensor and variable."""

import math

import numpy as np
import pytest
from cases import Residual, normal, training_walkthrough

import minidl as dl
from minidl import losses, nn, optim
from minidl._format import number


def names_of(walk):
    return [value.name for value in walk.values]


def test_values_are_named_by_the_network_and_the_variables():
    walk, _ = training_walkthrough()
    parameters = ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"]
    results = ["dense1", "tanh1", "dense2", "loss"]
    assert sorted(names_of(walk)) == sorted(["x", "y", *parameters, *results])
    assert [op.value.name for op in walk.ops] == results
    kinds = {value.name: value.kind for value in walk.values}
    assert {kinds[name] for name in parameters} == {"parameter"}
    assert {kinds[name] for name in results} == {"op"}
    assert kinds["x"] == kinds["y"] == "input"


def test_a_second_value_of_a_name_gets_a_number():
    walk, _ = training_walkthrough(steps=3)
    results = [op.value.name for op in walk.ops]
    assert results[::4] == ["dense1", "dense1 (2)", "dense1 (3)"]
    assert [u.value.name for u in walk.updates[::4]] == [
        *("dense1.weight", "dense1.weight after update 1", "dense1.weight after update 2")
    ]
    assert len({*names_of(walk)}) == len(walk.values)
    assert "x (2)" not in names_of(walk)  # the same array is one value


def test_the_ops_of_a_module_are_named_by_its_path_and_their_kind():
    model = nn.Sequential(nn.Dense(3, 6, rng=0), Residual(np.random.default_rng(0)))
    with dl.trace() as walk:
        model(normal(2, 3)).sum().backward()
    results = [op.value.name for op in walk.ops]
    assert results[:2] == ["dense1", "residual1.first"]
    assert {"residual1.tanh", "residual1.multiply", "residual1.add", "residual1.relu"} <= {*results}
    assert results[-1] == "sum"
    assert "residual1.scale" in names_of(walk)


def test_the_outermost_module_is_named_by_its_class():
    class Line(nn.Module):
        def __init__(self):
            self.slope = dl.Tensor(2.0, requires_grad=True)

        def forward(self, x):
            return self.slope * x + 1.0

    with dl.trace() as walk:
        Line()(dl.Tensor([1.0, 2.0])).sum()
    assert [op.path for op in walk.ops] == ["line", "line", ""]
    assert [op.value.name for op in walk.ops] == ["line.multiply", "line.add", "sum"]
    assert "slope" in names_of(walk)


def test_a_tensors_own_name_takes_precedence_over_its_variable():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="own")
    with dl.trace() as walk:
        total = (w * 3.0).sum()
        total.backward()
    assert names_of(walk) == ["own", "multiply", "total"]


def test_an_array_is_named_by_the_variable_that_holds_its_numbers():
    numbers = np.array([1, 2, 3])
    w = dl.Tensor([1.0, 2.0, 3.5], requires_grad=True)
    with dl.trace() as walk:
        (w * numbers).sum().backward()
    assert names_of(walk)[:2] == ["w", "numbers"]


def test_the_result_of_an_op_is_not_named_by_an_array_that_happens_to_be_equal():
    twice = np.array([2.0, 4.0])
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        (w * 2.0).sum().backward()
    assert "twice" not in names_of(walk)
    assert twice.sum() == 6


@pytest.mark.parametrize("other", [[1e300, 1.0], [math.nan, 1.0], [True, False], ["a", "b"]])
def test_variables_may_hold_arrays_of_any_kind(other):
    other = np.array(other)
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        (w * np.array([1.0, 2.0], np.float32)).sum().backward()
    assert names_of(walk) == ["w", "input", "multiply", "sum"]
    assert other.shape == (2,)


def test_two_models_are_distinguished_by_their_variables():
    first, second = nn.MLP([2, 2, 1], rng=0), nn.MLP([2, 2, 1], "tanh", rng=1)
    rule = optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    with dl.trace() as walk:
        (
            losses.mse(first(normal(3, 2)), normal(3, 1))
            + losses.mse(second(normal(3, 2)), normal(3, 1))
        ).backward()
        rule.step()
    for name, model in (("first", first), ("second", second)):
        weight = model.dense1.weight
        text = walk.explain(f"{name}.dense1.weight", (0, 1))
        assert text.endswith(f"after {number(weight.data[0, 1]).shown}")


def test_layers_called_by_hand_have_the_names_of_their_model():
    model, x = nn.MLP([2, 2, 1], "tanh", rng=0), normal(3, 2)
    with dl.trace() as walk:
        h = dl.tanh(model.dense1(x))
        model.dense2(h).sum().backward()
    assert [op.value.name for op in walk.ops] == ["dense1", "h", "dense2", "sum"]
    assert {v.name for v in walk.values if v.kind == "parameter"} == {
        f"dense{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")
    }


def test_the_mask_of_dropout_is_named_mask():
    model = nn.Sequential(nn.Dense(2, 3, rng=0), nn.Dropout(0.5, rng=0))
    with dl.trace() as walk:
        model(normal(4, 2)).sum().backward()
    assert "dropout1.mask" in [value.name for value in walk.values]


def test_layers_in_a_list_are_named_by_their_index():
    layers = [nn.Dense(2, 3, rng=0), nn.Dense(3, 1, rng=1)]
    with dl.trace() as walk:
        h = normal(4, 2)
        for layer in layers:
            h = layer(h)
        h.sum().backward()
    names = {value.name for value in walk.values}
    assert names >= {"layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.0"}


def test_a_model_that_is_not_used_changes_no_names():
    other = nn.MLP([2, 2, 1], rng=1)
    model = nn.MLP([2, 2, 1], rng=0)
    with dl.trace() as walk:
        model(normal(3, 2)).sum().backward()
    assert "dense1.weight" in {value.name for value in walk.values}
    assert other.dense1.weight.grad is None


def test_variables_that_start_with_an_underscore_give_no_names():
    _w = w = dl.Tensor([1.0], requires_grad=True)
    _ = _w
    with dl.trace() as walk:
        (w * w).sum().backward()
    assert walk.values[0].name == "w"


def test_no_two_values_share_a_name():
    named = [dl.Tensor([1.0], requires_grad=True, name=n) for n in ("a", "a (2)", "a", " ", "\x1b")]
    with dl.trace() as walk:
        sum(x * 1.0 for x in named).sum().backward()
    names = [value.name for value in walk.values]
    assert len(set(names)) == len(names)
    assert all(name.isprintable() and name.strip() for name in names)
