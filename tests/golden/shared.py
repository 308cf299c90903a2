"""What the scripts that make golden files share: a problem, the versions, the form of the file."""

import importlib.metadata
import json
import platform
from pathlib import Path

import numpy as np


def problem(seed, steps, start):
    """A problem for the rules, in numbers with few digits.

    The gradient is curvature · (θ − target) + noise_t, entry by entry; the last entry has no
    curvature and every other gradient of it is 0.
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
    """Where a file comes from; SystemExit unless each library's version begins as needed."""
    versions = {name: importlib.metadata.version(name) for name in ("numpy", *needed)}
    for name, start in needed.items():
        if not f"{versions[name]}.".startswith(f"{start}."):
            raise SystemExit(f"this needs {name} {start}, found {versions[name]}")
    versions = {"python": platform.python_version(), **versions}
    return {"made by": Path(script).name, "versions": versions, "seed": seed}


def write(path, head, **lists):
    """Write the head in one line, then each list with a line for each of its rows."""

    def line(thing):
        return json.dumps(thing, allow_nan=False)

    rows = (f'"{name}": [\n' + ",\n".join(map(line, rows)) + "\n]" for name, rows in lists.items())
    path.write_text(line(head)[:-1] + ", " + ", ".join(rows) + "}\n")
    print(path.name, {name: len(rows) for name, rows in lists.items()})
