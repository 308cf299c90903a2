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

import collections
import contextlib
import copy
import difflib
import functools
import inspect
import itertools
import operator
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minidl import _formulas, _story, _text, nn, optim
from minidl._formulas import Equation, Scope
from minidl._remarks import Remark, remarks
from minidl._tracing import active, traces
from minidl.tensor import Tensor, unbroadcast

CHECKED = 10**8  # numbers that a check may compute; it decides how many entries are checked


# --- the record ---------------------------------------------------------------------------------


class Value:
    """A box of the graph: a parameter, an input, or what an op made."""

    def __init__(self, kind: str, data: np.ndarray, number: int) -> None:
        self.kind, self.data, self.key = kind, np.array(data), f"v{number}"
        self.missed = False  # whether ops made it that were not recorded
        self.name = self.base = ""  # the base is without the number of a second one of that name
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
        self.flows: list[Flow] = []
        value.made_by = self
        for i, x in enumerate(inputs):
            if isinstance(x, Value):
                x.users.append((self, i))

    @property
    def letters(self) -> list[str]:
        """What the formula calls the inputs."""
        if self.function.inputs is None:
            return [f"x{_formulas.subscript(i)}" for i in range(1, len(self.inputs) + 1)]
        return [line.partition(" ")[0][1:] for line in self.function.derivatives]

    def run(self, arrays: list[Any]) -> Any:
        """The op's value for other inputs."""
        function = self.function
        given = [arrays] if function.inputs is None else arrays
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
        if self.function.moves or self.function.inputs is None:
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
        for letter, function in self.function.letters.items():
            values[letter] = function(*arrays, **self.options)
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
        self, rule: type, value: Value, group: dict, lr: float, state: dict, g: Any
    ) -> None:
        self.rule, self.value, self.options, self.lr = rule, value, group, lr
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
        for letter, name in rule.letters.items():
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
        self._calls_of: list[tuple[tuple[int, nn.Module], ...]] = []  # the same, for each op
        self._numbers = itertools.count()
        self._known: dict[Any, Value] = {}  # by id and version
        self._held: list[tuple[Any, Value]] = []  # what has these ids, kept alive
        self._flows: dict[int, Flow] = {}  # of the backward pass that is running, by op
        self._updates: list[tuple[Any, dict, int, Update]] = []
        self.walk = Walkthrough()
        self._token, self._open = active.set(self), True
        traces.add(self)
        return self.walk

    def __exit__(self, *_: Any) -> None:
        active.reset(self._token)
        traces.discard(self)
        self._open = False
        self._give_names(sys._getframe(1).f_locals)
        self._known, self._held, self._calls_of, self._updates = {}, [], [], []

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
        first = [arrays] if function.inputs is None else arrays
        bound = _signature(function).bind(*first, *extra, **options)
        bound.apply_defaults()
        chosen = dict(list(bound.arguments.items())[len(first) :])
        value = self._add("op", result, result.data)
        op = Op(len(self._calls_of) + 1, function, inputs, copy.deepcopy(chosen), value)
        self._calls_of.append(tuple(self._calls))
        self.walk.events.append(op)
        node = result._node
        if node is not None and node.vjps is not None:
            if node.joint:
                node.vjps = [self._watched_joint(op, *node.vjps)]
            else:
                node.vjps = [self._watched(op, i, vjp) for i, vjp in enumerate(node.vjps)]

    def _watched(self, op: Op, i: int, vjp: Callable) -> Callable:
        def product(g: np.ndarray) -> Any:
            result = vjp(g)
            if self._open:
                self._flow(op, g).products[i] = np.array(result)
            return result

        return product

    def _watched_joint(self, op: Op, vjp: Callable) -> Callable:
        def products(g: np.ndarray, wanted: Any) -> Any:
            results = vjp(g, wanted)
            if self._open:
                flow = self._flow(op, g)
                asked = zip(results, wanted, strict=True)
                flow.products = [np.array(p) if w else None for p, w in asked]
            return results

        return products

    def _flow(self, op: Op, g: np.ndarray) -> Flow:
        return self._flows.setdefault(op.number, Flow(op, g))

    def begin_backward(self) -> None:
        self._flows = {}  # what a backward pass that failed left

    def backward(self, root: Tensor, seed: np.ndarray, leaves: list) -> None:
        known = self._known.get((id(root), root.version))
        found = Backward(known, seed, list(self._flows.values()))
        self._flows = {}
        for flow in found.flows:
            flow.op.flows.append(flow)
        for tensor, g in leaves:
            found.leaves.append(Leaf(self._input(tensor, tensor.data), g, tensor.grad))
        self.walk.events.append(found)

    def before(self, optimizer: optim.Optimizer) -> None:
        self._updates = []
        for group, columns in zip(optimizer.groups, optimizer._columns, strict=True):
            options = {name: value for name, value in group.items() if name != "params"}
            lr = optimizer._rate_of(group)
            for i, p in enumerate(group.params):
                if not p.requires_grad:
                    continue
                value = self._input(p, p.data)
                value.name = value.name or optimizer._names.get(p) or ""
                if p.grad is None:
                    self.walk.without_gradient.append(value)
                    continue
                state = {name: column[i] for name, column in columns.items()}
                update = Update(type(optimizer), value, options, lr, state, p.grad)
                self._updates.append((p, columns, i, update))

    def after(self, optimizer: optim.Optimizer) -> None:
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
        kind = "parameter" if tensor and x.requires_grad and x.is_leaf else "input"
        value = self._add(kind, x, array, key)
        value.missed = tensor and not x.is_leaf
        return value

    def _add(self, kind: str, x: Any, array: np.ndarray, key: Any = None) -> Value:
        value = Value(kind, array, len(self.walk.values))
        self.walk.values.append(value)
        self._known[key or (id(x), x.version)] = value
        self._held.append((x, value))
        return value

    # their names

    def _give_names(self, variables: dict[str, Any]) -> None:
        """A name for each box: a module's or parameter's path, a tensor's own, a variable's."""
        paths: dict[int, str] = {}
        for calls in self._calls_of:
            for _, module in calls[:1]:  # the outermost
                if id(module) not in paths:
                    paths[id(module)] = type(module).__name__.lower()
                    paths |= {id(member): path for path, member in nn._walk(module, "", set())}
        ops_in = collections.Counter(calls[-1:] for calls in self._calls_of)
        alone = set()  # in their module's call
        for op, calls in zip(self.walk.ops, self._calls_of, strict=True):
            for _, module in calls[-1:]:  # the innermost
                op.path = paths.get(id(module)) or type(module).__name__.lower()
            if ops_in[calls[-1:]] == 1:
                alone.add(op)
        taken: collections.Counter[str] = collections.Counter()
        for x, value in self._held:
            own = x.name if isinstance(x, Tensor) else None
            name = paths.get(id(x)) or own or value.name
            if value.made_by:
                path, kind = value.made_by.path, value.made_by.function.__name__
                in_module = path if value.made_by in alone else f"{path}.{kind}"
                name = (in_module if path else own) or _variable(x, variables, False) or kind
            elif not name:
                letters = {user.letters[i] for user, i in value.users}
                name = _variable(x, variables) or ("target" if letters == {"t"} else value.kind)
            taken[name] += 1
            value.base = name
            value.name = f"{name} ({taken[name]})" if taken[name] > 1 else name


@functools.cache
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def _variable(x: Any, variables: dict[str, Any], alike: bool = True) -> str:
    """The variable that holds x, or (if `alike` will do) an array of the same numbers."""
    data = x.data if isinstance(x, Tensor) else x
    named = [(name, v) for name, v in variables.items() if not name.startswith("_")]
    same = [name for name, v in named if v is x]
    if alike and not same:
        same = [name for name, v in named if isinstance(v, np.ndarray) and _agree(v, data)]
    return same[0] if same else ""


@np.errstate(all="ignore")
def _agree(a: np.ndarray, b: Any) -> bool:
    b = np.asarray(b)
    return a.shape == b.shape and a.dtype.kind in "fiub" and np.array_equal(a.astype(b.dtype), b)


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

        All entries, or where that would be too many the largest gradients of each leaf.
        """
        root = passed.root
        leaves = [leaf for leaf in passed.leaves if leaf.value.users and leaf.gradient.size]
        if root is None or not leaves:
            return []
        runs = CHECKED // (2 * sum(op.cost() for op in self.ops))
        found = []
        for leaf in leaves[: max(runs, 1)]:
            size = max(runs // len(leaves), 1)
            order = np.argsort(-np.abs(leaf.gradient), axis=None, kind="stable")[:size]
            for flat in np.sort(order):
                at = tuple(map(int, np.unravel_index(flat, leaf.gradient.shape)))
                slope = self._central_difference(passed, leaf.value, at)
                g = leaf.gradient[at]
                scale = max(abs(float(g)), abs(slope))
                relative = abs(float(g) - slope) / scale if scale else 0.0
                found.append(Checked(leaf.value, at, g, slope, relative))
        return found

    @np.errstate(all="ignore")
    def _central_difference(self, passed: Backward, leaf: Value, at: tuple[int, ...]) -> float:
        middle = leaf.data.astype(np.float64)
        h = 6e-6 * max(1.0, abs(middle[at]))
        ops = sorted((flow.op for flow in passed.flows), key=lambda op: op.number)
        sums = []
        for step in (h, -h):
            moved = middle.copy()
            moved[at] += step
            assert passed.root is not None
            sums.append(
                np.sum(self.run_again(passed.root, {leaf: moved}, ops, float) * passed.seed)
            )
        return float(sums[0] - sums[1]) / (2 * h)

    def total_gradient(self, update: Update) -> np.ndarray | None:
        """What .grad held after the last backward before an update; None if that wasn't seen."""
        for passed in reversed(self.events[: self.events.index(update)]):
            for leaf in passed.leaves if isinstance(passed, Backward) else ():
                if leaf.value is update.value:
                    before = 0 if leaf.before is None else leaf.before
                    return np.asarray(before + leaf.gradient)
        return None

    def remarks(self) -> list[Remark]:
        """What a teacher would point at: saturated units, gradients that were not zeroed, …"""
        return remarks(self)

    def loss(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The value that the last backward began from, and the same after the updates behind it."""
        if not self.backwards or self.backwards[-1].root is None:
            return None, None
        root = self.backwards[-1].root
        behind = self.events[self.events.index(self.backwards[-1]) :]
        updates = {u.value: u.after for u in behind if isinstance(u, Update)}
        return root.data, self.run_again(root, updates) if updates else None

    def explain(self, name: str, index: Any = None) -> _text.Text:
        """One entry of a parameter, an input or a layer's value: every term of it.

        name   as in the walkthrough, such as "dense1.weight" or "tanh1"; of a parameter that was
               updated several times the last
        index  an entry, such as 3 or (0, 2); may be left out where there is but one

        ValueError for an unknown name, IndexError for an entry that isn't there.
        """
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
            raise IndexError(
                f"explain: {name} has shape {shape}; give an entry of it, such as "
                f"{tuple(n - 1 for n in shape)}, not {index!r}"
            ) from None
        return _text.explain(self, value, at)

    def save(self, path: Any) -> None:
        """Write a page (.html), Markdown (.md), text (.txt) or the graph alone (.svg).

        ValueError for another ending; OSError for a path that can't be written, where nothing has
        been changed.
        """
        path = Path(path)
        kinds = {
            ".html": self._page,
            ".md": lambda: _text.markdown(self),
            ".txt": lambda: str(self),
            ".svg": lambda: _story.graph(self),
        }
        if path.suffix not in kinds:
            raise ValueError(
                f"save: the name must end in {', '.join(kinds)}, which says what is written; got "
                f"{str(path)!r}"
            )
        text = kinds[path.suffix]()
        try:
            path.write_bytes(text.encode("utf-8", "replace"))
        except OSError as error:
            raise type(error)(
                f"save: {str(path)!r} can't be written ({error.strerror}); give a name in a folder "
                "that exists and is yours"
            ) from None

    def _page(self) -> str:
        from minidl.viz.page import page

        return page(self)

    def __str__(self) -> str:
        return _text.text(self)

    def __repr__(self) -> str:
        kinds = (self.ops, "op"), (self.backwards, "backward pass"), (self.updates, "update")
        counts = (
            f"{len(them)} {word}" + ("es" if word[-1] == "s" else "s") * (len(them) != 1)
            for them, word in kinds
        )
        return f"Walkthrough({', '.join(counts)}; print it, or .save('walk.html'))"

    def _repr_html_(self) -> str:
        from minidl.viz.page import frame

        return frame(self)
