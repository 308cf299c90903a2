"""The command line: what it prints and writes, the same as ever, and how it refuses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_optim import RULES

from minidl import nn
from minidl.__main__ import LOSSES, lesson, main

GOLDEN = Path(__file__).parent / "golden"
KEPT = {  # python tests/test_main.py writes them anew
    "walkthrough.txt": [],
    "walkthrough_classes.txt": [
        *("--layers", "2", "3", "2", "--activation", "relu", "--loss", "cross_entropy"),
        *("--optimizer", "NAG", "--seed", "1"),
    ],
    "walkthrough.md": ["--optimizer", "SGD"],
}


def written(name, options, folder):
    """What `python -m minidl walkthrough` writes into a file of that name."""
    main(["walkthrough", *options, "--out", str(folder / name)])
    return (folder / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", KEPT)
def test_the_walkthrough_is_told_in_the_same_words_and_numbers_as_ever(name, tmp_path):
    assert written(name, KEPT[name], tmp_path) == (GOLDEN / name).read_text(encoding="utf-8")


def test_without_a_file_the_text_is_printed(capsys):
    main(["walkthrough"])
    assert capsys.readouterr().out == (GOLDEN / "walkthrough.txt").read_text("utf-8") + "\n"


@pytest.mark.parametrize("suffix", ["html", "svg", "md", "txt"])
def test_a_file_is_written_and_named(suffix, tmp_path, capsys):
    path = tmp_path / f"walk.{suffix}"
    assert main(["walkthrough", "--out", str(path)]) == 0
    assert path.stat().st_size > 1000
    assert str(path) in capsys.readouterr().out


def test_it_runs_as_a_module(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "minidl", "walkthrough", "--out", "walk.html"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert (tmp_path / "walk.html").exists()


def run_anywhere(command, folder, **environment):
    """What a shell command prints, in an environment of its own."""
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_it_prints_formulas_whatever_the_terminal_can(encoding, tmp_path):
    command = f'"{sys.executable}" -m minidl walkthrough'
    run = run_anywhere(command, tmp_path, PYTHONIOENCODING=encoding)
    assert (run.returncode, run.stderr) == (0, "")
    assert "y = tanh x" in run.stdout
    assert "∂x = g (1 − y²)" in run.stdout


def test_it_works_without_docstrings(tmp_path):
    run = run_anywhere(f'"{sys.executable}" -OO -m minidl walkthrough', tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert "m̂ = m / (1 − β₁ᵗ)" in run.stdout


def test_who_reads_but_the_beginning_sees_no_error(tmp_path):
    command = f'"{sys.executable}" -m minidl walkthrough --layers 9 9 9 9 | head -1'
    run = run_anywhere(command, tmp_path)
    assert run.stderr == ""
    assert run.stdout.startswith("FORWARD")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", nn.ACTIVATIONS)
def test_any_activation_and_loss_can_be_walked_through(activation, loss):
    walk = lesson(layers=[3, 2, 2], activation=activation, loss=loss, seed=1)
    assert len(walk.ops) == 4
    assert walk.ops[1].function.__name__ == activation
    before, after = walk.loss()
    assert after < before
    (backward,) = walk.backwards
    assert max(checked.relative for checked in walk.check(backward)) < 1e-6


@pytest.mark.parametrize("rule", RULES)
def test_any_rule_can_be_walked_through(rule):
    walk = lesson(optimizer=rule, lr=0.01)
    assert {update.rule.__name__ for update in walk.updates} == {rule}
    for update in walk.updates:
        assert (update.after != update.before).any()


def test_seeds_give_other_numbers_and_the_same_seed_the_same():
    assert str(lesson(seed=3)) == str(lesson(seed=3)) != str(lesson(seed=4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layers", "2"], "sizes must be a list"),
        (["--layers", "2", "0"], "out_features must be a whole number ≥ 1"),
        (["--lr", "-1"], "lr must be a finite number ≥ 0"),
        (["--loss", "cross_entropy"], "cross_entropy needs two outputs"),
        (["--lr", "much"], "invalid float value: 'much'"),
        (["--seed", "-1"], "non-negative"),
        (["--optimizer", "adam"], "invalid choice: 'adam' (choose from"),
        (["--activation", "step"], "invalid choice: 'step' (choose from"),
        (["--out", "walk.pdf"], "must end in .html, .md, .txt, .svg"),
        (["--out", "no/such/folder/walk.html"], "can't be written"),
        (["--colour", "red"], "unrecognized arguments: --colour"),
    ],
)
def test_what_can_not_be_is_refused_in_a_line(options, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["walkthrough", *options])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit):
        main(["walkthrough", "--help"])
    assert "python -m minidl walkthrough --layers 2 3 2" in capsys.readouterr().out


if __name__ == "__main__":
    for kept, chosen in KEPT.items():
        written(kept, chosen, GOLDEN)
