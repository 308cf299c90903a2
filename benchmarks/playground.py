"""How fast does the playground play? python -m benchmarks.playground [--seconds S]

Starts `python -m minidl playground` and plays its page in a headless Chromium: the network 2-8-8-2
on two moons, batches of 16, at 1440 × 900 pixels. The table has the frames and the steps per second
for each speed that can be chosen. Server and browser share the machine, as they do for a user.
"""

import argparse
import contextlib
import datetime
import os
import platform
import shutil
import subprocess
import sys
import time

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


def played(tab, seconds):
    """(frames, steps) per second while the open page plays."""
    answers = []
    tab.on("response", lambda response: answers.append(time.perf_counter()))
    tab.keyboard.press("Space")
    tab.wait_for_timeout(1000)  # captures the step, and finds how many steps fit a frame
    answers.clear()
    first, began = step_of(tab), time.perf_counter()
    tab.wait_for_timeout(1000 * seconds)
    frames, steps, taken = len(answers), step_of(tab) - first, time.perf_counter() - began
    tab.keyboard.press("Space")
    return frames / taken, steps / taken


def measure(seconds):
    """{speed: (frames, steps) per second}"""
    from playwright.sync_api import sync_playwright

    found = {}
    with address() as (_, url), sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for speed, text in SPEEDS.items():
            tab = browser.new_page(viewport={"width": 1440, "height": 900})
            tab.goto(f"{url}#speed={speed}")
            tab.wait_for_selector(".node")
            found[text] = played(tab, seconds)
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
    print("| speed | frames/s | steps/s |\n|---|---:|---:|")
    for text, (frames, steps) in found.items():
        print(f"| {text} | {frames:.1f} | {steps:,.0f} |")
    print(f"| at least | {GOALS[0]} | {GOALS[1]:,} |")


if __name__ == "__main__":
    main()
