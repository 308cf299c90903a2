"""How long a race takes: python benchmarks/races.py [--steps N] [--turns N]

All rules of minidl on each surface with a name, as `dl.viz.race` runs them, all points at once, and
as a plain loop does, each rule by itself: forward, backward, step. Both take the same steps, which
is checked bit for bit. They take turns, and the median counts.
"""

import argparse
import platform
import time

import numpy as np

import minidl as dl

LR = 0.001


def plain(surface, steps):
    """The last points of all rules, each in a loop of its own."""
    ends = []
    for rule in dl.optim.RULES.values():
        x, y = (dl.Tensor(np.array(v), requires_grad=True) for v in surface.start)
        optimizer = rule([x, y], lr=LR)
        for _ in range(steps):
            optimizer.zero_grad()
            surface.function(x, y).backward()
            optimizer.step()
        ends.append((x.item(), y.item()))
    return np.array(ends)


def raced(surface, steps):
    """The same by a race, which keeps every step and judges."""
    race = dl.viz.race(surface, list(dl.optim.RULES), steps=steps, lr=LR)
    return np.array([run.theta[-1, 0] for run in race.runs])


def main():
    """Time all surfaces and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--turns", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    count = len(dl.optim.RULES)
    print(f"{count} rules, {options.steps:,} steps each, the median of {options.turns} turns;")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    print("surface          race    plain loops  ratio")
    for surface in dl.viz.SURFACES.values():
        times, ends = {raced: [], plain: []}, {}
        for _ in range(options.turns):
            for contestant, taken in times.items():
                start = time.perf_counter()
                ends[contestant] = contestant(surface, options.steps)
                taken.append(time.perf_counter() - start)
        if not np.array_equal(*ends.values(), equal_nan=True):
            raise AssertionError(f"{surface.name}: the race and the loops end in different places")
        quick, slow = (float(np.median(taken)) for taken in times.values())
        print(f"{surface.name:15}  {quick:.2f} s  {slow:.2f} s       {slow / quick:.1f}")


if __name__ == "__main__":
    main()
