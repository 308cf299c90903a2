"""Settings of the playground: what comes from a page is checked, and comes back the same."""

import json

import pytest

import minidl as dl
from minidl.viz._playground.settings import Run, Settings, rule_options
from minidl.viz._playground.settings import from_json as settings

POINTS = [[0, 0, 0], [1, 0, 1], [0, 1, 2], [1, 1, 0]]


def test_nothing_given_is_the_default():
    assert settings({}) == Settings()
    assert Settings().sizes == [2, 8, 8, 2]


def test_settings_survive_the_way_to_the_page_and_back():
    given = {
        "data": "spirals",
        "layers": [3, 1],
        "loss": "binary_cross_entropy",
        "runs": [
            {"rule": "Adam", "lr": "CosineDecay(0.1, 50)", "options": {"betas": [0.8, 0.9]}},
            {"rule": "SGD", "lr": 0.5, "options": {"momentum": 0.9}, "batch_size": None},
        ],
    }
    made = settings(given)
    assert settings(json.loads(json.dumps(made.as_json()))) == made
    assert made.sizes == [2, 3, 1, 1]
    assert made.runs[0].rate == dl.schedulers.CosineDecay(0.1, 50)
    assert made.runs[1] == Run("SGD", "0.5", (("momentum", 0.9),), None)
    assert made.runs[1].rate == 0.5


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({"data": "curve", "loss": "mse"}, [1, 8, 8, 1]),
        ({"data": "plane", "loss": "huber", "layers": []}, [2, 1]),
        ({"data": "three_classes"}, [2, 8, 8, 3]),
        ({"data": "moons", "loss": "mse"}, [2, 8, 8, 2]),
        ({"data": "own", "points": POINTS}, [2, 8, 8, 3]),
        (
            {
                "data": "own",
                "points": [*POINTS[:2], [0, 0, 1.5], [1, 1, -0.5]],
                "kind": "values",
                "loss": "mse",
            },
            [2, 8, 8, 1],
        ),
        ({"data": "own", "points": 4 * [POINTS[1]], "kind": "curve", "loss": "mae"}, [1, 8, 8, 1]),
    ],
)
def test_the_network_fits_data_and_loss(given, sizes):
    assert settings(given).sizes == sizes


@pytest.mark.parametrize("rule", dl.optim.RULES)
def test_each_rule_can_be_chosen_with_its_options(rule):
    options = json.loads(json.dumps(rule_options(rule)))
    assert "lr" not in options
    (run,) = settings({"runs": [{"rule": rule, "options": options}]}).runs
    assert dict(run.options) == rule_options(rule)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "must be an object"),
        ({"depth": 3}, "a setting must be one of"),
        ({"data": "digits"}, "data must be one of"),
        ({"samples": 10**6}, "samples must be at most 1000"),
        ({"samples": 2.5}, "samples must be a whole number"),
        ({"noise": -1}, "noise must be"),
        ({"test": 1}, "test must be"),
        ({"layers": [0]}, "a layer's size must be"),
        ({"layers": [999]}, "at most 16"),
        ({"layers": [1] * 7}, "at most 6 sizes"),
        ({"activation": "step"}, "activation must be one of"),
        ({"dropout": 1}, "dropout must be"),
        ({"loss": "mae"}, "loss must be one of"),
        ({"data": "curve"}, "loss must be one of 'mse', 'mae', 'huber'"),
        ({"seed": -1}, "seed must be"),
        ({"runs": []}, "one or two"),
        ({"runs": [{}] * 3}, "one or two"),
        ({"runs": [{"rate": 1}]}, "a run must have"),
        ({"runs": [{"rule": "Magic"}]}, "rule must be one of"),
        ({"runs": [{"lr": "__import__('os')"}]}, "can't be part of a schedule|no schedule"),
        ({"runs": [{"lr": "1" * 400}]}, "at most 300"),
        ({"runs": [{"lr": -1}]}, "lr"),
        ({"runs": [{"lr": "LinearDecay(1e99, 5)"}]}, "lr of step 0"),
        ({"runs": [{"lr": "ReduceOnPlateau(0.1, mode='max')"}]}, 'mode must be "min"'),
        ({"runs": [{"options": [1]}]}, "options must be an object"),
        ({"runs": [{"options": {"momentum": 1}}]}, "an option of Adam must be"),
        ({"runs": [{"options": {"betas": [2, 3]}}]}, "betas"),
        ({"runs": [{"batch_size": 0}]}, "batch_size"),
        ({"data": "own"}, "four points or more"),
        ({"points": [[1, 2]]}, "must be a list of at most"),
        ({"points": [[9, 0, 0]]}, "a point must be"),
        ({"points": [[0, 0, 7]]}, "at most 3"),
        ({"points": [[0, 0, 0.5]]}, "a point's class must be a whole number"),
        ({"points": [[0, 0, 7]], "kind": "values"}, "a point's value must be"),
        ({"kind": "words"}, "kind must be one of 'classes', 'values', 'curve'"),
        ({"data": "own", "points": POINTS[:2] * 2, "kind": "curve"}, "loss must be one of 'mse'"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        settings(given)
