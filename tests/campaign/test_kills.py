"""The campaign's part `kills`: it finds torn and other checkpoints, and files that are left."""

import subprocess
import sys

import pytest

import minidl as dl
from tests.campaign import harness, kills


@pytest.mark.parametrize(
    ("write", "error", "text"),
    [
        (lambda path: path.write_text("half"), dl.CheckpointError, "checkpoint"),
        (
            lambda path: kills.save(path, *kills.parts(0), dl.History()),
            harness.Breach,
            "another file after 0 steps",
        ),
    ],
    ids=["torn", "other bytes"],
)
def test_a_checkpoint_that_no_undisturbed_training_has_written_is_found(
    write, error, text, monkeypatch
):
    def start(path, seed):
        write(path)
        command = [sys.executable, "-c", "import time; time.sleep(100)"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(kills, "uninterrupted", lambda seed: ({0: "a digest"}, "", {}, {}))
    monkeypatch.setattr(kills, "start", start)
    with pytest.raises(error, match=text):
        kills.trial(0, lambda text: None)


def test_more_than_one_file_beside_a_checkpoint_is_found(tmp_path):
    for name in "a", "b", "run.ckpt":
        (tmp_path / name).touch()
    with pytest.raises(harness.Breach, match="2 files are left: a, b"):
        kills.left_beside(tmp_path / "run.ckpt")


def test_a_file_that_is_left_after_a_save_is_found(tmp_path):
    kills.check_alone(tmp_path / "run.ckpt")
    (tmp_path / "a").touch()
    with pytest.raises(harness.Breach, match="after a save there is still a"):
        kills.check_alone(tmp_path / "run.ckpt")
