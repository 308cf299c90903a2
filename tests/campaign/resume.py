"""A training that is stopped after any step and resumed in a new process ends in the same bits.

A seed is a rule, a schedule and a way to train with shuffling, Dropout, a metric and validation.
The training runs through. Then it is stopped and saved after each of its steps, and a new process
resumes it from each file. What must be equal at the end: the weights and buffers, the optimizer,
the loader, all generators, the average and the history.
"""

import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import resuming

import minidl as dl
from minidl import _expressions
from tests.campaign.harness import Breach

RULES = list(dl.optim.RULES)
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
SEEDS = 2 * len(RULES) * len(SCHEDULES)  # the second half in ways that are drawn
SECONDS = 120
METRICS = {"mae": dl.metrics.mae}
VALIDATION = resuming.X, resuming.Y


class Way:
    """What a seed tries; equal in every process."""

    def __init__(self, seed):
        n, self.schedule = divmod(seed, len(SCHEDULES))
        self.schedule, self.rule = SCHEDULES[self.schedule], RULES[n % len(RULES)]
        rng, drawn = np.random.default_rng(seed), seed >= SEEDS // 2
        self.weight_decay = float(drawn and rng.choice([0.0, 0.01]))
        self.averages = bool(drawn and rng.integers(2))
        self.options = {"epochs": 2, "validation": VALIDATION, "metrics": METRICS}
        if drawn:
            self.options |= {
                "epochs": int(rng.integers(1, 4)),
                "accumulate": int(rng.integers(1, 4)),
                "capture": ["auto", True, False][rng.integers(3)],
                "metrics": METRICS if rng.integers(2) else None,
                "validation": [None, 0.3, VALIDATION][rng.integers(3)],
            }

    def __repr__(self):
        shown = {k: v for k, v in self.options.items() if k not in ("metrics", "validation")}
        return f"{self.rule} with {self.schedule}, {shown}"

    def begun(self, seed=0):
        """A training that has not begun: the arguments of `save` and `load` by name."""
        rate = lambda: _expressions.schedule(self.schedule)  # noqa: E731
        more = {"weight_decay": self.weight_decay}
        model, optimizer, loader = resuming.training(seed, self.rule, rate, **more)
        callbacks = [dl.callbacks.Average(0.9)] if self.averages else []
        return {"model": model, "optimizer": optimizer, "data": loader, "callbacks": callbacks}

    def fit(self, own, **options):
        """Train; returns the history."""
        arguments = own["model"], dl.losses.mse, own["optimizer"], own["data"]
        options = {**self.options, "callbacks": own["callbacks"], "progress": False, **options}
        return dl.fit(*arguments, **options)


def look(own, history):
    """Everything that is left of a training, as text; not whether its steps were captured, which
    a training can't be of which few steps are left."""
    history.captured = False
    states = [callback.state_dict() for callback in own["callbacks"]]
    parts = resuming.look(own["model"], own["optimizer"], own["data"])
    return f"{parts} {states!r} {history.state_dict()!r}"


def through(way):
    """The end of a training that never stops, and the number of its steps."""
    own = way.begun()
    history = way.fit(own)
    return look(own, history), len(history.lr)


def stop(way, k, path):
    """Stop a training after step k, and save it."""
    own = way.begun()
    history = way.fit(own, steps=k)
    dl.save(path, **own, history=history)


def resume(seed, path):
    """The end of a training that is resumed from a file, with other weights until then."""
    way = Way(seed)
    own = way.begun(seed=9)
    saved = dl.load(path, **own)
    return look(own, way.fit(own, resume=saved))


def trial(seed, say):
    way = Way(seed)
    end, steps = through(way)
    new = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with tempfile.TemporaryDirectory() as folder, new:
        paths = {k: Path(folder, f"{k}.ckpt") for k in range(1, steps + 1)}
        for k, path in paths.items():
            say(f"{way}, stopped after step {k}")
            stop(way, k, path)
        ends = [new.submit(resume, seed, path) for path in paths.values()]
        for k, other in enumerate(ends, 1):
            say(f"{way}, resumed after step {k}")
            if other.result() != end:
                raise Breach(
                    f"{way}: stopped after step {k}, resumed, it ends differently",
                    REPRODUCTION.format(seed=seed, k=k),
                )
    return {"resumed": steps}


REPRODUCTION = """\
from tests.campaign.resume import Way, resume, stop, through

way = Way({seed})
stop(way, {k}, "stopped.ckpt")
print(way)
print(through(way)[0])
print(resume({seed}, "stopped.ckpt"))
"""
