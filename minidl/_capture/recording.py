"""One run of a step, recorded: its calls, and all that must hold for them to be replayed."""

from __future__ import annotations

import functools
import linecache
import operator
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl import _files, _settings
from minidl._capture import table
from minidl._capture.arrays import SIMPLE, Traced, arrays_in, details, mapped
from minidl._capture.arrays import plain as plain
from minidl._capture.guards import LENGTH, Guards, random_states
from minidl._checks import describe
from minidl._format import printable
from minidl._kernels import atomic, replay
from minidl._kernels import optim as kernels
from minidl._kernels.plan import Plan, Recorded, root
from minidl._observer import Observer, active
from minidl.optim import Optimizer
from minidl.schedulers import Schedule
from minidl.tensor import Tensor

NO_ARRAYS = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.may_share_memory}
SETTINGS = (_settings.recording.get, _settings.local_default_dtype.get, active.get)


class CaptureError(RuntimeError):
    """A step that can't be recorded, or whose two recordings differ.

    The message names the line, and says what to do.
    """

    def __str__(self) -> str:  # which quotes lines of code, in any script
        return printable(super().__str__())


class Output(NamedTuple):
    """An array in the result of a step, and the function that makes what the step returns."""

    array: np.ndarray
    convert: Callable[[np.ndarray], Any]


_as_tensor = functools.partial(replay.constant, Tensor)


_own: dict[types.CodeType, bool] = {}  # whether code is minidl's or NumPy's; to ask takes longer


def _is_own(frame: types.FrameType) -> bool:
    own: bool = frame.f_globals.get("__name__", "").startswith(("minidl.", "numpy."))
    _own[frame.f_code] = own
    return own


class Recording(Plan, Observer):
    """A plan with all that must hold for it to be replayed; it observes one run of the step.

    again   whether it is to be compared with another one, so that all random numbers are watched
    strict  whether what can't be recorded raises CaptureError; otherwise the step runs on without
            being recorded, and `error` says why
    """

    fuses = True
    nested = (
        "trace: a captured step can't open a trace while it is recorded; open it around the call"
    )

    def __init__(self, function: Any, strict: bool, again: bool = True) -> None:
        self.function, self.strict, self.again = function, strict, again
        self.error: CaptureError | None = None
        self.labels: list[str] = []  # for each call the op that made it
        self.inputs: list[np.ndarray] = []
        self.input_places: list[int | str] = []  # positions and names of the arguments
        self.outputs: list[np.ndarray] = []
        self.leaves: dict[Tensor, np.ndarray] = {}  # and their data
        self.before: dict[Tensor, np.ndarray | None] = {}  # gradients from before the step
        self.zeroed: set[Tensor] = set()  # leaves whose gradients the step has cleared
        self.grads: list[tuple[Tensor, np.ndarray | None]] = []  # after the step
        self.events: list[tuple[int, Tensor, np.ndarray | None]] = []  # gradients after calls
        self.updates: list[replay.UpdateCall] = []
        self.steps: list[tuple[Any, int]] = []  # optimizers, and the calls at which they began
        self.versions: list[tuple[Tensor, int]] = []  # new ones, and the calls that made them
        self.states: dict[int, Any] = {}  # (columns, slot, index) by the id of a state's array
        self.calls_functions = False  # that may read the counts of steps
        self.settings = tuple(get() for get in SETTINGS)
        self.guards = Guards()
        dtype = _settings._default_dtype
        self.guards.add(vars(_settings), "_default_dtype", dtype, "the default dtype")
        self.guards.follow(function, "the step")
        self._drawn: list[Any] = []  # generators of which functions are recorded
        self._tensors: list[weakref.ref[Tensor]] = []  # whose data are recorded
        self._buffers: list[tuple[Any, str, np.ndarray]] = []  # of modules

    def run_step(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Run and record the step; returns its result."""
        given = [self._input(place, x) for place, x in (*enumerate(inputs), *options.items())]
        named = dict(zip(options, given[len(inputs) :], strict=True))
        self.takes_arrays = not options and all(
            isinstance(x, np.ndarray) and x.dtype.isnative for x in inputs
        )
        generators = list(self.guards.generators)
        states = random_states(generators, self.again)
        try:
            with atomic.InContext(active, self):
                result = self.function(*given[: len(inputs)], **named)
            self.template = mapped(self._output, result)
        finally:
            self._close()
        for message in self._changes(generators, states):
            self._refuse_step(message)
        return self.results()

    def _input(self, place: Any, x: Any) -> Any:
        """An input as the step gets it: recorded if it is an array or a tensor."""
        data = x._data if isinstance(x, Tensor) else x
        if not isinstance(data, np.ndarray):
            return x
        self.input_places.append(place)
        self.inputs.append(np.array(data, order="C"))
        recorded = self.record(self.inputs[-1])
        if not isinstance(x, Tensor):
            return recorded
        tensor = Tensor(recorded, dtype=data.dtype, name=x.name)
        tensor._computed = x._computed
        self._tensors.append(weakref.ref(tensor))
        return tensor

    def _output(self, x: Any) -> Any:
        """An Output for an array or a tensor that the step has computed; constants as they are."""
        data = x._data if isinstance(x, Tensor) else x
        if isinstance(data, Recorded):
            self.outputs.append(data.array)
            return Output(data.array, _as_tensor if isinstance(x, Tensor) else data.convert)
        if not isinstance(x, (*SIMPLE, np.ndarray, np.generic, Tensor)):
            self._refuse_step(
                f"it returns a {type(x).__name__}, which a replay would not make anew. Return "
                "tensors, arrays and numbers, also in tuples, lists and dicts."
            )
        return x

    def results(self) -> Any:
        """The result of the last run, in arrays of its own."""
        return mapped(lambda x: x.convert(x.array) if type(x) is Output else x, self.template)

    @property
    def returns_tensor(self) -> bool:
        """Whether the result is one tensor that the step has computed."""
        return type(self.template) is Output and self.template.convert is _as_tensor

    def _close(self) -> None:
        """End the recording: give tensors, gradients and buffers plain arrays again."""
        self.open = False
        self._label("")
        leaves = dict.fromkeys((*self.leaves, *self.zeroed))
        self.grads = [(p, plain(p.grad)) for p in leaves if isinstance(p.grad, Recorded)]
        self.grads += [(p, None) for p in self.zeroed if p.grad is None]
        of = [(p, g) for p, g in (*self.grads, *self.before.items()) if g is not None]
        self.gradient_of = {id(root(g)): p for p, g in of}
        tensors = [t for reference in self._tensors if (t := reference()) is not None]
        changes: list[Any] = [(p, "grad", g) for p, g in self.grads]
        changes += [(t, "_data", plain(t._data)) for t in tensors]
        atomic.assign(changes + self._buffers)

    def _changes(self, generators: list[Any], states: list[Any]) -> Iterator[str]:
        """What the step has changed that a replay would not change."""
        owners = [*[None] * (len(states) - len(generators)), *generators]
        now = random_states(generators, self.again)
        for owner, before, after in zip(owners, states, now, strict=True):
            if before != after and not any(owner is g for g in self._drawn):
                yield (
                    "it draws random numbers, which a replay would repeat. Draw them outside, and "
                    "give them to the step as an argument."
                )
        for p, data in self.leaves.items():
            if p._data is not data:
                yield (
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
                yield f"it changes {name}{added}, which a replay would not do. {advice}"
        for name in self.guards.iterators:
            yield (
                f"it reads the iterator or file {name}, which a replay would not do. Take the next "
                "item outside, and give it to the step as an argument; write outside, too."
            )

    def refuse(self, what: str, advice: str) -> None:
        """Raise CaptureError that names the line; or only stop recording, if it is not strict."""
        if self.open:
            self._stop(f"the step can't be captured: {source(self.where())} {what}. {advice}")
            if self.strict:
                raise self.error  # type: ignore[misc]

    def _refuse_step(self, message: str) -> None:
        code = getattr(self.function, "__code__", None)
        step = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        self._stop(f"the step{step} can't be captured: {message}")

    def _stop(self, message: str) -> None:
        self.error = self.error or CaptureError(message)
        self.open = False

    def where(self) -> tuple[str, int]:
        """The file and the number of the user's line that is running."""
        frame: Any = sys._getframe(1)
        while frame.f_back and (_own.get(frame.f_code) or _is_own(frame)):
            frame = frame.f_back
        return frame.f_code.co_filename, frame.f_lineno

    def __repr__(self) -> str:
        return table.as_text(self)

    def save(self, path: Any) -> None:
        """Write a page (.html) that shows the calls, their arrays and how long each takes.

        ValueError for another ending; OSError for a path that can't be written.
        """
        from minidl.walkthrough import plan_page

        path = _files.ending("save", path, {".html"})
        with _files.replacing("save", path) as temporary:
            temporary.write_bytes(plan_page.as_html(self).encode("utf-8", "replace"))

    # --- what arrays report

    def record(self, array: Any, value: Any = None) -> Traced:
        """A recorded array of this plan, which may stand for a number that NumPy has returned."""
        recorded = Traced(array, self)
        if isinstance(value, np.generic):
            recorded.convert = operator.itemgetter(())
        return recorded

    def python(self, function: Any, args: Any, options: Any, inputs: Any = ()) -> Any:
        """Call a function, and record the call; `inputs` are the arrays whose method it is."""
        args, options = plain(tuple(args)), plain(options)
        result = function(*args, **options)
        if not self.open or function in NO_ARRAYS:
            return result
        if inputs and result is inputs[0]:  # the usual astype(…, copy=False)
            return self.record(result)
        return self.made(function, args, options, result, inputs)

    def made(self, function: Any, args: Any, options: Any, result: Any, inputs: Any = ()) -> Any:
        """Record a call, which has returned new arrays or views, or has changed its arguments."""
        several = isinstance(result, tuple | list)
        results = tuple(result) if several else () if result is None else (result,)
        if not all(isinstance(x, np.ndarray | np.generic) for x in results):
            self.refuse(
                f"calls {called(function)}, which returns a {type(result).__name__}, not an array",
                "Do that outside of the step, with what it returns.",
            )
            return result
        arrays, inputs = tuple(map(np.asarray, results)), inputs + arrays_in(args, options)
        roots, name = {id(root(x)) for x in inputs}, called(function)
        if result is None or "out" in options:
            written = arrays_in(options.get("out")) or inputs[:1]
            static = details(args, options)
            self.add_python(function, args, options, inputs, written, name, static)
        elif not all(id(root(x)) in roots for x in arrays):
            again, static = (arrays, function, args, options, self.where()), details(args, options)
            self.add_python(_refill, again, {}, inputs, arrays, name, static)
        recorded = list(map(self.record, arrays, results))
        return type(result)(recorded) if several else recorded[0] if recorded else None

    def overwrite(self, before: Any, array: Any, owner: Any) -> Any:
        """Copy an array into one that stays where it is; counts as a new version of a tensor."""
        target, array = plain(before), plain(array)
        np.copyto(target, array, "unsafe")
        if isinstance(owner, Tensor):
            self.versions.append((owner, self.count))
        self.add_python(np.copyto, (target, array, "unsafe"), {}, (array,), (target,), "copyto")
        return before

    # --- what the core reports

    def _label(self, name: str) -> None:
        """Name what has made the last calls."""
        self.labels += [name] * (self.count - len(self.labels))

    def inside(self, module: Any) -> Any:
        self.guards.follow(module, type(module).__name__)
        for name in module._buffers if self.open else ():
            if not isinstance(array := vars(module)[name], Recorded):  # until the recording ends
                self._buffers.append((vars(module), name, array))
                vars(module)[name] = self.record(array)
        return super().inside(module)

    def arrays(self, inputs: Sequence[Any], arrays: list[Any]) -> list[Any]:
        if not self.open:
            return arrays
        self._label("")  # what has come before the op
        for x in inputs:
            if isinstance(x, Tensor) and type(x._data) is np.ndarray:
                self.leaves.setdefault(x, x._data)
        return [self.record(a) if type(a) is np.ndarray else a for a in arrays]

    def op(
        self, function: Any, inputs: Any, arrays: Any, extra: Any, options: Any, result: Any
    ) -> None:
        self._tensors.append(weakref.ref(result))
        self._label(function.__name__)
        if result._node is not None:
            vjps = [functools.partial(self._backward, function, vjp) for vjp in result._node.vjps]
            result._node.vjps = vjps

    def _backward(self, function: Any, vjp: Any, *args: Any) -> Any:
        grads = vjp(*args)
        self._label(f"∂{function.__name__}")
        return grads

    def grad(self, leaf: Any) -> Any:
        g = leaf.grad
        if isinstance(g, Recorded) or not self.open:
            return g
        self.leaves.setdefault(leaf, leaf._data)
        if leaf in self.zeroed:
            if g is not None:  # assigned in the step
                leaf.grad = self._copied(g)
            return leaf.grad
        if leaf not in self.before:
            self.before[leaf] = None if g is None else np.array(g, order="C")
        buffer = self.before[leaf]
        return None if buffer is None else self.record(buffer)

    def _copied(self, constant: np.ndarray) -> Any:
        """A gradient that no input changes, in an array that each replay writes."""
        return np.positive(self.record(constant))

    def end_backward(self, root: Any, seed: Any, leaves: Any, changes: Any) -> None:
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
        self.steps.append((optimizer, self.count))
        for batch, (update,) in batches:
            place = next(i for i, g in enumerate(optimizer.groups) if g is batch.group)
            columns, indices = optimizer._columns[place], tuple(batch.indices)
            of = optimizer, batch.group, columns, indices, tuple(batch.params)
            self.updates.append(replay.UpdateCall(self.count, update, *of))
            kernels.add_update(self, type(optimizer).__name__, update)
            self._label("step")
            for name in optimizer.slots.keys() & columns.keys():
                self.states |= {id(columns[name][i]): (id(columns), name, i) for i in indices}

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
        self.add_python(_with_gradients, call, {}, arrays, (), called(function))
        return True

    def reads(self, options: dict[str, Any], name: str) -> None:
        if isinstance(options[name], Schedule):
            self.refuse("reads a rate that follows a schedule", "Read it outside of the step.")
        elif self.open:
            self.guards.add(options, name, options[name], name)

    def sets(self, name: str) -> None:
        self.refuse(f"sets {name} of an optimizer", "Set it outside of the step, or by a schedule.")

    def repeated(self, function: Callable[..., Any], *args: Any) -> Any:
        self._drawn.append(getattr(function, "__self__", None))
        return self.python(function, args, {}) if self.open else function(*args)


def source(where: tuple[str, int]) -> str:
    """A line of code with its place, for a message."""
    line = linecache.getline(*where).strip()
    return f"{where[0]}:{where[1]}: `{line}`" if line else f"{where[0]}:{where[1]}"


def called(function: Any) -> str:
    """The name of a function, for a message."""
    return str(getattr(function, "__qualname__", getattr(function, "__name__", function)))


# --- the calls of Python in a plan


def _refill(
    outputs: tuple[np.ndarray, ...], function: Any, args: Any, options: Any, where: tuple[str, int]
) -> None:
    """Call a function again, and copy its results to where the first ones were."""
    results = function(*args, **options)
    results = results if isinstance(results, tuple | list) else (results,)
    for out, result in zip(outputs, map(np.asarray, results), strict=True):
        if out.shape != result.shape or out.dtype != result.dtype:
            raise CaptureError(
                f"{source(where)}: {called(function)} now returns an array of shape "
                f"{result.shape} instead of {out.shape}: a shape that depends on values can't be "
                "captured"
            )
        out[...] = result


def _with_gradients(function: Callable[[], Any], grads: list[tuple[Tensor, np.ndarray]]) -> None:
    """Call a function that reads the gradients of leaves, such as the step of an optimizer."""
    atomic.assign([(p, "grad", g) for p, g in grads])
    function()
