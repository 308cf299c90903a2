"""A fixture that runs the cells of a notebook in a real kernel; starting one takes a second."""

import importlib.util
import os

import pytest
from cases import ROOT

MISSING = [name for name in ("nbclient", "ipykernel") if not importlib.util.find_spec(name)]


def pytest_ignore_collect(collection_path):
    return True if MISSING and collection_path.match("test_*_in_a_notebook.py") else None


def pytest_report_header():
    missing = f"no {' and '.join(MISSING)}, so test_*_in_a_notebook.py are skipped: install them"
    return f"notebook: {missing if MISSING else 'ipykernel'}"


@pytest.fixture(scope="session")
def run_notebook(tmp_path_factory):
    """A function from the sources of cells to the outputs of each, {kind of data: data}."""
    import nbclient
    import nbformat

    folder = tmp_path_factory.mktemp("notebook")
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    environment |= {"PYTHONPATH": str(ROOT), **{place: str(folder) for place in places}}

    def run(*sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells)
        with pytest.MonkeyPatch.context() as patch:
            for place in places:
                patch.setenv(place, str(folder))
            client = nbclient.NotebookClient(
                notebook, timeout=120, resources={"metadata": {"path": str(folder)}}
            )
            client.execute(env=environment)
        return [[output.get("data", dict(output)) for output in cell.outputs] for cell in cells]

    return run
