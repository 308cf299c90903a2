"""Races on networks, against trainings written out."""

import base64
import functools

import numpy as np
import pytest
from matplotlib import pyplot

import minidl as dl
from minidl import optim
from minidl.viz import NetworkRace, network_race
from minidl.viz._race import page

X = np.linspace(-1, 1, 12).reshape(-1, 1)
Y = 3 * X - 1 + 0.1 * np.sin(9 * X)


def line():
    """A network with two weights, slope 0.5 and intercept 2."""
    with dl.default_dtype("float64"):
        model = dl.nn.Dense(1, 1)
    model.weight.data, model.bias.data = np.array([[0.5]]), np.array([2.0])
    return model


def descent(lr, steps):
    """Gradient descent on the line's mean squared error, in NumPy: weights, (steps + 1, 2)."""
    design = np.hstack([X, np.ones_like(X)])
    path = [np.array([0.5, 2.0])]
    for _ in range(steps):
        path.append(path[-1] - lr * 2 / len(X) * design.T @ (design @ path[-1] - Y[:, 0]))
    return np.array(path)


def mse(weights):
    return np.mean((X * weights[0] + weights[1] - Y) ** 2)


def test_the_path_and_losses_of_two_weights_are_those_of_gradient_descent():
    race = network_race(line(), dl.losses.mse, (X, Y), ["SGD"], steps=30, lr=0.1, resolution=7)
    expected, surface, (run,) = descent(0.1, 30), race.surface, race.runs
    np.testing.assert_allclose(race.weights[0], expected, rtol=1e-12)
    on_plane = surface.centre + run.theta[:, 0] @ surface.directions
    np.testing.assert_allclose(on_plane, expected, rtol=1e-9)  # the plane is the whole space
    np.testing.assert_allclose(run.loss[:, 0], [mse(weights) for weights in expected])
    np.testing.assert_allclose(surface.explained.sum(), 1)
    assert race.shares == pytest.approx([1])
    steps = np.diff(expected, axis=0) @ surface.directions.T  # −0.1 times the gradient
    np.testing.assert_allclose(run.gradient[:-1, 0], steps / -0.1, atol=1e-12)
    xs, ys, f = surface.grid()
    for i, j in np.ndindex(f.shape):
        weights = surface.centre + xs[j] * surface.directions[0] + ys[i] * surface.directions[1]
        assert f[i, j] == pytest.approx(mse(weights))
    assert run.lr.tolist() == [0.1] * 30


@functools.cache
def moons_race():
    """A race on a small network, whose batches are random, and the model before it."""
    from minidl.viz.figures.boundary import moons

    x, y = moons(60, rng=0)
    model = dl.nn.MLP([2, 6, 2], "tanh", rng=0)
    loader = dl.data.DataLoader(x.astype(np.float32), y, 16, rng=3)
    rates = {"SGD": 0.3, "again": 0.3, "Adam": dl.schedulers.LinearDecay(0.03, 40)}
    rules = {"SGD": "SGD", "again": optim.SGD, "Adam": "Adam"}
    race = network_race(
        model, dl.losses.cross_entropy, loader, rules, steps=40, lr=rates, resolution=9
    )
    return race, model, loader, rates


def test_each_optimizer_trains_as_fit_does_from_the_same_weights_with_the_same_batches():
    race, _, loader, rates = moons_race()
    assert [run.name for run in race.runs] == ["SGD", "again", "Adam"]
    for run, path in zip(race.runs, race.weights, strict=True):
        own = dl.nn.MLP([2, 6, 2], "tanh", rng=0)
        rule = optim.Adam if run.name == "Adam" else optim.SGD
        batches = dl.data.DataLoader(loader.x, loader.y, 16, rng=3)
        history = dl.fit(
            own, dl.losses.cross_entropy, rule(own, lr=rates[run.name]), batches, steps=40,
            progress=False,
        )  # fmt: skip
        end = np.concatenate([p.data.ravel() for p in own.parameters()])
        np.testing.assert_array_equal(path[-1], end)
        loss = dl.evaluate(own, (loader.x, loader.y), dl.losses.cross_entropy)["loss"]
        assert run.loss[-1, 0] == pytest.approx(loss, rel=1e-6)
        assert run.lr.tolist() == history.lr
    np.testing.assert_array_equal(race.weights[0], race.weights[1])


def test_the_plane_goes_through_the_lowest_end_along_the_principal_components_of_all_points():
    race = moons_race()[0]
    lowest = int(np.argmin([run.loss[-1, 0] for run in race.runs]))
    np.testing.assert_array_equal(race.surface.centre, race.weights[lowest][-1])
    end = race.surface.at(race.runs[lowest].theta[-1].T)[0]
    np.testing.assert_allclose(end, race.runs[lowest].loss[-1], rtol=1e-5)
    points = np.concatenate(race.weights)
    _, lengths, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    np.testing.assert_allclose(race.surface.explained, (lengths**2 / (lengths**2).sum())[:2])
    for run, path, share in zip(race.runs, race.weights, race.shares, strict=True):
        np.testing.assert_allclose(run.theta[:, 0], race.surface.project(path))
        deviations = path - path.mean(0)
        shown = deviations @ race.surface.directions.T
        assert share == pytest.approx((shown**2).sum() / (deviations**2).sum())


def test_a_training_that_diverges_ends_there_and_does_not_count_for_the_plane():
    rates = {"SGD": 0.1, "Momentum": 0.1, "wild": 1e9}
    rules = {"SGD": "SGD", "Momentum": "Momentum", "wild": "SGD"}
    race = network_race(line(), dl.losses.mse, (X, Y), rules, steps=80, lr=rates, resolution=3)
    calm = network_race(
        line(), dl.losses.mse, (X, Y), ["SGD", "Momentum"], steps=80, lr=0.1, resolution=3
    )
    np.testing.assert_array_equal(race.surface.centre, calm.surface.centre)
    wild = race.runs[2]
    assert [run.verdicts for run in race.runs][2] == ["diverged"]
    assert wild.loss.shape == (81, 1)
    assert np.isnan(wild.theta[-1]).all()
    assert np.isfinite(wild.theta[0]).all()
    assert "diverged" in str(race.table())


@pytest.mark.parametrize(
    ("lr", "verdict"),
    [(0.003, "still falling"), (0.5, "levelled off"), (1.1, "ended higher")],
)
def test_the_verdict_says_how_the_loss_ends(lr, verdict):
    race = network_race(line(), dl.losses.mse, (X, Y), "SGD", steps=60, lr=lr, resolution=2)
    assert race.runs[0].verdicts == [verdict]


def test_the_table_compares_the_loss_of_the_network_with_that_of_the_plane():
    race = moons_race()[0]
    text = str(race.table())
    first, second = race.surface.explained
    assert f"{first:.1%} + {second:.1%} = {first + second:.1%} of all" in text
    for run, share in zip(race.runs, race.shares, strict=True):
        (row,) = (row for row in text.splitlines() if row.startswith(run.name))
        value = race.surface.weight_loss.at(race.surface.weights(*run.theta[-1, 0]))
        for number in (run.loss[-1, 0], value):
            assert f"{number:.4g}" in row
        assert f"{share:.0%}" in row
    assert repr(race).startswith("NetworkRace(MLP, 40 steps, SGD: 0.")
    assert isinstance(race, NetworkRace)


def test_the_picture_names_the_directions_and_the_optimizer_that_ends_lowest():
    race = moons_race()[0]
    axes = race.plot()
    lowest = min(race.runs, key=lambda run: run.loss[-1, 0])
    title = axes.get_title()
    assert f"{lowest.name} ends lowest" in title
    assert f"{race.surface.explained.sum():.0%} of the variance" in title
    assert axes.get_xlabel() == race.surface.axes[0]
    assert axes.get_ylabel() == race.surface.axes[1]
    pyplot.close(axes.figure)


def test_the_page_has_the_grid_of_the_slice_and_no_equations_of_its_coordinates():
    race = moons_race()[0]
    surface = page._surface(race, 0, *race._view())
    xs, ys, f = race.surface.grid()
    assert (surface["x"], surface["y"]) == ((xs[0], xs[-1]), (ys[0], ys[-1]))
    heights = np.frombuffer(base64.b64decode(surface["heights"]), "<u2").reshape(9, 9)
    expected = np.log1p(f / surface["scale"]) / np.log1p(f.max() / surface["scale"])
    np.testing.assert_allclose(heights / 65534, expected, atol=1e-4)
    assert surface["lowest"] == 0
    assert surface["minima"] == []
    assert [run["rule"] for run in page.tracks(race, 0)["runs"]] == [None] * 3
    text = page.html(race)
    assert f"{race.surface.explained[0]:.1%}" in text
    assert "serve()" not in text
    with pytest.raises(TypeError, match="can't be served"):
        race.serve()


def test_a_schedule_that_observes_is_not_shared_between_optimizers():
    plateau = dl.schedulers.ReduceOnPlateau(0.5, patience=0)
    race = network_race(
        line(), dl.losses.mse, (X, Y), ["SGD", "Momentum"], steps=40, lr=plateau, resolution=2
    )
    assert race.runs[0].lr[-1] < 0.5 == plateau(0)
    alone = network_race(
        line(), dl.losses.mse, (X, Y), ["Momentum"], steps=40, lr=plateau, resolution=2
    )
    np.testing.assert_array_equal(race.runs[1].lr, alone.runs[0].lr)


class OneWeight(dl.nn.Module):
    def __init__(self):
        self.weight = dl.Tensor([1.0], requires_grad=True)

    def forward(self, x):
        return x * self.weight


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": lambda x: x}, TypeError, "model must be a Module, such as nn.MLP"),
        ({"model": OneWeight()}, ValueError, "two weights or more for a plane, got 1"),
        ({"loss": "mse"}, TypeError, "loss must be a function"),
        ({"data": [(X, Y), (X, Y)]}, TypeError, "a pair .* or a DataLoader"),
        ({"data": X}, TypeError, "data must be a DataLoader or a pair"),
        ({"steps": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"resolution": 1}, ValueError, "resolution must be a whole number ≥ 2"),
        ({"optimizers": []}, ValueError, "there is no optimizer to race"),
        ({"optimizers": ["Adaam"]}, ValueError, "no optimizer 'Adaam'. Did you mean 'Adam'"),
        ({"optimizers": lambda params: 3}, TypeError, "must make an optimizer, got 3"),
        ({"lr": 1e9, "steps": 99}, ValueError, "every training diverged; choose lower rates"),
        ({"lr": 0.0}, ValueError, "no weight moves"),
        ({"lr": {"Lion": 0.1}}, ValueError, "lr names 'Lion'"),
        ({"steps": 10**9}, ValueError, "more than 50,000,000; take fewer steps"),
    ],
)
def test_invalid_arguments_raise(changes, error, message):
    arguments = {"model": line(), "loss": dl.losses.mse, "data": (X, Y), "optimizers": ["SGD"]}
    with pytest.raises(error, match=message):
        network_race(**arguments | {"steps": 3, "resolution": 2} | changes)


def test_the_model_and_the_loader_are_not_changed():
    _, model, loader, _ = moons_race()
    fresh = dl.nn.MLP([2, 6, 2], "tanh", rng=0)
    for name, parameter in fresh.named_parameters():
        np.testing.assert_array_equal(model.state_dict()[name], parameter.data)
    assert loader.rng.random() == np.random.default_rng(3).random()
