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
    say("trying " + str(seed))
    if seed == 2:
        {fault}
    return {{"calls": 10}}
'''


MAIN = """
from tests.campaign import __main__

__main__.PARTS = ["planted.part"]
__main__.main([])
"""


@pytest.fixture
def run(run_planted):
    """A function that runs a part whose third seed has a fault, and returns the counts."""

    def run(fault, seeds=range(4), seconds=60, **options):
        return run_planted(PART.format(fault=fault, seconds=seconds), seeds, **options)

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
        ("os._exit(0)", "ended with status 0"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_breach_crash_or_error_is_reported(run, fault, text, tmp_path):
    with pytest.raises(SystemExit) as caught:
        run(fault)
    report = str(caught.value)
    assert text in report
    assert ("last: trying 2" in report) == ("Breach(" not in fault)
    assert "python -m tests.campaign planted.part --seed 2" in report
    assert (tmp_path / "breach-planted.part-2.txt").read_text() in report
    assert ("print(3)" in report) == ("Breach(" in fault)


def test_a_seed_that_hangs_is_reported(run):
    with pytest.raises(SystemExit, match=r"seed 2: no end after 1 s"):
        run("time.sleep(100)", seeds=[2], seconds=1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_campaign_ends_all_processes_of_its_seeds(number, tmp_path):
    pipe = tmp_path / "pipe"  # at its end when all that write to it have ended
    os.mkfifo(pipe)
    write = f"file = open({str(pipe)!r}, 'w', buffering=1); os.fork(); print('begun', file=file)"
    (tmp_path / "planted").mkdir()
    text = PART.format(fault=f"{write}; time.sleep(100)", seconds=60)
    (tmp_path / "planted" / "part.py").write_text(text)
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
