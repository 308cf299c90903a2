"""The playground's page in a frame, as a notebook shows it: its questions reach the widget."""

import json

import numpy as np
import pytest
from playwright.sync_api import expect

import minidl as dl

pytest.importorskip("anywidget", reason="pip install 'minidl[notebook]'")

RNG = np.random.default_rng(0)
X = RNG.normal([50, -3], [20, 1], size=(90, 2)).astype(np.float32)
Y = (X[:, 0] > 50).astype(int)
NOTEBOOK = """<!doctype html><meta charset="utf-8"><title>notebook</title><div id="cell"></div>
<script type="module">
{script}
let heard = null;
const model = {{ get: () => {frame}, on: (name, f) => {{ heard = f; }}, off: () => {{}},
  send: async (question) => heard(JSON.parse(await window.python(JSON.stringify(question)))) }};
render({{ model, el: document.getElementById('cell') }});
</script>"""


class Notebook:
    """A page with the widget's script, which a notebook would load."""

    def __init__(self, widget):
        self.widget = widget

    def save(self, path):
        from minidl.viz.widget import SCRIPT

        script = SCRIPT.replace("export default { render };", "")
        frame = json.dumps(self.widget.frame).replace("<", "\\u003c")
        path.write_text(NOTEBOOK.format(script=script, frame=frame), encoding="utf-8")


def test_the_page_trains_a_given_model_through_the_widget(open_page, tab_and_events, monkeypatch):
    model = dl.nn.MLP([2, 4, 2], "tanh", rng=1)
    names = ["<b>width</b>", "height"]
    widget = dl.viz.playground(model, (X, Y), test=0.0, names=names, height=700)
    sent = []
    monkeypatch.setattr(widget, "send", sent.append)

    def python(question):
        widget._answer(widget, json.loads(question), [])
        return json.dumps(sent.pop())

    tab, _ = tab_and_events
    tab.expose_function("python", python)
    open_page(Notebook(widget))
    page = tab.frame_locator("iframe[title=Playground]")
    expect(page.locator("#count")).to_contain_text("step 0,")
    page.locator("#step").click()
    expect(page.locator("#count")).to_contain_text("step 1,")
    page.locator("#epoch").click()
    expect(page.locator("#count")).to_contain_text("step 6,")
    optimizer, loader = dl.optim.Adam(model, lr=0.01), dl.data.DataLoader(X, Y, 16, rng=0)
    dl.fit(model, dl.losses.cross_entropy, optimizer, loader, epochs=1, progress=False)
    for p, q in zip(widget.model.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    loss = dl.evaluate(model, (X, Y), dl.losses.cross_entropy)["loss"]
    shown = page.locator("#scores tr", has_text="loss").locator("td").first.inner_text()
    assert float(shown) == pytest.approx(loss, rel=1e-3)
    page.locator(".map").hover(position={"x": 100, "y": 100})
    expect(page.locator("#tooltip")).to_contain_text("<b>width</b> = ")
    expect(page.locator("#tooltip")).to_contain_text("class 1")
