"""Files that are written: an ending that says what they hold, and errors that say what to mend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PAGES, STILLS, FILMS = (".html", ".htm"), (".png", ".svg", ".pdf"), (".gif", ".mp4")


def ending(owner: str, path: Any, kinds: Iterable[str]) -> Path:
    """The path, after a check that its name ends in one of ".html", …: ValueError if not."""
    path = Path(path)
    if path.suffix.lower() not in kinds:
        raise ValueError(
            f"{owner}: the name must end in {', '.join(kinds)}, which says what is written; got "
            f"{str(path)!r}"
        )
    return path


def folder(owner: str, path: Any) -> Path:
    """The folder of that name, made if missing; OSError if that can't be."""
    path = Path(path)
    with _advising(owner, path, "a folder", "made"):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def writing(owner: str, path: Path) -> Iterator[None]:
    """An OSError inside comes with advice; a folder that isn't there is told before the work."""
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
            f"{thing} in a folder that exists and is yours"
        ) from None
