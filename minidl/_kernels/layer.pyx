"""The parts of a layer and of its gradient, for small arrays, where a call of NumPy costs more.

All arrays of a call must be C-contiguous and of one dtype, float32 or float64, and their shapes
must fit: otherwise nothing is done, and None (or False) says so.
"""

from cython cimport floating

from minidl._kernels.arrays cimport (
    alike, data, empty, empty_like, import_numpy, is_matrix, is_vector, last_of, readable,
    rows_of, single, size_of, writable
)
from minidl._kernels.system cimport cloned

import_numpy()

cdef enum:
    TILE = 64  # columns that are added up at a time
    STRIP = 16  # columns of a product that are computed at a time
    LARGEST = 4096  # entries of b, packed into strips
    PRODUCTS = 131072  # multiplications, from where on BLAS is faster


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
    """y ← y + b for each row of y (m, n), with b (n,); or max(y + b, 0). Whether it was done."""
    if not (is_matrix(y) and is_vector(b) and single(y) == single(b) and last_of(y) == size_of(b)
            and writable(y)):
        return False
    if single(y):
        shift(<float *> data(y), <const float *> data(b), rows_of(y), size_of(b), rectify)
    else:
        shift(<double *> data(y), <const double *> data(b), rows_of(y), size_of(b), rectify)
    return True


cdef cloned add_rows(const floating *g, floating *out, Py_ssize_t rows,
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
    """The sum of the rows of a matrix, added up in float64."""
    if not is_matrix(g):
        return None
    cdef Py_ssize_t n = last_of(g)
    out = empty(1, &n, g)
    if single(g):
        add_rows(<const float *> data(g), <float *> data(out), rows_of(g), n)
    else:
        add_rows(<const double *> data(g), <double *> data(out), rows_of(g), n)
    return out


cdef cloned select(const floating *g, const floating *y, floating *out,
                   Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating passing
    for i in range(n):
        passing = g[i]  # loaded in any case, so that the compiler can select rather than jump
        out[i] = passing if y[i] > 0 else 0


def gate(g, y):
    """g where y > 0, else 0, whatever g is there."""
    if not (readable(g) and readable(y) and alike(g, y)):
        return None
    out = empty_like(g)
    if single(g):
        select(<const float *> data(g), <const float *> data(y), <float *> data(out), size_of(g))
    else:
        select(<const double *> data(g), <const double *> data(y), <double *> data(out), size_of(g))
    return out


cdef inline void four_rows(const floating *a, Py_ssize_t row, Py_ssize_t step, const floating *b,
                           Py_ssize_t k, Py_ssize_t width, floating *out,
                           Py_ssize_t out_row) noexcept nogil:
    """A strip of four rows of a product: out[r, q] ← Σ a[r row + p step] b[p width + q]."""
    cdef Py_ssize_t p, q
    cdef floating x0, x1, x2, x3
    cdef floating[STRIP] sum0, sum1, sum2, sum3
    for q in range(STRIP):
        sum0[q] = sum1[q] = sum2[q] = sum3[q] = 0
    for p in range(k):
        x0, x1 = a[p * step], a[row + p * step]
        x2, x3 = a[2 * row + p * step], a[3 * row + p * step]
        for q in range(STRIP):
            sum0[q] += x0 * b[p * width + q]
            sum1[q] += x1 * b[p * width + q]
            sum2[q] += x2 * b[p * width + q]
            sum3[q] += x3 * b[p * width + q]
    for q in range(STRIP):
        out[q], out[out_row + q] = sum0[q], sum1[q]
        out[2 * out_row + q], out[3 * out_row + q] = sum2[q], sum3[q]


cdef cloned multiply(const floating *a, const floating *b, floating *out, Py_ssize_t m,
                     Py_ssize_t k, Py_ssize_t n, Py_ssize_t width, Py_ssize_t row,
                     Py_ssize_t step) noexcept nogil:
    """out (m, n) ← a b, where a's entry i, p lies at i row + p step, and b is packed."""
    cdef Py_ssize_t block, i, q, r, strip, start, heads, columns
    cdef floating[4 * STRIP] part
    for strip in range(width // STRIP):
        start = strip * STRIP
        columns = STRIP if start + STRIP <= n else n - start
        for block in range((m + 3) // 4):
            i = block * 4
            heads = 4 if i + 4 <= m else m - i
            if heads == 4 and columns == STRIP:
                four_rows(&a[i * row], row, step, &b[start], k, width, &out[i * n + start], n)
                continue
            for r in range(heads):  # at an edge, one row at a time (four times the same)
                if heads < 4 or r == 0:
                    four_rows(&a[(i + r) * row], row if heads == 4 else 0, step, &b[start], k,
                              width, part, STRIP)
                for q in range(columns):
                    out[(i + r) * n + start + q] = part[(r if heads == 4 else 0) * STRIP + q]


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


cdef inline Py_ssize_t filled_up(Py_ssize_t n) noexcept:
    """n columns, as so many of whole strips."""
    return (n + STRIP - 1) // STRIP * STRIP


cdef inline bint is_small(Py_ssize_t m, Py_ssize_t k, Py_ssize_t n) noexcept:
    """Whether the product of (m, k) and (k, n) is for `matmul`, not for BLAS."""
    cdef Py_ssize_t width = filled_up(n)
    return m * k * width <= PRODUCTS and k * width <= LARGEST


cdef object matmul(object a, object b, Py_ssize_t m, Py_ssize_t k, Py_ssize_t n, bint turned_a,
                   bint turned_b):
    """a b of two small matrices, either transposed first, as a new one (m, n)."""
    cdef Py_ssize_t width = filled_up(n)
    cdef Py_ssize_t[2] shape = [m, n]
    out = empty(2, shape, a)
    if single(a):
        product(<const float *> data(a), <const float *> data(b), <float *> data(out), m, k, n,
                width, turned_a, turned_b)
    else:
        product(<const double *> data(a), <const double *> data(b), <double *> data(out), m, k, n,
                width, turned_a, turned_b)
    return out


def dense(x, w, b, bint rectify):
    """x W + b, or max(x W + b, 0); None for products that are large enough for BLAS."""
    if not (is_matrix(x) and is_matrix(w) and single(x) == single(w) and last_of(x) == rows_of(w)
            and is_small(rows_of(x), last_of(x), last_of(w))):
        return None
    y = matmul(x, w, rows_of(x), last_of(x), last_of(w), False, False)
    return y if add_bias(y, b, rectify) else None


def dense_vjp(g, y, x, w, bint to_x):
    """(d Wᵀ, xᵀ d, Σ d), the first only if asked for; d is g, or where y is given, g where y > 0.

    None for products that are large enough for BLAS.
    """
    cdef Py_ssize_t m, k, n
    if not (is_matrix(g) and is_matrix(x) and is_matrix(w) and single(x) == single(w) == single(g)):
        return None
    m, k, n = rows_of(x), rows_of(w), last_of(w)
    if rows_of(g) != m or last_of(x) != k or last_of(g) != n or not is_small(k, m, n) or (
            to_x and not is_small(m, n, k)):
        return None
    d = g if y is None else gate(g, y)
    if d is None:
        return None
    of_x = matmul(d, w, m, n, k, False, True) if to_x else None
    return of_x, matmul(x, d, k, m, n, True, False), sum_rows(d)
