"""What the kernels were built with, and how many threads they use."""

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #else
    #define omp_get_max_threads() 1
    #define omp_set_num_threads(n) ((void)(n))
    #define _OPENMP 0
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
    int _OPENMP
    int omp_get_max_threads()
    void omp_set_num_threads(int n)

compiler = COMPILER.decode()
openmp = _OPENMP  # the OpenMP standard's date as yyyymm, 0 without OpenMP


def get_num_threads():
    """How many threads a kernel that is large enough uses."""
    return omp_get_max_threads()


def set_num_threads(int n):
    """From now on, kernels called from this thread use n threads."""
    omp_set_num_threads(n)
