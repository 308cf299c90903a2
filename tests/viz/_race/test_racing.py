"""Races: the bits of a plain loop, verdicts that theory knows, tuning, tables, errors."""

import functools
import inspect
import itertools
import math
import pickle
import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

import minidl as dl
from minidl import optim
from minidl.viz import SURFACES, Surface, race

mpl.use("Agg")

RULES = {
    name: rule
    for name, rule in vars(optim).items()
    if inspect.isclass(rule) and issubclass(rule, optim.Optimizer) and rule is not optim.Optimizer
}
STEPS = 120
GLOBAL, LOCAL = "global minimum", "local minimum"
SADDLE, MAXIMUM = "stuck at a saddle", "stuck at a maximum"
STILL, MOVING = "standing still", "still moving"
OSCILLATING, DIVERGED = "oscillating", "diverged"


class Path:
    """What a plain loop does: two parameters of one number each, backward, step."""

    def __init__(self, function, rule, start, steps, noise=0.0, rng=0, **options):
        draws = np.random.default_rng(int(np.random.default_rng(rng).integers(2**63)))
        seen = {"theta": [], "loss": [], "gradient": []}
        with dl.default_dtype("float64"), np.errstate(all="ignore"):
            pair = [dl.Tensor(float(c), requires_grad=True) for c in start]
            optimizer = rule(pair, **options)
            state = optimizer.state
            names = [n for n, a in state[pair[0]].items() if isinstance(a, np.ndarray)]
            self.state = {name: [] for name in names}
            for k in range(steps + 1):
                optimizer.zero_grad()
                loss = function(*pair)
                loss.backward()
                for p in pair:
                    p.grad = np.array(0.0 if p.grad is None else p.grad)
                    if noise:
                        p.grad += draws.normal(0, noise)
                seen["theta"].append([p.item() for p in pair])
                seen["loss"].append(loss.item())
                seen["gradient"].append([float(p.grad) for p in pair])
                for name in names:
                    self.state[name].append([state[p][name].item() for p in pair])
                if k < steps:
                    optimizer.step()
        self.theta, self.loss, self.gradient = (np.array(x) for x in seen.values())


def assert_same(run, path, start=0):
    """Bit for bit, from that start."""
    same = functools.partial(np.array_equal, equal_nan=True)
    assert same(run.theta[:, start], path.theta)
    assert same(run.loss[:, start], path.loss)
    assert same(run.gradient[:, start], path.gradient)
    assert set(run.state) == set(path.state)
    for name, kept in run.state.items():
        numbers = kept[:, start] if kept.ndim == 3 else np.repeat(kept, 2, 1)  # one for all
        assert same(numbers, path.state[name]), name


def assert_same_runs(one, other):
    same = functools.partial(np.array_equal, equal_nan=True)
    assert one.name == other.name
    assert all(same(getattr(one, x), getattr(other, x)) for x in ("theta", "loss", "gradient"))
    assert all(same(one.state[name], other.state[name]) for name in {*one.state, *other.state})
    assert (one.verdicts, one.arrived, one.lr.tolist()) == (
        other.verdicts,
        other.arrived,
        other.lr.tolist(),
    )


@functools.cache
def all_on(surface):
    return race(surface, list(RULES), steps=STEPS)


def only(*args, **options):
    """The one run of a race of one optimizer from one start."""
    (run,) = race(*args, **options).runs
    return run


def verdict(*args, **options):
    (word,) = only(*args, **options).verdicts
    return word


# --- the bits of a plain loop -------------------------------------------------------------------


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("name", RULES)
def test_a_run_is_a_plain_loop_bit_for_bit(surface, name):
    runs = {run.name: run for run in all_on(surface).runs}
    ground = SURFACES[surface]
    assert_same(runs[name], Path(ground.function, RULES[name], ground.start, STEPS))


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        (optim.SGD, {"momentum": 0.9, "nesterov": True, "lr": 0.001}),
        (optim.Adam, {"amsgrad": True, "betas": (0.5, 0.9), "lr": 0.1}),
        (optim.RMSprop, {"centered": True, "momentum": 0.5}),
        (optim.Adagrad, {"initial_accumulator": 0.1, "lr_decay": 0.01, "weight_decay": 0.1}),
        (optim.FTRL, {"l1": 0.3, "warm_start": False}),
        (optim.Nadam, {"maximize": True}),
    ],
)
def test_options_reach_the_rule(rule, options):
    function, start = SURFACES["beale"].function, (0.5, 1.5)
    run = only("beale", functools.partial(rule, **options), start=start, steps=STEPS)
    assert_same(run, Path(function, rule, start, STEPS, **options))


@pytest.mark.parametrize("name", RULES)
def test_schedules_set_the_rate_of_each_step(name):
    schedule = dl.schedulers.WarmUp(dl.schedulers.CosineDecay(0.05, 60), 20)
    ground = SURFACES["himmelblau"]
    run = only("himmelblau", name, lr=schedule, steps=STEPS)
    assert run.lr.tolist() == [schedule(k) for k in range(STEPS)]
    assert run.rate == "WarmUp"
    assert_same(run, Path(ground.function, RULES[name], ground.start, STEPS, lr=schedule))


@pytest.mark.parametrize("name", RULES)
def test_noise_is_added_to_the_gradients_the_same_for_all(name):
    ground = SURFACES["two-wells"]
    runs = race("two-wells", ["SGD", name] if name != "SGD" else ["SGD", "Adam"], noise=0.3, rng=7)
    (run,) = [run for run in runs.runs if run.name == name]
    assert_same(run, Path(ground.function, RULES[name], ground.start, 400, noise=0.3, rng=7))


def test_noise_has_the_stated_size_and_is_shared_by_all_optimizers_but_not_by_starts():
    result = race("bowl", ["SGD", "Adam"], noise=0.25, steps=999, start=[(1, 1), (2, -1)])
    noise = [run.gradient - run.theta * [1, 2] for run in result.runs]
    np.testing.assert_allclose(noise[0], noise[1], rtol=0, atol=1e-14)
    assert noise[0].std((0, 1)) == pytest.approx([0.25, 0.25], rel=0.1)
    assert abs(noise[0].mean()) < 0.02
    correlations = np.corrcoef(noise[0].reshape(1000, 4).T) - np.eye(4)
    assert np.abs(correlations).max() < 0.1
    assert np.abs(np.corrcoef(noise[0][1:, 0, 0], noise[0][:-1, 0, 0])[0, 1]) < 0.1


def test_the_loss_is_the_surface_without_the_noise():
    run = only("bowl", "SGD", noise=0.5)
    np.testing.assert_allclose(run.loss, (run.theta**2 * [0.5, 1]).sum(-1), 1e-14)


def test_without_noise_the_seed_does_not_matter_and_with_noise_it_does():
    plain, other = (only("beale", "Adam", rng=seed).theta for seed in (1, 2))
    assert np.array_equal(plain, other)
    noisy, other = (only("beale", "Adam", rng=seed, noise=0.1).theta for seed in (1, 2))
    assert not np.array_equal(noisy, other)


@pytest.mark.parametrize("surface", ["rastrigin", "beale", "plateau"])
def test_many_starts_are_as_many_races(surface, rng):
    ground = SURFACES[surface]
    starts = rng.uniform(*np.transpose([ground.x, ground.y]), (5, 2))
    together = race(surface, list(RULES), start=starts, steps=STEPS)
    assert np.array_equal(together.starts, starts)
    for i, start in enumerate(starts.tolist()):
        for run, alone in zip(
            together.runs, race(surface, list(RULES), start=start, steps=STEPS).runs, strict=True
        ):
            assert run.name == alone.name
            assert (run.verdicts[i], run.arrived[i]) == (alone.verdicts[0], alone.arrived[0])
            assert_same(run, Path(ground.function, RULES[run.name], start, STEPS), i)


def stacked(x, y):
    return (dl.stack([x, y]) ** 2 * [0.5, 1.0]).sum()


def test_a_function_of_one_point_races_as_one_of_many():
    starts = [(-1, 1), (0.3, 0.2), (1.9, -1.9)]
    one, many = (
        race(f, list(RULES), start=starts, steps=30)
        for f in (Surface(stacked), Surface(lambda x, y: (x**2 + 2 * y**2) / 2))
    )
    assert not one.surface.entrywise
    for single, several in zip(one.runs, many.runs, strict=True):
        np.testing.assert_allclose(single.theta, several.theta, 1e-12, 1e-14)
        np.testing.assert_allclose(single.loss, several.loss, 1e-12, 1e-14)
        for i, start in enumerate(starts):
            assert_same(single, Path(stacked, RULES[single.name], start, 30), i)


@pytest.mark.parametrize("surface", ["rastrigin", "beale", "plateau", "rosenbrock"])
@pytest.mark.parametrize("rate", [1e3, 1e9])
def test_a_run_that_diverges_leaves_the_others_as_they_are(surface, rate):
    names = ["SGD", "Adam", "NAG", "RMSprop"]
    rules = {"wild": "SGD", **dict(zip(names, names, strict=True)), "wild too": "Momentum"}
    lr = {"wild": rate, "wild too": rate, "SGD": 1e-4, "NAG": 1e-4}
    beside = {run.name: run for run in race(surface, rules, steps=60, lr=lr).runs}
    calm = {name: lr[name] for name in names if name in lr}
    for run in race(surface, names, steps=60, lr=calm).runs:
        assert_same_runs(run, beside[run.name])


def test_the_shapes_are_those_of_the_docstring():
    result = race("bowl", ["SGD", "Adam"], steps=7, start=3)
    assert (result.steps, result.noise, result.starts.shape) == (7, 0, (3, 2))
    assert result.surface is SURFACES["bowl"]
    for run, names in zip(result.runs, [set(), {"m", "v"}], strict=True):
        assert run.theta.shape == run.gradient.shape == (8, 3, 2)
        assert run.loss.shape == (8, 3)
        assert run.lr.shape == (7,)
        assert set(run.state) == names
        assert all(kept.shape == (8, 3, 2) for kept in run.state.values())
        arrays = [run.theta, run.gradient, run.loss, run.lr, *run.state.values()]
        assert all(array.dtype == np.float64 for array in arrays)
        assert len(run.verdicts) == len(run.arrived) == 3
        assert run.optimizer.t == 7
        assert run.tried == {}


def test_nothing_is_clipped():
    run = only("bowl", "SGD", lr=3.0, steps=300, start=(1, 1))
    np.testing.assert_allclose(run.theta[:, 0, 0], (-2.0) ** np.arange(301), 1e-12)
    np.testing.assert_allclose(run.gradient[:, 0, 1], 2 * (-5.0) ** np.arange(301), 1e-12)


# --- verdicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "threshold"),
    [
        ("SGD", 2 / 40),  # 2/λ
        ("Momentum", 2 * 1.9 / (0.1 * 40)),  # 2 (1 + β) / ((1 − β) λ)
        (functools.partial(optim.SGD, momentum=0.5), 2 * 1.5 / 40),  # 2 (1 + μ) / λ
    ],
)
def test_beyond_the_rate_of_theory_a_quadratic_diverges(rule, threshold):
    assert verdict("ravine", rule, lr=0.95 * threshold) == GLOBAL
    assert verdict("ravine", rule, lr=1.05 * threshold) == DIVERGED


def test_at_the_threshold_it_oscillates_for_ever():
    run = only("ravine", "SGD", lr=2 / 40)
    assert run.verdicts == [OSCILLATING]
    assert run.theta[:, 0, 1].tolist() == [1.0, -1.0] * 200 + [1.0]


UP = functools.partial(optim.SGD, maximize=True)


def well(x, y):
    return (x**2 + y**2) / 2


@pytest.mark.parametrize(
    ("surface", "rule", "options", "word"),
    [
        ("saddle", "SGD", {"start": (-1.5, 0), "lr": 0.1}, SADDLE),
        ("saddle", "Adam", {"start": (-1.5, 0), "lr": 0.1}, SADDLE),
        ("saddle", "SGD", {"start": (-1.5, 1e-3), "lr": 0.1}, GLOBAL),
        ("saddle", "SGD", {"start": (-1.5, 1e-3), "lr": 0.1, "steps": 30}, MOVING),
        ("saddle", "SGD", {"start": (0, 0)}, SADDLE),
        ("two-wells", "SGD", {"lr": 0.05}, LOCAL),
        ("two-wells", "Momentum", {"lr": 0.05}, GLOBAL),
        ("two-wells", "SGD", {"start": (-1.8, 1), "lr": 0.05}, GLOBAL),
        ("two-wells", "SGD", {"start": (0.25, 0)}, SADDLE),
        ("himmelblau", "SGD", {"start": (-0.270844591, -0.923038522), "lr": 0}, MAXIMUM),
        ("plateau", "SGD", {"start": (4.9, 4.9)}, MOVING),
        ("bowl", "SGD", {"lr": 1e-4}, MOVING),
        ("bowl", "SGD", {"start": (0, 0)}, GLOBAL),
        ("styblinski-tang", "SGD", {"start": (2.7, -2.9)}, LOCAL),
        (lambda x, y: 1 - well(x, y), "SGD", {"start": (0, 0)}, MAXIMUM),
        (lambda x, y: 1 - well(x, y), "SGD", {"start": (0.01, 0)}, MOVING),
        (lambda x, y: x + y, "SGD", {"lr": 0.1}, DIVERGED),
        (lambda x, y: x + y, "SGD", {"lr": 0.01}, MOVING),  # outside, but less than its width
        (lambda x, y: -y, "SGD", {"lr": 0.0151, "start": (0, 0)}, DIVERGED),  # at y = 6.04
        (lambda x, y: -y, "SGD", {"lr": 0.0149, "start": (0, 0)}, MOVING),  # at y = 5.96
        (lambda x, y: dl.abs(x) + dl.abs(y), "SGD", {"lr": 0.5, "start": (0.25, 1)}, OSCILLATING),
        (well, "SGD", {"lr": 2.0, "start": (0.1, 0)}, OSCILLATING),
        (well, "SGD", {"lr": 2.0, "start": (0.039, 0)}, GLOBAL),  # within the goal
        (lambda x, y: x + y, UP, {"start": (0, 0), "lr": 0.0051}, DIVERGED),  # outside, higher
        (lambda x, y: x + y, UP, {"start": (0, 0), "lr": 0.0049}, MOVING),  # not yet outside
        (Surface(well, minima=[(1, 1)]), "SGD", {"start": (0.2, 0), "lr": 0}, STILL),
        (Surface(well, minima=[(1, 1)]), "SGD", {"start": (0.02, 0), "lr": 0}, LOCAL),
    ],
)
def test_verdicts_are_those_of_theory(surface, rule, options, word):
    assert verdict(surface, rule, **options) == word


def test_a_run_through_a_whole_valley_of_minima_ends_at_a_global_one():
    assert verdict(lambda x, y: x**2, "SGD", lr=0.1) == GLOBAL


def following(path):
    """A rule that follows a path, whatever the gradient: path(k) after step k."""

    class Following(optim.SGD):
        def step(self):
            (p,) = self.groups[0]["params"]
            self.k = getattr(self, "k", 0) + 1
            p.data = np.array(path(self.k), np.float64)[:, None]

    return Following


TURN = math.pi / 10
ELSEWHERE = Surface(well, minima=[(1.5, 1.5)])


@pytest.mark.parametrize(("radius", "word"), [(0.039, LOCAL), (0.041, OSCILLATING)])
def test_a_run_rests_if_it_stays_in_a_circle_of_the_goals_size(radius, word):
    circle = following(lambda k: (radius * math.cos(TURN * k), radius * math.sin(TURN * k)))
    assert verdict(ELSEWHERE, circle, start=(radius, 0)) == word


@pytest.mark.parametrize(
    ("end", "word"),
    [((2.5, 2), DIVERGED), ((2.5, 1), STILL), ((1.9, 2), STILL), ((-6.1, 0), DIVERGED)],
)
def test_outside_the_domain_what_is_higher_than_all_inside_or_far_away_has_diverged(end, word):
    assert verdict(lambda x, y: x + y, following(lambda k: end), start=(0, 0)) == word


def test_a_run_that_goes_round_in_a_small_circle_on_a_slope_oscillates():
    circle = following(lambda k: (0.03 * math.cos(TURN * k), 0.03 * math.sin(TURN * k)))
    assert verdict(lambda x, y: x + y, circle, start=(0.03, 0)) == OSCILLATING


def test_a_run_that_only_passes_through_the_goal_has_not_arrived():
    run = only(ELSEWHERE, following(lambda k: (1.5 * (k == 3),) * 2), start=(0, 0))
    assert (run.verdicts, run.arrived) == ([LOCAL], [None])


@pytest.mark.parametrize(("across", "word"), [(4.9, MOVING), (5.0, OSCILLATING)])
def test_a_run_oscillates_if_it_goes_five_times_as_far_as_it_gets(across, word):
    zigzag = following(lambda k: (0.001 * k, 0.001 * across * (k % 2)))
    run = only(lambda x, y: x + y, zigzag, start=(0, 0), steps=999, tolerance=1e-3)
    last = run.theta[-100:, 0]
    way = sum(math.dist(a, b) for a, b in itertools.pairwise(last))
    ahead = 2 * math.dist(last[:50].mean(0), last[50:].mean(0))
    assert (way >= 5 * ahead) == (word == OSCILLATING)
    assert run.verdicts == [word]


@pytest.mark.parametrize(
    ("steps", "away", "word"),
    [
        (999, 899, LOCAL),
        (999, 900, OSCILLATING),  # it went as far as 1, and its mean point a 25th of that
        (49, 39, LOCAL),
        (49, 40, MOVING),
    ],
)
def test_the_last_tenth_of_the_points_decides_ten_at_least(steps, away, word):
    rule = following(lambda k: (k == away, 0))
    assert verdict(ELSEWHERE, rule, start=(0, 0), steps=steps) == word


@pytest.mark.parametrize("surface", SURFACES)
def test_arrived_is_the_first_step_from_which_on_a_run_stays_at_the_goal(surface):
    result = all_on(surface)
    radius = 0.01 * max(b - a for a, b in (result.surface.x, result.surface.y))
    assert result.radius == pytest.approx(radius)
    for run in result.runs:
        arrived = None
        for k in range(STEPS, -1, -1):
            x, y = run.theta[k, 0]
            if not any(math.hypot(x - a, y - b) <= radius for a, b in result.surface.minima):
                break
            arrived = k
        assert run.arrived == [arrived]
        assert (run.verdicts == [GLOBAL]) == (arrived is not None)


def test_arrival_counts_from_the_last_time_outside():
    run = only("bowl", functools.partial(optim.SGD, momentum=0.9), lr=0.05, start=(0.5, 0))
    inside = np.abs(run.theta[:, 0, 0]) <= 0.08
    first, (arrived,) = int(np.argmax(inside)), run.arrived
    assert 0 < first < arrived
    assert not inside[arrived - 1]
    assert inside[arrived:].all()


def test_a_run_that_starts_at_the_goal_and_stays_has_arrived_at_once():
    assert only("bowl", "SGD", start=(0.01, 0)).arrived == [0]


def test_the_tolerance_is_the_goals_radius_as_a_share_of_the_longer_side():
    wide, narrow = (race("ravine", "SGD", lr=0.04, tolerance=t) for t in (0.1, 0.001))
    assert (wide.radius, narrow.radius) == pytest.approx((0.8, 0.008))
    assert wide.runs[0].arrived[0] < narrow.runs[0].arrived[0]
    k = narrow.runs[0].arrived[0]
    distance = np.hypot(*narrow.runs[0].theta[[k - 1, k], 0].T)
    assert distance[0] > 0.008 >= distance[1]


def test_the_nearest_of_several_minima_counts():
    result = race("saddle", "SGD", start=[(0.3, 0.5), (0.3, -0.5)], lr=0.2)
    assert result.runs[0].verdicts == [GLOBAL, GLOBAL]
    assert np.sign(result.runs[0].theta[-1, :, 1]).tolist() == [1, -1]


# --- tuning -------------------------------------------------------------------------------------


def key(score):
    share, steps, loss = score
    return -share, steps, loss


@pytest.mark.parametrize(
    ("surface", "options"),
    [
        ("beale", {"steps": 150}),
        ("rosenbrock", {"steps": 60}),  # nobody arrives
        ("himmelblau", {"steps": 80, "start": 6, "rng": 3}),
        ("bowl", {"steps": 80, "start": 4, "noise": 0.05, "rng": 5}),
    ],
)
def test_tuning_races_each_rate_and_takes_the_best(surface, options):
    names, budget = ["SGD", "Adam", "Lion"], 9
    result = race(surface, names, tune=True, budget=budget, **options)
    for run in result.runs:
        assert len(run.tried) == budget
        for rate, score in run.tried.items():
            alone = only(surface, run.name, lr=rate, **options)
            steps = [k for k in alone.arrived if k is not None]
            last = np.where(np.isfinite(alone.loss[-1]), alone.loss[-1], math.inf)
            median = np.median(steps) if steps else math.inf
            assert score == (len(steps) / len(alone.arrived), median, np.median(last))
        best = min(run.tried, key=lambda rate, run=run: key(run.tried[rate]))
        assert run.optimizer.groups[0]["lr"] == best
        assert set(run.lr) == {best}
        assert_same_runs(run, only(surface, run.name, lr=best, **options))


def test_rates_are_in_equal_ratios_from_a_ten_thousandth_to_ten():
    rates = list(race("bowl", "SGD", tune=True, steps=3).runs[0].tried)
    assert len(rates) == 25
    assert (rates[0], rates[-1]) == (1e-4, 10)
    np.testing.assert_allclose(np.diff(np.log(rates)), math.log(1e5) / 24, atol=0.12)
    assert all(rate == float(f"{rate:.1e}") for rate in rates)


def test_of_equal_rates_the_smallest_is_taken():
    run = only(lambda x, y: x * 0 + y * 0 + 1, "SGD", tune=True, budget=4, steps=3)
    assert run.rate == "0.0001"


def test_more_arrivals_count_for_more_than_fewer_steps():
    starts = [(0.25, 0.1), (-1.7, 1.2), (1.8, 1.0)]
    run = only("two-wells", "Momentum", tune=True, start=starts, steps=200)
    best = run.tried[run.optimizer.groups[0]["lr"]]
    assert best[0] == max(share for share, _, _ in run.tried.values())
    assert best[1] > min(steps for _, steps, _ in run.tried.values())


def test_the_table_states_the_search():
    table = race("bowl", ["SGD", "Adam"], tune=True, budget=5, steps=20).table()
    assert "rates: the best of 5 from 0.0001 to 10 for each: the most starts that arrive" in table
    assert "rates:" not in race("bowl", "SGD", steps=20).table()


# --- starts and rates ---------------------------------------------------------------------------


def test_random_starts_are_reproducible_and_all_over_the_domain():
    first, again, other = (race("ravine", "SGD", start=400, steps=1, rng=r) for r in (4, 4, 5))
    assert np.array_equal(first.starts, again.starts)
    assert not np.array_equal(first.starts, other.starts)
    assert SURFACES["ravine"].contains(first.starts.T).all()
    np.testing.assert_allclose(first.starts.min(0), [-4, -1.5], atol=0.1)
    np.testing.assert_allclose(first.starts.max(0), [4, 1.5], atol=0.1)
    np.testing.assert_allclose(first.starts.mean(0), 0, atol=0.25)
    assert np.array_equal(first.runs[0].theta[0], first.starts)


def test_a_generator_is_used_and_goes_on():
    generator = np.random.default_rng(4)
    first, second = (race("ravine", "SGD", start=9, steps=1, rng=generator) for _ in range(2))
    assert np.array_equal(first.starts, race("ravine", "SGD", start=9, steps=1, rng=4).starts)
    assert not np.array_equal(first.starts, second.starts)


def test_starts_are_the_surfaces_own_a_point_or_a_list():
    assert race("beale", "SGD", steps=1).starts.tolist() == [list(SURFACES["beale"].start)]
    assert race("beale", "SGD", steps=1, start=(1, 2)).starts.tolist() == [[1, 2]]
    assert race("beale", "SGD", steps=1, start=[(1, 2)]).starts.tolist() == [[1, 2]]
    points = np.array([[1.0, 2.0], [3, 4]])
    result = race("beale", "SGD", steps=1, start=points)
    assert result.starts.tolist() == points.tolist() == [[1, 2], [3, 4]]
    assert result.runs[0].theta[0].tolist() == [[1, 2], [3, 4]]


def test_each_optimizer_has_its_own_default_rate():
    for run in all_on("bowl").runs:
        default = inspect.signature(RULES[run.name]).parameters["lr"].default
        assert run.lr.tolist() == [default] * STEPS
        assert run.rate == f"{default:g}"


def test_a_common_rate_is_everyones():
    for run in race("bowl", list(RULES), lr=0.03, steps=5).runs:
        assert (set(run.lr), run.rate) == ({0.03}, "0.03")


def test_rates_go_by_label_and_others_keep_their_own():
    rules = {"slow": "SGD", "fast": "SGD", "own": "Adam"}
    lr = {"fast": dl.schedulers.LinearDecay(0.5, 4), "slow": 1e-3}
    runs = {run.name: run for run in race("bowl", rules, lr=lr, steps=4).runs}
    assert runs["slow"].lr.tolist() == [1e-3] * 4
    assert runs["fast"].lr.tolist() == [0.5, 0.375, 0.25, 0.125]
    assert runs["own"].lr.tolist() == [1e-3] * 4
    assert runs["fast"].rate == "LinearDecay"


def test_labels_that_are_numbers_name_rates_too():
    runs = race("bowl", {1: "SGD", 2: "SGD"}, lr={2: 0.5}, steps=1).runs
    assert [(run.name, run.rate) for run in runs] == [("1", "0.01"), ("2", "0.5")]


# --- optimizers ---------------------------------------------------------------------------------


def mine(params, lr=0.25):
    return optim.Momentum(params, lr=lr)


class Own(optim.SGD):
    """A rule of a user."""


@pytest.mark.parametrize(
    ("given", "label", "rule", "rate"),
    [
        ("adam", "Adam", optim.Adam, "0.001"),
        ("RMSPROP", "RMSprop", optim.RMSprop, "0.01"),
        (["ftrl"], "FTRL", optim.FTRL, "0.1"),
        (optim.NAG, "NAG", optim.NAG, "0.01"),
        (functools.partial(optim.Adam), "Adam()", optim.Adam, "0.001"),
        (
            functools.partial(optim.Adam, lr=0.5, betas=(0.5, 0.9)),
            "Adam(lr=0.5, betas=(0.5, 0.9))",
            optim.Adam,
            "0.5",
        ),
        (mine, "mine", optim.Momentum, "0.25"),
        ((mine,), "mine", optim.Momentum, "0.25"),
        (Own, "Own", Own, "0.01"),
        ({"the label": "sgd"}, "the label", optim.SGD, "0.01"),
        ({"x": functools.partial(mine, lr=0.1)}, "x", optim.Momentum, "0.1"),
    ],
)
def test_optimizers_are_names_classes_partials_functions_or_a_dict(given, label, rule, rate):
    run = only("bowl", given, steps=2)
    assert (run.name, run.rate, type(run.optimizer)) == (label, rate, rule)


def test_runs_stand_in_the_order_given():
    names = ["Lion", "SGD", "Adam"]
    assert [run.name for run in race("bowl", names, steps=1).runs] == names


def test_a_given_rate_goes_before_a_partials():
    assert only("bowl", functools.partial(optim.SGD, lr=0.5), lr=0.1, steps=1).rate == "0.1"
    assert only("bowl", mine, lr=0.1, steps=1).rate == "0.1"


def test_a_run_that_comes_to_rest_outside_the_domain_has_not_diverged():
    far = race(lambda x, y: (x - 10) ** 2 + y**2, ["SGD", "Adam"], lr=0.1, steps=2000)
    assert [run.verdicts for run in far.runs] == [[LOCAL], [LOCAL]]


def test_flat_ground_is_standing_still_and_the_lowest_flat_ground_a_global_minimum():
    step = Surface(lambda x, y: dl.relu(x) ** 2 + dl.relu(-x - 1) * 0 + 1, minima=[(-1, 0)])
    assert verdict(step, "SGD", start=(-0.5, 0.5), lr=0.1) == STILL
    assert verdict(lambda x, y: dl.relu(x) ** 2 + dl.relu(y) ** 2, "Momentum", lr=0.1) == GLOBAL


def test_bouncing_at_a_kink_is_oscillating_however_small():
    kink = Surface(lambda x, y: dl.abs(x - 0.123) + dl.abs(y + 0.456), minima=[(1.5, 1.5)])
    assert verdict(kink, "SGD", lr=0.004, steps=2000) == OSCILLATING


def test_who_is_inside_at_the_last_step_alone_has_not_arrived():
    path = following(lambda k: (0.0, 0.0) if k > 60 - 9 else (1.0, 1.0))
    late = only("bowl", path, start=(1, 1), steps=60)
    assert (late.arrived, late.verdicts) == ([None], [MOVING])
    path = following(lambda k: (0.0, 0.0) if k > 60 - 10 else (1.0, 1.0))
    assert only("bowl", path, start=(1, 1), steps=60).arrived == [51]
    path = following(lambda k: (0.0, 0.0) if k > 2 else (1.0, 1.0))
    assert only("bowl", path, start=(1, 1), steps=5).arrived == [3]


def test_who_rests_at_the_goal_but_has_not_been_there_long_is_at_no_local_minimum():
    path = following(lambda k: (0.12, 0.0) if k < 58 else (0.056, 0.0))  # the goal's radius is 0.08
    run = only("bowl", path, start=(0.12, 0), steps=60)
    assert (run.arrived, run.verdicts) == ([None], [MOVING])


def test_a_whole_valley_of_minima_is_a_goal_at_which_runs_arrive():
    run = only(lambda x, y: y**2, "SGD", lr=0.1, start=(1.37, 1))
    assert run.verdicts == [GLOBAL]
    assert 0 < run.arrived[0] < 30


def test_settings_of_numpys_warnings_are_untouched_after_an_error():
    class Broken(dl.schedulers.Schedule):
        def formula(self, t):
            if t == 5:
                raise ArithmeticError("broken")
            return 0.1

    before = np.geterr()
    with pytest.raises(ArithmeticError) as kept:
        race("bowl", "SGD", lr=Broken())
    assert (np.geterr(), kept.type) == (before, ArithmeticError)


# --- tables -------------------------------------------------------------------------------------


def test_the_table_of_one_start():
    result = race("bowl", {"half": "SGD", "ten": "SGD"}, lr={"half": 0.5, "ten": 10.0}, steps=4)
    assert result.table().splitlines() == [
        "bowl: 4 steps from (−3.4, 2.4)",
        "f = (x² + 2 y²) / 2",
        "goal: within 0.08 of (0, 0)",
        "",
        "optimizer  rate  verdict       steps to goal  f at the end  ends at",
        "half       0.5   still moving  –              0.02258       (−0.2125, 0)",
        "ten        10    diverged      –              9.807e10      (−22307, 312770)",
        "",
        "None reached the goal; another rate may, and tune=True looks for it.",
    ]
    assert repr(result.table()) == result.table()


def test_the_table_of_a_users_function_with_noise():
    table = race(lambda x, y: (x - 0.5) ** 2 + y**2, "SGD", noise=0.001, lr=0.5, steps=3).table()
    assert table.splitlines()[:3] == [
        "your function: 3 steps from (−1, 1)",
        "goal: within 0.04 of (0.5, 0), the lowest point found",
        "noise: 0.001 in each entry of each gradient",
    ]
    assert "global minimum  1 " in table


def test_a_function_without_a_minimum_has_no_goal():
    result = race(lambda x, y: x + y, ["SGD", "Adam"], lr=0.1, start=2)
    assert "goal: none, as no minimum was found inside the domain" in result.table()
    assert [run.arrived for run in result.runs] == [[None, None]] * 2


@pytest.mark.parametrize("surface", SURFACES)
def test_the_table_shows_what_the_runs_hold(surface):
    result = all_on(surface)
    heading, table, *_ = result.table().split("\n\n")
    lines = heading.splitlines()
    assert lines[0].startswith(f"{surface}: {STEPS} steps from (")
    assert result.surface.formula == lines[1]
    assert f"goal: within {result.radius:g} of (" in lines[2]
    assert lines[2].count("(") == len(result.surface.minima)
    titles, *rows = table.splitlines()
    assert re.split("  +", titles)[0] == "optimizer"
    for run, line in zip(result.runs, rows, strict=True):
        name, rate, word, steps, loss, end = re.split("  +", line.replace("−", "-"))
        assert (name, rate, [word]) == (run.name, run.rate, run.verdicts)
        assert run.arrived == [None if steps == "–" else int(steps)]
        shown = [float(x) for x in re.findall(r"-?\d[\d.e-]*|NaN|∞", end.replace("∞", "inf"))]
        if word != DIVERGED:
            np.testing.assert_allclose(shown, run.theta[-1, 0], 6e-4)
            assert float(loss) == pytest.approx(run.loss[-1, 0], rel=6e-4)


def test_the_table_of_many_starts_has_shares_medians_and_counts():
    starts = [(1.8, 1), (1.2, 0), (-1.8, 0.3), (-1.1, 0.02), (-0.5, 1)]
    result = race("two-wells", ["SGD", "Adam"], start=starts, lr=0.05)
    lines = result.table().splitlines()
    assert lines[0] == "two-wells: 400 steps from 5 starts"
    assert re.split("  +", lines[4]) == [
        *("optimizer", "rate", "arrived", "steps to goal", "f at the end", "how they ended")
    ]
    run = result.runs[0]
    steps = sorted(k for k in run.arrived if k is not None)
    assert len(steps) == 3
    assert np.mean(steps) != steps[1]
    name, rate, share, middle, loss, ends = re.split("  +", lines[5])
    assert (name, rate, share, middle) == ("SGD", "0.05", "3 of 5", f"median {steps[1]}")
    assert float(loss.removeprefix("median ").replace("−", "-")) == pytest.approx(
        sorted(run.loss[-1])[2], rel=1e-3
    )
    assert ends == "3 global minimum, 2 local minimum"


def test_many_starts_of_which_none_arrives_have_no_median_of_steps():
    result = race("two-wells", "SGD", start=[(1.8, 1), (1.2, 0)], lr=0.05)
    row = result.table().split("\n\n")[1].splitlines()[-1]
    assert re.split("  +", row)[2:4] == ["0 of 2", "–"]
    wild = race("beale", "SGD", start=[(4, 4), (-4, 4), (4, -4)], lr=10)
    row = wild.table().split("\n\n")[1].splitlines()[-1]
    assert re.split("  +", row)[4:] == ["median NaN", "3 diverged"]


def test_the_table_has_each_schedule_once_and_in_full():
    schedules = [dl.schedulers.CosineDecay(0.1, 9), dl.schedulers.Constant(0.1)]
    rules = {"a": "SGD", "b": "Adam", "c": "NAG", "d": "Lion"}
    lr = {"a": schedules[0], "b": schedules[1], "c": schedules[0]}
    heading, table, *_ = race("bowl", rules, lr=lr, steps=9).table().split("\n\n")
    assert heading.splitlines()[3:] == ["rate: CosineDecay(lr=0.1, steps=9, end=0.0)"]
    rates = [line.split()[1] for line in table.splitlines()[1:]]
    assert rates == ["CosineDecay", "0.1", "CosineDecay", "0.0001"]


def test_the_repr_has_each_verdict():
    result = race("two-wells", {"a": "SGD", "b": "Momentum"}, lr=0.05)
    assert repr(result) == "Race(two-wells, 400 steps, a: local minimum, b: global minimum)"
    result = race("two-wells", "SGD", lr=0.05, start=[(1.8, 1), (-1.2, 0), (-1, 1)])
    assert repr(result) == "Race(two-wells, 400 steps, SGD: 2 global minimum, 1 local minimum)"


# --- what can't be ------------------------------------------------------------------------------


def root(x, y):
    return dl.sqrt(x) + y**2 / 6


POSITIVE = Surface(root, x=(-1, 3), start=(1, 1), minima=[(0, 0)])


@pytest.mark.parametrize(
    ("args", "options", "error", "words"),
    [
        (("bwl", "SGD"), {}, ValueError, ["there is no surface 'bwl'", "Did you mean 'bowl'?"]),
        (("bowl", "Adm"), {}, ValueError, ["no optimizer 'Adm'", "Did you mean 'Adam'?", "Lion"]),
        (("bowl", ["sdg"]), {}, ValueError, ["no optimizer 'sdg'", "Did you mean 'SGD'?"]),
        (("bowl", ["qqqqqq"]), {}, ValueError, ["'qqqqqq'. There are SGD, Momentum"]),
        (("bowl", ["SGD", "sgd"]), {}, ValueError, ["two", "called 'SGD'", "dict with a label"]),
        (("bowl", ["Adam", optim.Adam]), {}, ValueError, ["two", "called 'Adam'"]),
        (("bowl", []), {}, ValueError, ["no optimizer to race", "['SGD', 'Adam']"]),
        (("bowl", {}), {}, ValueError, ["no optimizer to race"]),
        (("bowl", [3]), {}, TypeError, ["a name, a class, or a function", "got 3"]),
        (("bowl", 3), {}, TypeError, ["race: ", "got 3"]),
        (("bowl", {"x": None}), {}, TypeError, ["a name, a class, or a function", "got None"]),
        (("bowl", lambda p: p), {}, TypeError, ["must make an optimizer", "got [Tensor"]),
        (
            ("bowl", lambda p: optim.SGD(p)),
            {"lr": 1},
            TypeError,
            ["([θ], lr=1) failed", "and lr where"],
        ),
        (("bowl", functools.partial(optim.SGD, b=1)), {}, TypeError, ["SGD: unknown option b"]),
        (("bowl", "SGD"), {"steps": 0}, ValueError, ["race: steps must", "≥ 1", "got 0"]),
        (("bowl", "SGD"), {"steps": 2.5}, TypeError, ["race: steps must", "got 2.5"]),
        (
            ("bowl", "SGD"),
            {"budget": 1, "tune": True},
            ValueError,
            ["race: budget must", "≥ 2", "got 1"],
        ),
        (("bowl", "SGD"), {"budget": 9}, ValueError, ["budget=9 is of tune=True"]),
        (("bowl", "SGD"), {"noise": -1}, ValueError, ["race: noise must", "≥ 0", "got -1"]),
        (("bowl", "SGD"), {"noise": math.nan}, ValueError, ["race: noise must", "got nan"]),
        (("bowl", "SGD"), {"tolerance": 0}, ValueError, ["race: tolerance must", "> 0", "got 0"]),
        (("bowl", "SGD"), {"tolerance": 1.1}, ValueError, ["race: tolerance must", "≤ 1"]),
        (("bowl", "SGD"), {"tune": 1}, TypeError, ["race: tune must be True or False", "got 1"]),
        (("bowl", "SGD"), {"tune": True, "lr": 0.1}, ValueError, ["lr must not be", "got 0.1"]),
        (("bowl", "SGD"), {"lr": -1}, ValueError, ["SGD: lr must", "got -1"]),
        (("bowl", "SGD"), {"lr": "x"}, TypeError, ["SGD: lr must", "got 'x'"]),
        (("bowl", "SGD"), {"lr": {"Adam": 1}}, ValueError, ["lr names 'Adam'", "called 'SGD'"]),
        (("bowl", "SGD"), {"start": (9, 0)}, ValueError, ["start (9, 0)", "outside", "bowl"]),
        (("bowl", "SGD"), {"start": [(0, 0), (0, 9)]}, ValueError, ["start (0, 9)", "outside"]),
        (("bowl", "SGD"), {"start": 0}, ValueError, ["race: start must", "≥ 1", "got 0"]),
        (("bowl", "SGD"), {"start": True}, TypeError, ["race: start must", "got True"]),
        (("bowl", "SGD"), {"start": "top"}, ValueError, ["race: start must be a point", "'top'"]),
        (
            ("bowl", "SGD"),
            {"lr": dl.schedulers.ReduceOnPlateau(0.1)},
            ValueError,
            ["SGD has ReduceOnPlateau", "metric", "StepDecay"],
        ),
        (
            ("bowl", "SGD"),
            {"lr": dl.schedulers.WarmUp(dl.schedulers.ReduceOnPlateau(0.1), 5)},
            ValueError,
            ["SGD has ReduceOnPlateau", "metric"],
        ),
        (
            (POSITIVE, {"calm": "SGD", "fast": "SGD"}),
            {"lr": {"calm": 0.01, "fast": 3.0}, "steps": 5},
            ValueError,
            ["root is not finite", "at (−0.5, 0)", "where fast came at step 1", "f = NaN"],
        ),
        (
            (POSITIVE, "SGD"),
            {"start": [(1, 1), (-0.5, 1)]},
            ValueError,
            ["at (−0.5, 1), inside its domain", "SGD came at step 0", "gradient (NaN, 0.3333)"],
        ),
        (
            (POSITIVE, "SGD"),
            {"start": (0, 1)},  # the value is finite there, the slope isn't
            ValueError,
            ["at (0, 1)", "step 0", "f = 0.1667", "gradient (∞, 0.3333)"],
        ),
    ],
)
def test_what_cannot_race_is_refused(args, options, error, words):
    with pytest.raises(error) as caught:
        race(*args, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message


def test_an_optimizer_of_other_parameters_is_refused():
    stranger = dl.Tensor([1.0], requires_grad=True)
    with pytest.raises((TypeError, ValueError), match="race: "):
        race("bowl", lambda params: optim.SGD([stranger]))


def test_what_is_not_finite_outside_the_domain_is_divergence():
    surface = Surface(root, x=(0.01, 3), start=(0.5, 1), minima=[(0.01, 0)])
    result = race(surface, ["SGD", "Lion"], lr={"SGD": 1.0}, steps=50)
    assert [run.verdicts for run in result.runs] == [[DIVERGED], [MOVING]]


@pytest.mark.parametrize("method", ["plot", "animate", "save"])
@pytest.mark.parametrize(
    ("start", "error", "words"),
    [(2, ValueError, "below 2"), (-1, ValueError, "≥ 0"), (0.5, TypeError, "whole number")],
)
def test_a_picture_is_of_a_start_that_there_is(method, start, error, words, tmp_path):
    result = race("bowl", "SGD", start=2, steps=2)
    with pytest.raises(error, match=f"race: start must be.*{words}"):
        getattr(result, method)(tmp_path / "race", start=start)


# --- what stays as it was -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"tune": True}, {"noise": 0.1, "start": 3}, {"steps": 0}])
def test_a_race_leaves_settings_and_numpys_random_state_alone(options):
    def settings():
        state = np.random.get_state()  # noqa: NPY002
        return pickle.dumps(state), np.geterr(), dl.get_default_dtype()

    before = settings()
    try:
        race("beale", ["SGD", "Adam"], lr=None, **{"steps": 20, **options})
    except ValueError:
        assert options == {"steps": 0}
    assert settings() == before


def test_an_error_amid_a_race_leaves_the_settings_alone():
    before = np.geterr(), dl.get_default_dtype()
    with pytest.raises(ValueError, match="not finite"):
        race(POSITIVE, "SGD", lr=3.0)
    assert (np.geterr(), dl.get_default_dtype()) == before


def test_two_races_are_alike():
    options = {"noise": 0.2, "start": 3, "tune": True, "budget": 4, "steps": 50}
    for one, other in zip(
        *(race("beale", ["SGD", "Adam"], **options).runs for _ in range(2)), strict=True
    ):
        assert_same_runs(one, other)
        assert one.tried == other.tried


def test_races_need_numpy_alone():
    code = (
        "import sys; before = set(sys.modules); import minidl as dl; "
        "print(dl.viz.race('beale', ['SGD', 'Adam'], tune=True, steps=9).table(), file=sys.stderr);"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    imported = {name for name in run.stdout.split() if not name.startswith(("_cython", "cython"))}
    assert imported - sys.stdlib_module_names == {"minidl", "numpy"}


# --- what pictures ask --------------------------------------------------------------------------


@pytest.mark.parametrize("surface", SURFACES)
def test_the_view_holds_the_minima_and_the_paths_inside_the_domain_with_a_margin(surface):
    result = race(surface, ["SGD", "Adam"], steps=60, lr=0.01)
    domain = (low, high) = np.transpose([result.surface.x, result.surface.y])
    left, right = np.transpose(result.view())
    points = np.concatenate([run.theta[:, 0] for run in result.runs] + [result.surface.minima])
    points = points[((low <= points) & (points <= high)).all(1)]
    margin = 0.15 * np.ptp(points, axis=0)
    assert (left <= np.maximum(points.min(0) - margin, low)).all()
    assert (right >= np.minimum(points.max(0) + margin, high)).all()
    assert (left >= domain[0]).all()
    assert (right <= domain[1]).all()


def test_a_view_is_not_slim_where_the_domain_allows():
    (left, right), (bottom, top) = race("plateau", "SGD", start=(-4, 0), steps=5).view()
    assert (right - left) * 0.7 < top - bottom < right - left
    (left, right), (bottom, top) = race("bowl", "SGD", start=(0, 0), steps=5).view()
    assert right - left == top - bottom > 0  # of a point


def test_the_view_is_of_one_start():
    result = race("himmelblau", "SGD", start=[(0, 0), (-4.9, 4.9)], steps=5)
    assert result.view(1)[0][0] < result.view(0)[0][0]


def test_facts_tell_of_all_starts_or_of_one():
    result = race("bowl", "SGD", start=[(1, 1), (2, 2)], steps=1, noise=0.5)
    assert result.facts() == [
        "1 step from 2 starts",
        "goal: within 0.08 of (0, 0)",
        "noise: 0.5 in each entry of each gradient",
    ]
    assert result.facts(1)[0] == "1 step from (2, 2), start 2 of 2"
    assert race("bowl", "SGD", start=(1, 1), steps=2).facts()[0] == "2 steps from (1, 1)"
