"""A user's script under mypy and pyright, in a folder of its own: what passes and what must not."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cases import ROOT
from checkers import CHECKERS

import minidl as dl

SCRIPTS = ROOT / "tests/typing"
# The variables that would let a program find another minidl, or pyright look for a newer version.
UNSET = ("PYTHONPATH", "MYPYPATH")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in UNSET}
ENVIRONMENT["PYRIGHT_PYTHON_IGNORE_WARNINGS"] = "1"


def run(*command, folder):
    """Run a module of Python in the folder; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The scripts, away from the source tree, with the minidl that is installed.

    Where another minidl is installed than the tested one, as in a second work tree, the tested one
    lies beside the scripts.
    """
    folder = tmp_path_factory.mktemp("user")
    for script in SCRIPTS.glob("*.py"):
        shutil.copy(script, folder)
    code = "import minidl; print(minidl.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )
    if done.stdout.strip() != dl.__file__:
        (folder / "minidl").symlink_to(Path(dl.__file__).parent)
        (folder / "mypy.ini").write_text("[mypy]\n[mypy-minidl.*]\nfollow_imports = silent\n")
    return folder


def errors_of_mypy(folder):
    """(script, line) → the message of each error."""
    scripts = sorted(script.name for script in SCRIPTS.glob("*.py"))
    text = run("mypy", "--strict", *scripts, folder=folder)
    assert "checked 2 source files" in text, text
    found = re.findall(r"^(\S+):(\d+): error: (.*)$", text, re.MULTILINE)
    return {(script, int(line)): message for script, line, message in found}


def errors_of_pyright(folder):
    """(script, line) → the message of each error."""
    scripts = sorted(script.name for script in SCRIPTS.glob("*.py"))
    command = ("pyright", "--outputjson", "--pythonpath", sys.executable, *scripts)
    report = json.loads(run(*command, folder=folder))
    assert report["summary"]["filesAnalyzed"] == len(scripts)
    return {
        (Path(found["file"]).name, found["range"]["start"]["line"] + 1): found["message"]
        for found in report["generalDiagnostics"]
        if found["severity"] == "error"
    }


@pytest.fixture(scope="module", params=CHECKERS)
def errors(request, folder):
    return {"mypy": errors_of_mypy, "pyright": errors_of_pyright}[request.param](folder)


def test_the_users_script_runs(folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", "user_script.py"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"loss 0\.\d+, rate 0\.0800, 8 steps\n", done.stdout)


def test_the_users_script_has_no_error_in_strict_mode(errors):
    assert {place: text for place, text in errors.items() if place[0] == "user_script.py"} == {}


def test_every_mistake_is_an_error_and_nothing_else_is(errors):
    lines = (SCRIPTS / "mistakes.py").read_text(encoding="utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if "# error: " in line}
    found = {line: text for (script, line), text in errors.items() if script == "mistakes.py"}
    assert len(marked) >= 20
    assert found.keys() == marked, {
        line: found.get(line, "no error") for line in found.keys() ^ marked
    }


def test_a_typo_in_an_option_is_named(errors):
    lines = (SCRIPTS / "mistakes.py").read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines, 1) if "momentm" in line)
    assert '"momentm"' in errors["mistakes.py", number]
