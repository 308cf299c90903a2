"""Rendering of pages: templates, JSON that can't end its script, frames, a missing Jinja2."""

import html
import json
import re
import subprocess
import sys

import pytest

from minidl._page import framed, render

DATA = {
    "title": "t",
    "omitted": None,
    "loss": {"before": None, "after": None},
    "nodes": {},
    "steps": [],
    "arrays": [],
}


def page(data, title="A title", text="the text"):
    template = "minidl.walkthrough", "walkthrough.html.j2"
    return render(*template, data, title=title, graph="<svg></svg>", text=text)


def test_a_page_contains_its_title_its_text_its_graph_and_its_data():
    rendered = page(DATA)
    assert "<title>A title</title>" in rendered
    assert "the text</pre>" in rendered
    assert "<svg></svg>" in rendered
    (data,) = re.findall(r'<script type="application/json" id="walk">(.*?)</script>', rendered)
    assert json.loads(data) == DATA


@pytest.mark.parametrize("text", ["</script>", "<!--", "&lt;", "a\u2028b\u2029c", "∂ → 😀", '"\\'])
def test_any_text_in_the_data_is_the_same_after_it_is_parsed(text):
    rendered = page({**DATA, "title": text})
    (data,) = re.findall(r'<script type="application/json" id="walk">(.*?)</script>', rendered)
    assert json.loads(data)["title"] == text
    assert not set("<>&\u2028\u2029") & set(data)


def test_titles_and_texts_are_escaped():
    rendered = page(DATA, title="<b>&", text="<i>")
    assert "<title>&lt;b&gt;&amp;</title>" in rendered
    assert "<i>" not in rendered.partition("<pre>")[2].partition("</pre>")[0]


def test_a_frame_contains_the_whole_page():
    frame = framed('<p title="a">b & c</p>', "A <title>", 300)
    (content,) = re.findall(r'srcdoc="([^"]*)"', frame)
    assert html.unescape(content) == '<p title="a">b & c</p>'
    assert 'title="A &lt;title&gt;"' in frame
    assert "height:300px" in frame


def test_a_missing_jinja2_is_an_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ModuleNotFoundError, match=r"Jinja2: pip install 'minidl\[viz\]'"):
        page(DATA)


def test_jinja2_is_not_imported_before_a_page_is_rendered():
    code = "import sys, minidl._page, minidl.walkthrough.page; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
