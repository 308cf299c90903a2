"""The forward pass of a model as a list of steps, from which every exporter writes its file.

The model is run in evaluation mode, and each op that it calls becomes a step. It is run a second
time with other inputs and another number of rows: what differs depends on more than one sample, on
values that no op has seen, or on chance, and can't be exported.
"""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minidl import nn, ops
from minidl._observer import Observer, active
from minidl.data import Standardize
from minidl.data.arrays import as_input
from minidl.evaluation import check_functions, evaluation_mode, modules_of
from minidl.ops import Array
from minidl.tensor import Tensor, get_default_dtype

UNARY = (
    *("negative", "exp", "log", "log1p", "sin", "cos", "sqrt", "abs", "sign", "tanh", "sigmoid"),
    *("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "clip"),
)
BINARY = ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum")
ROWS = ("softmax", "log_softmax", "sum")  # of a row with itself
MOMENTS = ("mean", "var", "std")  # made of steps with other functions
OTHERS = ("dense", "matmul", "concatenate", "getitem")
EXPORTED = {getattr(ops, name) for name in (*UNARY, *BINARY, *ROWS, *MOMENTS, *OTHERS)}


@dataclass(frozen=True)
class Step:
    """One function, applied to each sample.

    op       a name of UNARY, BINARY or ROWS; or "standardize" (x, mean, deviation, in float64),
             "dense" (x, W[, b]), "concatenate" (x, ...), or "columns" (x), those from options
             "start" to "stop"
    inputs   numbers of earlier values, 0 for the model's input and i + 1 for the result of step i;
             or constants. Those of element-wise functions have one axis, of 1 or `width` entries
    options  of the function, by name
    width    the number of entries of the result
    place    where in the model the function is called, such as "dense1"; "" in the model itself
    """

    op: str
    inputs: tuple[int | Array, ...]
    options: Mapping[str, Any]
    width: int
    place: str

    @property
    def values(self) -> tuple[int, ...]:
        """The numbers of the earlier values among the inputs."""
        return tuple(x for x in self.inputs if isinstance(x, int))

    @property
    def constants(self) -> tuple[Array, ...]:
        """The arrays among the inputs."""
        return tuple(x for x in self.inputs if not isinstance(x, int))


@dataclass(frozen=True)
class Graph:
    """A model as steps. Each value has a row for each sample, with `widths` entries.

    title   the class of the model
    dtype   of values and constants: float32 or float64
    widths  of the model's input, and after it of the result of each step; the last is the output's
    steps   in an order in which they can be computed
    """

    title: str
    dtype: np.dtype[Any]
    widths: tuple[int, ...]
    steps: tuple[Step, ...]


def graph_of(owner: str, model: Any, example: Any = None) -> Graph:
    """The graph of a model.

    owner    the function that users called, for messages
    example  an input of the model, of shape (N, features). It may be left out for a Dense layer, a
             Standardize, and a Sequential that begins with one of them, activations aside

    TypeError for a function that can't be exported, ValueError for anything else that can't: the
    message names it.
    """
    check_functions(owner, model=model)
    dtype = _dtype(owner, model)
    x = _example(owner, model, example).astype(dtype)
    title = type(model).__name__
    first = _Run(owner, model, x)
    second = _Run(owner, model, np.concatenate([x, x[:1]]) * dtype.type(0.5) + dtype.type(0.25))
    _compare(owner, title, first.steps, second.steps)
    steps = _reached(first.steps, first.output)
    _check_constants(owner, steps)
    if not steps:
        raise ValueError(f"{owner}: {title} returns its input, so there is nothing to export")
    return Graph(title, dtype, (x.shape[1], *(step.width for step in steps)), steps)


# --- what the model is called with --------------------------------------------------------------


def _dtype(owner: str, model: Any) -> np.dtype[Any]:
    """The dtype of the parameters."""
    modules = modules_of(model)
    parameters = list(modules[0].parameters()) if modules else []
    dtypes = sorted({str(p.dtype) for p in parameters}) or [str(get_default_dtype())]
    if len(dtypes) > 1 or dtypes[0] not in ("float32", "float64"):
        raise ValueError(
            f"{owner}: a model is exported in float32 or float64, but its parameters are "
            f"{' and '.join(dtypes)}"
        )
    return np.dtype(dtypes[0])


def _example(owner: str, model: Any, example: Any) -> Array:
    """An input of the model, of shape (N, features)."""
    if example is None:
        if (features := _features(model)) is None:
            raise ValueError(
                f"{owner}: the layers of {type(model).__name__} don't tell how many inputs it "
                f"takes; give an input of shape (N, features): {owner}(model, path, example=x)"
            )
        return np.random.default_rng(0).normal(size=(2, features))
    x = as_input(owner, example)
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{owner}: only models with one input can be exported, got {len(x)} inputs")
    if x.ndim != 2 or not x.size:
        raise ValueError(
            f"{owner}: example must be a batch of inputs, of shape (N, features), got {x.shape}"
            + ("; x.reshape(1, -1) for one sample" if x.ndim == 1 else "")
        )
    return x


def _features(model: Any) -> int | None:
    """The number of inputs of a model, if the first of its layers tells."""
    if type(model) is nn.Dense:
        return model.weight.shape[0]
    if type(model) is Standardize:
        return len(model.mean) if model._buffers else None
    if type(model) in (nn.Sequential, nn.MLP):
        for module in model:
            if type(module) not in (*nn.ACTIVATIONS.values(), nn.Softmax, nn.Dropout):
                return _features(module)
    return None


# --- the run ------------------------------------------------------------------------------------


class _Run(Observer):
    """The steps of a model for one input, and which value is its output."""

    def __init__(self, owner: str, model: Any, x: Array) -> None:
        self.owner, self.dtype = owner, x.dtype
        self.steps: list[Step] = []
        self.widths = [x.shape[1]]
        self._paths = {id(m): re.sub(r"[^\w.]", "_", p) for p, m in _modules(model)}
        self._places = [""]
        tensor = Tensor(x, requires_grad=True)  # so that no NumPy function takes it unnoticed
        self._numbers = {id(tensor): 0}
        self._alive = [tensor]  # ids stay unique
        result = contextvars.copy_context().run(self._forward, model, tensor)
        title = type(model).__name__
        if not isinstance(result, Tensor):
            raise TypeError(f"{owner}: {title} must return one tensor, got {result!r}")
        if id(result) not in self._numbers:
            raise ValueError(
                f"{owner}: the output of {title} doesn't come from its input by functions of minidl"
            )
        self.output = self._numbers[id(result)]

    def _forward(self, model: Any, x: Tensor) -> Any:
        evaluating = evaluation_mode(modules_of(model))
        with evaluating, evaluating, np.errstate(all="ignore"):
            active.set(self)
            return model(x)

    @contextlib.contextmanager
    def inside(self, module: nn.Module) -> Iterator[None]:
        """Keep where the ops are called; a Standardize is one step, which keeps its float64."""
        begin = len(self.steps)
        self._places.append(self._paths.get(id(module), type(module).__name__))
        yield
        if type(module) is Standardize and len(self.steps) == begin + 2:
            (source,) = self.steps[begin].values
            inputs = (source, module.mean.copy(), module.deviation.copy())
            del self.steps[begin:], self.widths[begin + 1 :]
            number = self._add("standardize", inputs, {}, len(module.mean))
            self._numbers[id(self._alive[-1])] = number
        self._places.pop()

    def op(
        self,
        function: Any,
        inputs: Sequence[Any],
        arrays: list[Any],
        extra: Sequence[Any],
        options: Mapping[str, Any],
        result: Any,
    ) -> None:
        """Make a step of an op, unless its inputs are constants, so that its result is one."""
        values: list[Any] = [
            self._numbers[id(x)] if id(x) in self._numbers else np.array(array)
            for x, array in zip(inputs, arrays, strict=True)
        ]
        if not any(isinstance(value, int) for value in values):
            return
        name = function.__name__
        if function not in EXPORTED:
            known = ", ".join(sorted(f.__name__ for f in EXPORTED))
            raise TypeError(
                f"{self.owner}: {self._title(name)} can't be exported, only models of {known}"
            )
        if result.dtype != self.dtype:
            self._refuse(
                name,
                f"gives {result.dtype}, while the parameters are {self.dtype}; convert the "
                f"constants, as in c.astype(np.{self.dtype})",
            )
        first = [arrays] if function.variadic else arrays
        bound = inspect.signature(function).bind(*first, *extra, **options)
        bound.apply_defaults()
        chosen = dict(list(bound.arguments.items())[len(first) :])
        step = self._normalized(name, values, chosen)
        shape = result.shape
        if len(shape) != 2 or not shape[1]:
            self._refuse(name, f"gives shape {shape}, where each sample must have its row")
        if name in MOMENTS:
            number = self._add_moment(name, values[0], chosen)
        else:
            number = self._add(*step, shape[1])
        self._numbers[id(result)] = number
        self._alive.append(result)

    def _add(self, op: str, inputs: Sequence[Any], options: dict[str, Any], width: int) -> int:
        """Add a step; returns the number of its value."""
        self.steps.append(Step(op, tuple(inputs), options, width, self._places[-1]))
        self.widths.append(width)
        return len(self.steps)

    def _add_moment(self, name: str, x: int, options: dict[str, Any]) -> int:
        """Add the steps of a mean, variance or standard deviation; returns the value's number."""
        n = self.widths[x]

        def mean(x: int, count: float) -> int:
            return self._add("divide", [self._add("sum", [x], {}, 1), np.array([count])], {}, 1)

        if name == "mean":
            return mean(x, n)
        centered = self._add("subtract", [x, mean(x, n)], {}, n)
        squares = self._add("multiply", [centered, centered], {}, n)
        var = mean(squares, n - options["ddof"])
        return var if name == "var" else self._add("sqrt", [var], {}, 1)

    def _normalized(
        self, name: str, values: list[Any], options: dict[str, Any]
    ) -> tuple[str, list[Any], dict[str, Any]]:
        """The op, inputs and options of a step; ValueError for what isn't done sample by sample."""
        if name in ("dense", "matmul"):
            if not isinstance(values[0], int) or any(isinstance(x, int) for x in values[1:]):
                self._refuse(name, "needs an input times constant weights")
            return "dense", values, {}
        if name in (*ROWS, *MOMENTS, "concatenate"):
            if options["axis"] not in (-1, 1, (-1,), (1,)):
                self._refuse(name, "works along the axis of the samples")
            if name == "concatenate" and not all(isinstance(x, int) for x in values):
                self._refuse(name, "has a constant part")
            return name, values, {}
        if name == "getitem":
            every, part = options["key"] if isinstance(options["key"], tuple) else (None, None)
            if every != slice(None) or not isinstance(part, slice) or part.step not in (None, 1):
                self._refuse(name, "takes anything but neighbouring columns, x[:, start:stop]")
            start, stop, _ = part.indices(self.widths[values[0]])
            return "columns", values, {"start": start, "stop": stop}
        flat = [x if isinstance(x, int) else self._flat(name, x) for x in values]
        return name, flat, options

    def _flat(self, name: str, constant: Array) -> Array:
        """A constant of an element-wise function with one axis."""
        if constant.ndim > 2 or (constant.ndim == 2 and len(constant) != 1):
            self._refuse(name, f"has a constant of shape {constant.shape} with a row per sample")
        return constant.reshape(-1)

    def _refuse(self, name: str, why: str) -> None:
        raise ValueError(f"{self.owner}: {self._title(name)} can't be exported, since it {why}")

    def _title(self, name: str) -> str:
        return f"{name} in {self._places[-1]}" if self._places[-1] else name


# --- what both runs say --------------------------------------------------------------------------


def _compare(owner: str, title: str, first: list[Step], second: list[Step]) -> None:
    """ValueError unless two runs with other inputs took the same steps."""
    for a, b in itertools.zip_longest(first, second):
        if a is None or b is None or (a.op, a.values, a.options) != (b.op, b.values, b.options):
            ops_called = " and ".join(step.op if step else "no further one" for step in (a, b))
            raise ValueError(
                f"{owner}: {title} can't be exported, since the functions that it applies depend "
                f"on its input: in two runs with other inputs {ops_called} came at the same place"
            )
        for c, d in zip(a.constants, b.constants, strict=True):
            if c.shape != d.shape or not np.array_equal(c, d, equal_nan=True):
                raise ValueError(
                    f"{owner}: {a.op} in {a.place or title} can't be exported, since it takes an "
                    "array that was another one in a run with other inputs: it is random, or comes "
                    "from the input by other functions than minidl's"
                )


def _reached(steps: list[Step], output: int) -> tuple[Step, ...]:
    """The steps that the output depends on, renumbered."""
    used = {output}
    for number in range(len(steps), 0, -1):
        if number in used:
            used |= {*steps[number - 1].values}
    new = {old: number for number, old in enumerate(sorted(used | {0}))}
    return tuple(
        replace(
            steps[old - 1],
            inputs=tuple(new[x] if isinstance(x, int) else x for x in steps[old - 1].inputs),
        )
        for old in new
        if old
    )


def _check_constants(owner: str, steps: tuple[Step, ...]) -> None:
    """ValueError for weights that are NaN or infinite."""
    for step in steps:
        if not all(np.isfinite(constant).all() for constant in step.constants):
            raise ValueError(
                f"{owner}: a constant of {step.op} in {step.place or 'the model'} holds NaN or "
                "infinity; did the training diverge?"
            )


def _modules(model: Any) -> list[tuple[str, nn.Module]]:
    """(path, module) of a model, the path of the model itself being empty."""
    if not isinstance(model, nn.Module):
        return []
    inner = [(p, m) for p, m in nn.named_members(model) if isinstance(m, nn.Module)]
    return [("", model), *inner]
