"""The campaign's part `writers`: each writer is tried, and a torn file is a breach."""

import re
from pathlib import Path

import pytest

import minidl as dl
from tests.campaign import writers

PACKAGE = Path(dl.__file__).parent
WRITES = re.compile(
    r"""_files\.(replacing|extend)\(  # as all writers should
    | \.write_(text|bytes)\( | \.savefig\( | open\([^)]*["'][rb]*[wax+] | np\.save | tofile\(""",
    re.VERBOSE,
)
PART = """
from tests.campaign import writers
from tests.campaign.writers import *

torn = writers.Writer(".txt", {write}, "none")
writers.WRITERS = {{"to_numpy .py": writers.WRITERS["to_numpy .py"], "torn .txt": torn}}
writers.SHARES, writers.MOST = 2, 3
writers.FAULTS = {faults}
"""
TORN = {
    "not replaced": "lambda path, t, saved: path.write_bytes(50_000 * b'a')",
    "no advice": "lambda path, t, saved: path.with_name('x').write_bytes(b'a') and 1 / 0",
}


@pytest.fixture
def run(run_planted, monkeypatch):
    """A function that runs a seed of the part: 0 with a writer of minidl, 1 with a torn one."""

    def run(seed, write="None", faults=writers.FAULTS):
        if lacks := writers.missing():
            pytest.skip(lacks)
        for name in ("WRITERS", "SHARES", "MOST", "FAULTS"):  # which the part sets
            monkeypatch.setattr(writers, name, getattr(writers, name))
        return run_planted(PART.format(write=write, faults=faults), [seed])

    return run


def test_every_module_that_writes_a_file_is_tried():
    files = [path for path in PACKAGE.rglob("*.py") if path.name != "_files.py"]
    found = {
        ".".join(["minidl", *path.relative_to(PACKAGE).with_suffix("").parts])
        for path in files
        if WRITES.search(path.read_text(encoding="utf-8"))
    }
    assert found == {writer.module for writer in writers.WRITERS.values()}


def test_a_writer_that_replaces_its_file_holds(run):
    counts = run(0)
    assert counts["writes"] == sum(counts[fault] for fault in writers.FAULTS) >= 9


@pytest.mark.parametrize(
    ("write", "fault", "text"),
    [
        ("not replaced", "full", "the error says something else: OSError"),
        ("not replaced", "killed", "neither the old file nor the new one"),
        ("no advice", "full", "ZeroDivisionError"),
    ],
)
def test_a_torn_file_or_an_error_without_advice_is_a_breach(write, fault, text, run):
    with pytest.raises(SystemExit, match=text):
        run(1, TORN[write], (fault,))
