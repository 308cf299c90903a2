"""The parameters of an optimizer: the forms in which they are given, and their groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl._format import printable, printed
from minidl._kernels import optim as kernels
from minidl._observer import active
from minidl.optim.declarations import Declared
from minidl.tensor import Tensor


@runtime_checkable
class HasParameters(Protocol):
    """A Module, or any object that lists its parameters by name."""

    def named_parameters(self) -> Iterable[tuple[str, Tensor]]: ...


# of one group: tensors, (name, tensor) pairs, or a Module
GroupParams: TypeAlias = Iterable[Tensor | tuple[str, Tensor]] | HasParameters
# of an optimizer: the same, or groups {"params": …, "lr": …, …}
Params: TypeAlias = GroupParams | Iterable[dict[str, Any]]

Arrays: TypeAlias = list[np.ndarray]  # one for each parameter of a batch
Constants: TypeAlias = tuple[float, ...]  # of a kernel, in its order
Updates: TypeAlias = list[kernels.Update]  # checked, to run in this order
Change: TypeAlias = tuple[Any, Any, Any]  # as for `atomic.assign`


def groups(rule: str, params: Params) -> list[dict[str, Any]]:
    """The groups as they were given; parameters alone are one group."""
    items = _items(rule, params)
    kinds = {isinstance(item, dict) for item in items}
    if kinds == {True, False}:
        raise TypeError(f"{rule}: params mixes groups (dicts) with tensors; use one kind")
    return items if kinds == {True} else [{"params": items}]


def tensors(rule: str, params: GroupParams) -> dict[Tensor, str | None]:
    """The tensors of one group, each once, with the first name given for it."""
    found: dict[Tensor, str | None] = {}
    taken: set[str] = set()
    for item in _items(rule, params):
        name = None
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
            name, item = item
        if not isinstance(item, Tensor):
            advice = "make it one: Tensor(..., requires_grad=True)"
            if isinstance(item, HasParameters):
                advice = f"give the module itself, {rule}(model), or model.parameters()"
            raise TypeError(
                f"{rule}: params holds a {type(item).__name__}, which is not a minidl tensor; "
                f"{advice}"
            )
        if not item.is_leaf:
            raise ValueError(
                f"{rule}: {describe(item)} was computed from other tensors, so it is not a "
                "parameter; give the tensors that it was computed from"
            )
        if item.dtype not in (np.float32, np.float64):
            raise TypeError(f"{rule}: {describe(item)} is {item.dtype}, not float32 or float64")
        if name is not None and item not in found:
            if name in taken:
                raise ValueError(f"{rule}: two parameters are called {name!r}")
            taken.add(name)
        found.setdefault(item, name)
    return found


def unique_names(
    found: Mapping[Tensor, str | None], groups: Iterable[list[Tensor]] = ()
) -> dict[Tensor, str]:
    """A unique name for each tensor: the one given with it, or its own.

    Where these are not unique, they are prefixed by the number of the group; if that doesn't make
    them unique, or a tensor has no name, all names are positions.
    """
    own = {p: str(name or p.name) for p, name in found.items()}
    numbered = {p: f"{i}.{own[p]}" for i, group in enumerate(groups) for p in group}
    for chosen in (own, numbered):
        if all(name or p.name for p, name in found.items()) and len({*chosen.values()}) == len(own):
            return chosen
    return {p: str(i) for i, p in enumerate(found)}


def _items(rule: str, params: Any) -> list[Any]:
    """The items of params: tensors, pairs or groups, not yet checked."""
    if isinstance(params, type):
        raise TypeError(
            printable(f"{rule}: params is a class; make an object of it: {params.__name__}(…)")
        )
    if isinstance(params, Tensor):
        raise TypeError(f"{rule}: params is a single tensor; put it in a list: [tensor]")
    if isinstance(params, HasParameters):
        named = params.named_parameters()
        params = [(name, p) for name, p in named if p.requires_grad or p.dtype.kind == "f"]
    if isinstance(params, str | dict | set | np.ndarray) or not isinstance(params, Iterable):
        raise TypeError(
            f"{rule}: params must be a list of tensors, (name, tensor) pairs or groups, or a "
            f"Module, got {type(params).__name__}"
        )
    items = list(params)
    if not items:
        raise ValueError(
            f"{rule}: there are no parameters. Is it an empty list, a module without parameters, "
            "or a generator that was consumed before? model.parameters() makes a new one."
        )
    return items


@printed
class Group(Mapping[str, Any]):
    """Parameters that share options: a dict whose entries are attributes too.

    An option may be changed later, group.lr = 0.01 or group["lr"] = 0.01; a new value is checked
    like any other.
    """

    def __init__(self, rule: type[Declared], entries: dict[str, Any]) -> None:
        vars(self).update(entries, _rule=rule)

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(f"{self._rule.__name__}: a group has no {name!r}; it has {list(self)}")
        return vars(self)[name]

    if TYPE_CHECKING:  # at run time it would make each access to an option slower

        def __getattr__(self, name: str) -> Any: ...

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in vars(self) and name != "_rule"

    def __iter__(self) -> Iterator[str]:
        return (name for name in vars(self) if name != "_rule")

    def __len__(self) -> int:
        return len(vars(self)) - 1

    def __repr__(self) -> str:
        return f"Group({dict(self)})"

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the options of a group have names, got {name!r}")
        self.update({name: value})

    __setattr__ = __setitem__

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} can't be deleted from a group, only changed")

    def update(self, changes: dict[str, Any]) -> None:
        """Change options: all of them or, after an error, none."""
        new = self.checked(changes)
        if observer := active.get():
            observer.sets(", ".join(changes))
        vars(self).update(new)

    def checked(self, changes: dict[str, Any]) -> dict[str, Any]:
        """All options as the changes would leave them; TypeError or ValueError for a bad one."""
        _checks.dictionary(self._rule.__name__, "options of a group", changes)
        old = {name: value for name, value in self.items() if name != "params"}
        new: dict[str, Any] = self._rule.check_options({**old, **changes}, self.params)
        for name in {slot.when for slot in self._rule.slots.values() if slot.when}:
            if bool(new[name]) != bool(old[name]):
                raise ValueError(
                    f"{self._rule.__name__}: {name} decides which state a group has, so it can't "
                    f"be changed from {old[name]} to {new[name]}; make a new optimizer"
                )
        return new


class Batch(NamedTuple):
    """Parameters of one group with equal step counts and scalars, updated by one `update`."""

    group: Group
    lr: float
    t: int  # of this update, from 1
    indices: list[int]  # of the parameters in the group
    counts: list[int]  # of updates after the step, of all parameters of the group
    params: list[Tensor]
    theta: Arrays
    g: Arrays
    state: list[Arrays | None]
