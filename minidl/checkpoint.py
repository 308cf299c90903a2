"""save and load: a training, or the weights of a model, in a file."""

from __future__ import annotations

import dataclasses
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np

from minidl import _archive, _checks, _expressions, _files
from minidl._archive import UNFIT, CheckpointError, pack, put, unpack
from minidl._format import printed
from minidl._kernels import atomic
from minidl.config import __version__
from minidl.data import DataLoader
from minidl.history import History
from minidl.nn import Module, named_members
from minidl.optim import Optimizer, average
from minidl.schedulers import PlateauMemory, Schedule, plateaus
from minidl.tensor import Tensor

Change = tuple[Any, Any, Any]


@printed
@dataclasses.dataclass(repr=False, eq=False)
class Saved:
    """What is in a checkpoint.

    epoch     finished epochs
    step      steps taken
    history   the History, or None
    metadata  what was given to save
    arrays    all arrays in the file by name; those of the model have the names of its state_dict
    """

    epoch: int
    step: int
    history: History | None
    metadata: Any
    arrays: dict[str, np.ndarray]
    _text: dict[str, Any] = dataclasses.field(default_factory=dict)
    _loaded: tuple[Any, ...] = ()  # the callbacks that got a state

    @property
    def optimizer_steps(self) -> int | None:
        """The steps that the saved optimizer had taken, or None."""
        rule = self._text.get("optimizer")
        return None if rule is None else rule["t"]

    @property
    def samples(self) -> tuple[int, int] | None:
        """The number of samples that were trained on, and of all in the loader; None if unknown."""
        loader = unpack(self._text["loader"], self.arrays)
        known = loader is not None and loader.get("trained") is not None
        return (int(loader["trained"]), int(loader["samples"])) if known else None

    def unlike(self, model: Module) -> str | None:
        """The name of a parameter that differs from the saved one, if the saved model has it."""
        entries = self._text["model"] or {}
        for name, parameter in model.named_parameters():
            saved = self.arrays.get(entries.get(name, ""))
            if saved is not None and not np.array_equal(parameter.data, saved, equal_nan=True):
                return name
        return None

    def not_loaded(self, callbacks: Iterable[Any]) -> str | None:
        """The class of a callback that has another state than the saved one, which wasn't loaded.

        Of several callbacks of a class, the first has the first saved state.
        """
        import json

        saved = list(enumerate(self._text["callbacks"]))
        for callback in _stateful(callbacks):
            kind = type(callback).__name__
            place, entry = next((s for s in saved if s[1]["class"] == kind), (0, None))
            if entry is None:
                continue
            saved.remove((place, entry))
            if not any(callback is c for c in self._loaded):
                arrays: dict[str, np.ndarray] = {}
                own = pack(callback.state_dict(), f"callbacks/{place}", arrays)
                same = (_bits(x) == _bits(self.arrays[name]) for name, x in arrays.items())
                if json.dumps(own) != json.dumps(entry["state"]) or not all(same):
                    return kind
        return None

    def __repr__(self) -> str:
        text, names = self._text, self._text["model"] or {}
        lines = [f"checkpoint of minidl {text['minidl']}: epoch {self.epoch}, step {self.step}"]
        lines += [f"  {name}: {_form(self.arrays[entry])}" for name, entry in names.items()]
        if rule := text["optimizer"]:
            for group in rule["groups"]:
                options = {k: v for k, v in group.items() if k != "params"}
                given = ", ".join(f"{k}={_shown(v)}" for k, v in options.items())
                lines.append(f"  optimizer: {rule['rule']}({given}, step {rule['t']})")
        for part in ("loader", "average"):
            lines += [f"  {part}"] if text[part] is not None else []
        lines += [f"  callback: {c['class']}" for c in text["callbacks"]]
        lines += [f"  metadata: {reprlib.repr(self.metadata)}"] if self.metadata is not None else []
        return "\n".join(lines)


def _form(array: np.ndarray) -> str:
    return f"{array.shape} {array.dtype}"


def _bits(array: np.ndarray) -> tuple[Any, ...]:
    return array.dtype, array.shape, array.tobytes()


def _shown(option: Any) -> str:
    schedule = isinstance(option, dict) and "schedule" in option
    return str(option["schedule"] if schedule else unpack(option, {}))


def save(
    path: str | PathLike[str],
    model: Module | None = None,
    *,
    optimizer: Optimizer | None = None,
    data: DataLoader | None = None,
    history: History | None = None,
    average: average | None = None,
    callbacks: Iterable[Any] = (),
    metadata: Any = None,
) -> None:
    """Save a training, or parts of it, to a file; with all of them it can be resumed.

    path       a name ending in .safetensors holds the weights and buffers alone, for other tools,
               and needs the extra minidl[safetensors]; any other name is a checkpoint of minidl,
               which np.load reads, too
    model      a Module: weights, buffers, and the random generators of layers such as Dropout
    optimizer  rule, options, schedules and what they remember, step counts, state
    data       a DataLoader: its generator and the place in the epoch
    history    a History, also of an epoch that isn't finished
    average    a dl.optim.average
    callbacks  those with a state_dict; functions are left out
    metadata   anything made of dicts, lists, numbers, strings and arrays

    The file is replaced as a whole: after an error, a full disk or the end of the process, the old
    one or the new one is there. TypeError or ValueError for what can't be saved.

    >>> import pathlib, tempfile
    >>> model = dl.nn.Dense(2, 1, rng=0)
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.ckpt")
    >>> dl.save(path, model)
    >>> dl.load(path)
    checkpoint of minidl 0.2.0: epoch 0, step 0
      weight: (2, 1) float32
      bias: (1,) float32
    """
    path = _files.path_of("save", path)
    _check_kinds("save", model, optimizer, data, average, callbacks)
    if not isinstance(history, History | None):
        raise TypeError(f"save: history must be a History, got {type(history).__name__}")
    weights: dict[str, np.ndarray] = {}
    if model is not None:  # not model.state_dict(), which copies them
        state = model._state().items()
        weights = {name: x.data if isinstance(x, Tensor) else x for name, x in state}
    if path.suffix.lower() == ".safetensors":
        others = optimizer, data, history, average, metadata, *callbacks
        if model is None or any(x is not None for x in others):
            raise ValueError(
                "save: a .safetensors file holds the weights and buffers of a model alone; give "
                "another ending, such as .ckpt, to save a training"
            )
        _archive.write_safetensors(path, weights)
        return
    arrays: dict[str, np.ndarray] = {}
    text: dict[str, Any] = {"format": _archive.FORMAT, "minidl": __version__}
    entries = {name: put(array, name, arrays) for name, array in weights.items()}
    text["model"] = None if model is None else entries
    generators = {} if model is None else generators_of(model)
    states = {name: g.bit_generator.state for name, g in generators.items()}
    text["generators"] = pack(states, "generators", arrays)
    text["optimizer"] = None if optimizer is None else _packed_rule(optimizer, arrays)
    text["loader"] = None if data is None else pack(data.state_dict(), "loader", arrays)
    text["history"] = None if history is None else pack(history.state_dict(), "history", arrays)
    text["average"] = None if average is None else pack(average.state_dict(), "average", arrays)
    text["callbacks"] = [
        {"class": type(c).__name__, "state": pack(c.state_dict(), f"callbacks/{i}", arrays)}
        for i, c in enumerate(_stateful(callbacks))
    ]
    try:
        text["metadata"] = pack(metadata, "metadata", arrays)
    except RecursionError:
        raise ValueError("save: metadata is nested too deeply; write it flatter") from None
    _archive.write(path, arrays, text)


def load(
    path: str | PathLike[str],
    model: Module | None = None,
    *,
    optimizer: Optimizer | None = None,
    data: DataLoader | None = None,
    average: average | None = None,
    callbacks: Iterable[Any] = (),
) -> Saved:
    """Load a file that `save` wrote into a model, an optimizer, and so on; returns what it holds.

    What is given must be as it was for the saved training: names, shapes, dtypes, rule, options,
    samples. Everything is checked before anything changes, and all of it changes or nothing. Give
    the result to fit as resume=. Without a model it only tells what is inside.

    CheckpointError (a ValueError) for a file that is damaged, is no checkpoint, lacks a part that
    is asked for, or holds that of another model, rule or loader; OSError if it can't be read.
    """
    path = _files.path_of("load", path)
    _check_kinds("load", model, optimizer, data, average, callbacks)
    turns = [(x._turns, x._turns.begin()) for x in (optimizer, average) if x is not None]
    if path.suffix.lower() == ".safetensors":
        arrays = _archive.read_safetensors(path)
        text = _weights_alone(arrays)
    else:
        arrays, text = _archive.read(path)
    try:
        state = unpack(text["history"], arrays)
        history = None if state is None else History.from_state_dict(state)
        epoch, step = (len(history.loss), len(history.lr)) if history else (0, 0)
        hooks = tuple(_stateful(callbacks))
        metadata = unpack(text["metadata"], arrays)
        saved = Saved(epoch, step, history, metadata, arrays, text, hooks)
        changes: list[Change] = []
        if model is not None:
            changes += _model_changes(model, _part(text, "model"), text["generators"], arrays)
        if optimizer is not None:
            changes += _rule_changes(optimizer, unpack(_part(text, "optimizer"), arrays))
        if data is not None:
            changes += data._changes(unpack(_part(text, "loader"), arrays))
        if average is not None:
            changes += average._changes(unpack(_part(text, "average"), arrays))
        restores = _callback_states(hooks, text["callbacks"], arrays)
    except UNFIT as error:
        raise CheckpointError(f"load: {str(path)!r}: {error}") from error
    done: list[tuple[Any, Any]] = []
    loaded = [False]  # set together with the rest, since a signal may come right after
    changes.append((loaded, 0, True))
    try:
        for callback, before, after in restores:
            done.append((callback, before))
            callback.load_state_dict(after)
        _commit(changes, turns)
    except BaseException as error:
        for callback, before in reversed([] if loaded[0] else done):
            callback.load_state_dict(before)
        if isinstance(error, ValueError | TypeError):
            raise CheckpointError(f"load: {str(path)!r}: {error}") from error
        raise
    return saved


def _weights_alone(arrays: Iterable[str]) -> dict[str, Any]:
    """What the text of a checkpoint would say of arrays that are the weights of a model."""
    parts = ("generators", "optimizer", "loader", "history", "average", "metadata")
    text: dict[str, Any] = dict.fromkeys(parts)
    own = {"minidl": "(safetensors)", "model": {name: name for name in arrays}, "callbacks": []}
    return text | own


def _commit(changes: list[Change], turns: list[tuple[Any, int]]) -> None:
    """Make all changes; RuntimeError if another thread has changed one of the objects meanwhile."""
    for own, turn in turns[1:]:
        own.commit(turn, [], [])
    if turns:
        own, turn = turns[0]
        own.commit(turn, [], changes)
    else:
        atomic.assign(changes)


def _check_kinds(
    owner: str, model: Any, optimizer: Any, data: Any, averaged: Any, callbacks: Any
) -> None:
    """TypeError for an argument of the wrong type."""
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, str):
        raise TypeError(
            f"{owner}: callbacks must be a list of dl.callbacks, as fit gets it; got "
            f"{reprlib.repr(callbacks)}"
        )
    for name, value, kind, advice in (
        ("model", model, Module, "a Module such as nn.MLP([2, 16, 1])"),
        ("optimizer", optimizer, Optimizer, "an Optimizer such as optim.Adam(model)"),
        ("data", data, DataLoader, "a DataLoader, since nothing else has a state; leave it out"),
        ("average", averaged, average, "a dl.optim.average"),
    ):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{owner}: {name} must be {advice}; got {reprlib.repr(value)}")


def _stateful(callbacks: Iterable[Any]) -> Iterable[Any]:
    return (c for c in callbacks if hasattr(c, "state_dict") and not isinstance(c, type))


def _part(text: dict[str, Any], name: str) -> Any:
    """A part of the file that is asked for."""
    if text[name] is None:
        argument = {"loader": "data"}.get(name, name)
        raise ValueError(f"it holds no {name}; leave {argument} out, or save it with {argument}=")
    return text[name]


# --- models, rules and callbacks ----------------------------------------------------------------


def generators_of(model: Module) -> dict[str, np.random.Generator]:
    """The random generators in a model's attributes, by path, such as "dropout1.rng"."""
    members = named_members(model)
    modules = [("", model), *((f"{p}.", m) for p, m in members if isinstance(m, Module))]
    found = [pair for path, module in modules for pair in _generators(vars(module), path)]
    return dict(found)


def _generators(values: Any, prefix: str) -> Iterator[tuple[str, np.random.Generator]]:
    """The generators in a dict, list or tuple, at any depth."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(value, np.random.Generator):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict | list | tuple):
            yield from _generators(value, f"{prefix}{key}.")


def _model_changes(
    model: Module, entries: dict[str, str], generators: Any, arrays: Mapping[str, np.ndarray]
) -> list[Change]:
    """What loads a model; ValueError if its names, shapes, dtypes or generators differ."""
    state, own = {name: arrays[entry] for name, entry in entries.items()}, model._state()
    for name in [*own, *state]:
        kinds = [_form(x[name]) if name in x else "missing" for x in (own, state)]  # type: ignore
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"{name} of the model is {kinds[0]}, but in the file it is {kinds[1]}; make the "
                "model as it was made for the saved training"
                + "".join({f". {a}" for m in model.modules() if (a := getattr(m, "_loads", ""))})
            )
    changes = model._changes(state)
    saved, found = unpack(generators, arrays), generators_of(model)
    if generators is not None and saved.keys() != found.keys():
        raise ValueError(
            f"the model has the random generators {', '.join(found) or 'none'}, but the file "
            f"{', '.join(saved) or 'none'}"
        )
    for name, generator in found.items() if generators is not None else ():
        _checks.generator_state(name, generator.bit_generator, saved[name])
        changes.append((generator.bit_generator, "state", saved[name]))
    return changes


def _packed_rule(optimizer: Optimizer, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """An optimizer's state, with its rates as text."""
    state = optimizer.state_dict()
    groups = [
        {name: pack(value, name, arrays) for name, value in group.items() if name != "lr"}
        for group in state["groups"]
    ]
    for packed, group in zip(groups, optimizer.groups, strict=True):
        packed["lr"] = _packed_rate(group.lr)
    return {
        "rule": state["rule"],
        "t": state["t"],
        "groups": groups,
        "state": pack(state["state"], "optimizer", arrays),
    }


def _packed_rate(rate: Any) -> Any:
    """A number, or the text of a schedule and what its plateaus remember."""
    if not isinstance(rate, Schedule):
        return rate
    text = repr(rate)
    if re.search(r" at 0x[0-9a-fA-F]+>", text):
        raise ValueError(
            f"save: the schedule {text} doesn't say its options; make its class a frozen dataclass"
        )
    observing = plateaus(rate)
    return {
        "schedule": text,
        "known": _is_known(rate),
        "memories": [dataclasses.asdict(p.memory) for p in observing],
        "observations": [p.observations for p in observing],
    }


def _rule_changes(optimizer: Optimizer, state: dict[str, Any]) -> list[Change]:
    """What loads an optimizer; ValueError if it doesn't fit."""
    changes: list[Change] = []
    groups = []
    count = len(state["groups"])
    owners = [*optimizer.groups, *[optimizer.groups[0]] * count][:count]
    for owner, group in zip(owners, state["groups"], strict=True):
        own, rate = owner.lr, group["lr"]
        if isinstance(rate, dict):
            saved = _schedule(own, **rate)
            remembered = rate["memories"], rate["observations"]
            remember: list[Change] = []
            for p, memory, seen in zip(plateaus(saved), *remembered, strict=True):
                remember.append((vars(p), "memory", PlateauMemory(**memory)))
                remember.append((vars(p), "observations", seen))
            if saved is own:
                changes += [(vars(owner), "lr", own), *remember]
            else:
                atomic.assign(remember)
            rate = saved
        groups.append({**group, "lr": rate})
    return [*optimizer._changes({**state, "groups": groups}), *changes]


def _schedule(own: Any, schedule: str, known: bool, **remembered: Any) -> Schedule:
    """The schedule of a text: the optimizer's own, or a new one of minidl's classes."""
    if isinstance(own, Schedule) and repr(own) == schedule:
        return own
    if known:
        return _expressions.schedule(schedule)
    raise ValueError(
        f"the rate was {schedule}, a schedule of your own; make the optimizer with that schedule, "
        f"it has {own!r}"
    )


def _is_known(rate: Schedule) -> bool:
    """Whether a schedule's text, parsed, is the same schedule."""
    try:
        parsed = _expressions.schedule(repr(rate))
    except ValueError:
        return False
    for own, other in zip(plateaus(rate), plateaus(parsed), strict=False):
        other._remember(own.memory)
    return parsed == rate


def _callback_states(
    callbacks: tuple[Any, ...], saved: list[Any], arrays: Mapping[str, np.ndarray]
) -> list[tuple[Any, Any, Any]]:
    """(callback, its state now, the saved one) for each."""
    if not callbacks:
        return []
    own, given = [type(c).__name__ for c in callbacks], [c["class"] for c in saved]
    if own != given:
        raise ValueError(
            f"the callbacks are {', '.join(own)}, but the file holds {', '.join(given) or 'none'}"
        )
    for name, callback in zip(own, callbacks, strict=True):
        if not hasattr(callback, "load_state_dict"):  # found before any is loaded
            raise TypeError(f"the callback {name} has a state_dict, but no load_state_dict")
    states = [unpack(c["state"], arrays) for c in saved]
    return [(c, c.state_dict(), state) for c, state in zip(callbacks, states, strict=True)]
