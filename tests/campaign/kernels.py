"""Malformed calls of the kernels, on arrays between guards, some changed meanwhile by threads.

The functions of `minidl._kernels` are called with arguments of which some are replaced: by other
dtypes, shapes, strides and alignments, arrays that overlap, read-only ones, subclasses, lists of
unequal lengths, objects whose conversion to a number changes the other arguments. Arrays lie
between bytes of a pattern and pages that can't be accessed, so a read or write outside of them is
found. After an error all memory must be as before. After a success only what the function may write
has changed, and the results are those of the same call on ordinary copies.

`blas.use` is left out, as it takes the addresses of functions.
"""

import contextlib
import contextvars
import copy
import ctypes
import mmap
import os
import random
import sys
import threading
import time
import warnings

import numpy as np
from numpy.lib.array_utils import byte_bounds

import minidl as dl
from minidl._kernels import atomic, blas, layer, loss, optim, plan, replay, special, system
from tests.campaign.harness import Breach

SEEDS, SECONDS = 40, 120
CALLS, CHANGED, TIMES = 4500, 100, 10  # of a seed; those on memory that changes, and how often
BLOCKS = 64  # that are written to such memory in one call of the system
PAGE, PAGES, SLOTS = mmap.PAGESIZE, 9, 40
PATTERN, DEPTH = 0xA5, 5
NUMBERS = np.random.default_rng(0).normal(size=4096) * 10.0 ** np.arange(-8, 8).repeat(256)
NUMBERS[::7], NUMBERS[::61], NUMBERS[::97], NUMBERS[::101] = 0, np.nan, np.inf, 1e-310
DTYPES = ("f4", "f8", "f2", "g", "i4", "i8", "u8", "c8", ">f4", ">f8", "?", "S3", "m8[s]", "V8")
REPRODUCTION = "from tests.campaign import kernels\n\nkernels.Call({seed}, {number}).make()"


def missing():
    return "" if sys.platform == "linux" else "Linux, for its mprotect"


class Memory:
    """Slots for arrays, each between pages that can't be accessed."""

    def __init__(self):
        stride = (PAGES + 1) * PAGE
        self.map = mmap.mmap(-1, SLOTS * stride + PAGE)
        self.bytes = np.frombuffer(self.map, np.uint8)
        begin, protect = self.bytes.ctypes.data, ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        for slot in range(SLOTS + 1):
            if protect(begin + slot * stride, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.slots = [self.bytes[k * stride + PAGE :][: PAGES * PAGE] for k in range(SLOTS)]
        self.used = SLOTS
        self.clear()

    def clear(self):
        for slot in self.slots[: self.used]:
            slot[:] = PATTERN
        self.used = 0

    def array(self, draw, shape, dtype, skew=0):
        """A new array that begins or ends at a page that can't be accessed."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        slot = self.slots[self.used]
        if size > slot.size - 8:
            shape, size = (0,) * len(shape), 0
        self.used += 1
        begin = slot.size - size if draw.random() < 0.5 else 0
        if skew:
            begin = begin - skew if begin >= skew else begin + skew
        x = np.ndarray(shape, dtype, slot, begin)
        if dtype.kind == "U":
            x[...] = ""  # not every number is a character
        elif x.size and dtype.kind in "fiu":
            first = draw.randrange(NUMBERS.size)
            values = NUMBERS.take(range(first, first + x.size), mode="wrap").reshape(shape)
            with np.errstate(over="ignore"):
                x[...] = np.nan_to_num(values, posinf=3) % 5 if dtype.kind in "iu" else values
        return x

    def snapshot(self):
        return [slot.copy() for slot in self.slots[: self.used]]

    def changed(self, before, allowed):
        """Text on the first byte that differs from a snapshot outside of the allowed addresses."""
        for number, (slot, old) in enumerate(zip(self.slots, before, strict=False)):
            if np.array_equal(slot, old):
                continue
            begin = slot.ctypes.data
            differs = slot != old
            for low, high in allowed:
                differs[max(low - begin, 0) : max(high - begin, 0)] = False
            if differs.any():
                return f"byte {differs.argmax()} of slot {number} has changed"
        return ""


MEMORY = None


class Sub(np.ndarray):
    """A subclass of arrays."""


class Evil:
    """Converted to anything, it first does something to the other arguments."""

    def __init__(self, action, value):
        self.action, self.value = action, value

    def _act(self, *_):
        self.action()
        return self.value

    __float__ = __index__ = __bool__ = __len__ = __repr__ = _act
    __getitem__ = __call__ = __hash__ = _act

    def __iter__(self):
        self.action()
        return iter([self.value] * 2)

    def __eq__(self, other):
        self.action()
        return False


class Call:
    """One call, whose arguments are drawn from (seed, number) alone."""

    def __init__(self, seed, number, memory=None, functions=None):
        global MEMORY
        self.memory = memory or MEMORY or Memory()
        MEMORY = self.memory
        self.draw = random.Random(f"{seed} {number}")
        self.place = REPRODUCTION.format(seed=seed, number=number)
        self.dtype = self.draw.choice(("f4", "f8"))
        self.evil = self.overlapping = False
        self.args = []
        self.memory.clear()
        name = self.draw.choice([*(functions or FUNCTIONS)])
        self.name, maker = name, (functions or FUNCTIONS)[name]
        self.function, args, self.written = maker(self)
        self.args = list(args)
        for _ in range(self.draw.choice((0, 1, 1, 1, 2, 3))):
            self.args = self.replaced(self.args, 0)

    # --- arguments

    def array(self, *shape, dtype=None):
        return self.memory.array(self.draw, shape, dtype or self.dtype)

    def size(self):
        return self.draw.choice((0, 1, 2, 3, 7, 16, 17, 33))

    def arrays_like(self, shape, count):
        return [self.array(*shape) for _ in range(count)]

    def labels(self, n, classes, dtype="i8"):
        x = self.array(n, dtype=dtype)
        x[...] = [self.draw.randrange(classes) for _ in range(n)] if classes else 0
        return x

    def replaced(self, value, depth):
        """A value with one part replaced by something else."""
        draw = self.draw
        if depth == 0 and not value:
            return [self.odd()]
        if isinstance(value, list | tuple) and value and (depth == 0 or draw.random() < 0.8):
            parts = list(value)
            k = draw.randrange(len(parts))
            if depth and draw.random() < 0.2:
                how = draw.choice(("drop", "repeat", "none", "nest"))
                parts[k : k + 1] = {"drop": [], "repeat": [parts[k]] * 2, "none": [None]}.get(
                    how, [parts[:]]
                )
            else:
                parts[k] = self.replaced(parts[k], depth + 1)
            return parts if depth == 0 or draw.random() < 0.05 else type(value)(parts)
        if isinstance(value, np.ndarray) and draw.random() < 0.85:
            return self.other_array(value)
        return self.odd()

    def other_array(self, x):
        """An array that differs from x in one way."""
        draw, shape, memory = self.draw, x.shape, self.memory
        how = draw.randrange(14)
        if x.dtype.kind in "OU":  # not every number is an address or a character
            return x
        if memory.used > SLOTS - 4:
            how = 9
        if how == 0:
            return memory.array(draw, shape, draw.choice(DTYPES))
        if how == 1:  # one axis longer or shorter
            shape = list(shape or (1,))
            k = draw.randrange(len(shape))
            shape[k] = max(0, shape[k] + draw.choice((-1, 1, -shape[k])))
            return memory.array(draw, shape, x.dtype)
        if how == 2:
            other = (shape[::-1], shape[1:], (1, *shape), (*shape, 1), (), (x.size,))
            return memory.array(draw, draw.choice(other), x.dtype)
        if how == 3:  # no entries, but axes of any length
            shape = [0, *[draw.choice((1, 3, 2**12, 2 ** (40 // max(x.ndim, 1))))] * (x.ndim - 1)]
            draw.shuffle(shape)
            return memory.array(draw, shape, x.dtype)
        if how == 4:
            x = memory.array(draw, (*shape[:-1], 2 * (shape or (1,))[-1]), x.dtype)
            return draw.choice((x[..., ::2], x[..., ::-2]))
        if how == 5:
            return draw.choice(
                (
                    x[..., ::-1] if x.ndim else x,
                    memory.array(draw, shape[::-1], x.dtype).T,
                    np.broadcast_to(x[:1] if x.ndim else x, shape),
                )
            )
        if how == 6:
            x.flags.writeable = False
            return x
        if how == 7:
            return memory.array(draw, shape, x.dtype, draw.choice((1, 2, 4, 8)))
        if how == 8:
            return x.view(draw.choice((Sub, Sub, np.ma.MaskedArray, np.recarray)))
        if how in (9, 10):  # the same memory, or nearly
            arrays = [y for y in flat(self.args) if y.nbytes == x.nbytes and y.size]
            y = draw.choice(arrays) if arrays else x
            self.overlapping = True
            address, shift = y.ctypes.data, draw.choice((0, y.itemsize, -y.itemsize))
            for slot in memory.slots[: memory.used]:
                begin = address - slot.ctypes.data + shift
                if 0 <= begin <= slot.size - x.nbytes:
                    return np.ndarray(shape, x.dtype, slot, begin)
            return y
        if how == 11 and x.dtype.kind in "iu" and x.size and x.flags.writeable:
            x.flat[draw.randrange(x.size)] = draw.choice((-1, 2**31 - 1, 10, 100))
            return x
        if how == 12:
            self.overlapping = True  # its results are recorded, too
            return plan.Recorded(x, plan.Plan())
        return np.full(shape, None) if draw.random() < 0.5 else x.copy()

    def odd(self):
        """Anything."""
        draw, self.overlapping = self.draw, True
        if draw.random() < 0.3:
            self.evil = True
            return Evil(self.action, draw.choice((0, 1, 1.5, "x", None, -1)))
        return draw.choice(ODD)()

    def action(self):
        """What an Evil does to the other arguments."""
        draw = self.draw
        arrays = [*flat(self.args)]
        lists = [x for x in nested(self.args) if isinstance(x, list)]
        how = draw.randrange(6)
        if how < 3 and arrays:
            x = draw.choice(arrays)
            if how == 0:
                x.shape = (x.size, 1) if draw.random() < 0.5 else (-1,)
            elif how == 1:
                x.flags.writeable = False
            else:
                x.resize(draw.choice((0, 1000)))
        elif how == 3 and lists:
            draw.choice(lists).clear()
        elif how == 4 and lists:
            draw.choice(lists).append(None)
        elif how == 5:
            raise draw.choice((ValueError, KeyboardInterrupt, MemoryError, SystemExit))("evil")

    # --- the call

    def make(self, say=lambda text: None):
        """Make the call; whether it was refused. Raises Breach."""
        before, memory = self.memory.snapshot(), self.memory
        say(f"{self}\n{self.place}")
        allowed = [byte_bounds(x) for x in flat(self.written(self.args)) if x.size]
        copies = None if self.evil or self.overlapping else copied(self.args)
        result, error = outcome(self.function, self.args)
        if isinstance(error, SystemError | AssertionError) and "refused" not in str(error):
            raise Breach(f"{self} raised {error!r}", self.place)
        if found := memory.changed(before, [] if error else allowed):
            raise Breach(f"{self}: {found} after {error!r}", self.place)
        if copies and error is None and self.name not in PLACES:
            again, error = outcome(self.function, copies)
            if error or not same((result, self.args), (again, copies)):
                results = f"{shown(result)}, on copies {error!r} {shown(again)}"
                raise Breach(f"{self} gives {results}", self.place)
        return error is not None

    def __repr__(self):
        name = self.function.__name__ if self.name == "unprepared" else self.name
        return f"{name}({', '.join(map(shown, self.args))})"


# --- arguments -----------------------------------------------------------------------------------


def nested(value, depth=0):
    """A value and all that its lists and tuples hold."""
    yield value
    if type(value) in (list, tuple) and depth < DEPTH:
        for part in value:
            yield from nested(part, depth + 1)


def flat(value):
    """The arrays among the arguments, also recorded ones."""
    for part in nested(value):
        part = part.array if type(part) is plan.Recorded else part
        if isinstance(part, np.ndarray):
            yield part


def copied(value, depth=0):
    """Arguments with ordinary arrays that hold the same."""
    if type(value) in (list, tuple) and depth < DEPTH:
        return type(value)(copied(part, depth + 1) for part in value)
    return value.copy() if isinstance(value, np.ndarray) else value


def same(a, b, depth=0):
    """Whether results or arguments are the same, to the bit except for NaN."""
    if type(a) in (list, tuple) and depth < DEPTH:
        pairs = zip(a, b, strict=False)
        return len(a) == len(b) and all(same(x, y, depth + 1) for x, y in pairs)
    if isinstance(a, np.ndarray):
        number = a.dtype.kind in "fcmM"
        return a.dtype.hasobject or (a.shape == b.shape and np.array_equal(a, b, equal_nan=number))
    if isinstance(a, float):
        return a == b or a != a
    return True


def shown(value, depth=0):
    """A short text for an argument."""
    if isinstance(value, np.ndarray):
        flags = "" if value.flags.writeable else ", read-only"
        flags += "" if value.flags.aligned else ", misaligned"
        flags += "" if value.flags.c_contiguous else f", strides {value.strides}"
        return f"{type(value).__name__}({value.shape}, {value.dtype.str}{flags})"
    if type(value) in (list, tuple) and depth < DEPTH:
        parts = (shown(part, depth + 1) for part in value)
        return f"{type(value).__name__}({', '.join(parts)})"
    plain = isinstance(value, type | int | float | complex | str | bytes | None)
    return f"{value!r:.60}" if plain else f"<{type(value).__name__}>"


def outcome(function, args):
    """(result, error) of a call."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return function(*args), None
    except BaseException as error:
        return None, error.with_traceback(None)


VARIABLE = contextvars.ContextVar("variable", default=None)
CLASSES = (
    *(plan.Plan, plan.Note, optim.Rule, optim.Update, optim.Turns, optim.Exchange),
    *(atomic.Block, atomic.Assigned, atomic.InContext, atomic.Session, atomic.Shared),
    *(replay.Runner, replay.Replay, replay.UpdateCall, dl.Tensor),
)
FIXED = (
    *(None, 0, 1, -1, 2**31, 2**63, 2**70, -(2**70), 1.5, float("nan"), float("inf"), 1e300),
    *(10**400, 1j, "", "x" * 300, "\ud800", b"abc", (), (None,)),
    *(object(), object, len, memoryview(b"abc"), range(3), np.ma.masked, np.add, np.matmul),
    *(np.float32(1), np.int64(-1), np.bool_(1), np.array(3), np.array("x"), Evil, VARIABLE),
    *(optim.sgd, *CLASSES),
)
ODD = [lambda value=value: value for value in FIXED]
ODD += [lambda kind=kind: kind.__new__(kind) for kind in CLASSES]
ODD += [lambda: iter([1]), lambda: dl.Tensor([1.0]), lambda: [[]], lambda: endless([])]
ODD += [list, dict, lambda: [None], lambda: {1: 2}]


def endless(value):
    """A list that holds itself."""
    value.append(value)
    return value


def refuse():
    raise ValueError("refused")


# --- the functions: each maker returns (function, arguments, the arguments that it may write) -----


def nothing(args):
    return []


def first(args):
    return args[0]


def of(function, maker, written=nothing):
    return lambda call: (function, maker(call), written)


def layer_bias(call):
    n = call.size()
    return call.array(call.size(), n), call.array(n), call.draw.choice((True, False))


def vectors(count, *more):
    def make(call):
        shape = call.draw.choice(((call.size(),), (call.size(), call.size()), ()))
        return *call.arrays_like(shape, count), *more

    return make


def two_matrices(call):
    m, k, n = call.size(), call.size(), call.size()
    turns = call.draw.choice((True, False)), call.draw.choice((True, False))
    a, b = ((k, m) if turns[0] else (m, k)), ((n, k) if turns[1] else (k, n))
    return call.array(*a), call.array(*b), *turns


def matrix(call):
    return (call.array(call.size(), call.size()),)


def vector(call):
    return (call.array(call.size()),)


def logits(call):
    n, classes = call.size(), call.draw.choice((1, 2, 7, 20))
    x = call.array(n, classes)
    target = call.labels(n, classes) if call.draw.random() < 0.6 else call.array(n, classes)
    weights = call.array(n, dtype="f8") if call.draw.random() < 0.5 else None
    scale = call.array(dtype="f8") if weights is not None and call.draw.random() < 0.5 else 0.1
    return x, target, call.draw.choice((0.0, 0.1)), scale, weights


def errors(call):
    p, t = call.arrays_like((call.size(), call.size()), 2)
    weights = call.array(*p.shape) if call.draw.random() < 0.5 else None
    scale = call.array(dtype="f8") if weights is not None and call.draw.random() < 0.5 else 0.1
    return p, t, scale, weights


def lists(call, count):
    """Lists of arrays of some parameters."""
    shapes = [call.draw.choice(((call.size(),), (3, call.size()), ())) for _ in range(2)]
    return tuple([call.array(*shape) for shape in shapes] for _ in range(count))


def rule_of(name):
    rule = getattr(optim, name)

    def make(call):
        given = [*lists(call, len(rule.arrays))]
        for k, array in enumerate(rule.arrays):
            if array.endswith("?") and call.draw.random() < 0.3:
                given[k] = None
        constants = [call.draw.choice((0.0, 0.1, 0.9, 1.0, -0.5)) for _ in rule.constants]
        return rule, (tuple(given), *constants), written

    def written(args):
        lists = args[0] if type(args[0]) in (list, tuple) else []
        return [*lists[:1], *lists[2:]]

    return make


def sparse(call):
    size = call.size()
    chosen = sorted(call.draw.sample(range(size), call.draw.randrange(size + 1)))
    indices = call.array(len(chosen), dtype="i8")
    indices[...] = chosen
    theta, z, n = call.arrays_like((size,), 3)
    g = call.array(len(chosen))
    return indices, theta, g, z, n, 0.1, 1.0, 0.1, 0.1, -0.5, False


def indices(call):
    return call.labels(call.size(), 5), 5


def copy_lists(targets, sources):
    optim.commit([optim.replacement(targets, sources)], ())


def add_update(lists, a, b, c, d):
    optim.add_update(a, b, optim.momentum.prepare(lists, c, d, 0.0, False))


def note(call):
    x, y = call.arrays_like((3,), 2)
    return "name", (x,), (y,), (1,), None, ("file", 3)


def operands_of(*args):
    return plan.operands([plan.Note(*args), args[0]], args[1])


def add_python(*args):
    return plan.Plan().add_python(*args)


def add_ufunc(*args):
    return plan.Plan().add_ufunc(*args)


def ufunc(call):
    function = call.draw.choice((np.add, np.multiply, np.tanh, np.less, np.matmul, np.divmod))
    shape = call.draw.choice(((call.size(),), (2, call.size()), (2, 1, 3)))
    inputs = tuple(call.arrays_like(shape, 1 + (function.nargs > 2)))
    return function, inputs, call.array(*shape), ()


def recorded_call(x, kind, kernel):
    return kernel(plan.Recorded(x, kind))


def recording(call):
    x = matrix(call)[0]
    kernels = (layer.sum_rows, special.normal_cdf, optim.squared_norm, plan.plain)
    return x, plan.Plan(), call.draw.choice(kernels)


def changes(call):
    targets = ([1, 2], 0, 3), ({}, "a", 1), (Evil(len, 0), "value", 2)
    return ([call.draw.choice(targets) for _ in range(3)],)


def assigned(changes, *more):
    with atomic.Assigned(changes):
        atomic.assign(*more)


def shared(dicts, key, value, others):
    """Two blocks that overlap; afterwards, or if they are refused, the dicts are as before."""
    kept = [each for each in dicts if isinstance(each, dict)]
    before = copy.deepcopy(kept)
    try:
        with atomic.Shared(dicts, key, value), atomic.Shared(others, key, value):
            pass
    finally:
        assert isinstance(key, Evil) or before == kept, "a dict has changed"


def shared_dicts(call):
    dicts = {"a": 1}, {}, {"a": 2}
    dicts, others = ([call.draw.choice(dicts) for _ in range(3)] for _ in range(2))
    return dicts, "a", 3, others


def in_context(variable, value, kind):
    with kind(variable, value):
        pass


def leave(block, *error):
    block.__exit__(*error)


def turns(message, turn, function, updates, changes):
    it = optim.Turns(message)
    it.begin()
    it.call(turn, function)
    it.check(turn)
    it.commit(turn, updates, changes)


def same_as_read(call):
    containers = ({"a": 1}, "a"), ([1, 2], 1), ([1, 2], len), (NOTE, "name"), (dl.Tensor, "x")
    return *call.draw.choice(containers), 1


def threads(n):
    system.set_num_threads(n)
    system.set_num_threads(1)


STEPS = {}


def step_of(dtype):
    """A captured step with a plan, and its model."""
    if dtype not in STEPS:
        with dl.default_dtype(dtype):
            model = dl.nn.MLP([3, 4, 2], rng=0)
        optimizer = dl.optim.Adam(model, 0.01)

        @dl.capture
        def step(x, y):
            optimizer.zero_grad()
            loss = dl.losses.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        x, y = np.ones((40, 3), dtype), np.zeros(40, np.int64)
        for _ in range(3):
            step(x[:4], y[:4])
        assert step.runner is not None
        STEPS[dtype] = step, [p.data for p in model.parameters()]
    return STEPS[dtype]


def run_step(call):
    step, weights = step_of(call.dtype)
    steps, ordered = call.draw.randrange(4), call.draw.random() < 0.5
    rows = 4 * steps if not ordered else 30
    order = call.labels(4 * steps, rows) if ordered else None

    def run(*args):
        before = [w.tobytes() for w in weights]
        try:
            return step.runner.run(*args) and None
        except BaseException:
            if before != [w.tobytes() for w in weights] and not call.evil:
                raise AssertionError("an error, but the weights have changed") from None
            raise

    more = [], [], None, None, []
    return run, ((call.array(rows, 3), call.labels(rows, 2)), 4, steps, order, *more), nothing


def call_step(call):
    step, _ = step_of(call.dtype)
    return step, (call.array(4, 3), call.labels(4, 2)), nothing


def unprepared(call):
    """A method of an object that was made without its __init__."""
    kind = call.draw.choice(CLASSES)
    it = kind.__new__(kind)
    names = [name for name in dir(kind) if callable(getattr(kind, name, None)) or name == "seconds"]
    names = [name for name in names if name not in ("__class__", "__init_subclass__")]
    name = call.draw.choice(names)
    args = call.draw.choice(((), (1,), (None,), (None, None), ((), 1), ([], []), ("x", {})))

    def use(*args):
        method = getattr(it, name)
        return method(*args) and None if callable(method) else None

    use.__name__ = f"{kind.__name__}.{name}"
    return use, args, nothing


NOTE = plan.Note("name", (), (), (), None, None)
PLACES = ("plan.root", "plan.offset")  # which say where an array is
FUNCTIONS = {
    "layer.add_bias": of(layer.add_bias, layer_bias, first),
    "layer.sum_rows": of(layer.sum_rows, matrix),
    "layer.relu_vjp": of(layer.relu_vjp, vectors(2)),
    "blas.product": of(blas.product, two_matrices),
    "blas.refusal": of(blas.refusal, lambda call: ()),
    "special.normal_cdf": of(special.normal_cdf, vectors(1)),
    "special.require": of(special.require, vectors(1, -1.0, 1.0, refuse)),
    "loss.cross_entropy": of(loss.cross_entropy, logits),
    "loss.squared_error": of(loss.squared_error, errors),
    "loss.check_labels": of(loss.check_labels, indices),
    "optim.ftrl_at": of(optim.ftrl_at, sparse, lambda args: [args[k : k + 1] for k in (1, 3, 4)]),
    "optim.check_indices": of(optim.check_indices, indices),
    "optim.squared_norm": of(optim.squared_norm, vector),
    "optim.replacement": of(copy_lists, lambda call: lists(call, 2), first),
    "optim.ready": of(optim.ready, lambda call: lists(call, 2)),
    "optim.add_update": of(
        add_update, lambda call: (lists(call, 3), plan.Plan(), "name", 0.1, 0.9)
    ),
    "optim.commit": of(optim.commit, lambda call: ([int, optim.Update()], *changes(call))),
    "optim.Turns": of(turns, lambda call: ("text", 0, int, [], *changes(call))),
    "plan.offset": of(plan.offset, vector),
    "plan.root": of(plan.root, vector),
    "plan.form": of(plan.form, vector),
    "plan.plain": of(plan.plain, vectors(2)),
    "plan.whole": of(plan.whole, vectors(1)),
    "plan.copied": of(plan.copied, vectors(2)),
    "plan.operands": of(operands_of, note),
    "plan.Plan.add_python": of(
        add_python, lambda call: (len, ([],), {}, vector(call), vector(call), "name")
    ),
    "plan.Plan.add_ufunc": of(add_ufunc, ufunc),
    "plan.Recorded": of(recorded_call, recording),
    "replay.same": of(replay.same, same_as_read),
    "replay.constant": of(replay.constant, lambda call: (dl.Tensor, *vectors(1)(call))),
    "replay.Runner.run": run_step,
    "replay.Replay": call_step,
    "atomic.assign": of(atomic.assign, changes),
    "atomic.found": of(atomic.found, changes),
    "atomic.locked": of(atomic.locked, lambda call: (threading.Lock(), len, ([],))),
    "atomic.Assigned": of(assigned, lambda call: changes(call) * 2),
    "atomic.exchange": of(atomic.exchange, lambda call: changes(call) * 2),
    "atomic.Shared": of(shared, shared_dicts),
    "atomic.InContext": of(in_context, lambda call: (VARIABLE, 1, atomic.InContext)),
    "atomic.Block": of(leave, lambda call: (atomic.Assigned([]), None, None, None)),
    "system.set_num_threads": of(threads, lambda call: (2,)),
    "unprepared": unprepared,
    **{
        f"optim.{name}": rule_of(name)
        for name, value in sorted(vars(optim).items())
        if isinstance(value, optim.Rule)
    },
}


# --- the campaign --------------------------------------------------------------------------------


class Meddlers:
    """Threads that change a call's memory and arrays, without the GIL where they can."""

    def __init__(self):
        self.file, self.call, self.running = os.memfd_create("blocks"), None, True
        rng, size = np.random.default_rng(0), PAGES * PAGE // 8
        for _ in range(BLOCKS // 4):
            good, bad = np.arange(size), np.arange(size)
            bad[rng.integers(size, size=size // 8)] = rng.choice((-1, 2**40, 2**62))
            for block in (good, bad, np.zeros(size, np.int64), rng.integers(-9, 2**62, size)):
                os.write(self.file, block.tobytes())
        jobs = (self.write, self.reshape)
        self.locks = [threading.Lock() for _ in jobs]
        self.threads = [
            threading.Thread(target=self.repeat, args=pair)
            for pair in zip(self.locks, jobs, strict=True)
        ]

    def __enter__(self):
        self.interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.running = False
        for thread in self.threads:
            thread.join()
        sys.setswitchinterval(self.interval)
        os.close(self.file)

    def repeat(self, lock, job):
        while self.running:
            with lock:
                if self.call is not None:
                    job(self.call)
            time.sleep(1e-5)

    def leave(self):
        """Return once nobody changes the call any more."""
        self.call = None
        for lock in self.locks:
            with lock:
                pass

    def write(self, call):
        """Write to the memory of one array, again and again."""
        os.preadv(self.file, [memoryview(call.target)] * BLOCKS, 0)

    def reshape(self, call):
        """Change shapes and flags of all arrays, and restore them."""
        for x, shape in call.shapes:
            with contextlib.suppress(AttributeError, ValueError, DeprecationWarning):  # NumPy 2.5
                x.shape = -1
                x.shape = shape[::-1]
                x.flags.writeable = False
            x.flags.writeable = True
            with contextlib.suppress(AttributeError, ValueError, DeprecationWarning):
                x.shape = shape


def change_meanwhile(call, meddlers, say):
    """Make a call several times while other threads change one of its arrays."""
    memory = call.memory
    text = any(x.dtype.kind == "U" for x in flat(call.args))  # not every number is a character
    if call.evil or text or not memory.used:
        return 0
    number = call.draw.randrange(memory.used)
    call.target = memory.slots[number]
    own = {id(x): x for x in flat(call.args) if type(x) is np.ndarray and x.flags.writeable}
    call.shapes = [(x, x.shape) for x in own.values()]
    allowed = [byte_bounds(x) for x in flat(call.written(call.args)) if x.size]
    allowed.append((call.target.ctypes.data, call.target.ctypes.data + call.target.size))
    say(f"{call} while slot {number} is changed\n{call.place}")
    meddlers.call = call
    for _ in range(TIMES):
        before = memory.snapshot()
        _, error = outcome(call.function, call.args)
        if isinstance(error, SystemError):
            raise Breach(f"{call} raised {error!r} while slot {number} was changed", call.place)
        if found := memory.changed(before, allowed[-1:] if error else allowed):
            text = f"{call}: {found} after {error!r}, while slot {number} was changed"
            raise Breach(text, call.place)
    meddlers.leave()
    return TIMES


def trial(seed, say):
    tried = [Call(seed, number).make(say) for number in range(CALLS)]
    with Meddlers() as meddlers:
        changed = sum(
            change_meanwhile(Call(seed, CALLS + number), meddlers, say) for number in range(CHANGED)
        )
    return {"calls": len(tried), "refused": sum(tried), "calls while memory changes": changed}
