"""The file of a checkpoint: any damage is found, it is written whole, and NumPy can read it."""

import gc
import io
import os
import pickle
import sys
import zipfile

import interrupting
import numpy as np
import pytest
from resuming import look, training

import minidl as dl
from minidl import _archive, nn


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


def small(path):
    dl.save(path, nn.Dense(1, 1, rng=0), metadata={"a": 1})
    return path.read_bytes()


def test_the_same_contents_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        dl.save(tmp_path / name, training()[0])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_archive_can_be_tested_by_other_tools(path):
    small(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "minidl.json"


NAMES = [
    "a/b",
    "x.npy",
    "x",
    "minidl.json",
    "",
    "a\0b",
    "a\0c",
    "a\\b",
    "ü",
    "\ud800",
    "x" * 70_000,
]


def test_names_that_meet_or_that_no_zip_file_can_hold_are_kept_apart(path):
    metadata = {name: np.full(i, float(i)) for i, name in enumerate(NAMES)}
    metadata["a"] = {"b": np.zeros(2), "b~": np.ones(2)}
    dl.save(path, metadata=metadata)
    assert repr(dl.load(path).metadata) == repr(metadata)
    with np.load(path) as file:  # which takes "x.npy" for the entry of "x"
        arrays = [file[name] for name in file.files if name != "minidl.json"]
    assert {array.size for array in arrays} == set(range(len(NAMES)))
    assert len(arrays) == len(NAMES) + 2


def test_parameters_of_any_name_are_loaded(path):
    def module(value):
        model = nn.Module()
        model.weights = {name: dl.Tensor([value + i], True) for i, name in enumerate(NAMES)}
        model.optimizer = {"weights.x/m": dl.Tensor([value], True)}
        return model

    own, new = module(1.0), module(0.0)
    optimizers = dl.optim.Adam(own), dl.optim.Adam(new)
    dl.save(path, own, optimizer=optimizers[0])
    dl.load(path, new, optimizer=optimizers[1])
    assert look(new, optimizers[1]) == look(own, optimizers[0])


# --- damage -------------------------------------------------------------------------------------


def test_every_flipped_bit_and_every_truncation_is_found(path):
    raw = small(path)
    assert len(raw) < 2500
    for place in range(len(raw)):
        for bit in range(8):
            spoiled = bytearray(raw)
            spoiled[place] ^= 1 << bit
            path.write_bytes(spoiled)
            with pytest.raises(dl.CheckpointError, match=r"run.ckpt"):
                dl.load(path)
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(dl.CheckpointError):
            dl.load(path)
    path.write_bytes(raw + b"\0")
    with pytest.raises(dl.CheckpointError):
        dl.load(path)


def test_files_of_numpy_missing_files_and_folders_are_named(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    with pytest.raises(dl.CheckpointError, match=r"another file of NumPy.*try np\.load"):
        dl.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match="missing"):
        dl.load(tmp_path / "missing.ckpt")
    with pytest.raises(OSError, match=str(tmp_path.name)):
        dl.load(tmp_path)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "it is empty"),
        (pickle.dumps({"a": 1}), "it is a pickle, as torch.save writes"),
        (b"PK\3\4...archive/data.pkl...", "it is a pickle, as torch.save writes"),
        (b"\x93NUMPY...", "another file of NumPy"),
        (b'\x30\0\0\0\0\0\0\0{"a": ...', "name must end in .safetensors"),
        (b"hello", "another kind, or damaged"),
    ],
)
def test_what_a_file_is_instead_is_said(raw, what, path):
    path.write_bytes(raw)
    with pytest.raises(dl.CheckpointError, match=what):
        dl.load(path)


@pytest.mark.parametrize("call", [dl.save, dl.load])
def test_openssl_without_memory_is_no_damage(call, path, monkeypatch):
    def sha256(content):
        raise ValueError("[digital envelope routines] initialization error")

    before = small(path)
    monkeypatch.setattr("hashlib.sha256", sha256)
    with pytest.raises(MemoryError, match="SHA-256"):
        call(path, dl.nn.Dense(1, 1))
    assert path.read_bytes() == before


@pytest.mark.parametrize(("at", "value"), [(6, 1), (8, 8)], ids=["encrypted", "compressed"])
def test_a_forged_entry_with_a_right_digest_is_damage(path, at, value):
    raw = bytearray(small(path))
    raw[at] = raw[raw.index(b"PK\x01\x02") + at + 2] = value
    raw[30 + len(_archive.TEXT)] = 7  # no block of compressed bytes begins so
    file = io.BytesIO(raw)
    raw[-_archive.DIGEST :] = _archive._digest(file, zipfile.ZipFile(file)).encode()
    path.write_bytes(raw)
    with pytest.raises(dl.CheckpointError, match="is damaged: its contents are not those"):
        dl.load(path)


def test_a_forged_entry_beyond_all_bytes_is_damage(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = _archive.MARK + bytes(_archive.DIGEST)
        archive.writestr("a.npy", b"")
    raw = bytearray(path.read_bytes())
    begin, end = raw.index(b"PK\x01\x02"), raw.index(b"PK\x05\x06")
    raw[begin + 42 : begin + 46] = b"\xff" * 4  # the offset is in the extra field
    extra = b"\x01\x00\x08\x00" + (2**64 - 1).to_bytes(8, "little")
    raw[begin + 30] = len(extra)
    raw[end + 12] += len(extra)
    path.write_bytes(raw[:end] + extra + raw[end:])
    with pytest.raises(dl.CheckpointError, match="is damaged: its contents are not those"):
        dl.load(path)


def test_a_newer_format_says_what_to_install(path, monkeypatch):
    monkeypatch.setattr(_archive, "FORMAT", 2)
    small(path)
    monkeypatch.undo()
    with pytest.raises(dl.CheckpointError, match="can't read; install a newer minidl"):
        dl.load(path)


# --- whole or not at all ------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a ZipFile
def test_an_interrupted_save_leaves_the_old_file_or_the_new_one_and_nothing_else(path):
    old, model = small(path), nn.Dense(2, 2, rng=0)
    dl.save(path, model)
    new = path.read_bytes()
    for place in range(1, 3000, 151):
        path.write_bytes(old)
        interrupting.interrupted(lambda: dl.save(path, model), place)
        gc.collect()  # a ZipFile that was interrupted complains here
        assert path.read_bytes() in (old, new)
        assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_file_has_the_permissions_of_any_new_file(path):
    before = os.umask(0o027)
    try:
        small(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"save: .*there is no folder"):
        dl.save(tmp_path / "no" / "run.ckpt", nn.Dense(1, 1))


# --- safetensors --------------------------------------------------------------------------------


def test_a_lack_of_memory_is_no_fault_of_a_safetensors_file(monkeypatch, tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    dl.save(tmp_path / "model.safetensors", nn.Dense(1, 1))

    def load(raw):
        raise MemoryError

    monkeypatch.setattr(library, "load", load)
    with pytest.raises(MemoryError):
        dl.load(tmp_path / "model.safetensors", nn.Dense(1, 1))


def test_without_the_library_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'minidl\[safetensors\]'"):
        dl.save(tmp_path / "model.safetensors", nn.Dense(1, 1))
