"""The walkthrough's record: each op and each rule against its formula, the tape, and bad input."""

import contextlib
import gc
import itertools
import math
import re
import threading
import weakref
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from test_formulas import read
from test_ops import OPS, PUBLIC
from test_optim import RULES

import minidl as dl
from minidl import _story, losses, nn, optim, tensor
from minidl._formulas import number, plain
from minidl.schedulers import CosineDecay
from minidl.trace import rule_equations

# --- every op -----------------------------------------------------------------------------------


def N(*shape):  # noqa: N802 (normal)
    return np.random.default_rng(shape).normal(size=shape)


def P(*shape):  # noqa: N802 (positive, below 1)
    return np.random.default_rng(shape).uniform(0.2, 0.9, shape)


AXES = (None, 0, 1, -1, (0, 1))
REDUCED = [
    *(([N(2, 3)], {"axis": a, "keepdims": k}) for a, k in itertools.product(AXES, (False, True))),
    ([N()], {}),
    ([N(2, 1, 3)], {"axis": (0, 2)}),
]
BROADCAST = [[N(2, 3), N(3)], [N(2, 1), N(1, 3)], [N(3), N()], [N(2, 2, 3), N(2, 1)]]
TIES = [np.array([1.0, 2.0, 2.0]), np.array([1.0, 3.0, 0.0])]
LABELS, SMOOTH = np.array([0, 3, 1]), {"smoothing": 0.1}
FORMS = [{"reduction": form} for form in ("mean", "sum", "none")]
ENTRYWISE = [([N(2, 3)], {}), ([N()], {}), ([np.array([-4.0, -0.5, 0.25, 3.0])], {})]
POSITIVE = [([P(2, 3)], {}), ([np.array([0.1, 1.0, 30.0])], {})]
CASES = {  # for each op the inputs and options that it is walked with
    **dict.fromkeys(("add", "subtract", "multiply"), [(pair, {}) for pair in BROADCAST]),
    **dict.fromkeys(("maximum", "minimum"), [*((pair, {}) for pair in BROADCAST), (TIES, {})]),
    "divide": [([a, b + np.sign(b)], {}) for a, b in BROADCAST],
    "power": [([np.abs(a), b], {}) for a, b in BROADCAST],
    "where": [([N(3), N(2, 1)], {"condition": np.array([True, False, True])})],
    "matmul": [
        ([N(*a), N(*b)], {})
        for a, b in [
            *[((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,))],
            *[((5, 2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((4, 1, 2, 3), (2, 3, 2))],
        ]
    ],
    "dense": [([N(2, 3), N(3, 4), N(4)], {}), ([N(1, 1), N(1, 1), N(1)], {})],
    "perceptron": [([N(2, 3), N(3, 2), N(2), N(2, 1), N(1)], {"rectify": [True, False]})],
    **dict.fromkeys(("negative", "abs", "exp", "tanh", "sigmoid", "relu"), ENTRYWISE),
    **dict.fromkeys(("gelu", "silu", "softplus"), ENTRYWISE),
    "leaky_relu": [*ENTRYWISE, ([N(4)], {"slope": 0.2})],
    "elu": [*ENTRYWISE, ([N(4)], {"alpha": 1.5})],
    **dict.fromkeys(("log", "sqrt"), POSITIVE),
    **dict.fromkeys(("sum", "mean", "norm"), REDUCED),
    **dict.fromkeys(("max", "min"), [*REDUCED, ([TIES[0]], {})]),
    **dict.fromkeys(("softmax", "log_softmax"), [([N(2, 3)], {"axis": a}) for a in (0, 1, -1)]),
    "logsumexp": [
        ([N(2, 3)], {"axis": a, "keepdims": k}) for a in (0, -1) for k in (False, True)
    ],
    "reshape": [([N(2, 3)], {"shape": s}) for s in [(3, 2), (-1,), (1, 6, 1)]],
    "transpose": [([N(2, 3)], {}), ([N(2, 3, 2)], {"axes": (1, 2, 0)})],
    "getitem": [
        ([N(3, 2)], {"key": key}) for key in [1, slice(1, 3), (0, 1), ([0, 0, 2], [1, 1, 0])]
    ],
    "concatenate": [([N(2, 3), N(1, 3)], {"axis": 0}), ([N(2, 1), N(2, 2), N(2, 3)], {"axis": -1})],
    "stack": [([N(2, 3), N(2, 3) + 1], {"axis": axis}) for axis in (0, 1, -1)],
    "squared_error": [([N(3, 2), P(3, 2)], form) for form in FORMS],
    "logistic_error": [([N(3, 2), P(3, 2)], form) for form in FORMS],
    "softmax_error": [
        ([x], {"target": target, "smoothing": smoothing, **form})
        for form in FORMS
        for smoothing in (0.0, 0.1)
        for x, target in [(N(3, 4), LABELS), (N(3, 4), P(3, 4)), (N(2, 3, 2), P(2, 3, 2))]
    ],
}
each_case = pytest.mark.parametrize(
    ("name", "arrays", "options"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
    ids=[f"{name}-{i}" for name, cases in CASES.items() for i in range(len(cases))],
)
WORDS = ("perceptron", "reshape", "transpose", "getitem", "concatenate", "stack")


def walked(name, arrays, options, dtype=float):
    """One op, forward and back from a random gradient: the walkthrough, the op and its flow."""
    leaves = [dl.Tensor(x, requires_grad=True, dtype=dtype) for x in arrays]
    function = PUBLIC.get(name, getattr(dl, name, None))
    with dl.trace() as walk:
        y = function(*leaves, **options)
        y.backward(np.random.default_rng(7).normal(size=y.shape))
    (op,), ((flow,),) = walk.ops, [passed.flows for passed in walk.backwards]
    assert op.function is OPS[name]
    np.testing.assert_array_equal(op.value.data, y.data)
    for i, leaf in enumerate(leaves):
        np.testing.assert_array_equal(flow.summed(i), leaf.grad)
    return walk, op, flow


def parts_of(walk):
    return [part for step in _story.steps(walk) for part in step.parts]


def test_every_op_of_the_library_is_walked():
    assert CASES.keys() == OPS.keys()


@each_case
def test_the_formulas_of_an_op_give_what_it_computes(name, arrays, options):
    _, op, flow = walked(name, arrays, options)
    assert bool(op.equations) is (name not in WORDS)
    if not op.equations:
        return
    scope = op.scope(flow.g)
    found = scope.value(op.equations[0].tree)
    close(np.reshape(found, op.value.data.shape), op.value.data, 1e-12)
    for equation, product in zip(op.equations[1:], flow.products, strict=True):
        found = np.asarray(scope.value(equation.tree))
        if found.size == product.size:  # vectors as matrices
            found = found.reshape(product.shape)
        close(np.broadcast_to(found, product.shape), product, 1e-11)


def close(found, expected, precision):
    np.testing.assert_allclose(found, expected, rtol=precision, atol=precision)


@each_case
def test_each_entry_has_a_line_that_ends_in_its_number_and_can_be_recomputed(name, arrays, options):
    walk, op, flow = walked(name, arrays, options)
    worked = 0
    for part in parts_of(walk):
        if part.worked:
            data = part.result.data
            for at in np.ndindex(data.shape):
                beginning, *line = part.worked(at)
                assert line[-1] == number(data[at])
                if line[:-1] and part.equation:
                    close(read(line[:-2] + [line[-2].removesuffix(" = ")]), data[at], 1e-9)
                worked += 1
    assert worked >= (op.value.data.size + flow.g.size if name != "perceptron" else 0)


@each_case
def test_the_numbers_of_the_story_are_those_of_the_tape(name, arrays, options):
    walk, op, flow = walked(name, arrays, options)
    forward, backward, *_ = _story.steps(walk)
    (part,) = forward.parts
    assert part.result.data is op.value.data
    results = [p.result.data for p in backward.parts]
    np.testing.assert_array_equal(results[0], flow.g)
    for i, product in enumerate(flow.products):
        assert any(r.shape == product.shape and np.array_equal(r, product) for r in results)
        summed = flow.summed(i)
        assert any(r.shape == summed.shape and np.array_equal(r, summed) for r in results)


@each_case
def test_the_check_agrees_with_backward(name, arrays, options):
    if arrays is TIES or any(x is TIES[0] for x in arrays):
        return  # there is a kink
    walk, _, _ = walked(name, arrays, options)
    checked = walk.check(walk.backwards[0])
    assert len(checked) == sum(np.size(x) for x in arrays)
    for entry in checked:
        assert entry.difference == pytest.approx(entry.backward, rel=1e-6, abs=1e-8)
        assert entry.relative < 1e-6 or abs(entry.difference) < 1e-4


@each_case
def test_every_entry_of_every_value_can_be_explained(name, arrays, options):
    walk, _, _ = walked(name, arrays, options, np.float32)
    for value in walk.values:
        for at in np.ndindex(value.data.shape):
            text = walk.explain(value.name, at)
            assert number(value.data[at]).shown in text


def test_what_moves_entries_says_where_each_came_from():
    x = dl.Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    with dl.trace() as walk:
        x[[0, 0, 2], [1, 1, 0]].backward([10.0, 20.0, 30.0])
    forward, backward, *_ = _story.steps(walk)
    assert plain(forward.parts[0].worked((1,))) == "y[1] = x[0, 1] = 2"
    assert plain(backward.parts[-1].worked((0, 1))) == "∂x[0, 1] = g[0] + g[1] = 30"
    assert plain(backward.parts[-1].worked((1, 1))) == "∂x[1, 1] = nothing = 0"


@pytest.mark.parametrize("name", ["concatenate", "stack"])
def test_what_joins_arrays_says_which_of_them_an_entry_came_from(name):
    a, b = (dl.Tensor([i, i + 1.0], requires_grad=True) for i in (1, 5))
    with dl.trace() as walk:
        getattr(dl, name)([a, b]).sum().backward()
    joined, *_ = _story.steps(walk)
    at = (3,) if name == "concatenate" else (1, 1)
    assert plain(joined.parts[0].worked(at)).endswith(" = x₂[1] = 6")


# --- every rule ---------------------------------------------------------------------------------

OTHERWISE = {  # for each option of a rule a value that is not its default
    "weight_decay": 0.3,
    "betas": (0.8, 0.7),
    "momentum": 0.5,
    "beta": 0.6,
    "eps": 1e-3,
    "momentum_decay": 0.1,
    "alpha": 0.6,
    "rho": 0.5,
    "dampening": 0.2,
    "initial_accumulator": 0.3,
    "lr_decay": 0.4,
    "l1": 0.05,
    "l2": 0.2,
    "lr_power": -0.7,
}
NEEDS = {"nesterov": {"momentum": 0.5}, "dampening": {"momentum": 0.5}}
COMMON = ("lr", "weight_decay", "maximize")
TOGETHER = {
    "RMSprop": {"momentum": 0.5, "centered": True, "eps_inside_sqrt": False},
    "FTRL": {"warm_start": False, "l1": 0.05, "l2": 0.2, "beta": 0.5},
    "Adam": {"amsgrad": True, "betas": (0.0, 0.5)},
}
FORMS_OF_RULES = [
    *((rule, {}) for rule in RULES),
    *(
        (rule, {option: OTHERWISE.get(option, not default), **NEEDS.get(option, {})})
        for rule in RULES
        for option, (default, _) in getattr(optim, rule).options.items()
        if option not in COMMON
    ),
    *TOGETHER.items(),
]
each_rule = pytest.mark.parametrize(
    ("rule", "options"),
    FORMS_OF_RULES,
    ids=["-".join([rule, *map(str, options)]) for rule, options in FORMS_OF_RULES],
)
COMMON_FORMS = [
    {},
    {"weight_decay": 0.3},
    {"maximize": True},
    {"weight_decay": 0.3, "maximize": True},
    {"lr": CosineDecay(0.05, 9)},
]


def updates(rule, options, dtype=float, steps=8):
    """The update of each step of a rule on a small matrix, with its walkthrough and optimizer."""
    rng = np.random.default_rng(3)
    w = dl.Tensor(rng.normal(size=(3, 2)), requires_grad=True, dtype=dtype, name="w")
    optimizer = getattr(optim, rule)([w], **{"lr": 0.05, **options})
    for _ in range(steps):
        optimizer.zero_grad()
        with dl.trace() as walk:
            ((w * rng.normal(size=w.shape).astype(dtype)) ** 2).sum().backward()
            optimizer.step()
        (update,) = walk.updates
        yield walk, update, optimizer, w


def test_every_option_of_every_rule_is_walked_with_another_value_than_its_default():
    for rule, options in FORMS_OF_RULES:
        for name, value in options.items():
            default = getattr(optim, rule).options[name][0]
            assert type(value) is type(default)
            assert value != default


@each_rule
@pytest.mark.parametrize("common", COMMON_FORMS, ids=str)
def test_the_equations_of_a_rule_give_what_its_kernel_leaves(rule, options, common):
    for _, update, optimizer, w in updates(rule, {**options, **common}):
        last = {equation.letter: (equation, scope, value) for equation, scope, value in update.lines}
        left = {**optimizer.state[w], "θ": w.data}
        name_of = getattr(optim, rule).letters
        for letter, (equation, scope, value) in last.items():
            kept = left.get(letter, left.get(name_of.get(letter)))
            if kept is not None and letter != "t":
                np.testing.assert_array_equal(value, kept)
            found = np.broadcast_to(scope.value(equation.tree), value.shape)
            np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-17)
        covered = {*last, *(name_of[letter] for letter in last if letter in name_of)}
        assert left.keys() - {"t"} <= covered


@each_rule
def test_each_line_of_a_rule_can_be_recomputed_for_each_weight(rule, options):
    for walk, update, _, _ in updates(rule, {**options, "weight_decay": 0.1}, steps=7):
        parts = [p for s in _story.steps(walk) if s.phase == "update" for p in s.parts]
        assert [part.equation.letter for part in parts] == [line[0].letter for line in update.lines]
        for part in parts:
            data = part.result.data
            for at in np.ndindex(data.shape):
                beginning, *line = part.worked(at)
                assert beginning.startswith(part.equation.letter)
                assert line[-1] == number(data[at])
                if line[:-1]:
                    close(read(line[:-2] + [line[-2].removesuffix(" = ")]), data[at], 1e-11)


@each_rule
def test_the_text_of_an_update_names_the_rate_and_every_number_before_and_after(rule, options):
    schedule = CosineDecay(0.05, 9)
    for t, (walk, update, _, _) in enumerate(updates(rule, {**options, "lr": schedule}), 1):
        text = walk.explain("w", (2, 1))
        shown = [schedule(t - 1), update.before[2, 1], update.after[2, 1], update.gradient[2, 1]]
        shown += [a[2, 1] for a in update.state_after.values() if np.shape(a) == (3, 2)]
        for x in shown:
            assert number(x).shown in text
        assert f"{rule}, update t = {t} of w: η = {number(schedule(t - 1)).shown}" in text
        assert repr(schedule) in text
        assert text.splitlines()[-1] in str(text)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_in_single_precision_is_told_with_the_numbers_of_its_kernel(rule):
    for _, update, _, w in updates(rule, {"lr": 0.01}, dtype=np.float32):
        *_, (equation, scope, value) = (line for line in update.lines if line[0].letter == "θ")
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, w.data)
        np.testing.assert_allclose(scope.value(equation.tree), value, rtol=1e-4, atol=1e-6)


def test_each_group_of_an_optimizer_is_told_with_its_own_options():
    v, w = (dl.Tensor([1.0], requires_grad=True, name=name) for name in "vw")
    groups = [{"params": [v]}, {"params": [w], "lr": 0.5, "momentum": 0.9}]
    with dl.trace() as walk:
        (v * w).sum().backward()
        optim.SGD(groups, lr=0.1).step()
    found = [(u.value.name, u.lr, u.options["momentum"]) for u in walk.updates]
    assert found == [("v", 0.1, 0.0), ("w", 0.5, 0.9)]


def test_a_rule_without_equations_is_told_by_its_numbers():
    class Half(optim.Optimizer):
        """Halve."""

        def update(self, group, lr, t, w, g):
            for x in w:
                x *= 0.5

    w = dl.Tensor([4.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * 1).sum().backward()
        Half([w]).step()
    assert "before 4, after 2" in walk.explain("w", 0)
    assert "Half states no equations." in str(walk)


# --- what is computed is computed as ever -------------------------------------------------------


class Residual(nn.Module):
    """A layer used twice, and a parameter of its own."""

    def __init__(self, rng):
        self.first = nn.Dense(6, 5, rng=rng)
        self.layer = nn.Dense(5, 5, rng=rng)
        self.scale = dl.Tensor(np.ones(5), requires_grad=True, dtype=dl.get_default_dtype())

    def forward(self, x):
        x = self.first(x)
        x = x + dl.tanh(self.layer(x)) * self.scale
        return x - self.layer(x).relu()


NETWORKS = {
    "MLP": lambda rng: nn.MLP([6, 8, 7, 5], rng=rng),
    "wide": lambda rng: nn.MLP([6, 300, 5], rng=rng),
    "dropout": lambda rng: nn.Sequential(
        nn.Dense(6, 8, rng=rng), nn.ReLU(), nn.Dropout(0.4, rng=rng), nn.Dense(8, 5, rng=rng)
    ),
    "custom": Residual,
}
LOSSES = {"cross_entropy": losses.cross_entropy, "mse": lambda p, t: losses.mse(p, np.eye(5)[t])}


def trained(network, loss, dtype, watch):
    """All bits that a short training leaves: losses, gradients, parameters, optimizer state."""
    rng = np.random.default_rng(5)
    with dl.default_dtype(dtype):
        model = NETWORKS[network](rng)
        optimizer = optim.Adam(model, lr=CosineDecay(0.05, 20), amsgrad=True)
        bits = []
        for _ in range(4):
            x, labels = rng.normal(size=(9, 6)).astype(dtype), rng.integers(0, 5, 9)
            optimizer.zero_grad()
            with watch():
                value = LOSSES[loss](model(x), labels)
                value.backward()
                optim.clip_grad_norm(model, 1.0)
                optimizer.step()
            bits += [value.data, *(p.grad for p in model.parameters())]
            bits += [p.data.copy() for p in model.parameters()]
    state = [a for s in optimizer.state.values() for a in s.values() if isinstance(a, np.ndarray)]
    return [array.tobytes() for array in (*bits, *state)]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_trace_changes_no_bit(network, loss, dtype):
    alone = trained(network, loss, dtype, contextlib.nullcontext)
    assert trained(network, loss, dtype, dl.trace) == alone


@pytest.mark.parametrize("retain", [True, False])
def test_a_trace_changes_no_bit_of_a_second_backward_pass(retain):
    def gradients(watch):
        w = dl.Tensor(N(3, 4), requires_grad=True)
        with watch():
            loss = losses.cross_entropy(w * w, [0, 1, 2])
            loss.backward(retain_graph=True)
            first = w.grad.copy()
            loss.backward(retain_graph=retain)
        return first.tobytes(), w.grad.tobytes()

    assert gradients(dl.trace) == gradients(contextlib.nullcontext)
