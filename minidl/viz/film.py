"""Animations: a race as a film, and the writing of films. They need Matplotlib."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minidl import _checks, _files
from minidl._format import number
from minidl.viz import plots, style
from minidl.viz.style import COLOURS

try:
    from matplotlib import animation
    from matplotlib.colors import to_rgb
    from PIL import Image
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "minidl's pictures need Matplotlib: pip install 'minidl[viz]'"
    ) from error

EASE = 1.5  # > 1: the pictures of a race lie closer together at the start, where more happens
REST = 1.5  # seconds that the last picture stays
COMMON, ALIKE = 100, 12  # colours beside those of `style`; the difference within which two are one


class _Gif(animation.AbstractMovieWriter):
    """A GIF of few colours, in which each picture stores what changed."""

    def setup(self, fig: Any, outfile: Any, dpi: float | None = None) -> None:
        super().setup(fig, outfile, dpi)
        self.pictures: list[Image.Image] = []

    @contextlib.contextmanager
    def saving(self, *given: Any, **options: Any) -> Iterator[Any]:
        """As Matplotlib's, but that a film that fails on the way is not written."""
        self.setup(*given, **options)
        canvas: Any = self.fig.canvas
        canvas.draw_idle = lambda: None  # each picture is drawn as it is written, not before, too
        try:
            yield self
        finally:
            del canvas.draw_idle
        self.finish()

    def grab_frame(self, **options: Any) -> None:
        buffer = io.BytesIO()
        self.fig.savefig(buffer, format="rgba", dpi=self.dpi)
        whole = Image.frombuffer("RGBA", self.frame_size, buffer.getvalue(), "raw", "RGBA", 0, 1)
        self.pictures.append(whole.convert("RGB"))

    def finish(self) -> None:
        own = np.rint([255 * np.array(to_rgb(c)) for c in ("white", *COLOURS.values())])
        some = [np.array(picture) for picture in self.pictures[:: len(self.pictures) // 4 or 1]]
        mixed = Image.fromarray(np.concatenate(some)).quantize(COMMON)
        common = np.array(mixed.getpalette()).reshape(-1, 3)
        apart = np.abs(common[:, None] - own).max(-1).min(-1) > ALIKE
        colours = np.concatenate([own, common[apart]]).astype(int).ravel().tolist()
        palette = Image.new("P", (1, 1))
        palette.putpalette(colours)
        frames = [
            np.array(picture.quantize(palette=palette, dither=Image.Dither.NONE))
            for picture in self.pictures
        ]
        clear = len(colours) // 3  # the number of a colour that leaves what is there
        changed = [
            np.where(before == after, np.uint8(clear), after)
            for before, after in itertools.pairwise(frames)
        ]
        first, *others = (Image.fromarray(frame) for frame in (frames[0], *changed))
        for frame in (first, *others):
            frame.putpalette([*colours, 0, 0, 0])
        pace = max(20, 10 * round(100 / self.fps))  # in hundredths; players slow down faster ones
        first.save(
            self.outfile,
            save_all=True,
            append_images=others,
            duration=[*[pace] * len(others), round(1000 * REST)],
            loop=0,
            transparency=clear,
            disposal=1,
            optimize=False,
        )


def _writer(path: Any, fps: float) -> Any:
    """What writes a film of that name; told before the work that it can't be."""
    path = _files.ending("animate", path, _files.FILMS)
    with _files.writing("animate", path):
        pass
    if path.suffix.lower() == ".gif":
        return _Gif(fps=fps)  # type: ignore[arg-type]
    if not animation.writers.is_available("ffmpeg"):
        raise ModuleNotFoundError(
            "animate: an .mp4 needs the program ffmpeg, which is not installed; a .gif does not"
        )
    return animation.FFMpegWriter(fps=fps)  # type: ignore[arg-type]


def save(film: animation.FuncAnimation, path: Any, writer: Any = None) -> None:
    """Write an animation: a .gif, or an .mp4 where ffmpeg is installed.

    ValueError for another ending, OSError for a path that can't be written, ModuleNotFoundError for
    an .mp4 without ffmpeg.
    """
    timer: Any = film.event_source
    writer = writer or _writer(path, 1000 / timer.interval)
    with _files.writing("animate", Path(path)), style.drawing():
        film.save(path, writer=writer, dpi=80)


def animate(race: Any, path: Any, start: int, frames: int, fps: int) -> animation.FuncAnimation:
    """The race from one start, step by step; written if there is a path."""
    frames = min(_checks.count("animate", "frames", frames, 2), race.steps + 1)
    fps = _checks.count("animate", "fps", fps)
    writer = None if path is None else _writer(path, fps)
    with style.drawing():
        axes, tracks, words = plots.board(race, start)
        plots.entitle(axes, " ")
        for run, text in zip(race.runs, words, strict=True):  # room for the longest
            text.set_text(max(plots.ending(run, start), "f = −1.23e−100", key=len))
        plots.settle(axes.figure)
        axes.figure.set_layout_engine("none")  # laid out once, not for each picture
    part = np.arange(frames) / (frames - 1)
    steps = np.maximum(np.arange(frames), np.rint(race.steps * part**EASE)).astype(int)

    def draw(k: int) -> list[Any]:
        plots.entitle(axes, f"{race.surface.name}, step {k} of {race.steps}")
        for run, (path, head), text in zip(race.runs, tracks, words, strict=True):
            theta = run.theta[: k + 1, start]
            path.set_data(*theta.T)
            head.set_data(*theta[-1:].T)
            arrived = run.arrived[start]
            there = k == race.steps if arrived is None else k >= arrived
            loss = number(run.loss[k, start], 3).shown
            text.set_text(plots.ending(run, start) if there else f"f = {loss}")
        return [*(artist for pair in tracks for artist in pair), *words]

    film = animation.FuncAnimation(
        axes.figure, draw, steps.tolist(), init_func=lambda: draw(0), interval=1000 / fps
    )
    if path is not None:
        save(film, path, writer)
    return film
