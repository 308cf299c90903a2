"""Shared by the tests of the campaign."""

import os
import sys

import pytest

from tests.campaign import harness

if os.name != "posix":  # the parts use its signals, forks and limits
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def run_planted(monkeypatch, tmp_path):
    """A function that writes the text of a part, `planted.part`, and runs some of its seeds."""

    def run(text, seeds, until=float("inf")):
        (tmp_path / "planted").mkdir()
        (tmp_path / "planted" / "part.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("planted", "planted.part"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.chdir(tmp_path)
        return harness.run("planted.part", seeds, until)

    return run
