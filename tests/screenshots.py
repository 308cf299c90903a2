"""Take the screenshots of pages in the documentation: python -m tests.screenshots [NAME …]"""

import shutil
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import minidl as dl
from minidl import viz
from minidl.__main__ import lesson
from minidl._page.server import PageServer
from minidl.viz._playground.data import DATA
from minidl.viz._playground.live import Playground
from minidl.viz._race.live import LiveRace

DOCS = Path(__file__).parents[1] / "docs"


def recorded():
    """A recorded training on spirals."""
    x, y = DATA["spirals"].draw(400, 0.1, np.random.default_rng(0))
    model, recorder = dl.nn.MLP([2, 16, 16, 2], "tanh", rng=0), dl.viz.Recorder()
    optimizer = dl.optim.Adam(model, lr=dl.schedulers.CosineDecay(0.03, 3000))
    more = {"validation": 0.25, "metrics": {"accuracy": dl.metrics.accuracy}, "progress": False}
    data = dl.data.DataLoader(x, y, 16, rng=0)
    dl.fit(model, dl.losses.cross_entropy, optimizer, data, epochs=100, record=recorder, **more)
    return recorder


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


def write_live(path):
    """The live page of a race, as it is served."""
    race = viz.race("himmelblau", ["NAG", "Adam"], start=(0.9, -0.97))
    path.write_text(LiveRace(race, 0, viz.race).html(), "utf-8")


def play(browser):
    """Pictures of the playground after some epochs, which only its server can show."""
    playground = Playground()
    with PageServer("playground", playground.html, playground.answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for address, size, picture, theme in (
            ("#data=spirals&a.lr=0.03&a.batch_size=32", (1440, 1090), "playground.png", "light"),
            ("#data=three_classes&b.rule=SGD&b.lr=0.1", (390, 844), "playground_phone.png", "dark"),
        ):
            width, height = size
            tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            tab.goto(server.url + address)
            tab.wait_for_selector(".node")
            for _ in range(150):  # epochs
                tab.keyboard.press("End")
            tab.wait_for_function(
                "() => document.querySelector('#count').textContent.includes('epoch 150')"
            )
            yield tab, picture
        server.shutdown()


def keep(tab, picture):
    """Write the picture of a page with few colors."""
    tab.screenshot(path=DOCS / picture)
    with Image.open(DOCS / picture) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(DOCS / picture, optimize=True)
    print(f"{DOCS / picture}: {(DOCS / picture).stat().st_size:,} bytes")


def main(names):
    """Write the pictures with these names, or all: of a walkthrough, of races and of a plan."""
    race = viz.race("beale", steps=150)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = Path(folder) / "page.html"
        for save, address, size, picture, theme in (
            (lesson().save, "#step-7", (1200, 800), "walkthrough.png", "light"),
            (race.save, "#step=60", (1280, 860), "race_page.png", "light"),
            (write_live, "#step=5", (1280, 1060), "race_live.png", "light"),
            (race.save, "#step=150", (390, 844), "race_page_phone.png", "dark"),
            (plan().save, "", (1100, 1010), "plan.png", "light"),
            (recorded().save, "#step=600", (1440, 900), "recorder.png", "light"),
        ):
            if names and picture not in names:
                continue
            save(page)
            width, height = size
            tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            tab.goto(page.as_uri() + address)
            tab.wait_for_timeout(1000)  # the graph scrolls smoothly
            keep(tab, picture)
        if not names or any(name.startswith("playground") for name in names):
            for tab, picture in play(browser):
                keep(tab, picture)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
