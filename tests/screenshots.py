"""Make the pictures of pages that the documentation shows: python -m tests.screenshots"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from minidl import viz
from minidl.__main__ import lesson

DOCS = Path(__file__).parents[1] / "docs"


def main():
    """Backward through tanh in the built-in lesson, and the race of docs/races.md on the way."""
    race = viz.race("beale", steps=150, tune=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = Path(folder) / "page.html"
        for shown, place, size, picture in (
            (lesson(), "#step-7", (1200, 1010), "walkthrough.png"),
            (race, "#step=60", (1280, 860), "race_page.png"),
        ):
            shown.save(page)
            width, height = size
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.goto(page.as_uri() + place)
            tab.wait_for_timeout(1000)  # until the graph has scrolled
            tab.screenshot(path=DOCS / picture)
            print(f"{DOCS / picture}: {(DOCS / picture).stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
