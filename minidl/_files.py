"""Checks and error messages for everything that writes a file: pages, pictures, films.

A file is written beside its place, flushed to the disk, and renamed. So whatever happens, a full
disk, an error or the end of the process, the old file or the new one is there, whole.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import reprlib
import stat
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator
from io import FileIO
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from minidl._kernels import atomic

fcntl: Any
try:
    fcntl = importlib.import_module("fcntl")
except ModuleNotFoundError:  # on Windows
    fcntl = None

PAGES, STILLS, FILMS = (".html", ".htm"), (".png", ".svg", ".pdf"), (".gif", ".mp4")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STEM = 200  # bytes of a name that its temporary file has; most file systems allow 255


def path_of(owner: str, given: Any, name: str = "path, the first argument,") -> Path:
    """The path; TypeError for what is none, such as a model in its place."""
    if isinstance(given, str | PathLike) and isinstance(text := os.fspath(given), str):
        if "\0" in text:
            raise ValueError(
                f"{owner}: path has a null character, which no file name has: {text!r}"
            )
        return Path(text)
    raise TypeError(
        f"{owner}: {name} must be the name of a file such as 'run.ckpt', got {reprlib.repr(given)} "
        f"({type(given).__name__})"
    )


def ending(owner: str, path: str | PathLike[str], kinds: Collection[str]) -> Path:
    """The path, after a check that its suffix is one of `kinds`, such as ".html"."""
    path = path_of(owner, path, "path")
    if path.suffix.lower() not in kinds:
        raise ValueError(
            f"{owner}: the name must end in {', '.join(kinds)}, which sets the format; got "
            f"{str(path)!r}"
        )
    return path


def folder(owner: str, path: str | PathLike[str]) -> Path:
    """The folder at that path, created if missing; OSError if it can't be created."""
    path = path_of(owner, path, "path")
    with _advising(owner, path, "a folder", "created"):
        path.mkdir(parents=True, exist_ok=True)
    return path


def check(owner: str, path: Path) -> None:
    """OSError with advice if the file can't be written; for use before long work."""
    with _advising(owner, path, "a file", "written"):
        _target(path)


@contextlib.contextmanager
def replacing(owner: str, path: Path, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to; the file becomes what is there at the end of the block.

    After an error in the block the file is as it was and the temporary one is gone. It is hidden,
    has the same suffix, and is in the same folder under a name of its own for each file, so after
    the process was killed there is at most one, which the next write removes. A second writer of
    the file waits for the first. The file keeps its permissions, and a link stays a link. A device
    or pipe is written directly. An OSError, also one in the block, gets advice.

    flush  whether to wait until the file is on the disk, so that it is whole after a loss of power
    """
    with _advising(owner, path, "a file", "written"):
        target = _target(path)
        if target.exists() and not target.is_file():
            yield target
            return
        stem = os.fsencode(target.stem)[:STEM].decode(errors="ignore")
        temporary = target.with_name(f".{stem}.part{target.suffix}")
        opened: list[FileIO] = []
        try:
            _create(temporary, opened)
            _copy_permissions(target, temporary)
            yield temporary
            if flush:
                _flush(temporary, os.O_WRONLY)
            os.replace(temporary, target)
            _close(*opened)
        except BaseException:
            _clean_up(temporary, opened)
            raise
        with contextlib.suppress(OSError):  # a folder can't be flushed on every system
            if flush:
                _flush(target.parent, os.O_RDONLY)


def extend(owner: str, path: Path, text: str) -> None:
    """Add text to the end of a file, as `replacing` writes it; there need be no file yet."""
    with replacing(owner, path, flush=False) as temporary:
        before = path.read_bytes() if path.is_file() else b""
        temporary.write_bytes(before + text.encode())


def _target(path: Path) -> Path:
    """The file to write, at the end of all links; OSError if it can't be."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if target.is_symlink():
        raise OSError(errno.ELOOP, "its link leads to itself")
    if not target.parent.is_dir():
        parent = (target if path.is_symlink() else path).parent
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {str(parent)!r}")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "it is read-only")
    return target


def _create(temporary: Path, opened: list[FileIO]) -> None:
    """Create an empty file, locked against other writers until all in `opened` is closed.

    A file that a killed process has left is removed first: a program that it has started, such as
    one that encodes a film, may still write to it.
    """
    if fcntl is None:
        temporary.write_bytes(b"")  # an open file can't be renamed there
        return
    while True:
        try:
            file = _open(temporary, "xb")
        except FileExistsError:
            _take_over(temporary)
            continue
        opened.append(file)
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(temporary, file):
            return


def _take_over(temporary: Path) -> None:
    """Wait for the writer of a file, and remove what it has left if it was killed.

    Of this thread the writer was interrupted just as its block began or ended, so that only the
    error's traceback keeps the file open.
    """
    atomic.locked(_opening, _close_own, (temporary,))
    try:
        file = _open(temporary, "rb+")
    except FileNotFoundError:
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(temporary, file):
            temporary.unlink()
    finally:
        _close(file)


def _close_own(path: Path) -> None:
    """Close the files of this thread that are at a path; no other thread may add one meanwhile."""
    for own, thread in list(_opened_by.items()):
        if thread == threading.get_ident() and not own.closed and _is_at(path, own):
            own.close()


def _is_at(path: Path, file: FileIO) -> bool:
    """Whether the path still names the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


_opening = threading.RLock()  # held while files are opened, closed or listed, and during a fork
_opened_by: weakref.WeakKeyDictionary[FileIO, int] = weakref.WeakKeyDictionary()  # threads


def _open(path: Path, mode: Literal["xb", "rb+"]) -> FileIO:
    return atomic.locked(_opening, _opened, (path, mode))


def _opened(path: Path, mode: Literal["xb", "rb+"]) -> FileIO:
    file = path.open(mode, buffering=0)
    _opened_by[file] = threading.get_ident()
    return file


def _close(*files: FileIO) -> None:
    atomic.locked(_opening, _close_each, (files,))


def _close_each(files: Iterable[FileIO]) -> None:
    for file in files:
        file.close()


def _after_fork() -> None:
    """Close the files of threads that this process lacks, which would keep their locks for ever."""
    for file, thread in list(_opened_by.items()):
        if thread != threading.get_ident():
            file.close()
    _opening.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_after_fork
    )


def _clean_up(temporary: Path, opened: list[FileIO], tries: int = 250) -> None:
    """Close the files and remove the temporary one; try again where that lacks memory."""
    while True:
        tries -= 1
        try:
            _close(*opened)
            _remove(temporary)
            return
        except MemoryError:
            if not tries:
                raise


def _remove(temporary: Path) -> None:
    """Remove the file, unless another writer has locked it."""
    if fcntl is not None:
        try:
            with open(temporary, "rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            return
        except OSError:  # no locks here
            pass
    temporary.unlink(missing_ok=True)


def _copy_permissions(target: Path, temporary: Path) -> None:
    """Give the temporary file the owner and permissions of the file that it replaces, if any."""
    if target.exists():
        old = target.stat()
        if hasattr(os, "chown"):
            with contextlib.suppress(PermissionError):
                os.chown(temporary, old.st_uid, old.st_gid)
        temporary.chmod(stat.S_IMODE(old.st_mode))


def _flush(path: Path, flags: int) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _advising(owner: str, path: Path, thing: str, done: str) -> Iterator[None]:
    try:
        yield
    except Exception as raised:
        error = _of_the_system(raised)
        if error is None:
            raise
        advice = f"give the name of {thing} in a folder that exists and that you may write to"
        if error.errno in FULL:
            advice = "free some space, or give the name of a file on another disk"
        advised = type(error)(
            f"{owner}: {str(path)!r} can't be {done} ({error.strerror or error}); {advice}"
        )
        advised.errno = error.errno
        raise advised from None


def _of_the_system(error: BaseException | None) -> OSError | None:
    """The OSError, or that of a full disk which a library has followed by an error of its own."""
    if isinstance(error, OSError):
        return error
    while error := error and error.__context__:
        if isinstance(error, OSError) and error.errno in FULL:
            return error
    return None
