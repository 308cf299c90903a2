"""The command line: what it prints and writes, and how it refuses wrong arguments."""

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from cases import RULES

import minidl as dl
from minidl import nn, viz
from minidl.__main__ import EXAMPLES, LOSSES, SURFACES, lesson, main
from minidl.distributed import launch
from minidl.schedulers import Constant, CosineDecay, WarmUp, warmup_stable_decay
from minidl.viz._race.racing import ARTICLE

mpl.use("Agg")
from matplotlib import pyplot

from minidl.viz import figures, plots
from minidl.viz._playground import live
from minidl.viz._race import racing

GOLDEN = Path(__file__).parent / "golden"
WALKTHROUGHS = {  # python tests/test_main.py rewrites them
    "walkthrough.txt": [],
    "walkthrough_classes.txt": [
        *("--layers", "2", "3", "2", "--activation", "relu", "--loss", "cross_entropy"),
        *("--optimizer", "NAG", "--seed", "1"),
    ],
    "walkthrough.md": ["--optimizer", "SGD"],
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    pyplot.close("all")


def written(name, options, folder):
    """What `python -m minidl walkthrough` writes into a file of that name."""
    main(["walkthrough", *options, "--out", str(folder / name)])
    return (folder / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WALKTHROUGHS)
def test_the_walkthrough_is_the_same_as_in_the_golden_files(name, tmp_path):
    assert written(name, WALKTHROUGHS[name], tmp_path) == (GOLDEN / name).read_text(
        encoding="utf-8"
    )


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


def test_it_spells_formulas_and_errors_as_the_terminal_can_show_them(tmp_path):
    python = f'"{sys.executable}" -m minidl'
    run = run_anywhere(f"{python} walkthrough", tmp_path, PYTHONIOENCODING="ascii")
    assert (run.returncode, run.stderr) == (0, "")
    assert "y = tanh x" in run.stdout
    assert "dx = g (1 - y^2)" in run.stdout
    run = run_anywhere(f"{python} walkthrough --seed -1", tmp_path, PYTHONIOENCODING="cp1252")
    assert run.stderr.endswith("--seed must be a whole number >= 0, got -1\n")


def test_a_saved_walkthrough_is_unicode_whatever_the_terminal(tmp_path, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    for name in ("walkthrough.txt", "walkthrough.md"):
        text = written(name, WALKTHROUGHS[name], tmp_path)
        assert text == (GOLDEN / name).read_text("utf-8")
    assert main(["schedule", "0.1", "--steps", "1"]) == 0
    lines = console.buffer.getvalue().decode().splitlines()
    assert [line.split() for line in lines[-2:]] == [
        ["step", "t", "rate", "eta", "phase"],
        ["0", "0.1", "constant"],
    ]


def test_it_works_without_docstrings(tmp_path):
    run = run_anywhere(f'"{sys.executable}" -OO -m minidl walkthrough', tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert "m̂ = m / (1 − β₁ᵗ)" in run.stdout


def test_a_reader_that_closes_the_pipe_early_sees_no_error(tmp_path):
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
    for checked in walk.check(backward):  # gradients of mae may cancel to exactly 0
        assert checked.relative < 1e-6 or abs(checked.backward - checked.difference) < 1e-10


@pytest.mark.parametrize("rule", RULES)
def test_any_rule_can_be_walked_through(rule):
    walk = lesson(optimizer=rule, lr=0.01)
    assert {update.rule.__name__ for update in walk.updates} == {rule}
    for update in walk.updates:
        assert (update.after != update.before).any()


def test_seeds_give_other_numbers_and_the_same_seed_the_same():
    assert str(lesson(seed=3)) == str(lesson(seed=3)) != str(lesson(seed=4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "2"], "walkthrough: --layers must be two numbers or more"),
        (["--layers", "2", "0"], "each number of --layers must be a whole number ≥ 1, got 0"),
        (["--lr", "-1"], "walkthrough: --lr must be a finite number ≥ 0, got -1"),
        (["--lr", "nan"], "--lr must be a finite number ≥ 0, got nan"),
        (["--loss", "cross_entropy"], "cross_entropy needs two outputs"),
        (["--lr", "much"], "invalid float value: 'much'"),
        (["--seed", "-1"], "walkthrough: --seed must be a whole number ≥ 0, got -1"),
        (["--optimizer", "adm"], "'Lion'). Did you mean 'Adam'?"),
        (["--activation", "swish"], "Did you mean 'silu'?"),
        (["--loss", "MSELoss"], "Did you mean 'mse'?"),
        (["--activation", "step"], "invalid choice: 'step' (choose from"),
        (["--out", "walk.pdf"], "walkthrough --out: the name must end in .html, .md, .txt, .svg"),
        (
            ["--out", "no/such/folder/walk.html"],
            "walkthrough --out: 'no/such/folder/walk.html' can't be",
        ),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--learning-rate", "1"], "--learning-rate 1. Did you mean '--lr'?"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["walkthrough", *options])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit):
        main(["walkthrough", "--help"])
    assert "python -m minidl walkthrough --layers 2 3 2" in capsys.readouterr().out


# --- race, schedule, figures --------------------------------------------------------------------


def printed(command, capsys):
    """What a command prints, word for word."""
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(command, capsys):
    """The error message of a command that is refused: one line, and no other output."""
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "surface", "optimizers", "options"),
    [
        ([], "beale", ARTICLE, {}),
        (["--steps", "30"], "beale", ARTICLE, {"steps": 30}),
        (["--surface", "saddle", "--optimizers", "sgd", "Lion"], "saddle", ["SGD", "Lion"], {}),
        (["--surface", "two_wells", "--lr", "0.04"], "two-wells", ARTICLE, {"lr": 0.04}),
        (
            ["--start", "-2", "1.5", "--steps", "9"],
            "beale",
            ARTICLE,
            {"start": (-2, 1.5), "steps": 9},
        ),
        (
            ["--starts", "3", "--seed", "7", "--steps", "9"],
            "beale",
            ARTICLE,
            {"start": 3, "rng": 7, "steps": 9},
        ),
        (
            ["--noise", "0.5", "--seed", "2", "--steps", "9"],
            "beale",
            ARTICLE,
            {"noise": 0.5, "rng": 2, "steps": 9},
        ),
        (["--tune", "--budget", "4"], "beale", ARTICLE, {"tune": True, "budget": 4}),
        (["--budget", "4"], "beale", ARTICLE, {"tune": True, "budget": 4}),
        (["--no-tune"], "beale", ARTICLE, {"tune": False}),
        (
            ["--lr", "WarmUp(CosineDecay(0.5, 90), 10)", "--steps", "99"],
            "beale",
            ARTICLE,
            {"lr": WarmUp(CosineDecay(0.5, 90), 10), "steps": 99},
        ),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) and given != ARTICLE else None,
)
def test_a_race_prints_the_table_of_the_same_race_in_python(
    arguments, surface, optimizers, options, capsys
):
    raced = viz.race(surface, optimizers, **options)
    expected = raced.table().replace("tune=True", "--tune")
    assert printed(["race", *arguments], capsys) == f"{expected}\n"


def test_errors_of_a_race_speak_the_language_of_the_shell(capsys):
    for options in ["--surface", "beal"], ["--start", "9", "9"], ["--optimizers", "SGD", "sgd"]:
        with pytest.raises(SystemExit):
            main(["race", *options])
        message = capsys.readouterr().err
        assert "python -m minidl: error: " in message
        assert not any(word in message for word in ("tensors", "dict", "Surface"))


@pytest.mark.parametrize(
    "arguments",
    [["walkthrough", "--out"], ["race", "--png"], ["race", "--html"], ["schedule", "0.1", "--png"]],
)
def test_an_empty_name_of_a_file_is_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        main([*arguments, ""])
    assert "the name must end in" in capsys.readouterr().err


def test_the_same_race_is_printed_the_same_and_another_seed_gives_another(capsys):
    seeds = [
        printed(["race", "--starts", "2", "--steps", "20", "--seed", seed], capsys)
        for seed in ("1", "1", "2")
    ]
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize(
    ("option", "name", "begin"),
    [
        ("--html", "race.html", b"<!doctype html>"),
        ("--png", "race.png", b"\x89PNG"),
        ("--png", "race.svg", b"<?xml"),
        ("--png", "race.pdf", b"%PDF"),
        ("--gif", "race.gif", b"GIF89a"),
    ],
)
def test_a_race_writes_the_files_of_its_options_and_names_them(
    option, name, begin, tmp_path, capsys
):
    path = tmp_path / name
    command = ["race", "--surface", "bowl", "--optimizers", "SGD", "--steps", "2"]
    out = printed([*command, option, str(path)], capsys)
    assert out == f"{viz.race('bowl', ['SGD'], steps=2).table()}\nwrote {path}\n"
    assert path.read_bytes()[: len(begin)].lower() == begin.lower()
    assert list(tmp_path.iterdir()) == [path]


def test_a_race_writes_several_files_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = ["--html", "r.html", "--png", "r.png", "--gif", "r.gif"]
    out = printed(["race", "--optimizers", "SGD", "Adam", "--steps", "2", *files], capsys)
    assert out.splitlines()[-3:] == ["wrote r.html", "wrote r.png", "wrote r.gif"]
    assert {path.name for path in tmp_path.iterdir()} == {"r.html", "r.png", "r.gif"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--surface", "beal"], "there is no surface 'beal'. Did you mean 'beale'?"),
        (["--optimizers", "Adam", "Adamw2"], "no optimizer 'Adamw2'. Did you mean 'AdamW'?"),
        (["--optimizers"], "expected at least one argument"),
        (["--optimizers", "SGD", "sgd"], "two optimizers are called 'SGD'"),
        (["--steps", "0"], "race: --steps must be a whole number ≥ 1, got 0"),
        (["--steps", "many"], "invalid int value: 'many'"),
        (["--start", "9", "9"], "race: --start (9, 9) is outside the domain of beale"),
        (["--start", "1"], "expected 2 arguments"),
        (["--start", "nan", "0"], "outside the domain"),
        (["--starts", "0"], "race: --starts must be a whole number ≥ 1, got 0"),
        (["--start", "1", "1", "--starts", "3"], "not allowed with argument"),
        (["--lr", "0.1", "--tune"], "not allowed with argument"),
        (["--lr", "much"], "'much' can't be part of a schedule"),
        (["--lr", "Cosine(0.1, 9)"], "there is no schedule 'Cosine'. Did you mean"),
        (["--lr", "__import__('os').mkdir('made')"], "can't be part of a schedule"),
        (["--lr", "ReduceOnPlateau(0.1)"], "ReduceOnPlateau, which needs a metric"),
        (["--lr", "True"], "must be a schedule or a number"),
        (["--tune", "--budget", "0"], "race: --budget must be a whole number ≥ 2, got 0"),
        (["--lr", "1", "--budget", "9"], "--budget is how many rates are tried, so it excludes"),
        (["--no-tune", "--budget", "9"], "so it excludes --lr and --no-tune"),
        (["--lr", "-1"], "race: --lr must be a finite number ≥ 0, got -1"),
        (["--noise", "nan"], "race: --noise must be a finite number ≥ 0, got nan"),
        (["--optimisers", "Adam"], "--optimisers Adam. Did you mean '--optimizers'?"),
        (["--noise", "-1"], "race: --noise must be a finite number ≥ 0, got -1"),
        (["--seed", "-1"], "race: --seed must be a whole number ≥ 0, got -1"),
        (["--png", "race.gif"], "race --png: the name must end in .png, .svg, .pdf"),
        (["--gif", "race.png"], "must end in .gif, .mp4"),
        (["--html", "race.txt"], "must end in .html"),
        (["--html", "race.html", "--png", "race.txt"], "must end in .png"),
        (["--png", "race.png", "--gif", "race.txt"], "must end in .gif"),
        (["--html", "no/race.html"], "'no/race.html' can't be written (there is no folder 'no')"),
        (["--png", "race.png", "--gif", "no/race.gif"], "there is no folder 'no'"),
        (["--png", "."], "."),
        (["--port", "80"], "race: --port and --no-browser are options of --serve; add --serve"),
        (["--no-browser"], "race: --port and --no-browser are options of --serve; add --serve"),
        (["--serve", "--starts", "3"], "race: --serve shows one start; give it by --start"),
        (["--serve", "--port", "-1"], "race: --port must be a whole number ≥ 0, got -1"),
        (["--serve", "--port", "70000"], "race: --port must be at most 65535, got 70000"),
        (["--colour", "red"], "unrecognized arguments: --colour"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else None,
)
def test_wrong_options_of_a_race_are_refused_in_one_line(
    options, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    line = refused(["race", *options], capsys)
    assert message in line
    assert line.startswith("python -m minidl")
    assert list(tmp_path.iterdir()) == []


def test_the_playground_is_served_on_its_port(monkeypatch):
    served = []
    monkeypatch.setattr(live, "serve", lambda *options: served.append(options))
    assert main(["playground"]) == main(["playground", "--port", "8000", "--no-browser"]) == 0
    assert served == [(0, True), (8000, False)]
    with pytest.raises(SystemExit):
        main(["playground", "--port", "70000"])
    assert len(served) == 2


@pytest.mark.parametrize(
    ("options", "served"),
    [
        ([], {"port": 0, "browser": True}),
        (["--port", "8765", "--no-browser"], {"port": 8765, "browser": False}),
    ],
)
def test_a_race_is_served_after_its_table_is_printed(options, served, capsys, monkeypatch):
    monkeypatch.setattr(racing.Race, "serve", lambda race, **given: print(race, given))
    command = ["race", "--surface", "bowl", "--optimizers", "SGD", "--steps", "2", "--serve"]
    raced = viz.race("bowl", ["SGD"], steps=2)
    assert printed([*command, *options], capsys) == f"{raced.table()}\n{raced} {served}\n"


def test_a_schedule_is_printed_at_even_steps_and_where_its_phases_begin(capsys):
    text = "warmup_stable_decay(0.4, 50, 800, 150)"
    schedule = warmup_stable_decay(0.4, 50, 800, 150)
    title, empty, head, *lines = printed(["schedule", text], capsys).splitlines()
    assert (title, empty) == (repr(schedule), "")
    assert re.split(r"  +", head) == ["step t", "rate η", "phase"]
    rows = [re.split(r"  +", line) for line in lines]
    assert [int(t) for t, *_ in rows] == sorted([*range(0, 1100, 110), 50, 850, 1000, 1099])
    assert all(float(rate) == pytest.approx(schedule(int(t)), rel=1e-5) for t, rate, *_ in rows)
    named = {int(t): phase[0] for t, _, *phase in rows if phase}
    assert named == {0: "warm-up", 50: "constant", 850: "cool-down", 1000: "end"}


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        (["0.1"], [*range(0, 1000, 100), 999]),
        (["Constant(0.1)", "--steps", "1"], [0]),
        (["Constant(0.1)", "--steps", "7"], [*range(7)]),
        (["LinearDecay(0.1, 3)"], [*range(10)]),
        (["CosineDecay(0.1, 900)"], [*range(0, 990, 99), 900, 989]),
        (["CosineDecay(0.1, 900)", "--steps", "100"], [*range(0, 100, 10), 99]),
    ],
    ids=lambda given: " ".join(given) if isinstance(given[0], str) else None,
)
def test_a_schedule_is_printed_for_the_given_number_of_steps_or_all_phases(
    arguments, steps, capsys
):
    _, _, _, *lines = printed(["schedule", *arguments], capsys).splitlines()
    assert [int(line.split()[0]) for line in lines] == sorted(steps)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_schedule_is_drawn(suffix, tmp_path, capsys):
    path = tmp_path / f"lr.{suffix}"
    out = printed(["schedule", "WarmUp(CosineDecay(0.1, 900), 100)", "--png", str(path)], capsys)
    assert out == f"wrote {path}\n"
    begin = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(begin)


@pytest.mark.parametrize(("arguments", "steps"), [([], 1100), (["--steps", "30"], 30)])
def test_a_schedule_is_drawn_over_the_steps_that_would_be_printed(
    arguments, steps, tmp_path, monkeypatch, capsys
):
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure))
    printed(
        ["schedule", "WarmUp(CosineDecay(0.1, 900), 100)", *arguments, "--png", "lr.png"], capsys
    )
    (figure,) = drawn
    (line,) = figure.axes[0].get_lines()
    schedule = WarmUp(CosineDecay(0.1, 900), 100)
    assert line.get_xdata().tolist() == list(range(steps))
    assert line.get_ydata().tolist() == [schedule(t) for t in range(steps)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "the following arguments are required: expression"),
        (["Cosine(0.1, 9)"], "there is no schedule 'Cosine'. Did you mean 'CosineDecay'?"),
        (["CosineDecay(0.1)"], "missing 1 required positional argument: 'steps'"),
        (["CosineDecay(0.1, 0)"], "steps must be a whole number ≥ 1, got 0"),
        (["__import__('os').mkdir('made')"], "can't be part of a schedule"),
        (["CosineDecay(0.1, 9"], "can't be read as a schedule"),
        ([""], "can't be read as a schedule"),
        (["True"], "must be a schedule or a number"),
        (["0.1", "--steps", "0"], "steps must be a whole number ≥ 1, got 0"),
        (["0.1", "--steps", "-3"], "--steps must be a whole number ≥ 1, got -3"),
        (["0.1", "--steps", "0", "--png", "lr.png"], "steps must be a whole number ≥ 1, got 0"),
        (["0.1", "--steps", "few"], "invalid int value: 'few'"),
        (["0.1", "--png", "lr.gif"], "schedule --png: the name must end in .png, .svg, .pdf"),
        (["0.1", "--png", "no/lr.png"], "'no/lr.png' can't be written (there is no folder 'no')"),
        (["0.1", "0.2"], "unrecognized arguments: 0.2"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else None,
)
def test_a_wrong_schedule_is_refused_in_one_line(arguments, error, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert error in refused(["schedule", *arguments], capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def quick(monkeypatch):
    """Replace the gallery by two quick pictures."""
    for name in list(figures.FIGURES):
        monkeypatch.delitem(figures.FIGURES, name)
    for name in ("one.png", "two.png"):
        monkeypatch.setitem(figures.FIGURES, name, lambda: Constant(0.1).plot(3).figure)


@pytest.mark.parametrize(
    ("names", "files"), [([], ["one.png", "two.png"]), (["two"], ["two.png"])], ids=["all", "one"]
)
def test_figures_are_written_and_named_with_their_sizes(names, files, quick, tmp_path, capsys):
    folder = tmp_path / "new" / "figures"
    lines = printed(["figures", "--out", str(folder), *names], capsys).splitlines()
    assert sorted(path.name for path in folder.iterdir()) == files
    for line, name in zip(lines, files, strict=True):
        size = (folder / name).stat().st_size
        assert line == f"wrote {folder / name} ({size / 1000:.0f} kB)"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "the following arguments are required: --out"),
        (["--out", "new", "ones"], "there is no figure 'ones'. Did you mean 'one'?"),
        (["--out", "new", "one", "three"], "there is no figure 'three'. There are one, two"),
        (["--out", "file"], "figures: 'file' can't be created (File exists)"),
    ],
)
def test_wrong_figures_are_refused_in_one_line(
    arguments, error, quick, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    assert error in refused(["figures", *arguments], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_help_of_each_command_shows_its_options_and_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert EXAMPLES[command] in out
    assert "['" not in out
    assert set(re.findall(r"--[a-z]+", EXAMPLES[command])) <= set(re.findall(r"--[a-z]+", out))


def test_the_help_of_race_names_every_surface():
    assert SURFACES.split(", ") == [*viz.SURFACES]


EACH = [line.strip() for text in EXAMPLES.values() for line in text.splitlines()[1:]]


@pytest.mark.parametrize("example", EACH)
def test_each_example_of_the_help_works(example, quick, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(racing.Race, "animate", lambda race, path: Path(path).write_text("film"))
    monkeypatch.setattr(racing.Race, "serve", lambda race, **options: None)
    monkeypatch.setattr(live, "serve", print)
    monkeypatch.setitem(figures.FIGURES, "family_tree.png", figures.FIGURES["one.png"])
    monkeypatch.setitem(figures.FIGURES, "race.png", figures.FIGURES["one.png"])
    monkeypatch.setattr(launch, "run", lambda script, own, ranks: print(script, own, ranks))
    (tmp_path / "script.py").touch()
    python, *arguments = shlex.split(example)
    assert (python, arguments[:2]) == ("python", ["-m", "minidl"])
    assert printed(arguments[2:], capsys)
    named = {word for word in arguments if re.fullmatch(r"\w+\.\w+", word) and word[0].isalpha()}
    assert named <= {path.name for path in tmp_path.iterdir()}


def test_help_names_the_commands_and_is_shown_without_one(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(re.search(rf"^ +{command}\b", out, re.MULTILINE) for command in EXAMPLES)
    assert "invalid choice: 'rage'" in refused(["rage"], capsys)
    assert refused(["Schedules"], capsys).endswith("Did you mean 'schedule'?")
    assert printed([], capsys) == out


def test_it_runs_without_a_console(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["schedule", "0.1"]) == 0


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"minidl {dl.__version__}\n"


def test_names_are_found_in_upper_and_lower_case(capsys):
    options = ["--optimizer", "adamw", "--activation", "ReLU", "--loss", "MSE"]
    lower = printed(["walkthrough", *options], capsys)
    options = ["--optimizer", "AdamW", "--activation", "relu", "--loss", "mse"]
    assert lower == printed(["walkthrough", *options], capsys)


def test_ctrl_c_ends_a_command_without_a_traceback(capsys, monkeypatch):
    def interrupt(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr("minidl.__main__.lesson", interrupt)
    with pytest.raises(SystemExit) as stop:
        main(["walkthrough"])
    assert stop.value.code == 130
    assert capsys.readouterr() == ("", "python -m minidl: interrupted\n")


def test_figures_that_need_scikit_learn_are_refused_before_any_is_drawn(
    capsys, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    for names in ([], ["family_tree", "rate_and_loss.png"]):
        line = refused(["figures", "--out", str(tmp_path / "new"), *names], capsys)
        assert "rate_and_loss" in line
        assert "pip install 'minidl[examples]'" in line
    assert list(tmp_path.iterdir()) == []


def test_a_race_runs_as_a_module_without_warnings(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "minidl", "race", "--steps", "3"]
    run = subprocess.run(
        [*command, "--gif", "race.gif", "--png", "race.png"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[-2:] == ["wrote race.png", "wrote race.gif"]


@pytest.mark.parametrize(
    "command",
    ["schedule 0.1 --png lr.png", "race --steps 1 --png race.png", "figures --out figures"],
)
def test_without_matplotlib_pictures_are_refused_in_one_line_and_tables_are_printed(
    command, tmp_path
):
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('matplotlib')")
    python = f'"{sys.executable}" -m minidl'
    run = run_anywhere(f"{python} {command}", tmp_path, PYTHONPATH=str(tmp_path))
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].endswith(
        "minidl's pictures need Matplotlib: pip install 'minidl[viz]'"
    )
    assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".png"] == []
    run = run_anywhere(f"{python} schedule 0.1", tmp_path, PYTHONPATH=str(tmp_path))
    assert (run.returncode, run.stderr) == (0, "")


if __name__ == "__main__":
    for name, options in WALKTHROUGHS.items():
        written(name, options, GOLDEN)
