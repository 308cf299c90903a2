"""Files: suffixes, folders, and errors that say how to fix them."""

from pathlib import Path

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


@pytest.mark.parametrize(
    ("place", "error", "reason"),
    [
        ("", IsADirectoryError, "it is a folder"),
        ("no/race.png", FileNotFoundError, "there is no folder '"),
        ("file/race.png", FileNotFoundError, "there is no folder '"),
    ],
)
def test_a_path_that_cannot_be_written_raises_before_the_work(place, error, reason, tmp_path):
    (tmp_path / "file").write_text("here")
    path, begun = tmp_path / place, []
    with pytest.raises(error) as caught, _files.writing("plot", path):
        begun.append(True)
    assert not begun
    assert str(caught.value).startswith(f"plot: {str(path)!r} can't be written ({reason}")


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(28, "No space left on device", "race.png"), "No space left on device"),
        (BlockingIOError("busy"), "busy"),
    ],
)
def test_an_error_of_the_system_keeps_its_class_and_gets_advice(raised, reason, tmp_path):
    path = tmp_path / "race.png"
    with pytest.raises(OSError) as caught, _files.writing("plot", path):  # noqa: PT011
        raise raised
    assert type(caught.value) is type(raised)
    assert str(caught.value) == (
        f"plot: {str(path)!r} can't be written ({reason}); give the name of a file in a folder "
        "that exists and that you may write to"
    )
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("raised", [ValueError("mine"), KeyError("mine"), KeyboardInterrupt()])
def test_any_other_error_is_not_changed(raised, tmp_path):
    with pytest.raises(type(raised)) as caught, _files.writing("plot", tmp_path / "race.png"):
        raise raised
    assert caught.value is raised


def test_the_context_manager_lets_the_file_be_written(tmp_path):
    path = tmp_path / "race.png"
    for text in "one", "two":
        with _files.writing("plot", path):
            path.write_text(text)
    assert path.read_text() == "two"


def test_a_path_in_the_working_folder_needs_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with _files.writing("plot", Path("race.png")):
        Path("race.png").write_text("here")
    assert [path.name for path in tmp_path.iterdir()] == ["race.png"]
