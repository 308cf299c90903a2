"""The animation of the decision boundary, by the data in its artists and in its files."""

import matplotlib as mpl
import numpy as np
import pytest
from drawn import assert_texts_fit
from matplotlib import pyplot
from matplotlib.animation import FuncAnimation
from PIL import Image

import minidl as dl
from minidl.viz import film as films
from minidl.viz.figures.boundary import CLASS_STYLES, decision_boundary, moons, spirals, tint


class Film:
    """An animation, and the artists that its frames change."""

    def __init__(self, *arguments, **options):
        self.animation = decision_boundary(*arguments, **options)
        self.figure = self.animation._fig
        self.plane, self.loss = self.figure.axes
        self.frames = [*self.animation.new_frame_seq()]
        self.animation._init_draw()

    def show(self, k):
        self.animation._draw_frame(k)
        self.step = int(self.title.split()[1])

    @property
    def title(self):
        return self.plane.get_title(loc="left")

    @property
    def image(self):
        return self.plane.get_images()[0].get_array()

    @property
    def points(self):
        return self.plane.collections[1:]

    @property
    def line(self):
        return self.plane.collections[0].get_segments()

    def grid(self):
        left, right, bottom, top = self.plane.get_images()[0].get_extent()
        rows, columns, _ = self.image.shape
        return np.linspace(left, right, columns), np.linspace(bottom, top, rows)


def network(x, y, steps, at, hidden=(16, 16), seed=0, rule=dl.optim.Adam, lr=0.02):
    """The same training, written out: losses, the accuracy, and probabilities at points."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    model = dl.nn.MLP([2, *hidden, y.max() + 1], "tanh", rng=seed)
    optimizer = rule(model, lr=lr)
    x = (x - mean) / deviation
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = dl.losses.cross_entropy(model(x), y)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    losses.append(dl.losses.cross_entropy(model(x), y).item())
    right = np.mean(model(x).numpy().argmax(axis=1) == y)
    return losses, right, dl.softmax(model((at - mean) / deviation)).numpy()


SMALL = {"resolution": 24, "frames": 12, "steps": 60}


# --- the points ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 7, 200])
def test_moons_without_noise_lie_on_two_half_circles(n):
    x, y = moons(n, noise=0)
    assert np.bincount(y).tolist() == [n - n // 2, n // 2]
    upper, lower = x[y == 0], x[y == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1)
    assert upper[:, 1].min() >= 0
    assert lower[:, 1].max() <= 0.5


@pytest.mark.parametrize("arms", [2, 3, 4])
def test_arms_of_a_spiral_are_turned_against_each_other(arms):
    x, y = spirals(60 * arms, noise=0, arms=arms, turns=2)
    assert np.bincount(y).tolist() == [60] * arms
    radius = np.hypot(*x.T)
    assert np.all(np.diff(radius) > 0)
    assert radius[-1] == pytest.approx(1)
    angle = np.arctan2(x[:, 1], x[:, 0]) - 2 * np.pi * (2 * radius + y / arms)
    np.testing.assert_allclose(np.sin(angle), 0, atol=1e-9)
    np.testing.assert_allclose(np.cos(angle), 1)


@pytest.mark.parametrize("shape", [moons, spirals])
def test_noise_has_the_size_it_is_given_and_comes_from_the_seed(shape):
    exact, y = shape(4000, noise=0)
    noisy, same = shape(4000, noise=0.2, rng=1)
    np.testing.assert_array_equal(y, same)
    assert (noisy - exact).std() == pytest.approx(0.2, rel=0.05)
    np.testing.assert_array_equal(noisy, shape(4000, 0.2, np.random.default_rng(1))[0])


@pytest.mark.parametrize(
    ("shape", "arguments", "error", "message"),
    [
        (moons, {"n": 1}, ValueError, "moons: n must be a whole number ≥ 2"),
        (moons, {"noise": -1}, ValueError, "moons: noise must be a finite number ≥ 0"),
        (spirals, {"n": 2, "arms": 3}, ValueError, "spirals: n must be a whole number ≥ 3"),
        (spirals, {"arms": 1}, ValueError, "spirals: arms must be a whole number ≥ 2"),
        (spirals, {"turns": 0}, ValueError, "spirals: turns must be a finite number > 0"),
        (spirals, {"noise": "much"}, TypeError, "spirals: noise must be a finite number"),
    ],
)
def test_invalid_arguments_of_the_points_raise(shape, arguments, error, message):
    with pytest.raises(error, match=message):
        shape(**arguments)


# --- the frames ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "points"),
    [
        ("moons", moons(rng=0)),
        ("spirals", spirals(rng=0)),
        (spirals(90, rng=2, arms=3), spirals(90, rng=2, arms=3)),
    ],
    ids=["moons", "spirals", "three arms"],
)
def test_each_frame_shows_the_probabilities_of_an_independent_training(data, points):
    x, y = points
    film = Film(data, **SMALL)
    at = np.stack(np.meshgrid(*film.grid()), axis=-1).reshape(-1, 2)
    for k in (0, 3, film.frames[-1]):
        film.show(k)
        losses, right, probabilities = network(x, y, film.step, at)
        expected = tint(probabilities).reshape(film.image.shape)
        assert np.mean(np.abs(film.image - expected) > 1e-6) < 0.01  # but for the last bits
        curve, dot = film.loss.get_lines()
        np.testing.assert_allclose(curve.get_ydata(), losses, rtol=1e-4)
        assert curve.get_xdata().tolist() == list(range(film.step + 1))
        assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (film.step, pytest.approx(losses[-1]))
        assert f"loss {losses[-1]:.3f}" in film.title
        assert f"{right:.0%} of the points right" in film.title


@pytest.mark.parametrize("arms", [2, 3])
def test_on_the_line_the_two_most_likely_classes_are_equally_likely(arms):
    x, y = spirals(90, rng=0, arms=arms)
    film = Film((x, y), resolution=80, frames=5, steps=40)
    film.show(film.frames[-1])
    at = np.concatenate(film.line)
    assert len(at) > 20
    probabilities = np.sort(network(x, y, 40, at)[2], axis=1)
    np.testing.assert_allclose(probabilities[:, -1], probabilities[:, -2], atol=0.05)


def test_without_a_hidden_layer_the_line_is_straight():
    film = Film("moons", hidden=(), resolution=40, frames=3, steps=30)
    film.show(film.frames[-1])
    (line,) = film.line
    (*_, residual) = np.linalg.lstsq(np.c_[line[:, 0], np.ones(len(line))], line[:, 1])[1]
    assert residual < 1e-6


def test_a_network_that_predicts_one_class_everywhere_has_no_line(rng):
    x, y = rng.standard_normal((100, 2)), np.array([1] + [0] * 99)
    film = Film((x, y), hidden=(), lr=0.1, resolution=10, frames=3, steps=100)
    film.show(film.frames[-1])
    assert film.line == []
    assert "99% of the points right" in film.title


def test_the_points_are_drawn_in_the_colours_and_markers_of_their_classes():
    x, y = spirals(80, rng=0, arms=4)
    film = Film((x, y), **SMALL)
    assert len(film.points) == 4
    for k, points in enumerate(film.points):
        np.testing.assert_allclose(points.get_offsets(), x[y == k])
        assert mpl.colors.to_hex(points.get_facecolor()[0]).upper() == CLASS_STYLES[k][0].upper()
    shapes = {points.get_paths()[0].vertices.tobytes() for points in film.points}
    assert len(shapes) == 4
    left, right, bottom, top = film.plane.get_images()[0].get_extent()
    assert left < x[:, 0].min() < x[:, 0].max() < right
    assert bottom < x[:, 1].min() < x[:, 1].max() < top


def test_frames_are_closer_together_at_the_beginning():
    film = Film("moons", resolution=4, frames=20, steps=200)
    steps = []
    for k in film.frames:
        film.show(k)
        steps.append(film.step)
    assert steps[0] == 0
    assert steps[-1] == 200
    gaps = np.diff(steps)
    assert gaps[0] == 1
    assert np.all(np.diff(gaps) >= -1)
    assert gaps[-1] > 20
    assert 10 <= len(gaps) + 1 <= 20


def test_the_boundary_grows_until_it_fits_the_spirals():
    film = Film("spirals", resolution=60)
    lengths = []
    for k in (0, film.frames[-1]):
        film.show(k)
        lengths.append(sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in film.line))
    assert "100% of the points right" in film.title
    assert lengths[1] > 2 * lengths[0]


def test_settings_reach_the_training():
    x, y = moons(60, rng=3)
    film = Film((x, y), hidden=(5,), optimizer=dl.optim.SGD, lr=0.3, seed=7, **SMALL)
    film.show(film.frames[-1])
    losses, _, _ = network(x, y, 60, x, hidden=(5,), seed=7, rule=dl.optim.SGD, lr=0.3)
    np.testing.assert_allclose(film.loss.get_lines()[0].get_ydata(), losses, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_the_scale_of_the_points_does_not_matter(scale):
    x, y = moons(rng=0)
    plain, scaled = Film("moons", **SMALL), Film((x * scale + scale, y), **SMALL)
    for film in plain, scaled:
        film.show(film.frames[-1])
    assert plain.title == scaled.title


# --- tints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_a_tint_is_white_if_undecided_and_of_the_colour_of_a_certain_class(classes):
    np.testing.assert_allclose(tint(np.full(classes, 1 / classes)), 1)
    for k, (colour, _) in enumerate(CLASS_STYLES[:classes]):
        ink = 1 - np.array(mpl.colors.to_rgb(colour))
        missing = 1 - tint(np.eye(classes)[k])
        np.testing.assert_allclose(missing / np.linalg.norm(missing), ink / np.linalg.norm(ink))


def test_tints_are_few_and_darker_where_the_network_is_more_certain():
    p = np.linspace(0.5, 1, 101)
    colours = tint(np.stack([p, 1 - p], axis=1))
    assert len(np.unique(colours, axis=0)) <= 8
    assert np.all(np.diff(colours.sum(axis=1)) <= 0)


# --- files --------------------------------------------------------------------------------------


def test_a_gif_has_the_frames_and_the_size_rests_on_the_last_and_is_small(tmp_path):
    film = Film("moons", frames=8, fps=8)
    films.save(film.animation, tmp_path / "moons.gif")
    with Image.open(tmp_path / "moons.gif") as gif:
        durations = []
        for k in range(gif.n_frames):
            gif.seek(k)
            durations.append(gif.info["duration"])
        assert gif.n_frames == len(film.frames)
        assert gif.size == (800, 448)
        assert gif.info["loop"] == 0
    *others, last = durations
    assert others == pytest.approx([125] * len(others), abs=5)
    assert last == 4000
    assert (tmp_path / "moons.gif").stat().st_size < 250_000


def test_no_texts_overlap_or_leave_the_picture_in_any_frame():
    film = Film("spirals", resolution=4)
    for k in (0, film.frames[-1]):
        film.show(k)
        texts = assert_texts_fit(film.figure)
        assert len(texts) > 15
        assert min(text.get_fontsize() for text in texts) >= 13


# --- errors -------------------------------------------------------------------------------------

X, Y = moons(20, rng=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"data": "circles"}, ValueError, "data must be one of 'moons', 'spirals'"),
        ({"data": X}, TypeError, r"or a pair \(x, y\), got ndarray"),
        ({"data": (X, Y[:-1])}, ValueError, r"got \(20, 2\) and \(19,\)"),
        ({"data": (X[:, :1], Y)}, ValueError, r"x of shape \(n, 2\)"),
        ({"data": (X * np.nan, Y)}, ValueError, "x must be finite, and not constant"),
        ({"data": (X * [1, 0], Y)}, ValueError, "not constant in a column"),
        ({"data": (X, Y + 1)}, ValueError, "y must be whole numbers"),
        ({"data": (X, Y * 1.0)}, ValueError, "y must be whole numbers, two"),
        ({"data": (X, np.arange(20) % 5)}, ValueError, "two to four classes counted from 0"),
        ({"data": (X, Y * 0)}, ValueError, "y must be whole numbers"),
        ({"steps": 0}, ValueError, "steps must be a whole number ≥ 1"),
        ({"frames": 1}, ValueError, "frames must be a whole number ≥ 2"),
        ({"fps": 0}, ValueError, "fps must be a finite number > 0"),
        ({"resolution": 1.5}, TypeError, "resolution must be a whole number"),
        ({"optimizer": "Adam"}, TypeError, r"such as dl\.optim\.Adam, got 'Adam'"),
        ({"activation": "cubic"}, ValueError, "activation must be one of"),
        ({"lr": -1}, ValueError, "lr"),
    ],
)
def test_invalid_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        decision_boundary(**arguments)
    assert not pyplot.get_fignums()


def test_it_is_an_animation_and_leaves_the_settings_of_matplotlib_alone():
    before = dict(mpl.rcParams)
    film = Film("moons", **SMALL)
    assert isinstance(film.animation, FuncAnimation)
    assert dict(mpl.rcParams) == before
