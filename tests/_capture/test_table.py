"""The table of a plan."""

import re
import types

import numpy as np
import pytest
from capturing import mlp, regression, supervised

import minidl as dl
from minidl._capture.table import durations


def test_a_step_prints_its_calls_with_shapes_and_durations():
    step = dl.capture(supervised(mlp("relu")).step)
    assert "step" in repr(step)
    with pytest.raises(dl.CaptureError, match="no plan yet"):
        step.plan  # noqa: B018
    for batch in regression(6):
        step(*batch)
    lines = str(step).splitlines()
    assert str(step.plan).splitlines() == lines[1:]
    assert len(lines) == 2 + step.plan.count
    assert {"call", "of", "inputs", "outputs", "µs", "line"} == set(lines[1].split())
    assert re.search(r"product +dense\S* +5×3 3×4 +5×4 +\d+\.\d\d ", str(step))
    assert all(re.search(r" \d+\.\d\d ", f"{line} ") for line in lines[2:])
    assert str(step) == repr(step)
    assert str(step.plan) == repr(step.plan)


def test_calls_before_an_op_are_not_said_to_be_of_it():
    step = dl.capture(lambda x: dl.sum(dl.exp(np.sort(x) + x)))
    for i in range(2):
        step(np.arange(3.0) + i)
    rows = [line.split()[:2] for line in str(step).splitlines()[2:]]
    assert rows[:3] == [["sort", "3"], ["add", "3"], ["exp", "exp"]]


def test_durations_are_medians_in_microseconds():
    plan = types.SimpleNamespace(seconds=[[3e-6, 1e-6, 2e-6], []])
    assert durations(plan) == [pytest.approx(2.0), None]
