"""Imitations of BLAS libraries: functions of ctypes with the names and integers of real ones."""

import ctypes

import numpy as np


class Library:
    """A library of ctypes: an attribute for each name."""

    def __init__(self, **functions):
        self.__dict__.update(functions)


def address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def gemm(real, wide, calls=None, wrong=False):
    """cblas_sgemm or cblas_dgemm by NumPy's matmul, or one that only adds to a list of calls."""
    integer, pointer = ctypes.c_int64 if wide else ctypes.c_int, ctypes.c_void_p
    kinds = [*[ctypes.c_int] * 3, *[integer] * 3, real, pointer, integer, pointer, integer]

    def matrix(place, rows, columns):
        a = np.ctypeslib.as_array(ctypes.cast(place, ctypes.POINTER(real)), (rows * columns,))
        return a.reshape(rows, columns)

    def multiply(order, of_a, of_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        if calls is not None:
            calls.append((order, of_a, of_b, m, n, k, alpha, lda, ldb, beta, ldc))
            return
        assert (order, alpha, beta, ldc) == (101, 1, 0, n)  # row-major
        x = matrix(a, m, k) if of_a == 111 else matrix(a, k, m).T
        y = matrix(b, k, n) if of_b == 111 else matrix(b, n, k).T
        matrix(c, m, n)[...] = x @ y + wrong

    return ctypes.CFUNCTYPE(None, *kinds, real, pointer, integer)(multiply)


def gemms(name, wide, **options):
    """Both functions by name, such as "cblas_{}gemm"."""
    kinds = {"s": ctypes.c_float, "d": ctypes.c_double}
    return {name.format(kind): gemm(real, wide, **options) for kind, real in kinds.items()}
