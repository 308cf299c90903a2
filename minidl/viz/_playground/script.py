"""A playground's training as a Python script, and the walkthrough of its next step."""

from __future__ import annotations

import inspect
import itertools
import re
from dataclasses import replace

import numpy as np

from minidl import nn
from minidl._expressions import NAMES
from minidl.schedulers import Schedule, plateaus
from minidl.viz._playground.data import DATA
from minidl.viz._playground.settings import GIVEN, OWN, Run, Settings
from minidl.viz._playground.training import Training, keep_weights, keeps_state

LOOP = """def endless(loader):
    while True:
        yield from loader


def captured(model, optimizer, loss_of):
    @dl.capture
    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step

"""
TRAIN = """
def train(steps):
    for _ in range(steps):
        step(*next(batches))

"""
TRAIN_AND_OBSERVE = """
epoch = [0.0, 0]  # the sum of the losses of its samples, and their number, so far


def train(steps):
    for _ in range(steps):
        batch = next(batches)
        epoch[0] += step(*batch).item() * len(batch[1])
        epoch[1] += len(batch[1])
        if epoch[1] == len(y):
            for plateau in plateaus(optimizer.groups[0]["lr"]):
                plateau.observe(epoch[0] / epoch[1])
            epoch[:] = 0.0, 0

"""


def as_text(training: Training) -> str:
    """A Python file that gives the same weights as the training, bit for bit."""
    return _Script(training).text()


class _Script:
    def __init__(self, training: Training) -> None:
        self.training, self.which = training, training.which
        self.schedules: set[str] = set()
        self.kept = False  # whether a network took the weights of another
        used = [change for _, change in training.log if isinstance(change, Settings)]
        self.observes = any(plateaus(own.runs[self.which].rate) for own in used)

    def text(self) -> str:
        (_, first), *later = self.training.log
        lines = [*self._data(first), *self._model(first), *self._learn(first)]
        now, at = first, 0
        for step, change in later:
            lines += self._train(step - at)
            at = step
            if isinstance(change, Settings):
                lines += self._changed(now, change)
                now = change
            else:
                name, index, value = change
                place = ", ".join(map(str, index))
                lines += ["", f"# after step {at}: one weight was set"]
                lines += [f"model.{name}.data[{place}] = {value!r}"]
        lines += self._train(self.training.step - at)
        lines += [
            "",
            f'print("after {self.training.step} steps the loss on the training data is",',
            f"      dl.evaluate(model, (x, y), dl.losses.{now.loss}))",
        ]
        head = ['"""The training of a minidl playground, to the same bits."""', ""]
        head += ["import numpy as np", "", "import minidl as dl"]
        if self.schedules:
            names = sorted(self.schedules | ({"plateaus"} if self.observes else set()))
            head += [f"from minidl.schedulers import {', '.join(names)}"]
        return "\n".join([*head, "", "", self._functions(), "", "", *lines, ""])

    def _functions(self) -> str:
        """The source of the data's functions and of the loop."""
        used = [change for _, change in self.training.log if isinstance(change, Settings)]
        names = dict.fromkeys(own.data for own in used if own.data not in (OWN, GIVEN))
        sources = [inspect.getsource(DATA[name].draw) for name in names]
        if self.kept:
            sources.append(inspect.getsource(keep_weights))
        shown = [
            re.sub(
                r"\) -> .*:\n",
                "):\n",
                re.sub(r": (int|float|np[\w.]*|nn[\w.]*)(?=[,)])", "", own, count=3),
            )
            for own in sources
        ]
        loop = LOOP + (TRAIN_AND_OBSERVE if self.observes else TRAIN)
        return "\n\n".join([*shown, loop]).strip()

    def _data(self, own: Settings) -> list[str]:
        if own.data == GIVEN and own.given is not None:
            kind = "np.intp" if own.given.classes else "np.float32"
            lines = [f"x = {_array(own.given.x)}", f"y = np.array({own.given.y.tolist()}, {kind})"]
        elif own.data == OWN:
            points = ",\n".join(f"    {list(point)}" for point in own.points)
            lines = [f"points = np.array([\n{points},\n], np.float32)"]
            target = "points[:, 1:2]" if own.inputs == 1 else "points[:, 2:]"
            target = f"np.ascontiguousarray({target})"
            if own.classes:
                target = "points[:, 2].astype(np.intp)"
            lines += [f"x, y = np.ascontiguousarray(points[:, :{own.inputs}]), {target}"]
        else:
            draw = DATA[own.data].draw.__name__
            lines = [
                f"x, y = {draw}({own.samples}, {own.noise!r}, np.random.default_rng({own.seed}))"
            ]
        if own.classes and own.loss != "cross_entropy":
            width = own.sizes[-1]
            column = "y[:, None]" if width == 1 else f"np.eye({width})[y]"
            lines += [f"y = {column}.astype(np.float32)"]
        count = len(own.points) if own.data == OWN else own.samples
        if own.data == GIVEN and own.given is not None:
            count = len(own.given.x)
        if round(count * own.test) >= 1:
            lines += [
                f"(x, y), (x_test, y_test) = dl.data.split(x, y, {own.test!r}, rng={own.seed})"
            ]
        return lines

    def _model(self, own: Settings) -> list[str]:
        if (given := own.as_given) is not None:
            weights = ",\n".join(f"    {_array(value)}" for value in given.weights)
            lines = [
                *self._model(replace(own, given=replace(given, weights=()))),
                f"weights = [\n{weights},\n]",
            ]
            return [
                *lines,
                "for p, value in zip(model.parameters(), weights):",
                "    p.data = value",
            ]
        if own.init == "auto" and not own.dropout:
            return [f"model = dl.nn.MLP({own.sizes}, {own.activation!r}, rng={own.seed})"]
        init = "glorot_uniform" if own.init == "auto" else own.init
        activation = nn.ACTIVATIONS[own.activation].__name__
        lines = [f"rng = np.random.default_rng({own.seed})", "model = dl.nn.Sequential("]
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(own.sizes)):
            lines += [f"    dl.nn.Dense({fan_in}, {fan_out}, init={init!r}, rng=rng),"]
            if i < len(own.layers):
                lines += [f"    dl.nn.{activation}(),"]
                if own.dropout:
                    lines += [f"    dl.nn.Dropout({own.dropout!r}, rng={own.seed + i}),"]
        return [*lines, ")"]

    def _learn(self, own: Settings) -> list[str]:
        return [*self._optimizer(own.runs[self.which]), *self._loader(own), *self._step(own)]

    def _rate(self, run: Run) -> str:
        rate = run.rate
        if isinstance(rate, Schedule):
            self.schedules |= set(re.findall(r"\b[A-Z]\w+(?=\()", repr(rate))) & NAMES.keys()
        return repr(rate)

    def _optimizer(self, run: Run) -> list[str]:
        options = "".join(f", {name}={value!r}" for name, value in run.options)
        return [f"optimizer = dl.optim.{run.rule}(model, lr={self._rate(run)}{options})"]

    def _loader(self, own: Settings) -> list[str]:
        size = own.runs[self.which].batch_size
        return [
            f"loader = dl.data.DataLoader(x, y, {size}, rng={own.seed})",
            "batches = endless(loader)",
            *["epoch[:] = 0.0, 0"] * self.observes,
        ]

    def _step(self, own: Settings) -> list[str]:
        return [f"step = captured(model, optimizer, dl.losses.{own.loss})"]

    def _train(self, steps: int) -> list[str]:
        return [f"train({steps})"] if steps else []

    def _changed(self, old: Settings, new: Settings) -> list[str]:
        was, run = old.runs[self.which], new.runs[self.which]
        lines = ["", "# the settings were changed; the weights stay"]
        if not new.same_but_runs(old):
            self.kept = True
            lines += ["old = model", *self._data(new), *self._model(new)]
            return [*lines, "keep_weights(model, old)", *self._learn(new)]
        if keeps_state(was, run):
            if run.lr != was.lr:
                lines += [f"optimizer.lr = {self._rate(run)}"]
            before = dict(was.options)
            lines += [
                f"optimizer.{name} = {value!r}"
                for name, value in run.options
                if before.get(name) != value
            ]
        elif (was.rule, was.lr, was.options) != (run.rule, run.lr, run.options):
            lines += [*self._optimizer(run), *self._step(new)]
        if was.batch_size != run.batch_size:
            lines += self._loader(new)
        return lines


def _array(values: np.ndarray) -> str:
    """A float32 array as an expression that gives the same bits."""
    return f"np.array({np.asarray(values, float).tolist()}, np.float32)"


def walkthrough(training: Training) -> str:
    """The page of a trace of the next step, which is taken back afterwards."""
    from minidl.walkthrough import page, trace

    state = training.state()
    rows = training.next_rows(1)
    x, y = training.x[rows], training.y[rows]
    with trace() as walk:
        training.optimizer.zero_grad()
        loss = training.loss(training.model(x), y)
        loss.name = "loss"
        loss.backward()
        training.optimizer.step()
    text = page.as_html(walk._presentation)
    training.restore(state, training.step)
    return text
