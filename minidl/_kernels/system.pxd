cdef int threads() noexcept nogil
