"""The replay of a recorded step: checks, new inputs, the rules' constants, one run of the plan.

A `Runner` belongs to one recording. It holds pointers to the pointers of the plan's calls, so that
inputs and gradients need not be copied: the calls are pointed to the arrays of a new batch.
"""

from cpython.dict cimport PyDict_GetItem
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_REFCNT
from cython cimport critical_section
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import bisect
import collections
import operator
import sys

import numpy as np

from minidl._kernels cimport atomic
from minidl._kernels.arrays cimport (
    copy_of, data, empty_like, import_numpy, is_array, is_carray, is_indices, itemsize, readable,
    same_kind, same_type, single, size_of
)
from minidl._kernels.optim cimport Turns, Update
from minidl._kernels.plan cimport Plan, root

import_numpy()

cdef extern from "Python.h":
    PyObject *PyLong_FromSsize_t(Py_ssize_t)
    PyObject *PyFloat_FromDouble(double)
    int PyList_Append(object, object)
    void PyErr_Clear()

cdef enum:
    SHORT = 64  # bytes of a row
    ATTEMPTS = 100  # to count a step that has been taken, where memory is short

cdef object MISSING = object()
cdef object DATA = operator.attrgetter("_data")


cpdef bint same(object container, object key, object value) except -1:
    """Whether what a recording has read is still the same: an attribute, an entry or a length."""
    if key is LENGTH:
        return len(container) == <Py_ssize_t> value
    if isinstance(container, dict):
        if PyDict_GetItem(container, key) == <PyObject *> value:
            return True
        now = (<dict> container).get(key, MISSING)
    elif isinstance(container, (list, SEQUENCE)):
        now = container[key] if key < len(container) else MISSING
    elif isinstance(container, type):
        now = container.__dict__.get(key, MISSING)
    else:
        now = getattr(container, key, MISSING)
    return now is value or (
        type(now) is type(value) and isinstance(value, SIMPLE) and repr(now) == repr(value)
    )


cdef object SEQUENCE = collections.deque


def _is_general(entry):
    """Whether a guard is anything but an entry of a dict."""
    return type(entry[0]) is not dict or entry[1] is LENGTH


cdef object LENGTH = len
cdef tuple SIMPLE = (bool, int, float, complex, str, bytes)


cdef struct Guard:  # what PyDict_GetItem must find
    PyObject *container
    PyObject *key
    PyObject *value


cdef class UpdateCall:
    """A call of a plan that updates parameters.

    call     its number
    columns  the state of the optimizer's group by name; "t" has the step counts
    indices  the places of the parameters in the columns
    """

    cdef readonly Py_ssize_t call
    cdef readonly Update update
    cdef readonly object optimizer, group
    cdef readonly dict columns
    cdef readonly tuple indices, params
    cdef Py_ssize_t steps_before  # how often the step has called the optimizer's step by then
    cdef Py_ssize_t updates_before, updates  # of these parameters by then, and in the whole step

    def __init__(self, call, update, optimizer, group, columns, indices, params):
        self.call, self.update, self.optimizer, self.group = call, update, optimizer, group
        self.columns, self.indices, self.params = columns, indices, params


cdef class Leaf:
    """A leaf as it was when it was recorded, and the uses of its data."""
    cdef object tensor, data, requires_grad
    cdef list uses


cdef class Gradient:
    """The gradient of a leaf after the step, or None, and its uses."""
    cdef object leaf, array
    cdef list uses
    cdef bint held  # whether the leaf has had it since the replay before


cdef class Runner:
    """One recorded step, ready to be replayed. What it takes from the recording:

    inputs    arrays, which a replay exchanges or fills
    guards    (container, key, value), checked before each replay
    leaves    checked after any change by minidl
    settings  what `read_settings` returned
    before    (leaf, array or None): gradients from before the step; arrays are inputs
    steps     (optimizer, index of its first call)
    events    (number of calls before it, leaf, its new gradient, its place in grads, or None)
    versions  (tensor, index of the call that replaces its data)
    outputs   arrays, the results
    """

    cdef readonly Plan plan
    cdef readonly bint returns_tensor  # whether the result is one tensor that the step has computed
    cdef readonly bint direct  # whether all arguments are arrays, given by position
    cdef readonly bint accumulates  # whether gradients from before the step matter
    cdef list inputs, input_uses, guards, leaves, before, grads, updates, steps, versions, outputs
    cdef list turns, events
    cdef Py_ssize_t taken  # how many of the turns have begun
    cdef object settings, read_settings
    cdef Guard *guards_of_dicts  # of the first guards, which are entries of dicts
    cdef Py_ssize_t entries  # their number
    cdef unsigned long long seen
    cdef bint busy
    cdef bint counts_late  # whether an epoch may count its steps at its end

    def __init__(self, recording, read_settings):
        cdef UpdateCall one
        cdef Leaf leaf
        cdef Gradient gradient
        self.plan, self.read_settings, self.settings = recording, read_settings, recording.settings
        self.inputs, self.direct = recording.inputs, recording.takes_arrays
        guards = {(id(entry[0]), entry[1]): entry for entry in recording.guards}.values()
        self.guards = sorted(guards, key=_is_general)
        self.entries = len(self.guards) - sum(map(_is_general, self.guards))
        self.guards_of_dicts = <Guard *> malloc((self.entries + 1) * sizeof(Guard))
        if self.guards_of_dicts == NULL:
            raise MemoryError
        for i in range(self.entries):
            container, key, value, _ = self.guards[i]
            self.guards_of_dicts[i] = Guard(<PyObject *> container, <PyObject *> key,
                                            <PyObject *> value)
        self.before = list(recording.before.items())
        self.updates, self.steps = recording.updates, recording.steps
        self.versions, self.outputs = recording.versions, recording.outputs
        self.returns_tensor = recording.returns_tensor
        self.counts_late = not recording.calls_functions
        for one in self.updates:
            one.updates, one.updates_before, one.steps_before = 0, 0, -1
            for two in self.updates:
                if two.columns is one.columns and one.indices[0] in two.indices:
                    one.updates += 1
                    one.updates_before += two.call < one.call
            for optimizer, begin in self.steps:
                one.steps_before += optimizer is one.optimizer and begin <= one.call
        self.turns = list({id(entry[0]._turns): entry[0]._turns for entry in self.steps}.values())
        self.accumulates = len(self.before) > 0
        place = {id(array): k for k, (_, array) in enumerate(recording.grads) if array is not None}
        own = {id(x): x for x in (*self.inputs, *recording.leaves.values())}
        own.update({id(x): x for _, x in recording.grads if x is not None and x.base is None})
        uses = dict(zip(own, self.uses(list(own.values()))))
        uses.update({id(root(x)): None for x in self.outputs})  # which are the user's
        self.input_uses = list(map(uses.get, map(id, self.inputs)))
        self.events, self.leaves, self.grads = [], [], []
        for n, tensor, g in recording.events:
            self.events.append((n, tensor, place.get(id(g), g)))
        for tensor, array in recording.leaves.items():
            leaf = Leaf()
            leaf.tensor, leaf.data, leaf.uses = tensor, array, uses[id(array)]
            leaf.requires_grad = tensor._requires_grad
            self.leaves.append(leaf)
        for tensor, array in recording.grads:
            gradient = Gradient()
            gradient.leaf, gradient.array, gradient.uses = tensor, array, uses.get(id(array))
            self.grads.append(gradient)
        recording.grads, recording.events = None, None
        for one in self.updates:
            one.update.forget_gradients()
        self.plan.forget({id(gradient.array) for gradient in self.grads
                          if gradient.uses is not None})
        self.seen = atomic.changes - 1

    def __dealloc__(self):
        free(self.guards_of_dicts)

    cdef list uses(self, list arrays):
        """For each array the addresses of all pointers into it, with their offsets in it.

        None instead for one that functions of Python refer to, or that overlaps another.
        """
        cdef list places = [], found = []
        cdef UpdateCall one
        cdef size_t begin, value
        in_python = self.plan.roots_in_python()
        for k in range(len(arrays)):
            found.append(None if id(root(arrays[k])) in in_python else [])
            begin = <size_t> data(arrays[k])
            places.append((begin, begin + size_of(arrays[k]) * itemsize(arrays[k]), k))
        places.sort()
        for i in range(1, len(places)):
            if places[i][0] < places[i - 1][1]:
                found[places[i][2]] = found[places[i - 1][2]] = None
        pointers = self.plan.pointers()
        for one in self.updates:
            pointers += one.update.pointers()
        for address, value in pointers:
            i = bisect.bisect_right(places, (value, sys.maxsize)) - 1
            if i >= 0 and value < <size_t> places[i][1] and found[places[i][2]] is not None:
                found[places[i][2]].append((address, value - <size_t> places[i][0]))
        return found

    # --- checks

    cpdef bint ready(self) except -1:
        """Whether all that the recording has read is as it was; an error while the plan runs."""
        with critical_section(self):
            return self.is_ready()

    cdef bint is_ready(self) except -1:
        cdef tuple entry, getters = self.read_settings, settings = self.settings
        cdef UpdateCall one
        cdef Py_ssize_t i
        cdef Guard *guard
        if self.busy:  # its pointers must stay
            raise RuntimeError(BUSY)
        for i in range(len(settings)):
            if getters[i]() is not settings[i]:
                return False
        for i in range(self.entries):
            guard = &self.guards_of_dicts[i]
            if PyDict_GetItem(<object> guard.container, <object> guard.key) != guard.value:
                entry = self.guards[i]
                if not same(entry[0], entry[1], entry[2]):
                    return False
        for i in range(self.entries, len(self.guards)):
            entry = self.guards[i]
            if not same(entry[0], entry[1], entry[2]):
                return False
        for entry in self.before:
            now = entry[0].grad
            if (now is None) != (entry[1] is None) or now is not None and not (
                    is_array(now) and is_carray(now) and same_kind(now, entry[1])):
                return False
        if self.seen != atomic.changes and not self.follow():
            return False
        for one in self.updates:
            if not one.update.is_current():
                return False
        self.seen = atomic.changes
        return True

    cdef bint follow(self) except -1:
        """Point to the data that leaves and optimizers have now; returns whether it fits."""
        cdef Leaf leaf
        cdef UpdateCall one
        for leaf in self.leaves:
            now = leaf.tensor._data
            if leaf.tensor._requires_grad is not leaf.requires_grad:
                return False
            if now is not leaf.data:
                if leaf.uses is None or not (is_array(now) and is_carray(now)
                                             and same_kind(now, leaf.data)):
                    return False
                redirect(leaf.uses, data(now))
                leaf.data = now
        for one in self.updates:
            if not any(one.group is g for g in one.optimizer.groups):
                return False
            counts = one.columns["t"]
            lists = [list(map(DATA, one.params)), None]
            for name in one.optimizer.state_names:
                column = one.columns.get(name)
                lists.append(None if column is None else list(map(column.__getitem__, one.indices)))
            if (any(counts[i] != counts[one.indices[0]] for i in one.indices)
                    or not one.update.take(tuple(lists))):
                return False
        return True

    cdef bint fits(self, tuple arrays) except -1:
        """Whether the arguments are contiguous arrays of the shapes and dtypes of the inputs."""
        cdef Py_ssize_t i
        if len(arrays) != len(self.inputs) or not self.direct:
            return False
        for i in range(len(arrays)):
            if not (is_array(arrays[i]) and is_carray(arrays[i])
                    and same_kind(arrays[i], self.inputs[i])):
                return False
        return True

    # --- before and after a run

    cdef int point(self, Py_ssize_t i, char *begin) except -1:
        """Let the calls read input i at an address; or copy it, if functions of Python read it."""
        array = self.inputs[i]
        if self.input_uses[i] is None:
            if begin != data(array):
                memcpy(data(array), begin, size_of(array) * itemsize(array))
        else:
            redirect(self.input_uses[i], begin)
        return 0

    @critical_section
    cdef int claim(self) except -1:
        """Keep others from the plan until `end_turns`."""
        if self.busy:
            raise RuntimeError(BUSY)
        self.busy = True
        return 0

    cdef int begin(self) except -1:
        """Take the optimizers' turns, and what the step needs from before."""
        cdef Turns turns
        cdef Gradient gradient
        self.claim()
        try:
            for turns in self.turns:
                turns.enter(turns.turn, False)
                self.taken += 1
            for leaf, buffer in self.before:
                if buffer is not None:
                    memcpy(data(buffer), data(leaf.grad), size_of(buffer) * itemsize(buffer))
            for gradient in self.grads:
                array = gradient.array
                gradient.held = gradient.uses is not None and gradient.leaf.grad is array
                if gradient.uses is not None and (
                        (Py_REFCNT(array) & 0xffffffff) > 2 + gradient.held):
                    array = empty_like(array)  # somebody else keeps this gradient
                    redirect(gradient.uses, data(array))
                    gradient.array, gradient.held = array, False
        except BaseException:
            self.end_turns(False)
            raise
        return 0

    cdef int set_constants(self, Py_ssize_t ahead) except -1:
        """Compute the constants of the updates, so many steps ahead of what has been counted."""
        cdef UpdateCall one
        cdef tuple constants
        cdef Py_ssize_t k, t
        for one in self.updates:
            lr = one.group.lr
            if type(lr) is not float:
                lr = one.optimizer.rate(
                    one.group, one.steps_before + ahead * self.steps_of(one.optimizer))
            t = (<list> one.columns["t"])[<Py_ssize_t> one.indices[0]]
            t += 1 + one.updates_before + ahead * one.updates
            constants = one.optimizer._constants(one.group, lr, t)
            for k in range(len(constants)):
                one.update.work.c[k] = constants[k]
            one.update.prepare_threads()
        return 0

    cdef Py_ssize_t steps_of(self, optimizer) except -1:
        """How often the step calls the step of an optimizer."""
        return sum(entry[0] is optimizer for entry in self.steps)

    cdef int count(self, Py_ssize_t end, Py_ssize_t times) except -1:
        """Count steps, updates of parameters and versions before a call, so many times."""
        cdef tuple entry
        cdef UpdateCall one
        cdef list counts
        for entry in self.steps:
            if <Py_ssize_t> entry[1] < end:
                attributes = entry[0].__dict__
                attributes["t"] = later(attributes["t"], times)
        for one in self.updates:
            if one.call < end:
                counts = one.columns["t"]
                for i in one.indices:
                    counts[i] = later(counts[i], times)
                for p in one.params:
                    p.version = later(p.version, times)
        for entry in self.versions:
            if <Py_ssize_t> entry[1] < end:
                entry[0].version = later(entry[0].version, times)
        return 0

    cdef int finish(self) except -1:
        """Give the leaves their gradients, and end the turns."""
        cdef Gradient gradient
        self.end_turns(True)
        for gradient in self.grads:
            if not gradient.held:
                array = gradient.array
                if array is not None and gradient.uses is None:
                    array = array.copy()
                gradient.leaf.grad = array
        return 0

    cdef bint updates_before(self, Py_ssize_t end) except -1:
        """Whether the step changes an optimizer before a call."""
        cdef UpdateCall one
        cdef tuple entry
        for one in self.updates:
            if one.call < end:
                return True
        for entry in self.steps:
            if <Py_ssize_t> entry[1] < end:
                return True
        return False

    cdef int refuse(self, Py_ssize_t stopped, tuple arrays) except -1:
        """Raise the error of the call that refused what its arrays hold, as the eager step does."""
        cdef Py_ssize_t i
        for before, leaf, array in self.events:
            if before <= stopped:
                array = (<Gradient> self.grads[array]).array if type(array) is int else array
                leaf.grad = None if array is None else array.copy()
        for i in range(len(arrays)):  # the explanation reads the recording's own arrays
            if self.input_uses[i] is not None:
                memcpy(data(self.inputs[i]), data(arrays[i]),
                       size_of(arrays[i]) * itemsize(arrays[i]))
        self.plan.raise_error(stopped)
        return 0

    # --- runs

    def run(self, tuple sources, Py_ssize_t batch=1, Py_ssize_t steps=1, order=None,
            list losses=None, list rates=None, optimizer=None, stop=None, list weights=None):
        """Replay steps on the next rows of the sources; how many were done.

        sources  arrays with the rows of all batches; for one step, the inputs themselves
        batch    the number of rows of each step
        order    a vector of intp, the rows in their order; or None
        losses   gets the first output of each step, unless None
        rates    gets the optimizer's rate before each step, unless None
        stop     an object whose attribute `presses` ends the run after a step, or None
        weights  gets the second output of each step, if there is one, unless None
        """
        cdef Py_ssize_t stopped = -1, i, s = 0, counted = 0, n = len(sources)
        cdef const Py_ssize_t *rows = NULL
        if self.busy:
            raise RuntimeError(BUSY)
        if order is not None and is_indices(order):
            order = copy_of(order)  # nobody else may change it after the check
        if order is not None or steps != 1 or batch != 1 or not self.fits(sources):
            self.check_sources(sources, batch, steps, order)
        if order is not None:
            rows = <const Py_ssize_t *> data(order)
            for i in range(steps * batch):
                if not 0 <= rows[i] < len(sources[0]):
                    raise IndexError(
                        f"epoch: order[{i}] is {rows[i]}, but the data has {len(sources[0])} rows"
                    )
        self.begin()
        try:
            if rows != NULL:
                for i in range(n):
                    self.point(i, data(self.inputs[i]))
            while s < steps:
                for i in range(n):
                    if rows != NULL:
                        gather(data(sources[i]), rows + s * batch, data(self.inputs[i]), batch,
                               row_bytes(self.inputs[i], batch))
                    else:
                        self.point(i, data(sources[i])
                                   + s * batch * row_bytes(self.inputs[i], batch))
                rate = None if rates is None else self.rate(optimizer, s - counted)
                self.set_constants(s - counted)
                self.plan.run(&stopped)
                if stopped >= 0:
                    break
                s += 1
                if losses is not None:
                    append(losses, self.outputs[0])
                if weights is not None and len(self.outputs) > 1:
                    append(weights, self.outputs[1])
                if rates is not None:
                    append(rates, rate)
                if not self.counts_late:
                    self.count(self.plan.count, 1)
                    counted = s
                PyErr_CheckSignals()
                if stop is not None and stop.presses:
                    break
        except BaseException:
            self.count(self.plan.count, s - counted)
            self.finish() if s else self.end_turns(False)
            raise
        self.count(self.plan.count, s - counted)
        if stopped >= 0:
            self.count(stopped, 1)
            if losses is not None:
                chosen = slice(s * batch, (s + 1) * batch)
                chosen = chosen if order is None else order[chosen]
                taken = map(operator.itemgetter(chosen), sources)
                sources = tuple(map(np.ascontiguousarray, taken))
            self.end_turns(s > 0 or self.updates_before(stopped))
            self.refuse(stopped, sources)
        self.finish()
        return s

    cdef int check_sources(self, tuple sources, Py_ssize_t batch, Py_ssize_t steps,
                           order) except -1:
        """ValueError unless the sources have the inputs' dtypes, and the rows of all steps."""
        cdef Py_ssize_t i, size, count = len(sources)
        cdef bint fit = batch > 0 and steps >= 0 and count == len(self.inputs)
        if fit and order is not None:
            fit = count > 0 and is_indices(order) and steps <= size_of(order) // batch
        for i in range(count if fit else 0):
            if fit and is_layout(sources[i], self.inputs[i]):
                size = size_of(self.inputs[i])  # of one step
                if order is None:
                    fit = size == 0 or steps <= size_of(sources[i]) // size
                else:
                    size //= batch
                    fit = size == 0 or len(sources[0]) <= size_of(sources[i]) // size
            else:
                fit = False
        if not fit:
            raise ValueError(
                f"run: {steps} steps of {batch} rows need contiguous arrays with as many rows and "
                f"the dtypes of the recorded ones, {self.inputs!r:.200}; got {sources!r:.200}"
                + ("" if order is None else f" in the order {order!r:.100}")
            )
        return 0

    cdef object rate(self, optimizer, Py_ssize_t ahead):
        """The rate of a step that is so many steps of the plan ahead of what has been counted."""
        groups = getattr(optimizer, "groups", None)
        rate = optimizer.lr if groups is None else groups[0].lr
        if type(rate) is float:
            return rate
        return optimizer.rate(groups[0], ahead * self.steps_of(optimizer))

    cdef int end_turns(self, bint changed) except -1:
        """Let others change the optimizers again."""
        while self.taken:
            self.taken -= 1
            (<Turns> self.turns[self.taken]).leave(changed)
        self.busy = False
        return 0


cdef str BUSY = (
    "another thread is running this captured step. Give each thread a captured step, a model and "
    "an optimizer of its own, or use a lock."
)


cdef object later(object count, Py_ssize_t times):
    """A count so many steps later: they have been taken, so it fails only without any memory."""
    cdef Py_ssize_t now = count, attempts = ATTEMPTS
    cdef PyObject *made = PyLong_FromSsize_t(now + times)
    while made == NULL and attempts:  # Cython's `except` would need memory itself
        PyErr_Clear()
        made, attempts = PyLong_FromSsize_t(now + times), attempts - 1
    return owned(made)


cdef int append(list values, object number) except -1:
    """Append a number, or that of an array, of a step that has been taken; like `later`."""
    cdef Py_ssize_t attempts = ATTEMPTS
    cdef double value
    cdef PyObject *made
    if readable(number) and size_of(number) == 1:
        value = (<float *> data(number))[0] if single(number) else (<double *> data(number))[0]
        made = PyFloat_FromDouble(value)
        while made == NULL and attempts:
            PyErr_Clear()
            made, attempts = PyFloat_FromDouble(value), attempts - 1
        number = owned(made)
    elif is_array(number):  # of integers, for instance
        number = number.item()
    while PyList_Append(values, number) < 0:
        if not attempts:
            return -1
        PyErr_Clear()
        attempts -= 1
    return 0


cdef object owned(PyObject *made):
    """A new object as Cython's own; MemoryError for none."""
    if made == NULL:
        raise MemoryError
    x = <object> made
    Py_DECREF(x)
    return x


cdef int redirect(list uses, char *begin) except -1:
    """Let pointers into an array point into the one that begins at an address."""
    cdef tuple use
    for use in uses:
        (<char **> <size_t> use[0])[0] = begin + <Py_ssize_t> use[1]
    return 0


cdef bint is_layout(x, recorded) except -1:
    """Whether x is a contiguous array of the dtype of a recorded one."""
    if not is_array(x):
        return False
    if is_carray(x) and is_carray(recorded):
        return same_type(x, recorded)
    flags = x.flags  # of an array in another byte order
    return flags.c_contiguous and flags.aligned and x.dtype == recorded.dtype


cdef Py_ssize_t row_bytes(object array, Py_ssize_t rows) noexcept:
    return size_of(array) // rows * itemsize(array)


cdef void gather(const char *source, const Py_ssize_t *rows, char *target, Py_ssize_t count,
                 Py_ssize_t size) noexcept nogil:
    """Copy rows of a number of bytes from their places, one after the other."""
    cdef Py_ssize_t i, k, width = sizeof(int)
    cdef const int *row
    cdef int *copied = <int *> target
    cdef bint aligned = (<size_t> source | <size_t> target | <size_t> size) % width == 0
    if aligned and size <= SHORT:  # a call of memcpy takes longer than the copy
        size //= width
        for i in range(count):
            row = <const int *> source + rows[i] * size
            for k in range(size):
                copied[i * size + k] = row[k]
    else:
        for i in range(count):
            memcpy(target + i * size, source + rows[i] * size, size)


cdef class Replay:
    """A function whose last recording is replayed if the inputs fit it; else `record` is called.

    kind  the class Tensor
    """

    cdef public object function, kind
    cdef public Runner runner
    cdef public Py_ssize_t attempts  # recordings since the last replay

    def __call__(self, *inputs, **options):
        cdef Runner runner = self.runner
        if options or runner is None or not runner.fits(inputs) or not runner.ready():
            return self._record(inputs, options)
        self.attempts = 0
        return self._replay(runner, inputs)

    cpdef _replay(self, Runner runner, tuple inputs):
        """Replay one step; its result, copied before another thread can replay the next."""
        with critical_section(runner):
            return self.result(runner, inputs)

    cdef object result(self, Runner runner, tuple inputs):
        runner.run(inputs)
        if runner.returns_tensor:
            return constant(self.kind, runner.outputs[0])
        return runner.plan.results()


def constant(kind, array):
    """A constant tensor of a copy of an array that an op has computed."""
    if readable(array):
        copied = empty_like(array)
        memcpy(data(copied), data(array), size_of(array) * itemsize(array))
    else:  # of integers, or of another byte order
        copied = array.copy()
    tensor = kind.__new__(kind)
    tensor._data, tensor._node, tensor.name, tensor.version = copied, None, None, 0
    tensor._computed, tensor._requires_grad, tensor._weight = True, False, False
    return tensor
