"""The parts of a fully connected layer that are not matrix products: bias, rectifier, their VJPs.

All arrays of a call must be C-contiguous and of one dtype, float32 or float64, and their shapes
must fit; otherwise ValueError.
"""

from cython cimport floating

from minidl._kernels.arrays cimport (
    alike, empty, empty_like, import_numpy, is_matrix, is_vector, last_of, readable, rows_of,
    single, size_of, writable
)
from minidl._kernels.plan cimport Call, Loop, Plan, loop_call, perform, plain, plan_of
from minidl._kernels.system cimport cloned

import_numpy()

cdef enum:
    TILE = 64  # columns that are summed at a time


cdef cloned add_bias_loop(floating **a, const Py_ssize_t *sizes, const double *c) noexcept nogil:
    cdef floating *y = a[0]
    cdef const floating *b = a[1]
    cdef Py_ssize_t rows = sizes[0], n = sizes[1], i, k
    cdef bint rectify = sizes[2]
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
    cdef Plan plan = plan_of((y, b))
    cdef Call call
    y, b = plain(y), plain(b)
    if not (is_matrix(y) and is_vector(b) and single(y) == single(b) and last_of(y) == size_of(b)
            and writable(y)):
        raise ValueError(
            "add_bias needs a writable matrix y (m, n) and a vector b (n,), C-contiguous and of "
            f"one dtype, float32 or float64; got {y!r:.100} and {b!r:.100}"
        )
    call = loop_call(<Loop> add_bias_loop[float], <Loop> add_bias_loop[double], (y, b))
    call.n[0], call.n[1], call.n[2] = rows_of(y), size_of(b), rectify
    perform(&call, plan, "add_bias", (y, b), y)


cdef cloned sum_rows_loop(floating **a, const Py_ssize_t *sizes, const double *c) noexcept nogil:
    cdef const floating *g = a[0]
    cdef floating *out = a[1]
    cdef Py_ssize_t rows = sizes[0], n = sizes[1], i, k, tile, start, width
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
    cdef Plan plan = plan_of((g,))
    cdef Call call
    g = plain(g)
    if not is_matrix(g):
        raise ValueError(
            f"sum_rows needs a C-contiguous matrix of float32 or float64, got {g!r:.100}"
        )
    cdef Py_ssize_t n = last_of(g)
    out = empty(1, &n, g)
    call = loop_call(<Loop> sum_rows_loop[float], <Loop> sum_rows_loop[double], (g, out))
    call.n[0], call.n[1] = rows_of(g), n
    return perform(&call, plan, "sum_rows", (g,), out)


cdef cloned relu_vjp_loop(floating **a, const Py_ssize_t *sizes, const double *c) noexcept nogil:
    cdef const floating *g = a[0]
    cdef const floating *y = a[1]
    cdef floating *out = a[2]
    cdef Py_ssize_t n = sizes[0], i
    cdef floating passing
    for i in range(n):
        passing = g[i]  # always loaded, so that the compiler selects instead of branching
        out[i] = passing if y[i] > 0 else 0


def relu_vjp(g, y):
    """∂x = g [y > 0] for y = max(x, 0): 0 where y = 0, even if g is NaN or infinite there."""
    cdef Plan plan = plan_of((g, y))
    cdef Call call
    g, y = plain(g), plain(y)
    if not (readable(g) and readable(y) and alike(g, y)):
        raise ValueError(
            "relu_vjp needs two C-contiguous arrays of one shape and dtype, float32 or float64; "
            f"got {g!r:.100} and {y!r:.100}"
        )
    out = empty_like(g)
    call = loop_call(<Loop> relu_vjp_loop[float], <Loop> relu_vjp_loop[double], (g, y, out))
    call.n[0] = size_of(g)
    return perform(&call, plan, "relu_vjp", (g, y), out)
