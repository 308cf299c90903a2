"""Try whether minidl holds under faults; the first breach ends the campaign with status 1.

    python -m tests.campaign                              # every part, as long as it takes
    python -m tests.campaign --minutes 5                  # every part, for five minutes in all
    python -m tests.campaign threads resume --minutes 2   # these parts
    python -m tests.campaign threads --seed 7             # one seed

Each seed is tried in a process of its own. A breach is written to a file in the current folder.
"""

import argparse
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.campaign import harness

# Modules of this package; the first line of a docstring says what the part tries.
PARTS = (
    *("sanitizers", "kernels", "calls", "allocations", "interrupts", "writers", "kills"),
    *("resume", "threads", "hostile", "leaks", "subnormals", "bits"),
)


def title(module):
    return (module.__doc__ or "").partition("\n")[0]


def processor_time():
    """The seconds that processes which have ended have computed, on all cores."""
    times = os.times()
    return times.children_user + times.children_system


def main(arguments=None):
    parser = argparse.ArgumentParser(description=title(sys.modules[__name__]))
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--minutes", type=float, help="of all parts together; default: no limit")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args(arguments)
    if options.one:
        harness.one(options.parts[0], options.seed, options.one)
        return
    if unknown := {*options.parts} - {*PARTS}:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C, which ends the seeds, too
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    names = options.parts or PARTS
    end = time.monotonic() + (60 * options.minutes if options.minutes else float("inf"))
    for i, name in enumerate(names):
        part, start, before = harness.module(name), time.monotonic(), processor_time()
        print(f"{name}: {title(part)}", flush=True)
        if lacks := part.missing() if hasattr(part, "missing") else "":
            print(f"    NOT TRIED: {lacks}")
            continue
        until = start + (end - start) / (len(names) - i)
        seeds = range(part.SEEDS) if options.seed is None else [options.seed]
        counts = harness.run(name, seeds, until)
        tried = ", ".join(f"{what}: {count:,}" for what, count in counts.items())
        took = timedelta(seconds=round(time.monotonic() - start))
        used = timedelta(seconds=round(processor_time() - before))
        print(f"    {tried}; no breach, {took}, {used} of processor time", flush=True)


if __name__ == "__main__":
    main()
