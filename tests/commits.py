"""Check the subjects of commits, for contributors and CI: imperative, at most 72 characters.

    python -m tests.commits                 # the commits since START
    python -m tests.commits main..HEAD      # those of a range
    python -m tests.commits --message FILE  # a message that is being written (a Git hook)

A range that is not in the clone, as in a shallow one, is not checked.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

LIMIT = 72
START = "74d20d87db1b8245dd3c3d7ad5b8095837b85d71"  # the rule holds for commits after it
UNFINISHED = re.compile(r"\bWIP\b|\bin progress\b|^(fixup|squash|amend)!", re.IGNORECASE)
NOT_A_VERB = re.compile(  # articles, and the endings of Added, Adding and Adds
    r"(a|an|the|one|some|more|new|this)$|.*[aeiou].*(?<!e)ed$|.*[aeiou].*ing$|.*[^su]s$|.*\W$",
    re.IGNORECASE,
)
VERBS = {"Embed"}  # imperatives with such an ending


def problem(subject: str) -> str:
    """What is wrong with a subject, or an empty string.

    >>> problem("Check shapes before a load")
    ''
    >>> problem("Adds a check")
    "begin with an imperative such as Add, Fix or Rename, not with 'Adds'"
    """
    first = subject.split(" ", 1)[0]
    if len(subject) > LIMIT:
        return f"at most {LIMIT} characters, not {len(subject)}"
    if UNFINISHED.search(subject):
        return "describe a finished change"
    if ": " in subject:
        return "no label with a colon: say in the imperative what the change does"
    if not first[:1].isupper():
        return "begin with a capital letter"
    if first not in VERBS and NOT_A_VERB.match(first):
        return f"begin with an imperative such as Add, Fix or Rename, not with {first!r}"
    if subject.endswith("."):
        return "no period at the end"
    return ""


def subjects(commits: str) -> list[str]:
    """The subjects in a range of commits, without merges; none if Git doesn't know the range."""
    command = ["git", "log", "--no-merges", "--format=%s", commits, "--"]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        )
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"commit subjects are not checked: {getattr(error, 'stderr', '') or error}".strip())
        return []
    return run.stdout.splitlines()


def main(arguments: list[str] | None = None) -> None:
    """Print each subject that breaks a rule, with its problem; exit status 1 if there is one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("range", nargs="?", default=f"{START}..HEAD", help="such as main..HEAD")
    parser.add_argument("--message", type=Path, help="check the first line of this file instead")
    options = parser.parse_args(arguments)
    if options.message:
        found = options.message.read_text(encoding="utf-8").splitlines()[:1]
    else:
        found = subjects(options.range)
    found_problems = [f"{subject}\n    {text}" for subject in found if (text := problem(subject))]
    if found_problems:
        sys.exit("\n".join(found_problems))


if __name__ == "__main__":
    main()
