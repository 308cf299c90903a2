"""The script of a training gives its bits, and the walkthrough shows its next step."""

import re

import numpy as np
import pytest

from minidl.viz._playground.script import as_text, walkthrough
from minidl.viz._playground.settings import from_json as settings
from minidl.viz._playground.training import Training

POINTS = [[round(0.1 * i - 0.5, 2), round(0.3 - 0.07 * i, 2), i % 2] for i in range(12)]
CASES = [
    {},
    {"dropout": 0.2, "activation": "leaky_relu", "seed": 5},
    {"data": "curve", "loss": "mae", "init": "he_normal"},
    {"data": "spirals", "loss": "binary_cross_entropy", "test": 0.0},
    {"data": "three_classes", "loss": "mse", "runs": [{"batch_size": None}]},
    {"data": "own", "points": POINTS, "layers": []},
    {"data": "own", "points": POINTS, "kind": "values", "loss": "mse", "test": 0.0},
    {
        "data": "own",
        "points": POINTS,
        "kind": "curve",
        "loss": "huber",
        "runs": [{"lr": "ReduceOnPlateau(0.5, 0.5, 0)", "batch_size": 4}],
    },
    {
        "runs": [
            {},
            {
                "rule": "SGD",
                "lr": "WarmUp(CosineDecay(0.1, 100), 20)",
                "options": {"momentum": 0.9, "weight_decay": 0.01},
                "batch_size": 7,
            },
        ]
    },
]


def run(training, capsys):
    """The weights after the script."""
    names = {}
    exec(compile(as_text(training), "script", "exec"), names)
    assert f"after {training.step} steps" in capsys.readouterr().out
    return [p.data for p in names["model"].parameters()]


@pytest.mark.parametrize("given", CASES)
def test_a_script_reproduces_a_training_with_its_changes_bit_for_bit(given, capsys):
    training = Training(settings(given), len(given.get("runs", [{}])) - 1)
    own = dict(training.settings.as_json())
    training.advance(23)

    def change(**changes):
        runs = [{**run, **changes.pop("run", {})} for run in own["runs"]]
        own.update(changes, runs=runs)
        training.change(settings(own))
        training.advance(9)

    change(run={"lr": "0.05"})
    change(activation="softplus")
    change(run={"rule": "RMSprop", "options": {}, "batch_size": 5})
    training.edit("dense1.weight", (0, 0), 0.3)
    training.advance(4)
    change(layers=[3, 5, 2], dropout=0.1)
    change(run={"lr": "ReduceOnPlateau(0.3, 0.5, patience=0, threshold=0.9)"})
    training.advance(40)
    for ours, theirs in zip(training.model.parameters(), run(training, capsys), strict=True):
        np.testing.assert_array_equal(ours.data, theirs)
    training.rewind(23)
    training.advance(2)
    for ours, theirs in zip(training.model.parameters(), run(training, capsys), strict=True):
        np.testing.assert_array_equal(ours.data, theirs)


def test_a_script_before_the_first_step_builds_the_network(capsys):
    training = Training(settings({}))
    ours = [p.data for p in training.model.parameters()]
    assert all((a == b).all() for a, b in zip(ours, run(training, capsys), strict=True))


def test_the_walkthrough_is_of_the_next_step_and_leaves_the_training_as_it_is():
    training, other = Training(settings({"layers": [2]})), Training(settings({"layers": [2]}))
    training.advance(8)
    other.advance(8)
    html = walkthrough(training)
    assert re.search(r"cross_entropy", html)
    assert "Adam" in html
    for one in training, other:
        one.advance(30)
    for ours, theirs in zip(training.model.parameters(), other.model.parameters(), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)
