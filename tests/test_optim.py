"""The update rules through their classes, and what all optimizers share."""

import copy
import dataclasses
import inspect
import json
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.schedulers import Constant, CosineDecay, LinearDecay, Schedule, StepDecay, WarmUp

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("trajectories.json").read_text())
RULES = [name for name, thing in vars(dl.optim).items() if hasattr(thing, "slots")]
RULES.remove("Optimizer")
EVERY_RULE = pytest.mark.parametrize("rule", RULES)

# Options that give a rule all the state it can have.
FULL = {
    "SGD": {"momentum": 0.9},
    "Adagrad": {"initial_accumulator": 0.1, "lr_decay": 0.1},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True},
    "AdamW": {"amsgrad": True},
    "FTRL": {"l1": 0.01, "l2": 0.1},
}


def make(rule, params, **options):
    return getattr(dl.optim, rule)(params, **options)


def weights(values, dtype="float64", name=None):
    return dl.Tensor(np.array(values, dtype), True, name=name)


def descend(optimizer, w, gradients):
    """The weights after each step with the given gradients."""
    path = []
    for g in gradients:
        w.grad = np.asarray(g, w.dtype)
        optimizer.step()
        path.append(w.data.copy())
    return path


def assert_follows(rule, theta, gradients, lr, rtol=1e-12, **options):
    w = weights(theta)
    computed = descend(make(rule, [w], lr=lr, **options), w, gradients)
    expected = getattr(reference, rule.lower())(theta, gradients, lr, **options)
    np.testing.assert_allclose(computed, expected, rtol, atol=rtol)


# --- against the equations ------------------------------------------------------------------------

flags, shares, eps = st.booleans(), st.floats(0, 0.99), st.floats(1e-6, 1)
adam_options = {"betas": st.tuples(shares, shares), "eps": eps, "amsgrad": flags}
OPTIONS = {
    "SGD": [
        {"momentum": shares, "dampening": st.floats(0, 1)},
        {"momentum": st.floats(0.1, 2), "nesterov": st.just(True)},
    ],
    "Momentum": [{"beta": shares}],
    "NAG": [{"beta": shares}],
    "Adagrad": [
        {
            "eps": eps,
            "initial_accumulator": st.floats(0, 1),
            "lr_decay": st.floats(0, 1),
            "eps_inside_sqrt": flags,
        }
    ],
    "RMSprop": [
        {
            "alpha": st.floats(0.5, 0.99),
            "eps": eps,
            "momentum": st.sampled_from([0.0, 0.5, 0.9]),
            "centered": flags,
            "eps_inside_sqrt": flags,
        }
    ],
    "Adam": [adam_options],
    "AdamW": [adam_options],
    "Adadelta": [{"rho": shares, "eps": eps}],
    "FTRL": [
        {
            "beta": st.floats(0.1, 2),
            "l1": st.sampled_from([0.0, 0.1, 1.0]),
            "l2": st.sampled_from([0.0, 0.5]),
            "lr_power": st.sampled_from([-0.5, -1.0, -0.3, 0.0]),
            "initial_accumulator": st.sampled_from([0.0, 0.1]),
            "warm_start": flags,
        }
    ],
}
SHARED = {"weight_decay": st.sampled_from([0.0, 0.01, 0.5]), "maximize": flags}
SHAPES = st.sampled_from([(), (0,), (1,), (7,), (3, 0), (2, 3), (1, 1, 1), (2, 1, 3)])
RATES = [0.0, 0.01, 0.3]
SCHEDULES = [StepDecay(0.3, 2, 0.5), LinearDecay(0.3, 4), WarmUp(CosineDecay(0.3, 5), 3)]


def options_of(rule):
    return st.one_of([st.fixed_dictionaries(own, optional=SHARED) for own in OPTIONS[rule]])


@st.composite
def problems(draw):
    """Initial weights and a few gradients, some of them 0, of any shape."""
    rng, shape = np.random.default_rng(draw(st.integers(0, 10**6))), draw(SHAPES)
    theta, *gradients = rng.normal(size=(draw(st.integers(2, 8)), *shape))
    return theta, [g * (rng.random(shape) < 0.8) for g in gradients]


@EVERY_RULE
@given(data=st.data(), problem=problems())
def test_rule_follows_its_equations(rule, data, problem):
    rates = RATES[1:] if rule == "FTRL" else RATES + SCHEDULES  # the paper's FTRL has one α > 0
    lr = data.draw(st.sampled_from(rates))
    assert_follows(rule, *problem, lr, **data.draw(options_of(rule)))


@EVERY_RULE
@given(problem=problems())
def test_defaults_are_those_of_the_equations(rule, problem):
    assert_follows(rule, *problem, 0.1)


@EVERY_RULE
def test_float32_weights_follow_the_equations_within_their_rounding(rule, rng):
    theta, *gradients = rng.normal(size=(20, 50)).astype(np.float32)
    w = weights(theta, "float32")
    computed = descend(make(rule, [w], lr=0.1), w, gradients)
    expected = getattr(reference, rule.lower())(theta, gradients, 0.1)
    assert w.dtype == np.float32
    np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-5)


@EVERY_RULE
def test_a_gradient_in_fortran_order_or_with_strides_is_taken_entry_by_entry(rule, rng):
    theta, g = rng.normal(size=(2, 3, 4))
    expected = getattr(reference, rule.lower())(theta, [g], 0.1)[0]
    for given_as in (np.asfortranarray(g), np.repeat(g, 2, axis=1)[:, ::2]):
        w = weights(theta)
        w.grad = given_as
        make(rule, [w], lr=0.1).step()
        np.testing.assert_allclose(w.data, expected, rtol=1e-12)
        np.testing.assert_array_equal(given_as, g)


# Rule, options beside lr=0.1, and the weight 1 after one update with the gradient 2.
FIRST_STEPS = [
    ("SGD", {}, 1 - 0.1 * 2),
    ("SGD", {"maximize": True}, 1 + 0.1 * 2),
    ("SGD", {"weight_decay": 0.5}, 1 - 0.1 * 2.5),  # g = 2 + 0.5·1
    ("SGD", {"weight_decay": 0.5, "maximize": True}, 1 + 0.1 * 1.5),  # g = −2 + 0.5·1
    ("SGD", {"momentum": 0.9}, 1 - 0.1 * 2),  # b = g
    ("SGD", {"momentum": 0.9, "dampening": 0.5}, 1 - 0.1 * 2),  # b = g, undamped
    ("SGD", {"momentum": 0.9, "nesterov": True}, 1 - 0.1 * 3.8),  # 2 + 0.9·2
    ("Momentum", {"beta": 0.75}, 1 - 0.1 * 0.5),  # v = 0.25·2
    ("NAG", {"beta": 0.75}, 1 - 0.1 * 0.875),  # 0.75·0.5 + 0.25·2
    ("Adagrad", {"eps": 12}, 1 - 0.1 * 2 / 4),  # √(4 + 12)
    ("Adagrad", {"eps": 2, "eps_inside_sqrt": False}, 1 - 0.1 * 2 / 4),  # √4 + 2
    ("Adagrad", {"eps": 9, "initial_accumulator": 12}, 1 - 0.1 * 2 / 5),  # √(12 + 4 + 9)
    ("Adagrad", {"eps": 12, "lr_decay": 0.5}, 1 - 0.1 * 2 / 4),  # the rate falls from t = 2
    ("RMSprop", {"alpha": 0.75, "eps": 3}, 1 - 0.1 * 2 / 2),  # √(0.25·4 + 3)
    ("RMSprop", {"alpha": 0.75, "eps": 3, "eps_inside_sqrt": False}, 1 - 0.1 * 2 / 4),  # √1 + 3
    ("RMSprop", {"alpha": 0.75, "eps": 0.25, "centered": True}, 1 - 0.1 * 2),  # √(1 − ½² + ¼)
    ("RMSprop", {"alpha": 0.75, "eps": 3, "momentum": 0.9}, 1 - 0.1 * 2 / 2),  # b = 2/2
    ("Adam", {"eps": 2}, 1 - 0.1 * 2 / 4),  # m̂ = 2, √v̂ = 2
    ("Adam", {"eps": 2, "amsgrad": True}, 1 - 0.1 * 2 / 4),
    ("Adam", {"eps": 2, "weight_decay": 2}, 1 - 0.1 * 4 / 6),  # g = 2 + 2·1
    ("AdamW", {"eps": 2, "weight_decay": 2}, 0.8 - 0.1 * 2 / 4),  # 1 − 0.1·2, then Adam
    ("AdamW", {"eps": 2}, 0.999 - 0.1 * 2 / 4),  # 1 − 0.1·0.01, then Adam
    ("Adadelta", {"rho": 0.75, "eps": 1 / 3}, 1 - 0.1 * 1),  # 2 √⅓ / √(1 + ⅓)
    ("FTRL", {}, 1 - 0.1 * 2 / 3),  # θ − α g / (1 + √4)
    ("FTRL", {"beta": 2}, 1 - 0.1 * 2 / 4),  # z = −20 + 2 − 20·1, 38 / 40
    ("FTRL", {"l2": 10}, 38 / 40),  # z = −(10 + 10) + 2 − 20, divided by 3/0.1 + 10
    ("FTRL", {"l1": 5}, 28 / 30),  # z = −(10 + 5) + 2 − 20, of which 5 are cut off
    ("FTRL", {"warm_start": False}, 18 / 30),  # z = 2 − 20·1
    ("FTRL", {"warm_start": False, "l1": 3}, 15 / 30),
    ("FTRL", {"warm_start": False, "l1": 18}, 0.0),
    ("FTRL", {"lr_power": -1}, 48 / 50),  # σ = 4/0.1: z = −10 + 2 − 40, (1 + 4)/0.1
    ("FTRL", {"initial_accumulator": 12}, 48 / 50),  # 1 + √12 cancels: 1 − 0.1·2/(1 + √16) = 0.96
]


@pytest.mark.parametrize(("rule", "options", "expected"), FIRST_STEPS)
@pytest.mark.parametrize(("dtype", "rel"), [("float64", 1e-15), ("float32", 3e-7)])
def test_first_step_is_the_one_computed_by_hand(rule, options, expected, dtype, rel):
    w = weights([1.0], dtype)
    descend(make(rule, [w], lr=0.1, **options), w, [[2.0]])
    assert w.data[0] == pytest.approx(expected, rel=rel, abs=rel)


# --- against PyTorch ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "Adadelta"])
def test_rule_equals_pytorch_over_many_steps(rule):
    problem = {name: np.array(values) for name, values in GOLDEN["problem"].items()}
    convention = {"eps_inside_sqrt": False} if rule in ("Adagrad", "RMSprop") else {}
    runs = [run for run in GOLDEN["runs"] if run["rule"] == rule]
    assert len(runs) >= 20
    for run in runs:
        w, path = weights(problem["start"]), []
        optimizer = make(rule, [w], **convention, **run["options"])
        for noise in problem["noise"]:
            w.grad = problem["curvature"] * (w.data - problem["target"]) + noise
            optimizer.step()
            path.append(w.data.copy())
        kept = [path[step - 1] for step in GOLDEN["kept"]]
        np.testing.assert_allclose(kept, run["theta"], 1e-10, 1e-10, err_msg=str(run["options"]))
    assert GOLDEN["kept"][-1] == 200


# --- what the papers promise ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_adams_first_step_is_the_rate_against_the_sign(dtype, size):
    w = weights([0.0, 0.0, 0.0], dtype)
    g = size * np.array([3.0, -0.2, 0.0])
    descend(dl.optim.Adam([w], lr=0.5, eps=1e-12), w, [g])
    np.testing.assert_allclose(w.data, -0.5 * np.sign(g), rtol=1e-6)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.99, 0.99999), (0.0, 0.5)])
@pytest.mark.parametrize("rule", ["Adam", "AdamW"])
def test_bias_correction_is_exact_in_float32(rule, betas):
    w = weights([0.0], "float32")
    optimizer = make(rule, [w], lr=1.0, betas=betas, weight_decay=0.0)
    path = descend(optimizer, w, np.full((10, 1), 0.37))
    np.testing.assert_allclose(path, -np.arange(1.0, 11)[:, None], rtol=1e-6)


def test_nag_holds_the_look_ahead_points_of_the_two_point_algorithm(rng):
    eta, beta = 0.05, 0.9
    theta = rng.normal(size=5)
    w, v = weights(theta), np.zeros(5)
    optimizer = dl.optim.NAG([w], lr=eta, beta=beta)
    for _ in range(50):
        look_ahead = theta - eta * beta * v
        np.testing.assert_allclose(w.data, look_ahead, rtol=1e-12, atol=1e-14)
        v = beta * v + (1 - beta) * np.sinh(look_ahead)
        theta = theta - eta * v
        w.grad = np.sinh(w.data)
        optimizer.step()


def test_adadelta_has_the_units_of_the_weights():
    """Gradients a thousand times as large give the same steps, once ε is negligible."""
    paths = []
    for scale in (1.0, 1000.0):
        w = weights([0.0])
        gradients = scale * np.array([[3.0], [-2.0], [5.0]])
        paths.append(descend(dl.optim.Adadelta([w], eps=1e-10), w, gradients))
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-8)


@pytest.mark.parametrize("gradient", [0.0, 1e-13])
@pytest.mark.parametrize("l1", [0.0, 2.0])
@pytest.mark.parametrize("l2", [0.0, 3.0])
@pytest.mark.parametrize("accumulator", [0.0, 0.5])
def test_ftrl_starts_from_the_initial_weights(gradient, l1, l2, accumulator):
    theta = [0.7, -0.3, 1e-3, 0.0]
    w = weights(theta)
    optimizer = dl.optim.FTRL([w], lr=0.2, l1=l1, l2=l2, initial_accumulator=accumulator)
    descend(optimizer, w, [np.full(4, gradient)])
    np.testing.assert_allclose(w.data, theta, rtol=1e-9, atol=0 if gradient == 0 else 1e-12)
    assert gradient != 0 or w.data.tobytes() == np.array(theta).tobytes()


def test_ftrl_makes_exact_zeros_under_l1(rng):
    w = weights(rng.normal(size=100) * 0.1)
    optimizer = dl.optim.FTRL([w], lr=0.5, l1=5.0, warm_start=False)
    target = np.where(np.arange(100) < 10, 5.0, 0.0)
    for _ in range(100):
        w.grad = w.data - target + 0.1 * rng.normal(size=100)
        optimizer.step()
    assert np.all(w.data[:10] > 1)
    assert np.all(w.data[10:] == 0)


def lowest(objective, low, high):
    """Where convex functions of one number, side by side, are lowest: golden-section search."""
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(100):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        keep_left = objective(left) <= objective(right)
        low, high = np.where(keep_left, low, left), np.where(keep_left, right, high)
    return (low + high) / 2


@pytest.mark.parametrize("warm_start", [True, False])
@pytest.mark.parametrize(("beta", "l1", "l2"), [(0, 0, 0.5), (0, 0.8, 0), (1, 0.8, 0.5), (1, 3, 0)])
def test_ftrl_minimises_its_regularised_sum(beta, l1, l2, warm_start, rng):
    alpha, size = 0.5, 40
    start, *gradients = rng.normal(size=(7, size))
    w = weights(start)
    options = {"beta": beta, "l1": l1, "l2": l2, "warm_start": warm_start}
    optimizer = dl.optim.FTRL([w], lr=alpha, **options)
    linear = -start * (beta / alpha + l2) - np.sign(start) * l1 if warm_start else np.zeros(size)
    seen, n = [], np.zeros(size)  # (σ_s, θ_s)
    for g in gradients:
        linear = linear + g
        seen.append(((np.sqrt(n + g**2) - np.sqrt(n)) / alpha, w.data.copy()))
        n = n + g**2

        def objective(theta, linear=linear):
            proximal = sum(sigma * (theta - theta_s) ** 2 for sigma, theta_s in seen)
            ridge = (beta / alpha + l2) * theta**2
            return linear * theta + (proximal + ridge) / 2 + l1 * abs(theta)

        descend(optimizer, w, [g])
        leader = lowest(objective, np.full(size, -50.0), np.full(size, 50.0))
        np.testing.assert_allclose(w.data, leader, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("warm_start", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ftrl_never_divides_zero_by_zero(warm_start, dtype):
    w = weights([0.5, -0.5, 0.0, 0.5], dtype)
    optimizer = dl.optim.FTRL([w], beta=0.0, warm_start=warm_start)
    path = descend(optimizer, w, [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert np.isfinite(path).all()
    assert w.data[0] == 0.5


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_ftrl_with_a_changing_rate_is_adaptive_gradient_descent(beta, rng):
    theta, *gradients = rng.normal(size=(9, 20))
    lr, w = LinearDecay(0.5, 6), weights(theta)
    path = descend(dl.optim.FTRL([w], lr=lr, beta=beta), w, gradients)
    n = np.zeros(20)
    for t, g in enumerate(gradients):
        n += g**2
        theta = theta - lr(t) * g / (beta + np.sqrt(n))
        np.testing.assert_allclose(path[t], theta, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("lr", [LinearDecay(0.5, 3), WarmUp(LinearDecay(0.5, 2), 2), 0.0])
@pytest.mark.parametrize("options", [{}, {"l1": 0.5, "l2": 0.5}, {"warm_start": False}])
def test_ftrl_stays_finite_when_the_rate_reaches_zero(lr, options, rng):
    theta, *gradients = rng.normal(size=(9, 20))
    w = weights(theta)
    assert np.isfinite(descend(dl.optim.FTRL([w], lr=lr, **options), w, gradients)).all()


@pytest.mark.parametrize(
    ("rule", "options"),
    [(rule, {}) for rule in RULES]
    + list(FULL.items())
    + [("FTRL", {"beta": 0.0}), ("Adagrad", {"eps_inside_sqrt": False})],
)
@pytest.mark.parametrize("size", [1e25, 1e15, 1e-15, 1e-25, 1e-40])
def test_huge_and_tiny_float32_gradients_leave_finite_weights(rule, options, size):
    w = weights([1.0, -1.0, 0.5, 0.0], "float32")
    gradients = size * np.array([[1, 2, 0, 3], [-1, 2, 0, 0], [3, 0, 1, -2]])
    path = descend(make(rule, [w], lr=0.01, **options), w, gradients)
    assert np.isfinite(path).all()


# --- the interface --------------------------------------------------------------------------------

SIGNATURES = {
    "SGD": {"lr": 1e-2, "momentum": 0.0, "dampening": 0.0, "nesterov": False},
    "Momentum": {"lr": 1e-2, "beta": 0.9},
    "NAG": {"lr": 1e-2, "beta": 0.9},
    "Adagrad": {
        "lr": 1e-2,
        "eps": 1e-10,
        "initial_accumulator": 0.0,
        "lr_decay": 0.0,
        "eps_inside_sqrt": True,
    },
    "RMSprop": {
        "lr": 1e-2,
        "alpha": 0.99,
        "eps": 1e-8,
        "momentum": 0.0,
        "centered": False,
        "eps_inside_sqrt": True,
    },
    "Adam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False},
    "AdamW": {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "amsgrad": False,
        "weight_decay": 1e-2,
    },
    "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6},
    "FTRL": {
        "lr": 0.1,
        "beta": 1.0,
        "l1": 0.0,
        "l2": 0.0,
        "lr_power": -0.5,
        "initial_accumulator": 0.0,
        "warm_start": True,
    },
}


@EVERY_RULE
def test_signature_has_these_names_and_defaults(rule):
    parameters = inspect.signature(getattr(dl.optim, rule)).parameters
    assert list(parameters)[:2] == ["params", "lr"]
    by_position = {n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    by_keyword = {n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert by_position == {"params", "lr"}
    assert by_position | by_keyword == set(parameters)
    defaults = {n: p.default for n, p in parameters.items() if n != "params"}
    assert defaults == {"weight_decay": 0.0, "maximize": False, **SIGNATURES[rule]}


@EVERY_RULE
def test_options_are_keyword_only_and_lr_is_not(rule):
    assert make(rule, [weights([1.0])]).lr == SIGNATURES[rule]["lr"]
    assert getattr(dl.optim, rule)([weights([1.0])], 0.25).lr == 0.25
    with pytest.raises(TypeError, match="positional"):
        getattr(dl.optim, rule)([weights([1.0])], 0.25, 0.5)


@EVERY_RULE
def test_repr_shows_every_option_and_the_step(rule):
    w = weights([1.0, 2.0, 3.0])
    optimizer = make(rule, [w], lr=LinearDecay(0.5, 10))
    descend(optimizer, w, [np.ones(3)] * 4)
    text = repr(optimizer)
    assert text.startswith(f"{rule}(")
    for name, default in {**SIGNATURES[rule], "lr": LinearDecay(0.5, 10)}.items():
        assert f"{name}={default!r}" in text
    assert re.search(r"\b3 param", text)
    assert re.search(r"\bstep 4\b", text)


def test_repr_shows_every_group():
    groups = [{"params": [weights([1.0])], "lr": 0.5}, {"params": [weights([1.0])], "lr": 0.25}]
    text = repr(dl.optim.SGD(groups, momentum=0.75))
    assert text.count("momentum=0.75") == 2
    assert text.index("lr=0.5") < text.index("lr=0.25")


# --- parameters and groups ------------------------------------------------------------------------


def network(seed=0, dtype="float64"):
    with dl.default_dtype(dtype):
        return dl.nn.MLP([3, 4, 2], "tanh", rng=seed)


def train(model, optimizer, steps, seed=1):
    """A few steps on noise; returns the weights after each."""
    rng, path = np.random.default_rng(seed), []
    for _ in range(steps):
        optimizer.zero_grad()
        dl.losses.mse(model(rng.normal(size=(5, 3))), rng.normal(size=(5, 2))).backward()
        optimizer.step()
        path.append([p.data.tobytes() for p in model.parameters()])
    return path


@pytest.mark.parametrize(
    "params",
    [
        lambda model: model,
        lambda model: model.parameters(),
        lambda model: list(model.parameters()),
        lambda model: tuple(model.parameters()),
        lambda model: model.named_parameters(),
        lambda model: [{"params": model}],
        lambda model: [{"params": [p]} for p in model.parameters()],
        lambda model: [*model.parameters(), *model.parameters()],
    ],
)
def test_parameters_may_come_in_every_form(params):
    model, again = network(), network()
    optimizer = dl.optim.Adam(params(model), lr=0.1)
    assert train(model, optimizer, 3) == train(again, dl.optim.Adam(again, lr=0.1), 3)
    held = [p for group in optimizer.groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}


@EVERY_RULE
def test_a_parameter_given_twice_is_updated_once(rule):
    w, once = weights([1.0, -2.0]), weights([1.0, -2.0])
    twice = descend(make(rule, [w, w, ("w", w)], lr=0.1), w, [[1.0, 2.0]] * 3)
    np.testing.assert_array_equal(
        twice, descend(make(rule, [once], lr=0.1), once, [[1.0, 2.0]] * 3)
    )


@EVERY_RULE
def test_groups_have_their_own_options_and_share_the_rest(rule):
    (name, value), *_ = {"weight_decay": 0.5, **FULL.get(rule, {})}.items()
    own, shared = weights([1.0, -2.0]), weights([1.0, -2.0])
    groups = [{"params": [own], "lr": 0.2, name: value}, {"params": [shared]}]
    optimizer = make(rule, groups, lr=0.1, maximize=True)
    gradients = [np.array([1.0, 2.0]), np.array([-1.0, 0.5]), np.array([0.3, 0.0])]
    for g in gradients:
        own.grad = g
        descend(optimizer, shared, [g])
    twin = getattr(reference, rule.lower())
    start = np.array([1.0, -2.0])
    expected = twin(start, gradients, 0.2, maximize=True, **{name: value})[-1]
    np.testing.assert_allclose(own.data, expected, rtol=1e-12)
    np.testing.assert_allclose(
        shared.data, twin(start, gradients, 0.1, maximize=True)[-1], rtol=1e-12
    )
    assert [group["lr"] for group in optimizer.groups] == [0.2, 0.1]
    assert optimizer.lr == 0.2


def test_groups_share_the_clock_of_their_schedules():
    a, b, c = (weights([0.0]) for _ in range(3))
    first, second = LinearDecay(1.0, 4), StepDecay(1.0, 1, 0.5)
    groups = [{"params": [a], "lr": first}, {"params": [b], "lr": second}, {"params": [c]}]
    optimizer = dl.optim.SGD(groups, lr=0.125)
    for t in range(6):
        assert (optimizer.t, optimizer.lr) == (t, first(t))
        before = [float(p.data[0]) for p in (a, b, c)]
        a.grad = b.grad = c.grad = np.ones(1)
        optimizer.step()
        fell = [was - float(p.data[0]) for was, p in zip(before, (a, b, c), strict=True)]
        assert fell == pytest.approx([first(t), second(t), 0.125], abs=1e-15)
    assert optimizer.t == 6


@EVERY_RULE
def test_a_parameter_that_joins_later_has_its_own_count_and_the_common_clock(rule):
    early, late = weights([1.0, 2.0]), weights([1.0, 2.0])
    lr = 0.1 if rule == "FTRL" else StepDecay(0.4, 2, 0.5)
    optimizer = make(rule, [early, late], lr=lr, **FULL.get(rule, {}))
    gradients = np.array([[1.0, -1.0], [0.5, 2.0], [-1.0, 1.0]])
    descend(optimizer, early, gradients)
    np.testing.assert_array_equal(late.data, [1.0, 2.0])
    assert late.version == 0
    early.grad = None
    path = descend(optimizer, late, gradients)
    rates = lr if rule == "FTRL" else lambda t: lr(t + 3)
    expected = getattr(reference, rule.lower())([1.0, 2.0], gradients, rates, **FULL.get(rule, {}))
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-14)


@EVERY_RULE
def test_parameters_without_a_gradient_are_left_alone(rule):
    used, unused = weights([1.0]), weights([1.0])
    optimizer = make(rule, [unused, used], lr=0.1, weight_decay=0.5)
    descend(optimizer, used, [[1.0], [1.0]])
    assert (unused.data[0], unused.version) == (1.0, 0)
    assert (used.data[0] != 1.0, used.version) == (True, 2)


@pytest.mark.parametrize("stale", [False, True])
def test_a_frozen_parameter_is_left_alone(stale):
    frozen, free = weights([1.0]), weights([1.0])
    optimizer = dl.optim.SGD([frozen, free], lr=0.1)
    frozen.grad = np.ones(1) if stale else None
    frozen.requires_grad = False
    descend(optimizer, free, [[1.0]])
    assert (frozen.data[0], free.data[0]) == (1.0, 0.9)


@EVERY_RULE
def test_weights_are_updated_in_place_and_counted_as_changed(rule):
    w = weights([[1.0, 2.0], [3.0, 4.0]])
    array = w.data
    graph = (w * w).sum()
    descend(make(rule, [w], lr=0.1), w, [np.ones((2, 2))])
    assert w.data is array
    assert w.version == 1
    with pytest.raises(RuntimeError, match="was changed"):
        graph.backward()


# --- the step, the rate, the count ----------------------------------------------------------------


def test_the_rate_can_be_set_for_every_group_to_a_number_or_a_schedule():
    a, b = weights([0.0]), weights([0.0])
    optimizer = dl.optim.SGD([{"params": [a], "lr": 0.5}, {"params": [b], "lr": 0.25}])
    optimizer.lr = 0.125
    a.grad = b.grad = np.ones(1)
    optimizer.step()
    assert (a.data[0], b.data[0]) == (-0.125, -0.125)
    optimizer.lr = StepDecay(1.0, 1, 0.5)
    assert optimizer.lr == 0.5  # the clock has gone on
    optimizer.step()
    assert (a.data[0], b.data[0]) == (-0.625, -0.625)


@pytest.mark.parametrize(
    ("value", "error"),
    [(value, ValueError) for value in (math.nan, -1, math.inf)]
    + [(value, TypeError) for value in ("0.1", None, True, [0.1])],
)
def test_a_bad_rate_is_refused_and_the_old_one_stays(value, error):
    optimizer = dl.optim.Adam([weights([1.0])], lr=0.5)
    with pytest.raises(error, match=rf"^Adam: lr must be .*, got {re.escape(repr(value))}"):
        optimizer.lr = value
    assert optimizer.lr == 0.5


@EVERY_RULE
def test_step_without_any_gradient_says_what_to_call(rule):
    model = network()
    optimizer = make(rule, model, lr=0.1)
    train(model, optimizer, 2)
    before = snapshot(model.parameters(), optimizer)
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(
        RuntimeError, match=rf"^{rule}\.step: no parameter has a gradient.*backward"
    ):
        optimizer.step()
    np.testing.assert_equal(snapshot(model.parameters(), optimizer), before)


def snapshot(params, optimizer):
    """All that a step may change."""
    return [(p.data.tobytes(), p.version) for p in params], optimizer.t, optimizer.state_dict()


@dataclasses.dataclass(frozen=True)
class Falling(Schedule):
    """A schedule that goes wrong at its third step."""

    rate: object

    def formula(self, t):
        return 0.1 if t < 2 else self.rate


def set_gradient(value):
    def spoil(p):
        p.grad = value(p)

    return spoil


def lock(p):
    p.data.flags.writeable = False


SPOILERS = {
    "longer": (set_gradient(lambda p: np.ones((2, 4))), ValueError, "has shape"),
    "of shape (1, 1)": (set_gradient(lambda p: np.ones((1, 1))), ValueError, "has shape"),
    "0-d": (set_gradient(lambda p: np.array(1.0)), ValueError, "has shape"),
    "transposed": (set_gradient(lambda p: np.ones((3, 2))), ValueError, "has shape"),
    "flat": (set_gradient(lambda p: np.ones(6)), ValueError, "has shape"),
    "float32": (set_gradient(lambda p: np.ones((2, 3), np.float32)), TypeError, "dtype"),
    "integers": (set_gradient(lambda p: np.ones((2, 3), int)), TypeError, "dtype"),
    "a list": (set_gradient(lambda p: [[1.0] * 3] * 2), TypeError, "NumPy array"),
    "a tensor": (set_gradient(lambda p: dl.Tensor(np.ones((2, 3)))), TypeError, "NumPy array"),
    "a number": (set_gradient(lambda p: 1.0), TypeError, "NumPy array"),
    "for read-only weights": (lock, ValueError, "read-only"),
}


@EVERY_RULE
@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("grouped", [False, True])
def test_a_step_that_fails_changes_nothing(rule, spoiler, grouped, rng):
    spoil, error, words = SPOILERS[spoiler]
    params = [weights(rng.normal(size=(2, 3)), name=name) for name in ("a", "bad", "c")]
    groups = [{"params": [p]} for p in params] if grouped else params
    optimizer = make(rule, groups, lr=0.1, **FULL.get(rule, {}))

    def give_gradients():
        for p in params:
            p.grad = p.data - 1

    give_gradients()
    optimizer.step()
    give_gradients()
    before, (twins, twin) = snapshot(params, optimizer), copy.deepcopy((params, optimizer))
    spoil(params[1])
    with pytest.raises(error, match=rf"^{rule}\.step: .* bad of shape \(2, 3\).*{words}"):
        optimizer.step()
    np.testing.assert_equal(snapshot(params, optimizer), before)

    params[1].data.flags.writeable = True
    give_gradients()
    optimizer.step()
    twin.step()
    assert [p.data.tobytes() for p in params] == [p.data.tobytes() for p in twins]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, None, "0.1", True])
def test_a_schedule_that_goes_wrong_stops_the_step_before_it_begins(bad):
    a, b = weights([1.0]), weights([1.0])
    optimizer = dl.optim.Adam([{"params": [a]}, {"params": [b], "lr": Falling(bad)}])
    for _ in range(2):
        a.grad = b.grad = np.ones(1)
        optimizer.step()
    before = snapshot([a, b], optimizer)
    with pytest.raises(
        (TypeError, ValueError), match=r"Adam: lr of step 2 must be a finite number"
    ):
        optimizer.step()
    assert repr(snapshot([a, b], optimizer)) == repr(before)


@pytest.mark.parametrize(
    "edit",
    [
        {"lr": math.nan},
        {"lr": "0.1"},
        {"weight_decay": None},
        {"weight_decay": "0.1"},
        {"momentum": "0.9"},
        {"momentum": 0.9},  # needs state that was not made
    ],
)
def test_a_group_that_was_spoiled_never_makes_half_a_step(edit):
    a, b = weights([1.0]), weights([1.0])
    optimizer = dl.optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1)
    a.grad = b.grad = np.ones(1)
    optimizer.step()
    before = snapshot([a, b], optimizer)[:2]

    def edit_and_step():
        optimizer.groups[1].update(edit)
        optimizer.step()

    with pytest.raises((TypeError, ValueError), match=next(iter(edit))):
        edit_and_step()
    assert snapshot([a, b], optimizer)[:2] == before


def test_a_groups_rate_can_be_changed_in_place():
    a, b = weights([1.0]), weights([1.0])
    optimizer = dl.optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.125)
    optimizer.groups[1]["lr"] = 0.5
    a.grad = b.grad = np.ones(1)
    optimizer.step()
    assert (a.data[0], b.data[0]) == (0.875, 0.5)


# --- saving and going on --------------------------------------------------------------------------


def optimizer_of(rule, model, **options):
    rates = {"lr": 0.05 if rule == "FTRL" else StepDecay(0.1, 3, 0.5)}
    return make(rule, model, **{**rates, **FULL.get(rule, {}), **options})


@EVERY_RULE
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(rule, dtype):
    model = network(dtype=dtype)
    optimizer = optimizer_of(rule, model)
    train(model, optimizer, 4)
    saved = model.state_dict(), optimizer.state_dict()
    expected = train(model, optimizer, 4, seed=2)

    resumed = network(seed=5, dtype=dtype)
    resumed.load_state_dict(saved[0])
    later = optimizer_of(rule, resumed, lr=0.7, weight_decay=0.3)
    later.load_state_dict(saved[1])
    assert later.t == 4
    assert train(resumed, later, 4, seed=2) == expected
    np.testing.assert_equal(later.state_dict(), optimizer.state_dict())


@EVERY_RULE
def test_state_is_matched_by_name_whatever_the_order(rule):
    model = network()
    optimizer = optimizer_of(rule, model)
    train(model, optimizer, 4)
    resumed = copy.deepcopy(model)
    later = optimizer_of(rule, list(resumed.named_parameters())[::-1])
    later.load_state_dict(optimizer.state_dict())
    assert train(resumed, later, 4, seed=2) == train(model, optimizer, 4, seed=2)


@EVERY_RULE
def test_state_dict_is_a_deep_copy_keyed_by_name(rule):
    model = network()
    optimizer = optimizer_of(rule, model)
    train(model, optimizer, 2)
    state = optimizer.state_dict()
    names = [name for name, _ in model.named_parameters()]
    assert (state["rule"], state["t"]) == (rule, 2)
    assert list(state["state"]) == state["groups"][0]["params"] == names
    for slots in state["state"].values():
        for value in slots.values():
            if isinstance(value, np.ndarray):
                value.fill(np.nan)
    state["groups"][0]["lr"], state["t"] = 99.0, 77
    assert optimizer.t == 2
    assert optimizer.lr != 99.0
    train(model, optimizer, 1)
    assert all(np.isfinite(p.data).all() for p in model.parameters())


def test_loading_copies_the_state():
    model = network()
    optimizer = dl.optim.Adam(model)
    train(model, optimizer, 2)
    state = optimizer.state_dict()
    before = copy.deepcopy(state)
    optimizer.load_state_dict(state)
    train(model, optimizer, 2)
    np.testing.assert_equal(state, before)
    optimizer.load_state_dict(state)
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_parameters_without_names_are_matched_by_position(rng):
    a, b = weights(rng.normal(size=2)), weights(rng.normal(size=3))
    optimizer = dl.optim.Adam([a, b])
    a.grad, b.grad = np.ones(2), np.ones(3)
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state["state"]) == ["0", "1"]
    later = dl.optim.Adam([weights(a.data), weights(b.data)])
    later.load_state_dict(state)
    np.testing.assert_equal(later.state_dict(), state)


def pair(names=("a", "b"), shape=(2,), dtype="float64"):
    return [weights(np.ones(shape), dtype, name=name) for name in names]


FOREIGN = {
    "another rule": lambda: dl.optim.AdamW(pair()),
    "another subclass": lambda: dl.optim.SGD(pair()),
    "another name": lambda: dl.optim.Adam(pair(("a", "c"))),
    "fewer parameters": lambda: dl.optim.Adam(pair()[:1]),
    "more parameters": lambda: dl.optim.Adam(pair(("a", "b", "c"))),
    "another shape": lambda: dl.optim.Adam(pair(shape=(1, 2))),
    "another dtype": lambda: dl.optim.Adam(pair(dtype="float32")),
    "other slots": lambda: dl.optim.Adam(pair(), amsgrad=True),
    "two groups": lambda: dl.optim.Adam([{"params": [p]} for p in pair()]),
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_the_state_of_another_optimizer_is_refused_and_nothing_changes(foreign):
    params = pair()
    optimizer = dl.optim.Adam(params, lr=0.1)
    descend(optimizer, params[0], [[1.0, 2.0]] * 3)
    before = snapshot(params, optimizer)
    with pytest.raises(ValueError, match=r"^Adam: the .* of the state is .*optimizer's is"):
        optimizer.load_state_dict(FOREIGN[foreign]().state_dict())
    np.testing.assert_equal(snapshot(params, optimizer), before)


def test_parameters_that_changed_groups_are_refused():
    a, b, c = pair(("a", "b", "c"))
    saved = dl.optim.Adam([{"params": [a, b]}, {"params": [c]}]).state_dict()
    optimizer = dl.optim.Adam([{"params": [a]}, {"params": [b, c]}])
    with pytest.raises(ValueError, match=r"^Adam: the group 0 of the state is \['a', 'b'\]"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda state: state.update(t=-1), "t must be"),
        (lambda state: state.pop("t"), "no state_dict"),
        (lambda state: state.pop("rule"), "no state_dict"),
        (lambda state: state.clear(), "no state_dict"),
        (lambda state: state["state"]["b"].update(t=-1), "t of b"),
        (lambda state: state["state"]["b"].update(t="one"), "t of b"),
        (lambda state: state["groups"][0].update(lr=math.nan), "lr must be"),
        (lambda state: state["groups"][0].update(betas=(0.9, 1.0)), r"betas\[1\] must be"),
        (lambda state: state["groups"][0].pop("lr"), "options of group 0"),
        (lambda state: state["groups"][0].update(amsgrad=True), "amsgrad decides"),
        (lambda state: state["state"]["b"].pop("v"), "slot v of b"),
        (lambda state: state["state"]["b"].update(v=np.zeros(3)), "slot v of b"),
    ],
)
def test_a_spoiled_state_is_refused_and_nothing_changes(spoil, words):
    params = pair()
    optimizer = dl.optim.Adam(params, lr=0.1)
    descend(optimizer, params[0], [[1.0, 2.0]] * 3)
    state = optimizer.state_dict()
    spoil(state)
    descend(optimizer, params[0], [[1.0, 2.0]])
    before = snapshot(params, optimizer)
    with pytest.raises(ValueError, match=f"^Adam: .*{words}"):
        optimizer.load_state_dict(state)
    np.testing.assert_equal(snapshot(params, optimizer), before)


@EVERY_RULE
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copied_model_and_optimizer_stay_linked_and_go_on_identically(rule, copied):
    model = network()
    optimizer = optimizer_of(rule, model)
    train(model, optimizer, 3)
    model_copy, optimizer_copy = copied((model, optimizer))
    before = [p.data.tobytes() for p in model.parameters()]
    path = train(model_copy, optimizer_copy, 3, seed=2)
    assert [p.data.tobytes() for p in model.parameters()] == before
    assert path == train(model, optimizer, 3, seed=2)
    assert len(set(map(tuple, path))) == 3


# --- bad input ------------------------------------------------------------------------------------


def consumed(model):
    generator = model.parameters()
    assert list(generator)
    return generator


BAD_PARAMS = {
    "an empty list": (list, ValueError, "there are no parameters"),
    "an empty group": (lambda: [{"params": []}], ValueError, "there are no parameters"),
    "a consumed generator": (lambda: consumed(network()), ValueError, "consumed"),
    "a module without any": (dl.nn.ReLU, ValueError, "there are no parameters"),
    "a bare tensor": (lambda: weights([1.0]), TypeError, "put it in a list"),
    "a bare tensor as group": (lambda: [{"params": weights([1.0])}], TypeError, "put it in a list"),
    "None": (lambda: None, TypeError, "params must be .* got NoneType"),
    "a string": (lambda: "weights", TypeError, "params must be .* got str"),
    "a number": (lambda: 1.0, TypeError, "params must be .* got float"),
    "an array": (lambda: np.ones(3), TypeError, "params must be .* got ndarray"),
    "a dict": (lambda: {"params": [weights([1.0])]}, TypeError, "params must be .* got dict"),
    "a list of arrays": (lambda: [np.ones(3)], TypeError, "ndarray, which is no tensor"),
    "a list of strings": (lambda: ["w"], TypeError, "str, which is no tensor"),
    "a list with None": (lambda: [weights([1.0]), None], TypeError, "NoneType, which is no tensor"),
    "a pair without tensor": (lambda: [("w", 1.0)], TypeError, "which is no tensor"),
    "a computed tensor": (lambda: [2 * weights([1.0])], ValueError, "was computed from"),
    "an integer tensor": (
        lambda: [weights([1.0]), dl.Tensor([1, 2], dtype="int64")],
        TypeError,
        "is int64, not float32 or float64",
    ),
    "a half tensor": (lambda: [weights([1.0], "float16")], TypeError, "is float16, not"),
    "no gradients required": (lambda: [dl.Tensor([1.0])], ValueError, "requires a gradient"),
    "groups among tensors": (
        lambda: [weights([1.0]), {"params": [weights([1.0])]}],
        TypeError,
        "mixes groups",
    ),
    "a group without params": (lambda: [{"lr": 0.1}], ValueError, 'a group needs "params"'),
    "an unknown group option": (
        lambda: [{"params": [weights([1.0])], "learning_rate": 0.1}],
        TypeError,
        "unknown option learning_rate",
    ),
}


@EVERY_RULE
@pytest.mark.parametrize("case", BAD_PARAMS)
def test_bad_params_are_refused(rule, case):
    params, error, words = BAD_PARAMS[case]
    with pytest.raises(error, match=f"^{rule}: .*{words}"):
        make(rule, params())


def test_a_parameter_in_two_groups_is_refused_by_name():
    w = weights([1.0], name="shared")
    with pytest.raises(ValueError, match=r"^SGD: shared of shape \(1,\) is in two groups"):
        dl.optim.SGD([{"params": [w]}, {"params": [weights([2.0]), w]}])


def test_the_base_class_is_no_rule():
    with pytest.raises(TypeError, match="take one of them"):
        dl.optim.Optimizer([weights([1.0])])


def test_an_optimizer_that_is_refused_has_not_renamed_its_parameters():
    w = weights([1.0], name="mine")
    with pytest.raises(TypeError, match="no tensor"):
        dl.optim.SGD([("theirs", w), ("other", None)])
    assert w.name == "mine"


@EVERY_RULE
def test_an_unknown_option_is_named_beside_those_there_are(rule):
    with pytest.raises(TypeError, match=rf"^{rule}: unknown option momentun; there are .*maximize"):
        make(rule, [weights([1.0])], momentun=0.9)


FLAGS = {"maximize", "nesterov", "eps_inside_sqrt", "centered", "amsgrad", "warm_start"}
BELOW_ONE, POSITIVE = {"beta", "alpha", "rho"}, {"eps"}


def bad_values(rule, option):
    """(value, error) for what an option of a rule must not be."""
    if option in FLAGS:
        return [(value, TypeError) for value in (0, 1, None, "True", 0.0)]
    values = [(value, TypeError) for value in ("0.1", True, None, [0.1], 1j, np.ones(1))]
    values += [(value, ValueError) for value in (math.nan, math.inf, -math.inf, 10**400)]
    values += [(0.1 if option == "lr_power" else -0.1, ValueError)]
    if option in POSITIVE:
        values += [(0, ValueError), (-0.0, ValueError)]
    if (option in BELOW_ONE and rule != "FTRL") or option == "dampening":
        values += [(1.1, ValueError)]
    if option in BELOW_ONE and rule != "FTRL":
        values += [(1, ValueError)]
    return values


BAD_OPTIONS = [
    (rule, option, value, error)
    for rule, options in SIGNATURES.items()
    for option in ("weight_decay", "maximize", *options)
    if option != "betas"
    for value, error in bad_values(rule, option)
]


@pytest.mark.parametrize(
    ("rule", "option", "value", "error"),
    BAD_OPTIONS,
    ids=[f"{rule}-{option}-{value!r:.12}" for rule, option, value, _ in BAD_OPTIONS],
)
def test_a_bad_option_is_named_with_its_value(rule, option, value, error):
    words = rf"^{rule}: {option} must be .*, got {re.escape(repr(value))}"
    with pytest.raises(error, match=words):
        make(rule, [weights([1.0])], **{option: value})
    with pytest.raises(error, match=words):
        make(rule, [{"params": [weights([1.0])], option: value}])


@pytest.mark.parametrize("rule", ["Adam", "AdamW"])
@pytest.mark.parametrize(
    ("betas", "error", "words"),
    [(b, TypeError, "betas must be two numbers") for b in (0.9, None, "ab", (0.9,), (0.9,) * 3, ())]
    + [
        ((value, 0.9)[::order], error, rf"betas\[{int(order < 0)}\] must be .* got {value!r}")
        for order in (1, -1)
        for value, error in [
            (math.nan, ValueError),
            (math.inf, ValueError),
            (-0.1, ValueError),
            (1.0, ValueError),
            (True, TypeError),
            (None, TypeError),
            ("0.9", TypeError),
        ]
    ],
)
def test_bad_betas_are_named_with_their_place(rule, betas, error, words):
    with pytest.raises(error, match=f"^{rule}: {words}"):
        make(rule, [weights([1.0])], betas=betas)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.0}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum_without_dampening(options):
    with pytest.raises(ValueError, match=r"^SGD: nesterov needs momentum > 0 and dampening = 0"):
        dl.optim.SGD([weights([1.0])], nesterov=True, **options)


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("SGD", {"momentum": 1.5, "dampening": 1}),
        ("Momentum", {"beta": 0}),
        ("NAG", {"beta": np.float32(0.5)}),
        ("Adagrad", {"eps": 5e-324}),
        ("RMSprop", {"alpha": 0}),
        ("Adam", {"betas": [0, np.float64(0)], "lr": 0}),
        ("AdamW", {"weight_decay": 10}),
        ("Adadelta", {"rho": 0}),
        ("FTRL", {"beta": 0, "lr_power": 0, "lr": Constant(0.1)}),
    ],
)
def test_options_at_the_ends_of_their_ranges_are_accepted(rule, options):
    w = weights([1.0])
    assert np.isfinite(descend(make(rule, [w], **options), w, [[1.0], [2.0]])).all()


# --- corners ------------------------------------------------------------------------------------


def test_state_is_kept_in_c_order_whatever_the_order_of_the_data():
    w = weights(np.ones((2, 3)))
    w._data, w.grad = np.asfortranarray(w.data), np.ones((2, 3))
    optimizer = dl.optim.Adam([w])
    before = snapshot([w], optimizer)
    with pytest.raises(ValueError, match=r"not contiguous.*p\.data = p\.data\.copy\(\)"):
        optimizer.step()
    assert repr(snapshot([w], optimizer)) == repr(before)
    w.data = w.data.copy()
    state = optimizer.state_dict()
    for slot in "mv":
        state["state"]["0"][slot] = np.asfortranarray(state["state"]["0"][slot])
    optimizer.load_state_dict(state)
    optimizer.step()
    np.testing.assert_allclose(optimizer.state[w]["m"], np.full((2, 3), 0.1))


@pytest.mark.parametrize(
    ("rule", "options", "words"),
    [
        ("Adam", {"eps": 1e-50}, "eps=1e-50 would be 0.0 in float32"),
        ("SGD", {"lr": 1e39}, "lr=1e.39 would be inf in float32"),
        ("Adagrad", {"initial_accumulator": 1e39}, "initial_accumulator=1e.39 would be inf"),
    ],
)
def test_an_option_that_float32_cannot_hold_is_refused_where_float64_takes_it(rule, options, words):
    make_one = getattr(dl.optim, rule)
    with pytest.raises(ValueError, match=words):
        make_one([weights([1.0], "float32")], **options)
    assert make_one([weights([1.0])], **options).t == 0


def test_a_group_changes_by_checked_options_alone():
    optimizer = dl.optim.Adam([weights([1.0])])
    (group,) = optimizer.groups
    group["lr"] = 0.5
    group.update({"eps": 1e-4, "weight_decay": 0.1})
    assert (optimizer.lr, group.eps, group["weight_decay"]) == (0.5, 1e-4, 0.1)
    before = dict(group)
    with pytest.raises(AttributeError):
        group.lr = 5
    for change in ({"lr": 1.0, "eps": -1.0}, {"amsgrad": True}, {"params": []}, {"beta": 0.9}):
        with pytest.raises((TypeError, ValueError), match=r"eps|amsgrad|params|beta"):
            group.update(change)
    with pytest.raises((AttributeError, TypeError)):
        del group["eps"]
    assert dict(group) == before


@pytest.mark.parametrize("lr", [lambda t: 0.1, CosineDecay, None, [0.1]])
def test_a_rate_of_the_wrong_type_is_told_that_schedules_exist(lr):
    with pytest.raises(TypeError, match=r"finite number ≥ 0 or a schedule, such as schedulers"):
        dl.optim.SGD([weights([1.0])], lr=lr)


def test_a_name_given_to_one_optimizer_is_not_changed_by_another():
    w = weights([1.0])
    first = dl.optim.Adam([("a", w), ("later name", w)])
    state = first.state_dict()
    dl.optim.SGD([("b", w)])
    first.load_state_dict(state)
    assert list(state["state"]) == ["a"]
    assert w.name == "a"


def test_parameters_that_share_a_name_are_kept_apart_by_position():
    optimizer = dl.optim.Adam([weights([1.0], name="w"), weights([1.0, 2.0], name="w")])
    assert list(optimizer.state_dict()["state"]) == ["0", "1"]


def test_zero_grad_forgets_the_gradient_of_a_frozen_parameter_too():
    a, b = weights([1.0]), weights([1.0])
    optimizer = dl.optim.SGD([a, b])
    b.grad, b.requires_grad = np.ones(1), False
    optimizer.zero_grad()
    assert b.grad is None


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dl.nn.Dense, r"params is a class; make an object of it: Dense\(…\)"),
        ({weights([1.0])}, "must be a list of tensors"),
        ([dl.nn.Dense(1, 1, rng=0)], r"give the module itself, SGD\(model\)"),
    ],
)
def test_what_only_looks_like_parameters_is_named(params, words):
    with pytest.raises(TypeError, match=words):
        dl.optim.SGD(params)


def test_a_rule_of_ones_own_gets_the_common_options_by_default():
    class Signed(dl.optim.Optimizer):
        def update(self, group, lr, t, w, g):
            w -= lr * np.sign(g)

    w = weights([1.0])
    w.grad = np.full(1, -3.0)
    Signed([w], lr=0.25).step()
    assert w.data == 1.25
    with pytest.raises(TypeError, match="take one of them, such as Adam"):
        dl.optim.Optimizer([w])


# --- the table "to match Keras" -----------------------------------------------------------------
#
# Keras's update_step of each optimizer, transcribed to NumPy from its documentation.


def keras_adam(w, g, state, t, lr=0.001, b1=0.9, b2=0.999, eps=1e-7):
    state["m"] = state.get("m", 0) + (g - state.get("m", 0)) * (1 - b1)
    state["v"] = state.get("v", 0) + (g * g - state.get("v", 0)) * (1 - b2)
    return w - state["m"] * lr * np.sqrt(1 - b2**t) / (1 - b1**t) / (np.sqrt(state["v"]) + eps)


def keras_adagrad(w, g, state, t, lr=0.001, eps=1e-7):
    state["G"] = state.get("G", 0.1) + g * g
    return w - lr * g / np.sqrt(state["G"] + eps)


def keras_rmsprop(w, g, state, t, lr=0.001, rho=0.9, eps=1e-7):
    state["v"] = rho * state.get("v", 0) + (1 - rho) * g * g
    return w - lr * g / np.sqrt(state["v"] + eps)


def keras_ftrl(w, g, state, t, lr=0.01, l1=0.001, l2=0.002):
    n, z = state.get("n", 0.1), state.get("z", 0)
    state["n"] = n + g * g
    state["z"] = z = z + g - (np.sqrt(state["n"]) - np.sqrt(n)) / lr * w
    return (np.clip(z, -l1, l1) - z) / (np.sqrt(state["n"]) / lr + 2 * l2)


KERAS = {
    "Adam": (keras_adam, {"eps": 1e-7}),
    "Adagrad": (keras_adagrad, {"lr": 0.001, "eps": 1e-7, "initial_accumulator": 0.1}),
    "RMSprop": (keras_rmsprop, {"lr": 0.001, "alpha": 0.9, "eps": 1e-7}),
    "FTRL": (
        keras_ftrl,
        {
            "lr": 0.01,
            "beta": 0.0,
            "l1": 0.001,
            "l2": 0.004,
            "initial_accumulator": 0.1,
            "warm_start": False,
        },
    ),
}


@pytest.mark.parametrize("rule", KERAS)
def test_a_row_of_the_table_to_match_keras_holds(rule, rng):
    step, options = KERAS[rule]
    gradients = 1e3 * rng.normal(
        size=(50, 20)
    )  # beside which it can't be seen where Adam's ε stands
    w = weights(rng.normal(size=20))
    path, theta, state = [], w.data, {}
    for t, g in enumerate(gradients, 1):
        theta = step(theta, g, state, t)
        path.append(theta)
    found = descend(getattr(dl.optim, rule)([w], **options), w, gradients)
    np.testing.assert_allclose(found, path, rtol=1e-9, atol=1e-9)


def test_momentum_is_pytorchs_at_a_rate_scaled_by_one_minus_beta(rng):
    gradients = rng.normal(size=(50, 5))
    ours, theirs = weights(np.ones(5)), weights(np.ones(5))
    found = descend(dl.optim.Momentum([ours], lr=0.1, beta=0.8), ours, gradients)
    expected = descend(dl.optim.SGD([theirs], lr=0.1 * (1 - 0.8), momentum=0.8), theirs, gradients)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
