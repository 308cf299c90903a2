"""Gradients made smaller before a step: by their common norm, or entry by entry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl._kernels import optim as kernels
from minidl.optim import parameters as _parameters


def clip_grad_norm(params: Any, max_norm: float) -> float:
    """Scale all gradients together so that their norm is at most max_norm; the norm before.

        norm = √Σ g² over the entries of all gradients;   g ← g · min(1, max_norm / norm)

    params    tensors, (name, tensor) pairs or a Module; those without a gradient are left out
    max_norm  a number ≥ 0; math.inf only measures the norm

    It goes between backward and step. The sum is taken in float64 and in a fixed order, so it is
    the same on every machine. ValueError for a gradient with NaN or infinity; nothing has been
    changed then (Pascanu et al. 2013).

    >>> w = dl.Tensor([0.0, 0.0], requires_grad=True)
    >>> w.grad = np.array([3.0, 4.0], np.float32)
    >>> dl.optim.clip_grad_norm([w], 1.0), w.grad
    (5.0, array([0.6, 0.8], dtype=float32))
    """
    if max_norm != math.inf:
        max_norm = _checks.number("clip_grad_norm", "max_norm", max_norm)
    found = _with_gradients("clip_grad_norm", params)
    unit, norm = _norm([p.grad for p in found])
    if unit * norm > max_norm:
        for p in found:
            scaled = p.grad.astype(np.float64) / unit * (max_norm / norm)
            p.grad = np.asarray(scaled, p.dtype)
    return unit * norm


def clip_grad_value(params: Any, limit: float) -> None:
    """Bring every entry of the gradients into [−limit, limit].

    params  tensors, (name, tensor) pairs or a Module; those without a gradient are left out
    limit   a finite number ≥ 0

    ValueError for a gradient with NaN or infinity; nothing has been changed then.

    >>> w = dl.Tensor([0.0, 0.0], requires_grad=True)
    >>> w.grad = np.array([3.0, -0.5], np.float32)
    >>> dl.optim.clip_grad_value([w], 1.0)
    >>> w.grad
    array([ 1. , -0.5], dtype=float32)
    """
    limit = _checks.number("clip_grad_value", "limit", limit)
    for p in _with_gradients("clip_grad_value", params):
        largest = min(limit, float(np.finfo(p.dtype).max))
        p.grad = np.asarray(p.grad.clip(-largest, largest))


def _with_gradients(owner: str, params: Any) -> list[Any]:
    """The parameters that have a gradient; ValueError for one that is not finite."""
    found = [p for p in _parameters.tensors(owner, params) if p.grad is not None]
    for p in found:
        if not isinstance(p.grad, np.ndarray):
            raise TypeError(
                f"{owner}: the gradient of {describe(p)} must be a NumPy array, got a "
                f"{type(p.grad).__name__}"
            )
        if not np.isfinite(p.grad).all():
            raise ValueError(
                f"{owner}: the gradient of {describe(p)} holds NaN or infinity, which clipping "
                "would hide. Find where it comes from, or leave this step out."
            )
    return found


def _norm(gradients: list[np.ndarray]) -> tuple[float, float]:
    """√Σ g² as a multiple of a unit, which is 1 unless g² is beyond the floats."""
    total = _sum_of_squares(gradients)
    if 1e-200 < total < math.inf:
        return 1.0, math.sqrt(total)
    unit = max((float(abs(g).max(initial=0)) for g in gradients), default=0.0) or 1.0
    return unit, math.sqrt(_sum_of_squares([g / unit for g in gradients]))


def _sum_of_squares(gradients: list[np.ndarray]) -> float:
    total = 0.0
    for g in gradients:  # one by one: the built-in sum() rounds otherwise from Python 3.12 on
        total += kernels.squared_norm(g.ravel())
    return total
