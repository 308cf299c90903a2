"""The build configuration that minidl prints, and the number of threads."""

import os
import platform
import re
import subprocess
import sys

import numpy as np
import pytest

import minidl as dl
from minidl._kernels import system


@pytest.fixture(autouse=True)
def threads_put_back():
    before = dl.get_num_threads()
    yield
    dl.set_num_threads(before)


def shown(capsys):
    """What show_config prints, by the first word of each line."""
    dl.show_config()
    lines = capsys.readouterr().out.splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def test_show_config_names_version_compiler_threads_and_numpy(capsys):
    assert dl.show_config() is None
    config = shown(capsys)
    assert config["minidl"] == dl.__version__
    assert config["Python"] == platform.python_version()
    assert config["compiler"] == system.compiler
    assert config["threads"] == str(dl.get_num_threads())
    assert config["NumPy"] == np.__version__
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    assert config["BLAS"].startswith(blas["name"])


@pytest.mark.parametrize(("openmp", "pattern"), [(201511, "yes"), (0, "no: .* one thread")])
def test_show_config_says_whether_there_is_openmp(openmp, pattern, capsys, monkeypatch):
    monkeypatch.setattr(system, "openmp", openmp)
    assert re.match(pattern, shown(capsys)["OpenMP"])


@pytest.mark.parametrize("threads", [1, 2, 3, np.int64(2)] if system.openmp else [1])
def test_the_number_of_threads_is_stored_and_shown(threads, capsys):
    assert dl.set_num_threads(threads) is None
    assert dl.get_num_threads() == threads
    assert shown(capsys)["threads"] == str(threads)


@pytest.mark.parametrize(
    ("threads", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (2.5, TypeError),
        (2.0, TypeError),
        (1025, ValueError),
        (10**10, ValueError),
        (True, TypeError),
        ("2", TypeError),
        (None, TypeError),
    ],
)
def test_an_invalid_number_of_threads_is_named_and_changes_nothing(threads, error):
    before = dl.get_num_threads()
    with pytest.raises(
        error, match=r"set_num_threads: threads must be (a whole number ≥ 1|≤ 1024), got"
    ):
        dl.set_num_threads(threads)
    assert dl.get_num_threads() == before


def test_without_openmp_only_one_thread_can_be_set(monkeypatch):
    monkeypatch.setattr(system, "openmp", 0)
    with pytest.raises(ValueError, match="got 2, but this build has no OpenMP"):
        dl.set_num_threads(2)
    dl.set_num_threads(1)
    assert dl.get_num_threads() == 1


@pytest.mark.parametrize(
    ("variable", "threads"),
    [(None, 1), ("2", 2), ("0", 1), ("2,1", 2), ("9" * 30, 1024), ("two", 1)],
)
def test_kernels_start_with_one_thread_unless_openmps_variable_says_more(variable, threads):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    if variable is not None:
        environment["OMP_NUM_THREADS"] = variable
    code = "import minidl; print(minidl.get_num_threads())"
    shown = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert int(shown) == (threads if system.openmp else 1)


FORK = """
import os
import numpy as np
import minidl as dl
from minidl._kernels import optim, system

system.set_num_threads(2)
w = dl.Tensor(np.zeros(optim.threaded), requires_grad=True)
w.grad = np.ones(optim.threaded)
optimizer = dl.optim.SGD([w], lr=0.5)
optimizer.step()
child = os.fork() if hasattr(os, "fork") else 0
if child == 0:
    optimizer.step()
    print(dl.get_num_threads(), w.data[-1])
    try:
        dl.set_num_threads(2)
    except (RuntimeError, ValueError) as error:  # ValueError where there is no OpenMP at all
        print(type(error).__name__, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_forked_process_does_not_wait_for_threads_that_it_lacks():
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=60
    )
    refusal = "RuntimeError" if system.openmp else "ValueError"
    assert result.stdout.split() == ["1", "-1.0", refusal], result.stderr
