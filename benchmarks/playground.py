"""How fast does the playground play? python -m benchmarks.playground [--seconds S]

Starts `python -m minidl playground` and plays its page in a headless Chromium: the network 2-8-8-2
on two moons, batches of 16, at 1440 × 900 pixels. The table has the frames and the steps per second
for the two fastest speeds. Server and browser share the machine, as they do for a user. The last
columns have the processor time of a frame: of the server, of the page, and of the browser's other
processes, which draw without a graphics card here. They hardly depend on what else runs.
"""

import argparse
import contextlib
import datetime
import functools
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SPEEDS = {"2000": "2,000 steps/s", "0": "fastest"}
GOALS = 20, 2000  # frames and steps per second


@contextlib.contextmanager
def address(environment=None):
    """The address of a playground in another process, which ends afterwards."""
    command = [sys.executable, "-u", "-m", "minidl", "playground", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            yield server, server.stdout.readline().split()[1]
        finally:
            server.terminate()


def step_of(tab):
    """The step that the page shows."""
    text = tab.locator("#count").inner_text()
    return int(text.partition(", epoch")[0].removeprefix("step ").replace(",", ""))


def cpu(pid, browser):
    """Seconds of processor time: of the server, of the pages, and of the rest of the browser."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    server = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    processes = browser.send("SystemInfo.getProcessInfo")["processInfo"]
    pages = sum(own["cpuTime"] for own in processes if own["type"] == "renderer")
    return np.array([server, pages, sum(own["cpuTime"] for own in processes) - pages])


def played(tab, seconds, clocks):
    """(frames, steps) per second while the open page plays, and the clocks' seconds a frame."""
    answers = []
    tab.on("response", lambda response: answers.append(time.perf_counter()))
    tab.keyboard.press("Space")
    tab.wait_for_timeout(1000)  # captures the step, and finds how many steps fit a frame
    answers.clear()
    first, before, began = step_of(tab), clocks(), time.perf_counter()
    tab.wait_for_timeout(1000 * seconds)
    frames, steps, taken = len(answers), step_of(tab) - first, time.perf_counter() - began
    used = clocks() - before
    tab.keyboard.press("Space")
    return frames / taken, steps / taken, *used / frames


def measure(seconds):
    """{speed: (frames, steps) per second, and seconds a frame}"""
    from playwright.sync_api import sync_playwright

    found = {}
    with address() as (server, url), sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        clocks = functools.partial(cpu, server.pid, browser.new_browser_cdp_session())
        for speed, text in SPEEDS.items():
            tab = browser.new_page(viewport={"width": 1440, "height": 900})
            tab.goto(f"{url}#speed={speed}")
            tab.wait_for_selector(".node")
            found[text] = played(tab, seconds, clocks)
            tab.close()
        browser.close()
    return found


def main(words=None):
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.playground", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=8, help="to play (default: %(default)s)")
    found = measure(parser.parse_args(words).seconds)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores{load}\n")
    names = "server", "page", "other"
    print(f"| speed | frames/s | steps/s | {' | '.join(f'{name}, ms' for name in names)} |")
    print(f"|---|{'---:|' * 5}")
    for text, (frames, steps, *used) in found.items():
        times = " | ".join(f"{1000 * seconds:.1f}" for seconds in used)
        print(f"| {text} | {frames:.1f} | {steps:,.0f} | {times} |")
    print(f"| at least | {GOALS[0]} | {GOALS[1]:,} | | | |")


if __name__ == "__main__":
    main()
