cdef unsigned long long changes  # counts the changes that were made, for whoever caches state


cdef class Entry:
    cdef object kept, before, token
    cdef Entry outer


cdef class Block:
    cdef Entry entered
    cdef int enter_block(self, Entry entry) except -1
    cdef Entry left(self)
    cdef int leave(self, kind, error) except -1


cpdef list assign(changes)
cpdef list found(list changes)
cdef int revert(list undo, Py_ssize_t done) except -1
