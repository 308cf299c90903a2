"""Element-wise functions that NumPy lacks."""

from cython cimport floating
from libc.math cimport erfc, sqrt

from minidl._kernels.arrays cimport alike, data, import_numpy, readable, single, size_of, writable

import_numpy()


cdef void normal_cdf_loop(const floating *x, floating *out, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    cdef double root_half = sqrt(0.5)
    for i in range(size):
        out[i] = <floating> (0.5 * erfc(-root_half * x[i]))


def normal_cdf(x, out):
    """out ← Φ(x) = ½ erfc(−x / √2), the normal distribution function, exact in both tails.

    ValueError unless x and out are C-contiguous, of one shape and dtype, float32 or float64, and
    out is writable.
    """
    if not (readable(x) and readable(out) and alike(x, out) and writable(out)):
        raise ValueError(
            "normal_cdf needs two C-contiguous arrays of one shape and dtype, float32 or float64, "
            f"the second writable; got {x!r:.100} and {out!r:.100}"
        )
    cdef Py_ssize_t size = size_of(x)
    cdef char *x_data = data(x)
    cdef char *out_data = data(out)
    cdef bint is_single = single(x)
    with nogil:
        if is_single:
            normal_cdf_loop(<const float *> x_data, <float *> out_data, size)
        else:
            normal_cdf_loop(<const double *> x_data, <double *> out_data, size)
