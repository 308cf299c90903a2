"""The update rules against the mathematics: what was proved of them is what they do."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.schedulers import (
    CosineDecay,
    ExponentialDecay,
    InverseSqrtDecay,
    LinearDecay,
    StepDecay,
    warmup_stable_decay,
)

NO_EPS = 1e-200  # beside any gradient


def optimize(rule, start, gradient, steps, *, box=math.inf, **options):
    """θ₀, θ₁, …, θ_steps under a gradient (θ, t), clipped to [−box, box]."""
    w = dl.Tensor(np.array(start, np.float64), requires_grad=True)
    optimizer = getattr(dl.optim, rule)([w], **options)
    path = [w.data.copy()]
    for t in range(1, steps + 1):
        w.grad = np.array(gradient(w.data, t), np.float64)
        optimizer.step()
        np.clip(w.data, -box, box, out=w.data)
        path.append(w.data.copy())
    return np.array(path)


def apply_gradients(rule, gradients, start=None, **options):
    """The same under gradients that are known beforehand, by default from 0."""
    start = np.zeros_like(gradients[0]) if start is None else start
    return optimize(rule, start, lambda _, t: gradients[t - 1], len(gradients), **options)


def moving_average(beta, gradients):
    """(1 − β) Σ βᵗ⁻ˢ g_s over s ≤ t, for each t."""
    t = np.arange(len(gradients))
    return (1 - beta) * np.tril(beta ** abs(t[:, None] - t)) @ gradients


def column(steps):
    """1, 2, …, steps, as an array that broadcasts with a path."""
    return np.arange(1.0, steps + 1)[:, None]


# --- gradient descent on a quadratic --------------------------------------------------------------


def test_descent_contracts_each_eigencomponent_by_one_minus_rate_times_eigenvalue(rng):
    """On ½ θᵀAθ each step multiplies a component by 1 − ηλ (Nesterov 2004, section 2.1.5)."""
    curvatures, lr = np.array([0.1, 0.7, 1.0, 2.5, 4.0]), 0.3
    basis, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    matrix, start = basis * curvatures @ basis.T, rng.uniform(1, 2, 5)
    components = optimize("SGD", start, lambda x, t: matrix @ x, 30, lr=lr) @ basis
    factors = 1 - lr * curvatures
    np.testing.assert_allclose(components[1:], factors * components[:-1], rtol=0, atol=1e-14)
    expected = factors ** column(30) * components[0]
    np.testing.assert_allclose(components[1:], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("fraction", "verdict"), [(0.999, "falls"), (1, "swings"), (1.001, "grows")]
)
def test_descent_converges_exactly_below_two_over_the_largest_curvature(fraction, verdict):
    """|1 − ηλ| < 1 for all λ if and only if η < 2/λ_max (Polyak 1987, section 1.4)."""
    curvatures, steps = np.array([0.5, 1.0, 4.0]), 10_000
    path = optimize("SGD", [1, 1, 1], lambda x, t: curvatures * x, steps, lr=fraction * 2 / 4)
    size = abs(path).max(axis=1)
    assert size[-1] == pytest.approx(abs(1 - 2 * fraction) ** steps, rel=1e-9, abs=0)
    if verdict == "swings":
        np.testing.assert_array_equal(path[:, 2], (-1.0) ** np.arange(steps + 1))
    else:
        assert size[-1] < 1e-8 if verdict == "falls" else size[-1] > 1e8


def test_the_best_constant_rate_contracts_by_its_known_factor():
    """η = 2/(m + L) gives (κ − 1)/(κ + 1), and no η less (Nesterov 2004, theorem 2.1.15)."""
    curvatures = np.array([0.5, 1.0, 3.0, 4.0])
    best, factor = 2 / (0.5 + 4), (8 - 1) / (8 + 1)

    def slowest(lr):
        path = optimize("SGD", np.ones(4), lambda x, t: curvatures * x, 40, lr=lr)
        return abs(path[-1] / path[-2]).max()

    assert slowest(best) == pytest.approx(factor, rel=1e-12)
    assert min(slowest(best * (1 + change)) for change in (-0.2, -0.01, 0.01, 0.2)) > factor + 1e-3


# --- acceleration ---------------------------------------------------------------------------------

M, L = 0.01, 1.0
KAPPA = L / M


def measured_rate(rule, **options):
    """By what the slowest component shrinks a step in the end, from m to L."""
    curvatures = np.geomspace(M, L, 9)
    path = optimize(rule, np.ones(9), lambda x, t: curvatures * x, 2000, **options)
    return (abs(path[1900:2000]).max() / abs(path[900:1000]).max()) ** (1 / 1000)


def root(shift):
    return math.sqrt(KAPPA) + shift


POLYAK = 4 / (math.sqrt(L) + math.sqrt(M)) ** 2, (root(-1) / root(1)) ** 2
NESTEROV = 1 / L, root(-1) / root(1)
LESSARD_ROOT = math.sqrt(3 * KAPPA + 1)
LESSARD = 4 / (3 * L + M), (LESSARD_ROOT - 2) / (LESSARD_ROOT + 2)
RATES = [
    (POLYAK, False, root(-1) / root(1)),  # Polyak 1964: √μ
    (NESTEROV, True, 1 - 1 / root(0)),  # Nesterov 2004, section 2.2
    (LESSARD, True, 1 - 2 / LESSARD_ROOT),
]


@pytest.mark.parametrize(("parameters", "nesterov", "rate"), RATES)
def test_momentum_converges_at_its_known_rate(parameters, nesterov, rate):
    """The rates on quadratics of curvatures in [m, L] (Lessard, Recht & Packard 2016, prop. 1)."""
    lr, mu = parameters
    ours = {"lr": lr / (1 - mu), "beta": mu}
    rates = [
        measured_rate("SGD", lr=lr, momentum=mu, nesterov=nesterov),
        measured_rate("NAG" if nesterov else "Momentum", **ours),
    ]
    assert rates == pytest.approx([rate, rate], rel=1.5e-3)
    assert rate < 0.92 < (KAPPA - 1) / (KAPPA + 1)


@pytest.mark.parametrize(("parameters", "nesterov"), [(POLYAK, False), (LESSARD, True)])
@pytest.mark.parametrize("change", [(1.02, 1), (0.98, 1), (1, 1.02), (1, 0.98)])
def test_no_parameters_nearby_are_faster_than_the_optimal_ones(parameters, nesterov, change):
    """Optimality of the two tunings (Polyak 1964; Lessard, Recht & Packard 2016, prop. 1)."""
    best, other = (
        measured_rate("SGD", lr=lr, momentum=mu, nesterov=nesterov)
        for lr, mu in (parameters, np.multiply(parameters, change))
    )
    assert other > best + 3e-3


@pytest.mark.parametrize("curvature", [0.0123, 0.3, 0.97])
def test_the_energy_of_the_heavy_ball_falls_by_mu_each_step(curvature):
    """Casorati: x′² − p x x′ + μx² of a recurrence x″ = p x′ − μx is multiplied by μ."""
    lr, mu = POLYAK
    x = optimize("SGD", [1.0], lambda x, t: curvature * x, 60, lr=lr, momentum=mu)[:, 0]
    p = 1 + mu - lr * curvature
    assert p**2 < 4 * mu  # the energy is positive: √μ is the rate of each component
    energy = x[1:] ** 2 - p * x[1:] * x[:-1] + mu * x[:-1] ** 2
    np.testing.assert_allclose(energy[1:] / energy[:-1], mu, rtol=1e-10)


# --- constant gradients ---------------------------------------------------------------------------

T = column(40)
DISTANCES = [  # covered in t steps under η = g = 1: sums of geometric series of ratio 3/4
    ("SGD", {"momentum": 0.75}, 4 * (T - 3 * (1 - 0.75**T))),
    ("SGD", {"momentum": 0.75, "dampening": 0.5}, 2 * (T - 2 * (1 - 0.75**T))),
    ("SGD", {"momentum": 0.75, "nesterov": True}, 4 * (T - 2.25 * (1 - 0.75**T))),
    ("Momentum", {"beta": 0.75}, T - 3 * (1 - 0.75**T)),
    ("NAG", {"beta": 0.75}, T - 2.25 * (1 - 0.75**T)),
]


@pytest.mark.parametrize(("rule", "options", "distance"), DISTANCES)
def test_momentum_under_a_constant_gradient_is_a_geometric_series(rule, options, distance):
    """v_t = (1 − βᵗ) g, the recurrence unrolled (Kingma & Ba 2015, section 3)."""
    g = np.array([3.0, -0.2])
    path = apply_gradients(rule, [g] * 40, lr=0.5, **options)
    np.testing.assert_allclose(path[1:], -0.5 * distance * g, rtol=1e-12)


def test_rmsprop_with_momentum_is_the_heavy_ball_on_normalised_gradients():
    """b ← μb + g/√G, here ±1 each step, sums to the same series (Hinton 2012, lecture 6e)."""
    options = {"alpha": 0.0, "eps": NO_EPS, "momentum": 0.75}
    path = apply_gradients("RMSprop", [[3.0, -0.2]] * 40, lr=0.5, **options)
    expected = 0.5 * 4 * (T - 3 * (1 - 0.75**T)) * [-1, 1]
    np.testing.assert_allclose(path[1:], expected, rtol=1e-12)


BETAS = [(0.0, 0.0), (0.9, 0.999), (0.999, 0.9), (0.0, 0.999), (0.5, 0.0), (0.9999, 0.99999)]
SIGNED = [("Adam", {}), ("Adam", {"amsgrad": True}), ("AdamW", {"weight_decay": 0}), ("Adamax", {})]


@pytest.mark.parametrize("betas", BETAS)
@pytest.mark.parametrize(("rule", "options"), SIGNED)
@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_adam_moves_by_the_rate_each_step_under_a_constant_gradient(rule, options, betas, size):
    """m̂ = g and v̂ = g²: with its bias corrected, a mean of equals is one (Kingma & Ba 2015)."""
    g = size * np.array([3.0, -0.2])
    path = apply_gradients(rule, [g] * 30, lr=0.5, betas=betas, eps=NO_EPS, **options)
    np.testing.assert_allclose(path, -0.5 * np.arange(31)[:, None] * np.sign(g), rtol=1e-10)


@given(
    betas=st.tuples(st.floats(0, 0.9999), st.floats(0, 0.9999)),
    size=st.floats(1e-30, 1e30),
    case=st.sampled_from([*SIGNED, ("Lion", None)]),
)
def test_the_first_step_is_the_rate_against_the_sign_for_any_betas(betas, size, case):
    """|Δ₁| = η: nothing but the sign of g₁ is known yet (Kingma & Ba 2015, section 2.1)."""
    rule, options = case
    options = {} if rule == "Lion" else {**options, "eps": NO_EPS}
    g = size * np.array([1.0, -2.5, 0.0])
    (_, step) = apply_gradients(rule, [g], lr=0.5, betas=betas, **options)
    np.testing.assert_allclose(step, [-0.5, 0.5, 0], rtol=1e-10)


def test_adagrad_slows_down_as_one_over_root_t_under_a_constant_gradient():
    """G_t = t g² (Duchi et al. 2011)."""
    path = apply_gradients("Adagrad", [[3.0, -0.2]] * 40, lr=0.5, eps=NO_EPS)
    np.testing.assert_allclose(np.diff(path, axis=0), 0.5 * T**-0.5 * [[-1, 1]], rtol=1e-12)


# --- the variants of Adam -------------------------------------------------------------------------


def rho(beta2, t):
    """ρ∞ and ρ_t of Liu et al. 2020, exactly."""
    most = 2 / (1 - beta2) - 1
    return most, most - 2 * t * beta2**t / (1 - beta2**t)


def rectification(beta2, t):
    """r_t, or 1 as long as ρ_t ≤ 5 and the variance is intractable."""
    most, now = rho(beta2, t)
    if now <= 5:
        return 1.0
    return math.sqrt((now - 4) * (now - 2) * most / ((most - 4) * (most - 2) * now))


@pytest.mark.parametrize(
    ("beta2", "first"), [("0.999", 6), ("0.99", 6), ("0.9", 6), ("0.8", 7), ("0.5", None)]
)
def test_radam_rectifies_once_the_variance_is_known(beta2, first, rng):
    """Until then it is SGD with corrected momentum (Liu et al. 2020, algorithm 2)."""
    exact = Fraction(beta2)
    rectified = [t for t in range(1, 41) if rho(exact, t)[1] > 5]
    assert rectified == ([] if first is None else list(range(first, 41)))
    gradients = rng.uniform(1, 2, size=(40, 3))
    path = apply_gradients("RAdam", gradients, lr=0.5, betas=(0.8, float(beta2)), eps=NO_EPS)
    corrected = moving_average(0.8, gradients) / (1 - 0.8**T)
    size = np.sqrt(moving_average(float(beta2), gradients**2) / (1 - float(beta2) ** T))
    for t in range(1, 41):
        scale = rectification(exact, t) / size[t - 1] if t in rectified else 1.0
        step = -0.5 * corrected[t - 1] * scale
        np.testing.assert_allclose(path[t] - path[t - 1], step, rtol=1e-9)


def test_radam_becomes_adam():
    """r_t rises to 1 (Liu et al. 2020, section 4): under a constant gradient the step is η r_t."""
    path = apply_gradients("RAdam", [[3.0]] * 3000, lr=0.5, betas=(0.9, 0.99), eps=NO_EPS)
    ratios = -np.diff(path[:, 0])[5:] / 0.5
    assert ratios[0] < 0.1
    assert (np.diff(ratios) > -1e-9).all()
    assert ratios[-1] == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize(("momentum_decay", "fraction"), [(1e9, 1.0), (0.0, 0.5)])
def test_nadam_at_the_ends_of_its_schedule_is_adam_with_nesterov_momentum(
    momentum_decay, fraction, rng
):
    """μ = β₁, or β₁/2: ((1 − μ) g/(1 − μᵗ) + μm/(1 − μᵗ⁺¹)) / √v̂ (Dozat 2016, algorithm 2)."""
    beta1, beta2 = betas = 0.8, 0.95
    gradients, mu = rng.normal(size=(40, 3)), fraction * beta1
    path = apply_gradients(
        "Nadam", gradients, lr=0.5, betas=betas, momentum_decay=momentum_decay, eps=NO_EPS
    )
    now = (1 - mu) * gradients / (1 - mu**T)
    ahead = mu * moving_average(beta1, gradients) / (1 - mu ** (T + 1))
    size = np.sqrt(moving_average(beta2, gradients**2) / (1 - beta2**T))
    np.testing.assert_allclose(np.diff(path, axis=0), -0.5 * (now + ahead) / size, rtol=1e-10)


def test_nadam_without_momentum_is_adam_without_momentum(rng):
    """β₁ = 0 leaves nothing to look ahead along (Dozat 2016)."""
    gradients = rng.normal(size=(40, 3))
    nadam, adam = (
        apply_gradients(rule, gradients, lr=0.5, betas=(0, 0.9)) for rule in ("Nadam", "Adam")
    )
    np.testing.assert_allclose(nadam, adam, rtol=1e-12, atol=1e-12)


def test_adamax_divides_by_the_discounted_largest_gradient(rng):
    """u_t = max over s ≤ t of β₂ᵗ⁻ˢ (|g_s| + ε) (Kingma & Ba 2015, section 7.1)."""
    gradients, eps = rng.standard_cauchy(size=(60, 5)), 0.25
    path = apply_gradients("Adamax", gradients, lr=0.5, betas=(0.0, 0.9), eps=eps)
    denominators = -0.5 * gradients / np.diff(path, axis=0)
    t = np.arange(60)
    discounts = np.tril(0.9 ** abs(t[:, None] - t))
    largest = (discounts[:, :, None] * (abs(gradients) + eps)).max(axis=1)
    np.testing.assert_allclose(denominators, largest, rtol=1e-8)


def test_each_step_of_lion_is_the_rate_in_every_coordinate(rng):
    """Δ = ±η, and 0 where no gradient was (Chen et al. 2023)."""
    gradients = rng.standard_cauchy(size=(200, 6)) * [1e-9, 1e-3, 1, 1e3, 1e9, 0]
    steps = np.diff(apply_gradients("Lion", gradients, lr=0.125), axis=0)
    np.testing.assert_array_equal(abs(steps), np.broadcast_to([0.125] * 5 + [0], (200, 6)))
    beta1, beta2 = 0.9, 0.99
    m = np.vstack([np.zeros(6), moving_average(beta2, gradients)[:-1]])
    np.testing.assert_array_equal(np.sign(steps), -np.sign(beta1 * m + (1 - beta1) * gradients))


SCALE_FREE = [
    ("Lion", {}),
    ("Adagrad", {"eps": NO_EPS}),
    ("Adagrad", {"eps": NO_EPS, "eps_inside_sqrt": False}),
    ("RMSprop", {"eps": NO_EPS}),
    ("RMSprop", {"eps": NO_EPS, "centered": True, "momentum": 0.9}),
    ("Adam", {"eps": NO_EPS}),
    ("Adam", {"eps": NO_EPS, "amsgrad": True}),
    ("AdamW", {"eps": NO_EPS}),
    ("Nadam", {"eps": NO_EPS}),
    ("Adamax", {"eps": NO_EPS}),
    ("Adadelta", {"eps": 1e-30}),
    ("FTRL", {"beta": 0.0}),
]


@pytest.mark.parametrize(("rule", "options"), SCALE_FREE)
def test_a_rule_is_invariant_to_the_scale_of_the_loss_in_each_coordinate(rule, options, rng):
    """Diagonal scaling of g leaves Δ alone (Kingma & Ba 2015, 2.1; Duchi et al. 2011; Zeiler)."""
    gradients = rng.normal(size=(60, 4))
    path = apply_gradients(rule, gradients, **options)
    scaled = apply_gradients(rule, gradients * [1e-6, 0.3, 1e3, 1e6], **options)
    assert path.any(axis=0).all()
    np.testing.assert_allclose(scaled, path, rtol=1e-9, atol=1e-12 * abs(path).max())


@pytest.mark.parametrize("unit", [1e-3, 60.0])
def test_adadeltas_steps_have_the_units_of_the_weights(unit, rng):
    """Weights in units u have gradients 1/u and steps u times as large (Zeiler 2012, 3.2)."""
    gradients, eps = rng.uniform(1, 2, size=(200, 4)), 1e-20
    path = apply_gradients("Adadelta", gradients, eps=eps)
    other = apply_gradients("Adadelta", gradients / unit, eps=eps * unit**2)
    np.testing.assert_allclose(other, unit * path, rtol=1e-9)


@pytest.mark.parametrize("centered", [False, True])
def test_the_denominators_of_rmsprop_settle_at_the_second_moment(centered, rng):
    """E G = E g², var G = var g² (1 − α)/(1 + α); centred E (G − ḡ²) = σ² 2α/(1 + α) (AR(1))."""
    alpha, mean, sigma, n = 0.95, 0.7, 1.3, 10_000
    gradients = rng.normal(mean, sigma, size=(400, n))
    path = apply_gradients("RMSprop", gradients, lr=1.0, alpha=alpha, eps=1e-30, centered=centered)
    settled = (gradients[-1] / (path[-2] - path[-1])) ** 2
    expected = sigma**2 * 2 * alpha / (1 + alpha) if centered else mean**2 + sigma**2
    assert abs(settled.mean() - expected) < 5 * settled.std() / math.sqrt(n) < 0.02 * expected
    if not centered:
        of_square = 2 * sigma**4 + 4 * mean**2 * sigma**2
        assert settled.var() == pytest.approx(of_square * (1 - alpha) / (1 + alpha), rel=0.1)


@pytest.mark.parametrize(("amsgrad", "start", "end"), [(False, -1, 1), (True, 1, -1)])
@pytest.mark.parametrize("largest", [3.0, 10.0])
def test_adam_converges_to_the_worst_point_where_amsgrad_finds_the_best(
    amsgrad, start, end, largest
):
    """f_t(x) = Cx every third step, else −x, on [−1, 1] (Reddi et al. 2018, theorem 1)."""
    path = optimize(
        "Adam",
        [start],
        lambda _, t: [largest if t % 3 == 1 else -1.0],
        3000,
        box=1,
        lr=InverseSqrtDecay(0.5, 1),
        betas=(0.0, 1 / (1 + largest**2)),
        amsgrad=amsgrad,
    )[:, 0]
    assert abs(path[-300:] - end).max() < 0.05
    slopes = np.where(np.arange(1, 3001) % 3 == 1, largest, -1.0)
    regret = slopes @ (path[:-1] - -1) / 3000
    worst = 2 * slopes.mean()
    assert regret < 0.1 * worst if amsgrad else regret > 0.9 * worst


RULES = [name for name, rule in vars(dl.optim).items() if hasattr(rule, "slots")]
RULES.remove("Optimizer")


@pytest.mark.parametrize("rule", RULES)
def test_to_maximise_a_function_is_to_minimise_its_negative(rule, rng):
    """arg max f = arg min −f, bit for bit, and weights decay towards 0 in both."""
    start, target = rng.normal(size=(2, 4))
    options = {"lr": 0.05, "weight_decay": 0.1}
    up = optimize(rule, start, lambda x, t: target - x, 30, maximize=True, **options)
    down = optimize(rule, start, lambda x, t: x - target, 30, **options)
    np.testing.assert_array_equal(up, down)
    assert not np.array_equal(up[0], up[-1])


# --- regret ---------------------------------------------------------------------------------------


def random_losses(rng, steps, size):
    """Linear losses of every scale, most of them 0 in the rarer coordinates."""
    shown = rng.random((steps, size)) < np.geomspace(1, 0.02, size)
    shown[0] = True
    gradients = shown * rng.normal(size=(steps, size)) * np.geomspace(0.1, 10, size)
    return lambda _, t: gradients[t - 1]


def opposing_losses(rng, steps, size):
    """Linear losses that always point away from where the player is."""
    scale = rng.uniform(0.5, 2, size)
    return lambda x, t: scale * np.where(x < 0, -1.0, 1.0)


def absolute_losses(rng, steps, size):
    """s |x − b_t| for targets b_t around a centre that jumps half-way."""
    centre = np.where(np.arange(steps)[:, None] < steps / 2, 0.5, -0.3)
    targets, scale = centre + 0.3 * rng.normal(size=(steps, size)), rng.uniform(0.5, 2, size)
    return lambda x, t: scale * np.sign(x - targets[t - 1])


def logistic_losses(rng, steps, size):
    """ln(1 + exp(−y a·x)) for separable labels y of features a."""
    features, truth = rng.normal(size=(steps, size)), rng.normal(size=size)
    signed = features * np.sign(features @ truth)[:, None]
    return lambda x, t: -signed[t - 1] / (1 + np.exp(signed[t - 1] @ x))


OPPONENTS = [random_losses, opposing_losses, absolute_losses, logistic_losses]
against_every_opponent = pytest.mark.parametrize("opponent", OPPONENTS)
with_seeds = pytest.mark.parametrize("seed", range(3))


def play(rule, opponent, seed, steps=1600, size=5, **options):
    """The points played, the one that would come next, and the gradients met.

    For convex losses the regret Σ f_t(θ_t) − f_t(u) is at most Σ g_t·(θ_t − u).
    """
    gradient = opponent(np.random.default_rng(seed), steps, size)
    path = optimize(rule, np.zeros(size), gradient, steps, **options)
    return path[:-1], path[-1], np.array([gradient(x, t) for t, x in enumerate(path[:-1], 1)])


def against_the_best_in_the_box(points, gradients):
    """After each round, the regret against the best fixed point of [−1, 1]ⁿ."""
    return np.cumsum(points * gradients, axis=0) + abs(np.cumsum(gradients, axis=0))


def duchi_bound(gradients):
    """√2 D∞ Σᵢ ‖g_{1:T,i}‖₂ for each T, where D∞ = 2 is the width of [−1, 1]."""
    return math.sqrt(2) * 2 * np.sqrt(np.cumsum(gradients**2, axis=0)).sum(axis=1)


def shrinks(regret, factor):
    """Whether the average regret of the last rounds is so much below that of the first."""
    average = regret / np.arange(1, len(regret) + 1)
    return average[-100:].max() < average[:100].max() / factor


@against_every_opponent
@with_seeds
def test_the_regret_of_adagrad_in_a_box_stays_below_its_bound(opponent, seed):
    """η = D∞/√2: R_T ≤ √2 D∞ Σᵢ ‖g_{1:T,i}‖₂ (Duchi et al. 2011, theorem 5, corollary 6)."""
    points, _, gradients = play("Adagrad", opponent, seed, lr=2**0.5, eps=NO_EPS, box=1)
    regret = against_the_best_in_the_box(points, gradients).sum(axis=1)
    bound = duchi_bound(gradients)
    assert (regret <= bound).all()
    assert (regret > bound / 4)[99:].any()
    assert shrinks(regret, 15)


def test_a_constant_rate_breaks_adagrads_bound():
    """The bound has teeth: without the falling rate an opponent makes the regret linear in T."""
    points, _, gradients = play("SGD", opposing_losses, 0, lr=2**0.5, box=1)
    regret = against_the_best_in_the_box(points, gradients).sum(axis=1)
    assert regret[-1] > 2 * duchi_bound(gradients)[-1]


FTRLS = [
    ("Adagrad", {"eps": NO_EPS}),
    ("FTRL", {"beta": 0.0}),
    ("FTRL", {"beta": 1.0}),
    ("FTRL", {"beta": 0.5, "l2": 2.0}),
    ("FTRL", {"beta": 1.0, "l1": 3.0}),
    ("FTRL", {"beta": 0.0, "l1": 1.0, "l2": 0.5}),
]


@against_every_opponent
@with_seeds
@pytest.mark.parametrize(("rule", "options"), FTRLS)
@pytest.mark.parametrize("steps", [10, 300])
def test_the_regret_of_ftrl_stays_below_its_bound_and_meets_it(
    rule, options, opponent, seed, steps
):
    """R(u) ≤ r_{0:T}(u) + ½ Σ g_t²/σ_{0:t}, for every u (McMahan 2017, theorem 2).

    r_t = ½σ_t(u − θ_t)², r₀ = λ₁|u| + ½(λ₂ + β/α)u². Where λ₁ = 0 nothing is lost in the proof
    but the distance of u from the next leader, so there the two are equal.
    """
    alpha = 0.7
    points, leader, gradients = play(rule, opponent, seed, steps, lr=alpha, **options)
    beta, l1, l2 = (options.get(name, 0.0) for name in ("beta", "l1", "l2"))
    root_n = np.sqrt(np.cumsum(gradients**2, axis=0))
    sigma = np.diff(root_n, axis=0, prepend=0) / alpha
    stability = np.sum(gradients**2 / (l2 + (beta + root_n) / alpha), axis=0) / 2

    def regret_and_bound(u):
        proximal = np.sum(sigma * (points - u) ** 2, axis=0) + (l2 + beta / alpha) * u**2
        return np.sum(gradients * (points - u), axis=0), proximal / 2 + l1 * abs(u) + stability

    for u in (*np.linspace(-2, 2, 9), 10.0 * np.sign(leader)):
        regret, bound = regret_and_bound(u)
        assert (regret <= bound + 1e-9 * abs(bound)).all()
    regret, bound = regret_and_bound(leader)
    if l1 == 0:
        np.testing.assert_allclose(regret, bound, rtol=1e-9, atol=1e-9)
    else:
        assert (regret <= bound + 1e-9).all()


@against_every_opponent
def test_the_average_regret_of_ftrl_vanishes(opponent):
    """R_T = O(√T), so R_T/T → 0 (McMahan & Streeter 2010)."""
    points, _, gradients = play("FTRL", opponent, 0, steps=6400, lr=1.0)
    assert shrinks(against_the_best_in_the_box(points, gradients).sum(axis=1), 40)


@pytest.mark.parametrize("warm_start", [True, False])
def test_ftrl_without_regularisation_is_adagrad(warm_start, rng):
    """β = λ₁ = λ₂ = 0: the proximal leader is the adaptive gradient step (McMahan 2011)."""
    start, *gradients = rng.normal(size=(60, 5))
    start = start if warm_start else np.zeros(5)
    ftrl = apply_gradients("FTRL", gradients, start, lr=0.3, beta=0.0, warm_start=warm_start)
    adagrad = apply_gradients("Adagrad", gradients, start, lr=0.3, eps=NO_EPS)
    np.testing.assert_allclose(ftrl, adagrad, rtol=1e-11, atol=1e-13)


# --- averages of the weights ----------------------------------------------------------------------


@pytest.mark.parametrize(("lr", "decay"), [(0.2, 0.95), (0.5, 0.5), (1.6, 0.9), (0.01, 0.999)])
def test_averaging_reduces_the_variance_by_the_factor_of_an_autoregression(lr, decay):
    """SGD on ½θ² under white noise is an AR(1) of φ = 1 − η; its moving average has the variance
    (1 − δ)(1 + δφ) / ((1 + δ)(1 − δφ)) times as large, the ratio of Σ (impulse response)²."""
    w = dl.Tensor(np.zeros(1), requires_grad=True)
    optimizer, averaged = dl.optim.SGD([w], lr=lr), dl.optim.average([w], decay)
    own, mean = 0.0, 0.0
    for t in range(12_000 if decay > 0.99 else 600):
        w.grad = w.data + (t == 0)
        optimizer.step()
        averaged.update()
        own += w.data.item() ** 2
        mean += averaged.state_dict()["0"].item() ** 2
    phi = 1 - lr
    assert own == pytest.approx(lr**2 / (1 - phi**2), rel=1e-9)
    factor = (1 - decay) * (1 + decay * phi) / ((1 + decay) * (1 - decay * phi))
    assert mean / own == pytest.approx(factor, rel=1e-9)
    assert factor < 1


# --- schedules and the distance covered ---------------------------------------------------------

SCHEDULES = [  # and the sum of their rates over the 60 steps
    (0.5, 30.0),
    (warmup_stable_decay(0.5, 10, 30, 20), 0.5 * (10 / 2 + 30 + 20 / 2)),  # a trapezium
    (LinearDecay(0.5, 59), 0.5 * 60 / 2),
    (CosineDecay(0.5, 59), 0.5 * 60 / 2),
    (CosineDecay(0.5, 20), 0.5 * 21 / 2),
    (ExponentialDecay(0.5, 0.9), 0.5 * (1 - 0.9**60) / (1 - 0.9)),
    (StepDecay(0.5, 20, 0.5), 0.5 * 20 * 1.75),
]
STRIDES = [
    ("SGD", {}),
    ("Lion", {}),
    *((rule, {**options, "eps": NO_EPS}) for rule, options in SIGNED),
    ("RMSprop", {"alpha": 0.0, "eps": NO_EPS}),
]


@pytest.mark.parametrize(("schedule", "total"), SCHEDULES)
@pytest.mark.parametrize(("rule", "options"), STRIDES)
def test_the_distance_covered_is_the_sum_of_the_rates(rule, options, schedule, total):
    """Under g = 1 step t + 1 is lr(t): the clock starts at 0, and neither lags nor leads."""
    path = apply_gradients(rule, [[1.0]] * 60, lr=schedule, **options)[:, 0]
    assert -path[-1] == pytest.approx(total, rel=1e-9)
    rates = [schedule(t) if callable(schedule) else schedule for t in range(60)]
    np.testing.assert_allclose(-np.diff(path), rates, rtol=1e-9, atol=1e-12)


# --- weight decay ---------------------------------------------------------------------------------

DECOUPLED = [
    ("SGD", {}),
    ("AdamW", {}),
    ("AdamW", {"amsgrad": True}),
    ("Lion", {}),
    ("Nadam", {"decoupled_weight_decay": True}),
    ("RAdam", {"decoupled_weight_decay": True}),
]
START = np.array([3.0, -0.2, 0.0])


@pytest.mark.parametrize("lr", [0.1, CosineDecay(0.1, 30)])
@pytest.mark.parametrize(("rule", "options"), DECOUPLED)
def test_weights_without_gradient_decay_by_one_minus_rate_times_weight_decay(rule, options, lr):
    """θ_t = Π (1 − ηλ) θ₀ (Loshchilov & Hutter 2019, equation 1 and proposition 1)."""
    path = apply_gradients(rule, np.zeros((40, 3)), START, lr=lr, weight_decay=0.7, **options)
    rates = lr(np.arange(40)) if callable(lr) else np.full(40, lr)
    np.testing.assert_allclose(path[1:], np.cumprod(1 - 0.7 * rates)[:, None] * START, rtol=1e-12)


@pytest.mark.parametrize("decay", [1e-6, 0.7, 1e3])
@pytest.mark.parametrize("rule", ["Adam", "Adamax"])
def test_adam_with_l2_pulls_all_weights_by_the_rate_instead(rule, decay):
    """λθ is divided by its own size: large weights don't decay faster (Loshchilov & Hutter, 3)."""
    path = apply_gradients(rule, np.zeros((1, 3)), START, lr=0.1, weight_decay=decay, eps=NO_EPS)
    np.testing.assert_allclose(path[1], START - 0.1 * np.sign(START), rtol=1e-12)
