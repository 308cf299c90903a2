"""Take the screenshots of pages in the documentation: python -m tests.screenshots"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from minidl import viz
from minidl.__main__ import lesson

DOCS = Path(__file__).parents[1] / "docs"


def main():
    """Write docs/walkthrough.png, backward through tanh, and docs/race_page.png, at step 60."""
    race = viz.race("beale", steps=150, tune=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = Path(folder) / "page.html"
        for shown, address, size, picture in (
            (lesson(), "#step-7", (1200, 1010), "walkthrough.png"),
            (race, "#step=60", (1280, 860), "race_page.png"),
        ):
            shown.save(page)
            width, height = size
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.goto(page.as_uri() + address)
            tab.wait_for_timeout(1000)  # the graph scrolls smoothly
            tab.screenshot(path=DOCS / picture)
            print(f"{DOCS / picture}: {(DOCS / picture).stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
