"""Run each seed of a part in a process of its own, and report the first breach.

A part is a module of this package. The first line of its docstring says what it tries. It has

    SEEDS             how many seeds the whole campaign tries
    SECONDS           after which a process is taken to hang
    trial(seed, say)  tries one seed; returns how many of what it has tried, as a dict of numbers.
                      It calls say(text) before each thing that may crash, and raises Breach

and may have

    missing()         what this machine lacks for the part, "" if nothing
    prepare(folder)   builds what the processes need; returns their environment variables
    command           what starts Python, such as valgrind (default: this Python)
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROCESSES = os.cpu_count() or 1


class Breach(Exception):  # noqa: N818
    """Something that must not be; `reproduction` is a small program that shows it."""

    def __init__(self, text, reproduction=""):
        super().__init__(text)
        self.reproduction = reproduction


def module(name):
    """A part: a module of this package, or another one by its dotted name."""
    return importlib.import_module(name if "." in name else f"tests.campaign.{name}")


def one(name, seed, said):
    """Try one seed in this process; prints the counts, or the breach, as JSON."""
    with open(said, "w", encoding="utf-8", buffering=1) as file:

        def say(text):
            file.seek(0)
            file.truncate()
            file.write(f"{text}\n")

        try:
            print(json.dumps({"tried": module(name).trial(seed, say)}))
        except Breach as breach:
            print(json.dumps({"breach": str(breach), "reproduction": breach.reproduction}))


class Seed:
    """One seed, tried in a new process; `end` ends that, with all that it has started."""

    def __init__(self, name, seed, folder, environment):
        self.part, self.said = module(name), Path(folder, f"{name}-{seed}.said")
        python = getattr(self.part, "command", [sys.executable])
        command = [*python, "-m", "tests.campaign", name, "--seed", str(seed)]
        self.command = [*command, "--one", str(self.said)]
        self.environment = {**os.environ, **environment}
        self.process, self.ended, self.changing = None, False, threading.Lock()

    def start(self):
        with self.changing:
            if self.ended:
                raise Breach("ended before it began")
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment,
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def end(self):
        with self.changing:
            if self.process and not self.ended:  # else its number may be that of another one
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.ended = True

    def result(self):
        """The counts; raises Breach."""
        self.start()
        try:
            output, errors = self.process.communicate(timeout=self.part.SECONDS)
        except subprocess.TimeoutExpired:
            self.end()
            self.process.communicate()  # closes the pipes
            raise Breach(f"no end after {self.part.SECONDS} s\n{self.last()}") from None
        finally:
            self.end()
        found = [line for line in output.splitlines() if line.startswith('{"')]
        result = json.loads(found[-1]) if found else {}
        if "breach" in result:
            raise Breach(result["breach"], result["reproduction"])
        status = self.process.returncode
        if status or "tried" not in result:
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            raise Breach(f"the process ended with {how}\n{self.last()}\n{output}{errors}")
        return result["tried"]

    def last(self):
        """What the process said last."""
        return f"last: {self.said.read_text(encoding='utf-8')}" if self.said.exists() else ""


def run(name, seeds, until, jobs=PROCESSES):
    """The counts of a part: at least one seed is tried, and no new one is begun after `until`.

    Processes are started by threads, in which no signal raises an error. So whatever ends this
    function, Ctrl-C for example, each process is known and ended, too.
    """
    part, total, begun, running = module(name), Counter(), [], {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        environment = part.prepare(Path(folder)) if hasattr(part, "prepare") else {}
        waiting = iter(seeds)
        try:
            while True:
                while len(running) < jobs and (time.monotonic() < until or not total):
                    if (number := next(waiting, None)) is None:
                        break
                    begun.append(Seed(name, number, folder, environment))
                    running[pool.submit(begun[-1].result)] = number
                if not running:
                    return total
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    number = running.pop(done)
                    try:
                        total.update({"seeds": 1, **done.result()})
                    except Breach as breach:
                        raise SystemExit(written(name, number, breach)) from None
        finally:
            for seed in begun:
                seed.end()


def written(name, seed, breach):
    """The text of a breach, which is written to a file in the current folder as well."""
    text = f"BREACH in {name}, seed {seed}: {breach}\n"
    text += f"It is found again by: python -m tests.campaign {name} --seed {seed}\n"
    if breach.reproduction:
        text += f"A program that shows it:\n\n{breach.reproduction}\n"
    path = Path(f"breach-{name}-{seed}.txt")
    path.write_text(text, encoding="utf-8")
    return f"{text}\nThis text is in {path}."
