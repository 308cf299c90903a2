"""The checks of pages in browsing.py, on a page whose faults are known."""

import browsing
import pytest

PAGE = """<!doctype html><html lang="en"><head><title>Faults</title><style>
    body { margin: 0; font: 16px/20px sans-serif; background: #fff }
    p, div { margin: 0 }
    #bar { position: fixed; bottom: 0; left: 0; width: 100%; height: 100px; background: #eee }
</style></head><body>
<main><h1>Faults</h1>
<p id="enough" style="color: #767676">enough</p>
<p id="faint" style="color: #777">faint</p>
<p id="see-through" style="opacity: .5">half</p>
<p id="big" style="font-size: 24px; line-height: 30px; color: #949494">large</p>
<svg width="200" height="40" id="drawing"><rect width="200" height="40" fill="#004"/>
  <path class="line" id="good" d="M10 10H190" stroke="#888"/>
  <path class="line" id="bad" d="M10 20H190" stroke="#444"/>
  <text x="10" y="35" fill="#fff">on dark</text></svg>
<div id="narrow" style="width: 0">x</div>
<p id="cut" style="width: 50px; overflow: hidden; white-space: nowrap">a long line of words</p>
<p id="dots" style="width: 3px; overflow: hidden; text-overflow: ellipsis">word</p>
<p id="wide" style="white-space: nowrap; margin-left: 95%">beyond the side of the window</p>
<p class="pair" style="position: absolute; left: 300px; top: 200px">first</p>
<p class="pair" style="position: absolute; left: 320px; top: 205px">second</p>
<p class="pair" style="position: absolute; left: 300px; top: 260px">third</p>
<p><button id="one">one</button> <button id="two">two</button><input id="nameless"></p>
<select id="choice" aria-label="a"><option>one</option><option>one hundred</option></select>
<select id="short" aria-label="b" style="width: 60px">
  <option>one</option><option>one hundred</option></select>
<p id="low" style="margin: 900px 0 200px; color: #aaa">below</p></main>
<div id="bar">bar</div></body></html>"""


@pytest.fixture
def faulty(open_page):
    """The page with known faults."""

    class Page:
        def save(self, path):
            path.write_text(PAGE, encoding="utf-8")

    return open_page(Page())


def test_contrasts_are_those_of_wcag_on_what_is_drawn_behind(faulty):
    """#767676 on white is the known limit, 4.54 : 1; #777777 has 4.48 : 1."""
    assert browsing.luminance([255, 255, 255]) == pytest.approx(1)
    assert browsing.low_contrast(faulty, "#enough, #big, #drawing, #bar", "#good") == []
    (faint,) = browsing.low_contrast(faulty, "#faint")
    assert faint == "4.48 : 1 for p#faint “faint”"
    (half,) = browsing.low_contrast(faulty, "#see-through")
    assert half.startswith("3.9")  # (127.5, 127.5, 127.5) on white is 3.98
    (line,) = browsing.low_contrast(faulty, "nothing", ".line")
    assert "path#bad" in line
    faulty.emulate_media(color_scheme="dark")  # measured again, as its colors may have changed
    assert len(browsing.low_contrast(faulty, "#faint")) == 1
    (low,) = browsing.low_contrast(faulty, "#low")  # it is found by scrolling
    assert low.startswith("2.32 : 1")


def test_what_cannot_be_read_is_found(faulty):
    assert browsing.unreadable(faulty, "#enough, #big, #choice, svg") == []
    faults = browsing.unreadable(faulty, "#narrow, #cut, #dots, #wide, #short")
    names = ["div#narrow", "p#cut", "p#dots", "p#wide", "select#short"]
    assert [fault.split(" ")[0] for fault in faults] == names
    assert len(browsing.overlapping(faulty, ".pair")) == 1
    assert browsing.out_of_view(faulty, "#enough, #one") == []
    assert len(browsing.out_of_view(faulty, "#bar, #low")) == 1


def test_presses_of_tab_are_counted_from_the_start_of_the_page(faulty):
    assert browsing.tab_presses(faulty, "#two") == 2
    assert browsing.tab_presses(faulty, "#one") == 1
    with pytest.raises(AssertionError, match="2 presses of Tab do not lead to #nameless"):
        browsing.tab_presses(faulty, "#nameless", most=2)


def test_each_size_is_shown_in_light_and_dark(faulty):
    widths = []
    for _, theme in browsing.at_sizes(faulty):
        assert faulty.evaluate("t => matchMedia(`(prefers-color-scheme: ${t})`).matches", theme)
        widths.append(faulty.evaluate("innerWidth"))
    assert widths == [1440, 1440, 1024, 1024, 988, 988, 390, 390]


@browsing.needs_axe
def test_axe_core_finds_a_field_without_a_name(faulty):
    found = browsing.axe_violations(faulty)
    assert any(fault.startswith("label: ") and "#nameless" in fault for fault in found)
