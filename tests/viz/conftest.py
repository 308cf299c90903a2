"""Figures in tests are drawn without a window, and closed after each test."""

import matplotlib as mpl
import pytest

mpl.use("Agg")
from matplotlib import pyplot


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    pyplot.close("all")
