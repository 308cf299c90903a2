"""Races against plain loops, bit for bit; tuning, arguments, errors."""

import functools
import inspect
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from races import RULES, STEPS, race_of_all_rules, single_run

import minidl as dl
from minidl import optim
from minidl.viz import SURFACES, Surface, race


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
    for name, array in run.state.items():
        numbers = array[:, start] if array.ndim == 3 else np.repeat(array, 2, 1)  # one for all
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


# --- the bits of a plain loop -------------------------------------------------------------------


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("name", RULES)
def test_a_run_is_a_plain_loop_bit_for_bit(surface, name):
    runs = {run.name: run for run in race_of_all_rules(surface).runs}
    domain = SURFACES[surface]
    assert_same(runs[name], Path(domain.function, RULES[name], domain.start, STEPS))


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
    run = single_run("beale", functools.partial(rule, **options), start=start, steps=STEPS)
    assert_same(run, Path(function, rule, start, STEPS, **options))


@pytest.mark.parametrize("name", RULES)
def test_schedules_set_the_rate_of_each_step(name):
    schedule = dl.schedulers.WarmUp(dl.schedulers.CosineDecay(0.05, 60), 20)
    domain = SURFACES["himmelblau"]
    run = single_run("himmelblau", name, lr=schedule, steps=STEPS)
    assert run.lr.tolist() == [schedule(k) for k in range(STEPS)]
    assert run.rate == "WarmUp"
    assert_same(run, Path(domain.function, RULES[name], domain.start, STEPS, lr=schedule))


@pytest.mark.parametrize("name", RULES)
def test_noise_is_added_to_the_gradients_the_same_for_all(name):
    domain = SURFACES["two-wells"]
    names = ["SGD", name] if name != "SGD" else ["SGD", "Adam"]
    runs = race("two-wells", names, noise=0.3, rng=7, tune=False).runs
    (run,) = [run for run in runs if run.name == name]
    assert_same(run, Path(domain.function, RULES[name], domain.start, 400, noise=0.3, rng=7))


def test_noise_has_the_stated_size_and_is_shared_by_all_optimizers_but_not_by_starts():
    result = race("bowl", ["SGD", "Adam"], noise=0.25, steps=999, start=[(1, 1), (2, -1)], lr=0.01)
    noise = [run.gradient - run.theta * [1, 2] for run in result.runs]
    np.testing.assert_allclose(noise[0], noise[1], rtol=0, atol=1e-14)
    assert noise[0].std((0, 1)) == pytest.approx([0.25, 0.25], rel=0.1)
    assert abs(noise[0].mean()) < 0.02
    correlations = np.corrcoef(noise[0].reshape(1000, 4).T) - np.eye(4)
    assert np.abs(correlations).max() < 0.1
    assert np.abs(np.corrcoef(noise[0][1:, 0, 0], noise[0][:-1, 0, 0])[0, 1]) < 0.1


def test_the_loss_is_the_surface_without_the_noise():
    run = single_run("bowl", "SGD", noise=0.5)
    np.testing.assert_allclose(run.loss, (run.theta**2 * [0.5, 1]).sum(-1), 1e-14)


def test_without_noise_the_seed_does_not_matter_and_with_noise_it_does():
    plain, other = (single_run("beale", "Adam", rng=seed).theta for seed in (1, 2))
    assert np.array_equal(plain, other)
    noisy, other = (single_run("beale", "Adam", rng=seed, noise=0.1).theta for seed in (1, 2))
    assert not np.array_equal(noisy, other)


@pytest.mark.parametrize("surface", ["rastrigin", "beale"])
def test_a_race_from_many_starts_equals_one_race_per_start(surface, rng):
    domain = SURFACES[surface]
    starts = rng.uniform(*np.transpose([domain.x, domain.y]), (3, 2))
    together = race(surface, list(RULES), start=starts, steps=STEPS, tune=False)
    assert np.array_equal(together.starts, starts)
    for i, start in enumerate(starts.tolist()):
        single = race(surface, list(RULES), start=start, steps=STEPS, tune=False)
        for run, alone in zip(together.runs, single.runs, strict=True):
            assert run.name == alone.name
            assert (run.verdicts[i], run.arrived[i]) == (alone.verdicts[0], alone.arrived[0])
            assert_same(run, Path(domain.function, RULES[run.name], start, STEPS), i)


def stacked(x, y):
    return (dl.stack([x, y]) ** 2 * [0.5, 1.0]).sum()


def test_a_function_that_is_not_element_wise_races_like_one_that_is():
    starts = [(-1, 1), (0.3, 0.2), (1.9, -1.9)]
    one, many = (
        race(f, list(RULES), start=starts, steps=30, tune=False)
        for f in (Surface(stacked), Surface(lambda x, y: (x**2 + 2 * y**2) / 2))
    )
    assert not one.surface.elementwise
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
    result = race("bowl", ["SGD", "Adam"], steps=7, start=3, tune=False)
    assert (result.steps, result.noise, result.starts.shape) == (7, 0, (3, 2))
    assert result.surface is SURFACES["bowl"]
    for run, names in zip(result.runs, [set(), {"m", "v"}], strict=True):
        assert run.theta.shape == run.gradient.shape == (8, 3, 2)
        assert run.loss.shape == (8, 3)
        assert run.lr.shape == (7,)
        assert set(run.state) == names
        assert all(array.shape == (8, 3, 2) for array in run.state.values())
        arrays = [run.theta, run.gradient, run.loss, run.lr, *run.state.values()]
        assert all(array.dtype == np.float64 for array in arrays)
        assert len(run.verdicts) == len(run.arrived) == 3
        assert run.optimizer.t == 7
        assert run.tried == {}


def test_nothing_is_clipped():
    run = single_run("bowl", "SGD", lr=3.0, steps=300, start=(1, 1))
    np.testing.assert_allclose(run.theta[:, 0, 0], (-2.0) ** np.arange(301), 1e-12)
    np.testing.assert_allclose(run.gradient[:, 0, 1], 2 * (-5.0) ** np.arange(301), 1e-12)


# --- tuning -------------------------------------------------------------------------------------


def key(score):
    arrived, steps, loss = score
    return -arrived, steps, loss


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
            alone = single_run(surface, run.name, lr=rate, **options)
            steps = [k for k in alone.arrived if k is not None]
            last = np.where(np.isfinite(alone.loss[-1]), alone.loss[-1], math.inf)
            median = np.median(steps) if steps else math.inf
            assert score == (len(steps) / len(alone.arrived), median, np.median(last))
        best = min(run.tried, key=lambda rate, run=run: key(run.tried[rate]))
        assert run.optimizer.groups[0]["lr"] == best
        assert set(run.lr) == {best}
        assert_same_runs(run, single_run(surface, run.name, lr=best, **options))


def test_rates_are_in_equal_ratios_from_a_ten_thousandth_to_a_hundred():
    rates = list(race("bowl", "SGD", tune=True, steps=3).runs[0].tried)
    assert len(rates) == 31
    assert (rates[0], rates[-1]) == (1e-4, 100)
    np.testing.assert_allclose(np.diff(np.log(rates)), math.log(1e6) / 30, atol=0.12)
    assert all(rate == float(f"{rate:.1e}") for rate in rates)


def test_rates_are_tuned_by_default_unless_a_rate_is_given():
    own = functools.partial(optim.Adam, lr=0.5)
    rules = {
        "name": "SGD",
        "partial": functools.partial(optim.Adam, betas=(0.5, 0.9)),
        "open": mine,
        "class": Own,
        "own": own,
        "closed": lambda p: optim.SGD(p, lr=0.3),
    }
    options = {"steps": 20, "budget": 3}
    runs = {run.name: run for run in race("bowl", rules, **options).runs}
    for name in ("name", "partial", "open", "class"):
        assert list(runs[name].tried) == [1e-4, 0.1, 100.0], name
    assert runs["name"].rate == "0.1"
    assert [(runs[name].tried, runs[name].rate) for name in ("own", "closed")] == [
        ({}, "0.5"),
        ({}, "0.3"),
    ]
    assert_same_runs(runs["name"], single_run("bowl", {"name": "SGD"}, tune=True, **options))
    for given in ({"lr": 0.1}, {"lr": {"SGD": 0.1}}, {"tune": False}):
        assert not race("bowl", ["SGD", "Adam"], steps=2, **given).rates_tried
    assert race("bowl", {"own": own, "SGD": "SGD"}, steps=2).rates_tried
    assert not race(Surface(stacked), "SGD", steps=2).rates_tried
    assert race(Surface(stacked), "SGD", steps=2, tune=True, budget=3).rates_tried


def test_the_default_race_arrives_and_its_rates_are_not_at_the_limit_of_the_search():
    result = race("beale")
    assert [run.name for run in result.runs if run.arrived == [None]] == ["Adadelta"]
    assert "best at the end of these rates" not in result.table()


def test_the_smallest_of_the_best_rates_is_chosen():
    run = single_run(lambda x, y: x * 0 + y * 0 + 1, "SGD", tune=True, budget=4, steps=3)
    assert run.rate == "0.0001"


def test_arrivals_count_more_than_steps():
    starts = [(0.25, 0.1), (-1.7, 1.2), (1.8, 1.0)]
    run = single_run("two-wells", "Momentum", tune=True, start=starts, steps=200)
    best = run.tried[run.optimizer.groups[0]["lr"]]
    assert best[0] == max(arrived for arrived, _, _ in run.tried.values())
    assert best[1] > min(steps for _, steps, _ in run.tried.values())


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


def test_a_generator_is_used_and_advanced():
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
    for run in race_of_all_rules("bowl").runs:
        default = inspect.signature(RULES[run.name]).parameters["lr"].default
        assert run.lr.tolist() == [default] * STEPS
        assert run.rate == f"{default:g}"


def test_one_rate_is_for_all_optimizers():
    for run in race("bowl", list(RULES), lr=0.03, steps=5).runs:
        assert (set(run.lr), run.rate) == ({0.03}, "0.03")


def test_rates_are_set_by_label_and_others_keep_their_default():
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
    run = single_run("bowl", given, steps=2)
    assert (run.name, run.rate, type(run.optimizer)) == (label, rate, rule)


def test_runs_are_in_the_given_order():
    names = ["Lion", "SGD", "Adam"]
    assert [run.name for run in race("bowl", names, steps=1).runs] == names


def test_lr_overrides_the_rate_of_a_partial():
    assert single_run("bowl", functools.partial(optim.SGD, lr=0.5), lr=0.1, steps=1).rate == "0.1"
    assert single_run("bowl", mine, lr=0.1, steps=1).rate == "0.1"


def test_settings_of_numpys_warnings_are_untouched_after_an_error():
    class Broken(dl.schedulers.Schedule):
        def formula(self, t):
            if t == 5:
                raise ArithmeticError("broken")
            return 0.1

    before = np.geterr()
    with pytest.raises(ArithmeticError) as raised:
        race("bowl", "SGD", lr=Broken())
    assert (np.geterr(), raised.type) == (before, ArithmeticError)


# --- errors ------------------------------------------------------------------------------------


def root(x, y):
    return dl.sqrt(x) + y**2 / 6


POSITIVE = Surface(root, x=(-1, 3), start=(1, 1), minima=[(0, 0)])


@pytest.mark.parametrize(
    ("args", "options", "error", "expected"),
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
        (("bowl", "SGD"), {"budget": 9, "lr": 1}, ValueError, ["budget=9 needs tune=True"]),
        (("bowl", "SGD"), {"noise": -1}, ValueError, ["race: noise must", "≥ 0", "got -1"]),
        (("bowl", "SGD"), {"noise": math.nan}, ValueError, ["race: noise must", "got nan"]),
        (("bowl", "SGD"), {"tolerance": 0}, ValueError, ["race: tolerance must", "> 0", "got 0"]),
        (("bowl", "SGD"), {"tolerance": 1.1}, ValueError, ["race: tolerance must", "≤ 1"]),
        (("bowl", "SGD"), {"tune": 1}, TypeError, ["race: tune must be True or False", "got 1"]),
        (("bowl", "SGD"), {"tune": True, "lr": 0.1}, ValueError, ["lr must not be", "got 0.1"]),
        (("bowl", "SGD"), {"lr": -1}, ValueError, ["SGD: lr must", "got -1"]),
        (("bowl", "SGD"), {"lr": "x"}, TypeError, ["SGD: lr must", "got 'x'"]),
        (
            ("bowl", "SGD"),
            {"lr": [0.01, 0.1]},
            TypeError,
            ["a dict with one for each name", "'SGD'"],
        ),
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
            ["root is not finite", "at (−0.5, 0)", "which fast reached at step 1", "f = NaN"],
        ),
        (
            (POSITIVE, "SGD"),
            {"start": [(1, 1), (-0.5, 1)]},
            ValueError,
            ["at (−0.5, 1), inside its domain", "SGD reached at step 0", "gradient (NaN, 0.3333)"],
        ),
        (
            (POSITIVE, "SGD"),
            {"start": (0, 1)},  # the value is finite there, the slope isn't
            ValueError,
            ["at (0, 1)", "step 0", "f = 0.1667", "gradient (∞, 0.3333)"],
        ),
    ],
)
def test_invalid_arguments_raise(args, options, error, expected):
    with pytest.raises(error) as caught:
        race(*args, **options)
    message = str(caught.value)
    assert all(word in message for word in expected), message


def test_an_optimizer_of_other_parameters_raises():
    stranger = dl.Tensor([1.0], requires_grad=True)
    with pytest.raises((TypeError, ValueError), match="race: "):
        race("bowl", lambda params: optim.SGD([stranger]))


@pytest.mark.parametrize("method", ["plot", "animate", "save"])
@pytest.mark.parametrize(
    ("start", "error", "message"),
    [(2, ValueError, "below 2"), (-1, ValueError, "≥ 0"), (0.5, TypeError, "whole number")],
)
def test_a_start_that_does_not_exist_raises(method, start, error, message, tmp_path):
    result = race("bowl", "SGD", start=2, steps=2)
    with pytest.raises(error, match=f"race: start must be.*{message}"):
        getattr(result, method)(tmp_path / "race", start=start)


# --- side effects -------------------------------------------------------------------------------


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


def test_an_error_during_a_race_leaves_the_settings_alone():
    before = np.geterr(), dl.get_default_dtype()
    with pytest.raises(ValueError, match="not finite"):
        race(POSITIVE, "SGD", lr=3.0)
    assert (np.geterr(), dl.get_default_dtype()) == before


def test_a_race_can_be_repeated():
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


def test_rates_are_found_by_name_without_regard_to_case():
    raced = race("Two Wells", ["sgd", "ADAM"], steps=2, lr={"Sgd": 0.1, "adam": 0.2})
    assert {run.name: run.lr[0] for run in raced.runs} == {"SGD": 0.1, "Adam": 0.2}
    raced = race("bowl", {"a": "SGD", "A": "SGD"}, steps=2, lr={"A": 0.1, "a": 0.2})
    assert {run.name: run.lr[0] for run in raced.runs} == {"a": 0.2, "A": 0.1}
