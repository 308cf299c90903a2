"""Kill a training that saves itself after each step; it must go on to the same bits.

    python -m tests.killing                         # 200 kills: two to four minutes
    python -m tests.killing --kills 20 --seed 7

A process trains a small network (Dropout, a shuffled DataLoader, Adam, a rate with warm-up) and
saves all of it after each step. SIGKILL ends the process at a random moment, most often in a save.
Then at most one temporary file may be left beside the checkpoint, the file must load, and its bytes
must be those that an uninterrupted training wrote after the same step. A new process goes on from
it; its first save must clear the left-over. Any breach ends the program with status 1. pytest does
not run this module.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import minidl as dl

NAME, EPOCHS, STEPS = "run.ckpt", 50, 500
WINDOW = 0.4  # s after the imports, in which the moment of the kill is drawn


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
    """SystemExit unless the checkpoint is the only file in its folder."""
    if names := sorted(p.name for p in path.parent.iterdir() if p != path):
        raise SystemExit(f"BREACH: after a save there is still {', '.join(names)}")


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
    command = [sys.executable, "-m", "tests.killing", "--train", str(path), "--seed", str(seed)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def left_beside(path):
    """The temporary files in the folder; SystemExit if there are several."""
    names = sorted(p.name for p in path.parent.iterdir() if p != path)
    if len(names) > 1:
        raise SystemExit(f"BREACH: {len(names)} files are left: {', '.join(names)}")
    return names


def one_training(seed, rng, most, expected, counts):
    """Kill and go on until the training ends; after `most` kills let it run. Counts the kills."""
    digests, end, weights, state = expected
    killed = before = 0
    with tempfile.TemporaryDirectory() as folder:
        path, left = Path(folder, NAME), []
        while True:
            process = start(path, seed)
            try:
                wait = rng.uniform(0, WINDOW) if killed < most else None
                output, _ = process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
            if process.returncode == 0:
                break
            if process.returncode > 0 or output:
                raise SystemExit(f"BREACH: the training failed:\n{output}")
            killed, had = killed + 1, left
            left = left_beside(path)
            saved, _ = load(path, seed)  # a CheckpointError is a breach, and status 1
            steps = 0 if saved is None else saved.step
            if steps < before:
                raise SystemExit(f"BREACH: {before} steps were saved, now there are {steps}")
            if saved and digest(path) not in (digests[steps], end):
                raise SystemExit(f"BREACH: another file after {steps} steps")
            counts["kills"] += 1
            counts["in a save"] += bool(left) and (steps > before or not had)
            counts["before the first save of the process"] += steps == before
            before = steps
        check_alone(path)
        _, (model, optimizer, _) = load(path, seed)
        for own, other in ((model.state_dict(), weights), (optimizer.state_dict(), state)):
            np.testing.assert_equal(own, other)
        if digest(path) != end:
            raise SystemExit("BREACH: the file at the end differs from the uninterrupted one")
        counts["trainings"] += 1


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the training and the moments")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)  # in a process of its own
    arguments = parser.parse_args()
    path, seed = arguments.train, arguments.seed
    if path:
        print("ready", flush=True)
        train(path, seed, lambda step: check_alone(path))
        return
    print(f"seed {seed}", flush=True)
    expected, rng = uninterrupted(seed), np.random.default_rng(seed)
    names = "trainings", "kills", "in a save", "before the first save of the process"
    counts = dict.fromkeys(names, 0)
    while counts["kills"] < arguments.kills:
        left = arguments.kills - counts["kills"]
        one_training(seed, rng, left, expected, counts)
    print(", ".join(f"{name}: {count}" for name, count in counts.items()), "no breach", sep="; ")


if __name__ == "__main__":
    main()
