"""Run the claims and write the page of their verdicts: python -m examples.claims --help."""

import argparse
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

# one thread a process: two claims run at once
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"))

from examples.claims import CLAIMS, lab
from minidl._format import printable

NAMES = [name for names in CLAIMS.values() for name in names]
INTRODUCTION = """\
# Claims

minidl implements an article that surveys optimizers. This page takes each statement of its lists,
asks whether it is so, and answers with an experiment on minidl's public names: a module of
[examples/claims/](../examples/claims) that runs in seconds. Lines and bars are medians over at
least five seeds, bands and dots show the spread. *Holds*, *only if* and *not here* are verdicts on
these experiments, small networks and functions on which the reason can be seen, not on every
network.

```sh
python -m examples.claims                 # list the claims
python -m examples.claims momentum        # run one, and draw its picture
python -m examples.claims --out docs      # run all, and write this page
```

The command compares what the texts say with the numbers of the run, and fails if a sentence is no
longer true. Sentences on times are compared as well, but a false one is only reported.
"""


def is_timed(name: str) -> bool:
    """Whether a claim measures times, which a busy machine changes."""
    return getattr(lab.load(name), "TIMED", False)


def results(names: list[str], folder: Path | None, processes: int) -> Iterator[lab.Result]:
    """Run claims in several processes; those that measure times run afterwards, alone."""
    timed = [name for name in names if is_timed(name)]
    others = [name for name in names if name not in timed]
    if len(others) > 1 and processes > 1:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            yield from pool.map(lab.judge_by_name, others, [folder] * len(others))
    else:
        yield from (lab.judge_by_name(name, folder) for name in others)
    yield from (lab.judge_by_name(name, folder) for name in timed)


def page(found: Iterable[lab.Result]) -> str:
    """The page of the claims that were run, in the article's order."""
    by_name = {result.name: result for result in found}
    table = ["| the article says | verdict |", "|---|---|"]
    sections = []
    for group, names in CLAIMS.items():
        sections.append(f"## {group}\n")
        for name in names:
            result = by_name[name]
            table.append(f"| [{result.statement}](#{anchor(name)}) | {result.verdict} |")
            sections.append(section(result))
    return "\n".join([INTRODUCTION, *table, "", *sections])


def title(name: str) -> str:
    """The heading of a claim."""
    words = name.replace("_", " ")
    for rule in ("NAG", "Adagrad", "RMSprop", "Adadelta", "AdamW", "Nadam", "RAdam", "Lion"):
        words = words.replace(rule.lower(), rule)
    words = words.replace("adam ", "Adam ").replace("ftrl", "FTRL")
    return {"adam": "Adam"}.get(words, words[0].upper() + words[1:])


def anchor(name: str) -> str:
    return title(name).lower().replace(" ", "-")


def section(result: lab.Result) -> str:
    """A claim on the page: statement, question, picture, verdict, reason and command."""
    alternative = result.answer.replace("[", "(").replace("]", ")")
    verdict = f"**{result.verdict[0].upper()}{result.verdict[1:]}.** {result.answer}."
    return "\n".join(
        [
            f"### {title(result.name)}",
            "",
            fill(f"*{result.statement}.* {result.question}"),
            "",
            f"![{alternative}](claims/{result.name}.png)",
            "",
            fill(f"{verdict} {result.reason}"),
            "",
            f"[examples/claims/{result.name}.py](../examples/claims/{result.name}.py)",
            "",
        ]
    )


def fill(text: str) -> str:
    return textwrap.fill(text, 105, break_on_hyphens=False)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns 1 if a sentence isn't true in this run, but for those of times."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.claims",
        description="Run experiments on what is said of optimizers, and judge it.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="claims to run (default: all)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the pictures, and the page")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="default: %(default)s"
    )
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in NAMES]:
        parser.error(f"there is no claim {unknown[0]!r}; there are {', '.join(NAMES)}")
    if not given.names and not given.out:
        for group, names in CLAIMS.items():
            print(f"\n{group}")
            for name in names:
                print(printable(f"  {name:28} {lab.load(name).QUESTION}"))
        return 0
    if missing := [name for name in ("matplotlib", "sklearn") if not find_spec(name)]:
        sys.exit(
            f"The claims need {' and '.join(missing)}: python -m pip install 'minidl[examples]'"
        )
    folder = (given.out or Path()) / ("" if given.names else "claims")
    found = []
    for result in results(given.names or NAMES, folder, given.processes):
        print(printable(f"\n{result.name}\n{lab.report(result)}"), flush=True)
        found.append(result)
    if not given.names:
        (given.out / "claims.md").write_text(page(found), encoding="utf-8")
    false = [(r.name, s) for r in found for s, true in r.evidence.items() if not true]
    for name, sentence in false:
        busy = " (a time; is the machine busy?)" if is_timed(name) else ""
        print(printable(f"not true in this run{busy}: {name}: {sentence}"), file=sys.stderr)
    return any(not is_timed(name) for name, _ in false)


if __name__ == "__main__":
    sys.exit(main())
