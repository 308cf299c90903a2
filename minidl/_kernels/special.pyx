"""Functions of each entry that NumPy lacks, or is slow at."""

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


def gate(const floating[::1] g not None, const floating[::1] y not None,
         floating[::1] out not None):
    """out ← g where y > 0, else 0, whatever g is there: no branch, where NumPy's where has one."""
    cdef Py_ssize_t i, n = g.shape[0]
    cdef floating passing
    if not y.shape[0] == out.shape[0] == n:
        raise ValueError(f"g has {n} entries, y {y.shape[0]} and out {out.shape[0]}")
    with nogil:
        for i in range(n):
            passing = g[i]  # loaded in any case, so that the compiler can select rather than jump
            out[i] = passing if y[i] > 0 else 0
