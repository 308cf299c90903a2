"""The picture of a graph, parsed from its markup: what is in it, and the quality of the layout."""

import itertools
import re
import xml.etree.ElementTree as ET
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl._drawing import Arrow, Box, draw

SVG = "{http://www.w3.org/2000/svg}"


class Drawn(NamedTuple):
    """A box or label in the picture, given by its center and half its size."""

    x: float
    y: float
    w: float = 0.0
    h: float = 0.0

    def overlaps(self, other):
        return abs(self.x - other.x) < self.w + other.w and abs(self.y - other.y) < self.h + other.h


class Line(NamedTuple):
    """An arrow in the picture: its ends, points along it, its label."""

    source: str
    target: str
    points: list
    label: str
    at: Drawn | None


class Picture:
    def __init__(self, svg):
        self.svg, self.root = svg, ET.fromstring(svg)
        groups = self.root.findall(f"{SVG}g")
        nodes = [g for g in groups if "node" in g.get("class").split()]
        self.nodes = {g.get("data-node"): g for g in nodes}
        self.boxes = {key: self.box(g) for key, g in self.nodes.items()}
        self.lines = [self.line(g) for g in groups if g.get("class") == "edge"]
        levels = sorted({box.y for box in self.boxes.values()})
        self.layer = {key: levels.index(box.y) for key, box in self.boxes.items()}

    @staticmethod
    def box(g):
        x, y = map(float, re.fullmatch(r"translate\((\S+) (\S+)\)", g.get("transform")).groups())
        rect = g.find(f"{SVG}rect")
        w, h = float(rect.get("width")) / 2, float(rect.get("height")) / 2
        assert (float(rect.get("x")), float(rect.get("y"))) == (-w, -h)
        return Drawn(x, y, w, h)

    @staticmethod
    def line(g):
        text = g.find(f"{SVG}text")
        at = None
        if text is not None:
            half = 3 * len(text.text)  # at 13 pixels, mostly narrow characters
            at = Drawn(float(text.get("x")), float(text.get("y")), half, 6.5)
        points = along(g.find(f"{SVG}path").get("d"))
        return Line(g.get("data-from"), g.get("data-to"), points, at and text.text, at)


def along(path):
    """Points along a path of moves, vertical lines and cubic curves."""
    points = []
    for command, numbers in re.findall(r"([MVC])([^MVC]*)", path):
        values = [float(number) for number in numbers.split()]
        if command == "M":
            points.append(tuple(values))
        elif command == "V":
            x, y = points[-1]
            points += [(x, y + (values[0] - y) * t / 16) for t in range(1, 17)]
        else:
            bends = [points[-1], *zip(values[::2], values[1::2], strict=True)]
            for t in (k / 16 for k in range(1, 17)):
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                points.append(
                    tuple(
                        sum(s * b[i] for s, b in zip(weights, bends, strict=True)) for i in (0, 1)
                    )
                )
    return points


def cross(one, other):
    """Whether any two segments of two arrows intersect."""

    def left(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])

    def intersect(a, b, c, d):
        return left(a, b, c) != left(a, b, d) and left(c, d, a) != left(c, d, b)

    if one.points[0][1] > other.points[-1][1] or other.points[0][1] > one.points[-1][1]:
        return False
    segments = itertools.product(itertools.pairwise(one.points), itertools.pairwise(other.points))
    return any(intersect(*p, *q) for p, q in segments)


def crossings(picture):
    """How many pairs of arrows without a common end cross."""
    return sum(
        cross(one, other)
        for one, other in itertools.combinations(picture.lines, 2)
        if not {one.source, one.target} & {other.source, other.target}
    )


def graph(text):
    """Boxes and arrows from lines such as "h = x W": an op h of x and W, which come first."""
    boxes, arrows = {}, []
    for line in text.strip().splitlines():
        name, sources = (part.split() for part in line.split("="))
        for key in sources:
            kind = "parameter" if key[0].isupper() else "input"
            boxes.setdefault(key, Box(key, kind, key, "(2, 2)"))
            arrows.append(Arrow(key, name[0], "(2, 2)"))
        boxes[name[0]] = Box(name[0], "op", name[0], "y = f(x)")
    return list(boxes.values()), arrows


def picture(text):
    return Picture(draw(*graph(text), "a graph"))


GRAPHS = {
    "network": "dense1 = x W B\ntanh = dense1\ndense2 = tanh V C\nmse = dense2 target",
    "residual": """
        a = x W A
        b = a
        c = b V B
        d = c x
        e = d U C
        f = e d
        """,
    "square": "square = x x\nsum = square x",
    "attention": "q = x Q\nk = x K\nv = x V\ns = q k\np = s\na = p v\no = a O\ny = o x",
    "recurrent": "a = h W\nb = x U\nc = a b\nd = c\ne = d W\nf = y U\ng = e f\ni = g",
    "scrambled": "a = x\nb = y\nc = z\nd = c\ne = b\nf = a\ng = d e\nh = g f",
    "woven": "a = x\nb = a\nc = x b\nd = x\ne = a c",
    "fanned": "a = x\nb = x\nc = b\nd = c x\ne = a x",
    "apart": "a = x\nb = y W\nc = z z",
    "chain": "\n".join(f"n{i + 1} = n{i}" for i in range(200)),
    "wide": "\n".join(f"y{i} = x W{i}" for i in range(30)),
}
each_graph = pytest.mark.parametrize("name", GRAPHS)


@st.composite
def graphs(draw):
    """Any graph: leaves, and ops of any earlier boxes, which may be repeated."""
    boxes, arrows = [], []
    for i in range(draw(st.integers(0, 14))):
        size = draw(st.sampled_from([0, 1, 1, 2, 2, 3])) if i else 0
        earlier = st.lists(st.integers(0, max(0, i - 1)), min_size=size, max_size=size)
        shape = draw(st.sampled_from(["", "()", "(128, 64)"]))
        arrows += [Arrow(str(source), str(i), shape) for source in draw(earlier)]
        kind = draw(st.sampled_from(["op", "more"] if size else ["parameter", "input"]))
        title = draw(st.sampled_from(["x", "dense1.weight", "a.very.long.name.of.a.module" * 2]))
        boxes.append(Box(str(i), kind, title, draw(st.sampled_from(["", "y = x @ W + b"]))))
    return boxes, arrows


def assert_is_well_laid_out(picture):
    """Nothing overlaps, and everything is inside the picture."""
    _, _, width, height = map(float, picture.root.get("viewBox").split())
    assert (picture.root.get("width"), picture.root.get("height")) == (f"{width:g}", f"{height:g}")
    for one, other in itertools.combinations(picture.boxes.values(), 2):
        assert not one.overlaps(other)
    for box in picture.boxes.values():
        assert box.w < box.x < width - box.w
        assert box.h < box.y < height - box.h
    for line in picture.lines:
        source, target = picture.boxes[line.source], picture.boxes[line.target]
        (x0, y0), (x1, y1) = line.points[0], line.points[-1]
        assert abs(x0 - source.x) < source.w
        assert abs(x1 - target.x) < target.w
        assert source.y < y0 < source.y + source.h
        assert target.y - target.h - 9 < y1 < target.y - target.h
        assert all(a[1] <= b[1] for a, b in itertools.pairwise(line.points))
        assert all(0 < x < width for x, _ in line.points)
        for key, box in picture.boxes.items():
            if key != line.source:
                assert not any(box.overlaps(Drawn(*point)) for point in line.points)
            assert not (line.at and box.overlaps(line.at))
    labels = [line.at for line in picture.lines if line.at]
    for one, other in itertools.combinations(labels, 2):
        assert not one.overlaps(other)
    assert all(label.w < label.x < width - label.w for label in labels)


def assert_layers_are_correct(picture):
    """Ops are below all their sources, and leaves right above their first user."""
    users = {key: [] for key in picture.boxes}
    for line in picture.lines:
        assert picture.layer[line.source] < picture.layer[line.target]
        users[line.source].append(picture.layer[line.target])
    for leaf in set(users) - {line.target for line in picture.lines}:
        assert picture.layer[leaf] == min(users[leaf], default=1) - 1


# --- what is in the picture ---------------------------------------------------------------------


@each_graph
def test_every_box_and_every_arrow_is_there(name):
    boxes, arrows = graph(GRAPHS[name])
    picture = Picture(draw(boxes, arrows, "a graph"))
    assert list(picture.nodes) == [box.key for box in boxes]
    for box in boxes:
        node = picture.nodes[box.key]
        assert node.get("class") == f"node {box.kind}"
        assert [(t.get("class"), t.text) for t in node.findall(f"{SVG}text")] == [
            ("title", box.title),
            ("subtitle", box.subtitle),
        ]
    drawn = [(line.source, line.target) for line in picture.lines]
    assert drawn == [(arrow.source, arrow.target) for arrow in arrows]


@pytest.mark.parametrize("name", ["network", "residual", "square", "attention", "recurrent"])
def test_every_arrow_of_a_usual_graph_has_its_label(name):
    assert {line.label for line in picture(GRAPHS[name]).lines} == {"(2, 2)"}


def test_an_empty_graph_is_a_small_picture():
    root = Picture(draw([], [], "nothing")).root
    assert [child.tag for child in root] == [f"{SVG}style"]
    assert root.get("viewBox") == "0 0 40 40"


def test_the_picture_has_a_label_for_screen_readers():
    root = Picture(draw(*graph("y = x"), 'the "graph" of <y>')).root
    assert (root.get("class"), root.get("role")) == ("minidl-graph", "img")
    assert root.get("aria-label") == 'the "graph" of <y>'


def test_kinds_differ_in_shape_and_not_in_color_alone():
    kinds = ["op", "parameter", "input", "more"]
    nodes = Picture(draw([Box(k, k, k, "") for k in kinds], [], "kinds")).nodes
    corners = {kind: nodes[kind].find(f"{SVG}rect").get("rx") for kind in kinds}
    assert len({corners[kind] for kind in ("op", "parameter", "input")}) == 3
    assert corners["op"] == corners["more"]
    assert ".minidl-graph .more rect{stroke-dasharray" in draw([], [], "")


def test_a_long_title_loses_its_middle_and_keeps_it_in_the_tooltip():
    title = "encoder." * 20 + "weight"
    node = Picture(draw([Box("w", "parameter", title, "(2, 2)")], [], "")).nodes["w"]
    start, end = node.find(f"{SVG}text").text.split("…")
    assert title.startswith(start)
    assert title.endswith(end)
    assert 10 < len(start + end) < 40
    assert node.find(f"{SVG}title").text == f"{title}\n(2, 2)"


@pytest.mark.parametrize("wide", ["W" * 300, "層" * 300, "i" * 3000, "🙂" * 300])
def test_a_box_is_never_wider_than_a_few_words(wide):
    assert Picture(draw([Box("x", "op", wide, wide)], [], "")).boxes["x"].w < 150


def test_a_longer_title_has_a_wider_box():
    widths = [Picture(draw([Box("x", "op", "m" * n, "")], [], "")).boxes["x"].w for n in (5, 8, 11)]
    assert widths == sorted(set(widths))


# --- names of any kind --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "</style></svg><img src=x onerror=alert(1)>",
        "]]><!-- &amp; &#0; %s {}",
        "\"'><a href='javascript:0'>",
    ],
)
def test_a_hostile_name_stays_text(name):
    boxes = [Box(name, "input", name, name), Box("y", "op", "y", "")]
    picture = Picture(draw(boxes, [Arrow(name, "y", name)], name))
    tags = {element.tag.removeprefix(SVG) for element in picture.root.iter()}
    assert tags == {"svg", "style", "g", "title", "rect", "text", "path"}
    assert picture.nodes[name].find(f"{SVG}title").text == f"{name}\n{name}"
    assert picture.root.get("aria-label") == name
    assert picture.lines[0].source == name
    assert not re.search(r"<(script|img|a|!)", picture.svg)


@pytest.mark.parametrize("mark", [*map(chr, range(32)), "\x7f", "\ud800", "\ufffe", "\u202e"])
def test_a_character_that_xml_forbids_is_replaced(mark):
    svg = draw([Box("x", "op", f"a{mark}b", mark)], [], mark)
    node = Picture(svg.encode()).nodes["x"]
    assert node.find(f"{SVG}text").text == "a\ufffdb"


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_gives_a_picture(text):
    boxes = [Box("x", "input", text, text), Box("y", "op", text, "")]
    picture = Picture(draw(boxes, [Arrow("x", "y", text)], text).encode())
    assert set(picture.boxes) == {"x", "y"}
    assert_is_well_laid_out(picture)


# --- how it lies --------------------------------------------------------------------------------


@each_graph
def test_boxes_arrows_and_labels_do_not_overlap(name):
    drawn = picture(GRAPHS[name])
    assert_is_well_laid_out(drawn)
    assert_layers_are_correct(drawn)


@given(graphs())
def test_any_graph_is_well_laid_out_in_its_layers(graph):
    drawn = Picture(draw(*graph, "any"))
    assert_is_well_laid_out(drawn)
    assert_layers_are_correct(drawn)


def test_a_dense_graph_is_well_laid_out():
    text = "\n".join(
        f"n{j} = " + " ".join(f"n{i}" for i in range(j) if i == j - 1 or (i * j) % 11 == 1)
        for j in range(1, 60)
    )
    assert_is_well_laid_out(picture(text))


def test_a_branch_without_op_sources_is_above_its_user():
    layer = picture("a = x\nb = a\nc = W W\nd = c\ne = b d\nf = e\ng = V\nh = f g").layer
    assert (layer["d"], layer["c"], layer["W"]) == (2, 1, 0)
    assert (layer["g"], layer["V"]) == (layer["f"], layer["e"])


def test_a_chain_is_straight():
    drawn = picture(GRAPHS["chain"])
    assert len({box.x for box in drawn.boxes.values()}) == 1
    assert {x for line in drawn.lines for x, _ in line.points} == {drawn.boxes["n0"].x}


@pytest.mark.parametrize(
    ("name", "spine"),
    [
        ("network", ["x", "dense1", "tanh", "dense2", "mse"]),
        ("residual", ["x", "a", "b", "c", "d", "e", "f"]),
    ],
)
def test_the_ops_of_a_network_are_in_a_line_beside_their_parameters(name, spine):
    drawn = picture(GRAPHS[name])
    assert len({drawn.boxes[key].x for key in spine}) == 1
    steps = set(itertools.pairwise(spine))
    straight = [line for line in drawn.lines if (line.source, line.target) in steps]
    assert {x for line in straight for x, _ in line.points} == {drawn.boxes["x"].x}


@pytest.mark.parametrize("step", [1, -1])
def test_leaves_are_in_the_order_of_the_formula_in_any_order_of_the_boxes(step):
    boxes, arrows = graph("y = x W B")
    drawn = Picture(draw([*boxes[:3][::step], boxes[3]], arrows, "")).boxes
    assert drawn["x"].x < drawn["W"].x < drawn["B"].x


@pytest.mark.parametrize("text", [GRAPHS["apart"], "a = A\nb = x\nc = C\nd = c x\ne = b\nf = c b"])
def test_unconnected_graphs_are_close_together(text):
    boxes = sorted(picture(text).boxes.values())
    rights = itertools.accumulate((box.x + box.w for box in boxes), max)
    gaps = [box.x - box.w - right for right, box in zip(rights, boxes[1:], strict=False)]
    assert 20 < max(gaps) < 40


def test_a_box_is_wide_enough_for_the_arrows_that_reach_it():
    heads = sorted(line.points[-1][0] for line in picture("y = " + " ".join("abcdefghijk")).lines)
    assert all(b - a > 12 for a, b in itertools.pairwise(heads))


def test_a_label_wider_than_its_boxes_is_inside_the_picture():
    boxes = [Box("x", "input", "x", ""), Box("y", "op", "y", "")]
    shape = "(128, 64, 32, 16, 8, 4, 2, 1)"
    drawn = Picture(draw(boxes, [Arrow("x", "y", shape)], ""))
    assert drawn.lines[0].label == shape
    assert_is_well_laid_out(drawn)


def test_labels_of_two_parallel_arrows_are_outside_of_them():
    left, right = sorted(picture("y = x x").lines, key=lambda line: line.points)
    assert left.at.x + left.at.w < left.points[0][0]
    assert right.at.x - right.at.w > right.points[0][0]


def test_many_parallel_arrows_do_not_touch_boxes_on_the_way():
    assert_is_well_laid_out(picture("a = x W\nb = a V\ny = x x x x x x x b U"))


@pytest.mark.parametrize("times", [2, 3, 4])
@pytest.mark.parametrize("between", ["", "a = x\nb = a\n"])
def test_several_arrows_between_two_boxes_are_parallel(times, between):
    drawn = picture(f"{between}y = {'x ' * times}{'b' * bool(between)}")
    twins = sorted(
        (line for line in drawn.lines if (line.source, line.target) == ("x", "y")),
        key=lambda line: line.points,
    )
    assert len(twins) == times
    for one, other in itertools.pairwise(twins):
        assert other.points[0][0] - one.points[0][0] > 5
        assert other.points[-1][0] - one.points[-1][0] > 5
        assert not cross(one, other)
    assert_is_well_laid_out(drawn)


@pytest.mark.parametrize("name", sorted(set(GRAPHS) - {"attention", "wide"}))
def test_a_graph_that_can_be_drawn_without_crossings_is(name):
    assert crossings(picture(GRAPHS[name])) == 0


def test_an_input_of_many_ops_with_a_parameter_each_is_in_the_middle():
    """On each side of x, every two parameters are crossed once: 2 · 15 · 14 / 2 times."""
    assert crossings(picture(GRAPHS["wide"])) == 210


@pytest.mark.parametrize(("m", "n"), [(2, 2), (2, 3), (3, 3), (3, 4), (4, 4)])
def test_a_complete_bipartite_graph_has_the_fewest_crossings(m, n):
    """Every two of m and every two of n cross once: the least that two rows allow."""
    sources = " ".join(f"x{i}" for i in range(m))
    drawn = picture("\n".join(f"y{j} = {sources}" for j in range(n)))
    assert crossings(drawn) == m * (m - 1) // 2 * n * (n - 1) // 2


# --- the markup ---------------------------------------------------------------------------------


@given(graphs())
def test_the_same_graph_gives_the_same_bytes(graph):
    assert draw(*graph, "any") == draw(*map(list, graph), "any")


@each_graph
def test_numbers_have_at_most_one_decimal(name):
    markup = draw(*graph(GRAPHS[name]), "a graph").partition("</style>")[2]
    assert not re.search(r"\d\.\d\d|\de[-+]?\d|nan|inf", markup)


def test_several_pictures_in_a_page_do_not_affect_each_other():
    svg = draw(*graph(GRAPHS["network"]), "a graph")
    assert not re.search(r"\bid=|url\(|href", svg)
    rules = re.sub(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)\s*\}", r"\1", Picture(svg).root[0].text)
    selectors = [s.strip() for part in re.findall(r"([^{}]+)\{", rules) for s in part.split(",")]
    assert len(selectors) > 10
    assert all(re.match(r"\.minidl-graph( |$)", selector) for selector in selectors)


def test_there_are_colors_for_light_and_for_dark():
    style = Picture(draw([], [], "")).root[0].text
    light, dark = style.split("prefers-color-scheme:dark", 1)
    names = set(re.findall(r"var\((--[\w-]+)\)", style))
    for half in (light, dark):
        assert names <= set(re.findall(r"(--[\w-]+):#", half))


@pytest.mark.parametrize("text", ["b = a\na = x", "a = a x", "a = b\nb = a"])
def test_ops_out_of_order_raise_an_error(text):
    boxes, arrows = graph(text)
    boxes = sorted(boxes)
    arrows = [*arrows, Arrow("b", "a", "")] if "b" in text else arrows
    with pytest.raises(ValueError, match="execution order"):
        draw(boxes, arrows, "")
