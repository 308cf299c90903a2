"""The version, the build configuration, the number of threads and the BLAS."""

import contextlib
import os
import sys
from typing import Any

import numpy as np

from minidl import _blas, _checks, _files
from minidl._format import printable
from minidl._kernels import atomic, blas, system

__version__ = "0.2.0"
_forked = False  # OpenMP's threads don't survive a fork; a child that uses them would hang


def _after_fork() -> None:
    global _forked
    _forked = True
    system.set_num_threads(1)
    atomic.end_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

# One thread by default, since minidl doesn't know what else runs on this machine.
with contextlib.suppress(ValueError):
    _requested = int(os.environ.get("OMP_NUM_THREADS", "1").split(",")[0])
    system.set_num_threads(min(max(_requested, 1), system.max_threads))
blas.use(*_blas.find_numpys())


def get_num_threads() -> int:
    """The number of threads that a kernel uses on large arrays.

    >>> dl.get_num_threads() >= 1
    True
    """
    return system.get_num_threads()


def set_num_threads(threads: int) -> None:
    """Set the number of threads that kernels use; the default is OMP_NUM_THREADS, else one.

    threads  a whole number from 1 to 1024

    Several threads share an update of two million weights or more, and a cross-entropy of a
    quarter of a million logits or more; below that, waking a thread takes longer than the work.
    The BLAS, which computes matrix products, has threads of its own. If the process may not start
    that many, because of a limit on processes or memory, the first such update reduces the number,
    with a RuntimeWarning.

    Raises ValueError for more than one thread if the kernels were built without OpenMP, and
    RuntimeError for more than one in a forked process, where OpenMP's threads are missing.

    >>> dl.set_num_threads(1)
    >>> dl.get_num_threads()
    1
    """
    threads = _checks.count("set_num_threads", "threads", threads)
    if threads > system.max_threads:
        raise ValueError(
            printable(f"set_num_threads: threads must be ≤ {system.max_threads}, got {threads}")
        )
    if threads > 1 and _forked and system.openmp:
        raise RuntimeError(
            f"set_num_threads: got {threads}, but this process was forked, and OpenMP's threads "
            'don\'t survive a fork; start processes with "spawn" to use more than one thread'
        )
    if threads > 1 and not system.openmp:
        raise ValueError(
            f"set_num_threads: got {threads}, but this build has no OpenMP, so kernels use one "
            "thread; install a compiler with OpenMP and reinstall minidl"
        )
    system.set_num_threads(threads)


def set_blas(path: str | os.PathLike[str] | None) -> None:
    """Multiply matrices by the functions cblas_sgemm and cblas_dgemm of another library.

    path  of a shared library; "mkl" for the one that the extra minidl[mkl] installs; None for the
          BLAS that NumPy has loaded, which is the default

    Captured steps use it from then on, too. `set_num_threads` does not change its number of
    threads; a variable such as MKL_NUM_THREADS does, if it is set before. Another BLAS may round
    differently.

    Raises OSError if the library is not there or can't be loaded, and ValueError if it lacks the
    functions or computes wrong products; the BLAS then stays as it is.

    >>> dl.config.set_blas(None)
    """
    if path is None:
        blas.use(*_blas.find_numpys())
        return
    blas.use(*_blas.find(str(_files.path_of("set_blas", path, "path"))))


def show_config() -> None:
    """Print the versions of minidl, Python and NumPy, the compiler, OpenMP, threads and BLAS.

    "BLAS" is what NumPy was built with, "products" what multiplies minidl's matrices.

    >>> dl.show_config()  # doctest: +ELLIPSIS
    minidl   ...
    """
    configuration: Any = np.show_config(mode="dicts")
    built = configuration["Build Dependencies"]["blas"]
    openmp = f"yes ({system.openmp})" if system.openmp else "no: the kernels use one thread"
    print(
        f"minidl   {__version__}\n"
        f"Python   {sys.version.split()[0]}\n"
        f"compiler {system.compiler}\n"
        f"OpenMP   {openmp}\n"
        f"threads  {get_num_threads()}\n"
        f"NumPy    {np.__version__}\n"
        f"BLAS     {built.get('name', 'unknown')} {built.get('version', '')}".rstrip()
        + f"\nproducts {blas.name}"
    )
