"""Failed requests for memory in each public call that changes something: whole or untouched."""

import random

from interrupting import CAN_PRELOAD

from tests.campaign import faults

SEEDS, SECONDS = 60, 600
SHARES, MOST = 10, 40  # one seed tries a tenth of all cases, at so many requests each

prepare = faults.allocator


def missing():
    return "" if CAN_PRELOAD else "it needs Linux with glibc and a C compiler, cc"


def trial(seed, say):
    names, rng = faults.share(seed, SHARES), random.Random(seed)
    return faults.trials(["allocations", "shortages"], names, MOST, rng, say)
