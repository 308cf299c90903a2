"""What every test and doctest starts from: a printed seed, and the same state each time."""

import gc

import numpy as np
import pytest
from hypothesis import settings

import minidl as dl

settings.register_profile("minidl", derandomize=True, deadline=None, database=None, max_examples=40)
settings.load_profile("minidl")

pytest_plugins = ["browsing", "checkers"]


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=0, help="the seed of the rng fixture")


def pytest_report_header(config):
    return f"seed: {config.getoption('seed')} (another one: --seed N); hypothesis is derandomized"


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # thousands of tests need not be looked through for garbage again and again


@pytest.fixture
def rng(request):
    """A random generator that starts anew in each test."""
    return np.random.default_rng(request.config.getoption("seed"))


@pytest.fixture(autouse=True)
def untouched_settings():
    """Fail a test that leaves another default dtype or number of threads behind."""
    before = dl.get_default_dtype(), dl.get_num_threads()
    yield
    assert (dl.get_default_dtype(), dl.get_num_threads()) == before


@pytest.fixture(autouse=True)
def names_for_doctests(doctest_namespace):
    """The names that docstring examples use."""
    doctest_namespace.update(dl=dl, np=np)
