"""The Markdown page of the results."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import numpy as np

from benchmarks.goals import goal_of, ratio, reached
from benchmarks.measure import DROPPED, SET, cores

PEERS = ("torch", "jax", "jaxlib", "optax", "scikit-learn", "mlxtend")
PARTS = {  # the introductions of the sections, in this order
    "steps": "A training step: forward, loss, backward and Adam in float32, from the same weights. "
    "The limit is the time of the step's matrix products into preallocated arrays, and of Adam.",
    "threads": "The same step of minidl on two threads and on one, in separate processes.",
    "optimizers": "One optimizer step.",
    "roofline": "One optimizer step on 20 million weights. The limit is the time to read and write "
    "each array of the rule once, at the memory bandwidth in the first line.",
    "losses": "Softmax cross-entropy, forward and backward, for examples × classes. Alone: in a "
    "separate process, where the C library may return the memory of large arrays to the system and "
    "request it again in each step.",
    "overhead": "Other costs of using minidl.",
    "growth": "How the time of a step grows. The figure shows the slopes.",
    "digits": "Time to 95 % accuracy on 1,000 unseen digits, including imports.",
}
SCALES = {"s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")), "B/s": ((1e9, "GB/s"),), "B": ((1e6, "MB"),)}


def amount(value, unit):
    """Three digits and a common unit: 0.0000312 s is 31.2 µs."""
    scales = SCALES.get(unit, ((1, unit),))
    size, name = next((s for s in scales if abs(value) >= s[0]), scales[-1])
    digits = f"{value / size:.3g}" if abs(value) < 1000 * size else f"{value / size:,.0f}"
    return f"{digits} {name}"


def cell(row, mine):
    """The median, its ratio to minidl's, and whether the goal is reached."""
    if row is None:
        return ""
    goal, text = goal_of(row), amount(row.value, row.unit)
    if row.contestant != "minidl" and mine:
        text += f" = {ratio(row, mine):.2f}×"
    if goal is None or not mine:
        return text
    bound = amount(goal.bound, row.unit) if goal.contestant == "minidl" else f"{goal.bound:g}×"
    relation = "≤" if goal.contestant in ("minidl", "limit") else "≥"
    return f"{text} {'✓' if reached(goal, row, mine) else '✗'} ({relation} {bound})"


def table(rows):
    """A table with one row per task and number of threads, and one column per contestant."""
    present = [row for row in rows if row.value is not None]
    columns = list(dict.fromkeys(row.contestant for row in present))
    lines = []
    if present:
        lines.append(f"| | threads |{''.join(f' {who} |' for who in columns)} spread |")
        lines.append(f"|---|---:|{'---|' * len(columns)}---:|")
    for task, threads in dict.fromkeys((row.task, row.threads) for row in present):
        found = {r.contestant: r for r in present if (r.task, r.threads) == (task, threads)}
        cells = (cell(found.get(who), found.get("minidl")) for who in columns)
        spread = max(row.spread / abs(row.value) for row in found.values())
        lines.append(f"| {task} | {threads} | {' | '.join(cells)} | {spread:.0%} |")
    notes = {}
    for row in present:
        if row.note:
            line = f"{row.task}, {row.threads} thread{'s' * (row.threads > 1)}"
            notes.setdefault(line, []).append(f"{row.contestant} {row.note}")
    if skipped := dict.fromkeys(f"{r.contestant} ({r.note})" for r in rows if r.value is None):
        lines += ["", f"Skipped: {'; '.join(skipped)}."]
    if notes:
        lines += ["", "<details><summary>Notes</summary>", ""]
        lines += [f"- {line}: {'; '.join(texts)}" for line, texts in notes.items()]
        lines += ["", "</details>"]
    return "\n".join(lines)


def processor():
    """The name of the processor, as far as the system reports it."""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def setup():
    """The machine, versions and environment of the measurement, {name: text}."""
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
        "environment": f"{', '.join(SET)} are set to the number of threads, and processes are "
        "confined to as many cores if the system supports it. All other variables that start with "
        f"{', '.join(DROPPED)} are removed"
        + (f" (here {', '.join(dropped)})" if dropped else "")
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
        if (mine.task, mine.threads, mine.contestant) == (row.task, row.threads, "minidl")
    ]
    met = sum(reached(goal_of(row), row, mine) for row, mine in goals)
    lines = [
        "# Benchmarks",
        "",
        "`python -m benchmarks` generates this page. Each result is a median. The libraries take "
        "turns in one process, in blocks of calls, and the first turn is discarded. The ratio "
        "after a library's result is that result divided by minidl's; the ratio after the limit "
        "is minidl's result divided by the limit. ✓ or ✗ shows whether the goal in parentheses is "
        "reached. The spread is the largest interquartile range in the row, relative to the "
        "median.",
        "",
        *(f"- **{name}**: {text}" for name, text in setup.items()),
        f"- **goals**: {met} of {len(goals)} reached",
    ]
    for name in PARTS:
        if name in parts:
            lines += ["", f"## {name}", "", PARTS[name], "", table(parts[name]["rows"])]
            lines += ["", f"Measured on {parts[name]['when']}."]
        if name == "growth" and name in parts:
            lines += [
                "",
                "![Step time against parameters, batch size, depth and threads; the roofline]",
            ]
            lines[-1] += "(benchmarks.png)"
    return "\n".join(lines) + "\n"
