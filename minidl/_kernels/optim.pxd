"""The updates of rules, for the plans of captured steps."""

from cpython.object cimport PyObject

cdef enum:
    ARRAYS = 5  # of one parameter at most: theta, g and three states
    CONSTANTS = 10  # of one rule at most

ctypedef void (*Loop)(void **a, Py_ssize_t size, const double *c) noexcept nogil

cdef struct Parameter:
    char *a[ARRAYS]  # pointers to its arrays, NULL for one that is left out
    PyObject *objects[ARRAYS]  # these arrays, which the update holds
    Py_ssize_t size  # entries in each
    Py_ssize_t itemsize

cdef struct Work:
    Loop float_loop
    Loop double_loop
    double c[CONSTANTS]
    Parameter *all
    Py_ssize_t count  # of parameters
    Py_ssize_t parts  # the number of threads
    Py_ssize_t total  # entries of all parameters


cdef class Update:
    cdef Work work
    cdef tuple lists
    cdef int check(self) except -1
    cdef int prepare_threads(self) except -1
    cdef bint is_current(self) noexcept
    cdef int forget_gradients(self) except -1
    cdef list pointers(self)
    cdef bint take(self, tuple lists) except -1


cdef class Turns:
    cdef str message
    cdef bint busy
    cdef unsigned long long turn
    cpdef check(self, unsigned long long turn)
    cdef int enter(self, unsigned long long turn, bint ends=*) except -1
    cdef int leave(self, bint ends=*) except -1
