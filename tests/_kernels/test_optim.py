"""Each kernel against its NumPy twin in reference.py, and the arguments that it refuses."""

import copy
import math
import re

import numpy as np
import pytest
import reference
from cases import PACKAGE

from minidl import optim
from minidl._kernels import loss, system
from minidl._kernels import optim as kernels

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
    given = {"lr": LR, "first": t == 1} | constants(name, t, **options)
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


# --- subnormal numbers ----------------------------------------------------------------------------

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# Options under which a state halves at a gradient of 0, and the states that do.
HALVING = [
    ("sgd", "b", {"momentum": 0.5}),
    ("momentum", "v", {"beta": 0.5}),
    ("nag", "v", {"beta": 0.5}),
    ("rmsprop", "G g_mean b", {"alpha": 0.5, "momentum": 0.5}),
    ("adam", "m v", {"betas": (0.5, 0.5)}),
    ("adamw", "m v", {"betas": (0.5, 0.5)}),
    ("nadam", "m v", {"betas": (0.5, 0.5)}),
    ("adamax", "m", {"betas": (0.5, 0.5)}),
    ("radam", "m v", {"betas": (0.5, 0.5)}),
    ("adadelta", "E D", {"rho": 0.5}),
    ("lion", "m", {"betas": (0.5, 0.5)}),
]


def subnormal(*arrays):
    """Whether any array holds a subnormal number."""
    return any(((a != 0) & (abs(a) < np.finfo(a.dtype).smallest_normal)).any() for a in arrays)


@DTYPES
@pytest.mark.parametrize(("name", "states", "options"), HALVING, ids=[n for n, *_ in HALVING])
@pytest.mark.parametrize("size", [1, 37])
def test_a_state_that_halves_is_zero_below_the_smallest_normal_number(
    name, states, options, size, dtype
):
    smallest = np.finfo(dtype).smallest_normal
    theta, g = np.ones(size, dtype), np.zeros(size, dtype)
    arrays = {state: np.full(size, -4 * smallest, dtype) for state in kernel_of(name)[1]}
    if name not in ("momentum", "nag"):  # their v is no average of squares
        arrays |= {s: abs(arrays[s]) for s in {"G", "v", "v_max", "E", "D", "u"} & arrays.keys()}
    halved = {state: arrays[state] for state in states.split()}
    for step, expected in enumerate([2 * smallest, smallest, 0, 0], 2):
        call(name, theta, g, arrays, step, **DEFAULTS[name] | options)
        for state, array in halved.items():
            np.testing.assert_array_equal(abs(array), expected, err_msg=state)


@DTYPES
@EVERY_CASE
@pytest.mark.parametrize("lr", [LR, 0.0])
def test_no_subnormal_number_is_left_after_a_step_with_gradient_zero(
    name, states, options, lr, dtype, rng
):
    smallest = np.finfo(dtype).smallest_normal
    theta, *values = (rng.uniform(0, 3, (1 + len(states), 100)) * smallest).astype(dtype)
    arrays = dict(zip(states, values, strict=True))
    call(name, theta, np.zeros_like(theta), arrays, 2, **{"lr": lr, **options})
    assert not subnormal(theta, *arrays.values())


@DTYPES
@EVERY_CASE
def test_no_subnormal_number_is_left_after_many_steps_with_gradient_zero(
    name, states, options, dtype, rng
):
    """With decays of 0.7: a subnormal number would end at itself, since 0.7 is rounded to 1."""
    decays = {"betas": (0.7, 0.7), **dict.fromkeys(("beta", "alpha", "rho", "momentum"), 0.7)}
    options = {key: decays.get(key, value) if value else value for key, value in options.items()}
    theta = rng.normal(size=50).astype(dtype)
    arrays = {state: np.zeros(50, dtype) for state in states}
    call(name, theta, rng.normal(size=50).astype(dtype), arrays, **options)
    for _ in range(300 if dtype == np.float32 else 2100):
        call(name, theta, np.zeros_like(theta), arrays, 2, **options)
    assert not subnormal(theta, *arrays.values())


@pytest.mark.parametrize("name", ["momentum", "nag"])
def test_a_weight_below_the_smallest_normal_number_is_zero_as_in_the_twin(name):
    smallest = np.finfo(np.float64).smallest_normal
    theta, g, v = smallest * np.array([1.5, -1.5, 3]), smallest * np.array([1, -1, 1]), np.zeros(3)
    expected = smallest * np.array([0, 0, 2])  # half of the smallest is 0
    (found,) = getattr(reference, name)(theta, [g], 1.0, beta=0.0)
    np.testing.assert_array_equal(found, expected)
    call(name, theta, g, {"v": v}, lr=1.0, beta=0.0)
    np.testing.assert_array_equal(theta, expected)


@pytest.mark.skipif(not system.flushes, reason="only results are flushed on this processor")
@DTYPES
@EVERY_CASE
def test_a_subnormal_gradient_counts_as_zero(name, states, options, dtype, rng):
    g = np.full(50, np.finfo(dtype).smallest_normal / 2, dtype)
    theta = np.zeros(50, dtype)
    found = []
    for gradient in (g, -g, np.zeros_like(g)):
        arrays = {state: np.zeros_like(g) for state in states}
        call(name, theta, gradient, arrays, **options)
        found.append([abs(array).tobytes() for array in (theta, *arrays.values())])
    assert found[0] == found[1] == found[2]


@DTYPES
@pytest.mark.parametrize("threads", [1, 2])
def test_subnormal_numbers_are_flushed_in_every_thread_and_in_no_other_loop(dtype, threads):
    """NumPy computes with them in this thread, and cross-entropy in OpenMP's, as before."""
    before, size = system.get_num_threads(), kernels.threaded + 5
    logits = np.zeros((loss.threaded // 2, 2), np.float32)
    logits[:, 1] = -95  # e⁻⁹⁵ is subnormal
    tiny = np.full(100, np.finfo(dtype).smallest_subnormal, dtype)
    theta, v = np.full(size, tiny[0]), np.full(size, tiny[0])
    try:
        system.set_num_threads(threads)
        call("momentum", theta, np.zeros(size, dtype), {"v": v}, **DEFAULTS["momentum"])
        with pytest.raises(ValueError, match="must be a C-contiguous"):
            call("momentum", theta, theta[1:], {"v": v}, **DEFAULTS["momentum"])
        _, _, gradient = loss.cross_entropy(logits, np.zeros(len(logits), int), 0.0, 1.0)
    finally:
        system.set_num_threads(before)
    assert not theta.any()
    assert not v.any()
    assert (tiny * 3 == np.full(100, 3 * float(tiny[0]))).all()
    assert (tiny + tiny > tiny).all()
    assert 5e-324 * 3 > 0
    assert (gradient[:, 1] > 0).all()


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
    symbols = {SYMBOLS.get(name.rstrip("?"), name.rstrip("?")) for name in kernel.arrays}
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
    "negative": ([-1, 2], IndexError, "index -1 is outside 0 to 6"),
    "beyond the end": ([2, 7], IndexError, "index 7 is outside 0 to 6"),
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
    kernels.check_indices(read_only(np.array(indices, np.intp)), 7)


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


def misaligned(array):
    return np.frombuffer(b"-" + array.tobytes(), array.dtype, offset=1)


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda a: a.astype(np.float16),
        lambda a: a.astype(np.int32),
        lambda a: a.astype(np.uint64),
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: a[None],
        lambda a: np.array(a[0]),
        lambda a: np.repeat(a, 2)[::2],
        lambda a: a.tolist(),
        lambda a: None,
        misaligned,
    ],
)
@pytest.mark.parametrize("corrupted", ["indices", "theta", "g", "z", "n"])
def test_ftrl_with_indices_refuses_arrays_of_another_kind(corrupted, corrupt):
    arrays = {"indices": np.array([1, 4]), "g": np.ones(2)}
    arrays |= {name: np.ones(7) for name in ("theta", "z", "n")}
    arrays[corrupted] = corrupt(arrays[corrupted])
    with pytest.raises(ValueError, match="ftrl_at needs"):
        kernels.ftrl_at(**arrays, lr=LR, maximize=False, **DEFAULTS["ftrl"])
    for name in {"theta", "z", "n"} - {corrupted}:
        assert (arrays[name] == 1).all()
    if corrupted == "indices":
        with pytest.raises(ValueError, match="check_indices needs"):
            kernels.check_indices(arrays["indices"], 7)


@pytest.mark.parametrize("corrupted", ["theta", "z", "n"])
def test_ftrl_with_indices_refuses_a_read_only_array(corrupted):
    arrays = {name: np.ones(7) for name in ("theta", "z", "n")}
    arrays[corrupted] = read_only(arrays[corrupted])
    with pytest.raises(ValueError, match="ftrl_at needs writable"):
        kernels.ftrl_at(
            np.array([1, 4]), g=np.ones(2), **arrays, lr=LR, maximize=False, **DEFAULTS["ftrl"]
        )


@EVERY_FTRL
@pytest.mark.parametrize("shared", ["theta", "z", "n"])
@pytest.mark.parametrize("sharing", ["indices", "g"])
def test_ftrl_takes_indices_and_gradients_that_share_memory_with_what_it_changes(
    sharing, shared, options, rng
):
    """Entries 1 to 8 hold the indices 2 to 9, or the gradients of these."""
    arrays = dict(zip(("theta", "z", "n"), rng.uniform(1, 2, (3, 10)), strict=True))
    inputs = {"indices": np.arange(2, 10), "g": rng.normal(size=8)}
    part = arrays[shared].view(inputs[sharing].dtype)[1:9]
    part[:] = inputs[sharing]
    expected = {name: array.copy() for name, array in arrays.items()}
    options = {"lr": LR, "maximize": False, **options}
    kernels.ftrl_at(**inputs, **expected, **options)
    kernels.ftrl_at(**{**inputs, sharing: part}, **arrays, **options)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@EVERY_FTRL
@EVERY_FLOAT
def test_ftrl_at_rate_zero_changes_nothing(options, dtype, rng):
    """Also at a rate that is 0 in float32."""
    given = rng.uniform(1, 2, (3, 50)).astype(dtype)
    g = rng.normal(size=50).astype(dtype)
    for lr in (0.0, 1e-50 if dtype == np.float32 else 0.0):
        theta, z, n = given.copy()
        call("ftrl", theta, g, {"z": z, "n": n}, **options, lr=lr)
        kernels.ftrl_at(np.arange(50), theta, g, z, n, lr=lr, maximize=False, **options)
        np.testing.assert_array_equal([theta, z, n], given)


@EVERY_FTRL
@EVERY_FLOAT
def test_ftrl_with_indices_leaves_no_subnormal_number_where_it_updates(options, dtype, rng):
    smallest = np.finfo(dtype).smallest_normal
    theta, z, n = (rng.uniform(0, 3, (3, 50)) * smallest).astype(dtype)
    sparse, dense = [a.copy() for a in (theta, z, n)], {"z": z, "n": n}
    g = rng.normal(size=50).astype(dtype) * rng.integers(0, 2, 50).astype(dtype)
    options = {"lr": LR, "maximize": False, **options}
    kernels.ftrl_at(np.arange(50), sparse[0], g, *sparse[1:], **options)
    assert not subnormal(*sparse)
    call("ftrl", theta, g, dense, **options)
    for one, other in zip(sparse, (theta, z, n), strict=True):
        np.testing.assert_array_equal(one, other)
    tiny = np.full(10, smallest / 2, dtype)
    assert (tiny + tiny == smallest).all()


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


@pytest.mark.parametrize(
    "corruption",
    ["of another shape", "strided", "half", "of another byte order", "integers", "a list", "None"],
)
def test_squared_norm_refuses_anything_but_a_flat_gradient(corruption):
    with pytest.raises(ValueError, match="squared_norm needs a C-contiguous vector"):
        kernels.squared_norm(CORRUPTIONS[corruption][0](np.ones(7)))


def test_squared_norm_refuses_a_misaligned_gradient_and_a_number():
    for g in (misaligned(np.ones(7)), np.ones(()), 1.0):
        with pytest.raises(ValueError, match="squared_norm needs a C-contiguous vector"):
            kernels.squared_norm(g)


# --- prepared updates -----------------------------------------------------------------------------


def prepared(lr=0.5):
    """θ = 1, g = 1 and their update, θ ← ½."""
    theta, g = np.ones(2), np.ones(2)
    options = [lr, 0.0, 0.0, True, False, 0.0, False]
    return theta, g, kernels.sgd.prepare(([theta], [g], None), *options)


def test_a_prepared_update_changes_its_arrays_when_it_is_committed():
    theta, _, update = prepared()
    row = [0]
    assert theta.tolist() == [1, 1]
    kernels.commit([update], [(row, 0, 7)])
    assert (theta.tolist(), row) == ([0.5, 0.5], [7])
    kernels.commit([update, update], [])
    assert theta.tolist() == [-0.5, -0.5]


def test_a_prepared_update_does_not_depend_on_the_lists_it_was_made_from():
    theta, g = np.ones(2), np.ones(2)
    lists = [theta], [g], None
    update = kernels.sgd.prepare(lists, 0.5, 0.0, 0.0, True, False, 0.0, False)
    lists[0].clear()
    lists[1][0] = "nothing"
    kernels.commit([update], [])
    assert theta.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("change", ["resize", "lock"])
def test_an_update_whose_arrays_have_changed_is_refused_and_nothing_is_assigned(which, change):
    arrays = prepared()
    array, update, row = arrays[which], arrays[2], [0]
    if change == "resize":
        array.resize(100_000, refcheck=False)
    elif which == 1:
        pytest.skip("a gradient may be read-only")
    else:
        array.flags.writeable = False
    with pytest.raises(RuntimeError, match="an array was changed"):
        kernels.commit([update], [(row, 0, 7)])
    assert row == [0]
    assert (array[:2] == 1).all()


def test_an_array_of_a_prepared_update_refuses_to_be_resized():
    theta, _, update = prepared()
    with pytest.raises(ValueError, match="resize"):
        theta.resize(100_000)
    kernels.commit([update], [])
    assert theta.tolist() == [0.5, 0.5]


def test_if_the_first_call_fails_no_change_is_made():
    row = [0]
    with pytest.raises(ZeroDivisionError):
        kernels.commit([lambda: 1 / 0], [(row, 0, 7)])
    assert row == [0]


def test_if_a_change_fails_no_update_runs():
    theta, _, update = prepared()
    with pytest.raises(IndexError):
        kernels.commit([update], [([], 0, 7)])
    assert theta.tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (70_000,)])
def test_a_replacement_copies_every_bit_of_what_is_not_subnormal(dtype, shape, rng):
    target, source = np.zeros(shape, dtype), rng.normal(size=shape).astype(dtype)
    for value in (np.nan, np.inf, -np.inf, np.finfo(dtype).tiny, -0.0):
        source.flat[: source.size // 2] = value
        update = kernels.replacement([target], [source])
        kernels.commit([update], [])
        assert target.tobytes() == source.tobytes()
    source.fill(np.finfo(dtype).smallest_subnormal)
    before, update = target.tobytes(), kernels.replacement([target], [source])
    assert target.tobytes() == before
    kernels.commit([update], [])
    assert not target.any()


@pytest.mark.parametrize("source", [np.ones(2), np.ones(3, np.float32), [1.0] * 3, None])
def test_a_replacement_by_another_form_is_refused(source):
    with pytest.raises(ValueError, match=r"source\[0\] must be"):
        kernels.replacement([np.ones(3)], [source])


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_ready_tells_what_a_kernel_can_update_as_it_is(corruption):
    corrupt, which = CORRUPTIONS[corruption]
    good = np.arange(1.0, 8.0)
    assert kernels.ready([good, good], [good, good])
    assert not kernels.ready([good, good], [good])
    assert not kernels.ready([good, corrupt(good)], [good, good])
    assert kernels.ready([good, good], [good, corrupt(good)]) == (which == "all but g")


def test_turns_let_one_call_at_a_time_commit():
    turns, row = kernels.Turns("in use"), [0]
    first, second = turns.begin(), turns.begin()
    turns.commit(first, [], [(row, 0, 1)])
    with pytest.raises(RuntimeError, match=r"^in use$"):
        turns.commit(second, [], [(row, 0, 2)])
    with pytest.raises(RuntimeError, match=r"^in use$"):
        turns.check(second)
    turns.commit(turns.begin(), [], [(row, 0, 3)])
    assert row == [3]


def test_no_turn_begins_inside_a_call_or_a_commit():
    turns, row = kernels.Turns("in use"), [0]
    turn = turns.begin()
    for within in (
        lambda: turns.call(turn, turns.begin),
        lambda: turns.call(turn, turns.commit, turn, [], [(row, 0, 1)]),
        lambda: turns.commit(turn, [turns.begin], [(row, 0, 1)]),
    ):
        with pytest.raises(RuntimeError, match=r"^in use$"):
            within()
    turn = turns.begin()
    assert turns.call(turn, divmod, 7, 2) == (3, 1)
    turns.commit(turns.begin(), [], [(row, 0, 2)])
    assert row == [2]
    with pytest.raises(RuntimeError, match=r"^in use$"):  # another turn has ended meanwhile
        turns.call(turn, row.append, 3)
    assert row == [2]


def test_a_copy_of_turns_is_free():
    turns = kernels.Turns("in use")
    assert turns.call(0, lambda: copy.deepcopy(turns).call(0, divmod, 7, 2)) == (3, 1)
