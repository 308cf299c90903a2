"""The parts of a fully connected layer that are not matrix products: bias, rectifier, their VJPs.

All arrays of a call must be C-contiguous and of one dtype, float32 or float64, and their shapes
must fit; otherwise ValueError.
"""

from cython cimport floating

from minidl._kernels.arrays cimport (
    alike, data, empty, empty_like, import_numpy, is_matrix, is_vector, last_of, readable,
    rows_of, single, size_of, writable
)
from minidl._kernels.system cimport cloned

import_numpy()

cdef enum:
    TILE = 64  # columns that are summed at a time


cdef cloned add_bias_loop(floating *y, const floating *b, Py_ssize_t rows, Py_ssize_t n,
                          bint rectify) noexcept nogil:
    cdef Py_ssize_t i, k
    cdef floating s
    for i in range(rows):
        if rectify:
            for k in range(n):
                s = y[i * n + k] + b[k]
                y[i * n + k] = 0 if s <= 0 else s  # NaN stays NaN
        else:
            for k in range(n):
                y[i * n + k] += b[k]


def add_bias(y, b, bint rectify):
    """y ← y + b for each row of y (m, n), with b (n,); or y ← max(y + b, 0)."""
    if not (is_matrix(y) and is_vector(b) and single(y) == single(b) and last_of(y) == size_of(b)
            and writable(y)):
        raise ValueError(
            "add_bias needs a writable matrix y (m, n) and a vector b (n,), C-contiguous and of "
            f"one dtype, float32 or float64; got {y!r:.100} and {b!r:.100}"
        )
    if single(y):
        add_bias_loop(<float *> data(y), <const float *> data(b), rows_of(y), size_of(b), rectify)
    else:
        add_bias_loop(<double *> data(y), <const double *> data(b), rows_of(y), size_of(b),
                      rectify)


cdef cloned sum_rows_loop(const floating *g, floating *out, Py_ssize_t rows,
                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, k, tile, start, width
    cdef double[TILE] total
    for tile in range((n + TILE - 1) // TILE):
        start = tile * TILE
        width = n - start if n - start < TILE else TILE
        for k in range(width):
            total[k] = 0
        for i in range(rows):
            for k in range(width):
                total[k] += g[i * n + start + k]
        for k in range(width):
            out[start + k] = <floating> total[k]


def sum_rows(g):
    """Σᵢ g[i]: the sum of the rows of a matrix, accumulated in float64."""
    if not is_matrix(g):
        raise ValueError(
            f"sum_rows needs a C-contiguous matrix of float32 or float64, got {g!r:.100}"
        )
    cdef Py_ssize_t n = last_of(g)
    out = empty(1, &n, g)
    if single(g):
        sum_rows_loop(<const float *> data(g), <float *> data(out), rows_of(g), n)
    else:
        sum_rows_loop(<const double *> data(g), <double *> data(out), rows_of(g), n)
    return out


cdef cloned relu_vjp_loop(const floating *g, const floating *y, floating *out,
                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating passing
    for i in range(n):
        passing = g[i]  # always loaded, so that the compiler selects instead of branching
        out[i] = passing if y[i] > 0 else 0


def relu_vjp(g, y):
    """∂x = g [y > 0] for y = max(x, 0): 0 where y = 0, even if g is NaN or infinite there."""
    if not (readable(g) and readable(y) and alike(g, y)):
        raise ValueError(
            "relu_vjp needs two C-contiguous arrays of one shape and dtype, float32 or float64; "
            f"got {g!r:.100} and {y!r:.100}"
        )
    out = empty_like(g)
    if single(g):
        relu_vjp_loop(<const float *> data(g), <const float *> data(y), <float *> data(out),
                      size_of(g))
    else:
        relu_vjp_loop(<const double *> data(g), <const double *> data(y), <double *> data(out),
                      size_of(g))
    return out
