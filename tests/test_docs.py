"""What the pages of the documentation state in tables, which doctest does not run."""

import doctest
import inspect
import linecache
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from cases import ROOT

import minidl as dl

PAGE = (ROOT / "docs" / "capture.md").read_text(encoding="utf-8")
REFUSED = re.findall(r"^\| `([^`]+)` \| ([^|]+?) \| [^|]+ \|$", PAGE, re.MULTILINE)


def step_with(line):
    """A step of training that has one more line, and the number of that line."""
    model = dl.nn.MLP([2, 4, 1], rng=0)
    names = {"model": model, "optimizer": dl.optim.SGD(model, lr=0.1), "dl": dl, "np": np}
    names |= {"rng": np.random.default_rng(0), "log": [], "state": {"steps": 0}}
    forward, update = "loss = dl.losses.mse(model(x), y)", "optimizer.step()"
    body = ["optimizer.zero_grad()", forward, "loss.backward()", update, "return loss"]
    places = {"x": forward, "model": "return loss"}  # the line comes before this one
    body.insert(body.index(places.get(re.match(r"\w+", line)[0], "loss.backward()")), line)
    source = "\n    ".join(["def step(x, y):", *body])
    exec(compile(source, "step.py", "exec"), {"__name__": "script"} | names, names)
    linecache.cache["step.py"] = len(source), None, source.splitlines(True), "step.py"
    return names["step"], body.index(line) + 2


@pytest.mark.parametrize(("line", "reason"), REFUSED, ids=[line for line, _ in REFUSED])
def test_what_can_not_be_captured_is_an_error_that_says_what_the_page_says(line, reason):
    function, number = step_with(line)
    step = dl.capture(function)
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(8, 2)
    with pytest.raises(dl.CaptureError) as error:
        [step(x, x[:, :1]) for _ in range(3)]
    assert reason in str(error.value)
    if "the step can't" in str(error.value):  # found in a line, not at the end of the step
        assert f"step.py:{number}: `{line}`" in str(error.value)


def test_the_page_has_the_table_of_what_can_not_be_captured():
    assert len(REFUSED) == 12


# --- training.md --------------------------------------------------------------------------------

TABLE = (ROOT / "docs" / "training.md").read_text("utf-8").split("## Coming from PyTorch")[1]
ROWS = [line.split("|")[1:-1] for line in TABLE.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_what_the_table_of_other_libraries_calls_minidl_is_in_minidl(row):
    assert len(row) == 5
    for name, options in re.findall(r"(?<![\w.)])(\w[\w.]*)\(([^()]*)", row[1]):
        found, owners = None, (dl, dl.callbacks, dl.data, dl.losses, dl.nn.Module())
        for owner in owners:
            for part in name.removeprefix("dl.").removeprefix("self.").split("."):
                owner = getattr(owner, part, None)
            found = found or owner
        if name != "model.summary":
            assert callable(found), name
            assert {*re.findall(r"(\w+)=", options)} <= {*inspect.signature(found).parameters}


# --- deploy.md ----------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler cc")
def test_the_program_in_c_prints_the_probability_that_the_model_predicts(tmp_path):
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    (source,) = re.findall(r"^```c\n(.*?)^```$", page, re.M | re.S)
    (command,) = re.findall(r"^(cc .*)$", page, re.M)
    (tmp_path / "main.c").write_text(source)
    scale = dl.data.Standardize().fit([[0.0, 5.0, 900.0], [2.0, 25.0, 1000.0]])
    model = dl.nn.Sequential(scale, dl.nn.MLP([3, 8, 2], "tanh", rng=0), dl.nn.Softmax())
    dl.export.to_c(model, tmp_path / "net.h")
    run = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{dl.predict(model, [[1.5, 20.0, 900.0]])[0, 1]:.3f}\n"


# --- distributed.md -----------------------------------------------------------------------------


def test_the_program_of_the_page_runs_on_two_processes(tmp_path):
    pytest.importorskip("mpi4py", reason="pip install 'minidl[distributed]'")
    page = (ROOT / "docs" / "distributed.md").read_text("utf-8")
    program = "".join(example.source for example in doctest.DocTestParser().get_examples(page))
    program += "pathlib.Path(f'rank{comm.rank}').write_text(f'{comm.size} {history.loss}')\n"
    (tmp_path / "script.py").write_text(program, "utf-8")
    subprocess.run(
        [sys.executable, "-m", "minidl", "launch", "-n", "2", "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=True,
    )
    first, second = ((tmp_path / f"rank{rank}").read_text() for rank in range(2))
    assert first == second
    assert first.startswith("2 [0.")
