"""Each kernel against its NumPy twin in reference.py, and the arguments that it refuses."""

import math
import re

import numpy as np
import pytest
import reference
from cases import PACKAGE

from minidl import optim
from minidl._kernels import optim as kernels
from minidl._kernels import system

STEPS, LR = 7, 0.1

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
    "nadam": {"betas": (0.9, 0.99), "eps": 0.1, "momentum_decay": 0.5},
    "adamax": {"betas": (0.9, 0.99), "eps": 0.1},
    "radam": {"betas": (0.9, 0.999), "eps": 0.1},  # rectified from the sixth step on
    "adadelta": {"rho": 0.9, "eps": 0.1},
    "ftrl": {"beta": 1.0, "l1": 0.0, "l2": 0.0, "lr_power": -0.5},
    "lion": {"betas": (0.9, 0.99)},
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
    ("rmsprop", "G b", {"momentum": 0.9}),
    ("rmsprop", "G g_mean", {"centered": True}),
    ("rmsprop", "G g_mean b", {"momentum": 0.9, "centered": True}),
    ("adam", "m v", {}),
    ("adam", "m v v_max", {"betas": (0.5, 0.6), "amsgrad": True}),
    ("adamw", "m v", {}),
    ("nadam", "m v", {}),
    ("nadam", "m v", {"decoupled_weight_decay": True}),
    ("adamax", "m u", {"betas": (0.5, 0.6)}),
    ("radam", "m v", {}),
    ("radam", "m v", {"decoupled_weight_decay": True}),
    ("adadelta", "E D", {}),
    ("ftrl", "z n", {}),
    ("ftrl", "z n", {"beta": 0.5, "l1": 0.3, "l2": 0.2}),
    ("ftrl", "z n", {"l1": 0.1, "l2": 0.2, "lr_power": -0.7}),
    ("lion", "m", {"betas": (0.5, 0.6)}),
]
CASES = [(name, states.split(), DEFAULTS[name] | options) for name, states, options in CASES]
EVERY_CASE = pytest.mark.parametrize(
    ("name", "states", "options"),
    CASES,
    ids=[f"{n}-{' '.join(s)}-{i}" for i, (n, s, _) in enumerate(CASES)],
)
EVERY_KIND = pytest.mark.parametrize(
    ("weight_decay", "maximize"), [(0.0, False), (0.2, False), (0.2, True)]
)
EVERY_SIZE = pytest.mark.parametrize("size", [0, 1, 7, 1000, 40_003])


def kernel_of(name):
    """The kernel, and the names of all its states."""
    kernel = getattr(kernels, "adam" if name == "adamw" else name)
    return kernel, [array.rstrip("?") for array in kernel.arrays[2:]]


def call(name, theta, g, states, t=1, weight_decay=0.0, maximize=False, times=1, **options):
    """The kernel's t-th update of theta and the states, a dict of arrays by name.

    `times` repeats the parameter in one call, as if there were several.
    """
    kernel, names = kernel_of(name)
    lists = [[states[s]] * times if s in states else None for s in names]
    if name in ("adamw", "lion"):
        options["decoupled_weight_decay"] = True
    given = constants(name, t, **options) | {"lr": LR, "first": t == 1}
    given |= {"weight_decay": weight_decay, "maximize": maximize}
    values = [given[constant] for constant in kernel.constants]
    kernel(([theta] * times, [g] * times, *lists), *values)


def constants(name, t, betas=None, momentum_decay=None, decoupled_weight_decay=False, **options):
    """What a kernel is given for the options of its rule at the t-th update."""
    if name in ("adam", "adamw", "nadam", "radam"):
        options["decoupled"] = decoupled_weight_decay
    if betas is None:
        return options
    beta1, beta2 = betas
    options |= {"beta1": beta1, "beta2": beta2}
    if name in ("adam", "adamw", "adamax", "radam"):
        options["correction1"] = 1 - beta1**t
    if name in ("adam", "adamw", "nadam"):
        options["correction2"] = 1 - beta2**t
    if name == "nadam":
        *mu, mu_next = (reference.momentum_at(s, beta1, momentum_decay) for s in range(1, t + 2))
        options["g_factor"] = (1 - mu[-1]) / (1 - math.prod(mu))
        options["m_factor"] = mu_next / (1 - math.prod([*mu, mu_next]))
    if name == "radam":
        options["rectification"] = reference.rectification(t, beta2) * math.sqrt(1 - beta2**t)
    return options


def inputs(size, dtype, states):
    """Weights, STEPS gradients with some zeros, and states, all from one fixed seed."""
    rng = np.random.default_rng(size)
    theta, *gradients = rng.normal(size=(1 + STEPS, size)).astype(dtype)
    for step, g in enumerate(gradients):
        g[step::5] = 0
    return theta, gradients, {state: np.zeros(size, dtype) for state in states}


def descend(name, states, options, size, dtype, **kind):
    """The weights after each of a few updates."""
    theta, gradients, arrays = inputs(size, dtype, states)
    path = []
    for t, g in enumerate(gradients, 1):
        call(name, theta, g, arrays, t, **kind, **options)
        path.append(theta.copy())
    return path


def twin(name, options, size, dtype, **kind):
    theta, gradients, _ = inputs(size, dtype, [])
    if name == "ftrl":
        kind["warm_start"] = False  # it is the class that initializes z
    return getattr(reference, name)(theta, gradients, LR, **kind, **options)


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
            kind = {"weight_decay": 0.1, "times": kernels.threaded // 40_003 + 1}
            paths.append(descend(name, states, options, 40_003, dtype, **kind))
    finally:
        system.set_num_threads(before)
    assert np.array(paths[0]).tobytes() == np.array(paths[1]).tobytes()


@EVERY_CASE
def test_kernel_leaves_the_gradient_alone_and_takes_a_read_only_one(name, states, options):
    theta, (g, *_), arrays = inputs(7, np.float64, states)
    before = g.copy()
    g.flags.writeable = False
    call(name, theta, g, arrays, maximize=True, weight_decay=0.1, **options)
    np.testing.assert_array_equal(g, before)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


# How to corrupt one array, and which: "all" arrays, or all but "g".
CORRUPTIONS = {
    "shorter": (lambda a: a[:-1].copy(), "all"),
    "longer": (lambda a: np.append(a, a[:1]), "all"),
    "empty": (lambda a: a[:0].copy(), "all"),
    "of another shape": (lambda a: a[None], "all"),
    "strided": (lambda a: np.repeat(a, 2)[::2], "all"),
    "of another float": (lambda a: a.astype(np.float32), "all"),
    "half": (lambda a: a.astype(np.float16), "all"),
    "of another byte order": (lambda a: a.astype(a.dtype.newbyteorder()), "all"),
    "integers": (lambda a: a.astype(int), "all"),
    "a list": (lambda a: a.tolist(), "all"),
    "None": (lambda a: None, "all"),
    "read-only": (read_only, "all but g"),
}


@EVERY_CASE
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_kernel_refuses_invalid_arrays_and_changes_nothing(name, states, options, corruption):
    corrupt, which = CORRUPTIONS[corruption]
    theta, (g, *_), slots = inputs(7, np.float64, states)
    valid = {"theta": theta, "g": g, **slots}
    for corrupted in valid if which == "all" else valid.keys() - {"g"}:
        arrays = {key: array.copy() for key, array in valid.items()}
        arrays[corrupted] = corrupt(arrays[corrupted])
        before = {key: np.array(array) for key, array in arrays.items()}
        with pytest.raises(ValueError, match="must be a C-contiguous array of theta's shape"):
            call(
                name,
                arrays["theta"],
                arrays["g"],
                {state: arrays[state] for state in slots},
                **options,
            )
        for key, array in arrays.items():
            np.testing.assert_array_equal(np.array(array), before[key], err_msg=key)


RULES = [rule for rule in vars(kernels).values() if isinstance(rule, kernels.Rule)]
EVERY_RULE = pytest.mark.parametrize("kernel", RULES, ids=lambda kernel: kernel.arrays)


def lists_of(kernel, size=3):
    """All that a kernel takes, for one parameter."""
    return [[np.ones(size)] for _ in kernel.arrays]


@EVERY_RULE
def test_kernel_refuses_lists_that_are_missing_or_of_another_length_and_changes_nothing(kernel):
    constants = [0.5] * len(kernel.constants)
    for k, name in enumerate(kernel.arrays):
        for corrupted in ([], [np.ones(3)] * 2, *([] if name.endswith("?") else [None])):
            lists = lists_of(kernel)
            lists[k] = corrupted
            with pytest.raises((TypeError, ValueError), match=r"must hold|None"):
                kernel(tuple(lists), *constants)
            assert all((array == 1).all() for arrays in lists for array in arrays or [])


@EVERY_RULE
def test_kernel_refuses_too_few_or_too_many_lists_and_constants(kernel):
    lists, constants = lists_of(kernel), [0.5] * len(kernel.constants)
    for some in (lists[:-1], [*lists, lists[-1]]):
        with pytest.raises(TypeError, match=r"expected \('theta', 'g'"):
            kernel(tuple(some), *constants)
    for some in (constants[:-1], [*constants, 0.5]):
        with pytest.raises(TypeError, match=r"expected \('theta', 'g'"):
            kernel(tuple(lists), *some)
    with pytest.raises(TypeError, match=r"real number|float"):
        kernel(tuple(lists), *constants[:-1], "maximize")


@EVERY_CASE
def test_one_call_for_several_parameters_equals_a_call_for_each(name, states, options):
    """Of other sizes and dtypes, some empty, and with more than one dimension."""
    if name in ("adamw", "lion"):
        options = options | {"decoupled_weight_decay": True}
    kernel, names = kernel_of(name)
    given = constants(name, 1, **options) | {"lr": LR, "first": True}
    given = [(given | {"weight_decay": 0.1, "maximize": True})[c] for c in kernel.constants]
    rng, kinds = np.random.default_rng(0), [np.float32, np.float64, np.float64, np.float32]
    shapes = zip([(3, 4), (0,), (), (5,)], kinds, strict=True)
    groups = [
        [np.array(abs(rng.normal(size=shape)), kind) for _ in kernel.arrays]
        for shape, kind in shapes
    ]
    used = {0, 1, *(2 + names.index(state) for state in states)}
    each = [[array.copy() for array in arrays] for arrays in groups]
    columns = enumerate(zip(*groups, strict=True))
    together = [list(arrays) if k in used else None for k, arrays in columns]
    kernel(tuple(together), *given)
    for arrays in each:
        alone = [[array] if k in used else None for k, array in enumerate(arrays)]
        kernel(tuple(alone), *given)
    for one, other in zip(groups, each, strict=True):
        assert [array.tobytes() for array in one] == [array.tobytes() for array in other]


# --- the documentation ----------------------------------------------------------------------------

LOOPS = dict(
    re.findall(
        r'^cdef cloned (\w+)_loop\(.*?""\"(.*?)""\"',
        (PACKAGE / "_kernels/optim.pyx").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)
SYMBOLS = {"theta": "θ", "g_mean": "ḡ"}


@pytest.mark.parametrize("rule", [rule for rule in optim.RULES if rule != "AdamW"])
def test_a_loop_states_the_equations_of_its_class_symbol_for_symbol(rule):
    """Those that change its arrays; FTRL's warm start is not part of the loop."""
    kernel, documented = getattr(kernels, rule.lower()), lines_of(LOOPS[rule.lower()])
    symbols = {SYMBOLS.get(name.rstrip("?"), name.rstrip("?")) for name in kernel.arrays} - {"g"}
    equations = {
        line
        for line in lines_of(optim.RULES[rule].equations)
        if line.partition(" ← ")[0] in symbols and "warm_start" not in line
    }
    assert equations <= documented
    stated = {line for line in documented if "←" in line and ":" not in line}
    assert stated == equations


def lines_of(text):
    return {" ".join(line.split()) for line in text.splitlines()} - {""}


# --- some entries of ftrl -------------------------------------------------------------------------

EVERY_FTRL = pytest.mark.parametrize("options", [o for name, _, o in CASES if name == "ftrl"])
EVERY_FLOAT = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@EVERY_FTRL
@EVERY_FLOAT
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize(
    ("size", "touched"), [(1, 1), (50, 0), (50, 7), (50, 50), (80_000, 40_000)]
)
def test_ftrl_with_indices_is_ftrl_with_zeros_elsewhere(
    options, dtype, maximize, size, touched, rng
):
    def unread(array):
        return np.where(np.isin(np.arange(size), indices), array, np.nan).astype(dtype)

    indices = np.sort(rng.choice(size, touched, replace=False))
    theta, z, n, g = rng.normal(size=(4, size)).astype(dtype)
    g[np.setdiff1d(np.arange(size), indices)] = 0
    dense = {"theta": theta, "z": z, "n": abs(n)}
    sparse = {key: unread(array) for key, array in dense.items()}
    options = {"lr": LR, "maximize": maximize, **options}
    kernels.ftrl_at(indices, **sparse, g=g[indices], **options)
    options = [(options | {"weight_decay": 0.0})[name] for name in kernels.ftrl.constants]
    kernels.ftrl(([dense["theta"]], [g], [dense["z"]], [dense["n"]]), *options)
    for key, array in dense.items():
        assert sparse[key][indices].tobytes() == array[indices].tobytes(), key
        np.testing.assert_array_equal(sparse[key], unread(array), err_msg=key)


# Indices into 7 entries that are refused, and why.
INVALID_INDICES = {
    "negative": ([-1, 2], IndexError, "index -1 is outside 0 … 6"),
    "beyond the end": ([2, 7], IndexError, "index 7 is outside 0 … 6"),
    "falling": ([3, 2], ValueError, "must increase, but 2 comes after 3"),
    "falling later": ([0, 3, 4, 2], ValueError, "must increase, but 2 comes after 4"),
    "twice the same": ([0, 5, 5], ValueError, "must increase, but 5 comes after 5"),
    "twice the first": ([0, 0], ValueError, "must increase, but 0 comes after 0"),
}
each_invalid_index = pytest.mark.parametrize(
    ("indices", "error", "message"), INVALID_INDICES.values(), ids=INVALID_INDICES
)


@each_invalid_index
def test_invalid_indices_are_refused_with_their_place(indices, error, message):
    with pytest.raises(error, match=message):
        kernels.check_indices(np.array(indices), 7)


@pytest.mark.parametrize("indices", [[], [0], [6], [0, 1, 2, 3, 4, 5, 6], [0, 6]])
def test_indices_that_increase_within_the_size_are_accepted(indices):
    assert kernels.check_indices(read_only(np.array(indices, np.intp)), 7) == 0


def test_no_index_lies_in_an_empty_array():
    with pytest.raises(IndexError, match="index 0 is outside"):
        kernels.check_indices(np.array([0]), 0)


def assert_refused_by_ftrl(error, message, indices, **corrupted):
    """Assert that ftrl_at raises, and leaves each of its arrays unchanged."""
    arrays = {key: np.arange(1.0, 8) for key in ("theta", "z", "n")} | {"g": np.ones(len(indices))}
    arrays |= corrupted
    before = {key: array.copy() for key, array in arrays.items()}
    options = {"lr": LR, "maximize": False, **DEFAULTS["ftrl"]}
    with pytest.raises(error, match=message):
        kernels.ftrl_at(indices, **arrays, **options)
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, before[key], err_msg=key)


@each_invalid_index
def test_ftrl_refuses_invalid_indices_and_changes_nothing(indices, error, message):
    assert_refused_by_ftrl(error, message, np.array(indices))


@pytest.mark.parametrize("corrupted", ["g", "z", "n"])
@pytest.mark.parametrize("size", [0, 1, 3, 6, 8])
def test_ftrl_with_indices_refuses_arrays_of_other_lengths(corrupted, size):
    assert_refused_by_ftrl(ValueError, "entries", np.array([1, 4]), **{corrupted: np.ones(size)})


@pytest.mark.parametrize(
    "indices", [np.array([1.0, 4.0]), np.array([1, 4], np.int32), np.array([[1, 4]]), [1, 4]]
)
def test_ftrl_refuses_invalid_indices(indices):
    assert_refused_by_ftrl((TypeError, ValueError), "mismatch|dimensions|bytes-like", indices)


# --- the sum of squares ---------------------------------------------------------------------------


@EVERY_FLOAT
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000, 40_003])
def test_squared_norm_is_the_sum_of_the_squares(size, dtype, rng):
    g = (rng.normal(size=size) * 10.0 ** rng.integers(-8, 8, size)).astype(dtype)
    exact = math.fsum(x * x for x in g.tolist())
    assert kernels.squared_norm(g) == pytest.approx(exact, rel=1e-13, abs=0)


@EVERY_FLOAT
@pytest.mark.parametrize("size", range(20))
def test_squared_norm_counts_every_entry_once(size, dtype):
    assert kernels.squared_norm(2.0 ** np.arange(size, dtype=dtype)) == (4**size - 1) // 3


def test_squared_norm_adds_float32_up_in_float64():
    assert kernels.squared_norm(np.array([1e30, 1.0], np.float32)) == float(np.float32(1e30)) ** 2
    assert kernels.squared_norm(np.full(100_000, 0.1, np.float32)) == pytest.approx(
        100_000 * float(np.float32(0.1)) ** 2, rel=1e-12
    )
    assert kernels.squared_norm(np.array([1e-30, 0.0], np.float32)) > 0


@EVERY_FLOAT
def test_squared_norm_has_the_same_bits_with_one_and_two_threads(dtype, rng):
    before, g, found = system.get_num_threads(), rng.normal(size=100_003).astype(dtype), set()
    try:
        for threads in (1, 2):
            system.set_num_threads(threads)
            found.add(kernels.squared_norm(g))
    finally:
        system.set_num_threads(before)
    assert len(found) == 1


@EVERY_FLOAT
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 7, 8, 12])
def test_squared_norm_does_not_hide_nan_or_infinity(dtype, value, place):
    g = np.ones(13, dtype)
    g[place] = value
    np.testing.assert_equal(kernels.squared_norm(read_only(g)), value)


@pytest.mark.parametrize("corruption", ["strided", "half", "integers", "a list"])
def test_squared_norm_refuses_anything_but_a_flat_gradient(corruption):
    with pytest.raises((TypeError, ValueError), match=r"contiguous|signature|bytes-like"):
        kernels.squared_norm(CORRUPTIONS[corruption][0](np.ones(7)))
