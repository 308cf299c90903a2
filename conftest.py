"""What every test and doctest starts from."""

import numpy as np
import pytest

import minidl as dl


@pytest.fixture(autouse=True)
def names_for_doctests(doctest_namespace):
    """The names that docstring examples use."""
    doctest_namespace.update(dl=dl, np=np)
