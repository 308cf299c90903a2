"""Changes of state that no KeyboardInterrupt can split, for everything that must be all or nothing.

Python handles signals between bytecodes. What is done in one call of this module, which runs no
bytecode, is therefore done whole, unless an attribute or a key runs code of its own. Allocate and
check everything first; then one call commits it.
"""

cdef object MISSING = object()


cpdef list assign(changes):
    """Make all changes, or none if one fails; returns the changes that undo them.

    changes  (target, key, value): an index of a list, a key of a dict, or the name of an attribute
             of any other object. `vars(x)` as the target sets an attribute that x's class may have
    """
    cdef list made = list(changes), undo = []
    cdef Py_ssize_t done = 0
    cdef tuple change
    for change in made:
        target, key, _ = change
        undo.append((target, key, current(target, key)))
    try:
        for change in made:
            target, key, value = change
            put(target, key, value)
            done += 1
    except BaseException:
        revert(undo, done)
        raise
    return undo


cdef object current(target, key):
    if isinstance(target, dict):
        return (<dict> target).get(key, MISSING)
    if isinstance(target, list):
        return target[key]
    return getattr(target, key, MISSING)


cdef int put(target, key, value) except -1:
    if isinstance(target, dict):
        if value is MISSING:
            (<dict> target).pop(key, None)
        else:
            (<dict> target)[key] = value
    elif isinstance(target, list):
        (<list> target)[key] = value
    elif value is MISSING:
        delattr(target, key)
    else:
        setattr(target, key, value)
    return 0


cdef int revert(list undo, Py_ssize_t done) except -1:
    cdef Py_ssize_t i
    for i in reversed(range(done)):
        target, key, value = undo[i]
        put(target, key, value)
    return 0


cdef class Assigned:
    """Make changes as `assign` does within a `with` block, and undo them at its end.

    One object may be entered again inside its own block.
    """

    cdef list changes, undo

    def __init__(self, changes):
        self.changes, self.undo = list(changes), []

    def __enter__(self):
        self.undo.append(None)
        try:
            self.undo[len(self.undo) - 1] = assign(self.changes)
        except BaseException:
            self.undo.pop()
            raise
        return self

    def __exit__(self, kind, error, traceback):
        cdef list undo = self.undo.pop()
        revert(undo, len(undo))


cdef class InContext:
    """Set a ContextVar within a `with` block, in this context; the value before it is restored.

    One object may be entered again inside its own block.
    """

    cdef object variable, value
    cdef list before

    def __init__(self, variable, value):
        self.variable, self.value, self.before = variable, value, []

    def __enter__(self):
        self.before.append(self.variable.get())
        try:
            self.variable.set(self.value)
        except BaseException:
            self.before.pop()
            raise
        return self

    def __exit__(self, kind, error, traceback):
        self.variable.set(self.before.pop())


cdef class Guard:
    """Let one thread at a time, and no nested call, into a `with` block; RuntimeError for others.

    message  of the error
    """

    cdef str message
    cdef bint busy

    def __init__(self, str message):
        self.message, self.busy = message, False

    def __enter__(self):
        if self.busy:
            raise RuntimeError(self.message)
        self.busy = True
        return self

    def __exit__(self, kind, error, traceback):
        self.busy = False

    def __reduce__(self):  # a copy is free, whatever its original is doing
        return Guard, (self.message,)


cdef class Session:
    """Base class of a context manager that sets a ContextVar to a new object for each `with` block.

    prepare()               Python; returns the object, whose attribute `result` is what `as` binds
    finish(object, error)   Python; called after the block

    The object's attribute `open` becomes False first, since contexts that were copied in the block
    keep the object.
    """

    cdef object variable
    cdef list values

    def __init__(self, variable):
        self.variable, self.values = variable, []

    def __enter__(self):
        value = self.prepare()
        result = value.result
        self.values.append(value)
        try:
            self.variable.set(value)
        except BaseException:
            self.values.pop()
            raise
        return result

    def __exit__(self, kind, error, traceback):
        value = self.values.pop()
        value.open = False
        if self.variable.get() is value:
            self.variable.set(None)
        self.finish(value, error)
