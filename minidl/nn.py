"""Modules, which hold parameters, and the layers of neural networks."""

from __future__ import annotations

import itertools
import operator
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Never, TypeAlias

import numpy as np

from minidl import _checks, _operands, _pictures, _summary, tensor
from minidl._format import printable, printed
from minidl._kernels import atomic
from minidl._kernels.plan import copied
from minidl._observer import active
from minidl.ops import Array
from minidl.tensor import Tensor


@printed
class Module:
    """The base class of layers and networks, and of your own classes with a `forward` method.

    Its parameters are the leaf tensors in its attributes, in the modules there, and in lists,
    tuples and dicts of either; their names are the paths to them. The result of an op is never a
    parameter, even if it was computed under `no_grad`. A parameter whose `requires_grad` is set to
    False is frozen: optimizers do not change it. A constant, `Tensor(data)`, counts as a frozen
    parameter. A NumPy array is not part of the state, unless it is declared with `buffer`.

    >>> class Line(dl.nn.Module):
    ...     def __init__(self):
    ...         self.slope = dl.Tensor(2.0, requires_grad=True)
    ...     def forward(self, x):
    ...         return self.slope * x
    >>> Line()(3.0)
    Tensor(6., dtype=float32, requires_grad=True)
    """

    training = True
    _buffers: tuple[str, ...] = ()

    def __call__(self, *inputs: Any, **options: Any) -> Tensor:
        if observer := active.get():
            with observer.inside(self):
                return self.forward(*inputs, **options)
        return self.forward(*inputs, **options)

    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        """Compute the output; a subclass defines it."""
        raise TypeError(f"{type(self).__name__} has no forward method: define forward(self, x)")

    def buffer(self, name: str, array: Any) -> None:
        """Keep a copy of an array as the attribute `name`, and in the state, without learning it.

        The attribute is a NumPy array. What is assigned to it must have its shape, and is converted
        to its dtype: ValueError for another shape, TypeError for floating values of an integer
        buffer. NumPy arrays keep their dtype, floating Python numbers get the default one.
        ValueError for a name that the module has already, or that isn't an identifier.

        >>> class Centered(dl.nn.Module):
        ...     def __init__(self):
        ...         self.buffer("mean", np.zeros(2))
        ...     def forward(self, x):
        ...         self.mean += 0.5 * (np.mean(x, axis=0) - self.mean)
        ...         return dl.Tensor(x) - self.mean
        >>> model = Centered()
        >>> model([[2.0, 4.0]])
        Tensor([[1., 2.]])
        >>> model.state_dict()
        {'mean': array([1., 2.])}
        """
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"buffer: name must be an identifier such as 'mean', got {name!r}")
        if hasattr(self, name):
            raise ValueError(f"buffer: {type(self).__name__} has an attribute {name!r} already")
        names = (*self._buffers, name)
        atomic.assign([(vars(self), name, _buffer(name, array)), (vars(self), "_buffers", names)])

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._buffers:
            value = _buffer(name, value, vars(self).get(name))
        super().__setattr__(name, value)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(path, parameter) pairs, each parameter once; the path becomes its name."""
        named = [(path, x) for path, x in named_members(self) if isinstance(x, Tensor)]
        atomic.assign([(parameter, "name", path) for path, parameter in named])
        return iter(named)

    def parameters(self) -> Iterator[Tensor]:
        """The parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def modules(self) -> Iterator[Module]:
        """This module and all modules inside it, each once."""
        yield self
        for _, value in named_members(self):
            if isinstance(value, Module):
                yield value

    def zero_grad(self) -> None:
        """Set .grad of all parameters to None."""
        tensor.clear_grads(self.parameters())

    def train(self) -> Module:
        """Switch to training mode, in which Dropout is active; returns the module."""
        return self._switch(True)

    def eval(self) -> Module:
        """Switch to evaluation mode, in which Dropout does nothing; returns the module."""
        return self._switch(False)

    def _switch(self, on: bool) -> Module:
        atomic.assign([(vars(m), "training", on) for m in self.modules() if m.training is not on])
        return self

    def state_dict(self) -> dict[str, Array]:
        """A copy of every parameter's data and of every buffer, by name."""
        state = self._state().items()
        return {name: (x.data if isinstance(x, Tensor) else x).copy() for name, x in state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load values saved by `state_dict`, converted to the dtype of each parameter and buffer.

        ValueError for a missing or unknown name or a different shape, TypeError for a state that is
        not a dict; then nothing is changed.
        """
        atomic.assign(self._changes(state))

    def _changes(self, state: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
        """What load_state_dict assigns, after all checks."""
        if not isinstance(state, Mapping):
            raise TypeError(
                "load_state_dict: a state is a dict of arrays by name, as state_dict() returns it, "
                f"got {reprlib.repr(state)}"
            )
        own = self._state()
        if missing := own.keys() - state.keys():
            raise ValueError(f"the state is missing {', '.join(sorted(missing))}")
        if unknown := state.keys() - own.keys():
            raise ValueError(
                f"the state has {', '.join(sorted(map(str, unknown)))}, but the parameters of "
                f"{type(self).__name__} are {', '.join(own)}"
                + "".join({f". {a}" for m in self.modules() if (a := getattr(m, "_loads", ""))})
            )
        owners = {"": self, **{p: m for p, m in named_members(self) if isinstance(m, Module)}}
        changes: list[tuple[Any, Any, Any]] = []
        for name, value in own.items():
            if isinstance(value, Tensor):
                array = tensor.as_array(name, state[name], value.dtype)
                _check_shape(name, array, value)
                changes += tensor.replacement(value, array)
            else:
                owner, _, attribute = name.rpartition(".")
                array = _buffer(name, state[name], value)
                changes.append((vars(owners[owner]), attribute, array))
        return changes

    def summary(self) -> str:
        """A table of the modules, with the number of their parameters and the shapes of these.

        Names are indented by depth. Frozen parameters and buffers, if there are any, have columns
        of their own. What is used twice is counted where it comes first. The last lines have the
        totals, and the dtypes and memory of parameters and buffers.

        >>> model = dl.nn.MLP([2, 16, 1], "tanh", rng=0)
        >>> model.dense1.bias.requires_grad = False
        >>> model.summary()
                module         trainable  frozen  shapes
                MLP
        dense1  Dense(2 → 16)         32      16  weight (2, 16), bias (16,)
        tanh1   Tanh()
        dense2  Dense(16 → 1)         17          weight (16, 1), bias (1,)
        49 trainable, 16 frozen, 0 in buffers
        float32, 260 bytes
        """
        modules = [("", self), *((p, m) for p, m in named_members(self) if isinstance(m, Module))]
        return _summary.table([(p, m, _members(vars(m), "", m._buffers)) for p, m in modules])

    def _state(self) -> dict[str, Tensor | Array]:
        """The parameters, and after them the buffers, by name."""
        parameters = dict(self.named_parameters())
        return {**parameters, **{p: x for p, x in named_members(self) if isinstance(x, np.ndarray)}}

    @reprlib.recursive_repr("…")
    def __repr__(self) -> str:
        members = dict(_members(vars(self), "", self._buffers))
        if not members:
            return f"{type(self).__name__}({self._details()})"
        width = max(map(len, members)) + 1
        lines = [
            f"  {path + ':':{width}} "
            + (repr(m).replace("\n", "\n  ") if isinstance(m, Module) else _kind(m))
            for path, m in members.items()
        ]
        return "\n".join([f"{type(self).__name__}(", *lines, ")" + self._count()])

    def _repr_svg_(self) -> str:
        """What a notebook shows: the modules and parameters right inside, with their sizes."""
        return _pictures.parts(self, dict(_members(vars(self))), named_members)

    def _details(self) -> str:
        """The options in a layer's repr."""
        options = {k: v for k, v in vars(self).items() if isinstance(v, int | float | str)}
        options.pop("training", None)
        return ", ".join(f"{name}={value!r}" for name, value in options.items())

    def _count(self) -> str:
        """The comment at the end of a repr: the number of parameters and their dtype."""
        parameters = [p for _, p in named_members(self) if isinstance(p, Tensor)]
        dtypes = sorted({str(parameter.dtype) for parameter in parameters})
        total = sum(parameter.size for parameter in parameters)
        if not dtypes:
            return ""
        return f"  # {total:,} parameter{'s' * (total != 1)}, {' and '.join(dtypes)}"


def _members(
    values: Any, prefix: str = "", buffers: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any]]:
    """(path, parameter, module or buffer) in the values, also in nested lists, tuples and dicts."""
    # a copy, since another thread may add an attribute meanwhile
    for key, value in [*(values.items() if isinstance(values, dict) else enumerate(values))]:
        is_parameter = isinstance(value, Tensor) and not value._computed
        if isinstance(value, Module) or is_parameter or key in buffers:
            yield f"{prefix}{key}", value
        elif isinstance(value, dict | list | tuple):
            yield from _members(value, f"{prefix}{key}.")


def named_members(module: Module) -> Iterator[tuple[str, Any]]:
    """(path, parameter, module or buffer) inside a module at any depth, each once."""
    seen = {id(module)}

    def members_of(module: Module, prefix: str) -> Iterator[tuple[str, Any]]:
        for path, value in _members(vars(module), prefix, module._buffers):
            if id(value) not in seen:
                seen.add(id(value))
                yield path, value
                if isinstance(value, Module):
                    yield from members_of(value, f"{path}.")

    return members_of(module, "")


def _kind(member: Any) -> str:
    return f"{'parameter' if isinstance(member, Tensor) else 'buffer'} {member.shape}"


def _buffer(name: str, values: Any, before: Array | None = None) -> Array:
    """Values for a buffer in an array of its own, with the shape and dtype it had before."""
    if isinstance(values, Tensor):
        if values.requires_grad:
            raise TypeError(
                f"{name} is a buffer, an array without a gradient, but the tensor for it requires "
                "one: give t.detach(), or compute it under dl.no_grad()"
            )
        values = values.data
    array, floating = _operands.read(values, name)
    if before is None:
        own = floating or array.dtype.kind != "f"
        dtype = array.dtype.newbyteorder("=") if own else tensor.get_default_dtype()
        return np.array(array, dtype, order="C")
    if not np.can_cast(array.dtype, before.dtype, "same_kind"):
        raise TypeError(f"{name} is a buffer of {before.dtype}, which can't hold {array.dtype}")
    _check_shape(name, array, before)
    return copied(array, before)


def _check_shape(name: str, array: Array, before: Tensor | Array) -> None:
    if array.shape != before.shape:
        raise ValueError(f"{name} has shape {before.shape}, but its new values {array.shape}")


# aliases are strings, since naming numpy.random would import it, which takes 10 ms
Rng: TypeAlias = "int | np.random.Generator | None"

# --- initial weights ----------------------------------------------------------------------------

# (shape, rng) → an array of that shape
Initializer: TypeAlias = "Callable[[tuple[int, int], np.random.Generator], Any]"
Init: TypeAlias = Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "zeros"]


def _scaled(kind: str, fan: Callable[[int, int], float]) -> Initializer:
    """Draw weights of variance 1/fan, where fan is a function of (in, out)."""

    def draw(shape: tuple[int, int], rng: np.random.Generator) -> Array:
        deviation = fan(*shape) ** -0.5
        if kind == "normal":
            return rng.normal(0.0, deviation, shape)
        return rng.uniform(-(3**0.5) * deviation, 3**0.5 * deviation, shape)

    return draw


INITIALIZERS: dict[Init, Initializer] = {
    # Glorot & Bengio 2010: variance 2 / (in + out); He et al. 2015: variance 2 / in
    "glorot_uniform": _scaled("uniform", lambda fan_in, fan_out: (fan_in + fan_out) / 2),
    "glorot_normal": _scaled("normal", lambda fan_in, fan_out: (fan_in + fan_out) / 2),
    "he_uniform": _scaled("uniform", lambda fan_in, fan_out: fan_in / 2),
    "he_normal": _scaled("normal", lambda fan_in, fan_out: fan_in / 2),
    "zeros": lambda shape, rng: np.zeros(shape),
}


# --- layers -------------------------------------------------------------------------------------


@printed
class Dense(Module):
    """A fully connected layer: y = x W + b, with x (…, in), W (in, out), b (out,), y (…, out).

    in_features, out_features  whole numbers ≥ 1
    bias                       whether there is b, 0 at first
    init                       "glorot_uniform", "glorot_normal", "he_uniform", "he_normal",
                               "zeros", or a function (shape, rng) → array of that shape
    rng                        None, a seed or a numpy.random.Generator

    The parameters have the current default dtype. An input that is not a tensor is cast to it, and
    so is a constant, such as dl.Tensor(x); a tensor that requires a gradient and the result of an
    op promote as in NumPy.

    >>> layer = dl.nn.Dense(2, 3, rng=0)
    >>> layer
    Dense(2 → 3)  # 9 parameters, float32
    >>> layer(np.ones((5, 2))).shape
    (5, 3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        init: Init | Initializer = "glorot_uniform",
        rng: Rng = None,
    ) -> None:
        shape = (
            _checks.count("Dense", "in_features", in_features),
            _checks.count("Dense", "out_features", out_features),
        )
        _checks.flag("Dense", "bias", bias)
        if not callable(init):
            init = INITIALIZERS[_checks.choice("Dense", "init", init, INITIALIZERS, hint=True)]
        dtype = tensor.get_default_dtype()
        values = tensor.as_array("Dense: init", init(shape, _checks.generator("Dense", rng)), dtype)
        if values.shape != shape:
            raise ValueError(f"Dense: init gave weights of shape {values.shape}, not {shape}")
        self.weight = Tensor(values, requires_grad=True, name="weight")
        self.bias = (
            Tensor(np.zeros(shape[1], dtype), requires_grad=True, name="bias") if bias else None
        )

    def forward(self, x: Any, *, rectify: bool = False) -> Tensor:
        """y = x W + b, or max(x W + b, 0)."""
        if not isinstance(x, Tensor):
            x = tensor.as_array(self._title, x, self.weight.dtype)
        elif not (x._computed or x.requires_grad or x.dtype == self.weight.dtype):
            x = Tensor(x, dtype=self.weight.dtype, name=x.name)
        shape, features = x.shape, self.weight.shape[0]
        if not shape or shape[-1] != features:
            raise ValueError(
                printable(
                    f"{self._title()} expects input of shape (…, {features}), got {shape}"
                    + ("; for one feature a sample: x.reshape(-1, 1)" if features == 1 else "")
                )
            )
        if self.bias is None:
            y = tensor.matmul(x, self.weight)
            return tensor.relu(y) if rectify else y
        dense = tensor.dense_relu if rectify else tensor.dense
        if len(shape) == 2:
            return dense(x, self.weight, self.bias)
        y = dense(tensor.reshape(x, (-1, features)), self.weight, self.bias)
        return tensor.reshape(y, (*shape[:-1], y.shape[1]))

    def _title(self) -> str:
        name = (self.weight.name or "").rpartition(".")[0]
        return (f"{name}, a " if name else "") + f"Dense({self._details()})"

    def _details(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return " → ".join(map(str, self.weight.shape)) + bias

    def __repr__(self) -> str:
        return f"Dense({self._details()}){self._count()}"


class ReLU(Module):
    """y = max(x, 0).

    >>> dl.nn.ReLU()([-1.0, 2.0])
    Tensor([0., 2.], dtype=float32)
    """

    def forward(self, x: Any) -> Tensor:
        return tensor.relu(x)


class LeakyReLU(Module):
    """y = x where x > 0, else slope · x."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = _checks.number("LeakyReLU", "slope", slope)

    def forward(self, x: Any) -> Tensor:
        return tensor.leaky_relu(x, self.slope)


class ELU(Module):
    """y = x where x > 0, else α (eˣ − 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _checks.number("ELU", "alpha", alpha)

    def forward(self, x: Any) -> Tensor:
        return tensor.elu(x, self.alpha)


class GELU(Module):
    """y = x Φ(x), Φ the normal distribution function."""

    def forward(self, x: Any) -> Tensor:
        return tensor.gelu(x)


class SiLU(Module):
    """y = x / (1 + e⁻ˣ)."""

    def forward(self, x: Any) -> Tensor:
        return tensor.silu(x)


class Sigmoid(Module):
    """y = 1 / (1 + e⁻ˣ)."""

    def forward(self, x: Any) -> Tensor:
        return tensor.sigmoid(x)


class Tanh(Module):
    """y = tanh x."""

    def forward(self, x: Any) -> Tensor:
        return tensor.tanh(x)


class Softplus(Module):
    """y = ln(1 + eˣ)."""

    def forward(self, x: Any) -> Tensor:
        return tensor.softplus(x)


class Softmax(Module):
    """y = eˣ / Σ eˣ along an axis. `cross_entropy` takes logits, so do not put this before it."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Tensor:
        return tensor.softmax(x, self.axis)


class Dropout(Module):
    """Set each entry to 0 with probability p in training, and divide the others by 1 − p.

    p    the probability, 0 ≤ p < 1
    rng  None, a seed or a numpy.random.Generator

    In evaluation mode, after `model.eval()`, the input is returned unchanged (Srivastava et al.
    2014). A captured step draws a new mask in each replay, the one of the eager step.

    >>> dl.nn.Dropout(0.5, rng=0)(np.ones(4))
    Tensor([2., 0., 0., 0.])
    """

    def __init__(self, p: float = 0.5, *, rng: Rng = None) -> None:
        self.p = _checks.number("Dropout", "p", p, high=1, below=True)
        self.rng = _checks.generator("Dropout", rng)

    def forward(self, x: Any) -> Tensor:
        """x times a new random mask of 0 and 1 / (1 − p), or x itself in evaluation mode."""
        t = tensor.as_tensor("Dropout", x)
        if not self.training or self.p == 0:
            return t
        observer, draw = active.get(), self.rng.random
        uniform = observer.repeated(draw, t.shape) if observer else draw(t.shape)
        kept = uniform >= self.p
        dtype = t.dtype if t.dtype.kind == "f" else tensor.get_default_dtype()
        mask: Array = kept.astype(dtype) / dtype.type(1 - self.p)
        return t * mask


class Sequential(Module):
    """Modules applied in order, named by class and number: dense1, relu1, dense2.

    >>> dl.nn.Sequential(dl.nn.Dense(2, 3, rng=0), dl.nn.Tanh(), dl.nn.Dense(3, 1, rng=1))
    Sequential(
      dense1: Dense(2 → 3)  # 9 parameters, float32
      tanh1:  Tanh()
      dense2: Dense(3 → 1)  # 4 parameters, float32
    )  # 13 parameters, float32
    """

    def __init__(self, *modules: Module) -> None:
        if not modules:
            raise ValueError("Sequential needs at least one module")
        kinds: dict[str, int] = {}
        for module in modules:
            if not isinstance(module, Module):
                raise TypeError(f"Sequential takes modules, got {module!r}{_advice(module)}")
            kind = type(module).__name__.lower()
            kinds[kind] = kinds.get(kind, 0) + 1
            while hasattr(self, f"{kind}{kinds[kind]}"):  # a class's name may end in a digit
                kinds[kind] += 1
            setattr(self, f"{kind}{kinds[kind]}", module)

    def __iter__(self) -> Iterator[Module]:
        return (module for module in vars(self).values() if isinstance(module, Module))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, index: int) -> Module:
        modules = list(self)
        try:
            return modules[operator.index(index)]
        except (IndexError, TypeError) as error:
            raise type(error)(
                f"Sequential has the modules 0 to {len(modules) - 1}; there is none at {index!r}"
            ) from None

    def forward(self, x: Any) -> Tensor:
        """Apply the modules in order; a Dense and the ReLU after it run as one op."""
        modules, i = list(self), 0
        y: Tensor = x  # perhaps still an array, which the first module converts
        while i < len(modules):
            module, after = modules[i], modules[i + 1 : i + 2]
            fused = type(module) is Dense and bool(after) and _can_fuse(module, *after)
            y = module.forward(y, rectify=True) if fused else module(y)
            i += 1 + fused
        return y


def _advice(module: Any) -> str:
    """What to write instead of something that is not a module."""
    if isinstance(module, type):
        return f"; make an object of it: {module.__name__}(...)"
    if callable(module):
        return (
            "; a function goes into the forward of a Module of your own, or is a layer: nn.ReLU()"
        )
    return "; write Sequential(*layers)" if isinstance(module, Iterable) else ""


def _can_fuse(dense: Module, after: Module) -> bool:
    """Whether the next module is a ReLU that can run with the Dense in one op.

    Not if either has a forward of its own, or while a walkthrough shows the two separately.
    """
    plain = "forward" not in vars(dense) and "forward" not in vars(after)
    observer = active.get()
    return type(after) is ReLU and plain and (not observer or observer.fuses)


Activation: TypeAlias = Literal[
    "relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus"
]
ACTIVATIONS: dict[Activation, type[Module]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "softplus": Softplus,
}


class MLP(Sequential):
    """A multilayer perceptron: Dense layers with an activation between each pair.

    sizes       [in, hidden, …, out], whole numbers ≥ 1, at least two
    activation  "relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh" or "softplus"
    rng         None, a seed or a numpy.random.Generator

    Hidden layers before a rectifier are initialized by "he_uniform", others by "glorot_uniform".

    >>> dl.nn.MLP([2, 16, 16, 1], "tanh", rng=0)
    MLP(
      dense1: Dense(2 → 16)  # 48 parameters, float32
      tanh1:  Tanh()
      dense2: Dense(16 → 16)  # 272 parameters, float32
      tanh2:  Tanh()
      dense3: Dense(16 → 1)  # 17 parameters, float32
    )  # 337 parameters, float32
    """

    def __init__(
        self,
        sizes: Sequence[int] | Array,
        activation: Activation = "relu",
        *more: Never,
        rng: Rng = None,
    ) -> None:
        listed = isinstance(sizes, list | tuple) or (isinstance(sizes, np.ndarray) and sizes.ndim)
        if not listed or len(sizes) < 2:
            given = [n for n in (sizes, activation, *more) if isinstance(n, int)]
            hint = f"; write MLP({given})" if len(given) > 1 else ""
            raise ValueError(
                printable(f"MLP: sizes must be a list [in, hidden, …, out], got {sizes!r}{hint}")
            )
        if more:
            raise TypeError(f"MLP: only sizes and activation are positional, got {more} as well")
        _checks.choice("MLP", "activation", activation, ACTIVATIONS, hint=True)
        generator = _checks.generator("MLP", rng)
        rectifies = activation not in ("sigmoid", "tanh", "softplus")
        layers: list[Module] = []
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes), start=2):
            hidden = i < len(sizes)
            init: Init = "he_uniform" if hidden and rectifies else "glorot_uniform"
            layers.append(Dense(fan_in, fan_out, init=init, rng=generator))
            if hidden:
                layers.append(ACTIVATIONS[activation]())
        super().__init__(*layers)
