"""Read data as arrays of real numbers, by one rule for their dtypes; for tensors and modules.

What has a floating dtype of its own keeps it: arrays and scalars of NumPy, pandas data.
Python numbers, lists, integers and booleans have none, and take that of what they stand beside.
"""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

NATIVE = {np.dtype(np.float32), np.dtype(np.float64)}
PYTHON_NUMBERS = {float, int, bool}


def read(data: Any) -> tuple[NDArray[Any], bool]:
    """An array of real numbers, and whether the data have a floating dtype of their own."""
    if advice := missing(data):
        raise TypeError(advice)
    try:
        array = data if isinstance(data, np.ndarray) else np.asarray(data)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{data!r} can't be converted to an array: {error}") from None
    own = array.dtype.kind == "f" and (hasattr(data, "dtype") or hasattr(data, "dtypes"))
    if array.dtype == object and all(isinstance(x, numbers.Real) for x in array.flat):
        array = array.astype(np.float64)  # Fractions, and integers of more than 64 bits
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"expected real numbers, got {type(data).__name__} with dtype {array.dtype}"
        )
    return array, own


def missing(data: Any) -> str | None:
    """What to do about data whose missing entries NumPy would read as numbers, else None."""
    if isinstance(data, list | tuple):
        if set(map(type, data)) <= PYTHON_NUMBERS:
            return None
        return next(filter(None, map(missing, data)), None)
    masked = sys.modules.get("numpy.ma")  # not imported here, since that takes 10 ms
    if masked and isinstance(data, masked.MaskedArray):
        return "a masked array: fill or drop its masked entries first, as in x.filled(0.0)"
    dtypes: Any = getattr(data, "dtypes", getattr(data, "dtype", None))  # a DataFrame has several
    nullable = hasattr(data, "isna") and not all(
        isinstance(dtype, np.dtype) for dtype in np.ravel(dtypes)
    )
    if nullable and np.any(data.isna()):  # of pandas
        return "missing values: fill or drop them first, as in x.fillna(0.0) or x.dropna()"
    return None


def beside(
    given: list[Any], keep_numbers: bool, default: Callable[[], Any] | None = None
) -> list[Any]:
    """The inputs of an op as arrays, by what they stand beside.

    given         arrays and array-likes
    keep_numbers  whether a Python number stays one, which NumPy treats by the same rule
    default       gives the dtype where no input has a floating one; None keeps integers

    What has no floating dtype of its own takes that of the others, without a detour.
    """
    arrays = False
    for x in given:
        if type(x) is np.ndarray and x.dtype in NATIVE:
            arrays = True
        elif not (keep_numbers and type(x) in PYTHON_NUMBERS):
            break
    else:
        if arrays:
            return given  # the usual case
    dtypes, waiting = [], {}
    for i, x in enumerate(given):
        if type(x) is np.ndarray and x.dtype in NATIVE:
            dtypes.append(x.dtype)
        elif not (keep_numbers and type(x) in PYTHON_NUMBERS):
            given[i], floating = read(x)
            if floating:
                given[i] = given[i].astype(given[i].dtype.newbyteorder("="), copy=False)
                dtypes.append(given[i].dtype)
            else:
                waiting[i] = given[i]
    if not dtypes and keep_numbers and not waiting:
        waiting[0] = np.asarray(given[0])
    if waiting and (dtypes or default):
        dtype = np.result_type(*dtypes) if dtypes else default and default()
        for i, array in waiting.items():
            given[i] = array.astype(dtype, copy=False)
    return given
