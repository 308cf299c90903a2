"""The time of a step whose state decays towards 0, by `benchmarks.subnormals`, for each rule."""

import minidl as dl
from benchmarks import subnormals
from benchmarks.measure import in_child
from tests.campaign.harness import Breach

CASES = [(rule, dtype) for rule in dl.optim.rules.RULES for dtype in subnormals.DTYPES]
SEEDS, SECONDS = len(CASES), 300
REPEATS, ATTEMPTS = 5, 5  # another process, or where the arrays lie, may disturb a measurement


def trial(seed, say):
    rule, dtype = CASES[seed]
    say(f"{rule} in {dtype}")
    ratios = []
    while len(ratios) < ATTEMPTS and (not ratios or ratios[-1] > subnormals.LIMIT):
        size = subnormals.WEIGHTS + 1_000 * len(ratios)
        case = rule, dtype, REPEATS, subnormals.STEPS, size
        ordinary, zero = in_child(1, subnormals.compare, *case)
        ratios.append(zero / ordinary)
    if ratios[-1] > subnormals.LIMIT:
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        raise Breach(
            f"{rule} in {dtype}: a step with a gradient of 0 takes {shown} times as long as an "
            f"ordinary one; allowed: {subnormals.LIMIT}"
        )
    return {"ratios": 1}
