"""Losses and their gradients in one pass over the data.

Softmax cross-entropy, with p = softmax(x) and targets t, smoothed to t' = (1 − s) t + s Σt / C over
C classes:

    L = −Σ t'ₖ ln pₖ = Σt' ln Σeˣ − Σ t'ₖ xₖ        ∂L/∂xₖ = pₖ Σt' − t'ₖ

Each row is shifted by its maximum, so nothing overflows; a class with t' = 0 adds nothing to the
loss, even at a logit of −∞. Logits of ∞ share the probability of their row. Sums are accumulated in
float64, in an order that depends on the length alone. Rows are independent, so the bits do not
depend on the number of threads.
"""

import functools

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY, exp, log
from libc.string cimport memcpy, memset

from minidl._kernels.arrays cimport (
    alike, copy_of, data, empty_like, import_numpy, is_array, is_labels, is_matrix, is_vector,
    last_of, new_doubles, new_number, readable, rows_of, single, size_of
)
from minidl._kernels.plan cimport Call, Loop, Plan, loop_call, perform, plain, plan_of
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
                               const long long *labels, const double *weights,
                               double smoothing, double total_scale, double *losses,
                               floating *gradient, Py_ssize_t begin, Py_ssize_t end,
                               Py_ssize_t classes) noexcept nogil:
    """Losses and scaled gradients of the rows begin … end − 1, against labels if target is NULL."""
    cdef Py_ssize_t i, k
    cdef double scale = total_scale, t, target_sum, exp_sum, log_exp_sum, loss, factor
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
        if weights != NULL:
            scale = total_scale * weights[i]
            if weights[i] == 0:  # whatever the logits are, also NaN
                losses[i] = 0
                memset(out, 0, classes * sizeof(floating))
                continue
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
        losses[i] = loss if weights == NULL else weights[i] * loss


cdef void cross_entropy_loop(const floating *x, const floating *target, const long long *labels,
                             const double *weights, double smoothing, double scale,
                             double *losses, floating *gradient, Py_ssize_t n,
                             Py_ssize_t classes, int n_threads) noexcept nogil:
    """All rows, on a number of threads."""
    cdef Py_ssize_t block = BLOCK // classes + 1  # rows at a time, so that they stay in the cache
    cdef Py_ssize_t part, parts = (n + block - 1) // block
    if n_threads == 1:
        for part in range(parts):
            cross_entropy_rows(x, target, labels, weights, smoothing, scale, losses, gradient,
                               part * block, n if part == parts - 1 else (part + 1) * block,
                               classes)
    else:
        for part in prange(parts, num_threads=n_threads):
            cross_entropy_rows(x, target, labels, weights, smoothing, scale, losses, gradient,
                               part * block, n if part == parts - 1 else (part + 1) * block,
                               classes)


cdef int run_cross_entropy(Call *call) noexcept nogil:
    """a = x, labels or probabilities, losses, total, gradient; a copy of the labels, weights of the
    rows and the scale of their sum, or NULL."""
    cdef Py_ssize_t n = call.n[0], classes = call.n[1], i
    cdef int n_threads = <int> call.n[3]
    cdef double smoothing = call.c[0], scale = call.c[1]
    cdef double *losses = <double *> call.a[2]
    cdef const double *weights = <const double *> call.a[6]
    cdef const long long *labels = <const long long *> call.a[5]
    cdef void *probabilities = NULL if labels != NULL else call.a[1]
    if call.a[7] != NULL:
        scale = (<double *> call.a[7])[0]
    if labels != NULL:  # checked in a copy, since another thread could change the array meanwhile
        memcpy(call.a[5], call.a[1], n * sizeof(long long))
        for i in range(n):
            if not 0 <= labels[i] < classes:
                return 1
    if call.n[2]:
        cross_entropy_loop(<const float *> call.a[0], <const float *> probabilities, labels,
                           weights, smoothing, scale, losses, <float *> call.a[4], n, classes,
                           n_threads)
        (<float *> call.a[3])[0] = <float> (row_sum(<const double *> losses, n) * scale)
    else:
        cross_entropy_loop(<const double *> call.a[0], <const double *> probabilities, labels,
                           weights, smoothing, scale, losses, <double *> call.a[4], n, classes,
                           n_threads)
        (<double *> call.a[3])[0] = row_sum(<const double *> losses, n) * scale
    return 0


cdef bint is_number(x) noexcept:
    """Whether x is an array of one float64, as weights give a scale in a captured step."""
    return is_array(x) and readable(x) and not single(x) and size_of(x) == 1


def check_labels(labels, Py_ssize_t classes):
    """IndexError that names the first label outside 0 … classes − 1."""
    advice = "; with one output for two classes, use binary_cross_entropy" if classes == 1 else ""
    for i, label in enumerate(labels):
        if not 0 <= label < classes:
            raise IndexError(
                f"cross_entropy: the label of row {i} is {label}, but with {classes} classes "
                f"labels run from 0 to {classes - 1}{advice}"
            )


def cross_entropy(x, target, double smoothing, scale, weights=None):
    """(losses, scale · their sum, gradient of that) for the rows of logits x (n, C).

    target   a vector of n labels, int64, or an array of probabilities with x's shape and dtype
    scale    a number, or an array with one in float64 if there are weights
    weights  None, or a vector of n in float64; the loss of a row of weight 0 is 0

    Losses are float64. IndexError for a label outside 0 … C − 1; ValueError for other arrays.
    """
    cdef Plan plan = plan_of((x, target, weights, scale))
    cdef Call call
    x, target, weights, scale = plain(x), plain(target), plain(weights), plain(scale)
    given = (x, target) if weights is None else (x, target, weights)
    cdef bint soft = readable(target)
    if not is_matrix(x) or last_of(x) == 0 or not (
        alike(x, target) if soft else is_labels(target) and size_of(target) == rows_of(x)
    ) or weights is not None and not (
        is_vector(weights) and not single(weights) and size_of(weights) == rows_of(x)
    ):
        raise ValueError(
            "cross_entropy needs C-contiguous arrays: logits (n, C) of float32 or float64, and n "
            f"int64 labels or probabilities like the logits; got {x!r:.100} and {target!r:.100}"
        )
    losses, total, gradient = new_doubles(rows_of(x)), new_number(x), empty_like(x)
    copied = None if soft else copy_of(target)
    call = loop_call(NULL, NULL, (x, target, losses, total, gradient))
    call.run, call.a[5] = run_cross_entropy, NULL if soft else data(copied)
    call.a[6] = NULL if weights is None else data(weights)
    call.n[0], call.n[1], call.n[2] = rows_of(x), last_of(x), single(x)
    call.n[3] = threads() if size_of(x) >= THREADED else 1
    call.c[0] = smoothing
    if is_number(scale) and weights is not None:
        call.a[7], given = data(scale), (*given, scale)
    else:
        call.c[1] = scale
    if plan is not None:
        plan.kept.append(copied)
    return perform(&call, plan, "cross_entropy", given, (losses, total, gradient),
                   None if soft else functools.partial(check_labels, copied, last_of(x)))


cdef inline void squared_errors(floating **a, Py_ssize_t n, double scale,
                                bint weighted) noexcept nogil:
    cdef const floating *p = a[0]
    cdef const floating *t = a[1]
    cdef floating *loss = a[2]
    cdef floating *gradient = a[3]
    cdef const floating *weights = a[4]
    cdef Py_ssize_t k, q
    cdef double total = 0
    cdef floating slope = <floating> (2 * scale), error, part
    cdef double[LANES] sums
    for q in range(LANES):
        sums[q] = 0
    for k in range(n // LANES):
        for q in range(LANES):
            error = part = p[k * LANES + q] - t[k * LANES + q]
            if weighted:  # a constant of each caller
                error = error if weights[k * LANES + q] != 0 else 0  # also for NaN and infinity
                part = weights[k * LANES + q] * error
            gradient[k * LANES + q] = slope * part
            sums[q] += <double> part * error
    for k in range(n // LANES * LANES, n):
        error = part = p[k] - t[k]
        if weighted:
            error = error if weights[k] != 0 else 0
            part = weights[k] * error
        gradient[k] = slope * part
        sums[k % LANES] += <double> part * error
    for q in range(LANES):
        total += sums[q]
    loss[0] = <floating> (total * scale)


cdef cloned squared_error_loop(floating **a, const Py_ssize_t *size,
                               const double *c) noexcept nogil:
    if a[4] == NULL:
        squared_errors(a, size[0], c[0], False)
    else:
        squared_errors(a, size[0], c[0] if a[5] == NULL else (<double *> a[5])[0], True)


def squared_error(p, t, scale, weights=None):
    """(scale · Σ w (p − t)², 2 · scale · w (p − t)), the sum in float64.

    weights  None, or an array like p and t; an error of weight 0 is 0
    scale    a number, or an array with one in float64 if there are weights

    ValueError unless all are C-contiguous, of one shape and dtype, float32 or float64.
    """
    cdef Plan plan = plan_of((p, t, weights, scale))
    cdef Call call
    p, t, weights, scale = plain(p), plain(t), plain(weights), plain(scale)
    given = (p, t) if weights is None else (p, t, weights)
    if not (readable(p) and readable(t) and alike(p, t) and (
        weights is None or readable(weights) and alike(p, weights)
    )):
        raise ValueError(
            "squared_error needs C-contiguous arrays of one shape and dtype, float32 or float64; "
            f"got {p!r:.100} and {t!r:.100}"
        )
    loss, gradient = new_number(p), empty_like(p)
    call = loop_call(<Loop> squared_error_loop[float], <Loop> squared_error_loop[double],
                     (p, t, loss, gradient))
    call.n[0] = size_of(p)
    call.a[4] = NULL if weights is None else data(weights)
    if is_number(scale) and weights is not None:
        call.a[5], given = data(scale), (*given, scale)
    else:
        call.c[0] = scale
    return perform(&call, plan, "squared_error", given, (loss, gradient))
