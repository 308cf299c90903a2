"""Settings of the site: python -m sphinx -W -b html docs FOLDER."""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import minidl  # noqa: E402

project = "minidl"
author = "the minidl authors"
copyright = author
version = release = minidl.__version__

extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"),
    *("docstrings", "lessons", "live_pages"),
]
myst_heading_anchors = 4  # the anchors of GitHub
myst_enable_extensions = ["deflist", "html_image"]
suppress_warnings = ["misc.highlighting_failure"]
exclude_patterns = ["_build"]

copybutton_prompt_text = r">>> |\.\.\. ?"  # of a block with prompts, the lines that have one
copybutton_prompt_is_regexp = True
copybutton_selector = "div.highlight:not(.output *) pre"  # not what a lesson prints

html_theme = "furo"
html_title = f"minidl {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_dark_style = "a11y-dark"
REPOSITORY = "https://github.com/minidl/minidl/"
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
}

add_module_names = False
python_use_unqualified_type_names = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"


def link_to_the_repository(app, page, source):
    """Let links to folders, and to pages such as README that the site lacks, lead to GitHub."""

    def address(link):
        path = DOCS.parent / link[1]
        if path.suffix != ".md" and not path.is_dir():
            return link[0]  # Sphinx copies other files
        return f"]({REPOSITORY}{'tree' if path.is_dir() else 'blob'}/main/{link[1]}"

    if "/" not in page:
        source[0] = re.sub(r"\]\(\.\./([^)#]+)", address, source[0])


def make_accessible(app, page, template, context, doctree):
    """Add what the HTML of Sphinx and Furo lacks: keys can scroll a block, headings have levels."""
    scrolled = r'<(pre|div class="(?:table-wrapper|formulas)[^"]*")>'
    context["body"] = re.sub(scrolled, r'<\1 tabindex="0">', context.get("body", ""))
    tree = context["furo_navigation_tree"]
    context["furo_navigation_tree"] = tree.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def setup(app):
    app.connect("source-read", link_to_the_repository)
    app.connect("html-page-context", make_accessible, priority=900)  # after Furo
