"""An average of the weights along a training, which often predicts better than the last ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl.optim import parameters as _parameters


class average:  # noqa: N801 (a verb, like no_grad)
    """The exponential moving average of a model's weights (Polyak & Juditsky 1992).

        a ← δa + (1 − δ)θ at each `update()`,   a₀ = θ₀

    model  a Module, or what else an optimizer takes
    decay  δ in [0, 1); about the last 1 / (1 − δ) updates count

    Used as a context manager, it lends the model the averaged weights, and gives it back its own
    afterwards. It is kept in float64, where small (1 − δ)(θ − a) are not lost. RuntimeError for an
    update, a second entry, or a change of the weights while they are lent.

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

    def __init__(self, model: Any, decay: float) -> None:
        self.decay = _checks.number("average", "decay", decay, high=1, below=True)
        self._names = _parameters.names(_parameters.tensors("average", model))
        self._averages = {p: p.data.astype(np.float64) for p in self._names}
        self._own: dict[Any, Any] = {}  # the model's weights, and versions, while others are lent

    def update(self) -> None:
        """Take the present weights into the average; to be called after each optimizer step."""
        self._refuse_while_lent("update")
        for p, a in self._averages.items():
            a += (1 - self.decay) * (p.data - a)

    def __enter__(self) -> average:
        self._refuse_while_lent("a second `with`")
        for p, a in self._averages.items():
            own, p.data = p.data, a
            self._own[p] = own, p.version
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        changed = [p for p, (_, version) in self._own.items() if p.version != version]
        for p, (own, _) in self._own.items():
            p.data = own
        self._own = {}
        if changed and kind is None:
            raise RuntimeError(
                f"average: {describe(changed[0])} was changed while the averaged weights were "
                "lent; the change is lost. Train outside of the `with`."
            )

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of the averages, in float64, by parameter name, or position as in an optimizer."""
        return {self._names[p]: a.copy() for p, a in self._averages.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved averages; ValueError for other names or shapes, nothing changed then."""
        self._refuse_while_lent("load_state_dict")
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

    def _refuse_while_lent(self, what: str) -> None:
        if self._own:
            raise RuntimeError(f"average: {what} inside of `with`, where the weights are lent")


def _shapes(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
