"""minidl.sklearn as a package: its names, and what it says without scikit-learn."""

import subprocess
import sys

import pytest


def test_without_scikit_learn_importing_the_estimators_says_what_to_install():
    code = (
        "import sys; sys.modules['sklearn'] = None\nimport minidl\n"
        "try: minidl.sklearn\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    expected = "minidl's estimators need scikit-learn: pip install 'minidl[sklearn]'\n"
    assert (run.stdout, run.stderr) == (expected, "")


def test_the_estimators_are_imported_on_first_use():
    pytest.importorskip("sklearn.base")
    code = (
        "import sys, minidl as dl; assert 'sklearn' in dir(dl) and 'sklearn' not in sys.modules; "
        "assert dl.sklearn.MLPClassifier is sys.modules['minidl.sklearn'].MLPClassifier"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
