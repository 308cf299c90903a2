"""Each op against a formula of its own, and its derivatives against complex steps through it."""

import itertools
import math

import numpy as np
import pytest
from cases import OPS, PUBLIC
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl as dl
from minidl import ops, tensor

DTYPES = (np.float32, np.float64)
REDUCTIONS = ("mean", "sum", "none")


def complex_step(f, arrays, weights):
    """The gradient of Σ w f by each array: Im Σ w f(x + ih) / h, exact to rounding."""
    gradients = [np.zeros(np.shape(x)) for x in arrays]
    for i, gradient in enumerate(gradients):
        for at in np.ndindex(gradient.shape):
            moved = [np.array(x, complex) if i == j else x for j, x in enumerate(arrays)]
            moved[i][at] += 1e-30j
            gradient[at] = np.sum(weights * f(*moved)).imag / 1e-30
    return gradients


def frozen(array, dtype=np.float64):
    """A read-only copy: whatever writes into it raises."""
    copy = np.array(array, dtype)
    copy.flags.writeable = False
    return copy


def check(name, reference, *arrays, **options):
    """In both dtypes the op has the value and derivatives of the reference, and keeps its rules."""
    value = np.asarray(reference(*arrays))
    weights = np.random.default_rng(1).normal(size=value.shape)
    expected = complex_step(reference, arrays, weights)
    for dtype, precision in zip(DTYPES, (1e-4, 1e-11), strict=True):
        inputs, g = [frozen(x, dtype) for x in arrays], frozen(weights, dtype)
        check_rules(OPS[name], inputs, g, options)
        leaves = [dl.Tensor(x, requires_grad=True) for x in inputs]
        result = PUBLIC.get(name, getattr(dl, name, None))(*leaves, **options)
        result.backward(g)
        found = [result.data, *(leaf.grad for leaf in leaves)]
        for got, want in zip(found, [value, *expected], strict=True):
            np.testing.assert_allclose(
                got, want.astype(dtype), rtol=precision, atol=precision, strict=True
            )


def check_rules(function, inputs, g, options):
    """One VJP per input, which gives g, a view of it or an array of its own, in g's dtype."""
    value, *vjps = function(*([inputs] if function.variadic else inputs), **options)
    if function.fused_vjp:
        (fused,) = vjps
        vjps = [lambda g, i=i: fused(g, [True] * len(inputs))[i] for i in range(len(inputs))]
    assert len(vjps) == (len(inputs) if function.variadic else len(function.derivatives))
    assert value.dtype == g.dtype
    np.asarray(value).flags.writeable = False
    held = [*inputs, value]
    for vjp in vjps:
        once, again = vjp(g), vjp(g)
        np.testing.assert_array_equal(once, again)
        for product in (once, again):
            assert product.dtype == g.dtype
            if not np.may_share_memory(product, g):
                assert not any(np.may_share_memory(product, other) for other in held)
                held.append(product)


def erf(z):
    """2/√π e^(−z²) Σ 2ⁿ z²ⁿ⁺¹ / (2n + 1)!!, on complex numbers too."""
    term = total = z
    for n in range(1, 80):
        term = term * 2 * z * z / (2 * n + 1)
        total = total + term
    return 2 / np.sqrt(np.pi) * np.exp(-z * z) * total


# --- what hypothesis draws ----------------------------------------------------------------------

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
fewer = settings(max_examples=20)


def uniform(seed, *shapes, low=-3.0, high=3.0):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(low, high, shape)) for shape in shapes]


def axes_of(shape):
    """None, one axis or a tuple of them, some counted from the end."""
    n = len(shape)
    one = st.integers(-n, n - 1) if n else st.none()
    return st.one_of(st.none(), one, hnp.valid_tuple_axes(n))


# --- entry by entry -----------------------------------------------------------------------------

UNARY = [
    ("negative", lambda x: 0 - x, {}),
    ("exp", np.exp, {}),
    ("sin", np.sin, {}),
    ("cos", np.cos, {}),
    ("log", np.log, {}),
    ("sqrt", np.sqrt, {}),
    ("abs", lambda x: np.where(x.real > 0, x, -x), {}),
    ("tanh", np.tanh, {}),
    ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), {}),
    ("relu", lambda x: np.where(x.real > 0, x, 0), {}),
    ("leaky_relu", lambda x: np.where(x.real > 0, x, 0.01 * x), {}),
    ("leaky_relu", lambda x: np.where(x.real > 0, x, 0.3 * x), {"slope": 0.3}),
    ("elu", lambda x: np.where(x.real > 0, x, np.exp(x) - 1), {}),
    ("elu", lambda x: np.where(x.real > 0, x, 0.5 * (np.exp(x) - 1)), {"alpha": 0.5}),
    ("gelu", lambda x: x * (1 + erf(x * np.sqrt(0.5))) / 2, {}),
    ("silu", lambda x: x / (1 + np.exp(-x)), {}),
    ("softplus", lambda x: np.log(1 + np.exp(x)), {}),
]
BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: np.exp(b * np.log(a)),
    "maximum": lambda a, b: np.where(a.real > b.real, a, b),
    "minimum": lambda a, b: np.where(a.real < b.real, a, b),
}


@pytest.mark.parametrize(("name", "reference", "options"), UNARY)
@given(shape=SHAPES, seed=SEEDS)
@fewer
def test_a_function_of_one_array_agrees_with_its_formula(name, reference, options, shape, seed):
    low = 0.2 if name in ("log", "sqrt") else -3
    check(name, reference, *uniform(seed, shape, low=low), **options)


@pytest.mark.parametrize("name", BINARY)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0), seed=SEEDS)
@fewer
def test_a_function_of_two_arrays_broadcasts_and_sums_back(name, shapes, seed):
    low = 0.3 if name in ("divide", "power") else -3
    check(name, BINARY[name], *uniform(seed, *shapes.input_shapes, low=low))


@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0), seed=SEEDS)
@fewer
def test_where_sends_the_gradient_to_the_branch_taken(shapes, seed):
    a, b, c = uniform(seed, *shapes.input_shapes)
    check("where", lambda a, b: a * (c > 0) + b * (c <= 0), a, b, condition=c > 0)


@pytest.mark.parametrize("exponent", [-2, -1, 0, 1, 2, 3])
def test_an_integer_power_takes_a_negative_base(exponent):
    for dtype in DTYPES:
        x = dl.Tensor(np.array([-2.0, -0.5, 1.5], dtype), requires_grad=True)
        y = x**exponent
        y.sum().backward()
        np.testing.assert_allclose(y.data, [math.pow(v, exponent) for v in x.data], rtol=1e-6)
        slope = [exponent * math.pow(v, exponent - 1) for v in x.data]
        np.testing.assert_allclose(x.grad, slope, rtol=1e-6)
        assert y.dtype == x.grad.dtype == dtype


def test_a_power_of_zero_has_its_limits_as_derivatives():
    a = dl.Tensor([0.0, 0.0, 0.0], requires_grad=True)
    b = dl.Tensor([0.0, 1.0, 2.0], requires_grad=True)
    y = a**b
    y.sum().backward()
    np.testing.assert_array_equal(y.data, [1, 0, 0])
    np.testing.assert_array_equal(a.grad, [0, 1, 0])
    np.testing.assert_array_equal(b.grad, [0, 0, 0])


# --- matrix products ----------------------------------------------------------------------------


@given(shapes=hnp.mutually_broadcastable_shapes(signature=np.matmul.signature), seed=SEEDS)
@settings(max_examples=60)
def test_matmul_agrees_with_numpy_for_any_shapes_that_fit(shapes, seed):
    check("matmul", np.matmul, *uniform(seed, *shapes.input_shapes))


@pytest.mark.parametrize("a", [(3,), (2, 3), (4, 2, 3), (5, 1, 2, 3), (0, 3)])
@pytest.mark.parametrize("b", [(3,), (3, 2), (4, 3, 2), (1, 4, 3, 2), (3, 0)])
def test_matmul_takes_vectors_matrices_and_broadcast_batches(a, b):
    check("matmul", np.matmul, *uniform(0, a, b))


DENSE_SIZES = [(0, 3, 2), (1, 1, 1), (4, 3, 2), (5, 2, 17), (2, 9, 16), (2, 257, 3), (257, 2, 3)]


def layer_inputs(rows, inputs, outputs):
    """x, W, b of a layer."""
    return uniform(0, (rows, inputs), (inputs, outputs), (outputs,))


@pytest.mark.parametrize("sizes", DENSE_SIZES)
def test_dense_is_a_product_plus_a_bias(sizes):
    check("dense", lambda x, w, b: x @ w + b, *layer_inputs(*sizes))


@pytest.mark.parametrize("sizes", DENSE_SIZES)
def test_dense_may_be_rectified(sizes):
    def rectified(x, w, b):
        y = x @ w + b
        return np.where(y.real > 0, y, 0)

    check("dense_relu", rectified, *layer_inputs(*sizes))


@pytest.mark.parametrize("shape", [(), (3,), (1, 2), (2, 1)])
@pytest.mark.parametrize("layer", [tensor.dense, tensor.dense_relu])
def test_a_layer_names_the_shape_that_its_bias_must_have(layer, shape):
    with pytest.raises(ValueError, match=r"the bias must have shape \(2,\), got"):
        layer(np.ones((4, 3)), np.ones((3, 2)), np.ones(shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_rectified_layer_has_the_bits_of_a_layer_and_relu(dtype):
    arrays = [a.astype(dtype) for a in layer_inputs(33, 7, 19)]
    found = []
    for layer in (tensor.dense_relu, lambda *inputs: dl.relu(tensor.dense(*inputs))):
        leaves = [dl.Tensor(a, requires_grad=True) for a in arrays]
        y = layer(*leaves)
        y.backward(np.random.default_rng(1).normal(size=y.shape))
        found.append([y.data, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("sizes", DENSE_SIZES)
@pytest.mark.parametrize("layer", [ops.dense, ops.dense_relu])
def test_gradients_that_are_not_needed_are_left_out_and_change_no_other(sizes, layer):
    y, vjp = layer(*layer_inputs(*sizes))
    g = np.ones(y.shape)
    every_grad = vjp(g, [True] * 3)
    for needs_grad in itertools.product([False, True], repeat=3):
        for needed, grad, expected in zip(needs_grad, vjp(g, needs_grad), every_grad, strict=True):
            if needed:
                np.testing.assert_array_equal(grad, expected)
            else:
                assert grad is None


@pytest.mark.parametrize("strided", ["transposed", "reversed", "broadcast"])
@pytest.mark.parametrize("layer", [ops.dense, ops.dense_relu])
def test_a_gradient_of_any_layout_gives_the_bits_of_a_contiguous_one(strided, layer):
    _, vjp = layer(*layer_inputs(6, 3, 4))
    g = {
        "transposed": np.random.default_rng(0).normal(size=(4, 6)).T,
        "reversed": np.random.default_rng(0).normal(size=(6, 4))[::-1, ::-1],
        "broadcast": np.broadcast_to(np.float64(0.3), (6, 4)),
    }[strided]
    for grad, expected in zip(vjp(g, [True] * 3), vjp(g.copy(), [True] * 3), strict=True):
        np.testing.assert_array_equal(grad, expected)


@pytest.mark.parametrize("name", ["dense", "relu", "gelu", "mse", "cross_entropy"])
def test_an_op_with_a_kernel_refuses_dtypes_wider_than_float64(name):
    if np.dtype(np.longdouble).itemsize == 8:
        return  # as on Windows, where it is float64
    x = np.ones((2, 2), np.longdouble)
    calls = {
        "dense": lambda: tensor.dense(x, x, x[0]),
        "relu": lambda: dl.relu(dl.Tensor(x, requires_grad=True)).backward(x),
        "gelu": lambda: dl.gelu(x),
        "mse": lambda: dl.losses.mse(x, x),
        "cross_entropy": lambda: dl.losses.cross_entropy(x, [0, 1]),
    }
    with pytest.raises(TypeError, match="compute in float32 or float64, not in float128"):
        calls[name]()


@pytest.mark.parametrize("name", ["dense", "relu", "gelu", "mse", "cross_entropy"])
def test_half_precision_is_computed_in_float32_and_rounded_once(name):
    half = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float16)
    calls = {
        "dense": lambda x: tensor.dense(x, np.eye(3, dtype=x.dtype), np.ones(3, x.dtype)),
        "relu": dl.relu,
        "gelu": dl.gelu,
        "mse": lambda x: dl.losses.mse(x, np.zeros_like(half)),
        "cross_entropy": lambda x: dl.losses.cross_entropy(x, [0, 1, 2, 0]),
    }
    leaves = [dl.Tensor(half.astype(dtype), requires_grad=True) for dtype in ("f2", "f4")]
    narrow, wide = (calls[name](leaf) for leaf in leaves)
    for y in (narrow, wide):
        y.backward(np.ones(y.shape))
    assert narrow.dtype == leaves[0].grad.dtype == np.float16
    np.testing.assert_allclose(narrow.data, wide.data, rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(leaves[0].grad, leaves[1].grad, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("sizes", [(2, 3, 2), (257, 257, 2)])
@pytest.mark.parametrize("dtypes", list(itertools.product(DTYPES, repeat=3)))
def test_dense_promotes_like_numpy(dtypes, sizes):
    inputs = [a.astype(dtype) for a, dtype in zip(layer_inputs(*sizes), dtypes, strict=True)]
    leaves = [dl.Tensor(a, requires_grad=True) for a in inputs]
    y = tensor.dense(*leaves)
    y.backward(np.ones(y.shape))
    x, w, b = inputs
    ones, precision = np.ones(y.shape), 1e-4 if np.float32 in dtypes else 1e-11
    expected = x @ w + b, ones @ w.T, x.T @ ones, ones.sum(axis=0)
    for got, want, dtype in zip(
        [y.data, *(leaf.grad for leaf in leaves)],
        expected,
        [np.result_type(*inputs), *dtypes],
        strict=True,
    ):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=precision, atol=precision)


# --- reductions ---------------------------------------------------------------------------------


@np.errstate(divide="ignore")
def log_sum_exp(x, **how):
    return np.log(np.sum(np.exp(x), **how))


REDUCING = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "norm": lambda x, **how: np.sqrt(np.sum(x**2, **how)),
    "logsumexp": log_sum_exp,
}
NORMALIZING = {
    "softmax": lambda x, axis: np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True),
    "log_softmax": lambda x, axis: x - log_sum_exp(x, axis=axis, keepdims=True),
}


@pytest.mark.parametrize("name", REDUCING)
@given(data=st.data(), keepdims=st.booleans(), seed=SEEDS)
@settings(max_examples=40)
def test_a_reduction_agrees_with_its_formula_along_any_axes(name, data, keepdims, seed):
    [x] = uniform(seed, data.draw(SHAPES, "shape"))
    how = {"axis": data.draw(axes_of(x.shape), "axis"), "keepdims": keepdims}
    if name != "sum":
        assume(np.sum(np.ones(x.shape), **how).all() and x.size)
    check(name, lambda x: REDUCING[name](x, **how), x, **how)


@pytest.mark.parametrize("name", ["sum", "max", "min", "norm", "logsumexp"])
def test_a_reduction_to_no_entries_passes_an_empty_gradient(name):
    x = dl.Tensor(np.empty((0, 3)), requires_grad=True)
    y = getattr(dl, name)(x, axis=1)
    y.backward(np.empty(0))
    assert y.shape == (0,)
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("name", [*REDUCING, *NORMALIZING])
def test_a_single_number_has_the_last_axis_that_numpy_grants_it(name):
    x = dl.Tensor(0.5, requires_grad=True)
    y = getattr(dl, name)(x, axis=-1)
    y.backward()
    assert y.item() == {"softmax": 1, "log_softmax": 0}.get(name, 0.5)
    assert x.grad == (name not in NORMALIZING)


@pytest.mark.parametrize("name", NORMALIZING)
@given(data=st.data(), seed=SEEDS)
@fewer
def test_softmax_agrees_with_its_formula_along_any_axis(name, data, seed):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    check(name, lambda x: NORMALIZING[name](x, axis), *uniform(seed, shape), axis=axis)


@pytest.mark.parametrize("name", ["mean", "max", "min"])
@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_a_mean_or_extremum_of_no_entries_is_a_value_error(name, axis):
    with pytest.raises(ValueError, match=rf"{name} of shape \(0, 2\)"):
        getattr(dl, name)(np.empty((0, 2)), axis=axis)


# --- shape and indexing -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [24, -1, (24,), (4, -1), (2, 1, 12), (-1, 2, 2, 2), [6, 4]])
def test_reshape_agrees_with_numpy(shape):
    check("reshape", lambda x: np.reshape(x, shape), *uniform(0, (2, 3, 4)), shape=shape)


@pytest.mark.parametrize(("old", "new"), [((), (1, 1)), ((1,), ()), ((0, 3), (3, 0)), ((0,), 0)])
def test_reshape_takes_single_numbers_and_empty_arrays(old, new):
    check("reshape", lambda x: np.reshape(x, new), *uniform(0, old), shape=new)


@given(data=st.data(), seed=SEEDS)
@fewer
def test_transpose_agrees_with_numpy_for_any_permutation(data, seed):
    [x] = uniform(seed, data.draw(SHAPES))
    order = data.draw(st.permutations(range(x.ndim)))
    order = [axis - x.ndim * data.draw(st.booleans()) for axis in order]
    axes = data.draw(st.sampled_from([None, tuple(order)]))
    check("transpose", lambda x: np.transpose(x, axes), x, axes=axes)


@given(data=st.data(), seed=SEEDS)
@settings(max_examples=80)
def test_basic_indexing_agrees_with_numpy(data, seed):
    [x] = uniform(seed, data.draw(SHAPES))
    key = data.draw(hnp.basic_indices(x.shape, allow_newaxis=True))
    check("getitem", lambda x: x[key], x, key=key)


@given(data=st.data(), seed=SEEDS)
@settings(max_examples=40)
def test_integer_array_indexing_agrees_with_numpy(data, seed):
    [x] = uniform(seed, data.draw(hnp.array_shapes(max_dims=3, max_side=3)))
    key = data.draw(hnp.integer_array_indices(x.shape, result_shape=hnp.array_shapes(max_dims=2)))
    check("getitem", lambda x: x[key], x, key=key)


@pytest.mark.parametrize(
    "key",
    [
        slice(None, None, -1),
        slice(3, 0, -2),
        (..., -1),
        (None, 2, ..., None),
        [0, 0, 2],
        np.array([[1, 1], [1, -1]]),
        (slice(1, 3), [2, 0, 2]),
        (0, ..., [1, 1, 0]),
        ([0, 0], slice(None), [1, 1]),
        np.array([True, False, True, False]),
        np.zeros(4, bool),
        np.arange(24).reshape(4, 3, 2) % 3 == 0,
        (slice(None), np.array([True, False, True]), [1, 1]),
    ],
    ids=repr,
)
def test_mixed_and_boolean_indexing_agrees_with_numpy(key):
    check("getitem", lambda x: x[key], *uniform(0, (4, 3, 2)), key=key)


@given(data=st.data(), lengths=st.lists(st.integers(0, 3), min_size=1, max_size=4), seed=SEEDS)
@fewer
def test_concatenate_agrees_with_numpy_along_any_axis(data, lengths, seed):
    shape = data.draw(hnp.array_shapes(max_dims=3, min_side=0, max_side=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    shapes = [np.insert(np.delete(shape, axis), axis % len(shape), n) for n in lengths]
    check("concatenate", lambda *xs: np.concatenate(xs, axis), *uniform(seed, *shapes), axis=axis)


@given(data=st.data(), count=st.integers(1, 3), seed=SEEDS)
@fewer
def test_stack_agrees_with_numpy_along_any_axis(data, count, seed):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    check("stack", lambda *xs: np.stack(xs, axis), *uniform(seed, *[shape] * count), axis=axis)


# --- losses -------------------------------------------------------------------------------------


def reduced(losses, reduction):
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3), seed=SEEDS)
@fewer
def test_mse_agrees_with_its_formula(reduction, shape, seed):
    p, t = uniform(seed, shape, shape)
    check("mse", lambda p, t: reduced((p - t) ** 2, reduction), p, t, reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3), seed=SEEDS)
@fewer
def test_binary_cross_entropy_is_the_cross_entropy_of_two_classes(reduction, shape, seed):
    x, t = uniform(seed, shape, shape)
    check(
        "binary_cross_entropy",
        lambda x, t: reduced(
            t * np.log(1 + np.exp(-x)) + (1 - t) * np.log(1 + np.exp(x)), reduction
        ),
        x,
        (t + 3) / 6,
        reduction=reduction,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("soft", [True, False])
@given(shape=hnp.array_shapes(max_dims=3, max_side=4), seed=SEEDS)
@settings(max_examples=10)
def test_cross_entropy_is_the_cross_entropy_of_the_softmax(reduction, smoothing, soft, shape, seed):
    rng, classes = np.random.default_rng(seed), shape[-1]
    labels = rng.integers(classes, size=shape[:-1])
    t = rng.dirichlet(np.ones(classes), shape[:-1]) if soft else np.eye(classes)[labels]
    smooth = (1 - smoothing) * t + smoothing / classes

    def reference(x):
        return reduced(-np.sum(smooth * NORMALIZING["log_softmax"](x, -1), axis=-1), reduction)

    x = rng.normal(size=shape)
    target = t if soft else labels
    check("cross_entropy", reference, x, target=target, smoothing=smoothing, reduction=reduction)


# --- the edges ----------------------------------------------------------------------------------

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def run(f, values, dtype=np.float64, g=None):
    """The value of f at the values, and its gradient, under the strictest of NumPy's settings."""
    x = dl.Tensor(np.asarray(values, dtype), requires_grad=True)
    with np.errstate(all="raise"):
        y = f(x)
        y.backward(np.ones(y.shape) if g is None else g)
    assert y.dtype == x.grad.dtype == dtype
    return y.data, x.grad


@pytest.mark.parametrize("f", [dl.relu, dl.abs])
def test_relu_and_abs_have_derivative_zero_at_zero(f):
    value, gradient = run(f, [0.0, -0.0])
    np.testing.assert_array_equal(value, [0, 0])
    np.testing.assert_array_equal(gradient, [0, 0])


def test_relu_of_nan_is_nan():
    np.testing.assert_array_equal(dl.relu([np.nan, -1.0, 1.0]).data, [np.nan, 0, 1])


@pytest.mark.parametrize(("f", "sign"), [(dl.max, 1), (dl.min, -1)])
@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (None, [[0, 1 / 3, 1 / 3], [1 / 3, 0, 0]]),
        (0, [[0, 1, 1], [1, 0, 0]]),
        (-1, [[0, 1 / 2, 1 / 2], [1, 0, 0]]),
        ((0, 1), [[0, 1 / 3, 1 / 3], [1 / 3, 0, 0]]),
    ],
)
@both_dtypes
def test_ties_share_the_gradient_of_max_and_min_equally(f, sign, axis, expected, dtype):
    values = sign * np.array([[1.0, 7, 7], [7, 2, 3]])
    _, gradient = run(lambda x: f(x, axis=axis), values, dtype)
    np.testing.assert_allclose(gradient, expected, rtol=1e-7)


@pytest.mark.parametrize(("f", "sign"), [(dl.maximum, 1), (dl.minimum, -1)])
@both_dtypes
def test_ties_share_the_gradient_of_maximum_and_minimum_equally(f, sign, dtype):
    other = dl.Tensor(sign * np.array([2.0, 2, 2], dtype), requires_grad=True)
    _, gradient = run(lambda x: f(x, other), sign * np.array([1.0, 2, 3]), dtype)
    np.testing.assert_array_equal(gradient, [0, 0.5, 1])
    np.testing.assert_array_equal(other.grad, [1, 0.5, 0])


@pytest.mark.parametrize("name", ["max", "min"])
def test_nan_is_the_largest_and_the_smallest_and_takes_the_gradient(name):
    value, gradient = run(getattr(dl, name), [1.0, np.nan, 3.0, np.nan])
    np.testing.assert_array_equal(value, np.nan)
    np.testing.assert_array_equal(gradient, [0, 0.5, 0, 0.5])


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_maximum_and_minimum_propagate_nan(name):
    x = [1.0, np.nan, 3.0]
    np.testing.assert_array_equal(getattr(dl, name)(x, 2.0).data, getattr(np, name)(x, 2.0))


@both_dtypes
def test_sqrt_has_an_infinite_derivative_at_zero(dtype):
    value, gradient = run(dl.sqrt, [0.0, 4.0], dtype)
    np.testing.assert_array_equal(value, [0, 2])
    np.testing.assert_array_equal(gradient, [np.inf, 0.25])


@both_dtypes
def test_norm_has_derivative_zero_at_zero(dtype):
    value, gradient = run(lambda x: dl.norm(x, axis=1), [[0.0, 0.0], [3.0, 4.0]], dtype)
    np.testing.assert_array_equal(value, [0, 5])
    np.testing.assert_allclose(gradient, [[0, 0], [0.6, 0.8]], rtol=1e-7)


ln2 = math.log(2)


@pytest.mark.parametrize(
    ("f", "row", "value", "gradient"),
    [
        (dl.softmax, [1000, 0, -1000], [1, 0, 0], [0, 0, 0]),
        (dl.softmax, [-1000, -1000], [0.5, 0.5], [-0.25, 0.25]),
        (dl.softmax, [0, -np.inf, 0], [0.5, 0, 0.5], [-0.5, 0, 0.5]),
        (dl.log_softmax, [1000, 0, -1000], [0, -1000, -2000], [-5, 2, 3]),
        (dl.log_softmax, [-1000, -1000], [-ln2, -ln2], [-0.5, 0.5]),
        (dl.log_softmax, [0, -np.inf, 0], [-ln2, -np.inf, -ln2], [-2, 2, 0]),
        (dl.logsumexp, [1000, 0, -1000], 1000, [1, 0, 0]),
        (dl.logsumexp, [1000, 1000], 1000 + ln2, [0.5, 0.5]),
        (dl.logsumexp, [-1000, -1000], -1000 + ln2, [0.5, 0.5]),
        (dl.logsumexp, [0, -np.inf, 0], ln2, [0.5, 0, 0.5]),
    ],
)
@both_dtypes
def test_softmax_and_its_logarithms_are_right_for_extreme_rows(f, row, value, gradient, dtype):
    weights = None if f is dl.logsumexp else np.arange(1.0, len(row) + 1)
    found = run(f, row, dtype, weights)
    precision = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(found[0], value, rtol=precision)
    np.testing.assert_allclose(found[1], gradient, rtol=precision)


@both_dtypes
@pytest.mark.parametrize("row", [[-np.inf, -np.inf], []])
def test_logsumexp_of_nothing_is_minus_infinity(dtype, row):
    with np.errstate(all="raise"):
        assert dl.logsumexp(np.array(row, dtype)).item() == -np.inf


def test_one_row_of_minus_infinity_leaves_the_others_alone():
    rows = np.array([[-np.inf, -np.inf], [0.0, 0.0]])
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(dl.logsumexp(rows).data, [-np.inf, ln2])


@pytest.mark.parametrize(
    ("f", "x", "value", "gradient"),
    [
        (dl.sigmoid, 1000, 1, 0),
        (dl.sigmoid, -1000, 0, 0),
        (dl.sigmoid, -40, math.exp(-40), math.exp(-40)),
        (dl.softplus, 1000, 1000, 1),
        (dl.softplus, -1000, 0, 0),
        (dl.softplus, -40, math.exp(-40), math.exp(-40)),
        (dl.softplus, 40, 40, 1),
        (dl.silu, 1000, 1000, 1),
        (dl.silu, -1000, 0, 0),
        (dl.gelu, 1000, 1000, 1),
        (dl.gelu, -1000, 0, 0),
        (dl.elu, 1000, 1000, 1),
        (dl.elu, -1000, -1, 0),
        (dl.tanh, 1000, 1, 0),
        (lambda x: dl.losses.binary_cross_entropy(x, [1.0]), -1000, 1000, -1),
        (lambda x: dl.losses.binary_cross_entropy(x, [1.0]), 1000, 0, 0),
        (lambda x: dl.losses.binary_cross_entropy(x, [0.0]), 1000, 1000, 1),
        (lambda x: dl.losses.binary_cross_entropy(x, [0.0]), -1000, 0, 0),
        (lambda x: dl.losses.binary_cross_entropy(x, [1.0]), 40, math.exp(-40), None),
        (lambda x: dl.losses.binary_cross_entropy(x, [0.0]), -40, math.exp(-40), math.exp(-40)),
    ],
)
@both_dtypes
def test_saturating_functions_are_exact_in_both_tails(f, x, value, gradient, dtype):
    found = run(f, [x], dtype)
    precision = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(found[0], np.reshape(value, found[0].shape), rtol=precision)
    if gradient is not None:
        np.testing.assert_allclose(found[1], [gradient], rtol=precision)


def test_gelu_in_float16_is_that_of_float64_within_its_rounding():
    x = np.linspace(-8, 8, 1001).astype(np.float16)
    for half, double in zip(run(dl.gelu, x, np.float16), run(dl.gelu, x), strict=True):
        np.testing.assert_allclose(half, double, rtol=1.5e-3, atol=1.5e-3)
        far_left = x < -4.5
        np.testing.assert_allclose(half[far_left], double[far_left], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "far"), [(np.float16, 400), (np.float16, 6e4), (np.float32, 1e20), (float, 1e155)]
)
def test_gelu_far_out_is_the_identity_or_zero_without_overflow(dtype, far):
    value, gradient = run(dl.gelu, [far, -far], dtype)
    np.testing.assert_array_equal(value, np.array([far, 0], dtype))
    np.testing.assert_array_equal(gradient, [1, 0])


def beside_zeros(f, axis=-1):
    """The op on rows of a logit and a zero."""
    return lambda x: f(dl.stack([x, np.zeros(x.shape, x.dtype)], axis))


VANISHING = {
    **{name: getattr(dl, name) for name in ("sigmoid", "softplus", "silu", "gelu", "elu", "tanh")},
    "softmax": beside_zeros(dl.softmax),
    "softmax along the first axis": beside_zeros(lambda x: dl.softmax(x, axis=0), 0),
    "log_softmax": beside_zeros(dl.log_softmax),
    "logsumexp": beside_zeros(dl.logsumexp),
    "binary_cross_entropy": lambda x: dl.losses.binary_cross_entropy(
        x, np.full(x.shape, 0.3), "none"
    ),
    "cross_entropy": beside_zeros(
        lambda x: dl.losses.cross_entropy(x, np.zeros(len(x), int), "none")
    ),
}


@pytest.mark.parametrize("f", VANISHING.values(), ids=VANISHING)
@both_dtypes
def test_no_setting_of_numpy_stops_a_vanishing_tail(f, dtype, rng):
    """Forward and backward, on the way through the denormal numbers too."""
    x = np.linspace(-1100, 1100, 20_001)
    g = rng.normal(size=f(dl.Tensor(x)).shape)
    value, gradient = run(f, x, dtype, g)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()


@both_dtypes
def test_the_cross_entropy_of_a_confident_mistake_is_a_thousand(dtype):
    loss, gradient = run(lambda x: dl.losses.cross_entropy(x, [1]), [[1000.0, 0.0]], dtype)
    assert loss == 1000
    np.testing.assert_array_equal(gradient, [[1, -1]])


def test_neither_branch_of_where_poisons_the_other():
    x = dl.Tensor([-1.0, 0.0, 4.0], requires_grad=True)
    y = dl.where(x.data > 0, 1 / dl.maximum(x, 1.0), np.array([np.nan, np.inf, np.nan]))
    y.backward([0.0, 0.0, 1.0])
    np.testing.assert_array_equal(y.data, [np.nan, np.inf, 0.25])
    np.testing.assert_array_equal(x.grad, [0, 0, -1 / 16])


# --- what each op carries, and what the package offers ------------------------------------------


def test_every_op_is_checked_in_this_file():
    others = ["where", "matmul", "dense", "dense_relu", "concatenate", "stack"]
    others += ["reshape", "transpose", "getitem"]
    losses = ["mse", "binary_cross_entropy", "cross_entropy"]
    checked = {name for name, *_ in UNARY}
    assert set(OPS) == checked.union(BINARY, REDUCING, NORMALIZING, others, losses)


@pytest.mark.parametrize("name", OPS)
def test_an_op_carries_its_formula_and_derivatives_and_documents_them(name):
    function = OPS[name]
    assert function.formula[:4] in ("y = ", "L = ")
    assert function.derivatives
    assert all(text.startswith("∂") and " = " in text for text in function.derivatives)
    for text in (function.formula, *function.derivatives):
        assert text in function.__doc__
    assert function.__doc__.splitlines()[0].endswith(".")


API = """
exp log sqrt abs sin cos tanh sigmoid relu softplus leaky_relu elu gelu silu maximum minimum
where
sum mean max min reshape transpose matmul concatenate stack norm softmax log_softmax logsumexp
no_grad set_default_dtype default_dtype gradcheck fit Tensor
"""
FUNCTIONS = API.split()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_there_documented_and_listed(name):
    assert callable(getattr(dl, name))
    assert getattr(dl, name).__doc__
    assert name in dl.__all__


@pytest.mark.parametrize("name", sorted(set(OPS).intersection(FUNCTIONS)))
def test_a_public_function_shows_the_formula_of_its_op(name):
    documented = " ".join(getattr(dl, name).__doc__.split())
    assert " ".join(OPS[name].formula.split()) in documented


# --- invalid input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: x + np.ones(2), r"add of shape \(3,\) and \(2,\)"),
        (lambda x: x @ np.ones((2, 3)), r"matmul of shape \(3,\) and \(2, 3\)"),
        (lambda x: x @ np.float64(2), r"matmul of shape \(3,\) and \(\)"),
        (lambda x: 2.0 @ x, r"matmul of shape \(\) and \(3,\)"),
        (lambda x: x.reshape(2, 2), r"reshape of shape \(3,\)"),
        (lambda x: x.transpose(0, 1), r"transpose of shape \(3,\)"),
        (lambda x: x.sum(axis=1), r"sum of shape \(3,\).*axis 1"),
        (lambda x: dl.softmax(x, axis=2), r"softmax of shape \(3,\).*axis 2"),
        (lambda x: dl.where([True, False], x, 0.0), "where of shape"),
        (lambda x: dl.stack([x, np.ones(2)]), "stack of shape"),
        (lambda x: dl.concatenate([x, np.ones((3, 1))]), "concatenate of shape"),
        (lambda x: dl.concatenate([x, x], axis=1), "concatenate of shape.*axis 1"),
        (lambda x: dl.concatenate([1.0, 2.0]), "concatenate of shape.*zero-dimensional"),
        (lambda x: dl.concatenate([]), "concatenate.*at least one"),
        (lambda x: dl.stack([]), "stack.*at least one"),
    ],
)
def test_shapes_that_do_not_fit_are_a_value_error_that_names_them(call, message):
    with pytest.raises(ValueError, match=message):
        call(dl.Tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("x", [-40.0, 40.0])
def test_the_derivatives_of_sigmoid_and_elu_keep_their_tails(x):
    leaf = dl.Tensor(np.array(x), requires_grad=True)
    leaf.sigmoid().backward()
    np.testing.assert_allclose(leaf.grad, np.exp(-40.0), rtol=1e-12)
    leaf = dl.Tensor(np.array(-40.0), requires_grad=True)
    dl.elu(leaf).backward()
    np.testing.assert_allclose(leaf.grad, np.exp(-40.0), rtol=1e-12)


def test_an_infinite_gradient_does_not_pass_where_relu_or_where_is_closed():
    x = dl.Tensor(np.array([-1.0, 4.0]), requires_grad=True)
    dl.relu(x).sqrt().sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.25])
