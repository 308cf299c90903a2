"""The slice of a network's loss, against the race that it shows."""

import numpy as np
import pytest
from drawn import assert_texts_fit, drawn_texts, line_points, race_table
from matplotlib import pyplot

import minidl as dl
from minidl.viz.figures.slice import RATES, loss_slice


def test_the_figure_shows_the_paths_and_losses_of_the_race():
    x = np.linspace(-1, 1, 20).reshape(-1, 1)
    model = dl.nn.MLP([1, 4, 1], "tanh", rng=0)
    rates = {"SGD": 0.1, "Adam": 0.01}
    options = {"steps": 30, "resolution": 9}
    axes = loss_slice(model, dl.losses.mse, (x, x**2), rates, **options).axes[0]
    race = dl.viz.network_race(
        model, dl.losses.mse, (x, x**2), ["SGD", "Adam"], lr=rates, **options
    )
    paths = [line_points(axes, k) for k in range(len(axes.get_lines()))]
    for run in race.runs:
        assert any(np.array_equal(path, run.theta[:, 0]) for path in paths)
        rate, loss = race_table(axes)[run.name]
        assert float(rate) == rates[run.name]
        assert float(loss.removeprefix("loss ")) == pytest.approx(run.loss[-1, 0], rel=0.01)
    assert not pyplot.get_fignums()


def test_the_default_has_eight_rules_whose_texts_fit_and_ends_lowest_where_it_says():
    figure = loss_slice(steps=60, resolution=9)
    assert len(assert_texts_fit(figure)) > 30
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 11.5
    table = race_table(figure.axes[0])
    assert table.keys() == RATES.keys()
    losses = {name: float(loss.removeprefix("loss ")) for name, (_, loss) in table.items()}
    lowest = min(losses, key=losses.get)
    assert f"{lowest} ends lowest" in figure.axes[0].get_title()


def test_a_model_needs_data():
    with pytest.raises(TypeError, match="give both model and data"):
        loss_slice(dl.nn.Dense(1, 1))
