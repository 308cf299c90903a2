"""Make the page of a captured step: its calls in order, their arrays, and how long each takes."""

from __future__ import annotations

import inspect
import itertools
import linecache
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minidl import _page
from minidl._capture.table import durations

SEVERAL = 4  # arrays of a call; more are counted instead of listed
PHASES = "forward", "backward", "update", "other"
ROLES = "input", "parameter", "gradient", "state", "constant", "result", "intermediate"

JSON = dict[str, Any]


def as_html(plan: Any) -> str:
    """The page of a plan, a recording of minidl._capture."""
    data = plan_data(plan)
    return _page.render(
        "minidl.walkthrough",
        "plan.html.j2",
        data,
        title=data["title"],
        text=str(plan),
        plan=data,
        duration=duration,
        percent=percent,
    )


def plan_data(plan: Any) -> JSON:
    """What the page shows: the calls by the user's lines, and sums by line and by phase.

    Times are in µs, medians over the replays that were measured, and None before the first replay.
    A call's `share` is that of the total; its `fraction` is that of the longest call.
    """
    times = durations(plan)
    total, longest = sum(filter(None, times)), max(filter(None, times), default=0.0)
    calls = [
        {
            "number": i + 1,
            "name": note.name,
            "op": label.lstrip("∂"),
            "phase": phase_of(label),
            "where": note.where,
            "inputs": inputs,
            "outputs": outputs,
            "time": time,
            "share": time / total if time is not None and total else None,
            "fraction": time / longest if time is not None and longest else None,
        }
        for i, (note, label, time, (inputs, outputs)) in enumerate(
            zip(plan.notes, plan.labels, times, _arrays(plan), strict=True)
        )
    ]
    lines = []
    for where, group in itertools.groupby(calls, lambda call: call["where"]):
        own = list(group)
        source = linecache.getline(*where).strip()
        lines.append({"place": f"{Path(where[0]).name}:{where[1]}", "source": source, "calls": own})
        lines[-1] |= _sums(own)
    phases = [
        {"phase": phase, **_sums(own)}
        for phase in PHASES
        if (own := [call for call in calls if call["phase"] == phase])
    ]
    arrays = [x for call in calls for x in call["inputs"] + call["outputs"]]
    roles = {x["role"] for x in arrays}
    dtypes = Counter(x["dtype"] for x in arrays).most_common()
    name = getattr(plan.function, "__name__", "a step")
    return {
        "title": f"The plan of {name}",
        "replays": max(map(len, plan.seconds), default=0),
        "lines": lines,
        "phases": phases,
        "dtype": dtypes[0][0] if dtypes else "",
        "one_dtype": len(dtypes) == 1,
        "roles": [role for role in ROLES if role in roles],
        **_sums(calls),
    }


def phase_of(label: str) -> str:
    """The phase of a call of which the plan says that it belongs to an op, "∂" + op, or "step"."""
    if not label:
        return "other"
    return "update" if label == "step" else "backward" if label[0] == "∂" else "forward"


def _sums(calls: list[JSON]) -> JSON:
    """The number of some calls, their time and their share."""
    times = [call["time"] for call in calls if call["time"] is not None]
    shares = [call["share"] for call in calls if call["share"] is not None]
    return {
        "count": len(calls),
        "time": sum(times) if times else None,
        "share": sum(shares) if shares else None,
    }


# --- arrays --------------------------------------------------------------------------------------


def _arrays(plan: Any) -> Iterator[tuple[list[JSON], list[JSON]]]:
    """The inputs and outputs of each call: role, name, shape and dtype, and a key of each array."""
    known, keys = _known(plan), defaultdict[int, int](itertools.count().__next__)
    made_by: dict[int, int] = {}
    updates = {one.call for one in plan.updates}

    def described(array: tuple[Any, Any, int], other: tuple[str, str]) -> JSON:
        role, name = known.get(array[2], other)
        shape = "×".join(map(str, array[0])) or "scalar"
        kind = {"role": role, "name": name, "shape": shape, "dtype": str(array[1])}
        return {"key": keys[array[2]], **kind}

    for number, note in enumerate(plan.notes, 1):
        inputs, outputs, read = [], [], {owner for *_, owner in note.inputs}
        for array in note.inputs:
            made = made_by.get(array[2])
            other = ("intermediate", f"from {made}") if made else ("constant", "constant")
            inputs.append(described(array, other))
        for array in note.outputs:
            other = ("intermediate", "in place" if array[2] in read else "new")
            outputs.append(described(array, other))
        if number - 1 in updates:  # it only reads the gradients
            outputs = [x for x in outputs if x["role"] != "gradient"]
        made_by |= dict.fromkeys([owner for *_, owner in note.outputs], number)
        yield _counted(inputs), _counted(outputs)


def _counted(arrays: list[JSON]) -> list[JSON]:
    """The arrays, or if they are many, one entry for all arrays of a role."""
    if len(arrays) <= SEVERAL:
        return arrays
    words = {"state": "state array"}
    entries = []
    for role, count in Counter(x["role"] for x in arrays).items():
        own = [x for x in arrays if x["role"] == role]
        dtypes = dict.fromkeys(x["dtype"] for x in own)
        shapes = ", ".join(x["shape"] for x in own)
        name = f"{count} {words.get(role, role)}{'s' * (count > 1)}"
        entry = {"key": None, "role": role, "name": name, "shape": shapes}
        entries.append({**entry, "dtype": ", ".join(dtypes)})
    return entries


def _known(plan: Any) -> dict[int, tuple[str, str]]:
    """The role and the name of arrays that live longer than a step, by id."""
    known: dict[int, tuple[str, str]] = {}
    for array in plan.outputs:
        known[id(array)] = "result", "result"
    for array, place in zip(plan.inputs, plan.input_places, strict=True):
        known[id(array)] = "input", _argument(plan.function, place)
    updated = {p for one in plan.updates for p in one.params}
    for i, (p, data) in enumerate(plan.leaves.items(), 1):
        role = "parameter" if p in updated or p.requires_grad else "constant"
        known[id(data)] = role, p.name or f"{role} {i}"
    names = {p: known[id(data)][1] for p, data in plan.leaves.items()}
    owners: dict[tuple[int, int], Any] = {}  # by an optimizer's columns and the place in them
    for one in plan.updates:
        owners |= {(id(one.columns), i): p for i, p in zip(one.indices, one.params, strict=True)}
    for array, (columns, slot, i) in plan.states.items():
        p = owners[columns, i]
        known[array] = "state", f"{slot} of {names.get(p) or p.name}"
    for owner, p in plan.gradient_of.items():
        known[owner] = "gradient", f"∂{names.get(p) or p.name or 'parameter'}"
    return known


def _argument(function: Any, place: int | str) -> str:
    """The name of a function's argument, given by its position or its name."""
    if isinstance(place, str):
        return place
    try:
        names = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        names = []
    if place < len(names) and names[place].kind is not inspect.Parameter.VAR_POSITIONAL:
        return names[place].name
    return f"input {place + 1}"


# --- numbers -------------------------------------------------------------------------------------


def duration(microseconds: float | None) -> str:
    """A duration with three digits and its unit: "0.14 µs", "12.3 µs", "1.5 ms"."""
    if microseconds is None:
        return ""
    unit, value = ("ms", microseconds / 1000) if microseconds >= 1000 else ("µs", microseconds)
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def percent(share: float | None) -> str:
    """A share as a percentage."""
    if share is None:
        return ""
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
