"""The Markdown page of the results."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import numpy as np

from benchmarks.goals import base, goal_of, is_upper, ratio, reached
from benchmarks.measure import DROPPED, SET, cores

PEERS = ("torch", "jax", "jaxlib", "optax", "scikit-learn", "mlxtend")
PARTS = {  # the introductions of the sections, in this order
    "steps": "A training step: forward, loss, backward and Adam in float32, from the same weights, "
    "with another batch each time. minidl runs the step op by op; captured is a call of "
    "`dl.capture(step)`, and epoch a step of `step.epoch`, which takes all batches in one call, as "
    "JAX scan does (`jax.lax.scan`). PyTorch has fused Adam, JAX a jitted step that donates its "
    "buffers. The limit is the time of the step's matrix products into preallocated arrays, and of "
    "Adam. Ratios are to the captured step, and that of JAX scan to the epoch.",
    "capture": "A captured step of 2-16-16-1 against the same step op by op: with other layers, as "
    "part of `dl.fit` on 2,048 rows, recording included; and after how many steps recording has "
    "paid for itself.",
    "training": "What a training costs around its steps. A step of 2-16-16-1 by `dl.fit` without "
    "callbacks; the limit is a bare loop over the same shuffled DataLoader: zero_grad, forward, "
    "loss, backward, step; captured: with `dl.capture` of that step, recording included in both. "
    "Files of 70 MB of weights in float32, with their digest; the limit is a plain write and "
    "fsync, or a plain read, of as many bytes.",
    "threads": "The same step of minidl on two threads and on one, in separate processes.",
    "optimizers": "One optimizer step.",
    "roofline": "One optimizer step on 20 million weights. The limit is the time to read and write "
    "each array of the rule once, at the memory bandwidth in the first line.",
    "losses": "Softmax cross-entropy, forward and backward, for examples × classes. Alone: in a "
    "separate process, where the C library may return the memory of large arrays to the system and "
    "request it again in each step.",
    "overhead": "Other costs of using minidl.",
    "growth": "How the time of a step grows. The figure shows the slopes.",
    "sklearn": "A whole fit of `minidl.sklearn.MLPClassifier` or `MLPRegressor` and of "
    "scikit-learn's of that name, with the defaults of both, on float64 data. minidl trains "
    'in float32, which dtype="float32" asks for, and in float64, the default there. The notes have '
    "the scores of held-out samples. Houses is a made-up table like that of California's houses.",
    "distributed": "A step of 784-2048-2048-10 in float32 with Adam, by processes that each take a "
    "part of the batch, and one BLAS thread; against one process, also of as many threads. The "
    "peak of memory of a process that isn't the first, whose optimizer's state is whole or in "
    "parts. A sweep trains small models, divided among the processes (docs/scaling.md).",
    "digits": "Time to 95 % accuracy on 1,000 unseen digits, including imports.",
}
SCALES = {"s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")), "B/s": ((1e9, "GB/s"),), "B": ((1e6, "MB"),)}


def amount(value, unit):
    """Three digits and a common unit: 0.0000312 s is 31.2 µs."""
    scales = SCALES.get(unit, ((1, unit),))
    size, name = next((s for s in scales if abs(value) >= s[0]), scales[-1])
    digits = f"{value / size:.3g}" if abs(value) < 1000 * size else f"{value / size:,.0f}"
    return f"{digits} {name}"


def cell(row, found):
    """The median of a row, its ratio to its base among those found, and the goal."""
    if row is None:
        return ""
    goal, text, mine = goal_of(row), amount(row.value, row.unit), found.get(base(row))
    absolute = mine is row
    if not absolute and mine:
        text += f" = {ratio(row, mine):.2f}×"
    if goal is None or not mine:
        return text
    bound = amount(goal.bound, row.unit) if absolute else f"{goal.bound:g}×"
    mark, relation = "✓" if reached(goal, row, mine) else "✗", "≤" if is_upper(row) else "≥"
    return f"{text} {mark} ({relation} {bound})"


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
        cells = (cell(found.get(who), found) for who in columns)
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
        if (mine.task, mine.threads, mine.contestant) == (row.task, row.threads, base(row))
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
