"""Changes of state that no KeyboardInterrupt can split, for everything that must be all or nothing.

Python handles signals between bytecodes. What is done in one call of this module, which runs no
bytecode, is therefore done whole, unless an attribute or a key runs code of its own. Allocate and
check everything first; then one call commits it.

A failed allocation can't split it, either: what undoes a change is allocated before the change,
so neither a rollback nor the end of a `with` block needs memory.
"""

from cpython.object cimport PyObject
from cython cimport critical_section

cdef extern from *:
    """
    /* Without the GIL, threads that count at the same time must not lose a change. */
    #if defined(Py_GIL_DISABLED) && defined(_MSC_VER)
    #include <intrin.h>
    #define MINIDL_COUNT(n) _InterlockedIncrement64((volatile long long *) (n))
    #elif defined(Py_GIL_DISABLED)
    #define MINIDL_COUNT(n) __atomic_fetch_add((n), 1, __ATOMIC_SEQ_CST)
    #else
    #define MINIDL_COUNT(n) (++*(n))
    #endif
    """
    void count "MINIDL_COUNT"(unsigned long long *) noexcept

cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    int METH_FASTCALL
    object PyDescr_NewMethod(type owner, PyMethodDef *method)
    object PyObject_CallFunctionObjArgs(object function, ...)
    unsigned long PyThread_get_thread_ident()

cdef int TRIES = 250  # to restore a value for which Python lacks memory
cdef object MISSING = object()
cdef object GATE = object()  # without the GIL, one thread at a time compares and sets, or shares


cpdef list assign(changes):
    """Make all changes, or none if one fails; returns the changes that undo them.

    changes  (target, key, value): an index of a list, a key of a dict, or the name of an attribute
             of any other object. `vars(x)` as the target sets an attribute that x's class may have
    """
    cdef list made = list(changes), undo = found(made)
    make(made, undo)
    return undo


def locked(lock, function, tuple arguments):
    """Call a function while this thread holds a lock; a `with` block has bytecodes at its end."""
    lock.acquire()
    try:
        return function(*arguments)
    finally:
        lock.release()


def exchange(list expected, changes):
    """Make all changes if nobody has changed what they are based on; returns whether.

    expected  (target, key, value), as it was when the changes were computed
    """
    cdef list made = list(changes), undo
    with critical_section(GATE):
        undo = found(made)
        for target, key, value in expected:
            if current(target, key) is not value:
                return False
        make(made, undo)
    return True


cpdef list found(list changes):
    """The present values of what changes would set, as the changes that restore them."""
    cdef list undo = []  # no comprehension, for Cython's frees twice what it fails to append
    for target, key, _ in changes:
        undo.append((target, key, current(target, key)))
    return undo


cdef object current(target, key):
    if isinstance(target, dict):
        return (<dict> target).get(key, MISSING)
    if isinstance(target, list):
        return target[key]
    return getattr(target, key, MISSING)


cdef int make(list changes, list undo) except -1:
    """Make all changes, or undo those that were made before one failed."""
    cdef Py_ssize_t done = 0
    try:
        while done < len(changes):
            put(changes[done])
            done += 1
    finally:
        if done < len(changes):
            revert(undo, done)
    return 0


cdef int revert(list undo, Py_ssize_t done) except -1:
    """Undo the first changes, in reverse; without memory, unless a property or a key needs some.

    What needs memory, such as the state of a generator, is tried again if it finds none.
    """
    cdef int tries = 1000
    while done:
        try:
            put(undo[done - 1])
        except (MemoryError, SystemError):  # NumPy raises either
            tries -= 1
            if not tries:
                raise
        else:
            done -= 1
    return 0


cdef int set_key(target, key, value) except -1:
    try:
        if value is not MISSING:
            (<dict> target)[key] = value
        elif key in <dict> target:
            del (<dict> target)[key]
    finally:  # last, so that no thread sees the new count with the old value
        count(&changes)
    return 0


cdef int put(tuple change) except -1:
    target, key, value = change[0], change[1], change[2]
    if isinstance(target, dict):
        return set_key(target, key, value)
    try:
        if isinstance(target, list):
            (<list> target)[key] = value
        elif value is not MISSING:
            setattr(target, key, value)
        elif hasattr(target, key):
            delattr(target, key)
    finally:
        count(&changes)
    return 0


cdef class Entry:
    """What the end of one `with` block needs; and `outer`, the Entry of the block around it."""

    def __cinit__(self, kept, before):
        self.kept, self.before = kept, before


cdef class Block:
    """Base class of context managers whose `__exit__` needs no memory to restore what it found.

    One object may be entered again inside its own block. `__enter__` begins with a new Entry in
    `entered`, around the one before; `leave(kind, error)` takes it back with `left()`, and
    restores.
    """

    @critical_section
    cdef int enter_block(self, Entry entry) except -1:
        """Begin a block, inside the one that this object has begun before, if any."""
        entry.outer, self.entered = self.entered, entry
        return 0

    @critical_section
    cdef Entry left(self):
        """The Entry of the block that ends."""
        cdef Entry entry = self.entered
        if entry is None:
            raise RuntimeError("the end of a `with` block that did not begin")
        self.entered = entry.outer
        return entry

    cdef int leave(self, kind, error) except -1:
        """Restore what `__enter__` changed; each subclass says how."""
        raise NotImplementedError


cdef object exit_block(Block self, PyObject **arguments, Py_ssize_t count):
    if not 1 <= count <= 3:
        raise TypeError(f"__exit__ takes 1 to 3 arguments, got {count}")
    self.leave(<object> arguments[0], <object> arguments[1] if count > 1 else None)


# Python calls a method of a Cython class with a tuple, which it allocates for each call.
cdef PyMethodDef EXIT = [b"__exit__", <void *> exit_block, METH_FASTCALL, NULL]
Block.__exit__ = PyDescr_NewMethod(Block, &EXIT)


cdef class Assigned(Block):
    """Make changes as `assign` does within a `with` block, and undo them at its end."""

    cdef list changes

    def __init__(self, changes):
        self.changes = list(changes)

    def __enter__(self):
        cdef Entry entry = Entry(found(self.changes), None)
        make(self.changes, entry.kept)
        self.enter_block(entry)
        return self

    cdef int leave(self, kind, error) except -1:
        cdef list undo = self.left().kept
        return revert(undo, len(undo))


cdef class Found:
    """A value that the last one of some `Shared` blocks restores."""

    cdef object before
    cdef Py_ssize_t blocks


cdef dict shared = {}  # for (id of a dict, key) its Found
cdef dict running = {}  # the Shared blocks that have begun, by id


cdef class Shared(Block):
    """Set a key of some dicts within a `with` block, as other threads may do at the same time.

    The first block to begin finds what the last one to end restores. One object makes one block,
    so `with it, it:` restores even if an interrupt comes between the two ends.
    """

    cdef list dicts, places
    cdef object key, value, own
    cdef Py_ssize_t done  # of the dicts
    cdef unsigned long thread

    def __init__(self, dicts, key, value):
        self.dicts, self.places, self.own = list(dicts), [], id(self)
        self.key, self.value = key, value
        for each in self.dicts:
            self.places.append((id(each), key))

    def __enter__(self):
        cdef list spare = []  # allocated now, since the garbage collector may run other threads
        while len(spare) < len(self.dicts):
            spare.append(Found())
        with critical_section(GATE):
            if self.own not in running:
                self.share(spare)
        return self

    cdef int share(self, list spare) except -1:
        cdef Found entry
        cdef dict each
        self.thread = PyThread_get_thread_ident()
        try:
            running[self.own] = self
            while self.done < len(self.dicts):
                each, place, entry = self.dicts[self.done], self.places[self.done], spare[self.done]
                if place in shared:
                    entry = shared[place]
                else:
                    entry.before = each.get(self.key, MISSING)
                    shared[place] = entry
                entry.blocks += 1
                self.done += 1
                set_key(each, self.key, self.value)
        except BaseException:
            self.restore()
            raise
        return 0

    cdef int leave(self, kind, error) except -1:
        with critical_section(GATE):
            return self.restore()

    cdef int restore(self) except -1:
        cdef Found entry
        if self.own not in running:
            return 0
        while self.done:
            self.done -= 1
            entry = shared[self.places[self.done]]
            entry.blocks -= 1
            if entry.blocks == 0:
                del shared[self.places[self.done]]
                set_key(self.dicts[self.done], self.key, entry.before)
        del running[self.own]
        return 0


def end_other_threads():
    """In a forked process: restore what the threads have changed that it lacks."""
    cdef Shared block
    for block in list(running.values()):
        if block.thread != PyThread_get_thread_ident():
            block.leave(None, None)


cdef class Variable(Block):
    """Base class of those that set a ContextVar within a `with` block, in this context."""

    cdef object get, set, reset

    def __init__(self, variable):
        self.get, self.set, self.reset = variable.get, variable.set, variable.reset

    cdef int enter(self, value) except -1:
        cdef Entry entry = Entry(value, self.get())
        try:
            entry.token = self.set(value)
        except MemoryError:  # Python may have set it all the same
            self.restore(entry)
            raise
        return self.enter_block(entry)

    cdef int restore(self, Entry entry) except -1:
        """Restore the value before the block.

        Python needs memory for that. While it has none, the token's is freed, and it tries again.
        """
        cdef int tries = TRIES
        while True:
            try:
                if entry.token is not None:
                    PyObject_CallFunctionObjArgs(self.reset, <PyObject *> entry.token, NULL)
                else:
                    PyObject_CallFunctionObjArgs(self.set, <PyObject *> entry.before, NULL)
                return 0
            except ValueError:  # in another context
                entry.token = None
            except MemoryError:
                entry.token = None
                tries -= 1
                if tries == 0:
                    raise


cdef class InContext(Variable):
    """Set a ContextVar to one value within a `with` block; the value before it is restored."""

    cdef object value

    def __init__(self, variable, value):
        super().__init__(variable)
        self.value = value

    def __enter__(self):
        self.enter(self.value)
        return self

    cdef int leave(self, kind, error) except -1:
        return self.restore(self.left())


cdef class Session(Variable):
    """Base class of a context manager that sets a ContextVar to a new object for each `with` block.

    _prepare()              Python; returns the object, whose attribute `result` is what `as` binds
    _finish(object, error)  Python; called after the block

    The object's attribute `open` becomes False first, since contexts that were copied in the block
    keep the object.
    """

    def __enter__(self):
        value = self._prepare()
        result = value.result
        if self.get() is not None:  # of a block in another context that has ended
            self.set(None)
        self.enter(value)
        return result

    cdef int leave(self, kind, error) except -1:
        cdef Entry entry = self.left()
        value = entry.kept
        value.open = False
        if self.get() is value:
            self.restore(entry)
        self._finish(value, error)
        return 0
