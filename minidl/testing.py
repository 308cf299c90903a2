"""gradcheck, for those who write an op or a loss: gradients against central differences."""

from __future__ import annotations

import contextvars
from collections.abc import Callable

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl._kernels import atomic
from minidl.tensor import Tensor, no_grad


class GradientError(AssertionError, ValueError):
    """Gradients from backward and from central differences disagree."""


def gradcheck(f: Callable[..., Tensor], *tensors: Tensor, rtol: float = 1e-6) -> bool:
    """Compare backward through f with central differences; True, or GradientError.

        ∂L/∂xᵢ ≈ (L(xᵢ + h) − L(xᵢ − h)) / 2h,  L = Σ r f(x)

    f        a deterministic function of the tensors, smooth around them
    tensors  float64 tensors, at least one with requires_grad
    rtol     the tolerance, relative to the larger gradient of an entry or the mean over the entries

    r is a fixed random array with the shape of f(x), so that one L checks every output entry. The
    tensors hold copies of their data meanwhile, and their own data again afterwards, whatever
    happens; every .grad stays as it is. Raises GradientError, which names the worst entry,
    TypeError for an argument that isn't a float64 tensor, and ValueError if no tensor requires a
    gradient or if f isn't deterministic.

    >>> with dl.default_dtype("float64"):
    ...     dl.gradcheck(dl.tanh, dl.Tensor([0.1, 2.0], requires_grad=True))
    True
    """
    _checks.number("gradcheck", "rtol", rtol, above=True)
    if not callable(f):
        raise TypeError(f"gradcheck: f must be a function of the tensors, got {f!r}")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor) or x.dtype != np.float64:
            raise TypeError(
                f"gradcheck: argument {i} must be a float64 Tensor, since differences of float32 "
                f"values are too inexact; got {x.dtype if isinstance(x, Tensor) else type(x)}"
            )
        if x.requires_grad and not x.is_leaf:
            raise ValueError(
                f"gradcheck: argument {i}, {describe(x)}, is the result of an op, and has no "
                "gradient of its own; give x.detach() with requires_grad = True"
            )
    if not any(x.requires_grad for x in tensors):
        raise ValueError("gradcheck: no tensor requires a gradient, so there is nothing to check")
    changes = [(x, "_data", x.data.copy()) for x in tensors]  # the entries of these are varied
    # an interrupt where a block is left skips its own restoration, but not that of the outer one
    with atomic.Assigned(atomic.found(changes)), atomic.Assigned(changes):
        y = f(*tensors)
        if not isinstance(y, Tensor):
            raise TypeError(f"gradcheck: f must return a tensor, got {type(y).__name__}")
        weights = np.random.default_rng(0).uniform(0.5, 1.5, y.shape)
        with np.errstate(under="ignore"):  # as in backward, which would change .grad
            grads = y._propagate(y._seed(weights), retain_graph=False)

        @no_grad()
        def value() -> float:
            return float(np.sum(weights * f(*tensors).data))

        def scalar() -> float:  # in a context of its own, no interrupt leaves no_grad on
            return contextvars.copy_context().run(value)

        if scalar() != float(np.sum(weights * y.data)):
            raise ValueError(
                "gradcheck: f returned two different values for the same tensors; it must be "
                "deterministic, so fix its seed or put it in evaluation mode"
            )
        excess, message = max(
            _compare(scalar, i, x, grads.get(x, np.zeros(x.shape)), rtol)
            for i, x in enumerate(tensors)
            if x.requires_grad
        )
    if excess > 1:
        raise GradientError(message)
    return True


def _compare(
    scalar: Callable[[], float], i: int, x: Tensor, grad: np.ndarray, rtol: float
) -> tuple[float, str]:
    """The worst entry of one tensor: its difference relative to the tolerance, and a message."""
    numeric, noise = np.empty(x.shape), np.empty(x.shape)
    for at in np.ndindex(x.shape):
        middle = float(x.data[at])
        h = 6e-6 * max(1.0, abs(middle))  # about the cube root of float64's epsilon
        x.data[at] = middle + h
        above = scalar()
        x.data[at] = middle - h
        below = scalar()
        x.data[at] = middle
        numeric[at] = (above - below) / (2 * h)
        noise[at] = 1e-15 * max(abs(above), abs(below)) / h  # rounding errors of the two values
    if not x.size:
        return 0.0, ""
    scale = np.maximum(np.abs(grad), np.abs(numeric))
    allowed = rtol * np.maximum(scale, scale.mean()) + noise
    excess = np.abs(grad - numeric) / np.where(allowed > 0, allowed, 1)
    excess = np.where(np.isnan(excess), np.inf, excess)
    at = np.unravel_index(np.argmax(excess), x.shape)
    entry = ", ".join(str(int(k)) for k in at)
    return float(excess[at]), (
        f"gradcheck: argument {i}, {describe(x)}, entry ({entry}): backward gives {grad[at]:.12g}, "
        f"central differences {numeric[at]:.12g}, {excess[at]:.3g} times what rtol={rtol:g} allows"
    )
