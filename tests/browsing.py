"""Fixtures for pages in a headless Chromium; all use one tab, since opening a tab is slow."""

import itertools
import shutil

import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
CLEAR_STORAGE = "try { localStorage.clear(); } catch { /* there is none in a frame */ }"


def pytest_ignore_collect(collection_path):
    skipped = not BROWSER and collection_path.match("test_*_in_a_browser.py")
    return True if skipped else None


def pytest_report_header():
    missing = "none, so test_*_in_a_browser.py are skipped: install Chromium"
    return f"browser: {BROWSER or missing}"


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
