"""Loading the compiled kernels: missing ones, and the environment variables of OpenMP."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minidl

PACKAGE = Path(minidl.__file__).parent


def test_missing_kernels_say_how_to_build_them(tmp_path):
    shutil.copytree(
        PACKAGE, tmp_path / "minidl", ignore=shutil.ignore_patterns("*.so", "*.pyd", "*.c")
    )
    command = [sys.executable, "-c", "import minidl"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: minidl's compiled kernels are missing")
    assert "python -m pip install -e ." in last
    assert "C compiler" in last


@pytest.mark.parametrize("path", [*PACKAGE.glob("_kernels/*.pyx")], ids=lambda path: path.stem)
def test_list_comprehensions_append_variables_alone(path):
    # Cython frees twice what else they fail to append, in code for the limited API
    entry = r"(?:[^][(){}\n]|\([^()\n]*\)|\[[^][\n]*\])*?"
    found = re.findall(rf"\[({entry}) for \w+.*? in ", path.read_text(encoding="utf-8"))
    assert [entry for entry in found if not entry.isidentifier()] == []


SETTINGS = """
import os
import minidl
print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize("given", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_importing_minidl_leaves_the_environment_as_it_was(given):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in names} | given
    shown = subprocess.check_output([sys.executable, "-c", SETTINGS], env=environment, text=True)
    assert shown.split() == [given.get(name, "None") for name in names]


def test_idle_threads_of_gnu_openmp_sleep_unless_its_variables_say_otherwise():
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    command = [sys.executable, "-c", "import minidl"]
    for given, shown in ({}, "0"), ({"GOMP_SPINCOUNT": "7"}, "7"):
        settings = environment | given | {"OMP_DISPLAY_ENV": "VERBOSE"}
        run = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
        if "GOMP_SPINCOUNT" in run.stderr:  # other makers' OpenMP has no such variable
            assert f"GOMP_SPINCOUNT = '{shown}'" in run.stderr


# Another thread writes to the indices and labels, to the gradients and to the weights meanwhile.
CONCURRENT = """
import sys, threading
import numpy as np
import minidl as dl

sys.setswitchinterval(1e-5)
rows, running, found = 20_000, True, set()
logits, labels, indices = np.zeros((rows, 10), np.float32), np.zeros(rows, int), np.arange(rows)
valid, w = np.arange(rows)[::7], dl.Tensor(np.ones(rows), requires_grad=True)
optimizer, g = dl.optim.FTRL([w]), np.ones(rows)

def write():
    while running:
        labels[::7] = 2**40
        indices[::7] = 2**40
        logits[0], g[0] = np.nan, np.inf
        labels[::7] = 1
        indices[::7] = valid

def found_by(name, call, *arguments):
    try:
        call(*arguments)
        found.add(name)
    except (IndexError, ValueError) as error:
        found.add(f"{name} {type(error).__name__}")

writer = threading.Thread(target=write)
writer.start()
for _ in range(300):
    found_by("loss", dl.losses.cross_entropy, logits, labels)
    found_by("step", optimizer.sparse_step, w, indices, g)
running = False
writer.join()
print(*sorted(found), sep=", ")
"""


def test_arrays_that_another_thread_changes_meanwhile_never_lead_outside_an_array():
    """It is an error, or a result of the one or the other content; which one varies."""
    command = [sys.executable, "-c", CONCURRENT]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    possible = {"loss", "loss IndexError", "step", "step IndexError", "step ValueError"}
    assert set(run.stdout.strip().split(", ")) <= possible
