"""Softmax cross-entropy: losses and gradient by the logits in one pass over each row.

With p = softmax(x) and targets t, smoothed to t' = (1 − s) t + s Σt / C over C classes:

    L = −Σ t'ₖ ln pₖ = Σt' ln Σeˣ − Σ t'ₖ xₖ        ∂L/∂xₖ = pₖ Σt' − t'ₖ

Each row is shifted by its maximum, so nothing overflows; a class with t' = 0 costs nothing, even
at a logit of −∞. Sums are kept in float64. Rows are independent: the bits do not depend on the
number of threads.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY, exp, expf, log

from minidl._kernels.system cimport threads

cdef enum:
    THREADED = 16384  # logits; below this, starting the threads costs more than they save


cdef double _exponentials(const floating[:, ::1] x, Py_ssize_t i, floating[:, ::1] gradient,
                          double *top) noexcept nogil:
    """gradient[i] ← e^(x − top); returns the sum of the row."""
    cdef Py_ssize_t k, classes = x.shape[1]
    cdef double total = 0, e
    top[0] = -INFINITY
    for k in range(classes):
        if x[i, k] > top[0]:
            top[0] = x[i, k]
    for k in range(classes):
        e = expf(<float> (x[i, k] - top[0])) if floating is float else exp(x[i, k] - top[0])
        gradient[i, k] = <floating> e
        total += e
    return total


cdef double _row(const floating[:, ::1] x, Py_ssize_t i, const floating[:, ::1] target,
                 Py_ssize_t label, double smoothing, floating[:, ::1] gradient) noexcept nogil:
    """The loss of row i against a label, or against target[i] where the label is −1."""
    cdef Py_ssize_t k, classes = x.shape[1]
    cdef double top, t, mass = 0, loss = 0
    cdef double total = _exponentials(x, i, gradient, &top)
    cdef double log_total = log(total)
    if label < 0:
        for k in range(classes):
            mass += target[i, k]
    else:
        mass = 1
    for k in range(classes):
        t = smoothing * mass / classes
        if label < 0:
            t += (1 - smoothing) * target[i, k]
        elif k == label:
            t += 1 - smoothing
        if t != 0:
            loss += t * (log_total - (x[i, k] - top))
        gradient[i, k] = <floating> (gradient[i, k] / total * mass - t)
    return loss


def cross_entropy(const floating[:, ::1] x not None, const long long[::1] labels not None,
                  double smoothing, floating[::1] losses not None,
                  floating[:, ::1] gradient not None):
    """losses[i] and gradient[i] of logits x[i] against labels[i]; IndexError for a bad label."""
    cdef Py_ssize_t i, rows = x.shape[0], classes = x.shape[1]
    if not (labels.shape[0] == losses.shape[0] == gradient.shape[0] == rows
            and gradient.shape[1] == classes):
        raise ValueError("x, labels, losses and gradient differ in length")
    for i in range(rows):
        if not 0 <= labels[i] < classes:
            raise IndexError(
                f"cross_entropy: the label of row {i} is {labels[i]}, but with {classes} classes "
                f"labels run from 0 to {classes - 1}"
            )
    for i in prange(rows, nogil=True, num_threads=threads(),
                    use_threads_if=rows * classes >= THREADED):
        losses[i] = <floating> _row(x, i, x, labels[i], smoothing, gradient)


def soft_cross_entropy(const floating[:, ::1] x not None, const floating[:, ::1] target not None,
                       double smoothing, floating[::1] losses not None,
                       floating[:, ::1] gradient not None):
    """losses[i] and gradient[i] of logits x[i] against the probabilities target[i]."""
    cdef Py_ssize_t i, rows = x.shape[0], classes = x.shape[1]
    if not (target.shape[0] == losses.shape[0] == gradient.shape[0] == rows
            and target.shape[1] == gradient.shape[1] == classes):
        raise ValueError("x, target, losses and gradient differ in length")
    for i in prange(rows, nogil=True, num_threads=threads(),
                    use_threads_if=rows * classes >= THREADED):
        losses[i] = <floating> _row(x, i, target, -1, smoothing, gradient)
