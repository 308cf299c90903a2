"""Checks and error messages for everything that writes a file: pages, pictures, films."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from os import PathLike
from pathlib import Path

PAGES, STILLS, FILMS = (".html", ".htm"), (".png", ".svg", ".pdf"), (".gif", ".mp4")


def ending(owner: str, path: str | PathLike[str], kinds: Collection[str]) -> Path:
    """The path, after a check that its suffix is one of `kinds`, such as ".html"."""
    path = Path(path)
    if path.suffix.lower() not in kinds:
        raise ValueError(
            f"{owner}: the name must end in {', '.join(kinds)}, which sets the format; got "
            f"{str(path)!r}"
        )
    return path


def folder(owner: str, path: str | PathLike[str]) -> Path:
    """The folder at that path, created if missing; OSError if it can't be created."""
    path = Path(path)
    with _advising(owner, path, "a folder", "created"):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def writing(owner: str, path: Path) -> Iterator[None]:
    """Add advice to an OSError raised inside; a missing folder raises before anything is done."""
    with _advising(owner, path, "a file", "written"):
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        if not path.parent.is_dir():
            raise FileNotFoundError(0, f"there is no folder {str(path.parent)!r}")
        yield


@contextlib.contextmanager
def _advising(owner: str, path: Path, thing: str, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise type(error)(
            f"{owner}: {str(path)!r} can't be {done} ({error.strerror or error}); give the name of "
            f"{thing} in a folder that exists and that you may write to"
        ) from None
