"""Show minidl's own pages in the site, where its Markdown shows pictures of them.

They are made while the site is built, so they are never stale. They need no network and follow the
site's light or dark theme. GitHub, and other readers of the Markdown, show the pictures.
"""

from html import escape
from pathlib import Path

import numpy as np
from docutils import nodes

import minidl as dl
from minidl.__main__ import lesson
from minidl.viz._playground.data import DATA


def race():
    """Eight optimizers on the surface of the picture."""
    return dl.viz.race("beale", steps=150)


def training():
    """A recorded training on spirals."""
    x, y = DATA["spirals"].draw(400, 0.1, np.random.default_rng(0))
    model, recorder = dl.nn.MLP([2, 16, 16, 2], "tanh", rng=0), dl.viz.Recorder()
    optimizer = dl.optim.Adam(model, lr=dl.schedulers.CosineDecay(0.03, 3000))
    more = {"validation": 0.25, "metrics": {"accuracy": dl.metrics.accuracy}, "progress": False}
    data = dl.data.DataLoader(x, y, 16, rng=0)
    dl.fit(model, dl.losses.cross_entropy, optimizer, data, epochs=100, record=recorder, **more)
    return recorder


PAGES = {  # by the picture: what saves the page, and the step at which it opens
    "walkthrough.png": (lesson, "#step-7"),
    "race_page.png": (race, "#step=60"),
    "recorder.png": (training, "#step=600"),
}
FRAME = """<iframe class="live" src="{address}" title="{title}" loading="lazy"></iframe>
<p class="live"><a href="{address}" target="_blank">Open this page in its own tab</a></p>"""


def file_name(picture):
    return f"live_{Path(picture).stem}.html"


def embed(app, doctree):
    """Replace the pictures by the pages."""
    for image in [*doctree.findall(nodes.image)] if app.builder.format == "html" else []:
        if image["uri"] in PAGES:
            address = file_name(image["uri"]) + PAGES[image["uri"]][1]
            frame = FRAME.format(address=address, title=escape(image["alt"]))
            image.parent.replace_self(nodes.raw("", frame, format="html"))


def write(app, error):
    """Make the pages, beside those of the site."""
    if not error and app.builder.format == "html":
        for picture, (make, _) in PAGES.items():
            make().save(Path(app.outdir) / file_name(picture))


def setup(app):
    app.connect("doctree-read", embed, priority=400)  # before Sphinx collects the pictures
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
