"""Memory, threads and open files do not grow, over a million steps and whatever else is repeated.

What is counted after each part of the calls is exact: Python's blocks of memory, the bytes that the
C library has given out, the collector's objects, threads, and open files. A step makes no reference
cycles, so the collector is off while steps are taken.
"""

import contextlib
import copy
import ctypes
import gc
import http.client
import io
import json
import os
import pickle
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

import minidl as dl
from minidl._page.server import HOST, PageServer
from tests.campaign import work
from tests.campaign.harness import Breach

SECONDS = 600
STEPS = 80_000  # of each rule in each way: more than a million in each
ROUNDS = 10
SLACK = {"Python's blocks": 20, "bytes": 8192, "objects": 20, "threads": 0, "open files": 0}


class Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


def libc():
    return ctypes.CDLL(None)


def missing():
    glibc = sys.platform == "linux" and hasattr(libc(), "mallinfo2")
    return "" if glibc else "mallinfo2, of glibc 2.33 on Linux"


def counted():
    """What must not grow."""
    mallinfo2 = libc().mallinfo2
    mallinfo2.restype = Mallinfo
    info = mallinfo2()
    return {
        "Python's blocks": sys.getallocatedblocks(),
        "bytes": info.uordblks + info.hblkhd,
        "objects": len(gc.get_objects()),
        "threads": threading.active_count(),
        "open files": len(os.listdir("/proc/self/fd")),
    }


def watch(name, call, number, collects=True):
    """Make so many calls, in two parts; Breach if something grows in the second one.

    Caches grow, too, but ever more slowly: what grows is given as many further parts as ROUNDS.
    """
    part = number // 2
    gc.collect()
    try:
        if not collects:
            gc.disable()
        growths, before = [], {}
        for _ in range(ROUNDS):
            for _ in range(part):
                call()
            if collects:
                gc.collect()
            now = counted()
            growths.append({what: count - before.get(what, 0) for what, count in now.items()})
            grows = [what for what, growth in growths[-1].items() if growth > allowed(what, part)]
            if not grows and before:
                return part * len(growths)
            before = now
    finally:
        gc.enable()
    what = grows[0]
    raise Breach(
        f"{name}: {what} grow by {[growth[what] for growth in growths[1:]]} in {part} calls each"
    )


def allowed(what, calls):
    """A growth that is none; a leak would be one block, or 16 bytes, in each call."""
    return (
        SLACK[what] + {"Python's blocks": 0.02, "bytes": 4.0, "objects": 0.02}.get(what, 0) * calls
    )


# --- steps --------------------------------------------------------------------------------------


def eager(own):
    return lambda: own.step(own.x[:4], own.y[:4]), 1


def captured(own):
    step, x, y = dl.capture(own.step), own.x[:4], own.y[:4]
    return lambda: step(x, y), 1


def epochs(own):
    step = dl.capture(own.step)
    return lambda: step.epoch(own.x, own.y, batch_size=2), len(own.x) // 2


def fitted(own):
    arguments = own.model, own.loss, own.optimizer, own.loader
    return lambda: dl.fit(*arguments, steps=200, progress=False), 200


def fitted_eagerly(own):
    arguments = own.model, own.loss, own.optimizer, own.loader
    return lambda: dl.fit(*arguments, steps=200, progress=False, capture=False), 200


WAYS = eager, captured, epochs, fitted, fitted_eagerly
IN_CYCLES = {fitted, fitted_eagerly}  # a call of fit, not its steps


# --- what else is repeated ----------------------------------------------------------------------


def predicting(own):
    def call():
        dl.predict(own.model, own.x, batch_size=5)
        dl.evaluate(own.model, (own.x, own.y), own.loss, metrics={"mean": _mean})

    return call, 2000


def _mean(prediction, target):
    return prediction.mean()


def capturing(own):
    def call():
        step = dl.capture(own.step)
        for _ in range(3):
            step(own.x, own.y)

    return call, 400


def recapturing(own):
    """A captured step whose inputs have ever new shapes."""
    step = dl.capture(own.step)
    sizes = iter(range(10**9))

    def call():
        size = next(sizes) // 3 % 20 + 1
        step(own.x[:size], own.y[:size])

    return call, 600


def averaging(own):
    average = dl.optim.average(own.model, 0.9)

    def call():
        average.update()
        with average:
            pass
        average.load_state_dict(average.state_dict())

    return call, 3000


def saving(own):
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "run.ckpt")

    def call(folder=folder):
        dl.save(path, own.model, optimizer=own.optimizer, data=own.loader)
        dl.load(path, own.model, optimizer=own.optimizer, data=own.loader)
        own.optimizer.load_state_dict(own.optimizer.state_dict())
        own.model.load_state_dict(own.model.state_dict())

    return call, 200


def copying(own):
    def call():
        copy.deepcopy((own.model, own.optimizer, own.loader))
        pickle.loads(pickle.dumps((own.model, own.optimizer)))

    return call, 400


def tracing(own):
    def call():
        with dl.trace() as walk:
            own.step(own.x[:1], own.y[:1])
        str(walk)

    return call, 40


def racing(own):
    return lambda: dl.viz.race("beale", [own.rule], steps=50, tune=False), 100


def exporting(own):
    folder = tempfile.TemporaryDirectory()

    def call(folder=folder):
        dl.export.to_numpy(own.model, Path(folder.name, "net.py"))
        with contextlib.redirect_stdout(io.StringIO()):
            dl.export.to_c(own.model, Path(folder.name, "net.h"))

    return call, 60


def failing(own):
    """Calls that raise: wrong shapes, labels, states, options, files, and a NaN in a replay."""
    step = dl.capture(lambda x, labels: dl.losses.cross_entropy(dl.Tensor(x), labels))
    logits, labels = np.zeros((2, 3), np.float32), np.array([0, 1])
    w = dl.Tensor(np.ones(3), True)
    optimizer = dl.optim.Adam([w])
    calls = [
        lambda: step(logits, labels + 5),
        lambda: own.model(np.zeros((2, 7))),
        lambda: dl.losses.mse(logits, np.zeros((5, 3))),
        lambda: dl.losses.cross_entropy(logits, labels + 9),
        lambda: own.model.load_state_dict({}),
        lambda: own.optimizer.load_state_dict({}),
        lambda: dl.optim.Adam(own.model, rate=1),
        lambda: optimizer.step(),
        lambda: (w * w).backward(),
        lambda: dl.fit(own.model, own.loss, own.optimizer, (own.x * np.nan, own.y), epochs=2),
        lambda: dl.load("no such file", own.model),
        lambda: dl.schedulers.CosineDecay(-1, 0),
        lambda: step.epoch(logits, labels, batch_size=1, order=[7]),
    ]

    def call():
        for each in calls:
            with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
                each()
                raise AssertionError(each)

    for _ in range(3):
        step(logits, labels)
    return call, 300


def serving(own):
    """Servers of pages that are opened, asked, left and closed."""

    def call():
        with PageServer("race", "page", {"ask": lambda question: question}) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.001,))
            thread.start()
            connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
            with contextlib.closing(connection):
                for body in (json.dumps(1), "no JSON"):
                    connection.request("POST", f"/{server.token}/ask", body)
                    connection.getresponse().read()
            server.shutdown()
            thread.join()
        for each in threading.enumerate():
            if each is not threading.current_thread() and each.daemon:
                each.join(30)

    return call, 200


def playing(own):
    """A tab of the playground that begins anew, trains and is shown what it did."""
    from minidl.viz._playground.live import Playground

    playground = Playground()
    key = playground.start({"session": None, "settings": {}})["session"]

    def call():
        nonlocal key
        key = playground.start({"session": key, "settings": {"layers": [2]}})["session"]
        playground.frame({"session": key, "steps": 5, "seen": [], "detail": True})

    return call, 100


OTHERS = (
    *(predicting, capturing, recapturing, averaging, saving, copying, tracing, racing),
    *(exporting, failing, serving, playing),
)
SEEDS = len(WAYS) * len(work.RULES) + len(OTHERS)


def trial(seed, say):
    rng = np.random.default_rng(seed)
    if seed < len(OTHERS):
        kind = OTHERS[seed]
        say(kind.__name__)
        call, number = kind(work.Training(rng))
        return {"other calls": watch(kind.__name__, call, number)}
    way, rule = divmod(seed - len(OTHERS), len(work.RULES))
    way, rule = WAYS[way], work.RULES[rule]
    say(f"{way.__name__}, {rule}")
    call, steps = way(work.Training(rng, rule))
    number = watch(f"{way.__name__}, {rule}", call, STEPS // steps, way in IN_CYCLES)
    return {f"steps, {way.__name__}": number * steps}
