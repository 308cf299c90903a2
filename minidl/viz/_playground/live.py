"""The live page of the playground: each tab asks for steps, and is shown what they did."""

from __future__ import annotations

import contextlib
import inspect
import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import _blas, _checks, config, losses, nn
from minidl._page import render
from minidl._page.server import PageServer
from minidl.optim import RULES
from minidl.optim.declarations import LARGEST
from minidl.schedulers import Schedule, plateaus
from minidl.viz._playground import script, views
from minidl.viz._playground.data import BOX, DATA, DataSet
from minidl.viz._playground.settings import (
    GIVEN,
    INITS,
    LOSSES,
    MAX_CLASSES,
    MAX_LAYERS,
    MAX_SAMPLES,
    MAX_UNITS,
    OWNER,
    Given,
    Settings,
    from_json,
    rule_options,
)
from minidl.viz._playground.training import Training

MAX_SESSIONS = 16  # tabs; the one that was not used for longest is forgotten
MAX_STEPS = 5000  # of one question
LOST = (
    f"{OWNER}: this training is no longer kept, since {MAX_SESSIONS} others were opened or the "
    "server was started again"
)


class Session:
    """The trainings of one tab: one, or two with the same network and data."""

    def __init__(self, chosen: Settings) -> None:
        self.settings = chosen
        self.trainings = [Training(chosen, which) for which in range(len(chosen.runs))]
        self.views = [views.Views(training) for training in self.trainings]

    def frame(self, seen: list[list[int]], detail: bool = True) -> dict[str, Any]:
        """What the page shows of each training."""
        pad = [[-1, 0]] * len(self.views)
        return {
            "runs": [
                own.frame(has, detail) for own, has in zip(self.views, [*seen, *pad], strict=False)
            ]
        }

    def rewind(self, step: int) -> None:
        """Return to a step that all trainings remember."""
        for training, own in zip(self.trainings, self.views, strict=True):
            training.rewind(step)
            own.rewound()
        self.settings = self.trainings[0].settings

    def whole(self) -> dict[str, Any]:
        """The same after a change: with settings, data and the whole history."""
        first = self.trainings[0]
        x, y = views.drawn(self.settings, first.x, first.y)
        x_test, y_test = views.drawn(self.settings, first.x_test, first.y_test)
        return {
            "settings": self.settings.as_json(),
            "data": {"x": views.packed(x), "y": views.packed(y)}
            | {"xTest": views.packed(x_test), "yTest": views.packed(y_test)},
            "shown": self.settings.shown,
            "sizes": self.settings.sizes,
            "classes": self.settings.classes,
            "schedules": [_schedule_curve(own) for own in self.trainings],
            **self.frame([]),
        }


def _schedule_curve(training: Training) -> dict[str, Any] | None:
    """Rates over the steps of a schedule; None for a constant rate."""
    schedule = training.optimizer.groups[0]["lr"]
    if isinstance(schedule, float) or plateaus(schedule):  # its future depends on the losses
        return None
    last = max(start for start, _ in schedule.phases())
    steps = max(200, int(1.15 * last), training.step)
    every = max(1, steps // 240)
    rates: list[float] = []
    with contextlib.suppress(ValueError):  # of a rate that is not finite: the curve ends before
        rates.extend(float(schedule(t)) for t in range(0, steps + 1, every))
    return {
        "every": every,
        "rates": rates,
        "from": training.step - training.optimizer.t,
    }


class Playground:
    """The sessions of all tabs, and the answers to their questions.

    settings  what a page starts with; with data and a model of a program, if it gave some
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.sessions: dict[str, Session] = {}
        self.first = settings or Settings()
        self.given = self.first.given

    @property
    def answers(self) -> dict[str, Callable[[Any], Any]]:
        """The functions by the name that the page asks."""
        names = ("start", "frame", "change", "rewind", "edit", "log", "script", "walk")
        return {name: getattr(self, name) for name in names}

    def html(self, bridged: bool = False) -> str:
        """The page; `bridged` if it asks what it is embedded in, in place of a server."""
        given = self.given
        own = {} if given is None else {GIVEN: _card(given)}
        catalog = {
            "bridged": bridged,
            "names": None if given is None else given.names,
            "axes": None
            if given is None
            else {
                "inputs": [
                    [float(c), float(s)] for c, s in zip(given.center, given.scale, strict=True)
                ],
                "value": given.value,
            },
            "box": BOX,
            "side": views.SIDE,
            "every": views.EVERY,
            "data": {
                name: {
                    "title": own.title,
                    "classes": own.classes,
                    "inputs": own.inputs,
                    "sample": [
                        [*map(float, point), float(label)]
                        for point, label in zip(*_sample(own), strict=True)
                    ],
                }
                for name, own in DATA.items()
            }
            | own,
            "activations": list(nn.ACTIVATIONS),
            "inits": list(INITS),
            "losses": {"classes": LOSSES[True], "values": LOSSES[False]},
            "rules": {
                name: {
                    "options": rule_options(name),
                    "equations": inspect.cleandoc(rule.equations),
                }
                for name, rule in RULES.items()
            },
            "formulas": {name: _formula(own) for name, own in nn.ACTIVATIONS.items()}
            | {name: _formula(getattr(losses, name)) for own in LOSSES.values() for name in own},
            "limits": {
                "layers": MAX_LAYERS,
                "units": MAX_UNITS,
                "samples": MAX_SAMPLES,
                "classes": MAX_CLASSES,
                "steps": MAX_STEPS,
            },
            "defaults": self.first.as_json(),
        }
        text = (
            "The playground trains a small network while you watch. This page needs JavaScript "
            "and its server: python -m minidl playground"
        )
        return render(
            "minidl.viz._playground", "playground.html.j2", catalog, title="Playground", text=text
        )

    def _session(self, question: Any, *names: str) -> Session:
        """The session that a question names; ValueError unless it has these names."""
        if not isinstance(question, dict) or set(question) != {"session", *names}:
            raise ValueError(f"{OWNER}: a question must have {', '.join(('session', *names))}")
        key = question["session"]
        if not isinstance(key, str) or key not in self.sessions:
            raise ValueError(LOST)
        self.sessions[key] = session = self.sessions.pop(key)  # the newest is the last
        return session

    def start(self, question: Any) -> dict[str, Any]:
        """A new training: {"session": an old one or null, "settings": …}."""
        if not isinstance(question, dict) or set(question) != {"session", "settings"}:
            raise ValueError(f"{OWNER}: a question must have session and settings")
        session = Session(from_json(question["settings"], self.given))
        old = question["session"]
        key = old if isinstance(old, str) and old in self.sessions else secrets.token_urlsafe(8)
        self.sessions.pop(key, None)
        self.sessions[key] = session
        while len(self.sessions) > MAX_SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        return {"session": key, **session.whole()}

    def frame(self, question: Any) -> dict[str, Any]:
        """Take steps: {"session", "steps", "seen", "detail"}; `Views.frame` says what they are.

        seen is a list with a pair for each training.
        """
        session = self._session(question, "steps", "seen", "detail")
        steps = _checks.count(OWNER, "steps", question["steps"], 0)
        if steps > MAX_STEPS:
            raise ValueError(f"{OWNER}: steps must be at most {MAX_STEPS}, got {steps}")
        seen = question["seen"]
        if not isinstance(seen, list) or not all(
            isinstance(has, list) and len(has) == 2 and all(type(n) is int and n >= 0 for n in has)
            for has in seen
        ):
            raise ValueError(f"{OWNER}: seen must be a list of pairs of whole numbers")
        detail = _checks.flag(OWNER, "detail", question["detail"])
        began = time.perf_counter()
        try:
            for training, own in zip(session.trainings, session.views, strict=True):
                if steps:
                    training.advance(steps)
                    own.look()
                    training.remember()
        except Exception:  # such as a rate that is not finite
            session.rewind(min(max(training.remembered) for training in session.trainings))
            raise
        return {"seconds": time.perf_counter() - began, **session.frame(seen, detail)}

    def change(self, question: Any) -> dict[str, Any]:
        """Go on with the weights that both networks have: {"session", "settings"}."""
        session = self._session(question, "settings")
        chosen = from_json(question["settings"], self.given)
        if len(chosen.runs) != len(session.trainings):
            raise ValueError(f"{OWNER}: another number of runs starts again")
        for training, run in zip(session.trainings, chosen.runs, strict=True):
            if isinstance(run.rate, Schedule):
                t = training.optimizer.t
                _checks.number(OWNER, f"lr of step {t}", run.rate(t), high=LARGEST)
        for training, own in zip(session.trainings, session.views, strict=True):
            training.change(chosen)
            own.look()
        session.settings = chosen
        return session.whole()

    def rewind(self, question: Any) -> dict[str, Any]:
        """Return to a remembered step: {"session", "step"}."""
        session = self._session(question, "step")
        step = _checks.count(OWNER, "step", question["step"], 0)
        if not all(step in training.remembered for training in session.trainings):
            raise ValueError(f"{OWNER}: step {step} is not remembered")
        session.rewind(step)
        return session.whole()

    def edit(self, question: Any) -> dict[str, Any]:
        """Set a weight: {"session", "run", "name", "index": [i, j] or [j], "value"}."""
        session = self._session(question, "run", "name", "index", "value")
        training, own = self._one(session, question["run"])
        name, index = question["name"], question["index"]
        shapes = {name: p.shape for name, p in training.model.named_parameters()}
        _checks.choice(OWNER, "name", name, shapes)
        if (
            not isinstance(index, list)
            or len(index) != len(shapes[name])
            or not all(
                type(i) is int and 0 <= i < n for i, n in zip(index, shapes[name], strict=True)
            )
        ):
            raise ValueError(f"{OWNER}: {name} has the shape {shapes[name]}, got {index!r}")
        value = _checks.number(OWNER, "value", question["value"], low=-1e6, high=1e6)
        training.edit(name, tuple(index), value)
        for other in session.trainings:  # so that the same steps are remembered of both
            other.remember(always=True)
        own.look()
        return session.whole()

    def log(self, question: Any) -> dict[str, Any]:
        """What was changed after which step, so that the page can do it again: {"session"}.

        {"step", "log"}, with pairs of a step and settings or an edit, as `edit` takes it.
        """
        session = self._session(question)
        found: list[tuple[int, int, dict[str, Any]]] = []  # with the number of changed settings
        for run, training in enumerate(session.trainings):
            changes = 0
            for step, change in training.log:
                if isinstance(change, Settings):
                    changes += 1
                    if run == 0:
                        found.append((step, changes, {"settings": change.as_json()}))
                else:
                    name, index, value = change
                    edit = {"run": run, "name": name, "index": index, "value": value}
                    found.append((step, changes, {"edit": edit}))
        found.sort(key=lambda one: one[:2])
        log = [[step, change] for step, _, change in found]
        return {"step": session.trainings[0].step, "log": log}

    def script(self, question: Any) -> dict[str, str]:
        """A Python file that reproduces a training: {"session", "run"}."""
        training, _ = self._one(self._session(question, "run"), question["run"])
        return {"text": script.as_text(training)}

    def walk(self, question: Any) -> dict[str, str]:
        """The walkthrough of the next step, which is not taken: {"session", "run"}."""
        training, _ = self._one(self._session(question, "run"), question["run"])
        return {"html": script.walkthrough(training)}

    @staticmethod
    def _one(session: Session, run: Any) -> tuple[Training, views.Views]:
        if type(run) is not int or not 0 <= run < len(session.trainings):
            raise ValueError(f"{OWNER}: run must be below {len(session.trainings)}, got {run!r}")
        return session.trainings[run], session.views[run]


def _formula(described: Any) -> str:
    """The first sentence of a docstring, which has the formula."""
    return inspect.cleandoc(described.__doc__).splitlines()[0]


def _card(given: Given) -> dict[str, Any]:
    """What the page knows of given data, with some points for its button."""
    settings = Settings(data=GIVEN, given=given)
    rows = np.linspace(0, len(given.x) - 1, min(90, len(given.x))).astype(int)
    x, y = views.drawn(settings, given.x[rows], given.y[rows])
    sample = [[*map(float, at), float(value)] for at, value in zip(x, y, strict=True)]
    own = {"title": "your data", "classes": given.classes}
    return {**own, "inputs": settings.inputs, "sample": sample}


def _sample(own: DataSet) -> tuple[Any, Any]:
    """Some points of a data set, for its button."""
    x, y = own.draw(90, 0.05, np.random.default_rng(0))
    return x.round(2), y.reshape(-1).round(2)


def serve(port: int = 0, browser: bool = True) -> None:
    """Serve the playground until Ctrl-C, on one thread: its arrays are too small for several."""
    config.set_num_threads(1)
    _blas.use_one_thread()
    playground = Playground()
    with PageServer(OWNER, playground.html(), playground.answers, port) as server:
        server.run(browser=browser)
