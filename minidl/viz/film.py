"""Animations of races behind `Race.animate`, and the writing of any animation to a file.

They need Matplotlib: pip install 'minidl[viz]'.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from minidl import _checks, _files
from minidl._format import number
from minidl.viz import plots, style
from minidl.viz._race.record import RaceRecord
from minidl.viz.style import COLOURS

try:
    from matplotlib import animation
    from matplotlib.artist import Artist
    from matplotlib.colors import to_rgb
    from PIL import Image
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "minidl's pictures need Matplotlib: pip install 'minidl[viz]'"
    ) from error

EASE = 1.5  # > 1: frames are closer together at the beginning of a race, where more happens
REST = 4.0  # seconds that a GIF shows its last frame
EXTRA_COLOURS = 180  # of a GIF's palette, besides those of `style`
SAME_COLOUR = 12  # two colours are the same if no channel differs by more, of 255


class _GifWriter(animation.AbstractMovieWriter):
    """Writes a GIF with a small palette, in which each frame stores only what changed."""

    def setup(self, fig: Any, outfile: Any, dpi: float | None = None) -> None:
        super().setup(fig, outfile, dpi)
        self.images: list[Image.Image] = []

    @contextlib.contextmanager
    def saving(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        """As in Matplotlib, except that nothing is written if drawing a frame fails."""
        self.setup(*arguments, **options)
        canvas: Any = self.fig.canvas
        canvas.draw_idle = lambda: None  # grab_frame draws each frame, so drawing before is wasted
        try:
            yield self
        finally:
            del canvas.draw_idle
        self.finish()

    def grab_frame(self, **options: Any) -> None:
        buffer = io.BytesIO()
        self.fig.savefig(buffer, format="rgba", dpi=self.dpi)
        image = Image.frombuffer("RGBA", self.frame_size, buffer.getvalue(), "raw", "RGBA", 0, 1)
        self.images.append(image.convert("RGB"))

    def finish(self) -> None:
        colours = self._colours()
        palette = Image.new("P", (1, 1))
        palette.putpalette(colours)
        frames = [
            np.array(image.quantize(palette=palette, dither=Image.Dither.NONE))
            for image in self.images
        ]
        unchanged = len(colours) // 3  # the index of the transparent colour
        changes = [
            np.where(before == after, np.uint8(unchanged), after)
            for before, after in itertools.pairwise(frames)
        ]
        first, *others = (Image.fromarray(frame) for frame in (frames[0], *changes))
        for frame in (first, *others):
            frame.putpalette([*colours, 0, 0, 0])
        pace = max(20, 10 * round(100 / self.fps))  # in ms; players slow down faster GIFs
        first.save(
            self.outfile,
            save_all=True,
            append_images=others,
            duration=[*[pace] * len(others), round(1000 * REST)],
            loop=0,
            transparency=unchanged,
            disposal=1,
            optimize=False,
        )

    def _colours(self) -> list[int]:
        """The palette, red, green and blue in turn: white, those of `style`, the most frequent."""
        own = np.rint([255 * np.array(to_rgb(c)) for c in ("white", *COLOURS.values())])
        sample = [np.array(image) for image in self.images[:: len(self.images) // 4 or 1]]
        quantized = Image.fromarray(np.concatenate(sample)).quantize(EXTRA_COLOURS)
        frequent = np.array(quantized.getpalette()).reshape(-1, 3)
        distinct = np.abs(frequent[:, None] - own).max(-1).min(-1) > SAME_COLOUR
        colours = np.concatenate([own, frequent[distinct]]).astype(int)
        return [int(level) for level in colours.ravel()]


def _writer(path: str | PathLike[str], fps: float) -> animation.AbstractMovieWriter:
    """The writer for a path. Raises before the animation is drawn if it can't be written."""
    path = _files.ending("animate", path, _files.FILMS)
    _files.check("animate", path)
    if path.suffix.lower() == ".gif":
        return _GifWriter(fps=fps)  # type: ignore[arg-type]
    if not animation.writers.is_available("ffmpeg"):
        raise ModuleNotFoundError(
            "animate: an .mp4 needs the program ffmpeg, which is not installed; a .gif does not"
        )
    return animation.FFMpegWriter(fps=fps)  # type: ignore[arg-type]


def save(
    film: animation.FuncAnimation,
    path: str | PathLike[str],
    writer: animation.AbstractMovieWriter | None = None,
) -> None:
    """Write an animation: a .gif, or an .mp4 if ffmpeg is installed.

    writer  by default one that suits the path

    ValueError for another ending, OSError for a path that can't be written, ModuleNotFoundError for
    an .mp4 without ffmpeg.
    """
    timer: Any = film.event_source
    path, writer = Path(path), writer or _writer(path, 1000 / timer.interval)
    with _files.replacing("animate", path) as temporary, style.context():
        try:
            film.save(temporary, writer=writer, dpi=80)
        except subprocess.CalledProcessError as error:
            raise _ended(error) from None


def _ended(error: subprocess.CalledProcessError) -> OSError:
    """The OSError for which ffmpeg has ended."""
    said = str(error.stderr or "").strip()
    if error.returncode == -getattr(signal, "SIGXFSZ", 0):
        said = os.strerror(errno.EFBIG)
    number = next((n for n in _files.FULL if os.strerror(n) in said), errno.EIO)
    lines = said.splitlines() or [f"status {error.returncode}"]
    return OSError(number, f"ffmpeg has failed: {lines[-1]}")


def animate(
    race: RaceRecord, path: str | PathLike[str] | None, start: int, frames: int, fps: int
) -> animation.FuncAnimation:
    """Animate a race from one start; the animation is written if a path is given."""
    frames = min(_checks.count("animate", "frames", frames, 2), race.steps + 1)
    fps = _checks.count("animate", "fps", fps)
    writer = None if path is None else _writer(path, fps)
    with style.context():
        picture = plots.draw_race(race, start)
        figure, axes, tracks, outcomes = picture
        plots.set_title(axes, " ")
        for run, text in zip(race.runs, outcomes, strict=True):  # reserves space for the longest
            text.set_text(max(race._ending(run, start), "f = −1.23e−100", key=len))
        plots.finish_layout(figure)
        figure.set_layout_engine("none")  # so that nothing moves from frame to frame
    fraction = np.arange(frames) / (frames - 1)
    steps = np.maximum(np.arange(frames), np.rint(race.steps * fraction**EASE)).astype(int)

    def draw(k: int) -> list[Artist]:
        plots.set_title(axes, f"{race.surface.name}, step {k} of {race.steps}")
        for run, (line, marker), text in zip(race.runs, tracks, outcomes, strict=True):
            theta = run.theta[: k + 1, start]
            line.set_data(*theta.T)
            marker.set_data(*theta[-1:].T)
            arrived = run.arrived[start]
            ended = k == race.steps if arrived is None else k >= arrived
            loss = number(run.loss[k, start], 3).shown
            text.set_text(race._ending(run, start) if ended else f"f = {loss}")
        return [*itertools.chain.from_iterable(tracks), *outcomes]

    film = animation.FuncAnimation(
        figure, draw, steps.tolist(), init_func=lambda: draw(0), interval=1000 / fps
    )
    if path is not None:
        save(film, path, writer)
    return film
