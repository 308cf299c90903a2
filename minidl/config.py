"""What minidl was built with, and how many threads its kernels use."""

import contextlib
import os
import sys
from typing import Any

import numpy as np

from minidl import _checks
from minidl._kernels import system

__version__ = "0.1.0"
MOST_THREADS = 1024
_forked = False  # OpenMP's threads don't survive a fork: a child that uses them waits for ever


def _after_fork() -> None:
    global _forked
    _forked = True
    system.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

# One thread, unless asked for more, as for any program that does not know what else runs.
with contextlib.suppress(ValueError):
    _wanted = int(os.environ.get("OMP_NUM_THREADS", "1").split(",")[0])
    system.set_num_threads(min(max(_wanted, 1), MOST_THREADS))


def get_num_threads() -> int:
    """How many threads a kernel uses on arrays that are large enough."""
    return system.get_num_threads()


def set_num_threads(threads: int) -> None:
    """Let kernels use so many threads; at the start OMP_NUM_THREADS if that is set, else one.

    Shared among threads are rules on two million weights and more, and cross-entropies of a
    quarter of a million logits and more; below, waking a thread takes longer than the work. The
    threads of NumPy's BLAS, which computes large matrix products, are its own.

    ValueError for more than 1024, or for more than one where the kernels were built without
    OpenMP; RuntimeError for more than one in a forked process, where OpenMP's threads are missing.
    """
    threads = _checks.count("set_num_threads", "threads", threads)
    if threads > MOST_THREADS:
        raise ValueError(f"set_num_threads: threads must be ≤ {MOST_THREADS}, got {threads}")
    if threads > 1 and _forked and system.openmp:
        raise RuntimeError(
            f"set_num_threads: got {threads}, but this process was forked and OpenMP's threads did "
            'not follow it; start processes by "spawn" to use more than one'
        )
    if threads > 1 and not system.openmp:
        raise ValueError(
            f"set_num_threads: got {threads}, but this build has no OpenMP, so kernels have one "
            "thread; install a compiler with OpenMP and reinstall minidl"
        )
    system.set_num_threads(threads)


def show_config() -> None:
    """Print version, compiler, OpenMP, threads, and NumPy with its BLAS."""
    configuration: Any = np.show_config(mode="dicts")
    blas = configuration["Build Dependencies"]["blas"]
    openmp = f"yes ({system.openmp})" if system.openmp else "no: the kernels use one thread"
    print(
        f"minidl   {__version__}\n"
        f"Python   {sys.version.split()[0]}\n"
        f"compiler {system.compiler}\n"
        f"OpenMP   {openmp}\n"
        f"threads  {get_num_threads()}\n"
        f"NumPy    {np.__version__}\n"
        f"BLAS     {blas.get('name', 'unknown')} {blas.get('version', '')}".rstrip()
    )
