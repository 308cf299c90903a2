"""A training step that is recorded while it runs, and replayed by one call into C.

While a step is recorded, all arrays in it are `Traced`: NumPy hands every call with such an array
to the array itself, which makes the call, and adds it to a plan; so do minidl's kernels. The plan
is then a flat list of calls on arrays that stay where they are (`_kernels.plan`), and a replay runs
the calls again on new inputs (`_kernels.replay`), to the same bits.

Nothing leaves a recording unnoticed: what Python would decide by a value is an error. What was
decided without the arrays, such as random numbers from elsewhere, differs from call to call. So a
step is recorded twice, and the two recordings must agree. What a step reads from modules, variables
and settings is checked before each replay.
"""

from __future__ import annotations

import functools
import linecache
import operator
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minidl import _checks, _files, _settings
from minidl._checks import describe
from minidl._format import printable, printed
from minidl._guards import LENGTH, Guards, random_states
from minidl._interrupts import CtrlC
from minidl._kernels import atomic, replay
from minidl._kernels import optim as kernels
from minidl._kernels.plan import Plan, Recorded, offset, root
from minidl._observer import Observer, active
from minidl.optim import Optimizer
from minidl.schedulers import Schedule
from minidl.tensor import Tensor

PLANS = 8  # of one captured step; the oldest one is forgotten for another
ATTEMPTS = 5  # recordings for arguments of one kind that have read different things
WIDTH = 36  # of a source line in the table of a plan
STATIC = {"itemsize", "nbytes", "strides"}  # and shape, dtype, ndim, size, flags
VIEWS = {"T", "real", "imag", "base"}
KINDS = "fiubc"  # of dtypes whose arrays are numbers, and may be copied byte by byte
IN_PLACE = {"fill", "sort", "put", "partition"}
NO_ARRAYS = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.may_share_memory}


class CaptureError(RuntimeError):
    """A step that can't be recorded, or whose two recordings differ.

    The message names the line, and says what to do.
    """


# --- arrays whose uses are recorded -------------------------------------------------------------


class Traced(Recorded, NDArrayOperatorsMixin):
    """An array whose uses by NumPy are added to a plan; once that is complete, a plain array."""

    array: np.ndarray
    plan: Recording
    convert: Any = staticmethod(np.asarray)  # what a step returns for this array
    __class__ = property(lambda self: np.ndarray)  # for isinstance

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented  # it is for the tensor to decide
        call, given = getattr(ufunc, method), plain(inputs)
        result = call(*given, **plain(options))
        if not self.plan.open:
            return result
        if method == "at":
            return self.plan.in_place(call, given, options)
        if options.keys() == {"out"} or not options:
            arrays = _arrays_of(ufunc, method, given)
            target = plain(options["out"])[0] if options else np.asarray(result)
            numbers = _details(given, {})
            fits = bool(arrays) and not _overlap(arrays, target)
            if fits and self.plan.add_ufunc(ufunc, arrays, target, numbers):
                return self.plan.record(target, result)
        if "out" in options:
            return self.plan.in_place(call, given, options, result)
        return self.plan.made(call, given, options, result)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return self.plan.python(function, args, options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self.array, name)
        if name in STATIC or not self.plan.open:
            return value
        if name in VIEWS:
            return None if value is None else self.plan.record(value)
        if name in IN_PLACE:
            return functools.partial(self._in_place, value)
        if not callable(value) or name in FORBIDDEN:
            self.plan.refuse(f"uses the {name} of an array", "Use NumPy's or minidl's functions.")
            return value
        return functools.partial(self._method, value)

    def _method(self, method: Any, *args: Any, **options: Any) -> Any:
        return self.plan.python(method, args, options, (self.array,))

    def _in_place(self, method: Any, *args: Any, **options: Any) -> None:
        method(*plain(args), **plain(options))
        self.plan.in_place(method, plain(args), options, inputs=(self.array,))

    def __getitem__(self, key: Any) -> Any:
        return self.plan.python(operator.getitem, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        given = plain((self, key, value))
        operator.setitem(*given)
        self.plan.in_place(operator.setitem, given, {})

    def __pow__(self, other: Any) -> Any:  # unlike np.power, it squares where the exponent is 2
        return self.plan.python(operator.pow, (self, other), {})

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self.plan.refuse(
            "converts an array by np.asarray, np.array or the like, whose result can't be followed",
            "Leave that out, or convert before the step; x.copy() and x.astype(dtype) do work.",
        )
        return np.array(self.array, dtype, copy=copy)


def _value(name: str) -> Callable[..., Any]:
    """A method that returns a value of the array to Python, which no plan can follow."""
    what = "looks at a value (by an `if`, item(), float(), print or the like)"
    advice = "Do that outside of the step, with what it returns; or select by dl.where."
    if name == "__index__":
        what = "uses an array as an index or a number of things"
        advice = "Do that outside of the step; or index a tensor by it, dl.Tensor(a)[i]."

    def method(self: Traced, *args: Any) -> Any:
        self.plan.refuse(what, advice)
        return getattr(self.array, name)(*args)

    return method


VALUES = ("item", "tolist", "tobytes", "__repr__", "__str__", "__format__", "__contains__")
NUMBERS = ("__bool__", "__float__", "__int__", "__index__", "__complex__")
for _name in (*VALUES, *NUMBERS):
    setattr(Traced, _name, _value(_name))
FORBIDDEN = {"dump", "dumps", "resize", "setflags", "setfield", "tofile", "view", "byteswap"}


def plain(x: Any) -> Any:
    """Arguments with plain arrays for recorded ones, also inside tuples, lists and dicts."""
    if isinstance(x, Recorded):
        return x.array
    if type(x) in (tuple, list):
        return type(x)(map(plain, x))
    if type(x) is dict:
        return {name: plain(value) for name, value in x.items()}
    return x


def _leaves(x: Any) -> list[Any]:
    """What lies in nested tuples, lists and dicts."""
    if type(x) in (tuple, list, dict):
        parts = x.values() if type(x) is dict else x
        return [leaf for part in parts for leaf in _leaves(part)] if parts else []
    return [x]


def _arrays_in(*x: Any) -> tuple[np.ndarray, ...]:
    return tuple([a for a in _leaves(x) if isinstance(a, np.ndarray)])


def _arrays_of(ufunc: Any, method: str, inputs: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    """The inputs of an element-wise function as arrays of one dtype; () if they have several."""
    dtypes = {x.dtype for x in inputs if isinstance(x, np.ndarray | np.generic)}
    if method != "__call__" or ufunc.nout != 1 or len(dtypes) != 1:
        return ()
    (dtype,) = dtypes
    mixed = dtype.kind != "f" and any(isinstance(x, int | float) for x in inputs)
    if mixed or dtype.kind not in KINDS:
        return ()
    with np.errstate(over="ignore"):
        return tuple(x if isinstance(x, np.ndarray) else np.asarray(x, dtype) for x in inputs)


def _overlap(arrays: tuple[np.ndarray, ...], out: np.ndarray) -> bool:
    """Whether an input shares memory with the output without being it."""
    return any(
        root(x) is root(out) and (offset(x), x.strides) != (offset(out), out.strides)
        for x in arrays
    )


def _refill(
    outputs: tuple[np.ndarray, ...], function: Any, args: Any, options: Any, where: tuple[str, int]
) -> None:
    """Call a function again, and copy its results to where the first ones were."""
    results = function(*args, **options)
    results = results if isinstance(results, tuple | list) else (results,)
    for out, result in zip(outputs, map(np.asarray, results), strict=True):
        if out.shape != result.shape or out.dtype != result.dtype:
            raise CaptureError(
                f"{_source(where)}: {_called(function)} now returns an array of shape "
                f"{result.shape} instead of {out.shape}: a shape that depends on values can't be "
                "captured"
            )
        out[...] = result


def _called(function: Any) -> str:
    return str(getattr(function, "__qualname__", getattr(function, "__name__", function)))


# --- one recording ------------------------------------------------------------------------------

SETTINGS = (_settings.recording.get, _settings.local_default_dtype.get, active.get)


class _Output(NamedTuple):
    """The place of an array in the result of a step."""

    place: int
    convert: Any  # an array into what the step returns; None for a tensor


class Recording(Plan, Observer):
    """A plan with all that must hold for it to be replayed; it observes one run of the step.

    strict  whether what can't be recorded raises CaptureError; otherwise the step runs on without
            being recorded, and `error` says why
    """

    fuses = True
    nested = (
        "trace: a captured step can't open a trace while it is recorded; open it around the call"
    )

    def __init__(self, function: Any, strict: bool) -> None:
        self.function, self.strict = function, strict
        self.error: CaptureError | None = None
        self.labels: list[str] = []  # for each call the op that made it
        self.label = ""
        self.inputs: list[np.ndarray] = []
        self.outputs: list[np.ndarray] = []
        self.leaves: dict[Tensor, np.ndarray] = {}  # their data
        self.events: list[tuple[int, Tensor, np.ndarray | None]] = []  # gradients after calls
        self.zeroed: set[Tensor] = set()
        self.calls_functions = False  # that may read the counts of steps
        self.gradients_before: dict[Tensor, np.ndarray | None] = {}
        self.guards = Guards()
        self.updates: list[tuple[Any, ...]] = []
        self.state_tokens: dict[int, Any] = {}  # for the arrays of optimizers
        self.steps: list[tuple[Any, int]] = []
        self.versions: list[tuple[Tensor, int]] = []
        self._tensors: list[weakref.ref[Tensor]] = []
        self._buffers: list[tuple[Any, str, np.ndarray]] = []  # of modules
        self.owners: list[tuple[list[int], ...]] = []  # ids of arrays, for the page
        self.settings = tuple(get() for get in SETTINGS)
        dtype = _settings._default_dtype
        self.guards.add(vars(_settings), "_default_dtype", dtype, "the default dtype")
        self.guards.follow(function, "the step")
        self._drawn: list[Any] = []  # generators of which functions are recorded

    def run_step(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Run and record the step; returns its result."""
        given = list(map(self._input, (*inputs, *options.values())))
        named = dict(zip(options, given[len(inputs) :], strict=True))
        places = zip((*range(len(inputs)), *options), given, strict=True)
        self.takes_arrays = not options and all(
            isinstance(x, np.ndarray) and x.dtype.isnative for x in inputs
        )
        self.input_places = [at for at, x in places if isinstance(x, np.ndarray | Tensor)]
        generators = list(self.guards.generators)
        states = random_states(generators)
        try:
            with atomic.InContext(active, self):
                result = self.function(*given[: len(inputs)], **named)
            atomic.assign(self._buffers)
            self._check_changes(generators, states)
            self.template = self._template(result)
            self.returns_tensor = type(self.template) is _Output and not self.template.convert
        finally:
            self.open = False
            leaves = {**self.leaves, **dict.fromkeys(self.zeroed)}
            self.grads = [(p, plain(p.grad)) for p in leaves if isinstance(p.grad, Recorded)]
            self.grads += [(p, None) for p in self.zeroed if p.grad is None]
            tensors = [t for reference in self._tensors if (t := reference()) is not None]
            changes: list[Any] = [(p, "grad", g) for p, g in self.grads]
            changes += [(t, "_data", plain(t._data)) for t in tensors]
            atomic.assign(changes + self._buffers)
        self.before = list(self.gradients_before.items())
        self.learned = frozenset(id(p) for p in self.leaves if p._requires_grad)
        return self.results()

    def _input(self, x: Any) -> Any:
        """An input as the step gets it: recorded if it is an array or a tensor."""
        data = x._data if isinstance(x, Tensor) else x
        if not isinstance(data, np.ndarray):
            return x
        self.inputs.append(np.array(data, order="C"))
        recorded = self.record(self.inputs[-1])
        if not isinstance(x, Tensor):
            return recorded
        tensor = Tensor(recorded, dtype=data.dtype, name=x.name)
        tensor._computed = x._computed
        self._tensors.append(weakref.ref(tensor))
        return tensor

    def _template(self, x: Any) -> Any:
        """The result of the step, with an _Output for each array that it has computed."""
        data = x._data if isinstance(x, Tensor) else x
        if isinstance(data, Recorded):
            self.outputs.append(data.array)
            return _Output(len(self.outputs) - 1, None if isinstance(x, Tensor) else data.convert)
        if type(x) in (tuple, list):
            return type(x)(map(self._template, x))
        if type(x) is dict:
            return {k: self._template(v) for k, v in x.items()}
        if not isinstance(x, (*SIMPLE, np.ndarray, np.generic, Tensor)):
            self._reject(
                f"it returns a {type(x).__name__}, which a replay would not make anew. Return "
                "tensors, arrays and numbers, also in tuples, lists and dicts."
            )
        return x

    def unsteady(self, before: dict[Any, Any]) -> str:
        """The message for a step that reads something else each time that it is recorded."""
        name = next(key[0] for key, value in self.signature().items() if before.get(key) != value)
        return (
            f"the step can't be captured, since it reads {name}, which is another one in each "
            "call. Give the step what changes as an argument: a number as np.float32(number), a "
            "decision as True or False."
        )

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("call", "of", "inputs", "outputs", "µs", "line")]
        many = {update[0]: f"{len(update[6])} parameters" for update in self.updates}
        before: Any = None
        for i, (note, seconds) in enumerate(zip(self.notes, self.seconds, strict=True)):
            label = self.labels[i] if i < len(self.labels) else ""
            shapes = [many.get(i) or _shapes(x) for x in (note.inputs, note.outputs)]
            median = f"{1e6 * sorted(seconds)[len(seconds) // 2]:.2f}" if seconds else ""
            line = linecache.getline(*note.where).strip() if note.where != before else ""
            line = line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
            place = f"{note.where[1]} {line}" if note.where != before else ""
            rows.append((note.name, label, *shapes, median, place))
            before = note.where
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return printable("\n".join(lines))

    def save(self, path: Any) -> None:
        """Write a page (.html) that shows the calls, their arrays and how long each takes.

        ValueError for another ending; OSError for a path that can't be written.
        """
        from minidl.walkthrough import plan_page

        path = _files.ending("save", path, {".html"})
        with _files.replacing("save", path) as temporary:
            temporary.write_bytes(plan_page.as_html(self).encode("utf-8", "replace"))

    def identify(self) -> None:
        """Keep what tells the arrays of the calls apart, for those who show the plan."""
        grads = (*self.grads, *self.before)
        self.gradient_of = {id(root(g)): p for p, g in grads if g is not None}
        sides = ((note.inputs, note.outputs) for note in self.notes)
        self.owners = [tuple([[id(root(x)) for x in side] for side in both]) for both in sides]

    def results(self) -> Any:
        """The result of the last run, in arrays of its own."""
        return self._result(self.template)

    def _result(self, x: Any) -> Any:
        if type(x) is _Output:
            array = self.outputs[x.place].copy()
            return x.convert(array) if x.convert else replay.constant(Tensor, array)
        if type(x) in (tuple, list):
            return type(x)(map(self._result, x))
        return {k: self._result(v) for k, v in x.items()} if type(x) is dict else x

    # --- what can't be recorded

    def refuse(self, what: str, advice: str) -> None:
        """Raise CaptureError that names the line; or only stop recording, if it is not strict."""
        if self.open:
            self._reject(f"{_source(self.where())} {what}. {advice}", where=False)
            if self.strict:
                raise self.error  # type: ignore[misc]

    def _reject(self, message: str, where: bool = True) -> None:
        code = getattr(self.function, "__code__", None)
        step = f" ({code.co_filename}:{code.co_firstlineno})" if code and where else ""
        self.error = self.error or CaptureError(f"the step{step} can't be captured: {message}")
        self.open = False

    def where(self) -> tuple[str, int]:
        """The file and the number of the user's line that is running."""
        frame: Any = sys._getframe(1)
        while frame.f_back and frame.f_globals.get("__name__", "").startswith(
            ("minidl.", "numpy.")
        ):
            frame = frame.f_back
        return frame.f_code.co_filename, frame.f_lineno

    def _check_changes(self, generators: list[Any], states: list[Any]) -> None:
        """Reject a step that changes what it reads, which a replay would not do."""
        owners = [*[None] * (len(states) - len(generators)), *generators]
        for owner, before, now in zip(owners, states, random_states(generators), strict=True):
            if before != now and not any(owner is g for g in self._drawn):
                self._reject(
                    "it draws random numbers, which a replay would repeat. Draw them outside, and "
                    "give them to the step as an argument."
                )
        for p, data in self.leaves.items():
            if p._data is not data:
                self._reject(
                    f"it replaces the data of {describe(p)} by an array that it did not compute. "
                    "Load weights outside of the step."
                )
        for container, key, value, name in self.guards:
            if not replay.same(container, key, value):
                new = self.guards.new_keys(container) if key is LENGTH else []
                added = f" ({', '.join(new)} is new)" if new else ""
                advice = "Count and collect outside of the step, from what it returns."
                if key == "training" or "training" in new:
                    advice = "Call train() or eval() before the step."
                self._reject(f"it changes {name}{added}, which a replay would not do. {advice}")
        for name in self.guards.iterators:
            self._reject(
                f"it reads the iterator or file {name}, which a replay would not do. Take the next "
                "item outside, and give it to the step as an argument; write outside, too."
            )

    # --- what arrays report

    def record(self, array: Any, value: Any = None) -> Traced:
        """A recorded array of this plan, which may stand for a number that NumPy has returned."""
        recorded = Traced(array, self)
        if isinstance(value, np.generic):
            recorded.convert = operator.itemgetter(())
        return recorded

    def python(self, function: Any, args: Any, options: Any, inputs: Any = ()) -> Any:
        """Call a function of arrays, and record the call."""
        args, options = plain(tuple(args)), plain(options)
        result = function(*args, **options)
        if not self.open or function in NO_ARRAYS:
            return result
        if inputs and result is inputs[0]:  # as from astype(…, copy=False)
            return self.record(result)
        return self.made(function, args, options, result, inputs)

    def made(self, function: Any, args: Any, options: Any, result: Any, inputs: Any = ()) -> Any:
        """Record a call that has returned new arrays, or views of its arguments."""
        inputs += _arrays_in(args, options)
        if result is None or "out" in options:
            return self.in_place(function, args, options, result, inputs)
        several = isinstance(result, tuple | list)
        results = tuple(result) if several else (result,)
        if not all(isinstance(x, np.ndarray | np.generic) for x in results):
            self.refuse(
                f"calls {_called(function)}, which returns a {type(result).__name__}, not an array",
                "Do that outside of the step, with what it returns.",
            )
            return result
        arrays = tuple(map(np.asarray, results))
        roots = [root(a) for a in inputs]
        if not all(any(root(x) is r for r in roots) for x in arrays):
            call = (arrays, function, args, options, self.where())
            details = _details(args, options)
            self.add_python(_refill, call, {}, inputs, arrays, _called(function), details)
        recorded = map(self.record, arrays, results)
        return type(result)(recorded) if several else next(recorded)

    def in_place(
        self, function: Any, args: Any, options: Any, result: Any = None, inputs: Any = ()
    ) -> Any:
        """Record a call that has changed its arguments."""
        options = plain(options)
        arrays = inputs + _arrays_in(args, options)
        written = _arrays_in(options.get("out")) or arrays[:1]
        details = _details(args, options)
        self.add_python(function, args, options, arrays, written, _called(function), details)
        return None if result is None else self.record(np.asarray(result))

    def overwrite(self, before: Any, array: Any, owner: Any) -> Any:
        """Copy an array into one that stays where it is; counts as a new version of a tensor."""
        target, array = plain(before), plain(array)
        np.copyto(target, array, "unsafe")
        if isinstance(owner, Tensor):
            self.versions.append((owner, self.count))
        self.add_python(np.copyto, (target, array, "unsafe"), {}, (array,), (target,), "copyto")
        return before

    # --- what the core reports

    def inside(self, module: Any) -> Any:
        self.guards.follow(module, type(module).__name__)
        buffers = [(vars(module), name, vars(module)[name]) for name in module._buffers]
        for owner, name, array in buffers if self.open else ():
            if not isinstance(array, Recorded):  # for the rest of the recording
                self._buffers.append((owner, name, array))
                owner[name] = self.record(array)
        return super().inside(module)

    def arrays(self, inputs: Sequence[Any], arrays: list[Any]) -> list[Any]:
        if not self.open:
            return arrays
        for x in inputs:
            if isinstance(x, Tensor) and type(x._data) is np.ndarray:
                self.leaves.setdefault(x, x._data)
        return [self.record(a) if type(a) is np.ndarray else a for a in arrays]

    def op(
        self, function: Any, inputs: Any, arrays: Any, extra: Any, options: Any, result: Any
    ) -> None:
        self._tensors.append(weakref.ref(result))
        self.labels += [function.__name__] * (self.count - len(self.labels))
        if result._node is not None:
            vjps = [functools.partial(self._backward, function, vjp) for vjp in result._node.vjps]
            result._node.vjps = vjps

    def _backward(self, function: Any, vjp: Any, *args: Any) -> Any:
        grads = vjp(*args)
        self.labels += [f"∂{function.__name__}"] * (self.count - len(self.labels))
        return grads

    def grad(self, leaf: Any) -> Any:
        g = leaf.grad
        if isinstance(g, Recorded) or not self.open:
            return g
        self.leaves.setdefault(leaf, leaf._data)
        if g is not None and leaf in self.zeroed:  # assigned in the step
            leaf.grad = self._copied(g)
            return leaf.grad
        if leaf not in self.zeroed and leaf not in self.gradients_before:
            buffer = None if g is None else np.array(g, order="C")
            self.gradients_before[leaf] = buffer
        if (buffer := self.gradients_before.get(leaf)) is None:
            return None
        return self.record(buffer)

    def _copied(self, constant: np.ndarray) -> Any:
        """A gradient that no input changes, in an array that each replay writes."""
        return np.positive(self.record(constant))

    def assigned(self, changes: Any) -> None:
        if self.open:
            changes[:] = [
                (leaf, key, g if isinstance(g, Recorded) else self._copied(g))
                for leaf, key, g in changes
            ]
        self.events += [(self.count, leaf, plain(g)) for leaf, _, g in changes]

    def cleared(self, leaves: Any) -> None:
        self.zeroed.update(leaves)
        self.events += [(self.count, leaf, None) for leaf in leaves]

    def end_step(self, optimizer: Any, batches: Any) -> None:
        if type(optimizer).step is not Optimizer.step:
            name = type(optimizer).__name__
            self.refuse(f"calls {name}.step, Python code of its own", "Define `update` instead.")
        if not self.open:
            return
        earlier = sum(entry[0] is optimizer for entry in self.steps)
        self.steps.append((optimizer, self.count))
        for batch, (update,) in batches:
            place = next(i for i, g in enumerate(optimizer.groups) if g is batch.group)
            columns, first = optimizer._columns[place], batch.indices[0]
            before = sum(entry[4] is columns and first in entry[5] for entry in self.updates)
            counts = before, earlier
            batch_of = tuple(batch.indices), tuple(batch.params)
            self.updates.append(
                (self.count, update, optimizer, batch.group, columns, *batch_of, *counts)
            )
            kernels.add_update(self, type(optimizer).__name__, update)
            self.labels += ["step"] * (self.count - len(self.labels))
            for name in optimizer.slots.keys() & columns.keys():
                states = {id(columns[name][i]): (id(columns), name, i) for i in batch.indices}
                self.state_tokens |= states

    def takes_over(self, function: Callable[[], Any]) -> bool:
        if not self.open:
            return False
        grads = [(p, p.grad) for p in self.leaves if isinstance(p.grad, Recorded)]
        call = (function, [(p, plain(g)) for p, g in grads])
        with atomic.InContext(active, None):
            _with_gradients(*call)
        atomic.assign([(p, "grad", g) for p, g in grads])
        self.calls_functions = True
        arrays = tuple(plain(g) for _, g in grads)
        self.add_python(_with_gradients, call, {}, arrays, (), _called(function))
        return True

    def reads(self, options: dict[str, Any], name: str) -> None:
        if self.open and isinstance(options[name], Schedule):
            self.refuse("reads a rate that follows a schedule", "Read it outside of the step.")
        elif self.open:
            self.guards.add(options, name, options[name], name)

    def sets(self, name: str) -> None:
        self.refuse(f"sets {name} of an optimizer", "Set it outside of the step, or by a schedule.")

    def repeated(self, function: Callable[..., Any], *args: Any) -> Any:
        self._drawn.append(getattr(function, "__self__", None))
        return self.python(function, args, {}) if self.open else function(*args)

    # --- comparing two recordings

    def signature(self) -> dict[str, Any]:
        """What the step has read, by name: equal for recordings that must agree."""
        read: dict[Any, Any] = {
            (name, id(container), str(key)): value if isinstance(value, SIMPLE) else id(value)
            for container, key, value, name in self.guards
        }
        read |= {("gradient", id(p), ""): g is None for p, g in self.gradients_before.items()}
        read["settings", 0, ""] = self.settings
        batches = [(id(entry[4]), entry[5]) for entry in self.updates]  # of equal step counts
        read["the step counts of an optimizer", 0, ""] = batches
        return {**read, ("requires_grad of a parameter", 0, ""): self.learned}

    def _sources(self, other: Recording) -> list[tuple[Any, ...]]:
        """Where each input of each call comes from: (call, token, form, owner, array).

        The token is None for an array from elsewhere.
        """
        tokens: dict[int, Any] = {id(x): ("input", i) for i, x in enumerate(self.inputs)}
        tokens |= {id(x): ("gradient", i) for i, (_, x) in enumerate(self.before)}
        common = self.leaves.keys() & other.leaves.keys()
        tokens |= {id(self.leaves[p]): ("leaf", id(p)) for p in common} | self.state_tokens
        found = []
        for i, note in enumerate(self.notes):
            read = [root(x) for x in note.inputs]
            inputs = set(map(id, read))
            for x, owner in zip(note.inputs, read, strict=True):
                form = offset(x), x.shape, x.strides, x.dtype
                found.append((i, tokens.get(id(owner)), form, owner, x))
            for k, x in enumerate(note.outputs):
                if id(owner := root(x)) not in tokens and id(owner) not in inputs:
                    tokens[id(owner)] = ("call", i, k)
        return found

    def difference(self, other: Recording) -> str | None:
        """In what another recording of the same step differs from this one."""
        for a, b in zip(self.notes, other.notes, strict=False):
            if (a.name, a.details) != (b.name, b.details):
                once, again = (n.name + str(n.details) * (a.name == b.name) for n in (a, b))
                return f"{_source(b.where)} calls {again} after {once}"
            for one, two in zip(a.outputs, b.outputs, strict=True):
                if one.shape != two.shape:
                    return (
                        f"{_source(b.where)} gives an array of shape {two.shape} after "
                        f"{one.shape}, but shapes must not depend on values; select by dl.where"
                    )
        if self.count != other.count or _details(self.template, {}) != _details(other.template, {}):
            return f"it makes {self.count} calls once, and {other.count} the next time"
        outputs = {id(root(x)): note for note in other.notes for x in note.outputs}
        if written := [outputs[id(x)] for x in other.inputs if id(x) in outputs]:
            return f"{_source(written[0].where)} writes into an argument; copy it first"
        for one, two in zip(self._sources(other), other._sources(self), strict=True):
            what = None
            if one[1:3] != two[1:3]:
                what = "gives {} another array than the first time"
            elif one[1] is None and one[3] is not two[3]:
                if id(two[3]) in outputs:
                    what = "gives {} an array that NumPy has made, and writes to it; use zeros_like"
                elif not np.array_equal(one[4], two[4], equal_nan=one[4].dtype.kind in "fc"):
                    what = "gives {} numbers from outside of the step that change"
            if what:
                note = other.notes[two[0]]
                return f"{_source(note.where)} {what.format(note.name)}"
        return None


SIMPLE = (bool, int, float, complex, str, bytes, type(None))


def _shapes(arrays: Sequence[Any]) -> str:
    return " ".join("×".join(map(str, x[0])) or "1" for x in arrays)


def _details(args: Any, options: Any) -> tuple[Any, ...]:
    """The arguments of a call that are no arrays, to be compared."""
    return tuple(
        repr(x) if isinstance(x, (*SIMPLE, slice, np.dtype, np.generic)) else type(x).__name__
        for x in _leaves((args, options))
        if not isinstance(x, np.ndarray)
    )


def _source(where: tuple[str, int]) -> str:
    line = linecache.getline(*where).strip()
    return f"{where[0]}:{where[1]}: `{line}`" if line else f"{where[0]}:{where[1]}"


def _with_gradients(function: Callable[[], Any], grads: list[tuple[Tensor, np.ndarray]]) -> None:
    """Call a function that reads the gradients of leaves, such as the step of an optimizer."""
    atomic.assign([(p, "grad", g) for p, g in grads])
    function()


# --- captured steps -----------------------------------------------------------------------------


@printed
class capture(replay.Replay):  # noqa: N801 (a verb, like no_grad)
    """A training step that is recorded in its first two calls, and then replayed by a call into C.

    function  the step (x, y, …) → loss: forward, loss, backward, update; usable as a decorator

    A call does what the function does, to the same bits. From the third call with inputs of some
    shapes and dtypes on, Python runs no longer: the recorded kernels run on the new inputs. Arrays
    and tensors may differ from call to call; any other argument, and any other shape, has a plan of
    its own, eight of them at most. If calls keep having new ones, the function itself runs. A plan
    is recorded again after a change of what it reads: frozen parameters, train() and eval(),
    attributes, variables, settings. In an open trace the function itself runs. The result of a
    replay is a constant. A replay gives none of NumPy's warnings of overflow and the like.

    Raises CaptureError for a step that can't be recorded: it looks at a value that it computes, its
    two recordings differ (random numbers from elsewhere, a counter), it changes a variable. Its
    message names the line. The step has been done then, unless the error comes from a line in it.
    Other errors are those of the function. RuntimeError if two threads call it at once.

    >>> model = dl.nn.MLP([2, 16, 1], rng=0)
    >>> optimizer = dl.optim.Adam(model)
    >>> @dl.capture
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = dl.losses.mse(model(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x = np.linspace(-1.0, 1.0, 64, dtype=np.float32).reshape(32, 2)
    >>> losses = [step(x, x[:, :1] * x[:, 1:]).item() for _ in range(3)]
    >>> losses[2] < losses[0]
    True
    """

    def __init__(self, function: Callable[..., Any], *, _strict: bool = True) -> None:
        if not callable(function) or isinstance(function, type | staticmethod):
            raise TypeError(
                f"capture takes a function (x, y, ...) -> loss, got {function!r}"
                + "; put @dl.capture below the other decorator"
                * isinstance(function, staticmethod | classmethod)
            )
        self.function, self.kind, self._strict = function, Tensor, _strict
        self.error: CaptureError | None = None  # why a step that need not be captured isn't
        self._runners: dict[Any, list[replay.Runner]] = {}  # by key
        self._pending: dict[Any, list[Recording]] = {}  # to be compared with another recording
        functools.update_wrapper(self, function, updated=())

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._place = name, f"_{owner.__name__}_{name}"

    def __get__(self, instance: Any, owner: type) -> capture:
        """For a method, a captured step of each object, which is kept in an attribute of it."""
        if instance is None:
            return self
        if not hasattr(instance, "__dict__"):
            raise TypeError(
                f"a {type(instance).__name__} has __slots__, and so no place for its captured step "
                f"{self._name}: add '__dict__' to __slots__"
            )
        bound: capture | None = vars(instance).get(self._place)
        if bound is None or getattr(bound.function, "__self__", None) is not instance:  # a copy
            bound = vars(instance)[self._place] = capture(types.MethodType(self.function, instance))
        return bound

    def record(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A call that the last recording does not fit: replay another one, or record the step."""
        if active.get() or self.error:  # an open trace shows each op
            return self.function(*inputs, **options)
        inputs = tuple(map(_as_argument, inputs))
        key, arrays = _key(inputs, options)
        if runner := self._ready(key):
            runner.run(tuple(np.require(x, requirements=["C", "A"]) for x in arrays))
            return runner.plan.results()
        self.attempts += 1
        if self.attempts > 2 * PLANS and self.attempts % 100:
            return self.function(*inputs, **options)  # recording each call would take far longer
        recording = Recording(self.function, self._strict)
        result = recording.run_step(inputs, options)
        self.error = self._learn(key, recording)
        if self.error and self._strict:
            error, self.error = self.error, None
            raise error
        return result

    def _ready(self, key: Any) -> replay.Runner | None:
        """The runner for inputs of this kind whose recording still holds."""
        for runner in self._runners.get(key, ()):
            if runner.ready():
                self.runner, self.attempts = runner, 0
                return runner
        return None

    def _learn(self, key: Any, recording: Recording) -> CaptureError | None:
        """Keep a recording; two that agree make a plan. Returns what is wrong with it, if any."""
        if recording.error:
            return recording.error
        others, signature = self._pending.setdefault(key, []), recording.signature()
        pending = next((other for other in others if other.signature() == signature), None)
        if pending is None:
            if len(others) == ATTEMPTS:
                del self._pending[key]
                return CaptureError(recording.unsteady(others[-1].signature()))
            others.append(recording)
            if len(self._pending) > PLANS:
                del self._pending[next(iter(self._pending))]
            return None
        others.remove(pending)
        if difference := pending.difference(recording):
            return CaptureError(
                f"the step can't be captured, since two recordings of it differ: {difference}. A "
                "replay would repeat what was recorded. Give the step what changes as an argument."
            )
        recording.identify()
        self._runners.setdefault(key, []).insert(0, replay.Runner(recording, SETTINGS))
        self.runner = self._runners[key][0]
        if sum(map(len, self._runners.values())) > PLANS:
            oldest = next(iter(self._runners))
            self._runners[oldest].pop()
            self._runners = {k: runners for k, runners in self._runners.items() if runners}
        return None

    def epoch(self, *arrays: Any, batch_size: int, order: Any = None) -> np.ndarray:
        """Take a step for each batch of an epoch by one call into C; returns the losses, float64.

        arrays      x, y, …: arrays with equally many rows
        batch_size  the number of rows of a batch; the last batch may have fewer
        order       row numbers, such as rng.permutation(len(x)), in the order of their use; None
                    for all rows as they come

        The same steps as in a loop over the batches, to the same bits. Ctrl-C ends the epoch after
        the running step, with a KeyboardInterrupt. ValueError or TypeError for arrays of different
        lengths, for an order that does not consist of row numbers, and if the step returns anything
        but a tensor of one number.
        """
        losses: list[float] = []
        ctrl_c = CtrlC()
        lengths = [len(rows(x)) for x in arrays]
        if len(set(lengths)) != 1:
            given = ", ".join(map(str, lengths)) or "none"
            raise ValueError(f"epoch: arrays must have equally many rows, got {given}")
        batch = _checks.count("epoch", "batch_size", batch_size)
        places = _order(order, lengths[0])
        steps = self.steps(tuple(map(rows, arrays)), batch, places, losses, stop=ctrl_c)
        keep_handler, handle = ctrl_c.handling()
        with keep_handler, handle:
            for _, result in steps:
                losses += [] if result is None else [_number(result)]
                if ctrl_c.presses:
                    break
        if ctrl_c.presses:
            raise KeyboardInterrupt
        return np.array(losses, np.float64)

    def steps(
        self,
        sources: tuple[Any, ...],
        batch: int,
        order: np.ndarray | None,
        losses: list[float],
        rates: list[float] | None = None,
        optimizer: Any = None,
        stop: Any = None,
        seconds: float | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Take the steps of an epoch, as many at a time as take some seconds, by default all.

        Yields (1, result) for a step that was a call of the function, and (number, None) for steps
        that were replayed, whose losses (and rates of the optimizer) have been appended.
        `stop.presses` ends the steps that are replayed.
        """
        arrays = tuple(map(rows, sources))
        tensors = tuple(isinstance(x, Tensor) for x in sources)
        begin, total = 0, len(arrays[0]) if order is None else len(order)
        most = 1 if seconds else total
        while begin < total:
            count = min(batch, total - begin)
            part = slice(begin, begin + count)
            chosen = part if order is None else order[part]
            kinds = zip(tensors, arrays, strict=True)
            key = tuple((t, (count, *x.shape[1:]), x.dtype.str) for t, x in kinds), ()
            runner = None if active.get() or self.error else self._ready(key)
            if runner is None:
                parts = zip(tensors, (x[chosen] for x in arrays), strict=True)
                yield 1, self(*(Tensor(x, dtype=x.dtype) if t else x for t, x in parts))
                begin += count
                continue
            if not runner.plain_result or runner.plan.outputs[0].size != 1:
                _number(runner.plan.results())
            whole = count == batch and not runner.accumulates
            several = min(most, (total - begin) // batch) if whole else 1
            places = None if order is None else order[begin:]
            own = arrays if order is not None else tuple(x[begin:] for x in arrays)
            arguments = own, count, places, several, losses, rates, optimizer, stop
            before = time.perf_counter()
            taken = runner.run_epoch(*arguments)
            begin += count * taken
            if seconds:
                most = 2 * several if time.perf_counter() - before < seconds else several
            yield taken, None
            if stop is not None and stop.presses:
                return

    def __reduce__(self) -> tuple[Any, ...]:  # a copy has no plans: their arrays are not its own
        return functools.partial(type(self), _strict=self._strict), (self.function,)

    @property
    def plan(self) -> Recording:
        """The plan of the last replay; CaptureError before the step has been recorded twice."""
        if self.runner is None:
            raise CaptureError("there is no plan yet: a step is recorded in its first two calls")
        plan: Recording = self.runner.plan
        return plan

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"capture({name})" if self.runner is None else f"capture({name}):\n{self.plan}"


def _as_argument(x: Any) -> Any:
    """An argument of a step; lists and NumPy's numbers become arrays."""
    kinds = {(a.shape, a.dtype) for a in map(_constant, _leaves(x)) if isinstance(a, np.ndarray)}
    if len(kinds) > 1:
        raise CaptureError(
            f"an argument of a captured step is a {type(x).__name__} of arrays of different shapes "
            "or dtypes. Give it one array after the other, as in step(*batch)."
        )
    return np.asarray(x) if type(x) in (list, tuple) or isinstance(x, np.generic) else x


def _number(result: Any) -> float:
    """The loss of a step."""
    if not isinstance(result, Tensor) or result.size != 1:
        raise TypeError(
            f"epoch: the step must return its loss, a tensor of one number, got {result!r}"
        )
    return result.item()


def rows(x: Any) -> np.ndarray:
    """An array with rows that lie one after the other."""
    if type(x) is np.ndarray and x.ndim and x.flags.c_contiguous and x.flags.aligned:
        return x
    array: np.ndarray = np.require(_constant(x), requirements=["C", "A"])
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise TypeError(f"epoch takes arrays of numbers with rows, got {array.dtype} {array.shape}")
    return array


def _order(order: Any, rows: int) -> np.ndarray | None:
    """A vector of row numbers."""
    if order is None:
        return None
    array = np.asarray(order)
    array = array.astype(np.intp) if array.shape == (0,) else array
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"epoch: order must be a vector of row numbers, got {array.dtype} {array.shape}"
        )
    if array.size and not 0 <= array.min() <= array.max() < rows:
        raise ValueError(
            f"epoch: order must hold row numbers from 0 to {rows - 1}, got {array.min()} to "
            f"{array.max()}"
        )
    return np.require(array, np.intp, ["C", "A"])


def _constant(x: Any) -> Any:
    """The array of a tensor that is an argument; anything else as it is."""
    if isinstance(x, Tensor) and x.requires_grad:
        raise CaptureError(
            f"{describe(x)} requires a gradient, so it can't be an argument of a captured step, "
            "whose arguments are constants. Let the step use it from outside."
        )
    return x._data if isinstance(x, Tensor) else x


def _key(inputs: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, list[np.ndarray]]:
    """What a plan is for: shapes and dtypes of arrays, and other arguments as they are."""
    parts: list[Any] = []
    arrays = []
    for x in (*inputs, *options.values()):
        data = _constant(x)
        if isinstance(data, np.ndarray):
            if data.dtype.kind not in KINDS:
                raise CaptureError(
                    f"an argument of a captured step is an array of {data.dtype}. Convert it to "
                    "numbers before the step."
                )
            parts.append((isinstance(x, Tensor), data.shape, data.dtype.str))
            arrays.append(data)
        else:
            parts.append((type(x), repr(x) if isinstance(x, float | complex) else x))
    key = tuple(parts), tuple(options)
    try:
        hash(key)
    except TypeError as error:
        raise CaptureError(
            "the arguments of a captured step are arrays, tensors, and what is hashable, such as "
            f"numbers: {error}. Give it arrays, df.to_numpy() of a table, or the parts of a dict."
        ) from None
    return key, arrays
