"""Files: suffixes, folders, and errors that say how to fix them."""

import errno
import os
import stat
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import interrupting
import pytest

from minidl import _files


@pytest.mark.parametrize("name", ["race.png", "RACE.PNG", "a.b/race.Svg", Path("x/race.svg")])
def test_a_name_with_one_of_the_suffixes_is_a_path(name):
    assert _files.ending("plot", name, (".png", ".svg")) == Path(name)


@pytest.mark.parametrize("name", ["race", "race.gif", "race.png.zip", "png", ".png", ""])
def test_another_suffix_is_refused_and_the_right_ones_are_listed(name):
    with pytest.raises(ValueError, match=r"^plot: .* must end in \.png, \.svg, .*; got ") as error:
        _files.ending("plot", name, (".png", ".svg"))
    assert str(error.value).endswith(repr(str(Path(name))))


def test_a_folder_is_created_with_its_parents_and_may_exist_already(tmp_path):
    below = tmp_path / "a" / "b"
    assert _files.folder("figures", str(below)) == below
    (below / "kept").write_text("here")
    assert _files.folder("figures", below) == below
    assert (below / "kept").read_text() == "here"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_where_a_file_should_be_is_refused(place, tmp_path):
    (tmp_path / "file").write_text("here")
    path = tmp_path / place
    with pytest.raises((FileExistsError, NotADirectoryError)) as error:
        _files.folder("figures", path)
    message = str(error.value)
    assert message.startswith(f"figures: {str(path)!r} can't be created (")
    assert message.endswith(
        "give the name of a folder in a folder that exists and that you may write to"
    )
    assert (tmp_path / "file").read_text() == "here"


def half_written(temporary, error):
    temporary.write_text("ne")
    raise error


def write(path, text="new"):
    with _files.replacing("plot", path) as temporary:
        temporary.write_text(text)


@pytest.mark.parametrize(
    ("place", "error", "reason"),
    [
        ("", IsADirectoryError, "it is a folder"),
        ("no/race.png", FileNotFoundError, "there is no folder '"),
        ("file/race.png", FileNotFoundError, "there is no folder '"),
        ("dangling.png", FileNotFoundError, "there is no folder '"),
        ("loop.png", OSError, "its link leads to itself"),
    ],
)
@pytest.mark.parametrize("try_to_write", [_files.check, _files.replacing])
def test_a_path_that_cannot_be_written_raises_before_the_work(
    place, error, reason, try_to_write, tmp_path
):
    (tmp_path / "file").write_text("here")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "dangling.png").symlink_to("no/race.png")
    path = tmp_path / place
    with pytest.raises(error) as caught:
        try_to_write("plot", path).__enter__()
    assert str(caught.value).startswith(f"plot: {str(path)!r} can't be written ({reason}")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_read_only_file_is_refused_as_a_normal_write_would(tmp_path, monkeypatch):
    path = tmp_path / "race.png"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # for root, too
    for try_to_write in _files.check, write:
        with pytest.raises(PermissionError, match="read-only"):
            try_to_write(*["plot"] * (try_to_write is _files.check), path)
    assert path.read_text() == "old"


def test_a_check_creates_and_changes_nothing(tmp_path):
    path = tmp_path / "race.png"
    _files.check("plot", path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    _files.check("plot", path)
    assert path.read_text() == "old"


ADVICE = "give the name of a file in a folder that exists and that you may write to"


@pytest.mark.parametrize(
    ("raised", "reason", "advice"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied", ADVICE),
        (BlockingIOError("busy"), "busy", ADVICE),
        (
            OSError(errno.ENOSPC, "No space left on device", "race.png"),
            "No space left on device",
            "free some space, or give the name of a file on another disk",
        ),
    ],
)
def test_an_error_of_the_system_keeps_its_class_and_number_and_gets_advice(
    raised, reason, advice, tmp_path
):
    path = tmp_path / "race.png"
    with pytest.raises(OSError) as caught, _files.replacing("plot", path):  # noqa: PT011
        raise raised
    assert type(caught.value) is type(raised)
    assert caught.value.errno == raised.errno
    assert str(caught.value) == f"plot: {str(path)!r} can't be written ({reason}); {advice}"
    assert caught.value.__suppress_context__


def write_hiding(path, error, other):
    with _files.replacing("plot", path) as temporary:
        try:
            half_written(temporary, error)
        finally:
            raise other


def test_a_full_disk_is_named_where_a_library_hides_it(tmp_path):
    full, other = OSError(errno.ENOSPC, "No space left on device"), ValueError("unfinished")
    with pytest.raises(OSError, match=r"can't be written \(No space.*; free some") as caught:
        write_hiding(tmp_path / "race.pdf", full, other)
    assert caught.value.errno == errno.ENOSPC
    assert [*tmp_path.iterdir()] == []


def test_an_error_that_follows_another_one_of_the_system_is_not_changed(tmp_path):
    other = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        write_hiding(tmp_path / "race.pdf", FileNotFoundError("no"), other)
    assert caught.value is other


@pytest.mark.parametrize(
    "raised",
    [ValueError("mine"), KeyboardInterrupt(), SystemExit(), GeneratorExit(), MemoryError()],
)
@pytest.mark.parametrize("before", ["old", None])
def test_any_other_error_is_not_changed_and_the_file_is_as_it_was(raised, before, tmp_path):
    path = tmp_path / "race.png"
    if before:
        path.write_text(before)
    with pytest.raises(type(raised)) as caught, _files.replacing("plot", path) as temporary:
        half_written(temporary, raised)
    assert caught.value is raised
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == (
        {"race.png": "old"} if before else {}
    )


@pytest.mark.forked
@pytest.mark.skipif(interrupting._testcapi is None, reason="Python was built without its tests")
def test_nothing_is_left_beside_the_file_where_removing_lacks_memory_too(tmp_path):
    path, failed = tmp_path / "race.png", 0
    for first in range(0, 600, 3):
        path.write_text("old")
        interrupting.fail_allocations(first, first + 50)
        try:
            write(path)
        except (MemoryError, OSError, RuntimeError, SystemError):
            failed += 1
        finally:
            interrupting._testcapi.remove_mem_hooks()
        assert [p.name for p in tmp_path.iterdir()] == ["race.png"]
        assert path.read_text() in ("old", "new")
    assert failed > 50


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_an_error_after_the_block_leaves_the_file_as_it_was(call, tmp_path, monkeypatch):
    path = tmp_path / "race.png"
    path.write_text("old")

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="free some space"):
        write(path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("race.png", "old")]


def test_the_file_is_flushed_before_it_is_renamed_and_the_folder_after_that(tmp_path, monkeypatch):
    calls = []

    def recorded(name):
        original = getattr(os, name)

        def call(*arguments):
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(*arguments).st_mode)
            calls.append("fsync of the folder" if folder else name)
            return original(*arguments)

        return call

    for name in "fsync", "replace":
        monkeypatch.setattr(os, name, recorded(name))
    write(tmp_path / "race.png")
    assert calls == ["fsync", "replace", "fsync of the folder"]


@pytest.mark.parametrize(
    "name", ["race.png", "RACE.PNG", "ü 😀.svg", "x" * 251 + ".png", "a.b.gif"]
)
def test_the_temporary_file_is_hidden_in_the_same_folder_and_has_the_same_suffix(name, tmp_path):
    path = tmp_path / name
    with _files.replacing("plot", path) as temporary:
        assert [*tmp_path.iterdir()] == [temporary]
        assert temporary.name.startswith(".")
        assert temporary.suffix == path.suffix
        temporary.write_text("new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "new")]


def test_what_a_killed_process_left_over_is_removed_by_the_next_write(tmp_path):
    path = tmp_path / "race.png"
    path.write_text("old")
    kill = (
        "import os, sys, pathlib; from minidl import _files\n"
        "with _files.replacing('plot', pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('a long text'); os._exit(9)"
    )
    for _ in range(2):
        command = [sys.executable, "-c", kill, str(path)]
        assert subprocess.run(command, check=False, timeout=60).returncode == 9
        assert path.read_text() == "old"
        assert len(list(tmp_path.iterdir())) == 2
    write(path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("race.png", "new")]


def test_what_writes_on_after_its_process_was_killed_writes_into_no_new_file(tmp_path):
    path = tmp_path / "race.mp4"
    with (tmp_path / ".race.part.mp4").open("wb", buffering=0) as left:  # by an encoder, say
        with _files.replacing("animate", path) as temporary:
            temporary.write_text("new")
            left.write(b"a frame")
        left.write(b"another one")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("race.mp4", "new")]


def test_a_text_is_added_to_a_file_that_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "log.csv"
    for text in "1\r\n", "2\r\n":
        _files.extend("CSVLogger", path, text)
    assert path.read_bytes() == b"1\r\n2\r\n"
    with path.open("rb") as before:
        _files.extend("CSVLogger", path, "3\r\n")
        assert before.read() == b"1\r\n2\r\n"


def test_a_text_is_added_to_a_pipe_alone(tmp_path):
    pipe = tmp_path / "log.csv"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        for text in "1\n", "2\n":
            _files.extend("CSVLogger", pipe, text)
        assert reader.read() == b"1\n2\n"


def test_a_file_larger_than_the_system_allows_leaves_the_old_one_whole(tmp_path):
    path = tmp_path / "walk.html"
    path.write_text("old")
    limited = (
        "import resource, sys, minidl as dl\n"
        "w = dl.Tensor([1.0], requires_grad=True)\n"
        "with dl.trace() as walk: (w * w).sum().backward()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: walk.save(sys.argv[1])\n"
        "except OSError as error: print(error)"
    )
    command = [sys.executable, "-c", limited, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "can't be written (File too large); free some space" in run.stdout
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("walk.html", "old")]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files left open
def test_no_interrupt_of_a_writer_makes_another_thread_wait(tmp_path):
    for _ in interrupting.each_interruption(lambda: tmp_path / "a.txt", write):
        assert not _files._opening._is_owned()


def test_two_writers_of_one_file_take_turns(tmp_path):
    path, texts = tmp_path / "race.png", [letter * 10_000 for letter in "abcd"]
    errors, start = [], threading.Barrier(len(texts))

    def writer(text):
        try:
            start.wait()
            for _ in range(10):
                write(path, text)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=writer, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [p.name for p in tmp_path.iterdir()] == ["race.png"]
    assert path.read_text() in texts


FORKED = """
import os, signal, sys, threading
from pathlib import Path
from minidl import _files

path, inside, may_end = Path(sys.argv[1]), threading.Event(), threading.Event()

def write(text, wait=None):
    with _files.replacing("plot", path) as temporary:
        inside.set()
        wait and wait()
        temporary.write_text(text)

first = threading.Thread(target=write, args=["first", may_end.wait])
first.start()
inside.wait()
second = threading.Thread(target=write, args=["second"], daemon=True)
second.start()
child = os.fork()
if child == 0:
    signal.pause()
may_end.set()
second.join(20)
os.kill(child, signal.SIGKILL)
print(second.is_alive(), path.read_text())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_writer_does_not_wait_for_a_process_that_was_forked_while_another_one_wrote(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(tmp_path / "race.png")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["False", "second"], run.stderr


def test_a_failed_writer_does_not_remove_the_file_of_another(tmp_path, monkeypatch):
    path = tmp_path / "race.png"
    with _files.replacing("plot", path) as temporary:

        def interrupted(*arguments):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", interrupted)
            patch.setattr(_files.fcntl, "LOCK_EX", _files.fcntl.LOCK_SH | _files.fcntl.LOCK_NB)
            with pytest.raises(KeyboardInterrupt):
                write(path, "of the second")
        temporary.write_text("of the first")
    assert path.read_text() == "of the first"


def test_a_writer_does_not_wait_for_one_in_its_thread_that_was_interrupted_as_it_began(tmp_path):
    path = tmp_path / "race.png"
    interrupted = _files.replacing("plot", path)
    interrupted.__enter__()  # then an interrupt, whose traceback the interpreter keeps
    write(path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("race.png", "new")]
    del interrupted
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("race.png", "new")]


@pytest.mark.skipif(_files.fcntl is None, reason="the system has no file locks")
def test_the_open_files_are_listed_while_no_other_thread_opens_one(tmp_path, monkeypatch):
    class Opened(weakref.WeakKeyDictionary):
        def items(self):
            listed.append(opened_meanwhile())
            return super().items()

    def opened_meanwhile():
        thread = threading.Thread(target=lambda: _files._open(tmp_path / "b", "xb").close())
        thread.start()
        thread.join(0.1)
        return not thread.is_alive()

    listed = []
    (tmp_path / ".a.part.txt").touch()  # what a killed process has left
    monkeypatch.setattr(_files, "_opened_by", Opened())
    with _files.replacing("save", tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert listed == [False]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_usual_permissions(mask, tmp_path):
    before = os.umask(mask)
    try:
        write(tmp_path / "race.png")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "race.png").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_a_file_keeps_its_permissions(mode, tmp_path):
    path = tmp_path / "race.png"
    path.write_text("old")
    path.chmod(mode)
    write(path)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("before", ["old", None])
def test_a_link_stays_a_link_and_the_file_that_it_names_is_written(before, tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "file", tmp_path / "race.png"
    if before:
        target.write_text(before)
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert [*target.parent.iterdir()] == [target]
    assert target.read_text() == "new"


def test_a_device_is_written_to_and_not_replaced(tmp_path):
    path = tmp_path / "full.png"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"can't be written \(No space left on device\); free some"):
        write(path)
    assert stat.S_ISCHR(path.stat().st_mode)
    assert [*tmp_path.iterdir()] == [path]


def test_without_file_locks_files_are_written_all_the_same(tmp_path, monkeypatch):
    path = tmp_path / "race.png"
    monkeypatch.setattr(_files, "fcntl", None)  # as on Windows
    write(path)
    with pytest.raises(KeyError), _files.replacing("plot", path):
        raise KeyError
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("race.png", "new")]


def test_a_path_in_the_working_folder_needs_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("race.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["race.png"]
