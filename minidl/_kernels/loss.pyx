"""Losses and their gradients in one pass over the data.

Softmax cross-entropy, with p = softmax(x) and targets t, smoothed to t' = (1 − s) t + s Σt / C over
C classes:

    L = −Σ t'ₖ ln pₖ = Σt' ln Σeˣ − Σ t'ₖ xₖ        ∂L/∂xₖ = pₖ Σt' − t'ₖ

Each row is shifted by its maximum, so nothing overflows; a class with t' = 0 adds nothing to the
loss, even at a logit of −∞. Logits of ∞ share the probability of their row. Sums are accumulated in
float64, in an order that depends on the length alone. Rows are independent, so the bits do not
depend on the number of threads.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY, exp, log

from minidl._kernels.arrays cimport (
    alike, copy_of, data, empty_like, import_numpy, is_labels, is_matrix, last_of, new_doubles,
    readable, rows_of, single, size_of
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
    /* e^x in float32 for x <= 0, to one or two units in the last place: x = n ln 2 + r, and the
       series of e^r. It has no call and no branch, so that the compiler can vectorize it. */
    static inline float minidl_power_of_two(int n) {
        union { unsigned bits; float value; } it;
        it.bits = ((unsigned) n + 127u) << 23;
        return it.value;
    }
    static inline float minidl_exp(float x) {
        union { float value; unsigned bits; } shifted;
        float n, r, y;
        int whole;
        x = x < -104.0f ? -104.0f : x;  /* there e^x is 0 */
        shifted.value = x * 1.44269504f + 12582912.0f;  /* to the nearest whole number */
        n = shifted.value - 12582912.0f;
        r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  /* ln 2 in two parts */
        whole = (int) (shifted.bits - 0x4B400000u);  /* n; a cast is not defined for NaN */
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


cdef inline floating row_max(const floating *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k, q
    cdef floating[LANES] maxima
    cdef floating maximum = <floating> -INFINITY
    if n >= LANES:
        for q in range(LANES):
            maxima[q] = maximum
        for k in range(n // LANES):
            for q in range(LANES):
                maxima[q] = x[k * LANES + q] if x[k * LANES + q] > maxima[q] else maxima[q]
        for q in range(LANES):
            maximum = maxima[q] if maxima[q] > maximum else maximum
    for k in range(n // LANES * LANES, n):
        maximum = x[k] if x[k] > maximum else maximum
    return maximum


cdef inline double row_sum(const floating *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k, q
    cdef double[LANES] sums
    cdef double total = 0
    if n >= LANES:
        for q in range(LANES):
            sums[q] = 0
        for k in range(n // LANES):
            for q in range(LANES):
                sums[q] += x[k * LANES + q]
        for q in range(LANES):
            total += sums[q]
    for k in range(n // LANES * LANES, n):
        total += x[k]
    return total


cdef inline void exp_in_place(floating *x, Py_ssize_t n) noexcept nogil:
    """x ← e^x."""
    cdef Py_ssize_t k
    for k in range(n):
        if floating is float:
            x[k] = exp_single(x[k])
        else:
            x[k] = exp(x[k])


cdef inline double below(floating x, floating shift) noexcept nogil:
    """x − shift; 0 at ∞, where the shift is ∞ too."""
    return 0 if x == <floating> INFINITY else <double> x - shift


cdef cloned cross_entropy_rows(const floating *x, const floating *target,
                               const long long *labels, double smoothing, double scale,
                               double *losses, floating *gradient, Py_ssize_t begin,
                               Py_ssize_t end, Py_ssize_t classes) noexcept nogil:
    """Losses and scaled gradients of the rows begin … end − 1, against labels if target is NULL."""
    cdef Py_ssize_t i, k
    cdef double t, target_sum, exp_sum, log_exp_sum, loss, factor
    cdef floating shift, single_factor
    cdef const floating *row
    cdef floating *out
    for i in range(begin, end):
        row, out = x + i * classes, gradient + i * classes
        shift = row_max(row, classes)
        losses[i] = shift
        for k in range(classes):
            out[k] = row[k] - shift
        if shift == <floating> INFINITY:
            for k in range(classes):
                out[k] = <floating> below(row[k], shift)
    exp_in_place(gradient + begin * classes, (end - begin) * classes)
    for i in range(begin, end):
        row, out = x + i * classes, gradient + i * classes
        shift = <floating> losses[i]
        exp_sum = row_sum(out, classes)
        log_exp_sum = log(exp_sum)
        target_sum = row_sum(target + i * classes, classes) if target != NULL else 1
        factor = scale * target_sum / exp_sum
        loss = 0
        if target != NULL or smoothing != 0:
            for k in range(classes):
                t = smoothing * target_sum / classes
                if target != NULL:
                    t += (1 - smoothing) * target[i * classes + k]
                elif k == labels[i]:
                    t += 1 - smoothing
                if t != 0:
                    loss += t * (log_exp_sum - below(row[k], shift))
                out[k] = <floating> (out[k] * factor - scale * t)
        else:  # the common case, where t is 0 except at the label
            loss = log_exp_sum - below(row[labels[i]], shift)
            t = out[labels[i]] * factor - scale
            single_factor = <floating> factor
            for k in range(classes):
                out[k] = out[k] * single_factor
            out[labels[i]] = <floating> t
        losses[i] = loss


cdef void cross_entropy_loop(const floating *x, const floating *target, const long long *labels,
                             double smoothing, double scale, double *losses, floating *gradient,
                             Py_ssize_t n, Py_ssize_t classes, int n_threads) noexcept nogil:
    """All rows, on a number of threads."""
    cdef Py_ssize_t block = BLOCK // classes + 1  # rows at a time, so that they stay in the cache
    cdef Py_ssize_t part, parts = (n + block - 1) // block
    if n_threads == 1:
        for part in range(parts):
            cross_entropy_rows(x, target, labels, smoothing, scale, losses, gradient, part * block,
                               n if part == parts - 1 else (part + 1) * block, classes)
    else:
        for part in prange(parts, num_threads=n_threads):
            cross_entropy_rows(x, target, labels, smoothing, scale, losses, gradient, part * block,
                               n if part == parts - 1 else (part + 1) * block, classes)


def cross_entropy(x, target, double smoothing, double scale):
    """(losses, their sum, gradient) for the rows of logits x (n, C); the gradient of scale · sum.

    target is a vector of n labels, int64, or an array of probabilities with x's shape and dtype.
    Losses are float64. IndexError for a label outside 0 … C − 1; ValueError for other arrays.
    """
    cdef Py_ssize_t i, n, classes
    cdef int n_threads
    cdef bint soft = readable(target)
    cdef const long long *labels = NULL
    if not soft and is_labels(target):
        target = copy_of(target)  # another thread could change it after the check below
    if not is_matrix(x) or last_of(x) == 0 or not (
        alike(x, target) if soft else is_labels(target) and size_of(target) == rows_of(x)
    ):
        raise ValueError(
            "cross_entropy needs C-contiguous arrays: logits (n, C) of float32 or float64, and n "
            f"int64 labels or probabilities like the logits; got {x!r:.100} and {target!r:.100}"
        )
    n, classes = rows_of(x), last_of(x)
    cdef bint is_single = single(x)
    cdef char *x_data = data(x)
    cdef char *target_data = data(target) if soft else NULL
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
    n_threads = threads() if n * classes >= THREADED else 1
    cdef char *gradient_data = data(gradient)
    cdef double *losses_data = <double *> data(losses)
    with nogil:
        if is_single:
            cross_entropy_loop(<const float *> x_data, <const float *> target_data, labels,
                               smoothing, scale, losses_data, <float *> gradient_data, n, classes,
                               n_threads)
        else:
            cross_entropy_loop(<const double *> x_data, <const double *> target_data, labels,
                               smoothing, scale, losses_data, <double *> gradient_data, n, classes,
                               n_threads)
    return losses, row_sum(<const double *> data(losses), n), gradient


cdef cloned squared_error_loop(const floating *p, const floating *t, floating slope,
                               floating *gradient, double *sums, Py_ssize_t n) noexcept nogil:
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
    """(Σ(p − t)², 2 · scale · (p − t)), the sum in float64.

    ValueError unless p and t are C-contiguous, of one shape and dtype, float32 or float64.
    """
    if not (readable(p) and readable(t) and alike(p, t)):
        raise ValueError(
            "squared_error needs two C-contiguous arrays of one shape and dtype, float32 or "
            f"float64; got {p!r:.100} and {t!r:.100}"
        )
    cdef double[LANES] sums
    cdef double total = 0
    cdef Py_ssize_t q
    gradient = empty_like(p)
    for q in range(LANES):
        sums[q] = 0
    if single(p):
        squared_error_loop(<const float *> data(p), <const float *> data(t), <float> (2 * scale),
                           <float *> data(gradient), sums, size_of(p))
    else:
        squared_error_loop(<const double *> data(p), <const double *> data(t), 2 * scale,
                           <double *> data(gradient), sums, size_of(p))
    for q in range(LANES):
        total += sums[q]
    return total, gradient
