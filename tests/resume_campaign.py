"""Resumes a training at every step, in new processes, for every rule and every schedule.

    python -m tests.resume_campaign [--rules Adam ...]

For each rule and schedule a training with shuffling, Dropout, a metric and validation runs through.
Then it is stopped and saved after each of its steps, and a new process resumes it from each file.
All ends must have the same bits: weights, buffers, the optimizer, the loader, generators, history.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from resuming import X, Y, look, training

import minidl as dl
from minidl import _expressions

SCHEDULES = [
    "Constant(0.01)",
    "StepDecay(0.02, 2, 0.5)",
    "PiecewiseConstant([2, 4], [0.02, 0.01, 0.005])",
    "ExponentialDecay(0.02, 0.9)",
    "InverseTimeDecay(0.02, 0.5)",
    "LinearDecay(0.02, 9)",
    "PolynomialDecay(0.02, 9, power=2.0)",
    "CosineDecay(0.02, 9)",
    "CosineRestarts(0.02, 2)",
    "InverseSqrtDecay(0.02, 2)",
    "Triangular(0.001, 0.02, 2)",
    "OneCycle(0.02, 9)",
    "WarmUp(CosineDecay(0.02, 9), 3)",
    "CoolDown(Constant(0.02), 3, 2)",
    "Hold(LinearDecay(0.02, 9), 3)",
    "Sequence([(0.02, 2), LinearDecay(0.02, 4)])",
    "warmup_stable_decay(0.02, 1, 2, 2)",
    "ReduceOnPlateau(0.02, patience=0, threshold=0.5)",
    "WarmUp(ReduceOnPlateau(0.02, patience=0, threshold=0.5), 2)",
]
OPTIONS = {"metrics": {"mae": dl.metrics.mae}, "validation": (X, Y), "progress": False}


def begun(rule, schedule, seed=0):
    """A training that has not begun."""
    return training(seed, rule, lambda: _expressions.schedule(schedule))


def fit(own, **options):
    """Train, and describe everything that is left."""
    history = dl.fit(own[0], dl.losses.mse, *own[1:], **OPTIONS, **options)
    return history, look(*own) + repr(history.state_dict())


def save(rule, schedule, folder):
    """Save a training after each of its steps; returns the end of one that never stopped."""
    history, end = fit(begun(rule, schedule), epochs=2)
    for k in range(1, len(history.lr) + 1):
        own = begun(rule, schedule)
        stopped, _ = fit(own, steps=k)
        dl.save(folder / f"{k}", own[0], optimizer=own[1], data=own[2], history=stopped)
    return end


def resume(rule, schedule, folder):
    """Print the end of the training resumed from each file, for the process that compares."""
    for path in sorted(folder.iterdir()):
        own = begun(rule, schedule, seed=9)
        saved = dl.load(path, own[0], optimizer=own[1], data=own[2])
        print(repr(fit(own, epochs=2, resume=saved)[1]))


def main():
    """Run the campaign; the exit status is 1 at the first end with other bits."""
    parser = argparse.ArgumentParser(description="Resume trainings at every step.")
    parser.add_argument("--rules", nargs="+", default=list(dl.optim.RULES))
    parser.add_argument("--resume", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.resume:
        rule, schedule, folder = arguments.resume
        resume(rule, schedule, Path(folder))
        return
    count = 0
    for rule in arguments.rules:
        for schedule in SCHEDULES:
            with tempfile.TemporaryDirectory() as name:
                end = save(rule, schedule, Path(name))
                command = [sys.executable, "-m", "tests.resume_campaign", "--resume"]
                run = subprocess.run(
                    [*command, rule, schedule, name], check=True, capture_output=True, text=True
                )
            ends = run.stdout.splitlines()
            count += len(ends)
            if not ends or any(other != repr(end) for other in ends):
                raise SystemExit(f"{rule} with {schedule}: a resumed training ended differently")
        print(f"{rule}: {len(SCHEDULES)} schedules", flush=True)
    print(f"{count} trainings were resumed in new processes; each ended in the same bits.")


if __name__ == "__main__":
    main()
