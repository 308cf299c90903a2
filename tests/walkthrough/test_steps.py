"""The steps: their order, their captions, and the numbers in them."""

import itertools

import numpy as np
import pytest
from cases import (
    branched_walkthrough,
    each_case,
    normal,
    of_phase,
    op_walkthrough,
    small_walkthrough,
)

import minidl as dl
from minidl import losses, nn, optim
from minidl._format import number


@each_case
def test_the_numbers_of_the_steps_are_those_of_the_record(name, arrays, options):
    walk, op, op_gradient = op_walkthrough(name, arrays, options)
    forward, backward, *_ = walk.steps
    *softmax, part = forward.parts
    assert bool(softmax) is (name == "cross_entropy")
    assert part.result.data is op.value.data
    results = [p.result.data for p in backward.parts]
    np.testing.assert_array_equal(results[0], op_gradient.g)
    for i, input_grad in enumerate(op_gradient.input_grads):
        assert any(r.shape == input_grad.shape and np.array_equal(r, input_grad) for r in results)
        summed = op_gradient.summed(i)
        assert any(r.shape == summed.shape and np.array_equal(r, summed) for r in results)


def test_of_a_deep_network_the_first_and_last_ops_and_updates_are_shown():
    model = nn.MLP([4] * 102, "tanh", rng=0)
    with dl.trace() as walk:
        model(normal(3, 4)).sum().backward()
        optim.Adam(model).step()
    assert "152 of 202 ops and 152 of 202 updates in the middle are omitted" in str(walk)
    assert len(walk.steps) == 50 + 50 + 1 + 50 + 1
    (check,) = (step for step in walk.steps if step.table)
    named = [row[0].partition(".")[0] for row in check.table[1]]
    assert (named[0], named[-1]) == ("dense101", "dense1")
    assert len(named) == 100
    assert "before" in walk.explain("dense50.weight", (1, 1))


def test_of_a_long_loop_only_the_shown_passes_are_checked():
    model = nn.MLP([2, 3, 1], rng=0)
    rule = optim.SGD(model, lr=0.01)
    with dl.trace() as walk:
        for _ in range(40):
            rule.zero_grad()
            losses.mse(model(normal(4, 2)), normal(4, 1)).backward()
            rule.step()
    checks = [step for step in walk.steps if step.table]
    assert len(checks) == 14  # of the first 25 ops and the last 25, four a step


def test_the_steps_are_forward_backward_update_and_a_summary(steps):
    assert [phase for phase, _ in itertools.groupby(step.phase for step in steps)] == [
        *("forward", "backward", "update", "summary")
    ]
    assert [step.title for step in steps] == [
        *("dense1", "tanh1", "dense2", "loss"),
        *("loss", "dense2", "tanh1", "dense1", "Gradient check"),
        *("dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"),
        "Summary",
    ]


def test_several_steps_in_a_block_are_shown_in_order():
    phases = [step.phase for step in small_walkthrough(optim.SGD, steps=2).steps]
    turn = [*["forward"] * 4, *["backward"] * 5, *["update"] * 4]
    assert phases == [*turn, *turn, "summary"]


@pytest.mark.parametrize("make", [small_walkthrough, branched_walkthrough])
def test_forward_goes_in_the_order_of_execution_and_backward_in_reverse(make):
    walk = make()
    steps = walk.steps
    results = [op.value.name for op in walk.ops]
    assert [step.title for step in of_phase(steps, "forward")] == results
    back = [step.title for step in of_phase(steps, "backward") if step.key]
    assert back == results[::-1]


@pytest.mark.parametrize("make", [small_walkthrough, branched_walkthrough])
def test_backward_takes_each_node_after_all_its_users_and_names_them(make):
    walk = make()
    shown = set()
    for step in of_phase(walk.steps, "backward"):
        value = next((v for v in walk.values if v.key == step.key), None)
        if value:
            users = {op.value.name for op, _ in value.users}
            assert users <= shown
            assert all(name in step.caption for name in users)
            shown.add(value.name)


def test_backward_starts_with_one(steps):
    first, *others = of_phase(steps, "backward")
    assert "Backward starts here: L is loss, and g = 1" in first.caption
    assert not any("starts here" in step.caption for step in others)
    assert first.parts[0].result.data == 1


@pytest.mark.parametrize("gradient", [2.0, [1.0, 1.0]])
def test_backward_starts_with_the_gradient_passed_to_it(gradient):
    x = dl.Tensor(gradient, requires_grad=True)
    with dl.trace() as walk:
        (x * x).backward(gradient)
    first = of_phase(walk.steps, "backward")[0]
    assert first.caption == (
        "Backward starts here, with the gradient g that was passed to it: L is the sum of g · "
        "multiply."
    )


def test_a_caption_says_which_gradients_are_not_computed_and_why(steps):
    captions = {step.title: step.caption for step in of_phase(steps, "backward")}
    assert "∂L/∂t is not computed" in captions["loss"]
    assert "∂L/∂x is not computed" in captions["dense1"]
    assert "computed" not in captions["dense2"]


def test_a_forward_step_names_the_inputs_and_the_options(steps):
    captions = [step.caption for step in of_phase(steps, "forward")]
    assert "dense of x, dense1.weight and dense1.bias" in captions[0]
    assert "tanh of dense1" in captions[1]
    assert "mse of dense2 and y; reduction = mean" in captions[3]


def test_the_check_lists_every_entry_beside_its_central_difference(walk, steps):
    check = next(step for step in steps if step.title == "Gradient check")
    head, rows = check.table
    assert head == ["entry", "backward", "central difference", "relative difference"]
    assert len(rows) == sum(leaf.gradient.size for leaf in walk.backwards[0].leaves) == 9
    assert rows[0][0] == "dense2.weight[0, 0]"
    for entry, backward, difference, _ in rows:
        expected = pytest.approx(float(difference.exact), rel=1e-5, abs=1e-6)
        assert float(backward.exact) == expected, entry


def test_an_update_names_the_rule_the_rate_and_only_the_options_that_matter(steps):
    step = of_phase(steps, "update")[0]
    assert step.caption == (
        "Adam, update t = 1 of dense1.weight: η = 0.1, β₁ = 0.9, β₂ = 0.999, ε = 1e−8."
    )
    assert [part.equation.text for part in step.parts] == [
        "m ← β₁m + (1 − β₁)g",
        "v ← β₂v + (1 − β₂)g²",
        "m̂ = m / (1 − β₁ᵗ)",
        "v̂ = v / (1 − β₂ᵗ)",
        "θ ← θ − η m̂ / (√v̂ + ε)",
    ]


def test_the_summary_shows_the_loss_before_and_after_and_the_gradients_as_bars(walk, steps):
    summary = steps[-1]
    before, after = walk.loss()
    assert (
        f"The loss was {number(before).shown}; after the update it is {number(after).shown}"
        in summary.caption
    )
    assert "4 ops ran." in summary.caption
    assert [name for name, _, _ in summary.bars] == [
        *("dense2.weight", "dense2.bias", "dense1.weight", "dense1.bias")
    ]
    fractions = [fraction for _, _, fraction in summary.bars]
    sizes = [float(size.exact) for _, size, _ in summary.bars]
    assert max(fractions) == 1
    np.testing.assert_allclose(fractions, np.divide(sizes, max(sizes)))


@pytest.mark.parametrize(
    ("rate", "gradient", "reason"),
    [
        (dl.schedulers.WarmUp(0.1, steps=4), 1.0, "θ does not change, because η is 0."),
        (0.1, 0.0, "θ does not change, because g is 0."),
    ],
)
def test_an_update_that_changes_nothing_says_why_and_has_a_loss_after_it(rate, gradient, reason):
    w = dl.Tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=rate)
    with dl.trace() as walk:
        (w * gradient + 3.0).sum().backward()
        optimizer.step()
    (update,) = of_phase(walk.steps, "update")
    assert update.caption.endswith(reason)
    before, after = walk.loss()
    assert before == after == 2 * gradient + 3
    assert f"after the update it is still {number(after).shown} on" in walk.steps[-1].caption


@pytest.mark.parametrize("worst", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_has_a_bar_too(worst):
    v, w = (dl.Tensor([1.0], requires_grad=True, name=name) for name in "vw")
    with dl.trace() as walk:
        (v * worst + w).sum().backward()
    bars = {name: fraction for name, _, fraction in walk.steps[-1].bars}
    assert bars == {"v": 1.0, "w": 1.0}
    assert number(worst).shown in str(walk)


def test_a_remark_on_an_input_is_shown_at_the_step_that_uses_it():
    layer = nn.Dense(1, 1, rng=0)
    with dl.trace() as walk:
        layer(np.array([[50.0]])).sum().backward()
    assert [note.title for note in walk.steps[0].notes] == ["Inputs that need scaling"]


class Own(dl.nn.Module):
    """Two layers beside each other."""

    def __init__(self):
        self.left, self.right = dl.nn.Dense(2, 3, rng=0), dl.nn.Dense(2, 1, rng=0)

    def forward(self, x):
        return dl.sum(self.left(x)) + dl.sum(self.right(x))


MLP = dl.nn.MLP([2, 4, 3], "silu", rng=0)
LAYERS = dl.nn.Sequential(dl.nn.Dense(2, 3, rng=0), dl.nn.Tanh(), dl.nn.Dropout(0.1, rng=0))


@pytest.mark.parametrize(
    ("model", "loss", "rule", "title"),
    [
        (MLP, lambda y: losses.cross_entropy(y, [2]), "RMSprop",
         "loss: MLP 2 → 4 → 3, silu, cross_entropy, RMSprop"),
        (LAYERS, lambda y: losses.mse(y, [[0.0] * 3]), None, "loss: Sequential 2 → 3, tanh, mse"),
        (Own(), lambda y: y, None, "model.add: Own"),
    ],
)  # fmt: skip
def test_the_title_names_the_network_the_loss_and_the_rule(model, loss, rule, title):
    optimizer = getattr(optim, rule)(model, lr=0.1) if rule else None
    with dl.trace() as walk:
        loss = loss(model([[1.0, 2.0]]))
        loss.backward()
        if optimizer:
            optimizer.step()
    assert walk._presentation.title == f"Walkthrough of {title}"
