"""An average of the weights over a training (Polyak & Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl._kernels import optim as kernels
from minidl._observer import active
from minidl.optim.parameters import GroupParams, tensors, unique_names
from minidl.tensor import Tensor


class average(kernels.Exchange):  # noqa: N801 (a verb, like no_grad)
    """The exponential moving average of a model's weights (Polyak & Juditsky 1992).

        a ← δa + (1 − δ)θ at each `update()`,   a₀ = θ₀

    model  a Module, tensors or (name, tensor) pairs
    decay  δ in [0, 1); the average is over about the last 1 / (1 − δ) updates

    As a context manager, it puts the averaged weights into the model, and restores the model's own
    weights at the end. The average is stored in float64, since (1 − δ)(θ − a) may be too small for
    float32. RuntimeError for an update or a second `with` inside the `with`, and for a change of
    the weights there.

    >>> w = dl.Tensor([0.0], requires_grad=True)
    >>> averaged = dl.optim.average([w], decay=0.75)
    >>> w.data = [4.0]                                # a training step
    >>> averaged.update()
    >>> with averaged:
    ...     w.data
    array([1.], dtype=float32)
    >>> w.data
    array([4.], dtype=float32)
    """

    def __init__(self, model: GroupParams, decay: float) -> None:
        self.decay = _checks.number("average", "decay", decay, high=1, below=True)
        self._names = unique_names(tensors("average", model))
        self._averages = {p: p.data.astype(np.float64) for p in self._names}
        self._own: list[Any] = []  # inside the `with`, what restores the model's own weights
        self._turns = kernels.Turns(
            "average: another thread is using it, too; use a lock, or an average for each thread"
        )

    def update(self) -> None:
        """Add the current weights to the average; to be called after each optimizer step."""
        if (observer := active.get()) and observer.takes_over(self.update):
            return
        turn = self._turns.begin()
        self._check_outside("update")
        changes = []
        with np.errstate(all="ignore"):
            for p, a in self._averages.items():
                changes.append((self._averages, p, np.array(a + (1 - self.decay) * (p.data - a))))
        self._turns.commit(turn, [], changes)

    def _exchange(self) -> list[tuple[Tensor, np.ndarray]]:
        """What the `with` puts into the model; Exchange does it, and restores the own weights."""
        with np.errstate(all="ignore"):  # what underflows is 0
            self._check_outside("a second `with`")
            return [(p, np.array(a, p.dtype, order="C")) for p, a in self._averages.items()]

    def _report(self, changed: Tensor) -> None:
        """Raise for weights that were changed inside the `with`, and are restored by now."""
        raise RuntimeError(
            f"average: {describe(changed)} was changed inside the `with`, where the model has the "
            "averaged weights; the change is lost. Train outside the `with`."
        )

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of the averages in float64, by name or position as in an optimizer's state."""
        return {self._names[p]: a.copy() for p, a in self._averages.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore saved averages; ValueError, without any change, for other names or shapes."""
        turn = self._turns.begin()
        self._turns.commit(turn, [], self._changes(state))

    def _changes(self, state: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
        """What load_state_dict assigns, after all checks."""
        if not isinstance(state, Mapping):
            raise TypeError(f"average: a state is a dict of arrays by name, got {state!r}")
        self._check_outside("load_state_dict")
        own = {name: self._averages[p] for p, name in self._names.items()}
        with np.errstate(all="ignore"):
            arrays = {
                name: _checks.array("average", f"{name!r} of the state", a, np.float64)
                for name, a in state.items()
            }
        new = {name: np.array(a, order="C") for name, a in arrays.items()}
        if {n: a.shape for n, a in own.items()} != {n: a.shape for n, a in new.items()}:
            raise ValueError(
                f"average: the state has {_shapes(new)}, but the model's weights are {_shapes(own)}"
            )
        return [(self._averages, p, new[name]) for p, name in self._names.items()]

    def _check_outside(self, action: str) -> None:
        if self._own:
            raise RuntimeError(
                f"average: {action} inside the `with`, where the model has the averaged weights"
            )


def _shapes(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
