"""Read data as arrays of real numbers, by one rule for their dtypes; for tensors and modules.

What has a floating dtype of its own keeps it: arrays and scalars of NumPy, data of pandas, polars
and PyTorch.
Python numbers, lists, integers and booleans have none, and take that of what they stand beside.
"""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl._format import printable

NATIVE = {np.dtype(np.float32), np.dtype(np.float64)}
PYTHON_NUMBERS = {float, int, bool}
Owner: TypeAlias = str | Callable[[], str]


def read(data: Any, owner: Owner) -> tuple[NDArray[Any], bool]:
    """An array of real numbers, and whether the data have a floating dtype of their own.

    owner  what an error begins with, or a function that gives it
    """
    if reason := refusal(data):
        raise TypeError(f"{_name(owner)}: got {reason}")
    try:
        array = array_of(data)
    except ValueError as error:  # rows of different lengths
        raise ValueError(
            f"{_name(owner)}: {data!r} can't be converted to an array: {error}"
        ) from None
    own = array.dtype.kind == "f" and (hasattr(data, "dtype") or hasattr(data, "dtypes"))
    if array.dtype == object and all(isinstance(x, numbers.Real) for x in array.flat):
        array = array.astype(np.float64)  # Fractions, and integers of more than 64 bits
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{_name(owner)}: expected real numbers, got {type(data).__name__} with dtype "
            f"{array.dtype}"
        )
    return array, own


def _name(owner: Owner) -> str:
    return printable(owner if isinstance(owner, str) else owner())


def array_of(data: Any) -> NDArray[Any]:
    """The data as an array; a table of pandas in the dtype that its columns promote to.

    NumPy would make objects of nullable columns.
    """
    if isinstance(data, np.ndarray):
        return data
    if hasattr(data, "isna") and hasattr(data, "dtypes"):
        dtypes = [getattr(dtype, "numpy_dtype", dtype) for dtype in np.ravel(data.dtypes)]
        if dtypes and all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in dtypes):
            return np.asarray(data.to_numpy(np.result_type(*dtypes)))
    return np.asarray(data)


def refusal(data: Any) -> str | None:
    """What to do about data that can't be read as they are, else None.

    NumPy would read missing entries as numbers, and has no gradients.
    """
    if isinstance(data, list | tuple):
        if set(map(type, data)) <= PYTHON_NUMBERS:
            return None
        try:
            return next(filter(None, map(refusal, data)), None)
        except RecursionError:
            return "lists that are nested too deeply for an array"
    # not imported here, since that takes 10 ms; another thread may be in the middle of importing it
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    if masked and isinstance(data, masked):
        return "a masked array: fill or drop its masked entries first, as in x.filled(0.0)"
    if hasattr(data, "null_count"):  # of polars
        if hasattr(data, "collect"):
            return "a query that was not run: run it first, by x.collect()"
        if any(column.null_count() for column in (data if hasattr(data, "columns") else [data])):
            return "missing values: fill or drop them first, by x.fill_null(0.0) or x.drop_nulls()"
        return None
    if getattr(data, "requires_grad", False) and hasattr(data, "grad_fn"):  # of PyTorch
        return "a tensor of PyTorch that requires a gradient: give its values, by x.detach()"
    dtypes: Any = getattr(data, "dtypes", getattr(data, "dtype", None))  # a DataFrame has several
    nullable = hasattr(data, "isna") and not all(
        isinstance(dtype, np.dtype) for dtype in np.ravel(dtypes)
    )
    if nullable and np.any(data.isna()):  # of pandas
        return "missing values: fill or drop them first, as in x.fillna(0.0) or x.dropna()"
    return None


def beside(
    owner: str, given: list[Any], keep_numbers: bool, default: Callable[[], Any] | None = None
) -> list[Any]:
    """The inputs of an op as arrays, by what they stand beside.

    owner         what an error begins with
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
            given[i], floating = read(x, owner)
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
