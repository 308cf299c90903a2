"""The walkthrough told: steps in their order, words, and the text and Markdown that show them."""

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from cases import lesson

import minidl as dl
from minidl import losses, nn, optim
from minidl._format import number, plain


def told(rule=optim.Adam, steps=1):
    """A 2-2-1 network on two samples, walked for some steps."""
    walk, _ = lesson(optimizer=rule, steps=steps)
    return walk


@pytest.fixture(scope="module")
def walk():
    return told()


@pytest.fixture(scope="module")
def steps(walk):
    return walk.story.steps


def branched():
    """A graph whose values are used several times, by ops made in between others."""
    w = dl.Tensor(np.array([0.5, -1.5]), requires_grad=True)
    with dl.trace() as walk:
        a = dl.tanh(w)
        b = a * w
        c = b + a
        d = dl.exp(a) * c
        (d * b).sum().backward()
    return walk


def of_phase(steps, phase):
    return [step for step in steps if step.phase == phase]


# --- the order ----------------------------------------------------------------------------------


def test_the_story_goes_forward_back_to_the_updates_and_ends_in_a_summary(steps):
    assert [phase for phase, _ in itertools.groupby(step.phase for step in steps)] == [
        *("forward", "backward", "update", "summary")
    ]
    assert [step.title for step in steps] == [
        *("dense1", "tanh1", "dense2", "loss"),
        *("loss", "dense2", "tanh1", "dense1", "The check"),
        *("dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"),
        "Summary",
    ]


def test_several_steps_in_a_block_are_told_in_turn():
    phases = [step.phase for step in told(optim.SGD, steps=2).story.steps]
    turn = [*["forward"] * 4, *["backward"] * 5, *["update"] * 4]
    assert phases == [*turn, *turn, "summary"]


@pytest.mark.parametrize("make", [told, branched])
def test_forward_goes_in_the_order_of_execution_and_backward_in_reverse(make):
    walk = make()
    steps = walk.story.steps
    made = [op.value.name for op in walk.ops]
    assert [step.title for step in of_phase(steps, "forward")] == made
    back = [step.title for step in of_phase(steps, "backward") if step.key]
    assert back == made[::-1]


@pytest.mark.parametrize("make", [told, branched])
def test_backward_takes_each_node_after_all_its_users_and_names_them(make):
    walk = make()
    told = set()
    for step in of_phase(walk.story.steps, "backward"):
        value = next((v for v in walk.values if v.key == step.key), None)
        if value:
            users = {op.value.name for op, _ in value.users}
            assert users <= told
            assert all(name in step.words for name in users)
            told.add(value.name)


def test_backward_begins_with_one(steps):
    first, *others = of_phase(steps, "backward")
    assert "Backward begins here: g = 1" in first.words
    assert not any("begins here" in step.words for step in others)
    assert first.parts[0].result.data == 1


def test_what_is_not_computed_is_said_and_why(steps):
    words = {step.title: step.words for step in of_phase(steps, "backward")}
    assert "∂t is not computed" in words["loss"]
    assert "∂x is not computed" in words["dense1"]
    assert "computed" not in words["dense2"]


# --- the steps ----------------------------------------------------------------------------------


def test_a_forward_step_names_what_was_taken_and_the_options(steps):
    words = [step.words for step in of_phase(steps, "forward")]
    assert "dense of x, dense1.weight and dense1.bias" in words[0]
    assert "tanh of dense1" in words[1]
    assert "mse of dense2 and y; reduction = mean" in words[3]


def test_broadcasting_is_made_visible_and_undone_by_a_sum():
    a, b = (dl.Tensor(np.ones(s), requires_grad=True) for s in [(2, 1, 3), (4, 1)])
    with dl.trace() as walk:
        (a * b).sum().backward()
    steps = walk.story.steps
    words = steps[0].parts[0].words
    assert "a (2, 1, 3) is repeated along axis 1 to (2, 4, 3)" in words
    assert "b (4, 1) is repeated along axes 0, 2 to (2, 4, 3)" in words
    summed = {part.heading: part for part in steps[3].parts if "summed" in part.heading}
    assert {part.result.data.shape for part in summed.values()} == {(2, 1, 3), (4, 1)}
    assert plain(summed["∂a, summed"].worked((1, 0, 2))) == "∂a[1, 0, 2] = 1 + 1 + 1 + 1 = 4"
    assert plain(summed["∂b, summed"].worked((3, 0))) == "∂b[3, 0] = 1 + 1 + 1 + 1 + 1 + 1 = 6"


def test_an_axis_that_has_its_length_already_is_not_repeated():
    a, b = (dl.Tensor(np.ones(s), requires_grad=True) for s in [(1, 3), (1, 1)])
    with dl.trace() as walk:
        (a * b).sum().backward()
    assert walk.story.steps[0].parts[0].words == "b (1, 1) is repeated along axis 1 to (1, 3)."


def test_a_local_derivative_stands_before_the_product(steps):
    tanh = next(step for step in of_phase(steps, "backward") if step.title == "tanh1")
    upstream, local, product = tanh.parts
    assert local.equation.text == "∂y/∂x = 1 − y²"
    assert product.equation.text == "∂x = g (1 − y²)"
    np.testing.assert_allclose(
        upstream.result.data * local.result.data, product.result.data, rtol=1e-6
    )


def test_no_local_derivative_is_claimed_where_an_entry_depends_on_several():
    w = dl.Tensor([[1.0, 2.0]], requires_grad=True)
    with dl.trace() as walk:
        (dl.softmax(w) @ np.ones((2, 2), np.float32)).backward([[1.0, 2.0]])
    headings = [part.heading for step in walk.story.steps for part in step.parts]
    assert not any("local" in heading for heading in headings)


def test_what_was_used_several_times_adds_up_where_its_turn_comes():
    walk = branched()
    parts = {p.heading: p for s in of_phase(walk.story.steps, "backward") for p in s.parts}
    added = {heading: part for heading, part in parts.items() if "adds up" in heading}
    assert [heading.partition(":")[0] for heading in added] == [
        *("b was used 2 times", "a was used 3 times", "w was used 2 times")
    ]
    for part in added.values():
        total = np.sum([o.data for o in part.operands], axis=0)
        np.testing.assert_allclose(total, part.result.data)
        line = plain(part.worked((1,)))
        assert line.endswith(f" = {number(part.result.data[1]).shown}")
        assert all(number(o.data[1]).shown in line for o in part.operands)


def test_the_check_lists_every_entry_beside_its_central_difference(walk, steps):
    check = next(step for step in steps if step.title == "The check")
    head, rows = check.table
    assert head == ["entry", "backward", "central difference", "relative difference"]
    assert len(rows) == sum(leaf.gradient.size for leaf in walk.backwards[0].leaves) == 9
    assert rows[0][0] == "dense2.weight[0, 0]"
    for entry, backward, difference, _ in rows:
        expected = pytest.approx(float(difference.exact), rel=1e-5, abs=1e-6)
        assert float(backward.exact) == expected, entry


def test_an_update_names_the_rule_the_rate_and_only_the_options_that_matter(steps):
    step = of_phase(steps, "update")[0]
    assert step.words == (
        "Adam, update t = 1 of dense1.weight: η = 0.1, β₁ = 0.9, β₂ = 0.999, ε = 1e−8."
    )
    assert [part.equation.text for part in step.parts] == [
        "m ← β₁m + (1 − β₁)g",
        "v ← β₂v + (1 − β₂)g²",
        "m̂ = m / (1 − β₁ᵗ)",
        "v̂ = v / (1 − β₂ᵗ)",
        "θ ← θ − η m̂ / (√v̂ + ε)",
    ]


def test_the_summary_tells_the_loss_before_and_after_and_the_gradients_as_bars(walk, steps):
    summary = steps[-1]
    before, after = walk.loss()
    assert f"The loss was {number(before).shown}, and is {number(after).shown}" in summary.words
    assert "4 ops ran." in summary.words
    assert [name for name, _, _ in summary.bars] == [
        *("dense2.weight", "dense2.bias", "dense1.weight", "dense1.bias")
    ]
    shares = [share for _, _, share in summary.bars]
    sizes = [float(size.exact) for _, size, _ in summary.bars]
    assert max(shares) == 1
    np.testing.assert_allclose(shares, np.divide(sizes, max(sizes)))


@pytest.mark.parametrize("worst", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_has_a_bar_too(worst):
    v, w = (dl.Tensor([1.0], requires_grad=True, name=name) for name in "vw")
    with dl.trace() as walk:
        (v * worst + w).sum().backward()
    bars = {name: share for name, _, share in walk.story.steps[-1].bars}
    assert bars == {"v": 1.0, "w": 1.0}
    assert number(worst).shown in str(walk)


# --- as text ------------------------------------------------------------------------------------


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
                assert operand.letter in numbered[n]
                for x in operand.data.flat:
                    assert number(x).shown in numbered[n]
            for at in np.ndindex(part.result.data.shape):
                assert part.worked is None or plain(part.worked(at)) in numbered[n]


@pytest.mark.parametrize(
    "rule", [optim.SGD, optim.Adam, optim.RAdam, optim.Nadam, optim.RMSprop, optim.FTRL]
)
def test_no_line_of_the_small_lesson_is_longer_than_100_characters(rule):
    lines = str(told(rule)).splitlines()
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
    assert str(told()) == str(walk) == str(walk)


def shown_width(line):
    """Columns on a terminal: an accent stands above the letter before it."""
    return len(line.replace("\u0302", "").replace("\u0304", ""))


def test_the_matrices_of_a_row_stand_in_columns(walk):
    for above, below in itertools.pairwise(str(walk).splitlines()):
        if "⎡" in above and "⎣" in below:
            assert [m.start() for m in re.finditer("[⎡⎤]", above)] == [
                m.start() for m in re.finditer("[⎣⎦]", below)
            ]


def test_the_title_of_a_matrix_stands_above_it_even_with_an_accent(walk):
    lines = str(walk).splitlines()
    found = 0
    for title, above in itertools.pairwise(lines):
        if "m̂ (2, 2)" in title and "⎡" in above:
            starts = [m.start() for m in re.finditer("⎡", above)]
            titles = [m.start() for m in re.finditer(r"\S+( \S+)*? \(2, 2\)", title)]
            assert starts == [shown_width(title[:i]) for i in titles]
            found += 1
    assert found


def test_a_large_array_is_summarised_by_its_shape_extremes_mean_and_a_corner():
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


def test_a_large_array_is_worked_out_for_one_entry_and_any_other_can_be_asked_for():
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
def test_arrays_of_any_shape_are_drawn_in_lines_of_one_column(shape):
    x = dl.Tensor(np.full(shape, -1.5), requires_grad=True)
    with dl.trace() as walk:
        (x * 2.0).sum().backward()
    text = sections(str(walk))[1]
    assert "−1.5" in text
    assert "−3" in text
    if shape:
        assert str(shape) in text
    assert max(map(len, text.splitlines())) <= 100


# --- as Markdown, and to be read ----------------------------------------------------------------


def test_markdown_holds_what_the_text_holds(walk, tmp_path):
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
    assert len([line for line in outside if line.startswith("### ")]) == len(walk.story.steps)
    assert len([line for line in outside if line.startswith("# ")]) == 1
    for text in ("\n".join(outside), html, svg):
        assert "<script>alert" not in text
    assert ET.fromstring(svg).tag.endswith("svg")


def test_a_gradient_that_becomes_infinite_is_marked_in_the_graph():
    w = dl.Tensor([0.0, 1.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        dl.sqrt(w).sum().backward()
    assert ">⚠ sqrt<" in walk.story.graph()
    assert ">⚠ w<" not in walk.story.graph()


def test_a_remark_on_an_input_stands_at_the_step_that_takes_it():
    layer = nn.Dense(1, 1, rng=0)
    with dl.trace() as walk:
        layer(np.array([[50.0]])).sum().backward()
    assert [note.title for note in walk.story.steps[0].notes] == ["Inputs that need scaling"]


def test_a_gradient_of_zeros_is_nothing_to_add_to():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    w.grad = np.zeros(2, np.float32)
    with dl.trace() as walk:
        (w * w).sum().backward()
    assert not any("had a gradient" in part.heading for s in walk.story.steps for part in s.parts)
