"""Arrays whose uses by NumPy are recorded."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minidl._kernels.plan import Recorded, offset, root
from minidl._kernels.plan import plain as plain
from minidl.tensor import Tensor

STATIC = {"itemsize", "nbytes", "strides"}  # and shape, dtype, ndim, size, flags
VIEWS = {"T", "real", "imag", "base"}
KINDS = "fiubc"  # of dtypes whose arrays are numbers, and may be copied byte by byte
REFUSED = {"dump", "dumps", "resize", "setflags", "setfield", "tofile", "view", "byteswap"}
VALUES = (
    *("item", "tolist", "tobytes", "__repr__", "__str__", "__format__", "__contains__"),
    *("__bool__", "__float__", "__int__", "__index__", "__complex__"),
)


class Traced(Recorded, NDArrayOperatorsMixin):
    """An array whose uses by NumPy are added to a plan; once that is complete, a plain array."""

    array: np.ndarray
    plan: Any  # a Recording
    convert: Any = staticmethod(np.ndarray.copy)  # into what a step returns for it
    __class__ = property(lambda self: np.ndarray)  # for isinstance

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented  # it is for the tensor to decide
        call, inputs, options = getattr(ufunc, method), plain(inputs), plain(options)
        result = call(*inputs, **options)
        if not self.plan.open:
            return result
        if method == "__call__" and ufunc.nout == 1 and options.keys() <= {"out"}:
            arrays = _operands(inputs)
            out = options["out"][0] if options else np.asarray(result)
            numbers = details(inputs)
            fits = bool(arrays) and not _overlap(arrays, out)
            if fits and self.plan.add_ufunc(ufunc, arrays, out, numbers):
                return self.plan.record(out, result)
        return self.plan.made(call, inputs, options, result)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return self.plan.python(function, args, options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self.array, name)
        if name in STATIC or not self.plan.open:
            return value
        if name in VIEWS:
            return None if value is None else self.plan.record(value)
        if not callable(value) or name in REFUSED:
            self.plan.refuse(f"uses the {name} of an array", "Use NumPy's or minidl's functions.")
            return value
        return lambda *args, **options: self.plan.python(value, args, options, (self.array,))

    def __getitem__(self, key: Any) -> Any:
        return self.plan.python(operator.getitem, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.plan.python(operator.setitem, (self, key, value), {})

    def __pow__(self, other: Any) -> Any:  # unlike np.power, it squares where the exponent is 2
        return self.plan.python(operator.pow, (self, other), {})

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __deepcopy__(self, memo: Any = None) -> Any:
        return self.copy()

    __copy__ = __deepcopy__

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self.plan.refuse(
            "converts an array by np.asarray, np.array or the like, whose result can't be followed",
            "Leave that out, or convert before the step; x.copy() and x.astype(dtype) do work.",
        )
        return np.array(self.array, dtype, copy=copy)


def _value(name: str) -> Callable[..., Any]:
    """A method that returns a value of the array to Python, which no plan can follow."""
    what = "looks at a value (by an `if`, item(), float(), print or the like)"
    advice = "Do that outside of the step, with what it returns; or select by dl.where."
    if name == "__index__":
        what = "uses an array as an index or a number of things"
        advice = "Do that outside of the step; or index a tensor by it, dl.Tensor(a)[i]."

    def method(self: Traced, *args: Any) -> Any:
        self.plan.refuse(what, advice)
        return getattr(self.array, name)(*args)

    return method


for _name in VALUES:
    setattr(Traced, _name, _value(_name))


def mapped(function: Callable[[Any], Any], x: Any) -> Any:
    """The same nest of tuples, lists and dicts, with function(leaf) for each leaf."""
    kind = type(x)
    if kind is tuple or kind is list:
        return kind([mapped(function, part) for part in x])
    if kind is dict:
        return {key: mapped(function, part) for key, part in x.items()}
    return function(x)


def leaves(x: Any) -> list[Any]:
    """What lies in tuples, lists and dicts, in order."""
    found: list[Any] = []
    mapped(found.append, x)
    return found


def arrays_in(*x: Any) -> tuple[np.ndarray, ...]:
    """The arrays among the leaves."""
    return tuple([leaf for leaf in leaves(x) if isinstance(leaf, np.ndarray)])


SIMPLE = (bool, int, float, complex, str, bytes, type(None))  # compared by their values


def details(*x: Any) -> tuple[str, ...]:
    """The arguments of a call that are no arrays, to be compared."""
    return tuple(
        repr(leaf)
        if isinstance(leaf, (*SIMPLE, slice, np.dtype, np.generic))
        else type(leaf).__name__
        for leaf in leaves(x)
        if not isinstance(leaf, np.ndarray)
    )


def _operands(inputs: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    """The inputs of an element-wise function as arrays of one dtype; () if they have several."""
    dtypes = {x.dtype for x in inputs if isinstance(x, np.ndarray | np.generic)}
    if len(dtypes) != 1:
        return ()
    (dtype,) = dtypes
    mixed = dtype.kind != "f" and any(isinstance(x, int | float) for x in inputs)
    if mixed or dtype.kind not in KINDS:
        return ()
    with np.errstate(over="ignore"):
        return tuple(x if isinstance(x, np.ndarray) else np.asarray(x, dtype) for x in inputs)


def _overlap(arrays: tuple[np.ndarray, ...], out: np.ndarray) -> bool:
    """Whether an input shares memory with the output without being it."""
    return any(
        root(x) is root(out) and (offset(x), x.strides) != (offset(out), out.strides)
        for x in arrays
    )
