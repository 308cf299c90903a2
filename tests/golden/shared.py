"""Shared by the scripts that write golden files: a problem, library versions, the file format."""

import importlib.metadata
import json
import platform
from pathlib import Path

import numpy as np


def problem(seed, steps, start):
    """A problem for update rules, given by numbers with few digits.

    The gradient is curvature · (θ − target) + noise_t, elementwise. The last entry has curvature 0,
    and its gradient is 0 in every other step.
    """
    noise = np.random.default_rng(seed).normal(size=(steps, 4)).round(3)
    noise[::2, -1] = 0
    return {
        "start": start,
        "target": [0.0, 1.0, -1.0, 0.0],
        "curvature": [0.5, 0.1, 0.02, 0.0],
        "noise": noise.tolist(),
    }


def about(script, seed, **needed):
    """The origin of a file; SystemExit if a library does not have the needed version."""
    versions = {name: importlib.metadata.version(name) for name in ("numpy", *needed)}
    for name, start in needed.items():
        if not f"{versions[name]}.".startswith(f"{start}."):
            raise SystemExit(f"this needs {name} {start}, found {versions[name]}")
    versions = {"python": platform.python_version(), **versions}
    return {"made by": Path(script).name, "versions": versions, "seed": seed}


def write(path, head, **lists):
    """Write the head on one line, then each list with one row per line."""

    def encode(value):
        return json.dumps(value, allow_nan=False)

    rows = (
        f'"{name}": [\n' + ",\n".join(map(encode, rows)) + "\n]" for name, rows in lists.items()
    )
    path.write_text(encode(head)[:-1] + ", " + ", ".join(rows) + "}\n")
    print(path.name, {name: len(rows) for name, rows in lists.items()})
