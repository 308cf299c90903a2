"""How long a step takes on several processes, and what share of it are messages.

Processes of one BLAS thread each, against one process of as many threads, in turns.
"""

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import cores, row, skipped_rows

SIZES = (784, 2048, 2048, 10)
BATCHES = (256, 1024)
MODELS = 8  # of a sweep
WARM_UP = 3  # steps, of which two are recorded
FITTED = {"row": 0.34e-3, "fixed": 19e-3}  # s, to 8, 128 and 256 rows in one process, 256 in two
NETWORKS = {  # latency in s, bytes a second; the first is measured, the others are assumed
    "memory of one machine": (3e-6, 8.2e9 / 2),
    "10 Gbit/s": (20e-6, 1.25e9),
    "100 Gbit/s": (2e-6, 12.5e9),
}


def predicted(ranks, compute, fixed, size, latency, bandwidth):
    """Seconds of a step, if all ranks do the same and no message is hidden behind computing.

    compute    s for the whole batch in one process, divided by the ranks
    fixed      s that each rank needs, for gradients and weights as a whole
    size       bytes of the gradients
    latency    s of a message
    bandwidth  bytes a second that a rank sends, while it receives as many

    Each rank sends a segment to every other one, and then its sum to all (a ring, or pairs): in
    each of the two phases ranks − 1 messages, of size · (ranks − 1) / ranks bytes together. Before
    that, the ranks meet in ⌈log₂ ranks⌉ rounds.
    """
    rounds = 2 * (ranks - 1) + (ranks - 1).bit_length()
    moved = 2 * size * (ranks - 1) / ranks
    return compute / ranks + fixed + rounds * latency + moved / bandwidth


def scaling(rows, fixed_batch):
    """A table of steps for 1, 2, 64 and 1,024 ranks, with so many rows a rank, or all together."""
    size = 4 * sum(n * m + m for n, m in itertools.pairwise(SIZES))
    lines = ["| ranks | network | ms a step | efficiency |", "|---:|---|---:|---:|"]
    alone = FITTED["row"] * rows + FITTED["fixed"]
    for ranks in (1, 2, 64, 1024):
        own = list(NETWORKS.items())
        for network, (latency, bandwidth) in own[:1] if ranks < 64 else own[1:]:
            compute = FITTED["row"] * rows * (1 if fixed_batch else ranks)
            seconds = predicted(ranks, compute, FITTED["fixed"], size, latency, bandwidth)
            efficiency = alone / seconds / (ranks if fixed_batch else 1)
            name = "none" if ranks == 1 else network
            lines.append(f"| {ranks:,} | {name} | {1000 * seconds:.0f} | {efficiency:.0%} |")
    return "\n".join(lines)


class Timed:
    """Writes down when each step of a fit ends."""

    def __init__(self):
        self.times = []

    def on_step(self, training):
        self.times.append(time.perf_counter())


def child(ranks, batch, shards, steps, state):
    """Seconds of each step, the share of messages in them, and the peak of memory in bytes."""
    import minidl as dl
    from minidl.distributed import World

    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, SIZES[0])).astype(np.float32)
    y = rng.integers(0, SIZES[-1], batch)
    model = dl.nn.MLP(SIZES, rng=0)
    world, waited = None, 0.0
    if ranks:
        world, wait = dl.distributed.start(shards=shards, shard_state=state), World._wait

        def timed_wait(self, request):
            nonlocal waited
            begun = time.perf_counter()
            wait(self, request)
            waited += time.perf_counter() - begun

        World._wait = timed_wait
    marks, at = Timed(), []
    marks.on_backward = lambda training: None

    class Waited:
        def on_step(self, training):
            at.append(waited)

    dl.fit(
        *(model, dl.losses.cross_entropy, dl.optim.Adam(model), [(x, y)] * (steps + WARM_UP)),
        epochs=1,
        callbacks=[] if state else [marks, Waited()],
        progress=False,
        distributed=world,
    )
    result = {"peak": [peak()] if world is None else world._objects(peak())}
    if not state:
        times = np.diff(marks.times)[WARM_UP - 1 :]
        result["seconds"] = times.tolist()
        result["share"] = float(np.diff(at)[WARM_UP - 1 :].sum() / times.sum())
    return result, 0 if world is None else world.rank


def peak():
    """The largest memory of this process so far, in bytes; 0 where nobody tells."""
    path = Path("/proc/self/status")
    text = path.read_text() if path.exists() else ""
    return next((int(x.split()[1]) * 1024 for x in text.splitlines() if "VmHWM" in x), 0)


def sweep_child():
    """Seconds for the training of many small models, divided among the ranks."""
    import minidl as dl

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4096, 2)).astype(np.float32)
    y = x[:, :1] * x[:, 1:]

    def train(seed):
        model = dl.nn.MLP([2, 16, 16, 1], rng=seed)
        loader = dl.data.DataLoader(x, y, 32, rng=seed)
        arguments = model, dl.losses.mse, dl.optim.Adam(model), loader
        return dl.fit(*arguments, epochs=40, progress=False).loss[-1]

    dl.distributed.map(abs, [1])  # until all processes have started
    begun = time.perf_counter()
    dl.distributed.map(train, range(MODELS))
    comm = dl.distributed.start()
    return {"seconds": [time.perf_counter() - begun]}, comm.rank


def run(ranks, threads, *arguments):
    """The result of a job; without ranks a plain process."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    with tempfile.TemporaryDirectory() as folder:
        own = [str(Path(__file__)), "--out", str(Path(folder, "result")), *map(str, arguments)]
        command = [sys.executable, *own]
        if ranks:
            command = [sys.executable, "-m", "minidl", "launch", "-n", str(ranks), *own]
        root = str(Path(__file__).parents[1])
        environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
        subprocess.run(command, env=environment, check=True, timeout=600)
        return json.loads(Path(folder, "result").read_text())


def measure(repeats, quick=False):
    """Rows of steps, of memory and of a sweep, in turns."""
    if importlib.util.find_spec("mpi4py") is None:
        return skipped_rows("distributed", 1, {"several processes": "mpi4py not installed"})
    steps, rows = (5 if quick else 15), []
    ranks = min(2, cores())
    contestants = {  # ranks, threads, shards
        "1 process, 1 thread": (0, 1, 1),
        f"1 process, {ranks} threads": (0, ranks, 1),
        f"{ranks} processes, {ranks} shards": (ranks, 1, ranks),
        f"{ranks} processes, 8 shards": (ranks, 1, 8),
    }
    for batch in BATCHES[:1] if quick else BATCHES:
        seconds = {who: [] for who in contestants}
        shares = {who: [] for who in contestants}
        for _ in range(repeats):
            for who, (count, threads, shards) in contestants.items():
                found = run(count, threads, count, batch, shards, steps)
                seconds[who].append(statistics.median(found["seconds"]))
                shares[who].append(found["share"])
        for who, (_, threads, _) in contestants.items():
            share = statistics.median(shares[who])
            note = f"{100 * share:.0f} % messages and waiting" if share else ""
            task = f"{'-'.join(map(str, SIZES))}, batch {batch}"
            rows.append(row("distributed", task, who, threads, seconds[who], note=note))
    for state in (False, True):
        who = "state in parts" if state else "whole state"
        found = run(ranks, 1, ranks, 32, ranks, 2, *["--state"] * state)["peak"][1:]
        rows.append(row("distributed", f"peak memory of {ranks} processes", who, 1, found, "B"))
    for count in (1, ranks):
        found = [run(count, 1, "--sweep")["seconds"][0] for _ in range(repeats)]
        who = f"{count} process" + "es" * (count > 1)
        rows.append(row("distributed", f"a sweep of {MODELS} models", who, 1, found))
    return rows


def main():
    """What one process of a job does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    parser.add_argument("--state", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("numbers", nargs="*", type=int)
    own = parser.parse_args()
    if own.sweep:
        result, rank = sweep_child()
    else:
        ranks, batch, shards, steps = own.numbers
        result, rank = child(ranks, batch, shards, steps, own.state)
    if rank == 0:
        Path(own.out).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
