"""Tensor, the graph that ops build, and backward.

An op on a tensor that requires a gradient records a Node: the op's vector-Jacobian products (VJPs)
and where its inputs came from. Nodes are numbered in the order in which they are made, so a node is
always newer than its inputs. `Tensor.backward` repeatedly takes the newest node that a gradient has
reached and passes the gradient on to the node's inputs; by then every op that uses the node's value
has been processed, so its gradient is complete. There is no recursion, and no reference cycle for
the garbage collector.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import operator
import reprlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minidl import _checks, _graph_picture, ops
from minidl._checks import describe, meant
from minidl._format import printable
from minidl._kernels import atomic
from minidl._kernels.plan import copied
from minidl._observer import active
from minidl._operands import NATIVE, Owner, beside, read, refusal
from minidl._settings import default_dtype as default_dtype
from minidl._settings import dtype_of, recording
from minidl._settings import get_default_dtype as get_default_dtype
from minidl._settings import no_grad as no_grad
from minidl._settings import set_default_dtype as set_default_dtype
from minidl.ops import Array, Op, P

_node_ids = itertools.count(0, -1)  # descending: heapq returns the smallest, backward the newest


def as_array(owner: Owner, data: Any, dtype: Any = None) -> Array:
    """A C-contiguous array from anything array-like, copied only if it must be converted.

    With one order for all, results do not depend on the memory layout of what they are made from.

    What has a floating dtype, such as an array of NumPy or data of pandas, keeps it; everything
    else gets the default dtype, unless `dtype` says otherwise. TypeError for data that are not real
    numbers, and for masked arrays, which begins with `owner`.
    """
    if isinstance(data, Tensor):
        data = data._data
    if (
        type(data) is np.ndarray
        and data.dtype in NATIVE
        and data.flags.c_contiguous
        and (dtype is None or dtype is data.dtype)
    ):
        return data  # the usual case
    array, floating = read(data, owner)
    if dtype is None:
        dtype = array.dtype.newbyteorder("=") if floating else get_default_dtype()
    wanted = dtype_of(dtype)
    if wanted is None or wanted.kind not in "fiub":
        raise TypeError(f"dtype must be floating, integer or boolean, got {reprlib.repr(dtype)}")
    return array.astype(wanted, order="C", copy=False)


def as_ndarray(x: Any) -> Array:
    """x itself if it is an array, also a recorded one, which NumPy's function would refuse."""
    return x if isinstance(x, np.ndarray) else np.asarray(x)


def as_tensor(owner: Owner, x: Any) -> Tensor:
    """x itself if it is a tensor, else a constant tensor of it."""
    return x if isinstance(x, Tensor) else _restore(as_array(owner, x), False, None, None, True)


# --- the graph ----------------------------------------------------------------------------------


class Node:
    """One recorded op: an edge to each of its inputs, and a vector-Jacobian product for each.

    An edge is the node that computed the input, or (leaf, its version, whether it requires a
    gradient), or None for an input that is not a tensor.
    """

    __slots__ = ("dtype", "edges", "id", "op", "shape", "vjps")
    vjps: list[Callable[..., Any]] | None  # None once the graph is freed

    def __init__(self, op: Op[...], inputs: Any, vjps: list[Any], value: Array) -> None:
        self.id, self.op, self.vjps = next(_node_ids), op, vjps
        self.shape, self.dtype = value.shape, value.dtype
        self.edges: list[Edge] = [
            None if type(x) is not Tensor else x._node or (x, x.version, x._requires_grad)
            for x in inputs
        ]

    @property
    def name(self) -> str:
        """The name of the op."""
        return self.op.__name__

    def input_grads(self, g: Array) -> Iterator[tuple[Node | Tensor, Array]]:
        """(source, gradient) for each input whose gradient is needed.

        The source is the node or leaf that the gradient goes to; the gradient has the shape and
        dtype that its VJP gives. RuntimeError if the graph was freed, or a leaf has changed since
        the op used it.
        """
        if self.vjps is None:
            raise RuntimeError(
                f"backward reached {self.name}, whose graph was freed by an earlier backward "
                "(or one that failed). Run the forward pass again, or keep the graph: "
                "backward(retain_graph=True)."
            )
        sources: list[Node | Tensor | None] = []
        needs_grad = []
        for edge in self.edges:
            if isinstance(edge, tuple):
                leaf, version, requires_grad = edge
                if leaf.version != version:
                    raise RuntimeError(
                        f"{describe(leaf)} was changed (by an optimizer step, a load or an "
                        f"assignment to .data) after {self.name} had used it: its gradient would "
                        "be wrong. Run the forward pass again after a change."
                    )
                sources.append(leaf)
                needs_grad.append(requires_grad)
            else:
                sources.append(edge)
                needs_grad.append(edge is not None)
        if self.op.fused_vjp:
            grads = self.vjps[0](g, needs_grad)
        else:
            grads = [vjp(g) if n else None for vjp, n in zip(self.vjps, needs_grad, strict=True)]
        for source, grad, needed in zip(sources, grads, needs_grad, strict=True):
            if source is not None and needed:
                if grad is None:
                    raise TypeError(f"a VJP of {self.name} returned None instead of a gradient")
                yield source, as_ndarray(grad)


Edge: TypeAlias = "Node | tuple[Tensor, int, bool] | None"


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an input of `shape` that was broadcast: summed over the repeated axes."""
    extra = g.ndim - len(shape)
    repeated = (extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1)
    return as_ndarray(ops.accumulate(g, (*range(extra), *repeated))).reshape(shape)


def differentiable(op: Op[P]) -> Callable[P, Tensor]:
    """Let an op take tensors and array-likes, and record what it computed."""
    count, variadic, movement, name = len(op.derivatives), op.variadic, op.movement, op.__name__

    @functools.wraps(op)
    def apply(*args: Any, **options: Any) -> Tensor:
        inputs, extra = (args, ()) if len(args) == count else (args[:count], args[count:])
        if variadic or len(inputs) < count:
            inputs = _listed(op, inputs)
        learned = [x for x in inputs if type(x) is Tensor and x._requires_grad]
        recorded = bool(learned) and recording.get()
        arrays = [x._data if type(x) is Tensor else x for x in inputs]
        if observer := active.get():
            arrays = observer.arrays(inputs, arrays)
        if len(learned) < len(inputs) and not (movement and _are_integers(inputs)):
            arrays = beside(name, arrays, count == 2, get_default_dtype)
        try:
            value, *vjps = op(*([arrays] if variadic else arrays), *extra, **options)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise _named(op, arrays, error) from None
        result = Tensor.__new__(Tensor)
        result._data, result.name, result.version = as_ndarray(value), None, 0
        result._computed, result._requires_grad, result._weight = True, recorded, False
        result._node = Node(op, inputs, vjps, result._data) if recorded else None
        if observer:
            observer.op(op, inputs, arrays, extra, options, result)
        return result

    return apply


def _are_integers(inputs: Any) -> bool:
    """Whether all are tensors of one integer or boolean dtype, which a movement keeps."""
    dtype = inputs[0]._data.dtype if type(inputs[0]) is Tensor else None
    if dtype is None or dtype.kind not in "iub":
        return False
    return all(type(x) is Tensor and x._data.dtype == dtype for x in inputs)


def _named(op: Callable[..., Any], arrays: list[Any], error: Exception) -> Exception:
    """The error with the name of the function and the shapes that it was called with."""
    if str(error).startswith(f"{op.__name__}: "):  # a loss, which names its argument
        return error
    kinds = np.exceptions.AxisError, IndexError, TypeError, OverflowError
    kind = next((kind for kind in kinds if isinstance(error, kind)), ValueError)
    shapes = " and ".join(str(np.shape(a)) for a in arrays)
    return kind(printable(f"{op.__name__} of shape {shapes}: {error}{meant(error, op)}"))


def _listed(op: Op[...], inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs of an op that takes them as a list."""
    if not (op.variadic and inputs):
        expected = "a list of" if op.variadic else len(op.derivatives)
        raise TypeError(f"{op.__name__} takes {expected} tensors, got {len(inputs)}")
    listed = _checks.items(op.__name__, "its first argument", inputs[0])
    if not listed:
        raise ValueError(f"{op.__name__} needs at least one tensor, got none")
    return listed


# --- the functions ------------------------------------------------------------------------------

add = differentiable(ops.add)
subtract = differentiable(ops.subtract)
multiply = differentiable(ops.multiply)
divide = differentiable(ops.divide)
negative = differentiable(ops.negative)
power = differentiable(ops.power)
matmul = differentiable(ops.matmul)
dense = differentiable(ops.dense)
dense_relu = differentiable(ops.dense_relu)
exp = differentiable(ops.exp)
log = differentiable(ops.log)
log1p = differentiable(ops.log1p)
sin = differentiable(ops.sin)
cos = differentiable(ops.cos)
sqrt = differentiable(ops.sqrt)
abs = differentiable(ops.abs)
sign = differentiable(ops.sign)
tanh = differentiable(ops.tanh)
sigmoid = differentiable(ops.sigmoid)
relu = differentiable(ops.relu)
leaky_relu = differentiable(ops.leaky_relu)
elu = differentiable(ops.elu)
gelu = differentiable(ops.gelu)
silu = differentiable(ops.silu)
softplus = differentiable(ops.softplus)
maximum = differentiable(ops.maximum)
minimum = differentiable(ops.minimum)
sum = differentiable(ops.sum)
mean = differentiable(ops.mean)
max = differentiable(ops.max)
min = differentiable(ops.min)
clip = differentiable(ops.clip)
norm = differentiable(ops.norm)
std = differentiable(ops.std)
var = differentiable(ops.var)
softmax = differentiable(ops.softmax)
log_softmax = differentiable(ops.log_softmax)
logsumexp = differentiable(ops.logsumexp)
reshape = differentiable(ops.reshape)
transpose = differentiable(ops.transpose)
concatenate = differentiable(ops.concatenate)
stack = differentiable(ops.stack)
_where = differentiable(ops.where)
_getitem = differentiable(ops.getitem)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition holds, b elsewhere; all three broadcast.

        y = a if condition else b
        ∂a = g if condition else 0
        ∂b = 0 if condition else g

    The condition is a boolean array, or a tensor or array, which is true where it is not 0.

    >>> dl.where([True, False], 1.0, [5.0, 6.0])
    Tensor([1., 6.], dtype=float32)
    """
    return _where(a, b, read(_plain(condition), "where")[0].astype(bool))


def _index(key: Any) -> Any:
    """An index as NumPy reads it, in copies, since the caller may change it before backward."""
    return tuple(map(_index_part, key)) if isinstance(key, tuple) else _index_part(key)


def _index_part(part: Any) -> Any:
    if part is None or part is Ellipsis or isinstance(part, int):
        return part
    if isinstance(part, slice):
        bounds = (part.start, part.stop, part.step)
        return slice(*(None if bound is None else operator.index(bound) for bound in bounds))
    if hasattr(part, "__index__") and not getattr(part, "shape", ()):
        try:
            return operator.index(part)
        except TypeError:  # an array, but not of an integer
            pass
    if reason := refusal(part):
        raise TypeError(f"an index is {reason}")
    try:
        array = as_ndarray(_plain(part)).copy()
    except ValueError as error:
        raise IndexError(f"{reprlib.repr(part)} is not an index: {error}") from None
    if array.size == 0 and not isinstance(part, np.ndarray | Tensor):
        return array.astype(np.intp)  # an empty list or Series, which NumPy reads as floating
    return array


def flatten(x: Any) -> Tensor:
    """The same entries, in C order, along one axis.

    >>> dl.flatten([[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 2., 3., 4.], dtype=float32)
    """
    return reshape(x, -1)


def argmax(x: Any, axis: int | None = None) -> Array:
    """Where the largest entry is, the first of several: an array of integers, without a gradient.

    Along an axis, or in C order of all entries if it is None.

    >>> dl.argmax([[1.0, 5.0], [3.0, 2.0]], axis=1)
    array([1, 0])
    """
    array, _ = read(_plain(x), "argmax")
    try:
        if axis is not None:
            ops.axes_of((axis,), array.ndim)
        return as_ndarray(np.argmax(array, axis))
    except (ValueError, TypeError) as error:
        raise _named(argmax, [array], error) from None


# --- the tensor ---------------------------------------------------------------------------------


def _swapped(function: Callable[[Any, Any], Tensor]) -> Callable[[Tensor, Any], Tensor]:
    return lambda self, other: function(other, self)


def _in_place(function: Callable[[Any, Any], Tensor]) -> Callable[[Tensor, Any], Tensor]:
    """w −= …: changes a parameter's data in place, under no_grad; any other tensor is rebound."""

    def apply(self: Tensor, other: Any) -> Tensor:
        if not (self.requires_grad and self.is_leaf):
            result = function(self, other)
            result._computed = self._computed or not result.is_leaf  # a constant stays one
            return result
        if recording.get():
            raise RuntimeError(
                f"{describe(self)} is a parameter, and an in-place update must not become part of "
                "the graph. Put it under dl.no_grad():  with dl.no_grad(): w -= 0.1 * w.grad"
            )
        self.data = function(self, other).data
        return self

    return apply


def _compare(comparison: Any, a: Any, b: Any) -> Any:
    """A comparison as an array of booleans, since it has no gradient; b may be any object."""
    x, y = _plain(a), _plain(b)
    try:
        given = beside(comparison.__name__, [x, y], True)
    except TypeError:
        if refusal(a) or refusal(b) or comparison not in (np.equal, np.not_equal):
            raise
        try:
            return x == y if comparison is np.equal else x != y
        except (TypeError, ValueError):  # what is no number equals none
            return np.full(np.shape(x), comparison is np.not_equal)
    try:
        return comparison(*given)
    except ValueError as error:  # shapes that don't broadcast
        raise _named(comparison, given, error) from None


def _compared(comparison: Any) -> Callable[[Tensor, Any], Any]:
    return lambda self, other: _compare(comparison, self, other)


def _missing_operator(symbol: str, function: str) -> Callable[[Tensor, Any], Any]:
    def refuse(self: Tensor, other: Any) -> Any:
        raise TypeError(
            f"minidl has no {symbol} for tensors: it is constant or jumps. Without a gradient, "
            f"write np.{function}(t.numpy(), ...)"
        )

    return refuse


class _of_the_class:  # noqa: N801 (a decorator)
    """A method that is None where it is read from an instance.

    NumPy calls the class's __array_ufunc__, but numpy.ma reads it from the instance, and only if it
    is None does it leave masked * tensor to Tensor, which says what to do about masked arrays.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __get__(self, instance: object, owner: type) -> Callable[..., Any] | None:
        return self.function if instance is None else None


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def replacement(tensor: Tensor, values: Any) -> list[tuple[Any, str, Any]]:
    """The changes that give a leaf other values, for atomic.assign; ValueError for another shape.

    They are a copy in the tensor's dtype, and count as a new version.
    """
    array = as_array(functools.partial(describe, tensor), values, tensor._data.dtype)
    if array.shape != tensor._data.shape:
        raise ValueError(
            f"the data of {describe(tensor)} can't be replaced by values of shape {array.shape}"
        )
    array = copied(array, tensor._data, tensor)
    return [(tensor, "_data", array), (tensor, "version", tensor.version + 1)]


def clear_grads(tensors: Iterable[Tensor]) -> None:
    """Set the gradients of these tensors to None, all of them or, after an interrupt, none."""
    leaves = list(tensors)
    atomic.assign([(leaf, "grad", None) for leaf in leaves])
    if observer := active.get():
        observer.cleared(leaves)


class Tensor:
    """An array that remembers how it was computed.

    data           an array or anything array-like. Floating arrays of NumPy and data of pandas
                   keep their dtype; Python numbers, lists, integers and booleans get the default
                   dtype (or `dtype`)
    requires_grad  whether backward stores the gradient of this tensor in .grad. Such a tensor
                   holds a copy of `data`, since optimizers update it in place; any other tensor
                   shares memory with a floating C-contiguous array that it is given
    name           used in error messages

    TypeError for data that are not real numbers, for masked arrays, and for integers with
    requires_grad=True.

    >>> w = dl.Tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    array([2., 4.], dtype=float32)
    """

    __slots__ = (
        *("__weakref__", "_computed", "_data", "_node"),
        *("_requires_grad", "_weight", "grad", "name", "version"),
    )
    _computed: bool  # whether it is the result of an op, also of one that was not recorded
    _node: Node | None
    _requires_grad: bool
    _weight: Any  # of a loss: Σ w of a weighted mean, None of a sum, else False
    grad: Array | None  # not set in the result of an op: see __getattr__
    version: int  # counts replacements and in-place updates of the data

    def __init__(
        self, data: Any, requires_grad: bool = False, *, dtype: Any = None, name: str | None = None
    ) -> None:
        if isinstance(data, Tensor) and data.requires_grad:
            raise TypeError(
                f"Tensor(t) would lose the graph of t, {describe(data)}; use t itself, or "
                "t.detach() for a constant"
            )
        if not isinstance(name, str | None):
            raise TypeError(f"Tensor: name must be a string, got {type(name).__name__}")
        self._data = as_array(name or "Tensor", data, dtype)
        self.grad = self._node = None
        self.name, self.version = name, 0
        self._requires_grad = self._computed = self._weight = False
        given = data if dtype is None and isinstance(data, np.ndarray | np.generic) else self._data
        if requires_grad is not False:
            self._require_grad(requires_grad, given.dtype)

    def __init_subclass__(cls) -> None:
        raise TypeError("Tensor can't be subclassed; write functions of tensors, or an nn.Module")

    def _require_grad(self, value: bool, dtype: np.dtype[Any]) -> None:
        _checks.flag("Tensor", "requires_grad", value)
        if value and dtype.kind != "f":
            raise TypeError(
                f"requires_grad=True needs floating-point data, got {dtype}: integers have no "
                "gradient. Convert them first, as in data.astype('float64')."
            )
        if value and not self._requires_grad:
            data = self._data.copy()  # optimizers write to it
            new = {"_data": data, "_computed": False, "_requires_grad": True}
            atomic.assign((self, name, value) for name, value in new.items())
        elif not value:
            atomic.assign([(self, "_requires_grad", False)])

    @property
    def requires_grad(self) -> bool:
        """Whether backward stores the gradient of this tensor; set it to False to freeze it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._node is not None and value is False:
            raise RuntimeError(
                f"{describe(self)} is the result of {self._node.name}: only a leaf can be "
                "frozen. Use y = x.detach() for its values as a constant."
            )
        self._require_grad(value, self._data.dtype)

    @property
    def data(self) -> Array:
        """The values, not a copy. The graph does not notice changes made inside the array."""
        observer = active.get()
        return observer.arrays([self], [self._data])[0] if observer else self._data

    @data.setter
    def data(self, values: Any) -> None:
        if self._node is not None:
            raise RuntimeError(
                f"{describe(self)} is the result of {self._node.name}: its data can't be replaced "
                "without losing how it was computed. Assign to y = x.detach() instead."
            )
        _ = self.data  # read, since a captured step may not replace it unnoticed
        atomic.assign(replacement(self, values))

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of entries."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the entries."""
        return self._data.dtype

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user, not by an op."""
        return self._node is None

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        """The tensor with its axes reversed."""
        return transpose(self)

    def numpy(self) -> Array:
        """The values as an array that shares this tensor's memory."""
        return self.data

    def item(self) -> float:
        """The value of a tensor with one entry, as a Python number; ValueError for any other.

        Inside a captured step it is a CaptureError: call it on what the step returns.
        """
        if self._data.size != 1:
            raise ValueError(f"item() needs one entry; {describe(self)} has {self._data.size}")
        value: float = self._data.item()
        return value

    def detach(self) -> Tensor:
        """The same values as a constant, without a graph; copied if the tensor is a leaf."""
        data = self._data.copy() if self.is_leaf else self._data
        return _restore(data, False, self.name, None, self._computed)

    def zero_grad(self) -> None:
        """Set .grad to None."""
        clear_grads([self])

    def backward(self, grad: Any = None, *, retain_graph: bool = False) -> None:
        """Compute the gradient of this tensor with respect to every leaf, and add it to its .grad.

        grad          the gradient of the loss by this tensor, of its shape; 1 for one entry
        retain_graph  keep the graph for another backward instead of freeing it

        RuntimeError if no leaf requires a gradient, the graph was freed, or a leaf changed since
        the forward pass; ValueError for a `grad` that is missing or of another shape. After an
        error every .grad is as it was.

        >>> x = dl.Tensor(3.0, requires_grad=True)
        >>> (x**2).backward()
        >>> x.grad
        array(6., dtype=float32)
        """
        _checks.flag("backward", "retain_graph", retain_graph)
        seed = self._seed(grad)
        if observer := active.get():
            observer.begin_backward()
        with np.errstate(under="ignore"):  # what underflows is 0, whatever np.errstate is in force
            leaves = self._propagate(seed, retain_graph)
        while True:  # until no other thread's backward comes in between
            found, changes = [], []
            for leaf, g in leaves.items():
                before = observer.grad(leaf) if observer else leaf.grad
                if before is not None and np.shape(before) != g.shape:
                    raise ValueError(
                        f"the .grad that {describe(leaf)} had before has shape {np.shape(before)}; "
                        "call zero_grad() first"
                    )
                found.append((leaf, "grad", before))
                changes.append((leaf, "grad", g if before is None else as_ndarray(before + g)))
            if observer:
                observer.end_backward(self, seed, list(leaves.items()), changes)
            if atomic.exchange([] if observer else found, changes):
                return

    def _propagate(self, seed: Array, retain_graph: bool) -> dict[Tensor, Array]:
        """The gradient of each leaf, in an array that nothing else holds."""
        if self._node is None:
            return {self: seed.copy()}
        leaves: dict[Tensor, Array] = {}
        halves: set[Tensor] = set()  # leaves of half precision with a sum in single
        arrived = {self._node.id: (self._node, seed)}  # nodes, and the sum of their gradients
        queue = [self._node.id]  # a heap
        while queue:
            node, g = arrived.pop(heapq.heappop(queue))
            if g.dtype is not node.dtype:  # of half precision with a sum in single
                g = g.astype(node.dtype)
            for source, grad in node.input_grads(g):
                if grad.shape != source.shape:
                    grad = unbroadcast(grad, source.shape)
                if grad.dtype != source.dtype:
                    grad = grad.astype(source.dtype)
                if isinstance(source, Node):
                    if source.id in arrived:
                        grad = ops.single(arrived[source.id][1]) + grad
                    else:
                        heapq.heappush(queue, source.id)
                    arrived[source.id] = source, grad
                elif source in leaves and grad.dtype == np.float16:
                    leaves[source] = ops.single(leaves[source]) + grad
                    halves.add(source)
                elif source in leaves and type(leaves[source]) is type(grad):
                    leaves[source] += grad
                elif source in leaves:  # a recorded array and one that a replay must not change
                    leaves[source] = leaves[source] + grad
                else:
                    leaves[source] = grad.copy() if grad is g or grad.base is not None else grad
            if not retain_graph:
                node.vjps, node.edges = None, []
        for leaf in halves:
            leaves[leaf] = leaves[leaf].astype(leaf.dtype)
        return leaves

    def _seed(self, grad: Any) -> Array:
        """The gradient that backward starts from."""
        if not self.requires_grad:
            raise RuntimeError(
                f"backward needs a result that depends on a tensor with requires_grad=True; "
                f"{describe(self)} does not (or it was computed under no_grad). Was a parameter "
                "replaced, as in w = w - 0.1 * w.grad under no_grad? w -= 0.1 * w.grad keeps it."
            )
        if grad is None:
            if self._data.size != 1:
                raise ValueError(
                    f"backward without a gradient needs a result with one entry, such as a loss; "
                    f"{describe(self)} has {self._data.size}. Reduce it with .sum() or .mean(), or "
                    "pass the gradient of that shape: y.backward(grad)."
                )
            return np.ones(self._data.shape, self._data.dtype)
        g = as_array("backward", grad, self._data.dtype)
        if g.shape != self._data.shape:
            raise ValueError(
                f"the gradient passed to backward has shape {g.shape}, expected "
                f"{self._data.shape}, the shape of the tensor it is called on"
            )
        return g

    # operators and methods are the functions above

    __add__ = add
    __sub__ = subtract
    __mul__ = multiply
    __truediv__ = divide
    __pow__ = power
    __matmul__ = matmul
    __neg__ = negative
    __abs__ = abs

    def __pos__(self) -> Tensor:
        return self

    def __round__(self, digits: int | None = None) -> Tensor:
        """The entries rounded as by NumPy; a constant, since the derivative is 0 or undefined."""
        places = _checks.count("round", "digits", 0 if digits is None else digits, low=-400)
        rounded = np.round(self._data, places if places < 400 else 400)
        return _restore(rounded, False, None, None, True)

    def __getitem__(self, key: Any) -> Tensor:
        """Part of the tensor, by NumPy's rules for every kind of index."""
        return _getitem(self, _index(key))

    __radd__ = _swapped(add)
    __rsub__ = _swapped(subtract)
    __rmul__ = _swapped(multiply)
    __rtruediv__ = _swapped(divide)
    __rpow__ = _swapped(power)
    __rmatmul__ = _swapped(matmul)

    sum = sum
    mean = mean
    max = max
    min = min
    std = std
    var = var
    norm = norm
    argmax = argmax
    exp = exp
    log = log
    log1p = log1p
    sqrt = sqrt
    abs = abs
    sign = sign
    clip = clip
    tanh = tanh
    sigmoid = sigmoid
    relu = relu

    def reshape(self, *shape: Any) -> Tensor:
        """The same entries in another shape: t.reshape(2, −1) or t.reshape((2, −1))."""
        return reshape(self, *shape) if len(shape) == 1 else reshape(self, shape)

    flatten = flatten

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order, t.transpose(1, 0) or t.transpose((1, 0)); reversed if none."""
        return transpose(self, *axes) if len(axes) <= 1 else transpose(self, axes)

    __iadd__ = _in_place(add)
    __isub__ = _in_place(subtract)
    __imul__ = _in_place(multiply)
    __itruediv__ = _in_place(divide)
    __ipow__ = _in_place(power)
    __imatmul__ = _in_place(matmul)

    __floordiv__ = __rfloordiv__ = _missing_operator("//", "floor_divide")
    __mod__ = __rmod__ = _missing_operator("%", "remainder")
    __divmod__ = __rdivmod__ = _missing_operator("divmod", "divmod")

    # comparisons return boolean arrays, since they have no gradient

    __hash__ = object.__hash__
    __eq__ = _compared(np.equal)
    __ne__ = _compared(np.not_equal)
    __lt__ = _compared(np.less)
    __le__ = _compared(np.less_equal)
    __gt__ = _compared(np.greater)
    __ge__ = _compared(np.greater_equal)

    def __contains__(self, x: Any) -> bool:
        return bool(np.any(self == x))

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError(f"{describe(self)} has no length, since it has no axes")
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth value of {describe(self)} is ambiguous, since it has {self.size} "
                "entries; use np.any(t.numpy()) or np.all(t.numpy())"
            )
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.ndim or self.dtype.kind not in "iu":
            raise TypeError(f"an index is one integer, not {describe(self)} of {self.dtype}")
        return operator.index(self._data)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    __pandas_priority__ = 5000  # above a DataFrame's 4000: series * tensor is tensor.__rmul__

    @_of_the_class
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Let array * tensor and np.exp(tensor) call minidl's functions."""
        if method == "__call__" and not options and ufunc in _COMPARISONS:
            return _compare(ufunc, *inputs)
        if method == "__call__" and not options and ufunc in _FROM_NUMPY:
            return _FROM_NUMPY[ufunc](*inputs)
        raise TypeError(
            f"minidl has no np.{ufunc.__name__} for tensors in this form; if no gradient is "
            "needed, pass t.numpy()"
        )

    def __array_function__(
        self, function: Any, types: Any, args: Sequence[Any], options: dict[str, Any]
    ) -> Any:
        """Let np.sum(tensor) call minidl's function; any other sees constants as arrays."""
        if function in (np.shape, np.ndim, np.size):
            return function(*map(_plain, args), **options)
        if function in _FUNCTIONS:
            own, positional, names = _FUNCTIONS[function]
            if 1 <= len(args) <= positional and options.keys() <= names.keys():
                return own(*args, **{names[name]: value for name, value in options.items()})
            raise TypeError(
                f"np.{function.__name__} of a tensor takes {positional} arguments, and by name "
                f"{', '.join(names)}; if no gradient is needed, pass t.numpy()"
            )
        return function(*_constants(function, args), **_constants(function, options))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.requires_grad:
            raise TypeError(
                "a tensor that requires a gradient can't be converted to a NumPy array, which has "
                "no gradient. Use minidl's function of that name, or pass t.numpy()."
            )
        return np.array(self._data, dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        """The memory of a constant, for `from_dlpack` of NumPy, PyTorch, JAX and others."""
        return self.__array__().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._data.__dlpack_device__()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._node is not None:
            raise RuntimeError(
                f"{describe(self)} is the result of {self._node.name}; a graph can't be copied or "
                "pickled. Copy t.detach() instead."
            )
        grad = None if self._computed else self.grad
        return _restore, (self._data, self.requires_grad, self.name, grad, self._computed)

    if not TYPE_CHECKING:  # a type checker would allow any attribute

        def __getattr__(self, name: str) -> Any:
            """Called for an attribute that is missing or not set."""
            if name == "grad":
                if self._computed:
                    warnings.warn(_grad_advice(self), stacklevel=2)
                return None
            raise AttributeError(f"'Tensor' object has no attribute {name!r}", name=name, obj=self)

    def _repr_svg_(self) -> str | None:
        """A picture of the graph for notebooks; None for a leaf, which is shown by its repr."""
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
_MATHEMATICS = (exp, log, log1p, sqrt, abs, sign, sin, cos, tanh, maximum, minimum)
_FROM_NUMPY = {
    getattr(np, f.__name__): f
    for f in (add, subtract, multiply, divide, negative, power, matmul, *_MATHEMATICS)
}


_AXIS = {name: name for name in ("axis", "keepdims")}
_BOUNDS = {"a_min": "low", "a_max": "high", "min": "low", "max": "high"}
# minidl's function, how many arguments by position, and NumPy's names of others
_FUNCTIONS: dict[Any, tuple[Any, int, dict[str, str]]] = {
    **{getattr(np, f.__name__): (f, 2, _AXIS) for f in (sum, mean, max, min)},
    **{getattr(np, f.__name__): (f, 2, {**_AXIS, "ddof": "ddof"}) for f in (std, var)},
    **{alias: (f, 2, _AXIS) for alias, f in ((np.amax, max), (np.amin, min))},
    **{alias: (Tensor.__round__, 2, {"decimals": "digits"}) for alias in (np.round, np.around)},
    np.argmax: (argmax, 2, {"axis": "axis"}),
    np.clip: (clip, 3, _BOUNDS),
}


def _constants(function: Any, x: Any) -> Any:
    """Arguments of NumPy's function with arrays for constant tensors, also inside lists."""
    if isinstance(x, Tensor):
        if x._requires_grad:
            raise TypeError(
                f"np.{function.__name__} of a tensor that requires a gradient would lose it. Use "
                "minidl's function of that name, if there is one, or pass t.numpy()."
            )
        return x._data
    if isinstance(x, dict):
        return {name: _constants(function, value) for name, value in x.items()}
    return type(x)(_constants(function, v) for v in x) if type(x) in (list, tuple) else x


def _grad_advice(tensor: Tensor) -> str:
    return (
        f"{describe(tensor)} is the result of an op, and backward stores .grad in leaves only. To "
        "update a parameter, write  with dl.no_grad(): w -= 0.1 * w.grad  and not w = w - ..."
    )


def _restore(
    data: Array, requires_grad: bool, name: str | None, grad: Any, computed: bool = False
) -> Tensor:
    """Rebuild a leaf that was copied or pickled."""
    tensor = Tensor(data, requires_grad, dtype=data.dtype, name=name)
    tensor.grad, tensor._computed = grad, computed
    return tensor
