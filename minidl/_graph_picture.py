"""Draw the graph that led to a tensor as SVG; for the display of tensors in notebooks."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, Protocol

from minidl import _drawing
from minidl._drawing import Arrow, Box

DRAWN = 50  # ops

# This module is used by the core and imports nothing of it, so a leaf, which is a tensor, is Any.


class GraphNode(Protocol):
    """A node of the graph. Ids decrease in the order of computation.

    An edge is a node, or (leaf, its version, whether it requires a gradient), or None.
    """

    @property
    def name(self) -> str: ...
    @property
    def id(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def edges(self) -> Sequence[Any]: ...


def draw(last: GraphNode, title: str, value: str) -> str:
    """The SVG of the graph that ends in a node; of many ops only the last are drawn.

    title  of the last node
    value  the text below the title
    """
    nodes: dict[int, GraphNode] = {}  # by id, the last first
    reached, queue = {last.id: last}, [last.id]
    while queue and len(nodes) < DRAWN:
        node_id = heapq.heappop(queue)
        nodes[node_id] = reached[node_id]
        for edge in nodes[node_id].edges:
            if edge and not isinstance(edge, tuple) and edge.id not in reached:
                reached[edge.id] = edge
                heapq.heappush(queue, edge.id)
    boxes: dict[int | str, Box] = {}  # of ops by id, of leaves by "leaf" and id
    arrows = []
    for node_id in reversed(nodes):
        node, key = nodes[node_id], f"op{-node_id}"
        for edge in filter(None, node.edges):
            if isinstance(edge, tuple):
                leaf = edge[0]
                kind = "parameter" if leaf.requires_grad else "input"
                box = Box(f"leaf{len(boxes)}", kind, leaf.name or kind, str(leaf.shape))
                source, shape = boxes.setdefault(f"leaf {id(leaf)}", box), leaf.shape
            elif edge.id in nodes:
                source, shape = boxes[edge.id], edge.shape
            else:
                box = Box("more", "more", "…", "earlier ops")
                source, shape = boxes.setdefault("more", box), edge.shape
            arrows.append(Arrow(source.key, key, str(shape)))
        texts = (title, value) if node is last else (node.name, str(node.shape))
        boxes[node_id] = Box(key, "op", *texts)
    return _drawing.draw(list(boxes.values()), arrows, f"The graph that led to {title}")
