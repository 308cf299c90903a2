"""Make the pictures of pages that the documentation shows: python -m tests.screenshots"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from minidl.__main__ import lesson

DOCS = Path(__file__).parents[1] / "docs"


def main():
    """The seventh step of the built-in lesson, backward through tanh, for README and docs."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "walk.html"
        lesson().save(page)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1200, "height": 1010}, device_scale_factor=1)
        tab.goto(page.as_uri() + "#step-7")
        tab.wait_for_timeout(1000)  # until the graph has scrolled
        picture = DOCS / "walkthrough.png"
        tab.screenshot(path=picture)
        browser.close()
    print(f"{picture}: {picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
