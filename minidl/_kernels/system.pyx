"""What the kernels were built with, and how many threads they use."""

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define OPENMP _OPENMP
    static int get_threads(void) { return omp_get_max_threads(); }
    static void set_threads(int n) { omp_set_num_threads(n); }
    #else
    #define OPENMP 0
    static int get_threads(void) { return 1; }
    static void set_threads(int n) { (void)n; }
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
    int get_threads()
    void set_threads(int n)

compiler = COMPILER.decode()
openmp = OPENMP  # the OpenMP standard's date as yyyymm, 0 without OpenMP


def get_num_threads():
    """How many threads a kernel that is large enough uses."""
    return get_threads()


def set_num_threads(int n):
    """From now on, kernels called from this thread use n threads."""
    set_threads(n)
