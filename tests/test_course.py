"""The course: its lessons, their questions and notebooks, and the truth of the right answers."""

import os
import re
import select
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from cases import ROOT

import minidl as dl
from examples import course
from minidl import lessons

QUESTIONS = tomllib.loads(Path(dl.__file__).with_name("lessons.toml").read_text("utf-8"))


def test_there_are_ten_lessons_with_three_questions_each():
    assert [*QUESTIONS] == [*course.LESSONS]
    assert [len(questions) for questions in QUESTIONS.values()] == [3] * 10


@pytest.mark.parametrize("lesson", course.LESSONS)
def test_a_lesson_asks_its_questions_in_order_each_in_a_cell_of_its_own(lesson):
    source = (ROOT / "examples" / f"{lesson}.py").read_text(encoding="utf-8")
    asked = [
        re.match(r'print\(dl\.lessons\.check\("(.*)", \.\.\.\)\)', text)
        for kind, text in course.cells(source)
        if kind == "code" and text.startswith("print(dl.lessons")
    ]
    assert [match[1] for match in asked] == [f"{lesson}-{i}" for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments --out --check is required"),
        (["--check", "--epocs"], "unrecognized arguments: --epocs"),
        (["momentun", "--check"], "there is no lesson momentun; there are regression, walkthrough"),
        (["--out", "no/such/folder"], "--out: there is no folder no/such/folder"),
    ],
)
def test_the_command_refuses_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        course.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("lesson", course.LESSONS)
def test_the_stored_notebook_is_made_from_its_lesson_and_is_light(lesson):
    nbformat = pytest.importorskip("nbformat")
    assert course.stale(lesson, course.notebook(lesson)) == ""
    stored = course.path(course.STORED, lesson)
    assert stored.stat().st_size < 150_000
    cells = nbformat.read(stored, as_version=4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")
    texts = [str(output) for cell in cells for output in cell.get("outputs", ())]
    assert sum("Answer: dl.lessons.check" in text for text in texts) == 3
    assert not [text for text in texts if "Traceback" in text or "'stderr'" in text]
    pictures = sum("image/png" in text for text in texts)
    assert pictures >= (lesson not in ("walkthrough", "decision_boundary", "optimizer_race"))
    for question in QUESTIONS[lesson]:  # no answer can be read in the notebook
        whys = [question["why"]] if "why" in question else []
        whys += [choice["why"] for choice in question.get("choices", {}).values()]
        assert not [why for why in whys if why in stored.read_text(encoding="utf-8")]


def test_a_notebook_that_is_missing_or_out_of_date_is_named_with_the_command(monkeypatch, tmp_path):
    pytest.importorskip("nbclient")
    made = course.notebook("momentum")
    made.cells[-1].source += "\n1 + 1"
    monkeypatch.setattr(course, "executed", lambda name: made)
    command = ": run python -m examples.course momentum --out docs/course"
    with pytest.raises(SystemExit, match=f"06_momentum.ipynb is not made from .*{command}"):
        course.main(["momentum", "--check"])
    monkeypatch.setattr(course, "STORED", tmp_path)
    with pytest.raises(SystemExit, match=f"06_momentum.ipynb is missing{command}"):
        course.main(["momentum", "--check"])


def test_the_pages_list_the_lessons_in_order_and_for_teachers_their_solutions():
    text = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
    assert re.findall(r"\[script\]\(../examples/(\w+).py\)", text) == [*course.LESSONS]
    teachers = (ROOT / "docs" / "course_for_teachers.md").read_text(encoding="utf-8")
    solutions = re.findall(r"\| ([^|]*) \|$", teachers, re.MULTILINE)
    solutions = [solution for solution in solutions if "," in solution]
    for questions, row in zip(QUESTIONS.values(), solutions, strict=True):
        shown = [
            float(x.replace(" · 10⁻⁷", "e-7")) if x[0].isdigit() else x for x in row.split(", ")
        ]
        assert shown == [question["right"] for question in questions]


# --- a lesson as a script -------------------------------------------------------------------------

SCRIPT = "import minidl as dl; print(dl.lessons.check('momentum-1', ...)); print('The answer')"


def read_until(terminal, text):
    """What a terminal shows, up to a text."""
    shown = ""
    while text not in shown:
        assert select.select([terminal], [], [], 30)[0], shown
        shown += os.read(terminal, 1000).decode()
    return shown


def test_a_script_at_a_terminal_waits_for_enter_after_a_question():
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals", exc_type=ImportError)
    terminal, end = pty.openpty()
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, cwd=ROOT, stdin=end, stdout=end, stderr=end) as run:
        shown = read_until(terminal, "Press Enter to go on.")
        assert select.select([terminal], [], [], 0.1)[0] == []  # it waits
        os.write(terminal, b"\n")
        rest = read_until(terminal, "The answer")
        assert run.wait(timeout=30) == 0
    os.close(end)
    os.close(terminal)
    assert (shown + rest).count("Which value does v approach?") == 1
    assert "Answer: dl.lessons.check('momentum-1', ANSWER)" in shown


def test_a_script_without_a_terminal_goes_on():
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "Press Enter" not in run.stdout
    assert run.stdout.endswith("The answer\n")


# --- the numbers that are asked for, computed in another way -------------------------------------


def trajectory(rule, gradients, **options):
    """The lengths of the steps of a rule."""
    theta, path = dl.Tensor(np.zeros(1), requires_grad=True), [0.0]
    optimizer = rule([theta], **options)
    for gradient in gradients:
        theta.grad = np.array([float(gradient)])
        optimizer.step()
        path.append(theta.item())
    return -np.diff(path)


def steps_of_adam():
    lengths = trajectory(dl.optim.Adam, np.ones(2500))
    return np.searchsorted(np.cumsum(lengths), 1.8)


def slope_of_tanh():
    x = dl.Tensor(np.zeros(1), requires_grad=True)
    dl.tanh(x).sum().backward()
    return x.grad[0]


def steepest_sigmoids():
    x = dl.Tensor(np.linspace(-9, 9, 1801), requires_grad=True)
    dl.sigmoid(x).sum().backward()
    return x.grad.max() ** 10


def limit_in_the_ravine():
    """The largest rate at which 100 steps don't grow, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if abs(1 - 40 * middle) ** 100 <= 1 else (low, middle)
    return low


TRUTHS = {
    "regression-1": steps_of_adam,
    "walkthrough-1": slope_of_tanh,
    "decision_boundary-2": lambda: sum(p.size for p in dl.nn.MLP([2, 16, 2]).parameters()),
    "batches-1": lambda: np.sqrt(16),
    "batches-2": lambda: len(dl.data.DataLoader(np.zeros(1000), np.zeros(1000), 32)),
    "optimizer_race-1": limit_in_the_ravine,
    "momentum-1": lambda: trajectory(dl.optim.Momentum, np.ones(200), lr=1.0)[-1],
    "adaptive-1": lambda: trajectory(dl.optim.Adam, [1000], lr=0.1)[0],
    "adaptive-2": lambda: trajectory(dl.optim.Adagrad, np.ones(100), lr=0.1)[-1],
    "schedules-1": lambda: dl.schedulers.CosineDecay(0.03, 1000)(500),
    "depth-1": steepest_sigmoids,
    "overfitting-1": lambda: np.var(np.random.default_rng(0).normal(0, 0.5, 100_000)),
}


def test_every_question_for_a_number_is_answered_by_a_run():
    numbers = [name for name, entry in lessons._questions().items() if "choices" not in entry]
    assert numbers == [*TRUTHS]


@pytest.mark.parametrize("question", TRUTHS)
def test_the_number_that_a_run_gives_is_right(question):
    assert dl.lessons.check(question, float(TRUTHS[question]()))
