"""minidl.sklearn as a package: its names, and what it says without scikit-learn."""

import subprocess
import sys

import pytest

import minidl as dl


def test_without_scikit_learn_the_first_use_of_the_estimators_says_what_to_install():
    code = (
        "import sys, minidl\n"
        "assert 'sklearn' in dir(minidl) and not {'sklearn', 'minidl.sklearn'} & {*sys.modules}\n"
        "sys.modules['sklearn'] = None\n"
        "try: minidl.sklearn\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    expected = "minidl's estimators need scikit-learn: pip install 'minidl[sklearn]'\n"
    assert (run.stdout, run.stderr) == (expected, "")


def test_the_estimators_are_an_attribute_of_minidl():
    pytest.importorskip("sklearn.base")
    assert dl.sklearn.MLPClassifier is sys.modules["minidl.sklearn"].MLPClassifier
