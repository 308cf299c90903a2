"""The package as a whole: importing it, the names and signatures it offers, types, links."""

import ast
import importlib
import inspect
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib

import public_names
import pytest
from cases import NAMES, PACKAGE, ROOT
from mutants import MUTANTS

import minidl as dl
from minidl import _kernels
from minidl._kernels.optim import Rule


def python(code, folder):
    """Run code in a fresh interpreter, in a folder."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


# --- import minidl ------------------------------------------------------------------------------


def test_importing_minidl_needs_numpy_alone():
    code = (
        "import sys; before = set(sys.modules); import minidl; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    run = python(code, PACKAGE.parent)
    assert run.returncode == 0, run.stderr
    imported = {name for name in run.stdout.split() if not name.startswith(("_cython", "cython"))}
    assert imported - sys.stdlib_module_names == {"minidl", "numpy"}


def test_importing_minidl_prints_nothing_and_leaves_random_numbers_and_warnings_alone():
    code = (
        "import pickle, warnings, numpy as np; "
        "state = lambda: (pickle.dumps(np.random.get_state()), np.geterr(), warnings.filters[:]); "
        "before = state(); import minidl; assert state() == before"
    )
    run = python(code, PACKAGE.parent)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_importing_minidl_does_not_bring_the_gil_back():
    code = "import sys; enabled = getattr(sys, '_is_gil_enabled', lambda: True); "
    code += "before = enabled(); import minidl; assert enabled() == before"
    run = python(code, PACKAGE.parent)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


# --- the public names ---------------------------------------------------------------------------


@pytest.mark.parametrize("module", NAMES)
def test_every_promised_name_is_there_and_documented(module):
    module_object = importlib.import_module(f"minidl.{module}".rstrip("."))
    for name in NAMES[module]:
        assert (getattr(module_object, name).__doc__ or "").strip(), name


def test_names_and_signatures_are_those_of_the_stored_listing():
    """After an intended change: python -m tests.public_names, and a line in CHANGELOG.md."""
    assert public_names.listing() == public_names.LISTING.read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["", "optim", "export", "sklearn", "viz", "viz.figures"])
def test_the_reference_has_the_names_that_a_module_exports_and_no_others(module):
    module_object = importlib.import_module(f"minidl.{module}".rstrip("."))
    exported = {
        name for name in module_object.__all__ if not inspect.ismodule(getattr(module_object, name))
    }
    assert exported == {*NAMES[module]}


def test_every_method_of_a_public_class_has_a_docstring():
    """Sphinx leaves out of the reference what has none."""
    without = [
        f"{module}.{name}.{member}"
        for module, name in public_names.listed()
        if inspect.isclass(thing := getattr(importlib.import_module(module), name))
        for member, value in public_names.own_members(thing)
        if (inspect.isroutine(value) or isinstance(value, property))
        and not inspect.getdoc(getattr(thing, member))
    ]
    assert without == []


def test_the_package_exports_the_public_names_and_modules_alone():
    modules = {name for name, thing in vars(dl).items() if inspect.ismodule(thing)}
    assert {*NAMES[""]} <= {*dl.__all__} <= {*NAMES[""], *modules}
    assert dl.__all__ == sorted(dl.__all__)


@pytest.mark.parametrize("name", ["viz", "distributed", "export", "lessons", "sklearn"])
def test_a_module_that_is_seldom_needed_is_listed_and_imported_on_first_use(name):
    code = (
        f"import sys, minidl as dl; assert '{name}' in dir(dl); "
        f"assert 'minidl.{name}' not in sys.modules; "
        f"assert dl.{name} is sys.modules['minidl.{name}']"
    )
    run = python(code, PACKAGE.parent)
    assert (run.returncode, run.stderr) == (0, "")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'minidl' has no attribute 'vis'$"):
        dl.vis  # noqa: B018
    with pytest.raises(AttributeError, match=r"^module 'minidl' has no attribute 'Variable'$"):
        dl.Variable  # noqa: B018 (nn imports a function whose name is similar)


@pytest.mark.parametrize(
    ("module", "name", "meant"),
    [
        ("", "Linear", "nn.Dense"),
        ("", "Adam", "optim.Adam"),
        ("", "MSELoss", "losses.MSE"),
        ("", "tanhh", "tanh"),
        ("", "DataLoader", "data.DataLoader"),
        ("", "clamp", "clip"),
        ("", "cat", "concatenate"),
        ("", "race", "viz.race"),
        ("nn", "MSELoss", "minidl.losses.MSE"),
        ("nn", "Flatten", "minidl.flatten"),
        ("optim", "StepLR", "minidl.schedulers.StepDecay"),
        ("data", "Dataloader", "DataLoader"),
        ("viz", "figure", "figures"),
        ("nn", "Linear", "Dense"),
        ("nn", "Swish", "SiLU"),
        ("losses", "CrossEntropyLoss", "CrossEntropy"),
        ("losses", "mean_squared_error", "mse"),
        ("losses", "BCEWithLogitsLoss", "BinaryCrossEntropy"),
        ("optim", "AdaDelta", "Adadelta"),
        ("optim", "RMSProp", "RMSprop"),
        ("optim", "Ftrl", "FTRL"),
        ("optim", "sgd", "SGD"),
        ("schedulers", "StepLR", "StepDecay"),
        ("schedulers", "CosineAnnealingWarmRestarts", "CosineRestarts"),
        ("schedulers", "ReduceLROnPlateau", "ReduceOnPlateau"),
        ("", "Parameter", "Tensor"),
        ("nn", "Parameter", "minidl.Tensor"),
        ("data", "TensorDataset", "DataLoader"),
        ("data", "random_split", "split"),
        ("data", "train_test_split", "split"),
        ("data", "StandardScaler", "Standardize"),
        ("callbacks", "ModelCheckpoint", "Checkpoint"),
        ("callbacks", "BackupAndRestore", "Checkpoint"),
        ("callbacks", "ReduceLROnPlateau", "minidl.schedulers.ReduceOnPlateau"),
        ("callbacks", "LearningRateFinder", "RateFinder"),
        ("callbacks", "TensorBoard", "CSVLogger"),
        ("metrics", "roc_auc_score", "auc"),
        ("optim", "clip_grad_norm_", "clip_grad_norm"),
        ("metrics", "confusionMatrix", "confusion_matrix"),
    ],
)
def test_a_name_of_another_library_is_answered_with_the_name_of_minidl(module, name, meant):
    where = ".".join(filter(None, ("minidl", module)))
    message = f"module {where!r} has no attribute {name!r}. Did you mean {meant!r}?"
    with pytest.raises(AttributeError, match=f"^{re.escape(message)}$"):
        getattr(importlib.import_module(where), name)


@pytest.mark.parametrize(
    "module", ["", "nn", "losses", "optim", "schedulers", "data", "callbacks", "viz"]
)
def test_a_name_that_is_like_no_other_gets_no_hint(module):
    where = ".".join(filter(None, ("minidl", module)))
    for name in ("xyzzy", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"^module '{where}' has no attribute '{name}'$"):
            getattr(importlib.import_module(where), name)


def test_the_changelog_and_the_citation_have_the_version():
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## (\S+)", changes, re.M)[0] in (dl.__version__, "Unreleased")
    assert f"\nversion: {dl.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_version_is_one_of_pep_440():
    parts = dl.__version__.split(".")
    assert len(parts) == 3
    assert all(part.isdigit() for part in parts)


def test_a_tensor_has_every_promised_attribute():
    x = dl.Tensor([[1.0, 2.0]], requires_grad=True)
    names = """
        data grad requires_grad shape ndim size dtype name T backward zero_grad detach numpy item
        sum mean max min reshape transpose exp log sqrt abs tanh sigmoid relu"""
    assert [name for name in names.split() if not hasattr(x, name)] == []


# --- types --------------------------------------------------------------------------------------


def stub(name):
    path = PACKAGE / "_kernels" / f"{name}.pyi"
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("name", _kernels.__all__)
def test_the_stub_of_a_kernel_names_the_same_functions_and_parameters(name):
    kernels = importlib.import_module(f"minidl._kernels.{name}")
    assert not kernels.__file__.endswith(".py")
    stubs = {
        node.name: [argument.arg for argument in node.args.args]
        for node in stub(name).body
        if isinstance(node, ast.FunctionDef)
    }
    own = {
        key: list(inspect.signature(value).parameters)
        for key, value in vars(kernels).items()
        if callable(value) and not isinstance(value, type | Rule) and not key.startswith("_")
    }
    assert stubs == own
    assert all((vars(kernels)[key].__doc__ or "").strip() for key in own)


@pytest.mark.parametrize("name", _kernels.__all__)
def test_the_stub_of_a_kernel_declares_the_types_of_its_constants(name):
    kernels = importlib.import_module(f"minidl._kernels.{name}")
    constants = {
        node.target.id: node.annotation.id
        for node in stub(name).body
        if isinstance(node, ast.AnnAssign)
    }
    own = {
        key: type(value).__name__
        for key, value in vars(kernels).items()
        if not key.startswith("_") and isinstance(value, str | int | Rule)
    }
    assert constants == own


# --- the build ----------------------------------------------------------------------------------


def test_every_import_of_tests_and_examples_is_installed_by_the_extra_of_the_tests():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared, names = {"minidl", "numpy"}, ["test"]
    for name in names:
        for requirement in extras["optional-dependencies"][name]:
            package, nested = re.match(r"([\w-]+)(?:\[(.*)\])?", requirement).groups()
            declared.add(package)
            names += nested.split(",") if nested else []
    ours = {path.stem for path in [*ROOT.glob("*"), *ROOT.glob("tests/**/*")]}
    modules = {"scikit-learn": "sklearn", "pillow": "PIL"}
    known = {modules.get(name, name) for name in declared} | ours | sys.stdlib_module_names
    for path in [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("examples/**/*.py")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if found := re.match(r"(?:from|import) (\w+)", line):
                assert found[1] in known, path


NEEDS_SETUP = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="minidl is installed, and its source isn't here"
)


@pytest.mark.parametrize(
    ("compiler", "missing"),
    [
        ("exit 127", "there is no C compiler"),
        (
            'for x; do case $x in *.c) ! grep -q Python.h "$x" || exit 1;; esac; done',
            "there is no Py",
        ),
    ],
)
@NEEDS_SETUP
@pytest.mark.skipif(sys.platform == "win32", reason="the compiler is replaced by a shell script")
def test_without_a_compiler_or_header_the_build_says_in_three_lines_what_to_install(
    compiler, missing, tmp_path
):
    script = tmp_path / "cc"
    script.write_text(f"#!/bin/sh\n{compiler}\n")
    script.chmod(0o755)
    build = ["build_ext", "--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, "setup.py", "-q", *build],
        cwd=ROOT,
        env={**os.environ, "CC": str(script)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    first, *lines = run.stderr.strip().splitlines()
    assert first.startswith(f"minidl: {missing}")
    assert len(lines) == 2
    for system, tool in (
        ("Debian, Ubuntu", "apt install gcc python3-dev"),
        ("Fedora", "dnf install gcc python3-devel"),
        ("macOS", "xcode-select --install"),
        ("Windows", "Visual Studio Build Tools"),
    ):
        assert f"{system}: {tool}" in run.stderr
    assert not (tmp_path / "lib").exists()


@NEEDS_SETUP
@pytest.mark.parametrize("newer", ["setup.py", "minidl/_kernels/optim.c"])
def test_the_build_writes_all_c_files_again_if_setup_py_has_changed(newer, tmp_path, monkeypatch):
    for name in ("setup.py", "pyproject.toml", "README.md", "minidl/config.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "minidl/_kernels").mkdir()
    for name in ("atomic", "optim"):
        (tmp_path / f"minidl/_kernels/{name}.c").touch()
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (1, 1))
    os.utime(tmp_path / newer, (2, 2))
    options = {}
    monkeypatch.setattr("Cython.Build.cythonize", lambda modules, **given: options.update(given))
    monkeypatch.setattr("setuptools.setup", lambda **given: None)
    runpy.run_path(str(tmp_path / "setup.py"))
    assert options["force"] is (True if newer == "setup.py" else None)


# --- the sources --------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["*.py", "*.pyx", "*.pyi"])
def test_no_line_is_longer_than_100_characters(pattern):
    files = sorted(PACKAGE.rglob(pattern))
    assert files
    long = [
        f"{path.name}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 100
    ]
    assert long == []


def test_the_readme_and_its_page_on_installation_say_the_same_of_each_system():
    tables = []
    for name in ("README.md", "docs/install.md"):
        text = (ROOT / name).read_text("utf-8")
        tables += re.findall(r"^\| system \| what the build needs .*?\n\n", text, re.M | re.S)
    assert tables[0].count("apt install") == 1
    assert tables == 2 * tables[:1]


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def file_of(page, link):
    """The file that a page links to; those of minidl lie where it is installed."""
    path = (page.parent / link).resolve().relative_to(ROOT.resolve())
    return (PACKAGE.parent if path.parts[:1] == ("minidl",) else ROOT) / path


def anchors(page):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_links_to_is_there(page):
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        target, _, anchor = link.partition("#")
        file = file_of(page, target) if target else page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.scope}: {m.error}")
def test_a_mutant_fits_the_code_and_changes_it(mutant):
    text = (PACKAGE.parent / mutant.file).read_text(encoding="utf-8")
    applied = mutant.applied_to(text)
    assert applied != text
    if mutant.file.endswith(".py"):
        ast.parse(applied)
