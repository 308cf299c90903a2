"""The walkthrough's record: each op and each rule against its formula, the tape, and bad input."""

import contextlib
import gc
import itertools
import math
import re
import sys
import threading
import weakref
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from cases import CASES, OPS, RULES, WORDS, N, each_case, lesson, read, walked

import minidl as dl
from minidl import losses, nn, optim
from minidl._format import number, plain
from minidl.schedulers import CosineDecay

# --- every op -----------------------------------------------------------------------------------


def parts_of(walk):
    return [part for step in walk.story.steps for part in step.parts]


def test_every_op_of_the_library_is_walked():
    assert CASES.keys() == OPS.keys()


@each_case
def test_the_formulas_of_an_op_give_what_it_computes(name, arrays, options):
    _, op, flow = walked(name, arrays, options)
    assert bool(op.equations) is (name not in WORDS)
    if not op.equations:
        return
    scope = op.scope(flow.g)
    found = scope.value(op.equations[0].tree)
    close(np.reshape(found, op.value.data.shape), op.value.data, 1e-12)
    for equation, product in zip(op.equations[1:], flow.products, strict=True):
        found = np.asarray(scope.value(equation.tree))
        if found.size == product.size:  # vectors as matrices
            found = found.reshape(product.shape)
        close(np.broadcast_to(found, product.shape), product, 1e-11)


def close(found, expected, precision):
    np.testing.assert_allclose(found, expected, rtol=precision, atol=precision)


@each_case
def test_each_entry_has_a_line_that_ends_in_its_number_and_can_be_recomputed(name, arrays, options):
    walk, op, flow = walked(name, arrays, options)
    worked = 0
    for part in parts_of(walk):
        if part.worked:
            data = part.result.data
            for at in np.ndindex(data.shape):
                line = part.worked(at)
                assert line[-1].exact == number(data[at]).exact
                assert_places(line, part)
                if part.equation:
                    close(recomputed(line), data[at], 1e-9)
                worked += 1
    assert worked >= (0 if name == "perceptron" else op.value.data.size + flow.g.size)


def assert_places(line, part):
    """The numbers of a worked line stand where they say that they do."""
    operands = {operand.letter: operand.data for operand in part.operands}
    for token in line:
        if not isinstance(token, str) and token.letter:
            assert str(operands[token.letter].flat[token.place]) == token.exact


def recomputed(line):
    """What stands between the beginning of a worked line, "y[0] = ", and its end, " = 3"."""
    _, *line, last = line
    return read([*line[:-1], line[-1].removesuffix(" = ")] if line else [last])


@each_case
def test_the_numbers_of_the_story_are_those_of_the_tape(name, arrays, options):
    walk, op, flow = walked(name, arrays, options)
    forward, backward, *_ = walk.story.steps
    *softmax, part = forward.parts
    assert bool(softmax) is (name == "cross_entropy")
    assert part.result.data is op.value.data
    results = [p.result.data for p in backward.parts]
    np.testing.assert_array_equal(results[0], flow.g)
    for i, product in enumerate(flow.products):
        assert any(r.shape == product.shape and np.array_equal(r, product) for r in results)
        summed = flow.summed(i)
        assert any(r.shape == summed.shape and np.array_equal(r, summed) for r in results)


@each_case
def test_the_check_agrees_with_backward(name, arrays, options):
    walk, _, _ = walked(name, arrays, options)
    checked = walk.check(walk.backwards[0])
    assert len(checked) == sum(np.size(x) for x in arrays)
    for entry in checked:
        assert entry.difference == pytest.approx(entry.backward, rel=1e-6, abs=1e-8)
        assert entry.relative < 1e-6 or abs(entry.difference) < 1e-4


@each_case
def test_every_entry_of_every_value_can_be_explained(name, arrays, options):
    walk, _, _ = walked(name, arrays, options, np.float32)
    for value in walk.values:
        for at in np.ndindex(value.data.shape):
            text = walk.explain(value.name, at)
            assert number(value.data[at]).shown in text


def test_a_line_that_is_but_a_number_gives_it_once():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w + 3.0).sum().backward()
    assert "∂a[1] = 1\n" in walk.explain("w", 1)


def test_what_moves_entries_says_where_each_came_from():
    x = dl.Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    with dl.trace() as walk:
        x[[0, 0, 2], [1, 1, 0]].backward([10.0, 20.0, 30.0])
    forward, backward, *_ = walk.story.steps
    assert plain(forward.parts[0].worked((1,))) == "y[1] = x[0, 1] = 2"
    assert plain(backward.parts[-1].worked((0, 1))) == "∂x[0, 1] = g[0] + g[1] = 30"
    assert plain(backward.parts[-1].worked((1, 1))) == "∂x[1, 1] = 0"


@pytest.mark.parametrize("name", ["concatenate", "stack"])
def test_what_joins_arrays_says_which_of_them_an_entry_came_from(name):
    a, b = (dl.Tensor([i, i + 1.0], requires_grad=True) for i in (1, 5))
    with dl.trace() as walk:
        getattr(dl, name)([a, b]).sum().backward()
    joined, *_ = walk.story.steps
    at = (3,) if name == "concatenate" else (1, 1)
    assert plain(joined.parts[0].worked(at)).endswith(" = x₂[1] = 6")


# --- every rule ---------------------------------------------------------------------------------

OTHERWISE = {  # for each option of a rule a value that is not its default
    "weight_decay": 0.3,
    "betas": (0.8, 0.7),
    "momentum": 0.5,
    "beta": 0.6,
    "eps": 1e-3,
    "momentum_decay": 0.1,
    "alpha": 0.6,
    "rho": 0.5,
    "dampening": 0.2,
    "initial_accumulator": 0.3,
    "lr_decay": 0.4,
    "l1": 0.05,
    "l2": 0.2,
    "lr_power": -0.7,
}
NEEDS = {"nesterov": {"momentum": 0.5}, "dampening": {"momentum": 0.5}}
COMMON = ("lr", "weight_decay", "maximize")
TOGETHER = {
    "RMSprop": {"momentum": 0.5, "centered": True, "eps_inside_sqrt": False},
    "FTRL": {"warm_start": False, "l1": 0.05, "l2": 0.2, "beta": 0.5},
    "Adam": {"amsgrad": True, "betas": (0.0, 0.5)},
}
FORMS_OF_RULES = [
    *((rule, {}) for rule in RULES),
    *(
        (rule, {option: OTHERWISE.get(option, not default), **NEEDS.get(option, {})})
        for rule in RULES
        for option, (default, _) in getattr(optim, rule).options.items()
        if option not in COMMON
    ),
    *TOGETHER.items(),
]
each_rule = pytest.mark.parametrize(
    ("rule", "options"),
    FORMS_OF_RULES,
    ids=["-".join([rule, *map(str, options)]) for rule, options in FORMS_OF_RULES],
)
COMMON_FORMS = [
    {},
    {"weight_decay": 0.3},
    {"maximize": True},
    {"weight_decay": 0.3, "maximize": True},
    {"lr": CosineDecay(0.05, 9)},
]


def updates(rule, options, dtype=float, steps=8):
    """The update of each step of a rule on a small matrix, with its walkthrough and optimizer."""
    rng = np.random.default_rng(3)
    w = dl.Tensor(rng.normal(size=(3, 2)), requires_grad=True, dtype=dtype, name="w")
    optimizer = getattr(optim, rule)([w], **{"lr": 0.05, **options})
    for _ in range(steps):
        optimizer.zero_grad()
        with dl.trace() as walk:
            ((w * rng.normal(size=w.shape).astype(dtype)) ** 2).sum().backward()
            optimizer.step()
        (update,) = walk.updates
        yield walk, update, optimizer, w


def test_every_option_of_every_rule_is_walked_with_another_value_than_its_default():
    for rule, options in FORMS_OF_RULES:
        for name, value in options.items():
            default = getattr(optim, rule).options[name][0]
            assert type(value) is type(default)
            assert value != default


@each_rule
@pytest.mark.parametrize("common", COMMON_FORMS, ids=str)
def test_the_equations_of_a_rule_give_what_its_kernel_leaves(rule, options, common):
    for _, update, optimizer, w in updates(rule, {**options, **common}):
        last = {line[0].letter: line for line in update.lines}
        left = {**optimizer.state[w], "θ": w.data}
        name_of = getattr(optim, rule).symbols
        for letter, (equation, scope, value) in last.items():
            kept = left.get(letter, left.get(name_of.get(letter)))
            if kept is not None and letter != "t":
                np.testing.assert_array_equal(value, kept)
            found = np.broadcast_to(scope.value(equation.tree), value.shape)
            np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-17)
        covered = {*last, *(name_of[letter] for letter in last if letter in name_of)}
        assert left.keys() - {"t"} <= covered


@each_rule
def test_each_line_of_a_rule_can_be_recomputed_for_each_weight(rule, options):
    for walk, update, _, _ in updates(rule, {**options, "weight_decay": 0.1}, steps=7):
        parts = [p for s in walk.story.steps if s.phase == "update" for p in s.parts]
        assert [part.equation.letter for part in parts] == [line[0].letter for line in update.lines]
        for part in parts:
            data = part.result.data
            for at in np.ndindex(data.shape):
                line = part.worked(at)
                assert line[0].startswith(part.equation.letter)
                assert_places(line, part)
                assert line[-1].exact == number(data[at]).exact
                close(recomputed(line), data[at], 1e-11)


@each_rule
def test_the_text_of_an_update_names_the_rate_and_every_number_before_and_after(rule, options):
    schedule = CosineDecay(0.05, 9)
    for t, (walk, update, _, _) in enumerate(updates(rule, {**options, "lr": schedule}), 1):
        text = " ".join(walk.explain("w", (2, 1)).split())
        shown = [schedule(t - 1), update.before[2, 1], update.after[2, 1], update.gradient[2, 1]]
        shown += [a[2, 1] for a in update.state_after.values() if np.shape(a) == (3, 2)]
        for x in shown:
            assert number(x).shown in text
        rate = f"{schedule!r} at t = {t - 1}: {number(schedule(t - 1)).shown}"
        assert f"{rule}, update t = {t} of w: η = {rate}" in text


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_in_single_precision_is_told_with_the_numbers_of_its_kernel(rule):
    for _, update, _, w in updates(rule, {"lr": 0.01}, dtype=np.float32):
        *_, (equation, scope, value) = (line for line in update.lines if line[0].letter == "θ")
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, w.data)
        np.testing.assert_allclose(scope.value(equation.tree), value, rtol=1e-4, atol=1e-6)


def test_each_group_of_an_optimizer_is_told_with_its_own_options():
    v, w = (dl.Tensor([1.0], requires_grad=True, name=name) for name in "vw")
    groups = [{"params": [v]}, {"params": [w], "lr": 0.5, "momentum": 0.9}]
    with dl.trace() as walk:
        (v * w).sum().backward()
        optim.SGD(groups, lr=0.1).step()
    found = [(u.value.name, u.lr, u.options["momentum"]) for u in walk.updates]
    assert found == [("v", 0.1, 0.0), ("w", 0.5, 0.9)]


@pytest.mark.parametrize("lines", ["", "θ ← θ − ηq", "half of it, see the paper"])
def test_a_rule_whose_equations_cannot_be_worked_out_is_told_by_its_numbers(lines):
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


# --- what is computed is computed as ever -------------------------------------------------------


class Residual(nn.Module):
    """A layer used twice, and a parameter of its own."""

    def __init__(self, rng):
        self.first = nn.Dense(6, 5, rng=rng)
        self.layer = nn.Dense(5, 5, rng=rng)
        self.scale = dl.Tensor(np.ones(5), requires_grad=True, dtype=dl.get_default_dtype())

    def forward(self, x):
        x = self.first(x)
        x = x + dl.tanh(self.layer(x)) * self.scale
        return x - self.layer(x).relu()


NETWORKS = {
    "MLP": lambda rng: nn.MLP([6, 8, 7, 5], rng=rng),
    "wide": lambda rng: nn.MLP([6, 300, 5], rng=rng),
    "dropout": lambda rng: nn.Sequential(
        nn.Dense(6, 8, rng=rng), nn.ReLU(), nn.Dropout(0.4, rng=rng), nn.Dense(8, 5, rng=rng)
    ),
    "custom": Residual,
}
LOSSES = {"cross_entropy": losses.cross_entropy, "mse": lambda p, t: losses.mse(p, np.eye(5)[t])}


def trained(network, loss, dtype, watch):
    """All bits that a short training leaves: losses, gradients, parameters, optimizer state."""
    rng = np.random.default_rng(5)
    with dl.default_dtype(dtype):
        model = NETWORKS[network](rng)
        optimizer = optim.Adam(model, lr=CosineDecay(0.05, 20), amsgrad=True)
        bits = []
        for _ in range(4):
            x, labels = rng.normal(size=(9, 6)).astype(dtype), rng.integers(0, 5, 9)
            optimizer.zero_grad()
            with watch():
                value = LOSSES[loss](model(x), labels)
                value.backward()
                optim.clip_grad_norm(model, 1.0)
                optimizer.step()
            bits += [value.data, *(p.grad for p in model.parameters())]
            bits += [p.data.copy() for p in model.parameters()]
    state = [a for s in optimizer.state.values() for a in s.values() if isinstance(a, np.ndarray)]
    return [array.tobytes() for array in (*bits, *state)]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_trace_changes_no_bit(network, loss, dtype):
    alone = trained(network, loss, dtype, contextlib.nullcontext)
    assert trained(network, loss, dtype, dl.trace) == alone


@pytest.mark.parametrize("retain", [True, False])
def test_a_trace_changes_no_bit_of_a_second_backward_pass(retain):
    def gradients(watch):
        w = dl.Tensor(N(3, 4), requires_grad=True)
        with watch():
            loss = losses.cross_entropy(w * w, [0, 1, 2])
            loss.backward(retain_graph=True)
            first = w.grad.copy()
            loss.backward(retain_graph=retain)
        return first.tobytes(), w.grad.tobytes()

    assert gradients(dl.trace) == gradients(contextlib.nullcontext)


# --- names --------------------------------------------------------------------------------------


def names_of(walk):
    return [value.name for value in walk.values]


def test_values_are_called_as_the_network_and_the_variables_call_them():
    walk, _ = lesson()
    parameters = ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"]
    made = ["dense1", "tanh1", "dense2", "loss"]
    assert sorted(names_of(walk)) == sorted(["x", "y", *parameters, *made])
    assert [op.value.name for op in walk.ops] == made
    kinds = {value.name: value.kind for value in walk.values}
    assert {kinds[name] for name in parameters} == {"parameter"}
    assert {kinds[name] for name in made} == {"op"}
    assert kinds["x"] == kinds["y"] == "input"


def test_a_second_of_a_name_gets_a_number():
    walk, _ = lesson(steps=3)
    made = [op.value.name for op in walk.ops]
    assert made[::4] == ["dense1", "dense1 (2)", "dense1 (3)"]
    assert [u.value.name for u in walk.updates[::4]] == [
        *("dense1.weight", "dense1.weight after update 1", "dense1.weight after update 2")
    ]
    assert len({*names_of(walk)}) == len(walk.values)
    assert "x (2)" not in names_of(walk)  # the same array is one box


def test_the_ops_of_a_module_are_called_by_its_path_and_their_kind():
    model = nn.Sequential(nn.Dense(3, 6, rng=0), Residual(np.random.default_rng(0)))
    with dl.trace() as walk:
        model(N(2, 3)).sum().backward()
    made = [op.value.name for op in walk.ops]
    assert made[:2] == ["dense1", "residual1.first"]
    assert {"residual1.tanh", "residual1.multiply", "residual1.add", "residual1.relu"} <= {*made}
    assert made[-1] == "sum"
    assert "residual1.scale" in names_of(walk)


def test_the_outermost_module_is_called_as_its_class():
    class Line(nn.Module):
        def __init__(self):
            self.slope = dl.Tensor(2.0, requires_grad=True)

        def forward(self, x):
            return self.slope * x + 1.0

    with dl.trace() as walk:
        Line()(dl.Tensor([1.0, 2.0])).sum()
    assert [op.path for op in walk.ops] == ["line", "line", ""]
    assert [op.value.name for op in walk.ops] == ["line.multiply", "line.add", "sum"]
    assert "slope" in names_of(walk)


def test_a_tensors_own_name_goes_before_the_variable_that_holds_it():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="own")
    with dl.trace() as walk:
        total = (w * 3.0).sum()
        total.backward()
    assert names_of(walk) == ["own", "multiply", "total"]


def test_an_array_is_called_as_the_variable_that_holds_its_numbers():
    numbers = np.array([1, 2, 3])
    w = dl.Tensor([1.0, 2.0, 3.5], requires_grad=True)
    with dl.trace() as walk:
        (w * numbers).sum().backward()
    assert names_of(walk)[:2] == ["w", "numbers"]


def test_what_an_op_made_is_not_called_as_an_array_that_happens_to_be_equal():
    twice = np.array([2.0, 4.0])
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        (w * 2.0).sum().backward()
    assert "twice" not in names_of(walk)
    assert twice.sum() == 6


@pytest.mark.parametrize("other", [[1e300, 1.0], [math.nan, 1.0], [True, False], ["a", "b"]])
def test_arrays_of_any_kind_may_stand_where_the_block_stands(other):
    other = np.array(other)
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        (w * np.array([1.0, 2.0], np.float32)).sum().backward()
    assert names_of(walk) == ["w", "input", "multiply", "sum"]
    assert other.shape == (2,)


# --- the graph's corners ------------------------------------------------------------------------


def test_what_comes_back_to_a_value_used_twice_adds_up():
    w = dl.Tensor([2.0, -3.0], requires_grad=True)
    with dl.trace() as walk:
        square = w * w
        (square * w + square).sum().backward()
    (passed,) = walk.backwards
    for name, uses in {"w": 3, "square": 2}.items():
        value = next(v for v in walk.values if v.name == name)
        arrivals = [g for _, g in passed.arrivals(value)]
        assert len(arrivals) == uses == len(value.users)
        np.testing.assert_allclose(np.sum(arrivals, axis=0), passed.gradient(value))
    np.testing.assert_allclose(w.grad, 3 * w.data**2 + 2 * w.data)
    assert "w was used 3 times: what came back adds up" in walk.explain("w", 0)
    assert "= 16" in walk.explain("w", 0)


def test_two_backward_passes_have_flows_and_leaves_of_their_own():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        loss = (w * w).sum()
        loss.backward(retain_graph=True)
        loss.backward(5.0)
    first, second = walk.backwards
    assert [f.op.value.name for f in first.flows] == ["loss", "multiply"]
    assert [f.op.value.name for f in second.flows] == ["loss", "multiply"]
    assert first.leaves[0].before is None
    np.testing.assert_array_equal(second.leaves[0].before, first.leaves[0].gradient)
    np.testing.assert_array_equal(second.leaves[0].gradient, 5 * first.leaves[0].gradient)
    np.testing.assert_array_equal(w.grad, [12, 24])


def test_a_backward_pass_that_fails_leaves_nothing_to_the_next():
    w, v = (dl.Tensor([1.0, 2.0], requires_grad=True, name=name) for name in "wv")
    with dl.trace() as walk:
        bad, good = (w * w).sum(), (v * v).sum()
        w.data = [3.0, 4.0]
        with pytest.raises(RuntimeError, match="was changed"):
            bad.backward()
        good.backward()
    (passed,) = walk.backwards
    assert [flow.op.value.name for flow in passed.flows] == ["good", "multiply (2)"]


def test_several_steps_in_one_block_are_told_one_after_the_other():
    walk, model = lesson(np.float64, steps=3, optimizer=optim.SGD)
    assert [event.kind for event in walk.events] == [*["op"] * 4, "backward", *["update"] * 4] * 3
    assert [u.t for u in walk.updates] == [1] * 4 + [2] * 4 + [3] * 4
    for before, after in itertools.pairwise(walk.updates[::4]):
        np.testing.assert_array_equal(before.after, after.before)
    np.testing.assert_array_equal(walk.updates[-4].after, model.dense1.weight.data)
    for passed in walk.backwards:
        assert all(c.relative < 1e-6 for c in walk.check(passed))


def test_the_loss_is_told_before_and_after_the_update():
    walk, model = lesson(np.float64)
    before, after = walk.loss()
    x, y = (v.data for v in walk.values if v.kind == "input")
    np.testing.assert_array_equal(after, losses.mse(model(x), y).data)
    assert after < before == walk.ops[-1].value.data


def test_without_an_update_there_is_no_loss_after():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        (w * w).sum().backward()
    assert walk.loss()[0] == 5
    assert walk.loss()[1] is None


def test_a_backward_pass_behind_the_last_update_has_no_loss_after_it():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    with dl.trace() as walk:
        (w * w).sum().backward()
        optimizer.step()
        (w * w).sum().backward()
    assert walk.loss()[0] == pytest.approx(0.8**2 + 1.6**2)
    assert walk.loss()[1] is None


def test_ops_run_again_give_the_same_bits_and_others_for_other_values():
    walk, _ = lesson()
    root = walk.backwards[0].root
    weight = next(v for v in walk.values if v.name == "dense2.weight")
    again = walk.run_again(root, {weight: weight.data.copy()})
    assert again.tobytes() == root.data.tobytes()
    assert walk.run_again(root, {weight: 0 * weight.data}) != root.data
    assert walk.run_again(root, {}) is root.data


def test_an_old_gradient_is_recorded_beside_the_new_one():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    w.grad = np.array([10.0, 20.0], np.float32)
    with dl.trace() as walk:
        (w * w).sum().backward()
        optim.SGD([w], lr=0.1).step()
    (leaf,), (update,) = walk.backwards[0].leaves, walk.updates
    np.testing.assert_array_equal(leaf.before, [10, 20])
    np.testing.assert_array_equal(leaf.gradient, [2, 4])
    np.testing.assert_array_equal(update.gradient, [12, 24])
    assert ".grad[1] = 20 + 4 = 24" in walk.explain(walk.values[0].name, 1)


def test_a_clipped_gradient_is_the_updates_and_the_whole_one_the_leafs():
    w = dl.Tensor([3.0, 4.0], requires_grad=True)
    with dl.trace() as walk:
        (w * w).sum().backward()
        optim.clip_grad_norm([w], 1.0)
        optim.SGD([w], lr=0.1).step()
    (update,), (leaf,) = walk.updates, walk.backwards[0].leaves
    np.testing.assert_allclose(leaf.gradient, [6, 8])
    np.testing.assert_allclose(update.gradient, [0.6, 0.8], rtol=1e-6)


def test_a_frozen_parameter_is_one_without_gradient_or_update():
    model = nn.MLP([2, 3, 1], rng=0)
    model.dense1.weight.requires_grad = False
    with dl.trace() as walk:
        losses.mse(model(N(4, 2)), np.zeros((4, 1))).backward()
        optim.SGD(model, lr=0.1).step()
    frozen = next(v for v in walk.values if v.name == "dense1.weight")
    assert frozen.kind == "parameter"
    assert walk.backwards[0].gradient(frozen) is None
    assert [u.value.name for u in walk.updates] == ["dense1.bias", "dense2.weight", "dense2.bias"]
    (step,) = (s for s in walk.story.steps if (s.phase, s.title) == ("backward", "dense1"))
    assert "∂x and ∂W are not computed" in step.words
    assert [p.result.letter for p in step.parts] == ["g", "∂b"]


def test_ops_under_no_grad_and_on_constants_are_shown_and_lead_nowhere():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        with dl.no_grad():
            free = w * 3.0
        constant = dl.exp([0.0, 1.0])
        (w * free * constant).sum().backward()
    forward = [op.value.name for op in walk.ops]
    assert forward == ["free", "constant", "multiply", "multiply (2)", "sum"]
    back = [flow.op.value.name for flow in walk.backwards[0].flows]
    assert back == ["sum", "multiply (2)", "multiply"]
    assert walk.ops[0].inputs[1] == 3.0
    assert all(c.relative < 1e-5 for c in walk.check(walk.backwards[0]))


def test_backward_from_several_entries_is_checked_with_the_gradient_given():
    w = dl.Tensor(N(3), requires_grad=True, dtype=float)
    with dl.trace() as walk:
        (w * w).backward([1.0, -2.0, 0.5])
    found = [c.difference for c in walk.check(walk.backwards[0])]
    np.testing.assert_allclose(found, 2 * w.data * [1, -2, 0.5], rtol=1e-8)
    assert "with the gradient that it was given" in str(walk)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_empty_arrays_are_walked(shape):
    w = dl.Tensor(np.zeros(shape), requires_grad=True)
    with dl.trace() as walk:
        dl.relu(w * 2.0).sum().backward()
    assert str(shape) in str(walk)
    assert walk.backwards[0].leaves[0].gradient.shape == shape


# --- beginning and end --------------------------------------------------------------------------


def w_squared():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    return (w * w).sum()


def test_a_trace_in_a_trace_is_an_error_and_the_outer_one_goes_on():
    with dl.trace() as walk:
        w_squared().backward()
        with pytest.raises(RuntimeError, match="a trace is open already"), dl.trace():
            raise AssertionError
        w_squared().backward()
    assert len(walk.ops) == 4
    assert len(walk.backwards) == 2


def test_one_trace_after_the_other_records_each_block_alone():
    with dl.trace() as first:
        w_squared()
    with dl.trace() as second:
        w_squared().backward()
    assert [len(first.events), len(second.events)] == [2, 3]


def test_a_trace_that_is_opened_again_records_each_block_alone():
    watch = dl.trace()
    with watch as first:
        w_squared()
    with watch as second:
        w_squared().backward()
    assert [len(first.events), len(second.events)] == [2, 3]


def test_an_exception_in_the_block_ends_the_trace_and_keeps_what_was_recorded():
    with contextlib.suppress(ZeroDivisionError), dl.trace() as walk:
        loss = w_squared()
        w_squared().backward(1 // 0)
    w_squared()
    assert len(walk.ops) == 4
    loss.backward()
    assert walk.ops[1].value.name == "loss"
    assert "multiply" in str(walk)
    assert walk.backwards == []
    with dl.trace() as another:
        w_squared()
    assert len(another.ops) == 2


def test_nothing_is_recorded_outside_of_the_block():
    before = w_squared()
    with dl.trace() as walk:
        inside = w_squared()
    inside.backward()
    before.backward()
    assert [event.kind for event in walk.events] == ["op", "op"]
    assert not any(op.flows for op in walk.ops)
    assert "No backward pass" in str(walk)


def test_a_forward_pass_outside_of_the_block_is_missed_and_said_so():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    with dl.trace() as walk:
        loss.backward()
        optim.SGD([w], lr=0.1).step()
    (passed,) = walk.backwards
    assert passed.root is None
    assert passed.flows == []
    assert walk.check(passed) == []
    assert walk.loss() == (None, None)
    assert "A forward pass that was not seen" in str(walk)
    assert "before 1, after 0.8" in walk.explain("w", 0) + walk.explain(walk.values[0].name, 0)


def test_a_step_alone_is_told():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    (w * w).sum().backward()
    with dl.trace() as walk:
        optim.SGD([w], lr=0.1).step()
    assert "before 1, after 0.8" in walk.explain("w", 0)


def test_an_empty_block_is_told_as_such(tmp_path):
    with dl.trace() as walk:
        pass
    assert "0 ops ran." in str(walk)
    for kind in ("md", "txt", "svg", "html"):
        walk.save(tmp_path / f"walk.{kind}")
        assert (tmp_path / f"walk.{kind}").stat().st_size > 0


def test_a_trace_sees_nothing_of_another_thread():
    def work():
        w_squared().backward()
        with dl.trace() as own:
            w_squared()
        found.append(own)

    found = []
    with dl.trace() as walk:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        w_squared()
    assert len(walk.ops) == len(found[0].ops) == 2
    assert walk.backwards == []


def test_each_of_two_threads_records_its_own_at_the_same_time():
    def work(n):
        with dl.trace() as walk:
            ready.wait()
            for _ in range(n):
                w_squared().backward()
        counts[n] = len(walk.ops), len(walk.backwards)

    counts, ready = {}, threading.Barrier(2)
    threads = [threading.Thread(target=work, args=(n,)) for n in (20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {20: (40, 20), 30: (60, 30)}


def test_a_walkthrough_keeps_no_tensor_no_module_and_no_optimizer_alive():
    def watched():
        model, x = nn.MLP([2, 3, 1], rng=0), dl.Tensor(N(4, 2))
        optimizer = optim.Adam(model)
        with dl.trace() as walk:
            loss = losses.mse(model(x), np.zeros((4, 1)))
            loss.backward(retain_graph=True)
            optimizer.step()
        return walk, [
            *map(weakref.ref, (optimizer, loss, x, *model.parameters(), *model.modules()))
        ]

    walk, kept = watched()
    gc.collect()
    assert len(kept) == 11
    assert [ref() for ref in kept if ref() is not None] == []
    assert "Adam, update t = 1" in str(walk)


def test_the_record_does_not_change_with_what_it_recorded():
    x, y = N(4, 2), np.zeros((4, 1))
    batch, model = dl.Tensor(x), nn.MLP([2, 3, 1], "tanh", rng=0)
    optimizer = optim.Adam(model, lr=0.1)
    with dl.trace() as walk:
        loss = losses.mse(model(batch), y)
        loss.backward(retain_graph=True)
        optimizer.step()
        x[...] = y[...] = 7
    told = str(walk), walk.explain("dense1.weight", (0, 0))
    first = next(v for v in walk.values if v.name == "dense1.weight")
    assert not np.array_equal(first.data, model.dense1.weight.data)
    np.testing.assert_array_equal(walk.updates[0].after, model.dense1.weight.data)
    for p in model.parameters():
        p.grad[...] = -1
    optimizer.step()
    optimizer.lr = 0.7
    loss.data[...] = 3
    assert told == (str(walk), walk.explain("dense1.weight", (0, 0)))


def test_the_gradient_that_backward_was_given_is_recorded_as_it_was():
    w, seed = dl.Tensor([1.0, 2.0], requires_grad=True, dtype=float), np.array([3.0, 4.0])
    with dl.trace() as walk:
        (w * w).backward(seed)
        seed[...] = 0
    (passed,) = walk.backwards
    np.testing.assert_array_equal(passed.seed, [3, 4])
    np.testing.assert_array_equal(passed.flows[0].g, [3, 4])


def test_a_schedule_with_a_memory_is_told_as_it_was():
    w = dl.Tensor([1.0], requires_grad=True)
    schedule = dl.schedulers.ReduceOnPlateau(0.1, patience=0)
    with dl.trace() as walk:
        (w * w).sum().backward()
        optim.SGD([w], lr=schedule).step()
    told = str(walk)
    for _ in range(5):
        schedule.observe(1.0)
    assert schedule(9) < 0.1
    assert str(walk) == told


def test_an_input_that_changes_in_the_block_is_recorded_as_each_op_saw_it():
    x = np.array([1.0, 2.0])
    batch, w = dl.Tensor(x), dl.Tensor([1.0, 1.0], requires_grad=True, dtype=float)
    with dl.trace() as walk:
        first = w * batch
        x[...] = [5.0, 6.0]
        second = w * batch
    np.testing.assert_array_equal(first.data, [1, 2])
    for op in walk.ops:
        np.testing.assert_array_equal(op.run(op.arrays()), op.value.data)
    np.testing.assert_array_equal(second.data, [5, 6])


# --- asking and saving --------------------------------------------------------------------------


def test_explain_tells_every_term_of_a_weights_last_update():
    walk, _ = lesson(np.float64)
    text = walk.explain("dense1.weight", (0, 1))
    lines = text.splitlines()
    assert lines[0].startswith("dense1.weight[0, 1] = ")
    assert "∂W = xᵀ @ g" in text
    assert "check: backward" in text
    assert "θ ← θ − η m̂ / (√v̂ + ε)" in text
    assert lines[-1].startswith("before ")
    assert repr(text) == text


@pytest.mark.parametrize("index", [(0, 1), (-2, -1), (np.int64(0), 1)])
def test_an_entry_may_be_counted_from_the_end(index):
    walk, _ = lesson()
    assert walk.explain("dense1.weight", index) == walk.explain("dense1.weight", (0, 1))


def test_the_index_may_be_left_out_where_there_is_one_entry():
    walk, _ = lesson()
    assert walk.explain("loss") == walk.explain("loss", ())
    assert walk.explain("dense2.bias") == walk.explain("dense2.bias", 0)


@pytest.mark.parametrize(
    ("name", "near"),
    [("dense1.weght", "'dense1.weight'"), ("tanh", "'tanh1'"), ("loss 2", "'loss'"), (3, "'x'")],
)
def test_an_unknown_name_is_answered_with_near_ones(name, near):
    walk, _ = lesson()
    with pytest.raises(ValueError, match="nothing in this walkthrough is called") as raised:
        walk.explain(name, 0)
    assert repr(name) in str(raised.value)
    assert near in str(raised.value)


@pytest.mark.parametrize("index", [None, 0, (2, 0), (0, -3), (0, 0, 0), (0.5, 0), "a", (None, 0)])
def test_a_wrong_index_is_answered_with_the_shape_and_one_that_fits(index):
    walk, _ = lesson()
    with pytest.raises(IndexError, match=r"shape \(2, 2\); give an entry of it, such as \(1, 1\)"):
        walk.explain("dense1.weight", index)


KINDS = {".html": "<!doctype html>", ".md": "# Walkthrough", ".txt": "FORWARD", ".svg": "<svg"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_a_walkthrough_is_saved_as_its_ending_says(kind, as_path, tmp_path):
    walk, _ = lesson()
    path = tmp_path / f"a walk{kind}"
    path.write_text("old")
    walk.save(as_path(path))
    text = path.read_text(encoding="utf-8")
    assert text.lower().startswith(KINDS[kind].lower())
    assert "dense1.weight" in text
    if kind == ".svg":
        assert ET.fromstring(text).tag.endswith("svg")
    if kind == ".txt":
        assert text.strip() == str(walk)


@pytest.mark.parametrize("name", ["walk", "walk.pdf", "walk.html.gz", ".html", "walk.HTM"])
def test_another_ending_is_refused_with_those_that_there_are(name, tmp_path):
    walk, _ = lesson()
    with pytest.raises(ValueError, match=r"must end in \.html, \.md, \.txt, \.svg") as raised:
        walk.save(tmp_path / name)
    assert name in str(raised.value)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_missing_is_an_error_that_says_what_to_do(kind, tmp_path):
    walk, _ = lesson()
    path = tmp_path / "none" / f"walk{kind}"
    with pytest.raises(FileNotFoundError, match="a folder that exists and is yours") as raised:
        walk.save(path)
    assert str(path) in str(raised.value)
    assert [*tmp_path.iterdir()] == []


def test_a_path_that_is_a_folder_is_an_error_that_says_what_to_do(tmp_path):
    walk, _ = lesson()
    (tmp_path / "walk.md").mkdir()
    with pytest.raises(OSError, match="can't be written"):
        walk.save(tmp_path / "walk.md")


def test_a_file_stays_as_it_was_if_the_text_cannot_be_written(tmp_path):
    w = dl.Tensor(1.0, requires_grad=True, name="\ud800")  # half of a character: no UTF-8
    with dl.trace() as walk:
        (w * w).backward()
    path = tmp_path / "walk.md"
    path.write_text("old")
    with contextlib.suppress(ValueError):
        walk.save(path)
    assert path.read_text(encoding="utf-8")


def test_the_repr_counts_what_there_is():
    walk, _ = lesson()
    assert repr(walk) == (
        "Walkthrough(4 ops, 1 backward pass, 4 updates; print it, or .save('walk.html'))"
    )


# --- the check of many entries ------------------------------------------------------------------


@pytest.mark.parametrize(("runs", "entries"), [(0, [1]), (1, [1]), (2, [1, 3]), (9, [0, 1, 2, 3])])
def test_where_all_would_be_too_many_the_largest_gradients_are_checked(runs, entries, monkeypatch):
    w = dl.Tensor([1.0, -9.0, 3.0, 5.0], requires_grad=True)
    with dl.trace() as walk:
        (w * w).sum().backward()
    once = 2 * sum(op.cost() for op in walk.ops)
    monkeypatch.setattr(sys.modules["minidl.walkthrough.recorder"], "CHECKED", runs * once)
    checked = walk.check(walk.backwards[0])
    assert [at for _, (at,), *_ in checked] == entries
    said = f"Of 4 entries these are {len(entries)} with large gradients."
    assert (said in str(walk).replace("\n   ", " ")) is (len(entries) < 4)


# --- ten thousand ops ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_walk():
    w = dl.Tensor([0.5, -0.25], requires_grad=True)
    with dl.trace() as walk:
        x = w
        for i in range(5000):
            x = dl.tanh(x) if i % 100 == 0 else x * 1.0001
            x = x + 1e-6
        x.sum().backward()
        optim.SGD([w], lr=0.1).step()
    return walk


def test_a_long_walkthrough_is_summarised_and_says_so(long_walk):
    text = str(long_walk)
    assert len(long_walk.ops) == 10_001
    assert re.match(r"9,9\d\d of 10,001 ops in the middle are left out", text)
    assert len(text) < 200_000
    assert text.count("\n") < 4000
    assert len(long_walk.story.steps) < 120


def test_the_graph_of_a_long_walkthrough_has_a_box_for_all_that_is_left_out(long_walk, tmp_path):
    long_walk.save(tmp_path / "walk.svg")
    svg = (tmp_path / "walk.svg").read_text(encoding="utf-8")
    assert ET.fromstring(svg).tag.endswith("svg")
    assert len(svg) < 200_000
    assert re.search(r"9,9\d\d ops", svg)


def test_any_entry_of_a_long_walkthrough_can_be_explained(long_walk):
    middle = long_walk.ops[5001].value
    text = long_walk.explain(middle.name, 1)
    assert number(middle.data[1]).shown in text
    assert "backward through" in text
    assert "before 0.5, after " in long_walk.explain("w", 0)


def test_the_entries_that_a_long_check_looks_at_are_few_and_right(long_walk):
    checked = long_walk.check(long_walk.backwards[0])
    assert 1 <= len(checked) <= 2
    assert all(c.relative < 1e-3 for c in checked)  # backward was in single precision


# --- what is known of a step as a whole ---------------------------------------------------------


def test_two_optimizers_leave_the_loss_that_the_model_then_has():
    model, x, y = nn.MLP([2, 2, 1], "tanh", rng=0), N(5, 2), N(5, 1)
    rules = optim.SGD(model, lr=0.1), optim.SGD(model, lr=0.2)
    with dl.trace() as walk:
        losses.mse(model(x), y).backward()
        for rule in rules:
            rule.step()
    assert walk.loss()[1] == losses.mse(model(x), y).data


def test_an_update_by_hand_is_told_as_one_and_has_a_loss_after_it():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * w).sum().backward()
        with dl.no_grad():
            w -= dl.Tensor(0.25) * w.grad
    assert walk.loss() == (5, 1.25)
    assert [s.title for s in walk.story.steps if s.phase == "update"] == ["subtract"]
    assert "w.grad" in [value.name for value in walk.values]


def test_two_models_are_told_apart_by_the_variables_that_hold_them():
    first, second = nn.MLP([2, 2, 1], rng=0), nn.MLP([2, 2, 1], "tanh", rng=1)
    rule = optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    with dl.trace() as walk:
        (losses.mse(first(N(3, 2)), N(3, 1)) + losses.mse(second(N(3, 2)), N(3, 1))).backward()
        rule.step()
    for name, model in (("first", first), ("second", second)):
        weight = model.dense1.weight
        text = walk.explain(f"{name}.dense1.weight", (0, 1))
        assert text.endswith(f"after {number(weight.data[0, 1]).shown}")


def test_layers_called_by_hand_have_the_names_of_their_model():
    model, x = nn.MLP([2, 2, 1], "tanh", rng=0), N(3, 2)
    with dl.trace() as walk:
        h = dl.tanh(model.dense1(x))
        model.dense2(h).sum().backward()
    assert [op.value.name for op in walk.ops] == ["dense1", "h", "dense2", "sum"]
    assert {v.name for v in walk.values if v.kind == "parameter"} == {
        f"dense{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")
    }


def test_a_mask_of_dropout_is_called_one():
    model = nn.Sequential(nn.Dense(2, 3, rng=0), nn.Dropout(0.5, rng=0))
    with dl.trace() as walk:
        model(N(4, 2)).sum().backward()
    assert "dropout1.mask" in [value.name for value in walk.values]


@pytest.mark.parametrize("ask", [str, lambda w: w.explain("w", 0), lambda w: w.save("walk.txt")])
def test_while_the_block_runs_the_walkthrough_says_to_wait(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    w = dl.Tensor([1.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * w).sum().backward()
        with pytest.raises(RuntimeError, match=r"still open: print, save or explain .* behind its"):
            ask(walk)
        assert "1 backward pass" in repr(walk)
    assert list(tmp_path.iterdir()) == []
    ask(walk)


def test_a_loss_that_lives_on_does_not_keep_the_record():
    def lesson():
        w = dl.Tensor([1.0, 2.0], requires_grad=True)
        with dl.trace() as walk:
            loss = (w * w).sum()
        return loss, [weakref.ref(walk), *map(weakref.ref, walk.values)]

    loss, record = lesson()
    gc.collect()
    assert [held() for held in record] == [None] * 4
    loss.backward()


def test_lines_take_as_many_digits_as_their_result_needs():
    x = dl.Tensor([-4.2, 0.3], requires_grad=True, name="x")
    with dl.trace() as walk:
        dl.tanh(x).sum().backward()
    assert "1 − (−0.99955)² = 0.000899" in walk.explain("x", 0)
    assert "1 − 0.2913² = 0.9151" in walk.explain("x", 1)


def test_any_entry_can_be_checked_and_has_all_its_terms():
    layer, x = nn.Dense(30, 20, rng=0), N(40, 30)
    with dl.trace() as walk:
        layer(x).sum().backward()
    text = walk.explain("weight", (7, 3))
    assert "check: backward" in text
    assert "more)" not in text
    assert text.count(" · 1") == 40


def test_a_deep_network_is_told_by_its_first_and_last_ops_and_updates():
    model = nn.MLP([4] * 102, "tanh", rng=0)
    with dl.trace() as walk:
        model(N(3, 4)).sum().backward()
        optim.Adam(model).step()
    assert "152 of 202 ops and 152 of 202 updates in the middle are left out" in str(walk)
    assert len(walk.story.steps) == 50 + 50 + 1 + 50 + 1
    (check,) = (step for step in walk.story.steps if step.table)
    named = [row[0].partition(".")[0] for row in check.table[1]]
    assert (named[0], named[-1]) == ("dense101", "dense1")
    assert len(named) == 100
    assert "before" in walk.explain("dense50.weight", (1, 1))


def test_an_evaluation_behind_the_step_is_no_update():
    model, x, y = nn.MLP([2, 2, 1], "tanh", rng=0), N(4, 2), N(4, 1)
    rule = optim.SGD(model, lr=0.1)
    with dl.trace() as walk:
        losses.mse(model(x), y).backward()
        rule.step()
        with dl.no_grad():
            losses.mse(model(x), y)
            x @ model.dense1.weight
    phases = [step.phase for step in walk.story.steps]
    assert phases == [
        *["forward"] * 4,
        *["backward"] * 5,
        *["update"] * 4,
        *["forward"] * 5,
        "summary",
    ]


def test_layers_in_a_list_are_called_by_their_places():
    layers = [nn.Dense(2, 3, rng=0), nn.Dense(3, 1, rng=1)]
    with dl.trace() as walk:
        h = N(4, 2)
        for layer in layers:
            h = layer(h)
        h.sum().backward()
    names = {value.name for value in walk.values}
    assert names >= {"layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.0"}


def test_a_model_that_is_not_used_changes_no_names():
    other = nn.MLP([2, 2, 1], rng=1)
    model = nn.MLP([2, 2, 1], rng=0)
    with dl.trace() as walk:
        model(N(3, 2)).sum().backward()
    assert "dense1.weight" in {value.name for value in walk.values}
    assert other.dense1.weight.grad is None


def test_names_with_underscores_are_nobodys():
    _w = w = dl.Tensor([1.0], requires_grad=True)
    _ = _w
    with dl.trace() as walk:
        (w * w).sum().backward()
    assert walk.values[0].name == "w"


def test_no_two_boxes_share_a_name():
    named = [dl.Tensor([1.0], requires_grad=True, name=n) for n in ("a", "a (2)", "a", " ", "\x1b")]
    with dl.trace() as walk:
        sum(x * 1.0 for x in named).sum().backward()
    names = [value.name for value in walk.values]
    assert len(set(names)) == len(names)
    assert all(name.isprintable() and name.strip() for name in names)


@pytest.mark.parametrize("ask", [lambda w: w.remarks(), lambda w: w.loss()])
def test_remarks_and_loss_wait_for_the_end_of_the_block(ask):
    w = dl.Tensor([1.0], requires_grad=True)
    with dl.trace() as walk:
        (w * w).sum().backward()
        with pytest.raises(RuntimeError, match="still open"):
            ask(walk)
    ask(walk)


def test_numbers_at_the_ends_of_the_floats_are_told_without_a_warning(tmp_path):
    for scale in (1e308, 3e20, 1e-320):
        w = dl.Tensor(np.full((30, 100), scale), requires_grad=True, name="w")
        with np.errstate(all="ignore"), dl.trace() as walk:
            (w * 1e300).sum().backward()
            w.grad = w.grad * 2
            optim.SGD([w], lr=0.1).step()
        assert str(walk)
        walk.save(tmp_path / "walk.html")


def test_of_a_long_loop_only_what_is_told_is_checked():
    model = nn.MLP([2, 3, 1], rng=0)
    rule = optim.SGD(model, lr=0.01)
    with dl.trace() as walk:
        for _ in range(40):
            rule.zero_grad()
            losses.mse(model(N(4, 2)), N(4, 1)).backward()
            rule.step()
    checks = [step for step in walk.story.steps if step.table]
    assert len(checks) == 14  # of the first 25 ops and the last 25, four a step
