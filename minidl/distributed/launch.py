"""The command that starts a script on several processes: mpiexec of the MPI that mpi4py loads."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from minidl import _checks

RANKS = "MINIDL_RANKS"  # the number of processes that were asked for, which start() compares
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MORE_THAN_CORES = {  # which Open MPI, in versions 5 and 4, refuses otherwise
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}
CLUSTER = """\
On a cluster, start one process a core or a socket with its own launcher instead:
  srun -n 64 python script.py                        in a job of SLURM (sbatch, salloc)
  mpiexec -n 64 -hosts node1,node2 python script.py  by ssh without a password (MPICH)
  mpiexec -n 64 -host node1:32,node2:32 python script.py              (Open MPI)
Each machine needs the same Python environment, script and data at the same paths.
"""


def command(
    script: str, arguments: Sequence[str], ranks: int, environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The command that runs a script on so many processes of this machine, and its environment.

    The cores are divided among the processes, unless the numbers of threads are set already.
    FileNotFoundError without the script or an mpiexec.
    """
    import shutil  # takes a while, and minidl imports this module

    _checks.count("launch", "-n", ranks)
    if not Path(script).is_file():
        raise FileNotFoundError(f"launch: there is no script {script!r}")
    beside = Path(sys.executable).parent
    found = shutil.which("mpiexec", path=os.pathsep.join([str(beside), *os.get_exec_path()]))
    if found is None:
        raise FileNotFoundError(
            "launch: there is no mpiexec beside this Python, nor on PATH: pip install "
            "'minidl[distributed]' brings one. " + CLUSTER.rstrip()
        )
    cores = os.cpu_count() or 1
    own = dict.fromkeys(THREADS, str(max(1, cores // ranks)))
    own |= MORE_THAN_CORES if ranks > cores else {}
    own |= {**environment, RANKS: str(ranks)}
    return [found, "-n", str(ranks), sys.executable, script, *arguments], own


def run(script: str, arguments: Sequence[str], ranks: int) -> None:
    """Become the mpiexec that runs a script, so that its exit code and signals are mpiexec's."""
    parts, environment = command(script, arguments, ranks, os.environ)
    sys.stdout.flush()
    os.execve(parts[0], parts, environment)
