"""The command that starts processes, without starting them."""

import os
import subprocess
import sys

import pytest

from minidl.__main__ import main
from minidl.distributed import launch


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("")
    return str(path)


@pytest.fixture
def mpiexec(tmp_path, monkeypatch):
    """An mpiexec beside this Python, and another one on PATH."""
    found = []
    for name in ("beside", "path"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "mpiexec"
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
        found.append(str(file))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "beside" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return found


def test_the_mpiexec_beside_this_python_is_taken_before_that_on_path(mpiexec, script):
    parts, environment = launch.command(script, ["--x", "1"], 3, {"HOME": "/"})
    assert parts == [mpiexec[0], "-n", "3", sys.executable, script, "--x", "1"]
    assert environment["MINIDL_RANKS"] == "3"
    assert environment["HOME"] == "/"
    os.remove(mpiexec[0])
    assert launch.command(script, [], 3, {})[0][0] == mpiexec[1]


@pytest.mark.parametrize(("cores", "ranks", "threads"), [(8, 2, "4"), (8, 3, "2"), (2, 4, "1")])
def test_the_cores_are_divided_among_the_processes(
    mpiexec, script, monkeypatch, cores, ranks, threads
):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    _, environment = launch.command(script, [], ranks, {"OMP_NUM_THREADS": "7"})
    assert environment["OPENBLAS_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == threads
    assert environment["OMP_NUM_THREADS"] == "7"
    assert any("oversubscribe" in value for value in environment.values()) == (ranks > cores)


def test_without_an_mpiexec_the_error_says_what_to_install_and_what_to_do_on_a_cluster(
    mpiexec, script
):
    for path in mpiexec:
        os.remove(path)
    with pytest.raises(FileNotFoundError, match=r"pip install 'minidl\[distributed\]'") as caught:
        launch.command(script, [], 2, {})
    assert "srun -n 64 python script.py" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0", "x.py"], "launch: -n must be"),
        (["-n", "2", "none.py"], "launch: there is no script 'none.py'"),
        (["-n", "two", "x.py"], "argument -n: invalid int value: 'two'"),
        ([], "the following arguments are required: script"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["launch", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_process_becomes_mpiexec_and_the_scripts_options_are_its_own(
    mpiexec, script, monkeypatch
):
    calls = []
    monkeypatch.setattr(os, "execve", lambda *arguments: calls.append(arguments))
    assert main(["launch", "-n", "2", script, "-n", "5", "--help"]) == 0
    ((path, parts, environment),) = calls
    assert path == mpiexec[0]
    assert parts[3:] == [sys.executable, script, "-n", "5", "--help"]
    assert environment["MINIDL_RANKS"] == "2"


def test_importing_minidl_imports_neither_mpi4py_nor_shutil():
    code = (
        "import sys, numpy; before = set(sys.modules); import minidl; "
        "print({'mpi4py', 'shutil'} & (set(sys.modules) - before))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
