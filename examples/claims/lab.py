"""What the claims share: to run one, to judge it by its evidence, and to draw it in one style."""

import functools
import importlib
import io
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minidl as dl

SEEDS = range(5)
SIZE = 10, 4.6  # inches, of a picture
VERDICTS = "holds", "only if ", "not here"


class Result(NamedTuple):
    """A claim after its run: its texts with the numbers of the run, and what they rest on."""

    name: str
    statement: str
    question: str
    verdict: str
    answer: str
    reason: str
    evidence: dict[str, bool]
    seconds: float  # of the processor


def load(name: str) -> Any:
    """The module of a claim."""
    return importlib.import_module(f"examples.claims.{name}")


def judge(claim: Any, folder: Path | None = None) -> Result:
    """Run a claim; draw its picture in a folder, if one is given."""
    name = claim.__name__.rpartition(".")[2]
    begin = time.process_time()
    data = claim.run()
    seconds = time.process_time() - begin
    texts = (claim.STATEMENT, claim.QUESTION, claim.VERDICT)
    answer, reason = (
        re.sub(r"(?<=\d) ?%", "\u00a0%", text.format(**data))
        for text in (claim.ANSWER, claim.REASON)
    )
    evidence = {sentence: bool(true) for sentence, true in claim.evidence(data).items()}
    if folder is not None:
        draw(claim, data, answer, folder / f"{name}.png")
    return Result(name, *texts, answer, reason, evidence, seconds)


def judge_by_name(name: str, folder: Path | None = None) -> Result:
    """The same for the module with this name; other processes can import this function."""
    return judge(load(name), folder)


def show(variables: dict[str, Any]) -> None:
    """Run the claim whose module has these variables, print its verdict and open its picture."""
    from types import SimpleNamespace

    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        sys.exit("The claims need Matplotlib: python -m pip install 'minidl[examples]'")
    name = Path(variables["__file__"]).stem if "__file__" in variables else "claim"
    result = judge(SimpleNamespace(**{**variables, "__name__": name}), Path())
    print(report(result), f"\nThe picture is in {name}.png", sep="\n")


def report(result: Result) -> str:
    """The question, the answer and the evidence as text."""
    lines = [result.question, f"  {result.verdict}: {result.answer}", f"  {result.reason}"]
    lines += [f"  {'yes' if true else 'NO '}  {s}" for s, true in result.evidence.items()]
    return "\n".join([*lines, f"  ({result.seconds:.1f} s)"])


# --- experiments --------------------------------------------------------------------------------


def digits(seed: int, share: float = 0.2) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Scikit-learn's digits, 1797 images of 8 × 8 pixels: (x, y) to train and to test with."""
    return dl.data.split(*_digits(), share, stratify=True, rng=seed)


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise SystemExit("The digits need scikit-learn: pip install 'minidl[examples]'") from None
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


def fit(
    model: Any, optimizer: Any, data: Any, *, epochs: int, batch_size: Any, seed: int = 0,
    loss: Any = dl.losses.cross_entropy, **options: Any,
) -> Any:  # fmt: skip
    """The history of a training on shuffled batches; it ends early if the training diverges."""
    loader = dl.data.DataLoader(*data, batch_size, rng=seed)
    try:
        return dl.fit(model, loss, optimizer, loader, epochs=epochs, progress=False, **options)
    except dl.DivergenceError as error:
        return error.history


def accuracy(model: Any, data: Any) -> float:
    """The share of samples that a model classifies correctly; 0 once it is not finite."""
    with np.errstate(all="ignore"):
        return float(np.mean(np.argmax(dl.predict(model, data[0]), axis=1) == data[1]))


def training_step(optimizer: Any, loss: Callable[..., dl.Tensor]) -> Any:
    """A captured step(*batch), which returns loss(*batch) before the update."""

    @dl.capture
    def step(*batch: Any) -> dl.Tensor:
        optimizer.zero_grad()
        value = loss(*batch)
        value.backward()
        optimizer.step()
        return value

    return step


def descend(
    f: Callable[[Any], Any], start: Any, rule: Callable[..., Any], steps: int
) -> np.ndarray:
    """The path of a rule on a loss f of one tensor, (steps + 1, …), by captured steps.

    rule  ([tensor]) → optimizer, such as functools.partial(dl.optim.SGD, lr=0.1)
    """
    theta = dl.Tensor(np.array(start, np.float64), requires_grad=True)
    optimizer = rule([theta])
    step = training_step(optimizer, lambda: f(theta))
    path = [theta.data.copy()]
    with np.errstate(all="ignore"):
        for _ in range(steps):
            step()
            path.append(theta.data.copy())
    return np.array(path)


def first(true: Any) -> np.ndarray:
    """The first step at which each run is true, (steps, …) → (…); inf if it never is."""
    true = np.asarray(true)
    return np.where(true.any(axis=0), true.argmax(axis=0), np.inf)


def median(values: Any) -> float:
    """The median over all seeds."""
    return float(np.median(values))


# --- pictures -----------------------------------------------------------------------------------


def draw(claim: Any, data: Mapping[str, Any], answer: str, path: Path) -> None:
    """Write the picture of a claim, with its answer as the title, in few colors."""
    import textwrap

    from minidl.viz import plots, style

    with style.context():
        figure = claim.picture(data)
        figure.suptitle(
            plots.escaped(textwrap.fill(answer, 76)), x=0.01, ha="left", fontsize=15, weight="bold"
        )
        content = io.BytesIO()
        figure.savefig(content, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(light(content.getvalue()))


def light(png: bytes) -> bytes:
    """A picture in 128 colors, a fraction of its size."""
    from PIL import Image

    content = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        small = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(content, format="png", optimize=True)
    return content.getvalue()


def point_at(axes: Any, text: str, point: Any, offset: Any, name: str) -> None:
    """Write a text in a color at an offset (in points) from a point, with a thin line to it."""
    axes.annotate(
        text, point, offset, textcoords="offset points", color=colour(name), weight="bold",
        ha="center", va="center", arrowprops={"arrowstyle": "-", "color": colour(name), "lw": 1},
    )  # fmt: skip


def new_figure(rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure in the common style, and its axes; call it in `picture` only."""
    from minidl.viz import plots

    figure = plots.new_figure(figsize=options.pop("figsize", SIZE))
    return figure, figure.subplots(rows, columns, **options)


def colour(name: str) -> str:
    """The color of a rule, or one of `minidl.viz.style.COLOURS`."""
    from minidl.viz import style

    return style.RULE_STYLES[name].colour if name in style.RULE_STYLES else style.COLOURS[name]


def band(axes: Any, x: Any, runs: Any, label: str, name: str, **options: Any) -> None:
    """Draw the median of runs (seeds, len(x)) as a line, and their range as a band.

    name     of the color
    options  of Matplotlib, for the line
    """
    runs = np.asarray(runs)
    ink = colour(name)
    axes.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=ink, alpha=0.15, linewidth=0)
    axes.plot(x, np.median(runs, axis=0), color=ink, label=label, **options)


def label_lines(axes: Any, gap: float = 0.09) -> None:
    """Write the label of each line at its end, in place of a legend."""
    from minidl.viz import plots

    def label(line: Any, _: float) -> str:
        return "" if str(line.get_label())[0] == "_" else str(line.get_label())

    plots.label_ends(axes, label, gap=gap)


def log_ticks(axis: Any) -> None:
    """Label a logarithmic axis with plain numbers: 0.1, 0.2, 0.5, 1, …"""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def strip(axes: Any, groups: Mapping[str, Any], names: Any = "blue", form: str = "{:.3g}") -> None:
    """Draw the values of each group as dots in a row, and their median as a bar with its number.

    names  a color for all rows, or a list with one for each
    """
    colours = [names] * len(groups) if isinstance(names, str) else list(names)
    for row, (values, name) in enumerate(zip(groups.values(), colours, strict=True)):
        middle, ink = np.median(values), colour(name)
        axes.plot(values, [row] * len(values), "o", color=ink, alpha=0.4, ms=9, mew=0)
        axes.plot([middle], [row], "|", color=ink, ms=26, mew=3.5)
        axes.annotate(
            form.format(middle), (middle, row), (0, 15), textcoords="offset points", ha="center",
            color=ink, weight="bold",
        )  # fmt: skip
    axes.set_yticks(range(len(groups)), list(groups), color="#18202b")
    axes.set_ylim(len(groups) - 0.5, -0.7)
    axes.grid(axis="x", color="#e5e7eb", linewidth=1)
    axes.set_axisbelow(True)
