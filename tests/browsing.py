"""Fixtures for pages in a headless Chromium, and checks of what a page shows.

All tests use one tab, since opening a tab is slow. The checks measure the page as it is drawn; a
check returns a list of what is wrong, so a test asserts that it is empty.
"""

import contextlib
import io
import itertools
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SIZES = [  # a desktop, a tablet, a cell of JupyterLab, a phone
    {"width": 1440, "height": 900},
    {"width": 1024, "height": 768},
    {"width": 988, "height": 720},
    PHONE,
]
ROOT = Path(__file__).parents[1]
CHECKS = Path(__file__).with_name("page_checks.js").read_text(encoding="utf-8")
AXE = Path(os.environ.get("MINIDL_AXE") or ROOT / ".ci/node_modules/axe-core/axe.min.js")
needs_axe = pytest.mark.skipif(not AXE.exists(), reason="axe-core: npm ci --prefix .ci")
CLEAR_STORAGE = "try { localStorage.clear(); } catch { /* there is none in a frame */ }"


def pytest_ignore_collect(collection_path):
    skipped = not BROWSER and collection_path.match("test_*_in_a_browser.py")
    return True if skipped else None


def pytest_report_header():
    missing = "none, so test_*_in_a_browser.py are skipped: install Chromium"
    no_axe = "none, so its tests are skipped: npm ci --prefix .ci, or set MINIDL_AXE to axe.min.js"
    return [f"browser: {BROWSER or missing}", f"axe-core: {AXE if AXE.exists() else no_axe}"]


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def tab_and_events(browser):
    """A tab that stores nothing between pages, and a list of its messages, errors and requests."""
    tab, events = browser.new_page(), []
    tab.clock.install()
    tab.add_init_script(CLEAR_STORAGE)
    tab.on("console", lambda message: events.append(message.text))
    tab.on("pageerror", lambda error: events.append(str(error)))
    tab.on("dialog", lambda dialog: events.append(dialog.message))
    tab.on("request", lambda request: events.append(request.url))
    return tab, events


@contextlib.contextmanager
def served(tab_and_events, server):
    """The tab, while a server answers it; a message or an error of its pages is a failure."""
    tab, events = tab_and_events
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        tab.set_viewport_size(DESKTOP)
        tab.emulate_media(color_scheme="light", reduced_motion="no-preference")
        events.clear()
        yield tab
        tab.goto("about:blank")
        server.shutdown()
        thread.join()
    expected = server.url, "about:", "blob:", "Failed to load resource"  # of refused questions
    assert [event for event in events if not event.startswith(expected)] == []


@pytest.fixture
def open_page(tab_and_events, tmp_path):
    """A function that saves and opens a page; any message, error or request is a failure."""
    tab, events = tab_and_events
    names = itertools.count()

    def open_page(
        savable, fragment="", size=DESKTOP, colours="light", motion="no-preference", **options
    ):
        path = tmp_path / f"{next(names)}.html"
        savable.save(path, **options)
        if tab.viewport_size != size:
            tab.set_viewport_size(size)
        tab.emulate_media(media="screen", color_scheme=colours, reduced_motion=motion)
        tab.mouse.move(0, 0)
        tab.goto(path.as_uri() + fragment)
        events.remove(path.as_uri())  # the only request allowed
        return tab

    events.clear()
    yield open_page
    assert events == []


@pytest.fixture
def open_page_without_scripts(browser, tmp_path):
    """The same with scripts disabled."""
    with browser.new_context(java_script_enabled=False, viewport=DESKTOP) as context:

        def open_page(savable):
            tab = context.new_page()
            savable.save(tmp_path / "page.html")
            tab.goto((tmp_path / "page.html").as_uri())
            return tab

        yield open_page


def press(tab, key, times=1):
    """Press a key one or more times."""
    for _ in range(times):
        tab.keyboard.press(key)


# --- checks of what a page shows ----------------------------------------------------------------


def at_sizes(tab, sizes=SIZES, themes=("light", "dark")):
    """Show the open page at each size in each theme; yields (size, theme), for messages."""
    for size, theme in itertools.product(sizes, themes):
        tab.set_viewport_size(size)
        tab.emulate_media(media="screen", color_scheme=theme, reduced_motion="reduce")
        yield f"{size['width']} × {size['height']}", theme


def measure(tab, function, *arguments):
    """Call a function of page_checks.js in the page."""
    if not tab.evaluate("'checks' in window"):
        tab.evaluate(CHECKS)
    return tab.evaluate("([f, a]) => window.checks[f](...a)", [function, arguments])


def unreadable(tab, selector):
    """The elements that have no size, or whose text is cut off or beyond the window's sides.

    The texts of a select are all of its choices.
    """
    return measure(tab, "unreadable", selector)


def overlapping(tab, selector):
    """The pairs of elements whose texts overlap; of elements without text, whose boxes do."""
    return measure(tab, "overlapping", selector)


def out_of_view(tab, selector):
    """The elements that are not wholly in the window as it is scrolled, or behind a bar."""
    return measure(tab, "outOfView", selector)


def low_contrast(tab, texts="body", lines="nothing"):
    """The texts and lines with too little contrast to what is drawn behind them.

    texts  a selector; each text in these elements needs 4.5 : 1, a large one 3 : 1
    lines  a selector of SVG shapes whose strokes need 3 : 1

    The background is read from a screenshot without the texts and lines. Four fifths of it must
    have the contrast. What a sideways scroll would show is not measured.
    """
    without = f"""* {{ -webkit-text-fill-color: transparent !important; }}
        text, tspan {{ fill: transparent !important; }}
        {lines} {{ stroke: transparent !important; }}"""
    height, window, start = tab.evaluate(
        "[document.documentElement.scrollHeight, innerHeight, scrollY]"
    )
    measure(tab, "forget")
    faults = []
    for top in range(0, height, window * 3 // 4):
        tab.evaluate("top => scrollTo({ top, behavior: 'instant' })", top)
        items = measure(tab, "texts", texts) + measure(tab, "lines", lines)
        if items:
            style = tab.add_style_tag(content=without)
            pixels = _pixels(tab.screenshot())
            style.evaluate("style => style.remove()")
        for item in items:
            contrast = _contrast(item, pixels)
            if contrast < item["least"]:
                faults.append(f"{contrast:.2f} : 1 for {item['what']}")
    tab.evaluate("top => scrollTo({ top, behavior: 'instant' })", start)
    return faults


def _pixels(png):
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def _contrast(item, pixels):
    """The contrast that four fifths of the pixels in the boxes of a text or line have."""
    areas = []
    for box in item["boxes"]:
        left, top, right, bottom = (max(0, round(x)) for x in box)
        areas.append(pixels[top : max(bottom, top + 1), left : max(right, left + 1)].reshape(-1, 3))
    behind = np.concatenate(areas).astype(float)
    ink = item["opacity"] * np.array(item["color"]) + (1 - item["opacity"]) * behind
    light, dark = luminance(ink), luminance(behind)
    light, dark = np.maximum(light, dark), np.minimum(light, dark)
    return np.percentile((light + 0.05) / (dark + 0.05), 20)


def luminance(colors):
    """The relative luminance of sRGB colors 0 … 255, as WCAG 2.2 defines it."""
    c = np.asarray(colors) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (
        0.2126,
        0.7152,
        0.0722,
    )


def tab_presses(tab, selector, most=50):
    """How often Tab is pressed from the start of the page until an element has the focus."""
    measure(tab, "startTabbing")
    for presses in range(1, most + 1):
        tab.keyboard.press("Tab")
        if tab.evaluate("selector => document.activeElement.matches(selector)", selector):
            return presses
    raise AssertionError(f"{most} presses of Tab do not lead to {selector}")


def axe_violations(tab, contrast=True):
    """The rules of axe-core that the page violates, each with the elements concerned.

    contrast  whether to check the contrast of texts, too, which takes most of the time
    """
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE.read_text(encoding="utf-8"))
    return tab.evaluate(
        """async (enabled) => (await axe.run(document, {
            resultTypes: ['violations'], rules: { 'color-contrast': { enabled } },
        })).violations.map(({ id, help, nodes }) => `${id}: ${help}: `
            + nodes.slice(0, 5).map(({ target }) => target.join(' ')).join('; '))""",
        contrast,
    )
