"""The text table of a race, beside the runs."""

import functools
import re

import numpy as np
import pytest
from races import DIVERGED, STEPS, race_of_all_rules

import minidl as dl
from minidl.viz import SURFACES, race


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
        "None reached the goal; another rate may; tune=True searches for one.",
    ]
    assert repr(result.table()) == result.table()


def test_the_table_of_a_users_function_with_noise():
    table = race(lambda x, y: (x - 0.5) ** 2 + y**2, "SGD", noise=0.001, lr=0.5, steps=3).table()
    assert table.splitlines()[:4] == [
        "your function: 3 steps from (−1, 1)",
        "f = (x − 0.5)² + y²",
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
    result = race_of_all_rules(surface)
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
    name, rate, arrived, middle, loss, ends = re.split("  +", lines[5])
    assert (name, rate, arrived, middle) == ("SGD", "0.05", "3 of 5", f"median {steps[1]}")
    assert float(loss.removeprefix("median ").replace("−", "-")) == pytest.approx(
        sorted(run.loss[-1])[2], rel=1e-3
    )
    assert ends == "3 global minimum, 2 local minimum"


def test_many_starts_without_an_arrival_have_no_median_of_steps():
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


def test_the_table_states_the_search():
    table = race("bowl", ["SGD", "Adam"], tune=True, budget=5, steps=20).table()
    assert "rates: the best of 5 from 0.0001 to 100 for each: the most starts that arrive" in table
    assert "with a rate of its own" not in table
    assert "rates:" not in race("bowl", "SGD", steps=20, tune=False).table()
    rules = {"set": functools.partial(dl.optim.SGD, lr=0.0001), "open": "Adam"}
    table = race("bowl", rules, budget=5, steps=20).table()
    assert "with a rate of its own: set\n" in table
    assert "best at the end of these rates" not in table
