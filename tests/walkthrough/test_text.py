"""The text, the Markdown, and the answers of explain."""

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from cases import each_case, each_form_of_a_rule, normal, op_walkthrough, small_walkthrough, updates

import minidl as dl
from minidl import losses, nn, optim
from minidl._format import number, plain
from minidl.schedulers import CosineDecay


@each_case
def test_every_entry_of_every_value_can_be_explained(name, arrays, options):
    walk, _, _ = op_walkthrough(name, arrays, options, np.float32)
    for value in walk.values:
        for at in np.ndindex(value.data.shape):
            text = walk.explain(value.name, at)
            assert number(value.data[at]).shown in text


@each_form_of_a_rule
def test_the_text_of_an_update_names_the_rate_and_every_number_before_and_after(rule, options):
    schedule = CosineDecay(0.05, 9)
    for t, (walk, update, _, _) in enumerate(updates(rule, {**options, "lr": schedule}), 1):
        text = " ".join(walk.explain("w", (2, 1)).split())
        shown = [schedule(t - 1), update.before[2, 1], update.after[2, 1], update.gradient[2, 1]]
        shown += [a[2, 1] for a in update.state_after.values() if np.shape(a) == (3, 2)]
        for x in shown:
            assert number(x).shown in text
        rate = f"{number(schedule(t - 1)).shown} by {type(schedule).__name__} at t = {t - 1}"
        assert f"{rule}, update t = {t} of w: η = {rate}" in text


@pytest.mark.parametrize("lines", ["", "θ ← θ − ηq", "half of it, see the paper"])
def test_a_rule_whose_equations_cannot_be_evaluated_is_shown_by_its_numbers(lines):
    class Half(optim.Optimizer):
        """Halve."""

        equations = lines

        def update(self, group, lr, t, w, g):
            for x in w:
                x *= 0.5

    w = dl.Tensor([4.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * 1).sum().backward()
        Half([w]).step()
    assert "before 4, after 2" in walk.explain("w", 0)
    assert "Half, update t = 1 of w" in str(walk)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_empty_arrays_are_shown(shape):
    w = dl.Tensor(np.zeros(shape), requires_grad=True)
    with dl.trace() as walk:
        dl.relu(w * 2.0).sum().backward()
    assert str(shape) in str(walk)
    assert walk.backwards[0].leaves[0].gradient.shape == shape


def test_a_schedule_with_state_is_shown_as_it_was():
    w = dl.Tensor([1.0], requires_grad=True)
    schedule = dl.schedulers.ReduceOnPlateau(0.1, patience=0)
    with dl.trace() as walk:
        (w * w).sum().backward()
        optim.SGD([w], lr=schedule).step()
    before = str(walk)
    for _ in range(5):
        schedule.observe(1.0)
    assert schedule(9) < 0.1
    assert str(walk) == before


def test_a_long_walkthrough_is_abbreviated_and_says_so(long_walk):
    text = str(long_walk)
    assert len(long_walk.ops) == 10_001
    assert re.match(r"9,9\d\d of 10,001 ops in the middle are omitted", text)
    assert len(text) < 200_000
    assert text.count("\n") < 4000
    assert len(long_walk.steps) < 120


def test_any_entry_of_a_long_walkthrough_can_be_explained(long_walk):
    middle = long_walk.ops[5001].value
    text = long_walk.explain(middle.name, 1)
    assert number(middle.data[1]).shown in text
    assert "backward through" in text
    assert "before 0.5, after " in long_walk.explain("w", 0)


def test_explain_checks_any_entry_and_shows_all_its_terms():
    layer, x = nn.Dense(30, 20, rng=0), normal(40, 30)
    with dl.trace() as walk:
        layer(x).sum().backward()
    text = walk.explain("weight", (7, 3))
    assert "check: backward" in text
    assert "more)" not in text
    assert text.count(" · 1") == 40


def sections(text):
    """The text of each step, by its number."""
    parts = re.split(r"^(\d+)\. ", text, flags=re.MULTILINE)
    return {int(n): body for n, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_the_steps_are_numbered_under_the_headings_of_their_phases(walk, steps):
    text = str(walk)
    numbered = sections(text)
    assert [*numbered] == [*range(1, len(steps))]
    for step, body in zip(steps, numbered.values(), strict=False):
        assert body.startswith(f"{step.title}\n")
    headings = [line.split(":")[0] for line in text.splitlines() if re.match("[A-Z]{6}", line)]
    assert headings == ["FORWARD", "BACKWARD", "UPDATE", "SUMMARY"]


def test_the_text_of_a_step_holds_its_formulas_its_names_and_its_numbers(walk, steps):
    numbered = sections(str(walk))
    for n, step in enumerate(steps[:-1], 1):
        for part in step.parts:
            assert part.heading in numbered[n]
            assert part.equation is None or part.equation.text in numbered[n]
            for operand in (*part.operands, part.result):
                assert operand.symbol in numbered[n]
                for x in operand.data.flat:
                    assert number(x).shown in numbered[n]
            for at in np.ndindex(part.result.data.shape):
                assert part.worked is None or plain(part.worked(at)) in numbered[n]


@pytest.mark.parametrize(
    "rule", [optim.SGD, optim.Adam, optim.RAdam, optim.Nadam, optim.RMSprop, optim.FTRL]
)
def test_no_line_of_the_small_lesson_is_longer_than_100_characters(rule):
    lines = str(small_walkthrough(rule)).splitlines()
    assert max(map(len, lines)) <= 100
    assert not any(line.endswith(" ") for line in lines)


def test_no_line_is_longer_however_many_terms_there_are():
    model, rng = nn.MLP([100, 50, 10], rng=0), np.random.default_rng(0)
    x, labels = rng.normal(size=(64, 100)), rng.integers(0, 10, 64)
    with dl.trace() as walk:
        losses.cross_entropy(model(x), labels).backward()
        optim.Adam(model).step()
    assert max(map(len, str(walk).splitlines())) <= 100


def test_the_text_is_the_same_each_time(walk):
    assert str(small_walkthrough()) == str(walk) == str(walk)


def shown_width(line):
    """Columns in a terminal: a combining accent takes none."""
    return len(line.replace("\u0302", "").replace("\u0304", ""))


def test_the_matrices_of_a_row_are_aligned(walk):
    for above, below in itertools.pairwise(str(walk).splitlines()):
        if "⎡" in above and "⎣" in below:
            assert [m.start() for m in re.finditer("[⎡⎤]", above)] == [
                m.start() for m in re.finditer("[⎣⎦]", below)
            ]


def test_the_title_of_a_matrix_is_aligned_with_it_even_with_an_accent(walk):
    lines = str(walk).splitlines()
    found = 0
    for title, above in itertools.pairwise(lines):
        if "m̂ (2, 2)" in title and "⎡" in above:
            starts = [m.start() for m in re.finditer("⎡", above)]
            titles = [m.start() for m in re.finditer(r"\S+( \S+)*? \(2, 2\)", title)]
            assert starts == [shown_width(title[:i]) for i in titles]
            found += 1
    assert found


def test_a_large_array_is_summarized_by_its_shape_extremes_mean_and_a_corner():
    x = dl.Tensor(np.arange(2000.0).reshape(40, 50), requires_grad=True)
    with dl.trace() as walk:
        (x * 2.0).sum().backward()
    text = sections(str(walk))[1]
    assert "(40, 50)" in text
    assert "min 0, mean 999.5, max 1999" in text
    assert "min 0, mean 1999, max 3998" in text
    assert "…" in text
    assert re.search(r"⎡ +0 +1 +2 ", text)
    assert "1999 " not in text.replace("mean 1999,", "").replace("max 1999", "")
    assert len(text.splitlines()) < 40


def test_a_large_array_is_worked_out_for_one_entry_and_any_other_can_be_explained():
    x = dl.Tensor(np.arange(2000.0).reshape(40, 50), requires_grad=True)
    with dl.trace() as walk:
        (x * 2.0).sum().backward()
    assert sections(str(walk))[1].count("y[") == 1
    assert "y[39, 49] = 1999 · 2 = 3998" in walk.explain("multiply", (39, 49))


@pytest.mark.parametrize(("shape", "lines"), [((4,), 4), ((2, 2), 4), ((5,), 1), ((2, 3), 1)])
def test_small_arrays_are_worked_out_entry_by_entry(shape, lines):
    x = dl.Tensor(np.ones(shape), requires_grad=True)
    with dl.trace() as walk:
        (x * 2.0).sum().backward()
    assert sections(str(walk))[1].count("y[") == lines


@pytest.mark.parametrize("shape", [(), (3,), (1, 1), (7, 2), (2, 7), (100,), (2, 2, 2), (3, 4, 5)])
def test_arrays_of_any_shape_fit_into_the_width(shape):
    x = dl.Tensor(np.full(shape, -1.5), requires_grad=True)
    with dl.trace() as walk:
        (x * 2.0).sum().backward()
    text = sections(str(walk))[1]
    assert "−1.5" in text
    assert "−3" in text
    if shape:
        assert str(shape) in text
    assert max(map(len, text.splitlines())) <= 100


def test_markdown_contains_what_the_text_contains(walk, tmp_path):
    walk.save(tmp_path / "walk.md")
    markdown = (tmp_path / "walk.md").read_text(encoding="utf-8")
    said = {line.strip() for line in markdown.splitlines()}
    for line in str(walk).splitlines():
        line = line.strip()
        if line and not re.match(r"\d+\. |═|[A-Z]{6}", line):
            assert line in said
    for n, title in re.findall(r"^(\d+)\. (.+)$", str(walk), flags=re.MULTILINE):
        assert f"### {n}. {title}" in markdown
    assert markdown.count("```") % 2 == 0
    assert [line for line in markdown.splitlines() if line.startswith("## ")] != []


def outside_of_fences(markdown):
    """The lines of Markdown that are not in a block of code."""
    fence = ""
    for line in markdown.splitlines():
        ticks = re.match("`{3,}", line)
        if not fence and not ticks:
            yield line
        elif not fence:
            fence = ticks[0]
        elif ticks and line.strip() == ticks[0] and len(ticks[0]) >= len(fence):
            fence = ""


NAMES = ["<script>alert(1)</script>", "a\nb", "```", "``` ```\n```", "# title", "x|y", "&amp;", "∂"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_text_wherever_it_is_shown(name, tmp_path):
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name=name)
    with dl.trace() as walk:
        (w * w).sum().backward()
        optim.SGD([w], lr=0.1).step()
    assert name.splitlines()[0] in str(walk)
    for kind in ("md", "html", "svg"):
        walk.save(tmp_path / f"walk.{kind}")
    markdown, html, svg = (
        (tmp_path / f"walk.{kind}").read_text(encoding="utf-8") for kind in ("md", "html", "svg")
    )
    outside = [*outside_of_fences(markdown)]
    assert len([line for line in outside if line.startswith("### ")]) == len(walk.steps)
    assert len([line for line in outside if line.startswith("# ")]) == 1
    for text in ("\n".join(outside), html, svg):
        assert "<script>alert" not in text
    assert ET.fromstring(svg).tag.endswith("svg")
