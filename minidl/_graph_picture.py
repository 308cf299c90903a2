"""Draw the graph that led to a tensor as SVG; for the display of tensors in notebooks."""

from __future__ import annotations

import heapq
from typing import Any, Protocol

from minidl import _drawing
from minidl._drawing import Arrow, Box

DRAWN = 50  # ops

# This module is used by the core and imports nothing of it, so a leaf, which is a tensor, is Any.


class GraphNode(Protocol):
    """A node of the graph; numbers decrease in the order of computation."""

    name: str
    number: int
    shape: tuple[int, ...]
    edges: list[Any]  # a node, (leaf, version, whether it needs a gradient), or None for a constant


def draw(last: GraphNode, title: str, value: str) -> str:
    """The SVG of the graph that ends in a node; of many ops only the last are drawn.

    title  of the last node
    value  the text below the title
    """
    nodes: dict[int, GraphNode] = {}  # by number, the last first
    reached, queue = {last.number: last}, [last.number]
    while queue and len(nodes) < DRAWN:
        number = heapq.heappop(queue)
        nodes[number] = reached[number]
        for edge in nodes[number].edges:
            if edge and not isinstance(edge, tuple) and edge.number not in reached:
                reached[edge.number] = edge
                heapq.heappush(queue, edge.number)
    boxes: dict[int | str, Box] = {}  # of ops by number, of leaves by "leaf" and id
    arrows = []
    for number in reversed(nodes):
        node, key = nodes[number], f"op{-number}"
        for edge in filter(None, node.edges):
            if isinstance(edge, tuple):
                leaf = edge[0]
                kind = "parameter" if leaf.requires_grad else "input"
                box = Box(f"leaf{len(boxes)}", kind, leaf.name or kind, str(leaf.shape))
                source, shape = boxes.setdefault(f"leaf {id(leaf)}", box), leaf.shape
            elif edge.number in nodes:
                source, shape = boxes[edge.number], edge.shape
            else:
                box = Box("more", "more", "…", "earlier ops")
                source, shape = boxes.setdefault("more", box), edge.shape
            arrows.append(Arrow(source.key, key, str(shape)))
        texts = (title, value) if node is last else (node.name, str(node.shape))
        boxes[number] = Box(key, "op", *texts)
    return _drawing.draw(list(boxes.values()), arrows, f"The graph that led to {title}")
