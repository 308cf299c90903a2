"""The picture of a computational graph: layers from top to bottom, written as SVG.

The layout is that of K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of
hierarchical system structures", IEEE Transactions on Systems, Man, and Cybernetics 11 (2), 1981:
boxes get layers, long arrows get waypoints, each layer gets an order, and then come coordinates.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from itertools import accumulate, chain, pairwise
from math import ceil, inf
from typing import NamedTuple

MARGIN, PADDING, APART, PORT = 20, 16, 28, 18  # round the picture, in and between boxes, of heads
TITLE, SMALL, WIDEST = 15.5, 13, 230  # sizes of type (bold is wider) and the widest text
RANKS = {"op": 1e9, "more": 1e9, "input": 1e3, "parameter": 1}  # who stands straight if not all can
ALONG = [t / 10 for t in range(1, 10)]  # where a curve is looked at
WAYPOINT = 1e6  # the rank of a long arrow
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

# What XML forbids or what turns the direction of writing shows as �, markup as references.
CONTROLS = ((0, 32), (127, 160), (0x200E, 0x2010), (0x2028, 0x202F), (0x2066, 0x206A))
FORBIDDEN = (*CONTROLS, (0xD800, 0xE000), (0xFFFE, 0x10000))
ESCAPES = dict.fromkeys(chain.from_iterable(range(*ends) for ends in FORBIDDEN), "�")
ESCAPES |= {ord(mark): f"&#{ord(mark)};" for mark in "&<>\"'"}


class Box(NamedTuple):
    """A value of the graph: the result of an op, a parameter, an input, or a stand-in for more."""

    key: str
    kind: str  # "op", "parameter", "input" or "more"
    title: str
    subtitle: str


class Arrow(NamedTuple):
    """The way of a value from one box into another, both named by their keys."""

    source: str
    target: str
    label: str


def draw(boxes, arrows, label):
    """Return the SVG of a graph; boxes come in execution order, so an op after its sources."""
    index = {box.key: i for i, box in enumerate(boxes)}
    ends = [(index[arrow.source], index[arrow.target]) for arrow in arrows]
    depth = _layers(len(boxes), ends)
    rows, routes = _waypoints(depth, ends)
    above, below = defaultdict(list), defaultdict(list)
    for a, b in dict.fromkeys(chain.from_iterable(map(pairwise, routes))):
        below[a].append(b)
        above[b].append(a)
    rows = order(rows, above, below)

    texts = [(_shorten(box.title, TITLE), _shorten(box.subtitle, SMALL)) for box in boxes]
    names = [_shorten(arrow.label, SMALL) for arrow in arrows]
    room = Counter(t for _, t in ends)  # a box is wide enough for its text and its arrows
    widths = [
        max(40, _width(title, TITLE), _width(small, SMALL), min(WIDEST, PORT * room[i]))
        for i, (title, small) in enumerate(texts)
    ]
    asides = _asides(ends)
    halves = defaultdict(int, enumerate(PADDING + ceil(width / 2) for width in widths))
    for route, aside in zip(routes, asides, strict=True):
        halves |= {v: max(halves[v], 2 + abs(aside)) for v in route[1:-1]}
    heights = [54 if box.subtitle else 38 for box in boxes]
    ranks = defaultdict(lambda: WAYPOINT, enumerate(RANKS[box.kind] for box in boxes))
    x = columns(rows, above, below, halves, ranks)
    ways = _ways(routes, asides, x, halves, ranks)
    bands = _bands(rows, heights, routes, depth, ways)
    places = _places(names, routes, depth, asides, ways, bands)

    spans = [(x[i], halves[i]) for i in range(len(boxes))]
    spans += [(at, 6) for way in ways for at in way]
    spans += [(p[0], _width(name, SMALL) / 2) for p, name in zip(places, names, strict=True) if p]
    left = min((at - half for at, half in spans), default=0) - MARGIN
    right = max((at + half for at, half in spans), default=0) + MARGIN
    w, h = _number(right - left), _number(bands[-1][1] + MARGIN if bands else 2 * MARGIN)

    y = [sum(bands[d]) / 2 for d in depth]
    parts = []
    for arrow, (s, t), name, way, place in zip(arrows, ends, names, ways, places, strict=True):
        start = y[s] + heights[s] / 2 - 12  # under the box, whatever its shape
        end = y[t] - heights[t] / 2
        paths = _path([at - left for at in way], bands[depth[s] : depth[t] + 1], start, end)
        parts.append(_edge(arrow, *paths, name, place and (place[0] - left, place[1])))
    for i, box in enumerate(boxes):
        parts.append(_node(box, *texts[i], 2 * halves[i], heights[i], x[i] - left, y[i]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="minidl-graph" viewBox="0 0 {w} {h}" '
        f'width="{w}" height="{h}" role="img" aria-label="{_escape(label)}">\n'
        f"<style>{STYLE}</style>\n{''.join(parts)}</svg>\n"
    )


# --- layers, their order, and columns -----------------------------------------------------------


def _layers(count, ends):
    """Put each op below all its sources, and a leaf right above its first user.

    What waits for no op, or for no more of them than use it, is also put off until it is used.
    """
    sources, users = [[] for _ in range(count)], [[] for _ in range(count)]
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
        ops = {s for s in sources[i] if sources[s]}
        if users[i] and len(ops) <= len(set(users[i])):  # which makes no arrows longer in all
            depth[i] = min(depth[t] for t in users[i]) - 1
    return depth


def _waypoints(depth, ends):
    """Lead long arrows through a waypoint in each layer, shared by all arrows of one box."""
    seat = {i: (i, -1) for i in range(len(depth))}  # where in its row a box or waypoint starts
    ops = {t for _, t in ends}
    routes = []
    for number, (s, t) in enumerate(ends):
        between = [(s, d) for d in range(depth[s] + 1, depth[t])]
        routes.append([s, *between, t])
        seat |= dict.fromkeys(between, (s, -2))
        if s not in ops and depth[t] == depth[s] + 1 and seat[s] == (s, -1):
            seat[s] = (t, number)  # a leaf stands beside the other sources, as in the formula
    rows = [[] for _ in range(max(depth, default=-1) + 1)]
    for v in sorted(seat, key=seat.get):
        rows[v[1] if isinstance(v, tuple) else depth[v]].append(v)
    return rows, routes


def order(rows, above, below):
    """Order rows so that few arrows cross: sort by barycentre, swap neighbours, keep the best."""
    seat = {}
    for row in rows:
        _sit(seat, row)
    best, fewest = rows, _crossings(rows, below, seat)
    turns = max(2, min(24, 15_000 // (1 + sum(map(len, rows)))))
    for turn in range(turns):
        if not fewest:
            break
        near, upwards = (above, 1) if turn % 2 else (below, -1)
        ties = -1 if turn % 4 > 1 else 1
        rows = list(rows)
        for i in range(len(rows))[::upwards]:
            centre = {v: sum(seat[u] for u in near[v]) / len(near[v]) for v in rows[i] if near[v]}
            rows[i] = sorted(rows[i][::ties], key=lambda v: centre.get(v, seat[v]))
            _sit(seat, rows[i])
        for k in range(4):
            allowed = 0 if k == 0 and ties < 0 else 1  # at times also swaps that save nothing
            if not sum(_swap(row, above, below, seat, allowed) for row in rows):
                break
        if (crossings := _crossings(rows, below, seat)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _sit(seat, row):
    seat.update((v, (i + 0.5) / len(row)) for i, v in enumerate(row))


def _crossings(rows, below, seat):
    """How many pairs of arrows between two rows cross: inversions, by insertion."""
    total = 0
    for row in rows:
        seen = []
        for v in row:
            ends = sorted(seat[u] for u in below[v])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _swap(row, above, below, seat, least):
    """Swap neighbours in a row where that saves as many crossings; return how often."""
    swaps = 0
    for i in range(len(row) - 1):
        a, b = row[i : i + 2]
        saved = 0
        for near in (above, below):
            left, right = [seat[u] for u in near[a]], [seat[u] for u in near[b]]
            saved += sum((p > q) - (p < q) for p in left for q in right)
        if saved >= least:
            row[i], row[i + 1] = b, a
            seat[a], seat[b] = seat[b], seat[a]
            swaps += 1
    return swaps


def columns(rows, above, below, halves, ranks):
    """Find the x of each: it wants to stand above, and then below, those it is joined with."""
    x = {}

    def stand(row, wishes, weights):
        x.update(zip(row, _spread(wishes, [halves[v] for v in row], weights), strict=True))

    def wanted(v, near):
        if not near[v]:
            return x[v], 1e-3
        pulls = [1e18 if ranks[u] == ranks[v] else ranks[u] * ranks[v] for u in near[v]]
        return sum(p * x[u] for p, u in zip(pulls, near[v], strict=True)) / sum(pulls), ranks[v]

    for row in rows:
        stand(row, [0] * len(row), [1] * len(row))
    for _ in range(max(4, min(16, 20_000 // (1 + len(x))))):
        for near, step in ((below, -1), (above, 1)):
            for row in rows[::step]:
                stand(row, *zip(*(wanted(v, near) for v in row), strict=True))
    return _compact(x, below, halves)


def _compact(x, below, halves):
    """Close the gaps that reach from top to bottom of the picture."""
    spans = [(x[v] - halves[v], x[v] + halves[v]) for v in x]
    spans += [(min(x[v], x[u]), max(x[v], x[u])) for v in x for u in below[v]]
    starts, shifts, reached = [], [0], inf
    for start, end in sorted(spans):
        if start > reached + APART:
            starts.append(start)
            shifts.append(shifts[-1] + start - reached - APART)
        reached = end if reached == inf else max(reached, end)
    return {v: at - shifts[bisect_right(starts, at)] for v, at in x.items()}


def _spread(wanted, halves, weights, apart=APART):
    """Places nearest to the wanted ones, in order and apart: isotonic regression by pooling."""
    offsets = list(accumulate((a + b + apart for a, b in pairwise(halves)), initial=0))
    pools = []
    for want, offset, weight in zip(wanted, offsets, weights, strict=True):
        pool = [want - offset, weight, 1]
        while pools and pools[-1][0] >= pool[0]:
            mean, heavy, count = pools.pop()
            both = heavy + pool[1]
            pool = [(mean * heavy + pool[0] * pool[1]) / both, both, count + pool[2]]
        pools.append(pool)
    means = chain.from_iterable([mean] * count for mean, _, count in pools)
    return [round(mean + offset) for mean, offset in zip(means, offsets, strict=True)]


# --- arrows and their labels --------------------------------------------------------------------


def _asides(ends):
    """How far each arrow stands aside, for several of them between the same boxes."""
    number, seen = Counter(ends), Counter()
    asides = []
    for pair in ends:
        asides.append((seen[pair] - (number[pair] - 1) / 2) * PORT)
        seen[pair] += 1
    return asides


def _ways(routes, asides, x, halves, ranks):
    """The x of each arrow at its start, waypoints and head; ends at one box stand side by side."""
    ways = [[x[v] + aside for v in route] for route, aside in zip(routes, asides, strict=True)]
    leaving, arriving = defaultdict(lambda: defaultdict(list)), defaultdict(list)
    for i, (route, aside) in enumerate(zip(routes, asides, strict=True)):
        leaving[route[0]][route[1], aside].append(i)  # those that share a waypoint share a start
        arriving[route[-1]].append([i])

    def dock(box, groups, end, near, reach):
        """Give each group of arrows a port, in their order and as straight as may be."""
        groups = sorted(groups, key=lambda group: ways[group[0]][near])
        low, high, last = x[box] - reach, x[box] + reach, len(groups) - 1
        wanted = [min(max(ways[group[0]][near], low), high) for group in groups]
        weights = [ranks[routes[group[0]][near]] for group in groups]
        first = weights.index(max(weights))  # the one to be straight, with room on both sides
        sides = (wanted[first] - low, first), (high - wanted[first], last - first)
        room = [side / others for side, others in sides if others]
        apart = min(PORT, max(reach / last, min(room))) if room else 0
        ports = _spread(wanted, [0] * len(groups), weights, apart)
        for k, (group, port) in enumerate(zip(groups, ports, strict=True)):
            for i in group:
                ways[i][end] = min(max(port, low + k * apart), high - (last - k) * apart)

    for box, groups in arriving.items():
        dock(box, groups, -1, -2, halves[box] - 10)
    for box, groups in leaving.items():
        dock(box, groups.values(), 0, 1, min(halves[box] - 14, PORT * (len(groups) - 1)))
    return ways


def _bands(rows, heights, routes, depth, ways):
    """Top and bottom of each row; rows stand further apart where arrows go far to a side."""
    sideways = defaultdict(int)
    for route, way in zip(routes, ways, strict=True):
        for d, (a, b) in enumerate(pairwise(way), depth[route[0]]):
            sideways[d] = max(sideways[d], abs(b - a))
    bands, top = [], MARGIN
    for d, row in enumerate(rows):
        bottom = top + max(heights[v] for v in row if isinstance(v, int))
        bands.append((top, bottom))
        top = bottom + 56 + min(64, sideways[d] // 10)
    return bands


def _path(way, bands, start, end):
    """Straight past the boxes of each row, curved between the rows; and a head."""
    path = f"M{_number(way[0])} {_number(start)}V{_number(bands[0][1])}"
    for (a, b), ((_, top), (bottom, past)) in zip(pairwise(way), pairwise(bands), strict=True):
        if past == bands[-1][1]:
            bottom, past = bottom - 8, end - 8
        if a != b:
            half = _number((top + bottom) / 2)
            a, b = _number(a), _number(b)
            path += f"C{a} {half} {b} {half} {b} {_number(bottom)}"
        path += f"V{_number(past)}"
    return path, f"M{_number(way[-1])} {_number(end)}l-4.5 -9h9z"


def _places(names, routes, depth, asides, ways, bands):
    """Where each label stands: on its arrow, between rows, clear of labels and other arrows."""
    gaps = [(top, bottom) for (_, top), (bottom, _) in pairwise(bands)]
    curves, taken, places = [{} for _ in gaps], [[] for _ in gaps], []
    for route, way in zip(routes, ways, strict=True):
        for d, bends in enumerate(pairwise(way), depth[route[0]]):
            curves[d][bends] = curves[d].get(bends) or _points(bends, gaps[d], ALONG)
    passing = [sorted(chain.from_iterable(curve.values())) for curve in curves]
    for name, route, aside, way in zip(names, routes, asides, ways, strict=True):
        half, found = _width(name, SMALL) / 2 + 4, []
        for i in dict.fromkeys((len(way) - 2, 0) if name else ()):
            d, bends = depth[route[0]] + i, (way[i], way[i + 1])
            for at, y in _points(bends, gaps[d], (0.5, 0.4, 0.6, 0.3, 0.7, 0.25, 0.75)):
                at += ((aside > 0) - (aside < 0)) * (half + 3)  # those of twins stand outside
                labels = _between(taken[d], at - half - WIDEST, at + half + WIDEST)
                if not any(abs(at - p) < half + h and abs(y - q) < 16 for p, q, h in labels):
                    near = _between(passing[d], at - half, at + half)
                    met = [p for p in near if abs(p[1] - y) < 10 and p not in curves[d][bends]]
                    found.append((len(met), len(found), d, at, y))
        place = None
        if found:
            d, *place = min(found)[2:]
            insort(taken[d], (*place, half))
        places.append(place)
    return places


def _between(points, low, high):
    return points[bisect_left(points, (low,)) : bisect_left(points, (high,))]


def _points(bends, gap, along):
    """Points on the curve between two rows."""
    (a, b), (top, bottom) = bends, gap
    return [
        (a + (b - a) * t * t * (3 - 2 * t), top + (bottom - top) * t * (1.5 - 1.5 * t + t * t))
        for t in along
    ]


# --- markup -------------------------------------------------------------------------------------


def _node(box, title, subtitle, width, height, x, y):
    """A box, centred: rounded for an op, square for a parameter, round for an input."""
    radius = {"input": height / 2, "parameter": 0}.get(box.kind, 9)
    left, top, width, height, radius = map(
        _number, (-width / 2, -height / 2, width, height, radius)
    )
    lines = f'<text class="title" y="{-10 if subtitle else 0}">{_escape(title)}</text>'
    if subtitle:
        lines += f'<text class="subtitle" y="11">{_escape(subtitle)}</text>'
    return (
        f'<g class="node {box.kind}" data-node="{_escape(box.key)}" '
        f'transform="translate({_number(x)} {_number(y)})">'
        f"<title>{_escape(box.title)}\n{_escape(box.subtitle)}</title>"
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="{radius}"/>{lines}</g>\n'
    )


def _edge(arrow, line, head, name, place):
    text = ""
    if place:
        (x, y), half = place, _width(name, SMALL) / 2 + 2
        text = (
            f'<rect x="{_number(x - half)}" y="{_number(y - 8)}" width="{_number(2 * half)}" '
            f'height="16" rx="6"/><text x="{_number(x)}" y="{_number(y)}">{_escape(name)}</text>'
        )
    return (
        f'<g class="edge" data-from="{_escape(arrow.source)}" data-to="{_escape(arrow.target)}">'
        f"<title>{_escape(arrow.label)}</title>"
        f'<path d="{line}"/><path class="head" d="{head}"/>{text}</g>\n'
    )


def _number(value):
    return f"{value:.1f}".removesuffix(".0")


def _escape(text):
    return text.translate(ESCAPES)


def _width(text, size):
    """How wide a text gets, in pixels, in a typeface that runs wide."""
    return size * sum(
        0.36 if c in NARROW else 0.95 if c in WIDE or c > "\u2e80" else 0.64 for c in text
    )


def _shorten(text, size):
    """Leave out the middle of a text that is too wide."""
    for keep in range(min(len(text), 80), 0, -1):
        short = text
        if keep < len(text):
            short = text[: (keep + 1) // 2].rstrip() + "…" + text[len(text) - keep // 2 :].lstrip()
        if _width(short, size) <= WIDEST:
            return short
    return text
