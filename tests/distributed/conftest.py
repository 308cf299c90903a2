"""The jobs of several processes whose reports many tests read."""

import json

import pytest
from distributed_jobs import MISSING, RANKS, launch


@pytest.fixture(scope="session")
def jobs(tmp_path_factory):
    """A folder in which a job of two ranks was killed, and that job."""
    if MISSING:
        pytest.skip("mpi4py is missing: pip install 'minidl[distributed]'")
    folder = tmp_path_factory.mktemp("jobs")
    return folder, launch(2, folder, "kill")


@pytest.fixture(scope="session")
def reports(jobs):
    """{number of ranks: {check: [what each rank has]}}"""
    found = {}
    for ranks in RANKS:
        job = launch(ranks, jobs[0])
        assert job.returncode == 0, job.stderr
        found[ranks] = json.loads((jobs[0] / f"{ranks}.json").read_text())
    return found
