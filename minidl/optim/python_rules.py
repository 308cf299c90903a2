"""Rules in pure Python: their `update` runs on copies, which a step takes over as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._kernels import optim as kernels
from minidl.optim.parameters import Arrays, Batch, Change, Group, Updates


def results(optimizer: Any, turn: int, batch: Batch) -> tuple[Updates, list[Change]]:
    """Run a rule's `update` on copies: what takes its results over, and changed options."""
    group, lr, own = batch.group, batch.lr, batch.theta
    decay = group.weight_decay
    decoupled = decay and (optimizer.decoupled or group.get("decoupled_weight_decay", False))
    with np.errstate(all="ignore"):
        g = [np.array(-g if group.maximize else g) for g in batch.g]
        if decay and not decoupled:
            g = [np.array(g_i + g_i.dtype.type(decay) * p) for g_i, p in zip(g, own, strict=True)]
        shrink = 1 - lr * decay if decoupled else 1
        start = [np.array(p.dtype.type(shrink) * p) if decoupled else p for p in own]
    theta = [p.copy() for p in start]
    state = [arrays and [a.copy() for a in arrays] for arrays in batch.state]
    own_arrays, changed = _flat([own, *batch.state]), _flat([theta, *state])
    kept, before = _contents(own_arrays), _contents(changed)
    plain = Group(type(optimizer), {**group, "weight_decay": 0.0, "maximize": False})
    options = dict(plain)
    arguments = plain, lr, batch.t, theta, g, *state
    verdict = optimizer._turns.call(turn, optimizer.update, *arguments)
    skips = isinstance(verdict, bool | np.bool_) and not verdict
    returned, same = _flat([theta, *state]), _contents(changed) == before
    if (
        [*map(id, returned)] != [*map(id, changed)]
        or _contents(own_arrays) != kept  # by way of group.params or self.state
        or (same and not skips and _would_move(lr, g, start))
    ):
        raise RuntimeError(
            f"{type(optimizer).__name__}.update must change theta and the state in place, the "
            "arrays that it is given, as in theta_i -= ... or theta_i[...] = ...; theta_i = "
            "theta_i - ... has no effect. An update that skips a step on purpose returns False."
        )
    if same and lr == 0 and optimizer.idle_at_rate_0:
        return [], []
    new = [(vars(group), k, v) for k, v in plain.items() if v is not options[k]]
    return [kernels.replacement(own_arrays, changed)], new


def _flat(lists: list[Arrays | None]) -> Arrays:
    return [a for arrays in lists if arrays is not None for a in arrays]


def _contents(arrays: Arrays) -> list[bytes]:
    return [a.tobytes() for a in arrays]


def _would_move(lr: float, g: Arrays, theta: Arrays) -> bool:
    """Whether a step along finite gradients would change a weight."""
    with np.errstate(all="ignore"):
        moves = (not np.array_equal(a - lr * d, a) for a, d in zip(theta, g, strict=True))
        return all(np.isfinite(d).all() for d in g) and any(moves)
