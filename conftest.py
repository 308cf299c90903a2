"""Fixtures and settings shared by all tests and doctests."""

import gc
import os
import signal

import numpy as np
import pytest
from hypothesis import settings

import minidl as dl
from minidl._kernels import blas

settings.register_profile("minidl", derandomize=True, deadline=None, database=None, max_examples=30)
settings.load_profile("minidl")

pytest_plugins = ["browsing", "checkers", "interrupting", "notebooks"]


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=0, help="seed of the rng fixture")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run the whole suite on all cores, unless -n says otherwise; single files run in one process.

    Without pytest-xdist it runs in one process as well.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)  # tests send it to programs
    if hasattr(config, "workerinput"):  # this is one of those processes
        return
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    chosen = config.getoption("numprocesses", 1) is not None or config.getoption("usepdb")
    if whole and not chosen and not config.getoption("collectonly"):
        config.option.numprocesses, config.option.dist = os.cpu_count() or 1, "worksteal"


def pytest_report_header(config):
    return f"seed: {config.getoption('seed')} (change it with --seed N); hypothesis is derandomized"


def pytest_collection_finish():
    freeze()


def freeze():
    """Keep the collector from scanning thousands of collected tests and their reports each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def frozen_reports():
    """Freeze the reports of a finished module, too."""
    yield
    freeze()


@pytest.fixture
def rng(request):
    """A random generator, seeded again for each test."""
    return np.random.default_rng(request.config.getoption("seed"))


@pytest.fixture(autouse=True)
def untouched_settings():
    """Fail a test that changes the default dtype, the number of threads or the BLAS."""
    before = dl.get_default_dtype(), dl.get_num_threads(), blas.name
    yield
    assert (dl.get_default_dtype(), dl.get_num_threads(), blas.name) == before


@pytest.fixture(autouse=True)
def names_for_doctests(doctest_namespace):
    """The names that doctests use without importing them."""
    doctest_namespace.update(dl=dl, np=np)
