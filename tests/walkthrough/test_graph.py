"""The graph of a record as SVG."""

import re
import xml.etree.ElementTree as ET

import minidl as dl
from minidl.walkthrough.graph import as_svg


def test_the_graph_of_a_long_walkthrough_has_a_box_for_all_omitted_ops(long_walk, tmp_path):
    long_walk.save(tmp_path / "walk.svg")
    svg = (tmp_path / "walk.svg").read_text(encoding="utf-8")
    assert ET.fromstring(svg).tag.endswith("svg")
    assert len(svg) < 200_000
    assert re.search(r"9,9\d\d ops", svg)


def test_a_gradient_that_becomes_infinite_is_marked_in_the_graph():
    w = dl.Tensor([0.0, 1.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        dl.sqrt(w).sum().backward()
    assert ">⚠ sqrt<" in as_svg(walk.presentation)
    assert ">⚠ w<" not in as_svg(walk.presentation)
