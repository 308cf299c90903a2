"""The file of a checkpoint: named arrays and a text, checked before anything is read.

It is the container of np.savez: a zip archive whose entries are arrays in NumPy's format, and a
text, minidl.json, with the rest. np.load reads it. Zip keeps the CRC-32 of each entry, which finds
any damage of up to 32 bits in a row, and other damage but once in 2**32 times. The archive's
comment holds the SHA-256 of all bytes that are not of arrays: the text, names, and CRCs. Both are
checked before anything is read. (SHA-256 of 70 MB takes as long as writing them; crc32 half of it.)
"""

from __future__ import annotations

import io
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl import _files
from minidl.config import __version__

FORMAT = 1  # of the contents; a newer one can't be read by an older minidl
TEXT = "minidl.json"
MARK = b"minidl sha256 "
DIGEST = 64  # characters
DATE = (1980, 1, 1, 0, 0, 0)  # so that the same contents are the same bytes
UNFIT = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class CheckpointError(ValueError):
    """A file that is damaged, is no checkpoint, or is one of another model, rule or loader."""


def write(path: Path, arrays: Mapping[str, np.ndarray], text: Mapping[str, Any]) -> None:
    """Write a file of these arrays and this text, as a whole."""
    import json
    import zipfile

    with _files.replacing("save", path) as temporary, temporary.open("r+b") as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.comment = MARK + bytes(DIGEST)
            archive.writestr(zipfile.ZipInfo(TEXT, DATE), json.dumps(text, indent=1).encode())
            for name, array in arrays.items():
                array = np.require(array, requirements="C")
                header = np.lib.format.header_data_from_array_1_0(array)
                info = zipfile.ZipInfo(f"{name}.npy", DATE)
                with archive.open(info, "w", force_zip64=True) as entry:
                    np.lib.format.write_array_header_1_0(entry, header)
                    if array.size:
                        entry.write(array.reshape(-1).view(np.uint8).data)
        digest = _digest(file, archive).encode()
        file.seek(-DIGEST, io.SEEK_END)
        file.write(digest)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the text of a file; CheckpointError for one that isn't whole."""
    import json
    import zipfile
    import zlib

    raw = path.read_bytes()
    end, file = len(raw) - DIGEST, io.BytesIO(raw)
    if raw[max(end - len(MARK), 0) : end] != MARK:
        raise CheckpointError(f"load: {str(path)!r} is no checkpoint of minidl: {_kind(raw)}")
    try:
        archive = zipfile.ZipFile(file)
        whole = _digest(file, archive).encode() == raw[end:] and archive.testzip() is None
    except (EOFError, OverflowError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error):
        whole = False  # RuntimeError: an entry in another way than save writes it
    if not whole:
        raise CheckpointError(
            f"load: {str(path)!r} is damaged: its contents are not those that were saved; use "
            "another copy"
        )
    try:
        text = json.loads(archive.read(TEXT))
        if text["format"] > FORMAT:
            raise CheckpointError(
                f"load: {str(path)!r} was saved by minidl {text['minidl']}, whose format "
                f"{text['format']} minidl {__version__} can't read; install a newer minidl"
            )
        arrays = {}
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as entry:
                    arrays[name[:-4]] = np.lib.format.read_array(entry, allow_pickle=False)
    except CheckpointError:
        raise
    except UNFIT as error:
        raise CheckpointError(f"load: {str(path)!r} can't be read: {error}") from error
    return arrays, text


def _digest(file: Any, archive: Any) -> str:
    """The SHA-256 of all bytes before it but those of arrays, whose CRC-32 are among them."""
    spans, begin = [], 0
    for info in archive.infolist():
        if info.filename.endswith(".npy"):
            file.seek(info.header_offset + 26)
            sizes = file.read(2), file.read(2)  # of the name and the extra field behind the header
            start = file.tell() + sum(int.from_bytes(size, "little") for size in sizes)
            spans.append((begin, start))
            begin = start + info.compress_size
    spans.append((begin, file.seek(-DIGEST, io.SEEK_END)))
    parts = []
    for begin, end in spans:
        file.seek(begin)
        parts.append(file.read(max(end - begin, 0)))
    return _sha256(b"".join(parts))


def _sha256(content: bytes) -> str:
    import hashlib

    try:
        return hashlib.sha256(content).hexdigest()
    except ValueError as error:  # as OpenSSL says that it gets no memory
        raise MemoryError(f"SHA-256: {error}") from error


def _kind(raw: bytes) -> str:
    """What a file without a digest at its end is."""
    if not raw:
        return "it is empty"
    if TEXT.encode() in raw[:4096]:
        return "it is damaged or incomplete; use another copy"
    if b"/data.pkl" in raw[:4096] or (raw[0] == 0x80 and len(raw) > 1 and raw[1] < 6):
        return "it is a pickle, as torch.save writes; loading it could run any code"
    if raw[:4] == b"PK\x03\x04" or raw[:6] == b"\x93NUMPY":
        return "it is another file of NumPy, or a zip file; try np.load"
    if raw[8:10] == b'{"':
        return "it seems to be a safetensors file, whose name must end in .safetensors"
    return "it is a file of another kind, or damaged"


# --- the format of safetensors, which holds arrays alone ----------------------------------------


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a .safetensors file, as a whole."""
    content = _safetensors().save(arrays)
    with _files.replacing("save", path) as temporary:
        temporary.write_bytes(content)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file."""
    raw, library = path.read_bytes(), _safetensors()
    try:
        return dict(library.load(raw))
    except MemoryError:
        raise
    except Exception as error:  # the library's error is of a class of its own
        raise CheckpointError(f"load: {str(path)!r} is no safetensors file: {error}") from error


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a .safetensors file needs the library safetensors: pip install 'minidl[safetensors]'"
        ) from error
    return safetensors.numpy


# --- values as text and arrays ------------------------------------------------------------------


def pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """A value for JSON, whose arrays are put into `arrays` under names that begin with `name`."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcSU":
        if not isinstance(value, np.ma.MaskedArray):
            return {"array": put(value, name, arrays)}
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: pack(x, f"{name}/{key}", arrays) for key, x in value.items()}}
    if isinstance(value, list | tuple):
        items = [pack(x, f"{name}/{i}", arrays) for i, x in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    raise TypeError(
        f"save: {name} is {reprlib.repr(value)} ({type(value).__name__}), which can't be saved; "
        "numbers, strings, arrays, lists, tuples and dicts with strings as keys can"
    )


def put(array: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> str:
    """Put an array into `arrays`; its name there, which can differ from any other in a zip file.

    A zip file has no names with "\\0", none that UTF-8 can't encode, and no very long ones.
    """
    name = name[:1000].encode(errors="replace").decode().replace("\0", "?").replace("\\", "/")
    while name in arrays or name.endswith(".npy") or name in ("", TEXT):
        name += "~"
    arrays[name] = array
    return name


def unpack(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The value that was packed."""
    if isinstance(value, list):
        return [unpack(x, arrays) for x in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "tuple" in value:
        return tuple(unpack(x, arrays) for x in value["tuple"])
    return {key: unpack(x, arrays) for key, x in value.get("dict", value).items()}
