"""The structure of the package: imports point one way, and each source file has its test file."""

import ast
import graphlib
import re
import sys

import import_graph
import pytest
from import_graph import AT_IMPORT, FOR_TYPES, LAYERS, ON_CALL, PACKAGE, ROOT, Import

SOURCES = import_graph.sources()
GRAPH = import_graph.import_graph()
INSIDE = [i for i in GRAPH if i.target in SOURCES]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
DRAW = "python -m tests.import_graph --svg docs/import_graph.svg"


# --- reading imports ----------------------------------------------------------------------------


def test_every_import_statement_is_read_with_its_kind(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        """
import os, numpy as np, minidl
import matplotlib.pyplot as plt
from minidl import nn, _checks as checks
from minidl.optim import RULES
if TYPE_CHECKING:
    from minidl.data import DataLoader
else:
    from minidl import losses
try:
    import jinja2
except ImportError:
    pass
class A:
    from minidl.optim import rules
    def f(self):
        if typing.TYPE_CHECKING:
            from minidl import training
        from minidl.viz.plots import save
        return lambda: __import__("tqdm")
"""
    )
    parts = ("nn", "_checks", "optim", "optim.rules", "data", "losses", "training", "viz.plots")
    modules = {"minidl", *(f"minidl.{part}" for part in parts)}
    found = list(import_graph.imports_of("minidl.module", path, modules))
    assert found == [
        Import("minidl.module", target, kind)
        for target, kind in [
            *((name, AT_IMPORT) for name in ("numpy", "minidl", "matplotlib")),
            *((f"minidl.{name}", AT_IMPORT) for name in ("nn", "_checks", "optim")),
            ("minidl.data", FOR_TYPES),
            ("minidl.losses", AT_IMPORT),
            ("jinja2", AT_IMPORT),
            ("minidl.optim.rules", AT_IMPORT),
            ("minidl.training", FOR_TYPES),
            ("minidl.viz.plots", ON_CALL),
        ]
    ]


def test_a_relative_import_is_refused(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("from . import nn\n")
    with pytest.raises(ValueError, match="line 1: write the import with its full name"):
        list(import_graph.imports_of("minidl.module", path, {"minidl"}))


def test_imports_known_by_hand_are_in_the_graph():
    assert Import("minidl.tensor", "minidl.ops", AT_IMPORT) in GRAPH
    assert Import("minidl.optim.rules", "minidl.optim.optimizer", AT_IMPORT) in GRAPH
    assert Import("minidl._kernels.loss", "minidl._kernels.system", AT_IMPORT) in GRAPH
    assert Import("minidl._progress", "tqdm", ON_CALL) in GRAPH
    assert Import("minidl", "minidl.viz", FOR_TYPES) in GRAPH


# --- one way ------------------------------------------------------------------------------------


def test_imports_of_any_kind_form_no_circle():
    graph = {name: {i.target for i in INSIDE if i.source == name} for name in SOURCES}
    for source, target in import_graph.UPWARD:
        graph[source].discard(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' ← '.join(error.args[1])}")


def test_no_import_climbs():
    assert [i for i in GRAPH if import_graph.climbs(i)] == []


@pytest.mark.parametrize(
    ("source", "target", "up"),
    [
        ("minidl.ops", "minidl._kernels.loss", False),
        ("minidl.ops", "minidl.tensor", True),
        ("minidl.ops", "numpy", False),
        ("minidl.optim.rules", "minidl.schedulers", False),
        ("minidl.schedulers", "minidl.optim.rules", True),
        ("minidl.optim.rules", "minidl.optim", False),
        ("minidl.viz._race.surfaces", "minidl", True),
        ("minidl.training", "minidl.viz.film", True),
        ("minidl.history", "minidl.viz.plots", False),
    ],
)
def test_an_import_of_a_higher_layer_climbs(source, target, up):
    assert import_graph.climbs(Import(source, target, ON_CALL)) == up


def test_the_layers_hold_every_part_of_the_package_once():
    parts = [part for layer in LAYERS.values() for part in layer]
    assert sorted(parts) == sorted({import_graph.part_of(name) for name in SOURCES} | {"__init__"})


def test_each_declared_import_of_a_higher_layer_is_there_and_inside_a_function():
    for source, target in import_graph.UPWARD:
        assert {i.kind for i in GRAPH if i[:2] == (source, target)} == {ON_CALL}, (source, target)


# --- optional dependencies ----------------------------------------------------------------------

THIRD_PARTY = {i.target for i in GRAPH} - SOURCES.keys() - {"numpy"}


def needed_by(name):
    """The optional dependencies of a module and of what it imports at once."""
    reached = import_graph.reached(name, GRAPH)
    return (reached | {i.target for i in GRAPH if i.source in reached}) & THIRD_PARTY


def declared(module):
    """The optional dependencies that a module may import at once."""
    return {
        dependency
        for name, dependencies in import_graph.OPTIONAL.items()
        if module == name or module.startswith(f"{name}.")
        for dependency in dependencies
    }


def test_importing_minidl_reaches_no_optional_dependency():
    assert import_graph.reached("minidl", GRAPH) & THIRD_PARTY == set()
    assert {"numpy", "minidl.tensor", "minidl._kernels.layer"} <= import_graph.reached(
        "minidl", GRAPH
    )


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_at_once_only_the_optional_dependencies_that_it_is_declared_for(module):
    at_once = {i.target for i in GRAPH if i.source == module and i.kind == AT_IMPORT}
    assert at_once & THIRD_PARTY <= declared(module)


@pytest.mark.parametrize("module", import_graph.OPTIONAL)
def test_each_declaration_of_an_optional_dependency_is_used(module):
    at_once = [i for i in GRAPH if i.kind == AT_IMPORT and f"{i.source}.".startswith(f"{module}.")]
    assert import_graph.OPTIONAL[module] <= {i.target for i in at_once}


@pytest.mark.parametrize("module", SOURCES)
def test_a_function_imports_only_viz_and_what_needs_an_optional_dependency(module):
    inside = {i.target for i in GRAPH if i.source == module and i.kind == ON_CALL}
    assert {name for name in inside if not needed_by(name)} <= {"minidl.viz"}


# --- files and names ----------------------------------------------------------------------------


def has_code(path):
    """Whether a file does more than import names, list them and document itself."""
    return any(
        not (
            isinstance(node, ast.Import | ast.ImportFrom)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        )
        for node in ast.parse(path.read_text(encoding="utf-8")).body
    )


def test_file_of(path):
    """Where the tests of a source file lie; those of __init__.py are named after the folder."""
    folder = ROOT / "tests" / path.parent.relative_to(PACKAGE)
    name = path.stem
    if name == "__init__":
        name = "package" if path.parent == PACKAGE else path.parent.name
    return folder / f"test_{name.strip('_')}.py"


test_file_of.__test__ = False


@pytest.mark.parametrize("module", SOURCES)
def test_each_source_file_with_code_has_its_test_file_in_the_same_place(module):
    path = SOURCES[module]
    if path.name != "__init__.py" or has_code(path):
        assert test_file_of(path).relative_to(ROOT).as_posix() in {
            test.relative_to(ROOT).as_posix() for test in TESTS
        }


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_test_file_imports_another(path):
    text = path.read_text(encoding="utf-8")
    imported = re.findall(r"^\s*(?:from|import) +(?:[\w.]*\.)?(test_\w+)", text, re.MULTILINE)
    assert imported == []


@pytest.mark.parametrize("module", SOURCES)
def test_no_public_function_or_class_has_the_name_of_a_module_beside_it(module):
    path = SOURCES[module]
    if path.suffix == ".pyx":
        return
    beside = {p.stem for p in path.parent.glob("*.py*")}
    beside |= {p.name for p in path.parent.iterdir() if p.is_dir()}
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and path.name == "__init__.py":
            names |= {
                alias.asname or alias.name
                for alias in node.names
                if f"{node.module}.{alias.name}" not in SOURCES
            }
    assert {name for name in names & beside if not name.startswith("_")} == set()


# --- the picture --------------------------------------------------------------------------------


def test_the_picture_in_the_documentation_is_up_to_date():
    picture = ROOT / "docs/import_graph.svg"
    assert picture.read_text(encoding="utf-8") == import_graph.svg(), f"run {DRAW}"


def test_the_picture_shows_every_part_but_the_helpers_one_by_one():
    parts = {part for layer in LAYERS.values() for part in layer} - set(import_graph.HELPERS)
    assert import_graph.SUBTITLES.keys() == parts | {"helpers"}
    shown = re.findall(r'data-node="(\w+)"', import_graph.svg())
    assert sorted(shown) == sorted(import_graph.SUBTITLES)


def test_an_arrow_that_others_imply_is_not_drawn():
    arrows = import_graph.arrows()
    assert "tensor" in arrows["nn"]
    assert "ops" in arrows["tensor"]
    assert "ops" not in arrows["losses"]
    assert "helpers" not in arrows["nn"]


def test_the_command_writes_the_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["import_graph", "--svg", str(tmp_path / "graph.svg")])
    import_graph.main()
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == import_graph.svg()
