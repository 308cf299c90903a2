"""Read the notebooks of the course as pages of the site, with the outputs that they have.

Their outputs are texts and pictures only, so a notebook is a page of Markdown: nothing is run here,
as `python -m examples.course --check` runs them all.
"""

import json


def shown(output):
    """An output of a cell as Markdown."""
    if picture := output.get("data", {}).get("image/png"):
        return f'<img alt="The picture that this code draws" src="data:image/png;base64,{picture}">'
    text = "".join(output.get("text", ())).strip("\n")
    return f"````{{code-block}} text\n:class: output\n\n{text}\n````"


def markdown(notebook):
    """A notebook as Markdown."""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        yield source if cell["cell_type"] == "markdown" else f"````python\n{source}\n````"
        yield from map(shown, cell.get("outputs", ()))


def read(app, page, source):
    """Called by Sphinx with the text of each page, in a list."""
    if str(app.env.doc2path(page)).endswith(".ipynb"):
        source[0] = "\n\n".join(markdown(json.loads(source[0])))


def setup(app):
    app.add_source_suffix(".ipynb", "markdown")
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
