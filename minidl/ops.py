"""Every differentiable function: its value, its derivative and its formula in one place.

An op is a function of NumPy arrays that returns its value and one vector-Jacobian product (VJP)
per input. A VJP takes g, the gradient of the loss with respect to the value, and returns the
gradient with respect to that input (written ∂x below). This module knows nothing of tensors or
graphs: `minidl.tensor` wraps each op, undoes broadcasting, skips the VJPs that are not needed and
sums the gradients of a value that is used several times.

Three rules keep an op safe. A VJP holds arrays, never a tensor. It returns g itself, a view, or a
new array. Neither the op nor its VJPs change their inputs.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl._kernels import blas
from minidl._kernels import layer as layer_kernels
from minidl._kernels import loss as loss_kernels
from minidl._kernels import special as special_kernels
from minidl._kernels.plan import whole

P = ParamSpec("P")
Array: TypeAlias = NDArray[Any]
Input: TypeAlias = Any  # an array inside an op; a tensor or array-like for callers of minidl.exp, …
Axis: TypeAlias = int | tuple[int, ...] | None
Reduction: TypeAlias = Literal["mean", "sum", "none"]
Value: TypeAlias = tuple[Any, ...]  # the value of an op, and its VJPs


class Op(Protocol[P]):
    """A function that `op` has marked."""

    __name__: str
    __doc__: str | None
    formula: str
    derivatives: tuple[str, ...]
    variadic: bool
    fused_vjp: bool
    movement: bool
    symbols: Mapping[str, Callable[..., Any]]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Value: ...


def op(
    formula: str,
    *derivatives: str,
    variadic: bool = False,
    fused_vjp: bool = False,
    movement: bool = False,
    symbols: Mapping[str, Callable[..., Any]] | None = None,
) -> Callable[[Callable[P, Value]], Op[P]]:
    """Mark a function as an op: attach its formula and one derivative per differentiable input.

    formula      the value, "y = …"; the docstring, error messages and the walkthrough show it
    derivatives  for each input x its VJP, "∂x = …"
    variadic     the op takes a list of inputs, which share one derivative
    fused_vjp    the op returns one VJP for all inputs: a function of g and of one bool per input,
                 whether its gradient is needed, that returns a list of gradients, None for those
                 that are not needed
    movement     the op only moves entries, and its formula may be plain text
    symbols      symbols in the formulas that are neither inputs nor options, each as a function
                 of these
    """

    def mark(function: Any) -> Any:
        function.formula, function.derivatives = formula, derivatives
        function.variadic, function.fused_vjp, function.movement = variadic, fused_vjp, movement
        function.symbols = symbols or {}
        lines = "\n        ".join((formula, *derivatives))
        first, _, rest = (function.__doc__ or "").partition("\n")
        function.__doc__ = f"{first}\n\n        {lines}\n{rest}"
        return function

    return mark


# exp(−1000) is 0: the tail of a softmax or sigmoid may underflow whatever np.errstate is in force
underflow_to_zero = np.errstate(under="ignore")


_HALF, _SINGLE, _DOUBLE = map(np.dtype, ("float16", "float32", "float64"))


def _kernel_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which a kernel computes: float32, also for half precision, or float64."""
    if dtype.itemsize > 8:
        raise TypeError(f"compiled kernels compute in float32 or float64, not in {dtype}")
    return _SINGLE if dtype.itemsize <= 4 else _DOUBLE


def _contiguous(x: Any, dtype: Any) -> Array:
    """x as kernels take arrays: of that dtype, in C order and aligned; copied only if it is not."""
    if isinstance(x, np.generic):  # what NumPy's functions make of arrays without axes
        x = np.asarray(x)
    array: Array = x.astype(dtype, order="C", copy=False)
    return array if array.flags.aligned else array.copy()


def require(x: Array, low: float, high: float, explain: Callable[[], None]) -> None:
    """Call explain(), which raises an error, unless low ≤ x ≤ high for all entries of x.

    A captured step repeats the check each time.
    """
    dtype = _SINGLE if x.dtype.itemsize <= 4 else _DOUBLE
    special_kernels.require(_contiguous(x, dtype), low, high, explain)


def half_in_single(function: Callable[P, Value]) -> Callable[P, Value]:
    """Compute in float32 where the first input is float16, and round the value once.

    If another input alone is float16, the result is wider, and NumPy computes in its dtype.

    The VJPs return float32 there, which the engine rounds after it has undone broadcasting.
    """

    @functools.wraps(function)
    def compute(*args: P.args, **options: P.kwargs) -> Value:
        if getattr(args[0], "dtype", None) != _HALF:
            return function(*args, **options)
        arrays = [x for x in args if isinstance(x, np.ndarray)]
        y, *vjps = function(*map(single, args), **options)
        return _rounded(y, np.result_type(*arrays)), *(
            lambda g, *needs, f=f: f(single(g), *needs) for f in vjps
        )

    return compute


def single(x: Any) -> Any:
    """An array of half precision in single precision, anything else as it is."""
    return x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype == _HALF else x


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes that `axis` names, counted from 0; all if it is None.

    AxisError, which is an IndexError and a ValueError, for an axis out of range; ValueError for one
    that is named twice; TypeError for anything but integers.
    """
    if axis is None:
        return tuple(range(ndim))
    n = ndim or 1  # NumPy accepts the axes 0 and −1 for a 0-d array
    axes: list[int] = []
    named: tuple[Any, ...] = axis if isinstance(axis, tuple) else (axis,)
    for i in named:
        if isinstance(i, bool) or not isinstance(i, int | np.integer):
            raise TypeError(f"axis must be an integer or a tuple of integers, got {axis!r}")
        if not -n <= i < n:
            raise np.exceptions.AxisError(
                f"axis {i} is out of bounds, it must be from {-n} to {n - 1}"
            )
        if i % n in axes:
            raise ValueError(f"axis {i} is named twice in {axis!r}")
        axes.append(int(i % n))
    return tuple(axes[:ndim])


def accumulate(x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """Σ x, not rounded yet: float16 and float32 are summed in float64, in any memory order."""
    narrow = x.dtype.kind == "f" and x.dtype.itemsize < 8
    reduce: Callable[..., Any] = np.add.reduce  # np.sum takes twice as long for a few entries
    return reduce(x, axis, _DOUBLE if narrow else None, keepdims=keepdims)


def _sum(x: Array, axis: Axis) -> Array:
    """Σ x in the dtype of x, with the axes kept."""
    total: Array = accumulate(x, axis, keepdims=True).astype(x.dtype, copy=False)
    return total


@underflow_to_zero
def _rounded(y: Any, dtype: np.dtype[Any]) -> Any:
    """y in a dtype, if that is floating."""
    return y.astype(dtype, copy=False) if dtype.kind == "f" else y


def _times(a: Any, b: Any) -> Any:
    """a · b, where 0 · ∞ is 0."""
    with np.errstate(invalid="ignore"):
        product = a * b
    return np.where(np.isnan(product) & ~np.isnan(a) & ~np.isnan(b), 0, product)


# --- arithmetic ---------------------------------------------------------------------------------


@op("y = a + b", "∂a = g", "∂b = g")
def add(a: Input, b: Input, /) -> Value:
    """The element-wise sum of two arrays that broadcast."""
    return a + b, lambda g: g, lambda g: g


@op("y = a − b", "∂a = g", "∂b = −g")
def subtract(a: Input, b: Input, /) -> Value:
    """The element-wise difference of two arrays that broadcast."""
    return a - b, lambda g: g, lambda g: -g


@op("y = a b", "∂a = g b", "∂b = g a")
def multiply(a: Input, b: Input, /) -> Value:
    """The element-wise product of two arrays that broadcast."""
    return a * b, lambda g: g * b, lambda g: g * a


@op("y = a / b", "∂a = g / b", "∂b = −g y / b")
def divide(a: Input, b: Input, /) -> Value:
    """The element-wise quotient of two arrays that broadcast."""
    y = a / b
    return y, lambda g: g / b, lambda g: -g * y / b


@op("y = −x", "∂x = −g")
def negative(x: Input, /) -> Value:
    """The negative of each entry."""
    return -x, lambda g: -g


@op("y = aᵇ", "∂a = g b aᵇ⁻¹ if b ≠ 0 else 0", "∂b = g y ln a if a ≠ 0 or b < 0 else 0")
def power(a: Input, b: Input, /) -> Value:
    """a to the power of b, element-wise, for two arrays that broadcast.

    Where b is 0, ∂a is 0 for every a. Where a is 0, ∂b has its limits, 0 for b > 0 and −∞ for
    b < 0; at b = 0 it is 0.
    """
    y = a**b

    def vjp_a(g: Array) -> Any:
        with np.errstate(divide="ignore"):
            return _times(_times(g, b), a ** (b - (b != 0)))

    def vjp_b(g: Array) -> Any:
        with np.errstate(divide="ignore"):
            log_a = np.log(np.where((y == 0) | ((a == 0) & (b == 0)), 1, a))
        return _times(_times(g, np.where(a == 0, np.abs(y), y)), log_a)

    return y, vjp_a, vjp_b


def _product(a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    """a @ b for matrices or stacks of them, either of them transposed first."""
    if a.dtype != b.dtype:
        dtype = np.result_type(a, b)
        a, b = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    if a.ndim == b.ndim == 2 and a.dtype in (_SINGLE, _DOUBLE):
        return blas.product(a, b, transpose_a, transpose_b)
    a, b = a.swapaxes(-1, -2) if transpose_a else a, b.swapaxes(-1, -2) if transpose_b else b
    return a @ b


@op("y = a @ b", "∂a = g @ bᵀ", "∂b = aᵀ @ g")
@half_in_single
def matmul(a: Input, b: Input, /) -> Value:
    """The matrix product as NumPy's `@`: (…, n, k) @ (…, k, m) → (…, n, m); vectors are (k,)."""
    if not (np.ndim(a) and np.ndim(b)) or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            "the last axis of the first must match the second-to-last axis of the second"
        )
    rows, columns = a if a.ndim > 1 else a[None, :], b if b.ndim > 1 else b[:, None]
    lacking = (-2,) * (a.ndim == 1) + (-1,) * (b.ndim == 1)  # the axes of y that vectors lack
    y = _product(rows, columns)

    def full(g: Array) -> Array:
        return np.expand_dims(g, lacking) if lacking else g

    def vjp_b(g: Array) -> Any:
        product = _product(rows, full(g), transpose_a=True)
        return product if b.ndim > 1 else product[..., 0]

    y = y.squeeze(lacking) if lacking else y
    return y, lambda g: _product(full(g), columns, transpose_b=True), vjp_b


@op("y = x @ W + b", "∂x = g @ Wᵀ", "∂W = xᵀ @ g", "∂b = Σᵢ g", fused_vjp=True)
@half_in_single
def dense(x: Input, w: Input, b: Input, /) -> Value:
    """A fully connected layer: x (n, in), W (in, out), b (out,) → y (n, out)."""
    return _dense(x, w, b, rectify=False)


@op(
    "y = max(x @ W + b, 0)",
    "∂x = (g [y > 0]) @ Wᵀ",
    "∂W = xᵀ @ (g [y > 0])",
    "∂b = Σᵢ g [y > 0]",
    fused_vjp=True,
)
@half_in_single
def dense_relu(x: Input, w: Input, b: Input, /) -> Value:
    """A fully connected layer and its rectifier: x (n, in), W (in, out), b (out,) → y (n, out)."""
    return _dense(x, w, b, rectify=True)


def _dense(x: Array, w: Array, b: Array, rectify: bool) -> Value:
    if x.ndim != 2 or w.ndim != 2 or b.shape != w.shape[1:]:
        raise ValueError(f"x, W must be 2-D; the bias must have shape {w.shape[1:]}, got {b.shape}")
    dtype = np.result_type(x, w, b)
    y = _product(x, w).astype(_kernel_dtype(dtype), copy=False)
    layer_kernels.add_bias(y, _contiguous(b, y.dtype), rectify)

    def vjp(g: Array, needs_grad: list[bool]) -> list[Array | None]:
        d = _contiguous(g, y.dtype)
        d = layer_kernels.relu_vjp(d, y) if rectify else d
        return [
            _product(d, w, transpose_b=True) if needs_grad[0] else None,
            _product(x, d, transpose_a=True) if needs_grad[1] else None,
            layer_kernels.sum_rows(d) if needs_grad[2] else None,
        ]

    return y.astype(dtype, copy=False), vjp


# --- element-wise functions of one array --------------------------------------------------------


@op("y = eˣ", "∂x = g y")
def exp(x: Input, /) -> Value:
    """The exponential of each entry.

    >>> dl.exp([0.0, 1.0])
    Tensor([1.    , 2.7183], dtype=float32)
    """
    y = np.exp(x)
    return y, lambda g: g * y


@op("y = sin x", "∂x = g cos x")
def sin(x: Input, /) -> Value:
    """The sine of each entry, an angle in radians.

    >>> dl.sin([0.0, np.pi / 6])
    Tensor([0. , 0.5], dtype=float32)
    """
    return np.sin(x), lambda g: g * np.cos(x)


@op("y = cos x", "∂x = −g sin x")
def cos(x: Input, /) -> Value:
    """The cosine of each entry, an angle in radians.

    >>> dl.cos([0.0, np.pi / 3])
    Tensor([1. , 0.5], dtype=float32)
    """
    return np.cos(x), lambda g: -(g * np.sin(x))


@op("y = ln x", "∂x = g / x")
def log(x: Input, /) -> Value:
    """The natural logarithm of each entry.

    >>> dl.log([1.0, 2.0])
    Tensor([0.    , 0.6931], dtype=float32)
    """
    return np.log(x), lambda g: g / x


@op("y = ln(1 + x)", "∂x = g / (1 + x)")
def log1p(x: Input, /) -> Value:
    """The natural logarithm of 1 + x, accurate where x is small.

    >>> dl.log1p([0.0, 1.0])
    Tensor([0.    , 0.6931], dtype=float32)
    """
    return np.log1p(x), lambda g: g / (1 + x)


@op("y = √x", "∂x = g / (2 y)  (+∞ at 0)")
def sqrt(x: Input, /) -> Value:
    """The square root of each entry.

    >>> dl.sqrt([4.0, 9.0])
    Tensor([2., 3.], dtype=float32)
    """
    y = np.sqrt(x)

    def vjp(g: Array) -> Any:
        with np.errstate(divide="ignore"):
            return g / np.where((g == 0) & (y == 0), 1, 2 * y)

    return y, vjp


@op("y = |x|", "∂x = g sgn x  (0 at 0)")
def abs(x: Input, /) -> Value:
    """The absolute value of each entry.

    >>> dl.abs([-2.0, 3.0])
    Tensor([2., 3.], dtype=float32)
    """
    return np.abs(x), lambda g: g * np.sign(x)


@op("y = sgn x", "∂x = 0 g")
def sign(x: Input, /) -> Value:
    """The sign of each entry: −1, 0 or 1.

    >>> dl.sign([-2.0, 0.0, 3.0])
    Tensor([-1.,  0.,  1.], dtype=float32)
    """
    return np.sign(x), np.zeros_like


@op("y = tanh x", "∂x = g (1 − y²)")
def tanh(x: Input, /) -> Value:
    """The hyperbolic tangent of each entry, in (−1, 1).

    >>> dl.tanh([0.0, 1.0])
    Tensor([0.    , 0.7616], dtype=float32)
    """
    y = np.tanh(x)
    return y, lambda g: g * (1 - y * y)


@underflow_to_zero
def _sigmoid(x: Array) -> tuple[Array, Array]:
    """σ(x) and σ(−x), both accurate in the tails, where 1 − σ(x) would lose its digits."""
    total = 1 + np.exp(-np.abs(x))
    return np.exp(np.minimum(x, 0)) / total, np.exp(-np.maximum(x, 0)) / total


@op("y = 1 / (1 + e⁻ˣ)", "∂x = g y (1 − y)")
def sigmoid(x: Input, /) -> Value:
    """The logistic function of each entry, in (0, 1), accurate in both tails.

    >>> dl.sigmoid([-1000.0, 0.0, 1000.0])
    Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    y, rest = _sigmoid(x)
    return y, lambda g: g * (y * rest)


@op("y = max(x, 0)", "∂x = g [x > 0]")
def relu(x: Input, /) -> Value:
    """The rectified linear unit of each entry; its derivative at 0 is 0, and NaN stays NaN.

    >>> dl.relu([-1.0, 2.0])
    Tensor([0., 2.], dtype=float32)
    """
    y = np.maximum(x, 0)

    def vjp(g: Array) -> Any:  # g [y > 0] would be NaN where y = 0 and g is infinite
        dtype = _kernel_dtype(y.dtype)
        return layer_kernels.relu_vjp(_contiguous(g, dtype), _contiguous(y, dtype))

    return y, vjp


@op("y = x if x > 0 else slope · x", "∂x = g if x > 0 else slope · g")
@underflow_to_zero
def leaky_relu(x: Input, /, slope: float = 0.01) -> Value:
    """A rectified linear unit with slope `slope` for negative entries.

    >>> dl.leaky_relu([-1.0, 2.0], slope=0.1)
    Tensor([-0.1,  2. ], dtype=float32)
    """
    below = slope * x if slope else np.maximum(x, 0)  # not 0 · ∞
    return np.where(x > 0, x, below), lambda g: np.where(x > 0, g, slope * g)


@op("y = x if x > 0 else α (eˣ − 1)", "∂x = g if x > 0 else g α eˣ")
@underflow_to_zero
def elu(x: Input, /, alpha: float = 1.0) -> Value:
    """The exponential linear unit of each entry (Clevert et al. 2016).

    >>> dl.elu([-1.0, 2.0])
    Tensor([-0.6321,  2.    ], dtype=float32)
    """
    below = np.minimum(x, 0)
    y = np.where(x > 0, x, alpha * np.expm1(below))
    return y, lambda g: np.where(x > 0, g, g * (alpha * np.exp(below)))


def normal_cdf(x: Array) -> Array:
    """Φ(x), in the shape and dtype of x."""
    cdf: Array = special_kernels.normal_cdf(_contiguous(x, _kernel_dtype(x.dtype)))
    return cdf.astype(x.dtype, copy=False)


@op("y = x Φ(x)", "∂x = g (Φ(x) + x φ(x))")
@underflow_to_zero
def gelu(x: Input, /) -> Value:
    """x times the normal distribution function Φ, exactly (Hendrycks & Gimpel 2016).

    >>> dl.gelu([-1.0, 2.0])
    Tensor([-0.1587,  1.9545 ], dtype=float32)
    """
    cdf = normal_cdf(x)
    near = np.minimum(np.maximum(x, -40), 40)  # beyond, Φ is 0 or 1, and φ is 0
    density = np.exp(-0.5 * near * near) / np.sqrt(2 * np.pi, dtype=x.dtype)
    return np.maximum(x, -40) * cdf, lambda g: g * (cdf + near * density)


@op("y = x σ(x)", "∂x = g (σ(x) + y (1 − σ(x)))")
@underflow_to_zero
def silu(x: Input, /) -> Value:
    """x times its sigmoid, also called swish (Elfwing et al. 2018).

    >>> dl.silu([-1.0, 0.0])
    Tensor([-0.2689,  0.    ], dtype=float32)
    """
    s, rest = _sigmoid(x)
    y = np.maximum(x, -6e4) * s  # not 0 · ∞: beyond, s is 0
    return y, lambda g: g * (s + np.minimum(y, 6e4) * rest)


@op("y = ln(1 + eˣ)", "∂x = g σ(x)")
@underflow_to_zero
def softplus(x: Input, /) -> Value:
    """A smooth rectifier, accurate in both tails.

    >>> dl.softplus([-1000.0, 0.0])
    Tensor([0.    , 0.6931], dtype=float32)
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), lambda g: g * _sigmoid(x)[0]


# --- maximum, minimum, selection ----------------------------------------------------------------


def _larger(g: Array, a: Array, b: Array) -> Array:
    """g where a > b, half of it where a = b, 0 elsewhere."""
    return np.where(a > b, g, np.where(a == b, g * 0.5, 0))


@op("y = max(a, b)", "∂a = g ([a > b] + ½ [a = b])", "∂b = g ([b > a] + ½ [a = b])")
def maximum(a: Input, b: Input, /) -> Value:
    """The element-wise maximum of two arrays that broadcast; a tie shares the gradient.

    >>> dl.maximum([1.0, 5.0], 3.0)
    Tensor([3., 5.], dtype=float32)
    """
    return np.maximum(a, b), lambda g: _larger(g, a, b), lambda g: _larger(g, b, a)


@op("y = min(a, b)", "∂a = g ([a < b] + ½ [a = b])", "∂b = g ([b < a] + ½ [a = b])")
def minimum(a: Input, b: Input, /) -> Value:
    """The element-wise minimum of two arrays that broadcast; a tie shares the gradient.

    >>> dl.minimum([1.0, 5.0], 3.0)
    Tensor([1., 3.], dtype=float32)
    """
    return np.minimum(a, b), lambda g: _larger(g, b, a), lambda g: _larger(g, a, b)


def _bound(x: Any, default: float) -> float:
    """A bound of clip as a Python number, which takes the dtype of the array beside it."""
    if not isinstance(x, int | float | np.number | None):
        raise TypeError(f"a bound must be a number or None, got {x!r}; see maximum and minimum")
    return default if x is None else float(x)


@op(
    "y = min(max(x, low), high)",
    "∂x = g if x ≥ low and x ≤ high else 0",
    symbols={
        "low": lambda x, low, high: _bound(low, -math.inf),
        "high": lambda x, low, high: _bound(high, math.inf),
    },
)
@np.errstate(over="ignore")  # a bound beyond the largest number of the dtype is ∞ there
def clip(x: Input, /, low: float | None = None, high: float | None = None) -> Value:
    """Each entry limited to [low, high], on one side if the other bound is None; NaN stays NaN.

    The derivative is 1 inside and at the bounds, 0 outside. ValueError for low > high.

    >>> dl.clip([-2.0, 0.5, 3.0], 0.0, 1.0)
    Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    lower, upper = _bound(low, -math.inf), _bound(high, math.inf)
    if not lower <= upper:
        raise ValueError(f"low must be <= high, got {low!r} and {high!r}")
    y = np.minimum(np.maximum(x, lower), upper)
    inside = (x >= lower) & (x <= upper)
    return y, lambda g: np.where(inside, g, 0)


@op("y = a if condition else b", "∂a = g if condition else 0", "∂b = 0 if condition else g")
def where(a: Input, b: Input, /, condition: Array) -> Value:
    """a where the condition holds, b elsewhere; NaN in one does not reach the other."""
    y = np.where(condition, a, b)
    return y, lambda g: np.where(condition, g, 0), lambda g: np.where(condition, 0, g)


# --- reductions ---------------------------------------------------------------------------------


def _expand(y: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """The result of a reduction, or its gradient, with reduced axes of length 1 restored."""
    return np.reshape(y, [1 if i in axes else n for i, n in enumerate(shape)])


@op("y = Σ x", "∂x = g")
@half_in_single
def sum(x: Input, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """The sum over all entries, or over one axis or a tuple of them.

    >>> dl.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([4., 6.], dtype=float32)
    """
    axes = axes_of(axis, x.ndim)
    y = accumulate(x, axes, keepdims).astype(x.dtype, copy=False)
    return y, lambda g: np.broadcast_to(_expand(g, x.shape, axes), x.shape)


@op("y = mean x", "∂x = g / n")
@half_in_single
def mean(x: Input, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """The mean over all entries, or over one axis or a tuple of them; ValueError if there are none.

    >>> dl.mean([[1.0, 2.0], [3.0, 4.0]])
    Tensor(2.5, dtype=float32)
    """
    axes = axes_of(axis, x.ndim)
    n = math.prod(x.shape[i] for i in axes)
    if n == 0:
        raise ValueError("the mean of no entries is undefined")
    y = _rounded(accumulate(x, axes, keepdims) / n, x.dtype)
    return y, lambda g: np.broadcast_to(_expand(g / n, x.shape, axes), x.shape)


def _deviation(x: Array, axes: tuple[int, ...], ddof: float) -> tuple[Array, float]:
    """x minus its mean, not rounded, and the number that the sum of its squares is divided by."""
    n = math.prod(x.shape[i] for i in axes)
    if n <= ddof:
        raise ValueError(f"with ddof={ddof} there must be more than {ddof} entries, got {n}")
    top, bottom = np.max(x, axes, keepdims=True), np.min(x, axes, keepdims=True)
    same = (top == bottom) & np.isfinite(top)  # though the mean may be rounded to another number
    return np.where(same, 0, x - accumulate(x, axes, keepdims=True) / n), n - ddof


@op("y = Σ (x − mean x)² / (n − ddof)", "∂x = 2 g (x − mean x) / (n − ddof)")
@half_in_single
def var(x: Input, /, axis: Axis = None, keepdims: bool = False, *, ddof: float = 0) -> Value:
    """The variance over all entries, or along axes; ValueError for no more than ddof entries.

    >>> dl.var([1.0, 3.0]), dl.var([1.0, 3.0], ddof=1)
    (Tensor(1., dtype=float32), Tensor(2., dtype=float32))
    """
    axes = axes_of(axis, x.ndim)
    d, n = _deviation(x, axes, ddof)
    y = _rounded(accumulate(d * d, axes, keepdims) / n, x.dtype)
    return y, lambda g: _rounded(_expand(g, x.shape, axes) * (2 * d / n), x.dtype)


@op(
    "y = √(Σ (x − mean x)² / (n − ddof))",
    "∂x = g (x − mean x) / ((n − ddof) y) if y ≠ 0 else 0",
)
@half_in_single
def std(x: Input, /, axis: Axis = None, keepdims: bool = False, *, ddof: float = 0) -> Value:
    """The standard deviation over all entries, or along axes; its derivative at 0 is 0.

    ValueError for no more than ddof entries.

    >>> dl.std([1.0, 3.0])
    Tensor(1., dtype=float32)
    """
    axes = axes_of(axis, x.ndim)
    d, n = _deviation(x, axes, ddof)
    length, vjp = _norm(d, axes, keepdims)
    y = _rounded(length / math.sqrt(n), x.dtype)
    return y, lambda g: _rounded(vjp(_expand(g, x.shape, axes)) / math.sqrt(n), x.dtype)


def _extremum_vjp(y: Array, x: Array, axes: tuple[int, ...]) -> Callable[[Array], Any]:
    """The VJP of max and min: g divided among the entries that equal y; NaN equals NaN."""

    def vjp(g: Array) -> Any:
        hit = (x == _expand(y, x.shape, axes)) | np.isnan(x)
        return np.where(hit, _expand(g, x.shape, axes) / _sum(hit.astype(x.dtype), axes), 0)

    return vjp


@op("y = max x", "∂x = g [x = y] / Σ [x = y]")
@half_in_single
def max(x: Input, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """The largest entry of all, or along axes; ties share the gradient equally.

    >>> dl.max([[1.0, 5.0], [3.0, 4.0]], axis=1)
    Tensor([5., 4.], dtype=float32)
    """
    axes = axes_of(axis, x.ndim)
    y = np.max(x, axis=axes, keepdims=keepdims)
    return y, _extremum_vjp(y, x, axes)


@op("y = min x", "∂x = g [x = y] / Σ [x = y]")
@half_in_single
def min(x: Input, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """The smallest entry of all, or along axes; ties share the gradient equally.

    >>> dl.min([[1.0, 5.0], [3.0, 4.0]], axis=1)
    Tensor([1., 3.], dtype=float32)
    """
    axes = axes_of(axis, x.ndim)
    y = np.min(x, axis=axes, keepdims=keepdims)
    return y, _extremum_vjp(y, x, axes)


@whole
@np.errstate(over="ignore", under="ignore", invalid="ignore")
def _scaled(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """x / s, s and √(Σ (x / s)²), where s is 1, or a power of two if squares overflow or vanish.

    Infinite entries count as equal, which is the limit if there is one of them.
    """
    squares = accumulate(x * x, axes, keepdims=True)
    if ((squares > 1e-280) & (squares < np.inf)).all():
        return x.copy(), np.ones_like(squares), np.sqrt(squares)  # a replay writes to its results
    top = np.max(np.abs(x), axis=axes, keepdims=True, initial=0)
    scale = np.where(np.isinf(top), top, np.ldexp(x.dtype.type(1), np.frexp(top)[1] - 1))
    x = np.where(np.isinf(top), np.sign(x) * np.isinf(x), x / scale)
    return x, scale, np.sqrt(accumulate(x * x, axes, keepdims=True))


@np.errstate(over="ignore", under="ignore")
def _norm(x: Array, axes: tuple[int, ...], keepdims: bool) -> tuple[Any, Callable[[Array], Array]]:
    """√(Σ x²), not rounded, and its VJP: g x divided by it, 0 where it is 0."""
    x, scale, root = _scaled(x.astype(np.result_type(x, _DOUBLE), copy=False), axes)
    y = root * scale
    return y if keepdims else np.squeeze(y, axes), lambda g: g * x / np.where(root == 0, 1, root)


@op("y = √(Σ x²)", "∂x = g x / y if y ≠ 0 else 0")
@half_in_single
def norm(x: Input, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """The Euclidean norm over all entries, or along axes; its derivative at 0 is 0.

    >>> dl.norm([3.0, 4.0])
    Tensor(5., dtype=float32)
    """
    axes = axes_of(axis, x.ndim)
    y, vjp = _norm(x, axes, keepdims)
    return _rounded(y, x.dtype), lambda g: _rounded(vjp(_expand(g, x.shape, axes)), x.dtype)


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def _shifted_exp(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array, Array]:
    """x − top, e to that power, its sum, and top, the maximum, or 0 in a row of −∞.

    ∞ − ∞ is 0, so that infinite logits share the probability of their row.
    """
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(top == -np.inf, 0, top)
    shifted = np.where(x == np.inf, 0, x - top)
    e = np.exp(shifted)
    return shifted, e, _sum(e, axes), top


def _log(total: Array) -> Array:
    with np.errstate(divide="ignore"):  # ln 0 = −∞ is the limit for a row of −∞
        return np.log(total)


@op("y = ln Σ eˣ", "∂x = g softmax(x)")
@half_in_single
def logsumexp(x: Input, /, axis: Axis = -1, keepdims: bool = False) -> Value:
    """The logarithm of the sum of exponentials along an axis, computed without overflow.

    >>> dl.logsumexp([1000.0, 1000.0])
    Tensor(1000.693, dtype=float32)
    """
    axes = axes_of(axis, x.ndim)
    _, e, total, top = _shifted_exp(x, axes)
    y = _log(total) + top
    y = y if keepdims else np.squeeze(y, axes)
    return y, lambda g: _expand(g, x.shape, axes) * (e / total)


@op("y = eˣ / Σ eˣ", "∂x = y (g − Σ g y)")
@half_in_single
def softmax(x: Input, /, axis: Axis = -1) -> Value:
    """Probabilities from logits: positive, with sum 1 along the axis.

    >>> dl.softmax([0.0, 0.0, 1000.0])
    Tensor([0., 0., 1.], dtype=float32)
    """
    axes = axes_of(axis, x.ndim)
    _, e, total, _ = _shifted_exp(x, axes)
    y = e / total
    return y, lambda g: y * (g - _sum(g * y, axes))


@op("y = x − ln Σ eˣ", "∂x = g − softmax(x) Σ g")
@half_in_single
def log_softmax(x: Input, /, axis: Axis = -1) -> Value:
    """The logarithm of softmax, accurate even where softmax rounds to 0.

    >>> dl.log_softmax([0.0, 1000.0])
    Tensor([-1000.,     0.], dtype=float32)
    """
    axes = axes_of(axis, x.ndim)
    shifted, e, total, _ = _shifted_exp(x, axes)
    return shifted - _log(total), lambda g: g - e / total * _sum(g, axes)


# --- shape --------------------------------------------------------------------------------------


@op("y = x in another shape", "∂x = g in the shape of x", movement=True)
def reshape(x: Input, /, shape: int | tuple[int, ...]) -> Value:
    """The same entries, in C order, in another shape; one length may be −1.

    >>> dl.reshape([1.0, 2.0, 3.0, 4.0], (2, 2))
    Tensor([[1., 2.],
            [3., 4.]], dtype=float32)
    """
    return np.reshape(x, shape), lambda g: np.reshape(g, x.shape)


@op("y = x with its axes permuted", "∂x = g with its axes put back", movement=True)
def transpose(x: Input, /, axes: Sequence[int] | None = None) -> Value:
    """The axes in another order; reversed if none is given.

    >>> dl.transpose([[1.0, 2.0]]).shape
    (2, 1)
    """
    order = None if axes is None else axes_of(tuple(axes) if np.iterable(axes) else axes, x.ndim)
    y = np.transpose(x, order)
    return y, lambda g: np.transpose(g, None if order is None else np.argsort(order))


@op("y = x[key]", "∂x = g at key, 0 elsewhere; an entry taken twice sums both", movement=True)
def getitem(x: Input, /, key: Any) -> Value:
    """Part of an array, by NumPy's indexing rules; the key must not change before backward."""
    parts = key if isinstance(key, tuple) else (key,)
    repeats = any(isinstance(p, np.ndarray) and p.dtype != bool and p.size > 1 for p in parts)

    def vjp(g: Array) -> Any:
        dtype = np.result_type(g, np.float64) if repeats else g.dtype
        full = np.zeros_like(x, dtype, "C")
        if repeats:  # float32 would lose digits where many entries of g go to one of x
            np.add.at(full, key, g.astype(dtype))  # eight times as fast as without
        else:
            full[key] = g
        return full.astype(g.dtype, copy=False)

    return x[key], vjp


def _slice_vjp(start: int, stop: int, axis: int) -> Callable[[Array], Array]:
    return lambda g: np.moveaxis(np.moveaxis(g, axis, 0)[start:stop], 0, axis)


@op(
    "y = the arrays one after the other",
    "∂xᵢ = the slice of g that xᵢ became",
    variadic=True,
    movement=True,
)
def concatenate(arrays: Sequence[Input], /, axis: int = 0) -> Value:
    """A list of arrays joined along an existing axis.

    >>> dl.concatenate([[1.0, 2.0], [3.0]])
    Tensor([1., 2., 3.], dtype=float32)
    """
    axes_of((axis,), arrays[0].ndim)
    y = np.concatenate(arrays, axis)
    ends = np.cumsum([0] + [x.shape[axis] for x in arrays])
    return y, *(_slice_vjp(start, stop, axis) for start, stop in itertools.pairwise(ends))


@op("y = the arrays side by side", "∂xᵢ = g[i] along the new axis", variadic=True, movement=True)
def stack(arrays: Sequence[Input], /, axis: int = 0) -> Value:
    """A list of arrays of one shape joined along a new axis.

    >>> dl.stack([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1., 2.],
            [3., 4.]], dtype=float32)
    """

    axes_of((axis,), arrays[0].ndim + 1)

    def vjp_of(i: int) -> Callable[[Array], Array]:
        return lambda g: np.moveaxis(g, axis, 0)[i]

    return np.stack(arrays, axis), *map(vjp_of, range(len(arrays)))


# --- losses -------------------------------------------------------------------------------------


def _scale(size: int, reduction: Reduction, n: Any = None) -> Any:
    """What the sum of so many losses is multiplied by: 1/n for a mean, with n = Σ w for weights."""
    return 1 / (size if n is None else n) if reduction == "mean" else 1.0


def _weighted(x: Array, w: Array | None) -> Array:
    """w x in the dtype of x; 0 where w is 0, whatever x is."""
    if w is None:
        return x
    with np.errstate(invalid="ignore"):
        product: Array = np.where(w == 0, 0, x * w.astype(x.dtype, copy=False))
    return product


def _reduced(losses: Array, reduction: Reduction, w: Array | None = None, n: Any = None) -> Any:
    """The mean or sum of losses with weights w, or each loss times its weight."""
    losses = _weighted(losses, w)
    if reduction == "none":
        return losses
    total = accumulate(losses) * _scale(losses.size, reduction, n)
    return total.astype(losses.dtype, copy=False)


def _in(dtype: np.dtype[Any], scale: Any) -> Any:
    """A scale for arrays of a dtype: a Python number takes it, any other is converted."""
    return scale if type(scale) is float else scale.astype(dtype)


@op("L = reduction((p − t)²)", "∂p = 2 g (p − t) / n", "∂t = −2 g (p − t) / n")
@half_in_single
def mse(
    p: Input, t: Input, /, reduction: Reduction, w: Array | None = None, n: Any = None
) -> Value:
    """The squared error of predictions p and targets t of one shape, then its mean or sum.

    Weights w are a float64 array that broadcasts, one a sample; n = Σ w for a mean.
    """
    if reduction == "none":
        error = p - t
        slope = _weighted(error, w)
        return _weighted(error * error, w), lambda g: 2 * g * slope, lambda g: -2 * g * slope
    scale, dtype = _scale(p.size, reduction, n), _kernel_dtype(np.result_type(p, t))
    weights = None if w is None else _contiguous(np.broadcast_to(w, p.shape), dtype)
    arrays = _contiguous(p, dtype), _contiguous(t, dtype)
    loss, slope = loss_kernels.squared_error(*arrays, scale, weights)

    def vjp_t(g: Array) -> Any:
        return (2 * _in(g.dtype, scale) * g) * _weighted(t - p, w)

    return loss, lambda g: g * slope, vjp_t


@op("L = reduction(|p − t|)", "∂p = g sgn(p − t) / n", "∂t = −g sgn(p − t) / n")
@half_in_single
def mae(
    p: Input, t: Input, /, reduction: Reduction, w: Array | None = None, n: Any = None
) -> Value:
    """The absolute error of predictions p and targets t of one shape, then its mean or sum."""
    error = p - t
    scale = _in(error.dtype, _scale(p.size, reduction, n))
    loss = _reduced(np.abs(error), reduction, w, n)
    slope = _weighted(np.sign(error), w)
    return loss, lambda g: (scale * g) * slope, lambda g: (-scale * g) * slope


@op(
    "L = reduction(½ (p − t)² if |p − t| ≤ delta else delta (|p − t| − ½ delta))",
    "∂p = g min(max(p − t, −delta), delta) / n",
    "∂t = −g min(max(p − t, −delta), delta) / n",
)
@half_in_single
@np.errstate(over="ignore", under="ignore")  # as for clip, and as the kernel of mse
def huber(
    p: Input, t: Input, /, reduction: Reduction, delta: float, w: Array | None = None, n: Any = None
) -> Value:
    """Half the squared error, beyond delta continued by its tangent, then its mean or sum."""
    error = p - t
    scale = _in(error.dtype, _scale(p.size, reduction, n))
    slope = np.minimum(np.maximum(error, -delta), delta)
    loss = _reduced(slope * (error - 0.5 * slope), reduction, w, n)
    slope = _weighted(slope, w)
    return loss, lambda g: (scale * g) * slope, lambda g: (-scale * g) * slope


@op("L = reduction(ln(1 + eˣ) − t x)", "∂x = g (σ(x) − t) / n", "∂t = −g x / n")
@half_in_single
@np.errstate(under="ignore", invalid="ignore")
def binary_cross_entropy(
    x: Input, t: Input, /, reduction: Reduction, w: Array | None = None, n: Any = None
) -> Value:
    """The cross-entropy of logits x against targets t in [0, 1] of one shape, then mean or sum.

    An infinite logit costs 0 where the target agrees with it, else ∞.
    """
    wrong = np.fmax((1 - t) * np.maximum(x, 0), 0) + np.fmax(t * np.maximum(-x, 0), 0)  # 0 ∞ is 0
    losses = wrong + np.log1p(np.exp(-np.abs(x)))
    scale = _in(losses.dtype, _scale(losses.size, reduction, n))

    def vjp_x(g: Array) -> Any:
        s, rest = _sigmoid(x)
        slope = (1 - t) * s - t * rest  # σ(x) − t without its rounding
        return (scale * g) * _weighted(slope, w)

    return _reduced(losses, reduction, w, n), vjp_x, lambda g: (-scale * g) * _weighted(x, w)


def as_probabilities(x: Array, target: Array, smoothing: float, **_: Any) -> Array:
    """Labels or probabilities as smoothed probabilities, in the shape of x."""
    if target.dtype.kind != "f":
        target = target[..., None] == np.arange(x.shape[-1])
    mean: Array = np.mean(target, axis=-1, keepdims=True)
    return (1 - smoothing) * target + smoothing * mean


@op(
    "L = reduction(−Σₖ t ln softmax(x))",
    "∂x = g (softmax(x) Σₖ t − t) / n",
    symbols={"t": as_probabilities},
)
def cross_entropy(
    x: Input,
    /,
    target: Array,
    smoothing: float,
    reduction: Reduction,
    w: Array | None = None,
    n: Any = None,
) -> Value:
    """The cross-entropy of rows of logits against labels or rows of probabilities.

    One pass of a compiled kernel over the logits computes the losses and the gradient together.
    """
    rows = _contiguous(x, _kernel_dtype(x.dtype)).reshape(-1, x.shape[-1])
    if target.dtype.kind == "f":
        target = _contiguous(target, rows.dtype).reshape(rows.shape)
    else:
        target = _contiguous(target, np.int64).reshape(-1)
    scale, w = _scale(len(rows), reduction, n), None if w is None else w.reshape(-1)
    losses, loss, gradient = loss_kernels.cross_entropy(rows, target, smoothing, scale, w)
    gradient = gradient.reshape(x.shape)
    if reduction == "none":
        losses = losses.reshape(x.shape[:-1]).astype(x.dtype)
        return losses, lambda g: np.expand_dims(g, -1) * gradient
    return loss.astype(x.dtype, copy=False), lambda g: g * gradient
