"""A figure of the gallery: the family tree of optimizers, with what each rule adds to others."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.text import Text

from minidl import _drawing, optim
from minidl.viz import plots, style

TITLE = "Each optimizer adds an idea to those before it"
LINE_WIDTH = 20  # characters in a line of text on an arrow, at most
SPACE = 14.0  # between neighbours; all lengths are in points (1/72 inch)
SOURCE = re.compile(r"\(([A-Z][^()\d]*\d{4})\b")  # (Polyak 1964), (Nesterov 1983; …)


@dataclass(eq=False)
class Item:
    """Something with a position in a layer: a rule, the text on an arrow, or a bend of an arrow.

    name          of a rule, otherwise empty
    text          on the arrow; below a rule, its author and year
    above, below  the items in the neighbouring layers that it is connected to
    """

    layer: int
    name: str = ""
    text: str = ""
    colour: str = style.COLOURS["grey"]
    above: list[Item] = field(default_factory=list)
    below: list[Item] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0


def family_tree(rules: Mapping[str, type[optim.Optimizer]] | None = None) -> Figure:
    """The family tree of update rules, with an arrow from each rule to those derived from it.

    rules  {name: class}; by default all rules of minidl.optim

    The text on an arrow says what a rule added to the one above or took over from it, from its
    attribute `adds`; a name in `adds` that is not a rule is drawn as an ancestor. A class without
    `adds` of its own is derived from its base class. Below a name are author and year, if the
    class's docstring gives them in parentheses. TypeError for something that is not a rule,
    ValueError if there is no rule or if rules are their own ancestors.

    >>> class Heavy(dl.optim.Momentum):
    ...     "Momentum with a very heavy ball (Atlas 2030)."
    ...     adds = {"Momentum": "weight"}
    >>> figure = family_tree({"Momentum": dl.optim.Momentum, "Heavy": Heavy})
    >>> print(*(text.get_text() for text in figure.axes[0].texts[-3:]), sep=", ")
    weight, Atlas 2030, Heavy
    """
    rules = _checked(rules)
    layers = _layers(rules, {name: _parents(rule) for name, rule in rules.items()})
    with style.context():
        figure = plots.new_figure(layout="none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        _draw(axes, layers)
    return figure


def _checked(rules: Any) -> dict[str, type[optim.Optimizer]]:
    rules = optim.RULES if rules is None else rules
    if not isinstance(rules, Mapping):
        raise TypeError(f"family_tree: rules must be a mapping of names to classes, got {rules!r}")
    for name, rule in rules.items():
        if not _is_rule(rule):
            raise TypeError(
                f"family_tree: rules[{name!r}] must be an Optimizer class with equations, "
                f"got {rule!r}"
            )
    if not rules:
        raise ValueError("family_tree: rules is empty; give at least one rule")
    return dict(rules)


def _is_rule(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, optim.Optimizer) and bool(value.equations)


def _parents(rule: type[optim.Optimizer]) -> dict[str, str]:
    """The rules that a rule is derived from, and the text on each arrow."""
    if "adds" in vars(rule):
        return rule.adds
    return {base.__name__: "" for base in rule.__bases__ if _is_rule(base)}


def _layers(
    rules: Mapping[str, type[optim.Optimizer]], parents: dict[str, dict[str, str]]
) -> list[list[Item]]:
    """The items of each layer: rules by generation, with a layer of text in between."""
    depths = _depths(rules, parents)
    # rules with several parents come last, at the side, where their arrows cross the fewest others
    names = sorted(depths, key=lambda name: (depths[name], len(parents.get(name, ()))))
    styles = dict(zip(names, style.run_styles(names), strict=True))
    items: dict[str, Item] = {}
    for name in names:
        rule = rules.get(name)
        docstring = (rule.__doc__ or "") if rule else ""
        source = SOURCE.search(" ".join(docstring.split()))
        first = next(iter(parents.get(name, ())), None)
        colour = items[first].colour if first else style.COLOURS["grey"]
        if name in style.RULE_STYLES or (first and first not in rules):
            colour = styles[name].colour
        items[name] = Item(depths[name], name, source[1] if source else "", colour)
    layers: list[list[Item]] = [[] for _ in range(1 + max(depths.values()))]
    for item in items.values():
        layers[item.layer].append(item)
    for name in names:
        for parent, text in parents.get(name, {}).items():
            item = items[parent]
            for layer in range(depths[parent] + 1, depths[name]):
                last = layer == depths[name] - 1
                bend = Item(layer, text=_wrapped(text) if last else "", colour=items[name].colour)
                layers[layer].append(bend)
                _connect(item, bend)
                item = bend
            _connect(item, items[name])
    above = {item: item.above for layer in layers for item in layer}
    below = {item: item.below for layer in layers for item in layer}
    ordered: list[list[Item]] = _drawing.order(layers, above, below)
    return ordered


def _depths(rules: Iterable[str], parents: dict[str, dict[str, str]]) -> dict[str, int]:
    """The layer of each rule and each ancestor: two below the lowest of its parents."""
    depths: dict[str, int] = {}

    def depth(name: str, descendants: tuple[str, ...] = ()) -> int:
        if name in descendants:
            circle = " ← ".join((*descendants[descendants.index(name) :], name))
            raise ValueError(f"family_tree: rules are their own ancestors: {circle}")
        if name not in depths:
            above = [depth(parent, (*descendants, name)) for parent in parents.get(name, ())]
            depths[name] = 2 + max(above, default=-2)
        return depths[name]

    for name in rules:
        depth(name)
    return depths


def _wrapped(text: str) -> str:
    """The text in two short lines; in more lines if these would be longer than LINE_WIDTH."""
    wrapped = [textwrap.wrap(text, n, break_on_hyphens=False) for n in range(8, LINE_WIDTH + 1)]
    fewest = max(2, len(wrapped[-1]))
    return "\n".join(next(lines for lines in wrapped if len(lines) <= fewest))


def _connect(above: Item, below: Item) -> None:
    above.below.append(below)
    below.above.append(above)


def _place(layers: list[list[Item]]) -> None:
    """Set the x of each item, as close as the widths allow to that of its neighbours."""
    above = {item: item.above for layer in layers for item in layer}
    below = {item: item.below for item in above}
    halves = {item: (item.width + SPACE - _drawing.APART) / 2 for item in above}
    ranks = {item: 1e3 if item.name else 10 if item.text else _drawing.WAYPOINT for item in above}
    for item, x in _drawing.columns(layers, above, below, halves, ranks).items():
        item.x = float(x)


def _draw(axes: Axes, layers: list[list[Item]]) -> None:
    """Draw the texts first, as their sizes decide the positions; then the boxes and arrows."""
    title = axes.text(0, 0, TITLE, fontsize=15, va="top")
    items = [item for layer in layers for item in layer]
    texts = {item: _draw_texts(axes, item) for item in items}
    _place(layers)
    left = min(item.x - item.width / 2 for item in items)
    right = max(item.x + item.width / 2 for item in items)
    heights = [max(item.height for item in layer) for layer in layers]
    occupied = sum(heights) + plots.text_size(title)[1] + 3 * SPACE
    gap = max(12, (5.6 * 72 - occupied) / max(1, len(layers) - 1))
    width, height = max(720, right - left + 2 * SPACE), occupied + gap * (len(layers) - 1)
    axes.figure.figure.set_size_inches(width / 72, height / 72)
    start = (left + right - width) / 2
    axes.set(xlim=(start, start + width), ylim=(0, height))
    title.set_position((start + SPACE, height - SPACE))
    y = height - 2 * SPACE - plots.text_size(title)[1]
    for layer, layer_height in zip(layers, heights, strict=True):
        for item in layer:
            item.y = y - layer_height / 2
            item.height = item.height if item.name else layer_height
            _move(axes, item, texts[item])
        y -= layer_height + gap
    for item in items:
        for below in item.below if item.name else ():
            _draw_arrow(axes, item, below)


def _draw_texts(axes: Axes, item: Item) -> list[Text]:
    """Draw the texts of an item, not yet in position, and set its size."""
    font: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 13, "zorder": 3}
    text = axes.text(0, 0, item.text, linespacing=1.1, **font)
    if not item.name:
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        if item.text:
            item.width, item.height = plots.text_size(text)
        return [text]
    name = axes.text(0, 0, item.name, weight="bold", **font)
    sizes = np.array([plots.text_size(name), plots.text_size(text) if item.text else (0, 0)])
    item.width, item.height = sizes[:, 0].max() + 16, sizes[:, 1].sum() + 10
    return [name, text]


def _move(axes: Axes, item: Item, texts: list[Text]) -> None:
    """Move the texts of an item to its position, and draw a box around those of a rule."""
    if not item.name:
        texts[0].set_position((item.x, item.y))
        return
    name, text = texts
    half = (item.height - 10) / 2
    name.set(y=item.y + half, x=item.x, va="top")
    text.set(y=item.y - half, x=item.x, va="bottom")
    corner = item.x - item.width / 2, item.y - item.height / 2
    box = "round,pad=0,rounding_size=6"
    axes.add_patch(
        FancyBboxPatch(
            corner, item.width, item.height, box,
            facecolor=(item.colour, 0.1), edgecolor=item.colour, lw=2, zorder=2,
        )
    )  # fmt: skip


def _draw_arrow(axes: Axes, item: Item, below: Item) -> None:
    """Draw an arrow from a rule through text and bends, where it is vertical, to the next rule."""
    points, codes = [(item.x, item.y - item.height / 2)], [Path.MOVETO]
    while True:
        x, top = below.x, below.y + below.height / 2
        if below.name:
            x += np.clip(points[-1][0] - x, -below.width / 3, below.width / 3)
        middle = (points[-1][1] + top) / 2
        points += [(points[-1][0], middle), (x, middle), (x, top)]
        codes += [Path.CURVE4] * 3
        if below.name:
            break
        points.append((x, below.y - below.height / 2))
        codes.append(Path.LINETO)
        (below,) = below.below
    arrow: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 14, "lw": 1.8, "shrinkB": 0}
    path = Path(np.array(points), codes)
    axes.add_patch(FancyArrowPatch(path=path, color=below.colour, zorder=1, **arrow))
