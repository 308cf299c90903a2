"""Gradient clipping before a step: by the norm of all gradients, or entry by entry."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl._kernels import atomic
from minidl._kernels import optim as kernels
from minidl._kernels.plan import Recorded, whole
from minidl._observer import active
from minidl.optim.parameters import GroupParams, tensors
from minidl.tensor import Tensor


def clip_grad_norm(params: GroupParams, max_norm: float) -> float:
    """Scale all gradients together so that their norm is at most max_norm; returns the norm before.

        norm = √Σ g² over the entries of all gradients;   g ← g · min(1, max_norm / norm)

    params    tensors, (name, tensor) pairs or a Module; those without a gradient are ignored
    max_norm  a number ≥ 0; math.inf only measures the norm

    Call it between backward and step (Pascanu et al. 2013). The sum is taken in float64 and in a
    fixed order, so it is the same on every machine. ValueError for a gradient that contains NaN or
    infinity; nothing has changed then. A captured step that returns the norm returns a number, too.

    >>> w = dl.Tensor([0.0, 0.0], requires_grad=True)
    >>> w.grad = np.array([3.0, 4.0], np.float32)
    >>> dl.optim.clip_grad_norm([w], 1.0), w.grad
    (5.0, array([0.6, 0.8], dtype=float32))
    """
    if not (isinstance(max_norm, float) and max_norm == math.inf):
        max_norm = _checks.number("clip_grad_norm", "max_norm", max_norm)
    found = _gradients("clip_grad_norm", params)
    observed = active.get() is not None  # each replay needs the same kind of arrays
    norm: Any
    norm, *clipped = _clipped_by_norm(max_norm, observed, tuple(found), *found.values())
    atomic.assign([(p, "grad", g) for p, g in zip(found, clipped, strict=True)])
    recorded = isinstance(norm, Recorded)
    if recorded:
        norm.convert = float  # for a step that returns it
    total: float = norm if recorded else norm.item()
    return total


def clip_grad_value(params: GroupParams, limit: float) -> None:
    """Clip every entry of the gradients to [−limit, limit].

    params  tensors, (name, tensor) pairs or a Module; those without a gradient are ignored
    limit   a finite number ≥ 0

    ValueError for a gradient that contains NaN or infinity; nothing has changed then.

    >>> w = dl.Tensor([0.0, 0.0], requires_grad=True)
    >>> w.grad = np.array([3.0, -0.5], np.float32)
    >>> dl.optim.clip_grad_value([w], 1.0)
    >>> w.grad
    array([ 1. , -0.5], dtype=float32)
    """
    limit = _checks.number("clip_grad_value", "limit", limit)
    found = _gradients("clip_grad_value", params)
    clipped = _clipped_by_value(limit, tuple(found), *found.values())
    atomic.assign([(p, "grad", g) for p, g in zip(found, clipped, strict=True)])


def _gradients(owner: str, params: GroupParams) -> dict[Tensor, np.ndarray]:
    """The gradients of the parameters that have one.

    ValueError for one of another shape, TypeError for one that is no floating array.
    """
    observer = active.get()
    own = tensors(owner, params)
    grads = {p: observer.grad(p) if observer else p.grad for p in own}
    found = {p: g for p, g in grads.items() if g is not None}
    for p, g in found.items():
        if not isinstance(g, np.ndarray):
            raise TypeError(
                f"{owner}: the gradient of {describe(p)} must be a NumPy array, got a "
                f"{type(g).__name__}"
            )
        if g.dtype.kind != "f":
            raise TypeError(
                f"{owner}: the gradient of {describe(p)} must be a floating array, got {g.dtype}"
            )
        if g.shape != p.shape:
            raise ValueError(
                f"{owner}: the gradient of {describe(p)} has shape {g.shape}, not that of its "
                "parameter"
            )
    return found


@whole
@np.errstate(all="ignore")  # what underflows is 0
def _clipped_by_norm(
    max_norm: float, anew: bool, params: Sequence[Tensor], *grads: np.ndarray
) -> Any:
    """The norm, and the gradients: new ones if it is larger than max_norm, or if `anew` is true."""
    g = _finite("clip_grad_norm", params, grads)
    unit, norm = _norm(g)
    if unit * norm > max_norm:
        scaled = (x.astype(np.float64) / unit * (max_norm / norm) for x in g)
        grads = tuple(np.array(x, p.dtype) for p, x in zip(params, scaled, strict=True))
    elif anew:
        grads = tuple(x.copy() for x in grads)
    return np.array(unit * norm), *grads


@whole
@np.errstate(all="ignore")
def _clipped_by_value(limit: float, params: Sequence[Tensor], *grads: np.ndarray) -> Any:
    """New gradients, with each entry in [−limit, limit]."""
    clipped = []
    for p, x in zip(params, _finite("clip_grad_value", params, grads), strict=True):
        bound = min(limit, float(np.finfo(p.dtype).max))
        clipped.append(np.array(x.clip(-bound, bound), p.dtype))
    return tuple(clipped)


def _finite(owner: str, params: Sequence[Tensor], grads: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The gradients in a form for kernels, float16 as float32; ValueError if one is not finite."""
    found = []
    for p, g in zip(params, grads, strict=True):
        dtype = np.float64 if g.dtype.itemsize > 4 else np.float32
        found.append(np.require(g, dtype, ["C", "ALIGNED"]))
        if not np.isfinite(found[-1]).all():
            raise ValueError(
                f"{owner}: the gradient of {describe(p)} contains NaN or infinity, which clipping "
                "would hide. Find its cause, or skip this step."
            )
    return found


def _norm(gradients: Collection[np.ndarray]) -> tuple[float, float]:
    """√Σ g² as a multiple of a unit, which is 1 unless g² overflows or underflows."""
    total = _sum_of_squares(gradients)
    if 1e-200 < total < math.inf:
        return 1.0, math.sqrt(total)
    unit = max((float(abs(g).max(initial=0)) for g in gradients), default=0.0) or 1.0
    with np.errstate(under="ignore"):  # in float64, as the unit may be 0 or infinite in float32
        scaled = [np.divide(g, unit, dtype=np.float64) for g in gradients]
    return unit, math.sqrt(_sum_of_squares(scaled))


def _sum_of_squares(gradients: Iterable[np.ndarray]) -> float:
    total = 0.0
    for g in gradients:  # one by one: from Python 3.12 on, the built-in sum() rounds differently
        total += kernels.squared_norm(g.ravel())
    return total
