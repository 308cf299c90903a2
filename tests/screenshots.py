"""Take the screenshots of pages in the documentation: python -m tests.screenshots [NAME …]"""

import io
import itertools
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
from minidl._page.server import PageServer
from minidl.viz._playground.live import Playground
from minidl.viz._race.live import LiveRace

FILM_FRAMES, FILM_EPOCHS = 28, 60
FILM_COLOURS = [213, 94, 0, 0, 114, 178, 255, 255, 255, 22, 32, 46]  # of dots and texts
DOCS = Path(__file__).parents[1] / "docs"
sys.path.append(str(DOCS))
import live_pages  # noqa: E402  # of the site, which is no package


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


def run_epochs(tab, to):
    """Press the key that goes to the end of an epoch until that many have been taken."""
    while True:
        epoch = int(tab.locator("#count").inner_text().partition("epoch ")[2].partition(".")[0])
        if epoch >= to:
            return
        tab.keyboard.press("End")
        tab.wait_for_function(
            "n => document.querySelector('#count').textContent.includes(`epoch ${n}.0`)",
            arg=epoch + 1,
        )


def film(browser, url):
    """The film of the playground: two spirals, epoch by epoch, slower at the beginning."""
    hidden = "data,training,charts,activation,initializer,loss,dropout,lines,layers"
    hidden += ",script,link,picture,save,walk,speed"
    tab = browser.new_page(viewport={"width": 1120, "height": 580})
    chosen = "data=spirals&noise=0.06&activation=elu&a.lr=0.02&layers=7,7&seed=1"
    tab.goto(f"{url}#{chosen}&hide={hidden}")
    tab.wait_for_selector(".node")
    tab.add_style_tag(content="footer, details, #theme { display: none !important; }")
    shots = []
    for i in range(FILM_FRAMES):
        run_epochs(tab, round((i / (FILM_FRAMES - 1)) ** 1.7 * FILM_EPOCHS))
        data = tab.screenshot()
        with Image.open(io.BytesIO(data)) as image:
            shots.append(image.convert("RGB").resize((720, 373), Image.Resampling.LANCZOS))
    tab.close()
    colours = [*FILM_COLOURS, *shots[-1].quantize(63 - len(FILM_COLOURS) // 3).getpalette()]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours[: 3 * 63])
    frames = [np.array(s.quantize(palette=palette, dither=Image.Dither.NONE)) for s in shots]
    changes = [np.where(a == b, np.uint8(63), b) for a, b in itertools.pairwise(frames)]
    images = [Image.fromarray(frame) for frame in (frames[0], *changes)]
    for image in images:
        image.putpalette([*colours[: 3 * 63], 0, 0, 0])
    path = DOCS / "playground.gif"
    options = {"transparency": 63, "disposal": 1, "optimize": False, "loop": 0}
    times = [150] * (len(images) - 1) + [3000]
    images[0].save(path, save_all=True, append_images=images[1:], duration=times, **options)
    print(f"{path}: {path.stat().st_size:,} bytes")


def play(browser, names):
    """The film, and pictures of the playground after some epochs, which its server must show."""
    playground = Playground()
    spirals = "data=spirals&activation=elu&a.lr=CosineDecay(0.03, 1500)"
    with PageServer("playground", playground.html(), playground.answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        if not names or "playground.gif" in names:
            film(browser, server.url)
        for address, size, picture, theme in (
            (f"#{spirals}", (1440, 1090), "playground.png", "light"),
            ("#data=three_classes&b.rule=SGD&b.lr=0.1", (390, 844), "playground_phone.png", "dark"),
        ):
            if names and picture not in names:
                continue
            width, height = size
            tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            tab.goto(server.url + address)
            tab.wait_for_selector(".node")
            run_epochs(tab, 150)
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
    race = live_pages.race()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = Path(folder) / "page.html"
        for save, address, size, picture, theme in (
            (live_pages.lesson().save, "#step-7", (1200, 800), "walkthrough.png", "light"),
            (race.save, "#step=60", (1280, 860), "race_page.png", "light"),
            (write_live, "#step=5", (1280, 1060), "race_live.png", "light"),
            (race.save, "#step=150", (390, 844), "race_page_phone.png", "dark"),
            (plan().save, "", (1100, 1010), "plan.png", "light"),
            (live_pages.training().save, "#step=600", (1440, 900), "recorder.png", "light"),
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
            for tab, picture in play(browser, names):
                keep(tab, picture)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
