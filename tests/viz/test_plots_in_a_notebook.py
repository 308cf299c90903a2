"""What a notebook shows that never wrote %matplotlib inline, in a real kernel."""

import re

import pytest

IMAGE, GRAPH, PAGE = "image/png", "image/svg+xml", "text/html"
WIDGET = "application/vnd.jupyter.widget-view+json"
# name → (the source of a cell, the kinds of output that it must have, each exactly once)
CELLS = {
    "a schedule": ("import minidl as dl; dl.schedulers.Constant(0.1).plot(9);", [IMAGE]),
    "the user's first plot": ("import matplotlib.pyplot as plt; plt.plot([1, 2]);", [IMAGE]),
    "a training": (
        "model = dl.nn.Dense(1, 1); optimizer = dl.optim.SGD(model)\n"
        "data = [[0.0], [1.0]], [[0.0], [2.0]]\n"
        "history = dl.fit(model, dl.losses.mse, optimizer, data, epochs=3, progress=False)\n"
        "axes = history.plot()",
        [IMAGE],
    ),
    "a race's page": ("race = dl.viz.race('bowl', ['SGD'], steps=9)\nrace", [PAGE]),
    "a race's picture": ("race.plot();", [IMAGE]),
    "a race's file": ("race.plot('race.png');", []),
    "a film": ("film = race.animate('race.gif', frames=2)", []),
    "a picture of the gallery": ("dl.viz.figures.landscape()", [IMAGE]),
    "a picture that is not shown": ("picture = dl.viz.figures.landscape()", []),
    "two plots": ("race.plot(); history.plot();", [IMAGE, IMAGE]),
    "a walkthrough": (
        "w = dl.Tensor([1.0], requires_grad=True)\n"
        "with dl.trace() as walk:\n    (w * w).sum().backward()\nwalk",
        [PAGE],
    ),
    "the graph of a tensor": ("w * w", [GRAPH]),
    "a schedule itself": ("dl.schedulers.CosineDecay(0.1, 100)", [GRAPH]),
    "a model": ("dl.nn.MLP([2, 3, 1])", [GRAPH]),
    "a recorded training": (
        "recorder = dl.viz.Recorder()\n"
        "dl.fit(model, dl.losses.mse, optimizer, data, epochs=3, progress=False, record=recorder)\n"
        "recorder",
        [PAGE],
    ),
    "a playground": ("dl.viz.playground()", [WIDGET]),
    "the user's later plot": ("plt.plot([1, 2]); plt.title('mine');", [IMAGE]),
    "what is left": ("(plt.get_fignums(), plt.isinteractive(), plt.get_backend())", []),
}


@pytest.fixture(scope="module")
def outputs(run_notebook):
    """The outputs of all cells, of one kernel."""
    return dict(zip(CELLS, run_notebook(*(source for source, _ in CELLS.values())), strict=True))


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_shows_each_picture_and_page_exactly_once(name, outputs):
    kinds = [kind for data in outputs[name] for kind in data if kind != "text/plain"]
    assert sorted(kinds) == sorted(CELLS[name][1])


def test_no_figure_is_left_and_the_backend_is_that_of_notebooks(outputs):
    (data,) = outputs["what is left"]
    assert re.fullmatch(r"\(\[\], True, '.*inline'\)", data["text/plain"])
