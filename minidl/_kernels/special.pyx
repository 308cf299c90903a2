"""Element-wise functions that NumPy lacks."""

from cython cimport floating
from libc.math cimport erfc, sqrt


def normal_cdf(const floating[::1] x not None, floating[::1] out not None):
    """out ← Φ(x) = ½ erfc(−x / √2), the normal distribution function, exact in both tails."""
    cdef Py_ssize_t i, n = x.shape[0]
    cdef double root_half = sqrt(0.5)
    if out.shape[0] != n:
        raise ValueError(f"out has {out.shape[0]} entries, x has {n}")
    with nogil:
        for i in range(n):
            out[i] = <floating> (0.5 * erfc(-root_half * x[i]))
