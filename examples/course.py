"""Make the notebooks of the course from its lessons, and run them.

python -m examples.course --out docs/course            # write all
python -m examples.course momentum --out .             # write one
python -m examples.course --check                      # run all, and compare with what is stored
"""

import argparse
import base64
import os
import re
import sys
import tempfile
from pathlib import Path

# the lessons in the order of the course
LESSONS = (
    *("regression", "walkthrough", "decision_boundary", "batches", "optimizer_race"),
    *("momentum", "adaptive", "schedules", "depth", "overfitting"),
)
FOLDER = Path(__file__).parent
STORED = FOLDER.parent / "docs" / "course"
SECONDS = 600  # for a cell


def cells(source):
    """The cells of a lesson as (kind, text): its `# %%` marks, without the docstring."""
    for mark, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", source, re.MULTILINE):
        text = body.strip("\n")
        if "markdown" in mark:
            yield "markdown", re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        else:
            yield "code", text


def notebook(name):
    """The notebook of a lesson, not yet run."""
    import nbformat

    made = nbformat.v4.new_notebook()
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    for i, (kind, text) in enumerate(cells((FOLDER / f"{name}.py").read_text("utf-8"))):
        new = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        made.cells.append(new(text, id=f"{name}-{i}".replace("_", "-")))
    return made


def executed(name):
    """The notebook of a lesson with its outputs; it runs in a folder of its own."""
    from nbclient import NotebookClient

    from examples.claims.lab import light

    made = notebook(name)
    with tempfile.TemporaryDirectory() as folder:
        places = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
        environment["PYTHONPATH"] = os.pathsep.join(places)
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(made, timeout=SECONDS, resources=resources, coalesce_streams=True)
        client.execute(env=environment)
    for cell in made.cells:
        cell.metadata.clear()  # the times
        for output in cell.get("outputs", ()):
            if "image/png" in (data := output.get("data", {})):
                picture = light(base64.b64decode(data["image/png"]))
                data["image/png"] = base64.b64encode(picture).decode()
    return made


def path(folder, name):
    """Where the notebook of a lesson is: its name begins with its place in the course."""
    return Path(folder) / f"{LESSONS.index(name) + 1:02}_{name}.ipynb"


def stale(name, made):
    """How a stored notebook differs from its lesson, "" if it doesn't."""
    import nbformat

    stored = path(STORED, name)
    if not stored.exists():
        return f"{stored.name} is missing"
    old = nbformat.read(stored, as_version=4)
    if [cell.source for cell in old.cells] != [cell.source for cell in made.cells]:
        return f"{stored.name} is not made from {name}.py as it is"
    return ""


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m examples.course",
        description="Make the notebooks of the course from its lessons, and run them.",
    )
    parser.add_argument("lessons", nargs="*", metavar="lesson", help=", ".join(LESSONS))
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument("--out", type=Path, help="the folder for the notebooks")
    goal.add_argument("--check", action="store_true", help="run, and compare with what is stored")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.lessons if name not in LESSONS]:
        parser.error(f"there is no lesson {unknown[0]}; there are {', '.join(LESSONS)}")
    if given.out and not given.out.is_dir():
        parser.error(f"--out: there is no folder {given.out}")
    try:
        import nbclient  # noqa: F401
        import nbformat
    except ModuleNotFoundError:
        sys.exit("Notebooks need nbclient and ipykernel: python -m pip install 'minidl[course]'")
    for name in given.lessons or LESSONS:
        made = executed(name)
        if given.check and (problem := stale(name, made)):
            sys.exit(f"{problem}: run python -m examples.course {name} --out docs/course")
        if given.out:
            nbformat.write(made, path(given.out, name))
        print(path(given.out or STORED, name), flush=True)


if __name__ == "__main__":
    main()
