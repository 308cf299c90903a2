"""The picture of the graph that led to a tensor, as a notebook shows it."""

from __future__ import annotations

import heapq
from typing import Any

from minidl import _drawing
from minidl._drawing import Arrow, Box

DRAWN = 50  # ops


def draw(last: Any, title: str, value: str) -> str:
    """The SVG of the graph that ends in a node: of its last ops, if there are many."""
    nodes: dict[int, Any] = {}  # by number, the last first
    reached, queue = {last.number: last}, [last.number]
    while queue and len(nodes) < DRAWN:
        number = heapq.heappop(queue)
        nodes[number] = reached[number]
        for edge in nodes[number].edges:
            if edge and not isinstance(edge, tuple) and edge.number not in reached:
                reached[edge.number] = edge
                heapq.heappush(queue, edge.number)
    boxes: dict[str, Box] = {}
    arrows = []
    for number in reversed(nodes):
        node, key = nodes[number], f"op{-number}"
        for edge in filter(None, node.edges):
            source = _source(edge, nodes)
            boxes.setdefault(source.key, source)
            shape = edge[0].shape if isinstance(edge, tuple) else edge.shape
            arrows.append(Arrow(source.key, key, str(shape)))
        words = (title, value) if node is last else (node.name, str(node.shape))
        boxes[key] = Box(key, "op", *words)
    return _drawing.draw(list(boxes.values()), arrows, f"The graph that led to {title}")


def _source(edge: Any, nodes: dict[int, Any]) -> Box:
    """The box at the beginning of an edge."""
    if isinstance(edge, tuple):
        leaf = edge[0]
        kind = "parameter" if leaf.requires_grad else "input"
        return Box(f"leaf{id(leaf)}", kind, leaf.name or kind, str(leaf.shape))
    if edge.number in nodes:
        return Box(f"op{-edge.number}", "op", edge.name, str(edge.shape))
    return Box("more", "more", "…", "earlier ops")
