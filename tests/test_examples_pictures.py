"""The lessons on schedules and on the decision boundary run, and print and draw what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
PICTURES = "schedule.png", "shapes.png", "schedules.png"


def run(name, *arguments, cwd, **environment):
    """What `python examples/name` prints, in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *arguments],
        cwd=cwd,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


# --- schedules.py -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schedules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schedules")
    result = run("schedules.py", "--seeds", "1", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout, folder


def test_the_schedules_lesson_shows_rates_and_phases(schedules):
    stdout, _ = schedules
    pairs = re.findall(r"t = +(\d+) +rate ([\d.]+)", stdout)
    assert pairs[0] == ("0", "0.0300")
    assert pairs[2] == ("500", "0.0150")
    assert pairs[4] == ("1000", "0.0000")
    phases = re.findall(r"from step +(\d+) +(\S+) +rate ([\d.]+)", stdout)
    assert phases == [
        ("0", "warm-up", "0.0000"),
        ("100", "constant", "0.0300"),
        ("750", "cool-down", "0.0300"),
        ("1000", "end", "0.0000"),
    ]


def test_what_the_schedules_lesson_says_of_its_table_is_in_it(schedules):
    stdout, _ = schedules
    rows = re.findall(r"^(\S.*?)  +(0\.\d+) +(0\.\d+) +([\d.]+)%$", stdout, re.MULTILINE)
    losses = {name: float(loss) for name, loss, _, _ in rows}
    right = {name: float(percent) for name, _, _, percent in rows}
    falling = {name for name in losses if "decay" in name or "cool-down" in name}
    assert len(losses) == 7
    assert len(falling) == 4
    for name in falling:
        assert losses[name] < losses["constant, a tenth"] < losses["constant"] / 2, name
        assert right[name] > right["constant"], name
    assert 0.5 < losses["warm-up"] / losses["constant"] < 2


def test_the_schedules_lesson_draws_three_pictures_and_names_them(schedules):
    stdout, folder = schedules
    assert "The pictures are in schedule.png, shapes.png and schedules.png" in stdout
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            assert picture.width == 1000


# --- decision_boundary.py -----------------------------------------------------------------------


@pytest.fixture(scope="module", params=["moons", "spirals"])
def boundary(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("boundary")
    result = run("decision_boundary.py", "--data", request.param, "--frames", "9", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout, folder


def test_the_boundary_lesson_shows_that_a_line_is_not_enough_and_two_layers_are(boundary):
    stdout, _ = boundary
    (line,) = re.findall(r"([\d.]+)% of the points are on their side of it", stdout)
    rows = re.findall(r"^(none|[\d+ ]+?) +(\d+) +([\d.]+)% +([\d.]+)%$", stdout, re.MULTILINE)
    assert [units for units, *_ in rows] == ["none", "1", "2", "4", "8", "16", "16 + 16"]
    assert [int(size) for _, size, _, _ in rows] == [6, 7, 12, 22, 42, 82, 354]
    assert rows[0][2] == line
    assert float(line) < 90
    assert all(float(percent) > 98 for percent in rows[-1][2:])


def test_the_boundary_lesson_writes_the_animation_and_names_it(boundary):
    stdout, folder = boundary
    assert "The animation is in decision_boundary.gif" in stdout
    with Image.open(folder / "decision_boundary.gif") as gif:
        assert 6 <= gif.n_frames <= 9 + 12  # the last one is held
        assert gif.size == (640, 420)
    assert (folder / "decision_boundary.gif").stat().st_size < 300_000


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("schedules.py", ["--shapes", "no/such/x.png"], "--shapes: there is no folder no/such"),
        ("schedules.py", ["--plot", "no/such/x.png"], "--plot: there is no folder no/such"),
        ("schedules.py", ["--seeds", "0"], "--seeds must be at least 1"),
        ("decision_boundary.py", ["--data", "circles"], "invalid choice: 'circles'"),
        ("decision_boundary.py", ["--figure", "x.png"], "--figure must end in .gif, got x.png"),
        ("decision_boundary.py", ["--seed", "-1"], "--seed must be at least 0"),
        ("decision_boundary.py", ["--frames", "1"], "and --frames at least 2"),
    ],
)
def test_a_lesson_refuses_what_it_does_not_understand(name, arguments, message, tmp_path):
    result = run(name, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert not [*tmp_path.iterdir()]


def test_without_scikit_learn_the_schedules_lesson_says_what_to_install(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['sklearn'] = None\n")
    result = run("schedules.py", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "pip install 'minidl[examples]'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["schedules.py", "decision_boundary.py"])
def test_a_lesson_is_made_of_cells_that_begin_with_words(name):
    text = (EXAMPLES / name).read_text("utf-8")
    kinds = re.findall(r"^# %%(.*)$", text, re.MULTILINE)
    assert kinds[::2] == [" [markdown]"] * len(kinds[::2])
    assert set(kinds[1::2]) <= {"", " [markdown]"}
    assert len(kinds) >= 8
