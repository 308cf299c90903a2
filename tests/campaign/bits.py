"""The kernels' bits, for each instruction set and number of threads of `benchmarks.bits`."""

import tempfile
from pathlib import Path

from benchmarks import bits
from tests.campaign.harness import Breach

SEEDS, SECONDS = len(bits.BUILDS), 1800  # a seed builds the kernels for one instruction set


def missing():
    try:
        bits.buildable()
    except SystemExit as error:
        return str(error)
    return ""


def trial(seed, say):
    build, tried = list(bits.BUILDS)[seed], 0
    if build not in bits.buildable():
        return {"left out": 1}
    expected = bits.in_child(bits.ROOT, 1)
    with tempfile.TemporaryDirectory() as folder:
        tree = bits.ROOT if build == "as it is" else Path(folder).resolve()
        if tree != bits.ROOT:
            say(f"building {build}")
            bits.copied(tree)
            bits.built(build, tree)
        for threads in bits.THREADS:
            say(f"{build} on {threads} threads")
            found = bits.in_child(tree, threads)
            if differ := [name for name in expected if found.get(name) != expected[name]]:
                raise Breach(f"{build} on {threads} threads has other bits: {', '.join(differ)}")
            tried += len(found)
    return {"hashes compared": tried}
