"""Optimizer, the base of all update rules: groups, rates, state and the step.

θ is a parameter, g the gradient of the loss with respect to it, η the rate, t the number of the
update, from 1. All operations are elementwise. `lr` is a number or a schedule; the first update
uses schedule(0). The common equations (`COMMON`) come before each rule's own. They are part of the
docstrings, and a walkthrough evaluates them with numbers.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import InitVar
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl._format import printable, printed
from minidl._kernels import atomic
from minidl._kernels import optim as kernels
from minidl._observer import active
from minidl.optim import declarations, parameters, python_rules
from minidl.optim.declarations import LARGEST, Declared, LearningRate, learning_rate, option
from minidl.optim.parameters import Arrays as Arrays  # also for users' rules
from minidl.optim.parameters import Batch, Change, Constants, Group, Params, Updates
from minidl.optim.saved import copied, outline, step_count
from minidl.schedulers import Schedule, check_resumable, memories, resumed
from minidl.tensor import Tensor, clear_grads

COMMON = """
    g ← −g              if maximize
    g ← g + λθ          if λ > 0 and not decoupled
    θ ← (1 − ηλ)θ       if λ > 0 and decoupled
"""
# the options and state variables that the symbols of the equations stand for
SYMBOLS = {"η": "lr", "λ": "weight_decay", "ε": "eps", "α": "alpha", "β": "beta", "ρ": "rho"}
SYMBOLS |= {"μ": "momentum", "τ": "dampening", "ψ": "momentum_decay", "p": "lr_power"}
SYMBOLS |= {"β₁": "betas", "β₂": "betas", "λ₁": "l1", "λ₂": "l2", "ḡ": "g_mean", "Π": "mu_product"}


OWN = {"t", "groups", "names", "_columns", "_turns"}  # attributes that are no options


@printed
class Optimizer(Declared):
    """The base of all update rules: parameters in groups, options, the rate, the state, the step.

    params        tensors, (name, tensor) pairs, a Module, or a list of dicts {"params": …,
                  "lr": …, …}, one per group, whose options override the rule's. A tensor given
                  twice counts once
    lr            the rate η ≥ 0, a number or a schedule
    weight_decay  λ ≥ 0: g ← g + λθ
    maximize      maximize the loss: g ← −g

    Every option is an attribute: reading it gives the value of the first group (of lr: the rate of
    the next step), assigning sets it in every group. A captured step takes the new value over.

    TypeError for params of the wrong kind and options that are unknown or of the wrong type;
    ValueError for options out of range, no parameters, or a parameter in two groups.

    A rule is a subclass that declares its options and its state and defines `update`, which changes
    theta and the state in place. theta, g and each slot are lists with one array per parameter; a
    slot that is switched off is None. They are copies, and weight_decay and maximize are applied
    already (`group` has them switched off); the step takes the results over once every `update` has
    returned. RuntimeError for an `update` that changes nothing although the gradient would move a
    weight; one that skips a step on purpose returns False.

    >>> class Sign(dl.optim.Optimizer):
    ...     equations = '''
    ...         m ← βm + (1 − β)g
    ...         θ ← θ − η sgn(m)
    ...     '''
    ...     beta: float = dl.optim.option(dl.optim.fraction, default=0.9)
    ...     slots = {"m": dl.optim.Slot()}
    ...
    ...     def update(self, group, lr, t, theta, g, m):
    ...         for theta_i, g_i, m_i in zip(theta, g, m):
    ...             m_i[...] = group.beta * m_i + (1 - group.beta) * g_i
    ...             theta_i -= lr * np.sign(m_i)
    >>> w = dl.Tensor([1.0, -1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Sign([w], lr=0.25).step()
    >>> w.data
    array([ 0.75, -0.75], dtype=float32)
    """

    params: InitVar[Params] = declarations.required(kw_only=False)
    lr: LearningRate = learning_rate(default=1e-2, kw_only=False)
    weight_decay: float = option(declarations.number, default=0.0)
    maximize: bool = option(declarations.flag, default=False)

    adds: ClassVar[dict[str, str]] = {}  # for the family tree: each parent rule, and what is new
    equations: ClassVar[str] = ""  # one per line; "if …" states when it applies
    symbols: ClassVar[dict[str, str]] = SYMBOLS
    decoupled: ClassVar[bool] = False  # whether weight decay shrinks θ instead of adding to g
    scalars: ClassVar[dict[str, float]] = {}  # float64 state of a parameter, and its first value
    state_names: ClassVar[tuple[str, ...]] = ()  # of slots and scalars, in the order of `update`
    idle_at_rate_0: ClassVar[bool] = False  # whether a step at a rate of 0 counts as no update
    in_python: ClassVar[bool] = True  # whether the rule is an `update`; else it is a `kernel`
    whole: ClassVar[bool] = True  # whether a captured step calls `step`, not just the kernel
    incomplete: str = ""  # why the state is not to be used: it is in parts, on several processes
    kernel: ClassVar[kernels.Rule]  # of (theta, g, *slots)
    _constants: ClassVar[Callable[..., Constants]]  # (self, group, lr, t): those of the kernel

    def _kernel_updates(
        self, group: Group, lr: float, t: int, theta: Arrays, g: Arrays, *state: Any
    ) -> Updates:
        """The kernel's updates, ready to run; [] for a step that counts as no update.

        state has the slots and scalars; t and the scalars are equal for all arrays.
        """
        return [self.kernel.prepare((theta, g, *state), *self._constants(group, lr, t))]

    _prepare: ClassVar[Callable[..., Updates]] = _kernel_updates

    def _run(self, *batch: Any) -> None:
        """Run the rule's kernel at once, as super().update(…) in a subclass does."""
        kernels.commit([*self._prepare(*batch)], ())

    update: ClassVar[Callable[..., Any]] = _run

    def __init_subclass__(cls) -> None:
        """Complete the declarations, and put the equations into the docstring."""
        super().__init_subclass__()
        cls.state_names = (*cls.slots, *cls.scalars)
        names = (
            name for base in cls.__mro__ for name in ("update", "kernel") if name in vars(base)
        )
        cls.in_python = next(names) == "update"
        cls.whole = cls.in_python or cls._prepare is not Optimizer._prepare
        if "equations" in vars(cls) and cls.__doc__:
            first, _, rest = cls.__doc__.partition("\n")
            lines = textwrap.indent(textwrap.dedent(cls.equations).strip("\n"), 8 * " ")
            cls.__doc__ = f"{first}\n\n{lines}\n{rest}"

    def __init__(
        self, params: Params, lr: Any = inspect.Parameter.empty, *more: Any, **options: Any
    ) -> None:
        rule = type(self).__name__
        if self.in_python and type(self).update is Optimizer.update:
            raise TypeError(
                f"{rule} has no update: use a rule such as Adam, or define update(self, ...)"
            )
        if more:
            raise TypeError(
                printable(
                    f"{rule}: only params and lr are positional; give options by name, such as "
                    f"{list(self.options)[1]}=…, got {', '.join(map(repr, more))}"
                )
            )
        self.t = 0  # steps taken
        self.groups: list[Group] = []
        self.names: dict[Tensor, str] = {}  # of the parameters that were given with a name
        # for each group, by name: t and the state of each parameter
        self._columns: list[dict[str, list[Any]]] = []
        self._turns = kernels.Turns(
            f"{rule}: another call is changing this optimizer, in another thread or around this "
            "one. Give each thread an optimizer of its own, or use a lock."
        )
        given = options if lr is inspect.Parameter.empty else {"lr": lr, **options}
        for group in parameters.groups(rule, params):
            self._add(given, group)
        if not any(p.requires_grad for p in self._params()):
            raise ValueError(
                f"{rule}: no parameter requires a gradient, so nothing would be learned. Make "
                "parameters with Tensor(..., requires_grad=True)."
            )
        atomic.assign((p, "name", p.name or name) for p, name in self.names.items())

    def __setattr__(self, name: str, value: Any) -> None:
        """Set t or an option; AttributeError for what minidl's own rules don't have."""
        if name == "t":
            if observer := active.get():
                observer.sets("t")
            value = step_count(type(self).__name__, "t", value)
        elif not (name in OWN or hasattr(type(self), name)) and self.__module__.startswith(
            "minidl."
        ):
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}; its options are {', '.join(self.options)}."
                f"{_checks.nearest(name, self.options)}"
            )
        super().__setattr__(name, value)

    def _add(self, given: dict[str, Any], group: dict[str, Any]) -> None:
        """Add one group: check its parameters and options, allocate its state."""
        rule = type(self).__name__
        _checks.dictionary(rule, "a group", group)
        if "params" not in group:
            raise ValueError(f'{rule}: a group needs "params", got only {", ".join(group)}')
        tensors = parameters.tensors(rule, group["params"])
        own = {name: value for name, value in group.items() if name != "params"}
        chosen = self.check_options({**given, **own}, tensors)
        taken = set(self._params())
        for p, name in tensors.items():
            if p in taken:
                raise ValueError(f"{rule}: {describe(p)} is in two groups; it may be in one")
            if name is not None:
                self.names[p] = name
        columns: dict[str, list[Any]] = {"t": [0] * len(tensors)}
        for name, slot in self.slots.items():
            if slot.when is None or chosen[slot.when]:
                start = chosen[slot.start] if slot.start else 0
                columns[name] = [_filled(p, start) for p in tensors]
        for name, number in self.scalars.items():
            columns[name] = [np.array([number]) for _ in tensors]
        self.groups.append(Group(type(self), {"params": list(tensors), **chosen}))
        self._columns.append(columns)

    def _params(self) -> Iterator[Tensor]:
        return (p for group in self.groups for p in group.params)

    @property
    def state(self) -> dict[Tensor, Mapping[str, Any]]:
        """For each parameter the number t of its updates and its state arrays, by name."""
        return {
            p: MappingProxyType({name: column[i] for name, column in columns.items()})
            for group, columns in zip(self.groups, self._columns, strict=True)
            for i, p in enumerate(group.params)
        }

    def rate(self, group: Group, ahead: int = 0) -> float:
        """The rate of the group's next step, or of one that is `ahead` of it."""
        if not isinstance(group, Group):
            raise TypeError(
                f"{type(self).__name__}.rate takes a group, such as optimizer.groups[0], "
                f"got {group!r}"
            )
        lr: float | Schedule = group.lr
        if isinstance(lr, Schedule):
            t = self.t + ahead
            return _checks.number(type(self).__name__, f"lr of step {t}", lr(t), high=LARGEST)
        return lr

    def step(self) -> None:
        """Apply the rule once to every parameter that has a gradient.

        Everything is checked and allocated first; then one call that no signal can split changes
        parameters, state and counts. After an error (no gradient at all; one of another shape or
        dtype; data that is read-only; another thread in a step) nothing has changed.

        `dl.capture` replays a whole training step, this one included, without Python.
        """
        if self.incomplete:
            raise RuntimeError(f"{type(self).__name__}.step: {self.incomplete}")
        if (observer := active.get()) and self.whole and observer.takes_over(self.step):
            return
        turn = self._turns.begin()
        counts = [columns["t"].copy() for columns in self._columns]
        batches = [
            batch
            for group in zip(self.groups, self._columns, counts, strict=True)
            for batch in self._batches(*group)
        ]
        if not batches:
            raise RuntimeError(
                f"{type(self).__name__}.step: no parameter has a gradient. Call "
                "loss.backward() first. If you did, these parameters are not the model's: the "
                "loss depends on others, such as those of a copy of the model."
            )
        updates: list[Any] = []
        done = []
        changes: list[Change] = [(vars(self), "t", self.t + 1)]
        changes += zip(self._columns, itertools.repeat("t"), counts)
        for batch in batches:
            if self.in_python:
                made, options = python_rules.results(self, turn, batch)
                changes += options
            else:
                group, lr, t, _, _, _, theta, g, state = batch
                made = self._prepare(group, lr, t, theta, g, *state)
            updates += made
            done.append((batch, made))
            changes += [(p, "version", p.version + 1) for p in batch.params]
            for i in batch.indices if made else ():
                batch.counts[i] = batch.t
        if observer:
            observer.begin_step(self)
        self._turns.commit(turn, updates, changes)
        if observer:
            observer.end_step(self, done)

    def _batches(
        self, group: Group, columns: dict[str, list[Any]], counts: list[int]
    ) -> Iterator[Batch]:
        """The parameters with a gradient, in batches of equal step count and scalars."""
        lr, step, observer = self.rate(group), f"{type(self).__name__}.step", active.get()
        keys: list[Any] = columns["t"]
        if self.scalars:
            scalars = ([x.item() for x in columns[name]] for name in self.scalars)
            keys = list(zip(keys, *scalars, strict=True))
        batches: dict[Any, list[int]] = {}  # indices of parameters, by key
        grads = [observer.grad(p) if observer else p.grad for p in group.params]
        for i, p in enumerate(group.params):
            if p.requires_grad and grads[i] is not None:
                batches.setdefault(keys[i], []).append(i)
        for indices in batches.values():
            params = [group.params[i] for i in indices]
            theta, g = [p._data for p in params], [grads[i] for i in indices]
            if not kernels.ready(theta, g):
                grads_of = zip(params, g, strict=True)
                g = [self._checked_gradient(step, p, g_p, p.shape) for p, g_p in grads_of]
            state = [
                [columns[name][i] for i in indices] if name in columns else None
                for name in self.state_names
            ]
            t = columns["t"][indices[0]] + 1
            yield Batch(group, lr, t, indices, counts, params, theta, g, state)

    def _checked_gradient(
        self, method: str, p: Tensor, g: Any, shape: tuple[int, ...]
    ) -> np.ndarray:
        """g in the form of a kernel; TypeError or ValueError unless p can be updated with it."""
        theta = p._data
        if not isinstance(g, np.ndarray) or g.dtype != theta.dtype:
            given = g.dtype if isinstance(g, np.ndarray) else f"a {type(g).__name__}"
            raise TypeError(
                f"{method}: the gradient of {describe(p)} must be a NumPy array of its dtype, "
                f"{theta.dtype}, got {given}"
            )
        if g.shape != shape:
            raise ValueError(
                f"{method}: the gradient of {describe(p)} has shape {g.shape}; it must have {shape}"
            )
        if not theta.flags.carray:
            raise ValueError(
                f"{method}: the data of {describe(p)} is read-only or not contiguous, so it "
                "can't be updated in place. Assign a copy: p.data = p.data.copy()."
            )
        return g if g.flags.c_contiguous and g.flags.aligned else g.copy()

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None."""
        clear_grads(self._params())

    def _unique_names(self) -> dict[Tensor, str]:
        found = {p: self.names.get(p) for p in self._params()}
        return parameters.unique_names(found, [group.params for group in self.groups])

    def state_dict(self) -> dict[str, Any]:
        """A deep copy of rule, step count, groups' options and state, keyed by parameter name.

        Where names are not unique, they are prefixed by the number of the group
        ("0.dense1.weight"); parameters without names are keyed by position.
        """
        if self.incomplete:
            raise RuntimeError(f"{type(self).__name__}.state_dict: {self.incomplete}")
        names = self._unique_names()
        turn = self._turns.begin()
        state = copy.deepcopy(
            {
                "rule": type(self).__name__,
                "t": self.t,
                "groups": [{**g, "params": [names[p] for p in g.params]} for g in self.groups],
                "state": {names[p]: dict(state) for p, state in self.state.items()},
            }
        )
        self._turns.check(turn)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state: step count, options and slots, matched by parameter name.

        A ReduceOnPlateau that the optimizer already has takes over the memory of the saved one.
        ValueError or TypeError for another rule, other names, groups, slots, shapes, dtypes or
        invalid options, or if a schedule with a memory would be replaced by another schedule;
        nothing has changed then. Everything is converted, copied and checked before one call that
        no signal can split changes the optimizer.
        """
        turn = self._turns.begin()
        self._turns.commit(turn, [], self._changes(state))

    def _changes(self, state: dict[str, Any]) -> list[Change]:
        """What load_state_dict assigns, after all checks."""
        rule, names = type(self).__name__, self._unique_names()
        try:
            t, groups, slots = copied(rule, state)
            given = outline(state["rule"], groups, slots)
        except (AttributeError, LookupError, TypeError) as error:
            text = str(error).removeprefix(f"{rule}: ")
            raise ValueError(
                f"{rule}: this is not the state_dict of an optimizer: "
                f"{text if text != str(error) else repr(error)}"
            ) from None
        own = outline(
            rule,
            [{**g, "params": [names[p] for p in g.params]} for g in self.groups],
            {names[p]: state for p, state in self.state.items()},
        )
        for entry in own | given:
            if own.get(entry) != given.get(entry):
                raise ValueError(
                    f"{rule}: the {entry} of the state is {given.get(entry, 'missing')}, but "
                    f"the optimizer's is {own.get(entry, 'missing')}"
                )
        changes: list[Change] = [(vars(self), "t", t), (vars(self), "incomplete", "")]
        for group, columns, saved in zip(self.groups, self._columns, groups, strict=True):
            del saved["params"]
            check_resumable(rule, group.lr, saved["lr"])
            options = group.checked(saved)
            options["lr"] = resumed(group.lr, saved["lr"])
            changes += memories(group.lr, saved["lr"])
            changes += [(vars(group), name, value) for name, value in options.items()]
            for name in columns:
                changes.append((columns, name, [slots[names[p]][name] for p in group.params]))
        return changes

    def __repr__(self) -> str:
        lines = []
        for group in self.groups:
            options = ", ".join(f"{k}={v!r}" for k, v in group.items() if k != "params")
            size = sum(p.size for p in group.params)
            lines.append(f"{options})  # {size:,} parameter{'s' * (size != 1)}")
        return "\n".join(f"{type(self).__name__}({line}, step {self.t}" for line in lines)


def _filled(p: Tensor, start: float) -> np.ndarray:
    """An array of the shape of a parameter; zeros take no memory before they are used."""
    return np.full(p.shape, start, p.dtype) if start else np.zeros(p.shape, p.dtype)
