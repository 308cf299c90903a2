"""The parts of a step: worked lines that can be recomputed, broadcasting, sums."""

import numpy as np
import pytest
from cases import (
    assert_close,
    branched_walkthrough,
    each_case,
    each_form_of_a_rule,
    evaluate_line,
    of_phase,
    op_walkthrough,
    parts_of,
    updates,
)

import minidl as dl
from minidl._format import number, plain


@each_case
def test_each_entry_has_a_worked_line_that_can_be_recomputed(name, arrays, options):
    walk, op, op_gradient = op_walkthrough(name, arrays, options)
    worked = 0
    for part in parts_of(walk):
        if part.worked:
            data = part.result.data
            for at in np.ndindex(data.shape):
                line = part.worked(at)
                assert line[-1].exact == number(data[at]).exact
                assert_positions(line, part)
                if part.equation:
                    assert_close(recomputed(line), data[at], 1e-9)
                worked += 1
    assert worked >= op.value.data.size + op_gradient.g.size


def assert_positions(line, part):
    """The numbers of a worked line are the entries at their positions."""
    operands = {operand.symbol: operand.data for operand in part.operands}
    for token in line:
        if not isinstance(token, str) and token.symbol:
            assert str(operands[token.symbol].flat[token.position]) == token.exact


def recomputed(line):
    """The value of a worked line between its start, "y[0] = ", and its end, " = 3"."""
    _, *line, last = line
    return evaluate_line([*line[:-1], line[-1].removesuffix(" = ")] if line else [last])


def test_a_worked_line_that_is_a_single_number_shows_it_once():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w + 3.0).sum().backward()
    assert "∂L/∂a[1] = 1\n" in walk.explain("w", 1)


def test_an_op_that_moves_entries_shows_where_each_came_from():
    x = dl.Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    with dl.trace() as walk:
        x[[0, 0, 2], [1, 1, 0]].backward([10.0, 20.0, 30.0])
    forward, backward, *_ = walk.steps
    assert plain(forward.parts[0].worked((1,))) == "y[1] = x[0, 1] = 2"
    assert plain(backward.parts[-1].worked((0, 1))) == "∂L/∂x[0, 1] = g[0] + g[1] = 30"
    assert plain(backward.parts[-1].worked((1, 1))) == "∂L/∂x[1, 1] = 0"


@pytest.mark.parametrize("name", ["concatenate", "stack"])
def test_an_op_that_joins_arrays_shows_which_of_them_an_entry_came_from(name):
    a, b = (dl.Tensor([i, i + 1.0], requires_grad=True) for i in (1, 5))
    with dl.trace() as walk:
        getattr(dl, name)([a, b]).sum().backward()
    joined, *_ = walk.steps
    at = (3,) if name == "concatenate" else (1, 1)
    assert plain(joined.parts[0].worked(at)).endswith(" = x₂[1] = 6")


@each_form_of_a_rule
def test_each_line_of_a_rule_can_be_recomputed_for_each_weight(rule, options):
    for walk, update, _, _ in updates(rule, {**options, "weight_decay": 0.1}, steps=7):
        parts = [p for s in walk.steps if s.phase == "update" for p in s.parts]
        assert [part.equation.symbol for part in parts] == [line[0].symbol for line in update.lines]
        for part in parts:
            data = part.result.data
            for at in np.ndindex(data.shape):
                line = part.worked(at)
                assert line[0].startswith(part.equation.symbol)
                assert_positions(line, part)
                assert line[-1].exact == number(data[at]).exact
                assert_close(recomputed(line), data[at], 1e-11)


def test_worked_lines_show_as_many_digits_as_their_result_needs():
    x = dl.Tensor([-4.2, 0.3], requires_grad=True, name="x")
    with dl.trace() as walk:
        dl.tanh(x).sum().backward()
    assert "1 − (−0.99955)² = 0.000899" in walk.explain("x", 0)
    assert "1 − 0.2913² = 0.9151" in walk.explain("x", 1)


def test_broadcasting_is_shown_and_undone_by_a_sum():
    a, b = (dl.Tensor(np.ones(s), requires_grad=True) for s in [(2, 1, 3), (4, 1)])
    with dl.trace() as walk:
        (a * b).sum().backward()
    steps = walk.steps
    caption = steps[0].parts[0].caption
    assert "a (2, 1, 3) is broadcast along axis 1 to (2, 4, 3)" in caption
    assert "b (4, 1) is broadcast along axes 0, 2 to (2, 4, 3)" in caption
    summed = {part.heading: part for part in steps[3].parts if "summed" in part.heading}
    assert {part.result.data.shape for part in summed.values()} == {(2, 1, 3), (4, 1)}
    assert plain(summed["∂L/∂a, summed"].worked((1, 0, 2))) == "∂L/∂a[1, 0, 2] = 1 + 1 + 1 + 1 = 4"
    assert (
        plain(summed["∂L/∂b, summed"].worked((3, 0))) == "∂L/∂b[3, 0] = 1 + 1 + 1 + 1 + 1 + 1 = 6"
    )


def test_an_axis_that_already_has_its_length_is_not_broadcast():
    a, b = (dl.Tensor(np.ones(s), requires_grad=True) for s in [(1, 3), (1, 1)])
    with dl.trace() as walk:
        (a * b).sum().backward()
    assert walk.steps[0].parts[0].caption == "b (1, 1) is broadcast along axis 1 to (1, 3)."


def test_the_local_derivative_is_shown_before_the_product(steps):
    tanh = next(step for step in of_phase(steps, "backward") if step.title == "tanh1")
    upstream, local, input_grad = tanh.parts
    assert upstream.equation.text == "g = ∂L/∂y"
    assert local.equation.text == "∂y/∂x = 1 − y²"
    assert input_grad.caption == "By the chain rule, ∂L/∂x = g · ∂y/∂x."
    assert input_grad.equation.text == "∂L/∂x = g (1 − y²)"
    np.testing.assert_allclose(
        upstream.result.data * local.result.data, input_grad.result.data, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "seed", "equations"),
    [
        (lambda p: dl.losses.mse(p, [0.0]), None, ["g = ∂L/∂L", "∂L/∂p = 2 g (p − t) / n"]),
        (lambda p: dl.losses.mse(p, [0.0]) + p.sum(), None, ["g = ∂J/∂L", "∂L/∂p", "∂J/∂p"]),
        (lambda p: dl.losses.mse(p, [0.0]), 3.0, ["g = ∂J/∂L", "∂L/∂p", "∂J/∂p"]),
    ],
)
def test_a_loss_called_l_that_backward_does_not_start_from_is_told_from_the_root(
    make, seed, equations
):
    with dl.trace() as walk:
        make(dl.Tensor([2.0], requires_grad=True)).backward(seed)
    (step,) = (s for s in of_phase(walk.steps, "backward") if s.title.startswith("mse"))
    lines = [part.equation.text for part in step.parts if part.equation]
    for line, start in zip(lines, equations, strict=True):
        assert line.startswith(start)


def test_there_is_no_local_derivative_if_an_entry_depends_on_several():
    w = dl.Tensor([[1.0, 2.0]], requires_grad=True)
    with dl.trace() as walk:
        (dl.softmax(w) @ np.ones((2, 2), np.float32)).backward([[1.0, 2.0]])
    headings = [part.heading for step in walk.steps for part in step.parts]
    assert not any("local" in heading for heading in headings)


def test_the_gradients_of_several_uses_are_summed_before_they_are_used():
    walk = branched_walkthrough()
    parts = {p.heading: p for s in of_phase(walk.steps, "backward") for p in s.parts}
    added = {heading: part for heading, part in parts.items() if "are summed" in heading}
    assert [heading.partition(":")[0] for heading in added] == [
        *("b is used 2 times", "a is used 3 times", "w is used 2 times")
    ]
    for part in added.values():
        total = np.sum([o.data for o in part.operands], axis=0)
        np.testing.assert_allclose(total, part.result.data)
        line = plain(part.worked((1,)))
        assert line.endswith(f" = {number(part.result.data[1]).shown}")
        assert all(number(o.data[1]).shown in line for o in part.operands)


def test_a_gradient_of_zeros_is_not_accumulated():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    w.grad = np.zeros(2, np.float32)
    with dl.trace() as walk:
        (w * w).sum().backward()
    assert not any("already had a gradient" in part.heading for s in walk.steps for part in s.parts)
