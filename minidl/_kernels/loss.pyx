"""Losses and their gradients in one pass over the data.

Softmax cross-entropy, with p = softmax(x) and targets t, smoothed to t' = (1 − s) t + s Σt / C over
C classes:

    L = −Σ t'ₖ ln pₖ = Σt' ln Σeˣ − Σ t'ₖ xₖ        ∂L/∂xₖ = pₖ Σt' − t'ₖ

Each row is shifted by its maximum, so nothing overflows; a class with t' = 0 costs nothing, even
at a logit of −∞. Sums are kept in float64, in an order that depends on nothing but the length.
Rows are independent: the bits do not depend on the number of threads.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY, exp, log

from minidl._kernels.arrays cimport (
    alike, data, empty_like, import_numpy, is_labels, is_matrix, last_of, new_doubles, readable,
    rows_of, single, size_of
)
from minidl._kernels.system cimport cloned, threads

import_numpy()

cdef enum:
    THREADED = 262144  # logits; below this, starting the threads costs more than they save
    BLOCK = 2048  # logits
    LANES = 16  # sums and maxima that run side by side

threaded = THREADED

cdef extern from *:
    """
    /* e^x in float32 for x <= 0, to a unit or two in the last place: x = n ln 2 + r, and the series
       of e^r. Without a call or a branch, so that the compiler can make vectors of it. */
    static inline float minidl_power_of_two(int n) {
        union { int bits; float value; } it;
        it.bits = (n + 127) << 23;
        return it.value;
    }
    static inline float minidl_exp(float x) {
        float n, r, y;
        int whole;
        x = x < -104.0f ? -104.0f : x;  /* there e^x is 0 */
        n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  /* to the nearest whole number */
        r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  /* ln 2 in two parts */
        whole = (int) n;
        y = 1.9841270e-4f;  /* 1/7!, and so on */
        y = y * r + 1.3888889e-3f;
        y = y * r + 8.3333333e-3f;
        y = y * r + 4.1666667e-2f;
        y = y * r + 1.6666667e-1f;
        y = y * r + 0.5f;
        y = y * r * r + r;
        /* 2^n in two factors, as e^x may be too small for one */
        return (y + 1.0f) * minidl_power_of_two(whole >> 1)
            * minidl_power_of_two(whole - (whole >> 1));
    }
    """
    float exp_single "minidl_exp"(float) noexcept nogil


cdef inline floating largest(const floating *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k, q
    cdef floating[LANES] top
    cdef floating most = <floating> -INFINITY
    if n >= LANES:
        for q in range(LANES):
            top[q] = most
        for k in range(n // LANES):
            for q in range(LANES):
                top[q] = x[k * LANES + q] if x[k * LANES + q] > top[q] else top[q]
        for q in range(LANES):
            most = top[q] if top[q] > most else most
    for k in range(n // LANES * LANES, n):
        most = x[k] if x[k] > most else most
    return most


cdef inline double total(const floating *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k, q
    cdef double[LANES] sums
    cdef double whole = 0
    if n >= LANES:
        for q in range(LANES):
            sums[q] = 0
        for k in range(n // LANES):
            for q in range(LANES):
                sums[q] += x[k * LANES + q]
        for q in range(LANES):
            whole += sums[q]
    for k in range(n // LANES * LANES, n):
        whole += x[k]
    return whole


cdef inline void exponentials(floating *x, Py_ssize_t n) noexcept nogil:
    """x ← e^x."""
    cdef Py_ssize_t k
    for k in range(n):
        if floating is float:
            x[k] = exp_single(x[k])
        else:
            x[k] = exp(x[k])


cdef cloned some_rows(const floating *x, const floating *target, const long long *labels,
                      double smoothing, double scale, double *losses, floating *gradient,
                      Py_ssize_t begin, Py_ssize_t end, Py_ssize_t classes) noexcept nogil:
    """The losses and scaled gradients of some rows against labels, or targets where there are."""
    cdef Py_ssize_t i, k
    cdef double t, mass, whole, log_whole, loss, spread
    cdef floating top, share
    cdef const floating *row
    cdef floating *out
    for i in range(begin, end):
        row, out = x + i * classes, gradient + i * classes
        top = largest(row, classes)
        losses[i] = top
        for k in range(classes):
            out[k] = row[k] - top
    exponentials(gradient + begin * classes, (end - begin) * classes)
    for i in range(begin, end):
        row, out = x + i * classes, gradient + i * classes
        top = <floating> losses[i]
        whole = total(out, classes)
        log_whole = log(whole)
        mass = total(target + i * classes, classes) if target != NULL else 1
        spread = scale * mass / whole
        loss = 0
        if target != NULL or smoothing != 0:
            for k in range(classes):
                t = smoothing * mass / classes
                if target != NULL:
                    t += (1 - smoothing) * target[i * classes + k]
                elif k == labels[i]:
                    t += 1 - smoothing
                if t != 0:
                    loss += t * (log_whole - (<double> row[k] - top))
                out[k] = <floating> (out[k] * spread - scale * t)
        else:  # the same where t is 0 but at the label
            loss = log_whole - (<double> row[labels[i]] - top)
            t = out[labels[i]] * spread - scale
            share = <floating> spread
            for k in range(classes):
                out[k] = out[k] * share
            out[labels[i]] = <floating> t
        losses[i] = loss


cdef void all_rows(const floating *x, const floating *target, const long long *labels,
                   double smoothing, double scale, double *losses, floating *gradient,
                   Py_ssize_t n, Py_ssize_t classes) noexcept nogil:
    cdef Py_ssize_t block = BLOCK // classes + 1  # rows at a time, so that they stay in the cache
    cdef Py_ssize_t part, parts = (n + block - 1) // block
    if n * classes < THREADED or threads() == 1:
        for part in range(parts):
            some_rows(x, target, labels, smoothing, scale, losses, gradient, part * block,
                      n if part == parts - 1 else (part + 1) * block, classes)
    else:
        for part in prange(parts, num_threads=threads()):
            some_rows(x, target, labels, smoothing, scale, losses, gradient, part * block,
                      n if part == parts - 1 else (part + 1) * block, classes)


def cross_entropy(x, target, double smoothing, double scale):
    """(losses, their sum, gradient) of the rows of logits x; the gradient is of scale · the sum.

    Losses are float64. The target is an array of labels, of int64, or of probabilities like x.
    IndexError for a label that is no class.
    """
    cdef Py_ssize_t i, n, classes
    cdef bint soft = readable(target)
    cdef const long long *labels = NULL
    if not is_matrix(x) or last_of(x) == 0 or not (
        alike(x, target) if soft else is_labels(target) and size_of(target) == rows_of(x)
    ):
        raise ValueError(f"x and target don't fit: {x!r:.100} and {target!r:.100}")
    n, classes = rows_of(x), last_of(x)
    if not soft:
        labels = <const long long *> data(target)
        for i in range(n):
            if not 0 <= labels[i] < classes:
                raise IndexError(
                    f"cross_entropy: the label of row {i} is {labels[i]}, but with {classes} "
                    f"classes labels run from 0 to {classes - 1}"
                )
    gradient = empty_like(x)
    losses = new_doubles(n)
    cdef char *logits = data(x)
    cdef char *shares = data(target) if soft else NULL
    cdef char *slopes = data(gradient)
    cdef double *each = <double *> data(losses)
    cdef bint singles = single(x)
    with nogil:
        if singles:
            all_rows(<const float *> logits, <const float *> shares, labels, smoothing, scale,
                     each, <float *> slopes, n, classes)
        else:
            all_rows(<const double *> logits, <const double *> shares, labels, smoothing, scale,
                     each, <double *> slopes, n, classes)
    return losses, total(<const double *> data(losses), n), gradient


cdef cloned differences(const floating *p, const floating *t, floating slope, floating *gradient,
                        double *sums, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k, q
    cdef floating error
    for k in range(n // LANES):
        for q in range(LANES):
            error = p[k * LANES + q] - t[k * LANES + q]
            gradient[k * LANES + q] = slope * error
            sums[q] += <double> error * error
    for k in range(n // LANES * LANES, n):
        error = p[k] - t[k]
        gradient[k] = slope * error
        sums[k % LANES] += <double> error * error


def squared_error(p, t, double scale):
    """(Σ(p − t)², 2 · scale · (p − t)), the sum in float64; None for arrays not alike."""
    if not (readable(p) and readable(t) and alike(p, t)):
        return None
    cdef double[LANES] sums
    cdef double whole = 0
    cdef Py_ssize_t q
    gradient = empty_like(p)
    for q in range(LANES):
        sums[q] = 0
    if single(p):
        differences(<const float *> data(p), <const float *> data(t), <float> (2 * scale),
                    <float *> data(gradient), sums, size_of(p))
    else:
        differences(<const double *> data(p), <const double *> data(t), 2 * scale,
                    <double *> data(gradient), sums, size_of(p))
    for q in range(LANES):
        whole += sums[q]
    return whole, gradient
