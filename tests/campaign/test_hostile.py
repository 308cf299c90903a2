"""The campaign's part `hostile`: it finds planted faults."""

import io
import json
import zipfile
from pathlib import Path

import pytest

import minidl as dl
from minidl import _archive
from tests.campaign import harness, hostile

pytestmark = pytest.mark.filterwarnings("ignore")  # the part ignores them, too


def say(text):
    pass


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hostile, "FORGED", 0)


@pytest.mark.skipif(bool(hostile.missing()), reason=f"needs {hostile.missing()}")
@pytest.mark.parametrize(
    ("seed", "text", "fault"),
    [
        (0, "<p>{}</p>", "of the name '<script>window.hit = 1</script>': 1"),
        (17, "<p>{}</p>", "minidl.invalid"),
    ],
    ids=["script", "request"],
)
def test_a_page_that_does_not_escape_a_name_is_a_breach(seed, text, fault, monkeypatch):
    def unescaped(name):
        html = "<!doctype html>" + text.format(name)
        return lambda path: Path(path).write_text(html, "utf-8", "replace")

    monkeypatch.setattr(hostile, "PAGES", [unescaped])
    with pytest.raises(harness.Breach, match=fault):
        hostile.pages(seed, say)


def test_a_changed_byte_that_is_not_noticed_is_a_breach(monkeypatch):
    monkeypatch.setattr(dl, "load", lambda path, *arguments, **options: None)
    with pytest.raises(harness.Breach, match="nobody noticed"):
        hostile.spoiled(0, say)


def test_a_load_that_changes_something_and_fails_is_a_breach(monkeypatch):
    def load(path, model=None, **options):
        model[0].weight.data = 2 * model[0].weight.data
        raise dl.CheckpointError(f"load: {path}")

    monkeypatch.setattr(dl, "load", load)
    with pytest.raises(harness.Breach, match="weight"):
        hostile.spoiled(0, say)


def test_an_error_of_a_load_that_does_not_name_the_file_is_a_breach(monkeypatch):
    def load(path, model=None, **options):
        raise KeyError("minidl.json")

    monkeypatch.setattr(dl, "load", load)
    with pytest.raises(harness.Breach, match=r"spoiled.ckpt: KeyError"):
        hostile.spoiled(0, say)


def test_an_error_of_python_about_a_nested_list_is_a_breach(monkeypatch):
    monkeypatch.setattr(hostile, "DEEP", [lambda data: [data][data]])
    with pytest.raises(harness.Breach, match="1 deep"):
        hostile.nested(0, say)


# What got through load as another error before; the value of an entry of a forged text.
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("history/dict/epoch_ends", 2**70),
        ("callbacks/0/state/dict", {}),
        ("metadata", {"dict": {"a": {"tuple": 3}}}),
    ],
)
def test_a_forged_entry_is_a_checkpoint_error(path, value):
    hostile.Training().save("whole.ckpt")
    archive = zipfile.ZipFile(io.BytesIO(Path("whole.ckpt").read_bytes()))
    text, owner = json.loads(archive.read(_archive.TEXT)), None
    place = text
    for key in path.split("/"):
        owner, key = place, int(key) if isinstance(place, list) else key
        place = owner[key]
    owner[key] = value
    arrays, _ = _archive.read(Path("whole.ckpt"))
    _archive.write(Path("forged.ckpt"), arrays, text)
    assert not hostile.try_load(hostile.Training(), "forged.ckpt", None)
