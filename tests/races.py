"""Races for many test files, and functions that run one."""

import functools
import inspect

import numpy as np

from minidl import optim
from minidl.viz import race

RULES = {
    name: rule
    for name, rule in vars(optim).items()
    if inspect.isclass(rule) and issubclass(rule, optim.Optimizer) and rule is not optim.Optimizer
}
STEPS = 120
GLOBAL, LOCAL = "global minimum", "local minimum"
SADDLE, MAXIMUM = "stuck at a saddle", "stuck at a maximum"
STILL, MOVING = "standing still", "still moving"
OSCILLATING, DIVERGED = "oscillating", "diverged"


@functools.cache
def race_of_all_rules(surface):
    """The race of all rules on a surface."""
    return race(surface, list(RULES), steps=STEPS, tune=False)


def single_run(*args, **options):
    """The run of a race of one optimizer, by default with the rule's own rate."""
    (run,) = race(*args, **{"tune": False, **options}).runs
    return run


def verdict(*args, **options):
    """The verdict on a race of one optimizer from one start."""
    (found,) = single_run(*args, **options).verdicts
    return found


def path_follower(path):
    """A rule that is at path(k) after step k, whatever the gradient."""

    class PathFollower(optim.SGD):
        def step(self):
            (p,) = self.groups[0]["params"]
            self.k = getattr(self, "k", 0) + 1
            p.data = np.array(path(self.k), np.float64)[:, None]

    return PathFollower
