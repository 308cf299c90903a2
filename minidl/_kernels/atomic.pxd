cpdef list assign(changes)
cdef int revert(list undo, Py_ssize_t done) except -1
