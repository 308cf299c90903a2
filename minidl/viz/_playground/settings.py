"""What can be chosen in the playground: data, network, loss and one or two ways to train it.

Settings come as JSON from the page, so each is checked, and there is a limit for each size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minidl import _checks, _expressions, nn
from minidl.optim import RULES
from minidl.schedulers import Constant, Schedule, plateaus
from minidl.viz._playground.data import BOX, DATA

OWNER = "playground"
OWN = "own"  # the name of data that were drawn or loaded
GIVEN = "given"  # of those that a program gave, with a model
KINDS = ("classes", "values", "curve")  # of own data: a class or a value over x, y; y over x
MAX_SAMPLES, MAX_LAYERS, MAX_UNITS, MAX_CLASSES = 1000, 6, 16, 4
LOSSES = {  # for classes, for values
    True: ("cross_entropy", "binary_cross_entropy", "mse"),
    False: ("mse", "mae", "huber"),
}
INITS = ("auto", *nn.INITIALIZERS)


@dataclass(frozen=True)
class Run:
    """A way to train: a rule with its options, its rate as text, and the batch size."""

    rule: str = "Adam"
    lr: str = "0.01"
    options: tuple[tuple[str, Any], ...] = ()
    batch_size: int | None = 16

    @property
    def rate(self) -> float | Schedule:
        """The rate as a number or a schedule."""
        schedule = _expressions.schedule(self.lr, OWNER, "lr")
        return schedule.lr if isinstance(schedule, Constant) else schedule

    def as_json(self) -> dict[str, Any]:
        """The run as the page knows it."""
        return {
            "rule": self.rule,
            "lr": self.lr,
            "options": dict(self.options),
            "batch_size": self.batch_size,
        }


@dataclass(frozen=True, eq=False)
class Given:
    """A model and data from a program.

    x, y           the samples: inputs (n, d) and labels (n,) or values (n, 1)
    classes        the number of classes; 0 for values
    sizes          of the network; with activation and dropout they say what it is
    weights        its parameters, in order
    center, scale  of the inputs as the page draws them: from −1 to 1
    value          the same of the values
    names          of the inputs
    """

    x: np.ndarray
    y: np.ndarray
    classes: int
    sizes: tuple[int, ...]
    activation: nn.Activation
    dropout: float
    weights: tuple[np.ndarray, ...]
    center: np.ndarray
    scale: np.ndarray
    value: tuple[float, float]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """All that determines a training, so that equal settings give equal numbers."""

    data: str = "moons"
    samples: int = 200
    noise: float = 0.12
    test: float = 0.3
    kind: str = "classes"  # of own data
    points: tuple[tuple[float, ...], ...] = ()  # of own data: x, y, and the class or the value
    layers: tuple[int, ...] = (8, 8)
    activation: nn.Activation = "tanh"
    init: str = "auto"
    dropout: float = 0.0
    loss: str = "cross_entropy"
    seed: int = 0
    runs: tuple[Run, ...] = (Run(),)
    given: Given | None = None

    @property
    def classes(self) -> int:
        """The number of classes; 0 if the network predicts a value."""
        if self.data == GIVEN and self.given is not None:
            return self.given.classes
        if self.data != OWN:
            return DATA[self.data].classes
        if self.kind != "classes":
            return 0
        return max(2, 1 + int(max(point[2] for point in self.points)))

    @property
    def inputs(self) -> int:
        """The number of inputs."""
        if self.data == GIVEN and self.given is not None:
            return self.given.sizes[0]
        if self.data != OWN:
            return DATA[self.data].inputs
        return 1 if self.kind == "curve" else 2

    @property
    def shown(self) -> int:
        """The number of inputs over which the page draws, the first ones."""
        return min(2, self.inputs)

    @property
    def as_given(self) -> Given | None:
        """What a program gave, if the network begins with its weights."""
        given = self.given
        same = (
            given is not None
            and given.weights
            and (
                (self.data, self.sizes, self.activation, self.dropout, self.init, self.seed)
                == (GIVEN, list(given.sizes), given.activation, given.dropout, "auto", 0)
            )
        )
        return given if same else None

    @property
    def sizes(self) -> list[int]:
        """The sizes of the network, from the inputs to the outputs."""
        one = self.classes == 0 or (self.classes == 2 and self.loss == "binary_cross_entropy")
        return [self.inputs, *self.layers, 1 if one else self.classes]

    def same_but_runs(self, other: Settings) -> bool:
        """Whether data, network and loss are equal."""
        return replace(self, runs=()) == replace(other, runs=())

    def as_json(self) -> dict[str, Any]:
        """The settings as the page knows them."""
        own = {name: value for name, value in vars(self).items() if name != "given"}
        return {**own, "runs": [run.as_json() for run in self.runs]}


def from_json(given: Any, program: Given | None = None) -> Settings:
    """Settings from JSON; what is left out has its default. `program` may have given data.

    ValueError or TypeError that names what is wrong.
    """
    if not isinstance(given, dict):
        raise TypeError(f"{OWNER}: settings must be an object, got {type(given).__name__}")
    for name in given:
        known = Settings.__dataclass_fields__.keys() - {"given"}
        _checks.choice(OWNER, "a setting", name, sorted(known))
    own = {**vars(Settings()), **given}
    runs = own["runs"]
    if not isinstance(runs, list | tuple) or len(runs) not in (1, 2):
        raise ValueError(f"{OWNER}: runs must be a list of one or two")
    made = Settings(
        data=_checks.choice(
            OWNER, "data", own["data"], [*DATA, OWN, *[GIVEN] * (program is not None)]
        ),
        samples=_count("samples", own["samples"], 10, MAX_SAMPLES),
        noise=_checks.number(OWNER, "noise", own["noise"], high=1),
        test=_checks.number(OWNER, "test", own["test"], high=0.9),
        kind=_checks.choice(OWNER, "kind", own["kind"], KINDS),
        points=_points(own["points"], own["kind"] == "classes"),
        layers=_layers(own["layers"]),
        activation=_checks.choice(OWNER, "activation", own["activation"], nn.ACTIVATIONS),
        init=_checks.choice(OWNER, "init", own["init"], INITS),
        dropout=_checks.number(OWNER, "dropout", own["dropout"], high=0.9),
        loss=own["loss"],
        seed=_count("seed", own["seed"], 0, 2**31),
        runs=tuple(run if isinstance(run, Run) else _run(run) for run in runs),
        given=program,
    )
    if made.data == OWN and len(made.points) < 4:
        raise ValueError(f"{OWNER}: own data need four points or more")
    _checks.choice(OWNER, "loss", made.loss, LOSSES[made.classes > 0])
    return made


def _count(name: str, value: Any, low: int, high: int) -> int:
    if (checked := _checks.count(OWNER, name, value, low)) > high:
        raise ValueError(f"{OWNER}: {name} must be at most {high}, got {value}")
    return checked


def _layers(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list | tuple) or len(given) > MAX_LAYERS:
        raise ValueError(f"{OWNER}: layers must be a list of at most {MAX_LAYERS} sizes")
    return tuple(_count("a layer's size", size, 1, MAX_UNITS) for size in given)


def _points(given: Any, classes: bool) -> tuple[tuple[float, ...], ...]:
    what = "class" if classes else "value"
    expected = f"{OWNER}: points must be a list of at most {MAX_SAMPLES} lists [x, y, {what}]"
    if not isinstance(given, list | tuple) or len(given) > MAX_SAMPLES:
        raise ValueError(expected)
    points = []
    for point in given:
        if not isinstance(point, list | tuple) or len(point) != 3:
            raise ValueError(expected)
        at = [_checks.number(OWNER, "a point", x, low=-BOX, high=BOX) for x in point[:2]]
        if classes:
            last: float = _count("a point's class", point[2], 0, MAX_CLASSES - 1)
        else:
            last = _checks.number(OWNER, "a point's value", point[2], low=-BOX, high=BOX)
        points.append((*at, last))
    return tuple(points)


def _run(given: Any) -> Run:
    if not isinstance(given, dict) or not given.keys() <= Run.__dataclass_fields__.keys():
        raise ValueError(f"{OWNER}: a run must have rule, lr, options and batch_size")
    own = {**vars(Run()), **given}
    rule = _checks.choice(OWNER, "rule", own["rule"], RULES)
    if not isinstance(own["lr"], str | int | float) or len(str(own["lr"])) > 300:
        raise TypeError(f"{OWNER}: lr must be a rate or a schedule as text of at most 300 signs")
    options = dict(own["options"]) if isinstance(own["options"], dict | tuple) else None
    if options is None:
        raise TypeError(f"{OWNER}: options must be an object")
    for name, value in options.items():
        _checks.choice(OWNER, f"an option of {rule}", name, rule_options(rule))
        options[name] = tuple(value) if isinstance(value, list) else value
    batch = own["batch_size"]
    run = Run(
        rule=rule,
        lr=str(own["lr"]),
        options=tuple(sorted(options.items())),
        batch_size=None if batch is None else _count("batch_size", batch, 1, MAX_SAMPLES),
    )
    if any(plateau.mode == "max" for plateau in plateaus(run.rate)):
        raise ValueError(
            f'{OWNER}: a ReduceOnPlateau observes the loss, which gets smaller; mode must be "min"'
        )
    optimizer = RULES[rule]([_parameter()], lr=run.rate, **options)  # the rule checks them
    optimizer.rate(optimizer.groups[0])  # and the first rate
    return run


def _parameter() -> Any:
    from minidl.tensor import Tensor

    return Tensor(np.zeros(1, np.float32), requires_grad=True)


def rule_options(rule: str) -> dict[str, Any]:
    """The options of a rule that the page offers, with their defaults."""
    return {
        name: option.default
        for name, option in RULES[rule].options.items()
        if name not in ("lr", "maximize")
    }
