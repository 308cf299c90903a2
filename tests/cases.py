"""Cases for many test files: every op, rule and schedule, with inputs and options for each."""

import inspect
import itertools
import math
import operator
import re
from pathlib import Path

import numpy as np
import public_names
import pytest
from hypothesis import strategies as st

import minidl as dl
from minidl import losses, nn, ops, optim, schedulers, tensor

ROOT = Path(__file__).parents[1]
PACKAGE = Path(dl.__file__).parent  # lies elsewhere if minidl is installed from a wheel
GOLDEN = ROOT / "tests/golden"

# --- ops, rules, schedules ----------------------------------------------------------------------

OPS = {name: f for name, f in vars(ops).items() if hasattr(f, "formula")}
RULES = list(optim.RULES)
SCHEDULES = [
    value
    for name, value in vars(schedulers).items()
    if isinstance(value, type)
    and issubclass(value, schedulers.Schedule)
    and value is not schedulers.Schedule
    and not name.startswith("_")
]

# how a user calls an op that has no public function of the same name and arguments
PUBLIC = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "negative": operator.neg,
    "power": operator.pow,
    "dense": tensor.dense,
    "dense_relu": tensor.dense_relu,
    "getitem": lambda x, key: x[key],
    "where": lambda a, b, condition: dl.where(condition, a, b),
    "concatenate": lambda *xs, axis: dl.concatenate(xs, axis),
    "stack": lambda *xs, axis: dl.stack(xs, axis),
    "mse": dl.losses.mse,
    "mae": dl.losses.mae,
    "huber": dl.losses.huber,
    "binary_cross_entropy": dl.losses.binary_cross_entropy,
    "cross_entropy": lambda x, target, smoothing, reduction, **weights: dl.losses.cross_entropy(
        x, target, reduction, label_smoothing=smoothing, **weights
    ),
}


# --- every op in a walkthrough ------------------------------------------------------------------


def normal(*shape):
    """Normal numbers, the same in each call with a shape."""
    return np.random.default_rng(shape).normal(size=shape)


def positive(*shape):
    """Numbers in [0.2, 0.9), the same in each call with a shape."""
    return np.random.default_rng(shape).uniform(0.2, 0.9, shape)


AXES = (None, 0, 1, -1, (0, 1))
REDUCED = [
    *(
        ([normal(2, 3)], {"axis": a, "keepdims": k})
        for a, k in itertools.product(AXES, (False, True))
    ),
    ([normal()], {}),
    ([normal(2, 1, 3)], {"axis": (0, 2)}),
]
BROADCAST = [
    [normal(2, 3), normal(3)],
    [normal(2, 1), normal(1, 3)],
    [normal(3), normal()],
    [normal(2, 2, 3), normal(2, 1)],
]
TIES = [np.array([1.0, 2.0, 2.0]), np.array([1.0, 3.0, 0.0])]
LABELS = np.array([0, 3, 1])
FORMS = [{"reduction": form} for form in ("mean", "sum", "none")]
WEIGHTED = [form | {"sample_weight": np.array([0.5, 2.0, 1.25])} for form in FORMS]
ENTRYWISE = [([normal(2, 3)], {}), ([normal()], {}), ([np.array([-4.0, -0.5, 0.25, 3.0])], {})]
POSITIVE = [([positive(2, 3)], {}), ([np.array([0.1, 1.0, 30.0])], {})]


def same_cases(names, cases):
    """The same cases for each op in a list of names."""
    return {name: [*cases] for name in names.split()}


CASES = {  # for each op pairs of inputs and options
    **same_cases("add subtract multiply", [(pair, {}) for pair in BROADCAST]),
    **same_cases("maximum minimum", [*((pair, {}) for pair in BROADCAST), (TIES, {})]),
    "divide": [([a, b + np.sign(b)], {}) for a, b in BROADCAST],
    "power": [([np.abs(a), b], {}) for a, b in BROADCAST],
    "where": [([normal(3), normal(2, 1)], {"condition": np.array([True, False, True])})],
    "matmul": [
        ([normal(*a), normal(*b)], {})
        for a, b in [
            *[((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,))],
            *[((5, 2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((4, 1, 2, 3), (2, 3, 2))],
        ]
    ],
    **same_cases(
        "dense dense_relu",
        [([normal(*s), normal(*s[1:], 4), normal(4)], {}) for s in [(2, 3), (1, 1)]],
    ),
    **same_cases("negative abs sign exp sin cos tanh sigmoid relu", ENTRYWISE),
    **same_cases("gelu silu softplus", ENTRYWISE),
    "leaky_relu": [*ENTRYWISE, ([normal(4)], {"slope": 0.2})],
    "elu": [*ENTRYWISE, ([normal(4)], {"alpha": 1.5})],
    **same_cases("log log1p sqrt", POSITIVE),
    "clip": [
        ([normal(2, 3)], {"low": low, "high": high})
        for low, high in [(-0.5, 0.25), (None, 0.25), (-0.5, None), (0, np.inf)]
    ],
    **same_cases("sum mean norm", REDUCED),
    **same_cases("std var", [*REDUCED, ([normal(2, 3)], {"axis": 1, "ddof": 1})]),
    **same_cases("max min", [*REDUCED, ([TIES[0]], {})]),
    **same_cases("softmax log_softmax", [([normal(2, 3)], {"axis": a}) for a in (0, 1, -1)]),
    "logsumexp": [
        ([normal(2, 3)], {"axis": a, "keepdims": k}) for a in (0, -1) for k in (False, True)
    ],
    "reshape": [([normal(2, 3)], {"shape": s}) for s in [(3, 2), (-1,), (1, 6, 1)]],
    "transpose": [([normal(2, 3)], {}), ([normal(2, 3, 2)], {"axes": (1, 2, 0)})],
    "getitem": [
        ([normal(3, 2)], {"key": key}) for key in [1, slice(1, 3), (0, 1), ([0, 0, 2], [1, 1, 0])]
    ],
    "concatenate": [
        ([normal(2, 3), normal(1, 3)], {"axis": 0}),
        ([normal(2, 1), normal(2, 2), normal(2, 3)], {"axis": -1}),
    ],
    "stack": [([normal(2, 3), normal(2, 3) + 1], {"axis": axis}) for axis in (0, 1, -1)],
    **same_cases(
        "mse mae binary_cross_entropy",
        [([normal(3, 2), positive(3, 2)], form) for form in FORMS + WEIGHTED],
    ),
    "huber": [
        ([normal(3, 2), positive(3, 2)], {"delta": delta, **form})
        for form in FORMS + WEIGHTED
        for delta in (0.25, 1.0)
    ],
    "cross_entropy": [
        *(
            ([normal(3, 4)], {"target": target, "smoothing": smoothing, **form, **more})
            for form in WEIGHTED
            for smoothing, target, more in [
                (0.0, LABELS, {}),
                (0.1, LABELS, {"ignore_index": 3}),
                (0.1, LABELS, {"class_weight": [0.5, 1.0, 2.0, 3.0], "ignore_index": 0}),
                (0.0, LABELS, {"class_weight": "balanced"}),
                (0.1, positive(3, 4), {"class_weight": [0.5, 1.0, 2.0, 3.0]}),
            ]
        ),
        *(
            ([x], {"target": target, "smoothing": smoothing, **form})
            for form in FORMS
            for smoothing in (0.0, 0.1)
            for x, target in [
                (normal(3, 4), LABELS),
                (normal(3, 4), positive(3, 4)),
                (normal(2, 3, 2), positive(2, 3, 2)),
            ]
        ),
    ],
}
each_case = pytest.mark.parametrize(
    ("name", "arrays", "options"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
    ids=[f"{name}-{i}" for name, cases in CASES.items() for i in range(len(cases))],
)
MOVEMENT_OPS = ("reshape", "transpose", "getitem", "concatenate", "stack")


def op_walkthrough(name, arrays, options, dtype=float):
    """One op, forward and backward from a random gradient: the walkthrough, op and gradients."""
    leaves = [dl.Tensor(x, requires_grad=True, dtype=dtype) for x in arrays]
    function = PUBLIC.get(name, getattr(dl, name, None))
    with dl.trace() as walk:
        y = function(*leaves, **options)
        y.backward(np.random.default_rng(7).normal(size=y.shape))
    (op,), ((op_gradient,),) = walk.ops, [backward.op_gradients for backward in walk.backwards]
    assert op.function is OPS[name]
    np.testing.assert_array_equal(op.value.data, y.data)
    for i, leaf in enumerate(leaves):
        np.testing.assert_array_equal(op_gradient.summed(i), leaf.grad)
    return walk, op, op_gradient


def training_walkthrough(dtype=np.float32, steps=1, optimizer=optim.Adam):
    """The walkthrough of some steps of a 2-2-1 network on two samples, and the network."""
    x, y = np.array([[0.5, -1.2], [1.0, 0.3]], dtype), np.array([[1.0], [0.0]], dtype)
    with dl.default_dtype(dtype):
        model = nn.MLP([2, 2, 1], "tanh", rng=0)
    rule = optimizer(model, lr=0.1)
    with dl.trace() as walk:
        for _ in range(steps):
            rule.zero_grad()
            loss = losses.mse(model(x), y)
            loss.backward()
            rule.step()
    return walk, model


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


def small_walkthrough(rule=optim.Adam, steps=1):
    """The walkthrough of some steps of a 2-2-1 network on two samples."""
    walk, _ = training_walkthrough(optimizer=rule, steps=steps)
    return walk


def branched_walkthrough():
    """The walkthrough of a graph whose values are used several times, not always in succession."""
    w = dl.Tensor(np.array([0.5, -1.5]), requires_grad=True)
    with dl.trace() as walk:
        a = dl.tanh(w)
        b = a * w
        c = b + a
        d = dl.exp(a) * c
        (d * b).sum().backward()
    return walk


def of_phase(steps, phase):
    return [step for step in steps if step.phase == phase]


def parts_of(walk):
    """The parts of all steps of a walkthrough."""
    return [part for step in walk.steps for part in step.parts]


def assert_close(found, expected, precision):
    """Assert that numbers agree to a relative or absolute precision."""
    np.testing.assert_allclose(found, expected, rtol=precision, atol=precision)


# --- every form of every rule in a walkthrough --------------------------------------------------


def defaults(rule):
    """The options of a rule and their defaults."""
    parameters = inspect.signature(getattr(optim, rule)).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "params"}


OTHER_VALUES = {  # for each option of a rule a value that is not its default
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
REQUIRED_OPTIONS = {"nesterov": {"momentum": 0.5}, "dampening": {"momentum": 0.5}}
COMMON_OPTIONS = ("lr", "weight_decay", "maximize")
COMBINATIONS = {
    "RMSprop": {"momentum": 0.5, "centered": True, "eps_inside_sqrt": False},
    "FTRL": {"warm_start": False, "l1": 0.05, "l2": 0.2, "beta": 0.5},
    "Adam": {"amsgrad": True, "betas": (0.0, 0.5)},
}
FORMS_OF_RULES = [
    *((rule, {}) for rule in RULES),
    *(
        (rule, {option: OTHER_VALUES.get(option, not default), **REQUIRED_OPTIONS.get(option, {})})
        for rule in RULES
        for option, default in defaults(rule).items()
        if option not in COMMON_OPTIONS
    ),
    *COMBINATIONS.items(),
]
each_form_of_a_rule = pytest.mark.parametrize(
    ("rule", "options"),
    FORMS_OF_RULES,
    ids=["-".join([rule, *map(str, options)]) for rule, options in FORMS_OF_RULES],
)


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


# --- every formula ------------------------------------------------------------------------------

REDUCTIONS = ("mean", "Σ ", "")  # what a loss's reduction is in its formula


def stated_equations():
    """(name of the op or rule, line) for every formula and equation in the library."""
    for name, op in vars(ops).items():
        if hasattr(op, "formula") and not op.movement and not op.variadic:
            for line, word in itertools.product((op.formula, *op.derivatives), REDUCTIONS):
                yield name, line.replace("reduction", word)
    for name, rule in vars(optim).items():
        if isinstance(rule, type) and issubclass(rule, optim.Optimizer):
            for line in filter(str.strip, (optim.optimizer.COMMON + rule.equations).splitlines()):
                yield name, line


EQUATIONS = {f"{name}: {line.strip()}": line for name, line in stated_equations()}
each_equation = pytest.mark.parametrize("line", EQUATIONS.values(), ids=EQUATIONS)

SMALL_TREES = st.sampled_from(
    [*(("name", symbol) for symbol in "abcd"), ("number", "2"), ("number", "½")]
)


def larger_trees(part):
    """Trees of which these are parts."""
    compared = st.tuples(st.sampled_from("<>=≠≤≥"), part, part)
    power = st.sampled_from([("number", "2"), ("number", "3"), ("name", "d")])
    condition = st.one_of(
        compared,
        st.tuples(st.sampled_from(["and", "or"]), compared, compared),
        compared.map(lambda c: ("not", c)),
    )
    return st.one_of(
        st.tuples(st.sampled_from("+−·/"), part, part),
        st.tuples(st.just("^"), part, power),
        part.map(lambda x: ("negative", x)),
        SMALL_TREES.map(lambda x: ("abs", x)),
        compared.map(lambda c: ("indicator", c)),
        part.map(lambda x: ("call", "√", x)),
        part.map(lambda x: ("call", "tanh", x)),
        st.tuples(st.just("call"), st.sampled_from(["max", "min"]), part, part),
        st.tuples(st.just("if"), part, condition, part),
    )


ANY_TREE = st.recursive(SMALL_TREES, larger_trees, max_leaves=8)


# --- a worked line, as a reader computes it -----------------------------------------------------

SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))
SIGNS = {"·": "*", "−": "-", "^": "**", "½": "0.5", "≠": "!=", "≤": "<=", "≥": ">=", " = ": " == "}
FUNCTIONS = {
    "max": lambda *x: max(x),
    "min": lambda *x: min(x),
    "abs": abs,
    "holds": float,
    "root": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "ln": np.log,
    "sgn": np.sign,
    "σ": lambda x: 1 / (1 + np.exp(-x)),
    "Φ": lambda x: math.erfc(-x / math.sqrt(2)) / 2,
    "φ": lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    "e": math.e,
    "inf": math.inf,
    "nan": math.nan,
}


def evaluate_line(tokens):
    """A worked line as a reader computes it: with all digits, by Python's precedence."""
    line = "".join(t if isinstance(t, str) else t.exact for t in tokens)
    line = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: f"**({''.join(SUPERSCRIPTS[c] for c in m[0])})", line)
    for sign, python in SIGNS.items():
        line = line.replace(sign, python)
    line = re.sub(r"√(-?[\d.]+(e[-+]?\d+)?|nan|-?inf)", r"root(\1)", line).replace("√", "root")
    line = re.sub(r"\|([^|]*)\|", r"abs(\1)", line).replace("[", "holds(").replace("]", ")")
    with np.errstate(all="ignore"):
        return eval(line, FUNCTIONS)


# The public names of each module.
NAMES = public_names.names()  # {module: its public names}
