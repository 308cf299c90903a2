"""The picture of the graph that led to a tensor."""

import re

import pytest

import minidl as dl
from minidl._graph_picture import DRAWN, draw


def picture(y):
    """The boxes by key, as (kind, title, subtitle), and the arrows as (source, target)."""
    svg = draw(y._node, "loss", "0.5")
    boxes = {
        key: (kind, title, subtitle)
        for kind, key, title, subtitle in re.findall(
            r'class="node (\w+)" data-node="([^"]*)"[^>]*><title>([^\n]*)\n([^<]*)</title>', svg
        )
    }
    return boxes, re.findall(r'data-from="([^"]*)" data-to="([^"]*)"', svg)


def test_each_op_and_each_leaf_is_a_box_and_each_use_an_arrow():
    x = dl.Tensor([1.0, 2.0])
    w = dl.Tensor([3.0, 4.0], requires_grad=True, name="w")
    boxes, arrows = picture((x * w).sum())
    assert sorted(boxes.values()) == [
        ("input", "input", "(2,)"),
        ("op", "loss", "0.5"),
        ("op", "multiply", "(2,)"),
        ("parameter", "w", "(2,)"),
    ]
    titles = sorted((boxes[source][1], boxes[target][1]) for source, target in arrows)
    assert titles == [("input", "multiply"), ("multiply", "loss"), ("w", "multiply")]


def test_a_leaf_that_is_used_twice_is_one_box_with_two_arrows():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    boxes, arrows = picture(w * w)
    assert [kind for kind, *_ in boxes.values()] == ["parameter", "op"]
    assert len(arrows) == 2


def test_numbers_are_not_drawn():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    boxes, arrows = picture(w * 2.0)
    assert (len(boxes), len(arrows)) == (2, 1)


@pytest.mark.parametrize("ops", [DRAWN - 1, DRAWN, DRAWN + 1, 20 * DRAWN])
def test_only_the_last_of_many_ops_are_drawn_with_one_box_for_the_others(ops):
    y = dl.Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(ops):
        y = y * 1.0
    boxes, _ = picture(y)
    kinds = [kind for kind, *_ in boxes.values()]
    assert kinds.count("op") == min(ops, DRAWN)
    assert kinds.count("more") == (ops > DRAWN)
    assert kinds.count("parameter") == (ops <= DRAWN)
