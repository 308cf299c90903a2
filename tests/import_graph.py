"""The import graph of minidl, read from its source.

    python -m tests.import_graph --svg docs/import_graph.svg     # draw it

Every import statement counts: at the top of a module, inside a function, and for type checkers.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import minidl
from minidl import _drawing

ROOT = Path(__file__).parents[1]
PACKAGE = Path(minidl.__file__).parent

# The layers of the package from bottom to top. A part of the package (a module or a folder of
# modules beside __init__.py) may import parts of lower layers, and parts to its left in its own.
LAYERS: dict[str, tuple[str, ...]] = {
    "compiled loops": ("_kernels",),
    "helpers": (
        *("_format", "_checks", "_files", "_observer", "_page"),
        *(
            "_drawing",
            "_graph_picture",
            "_pictures",
            "_blas",
            "config",
            "_archive",
            "_settings",
            "_operands",
            "_interrupts",
            "_summary",
        ),
    ),
    "functions and their derivatives": ("ops",),
    "tensors": ("tensor",),
    "networks and optimizers": ("nn", "_loss_weights", "losses", "schedulers", "optim"),
    "training": (
        *("data", "metrics", "history", "_expressions", "checkpoint", "callbacks"),
        *("_progress", "evaluation", "_capture", "_fit", "distributed", "training", "testing"),
    ),
    "other programs and libraries": ("export", "sklearn"),
    "explanations": ("walkthrough", "lessons"),
    "pictures": ("viz",),
    "entry points": ("__init__", "__main__"),
}
HELPERS = LAYERS["helpers"]

# The only imports of higher layers. Each is inside a method that users expect on the object, and
# runs when it is called; so it can't break importing minidl, and counts in no circle.
UPWARD = {
    (
        "minidl._capture.recording",
        "minidl.walkthrough.plan_page",
    ): "Recording.save writes the page of a plan",
    ("minidl.callbacks", "minidl.viz.plots"): "RateFinder.plot draws losses over rates",
    ("minidl.schedulers", "minidl.viz.plots"): "Schedule.plot draws the schedule",
    ("minidl.history", "minidl.viz.plots"): "History.plot draws the history",
}

# Modules that exist for optional dependencies, which they import at once.
OPTIONAL = {
    "minidl.sklearn": {"sklearn", "scipy"},
    "minidl.viz.plots": {"matplotlib"},
    "minidl.viz.film": {"matplotlib", "PIL"},
    "minidl.viz.figures": {"matplotlib", "contourpy"},
    "minidl.viz.widget": {"anywidget", "traitlets"},
}

AT_IMPORT, ON_CALL, FOR_TYPES = "at import", "on call", "for types"


class Import(NamedTuple):
    """A module imports another one, of minidl or a third party's."""

    source: str
    target: str
    kind: str  # AT_IMPORT, ON_CALL or FOR_TYPES


def module_name(path: Path) -> str:
    """The dotted name of a source file: "minidl.optim" for minidl/optim/__init__.py."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    """The source files of the package by module name; .pyx files are compiled modules."""
    paths = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")]
    return {module_name(path): path for path in sorted(paths)}


def part_of(module: str) -> str:
    """The part of the package that a module belongs to: "optim" for "minidl.optim.rules"."""
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(module: str, path: Path, modules: set[str]) -> Iterator[Import]:
    """The imports of one module, in order; those of the standard library are left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        pairs = re.findall(r"^from (minidl[\w.]*) c?import (\w*)", text, re.MULTILINE)
        names = (f"{a}.{b}" if f"{a}.{b}" in modules else a for a, b in pairs)
        statements = [(name, AT_IMPORT) for name in names if name in modules]
    else:
        statements = list(_statements(ast.parse(text), AT_IMPORT, modules))
    for target, kind in statements:
        if target.partition(".")[0] not in sys.stdlib_module_names:
            yield Import(module, target, kind)


def _statements(node: ast.AST, kind: str, modules: set[str]) -> Iterator[tuple[str, str]]:
    """(what is imported, kind) of each import below a node of the syntax tree."""
    if isinstance(node, ast.Import):
        yield from ((_known(alias.name, modules), kind) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            raise ValueError(f"line {node.lineno}: write the import with its full name")
        names = (f"{node.module}.{alias.name}" for alias in node.names)
        yield from dict.fromkeys((_known(name, modules), kind) for name in names)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.body:
            yield from _statements(child, FOR_TYPES, modules)
        for child in node.orelse:
            yield from _statements(child, kind, modules)
    else:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            kind = ON_CALL
        for child in ast.iter_child_nodes(node):
            yield from _statements(child, kind, modules)


def _known(name: str, modules: set[str]) -> str:
    """The module that a name belongs to: a module of minidl, or a third party's package."""
    if name.partition(".")[0] != "minidl":
        return name.partition(".")[0]
    while name not in modules:
        name = name.rpartition(".")[0]
    return name


def import_graph() -> list[Import]:
    """All imports of the package, but for the standard library's."""
    files = sources()
    modules = set(files)
    return [i for name, path in files.items() for i in imports_of(name, path, modules)]


def reached(start: str, graph: list[Import]) -> set[str]:
    """Everything that importing a module imports at once, packages above included."""
    at_once: dict[str, set[str]] = {}
    for i in graph:
        if i.kind == AT_IMPORT:
            at_once.setdefault(i.source, set()).add(i.target)
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += at_once.get(name, ())
            waiting += [name.rpartition(".")[0]] if "." in name else []
    return found


def climbs(i: Import) -> bool:
    """Whether an import is of a part that the layers don't allow, UPWARD aside."""
    if i.target.partition(".")[0] != "minidl" or (i.source, i.target) in UPWARD:
        return False
    places = [part for parts in LAYERS.values() for part in parts]
    source, target = part_of(i.source), part_of(i.target)
    return source != target and places.index(target) > places.index(source)


# --- the picture ---------------------------------------------------------------------------------

SUBTITLES = {
    "__init__": "import minidl as dl",
    "__main__": "python -m minidl",
    "viz": "races, plots, films, figures",
    "walkthrough": "every number of a step",
    "export": "models as ONNX, C, NumPy",
    "lessons": "the questions of the course",
    "sklearn": "estimators for scikit-learn",
    "training": "fit",
    "distributed": "several processes",
    "_fit": "steps and epochs of fit",
    "evaluation": "evaluate, predict",
    "_progress": "bar and log lines",
    "callbacks": "what hooks into fit",
    "checkpoint": "save, load",
    "_capture": "steps recorded, replayed",
    "testing": "gradcheck",
    "history": "the record of a training",
    "metrics": "accuracy, r2, …",
    "data": "DataLoader",
    "_expressions": "schedules as text",
    "optim": "update rules",
    "schedulers": "learning rates",
    "losses": "mse, cross-entropy, …",
    "_loss_weights": "of samples and classes",
    "nn": "modules, layers",
    "tensor": "Tensor, graph, backward",
    "ops": "each function with its derivative",
    "helpers": "checks, files, formats, …",
    "_kernels": "typed loops in Cython",
}


def arrows() -> dict[str, set[str]]:
    """Part → parts it imports, with all helpers as one, and without what other arrows imply."""
    below: dict[str, set[str]] = {part: set() for part in SUBTITLES}
    for i in import_graph():
        if i.target.partition(".")[0] == "minidl" and i[:2] not in UPWARD and not climbs(i):
            ends = part_of(i.source), part_of(i.target)
            a, b = ("helpers" if part in HELPERS else part for part in ends)
            if a != b:
                below[a].add(b)

    def under(part: str) -> set[str]:
        return below[part].union(*map(under, below[part]))

    return {
        part: direct - set().union(*(under(other) for other in direct))
        for part, direct in below.items()
    }


def svg() -> str:
    """The picture: the parts of the package from top to bottom, an arrow for "imports"."""
    core = {"ops", "tensor", "nn", "losses", "optim", "schedulers"}
    boxes = [
        _drawing.Box(part, "op" if part in core else "input", part, SUBTITLES[part])
        for part in SUBTITLES
    ]
    lines = [_drawing.Arrow(a, b, "") for a, direct in arrows().items() for b in sorted(direct)]
    return _drawing.draw(boxes, lines, "The import graph of minidl")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Draw the import graph of minidl.")
    parser.add_argument("--svg", type=Path, required=True, help="the file to write")
    parser.parse_args().svg.write_text(svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
