cdef int threads() except -1

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

cdef extern from *:
    """
    /* The processor's mode in which subnormal numbers, inputs and results, are replaced by 0; many
       processors take far longer for them than for others. Each thread has its own mode. */
    #if defined(__x86_64__) || defined(_M_X64)
    #include <xmmintrin.h>
    typedef unsigned int minidl_mode;
    #define MINIDL_FLUSHES 1
    static inline minidl_mode minidl_flush_subnormals(void) {
        minidl_mode before = _mm_getcsr();
        _mm_setcsr(before | 0x8040);  /* flush to zero, denormals are zero */
        return before;
    }
    static inline void minidl_restore(minidl_mode before) { _mm_setcsr(before); }
    #elif defined(__aarch64__)
    typedef unsigned long long minidl_mode;
    #define MINIDL_FLUSHES 1
    static inline minidl_mode minidl_flush_subnormals(void) {
        minidl_mode before;
        __asm__ __volatile__("mrs %0, fpcr" : "=r"(before));
        __asm__ __volatile__("msr fpcr, %0" : : "r"(before | 1ULL << 24) : "memory");
        return before;
    }
    static inline void minidl_restore(minidl_mode before) {
        __asm__ __volatile__("msr fpcr, %0" : : "r"(before) : "memory");
    }
    #else
    typedef int minidl_mode;
    #define MINIDL_FLUSHES 0
    static inline minidl_mode minidl_flush_subnormals(void) { return 0; }
    static inline void minidl_restore(minidl_mode before) { (void) before; }
    #endif
    """
    ctypedef unsigned int mode "minidl_mode"
    const bint FLUSHES "MINIDL_FLUSHES"
    mode flush_subnormals "minidl_flush_subnormals"() noexcept nogil
    void restore_mode "minidl_restore"(mode) noexcept nogil
