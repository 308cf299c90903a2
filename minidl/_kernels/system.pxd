cdef int threads() noexcept nogil

cdef extern from *:
    """
    /* One loop, compiled for several instruction sets; the loader takes the best for the machine.
       Results are the same: neither sums are reordered nor products and sums fused. */
    #if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__)
    #define CLONED __attribute__((target_clones("avx512f", "avx2", "default"))) void
    #else
    #define CLONED void
    #endif
    """
    ctypedef void cloned "CLONED"
