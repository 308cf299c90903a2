"""A captured step: which of its plans a call fits, and its epochs."""

from __future__ import annotations

import functools
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import numpy as np

from minidl import _checks
from minidl._capture.arrays import KINDS, leaves
from minidl._capture.comparison import difference, signature, unsteady
from minidl._capture.recording import SETTINGS, CaptureError, Recording
from minidl._checks import describe
from minidl._format import printed
from minidl._interrupts import CtrlC
from minidl._kernels import replay
from minidl._observer import active
from minidl.tensor import Tensor

PLANS = 8  # of one captured step; the oldest one is forgotten for another
ATTEMPTS = 5  # recordings for arguments of one kind that have read different things
MANY = (
    f"this captured step runs as Python from now on, since each of its last {2 * PLANS} calls had "
    "to be recorded: their arguments had other shapes, dtypes or values, or what the step reads "
    "changed. Pad arrays to few shapes; give numbers that change as arrays, such as np.float32(x)"
)

Given = ParamSpec("Given")
Result = TypeVar("Result")


@printed
class capture(replay.Replay, Generic[Given, Result]):  # noqa: N801 (a verb, like no_grad)
    """A training step that is recorded in its first two calls, and then replayed by a call into C.

    function  the step (x, y, …) → loss: forward, loss, backward, update; usable as a decorator

    A call does what the function does, to the same bits. From the third call with inputs of some
    shapes and dtypes on, Python runs no longer: the recorded kernels run on the new inputs. Arrays
    and tensors may differ from call to call; any other argument, and any other shape, has a plan of
    its own, eight of them at most. If 16 calls in a row have new ones, the function itself runs
    from then on, with a RuntimeWarning. A plan is recorded again after a change of what it reads:
    frozen parameters, train() and eval(), attributes, variables, settings. In an open trace the
    function itself runs. The result of a replay is a constant. A replay gives none of NumPy's
    warnings of overflow and the like.

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

    if TYPE_CHECKING:
        __name__: str

        def __call__(self, *inputs: Given.args, **options: Given.kwargs) -> Result: ...

    def __init__(self, function: Callable[Given, Result], *, _strict: bool = True) -> None:
        if not callable(function) or isinstance(function, type | staticmethod):
            raise TypeError(
                f"capture takes a function (x, y, ...) -> loss, got {function!r}"
                + "; put @dl.capture below the other decorator"
                * isinstance(function, staticmethod | classmethod)
            )
        self.function, self.kind, self._strict = function, Tensor, _strict
        self.error: CaptureError | None = None  # why a step that need not be captured isn't
        self._runners: list[tuple[Any, replay.Runner]] = []  # and their keys, the newest first
        self._pending: list[tuple[Any, Any, Recording]] = []  # key, signature, the first recording
        self._most = 1  # steps that one call may take, by the time that the last ones took
        functools.update_wrapper(self, function, updated=())

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._place = name, f"_{owner.__name__}_{name}"

    def __get__(self, instance: Any, owner: type) -> capture[..., Result]:
        """For a method, a captured step of each object, which is kept in an attribute of it."""
        if instance is None:
            return self
        if not hasattr(instance, "__dict__"):
            raise TypeError(
                f"a {type(instance).__name__} has __slots__, and so no place for its captured step "
                f"{self._name}: add '__dict__' to __slots__"
            )
        bound: capture[..., Result] | None = vars(instance).get(self._place)
        if bound is None or getattr(bound.function, "__self__", None) is not instance:  # a copy
            bound = vars(instance)[self._place] = capture(types.MethodType(self.function, instance))
            for cls in type(instance).__mro__:  # also those that a step may call
                for other in list(vars(cls).values()):
                    if isinstance(other, capture):
                        other.__get__(instance, owner)
        return bound

    def _record(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A call that the last recording does not fit: replay another one, or record the step."""
        if active.get() or self.error:  # an open trace shows each op
            return self.function(*inputs, **options)
        inputs = tuple(map(_as_argument, inputs))
        key, arrays = _key(inputs, options)
        if runner := self._ready(key):
            inputs = tuple(np.require(x, requirements=["C", "A"]) for x in arrays)
            return self._replay(runner, inputs)
        attempts = self.attempts + 1  # counted when it has gone through
        if attempts > 2 * PLANS and attempts % 100:
            if attempts == 2 * PLANS + 1:
                warnings.warn(MANY, RuntimeWarning, stacklevel=2)
            result = self.function(*inputs, **options)  # recording each call would take far longer
            self.attempts = attempts
            return result
        again = any(pending[0] == key for pending in self._pending)
        recording = Recording(self.function, self._strict, again)
        result = recording.run_step(inputs, options)
        self.attempts = attempts
        error = recording.error or self._learn(key, recording)
        if error and self._strict:
            raise error
        self.error = error
        return result

    def _ready(self, key: Any) -> replay.Runner | None:
        """The runner for inputs of this kind whose recording still holds."""
        for other, runner in self._runners:
            if other == key and runner.ready():
                self.runner, self.attempts = runner, 0
                return runner
        return None

    def _learn(self, key: Any, recording: Recording) -> CaptureError | None:
        """Keep a recording; two that agree make a plan. Returns what is wrong with it, if any."""
        read = signature(recording)
        others = [pending for pending in self._pending if pending[0] == key]
        first = next((pending for pending in others if pending[1] == read), None)
        if first is None:
            if len(others) == ATTEMPTS:
                self._pending = [pending for pending in self._pending if pending[0] != key]
                return CaptureError(unsteady(others[-1][1], read))
            self._pending = [*self._pending, (key, read, recording)][-PLANS:]
            return None
        self._pending = [pending for pending in self._pending if pending is not first]
        if what := difference(first[2], recording):
            return CaptureError(
                f"the step can't be captured, since two recordings of it differ: {what}. A "
                "replay would repeat what was recorded. Give the step what changes as an argument."
            )
        self.runner = replay.Runner(recording, SETTINGS)
        self._runners = [(key, self.runner), *self._runners][:PLANS]
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
        sources = tuple(map(rows, arrays))
        lengths = list(map(len, sources))
        if len(set(lengths)) != 1:
            given = ", ".join(map(str, lengths)) or "none"
            raise ValueError(f"epoch: arrays must have equally many rows, got {given}")
        batch = _checks.count("epoch", "batch_size", batch_size)
        places = _order(order, lengths[0])
        steps = self._steps(sources, batch, places, losses, stop=ctrl_c)
        keep_handler, handle = ctrl_c.handling()
        with keep_handler, handle:
            for _, result in steps:
                losses += [] if result is None else [_number(result)]
                if ctrl_c.presses:
                    break
        if ctrl_c.presses:
            raise KeyboardInterrupt
        return np.array(losses, np.float64)

    def _steps(
        self,
        sources: tuple[Any, ...],
        batch: int,
        order: np.ndarray | None,
        losses: list[float],
        rates: list[float] | None = None,
        optimizer: Any = None,
        stop: Any = None,
        seconds: float | None = None,
        weights: list[float] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Take the steps of an epoch, as many at a time as take some seconds, by default all.

        Yields (1, result) for a step that was a call of the function, and (number, None) for steps
        that were replayed, whose losses (and rates of the optimizer) have been appended; and so
        have the weights that the step returns, if it returns (loss, weight).
        `stop.presses` ends the steps that are replayed.
        """
        arrays = tuple(map(rows, sources))
        tensors = tuple(isinstance(x, Tensor) for x in sources)
        begin, total = 0, len(arrays[0]) if order is None else len(order)
        most = self._most if seconds else total
        while begin < total:
            count = min(batch, total - begin)
            part = slice(begin, begin + count)
            chosen = part if order is None else order[part]
            kinds = zip(tensors, arrays, strict=True)
            key = tuple((t, (count, *x.shape[1:]), x.dtype.str) for t, x in kinds), ()
            runner = None if active.get() or self.error else self._ready(key)
            if runner is None:
                parts = zip(tensors, (x[chosen] for x in arrays), strict=True)
                yield 1, super().__call__(*(Tensor(x, dtype=x.dtype) if t else x for t, x in parts))
                begin += count
                continue
            result = None
            if not runner.returns_tensor or runner.plan.outputs[0].size != 1:
                result = runner.plan.results()
                _number(result if weights is None or type(result) is not tuple else result[0])
            whole = count == batch and not runner.accumulates
            several = min(most, (total - begin) // batch) if whole else 1
            places = None if order is None else order[begin:]
            own = arrays if order is not None else tuple(x[begin:] for x in arrays)
            arguments = own, count, several, places, losses, rates, optimizer, stop, weights
            before = time.perf_counter()
            taken = runner.run(*arguments)
            if result is not None and len(runner.plan.outputs) == 1:  # a weight that never changes
                weights += [float(result[1])] * taken  # type: ignore[operator]
            begin += count * taken
            if seconds:
                fast = time.perf_counter() - before < seconds
                self._most = most = max(most, 2 * several) if fast else max(1, several // 2)
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
    kinds = {(a.shape, a.dtype) for a in map(_constant, leaves(x)) if isinstance(a, np.ndarray)}
    if len(kinds) > 1:
        raise CaptureError(
            f"an argument of a captured step is a {type(x).__name__} of arrays of different shapes "
            "or dtypes. Give it one array after the other, as in step(*batch)."
        )
    listed = type(x) in (list, tuple) or isinstance(x, np.generic)
    return _checks.array("capture", "an argument of the step", x) if listed else x


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
