"""Tensor, the graph that ops leave behind it, and backward.

An op on a tensor that requires a gradient makes a Node: the op's vector-Jacobian products and the
nodes of its inputs. Nodes are numbered as they are made, so a node is always younger than its
inputs: `Tensor.backward` takes the youngest node that a gradient has reached, passes the gradient
on to its inputs, and repeats; when a node's turn comes, all that used it have had theirs. There
is no recursion, and no reference cycle to collect.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from operator import attrgetter
from typing import Any

import numpy as np
from numpy import ndarray

from minidl import _checks, _graph_picture, ops
from minidl._checks import describe
from minidl._kernels.system import untrack
from minidl._observer import active

_recording: ContextVar[bool] = ContextVar("recording", default=True)
_default_dtype = np.dtype(np.float32)
_dtype_here: ContextVar[np.dtype | None] = ContextVar("dtype", default=None)
_numbers = itertools.count(0, -1)  # downwards: heapq gives the smallest, backward wants the latest
_NUMBERS = {float, int, bool}
_NATIVE = (np.dtype(np.float32), np.dtype(np.float64))
_ONES = {dtype: np.ones((), dtype) for dtype in _NATIVE}
for _one in _ONES.values():
    _one.flags.writeable = False
_new = object.__new__


# --- settings -----------------------------------------------------------------------------------


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording a graph, as a context manager or as a decorator.

    >>> w = dl.Tensor([1.0, 2.0], requires_grad=True)
    >>> with dl.no_grad():
    ...     (2 * w).requires_grad
    False
    """
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def set_default_dtype(dtype: Any) -> None:
    """The dtype that numbers, lists, integers and new layers get: "float32" or "float64".

    Raises TypeError for anything else.
    """
    global _default_dtype
    _default_dtype = _single_or_double(dtype)


def _single_or_double(dtype: Any) -> np.dtype:
    try:
        wanted = np.dtype(dtype) if dtype is not None else None
    except TypeError:
        wanted = None
    if wanted not in (np.float32, np.float64):
        raise TypeError(f'the default dtype must be "float32" or "float64", not {dtype!r}')
    return wanted


def get_default_dtype() -> np.dtype:
    """The dtype that numbers, lists, integers and new layers get; float32 at start."""
    return _dtype_here.get() or _default_dtype


@contextlib.contextmanager
def default_dtype(dtype: Any) -> Iterator[None]:
    """Another default dtype for a while, in this thread.

    >>> with dl.default_dtype("float64"):
    ...     dl.Tensor([1, 2])
    Tensor([1., 2.])
    """
    token = _dtype_here.set(_single_or_double(dtype))
    try:
        yield
    finally:
        _dtype_here.reset(token)


def as_array(data: Any, dtype: Any = None) -> np.ndarray:
    """An array from anything array-like, copied only if it must be converted.

    Floating NumPy arrays keep their dtype, everything else gets the default dtype, unless `dtype`
    says otherwise. TypeError for what is no real number.
    """
    if isinstance(data, Tensor):
        data = data.data
    if type(data) is ndarray and data.dtype in _NATIVE and (dtype is None or dtype is data.dtype):
        return data  # the usual case, without the words of an error
    try:
        array = np.asarray(data)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"no array can be made of {data!r}: {error}") from None
    if dtype is None:
        keep = isinstance(data, np.ndarray | np.generic) and array.dtype.kind == "f"
        dtype = array.dtype.newbyteorder("=") if keep else get_default_dtype()
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"expected real numbers, got {type(data).__name__} with dtype {array.dtype}"
        )
    if np.dtype(dtype).kind not in "fiub":
        raise TypeError(f"dtype must be floating, integer or boolean, got {dtype!r}")
    return array.astype(dtype, copy=False)


# --- the graph ----------------------------------------------------------------------------------


class Node:
    """One recorded op: the edges to its inputs, and a vector-Jacobian product (VJP) for each.

    An edge is the input's node. For a leaf it is the tensor, its version and whether it wants a
    gradient, for an input that is no tensor None.
    """

    __slots__ = ("dtype", "edges", "fused_vjp", "name", "number", "shape", "vjps")
    name: str  # the op's
    number: int  # the younger, the smaller
    shape: tuple[int, ...]
    dtype: np.dtype
    edges: list[Any]
    vjps: list[Callable] | None  # None once the graph is freed
    fused_vjp: bool  # whether there is one VJP for all inputs


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """The gradient of a value of `shape` that was broadcast: g summed over what was repeated."""
    extra = g.ndim - len(shape)
    repeated = (extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1)
    return np.asarray(g.sum(axis=(*range(extra), *repeated))).reshape(shape)


def differentiable(function: Any) -> Callable[..., Tensor]:
    """Let an op take tensors, or whatever becomes one, and record what it did."""
    name, fused_vjp = function.__name__, function.fused_vjp
    inputs = None if function.variadic else len(function.derivatives)
    convert = _operand if inputs == 2 else as_array

    @functools.wraps(function)
    def apply(*tensors: Any, **options: Any) -> Tensor:
        extra: Any = ()
        if len(tensors) != inputs:
            if inputs is not None and len(tensors) > inputs:
                tensors, extra = tensors[:inputs], tensors[inputs:]
            else:
                tensors, extra = _listed(name, inputs, tensors)
        arrays: list[Any] = []
        edges: list[Any] = []
        recorded = False
        for t in tensors:
            if type(t) is Tensor:
                node = t._node
                if node is not None:
                    arrays.append(t._data)
                    edges.append(node)
                    recorded = True
                elif t._requires_grad:
                    arrays.append(t._data)
                    edges.append((t, t.version, True))
                    recorded = True
                else:
                    arrays.append(convert(t))
                    edges.append((t, t.version, False))
            else:
                arrays.append(convert(t))
                edges.append(None)
        if inputs == 2 and type(arrays[0]) in _NUMBERS and type(arrays[1]) in _NUMBERS:
            arrays[0] = as_array(arrays[0])
        try:
            if inputs is None:
                value, *vjps = function(arrays, *extra, **options)
            elif extra or options:
                value, *vjps = function(*arrays, *extra, **options)
            else:  # the usual call, at half the cost
                value, *vjps = function(*arrays)
        except ValueError as error:
            shapes = " and ".join(str(np.shape(a)) for a in arrays)
            raise ValueError(f"{name} of shape {shapes}: {error}") from None
        result = _new(Tensor)
        result._data = value = value if type(value) is ndarray else np.asarray(value)
        result.grad = result.name = None
        result.version = 0
        if recorded and _recording.get():
            result._requires_grad = True
            result._node = node = _new(Node)
            node.name, node.shape, node.dtype = name, value.shape, value.dtype
            node.number, node.fused_vjp = next(_numbers), fused_vjp
            node.edges, node.vjps = edges, vjps
            untrack(node, edges, vjps)  # a graph makes no cycles, so the collector need not look
        else:
            result._requires_grad = False
            result._node = None
        if observer := active.get():
            observer.op(function, tensors, arrays, extra, options, result)
        return result

    return apply


def _listed(name: str, inputs: int | None, given: tuple[Any, ...]) -> tuple[tuple, tuple]:
    """The tensors of an op that takes a list of them, and what follows the list."""
    if len(given) < (inputs or 1):
        raise TypeError(f"{name} takes {inputs or 'a list of'} tensors, got {len(given)}")
    tensors = tuple(given[0])
    if not tensors:
        raise ValueError(f"{name} needs at least one tensor, got none")
    return tensors, given[1:]


def _operand(x: Any) -> Any:
    """A plain operand: beside an array a Python number takes the array's dtype, as in NumPy."""
    return x if type(x) in _NUMBERS else as_array(x)


# --- the functions ------------------------------------------------------------------------------

add, subtract, multiply, divide, negative, power, matmul, dense = map(
    differentiable,
    (
        ops.add,
        ops.subtract,
        ops.multiply,
        ops.divide,
        ops.negative,
        ops.power,
        ops.matmul,
        ops.dense,
    ),
)
exp, log, sqrt, abs = map(differentiable, (ops.exp, ops.log, ops.sqrt, ops.abs))
sin, cos = map(differentiable, (ops.sin, ops.cos))
tanh, sigmoid, relu, leaky_relu, elu, gelu, silu, softplus = map(
    differentiable,
    (ops.tanh, ops.sigmoid, ops.relu, ops.leaky_relu, ops.elu, ops.gelu, ops.silu, ops.softplus),
)
maximum, minimum, _where = map(differentiable, (ops.maximum, ops.minimum, ops.where))
sum, mean, max, min, norm = map(differentiable, (ops.sum, ops.mean, ops.max, ops.min, ops.norm))
softmax, log_softmax, logsumexp = map(differentiable, (ops.softmax, ops.log_softmax, ops.logsumexp))
reshape, transpose, _getitem = map(differentiable, (ops.reshape, ops.transpose, ops.getitem))
concatenate, stack, perceptron = map(differentiable, (ops.concatenate, ops.stack, ops.perceptron))


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition holds, b elsewhere; all three broadcast.

        y = a if condition else b
        ∂a = g if condition else 0
        ∂b = 0 if condition else g

    The condition is a boolean array, or a tensor or array that counts as true where it isn't 0.

    >>> dl.where([True, False], 1.0, [5.0, 6.0])
    Tensor([1., 6.], dtype=float32)
    """
    condition = condition.data if isinstance(condition, Tensor) else condition
    return _where(a, b, np.array(condition, bool))


# --- the tensor ---------------------------------------------------------------------------------


def _swapped(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda self, other: function(other, self)


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """w −= …: for a parameter an update of its data, under no_grad; a new tensor for any other."""

    def act(self: Tensor, other: Any) -> Any:
        if not (self.requires_grad and self.is_leaf):
            return NotImplemented
        if _recording.get():
            raise RuntimeError(
                f"{describe(self)} is a parameter, and an update of it must not become part of the "
                "graph. Put it under dl.no_grad():  with dl.no_grad(): w -= 0.1 * w.grad"
            )
        self.data = function(self, other).data
        return self

    return act


def _compared(comparison: Any) -> Callable[..., np.ndarray]:
    return lambda self, other: comparison(self._data, _plain(other))


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


class Tensor:
    """An array that remembers how it was computed.

    data           an array or anything array-like. Floating NumPy arrays keep their dtype; Python
                   numbers, lists, integers and booleans get the default dtype (or `dtype`)
    requires_grad  whether backward stores the gradient of this tensor in .grad. Such a tensor
                   holds a copy of `data`, since optimizers update it in place; any other tensor
                   shares memory with a floating array that it is given
    name           what error messages call it

    TypeError for what is no real number, and for integers that are asked for a gradient.

    >>> w = dl.Tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    array([2., 4.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_data", "_node", "_requires_grad", "grad", "name", "version")
    _node: Node | None
    _requires_grad: bool
    grad: np.ndarray | None
    version: int  # how often the data was replaced or updated in place

    def __init__(
        self, data: Any, requires_grad: bool = False, *, dtype: Any = None, name: str | None = None
    ) -> None:
        if isinstance(data, Tensor) and data.requires_grad:
            raise TypeError(
                f"Tensor(t) would forget how t, {describe(data)}, was computed; use t itself, or "
                "t.detach() if that is meant"
            )
        self._data = as_array(data, dtype)
        self.grad = self._node = None
        self.name, self.version, self._requires_grad = name, 0, False
        given = data if dtype is None and isinstance(data, np.ndarray | np.generic) else self._data
        if requires_grad is not False:
            self._require_grad(requires_grad, given.dtype)

    def __init_subclass__(cls) -> None:
        raise TypeError("Tensor can't be subclassed; write functions of tensors, or an nn.Module")

    def _require_grad(self, value: bool, dtype: np.dtype) -> None:
        _checks.flag("Tensor", "requires_grad", value)
        if value and dtype.kind != "f":
            raise TypeError(
                f"requires_grad=True needs floating-point data, got {dtype}: integers have no "
                "gradient. Convert them first, as in data.astype('float64')."
            )
        if value and not self._requires_grad:
            self._data = np.array(self._data, order="C")  # optimizers write to it
        self._requires_grad = value

    def _set_data(self, values: Any) -> None:
        array = as_array(values, self._data.dtype)
        if self._node is not None:
            raise RuntimeError(
                f"{describe(self)} is the result of {self._node.name}: its data can't be replaced "
                "without losing how it was computed. Assign to y = x.detach() instead."
            )
        if array.shape != self._data.shape:
            raise ValueError(
                f"the data of {describe(self)} can't be replaced by values of shape {array.shape}"
            )
        self._data = np.array(array, order="C")
        self.version += 1

    requires_grad = property(
        attrgetter("_requires_grad"),
        lambda self, value: self._require_grad(value, self._data.dtype),
        doc="Whether backward stores the gradient of this tensor; set it to False to freeze it.",
    )
    data = property(
        attrgetter("_data"),
        _set_data,
        doc="The values, not a copy. Changes made inside the array are not seen by the graph.",
    )
    shape = property(attrgetter("_data.shape"), doc="The length of each axis.")
    ndim = property(attrgetter("_data.ndim"), doc="The number of axes.")
    size = property(attrgetter("_data.size"), doc="The number of entries.")
    dtype = property(attrgetter("_data.dtype"), doc="The type of the entries.")
    is_leaf = property(
        lambda self: self._node is None, doc="Whether it was made by a user, not by an op."
    )
    T = property(lambda self: transpose(self), doc="The tensor with its axes reversed.")

    def numpy(self) -> np.ndarray:
        """The values as an array that shares this tensor's memory."""
        return self._data

    def item(self) -> float:
        """The value of a tensor with one entry, as a Python number; ValueError for any other."""
        if self._data.size != 1:
            raise ValueError(f"item() needs one entry; {describe(self)} has {self._data.size}")
        return self._data.item()

    def detach(self) -> Tensor:
        """The same values as a constant without a history; a copy where they may be updated."""
        data = self._data.copy() if self.is_leaf else self._data
        return Tensor(data, dtype=data.dtype, name=self.name)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def backward(self, grad: Any = None, *, retain_graph: bool = False) -> None:
        """Add to .grad of every leaf the gradient of this tensor by that leaf.

        grad          the gradient that arrives here, of this tensor's shape; 1 if it has one entry
        retain_graph  keep the graph for another backward, instead of freeing it on the way

        RuntimeError if no leaf requires a gradient, the graph was freed, or a leaf changed since
        the forward pass; ValueError for a `grad` that is missing or of another shape. After an
        error every .grad is as it was.

        >>> x = dl.Tensor(3.0, requires_grad=True)
        >>> (x**2).backward()
        >>> x.grad
        array(6., dtype=float32)
        """
        g = seed = self._seed(grad)
        if observer := active.get():
            observer.begin_backward()
        if np.geterr()["under"] == "ignore":
            leaves = self._propagate(g, retain_graph)
        else:  # what vanishes is 0, whatever np.errstate the caller set
            with np.errstate(under="ignore"):
                leaves = self._propagate(g, retain_graph)
        for leaf, g in leaves:
            if leaf.grad is not None and np.shape(leaf.grad) != g.shape:
                raise ValueError(
                    f"the .grad that {describe(leaf)} had before has shape {np.shape(leaf.grad)}; "
                    "call zero_grad() first"
                )
        if observer := active.get():
            observer.end_backward(self, seed, leaves)
        for leaf, g in leaves:
            leaf.grad = g if leaf.grad is None else np.asarray(leaf.grad + g)

    def _propagate(self, g: np.ndarray, retain_graph: bool) -> list[tuple[Tensor, np.ndarray]]:
        """The gradient of each leaf, in an array that nothing else holds."""
        leaves: dict[int, tuple[Tensor, np.ndarray]] = {}  # by id
        reached: dict[int, tuple[Node, np.ndarray]] = {}  # nodes, and what has arrived, by number
        queue: list[int] = []  # their numbers, a heap
        if self._node is None:
            return [(self, g.copy())]
        reached[self._node.number] = self._node, g
        queue.append(self._node.number)
        while queue:
            node, g = reached.pop(heapq.heappop(queue))
            if node.vjps is None:
                raise RuntimeError(
                    f"backward reached {node.name}, whose graph was freed by an earlier backward "
                    "(or one that failed). Run the forward pass again, or keep the graph: "
                    "backward(retain_graph=True)."
                )
            products: Any = node.vjps
            if node.fused_vjp:
                asked = [type(edge) is Node or (edge and edge[2]) for edge in node.edges]
                products = node.vjps[0](g, asked)
            for edge, product in zip(node.edges, products, strict=True):
                if type(edge) is Node:
                    target: Any = edge
                elif edge is None:
                    continue
                else:
                    target, version, wanted = edge
                    if target.version != version:
                        raise RuntimeError(
                            f"{describe(target)} was changed (by an optimizer step, a load or an "
                            f"assignment to .data) after {node.name} had used it: its gradient "
                            "would be wrong. Run the forward pass again after a change."
                        )
                    if not wanted:
                        continue
                if not node.fused_vjp:
                    product = product(g)
                    value = edge if target is edge else target._data
                    if type(product) is not ndarray:
                        product = np.asarray(product)
                    if product.shape != value.shape:
                        product = unbroadcast(product, value.shape)
                    if product.dtype is not value.dtype:
                        product = product.astype(value.dtype, copy=False)
                    if target is not edge and (product is g or product.base is not None):
                        product = product.copy()  # .grad is nobody else's array
                if target is edge:
                    number = target.number
                    if number in reached:
                        product = reached[number][1] + product
                    else:
                        heapq.heappush(queue, number)
                    reached[number] = target, product
                elif id(target) in leaves:
                    leaves[id(target)][1][...] += product
                else:
                    leaves[id(target)] = target, product
            if not retain_graph:
                node.vjps = None
                node.edges = []
        return list(leaves.values())

    def _seed(self, grad: Any) -> np.ndarray:
        """The gradient that backward starts from."""
        if not self.requires_grad:
            raise RuntimeError(
                f"backward needs a result that depends on a tensor with requires_grad=True; "
                f"{describe(self)} does not (or it was computed under no_grad)"
            )
        if grad is None:
            if self._data.size != 1:
                raise ValueError(
                    f"backward without a gradient needs a result with one entry, such as a loss; "
                    f"{describe(self)} has {self._data.size}. Reduce it with .sum() or .mean(), or "
                    "pass the gradient of that shape: y.backward(grad)."
                )
            one = _ONES.get(self._data.dtype) if self._data.ndim == 0 else None
            return np.ones(self._data.shape, self._data.dtype) if one is None else one
        g = as_array(grad, self._data.dtype)
        if g.shape != self._data.shape:
            raise ValueError(
                f"the gradient passed to backward has shape {g.shape}, expected "
                f"{self._data.shape}, the shape of the tensor it is called on"
            )
        return g

    # operators and methods: the functions above

    __add__ = add
    __sub__ = subtract
    __mul__ = multiply
    __truediv__ = divide
    __pow__ = power
    __matmul__ = matmul
    __neg__ = negative
    __getitem__ = _getitem

    __radd__, __rsub__, __rmul__ = map(_swapped, (add, subtract, multiply))
    __rtruediv__, __rpow__, __rmatmul__ = map(_swapped, (divide, power, matmul))

    sum = sum
    mean = mean
    max = max
    min = min
    exp = exp
    log = log
    sqrt = sqrt
    abs = abs
    tanh = tanh
    sigmoid = sigmoid
    relu = relu

    def reshape(self, *shape: Any) -> Tensor:
        """The same entries in another shape: t.reshape(2, −1) or t.reshape((2, −1))."""
        return reshape(self, *shape) if len(shape) == 1 else reshape(self, shape)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order, t.transpose(1, 0) or t.transpose((1, 0)); reversed if none."""
        return transpose(self, *axes) if len(axes) <= 1 else transpose(self, axes)

    __iadd__, __isub__ = map(_in_place, (add, subtract))
    __imul__, __itruediv__ = map(_in_place, (multiply, divide))

    # comparisons give plain boolean arrays: no gradient flows through them

    __hash__ = object.__hash__
    __eq__, __ne__ = map(_compared, (np.equal, np.not_equal))  # type: ignore[assignment]
    __lt__, __le__ = map(_compared, (np.less, np.less_equal))
    __gt__, __ge__ = map(_compared, (np.greater, np.greater_equal))

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's function of a tensor is minidl's: array * tensor, np.exp(tensor)."""
        if method == "__call__" and not options and ufunc in _COMPARISONS:
            return ufunc(*map(_plain, inputs))
        if method == "__call__" and not options and ufunc in _FROM_NUMPY:
            return _FROM_NUMPY[ufunc](*inputs)
        raise TypeError(
            f"minidl has no np.{ufunc.__name__} for tensors in this form; if no gradient is meant "
            "to flow through it, pass t.numpy()"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise TypeError(
                "NumPy was given a tensor that requires a gradient, and would lose track of it. "
                "Use minidl's function of that name, or pass t.numpy() if that is meant."
            )
        return np.array(self._data, dtype, copy=copy)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._node is not None:
            raise RuntimeError(
                f"{describe(self)} is the result of {self._node.name}; a graph can't be copied or "
                "pickled. Copy t.detach() instead."
            )
        return _restore, (self._data, self.requires_grad, self.name, self.grad)

    def _repr_svg_(self) -> str | None:
        """The graph that led here, for a notebook; a leaf has none, and shows its numbers."""
        if self._node is None:
            return None
        value = f"{self._data.item():.6g}" if self._data.size == 1 else str(self.shape)
        return _graph_picture.draw(self._node, self.name or self._node.name, value)

    def __repr__(self) -> str:
        text = repr(self._data).removeprefix("array")
        body = text.replace("\n", "\n ")[1:-1]
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({body}{grad})"


_COMPARISONS = {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal}
_MATHEMATICS = (exp, log, sqrt, abs, sin, cos, tanh, maximum, minimum)
_FROM_NUMPY = {
    getattr(np, f.__name__): f
    for f in (add, subtract, multiply, divide, negative, power, matmul, *_MATHEMATICS)
}


def _restore(data: np.ndarray, requires_grad: bool, name: str | None, grad: Any) -> Tensor:
    """A copied or unpickled leaf."""
    tensor = Tensor(data, requires_grad, dtype=data.dtype, name=name)
    tensor.grad = grad
    return tensor
