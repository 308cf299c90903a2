"""Play the playground for half an hour, and see that nothing leaks: python -m tests.playing

A headless Chromium plays as fast as it can, while rules, data, networks, comparisons, rewinding and
edits are chosen at random. The table has the memory of the server, and the memory, the elements and
the event listeners of the page after a collection of garbage. It exits with 1 if one of them has
grown by more than a tenth, or the page or the server has told of an error, after the first sixth
of the time, in which all that is remembered reaches its bound.
"""

import argparse
import random
import shutil
import sys
import time
from pathlib import Path

from benchmarks.playground import address, step_of

KINDS = {
    "server, MB": 1e6,
    "page, MB": 1e6,
    "elements": 1,
    "listeners": 1,
}
ROOM = {"server, MB": 4.0, "page, MB": 1.5, "elements": 60, "listeners": 60}  # beside the tenth


def measured(tab, tools, pid):
    """The values of KINDS, while nothing plays."""
    for _ in range(3):
        tools.send("HeapProfiler.collectGarbage")
        tab.wait_for_timeout(100)
    found = {own["name"]: own["value"] for own in tools.send("Performance.getMetrics")["metrics"]}
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    values = 4096 * pages, found["JSHeapUsedSize"], found["Nodes"], found["JSEventListeners"]
    return {name: value / KINDS[name] for name, value in zip(KINDS, values, strict=True)}


def press(button):
    """Click on a button, which does nothing if it is not to be used."""
    button.evaluate("button => button.click()")


def choose(tab, rng):
    """One random change, as a user would make it."""
    kind = rng.choice(["rule", "data", "unit", "layer", "compare", "rewind", "inspect", "lines"])
    if kind == "rule":
        tab.get_by_label("rule").first.select_option(rng.choice(["SGD", "Adam", "RMSprop", "NAG"]))
    elif kind == "data":
        press(tab.get_by_role("button", name=rng.choice(["two moons", "circles", "a curve"])))
    elif kind == "unit":
        sign = rng.choice(["Add a unit to", "Remove a unit of"])
        buttons = tab.get_by_role("button", name=sign)
        if buttons.count():
            press(buttons.first)
    elif kind == "layer":
        buttons = tab.get_by_role("button", name=rng.choice(["Remove layer", "Add a hidden layer"]))
        if buttons.count():
            press(buttons.first)
    elif kind == "compare":
        press(tab.locator("#compare"))
    elif kind == "rewind":
        tab.keyboard.press(rng.choice(["ArrowLeft", "Home"]))
    elif kind == "inspect":
        press(tab.locator(".node:not(:disabled)").first)
    else:
        tab.select_option("#lines", rng.choice(["value", "grad", "update", "effective"]))


def reset(tab):
    """The state in which memory is measured: the same each time."""
    tab.evaluate("location.hash = '#speed=0&seed=' + Math.floor(Math.random() * 1000)")
    tab.wait_for_timeout(500)
    tab.keyboard.press("Space")
    tab.wait_for_timeout(1500)
    tab.keyboard.press("Space")
    tab.wait_for_timeout(300)


def play(seconds, every, rng):
    """Rows of (seconds, steps, values); prints each at once."""
    from playwright.sync_api import sync_playwright

    rows, problems, steps, last = [], [], 0, 0
    with address() as (server, url), sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.goto(f"{url}#speed=0")
        tab.wait_for_selector(".node")
        tools = tab.context.new_cdp_session(tab)
        tools.send("Performance.enable")
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds or not rows:
            if not rows or now > rows[-1][0] + every:
                reset(tab)
                rows.append((now, steps, measured(tab, tools, server.pid)))
                print(line(rows[-1]), flush=True)
                last = 0
            tab.keyboard.press("Space")
            tab.wait_for_timeout(rng.uniform(500, 6000))
            step = step_of(tab)
            steps, last = steps + max(step - last, 0), step
            if tab.locator("#play").get_attribute("aria-label") == "Pause":
                tab.keyboard.press("Space")
            choose(tab, rng)
            tab.evaluate("document.activeElement.blur()")
            if tab.locator("#problem").is_visible():
                problems.append(tab.locator("#problem").inner_text())
        reset(tab)
        rows.append((time.monotonic() - began, steps, measured(tab, tools, server.pid)))
        print(line(rows[-1]), flush=True)
        browser.close()
    return rows, problems


def line(row):
    """A row of the table."""
    seconds, steps, values = row
    texts = [f"{value:,.1f}" if "MB" in name else f"{value:,.0f}" for name, value in values.items()]
    return f"| {seconds / 60:.1f} | {steps:,} | {' | '.join(texts)} |"


def grown(rows, seconds):
    """What has grown, as sentences."""
    early = [values for at, _, values in rows if at <= seconds / 6] or [rows[0][2]]
    found = []
    for name, room in ROOM.items():
        before, after = max(values[name] for values in early), rows[-1][2][name]
        if after > 1.1 * before + room:
            found.append(f"{name}: {before:,.1f} → {after:,.1f}")
    return found


def main(words=None):
    """Play, print the table, and return the exit code."""
    parser = argparse.ArgumentParser("python -m tests.playing", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    print(f"| minutes | steps | {' | '.join(KINDS)} |\n|{'---:|' * (2 + len(KINDS))}")
    seconds = 60 * given.minutes
    rows, problems = play(seconds, seconds / 15, random.Random(given.seed))
    problems += grown(rows, seconds)
    print("\n".join(problems) if problems else "nothing has grown")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
