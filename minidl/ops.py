"""Every differentiable function: its value, its derivative and its formula in one place.

An op is a function on NumPy arrays that returns its value and one vector-Jacobian product (VJP)
per input. A VJP takes g, the gradient of the loss by the op's value, and returns the gradient by
that input (written ∂x below). Nothing here knows of tensors or graphs: `minidl.tensor` wraps each
op, undoes broadcasting, skips the products that nobody needs and accumulates the rest.

Three rules keep an op safe. A VJP holds arrays, never a tensor. It returns g itself, a view, or
an array that nobody else holds. And neither half of the op changes its inputs.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._kernels import layer as layer_kernels
from minidl._kernels import loss as loss_kernels
from minidl._kernels import special as special_kernels


def op(
    formula: str,
    *derivatives: str,
    variadic: bool = False,
    fused_vjp: bool = False,
    movement: bool = False,
    symbols: dict[str, Callable[..., Any]] | None = None,
) -> Callable[[Callable], Callable]:
    """Mark a function as an op: attach its formula and one derivative per differentiable input.

    formula    the value, y = …
    derivatives  for each input x the VJP, ∂x = …
    variadic   it takes a list of inputs, under one derivative
    fused_vjp  it returns one VJP of g and of which inputs need a gradient, that gives the
               gradients of all, each in its input's shape and dtype and in an array of its own
    movement   it only moves entries to other places, and its formula may be words
    symbols    what stands in the formulas and is neither an input nor an option, as a function of
               these
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


# exp(−1000) is 0: the tail of a softmax or sigmoid may vanish whatever np.errstate the caller set
tails_may_vanish = np.errstate(under="ignore")


_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def _kernel_dtype(x):
    """What a kernel computes x in: float32, or float64 where that holds more of x."""
    return _SINGLE if x.dtype.itemsize <= 4 else _DOUBLE


def _in_a_row(x, dtype):
    """x as a kernel takes it: of that dtype, in C order and aligned."""
    x = np.asarray(x, dtype, order="C")
    return x if x.flags.aligned else x.copy()


def _entrywise(kernel, x):
    """What a kernel of flat arrays makes of x, in its shape and dtype."""
    out = np.empty(x.shape, _kernel_dtype(x))
    kernel(_in_a_row(x, out.dtype).reshape(-1), out.reshape(-1))
    return out.astype(x.dtype, copy=False)


# --- arithmetic ---------------------------------------------------------------------------------


@op("y = a + b", "∂a = g", "∂b = g")
def add(a, b, /):
    """The sum, entry by entry, of two arrays that broadcast."""
    return a + b, lambda g: g, lambda g: g


@op("y = a − b", "∂a = g", "∂b = −g")
def subtract(a, b, /):
    """The difference, entry by entry, of two arrays that broadcast."""
    return a - b, lambda g: g, lambda g: -g


@op("y = a b", "∂a = g b", "∂b = g a")
def multiply(a, b, /):
    """The product, entry by entry, of two arrays that broadcast."""
    return a * b, lambda g: g * b, lambda g: g * a


@op("y = a / b", "∂a = g / b", "∂b = −g y / b")
def divide(a, b, /):
    """The quotient, entry by entry, of two arrays that broadcast."""
    y = a / b
    return y, lambda g: g / b, lambda g: -g * y / b


@op("y = −x", "∂x = −g")
def negative(x, /):
    """The negative of each entry."""
    return -x, lambda g: -g


@op("y = aᵇ", "∂a = g b aᵇ⁻¹ if b ≠ 0 else 0", "∂b = g y ln a if a ≠ 0 else 0")
def power(a, b, /):
    """a to the power of b, entry by entry, of two arrays that broadcast."""
    y = a**b

    def vjp_a(g):
        return g * b * a ** (b - 1 if np.all(b) else np.where(b == 0, 1, b - 1))

    return y, vjp_a, lambda g: g * y * np.log(np.where(a == 0, 1, a))


@op("y = a @ b", "∂a = g @ bᵀ", "∂b = aᵀ @ g")
def matmul(a, b, /):
    """The matrix product as NumPy's `@`: (…, n, k) @ (…, k, m) → (…, n, m); vectors are (k,)."""
    if not (np.ndim(a) and np.ndim(b)) or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError("the last axis of the first must be as long as the rows of the second")
    y = a @ b
    rows = a if a.ndim > 1 else a[None, :]
    columns = b if b.ndim > 1 else b[:, None]

    def full(g):  # the axes that a vector lacks
        g = g if a.ndim > 1 else np.expand_dims(g, -1 if b.ndim == 1 else -2)
        return g if b.ndim > 1 else np.expand_dims(g, -1)

    def vjp_b(g):
        product = rows.swapaxes(-1, -2) @ full(g)
        return product if b.ndim > 1 else product[..., 0]

    return y, lambda g: full(g) @ columns.swapaxes(-1, -2), vjp_b


@op("y = x @ W + b", "∂x = g @ Wᵀ", "∂W = xᵀ @ g", "∂b = Σᵢ g", fused_vjp=True)
def dense(x, w, b, /):
    """A fully connected layer: x (n, in), W (in, out), b (out,) → y (n, out)."""
    return _layer(x, w, b, rectify=False)


def _layer(x, w, b, rectify):
    """The value of f(x W + b), f the identity or max(·, 0), and its VJP.

    Small products are a kernel's, as a call of NumPy costs more than they do; the others are
    BLAS's.
    """
    y = layer_kernels.dense(x, w, b, rectify)
    small = y is not None
    if not small:
        if b.shape != w.shape[1:]:
            raise ValueError(f"the bias must have shape {w.shape[1:]}, got {b.shape}")
        y = np.dot(x, w)
        if not layer_kernels.add_bias(y, b, rectify):  # dtypes differ
            y = np.maximum(y + b, 0) if rectify else y + b

    def vjp(g, wanted):
        products = small and layer_kernels.dense_vjp(g, y if rectify else None, x, w, wanted[0])
        if not products:
            d = _gated(g, y) if rectify else g
            total = layer_kernels.sum_rows(d)
            total = d.sum(axis=0) if total is None else total
            products = (
                np.dot(d, w.T).astype(x.dtype, copy=False) if wanted[0] else None,
                np.dot(x.T, d).astype(w.dtype, copy=False) if wanted[1] else None,
                total.astype(b.dtype, copy=False),
            )
        return products

    return y, vjp


@op(
    "y = f(… f(x W₁ + b₁) … Wₙ + bₙ)",
    "∂x = δ₁ W₁ᵀ,  ∂Wᵢ = xᵢᵀ δᵢ,  ∂bᵢ = Σ δᵢ,  δₙ = g f′,  δᵢ = δᵢ₊₁ Wᵢ₊₁ᵀ f′",
    variadic=True,
    fused_vjp=True,
)
def perceptron(arrays, /, rectify):
    """Layers one after the other: x, W₁, b₁, W₂, b₂, …, and for each whether it rectifies."""
    y, *parameters = arrays
    vjps = []
    for w, b, rectifies in zip(parameters[::2], parameters[1::2], rectify, strict=True):
        y, vjp = _layer(y, w, b, rectifies)
        vjps.append(vjp)

    def vjp(g, wanted):
        products = []  # from the last to the first
        for i in range(len(vjps) - 1, -1, -1):
            g, of_w, of_b = vjps[i](g, (i > 0 or wanted[0], wanted[2 * i + 1]))
            products += (of_b, of_w)
        products.append(g)
        return products[::-1]

    return y, vjp


def _gated(g, y):
    """g where y > 0, else 0, whatever g is there."""
    gated = layer_kernels.gate(g, y)
    return np.where(y > 0, g, 0) if gated is None else gated


# --- functions of one array, entry by entry -----------------------------------------------------


@op("y = eˣ", "∂x = g y")
def exp(x, /):
    """The exponential of each entry.

    >>> dl.exp([0.0, 1.0])
    Tensor([1.    , 2.7183], dtype=float32)
    """
    y = np.exp(x)
    return y, lambda g: g * y


@op("y = sin x", "∂x = g cos x")
def sin(x, /):
    """The sine of each entry, an angle in radians.

    >>> dl.sin([0.0, np.pi / 6])
    Tensor([0. , 0.5], dtype=float32)
    """
    return np.sin(x), lambda g: g * np.cos(x)


@op("y = cos x", "∂x = −g sin x")
def cos(x, /):
    """The cosine of each entry, an angle in radians.

    >>> dl.cos([0.0, np.pi / 3])
    Tensor([1. , 0.5], dtype=float32)
    """
    return np.cos(x), lambda g: -(g * np.sin(x))


@op("y = ln x", "∂x = g / x")
def log(x, /):
    """The natural logarithm of each entry.

    >>> dl.log([1.0, 2.0])
    Tensor([0.    , 0.6931], dtype=float32)
    """
    return np.log(x), lambda g: g / x


@op("y = √x", "∂x = g / (2 y)  (+∞ at 0)")
def sqrt(x, /):
    """The square root of each entry.

    >>> dl.sqrt([4.0, 9.0])
    Tensor([2., 3.], dtype=float32)
    """
    y = np.sqrt(x)

    @np.errstate(divide="ignore")
    def vjp(g):
        return g / (2 * y)

    return y, vjp


@op("y = |x|", "∂x = g sgn x  (0 at 0)")
def abs(x, /):
    """The absolute value of each entry.

    >>> dl.abs([-2.0, 3.0])
    Tensor([2., 3.], dtype=float32)
    """
    return np.abs(x), lambda g: g * np.sign(x)


@op("y = tanh x", "∂x = g (1 − y²)")
def tanh(x, /):
    """The hyperbolic tangent of each entry, in (−1, 1).

    >>> dl.tanh([0.0, 1.0])
    Tensor([0.    , 0.7616], dtype=float32)
    """
    y = np.tanh(x)
    return y, lambda g: g * (1 - y * y)


@tails_may_vanish
def _sigmoid(x):
    """σ(x) and 1 − σ(x) = σ(−x), both exact far into the tails, where 1 − y would round."""
    total = 1 + np.exp(-np.abs(x))
    return np.exp(np.minimum(x, 0)) / total, np.exp(-np.maximum(x, 0)) / total


@op("y = 1 / (1 + e⁻ˣ)", "∂x = g y (1 − y)")
def sigmoid(x, /):
    """The logistic function of each entry, in (0, 1); exact far into both tails.

    >>> dl.sigmoid([-1000.0, 0.0, 1000.0])
    Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    y, rest = _sigmoid(x)
    return y, lambda g: g * (y * rest)


@op("y = max(x, 0)", "∂x = g [x > 0]")
def relu(x, /):
    """The rectified linear unit of each entry; its derivative at 0 is 0, and NaN stays NaN.

    >>> dl.relu([-1.0, 2.0])
    Tensor([0., 2.], dtype=float32)
    """
    y = np.maximum(x, 0)
    return y, lambda g: _gated(g, y)


@op("y = x if x > 0 else slope · x", "∂x = g if x > 0 else slope · g")
def leaky_relu(x, /, slope=0.01):
    """A rectified linear unit that lets `slope` of the negative side through.

    >>> dl.leaky_relu([-1.0, 2.0], slope=0.1)
    Tensor([-0.1,  2. ], dtype=float32)
    """
    return np.where(x > 0, x, slope * x), lambda g: np.where(x > 0, g, slope * g)


@op(
    "y = x if x > 0 else α (eˣ − 1)",
    "∂x = g if x > 0 else g α eˣ",
)
@tails_may_vanish
def elu(x, /, alpha=1.0):
    """The exponential linear unit of each entry (Clevert et al. 2016).

    >>> dl.elu([-1.0, 2.0])
    Tensor([-0.6321,  2.    ], dtype=float32)
    """
    below = np.minimum(x, 0)
    y = np.where(x > 0, x, alpha * np.expm1(below))
    return y, lambda g: np.where(x > 0, g, g * (alpha * np.exp(below)))


@op("y = x Φ(x)", "∂x = g (Φ(x) + x φ(x))")
@tails_may_vanish
def gelu(x, /):
    """x times the normal distribution function Φ, exactly (Hendrycks & Gimpel 2016).

    >>> dl.gelu([-1.0, 2.0])
    Tensor([-0.1587,  1.9545 ], dtype=float32)
    """
    cdf = _entrywise(special_kernels.normal_cdf, x)
    near = np.minimum(np.abs(x), 40)  # further out the density is 0, but x² may overflow
    density = np.exp(-0.5 * near * near) / np.sqrt(2 * np.pi, dtype=x.dtype)
    return x * cdf, lambda g: g * (cdf + x * density)


@op("y = x σ(x)", "∂x = g (σ(x) + y (1 − σ(x)))")
@tails_may_vanish
def silu(x, /):
    """x times its own sigmoid, also called swish (Elfwing et al. 2018).

    >>> dl.silu([-1.0, 0.0])
    Tensor([-0.2689,  0.    ], dtype=float32)
    """
    s, rest = _sigmoid(x)
    y = x * s
    return y, lambda g: g * (s + y * rest)


@tails_may_vanish
def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@op("y = ln(1 + eˣ)", "∂x = g σ(x)")
def softplus(x, /):
    """A smooth rectifier; exact far into both tails.

    >>> dl.softplus([-1000.0, 0.0])
    Tensor([0.    , 0.6931], dtype=float32)
    """
    return _softplus(x), lambda g: g * _sigmoid(x)[0]


# --- the larger, the smaller, one of two --------------------------------------------------------


def _share(a, b):
    """1 where a wins, ½ at a tie, 0 elsewhere."""
    return np.where(a == b, 0.5, a > b).astype(np.result_type(a, b), copy=False)


@op("y = max(a, b)", "∂a = g ([a > b] + ½ [a = b])", "∂b = g ([b > a] + ½ [a = b])")
def maximum(a, b, /):
    """The larger of two entries, of two arrays that broadcast; a tie shares the gradient.

    >>> dl.maximum([1.0, 5.0], 3.0)
    Tensor([3., 5.], dtype=float32)
    """
    return np.maximum(a, b), lambda g: g * _share(a, b), lambda g: g * _share(b, a)


@op("y = min(a, b)", "∂a = g ([a < b] + ½ [a = b])", "∂b = g ([b < a] + ½ [a = b])")
def minimum(a, b, /):
    """The smaller of two entries, of two arrays that broadcast; a tie shares the gradient.

    >>> dl.minimum([1.0, 5.0], 3.0)
    Tensor([1., 3.], dtype=float32)
    """
    return np.minimum(a, b), lambda g: g * _share(b, a), lambda g: g * _share(a, b)


@op("y = a if condition else b", "∂a = g if condition else 0", "∂b = 0 if condition else g")
def where(a, b, /, condition):
    """a where the condition holds, b elsewhere; neither branch's NaN reaches the other."""
    return (
        np.where(condition, a, b),
        lambda g: np.where(condition, g, 0),
        lambda g: np.where(condition, 0, g),
    )


# --- reductions ---------------------------------------------------------------------------------


def _expand(y, shape, axis):
    """A reduction's result, or its gradient, with the reduced axes back in place as 1."""
    everything = axis is None or not shape  # NumPy grants a single number the axes 0 and −1
    axes = range(len(shape)) if everything else np.atleast_1d(axis) % len(shape)
    return np.reshape(y, [1 if i in axes else n for i, n in enumerate(shape)])


@op("y = Σ x", "∂x = g")
def sum(x, /, axis=None, keepdims=False):
    """The sum over all entries, or over one axis or a tuple of them.

    >>> dl.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([4., 6.], dtype=float32)
    """
    y = np.sum(x, axis=axis, keepdims=keepdims)
    return y, lambda g: np.broadcast_to(_expand(g, x.shape, axis), x.shape)


@op("y = mean x", "∂x = g / n")
def mean(x, /, axis=None, keepdims=False):
    """The mean over all entries, or over one axis or a tuple of them; ValueError if there are none.

    >>> dl.mean([[1.0, 2.0], [3.0, 4.0]])
    Tensor(2.5, dtype=float32)
    """
    y = np.sum(x, axis=axis, keepdims=keepdims)
    n = x.size if axis is None or not x.shape else int(np.prod(np.take(x.shape, axis)))
    if n == 0:
        raise ValueError("the mean of no entries is undefined")
    return y / n, lambda g: np.broadcast_to(_expand(g / n, x.shape, axis), x.shape)


def _extremum(y, x, axis):
    """The VJP of max and min: g shared among the entries that equal y (NaN equals NaN here)."""

    def vjp(g):
        hit = (x == _expand(y, x.shape, axis)) | np.isnan(x)
        return _expand(g, x.shape, axis) * hit / hit.sum(axis=axis, keepdims=True, dtype=x.dtype)

    return vjp


@op("y = max x", "∂x = g [x = y] / Σ [x = y]")
def max(x, /, axis=None, keepdims=False):
    """The largest entry of all, or along axes; ties share the gradient equally.

    >>> dl.max([[1.0, 5.0], [3.0, 4.0]], axis=1)
    Tensor([5., 4.], dtype=float32)
    """
    y = np.max(x, axis=axis, keepdims=keepdims)
    return y, _extremum(y, x, axis)


@op("y = min x", "∂x = g [x = y] / Σ [x = y]")
def min(x, /, axis=None, keepdims=False):
    """The smallest entry of all, or along axes; ties share the gradient equally.

    >>> dl.min([[1.0, 5.0], [3.0, 4.0]], axis=1)
    Tensor([1., 3.], dtype=float32)
    """
    y = np.min(x, axis=axis, keepdims=keepdims)
    return y, _extremum(y, x, axis)


@op("y = √(Σ x²)", "∂x = g x / y if y ≠ 0 else 0")
def norm(x, /, axis=None, keepdims=False):
    """The Euclidean norm over all entries, or along axes.

    >>> dl.norm([3.0, 4.0])
    Tensor(5., dtype=float32)
    """
    y = np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))

    def vjp(g):
        length = _expand(y, x.shape, axis)
        return _expand(g, x.shape, axis) * x / np.where(length == 0, 1, length)

    return y, vjp


@tails_may_vanish
def _shifted_exp(x, axis):
    """The shift, eˣ⁻ˢʰⁱᶠᵗ and its sum; the shift is the maximum, or 0 where that is infinite."""
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    e = np.exp(x - top)
    return top, e, np.sum(e, axis=axis, keepdims=True)


def _log(total):
    with np.errstate(divide="ignore"):  # ln 0 = −∞ is the limit for a row of −∞
        return np.log(total)


@op("y = ln Σ eˣ", "∂x = g softmax(x)")
def logsumexp(x, /, axis=-1, keepdims=False):
    """The logarithm of the sum of exponentials along an axis, shifted so that it can't overflow.

    >>> dl.logsumexp([1000.0, 1000.0])
    Tensor(1000.693, dtype=float32)
    """
    top, e, total = _shifted_exp(x, axis)
    y = _log(total) + top
    y = y if keepdims else np.squeeze(y, axis)
    return y, lambda g: _expand(g, x.shape, axis) * (e / total)


@op("y = eˣ / Σ eˣ", "∂x = y (g − Σ g y)")
def softmax(x, /, axis=-1):
    """Probabilities from logits: positive, with sum 1 along the axis.

    >>> dl.softmax([0.0, 0.0, 1000.0])
    Tensor([0., 0., 1.], dtype=float32)
    """
    _, e, total = _shifted_exp(x, axis)
    y = e / total
    return y, lambda g: y * (g - np.sum(g * y, axis=axis, keepdims=True))


@op("y = x − ln Σ eˣ", "∂x = g − softmax(x) Σ g")
def log_softmax(x, /, axis=-1):
    """The logarithm of softmax, exact where softmax itself would round to 0.

    >>> dl.log_softmax([0.0, 1000.0])
    Tensor([-1000.,     0.], dtype=float32)
    """
    top, e, total = _shifted_exp(x, axis)
    y = (x - top) - _log(total)
    return y, lambda g: g - e / total * np.sum(g, axis=axis, keepdims=True)


# --- shape --------------------------------------------------------------------------------------


@op("y = x in another shape", "∂x = g in the shape of x", movement=True)
def reshape(x, /, shape):
    """The same entries, in C order, in another shape; one length may be −1.

    >>> dl.reshape([1.0, 2.0, 3.0, 4.0], (2, 2))
    Tensor([[1., 2.],
            [3., 4.]], dtype=float32)
    """
    return np.reshape(x, shape), lambda g: np.reshape(g, x.shape)


@op("y = x with its axes permuted", "∂x = g with its axes put back", movement=True)
def transpose(x, /, axes=None):
    """The axes in another order; reversed if none is given.

    >>> dl.transpose([[1.0, 2.0]]).shape
    (2, 1)
    """
    inverse = None if axes is None else np.argsort(np.asarray(axes) % x.ndim)
    return np.transpose(x, axes), lambda g: np.transpose(g, inverse)


@op("y = x[key]", "∂x = g at key, 0 elsewhere; an entry taken twice sums both", movement=True)
def getitem(x, /, key):
    """Part of an array, by NumPy's indexing rules."""
    parts = key if isinstance(key, tuple) else (key,)
    lists = any(isinstance(part, np.ndarray | list) for part in parts)
    if lists:  # a copy, since whoever made it may change it; entries may be taken twice
        key = tuple(np.array(p) if isinstance(p, np.ndarray | list) else p for p in parts)

    def vjp(g):
        whole = np.zeros(x.shape, g.dtype)
        if lists:
            np.add.at(whole, key, g)
        else:
            whole[key] = g
        return whole

    return x[key], vjp


def _slice_of(start, stop, axis):
    return lambda g: np.moveaxis(np.moveaxis(g, axis, 0)[start:stop], 0, axis)


@op(
    "y = the arrays one after the other",
    "∂xᵢ = the slice of g that xᵢ became",
    variadic=True,
    movement=True,
)
def concatenate(arrays, /, axis=0):
    """A list of arrays joined along an existing axis.

    >>> dl.concatenate([[1.0, 2.0], [3.0]])
    Tensor([1., 2., 3.], dtype=float32)
    """
    y = np.concatenate(arrays, axis)
    ends = np.cumsum([0] + [x.shape[axis] for x in arrays])
    return y, *(_slice_of(start, stop, axis) for start, stop in itertools.pairwise(ends))


@op("y = the arrays side by side", "∂xᵢ = g[i] along the new axis", variadic=True, movement=True)
def stack(arrays, /, axis=0):
    """A list of arrays of one shape joined along a new axis.

    >>> dl.stack([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1., 2.],
            [3., 4.]], dtype=float32)
    """

    def vjp_of(i):
        return lambda g: np.moveaxis(g, axis, 0)[i]

    return np.stack(arrays, axis), *map(vjp_of, range(len(arrays)))


# --- losses -------------------------------------------------------------------------------------


def _reduce(losses, reduction):
    """The loss as asked for, and what each VJP multiplies g by."""
    if reduction == "none":
        return losses, 1
    scale = 1 / losses.size if reduction == "mean" else 1
    return losses.sum() * scale, scale


def _given_away(gradient, again):
    """The VJP that scales a ready gradient by a number g: in its own array, which it gives away.

    A second backward through the same graph computes it again.
    """
    kept = [gradient]

    def vjp(g):
        product = kept.pop() if kept else again()
        return product if g.item() == 1 else np.multiply(product, g, out=product)

    return vjp


@op("L = reduction((p − t)²)", "∂p = 2 g (p − t) / n", "∂t = −2 g (p − t) / n")
def mse(p, t, /, reduction):
    """The squared error of predictions p and targets t of one shape, then its mean or sum."""
    scale = 1 / p.size if reduction == "mean" else 1.0
    done = reduction != "none" and loss_kernels.squared_error(p, t, scale)
    if done:
        total, gradient = done
        to_p = _given_away(gradient, lambda: loss_kernels.squared_error(p, t, scale)[1])
        return np.array(total * scale, p.dtype), to_p, lambda g: (2 * scale * g) * (t - p)
    error = p - t
    loss, scale = _reduce(error * error, reduction)
    return loss, lambda g: (2 * scale * g) * error, lambda g: (-2 * scale * g) * error


@op(
    "L = reduction(ln(1 + eˣ) − t x)",
    "∂x = g (σ(x) − t) / n",
    "∂t = −g x / n",
)
@tails_may_vanish
def binary_cross_entropy(x, t, /, reduction):
    """The cross-entropy of logits x against targets t in [0, 1] of one shape, then mean or sum."""
    losses = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
    loss, scale = _reduce(losses, reduction)

    def vjp_x(g):
        s, rest = _sigmoid(x)
        return (scale * g) * ((1 - t) * s - t * rest)  # σ(x) − t without its rounding

    return loss, vjp_x, lambda g: (-scale * g) * x


def _as_probabilities(x, target, smoothing, reduction):
    """Labels or probabilities as smoothed probabilities, in the shape of x."""
    if target.dtype.kind != "f":
        target = target[..., None] == np.arange(x.shape[-1])
    return (1 - smoothing) * target + smoothing * np.mean(target, axis=-1, keepdims=True)


@op(
    "L = reduction(−Σₖ t ln softmax(x))",
    "∂x = g (softmax(x) Σₖ t − t) / n",
    symbols={"t": _as_probabilities},
)
def cross_entropy(x, /, target, smoothing, reduction):
    """The cross-entropy of rows of logits against labels or rows of probabilities.

    One pass of a compiled kernel over the logits makes the losses and the gradient together.
    """
    rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    scale = 1 / len(rows) if reduction == "mean" else 1.0
    try:
        losses, total, gradient = loss_kernels.cross_entropy(rows, target, smoothing, scale)
    except ValueError:  # they are not as a kernel takes them
        rows = _in_a_row(rows, _kernel_dtype(x))
        if target.dtype.kind == "f":
            target = _in_a_row(target, rows.dtype).reshape(rows.shape)
        else:
            target = _in_a_row(target, np.int64).reshape(-1)
        losses, total, gradient = loss_kernels.cross_entropy(rows, target, smoothing, scale)
    if reduction == "none":
        losses = losses.reshape(x.shape[:-1]).astype(x.dtype)
        return losses, lambda g: np.expand_dims(g, -1) * gradient.reshape(x.shape)

    def again():
        return loss_kernels.cross_entropy(rows, target, smoothing, scale)[2]

    vjp = _given_away(gradient, again)
    return np.array(total * scale, x.dtype), (
        vjp if x.ndim == 2 else lambda g: vjp(g).reshape(x.shape)
    )
