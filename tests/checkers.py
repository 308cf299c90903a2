"""The type checkers, for tests/test_typing.py, which is left out where one is not installed."""

import importlib.util

CHECKERS = ("mypy", "pyright")
MISSING = [name for name in CHECKERS if not importlib.util.find_spec(name)]


def pytest_ignore_collect(collection_path):
    return True if MISSING and collection_path.match("test_typing.py") else None


def pytest_report_header():
    left_out = f"no {' and no '.join(MISSING)}, so tests/test_typing.py is left out"
    return f"type checkers: {left_out if MISSING else ', '.join(CHECKERS)}"
