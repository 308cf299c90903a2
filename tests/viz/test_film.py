"""Films of races: the data of each frame, and what is in the files."""

import gc
import io
import itertools
import subprocess

import numpy as np
import pytest
from drawn import assert_texts_fit, race_paths, race_table
from matplotlib import animation, colors, pyplot
from PIL import Image, ImageSequence

from minidl.viz import film, race, style

STEPS = 15
RULES = {"slow": "Adam", "there": "SGD", "gone": "SGD", "first": "SGD"}
RATES = {"there": 0.3, "gone": 1.3, "first": 0.5}


@pytest.fixture(scope="module")
def bowl():
    """Four runs on a bowl: one is slow, two arrive, one diverges."""
    return race("bowl", RULES, steps=STEPS, lr=RATES)


class Recorder(animation.AbstractMovieWriter):
    """Records what the artists of each frame hold, and on request its picture as RGB."""

    def __init__(self, fps=20, pictures=False):
        super().__init__(fps=fps)
        self.drawing = pictures
        self.titles, self.paths, self.heads, self.lists, self.images = [], [], [], [], []

    def setup(self, *given, **options):
        super().setup(*given, **options)

    def grab_frame(self, **options):
        axes = self.fig.axes[0]
        drawn = race_paths(axes)[1]
        self.titles.append(axes.get_title())
        self.paths.append([np.transpose(path.get_data()) for path, _ in drawn])
        self.heads.append([np.transpose(head.get_data()) for _, head in drawn])
        self.lists.append(race_table(axes))
        if self.drawing:
            buffer = io.BytesIO()
            self.fig.savefig(buffer, dpi=self.dpi, format="png")
            self.images.append(np.array(Image.open(buffer).convert("RGB")).astype(int))

    def finish(self):
        pass


def recorded(movie, **options):
    """What an animation shows, frame by frame."""
    recorder = Recorder(**options)
    with pyplot.rc_context(style.STYLE):
        movie.save("nothing", writer=recorder, dpi=80)
    return recorder


def decoded(path):
    """The frames of a GIF as RGB, how long each is shown in ms, and the loops."""
    with Image.open(path) as gif:
        frames = ImageSequence.Iterator(gif)
        pairs = [(np.array(f.convert("RGB")).astype(int), f.info["duration"]) for f in frames]
        return *zip(*pairs, strict=True), gif.info["loop"]


@pytest.mark.parametrize(
    ("frames", "steps"),
    [(2, [0, 15]), (4, [0, 3, 8, 15]), (10, [0, 1, 2, 3, 4, 6, 8, 10, 13, 15]), (999, range(16))],
)
def test_frames_are_spread_over_the_steps_from_the_first_to_the_last(frames, steps, bowl):
    seen = recorded(bowl.animate(frames=frames))
    assert seen.titles == [f"bowl, step {k} of 15" for k in steps]
    for k, paths, heads in zip(steps, seen.paths, seen.heads, strict=True):
        for run, path, head in zip(bowl.runs, paths, heads, strict=True):
            np.testing.assert_array_equal(path, run.theta[: k + 1, 0])
            np.testing.assert_array_equal(head, run.theta[k : k + 1, 0])


def test_a_long_race_has_the_requested_number_of_frames_closer_at_the_beginning():
    raced = race("bowl", "SGD", steps=997)
    titles = recorded(raced.animate(frames=9)).titles
    steps = [int(title.split()[2]) for title in titles]
    assert len(steps) == 9
    assert (steps[0], steps[-1]) == (0, 997)
    np.testing.assert_allclose((np.array(steps) / 997) ** (2 / 3), np.arange(9) / 8, atol=1e-3)


def test_the_first_frame_shows_the_start_alone_and_the_last_what_the_picture_shows(bowl):
    seen = recorded(bowl.animate(frames=3))
    assert all(path.tolist() == bowl.starts.tolist() for path in seen.paths[0])
    axes = bowl.plot()
    for (path, head), shown, mark in zip(
        race_paths(axes)[1], seen.paths[-1], seen.heads[-1], strict=True
    ):
        np.testing.assert_array_equal(np.transpose(path.get_data()), shown)
        np.testing.assert_array_equal(np.transpose(head.get_data()), mark)
    assert list(seen.lists[-1].items()) == list(race_table(axes).items())


def test_the_table_gives_f_until_arrival_then_the_steps_and_the_verdict_at_the_end(bowl):
    seen = recorded(bowl.animate(frames=999))
    for run in bowl.runs:
        (arrived,), (verdict,) = run.arrived, run.verdicts
        for k, lines in enumerate(seen.lists):
            _, outcome = lines[run.name]
            if arrived is not None and k >= arrived:
                assert outcome == f"goal in {arrived} steps"
            elif k == STEPS:
                assert outcome == verdict
            else:
                name, value = outcome.replace("−", "-").split(" = ")
                assert name == "f"
                assert float(value) == pytest.approx(run.loss[k, 0], rel=5e-3)
                assert len(outcome) <= 13
    assert {run.verdicts[0] for run in bowl.runs} == {"global minimum", "still moving", "diverged"}
    assert all(list(lines) == list(seen.lists[0]) for lines in seen.lists)


def test_a_film_shows_the_requested_start():
    starts = [(-3.0, 2.0), (2.0, -1.0), (0.001, 0.0)]
    raced = race("bowl", ["SGD", "Adam"], steps=9, lr=0.3, start=starts)
    for start, at in enumerate(starts):
        movie = raced.animate(start=start, frames=2)
        seen = recorded(movie)
        ring, _ = race_paths(movie._fig.axes[0])
        f = raced.runs[1].loss[0, start]
        assert seen.lists[0]["Adam"][1] == f"f = {f:.3g}".replace("-07", "−7")
        assert np.transpose(ring.get_data()).tolist() == [list(at)]
        for i, run in enumerate(raced.runs):
            np.testing.assert_array_equal(seen.paths[-1][i], run.theta[:, start])
            arrived, verdict = run.arrived[start], run.verdicts[start]
            ended = verdict if arrived is None else f"goal in {arrived} steps"
            assert seen.lists[-1][run.name][1] == ended
    assert seen.lists[0]["SGD"][1] == "goal in 0 steps"


@pytest.mark.parametrize(("frames", "fps", "each"), [(6, 20, 50), (2, 10, 100), (3, 1, 1000)])
def test_a_gif_has_frames_size_pace_a_rest_at_the_end_and_loops(frames, fps, each, bowl, tmp_path):
    path = tmp_path / "race.gif"
    movie = bowl.animate(path, frames=frames, fps=fps)
    assert isinstance(movie, animation.FuncAnimation)
    pictures, durations, loop = decoded(path)
    assert path.read_bytes()[:6] == b"GIF89a"
    assert durations == (*[each] * (frames - 1), 4000)
    assert [picture.shape for picture in pictures] == [(448, 800, 3)] * frames
    assert loop == 0


@pytest.mark.parametrize("fps", [30, 60])
def test_a_fast_gif_is_not_slowed_down_by_players(fps, bowl, tmp_path):
    bowl.animate(tmp_path / "race.gif", frames=2, fps=fps)
    durations = decoded(tmp_path / "race.gif")[1]
    # players show what claims a hundredth of a second or less for a tenth
    assert durations[0] == max(20, 10 * round(100 / fps))


def test_each_frame_of_a_gif_is_what_is_drawn_within_its_palette(bowl, tmp_path):
    path = tmp_path / "race.gif"
    bowl.animate(path, frames=4)
    drawn = recorded(bowl.animate(frames=4), pictures=True).images
    shown = decoded(path)[0]
    markers = {run_style.colour for run_style in style.run_styles([run.name for run in bowl.runs])}
    exact = np.array([[255 * c for c in colors.to_rgb(name)] for name in ("white", *markers)])
    for ours, theirs in zip(shown, drawn, strict=True):
        apart = abs(ours - theirs).max(-1)
        assert apart.max() <= 80
        assert (apart <= film.SAME_COLOUR).mean() > 0.995
        assert apart.mean() < 2
        for colour in exact.round():
            places = (theirs == colour).all(-1)
            assert places.sum() > 50
            assert (ours[places] == colour).all()
    for one, other in itertools.pairwise(shown):
        assert (one != other).any()


def test_a_gif_is_small_as_only_changes_are_stored(bowl, tmp_path):
    sizes = []
    for frames in 2, 6:
        bowl.animate(tmp_path / "race.gif", frames=frames)
        sizes.append((tmp_path / "race.gif").stat().st_size)
    assert sizes[1] < 2 * sizes[0] < 200_000


def test_writing_a_film_twice_gives_the_same_file(bowl, tmp_path):
    one, other, third = (tmp_path / f"{name}.gif" for name in ("one", "other", "third"))
    film.save(bowl.animate(one, frames=2), other)
    bowl.animate(third, frames=2)
    assert one.read_bytes() == other.read_bytes() == third.read_bytes()


def test_any_animation_is_written_at_its_own_pace(tmp_path):
    figure, axes = pyplot.subplots(figsize=(2, 1))
    (line,) = axes.plot([0, 1], [0, 1], color=style.COLOURS["green"])
    movie = animation.FuncAnimation(
        figure, lambda k: [line.set_data([0, 1], [0, k])], frames=4, interval=200
    )
    film.save(movie, str(tmp_path / "line.GIF"))
    pictures, durations, _ = decoded(tmp_path / "line.GIF")
    assert durations == (200, 200, 200, 4000)
    assert pictures[0].shape == (80, 160, 3)


def test_a_race_that_diverges_to_nan_is_filmed(tmp_path):
    raced = race("rosenbrock", ["SGD", "Momentum"], steps=200, lr=0.1)
    assert not any(np.isfinite(run.theta[-1]).any() for run in raced.runs)
    raced.animate(tmp_path / "race.gif", frames=4)
    seen = recorded(raced.animate(frames=4))
    assert [set(map(len, paths)) for paths in seen.paths] == [{1}, {39}, {110}, {201}]
    assert seen.lists[-1] == dict.fromkeys(("SGD", "Momentum"), ("0.1", "diverged"))
    assert seen.lists[1]["SGD"][1] in ("f = NaN", "f = ∞")


def test_a_race_of_one_step_has_two_frames(tmp_path):
    race("bowl", "SGD", steps=1).animate(tmp_path / "race.gif")
    assert len(decoded(tmp_path / "race.gif")[0]) == 2


STANDS = {"start": (0, 0), "lr": 0.1, "steps": 20}


@pytest.mark.parametrize(
    ("surface", "optimizers", "options"),
    [
        ("saddle", ["SGD", "Adam"], STANDS),
        ("saddle", list(style.RULE_STYLES), STANDS),
        ("bowl", {"a rule with a long name of its own": "SGD"}, {"steps": 5}),
    ],
    ids=["2 rules", "13 rules", "long label"],
)
def test_the_verdicts_at_the_end_of_a_film_can_be_read(surface, optimizers, options):
    movie = race(surface, optimizers, **options).animate(frames=2)
    recorded(movie)
    assert_texts_fit(movie._fig)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"frames": 1}, ValueError, "animate: frames must be a whole number ≥ 2, got 1"),
        ({"frames": 9.0}, TypeError, "animate: frames must be a whole number ≥ 2"),
        ({"fps": 0}, ValueError, "animate: fps must be a whole number ≥ 1, got 0"),
        ({"fps": "20"}, TypeError, "animate: fps must be a whole number"),
        ({"start": 1}, ValueError, "start must be below 1"),
        ({"path": "race.png"}, ValueError, r"animate: the name must end in \.gif, \.mp4"),
        ({"path": "race"}, ValueError, "got 'race'"),
        ({"path": "no/race.gif"}, FileNotFoundError, "animate: 'no/race.gif' can't be written"),
        ({"path": "folder.gif"}, IsADirectoryError, "it is a folder"),
    ],
)
def test_invalid_arguments_raise_and_nothing_is_written(
    options, error, message, bowl, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(error, match=message):
        bowl.animate(**options)
    gc.collect()  # an animation that was made and not shown would warn
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.gif"]
    assert not pyplot.get_fignums()


@pytest.mark.parametrize("before", ["kept", None])
@pytest.mark.parametrize("last", [0, 2])
def test_a_film_that_fails_leaves_the_file_as_it_was(before, last, tmp_path):
    path = tmp_path / "film.gif"
    if before:
        path.write_text(before)
    figure = pyplot.figure(figsize=(2, 1))

    def draw(k):
        if k == last:
            raise ArithmeticError("lost")
        return []

    movie = animation.FuncAnimation(figure, draw, frames=4, init_func=list)
    with pytest.raises(ArithmeticError, match="lost"):
        film.save(movie, path)
    assert (path.read_text() if path.exists() else None) == before


def test_a_full_disk_raises_with_advice(bowl, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match=r"animate: .* can't be written \(No space left on device\)"):
        bowl.animate(tmp_path / "race.gif", frames=2)


def test_an_mp4_without_ffmpeg_says_what_is_missing(bowl, tmp_path, monkeypatch):
    monkeypatch.setattr(animation.writers, "is_available", lambda name: name != "ffmpeg")
    with pytest.raises(ModuleNotFoundError, match=r"ffmpeg.*a \.gif does not"):
        bowl.animate(tmp_path / "race.mp4", frames=2)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (1, "[mp4] a line\nav_write(): No space left on device", r"No space left.*; free some"),
        (-25, "", r"File too large\); free some"),
        (8, "", r"status 8\)"),
        (8, None, r"status 8\)"),
    ],
)
def test_the_end_of_ffmpeg_is_an_error_with_advice(status, said, message, bowl, tmp_path):
    (tmp_path / "race.mp4").write_text("old")

    class Writer(Recorder):
        def finish(self):
            raise subprocess.CalledProcessError(status, ["ffmpeg"], stderr=said)

    picture = bowl.animate(frames=2)
    with pytest.raises(OSError, match=rf"animate: .* can't be written \(.*{message}"):
        film.save(picture, tmp_path / "race.mp4", Writer(20))
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("race.mp4", "old")]


@pytest.mark.parametrize("fps", [20, 24])
def test_an_mp4_is_written_by_ffmpeg_frame_by_frame(fps, bowl, tmp_path, monkeypatch):
    made = []

    class Writer(Recorder):
        def __init__(self, fps):
            super().__init__(fps)
            made.append(self)

        def finish(self):
            self.outfile.write_text("film")

    monkeypatch.setattr(animation.writers, "is_available", lambda name: name == "ffmpeg")
    monkeypatch.setattr(animation, "FFMpegWriter", Writer)
    bowl.animate(tmp_path / "race.mp4", frames=4, fps=fps)
    (writer,) = made
    assert (tmp_path / "race.mp4").read_text() == "film"
    assert writer.titles == [f"bowl, step {k} of 15" for k in (0, 3, 8, 15)]
    assert writer.frame_size == (800, 448)
    assert writer.fps == pytest.approx(fps, rel=0.001)
