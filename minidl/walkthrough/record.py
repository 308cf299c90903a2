"""What a trace records: values, op calls, backward passes and updates, and how to run them again.

For everything that shows a walkthrough. The arrays are copies, so a record doesn't change with the
model that was traced. A `Value` is a node of the graph. The events are `OpCall`s, `Backward` passes
with one `OpGradient` for each op that a gradient passed through, and the `Update`s of parameters.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np

from minidl._format import printed
from minidl.ops import Op
from minidl.optim.optimizer import COMMON, SYMBOLS, Optimizer
from minidl.tensor import unbroadcast
from minidl.walkthrough.formulas import Index, Scope
from minidl.walkthrough.parser import (
    Equation,
    FormulaError,
    advice,
    parse,
    subscript,
    unknown_function,
)

Result = TypeVar("Result")
# A gradient check computes about so many numbers at most, and so many entries.
CHECK_COST, CHECK_ENTRIES = 10**8, 100
ROUNDING = 100  # rounding errors by which the result of an equation may differ from what it gives
CONDITION = 1e-9  # the same in float64, as a rule's symbols, such as RAdam's r, may be inexact


class kept(Generic[Result]):  # noqa: N801 (a decorator, like property)
    """A property that is computed once.

    functools.cached_property of CPython 3.11 does the same under a lock for all instances, which a
    process that is forked meanwhile would wait for without an end.
    """

    def __init__(self, function: Callable[[Any], Result]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __get__(self, instance: Any, owner: type) -> Result:
        if instance is None:  # an attribute of the class
            return self  # type: ignore[return-value]
        result = self.function(instance)
        vars(instance)[self.function.__name__] = result
        return result


# --- values and op calls ------------------------------------------------------------------------


class Value:
    """A node of the graph: a parameter, an input, or the result of an op.

    name       unique in the record
    base_name  the same for all versions of a tensor
    producer   the op call that it is the result of
    users      the op calls that took it, and as which input
    label_of   the losses that took it as their target, if that is no input with a gradient
    final      for a leaf that was changed later: its data at the end of the trace
    """

    def __init__(
        self, kind: Literal["parameter", "input", "op"], data: np.ndarray, key: str
    ) -> None:
        self.kind, self.data, self.key = kind, np.array(data), key
        self.name = self.base_name = ""
        self.producer: OpCall | None = None
        self.users: list[tuple[OpCall, int]] = []
        self.label_of: list[OpCall] = []
        self.final: np.ndarray | None = None
        self.gradient_of: Value | None = None  # whose .grad this is, or
        self.factor = 1.0  # a multiple of it
        self.unrecorded = False  # whether it is the result of an op that was not recorded


Input = Value | float  # numbers are recorded as they are


class OpCall:
    """One call of an op: its inputs, options and value.

    labels        the target of a loss, such as classes, if it is not among the inputs
    path          of the module it ran in
    by_hand       whether it is part of an update that the user computes: w − 0.1 g
    op_gradients  one for each backward pass through it
    """

    def __init__(
        self,
        number: int,
        function: Op[...],
        inputs: list[Input],
        options: Mapping[str, Any],
        value: Value,
    ) -> None:
        self.number, self.function, self.inputs = number, function, inputs
        self.options, self.value = copy.deepcopy(dict(options)), value
        self.labels: Value | None = None
        self.path, self.by_hand = "", False
        self.op_gradients: list[OpGradient] = []

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def in_update(self) -> bool:
        """Whether only an update by hand uses its result, so that it is no node of the graph."""
        return self.by_hand and all(user.by_hand for user, _ in self.value.users)

    @property
    def updated(self) -> Value | None:
        """The parameter that an update by hand replaces with the result."""
        if not self.in_update or self.value.users:
            return None
        same = (x for x in self.inputs if isinstance(x, Value) and x.kind == "parameter")
        return next((x for x in same if x.data.shape == self.value.data.shape), None)

    @property
    def input_names(self) -> list[str]:
        """The symbols of the inputs in the formula."""
        if self.function.variadic:
            return [f"x{subscript(i)}" for i in range(1, len(self.inputs) + 1)]
        return [line.partition(" ")[0][1:] for line in self.function.derivatives]

    @kept
    def symbol_values(self) -> dict[str, Any]:
        """The values of the symbols in the formulas that are not inputs."""
        known = SYMBOLS.items()
        values = {x: self.options[name] for x, name in known if name in self.options}
        computed = self.function.symbols.items()
        return values | {x: f(*self.arrays(), **self.options) for x, f in computed}

    def arrays(self) -> list[Any]:
        """The arrays of the inputs; numbers are themselves."""
        return [x.data if isinstance(x, Value) else x for x in self.inputs]

    def run(self, arrays: list[Any]) -> np.ndarray:
        """The op's value for other inputs."""
        inputs = [arrays] if self.function.variadic else arrays
        return np.asarray(self.function(*inputs, **self.options)[0])

    def cost(self) -> int:
        """What one run computes, in about as many numbers."""
        sizes = [np.size(x) for x in (*self.arrays(), self.value.data)]
        if "@" in self.function.formula:
            sizes.append(sizes[0] * max(self.value.data.shape[-1:], default=1) // 8)
        return 1000 + sum(sizes)

    @kept
    def equations(self) -> list[Equation]:
        """The formula and the derivatives; empty if they are text rather than formulas."""
        if self.function.movement or self.function.variadic:
            return []
        lines = (self.function.formula, *self.function.derivatives)
        reduction = self.options.get("reduction", "mean")
        if self.options.get("w") is not None:  # weights of a loss, and n = Σ w
            divided = " / n" if reduction == "mean" else ""
            value = {"none": "w "}.get(reduction, "Σ w ")
            lines = tuple(line.replace(" / n", f" w{divided}") for line in lines)
            first = lines[0].replace("reduction", value) + divided
            return [parse(line) for line in (first, *lines[1:])]
        if reduction != "mean":  # there is no n to divide by
            lines = tuple(line.removesuffix(" / n") for line in lines)
        word = {"mean": "mean", "sum": "Σ ", "none": ""}[reduction]
        return [parse(line.replace("reduction", word)) for line in lines]

    def scope(self, g: np.ndarray | None = None) -> Scope:
        """The values of the symbols in the equations."""
        arrays, forward = self.arrays(), self.equations[0]
        values = {**self.options, **dict(zip(self.input_names, arrays, strict=True))}
        values |= self.symbol_values
        if forward.tree[0] == "@":  # vectors as matrices of one row or one column
            left, right = (part[1] for part in forward.tree[1:])
            values[left] = np.atleast_2d(values[left])
            if np.ndim(values[right]) == 1:
                values[right] = values[right][:, None]
        scope = Scope(values, self.options.get("axis"))
        shape = np.shape(scope.value(forward.tree))  # reduced axes have length 1
        scope.values[forward.symbol] = self.value.data.reshape(shape)
        if g is not None:
            scope.values["g"] = g.reshape(shape)
        return scope

    def sources(self) -> list[np.ndarray]:
        """For each input of a movement op the position that each result came from, or −1."""
        sizes = [np.size(x) for x in self.arrays()]
        starts = np.cumsum([0, *sizes])
        positions = [
            np.arange(start, start + size).reshape(np.shape(x))
            for start, size, x in zip(starts, sizes, self.arrays(), strict=False)
        ]
        moved = self.run(positions)
        return [
            np.where((moved >= start) & (moved < start + size), moved - start, -1)
            for start, size in zip(starts, sizes, strict=False)
        ]


# --- backward and update ------------------------------------------------------------------------


class OpGradient:
    """One op in a backward pass: its upstream gradient g, and the gradient of each input or None.

    `input_grads` are as the op returned them; `summed` undoes broadcasting.
    """

    def __init__(self, op: OpCall, g: np.ndarray) -> None:
        self.op, self.g = op, np.array(g)
        self.input_grads: list[np.ndarray | None] = [None] * len(op.inputs)

    @kept
    def scope(self) -> Scope:
        return self.op.scope(self.g)

    def inputs(self) -> list[tuple[int, Value, np.ndarray]]:
        """(i, input, its gradient) for the inputs that got one."""
        pairs = enumerate(zip(self.op.inputs, self.input_grads, strict=True))
        return [(i, x, g) for i, (x, g) in pairs if isinstance(x, Value) and g is not None]

    def summed(self, i: int) -> np.ndarray:
        """The gradient of input i in the input's shape and dtype."""
        x, g = self.op.inputs[i], self.input_grads[i]
        if g is None or not isinstance(x, Value):
            raise ValueError(f"input {i} of {self.op.name} has no gradient")
        whole = g if g.shape == x.data.shape else unbroadcast(g, x.data.shape)
        return np.asarray(whole.astype(x.data.dtype, copy=False))


class Leaf:
    """A leaf in a backward pass: its gradient, and what .grad held before."""

    def __init__(self, value: Value, gradient: np.ndarray, before: np.ndarray | None) -> None:
        self.value, self.gradient = value, np.array(gradient)
        self.before = None if before is None else np.array(before)

    @property
    def accumulates(self) -> bool:
        """Whether the gradient was added to an old one that is not 0."""
        return self.before is not None and bool(np.any(self.before))


class Backward:
    """One backward pass: where it started, the gradient of each op in order, and the leaves.

    root  None if no op that led to it was recorded
    seed  the gradient that backward started with
    """

    def __init__(self, root: Value | None, seed: np.ndarray, grads: list[OpGradient]) -> None:
        self.root, self.seed, self.op_gradients = root, np.array(seed), grads
        self.leaves: list[Leaf] = []

    @kept
    def letter(self) -> str:
        """What formulas call the root: L, or J if that is already the result of an op in it.

        An op whose result is called L may be the root itself, unless backward was given a gradient.
        """
        given = self.seed.size != 1 or self.seed.item() != 1
        ops = (g.op for g in self.op_gradients if given or g.op.value is not self.root)
        return "J" if any(op.function.formula.startswith("L =") for op in ops) else "L"

    def contributions(self, value: Value) -> list[tuple[OpCall, np.ndarray]]:
        """The gradient of a value from each of its uses, in the order of computation."""
        return [
            (op_gradient.op, op_gradient.summed(i))
            for op_gradient in self.op_gradients
            for i, x, _ in op_gradient.inputs()
            if x is value
        ]

    def gradient(self, value: Value) -> np.ndarray | None:
        """The gradient of the root with respect to a value."""
        for leaf in self.leaves:
            if leaf.value is value:
                return leaf.gradient
        for op_gradient in self.op_gradients:
            if op_gradient.op.value is value:
                return op_gradient.g
        return None


@printed
class UpdateLine(NamedTuple):
    """An equation of an update rule, the values of its symbols, and its result."""

    equation: Equation
    scope: Scope
    value: np.ndarray


class Unread(NamedTuple):
    """An equation of an update rule that can't be read, and why."""

    text: str
    reason: str


def why_unread(
    text: str,
    error: FormulaError,
    rule: type[Optimizer],
    named: Collection[str],
    unread: Iterable[str],
) -> str:
    """Why a line of a rule can't be read, and what to do.

    named   the names of the rule's options and state
    unread  the lines before it that can't be read either
    """
    symbol, other = error.symbol, advice(text)
    if symbol in (line.split()[0] for line in unread):
        return f"it needs {symbol}, whose equation can't be read"
    function = unknown_function(text, named)
    if function and not other:
        known = "sin, cos, tanh, ln, sgn, √, σ, max(a, b) and min(a, b)"
        return f"unknown function {function}; there are {known}"
    if other or not symbol:
        return f"{error}{other}"
    free = [name for name in named if name not in {*rule.symbols.values(), "maximize", "t"}]
    name = next((x for x in free if x[0] == symbol[0]), free[0] if free else "")
    if not name:
        return f"{error}"
    return (
        f"{error}; write an option by its name, such as {name}, or give it that symbol: "
        f"symbols = {{**dl.optim.Optimizer.symbols, {symbol!r}: {name!r}}}"
    )


class Update:
    """One parameter's update: the rule, its options, and all arrays before and after.

    lr    the learning rate
    step  the step count at which a schedule gave it
    t     the number of this update of the parameter, from 1
    """

    def __init__(
        self,
        rule: type[Optimizer],
        value: Value,
        options: Mapping[str, Any],
        *,
        lr: float,
        step: int,
        state: Mapping[str, Any],
        gradient: np.ndarray,
    ) -> None:
        self.rule, self.value, self.options = rule, value, dict(options)
        self.lr, self.step, self.t = lr, step, int(state["t"]) + 1
        self.gradient, self.before, self.state = np.array(gradient), value.data, _copied(state)
        self.after, self.state_after = self.before, self.state

    def finish(self, data: np.ndarray, state: Mapping[str, Any]) -> None:
        """Record the parameter and its state after the step."""
        self.after, self.state_after = np.array(data), _copied(state)

    @property
    def changes(self) -> bool:
        """Whether the parameter is another one after the step."""
        return not np.array_equal(self.before, self.after, equal_nan=True)

    @kept
    def lines(self) -> list[UpdateLine]:
        """The equations that apply and can be read.

        A line that determines the parameter or its state has the value that the kernel left there;
        the values of the other lines are computed from these, in float64.
        """
        return self._read[0]

    @property
    def unread(self) -> list[Unread]:
        """The equations that can't be read, of a user's rule."""
        return self._read[1]

    @kept
    def _read(self) -> tuple[list[UpdateLine], list[Unread]]:
        values, after = self._symbol_values()
        applied: list[tuple[str, str, Equation | None]] = []  # symbol, text, unless it is unread
        unread: dict[str, str] = {}
        named = [*self.options, *self.state]
        for text in filter(str.strip, (COMMON + self.rule.equations).splitlines()):
            symbol, scope = text.split()[0], Scope(values)
            try:
                equation = _parsed(text)
                if equation.condition is None or scope.value(equation.condition):
                    values = {**values, symbol: scope.value(equation.tree)}
                    applied.append((symbol, text, equation))
            except FormulaError as error:
                unread[text] = why_unread(text, error, self.rule, named, unread)
                applied.append((symbol, text, None))
                values = _without(values, symbol, after)
        last = {symbol: i for i, (symbol, _, _) in enumerate(applied)}
        values, _ = self._symbol_values()
        lines = []
        for i, (symbol, text, own) in enumerate(applied):
            scope, final = Scope(values), symbol in after and last[symbol] == i
            try:
                if own is not None:
                    value = np.asarray(after[symbol] if final else scope.value(own.tree))
                    values = {**values, symbol: value}
                    lines.append(UpdateLine(own, scope, value))
                    continue
            except FormulaError as error:  # of a symbol that an unread line changes
                unread[text] = why_unread(text, error, self.rule, named, unread)
            values = _without(values, symbol, after if final else {})
        return lines, [Unread(" ".join(text.split()), reason) for text, reason in unread.items()]

    @np.errstate(all="ignore")
    def violated(self, line: UpdateLine) -> np.ndarray:
        """The entries of one of `lines` whose value its equation does not give, beyond rounding."""
        symbol, tree = line.equation.symbol, line.equation.tree
        last = [other for other in self.lines if other.equation.symbol == symbol][-1]
        if last is not line or symbol not in self._symbol_values()[1]:
            return np.zeros(line.value.shape, bool)  # the value was computed from the equation
        values = {
            name: x.astype(float) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
            for name, x in line.scope.values.items()
        }
        scope, value = Scope(values), line.value
        dtype: Any = value.dtype if value.dtype.kind == "f" else float
        expected, info = np.asarray(scope.value(tree), float), np.finfo(dtype)
        underflow = float(info.tiny) ** 0.5  # the square of what is smaller is 0
        relative = max(ROUNDING * float(info.eps), CONDITION)
        magnitude = scope.magnitude(tree, relative, float(info.tiny))
        rounding = relative * magnitude + ROUNDING * underflow
        same = np.equal(expected.astype(dtype), value) | np.isnan(expected) & np.isnan(value)
        return np.asarray(~(same | (np.abs(expected - value) <= rounding)))

    def _symbol_values(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values of the symbols before the first line, and those that the kernel left."""
        decoupled = self.rule.decoupled or self.options.get("decoupled_weight_decay", False)
        named = {**self.options, **self.state, "lr": self.lr, "decoupled": decoupled}
        values = {**named, "θ": self.before, "g": self.gradient}
        after = {**self.state_after, "θ": self.after}
        for symbol, name in self.rule.symbols.items():
            if name in named:
                value = named[name]
                values[symbol] = value["₁₂".index(symbol[-1])] if name == "betas" else value
            if name in self.state:
                after[symbol] = self.state_after[name]
        return {**values, "t": self.t}, after


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in state.items()}


def _without(values: dict[str, Any], symbol: str, after: Mapping[str, Any]) -> dict[str, Any]:
    """The values behind a line that can't be read: what the kernel left, or none."""
    kept = {name: value for name, value in values.items() if name != symbol}
    return kept | ({symbol: after[symbol]} if symbol in after else {})


_parsed = functools.cache(parse)  # a line of an update rule


# --- the record ---------------------------------------------------------------------------------

Event = OpCall | Backward | Update


@printed
class Checked(NamedTuple):
    """An entry of a gradient and its central difference."""

    value: Value
    at: Index
    backward: Any  # the entry, in the gradient's dtype
    difference: float
    relative: float  # difference between the two, relative to the larger


class Record:
    """All events of a trace in order, and the values of its graph."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.values: list[Value] = []
        self.without_gradient: list[Value] = []  # parameters that an optimizer skipped
        self.changed_unseen: list[Value] = []  # parameters that neither an update nor an op changed
        self.networks: list[str] = []  # the modules that ran, as "MLP 2 → 2 → 1, tanh"
        self.open = True  # until the end of the `with` block
        self.error = ""  # the class of the error that ended it, if any

    def _connect(self) -> None:
        """Set what connects the events: producers, users, and the gradients of each op."""
        for op in self.ops:
            op.value.producer = op
            for i, x in enumerate(op.inputs):
                if isinstance(x, Value):
                    x.users.append((op, i))
            if op.labels:
                op.labels.label_of.append(op)
        for backward in self.backwards:
            for op_gradient in backward.op_gradients:
                op_gradient.op.op_gradients.append(op_gradient)
        for op in reversed(self.ops):  # an op may serve only an update by hand
            if op.value.users and not op.op_gradients and not op.path:
                op.by_hand |= all(user.by_hand for user, _ in op.value.users)

    def _ensure_closed(self) -> None:
        """RuntimeError while the trace is open."""
        if self.open:
            raise RuntimeError(
                "the trace is still open: print, save or explain the walkthrough after its `with` "
                "block. If that has ended, it was interrupted while it named the values: run it "
                "again"
            )

    @property
    def ops(self) -> list[OpCall]:
        """The op calls in order."""
        return [event for event in self.events if isinstance(event, OpCall)]

    @property
    def backwards(self) -> list[Backward]:
        """The backward passes in order."""
        return [event for event in self.events if isinstance(event, Backward)]

    @property
    def updates(self) -> list[Update]:
        """The updates of parameters by optimizers, in order."""
        return [event for event in self.events if isinstance(event, Update)]

    @property
    def _updates_by_hand(self) -> list[tuple[Value, OpCall]]:
        """The parameters that were updated without an optimizer, and the ops that did it."""
        return [(op.updated, op) for op in self.ops if op.updated]

    def _run_again(
        self,
        root: Value,
        changed: Mapping[Value, np.ndarray],
        ops: Iterable[OpCall] | None = None,
        dtype: type[float] | None = None,
    ) -> np.ndarray:
        """The value of `root` after the recorded ops run with other values.

        changed  the values that are replaced
        ops      which ops run, in order; all if None
        dtype    to compute in; that of each array if None
        """
        results = dict(changed)
        for op in self.ops if ops is None else ops:
            if op.value in results or results.keys().isdisjoint(
                x for x in op.inputs if isinstance(x, Value)
            ):
                continue
            arrays = [results.get(x, x.data) if isinstance(x, Value) else x for x in op.inputs]
            if dtype:
                arrays = [a.astype(dtype) if isinstance(a, np.ndarray) else a for a in arrays]
            with np.errstate(all="ignore"):
                results[op.value] = op.run(arrays)
            if op.value is root:
                break
        return results.get(root, root.data)

    def check(self, backward: Backward) -> list[Checked]:
        """Compare gradients with central differences of the recorded ops, in float64.

            ∂L/∂θ ≈ (L(θ + h) − L(θ − h)) / 2h,  h = 6·10⁻⁶ max(1, |θ|)

        All entries are checked if that is cheap enough; else the entries of each leaf with the
        largest gradients, and of very many leaves only some.
        """
        leaves = [leaf for leaf in backward.leaves if leaf.value.users and leaf.gradient.size]
        if backward.root is None or not leaves:
            return []
        cost = 2 * sum(op_gradient.op.cost() for op_gradient in backward.op_gradients)
        entries = max(min(CHECK_COST // cost, CHECK_ENTRIES), 1)
        some = np.linspace(0, len(leaves) - 1, min(len(leaves), entries)).round().astype(int)
        found = []
        for leaf in (leaves[i] for i in some):
            size = max(entries // len(some), 1)
            order = np.argsort(-np.abs(leaf.gradient), axis=None, kind="stable")[:size]
            for position in np.sort(order):
                at = tuple(map(int, np.unravel_index(position, leaf.gradient.shape)))
                found.append(self._check_entry(backward, leaf, at))
        return found

    def _check_entry(self, backward: Backward, leaf: Leaf, at: Index) -> Checked:
        """Compare one entry of a leaf's gradient with its central difference."""
        slope, g = self._central_difference(backward, leaf.value, at), float(leaf.gradient[at])
        scale = max(abs(g), abs(slope))
        difference = abs(g - slope)
        root = backward.root
        if root and difference <= 1e-10 * np.abs(np.sum(root.data * backward.seed)):
            difference = 0.0  # a central difference resolves no more, and is never exactly 0
        relative = difference / scale if scale and math.isfinite(scale) else difference
        return Checked(leaf.value, at, leaf.gradient[at], slope, relative)

    @np.errstate(all="ignore")
    def _central_difference(self, backward: Backward, value: Value, at: Index) -> float:
        if backward.root is None:
            raise ValueError("the forward pass was not recorded, so it can't run again")
        center = value.data.astype(np.float64)
        h = 6e-6 * max(1.0, abs(center[at]))
        ops = sorted((g.op for g in backward.op_gradients), key=lambda op: op.number)
        sums = []
        for step in (h, -h):
            moved = center.copy()
            moved[at] += step
            result = self._run_again(backward.root, {value: moved}, ops, float)
            sums.append(np.sum(result * backward.seed))
        return float((sums[0] - sums[1]) / (2 * h))

    def loss(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The value that the last backward started from, and the same with the final parameters.

        The first is None without a recorded backward pass, the second if nothing was updated since.
        """
        self._ensure_closed()
        root = self.backwards[-1].root if self.backwards else None
        if root is None:
            return None, None
        used = {x for g in self.backwards[-1].op_gradients for x in g.op.inputs}
        final = {x: x.final for x in used if isinstance(x, Value) and x.final is not None}
        later = self.events[self.events.index(self.backwards[-1]) :]
        updated = bool(final) or any(isinstance(event, Update) for event in later)
        return root.data, self._run_again(root, final) if updated else None
