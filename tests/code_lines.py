"""Counts lines of code, without blank lines, comments and docstrings.

python -m tests.code_lines              # a table by file, and totals of the core and the package
python -m tests.code_lines --write      # write the counts into the table of docs/design.md
"""

import argparse
import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import minidl

ROOT = Path(__file__).parents[1]
FOLDER = Path(minidl.__file__).parents[1]  # contains minidl/
CORE = [  # what a newcomer reads in an afternoon, in this order
    *("minidl/ops.py", "minidl/tensor.py", "minidl/nn.py", "minidl/losses.py"),
    *("minidl/optim/optimizer.py", "minidl/optim/rules.py", "minidl/schedulers.py"),
]
LAYOUT = {  # the kinds of tokens that aren't code
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT),
    *(tokenize.DEDENT, tokenize.ENDMARKER),
}
# | order | [file](link) | lines | contents |
ROW = re.compile(r"^\| (\d+) \| \[(\S+)\]\((\S+)\) \| ([\d,]+) \| (.+) \|$", re.MULTILINE)


def code_lines(text: str) -> int:
    """The number of lines of a Python source that hold code."""
    docstrings = set(docstring_starts(ast.parse(text)))
    return len(
        {
            number
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type not in LAYOUT and token.start not in docstrings
            for number in range(token.start[0], token.end[0] + 1)
        }
    )


def docstring_starts(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """(line, column) of each docstring."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            yield node.body[0].lineno, node.body[0].col_offset


def code_lines_of_cython(text: str) -> int:
    """The same for Cython, which Python can't parse; strings on lines of their own don't count."""
    text = re.sub(r'^ *r?"""(.|\n)*?""" *$', "", text, flags=re.MULTILINE)
    return sum(1 for line in text.splitlines() if line.strip() and line.strip()[0] != "#")


def count(path: Path) -> int:
    """The lines of code of a file."""
    text = path.read_text(encoding="utf-8")
    return code_lines(text) if path.suffix == ".py" else code_lines_of_cython(text)


def main() -> None:
    """Print the table, or update that of docs/design.md."""
    parser = argparse.ArgumentParser(description="Count lines of code.")
    parser.add_argument("--write", action="store_true", help="update the table in docs/design.md")
    if parser.parse_args().write:
        page = ROOT / "docs/design.md"
        text = ROW.sub(
            lambda row: row[0].replace(f"| {row[4]} |", f"| {count(FOLDER / row[2])} |"),
            page.read_text(encoding="utf-8"),
        )
        page.write_text(text, encoding="utf-8")
        return
    files = [*(FOLDER / "minidl").rglob("*.py"), *(FOLDER / "minidl").rglob("*.pyx")]
    counts = {path.relative_to(FOLDER).as_posix(): count(path) for path in sorted(files)}
    for name, lines in counts.items():
        print(f"{lines:6,}  {name}")
    print(f"{sum(counts[name] for name in CORE):6,}  the core: {', '.join(CORE)}")
    print(f"{sum(counts.values()):6,}  in all")


if __name__ == "__main__":
    main()
