"""Models as steps: what the steps are, and what can't be exported."""

import re

import exporting
import numpy as np
import pytest
from exporting import Function

import minidl as dl
from minidl import nn, ops
from minidl.export import graph
from minidl.export.graph import graph_of
from minidl.ops import op
from minidl.tensor import differentiable

X = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]], np.float32)


def steps(model, example=None):
    """(op, numbers of its inputs, width, place) of each step."""
    return [(s.op, s.values, s.width, s.place) for s in graph_of("export", model, example).steps]


def test_the_steps_of_a_network_are_its_layers_in_order():
    scale = dl.data.Standardize().fit(X)
    inner = nn.Sequential(nn.Dropout(0.9), nn.Dense(4, 5, bias=False))
    model = nn.Sequential(scale, nn.Dense(3, 4), nn.ReLU(), inner, nn.Softmax())
    assert steps(model) == [
        ("standardize", (0,), 3, "standardize1"),
        ("dense", (1,), 4, "dense1"),
        ("relu", (2,), 4, "relu1"),
        ("dense", (3,), 5, "sequential1.dense1"),
        ("softmax", (4,), 5, "softmax1"),
    ]


def test_the_constants_are_copies_of_weights_and_buffers():
    model = nn.Sequential(dl.data.Standardize().fit(X * 1e6 + 1), nn.Dense(3, 4, rng=0))
    scale, dense = graph_of("export", model).steps
    before = model.state_dict()
    model.dense1.weight.data[:], model.standardize1.mean[:] = 0, 0
    (mean, deviation), (weight, bias) = scale.constants, dense.constants
    assert mean.dtype == deviation.dtype == np.float64
    for name, constant in [("mean", mean), ("deviation", deviation)]:
        np.testing.assert_array_equal(constant, before[f"standardize1.{name}"])
    for name, constant in [("weight", weight), ("bias", bias)]:
        np.testing.assert_array_equal(constant, before[f"dense1.{name}"])


def test_what_depends_on_no_input_is_a_constant_and_what_the_output_does_not_need_is_left_out():
    model = exporting.Residual()
    assert steps(model, np.ones((1, 4))) == [
        ("dense", (0,), 7, "first"),
        ("tanh", (1,), 7, ""),
        ("dense", (2,), 7, "second"),
        ("silu", (3,), 7, ""),
        ("multiply", (4,), 7, ""),
        ("add", (2, 5), 7, ""),
        ("sigmoid", (6,), 7, ""),
        ("multiply", (6, 7), 7, ""),
        ("concatenate", (8, 0), 11, ""),
        ("dense", (9,), 2, "last"),
    ]
    gain = graph_of("export", model, np.ones((1, 4))).steps[4].constants[0]
    np.testing.assert_allclose(gain, [np.exp(0.5)], rtol=1e-6)


def test_every_exported_op_is_an_op_of_minidl():
    assert {*graph.UNARY, *graph.BINARY, *graph.ROWS, *graph.MOMENTS, *graph.OTHERS} <= vars(
        ops
    ).keys()
    assert len(graph.EXPORTED) == len({f.__name__ for f in graph.EXPORTED})


def test_the_graph_has_the_dtype_of_the_parameters():
    with dl.default_dtype("float64"):
        model = nn.MLP([3, 4, 1])
    assert graph_of("export", model).dtype == np.float64
    assert graph_of("export", Function(dl.tanh), X).dtype == np.float32


@pytest.mark.parametrize(
    "model",
    [nn.Dense(3, 1), nn.MLP([3, 2]), nn.Sequential(nn.ReLU(), nn.Sequential(nn.Dense(3, 1)))],
    ids=["dense", "mlp", "sequential"],
)
def test_the_first_layer_tells_the_number_of_inputs(model):
    assert graph_of("export", model).widths[0] == 3


def test_an_export_leaves_modes_and_gradients_as_they_were_and_is_no_part_of_a_trace():
    model = nn.Sequential(nn.Dense(3, 2), nn.Dropout(0.5))
    model.dropout1.eval()
    with dl.trace() as walk:
        graph_of("export", model)
    assert walk.ops == []
    assert [m.training for m in model.modules()] == [True, True, False]
    assert all(p.grad is None for p in model.parameters())


# --- what can't be exported ----------------------------------------------------------------------


@op("y = x / (1 + |x|)", "∂x = g (1 − |y|)²")
def softsign(x, /):
    """An op of one's own."""
    y = x / (1 + np.abs(x))
    return y, lambda g: g * (1 - np.abs(y)) ** 2


OWN = differentiable(softsign)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (
            OWN,
            TypeError,
            "export: softsign in function1 can't be exported, only models of abs, add",
        ),
        (lambda x: x.max(1, keepdims=True), TypeError, "max in function1 can't be exported"),
        (lambda x: x.sum(axis=0), ValueError, "sum .* works along the axis of the samples"),
        (lambda x: x - x.mean(), ValueError, "mean .* works along the axis of the samples"),
        (lambda x: x.mean(1), ValueError, r"mean .* gives shape \(2,\), where each sample must"),
        (lambda x: x[:, 2:2], ValueError, r"getitem .* gives shape \(2, 0\), where each sample"),
        (lambda x: dl.where(X > 0, x, 0.0), TypeError, "where in function1 can't be"),
        (lambda x: x.reshape(1, -1), TypeError, "reshape in function1 can't be"),
        (lambda x: dl.softmax(x, 0), ValueError, "softmax .* works along the axis of the samples"),
        (
            lambda x: x[:1],
            ValueError,
            r"getitem .* takes anything but neighbouring columns, x\[:, start:stop\]",
        ),
        (lambda x: x[:, 0], ValueError, "takes anything but neighbouring columns"),
        (lambda x: x[:, ::2], ValueError, "getitem .* takes anything but neighbouring columns"),
        (lambda x: dl.concatenate([x, X], 1), ValueError, "concatenate .* has a constant part"),
        (lambda x: x @ x[:, :2].T, TypeError, "transpose in function1 can't be"),
        (lambda x: x[:, :2] @ x, ValueError, "matmul .* needs an input times constant weights"),
        (lambda x: x @ X[0], ValueError, r"matmul in .*gives shape \(2,\), where each sample"),
        (lambda x: x + X, ValueError, r"a constant of shape \(2, 3\) with a row per sample"),
        (lambda x: x * np.ones(3), ValueError, r"gives float64, .* as in c.astype\(np.float32\)"),
        (lambda x: x + x.data.mean(), ValueError, "add in function1 .* comes from the input by"),
        (lambda x: x * RNG.random(), ValueError, "multiply in function1 .* it is random"),
        (lambda x: dl.Tensor(x.data * 2), ValueError, "doesn't come from its input by functions"),
        (lambda x: dl.tanh(x) if len(x) > 2 else -x, ValueError, "negative and tanh came at the"),
        (lambda x: -(x if len(x) > 2 else -x), ValueError, "negative and no further one came"),
        (lambda x: [x], TypeError, "Sequential must return one tensor, got"),
        (lambda x: x, ValueError, "returns its input, so there is nothing to export"),
        (lambda x: x * float("inf"), ValueError, "a constant of multiply in function1 holds NaN"),
    ],
)
def test_what_can_not_be_exported_is_an_error_that_names_it(function, error, message):
    model = nn.Sequential(Function(function))
    with pytest.raises(error, match=message):
        graph_of("export", model, X)


def test_an_example_of_zeros_finds_what_depends_on_the_input_by_other_functions():
    with pytest.raises(ValueError, match="comes from the input by other functions than minidl's"):
        graph_of("export", Function(lambda x: x + float(x.data.max())), np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("example", "error", "message"),
    [
        (None, ValueError, "layers of Function don't tell how many .* export(model, path, example"),
        (
            np.ones(3),
            ValueError,
            "of shape (N, features), got (3,); x.reshape(1, -1) for one sample",
        ),
        (np.ones((0, 3)), ValueError, "got (0, 3)"),
        ((X, X), TypeError, "only models with one input can be exported, got 2 inputs"),
        ([["a"]], TypeError, "x must hold numbers"),
    ],
)
def test_a_missing_or_wrong_example_is_an_error(example, error, message):
    with pytest.raises(error, match=re.escape(message).replace(r"\.\*", ".*")):
        graph_of("export", Function(dl.tanh), example)


def test_the_columns_of_an_example_must_be_those_of_the_model():
    with pytest.raises(ValueError, match=r"Dense\(3 → 1\) expects input of shape \(…, 3\)"):
        graph_of("export", nn.MLP([3, 1]), np.ones((2, 4)))


def test_a_model_of_mixed_or_half_precision_is_an_error():
    model = nn.Sequential(nn.Dense(3, 4), nn.Dense(4, 1))
    for parameter in (model.dense1.weight, model.dense1.bias):
        parameter._data = parameter.data.astype(np.float16)
    with pytest.raises(ValueError, match="its parameters are float16 and float32"):
        graph_of("export", model)
    with pytest.raises(ValueError, match="its parameters are float16"):
        graph_of("export", model.dense1)
    with dl.default_dtype("float64"):
        mixed = nn.Sequential(model.dense2, nn.Dense(1, 1))
    with pytest.raises(ValueError, match="its parameters are float32 and float64"):
        graph_of("export", mixed)


def test_weights_that_diverged_are_an_error():
    model = nn.MLP([3, 1])
    model.dense1.bias.data = [np.nan]
    with pytest.raises(ValueError, match="constant of dense in dense1 holds NaN or infinity; did"):
        graph_of("export", model)


def test_what_is_no_model_is_an_error():
    with pytest.raises(TypeError, match=r"export: model must be a function .* the class MLP"):
        graph_of("export", nn.MLP)
    with pytest.raises(RuntimeError, match="call fit"):
        graph_of("export", nn.Sequential(dl.data.Standardize(), nn.Dense(3, 1)), X)
