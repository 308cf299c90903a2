"""Work in threads, tasks, forked and spawned processes, under limits and on shared objects.

Wherever a piece of work runs, it must find the same bits as alone, and nothing may hang. What
several threads share is changed by whole steps: a call has its effect, or raises and has none.
"""

import asyncio
import contextlib
import gc
import http.client
import itertools
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

import minidl as dl
from minidl._page.server import HOST, PageServer
from tests.campaign import work
from tests.campaign.harness import ROOT, Breach

SEEDS, SECONDS = 340, 200
SWITCH = 1e-6  # s that a thread runs before another one may
QUICK = [kind for kind in work.KINDS if kind not in ("wide", "estimated")]


def draw(rng, count, kinds=QUICK):
    """Some pieces of work, each with what it finds alone."""
    drawn = [(kinds[rng.integers(len(kinds))], int(rng.integers(10**6))) for _ in range(count)]
    return {piece: work.result(*piece) for piece in drawn}


def compare(where, alone, found):
    """Raise Breach unless each piece of work has found what it found alone."""
    for (kind, seed), result in found:
        if result != alone[kind, seed]:
            raise Breach(
                f"{where}: the work {kind} of seed {seed} finds something else than alone:\n"
                f"{repr(result)[:500]}\ninstead of\n{repr(alone[kind, seed])[:500]}"
            )
    return len(found)


def attempted(function, *arguments):
    """What a function returns or raises."""
    try:
        return function(*arguments)
    except Exception as error:
        return error


def everywhere(function, arguments):
    """Call a function in a thread for each argument, all at once; returns what each returned."""
    start = threading.Barrier(len(arguments))

    def run(argument):
        start.wait()
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))


def flat(lists):
    return [*itertools.chain.from_iterable(lists)]


@contextlib.contextmanager
def busy(pieces):
    """Threads that work, and one that collects garbage, until the end of the block."""
    ended = threading.Event()

    def again(piece):
        while not ended.is_set():
            work.result(*piece)

    def collect():
        while not ended.wait(0.001):
            gc.collect(int(ended.is_set()))

    threads = [threading.Thread(target=again, args=[piece]) for piece in pieces]
    threads.append(threading.Thread(target=collect))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


# --- work of one's own --------------------------------------------------------------------------


def in_threads(rng):
    """Several threads, each with objects of its own."""
    dl.set_num_threads(int(rng.integers(1, 3)))
    alone = draw(rng, 8) | draw(rng, 1, ["wide"])
    with busy([]):
        found = everywhere(lambda piece: attempted(work.result, *piece), [*alone])
    return compare("in threads", alone, list(zip(alone, found, strict=True)))


def in_tasks(rng):
    """asyncio: tasks that take turns between their steps, and threads of the event loop."""
    alone = draw(rng, 16)
    order = rng.integers(0, 3, 1000).tolist()

    async def task(piece):
        steps = work.steps(*piece)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            for _ in range(order.pop()):
                await asyncio.sleep(0)

    async def both():
        pieces = [*alone]
        tasks = [asyncio.create_task(task(piece)) for piece in pieces[:12]]
        threads = [asyncio.to_thread(work.result, *piece) for piece in pieces[12:]]
        return await asyncio.gather(*tasks, *threads)

    return compare("in tasks", alone, list(zip(alone, asyncio.run(both()), strict=True)))


def in_forks(rng):
    """Processes that are forked while threads of this one work, and forks of those."""
    dl.set_num_threads(int(rng.integers(1, 3)))
    alone = draw(rng, 4) | draw(rng, 1, ["wide"])
    pieces, found = [*alone], []
    with busy(pieces[:2]):
        for piece in pieces:
            found += [(piece, forked(lambda piece=piece: forked(lambda: work.result(*piece))))]
    return compare("in forked processes", alone, found)


def forked(function):
    """What a function finds in a forked process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "found")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                path.write_text(repr(function()), encoding="utf-8")
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status:
            raise Breach(f"a forked process ended with status {status}")
        return eval(path.read_text(encoding="utf-8"))


def in_spawned(rng):
    """Spawned processes, with threads in each."""
    alone = draw(rng, 6, [*QUICK, "estimated"])
    pieces, spawn = [*alone], multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn) as pool:
        halves = list(pool.map(_in_threads, [pieces[:3], pieces[3:]]))
    return compare("spawned", alone, list(zip(pieces, flat(halves), strict=True)))


def _in_threads(pieces):
    """What each piece of work finds in a thread of a spawned process."""
    return everywhere(lambda piece: work.result(*piece), pieces)


def with_little_memory(rng):
    """A limit on memory: a piece of work finds the same or raises MemoryError, and so afterwards.

    Python's own libraries may raise something else where memory is short.
    """
    import resource

    alone = draw(rng, 4) | draw(rng, 1, ["wide"])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    found = []
    for piece in alone:
        for room in [0, *rng.uniform(0, 40, 3)]:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + int(room * 2**20), most))
            try:
                result = attempted(work.result, *piece)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (most, most))
            if not isinstance(result, MemoryError):
                found.append((piece, result))
        found.append((piece, work.result(*piece)))
    return compare("with little memory", alone, found)


def with_few_processes(rng):
    """A limit on threads and processes: kernels do with fewer, and warn once."""
    import resource

    if os.geteuid() == 0:  # whom no limit holds
        os.setresgid(*[65534] * 3)
        os.setresuid(*[65534] * 3)
    alone = draw(rng, 2, ["wide"])
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (int(rng.integers(1, 80)), most))
    dl.set_num_threads(int(rng.integers(2, 65)))
    found = []
    for piece in [*alone] * 2:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found.append((piece, work.result(*piece)))
        if len(caught) > (len(found) == 1):
            raise Breach(f"{len(caught)} warnings: {caught[-1].message}")
        pieces = work.result("eager", 0)
        if pieces != work.result("eager", 0):
            raise Breach("the same work twice finds different bits")
    return compare("with few processes", alone, found)


# --- shared objects -----------------------------------------------------------------------------


def weights(size, value=1.0):
    return dl.Tensor(np.full(size, value), True)


def only(kind, results, owner):
    """How many calls have had their effect; Breach unless all others raised the error that says
    so."""
    errors = [result for result in results if isinstance(result, Exception)]
    for error in errors:
        if not (isinstance(error, kind) and str(error).startswith(owner)):
            raise Breach(f"{owner}: {error!r}") from error
    return len(results) - len(errors)


def shared_optimizer(rng):
    """Steps of one optimizer by many threads: each is whole, or an error that says why."""
    w, rounds = weights(int(rng.integers(1, 30_000))), 40
    w.grad = np.full(w.shape, 2.0**-20)
    optimizer = dl.optim.SGD([w], lr=0.5)
    optimizer.load_state_dict(optimizer.state_dict())

    def steps(number):
        for _ in range(rounds):
            yield attempted(optimizer.step if number else optimizer.state_dict)

    results = flat(everywhere(lambda number: list(steps(number)), range(5)))
    only(RuntimeError, results, "SGD: another call")
    states = [result for result in results if isinstance(result, dict)]
    made = sum(result is None for result in results)
    if optimizer.t != made or (w.data != 1 - made * 2.0**-21).any():
        raise Breach(f"{made} steps were made, but t is {optimizer.t}, and w is {w.data}")
    if any(state["t"] != state["state"]["0"]["t"] for state in states):
        raise Breach("a state was taken in the middle of a step")
    return len(results)


def shared_step(rng):
    """A captured step that several threads call at once."""
    seed, threads, rounds = int(rng.integers(10**6)), 4, 25
    own, twin = (work.Training(np.random.default_rng(seed)) for _ in range(2))
    x, y = own.x[:4], own.y[:4]
    step, alone = dl.capture(own.step), dl.capture(twin.step)
    for _ in range(3):
        step(x, y)
        alone(x, y)

    def calls(_):
        return [attempted(step, x, y) for _ in range(rounds)]

    results = flat(everywhere(calls, range(threads)))
    made = sum(not isinstance(result, Exception) for result in results)
    for error in results:
        if isinstance(error, Exception) and "another" not in str(error):
            raise Breach(f"a shared captured step: {error!r}") from error
    for _ in range(made):
        alone(x, y)
    if own.found() != twin.found():
        raise Breach(f"{made} steps of several threads are not those of one thread")
    return len(results)


def shared_average(rng):
    """An average that several threads update and use."""
    w, rounds = weights(int(rng.integers(1, 30_000)), 0.0), 30
    average = dl.optim.average([w], 0.5)
    w.data = np.ones(w.shape)

    def use():
        with average:
            pass
        return "used"

    def calls(number):
        return [attempted(average.update if number else use) for _ in range(rounds)]

    results = flat(everywhere(calls, range(4)))
    only(RuntimeError, results, "average: ")
    made = sum(result is None for result in results)
    if (average.state_dict()["0"] != 1 - 0.5**made).any() or (w.data != 1).any():
        raise Breach(f"after {made} updates the average is {average.state_dict()['0']}")
    return len(results)


def shared_model(rng):
    """Predictions of one model, in training mode, by several threads and their forks."""
    own = work.Training(rng)
    expected = work.bits(dl.predict(own.model, own.x))
    loss = dl.evaluate(own.model, (own.x, own.y), own.loss)

    def calls(number):
        found = []
        for _ in range(40):
            if number:
                found.append(
                    work.bits(dl.predict(own.model, own.x, batch_size=work.ROWS)) == expected
                )
            else:
                found.append(dl.evaluate(own.model, (own.x, own.y), own.loss) == loss)
        return found

    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(calls, number) for number in range(4)]
        found = calls(1) + flat(forked(lambda: calls(1)) for _ in range(3))
        modes = forked(lambda: [module.training for module in own.model.modules()])
        found += flat(other.result() for other in others)
    if not all(found):
        raise Breach(f"{found.count(False)} of {len(found)} predictions of a shared model differ")
    modes += [module.training for module in own.model.modules()]
    if not all(modes):
        raise Breach("a model is left in evaluation mode")
    return len(found)


def shared_gradients(rng):
    """backward of several threads through the same weights: no gradient is lost."""
    w, threads, rounds = weights(int(rng.integers(1, 200))), 4, 200

    def calls(_):
        for _ in range(rounds):
            (w * 3.0).sum().backward()

    everywhere(calls, range(threads))
    if (w.grad != 3 * threads * rounds).any():
        raise Breach(f"{threads * rounds} gradients of 3 have the sum {w.grad}")
    return threads * rounds


def shared_loader(rng):
    """A loader that several threads iterate over: each gets every sample once."""
    rows = int(rng.integers(2, 60))
    x = np.arange(rows, dtype=float)
    loader = dl.data.DataLoader(x, x, int(rng.integers(1, 9)), rng=0)

    def calls(_):
        passes = [np.concatenate([batch for batch, _ in loader]) for _ in range(10)]
        return [np.array_equal(np.sort(order), x) for order in passes]

    found = flat(everywhere(calls, range(4)))
    if not all(found):
        raise Breach(f"{found.count(False)} of {len(found)} passes lack samples")
    return len(found)


def shared_plateau(rng):
    """A ReduceOnPlateau that is shown metrics by several threads counts all of them."""
    plateau = dl.schedulers.ReduceOnPlateau(1.0, factor=0.5, patience=0, min_lr=0.0)
    threads, rounds = 4, 5

    def calls(_):
        for _ in range(rounds):
            plateau.observe(1.0)

    plateau.observe(1.0)
    everywhere(calls, range(threads))
    if plateau(0) != 0.5 ** (threads * rounds) or plateau.observations != threads * rounds + 1:
        raise Breach(f"of {threads * rounds} bad metrics the rate is {plateau(0)}: {plateau!r}")
    return threads * rounds


def shared_file(rng):
    """Threads and processes that save to one file and load it: always one of the trainings."""
    seeds = rng.integers(0, 10**6, 3).tolist()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.ckpt")

        def write(seed):
            own = work.Training(np.random.default_rng(seed))
            dl.save(path, metadata={"seed": seed}, model=own.model)
            return own

        expected = {seed: work.bits(write(seed).model.state_dict()) for seed in seeds}

        def calls(seed):
            found = []
            for _ in range(15):
                write(seed)
                saved = dl.load(path)
                entries = {k: v for k, v in saved.arrays.items() if not k.startswith("generators")}
                found.append([*work.bits(entries).values()])
            return found

        with ThreadPoolExecutor(3) as pool:
            others = [pool.submit(calls, seed) for seed in seeds]
            found = forked(lambda: calls(seeds[0])) + flat(o.result() for o in others)
        left = [p.name for p in Path(folder).iterdir() if p != path]
    wholes = [[*state.values()] for state in expected.values()]
    if any(one not in wholes for one in found):
        raise Breach("a file that was loaded is none of those that were saved")
    if left:
        raise Breach(f"files are left: {left}")
    return len(found)


def shared_server(rng):
    """Many browsers at once, some of which leave: each question is answered once, in turn."""
    asked = []

    def answer(question):
        asked.append(question)
        return question * 2

    def browse(number):
        found = []
        for k in range(20):
            if number == 0:  # leaves in the middle of a question
                with socket.create_connection((HOST, server.server_port)) as connection:
                    connection.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\n"[: 3 * k])
                continue
            connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
            with contextlib.closing(connection):
                body = json.dumps(1000 * number + k)
                connection.request("POST", f"/{server.token}/ask", body)
                found.append(json.loads(connection.getresponse().read()) // 2)
        return found

    with PageServer("race", "", {"ask": answer}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            found = flat(everywhere(browse, range(8)))
        finally:
            server.shutdown()
            thread.join()
    if sorted(asked) != sorted(found) or len({*asked}) != len(asked):
        raise Breach(f"{len(found)} questions were answered, {len(asked)} were heard")
    return len(found)


# --- the beginning and the end of a process -----------------------------------------------------

IMPORTS = """
import sys, threading
sys.setswitchinterval({SWITCH})
lines = {lines}
start, errors = threading.Barrier(len(lines)), []
def run(line):
    start.wait()
    try:
        exec("import minidl as dl; " + line, {{}})
    except BaseException as error:
        errors.append((line, error))
threads = [threading.Thread(target=run, args=[line]) for line in lines]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(errors)
sys.exit(bool(errors))
"""
FIRST_USES = [  # of parts that are imported on first use
    "",
    "dl.viz.race('bowl', ['SGD'], steps=3, lr=0.1)",
    "dl.export.to_numpy",
    "dl.capture(lambda x: dl.sum(x))([1.0])",
    "dl.distributed.map",
    "dl.viz.figures",
    "dl.schedulers.Constant(0.1).plot(3)",
]

ENDING = """
import sys, threading, time
from tests.campaign import work
sys.setswitchinterval({SWITCH})
def again(piece):
    while True:
        work.result(*piece)
for piece in {pieces}:
    work.result(*piece)
    threading.Thread(target=again, args=[piece], daemon=True).start()
time.sleep({pause})
print("end", flush=True)
"""


def run_python(code, what):
    """Run a program in a new process; Breach if it fails."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        how = signal.Signals(-run.returncode).name if run.returncode < 0 else run.returncode
        raise Breach(f"{what}: {how}\n{run.stdout}{run.stderr}", code)


def first_imports(rng):
    """The first import and the first use of lazily loaded parts, by several threads at once."""
    lines = rng.permutation(FIRST_USES)[: rng.integers(2, len(FIRST_USES))].tolist()
    run_python(IMPORTS.format(lines=lines, SWITCH=SWITCH), "imports in threads")
    return len(lines)


def at_the_end(rng):
    """A process that ends while its threads work."""
    pieces = [(QUICK[rng.integers(len(QUICK))], int(rng.integers(99))) for _ in range(4)]
    pause = float(rng.uniform(0, 0.3))
    run_python(ENDING.format(pieces=pieces, pause=pause, SWITCH=SWITCH), "the end of a process")
    return len(pieces)


SCENARIOS = (  # and how often a seed tries it
    *((in_threads, 1), (in_tasks, 1), (in_forks, 1), (in_spawned, 1)),
    *((with_little_memory, 1), (with_few_processes, 1), (first_imports, 1), (at_the_end, 1)),
    *((shared_optimizer, 5), (shared_step, 5), (shared_average, 5), (shared_model, 2)),
    *((shared_gradients, 5), (shared_loader, 10), (shared_plateau, 50), (shared_file, 2)),
    (shared_server, 2),
)


def missing():
    return "" if hasattr(os, "fork") and sys.platform == "linux" else "Linux, with its limits"


def trial(seed, say):
    scenario, times = SCENARIOS[seed % len(SCENARIOS)]
    say(scenario.__name__)
    rng, before = np.random.default_rng(seed), sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        return {"calls and pieces of work": sum(scenario(rng) for _ in range(times))}
    finally:
        sys.setswitchinterval(before)
