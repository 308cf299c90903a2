"""The walkthrough: every number of a forward pass, a backward pass and an update, recorded.

While a `trace` is open, each op reports what it took and made, and gets its vector-Jacobian
products (VJPs) wrapped, so that backward reports the gradients it passes on; each optimizer reports
the state before and after its step. That is all there is to a tape: a list of what was done, in
order, with enough kept to do it again. `Walkthrough.check` does it again, for central differences.

The record is made of `Value`s, the boxes of the graph, and of three kinds of events: an `Op`, a
`Backward` pass with one `Flow` for each op that a gradient passed through, and the `Update` of a
parameter. `minidl._story` tells them, `minidl.viz.page` makes a page of them.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import inspect
import itertools
import math
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minidl import _files, nn, optim
from minidl._observer import active
from minidl.tensor import Tensor, unbroadcast
from minidl.walkthrough import formulas as _formulas
from minidl.walkthrough import naming as _naming
from minidl.walkthrough import text as _text
from minidl.walkthrough.formulas import Equation, Scope
from minidl.walkthrough.remarks import Remark
from minidl.walkthrough.steps import Story

# A check computes about as many numbers, and shows as many entries, at most.
CHECKED, ROWS = 10**8, 100


# --- the record ---------------------------------------------------------------------------------


class Value:
    """A box of the graph: a parameter, an input, or what an op made."""

    def __init__(self, kind: str, data: np.ndarray, number: int) -> None:
        self.kind, self.data, self.key = kind, np.array(data), f"v{number}"
        self.missed = False  # whether ops made it that were not recorded
        self.final: np.ndarray | None = None  # of a leaf that changed later, what it was at the end
        self.gradient_of: Value | None = None
        self.name = self.base = ""  # the base is the same for all versions of a tensor
        self.made_by: Op | None = None
        self.users: list[tuple[Op, int]] = []  # the ops that took it, and as which input


class Op:
    """One op as it ran: its inputs (numbers stand for themselves), options and value."""

    kind = "op"

    def __init__(
        self, number: int, function: Any, inputs: list[Any], options: dict, value: Value
    ) -> None:
        self.number, self.function, self.inputs = number, function, inputs
        self.options, self.value = options, value
        self.path = ""  # of the module it ran in
        self.by_hand = False  # whether it is part of an update that the user computes
        self.flows: list[Flow] = []
        value.made_by = self
        for i, x in enumerate(inputs):
            if isinstance(x, Value):
                x.users.append((self, i))

    @property
    def letters(self) -> list[str]:
        """What the formula calls the inputs."""
        if self.function.variadic:
            return [f"x{_formulas.subscript(i)}" for i in range(1, len(self.inputs) + 1)]
        return [line.partition(" ")[0][1:] for line in self.function.derivatives]

    @functools.cached_property
    def symbols(self) -> dict[str, Any]:
        """What letters of the formulas stand for, beside the inputs."""
        known = optim.SYMBOLS.items()
        values = {x: self.options[name] for x, name in known if name in self.options}
        made = self.function.symbols.items()
        return values | {x: f(*self.arrays(), **self.options) for x, f in made}

    def run(self, arrays: list[Any]) -> Any:
        """The op's value for other inputs."""
        function = self.function
        given = [arrays] if function.variadic else arrays
        return np.asarray(function(*given, **self.options)[0])

    def cost(self) -> int:
        """What running it takes, in units of about one number."""
        sizes = [np.size(x) for x in (*self.arrays(), self.value.data)]
        if "@" in self.function.formula:
            sizes.append(sizes[0] * max(self.value.data.shape[-1:], default=1) // 8)
        return 1000 + sum(sizes)

    def arrays(self) -> list[Any]:
        return [x.data if isinstance(x, Value) else x for x in self.inputs]

    @functools.cached_property
    def equations(self) -> list[Equation]:
        """The formula and the derivatives; nothing if they are words rather than formulas."""
        if self.function.movement or self.function.variadic:
            return []
        lines = (self.function.formula, *self.function.derivatives)
        form = self.options.get("reduction", "mean")
        if form != "mean":  # then there is nothing to divide by
            lines = tuple(line.removesuffix(" / n") for line in lines)
        word = {"mean": "mean", "sum": "Σ ", "none": ""}[form]
        return [_formulas.parse(line.replace("reduction", word)) for line in lines]

    def scope(self, g: np.ndarray | None = None) -> Scope:
        """What the letters of the equations stand for."""
        arrays, forward = self.arrays(), self.equations[0]
        values = {**self.options, **dict(zip(self.letters, arrays, strict=True))}
        values |= self.symbols
        if forward.tree[0] == "@":  # vectors as matrices of one row, one column
            left, right = (part[1] for part in forward.tree[1:])
            values[left] = np.atleast_2d(values[left])
            if np.ndim(values[right]) == 1:
                values[right] = values[right][:, None]
        scope = Scope(values, self.options.get("axis"))
        shape = np.shape(scope.value(forward.tree))  # with reduced axes of length 1
        scope.values[forward.letter] = self.value.data.reshape(shape)
        if g is not None:
            scope.values["g"] = g.reshape(shape)
        return scope

    def sources(self) -> list[np.ndarray]:
        """Of an op that moves entries, for each input where its entries went: flat, −1 for none."""
        sizes = [np.size(x) for x in self.arrays()]
        first = np.cumsum([0, *sizes])
        places = [
            np.arange(start, start + size).reshape(np.shape(x))
            for start, size, x in zip(first, sizes, self.arrays(), strict=False)
        ]
        moved = self.run(places)
        return [
            np.where((moved >= a) & (moved < a + n), moved - a, -1)
            for a, n in zip(first, sizes, strict=False)
        ]


class Flow:
    """A gradient on its way through an op: g, what arrived, and a product for each input or None.

    A product is as the op returned it; `summed` has the input's shape, broadcasting undone.
    """

    def __init__(self, op: Op, g: np.ndarray) -> None:
        self.op, self.g = op, np.array(g)
        self.products: list[np.ndarray | None] = [None] * len(op.inputs)

    @functools.cached_property
    def scope(self) -> Scope:
        return self.op.scope(self.g)

    def summed(self, i: int) -> np.ndarray:
        product, x = self.products[i], self.op.inputs[i].data
        assert product is not None
        whole = product if product.shape == x.shape else unbroadcast(product, x.shape)
        return whole.astype(x.dtype, copy=False)


class Leaf:
    """A leaf that a backward pass reached: the gradient that came, and what .grad held before."""

    def __init__(self, value: Value, gradient: np.ndarray, before: np.ndarray | None) -> None:
        self.value, self.gradient = value, np.array(gradient)
        self.before = None if before is None else np.array(before)


class Backward:
    """One backward pass: where it began, each op's flow in order, the leaves it ended in."""

    kind = "backward"

    def __init__(self, root: Value | None, seed: np.ndarray, flows: list[Flow]) -> None:
        self.root, self.seed, self.flows = root, np.array(seed), flows
        self.leaves: list[Leaf] = []

    def arrivals(self, value: Value) -> list[tuple[Op, np.ndarray]]:
        """What each use of a value sent back to it, in the order of arrival."""
        return [
            (flow.op, flow.summed(i))
            for flow in self.flows
            for i, x in enumerate(flow.op.inputs)
            if x is value and flow.products[i] is not None
        ]

    def gradient(self, value: Value) -> np.ndarray | None:
        """The gradient by a value."""
        for leaf in self.leaves:
            if leaf.value is value:
                return leaf.gradient
        for flow in self.flows:
            if flow.op.value is value:
                return flow.g
        return None


class Update:
    """One parameter's update: the rule, its options, and all arrays before and after."""

    kind = "update"

    def __init__(
        self, rule: type, value: Value, group: dict, lr: float, step: int, state: dict, g: Any
    ) -> None:
        self.rule, self.value, self.options = rule, value, group
        self.lr, self.step = lr, step  # the rate, and of which t it is the schedule's
        self.gradient, self.before, self.state = np.array(g), value.data, _copied(state)
        self.after, self.state_after = self.before, self.state
        self.t = state["t"] + 1

    def finish(self, data: np.ndarray, state: dict) -> None:
        self.after, self.state_after = np.array(data), _copied(state)

    @functools.cached_property
    def lines(self) -> list[tuple[Equation, Scope, np.ndarray]]:
        """The equations that hold, what their letters stand for, and the value each gives.

        What a line leaves in the parameter or its state is the kernel's own number; what stands
        between is computed from these, in float64.
        """
        try:
            return self._worked_lines()
        except _formulas.FormulaError:  # a rule of the user's, stated in words
            return []

    def _worked_lines(self) -> list[tuple[Equation, Scope, np.ndarray]]:
        values, after = self._letters()
        holding = []
        for equation in rule_equations(self.rule):
            scope = Scope(values)
            if equation.condition is None or scope.value(equation.condition):
                holding.append(equation)
                values = {**values, equation.letter: scope.value(equation.tree)}
        last = {equation.letter: i for i, equation in enumerate(holding)}
        values, _ = self._letters()
        lines = []
        for i, equation in enumerate(holding):
            scope, letter = Scope(values), equation.letter
            final = letter in after and last[letter] == i
            value = np.asarray(after[letter] if final else scope.value(equation.tree))
            values = {**values, letter: value}
            lines.append((equation, scope, value))
        return lines

    def _letters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the letters stand for before the first line, and what the kernel left in them."""
        rule: Any = self.rule
        decoupled = rule.decoupled or self.options.get("decoupled_weight_decay", False)
        named = {**self.options, **self.state, "lr": self.lr, "decoupled": decoupled}
        values = {**named, "θ": self.before, "g": self.gradient}
        after = {**self.state_after, "θ": self.after}
        for letter, name in rule.symbols.items():
            if name in named:
                value = named[name]
                values[letter] = value["₁₂".index(letter[-1])] if name == "betas" else value
            if name in self.state:
                after[letter] = self.state_after[name]
        return {**values, "t": self.t}, after


def _copied(state: dict) -> dict:
    return {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in state.items()}


@functools.cache
def rule_equations(rule: Any) -> list[Equation]:
    """The common equations and the rule's own."""
    lines = (optim.COMMON + rule.equations).splitlines()
    return [_formulas.parse(line) for line in lines if line.strip()]


# --- the recorder -------------------------------------------------------------------------------


class trace:  # noqa: N801 (a verb, like no_grad)
    """Record what happens in a `with` block, to walk through it number by number.

    The block is to hold the forward pass and backward, and may hold the optimizer's step; all is
    computed as ever, to the bit. An unnamed tensor is called as the variable that holds it where
    the block stands. RuntimeError inside of another trace.

    >>> w = dl.Tensor([1.0, 2.0], requires_grad=True)
    >>> with dl.trace() as walk:
    ...     loss = (w**2).sum()
    ...     loss.backward()
    >>> print(walk.explain("w", 1))
    w[1] = 2
    <BLANKLINE>
    backward through power, where a is w
      ∂y/∂a = b aᵇ⁻¹ if b ≠ 0 else 0    ∂y/∂a[1] = 2 · 2^(2 − 1) = 4
      ∂a = g b aᵇ⁻¹ if b ≠ 0 else 0     ∂a[1] = 1 · 2 · 2^(2 − 1) = 4
    <BLANKLINE>
    check: backward 4, central difference 4, relative difference < 1e−5
    """

    def __enter__(self) -> Walkthrough:
        if active.get() is not None:
            raise RuntimeError(
                "trace: a trace is open already, and two can't watch at once; use that one, or "
                "end its `with` block first"
            )
        self._calls: list[tuple[int, nn.Module]] = []  # numbered, of modules whose forward runs
        self._ops: list[Op] = []
        self._calls_of: list[tuple[tuple[int, nn.Module], ...]] = []  # the same, for each op
        self._numbers = itertools.count()
        self._known: dict[Any, Value] = {}  # by id and version
        self._held: list[tuple[Any, Value]] = []  # what has these ids, kept alive
        self._flows: dict[int, Flow] = {}  # of the backward pass that is running, by op
        self._updates: list[tuple[Any, dict, int, Update]] = []
        self._leaves: list[tuple[Tensor, Value]] = []  # that gradients have reached
        self.walk = Walkthrough()
        self._token = active.set(self)
        return self.walk

    def __exit__(self, *_: Any) -> None:
        active.reset(self._token)
        frame = sys._getframe(1)
        variables = {**frame.f_globals, **frame.f_locals}
        _naming.give_names(self._held, self._ops, self._calls_of, variables)
        for x, value in self._held:
            if isinstance(x, Tensor) and x.is_leaf and not np.array_equal(x.data, value.data):
                value.final = x.data.copy()
        self.walk.open = False
        del self.walk, self._known, self._held, self._calls_of, self._updates, self._leaves
        del self._flows, self._ops

    # what ops, modules, backward and optimizers report

    @contextlib.contextmanager
    def inside(self, module: nn.Module) -> Iterator[None]:
        self._calls.append((next(self._numbers), module))
        try:
            yield
        finally:
            self._calls.pop()

    def op(
        self, function: Any, given: Any, arrays: list, extra: Any, options: dict, result: Tensor
    ) -> None:
        inputs = [self._input(x, array) for x, array in zip(given, arrays, strict=True)]
        first = [arrays] if function.variadic else arrays
        bound = _signature(function).bind(*first, *extra, **options)
        bound.apply_defaults()
        chosen = dict(list(bound.arguments.items())[len(first) :])
        value = self._add("op", result, result.data)
        number = len(self._ops)
        op = Op(number + 1, function, inputs, copy.deepcopy(chosen), value)
        self._ops.append(op)
        self._calls_of.append(tuple(self._calls))
        self.walk.events.append(op)
        node = result._node
        if node is None:
            op.by_hand = self._updates_by_hand(function, given, result)
        elif function.fused_vjp:
            node.vjps = [self._watched_joint(number, vjp) for vjp in node.vjps or ()]
        else:
            node.vjps = [self._watched(number, i, vjp) for i, vjp in enumerate(node.vjps or ())]

    def _updates_by_hand(self, function: Any, given: Any, result: Tensor) -> bool:
        """Whether an op without a graph looks like w − 0.1 g, behind a backward pass."""
        arithmetic = function.__name__ in ("add", "subtract", "multiply", "divide")
        if not (self._leaves and arithmetic) or self._calls:
            return False
        return any(_is_parameter(x) and x.shape == result.shape for x in given)

    # a wrapped VJP must not hold the record, which would live as long as the graph

    def _watched(self, number: int, i: int, vjp: Callable) -> Callable:
        def product(g: np.ndarray) -> Any:
            result = vjp(g)
            if active.get() is self:  # else the block is over
                self._flow(number, g).products[i] = np.array(result)
            return result

        return product

    def _watched_joint(self, number: int, vjp: Callable) -> Callable:
        def products(g: np.ndarray, wanted: Any) -> Any:
            results = vjp(g, wanted)
            if active.get() is self:  # else the block is over
                flow = self._flow(number, g)
                asked = zip(results, wanted, strict=True)
                flow.products = [np.array(p) if w else None for p, w in asked]
            return results

        return products

    def _flow(self, number: int, g: np.ndarray) -> Flow:
        if number not in self._flows:
            self._flows[number] = Flow(self._ops[number], g)
        return self._flows[number]

    def begin_backward(self) -> None:
        self._flows = {}  # what a backward pass that failed left

    def end_backward(self, root: Tensor, seed: np.ndarray, leaves: list) -> None:
        known = self._known.get((id(root), root.version))
        found = Backward(known, seed, list(self._flows.values()))
        self._flows = {}
        for flow in found.flows:
            flow.op.flows.append(flow)
        for tensor, g in leaves:
            value = self._input(tensor, tensor.data)
            found.leaves.append(Leaf(value, g, tensor.grad))
            self._leaves.append((tensor, value))
        self.walk.events.append(found)

    def begin_step(self, optimizer: optim.Optimizer) -> None:
        self._updates = []
        for group, columns in zip(optimizer.groups, optimizer._columns, strict=True):
            options = {name: value for name, value in group.items() if name != "params"}
            lr = optimizer.rate(group)
            for i, p in enumerate(group.params):
                if not p.requires_grad:
                    continue
                value = self._input(p, p.data)
                value.name = value.name or optimizer._names.get(p) or ""
                if p.grad is None:
                    self.walk.without_gradient.append(value)
                    continue
                state = {name: column[i] for name, column in columns.items()}
                step = optimizer.t
                update = Update(type(optimizer), value, options, lr, step, state, p.grad)
                self._updates.append((p, columns, i, update))

    def end_step(self, optimizer: optim.Optimizer) -> None:
        for p, columns, i, update in self._updates:
            update.finish(p.data, {name: column[i] for name, column in columns.items()})
            self.walk.events.append(update)

    # the boxes

    def _input(self, x: Any, array: Any) -> Any:
        """The box of what an op took; a number stands for itself."""
        if not isinstance(array, np.ndarray):
            return array
        tensor = isinstance(x, Tensor)
        key = id(x), x.version if tensor else str(array.dtype)
        known = self._known.get(key)
        kept = tensor and (x.requires_grad or not x.is_leaf)  # only others change unseen
        if known and (kept or np.array_equal(known.data, array, equal_nan=True)):
            return known
        value = self._add("parameter" if _is_parameter(x) else "input", x, array, key)
        value.missed = tensor and not x.is_leaf
        value.gradient_of = next((leaf for t, leaf in self._leaves if t.grad is x), None)
        return value

    def _add(self, kind: str, x: Any, array: np.ndarray, key: Any = None) -> Value:
        value = Value(kind, array, len(self.walk.values))
        self.walk.values.append(value)
        self._known[key or (id(x), x.version)] = value
        self._held.append((x, value))
        return value


def _is_parameter(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad and x.is_leaf


@functools.cache
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


# --- the result ---------------------------------------------------------------------------------


class Checked(NamedTuple):
    """An entry of a gradient beside the central difference there."""

    value: Value
    at: tuple[int, ...]
    backward: Any
    difference: float
    relative: float


class Walkthrough:
    """What a trace recorded: to print, to save, to show in a notebook, to ask.

    events  the ops, backward passes and updates, in the order in which they happened
    values  the boxes of the graph: parameters, inputs, what the ops made
    """

    def __init__(self) -> None:
        self.events: list[Op | Backward | Update] = []
        self.values: list[Value] = []
        self.without_gradient: list[Value] = []  # parameters that an optimizer passed over
        self.open = True  # as long as the block runs

    @functools.cached_property
    def story(self) -> Story:
        """What was recorded, told in steps; RuntimeError while the block runs."""
        self._refuse_while_open()
        return Story(self)

    def _refuse_while_open(self) -> None:
        if self.open:
            raise RuntimeError(
                "the trace is still open: print, save or explain the walkthrough behind its `with` "
                "block, when all is known"
            )

    @property
    def ops(self) -> list[Op]:
        return [event for event in self.events if isinstance(event, Op)]

    @property
    def backwards(self) -> list[Backward]:
        return [event for event in self.events if isinstance(event, Backward)]

    @property
    def updates(self) -> list[Update]:
        return [event for event in self.events if isinstance(event, Update)]

    def run_again(
        self, root: Value, changed: dict[Value, np.ndarray], ops: Any = None, dtype: Any = None
    ) -> np.ndarray:
        """The value of `root` that the recorded ops make when some values are others."""
        made = dict(changed)
        for op in self.ops if ops is None else ops:
            if op.value in made or not any(x in made for x in op.inputs if isinstance(x, Value)):
                continue
            arrays = [made.get(x, x.data) if isinstance(x, Value) else x for x in op.inputs]
            if dtype:
                arrays = [a.astype(dtype) if isinstance(a, np.ndarray) else a for a in arrays]
            with np.errstate(all="ignore"):
                made[op.value] = op.run(arrays)
            if op.value is root:
                break
        return made.get(root, root.data)

    def check(self, passed: Backward) -> list[Checked]:
        """Gradients of a backward pass beside central differences of the recorded ops, in float64.

            ∂L/∂θ ≈ (L(θ + h) − L(θ − h)) / 2h,  h = 6·10⁻⁶ max(1, |θ|)

        All entries, or where there are too many the largest gradients of each leaf; of very many
        leaves some.
        """
        leaves = [leaf for leaf in passed.leaves if leaf.value.users and leaf.gradient.size]
        if passed.root is None or not leaves:
            return []
        runs = CHECKED // (2 * sum(flow.op.cost() for flow in passed.flows))
        entries = max(min(runs, ROWS), 1)
        some = np.linspace(0, len(leaves) - 1, min(len(leaves), entries)).round().astype(int)
        found = []
        for leaf in (leaves[i] for i in some):
            size = max(entries // len(some), 1)
            order = np.argsort(-np.abs(leaf.gradient), axis=None, kind="stable")[:size]
            for flat in np.sort(order):
                at = tuple(map(int, np.unravel_index(flat, leaf.gradient.shape)))
                found.append(self.check_entry(passed, leaf, at))
        return found

    def check_entry(self, passed: Backward, leaf: Leaf, at: tuple[int, ...]) -> Checked:
        """The gradient of one entry beside its central difference."""
        slope, g = self._central_difference(passed, leaf.value, at), float(leaf.gradient[at])
        scale = max(abs(g), abs(slope))
        difference = abs(g - slope)
        relative = difference / scale if scale and math.isfinite(scale) else difference
        return Checked(leaf.value, at, leaf.gradient[at], slope, relative)

    @np.errstate(all="ignore")
    def _central_difference(self, passed: Backward, value: Value, at: tuple[int, ...]) -> float:
        middle = value.data.astype(np.float64)
        h = 6e-6 * max(1.0, abs(middle[at]))
        ops = sorted((flow.op for flow in passed.flows), key=lambda op: op.number)
        sums = []
        for step in (h, -h):
            moved = middle.copy()
            moved[at] += step
            assert passed.root is not None
            made = self.run_again(passed.root, {value: moved}, ops, float)
            sums.append(np.sum(made * passed.seed))
        return float(sums[0] - sums[1]) / (2 * h)

    def remarks(self) -> list[Remark]:
        """What a teacher would point at: saturated units, gradients that were not zeroed, …"""
        return self.story.remarks

    def loss(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The value that the last backward began from, and the same with the weights at the end.

        None where there is none: without a backward, without a change of the weights.
        """
        self._refuse_while_open()
        root = self.backwards[-1].root if self.backwards else None
        if root is None:
            return None, None
        used = {x for flow in self.backwards[-1].flows for x in flow.op.inputs}
        final = {x: x.final for x in used if isinstance(x, Value) and x.final is not None}
        return root.data, self.run_again(root, final) if final else None

    def explain(self, name: str, index: Any = None) -> _text.Text:
        """One entry of a parameter, an input or a layer's value: every term of it.

        name   as in the walkthrough, such as "dense1.weight" or "tanh1"; of a parameter that was
               updated several times the last
        index  an entry, such as 3 or (0, 2); may be left out where there is but one

        ValueError for an unknown name, IndexError for an entry that isn't there.
        """
        story = self.story
        known = {value.name: value for value in self.values}
        known |= {update.value.base: update.value for update in self.updates}
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 3) or list(known)[:8]
            raise ValueError(
                f"explain: nothing in this walkthrough is called {name!r}; there are "
                f"{', '.join(map(repr, near))}"
            )
        value = known[name]
        shape, at = value.data.shape, index
        if index is None and value.data.size == 1:
            at = (0,) * value.data.ndim
        at = at if isinstance(at, tuple) else (at,)
        try:
            at = tuple(range(n)[operator.index(i)] for i, n in zip(at, shape, strict=True))
        except (IndexError, TypeError, ValueError):
            advice = f"give an entry of it, such as {tuple(n - 1 for n in shape)}"
            advice = advice if shape else "leave the index out"
            raise IndexError(
                f"explain: {name} has shape {shape}; {advice}, instead of {index!r}"
            ) from None
        return _text.explain(story, value, at)

    def save(self, path: Any) -> None:
        """Write a page (.html), Markdown (.md), text (.txt) or the graph alone (.svg).

        ValueError for another ending; OSError for a path that can't be written, where nothing has
        been changed.
        """
        kinds = {
            ".html": self._page,
            ".md": lambda: _text.markdown(self.story),
            ".txt": lambda: str(self),
            ".svg": lambda: self.story.graph(),
        }
        path = _files.ending("save", path, kinds)
        text = kinds[path.suffix.lower()]()
        with _files.writing("save", path):
            path.write_bytes(text.encode("utf-8", "replace"))

    def _page(self) -> str:
        from minidl.walkthrough.page import page

        return page(self.story)

    def __str__(self) -> str:
        return _text.text(self.story)

    def __repr__(self) -> str:
        kinds = (self.ops, "op"), (self.backwards, "backward pass"), (self.updates, "update")
        counts = (
            f"{len(them)} {word}" + ("es" if word[-1] == "s" else "s") * (len(them) != 1)
            for them, word in kinds
        )
        return f"Walkthrough({', '.join(counts)}; print it, or .save('walk.html'))"

    def _repr_html_(self) -> str:
        try:
            from minidl.walkthrough.page import frame
        except ModuleNotFoundError as error:
            text = str(self).replace("&", "&amp;").replace("<", "&lt;")
            return f"<p>For a page to step through: {error}</p><pre>{text}</pre>"
        return frame(self.story)
