cdef int threads() noexcept nogil

cdef extern from *:
    """
    /* A loop that is compiled for several instruction sets; the loader selects the best one. The
       results are the same, as sums are not reordered and products not fused with sums. */
    #if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__)
    #define CLONED __attribute__((target_clones("avx512f", "avx2", "default"))) void
    #else
    #define CLONED void
    #endif
    """
    ctypedef void cloned "CLONED"
