"""The built site in a browser; .ci/run builds it and names its folder in MINIDL_SITE."""

import http.server
import os
import re
from pathlib import Path
from urllib.parse import unquote

import browsing
import pytest

if "MINIDL_SITE" not in os.environ:
    pytest.skip("MINIDL_SITE names no built site, as .ci/run does", allow_module_level=True)
SITE = Path(os.environ["MINIDL_SITE"]).resolve()
PAGES = [
    *("index", "start", "course", "course/01_regression", "walkthrough", "mathematics", "races"),
    *("training", "benchmarks", "reference/nn", "reference/optim", "search"),
]
KNOWN = {  # of Furo, none of them serious
    *("region", "landmark-unique", "page-has-heading-one"),
    "empty-table-header",  # the corner of a table
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=SITE)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site(tab_and_events):
    """The tab and the address of the site; a message, an error, another address is a failure."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    server.url = f"http://127.0.0.1:{server.server_port}/"
    with browsing.served(tab_and_events, server) as tab:
        yield tab, server.url


@pytest.fixture
def open_site(site):
    """A function that opens a page."""
    tab, address = site

    def open_site(page, size=browsing.DESKTOP, colours="light"):
        tab.set_viewport_size(size)
        tab.emulate_media(media="screen", color_scheme=colours, reduced_motion="reduce")
        tab.goto(address + page)
        return tab

    return open_site


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_wider_than_the_screen_and_no_picture_is_missing(page, open_site):
    for size in (browsing.DESKTOP, browsing.PHONE):
        tab = open_site(f"{page}.html", size)
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
        missing = "[...document.images].filter(image => !image.naturalWidth).map(({ src }) => src)"
        assert tab.evaluate(missing) == []


@browsing.needs_axe
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_accessible(page, colours, open_site):
    found = browsing.axe_violations(open_site(f"{page}.html", browsing.PHONE, colours))
    assert [fault for fault in found if fault.partition(":")[0] not in KNOWN] == []


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("walkthrough", "step 7 of"),
        ("races", "step 60 of 150"),
        ("training", "epoch"),
    ],
)
def test_a_live_page_stands_in_the_page_that_describes_it(page, shown, open_site):
    tab = open_site(f"{page}.html")
    frame = tab.frame_locator("iframe.live")
    tab.locator("iframe.live").scroll_into_view_if_needed()
    frame.get_by_text(shown).first.wait_for()
    tab.emulate_media(color_scheme="null")  # as it would override the theme of the site
    for theme, dark in (("light", False), ("dark", True)):
        tab.evaluate("theme => { document.body.dataset.theme = theme }", theme)
        assert tab.frames[1].evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == dark
    with tab.expect_popup() as popup:
        tab.get_by_text("Open this page in its own tab").click()
    popup.value.get_by_text(shown).first.wait_for()
    popup.value.close()


def test_every_link_within_the_site_leads_to_a_part_of_a_page():
    pages = {page: page.read_text("utf-8") for page in SITE.rglob("*.html")}
    parts = {page: {*re.findall(r'\bid="([^"]+)"', text), ""} for page, text in pages.items()}
    for page, text in pages.items():
        for address, part in re.findall(r'<a [^>]*href="([^":#]*)(?:#([^"]*))?"', text):
            target = (page.parent / address).resolve() if address else page
            assert target.exists(), f"{page.name}: {address}"
            if target in parts and not target.name.startswith("live_"):  # their steps are no ids
                assert unquote(part) in parts[target], f"{page.name}: {address}#{part}"


def test_equations_are_drawn_with_fractions_and_roots(open_site):
    tab = open_site("mathematics.html")
    assert tab.locator("math mfrac").count() > 20
    assert tab.locator("math msqrt").first.bounding_box()["height"] > 10


def test_a_lesson_shows_what_its_cells_print_and_draw(open_site):
    tab = open_site("course/01_regression.html")
    assert "least squares" in tab.locator(".output").first.inner_text()
    assert tab.locator("article img").last.evaluate("image => image.naturalWidth") > 500


def test_the_search_finds_a_name_of_the_reference_and_a_word_of_a_lesson(open_site):
    for words, page in (("clip_grad_norm", "reference/optim"), ("overfitting", "course/10_over")):
        tab = open_site(f"search.html?q={words}")
        tab.locator(f"#search-results a[href*='{page}']").first.wait_for()
