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
    reached, queue = {last.id: last}, [last.id]
    while queue and len(nodes) < DRAWN:
        number = heapq.heappop(queue)
        nodes[number] = reached[number]
        for edge in nodes[number].edges:
            if edge and not isinstance(edge, tuple) and edge.id not in reached:
                reached[edge.id] = edge
                heapq.heappush(queue, edge.id)
    boxes: dict[Any, Box] = {}  # leaves by id, ops by number
    arrows = []
    for number in reversed(nodes):
        node, key = nodes[number], f"op{-number}"
        for edge in filter(None, node.edges):
            x = edge[0] if isinstance(edge, tuple) else edge
            if x is not edge:
                kind = "parameter" if x.requires_grad else "input"
                source = Box(f"leaf{len(boxes)}", kind, x.name or kind, str(x.shape))
                source = boxes.setdefault(id(x), source)
            elif x.id in nodes:
                source = boxes[x.id]
            else:
                source = boxes.setdefault("more", Box("more", "more", "…", "earlier ops"))
            arrows.append(Arrow(source.key, key, str(x.shape)))
        words = (title, value) if node is last else (node.name, str(node.shape))
        boxes[number] = Box(key, "op", *words)
    return _drawing.draw(list(boxes.values()), arrows, f"The graph that led to {title}")
