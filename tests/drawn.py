"""Read lines, texts and the table of a race from a Matplotlib figure, for tests of pictures."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text


def line_points(axes, index=0):
    """The points of one line of the axes, (n, 2)."""
    return np.transpose(axes.get_lines()[index].get_data())


def drawn_texts(figure):
    """The texts that are drawn, {text: its box in pixels}."""
    boxes = {}

    def draw(text, renderer):
        boxes[text] = text.get_window_extent()
        original(text, renderer)

    original = Text.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", draw)
        figure.canvas.draw()
    return {t: box for t, box in boxes.items() if t.get_visible() and t.get_text().strip()}


def assert_texts_fit(figure):
    """Assert that texts do not overlap and are inside the figure; returns them."""
    texts = drawn_texts(figure)
    whole = figure.bbox.padded(1)
    for text, box in texts.items():
        assert whole.contains(box.x0, box.y0), text
        assert whole.contains(box.x1, box.y1), text
    for (one, a), (other, b) in itertools.combinations(texts.items(), 2):
        assert not a.padded(-0.5).overlaps(b.padded(-0.5)), (one, other)
    return texts


def race_table(axes):
    """The list beside the picture of a race, {name: (rate, outcome)}, from top to bottom."""
    texts = [" ".join(text.get_text().split()) for text in axes.figure.axes[1].texts]
    texts = texts[: texts.index("start")]
    rates = [text.removeprefix("η").removeprefix(" =").strip() for text in texts[1::3]]
    return dict(zip(texts[::3], zip(rates, texts[2::3], strict=True), strict=True))


def race_paths(axes):
    """The ring at the start of a race, and for each run (path, marker at its end)."""
    ring, *lines = [line for line in axes.get_lines() if line.get_label() != "goal"]
    return ring, list(zip(lines[::2], lines[1::2], strict=True))
