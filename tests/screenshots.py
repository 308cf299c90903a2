"""Take the screenshots of pages in the documentation.

python -m tests.screenshots                    # all of them
python -m tests.screenshots race_page.png      # those named
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

import minidl as dl
from minidl import viz
from minidl.__main__ import lesson

DOCS = Path(__file__).parents[1] / "docs"


def plan():
    """The plan of a step of docs/capture.md, after its calls have been measured."""
    small = dl.nn.MLP([2, 16, 1], rng=0)
    rule = dl.optim.Adam(small, lr=0.01)

    @dl.capture
    def small_step(x, y):
        rule.zero_grad()
        loss = dl.losses.mse(small(x), y)
        loss.backward()
        rule.step()
        return loss

    x = np.random.default_rng(0).uniform(-1, 1, (32, 2)).astype(np.float32)
    for _ in range(12):
        small_step(x, x[:, :1])
    return small_step.plan


def main():
    """Write docs/walkthrough.png, docs/race_page.png, a phone's in the dark, and docs/plan.png."""
    race = viz.race("beale", steps=150)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = Path(folder) / "page.html"
        for shown, address, size, picture, theme in (
            (lesson(), "#step-7", (1200, 800), "walkthrough.png", "light"),
            (race, "#step=60", (1280, 860), "race_page.png", "light"),
            (race, "#step=150", (390, 844), "race_page_phone.png", "dark"),
            (plan(), "", (1100, 1010), "plan.png", "light"),
        ):
            if sys.argv[1:] and picture not in sys.argv:
                continue
            shown.save(page)
            width, height = size
            tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            tab.goto(page.as_uri() + address)
            tab.wait_for_timeout(1000)  # the graph scrolls smoothly
            tab.screenshot(path=DOCS / picture)
            print(f"{DOCS / picture}: {(DOCS / picture).stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
