"""Benchmark minidl and other libraries, and write a page: python -m benchmarks [PART ...]

Writes the page (benchmarks.md), the figure (benchmarks.png) and their data (benchmarks.json). Parts
that are not run keep their earlier results, if these come from the same machine and versions.
Libraries that are not installed are skipped, and the page names them.
"""

import argparse
import dataclasses
import datetime
import importlib
import importlib.util
import json
import os
from pathlib import Path

from benchmarks import figure, report
from benchmarks.measure import Row

TURN_DIVISORS = {
    "training": 2,
    "threads": 2,
    "roofline": 2,
    "overhead": 2,
    "digits": 3,
    "sklearn": 2,
    "distributed": 3,
}  # if slow
ROOT = Path(__file__).parents[1]


def main(argv=None):
    """Run the parts, print their tables, and write the files."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"one of {', '.join(report.PARTS)}; default: all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer and smaller measurements, mostly on one thread"
    )
    parser.add_argument(
        "--repeats", type=int, help="number of turns (default: 10, or 2 with --quick)"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "docs", help="output folder (default: docs)"
    )
    parser.add_argument(
        "--redraw", action="store_true", help="write the files again from the stored results"
    )
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.parts) - set(report.PARTS):
        parser.error(f"unknown part: {', '.join(unknown)}; choose from {', '.join(report.PARTS)}")
    repeats = arguments.repeats or (2 if arguments.quick else 10)

    setup, data_file = report.setup(), arguments.out / "benchmarks.json"
    stored = json.loads(data_file.read_text()) if data_file.exists() else {}
    if arguments.redraw:
        setup = stored["setup"]
    parts = stored["parts"] if stored.get("setup") == setup else {}
    for part in parts.values():
        part["rows"] = [Row(**row) for row in part["rows"]]

    for name in [] if arguments.redraw else arguments.parts or report.PARTS:
        start = datetime.datetime.now()
        load = f", load before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        turns = max(1, repeats // TURN_DIVISORS.get(name, 1))
        rows = importlib.import_module(f"benchmarks.{name}").measure(turns, arguments.quick)
        duration = (datetime.datetime.now() - start).total_seconds()
        mode = f"{turns} turn{'s' * (turns > 1)}{', --quick' * arguments.quick}"
        when = f"{start:%Y-%m-%d %H:%M}, {mode}, in {duration:.0f} s{load}"
        parts[name] = {"when": when, "rows": rows}
        print(f"\n## {name} ({when})\n\n{report.table(rows)}", flush=True)

    arguments.out.mkdir(parents=True, exist_ok=True)
    data = {"setup": setup, "parts": parts}
    text = json.dumps(data, default=dataclasses.asdict, ensure_ascii=False, indent=1)
    data_file.write_text(text)
    (arguments.out / "benchmarks.md").write_text(report.page(setup, parts))
    print(f"\nWrote {arguments.out / 'benchmarks.md'}")
    if importlib.util.find_spec("matplotlib"):
        figure.draw(
            {name: part["rows"] for name, part in parts.items()}, arguments.out / "benchmarks.png"
        )
    else:
        print("No figure: it needs Matplotlib. Run pip install 'minidl[viz]', then use --redraw.")


if __name__ == "__main__":
    main()
