"""The gallery: its functions, the files it writes, and what its stills have in common."""

import functools
import inspect
import re
from pathlib import Path

import matplotlib as mpl
import pytest
from cases import ROOT
from drawn import assert_texts_fit, drawn_texts
from matplotlib import animation, pyplot
from PIL import Image

from minidl.viz import figures, plots, style
from minidl.viz._race.racing import ARTICLE
from minidl.viz.figures import FIGURES, optimizer_race, write


def still():
    """A quick figure."""
    with pyplot.rc_context(style.STYLE):
        figure = plots.new_figure()
    figure.subplots().plot([0, 1])
    return figure


def movie():
    """A quick film of three frames."""
    figure = plots.new_figure(figsize=(2, 1))
    (line,) = figure.subplots().plot([0, 1])
    draw = lambda k: [line.set_ydata([0, k])]  # noqa: E731
    return animation.FuncAnimation(figure, draw, frames=3, interval=100)


@pytest.fixture
def quick(monkeypatch):
    """Replace the gallery by three quick pictures; the names of those that are drawn."""
    drawn = []

    def listed(name, draw):
        return lambda: [draw(), drawn.append(name)][0]

    for name in list(FIGURES):
        monkeypatch.delitem(FIGURES, name)
    for name, draw in (("still.png", still), ("moving.gif", movie), ("other.png", still)):
        monkeypatch.setitem(FIGURES, name, listed(name, draw))
    return drawn


def test_each_file_has_a_name_of_its_own_and_a_kind():
    paths = [Path(name) for name in FIGURES]
    assert len({path.stem for path in paths}) == len(paths) == 12
    assert {path.suffix for path in paths} == {".png", ".gif"}
    assert all(path.name == str(path) == path.name.lower() for path in paths)


def test_what_is_exported_is_there_with_the_functions_of_all_figures():
    functions = {draw.__name__ for draw in FIGURES.values()} - {"<lambda>"}
    assert {"write", *functions} == set(figures.__all__)
    assert all(hasattr(figures, name) for name in figures.__all__)


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_is_a_documented_function_that_needs_no_arguments(name):
    draw = FIGURES[name]
    inspect.signature(draw).bind()
    public = {made for made in vars(figures).values() if inspect.isfunction(made)}
    if draw.__name__ == "<lambda>":
        draw = figures.decision_boundary
    assert draw in public
    assert inspect.getdoc(draw)
    returned = "FuncAnimation" if name.endswith(".gif") else "Figure"
    annotation = str(inspect.signature(draw).return_annotation)
    assert annotation == "Any" or returned in annotation


@pytest.mark.parametrize("name", ["momentum_arrows.png", "landscape.png"])
def test_a_picture_of_the_gallery_is_written(name, tmp_path):
    (path,) = write(tmp_path, [name])
    assert path == tmp_path / name
    with Image.open(path) as picture:
        assert min(picture.size) >= 500
    assert not pyplot.get_fignums()


def test_all_are_written_in_order_into_a_folder_that_is_made(quick, tmp_path):
    folder = tmp_path / "new" / "figures"
    assert [path.name for path in write(str(folder))] == ["still.png", "moving.gif", "other.png"]
    assert quick == ["still.png", "moving.gif", "other.png"]
    with Image.open(folder / "moving.gif") as gif, Image.open(folder / "still.png") as png:
        assert gif.n_frames == 3
        assert gif.format == "GIF"
        assert (png.format, png.size) == ("PNG", (1000, 560))


@pytest.mark.parametrize(
    "names",
    [["other"], ["other.png"], ("moving", "still.png"), ["still", "moving.gif", "other"]],
)
def test_only_the_named_figures_are_drawn_with_or_without_suffixes(names, quick, tmp_path):
    paths = list(write(tmp_path, names))
    assert [path.stem for path in paths] == [name.split(".")[0] for name in names]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert quick == [path.name for path in paths]


@pytest.mark.parametrize("name", ["other", "other.png"])
def test_a_single_name_may_be_given_as_it_is(name, quick, tmp_path):
    assert list(write(tmp_path, name)) == [tmp_path / "other.png"]
    assert quick == ["other.png"]


def test_each_path_is_yielded_as_soon_as_it_is_written(quick, tmp_path):
    written = write(tmp_path)
    assert next(written).stat().st_size > 0
    assert quick == ["still.png"]


def test_drawing_leaves_no_figure_open_but_those_of_the_user(quick, tmp_path):
    mine = pyplot.figure()
    for _ in write(tmp_path):
        assert pyplot.get_fignums() == [mine.number]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["stills"], r"there is no figure 'stills'\. Did you mean 'still'\? There are still"),
        (["still", "xyz"], r"there is no figure 'xyz'\. There are still, moving, other"),
        (["moving.png"], r"there is no figure 'moving\.png'"),
        ([""], "there is no figure ''"),
        ("stills", r"there is no figure 'stills'\. Did you mean 'still'\?"),
        ([3], "there is no figure 3. There are"),
    ],
)
def test_an_unknown_figure_raises_with_the_nearest_name_and_nothing_is_written(
    names, message, quick, tmp_path
):
    with pytest.raises(ValueError, match=message):
        list(write(tmp_path / "figures", names))
    assert list(tmp_path.iterdir()) == []
    assert not quick


def test_a_file_in_place_of_the_folder_raises_before_anything_is_drawn(quick, tmp_path):
    (tmp_path / "figures").write_text("kept")
    with pytest.raises(OSError, match=r"figures: .* can't be created"):
        list(write(tmp_path / "figures"))
    assert (tmp_path / "figures").read_text() == "kept"
    assert not quick


def test_a_folder_in_place_of_a_file_raises(quick, tmp_path):
    (tmp_path / "still.png").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        list(write(tmp_path, ["still"]))
    assert not pyplot.get_fignums()


def titles(film):
    """The title of each frame of a film, without writing a file."""
    found = []

    class Titles(animation.AbstractMovieWriter):
        def setup(self, *given, **options):
            super().setup(*given, **options)

        def grab_frame(self, **options):
            found.append(self.fig.axes[0].get_title())

        def finish(self):
            pass

    film.save("nothing", writer=Titles())
    return found


def test_the_race_of_the_gallery_takes_any_surface_and_optimizers():
    film = optimizer_race(lambda x, y: x**2 + y**2, ["SGD", "Lion"], lr=0.1, steps=7)
    assert titles(film) == [f"your function, step {k} of 7" for k in range(8)]


def test_the_race_of_the_gallery_takes_150_steps_and_the_given_options(monkeypatch):
    calls = []

    class Raced:
        def animate(self, **options):
            return options

    def race(surface, optimizers, **options):
        calls.append((surface, optimizers, options))
        return Raced()

    monkeypatch.setattr(figures.racing, "race", race)
    assert optimizer_race() == {"frames": 76}
    optimizer_race("bowl", ["SGD"], lr=0.1, steps=9)
    optimizer_race(tune=False, budget=3)
    assert calls == [
        ("beale", ARTICLE, {"steps": 150}),
        ("bowl", ["SGD"], {"steps": 9, "lr": 0.1}),
        ("beale", ARTICLE, {"steps": 150, "tune": False, "budget": 3}),
    ]


def test_the_articles_eight_rules_come_first_among_the_styles():
    assert list(ARTICLE) == list(style.RULE_STYLES)[:8]


def test_the_documentation_shows_each_picture_and_all_are_small():
    docs = ROOT / "docs"
    shown = re.findall(r"\]\(gallery/([^)]+)\)", (docs / "gallery.md").read_text("utf-8"))
    assert sorted(shown) == sorted(FIGURES)
    assert sum((docs / "gallery" / file).stat().st_size for file in shown) < 6_000_000


# --- what the stills have in common -------------------------------------------------------------

STILLS = {
    "family_tree": figures.family_tree,
    "learning_rates": figures.learning_rates,
    "landscape": figures.landscape,
    "batch_paths": figures.batch_paths,
    "momentum_arrows": figures.momentum_arrows,
}


@functools.cache
def default(name):
    """A figure with its default options, drawn once for the tests that only inspect it."""
    return STILLS[name]()


@pytest.mark.parametrize("name", STILLS)
def test_no_texts_of_a_still_overlap_or_leave_it(name):
    assert len(assert_texts_fit(default(name))) > 10


@pytest.mark.parametrize("name", STILLS)
def test_texts_are_legible_on_a_slide(name):
    assert min(text.get_fontsize() for text in drawn_texts(default(name))) >= 13


@pytest.mark.parametrize("name", STILLS)
def test_a_picture_is_a_figure_of_its_own_and_leaves_the_style_as_it_was(name):
    before = dict(mpl.rcParams)
    one, other = STILLS[name](), default(name)
    assert one is not other
    assert isinstance(one, mpl.figure.Figure)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", sorted(STILLS.keys() - {"family_tree"}))
def test_all_axes_say_what_they_show(name):
    figure = default(name)
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert figure.axes[0].get_ylabel()


@pytest.mark.parametrize("name", ["Still", "STILL.PNG", "still.png"])
def test_a_figure_is_found_without_regard_to_case(name, quick, tmp_path):
    assert list(write(tmp_path, name)) == [tmp_path / "still.png"]


@pytest.mark.parametrize("name", ["family tree", "Family-Tree", "family_tree.png"])
def test_spaces_and_hyphens_stand_for_underscores(name):
    assert figures._stem(name) == "family_tree"
