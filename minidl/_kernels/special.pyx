"""Element-wise functions that NumPy lacks, and the check of a range of values."""

from cython cimport floating
from libc.math cimport erfc, sqrt
from libc.string cimport memset

from minidl._kernels.arrays cimport data, empty_like, import_numpy, readable, single, size_of
from minidl._kernels.plan cimport Call, Loop, Plan, loop_call, perform, plain, plan_of

import_numpy()


cdef void normal_cdf_loop(floating **a, const Py_ssize_t *n, const double *c) noexcept nogil:
    cdef const floating *x = a[0]
    cdef floating *out = a[1]
    cdef Py_ssize_t size = n[0], i
    cdef double root_half = sqrt(0.5)
    for i in range(size):
        out[i] = <floating> (0.5 * erfc(-root_half * x[i]))


def normal_cdf(x):
    """Φ(x) = ½ erfc(−x / √2), the normal distribution function, exact in both tails.

    ValueError unless x is C-contiguous, float32 or float64.
    """
    cdef Plan plan = plan_of((x,))
    cdef Call call
    x = plain(x)
    if not readable(x):
        raise ValueError(
            f"normal_cdf needs a C-contiguous array of float32 or float64, got {x!r:.100}"
        )
    out = empty_like(x)
    call = loop_call(<Loop> normal_cdf_loop[float], <Loop> normal_cdf_loop[double], (x, out))
    call.n[0] = size_of(x)
    return perform(&call, plan, "normal_cdf", (x,), out)


cdef bint outside(const floating *x, Py_ssize_t size, double low, double high) noexcept nogil:
    """Whether an entry is not in [low, high]; NaN is not."""
    cdef Py_ssize_t i
    cdef bint found = False
    for i in range(size):
        found |= not (low <= x[i] <= high)
    return found


cdef int run_require(Call *call) noexcept nogil:
    if call.n[1]:
        return outside(<const float *> call.a[0], call.n[0], call.c[0], call.c[1])
    return outside(<const double *> call.a[0], call.n[0], call.c[0], call.c[1])


def require(x, double low, double high, explain):
    """Call explain(), which raises an error, unless low ≤ x ≤ high for all entries.

    x is C-contiguous, of float32 or float64; otherwise ValueError.
    """
    cdef Plan plan = plan_of((x,))
    cdef Call call
    x = plain(x)
    if not readable(x):
        raise ValueError(
            f"require needs a C-contiguous array of float32 or float64, got {x!r:.100}"
        )
    memset(&call, 0, sizeof(Call))
    call.run, call.a[0], call.n[0], call.n[1] = run_require, data(x), size_of(x), single(x)
    call.c[0], call.c[1] = low, high
    perform(&call, plan, "require", (x,), (), explain)
