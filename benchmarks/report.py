"""The rows as a Markdown page."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import numpy as np

from benchmarks.goals import compared, goal_of, reached
from benchmarks.measure import DROPPED, SET, cores

PEERS = ("torch", "jax", "jaxlib", "optax", "scikit-learn", "mlxtend")
PARTS = {  # what the page says about each, in this order
    "steps": "A training step: forward, loss, backward and Adam in float32, from the same weights. "
    "The limit is the step's bare `np.matmul` calls, each into an array that is there, and Adam.",
    "threads": "The same step of minidl on two threads, against one; each in a process of its own.",
    "optimizers": "One update of the weights.",
    "roofline": "One update of 20 million weights. The limit is the bytes that the rule must move, "
    "each array it reads and each it writes once, at the speed of the first line.",
    "losses": "Softmax cross-entropy, forward and backward, by examples × classes. Alone: in a "
    "process of its own, where the C library may give large arrays back and fetch them each time.",
    "overhead": "What else it costs to use minidl.",
    "growth": "How the step grows; the slopes are those of the figure.",
    "digits": "Time until 95 % of 1,000 unseen digits are right, imports included.",
}
SCALES = {"s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")), "B/s": ((1e9, "GB/s"),), "B": ((1e6, "MB"),)}


def amount(value, unit):
    """Three digits and a unit that people use: 0.0000312 s is 31.2 µs."""
    scales = SCALES.get(unit, ((1, unit),))
    size, name = next((s for s in scales if abs(value) >= s[0]), scales[-1])
    digits = f"{value / size:.3g}" if abs(value) < 1000 * size else f"{value / size:,.0f}"
    return f"{digits} {name}"


def cell(row, mine):
    """The median, how it compares with minidl's, and whether the goal is reached."""
    if row is None:
        return ""
    goal, text = goal_of(row), amount(row.value, row.unit)
    if row.contestant != "minidl" and mine:
        text += f" = {compared(row, mine):.2f}×"
    if goal is None or not mine:
        return text
    wanted = amount(goal.number, row.unit) if goal.against == "minidl" else f"{goal.number:g}×"
    relation = "≤" if goal.against in ("minidl", "limit") else "≥"
    return f"{text} {'✓' if reached(goal, row, mine) else '✗'} ({relation} {wanted})"


def table(rows):
    """A line for each work and number of threads, a column for each contestant."""
    present = [row for row in rows if row.value is not None]
    columns = list(dict.fromkeys(row.contestant for row in present))
    lines = []
    if present:
        lines.append(f"| | threads |{''.join(f' {who} |' for who in columns)} spread |")
        lines.append(f"|---|---:|{'---|' * len(columns)}---:|")
    for work, threads in dict.fromkeys((row.work, row.threads) for row in present):
        found = {r.contestant: r for r in present if (r.work, r.threads) == (work, threads)}
        cells = (cell(found.get(who), found.get("minidl")) for who in columns)
        spread = max(row.spread / abs(row.value) for row in found.values())
        lines.append(f"| {work} | {threads} | {' | '.join(cells)} | {spread:.0%} |")
    notes = {}
    for row in present:
        if row.note:
            line = f"{row.work}, {row.threads} thread{'s' * (row.threads > 1)}"
            notes.setdefault(line, []).append(f"{row.contestant} {row.note}")
    if absent := dict.fromkeys(f"{r.contestant} ({r.note})" for r in rows if r.value is None):
        lines += ["", f"Left out: {'; '.join(absent)}."]
    if notes:
        lines += ["", "<details><summary>Notes</summary>", ""]
        lines += [f"- {line}: {'; '.join(texts)}" for line, texts in notes.items()]
        lines += ["", "</details>"]
    return "\n".join(lines)


def processor():
    """The name of the processor, where the system tells it."""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def setup():
    """What the figures depend on, {name: text}."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    versions = [f"Python {platform.python_version()}", f"NumPy {np.__version__}"]
    versions.append(f"{blas.get('name', 'BLAS')} {blas.get('version', '')}".strip())
    for name in ("minidl", *PEERS):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    dropped = sorted(name for name in os.environ if name.startswith(DROPPED))
    return {
        "machine": f"{processor()}, {platform.machine()}, {cores()} cores, {sys.platform}",
        "versions": ", ".join(versions),
        "environment": f"{', '.join(SET)} are the number of threads, and processes are confined to "
        "as many cores where the system can; all other variables that begin with "
        f"{', '.join(DROPPED)} are dropped"
        + (f", here {', '.join(dropped)}" if dropped else "")
        + ".",
    }


def page(setup, parts):
    """The whole page; parts is {part: {"when": text, "rows": rows}}."""
    goals = [
        (row, mine)
        for part in parts.values()
        for row in part["rows"]
        if row.value is not None and goal_of(row)
        for mine in part["rows"]
        if (mine.work, mine.threads, mine.contestant) == (row.work, row.threads, "minidl")
    ]
    met = sum(reached(goal_of(row), row, mine) for row, mine in goals)
    lines = [
        "# Benchmarks",
        "",
        "Made by `python -m benchmarks`. Each number is a median: the contestants take turns in "
        "one process, in blocks of calls, and the first turn is thrown away. Beside a peer's "
        "stands how many times minidl is ahead, beside the limit's how many times minidl is "
        "behind, then ✓ or ✗ where there is a goal. The spread is the widest in the line: the "
        "distance between the quartiles, as a share of the median.",
        "",
        *(f"- **{name}**: {text}" for name, text in setup.items()),
        f"- **goals**: {met} of {len(goals)} are reached",
    ]
    for name in PARTS:
        if name in parts:
            lines += ["", f"## {name}", "", PARTS[name], "", table(parts[name]["rows"])]
            lines += ["", f"Measured {parts[name]['when']}."]
        if name == "growth" and name in parts:
            lines += ["", "![Step time by parameters, batch, depth, threads; the roofline]"]
            lines[-1] += "(benchmarks.png)"
    return "\n".join(lines) + "\n"
