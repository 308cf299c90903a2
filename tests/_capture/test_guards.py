"""What a step reads from Python is found from its function on; each change of it is seen."""

import argparse
import collections
import functools
import random
import sys
import types

import numpy as np
import pytest

import minidl as dl
from minidl._capture.guards import Guards, random_states
from minidl._kernels import replay

NUMBER, TEXT, ENTRIES = 2.0, "mean", {"a": {"b": [1, 2]}}
UNUSED = 1


class Plain:
    shared = 1.0

    def __init__(self):
        self.value, self.parts = 2.0, [1.0]

    def read(self):
        return self.value * self.shared * NUMBER


class Slotted:
    __slots__ = ("value",)

    def __init__(self):
        self.value = 2.0


class Layer(dl.nn.Module):
    scale = 1.0

    def __init__(self):
        self.inner = dl.nn.Dense(2, 2, rng=0)

    def forward(self, x):
        return self.inner(x) * self.scale


def reading(value):
    """A function with a variable from around it."""
    return lambda x: (x, value)


def unchanged(guards):
    return all(replay.same(container, key, value) for container, key, value, _ in guards)


def default(x, parts=[1.0]):  # noqa: B006
    return x * parts[0]


def with_global(x):
    return x * NUMBER if TEXT else ENTRIES["a"]["b"][0]


def set_global(name, value):
    return lambda function: function.__globals__.update({name: value})


def inside(function):
    return function.__closure__[0].cell_contents


CHANGES = {
    "a variable": (lambda: reading(1), lambda f: setattr(f.__closure__[0], "cell_contents", 2)),
    "an entry": (lambda: reading({"k": 1}), lambda f: inside(f).update(k=2)),
    "an entry more": (lambda: reading({"k": 1}), lambda f: inside(f).update(n=2)),
    "a list": (lambda: reading([1, 2]), lambda f: inside(f).append(3)),
    "a deque": (
        lambda: reading(collections.deque([1, 2])),
        lambda f: inside(f).__setitem__(0, 5),
    ),
    "a set": (lambda: reading({1, 2}), lambda f: inside(f).add(3)),
    "nested": (lambda: reading([({"k": [1]},)]), lambda f: inside(f)[0][0]["k"].append(2)),
    "a defaultdict": (
        lambda: reading(collections.defaultdict(int, k=1)),
        lambda f: inside(f).update(k=2),
    ),
    "an attribute": (lambda: reading(Plain()), lambda f: setattr(inside(f), "value", 3.0)),
    "an attribute more": (lambda: reading(Plain()), lambda f: setattr(inside(f), "more", 3.0)),
    "an entry of an attribute": (lambda: reading(Plain()), lambda f: inside(f).parts.append(1)),
    "a slot": (lambda: reading(Slotted()), lambda f: setattr(inside(f), "value", 3.0)),
    "a class attribute": (lambda: reading(Plain()), lambda f: setattr(Plain, "shared", 3.0)),
    "a method": (lambda: reading(Plain()), lambda f: setattr(Plain, "read", lambda self: 1)),
    "a layer": (lambda: reading(Layer()), lambda f: setattr(inside(f), "inner", dl.nn.Tanh())),
    "its mode": (lambda: reading(Layer()), lambda f: inside(f).eval()),
    "a layer's option": (
        lambda: reading(dl.nn.LeakyReLU()),
        lambda f: setattr(inside(f), "slope", 0.5),
    ),
    "a loss's option": (
        lambda: reading(dl.losses.Huber()),
        lambda f: setattr(inside(f), "delta", 0.5),
    ),
    "a namespace": (
        lambda: reading(types.SimpleNamespace(k=1)),
        lambda f: setattr(inside(f), "k", 2),
    ),
    "arguments": (
        lambda: reading(argparse.Namespace(k=1)),
        lambda f: setattr(inside(f), "k", 2),
    ),
    "a default": (lambda: default, lambda f: f.__defaults__[0].append(2)),
    "a partial": (
        lambda: functools.partial(reading([1]), k=[1]),
        lambda f: f.keywords["k"].append(2),
    ),
    "a method's object": (lambda: Plain().read, lambda f: setattr(f.__self__, "value", 4.0)),
    "a global": (lambda: with_global, set_global("NUMBER", 3.0)),
    "a global of a method": (lambda: Plain().read, lambda f: set_global("NUMBER", 4.0)(f.__func__)),
    "a global text": (lambda: with_global, set_global("TEXT", "sum")),
    "a global's entry": (lambda: with_global, lambda f: ENTRIES["a"]["b"].append(3)),
}


@pytest.mark.parametrize(("make", "change"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_is_read_is_seen(make, change, monkeypatch):
    for name, value in (("NUMBER", 2.0), ("TEXT", "mean"), ("ENTRIES", {"a": {"b": [1, 2]}})):
        monkeypatch.setitem(globals(), name, value)
    for name in ("shared", "read"):
        monkeypatch.setattr(Plain, name, vars(Plain)[name])
    function, guards = make(), Guards()
    guards.follow(function, "the step")
    assert unchanged(guards)
    change(function)
    assert not unchanged(guards)


def test_what_is_not_read_may_change(monkeypatch):
    guards = Guards()
    guards.follow(with_global, "the step")
    monkeypatch.setitem(globals(), "UNUSED", 5)
    assert unchanged(guards)


def test_a_circle_of_references_ends():
    around = {}
    around["self"] = around
    guards = Guards()
    guards.follow(reading(around), "the step")
    assert unchanged(guards)


def test_generators_that_are_reached_are_listed():
    generator, guards = np.random.default_rng(0), Guards()
    guards.follow(reading([generator]), "the step")
    assert guards.generators == [generator]


@pytest.mark.parametrize(
    "draw",
    [
        lambda generator: generator.normal(),
        lambda generator: np.random.random(),  # noqa: NPY002 (as users write)
        lambda generator: random.random(),
    ],
)
def test_the_states_of_random_numbers_differ_after_each_draw(draw):
    generator = np.random.default_rng(0)
    before = random_states([generator])
    assert random_states([generator]) == before
    draw(generator)
    assert random_states([generator]) != before


@pytest.mark.parametrize("name", ["random", "numpy.random"])
def test_a_module_that_another_thread_imports_has_no_random_state_yet(name, monkeypatch):
    before = random_states([])
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert len(random_states([])) == len(before) - 1
