"""What a teacher would point at in a walkthrough: each finding a function of the record."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

LARGE = 10.0  # inputs beyond it drive sigmoid and tanh into saturation
FAR = 1e3  # between gradients: one vanishes, or explodes


class Remark(NamedTuple):
    """A finding: its name, what it means and what to do, and the event or box that it is about."""

    title: str
    text: str
    about: Any


@np.errstate(all="ignore")
def remarks(walk: Any) -> list[Remark]:
    """All findings, in the order of the walkthrough's story."""
    found: dict[Any, Remark] = {}
    for remark in itertools.chain.from_iterable(find(walk) for find in _FINDINGS):
        layer = getattr(remark.about, "path", "")  # of one that ran several times the first
        found.setdefault((remark.title, layer or id(remark.about)), remark)
    return list(found.values())


def _finite(x: Any) -> bool:
    return bool(np.all(np.isfinite(x)))


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _born(walk: Any) -> Iterator[Remark]:
    for op in walk.ops:
        if not _finite(op.value.data) and all(map(_finite, op.arrays())):
            kind = "NaN" if np.isnan(op.value.data).any() else "∞"
            yield Remark(
                f"{kind} is born",
                f"{op.value.name}, a {op.function.__name__}, makes {kind} of inputs that are all "
                "finite. All that is computed from it is spoiled. Look for a logarithm or a root "
                "of 0 or less, a division by 0, or a number too large for the dtype.",
                op,
            )
    for passed in walk.backwards:
        for flow in passed.flows:
            products = [p for p in flow.products if p is not None]
            if _finite(flow.op.value.data) and _finite(flow.g) and not all(map(_finite, products)):
                yield Remark(
                    "A gradient that is not finite is born",
                    f"backward through {flow.op.value.name} makes NaN or ∞ of a finite gradient: "
                    "the derivative has no finite value there.",
                    flow,
                )


def _saturated(walk: Any) -> Iterator[Remark]:
    for op in walk.ops:
        name, y = op.function.__name__, op.value.data
        if name in ("tanh", "sigmoid") and y.size:
            slope = 1 - y * y if name == "tanh" else 4 * y * (1 - y)
            share = float(np.mean(slope < 0.05))
            if share >= 0.25:
                ends = "−1 or 1" if name == "tanh" else "0 or 1"
                yield Remark(
                    f"Saturated {name}",
                    f"{_percent(share)} of {op.value.name} is close to {ends}, where {name} is "
                    "flat: less than a twentieth of the gradient passes. Scale the inputs, or "
                    "start with smaller weights.",
                    op,
                )


def _dead(walk: Any) -> Iterator[Remark]:
    for op in walk.ops:
        y = op.value.data
        if op.function.__name__ == "relu" and y.ndim >= 2 and y.size > y.shape[-1]:
            units = np.flatnonzero(~y.reshape(-1, y.shape[-1]).any(axis=0))
            if len(units):
                listed = ", ".join(map(str, units[:8])) + (" …" if len(units) > 8 else "")
                yield Remark(
                    "Dead ReLU",
                    f"{len(units)} of {y.shape[-1]} units of {op.value.name} (number {listed}) "
                    "gave 0 for every sample here: no gradient passes, so these samples can't "
                    "revive them. A smaller rate, another start or leaky_relu helps.",
                    op,
                )


def _unscaled(walk: Any) -> Iterator[Remark]:
    for value in walk.values:
        first = any(i == 0 and op.function.__name__ in ("dense", "matmul") for op, i in value.users)
        if value.kind == "input" and first and value.data.size and _finite(value.data):
            low, high = value.data.min(), value.data.max()
            if max(-low, high) > LARGE:
                yield Remark(
                    "Inputs that need scaling",
                    f"{value.name} goes from {low:.4g} to {high:.4g}. Weights are made for inputs "
                    "of mean 0 and deviation 1: (x − x.mean(0)) / x.std(0).",
                    value,
                )


_TWICE = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}


def _squashed_twice(walk: Any) -> Iterator[Remark]:
    for op in walk.ops:
        squashes = _TWICE.get(op.function.__name__, "")
        made_by = op.inputs[0].made_by if squashes else None
        if made_by and made_by.function.__name__ == squashes:
            yield Remark(
                f"{squashes.capitalize()} before {op.function.__name__}",
                f"{made_by.value.name} already is a {squashes}, and {op.function.__name__} applies "
                "one to it once more: gradients become small and the loss can't reach 0. Pass the "
                "logits.",
                op,
            )


def _not_zeroed(walk: Any) -> Iterator[Remark]:
    for passed in walk.backwards:
        old = [
            leaf.value.name
            for leaf in passed.leaves
            if leaf.before is not None and np.any(leaf.before)
        ]
        if old:
            yield Remark(
                "A gradient that was not zeroed",
                f"{', '.join(old[:4])}{' …' if len(old) > 4 else ''} had a gradient from before, "
                "and backward adds to it. Call optimizer.zero_grad() before each backward, unless "
                "several are meant to add up.",
                passed,
            )


@np.errstate(all="ignore")
def norms(walk: Any) -> list[tuple[Any, float]]:
    """The root mean square of the last gradient of each parameter."""
    leaves = walk.backwards[-1].leaves if walk.backwards else []
    return [
        (leaf.value, float(np.sqrt(np.mean(np.square(leaf.gradient, dtype=np.float64)))))
        for leaf in leaves
        if leaf.gradient.size
    ]


def _vanishing(walk: Any) -> Iterator[Remark]:
    order = {value: i for i, value in enumerate(walk.values)}
    found = [(v, size) for v, size in norms(walk) if v.data.ndim >= 2 and np.isfinite(size)]
    found.sort(key=lambda pair: order[pair[0]])
    if len(found) < 2 or found[-1][1] == 0:
        return
    (first, near_input), (last, near_loss) = found[0], found[-1]
    if near_input < near_loss / FAR:
        much = f"{near_loss / near_input:.2g} times smaller than" if near_input else "0, unlike"
        yield Remark(
            "A vanishing gradient",
            f"the gradient of {first.name} is {much} that of {last.name}: the first layers hardly "
            "learn. Fewer layers, ReLU instead of sigmoid or tanh, or another start helps.",
            first,
        )
    if near_input > near_loss * FAR:
        yield Remark(
            "An exploding gradient",
            f"the gradient of {first.name} is {near_input / near_loss:.2g} times larger than that "
            f"of {last.name}: it grows from layer to layer. Smaller weights at the start or "
            "clip_grad_norm helps.",
            first,
        )


def _changed(walk: Any) -> Iterator[Remark]:
    totals: dict[Any, np.ndarray] = {}
    for event in walk.events:
        if event.kind == "backward":
            for leaf in event.leaves:
                before = 0 if leaf.before is None else leaf.before
                totals[leaf.value] = before + leaf.gradient
        elif event.kind == "update" and event.value in totals:
            total = totals[event.value]
            if not np.array_equal(total, event.gradient, equal_nan=True):
                yield Remark(
                    "The gradient was changed before the step",
                    "between backward and step the norm of the gradient of "
                    f"{event.value.name} went from {np.linalg.norm(total):.4g} to "
                    f"{np.linalg.norm(event.gradient):.4g}; clipping does that.",
                    event,
                )


def _worse(walk: Any) -> Iterator[Remark]:
    before, after = walk.loss()
    if before is not None and after is not None and before.size == 1 and not after <= before:
        yield Remark(
            "The loss became larger",
            f"it went from {before.item():.4g} to {after.item():.4g} on the same data: most likely "
            "the rate is too large.",
            None,
        )


def _without_gradient(walk: Any) -> Iterator[Remark]:
    names = list(dict.fromkeys(value.base for value in walk.without_gradient))
    if names:
        yield Remark(
            "Parameters without a gradient",
            f"{', '.join(names[:4])}{' …' if len(names) > 4 else ''} got none, so the optimizer "
            "left them as they were: the loss does not depend on them.",
            None,
        )


def _incomplete(walk: Any) -> Iterator[Remark]:
    if not walk.backwards:
        yield Remark(
            "No backward pass",
            "nothing flowed back in this block. Call loss.backward() inside it, behind the "
            "forward pass.",
            None,
        )
    for passed in walk.backwards:
        seen = {leaf.value for leaf in passed.leaves if leaf.value.users}
        missed = any(
            p is not None and getattr(x, "missed", False)
            for flow in passed.flows
            for x, p in zip(flow.op.inputs, flow.products, strict=True)
        )
        if (
            missed
            or passed.root is None
            or passed.root.made_by is None
            or len(seen) < len(passed.leaves)
        ):
            yield Remark(
                "A forward pass that was not seen",
                "backward went through ops that ran before the block, which can't be shown. Put "
                "the forward pass into the block, too.",
                passed,
            )


_FINDINGS = (
    _incomplete,
    _born,
    _unscaled,
    _saturated,
    _dead,
    _squashed_twice,
    _not_zeroed,
    _vanishing,
    _changed,
    _worse,
    _without_gradient,
)
