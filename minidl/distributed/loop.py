"""The loop of fit on several ranks: each computes its shards of a batch, and all take one step."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl._fit.hooks import Hook
from minidl._fit.loop import Loop
from minidl._fit.step import backward_pass, divergence, flat, parameters_of
from minidl.checkpoint import generators_of
from minidl.data import DataLoader
from minidl.data.arrays import call, part, samples
from minidl.data.batches import Batches
from minidl.distributed.draws import Draws
from minidl.distributed.gradients import Gradients
from minidl.distributed.state import StateInParts, fetch_state
from minidl.distributed.sums import Arrays, Node, nodes, pairwise, share
from minidl.distributed.world import RankError, World
from minidl.evaluation import Measured, array_of, by_batch, combined, mean_loss
from minidl.history import DivergenceError, Epoch
from minidl.losses import NoWeightError
from minidl.nn import Module
from minidl.optim import Optimizer
from minidl.tensor import no_grad

STEP, EPOCH, VERDICT = 0.0, 1.0, 2.0  # what ranks are about to do when they meet
HEAD = 6  # numbers that each rank tells: kind, epoch, step, rows, presses, failed


class GlobalBatch(NamedTuple):
    """A batch of all ranks, of which each reads only some rows."""

    arrays: tuple[Any, ...]  # (x, y) or (x, y, weight)
    rows: Any  # a slice, or row numbers
    size: int  # the number of rows

    def shard(self, begin: int, end: int) -> tuple[Any, ...]:
        """Some of its rows, as (x, y) or (x, y, weight)."""
        rows = self.rows
        if isinstance(rows, slice):
            rows = slice(rows.start + begin, rows.start + end)
        else:
            rows = rows[begin:end]
        return tuple(part(array, rows) for array in self.arrays)


class Shard(NamedTuple):
    """Some rows of a step's batches; `before` is the number of rows in the shards before."""

    batch: GlobalBatch
    begin: int
    end: int
    before: int


def shards_of(group: list[GlobalBatch], shards: int) -> list[Shard]:
    """Each batch in so many parts, or in as many as it has rows."""
    found, before = [], 0
    for batch in group:
        count = min(shards, batch.size)
        for i in range(count):
            rows = share(i, count, batch.size)
            found.append(Shard(batch, rows.start, rows.stop, before + rows.start))
        before += batch.size
    return found


class DistributedLoop(Loop):
    """One call of fit(distributed=world)."""

    def __init__(self, world: World, *arguments: Any) -> None:
        super().__init__(*arguments)
        module = getattr(self.model, "__self__", self.model)
        if not isinstance(module, Module):
            raise TypeError(
                "fit: with distributed= the model must be a Module, whose weights and random "
                f"numbers every rank can have, got {self.model!r}"
            )
        if not isinstance(self.optimizer, Optimizer):
            raise TypeError(
                f"fit: with distributed= the optimizer must be an Optimizer, got {self.optimizer!r}"
            )
        self.world, self.module, self.whole = world, module, False
        self.training.rank = world.rank
        params = list(dict.fromkeys(parameters_of(self.optimizer)))
        self.sums = Gradients(world, params)
        self.draws = Draws(generators_of(module))
        self.most = -(-self.accumulate * world.shards // world.size)  # shards of a rank
        self.found = np.zeros(len(params), bool)
        self.sharded: StateInParts | None = None
        self.agreed_presses = 0

    # --- begin and end ------------------------------------------------------------------------

    def run(self, report: Any) -> None:
        with self.world._watched("the begin of fit"):
            self.join()
            try:
                super().run(report)
            except KeyboardInterrupt as error:
                if self.world.size > 1 and not self.pressed:  # the other ranks don't know of it
                    self.world._ends_with_an_error(type(error), error, error.__traceback__)
                if self.ctrl_c.presses <= 1:
                    self.complete_state()
                raise
            except DivergenceError:  # of all ranks
                self.complete_state()
                raise
            self.sums.release()
            self.complete_state()
            self.world._parts = None

    def join(self) -> None:
        """Check that all ranks are about to do the same, and take over what rank 0 has."""
        world, batches = self.world, self.batches
        world._agree("fit", self.description())
        if isinstance(batches, DataLoader):
            rows = min(batches.batch_size or len(batches.y), len(batches.y))
            if rows * self.accumulate < world.size:
                raise ValueError(
                    f"fit: a step has {rows * self.accumulate} samples, which can't be divided "
                    f"among {world.size} ranks; give larger batches, or start fewer ranks"
                )
        states = [bits.state for bits in self.draws.generators.values()]
        place = vars(batches._place) if isinstance(batches, DataLoader) else {}
        order = batches.rng.bit_generator.state if isinstance(batches, DataLoader) else None
        states, own, order = world._objects((states, dict(place), order))[0]
        for bits, state in zip(self.draws.generators.values(), states, strict=True):
            bits.state = state
        if isinstance(batches, DataLoader):
            place |= own
            batches.rng.bit_generator.state = order
        if world.size > 1:
            weights = self.module.state_dict()
            for array in weights.values():
                world._broadcast(array)
            self.module.load_state_dict(weights)
            for p in self.sums.params:  # some may not be the module's
                data = p.data.copy()
                world._broadcast(data)
                p.data = data
        fetch_state(world, self.optimizer)
        if world.shard_state:
            self.sharded = StateInParts(world, self.optimizer, self.sums)
        world._parts = self.sharded

    def description(self) -> Iterator[tuple[str, Any]]:
        """What must be equal on all ranks."""
        world, module, history = self.world, self.module, self.history
        yield "start(shards=…, shard_state=…)", (world.shards, world.shard_state)
        state = module._state()
        yield "the names of the model's weights", list(state)
        yield from ((f"the weights {name!r}", (x.shape, str(x.dtype))) for name, x in state.items())
        frozen = [name for name, p in module.named_parameters() if not p.requires_grad]
        yield "the frozen parameters", frozen
        yield "the layers", [_layer(m) for m in module.modules()]
        yield "the update rule", type(self.optimizer).__name__
        yield "the number of parameter groups", len(self.optimizer.groups)
        for i, group in enumerate(self.optimizer.groups):
            options = {k: v for k, v in group.items() if k != "params"}
            yield f"the options of group {i}", options
            yield f"the parameters of group {i}", [p.shape for p in group.params]
        yield "the optimizer's steps so far", self.optimizer.t
        yield "the loss", getattr(self.loss, "__name__", self.loss)
        for what, batches in (("data", self.batches), ("validation data", self.validation)):
            yield f"the kind of the {what}", type(batches).__name__
            if isinstance(batches, DataLoader):
                arrays = flat(*batches._arrays())[1]
                shapes = [(a.shape, str(a.dtype)) for a in arrays]
                yield f"the shapes and dtypes of the {what}", shapes
                for name in ("batch_size", "shuffle", "drop_last"):
                    yield f"the {name} of the {what}", getattr(batches, name)
        yield "epochs and steps", self.ends
        yield "accumulate", self.accumulate
        yield "the metrics", list(self.metrics)
        yield "the callbacks", [type(c).__name__ for c in self.training.callbacks]
        yield "the epochs and steps before", (len(history.loss), len(history.step_loss))
        yield "the callback that ended the training before", history._ended

    def complete_state(self) -> None:
        """Collect the optimizer's state, if it is in parts."""
        if self.sharded is not None:
            self.sharded.collect()

    # --- a step -------------------------------------------------------------------------------

    def rest(self, epoch: Epoch) -> Iterator[Any]:
        """The batches that are left in an epoch; of a DataLoader no row is read yet."""
        batches = self.batches
        if isinstance(batches, DataLoader) and type(batches).__iter__ is DataLoader.__iter__:
            (order, _), arrays = batches._begin(), batches._arrays()
            for number in range(batches._taken, len(batches)):
                batches._taken = number + 1
                rows = batches._rows(number, order)
                count = rows.stop - rows.start if order is None else len(rows)
                yield GlobalBatch(arrays, rows, count)
            return
        for batch in super().rest(epoch):
            count = samples(batch[0])
            yield GlobalBatch(batch, slice(0, count), count)

    def gradients(self, group: list[GlobalBatch]) -> tuple[float, float, list[tuple[Any, ...]]]:
        world, shards = self.world, shards_of(group, self.world.shards)
        world._at(f"epoch {len(self.history.loss) + 1}, step {self.training.step}")
        own = share(world.rank, world.size, len(shards))
        values = np.zeros((3, self.most))  # of each shard: loss, weight, whether it is a sum
        pieces: dict[Node, Arrays] = {}
        seen: list[tuple[Any, ...]] = []
        error: Exception | None = None
        self.found[:] = False
        self.sums.begin()
        self.draws.begin()
        try:

            def known(node: Node) -> Arrays | None:
                if node[1] - node[0] > 1:
                    return None
                column = values[:, node[0] - own.start]
                return self.shard(shards[node[0]], column, seen)

            for node in nodes(own, len(shards)):
                pieces[node] = pairwise(node, known, self.sums.free.append)
        except Exception as raised:
            error = raised
        rows = sum(batch.size for batch in group)
        per_row = self.draws.per_row or [-1] * len(self.draws.generators)
        body = [*per_row, *values.ravel(), *self.found]
        table = self.meet(STEP, rows, body, error)
        counts, values, found = self.columns(table, len(shards))
        if self.draws.generators:
            self.draws.per_row = [int(n) for n in counts]
            self.draws.move(rows)
        if not values[1].any():
            raise NoWeightError(
                "fit: the samples of a step have no weight, so their mean is undefined"
            )
        value, weight, sums = mean_loss(
            [(loss, own, bool(is_sum)) for loss, own, is_sum in values.T.tolist()]
        )
        self.history._sums = sums
        if not math.isfinite(value):
            raise divergence(value, self.optimizer, self.history)
        divisor = None if sums or self.accumulate * world.shards == 1 else weight
        self.sums.sum(pieces, len(shards), divisor, self.whole_gradients)
        self.found = found
        if self.whole_gradients:
            self.sums.assign(found)
        if self.metrics:
            seen = [batch for every in world._objects(seen) for batch in every]
        return value, weight, seen

    def shard(self, shard: Shard, column: np.ndarray, seen: list[tuple[Any, ...]]) -> Arrays:
        """The gradients of a shard; puts its loss, weight and kind into the column."""
        batch, count = shard.batch.shard(shard.begin, shard.end), shard.end - shard.begin
        form, arrays = flat(*batch)
        if self.draws.generators:
            with no_grad():
                self.draws.measure(lambda: call(self.model, batch[0]), count)
            self.draws.move(shard.before)
        scaled, steps = self.accumulate * self.world.shards > 1, len(self.history.lr)
        run = self.function(backward_pass, form, True, scaled, bool(self.metrics))
        try:
            result, weight, prediction = run(*arrays)
        except NoWeightError:
            self.optimizer.zero_grad()
            return self.sums.zeros()
        except DivergenceError:
            column[:] = self.history.step_loss[steps], 1, False
            del self.history.step_loss[steps:], self.history.lr[steps:]
            return self.sums.zeros()
        finally:
            if self.draws.generators:
                self.draws.check(shard.before + count)
        size = samples(batch[0]) if weight is None else float(weight)
        column[:] = result.item(), size, weight is None
        if self.metrics:
            given = (prediction, *batch[1:])
            seen.append(tuple(array_of(x) for x in given))
        self.found |= self.sums.found()
        return self.sums.read()

    def columns(self, table: np.ndarray, shards: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a table holds of a step: draws a row, (loss, weight, sum) of shards, gradients."""
        size, first = self.world.size, HEAD + len(self.draws.generators)
        counts = table[:, HEAD:first].max(axis=0)
        values = table[:, first : first + 3 * self.most].reshape(size, 3, self.most)
        own = [values[r, :, : len(share(r, size, shards))] for r in range(size)]
        found: np.ndarray = table[:, first + 3 * self.most :].max(axis=0) > 0
        return counts, np.concatenate(own, axis=1), found

    @property
    def whole_gradients(self) -> bool:
        """Whether each rank needs the gradients of all parameters."""
        return self.sharded is None or bool(self.hooks["on_backward"] or self.hooks["on_step"])

    def update(self) -> None:
        whole = self.whole_gradients
        found = self.sums.found() if whole else self.found
        if self.sharded is None or not found.any():  # which is an error
            super().update()
        else:
            self.sharded.update(self.sums, found, whole)

    # --- where the ranks meet -----------------------------------------------------------------

    def meet(
        self, kind: float, rows: int, body: Sequence[Any], error: Exception | None = None
    ) -> np.ndarray:
        """What all ranks tell, a row each; RankError unless they are about to do the same."""
        width = HEAD + len(self.draws.generators) + 3 * self.most + len(self.found)
        own, presses = np.zeros(width), self.ctrl_c.presses
        epoch, step = len(self.history.loss) + 1, len(self.history.step_loss)
        own[:HEAD] = kind, epoch, step, rows, presses, error is not None
        own[HEAD : HEAD + len(body)] = body
        table = self.world._gather(own)
        for rank, row in enumerate(table):
            if (row[:4] != table[0, :4]).any():
                self.world._raise_together(error)
                raise RankError(
                    f"fit: the ranks disagree: rank 0 {_doing(table[0])}, but rank {rank} "
                    f"{_doing(row)}. Give all of them the same data and callbacks."
                )
        if table[:, 5].any():
            self.world._raise_together(error)
        self.agreed_presses = int(table[:, 4].max())
        return table

    @property
    def pressed(self) -> bool:
        """Whether Ctrl-C was pressed on any rank before the last meeting."""
        return self.agreed_presses > 0

    def finish(self, report: Any) -> None:
        """Finish an epoch; RankError if the weights of a rank have become others."""
        self.world._at(f"the end of epoch {len(self.history.loss) + 1}")
        weights = map(array_of, self.module._state().values())
        sums = [zlib.crc32(x.tobytes()) for x in weights]
        table = self.meet(EPOCH, 0, [zlib.crc32(repr(sums).encode())])
        for rank, row in enumerate(table):
            if row[HEAD] != table[0, HEAD]:
                raise RankError(
                    f"fit: the weights or buffers of rank {rank} are not those of rank 0 at the "
                    f"end of epoch {len(self.history.loss) + 1}. A forward pass or a callback has "
                    "changed them by what only one rank has: its rows, its random numbers, its time"
                )
        super().finish(report)

    def evaluated(self, batches: DataLoader | Batches) -> dict[str, Any]:
        """The loss and the metrics of validation data, whose batches are divided among ranks."""
        world, own, error = self.world, list[Measured](), None
        arguments = self.model, self.loss, batches, self.metrics
        try:
            own = by_batch(*arguments, world.rank, world.size)
        except Exception as raised:
            error = raised
        world._raise_together(error)
        every = world._objects(own)
        places = ((i // world.size, i % world.size) for i in range(sum(map(len, every))))
        return combined([every[rank][i] for i, rank in places], True, self.metrics)

    def ask(self, hooks: list[Hook]) -> list[tuple[Any, Any]]:
        if hooks and hooks is self.hooks["after_others"]:
            self.complete_state()
        return super().ask(hooks)

    def end_if(self, verdicts: list[tuple[Any, Any]], where: str) -> None:
        """End the training on all ranks if a callback on one of them wants that."""
        super().end_if(verdicts, where)
        if verdicts:
            names = ["", *self.sources]
            table = self.meet(VERDICT, 0, [names.index(self.history._ended)])
            self.history._ended = names[int(table[:, HEAD].max())]


def _layer(module: Module) -> str:
    """The class of a module, with the options if it is one of nn: those of others may change."""
    own = type(module).__module__ == Module.__module__
    return f"{type(module).__name__}({module._details() if own else ''})"


def _doing(row: np.ndarray) -> str:
    kind, epoch, step, rows = row[:4].tolist()
    if kind == STEP:
        return f"takes step {step + 1:.0f}, in epoch {epoch:.0f}, with {rows:.0f} rows"
    what = "finishes" if kind == EPOCH else "asks its callbacks in"
    return f"{what} epoch {epoch:.0f} after step {step:.0f}"
