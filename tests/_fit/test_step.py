"""One step of fit: its arrays, a loss that isn't finite, and what is recorded of it."""

import math
import re

import numpy as np
import pytest
from fitting import X, Y, fit, problem, weights

import minidl as dl
from minidl import nn
from minidl._fit.step import PAIR, flat
from minidl.data import DataLoader

ROWS = np.random.default_rng(0).normal(size=(23, 3))
TARGETS = np.random.default_rng(1).normal(size=(23, 2))
WEIGHTS = np.random.default_rng(3).uniform(0.1, 2, 23)

# --- the arrays of a batch ----------------------------------------------------------------------


@pytest.mark.parametrize("weight", [(), (WEIGHTS,)], ids=["", "weighted"])
@pytest.mark.parametrize(
    ("x", "count"),
    [(ROWS, 1), ((ROWS,), 1), ((ROWS, TARGETS), 2), ({"left": ROWS, "right": TARGETS}, 2)],
    ids=["array", "tuple of one", "tuple", "dict"],
)
def test_a_batch_made_of_its_arrays_again_is_the_same(x, count, weight):
    batch = x, TARGETS, *weight
    form, arrays = flat(*batch)
    assert [type(array) for array in arrays] == [np.ndarray] * (count + 1 + len(weight))
    assert repr(form.batch(arrays)) == repr(batch)
    assert (form is PAIR) == (x is ROWS and not weight)


class Two(nn.Module):
    """A model of two inputs."""

    def __init__(self):
        with dl.default_dtype("float64"):
            self.a, self.b = nn.Dense(2, 2, rng=0), nn.Dense(1, 2, rng=1)

    def forward(self, left, right):
        return self.a(left).tanh() + self.b(right)


@pytest.mark.parametrize("capture", [False, "auto", True])
@pytest.mark.parametrize("weight", [None, WEIGHTS])
def test_a_model_of_several_inputs_is_trained(capture, weight):
    forms = [
        (ROWS[:, :2], ROWS[:, 2:]),
        {"left": ROWS[:, :2], "right": ROWS[:, 2:]},
        {"right": ROWS[:, 2:], "left": ROWS[:, :2]},
    ]
    outcomes = set()
    for x in forms:
        for listed in (False, True):
            model = Two()
            data = DataLoader(x, TARGETS, 5, rng=0, sample_weight=weight)
            data = list(data) if listed else data
            optimizer = dl.optim.Adam(model, lr=0.1)
            history = fit(model, optimizer, data, epochs=1, capture=capture, accumulate=1)
            outcomes.add(repr((history.step_loss, model.state_dict())))
    assert len(outcomes) == 1


# --- a loss that isn't finite -------------------------------------------------------------------


@pytest.mark.parametrize("error", [dl.DivergenceError, FloatingPointError, ValueError])
def test_an_exploding_loss_names_epoch_step_loss_and_rate(error):
    model = nn.Dense(1, 1, rng=0)
    optimizer = dl.optim.SGD(model, lr=123.0)
    loader = DataLoader(X, Y, 4, rng=0)
    with pytest.raises(error) as caught:
        fit(model, optimizer, loader, epochs=100)
    history = caught.value.history
    last = history.step_loss[-1]
    assert not math.isfinite(last)
    assert all(map(math.isfinite, history.step_loss[:-1] + history.loss))
    steps = len(history.step_loss)
    message = str(caught.value)
    assert f"epoch {(steps - 1) // 3 + 1}, step {steps}" in message
    assert re.search(rf"became {last}.*rate.*123.*too large.*WarmUp", message)
    assert optimizer.t == steps - 1
    assert all(np.isfinite(p.data).all() for p in model.parameters())


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["x", "y"])
def test_data_that_is_not_finite_is_found_before_it_changes_anything(where, value):
    model, optimizer, _ = problem()
    before = weights(model)
    x, y = X.copy(), Y.copy()
    {"x": x, "y": y}[where][3] = value
    if where == "x" and value == math.inf:
        model = nn.Sequential(model[0], model[2])
        before = weights(model)
    with pytest.raises(
        dl.DivergenceError,
        match="No update had been made, so look for NaN or huge numbers in the data",
    ):
        fit(model, optimizer, (x, y))
    assert weights(model) == before
    assert optimizer.t == 0


# --- the update and the record of a step --------------------------------------------------------


def test_an_interrupted_step_is_not_recorded():
    class Refusing(dl.optim.SGD):
        def step(self):
            if self.t == 4:
                raise KeyboardInterrupt
            super().step()

    model, optimizer, loader = problem(rule=Refusing)
    history = fit(model, optimizer, loader)
    assert history.interrupted
    assert len(history.step_loss) == len(history.lr) == optimizer.t == 4


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_loss_that_gives_the_optimizer_no_gradient_is_an_error_that_names_its_parameters(wrapped):
    model, (other, optimizer, loader) = nn.MLP([1, 3, 1], rng=0), problem()
    before = weights(model), weights(other)
    if wrapped:
        function = lambda x: model(x)  # noqa: E731
    else:
        function = nn.Sequential(model, other)
        for p in other.parameters():
            p.requires_grad = False
    with pytest.raises(RuntimeError, match=r"gives no gradient to .*\(1, 6\).* and 1 more.*frozen"):
        fit(function, optimizer, loader)
    assert (weights(model), weights(other), optimizer.t) == (*before, 0)
