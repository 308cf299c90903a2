"""The update rules through their classes, and what all optimizers share."""

import copy
import dataclasses
import inspect
import json
import math
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest
import reference
from cases import GOLDEN, RULES
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as dl
from minidl.schedulers import (
    CoolDown,
    CosineDecay,
    LinearDecay,
    ReduceOnPlateau,
    Schedule,
    Sequence,
    StepDecay,
    WarmUp,
)


def golden(name):
    return json.loads((GOLDEN / name).read_text())


PYTORCH, OTHERS = golden("trajectories.json"), golden("other_rules.json")
EVERY_RULE = pytest.mark.parametrize("rule", RULES)

# Options that give a rule all the state it can have.
FULL = {
    "SGD": {"momentum": 0.9},
    "Adagrad": {"initial_accumulator": 0.1, "lr_decay": 0.1},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True},
    "AdamW": {"amsgrad": True},
    "Nadam": {"momentum_decay": 0.1},
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


def trajectory(rule, theta, gradients, lr, **options):
    """The weights after each step by the equations, in float64."""
    return np.array(getattr(reference, rule.lower())(theta, gradients, lr, **options))


def largest(theta, path):
    """The size of each entry's trajectory: beside it, a part in 10¹² is rounding."""
    size = abs(np.array([theta, *path])).max(axis=0)
    return np.where(size == 0, 1.0, size)


def assert_follows(rule, theta, gradients, lr, **options):
    w = weights(theta)
    computed = descend(make(rule, [w], lr=lr, **options), w, gradients)
    expected = trajectory(rule, theta, gradients, lr, **options)
    size = largest(theta, expected)
    np.testing.assert_allclose(computed / size, expected / size, rtol=0, atol=1e-12)


# --- against the equations ------------------------------------------------------------------------

flags, eps = st.booleans(), st.floats(1e-6, 1)
shares = st.just(0.0) | st.floats(0.01, 0.99)
moments = {"betas": st.tuples(shares, shares), "eps": eps}
OPTIONS = {  # in the units of the gradient, where they have any
    "SGD": [
        {"momentum": shares, "dampening": st.floats(0, 1)},
        {"momentum": st.floats(0.1, 1), "nesterov": st.just(True)},
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
    "Adam": [{**moments, "amsgrad": flags}],
    "AdamW": [{**moments, "amsgrad": flags}],
    "Nadam": [{**moments, "momentum_decay": st.floats(0, 10), "decoupled_weight_decay": flags}],
    "Adamax": [moments],
    "RAdam": [
        {"betas": st.tuples(shares, betas2), "eps": eps, "decoupled_weight_decay": flags}
        for betas2 in (shares, st.floats(0.9, 0.9999))  # never rectified for long; from t = 6 on
    ],
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
    "Lion": [{"betas": st.tuples(shares, shares)}],
}
SHARED = {"weight_decay": st.sampled_from([0.0, 0.01, 0.5]), "maximize": flags}
SHAPES = st.sampled_from([(), (0,), (1,), (7,), (3, 0), (2, 3), (1, 1, 1), (2, 1, 3)])
RATES = [0.01, 0.3, StepDecay(0.3, 2, 0.5), WarmUp(CosineDecay(0.3, 50), 3, start=0.1)]
RATES_WITH_0 = [0.0, LinearDecay(0.3, 4), WarmUp(CosineDecay(0.3, 5), 3)]


def in_units(rule, size, options):
    """The options for gradients of a size: what stands beside them grows as they do."""
    inside = rule == "Adadelta" or options.get("eps_inside_sqrt", False)
    powers = {"eps": 1 + inside, "initial_accumulator": 2, "l1": 1, "weight_decay": size < 1}
    if rule == "FTRL":
        powers |= dict.fromkeys(("beta", "l2"), -2 * options["lr_power"])
        powers["weight_decay"] *= -2 * options["lr_power"]
    return {
        name: min(value * size ** powers[name], 1e10) if name in powers else value
        for name, value in options.items()
    }


@st.composite
def problems(draw, rule, sizes, tiny):
    """Initial weights, gradients, the rate and options.

    Some gradients are 0 or tiny beside the others; some weights start at 0, where the first steps
    are all there is.
    """
    rng, shape = np.random.default_rng(draw(st.integers(0, 10**6))), draw(SHAPES)
    size, every_shape = draw(st.sampled_from(sizes)), (draw(st.integers(1, 10)), *shape)
    own = st.one_of([st.fixed_dictionaries(own, optional=SHARED) for own in OPTIONS[rule]])
    options = in_units(rule, size, draw(own))
    rates, starts = RATES + RATES_WITH_0, [0, 1, size]
    if rule == "FTRL":  # the paper's has α > 0, and weights of the size α |g| n^p
        rates, starts = RATES, [0, size ** (1 + 2 * options["lr_power"])]
    parts = [0, 1e-3, 1, 1, 1] if options.get("weight_decay") else [0, tiny, 1e-3, 1, 1, 1]
    theta = rng.normal(size=shape) * rng.choice(starts, shape)
    gradients = rng.normal(size=every_shape) * size * rng.choice(parts, every_shape)
    return theta, gradients, draw(st.sampled_from(rates)), options


@EVERY_RULE
@given(data=st.data())
def test_rule_follows_its_equations(rule, data):
    sizes = [1e-100, 1e-6, 1.0, 1e6, 1e100]
    theta, gradients, lr, options = data.draw(problems(rule, sizes, tiny=1e-50))
    assert_follows(rule, theta, gradients, lr, **options)


@EVERY_RULE
def test_defaults_are_those_of_the_equations(rule, rng):
    theta, *gradients = rng.normal(size=(20, 30))
    assert_follows(rule, theta, gradients, 0.1)


@EVERY_RULE
@given(data=st.data())
def test_float32_weights_follow_the_equations_within_their_rounding(rule, data):
    """Within 32 roundings of the trajectory's size, and what roundings of all that goes in make
    of it."""
    sizes = [1e-10, 1e-3, 1.0, 1e3, 1e10]
    *inputs, lr, options = data.draw(problems(rule, sizes, tiny=1e-3))
    theta, gradients = (np.asarray(x, np.float32).astype(np.float64) for x in inputs)
    w = weights(theta, "float32")
    computed = descend(make(rule, [w], lr=lr, **options), w, gradients)
    expected = trajectory(rule, theta, gradients, lr, **options)
    epsilon, rng = np.finfo(np.float32).eps, np.random.default_rng(0)

    def rounded(x):
        return np.asarray(x) * (1 + 8 * epsilon * rng.uniform(-1, 1, np.shape(x)))

    def nearby():
        rates = rounded([lr(t) if callable(lr) else lr for t in range(len(gradients))])
        return trajectory(rule, rounded(theta), rounded(gradients), rates.__getitem__, **options)

    sensitivity = np.max([abs(nearby() - expected) for _ in range(4)], axis=0)
    bound = 32 * epsilon * largest(theta, expected) + sensitivity
    assert w.dtype == np.float32
    np.testing.assert_allclose((computed - expected) / bound, 0, atol=1)


@EVERY_RULE
def test_a_gradient_in_fortran_order_or_with_strides_is_taken_entry_by_entry(rule, rng):
    theta, g = rng.normal(size=(2, 3, 4))
    expected = trajectory(rule, theta, [g], 0.1)[0]
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
    ("Nadam", {"betas": (0, 0.9), "eps": 2}, 1 - 0.1 * 2 / 4),  # no momentum to look ahead with
    # m = 0.2·2, μ₁ = μ₂ = 0.8/2: (1 − 0.4)·2/(1 − 0.4) + 0.4·0.4/(1 − 0.4²), over √4 + 2
    (
        "Nadam",
        {"betas": (0.8, 0.9), "momentum_decay": 0, "eps": 2},
        1 - 0.1 * (2 + 0.16 / 0.84) / 4,
    ),
    # m = 0.5·2, μ₁ = 0.5(1 − 0.48) = 0.26, μ₂ = 0.5(1 − 0.4608) = 0.2696
    (
        "Nadam",
        {"betas": (0.5, 0.9), "momentum_decay": 1, "eps": 2},
        1 - 0.1 * (2 + 0.2696 / (1 - 0.26 * 0.2696)) / 4,
    ),
    # μ₁ = μ₂ = 0.5: 2 + 0.5·1/(1 − 0.25)
    (
        "Nadam",
        {"betas": (0.5, 0.9), "momentum_decay": 1e10, "eps": 2},
        1 - 0.1 * (2 + 2 / 3) / 4,
    ),
    ("Nadam", {"betas": (0, 0.9), "eps": 2, "weight_decay": 2}, 1 - 0.1 * 4 / 6),  # g = 2 + 2·1
    (
        "Nadam",
        {"betas": (0, 0.9), "eps": 2, "weight_decay": 2, "decoupled_weight_decay": True},
        0.8 - 0.1 * 2 / 4,  # 1 − 0.1·2, then the raw gradient
    ),
    ("Adamax", {"eps": 2}, 1 - 0.1 * 2 / 4),  # m̂ = 2, u = 2 + 2
    ("Adamax", {"eps": 2, "betas": (0, 0)}, 1 - 0.1 * 2 / 4),
    ("Adamax", {"eps": 2, "weight_decay": 2, "maximize": True}, 1),  # g = −2 + 2·1
    ("RAdam", {"eps": 2}, 1 - 0.1 * 2),  # m̂ = 2, not yet rectified
    ("RAdam", {"weight_decay": 2}, 1 - 0.1 * 4),  # g = 2 + 2·1
    ("RAdam", {"weight_decay": 2, "decoupled_weight_decay": True}, 0.8 - 0.1 * 2),
    ("RAdam", {"weight_decay": 2, "maximize": True}, 1),  # g = −2 + 2·1
    ("Lion", {}, 1 - 0.1),
    ("Lion", {"betas": (0, 0)}, 1 - 0.1),
    ("Lion", {"maximize": True}, 1 + 0.1),
    ("Lion", {"weight_decay": 2}, 0.8 - 0.1),  # 1 − 0.1·2
    ("Lion", {"weight_decay": 2, "maximize": True}, 0.8 + 0.1),
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


# --- against other libraries ----------------------------------------------------------------------


def assert_follows_stored(file, run, rule, options, tolerance=1e-10):
    problem = {name: np.array(values) for name, values in file["problem"].items()}
    w, path = weights(problem["start"]), []
    optimizer = make(rule, [w], **options)
    for noise in problem["noise"]:
        w.grad = problem["curvature"] * (w.data - problem["target"]) + noise
        optimizer.step()
        path.append(w.data.copy())
    assert file["kept"][-1] == len(path)
    kept = [path[step - 1] for step in file["kept"]]
    np.testing.assert_allclose(kept, run["theta"], tolerance, tolerance, err_msg=str(options))


FROM_PYTORCH = ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "Nadam", "Adamax", "RAdam"]
FROM_PYTORCH += ["Adadelta"]


@pytest.mark.parametrize("rule", FROM_PYTORCH)
def test_rule_equals_pytorch_over_many_steps(rule):
    convention = {"eps_inside_sqrt": False} if rule in ("Adagrad", "RMSprop") else {}
    runs = [run for run in PYTORCH["runs"] if run["rule"] == rule]
    assert PYTORCH["kept"][-1] == 200
    assert len(runs) >= 20
    for run in runs:
        assert_follows_stored(PYTORCH, run, rule, convention | run["options"])


def test_every_stored_rule_is_compared():
    assert {run["rule"] for run in PYTORCH["runs"]} == set(FROM_PYTORCH)
    assert set(RULES) - set(FROM_PYTORCH) == {"Momentum", "NAG", "FTRL", "Lion"}
    assert {run["library"] for run in OTHERS["runs"]} == {"Optax", "Keras"}
    assert {run["rule"] for run in OTHERS["runs"]} == set(RULES)


@pytest.mark.parametrize("rule", ["Momentum", "NAG"])
def test_momentum_is_pytorchs_at_a_rate_scaled_by_one_minus_beta(rule):
    def matches(options):
        alike = options.get("nesterov", False) == (rule == "NAG")
        return alike and options.get("momentum") and not options.get("dampening")

    runs = [run for run in PYTORCH["runs"] if run["rule"] == "SGD" and matches(run["options"])]
    assert len(runs) >= 4
    for run in runs:
        options = {**run["options"], "beta": run["options"]["momentum"]}
        options["lr"] /= 1 - options["beta"]
        for name in ("momentum", "dampening", "nesterov"):
            options.pop(name, None)
        assert_follows_stored(PYTORCH, run, rule, options)


@pytest.mark.parametrize(
    "run",
    OTHERS["runs"],
    ids=[f"{run['library']}-{run['theirs'][0]}-{i}" for i, run in enumerate(OTHERS["runs"])],
)
def test_a_row_of_the_tables_to_match_keras_and_optax_holds(run):
    assert_follows_stored(OTHERS, run, run["rule"], run["options"], run["tolerance"])


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_radam_takes_plain_steps_until_its_variance_can_be_rectified(dtype):
    """Under a constant gradient the steps are ηg, and ηr once ρ_t, which is almost t, exceeds 5."""
    w = weights([0.0], dtype)
    path = descend(dl.optim.RAdam([w], lr=1.0, eps=1e-15), w, np.full((8, 1), 0.37))
    steps = -np.diff([0.0, *np.ravel(path)])
    np.testing.assert_allclose(steps[:5], 0.37, rtol=1e-6)
    for t in (6, 7, 8):
        rho = 1999 - 2 * t * 0.999**t / (1 - 0.999**t)
        assert t - 0.02 < rho < t
        r = math.sqrt((rho - 4) * (rho - 2) * 1999 / (1995 * 1997 * rho))
        assert steps[t - 1] == pytest.approx(r, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("maximize", [False, True])
def test_lion_moves_by_the_rate_or_stays_where_the_averages_cancel(maximize):
    """c₁ = ½g₁;  m₁ = ¾g₁;  c₂ = ½m₁ + ½g₂, which is 0 for g₂ = −¾g₁."""
    w = weights([0.0, 0.0, 0.0, 0.0])
    optimizer = dl.optim.Lion([w], lr=0.5, betas=(0.5, 0.25), maximize=maximize)
    path = descend(optimizer, w, [[4.0, -4.0, 4.0, 0.0], [-3.0, 3.0, -4.0, 0.0]])
    sign = -1 if maximize else 1
    np.testing.assert_array_equal(path[0], np.multiply(sign, [-0.5, 0.5, -0.5, 0.0]))
    np.testing.assert_array_equal(path[1], np.multiply(sign, [-0.5, 0.5, 0.0, 0.0]))


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


@EVERY_RULE
@pytest.mark.parametrize("options", [{}, FULL], ids=["defaults", "full"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_of_nan_is_not_hidden_and_spoils_no_other_weight(rule, options, dtype):
    w = weights([1.0, 1.0, 1.0], dtype)
    optimizer = make(rule, [w], lr=0.1, **options.get(rule, {}))
    path = descend(optimizer, w, [[1.0, 1.0, 1.0], [1.0, math.nan, 1.0], [1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(np.isnan(path), [[False] * 3] + [[False, True, False]] * 2)


# --- FTRL on sparse data --------------------------------------------------------------------------

SPARSE_RATES = [0.1, StepDecay(0.5, 10, 0.8), WarmUp(LinearDecay(0.5, 50), 20), 0.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lr", SPARSE_RATES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"warm_start": False, "l1": 0.5},
        {"l1": 0.2, "l2": 0.3, "beta": 0.0, "initial_accumulator": 0.1},
        {"lr_power": -0.7, "maximize": True},
    ],
)
def test_a_sparse_step_is_the_step_with_the_scattered_gradient(dtype, lr, options, rng):
    start = rng.normal(size=(5, 6))
    sparse, dense = weights(start, dtype), weights(start, dtype)
    thin, thick = (dl.optim.FTRL([w], lr=lr, **options) for w in (sparse, dense))
    for row in range(100):
        indices = np.sort(rng.choice(30, rng.integers(0, 6), replace=False))
        gradient = rng.normal(size=len(indices)).astype(dtype)
        gradient[rng.random(len(indices)) < 0.1] = 0
        dense.grad = np.zeros((5, 6), dtype)
        dense.grad.flat[indices] = gradient
        thick.step()
        if row % 10 == 9:
            sparse.grad = dense.grad
            thin.step()
        else:
            thin.sparse_step(sparse, indices, gradient)
        assert sparse.data.tobytes() == dense.data.tobytes()
    np.testing.assert_equal(thin.state_dict(), thick.state_dict())
    assert (thin.t, sparse.version) == (100, 100)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.int64, np.uint64, list, tuple])
def test_sparse_indices_may_be_any_whole_numbers(kind):
    w = weights(np.ones((2, 3)))
    indices = kind([1, 4]) if kind in (list, tuple) else np.array([1, 9, 4], kind)[::2]
    dl.optim.FTRL([w], lr=0.5).sparse_step(w, indices, np.array([1.0, 3.0]))
    np.testing.assert_array_equal(w.data, [[1, 0.75, 1], [1, 0.625, 1]])


@pytest.mark.parametrize("empty", [[], (), np.array([], int)])
def test_a_sparse_step_without_entries_counts(empty):
    w = weights([1.0])
    optimizer = dl.optim.FTRL([w])
    optimizer.sparse_step(w, empty, np.array([]))
    assert (w.data[0], w.version, optimizer.t, optimizer.state[w]["t"]) == (1, 1, 1, 1)


def test_a_sparse_step_takes_rate_and_options_from_the_parameters_group():
    first, second, unused = (weights([1.0, 1.0, 1.0]) for _ in range(3))
    groups = [
        {"params": [first], "lr": 9.0},
        {"params": [unused, second], "lr": StepDecay(1.0, 1, 0.5), "beta": 3.0},
    ]
    optimizer = dl.optim.FTRL(groups)
    for _ in range(2):  # θ ← θ − α_t g / (β + √n)
        optimizer.sparse_step(second, [1], np.ones(1))
    expected = [1, 1 - 1 / 4 - 0.5 / (3 + math.sqrt(2)), 1]
    np.testing.assert_allclose(second.data, expected, rtol=1e-15)
    assert (first.version, unused.version, second.version, optimizer.t) == (0, 0, 2, 2)


BAD_SPARSE = {  # parameter, indices, gradient; the error and what it says
    "a foreign parameter": ([1], [1.0], {"parameter": weights([1.0] * 3)}, ValueError, "none of"),
    "indices that fall": ([2, 1], [1.0, 1.0], {}, ValueError, "must rise, but 1 comes after 2"),
    "an index twice": ([1, 1], [1.0, 1.0], {}, ValueError, "must rise, but 1 comes after 1"),
    "an index too large": ([0, 3], [1.0, 1.0], {}, IndexError, "index 3 is outside of 0 … 2"),
    "a negative index": ([-1, 2], [1.0, 1.0], {}, IndexError, "index -1 is outside of 0 … 2"),
    "an index beyond int64": ([2**63], [1.0], {"dtype": np.uint64}, IndexError, "outside of 0 … 2"),
    "indices of floats": ([1.0], [1.0], {}, TypeError, "indices must be whole numbers, got float"),
    "a mask": ([True], [1.0], {}, TypeError, "indices must be whole numbers, got bool"),
    "words": (["1"], [1.0], {}, TypeError, "indices must be whole numbers, got <U1"),
    "indices in two dimensions": ([[1]], [[1.0]], {}, ValueError, r"got shape \(1, 1\)"),
    "a longer gradient": ([1], [1.0, 2.0], {}, ValueError, r"shape \(2,\); it must have \(1,\)"),
    "a shorter gradient": ([1, 2], [1.0], {}, ValueError, r"shape \(1,\); it must have \(2,\)"),
    "the whole gradient": ([1], [0.0, 1.0, 0.0], {}, ValueError, r"it must have \(1,\)"),
    "a float32 gradient": ([1], np.ones(1, np.float32), {}, TypeError, "float64, got float32"),
    "an integer gradient": ([1], np.ones(1, int), {}, TypeError, "float64, got int64"),
    "read-only weights": ([1], [1.0], {"lock": True}, ValueError, "read-only"),
    "a frozen parameter": (
        [1],
        [1.0],
        {"freeze": True},
        ValueError,
        r"w of shape \(3,\) is frozen",
    ),
    "weight decay": ([1], [1.0], {"weight_decay": 0.1}, ValueError, "weight_decay=0.1 .* use l2"),
    "a rate gone wrong": ([1], [1.0], {"lr": np.nan}, ValueError, "at t = "),
}


@pytest.mark.parametrize("case", BAD_SPARSE)
@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_sparse_step_that_fails_changes_nothing(case, steps_before):
    indices, gradient, how, error, words = BAD_SPARSE[case]
    w = weights([1.0, -2.0, 3.0], name="w")
    optimizer = dl.optim.FTRL([w], lr=Falling(how.get("lr", 0.1), steps_before))
    for _ in range(steps_before):
        optimizer.sparse_step(w, [0, 2], np.array([1.0, -1.0]))
    optimizer.groups[0]["weight_decay"] = how.get("weight_decay", 0.0)
    w.data.flags.writeable = "lock" not in how
    w.requires_grad = "freeze" not in how
    before = repr(snapshot([w], optimizer))
    indices = np.array(indices, how.get("dtype"))
    with pytest.raises(error, match=words):
        optimizer.sparse_step(how.get("parameter", w), indices, np.asarray(gradient))
    assert repr(snapshot([w], optimizer)) == before


@pytest.mark.parametrize("gradient", [[1.0], 1.0, None, dl.Tensor([1.0])])
def test_a_sparse_gradient_that_is_no_array_is_refused(gradient):
    w = weights([1.0, 2.0], name="w")
    optimizer = dl.optim.FTRL([w])
    with pytest.raises(TypeError, match=r"gradient of w of shape \(2,\) must be a NumPy array"):
        optimizer.sparse_step(w, [1], gradient)
    assert (optimizer.t, w.version) == (0, 0)


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
    "Nadam": {
        "lr": 2e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "momentum_decay": 4e-3,
        "decoupled_weight_decay": False,
    },
    "Adamax": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8},
    "RAdam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "decoupled_weight_decay": False},
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
    "Lion": {"lr": 1e-4, "betas": (0.9, 0.99)},
}


def test_the_state_is_to_look_at():
    w = weights([1.0])
    optimizer = dl.optim.Adam([w])
    with pytest.raises(TypeError, match="assignment"):
        optimizer.state[w]["m"] = np.ones(1)
    optimizer.state[w]["m"][:] = 5  # the arrays are the optimizer's own
    assert optimizer.state_dict()["state"]["0"]["m"] == 5


@EVERY_RULE
def test_parameters_of_one_group_that_have_missed_steps_have_a_count_of_their_own(rule, rng):
    starts, gradients = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    has_gradient = [(1, 1, 1), (1, 0, 1), (1, 1, 1), (0, 1, 0), (1, 1, 1)]
    together, alone = ([weights(start) for start in starts] for _ in range(2))
    optimizer = getattr(dl.optim, rule)(together, lr=0.1)
    own = [getattr(dl.optim, rule)([w], lr=0.1) for w in alone]
    for g, present in zip(gradients, has_gradient, strict=True):
        optimizer.zero_grad()
        for i in np.flatnonzero(present):
            together[i].grad, alone[i].grad = g[i], g[i]
            own[i].step()
        optimizer.step()
    for w, same, single in zip(together, alone, own, strict=True):
        np.testing.assert_array_equal(w.data, same.data)
        assert optimizer.state[w]["t"] == single.state[same]["t"] == w.version


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
    problem = rule, [1.0, -2.0], gradients
    expected = trajectory(*problem, 0.2, maximize=True, **{name: value})[-1]
    np.testing.assert_allclose(own.data, expected, rtol=1e-12)
    expected = trajectory(*problem, 0.1, maximize=True)[-1]
    np.testing.assert_allclose(shared.data, expected, rtol=1e-12)
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
    lr = StepDecay(0.4, 2, 0.5)
    optimizer = make(rule, [early, late], lr=lr, **FULL.get(rule, {}))
    gradients = np.array([[1.0, -1.0], [0.5, 2.0], [-1.0, 1.0]])
    descend(optimizer, early, gradients)
    np.testing.assert_array_equal(late.data, [1.0, 2.0])
    assert late.version == 0
    early.grad = None
    path = descend(optimizer, late, gradients)
    options = FULL.get(rule, {})
    expected = trajectory(rule, [1.0, 2.0], gradients, lambda t: lr(t + 3), **options)
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
    """A schedule that goes wrong at a step, the third unless said otherwise."""

    rate: object
    step: int = 2

    def formula(self, t):
        return 0.1 if t < self.step else self.rate


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


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 1.1e10, None, "0.1", True])
def test_a_schedule_that_goes_wrong_stops_the_step_before_it_begins(bad):
    a, b = weights([1.0]), weights([1.0])
    optimizer = dl.optim.Adam([{"params": [a]}, {"params": [b], "lr": Falling(bad)}])
    for _ in range(2):
        a.grad = b.grad = np.ones(1)
        optimizer.step()
    before = snapshot([a, b], optimizer)
    with pytest.raises(
        (TypeError, ValueError),
        match=r"Adam: lr of step 2 must be a finite number|Falling.* at t = 2; .* must be finite",
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
    return make(rule, model, **{"lr": StepDecay(0.1, 3, 0.5), **FULL.get(rule, {}), **options})


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


def test_nadam_saves_the_product_of_its_momenta_in_float64():
    w = weights([1.0], "float32", name="w")
    optimizer = dl.optim.Nadam([w], betas=(0.8, 0.9), momentum_decay=0)
    descend(optimizer, w, [[1.0]] * 3)
    product = optimizer.state_dict()["state"]["w"]["mu_product"]
    assert product.dtype == np.float64
    np.testing.assert_allclose(product, [0.4**3], rtol=1e-15)
    later = dl.optim.Nadam([weights([1.0], "float32", name="w")])
    state = optimizer.state_dict()
    later.load_state_dict(state)
    descend(optimizer, w, [[1.0]])
    np.testing.assert_equal(later.state_dict(), state)


@pytest.mark.parametrize("slot", ["m", "v", "mu_product"])
@pytest.mark.parametrize("value", [None, np.ones(3), np.ones((1, 2)), np.float64(0.5)])
def test_a_spoiled_slot_of_nadam_is_refused_and_nothing_changes(slot, value):
    params = pair()
    optimizer = dl.optim.Nadam(params, lr=0.1)
    descend(optimizer, params[1], [[1.0, 2.0]] * 3)
    state = optimizer.state_dict()
    descend(optimizer, params[1], [[1.0, 2.0]])
    if value is None:
        del state["state"]["b"][slot]
    else:
        state["state"]["b"][slot] = value
    before = snapshot(params, optimizer)
    with pytest.raises(ValueError, match=rf"^Nadam: the slot {slot} of b of the state is"):
        optimizer.load_state_dict(state)
    np.testing.assert_equal(snapshot(params, optimizer), before)


def plateau():
    """Halves the rate whenever the metric is no better than before."""
    return ReduceOnPlateau(0.8, factor=0.5, patience=0)


def seen(handle, *metrics):
    for metric in metrics:
        handle.observe(metric)
    return handle


# A rate with a plateau in it, and a step at which it is the plateau's.
AROUND = {
    "alone": (lambda handle: handle, 0),
    "after a warm-up": (lambda handle: WarmUp(handle, 2), 2),
    "before a cool-down": (lambda handle: CoolDown(handle, at=3, steps=2), 2),
    "in a sequence": (lambda handle: Sequence([(0.1, 1), (handle, 5), 0.2]), 3),
    "last in a sequence": (lambda handle: Sequence([(0.1, 1), handle]), 3),
    "deep inside": (lambda handle: Sequence([(0.1, 1), (WarmUp(handle, 1), 9), handle]), 4),
}
EVERY_PLATEAU = pytest.mark.parametrize(("around", "t"), AROUND.values(), ids=AROUND)


@EVERY_PLATEAU
def test_a_plateau_goes_back_to_what_was_saved_and_goes_on_under_its_handle(around, t):
    handle, w = plateau(), weights([0.0])
    optimizer = dl.optim.SGD([w], lr=around(handle))
    descend(optimizer, w, [[1.0]] * t)
    seen(handle, 3.0, 3.0)
    saved, memory = optimizer.state_dict(), dict(handle.memory)
    assert (optimizer.lr, memory) == (0.4, seen(plateau(), 3.0, 3.0).memory)
    for _ in range(2):
        seen(handle, 2.0, 3.0, 3.0)
        assert optimizer.lr == 0.1
        optimizer.load_state_dict(saved)
        assert (handle.memory, optimizer.lr) == (memory, 0.4)
    seen(handle, 3.0)
    assert optimizer.lr == 0.2


@EVERY_PLATEAU
def test_a_plateau_in_another_optimizer_resumes_under_the_users_own_handle(around, t):
    old, w = plateau(), weights([0.0])
    optimizer = dl.optim.SGD([w], lr=around(old))
    descend(optimizer, w, [[1.0]] * t)
    seen(old, 2.0, 3.0)
    new = plateau()
    later = dl.optim.SGD([weights([0.0])], lr=around(new))
    later.load_state_dict(optimizer.state_dict())
    assert (new.memory, later.lr) == (old.memory, 0.4)
    seen(new, 3.0)
    assert (later.lr, optimizer.lr) == (0.2, 0.4)


@pytest.mark.parametrize("own", [0.3, dl.schedulers.Constant(0.8), StepDecay(0.8, 5, 0.5)])
def test_a_saved_plateau_takes_the_place_of_a_rate_without_memory(own):
    optimizer = dl.optim.SGD([weights([0.0])], lr=seen(plateau(), 2.0, 2.0))
    state, before = optimizer.state_dict(), copy.deepcopy(own)
    later = dl.optim.SGD([weights([0.0])], lr=own)
    later.load_state_dict(state)
    assert (own, later.lr) == (before, 0.4)
    seen(later.groups[0]["lr"], 2.0)
    assert (later.lr, optimizer.lr, state["groups"][0]["lr"](0)) == (0.2, 0.4, 0.4)


@pytest.mark.parametrize("own", [ReduceOnPlateau(0.8, factor=0.25), WarmUp(plateau(), 3)])
@pytest.mark.parametrize("saved", [plateau(), 0.3, StepDecay(0.8, 5, 0.5)])
def test_a_plateau_that_is_observed_is_never_replaced_by_another_rate(own, saved):
    w = weights([0.0])
    optimizer = dl.optim.SGD([w], lr=own)
    before = snapshot([w], optimizer)
    words = f"SGD: lr is {own!r}, which observes a metric, but {saved!r} was saved; make"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        optimizer.load_state_dict(dl.optim.SGD([weights([0.0])], lr=saved).state_dict())
    assert optimizer.groups[0].lr is own
    assert snapshot([w], optimizer) == before


def two_groups(first, second):
    groups = [{"params": [weights([0.0])], "lr": lr} for lr in (first, second)]
    return dl.optim.SGD(groups)


def rates(optimizer):
    return [group["lr"](0) for group in optimizer.groups]


def test_a_plateau_shared_by_groups_stays_shared():
    handle = seen(plateau(), 2.0, 2.0)
    state = two_groups(handle, handle).state_dict()
    shared = plateau()
    kept, replaced = two_groups(shared, shared), two_groups(0.1, 0.2)
    for optimizer in (kept, replaced):
        optimizer.load_state_dict(state)
        assert optimizer.groups[0]["lr"] is optimizer.groups[1]["lr"]
        assert rates(optimizer) == [0.4, 0.4]
    assert kept.groups[0]["lr"] is shared


def test_plateaus_of_several_groups_keep_their_own_memories():
    state = two_groups(seen(plateau(), 2.0, 2.0), seen(plateau(), 2.0, 2.0, 2.0)).state_dict()
    handles = plateau(), plateau()
    optimizer = two_groups(*handles)
    optimizer.load_state_dict(state)
    assert rates(optimizer) == [0.4, 0.2]
    seen(handles[0], 2.0)
    assert rates(optimizer) == [0.2, 0.2]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.update(t=-1),
        lambda state: state.update(rule="Adam"),
        lambda state: state["groups"][0].update(weight_decay=math.nan),
        lambda state: state["groups"][0].pop("maximize"),
        lambda state: state["groups"][1].update(momentum=0.5),
        lambda state: state["groups"][1].update(lr="0.1"),
        lambda state: state["state"].pop("1"),
    ],
)
def test_a_refused_load_leaves_the_memory_of_a_plateau_untouched(spoil):
    first, second = plateau(), plateau()
    optimizer = two_groups(WarmUp(first, 2), second)
    state = optimizer.state_dict()
    spoil(state)
    seen(first, 2.0, 2.0)
    seen(second, 2.0, 2.0, 2.0)
    before = dict(first.memory), dict(second.memory)
    with pytest.raises((TypeError, ValueError), match=r"^SGD: "):
        optimizer.load_state_dict(state)
    assert (first.memory, second.memory) == before


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copied_optimizer_has_a_plateau_of_its_own_under_the_copied_handle(copied):
    handle = plateau()
    optimizer = dl.optim.SGD([weights([0.0])], lr=WarmUp(handle, 1))
    optimizer.t = 1
    handle_copy, optimizer_copy = copied((seen(handle, 2.0, 2.0), optimizer))
    assert optimizer_copy.lr == optimizer.lr == 0.4
    seen(handle_copy, 2.0)
    assert (optimizer_copy.lr, optimizer.lr) == (0.2, 0.4)


@EVERY_RULE
def test_a_plateau_and_all_state_resume_after_the_parameters_were_reordered(rule):
    model, handle = network(), plateau()
    optimizer = optimizer_of(rule, model, lr=WarmUp(handle, 2))
    train(model, optimizer, 4)
    seen(handle, 2.0, 2.0)
    resumed, own = copy.deepcopy(model), plateau()
    later = optimizer_of(rule, list(resumed.named_parameters())[::-1], lr=WarmUp(own, 2))
    later.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    seen(handle, 2.0)
    seen(own, 2.0)
    assert later.lr == optimizer.lr == 0.2
    assert train(resumed, later, 4, seed=2) == train(model, optimizer, 4, seed=2)


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


# What messages call each range, the ends that belong to it, and what lies next to it.
LARGEST = 1e10
TO_LARGEST, ABOVE_0 = "≥ 0 and ≤ 1e+10", "> 0 and ≤ 1e+10"
SHARE, BELOW_1, POWER = "≥ 0 and ≤ 1", "≥ 0 and < 1", "≥ -1 and ≤ 0"
RANGES = {
    TO_LARGEST: ([0, -0.0, LARGEST], [-5e-324, np.nextafter(LARGEST, math.inf)]),
    ABOVE_0: ([5e-324, LARGEST], [0, -0.0, -1.0, np.nextafter(LARGEST, math.inf)]),
    SHARE: ([0, -0.0, 1], [-5e-324, np.nextafter(1, 2)]),
    BELOW_1: ([0, -0.0, np.nextafter(1, 0)], [-5e-324, 1]),
    POWER: ([-1, 0, -0.0], [np.nextafter(-1, -2), 5e-324]),
}
RANGE_OF = {
    **dict.fromkeys(["lr", "weight_decay", "lr_decay", "momentum_decay"], TO_LARGEST),
    **dict.fromkeys(["initial_accumulator", "l1", "l2"], TO_LARGEST),
    **dict.fromkeys(["alpha", "rho", "beta", "betas"], BELOW_1),
    **dict.fromkeys(["momentum", "dampening"], SHARE),
    "eps": ABOVE_0,
    "lr_power": POWER,
}


def range_of(rule, option):
    """The range of a number or of both of a pair; None for a flag."""
    return TO_LARGEST if (rule, option) == ("FTRL", "beta") else RANGE_OF.get(option)


def options_of(rule):
    return ["weight_decay", "maximize", *(n for n in SIGNATURES[rule] if n != "weight_decay")]


NUMBERS = [
    (rule, option, range_of(rule, option))
    for rule in RULES
    for option in options_of(rule)
    if option != "betas" and range_of(rule, option)
]
PAIRS = [(rule, place) for rule in RULES if "betas" in SIGNATURES[rule] for place in (0, 1)]
FLAGS = [(r, option) for r in RULES for option in options_of(r) if not range_of(r, option)]
NO_NUMBERS = ["0.1", True, np.True_, None, [0.1], 1j, np.ones(1)]
NEVER_INSIDE = [math.nan, math.inf, -math.inf, 10**400, -(10**400)]


def assert_refused(error, words, rule, option, value):
    """As an argument, in a group, and as a change of a group, which then stays as it is."""
    optimizer = make(rule, [weights([1.0])])
    before = repr(optimizer)
    with pytest.raises(error, match=words):
        make(rule, [weights([1.0])], **{option: value})
    with pytest.raises(error, match=words):
        make(rule, [{"params": [weights([1.0])], option: value}])
    with pytest.raises(error, match=words):
        optimizer.groups[0][option] = value
    assert repr(optimizer) == before


@pytest.mark.parametrize(("rule", "option", "interval"), NUMBERS)
def test_a_number_outside_of_its_range_is_named_beside_it(rule, option, interval):
    for value in RANGES[interval][1] + NEVER_INSIDE:
        words = f"{rule}: {option} must be a finite number {interval}, got {value!r}"
        assert_refused(ValueError, f"^{re.escape(words)}$", rule, option, value)


@pytest.mark.parametrize(("rule", "option", "interval"), NUMBERS)
def test_what_is_no_number_is_named_beside_the_range(rule, option, interval):
    for value in NO_NUMBERS:
        allowed = f"a finite number {interval}"
        if option == "lr" and not isinstance(value, bool):
            allowed += " or a schedule, such as schedulers.CosineDecay(0.1, 1000)"
        words = f"{rule}: {option} must be {allowed}, got {value!r}"
        assert_refused(TypeError, f"^{re.escape(words)}", rule, option, value)


@pytest.mark.parametrize(("rule", "place"), PAIRS)
def test_a_bad_beta_is_named_with_its_place(rule, place):
    errors = [(value, ValueError) for value in RANGES[BELOW_1][1] + NEVER_INSIDE]
    for value, error in errors + [(value, TypeError) for value in NO_NUMBERS]:
        words = f"{rule}: betas[{place}] must be a finite number {BELOW_1}, got {value!r}"
        betas = [(value, 0.9), (0.9, value)][place]
        assert_refused(error, f"^{re.escape(words)}", rule, "betas", betas)


@pytest.mark.parametrize("rule", [rule for rule, place in PAIRS if place])
@pytest.mark.parametrize(
    "betas", [0.9, None, "ab", (0.9,), (0.9,) * 3, (), np.full(2, 0.9), {1, 0}]
)
def test_betas_must_be_a_pair(rule, betas):
    words = f"{rule}: betas must be two numbers (β₁, β₂), each ≥ 0 and < 1, got {betas!r}"
    error = ValueError if isinstance(betas, tuple) else TypeError
    assert_refused(error, f"^{re.escape(words)}$", rule, "betas", betas)


@pytest.mark.parametrize(("rule", "option"), FLAGS)
def test_a_flag_is_true_or_false_and_nothing_that_counts_as_it(rule, option):
    for value in (0, 1, None, "True", 0.0, math.nan, [], np.True_):
        words = f"{rule}: {option} must be True or False, got {value!r}"
        assert_refused(TypeError, f"^{re.escape(words)}$", rule, option, value)


@pytest.mark.parametrize(("rule", "option", "interval"), NUMBERS)
@pytest.mark.parametrize("kind", [float, np.float64, Fraction])
def test_the_ends_of_a_range_are_taken_and_minus_zero_as_zero(rule, option, interval, kind):
    for value in RANGES[interval][0]:
        (group,) = make(rule, [weights([1.0])], **{option: kind(value)}).groups
        assert (type(group[option]), group[option]) == (float, value)
        assert value != 0 or math.copysign(1, group[option]) == 1


@pytest.mark.parametrize(("rule", "place"), PAIRS)
def test_the_ends_of_the_betas_are_taken_and_minus_zero_as_zero(rule, place):
    for value in RANGES[BELOW_1][0]:
        (group,) = make(rule, [weights([1.0])], betas=[[value, 0.5], [0.5, value]][place]).groups
        assert group.betas == [(value, 0.5), (0.5, value)][place]
        assert math.copysign(1, group.betas[place]) == 1


@pytest.mark.parametrize("options", [{}, {"momentum": 0.0}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum_without_dampening(options):
    with pytest.raises(ValueError, match=r"^SGD: nesterov needs momentum > 0 and dampening = 0"):
        dl.optim.SGD([weights([1.0])], nesterov=True, **options)


def values(interval):
    """The whole of a range, and its ends more often."""
    ends = RANGES[interval][0]
    middle = [-0.5] if interval == POWER else [1e-30, 1e-8, 0.5]
    return st.sampled_from([*ends, *middle]) | st.floats(min(ends), max(ends))


@st.composite
def accepted(draw, rule, dtype):
    """Options that the constructor takes."""
    options = {}
    for option in options_of(rule):
        interval = range_of(rule, option)
        value = values(interval) if interval else st.booleans()
        options[option] = draw(st.tuples(value, value) if option == "betas" else value)
    if "eps" in options:
        options["eps"] = max(options["eps"], float(np.finfo(dtype).smallest_subnormal))
    if options.get("nesterov"):
        options["nesterov"] = options["momentum"] > 0
        options["dampening"] = 0.0 if options["nesterov"] else options["dampening"]
    return options


@EVERY_RULE
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=100)
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_no_accepted_options_make_nan_of_finite_gradients(rule, dtype, data, seed):
    """As long as a weight stays below 10¹⁵; beyond, the training has diverged."""
    kind, rng = np.finfo(dtype), np.random.default_rng(seed)
    sizes = [0, kind.smallest_subnormal, kind.tiny, 1e-20, 1e-10, 1, 1e10, 1e20, 1e37]
    sizes = np.array([*sizes, kind.max / 2, kind.max], dtype)
    start = rng.choice([0, 1e-30, 1e-3, 1, 1e15], 200) * rng.choice([-1, 1], 200)
    w, sound = weights(start, dtype), np.full(200, True)
    optimizer = make(rule, [w], **data.draw(accepted(rule, dtype)))
    for _ in range(4):
        sound &= abs(w.data) <= 1e15
        w.grad = rng.choice(sizes, 200) * rng.choice(np.array([-1, 1], dtype), 200)
        optimizer.step()
        assert not np.isnan(w.data[sound]).any()


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


@pytest.mark.parametrize("rule", [rule for rule in RULES if "eps" in SIGNATURES[rule]])
def test_an_eps_that_float32_rounds_to_zero_is_refused_where_float64_takes_it(rule):
    words = rf"^{rule}: eps=1e-50 would be 0 in float32, the dtype of a of shape \(1,\)"
    single, double = weights([1.0], "float32", name="a"), weights([1.0])
    with pytest.raises(ValueError, match=words):
        make(rule, [double, single], eps=1e-50)
    with pytest.raises(ValueError, match=words):
        make(rule, [{"params": [double], "eps": 1e-50}, {"params": [single], "eps": 1e-50}])
    optimizer = make(rule, [{"params": [double]}, {"params": [single]}])
    with pytest.raises(ValueError, match=words):
        optimizer.groups[1]["eps"] = 1e-50
    optimizer.groups[0]["eps"] = 1e-50
    assert optimizer.groups[0].eps == make(rule, [double], eps=1e-50).groups[0].eps == 1e-50
    assert optimizer.groups[1].eps == SIGNATURES[rule]["eps"]
    assert make(rule, [single], eps=1e-45).groups[0].eps == 1e-45


def test_a_group_changes_by_checked_options_alone():
    optimizer = dl.optim.Adam([weights([1.0])])
    (group,) = optimizer.groups
    group["lr"] = 0.5
    group.update({"eps": 1e-4})
    group.weight_decay = 0.1
    assert (optimizer.lr, group["eps"], group.eps) == (0.5, 1e-4, 1e-4)
    assert group["weight_decay"] == group.weight_decay == 0.1
    before = dict(group)
    with pytest.raises(ValueError, match=r"^Adam: lr must be"):
        group.lr = -1
    for change in ({"lr": 1.0, "eps": -1.0}, {"amsgrad": True}, {"params": []}, {"beta": 0.9}):
        with pytest.raises((TypeError, ValueError), match=r"eps|amsgrad|params|beta"):
            group.update(change)
    with pytest.raises((AttributeError, TypeError)):
        del group["eps"]
    with pytest.raises(AttributeError, match="eps can't be deleted from a group, only changed"):
        del group.eps
    assert dict(group) == before


@pytest.mark.parametrize("lr", [lambda t: 0.1, CosineDecay, None, [0.1]])
def test_a_rate_of_the_wrong_type_is_told_that_schedules_exist(lr):
    with pytest.raises(TypeError, match=r"≥ 0 and ≤ 1e\+10 or a schedule, such as schedulers"):
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
            for weights, gradient in zip(w, g, strict=True):
                weights -= lr * np.sign(gradient)

    w = weights([1.0])
    w.grad = np.full(1, -3.0)
    Signed([w], lr=0.25).step()
    assert w.data == 1.25
    with pytest.raises(TypeError, match="take one of them, such as Adam"):
        dl.optim.Optimizer([w])


def test_options_are_positional_no_further_than_the_rate():
    words = r"^Adam: only params and lr are positional; give options by name, such as betas=…, got"
    with pytest.raises(TypeError, match=words):
        dl.optim.Adam([weights([1.0])], 0.1, (0.9, 0.99))


def test_two_parameters_given_one_name_are_refused():
    with pytest.raises(ValueError, match=r"^SGD: two parameters are called 'w'$"):
        dl.optim.SGD([("w", weights([1.0])), ("w", weights([2.0]))])


def test_the_warm_start_of_ftrl_follows_its_slot():
    """An option changed after the slots were made from it doesn't move the weights."""
    w = weights([1.0, -1.0])
    optimizer = dl.optim.FTRL([w], initial_accumulator=0.1)
    optimizer.groups[0].initial_accumulator = 100.0
    descend(optimizer, w, [[1e-9, 1e-9]])
    np.testing.assert_allclose(w.data, [1, -1], rtol=1e-8)


def test_a_centered_variance_that_has_overflowed_freezes_the_weight():
    w = weights([1.0], "float32")
    descend(dl.optim.RMSprop([w], lr=0.1, centered=True, alpha=0.5), w, [[1e25]])
    assert w.data[0] == 1


@EVERY_RULE
def test_two_networks_in_one_optimizer_keep_their_names_whatever_the_order(rule):
    first, second = network(seed=1), network(seed=2)
    optimizer = make(rule, [{"params": first}, {"params": second, "lr": 0.2}], lr=0.1)
    train(first, optimizer, 3)
    train(second, optimizer, 2)
    state = optimizer.state_dict()
    assert [name.partition(".")[0] for name in state["state"]] == ["0"] * 4 + ["1"] * 4
    assert {"0.dense1.weight", "1.dense2.bias"} <= set(state["state"])
    copies = copy.deepcopy((first, second))
    reordered = [{"params": list(copied.named_parameters())[::-1]} for copied in copies]
    later = make(rule, reordered, lr=0.1)
    later.load_state_dict(state)
    assert train(copies[0], later, 2) == train(first, optimizer, 2)
    assert train(copies[1], later, 2) == train(second, optimizer, 2)
