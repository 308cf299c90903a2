"""The examples run as scripts, and print and draw what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, *arguments, cwd, **environment):
    """What `python examples/name` prints, in a folder of its own."""
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=cwd,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def without_matplotlib(folder):
    """An environment in which importing matplotlib fails as if it were not installed."""
    (folder / "sitecustomize.py").write_text("import sys; sys.modules['matplotlib'] = None\n")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regression")
    result = run("regression.py", cwd=folder)
    assert result.returncode == 0, result.stderr
    return result, folder


def test_regression_finds_the_articles_numbers_by_hand_and_with_minidl(regression):
    result, _ = regression
    for way in ("by hand", "minidl "):
        (line,) = (line for line in result.stdout.splitlines() if line.startswith(way))
        assert re.search(r"slope 1\.99437925\s+intercept 1\.2177417283305512$", line)
    (difference,) = re.findall(r"they differ by (\S+)", result.stdout)
    assert float(difference) < 1e-12


def test_regression_compares_every_rule_every_batch_size_and_three_rates(regression):
    from minidl import optim

    result, _ = regression
    rules = {name for name, thing in vars(optim).items() if _is_rule(optim, thing)}
    table = result.stdout.split("distance from the exact answer")[1].split("batch ")[0]
    rows = {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}
    assert set(rows) == rules
    assert all(row[2] == "1000" and float(row[-1]) < 0.05 for row in rows.values())
    for batch in ("all 100 points", "mini-batches of 16", "one point"):
        (line,) = (line for line in result.stdout.splitlines() if line.startswith(batch))
        assert float(line.split()[-1]) < 0.1
    assert re.search(r"too small .*1\.18", result.stdout)
    assert re.search(r"right .*0\.992", result.stdout)
    assert re.search(r"too large .*the loss became inf at epoch \d+", result.stdout)


def _is_rule(optim, thing):
    return (
        isinstance(thing, type) and issubclass(thing, optim.Optimizer) and hasattr(thing, "update")
    )


def test_regression_draws_one_figure_and_names_it(regression):
    result, folder = regression
    assert "The picture is in regression.png" in result.stdout
    assert (folder / "regression.png").read_bytes().startswith(b"\x89PNG")
    assert not result.stderr


def test_digits_reach_97_percent_and_draw_the_mistakes(tmp_path):
    result = run("digits.py", "--figure", "mistakes.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (percent,) = re.findall(r"([\d.]+) % are right", result.stdout)
    assert float(percent) >= 97
    table = result.stdout.split("the guess\n\n")[1].splitlines()[1:11]
    counts = [[int(c.replace("·", "0")) for c in row.split()] for row in table]
    right = sum(row[digit + 1] for digit, row in enumerate(counts))
    assert sum(sum(row[1:]) for row in counts) == 359
    assert right == round(359 * float(percent) / 100)
    assert (tmp_path / "mistakes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_without_matplotlib_an_example_says_what_to_install(name, tmp_path):
    arguments = ["--epochs", "1"] if name == "digits.py" else ["--seeds", "1"]
    result = run(name, *arguments, cwd=tmp_path, **without_matplotlib(tmp_path))
    assert "pip install 'minidl[viz]'" in result.stderr
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_an_example_has_help_and_refuses_what_it_does_not_know(name, tmp_path):
    assert "usage:" in run(name, "--help", cwd=tmp_path).stdout
    result = run(name, "--epocs", "3", cwd=tmp_path)
    assert result.returncode == 2
    assert "unrecognized arguments: --epocs" in result.stderr
    result = run(name, "--figure", "no/such/folder/x.png", cwd=tmp_path)
    assert result.returncode == 2
    assert "there is no folder" in result.stderr
