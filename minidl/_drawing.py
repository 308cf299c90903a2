"""Lay out a graph in layers from top to bottom and draw it as SVG; for graphs and family trees.

The layout follows K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of
hierarchical system structures", IEEE Transactions on Systems, Man, and Cybernetics 11 (2), 1981:
assign boxes to layers, add waypoints to long arrows, order each layer, then compute coordinates.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from math import ceil, inf
from typing import NamedTuple, TypeVar

MARGIN, PADDING, APART, PORT = 20, 16, 28, 18  # around all, in and between boxes, between heads
TITLE, SMALL, WIDEST = 15.5, 13, 230  # font sizes (bold is wider) and the widest text
# which boxes are aligned if not all can be: those of higher rank
RANKS: dict[str, float] = {"op": 1e9, "more": 1e9, "input": 1e3, "parameter": 1}
WAYPOINT = 1e6  # the rank of a waypoint
ALONG = [t / 10 for t in range(1, 10)]  # the points of a curve that labels must avoid
NARROW, WIDE = frozenset(" !'()*,-./:;I[]`fijlrt|·′"), frozenset("%@MWmw—…∂←→⊙≤≥")

STYLE = """
.minidl-graph{--ground:#fff;--ink:#1b2027;--faint:#56606c;--line:#87919d;--op:#0072b2;
--op-fill:#eaf4fb;--parameter:#d55e00;--parameter-fill:#fdf0e3;--input:#00805d;
--input-fill:#e5f6f0;background:var(--ground);color-scheme:light dark;
font:14px system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
@media screen and (prefers-color-scheme:dark){.minidl-graph{--ground:#14181d;--ink:#eceff3;
--faint:#a9b3bf;--line:#75808d;--op:#56b4e9;--op-fill:#12293a;--parameter:#e69f00;
--parameter-fill:#33260c;--input:#2bb88f;--input-fill:#0f2d25}}
.minidl-graph .node rect{fill:var(--ground);stroke:var(--line);stroke-width:1.5}
.minidl-graph .op rect{fill:var(--op-fill);stroke:var(--op)}
.minidl-graph .parameter rect{fill:var(--parameter-fill);stroke:var(--parameter)}
.minidl-graph .input rect{fill:var(--input-fill);stroke:var(--input)}
.minidl-graph .more rect{stroke-dasharray:5 4}
.minidl-graph text{text-anchor:middle;dominant-baseline:central;fill:var(--ink);font-size:13px}
.minidl-graph .title{font-size:14px;font-weight:600}
.minidl-graph .subtitle,.minidl-graph .edge text{fill:var(--faint)}
.minidl-graph .edge rect{fill:var(--ground)}
.minidl-graph .edge path{fill:none;stroke:var(--line);stroke-width:1.5}
.minidl-graph .edge .head{fill:var(--line);stroke:none}
"""

# Characters that XML forbids or that change the writing direction become �, markup is escaped.
CONTROLS = ((0, 32), (127, 160), (0x200E, 0x2010), (0x2028, 0x202F), (0x2066, 0x206A))
FORBIDDEN = (*CONTROLS, (0xD800, 0xE000), (0xFFFE, 0x10000))
ESCAPES = dict.fromkeys(chain.from_iterable(range(*ends) for ends in FORBIDDEN), "�")
ESCAPES |= {ord(mark): f"&#{ord(mark)};" for mark in "&<>\"'"}


class Box(NamedTuple):
    """A node of the graph: the result of an op, a parameter, an input, or one for all that is left.

    kind  "op", "parameter", "input" or "more"
    """

    key: str
    kind: str
    title: str
    subtitle: str


class Arrow(NamedTuple):
    """An arrow between two boxes, given by their keys."""

    source: str
    target: str
    label: str


Waypoint = tuple[int, int]  # the box that its arrows start from, the layer
Vertex = int | Waypoint  # a box by its number, or a waypoint
V = TypeVar("V", bound=Hashable)
Point = tuple[float, float]


def draw(boxes: Sequence[Box], arrows: Sequence[Arrow], label: str) -> str:
    """The SVG of a graph. The boxes are in execution order: each op after its sources."""
    index = {box.key: i for i, box in enumerate(boxes)}
    ends = [(index[arrow.source], index[arrow.target]) for arrow in arrows]
    depth = _layers(len(boxes), ends)
    rows, routes = _waypoints(depth, ends)
    above: dict[Vertex, list[Vertex]] = defaultdict(list)
    below: dict[Vertex, list[Vertex]] = defaultdict(list)
    for a, b in dict.fromkeys(chain.from_iterable(map(pairwise, routes))):
        below[a].append(b)
        above[b].append(a)
    rows = order(rows, above, below)

    texts = [(_shorten(box.title, TITLE), _shorten(box.subtitle, SMALL)) for box in boxes]
    names = [_shorten(arrow.label, SMALL) for arrow in arrows]
    heads = Counter(t for _, t in ends)  # a box is wide enough for its text and its arrows
    widths = [
        max(40, _width(title, TITLE), _width(small, SMALL), min(WIDEST, PORT * heads[i]))
        for i, (title, small) in enumerate(texts)
    ]
    offsets = _offsets(ends)
    halves: dict[Vertex, float] = defaultdict(int)
    halves |= enumerate(PADDING + ceil(width / 2) for width in widths)
    for route, offset in zip(routes, offsets, strict=True):
        halves |= {v: max(halves[v], 2 + abs(offset)) for v in route[1:-1]}
    heights = [54 if box.subtitle else 38 for box in boxes]
    ranks: dict[Vertex, float] = defaultdict(lambda: WAYPOINT)
    ranks |= enumerate(RANKS[box.kind] for box in boxes)
    x = columns(rows, above, below, halves, ranks)
    lines = _lines(routes, offsets, x, halves, ranks)
    bands = _bands(rows, heights, routes, depth, lines)
    labels = _label_positions(names, routes, depth, offsets, lines, bands)

    spans = [(x[i], halves[i]) for i in range(len(boxes))]
    spans += [(at, 6) for line in lines for at in line]
    spans += [(p[0], _width(name, SMALL) / 2) for p, name in zip(labels, names, strict=True) if p]
    left = min((at - half for at, half in spans), default=0) - MARGIN
    right = max((at + half for at, half in spans), default=0) + MARGIN
    w, h = _number(right - left), _number(bands[-1][1] + MARGIN if bands else 2 * MARGIN)

    y = [sum(bands[d]) / 2 for d in depth]
    parts = []
    for arrow, (s, t), name, line, at in zip(arrows, ends, names, lines, labels, strict=True):
        start = y[s] + heights[s] / 2 - 12  # behind the box, whatever its shape
        end = y[t] - heights[t] / 2
        paths = _paths([a - left for a in line], bands[depth[s] : depth[t] + 1], start, end)
        parts.append(_edge(arrow, paths, name, (at[0] - left, at[1]) if at else None))
    for i, box in enumerate(boxes):
        parts.append(_node(box, texts[i], 2 * halves[i], heights[i], (x[i] - left, y[i])))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="minidl-graph" viewBox="0 0 {w} {h}" '
        f'width="{w}" height="{h}" role="img" aria-label="{_escape(label)}">\n'
        f"<style>{STYLE}</style>\n{''.join(parts)}</svg>\n"
    )


# --- layers, their order, and columns -----------------------------------------------------------


def _layers(count: int, ends: Iterable[tuple[int, int]]) -> list[int]:
    """The layer of each box: an op is below all its sources, a leaf right above its first user.

    A box is moved down to its users if it has no more op sources than users.
    """
    sources: list[list[int]] = [[] for _ in range(count)]
    users: list[list[int]] = [[] for _ in range(count)]
    for s, t in ends:
        sources[t].append(s)
        users[s].append(t)
    depth = [0] * count
    for i in range(count):
        ops = [s for s in sources[i] if sources[s]]
        if ops and max(ops) >= i:
            raise ValueError("boxes must come in execution order, each op after its sources")
        depth[i] = bool(sources[i]) + max((depth[s] for s in ops), default=0)
    for i in reversed(range(count)):
        distinct = {s for s in sources[i] if sources[s]}
        if users[i] and len(distinct) <= len(set(users[i])):  # then no arrows get longer in total
            depth[i] = min(depth[t] for t in users[i]) - 1
    return depth


def _waypoints(
    depth: Sequence[int], ends: Sequence[tuple[int, int]]
) -> tuple[list[list[Vertex]], list[list[Vertex]]]:
    """The rows of vertices, and the route of each arrow through a waypoint in each layer.

    All arrows of one box share their waypoints.
    """
    rank: dict[Vertex, tuple[int, int]] = {i: (i, -1) for i in range(len(depth))}  # first order
    ops = {t for _, t in ends}
    routes: list[list[Vertex]] = []
    for number, (s, t) in enumerate(ends):
        between: list[Vertex] = [(s, d) for d in range(depth[s] + 1, depth[t])]
        routes.append([s, *between, t])
        rank |= dict.fromkeys(between, (s, -2))
        if s not in ops and depth[t] == depth[s] + 1 and rank[s] == (s, -1):
            rank[s] = (t, number)  # a leaf is beside the other sources, as in the formula
    rows: list[list[Vertex]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for v in sorted(rank, key=rank.__getitem__):
        rows[v[1] if isinstance(v, tuple) else depth[v]].append(v)
    return rows, routes


def order(
    rows: list[list[V]], above: Mapping[V, Sequence[V]], below: Mapping[V, Sequence[V]]
) -> list[list[V]]:
    """Order the rows so that few arrows cross: sort by barycenter, swap neighbors, keep the best.

    above, below  for each vertex its neighbors in the row above and below
    """
    position: dict[V, float] = {}  # the position in the row, from 0 to 1
    for row in rows:
        _set_positions(position, row)
    best, fewest = rows, _crossings(rows, below, position)
    turns = max(2, min(24, 15_000 // (1 + sum(map(len, rows)))))
    for turn in range(turns):
        if not fewest:
            break
        near, direction = (above, 1) if turn % 2 else (below, -1)
        ties = -1 if turn % 4 > 1 else 1
        rows = list(rows)
        for i in range(len(rows))[::direction]:
            center = {
                v: sum(position[u] for u in near[v]) / len(near[v]) for v in rows[i] if near[v]
            }
            desired = {v: center.get(v, position[v]) for v in rows[i]}
            rows[i] = sorted(rows[i][::ties], key=desired.__getitem__)
            _set_positions(position, rows[i])
        for k in range(4):
            allowed = 0 if k == 0 and ties < 0 else 1  # at times also swaps that save nothing
            if not sum(_swap(row, above, below, position, allowed) for row in rows):
                break
        if (crossings := _crossings(rows, below, position)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _set_positions(position: dict[V, float], row: Sequence[V]) -> None:
    position.update((v, (i + 0.5) / len(row)) for i, v in enumerate(row))


def _crossings(
    rows: Iterable[Iterable[V]], below: Mapping[V, Sequence[V]], position: Mapping[V, float]
) -> int:
    """How many pairs of arrows between two rows cross: inversions, counted by insertion."""
    total = 0
    for row in rows:
        seen: list[float] = []
        for v in row:
            ends = sorted(position[u] for u in below[v])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _swap(
    row: list[V],
    above: Mapping[V, Sequence[V]],
    below: Mapping[V, Sequence[V]],
    position: dict[V, float],
    least: int,
) -> int:
    """Swap neighbors in a row if that saves at least so many crossings; return how many swaps."""
    swaps = 0
    for i in range(len(row) - 1):
        a, b = row[i : i + 2]
        saved = 0
        for near in (above, below):
            left, right = [position[u] for u in near[a]], [position[u] for u in near[b]]
            saved += sum(int(p > q) - int(p < q) for p in left for q in right)
        if saved >= least:
            row[i], row[i + 1] = b, a
            position[a], position[b] = position[b], position[a]
            swaps += 1
    return swaps


def columns(
    rows: Sequence[Sequence[V]],
    above: Mapping[V, Sequence[V]],
    below: Mapping[V, Sequence[V]],
    halves: Mapping[V, float],
    ranks: Mapping[V, float],
) -> dict[V, float]:
    """The x of each vertex, as close to its neighbors above and below as the widths allow.

    halves  half the width of each vertex
    ranks   the weight of each vertex: those of high rank are aligned with each other
    """
    x: dict[V, float] = {}

    def assign(row: Sequence[V], desired: Sequence[float], weights: Sequence[float]) -> None:
        x.update(zip(row, _spread(desired, [halves[v] for v in row], weights), strict=True))

    def desired(v: V, near: Sequence[V]) -> tuple[float, float]:
        """The mean x of the neighbors, and the weight of v."""
        if not near:
            return x[v], 1e-3
        pulls = [1e18 if ranks[u] == ranks[v] else ranks[u] * ranks[v] for u in near]
        return sum(p * x[u] for p, u in zip(pulls, near, strict=True)) / sum(pulls), ranks[v]

    for row in rows:
        assign(row, [0] * len(row), [1] * len(row))
    for _ in range(max(4, min(16, 20_000 // (1 + len(x))))):
        for near, step in ((below, -1), (above, 1)):
            for row in rows[::step]:
                pairs = [desired(v, near[v]) for v in row]
                assign(row, [at for at, _ in pairs], [weight for _, weight in pairs])
    return _compact(x, below, halves)


def _compact(
    x: Mapping[V, float], below: Mapping[V, Sequence[V]], halves: Mapping[V, float]
) -> dict[V, float]:
    """Close the gaps that extend from top to bottom of the picture."""
    spans = [(x[v] - halves[v], x[v] + halves[v]) for v in x]
    spans += [(min(x[v], x[u]), max(x[v], x[u])) for v in x for u in below[v]]
    starts: list[float] = []
    shifts: list[float] = [0]
    reached = inf
    for start, end in sorted(spans):
        if start > reached + APART:
            starts.append(start)
            shifts.append(shifts[-1] + start - reached - APART)
        reached = end if reached == inf else max(reached, end)
    return {v: at - shifts[bisect_right(starts, at)] for v, at in x.items()}


def _spread(
    desired: Sequence[float],
    halves: Sequence[float],
    weights: Sequence[float],
    apart: float = APART,
) -> list[float]:
    """Positions close to the desired ones, in order and apart: isotonic regression by pooling."""
    offsets = list(accumulate((a + b + apart for a, b in pairwise(halves)), initial=0.0))
    pools: list[tuple[float, float, int]] = []  # (mean, weight, count)
    for at, offset, weight in zip(desired, offsets, weights, strict=True):
        mean, total, count = at - offset, weight, 1
        while pools and pools[-1][0] >= mean:
            other_mean, other, others = pools.pop()
            both = other + total
            mean, total, count = (other_mean * other + mean * total) / both, both, count + others
        pools.append((mean, total, count))
    means = chain.from_iterable([mean] * count for mean, _, count in pools)
    return [round(mean + offset) for mean, offset in zip(means, offsets, strict=True)]


# --- arrows and their labels --------------------------------------------------------------------


def _offsets(ends: Sequence[tuple[int, int]]) -> list[float]:
    """How far each arrow is moved sideways, if several connect the same boxes."""
    number, seen = Counter(ends), Counter[tuple[int, int]]()
    offsets = []
    for pair in ends:
        offsets.append((seen[pair] - (number[pair] - 1) / 2) * PORT)
        seen[pair] += 1
    return offsets


def _lines(
    routes: Sequence[Sequence[Vertex]],
    offsets: Sequence[float],
    x: Mapping[Vertex, float],
    halves: Mapping[Vertex, float],
    ranks: Mapping[Vertex, float],
) -> list[list[float]]:
    """The x of each arrow at its start, waypoints and head; ends at one box are side by side."""
    lines = [[x[v] + offset for v in route] for route, offset in zip(routes, offsets, strict=True)]
    leaving: dict[Vertex, dict[tuple[Vertex, float], list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    arriving: dict[Vertex, list[list[int]]] = defaultdict(list)
    for i, (route, offset) in enumerate(zip(routes, offsets, strict=True)):
        leaving[route[0]][route[1], offset].append(i)  # those that share a waypoint share a start
        arriving[route[-1]].append([i])

    def assign_ports(
        box: Vertex, groups: Iterable[list[int]], end: int, neighbor: int, reach: float
    ) -> None:
        """Give each group of arrows a port, in their order and as straight as possible."""
        groups = sorted(groups, key=lambda group: lines[group[0]][neighbor])
        low, high, last = x[box] - reach, x[box] + reach, len(groups) - 1
        desired = [min(max(lines[group[0]][neighbor], low), high) for group in groups]
        weights = [ranks[routes[group[0]][neighbor]] for group in groups]
        first = weights.index(max(weights))  # is straight, and leaves space on both sides
        sides = (desired[first] - low, first), (high - desired[first], last - first)
        spaces = [side / others for side, others in sides if others]
        apart = min(PORT, max(reach / last, min(spaces))) if spaces else 0
        ports = _spread(desired, [0] * len(groups), weights, apart)
        for k, (group, port) in enumerate(zip(groups, ports, strict=True)):
            for i in group:
                lines[i][end] = min(max(port, low + k * apart), high - (last - k) * apart)

    for box, arrived in arriving.items():
        assign_ports(box, arrived, -1, -2, halves[box] - 10)
    for box, left in leaving.items():
        assign_ports(box, left.values(), 0, 1, min(halves[box] - 14, PORT * (len(left) - 1)))
    return lines


def _bands(
    rows: Iterable[Iterable[Vertex]],
    heights: Sequence[float],
    routes: Iterable[Sequence[Vertex]],
    depth: Sequence[int],
    lines: Iterable[Sequence[float]],
) -> list[tuple[float, float]]:
    """Top and bottom of each row; rows are further apart if arrows go far sideways."""
    sideways: dict[int, float] = defaultdict(int)
    for route, line in zip(routes, lines, strict=True):
        for d, (a, b) in enumerate(pairwise(line), _layer(route[0], depth)):
            sideways[d] = max(sideways[d], abs(b - a))
    bands: list[tuple[float, float]] = []
    top: float = MARGIN
    for d, row in enumerate(rows):
        bottom = top + max(heights[v] for v in row if isinstance(v, int))
        bands.append((top, bottom))
        top = bottom + 56 + min(64, sideways[d] // 10)
    return bands


def _layer(v: Vertex, depth: Sequence[int]) -> int:
    return v[1] if isinstance(v, tuple) else depth[v]


def _paths(
    line: Sequence[float], bands: Sequence[tuple[float, float]], start: float, end: float
) -> tuple[str, str]:
    """The path of an arrow, straight beside boxes and curved between rows, and that of its head."""
    path = f"M{_number(line[0])} {_number(start)}V{_number(bands[0][1])}"
    for (a, b), ((_, top), (bottom, past)) in zip(pairwise(line), pairwise(bands), strict=True):
        if past == bands[-1][1]:
            bottom, past = bottom - 8, end - 8
        if a != b:
            half, from_x, to_x = map(_number, ((top + bottom) / 2, a, b))
            path += f"C{from_x} {half} {to_x} {half} {to_x} {_number(bottom)}"
        path += f"V{_number(past)}"
    return path, f"M{_number(line[-1])} {_number(end)}l-4.5 -9h9z"


def _label_positions(
    names: Sequence[str],
    routes: Sequence[Sequence[Vertex]],
    depth: Sequence[int],
    offsets: Sequence[float],
    lines: Sequence[Sequence[float]],
    bands: Sequence[tuple[float, float]],
) -> list[Point | None]:
    """Where each label is: on its arrow, between rows, clear of labels and other arrows."""
    gaps = [(top, bottom) for (_, top), (bottom, _) in pairwise(bands)]
    curves: list[dict[tuple[float, float], list[Point]]] = [{} for _ in gaps]
    taken: list[list[tuple[float, float, float]]] = [[] for _ in gaps]  # (x, y, half the width)
    positions: list[Point | None] = []
    for route, line in zip(routes, lines, strict=True):
        for d, bend in enumerate(pairwise(line), _layer(route[0], depth)):
            curves[d][bend] = curves[d].get(bend) or _points(bend, gaps[d], ALONG)
    passing = [sorted(chain.from_iterable(curve.values())) for curve in curves]
    for name, route, offset, line in zip(names, routes, offsets, lines, strict=True):
        half = _width(name, SMALL) / 2 + 4
        found: list[tuple[int, int, int, float, float]] = []
        for i in dict.fromkeys((len(line) - 2, 0) if name else ()):
            d, bend = _layer(route[0], depth) + i, (line[i], line[i + 1])
            for at, y in _points(bend, gaps[d], (0.5, 0.4, 0.6, 0.3, 0.7, 0.25, 0.75)):
                at += ((offset > 0) - (offset < 0)) * (half + 3)  # outside of parallel arrows
                labels = _between(taken[d], at - half - WIDEST, at + half + WIDEST)
                if not any(abs(at - p) < half + h and abs(y - q) < 16 for p, q, h in labels):
                    near = _between(passing[d], at - half, at + half)
                    met = [p for p in near if abs(p[1] - y) < 10 and p not in curves[d][bend]]
                    found.append((len(met), len(found), d, at, y))
        if not found:
            positions.append(None)
            continue
        *_, d, at, y = min(found)
        insort(taken[d], (at, y, half))
        positions.append((at, y))
    return positions


P = TypeVar("P", bound=tuple[float, ...])


def _between(points: Sequence[P], low: float, high: float) -> Sequence[P]:
    """The points with low ≤ x < high, of points in order."""
    left = bisect_left(points, low, key=lambda p: p[0])
    return points[left : bisect_left(points, high, key=lambda p: p[0])]


def _points(
    bend: tuple[float, float], gap: tuple[float, float], along: Iterable[float]
) -> list[Point]:
    """Points on the curve between two rows."""
    (a, b), (top, bottom) = bend, gap
    return [
        (a + (b - a) * t * t * (3 - 2 * t), top + (bottom - top) * t * (1.5 - 1.5 * t + t * t))
        for t in along
    ]


# --- markup -------------------------------------------------------------------------------------


def _node(
    box: Box, texts: tuple[str, str], width: float, height: float, center: tuple[float, float]
) -> str:
    """A box: rounded for an op, square for a parameter, fully round for an input."""
    title, subtitle = texts
    x, y = map(_number, center)
    radius = {"input": height / 2, "parameter": 0}.get(box.kind, 9)
    left, top, w, h, r = map(_number, (-width / 2, -height / 2, width, height, radius))
    lines = f'<text class="title" y="{-10 if subtitle else 0}">{_escape(title)}</text>'
    if subtitle:
        lines += f'<text class="subtitle" y="11">{_escape(subtitle)}</text>'
    return (
        f'<g class="node {box.kind}" data-node="{_escape(box.key)}" '
        f'transform="translate({x} {y})">'
        f"<title>{_escape(box.title)}\n{_escape(box.subtitle)}</title>"
        f'<rect x="{left}" y="{top}" width="{w}" height="{h}" rx="{r}"/>{lines}</g>\n'
    )


def _edge(arrow: Arrow, paths: tuple[str, str], name: str, at: Point | None) -> str:
    text = ""
    if at:
        (x, y), half = at, _width(name, SMALL) / 2 + 2
        text = (
            f'<rect x="{_number(x - half)}" y="{_number(y - 8)}" width="{_number(2 * half)}" '
            f'height="16" rx="6"/><text x="{_number(x)}" y="{_number(y)}">{_escape(name)}</text>'
        )
    line, head = paths
    return (
        f'<g class="edge" data-from="{_escape(arrow.source)}" data-to="{_escape(arrow.target)}">'
        f"<title>{_escape(arrow.label)}</title>"
        f'<path d="{line}"/><path class="head" d="{head}"/>{text}</g>\n'
    )


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _escape(text: str) -> str:
    return text.translate(ESCAPES)


def _width(text: str, size: float) -> float:
    """The width of a text in pixels, in a wide font."""
    return size * sum(
        0.36 if c in NARROW else 0.95 if c in WIDE or c > "\u2e80" else 0.64 for c in text
    )


def _shorten(text: str, size: float) -> str:
    """Replace the middle of a text that is too wide by an ellipsis."""
    for length in range(min(len(text), 80), 0, -1):
        short = text
        if length < len(text):
            short = text[: (length + 1) // 2].rstrip() + "…"
            short += text[len(text) - length // 2 :].lstrip()
        if _width(short, size) <= WIDEST:
            return short
    return text
