"""The kernels' bits, for each instruction set and number of threads of `benchmarks.bits`."""

import tempfile
from pathlib import Path

from benchmarks import bits
from tests.campaign.harness import Breach

AS_IT_IS, *OTHERS = bits.BUILDS
# The builds and the numbers of threads of each seed; those of one build share it.
RUNS = [(AS_IT_IS, [n]) for n in bits.THREADS[1:]] + [(build, bits.THREADS) for build in OTHERS]
SEEDS, SECONDS = len(RUNS), 1800


def missing():
    try:
        bits.buildable()
    except SystemExit as error:
        return str(error)
    return ""


def trial(seed, say):
    (build, numbers), tried = RUNS[seed], 0
    if build not in bits.buildable():
        return {"left out": 1}
    expected = bits.in_child(bits.ROOT, 1)
    with tempfile.TemporaryDirectory() as folder:
        tree = bits.ROOT if build == AS_IT_IS else Path(folder).resolve()
        if tree != bits.ROOT:
            say(f"building {build}")
            bits.copied(tree)
            bits.built(build, tree)
        for threads in numbers:
            say(f"{build} on {threads} threads")
            found = bits.in_child(tree, threads)
            if differ := [name for name in expected if found.get(name) != expected[name]]:
                raise Breach(f"{build} on {threads} threads has other bits: {', '.join(differ)}")
            tried += len(found)
    return {"hashes compared": tried}
