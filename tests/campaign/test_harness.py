"""The campaign's harness: what becomes of a breach, a crash, a hang and a shortage of time."""

import os
import select
import signal
import subprocess
import sys

import pytest

from tests.campaign import __main__, harness

PART = '''
"""A part for the tests of the harness."""

import os, signal, sys, time
from tests.campaign.harness import Breach

SEEDS, SECONDS = 4, {seconds}

def trial(seed, say):
    say("seed " + str(seed))
    if seed == 2:
        {fault}
    return {{"calls": 10}}
'''


MAIN = """
from tests.campaign import __main__

__main__.PARTS = ["planted.part"]
__main__.main([])
"""


def plant(folder, fault, seconds=60):
    """Write a part whose third seed has a fault."""
    (folder / "planted").mkdir()
    (folder / "planted" / "part.py").write_text(PART.format(fault=fault, seconds=seconds))


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A function that runs a part whose third seed has a fault, and returns the counts."""

    def run(fault, seconds=60, until=float("inf")):
        plant(tmp_path, fault, seconds)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("planted", "planted.part"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.chdir(tmp_path)
        return harness.run("planted.part", range(4), until)

    return run


def test_the_counts_of_all_seeds_are_added(run):
    assert run("pass") == {"seeds": 4, "calls": 40}


def test_when_time_is_up_no_new_seed_is_begun(run):
    assert run("pass", until=0)["seeds"] <= harness.PROCESSES


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("raise Breach('3 is not 4', 'print(3)')", "3 is not 4"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ended with SIGSEGV"),
        ("sys.exit(3)", "ended with status 3"),
        ("1 / 0", "ZeroDivisionError"),
        ("time.sleep(100)", "no end after 5 s"),
    ],
)
def test_a_breach_crash_error_or_hang_is_reported_with_what_was_tried_last(
    run, fault, text, tmp_path
):
    with pytest.raises(SystemExit) as caught:
        run(fault, seconds=5)
    report = str(caught.value)
    assert text in report
    assert "seed 2" in report
    assert "python -m tests.campaign planted.part --seed 2" in report
    assert (tmp_path / "breach-planted.part-2.txt").read_text() in report
    assert ("print(3)" in report) == ("Breach(" in fault)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_campaign_ends_all_processes_of_its_seeds(number, tmp_path):
    pipe = tmp_path / "pipe"  # at its end when all that write to it have ended
    os.mkfifo(pipe)
    write = f"file = open({str(pipe)!r}, 'w', buffering=1); os.fork(); print('begun', file=file)"
    plant(tmp_path, f"{write}; time.sleep(100)")
    path = os.pathsep.join([str(harness.ROOT), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": path}
    campaign = subprocess.Popen([sys.executable, "-c", MAIN], env=environment, cwd=tmp_path)
    with open(pipe) as reader:
        assert [reader.readline() for _ in range(2)] == 2 * ["begun\n"]
        campaign.send_signal(number)
        assert campaign.wait(60) != 0
        assert select.select([reader], [], [], 20)[0], "a process has not ended"
        assert reader.read() == ""


@pytest.mark.parametrize("name", __main__.PARTS)
def test_a_part_has_what_the_harness_asks_for(name):
    part = harness.module(name)
    assert part.__doc__
    assert part.SEEDS > 0
    assert part.SECONDS > 0
    assert callable(part.trial)
    assert isinstance(getattr(part, "command", []), list)
