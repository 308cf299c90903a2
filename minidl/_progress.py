"""What fit shows while it trains: a bar in a terminal or a notebook, else lines of text."""

from __future__ import annotations

import contextlib
import math
import numbers
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

from minidl.history import History

SECONDS = 5.0  # between two lines of text


class Report:
    """What fit calls; here it shows nothing."""

    def steps(self, epoch: int, taken: int, loss: float, lr: float) -> None:
        """So many steps of an epoch were taken; the loss and the rate of the last one."""

    def epoch(self, epoch: int, history: History) -> None:
        """An epoch was finished."""


class Bar(Report):
    """A bar of tqdm with epoch, loss and rate, and validation and metrics of the last epoch."""

    def __init__(self, bar: Any) -> None:
        self.bar, self.text, self.results = bar, "", ""

    def steps(self, epoch: int, taken: int, loss: float, lr: float) -> None:
        self.text = f"epoch {epoch}, loss {loss:.4g}, lr {lr:.3g}{self.results}"
        if self.bar.update(taken):  # tqdm redrew the bar; the next redraw shows the new text
            self.bar.set_postfix_str(self.text, refresh=False)

    def epoch(self, epoch: int, history: History) -> None:
        self.text = self.text.removesuffix(self.results)
        self.results = results(history)
        self.text += self.results


class Lines(Report):
    """A line of text after the first epoch, after the last one, and every few seconds between."""

    def __init__(self, epochs: float) -> None:
        self.epochs = "" if math.isinf(epochs) else f"/{epochs:.0f}"
        self.due, self.waiting = 0.0, ""

    def epoch(self, epoch: int, history: History) -> None:
        loss, rate = f"loss {history.loss[-1]:.4g}", f"lr {history.lr[-1]:.3g}"
        number = f"epoch {epoch}{self.epochs}, step {len(history.step_loss)}"
        self.waiting = f"{number}, {loss}{results(history)}, {rate}"
        if time.monotonic() >= self.due:
            self.flush()

    def flush(self) -> None:
        """Write the line of the last epoch, if that hasn't been done."""
        if self.waiting:
            print(self.waiting, file=sys.stderr, flush=True)
        self.due, self.waiting = time.monotonic() + SECONDS, ""


def _can_show_a_bar() -> bool:
    """Whether there is a terminal or a notebook."""
    return bool(sys.stderr and sys.stderr.isatty()) or "ipykernel" in sys.modules


def results(history: History) -> str:
    """The validation loss and the metrics of the last epoch that are numbers."""
    found = {"validation": history.validation, **history.metrics}
    last = {name: values[-1] for name, values in found.items() if values}
    numeric = {name: x for name, x in last.items() if isinstance(x, numbers.Real)}
    return "".join(f", {name} {value:.4g}" for name, value in numeric.items())


@contextlib.contextmanager
def progress(show: bool, steps: int | None, epochs: float) -> Iterator[Report]:
    """Yield what reports the progress; steps and epochs are totals, None or infinite if unknown."""
    if not show:
        yield Report()
        return
    if not _can_show_a_bar():
        lines = Lines(epochs)
        try:
            yield lines
        finally:
            lines.flush()
        return
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError:
        warnings.warn(
            "dl.fit shows no progress bar, since tqdm is missing: "
            "pip install 'minidl[progress]', or pass progress=False",
            stacklevel=4,
        )
        yield Report()
        return
    with tqdm(total=steps, unit="step") as bar:
        report = Bar(bar)
        yield report
        bar.set_postfix_str(report.text)
