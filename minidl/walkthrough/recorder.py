"""`trace`: record what ops, modules, backward and optimizers do in a `with` block.

While a trace is open, each op reports its inputs and its value, and its vector-Jacobian products
(VJPs) are wrapped to record the gradients that they compute; each optimizer reports before and
after its step.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from minidl import nn, optim
from minidl._format import printable
from minidl._kernels.atomic import Session
from minidl._observer import Observer, active
from minidl.ops import Op
from minidl.tensor import Tensor
from minidl.walkthrough.naming import ModuleCall, give_names, network_text
from minidl.walkthrough.record import (
    Backward,
    Input,
    Leaf,
    OpCall,
    OpGradient,
    Update,
    Value,
)
from minidl.walkthrough.walk import Walkthrough

_ARITHMETIC = ("add", "subtract", "multiply", "divide")


class trace(Session):  # noqa: N801 (a verb, like no_grad)
    """Record what happens in a `with` block, to walk through it number by number.

    The block contains the forward pass and backward, and may contain the optimizer's step. All
    results are the same as without a trace, to the bit. An unnamed tensor gets the name of the
    variable that holds it where the block is. RuntimeError inside another trace.

    Other threads are not recorded, nor is a task that was made in the block and outlives it. A
    block that ends with an error is recorded up to there, and the walkthrough says so.

    >>> w = dl.Tensor([1.0, 2.0], requires_grad=True)
    >>> with dl.trace() as walk:
    ...     loss = (w**2).sum()
    ...     loss.backward()
    >>> print(walk.explain("w", 1))
    w[1] = 2
    <BLANKLINE>
    backward through power, where a is w
      ∂y/∂a = b aᵇ⁻¹ if b ≠ 0 else 0      ∂y/∂a[1] = 2 · 2^(2 − 1) = 4
      ∂L/∂a = g b aᵇ⁻¹ if b ≠ 0 else 0    ∂L/∂a[1] = 1 · 2 · 2^(2 − 1) = 4
    <BLANKLINE>
    check: backward 4, central difference 4, relative difference < 1e−5
    """

    def __init__(self) -> None:
        super().__init__(active)

    if TYPE_CHECKING:

        def __enter__(self) -> Walkthrough: ...

    def _prepare(self) -> _Recorder:
        """The observer of the block that begins."""
        if observer := active.get():
            raise RuntimeError(observer.nested)
        return _Recorder()

    def _finish(self, value: _Recorder, error: BaseException | None) -> None:
        """Complete the walkthrough; no error of its own replaces that of the block."""
        frame = sys._getframe(1)
        with contextlib.suppress(*[Exception] if error else []):
            value.close({**frame.f_globals, **frame.f_locals}, error)

    def __getattr__(self, name: str) -> Any:
        if hasattr(Walkthrough, name):
            raise AttributeError(
                f"a trace has no {name!r}; the walkthrough has, which the `with` block names: "
                + printable(f"with dl.trace() as walk: …, and after the block walk.{name}")
            )
        raise AttributeError(f"'trace' object has no attribute {name!r}")


class _Recorder(Observer):
    """The observer of one `with` block, which fills the walkthrough.

    It is true while its block runs, and only in its thread. An interrupt may come anywhere, so each
    event is prepared first and then added by one call; what connects events is set at the end.
    """

    open = False

    def __init__(self) -> None:
        self.open = True
        self.result = self.walk = Walkthrough()
        self._thread = threading.get_ident()
        self._signatures: dict[Op[...], inspect.Signature] = {}
        self._open_calls: list[ModuleCall] = []  # of modules whose forward is running
        self._module_calls: dict[OpCall, tuple[ModuleCall, ...]] = {}  # the same, for each op
        self._call_numbers = itertools.count()
        self._known: dict[tuple[int, int | str], Value] = {}  # by id and version or dtype
        self._seen: list[tuple[Any, Value]] = []  # keeps the objects with these ids alive
        self._op_gradients: dict[int, OpGradient] = {}  # of the running backward, by op number
        self._leaves: list[tuple[Tensor, Value]] = []  # that a gradient has reached
        self._updates: list[tuple[Tensor, Update]] = []  # of the running step

    def __bool__(self) -> bool:
        return self.open and self._thread == threading.get_ident()

    def close(self, variables: Mapping[str, Any], error: BaseException | None) -> None:
        """Connect and name the values, and complete the walkthrough."""
        walk = self.walk
        walk.error = type(error).__name__ if error else ""
        walk._connect()
        give_names(self._seen, walk.ops, [self._module_calls[op] for op in walk.ops], variables)
        outermost = {id(calls[0][1]): calls[0][1] for calls in self._module_calls.values() if calls}
        walk.networks = [network_text(module) for module in outermost.values()]
        for x, value in self._seen:
            if isinstance(x, Tensor) and x.is_leaf and not np.array_equal(x.data, value.data):
                value.final = x.data.copy()
        recorded = {u.value for u in walk.updates} | {value for value, _ in walk._updates_by_hand}
        for x in {id(x): x for x, _ in self._seen if _is_parameter(x)}.values():
            *earlier, last = [value for y, value in self._seen if y is x]
            changed = [*earlier, *[last] * (last.final is not None)]
            walk.changed_unseen += [value for value in changed if value not in recorded]
        walk.open = False
        vars(self).clear()  # contexts that were copied in the block keep the recorder

    # --- what ops, modules, backward and optimizers report

    @contextlib.contextmanager
    def inside(self, module: nn.Module) -> Iterator[None]:
        depth = len(self._open_calls)
        try:
            self._open_calls.append((next(self._call_numbers), module))
            yield
        finally:
            if self.open:
                del self._open_calls[depth:]

    def op(
        self,
        function: Op[...],
        inputs: Sequence[Any],
        arrays: list[Any],
        extra: Sequence[Any],
        options: Mapping[str, Any],
        result: Tensor,
    ) -> None:
        values = [self._input(x, array) for x, array in zip(inputs, arrays, strict=True)]
        first = [arrays] if function.variadic else arrays
        if function not in self._signatures:
            self._signatures[function] = inspect.signature(function)
        bound = self._signatures[function].bind(*first, *extra, **options)
        bound.apply_defaults()
        chosen = dict(list(bound.arguments.items())[len(first) :])
        value = self._add("op", result, result.data, (id(result), result.version))
        number, node = len(self.walk.events), result._node
        op = OpCall(number, function, values, chosen, value)
        op.by_hand = node is None and self._is_update_by_hand(function, inputs, result)
        if op.by_hand:
            self._find_gradients(inputs, values)
        if isinstance(target := chosen.get("target"), np.ndarray):
            op.labels = self._value_of(target, target)
        self._module_calls[op] = tuple(self._open_calls)
        self.walk.events.append(op)
        if node is None:
            return
        if function.fused_vjp:
            node.vjps = [self._recorded_fused_vjp(number, vjp) for vjp in node.vjps or ()]
        else:
            vjps = enumerate(node.vjps or ())
            node.vjps = [self._recorded_vjp(number, i, vjp) for i, vjp in vjps]

    def _is_update_by_hand(self, function: Op[...], inputs: Sequence[Any], result: Tensor) -> bool:
        """Whether an op without a graph looks like w − 0.1 g after a backward pass."""
        if not self._leaves or function.__name__ not in _ARITHMETIC or self._open_calls:
            return False
        return any(_is_parameter(x) and x.shape == result.shape for x in inputs)

    def _find_gradients(self, inputs: Sequence[Any], values: Sequence[Input]) -> None:
        """Find the inputs that are multiples of a parameter's gradient, such as 0.1 * w.grad."""
        for value in values:
            if isinstance(value, Value) and value.kind == "input" and not value.gradient_of:
                for tensor, leaf in self._leaves:
                    factor = _factor(value.data, tensor.grad)
                    if factor and any(x is tensor for x in inputs):
                        value.gradient_of, value.factor = leaf, factor

    # A wrapped VJP lives as long as the graph, which may outlive the block: a weak reference
    # doesn't keep the walkthrough alive.

    def _recorded_vjp(self, number: int, i: int, vjp: Callable[..., Any]) -> Callable[..., Any]:
        this: weakref.ref[_Recorder] = weakref.ref(self)

        def recorded(g: np.ndarray) -> Any:
            input_grad = vjp(g)
            if recorder := _if_active(this):
                recorder._op_gradient(number, g).input_grads[i] = np.array(input_grad)
            return input_grad

        return recorded

    def _recorded_fused_vjp(self, number: int, vjp: Callable[..., Any]) -> Callable[..., Any]:
        this: weakref.ref[_Recorder] = weakref.ref(self)

        def recorded(g: np.ndarray, needs_grad: Sequence[bool]) -> Any:
            input_grads = vjp(g, needs_grad)
            if recorder := _if_active(this):
                pairs = zip(input_grads, needs_grad, strict=True)
                copies = [np.array(grad) if needed else None for grad, needed in pairs]
                recorder._op_gradient(number, g).input_grads = copies
            return input_grads

        return recorded

    def _op_gradient(self, number: int, g: np.ndarray) -> OpGradient:
        if number not in self._op_gradients:
            op = self.walk.events[number]
            assert isinstance(op, OpCall)
            self._op_gradients[number] = OpGradient(op, g)
        return self._op_gradients[number]

    def begin_backward(self) -> None:
        self._op_gradients = {}  # a backward pass that failed may have left some

    def end_backward(
        self,
        root: Tensor,
        seed: np.ndarray,
        leaves: Sequence[tuple[Tensor, np.ndarray]],
        changes: list[tuple[Any, str, Any]],
    ) -> None:
        known = self._known.get((id(root), root.version))
        backward = Backward(known, seed, list(self._op_gradients.values()))
        for tensor, g in leaves:
            value = self._value_of(tensor, tensor.data)
            backward.leaves.append(Leaf(value, g, tensor.grad))
            self._leaves.append((tensor, value))
        self.walk.events.append(backward)

    def begin_step(self, optimizer: optim.Optimizer) -> None:
        self._updates = []
        names, state = optimizer.names, optimizer.state
        for group in optimizer.groups:
            options = {name: value for name, value in group.items() if name != "params"}
            lr = optimizer.rate(group)
            for p in group.params:
                if not p.requires_grad:
                    continue
                value = self._value_of(p, p.data)
                value.name = value.name or names.get(p) or ""
                if p.grad is None:
                    self.walk.without_gradient.append(value)
                    continue
                update = Update(
                    type(optimizer),
                    value,
                    options,
                    lr=lr,
                    step=optimizer.t,
                    state=state[p],
                    gradient=p.grad,
                )
                self._updates.append((p, update))

    def end_step(self, optimizer: optim.Optimizer, batches: Sequence[tuple[Any, Any]]) -> None:
        state = optimizer.state
        for p, update in self._updates:
            update.finish(p.data, state[p])
        self.walk.events.extend(update for _, update in self._updates)

    # --- values

    def _input(self, x: Any, array: Any) -> Input:
        """What is recorded of an op's input; a number stays a number."""
        return self._value_of(x, array) if isinstance(array, np.ndarray) else array

    def _value_of(self, x: Any, array: np.ndarray) -> Value:
        """The value of a tensor or array: the known one if it hasn't changed, else a new one."""
        tensor = isinstance(x, Tensor)
        key = id(x), x.version if tensor else str(array.dtype)
        known = self._known.get(key)
        has_version = tensor and (x.requires_grad or not x.is_leaf)  # others may change unnoticed
        if known and (has_version or np.array_equal(known.data, array, equal_nan=True)):
            return known
        value = self._add("parameter" if _is_parameter(x) else "input", x, array, key)
        value.unrecorded = tensor and not x.is_leaf
        value.gradient_of = next((leaf for t, leaf in self._leaves if t.grad is x), None)
        return value

    def _add(
        self,
        kind: Literal["parameter", "input", "op"],
        x: Any,
        array: np.ndarray,
        key: tuple[int, int | str],
    ) -> Value:
        value = Value(kind, array, f"v{len(self.walk.values)}")
        self._seen.append((x, value))
        self.walk.values.append(value)
        self._known[key] = value
        return value


def _if_active(this: weakref.ref[_Recorder]) -> _Recorder | None:
    """The recorder, unless its block has ended or this is another context or thread."""
    recorder = this()
    return recorder if recorder and active.get() is recorder else None


@np.errstate(all="ignore")
def _factor(array: np.ndarray, g: np.ndarray | None) -> float:
    """The c for which array = c g, or 0 if there is none."""
    if g is None or g.shape != array.shape or not g.any():
        return 0.0
    at = np.unravel_index(np.argmax(np.abs(g)), g.shape)
    c = float(array[at] / g[at])
    return c if np.isfinite(c) and np.allclose(array, c * g, rtol=1e-5, atol=0) else 0.0


def _is_parameter(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad and x.is_leaf
