"""What the kernels were built with, and how many threads they use."""

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

cdef int number_of_threads = 1


cdef int threads() noexcept nogil:
    return number_of_threads


def get_num_threads():
    """The number of threads that a kernel uses on large arrays."""
    return number_of_threads


def set_num_threads(int n):
    """Let kernels use n threads; without OpenMP they use one."""
    global number_of_threads
    number_of_threads = n if OPENMP else 1
