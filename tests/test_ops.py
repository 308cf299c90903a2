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
    ("log1p", lambda x: np.log(1 + x), {}),
    ("sqrt", np.sqrt, {}),
    ("abs", lambda x: np.where(x.real > 0, x, -x), {}),
    ("sign", lambda x: np.where(x.real > 0, 1.0, -1.0), {}),
    (
        "clip",
        lambda x: np.where(x.real < -1, -1, np.where(x.real > 2, 2, x)),
        {"low": -1, "high": 2},
    ),
    ("clip", lambda x: np.where(x.real < 0.5, 0.5, x), {"low": 0.5, "high": None}),
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
    low = 0.2 if name.startswith(("log", "sqrt")) else -3
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


CORNERS = [-np.inf, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan]


def slope_by_base(a, b):
    """d/da aᵇ by cases; None where it does not exist."""
    if b == 0:
        return 0.0
    if math.isnan(a) or math.isnan(b):
        return 1.0 if b == 1 else None
    if math.isinf(b):  # 0 where powers vanish, ±∞ where they grow
        if abs(a) == 1:
            return None
        return 0.0 if (abs(a) > 1) == (b < 0) else (None if a <= 0 else math.copysign(np.inf, b))
    if a < 0 and not b.is_integer():
        return None
    if a == 0 or math.isinf(a):
        if b == 1:
            return 1.0
        vanishes = (b > 1) == (a == 0)
        odd = math.copysign(1, a) < 0 and (b - 1) % 2 == 1
        return 0.0 if vanishes else math.copysign(np.inf, b) * (-1 if odd else 1)
    return b * math.pow(a, b - 1)


def slope_by_exponent(a, b):
    """d/db aᵇ by cases; None where it does not exist."""
    if math.isnan(a) or math.isnan(b):
        return None
    if a == 0:
        return -np.inf if b < 0 else 0.0
    if a < 0:
        return None
    if math.isinf(a) or math.isinf(b):
        if a == 1:
            return 0.0
        if b == 0:
            return np.inf
        grows = (a > 1) == (b > 0)
        return math.copysign(np.inf, a - 1) if grows else 0.0
    return math.pow(a, b) * math.log(a)


@pytest.mark.parametrize("g", [1.0, -2.0, 0.0])
@pytest.mark.parametrize("b", CORNERS)
@pytest.mark.parametrize("a", CORNERS)
def test_a_power_has_its_derivatives_at_every_corner_without_a_warning(a, b, g):
    with np.errstate(all="ignore"):
        _, *vjps = ops.power(np.array(a), np.array(b))
    for vjp, slope in zip(vjps, (slope_by_base(a, b), slope_by_exponent(a, b)), strict=True):
        if slope is not None:
            with np.errstate(all="raise"):
                found = vjp(np.array(g))
            np.testing.assert_allclose(found, g * slope if g else 0.0, rtol=1e-15)


@pytest.mark.parametrize("g", [1.0, 0.0])
def test_a_power_of_nan_has_the_derivative_nan(g):
    _, vjp_a, vjp_b = ops.power(np.array([np.nan, 2.0]), np.array([2.0, np.nan]))
    assert np.isnan(vjp_a(np.array(g))).all()
    assert np.isnan(vjp_b(np.array(g))).all()


@pytest.mark.parametrize("dtype", [np.float16, *DTYPES])
@pytest.mark.parametrize("zero", [0, 0.0, np.zeros((2, 1, 1)), np.array(0)])
def test_the_power_zero_has_slope_zero_at_infinity_and_nan(zero, dtype):
    x = dl.Tensor(np.array([np.inf, -np.inf, np.nan, 0, 3], dtype), requires_grad=True)
    with np.errstate(all="raise"):
        y = x**zero
        y.backward(np.ones(y.shape))
    assert (y.data == 1).all()
    np.testing.assert_array_equal(x.grad, np.zeros(5, dtype), strict=True)


@pytest.mark.parametrize("a", [0.0, np.zeros(()), np.zeros(3), np.zeros((2, 3))])
def test_zero_to_a_power_falls_without_bound_below_and_stays_zero_above(a):
    b = dl.Tensor(np.array([-1.0, -0.5, 2.0]), requires_grad=True)
    with np.errstate(divide="ignore"):
        (a**b).sum().backward()
    np.testing.assert_array_equal(b.grad, [-np.inf, -np.inf, 0])


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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["matmul", "dense", "dense_relu"])
def test_products_have_the_same_bits_in_any_memory_order(name, dtype, rng):
    shapes = [(33, 70), (70, 50), (50,)][: 2 if name == "matmul" else 3]
    arrays = [rng.normal(size=shape).astype(dtype) for shape in (*shapes, (33, 50))]

    def results(*inputs, g):
        value, *vjps = OPS[name](*inputs)
        return value, *(vjps[0](g, [True] * 3) if name != "matmul" else [f(g) for f in vjps])

    expected = results(*arrays[:-1], g=arrays[-1])
    for i in range(len(arrays)):
        given = [np.asfortranarray(x) if i == j else x for j, x in enumerate(arrays)]
        found = results(*given[:-1], g=given[-1])
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_array_equal(got, want, strict=True)


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


def variance(x, axis=None, keepdims=False, ddof=0):
    d = x - np.mean(x, axis=axis, keepdims=True)
    n = x.size / np.mean(x, axis=axis).size
    return np.sum(d * d, axis=axis, keepdims=keepdims) / (n - ddof)


REDUCING = {
    "var": variance,
    "std": lambda x, **how: np.sqrt(variance(x, **how)),
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
    if name in ("std", "var"):
        entries = x.size // np.mean(x, how["axis"]).size
        assume(entries > 1)  # it has a corner at 0
        how["ddof"] = data.draw(st.integers(0, entries - 1))
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
    assert y.item() == {"softmax": 1, "log_softmax": 0, "std": 0, "var": 0}.get(name, 0.5)
    assert x.grad == (name not in ("std", "var", *NORMALIZING))


@pytest.mark.parametrize("name", NORMALIZING)
@given(data=st.data(), seed=SEEDS)
@fewer
def test_softmax_agrees_with_its_formula_along_any_axis(name, data, seed):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    check(name, lambda x: NORMALIZING[name](x, axis), *uniform(seed, shape), axis=axis)


@pytest.mark.parametrize("name", ["mean", "max", "min", "std", "var"])
@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_a_mean_or_extremum_of_no_entries_is_a_value_error(name, axis):
    with pytest.raises(ValueError, match=rf"{name} of shape \(0, 2\)"):
        getattr(dl, name)(np.empty((0, 2)), axis=axis)


@pytest.mark.parametrize("name", ["std", "var"])
def test_a_deviation_needs_more_entries_than_ddof(name):
    with pytest.raises(ValueError, match=rf"{name} of shape \(3,\): with ddof=3 .* more than 3"):
        getattr(dl, name)(np.ones(3), ddof=3)


def test_a_deviation_is_two_pass_and_flat_at_zero():
    x = dl.Tensor(np.array([1e8 + 1, 1e8 + 2, 1e8 + 3], np.float32), requires_grad=True)
    x.data = np.array([16777214, 16777215, 16777216], np.float32)
    assert dl.var(x).item() == pytest.approx(2 / 3, rel=1e-7)
    assert dl.std(x, ddof=1).item() == 1
    for dtype, same in itertools.product((np.float16, *DTYPES), (5.0, 0.1, 1e-300, 1 / 3)):
        value, gradient = run(lambda x: dl.std(x, axis=1), [[same] * 7, [2.0] * 7], dtype)
        np.testing.assert_array_equal(value, [0, 0])
        np.testing.assert_array_equal(gradient, np.zeros((2, 7)))
    value, gradient = run(dl.std, [1e200, -1e200])
    assert value == 1e200
    np.testing.assert_allclose(gradient, [0.5, -0.5])


def test_a_clipped_entry_has_slope_one_at_the_bounds_and_zero_beyond():
    value, gradient = run(lambda x: dl.clip(x, -1, 2), [-5, -1, 0, 2, 2.5, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(value, [-1, -1, 0, 2, 2, np.nan, 2, -1])
    np.testing.assert_array_equal(gradient, [0, 1, 1, 1, 0, 0, 0, 0])
    value, gradient = run(lambda x: dl.clip(x, 0.1, 1e6), [0.05, 0.1, 7], np.float16)
    np.testing.assert_array_equal(value, np.array([0.1, 0.1, 7], np.float16))
    np.testing.assert_array_equal(gradient, [0, 1, 1])


@pytest.mark.parametrize(
    ("low", "high", "error"),
    [(1, 0, ValueError), (np.nan, 1, ValueError), ("0", 1, TypeError), (np.zeros(2), 1, TypeError)],
)
def test_the_bounds_of_clip_are_two_numbers_in_order(low, high, error):
    advice = "low must be <= high|a bound must be a number or None"
    with pytest.raises(error, match=rf"clip of shape \(2,\): ({advice}), got"):
        dl.clip(np.ones(2), low, high)


def test_argmax_is_the_place_of_the_first_largest_entry():
    x = np.array([[1.0, 7, 7], [9, np.nan, 9]])
    t = dl.Tensor(x, requires_grad=True)
    for found, axis in ((t.argmax(), None), (t.argmax(0), 0), (dl.argmax(x, axis=-1), -1)):
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, np.argmax(x, axis))
    assert t.argmax(axis=1).tolist() == [1, 1]
    for whole in ([2**62, 2**62 + 1], np.array([2**53, 2**53 + 1])):  # equal as floats
        assert dl.argmax(whole) == 1


def test_flatten_is_a_reshape_to_one_axis():
    t = dl.Tensor(np.arange(6.0).reshape(2, 1, 3), requires_grad=True)
    (t.flatten() * np.arange(6)).sum().backward()
    np.testing.assert_array_equal(t.grad, np.arange(6).reshape(2, 1, 3))
    assert dl.flatten(2.0).shape == (1,)


# --- axes ---------------------------------------------------------------------------------------

WITH_AXIS = {
    **{name: getattr(dl, name) for name in (*REDUCING, *NORMALIZING, "argmax")},
    "concatenate": lambda x, axis: dl.concatenate([x, x], axis=axis),
    "stack": lambda x, axis: dl.stack([x, x], axis=axis),
    "transpose": lambda x, axis: dl.transpose(x, (axis, 0)),
}
OUT_OF_RANGE = [(name, axis) for name in WITH_AXIS for axis in (3, -4)]


@pytest.mark.parametrize(("name", "axis"), OUT_OF_RANGE)
@pytest.mark.parametrize("error", [IndexError, ValueError])
def test_an_axis_out_of_range_is_named_with_the_shape(name, axis, error):
    with pytest.raises(error, match=rf"{name} of shape \(2, 3\).*: axis {axis} is out of bounds"):
        WITH_AXIS[name](dl.Tensor(np.ones((2, 3))), axis=axis)


@pytest.mark.parametrize("axis", [1.0, "0", True, [0], np.float32(1)], ids=repr)
@pytest.mark.parametrize("name", [name for name in WITH_AXIS if name != "transpose"])
def test_an_axis_is_an_integer(name, axis):
    with pytest.raises(TypeError, match=rf"{name} of shape \(2, 3\).*: axis must be an integer"):
        WITH_AXIS[name](dl.Tensor(np.ones((2, 3))), axis=axis)


@pytest.mark.parametrize("axis", [(0, 0), (1, -1)])
@pytest.mark.parametrize("name", [*REDUCING, *NORMALIZING])
def test_an_axis_is_named_once(name, axis):
    with pytest.raises(ValueError, match=rf"{name} of shape \(2, 3\): axis .* is named twice"):
        getattr(dl, name)(dl.Tensor(np.ones((2, 3))), axis=axis)
    with pytest.raises(ValueError, match=r"transpose of shape \(2, 3\): axis .* is named twice"):
        dl.transpose(np.ones((2, 3)), axis)


@pytest.mark.parametrize("name", [*REDUCING, *NORMALIZING])
def test_an_axis_may_be_an_integer_of_numpy(name):
    x = np.array([[1.0, 2, 4], [3, 9, 0]])
    found = getattr(dl, name)(x, axis=np.int64(-1)).data
    np.testing.assert_array_equal(found, getattr(dl, name)(x, axis=1).data)


# --- sums ---------------------------------------------------------------------------------------


def many(rows, columns, order):
    """float32 numbers around 1000, in a memory order, and their sums in float64."""
    x = np.random.default_rng(0).normal(1000, 1, (rows, columns)).astype(np.float32)
    x = {
        "C": lambda: x,
        "F": lambda: np.asfortranarray(x),
        "strided": lambda: np.repeat(x, 2, axis=1)[:, ::2],
        "reversed": lambda: x[::-1],
    }[order]()
    return x


@pytest.mark.parametrize("order", ["C", "F", "strided", "reversed"])
def test_sums_of_a_million_rows_are_within_a_millionth_of_the_sum_of_magnitudes(order):
    x = many(10**6, 2, order)
    x64 = x.astype(np.float64)
    for axis in (0, None, (-2,)):
        size = np.abs(x64).sum(axis)
        for f, expected, scale in [
            (dl.sum, x64.sum(axis), size),
            (dl.mean, x64.mean(axis), size / 1e6),
            (dl.norm, np.sqrt((x64**2).sum(axis)), size / 1000),
            (dl.std, x64.std(axis), 1),
        ]:
            assert (np.abs(f(x, axis=axis).data - expected) <= 1e-6 * scale).all()
    found = dl.sum(dl.Tensor(x).T, axis=-1, keepdims=True)
    assert (np.abs(found.data[:, 0] - x64.sum(0)) <= 1e-6 * x64.sum(0)).all()


def test_sums_that_undo_broadcasting_are_as_accurate():
    x = many(10**6, 2, "C")
    b = dl.Tensor(np.zeros(2, np.float32), requires_grad=True)
    s = dl.Tensor(np.ones(1, np.float32), requires_grad=True)
    ((x + b) * s).sum().backward()
    total = x.astype(np.float64).sum()
    np.testing.assert_array_equal(b.grad, [1e6, 1e6])
    assert abs(s.grad[0] - total) <= 1e-6 * total


def test_a_mean_is_finite_where_the_sum_is_not():
    value, gradient = run(dl.mean, [3e38] * 10, np.float32)
    assert value == np.float32(3e38)
    np.testing.assert_array_equal(gradient, np.full(10, 0.1, np.float32))


def test_the_gradient_of_a_bias_counts_beyond_the_integers_of_float32():
    g = np.broadcast_to(np.float32(1), (20_000_000, 1))
    np.testing.assert_array_equal(tensor.unbroadcast(g, (1,)), [2e7])
    _, *vjps = ops.max(np.broadcast_to(np.float32(1), (2**24 + 2,)))
    assert 1 / vjps[0](np.float32(1))[0] == pytest.approx(2**24 + 2, rel=1e-9)


def test_the_sums_within_derivatives_are_as_accurate():
    x = np.zeros((10**6, 2), np.float32)
    g = np.full(x.shape, 0.1, np.float32)
    total = 1e6 * np.float64(np.float32(0.1))
    _, vjp = ops.log_softmax(x, axis=0)
    np.testing.assert_allclose(vjp(g), 0, atol=1e-6 * total / 1e6)
    _, vjp = ops.softmax(x, axis=0)
    np.testing.assert_allclose(vjp(g), 0, atol=1e-6 * 0.1 / 1e6)
    assert dl.logsumexp(x, axis=0).data[0] == pytest.approx(math.log(1e6), rel=1e-7)
    x = np.random.default_rng(0).random(x.shape, np.float32)
    e = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(dl.softmax(x, axis=0).data, e / e.sum(0), rtol=2e-6)
    zeros, ones = np.zeros(2 * 10**6, np.float32), np.ones(2 * 10**6)
    losses = dl.losses.binary_cross_entropy(zeros, ones, "sum")
    assert losses.item() == pytest.approx(2e6 * ln2, rel=1e-7)


def half(*values):
    return np.array(values, np.float16)


HALVES = {  # f, its float16 input, its value and its gradient
    "mean": (dl.mean, np.full(1000, 100), 100, 1e-3),
    "mean of many": (dl.mean, np.ones(70_000), 1, 1 / 70_000),
    "mean along an axis": (lambda x: dl.mean(x, axis=0), np.ones((5000, 2)), [1, 1], 2e-4),
    "sum along an axis": (lambda x: dl.sum(x, axis=0), np.ones((5000, 2)), [5000, 5000], 1),
    "norm": (dl.norm, np.full(4, 300), 600, 0.5),
    "norm of tiny entries": (dl.norm, np.full(4, 2.0**-20), 2.0**-19, 0.5),
    "std": (dl.std, [-30000, 30000], 30000, [-0.5, 0.5]),
    "var": (lambda x: dl.var(x / 300), [-30000, 30000], 10000, [-1 / 3, 1 / 3]),
    "max": (dl.max, np.ones(5000), 1, 2e-4),
    "min along an axis": (lambda x: dl.min(x, axis=0), np.ones((5000, 2)), [1, 1], 2e-4),
    "softmax": (dl.softmax, np.zeros(70_000), 1 / 70_000, 0),
    "log_softmax": (dl.log_softmax, np.zeros(5000), -math.log(5000), 0),
    "logsumexp": (dl.logsumexp, np.zeros(70_000), math.log(70_000), 1 / 70_000),
    "mse": (lambda x: dl.losses.mse(x, half(0, 0)), [300, 100], 50_000, [300, 100]),
    "mse of many": (lambda x: dl.losses.mse(x, np.zeros(70_000)), np.ones(70_000), 1, 2 / 70_000),
    "mae": (lambda x: dl.losses.mae(x, np.zeros(5000)), np.full(5000, 100), 100, 2e-4),
    "huber": (lambda x: dl.losses.huber(x, np.zeros(5000)), np.full(5000, 100), 99.5, 2e-4),
    "bce": (
        lambda x: dl.losses.binary_cross_entropy(x, np.zeros(5000)),
        np.full(5000, 100),
        100,
        2e-4,
    ),
    "matmul": (lambda x: x @ half(*[0.1] * 5000), np.ones(5000), 500, 0.1),
    "matmul of a batch": (
        lambda x: x @ np.ones((2, 5000, 1), np.float16),
        np.ones((1, 5000)),
        np.full((2, 1, 1), 5000),
        2,
    ),
    "dense": (
        lambda x: tensor.dense(x, np.ones((5000, 1), np.float16), half(0)),
        np.ones((1, 5000)),
        [[5000]],
        1,
    ),
    "broadcasting": (lambda x: (np.ones((5000, 1), np.float16) + x).sum(), [1], 10_000, 5000),
}


@pytest.mark.parametrize("name", HALVES)
def test_half_precision_neither_overflows_nor_stops_counting(name):
    f, values, value, gradient = HALVES[name]
    found, slope = run(f, values, np.float16)
    np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(slope, np.broadcast_to(gradient, slope.shape), rtol=2e-3, atol=1e-7)


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
def test_mae_agrees_with_its_formula(reduction, shape, seed):
    p, t = uniform(seed, shape, shape)

    def reference(p, t):
        d = p - t
        return reduced(np.where(d.real > 0, d, -d), reduction)

    check("mae", reference, p, t, reduction=reduction)


@pytest.mark.parametrize("delta", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3), seed=SEEDS)
@fewer
def test_huber_agrees_with_its_formula(reduction, delta, shape, seed):
    p, t = uniform(seed, shape, shape)

    def reference(p, t):
        d = p - t
        size = np.where(d.real > 0, d, -d)
        beyond = delta * (size - delta / 2)
        return reduced(np.where(size.real <= delta, d * d / 2, beyond), reduction)

    check("huber", reference, p, t, reduction=reduction, delta=delta)


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


def test_the_gradient_of_norm_is_g_x_over_y_to_the_last_bit():
    x = np.random.default_rng(3).standard_normal((5, 7))
    leaf, g = dl.Tensor(x, requires_grad=True), np.arange(1.0, 6.0)
    y = dl.norm(leaf, axis=1)
    y.backward(g)
    np.testing.assert_array_equal(leaf.grad, g[:, None] * x / y.data[:, None])


def test_a_captured_norm_is_scaled_anew_and_leaves_its_input_alone(rng):
    captured = dl.capture(lambda x: dl.norm(x, axis=1).sum())
    for scale in (1.0, 1e-200, 1.0, 1e-200, 1e200):  # the squares of the last two vanish, overflow
        x = scale * rng.normal(size=(3, 4))
        before = x.copy()
        assert captured(x).item() == dl.norm(x, axis=1).sum().item() > 0
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-200, 1e154, 1e200, 1e307])
def test_the_norm_of_huge_and_tiny_entries_neither_overflows_nor_vanishes(size):
    value, gradient = run(dl.norm, [3 * size, -4 * size])
    np.testing.assert_allclose(value, 5 * size, rtol=1e-15)
    np.testing.assert_allclose(gradient, [0.6, -0.8], rtol=1e-15)
    value, gradient = run(dl.norm, np.array([3e38, 1e38], np.float32), np.float32)
    np.testing.assert_allclose(value, np.hypot(3e38, 1e38), rtol=1e-7)
    value, _ = run(lambda x: dl.norm(x, axis=1), [[size, 0], [0, 0], [3, 4]])
    np.testing.assert_allclose(value, [size, 0, 5], rtol=1e-15)


inf, nan = np.inf, np.nan
INFINITE = [  # f, x, its value, its derivative
    (dl.gelu, [-inf, inf], [0, inf], [0, 1]),
    (dl.silu, [-inf, inf], [0, inf], [0, 1]),
    (dl.softplus, [-inf, inf], [0, inf], [0, 1]),
    (dl.elu, [-inf, inf], [-1, inf], [0, 1]),
    (lambda x: dl.elu(x, alpha=2.5), [-inf, inf], [-2.5, inf], [0, 1]),
    (dl.leaky_relu, [-inf, inf], [-inf, inf], [0.01, 1]),
    (lambda x: dl.leaky_relu(x, slope=0.0), [-inf, inf, nan], [0, inf, nan], None),
    (dl.relu, [-inf, inf], [0, inf], [0, 1]),
    (dl.sigmoid, [-inf, inf], [0, 1], [0, 0]),
    (dl.tanh, [-inf, inf], [-1, 1], [0, 0]),
    (dl.exp, [-inf, inf], [0, inf], [0, inf]),
    (dl.sqrt, [inf], [inf], [0]),
    (dl.log, [inf], [inf], [0]),
    (dl.log1p, [inf], [inf], [0]),
    (dl.abs, [-inf, inf], [inf, inf], [-1, 1]),
    (dl.sign, [-inf, inf, nan], [-1, 1, nan], [0, 0, 0]),
    (dl.max, [-inf, inf, 1], inf, [0, 1, 0]),
    (dl.norm, [-inf, 1, 2], inf, [-1, 0, 0]),
    (dl.softmax, [inf, 0, -inf], [1, 0, 0], [0, 0, 0]),
    (dl.log_softmax, [inf, 0, -inf], [0, -inf, -inf], [-2, 1, 1]),
    (dl.logsumexp, [inf, 0, -inf], inf, [1, 0, 0]),
    (dl.logsumexp, [inf, inf, 0], inf, [0.5, 0.5, 0]),
    (dl.softmax, [inf, inf, 0], [0.5, 0.5, 0], [0, 0, 0]),
    (
        lambda x: dl.losses.binary_cross_entropy(x, [1.0, 0.0, 0.0, 0.25], "none"),
        [inf, -inf, inf, inf],
        [0, 0, inf, inf],
        [0, 0, 1, 0.75],
    ),
    (lambda x: dl.losses.mae(x, [0.0, 0.0], "none"), [-inf, inf], [inf, inf], [-1, 1]),
    (lambda x: dl.losses.huber(x, [0.0, 0.0], "none"), [-inf, inf], [inf, inf], [-1, 1]),
]


@pytest.mark.parametrize(("f", "x", "value", "gradient"), INFINITE)
@pytest.mark.parametrize("dtype", [np.float16, *DTYPES])
def test_functions_have_their_limits_at_infinity(f, x, value, gradient, dtype):
    found = run(f, x, dtype)
    np.testing.assert_array_equal(found[0], np.array(value, dtype))
    if gradient is not None:
        np.testing.assert_array_equal(found[1], np.array(gradient, dtype))


def test_an_infinite_gradient_does_not_pass_where_an_extremum_or_clip_is_closed():
    x = dl.Tensor(np.array([1.0, 5.0]), requires_grad=True)
    dl.max(x).backward(inf)
    np.testing.assert_array_equal(x.grad, [0, inf])
    x.zero_grad()
    dl.maximum(x, 3.0).backward([inf, 1.0])
    dl.clip(x, 2, 6).backward([inf, 1.0])
    np.testing.assert_array_equal(x.grad, [0, 2])


def test_a_gradient_of_zero_passes_the_infinite_slope_of_sqrt_as_zero():
    _, gradient = run(dl.sqrt, [0.0, 4.0], g=np.array([0.0, 0.0]))
    np.testing.assert_array_equal(gradient, [0, 0])


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
    losses = ["mse", "mae", "huber", "binary_cross_entropy", "cross_entropy"]
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


def test_what_underflows_or_is_beyond_the_dtype_is_no_error_whatever_errstate_is_in_force():
    with np.errstate(all="raise"):
        y, gradient = run(dl.leaky_relu, [1e-320, -1e-320, -2.0])
        np.testing.assert_array_equal(y, [1e-320, 0.01 * -1e-320, -0.02])
        np.testing.assert_array_equal(gradient, [1, 0.01, 0.01])
        y, gradient = run(dl.softmax, [3e38, -3e38], np.float32)
        np.testing.assert_array_equal([y, gradient], [[1, 0], [0, 0]])
