"""The package: what it exports, and `figures`, which is imported on first use."""

import subprocess
import sys

import pytest

from minidl import viz


def python(code):
    """The output of code in a fresh interpreter."""
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_importing_it_needs_numpy_alone():
    names = python(
        "import sys; before = set(sys.modules); import minidl.viz; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    imported = {name for name in names if not name.startswith(("_cython", "cython"))}
    assert imported - sys.stdlib_module_names == {"minidl", "numpy"}


def test_figures_are_imported_on_first_use():
    code = (
        "import sys, minidl as dl; print('figures' in dir(dl.viz), 'matplotlib' in sys.modules); "
        "dl.viz.figures.FIGURES; print('matplotlib' in sys.modules)"
    )
    assert python(code) == ["True", "False", "True"]


def test_figures_without_matplotlib_name_the_extra():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import minidl as dl\n"
        "try: dl.viz.figures\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    assert python(code)[-3:] == ["pip", "install", "'minidl[viz]'"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'minidl\.viz' has no attribute 'figure'"):
        viz.figure  # noqa: B018


def test_all_exports_are_there_and_listed():
    assert set(viz.__all__) == {"ARTICLE", "SURFACES", "Race", "Run", "Surface", "race"}
    viz.figures  # noqa: B018
    assert {*viz.__all__, "figures"} <= set(dir(viz))
    assert len(set(dir(viz))) == len(dir(viz))
    assert all(hasattr(viz, name) for name in viz.__all__)
