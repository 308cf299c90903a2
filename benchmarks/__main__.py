"""Measure minidl and its peers, and write a page and a figure: python -m benchmarks [PART ...]

The page (benchmarks.md), the figure (benchmarks.png) and the rows they are made of
(benchmarks.json) go to the folder; parts that were not asked for stay as they were measured before
on the same machine with the same versions. Peers that are not installed are named and left out.
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

LONG = {"threads": 2, "roofline": 2, "overhead": 2, "digits": 3}  # fewer turns, by such factors
ROOT = Path(__file__).parents[1]


def main(words=None):
    """Run the parts, print their tables, and write all that is known."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(report.PARTS)}")
    parser.add_argument(
        "--quick", action="store_true", help="fewer and smaller measurements, most on one thread"
    )
    parser.add_argument("--repeats", type=int, help="turns (default: 10, with --quick 2)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder (default: docs)")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, write again")
    arguments = parser.parse_args(words)
    if unknown := set(arguments.parts) - set(report.PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(report.PARTS)}")
    repeats = arguments.repeats or (2 if arguments.quick else 10)

    setup, store = report.setup(), arguments.out / "benchmarks.json"
    known = json.loads(store.read_text()) if store.exists() else {}
    if arguments.redraw:
        setup = known["setup"]
    parts = known["parts"] if known.get("setup") == setup else {}
    for part in parts.values():
        part["rows"] = [Row(**row) for row in part["rows"]]

    for name in [] if arguments.redraw else arguments.parts or report.PARTS:
        start = datetime.datetime.now()
        load = f", load before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        turns = max(1, repeats // LONG.get(name, 1))
        rows = importlib.import_module(f"benchmarks.{name}").measure(turns, arguments.quick)
        took = (datetime.datetime.now() - start).total_seconds()
        how = f"{turns} turn{'s' * (turns > 1)}{', --quick' * arguments.quick}"
        when = f"{start:%Y-%m-%d %H:%M}, {how}, in {took:.0f} s{load}"
        parts[name] = {"when": when, "rows": rows}
        print(f"\n## {name} ({when})\n\n{report.table(rows)}", flush=True)

    arguments.out.mkdir(parents=True, exist_ok=True)
    known = {"setup": setup, "parts": parts}
    store.write_text(json.dumps(known, default=dataclasses.asdict, ensure_ascii=False, indent=1))
    (arguments.out / "benchmarks.md").write_text(report.page(setup, parts))
    print(f"\n{arguments.out / 'benchmarks.md'} is written")
    if importlib.util.find_spec("matplotlib"):
        figure.draw(
            {name: part["rows"] for name, part in parts.items()}, arguments.out / "benchmarks.png"
        )
    else:
        print("The figure is left out: python -m pip install 'minidl[viz]', then --redraw")


if __name__ == "__main__":
    main()
