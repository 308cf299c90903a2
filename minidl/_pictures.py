"""What a notebook shows of schedules and modules: pictures as SVG."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minidl import _drawing
from minidl._format import number

POINTS, LONGEST = 240, 58  # of a curve; characters of a title
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 460, 150, 58, 30, 128
STYLE = """
.minidl-rates { color-scheme: light dark; background: light-dark(#fff, #14181d); }
.minidl-rates text { font: 12px system-ui, sans-serif; }
.minidl-rates text { fill: light-dark(#566173, #a3afbf); }
.minidl-rates .title { fill: light-dark(#18202b, #e8ecf2); font-weight: 600; }
.minidl-rates line { stroke: light-dark(#dfe3e9, #303947); }
.minidl-rates path { fill: none; stroke: light-dark(#0072b2, #56b4e9); stroke-width: 2; }
"""


class Curve:
    """What a schedule is in a notebook."""

    def _repr_svg_(self: Any) -> str | None:
        """The rate over the steps; None if it can't be computed for all of them."""
        phases = dict(self.phases())
        try:
            return rates(self, phases, repr(self), "reduce on plateau" in phases.values())
        except Exception:  # of a formula of the user's; a repr never raises
            return None


def span(rate: Callable[[int], float], starts: Iterable[int]) -> int:
    """The steps that show a schedule: beyond its last phase, or until the rate is a quarter."""
    last = max(starts)
    steps = max(100, math.ceil(1.15 * last))
    if last == 0:
        first = rate(0)
        while steps < 100_000 and rate(steps) > first / 4:
            steps *= 2
        steps = 100 if steps >= 100_000 and rate(steps) == first else steps
    return steps


def rates(
    rate: Callable[[int], float], starts: Iterable[int], title: str, observes: bool = False
) -> str:
    """The SVG of a rate over the steps, from 0 on; `starts` are the first steps of its phases.

    A rate that `observes` a metric is drawn as it is while the metric gets better.
    """
    starts = [*starts]
    steps = span(rate, starts)
    even = {round(i * steps / POINTS) for i in range(POINTS + 1)}
    at = sorted(even | {t for s in starts for t in (s, s + 1) if t <= steps})
    values = [rate(t) for t in at]
    high = max(values) or 1.0
    x = [LEFT + (WIDTH - LEFT - 8) * t / steps for t in at]
    y = [BOTTOM - (BOTTOM - TOP) * value / high for value in values]
    points = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    name = html.escape(title if len(title) <= LONGEST else title[: LONGEST - 1] + "…")
    lines = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{at}" y2="{at}"/>' for at in (TOP, BOTTOM)
    )
    texts = [
        (LEFT - 6, TOP + 4, "end", number(high, 3)[0]),
        (LEFT - 6, BOTTOM + 4, "end", "0"),
        (LEFT, HEIGHT - 5, "start", "0"),
        (WIDTH - 8, HEIGHT - 5, "end", f"step {steps:,}"),
    ]
    if observes:
        texts.append(((LEFT + WIDTH) // 2, HEIGHT - 5, "middle", "while the metric gets better"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="minidl-rates" viewBox="0 0 {WIDTH} '
        f'{HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{name}">'
        f'<style>{STYLE}</style><text class="title" x="8" y="17">{name}</text>{lines}'
        f'<path d="M{points}"/>'
        + "".join(
            f'<text x="{a}" y="{b}" text-anchor="{anchor}">{text}</text>'
            for a, b, anchor, text in texts
        )
        + "</svg>"
    )


def chain(modules: Iterable[_drawing.Box], title: str) -> str:
    """The SVG of modules, one after the other."""
    boxes = [_drawing.Box("x", "input", "x", ""), *modules]
    arrows = [_drawing.Arrow(a.key, b.key, "") for a, b in itertools.pairwise(boxes)]
    return _drawing.draw(boxes, arrows, title)


def tree(whole: _drawing.Box, parts: list[_drawing.Box], title: str) -> str:
    """The SVG of a module above its parts."""
    arrows = [_drawing.Arrow(whole.key, part.key, "") for part in parts]
    return _drawing.draw([whole, *parts], arrows, title)


def parts(
    whole: Any, members: Mapping[str, Any], inside: Callable[[Any], Iterable[tuple[str, Any]]]
) -> str:
    """The SVG of a Sequential as a chain, of another module with its members.

    inside  returns (path, parameter, module or buffer) at any depth of a module
    """

    def box(key: object, x: Any, name: str = "") -> _drawing.Box:
        found = [each for _, each in inside(x)] if hasattr(x, "parameters") else [x]
        count = sum(each.size for each in found if hasattr(each, "requires_grad"))
        size = f"{count:,} parameters" if count != 1 else "1 parameter"
        text = ", ".join([name] * bool(name) + [size] * bool(count))
        return _drawing.Box(f"part {key}", "parameter" if count else "op", _short(x), text)

    if hasattr(whole, "__iter__"):
        return chain([box(i, module) for i, module in enumerate(whole)], _short(whole))
    return tree(box("", whole), [box(n, x, n) for n, x in members.items()], _short(whole))


def _short(x: Any) -> str:
    """The first line of a module's repr without its number of parameters; a parameter's shape."""
    if not hasattr(x, "parameters"):
        return f"Tensor {x.shape}"
    return repr(x).partition("\n")[0].partition("#")[0].strip(" (")
