"""Each kernel against its twin in reference.py, and what it refuses."""

import numpy as np
import pytest
import reference

from minidl._kernels import optim as kernels
from minidl._kernels import system

STEPS, LR = 3, 0.1

DEFAULTS = {
    "sgd": {"momentum": 0.0, "dampening": 0.0, "nesterov": False},
    "momentum": {"beta": 0.9},
    "nag": {"beta": 0.9},
    "adagrad": {"eps": 0.1, "eps_inside_sqrt": True},
    "rmsprop": {
        "alpha": 0.9,
        "eps": 0.1,
        "momentum": 0.0,
        "centered": False,
        "eps_inside_sqrt": True,
    },
    "adam": {"betas": (0.9, 0.99), "eps": 0.1, "amsgrad": False},
    "adamw": {"betas": (0.9, 0.99), "eps": 0.1, "amsgrad": False},
    "adadelta": {"rho": 0.9, "eps": 0.1},
    "ftrl": {"beta": 1.0, "l1": 0.0, "l2": 0.0, "lr_power": -0.5},
}
# Each kernel with its states and the options that differ; together they take every branch.
CASES = [
    ("sgd", "", {}),
    ("sgd", "b", {"momentum": 0.9, "dampening": 0.3}),
    ("sgd", "b", {"momentum": 0.9, "nesterov": True}),
    ("momentum", "v", {}),
    ("nag", "v", {}),
    ("adagrad", "G", {}),
    ("adagrad", "G", {"eps_inside_sqrt": False}),
    ("rmsprop", "G", {}),
    ("rmsprop", "G", {"eps_inside_sqrt": False}),
    ("rmsprop", "Gb", {"momentum": 0.9}),
    ("rmsprop", "Gm", {"centered": True}),
    ("rmsprop", "Gmb", {"momentum": 0.9, "centered": True}),
    ("adam", "mv", {}),
    ("adam", "mvx", {"betas": (0.5, 0.6), "amsgrad": True}),
    ("adamw", "mv", {}),
    ("adadelta", "ED", {}),
    ("ftrl", "zn", {}),
    ("ftrl", "zn", {"beta": 0.5, "l1": 0.3, "l2": 0.2}),
    ("ftrl", "zn", {"l1": 0.1, "l2": 0.2, "lr_power": -0.7}),
]
CASES = [(name, states, DEFAULTS[name] | options) for name, states, options in CASES]
SLOTS = {"sgd": "b", "rmsprop": "Gmb", "adam": "mvx", "adamw": "mvx"}  # the others need all
EVERY_CASE = pytest.mark.parametrize(
    ("name", "states", "options"), CASES, ids=[f"{n}-{s}-{i}" for i, (n, s, _) in enumerate(CASES)]
)
EVERY_KIND = pytest.mark.parametrize(
    ("weight_decay", "maximize"), [(0.0, False), (0.2, False), (0.2, True)]
)
EVERY_SIZE = pytest.mark.parametrize("size", [0, 1, 7, 1000, 100_003])


def call(name, w, g, states, t=1, weight_decay=0.0, maximize=False, **options):
    """The kernel's t-th update of w and the states, a dict of the arrays by letter."""
    arrays = [states.get(letter) for letter in SLOTS.get(name, states)]
    if name == "sgd":
        options["first"] = t == 1
    if name in ("adam", "adamw"):
        beta1, beta2 = options.pop("betas")
        options |= {"beta1": beta1, "beta2": beta2, "decoupled": name == "adamw"}
        options |= {"correction1": 1 - beta1**t, "correction2": 1 - beta2**t}
    kernel = getattr(kernels, "adam" if name == "adamw" else name)
    kernel(w, g, *arrays, lr=LR, weight_decay=weight_decay, maximize=maximize, **options)


def inputs(size, dtype, states):
    """Weights, STEPS gradients with some zeros, and states, all from one fixed seed."""
    rng = np.random.default_rng(size)
    w, *gradients = rng.normal(size=(1 + STEPS, size)).astype(dtype)
    for step, g in enumerate(gradients):
        g[step::5] = 0
    return w, gradients, {letter: np.zeros(size, dtype) for letter in states}


def descend(name, states, options, size, dtype, **kind):
    """The weights after each of a few updates."""
    w, gradients, arrays = inputs(size, dtype, states)
    path = []
    for t, g in enumerate(gradients, 1):
        call(name, w, g, arrays, t, **kind, **options)
        path.append(w.copy())
    return path


def twin(name, options, size, dtype, **kind):
    w, gradients, _ = inputs(size, dtype, "")
    if name == "ftrl":
        kind["warm_start"] = False  # the class warms z up, the kernel is given it
    return getattr(reference, name)(w, gradients, LR, **kind, **options)


@EVERY_SIZE
@EVERY_KIND
@EVERY_CASE
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 5e-6)])
def test_kernel_equals_its_twin(name, states, options, size, dtype, rtol, weight_decay, maximize):
    kind = {"weight_decay": weight_decay, "maximize": maximize}
    computed = descend(name, states, options, size, dtype, **kind)
    expected = twin(name, options, size, dtype, **kind)
    np.testing.assert_allclose(computed, expected, rtol, atol=rtol)


@EVERY_CASE
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_has_the_same_bits_with_one_and_two_threads(name, states, options, dtype):
    before, paths = system.get_num_threads(), []
    try:
        for threads in (1, 2):
            system.set_num_threads(threads)
            paths.append(descend(name, states, options, 100_003, dtype, weight_decay=0.1))
    finally:
        system.set_num_threads(before)
    assert np.array(paths[0]).tobytes() == np.array(paths[1]).tobytes()


@EVERY_CASE
def test_kernel_leaves_the_gradient_alone_and_takes_a_read_only_one(name, states, options):
    w, (g, *_), arrays = inputs(7, np.float64, states)
    before = g.copy()
    g.flags.writeable = False
    call(name, w, g, arrays, maximize=True, weight_decay=0.1, **options)
    np.testing.assert_array_equal(g, before)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


# How to spoil one array, the arrays to which that happens, and what the error says.
SPOILERS = {
    "shorter": (lambda a: a[:-1].copy(), "wgs", ValueError, "entries"),
    "longer": (lambda a: np.append(a, a[:1]), "wgs", ValueError, "entries"),
    "empty": (lambda a: a[:0].copy(), "wgs", ValueError, "entries"),
    "two-dimensional": (lambda a: a[None].copy(), "wgs", (TypeError, ValueError), "dim|signature"),
    "strided": (lambda a: np.repeat(a, 2)[::2], "wgs", ValueError, "contiguous"),
    "of another float": (lambda a: a.astype(np.float32), "wgs", ValueError, "dtype mismatch"),
    "half": (
        lambda a: a.astype(np.float16),
        "wgs",
        (TypeError, ValueError),
        "signature|dtype",
    ),
    "integers": (
        lambda a: a.astype(int),
        "wgs",
        (TypeError, ValueError),
        "signature|dtype",
    ),
    "a list": (lambda a: a.tolist(), "wgs", TypeError, "signature|bytes-like"),
    "None": (lambda a: None, "wg", TypeError, "signature|None"),
    "read-only": (read_only, "ws", ValueError, "read-only"),
}


@EVERY_CASE
@pytest.mark.parametrize("spoiler", SPOILERS)
def test_kernel_refuses_bad_arrays_and_changes_nothing(name, states, options, spoiler):
    spoil, where, error, words = SPOILERS[spoiler]
    w, (g, *_), slots = inputs(7, np.float64, states)
    good = {"w": w, "g": g, **{f"s{letter}": array for letter, array in slots.items()}}
    for spoiled in (letter for letter in good if letter[0] in where):
        arrays = {letter: array.copy() for letter, array in good.items()}
        arrays[spoiled] = spoil(arrays[spoiled])
        before = {letter: np.array(array) for letter, array in arrays.items()}
        with pytest.raises(error, match=words):
            call(
                name,
                arrays["w"],
                arrays["g"],
                {letter: arrays[f"s{letter}"] for letter in slots},
                **options,
            )
        for letter, array in arrays.items():
            np.testing.assert_array_equal(np.array(array), before[letter], err_msg=letter)


@EVERY_CASE
def test_kernel_refuses_a_missing_state_and_changes_nothing(name, states, options):
    w, (g, *_), arrays = inputs(7, np.float64, states)
    for letter in states:
        before = w.copy()
        with pytest.raises((TypeError, ValueError), match=r"None|entries|signature"):
            call(name, w, g, {**arrays, letter: None}, **options)
        np.testing.assert_array_equal(w, before)
        assert not any(array.any() for array in arrays.values())
