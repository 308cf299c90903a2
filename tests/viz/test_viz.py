"""The package: what it exports, and `figures`, which is imported on first use."""

import functools
import os
import resource
import subprocess
import sys

import matplotlib as mpl
import pytest
from matplotlib import animation

import minidl as dl
from minidl import _files, viz
from minidl.viz import film, plots


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
    races = {"SURFACES", "Race", "Run", "Surface", "race"}
    assert set(viz.__all__) == races | {
        *("NetworkRace", "Slice", "network_race", "Recorder", "playground")
    }
    viz.figures  # noqa: B018
    assert {*viz.__all__, "figures"} <= set(dir(viz))
    assert len(set(dir(viz))) == len(dir(viz))
    assert all(hasattr(viz, name) for name in viz.__all__)


# --- everything that writes a file --------------------------------------------------------------


def picture():
    figure = plots.new_figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    return figure


def movie():
    return animation.FuncAnimation(picture(), lambda k: [], frames=2, init_func=list)


@functools.cache
def walk():
    w = dl.Tensor([1.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * w).sum().backward()
    return walk


@functools.cache
def bowl():
    return viz.race("bowl", ["SGD"], steps=9)


WRITERS = {
    **{f"walk{kind}": lambda path: walk().save(path) for kind in (".html", ".md", ".txt", ".svg")},
    **{f"figure{kind}": lambda path: plots.save(picture(), path) for kind in _files.STILLS},
    "film.gif": lambda path: film.save(movie(), path),
    "race.html": lambda path: bowl().save(path),
    "race.png": lambda path: bowl().plot(path),
    "race.gif": lambda path: bowl().animate(path, frames=2),
    "moving.gif": lambda path: list(viz.figures.write(path.parent, "moving")),
    "still.png": lambda path: list(viz.figures.write(path.parent, "still")),
}


@pytest.fixture
def gallery(monkeypatch):
    """A gallery of two quick pictures."""
    for name in list(viz.figures.FIGURES):
        monkeypatch.delitem(viz.figures.FIGURES, name)
    monkeypatch.setitem(viz.figures.FIGURES, "still.png", picture)
    monkeypatch.setitem(viz.figures.FIGURES, "moving.gif", movie)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("gallery")
def test_after_an_error_every_file_is_as_it_was_and_nothing_is_left_over(
    name, tmp_path, monkeypatch
):
    path = tmp_path / name
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))  # bytes in a file
    try:
        with pytest.raises(OSError, match=r"can't be written \(File too large\)"):
            WRITERS[name](path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            WRITERS[name](path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "old")]
    WRITERS[name](path)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert path.stat().st_size > 200


def test_ffmpeg_writes_beside_the_place_of_a_film(tmp_path, monkeypatch):
    program, path = tmp_path / "ffmpeg", tmp_path / "race.mp4"
    program.write_text(
        "#!/bin/sh\n"
        'for name; do :; done\n[ "$name" = -version ] && exit\n'  # the last argument
        'cat > "$name"\nexit ${FAILS-0}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setitem(mpl.rcParams, "animation.ffmpeg_path", str(program))
    path.write_text("old")
    monkeypatch.setenv("FAILS", "1")
    with pytest.raises(OSError, match="ffmpeg has failed: status 1"):
        bowl().animate(path, frames=2)
    assert path.read_text() == "old"
    monkeypatch.delenv("FAILS")
    bowl().animate(path, frames=2)
    assert path.stat().st_size > 1000
    assert {p.name for p in tmp_path.iterdir()} == {"ffmpeg", "race.mp4"}
