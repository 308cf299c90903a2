"""What the record of a race says about itself: the view, the description, the styles, the repr."""

import numpy as np
import pytest

from minidl.schedulers import Constant, CosineDecay
from minidl.viz import SURFACES, Surface, race, style
from minidl.viz._race.record import coordinates, counts


@pytest.mark.parametrize("surface", SURFACES)
def test_the_view_holds_the_minima_and_the_paths_inside_the_domain_with_a_margin(surface):
    result = race(surface, ["SGD", "Adam"], steps=60, lr=0.01)
    domain = (low, high) = np.transpose([result.surface.x, result.surface.y])
    left, right = np.transpose(result._view())
    points = np.concatenate([run.theta[:, 0] for run in result.runs] + [result.surface.minima])
    points = points[((low <= points) & (points <= high)).all(1)]
    margin = 0.15 * np.ptp(points, axis=0)
    assert (left <= np.maximum(points.min(0) - margin, low)).all()
    assert (right >= np.minimum(points.max(0) + margin, high)).all()
    assert (left >= domain[0]).all()
    assert (right <= domain[1]).all()


def test_a_view_is_not_narrow_if_the_domain_allows_it():
    (left, right), (bottom, top) = race("plateau", "SGD", start=(-4, 0), steps=5)._view()
    assert (right - left) * 0.7 < top - bottom < right - left
    (left, right), (bottom, top) = race("bowl", "SGD", start=(0, 0), steps=5)._view()
    assert right - left == top - bottom > 0  # of a point


def test_the_view_is_of_one_start():
    result = race("himmelblau", "SGD", start=[(0, 0), (-4.9, 4.9)], steps=5)
    assert result._view(1)[0][0] < result._view(0)[0][0]


def test_the_description_is_of_all_starts_or_of_one():
    result = race("bowl", "SGD", start=[(1, 1), (2, 2)], steps=1, noise=0.5)
    assert result._description() == [
        "1 step from 2 starts",
        "goal: within 0.08 of (0, 0)",
        "noise: 0.5 in each entry of each gradient",
    ]
    assert result._description(1)[0] == "1 step from (2, 2), start 2 of 2"
    assert race("bowl", "SGD", start=(1, 1), steps=2)._description()[0] == "2 steps from (1, 1)"


def test_the_repr_has_each_verdict():
    result = race("two-wells", {"a": "SGD", "b": "Momentum"}, lr=0.05)
    assert repr(result) == "Race(two-wells, 400 steps, a: local minimum, b: global minimum)"
    result = race("two-wells", "SGD", lr=0.05, start=[(1.8, 1), (-1.2, 0), (-1, 1)])
    assert repr(result) == "Race(two-wells, 400 steps, SGD: 2 global minimum, 1 local minimum)"


def test_a_description_lists_four_minima_and_counts_the_others():
    points = [(x, y) for x in (-1, 0, 1) for y in (-1, 1)]
    surface = Surface(lambda x, y: 0 * (x + y), minima=points)
    assert race(surface, "SGD", steps=1)._description()[1] == (
        "goal: within 0.04 of (−1, −1) or (−1, 1) or (0, −1) or (0, 1) or 2 more points"
    )


def test_the_styles_are_those_of_the_labels():
    result = race("bowl", {"mine": "SGD", "Adam": "SGD"}, steps=1)
    assert result._styles() == style.run_styles(["mine", "Adam"])


@pytest.mark.parametrize(
    ("lr", "rate"),
    [(0.25, "0.25"), (Constant(0.5), "0.5"), (CosineDecay(0.1, 9), "CosineDecay")],
)
def test_a_rate_is_a_number_or_the_name_of_its_schedule(lr, rate):
    (run,) = race("bowl", "SGD", lr=lr, steps=1).runs
    assert run.rate == rate
    assert run.schedule == (lr if isinstance(lr, CosineDecay) else None)


def test_points_and_counts_are_short_text():
    assert coordinates(np.array([-0.5, 2.0])) == "(−0.5, 2)"
    assert counts(["b", "a", "a"]) == "2 a, 1 b"
