"""The reading path of docs/design.md: the files of the core, their order, and their budgets."""

import re

import pytest
from code_lines import CORE, FOLDER, ROOT, ROW, code_lines, code_lines_of_cython, count

# The most lines of code that each file may have. A commit that raises one says why.
BUDGET = {
    "minidl/ops.py": 551,
    "minidl/tensor.py": 641,
    "minidl/nn.py": 366,
    "minidl/losses.py": 229,
    "minidl/optim/optimizer.py": 307,
    "minidl/optim/rules.py": 341,
    "minidl/schedulers.py": 428,
}


def rows_of_the_page():
    """(order, name, link, lines, contents) of each file in the table."""
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## Read it in an afternoon\n(.*?)^## ", text, re.M | re.S)
    return ROW.findall(section)


def test_the_page_lists_the_core_in_the_order_to_read_it():
    rows = rows_of_the_page()
    assert [(int(order), name) for order, name, *_ in rows] == list(enumerate(CORE, 1))
    assert all(f"../{name}" == link and contents for _, name, link, _, contents in rows)


@pytest.mark.parametrize("name", CORE)
def test_the_page_says_how_many_lines_of_code_a_file_has(name):
    lines = {row[1]: int(row[3].replace(",", "")) for row in rows_of_the_page()}
    assert lines[name] == count(FOLDER / name), "run python -m tests.code_lines --write"


@pytest.mark.parametrize("name", CORE)
def test_a_file_of_the_core_stays_within_its_budget(name):
    assert count(FOLDER / name) <= BUDGET[name]


# --- the counter --------------------------------------------------------------------------------

SOURCE = '''"""A module
of two lines."""

# a comment
import math  # counts


class A:
    """A class."""

    x = """a string, no docstring,

    of three lines"""

    def f(self):
        "a docstring"
        return math.pi

    async def g(self): "a docstring on the line of its function"
    def h(self):
        # only
        return (

            1
        )
'''


def test_lines_without_code_are_not_counted():
    code = [
        "import",
        "class",
        *3 * ["x ="],
        "def f",
        "return",
        "def g",
        "def h",
        "return (",
        "1",
        ")",
    ]
    assert code_lines(SOURCE) == len(code)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", 0),
        ('"""A docstring."""\n', 0),
        ("x = 1", 1),
        ("x = 1; y = 2\n", 1),
        ("x = [\n    1,\n    # one\n    2,\n]\n", 4),
        ('x = f"""{1}\n{2}"""\n', 2),
        ('x = 1\n"""no docstring"""\n', 2),
    ],
)
def test_a_line_counts_once_if_it_holds_code(text, lines):
    assert code_lines(text) == lines


def test_lines_of_cython_are_counted_without_docstrings_and_comments():
    text = (
        '"""A module\nof two lines."""\nfrom libc.math cimport sqrt\n\n# a comment\n'
        'cdef int f(double *x, int n) nogil:\n    """A docstring."""\n    return n  # counts\n'
    )
    assert code_lines_of_cython(text) == 3
