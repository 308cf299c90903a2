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
NOTEBOOK = """<!doctype html><meta charset="utf-8"><title>notebook</title>
<div id="cell"></div><div id="other"></div>
<script type="module">
{script}
const heard = [];
const model = {{ get: () => {frame}, on: (name, f) => heard.push(f), off: () => {{}},
  send: async (question) => {{
    const answer = JSON.parse(await window.python(JSON.stringify(question)));
    if (answer) for (const f of heard) f(answer);
  }} }};
for (const id of {cells}) render({{ model, el: document.getElementById(id) }});
</script>"""


@pytest.fixture(scope="module")
def kernel(tab_and_events):
    """A dict, whose "answer" the page calls as its function `python`."""
    own = {}
    tab_and_events[0].expose_function("python", lambda question: own["answer"](question))
    return own


class Notebook:
    """A page with the widget's script, which a notebook would load."""

    def __init__(self, widget, *cells):
        self.widget, self.cells = widget, [*cells]

    def save(self, path):
        from minidl.viz.widget import SCRIPT

        script = SCRIPT.replace("export default { render };", "")
        frame = json.dumps(self.widget.frame).replace("<", "\\u003c")
        path.write_text(
            NOTEBOOK.format(script=script, frame=frame, cells=self.cells), encoding="utf-8"
        )


def test_the_page_trains_a_given_model_through_the_widget(open_page, kernel, monkeypatch):
    model = dl.nn.MLP([2, 4, 2], "tanh", rng=1)
    names = ["<b>width</b>", "height"]
    widget = dl.viz.playground(model, (X, Y), test=0.0, names=names, height=700)
    sent = []
    monkeypatch.setattr(widget, "send", sent.append)

    def python(question):
        widget._answer(widget, json.loads(question), [])
        return json.dumps(sent.pop())

    kernel["answer"] = python
    tab = open_page(Notebook(widget, "cell"))
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


def test_two_views_of_a_widget_are_two_trainings_and_a_kernel_that_is_busy_is_told(
    open_page, kernel, monkeypatch
):
    widget, sent, busy = dl.viz.playground(height=300), [], []
    monkeypatch.setattr(widget, "send", sent.append)

    def python(question):
        if busy:
            return "null"
        widget._answer(widget, json.loads(question), [])
        return json.dumps(sent.pop())

    kernel["answer"] = python
    tab = open_page(Notebook(widget, "cell", "other"))
    one, two = (tab.frame_locator(f"#{name} iframe") for name in ("cell", "other"))
    for page in (one, two):
        expect(page.locator("#count")).to_contain_text("step 0,")
    one.locator("#step").click()
    expect(one.locator("#count")).to_contain_text("step 1,")
    expect(two.locator("#count")).to_contain_text("step 0,")
    two.locator("#step").click()
    expect(two.locator("#count")).to_contain_text("step 1,")
    assert [own.trainings[0].step for own in widget._live.sessions.values()] == [1, 1]
    busy.append(True)
    two.locator("#step").click()
    tab.clock.run_for(5000)
    expect(two.locator("#problem")).to_contain_text("it is busy, or has ended")
