"""Render pages with Jinja2: one self-contained HTML file each.

The layout, style and script that all pages share are in this folder, base.*, and those of the pages
that show a network, network.*.
"""

from __future__ import annotations

import html
import json
from typing import Any


def render(package: str, template: str, data: Any, **context: Any) -> str:
    """A page from a template of a package; the page holds `data` as JSON for its script.

    ModuleNotFoundError without Jinja2.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "minidl's pages need Jinja2: pip install 'minidl[viz]'"
        ) from error

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package, ""), jinja2.PackageLoader("minidl", "_page")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":  # would end the script or a line in it
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return environment.get_template(template).render(data=text, **context)


def framed(text: str, title: str, height: int) -> str:
    """A page in an iframe, for a notebook."""
    return (
        f'<iframe srcdoc="{html.escape(text)}" title="{html.escape(title)}" '
        f'style="width:100%;height:{height}px;border:0"></iframe>'
    )
