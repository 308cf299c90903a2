"""Checks of arguments for every module that takes some, with one wording for all errors.

Each check gets the owner (the function or class that users called), the name of the argument and
its value, and returns the value in the type in which it is used.
"""

import difflib
import inspect
import itertools
import math
import numbers
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from minidl._format import printable

Choice = TypeVar("Choice", bound=str)
Check: TypeAlias = Callable[[str, str, Any], Any]  # (owner, name, value) → the value to use

# minidl's name → those of PyTorch, Keras and Optax, in lower case and without underscores
_FOREIGN = {
    "lr": "learningrate stepsize",
    "betas": "beta1 beta2 b1 b2",
    "eps": "epsilon",
    "weight_decay": "decay l2",
    "alpha": "rho",
    "beta": "momentum",
    "momentum": "beta",
    "l1": "l1regularizationstrength",
    "l2": "l2regularizationstrength",
    "lr_power": "learningratepower",
    "momentum_decay": "scheduledecay",
    "axis": "dim",
    "keepdims": "keepdim",
    "low": "min",
    "high": "max",
    "Dense": "linear",
    "NAG": "nesterov",
    "silu": "swish",
    "concatenate": "cat concat",
    "clip": "clamp clipbyvalue",
    "abs": "absolute",
    "mse": "mseloss meansquarederror squarederror l2loss",
    "mae": "l1loss meanabsoluteerror",
    "huber": "huberloss smoothl1loss",
    "cross_entropy": "crossentropyloss categoricalcrossentropy sparsecategoricalcrossentropy "
    "nllloss softmaxcrossentropy",
    "binary_cross_entropy": "bce bceloss bcewithlogits bcewithlogitsloss sigmoidbinarycrossentropy",
    "StepDecay": "steplr",
    "PiecewiseConstant": "multisteplr piecewiseconstantdecay",
    "ExponentialDecay": "exponentiallr",
    "CosineDecay": "cosineannealinglr",
    "CosineRestarts": "cosineannealingwarmrestarts cosinedecayrestarts",
    "OneCycle": "onecyclelr",
    "Triangular": "cycliclr",
    "LinearDecay": "linearlr",
    "PolynomialDecay": "polynomiallr",
    "Constant": "constantlr",
    "Sequence": "sequentiallr",
    "ReduceOnPlateau": "reducelronplateau",
    "glorot_uniform": "xavieruniform",
    "glorot_normal": "xaviernormal",
    "he_uniform": "kaiminguniform",
    "he_normal": "kaimingnormal",
    "Tensor": "parameter",
    "DataLoader": "tensordataset",
    "split": "traintestsplit randomsplit",
    "Standardize": "standardscaler normalization",
    "Checkpoint": "modelcheckpoint backupandrestore",
    "CSVLogger": "tensorboard",
    "auc": "rocaucscore",
    "Average": "averagedmodel swaparameters exponentialmovingaverage",
}
_OWN = {foreign: own for own, names in _FOREIGN.items() for foreign in names.split()}


def shown(value: Any) -> str:
    """The repr of a value, abbreviated if it has none or is nested too deeply for one."""
    try:
        return repr(value)
    except Exception:
        return reprlib.repr(value)


def number(
    owner: str,
    name: str,
    value: Any,
    low: float = 0.0,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
) -> float:
    """A finite number in [low, high] as a float; `above` and `below` exclude low and high."""
    if type(value) is float and (low < value < high or (value == low == 0 and not above)):
        return value + 0.0  # the common case, before the error message is built; −0 becomes 0
    left = f"{'>' if above else '≥'} {low:g}" if low > -math.inf else ""
    right = f"{'<' if below else '≤'} {high:g}" if high < math.inf else ""
    allowed = " and ".join(filter(None, (left, right)))
    expected = printable(f"a finite number {allowed}".rstrip())
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{owner}: {name} must be {expected}, got {shown(value)} ({type(value).__name__})"
        )
    try:
        x = float(value) + 0.0  # −0 becomes 0
    except OverflowError:  # an integer too large for a float
        x = math.inf
    inside = (x > low if above else x >= low) and (x < high if below else x <= high)
    if not (inside and math.isfinite(x)):
        raise ValueError(f"{owner}: {name} must be {expected}, got {shown(value)}")
    return x


def count(owner: str, name: str, value: Any, low: int = 1) -> int:
    """A whole number ≥ low as an int."""
    expected = f"{owner}: {name} must be a whole number ≥ {low}, got"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(printable(f"{expected} {shown(value)} ({type(value).__name__})"))
    if value < low:
        raise ValueError(printable(f"{expected} {shown(value)}"))
    return int(value)


def flag(owner: str, name: str, value: Any) -> bool:
    """True or False; anything else is a TypeError, even if it's truthy or falsy."""
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be True or False, got {shown(value)}")
    return value


def generator(owner: str, rng: Any) -> np.random.Generator:
    """The generator that `rng` gives: a new one of None or a seed, or itself."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(
            printable(
                f"{owner}: rng must be None, a whole number ≥ 0 or a numpy.random.Generator, "
                f"got {shown(rng)}"
            )
        ) from None


def generator_state(owner: str, generator: np.random.BitGenerator, state: Any) -> None:
    """ValueError unless another bit generator of the same kind can take the state."""
    kind = type(generator)
    try:
        kind().state = state
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{owner}: the generator is a {kind.__name__}, which can't have the saved state, of "
            f"another kind or damaged ({error})"
        ) from None


def dictionary(owner: str, name: str, value: Any) -> Mapping[str, Any]:
    """A dict whose keys are strings."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{owner}: {name} must be a dict, got {shown(value)}")
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{owner}: the keys of {name} must be strings, got {key!r}")
    return value


def state(owner: str, value: Any, names: Collection[str]) -> Mapping[str, Any]:
    """A dict with these keys, as a state_dict returns it."""
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{owner}: a state is a dict, as state_dict() returns it, got {shown(value)}"
        )
    if value.keys() != {*names}:
        got = ", ".join(map(str, value)) or "none"
        raise ValueError(f"{owner}: a state has the keys {', '.join(names)}, got {got}")
    return value


def items(owner: str, name: str, value: Any) -> tuple[Any, ...]:
    """The items of a list or another iterable."""
    try:
        iterator = iter(value)
    except TypeError:
        raise TypeError(f"{owner}: {name} must be a list, got {shown(value)}") from None
    return tuple(iterator)


def array(owner: str, name: str, value: Any, dtype: Any = None) -> np.ndarray:
    """What NumPy makes of an array-like."""
    try:
        return np.asarray(value, dtype)
    except (TypeError, ValueError, RecursionError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{owner}: {name} can't be converted to an array: {error}") from None


def choice(
    owner: str, name: str, value: Any, allowed: Collection[Choice], *, hint: bool = False
) -> Choice:
    """One of the allowed strings; with `hint` an error names the one that was probably meant."""
    if not isinstance(value, str) or value not in allowed:
        choices = ", ".join(map(repr, allowed))
        meant = nearest(value, allowed) if hint and isinstance(value, str) else ""
        end = f".{meant}" if meant else ""
        raise ValueError(f"{owner}: {name} must be one of {choices}, got {shown(value)}{end}")
    return cast(Choice, value)


def nearest(name: str, known: Iterable[Any], cutoff: float = 0.65) -> str:
    """A hint for an unknown name: " Did you mean 'Adam'?", or "" if none is similar.

    cutoff  how similar, from 0 to 1: the same name but for its case and underscores

    Names of other libraries count, too. A known name may be qualified, as "nn.Dense" is.
    """
    by_key: dict[str, Any] = {}
    for other in known:  # of mse and MSE, the one that is written like the name
        last = str(other).rpartition(".")[2]
        if last.startswith("_"):
            continue
        if _key(last) not in by_key or last[:1].isupper() == name[:1].isupper():
            by_key[_key(last)] = other
    for foreign, own in _OWN.items():
        if _key(own) in by_key:
            by_key.setdefault(foreign, by_key[_key(own)])
    key = _key(name)
    near = [key] if key in by_key else difflib.get_close_matches(key, by_key, 1, cutoff)
    return f" Did you mean {by_key[near[0]]!r}?" if near else ""


def meant(error: Exception, function: Callable[..., Any]) -> str:
    """A hint for Python's error about an option that a function does not have, else ""."""
    unknown = re.search(r"unexpected keyword argument '(\w+)'$", str(error))
    hint = nearest(unknown[1], inspect.signature(function).parameters) if unknown else ""
    return f".{hint}" if hint else ""


def _key(name: str) -> str:
    """What a name is found by: lower case, without underscores and hyphens."""
    return re.sub(r"[_-]", "", name.lower())


def missing(module: str, *known: Callable[[], Iterable[str]]) -> Callable[[str], Any]:
    """A module's `__getattr__`: AttributeError with a hint for a name that the module lacks.

    known  each returns names; the first that has the same one in another case or another library's
           gives the hint, else the first that has a similar one
    """

    def fail(name: str) -> Any:
        tries = () if name.startswith("_") else itertools.product((1.0, 0.65), known)
        hint = next(filter(None, (nearest(name, names(), cutoff) for cutoff, names in tries)), "")
        end = f".{hint}" if hint else ""
        raise AttributeError(f"module {module!r} has no attribute {name!r}{end}")

    return fail


def describe(tensor: Any) -> str:
    """A tensor's name and shape, as messages show them."""
    return f"{tensor.name or 'an unnamed tensor'} of shape {tensor.shape}"
