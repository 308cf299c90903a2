"""Pages: one HTML file each that needs nothing else, rendered with Jinja2.

The walkthrough's page and the race's share the layout, style and script that lie here.
"""

from __future__ import annotations

import html
import json
from typing import Any

try:
    import jinja2
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("minidl's pages need Jinja2: pip install 'minidl[viz]'") from error

markup = jinja2.utils.markupsafe.Markup


def render(package: str, template: str, data: Any, **words: Any) -> str:
    """A page made from a template of a package; its scripts find the data as JSON."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package, ""), jinja2.PackageLoader("minidl", "_page")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":  # which would end the script, or the line
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return environment.get_template(template).render(data=markup(text), **words)


def framed(text: str, title: str, height: int) -> str:
    """A page in a frame of its own, for a notebook."""
    return (
        f'<iframe srcdoc="{html.escape(text)}" title="{html.escape(title)}" '
        f'style="width:100%;height:{height}px;border:0"></iframe>'
    )
