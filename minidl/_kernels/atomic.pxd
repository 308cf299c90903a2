cpdef list assign(changes)
