"""Pictures of schedules and models as SVG; for their display in notebooks."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Callable, Iterable, Sequence

from minidl import _drawing
from minidl._format import number

POINTS, LONGEST = 240, 58  # of a curve; characters of a title
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 460, 150, 58, 30, 128
STYLE = """
.minidl-rates { color-scheme: light dark; font: 12px system-ui, sans-serif; }
.minidl-rates text { fill: light-dark(#566173, #a3afbf); }
.minidl-rates .title { fill: light-dark(#18202b, #e8ecf2); font-weight: 600; }
.minidl-rates line { stroke: light-dark(#dfe3e9, #303947); }
.minidl-rates path { fill: none; stroke: light-dark(#0072b2, #56b4e9); stroke-width: 2; }
"""


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


def rates(rate: Callable[[int], float], starts: Iterable[int], title: str) -> str:
    """The SVG of a rate over the steps, from 0 on; `starts` are the first steps of its phases."""
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


def chain(names: Sequence[str], counts: Sequence[int], title: str) -> str:
    """The SVG of modules, one after the other, with the numbers of their parameters."""
    boxes = [_drawing.Box("x", "input", "x", "")]
    for i, (name, count) in enumerate(zip(names, counts, strict=True)):
        text = f"{count:,} parameters" if count else ""
        boxes.append(_drawing.Box(str(i), "parameter" if count else "op", name, text))
    keys = [box.key for box in boxes]
    arrows = [_drawing.Arrow(a, b, "") for a, b in itertools.pairwise(keys)]
    return _drawing.draw(boxes, arrows, title)
