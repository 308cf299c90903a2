"""What an update rule declares: its options and its state, for readers and writers of rules.

    class Momentum(Optimizer):
        beta: float = option(fraction, default=0.9)
        slots = {"v": Slot()}

An option is an annotated class attribute: its name, its type, its default, and the check that a
given value must pass. Editors and type checkers derive the constructor's parameters from these
declarations (`typing.dataclass_transform`); at run time they make the signature.
"""

from __future__ import annotations

import functools
import inspect
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, dataclass_transform, overload

import numpy as np

from minidl import _checks
from minidl._checks import Check, describe
from minidl._format import printable
from minidl._kernels import atomic
from minidl._observer import active
from minidl.schedulers import Schedule
from minidl.tensor import Tensor

LARGEST = 1e10  # of any option: products with each other and with weights are finite in float32


# --- checks -------------------------------------------------------------------------------------


def within(
    high: float = LARGEST, *, low: float = 0.0, above: bool = False, below: bool = False
) -> Check:
    """The check for a finite number in [low, high]; `above` and `below` exclude low and high.

    >>> dl.optim.within(high=1)("Mine", "share", 0.5)
    0.5
    """
    return functools.partial(_checks.number, low=low, high=high, above=above, below=below)


number, positive, flag = within(), within(above=True), _checks.flag
fraction = within(high=1, below=True)  # in [0, 1)


def two_fractions(rule: str, name: str, value: Any) -> tuple[float, float]:
    """The check for a pair of decay rates (β₁, β₂)."""
    expected = printable(
        f"{rule}: {name} must be two numbers (β₁, β₂), each ≥ 0 and < 1, got {value!r}"
    )
    if not isinstance(value, tuple | list):
        raise TypeError(expected)
    if len(value) != 2:
        raise ValueError(expected)
    return fraction(rule, f"{name}[0]", value[0]), fraction(rule, f"{name}[1]", value[1])


def rate(rule: str, name: str, value: Any) -> float | Schedule:
    """The check for a learning rate: a number or a schedule."""
    if isinstance(value, Schedule):
        return value
    if not isinstance(value, numbers.Real):
        raise TypeError(
            printable(
                f"{rule}: {name} must be a finite number ≥ 0 and ≤ {LARGEST:g} or a schedule, "
                f"such as schedulers.CosineDecay(0.1, 1000), got {value!r}"
            )
        )
    return _checks.number(rule, name, value, high=LARGEST)


# --- declarations -------------------------------------------------------------------------------


class Option:
    """A declared option. Its value is read from the first group, and set in every group."""

    def __init__(self, check: Check, default: Any) -> None:
        self.check, self.default = check, default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.annotation = inspect.get_annotations(owner).get(name, inspect.Parameter.empty)

    def __get__(self, optimizer: Any, owner: type) -> Any:
        if optimizer is None:
            return self
        if observer := active.get():
            observer.reads(vars(optimizer.groups[0]), self.name)
        return self._read(optimizer)

    def _read(self, optimizer: Any) -> Any:
        return optimizer.groups[0][self.name]

    def __set__(self, optimizer: Any, value: Any) -> None:
        if observer := active.get():
            observer.sets(self.name)
        checked = [(vars(group), group.checked({self.name: value})) for group in optimizer.groups]
        atomic.assign([(group, k, v) for group, new in checked for k, v in new.items()])


class LearningRate(Option):
    """The learning rate: given as a number or a schedule, read as the rate of the next step."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.annotation = name, "float | Schedule"

    @overload
    def __get__(self, optimizer: None, owner: type) -> Self: ...
    @overload
    def __get__(self, optimizer: object, owner: type) -> float: ...
    def __get__(self, optimizer: Any, owner: type) -> Any:
        return super().__get__(optimizer, owner)

    def _read(self, optimizer: Any) -> Any:
        return optimizer.rate(optimizer.groups[0])

    def __set__(self, optimizer: Any, value: float | Schedule) -> None:
        super().__set__(optimizer, value)


def option(check: Check, *, default: Any, kw_only: bool = True) -> Any:
    """Declare an option: the check of a given value, and the default.

    check    a function (rule, name, value) that returns the value to use, or raises a TypeError or
             ValueError: `within(high=2)`, `fraction`, `flag`, or your own
    default  the value if none is given; it must pass the check
    kw_only  for type checkers alone; at run time, all but params and lr are keyword-only
    """
    return Option(check, default)


def learning_rate(*, default: float, kw_only: bool) -> Any:
    """Declare lr with the rule's default; kw_only=False, as lr is positional."""
    return LearningRate(rate, default)


class _Required:
    def __set_name__(self, owner: type, name: str) -> None:
        delattr(owner, name)


def required(*, kw_only: bool) -> Any:
    """Declare, for type checkers alone, a parameter of the constructor that has no default."""
    return _Required()


@dataclass(frozen=True)
class Slot:
    """A state array of each parameter, of its shape and dtype.

    when   the option that must be set for the array to exist; if it is not, `update` is given None
    start  the option that gives its first value; 0 if there is none
    """

    when: str | None = None
    start: str | None = None


@dataclass_transform(kw_only_default=True, field_specifiers=(option, learning_rate, required))
class Declared:
    """The base of Optimizer: collects the declarations of each rule, and checks given options."""

    options: ClassVar[dict[str, Option]] = {}  # inherited ones too, in the order of the signature
    slots: ClassVar[dict[str, Slot]] = {}  # by the name of the array
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls) -> None:
        """Collect the options; make the signature: params, lr, own options, inherited ones."""
        found: dict[str, Option] = {}
        others = {"params", "t", "groups", "names"}  # other attributes of optimizers and groups
        others |= {"update", "checked", *dir(Mapping)}
        for base in cls.__mro__:  # the rule itself first; a base may be a mixin
            for name, value in vars(base).items():
                if isinstance(value, Option):
                    found.setdefault(name, value)
                elif base is cls and name in {"options", *cls.options}:
                    raise TypeError(
                        f"{cls.__name__}: {name} is not declared as an option. Declare each "
                        "option as a class attribute: name: type = option(check, default=...)"
                    )
                else:
                    others.add(name)
        if taken := sorted(found.keys() & others):
            raise TypeError(
                f"{cls.__name__}: {taken[0]} can't be an option, since optimizers or groups have "
                "another attribute of this name; choose another name"
            )
        cls.options = {"lr": found["lr"], **found}
        for name, slot in cls.slots.items():
            if unknown := {slot.when, slot.start} - {None, *cls.options}:
                raise TypeError(
                    f"{cls.__name__}: the slot {name!r} names {unknown.pop()!r}, which is not an "
                    f"option; the options are {', '.join(cls.options)}"
                )
        kind = inspect.Parameter
        cls.__signature__ = inspect.Signature(
            [
                kind("params", kind.POSITIONAL_OR_KEYWORD, annotation="Params"),
                *(
                    kind(
                        name,
                        kind.POSITIONAL_OR_KEYWORD if name == "lr" else kind.KEYWORD_ONLY,
                        default=declared.default,
                        annotation=declared.annotation,
                    )
                    for name, declared in cls.options.items()
                ),
            ]
        )

    @classmethod
    def check_options(cls, given: dict[str, Any], params: Iterable[Tensor]) -> dict[str, Any]:
        """The value of every option; TypeError or ValueError for one that can't be used.

        A rule may extend this to check options that depend on each other.
        """
        rule = cls.__name__
        if unknown := sorted(given.keys() - cls.options.keys()):
            raise TypeError(
                f"{rule}: unknown option {', '.join(unknown)}; the options are "
                f"{', '.join(cls.options)}.{_checks.nearest(unknown[0], cls.options)}"
            )
        chosen = {
            name: declared.check(rule, name, given.get(name, declared.default))
            for name, declared in cls.options.items()
        }
        for p in params if "eps" in chosen else ():
            if chosen["eps"] < float(np.finfo(p.dtype).tiny):  # subnormal: 0 to kernels
                raise ValueError(
                    f"{rule}: eps={chosen['eps']} would be 0 in {p.dtype}, the dtype of "
                    f"{describe(p)}"
                )
        return chosen
