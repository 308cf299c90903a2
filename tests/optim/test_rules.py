"""Each update rule against its equations, other libraries and the papers."""

import copy
import json
import math

import numpy as np
import pytest
from cases import GOLDEN, RULES
from hypothesis import given
from hypothesis import strategies as st
from optimizing import (
    FULL_STATE,
    POWER,
    RANGES,
    Failing,
    descend,
    each_rule,
    make,
    options_of,
    range_of,
    reference_trajectory,
    snapshot,
    weights,
)

import minidl as dl
from minidl.schedulers import (
    CosineDecay,
    LinearDecay,
    PiecewiseConstant,
    StepDecay,
    WarmUp,
)


def golden(name):
    return json.loads((GOLDEN / name).read_text())


PYTORCH, OTHERS = golden("trajectories.json"), golden("other_rules.json")


def largest(theta, path):
    """The largest magnitude of each entry along a trajectory, to which errors are relative."""
    size = abs(np.array([theta, *path])).max(axis=0)
    return np.where(size == 0, 1.0, size)


def assert_follows(rule, theta, gradients, lr, **options):
    w = weights(theta)
    computed = descend(make(rule, [w], lr=lr, **options), w, gradients)
    expected = reference_trajectory(rule, theta, gradients, lr, **options)
    size = largest(theta, expected)
    np.testing.assert_allclose(computed / size, expected / size, rtol=0, atol=1e-12)


# --- against the equations ----------------------------------------------------------------------

flags, eps = st.booleans(), st.floats(1e-6, 1)
fractions = st.just(0.0) | st.floats(0.01, 0.99)
moments = {"betas": st.tuples(fractions, fractions), "eps": eps}
OPTIONS = {  # in the units of the gradient, where they have any
    "SGD": [
        {"momentum": fractions, "dampening": st.floats(0, 1)},
        {"momentum": st.floats(0.1, 1), "nesterov": st.just(True)},
    ],
    "Momentum": [{"beta": fractions}],
    "NAG": [{"beta": fractions}],
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
        {"betas": st.tuples(fractions, betas2), "eps": eps, "decoupled_weight_decay": flags}
        for betas2 in (fractions, st.floats(0.9, 0.9999))  # never rectified for long; from t = 6 on
    ],
    "Adadelta": [{"rho": fractions, "eps": eps}],
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
    "Lion": [{"betas": st.tuples(fractions, fractions)}],
}
SHARED = {"weight_decay": st.sampled_from([0.0, 0.01, 0.5]), "maximize": flags}
SHAPES = st.sampled_from([(), (0,), (1,), (7,), (3, 0), (2, 3), (1, 1, 1), (2, 1, 3)])
RATES = [0.01, 0.3, StepDecay(0.3, 2, 0.5), WarmUp(CosineDecay(0.3, 50), 3, start=0.1)]
RATES_WITH_0 = [0.0, LinearDecay(0.3, 4), WarmUp(CosineDecay(0.3, 5), 3)]


def in_units(rule, size, options):
    """The options for gradients of a size: options in the units of a gradient scale with it."""
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


@each_rule
@given(data=st.data())
def test_rule_follows_its_equations(rule, data):
    sizes = [1e-100, 1e-6, 1.0, 1e6, 1e100]
    theta, gradients, lr, options = data.draw(problems(rule, sizes, tiny=1e-50))
    assert_follows(rule, theta, gradients, lr, **options)


@each_rule
def test_defaults_are_those_of_the_equations(rule, rng):
    theta, *gradients = rng.normal(size=(20, 30))
    assert_follows(rule, theta, gradients, 0.1)


@each_rule
@given(data=st.data())
def test_float32_weights_follow_the_equations_within_their_rounding(rule, data):
    """The tolerance: 32 roundings of the trajectory, and the effect of rounding all inputs."""
    # with larger gradients, FTRL's beta in their units would exceed the largest option
    sizes = [1e-10, 1e-3, 1.0, 1e3, 1e5 if rule == "FTRL" else 1e10]
    *inputs, lr, options = data.draw(problems(rule, sizes, tiny=1e-3))
    theta, gradients = (np.asarray(x, np.float32).astype(np.float64) for x in inputs)
    w = weights(theta, "float32")
    computed = descend(make(rule, [w], lr=lr, **options), w, gradients)
    expected = reference_trajectory(rule, theta, gradients, lr, **options)
    epsilon, rng = np.finfo(np.float32).eps, np.random.default_rng(0)

    def rounded(x):
        return np.asarray(x) * (1 + 8 * epsilon * rng.uniform(-1, 1, np.shape(x)))

    def nearby():
        rates = rounded([lr(t) if callable(lr) else lr for t in range(len(gradients))])
        return reference_trajectory(
            rule, rounded(theta), rounded(gradients), rates.__getitem__, **options
        )

    sensitivity = np.max([abs(nearby() - expected) for _ in range(4)], axis=0)
    bound = 32 * epsilon * largest(theta, expected) + sensitivity
    assert w.dtype == np.float32
    np.testing.assert_allclose((computed - expected) / bound, 0, atol=1)


@each_rule
def test_a_gradient_in_fortran_order_strided_or_misaligned_is_taken_entry_by_entry(rule, rng):
    theta, g = rng.normal(size=(2, 3, 4))
    expected = reference_trajectory(rule, theta, [g], 0.1)[0]
    misaligned = np.frombuffer(b"-" + g.tobytes(), g.dtype, offset=1).reshape(g.shape)
    assert not misaligned.flags.aligned
    for given_as in (np.asfortranarray(g), np.repeat(g, 2, axis=1)[:, ::2], misaligned):
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


# --- against other libraries --------------------------------------------------------------------


def assert_follows_stored(file, run, rule, options, tolerance=1e-10):
    problem = {name: np.array(values) for name, values in file["problem"].items()}
    w, path = weights(problem["start"]), []
    optimizer = make(rule, [w], **options)
    for noise in problem["noise"]:
        w.grad = problem["curvature"] * (w.data - problem["target"]) + noise
        optimizer.step()
        path.append(w.data.copy())
    assert file["stored_steps"][-1] == len(path)
    stored = [path[step - 1] for step in file["stored_steps"]]
    np.testing.assert_allclose(stored, run["theta"], tolerance, tolerance, err_msg=str(options))


FROM_PYTORCH = ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "Nadam", "Adamax", "RAdam"]
FROM_PYTORCH += ["Adadelta"]


@pytest.mark.parametrize("rule", FROM_PYTORCH)
def test_rule_equals_pytorch_over_many_steps(rule):
    convention = {"eps_inside_sqrt": False} if rule in ("Adagrad", "RMSprop") else {}
    runs = [run for run in PYTORCH["runs"] if run["rule"] == rule]
    assert PYTORCH["stored_steps"][-1] == 200
    assert len(runs) >= 20
    for run in runs:
        assert_follows_stored(PYTORCH, run, rule, convention | run["options"])


def test_every_stored_rule_is_compared():
    assert {run["rule"] for run in PYTORCH["runs"]} == set(FROM_PYTORCH)
    assert set(RULES) - set(FROM_PYTORCH) == {"Momentum", "NAG", "FTRL", "Lion"}
    assert {run["library"] for run in OTHERS["runs"]} == {"Optax", "Keras"}
    assert {run["rule"] for run in OTHERS["runs"]} == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_kernel_takes_the_arrays_of_its_rule_in_their_order(rule):
    rule = getattr(dl.optim, rule)
    assert [name.rstrip("?") for name in rule.kernel.arrays] == ["theta", "g", *rule.slots]
    assert [n[-1] == "?" for n in rule.kernel.arrays[2:]] == [
        bool(s.when) for s in rule.slots.values()
    ]


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


# --- what the papers promise --------------------------------------------------------------------


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
    + list(FULL_STATE.items())
    + [("FTRL", {"beta": 0.0}), ("Adagrad", {"eps_inside_sqrt": False})],
)
@pytest.mark.parametrize("size", [1e25, 1e15, 1e-15, 1e-25, 1e-40])
def test_huge_and_tiny_float32_gradients_leave_finite_weights(rule, options, size):
    w = weights([1.0, -1.0, 0.5, 0.0], "float32")
    gradients = size * np.array([[1, 2, 0, 3], [-1, 2, 0, 0], [3, 0, 1, -2]])
    path = descend(make(rule, [w], lr=0.01, **options), w, gradients)
    assert np.isfinite(path).all()


@each_rule
@pytest.mark.parametrize("options", [{}, FULL_STATE], ids=["defaults", "full"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_of_nan_is_not_hidden_and_changes_no_other_weight(rule, options, dtype):
    w = weights([1.0, 1.0, 1.0], dtype)
    optimizer = make(rule, [w], lr=0.1, **options.get(rule, {}))
    path = descend(optimizer, w, [[1.0, 1.0, 1.0], [1.0, math.nan, 1.0], [1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(np.isnan(path), [[False] * 3] + [[False, True, False]] * 2)


# --- FTRL on sparse data ------------------------------------------------------------------------

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


INVALID_SPARSE = {  # parameter, indices, gradient; the error and what it says
    "a foreign parameter": (
        [1],
        [1.0],
        {"parameter": weights([1.0] * 3)},
        ValueError,
        "not one of",
    ),
    "indices that fall": ([2, 1], [1.0, 1.0], {}, ValueError, "must increase, but 1 comes after 2"),
    "an index twice": ([1, 1], [1.0, 1.0], {}, ValueError, "must increase, but 1 comes after 1"),
    "an index too large": ([0, 3], [1.0, 1.0], {}, IndexError, "index 3 is outside 0 to 2"),
    "a negative index": ([-1, 2], [1.0, 1.0], {}, IndexError, "index -1 is outside 0 to 2"),
    "an index beyond int64": ([2**63], [1.0], {"dtype": np.uint64}, IndexError, "outside 0 to 2"),
    "indices of floats": ([1.0], [1.0], {}, TypeError, "indices must be integers, got float"),
    "a mask": ([True], [1.0], {}, TypeError, "indices must be integers, got bool"),
    "strings": (["1"], [1.0], {}, TypeError, "indices must be integers, got <U1"),
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
    "an invalid rate": ([1], [1.0], {"lr": np.nan}, ValueError, "at t = "),
}


@pytest.mark.parametrize("case", INVALID_SPARSE)
@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_sparse_step_that_fails_changes_nothing(case, steps_before):
    indices, gradient, how, error, message = INVALID_SPARSE[case]
    w = weights([1.0, -2.0, 3.0], name="w")
    optimizer = dl.optim.FTRL([w], lr=Failing(how.get("lr", 0.1), steps_before))
    for _ in range(steps_before):
        optimizer.sparse_step(w, [0, 2], np.array([1.0, -1.0]))
    optimizer.groups[0]["weight_decay"] = how.get("weight_decay", 0.0)
    w.data.flags.writeable = "lock" not in how
    w.requires_grad = "freeze" not in how
    before = repr(snapshot([w], optimizer))
    indices = np.array(indices, how.get("dtype"))
    with pytest.raises(error, match=message):
        optimizer.sparse_step(how.get("parameter", w), indices, np.asarray(gradient))
    assert repr(snapshot([w], optimizer)) == before


@pytest.mark.parametrize("gradient", [[1.0], 1.0, None, dl.Tensor([1.0])])
def test_a_sparse_gradient_that_is_not_an_array_is_refused(gradient):
    w = weights([1.0, 2.0], name="w")
    optimizer = dl.optim.FTRL([w])
    with pytest.raises(TypeError, match=r"gradient of w of shape \(2,\) must be a NumPy array"):
        optimizer.sparse_step(w, [1], gradient)
    assert (optimizer.t, w.version) == (0, 0)


# --- options at their limits --------------------------------------------------------------------


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
        options["eps"] = max(options["eps"], float(np.finfo(dtype).tiny))
    if options.get("nesterov"):
        options["nesterov"] = options["momentum"] > 0
        options["dampening"] = 0.0 if options["nesterov"] else options["dampening"]
    return options


@each_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
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


# --- a rate of 0 ----------------------------------------------------------------------------------

ZERO_RATES = {
    "0": 0.0,
    "-0": -0.0,
    "a schedule": LinearDecay(0.0, 5),
}
OPTIONS_AT_ZERO = [
    (rule, options | decay)
    for rule in RULES
    for options in ({}, FULL_STATE.get(rule, {}))
    for decay in ({}, {"weight_decay": 0.5, "maximize": True})
] + [
    ("Nadam", {"decoupled_weight_decay": True, "weight_decay": 1e10}),
    ("RAdam", {"decoupled_weight_decay": True, "weight_decay": 1e10}),
    ("AdamW", {"weight_decay": 1e10}),
    ("Lion", {"weight_decay": 1e10}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("FTRL", {"beta": 0.0}),
    ("FTRL", {"l1": 5.0, "l2": 3.0, "warm_start": False}),
    ("FTRL", {"lr_power": -0.7, "initial_accumulator": 0.1}),
]


@pytest.mark.parametrize(("rule", "options"), OPTIONS_AT_ZERO)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", ZERO_RATES)
def test_a_rate_of_0_changes_no_weight(rule, options, dtype, rate, rng):
    """To the bit; whatever the gradients, infinite and NaN ones too."""
    start = [*rng.normal(size=40), 0.0, -0.0, 1e30, -1e30]
    w = weights(start, dtype)
    before, optimizer = w.data.tobytes(), make(rule, [w], lr=ZERO_RATES[rate], **options)
    for size in (*[1.0] * 40, *[1e-30] * 20, *[1e30] * 20, math.inf, math.nan):
        w.grad = (size * rng.normal(size=len(start))).astype(dtype)
        optimizer.step()
    assert w.data.tobytes() == before
    assert optimizer.t == 82


@pytest.mark.parametrize(("rule", "options"), OPTIONS_AT_ZERO)
def test_a_rate_that_reaches_0_changes_no_weight_from_then_on(rule, options, rng):
    w = weights(rng.normal(size=50), "float32")
    optimizer = make(rule, [w], lr=LinearDecay(0.01, 5), **options | {"weight_decay": 0.1})
    gradients = rng.normal(size=(60, 50))
    descend(optimizer, w, gradients[:5])
    before = w.data.tobytes()
    descend(optimizer, w, gradients[5:])
    assert w.data.tobytes() == before
    optimizer.lr = 0.01
    descend(optimizer, w, gradients[:1])
    assert w.data.tobytes() != before


FTRL_OPTIONS = [
    {},
    {"beta": 0.0},
    {"l1": 0.05, "l2": 0.3},
    {"lr_power": -0.7, "initial_accumulator": 0.5},
    {"warm_start": False},
    {"l1": 0.05, "maximize": True},
]


@pytest.mark.parametrize("options", FTRL_OPTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("saved", [False, True])
def test_steps_of_ftrl_at_rate_0_change_no_state_and_leave_the_warm_start_for_later(
    options, dtype, sparse, saved, rng
):
    """The training after them is the one without them, to the bit."""
    start, *gradients = rng.normal(size=(7, 20))
    w, twin = weights(start, dtype), weights(start, dtype)
    optimizer, alone = (dl.optim.FTRL([p], lr=0.5, **options) for p in (w, twin))

    def step(optimizer, w, g):
        if sparse:
            optimizer.sparse_step(w, np.arange(20), g.astype(dtype))
        else:
            descend(optimizer, w, [g])

    for i, g in enumerate(gradients):
        optimizer.lr, before = 0.0, copy.deepcopy(optimizer.state_dict()["state"])
        step(optimizer, w, 100 * g)
        np.testing.assert_equal(optimizer.state_dict()["state"], before)
        assert optimizer.t == 2 * i + 1
        if saved:
            state, optimizer = optimizer.state_dict(), dl.optim.FTRL([w], **options)
            optimizer.load_state_dict(state)
        optimizer.lr = 0.5
        step(optimizer, w, g)
        step(alone, twin, g)
        assert w.data.tobytes() == twin.data.tobytes()
    np.testing.assert_equal(optimizer.state_dict()["state"], alone.state_dict()["state"])


def test_ftrl_in_a_warm_up_from_0_keeps_its_initial_weights():
    """α = 0, then ½ with g = 0: z ← −θ(β + √n) = −2·1 and −4·1 by hand; then g = 1 at θ = 2:
    n = 1, z = −2 + ½ − 2·1 = −3.5, θ = 3.5 / (1 + 1).
    """
    w = weights([2.0, 4.0])
    optimizer = dl.optim.FTRL([w], lr=PiecewiseConstant([0], [0.0, 0.5]))
    descend(optimizer, w, [[1.0, 1.0]])
    assert [a.tolist() for a in (optimizer.state[w]["z"], w.data)] == [[0, 0], [2, 4]]
    descend(optimizer, w, [[0.0, 0.0]])
    assert [a.tolist() for a in (optimizer.state[w]["z"], w.data)] == [[-2, -4], [2, 4]]
    descend(optimizer, w, [[1.0, 0.0]])
    assert w.data.tolist() == [1.75, 4]


def test_a_rate_that_is_0_in_float32_changes_no_float32_weight(rng):
    for sparse in (False, True):
        w = weights(rng.normal(size=300), "float32")
        optimizer, before = dl.optim.FTRL([w], lr=1e-60, l1=0.1), w.data.tobytes()
        for _ in range(50):
            w.grad = rng.normal(size=300).astype("float32")
            if sparse:
                optimizer.sparse_step(w, np.arange(300), w.grad)
            else:
                optimizer.step()
        assert w.data.tobytes() == before


def test_a_sparse_step_is_refused_where_a_subclass_has_another_update():
    class Own(dl.optim.FTRL):
        def update(self, *batch):
            super().update(*batch)

    w = weights([1.0])
    optimizer = Own([w])
    with pytest.raises(TypeError, match=r"^Own has an `update` that sparse_step can't use"):
        optimizer.sparse_step(w, [0], np.ones(1))
    assert (w.data, optimizer.t) == (1, 0)


@pytest.mark.parametrize(
    "gradient",
    [
        np.ones(2, np.float16),
        np.ones(2, np.longdouble),
        np.ones(2, np.dtype("f4").newbyteorder()),
        np.ones(2, int),
        [1.0, 1.0],
    ],
)
def test_a_sparse_step_refuses_a_gradient_of_another_dtype(gradient):
    w = weights([1.0, 2.0, 3.0], "float32")
    optimizer = dl.optim.FTRL([w])
    with pytest.raises(TypeError, match=r"^FTRL\.sparse_step: the gradient of .* of its dtype"):
        optimizer.sparse_step(w, [0, 2], gradient)
    assert (w.data.tolist(), w.version, optimizer.t) == ([1, 2, 3], 0, 0)


def test_the_product_of_nadams_momenta_never_stays_subnormal():
    w = dl.Tensor([1.0], requires_grad=True)
    optimizer = dl.optim.Nadam([w], lr=1e-3)
    w.grad = np.zeros(1, np.float32)
    products = []
    for _ in range(7500):
        optimizer.step()
        products.append(optimizer.state[w]["mu_product"].item())
    assert products[-1] == 0
    assert min(p for p in products if p) >= np.finfo(np.float64).tiny
