"""Verdicts and arrivals, against theory and against runs that follow a given path."""

import functools
import itertools
import math

import numpy as np
import pytest
from races import (
    DIVERGED,
    GLOBAL,
    LOCAL,
    MAXIMUM,
    MOVING,
    OSCILLATING,
    RULES,
    SADDLE,
    STEPS,
    STILL,
    path_follower,
    race_of_all_rules,
    single_run,
    verdict,
)

import minidl as dl
from minidl import optim
from minidl.viz import SURFACES, Surface, race


@pytest.mark.parametrize(
    ("rule", "threshold"),
    [
        ("SGD", 2 / 40),  # 2/λ
        ("Momentum", 2 * 1.9 / (0.1 * 40)),  # 2 (1 + β) / ((1 − β) λ)
        (functools.partial(optim.SGD, momentum=0.5), 2 * 1.5 / 40),  # 2 (1 + μ) / λ
    ],
)
def test_a_quadratic_diverges_above_the_largest_stable_rate(rule, threshold):
    assert verdict("ravine", rule, lr=0.95 * threshold) == GLOBAL
    assert verdict("ravine", rule, lr=1.05 * threshold) == DIVERGED


def test_a_quadratic_oscillates_at_the_largest_stable_rate():
    run = single_run("ravine", "SGD", lr=2 / 40)
    assert run.verdicts == [OSCILLATING]
    assert run.theta[:, 0, 1].tolist() == [1.0, -1.0] * 200 + [1.0]


UP = functools.partial(optim.SGD, maximize=True)


def well(x, y):
    return (x**2 + y**2) / 2


@pytest.mark.parametrize(
    ("surface", "rule", "options", "expected"),
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
def test_verdicts_are_those_of_theory(surface, rule, options, expected):
    assert verdict(surface, rule, **options) == expected


ROTATED = Surface(lambda x, y: x * y + (x - y) ** 4 / 4, minima=[(-0.25, 0.25), (0.25, -0.25)])


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_a_run_that_slowly_leaves_a_saddle_is_still_moving(rate):
    starts = list(itertools.product((0.0, 1e-3, -1.5), (1e-3, 1e-6, -1e-9, 1e-15, 1e-30)))
    for run in race("saddle", ["SGD", "Momentum", "NAG"], steps=150, lr=rate, start=starts).runs:
        for found, path in zip(run.verdicts, run.theta.swapaxes(0, 1), strict=True):
            assert abs(path[-1, 1]) > abs(path[0, 1])  # it grows, exponentially in theory
            assert found in (MOVING, GLOBAL, OSCILLATING)


def test_momentum_that_is_about_to_leave_a_saddle_is_not_stuck():
    options = {"start": (-1.5, 1e-6), "lr": 0.1}
    assert verdict("saddle", "Momentum", steps=150, **options) == MOVING
    assert verdict("saddle", "Momentum", steps=400, **options) == GLOBAL


@pytest.mark.parametrize(
    ("surface", "starts"),
    [
        ("saddle", [(-1.5, 0), (0, 0), (-1.5, 1e-6), (0, 1e-9), (1e-3, -1e-12), (-1.5, 1e-30)]),
        ("two-wells", [(0.25, 0), (0.25, 1), (0.25 + 1e-9, 0.5), (0.25 - 1e-12, 0.1)]),
        ("himmelblau", [(-0.270844591, -0.923038522), (3.3851542, 0.0738519)]),
        (ROTATED, [(1, 1), (-0.5, -0.5), (1, 1 + 1e-9), (0.3, 0.3)]),
        (lambda x, y: 1 - well(x, y), [(0, 0), (1e-9, 0), (0.01, 0.01)]),
        (lambda x, y: dl.cos(x) * dl.cos(y), [(0, 0), (1.5, 1.5), (1e-12, 0)]),
    ],
    ids=["saddle", "two wells", "himmelblau", "rotated", "maximum", "waves"],
)
@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_a_run_that_is_stuck_is_still_there_after_ten_times_as_many_steps(surface, starts, rate):
    short, long = (
        race(surface, list(RULES), steps=steps, lr=rate, start=starts) for steps in (40, 400)
    )
    for run, later in zip(short.runs, long.runs, strict=True):
        apart = np.hypot(*(run.theta[-1] - later.theta[-1]).T)
        stuck = np.isin(run.verdicts, [SADDLE, MAXIMUM, STILL])
        assert not (stuck & ~(apart <= 2 * short.radius)).any(), (run.name, run.verdicts)


def near_saddles(surface):
    """The surface's own start, and points at its saddles and maxima and beside them."""
    points = surface.stationary_points(surface.x, surface.y)
    tops = np.array([point[:2] for point in points if point[2] != "local minimum"][:2])
    moves = np.array([(0, 0), (1e-9, 0), (0, 1e-6), (0.3, 0), (0, 0.1)])
    starts = [surface.start, *(tops.reshape(-1, 1, 2) + moves).reshape(-1, 2)]
    return [tuple(start) for start in starts if surface.contains(np.array(start))]


@pytest.mark.parametrize(
    ("rates", "options"),
    [("default", {}), ("tuned", {}), ("default", {"noise": 1e-12}), ("tuned", {"noise": 1.0})],
    ids=str,
)
@pytest.mark.parametrize("surface", SURFACES)
def test_no_rule_that_is_stuck_leaves_in_ten_times_as_many_steps(surface, rates, options):
    starts = near_saddles(SURFACES[surface])
    tuning = {"tune": rates == "tuned"} | ({"budget": 4} if rates == "tuned" else {})
    short = race(surface, list(RULES), steps=40, start=starts, **tuning, **options)
    lr = {run.name: float(run.lr[0]) for run in short.runs}
    long = race(surface, list(RULES), steps=400, start=starts, lr=lr, **options)
    for run, later in zip(short.runs, long.runs, strict=True):
        np.testing.assert_array_equal(run.theta, later.theta[:41])
        apart = np.hypot(*(run.theta[-1] - later.theta).T).T
        # where a rule that divides by a decaying average rests to the last bit, the average becomes
        # as small as the rounding error of the gradient in some hundred steps
        resting = np.abs(np.diff(run.theta[-10:], axis=0)).max((0, 2)) < 1e-12
        apart[200:, resting & (run.name in ("RMSprop", "Adadelta"))] = 0
        stuck = np.isin(run.verdicts, [SADDLE, MAXIMUM, STILL])
        assert (apart[-1, stuck] <= 2 * short.radius).all(), (run.name, run.verdicts)
        assert (apart[40:200, stuck] <= 2 * short.radius).all(), (run.name, run.verdicts)
        if options.get("noise") == 1:
            assert not stuck.any(), run.name


@pytest.mark.parametrize("steps", range(100, 300, 10))
def test_an_oscillation_that_fades_on_a_saddle_is_stuck_in_every_phase(steps):
    assert verdict("saddle", "Momentum", start=(-1.5, 0), lr=0.1, steps=steps) == SADDLE
    assert verdict("saddle", "RMSprop", start=(-1.5, 0), lr=0.1, steps=steps) == SADDLE


def test_an_oscillation_that_shrank_and_grows_again_is_not_stuck():
    path = single_run("saddle", "Nadam", start=(0.3, 0), lr=1.0, steps=400).theta[:, 0, 0]
    lengths = np.abs(np.diff(path))
    assert lengths[35] == min(lengths[20:50]) < lengths[39] < 0.08 < 0.5 < max(lengths[40:60])
    assert verdict("saddle", "Nadam", start=(0.3, 0), lr=1.0, steps=40) == MOVING


def test_every_rule_is_stuck_where_it_starts_on_a_saddle():
    runs = race("saddle", list(RULES), steps=60, start=(0, 0)).runs
    assert {run.name: run.verdicts for run in runs} == {name: [SADDLE] for name in RULES}


def test_a_run_that_converges_to_a_maximum_is_stuck_there_and_one_that_drifts_is_not():
    hill = Surface(lambda x, y: 1 - well(x, y))
    assert verdict(hill, UP, start=(0.01, 0), lr=0.3, steps=400) == MAXIMUM
    flat = Surface(lambda x, y: dl.relu(x) ** 2 + 0 * y, minima=[(1.5, 1.5)])
    drift = path_follower(lambda k: (-1 + 1e-4 * k, 0.0))
    slowing = path_follower(lambda k: (-1 - 0.01 * 0.5**k, 0.0))
    assert verdict(flat, drift, start=(-1, 0), steps=60) == MOVING
    assert verdict(flat, slowing, start=(-1.01, 0), steps=60) == STILL


def test_a_run_that_ends_in_a_valley_of_minima_ends_at_a_global_minimum():
    assert verdict(lambda x, y: x**2, "SGD", lr=0.1) == GLOBAL


TURN = math.pi / 10
ELSEWHERE = Surface(well, minima=[(1.5, 1.5)])


@pytest.mark.parametrize(("radius", "expected"), [(0.039, LOCAL), (0.041, OSCILLATING)])
def test_a_run_rests_if_it_stays_in_a_circle_of_the_goals_size(radius, expected):
    circle = path_follower(lambda k: (radius * math.cos(TURN * k), radius * math.sin(TURN * k)))
    assert verdict(ELSEWHERE, circle, start=(radius, 0)) == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [((2.5, 2), DIVERGED), ((2.5, 1), STILL), ((1.9, 2), STILL), ((-6.1, 0), DIVERGED)],
)
def test_a_run_has_diverged_if_it_is_outside_and_higher_than_inside_or_far_away(end, expected):
    assert verdict(lambda x, y: x + y, path_follower(lambda k: end), start=(0, 0)) == expected


def test_a_run_in_a_small_circle_on_a_slope_oscillates():
    circle = path_follower(lambda k: (0.03 * math.cos(TURN * k), 0.03 * math.sin(TURN * k)))
    assert verdict(lambda x, y: x + y, circle, start=(0.03, 0)) == OSCILLATING


def test_a_run_that_only_passes_through_the_goal_has_not_arrived():
    run = single_run(ELSEWHERE, path_follower(lambda k: (1.5 * (k == 3),) * 2), start=(0, 0))
    assert (run.verdicts, run.arrived) == ([LOCAL], [None])


@pytest.mark.parametrize(("across", "expected"), [(4.9, MOVING), (5.0, OSCILLATING)])
def test_a_run_oscillates_if_its_path_is_five_times_as_long_as_its_progress(across, expected):
    zigzag = path_follower(lambda k: (0.001 * k, 0.001 * across * (k % 2)))
    run = single_run(lambda x, y: x + y, zigzag, start=(0, 0), steps=999, tolerance=1e-3)
    last = run.theta[-100:, 0]
    length = sum(math.dist(a, b) for a, b in itertools.pairwise(last))
    progress = 2 * math.dist(last[:50].mean(0), last[50:].mean(0))
    assert (length >= 5 * progress) == (expected == OSCILLATING)
    assert run.verdicts == [expected]


@pytest.mark.parametrize(
    ("steps", "away", "expected"),
    [
        (999, 899, LOCAL),
        (999, 900, OSCILLATING),  # it went as far as 1, and its mean point a 25th of that
        (49, 39, LOCAL),
        (49, 40, MOVING),
    ],
)
def test_the_last_tenth_of_the_points_decides_and_at_least_ten(steps, away, expected):
    rule = path_follower(lambda k: (k == away, 0))
    assert verdict(ELSEWHERE, rule, start=(0, 0), steps=steps) == expected


@pytest.mark.parametrize("surface", SURFACES)
def test_arrived_is_the_first_step_from_which_on_a_run_stays_at_the_goal(surface):
    result = race_of_all_rules(surface)
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
    run = single_run("bowl", functools.partial(optim.SGD, momentum=0.9), lr=0.05, start=(0.5, 0))
    inside = np.abs(run.theta[:, 0, 0]) <= 0.08
    first, (arrived,) = int(np.argmax(inside)), run.arrived
    assert 0 < first < arrived
    assert not inside[arrived - 1]
    assert inside[arrived:].all()


def test_a_run_that_starts_at_the_goal_and_stays_has_arrived_at_once():
    assert single_run("bowl", "SGD", start=(0.01, 0)).arrived == [0]


def test_the_tolerance_is_the_goals_radius_as_a_fraction_of_the_longer_side():
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


def test_a_run_that_comes_to_rest_outside_the_domain_has_not_diverged():
    far = race(lambda x, y: (x - 10) ** 2 + y**2, ["SGD", "Adam"], lr=0.1, steps=2000)
    assert [run.verdicts for run in far.runs] == [[LOCAL], [LOCAL]]


def test_a_run_stands_still_where_f_is_flat_and_the_lowest_flat_part_is_a_global_minimum():
    step = Surface(lambda x, y: dl.relu(x) ** 2 + dl.relu(-x - 1) * 0 + 1, minima=[(-1, 0)])
    assert verdict(step, "SGD", start=(-0.5, 0.5), lr=0.1) == STILL
    assert verdict(lambda x, y: dl.relu(x) ** 2 + dl.relu(y) ** 2, "Momentum", lr=0.1) == GLOBAL


def test_a_run_that_jumps_over_a_kink_oscillates_however_small_its_steps():
    kink = Surface(lambda x, y: dl.abs(x - 0.123) + dl.abs(y + 0.456), minima=[(1.5, 1.5)])
    assert verdict(kink, "SGD", lr=0.004, steps=2000) == OSCILLATING


def test_a_run_that_is_inside_the_goal_for_too_few_steps_has_not_arrived():
    path = path_follower(lambda k: (0.0, 0.0) if k > 60 - 9 else (1.0, 1.0))
    late = single_run("bowl", path, start=(1, 1), steps=60)
    assert (late.arrived, late.verdicts) == ([None], [MOVING])
    path = path_follower(lambda k: (0.0, 0.0) if k > 60 - 10 else (1.0, 1.0))
    assert single_run("bowl", path, start=(1, 1), steps=60).arrived == [51]
    path = path_follower(lambda k: (0.0, 0.0) if k > 2 else (1.0, 1.0))
    assert single_run("bowl", path, start=(1, 1), steps=5).arrived == [3]


def test_a_run_that_reached_the_goal_late_is_not_at_a_local_minimum():
    path = path_follower(
        lambda k: (0.12, 0.0) if k < 58 else (0.056, 0.0)
    )  # the goal's radius is 0.08
    run = single_run("bowl", path, start=(0.12, 0), steps=60)
    assert (run.arrived, run.verdicts) == ([None], [MOVING])


def test_runs_arrive_at_any_point_of_a_valley_of_minima():
    run = single_run(lambda x, y: y**2, "SGD", lr=0.1, start=(1.37, 1))
    assert run.verdicts == [GLOBAL]
    assert 0 < run.arrived[0] < 30


def test_a_run_to_where_the_surface_is_not_finite_outside_the_domain_has_diverged():
    def root(x, y):
        return dl.sqrt(x) + y**2 / 6

    surface = Surface(root, x=(0.01, 3), start=(0.5, 1), minima=[(0.01, 0)])
    result = race(surface, ["SGD", "Lion"], lr={"SGD": 1.0}, steps=50)
    assert [run.verdicts for run in result.runs] == [[DIVERGED], [MOVING]]
