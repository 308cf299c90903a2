"""Finds the functions that multiply matrices in NumPy's BLAS, or in another library.

They are looked up by name in a library that is loaded, and tried on a small product. Then
`minidl._kernels.blas` calls them from C.
"""

import contextlib
import ctypes
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Functions: TypeAlias = tuple[int, int, bool, str]  # sgemm, dgemm, … as for `blas.use`

# The names of the functions, with s or d in the braces, and whether their integers have 64 bits.
NAMES = {
    "scipy_cblas_{}gemm64_": True,  # OpenBLAS in NumPy's wheels
    "cblas_{}gemm64_": True,  # OpenBLAS as conda-forge, Fedora and others build it for 64 bits
    "cblas_{}gemm$NEWLAPACK$ILP64": True,  # Apple's Accelerate
    "cblas_{}gemm_64": True,  # MKL and Netlib's BLAS
    "scipy_cblas_{}gemm": False,  # OpenBLAS in SciPy's wheels
    "cblas_{}gemm$NEWLAPACK": False,  # Apple's Accelerate
    "cblas_{}gemm": False,  # any, with 32 bits if `counts_in_64_bits` doesn't object
}
SET_THREADS = (  # the functions that set the number of threads, in OpenBLAS and MKL
    "scipy_openblas_set_num_threads64_",
    "openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads",
    "MKL_Set_Num_Threads",
)
MKL = ("lib/libmkl_rt.*", "Library/bin/mkl_rt*.dll")  # where pip and conda install it


def find_numpys() -> Functions:
    """The functions of the BLAS that NumPy has loaded, or NumPy's dot if they can't be called.

    Linux and macOS look up a name in NumPy's core module and all that it is linked with. Windows
    looks in one library: that of NumPy's wheel, or conda's.
    """
    for path in paths_of_numpys():
        with contextlib.suppress(OSError, ValueError):
            return find(path)
    return 0, 0, False, "numpy.dot, since NumPy's BLAS has no function cblas_sgemm to be called"


def paths_of_numpys() -> Iterator[str]:
    """The libraries in which NumPy's BLAS can be."""
    yield str(sys.modules["numpy._core._multiarray_umath"].__file__)
    wheel, conda = Path(np.__file__).parents[1] / "numpy.libs", Path(sys.prefix, "Library/bin")
    yield from (str(p) for p in (*wheel.glob("*openblas*"), *conda.glob("libcblas.dll")))


def use_one_thread() -> bool:
    """Let NumPy's BLAS use one thread; False if it has no function for that."""
    for path, name in itertools.product(paths_of_numpys(), SET_THREADS):
        with contextlib.suppress(OSError):
            if set_threads := getattr(ctypes.CDLL(path), name, None):
                set_threads(1)
                return True
    return False


def find(path: str) -> Functions:
    """The functions of a library; "mkl" is the library of the package mkl."""
    if path == "mkl":
        path = next((str(p) for pattern in MKL for p in Path(sys.prefix).glob(pattern)), path)
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise OSError(
            f"set_blas: {path!r} can't be loaded: {error}. It must be the path of a shared "
            'library, or "mkl" if the extra minidl[mkl] is installed'
        ) from error
    name, wide, *gemms = look_up(library, path)
    if not all(map(is_right, gemms, (ctypes.c_float, ctypes.c_double), (wide, wide))):
        raise ValueError(f"set_blas: {name} of {path!r} computes wrong products")
    sgemm, dgemm = (ctypes.cast(gemm, ctypes.c_void_p).value or 0 for gemm in gemms)
    bits, file = 64 if wide else 32, Path(file_of(sgemm, path)).name
    return sgemm, dgemm, wide, f"{name} of {file}, {bits}-bit integers"


def look_up(library: Any, path: str) -> tuple[Any, ...]:
    """(name of sgemm, whether integers have 64 bits, sgemm, dgemm) in a library of ctypes."""
    for name, wide in NAMES.items():
        gemms = [getattr(library, name.format(kind), None) for kind in "sd"]
        if all(gemms):
            return name.format("s"), wide or counts_in_64_bits(library), *gemms
    names = ", ".join(name.format("s") for name in NAMES)
    raise ValueError(f"set_blas: {path!r} has no matrix product: none of {names}")


def counts_in_64_bits(library: Any) -> bool:
    """Whether OpenBLAS or BLIS was built with 64-bit integers although its names don't say so."""
    if config := getattr(library, "openblas_get_config", None):
        config.restype = ctypes.c_char_p
        return b"USE64BITINT" in config()
    size = getattr(library, "bli_info_get_blas_int_type_size", lambda: 32)
    return bool(size() == 64)


def is_right(gemm: Any, real: Any, wide: bool) -> bool:
    """Whether it multiplies ((0, 1, 2), (3, 4, 5)) by the transpose of a matrix right."""
    integer: Any = ctypes.c_int64 if wide else ctypes.c_int
    a, out = (real * 12)(*range(12)), (real * 8)(*[float("nan")] * 8)
    m, k, n, ld = map(integer, (2, 3, 4, 4))
    gemm(101, 111, 112, m, n, k, real(1), a, k, a, k, real(0), out, ld)  # row-major, b transposed
    return list(out) == [5, 14, 23, 32, 14, 50, 86, 122]


def file_of(address: int, path: str) -> str:
    """The file that holds a function of the library of this path or of one that it is linked with.

    The loader tells, but on Windows.
    """
    if sys.platform == "win32":
        return path
    place = (ctypes.c_char_p * 4)()  # Dl_info of dladdr(3), whose first field is the file
    ctypes.CDLL(None).dladdr(ctypes.c_void_p(address), place)
    return os.fsdecode(place[0] or path)
