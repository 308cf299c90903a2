"""Standardize: a module that scales columns to mean 0 and deviation 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import _checks, _operands, tensor
from minidl._format import printable
from minidl._kernels import atomic
from minidl._kernels.plan import plain
from minidl.data.arrays import as_array
from minidl.nn import Module
from minidl.tensor import Tensor


class Standardize(Module):
    """y = (x − mean) / deviation for each column, with the mean and deviation of `fit`'s data.

    features  the number of columns (…, features), to load a saved model without `fit`; the mean and
              the deviation are NaN until then

    The mean and the standard deviation (1 for a column where it is 0) are buffers in float64, which
    a checkpoint of the model holds. The result has the default dtype of when the module was made,
    rounded from float64. A tensor that requires a gradient is scaled in its own dtype instead, and
    keeps it. RuntimeError if it is called before it is fitted or loaded; ValueError for another
    number of columns.

    >>> scale = dl.data.Standardize().fit([[0.0, 5.0], [2.0, 5.0]])
    >>> scale([[1.0, 6.0]])
    Tensor([[0., 1.]], dtype=float32)
    """

    mean: np.ndarray
    deviation: np.ndarray

    def __init__(self, features: int | None = None) -> None:
        self.dtype = tensor.get_default_dtype()
        if features is not None:
            count = _checks.count("Standardize", "features", features)
            self.buffer("mean", np.full(count, np.nan))
            self.buffer("deviation", np.full(count, np.nan))

    @property
    def _loads(self) -> str:
        """Why a saved state may not fit, for a message."""
        if self._buffers:
            return ""
        return (
            "A Standardize can't load a mean and deviation before it has columns: make it with "
            "their number, Standardize(features)"
        )

    def fit(self, x: Any) -> Standardize:
        """Take the mean and deviation of each column of x (…, features); returns the module.

        ValueError for a column with NaN or infinity or too large numbers, for data without samples,
        and for another number of columns than before.
        """
        array = as_array("Standardize", "x", x)
        if array.ndim < 2:
            raise ValueError(
                f"Standardize: x must have columns (N, features), got shape {array.shape}; "
                "x.reshape(-1, 1) for one column"
            )
        if not array.size:
            raise ValueError(f"Standardize: x holds no samples, but has shape {array.shape}")
        columns = array.reshape(-1, array.shape[-1]).astype(np.float64)
        if self._buffers and self.mean.shape != columns.shape[1:]:
            raise ValueError(
                f"Standardize has {len(self.mean)} columns, but x has {columns.shape[1]}; make a "
                "new one"
            )
        self._check_columns(np.isfinite(columns).all(axis=0), "holds NaN or infinity")
        with np.errstate(over="ignore", invalid="ignore"):
            mean = columns.mean(axis=0)
            off = (columns - mean).mean(axis=0)  # what rounding has lost
            deviation = (columns - mean).std(axis=0)
            mean += off
        same = (columns == columns[0]).all(axis=0)  # exactly, where the mean may be rounded
        mean, deviation = np.where(same, columns[0], mean), np.where(same, 1.0, deviation)
        self._check_columns(np.isfinite(mean) & np.isfinite(deviation), "holds too large numbers")
        deviation[deviation == 0] = 1.0
        buffers = {"mean": mean, "deviation": deviation}
        changes = {**buffers, "_buffers": self._buffers or tuple(buffers)}
        atomic.assign([(vars(self), name, value) for name, value in changes.items()])
        return self

    def _check_columns(self, usable: Any, problem: str) -> None:
        """ValueError that names the columns that aren't usable."""
        if not usable.all():
            bad = np.flatnonzero(~usable)
            columns = ", ".join(map(str, bad[:5])) + ", …" * (len(bad) > 5)
            raise ValueError(
                f"Standardize: x {problem} in column {printable(columns)}; fill or drop such "
                "entries first"
            )

    def forward(self, x: Any) -> Tensor:
        """Scale the columns."""
        if not self._buffers or np.isnan(plain((self.mean, self.deviation))).any():
            columns = (
                "" if self._buffers else " into one with as many columns, Standardize(features)"
            )
            raise RuntimeError(
                "Standardize has no mean and deviation yet: call fit(x) with the training data, or "
                f"load a saved model{columns}"
            )
        graph = isinstance(x, Tensor) and x.requires_grad
        array = x.data if isinstance(x, Tensor) else _operands.read(x, "Standardize")[0]
        if array.shape[-1:] != self.mean.shape:
            raise ValueError(
                printable(
                    f"Standardize expects input of shape (…, {len(self.mean)}), got {array.shape}"
                )
            )
        if graph:
            y: Tensor = x - self.mean.astype(x.dtype)
            return y / self.deviation.astype(x.dtype)
        return Tensor(((array - self.mean) / self.deviation).astype(self.dtype))
