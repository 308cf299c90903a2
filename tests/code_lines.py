"""Counts lines of code: no blank lines, comments or docstrings.

python -m tests.code_lines      # a table by file, and totals of the core and the package
"""

import ast
import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = [  # what a newcomer reads in an afternoon, in this order
    "minidl/ops.py",
    "minidl/tensor.py",
    "minidl/nn.py",
    "minidl/losses.py",
    "minidl/optim/optimizer.py",
    "minidl/optim/rules.py",
    "minidl/schedulers.py",
]
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(path: Path) -> int:
    """The number of lines of a .py or .pyx file that hold code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":  # Cython: its docstrings stand on lines of their own
        text = re.sub(r'^ *r?"""(.|\n)*?""" *$', "", text, flags=re.MULTILINE)
        return sum(1 for line in text.splitlines() if line.strip() and line.strip()[0] != "#")
    lines = {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in LAYOUT
        for number in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - docstring_lines(ast.parse(text)))


def docstring_lines(tree: ast.Module) -> set[int]:
    """The numbers of the lines that docstrings take."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {
        number
        for node in ast.walk(tree)
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None
        for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }


def main() -> None:
    """Print the table."""
    files = [*(ROOT / "minidl").rglob("*.py"), *(ROOT / "minidl").rglob("*.pyx")]
    counts = {path.relative_to(ROOT).as_posix(): code_lines(path) for path in sorted(files)}
    for name, count in counts.items():
        print(f"{count:6,}  {name}")
    print(f"{sum(counts[name] for name in CORE):6,}  the core: {', '.join(CORE)}")
    print(f"{sum(counts.values()):6,}  in all")


if __name__ == "__main__":
    main()
