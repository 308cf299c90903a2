"""What kernels read from a NumPy array struct directly: a buffer costs ten times as much.

A module that uses these calls `import_numpy()` once.

Another thread may write to an array while a kernel reads it without the GIL. That may give wrong
numbers, but no access outside an array: addresses, shapes and dtypes are read together, after the
last Python code of a call, and indices are copied before they are checked. A kernel holds
references to its arrays, so that `resize` refuses to move their memory (unless its check of
references is switched off, which NumPy itself doesn't survive either).
"""

from libc.string cimport memcpy

cdef extern from "numpy/arrayobject.h":
    ctypedef struct Array "PyArrayObject":
        pass
    int NPY_FLOAT, NPY_DOUBLE, NPY_INT, NPY_LONG, NPY_LONGLONG
    int import_numpy "_import_array"() except -1
    bint PyArray_Check(object)
    bint PyArray_ISCARRAY(Array *)
    bint PyArray_ISCARRAY_RO(Array *)
    bint PyArray_SAMESHAPE(Array *, Array *)
    int PyArray_TYPE(Array *)
    char *PyArray_BYTES(Array *)
    Py_ssize_t PyArray_SIZE(Array *)
    Py_ssize_t PyArray_ITEMSIZE(Array *)
    int PyArray_NDIM(Array *)
    Py_ssize_t PyArray_DIM(Array *, int)
    Py_ssize_t *PyArray_DIMS(Array *)
    object PyArray_SimpleNew(int, Py_ssize_t *, int)


cdef inline bint readable(object a) noexcept:
    """Whether a is a C-contiguous array of float32 or float64."""
    if not PyArray_Check(a) or not PyArray_ISCARRAY_RO(<Array *> a):
        return False
    return PyArray_TYPE(<Array *> a) == NPY_FLOAT or PyArray_TYPE(<Array *> a) == NPY_DOUBLE


cdef inline bint is_array(object a) noexcept:
    return PyArray_Check(a)


cdef inline bint is_carray(object a) noexcept:
    """Whether an array is C-contiguous, aligned and in the machine's byte order."""
    return PyArray_ISCARRAY_RO(<Array *> a)


cdef inline bint same_type(object a, object b) noexcept:
    """Whether two arrays of numbers have the same type."""
    return PyArray_TYPE(<Array *> a) == PyArray_TYPE(<Array *> b)


cdef inline bint same_kind(object a, object b) noexcept:
    """Whether two arrays of numbers have the same type and shape."""
    return (PyArray_TYPE(<Array *> a) == PyArray_TYPE(<Array *> b)
            and PyArray_SAMESHAPE(<Array *> a, <Array *> b))


cdef inline bint alike(object a, object b) noexcept:
    """Whether two readable arrays have the same dtype and shape."""
    if PyArray_TYPE(<Array *> a) != PyArray_TYPE(<Array *> b):
        return False
    return PyArray_SAMESHAPE(<Array *> a, <Array *> b)


cdef inline bint writable(object a) noexcept:
    return PyArray_ISCARRAY(<Array *> a)


cdef inline char *data(object a) noexcept:
    return PyArray_BYTES(<Array *> a)


cdef inline Py_ssize_t size_of(object a) noexcept:
    return PyArray_SIZE(<Array *> a)


cdef inline Py_ssize_t itemsize(object a) noexcept:
    return PyArray_ITEMSIZE(<Array *> a)


cdef inline bint single(object a) noexcept:
    """Whether a readable array is float32, not float64."""
    return PyArray_TYPE(<Array *> a) == NPY_FLOAT


cdef inline object empty(int ndim, Py_ssize_t *shape, object a):
    """A new array of a's dtype."""
    return PyArray_SimpleNew(ndim, shape, PyArray_TYPE(<Array *> a))


cdef inline object new_doubles(Py_ssize_t n):
    return PyArray_SimpleNew(1, &n, NPY_DOUBLE)


cdef inline object new_number(object a):
    """A new array of a's dtype without axes."""
    return PyArray_SimpleNew(0, NULL, PyArray_TYPE(<Array *> a))


cdef inline object empty_like(object a):
    return empty(PyArray_NDIM(<Array *> a), PyArray_DIMS(<Array *> a), a)


cdef inline bint is_vector(object a) noexcept:
    return readable(a) and PyArray_NDIM(<Array *> a) == 1


cdef inline bint is_integers(object a, Py_ssize_t itemsize) noexcept:
    """Whether a is a contiguous vector of signed integers of this size."""
    if not PyArray_Check(a) or not PyArray_ISCARRAY_RO(<Array *> a):
        return False
    cdef int kind = PyArray_TYPE(<Array *> a)
    return (PyArray_NDIM(<Array *> a) == 1 and PyArray_ITEMSIZE(<Array *> a) == itemsize
            and (kind == NPY_INT or kind == NPY_LONG or kind == NPY_LONGLONG))


cdef inline bint is_labels(object a) noexcept:
    """Whether a is a contiguous vector of int64."""
    return is_integers(a, 8)


cdef inline bint is_indices(object a) noexcept:
    """Whether a is a contiguous vector of intp."""
    return is_integers(a, sizeof(Py_ssize_t))


cdef inline object copy_of(object a):
    """A copy of a contiguous vector, made with the GIL."""
    cdef Py_ssize_t size = size_of(a)
    cdef char *source = data(a)
    copied = PyArray_SimpleNew(1, &size, PyArray_TYPE(<Array *> a))
    memcpy(data(copied), source, size * itemsize(copied))
    return copied


cdef inline bint is_matrix(object a) noexcept:
    return readable(a) and PyArray_NDIM(<Array *> a) == 2


cdef inline Py_ssize_t rows_of(object a) noexcept:
    """The number of rows of a matrix."""
    return PyArray_DIM(<Array *> a, 0)


cdef inline Py_ssize_t last_of(object a) noexcept:
    """The length of the last axis, −1 where there is none."""
    cdef int n = PyArray_NDIM(<Array *> a)
    return PyArray_DIM(<Array *> a, n - 1) if n else -1
