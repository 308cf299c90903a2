"""The build configuration that minidl prints, and the number of threads."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy

import minidl as dl
from minidl._kernels import blas, special, system


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


def test_show_config_names_the_blas_that_multiplies(capsys, monkeypatch):
    assert shown(capsys)["products"] == blas.name
    assert re.fullmatch(r"\w+ of .*, (32|64)-bit integers|numpy\.dot, since .*", blas.name)


@pytest.fixture
def blas_of_scipy():
    """The path of another BLAS: that of SciPy's wheel."""
    libraries = [*Path(scipy.__file__).parents[1].glob("scipy.libs/*openblas*")]
    if not libraries:
        pytest.skip("this SciPy is not a wheel with a BLAS of its own")
    yield libraries[0]
    dl.config.set_blas(None)


def test_another_blas_multiplies_from_then_on_and_numpys_again(blas_of_scipy, capsys):
    numpys, x = blas.name, dl.Tensor([[1.0, 2.0]])
    dl.config.set_blas(blas_of_scipy)
    assert (
        shown(capsys)["products"] == f"scipy_cblas_sgemm of {blas_of_scipy.name}, 32-bit integers"
    )
    assert (x @ x.T).item() == 5
    dl.config.set_blas(str(blas_of_scipy))
    assert dl.config.set_blas(None) is None
    assert blas.name == numpys
    assert (x @ x.T).item() == 5


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("none.so", OSError, "set_blas: 'none.so' can't be loaded: .* path of a shared library"),
        (sys.executable, OSError, "set_blas: .* can't be loaded"),
        (special.__file__, ValueError, "set_blas: .*special.* no matrix product: none of .*gemm"),
        (1, TypeError, "int"),
    ],
)
def test_a_library_that_cannot_multiply_is_an_error_and_changes_nothing(path, error, message):
    before = blas.name
    with pytest.raises(error, match=message):
        dl.config.set_blas(path)
    assert blas.name == before


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


# A process with few threads or little memory left asks for 64 threads. Each step is 1 − t/2.
LIMITED = """
import os, resource, sys, warnings
import numpy as np
import minidl as dl
from minidl._kernels import loss, optim

dl.set_num_threads(64)
weights = [dl.Tensor(np.ones(optim.threaded + 1, dtype), True) for dtype in ("f4", "f8")]
for w in weights:
    w.grad = np.ones_like(w.data)
optimizer = dl.optim.SGD(weights, lr=0.5)
logits, labels = np.zeros((loss.threaded // 4, 4), np.float32), np.zeros(loss.threaded // 4, int)
kind, amount = sys.argv[1:]
if kind == "processes":
    os.setresgid(*[65534] * 3)
    os.setresuid(*[65534] * 3)
    resource.setrlimit(resource.RLIMIT_NPROC, [int(amount)] * 2)
else:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, [used + int(amount) * 2**20] * 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for step in range(1, 4):
        if step == 3:
            dl.losses.cross_entropy(logits, labels)
        optimizer.step()
        assert all((w.data == 1 - step / 2).all() for w in weights)
print(dl.get_num_threads(), len(os.listdir("/proc/self/task")), len(caught))
print(*(warning.message for warning in caught))
"""
limited = pytest.mark.skipif(
    not (sys.platform == "linux" and system.openmp), reason="needs OpenMP and Linux's limits"
)


def run_limited(kind, amount, code=LIMITED, **environment):
    """The numbers of threads set and running in a limited process, of warnings, and their text."""
    if kind == "processes" and os.geteuid() != 0:
        pytest.skip("only root can become a user without processes")
    names = ("OMP_NUM_THREADS", "OMP_STACKSIZE")
    environment = {k: v for k, v in os.environ.items() if k not in names} | environment
    result = subprocess.run(
        [sys.executable, "-c", code, kind, str(amount)],
        env=environment | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    numbers, message = result.stdout.splitlines()
    return *map(int, numbers.split()), message


@limited
@pytest.mark.parametrize(
    ("kind", "amount", "least", "most"),
    [
        ("processes", 1, 1, 1),
        ("processes", 20, 2, 20),
        ("processes", 71, 2, 63),
        ("memory", 2, 1, 1),
        ("memory", 200, 2, 25),
    ],
)
def test_threads_that_cannot_be_started_are_done_without_and_one_warning_says_so(
    kind, amount, least, most
):
    threads, running, warned, message = run_limited(kind, amount)
    assert least <= threads <= most
    assert running == threads
    assert warned == 1
    assert message.startswith("minidl: 64 threads can't be started within this process's limits")
    assert f"so kernels use {threads} from now on" in message


@limited
def test_a_limit_that_leaves_room_for_all_threads_changes_nothing():
    assert run_limited("processes", 200)[:3] == (64, 64, 0)


@limited
def test_threads_are_counted_with_the_stack_that_openmp_gives_them():
    """A gigabyte holds 64 stacks of the default size, but few of 100 megabytes."""
    threads, running, warned, _ = run_limited("memory", 1000, OMP_STACKSIZE="100M")
    assert threads == running < 10
    assert warned == 1


ENDED = """
dl.set_num_threads(8)
optimizer.step()
dl.set_num_threads(2)
optimizer.step()
while len(os.listdir("/proc/self/task")) > 2:
    pass
dl.set_num_threads(8)
"""


@limited
def test_threads_that_have_ended_are_tried_out_again_before_openmp_starts_them():
    code = LIMITED.replace("kind, amount =", ENDED + "kind, amount =")
    code = code.replace("1 - step / 2", "-step / 2")  # after two more steps
    threads, running, warned, message = run_limited("processes", 1, code)
    assert (threads, running, warned) == (2, 2, 1)
    assert "8 threads can't be started" in message


@limited
def test_a_warning_that_is_an_error_leaves_the_weights_as_they_are():
    code = LIMITED.replace('simplefilter("always")', 'simplefilter("error")')
    code = code.replace(
        "    for step",
        """    try:
        optimizer.step()
    except RuntimeWarning as warning:
        assert all((w.data == 1).all() for w in weights)
        caught.append(warning)
    for step""",
    )
    code = code.replace("warning.message for", "warning for")
    threads, running, warned, message = run_limited("memory", 100, code)
    assert threads == running < 64
    assert warned == 1
    assert "64 threads can't be started" in message
