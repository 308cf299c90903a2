"""SIGKILL in a training that saves itself after each step; it must go on to the same bits.

A process trains a small network (Dropout, a shuffled DataLoader, Adam, a rate with warm-up) and
saves all of it after each step. SIGKILL ends the process at a random moment, most often in a save.
Then at most one temporary file may be left beside the checkpoint, the file must load, and its bytes
must be those that an uninterrupted training wrote after the same step. A new process goes on from
it; its first save must clear the left-over.
"""

import hashlib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import minidl as dl
from tests.campaign.harness import Breach

SEEDS, SECONDS = 17, 900  # a seed makes some 12 kills
NAME, EPOCHS, STEPS = "run.ckpt", 50, 500
MOST = 40  # kills, after which the training may end
PART = 1 / 6  # of the time of a training: how long after the imports a kill may come


def parts(seed):
    """The model, the optimizer and the loader of the training, made anew."""
    rng, nn = np.random.default_rng(seed), dl.nn
    hidden = nn.Dense(8, 16, rng=seed), nn.ReLU(), nn.Dropout(0.2, rng=seed)
    model = nn.Sequential(*hidden, nn.Dense(16, 1, rng=seed + 1))
    rate = dl.schedulers.WarmUp(dl.schedulers.CosineDecay(0.01, STEPS - 50), 50)
    x = rng.standard_normal((156, 8)).astype(np.float32)
    y = np.sin(x.sum(axis=1, keepdims=True))
    loader = dl.data.DataLoader(x, y, 16, shuffle=True, rng=seed)  # the last batch has 12 rows
    return model, dl.optim.Adam(model, rate), loader


class Saver(dl.callbacks.Callback):
    """Saves the training after each step, and calls `saved` with the number of steps."""

    def __init__(self, path, saved):
        self.path, self.saved = path, saved

    def on_step(self, training):
        save(self.path, training.model, training.optimizer, training.data, training.history)
        self.saved(training.step)


def save(path, model, optimizer, loader, history):
    dl.save(path, model, optimizer=optimizer, data=loader, history=history)


def load(path, seed):
    """What the file holds, and the parts with its contents."""
    model, optimizer, loader = parts(seed)
    saved = dl.load(path, model, optimizer=optimizer, data=loader) if path.exists() else None
    return saved, (model, optimizer, loader)


def train(path, seed, saved):
    """Train to the end, from the file if it exists; the end is saved, too."""
    resume, (model, optimizer, loader) = load(path, seed)
    callbacks = [Saver(path, saved)]
    options = {"epochs": EPOCHS, "callbacks": callbacks, "resume": resume, "progress": False}
    history = dl.fit(model, dl.losses.mse, optimizer, loader, **options)
    history.captured = True  # of this call, which may have had few steps left, or none
    save(path, model, optimizer, loader, history)


def check_alone(path):
    """Breach unless the checkpoint is the only file in its folder."""
    if names := sorted(p.name for p in path.parent.iterdir() if p != path):
        raise Breach(f"after a save there is still {', '.join(names)}")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def uninterrupted(seed):
    """The digests of the files of a training that nothing disturbs: after each step, and the end.

    The weights after the training, too: the digests say that files are equal, not what is in them.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, NAME)
        train(path, seed, lambda step: found.update({step: digest(path)}))
        assert sorted(found) == list(range(1, STEPS + 1))
        _, (model, optimizer, _) = load(path, seed)
        return found, digest(path), model.state_dict(), optimizer.state_dict()


def start(path, seed):
    """A process that trains; it has said that it is ready, that is, has imported minidl."""
    command = [sys.executable, "-m", "tests.campaign.kills", str(path), str(seed)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def left_beside(path):
    """The temporary files in the folder; Breach if there are several."""
    names = sorted(p.name for p in path.parent.iterdir() if p != path)
    if len(names) > 1:
        raise Breach(f"{len(names)} files are left: {', '.join(names)}")
    return names


def trial(seed, say):
    """Kill and go on until the training ends; how many kills there were."""
    begin, rng = time.perf_counter(), np.random.default_rng(seed)
    digests, end, weights, state = uninterrupted(seed)
    window = PART * (time.perf_counter() - begin)
    counts, before = Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        path, left = Path(folder, NAME), []
        while True:
            process = start(path, seed)
            try:
                wait = rng.uniform(0, window) if counts["kills"] < MOST else None
                output, _ = process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
            if process.returncode == 0:
                break
            if process.returncode > 0 or output:
                raise Breach(f"the training failed:\n{output}")
            had = left
            left = left_beside(path)
            saved, _ = load(path, seed)  # a CheckpointError is a breach
            steps = 0 if saved is None else saved.step
            say(f"{counts['kills']} kills, {steps} steps")
            if steps < before:
                raise Breach(f"{before} steps were saved, now there are {steps}")
            if saved and digest(path) not in (digests[steps], end):
                raise Breach(f"another file after {steps} steps")
            counts["kills"] += 1
            counts["in a save"] += bool(left) and (steps > before or not had)
            counts["before the first save of the process"] += steps == before
            before = steps
        check_alone(path)
        _, (model, optimizer, _) = load(path, seed)
        for own, other in ((model.state_dict(), weights), (optimizer.state_dict(), state)):
            np.testing.assert_equal(own, other)
        if digest(path) != end:
            raise Breach("the file at the end differs from the uninterrupted one")
        return {"trainings": 1, **counts}


if __name__ == "__main__":
    print("ready", flush=True)
    train(Path(sys.argv[1]), int(sys.argv[2]), lambda step: check_alone(Path(sys.argv[1])))
