"""The campaign's part `kills`: it finds a torn checkpoint, and files that are left."""

import subprocess
import sys

import pytest

import minidl as dl
from tests.campaign import harness, kills


def test_a_torn_checkpoint_of_a_killed_training_is_found(monkeypatch):
    write = "import sys, time; open(sys.argv[1], 'w').write('half'); print('ready', flush=True)"

    def start(path, seed):
        command = [sys.executable, "-c", f"{write}; time.sleep(100)", str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        return process

    monkeypatch.setattr(kills, "uninterrupted", lambda seed: ({}, "", {}, {}))
    monkeypatch.setattr(kills, "start", start)
    with pytest.raises(dl.CheckpointError):
        kills.trial(0, lambda text: None)


def test_more_than_one_file_beside_a_checkpoint_is_found(tmp_path):
    for name in "a", "b", "run.ckpt":
        (tmp_path / name).touch()
    with pytest.raises(harness.Breach, match="2 files are left: a, b"):
        kills.left_beside(tmp_path / "run.ckpt")
