"""What a captured step reads from Python: variables, attributes, entries.

A replay does not run the step's Python code, so what that code reads must be as it was when it was
recorded. It is found by following references, from the step's function on: the variables that a
function reads from around it, the attributes of objects and of their classes, the entries of lists
and dicts.
"""

from __future__ import annotations

import collections
import dis
import functools
import itertools
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.losses import Loss
from minidl.nn import Module
from minidl.tensor import Tensor

LARGE = 1000  # entries of a list or dict, beyond which only the length is checked
OWN = {"minidl", "numpy", "logging"}  # packages that are not followed
CONTAINERS = (dict, list, set, collections.deque)
LEAVES = {bool, int, float, complex, str, bytes, type(None), np.ndarray, Tensor}
RANDOM = ("bit_generator", "getstate", "get_state")  # NumPy's Generator, Python's, RandomState
LENGTH: Callable[[Any], int] = len  # the key of a guard for the length of a container


class Guards(list[tuple[Any, Any, Any, str]]):
    """(container, key, value, name): what is read, and its value; `replay.same` compares them."""

    def __init__(self) -> None:
        self._followed: dict[int, Any] = {}  # by id, and so kept alive
        self.generators: list[Any] = []  # of random numbers
        self.iterators: list[str] = []  # their names

    def add(self, container: Any, key: Any, value: Any, name: str) -> None:
        """Guard a value and what lies in it."""
        self.append((container, key, value, name))
        self.follow(value, name)

    def follow(self, value: Any, name: str, names: frozenset[str] = frozenset()) -> None:
        """Guard what lies in a value; of a module of Python or a class, only these names."""
        kind = type(value)
        if kind in LEAVES:
            return
        if isinstance(value, type | types.ModuleType):
            for read in names & vars(value).keys() if _is_users(value) else ():
                self.add(value, read, vars(value)[read], f"{name}.{read}")
            return
        if id(value) in self._followed:
            return
        self._followed[id(value)] = value
        if isinstance(value, CONTAINERS):
            self._follow_container(value, name)
        elif kind is tuple:
            for i, part in enumerate(value):
                self.follow(part, f"{name}[{i}]")
        elif isinstance(value, functools.partial):
            self.follow((value.func, value.keywords), name)
            code = getattr(value.func, "__code__", None)
            given: tuple[str, ...] = code.co_varnames[: code.co_argcount] if code else ()
            for part, parameter in itertools.zip_longest(value.args, given[: len(value.args)]):
                self.follow(part, parameter or name)
        elif kind is types.MethodType:
            self.follow(value.__func__, name)
            self.follow(value.__self__, "self")
        elif kind is types.FunctionType:
            self._follow_function(value)
        elif any(hasattr(value, state) for state in RANDOM):
            self.generators.append(value)
        elif hasattr(kind, "__next__"):
            self.iterators.append(name)
        elif isinstance(value, Module | Loss) or not any(map(_is_own, kind.__mro__[:-1])):
            self._follow_object(value, name)

    def new_keys(self, container: Any) -> list[str]:
        """What a dict holds besides what is guarded, such as an attribute set since then."""
        known = {key for other, key, *_ in self if other is container}
        return (
            [str(key) for key in container if key not in known] if type(container) is dict else []
        )

    def _follow_container(self, value: Any, name: str) -> None:
        self.append((value, LENGTH, len(value), name))
        if len(value) <= LARGE and not isinstance(value, set):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, entry in list(pairs):
                self.add(value, key, entry, f"{name}[{key!r}]")

    def _follow_function(self, function: Any) -> None:
        """Guard the variables that a function reads from around it, and its default arguments."""
        code, around = function.__code__, function.__globals__
        if _is_users(function):
            globals_read, names = _names(code)
            for name in globals_read & around.keys():
                self.append((around, name, around[name], name))
                self.follow(around[name], name, names)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                self.add(cell, "cell_contents", cell.cell_contents, name)
            except ValueError:  # not assigned yet
                continue
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        self.follow((*defaults, getattr(function, "__wrapped__", None)), function.__qualname__)

    def _follow_object(self, value: Any, name: str) -> None:
        """Guard the attributes of an object and of its class, and what its methods read."""
        if type(getattr(value, "__dict__", None)) is dict:
            self.append((vars(value), LENGTH, len(vars(value)), name))
            for key, entry in list(vars(value).items()):
                self.add(vars(value), key, entry, f"{name}.{key}")
        for cls in filter(_is_users, type(value).__mro__):
            for key, entry in list(vars(cls).items()):
                if isinstance(entry, types.MemberDescriptorType) and hasattr(value, key):
                    self.add(value, key, getattr(value, key), f"{name}.{key}")
                elif not key.startswith("__") or isinstance(entry, types.FunctionType):
                    self.append((cls, key, entry, f"{cls.__name__}.{key}"))
                    self.follow(getattr(entry, "fget", entry), f"{cls.__name__}.{key}")


def _module(value: Any) -> str:
    """The name of the module of a class or function, or of a module itself."""
    name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
    return name if isinstance(name, str) else "builtins"  # an attribute of some compiled classes


def _is_own(cls: type) -> bool:
    return _module(cls).partition(".")[0] in OWN


def _is_users(value: Any) -> bool:
    """Whether a class, function or module is the user's: neither installed nor Python's own."""
    return _is_users_module(_module(value))


@functools.lru_cache(1000)
def _is_users_module(name: str) -> bool:
    top = name.partition(".")[0]
    if top in OWN or top in sys.stdlib_module_names - {"__main__"}:
        return False
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return "site-packages" not in file and "dist-packages" not in file


@functools.lru_cache(1000)
def _names(code: types.CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The global variables and the attributes that code reads, also in functions within it."""
    read, attributes = set[str](), set[str]()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            read.add(instruction.argval)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.add(instruction.argval)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            inner_read, inner_attributes = _names(inner)
            read, attributes = read | inner_read, attributes | inner_attributes
    return frozenset(read), frozenset(attributes)


def random_states(generators: list[Any], everywhere: bool = True) -> list[Any]:
    """The states of generators, and of the global ones of Python and NumPy if `everywhere`."""
    states: list[Any] = []
    # another thread may be in the middle of importing these
    if everywhere and (standard := getattr(sys.modules.get("random"), "getstate", None)):
        states.append(standard())
    if everywhere and (legacy := getattr(sys.modules.get("numpy.random"), "get_state", None)):
        _, key, place, *_ = legacy()
        states.append((key.tobytes(), place))
    for g in generators:
        name = next(name for name in RANDOM if hasattr(g, name))
        state = getattr(g, name)
        states.append(repr(state() if callable(state) else state.state))
    return states
