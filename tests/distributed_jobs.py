"""Jobs of several processes for the tests of minidl.distributed: how ranks.py is started."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

JOB = Path(__file__).with_name("ranks.py")
MISSING = importlib.util.find_spec("mpi4py") is None
RANKS = 1, 3, 4


def launch(ranks, folder, *arguments):
    """The finished processes of a job, by `python -m minidl launch`."""
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "minidl", "launch", "-n", str(ranks), str(JOB), str(folder)]
    return subprocess.run(
        [*command, *arguments],
        env={**os.environ, **one, "PYTHONPATH": str(JOB.parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
