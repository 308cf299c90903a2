"""The graph of a record as SVG."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import minidl as dl
from minidl.walkthrough.graph import as_svg, boxes_and_arrows


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
    assert ">⚠ sqrt<" in as_svg(walk._presentation)
    assert ">⚠ w<" not in as_svg(walk._presentation)


@pytest.mark.parametrize(
    "labels", [np.array([2, 0, 1, 2]), np.eye(3, dtype=np.float32)[[2, 0, 1, 2]]]
)
def test_the_labels_of_a_classification_are_a_node_with_an_arrow_to_the_loss(labels):
    model = dl.nn.MLP([2, 3], rng=0)
    with dl.trace() as walk:
        loss = dl.losses.cross_entropy(model(np.ones((4, 2), np.float32)), labels)
        loss.backward()
    (value,) = (value for value in walk.values if value.name == "labels")
    np.testing.assert_array_equal(value.data, labels)
    boxes, arrows = boxes_and_arrows(walk._presentation)
    ends = [(arrow.source, arrow.target) for arrow in arrows]
    assert (value.key, walk.backwards[0].root.key) in ends
    assert value.key in [box.key for box in boxes if box.kind == "input"]
    forward = next(step for step in walk.steps if step.title == "loss")
    assert "cross_entropy of dense1 and labels; reduction = mean." in forward.caption
    assert str(walk.explain("labels", 1 if labels.ndim == 1 else (1, 0))).startswith("labels[1")


def test_a_loop_by_hand_is_a_column_in_which_each_update_follows_from_the_loss_before():
    x = np.ones((4, 2), np.float32)
    w, b = dl.Tensor([[1.0], [2.0]], requires_grad=True), dl.Tensor([0.0], requires_grad=True)
    with dl.trace() as walk:
        for _ in range(3):
            (x @ w + b).mean().backward()
            with dl.no_grad():
                w -= 0.1 * w.grad
                b -= 0.1 * b.grad
            w.zero_grad()
            b.zero_grad()
    boxes, arrows = boxes_and_arrows(walk._presentation)
    names = {box.key: box.title for box in boxes}
    assert not any("grad" in name or "subtract" in name for name in names.values())
    updates = [(names[a.source], names[a.target]) for a in arrows if a.label == "update"]
    assert updates == [
        *(("mean", "w after update 1"), ("mean", "b after update 1")),
        *(("mean (2)", "w after update 2"), ("mean (2)", "b after update 2")),
    ]
    svg = ET.fromstring(as_svg(walk._presentation))
    assert float(svg.get("width")) < 620
