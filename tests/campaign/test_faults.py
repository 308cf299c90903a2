"""The campaign's parts `allocations` and `interrupts`: they catch a torn state.

`python -m tests.campaign allocations interrupts` tries them in all of minidl.
"""

import io
import subprocess
import sys

import mutating
import numpy as np
import pytest
from PIL import Image

from tests.campaign import allocations, faults

PART = '''
"""A call that does one thing and then the other, and one that does both at once."""

import mutating
from tests.campaign.{name} import *
from tests.campaign.{name} import trial as tried

def torn(x):
    x[0] = list(range(100))  # a call, which allocates
    x[1] = list(range(100))

def at_once(x):
    y = list(range(100))
    x[:] = y, y

CASES = {{name: case for name, case in mutating.CASES.items() if name in {sound}}}
mutating.CASES.clear()
mutating.CASES.update(CASES)
mutating.case("sound", lambda: [0, 0], at_once)
if {planted}:
    mutating.case("torn", lambda: [0, 0], torn)

def trial(seed, say):
    import tests.campaign.{name} as part
    part.SHARES, part.MOST = 1, {most}
    return tried(seed, say)
'''
SOUND = "Optimizer.step Nadam", "no_grad", "Module.load_state_dict", "Tensor.backward fused"


def test_every_public_call_that_changes_something_has_a_case():
    assert [*mutating.without_a_case()] == []


@pytest.fixture
def run(run_planted):
    """A function that runs a part on a few cases and returns the counts."""

    def run(name, planted):
        if name == "allocations" and (lacks := allocations.missing()):
            pytest.skip(lacks)
        most, sound = (1000, ()) if planted else (3, SOUND)
        text = PART.format(name=name, planted=planted, most=most, sound=sound)
        return run_planted(text, [0])

    return run


@pytest.mark.parametrize("name", ["allocations", "interrupts"])
def test_a_call_that_can_leave_half_of_its_work_is_a_breach(name, run):
    with pytest.raises(SystemExit, match=r"torn, \d+: (changed in part|not done)") as caught:
        run(name, planted=True)
    assert f'python -m tests.campaign.faults {name} "torn" ' in str(caught.value)


@pytest.mark.parametrize("name", ["allocations", "interrupts"])
def test_a_fault_in_a_call_of_minidl_leaves_its_state_whole_or_untouched(name, run):
    counts = run(name, planted=False)
    assert counts[name] >= 3 * len(SOUND)


KERNEL = "/venv/minidl/_kernels/atomic.abi3.so(+0x1)[0x1]"


@pytest.mark.parametrize(
    ("frames", "kind", "text"),
    [
        ([KERNEL, "/usr/bin/python3.12(main+0x1)[0x1]"], "breach", "a function of atomic"),
        (["/usr/bin/python3.12(PyList_New+0x1)[0x1]", KERNEL], "limit", "PyList_New of python3"),
        (["/lib/libpython3.12.so.1.0(+0x1)[0x1]", KERNEL], "limit", "a function of libpython3"),
    ],
)
def test_a_crash_is_a_breach_where_the_innermost_function_is_of_a_kernel(
    frames, kind, text, tmp_path
):
    signal = ["/tmp/allocator.so(+0x1)[0x1]", "/lib/libc.so.6(malloc+0x1)[0x1]"]
    path = tmp_path / "crash"
    path.write_text("\n".join(signal + frames))
    assert faults.crash(path) == faults.Result(kind, f"{text} crashed")


def test_a_picture_with_other_pixels_is_told_from_a_torn_one():
    def png(color, size=(20, 30)):
        file = io.BytesIO()
        pixels = np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(pixels ^ np.uint8(color)).save(file, "PNG")
        return file.getvalue()

    whole, other = png(0), png(255)
    state = ("files", (("a.png", whole), ("a.txt", b"text")))
    assert faults.other_pixels(state, ("files", (("a.png", other), ("a.txt", b"text"))))
    for torn in (other[:-100], b"old", png(0, (20, 31)), b""):
        assert not faults.other_pixels(state, ("files", (("a.png", torn), ("a.txt", b"text"))))
    assert not faults.other_pixels(state, ("files", (("a.png", whole), ("a.txt", b"texts"))))


@pytest.mark.parametrize(("status", "kind"), [(127, "limit"), (1, "breach"), (-9, "breach")])
def test_a_process_that_the_loader_ends_is_told_from_others(status, kind, tmp_path):
    ended = "import os, sys; n = int(sys.argv[1]); os.kill(os.getpid(), -n) if n < 0 else exit(n)"
    process = subprocess.run([sys.executable, "-c", ended, str(status)], check=False)
    assert faults.crash(tmp_path / "crash", process.returncode).kind == kind
