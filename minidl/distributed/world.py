"""World: the processes that work together over MPI, what they exchange, and how a failure ends."""

from __future__ import annotations

import contextlib
import contextvars
import math
import os
import pickle
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import numpy as np

from minidl import _checks
from minidl.distributed.launch import RANKS

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE = 2.0  # s; the rank that is late shall tell before those that wait for it
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # in a repr, another one in each process
SPINS = 200  # tests of a message before a rank yields its core to others


class RankError(RuntimeError):
    """Another rank failed, or the ranks disagree; every rank raises it at the same place."""


class World:
    """The processes of an MPI job, which are called ranks; made by `dl.distributed.start`.

    rank         the number of this process, 0 ≤ rank < size
    size         the number of processes
    shards       the number of parts in which fit cuts a batch
    shard_state  whether each rank keeps a part of the optimizer's state
    timeout      s; a rank that is late for so long ends the job
    """

    def __init__(
        self, comm: Any, *, shards: int = 8, shard_state: bool = False, timeout: float = 60.0
    ) -> None:
        self._comm, self.rank, self.size = comm, int(comm.rank), int(comm.size)
        self.shards, self.shard_state, self.timeout = shards, shard_state, timeout
        self._where = "start"
        self._parts: Any = None  # of the state of the optimizer in fit
        self._beat = time.monotonic()

    def __repr__(self) -> str:
        return (
            f"World(rank {self.rank} of {self.size}, shards={self.shards}, "
            f"shard_state={self.shard_state}, timeout={self.timeout:g})"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a World is of this process, and can't be pickled or copied")

    def gather_state(self) -> None:
        """Complete the optimizer's state on rank 0, which holds it in parts; all ranks call it.

        For a callback that saves a checkpoint during fit with shard_state=True; fit itself does so
        at its end, and before dl.callbacks.Checkpoint. Otherwise it does nothing.
        """
        if self._parts is not None:
            self._parts.collect()

    # --- messages -------------------------------------------------------------------------------
    # Each is a collective call: all ranks make it, in the same order. They wait by testing, so
    # that Ctrl-C and the timeout are noticed.

    def _gather(self, array: np.ndarray) -> np.ndarray:
        """The arrays of all ranks, of one shape and dtype, along a new first axis."""
        if self.size == 1:
            return array[np.newaxis].copy()
        out = np.empty((self.size, *array.shape), array.dtype)
        self._wait(self._comm.Iallgather(np.ascontiguousarray(array), out))
        return out

    def _broadcast(self, array: np.ndarray) -> None:
        """Replace a contiguous array by that of rank 0."""
        if self.size > 1:
            self._wait(self._comm.Ibcast(array, 0))

    def _objects(self, value: Any) -> list[Any]:
        """What all ranks give, in the order of ranks; it is pickled."""
        if self.size == 1:
            return [value]
        given = np.frombuffer(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), np.uint8)
        sizes = self._gather(np.array([given.size], np.int64))[:, 0]
        parts = np.split(self._gather_parts(given, sizes), np.cumsum(sizes)[:-1])
        return [pickle.loads(part.tobytes()) for part in parts]

    def _gather_parts(self, part: np.ndarray, sizes: Sequence[int] | np.ndarray) -> np.ndarray:
        """The vectors of all ranks, of these sizes, one after the other."""
        out = np.empty(int(sum(sizes)), part.dtype)
        self._wait(self._comm.Iallgatherv(part, [out, np.asarray(sizes)]))
        return out

    def _gather_in_place(self, vector: np.ndarray, sizes: Sequence[int]) -> None:
        """Complete a vector, of which each rank has its part, of these sizes, in its place."""
        if self.size > 1:
            in_place = _mpi().IN_PLACE
            self._wait(self._comm.Iallgatherv(in_place, [vector, np.asarray(sizes)]))

    def _to_root(self, vector: np.ndarray, sizes: Sequence[int]) -> None:
        """The same for rank 0 alone; the vectors of the others are their parts."""
        if self.size > 1:
            target = [vector, np.asarray(sizes)] if self.rank == 0 else None
            own: Any = _mpi().IN_PLACE if self.rank == 0 else vector
            self._wait(self._comm.Igatherv(own, target, 0))

    def _exchange(
        self, sent: np.ndarray, counts: Sequence[int], out: np.ndarray, received: Sequence[int]
    ) -> None:
        """Send the parts of a vector to the ranks, and receive one from each."""
        send, receive = [sent, np.asarray(counts)], [out, np.asarray(received)]
        self._wait(self._comm.Ialltoallv(send, receive))

    def _wait(self, request: Any) -> None:
        """Wait for a message, at most the timeout and a little more, so that the late one tells."""
        begun, tests = time.monotonic(), 0
        while not request.Test():
            tests += 1
            if tests < SPINS:
                continue
            _yield()
            self._beat = now = time.monotonic()
            if now - begun > self.timeout + GRACE:
                self._abort(
                    f"waited {now - begun:.1f} s for other ranks, at {self._where}; each rank must "
                    "make the same calls. Raise start(timeout=...) if one takes that long",
                    _stack(threading.main_thread()),
                )
        self._beat = time.monotonic()

    def _at(self, where: str) -> None:
        """Say where the program is, for messages."""
        self._where, self._beat = where, time.monotonic()

    # --- failure --------------------------------------------------------------------------------

    def _abort(self, what: str, trace: str) -> NoReturn:
        """End all ranks, after a message with this rank's number."""
        text = f"{trace.rstrip()}\nrank {self.rank} of {self.size}: {what}"
        lines = "".join(f"[rank {self.rank}] {line}\n" for line in text.splitlines())
        with contextlib.suppress(OSError, ValueError):
            os.write(2, lines.encode(errors="backslashreplace"))
        self._comm.Abort(1)
        os._exit(1)

    def _ends_with_an_error(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """The sys.excepthook of a job: an error that ends one rank ends all of them."""
        text = "".join(traceback.format_exception(kind, error, trace))
        self._abort(f"ended by {kind.__name__}, and with it the job", text)

    @contextlib.contextmanager
    def _watched(self, where: str) -> Iterator[None]:
        """A context in which this rank ends the job if it is late for the timeout."""
        self._at(where)
        if self.size == 1:
            yield
            return
        done = threading.Event()
        arguments = done, threading.current_thread()
        thread = threading.Thread(target=self._watch, args=arguments, daemon=True)
        thread.start()
        try:
            yield
        except SystemExit as error:  # of one rank, perhaps, for which the others would wait
            self._abort(f"ended by sys.exit({error.code})", traceback.format_exc())
        finally:
            done.set()

    def _watch(self, done: threading.Event, watched: threading.Thread) -> None:
        while not done.wait(min(0.5, self.timeout / 4)):
            if (late := time.monotonic() - self._beat) > self.timeout:
                what = f"was late for {late:.1f} s, at {self._where}, while the others waited"
                self._abort(what, _stack(watched))

    def _raise_together(self, error: BaseException | None) -> None:
        """Raise the own error, or RankError if another rank has one; all ranks call it."""
        self._raise_first(error, self._objects(error and _text(error)))

    def _raise_first(self, error: BaseException | None, texts: list[str | None]) -> None:
        """The same with the errors' texts."""
        if error is not None:
            raise error
        for rank, text in enumerate(texts):
            if text is not None:
                name = text.rstrip().rpartition("\n")[2]
                raise RankError(
                    f"rank {rank} of {self.size} failed at {self._where}: {name}\nits traceback:\n"
                    f"{text}"
                )

    def _agree(self, owner: str, entries: Iterable[tuple[str, Any]]) -> None:
        """RankError that names the first entry, (name, value), that differs between ranks.

        RuntimeError in a function of map, which runs on one rank.
        """
        if _in_map.get():
            raise RuntimeError(
                f"{owner}: a function of dl.distributed.map runs on one rank alone, so it can't "
                f"call what all ranks must call together; {_ALONE[owner]}"
            )
        texts = [(name, ADDRESS.sub("", repr(value))) for name, value in entries]
        every = self._objects(texts)
        for i, (name, value) in enumerate(every[0]):
            for rank, other in enumerate(every):
                if other[i] != (name, value):
                    raise RankError(
                        f"{owner}: the ranks disagree on {name}: {value} on rank 0, but "
                        f"{other[i][1]} on rank {rank}. Every rank must run the same program with "
                        "the same arguments."
                    )


def _yield() -> None:
    """Let another process have the core, if one waits for it."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0)


def _stack(thread: threading.Thread) -> str:
    """The traceback of a thread as it is now."""
    frame = sys._current_frames().get(thread.ident or 0)
    return "Traceback (most recent call last):\n" + "".join(traceback.format_stack(frame))


def _mpi() -> Any:
    """mpi4py's MPI, whose first import starts MPI."""
    try:
        from mpi4py import MPI
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "dl.distributed needs mpi4py and an MPI: pip install 'minidl[distributed]' brings both"
        ) from None
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"dl.distributed: mpi4py is installed, but can't load MPI ({error}). Install one, such "
            "as pip install mpich, or load your cluster's"
        ) from None
    return MPI


_in_map = contextvars.ContextVar("in_map", default=False)
_ALONE = {"fit": "train without distributed=", "map": "give one map all items"}
_communicators: list[Any] = []  # the one of all processes, once it is made


def start(*, shards: int = 8, shard_state: bool = False, timeout: float = 60.0) -> World:
    """Join the processes that mpiexec has started; alone it is a world of one.

    shards       in so many parts fit cuts a batch, at least as many as there are ranks. The numbers
                 of a training depend on the shards, but not on the ranks that compute them
    shard_state  let each rank keep and update a part of the optimizer's state, and fetch the
                 weights of the others: less memory, and the same numbers
    timeout      s > 0; a rank that is late for so long in fit ends the job

    From now on an error that nobody catches ends the job, with the traceback and the rank.
    ModuleNotFoundError without mpi4py, ValueError for fewer shards than ranks.

    >>> dl.distributed.start()  # doctest: +SKIP
    World(rank 0 of 1, shards=8, shard_state=False, timeout=60)
    """
    count = _checks.count("start", "shards", shards)
    _checks.flag("start", "shard_state", shard_state)
    seconds = _checks.number("start", "timeout", timeout, above=True)
    world = World(_joined(), shards=count, shard_state=shard_state, timeout=seconds)
    if count < world.size:
        raise ValueError(
            f"start: shards={count} can't be divided among {world.size} ranks; give at least "
            f"shards={world.size}, on any number of ranks that shall give the same numbers"
        )
    return world


def _joined() -> Any:
    """The communicator of all processes; from now on an error that nobody catches ends them all."""
    if not _communicators:
        comm = _mpi().COMM_WORLD.Dup()
        if comm.size == 1 < int(os.environ.get(RANKS, 1)):
            raise RuntimeError(
                f"start: {os.environ[RANKS]} processes were asked for, but mpi4py sees one alone. "
                "The mpiexec that started them is of another MPI than the library that mpi4py "
                f"loads, {_mpi().Get_library_version().splitlines()[0]}; install one MPI only"
            )
        if comm.size > 1:
            sys.excepthook = World(comm)._ends_with_an_error
        _communicators.append(comm)
    return _communicators[0]


def map(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """[function(item) for item in items], divided among the ranks; each rank gets all results.

    Rank r takes the items r, r + size, r + 2 size, …: many small models train at once, each in one
    process. Without mpiexec one process takes them all. Items and results are the same on every
    rank; results are pickled. After an error of the function on any rank, the others raise
    RankError once they have done their items. RuntimeError for a map or a fit(distributed=) within
    the function.

    >>> dl.distributed.map(abs, [-1, 2])  # doctest: +SKIP
    [1, 2]
    """
    if not callable(function):
        raise TypeError(f"map: function must be callable, got {function!r}")
    given = _checks.items("map", "items", items)
    world, error, own = World(_joined(), timeout=math.inf), None, []
    world._agree("map", [("the number of items", len(given))])
    token = _in_map.set(True)
    try:
        with world._watched("map"):
            own = [function(item) for item in given[world.rank :: world.size]]
            pickle.dumps(own)
    except Exception as raised:
        error = raised
    finally:
        _in_map.reset(token)
    every = world._objects(([], _text(error)) if error else (own, None))
    world._raise_first(error, [text for _, text in every])
    return [every[i % world.size][0][i // world.size] for i in range(len(given))]


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
