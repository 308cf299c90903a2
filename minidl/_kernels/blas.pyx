"""Matrix products by the functions sgemm and dgemm of a BLAS, called from C.

`minidl._blas` finds the functions. Where it finds none, NumPy's dot multiplies, called from C, too.
"""

from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t
from libc.string cimport memset

import numpy as np

from cython cimport floating

from minidl._kernels.arrays cimport data, empty, import_numpy, is_matrix, last_of, rows_of, single
from minidl._kernels.plan cimport Call, Plan, perform, plain, plan_of

import_numpy()

cdef extern from "numpy/arrayobject.h":
    int NPY_FLOAT, NPY_DOUBLE
    object PyArray_SimpleNewFromData(int, Py_ssize_t *, int, void *)

ctypedef fused integer:
    int
    int64_t

# Another thread may multiply while `use` is called. It may take a function of the library before,
# but never one of other integers than it passes.
cdef (void *)[4] gemms  # with integers of 32 bits dgemm and sgemm, then with 64
cdef bint wide = False
name = "numpy.dot"  # what multiplies
failure = None  # why NumPy's dot failed


def use(size_t sgemm, size_t dgemm, bint wide_integers, str called):
    """Multiply by the functions at these addresses from now on; 0: by NumPy's dot."""
    global wide, name
    gemms[2 * wide_integers], gemms[2 * wide_integers + 1] = <void *> dgemm, <void *> sgemm
    wide, name = wide_integers, called


cdef void multiply(void *gemm, const Call *call, floating one, integer m) noexcept nogil:
    cdef integer k = <integer> call.n[1], n = <integer> call.n[2]
    (<void (*)(int, int, int, integer, integer, integer, floating, const floating *, integer,
               const floating *, integer, floating, floating *, integer) noexcept nogil> gemm)(
        101, 111 + <int> call.n[3], 111 + <int> call.n[4],  # row-major, 112: transposed
        m, n, k, one, <const floating *> call.a[0], m if call.n[3] else k,
        <const floating *> call.a[1], k if call.n[4] else n, 0, <floating *> call.a[2], n)


cdef object matrix(void *a, Py_ssize_t rows, Py_ssize_t columns, bint transposed, bint is_single):
    """The array at an address."""
    cdef Py_ssize_t[2] shape
    shape[transposed], shape[not transposed] = rows, columns
    x = PyArray_SimpleNewFromData(2, shape, NPY_FLOAT if is_single else NPY_DOUBLE, a)
    return x.T if transposed else x


cdef int multiply_by_numpy(const Call *call) noexcept with gil:
    global failure
    cdef Py_ssize_t m = call.n[0], k = call.n[1], n = call.n[2]
    try:
        with np.errstate(all="ignore"):  # as a BLAS
            np.dot(matrix(call.a[0], m, k, call.n[3], call.n[5]),
                   matrix(call.a[1], k, n, call.n[4], call.n[5]),
                   matrix(call.a[2], m, n, False, call.n[5]))
    except BaseException as error:
        failure = error
        return 1
    return 0


cdef int run_product(Call *call) noexcept nogil:
    cdef Py_ssize_t m = call.n[0], k = call.n[1], n = call.n[2]
    cdef bint wide_integers = wide
    cdef void *gemm = gemms[2 * wide_integers + call.n[5]]
    if m == 0 or n == 0:
        return 0
    if k == 0:
        memset(call.a[2], 0, m * n * (4 if call.n[5] else 8))
    elif gemm == NULL:
        return multiply_by_numpy(call)
    elif wide_integers and call.n[5]:
        multiply[float, int64_t](gemm, call, 1, m)
    elif wide_integers:
        multiply[double, int64_t](gemm, call, 1, m)
    elif m > INT_MAX or k > INT_MAX or n > INT_MAX:
        return 1
    elif call.n[5]:
        multiply[float, int](gemm, call, 1, <int> m)
    else:
        multiply[double, int](gemm, call, 1, <int> m)
    return 0


def refusal():
    """Raise the error of a product that could not be computed."""
    global failure
    error, failure = failure, None
    raise error or ValueError(
        f"product: a matrix has more than {INT_MAX} rows or columns, which {name} can't count; "
        "minidl.config.set_blas takes a BLAS with 64-bit integers"
    )


cdef object in_c_order(x):
    """An array as gemm takes it; a recorded array records its copy."""
    return x if is_matrix(plain(x)) or not isinstance(x, np.ndarray) else x.copy()


def product(a, b, bint transpose_a=False, bint transpose_b=False):
    """a b (m, n) for matrices a (m, k) and b (k, n), either of them transposed first.

    What isn't C-contiguous is copied, so that the bits depend on values and shapes alone.
    """
    cdef Plan plan = plan_of((a, b))
    cdef Call call
    cdef Py_ssize_t[2] shape
    a, b = plain(in_c_order(a)), plain(in_c_order(b))
    if not (is_matrix(a) and is_matrix(b) and single(a) == single(b)
            and (rows_of(a) if transpose_a else last_of(a))
            == (last_of(b) if transpose_b else rows_of(b))):
        raise ValueError(
            "product needs matrices a (m, k) and b (k, n), once they are transposed as asked, of "
            f"one dtype, float32 or float64; got {a!r:.100} and {b!r:.100}"
        )
    shape[0] = last_of(a) if transpose_a else rows_of(a)
    shape[1] = rows_of(b) if transpose_b else last_of(b)
    out = empty(2, shape, a)
    memset(&call, 0, sizeof(Call))
    call.run = run_product
    call.a[0], call.a[1], call.a[2] = data(a), data(b), data(out)
    call.n[0], call.n[1] = shape[0], rows_of(a) if transpose_a else last_of(a)
    call.n[2], call.n[3], call.n[4], call.n[5] = shape[1], transpose_a, transpose_b, single(a)
    return perform(&call, plan, "product", (a, b), out, refusal)
