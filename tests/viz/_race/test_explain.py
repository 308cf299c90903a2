"""What the page of a race gets to explain a step: the lines that apply, and their symbols."""

import functools

import numpy as np
import pytest
from races import RULES, race_of_all_rules

import minidl as dl
from minidl.viz._race.explain import explanation, unread
from minidl.walkthrough.parser import names

STEPS = np.arange(120)


def rule_of(make, **options):
    (run,) = dl.viz.race("bowl", {"mine": make}, **{"steps": 119, **options}).runs
    return explanation(run, STEPS)


@pytest.mark.parametrize("name", RULES)
def test_every_symbol_of_an_equation_has_a_value(name):
    (run,) = (run for run in race_of_all_rules("bowl").runs if run.name == name)
    rule = explanation(run, STEPS)
    known = {"θ", "g", "t", *rule["values"], *rule["rates"], *rule["state"]}
    for equation in rule["equations"]:
        for tree in filter(None, (equation["tree"], equation["condition"])):
            assert set(names(tree)) <= known
        known.add(equation["symbol"])
    assert set(rule["state"].values()) <= set(run.state)
    assert rule["equations"][-1]["symbol"] == ("m" if name == "Lion" else "θ")


@pytest.mark.parametrize(
    ("make", "symbols"),
    [
        ("Adam", "m v m̂ v̂ θ"),
        ("AdamW", "θ m v m̂ v̂ θ"),
        (functools.partial(dl.optim.Adam, amsgrad=True), "m v v_max m̂ v̂ θ"),
        (functools.partial(dl.optim.Momentum, weight_decay=0.1), "g v θ"),
        (functools.partial(dl.optim.Adagrad, maximize=True), "g G θ"),
    ],
    ids=["Adam", "AdamW", "amsgrad", "weight decay", "maximize"],
)
def test_lines_that_the_options_exclude_are_left_out(make, symbols):
    assert [line["symbol"] for line in rule_of(make)["equations"]] == symbols.split()


def test_a_line_that_depends_on_the_step_keeps_its_condition():
    lines = rule_of(functools.partial(dl.optim.SGD, momentum=0.9))["equations"]
    assert ["t" in names(line["condition"]) for line in lines if line["symbol"] == "b"] == [1, 1]


def test_corrections_of_a_bias_are_the_same_for_x_and_y():
    by_axis = {line["symbol"]: line["by_axis"] for line in rule_of("RAdam")["equations"]}
    assert by_axis == {"m": 1, "v": 1, "m̂": 1, "ρ∞": 0, "ρ_t": 0, "r": 0, "θ": 1}


@pytest.mark.parametrize(
    ("name", "momentum"),
    [("SGD", None), ("NAG", "v"), ("Adagrad", None), ("RMSprop", None), ("AdamW", "m")],
)
def test_the_momentum_is_the_average_that_the_rule_keeps(name, momentum):
    assert rule_of(name)["momentum"] == momentum


def test_at_a_rate_of_0_ftrl_counts_no_update():
    warm = dl.schedulers.WarmUp(0.1, 4)
    assert rule_of("FTRL", lr=warm)["t"][:4] == [1, 1, 2, 3]
    assert rule_of("FTRL", lr=0.1)["t"] is rule_of("Adam", lr=warm)["t"] is None


class Text(dl.optim.SGD):
    equations = "\n    θ ← a step, as I like it\n"


class Words(dl.optim.SGD):
    equations = "\n    θ ← a step downhill\n"


class Sum(dl.optim.SGD):
    equations = "\n    θ ← θ − η Σ g\n"


@pytest.mark.parametrize("rule", [Text, Words, Sum])
def test_a_rule_whose_equations_the_page_cannot_evaluate_has_no_explanation(rule):
    assert rule_of(rule) is None


class Partly(dl.optim.SGD):
    """A rule one of whose equations can be read."""

    equations = """
        d = s g
        θ ← θ − η g
        θ ← clamp(θ, g)
        b ← b - g
    """
    scale: float = dl.optim.option(dl.optim.fraction, default=0.5)


def test_the_page_shows_the_equations_that_can_be_read_and_why_others_can_not():
    run = dl.viz.race("bowl", [Partly, "SGD"], steps=3, lr=0.1).runs[0]
    shown = unread(run)
    assert len(shown["formulas"]) == 1
    assert "<mi>η</mi>" in shown["formulas"][0]
    option, function, ascii_minus = shown["unread"]
    assert option.startswith(
        "d = s g (unknown symbol s; write an option by its name, such as scale"
    )
    assert function.startswith("θ ← clamp(θ, g) (unknown function clamp; there are sin")
    assert ascii_minus.endswith("write − for -)")


@pytest.mark.parametrize("rule", dl.optim.RULES)
def test_every_equation_of_minidl_can_be_read(rule):
    run = dl.viz.race("bowl", [rule], steps=3, lr=0.1).runs[0]
    assert unread(run)["unread"] == []
