"""A training step as a flat list of kernel calls, which run again without Python.

A kernel writes what it has to do into a `Call`, a small C struct, and has it performed. If one of
its arrays is `Recorded`, a copy of the call is added to the plan of that array, and the kernel's
results are recorded arrays, too. Running the plan runs these calls in order, on the same arrays.
"""

import functools
import operator

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.string cimport memset
from libc.stdlib cimport free, malloc, realloc

import numpy as np

from minidl._kernels.arrays cimport (
    Array, PyArray_Check, PyArray_TYPE, data, import_numpy, single
)

import_numpy()

cdef enum:
    TIMED = 9  # how many runs measure each call
    DEPTH = 100  # of lists in arguments

cdef extern from *:
    """
    #include <time.h>
    static inline long long minidl_nanoseconds(void) {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        return 1000000000LL * (long long) now.tv_sec + (long long) now.tv_nsec;
    }
    """
    long long nanoseconds "minidl_nanoseconds"() noexcept nogil


cdef extern from "Python.h":
    PyObject *PyObject_Call(PyObject *, PyObject *, PyObject *)
    void PyErr_Fetch(PyObject **, PyObject **, PyObject **)
    void PyErr_Restore(PyObject *, PyObject *, PyObject *)


cdef class Recorded:
    """An array whose uses are added to a plan."""

    def __cinit__(self, array, Plan plan not None):
        self.array, self.plan = array, plan

    @property
    def shape(self):
        return self.array.shape

    @property
    def dtype(self):
        return self.array.dtype

    @property
    def ndim(self):
        return self.array.ndim

    @property
    def size(self):
        return self.array.size

    @property
    def flags(self):
        return self.array.flags


cpdef object plain(object x):
    """Arguments with plain arrays for recorded ones, also inside tuples, lists and dicts."""
    return plain_parts(x, DEPTH)


cdef object plain_parts(object x, int depth):
    cdef list parts
    if isinstance(x, Recorded):
        return (<Recorded> x).array
    if type(x) is not tuple and type(x) is not list and type(x) is not dict:
        return x
    if depth == 0:
        raise RecursionError(f"an argument holds itself, or is nested more than {DEPTH} deep")
    if type(x) is dict:
        found = {}
        for key, part in (<dict> x).items():
            found[key] = plain_parts(part, depth - 1)
        return found
    parts = []
    for part in x:
        parts.append(plain_parts(part, depth - 1))
    return tuple(parts) if type(x) is tuple else parts


cdef int check_array(x) except -1:
    if not PyArray_Check(x):
        raise TypeError(f"expected an array, got {x!r:.100}")
    return 0


cpdef object root(array):
    """The array that owns the memory of an array."""
    check_array(array)
    base = array.base
    while base is not None and PyArray_Check(base):
        array, base = base, base.base
    return array


def offset(array):
    """Where an array begins in its root, in bytes."""
    check_array(array)
    return data(array) - data(root(array))


def operands(list notes, dict origins):
    """(call, origin, form, root, array) of each input of the calls that notes are of.

    origins  for ids of roots where they come from; the results of calls are added
    """
    cdef Py_ssize_t i, k
    cdef Note note
    found = []
    for i in range(len(notes)):
        note = notes[i]
        read = set()
        for x in note.inputs:
            owner = root(x)
            read.add(id(owner))
            shape = offset(x), x.shape, x.strides, x.dtype
            found.append((i, origins.get(id(owner)), shape, owner, x))
        for k in range(len(note.outputs)):
            owner = root(note.outputs[k])
            if id(owner) not in read:
                origins.setdefault(id(owner), ("call", i, k))
    return found


cdef Plan plan_of(tuple arrays):
    """The plan that a call with these arrays belongs to, or None."""
    for x in arrays:
        if isinstance(x, Recorded) and (<Recorded> x).plan.open:
            return (<Recorded> x).plan
    return None


cdef int run_loop(Call *call) noexcept nogil:
    call.loop(call.a, call.n, call.c)
    return 0


cdef Call loop_call(Loop single_loop, Loop double_loop, tuple arrays) noexcept:
    """The call of a loop on contiguous arrays, all of the first one's dtype."""
    cdef Call call
    cdef Py_ssize_t k = 0
    memset(&call, 0, sizeof(Call))
    call.run = run_loop
    call.loop = single_loop if single(arrays[0]) else double_loop
    for x in arrays:
        call.a[k] = data(x)
        k += 1
    return call


cdef object perform(
    Call *call, Plan plan, str name, tuple inputs, object outputs, object explain=None
):
    """Run a call, and add it to the plan, if any; returns its outputs, an array or a tuple of some.

    explain  a function that raises the error of a call that refused what the arrays hold
    """
    cdef int refused
    with nogil:
        refused = call.run(call)
    if refused:
        explain()
        raise AssertionError(f"{name} refused its arrays without a reason")
    if plan is None:
        return outputs
    many = type(outputs) is tuple
    plan.add(call, name, inputs, outputs if many else (outputs,), explain)
    return tuple(map(plan.record, outputs)) if many else plan.record(outputs)


def whole(function):
    """Let a function of arrays be one call of a plan, so that it may look at their values.

    It returns an array or a tuple of arrays, whose shapes and dtypes depend on those of its arrays.
    """

    @functools.wraps(function)
    def apply(*args):
        plan = plan_of(args)
        return function(*args) if plan is None else plan.python(function, args, {})

    return apply


def copied(array, before, owner=None):
    """A copy of an array that is to replace the array `before` of an owner.

    If either is recorded, it is copied into `before` instead, each time that the plan runs.
    """
    cdef Plan plan = plan_of((array, before))
    if plan is not None:
        return plan.overwrite(before, array, owner)
    array, before = plain(array), plain(before)
    return np.array(array, before.dtype, order="C")


# --- NumPy's loops and Python's calls -----------------------------------------------------------

ctypedef void (*Inner)(char **, const Py_ssize_t *, const Py_ssize_t *, void *) noexcept nogil

cdef extern from "numpy/ufuncobject.h":
    ctypedef struct UFunc "PyUFuncObject":
        int nargs, ntypes
        Inner *functions
        void **data
        const char *types  # of the arrays of each loop


cdef bint has_types(const char *types, tuple arrays) noexcept:
    """Whether arrays are of these types."""
    cdef Py_ssize_t k
    for k in range(len(arrays)):
        if types[k] != PyArray_TYPE(<Array *> arrays[k]):
            return False
    return True


cdef int run_ufunc(Call *call) noexcept nogil:
    """NumPy's own inner loop, row by row: n has rows, columns, and strides of rows and columns."""
    cdef char *a[3]
    cdef Py_ssize_t row, k
    for row in range(call.n[0]):
        for k in range(3):
            a[k] = <char *> call.a[k] + row * call.n[2 + k]
        (<Inner> call.a[3])(a, &call.n[1], &call.n[5], call.a[4])
    return 0


cdef int run_python(Call *call) noexcept with gil:
    cdef PyObject *result = PyObject_Call(<PyObject *> call.a[0], <PyObject *> call.a[1],
                                          <PyObject *> call.a[2])
    cdef Plan plan = <Plan> call.a[3]
    if result == NULL:  # Cython's `except` would need memory
        PyErr_Fetch(&plan.error[0], &plan.error[1], &plan.error[2])
        return 1
    Py_DECREF(<object> result)
    return 0


cpdef object form(array):
    """What a note says of an array whose memory may be freed."""
    return array.shape, array.dtype, id(root(array))


cdef class Note:
    """What a plan says of one call.

    After `forget`, inputs and outputs are (shape, dtype, id of the root) of the arrays.
    """

    cdef readonly str name
    cdef readonly tuple inputs, outputs, details
    cdef readonly object explain, where

    def __init__(self, name, inputs, outputs, details, explain, where):
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self.details, self.explain, self.where = details, explain, where

    cdef int forget(self) except -1:
        self.inputs = tuple(map(form, self.inputs))
        self.outputs = tuple(map(form, self.outputs))
        return 0


cdef class Plan:
    """The calls of a step, on arrays that stay where they are; the base of a recording.

    notes    a Note for each call
    kept     what the calls point to
    seconds  the duration of each call in the first runs
    """

    def __cinit__(self):
        self.notes, self.kept = [], []
        self.open = True

    def __dealloc__(self):
        free(self.calls)
        free(self.durations)

    cdef int add(self, const Call *call, str name, tuple inputs, tuple outputs, explain,
                 details=None) except -1:
        cdef Call *calls
        if self.count == self.room:
            calls = <Call *> realloc(self.calls, (2 * self.room + 32) * sizeof(Call))
            if calls == NULL:
                raise MemoryError
            self.calls, self.room = calls, 2 * self.room + 32
        self.calls[self.count] = call[0]
        if details is None:
            details = tuple((<Call *> call).n) + tuple((<Call *> call).c)
        self.notes.append(Note(name, inputs, outputs, details, explain, self.where()))
        self.count += 1
        return 0

    def add_python(self, function, tuple args not None, dict options not None,
                   tuple inputs not None, tuple outputs not None, name, details=()):
        """Add a call of a Python function, such as one of NumPy's with out=."""
        cdef Call call
        memset(&call, 0, sizeof(Call))
        self.kept.append((function, args, options))
        call.run = run_python
        call.a[0], call.a[1] = <void *> function, <void *> args
        call.a[2], call.a[3] = <void *> options, <void *> self
        self.add(&call, name, inputs, outputs, None, details)

    def add_ufunc(self, function, tuple inputs not None, out, numbers):
        """Add NumPy's inner loop, for arrays of up to two axes; returns whether it has one.

        numbers  the inputs that were numbers of Python, for a comparison without rounding
        """
        cdef UFunc *f = <UFunc *> <void *> function
        cdef Call call
        cdef Py_ssize_t k, loop = 0, count = len(inputs) + 1
        arrays = (*inputs, out)
        if not isinstance(function, np.ufunc):
            raise TypeError(f"add_ufunc needs a ufunc of NumPy, got {function!r:.100}")
        for x in arrays:
            check_array(x)
        if f.nargs != count or count > 3 or function.signature or not all(
            x.flags.aligned and x.dtype.isnative for x in arrays
        ):
            return False
        while loop < f.ntypes and not has_types(f.types + loop * f.nargs, arrays):
            loop += 1
        if loop == f.ntypes:
            return False
        if all(x.shape == out.shape and x.flags.c_contiguous for x in arrays):
            wide = list(map(operator.methodcaller("reshape", 1, -1), arrays))
        elif out.ndim <= 2:
            shape = (1,) * (2 - out.ndim) + out.shape
            wide = list(map(functools.partial(np.broadcast_to, shape=shape), arrays))
        else:
            return False
        if wide[0].shape[1] == 1:  # one call for a column
            wide = list(map(operator.attrgetter("T"), wide))
        memset(&call, 0, sizeof(Call))
        call.run, call.n[0], call.n[1] = run_ufunc, wide[0].shape[0], wide[0].shape[1]
        for k in range(3):
            x = wide[k] if k < count else wide[0]
            call.a[k], call.n[2 + k], call.n[5 + k] = data(x), x.strides[0], x.strides[1]
        call.a[3], call.a[4] = <void *> f.functions[loop], f.data[loop]
        self.add(&call, function.__name__, inputs, (out,), None, (numbers, wide[0].shape))
        return True

    def where(self):
        """What a note says about the place of a call in the user's code."""

    def record(self, array):
        """A recorded array of this plan; a subclass adds what NumPy needs."""
        return Recorded(array, self)

    def forget(self, set forgotten):
        """Keep what the calls point to, except arrays of these ids, and free the notes' arrays."""
        cdef Note note
        held = {}
        for note in self.notes:
            held.update({id(x): x for x in note.inputs + note.outputs})
            note.forget()
        self.kept.append([x for x in held.values() if id(x) not in forgotten])
        self.durations = <double *> malloc((self.count + 1) * TIMED * sizeof(double))
        if self.durations == NULL:
            raise MemoryError

    @property
    def seconds(self):
        cdef Py_ssize_t i, k
        cdef list found = [], row
        for i in range(self.count):
            row = []
            for k in range(self.timed):
                row.append(self.durations[k * self.count + i])
            found.append(row)
        return found

    def raise_error(self, Py_ssize_t i):
        """Raise the error of a call that refused what its arrays hold."""
        self.raise_own_error()
        (<Note> self.notes[i]).explain()
        raise AssertionError(f"call {i} refused its arrays without a reason")

    cdef int raise_own_error(self) except -1:
        """Raise the error of a function of Python, if there is one."""
        cdef PyObject *kind = self.error[0]
        self.error[0] = NULL
        if kind != NULL:
            PyErr_Restore(kind, self.error[1], self.error[2])
            return -1
        return 0

    cdef list pointers(self):
        """(address, value) of each pointer of the compiled calls."""
        cdef Py_ssize_t i, k
        found = []
        for i in range(self.count):
            if self.calls[i].run != run_python:
                for k in range(3 if self.calls[i].run == run_ufunc else 8):
                    if self.calls[i].a[k] != NULL:
                        found.append((<size_t> &self.calls[i].a[k], <size_t> self.calls[i].a[k]))
        return found

    cdef set roots_in_python(self):
        """The ids of the roots of all arrays that functions of Python refer to."""
        cdef Py_ssize_t i
        cdef Note note
        found = set()
        for i in range(self.count):
            if self.calls[i].run == run_python:
                note = self.notes[i]
                for x in note.inputs + note.outputs:
                    found.add(id(root(x)))
        return found

    cdef int run(self, Py_ssize_t *stopped) except -1:
        """Run all calls; `stopped` becomes the number of the one that refused, or −1."""
        cdef Py_ssize_t i
        cdef long long before, after
        stopped[0] = -1
        if self.timed < TIMED:
            before = nanoseconds()
            for i in range(self.count):
                with nogil:
                    if self.calls[i].run(&self.calls[i]):
                        stopped[0] = i
                if stopped[0] >= 0:
                    break
                after = nanoseconds()
                self.durations[self.timed * self.count + i] = 1e-9 * (after - before)
                before = after
            self.timed += stopped[0] < 0
            return 0
        with nogil:
            for i in range(self.count):
                if self.calls[i].run(&self.calls[i]):
                    stopped[0] = i
                    break
        return 0
