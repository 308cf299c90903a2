"""What a saved state of an optimizer must be: converted, in memory of its own, and its outline."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl import _checks


def step_count(rule: str, name: str, value: Any) -> int:
    """A step count, exact in float64; TypeError or ValueError for anything else."""
    t = _checks.count(rule, name, value, low=0)
    if t >= 2**53:
        raise ValueError(f"{rule}: {name} must be below 2**53, got one of {t.bit_length()} bits")
    return t


def copied(rule: str, state: Any) -> tuple[int, list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """t, the groups and the state of a state dict, all converted and in memory of their own."""
    _checks.dictionary(rule, "the state", state)
    t = step_count(rule, "t", state["t"])
    groups = [dict(_checks.dictionary(rule, "a group", group)) for group in state["groups"]]
    groups = copy.deepcopy(groups)
    slots = {
        name: dict(_checks.dictionary(rule, f"the state of {name}", values))
        for name, values in _checks.dictionary(rule, "the state", state["state"]).items()
    }
    for name, values in slots.items():
        for slot, value in values.items():
            if slot == "t":
                values[slot] = step_count(rule, f"t of {name}", value)
                continue
            try:
                if isinstance(value, np.ma.MaskedArray):
                    raise ValueError("it is masked; fill it first")
                values[slot] = np.array(value, order="C")
            except ValueError as error:
                raise ValueError(
                    f"{rule}: the slot {slot} of {name} of the state is not an array: {error}"
                ) from None
        values["t"]  # a KeyError if it is missing
    return t, groups, slots


def outline(
    rule: str, groups: list[dict[str, Any]], state: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The entries of a state dict that must be equal to those of the optimizer that loads it."""
    entries: dict[str, Any] = {"rule": rule, "number of groups": len(groups)}
    entries["list of parameters"] = sorted(state)
    for i, group in enumerate(groups):
        entries[f"group {i}"] = sorted(group["params"])
        entries[f"options of group {i}"] = sorted(group)
    for name, slots in state.items():
        for slot in slots.keys() - {"t"}:
            entries[f"slot {slot} of {name}"] = slots[slot].shape, str(slots[slot].dtype)
    return entries
