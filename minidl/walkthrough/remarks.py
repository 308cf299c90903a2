"""Find the usual problems in a record: saturation, gradients that were not zeroed, NaN, …

For the walkthrough's steps. Each finding is a function of the record.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl._format import printed
from minidl.walkthrough.record import Backward, OpCall, OpGradient, Record, Update, Value

LARGE_INPUT = 10.0  # larger inputs drive sigmoid and tanh into saturation
GRADIENT_RATIO = 1e3  # between two layers: the gradient vanishes or explodes
LISTED_NAMES, LISTED_UNITS = 4, 8


@printed
class Remark(NamedTuple):
    """A finding: its title, an explanation with advice, and the object that it is about, if any."""

    title: str
    text: str
    about: OpCall | OpGradient | Backward | Update | Value | None


@np.errstate(all="ignore")
def find_remarks(record: Record) -> list[Remark]:
    """All findings, each once for a layer that ran several times."""
    found: dict[Hashable, Remark] = {}
    for remark in itertools.chain.from_iterable(find(record) for find in _FINDINGS):
        layer = remark.about.path if isinstance(remark.about, OpCall) else ""
        found.setdefault((remark.title, layer or id(remark.about)), remark)
    return list(found.values())


def _finite(x: Any) -> bool:
    return bool(np.all(np.isfinite(x)))


def _listed(names: Sequence[str]) -> str:
    """The first of several names."""
    return ", ".join(names[:LISTED_NAMES]) + (" …" if len(names) > LISTED_NAMES else "")


def _first_non_finite(record: Record) -> Iterator[Remark]:
    for op in record.ops:
        if not _finite(op.value.data) and all(map(_finite, op.arrays())):
            kind = "NaN" if np.isnan(op.value.data).any() else "∞"
            yield Remark(
                f"{kind} first appears here",
                f"the result of {op.value.name} ({op.name}) contains {kind}, but all its inputs "
                "are finite. Every value computed from it is affected. Look for a logarithm or a "
                "root of 0 or less, a division by 0, or a number too large for the dtype.",
                op,
            )
    for backward in record.backwards:
        for op_gradient in backward.op_gradients:
            finite = _finite(op_gradient.op.value.data) and _finite(op_gradient.g)
            if finite and not all(_finite(g) for *_, g in op_gradient.inputs()):
                yield Remark(
                    "A gradient that is not finite first appears here",
                    f"backward through {op_gradient.op.value.name} turns a finite gradient into "
                    "NaN or ∞: the derivative has no finite value there.",
                    op_gradient,
                )


def _saturated(record: Record) -> Iterator[Remark]:
    for op in record.ops:
        name, y = op.name, op.value.data
        if name in ("tanh", "sigmoid") and y.size:
            slope = 1 - y * y if name == "tanh" else 4 * y * (1 - y)
            fraction = float(np.mean(slope < 0.05))
            if fraction >= 0.25:
                ends = "−1 or 1" if name == "tanh" else "0 or 1"
                yield Remark(
                    f"Saturated {name}",
                    f"{fraction:.0%} of {op.value.name} is close to {ends}, where {name} is flat "
                    "and less than a twentieth of the gradient passes. Scale the inputs, or "
                    "initialize with smaller weights.",
                    op,
                )


def _dead(record: Record) -> Iterator[Remark]:
    for op in record.ops:
        y = op.value.data
        if op.name == "relu" and y.ndim >= 2 and y.size > y.shape[-1]:
            units = np.flatnonzero(~y.reshape(-1, y.shape[-1]).any(axis=0))
            if len(units):
                listed = ", ".join(map(str, units[:LISTED_UNITS]))
                listed += " …" if len(units) > LISTED_UNITS else ""
                yield Remark(
                    "Dead ReLU",
                    f"{len(units)} of {y.shape[-1]} units of {op.value.name} (number {listed}) are "
                    "0 for every sample, so no gradient passes and these samples can't change "
                    "that. Try a smaller learning rate, another initialization or leaky_relu.",
                    op,
                )


def _unscaled(record: Record) -> Iterator[Remark]:
    for value in record.values:
        enters = any(i == 0 and op.name in ("dense", "matmul") for op, i in value.users)
        if value.kind == "input" and enters and value.data.size and _finite(value.data):
            low, high = value.data.min(), value.data.max()
            if max(-low, high) > LARGE_INPUT:
                yield Remark(
                    "Inputs that need scaling",
                    f"{value.name} ranges from {low:.4g} to {high:.4g}. The initial weights expect "
                    "inputs with mean 0 and standard deviation 1: (x − x.mean(0)) / x.std(0).",
                    value,
                )


_APPLIED_BY = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}


def _applied_twice(record: Record) -> Iterator[Remark]:
    for op in record.ops:
        function, logits = _APPLIED_BY.get(op.name), op.inputs[0] if op.inputs else None
        if not function or not isinstance(logits, Value) or not logits.producer:
            continue
        if logits.producer.name == function:
            yield Remark(
                f"{function.capitalize()} before {op.name}",
                f"{logits.name} is already the result of {function}, and {op.name} applies "
                f"{function} again: gradients become small and the loss can't reach 0. Pass the "
                "logits.",
                op,
            )


def _not_zeroed(record: Record) -> Iterator[Remark]:
    for backward in record.backwards:
        old = [leaf.value.name for leaf in backward.leaves if leaf.accumulates]
        if old:
            yield Remark(
                "A gradient that was not zeroed",
                f"{_listed(old)} already had a gradient, and backward adds to it. Call "
                "optimizer.zero_grad() before each backward, unless gradients are meant to "
                "accumulate.",
                backward,
            )


@np.errstate(all="ignore")
def gradient_sizes(record: Record) -> list[tuple[Value, float]]:
    """The root mean square of the last gradient of each parameter."""
    leaves = record.backwards[-1].leaves if record.backwards else []
    return [
        (leaf.value, float(np.sqrt(np.mean(np.square(leaf.gradient, dtype=np.float64)))))
        for leaf in leaves
        if leaf.gradient.size
    ]


def _vanishing(record: Record) -> Iterator[Remark]:
    order = {value: i for i, value in enumerate(record.values)}
    sizes = gradient_sizes(record)
    found = [(v, size) for v, size in sizes if v.data.ndim >= 2 and np.isfinite(size)]
    found.sort(key=lambda pair: order[pair[0]])
    if len(found) < 2 or found[-1][1] == 0:
        return
    (first, near_input), (last, near_loss) = found[0], found[-1]
    if near_input < near_loss / GRADIENT_RATIO:
        ratio = f"{near_loss / near_input:.2g} times smaller than" if near_input else "0, unlike"
        yield Remark(
            "A vanishing gradient",
            f"the gradient of {first.name} is {ratio} that of {last.name}, so the first layers "
            "hardly learn. Try fewer layers, ReLU instead of sigmoid or tanh, or another "
            "initialization.",
            first,
        )
    if near_input > near_loss * GRADIENT_RATIO:
        yield Remark(
            "An exploding gradient",
            f"the gradient of {first.name} is {near_input / near_loss:.2g} times larger than that "
            f"of {last.name}: it grows from layer to layer. Try smaller initial weights or "
            "clip_grad_norm.",
            first,
        )


def _changed(record: Record) -> Iterator[Remark]:
    totals: dict[Value, np.ndarray] = {}
    for event in record.events:
        if isinstance(event, Backward):
            for leaf in event.leaves:
                before = 0 if leaf.before is None else leaf.before
                totals[leaf.value] = before + leaf.gradient
        elif isinstance(event, Update) and event.value in totals:
            total = totals[event.value]
            if not np.array_equal(total, event.gradient, equal_nan=True):
                yield Remark(
                    "The gradient was changed before the step",
                    "between backward and step the norm of the gradient of "
                    f"{event.value.name} changed from {np.linalg.norm(total):.4g} to "
                    f"{np.linalg.norm(event.gradient):.4g}, for example by clipping.",
                    event,
                )


def _violated(record: Record) -> Iterator[Remark]:
    for update in record.updates:
        wrong = [line.equation.text for line in update.lines if update.violated(line).any()]
        if wrong:
            yield Remark(
                "An equation that does not hold",
                f"{update.rule.__name__}.update left other numbers than its equation gives: "
                f"{'; '.join(wrong)}. Correct the class's `equations` or its `update`.",
                update,
            )


def _unread(record: Record) -> Iterator[Remark]:
    for update in {u.rule: u for u in reversed(record.updates) if u.unread}.values():
        lines = "; ".join(f"{text} ({reason})" for text, reason in update.unread)
        yield Remark(
            "An equation that can't be read",
            f"of the `equations` of {update.rule.__name__} these lines are left out: {lines}.",
            update,
        )


def _loss_increased(record: Record) -> Iterator[Remark]:
    before, after = record.loss()
    if before is not None and after is not None and before.size == 1 and not after <= before:
        yield Remark(
            "The loss increased",
            f"it changed from {before.item():.4g} to {after.item():.4g} on the same data. The "
            "learning rate is probably too large.",
            None,
        )


def _rate_of_zero(record: Record) -> Iterator[Remark]:
    updates = record.updates
    if updates and not any(update.lr or update.changes for update in updates):
        yield Remark(
            "A learning rate of 0",
            "the rate of this step is 0, so no parameter changes and the loss stays the same. A "
            "warm-up gives 0 in its first step, unless it has another start.",
            None,
        )


def _changed_unseen(record: Record) -> Iterator[Remark]:
    names = list(dict.fromkeys(value.base_name for value in record.changed_unseen))
    if names:
        yield Remark(
            "An update that was not recorded",
            f"{_listed(names)} changed, but not by an optimizer or an op in this block; an "
            "assignment to .data, for example, is not recorded. To see an update by hand, write "
            "w -= 0.1 * w.grad under dl.no_grad().",
            None,
        )


def _without_gradient(record: Record) -> Iterator[Remark]:
    names = list(dict.fromkeys(value.base_name for value in record.without_gradient))
    if names:
        yield Remark(
            "Parameters without a gradient",
            f"{_listed(names)} got no gradient, so the optimizer skipped them: the loss does not "
            "depend on them.",
            None,
        )


def _incomplete(record: Record) -> Iterator[Remark]:
    if record.error:
        yield Remark(
            "The block did not run to its end",
            f"it ended with {record.error}, so what would have followed is missing here.",
            None,
        )
    if not record.backwards:
        yield Remark(
            "No backward pass",
            "backward was not called in this block. Call loss.backward() inside it, after the "
            "forward pass.",
            None,
        )
    for backward in record.backwards:
        unused = any(not leaf.value.users for leaf in backward.leaves)
        unrecorded = any(x.unrecorded for g in backward.op_gradients for _, x, _ in g.inputs())
        if unrecorded or unused or backward.root is None or backward.root.producer is None:
            yield Remark(
                "A forward pass that was not recorded",
                "backward went through ops that ran before the block, which can't be shown. Move "
                "the forward pass into the block.",
                backward,
            )


_FINDINGS = (
    _incomplete,
    _first_non_finite,
    _unscaled,
    _saturated,
    _dead,
    _applied_twice,
    _not_zeroed,
    _vanishing,
    _changed,
    _violated,
    _unread,
    _loss_increased,
    _rate_of_zero,
    _changed_unseen,
    _without_gradient,
)
