"""The family tree of optimizers: which rule grew out of which, and what it added."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from minidl import _drawing, optim
from minidl.viz import style

TITLE = "Each optimizer adds an idea to those before it"
LETTERS = 20  # at most, in a line of words on an arrow
SPACE = 14.0  # between neighbours, in points (1/72 inch), as all lengths here
SOURCE = re.compile(r"\(([A-Z][^()\d]*\d{4})\b")  # (Polyak 1964), (Nesterov 1983; …)


@dataclass(eq=False)
class Item:
    """What has a place in a layer: a rule by its name, the words of an arrow, or a bend of one."""

    layer: int
    name: str = ""
    words: str = ""  # on the arrow, or author and year
    colour: str = style.COLOURS["grey"]
    above: list[Item] = field(default_factory=list)
    below: list[Item] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0


def family_tree(rules: Mapping[str, type[optim.Optimizer]] | None = None) -> Figure:
    """The family tree of update rules, an arrow from each to those that grew out of it.

    rules  the classes by name; without it, all of minidl.optim

    On the arrows stands what a rule added to the one above or took over from it, from its own
    `adds`; a name there that is no rule is an ancestor. A class without `adds` of its own stems
    from the rule that it is a subclass of. Below a name stand author and year, where the class's
    docstring gives them in brackets. TypeError for what is no rule, ValueError for none at all and
    for rules that are their own ancestors.

    >>> class Heavy(dl.optim.Momentum):
    ...     "Momentum with a very heavy ball (Atlas 2030)."
    ...     adds = {"Momentum": "weight"}
    >>> figure = family_tree({"Momentum": dl.optim.Momentum, "Heavy": Heavy})
    >>> print(*(text.get_text() for text in figure.axes[0].texts[-3:]), sep=", ")
    weight, Atlas 2030, Heavy
    """
    rules = _checked(rules)
    layers = _layers(rules, {name: _parents(rule) for name, rule in rules.items()})
    with style.drawing():
        figure = plt.figure(layout="none")
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
        raise ValueError("family_tree: rules holds no rule")
    return dict(rules)


def _is_rule(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, optim.Optimizer) and bool(thing.equations)


def _parents(rule: type[optim.Optimizer]) -> dict[str, str]:
    """The names of the rules that one grew out of, and what each arrow says."""
    if "adds" in vars(rule):
        return rule.adds
    return {base.__name__: "" for base in rule.__bases__ if _is_rule(base)}


def _layers(rules: Mapping[str, Any], parents: dict[str, dict[str, str]]) -> list[list[Item]]:
    """The items of each layer: rules by generation, with a layer of words in between."""
    depths: dict[str, int] = {}

    def depth(name: str, heirs: tuple[str, ...] = ()) -> int:
        if name in heirs:
            circle = " ← ".join((*heirs[heirs.index(name) :], name))
            raise ValueError(f"family_tree: rules are their own ancestors: {circle}")
        if name not in depths:
            above = [depth(parent, (*heirs, name)) for parent in parents.get(name, ())]
            depths[name] = 2 + max(above, default=-2)
        return depths[name]

    for name in rules:
        depth(name)
    people: dict[str, Item] = {}
    # who has several parents begins at the side, from where arrows cross least
    by_age = sorted(depths, key=lambda name: (depths[name], len(parents.get(name, ()))))
    looks = dict(zip(by_age, style.looks(by_age), strict=True))
    for name in by_age:
        source = SOURCE.search(" ".join((getattr(rules.get(name), "__doc__", "") or "").split()))
        first = next(iter(parents.get(name, ())), None)
        colour = people[first].colour if first else style.COLOURS["grey"]
        if name in style.LOOKS or (first and first not in rules):
            colour = looks[name].colour
        people[name] = Item(depths[name], name, source[1] if source else "", colour)
    layers: list[list[Item]] = [[] for _ in range(1 + max(depths.values()))]
    for item in people.values():
        layers[item.layer].append(item)
    for name in by_age:
        for parent, text in parents.get(name, {}).items():
            item = people[parent]
            for layer in range(depths[parent] + 1, depths[name]):
                last = layer == depths[name] - 1
                bend = Item(layer, words=_wrapped(text) if last else "", colour=people[name].colour)
                layers[layer].append(bend)
                _join(item, bend)
                item = bend
            _join(item, people[name])
    items = [item for layer in layers for item in layer]
    above, below = {item: item.above for item in items}, {item: item.below for item in items}
    return _drawing.order(layers, above, below)


def _wrapped(text: str) -> str:
    """Two short lines; more if they would have more than LETTERS."""
    wrapped = [textwrap.wrap(text, n, break_on_hyphens=False) for n in range(8, LETTERS + 1)]
    fewest = max(2, len(wrapped[-1]))
    return "\n".join(next(lines for lines in wrapped if len(lines) <= fewest))


def _join(above: Item, below: Item) -> None:
    above.below.append(below)
    below.above.append(above)


def _place(layers: list[list[Item]]) -> None:
    """Give each item its x: below and above its neighbours as well as the widths allow."""
    near = {item: item.above for layer in layers for item in layer}
    halves = {item: (item.width + SPACE - _drawing.APART) / 2 for item in near}
    ranks = {item: 1e3 if item.name else 10 if item.words else _drawing.WAYPOINT for item in near}
    below = {item: item.below for item in near}
    for item, x in _drawing.columns(layers, near, below, halves, ranks).items():
        item.x = float(x)


def _size(text: Any) -> np.ndarray:
    box = text.get_window_extent()
    return np.array([box.width, box.height]) * 72 / text.figure.dpi


def _draw(axes: Any, layers: list[list[Item]]) -> None:
    """Texts first, for their sizes decide the places; then boxes and arrows."""
    title = axes.text(0, 0, TITLE, fontsize=15, va="top")
    everything = [item for layer in layers for item in layer]
    texts = {item: _written(axes, item) for item in everything}
    _place(layers)
    left = min(item.x - item.width / 2 for item in everything)
    right = max(item.x + item.width / 2 for item in everything)
    heights = [max(item.height for item in layer) for layer in layers]
    full = sum(heights) + _size(title)[1] + 3 * SPACE
    gap = max(12, (5.6 * 72 - full) / max(1, len(layers) - 1))
    width, height = max(720, right - left + 2 * SPACE), full + gap * (len(layers) - 1)
    axes.figure.set_size_inches(width / 72, height / 72)
    start = (left + right - width) / 2
    axes.set(xlim=(start, start + width), ylim=(0, height))
    title.set_position((start + SPACE, height - SPACE))
    y = height - 2 * SPACE - _size(title)[1]
    for layer, high in zip(layers, heights, strict=True):
        for item in layer:
            item.y = y - high / 2
            item.height = item.height if item.name else high
            _move(axes, item, texts[item])
        y -= high + gap
    for item in everything:
        for below in item.below if item.name else ():
            _draw_arrow(axes, item, below)


def _written(axes: Any, item: Item) -> list[Any]:
    """The texts of an item, not yet in place; it gets its size from them."""
    centred = {"ha": "center", "va": "center", "fontsize": 13}
    words = axes.text(0, 0, item.words, linespacing=1.1, zorder=3, **centred)
    if not item.name:
        words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        if item.words:
            item.width, item.height = _size(words)
        return [words]
    name = axes.text(0, 0, item.name, weight="bold", zorder=3, **centred)
    sizes = np.array([_size(name), _size(words) if item.words else (0, 0)])
    item.width, item.height = sizes[:, 0].max() + 16, sizes[:, 1].sum() + 10
    return [name, words]


def _move(axes: Any, item: Item, texts: list[Any]) -> None:
    """Put an item's texts in their place, a rule's into a box."""
    if not item.name:
        texts[0].set_position((item.x, item.y))
        return
    name, words = texts
    half = (item.height - 10) / 2
    name.set(y=item.y + half, x=item.x, va="top")
    words.set(y=item.y - half, x=item.x, va="bottom")
    corner = item.x - item.width / 2, item.y - item.height / 2
    form = "round,pad=0,rounding_size=6"
    axes.add_patch(
        FancyBboxPatch(
            corner, item.width, item.height, form,
            facecolor=(item.colour, 0.1), edgecolor=item.colour, lw=2, zorder=2,
        )
    )  # fmt: skip


def _draw_arrow(axes: Any, item: Item, below: Item) -> None:
    """From a rule through words and bends to the next rule, upright where these are."""
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
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 14, "lw": 1.8, "shrinkB": 0}
    path = Path(np.array(points), codes)
    axes.add_patch(FancyArrowPatch(path=path, color=below.colour, zorder=1, **look))
