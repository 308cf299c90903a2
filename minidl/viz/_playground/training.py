"""One training of the playground: captured steps, remembered states, and what changes on the way.

The data, the network and the order of the batches depend on the settings alone. So the same
settings and changes give the same bits, here and in the script that `script` writes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import minidl._capture as capturing
from minidl import losses, nn
from minidl.data import DataLoader, split
from minidl.optim import RULES, Optimizer
from minidl.schedulers import plateaus
from minidl.tensor import Tensor
from minidl.viz._playground.data import DATA
from minidl.viz._playground.settings import GIVEN, OWN, OWNER, Run, Settings

Array = np.ndarray
MOST_REMEMBERED = 160  # states; of more, every second one is forgotten


def build_data(settings: Settings) -> tuple[Array, Array, Array, Array]:
    """The training and test parts: x, y, x_test, y_test, in the form that the loss needs."""
    if settings.data == GIVEN and settings.given is not None:
        x, y = settings.given.x, settings.given.y
    elif settings.data == OWN:
        points = np.array(settings.points, np.float32)
        x = np.ascontiguousarray(points[:, : settings.inputs])
        if settings.classes:
            y = points[:, 2].astype(np.intp)
        else:
            y = np.ascontiguousarray(points[:, 1:2] if settings.inputs == 1 else points[:, 2:])
    else:
        rng = np.random.default_rng(settings.seed)
        x, y = DATA[settings.data].draw(settings.samples, settings.noise, rng)
    if settings.classes and settings.loss != "cross_entropy":
        width = settings.sizes[-1]
        y = (y[:, None] if width == 1 else np.eye(width)[y]).astype(np.float32)
    if round(len(x) * settings.test) < 1:
        return x, y, x[:0], y[:0]
    (x, y), (x_test, y_test) = split(x, y, settings.test, rng=settings.seed)
    return x, y, x_test, y_test


def build_model(settings: Settings) -> nn.Sequential:
    """The network with its first weights."""
    sizes, seed, given = settings.sizes, settings.seed, settings.as_given
    if given is not None:
        model = build_model(replace(settings, given=replace(given, weights=())))
        for p, value in zip(model.parameters(), given.weights, strict=True):
            p.data = value
        return model
    if settings.init == "auto" and not settings.dropout:
        return nn.MLP(sizes, settings.activation, rng=seed)
    rng, modules = np.random.default_rng(seed), list[nn.Module]()
    init: Any = "glorot_uniform" if settings.init == "auto" else settings.init
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        modules.append(nn.Dense(fan_in, fan_out, init=init, rng=rng))
        if i < len(settings.layers):
            modules.append(nn.ACTIVATIONS[settings.activation]())
            if settings.dropout:
                modules.append(nn.Dropout(settings.dropout, rng=seed + i))
    return nn.Sequential(*modules)


def keep_weights(model: nn.Sequential, old: nn.Sequential) -> None:
    """Take the weights between units that both networks have; their last layers correspond."""
    layers, others = [[m for m in own if hasattr(m, "weight")] for own in (model, old)]
    pairs = [*zip(layers[:-1], others[:-1], strict=False), (layers[-1], others[-1])]
    for layer, other in pairs:
        for new, kept in zip(layer.parameters(), other.parameters(), strict=True):
            both = tuple(map(slice, map(min, new.shape, kept.shape)))
            new.data[both] = kept.data[both]


def build_optimizer(run: Run, model: nn.Module) -> Optimizer:
    """The rule of a run on the parameters of a network."""
    return RULES[run.rule](model, lr=run.rate, **dict(run.options))


class Training:
    """A network and all that trains it.

    settings  of the playground
    which     the index of the run in them

    step      the number of steps taken
    seconds   that the steps took
    log       what was changed, and after which step: settings, or (parameter, index, value)
    """

    def __init__(self, settings: Settings, which: int = 0) -> None:
        self.settings, self.which, self.step, self.seconds = settings, which, 0, 0.0
        self.log: list[tuple[int, Any]] = [(0, settings)]
        self.losses: list[float] = []  # of each step since the last look
        self.update: list[Array] = []  # what the last step added to each parameter
        self._build()
        self._learn()
        self.remembered: dict[int, dict[str, Any]] = {}
        self.remember()

    @property
    def run(self) -> Run:
        """The run of the settings."""
        return self.settings.runs[self.which]

    @property
    def epochs(self) -> float:
        """The number of epochs since the data or the batch size were set."""
        return self._epochs + self.loader._taken / len(self.loader)

    @property
    def epoch_length(self) -> int:
        """Steps that are left until an epoch ends; those of a whole one at its end."""
        return len(self.loader) - self.loader._taken % len(self.loader)

    def _build(self) -> None:
        self.x, self.y, self.x_test, self.y_test = build_data(self.settings)
        self.model = build_model(self.settings)
        self.loss: Callable[..., Tensor] = getattr(losses, self.settings.loss)

    def _learn(self) -> None:
        self.optimizer = build_optimizer(self.run, self.model)
        self._load()
        self._capture()

    def _load(self) -> None:
        settings = self.settings
        self.loader = DataLoader(self.x, self.y, self.run.batch_size, rng=settings.seed)
        self._order: Array | None = None
        self._epochs = 0
        self._total = 0.0  # of the losses of the samples in this epoch
        self.loader._taken = 0
        self._begun = False

    def _capture(self) -> None:
        model, loss_of, optimizer = self.model, self.loss, self.optimizer

        def step(x: Any, y: Any) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        self._step = capturing.capture(step)

    @np.errstate(all="ignore")
    def advance(self, steps: int) -> None:
        """Take steps; afterwards `update` is what the last one has added."""
        began = time.perf_counter()
        self._take(steps - 1)
        before = [p.data.copy() for p in self.model.parameters()]
        self._take(1)
        self.seconds += time.perf_counter() - began
        after = self.model.parameters()
        self.update = [p.data - old for p, old in zip(after, before, strict=True)]
        self.step += steps

    def _take(self, steps: int) -> None:
        size = self.loader.batch_size or len(self.y)
        while steps > 0:
            rows = self.next_rows(steps)
            count, known = -(-len(rows) // size), len(self.losses)
            for _, result in self._step._steps((self.x, self.y), size, rows, self.losses):
                if result is not None:
                    self.losses.append(result.item())
            self.loader._taken += count
            steps -= count
            self._observe(self.losses[known:], len(rows))

    def _observe(self, losses: list[float], samples: int) -> None:
        """Show each ReduceOnPlateau the mean loss of an epoch at its end, as fit does."""
        size = self.loader.batch_size or samples
        for i, loss in enumerate(losses):
            self._total += loss * min(size, samples - i * size)
        if self.loader._taken == len(self.loader):
            for plateau in plateaus(self.optimizer.groups[0]["lr"]):
                plateau.observe(self._total / len(self.y))
            self._total = 0.0

    def next_rows(self, steps: int) -> Array:
        """The samples of the next steps, as far as this epoch goes; begins an epoch if need be."""
        if not self._begun or self.loader._taken == len(self.loader):
            self._epochs += self._begun
            (self._order, _), self._begun = self.loader._begin(), True
        size = self.loader.batch_size or len(self.y)
        begin = self.loader._taken * size
        order = np.arange(len(self.y)) if self._order is None else self._order
        return order[begin : begin + steps * size]

    # --- changes --------------------------------------------------------------------------------

    def change(self, settings: Settings) -> None:
        """Go on with other settings and the same weights, as far as both networks have them.

        The state of the rule is kept if only its options change; the order of the batches if
        neither data nor batch size do.
        """
        old, old_run, model = self.settings, self.run, self.model
        self.settings = settings
        if not settings.same_but_runs(old):
            self._build()
            keep_weights(self.model, model)
            self._learn()
            if settings.sizes != old.sizes:
                self.update = []
        else:
            if keeps_state(old_run, self.run):
                if old_run.lr != self.run.lr:
                    self.optimizer.lr = self.run.rate
                for name, value in self.run.options:
                    setattr(self.optimizer, name, value)
            elif (old_run.rule, old_run.lr, old_run.options) != (
                *(self.run.rule, self.run.lr, self.run.options),
            ):
                self.optimizer = build_optimizer(self.run, self.model)
                self._capture()
            if old_run.batch_size != self.run.batch_size:
                self._load()
        self.log.append((self.step, settings))
        self.remember(always=True)

    def edit(self, name: str, index: tuple[int, ...], value: float) -> None:
        """Set one weight or bias; KeyError or IndexError if there is none such."""
        parameter = dict(self.model.named_parameters())[name]
        if len(index) != parameter.ndim:
            raise IndexError(f"{OWNER}: {name} has {parameter.ndim} axes, got {index}")
        parameter.data[index] = value
        self.log.append((self.step, (name, index, value)))
        self.remember(always=True)

    # --- remembered states ----------------------------------------------------------------------

    def remember(self, always: bool = False) -> None:
        """Remember the state in place of one of the same step; unless always, only if the last
        remembered one is not close.
        """
        since = self.step - max(self.remembered, default=0)
        if not always and since < 2 * self.step // MOST_REMEMBERED:
            return
        self.remembered[self.step] = self.state()
        if len(self.remembered) > MOST_REMEMBERED:
            for step in list(self.remembered)[1:-1:2]:
                del self.remembered[step]

    def state(self) -> dict[str, Any]:
        drops = [m.rng.bit_generator.state for m in self.model if isinstance(m, nn.Dropout)]
        return {
            "weights": {name: value.copy() for name, value in self.model.state_dict().items()},
            "grads": [None if p.grad is None else p.grad.copy() for p in self.model.parameters()],
            "optimizer": self.optimizer.state_dict(),
            "loader": self.loader.state_dict(),
            "place": (self._epochs, self._begun, self._order),
            "total": self._total,
            "seconds": self.seconds,
            "drops": drops,
            "update": self.update,
            "log": list(self.log),
        }

    def rewind(self, step: int) -> None:
        """Return to a remembered step; what was remembered after it is forgotten.

        KeyError if the step is not remembered.
        """
        self.restore(self.remembered[step], step)
        self.remembered = {k: own for k, own in self.remembered.items() if k <= step}

    def restore(self, state: dict[str, Any], step: int) -> None:
        """Put a state back."""
        settings = next(s for _, s in reversed(state["log"]) if isinstance(s, Settings))
        if settings is not self.settings:
            self.settings = settings
            self._build()
            self._learn()
        self.model.load_state_dict(state["weights"])
        for p, grad in zip(self.model.parameters(), state["grads"], strict=True):
            p.grad = None if grad is None else grad.copy()
        self.optimizer.load_state_dict(state["optimizer"])
        self._load()
        self._epochs, begun, self._order = state["place"]
        self._total, self.seconds = state["total"], state["seconds"]
        self.loader.load_state_dict(state["loader"])
        if begun and self.loader._taken < len(self.loader):
            self._order, _ = self.loader._begin()
        self._begun = begun
        drops = [m for m in self.model if isinstance(m, nn.Dropout)]
        for module, generator_state in zip(drops, state["drops"], strict=True):
            module.rng.bit_generator.state = generator_state
        self.update, self.log, self.step = state["update"], list(state["log"]), step
        self.losses.clear()


def keeps_state(old: Run, new: Run) -> bool:
    """Whether the state of a rule is kept when its options change: it has the same arrays."""
    if old.rule != new.rule or dict(old.options).keys() - dict(new.options).keys():
        return False
    switches = {slot.when for slot in RULES[old.rule].slots.values()}
    return all(
        bool(dict(old.options).get(name)) == bool(dict(new.options).get(name))
        for name in switches
        if name
    )
