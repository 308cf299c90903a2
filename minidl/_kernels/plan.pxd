"""The call of a kernel as a C struct, which a plan can run again without Python."""

from cpython.object cimport PyObject

cdef struct Call
ctypedef int (*Run)(Call *call) noexcept nogil  # 0, or 1 if it refuses what the arrays hold
ctypedef void (*Loop)(void **a, const Py_ssize_t *n, const double *c) noexcept nogil

cdef struct Call:
    Run run
    Loop loop  # what `run_loop` runs
    void *a[8]  # pointers to the arrays
    Py_ssize_t n[8]  # sizes and flags
    double c[4]  # constants


cdef class Recorded:
    cdef readonly object array
    cdef readonly Plan plan


cdef class Plan:
    cdef Call *calls
    cdef Py_ssize_t room
    cdef readonly Py_ssize_t count
    cdef readonly list notes, kept
    cdef public bint open
    cdef (PyObject *)[3] error  # its kind, value and traceback, of a function of Python
    cdef double *durations  # of each call, in one run after the other
    cdef int timed  # how many runs they are
    cdef int add(self, const Call *call, str name, tuple inputs, tuple outputs, explain,
                 details=*) except -1
    cdef int run(self, Py_ssize_t *stopped) except -1
    cdef int raise_own_error(self) except -1
    cdef list pointers(self)
    cdef set roots_in_python(self)


cpdef object plain(object x)
cpdef object root(array)
cdef Plan plan_of(tuple arrays)
cdef Call loop_call(Loop single_loop, Loop double_loop, tuple arrays) noexcept
cdef object perform(Call *call, Plan plan, str name, tuple inputs, object outputs, object explain=*)
