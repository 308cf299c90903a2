"""Update rules: one class each, which states the paper's equations and whose loop is a kernel.

θ is a parameter, g the gradient of the loss by it, η the rate, t the number of the update, from 1.
All is entry by entry. `lr` is a number or a schedule; the first update uses schedule(0). Before
each rule's own equations come the common ones (`COMMON`). They are part of the docstrings, and a
walkthrough puts the numbers in for the letters.
"""

from __future__ import annotations

import copy
import functools
import inspect
import numbers
import textwrap
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl._kernels import optim as kernels
from minidl._observer import active
from minidl.optim import parameters as _parameters
from minidl.optim.parameters import Group
from minidl.schedulers import Schedule, check_resumable, resumed

LARGEST = 1e10  # of any option: products with each other and with weights are finite in float32
Check = Callable[[str, str, Any], Any]  # (rule, option's name, value) → the value to use, or raises


def _within(high: float = LARGEST, **bounds: Any) -> Check:
    return functools.partial(_checks.number, high=high, **bounds)


def _betas(rule: str, name: str, value: Any) -> tuple[float, float]:
    expected = f"{rule}: {name} must be two numbers (β₁, β₂), each ≥ 0 and < 1, got {value!r}"
    if not isinstance(value, tuple | list):
        raise TypeError(expected)
    if len(value) != 2:
        raise ValueError(expected)
    return _share(rule, f"{name}[0]", value[0]), _share(rule, f"{name}[1]", value[1])


def _rate(rule: str, name: str, value: Any) -> float | Schedule:
    if isinstance(value, Schedule):
        return value
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f"{rule}: {name} must be a finite number ≥ 0 and ≤ {LARGEST:g} or a schedule, such as "
            f"schedulers.CosineDecay(0.1, 1000), got {value!r}"
        )
    return _number(rule, name, value)


COMMON = """
    g ← −g              if maximize
    g ← g + λθ          if λ > 0 and not decoupled
    θ ← (1 − ηλ)θ       if λ > 0 and decoupled
"""
# what the letters of the equations stand for: options, and state with a longer name
SYMBOLS = {"η": "lr", "λ": "weight_decay", "ε": "eps", "α": "alpha", "β": "beta", "ρ": "rho"}
SYMBOLS |= {"μ": "momentum", "τ": "dampening", "ψ": "momentum_decay", "p": "lr_power"}
SYMBOLS |= {"β₁": "betas", "β₂": "betas", "λ₁": "l1", "λ₂": "l2", "ḡ": "g_mean", "Π": "mu_product"}
_flag, _number, _positive = _checks.flag, _within(), _within(above=True)
_share = _within(high=1, below=True)  # in [0, 1)


class Optimizer:
    """What all rules share: parameters in groups, options, the rate, the state, the step.

    params        tensors, (name, tensor) pairs, a Module, or a list of dicts {"params": …,
                  "lr": …, …}, one a group, whose options override the rule's. A tensor given
                  twice counts once
    lr            the rate η ≥ 0, a number or a schedule
    weight_decay  λ ≥ 0: g ← g + λθ
    maximize      go up the gradient: g ← −g

    A rule is what it `adds` to which others, for the family tree; its `equations`, each with the
    condition under which it holds; its `options`, for each
    the default and the check; its `slots`, the names of its state arrays, for each the option that
    switches it on, or None; its `start`, the options that slots start from, if not from 0; its
    `scalars`, state that is one float64 for a parameter, and what each starts from; and its
    `update`, a kernel call.

    TypeError for params of the wrong kind and options that are unknown or of the wrong type;
    ValueError for options out of range, no parameters, or a parameter in two groups.
    """

    options: dict[str, tuple[Any, Check]] = {
        "lr": (1e-2, _rate),
        "weight_decay": (0.0, _number),
        "maximize": (False, _flag),
    }
    adds: dict[str, str] = {}  # the rules it grew out of, and what it added or took over
    equations = ""
    symbols = SYMBOLS
    decoupled = False  # whether weight decay shrinks θ instead of joining g
    slots: dict[str, str | None] = {}
    start: dict[str, str] = {}
    scalars: dict[str, float] = {}
    kept: tuple[str, ...] = ()  # the names of slots and scalars
    # update(group, lr, t, w, g, *slots, *scalars): update parameters in place. All but t are lists
    # of arrays, None for a slot that is switched off; t is the number of these parameters' updates,
    # from 1, and their scalars are equal
    update: Callable[..., None]

    def __init_subclass__(cls) -> None:
        """Complete the options with those of the rule above, show them and the equations."""
        above = super(cls, cls).options  # type: ignore[misc]
        own = vars(cls).get("options", {})
        cls.options = {name: {**above, **own}[name] for name in ("lr", *own, *above)}
        cls.kept = (*cls.slots, *cls.scalars)
        if "equations" in vars(cls) and cls.__doc__:
            first, _, rest = cls.__doc__.partition("\n")
            lines = textwrap.indent(textwrap.dedent(cls.equations).strip("\n"), 8 * " ")
            cls.__doc__ = f"{first}\n\n{lines}\n{rest}"
        parameter, keyword = inspect.Parameter, inspect.Parameter.KEYWORD_ONLY
        cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                parameter("params", parameter.POSITIONAL_OR_KEYWORD),
                parameter("lr", parameter.POSITIONAL_OR_KEYWORD, default=cls.options["lr"][0]),
            ]
            + [
                parameter(name, keyword, default=default)
                for name, (default, _) in cls.options.items()
                if name != "lr"
            ]
        )

    def __init__(
        self, params: Any, lr: Any = inspect.Parameter.empty, *more: Any, **options: Any
    ) -> None:
        if not hasattr(self, "update"):
            raise TypeError("Optimizer is what the rules share: take one of them, such as Adam")
        if more:
            raise TypeError(
                f"{type(self).__name__}: only params and lr are positional; give options by name, "
                f"such as {list(self.options)[1]}=…, got {', '.join(map(repr, more))}"
            )
        self.t = 0
        self.groups: list[Group] = []
        # for each group a dict of lists, one entry a parameter: t, and what `slots` and `scalars`
        # name. A kernel takes such a list.
        self._columns: list[dict[str, list[Any]]] = []
        self._names: dict[Any, str] = {}
        given = options if lr is inspect.Parameter.empty else {"lr": lr, **options}
        for group in _parameters.groups(type(self).__name__, params):
            self._add(given, group)
        if not any(p.requires_grad for p in self._params()):
            raise ValueError(
                f"{type(self).__name__}: no parameter requires a gradient, so nothing would be "
                "learned. Make them with Tensor(…, requires_grad=True)."
            )

    def _add(self, given: dict[str, Any], group: dict[str, Any]) -> None:
        """Add one group: its parameters, its options checked, and its slots at their start."""
        rule = type(self).__name__
        if "params" not in group:
            raise ValueError(f'{rule}: a group needs "params", got only {", ".join(group)}')
        tensors = _parameters.tensors(rule, group["params"])
        own = {name: value for name, value in group.items() if name != "params"}
        chosen = self._checked({**given, **own}, tensors)
        taken = set(self._params())
        for p, name in tensors.items():
            if p in taken:
                raise ValueError(f"{rule}: {describe(p)} is in two groups; it may be in one")
            if name is not None:
                self._names[p] = name
                p.name = p.name or name
        columns: dict[str, list[Any]] = {"t": [0] * len(tensors)}
        for slot, switch in self.slots.items():
            if not switch or chosen[switch]:
                start = chosen[self.start[slot]] if slot in self.start else 0
                columns[slot] = [np.full(p.shape, start, p.dtype) for p in tensors]
        for name, number in self.scalars.items():
            columns[name] = [np.array([number]) for _ in tensors]
        self.groups.append(Group(type(self), {"params": list(tensors), **chosen}))
        self._columns.append(columns)

    def _params(self) -> Iterator[Any]:
        return (p for group in self.groups for p in group.params)

    @property
    def state(self) -> dict[Any, MappingProxyType[str, Any]]:
        """For each parameter the number t of its updates and its state arrays, to look at."""
        return {
            p: MappingProxyType({name: column[i] for name, column in columns.items()})
            for group, columns in zip(self.groups, self._columns, strict=True)
            for i, p in enumerate(group.params)
        }

    @classmethod
    def _checked(cls, given: dict[str, Any], params: Any) -> dict[str, Any]:
        """All options as they will be used; TypeError or ValueError for one that can't be."""
        rule = cls.__name__
        if unknown := given.keys() - cls.options.keys():
            raise TypeError(
                f"{rule}: unknown option {', '.join(sorted(unknown))}; there are "
                f"{', '.join(cls.options)}"
            )
        chosen = {
            name: check(rule, name, given.get(name, default))
            for name, (default, check) in cls.options.items()
        }
        with np.errstate(under="ignore"):
            for p in params if "eps" in chosen else ():
                if p.dtype.type(chosen["eps"]) == 0:
                    raise ValueError(
                        f"{rule}: eps={chosen['eps']} would be 0 in {p.dtype}, the dtype of "
                        f"{describe(p)}"
                    )
        return chosen

    def step(self) -> None:
        """Apply the rule once to every parameter that has a gradient.

        Everything is checked first: after an error (no gradient at all; one of another shape or
        dtype; data that is read-only) nothing has changed.
        """
        work = []
        for group, columns in zip(self.groups, self._columns, strict=True):
            lr = self.rate(group)
            for places, params, g, state in self._batches(group.params, columns):
                w = [p.data for p in params]
                if not kernels.ready(w, g):
                    g = [self._gradient(p) for p in params]
                work.append((group, lr, columns["t"], places, params, w, g, state))
        if not work:
            raise RuntimeError(
                f"{type(self).__name__}.step: no parameter has a gradient. Call loss.backward() "
                "first, on a loss that depends on these parameters."
            )
        if observer := active.get():
            observer.begin_step(self)
        self.t += 1
        for group, lr, ages, places, params, w, g, state in work:
            t = ages[places[0]] + 1
            self.update(group, lr, t, w, g, *map(state.get, self.kept))
            for i in places:
                ages[i] = t
            for p in params:
                p.version += 1
        if observer := active.get():
            observer.end_step(self)

    def _batches(self, params: list[Any], columns: dict[str, list[Any]]) -> list[tuple]:
        """(places, parameters, gradients, state), those of one t and equal scalars at a time."""
        g = [p.grad if p.requires_grad else None for p in params]
        ready = [i for i, gradient in enumerate(g) if gradient is not None]
        ages = columns["t"]
        if self.scalars:
            kept = [[x.item() for x in columns[name]] for name in self.scalars]
            ages = list(zip(ages, *kept, strict=True))
        if len(ready) == len(ages) == ages.count(ages[0]):  # as a rule
            return [(ready, params, g, columns)]
        batches = []
        for age in dict.fromkeys(ages[i] for i in ready):
            some = [i for i in ready if ages[i] == age]
            state = {name: [column[i] for i in some] for name, column in columns.items()}
            batches.append((some, [params[i] for i in some], [g[i] for i in some], state))
        return batches

    def _gradient(self, p: Any) -> np.ndarray:
        """The gradient as a kernel takes it, after a check."""
        self._check_step(p, p.grad, p.data.shape)
        return np.require(p.grad, requirements=["C", "ALIGNED"])

    def _check_step(self, p: Any, g: Any, shape: tuple[int, ...], method: str = "step") -> None:
        """TypeError or ValueError unless g can update p in place."""
        w, call = p.data, f"{type(self).__name__}.{method}"
        if not isinstance(g, np.ndarray) or g.dtype != w.dtype:
            came = g.dtype if isinstance(g, np.ndarray) else f"a {type(g).__name__}"
            raise TypeError(
                f"{call}: the gradient of {describe(p)} must be a NumPy array of its dtype, "
                f"{w.dtype}, got {came}"
            )
        if g.shape != shape:
            raise ValueError(
                f"{call}: the gradient of {describe(p)} has shape {g.shape}; it must have {shape}"
            )
        if not (w.flags.writeable and w.flags.c_contiguous):
            raise ValueError(
                f"{call}: the data of {describe(p)} is read-only or not contiguous, so it "
                "can't be updated in place. Assign a copy: p.data = p.data.copy()."
            )

    def rate(self, group: Group) -> float:
        if not isinstance(group.lr, Schedule):
            return group.lr
        return _number(type(self).__name__, f"lr of step {self.t}", group.lr(self.t))

    @property
    def lr(self) -> float:
        """The rate of the next step (of the first group); assigning sets it in every group."""
        return self.rate(self.groups[0])

    @lr.setter
    def lr(self, value: Any) -> None:
        for group in self.groups:
            group["lr"] = value

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.groups:
            for p in group.params:
                p.grad = None

    def _named(self) -> dict[Any, str]:
        found = {p: self._names.get(p) for p in self._params()}
        return _parameters.names(found, [group.params for group in self.groups])

    def state_dict(self) -> dict[str, Any]:
        """A deep copy of rule, step count, groups' options and state, keyed by parameter name.

        Where names are not unique, the group's number goes before them ("0.dense1.weight"); where
        there are none, positions stand for them.
        """
        names = self._named()
        return copy.deepcopy(
            {
                "rule": type(self).__name__,
                "t": self.t,
                "groups": [{**g, "params": [names[p] for p in g.params]} for g in self.groups],
                "state": {names[p]: dict(state) for p, state in self.state.items()},
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state: step count, options and slots, matched by parameter name.

        A ReduceOnPlateau that the optimizer already has takes over the memory of the saved one.
        ValueError or TypeError for another rule, other names, groups, slots, shapes, dtypes or
        options that can't be, or another schedule than one with a memory; nothing has been
        changed then.
        """
        rule, own = type(self).__name__, _outline(self.state_dict())
        try:
            new = _outline(state)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{rule}: this is no state_dict of an optimizer: {error!r}") from None
        for thing in own | new:
            if own.get(thing) != new.get(thing):
                raise ValueError(
                    f"{rule}: the {thing} of the state is {new.get(thing, 'missing')}, but the "
                    f"optimizer's is {own.get(thing, 'missing')}"
                )
        groups = [{k: v for k, v in g.items() if k != "params"} for g in state["groups"]]
        groups = copy.deepcopy(groups)
        for group, options in zip(self.groups, groups, strict=True):
            group._accepted(options)
            check_resumable(rule, group.lr, options["lr"])
        self.t = state["t"]
        for group, options in zip(self.groups, groups, strict=True):
            group.update({**options, "lr": resumed(group["lr"], options["lr"])})
        names = self._named()
        for group, columns in zip(self.groups, self._columns, strict=True):
            saved = [state["state"][names[p]] for p in group.params]
            for name in columns:
                values = [s[name] for s in saved]
                columns[name] = values if name == "t" else [np.array(v, order="C") for v in values]

    def __repr__(self) -> str:
        lines = []
        for group in self.groups:
            options = ", ".join(f"{k}={v!r}" for k, v in group.items() if k != "params")
            size = sum(p.size for p in group.params)
            lines.append(f"{options})  # {size:,} parameter{'s' * (size != 1)}")
        return "\n".join(f"{type(self).__name__}({line}, step {self.t}" for line in lines)


def _outline(state: dict[str, Any]) -> dict[str, Any]:
    """What of a state dict must agree with the optimizer that loads it."""
    rule = state["rule"]
    outline = {"rule": rule, "number of groups": len(state["groups"])}
    outline["list of parameters"] = sorted(state["state"])
    _checks.count(rule, "t", state["t"], low=0)
    for i, group in enumerate(state["groups"]):
        outline[f"group {i}"] = sorted(group["params"])
        outline[f"options of group {i}"] = sorted(group)
    for name, slots in state["state"].items():
        _checks.count(rule, f"t of {name}", slots["t"], low=0)
        for slot in slots.keys() - {"t"}:
            outline[f"slot {slot} of {name}"] = slots[slot].shape, str(slots[slot].dtype)
    return outline
