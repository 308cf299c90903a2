"""What ranks exchange, and how a failure of one of them ends the job."""

import copy
import math
import sys

import numpy as np
import pytest
from distributed_jobs import MISSING, launch

import minidl as dl
from minidl.distributed import World, world


class Alone:
    rank, size = 0, 1


class EndedError(Exception):
    """Stands for the end of the process."""


def end(code):
    raise EndedError(code)


def test_map_gives_every_rank_all_results_in_order(reports):
    for own in reports.values():
        assert own["squares"] == [[i * i for i in range(7)]] * len(own["squares"])


def test_an_error_of_a_mapped_function_is_raised_on_its_rank_and_named_by_the_others(reports):
    for size, own in reports.items():
        found = [errors["map"] for errors in own["errors"]]
        failing = 5 % size  # has item 5, by which 1 is divided
        for rank, (kind, text) in enumerate(found):
            assert kind == ("ZeroDivisionError" if rank == failing else "RankError")
            assert rank == failing or f"rank {failing} of {size} failed at map: ZeroDiv" in text


@pytest.mark.skipif(MISSING, reason="mpi4py is missing: pip install 'minidl[distributed]'")
@pytest.mark.parametrize(
    ("how", "messages"),
    [
        ("raise", ["[rank 1] LookupError: the own error of a rank", "ended by LookupError"]),
        ("hang", ["in fails\n", "rank 1 of 2: was late for"]),
    ],
)
def test_a_failure_of_one_rank_ends_the_job_with_its_traceback_and_number(how, messages, tmp_path):
    job = launch(2, tmp_path, how)  # has a timeout
    assert job.returncode != 0
    for message in messages:
        assert message in job.stderr


def test_a_rank_that_exits_within_fit_ends_the_job(monkeypatch, capfd):
    comm = Alone()
    comm.size, codes = 2, []
    comm.Abort = codes.append
    monkeypatch.setattr(world.os, "_exit", end)
    with pytest.raises(EndedError), World(comm)._watched("fit"):
        sys.exit(3)
    assert codes == [1]
    assert "[rank 0] rank 0 of 2: ended by sys.exit(3)" in capfd.readouterr().err


class Request:
    """A message that never comes."""

    def Test(self):  # noqa: N802 (as in mpi4py)
        return False


def test_a_rank_that_waits_for_too_long_ends_the_job(monkeypatch, capfd):
    comm = Alone()
    comm.Abort = end
    own, clock = World(comm, timeout=60.0), iter([0.0, 0.0, 50.0, 61.9, 62.1])
    own._at("epoch 2, step 17")
    monkeypatch.setattr(world.time, "monotonic", lambda: next(clock))
    with pytest.raises(EndedError, match="1"):
        own._wait(Request())
    error = capfd.readouterr().err
    assert "[rank 0] rank 0 of 1: waited 62.1 s for other ranks, at epoch 2, step 17;" in error
    assert "in _wait" in error


def test_a_world_of_one_exchanges_nothing():
    own, array = World(Alone()), np.arange(3.0)
    own._broadcast(array)
    assert own._gather(array).tolist() == [[0, 1, 2]]
    assert own._objects("x") == ["x"]
    own._agree("fit", [("the answer", 42)])
    own._raise_together(None)
    with pytest.raises(KeyError, match="own"):
        own._raise_together(KeyError("own"))


def test_a_world_is_of_its_process():
    own = World(Alone(), shards=4, timeout=2.5)
    assert repr(own) == "World(rank 0 of 1, shards=4, shard_state=False, timeout=2.5)"
    with pytest.raises(TypeError, match="can't be pickled or copied"):
        copy.copy(own)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shards": 0}, ValueError, "start: shards must be"),
        ({"shards": 2.5}, TypeError, "start: shards must be"),
        ({"shard_state": 1}, TypeError, "start: shard_state must be"),
        ({"timeout": 0}, ValueError, "start: timeout must be"),
        ({"timeout": math.inf}, ValueError, "start: timeout must be"),
    ],
)
def test_a_wrong_argument_is_named(options, error, message):
    with pytest.raises(error, match=message):
        dl.distributed.start(**options)


def test_without_mpi4py_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(world, "_communicators", [])
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    for function in (dl.distributed.start, lambda: dl.distributed.map(abs, [1])):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'minidl\[distributed\]'"):
            function()


class Library:
    """mpi4py's MPI, with a world of some size."""

    def __init__(self, size):
        self.COMM_WORLD = self
        self.rank, self.size = 0, size

    def Dup(self):  # noqa: N802
        return self

    def Get_library_version(self):  # noqa: N802
        return "Some MPI 1.0\nbuilt today"


def test_fewer_shards_than_ranks_are_refused(monkeypatch):
    monkeypatch.setattr(world, "_communicators", [Library(12)])
    with pytest.raises(ValueError, match=r"shards=8 can't be divided among 12 ranks; .*shards=12"):
        dl.distributed.start()


def test_an_mpiexec_of_another_mpi_is_noticed(monkeypatch):
    monkeypatch.setattr(world, "_communicators", [])
    monkeypatch.setattr(world, "_mpi", lambda: Library(1))
    monkeypatch.setenv("MINIDL_RANKS", "4")
    with pytest.raises(RuntimeError, match=r"4 processes were asked for.*Some MPI 1\.0; install"):
        dl.distributed.start()


def test_a_mapped_function_that_exits_ends_the_job(monkeypatch, capfd):
    comm, codes = Library(2), []
    comm.Abort = codes.append
    monkeypatch.setattr(world, "_communicators", [comm])
    monkeypatch.setattr(World, "_objects", lambda self, value: [value, value])
    monkeypatch.setattr(world.os, "_exit", end)
    with pytest.raises(EndedError):
        dl.distributed.map(sys.exit, [4])
    assert codes == [1]
    assert "[rank 0] rank 0 of 2: ended by sys.exit(4)" in capfd.readouterr().err


def test_a_mapped_function_cannot_call_what_all_ranks_call_together(monkeypatch):
    monkeypatch.setattr(world, "_communicators", [Alone()])
    model = dl.nn.Dense(1, 1)
    data, own = (np.ones((2, 1)), np.ones((2, 1))), World(Alone())

    def train(item):
        dl.fit(model, dl.losses.mse, dl.optim.SGD(model), data, epochs=1, distributed=own)

    with pytest.raises(RuntimeError, match=r"fit: a function .*map.* train without distributed="):
        dl.distributed.map(train, [1])
    with pytest.raises(RuntimeError, match=r"map: a function .*map.* give one map all items"):
        dl.distributed.map(lambda item: dl.distributed.map(abs, [item]), [1])
    assert dl.distributed.map(abs, [-1]) == [1]


def test_map_takes_a_function():
    with pytest.raises(TypeError, match="map: function must be callable, got 3"):
        dl.distributed.map(3, [1])
