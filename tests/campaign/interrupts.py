"""Interrupts in each public call that changes something, at any moment: whole or untouched."""

import random
import signal

from tests.campaign import faults

SEEDS, SECONDS = 60, 600
SHARES, MOST = 10, 50  # one seed tries a tenth of all cases, at so many moments each
FAULTS = ["interrupts", "signals"] if hasattr(signal, "setitimer") else ["interrupts"]


def trial(seed, say):
    return faults.trials(FAULTS, faults.share(seed, SHARES), MOST, random.Random(seed), say)
