"""Turn a docstring of minidl into reStructuredText, for the reference of the site.

A docstring has paragraphs, lists of parameters in two aligned columns, formulas that are indented,
and doctests. Parameters become fields with types and defaults, formulas MathML. The indented
formulas of the other pages become MathML, too, by minidl's own parser of formulas: browsers draw it
without a script or a font from the network, and the Markdown reads well without the site.
"""

import inspect
import re
from html import escape

from docutils import nodes

from minidl.walkthrough.parser import FormulaError, parse
from minidl.walkthrough.typesetting import mathml

CALL = re.compile(r"(?<![a-z])(?!(?:sin|cos|tanh|ln|sgn|max|min|mean|softmax)\()[a-z]{2,}\(")
ENTRY = re.compile(r"(\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*) {1,}(\S.*)")


def entries(paragraph):
    """[(names, text), …] of a paragraph in two aligned columns; None of any other paragraph."""
    first = re.match(r"(\S.*?) {2,}(?=\S)", paragraph[0]) or re.match(r"(\w+) (?=\S)", paragraph[0])
    if not first or not ENTRY.fullmatch(paragraph[0]):
        return None
    column, found = first.end(), []
    for line in paragraph:
        head, text = line[:column], line[column:]
        if not head.strip() and found:
            found[-1][1].append(text)
        elif head[-1:] == " " and re.fullmatch(r"\*{0,2}[\w.]+(, \*{0,2}[\w.]+)*", head.strip()):
            found.append((head.strip().split(", "), [text]))
        else:
            return None
    aligned = any(re.match(r"\S+( \S+)* {2,}\S", line) for line in paragraph)
    return found if aligned else None


def escaped(text):
    """Plain text in which only pairs of backticks have a meaning; they become code."""
    parts = re.split(r"`([^`]+)`", text)
    parts[::2] = (re.sub(r"([\\*_|<])", r"\\\1", part) for part in parts[::2])
    parts[1::2] = (rf"\ ``{part}``\ " for part in parts[1::2])
    return "".join(parts)


def formula(text):
    """An equation as MathML; None for other text."""
    words = re.search(r"[a-z]{2,} [a-z]{2,}", re.sub(r"\b(if|else|and|or|not)\b", "", text))
    if words or CALL.search(text):  # a sentence, or a call of Python
        return None
    try:
        return mathml(parse(text)).replace(' display="block"', "")
    except FormulaError:
        return None


def typeset(line):
    """A line of formulas as HTML; what isn't an equation stays text, such as a condition."""
    first, *rest = re.split(r" {2,}", re.sub(r" +([=←]) ", r" \1 ", line.strip()))
    shown = [formula(first) or f"<code>{escape(first)}</code>"]
    return " ".join([*shown, *(formula(text) or f"<span>{escape(text)}</span>" for text in rest)])


def formulas(lines):
    """A paragraph of formulas as HTML."""
    return f'<div class="formulas">{"".join(f"<div>{typeset(line)}</div>" for line in lines)}</div>'


def with_names(text):
    """Write Adam, not <class 'minidl.optim.rules.Adam'>; the same for functions."""
    return re.sub(r"<(?:class '|function )(?:\w+\.)*(\w+)\b[^>]*>", r"\1", text)


def fields(found, parameters):
    """A list of entries: fields if they are parameters, else a list of definitions."""
    names = [name.lstrip("*") for group, _ in found for name in group]
    if not set(names) <= set(parameters):
        for group, text in found:
            yield ", ".join(f"``{name}``" for name in group)
            yield from ("    " + escaped(line) for line in text)
        return
    for group, text in found:
        for name in group:
            default = parameters[name.lstrip("*")].default
            value = with_names(repr(default))
            shown = "" if default is inspect.Parameter.empty else f" Default: ``{value}``."
            lines = [escaped(line) for line in text]
            end = "." if shown and not lines[-1].endswith(".") else ""
            marked = name.replace("*", r"\*")
            yield f":param {marked}: {lines[0]}" + (end + shown) * (len(lines) == 1)
            yield from ("    " + line for line in lines[1:-1])
            if len(lines) > 1:
                yield "    " + lines[-1] + end + shown


def converted(lines, parameters):
    """The lines of a docstring as reStructuredText."""
    text = "\n".join(lines)
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        paragraph = block.splitlines()
        if paragraph[0].startswith(">>>"):
            yield from paragraph
        elif all(line.startswith("    ") for line in paragraph):
            yield ".. raw:: html"
            yield ""
            yield "    " + formulas(paragraph)
        elif found := entries(paragraph):
            yield from fields(found, parameters)
        else:
            yield from map(escaped, paragraph)
        yield ""


def process(app, what, name, thing, options, lines):
    """Convert a docstring in place; called by Sphinx for each one."""
    try:
        parameters = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        parameters = {}
    lines[:] = converted(lines, parameters)


def process_signature(app, what, name, thing, options, signature, returned):
    return signature and with_names(signature), returned


def typeset_page(app, doctree):
    """Typeset the indented blocks of a page; readers of its Markdown see them as blocks of code."""
    for block in [*doctree.findall(nodes.literal_block)]:
        html = formulas(block.astext().splitlines())
        if block.get("language") == "none" and "<math" in html:  # fenced blocks have another one
            block.replace_self(nodes.raw("", html, format="html"))


def setup(app):
    app.connect("doctree-read", typeset_page)
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", process_signature)
    return {"parallel_read_safe": True}
