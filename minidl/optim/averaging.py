"""An average of the weights over a training, which often predicts better than the last weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl.optim.parameters import GroupParams, tensors, unique_names
from minidl.tensor import Tensor


class average:  # noqa: N801 (a verb, like no_grad)
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
        # inside the `with`, the model's own weights, and the version of the averaged ones
        self._own: dict[Tensor, tuple[np.ndarray, int]] = {}

    def update(self) -> None:
        """Add the current weights to the average; to be called after each optimizer step."""
        self._check_outside("update")
        for p, a in self._averages.items():
            a += (1 - self.decay) * (p.data - a)

    def __enter__(self) -> average:
        self._check_outside("a second `with`")
        for p, a in self._averages.items():
            own, p.data = p.data, a
            self._own[p] = own, p.version
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        changed = [p for p, (_, version) in self._own.items() if p.version != version]
        for p, (own, _) in self._own.items():
            p.data = own
        self._own = {}
        if changed and kind is None:
            raise RuntimeError(
                f"average: {describe(changed[0])} was changed inside the `with`, where the model "
                "has the averaged weights; the change is lost. Train outside the `with`."
            )

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of the averages in float64, by name or position as in an optimizer's state."""
        return {self._names[p]: a.copy() for p, a in self._averages.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore saved averages; ValueError, without any change, for other names or shapes."""
        self._check_outside("load_state_dict")
        if not isinstance(state, Mapping):
            raise TypeError(f"average: a state is a dict of arrays by name, got {state!r}")
        own = {name: self._averages[p] for p, name in self._names.items()}
        new = {name: np.array(a, np.float64) for name, a in state.items()}
        if {n: a.shape for n, a in own.items()} != {n: a.shape for n, a in new.items()}:
            raise ValueError(
                f"average: the state has {_shapes(new)}, but the model's weights are {_shapes(own)}"
            )
        for name, a in new.items():
            own[name][...] = a

    def _check_outside(self, action: str) -> None:
        if self._own:
            raise RuntimeError(
                f"average: {action} inside the `with`, where the model has the averaged weights"
            )


def _shapes(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
