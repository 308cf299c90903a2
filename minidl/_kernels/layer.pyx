"""What a layer does beside its matrix product: the bias, the rectifier, and their gradients.

All arrays of a call are C-contiguous and of one type, float32 or float64.
"""

from cython cimport floating

from minidl._kernels.arrays cimport (
    alike, data, empty, empty_like, import_numpy, is_matrix, last, readable, rows, single, size,
    writable
)
from minidl._kernels.system cimport cloned

import_numpy()

cdef enum:
    TILE = 64  # columns that are added up at a time
    STRIP = 16  # columns of a product that are computed at a time
    LARGEST = 4096  # entries of b, packed into strips
    PRODUCTS = 32768  # multiplications, from where on BLAS is faster


cdef cloned shift(floating *y, const floating *b, Py_ssize_t rows, Py_ssize_t n,
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
    """y ← y + b for each row of y (m, n), with b (n,); or max(y + b, 0)."""
    if not (is_matrix(y) and readable(b) and single(y) == single(b) and last(y) == size(b)
            and writable(y)):
        raise ValueError(
            "expected C-contiguous arrays (m, n) and (n,) of one dtype, float32 or float64, got "
            f"{y!r:.100} and {b!r:.100}"
        )
    if single(y):
        shift(<float *> data(y), <const float *> data(b), rows(y), size(b), rectify)
    else:
        shift(<double *> data(y), <const double *> data(b), rows(y), size(b), rectify)


cdef cloned add_rows(const floating *g, floating *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
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
    """The sum of the rows of a matrix, added up in float64."""
    if not is_matrix(g):
        raise ValueError(f"expected a C-contiguous matrix of float32 or float64, got {g!r:.100}")
    cdef Py_ssize_t n = last(g)
    out = empty(1, &n, g)
    if single(g):
        add_rows(<const float *> data(g), <float *> data(out), rows(g), n)
    else:
        add_rows(<const double *> data(g), <double *> data(out), rows(g), n)
    return out


cdef cloned select(const floating *g, const floating *y, floating *out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating passing
    for i in range(n):
        passing = g[i]  # loaded in any case, so that the compiler can select rather than jump
        out[i] = passing if y[i] > 0 else 0


def gate(g, y):
    """g where y > 0, else 0, whatever g is there."""
    if not (readable(g) and readable(y) and alike(g, y)):
        raise ValueError(
            "expected C-contiguous arrays of one shape and dtype, float32 or float64, got "
            f"{g!r:.100} and {y!r:.100}"
        )
    out = empty_like(g)
    if single(g):
        select(<const float *> data(g), <const float *> data(y), <float *> data(out), size(g))
    else:
        select(<const double *> data(g), <const double *> data(y), <double *> data(out), size(g))
    return out


cdef inline void one_row(const floating *a, Py_ssize_t step, const floating *b, Py_ssize_t k,
                         Py_ssize_t width, floating *out) noexcept nogil:
    """A strip of one row of a product: out[q] ← Σ a[p step] b[p width + q]."""
    cdef Py_ssize_t p, q
    cdef floating x
    cdef floating[STRIP] total
    for q in range(STRIP):
        total[q] = 0
    for p in range(k):
        x = a[p * step]
        for q in range(STRIP):
            total[q] += x * b[p * width + q]
    for q in range(STRIP):
        out[q] = total[q]


cdef cloned multiply(const floating *a, const floating *b, floating *out, Py_ssize_t m,
                     Py_ssize_t k, Py_ssize_t n, Py_ssize_t width, Py_ssize_t row,
                     Py_ssize_t step) noexcept nogil:
    """out (m, n) ← a b, where a's entry i, p lies at i row + p step, and b is packed."""
    cdef Py_ssize_t i, q, start, strip
    cdef floating[STRIP] rest
    cdef floating *target
    for strip in range(width // STRIP):
        start = strip * STRIP
        for i in range(m):
            target = &out[i * n + start] if start + STRIP <= n else rest
            one_row(&a[i * row], step, &b[start], k, width, target)
            if start + STRIP > n:
                for q in range(n - start):
                    out[i * n + start + q] = rest[q]


cdef void pack(const floating *b, floating *packed, Py_ssize_t k, Py_ssize_t n, Py_ssize_t width,
               Py_ssize_t row, Py_ssize_t step) noexcept nogil:
    """b (k, n), whose entry p, q lies at p row + q step, filled up with 0 to so many columns."""
    cdef Py_ssize_t p, q
    for p in range(k):
        for q in range(n):
            packed[p * width + q] = b[p * row + q * step]
        for q in range(n, width):
            packed[p * width + q] = 0


cdef void product(const floating *a, const floating *b, floating *out, Py_ssize_t m, Py_ssize_t k,
                  Py_ssize_t n, Py_ssize_t width, bint turned_a, bint turned_b) noexcept nogil:
    cdef floating[LARGEST] packed
    if turned_b:
        pack(b, packed, k, n, width, 1, k)
        b = packed
    elif n < width:
        pack(b, packed, k, n, width, n, 1)
        b = packed
    if turned_a:
        multiply(a, b, out, m, k, n, width, 1, m)
    else:
        multiply(a, b, out, m, k, n, width, k, 1)


def small_matmul(a, b, bint turned_a=False, bint turned_b=False):
    """a b of two matrices, either transposed first, or None: larger ones are for BLAS.

    A call of NumPy costs as much as some ten thousand multiplications.
    """
    if not (is_matrix(a) and is_matrix(b) and single(a) == single(b)):
        return None
    cdef Py_ssize_t m = last(a) if turned_a else rows(a), k = rows(a) if turned_a else last(a)
    cdef Py_ssize_t n = rows(b) if turned_b else last(b)
    cdef Py_ssize_t width = (n + STRIP - 1) // STRIP * STRIP
    if m * k * width > PRODUCTS or k * width > LARGEST or k != (last(b) if turned_b else rows(b)):
        return None
    cdef Py_ssize_t[2] shape = [m, n]
    out = empty(2, shape, a)
    if single(a):
        product(<const float *> data(a), <const float *> data(b), <float *> data(out), m, k, n,
                width, turned_a, turned_b)
    else:
        product(<const double *> data(a), <const double *> data(b), <double *> data(out), m, k, n,
                width, turned_a, turned_b)
    return out
