"""Pages in a headless Chromium, all in one tab: to make one takes longer than most tests."""

import itertools
import shutil

import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
FORGET = "try { localStorage.clear(); } catch { /* there is none in a frame */ }"


def pytest_ignore_collect(collection_path):
    without = not BROWSER and collection_path.match("test_*_in_a_browser.py")
    return True if without else None


def pytest_report_header():
    without = "none, so tests/test_*_in_a_browser.py are left out: install Chromium"
    return f"browser: {BROWSER or without}"


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def listened(browser):
    """A tab that remembers nothing from page to page, and what it complained about."""
    tab, complaints = browser.new_page(), []
    tab.clock.install()
    tab.add_init_script(FORGET)
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("dialog", lambda dialog: complaints.append(dialog.message))
    tab.on("request", lambda request: complaints.append(request.url))
    return tab, complaints


@pytest.fixture
def opened(listened, tmp_path):
    """A function that opens a walkthrough or a race from disk; any complaint is an error."""
    tab, complaints = listened
    names = itertools.count()

    def open_page(shown, at="", size=DESKTOP, colours="light", motion="no-preference", **options):
        path = tmp_path / f"{next(names)}.html"
        shown.save(path, **options)
        if tab.viewport_size != size:
            tab.set_viewport_size(size)
        tab.emulate_media(media="screen", color_scheme=colours, reduced_motion=motion)
        tab.mouse.move(0, 0)
        tab.goto(path.as_uri() + at)
        complaints.remove(path.as_uri())  # all that it may ask for is itself
        return tab

    complaints.clear()
    yield open_page
    assert complaints == []


@pytest.fixture
def opened_without_scripts(browser, tmp_path):
    """The same, where scripts are forbidden."""
    with browser.new_context(java_script_enabled=False, viewport=DESKTOP) as context:

        def open_page(shown):
            tab = context.new_page()
            shown.save(tmp_path / "page.html")
            tab.goto((tmp_path / "page.html").as_uri())
            return tab

        yield open_page


def press(tab, key, times=1):
    """Press a key, so many times."""
    for _ in range(times):
        tab.keyboard.press(key)
