"""What a Recorder keeps of a training: copies of some steps, within a limit of memory.

A look copies arrays and computes hardly anything, so that it takes little time between two steps.
What a page shows of it, `views` computes afterwards.
"""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np

from minidl import _checks
from minidl._fit.step import parameters_of
from minidl._format import printed
from minidl.callbacks import Training
from minidl.data import DataLoader
from minidl.history import History
from minidl.nn import Module
from minidl.optim import Optimizer
from minidl.tensor import Tensor

Array = np.ndarray
Norms = tuple[float, float, float]
MOST = 64  # looks
MEMORY = 2**26  # bytes of all looks, about
WHOLE = 1024  # entries of a parameter, of which a look copies gradient and state; else so many
PIECE = 2**14  # entries of the first layer's weights that are shown
SAMPLES = 256  # of the data, at which activations are computed


class Part(NamedTuple):
    """One parameter in a step: all of its entries, or some and the norms of all.

    grad, update, state  of every k-th entry, or of all; None where there are none
    theta, norms         the weights after the update; or norms of gradient, update and weights
    """

    grad: Array | None
    update: Array | None
    state: dict[str, Any] | None
    theta: Array | None
    norms: Norms | None

    @property
    def known_norms(self) -> Norms:
        """The norms, of gradient, update and weights."""
        return self.norms or (_norm(self.grad), _norm(self.update), _norm(self.theta))


class Look(NamedTuple):
    """The training right after a step.

    step     the number of steps taken
    parts    of each parameter
    groups   of each group: its options, and the rate of the step
    first    the shown weights of the first layer
    weights  of the model, by name, as in its state_dict; None if they are too large
    """

    step: int
    parts: list[Part]
    groups: list[tuple[dict[str, Any], float]]
    first: Array | None
    weights: dict[str, Array] | None


@printed
class Recording:
    """The looks at a training; `Recorder` has its page."""

    def __init__(self, every: int = 1) -> None:
        self.every = _checks.count("Recorder", "every", every)
        self.spacing = self.every  # the steps between two looks, a multiple of `every`
        self._clear()

    def _clear(self) -> None:
        self.looks: list[Look] = []
        self.history: History | None = None
        self._before: list[Array] | None = None
        self._training: Training | None = None

    @property
    def steps(self) -> list[int]:
        """The steps that were recorded: how many had been taken at each look."""
        return [look.step for look in self.looks]

    def __repr__(self) -> str:
        taken = 0 if self.history is None else len(self.history.step_loss)
        steps = f"{taken} step{'s' * (taken != 1)}"
        looks = f"{len(self.looks)} looks at {steps}" if self.looks else "nothing recorded"
        wider = f", every {self.spacing} steps" if self.spacing > self.every else ""
        return f"Recorder(every={self.every})  # {looks}{wider}"

    # --- what fit calls

    def _begin(self, training: Training, loss: Any, steps: int | None) -> None:
        """A training of so many steps begins, or of an unknown number."""
        model = getattr(training.model, "__self__", training.model)
        module = model if isinstance(model, Module) else None
        named = dict(module.named_parameters()) if module else {}
        self._whole = 16 * sum(p.data.nbytes for p in named.values()) <= MEMORY
        shadow = _copy(model) if module is training.model and self._whole else None
        begun, before = self.looks and self.looks[-1].step == training.step > 0, self.looks
        old = self.names if begun else []
        self._clear()
        self.loss, self.history = loss, training.history
        self.module, self.shadow, self._tensors = module, shadow, named
        self._buffered = module is not None and named.keys() != module.state_dict().keys()
        self.data = training.data if isinstance(training.data, DataLoader) else None
        self._choose(training.optimizer, named)
        if begun and old == self.names:
            self.looks = before
        else:
            self.spacing = self.every
        self._last = None if steps is None else training.step + steps
        if not self.looks:
            self.looks.append(self._look(training.step, None))
        self._limit()
        self._training = training

    def _choose(self, optimizer: Any, named: dict[str, Tensor]) -> None:
        """Name the optimizer's parameters, and find the first layer's weights."""
        names = {id(p): name for name, p in named.items()}
        found = list(dict.fromkeys(parameters_of(optimizer))) or list(named.values())
        self.parameters = found
        self.names = [
            names.get(id(p)) or p.name or f"parameter {i}" for i, p in enumerate(found, start=1)
        ]
        self.optimizer = optimizer if isinstance(optimizer, Optimizer) else None
        self.every_entry = [max(1, -(-p.size // WHOLE)) for p in found]
        self.first = next((i for i, p in enumerate(found) if p.ndim == 2), None)
        groups = getattr(optimizer, "groups", ())
        self.group_of = [
            next((g for g, group in enumerate(groups) if any(p is q for q in group["params"])), 0)
            for p in found
        ]

    def _limit(self) -> None:
        """Set the distance of looks, so that there are not too many for the memory."""
        slots = len(type(self.optimizer).slots) if self.optimizer else 0
        some = sum(min(p.data.nbytes, WHOLE * p.dtype.itemsize) for p in self.parameters)
        size = 1 + _size_of(self.looks[0]) + (2 + slots) * some
        self._most = max(4, min(MOST, MEMORY // size))
        if self._last is not None:  # one before the first step, and one after the last
            self.spacing *= max(1, -(-self._last // (self.spacing * (self._most - 2))))

    def _due(self, taken: int) -> int:
        """The number of steps to take before the next one that is recorded; 0 if it is that."""
        until = self.spacing - 1 - taken % self.spacing
        if self._last is not None and taken < self._last:
            until = min(until, self._last - 1 - taken)
        return until

    def _before_step(self, training: Training) -> None:
        """A step that is recorded is about to be taken."""
        self._before = [p.data.copy() for p in self.parameters]

    def _after_step(self, training: Training, step: int) -> None:
        """It was taken."""
        before, self._before = self._before, None
        self._keep(self._look(step, before))

    def _end(self, training: Training) -> None:
        """The training ended, perhaps after a step that was not to be recorded."""
        if self._training is not training:
            return
        step = len(training.history.step_loss)
        if self.looks and self.looks[-1].step < step:
            self._keep(self._look(step, None))
        self._training = self._before = None

    def _keep(self, look: Look) -> None:
        """Add a look; of too many, leave out those between multiples of the distance."""
        first, *others = self.looks
        while len(others) + 2 > self._most:
            fewer = [own for own in others if own.step % self.spacing == 0]
            if len(fewer) == len(others):
                self.spacing *= 2
            others = fewer
        self.looks = [first, *others, look]

    def _look(self, step: int, before: list[Array] | None) -> Look:
        optimizer, weights = self.optimizer, None
        groups = [
            ({k: v for k, v in group.items() if k != "params"}, rate)
            for group in (optimizer.groups if optimizer else ())
            for rate in (optimizer.rate(group, -1) if optimizer and optimizer.t else math.nan,)
        ]
        copies: dict[int, Array] = {}
        if self.module is not None and self._whole:
            if self._buffered:
                weights = self.module.state_dict()
            else:
                weights = {name: p.data.copy() for name, p in self._tensors.items()}
                kept = zip(self._tensors.values(), weights.values(), strict=True)
                copies = {id(p): theta for p, theta in kept}
        first = None
        if self.first is not None:
            w = self.parameters[self.first].data
            first = w[:PIECE, : max(1, PIECE // max(1, len(w)))].copy()
        with np.errstate(all="ignore"):
            states = None if before is None or optimizer is None else optimizer.state
            count = len(self.parameters)
            parts = [
                self._part(i, copies, states, before[i] if before else None) for i in range(count)
            ]
        return Look(step, parts, groups, first, weights)

    def _part(self, i: int, copies: dict[int, Array], states: Any, before: Array | None) -> Part:
        p, k = self.parameters[i], self.every_entry[i]
        grad, data, state, norms = p.grad, p.data, None, None
        update = None if before is None else np.subtract(data, before, out=before)
        if states is not None and grad is not None:
            own = states[p]
            state = {name: _some(x, k) if type(x) is np.ndarray else x for name, x in own.items()}
        if k == 1:
            theta = copies[id(p)] if id(p) in copies else data.copy()
            return Part(_some(grad, 1), update, state, theta, None)
        norms = _norm(grad), _norm(update), _norm(data)
        return Part(_some(grad, k), _some(update, k), state, None, norms)


def _copy(model: Module) -> Module:
    """A copy, with which a page computes activations; TypeError if it can't be made."""
    try:
        return copy.deepcopy(model)
    except MemoryError:
        raise
    except Exception as error:
        raise TypeError(
            f"Recorder: {type(model).__name__} can't be copied ({error!r}), which a page needs to "
            "compute what it gives; keep such attributes out of the model, or define __deepcopy__"
        ) from error


def _some(array: Array | None, k: int) -> Array | None:
    """A copy of every k-th entry; of all in their shape if k is 1."""
    if array is None:
        return None
    return array.copy() if k == 1 else array.reshape(-1)[::k].copy()


def _norm(array: Array | None) -> float:
    """The Euclidean norm; NaN of nothing."""
    if array is None:
        return math.nan
    flat = array.ravel()
    return math.sqrt(float(flat.dot(flat)))


def _size_of(look: Look) -> int:
    """The bytes of a look's arrays."""
    arrays = [look.first, *(look.weights or {}).values()]
    arrays += [x for part in look.parts for x in (part.grad, part.update)]
    arrays += [x for part in look.parts for x in (part.state or {}).values()]
    return sum(x.nbytes for x in arrays if isinstance(x, np.ndarray))
