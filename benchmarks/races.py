"""The time of an optimizer race: python benchmarks/races.py [--steps N] [--turns N]

Runs all rules on each named surface, once with `dl.viz.race`, which steps all points together, and
once with a plain loop of forward, backward and step per rule. Both must give the same bits. The two
take turns, and the median times are reported.
"""

import argparse
import platform
import time

import numpy as np

import minidl as dl

LR = 0.001


def plain(surface, steps):
    """The final points of all rules, computed in one loop per rule."""
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
    """The final points of all rules, computed by a race."""
    race = dl.viz.race(surface, list(dl.optim.RULES), steps=steps, lr=LR)
    return np.array([run.theta[-1, 0] for run in race.runs])


def main():
    """Measure all surfaces and print a table."""
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
            raise AssertionError(f"{surface.name}: the race and the loops end at different points")
        fast, slow = (float(np.median(taken)) for taken in times.values())
        print(f"{surface.name:15}  {fast:.2f} s  {slow:.2f} s       {slow / fast:.1f}")


if __name__ == "__main__":
    main()
