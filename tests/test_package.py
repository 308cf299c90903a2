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
import sysconfig
import tomllib

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


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this CPython is not free-threaded"
)
def test_importing_minidl_does_not_bring_the_gil_back():
    code = "import sys; before = sys._is_gil_enabled(); import minidl; "
    run = python(code + "assert sys._is_gil_enabled() == before", PACKAGE.parent)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


# --- the public names ---------------------------------------------------------------------------


@pytest.mark.parametrize("module", NAMES)
def test_every_promised_name_is_there_and_documented(module):
    module_object = importlib.import_module(f"minidl.{module}".rstrip("."))
    for name in NAMES[module].split():
        assert (getattr(module_object, name).__doc__ or "").strip(), name


def test_the_package_exports_the_promised_names_and_no_others():
    modules = {name for name, thing in vars(dl).items() if inspect.ismodule(thing)}
    assert (
        set(NAMES[""].split()) - {"distributed", "export", "lessons", "sklearn", "viz"}
        <= set(dl.__all__)
        <= {*NAMES[""].split(), *modules}
    )
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
    ],
)
def test_a_name_of_another_library_is_answered_with_the_name_of_minidl(module, name, meant):
    where = ".".join(filter(None, ("minidl", module)))
    message = f"module {where!r} has no attribute {name!r}. Did you mean {meant!r}?"
    with pytest.raises(AttributeError, match=f"^{re.escape(message)}$"):
        getattr(sys.modules[where], name)


@pytest.mark.parametrize("module", ["", "nn", "losses", "optim", "schedulers", "data", "viz"])
def test_a_name_that_is_like_no_other_gets_no_hint(module):
    where = ".".join(filter(None, ("minidl", module)))
    for name in ("xyzzy", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"^module '{where}' has no attribute '{name}'$"):
            getattr(sys.modules[where], name)


def test_the_version_is_one_of_pep_440():
    parts = dl.__version__.split(".")
    assert len(parts) == 3
    assert all(part.isdigit() for part in parts)


SIGNATURES = {
    "Tensor": "data, requires_grad=False, *, dtype=None, name=None",
    "Tensor.backward": "self, grad=None, *, retain_graph=False",
    "Tensor.sum": "self, axis=None, keepdims=False",
    "Tensor.mean": "self, axis=None, keepdims=False",
    "Tensor.max": "self, axis=None, keepdims=False",
    "Tensor.min": "self, axis=None, keepdims=False",
    "softmax": "x, axis=-1",
    "log_softmax": "x, axis=-1",
    "logsumexp": "x, axis=-1, keepdims=False",
    "gradcheck": "f, *tensors, rtol=1e-6",
    "nn.Dense": ("in_features, out_features, *, bias=True, init='glorot_uniform', rng=None"),
    "nn.LeakyReLU": "slope=0.01",
    "nn.ELU": "alpha=1.0",
    "nn.Softmax": "axis=-1",
    "nn.Dropout": "p=0.5, *, rng=None",
    "nn.Sequential": "*modules",
    "nn.MLP": "sizes, activation='relu', *, rng=None",
    "optim.SGD": "params, lr=1e-2, *, momentum=0.0, dampening=0.0, nesterov=False",
    "optim.Momentum": "params, lr=1e-2, *, beta=0.9",
    "optim.NAG": "params, lr=1e-2, *, beta=0.9",
    "optim.Adagrad": (
        "params, lr=1e-2, *, eps=1e-10, initial_accumulator=0.0, lr_decay=0.0, eps_inside_sqrt=True"
    ),
    "optim.RMSprop": (
        "params, lr=1e-2, *, alpha=0.99, eps=1e-8, momentum=0.0, centered=False, "
        "eps_inside_sqrt=True"
    ),
    "optim.Adam": "params, lr=1e-3, *, betas=(0.9, 0.999), eps=1e-8, amsgrad=False",
    "optim.AdamW": (
        "params, lr=1e-3, *, betas=(0.9, 0.999), eps=1e-8, amsgrad=False, weight_decay=1e-2"
    ),
    "optim.Adadelta": "params, lr=1.0, *, rho=0.9, eps=1e-6",
    "optim.FTRL": (
        "params, lr=0.1, *, beta=1.0, l1=0.0, l2=0.0, lr_power=-0.5, initial_accumulator=0.0, "
        "warm_start=True"
    ),
    "schedulers.Constant": "lr",
    "schedulers.StepDecay": "lr, every, factor",
    "schedulers.ExponentialDecay": "lr, rate, steps=1, staircase=False",
    "schedulers.InverseTimeDecay": "lr, rate, steps=1, staircase=False",
    "schedulers.LinearDecay": "lr, steps, end=0",
    "schedulers.CosineDecay": "lr, steps, end=0",
    "schedulers.WarmUp": "schedule, steps, start=0.0, shape='linear'",
    "schedulers.CoolDown": "schedule, at, steps, end=0.0, shape='linear'",
    "schedulers.warmup_stable_decay": "peak, warmup, stable, cooldown, end=0, shape='linear'",
    "data.DataLoader": (
        "x, y, batch_size=None, *, shuffle=True, drop_last=False, rng=None, sample_weight=None"
    ),
    "fit": (
        "model, loss, optimizer, data, *, epochs=None, steps=None, validation=None, callbacks=(), "
        "metrics=None, accumulate=1, resume=None, history=None, progress=True, capture='auto', "
        "record=None, distributed=None"
    ),
    "distributed.start": "*, shards=8, shard_state=False, timeout=60.0",
    "distributed.map": "function, items",
    "save": (
        "path, model=None, *, optimizer=None, data=None, history=None, average=None, callbacks=(), "
        "metadata=None"
    ),
    "load": "path, model=None, *, optimizer=None, data=None, average=None, callbacks=()",
    "predict": "model, x, *, batch_size=1024",
    "evaluate": "model, data, loss=None, *, metrics=None",
    "training.evaluate": "model, data, loss=None, *, metrics=None",
    "callbacks.EarlyStopping": (
        "monitor='validation', *, mode='min', patience=10, min_delta=0.0, restore_best=True"
    ),
    "callbacks.Checkpoint": "path, *, every=1, best=False, monitor='validation', mode='min'",
    "callbacks.ClipGradNorm": "max_norm",
    "callbacks.Average": "decay",
    "callbacks.CSVLogger": "path",
    "callbacks.RateFinder": "low=1e-6, high=10.0, steps=100",
    "metrics.accuracy": "prediction, target, *, sample_weight=None",
    "metrics.auc": "prediction, target, *, sample_weight=None",
    "data.split": "x, y, fraction=0.2, *, stratify=False, rng=None",
    "data.balanced_weights": "labels",
    "losses.mse": "prediction, target, reduction='mean', *, sample_weight=None",
    "losses.cross_entropy": (
        "logits, target, reduction='mean', *, label_smoothing=0.0, sample_weight=None, "
        "class_weight=None, ignore_index=None"
    ),
    "losses.binary_cross_entropy": (
        "logits, target, reduction='mean', *, sample_weight=None, class_weight=None"
    ),
    "viz.Recorder": "every=1",
    "export.to_onnx": "model, path, example",
    "export.to_c": "model, path, *, name='net'",
    "export.to_numpy": "model, path",
    "lessons.check": "question, answer",
    "capture": "function",
    "capture.epoch": "self, *arrays, batch_size, order=None",
}


def resolve(path):
    thing = dl
    for part in path.split("."):
        thing = getattr(thing, part)
    return thing


def split(signature):
    """(name, default) of what may be given by position, in order; the same by keyword only."""
    kinds = inspect.Parameter
    parameters = [p for p in signature.parameters.values() if p.kind is not kinds.VAR_KEYWORD]
    keyword = {p.name: p.default for p in parameters if p.kind is kinds.KEYWORD_ONLY}
    return [(p.name, p.default) for p in parameters if p.name not in keyword], keyword


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature_is_the_promised_one(name):
    promised, own = (
        split(inspect.signature(f)) for f in (eval(f"lambda {SIGNATURES[name]}: 0"), resolve(name))
    )
    if name.startswith("Tensor."):
        promised[0].pop(0)
        own[0].pop(0)
    assert own[0][: len(promised[0])] == promised[0]
    assert promised[1].items() <= own[1].items()
    if name.startswith("optim."):
        assert own[1].items() >= {"weight_decay": 0.0, "maximize": False, **promised[1]}.items()


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


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


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
