"""What the kernels were built with, and how many threads they use."""

from cpython.object cimport PyObject

cdef extern from *:
    """
    #ifdef _OPENMP
    #define OPENMP _OPENMP
    #else
    #define OPENMP 0
    #endif
    #if defined(_MSC_VER)
    #define STRINGIZE(x) #x
    #define STRINGIZED(x) STRINGIZE(x)
    #define COMPILER "MSVC " STRINGIZED(_MSC_VER)
    #elif defined(__clang__)
    #define COMPILER __VERSION__
    #else
    #define COMPILER "GCC " __VERSION__
    #endif
    """
    const char *COMPILER
    int OPENMP

compiler = COMPILER.decode()
openmp = OPENMP  # the OpenMP standard's date as yyyymm, 0 without OpenMP

cdef extern from "Python.h":
    void PyObject_GC_UnTrack(PyObject *)

cdef int number_of_threads = 1


def untrack(a, b, c):
    """Keep the garbage collector from looking through three objects.

    The graph of a million ops would cost it longer than all the rest. A cycle through them, which
    a result kept in its own leaf's .grad or .name would make, is never freed.
    """
    PyObject_GC_UnTrack(<PyObject *> a)
    PyObject_GC_UnTrack(<PyObject *> b)
    PyObject_GC_UnTrack(<PyObject *> c)


cdef int threads() noexcept nogil:
    return number_of_threads


def get_num_threads():
    """How many threads a kernel uses on arrays that are large enough."""
    return number_of_threads


def set_num_threads(int n):
    """From now on, kernels use n threads; one where there is no OpenMP."""
    global number_of_threads
    number_of_threads = n if OPENMP else 1
